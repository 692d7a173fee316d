"""The four steps, one row each: what a step is called, asks, renders, reads and scores.

Whoever goes through the steps goes through `STEPS`, so that nothing else tells one step from another by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cotasks.records.schema import FrameLocalization, Record
from cotasks.steps import entity_tracking, frame_localization, matching, spatial_relations, temporal_relations
from cotasks.steps.context import NOTHING, Parsed, StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.repair import read_localization, read_tracks
from cotasks.steps.repair_relations import read_spatial, read_temporal


@dataclass(frozen=True)
class Step:
    """One row. A step's value is what `field` of a record holds: a `FrameLocalization` for step 1, else a tuple."""

    number: int
    """1 to 4."""
    field: str
    """The field of a record and of a prediction, and the task of `cotasks.instructions` that asks for the step."""
    title: str
    """The line above the step in a context block."""
    request: str
    """The words that ask for the step; `{unit}` is that of boxes, `{boxes_per_entity}` the most that are asked for,
    `{moments}` says how a stretch of time is told (`MOMENTS`)."""
    construct: Callable[[Record, FrameLocalization], Any]
    """(record, step 1) -> the value that goes with this step 1, from the record's scene."""
    render: Callable[[Any, StepContext, int], str]
    """(value, context, most boxes an entity) -> text, one line an item."""
    read: Callable[[str, StepContext], Parsed[Any]]
    """What a model wrote -> value, strictly or by `cotasks.steps.repair`."""
    relabel: Callable[[Any, Mapping[int, int]], Any]
    """(value, {tid: another tid}) -> the value with the other tids; see `cotasks.steps.matching`."""
    score: Callable[[Any, Any, StepContext, int | None], Any]
    """(predicted value, true value, context, most boxes an entity or None for all) -> the step's `Score`."""

    @property
    def name(self) -> str:
        """`frame localization`, ..."""
        return self.field.replace("_", " ")


MOMENTS = {
    "seconds": "the seconds at which it begins and ends",
    "position": 'the first and the last frame at which it holds, "at", and the seconds at which it begins and ends',
}
"""How a family refers to frames -> the words that ask for a stretch of time."""

STEPS: dict[int, Step] = {
    step.number: step
    for step in (
        Step(
            number=1,
            field="frame_localization",
            title="Step 1, frame localization (which frames and entities matter):",
            request="Step 1, frame localization: which frames and entities matter for this question? Answer with two "
            'lines that begin with "Frames:" and "Entities:".',
            construct=lambda _, localization: localization,
            render=lambda value, context, _: frame_localization.render(value, context),
            read=read_localization,
            relabel=matching.relabel_localization,
            score=lambda predicted, truth, context, _: frame_localization.score(predicted, truth, context),
        ),
        Step(
            number=2,
            field="entity_tracking",
            title="Step 2, entity tracking (where the entities are):",
            request="Step 2, entity tracking: where are the entities? Answer with one line an entity: its name, then "
            "up to {boxes_per_entity} frames, each with the box [x1, y1, x2, y2] {unit}.",
            construct=lambda record, localization: entity_tracking.construct(record.scene, localization),
            render=lambda value, context, most: entity_tracking.render(entity_tracking.thin(value, most), context),
            read=read_tracks,
            relabel=matching.relabel_tracks,
            score=lambda predicted, truth, _, most: entity_tracking.score(predicted, truth, most),
        ),
        Step(
            number=3,
            field="spatial_relations",
            title="Step 3, spatial relations (what holds within a frame):",
            request="Step 3, spatial relations: what holds within a frame? Answer with one line a relation: (subject, "
            f'relation, object), then the frames; or with "{NOTHING}".',
            construct=lambda record, localization: spatial_relations.construct(record.scene, localization),
            render=lambda value, context, _: spatial_relations.render(value, context),
            read=read_spatial,
            relabel=matching.relabel_relations,
            score=lambda predicted, truth, *_: spatial_relations.score(predicted, truth),
        ),
        Step(
            number=4,
            field="temporal_relations",
            title="Step 4, temporal relations (what happens over time):",
            request="Step 4, temporal relations: what happens over time? Answer with one line a relation: (subject, "
            f'relation, object), then {{moments}}; or with "{NOTHING}".',
            construct=lambda record, localization: temporal_relations.construct(record.scene, localization, record.fps),
            render=lambda value, context, _: temporal_relations.render(value, context),
            read=read_temporal,
            relabel=matching.relabel_relations,
            score=lambda predicted, truth, *_: temporal_relations.score(predicted, truth),
        ),
    )
}
"""Number -> row, in order."""

STEP_NUMBERS: dict[str, int] = {step.field: step.number for step in STEPS.values()}
"""Field -> number."""

STEP_TITLES: frozenset[str] = frozenset(step.title for step in STEPS.values())
"""The lines of a context block that are titles."""


def step_text(record: Record, step: int, context: StepContext, boxes_per_entity: int = BOXES_PER_ENTITY) -> str:
    """Step 1 to 4 of a record as text, one line an item."""
    row = STEPS[step]
    return row.render(getattr(record, row.field), context, boxes_per_entity)


def read_step(step: int, text: str, context: StepContext) -> Parsed[Any]:
    """Step 1 to 4 as a model wrote it; the value is that of the step's `parse`."""
    return STEPS[step].read(text, context)
