"""Step 3, spatial relations (A3): the triples that hold within a frame.

In a prompt, one line a triple, with the frames at which it holds:

    (adult 1, in front of, child): 0.00s to 3.94s; 7.87s
"""

from __future__ import annotations

import dataclasses

from cotasks.schema import FrameLocalization, Scene, SpatialRelation
from cotasks.steps.context import Parsed, StepContext, parse_items, render_items, split_item


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
