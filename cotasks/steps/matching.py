"""Who is meant: the entities of a prediction and those of the truth.

A prompt tells entities of one category apart by number, and a model cannot know which child the annotation calls
"child 2". So the numbers of a prediction are labels, not claims: before it is scored, its entities are matched one to
one with true ones of the same category, so that what the steps would then score adds up to the most. A prediction that
differs from the truth in its numbers alone has full scores, with boxes or without.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from cotasks.records.boxes import Xyxy, iou
from cotasks.records.schema import Entity, FrameLocalization, SpatialRelation, TemporalRelation, Track
from cotasks.steps.assignment import Assignment, assign
from cotasks.steps.temporal_relations import span_pairs

Relation = TypeVar("Relation", SpatialRelation, TemporalRelation)
AnyRelation = SpatialRelation | TemporalRelation

_NEARNESS = 1e-6
"""Weight of nearness beside IoU: it decides between boxes that overlap nothing, and outweighs no overlap."""
MOST_TWOS = 250_000
"""Pairs of a predicted and a true triple with one predicate; where there are more, triples match nobody."""


def match_entities(
    predicted: Sequence[Entity],
    truth: Sequence[Entity],
    predicted_tracks: Sequence[Track] = (),
    true_tracks: Sequence[Track] = (),
    predicted_relations: Sequence[AnyRelation] = (),
    true_relations: Sequence[AnyRelation] = (),
    predicted_named: Collection[int] = (),
    true_named: Collection[int] = (),
) -> dict[int, int]:
    """tid of a predicted entity -> tid of the true one that it is taken for; without those that have no partner.

    Partners agree in category: the same name, or one of the names that a slash lists ("cup" and "cup/glass/bottle").
    They are chosen so that this total is the greatest, in which each step counts up to 1:

    - step 1: the F1 of the entities that it names;
    - step 2: the IoU of boxes on common frames, as a share of the boxes of the side that has fewer; where boxes do not
      meet, the nearer centers win;
    - steps 3 and 4: the mean of two F1, of triples, and of triples with their frames or spans.

    How that is searched, and how far it is exact, is said in `cotasks.steps.assignment`. All that is left is paired in
    order. The order is that of what is said of an entity (boxes, relations, and so on along the relations), and of
    numbers (tid) only where that is the same; so numbers make no difference.

    Args:
        predicted_relations, true_relations: of steps 3 and 4.
        predicted_named, true_named: tids of the entities that step 1 names.

    Raises MissingExtra where scipy is not installed.
    """
    parts = (
        _Side(predicted, predicted_tracks, predicted_relations, predicted_named),
        _Side(truth, true_tracks, true_relations, true_named),
    )
    ours, theirs, found = _best(*parts)
    same = {ours[i].tid: theirs[j].tid for i, j in found.column.items()}
    left = {entity.tid: entity for entity in theirs if entity.tid not in same.values()}
    for entity in ours:
        if entity.tid not in same:
            partner = next((other for other in left.values() if _agree(entity, other)), None)
            if partner is not None:
                same[entity.tid] = left.pop(partner.tid).tid
    return same


class _Side:
    """What is said of the entities, on one side."""

    def __init__(
        self,
        entities: Sequence[Entity],
        tracks: Sequence[Track],
        relations: Sequence[AnyRelation],
        named: Collection[int],
    ) -> None:
        self.entities = entities
        self.boxes = {track.tid: {box.frame: box.xyxy for box in track.boxes} for track in tracks}
        self.named = frozenset(named)
        self.times: dict[tuple[int, str], dict[tuple[int, int], set[Any]]] = defaultdict(lambda: defaultdict(set))
        """(step, predicate) -> (subject, object) -> frames of step 3, spans of step 4."""
        for relation in relations:
            step, times = _times(relation)
            self.times[step, relation.predicate.lower()][relation.subject_tid, relation.object_tid].update(times)

    def count(self, step: int) -> tuple[int, int]:
        """Triples of step 3 or 4, and their frames or spans."""
        found = [times for (of, _), pairs in self.times.items() if of == step for times in pairs.values()]
        return len(found), sum(map(len, found))


def _times(relation: AnyRelation) -> tuple[int, Iterable[Any]]:
    if isinstance(relation, SpatialRelation):
        return 3, relation.frames
    return 4, [(relation.begin_frame, relation.end_frame)]


def _best(ours: _Side, theirs: _Side) -> tuple[list[Entity], list[Entity], Assignment]:
    """Both sides' entities in order, and who of them are matched by what is said of them."""
    colors = _colors(ours, theirs)
    rows = sorted(ours.entities, key=lambda e: (colors[0][e.tid], e.tid))
    columns = sorted(theirs.entities, key=lambda e: (e.tid in theirs.boxes, e.tid))
    place, other_place = ({e.tid: n for n, e in enumerate(side)} for side in (rows, columns))
    # matches of one entity: named in step 1, and boxes
    name_weight = 2 / max(1, len(ours.named) + len(theirs.named))
    box_weight = 1 / max(1, min(sum(map(len, side.boxes.values())) for side in (ours, theirs)))
    singles: list[dict[int, float]] = [
        {
            j: name_weight * (a.tid in ours.named and b.tid in theirs.named)
            + box_weight * _similarity(ours.boxes.get(a.tid, {}), theirs.boxes.get(b.tid, {}))
            for j, b in enumerate(columns)
            if _agree(a, b)
        }
        for a in rows
    ]
    # matches of two: a triple that is right
    doubles: dict[tuple[int, int], dict[tuple[int, int], float]] = defaultdict(lambda: defaultdict(float))
    common = ours.times.keys() & theirs.times.keys()
    if sum(len(ours.times[key]) * len(theirs.times[key]) for key in common) > MOST_TWOS:
        common = set()
    counts = {step: [sum(both) for both in zip(ours.count(step), theirs.count(step), strict=True)] for step in (3, 4)}
    for key in sorted(common):
        triples, all_times = counts[key[0]]
        for (s, o), times in ours.times[key].items():
            for (t, p), true_times in theirs.times[key].items():
                i, j, k, m = place[s], other_place[t], place[o], other_place[p]
                if (s == o) != (t == p) or j not in singles[i] or m not in singles[k]:
                    continue
                right = len(times & true_times) if key[0] == 3 else span_pairs(times, true_times)
                weight = 1 / triples + right / all_times
                if s == o:
                    singles[i][j] += weight
                else:
                    at = ((i, k), (j, m)) if i < k else ((k, i), (m, j))
                    doubles[at[0]][at[1]] += weight
    alike = {
        (i, j) for i, row in enumerate(singles) for j in row if colors[0][rows[i].tid] == colors[1][columns[j].tid]
    }
    return rows, columns, assign(singles, doubles, alike)


