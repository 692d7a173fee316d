"""Box conventions found by what fits the frames: never another one than the true one, and none where two fit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.records.boxes import Xyxy
from cotasks.steps.conventions import (
    CONVENTIONS,
    EDGE,
    Convention,
    WrittenBox,
    find_convention,
    fits,
    mean_overlaps,
    parse_convention,
    the_convention,
    to_pixels,
)
from tests.examples import examples

XYXY_PIXELS, YXYX_PIXELS, XYXY_RESIZED = CONVENTIONS[0], CONVENTIONS[1], CONVENTIONS[2]
XYXY_THOUSANDTHS, YXYX_THOUSANDTHS, XYXY_FRACTIONS = CONVENTIONS[4], CONVENTIONS[5], CONVENTIONS[6]
X_FIRST = [one for one in CONVENTIONS if one.order == "xyxy"]


def written(xyxy: Xyxy, frame: tuple[int, int], resized: tuple[int, int] | None, convention: Convention) -> WrittenBox:
    """A box in pixels as a model of that convention writes it, rounded as usual."""
    scale = {
        "pixels": frame,
        "resized": resized or frame,
        "thousandths": (1000, 1000),
        "fractions": (1, 1),
    }[convention.unit]
    digits = 3 if convention.unit == "fractions" else 0
    x1, y1, x2, y2 = (
        round(value / side * full, digits) for value, side, full in zip(xyxy, frame * 2, (*scale, *scale), strict=True)
    )
    return WrittenBox((x1, y1, x2, y2) if convention.order == "xyxy" else (y1, x1, y2, x2), frame, resized)


@st.composite
def lists_of_boxes(draw: st.DrawFn) -> tuple[Convention, list[tuple[Xyxy, WrittenBox]]]:
    """A convention, and boxes on frames of up to three sizes with how it writes them."""
    convention = draw(st.sampled_from(CONVENTIONS))
    side = st.integers(64, 2160)
    sizes = draw(st.lists(st.tuples(st.tuples(side, side), st.tuples(side, side)), min_size=1, max_size=3))
    pairs = []
    for _ in range(draw(st.integers(1, 40))):
        frame, resized = draw(st.sampled_from(sizes))
        # no smaller than a few thousandths, so that rounding leaves a box
        x1, y1 = (draw(st.floats(0, 0.95)) for _ in "xy")
        x2, y2 = (draw(st.floats(min(one + 0.04, 1), 1)) for one in (x1, y1))
        xyxy = (x1 * frame[0], y1 * frame[1], x2 * frame[0], y2 * frame[1])
        pairs.append((xyxy, written(xyxy, frame, resized, convention)))
    return convention, pairs


@examples(300)
@given(drawn=lists_of_boxes(), seed=st.integers(0, 99))
def test_only_the_true_convention_is_ever_found(
    drawn: tuple[Convention, list[tuple[Xyxy, WrittenBox]]], seed: int
) -> None:
    true, pairs = drawn
    boxes = [box for _, box in pairs]
    found = find_convention(boxes)
    assert dict(found.misfits)[true] == 0
    if found.convention is not None:
        # the same places to what rounding leaves: half a unit of what was written
        for xyxy, box in pairs:
            unit = max(box.frame) * 0.0006 if true.unit in ("thousandths", "fractions") else 0.6 * _pixel(box, true)
            assert all(abs(a - b) <= unit for a, b in zip(to_pixels(box, found.convention), xyxy, strict=True))
    else:
        assert len(found.candidates) > 1
        with pytest.raises(InputError, match="say which one it is"):
            the_convention(boxes)
    # the order of the boxes says nothing
    random.Random(seed).shuffle(boxes)
    assert find_convention(boxes) == found


def _pixel(box: WrittenBox, convention: Convention) -> float:
    """A pixel of what was written, in pixels of the frame."""
    if convention.unit == "pixels" or box.resized is None:
        return 1.0
    return max(box.frame[0] / box.resized[0], box.frame[1] / box.resized[1], 1.0)


@examples(200)
@given(drawn=lists_of_boxes())
def test_a_single_convention_leaves_no_other_that_fits(
    drawn: tuple[Convention, list[tuple[Xyxy, WrittenBox]]],
) -> None:
    """Checked without the module's own `fits`: each other one that puts a box elsewhere, puts one out of its frame."""
    _, pairs = drawn
    boxes = [box for _, box in pairs]
    found = find_convention(boxes)
    for other in CONVENTIONS:
        if found.convention is None or other == found.convention:
            continue
        elsewhere = [box for box in boxes if to_pixels(box, other) != to_pixels(box, found.convention)]
        if elsewhere and max(_distance(box, other, found.convention) for box in elsewhere) > 1e-6:
            assert any(_leaves(box, other) for box in boxes), other


def _distance(box: WrittenBox, one: Convention, other: Convention) -> float:
    return max(abs(a - b) for a, b in zip(to_pixels(box, one), to_pixels(box, other), strict=True))


def _leaves(box: WrittenBox, convention: Convention) -> bool:
    x1, y1, x2, y2 = to_pixels(box, convention)
    width, height = box.frame
    a, b, c, d = box.numbers
    is_tiny = convention.unit != "fractions" and (c - a < 1 or d - b < 1)
    is_out = (
        x1 < -EDGE * width or y1 < -EDGE * height or x2 > (1 + EDGE) * width or y2 > (1 + EDGE) * height
    )  # fmt: skip
    return is_out or is_tiny


