"""Step 4, temporal relations (A4): the triples that hold over a stretch of time.

In a prompt, one line a triple, from its first frame to the moment it has ended:

    (adult 1, chase, dog): 3.94s to 4.97s
"""

from __future__ import annotations

from cotasks.schema import FrameLocalization, Scene, TemporalRelation
from cotasks.steps.context import Parsed, StepContext, parse_items, render_items, split_item
from cotasks.timeline import overlaps


def construct(scene: Scene, localization: FrameLocalization, fps: float) -> tuple[TemporalRelation, ...]:
    """The triples between A1's entities that overlap one of A1's spans; kept whole, never cut."""
    tids = {entity.tid for entity in localization.entities}
    return tuple(
        relation
        for relation in scene.temporal_relations
        if relation.subject_tid in tids
        and relation.object_tid in tids
        and overlaps(relation.begin_frame, relation.end_frame, fps, localization.spans)
    )


def render(relations: tuple[TemporalRelation, ...], context: StepContext) -> str:
    """One line a triple. The second time is that of the first frame at which it holds no more."""

    def line(relation: TemporalRelation) -> str:
        triple = context.triple_text(relation.subject_tid, relation.predicate, relation.object_tid)
        return f"{triple}: {context.moment(relation.begin_frame)} to {context.moment(relation.end_frame)}"

    return render_items(relations, line)


def parse(text: str, context: StepContext) -> Parsed[tuple[TemporalRelation, ...]]:
    """Read A4 back; a line without a readable triple, or whose end is not after its begin, is left unread."""

    def read(line: str) -> Parsed[TemporalRelation | None]:
        head, rest = split_item(line)
        triple = context.read_triple(head)
        moments = [context.read_moment(part) for part in rest.split(" to ")]
        if triple is None or len(moments) != 2 or moments[0] is None or moments[1] is None:
            return Parsed(None, (line,))
        if moments[0] >= moments[1]:
            return Parsed(None, (line,))
        return Parsed(TemporalRelation(*triple, begin_frame=moments[0], end_frame=moments[1]), ())

    return parse_items(text, read)
