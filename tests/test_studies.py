"""The studies: what each asks, what it makes of the scores, and a run of each with a tiny model."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotasks.annotate.steps import MACHINE, SAME_A1, machine_steps
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.generate import Sampling
from cotasks.metrics.contrasts import Scores, together
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnRelation
from cotasks.records.own_files import read_annotation, write_annotation
from cotasks.runs.run import read_run
from cotasks.studies import (
    STUDIES,
    ablation,
    annotation,
    error_propagation,
    fine_tuning,
    frames,
    oracle_gap,
    run_study,
    write_study,
)
from cotasks.studies import bias as bias_study
from cotasks.studies.rows import means
from cotasks.studies.run import study_named
from cotasks.studies.study import Setup, Study, common_grid
from tests.test_contrasts import scores_of

VIDEOS = [f"v{n // 2}" for n in range(8)]


def rows_of(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def setup(grid: int = 8, **options: Any) -> Setup:
    """A setup for what looks at no record."""
    return Setup(load_records("sample", "validation", limit=1), grid, **options)


def test_every_condition_of_every_study_is_one() -> None:
    for study in STUDIES.values():
        for text in study.conditions(setup(grid=48, seeds=2)):
            assert parse_condition(text).name == text


def test_the_ablation_has_every_set_of_steps_once() -> None:
    asked = [parse_condition(text).steps for text in ablation.STUDY.conditions(setup())]
    assert len(asked) == len(set(asked)) == 16


def test_frames_double_up_to_the_grid() -> None:
    assert frames.frame_numbers(64) == [8, 16, 32, 64]
    assert frames.frame_numbers(48) == [8, 16, 32, 48]
    assert frames.frame_numbers(8) == [8]
    with pytest.raises(InputError, match="grid of 7 frames"):
        frames.frame_numbers(7)


def test_no_corruption_is_the_oracle_and_is_asked_once() -> None:
    asked = error_propagation.STUDY.conditions(setup(corruptions=(0.0, 0.5), seeds=3))
    assert asked == ["baseline", "cotasks", *(f"cotasks:corrupt=0.5,seed={seed}" for seed in range(3))]


def test_an_unknown_study_is_one_line() -> None:
    with pytest.raises(InputError, match="unknown study 'x'; known: ablation, error-propagation, frames, bias"):
        study_named("x")


def test_error_propagation_takes_the_mean_over_seeds() -> None:
    corrupted = {f"cotasks:corrupt=1,seed={seed}": [0.0, 100.0 * seed] * 4 for seed in range(2)}
    scores = scores_of({"baseline": [0.0] * 8, "cotasks": [100.0] * 8, **corrupted}, VIDEOS)
    found = error_propagation.error_propagation(scores, [0.0, 1.0], 2)
    [one] = rows_of(found["means"], corruption=1.0, group="all")
    assert one["mean"] == 25
    [difference] = rows_of(found["differences"], corruption=1.0, group="all")
    assert difference["mean"] == -75
    [base] = rows_of(found["means"], corruption=None, group="all")
    assert base["mean"] == 0


def test_frames_compares_arms_at_the_same_number_of_frames() -> None:
    values = {
        "baseline:frames=8": [0.0] * 8,
        "cotasks:frames=8": [20.0] * 8,
        "baseline:frames=16": [40.0] * 8,
        "cotasks:frames=16": [100.0] * 8,
        "cotasks:frames=16,context=8": [60.0] * 8,
    }
    found = frames.frames(scores_of(values, VIDEOS), [8, 16], [1.0, 1.0, 5.0, 5.0, 9.0, 9.0, 9.0, 9.0])
    gains = {(row["arm"], row["frames"]): row["mean"] for row in rows_of(found["gains"], group="all")}
    assert gains == {("rebuilt", 8): 20, ("fixed", 8): 20, ("rebuilt", 16): 60, ("fixed", 16): 20}
    assert {row["group"] for row in found["means"]} == {"all", "1.0 to 5.0 s", "9.0 to 9.0 s"}


def test_bias_says_how_much_of_the_gain_needs_no_video() -> None:
    values = {
        "baseline": [0.0, 20.0] * 4,
        "cotasks": [80.0, 100.0] * 4,
        "blind": [0.0, 0.0] * 4,
        "blind-cotasks": [20.0, 20.0] * 4,
    }
    readable = np.array([1.0, 0.0] * 3 + [np.nan, np.nan])
    found = bias_study.bias(scores_of(values, VIDEOS), readable)
    [share] = rows_of(found["shares"], group="all")
    assert share["value"] == pytest.approx(0.25)
    assert {row["group"]: row["questions"] for row in found["shares"]} == {
        "all": 8,
        "causal": 8,
        "answer in the context": 3,
        "answer not in the context": 3,
    }
    [difference] = rows_of(found["gains"], name="difference", group="all")
    assert difference["mean"] == 60


def test_oracle_gap_says_what_prediction_keeps() -> None:
    base = [10.0, 20.0] * 4
    values = {"baseline": base, "predicted": [score + 30 for score in base], "cotasks": [score + 60 for score in base]}
    found = oracle_gap.oracle_gap(scores_of(values, VIDEOS))
    [share] = rows_of(found["shares"], group="all")
    assert (share["value"], share["low"], share["high"]) == pytest.approx((0.5, 0.5, 0.5))
    assert [row["mean"] for row in rows_of(found["gains"], group="all")] == pytest.approx([30, 60, -30])


def test_the_ladder_says_what_survives_each_rung() -> None:
    base = [10.0, 20.0] * 4
    gains = {"baseline": 0, "predicted": 15, "machine": 30, "same-a1": 45, "cotasks": 60}
    values = {name: [score + gain for score in base] for name, gain in gains.items()}
    found = annotation.annotation(scores_of(values, VIDEOS))
    shares = {row["name"]: row["value"] for row in rows_of(found["shares"], group="all")}
    assert shares == {
        "share kept by same-a1": pytest.approx(0.75),
        "share kept by machine": pytest.approx(0.5),
        "share kept by predicted": pytest.approx(0.25),
    }
    losses = [row["mean"] for row in rows_of(found["gains"], group="all")][4:]
    assert losses == pytest.approx([-15, -15, -15])


def test_fine_tuning_holds_each_model_against_the_base() -> None:
    gains = {"base": (0, 5, 20), "sft": (30, 45, 40)}
    values = {
        f"{model}: {condition}": [score + gain for score in [10.0, 20.0] * 4]
        for model, each in gains.items()
        for condition, gain in zip(fine_tuning.CONDITIONS, each, strict=True)
    }
    found = fine_tuning.fine_tuning(scores_of(values, VIDEOS), ["sft"])
    assert [row["mean"] for row in rows_of(found["differences"], group="all")] == pytest.approx([30, 40, 20])
    assert {row["name"]: row["mean"] for row in rows_of(found["gains"], group="all")} == {
        "base: predicted - baseline": pytest.approx(5),
        "base: cotasks - baseline": pytest.approx(20),
        "sft: predicted - baseline": pytest.approx(15),
        "sft: cotasks - baseline": pytest.approx(10),
    }
    assert [row["mean"] for row in rows_of(found["pairs"], group="all")] == pytest.approx([10, -10])
    assert all(row["p_value"] is not None for name in ("differences", "pairs") for row in found[name])


@pytest.mark.parametrize(
    ("study", "tuned", "words"),
    [
        ("fine-tuning", {}, "0 tuned models; expected --tuned NAME=MODEL"),
        ("bias", {"sft": "tiny"}, "1 tuned models; expected them with `fine-tuning` only"),
        ("fine-tuning", {"../sft": "tiny"}, "tuned model '../sft'; expected a name"),
        ("fine-tuning", {"base": "tiny"}, "not base"),
    ],
)
def test_odd_tuned_models_are_one_line(
    study: str, tuned: dict[str, str], words: str, records: Records, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        run_study(study, records, "tiny", tmp_path / "out", tuned=tuned)
    assert not (tmp_path / "out").exists()


def test_scores_of_other_questions_are_not_put_together() -> None:
    one, other = scores_of({"baseline": [0.0] * 8}, VIDEOS), scores_of({"baseline": [0.0] * 4}, VIDEOS[:4])
    with pytest.raises(InputError, match="sft: a run of other questions"):
        together({"base": one, "sft": other})


def write_as_annotation(records: Records, folder: Path) -> Path:
    """The records' own scenes, as if a machine had found them."""
    rows = {}
    for record in records:
        scene = record.scene
        boxes = [
            OwnBox(track.tid, box.xyxy, frame=box.frame, generated=True)
            for track in scene.entity_tracking
            for box in track.boxes
        ]
        held = [
            OwnRelation(r.subject_tid, r.predicate, r.object_tid, frames=(frame, frame + 1), spatial=True)
            for r in scene.spatial_relations
            for frame in r.frames
        ]
        done = [
            OwnRelation(r.subject_tid, r.predicate, r.object_tid, frames=(r.begin_frame, r.end_frame))
            for r in scene.temporal_relations
        ]
        entities = tuple(OwnEntity(entity.tid, entity.category) for entity in scene.entities)
        rows[record.video_path] = OwnAnnotation(
            record.video_path, entities, tuple(boxes), (*held, *done), record.fps, record.frame_count
        )
    write_annotation(folder / "annotation.jsonl", rows.values())
    return folder


