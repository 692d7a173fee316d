"""Perception Test, from a file with every field of its README, and every trap."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.assemble import plan_split
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers.perception_tracks import annotation_of
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records.check import faults
from cotasks.records.schema import records_to_table
from cotasks.steps import temporal_relations
from tests.examples import examples
from tests.source_files import Built, write_json, write_zip

FPS, FRAMES, HEIGHT, WIDTH = 30.0, 300, 1080, 1920


def track(id_: int, label: str, frames: list[int], **change: Any) -> dict[str, Any]:
    n = len(frames)
    return {
        "id": id_,
        "label": label,
        "is_occluder": 0,
        "bounding_boxes": [[0.25, 0.5, 0.5, 0.75]] * n,
        "initial_tracking_box": [1] + [0] * (n - 1),
        "frame_ids": frames,
        "timestamps": [round(frame / FPS * 1e6) for frame in frames],
        "is_masked": [0] * n,
        **change,
    }


def action(id_: int, label: str, objects: list[int], start: int, end: int) -> dict[str, Any]:
    stamps = [round(start / FPS * 1e6), round(end / FPS * 1e6)]
    return {
        **{"id": id_, "label": label, "parent_objects": objects},
        **{"timestamps": stamps, "frame_ids": [start, end], "label_id": 7},
    }


def mc(id_: int, **change: Any) -> dict[str, Any]:
    return {
        **{"id": id_, "question": "What is put into the cup?", "options": ["a pen", "a key", "nothing"]},
        **{"answer_id": 1, "area": "semantics", "reasoning": "descriptive", "tag": ["object recognition"]},
        **change,
    }


def grounded(id_: int, answers: Any, **change: Any) -> dict[str, Any]:
    question = {"id": id_, "question": "Track what was moved", "answers": answers}
    return {**question, "area": "Memory", "reasoning": "Explanatory", **change}


def video(split: str = "valid", **change: Any) -> dict[str, Any]:
    return {
        "metadata": {
            **{"split": split, "video_id": "video_1", "frame_rate": FPS, "num_frames": FRAMES},
            **{"resolution": [HEIGHT, WIDTH], "audio_samples": 1, "audio_sample_rate": 48000},
            **{"is_cup_game": 0, "is_camera_moving": 0},
        },
        "object_tracking": [
            track(0, "red box", list(range(0, 300, 30))),
            track(1, "cup", list(range(0, 300, 30))),
            track(2, "key", [0, 30, 60, 270], is_masked=[0, 0, 1, 0]),
        ],
        "point_tracking": [{"id": 0, "label": "p", "parent_objects": [0], "frame_ids": [0], "points": [[0.1], [0.2]]}],
        "action_localisation": [
            action(0, "Putting something into something", [2, 1], 30, 75),
            action(1, "Moving something", [0], 90, 120),
            action(2, "Clapping hands", [], 130, 140),
            action(3, "Hitting something with something", [1, -1], 150, 160),
            action(4, "Showing something", [-1], 150, 160),
            action(5, "Removing something", [0, 1, 2], 280, 300),
        ],
        "sound_localisation": [{**action(0, "Placing", [1], 0, 9), "is_visible": 1}],
        "mc_question": [mc(0), mc(1, question="Where is the key at the end?", area="Physics", reasoning="Predictive")],
        "grounded_question": [grounded(0, [2, 1]), grounded(1, [2])],
        **change,
    }


def write(folder: Path, videos: dict[str, Any], cuts: Any = None, short: str = "valid") -> Path:
    members = {"__MACOSX/._all.json": b"", f"all_{short}.json": videos}
    write_zip(folder / f"perception_test/{short}_annotations.zip", members)
    if short != "test":
        cuts = {"video_1": -1} if cuts is None else cuts
        write_json(folder / f"perception_test/cut_frame_mapping_{short}.json", cuts)
    return folder


def build(tmp_path: Path, videos: dict[str, Any] | None = None, cuts: Any = None, **options: Any) -> Built:
    source = write(tmp_path / "source", {"video_1": video()} if videos is None else videos, cuts)
    return Built("perception_test", source, tmp_path / "out", **options)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The video of `video()`, built as it stands."""
    return build(tmp_path_factory.mktemp("perception_test"))


