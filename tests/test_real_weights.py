"""The whole text road on a model with real weights, behind a server that whoever runs this has started.

    COTASKS_REAL_SERVER=http://127.0.0.1:8080/v1 COTASKS_REAL_MODEL=NAME pytest -n 0 -m real_weights

`examples/real_weights.md` says where such a model is to be had, and what came of a longer run. Any instruct model of
1.5 billion parameters or more will do; on two cores this takes some ten minutes. Nothing runs without the variables.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from cotasks.generate import Sampling
from cotasks.generate.run import generate
from cotasks.generate.server.model import ServerOptions
from cotasks.judge.run import control_judge, judge_run
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.report.summary import read_scored, summarise
from cotasks.runs.folder import read_generations
from cotasks.runs.run import Run, read_run

SERVER, MODEL = os.environ.get("COTASKS_REAL_SERVER"), os.environ.get("COTASKS_REAL_MODEL", "")
CONDITIONS = ("blind", "blind-cotasks:boxes=1")
SHORT = Sampling(max_new_tokens=30)

pytestmark = [
    pytest.mark.real_weights,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not (SERVER and MODEL), reason="COTASKS_REAL_SERVER and COTASKS_REAL_MODEL name no server"),
]


def ask(records: Records, folder: Path) -> Run:
    """The answers to these records under both conditions."""
    asked = generate(
        records,
        [parse_condition(text) for text in CONDITIONS],
        MODEL,
        folder,
        server=ServerOptions(str(SERVER), family="qwen2_5_vl"),
        sampling=SHORT,
        progress=False,
    )
    assert asked.complete, asked
    run = read_run(folder)
    # all keys once: no answer twice, none missing, none of another question
    rows = [(row["id"], row["condition"], row["sample"]) for row in read_generations(folder).values()]
    assert sorted(rows) == sorted((id_, condition, 0) for id_ in records.ids for condition in CONDITIONS)
    assert sum(path.read_bytes().count(b"\n") for path in (folder / "generations").glob("*.jsonl")) == len(rows)
    assert all(
        row["answer"].strip() and row["answer_tokens"] <= SHORT.max_new_tokens for row in run.generations.values()
    )
    return run


@pytest.fixture(scope="module")
def few() -> Records:
    """Six open-ended questions of the sample, about three videos."""
    records = load_records("sample", "validation")
    places = [i for i, record in enumerate(records) if not record.choices]
    videos = list(dict.fromkeys(records.video_ids[i] for i in places))[:3]
    chosen = [i for video in videos for i in [i for i in places if records.video_ids[i] == video][:2]]
    assert len(chosen) == 6
    return with_rows(records, chosen)


def with_rows(records: Records, places: list[int]) -> Records:
    """Some of the records."""
    return dataclasses.replace(records, rows=records.rows.select(places))


@pytest.fixture(scope="module")
def judged(few: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of these, with the model's own verdicts, asked by default: 32 calls at once, 120 seconds each."""
    folder = tmp_path_factory.mktemp("real") / "run"
    ask(few, folder)
    counts = judge_run(folder, f"openai:{MODEL}", base_url=SERVER, progress=False)
    assert counts.failed == counts.left == 0, counts
    return folder


def test_each_answer_has_a_verdict_or_a_reason(judged: Path) -> None:
    [scored], warnings = read_scored([judged])
    verdicts = scored.verdicts[f"openai:{MODEL}"]
    assert verdicts.keys() == scored.run.generations.keys()
    for verdict in verdicts.values():
        assert (verdict.score is None and verdict.reason) or 0 <= (verdict.score or 0) <= 100
    assert sum(verdict.score is not None for verdict in verdicts.values()) >= 0.9 * len(verdicts)
    summary = summarise([scored], "blind", warnings, judged.parent)
    means = [row for row in summary["means"] if row["level"] == "micro"]
    assert {row["condition"] for row in means} == set(CONDITIONS)
    assert all(row["low"] <= row["mean"] <= row["high"] for row in means)


def test_judging_again_asks_nothing(judged: Path) -> None:
    again = judge_run(judged, f"openai:{MODEL}", base_url="http://127.0.0.1:9/v1", progress=False, concurrency=1)
    assert again.calls == 0


def test_the_judge_tells_a_reference_from_another_questions(judged: Path) -> None:
    counts = control_judge(judged, f"openai:{MODEL}", 4, base_url=SERVER, progress=False)
    assert counts.left == 0
    said = {one.control: one.accepted / one.asked for one in counts.outcomes if one.asked}
    assert said["reference"] > said["other"]
    assert sum(one.asked + one.unscored for one in counts.outcomes) == counts.asked == 28


def test_sub_questions_are_answered_by_naming_options(few: Records, tmp_path: Path) -> None:
    subs = few.sub_questions()
    run = ask(with_rows(subs, list(range(min(len(subs), 6)))), tmp_path)
    counts = judge_run(tmp_path, "exact")
    assert counts.scored == len(run.generations)
    assert counts.unreadable <= counts.scored / 2  # this model names an option in most answers
