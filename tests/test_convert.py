"""Converters into own data: a small file of each format, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cotasks
from cotasks.cli import main
from cotasks.convert import FORMATS, Told, convert, from_detections
from cotasks.errors import InputError
from cotasks.records.own import OwnAnnotation
from cotasks.records.own_files import read_annotation
from tests.examples import examples

SEQINFO = "[Sequence]\nname=MOT-1\nframeRate=30\nseqLength=60\nimWidth=640\nimHeight=480\n"
MOT = "1,1,11,21,100,50,1,1,1\n2,1,12,21,100,50,1,1,0.5\n\n2,2,1,1,40,40,0,1,1\n3,3,600,400,100,100,1,3,1\n"
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><size>30</size><start_frame>0</start_frame><frame_filter></frame_filter>
    <original_size><width>640</width><height>480</height></original_size><source>yard &amp; gate.mp4</source>
  </task></meta>
  <track id="0" label="forklift">
    <box frame="0" keyframe="1" outside="0" xtl="1.5" ytl="2" xbr="30" ybr="40">
      <attribute name="c">red</attribute></box>
    <box frame="1" keyframe="0" outside="0" xtl="2.5" ytl="2" xbr="31" ybr="40"/>
    <box frame="2" keyframe="1" outside="1" xtl="2.5" ytl="2" xbr="31" ybr="40"/>
  </track>
  <track id="1" label="man"><polygon frame="0" outside="0" points="1,2;3,4;5,6"/></track>
</annotations>
"""
LABEL_STUDIO: list[dict[str, Any]] = [
    {
        "data": {"video": "/data/upload/1/yard.mp4?x=1"},
        "annotations": [
            {
                "result": [
                    {
                        "id": "r1",
                        "type": "videorectangle",
                        "value": {
                            "framesCount": 10,
                            "duration": 0.5,
                            "labels": ["forklift"],
                            "sequence": [
                                {"frame": 1, "x": 0, "y": 0, "width": 10, "height": 50, "enabled": True, "rotation": 0},
                                {"frame": 3, "x": 20, "y": 0, "width": 10, "height": 50, "enabled": False},
                                {"frame": 8, "x": 20, "y": 10, "width": 10, "height": 50, "enabled": True},
                            ],
                        },
                    },
                    {"type": "timelinelabels", "value": {}},
                ]
            }
        ],
    }
]
YOUTUBE_VIS: dict[str, Any] = {
    "videos": [{"id": 1, "width": 640, "height": 480, "file_names": ["yard/00000.jpg", "yard/00005.jpg"]}],
    "categories": [{"id": 7, "name": "forklift"}],
    "annotations": [{"id": 3, "video_id": 1, "category_id": 7, "bboxes": [None, [10, 20, 30, 40]]}],
}
TAO: dict[str, Any] = {
    "videos": [{"id": 1, "name": "train/yard", "width": 640, "height": 480}],
    "images": [{"id": 5, "video_id": 1, "frame_index": 30}],
    "categories": [{"id": 7, "name": "forklift"}],
    "annotations": [{"id": 3, "image_id": 5, "track_id": 9, "category_id": 7, "bbox": [10, 20, 30, 40], "score": 0.5}],
}
CSV = (
    "x_min,y_min,x_max,y_max,class_id,confidence,tracker_id,frame_index,class_name\n"
    "1,2,30,40,0,0.9,4,0,truck\n2,2,31,40,1,0.8,4,1,forklift\n3,2,32,40,1,0.7,4,2,forklift\n5,5,5,9,1,0.7,4,3,forklift\n"
)


def converted(tmp_path: Path, form: str, text: str, told: Told | None = None, name: str = "in.txt") -> OwnAnnotation:
    (tmp_path / name).write_text(text, encoding="utf-8")
    convert(form, tmp_path / name, tmp_path / "out.jsonl", told)
    (annotation,) = read_annotation([tmp_path / "out.jsonl"])
    return annotation


def boxes_of(annotation: OwnAnnotation) -> list[tuple[Any, ...]]:
    return [(box.entity, box.frame, box.xyxy) for box in annotation.boxes]


def test_mot(tmp_path: Path) -> None:
    (tmp_path / "gt").mkdir()
    (tmp_path / "seqinfo.ini").write_text(SEQINFO)
    found = converted(tmp_path, "mot", MOT, name="gt/gt.txt")
    size = (found.video, found.fps, found.frame_count, found.width, found.height)
    assert size == ("MOT-1.mp4", 30, 60, 640, 480)
    assert {entity.id: entity.category for entity in found.entities} == {1: "pedestrian", 3: "car"}
    assert boxes_of(found) == [
        (1, 0, (10, 20, 110, 70)),
        (1, 1, (11, 20, 111, 70)),
        (3, 2, (599, 399, 640, 480)),  # cut to the frame
    ]


def test_results_of_a_tracker_in_mot(tmp_path: Path) -> None:
    told = Told(video="a.mp4", category="forklift")
    found = converted(tmp_path, "mot", "1,1,11,21,100,50,0.5,-1,-1,-1\n2,1,11,21,100,50,-1,-1,-1,-1", told)
    assert [(box.score, box.generated) for box in found.boxes] == [(0.5, True), (None, False)]
    assert found.entities[0].category == "forklift"


