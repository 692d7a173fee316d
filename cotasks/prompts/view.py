"""Where the steps of a prompt come from: record + condition -> the record as the condition speaks of it.

    oracle      the record's own steps
    corrupted   A1 damaged at random with a stated probability, A2 to A4 rebuilt from the scene
    predicted   what a model said, from a folder that `cotasks predict` wrote

What is sent (`cotasks.generate`) and what the report's page shows of it go through `view`, and no other way.

Corruption with probability p, seeded by the record's id and a number:

- Each of A1's frames is, with probability p, moved to a frame of the record's grid, drawn uniformly. Frames that meet
  become one. Where A1's frames change, its spans are those that the new frames cover.
- Each of A1's entities is, with probability p, dropped or swapped for another entity of the scene (one as likely as
  the other); where the scene has no other, it is dropped. Entities that meet become one.
- Whether a frame or an entity is touched follows from one number of its own, compared with p, and where it goes from
  another: what is damaged at some p is damaged alike at every larger one, in every process, whatever the other
  conditions are. So scores against p make smooth curves.
- A1 is damaged on the whole grid; fewer frames (`frames=`, `context=`) are chosen afterwards.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cotasks.errors import InputError
from cotasks.records.schema import (
    Entity,
    Frame,
    FrameLocalization,
    Record,
    Scene,
    SpatialRelation,
    TemporalRelation,
    Track,
)
from cotasks.records.timeline import snapped_grid, spans_of_frames, thin
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cotasks.prompts.prompt import Condition

NO_STEP_1 = FrameLocalization((), (), (), "model", "model", used_answer=False)
"""Stands for A1 where it was not predicted and is not spoken of."""


@dataclass(frozen=True)
class PredictedSteps:
    """What was predicted of one record; None for a step that was not."""

    frame_localization: FrameLocalization | None = None
    entity_tracking: tuple[Track, ...] | None = None
    spatial_relations: tuple[SpatialRelation, ...] | None = None
    temporal_relations: tuple[TemporalRelation, ...] | None = None
    entities: tuple[Entity, ...] = ()
    """All that the steps speak of; their tids are the prediction's own and mean nothing outside of it."""
    names: tuple[tuple[int, str], ...] = ()
    """(tid, name) of each of them, as the model wrote it."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Step -> why it was not predicted."""

    def has(self, step: int) -> bool:
        """Whether there is a prediction of step 1 to 4."""
        return getattr(self, STEP_FIELDS[step]) is not None

    def tids(self) -> set[int]:
        """All entities that the steps speak of."""
        relations: list[SpatialRelation | TemporalRelation]
        relations = [*(self.spatial_relations or ()), *(self.temporal_relations or ())]
        localized = self.frame_localization.entities if self.frame_localization is not None else ()
        return {
            *(entity.tid for entity in localized),
            *(track.tid for track in self.entity_tracking or ()),
            *(tid for relation in relations for tid in (relation.subject_tid, relation.object_tid)),
        }


STEP_FIELDS = {1: "frame_localization", 2: "entity_tracking", 3: "spatial_relations", 4: "temporal_relations"}
"""Step 1 to 4 -> the field of a record, and of its prediction."""


class Predictions(Protocol):
    """Predicted steps of some records, from a folder (`cotasks.runs.predictions`) or as they come."""

    def of(self, record: Record) -> PredictedSteps:
        """What was predicted of a record. Raises InputError, with a reason to fail by, where nothing was."""


def shown_frames(record: Record, condition: Condition) -> tuple[Frame, ...]:
    """The grid frames that the condition shows, or would show if it showed any, ascending.

    They are `frames` of the grid, evenly; where the context speaks of fewer (`context`), each of its frames takes the
    place of one of these, one to one and in order, with the least total shift in grid positions.

    Raises InputError where the condition asks for more frames than the record was built with.
    """
    if condition.num_frames is None:
        return record.frames
    shown = thin(record.frames, condition.num_frames)
    if condition.context_frames is None:
        return shown
    place = {frame.index: position for position, frame in enumerate(record.frames)}
    spoken = [place[frame.index] for frame in spoken_frames(record, condition)]
    return tuple(record.frames[i] for i in snapped_grid([place[frame.index] for frame in shown], spoken))


def spoken_frames(record: Record, condition: Condition) -> tuple[Frame, ...]:
    """The grid frames that the context block speaks of, ascending: those shown, or `context` of the grid, evenly, which
    depend on nothing else.

    Raises InputError where the condition asks for more frames than the record was built with.
    """
    if condition.context_frames is not None:
        return thin(record.frames, condition.context_frames)
    return shown_frames(record, condition)