def test_every_field(built: Built) -> None:
    records = built.records("validation")
    base = "perception_test/validation/video_1"
    assert set(records) == {f"{base}/{name}" for name in ("mc-0", "mc-1", "grounded-0", "grounded-1")}
    first = records[f"{base}/mc-0"]
    assert (first.source, first.category, first.question_type) == ("perception_test", "semantics", "descriptive")
    assert (first.answer, first.answer_index, first.choices) == ("a key", 1, ("a pen", "a key", "nothing"))
    assert (first.video_path, first.fps, first.frame_count) == ("video_1.mp4", FPS, FRAMES)
    assert (first.width, first.height) == (WIDTH, HEIGHT)  # `resolution` is height first
    assert [(e.tid, e.category) for e in first.scene.entities] == [(0, "red box"), (1, "cup"), (2, "key")]
    boxes = first.scene.entity_tracking[0].boxes
    assert [box.frame for box in boxes] == list(range(0, 300, 30))  # on the grid, unmoved
    assert boxes[0].xyxy == (480.0, 540.0, 960.0, 810.0)
    assert not any(box.generated for box in boxes)
    assert len(first.frames) == 64
    assert {box.frame for box in boxes} <= {frame.index for frame in first.frames}


def test_actions_are_relations_over_time(built: Built) -> None:
    scene = next(iter(built.records("validation").values())).scene
    assert scene.spatial_relations == ()
    found = [(r.subject_tid, r.predicate, r.object_tid, r.begin_frame, r.end_frame) for r in scene.temporal_relations]
    assert found == [
        (2, "Putting_something_into_something", 1, 30, 75),
        (0, "Moving_something", 0, 90, 120),
        (0, "Removing_something", 1, 280, 300),
        (0, "Removing_something", 2, 280, 300),
    ]
    assert built.left_out("validation") == {
        "action without objects": 1,
        "action of an object that is not annotated": 2,
        "box of a thing that cannot be seen (is_masked)": 1,
    }
    line = built.examples("validation")["action of an object that is not annotated"]
    assert "all_valid.json: video_1: action_localisation[3]: 'Hitting something with something'" in line
    assert line.endswith("parent_objects is [1, -1]")


def test_a_masked_box_is_in_no_record(built: Built) -> None:
    scene = next(iter(built.records("validation").values())).scene
    (key,) = (t for t in scene.entity_tracking if t.tid == 2)
    assert [box.frame for box in key.boxes] == [0, 30, 270]


def test_a_grounded_question_has_its_answers_tracks_for_step_1(built: Built) -> None:
    record = built.records("validation")["perception_test/validation/video_1/grounded-0"]
    a1 = record.frame_localization
    assert (record.question_type, record.category) == ("grounded explanatory", "memory")
    assert (record.answer, record.answer_index, record.choices) == ("key, cup", -1, ())
    assert [e.tid for e in a1.entities] == [1, 2]
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("annotation", "annotation", True)
    assert [(s.start_seconds, s.end_seconds) for s in a1.spans] == [(0.0, 9.0)]
    assert a1.frames == tuple(frame.index for frame in record.frames if frame.index <= 270)
    key = built.records("validation")["perception_test/validation/video_1/grounded-1"].frame_localization
    # at 0 and 1 s, hidden at 2 s, then at 9 s
    assert [(s.start_seconds, s.end_seconds) for s in key.spans] == [(0.0, 1.0), (9.0, 9.0)]
    assert {t.tid for t in record.entity_tracking} == {1, 2}
    # a triple with one thing at both ends is read back as it was written
    moving = [r for r in record.scene.temporal_relations if r.subject_tid == r.object_tid]
    assert moving
    assert temporal_relations.construct(record.scene, a1, record.fps)


def test_a_cut_shortens_the_clip(tmp_path: Path) -> None:
    built = build(tmp_path, cuts={"video_1": 100, "video_9": 3})
    records = built.records("validation")
    record = records["perception_test/validation/video_1/mc-1"]
    assert record.frame_count == FRAMES  # of the file, which is whole
    assert (record.clip.start_seconds, record.clip.end_seconds) == (0.0, 99 / FPS)
    assert record.frames[-1].index == 99
    assert max(box.frame for track_ in record.scene.entity_tracking for box in track_.boxes) <= 99
    assert [(r.begin_frame, r.end_frame) for r in record.scene.temporal_relations] == [(30, 75), (90, 100)]


