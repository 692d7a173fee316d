"""Step 3, spatial relations (A3): the triples that hold within a frame.

In a prompt, one line a triple, with the frames at which it holds:

    (adult 1, in front of, child): 0.00s to 3.94s; 7.87s
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from cotasks.records.schema import FrameLocalization, Scene, SpatialRelation
from cotasks.steps.context import Parsed, StepContext, parse_items, render_items, split_item
from cotasks.steps.measures import precision_recall_f1, said_none


def construct(scene: Scene, localization: FrameLocalization) -> tuple[SpatialRelation, ...]:
    """The triples between A1's entities, their frames intersected with A1's; dropped where none is left."""
    tids = {entity.tid for entity in localization.entities}
    frames = set(localization.frames)
    relations = (
        dataclasses.replace(relation, frames=tuple(frame for frame in relation.frames if frame in frames))
        for relation in scene.spatial_relations
        if relation.subject_tid in tids and relation.object_tid in tids
    )
    return tuple(relation for relation in relations if relation.frames)


def render(relations: tuple[SpatialRelation, ...], context: StepContext) -> str:
    """One line a triple."""

    def line(relation: SpatialRelation) -> str:
        triple = context.triple_text(relation.subject_tid, relation.predicate, relation.object_tid)
        return f"{triple}: {context.frames_text(relation.frames)}"

    return render_items(relations, line)


def parse(text: str, context: StepContext) -> Parsed[tuple[SpatialRelation, ...]]:
    """Read A3 back; a line without a readable triple or frame is left unread."""

    def read(line: str) -> Parsed[SpatialRelation | None]:
        head, rest = split_item(line)
        triple, frames = context.read_triple(head), context.read_frames(rest)
        if triple is None or not frames.value:
            return Parsed(None, (line,))
        return Parsed(SpatialRelation(*triple, frames=frames.value), frames.unread)

    return parse_items(text, read)


@dataclass(frozen=True)
class Score:
    """A3 against the truth, 0 to 1; see `cotasks.steps.measures` for None."""

    triple_precision: float | None
    triple_recall: float | None
    triple_f1: float | None
    """Of triples, whenever they hold."""
    frame_precision: float | None
    frame_recall: float | None
    frame_f1: float | None
    """Of (triple, frame) pairs: a triple is to be found on each of its frames."""
    none_when_there_is_none: float | None
    """Whether nothing was said, where the truth has no triple."""


def score(predicted: Iterable[SpatialRelation], truth: Iterable[SpatialRelation]) -> Score:
    """A triple is right where subject, predicate and object agree (tids; match them first:
    `cotasks.steps.matching`), as in the relation detection of VidVRD (Shang et al. 2017) and of scene graphs, but
    without confidences: a text ranks nothing, so precision and recall are of all that it says."""
    ours, theirs = _frames(predicted), _frames(truth)
    pairs, true_pairs = ({(t, frame) for t, frames in one.items() for frame in frames} for one in (ours, theirs))
    return Score(
        *precision_recall_f1(len(ours.keys() & theirs.keys()), len(ours), len(theirs)),
        *precision_recall_f1(len(pairs & true_pairs), len(pairs), len(true_pairs)),
        said_none(len(ours), len(theirs)),
    )


def _frames(relations: Iterable[SpatialRelation]) -> dict[tuple[int, str, int], set[int]]:
    result: dict[tuple[int, str, int], set[int]] = {}
    for relation in relations:
        triple = relation.subject_tid, relation.predicate.lower(), relation.object_tid
        result.setdefault(triple, set()).update(relation.frames)
    return result
