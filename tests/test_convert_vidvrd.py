"""VidVRD and VidOR as own data: boxes inclusive, relations with an exclusive end, any vocabulary."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks import make_record
from cotasks.convert import Told, convert
from cotasks.convert.building import FLAT
from cotasks.errors import InputError
from cotasks.records.own_files import read_annotation
from tests.examples import examples
from tests.source_files import write_json, write_zip
from tests.test_read_vidor import video as vidor_video

NAME = "ILSVRC2015_train_00010001"


def box(tid: int, x: int, generated: int = 0) -> dict[str, Any]:
    return {"tid": tid, "bbox": {"xmin": x, "ymin": 5, "xmax": x + 9, "ymax": 24}, "generated": generated}


def relation(subject: int, predicate: str, target: int, begin: int, end: int) -> dict[str, Any]:
    tids = {"subject_tid": subject, "object_tid": target}
    return {**tids, "predicate": predicate, "begin_fid": begin, "end_fid": end}


def video(**change: Any) -> dict[str, Any]:
    return {
        **{"video_id": NAME, "frame_count": 60, "fps": 30, "width": 320, "height": 240},
        "subject/objects": [{"tid": 0, "category": "bicycle"}, {"tid": 3, "category": "zebra"}],
        "trajectories": [[box(0, f), box(3, 100 + f, f % 2)] for f in range(45)],  # shorter than the video
        "relation_instances": [
            relation(0, "move_right", 3, 0, 30),
            relation(3, "walk_behind", 0, 30, 60),
            relation(0, "taller", 3, 15, 45),
            relation(0, "front", 3, 0, 15),
        ],
        **change,
    }


def converted(folder: Path, raw: Any, told: Told | None = None) -> Any:
    return convert("vidvrd", write_json(folder / "in.json", raw), folder / "out.jsonl", told)


def test_every_field(tmp_path: Path) -> None:
    found = converted(tmp_path, video())
    (own,) = read_annotation([tmp_path / "out.jsonl"])
    assert own == found.videos[0]
    assert (own.video, own.fps, own.frame_count, own.width, own.height) == (f"{NAME}.mp4", 30.0, 60, 320, 240)
    assert [(e.id, e.category) for e in own.entities] == [(0, "bicycle"), (3, "zebra")]
    assert len(own.boxes) == 90
    first = [b for b in own.boxes if b.frame == 1]
    assert [(b.entity, b.xyxy, b.generated) for b in first] == [
        (0, (1.0, 5.0, 11.0, 25.0), False),  # inclusive maxima become max + 1
        (3, (101.0, 5.0, 111.0, 25.0), True),
    ]
    assert [(r.subject, r.predicate, r.object, r.frames, r.spatial) for r in own.relations] == [
        (0, "move_right", 3, (0, 30), False),
        (3, "walk_behind", 0, (30, 60), False),
        (0, "taller", 3, (15, 45), True),
        (0, "front", 3, (0, 15), True),
    ]
    assert not found.left_out


def test_own_questions_about_it(tmp_path: Path) -> None:
    own = converted(tmp_path, video()).videos[0]
    question = {"id": "q", "video": own.video, "question": "what walks behind the bicycle", "answer": "the zebra"}
    record = make_record(question, own, num_frames=8)
    triples = [
        (r.subject_tid, r.predicate, r.object_tid, r.begin_frame, r.end_frame) for r in record.scene.temporal_relations
    ]
    assert triples == [(0, "move_right", 3, 0, 30), (3, "walk_behind", 0, 30, 60)]
    assert {r.predicate for r in record.scene.spatial_relations} == {"front", "taller"}


def test_vidors_files_too(tmp_path: Path) -> None:
    own = converted(tmp_path, vidor_video()).videos[0]
    assert own.video == "0001/77.mp4"
    assert [(r.predicate, r.frames, r.spatial) for r in own.relations] == [
        ("next_to", (0, 4), True),
        ("watch", (3, 10), False),
    ]


def test_folders_and_zips(tmp_path: Path) -> None:
    folder = tmp_path / "annotation"
    for split, name in (("train", "a"), ("test", "b")):
        write_json(folder / f"{split}/{name}.json", video(video_id=name))
    members = {
        "__MACOSX/x.json": b"",
        "vidvrd/train/a.json": video(video_id="a"),
        "vidvrd/test/b.json": video(video_id="b"),
    }
    write_zip(tmp_path / "annotation.zip", members)
    videos = [convert("vidvrd", path, tmp_path / "out.jsonl").videos for path in (folder, tmp_path / "annotation.zip")]
    assert videos[0] == videos[1]
    assert [v.video for v in videos[0]] == ["b.mp4", "a.mp4"]
    with pytest.raises(InputError, match="several videos; expected one where --video names the video"):
        convert("vidvrd", folder, tmp_path / "out.jsonl", Told(video="x.mp4"))
    renamed = converted(tmp_path, video(), Told(video="clips/one.mp4", fps=25.0))
    assert (renamed.videos[0].video, renamed.videos[0].fps) == ("clips/one.mp4", 25.0)


def damaged(path: list[Any], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(video())
    inner: Any = raw
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return raw


ODD = [
    (["trajectories", 1, 0], 5, {"malformed box": 1}),
    (["trajectories", 1, 0, "bbox"], None, {"malformed box": 1}),
    (["trajectories", 1, 0, "bbox", "xmin"], 1.5, {"malformed box": 1}),
    (["trajectories", 1, 0, "generated"], 2, {"malformed box": 1}),
    (["trajectories", 1, 0, "tid"], 9, {"box of a tid without an object": 1}),
    (["trajectories", 1, 0, "bbox", "xmin"], 11, {"inverted box": 1}),
    (["trajectories", 1, 0, "bbox"], {"xmin": 400, "ymin": 0, "xmax": 500, "ymax": 9}, {FLAT: 1}),
    (["trajectories", 1, 0, "tid"], 3, {"two boxes of one tid in a frame": 2}),
    (["relation_instances", 0, "end_fid"], 61, {"relation outside the video": 1}),
    (["relation_instances", 0, "begin_fid"], 30, {"relation outside the video": 1}),
    (["relation_instances", 0, "begin_fid"], 1.0, {"malformed relation": 1}),
    (["relation_instances", 0, "subject_tid"], 7, {"relation of a tid without an object": 1}),
    (["relation_instances", 0, "predicate"], "", {"malformed relation": 1}),
    (["relation_instances", 0], "x", {"malformed relation": 1}),
]


@pytest.mark.parametrize(("path", "value", "counted"), ODD)
def test_one_odd_value_costs_itself_and_is_counted(
    path: list[Any], value: Any, counted: dict[str, int], tmp_path: Path
) -> None:
    found = converted(tmp_path, damaged(path, value))
    assert dict(found.left_out) == counted
    own, lost = found.videos[0], sum(counted.values())
    assert (90 - len(own.boxes)) + (4 - len(own.relations)) == lost


WHOLE = [
    (["video_id"], None, "video_id is None; expected the video's id"),
    (["fps"], 0, "fps is 0; expected a number above 0"),
    (["frame_count"], 0, "frame_count is 0"),
    (["frame_count"], 44, "trajectories has 45 frames; expected at most frame_count = 44"),
    (["width"], "320", "width is '320'"),
    (["subject/objects"], None, "subject/objects is None; expected a list"),
    (["subject/objects", 1, "tid"], 0, "tid is 0; expected each tid once"),
    (["subject/objects", 1, "category"], "", "category is ''"),
    (["trajectories"], {}, "trajectories is {}; expected a list"),
    (["trajectories", 1], None, "frame 1 is None; expected a list"),
    (["relation_instances"], None, "relation_instances is None"),
]


@pytest.mark.parametrize(("path", "value", "words"), WHOLE)
def test_faults_of_a_whole_video(path: list[Any], value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        converted(tmp_path, damaged(path, value))
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "in.json"))


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text("{")
    with pytest.raises(InputError, match=r"in\.json: not JSON"):
        convert("vidvrd", tmp_path / "in.json", tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        convert("vidvrd", tmp_path / "none.json", tmp_path / "out.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it holds no annotated video"):
        convert("vidvrd", tmp_path / "empty", tmp_path / "out.jsonl")


LEAVES = [
    *([name] for name in video()),
    *(["trajectories", 2, 1, name] for name in ("tid", "bbox", "generated")),
    *(["trajectories", 2, 1, "bbox", name] for name in ("xmin", "ymax")),
    *(["relation_instances", 1, name] for name in relation(0, "x", 1, 0, 1)),
    *(["subject/objects", 0, name] for name in ("tid", "category")),
    ["trajectories", 3],
    ["relation_instances", 2],
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 400) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@examples(80)
@given(path=st.sampled_from(LEAVES), value=VALUES)
def test_any_damage_is_one_line_or_counted(
    path: list[Any], value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("vidvrd")
    found, line = outcome(folder, damaged(path, value))
    if line is not None:
        assert line.startswith(str(folder))
        assert "\n" not in line
    else:
        assert list(read_annotation([folder / "out.jsonl"])) == found.videos


def outcome(folder: Path, raw: Any) -> tuple[Any, str | None]:
    """What the converter makes of a file, or its one line."""
    try:
        return converted(folder, raw), None
    except InputError as error:
        return None, str(error)