def _colors(ours: _Side, theirs: _Side) -> tuple[dict[int, int], dict[int, int]]:
    """For each side {tid: number}, equal for entities of which the same is said, numbers left out.

    Colour refinement (Weisfeiler and Leman 1968): entities are told apart by what is said of them, then by what is said
    of those that they are related to, and so on until no more are told apart.
    """
    sides = (ours, theirs)
    links: list[dict[int, list[tuple[Any, ...]]]] = []
    for side in sides:
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for (step, predicate), pairs in side.times.items():
            for (subject, object_), times in pairs.items():
                what = step, predicate, tuple(sorted(times))
                found[subject].append((0, *what, object_))
                found[object_].append((1, *what, subject))
        links.append(found)
    keys: list[dict[int, Any]] = [
        {
            e.tid: (e.category, e.tid in side.named, tuple(sorted(side.boxes.get(e.tid, {}).items())))
            for e in side.entities
        }
        for side in sides
    ]
    colors, number = _ranked(keys)
    while True:
        keys = [
            {tid: (color, tuple(sorted((*what, of[other]) for *what, other in link[tid]))) for tid, color in of.items()}
            for of, link in zip(colors, links, strict=True)
        ]
        colors, more = _ranked(keys)
        if more == number:
            return colors[0], colors[1]
        number = more


def _ranked(keys: Sequence[Mapping[int, Any]]) -> tuple[list[dict[int, int]], int]:
    """The keys as numbers in their order, and how many differ."""
    places = {key: place for place, key in enumerate(sorted({key for side in keys for key in side.values()}))}
    return [{tid: places[key] for tid, key in side.items()} for side in keys], len(places)


def relabel_localization(localization: FrameLocalization, same: Mapping[int, int]) -> FrameLocalization:
    """A1 with its entities' tids exchanged."""
    entities = (dataclasses.replace(entity, tid=_relabel(entity.tid, same)) for entity in localization.entities)
    return dataclasses.replace(localization, entities=tuple(sorted(entities, key=lambda e: e.tid)))


def relabel_tracks(tracks: Sequence[Track], same: Mapping[int, int]) -> tuple[Track, ...]:
    """A2 with its entities' tids exchanged."""
    return tuple(dataclasses.replace(track, tid=_relabel(track.tid, same)) for track in tracks)


def relabel_relations(relations: Sequence[Relation], same: Mapping[int, int]) -> tuple[Relation, ...]:
    """A3 or A4 with its entities' tids exchanged."""
    return tuple(
        dataclasses.replace(
            relation,
            subject_tid=_relabel(relation.subject_tid, same),
            object_tid=_relabel(relation.object_tid, same),
        )
        for relation in relations
    )


def _relabel(tid: int, same: Mapping[int, int]) -> int:
    # an entity without a partner must not pass for the true one that happens to have its number
    return same.get(tid, -1 - tid)


def _alternatives(category: str) -> set[str]:
    return set(category.replace("_", " ").lower().split("/"))


def _agree(a: Entity, b: Entity) -> bool:
    return not _alternatives(a.category).isdisjoint(_alternatives(b.category))


def _similarity(ours: Mapping[int, Xyxy], theirs: Mapping[int, Xyxy]) -> float:
    """Total IoU over common frames, with a little for nearness; 0 without a common frame."""
    return math.fsum(
        iou(ours[frame], theirs[frame]) + _NEARNESS / (1 + math.dist(_center(ours[frame]), _center(theirs[frame])))
        for frame in ours.keys() & theirs.keys()
    )


def _center(box: Xyxy) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
