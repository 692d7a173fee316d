"""Where the steps of a prompt come from: record + condition -> the record as the condition speaks of it.

    oracle      the record's own steps
    corrupted   A1 corrupted at random with a stated probability, A2 to A4 rebuilt from the scene; or another `kind`
    predicted   what a model said, from a folder that `cotasks predict` wrote

What is sent (`cotasks.generate`) and what the report's page shows of it go through `view`, and no other way.

Corruption with probability p, seeded by the record's id and a number:

- Each of A1's frames is, with probability p, moved to a frame of the record's grid, drawn uniformly. Frames that meet
  become one. Where A1's frames change, its spans are those that the new frames cover.
- Each of A1's entities is, with probability p, dropped or swapped for another entity of the scene (one as likely as
  the other); where the scene has no other, it is dropped. Entities that meet become one.
- Whether a frame or an entity is touched follows from one number of its own, compared with p, and where it goes from
  another: what is corrupted at some p is corrupted alike at every larger one, in every process, whatever the other
  conditions are. So scores against p make smooth curves.
- A1 is corrupted on the whole grid; fewer frames (`frames=`, `context=`) are chosen afterwards.

That is `kind=step-1`: whatever is told is true of something else. Two other kinds leave A1 as it is, and tell what is
false: `boxes` moves boxes of A2, `triples` changes triples of A3 and A4 (`cotasks.prompts.corruption`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cotasks.errors import InputError
from cotasks.prompts.corruption import KINDS, restrict
from cotasks.records.schema import (
    Frame,
    Record,
    Scene,
)
from cotasks.records.timeline import snapped_grid, thin
from cotasks.steps import frame_localization
from cotasks.steps.marks import Marks, mark_names, marks_of
from cotasks.steps.predicted import NO_STEP_1, PredictedSteps

if TYPE_CHECKING:
    from cotasks.prompts.condition import Condition


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
    """(tid, name) of the entities, where a prediction or their marks name them; empty for the usual names."""
    marks: Marks = ()
    """What is marked on the frames shown, where the condition shows marks; the scene's entities are then these."""


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
    kind = KINDS[condition.corruption_kind] if condition.origin == "corrupted" else None
    if kind is not None and kind.on_grid:
        record = kind.corrupt(record, condition.corruption, condition.corruption_seed)
    told = restrict(record, spoken)
    if kind is not None and not kind.on_grid:
        told = kind.corrupt(told, condition.corruption, condition.corruption_seed)
    if condition.marks:
        marks = marks_of(record.scene, shown)
        tids = dict(marks)
        entities = tuple(entity for entity in record.scene.entities if entity.tid in tids)
        told = dataclasses.replace(told, scene=dataclasses.replace(told.scene, entities=entities))
        return View(told, shown, mark_names(entities, marks)[0], marks)
    return View(told, shown)


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
