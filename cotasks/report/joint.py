"""Joint scores of runs: what is read of a run's folder and of its records, the rows of `summary.json`, the table.

Predicted steps are those that lie in the run's folder (`steps/`, written by `cotasks import`), or those that the run
told (`predictions` in run.json). CaST-Bench's scores need no records: `evidence.jsonl` of the run holds what is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.evidence import castbench
from cotasks.judge.verdicts import Verdict
from cotasks.metrics.joint import JOINT, Case, joint_rows, overlap
from cotasks.records.shards import EVIDENCE
from cotasks.report.summary import Row, Scored
from cotasks.report.tables import NOTHING, Line, Table
from cotasks.runs.folder import Key
from cotasks.runs.predictions import PredictionsFolder, load_predictions
from cotasks.runs.records import named_records, says_which
from cotasks.runs.run import Run
from cotasks.step_scores.table import scores_of
from cotasks.tools.files import read_jsonl

MARKED = ("human", "annotation")
"""Origins of spans that somebody marked."""
MAIN = {1: "frame_f1", 2: "mean_iou", 3: "triple_f1", 4: "span_f1"}
"""Step -> its main score, by which it counts as right."""
FOLDER = "steps"
NOTES = (
    "Joint scores run from 0 to 1, with 95% intervals over videos; each is defined at the head of "
    "`cotasks/metrics/joint.py`. Questions that do not define a score are in no mean.",
)


@dataclass
class _Sides:
    """What a run's questions hold, by record id."""

    overlaps: dict[str, tuple[float, float]] = field(default_factory=dict)
    """(IoP, IoU) of spans."""
    steps: dict[str, Mapping[int, float | None]] = field(default_factory=dict)
    truth: dict[str, castbench.Published] = field(default_factory=dict)
    said: dict[str, tuple[castbench.Timeline, ...]] = field(default_factory=dict)
    """The evidence as it is read here, boxes in pixels."""
    boxes: str = ""
    """The convention of boxes, and on what ground."""


def joint_of(one: Scored, dataset: str | None) -> tuple[list[Row], list[str]]:
    """(rows of `joint`, warnings).

    Args:
        one: the run.
        dataset: where its records are; None for where run.json says.
    """
    sides, warnings = _Sides(), []
    try:
        _read_castbench(one.run, sides)
        found = _predictions(one.run)
        if found is not None:
            _read_steps(one.run, found, dataset, sides)
    except InputError as error:
        warnings.append(f"no joint scores with predicted steps: {error}.")
    rows: list[Row] = []
    if not (sides.truth or sides.steps or sides.overlaps):
        return rows, warnings
    label = {"run": one.name, "model": one.model}
    for condition in one.run.conditions:
        cases = _cases(one.run, condition, {}, sides)
        rows += [{**label, "judge": None, "condition": condition, **row} for row in joint_rows(cases, by_judge=False)]
        for judge, verdicts in one.verdicts.items():
            cases = _cases(one.run, condition, verdicts, sides)
            rows += [
                {**label, "judge": judge, "condition": condition, **row} for row in joint_rows(cases, by_judge=True)
            ]
    return [{**row, "boxes": sides.boxes} for row in rows], warnings


def _read_castbench(run: Run, sides: _Sides) -> None:
    if (run.folder / EVIDENCE).is_file():
        sides.truth = {str(row.get("id")): castbench.truth_of(row) for row in read_jsonl(run.folder / EVIDENCE)}
    said = run.folder / FOLDER / EVIDENCE
    if sides.truth and said.is_file():
        sides.said = {str(row.get("id")): castbench.truth_of(row).timelines for row in read_jsonl(said)}


def _predictions(run: Run) -> Path | None:
    """The folder of the steps that belong to a run's answers."""
    if (run.folder / FOLDER / "run.json").is_file():
        return run.folder / FOLDER
    told = run.settings.get("predictions")
    folder = Path(told["folder"]) if isinstance(told, dict) and isinstance(told.get("folder"), str) else None
    return folder if folder is not None and (folder / "run.json").is_file() else None


