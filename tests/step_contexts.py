"""A small step context of each kind, for tests of what is read and how it is scored."""

from __future__ import annotations

import dataclasses
from typing import Any

from cotasks.records.boxes import CoordinateFormat
from cotasks.records.schema import Entity, Span
from cotasks.records.timeline import grid_frames
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import StepContext

MODULES: tuple[Any, ...] = (frame_localization, entity_tracking, spatial_relations, temporal_relations)
ADULT_1, BALL, ADULT_5, DOG = Entity(1, "adult"), Entity(3, "ball/sports_ball"), Entity(5, "adult"), Entity(8, "dog")


def context(**changes: Any) -> StepContext:
    """Ten frames a second from second 2 on, every fifth frame on the grid; boxes in pixels, twice as large."""
    base = StepContext(
        entities=(ADULT_1, BALL, ADULT_5, DOG),
        frames=grid_frames([20, 25, 30, 35, 40], fps=10.0),
        fps=10.0,
        clip=Span(2.0, 4.1),
        source_size=(200, 100),
        coordinates=CoordinateFormat("pixels", (400, 200)),
    )
    return dataclasses.replace(base, **changes)


POSITIONS = context(frame_reference="position", coordinates=CoordinateFormat("thousandths"))
FRACTIONS = context(frame_reference="position", coordinates=CoordinateFormat("fractions"))


def as_text(step: int, value: Any, ctx: StepContext) -> str:
    text: str = MODULES[step - 1].render(value, ctx)
    return text
