"""Evidence as predicted steps 1 and 2 of a record, in the form of `cotasks predict`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cotasks.evidence.evidence import Evidence, Instance, Piece
from cotasks.records.boxes import Xyxy
from cotasks.records.naming import entity_names
from cotasks.records.schema import Box, Entity, Frame, FrameLocalization, Record, Span, Track
from cotasks.records.timeline import frames_in_spans
from cotasks.steps.context import Parsed
from cotasks.steps.naming import OPEN_TID
from cotasks.steps.predicted import PredictedSteps
from cotasks.words.lexicon import match_categories

NEAR = 0.5
"""Seconds that a box's moment may be from the grid frame that it is taken for."""
_NO_NAME = re.compile(r"[\s,;:(){}\[\]<>|*`\"]+")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Predicted:
    """Steps of one answer."""

    steps: PredictedSteps
    parsed: dict[int, Parsed[object]]
    """Step -> what was read of it, and what was not."""


def predicted_steps(record: Record, evidence: Evidence, pixels: Evidence | None, reason: str = "") -> Predicted:
    """What an answer says of its evidence, as steps of the record that it answers.

    Step 1: the spans, within the clip and joined where they overlap, the grid frames in them, and all that is named.
    Step 2: each box at the grid frame nearest to its moment, `NEAR` at most; of two boxes of a thing at one frame, the
    first. A thing is the scene's where it has its name ("person 2"); else its category is the scene's category that its
    words stand for ("the man in black" is an `adult`), where they stand for one alone.

    Args:
        record: that was asked about.
        evidence: as it was read.
        pixels: the same with boxes in pixels of the record's frames; None where nobody can tell what they are, and step
            2 is then not predicted.
        reason: why there are no pixels; empty where nothing was said of boxes at all.
    """
    entities, names = _entities(record, evidence)
    unread = list(evidence.unread)
    # step 1
    clip = record.clip
    spans = []
    for piece in (piece for instance in evidence.instances for piece in instance.pieces):
        start, end = piece.start + clip.start_seconds, piece.end + clip.start_seconds
        if start > clip.end_seconds:
            unread.append(f"{piece.start:g} to {piece.end:g} s, after the end of the clip")
        else:
            spans.append((start, min(end, clip.end_seconds)))
    joined = _joined(spans)
    named = tuple(sorted({entity.tid: entity for entity in entities if entity is not None}.values(), key=_by_tid))
    a1 = FrameLocalization(
        frames=frames_in_spans(record.frames, joined),
        spans=joined,
        entities=named,
        span_origin="model",
        entity_origin="model",
        used_answer=False,
    )
    parsed: dict[int, Parsed[object]] = {1: Parsed(a1, tuple(unread))}
    # step 2
    tracks: tuple[Track, ...] | None = None
    if pixels is not None:
        tracks, lost = _tracks(record, pixels, entities)
        parsed[2] = Parsed(tracks, (*evidence.unread, *lost))
    steps = PredictedSteps(
        frame_localization=a1,
        entity_tracking=tracks,
        entities=named,
        names=tuple((entity.tid, names[entity.tid]) for entity in named),
        reasons={2: reason} if reason else {},
    )
    return Predicted(steps, parsed)


def _by_tid(entity: Entity) -> int:
    return entity.tid


def _joined(spans: list[tuple[float, float]]) -> tuple[Span, ...]:
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(Span(start, end) for start, end in joined)


def _entities(record: Record, evidence: Evidence) -> tuple[list[Entity | None], dict[int, str]]:
    """(the entity of each thing, None of one without a name; tid -> name)."""
    scene = record.scene.entities
    known = entity_names(scene)
    by_name = {known[entity.tid].lower(): entity for entity in scene}
    categories = {entity.category for entity in scene}
    entities: list[Entity | None] = []
    names: dict[int, str] = {}
    taken = {name.lower() for name in known.values()}
    for instance in evidence.instances:
        name = _NO_NAME.sub(" ", instance.name).strip()[:_LONGEST_NAME].strip()
        if not name:
            entities.append(None)
            continue
        entity = by_name.get(name.lower())
        if entity is None:
            meant = match_categories(name, categories)
            category = next(iter(meant)) if len(meant) == 1 else name.replace(" ", "_")
            entity = Entity(OPEN_TID + len(names), category)
            name = _free(name, taken)
        else:
            name = known[entity.tid]
        taken.add(name.lower())
        entities.append(entity)
        names[entity.tid] = name
    return entities, names


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where another thing has it."""
    number, free = 2, name
    while free.lower() in taken:
        free = f"{name} {number}"
        number += 1
    return free


def _tracks(
    record: Record, pixels: Evidence, entities: list[Entity | None]
) -> tuple[tuple[Track, ...], tuple[str, ...]]:
    """(tracks by tid, boxes that could not be placed)."""
    boxes: dict[int, dict[int, Box]] = {}
    categories: dict[int, str] = {}
    lost: list[str] = []
    for instance, entity in zip(pixels.instances, entities, strict=True):
        for second, xyxy in _boxes(instance):
            frame = _nearest(record, second + record.clip.start_seconds)
            found = boxes.setdefault(entity.tid, {}) if entity is not None else {}
            is_sound = xyxy[0] < xyxy[2] and xyxy[1] < xyxy[3]
            if entity is None or frame is None or frame.index in found or not is_sound:
                lost.append(f"{instance.name}: {second:g}s {[round(v, 2) for v in xyxy]}")
            else:
                found[frame.index] = Box(frame.index, xyxy, generated=False)
                categories[entity.tid] = entity.category
    tracks = tuple(
        Track(tid, categories[tid], tuple(found[frame] for frame in sorted(found)))
        for tid, found in sorted(boxes.items())
        if found
    )
    return tracks, tuple(lost)


def _boxes(instance: Instance) -> Iterator[tuple[float, Xyxy]]:
    """The boxes of a thing, by piece; a box that stands in two pieces once."""
    pieces: tuple[Piece, ...] = instance.pieces
    yield from dict.fromkeys((box.second, box.numbers) for piece in pieces for box in piece.boxes)


def _nearest(record: Record, second: float) -> Frame | None:
    """The grid frame nearest to a moment, at most `NEAR` away; of two, the earlier."""
    frame = min(record.frames, key=lambda frame: abs(frame.seconds - second), default=None)
    return frame if frame is not None and abs(frame.seconds - second) <= NEAR else None
