"""One row a step: what it is called, asks, renders, reads and scores."""

from __future__ import annotations

from typing import Any

from cotasks.records.schema import Record
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import Parsed, StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.repair import read_localization, read_spatial, read_temporal, read_tracks

STEP_TITLES = {
    1: "Step 1, frame localization (which frames and entities matter):",
    2: "Step 2, entity tracking (where the entities are):",
    3: "Step 3, spatial relations (what holds within a frame):",
    4: "Step 4, temporal relations (what happens over time):",
}


def step_text(record: Record, step: int, context: StepContext, boxes_per_entity: int = BOXES_PER_ENTITY) -> str:
    """Step 1 to 4 of a record as text, one line an item."""
    if step == 1:
        return frame_localization.render(record.frame_localization, context)
    if step == 2:
        return entity_tracking.render(entity_tracking.thin(record.entity_tracking, boxes_per_entity), context)
    if step == 3:
        return spatial_relations.render(record.spatial_relations, context)
    return temporal_relations.render(record.temporal_relations, context)


STEP_FIELDS = {1: "frame_localization", 2: "entity_tracking", 3: "spatial_relations", 4: "temporal_relations"}
"""Step 1 to 4 -> the field of a record, and of its prediction."""


STEP_TASKS = {1: "frame_localization", 2: "entity_tracking", 3: "spatial_relations", 4: "temporal_relations"}


def read_step(step: int, text: str, context: StepContext) -> Parsed[Any]:
    """Step 1 to 4 as a model wrote it; the value is that of the step's `parse`."""
    if step == 1:
        return read_localization(text, context)
    if step == 2:
        return read_tracks(text, context)
    return read_spatial(text, context) if step == 3 else read_temporal(text, context)
