"""Contact sheets and readable records: what is drawn where, and what is said."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cotasks.errors import InputError, MissingExtra
from cotasks.look.drawing import (
    PALETTE,
    LabelledBox,
    _choose,
    _label_place,
    contact_sheet,
    describe,
    draw_boxes,
    track_styles,
)
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
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations
from tests.examples import examples
from tests.strategies import records

Pixels = NDArray[np.uint8]
GRID = grid_frames([10, 20, 30, 40], 10.0)
MARK = (0, 77, 64)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def record(**changes: object) -> Record:
    """Four frames of 200x100; an adult at all of them, two dogs at some; A1 is the middle two."""
    scene = Scene(
        entities=(Entity(3, "dog"), Entity(1, "adult"), Entity(7, "dog")),
        entity_tracking=(
            Track(1, "adult", tuple(Box(f, (20.0, 40.0, 60.0, 90.0), f > 20) for f in (10, 20, 30, 40))),
            Track(3, "dog", (Box(20, (100.0, 50.0, 150.0, 80.0), False),)),
            Track(7, "dog", (Box(40, (100.0, 50.0, 150.0, 80.0), False),)),
        ),
        spatial_relations=(SpatialRelation(1, "in_front_of", 3, (20, 40)),),
        temporal_relations=(TemporalRelation(7, "chase", 1, 15, 28),),
    )
    a1 = FrameLocalization(
        frames=(20, 30),
        spans=(Span(2.0, 3.0),),
        entities=(Entity(1, "adult"), Entity(3, "dog")),
        span_origin="human",
        entity_origin="lexical",
        used_answer=True,
    )
    base = Record(
        id="nextqa/val/9/4",
        source="nextqa",
        question_type="TN",
        category="temporal",
        video_id="9",
        video_path="1000/9.mp4",
        fps=10.0,
        frame_count=50,
        width=200,
        height=100,
        clip=Span(0.0, 5.0),
        question="what did the man do",
        answer="sit",
        additional_answers=(),
        choices=("run", "sit", "none"),
        answer_index=1,
        frames=GRID,
        frame_localization=a1,
        entity_tracking=entity_tracking.construct(scene, a1),
        spatial_relations=spatial_relations.construct(scene, a1),
        temporal_relations=temporal_relations.construct(scene, a1, 10.0),
        scene=scene,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_a_box_is_drawn_on_its_edges() -> None:
    image = draw_boxes(np.zeros((100, 200, 3), np.uint8), [LabelledBox((40.0, 50.0, 80.0, 90.0), "dog", "#E69F00")])
    pixels = np.asarray(image)
    assert pixels.shape == (100, 200, 3)
    inside = np.zeros((100, 200), bool)
    inside[50:90, 40:80] = True
    inside[52:88, 42:78] = False  # two pixels wide, within the continuous edges
    coloured = (pixels == rgb("#E69F00")).all(axis=2)
    assert coloured[inside].all()
    assert not coloured[54:86, 44:76].any()
    assert not coloured[91:].any()
    assert not coloured[:, 81:].any()
    assert coloured[33:48, 41].any()  # the label, above


def test_a_dashed_outline_has_gaps() -> None:
    image = draw_boxes(np.zeros((99, 99, 3), np.uint8), [LabelledBox((20.0, 40.0, 80.0, 90.0), "", "#56B4E9", True)])
    left = (np.asarray(image)[42:88, 20] == rgb("#56B4E9")).all(axis=1)
    assert left.any()
    assert not left.all()


@pytest.mark.parametrize(
    "xyxy",
    [(0.0, 0.0, 200.0, 100.0), (-50.0, -9.0, 300.0, 400.0), (10.0, 10.0, 10.2, 10.1), (199.5, 99.5, 200.0, 100.0)],
)
def test_boxes_of_any_size_are_drawn(xyxy: tuple[float, float, float, float]) -> None:
    image = draw_boxes(np.zeros((100, 200, 3), np.uint8), [LabelledBox(xyxy, "a label too long " * 9, "#CC79A7")])
    assert (np.asarray(image) == rgb("#CC79A7")).all(axis=2).any()


COORDINATE = st.floats(-50, 400)


@given(st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE), max_size=6), st.floats(1, 90))
def test_labels_stay_inside_and_apart(boxes: list[tuple[float, float, float, float]], width: float) -> None:
    """On a canvas with room for all, no label covers another."""
    placed: list[tuple[float, float, float, float]] = []
    for x1, y1, x2, y2 in boxes:
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        place = _label_place(box, (width, 18.0), (320, 240), placed)
        assert 0 <= place[0] < place[2] <= 320
        assert 0 <= place[1] < place[3] <= 240
        for other in placed:
            apart = place[2] <= other[0] or other[2] <= place[0] or place[3] <= other[1] or other[3] <= place[1]
            assert apart
        placed.append(place)


def test_colours_are_stable_and_distinct() -> None:
    styles = track_styles([30, 4, 17, 4])
    assert styles == {4: (PALETTE[0], False), 17: (PALETTE[1], False), 30: (PALETTE[2], False)}
    assert len(set(track_styles(range(16)).values())) == 16


@pytest.mark.parametrize(
    ("preferred", "number", "places"),
    [
        ({20, 30}, 4, [0, 1, 2, 3]),
        ({20, 30}, 3, [0, 1, 2]),
        ({20, 30}, 2, [1, 2]),
        ({10, 20, 40}, 2, [0, 3]),
        ({10, 20, 30, 40}, 1, [1]),
        ({99}, 2, [0, 3]),
        (set(), 16, [0, 1, 2, 3]),
    ],
)
def test_frames_of_a1_come_first(preferred: set[int], number: int, places: list[int]) -> None:
    assert _choose(GRID, preferred, number) == places


def panels(sheet: Pixels, columns: int, width: int, height: int, count: int) -> list[Pixels]:
    """Cut the panels out of a sheet: they are the last rows, 8 pixels apart, with a caption of 20."""
    step_x, step_y = width + 8, height + 28
    top = sheet.shape[0] - -(-count // columns) * step_y
    return [
        sheet[top + n // columns * step_y :, 8 + n % columns * step_x :][: height + 20, :width] for n in range(count)
    ]


def test_each_box_lies_on_its_frame() -> None:
    frames = np.stack([np.full((50, 100, 3), 10 * n, np.uint8) for n in range(1, 5)])  # half the size of the video
    adult, dog, dog_2 = (rgb(PALETTE[n]) for n in (0, 1, 2))
    expected = {"a2": [(), (adult, dog), (adult,), ()], "scene": [(adult,), (adult, dog), (adult,), (adult, dog_2)]}
    for steps, seen in expected.items():
        sheet = np.asarray(contact_sheet(record(), frames, columns=2, panel_width=400, steps=steps))  # type: ignore[arg-type]
        for number, panel in enumerate(panels(sheet, 2, 400, 200, 4)):
            assert tuple(panel[195, 395]) == (10 * (number + 1),) * 3  # the right frame
            assert (tuple(panel[210, 395]) == MARK) == (number in (1, 2))  # A1's captions
            # the lower left corners of the boxes, twice the size: (20, 90) and (100, 80) of the video
            corners = {tuple(panel[179, 41]), tuple(panel[159, 201])}
            for colour in (adult, dog, dog_2):
                assert (colour in corners) == (colour in seen[number]), (steps, number)


def test_blank_panels_and_fewer_panels() -> None:
    sheet = np.asarray(contact_sheet(record(), None, columns=8, max_panels=2, panel_width=400, steps="scene"))
    assert sheet.shape[1] == 2 * 408 + 8
    first, second = panels(sheet, 2, 400, 200, 2)
    assert tuple(first[5, 395]) == (221, 221, 221)
    assert tuple(first[179, 41]) == tuple(second[179, 41]) == rgb(PALETTE[0])
    assert tuple(first[159, 201]) == rgb(PALETTE[1])  # the dog is at frame 20, not at 30
    assert tuple(second[159, 201]) == (221, 221, 221)


def test_other_frames_may_be_shown() -> None:
    frames = np.zeros((1, 100, 200, 3), np.uint8)
    sheet = np.asarray(contact_sheet(record(), frames, shown=GRID[3:], panel_width=400, steps="scene"))
    assert tuple(panels(sheet, 1, 400, 200, 1)[0][159, 201]) == rgb(PALETTE[2])


@pytest.mark.parametrize("shape", [(3, 10, 20, 3), (4, 10, 20), (4, 10, 20, 4)])
def test_frames_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected \(4, height, width, 3\)"):
        contact_sheet(record(), np.zeros(shape, np.uint8))


def test_pillow_is_asked_for_only_where_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert describe(record()).startswith("nextqa/val/9/4\n")
    with pytest.raises(MissingExtra, match=r"pip install 'cotasks\[video\]'"):
        contact_sheet(record(), None)


def test_describe() -> None:
    assert (
        describe(record())
        == """\
