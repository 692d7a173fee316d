"""Rendering and reading back of the four steps, for every shape of record, time base and coordinate format."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.records.boxes import CoordinateFormat
from cotasks.records.naming import entity_names
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
from cotasks.records.timeline import grid_frames
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import StepContext
from cotasks.steps.table import STEP_NUMBERS, STEPS, read_step, step_text
from tests.examples import examples
from tests.strategies import contexts, records

ADULT_1, ADULT_5, BALL = Entity(1, "adult"), Entity(5, "adult"), Entity(3, "ball/sports_ball")


def context(**changes: object) -> StepContext:
    """Ten frames a second from second 2 on, every fifth frame on the grid."""
    base = StepContext(
        entities=(ADULT_1, BALL, ADULT_5),
        frames=grid_frames([20, 25, 30, 35, 40], fps=10.0),
        fps=10.0,
        clip=Span(2.0, 4.0),
        source_size=(200, 100),
        coordinates=CoordinateFormat("pixels", (400, 200)),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def a1(frames: tuple[int, ...], entities: tuple[Entity, ...], spans: tuple[Span, ...] = ()) -> FrameLocalization:
    return FrameLocalization(frames, spans, entities, "lexical", "lexical", False)


def test_entities_of_one_category_are_numbered_by_tid() -> None:
    assert entity_names([ADULT_5, BALL, ADULT_1]) == {1: "adult 1", 3: "ball/sports ball", 5: "adult 2"}


def test_each_step_reads_as_documented() -> None:
    localization = a1((20, 25, 40), (ADULT_1, BALL))
    tracks = (Track(1, "adult", (Box(20, (10.0, 20.0, 30.0, 40.0), False), Box(40, (0.0, 0.0, 200.0, 100.0), True))),)
    spatial = (SpatialRelation(5, "in_front_of", 3, (20, 25, 30, 40)),)
    temporal = (TemporalRelation(1, "play(instrument)", 3, 21, 36),)
    assert frame_localization.render(localization, context()) == (
        "Frames: 0.00s to 0.50s; 2.00s\nEntities: adult 1, ball/sports ball"
    )
    assert entity_tracking.render(tracks, context()) == "adult 1: 0.00s [20, 40, 60, 80]; 2.00s [0, 0, 400, 200]"
    assert spatial_relations.render(spatial, context()) == (
        "(adult 2, in front of, ball/sports ball): 0.00s to 1.00s; 2.00s"
    )
    assert temporal_relations.render(temporal, context()) == (
        "(adult 1, play(instrument), ball/sports ball): 0.10s to 1.60s"
    )
    by_position = context(frame_reference="position", coordinates=CoordinateFormat("fractions"))
    assert entity_tracking.render(tracks, by_position) == (
        "adult 1: frame 1 [0.050, 0.200, 0.150, 0.400]; frame 5 [0.000, 0.000, 1.000, 1.000]"
    )
    assert spatial_relations.render(spatial, by_position) == (
        "(adult 2, in front of, ball/sports ball): frame 1 to frame 3; frame 5"
    )
    assert temporal_relations.render((), context()) == "none"


def test_construct_restricts_to_a1() -> None:
    scene = Scene(
        entities=(ADULT_1, BALL, ADULT_5),
        entity_tracking=(
            Track(1, "adult", tuple(Box(f, (0.0, 0.0, 9.0, 9.0), False) for f in (20, 30, 40))),
            Track(3, "ball/sports_ball", (Box(25, (0.0, 0.0, 9.0, 9.0), False),)),
            Track(5, "adult", (Box(30, (0.0, 0.0, 9.0, 9.0), False),)),
        ),
        spatial_relations=(
            SpatialRelation(1, "next_to", 3, (20, 30, 35)),
            SpatialRelation(1, "next_to", 5, (30,)),
            SpatialRelation(3, "behind", 1, (25,)),
        ),
        temporal_relations=(
            TemporalRelation(1, "hold", 3, 10, 31),  # begins before the span, reaches into it
            TemporalRelation(1, "kick", 3, 36, 40),  # begins after it
            TemporalRelation(1, "kick", 3, 20, 30),  # has ended when it starts
            TemporalRelation(1, "hold", 5, 30, 35),  # its object is not in A1
        ),
    )
    localization = a1((30, 35), (ADULT_1, BALL), (Span(3.0, 3.5),))
    assert entity_tracking.construct(scene, localization) == (
        Track(1, "adult", (Box(30, (0.0, 0.0, 9.0, 9.0), False),)),
    )
    assert spatial_relations.construct(scene, localization) == (SpatialRelation(1, "next_to", 3, (30, 35)),)
    # whole, never cut to the span
    assert temporal_relations.construct(scene, localization, 10.0) == (TemporalRelation(1, "hold", 3, 10, 31),)


def test_a1_on_fewer_frames_keeps_its_frames_or_takes_those_of_its_spans() -> None:
    localization = a1((25, 30), (ADULT_1,), (Span(2.5, 3.0),))
    assert frame_localization.construct(localization, grid_frames([20, 30, 40], 10.0)).frames == (30,)
    assert frame_localization.construct(localization, grid_frames([20, 40], 10.0)).frames == (20,)


def test_thin_takes_boxes_evenly() -> None:
    track = Track(1, "adult", tuple(Box(f, (0.0, 0.0, 9.0, 9.0), False) for f in range(9)))
    assert [box.frame for box in entity_tracking.thin([track], 3)[0].boxes] == [0, 4, 8]
    assert entity_tracking.thin([track], 20) == (track,)


@examples(150)
@given(data=st.data(), record=records())
def test_round_trip(data: st.DataObject, record: Record) -> None:
    ctx = data.draw(contexts(record))
    assert ctx.coordinates.size is None or min(ctx.coordinates.size) > 0

    text = frame_localization.render(record.frame_localization, ctx)
    one = frame_localization.parse(text, ctx)
    assert one.unread == ()
    assert one.value.frames == record.frame_localization.frames
    assert one.value.entities == record.frame_localization.entities
    assert frame_localization.render(one.value, ctx) == text

    text = entity_tracking.render(record.entity_tracking, ctx)
    two = entity_tracking.parse(text, ctx)
    assert two.unread == ()
    assert [(t.tid, t.category) for t in two.value] == [(t.tid, t.category) for t in record.entity_tracking]
    scale_x, scale_y = ctx.coordinates.scale
    unit = 10.0**-ctx.coordinates.decimals
    half_x, half_y = (unit / 2 * ctx.source_size[0] / scale_x, unit / 2 * ctx.source_size[1] / scale_y)
    for read, true in zip(two.value, record.entity_tracking, strict=True):
        assert [b.frame for b in read.boxes] == [b.frame for b in true.boxes]
        for b, t in zip(read.boxes, true.boxes, strict=True):
            for value, expected, half in zip(b.xyxy, t.xyxy, (half_x, half_y) * 2, strict=True):
                assert abs(value - expected) <= half * (1 + 1e-9)
    assert entity_tracking.render(two.value, ctx) == text

    text = spatial_relations.render(record.spatial_relations, ctx)
    three = spatial_relations.parse(text, ctx)
    assert three.unread == ()
    assert three.value == record.spatial_relations
    assert spatial_relations.render(three.value, ctx) == text

    text = temporal_relations.render(record.temporal_relations, ctx)
    four = temporal_relations.parse(text, ctx)
    assert four.unread == ()
    assert four.value == record.temporal_relations
    assert temporal_relations.render(four.value, ctx) == text


@examples(200)
@given(text=st.text(alphabet=st.sampled_from("adult 12 ball/sports,:;[]().0345sto\nframe-"), max_size=120))
def test_no_text_makes_a_parser_fail_or_invent(text: str) -> None:
    ctx = context()
    for step in (frame_localization, entity_tracking, spatial_relations, temporal_relations):
        step.parse(text, ctx)
    for track in entity_tracking.parse(text, ctx).value:
        assert {box.frame for box in track.boxes} <= {frame.index for frame in ctx.frames}


@pytest.mark.parametrize(
    "line",
    [
        "adult 3: 0.00s [20, 40, 60, 80]",  # no such entity
        "adult 1: 0.20s [20, 40, 60, 80]",  # not a frame of the grid
        "adult 1: 0.00s [60, 40, 20, 80]",  # inverted
        "adult 1: 0.00s [60, 40, 430, 80]",  # of another scale, or nonsense: the frame is 400 wide
        "adult 1: 0.00s [20, 40, 60]",
        "adult 1 is at [20, 40, 60, 80]",
    ],
)
def test_what_cannot_be_read_is_kept_as_text(line: str) -> None:
    parsed = entity_tracking.parse(f"{line}\nadult 2: 0.50s [0, 0, 4, 4]", context())
    assert [track.tid for track in parsed.value] == [5]
    assert len(parsed.unread) == 1
    assert parsed.unread[0] in line


def test_step_1_without_frames_or_entities_says_none_and_is_read_back() -> None:
    text = frame_localization.render(a1((), ()), context())
    assert text == "Frames: none\nEntities: none"
    read = frame_localization.parse(text, context())
    assert (read.value.frames, read.value.entities, read.unread) == ((), (), ())


# The table of steps ---------------------------------------------------------------------------------------------------


def test_each_row_is_of_the_field_that_it_names() -> None:
    assert list(STEPS) == list(STEP_NUMBERS.values()) == [1, 2, 3, 4]
    fields = [field.name for field in dataclasses.fields(Record)]
    for number, step in STEPS.items():
        assert (step.number, STEP_NUMBERS[step.field]) == (number, number)
        assert step.field in fields
        for words in (step.title, step.request):
            assert words.startswith(f"Step {number}, {step.name}")


@given(records(), st.data())
@examples(50)
def test_a_row_rebuilds_renders_reads_relabels_and_scores_what_its_module_does(
    record: Record, data: st.DataObject
) -> None:
    context = data.draw(contexts(record))
    for number, step in STEPS.items():
        value = getattr(record, step.field)
        assert step.construct(record, record.frame_localization) == value
        assert step.relabel(value, {entity.tid: entity.tid for entity in record.scene.entities}) == value
        # a small box may be nothing in the pixels of a small frame; all else is read as it is written
        if step.field != "entity_tracking":
            read = read_step(number, step_text(record, number, context), context)
            assert step.render(read.value, context, 1) == step.render(value, context, 1)
            assert (read.unread, read.repaired) == ((), 0)
        scores = dataclasses.asdict(step.score(value, value, context, None))
        assert [one for one in scores.values() if one is not None and one != pytest.approx(1)] == []