@dataclass(frozen=True)
class View:
    """A record as a condition speaks of it."""

    record: Record
    """`frames` are those that the context may speak of; the steps are those that it tells. Where these are predicted,
    the scene is what the prediction names, and nothing of the annotation is left."""
    shown: tuple[Frame, ...]
    """The frames that the condition shows, or would show if it showed any."""
    names: tuple[tuple[int, str], ...] = ()
    """(tid, name) of the entities, where a prediction names them; empty for the usual names."""


def view(record: Record, condition: Condition, predictions: Predictions | None = None) -> View:
    """The record as a condition speaks of it.

    Args:
        record: as it was built.
        condition: of the run.
        predictions: needed where the condition's origin is `predicted`. Steps that it does not tell are then empty.

    Raises InputError where more frames are asked for than the grid has, and where a step was not predicted.
    """
    shown, spoken = shown_frames(record, condition), spoken_frames(record, condition)
    if condition.origin == "predicted":
        if predictions is None:
            raise InputError(
                f"condition {condition.name}: no predictions; name their folder with --predictions", "no predictions"
            )
        found = predictions.of(record)
        return View(_as_predicted(record, condition.steps, found, spoken), shown, found.names)
    if condition.origin == "corrupted":
        record = corrupt(record, condition.corruption, condition.corruption_seed)
    return View(restrict(record, spoken), shown)


def restrict(record: Record, frames: tuple[Frame, ...]) -> Record:
    """The record on fewer frames of its grid: steps rebuilt from its scene."""
    if frames == record.frames:
        return record
    localization = frame_localization.construct(record.frame_localization, frames)
    return _rebuild(dataclasses.replace(record, frames=frames), localization)


def corrupt(record: Record, probability: float, seed: int) -> Record:
    """The record with A1 damaged, see above, and A2 to A4 rebuilt from the scene; the record itself where chance, or a
    probability of 0, leaves A1 as it is.

    Args:
        record: on its whole grid.
        probability: 0 to 1.
        seed: 0 or more.
    """
    a1 = record.frame_localization
    numbers = _numbers(f"corruption\0{seed}\0{record.id}")
    touched, targets = numbers.random((len(a1.frames), 2)).T
    moved = {
        record.frames[int(target * len(record.frames))].index if number < probability else frame
        for frame, number, target in zip(a1.frames, touched, targets, strict=True)
    }
    entities: dict[int, Entity] = {}
    draws = numbers.random((len(a1.entities), 3))
    for entity, (number, kind, target) in zip(a1.entities, draws, strict=True):
        others = [other for other in record.scene.entities if other.tid != entity.tid]
        if number >= probability:
            entities[entity.tid] = entity
        elif kind >= 0.5 and others:
            other = others[int(target * len(others))]
            entities[other.tid] = other
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
    return dataclasses.replace(
        record,
        frame_localization=localization,
        entity_tracking=entity_tracking.construct(record.scene, localization),
        spatial_relations=spatial_relations.construct(record.scene, localization),
        temporal_relations=temporal_relations.construct(record.scene, localization, record.fps),
    )


def _numbers(name: str) -> Any:
    """A stream of random numbers that belongs to a name, the same everywhere."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))


def _as_predicted(record: Record, steps: tuple[int, ...], found: PredictedSteps, frames: tuple[Frame, ...]) -> Record:
    """The record with predicted steps, what they say of other frames left out; nothing comes from the scene."""
    for step in steps:
        if not found.has(step):
            why = found.reasons.get(step, "not predicted")
            raise InputError(f"{record.id}: no prediction of step {step}: {why}", f"no prediction of step {step}")
    a1 = found.frame_localization if 1 in steps else None
    tracks = (found.entity_tracking or ()) if 2 in steps else ()
    spatial = (found.spatial_relations or ()) if 3 in steps else ()
    indices = {frame.index for frame in frames}
    tracks = tuple(dataclasses.replace(t, boxes=tuple(box for box in t.boxes if box.frame in indices)) for t in tracks)
    spatial = tuple(dataclasses.replace(r, frames=tuple(i for i in r.frames if i in indices)) for r in spatial)
    return dataclasses.replace(
        record,
        frames=frames,
        scene=Scene(found.entities, (), (), ()),
        frame_localization=frame_localization.construct(a1, frames) if a1 is not None else NO_STEP_1,
        entity_tracking=tuple(track for track in tracks if track.boxes),
        spatial_relations=tuple(relation for relation in spatial if relation.frames),
        temporal_relations=(found.temporal_relations or ()) if 4 in steps else (),
    )
