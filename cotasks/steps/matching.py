"""Who is meant: the entities of a prediction and those of the truth.

A prompt tells entities of one category apart by number, and a model cannot know which child the annotation calls
"child 2". So the numbers of a prediction are labels, not claims: before it is scored, its entities are matched one to
one with true ones of the same category.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from cotasks.records.boxes import Xyxy, iou
from cotasks.records.schema import Entity, FrameLocalization, SpatialRelation, TemporalRelation, Track

Relation = TypeVar("Relation", SpatialRelation, TemporalRelation)

_NEARNESS = 1e-6
"""Weight of nearness beside IoU: it decides between boxes that overlap nothing, and outweighs no overlap."""


def match_entities(
    predicted: Sequence[Entity],
    truth: Sequence[Entity],
    predicted_tracks: Sequence[Track] = (),
    true_tracks: Sequence[Track] = (),
) -> dict[int, int]:
    """tid of a predicted entity -> tid of the true one that it is taken for; without those that have no partner.

    Partners agree in category: the same name, or one of the names that a slash lists ("cup" and "cup/glass/bottle").
    Entities with boxes on a common frame are paired first, so that the IoU of their boxes adds up to the most
    (`scipy.optimize.linear_sum_assignment`); where boxes do not meet, the nearer centers win. All that is left is
    paired in order of number (tid); of entities with boxes, in order of their boxes. So where every predicted entity
    has boxes of its own, the numbers make no difference.

    Raises MissingExtra where scipy is not installed.
    """
    boxes_of = {track.tid: {box.frame: box.xyxy for box in track.boxes} for track in predicted_tracks}
    true_boxes_of = {track.tid: {box.frame: box.xyxy for box in track.boxes} for track in true_tracks}
    # never in order of tid where boxes can tell: equal sums are then decided alike under any numbering
    ours = sorted(predicted, key=lambda e: (sorted(boxes_of.get(e.tid, {}).items()), e.tid))
    theirs = sorted(truth, key=lambda e: (e.tid in true_boxes_of, e.tid))
    similar = [
        [_similarity(boxes_of.get(a.tid, {}), true_boxes_of.get(b.tid, {})) if _agree(a, b) else 0.0 for b in theirs]
        for a in ours
    ]
    same = {ours[i].tid: theirs[j].tid for i, j in _assign(similar) if similar[i][j] > 0}
    left = {entity.tid: entity for entity in theirs if entity.tid not in same.values()}
    for entity in ours:
        if entity.tid not in same:
            partner = next((other for other in left.values() if _agree(entity, other)), None)
            if partner is not None:
                same[entity.tid] = left.pop(partner.tid).tid
    return same


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


def _assign(weights: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """(row, column) pairs, one to one, of the greatest total weight."""
    if not any(any(row) for row in weights):
        return []
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        from cotasks.errors import MissingExtra

        raise MissingExtra("scipy", "report") from None
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]
