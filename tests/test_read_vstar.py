"""V-STaR, from a file with every field of its README, and every trap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.assemble import Built as BuiltRecord
from cotasks.builders.assemble import build_video, plan_split
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records.check import faults
from cotasks.records.schema import records_to_table
from tests.examples import examples
from tests.source_files import Built, write_json

FPS, FRAMES, WIDTH, HEIGHT = 30.0, 600, 640, 360


def box(second: float, x: float = 10, **change: Any) -> dict[str, Any]:
    corners = {"xmin": x, "ymin": 20, "xmax": x + 100, "ymax": 200}
    return {"timestamp": second, "frame_index": round(second * FPS), **corners, **change}


def row(vid: str = "abc123", **change: Any) -> dict[str, Any]:
    return {
        **{"vid": vid, "domain": "Daily Life", "fps": FPS, "width": WIDTH, "height": HEIGHT, "frame_count": FRAMES},
        "question": "What does the man pick up?",
        "chain": "<think>The man bends at 5 s and takes the cup.<think>",
        "object": "man in black",
        "answer": "a cup",
        "temporal_question": "When does the man pick up the cup?",
        "timestamps": [4.5, 8.0],
        "spatial_question": "Where is the man between 4.5 and 8 seconds?",
        "spatial_question_2": "Where is the man who picks up the cup?",
        "bboxes": [box(5, 10), box(6, 20), box(7, 30), box(8, 40)],
        **change,
    }


def write(folder: Path, rows: Any) -> Path:
    write_json(folder / "vstar/V_STaR_test.json", rows)
    return folder


def results(tmp_path: Path, rows: Any, **options: Any) -> list[Any]:
    """What the build makes of the rows, without writing it."""
    plan = plan_split(BuildOptions("vstar", data_dir=str(write(tmp_path, rows)), **options), "test")
    return [*plan.skipped, *(item for task in plan.tasks for item in build_video(task, plan.lookups))]


def one(tmp_path: Path, change: dict[str, Any], **options: Any) -> Any:
    (found,) = results(tmp_path, [row(**change)], **options)
    return found


def test_every_field(tmp_path: Path) -> None:
    built = Built("vstar", write(tmp_path / "source", [row(), row("other", question="And who?")]), tmp_path / "out")
    records = built.records("test")
    assert set(records) == {"vstar/test/abc123", "vstar/test/other"}
    assert not list(faults(records_to_table(list(records.values()))))
    record = records["vstar/test/abc123"]
    assert (record.source, record.question_type, record.category) == ("vstar", "Daily Life", "Daily Life")
    assert (record.question, record.answer, record.choices) == ("What does the man pick up?", "a cup", ())
    assert (record.video_path, record.fps, record.frame_count) == ("abc123.mp4", FPS, FRAMES)
    assert (record.width, record.height) == (WIDTH, HEIGHT)
    a1 = record.frame_localization
    assert [(s.start_seconds, s.end_seconds) for s in a1.spans] == [(4.5, 8.0)]
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("annotation", "annotation", True)
    assert [(e.tid, e.category) for e in a1.entities] == [(0, "man in black")]
    (track,) = record.entity_tracking
    assert [(b.frame, b.xyxy[0], b.generated) for b in track.boxes] == [
        (150, 10.0, False),
        (180, 20.0, False),
        (210, 30.0, False),
        (240, 40.0, False),
    ]
    assert track.boxes[0].xyxy == (10.0, 20.0, 110.0, 200.0)
    assert record.spatial_relations == record.temporal_relations == ()
    assert len(record.frames) == 64
    text = repr(record)
    assert "think" not in text
    assert "between 4.5" not in text
    assert built.summary is not None
    assert built.summary.left_out == {"train": "no question", "validation": "no question"}


def test_questions_about_one_video(tmp_path: Path) -> None:
    other = row(question="Who?", bboxes=[box(9, 50)], timestamps=[9, 10], object="woman")
    found = results(tmp_path, [row(), other])
    records = [item.record for item in found]
    assert [len(r.scene.entity_tracking[0].boxes) for r in records] == [4, 1]
    assert [r.scene.entities[0].category for r in records] == ["man in black", "woman"]
    assert len({r.id for r in records}) == 2
    assert all(r.id.startswith("vstar/test/abc123-") for r in records)


def test_without_object_and_domain(tmp_path: Path) -> None:
    bare = {name: value for name, value in row().items() if name not in ("object", "domain")}
    (found,) = results(tmp_path, [bare])
    assert found.record.scene.entities[0].category == "object"
    assert (found.record.question_type, found.record.category) == ("question", "question")


def test_a_uniform_grid(tmp_path: Path) -> None:
    found = one(tmp_path, {}, grid="uniform", num_frames=8)
    assert [frame.index for frame in found.record.frames] == [0, 86, 171, 257, 342, 428, 513, 599]
    assert found.record.scene.entity_tracking == ()


QUESTIONS = [
    ({"vid": None}, "malformed question", "vid is None"),
    ({"vid": "../x"}, "malformed question", "a path below the video folder"),
    ({"question": ""}, "malformed question", "question is ''"),
    ({"answer": None}, "malformed question", "answer is None"),
    ({"domain": 3}, "malformed question", "domain is 3"),
    ({"fps": 0}, "malformed annotation", "fps is 0"),
    ({"width": "640"}, "malformed annotation", "width is '640'"),
    ({"frame_count": None}, "malformed annotation", "frame_count is None"),
    ({"object": ["man"]}, "malformed annotation", "object is ['man']"),
    ({"bboxes": None}, "malformed annotation", "bboxes: None; expected a list"),
    ({"timestamps": None}, "malformed timestamps", "timestamps is None; expected [start, end] in seconds"),
    ({"timestamps": [8, 4]}, "malformed timestamps", "expected [start, end] with start <= end"),
    ({"timestamps": [4, 30]}, "timestamps outside the video", "expected it within 0 to 20 s"),
]


@pytest.mark.parametrize(("change", "reason", "words"), QUESTIONS)
def test_faults_of_questions(change: dict[str, Any], reason: str, words: str, tmp_path: Path) -> None:
    found = one(tmp_path, change)
    assert (found.reason, words in found.detail) == (reason, True), found
    assert "V_STaR_test.json: entry 0" in found.detail
    assert "\n" not in found.detail


BOXES = [
    ({"frame_index": 600}, "box after the video", "expected 0 to frame_count - 1 = 599"),
    ({"frame_index": 30.5}, "malformed box", "a whole frame_index"),
    ({"timestamp": 9.0}, "frame and second of a box disagree", "expected that of frame_index 180, 6.00 s"),
    ({"timestamp": "6"}, "malformed box", "a timestamp in seconds"),
    ({"xmin": None}, "malformed box", "expected xmin, ymin, xmax, ymax in pixels"),
    ({"xmin": 120}, "inverted box", "expected xmin < xmax"),
    ({"xmax": 700}, "box outside the frame", "640x360"),
    ({"frame_index": 150, "timestamp": 5, "xmin": 11}, "two boxes of one frame", "frame_index 150 again"),
]


@pytest.mark.parametrize(("change", "reason", "words"), BOXES)
def test_one_odd_box_costs_itself(change: dict[str, Any], reason: str, words: str, tmp_path: Path) -> None:
    boxes = [box(5, 10), box(6, 20, **change), box(7, 30)]
    found = one(tmp_path, {"bboxes": boxes})
    assert isinstance(found, BuiltRecord)
    (left_out,) = found.left_out
    assert (left_out.reason, words in left_out.detail) == (reason, True), left_out
    assert "entry 0: bboxes[1]" in left_out.detail
    kept = [b.frame for b in found.record.scene.entity_tracking[0].boxes]
    assert kept == ([210] if reason == "two boxes of one frame" else [150, 210])
    assert one(tmp_path, {"bboxes": boxes}, strict=True).reason == reason


def test_an_older_file_is_refused(tmp_path: Path) -> None:
    """Boxes were keyed by `timestamp_frame` once."""
    old = [{f"{s}_{s * 30}": {"xmin": 1, "ymin": 1, "xmax": 2, "ymax": 2}} for s in range(12)]
    found = one(tmp_path, {"bboxes": old})
    assert found.reason == "malformed box"
    assert "expected a whole frame_index, a timestamp in seconds, xmin, ymin, xmax, ymax" in found.detail


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"V_STaR_test\.json: \{\}; expected a list"):
        results(tmp_path, {})
    (found,) = results(tmp_path, [5])
    assert (found.id, found.reason) == ("vstar/test/?", "malformed question")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 700) | st.floats(-2, 50) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@examples(60)
@given(
    key=st.sampled_from(sorted(row())),
    of_box=st.sampled_from((None, *sorted(box(5)))),
    value=VALUES,
    strict=st.booleans(),
)
def test_any_damage_is_one_line_or_counted(
    key: str, of_box: str | None, value: Any, strict: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    change = {key: value} if of_box is None else {"bboxes": [box(5), box(6, 20, **{of_box: value})]}
    found = one(tmp_path_factory.mktemp("row"), change, strict=strict)
    if isinstance(found, BuiltRecord):
        assert not list(faults(records_to_table([found.record])))
        assert not (strict and found.left_out)
    else:
        assert "entry 0" in found.detail
        assert "\n" not in found.detail
