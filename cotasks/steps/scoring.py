"""The scores of all four steps of a record at once.

Each step module has its own `score(predicted, truth, ...)`, which returns a frozen dataclass whose fields are the
columns of a table; what empty steps score is said in `cotasks.steps.measures`.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from cotasks.records.schema import Entity, FrameLocalization, SpatialRelation, TemporalRelation, Track
from cotasks.steps import matching
from cotasks.steps.context import StepContext
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.table import STEPS


class Steps(Protocol):
    """What a record holds of the four steps, and so does a prediction; None for a step that was not predicted."""

    @property
    def frame_localization(self) -> FrameLocalization | None: ...
    @property
    def entity_tracking(self) -> tuple[Track, ...] | None: ...
    @property
    def spatial_relations(self) -> tuple[SpatialRelation, ...] | None: ...
    @property
    def temporal_relations(self) -> tuple[TemporalRelation, ...] | None: ...


def score_steps(
    predicted: Steps,
    truth: Steps,
    context: StepContext,
    *,
    boxes_per_entity: int | None = None,
    exact_names: bool = False,
) -> dict[int, dict[str, float | None]]:
    """The scores of each predicted step of a record: step -> name of the score -> 0 to 1, or None where undefined.

    Args:
        predicted: of any source, its tids those of `context`.
        truth: the record, on the frames that the model was asked about.
        context: with the entities of both, so a prediction with names of its own comes with the context that
            `cotasks.steps.naming.open_context` made of it.
        boxes_per_entity: how many boxes an entity the model was asked for in step 2; None for all.
        exact_names: take a prediction's "child 2" for the annotation's. By default the numbers are labels, and
            `matching.match_entities` says who is meant.
    """
    if not exact_names:
        predicted = relabelled(predicted, truth, context)
    scores: dict[int, dict[str, float | None]] = {}
    for step in STEPS.values():
        said, true = getattr(predicted, step.field), getattr(truth, step.field)
        if said is not None and true is not None:
            scores[step.number] = dataclasses.asdict(step.score(said, true, context, boxes_per_entity))
    return scores


def relabelled(predicted: Steps, truth: Steps, context: StepContext) -> Steps:
    """The prediction with the tids of the true entities that `matching.match_entities` finds for its own."""
    same = matching.match_entities(
        _entities(predicted, context),
        _entities(truth, context),
        predicted.entity_tracking or (),
        truth.entity_tracking or (),
        _relations(predicted),
        _relations(truth),
        _named(predicted),
        _named(truth),
    )
    steps = {step.field: getattr(predicted, step.field) for step in STEPS.values()}
    return PredictedSteps(
        **{step.field: steps[step.field] and step.relabel(steps[step.field], same) for step in STEPS.values()}
    )


def _relations(steps: Steps) -> tuple[SpatialRelation | TemporalRelation, ...]:
    return *(steps.spatial_relations or ()), *(steps.temporal_relations or ())


def _named(steps: Steps) -> set[int]:
    """What step 1 names."""
    return {entity.tid for entity in steps.frame_localization.entities} if steps.frame_localization else set()


def _entities(steps: Steps, context: StepContext) -> list[Entity]:
    """All that the steps name, by tid."""
    found = {e.tid: e for e in (steps.frame_localization.entities if steps.frame_localization else ())}
    found |= {t.tid: Entity(t.tid, t.category) for t in steps.entity_tracking or ()}
    known = {e.tid: e for e in context.entities}
    for relation in _relations(steps):
        for tid in (relation.subject_tid, relation.object_tid):
            found.setdefault(tid, known.get(tid) or Entity(tid, ""))
    return [found[tid] for tid in sorted(found)]
