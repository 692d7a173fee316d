"""Step 2, entity tracking (A2): where the entities of A1 are on its frames.

In a prompt, one line an entity, boxes in the model family's coordinates:

    adult 1: 0.00s [120, 44, 310, 270]; 3.94s [131, 44, 322, 271]
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from cotasks.boxes import format_box, parse_box
from cotasks.schema import Box, FrameLocalization, Scene, Track
from cotasks.steps.context import Parsed, StepContext, parse_items, render_items, split_item
from cotasks.timeline import uniform_grid

_BOX = re.compile(r"(.+?)\s*\[\s*" + r"\s*,\s*".join([r"(-?\d{1,9}(?:\.\d{1,9})?)"] * 4) + r"\s*\]")


def construct(scene: Scene, localization: FrameLocalization) -> tuple[Track, ...]:
    """The boxes of A1's entities on A1's frames, by tid; entities without a box there are left out."""
    tids = {entity.tid for entity in localization.entities}
    frames = set(localization.frames)
    tracks = (
        dataclasses.replace(track, boxes=tuple(box for box in track.boxes if box.frame in frames))
        for track in scene.entity_tracking
        if track.tid in tids
    )
    return tuple(track for track in tracks if track.boxes)


def thin(tracks: Iterable[Track], boxes_per_entity: int) -> tuple[Track, ...]:
    """At most `boxes_per_entity` (>= 1) boxes of each track, evenly over those it has."""
    return tuple(
        dataclasses.replace(
            track, boxes=tuple(track.boxes[i] for i in uniform_grid(0, len(track.boxes) - 1, boxes_per_entity))
        )
        for track in tracks
    )


def render(tracks: tuple[Track, ...], context: StepContext) -> str:
    """One line an entity: its boxes in order of frame."""

    def line(track: Track) -> str:
        boxes = (
            f"{context.frame_text(box.frame)} {format_box(box.xyxy, context.source_size, context.coordinates)}"
            for box in track.boxes
        )
        return f"{context.names[track.tid]}: {'; '.join(boxes)}"

    return render_items(tracks, line)


def parse(text: str, context: StepContext) -> Parsed[tuple[Track, ...]]:
    """Read A2 back, boxes in pixels of the source; `generated` is False. A box of a frame named twice, an inverted
    box, and a frame off the grid are left unread."""

    def read(line: str) -> Parsed[Track | None]:
        name, rest = split_item(line)
        entity = context.entity_of_name.get(name.lower())
        if entity is None:
            return Parsed(None, (line,))
        boxes: dict[int, Box] = {}
        unread = []
        for item in rest.split(";"):
            match = _BOX.fullmatch(item.strip())
            frame = context.read_frame(match[1]) if match else None
            if match is None or frame is None or frame in boxes:
                unread.append(item.strip())
                continue
            x1, y1, x2, y2 = (float(number) for number in match.groups()[1:])
            if x1 > x2 or y1 > y2:
                unread.append(item.strip())
                continue
            xyxy = parse_box((x1, y1, x2, y2), context.source_size, context.coordinates)
            boxes[frame] = Box(frame, xyxy, generated=False)
        track = Track(entity.tid, entity.category, tuple(boxes[frame] for frame in sorted(boxes)))
        return Parsed(track if boxes else None, tuple(unread))

    return parse_items(text, read)
