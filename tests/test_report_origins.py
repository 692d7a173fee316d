"""Before you quote a number: origins of step 1, what contexts give away, and every other warning of a report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from cotasks.judge.verdicts import Verdict
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record
from cotasks.report import caution, summarise_runs, write_report
from cotasks.report.caution import JUDGE, RUN, Caution, Seen
from cotasks.runs.questions import write_questions
from cotasks.runs.run import read_run
from cotasks.steps.frame_localization import localizes
from cotasks.tools.files import read_json, read_jsonl
from cotasks.words.packaging import is_unfinished_thought
from tests.audit_records import make_record, write_folder
from tests.report_runs import write_run


def mixed(number: int) -> Record:
    """Every second record has spans of people who saw the answer; the context names what is asked for."""
    thing = ("dog", "cat", "cup", "ball/sports_ball", "guitar", "sofa")[number % 6]
    record = make_record(
        question="what is there",
        answer=thing.partition("/")[0],
        type_="TN" if number % 2 else "DO",
        video=f"v{number}",
        entities=(thing, "adult"),
    )
    if number % 2 == 0:
        return record
    a1 = dataclasses.replace(record.frame_localization, span_origin="human", used_answer=True)
    return dataclasses.replace(record, frame_localization=a1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records]:
    folder = tmp_path_factory.mktemp("origins")
    write_folder(folder / "data", {"validation": [mixed(number) for number in range(24)]})
    return folder, load_records(str(folder / "data"))


def said(record: Record, condition: str) -> str | None:
    number = int(record.video_id[1:])
    if number == 3:
        return None
    if number == 4:
        return "<think>there is a dog, or is it"
    return record.answer if condition != "baseline" else "I cannot tell"


def test_a_report_says_what_must_be_known(world: tuple[Path, Records]) -> None:
    folder, records = world
    run = write_run(folder / "run", records, said, ("baseline", "cotasks", "blind-cotasks"), video_check="warn")
    paths = write_report([run], frames=False)
    summary = read_json(paths.summary)
    cautions = {row["caution"] for row in summary["cautions"]}
    assert cautions >= {"mixed origins", "step 1 saw the answer", "leakage", "thinking cut off", "other videos"}
    assert cautions >= {"unscored", "unreadable"}
    assert "leakage not measured" not in cautions
    texts = [row["text"] for row in summary["cautions"]]
    [leaks] = [text for text in texts if "its head word or its number can be read off the context" in text]
    assert leaks.startswith("cotasks, blind-cotasks: for 100.0% of 24 questions")
    assert all(any(text in warning for warning in summary["warnings"]) for text in texts)
    # scores by origin, with their differences, in each form of the report
    assert {row["origin"] for row in summary["origin_means"]} == {"human, saw the answer", "whole"}
    assert {row["condition"] for row in summary["origin_differences"]} == {"cotasks", "blind-cotasks"}
    questions = {row["origin"]: row["questions"] for row in summary["origin_means"]}
    assert questions == {"human, saw the answer": 12, "whole": 12}
    page, tex = paths.html.read_text("utf-8"), paths.latex.read_text("utf-8")
    for text in (paths.markdown.read_text("utf-8"), page, tex):
        assert "Scores by origin of step 1" in text
        assert "human, saw the answer (12)" in text.replace("{,}", ",")
        assert "had seen the answer" in text
    # the context names what is asked for: every answer can be read off it
    leak = {(row["condition"], row["measure"]): row for row in summary["leakage"] if row["level"] == "all"}
    assert leak["cotasks", "any"]["share"] == leak["blind-cotasks", "any"]["share"] == 1
    assert leak["question", "any"]["share"] == 0
    assert leak["cotasks", "any"]["excess_low"] > 0


def test_nothing_is_said_where_nothing_applies(world: tuple[Path, Records]) -> None:
    folder, records = world
    run = write_run(folder / "plain", records, lambda record, _: record.answer, ("baseline",))
    summary = read_json(write_report([run], frames=False).summary)
    assert summary["cautions"] == summary["origin_means"] == summary["leakage"] == summary["warnings"] == []
    assert len(summary["origins"]) == 2  # what it is stands there all the same


def test_predictions_that_saw_the_answer_are_said_to(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    predictions = {"folder": str(tmp_path), "fingerprint": "1", "saw_answer": 7}
    run = write_run(folder / "saw", records, lambda record, _: record.answer, ("baseline",), predictions=predictions)
    [row] = [row for row in summarise_runs([run])["cautions"] if row["caution"] == "step 1 saw the answer"]
    assert "predicted step 1 had seen the answer of 7 questions" in row["text"]


def test_records_that_are_gone_are_said_to_be(world: tuple[Path, Records]) -> None:
    folder, records = world
    run = write_run(folder / "gone", records, lambda record, _: record.answer)
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace(str(folder / "data"), str(folder / "nowhere")))
    summary = read_json(write_report([run], frames=False).summary)
    [row] = [row for row in summary["cautions"] if row["caution"] == "leakage not measured"]
    assert "its records are not at hand" in row["text"]


def test_questions_say_what_step_1_keeps(world: tuple[Path, Records], tmp_path: Path) -> None:
    records = world[1]
    write_questions(tmp_path / "questions.jsonl", records)
    for record, row in zip(records, read_jsonl(tmp_path / "questions.jsonl"), strict=True):
        a1, kept = record.frame_localization, localizes(record)
        assert (row["span_origin"], row["entity_origin"], row["used_answer"]) == (
            a1.span_origin,
            a1.entity_origin,
            a1.used_answer,
        )
        assert (row["grid_share"], row["entity_share"]) == (kept.grid_share, kept.entity_share)


def test_a_warning_is_a_row(world: tuple[Path, Records], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, records = world
    run = write_run(folder / "row", records, lambda record, _: record.answer, ("baseline",))
    monkeypatch.setattr(caution, "RUN", (*RUN, Caution("moon", lambda seen: [f"{len(seen.run.questions)} moons."])))
    summary = read_json(write_report([run], frames=False).summary)
    assert summary["warnings"] == ["row: 24 moons."]
    names = [row.name for row in (*RUN, *JUDGE)]
    assert len(names) == len(set(names))


def test_the_version_of_a_judge_is_said(world: tuple[Path, Records], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, records = world
    run = read_run(write_run(folder / "judged", records, lambda record, _: record.answer, ("baseline",)))
    [row] = [row for row in JUDGE if row.name == "judge and version"]
    verdicts = {key: Verdict(100.0, True, False, "right") for key in run.wanted}
    assert list(row.lines(Seen(run, "run", "m", "baseline", "run", judge="exact", verdicts=verdicts))) == []
    monkeypatch.setattr(caution, "served_models", lambda run, judge: Counter({"gpt-x-2026-01": 24}))
    [line] = row.lines(Seen(run, "run", "m", "baseline", "run", judge="openai:gpt-x", verdicts=verdicts))
    assert line.startswith("a language model gave the scores, served as gpt-x-2026-01: another one")


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        ("<think>well", True),
        ("<think>well</think>a dog", False),
        ("<think>a</think>b <think>c", True),
        ("a dog", False),
        ("</think>a dog", False),
        ("", False),
    ],
)
def test_an_unfinished_thought(answer: str, cut: bool) -> None:
    assert is_unfinished_thought(answer) is cut
