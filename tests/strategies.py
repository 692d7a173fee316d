"""Hypothesis strategies: scenes, records and step contexts of every shape that the readers can hand on."""

from __future__ import annotations

from hypothesis import strategies as st

from cotasks.records.boxes import CoordinateFormat
from cotasks.records.schema import (
    Box,
    Entity,
    FrameLocalization,
    Record,
    Scene,
    Span,
    SpatialRelation,
    TemporalRelation,
    Track,
)
from cotasks.records.timeline import grid_frames, spans_of_frames, uniform_grid
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations
from cotasks.steps.context import StepContext

CATEGORIES = ("adult", "child", "dog", "ball/sports_ball", "screen/monitor", "cup/glass/bottle", "stop_sign")
SPATIAL = ("above", "in_front_of", "next_to", "on_the_side_of", "at")
TEMPORAL = ("hold", "play(instrument)", "hold_hand_of", "chase", "have_it_on_the_back")
FPS = (6.0, 8.0, 10.0, 23.976, 25.0, 29.97, 30000 / 1001, 50.0, 59.94, 100.0, 120.0)


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int) -> tuple[float, float, float, float]:
    """A box inside the frame, at least a pixel wide and high, with two decimals as STAR writes them."""
    x1 = draw(st.floats(0, width - 1).map(lambda v: round(v, 2)))
    y1 = draw(st.floats(0, height - 1).map(lambda v: round(v, 2)))
    x2 = draw(st.floats(min(x1 + 1, width), width).map(lambda v: round(v, 2)))
    y2 = draw(st.floats(min(y1 + 1, height), height).map(lambda v: round(v, 2)))
    return x1, y1, x2, y2


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A whole record, its steps built from its scene by the package's own functions."""
    width, height = draw(st.integers(64, 1920)), draw(st.integers(64, 1920))
    fps = draw(st.sampled_from(FPS))
    frame_count = draw(st.integers(1, 3000))
    first = draw(st.integers(0, frame_count - 1))
    last = draw(st.integers(first, frame_count - 1))
    frames = grid_frames(uniform_grid(first, last, draw(st.integers(1, 12))), fps)
    clip = Span(first / fps, (last + 1) / fps)
    indices = [frame.index for frame in frames]

    tids = draw(st.lists(st.integers(0, 40), min_size=1, max_size=5, unique=True).map(sorted))
    entities = tuple(Entity(tid, draw(st.sampled_from(CATEGORIES))) for tid in tids)
    tracks = []
    for entity in entities:
        seen = draw(st.lists(st.sampled_from(indices), unique=True).map(sorted))
        track = Track(
            entity.tid,
            entity.category,
            tuple(Box(i, draw(boxes(width, height)), draw(st.booleans())) for i in seen),
        )
        tracks += [track] if track.boxes else []
    some_frames = st.lists(st.sampled_from(indices), min_size=1, unique=True).map(lambda v: tuple(sorted(v)))
    tid = st.sampled_from(tids)
    spatial = draw(
        st.lists(
            st.builds(SpatialRelation, tid, st.sampled_from(SPATIAL), tid, some_frames),
            max_size=4,
            unique_by=lambda r: (r.subject_tid, r.predicate, r.object_tid),
        )
    )
    temporal = []
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(first, last))
        end = draw(st.integers(begin + 1, last + 1))
        temporal.append(TemporalRelation(draw(tid), draw(st.sampled_from(TEMPORAL)), draw(tid), begin, end))
    scene = Scene(entities, tuple(tracks), tuple(spatial), tuple(temporal))

    chosen = draw(some_frames)
    a1 = FrameLocalization(
        frames=chosen,
        spans=spans_of_frames(chosen, frames),
        entities=tuple(e for e in entities if draw(st.booleans())),
        span_origin=draw(st.sampled_from(("human", "lexical", "whole"))),
        entity_origin="lexical",
        used_answer=draw(st.booleans()),
    )
    choices = draw(st.sampled_from(((), ("yes", "no"), ("a ball", "none", "two", "1", "the dog"))))
    return Record(
        id="nextqa/train/1/0",
        source="nextqa",
        question_type="CW",
        category="causal",
        video_id="1",
        video_path="0000/1.mp4",
        fps=fps,
        frame_count=frame_count,
        width=width,
        height=height,
        clip=clip,
        question=draw(st.text(max_size=20)),
        answer=choices[0] if choices else "none",
        additional_answers=draw(st.sampled_from(((), ("nothing",)))),
        choices=choices,
        answer_index=0 if choices else -1,
        frames=frames,
        frame_localization=a1,
        entity_tracking=entity_tracking.construct(scene, a1),
        spatial_relations=spatial_relations.construct(scene, a1),
        temporal_relations=temporal_relations.construct(scene, a1, fps),
        scene=scene,
    )


def coordinate_formats() -> st.SearchStrategy[CoordinateFormat]:
    """Every coordinate format; pixel sizes at odd aspect ratios too."""
    size = st.tuples(st.integers(28, 1400), st.integers(28, 1400))
    return st.one_of(
        size.map(lambda s: CoordinateFormat("pixels", s)),
        st.sampled_from((CoordinateFormat("thousandths"), CoordinateFormat("fractions"))),
    )


@st.composite
def contexts(draw: st.DrawFn, record: Record) -> StepContext:
    """How some model family would be told of the record's steps."""
    assert record.width is not None
    assert record.height is not None
    return StepContext(
        entities=record.scene.entities,
        frames=record.frames,
        fps=record.fps,
        clip=record.clip,
        source_size=(record.width, record.height),
        coordinates=draw(coordinate_formats()),
        frame_reference=draw(st.sampled_from(("seconds", "position"))),
    )
