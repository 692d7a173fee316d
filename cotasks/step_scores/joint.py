"""What joint scores are made of: a run's answers with their verdicts, and the steps that go with them.

Predicted steps are those that lie in the run's folder (`steps/`, written by `cotasks import`), or those that the run
told (`predictions` in run.json), or a predictions folder that is named beside a run. CaST-Bench's scores need no
records: `evidence.jsonl` of the run holds what is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.evidence import castbench
from cotasks.judge.verdicts import Verdict
from cotasks.metrics.joint import Case, joint_rows, overlap
from cotasks.records.dataset import Records
from cotasks.records.shards import EVIDENCE
from cotasks.runs.folder import Key
from cotasks.runs.predictions import PredictionsFolder, load_predictions
from cotasks.runs.records import Loaded, named_records, says_which
from cotasks.runs.run import Run
from cotasks.step_scores.table import StepScores, scores_of
from cotasks.tools.files import read_jsonl

Row = dict[str, Any]

MARKED = ("human", "annotation")
"""Origins of spans that somebody marked."""
MAIN = {1: "frame_f1", 2: "mean_iou", 3: "triple_f1", 4: "span_f1"}
"""Step -> its main score, by which it counts as right."""
FOLDER = "steps"
"""The predictions folder within a run's own."""


@dataclass
class Evidence:
    """What predictions and annotation say of questions, by record id."""

    overlaps: dict[str, tuple[float, float]] = field(default_factory=dict)
    """(IoP, IoU) of spans."""
    steps: dict[str, Mapping[int, float | None]] = field(default_factory=dict)
    """Step -> its main score, 0 to 1."""
    videos: dict[str, str] = field(default_factory=dict)
    """The video of each question that has steps."""
    truth: dict[str, castbench.Published] = field(default_factory=dict)
    said: dict[str, tuple[castbench.Timeline, ...]] = field(default_factory=dict)
    """The evidence as it is read here, boxes in pixels."""
    boxes: str = ""
    """The convention of boxes, and on what ground."""

    def __bool__(self) -> bool:
        """Whether there is anything to score by."""
        return bool(self.truth or self.steps or self.overlaps)


def add_castbench(run: Run, evidence: Evidence) -> None:
    """What is true of CaST-Bench's questions, and what the answers of a run say of it, where its folder holds that."""
    if (run.folder / EVIDENCE).is_file():
        evidence.truth = {str(row.get("id")): castbench.truth_of(row) for row in read_jsonl(run.folder / EVIDENCE)}
    said = run.folder / FOLDER / EVIDENCE
    if evidence.truth and said.is_file():
        evidence.said = {str(row.get("id")): castbench.truth_of(row).timelines for row in read_jsonl(said)}


def predictions_of(run: Run) -> Path | None:
    """The folder of the steps that belong to a run's answers; None where there is none, or it is gone."""
    if (run.folder / FOLDER / "run.json").is_file():
        return run.folder / FOLDER
    told = run.settings.get("predictions")
    folder = Path(told["folder"]) if isinstance(told, dict) and isinstance(told.get("folder"), str) else None
    return folder if folder is not None and (folder / "run.json").is_file() else None


def add_steps_of(run: Run, folder: Path, dataset: str | None, evidence: Evidence, loaded: Loaded) -> None:
    """The steps of a predictions folder against the records that a run is about.

    Raises InputError where records or predictions are not at hand, or do not belong together.
    """
    named: Any = run.settings.get("dataset")
    if not says_which(named):
        raise InputError(f"{run.folder}: run.json does not say which records it is about")
    records = named_records(named, dataset, loaded)
    found = load_predictions(folder, records, ())
    add_steps(records, found, scores_of(records, found), evidence)


def add_steps(records: Records, found: PredictionsFolder, scores: Mapping[str, StepScores], evidence: Evidence) -> None:
    """The scores of predicted steps, and the overlap of their spans with those that somebody marked.

    Args:
        records: with the true steps.
        found: the predictions.
        scores: of each record's predictions, by its id, see `scores_of`.
        evidence: what they are added to.
    """
    said = found.settings.get("boxes")
    evidence.boxes = said.get("ground", "") if isinstance(said, dict) else ""
    for record in records:
        of = scores.get(record.id, {})
        evidence.videos[record.id] = record.video_id
        evidence.steps[record.id] = {step: of[step].get(metric) for step, metric in MAIN.items() if step in of}
        truth = record.frame_localization
        if truth.span_origin in MARKED and 1 in of:
            predicted = found.of(record).frame_localization
            if predicted is not None:
                evidence.overlaps[record.id] = overlap(predicted.spans, truth.spans)


def rows_of_evidence(evidence: Evidence) -> list[Row]:
    """The scores that need no answer, over all questions that have steps."""
    cases = []
    for record_id, video_id in evidence.videos.items():
        iop, iou = evidence.overlaps.get(record_id, (None, None))
        cases.append(Case(video_id, None, iop, iou, evidence.steps.get(record_id, {})))
    return [{"judge": None, "condition": None, **row} for row in joint_rows(cases, by_judge=False)]


def rows_of_run(run: Run, verdicts: Mapping[str, Mapping[Key, Verdict]], evidence: Evidence) -> list[Row]:
    """The scores of a run under each condition, with its {judge, condition}: those that need no verdict once, then
    those of each judge.

    Args:
        run: the answers.
        verdicts: {judge: {key: verdict}}
        evidence: of its questions.
    """
    rows: list[Row] = []
    for condition in run.conditions:
        label = {"judge": None, "condition": condition}
        rows += [{**label, **row} for row in joint_rows(_cases(run, condition, {}, evidence), by_judge=False)]
        for judge, of in verdicts.items():
            label = {"judge": judge, "condition": condition}
            rows += [{**label, **row} for row in joint_rows(_cases(run, condition, of, evidence), by_judge=True)]
    return rows


def _cases(run: Run, condition: str, verdicts: Mapping[Key, Verdict], evidence: Evidence) -> list[Case]:
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
        iop, iou = evidence.overlaps.get(record_id, (None, None))
        published = read = None
        truth = evidence.truth.get(record_id)
        if truth is not None:
            answer = answers.get(record_id, {}).get("answer")
            said = castbench.read_as_published(answer if isinstance(answer, str) else "")
            published = castbench.score(said.choice == truth.choice, said.timelines, truth.timelines)
            ours = evidence.said.get(record_id)
            if ours is not None and share is not None:
                read = castbench.score(share >= 0.5, ours, truth.timelines)
        steps = evidence.steps.get(record_id, {})
        cases.append(Case(question["video_id"], share, iop, iou, steps, published, read))
    return cases


def interval_cell(row: Row) -> str:
    """A mean from 0 to 1 with its interval, for a table; empty of numbers where there is no mean."""
    if row["mean"] is None:
        return "-"
    ends = "n/a" if row["low"] is None else f"{row['low']:.3f}, {row['high']:.3f}"
    return f"{row['mean']:.3f} [{ends}]" + (" rough" if row.get("rough") else "")
