"""Step 1, frame localization (A1): which frames and entities matter.

In a prompt:

    Frames: 0.00s to 3.94s; 7.87s
    Entities: adult 1, child

A1 itself is found by `cotasks.builders.localize`, by origin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cotasks.schema import Entity, Frame, FrameLocalization
from cotasks.steps.context import NOTHING, Parsed, StepContext, split_item
from cotasks.timeline import frames_in_spans, spans_of_frames


def construct(localization: FrameLocalization, frames: Sequence[Frame]) -> FrameLocalization:
    """A1 on another choice of grid frames: those of its frames that are left, or, where none is, the frames that
    its spans give on the new grid. Spans, entities and origins stay."""
    left = {frame.index for frame in frames}.intersection(localization.frames)
    chosen = tuple(sorted(left)) or frames_in_spans(frames, localization.spans)
    return dataclasses.replace(localization, frames=chosen)


def render(localization: FrameLocalization, context: StepContext) -> str:
    """Two lines: the frames as runs on the grid, the entities by name in order of tid."""
    names = ", ".join(context.names[e.tid] for e in localization.entities) or NOTHING
    return f"Frames: {context.frames_text(localization.frames)}\nEntities: {names}"


def parse(text: str, context: StepContext) -> Parsed[FrameLocalization]:
    """Read A1 back. Spans are those that the frames cover; the origins are `model`, `used_answer` is False."""
    frames: tuple[int, ...] = ()
    entities: dict[int, Entity] = {}
    unread: list[str] = []
    for line in text.splitlines():
        head, rest = split_item(line)
        if head.lower() == "frames":
            read = context.read_frames(rest)
            frames = read.value
            unread.extend(read.unread)
        elif head.lower() == "entities":
            for name in (part.strip() for part in rest.split(",")):
                entity = context.entity_of_name.get(name.lower())
                if entity is not None:
                    entities[entity.tid] = entity
                elif name.lower() != NOTHING:
                    unread.append(name)
        elif line.strip():
            unread.append(line.strip())
    value = FrameLocalization(
        frames=frames,
        spans=spans_of_frames(frames, context.frames),
        entities=tuple(entities[tid] for tid in sorted(entities)),
        span_origin="model",
        entity_origin="model",
        used_answer=False,
    )
    return Parsed(value, tuple(unread))
