"""summary.json and report.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.run import judge_run
from cotasks.pages.markdown import escape, table
from cotasks.report import latex, summarise_runs, write_report
from cotasks.report.markdown import render
from cotasks.runs import folder as runs
from cotasks.words.types import NEXTQA, STAR

GOLDEN = Path(__file__).parent / "golden" / "report"


def add_question(folder: Path, id_: str, type_: str, video: str) -> None:
    choices = ["sit", "run", "eat", "jump", "wave"] if type_ not in ("DC", "DB") else []
    star = type_ in STAR.categories
    origin = "annotation" if star else "human" if choices else "whole"
    row = {
        "id": id_,
        "video_id": video,
        "source": "star" if type_ in STAR.categories else "nextqa",
        "category": {**NEXTQA.categories, **STAR.categories}[type_],
        "question_type": type_,
        "question": "what happens | here",
        "answer": "run" if choices else "two",
        "additional_answers": [],
        "choices": choices,
        "answer_index": 1 if choices else -1,
        "span_origin": origin,
        "entity_origin": "annotation" if star else "lexical",
        "used_answer": origin == "human",
        "grid_share": {"annotation": 0.5, "human": 0.25, "whole": 1}[origin],
        "entity_share": 0.5,
    }
    with runs.Appender(folder / "questions.jsonl") as file:
        file.append(row)


def add(folder: Path, part: str, id_: str, condition: str, **fields: Any) -> None:
    with runs.Appender(folder / part / "00000.jsonl") as file:
        file.append({"id": id_, "condition": condition, "sample": 0, **fields})


def write_run(folder: Path, **settings: Any) -> Path:
    """One video, a causal and a temporal question, right under cotasks only; not yet judged."""
    given = {"model": {"name": "org/model"}, "conditions": {"baseline": {}, "cotasks": {}}, **settings}
    runs.settle(folder, given)
    for id_, type_ in (("q0", "CW"), ("q1", "TN")):
        add_question(folder, id_, type_, "v0")
        add(folder, "generations", id_, "baseline", answer="A")
        add(folder, "generations", id_, "cotasks", answer="B")
    return folder


def write_large_run(folder: Path, seed: int = 0, **settings: Any) -> Path:
    """48 NExT-QA questions of 24 videos and 12 STAR questions of 6, with every kind of answer; judged."""
    conditions = {"baseline": {"steps": []}, "cotasks": {"steps": [1, 2, 3, 4]}}
    chosen = {
        "model": {"name": "org/Model_7B", "dtype": "bfloat16"},
        "dataset": {"name": "sample", "fingerprint": "0123"},
        "conditions": conditions,
    }
    runs.settle(folder, {**chosen, "num_frames": 64, "versions": {"cotasks": "0.1.0"}, **settings})
    types = ["CW", "TN", "DC", "CH", "TP", "DB"] * 8 + [
        "Interaction",
        "Sequence",
        "Prediction",
        "Feasibility",
    ] * 3
    for n, type_ in enumerate(types):
        id_ = f"q{n:02}"
        add_question(folder, id_, type_, f"v{n // 2}")
        right = "two" if type_ in ("DC", "DB") else "B. run"
        for condition, rate in (("baseline", 3), ("cotasks", 7)):
            if n == 5 and condition == "cotasks":
                add(folder, "failures", id_, condition, reason="video `a|b` <img src=x onerror=alert(1)>")
            elif n == 6 and condition == "baseline":
                continue
            elif n % 17 == 3:
                add(folder, "generations", id_, condition, answer="<b>I cannot</b> | tell" if n % 2 else "")
            else:
                is_right = (n * 7 + seed + n // 10) % 10 < rate
                finish = "length" if n % 11 == 0 else "stop"
                cut = n % 3 if condition == "cotasks" else 0
                answer = right if is_right else "sit"
                add(folder, "generations", id_, condition, answer=answer, finish_reason=finish, cut_items=cut)
    judge_run(folder)
    return folder


def test_golden_report(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """To accept a change: `pytest tests/test_report.py --update-golden`, and read the difference."""
    paths = write_report([write_large_run(tmp_path / "run")])
    if request.config.getoption("--update-golden"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / "report.md").write_bytes(paths.markdown.read_bytes())
        (GOLDEN / "summary.json").write_bytes(paths.summary.read_bytes())
    assert paths.markdown.read_text("utf-8") == (GOLDEN / "report.md").read_text("utf-8")
    assert_close(json.loads(paths.summary.read_bytes()), json.loads((GOLDEN / "summary.json").read_bytes()))


def assert_close(found: Any, expected: Any, place: str = "") -> None:
    """Equal, but for the last digits of numbers."""
    assert type(found) is type(expected), place
    if isinstance(found, dict):
        assert found.keys() == expected.keys(), place
        for key in found:
            assert_close(found[key], expected[key], f"{place}.{key}")
    elif isinstance(found, list):
        assert len(found) == len(expected), place
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{place}[{number}]")
    else:
        assert found == (pytest.approx(expected, rel=1e-6) if isinstance(found, float) else expected), place


def test_the_summary_is_flat_and_holds_the_numbers(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder)
    summary = json.loads(write_report([folder]).summary.read_bytes())
    means = {(m["condition"], m["level"], m["name"]): m for m in summary["means"] if m["group"] == "nextqa"}
    assert means["baseline", "micro", "average"]["mean"] == 0
    assert means["cotasks", "category", "causal"]["mean"] == 100
    assert means["cotasks", "micro", "average"]["low"] is None  # a single video
    difference = next(d for d in summary["differences"] if (d["group"], d["level"]) == ("nextqa", "micro"))
    assert (difference["mean"], difference["questions"], difference["judge"]) == (100, 2, "exact")
    assert {m["model"] for m in summary["means"]} == {"org/model"}
    assert summary["runs"][0]["folder"] == "."
    assert summary["warnings"] == []
    for row in [*summary["means"], *summary["differences"], *summary["unscored"]]:
        assert not any(isinstance(value, dict | list) for value in row.values())


def test_the_report_is_the_same_every_time_and_has_no_path_in_it(tmp_path: Path) -> None:
    folder = write_large_run(tmp_path / "run")
    first = [path.read_bytes() for path in vars(write_report([folder])).values()]
    assert first == [path.read_bytes() for path in vars(write_report([folder])).values()]
    assert not any(str(tmp_path).encode() in content for content in first)
    assert not list(folder.glob("*.part"))


def test_several_runs_stand_in_one_table(tmp_path: Path) -> None:
    folders = [write_large_run(tmp_path / "one"), write_large_run(tmp_path / "two", seed=3)]
    folders.append(write_run(tmp_path / "three", model={"name": "other"}, dataset={"fingerprint": "4567"}))
    judge_run(folders[2])
    paths = write_report(folders, out=tmp_path / "out")
    summary = json.loads(paths.summary.read_bytes())
    assert [run["folder"] for run in summary["runs"]] == ["../one", "../two", "../three"]
    assert any("over different data" in warning for warning in summary["warnings"])
    text = paths.markdown.read_text("utf-8")
    main = text.partition("## STAR")[0]
    assert [line.split("|")[1].strip() for line in main.splitlines() if "| baseline" in line] == [
        r"org/Model\_7B (one)",
        r"org/Model\_7B (two)",
        "other",
    ]
    star = text.partition("## STAR")[2].partition("##")[0]
    assert "other" not in star  # it has no STAR question


def test_every_judge_of_a_run_is_reported_or_the_one_asked_for(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder, "exact")
    judge_run(folder, "f1")
    assert {m["judge"] for m in summarise_runs([folder])["means"]} == {"exact", "f1"}
    assert {m["judge"] for m in summarise_runs([folder], judge="f1")["means"]} == {"f1"}
    text = write_report([folder]).markdown.read_text("utf-8")
    assert "## NExT-QA questions, judge exact" in text
    assert "## NExT-QA questions, judge f1" in text


def test_what_a_reader_must_know_is_said(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run",
        model={"name": "tiny", "note": "its answers mean nothing"},
        conditions={"blind": {}, "cotasks": {}},
    )
    add_question(folder, "q2", "DO", "v0")
    judge_run(folder)
    add(folder, "generations", "q2", "cotasks", answer="late")
    add(folder, "generations", "stranger", "cotasks", answer="who")
    add(folder, "failures", "q2", "blind", reason="out of memory")
    warnings = "\n".join(summarise_runs([folder], baseline="bare")["warnings"])
    for expected in (
        "the model `tiny`: its answers mean nothing.",
        "no condition is called 'bare'",
        "1 ids that are no question",
        "generation is not finished",
        "run `cotasks judge` again",
        "answers are unscored",
    ):
        assert expected in warnings
    assert "out of memory" in write_report([folder]).markdown.read_text("utf-8")


def test_what_all_judges_lack_is_said_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    add_question(folder, "q2", "DO", "v0")
    add(folder, "failures", "q2", "baseline", reason="out of memory")
    judge_run(folder, "exact")
    judge_run(folder, "f1")
    text = write_report([folder]).markdown.read_text("utf-8")
    assert text.count("judges exact, f1: 2 of 6 answers are unscored") == 1
    assert len([line for line in text.splitlines() if "failed: out of memory" in line]) == 1
    assert len(summarise_runs([folder])["unscored"]) == 4


def test_without_a_baseline_there_is_still_a_report(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder)
    text = write_report([folder], baseline="bare").markdown.read_text("utf-8")
    assert "## Differences" not in text
    assert "minus" not in text
    text = write_report([folder], baseline="cotasks").markdown.read_text("utf-8")
    assert "baseline minus cotasks" in text
    assert "-100.0" in text


def test_nothing_generated_for_a_condition(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", conditions={"baseline": {}, "cotasks": {}, "blind": {}})
    judge_run(folder)
    line = next(x for x in write_report([folder]).markdown.read_text("utf-8").splitlines() if "| blind " in x)
    assert "2 of 2: average 0.0 to 100.0" in line
    assert "- (2 unscored)" in line


def test_the_bad_is_named_and_the_sound_reported(tmp_path: Path) -> None:
    good, bare, half = (write_run(tmp_path / name) for name in ("good", "bare", "half"))
    judge_run(good)
    judge_run(half)
    with (half / "generations" / "00000.jsonl").open("ab") as file:
        file.write(b'{"id": "torn')
    (half / "verdicts" / "exact.jsonl").write_bytes((half / "verdicts" / "exact.jsonl").read_bytes()[:-9])
    with pytest.raises(InputError, match="no verdicts; write them with `cotasks judge "):
        write_report([bare])
    with pytest.raises(InputError, match="no verdicts"):
        write_report([good], judge="f1")
    with pytest.raises(InputError, match="unknown judge 'bleu'"):
        write_report([good], judge="bleu")
    with pytest.raises(InputError, match="not a run folder"):
        write_report([tmp_path])
    with pytest.raises(InputError, match="no run folder given"):
        write_report([])
    assert not (bare / "report.md").exists()
    assert not (tmp_path / "summary.json").exists()

    summary = summarise_runs([good, bare, tmp_path, half])
    assert [run["run"] for run in summary["runs"]] == ["good", "half"]
    assert sum("is left out" in warning for warning in summary["warnings"]) == 2
    assert any("1 answers are not judged" in warning for warning in summary["warnings"])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / part / "run") for part in ("a", "b")]
    for folder in folders:
        judge_run(folder)
    assert len({m["run"] for m in summarise_runs(folders)["means"]}) == 2


HOSTILE = "<img src=x onerror=alert(1)> | [a](http://b) `c` **d** &lt; $e$ \n# f ~g~ \\ www.h.i"


def cells_of(text: str) -> list[list[str]]:
    """The cells of all table rows, as a Markdown reader shows them. Fails on anything but text in them."""
    markdown_it = pytest.importorskip("markdown_it")
    rows: list[list[str]] = []
    for token in markdown_it.MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text):
        assert token.type != "html_block"
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and rows:
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, token.content
            rows[-1].append("".join(child.content for child in children))
    return rows


@settings(deadline=None)  # the first example imports the reader
@given(st.text())
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    cells = cells_of(table(["head", "tail"], [[escape(text, 10**6), "end"]]))
    assert cells[0] == ["head", "tail"]
    assert cells[1][1] == "end"
    unseen = ("Cc", "Cf", "Cs", "Zl", "Zp")
    shown = [c for c in text if unicodedata.category(c) not in unseen and not c.isspace()]
    assert "".join(cells[1][0].split()) == "".join(shown)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", model={"name": HOSTILE}, conditions={HOSTILE: {}}, note=HOSTILE)
    add(folder, "generations", "q0", HOSTILE, answer=HOSTILE)
    add(folder, "failures", "q1", HOSTILE, reason=HOSTILE)
    judge_run(folder)
    text = write_report([folder]).markdown.read_text("utf-8")
    shown = " ".join(HOSTILE.split())
    rows = cells_of(text.partition("## How to read this")[0].partition("## NExT-QA")[2].partition("\n")[2])
    assert [shown, shown] in [row[:2] for row in rows]
    assert ["note", shown] in rows
    assert any(f"failed: {shown}" in row for row in rows)
    assert "<img" not in text.replace(r"\<", "")
    assert "](" not in text.replace(r"\]", "")
    assert "http://" not in text
    assert "www." not in text


def test_many_reasons_are_cut_in_the_text_only(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", conditions={"baseline": {}, "cotasks": {}, "blind": {}})
    judge_run(folder)
    for n in range(50):
        add_question(folder, f"x{n}", "CW", "v1")
        add(folder, "failures", f"x{n}", "blind", reason=f"reason {n}")
    paths = write_report([folder])
    assert len(json.loads(paths.summary.read_bytes())["unscored"]) > 50
    text = paths.markdown.read_text("utf-8")
    assert 20 < text.count("failed: reason") < 40
    assert "more reasons, of " in text


def test_render_reads_what_was_written(tmp_path: Path) -> None:
    paths = write_report([write_large_run(tmp_path / "run")])
    assert render(json.loads(paths.summary.read_bytes())) == paths.markdown.read_text("utf-8")


def test_import_is_light() -> None:
    program = (
        "import sys, cotasks.report, cotasks.judge; "
        "print([m for m in ('torch', 'transformers', 'openai', 'matplotlib') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_warning_is_cut(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder)
    summary = summarise_runs([folder])
    warning = f"its conditions are {', '.join(f'condition{number}' for number in range(200))}, and that is all."
    for written in (render, latex.render):
        assert warning in written({**summary, "warnings": [warning]})
