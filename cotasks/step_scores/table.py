"""Steps against their truth, as a table with intervals: what the paper's Table 8 shows.

A row is {step, metric, main, group, questions, videos, mean, low, high, p_value}: the mean over records of one score of
one step (`score` of the step's module), 0 to 100, with its 95% interval over videos. A score that a record does not
define, see `cotasks.steps.measures`, enters no mean; a step that was not predicted has none. `main` marks the scores
that short tables show. `baseline` is None, or the name of a row of `cotasks.step_scores.baselines`, which is over the
same records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cotasks.metrics.contrasts import category_masks, estimates, interval_row
from cotasks.prompts.corruption import corrupt, restrict
from cotasks.records.boxes import CoordinateFormat
from cotasks.records.dataset import Records
from cotasks.records.schema import Entity, Record
from cotasks.records.timeline import thin
from cotasks.runs.predictions import PredictionsFolder
from cotasks.step_scores.baselines import BASELINES, pool
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.reading import unreadable_scores
from cotasks.steps.scoring import score_steps
from cotasks.steps.table import STEPS
from cotasks.words.types import ALL, Kind, kind_of

Row = dict[str, Any]
StepScores = Mapping[int, Mapping[str, float | None]]
"""Step -> name of the score -> 0 to 1, or None."""

MODULES = {1: frame_localization, 2: entity_tracking, 3: spatial_relations, 4: temporal_relations}
METRICS = {step: tuple(f.name for f in dataclasses.fields(module.Score)) for step, module in MODULES.items()}
"""Step -> the names of its scores."""
DRAWN = {(1, "frame_f1"), (1, "entity_f1"), (2, "mean_iou"), (3, "triple_f1"), (4, "span_f1")}
"""What plots show."""
MAIN = {
    *DRAWN,
    *(
        (1, "frame_precision"),
        (1, "entity_precision"),
        (2, "precision"),
        (3, "triple_precision"),
        (4, "span_precision"),
    ),
    *((3, "none_when_there_is_none"), (4, "none_when_there_is_none")),
}
"""What short tables show."""


@dataclasses.dataclass(frozen=True)
class TextCounts:
    """How the texts of one step could be read."""

    predicted: int = 0
    """Records with a text of the step."""
    failed: int = 0
    """Records without one: the model failed, or an earlier step had."""
    unreadable: int = 0
    """Texts of which nothing could be read, though they say something; they score 0."""
    partly_read: int = 0
    """Texts of which some lines or items could not be read, and others could."""
    repaired: int = 0
    """Texts with lines that were read by a repair, see `cotasks.steps.repair`."""


def step_rows(
    scores: Sequence[StepScores], video_ids: Sequence[str], kinds: Sequence[Kind], baseline: str | None = None
) -> list[Row]:
    """Rows of all records, and by category where there are several.

    Args:
        scores: Of each record.
        video_ids: Of each record.
        kinds: Of each record's question.
        baseline: Whose scores they are, where not a model's.
    """
    groups = {ALL: np.ones(len(scores), bool)}
    by_category = category_masks(kinds)
    groups |= by_category if len(by_category) > 1 else {}
    labels = [(step, metric, group) for step, metrics in METRICS.items() for metric in metrics for group in groups]
    columns = []
    for step, metric, group in labels:
        found = [score.get(step, {}).get(metric) for score in scores]
        columns.append((np.array([np.nan if v is None else 100.0 * v for v in found]), groups[group]))
    return [
        {
            "step": step,
            "metric": metric,
            "main": (step, metric) in MAIN,
            "baseline": baseline,
            "group": group,
            **interval_row(*one),
            "p_value": None,
        }
        for (step, metric, group), one in zip(labels, estimates(columns, video_ids, 0.0, 100.0), strict=True)
    ]


def plain_context(record: Record, named: Iterable[Entity] = ()) -> StepContext:
    """What scoring needs to know of a record, for no model in particular.

    Args:
        record: On the frames that count.
        named: Entities that a prediction speaks of, beside the scene's.
    """
    size = record.width or 1000, record.height or 1000
    entities = {entity.tid: entity for entity in (*named, *record.scene.entities)}
    return StepContext(
        entities=tuple(entities[tid] for tid in sorted(entities)),
        frames=record.frames,
        fps=record.fps,
        clip=record.clip,
        source_size=size,
        coordinates=CoordinateFormat("thousandths", size),
    )


def corrupted_step_rows(records: Records | Sequence[Record], corruptions: Sequence[float], seeds: int) -> list[Row]:
    """The rows of corrupted steps with their {corruption}, None for the baselines; no model is asked.

    Args:
        records: With the true steps.
        corruptions: Probabilities, see `cotasks.prompts.view`.
        seeds: How many corruptions of each; a record's score is their mean.
    """
    videos, kinds = [], []
    found: dict[float, list[StepScores]] = {level: [] for level in corruptions}
    among = pool(records)
    below: dict[str, list[StepScores]] = {name: [] for name in BASELINES}
    for record in records:
        videos.append(record.video_id)
        kinds.append(kind_of(vars(record)))
        context = plain_context(record)
        for level, scores in found.items():
            drawn = [corrupt(record, level, seed) for seed in range(seeds if level else 1)]
            each = [score_steps(one, record, context, exact_names=True) for one in drawn]
            scores.append(_mean(each))
        for name, make in BASELINES.items():
            below[name].append(score_steps(make(record, among), record, context, exact_names=True))
    rows = [{"corruption": level, **row} for level, scores in found.items() for row in step_rows(scores, videos, kinds)]
    for name, scores in below.items():
        rows += [{"corruption": None, **row} for row in step_rows(scores, videos, kinds, name)]
    return rows


def predicted_step_rows(
    records: Records, found: PredictionsFolder, scored: Mapping[str, StepScores] | None = None
) -> list[Row]:
    """The rows of predictions of these records, each with the fields of its step's `TextCounts`, and those of the
    baselines over the records that have a prediction of the step.

    Args:
        records: with the true steps.
        found: the predictions.
        scored: what `scores_of` gives for them, where that is known already.
    """
    texts = _read_texts(found)
    if scored is None:
        scored = scores_of(records, found, texts)
    among = pool(records)
    scores, videos, kinds = [], [], []
    below: dict[str, list[StepScores]] = {name: [] for name in BASELINES}
    for record in records:
        videos.append(record.video_id)
        kinds.append(kind_of(vars(record)))
        truth = _shown_truth(record, found)
        scores.append(scored[record.id])
        for name, make in BASELINES.items():
            each = score_steps(make(truth, among), truth, plain_context(truth), boxes_per_entity=BOXES_PER_ENTITY)
            below[name].append({step: each[step] for step in scores[-1] if step in each})
    counts = {step: _count_texts(step, records, texts) for step in found.steps}
    rows = [
        {**row, **dataclasses.asdict(counts[row["step"]])}
        for row in step_rows(scores, videos, kinds)
        if row["step"] in counts
    ]
    for name, each_score in below.items():
        rows += [row for row in step_rows(each_score, videos, kinds, name) if row["step"] in counts]
    return rows


def scores_of(
    records: Records, found: PredictionsFolder, texts: Mapping[str, Row] | None = None
) -> dict[str, StepScores]:
    """The scores of the predicted steps of each record, by its id."""
    rows = _read_texts(found) if texts is None else texts
    return {
        record.id: _score_prediction(record, _shown_truth(record, found), found, rows.get(record.id))
        for record in records
    }


def _shown_truth(record: Record, found: PredictionsFolder) -> Record:
    """The record on the frames that the model was shown."""
    return record if found.num_frames is None else restrict(record, thin(record.frames, found.num_frames))


def _read_texts(found: PredictionsFolder) -> dict[str, Row]:
    """{record id: its row of the parquet, with texts and what could not be read of them}"""
    fields = [step.field for step in STEPS.values()]
    columns = [f"{name}_{part}" for name in fields for part in ("text", "unread", "repaired")]
    [path] = found.folder.glob("predictions/*.parquet")
    table = pq.read_table(path, columns=["id", *fields, *columns])
    return {row["id"]: row for row in table.to_pylist()}


def _is_unreadable(row: Row, step: int) -> bool:
    """Whether the text of a step says something of which nothing could be read."""
    name = STEPS[step].field
    read = row[name]["frames"] or row[name]["entities"] if step == 1 and row[name] else row[name]
    return row[f"{name}_text"] is not None and not read and bool(row[f"{name}_unread"])


def _score_prediction(record: Record, truth: Record, found: PredictionsFolder, row: Row | None) -> StepScores:
    if row is None:
        return {}
    predicted = found.of(record)
    context = plain_context(truth, predicted.entities)
    asked = None if "imported" in found.settings else BOXES_PER_ENTITY  # what other programs asked for is not known
    scores = dict(score_steps(predicted, truth, context, boxes_per_entity=asked))
    for step in list(scores):
        if _is_unreadable(row, step):
            scores[step] = unreadable_scores(scores[step])
    return scores


def _count_texts(step: int, records: Records, texts: Mapping[str, Row]) -> TextCounts:
    name = STEPS[step].field
    said = [row for id_ in records.ids if (row := texts.get(id_)) is not None and row[f"{name}_text"] is not None]
    unreadable = sum(_is_unreadable(row, step) for row in said)
    return TextCounts(
        predicted=len(said),
        failed=len(records) - len(said),
        unreadable=unreadable,
        partly_read=sum(bool(row[f"{name}_unread"]) for row in said) - unreadable,
        repaired=sum(bool(row[f"{name}_repaired"]) for row in said),
    )


def _mean(scores: Sequence[StepScores]) -> StepScores:
    """Score by score, over those that are defined."""
    result: dict[int, dict[str, float | None]] = {}
    for step, metrics in METRICS.items():
        result[step] = {}
        for metric in metrics:
            known = [value for score in scores if (value := score.get(step, {}).get(metric)) is not None]
            result[step][metric] = sum(known) / len(known) if known else None
    return result


def metric_title(name: str) -> str:
    """`frame_f1` as `frame F1`."""
    return name.replace("_", " ").replace("f1", "F1").replace("iou", "IoU").replace("iop", "IoP")
