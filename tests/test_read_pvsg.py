"""PVSG: masks as boxes, relations whose end is included, questions that name objects by number."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cotasks.builders.assemble import Built as BuiltRecord
from cotasks.builders.assemble import build_video, plan_split
from cotasks.builders.sources import BuildOptions, fingerprint
from cotasks.convert import Told, convert
from cotasks.convert.pvsg import find_masks, mask_boxes
from cotasks.errors import InputError
from cotasks.records.check import faults
from cotasks.records.own_files import read_annotation
from cotasks.records.schema import records_to_table
from tests.examples import examples
from tests.pvsg_files import FRAMES, HEIGHT, WIDTH, annotation, mask, video, write
from tests.source_files import Built, write_json, write_zip


def results(folder: Path, split: str = "validation", **options: Any) -> list[Any]:
    """What the build makes of a split, without writing it."""
    plan = plan_split(BuildOptions("pvsg", data_dir=str(folder), **options), split)
    return [*plan.skipped, *(item for task in plan.tasks for item in build_video(task, plan.lookups))]


def test_every_field(tmp_path: Path) -> None:
    built = Built("pvsg", write(tmp_path / "source"), tmp_path / "out")
    records = built.records("validation")
    assert set(records) == {"pvsg/validation/0001_1/0", "pvsg/validation/0001_1/1"}
    assert set(built.records("train")) == {"pvsg/train/P01_1/0", "pvsg/train/P01_1/1"}
    assert not list(faults(records_to_table(list(records.values()))))
    record = records["pvsg/validation/0001_1/0"]
    assert (record.source, record.question_type, record.category) == ("pvsg", "question", "vidor")
    assert (record.question, record.answer) == ("Why is the woman smiling?", "Because it's her birthday.")
    assert (record.video_path, record.fps, record.frame_count) == ("vidor/videos/0001_1.mp4", 5.0, FRAMES)
    assert (record.width, record.height) == (WIDTH, HEIGHT)
    assert [(e.tid, e.category) for e in record.scene.entities] == [
        (1, "wall"),
        (2, "adult"),
        (3, "cake"),
        (4, "candle"),
    ]
    wall, woman, cake = record.scene.entity_tracking
    assert wall.boxes[0].xyxy == (0, 0, WIDTH, 10)
    assert [b.frame for b in woman.boxes] == list(range(FRAMES))
    assert woman.boxes[3].xyxy == (3, 20, 11, 40)  # pixels 3 to 10, as edges
    assert (cake.boxes[0].xyxy, [b.frame for b in cake.boxes]) == ((50, 30, 60, 35), list(range(10)))
    assert built.summary is not None
    assert built.summary.left_out == {"test": "no question"}


def test_ends_are_included_and_nothing_is_dropped(tmp_path: Path) -> None:
    scene = results(write(tmp_path))[0].record.scene
    temporal = [
        (r.subject_tid, r.predicate, r.object_tid, r.begin_frame, r.end_frame) for r in scene.temporal_relations
    ]
    assert temporal == [(2, "looking_at", 3, 0, 3), (2, "juggling_with", 4, 7, 9), (2, "looking_at", 3, 9, 20)]
    spatial = [(r.subject_tid, r.predicate, r.object_tid, r.frames) for r in scene.spatial_relations]
    assert spatial == [(2, "in_front_of", 1, (5,)), (4, "on", 3, tuple(range(10)))]


def test_step_1_is_the_questions_time_and_objects(tmp_path: Path) -> None:
    first, second = (item.record for item in results(write(tmp_path)))
    a1 = first.frame_localization
    assert ([e.tid for e in a1.entities], a1.frames) == ([2], (18,))
    assert [(s.start_seconds, s.end_seconds) for s in a1.spans] == [(3.6, 3.6)]
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("annotation", "annotation", True)
    assert second.question == "What does the girl of 1998 (1998) see?"  # 1998 is no id of an object
    assert second.answer == "They and the wall are seen."
    a1 = second.frame_localization
    assert ([e.tid for e in a1.entities], a1.frames) == ([1, 2, 3], (2, 3, 4, 5, 6))


def test_only_the_masks_of_the_grid_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for frame in range(1, FRAMES):
        if frame not in (6, 13, 19):
            (folder / f"pvsg/epic_kitchen/masks/P01_1/{frame:04d}.png").write_bytes(b"damaged")
    found = results(folder, "train", num_frames=4)
    assert [item.left_out for item in found] == [(), ()]
    assert [frame.index for frame in found[0].record.frames] == [0, 6, 13, 19]


def test_folders_and_zips_say_the_same(tmp_path: Path) -> None:
    masks = find_masks(write(tmp_path) / "pvsg")
    assert set(masks) == {"0001_1", "P01_1"}
    assert [masks["0001_1"].read(f) for f in range(FRAMES)] == [masks["P01_1"].read(f) for f in range(FRAMES)]
    assert masks["0001_1"].checksum(range(FRAMES)) == masks["P01_1"].checksum(range(FRAMES)) != 0
    assert masks["0001_1"].place(3).endswith("VidOR/vidor_masks.zip!mnt/x/data/vidor/masks/0001_1/0003.png")


def test_masks_shape_the_fingerprint(tmp_path: Path) -> None:
    folder = write(tmp_path)
    options = BuildOptions("pvsg", data_dir=str(folder))
    before = fingerprint(options)
    (folder / "pvsg/epic_kitchen/masks/P01_1/0003.png").write_bytes(mask(4))
    assert fingerprint(options) != before


FRAME_FAULTS = [
    (None, "no mask of a frame", "0003.png: no such file; expected the mask"),
    (b"damaged", "damaged mask", "expected a PNG with a palette, 64x48"),
    (mask(3)[:-30], "damaged mask", "0003.png: cannot be read"),
    (mask(3, size=(48, 64)), "mask of another kind or size", "mode P, 48x64; expected a PNG with a palette, 64x48"),
    (mask(3, mode="RGB"), "mask of another kind or size", "mode RGB, 64x48"),
]


@pytest.mark.parametrize(("content", "reason", "words"), FRAME_FAULTS)
def test_a_mask_at_fault_costs_its_frame(content: bytes | None, reason: str, words: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    path = folder / "pvsg/epic_kitchen/masks/P01_1/0003.png"
    path.unlink() if content is None else path.write_bytes(content)
    first, _ = results(folder, "train")
    (left_out,) = first.left_out
    assert (left_out.reason, words in left_out.detail) == (reason, True), left_out
    frames = [b.frame for b in first.record.scene.entity_tracking[1].boxes]
    assert frames == [f for f in range(FRAMES) if f != 3]
    strict = results(folder, "train", strict=True)
    assert [item.reason for item in strict] == [reason, reason]


def test_pixels_of_an_unknown_object_cost_its_box(tmp_path: Path) -> None:
    objects = [thing for thing in video()["objects"] if thing["object_id"] != 3]
    folder = write(tmp_path, annotation(video(objects=objects, relations=[])))
    found = results(folder)[0]
    assert {item.reason for item in found.left_out} == {"mask of an unknown object"}
    assert len(found.left_out) == 10
    assert "0000.png: pixels of 3; expected the id of an object, [1, 2, 4]" in found.left_out[0].detail
    assert {t.tid for t in found.record.scene.entity_tracking} == {1, 2}


RELATIONS = [
    ([2, 9, "on", [[0, 1]]], "relation of an unknown object", "9; expected the id of an object"),
    (
        [2, 3, "on", [[3, 2]]],
        "relation outside the video",
        "[3, 2]; expected [begin, end], 0 <= begin <= end < num_frames",
    ),
    ([2, 3, "on", [[0, 20]]], "relation outside the video", "num_frames = 20"),
    ([2, 3, "on", [[0.5, 2]]], "relation outside the video", "[0.5, 2]"),
    ([2, 3, "", [[0, 2]]], "malformed relation", "relations[0] is ''"),
    ([2, 3, "on"], "malformed relation", "expected [subject, object, predicate, [[begin, end], ...]]"),
    ("on", "malformed relation", "relations[0] is 'on'"),
]


@pytest.mark.parametrize(("relation", "reason", "words"), RELATIONS)
def test_an_odd_relation_costs_itself(relation: Any, reason: str, words: str, tmp_path: Path) -> None:
    folder = write(tmp_path, annotation(video(relations=[relation, [2, 3, "holding", [[1, 2]]]])))
    found = results(folder)[0]
    (left_out,) = found.left_out
    assert (left_out.reason, words in left_out.detail) == (reason, True), left_out
    assert "pvsg.json: 0001_1: relations[0]" in left_out.detail
    assert [r.predicate for r in found.record.scene.temporal_relations] == ["holding"]
    assert {item.reason for item in results(folder, strict=True)} == {reason}


QUESTIONS = [
    ({"time": None}, "malformed question", 'time is None; expected a frame, "0018"'),
    ({"time": "soon"}, "malformed question", "time is 'soon'"),
    ({"time": "0009-0003"}, "malformed question", "time is '0009-0003'"),
    ({"time": "0020"}, "time after the video", "time is frame 20; expected less than num_frames = 20"),
    ({"question": ""}, "malformed question", "question is ''"),
    ({"question": "(2)"}, "malformed question", "expected texts beside the ids of objects"),
    ({"answer": 7}, "malformed question", "answer is 7"),
]


@pytest.mark.parametrize(("change", "reason", "words"), QUESTIONS)
def test_faults_of_questions(change: dict[str, Any], reason: str, words: str, tmp_path: Path) -> None:
    pairs = [{**video()["qa_pairs"][0], **change}]
    (found,) = results(write(tmp_path, annotation(video(qa_pairs=pairs))))
    assert (found.reason, words in found.detail) == (reason, True), found
    assert "pvsg.json: 0001_1: qa_pairs[0]" in found.detail


WHOLE = [
    (["meta", "fps"], 0, "malformed annotation", "meta.fps is 0"),
    (["meta", "num_frames"], "20", "malformed annotation", "meta.num_frames is '20'"),
    (["meta"], ..., "malformed annotation", "meta is missing"),
    (["objects", 1, "object_id"], 1, "two objects with one id", "object_id is 1; expected each once"),
    (["objects", 1, "category"], None, "malformed annotation", "objects[1]: category is None"),
    (["relations"], {}, "malformed annotation", "relations is {}"),
]


@pytest.mark.parametrize(("path", "value", "reason", "words"), WHOLE)
def test_faults_of_a_whole_video(path: list[Any], value: Any, reason: str, words: str, tmp_path: Path) -> None:
    found = results(write(tmp_path, annotation(damaged(path, value))))
    assert {(item.reason, words in item.detail) for item in found} == {(reason, True)}, found


def damaged(path: list[Any], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(video())
    inner: Any = raw
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return raw


def test_videos_without_masks_or_split(tmp_path: Path) -> None:
    folder = write(tmp_path, annotation(video(), video("P01_1"), video("lost")))
    shutil.rmtree(folder / "pvsg/epic_kitchen")
    found = results(folder, "train")
    assert {(item.id, item.reason) for item in found} == {
        ("pvsg/train/P01_1/0", "no object annotation of the video"),
        ("pvsg/train/P01_1/1", "no object annotation of the video"),
        ("pvsg/train/lost/0", "no split"),
        ("pvsg/train/lost/1", "no split"),
    }
    assert not results(folder, "test")


FILES = [
    ([1], "expected an object"),
    ({"data": {}}, "data is {}; expected a list of videos"),
    (annotation(video(), video()), "video_id is '0001_1'; expected a name, each once"),
    (annotation(video("../x")), "video_id is '../x'"),
    (annotation(split={"vidor": {"train": ["a"], "val": ["a"]}}), "'a'; expected each video once"),
    (annotation(split=None), "split is None; expected an object"),
]


@pytest.mark.parametrize(("data", "words"), FILES)
def test_files_that_are_none(data: Any, words: str, tmp_path: Path) -> None:
    folder = write(tmp_path, data)
    with pytest.raises(InputError) as caught:
        results(folder)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(folder / "pvsg/pvsg.json"))


def test_zips_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path) / "pvsg/VidOR/vidor_masks.zip"
    write_zip(path, {"../0001_1/0000.png": b""})
    with pytest.raises(InputError, match="expected a name that stays inside the archive"):
        results(tmp_path)
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"vidor_masks\.zip: not a readable zip"):
        results(tmp_path)


@examples(60)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)))
def test_a_box_is_the_least_around_the_pixels(pixels: Any) -> None:
    import io

    from PIL import Image

    image = Image.fromarray(pixels)
    image.putpalette([0] * 768)
    out = io.BytesIO()
    image.save(out, "PNG")
    boxes = mask_boxes(out.getvalue(), "p", image.size)
    assert set(boxes) == set(np.unique(pixels)) - {0}
    for value, (x1, y1, x2, y2) in boxes.items():
        places = [(x, y) for y, line in enumerate(pixels) for x, found in enumerate(line) if found == value]
        xs, ys = zip(*places, strict=True)
        assert (x1, y1, x2, y2) == (min(xs), min(ys), max(xs) + 1, max(ys) + 1)


LEAVES = [
    *(["meta", name] for name in ("fps", "num_frames", "width", "height")),
    *(["objects", 1, name] for name in ("object_id", "category")),
    *(["relations", 0, place] for place in range(4)),
    *(["qa_pairs", 0, name] for name in ("time", "question", "answer")),
    *([name] for name in ("meta", "objects", "relations", "qa_pairs")),
    ["objects", 0],
    ["relations", 0],
    ["qa_pairs", 0],
    ["relations", 0, 3, 0],
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 30) | st.floats(-2, 30) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pvsg"))


@examples(40)
@given(path=st.sampled_from(LEAVES), value=VALUES)
def test_any_damage_is_one_line_or_counted(path: list[Any], value: Any, folder: Path) -> None:
    write_json(folder / "pvsg/pvsg.json", annotation(damaged(path, value)))
    lines = []
    try:
        found = results(folder, num_frames=3)
    except InputError as error:  # of the file as a whole
        found, lines = [], [str(error)]
    for item in found:
        if isinstance(item, BuiltRecord):
            assert not list(faults(records_to_table([item.record])))
            lines += [left.detail for left in item.left_out]
        else:
            lines.append(item.detail)
    assert not [line for line in lines if "\n" in line or str(folder) not in line]


# As own data


def test_it_becomes_own_data(tmp_path: Path) -> None:
    source = write(tmp_path) / "pvsg/pvsg.json"
    found = convert("pvsg", source, tmp_path / "out.jsonl")
    videos = {annotation_.video: annotation_ for annotation_ in read_annotation([tmp_path / "out.jsonl"])}
    assert set(videos) == {"vidor/videos/0001_1.mp4", "epic_kitchen/videos/P01_1.mp4"}
    whole = videos["vidor/videos/0001_1.mp4"]
    assert (whole.fps, whole.frame_count, whole.width, whole.height) == (5.0, FRAMES, WIDTH, HEIGHT)
    assert len(whole.boxes) == 20 + 20 + 10
    assert [(r.subject, r.predicate, r.object, r.frames, r.spatial) for r in whole.relations] == [
        (2, "looking at", 3, (0, 3), False),
        (2, "looking at", 3, (9, 20), False),
        (4, "on", 3, (0, 10), True),
        (2, "in front of", 1, (5, 6), True),
        (2, "juggling with", 4, (7, 9), False),
    ]
    assert {entity.category for entity in whole.entities} == {"wall", "adult", "cake", "candle"}
    assert not found.left_out


def test_one_video_as_own_data(tmp_path: Path) -> None:
    source = write(tmp_path, annotation(video(), video("P01_1"), video("lost"))) / "pvsg/pvsg.json"
    shutil.rmtree(tmp_path / "pvsg/epic_kitchen")
    convert("pvsg", source, tmp_path / "out.jsonl", Told(video="mine/0001_1.mp4"))
    (one,) = read_annotation([tmp_path / "out.jsonl"])
    assert one.video == "mine/0001_1.mp4"
    found = convert("pvsg", source, tmp_path / "all.jsonl")
    assert dict(found.left_out) == {"boxes of a video without masks": 2}
    assert [v.video for v in found.videos][-1] == "lost.mp4"
    with pytest.raises(InputError, match="no video 'other'; expected --video to name one of its 3"):
        convert("pvsg", source, tmp_path / "out.jsonl", Told(video="other.mp4"))