def test_an_answer_behind_the_cut_skips_the_question(tmp_path: Path) -> None:
    late = video(
        object_tracking=[track(0, "cup", [0, 30]), track(1, "key", [270])],
        action_localisation=[],
        grounded_question=[grounded(0, [1]), grounded(1, [0])],
    )
    built = build(tmp_path, {"video_1": late}, {"video_1": 100})
    reason, detail = built.skipped["perception_test/validation/video_1/grounded-0"]
    assert reason == "answer not to be seen in the clip"
    assert detail.endswith("grounded_question 0: answers holds 1; expected a track with a box in the clip")
    assert "perception_test/validation/video_1/grounded-1" in built.records("validation")


@pytest.mark.parametrize("cut", [0, 1, 301, "100", 1.5, None, True, -2])
def test_a_bad_cut(cut: Any, tmp_path: Path) -> None:
    videos = {"video_1": video(), "video_2": video(metadata={**video()["metadata"], "video_id": "video_2"})}
    built = build(tmp_path, videos, {"video_1": cut})
    assert {reason for reason, _ in built.skipped.values()} == {"bad cut frame"}
    assert len(built.records("validation")) == 4


def test_the_test_split_has_no_answers(tmp_path: Path) -> None:
    bare = {name: value for name, value in mc(0).items() if name != "answer_id"}
    videos = {"video_1": video("test", mc_question=[bare], grounded_question=[grounded(0, None), grounded(1, [])])}
    source = write(tmp_path / "source", {"video_1": video()})
    write(source, videos, short="test")
    built = Built("perception_test", source, tmp_path / "out")
    assert built.summary is not None
    skipped = {id_: reason for id_, (reason, _) in built.skipped.items() if "/test/" in id_}
    names = ("mc-0", "grounded-0", "grounded-1")
    assert skipped == {f"perception_test/test/video_1/{name}": "no answer" for name in names}
    assert built.summary.splits["test"].records == 0
    assert "no record: 3 questions skipped (3 no answer)" in built.summary.left_out["test"]


QUESTIONS = [
    ({"mc_question": [mc(0, options=["a", "b"])]}, "malformed question", "2 options; expected 3"),
    ({"mc_question": [mc(0, options=["a", "b", " "])]}, "malformed question", "options is ' '"),
    ({"mc_question": [mc(0, answer_id=3)]}, "answer out of range", "answer_id is 3; expected 0 to 2"),
    ({"mc_question": [mc(0, answer_id="1")]}, "answer out of range", "answer_id is '1'"),
    ({"mc_question": [mc(0, area="Music")]}, "unknown area", "area is 'Music'; expected one of memory"),
    ({"mc_question": [mc(0, reasoning=None)]}, "unknown reasoning", "reasoning is None; expected one of descriptive"),
    ({"mc_question": [mc(0, question="")]}, "malformed question", "question is ''"),
    ({"mc_question": [mc("0")]}, "malformed question", "id is '0'"),  # type: ignore[arg-type]
    ({"mc_question": ["what"]}, "malformed question", "'what'; expected an object"),
    ({"grounded_question": [grounded(0, [9])]}, "answer without a track", "answers holds 9"),
    ({"grounded_question": [grounded(0, 2)]}, "malformed question", "answers: 2; expected a list"),
    ({"object_tracking": []}, "no object annotation of the video", "video video_1 has no object_tracking"),
]


@pytest.mark.parametrize(("change", "reason", "words"), QUESTIONS)
def test_faults_of_questions(change: dict[str, Any], reason: str, words: str, tmp_path: Path) -> None:
    bare = {"grounded_question": []} | ({} if "object_tracking" in change else {"mc_question": []})
    source = write(tmp_path / "source", {"video_1": video(**{**bare, **change})})
    plan = plan_split(BuildOptions("perception_test", data_dir=str(source)), "validation")
    assert {item.reason for item in plan.skipped} == {reason}
    assert all(words in item.detail and "video_1" in item.detail for item in plan.skipped)
    assert not plan.tasks


def test_a_video_of_another_split_is_skipped(tmp_path: Path) -> None:
    built = build(tmp_path, {"video_1": video(), "video_2": video("train")})
    assert {reason for reason, _ in built.skipped.values()} == {"video of another split"}
    assert any("video_2: metadata.split is 'train'; expected valid" in d for _, d in built.skipped.values())


