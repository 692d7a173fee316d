"""The step table of predictions folders, by steps that say the truth, nonsense or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.imports import import_answers
from cotasks.judge.run import judge_run
from cotasks.records.dataset import load_records
from cotasks.runs.predictions import read_predictions
from cotasks.step_scores.report import render, write_step_report
from cotasks.step_scores.table import METRICS
from tests.test_predict import Speaker, run, speak, speaker, world

__all__ = ["speaker", "world"]


def test_an_echo_of_the_truth_scores_full_on_every_step(speaker: Speaker, world: Path, tmp_path: Path) -> None:
    result = run(world, tmp_path / "echo")
    paths, summary = write_step_report([tmp_path / "echo"], judge="f1", videos=world / "videos")
    assert summary == json.loads(paths.summary.read_bytes())
    for row in summary["rows"]:
        if row.get("baseline"):
            continue
        if row["step"] == 2 and row["metric"] in ("mean_iou", "viou"):
            assert row["mean"] > 95, row  # coordinates are rounded
        elif row["mean"] is not None:
            assert row["mean"] == pytest.approx(100), row
    said = [row for row in summary["rows"] if "predicted" in row]
    assert {(row["predicted"], row["failed"], row["unreadable"], row["partly_read"]) for row in said} == {
        (result.total // 4, 0, 0, 0)
    }
    page = paths.markdown.read_text(encoding="utf-8")
    assert "judge F1" in page
    assert "| 4 temporal relations" in page
    assert (
        page.count("*says none*") == page.count("*chance*") == sum(map(len, METRICS.values())) + 1
    )  # a row of each score, and the note


def test_nonsense_scores_0_even_where_nothing_was_to_be_said(
    monkeypatch: pytest.MonkeyPatch, world: Path, tmp_path: Path
) -> None:
    speak(monkeypatch, Speaker(lambda record, step: "gibberish"))
    run(world, tmp_path / "noise")
    _, summary = write_step_report([tmp_path / "noise"])
    for row in summary["rows"]:
        if row["baseline"]:
            continue
        assert row["mean"] == (0 if row["questions"] else None)
        assert row["questions"] > 0 or row["metric"] == "none_when_there_is_none"
        assert row["unreadable"] == row["predicted"] > 0


def test_a_step_that_failed_has_no_score_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, speaker: Speaker, world: Path, tmp_path: Path
) -> None:
    record_id = sorted({key[0] for key in run_once(speaker, world, tmp_path / "first")})[0]
    speak(monkeypatch, Speaker(fails=[(record_id, "step-2")]))
    result = run(world, tmp_path / "broken")
    _, summary = write_step_report([tmp_path / "broken"], judge="f1", videos=world / "videos")
    counts = {row["step"]: row["failed"] for row in summary["rows"] if "failed" in row}
    assert counts == {1: 0, 2: 1, 3: 1, 4: 1}
    questions = {row["step"]: row["questions"] for row in summary["rows"] if row["metric"] == "judge f1"}
    assert questions == {1: result.total // 4, **dict.fromkeys((2, 3, 4), result.total // 4 - 1)}
    assert ", 1 unscored" in render(summary)


def run_once(speaker: Speaker, world: Path, out: Path) -> list[tuple[str, str, int]]:
    run(world, out)
    return list(speaker.asked)


def test_the_command_compares_folders(
    speaker: Speaker, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("own", "oracle"):
        run(world, tmp_path / name, given=name)
    assert main(["steps", str(tmp_path / "own"), str(tmp_path / "oracle"), "--out", str(tmp_path / "table")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("frame F1") == 6  # two runs, and the baselines once: they are over the same records
    assert printed.count("says none") == 12
    assert "frame recall" not in printed
    assert (tmp_path / "table" / "steps.md").exists()


def test_answers_are_joined_with_the_steps_that_they_were_given(
    speaker: Speaker, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An echo of the truth has every step right, so what is right given a step is what is right."""
    steps = tmp_path / "steps"
    run(world, steps)
    (tmp_path / "questions.jsonl").write_text("{}\n")  # of something else: a folder is a run's by its run.json
    records = read_predictions(steps).settings["dataset"]["name"]
    loaded = load_records(records)
    said = [{"id": row.id, "answer": row.answer if n % 2 else "no"} for n, row in enumerate(loaded)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    import_answers(tmp_path / "answers.jsonl", loaded, tmp_path / "plain")
    with pytest.raises(InputError, match=r"plain: no verdicts; write them with `cotasks judge"):
        write_step_report([steps], tmp_path / "table", answers=[tmp_path / "plain"])
    judge_run(tmp_path / "plain", "exact")
    run(world, tmp_path / "other", given="oracle")
    # which of two, the run does not say
    with pytest.raises(InputError, match="names no predictions; give it beside one predictions folder only"):
        write_step_report([steps, tmp_path / "other"], tmp_path / "table", answers=[tmp_path / "plain"])
    command = ["steps", str(steps), "--answers-of", str(tmp_path / "plain"), "--out", str(tmp_path / "table")]
    assert main(command) == 0
    assert "right, given step 3 right" in capsys.readouterr().out
    rows = json.loads((tmp_path / "table/steps.json").read_bytes())["joint"]
    means = {row["score"]: row["mean"] for row in rows if row["judge"] == "exact"}
    right = sum(row["answer"] == record.answer for row, record in zip(said, loaded, strict=True)) / len(said)
    assert means["accuracy"] == pytest.approx(right)
    assert 0 < right < 1
    assert "right_given_no_step_1" not in means

    # a run that was given other predictions belongs to those
    settings = json.loads((tmp_path / "plain/run.json").read_bytes())
    settings["predictions"] = {"folder": str(tmp_path / "other")}
    (tmp_path / "plain/run.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="which is none of the predictions given"):
        write_step_report([steps], tmp_path / "table", answers=[tmp_path / "plain"])
    _, summary = write_step_report([steps, tmp_path / "other"], tmp_path / "table", answers=[tmp_path / "plain"])
    assert {row["run"] for row in summary["joint"] if row["answers"]} == {"other"}


def test_what_is_no_predictions_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a predictions folder"):
        write_step_report([tmp_path])
    with pytest.raises(InputError, match="no predictions folder given"):
        write_step_report([])
