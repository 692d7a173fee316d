"""What steps score that nobody had to look at the video for: the rows that a step table carries beside a model's.

Each is made of the record that is scored, on its frames, and scored as a prediction is, so that it stands for a way to
answer without skill. A model whose score does not exceed them has shown nothing.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from cotasks.records.schema import Box, Entity, FrameLocalization, Record, SpatialRelation, TemporalRelation, Track
from cotasks.steps import entity_tracking
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.table import STEPS


@dataclass(frozen=True)
class Amounts:
    """How much one record's true steps hold."""

    frames: float
    """Share of the grid that step 1 names."""
    entities: int
    boxes: int
    """Of an entity that has any, on average."""
    spatial: tuple[float, ...]
    """Of each triple of step 3, the share of the grid."""
    temporal: tuple[float, ...]
    """Of each triple of step 4, the length as a share of the time from the first to the last frame of the grid."""


@dataclass(frozen=True)
class Pool:
    """What the true steps of some records hold, whichever record it is."""

    spatial: tuple[tuple[str, int], ...]
    """(predicate of step 3, how often it occurs), the most frequent first."""
    temporal: tuple[tuple[str, int], ...]
    """The same of step 4."""
    amounts: tuple[Amounts, ...]
    """Of each record."""


def pool(records: Iterable[Record]) -> Pool:
    """That of the records."""
    spatial: Counter[str] = Counter()
    temporal: Counter[str] = Counter()
    amounts = []
    for record in records:
        spatial.update(relation.predicate for relation in record.spatial_relations)
        temporal.update(relation.predicate for relation in record.temporal_relations)
        amounts.append(_amounts(record))
    return Pool(_by_frequency(spatial), _by_frequency(temporal), tuple(amounts))


def _by_frequency(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _amounts(record: Record) -> Amounts:
    tracks = entity_tracking.thin(record.entity_tracking, BOXES_PER_ENTITY)
    grid, time = len(record.frames), record.frames[-1].index + 1 - record.frames[0].index
    return Amounts(
        frames=len(record.frame_localization.frames) / grid,
        entities=len(record.frame_localization.entities),
        boxes=round(sum(len(track.boxes) for track in tracks) / max(1, len(tracks))),
        spatial=tuple(len(one.frames) / grid for one in record.spatial_relations),
        temporal=tuple((one.end_frame - one.begin_frame) / time for one in record.temporal_relations),
    )


def says_none(record: Record, among: Pool) -> PredictedSteps:
    """No frame, no entity, no box, no triple."""
    return PredictedSteps(_localization(record, (), ()), (), (), ())


def everything(record: Record, among: Pool) -> PredictedSteps:
    """All frames and all entities of the scene; each one's box is the whole frame; between each two of them the
    predicate that is most frequent in the records holds, all the time."""
    frames = tuple(frame.index for frame in record.frames)
    entities = record.scene.entities
    width, height = record.width or 1000, record.height or 1000
    whole = tuple(Box(frame, (0.0, 0.0, float(width), float(height)), False) for frame in frames)
    pairs = list(permutations((entity.tid for entity in entities), 2))
    return PredictedSteps(
        _localization(record, frames, entities),
        entity_tracking.thin([Track(e.tid, e.category, whole) for e in entities], BOXES_PER_ENTITY),
        tuple(SpatialRelation(s, name, o, frames) for name, _ in among.spatial[:1] for s, o in pairs),
        tuple(
            TemporalRelation(s, name, o, frames[0], frames[-1] + 1) for name, _ in among.temporal[:1] for s, o in pairs
        ),
    )


def scene(record: Record, among: Pool) -> PredictedSteps:
    """All of the annotation, whatever the question: all frames, all entities, all that is annotated of them."""
    a1 = dataclasses.replace(
        _localization(record, tuple(frame.index for frame in record.frames), record.scene.entities),
        spans=(record.clip,),
    )
    return PredictedSteps(**{step.field: step.construct(record, a1) for step in STEPS.values()})


def chance(record: Record, among: Pool) -> PredictedSteps:
    """As many frames, entities, boxes and triples as some record drawn from the pool has, each drawn at random.

    Frames are drawn from the grid, entities from the scene. The edges of a box are drawn from the frame. A triple has a
    subject and another object from the scene, and a predicate by its frequency in the pool; it holds on as much of the
    grid, or for as long, as one of the record drawn. The draw belongs to the record's id.
    """
    drawn = random.Random(f"chance\0{record.id}")  # seeded by SHA-512 of the text, so alike everywhere
    like = drawn.choice(among.amounts)
    frames = [frame.index for frame in record.frames]

    def some_frames(share: float) -> tuple[int, ...]:
        return tuple(sorted(drawn.sample(frames, max(1, min(len(frames), round(share * len(frames)))))))

    # steps 1 and 2
    chosen = some_frames(like.frames)
    entities = drawn.sample(record.scene.entities, min(like.entities, len(record.scene.entities)))
    size = record.width or 1000, record.height or 1000

    def box(frame: int) -> Box:
        (x1, x2), (y1, y2) = (sorted((drawn.uniform(0, side), drawn.uniform(0, side))) for side in size)
        return Box(frame, (x1, y1, x2, y2), False)

    tracks = [
        Track(
            e.tid, e.category, tuple(box(frame) for frame in sorted(drawn.sample(frames, min(len(frames), like.boxes))))
        )
        for e in entities
    ]
    # steps 3 and 4
    tids = [entity.tid for entity in record.scene.entities]

    def triple(predicates: Sequence[tuple[str, int]]) -> tuple[int, str, int]:
        subject, object_ = drawn.sample(tids, 2)
        [name] = drawn.choices([name for name, _ in predicates], [count for _, count in predicates])
        return subject, name, object_

    spatial, temporal = [], []
    if len(tids) > 1:
        spatial = [SpatialRelation(*triple(among.spatial), some_frames(share)) for share in like.spatial]
        first, last = frames[0], frames[-1] + 1
        for share in like.temporal:
            length = max(1, min(last - first, round(share * (last - first))))
            begin = drawn.randint(first, last - length)
            temporal.append(TemporalRelation(*triple(among.temporal), begin, begin + length))
    return PredictedSteps(
        _localization(record, chosen, entities),
        tuple(track for track in tracks if track.boxes),
        tuple(spatial),
        tuple(temporal),
    )


def _localization(record: Record, frames: tuple[int, ...], entities: Iterable[Entity]) -> FrameLocalization:
    return dataclasses.replace(
        record.frame_localization,
        frames=frames,
        entities=tuple(sorted(entities, key=lambda e: e.tid)),
    )


BASELINES: Mapping[str, Callable[[Record, Pool], PredictedSteps]] = {
    "says none": says_none,
    "everything": everything,
    "scene": scene,
    "chance": chance,
}
"""Name of a row -> (record, on the frames that count; all records that are scored) -> its steps."""