def damaged(path: list[Any], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(video())
    inner = raw
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return raw


BOXES = "object_tracking"
ACTIONS = "action_localisation"
ODD = [
    ([BOXES, 0, "bounding_boxes", 1], [0.5, 0.5, 0.25, 0.75], "inverted box", "x1 < x2"),
    ([BOXES, 0, "bounding_boxes", 1], [0.5, 0.5, 0.5, 0.75], "inverted box", "x1 < x2"),
    ([BOXES, 0, "bounding_boxes", 1], [480, 540, 960, 810], "box outside the frame", "fractions from 0 to 1"),
    ([BOXES, 0, "bounding_boxes", 1], [0.1, 0.2, "a", 0.4], "malformed annotation", "as fractions"),
    ([BOXES, 0, "frame_ids", 1], 300, "box after the video", "less than num_frames = 300"),
    ([BOXES, 0, "frame_ids", 1], 30.5, "box after the video", "a frame from 0"),
    ([BOXES, 0, "is_masked", 1], 2, "malformed annotation", "is_masked is 2; expected 0 or 1"),
    ([BOXES, 0, "frame_ids"], [0, 30], "parallel lists of unequal length", "2 frame_ids for 10 bounding_boxes"),
    ([BOXES, 0, "timestamps"], [0], "parallel lists of unequal length", "1 timestamps for 10"),
    ([BOXES, 0, "initial_tracking_box"], [0], "parallel lists of unequal length", "1 initial_tracking_box for 10"),
    ([ACTIONS, 0, "parent_objects"], [7], "unknown object", "parent_objects holds 7; expected ids of tracks, or -1"),
    ([ACTIONS, 0, "parent_objects"], None, "malformed annotation", "parent_objects: None; expected a list"),
    ([ACTIONS, 0, "frame_ids"], [75, 30], "action outside the video", "0 <= start < end <= num_frames = 300"),
    ([ACTIONS, 0, "frame_ids"], [30, 301], "action outside the video", "frame_ids [30, 301]"),
    ([ACTIONS, 0, "frame_ids"], [30], "action outside the video", "frame_ids [30]"),
    ([ACTIONS, 0, "label"], "", "malformed annotation", "label is ''"),
    ([ACTIONS, 0], 5, "malformed annotation", "action_localisation[0]: 5; expected an object"),
]


@pytest.mark.parametrize(("path", "value", "reason", "words"), ODD)
def test_one_odd_value_costs_itself(path: list[Any], value: Any, reason: str, words: str) -> None:
    raw = damaged(path, value)
    found, _, odd = annotation_of(raw, "v.mp4", "f: v", strict=False)
    assert len(odd.errors) == 1
    assert odd.errors[0].reason == reason
    assert words in str(odd.errors[0])
    assert str(odd.errors[0]).startswith("f: v: ")
    whole, _, _ = annotation_of(video(), "v.mp4", "f: v", strict=False)
    lost = len(whole.boxes) - len(found.boxes) + len(whole.relations) - len(found.relations)
    assert lost == (10 if reason == "parallel lists of unequal length" else 1)
    with pytest.raises(InputError, match=r"^f: v: ") as caught:
        annotation_of(raw, "v.mp4", "f: v", strict=True)
    assert caught.value.reason == reason


def test_two_boxes_of_a_track_in_a_frame() -> None:
    twice = video()
    twice["object_tracking"][0]["frame_ids"][1] = 0
    found, _, odd = annotation_of(twice, "v.mp4", "f", strict=False)
    assert len(odd.errors) == 1  # the same box: one stays
    twice["object_tracking"][0]["bounding_boxes"] = [[0.1, 0.1, 0.2, 0.2], [0.3, 0.3, 0.4, 0.4], *[[0, 0, 1, 1]] * 8]
    contradicting, _, _ = annotation_of(twice, "v.mp4", "f", strict=False)
    frames = [box.frame for box in contradicting.boxes if box.entity == 0]
    assert 0 in [box.frame for box in found.boxes if box.entity == 0]
    assert 0 not in frames
    assert len(frames) == 8


WHOLE = [
    (["metadata", "resolution"], [1080], r"resolution is \[1080\]; expected \[height, width\]"),
    (["metadata", "resolution"], ..., "resolution: None; expected a list"),
    (["metadata", "num_frames"], 0, "num_frames is 0"),
    (["metadata", "frame_rate"], -1, "frame_rate is -1"),
    ([BOXES, 1, "id"], 0, "id is 0; expected each id once"),
    ([BOXES, 1, "id"], "0", "id is '0'"),
    ([BOXES, 1, "label"], None, "label is None"),
    ([BOXES], {}, "object_tracking: {}; expected a list"),
]


@pytest.mark.parametrize(("path", "value", "words"), WHOLE)
def test_faults_of_a_whole_video(path: list[Any], value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        annotation_of(damaged(path, value), "v.mp4", "f: v", strict=False)
    assert caught.value.reason in ("malformed annotation", "two objects with one id")
    assert "\n" not in str(caught.value)


def test_a_video_of_pixels_is_refused() -> None:
    raw = video()
    for item in raw["object_tracking"]:
        item["bounding_boxes"] = [[480, 540, 960, 810]] * len(item["frame_ids"])
    with pytest.raises(InputError, match="expected fractions from 0 to 1"):
        annotation_of(raw, "v.mp4", "f", strict=False)


def test_a_strict_build_skips_the_video(tmp_path: Path) -> None:
    raw = damaged([BOXES, 0, "frame_ids", 1], 300)
    other = video(metadata={**video()["metadata"], "video_id": "video_2"})
    built = build(tmp_path, {"video_1": raw, "video_2": other}, {}, strict=True)
    assert {reason for reason, _ in built.skipped.values()} == {"box after the video"}
    assert len(built.records("validation")) == 4


def test_files_that_are_none(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"video_1": video()})
    path = source / "perception_test/valid_annotations.zip"
    found = (({"a.json": {}, "b.json": {}}, "2 JSON files; expected one"), ({"a.json": [1]}, "expected an object"))
    for members, words in found:
        write_zip(path, members)
        with pytest.raises(InputError, match=words):
            Built("perception_test", source, tmp_path / "out")
    path.write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="not a readable zip"):
        Built("perception_test", source, tmp_path / "out")
    write(tmp_path / "source", {"video_1": video()})
    (source / "perception_test/cut_frame_mapping_valid.json").unlink()
    with pytest.raises(
        InputError, match=r"cut_frame_mapping_valid\.json: no such file; get it from https://github.com"
    ):
        Built("perception_test", source, tmp_path / "out")


