"""Step 4, temporal relations (A4): the triples that hold over a stretch of time.

In a prompt, one line a triple, from its first frame to the moment it has ended:

    (adult 1, chase, dog): 3.94s to 4.97s

and where the family refers to frames by position, with those of the frames shown at which it holds:

    (adult 1, chase, dog): frame 3 to frame 7 at 3.94s to 4.97s
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cotasks.records.schema import FrameLocalization, Scene, TemporalRelation
from cotasks.records.timeline import overlaps
from cotasks.steps.context import Parsed, StepContext, parse_items, render_items, split_item
from cotasks.steps.measures import precision_recall_f1, said_none


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
        return f"{triple}: {context.stretch_text(relation.begin_frame, relation.end_frame)}"

    return render_items(relations, line)


def parse(text: str, context: StepContext) -> Parsed[tuple[TemporalRelation, ...]]:
    """Read A4 back; a line without a readable triple, or whose end is not after its begin, is left unread, as is one
    whose positions and seconds contradict one another."""

    def read(line: str) -> Parsed[TemporalRelation | None]:
        head, rest = split_item(line)
        triple = context.read_triple(head)
        stretch = context.read_stretch(rest)
        if triple is None or stretch is None:
            return Parsed(None, (line,))
        return Parsed(TemporalRelation(*triple, begin_frame=stretch[0], end_frame=stretch[1]), ())

    return parse_items(text, read)


@dataclass(frozen=True)
class Score:
    """A4 against the truth, 0 to 1; see `cotasks.steps.measures` for None."""

    triple_precision: float | None
    triple_recall: float | None
    triple_f1: float | None
    """Of triples, whenever they hold."""
    span_precision: float | None
    span_recall: float | None
    span_f1: float | None
    """Of triples with their spans, as pairs of an IoU of 0.5 or more."""
    none_when_there_is_none: float | None
    """Whether nothing was said, where the truth has no triple."""


def score(predicted: Iterable[TemporalRelation], truth: Iterable[TemporalRelation]) -> Score:
    """A triple is right where subject, predicate and object agree (tids; match them first:
    `cotasks.steps.matching`). With its span it is right where its IoU in time with a true item of the same triple is
    0.5 or more, the threshold of VidVRD (Shang et al. 2017); items are paired one to one, so that the most are right.
    VidVRD asks for the overlap of the tracks; a text gives a span. Frames are [begin, end)."""
    ours, theirs = _spans(predicted), _spans(truth)
    count, true_count = (sum(map(len, one.values())) for one in (ours, theirs))
    right = sum(span_pairs(ours[triple], spans) for triple, spans in theirs.items() if triple in ours)
    return Score(
        *precision_recall_f1(len(ours.keys() & theirs.keys()), len(ours), len(theirs)),
        *precision_recall_f1(right, count, true_count),
        said_none(count, true_count),
    )


def _spans(relations: Iterable[TemporalRelation]) -> dict[tuple[int, str, int], set[tuple[int, int]]]:
    result: dict[tuple[int, str, int], set[tuple[int, int]]] = {}
    for relation in relations:
        triple = relation.subject_tid, relation.predicate.lower(), relation.object_tid
        result.setdefault(triple, set()).add((relation.begin_frame, relation.end_frame))
    return result


def span_pairs(ours: set[tuple[int, int]], theirs: set[tuple[int, int]]) -> int:
    """The most one-to-one pairs of spans [begin, end) of an IoU of 0.5 or more."""
    partner: dict[tuple[int, int], tuple[int, int]] = {}

    def find(span: tuple[int, int], tried: set[tuple[int, int]]) -> bool:
        for other in theirs:
            inner = min(span[1], other[1]) - max(span[0], other[0])
            # IoU >= 0.5 in whole frames, without a division: 2 * inner >= union
            if other not in tried and 3 * inner >= span[1] - span[0] + other[1] - other[0]:
                tried.add(other)
                if other not in partner or find(partner[other], tried):
                    partner[other] = span
                    return True
        return False

    return sum(find(span, set()) for span in ours)