def _read_steps(run: Run, folder: Path, dataset: str | None, sides: _Sides) -> None:
    """Raises InputError where records or predictions are not at hand, or do not belong together."""
    named: Any = run.settings.get("dataset")
    if not says_which(named):
        raise InputError(f"{run.folder}: run.json does not say which records it is about")
    records = named_records(named, dataset, {})
    found: PredictionsFolder = load_predictions(folder, records, ())
    said = found.settings.get("boxes")
    sides.boxes = said.get("ground", "") if isinstance(said, dict) else ""
    scores = scores_of(records, found)
    for record in records:
        of = scores.get(record.id, {})
        sides.steps[record.id] = {step: of[step].get(metric) for step, metric in MAIN.items() if step in of}
        truth = record.frame_localization
        if truth.span_origin in MARKED and 1 in of:
            predicted = found.of(record).frame_localization
            if predicted is not None:
                sides.overlaps[record.id] = overlap(predicted.spans, truth.spans)


def _cases(run: Run, condition: str, verdicts: Mapping[Key, Verdict], sides: _Sides) -> list[Case]:
    """The questions of a run under a condition."""
    right: dict[str, list[bool]] = {}
    for (record_id, name, _), verdict in verdicts.items():
        if name == condition and verdict.correct is not None:
            right.setdefault(record_id, []).append(verdict.correct)
    answers = {key[0]: row for key, row in run.generations.items() if key[1] == condition and key[2] == 0}
    cases = []
    for record_id, question in run.questions.items():
        found = right.get(record_id)
        share = None if found is None else sum(found) / len(found)
        iop, iou = sides.overlaps.get(record_id, (None, None))
        published = read = None
        truth = sides.truth.get(record_id)
        if truth is not None:
            answer = answers.get(record_id, {}).get("answer")
            said = castbench.read_as_published(answer if isinstance(answer, str) else "")
            published = castbench.score(said.choice == truth.choice, said.timelines, truth.timelines)
            ours = sides.said.get(record_id)
            if ours is not None and share is not None:
                read = castbench.score(share >= 0.5, ours, truth.timelines)
        steps = sides.steps.get(record_id, {})
        cases.append(Case(question["video_id"], share, iop, iou, steps, published, read))
    return cases


def joint_table(summary: Mapping[str, Any]) -> Table | None:
    """Runs by score; None where no run has evidence."""
    lines = [
        Line(
            [
                row["model"],
                row["condition"],
                row["judge"] or NOTHING,
                row["title"],
                str(row["questions"]),
                str(row["videos"]),
                _interval(row),
            ]
        )
        for name in JOINT
        for row in summary["joint"]
        if row["score"] == name
    ]
    header = ["Model", "Condition", "Judge", "Score", "Questions", "Videos", "Mean"]
    return Table(header, lines, 4) if lines else None


def _interval(row: Row) -> str:
    if row["mean"] is None:
        return NOTHING
    ends = "n/a" if row["low"] is None else f"{row['low']:.3f}, {row['high']:.3f}"
    return f"{row['mean']:.3f} [{ends}]" + (" rough" if row.get("rough") else "")


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read the table."""
    if not summary["joint"]:
        return []
    grounds = {row["model"]: row["boxes"] for row in summary["joint"] if row["boxes"]}
    return [*NOTES, *(f"Boxes of {model}: {ground}." for model, ground in grounds.items())]


def joint_parts(scored: Sequence[Scored], dataset: str | None) -> tuple[list[Row], list[str]]:
    """(rows of `joint` of all runs, warnings)."""
    rows: list[Row] = []
    warnings: list[str] = []
    for one in scored:
        found, said = joint_of(one, dataset)
        rows += found
        warnings += [f"{one.name}: {text}" for text in said]
    return rows, warnings
