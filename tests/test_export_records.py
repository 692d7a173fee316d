"""Records in the forms of annotation tools: read back by our converters, and by the tools where they are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main
from cotasks.convert import Told, convert
from cotasks.errors import InputError
from cotasks.export import FORMATS, Subject, detections
from cotasks.export.cvat import text_of
from cotasks.export.fiftyone_labels import labels_of
from cotasks.export.scenes import VideoScene
from cotasks.records.own import OwnAnnotation
from cotasks.records.own_files import read_annotation
from cotasks.records.schema import Box, Record, Span
from cotasks.records.videos import Videos
from tests.report_runs import make_world
from tests.synthetic import FPS, HEIGHT, WIDTH, make_record


def converted(form: str, path: Path, out: Path) -> list[OwnAnnotation]:
    convert(form, path, out, Told())
    return list(read_annotation([out]))


def boxes_of(annotation: OwnAnnotation) -> set[tuple[Any, ...]]:
    names = {entity.id: entity.category for entity in annotation.entities}
    return {(names[box.entity], box.frame, tuple(round(x, 6) for x in box.xyxy)) for box in annotation.boxes}


def scene_boxes(record: Record) -> set[tuple[Any, ...]]:
    tracks = record.scene.entity_tracking
    return {(t.category, b.frame, tuple(round(x, 6) for x in b.xyxy)) for t in tracks for b in t.boxes}


@pytest.mark.parametrize("form", ["cvat", "coco-video"])
def test_boxes_come_back_as_they_were_from_each_tool(form: str, tmp_path: Path) -> None:
    records = [make_record("v0", 0), make_record("v0", 1, num_frames=4), make_record("sub/v1", 0)]
    written = FORMATS[form].write(Subject(records), tmp_path / "out")
    first, second = ({(name, frame): xyxy for name, frame, xyxy in scene_boxes(record)} for record in records[:2])
    both = {(*at, xyxy) for at, xyxy in {**second, **first}.items()}  # they share frames, on which one box counts
    assert written.notes == ("Left out 2 boxes that an earlier record of the video has elsewhere on their frame.",)
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    found = {a.video: a for path in files for a in converted(form, path, tmp_path / "back.jsonl")}
    expected = {"v0.mp4": both, "v1.mp4": scene_boxes(records[2])}
    assert {Path(video).name: boxes_of(annotation) for video, annotation in found.items()} == expected
    assert {(a.width, a.height) for a in found.values()} == {(WIDTH, HEIGHT)}
    if form == "cvat":
        assert {a.frame_count for a in found.values()} == {60}


Corner = st.floats(0, 60, allow_nan=False).map(lambda x: round(x, 3))
Boxes = st.dictionaries(
    st.integers(0, 29),
    st.builds(
        lambda x, y, w, h, made: Box(0, (x, y, x + w, y + h), made),
        *(Corner, Corner, st.floats(0.5, 30), st.floats(0.5, 30), st.booleans()),
    ),
    max_size=8,
)


@given(boxes=Boxes, category=st.text(min_size=1, max_size=12).filter(lambda text: text.strip() and text.isprintable()))
def test_cvat_shows_a_box_at_its_frame_and_at_no_other(boxes: dict[int, Box], category: str) -> None:
    scene = VideoScene("a.mp4", (128, 128), 25.0, 30, set(boxes), {7: category}, {7: boxes} if boxes else {})
    root = xml.fromstring(text_of(scene))
    (track,) = root.findall("track") or [xml.Element("track")]
    keys = sorted((int(b.get("frame", "")), b.get("outside") == "1", b) for b in track.findall("box"))
    assert len({frame for frame, _, _ in keys}) == len(keys)
    shown, state = {}, None
    for frame in range(30):  # as CVAT shows it: the last key frame holds, or what lies between two that are inside
        state = next(((out, b) for at, out, b in keys if at == frame), state)
        if state is not None and not state[0]:
            shown[frame] = tuple(float(state[1].get(name, "")) for name in ("xtl", "ytl", "xbr", "ybr"))
    assert shown == {frame: box.xyxy for frame, box in boxes.items()}
    if boxes:
        assert track.get("label") == category


def test_relative_boxes_and_frames_of_fiftyone_are_those_of_the_record() -> None:
    record = make_record("v0", 0, clip=Span(0.0, 2.4))
    labels = labels_of(record, (WIDTH, HEIGHT))
    found = set()
    for number, frame in labels["frames"].items():
        for thing in frame["objects"]["objects"]:
            a, b = thing["bounding_box"]["top_left"], thing["bounding_box"]["bottom_right"]
            corners = (a["x"] * WIDTH, a["y"] * HEIGHT, b["x"] * WIDTH, b["y"] * HEIGHT)
            if thing["name"] == "scene":
                found.add((thing["label"], int(number) - 1, tuple(round(x, 6) for x in corners)))
    assert found == scene_boxes(record)
    events = {(e["name"], e["label"]): e["support"]["ranges"] for e in labels["events"]["events"]}
    assert events["temporal_relations", "dog chase ball/sports ball"] == "1-60"
    assert events["frame_localization", "whole"] == "1-60"
    assert events["spatial_relations", "dog next_to ball/sports ball"] == str(record.frames[-1].index + 1)


def test_spans_cover_the_frames_whose_time_they_hold() -> None:
    record = make_record("v0", 0)
    a1 = record.frame_localization
    spans = (Span(1.0, 1.5), Span(2.0, 2.0))
    moved = make_record("v0", 0, frame_localization=type(a1)(**{**a1.__dict__, "spans": spans}))
    ranges = [
        event["support"]["ranges"]
        for event in labels_of(moved, (WIDTH, HEIGHT))["events"]["events"]
        if event["name"] == "frame_localization"
    ]
    inside = [[n for n in range(60) if span.start_seconds <= n / FPS <= span.end_seconds] for span in spans]
    assert ranges == [f"{inside[0][0] + 1}-{inside[0][-1] + 1}", str(inside[1][0] + 1)]


def test_the_command_writes_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_world(tmp_path)
    data = [str(tmp_path / "data"), "--videos", str(tmp_path / "videos")]
    assert main(["export", *data, "--to", "fiftyone", "--out", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert len(manifest["index"]) == 6
    assert all(Path(row["data"]).is_file() for row in manifest["index"])
    assert all((tmp_path / "out" / row["labels"]).is_file() for row in manifest["index"])
    assert "6 samples" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "data"), "--to", "fiftyone", "--out", str(tmp_path / "other")]) == 2
    assert "--videos" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert main(["export", str(tmp_path / "data"), "--to", "hub"]) == 2
    assert "no run folder" in capsys.readouterr().err


def test_what_has_no_size_is_counted_and_a_video_gives_it(tmp_path: Path) -> None:
    make_world(tmp_path, 1, 1)
    record = make_record("v0", 0, width=None, height=None)
    written = FORMATS["coco-video"].write(Subject([record]), tmp_path / "none")
    assert written.what.startswith("0 videos")
    assert any("frame size" in note for note in written.notes)
    FORMATS["coco-video"].write(Subject([record], Videos(tmp_path / "videos")), tmp_path / "some")
    (video,) = json.loads((tmp_path / "some/annotations.json").read_text())["videos"]
    assert (video["width"], video["height"]) == (WIDTH, HEIGHT)


def test_records_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    records = [make_record("v0", 0), make_record("v0", 1, width=2 * WIDTH)]
    with pytest.raises(InputError, match="expected"):
        FORMATS["cvat"].write(Subject(records), tmp_path)


def test_supervision_draws_what_the_record_holds() -> None:
    sv = pytest.importorskip("supervision")
    import numpy as np

    record = make_record("v0", 0)
    frame = record.frames[2].index
    found = detections(record, frame)
    expected = [box.xyxy for track in record.entity_tracking for box in track.boxes if box.frame == frame]
    assert found.xyxy.tolist() == [list(xyxy) for xyxy in expected]
    assert found.tracker_id.tolist() == [0, 1]
    assert list(found.data["class_name"]) == ["dog", "ball/sports_ball"]
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert sv.BoxAnnotator(thickness=1).annotate(blank.copy(), found).any()
    empty = detections(make_record("v0", 0, entity_tracking=()), frame)
    assert len(empty) == 0
    assert len(detections(make_record("v0", 0, entity_tracking=()), frame, scene=True)) == 2
    with pytest.raises(InputError, match="grid"):
        detections(record, 1)


def test_fiftyone_loads_its_folder(tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone")
    records = make_world(tmp_path)
    FORMATS["fiftyone"].write(Subject(records, Videos(tmp_path / "videos")), tmp_path / "out")
    kind = fiftyone.types.FiftyOneVideoLabelsDataset
    dataset = fiftyone.Dataset.from_dir(dataset_dir=str(tmp_path / "out"), dataset_type=kind)
    try:
        assert len(dataset) == len(records)
        found = {sample.record_id.label: sample for sample in dataset}
        for record in records:
            sample = found[record.id]
            boxes = {
                (box.label, number - 1, tuple(round(v, 4) for v in box.bounding_box))
                for number, frame in sample.frames.items()
                for box in frame.scene.detections
            }
            assert boxes == {
                (
                    name,
                    frame,
                    tuple(round(v, 4) for v in (x1 / WIDTH, y1 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)),
                )
                for name, frame, (x1, y1, x2, y2) in scene_boxes(record)
            }
            assert [event.support for event in sample.temporal_relations.detections] == [[1, 60]]
    finally:
        dataset.delete()


def test_datumaro_reads_the_file_of_cvat(tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    record = make_record("v0", 0)
    FORMATS["cvat"].write(Subject([record]), tmp_path / "out")
    dataset = datumaro.Dataset.import_from(str(tmp_path / "out/v0.mp4.xml"), "cvat")
    labels = dataset.categories()[datumaro.AnnotationType.label]
    found = {
        (labels[box.label].name, item.attributes["frame"], tuple(round(v, 2) for v in box.points))
        for item in dataset
        for box in item.annotations
        if not box.attributes["outside"]
    }
    assert found == scene_boxes(record)