@pytest.mark.slow
def test_processes_make_the_same_rows(tmp_path: Path) -> None:
    videos = {f"video_{n}": video(metadata={**video()["metadata"], "video_id": f"video_{n}"}) for n in (1, 2, 3)}
    one = build(tmp_path / "a", videos)
    source = write(tmp_path / "b/source", videos)
    build_folder(BuildOptions("perception_test", data_dir=str(source)), tmp_path / "b/out", num_proc=2)
    for path in sorted((one.out / "perception_test").glob("*.parquet")):
        assert path.read_bytes() == (tmp_path / "b/out/perception_test" / path.name).read_bytes()


LEAVES = [
    *([BOXES, 0, name, 1] for name in ("bounding_boxes", "frame_ids", "is_masked", "timestamps")),
    *([BOXES, 1, name] for name in ("id", "label", "bounding_boxes", "frame_ids", "is_masked")),
    *([ACTIONS, 0, name] for name in ("label", "parent_objects", "frame_ids", "id")),
    *(["metadata", name] for name in ("frame_rate", "num_frames", "resolution")),
    [BOXES],
    [ACTIONS],
    ["metadata"],
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 400) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@examples(80)
@given(path=st.sampled_from(LEAVES), value=VALUES, strict=st.booleans())
def test_any_damage_is_one_line_or_counted(path: list[Any], value: Any, strict: bool) -> None:
    found, error = outcome(damaged(path, value), strict)
    if error is not None:
        assert error.startswith("f: v")
        assert "\n" not in error
        return
    assert found is not None
    annotation, clock, odd = found
    assert not (strict and odd.errors)
    for box in annotation.boxes:
        assert 0 <= (box.frame or 0) < (clock.frame_count or 0)
        assert box.xyxy[0] < box.xyxy[2]
        assert box.xyxy[1] < box.xyxy[3]


def outcome(raw: dict[str, Any], strict: bool) -> tuple[Any, str | None]:
    """What the reader makes of a video, or its one line."""
    try:
        return annotation_of(raw, "v.mp4", "f: v", strict=strict), None
    except InputError as error:
        return None, str(error)


def test_records_hold_what_the_schema_allows(built: Built) -> None:
    records = list(built.records("validation").values())
    assert not list(faults(records_to_table(records)))
