"""Steps corrupted on purpose, with a stated kind, probability and seed; `cotasks.prompts.view` says how."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from cotasks.records.schema import (
    Box,
    Entity,
    Frame,
    FrameLocalization,
    Record,
    SpatialRelation,
    TemporalRelation,
)
from cotasks.records.timeline import spans_of_frames
from cotasks.steps import frame_localization
from cotasks.steps.table import STEPS

_Relation = TypeVar("_Relation", SpatialRelation, TemporalRelation)


def restrict(record: Record, frames: tuple[Frame, ...]) -> Record:
    """The record on fewer frames of its grid: steps rebuilt from its scene."""
    if frames == record.frames:
        return record
    localization = frame_localization.construct(record.frame_localization, frames)
    return _rebuild(dataclasses.replace(record, frames=frames), localization)


def corrupt(record: Record, probability: float, seed: int) -> Record:
    """The record with A1 corrupted, as `cotasks.prompts.view` says, and A2 to A4 rebuilt from the scene.

    It is the record itself where chance, or a probability of 0, leaves A1 as it is.

    Args:
        record: on its whole grid.
        probability: 0 to 1.
        seed: 0 or more.
    """
    a1 = record.frame_localization
    numbers = _numbers(f"corruption\0{seed}\0{record.id}")
    # frames: each has two numbers, whether it moves and where to
    touched, targets = numbers.random((len(a1.frames), 2)).T
    moved = {
        record.frames[int(target * len(record.frames))].index if number < probability else frame
        for frame, number, target in zip(a1.frames, touched, targets, strict=True)
    }
    # entities: each has three numbers, whether it is touched, dropped or swapped, and for which other
    entities: dict[int, Entity] = {}
    draws = numbers.random((len(a1.entities), 3))
    for entity, (number, kind, target) in zip(a1.entities, draws, strict=True):
        others = [other for other in record.scene.entities if other.tid != entity.tid]
        if number >= probability:
            entities[entity.tid] = entity
        elif kind >= 0.5 and others:
            other = others[int(target * len(others))]
            entities[other.tid] = other
    # frames and entities that met have become one
    frames = tuple(sorted(moved))
    changed = dataclasses.replace(
        a1,
        frames=frames,
        spans=a1.spans if frames == a1.frames else spans_of_frames(frames, record.frames),
        entities=tuple(entities[tid] for tid in sorted(entities)),
    )
    return record if changed == a1 else _rebuild(record, changed)


def move_boxes(record: Record, probability: float, seed: int) -> Record:
    """The record with boxes of A2 elsewhere: each is, with a probability, moved to a place of the frame drawn
    uniformly, its size kept.

    Args:
        record: as a prompt speaks of it.
        probability: 0 to 1.
        seed: 0 or more.
    """
    edges = [box.xyxy[2:] for track in record.scene.entity_tracking for box in track.boxes]
    width = record.width or max((x for x, _ in edges), default=0.0)
    height = record.height or max((y for _, y in edges), default=0.0)

    def moved(tid: int, box: Box) -> Box:
        number, across, down = _numbers(f"boxes\0{seed}\0{record.id}\0{tid}\0{box.frame}").random(3)
        if number >= probability:
            return box
        x1, y1, x2, y2 = box.xyxy
        x, y = across * max(width - (x2 - x1), 0.0), down * max(height - (y2 - y1), 0.0)
        return dataclasses.replace(box, xyxy=(float(x), float(y), float(x + x2 - x1), float(y + y2 - y1)))

    tracks = tuple(
        dataclasses.replace(track, boxes=tuple(moved(track.tid, box) for box in track.boxes))
        for track in record.entity_tracking
    )
    return dataclasses.replace(record, entity_tracking=tracks)


def change_triples(record: Record, probability: float, seed: int) -> Record:
    """The record with false triples in A3 and A4: each triple gets, with a probability, another predicate of the
    scene's in that step that its two entities never have, or where there is none, its ends the other way round. Where
    that is true too, the triple is left out.

    Args:
        record: as a prompt speaks of it.
        probability: 0 to 1.
        seed: 0 or more.
    """
    return dataclasses.replace(
        record,
        spatial_relations=_changed(
            record.spatial_relations, record.scene.spatial_relations, probability, f"{seed}\0{record.id}\0spatial"
        ),
        temporal_relations=_changed(
            record.temporal_relations, record.scene.temporal_relations, probability, f"{seed}\0{record.id}\0temporal"
        ),
    )


def _changed(
    told: tuple[_Relation, ...], scene: Collection[_Relation], probability: float, name: str
) -> tuple[_Relation, ...]:
    true = {(relation.subject_tid, relation.predicate, relation.object_tid) for relation in scene}
    predicates = sorted({predicate for _, predicate, _ in true})
    kept = []
    for relation in told:
        triple = relation.subject_tid, relation.predicate, relation.object_tid
        # one triple over several stretches stays one triple
        number, which = _numbers(f"triples\0{name}\0{triple}").random(2)
        if number >= probability:
            kept.append(relation)
            continue
        subject, own, other = triple
        false = [predicate for predicate in predicates if (subject, predicate, other) not in true]
        if false:
            kept.append(dataclasses.replace(relation, predicate=false[int(which * len(false))]))
        elif (other, own, subject) not in true:
            kept.append(dataclasses.replace(relation, subject_tid=other, object_tid=subject))
    return tuple(kept)


@dataclass(frozen=True)
class Kind:
    """A way of corrupting steps."""

    corrupt: Callable[[Record, float, int], Record]
    """(record, probability, seed) -> the corrupted one."""
    on_grid: bool
    """Whether it takes the record on its whole grid, before frames are chosen; else as a prompt speaks of it."""


STEP_1 = "step-1"
KINDS = {
    STEP_1: Kind(corrupt, on_grid=True),
    "boxes": Kind(move_boxes, on_grid=False),
    "triples": Kind(change_triples, on_grid=False),
}
"""Name in a condition (`kind=`) -> how it corrupts."""


def _rebuild(record: Record, localization: FrameLocalization) -> Record:
    """The record with another A1, and A2 to A4 that go with it."""
    return dataclasses.replace(record, **{step.field: step.construct(record, localization) for step in STEPS.values()})


def _numbers(name: str) -> Any:
    """A stream of random numbers that belongs to a name, the same everywhere."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))