nextqa/val/9/4
nextqa, TN (temporal), video 1000/9.mp4
50 frames, 10 frames a second, 200x100, clip 0.00s to 5.00s

Question: what did the man do
  [ ] A. run
  [x] B. sit
  [ ] C. none
Answer: sit

Grid: 4 frames, 10 (1.00s) to 40 (4.00s)
Scene: 3 entities, 6 boxes, 1 spatial and 1 temporal relations

Step 1, frame localization: spans human, entities lexical, the answer was used
  spans: 2.00s to 3.00s
  frames: 2.00s to 3.00s (2 of 4)
  entities: adult (tid 1), dog 1 (tid 3)
Step 2, entity tracking
  adult: 2.00s [20, 40, 60, 90]; 3.00s [20, 40, 60, 90] (2 boxes, 1 by a tracker)
  dog 1: 2.00s [100, 50, 150, 80] (1 box)
Step 3, spatial relations
  (adult, in front of, dog 1): 2.00s
Step 4, temporal relations
  none"""
    )


def test_describe_what_is_not_known() -> None:
    text = describe(
        record(
            clip=Span(1.0, 4.1),
            width=None,
            height=None,
            frame_count=None,
            choices=(),
            answer_index=-1,
            additional_answers=("rest",),
            entity_tracking=(),
            spatial_relations=(),
        )
    )
    assert "number of frames unknown, 10 frames a second, size unknown, clip 1.00s to 4.10s\n" in text
    assert "Question: what did the man do\nAnswer: sit / rest\n" in text
    assert "  frames: 2.00s to 3.00s (2 of 4)" in text  # times of the file, not of the clip
    assert text.count("\n  none") == 3


@examples(15)
@given(records(), st.booleans(), st.sampled_from(("a2", "scene")))
def test_any_record_can_be_shown(shown: Record, sized: bool, steps: str) -> None:
    shown = shown if sized else dataclasses.replace(shown, width=None, height=None)
    assert shown.id in describe(shown)
    sheet = contact_sheet(shown, None, panel_width=80, max_panels=3, steps=steps)  # type: ignore[arg-type]
    assert sheet.width >= 640