def test_cvat(tmp_path: Path) -> None:
    found = converted(tmp_path, "cvat", CVAT)
    assert (found.video, found.frame_count, found.width, found.height) == ("yard & gate.mp4", 30, 640, 480)
    assert boxes_of(found) == [(0, 0, (1.5, 2, 30, 40)), (0, 1, (2.5, 2, 31, 40))]
    assert [box.generated for box in found.boxes] == [False, True]
    stepped = converted(
        tmp_path, "cvat", CVAT.replace("<frame_filter></frame_filter>", "<frame_filter>step=5</frame_filter>")
    )
    assert stepped.frame_count is None


def test_label_studio(tmp_path: Path) -> None:
    found = converted(tmp_path, "label-studio", json.dumps(LABEL_STUDIO), Told(width=200, height=100))
    assert (found.video, found.fps, found.frame_count) == ("yard.mp4", 20, 10)
    assert [(box.frame, box.xyxy, box.generated) for box in found.boxes] == [
        (0, (0, 0, 20, 50), False),
        (1, (20, 0, 40, 50), True),
        (2, (40, 0, 60, 50), False),
        (7, (40, 10, 60, 60), False),
        (8, (40, 10, 60, 60), True),
        (9, (40, 10, 60, 60), True),
    ]


def test_coco_video(tmp_path: Path) -> None:
    found = converted(tmp_path, "coco-video", json.dumps(YOUTUBE_VIS))
    assert (found.video, boxes_of(found)) == ("yard.mp4", [(3, 5, (10, 20, 40, 60))])
    found = converted(tmp_path, "coco-video", json.dumps(TAO), Told(fps=30))
    assert (found.video, found.fps, boxes_of(found)) == ("train/yard.mp4", 30, [(9, 30, (10, 20, 40, 60))])
    assert (found.boxes[0].score, found.boxes[0].generated) == (0.5, True)