def test_what_the_frames_tell_apart() -> None:
    # a tall box on a portrait frame: x first only
    tall = [WrittenBox((100, 200, 300, 1200), (720, 1280), (360, 640))]
    assert the_convention(tall) == XYXY_PIXELS
    assert the_convention([WrittenBox((200, 100, 1200, 300), (720, 1280))]) == YXYX_PIXELS
    # beyond a small frame, and within a thousand
    wide = [WrittenBox((500, 500, 980, 990), (480, 320), (480, 320))]
    assert the_convention(wide, X_FIRST) == XYXY_THOUSANDTHS
    assert find_convention(wide).candidates == (XYXY_THOUSANDTHS, YXYX_THOUSANDTHS)
    # fractions are no pixels
    assert the_convention([WrittenBox((0.1, 0.2, 0.5, 0.9), (640, 480))], X_FIRST) == XYXY_FRACTIONS
    # on a small frame, pixels may as well be thousandths
    both = [WrittenBox((10, 20, 300, 200), (320, 240), (320, 240))]
    assert find_convention(both, X_FIRST).candidates == (XYXY_PIXELS, XYXY_THOUSANDTHS)
    # beyond the frame, within what the model was shown
    assert the_convention([WrittenBox((100, 50, 1300, 700), (320, 180), (1344, 756))], X_FIRST) == XYXY_RESIZED


def test_conventions_that_agree_are_one() -> None:
    box = WrittenBox((100, 200, 700, 900), (1000, 1000), (1000, 1000))
    found = find_convention([box], X_FIRST)
    assert found.convention == XYXY_PIXELS
    assert found.candidates == (XYXY_PIXELS,)


def test_a_wild_box_now_and_then_changes_nothing() -> None:
    noise = random.Random(1)
    boxes = [
        WrittenBox((x, 2 * x, x + 60, 2 * x + 70), (640, 1400)) for x in (noise.randint(0, 570) for _ in range(98))
    ]
    assert the_convention(boxes) == XYXY_PIXELS
    wild = WrittenBox((10, 10, 5000, 5000), (640, 1400))
    assert the_convention([*boxes, wild, wild]) == XYXY_PIXELS
    # more of them, and none fits well; still more, and it is contradicted
    many = find_convention([*boxes, *[wild] * 8])
    assert (many.convention, many.candidates) == (None, (XYXY_PIXELS,))
    assert many.words.startswith("xyxy pixels fits too few of 106 boxes")
    assert find_convention([*boxes, *[wild] * 40]).candidates == ()


def test_inverted_and_flat_boxes_say_nothing() -> None:
    box, odd = WrittenBox((100, 200, 300, 1200), (720, 1280)), WrittenBox((900, 1, 2, 3), (720, 1280))
    found = find_convention([*[box] * 20, odd])
    assert (found.convention, found.boxes, found.odd) == (XYXY_PIXELS, 20, 1)
    # where many are, these may be x, y, width and height
    assert find_convention([*[box] * 8, odd, odd]).candidates == ()
    with pytest.raises(InputError, match="no box convention fits 8 boxes"):
        the_convention([*[box] * 8, odd, odd])
    assert find_convention([]).candidates == ()


def test_a_near_miss_stays_a_candidate() -> None:
    """One in fourteen outside the frame: too many to fit, too few to contradict; so nothing is said."""
    inside = [WrittenBox((100, 100, 400, 400), (480, 480))] * 26
    outside = [WrittenBox((100, 100, 600, 400), (480, 480))] * 2
    found = find_convention([*inside, *outside], [XYXY_PIXELS, XYXY_THOUSANDTHS])
    assert found.convention is None
    assert found.candidates == (XYXY_PIXELS, XYXY_THOUSANDTHS)
    assert "xyxy pixels 2, xyxy thousandths 0" in found.words


def test_resized_is_asked_for_only_where_its_size_is_known() -> None:
    box = WrittenBox((1, 2, 30, 40), (320, 240))
    assert all(one.unit != "resized" for one, _ in find_convention([box]).misfits)
    with pytest.raises(InputError, match="resized frame is not known"):
        to_pixels(box, XYXY_RESIZED)
    assert fits(WrittenBox((1, 2, 640, 480), (320, 240), (640, 480)), XYXY_RESIZED)


def test_overlaps_show_what_a_reference_says() -> None:
    true = (100.0, 50.0, 300.0, 200.0)
    pairs = [(written(true, (640, 480), None, YXYX_THOUSANDTHS), true)]
    means = mean_overlaps(pairs)
    assert means[0][0] == YXYX_THOUSANDTHS
    assert means[0][1] > 0.98 > means[1][1]
    assert mean_overlaps([]) == []


def test_conventions_have_names() -> None:
    assert [parse_convention(one.name) for one in CONVENTIONS] == list(CONVENTIONS)
    assert parse_convention("thousandths-yxyx") == YXYX_THOUSANDTHS
    with pytest.raises(InputError, match=r"box convention 'xywh'; expected one of xyxy pixels, yxyx pixels"):
        parse_convention("xywh")
