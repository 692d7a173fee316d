"""Step 1 corrupted on purpose, with a stated probability and seed, and the later steps rebuilt from the scene."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from cotasks.records.schema import Entity, Frame, FrameLocalization, Record
from cotasks.records.timeline import spans_of_frames
from cotasks.steps import frame_localization
from cotasks.steps.table import STEPS


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


def _rebuild(record: Record, localization: FrameLocalization) -> Record:
    """The record with another A1, and A2 to A4 that go with it."""
    return dataclasses.replace(record, **{step.field: step.construct(record, localization) for step in STEPS.values()})


def _numbers(name: str) -> Any:
    """A stream of random numbers that belongs to a name, the same everywhere."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))