def test_a_perfect_machine_gives_the_true_steps(records: Records, tmp_path: Path) -> None:
    [one] = {record.video_path for record in records}
    [found] = read_annotation([write_as_annotation(records, tmp_path) / "annotation.jsonl"])
    assert found.video == one
    for record in records:
        steps = machine_steps(record, found, SAME_A1)
        assert {e.tid for e in steps.frame_localization.entities} == {
            e.tid for e in record.frame_localization.entities
        } & {track.tid for track in record.scene.entity_tracking}
        assert steps.frame_localization.frames == record.frame_localization.frames
        boxes = {t.tid: {b.frame: b.xyxy for b in t.boxes} for t in record.entity_tracking}
        assert {t.tid: {b.frame: b.xyxy for b in t.boxes} for t in steps.entity_tracking} == boxes
        assert set(steps.spatial_relations) == set(record.spatial_relations)
        assert set(steps.temporal_relations) == set(record.temporal_relations)
        assert machine_steps(record, found, MACHINE).frame_localization.span_origin in ("lexical", "whole")
        assert machine_steps(record, None, MACHINE).reasons[1] == "video not annotated by the machine"


def test_a_ladder_needs_a_machine(records: Records, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected --annotation"):
        annotation.prepare(Setup(records, 4), tmp_path, "machine")
    write_annotation(tmp_path / "annotation.jsonl", [OwnAnnotation("elsewhere.mp4")])
    with pytest.raises(InputError, match="expected annotation of the same videos"):
        annotation.prepare(Setup(records, 4, annotation=tmp_path), tmp_path, "machine")


@pytest.fixture(scope="module")
def records() -> Records:
    """Two questions about one clip of the sample."""
    found = load_records("sample", "validation", limit=1)
    return dataclasses.replace(found, rows=found.rows.select([0, 4]))


def test_what_can_be_read_off_the_context(records: Records) -> None:
    found = bias_study.readable_answers(records)
    assert list(found) == records.ids
    assert set(found.values()) <= {0.0, 1.0}


def tuned_model(folder: Path) -> Path:
    """The tiny model after two steps towards a text."""
    import torch

    from cotasks.models.tiny import build_tiny

    model, processor = build_tiny()
    tokens = processor.tokenizer("a dog runs after a ball", return_tensors="pt").input_ids
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_runs_goes_on_and_writes_the_same(study: str, records: Records, tmp_path: Path) -> None:
    row = STUDIES[study]
    tuned = {"sft": str(tuned_model(tmp_path / "sft")), "again": "tiny"} if row.asks_tuned else {}

    def run() -> tuple[Any, bool]:
        return run_study(
            study,
            records,
            "tiny",
            tmp_path,
            corruptions=(0.0, 1.0),
            predict_tokens=4,
            annotation=write_as_annotation(records, tmp_path / "machine"),
            tuned=tuned,
            sampling=Sampling(max_new_tokens=2),
            progress=False,
        )

    paths, complete = run()
    assert complete
    summary = json.loads(paths.summary.read_bytes())
    asked = [*row.conditions(Setup(records, common_grid(records), (0.0, 1.0))), *row.rungs]
    named = [f"{name}: {condition}" for name in ("base", *tuned) for condition in asked]
    assert summary["conditions"] == (named if tuned else asked)
    assert all(rows and all(row["questions"] <= 2 for row in rows) for rows in summary["tables"].values())
    page = paths.markdown.read_text(encoding="utf-8")
    assert all(f"({path.name})" in page and path.stat().st_size > 5000 for path in paths.plots)
    assert "random weights" in page
    if tuned:
        assert f"`base` tiny, `sft` {tmp_path / 'sft'}" in page.replace("\\", "")
        asked_runs = [read_run(tmp_path / name).generations for name in ("run", "run-sft", "run-again")]
        told = [{key: one["answer"] for key, one in each.items()} for each in asked_runs]
        assert told[0] == told[2] != told[1]

    before = {path: path.read_bytes() for path in [*tmp_path.rglob("*.json*"), paths.markdown, *paths.plots]}
    paths, complete = run()
    assert complete
    assert {path: path.read_bytes() for path in before} == before  # nothing was asked again


def test_missing_answers_are_said_and_count_in_no_mean(records: Records, tmp_path: Path) -> None:
    options: dict[str, Any] = {"sampling": Sampling(max_new_tokens=2), "progress": False}
    run_study("bias", records, "tiny", tmp_path, **options)
    [shard] = (tmp_path / "run" / "generations").glob("*.jsonl")
    shard.write_bytes(b"".join(shard.read_bytes().splitlines(keepends=True)[:-1]))
    paths = write_study("bias", records, tmp_path, "exact")
    summary = json.loads(paths.summary.read_bytes())
    assert any(warning.startswith("1 of 8 answers are unscored") for warning in summary["warnings"])
    assert sorted(row["questions"] for row in rows_of(summary["tables"]["means"], group="all")) == [1, 2, 2, 2]


def test_a_new_study_is_one_row(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up study, entered in the table, runs to its page; nothing else knows of it."""

    def tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[dict[str, Any]]]:
        return {"means": means(scores, ["baseline", "cotasks-1"], scores.groups())}

    def draw(figure: Any, tables: Any) -> None:
        figure.subplots().plot([row["mean"] or 0.0 for row in tables["means"]])

    row = Study(
        name="when",
        title="Does it help to know when?",
        reading="`cotasks-1` is told step 1 alone.",
        conditions=lambda setup: ["baseline", "cotasks-1"],
        tables=tables,
        pictures=lambda tables: [("when", draw)],
    )
    monkeypatch.setitem(STUDIES, "when", row)
    paths, complete = run_study("when", records, "tiny", tmp_path, sampling=Sampling(max_new_tokens=2), progress=False)
    assert complete
    page = paths.markdown.read_text(encoding="utf-8")
    assert page.startswith("# Does it help to know when?")
    assert "(when.png)" in page
    assert json.loads(paths.summary.read_bytes())["conditions"] == ["baseline", "cotasks-1"]


@pytest.mark.parametrize("levels", [(0.5, 0.25), (0.0, 1.5), (0.25, 0.25)])
def test_odd_corruptions_are_one_line(levels: tuple[float, ...], records: Records, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected probabilities between 0 and 1, ascending"):
        run_study("error-propagation", records, "tiny", tmp_path, corruptions=levels)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["x"], "cotasks: unknown study 'x'; known: ablation, error-propagation, frames, bias, oracle-gap, annotation"),
        (["error-propagation", "--corruptions", "0,much"], "expected numbers such as 0,0.5,1"),
        (["fine-tuning", "--tuned", "sft"], "tuned sft; expected NAME=MODEL, each name once"),
        (["bias", "--base-url", "http://localhost:1/v1"], "base_url: only for a server; expected --backend server"),
    ],
)
def test_odd_commands_are_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = arguments
    command = ["study", name, "sample", "--model", "tiny", "--limit", "1", "--out", str(tmp_path / "out"), *options]
    assert main(command) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in error
    assert not (tmp_path / "out").exists()