def test_supervision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.csv").write_text(CSV)
    out = tmp_path / "out.jsonl.gz"
    command = ["convert", "supervision", str(tmp_path / "d.csv"), str(out), "--video", "a.mp4", "--size", "64x48"]
    assert main([*command, "--fps", "25"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("videos: 1, entities: 1, boxes: 3; left out 1 boxes that are flat or outside the frame\n")
    (found,) = read_annotation([out])
    assert [(entity.id, entity.category) for entity in found.entities] == [(4, "forklift")]  # what most of them say
    assert [box.score for box in found.boxes] == [0.9, 0.8, 0.7]
    rows = [dict(zip(CSV.splitlines()[0].split(","), line.split(","), strict=True)) for line in CSV.splitlines()[1:]]
    told = Told(video="a.mp4", fps=25, width=64, height=48)
    assert converted(tmp_path, "supervision", json.dumps(rows), told, name="d.json") == found
    frames = [
        (
            int(row["frame_index"]),
            SimpleNamespace(
                xyxy=np.array([[float(row[name]) for name in ("x_min", "y_min", "x_max", "y_max")]], np.float32),
                confidence=np.array([float(row["confidence"])]),
                class_id=np.array([int(row["class_id"])]),
                tracker_id=np.array([int(row["tracker_id"])]),
                data={"class_name": np.array([row["class_name"]])},
            ),
        )
        for row in rows
    ]
    assert from_detections(frames, video="a.mp4", fps=25, size=(64, 48)) == found
    frames[0][1].tracker_id = None
    with pytest.raises(InputError, match="frame 0: tracker_id is None; expected detections that a tracker"):
        from_detections(frames, video="a.mp4")


@examples(40)
@given(
    rows=st.dictionaries(
        st.tuples(st.integers(1, 50), st.integers(0, 5)),
        st.tuples(*[st.integers(1, 300)] * 4),
        min_size=1,
        max_size=20,
    )
)
def test_every_mot_box_comes_through(rows: dict[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    text = "".join(f"{frame},{id_},{','.join(map(str, box))},1,1,1\n" for (frame, id_), box in rows.items())
    found = converted(tmp_path_factory.mktemp("mot"), "mot", text, Told(video="a.mp4"))
    assert {(box.frame, box.entity): box.xyxy for box in found.boxes} == {
        (frame - 1, id_): (x - 1, y - 1, x - 1 + w, y - 1 + h) for (frame, id_), (x, y, w, h) in rows.items()
    }


def test_what_is_converted_becomes_a_record(tmp_path: Path) -> None:
    annotation = converted(tmp_path, "cvat", CVAT, Told(fps=10))
    question = {"id": "q", "video": annotation.video, "question": "How many forklifts are there?", "answer": "one"}
    record = cotasks.make_record(question, annotation)
    assert record.frame_localization.entity_origin == "lexical"
    assert len(record.entity_tracking[0].boxes) == 2


def changed(value: Any, path: str, new: Any) -> str:
    copy = json.loads(json.dumps(value))
    at = copy
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    for step in steps:
        at = at[step]
    at[last] = new
    return json.dumps(copy)


SEQUENCE = "0.annotations.0.result.0.value.sequence.0"


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("mot", "1,1,2", r"in\.txt:1: '1,1,2'; expected frame, id, left"),
        ("mot", "\n1,x,1,1,9,9,1,1,1", r"in\.txt:2: id is 'x'; expected a number"),
        ("mot", "1,1.5,1,1,9,9,1,1,1", "id is '1.5'; expected a whole number"),
        ("mot", "0,1,1,1,9,9,1,1,1", "frame 0, id 1; expected a frame from 1"),
        ("mot", "1,1,nan,1,9,9,1,1,1", "box is 'nan'; expected a number"),
        ("mot", "1,1,1,1,9,9,1,-1,-1,-1", "it names no class; expected --category"),
        ("mot", "1,1,1,1,9,9,1,1,1\n" * 2, "expected one box of an entity at a time"),
        ("cvat", "<annotations>", r"in\.txt:1: not XML: no element found"),
        ("cvat", "<annotation/>", "annotation; expected annotations, as CVAT"),
        ("cvat", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type; expected XML as CVAT"),
        ("cvat", "<annotations><image id='0'/></annotations>", "image; expected the export of one task"),
        ("cvat", CVAT.replace('id="0"', 'id="a"'), r"in\.txt:7: track: id is 'a'; expected a number"),
        ("cvat", CVAT.replace('xtl="1.5" ', ""), r"in\.txt:8: box: xtl is None; expected a number"),
        ("cvat", CVAT.replace(' label="man"', ""), "label is missing"),
        ("cvat", CVAT.replace(".mp4", ""), "its source is 'yard & gate'; expected a video file, or --video"),
        ("label-studio", "{}", "expected a list of tasks"),
        ("label-studio", "[", "not JSON"),
        ("label-studio", json.dumps(LABEL_STUDIO), "boxes are in percent, and no size is stated; expected --size"),
        ("label-studio", changed(LABEL_STUDIO, "0.annotations", 3), r"\[0\]: annotations is 3; expected a list"),
        ("coco-video", "[]", "is .*; expected an object"),
        ("coco-video", changed(YOUTUBE_VIS, "annotations.0.category_id", 8), "category_id is 8; expected that of a"),
        ("coco-video", changed(YOUTUBE_VIS, "annotations.0.video_id", 8), "video_id is 8; expected the id of a video"),
        ("coco-video", changed(YOUTUBE_VIS, "annotations.0.bboxes", [None]), "1 bboxes for 2 files; expected one each"),
        ("coco-video", changed(YOUTUBE_VIS, "annotations.0", 4), r"annotations\[0\] is 4; expected an object"),
        ("coco-video", changed(TAO, "annotations.0.image_id", 8), "image_id is 8; expected the id of an image"),
        ("coco-video", changed(TAO, "annotations.0.bbox", [1]), r"box \[1\]; expected \[left, top, width, height\]"),
        ("supervision", CSV, "it names no video; expected --video"),
    ],
)
def test_bad_files(form: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text(text)
    told = ["--video", "a.mp4"] if form == "mot" else []
    assert main(["convert", form, str(tmp_path / "in.txt"), str(tmp_path / "out.jsonl"), *told]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rotation", 12, "rotation is 12; expected 0"),
        ("frame", 0, "frame is 0; expected a frame number from 1"),
        ("x", "left", "x is 'left'; expected a number"),
        ("frame", 11, "expected below frame_count, 10"),
    ],
)
def test_bad_regions(key: str, value: Any, message: str, tmp_path: Path) -> None:
    text = changed(LABEL_STUDIO, f"{SEQUENCE}.{key}", value)
    with pytest.raises(InputError, match=message):
        converted(tmp_path, "label-studio", text, Told(width=200, height=100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CSV.replace("tracker_id", "id"), r"in\.csv:2: tracker_id is missing; expected x_min"),
        (CSV.replace(",truck", ","), r"in\.csv:2: class_name is missing; expected it"),
        (CSV.replace("0.9,4", "0.9,-1"), "tracker_id is -1; expected a track's"),
    ],
)
def test_bad_detections(text: str, message: str, tmp_path: Path) -> None:
    told = Told(video="a.mp4")
    with pytest.raises(InputError, match=message):
        converted(tmp_path, "supervision", text, told, name="in.csv")


def test_nothing_detected_is_an_empty_scene(tmp_path: Path) -> None:
    told = Told(video="a.mp4")
    assert converted(tmp_path, "supervision", CSV.splitlines()[0], told, name="in.csv").entities == ()


def test_formats_and_names() -> None:
    assert list(FORMATS) == ["coco-video", "mot", "cvat", "label-studio", "supervision", "vidvrd", "pvsg"]
    with pytest.raises(InputError, match="format 'voc'; expected one of coco-video"):
        convert("voc", Path("a"), Path("a.jsonl"))
    with pytest.raises(InputError, match=r"expected a file name that ends with \.jsonl"):
        convert("mot", Path("a"), Path("a.json"))
    assert main(["convert", "mot", "a", "a.jsonl", "--size", "64"]) == 2
