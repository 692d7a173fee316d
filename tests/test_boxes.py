"""Boxes: overlap against an independent count, and coordinates there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.boxes import CoordinateFormat, Xyxy, area, format_box, iou, parse_box
from tests.strategies import boxes, coordinate_formats


def test_pixels_need_a_size() -> None:
    with pytest.raises(ValueError, match="size"):
        CoordinateFormat("pixels")


def test_formats() -> None:
    box = (10.0, 20.0, 30.5, 40.0)
    assert format_box(box, (200, 100), CoordinateFormat("pixels", (400, 200))) == "[20, 40, 61, 80]"
    assert format_box(box, (200, 100), CoordinateFormat("thousandths")) == "[50, 200, 152, 400]"
    assert format_box(box, (200, 100), CoordinateFormat("fractions")) == "[0.050, 0.200, 0.152, 0.400]"


small = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda v: (min(v[0], v[1]), min(v[2], v[3]), max(v[0], v[1]), max(v[2], v[3]))
)


def cells(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@given(small, small)
def test_iou_counts_cells(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> None:
    union = cells(a) | cells(b)
    assert area(a) == len(cells(a))
    assert iou(a, b) == pytest.approx(len(cells(a) & cells(b)) / len(union) if union else 0.0)
    assert iou(a, b) == iou(b, a)


@given(box=boxes(640, 360), form=coordinate_formats(), source=st.just((640, 360)))
def test_a_box_comes_back_within_half_of_what_the_format_expresses(
    box: Xyxy, form: CoordinateFormat, source: tuple[int, int]
) -> None:
    text = format_box(box, source, form)
    x1, y1, x2, y2 = (float(v) for v in text.strip("[]").split(","))
    unit = 10.0**-form.decimals
    for value, expected, full, scale in zip(
        parse_box((x1, y1, x2, y2), source, form), box, source * 2, form.scale * 2, strict=True
    ):
        assert abs(value - expected) <= unit / 2 * full / scale * (1 + 1e-9)
