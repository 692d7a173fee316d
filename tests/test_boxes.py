"""Boxes: overlap against an independent count, and coordinates there and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cotasks.models.families import FAMILIES, frame_size
from cotasks.records.boxes import CoordinateFormat, Size, Xyxy, area, format_box, iou, parse_box
from cotasks.records.schema import Record
from cotasks.steps import entity_tracking
from cotasks.steps.context import StepContext
from tests.examples import examples
from tests.strategies import boxes, coordinate_formats, records


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


def units(family: str, source: Size, frame: Size) -> tuple[float, float]:
    """The least step of x and of y that a family's coordinates express, in pixels of the source; by hand."""
    steps = {"pixels": frame, "thousandths": (1000, 1000), "fractions": (1000, 1000)}[FAMILIES[family].coordinates]
    return source[0] / steps[0], source[1] / steps[1]


@given(st.sampled_from(sorted(FAMILIES)), records(), st.integers(1, 64))
@examples(50)
def test_boxes_of_a_record_come_back_from_the_prompt_of_each_family(family: str, record: Record, shown: int) -> None:
    """Written as step 2 of a prompt, and read back, at the odd sizes and aspect ratios of `records`."""
    source = (record.width or 0, record.height or 0)
    frame = frame_size(FAMILIES[family], *source, num_frames=shown)
    context = StepContext(
        entities=record.scene.entities,
        frames=record.frames,
        fps=record.fps,
        clip=record.clip,
        source_size=source,
        coordinates=CoordinateFormat(FAMILIES[family].coordinates, frame),
        frame_reference=FAMILIES[family].frame_reference,
    )
    tracks = record.scene.entity_tracking
    read = entity_tracking.parse(entity_tracking.render(tracks, context), context)
    ux, uy = units(family, source, frame)
    written = {(t.tid, b.frame): b.xyxy for t in tracks for b in t.boxes}
    came_back = {(t.tid, b.frame): b.xyxy for t in read.value for b in t.boxes}
    # nothing is lost but boxes so thin that their edges fall together
    assert came_back.keys() | {k for k, v in written.items() if thin(v, ux, uy)} == written.keys()
    for key, box in came_back.items():
        for value, expected, unit in zip(box, written[key], (ux, uy) * 2, strict=True):
            assert abs(value - expected) <= unit / 2 * (1 + 1e-6)


def thin(box: Xyxy, ux: float, uy: float) -> bool:
    return box[2] - box[0] < ux or box[3] - box[1] < uy


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.integers(8, 4096),
    st.integers(8, 4096),
    st.integers(1, 200),
    st.tuples(*[st.floats(0, 1)] * 4),
)
@example("internvl", 1920, 80, 64, (0.0, 0.49951, 0.33349, 1.0))
@example("qwen2_5_vl", 90, 3000, 2, (0.1, 0.2, 0.3, 0.4))
@settings(deadline=None)
def test_a_box_comes_back_at_any_aspect_ratio(
    family: str, width: int, height: int, shown: int, box: tuple[float, float, float, float]
) -> None:
    if max(width, height) > 100 * min(width, height):
        width = height
    frame = frame_size(FAMILIES[family], width, height, shown)
    form = CoordinateFormat(FAMILIES[family].coordinates, frame)
    x1, y1, x2, y2 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    a, b, c, d = (float(v) for v in format_box((x1, y1, x2, y2), (width, height), form).strip("[]").split(","))
    came_back = parse_box((a, b, c, d), (width, height), form)
    unit_of = units(family, (width, height), frame) * 2
    for value, expected, unit in zip(came_back, (x1, y1, x2, y2), unit_of, strict=True):
        assert abs(value - expected) <= unit / 2 * (1 + 1e-6)
