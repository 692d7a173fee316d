"""The texts of several steps of one model, read together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cotasks.steps import temporal_relations
from cotasks.steps.context import Parsed, StepContext
from cotasks.steps.naming import open_context
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.table import STEPS, read_step

LAST_FRAME = 2**31 - 1
"""Frame numbers are of 32 bits."""


def read_steps(
    texts: Mapping[int, str], context: StepContext
) -> tuple[PredictedSteps, dict[int, Parsed[Any]], StepContext]:
    """What a model said of the steps, strictly or by repair, its own names with it (`cotasks.steps.naming`).

    Args:
        texts: step 1 to 4 -> text; a step without one was not predicted.
        context: how the model was to write them.

    Returns:
        The steps, step -> what was read of its text, and the context with the names that the model gave itself.
    """
    context = open_context(context, texts)
    parsed = {step: read_step(step, text, context) for step, text in sorted(texts.items())}
    if 4 in parsed:
        parsed[4] = _storable(parsed[4], context)
    steps = PredictedSteps(**{STEPS[step].field: one.value for step, one in parsed.items()})
    tids = steps.tids()
    entities = tuple(entity for entity in context.entities if entity.tid in tids)
    names = tuple((entity.tid, context.names[entity.tid]) for entity in entities)
    return dataclasses.replace(steps, entities=entities, names=names), parsed, context


def is_unreadable(step: int, parsed: Parsed[Any]) -> bool:
    """Whether the text of a step says something of which nothing could be read."""
    value = parsed.value
    return not (value.frames or value.entities if step == 1 else value) and bool(parsed.unread)


def unreadable_scores(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    """The scores of a step that says nothing readable, from those of one that says nothing: 0 where the record defines
    a score, silence included."""
    return {name: None if _is_undefined(name, value) else 0.0 for name, value in scores.items()}


def _is_undefined(metric: str, value: float | None) -> bool:
    """Whether a record does not define a score, given that of silence: silence itself defines no precision."""
    return value is None and not metric.endswith(("precision", "iop"))


def _storable(parsed: Parsed[Any], context: StepContext) -> Parsed[Any]:
    """Step 4 without what no frame number can hold ("5s to 999999999s"), which then counts as not read."""
    wild = [r for r in parsed.value if max(abs(r.begin_frame), abs(r.end_frame)) > LAST_FRAME]
    if not wild:
        return parsed
    unread = (*parsed.unread, *temporal_relations.render(tuple(wild), context).splitlines())
    return dataclasses.replace(parsed, value=tuple(r for r in parsed.value if r not in wild), unread=unread)
