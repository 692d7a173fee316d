"""STAR: class lists, the pickle of frame rates, questions, and situations on the grid."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import pickle
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.readers.plain_pickle import read_plain_pickle
from cotasks.builders.readers.situations import SPATIAL, StarClasses, StarItem, annotation, clip_frames, keyframes_of
from cotasks.builders.readers.star import read_classes, read_questions, read_video_fps
from cotasks.errors import InputError
from cotasks.records.annotation import VideoAnnotation
from cotasks.records.schema import Box, Entity, Frame, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import snapped_grid, uniform_grid
from tests.examples import examples

CLASSES = StarClasses(
    objects={"o000": "person", "o003": "closet/cabinet", "o019": "clothes", "o029": "chair"},
    relations={"r000": "on", "r002": "in_front_of", "r009": "holding", "r015": "sitting_on"},
    actions={"a004": "tidy some clothes", "a045": "sit on a chair", "a046": "stand on a chair", "a002": "take clothes"},
    verbs={"v008": "sit", "v010": "take", "v012": "tidy"},
    action_mapping={
        "a004": ("v012", "o019"),
        "a045": ("v008", "o029"),
        "a046": ("v008", "o029"),  # two actions that read the same
        "a002": ("v010", "o019"),
    },
)
FPS = 10.0


def situation(*triples: str, actions: str = "", **boxes: Any) -> dict[str, Any]:
    """`situation("o000 r009 o019", actions="a004", o019=[...])`."""
    parts = [t.split() for t in triples]
    return {
        "rel_pairs": [[s, o] for s, _, o in parts],
        "rel_labels": [r for _, r, _ in parts],
        "actions": actions.split(),
        "bbox": list(boxes.values()),
        "bbox_labels": list(boxes),
    }


def raw_item(**change: Any) -> dict[str, Any]:
    choices = ("The closet/cabinet.", "The bag.", "The clothes.", "The chair.")
    item = {
        "question_id": "Interaction_T1_7",
        "question": "Which object was tidied up by the person?",
        "video_id": "AB12C",
        "start": 1.0,
        "end": 4,
        "answer": "The clothes.",
        "question_program": [],
        "choices": [{"choice_id": i, "choice": c, "choice_program": []} for i, c in enumerate(choices)],
        "situations": {"000021": situation("o000 r009 o019", o019=[1.5, 2.5, 30.25, 40])},
    }
    item |= change
    return {key: value for key, value in item.items() if value is not KeyError}


def write(folder: Path, items: Any) -> str:
    path = folder / "STAR_val.json"
    path.write_text(json.dumps(items))
    return str(path)


@pytest.fixture
def item(tmp_path: Path) -> Any:
    def make(situations: dict[str, Any], start: float = 1.0, end: float = 4.0) -> StarItem:
        raw = raw_item(situations=situations, start=start, end=end)
        (read,), skipped = read_questions(write(tmp_path, [raw]), "validation")
        assert not skipped
        return read

    return make


# --- class lists


def test_classes(tmp_path: Path) -> None:
    files = {
        "object_classes.txt": "o000 person\no003 closet/cabinet",
        "relationship_classes.txt": "r000 on\nr009 holding\n",
        "action_classes.txt": "a004 tidy some clothes",
        "verb_classes.txt": "v012 tidy ",
        "action_mapping.txt": "a004 v012 o003",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert read_classes(str(tmp_path)) == StarClasses(
        objects={"o000": "person", "o003": "closet/cabinet"},
        relations={"r000": "on", "r009": "holding"},
        actions={"a004": "tidy some clothes"},
        verbs={"v012": "tidy"},
        action_mapping={"a004": ("v012", "o003")},
    )
    for name, text, words in (
        ("object_classes.txt", "o000 person\n\no003 cabinet", r"object_classes\.txt:2: ''"),
        ("object_classes.txt", "o000 person\no03 cabinet", r"object_classes\.txt:2: 'o03 cabinet'"),
        ("object_classes.txt", "o000 person\no000 cabinet", r"object_classes\.txt:2: o000 comes a second time"),
        ("relationship_classes.txt", "r000", r"relationship_classes\.txt:1: 'r000'"),
        ("relationship_classes.txt", "o000 on", r"relationship_classes\.txt:1: 'o000 on'"),
        ("verb_classes.txt", "", r"verb_classes\.txt:1: ''"),
        ("action_mapping.txt", "a004 v012", r"action_mapping\.txt: 'a004 v012'"),
        ("action_mapping.txt", "a004 v012 o009", r"action_mapping\.txt: 'a004 v012 o009'"),
        ("action_mapping.txt", "a009 v012 o003", r"action_mapping\.txt: 'a009 v012 o003'"),
        ("action_classes.txt", "a004 tidy\na005 untidy", r"action_mapping\.txt: no line for a005"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=words):
            read_classes(str(tmp_path))
        (tmp_path / name).write_text(files[name])
    (tmp_path / "verb_classes.txt").write_bytes(b"v012 \xff")
    with pytest.raises(InputError, match=r"verb_classes\.txt: not UTF-8"):
        read_classes(str(tmp_path))
    (tmp_path / "verb_classes.txt").unlink()
    with pytest.raises(InputError, match=r"verb_classes\.txt: no such file"):
        read_classes(str(tmp_path))


def test_real_classes(realdata: Path) -> None:
    classes = read_classes(str(realdata / "star/STAR_classes"))
    assert {name: len(codes) for name, codes in vars(classes).items()} == {
        "objects": 37,
        "relations": 24,
        "actions": 111,
        "verbs": 17,
        "action_mapping": 111,
    }
    assert (classes.objects["o000"], classes.objects["o036"]) == ("person", "television")
    assert (classes.relations["r023"], classes.actions["a110"]) == ("near", "open a refrigerator")
    assert classes.action_mapping["a110"] == ("v006", "o008")
    assert set(SPATIAL) < set(classes.relations.values())
    assert len(set(SPATIAL)) == 9


# --- frame rates

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_video_fps(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "video_fps"
    path.write_bytes(pickle.dumps({"BE43L.mp4": 29.97, "6H78U.mp4": 25, "X_-1.mp4": 120.0}, protocol))
    rates = read_video_fps(str(path))
    assert rates == {"BE43L": 29.97, "6H78U": 25.0, "X_-1": 120.0}
    assert all(isinstance(v, float) for v in rates.values())


@pytest.mark.parametrize(
    "table",
    [{"BE43L": 29.97}, {"../x.mp4": 25.0}, {"a.mp4": 0}, {"a.mp4": -1.0}, {"a.mp4": math.nan}, {"a.mp4": math.inf}],
)
def test_bad_rates(tmp_path: Path, table: dict[str, float]) -> None:
    path = tmp_path / "video_fps"
    path.write_bytes(pickle.dumps(table))
    with pytest.raises(InputError, match=f"video_fps: .*{next(iter(table))}"):
        read_video_fps(str(path))


def test_real_video_fps(realdata: Path) -> None:
    begin = time.perf_counter()
    rates = read_video_fps(str(realdata / "star/STAR_classes/video_fps"))
    assert time.perf_counter() - begin < 0.5
    assert {f"{k}.mp4": v for k, v in rates.items()} == json.loads((realdata / "star/video_fps.json").read_text())
    assert len(rates) == 9_848


plain_dicts = st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers(-(2**63), 2**64 - 1), max_size=30)


@given(plain_dicts, st.sampled_from(PROTOCOLS))
def test_any_plain_dict(table: dict[str, float | int], protocol: int) -> None:
    got = read_plain_pickle(pickle.dumps(table, protocol), "here")
    assert got == table
    assert [type(v) for v in got.values()] == [type(table[k]) for k in got]


def test_a_dict_of_several_batches_and_shared_keys() -> None:
    table = {f"{i}.mp4": i / 7 for i in range(2500)}  # pickle writes 1000 entries a batch
    for protocol in PROTOCOLS:
        assert read_plain_pickle(pickle.dumps(table, protocol), "here") == table
    # the value is fetched from the memo: no pickler writes this for numbers, but it is a plain dict
    assert read_plain_pickle(
        b"}(X\x01\x00\x00\x00aG@>\x00\x00\x00\x00\x00\x00q\x07X\x01\x00\x00\x00bh\x07u.", "here"
    ) == {
        "a": 30.0,
        "b": 30.0,
    }


class Evil:
    def __reduce__(self) -> Any:
        return (os.system, ("touch /tmp/pwned-by-video-fps",))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        Evil(),
        {"a.mp4": Evil()},
        {"a.mp4": "29.97"},
        {"a.mp4": True},
        {"a.mp4": None},
        {"a.mp4": [29.97]},
        {"a.mp4": {"b": 1.0}},
        {"a.mp4": 2**80},
        {3: 1.0},
        {b"a.mp4": 1.0},
        {("a",): 1.0},
        OrderedDict(a=1.0),
        [("a.mp4", 1.0)],
        {"a.mp4"},
        "a.mp4",
        1.0,
        None,
    ],
)
def test_anything_but_a_plain_dict_is_refused(value: Any, protocol: int) -> None:
    with pytest.raises(InputError, match=r"video_fps: .* at byte \d+; expected a pickle of a plain dict"):
        read_plain_pickle(pickle.dumps(value, protocol), "video_fps")
    assert not os.path.exists("/tmp/pwned-by-video-fps")


def test_the_opcode_is_named() -> None:
    with pytest.raises(InputError, match=r"video_fps: opcode STACK_GLOBAL at byte \d+"):
        read_plain_pickle(pickle.dumps(Evil(), 4), "video_fps")
    with pytest.raises(InputError, match=r"video_fps: opcode GLOBAL at byte \d+"):
        read_plain_pickle(pickle.dumps(Evil(), 2), "video_fps")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"}",
        b"}}.",
        b"u.",
        b"s.",
        b"h\x05.",
        b"q\x00.",
        b"(.",
        b"}(X\x01\x00\x00\x00au.",  # a key without a value
        b"}X\x01\x00\x00\x00aK\x01sX\x01\x00\x00\x00aK\x02s.",  # one key twice
        b"}.trailing",
        b"}(X\xff\xff\xff\x7fau.",
        b"\xff\xfe",
        b"}X\x01\x00\x00\x00aL" + b"9" * 10_000 + b"L\ns.",
    ],
)
def test_damaged_pickles(data: bytes) -> None:
    with pytest.raises(InputError, match="video_fps: "):
        read_plain_pickle(data, "video_fps")


@given(plain_dicts, st.sampled_from(PROTOCOLS), st.data())
def test_any_damage_is_one_line(table: dict[str, float | int], protocol: int, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(table, protocol))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    message = ""
    try:
        got = read_plain_pickle(bytes(content), "here")
    except InputError as error:
        message = str(error)
    else:
        assert all(type(k) is str and type(v) in (int, float) for k, v in got.items())
    assert "\n" not in message


# --- questions


def test_question(tmp_path: Path) -> None:
    path = write(tmp_path, [raw_item(question=" Which object? ")])
    (read,), skipped = read_questions(path, "validation")
    assert not skipped
    question = read.question
    assert (question.id, question.source) == ("star/validation/Interaction_T1_7", "star")
    assert (question.question_type, question.video_id, question.video_path) == ("Interaction", "AB12C", "AB12C.mp4")
    assert (question.question, question.answer, question.answer_index) == ("Which object?", "The clothes.", 2)
    assert question.choices == ("The closet/cabinet.", "The bag.", "The clothes.", "The chair.")
    assert (question.additional_answers, question.size) == ((), None)
    assert read.clip == Span(1.0, 4.0)
    assert isinstance(read.clip.end_seconds, float)  # `end` is an int now and then
    assert read.place == question.place == f"{path}: Interaction_T1_7"
    assert list(read.situations) == ["000021"]


def test_choices_are_put_in_order(tmp_path: Path) -> None:
    raw = raw_item()
    raw["choices"].reverse()
    (read,), _ = read_questions(write(tmp_path, [raw]), "train")
    assert read.question.choices[read.question.answer_index] == "The clothes."
    assert (read.question.choices[0], read.question.answer_index) == ("The closet/cabinet.", 2)


@pytest.mark.parametrize("kind", ["Interaction", "Sequence", "Prediction", "Feasibility"])
def test_type_is_the_beginning_of_the_id(tmp_path: Path, kind: str) -> None:
    (read,), _ = read_questions(write(tmp_path, [raw_item(question_id=f"{kind}_T2_99")]), "train")
    assert read.question.question_type == kind


def four(*texts: str) -> list[dict[str, Any]]:
    return [{"choice_id": i, "choice": text} for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"situations": KeyError, "answer": KeyError}, "no situations"),  # as all of the test file
        ({"situations": {}}, "no situations"),
        ({"situations": None}, "no situations"),
        ({"situations": [1]}, "malformed question"),
        ({"answer": KeyError}, "malformed question"),
        ({"answer": "The dog."}, "answer not among the choices"),
        ({"choices": four("The bag.", "The clothes.", "x", "The clothes.")}, "answer stands twice among the choices"),
        ({"choices": four("a", "b", "The clothes.")}, "malformed question"),
        ({"choices": four("a", "b", "The clothes.", "c", "d")}, "malformed question"),
        ({"choices": four("a", "b", "The clothes.") + four("c")}, "malformed question"),
        ({"choices": [{"choice_id": [1], "choice": "a"}]}, "malformed question"),
        ({"choices": ["The clothes."]}, "malformed question"),
        ({"choices": KeyError}, "malformed question"),
        ({"question_id": "Riddle_T1_7"}, "unknown type"),
        ({"question_id": 7}, "unknown type"),
        ({"question": ""}, "malformed question"),
        ({"video_id": None}, "malformed question"),
        ({"video_id": "../x"}, "malformed question"),
        ({"start": "1.0"}, "malformed question"),
        ({"start": -1.0}, "malformed question"),
        ({"start": 4.0}, "malformed question"),
        ({"end": 1e308}, "malformed question"),
        ({"end": KeyError}, "malformed question"),
    ],
)
def test_a_bad_question_is_skipped_alone(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = write(tmp_path, [raw_item(**change), raw_item(question_id="Sequence_T1_1"), 5])
    read, skipped = read_questions(path, "test")
    assert [r.question.id for r in read] == ["star/test/Sequence_T1_1"]
    assert [s.reason for s in skipped] == [reason, "malformed question"]
    assert skipped[0].id == f"star/test/{raw_item(**change)['question_id']}"
    assert skipped[1].id == "star/test/?"
    assert all(s.detail.startswith(path) for s in skipped)


def test_colliding_question_ids(tmp_path: Path) -> None:
    items = [
        raw_item(),
        raw_item(answer="The chair."),
        raw_item(question_id="Sequence_T1_1"),
        raw_item(question_id="Sequence_T1_2"),
        raw_item(question_id="Sequence_T1_2"),
    ]
    read, _ = read_questions(write(tmp_path, items), "train")
    ids = [r.question.id for r in read]
    assert len(set(ids)) == 5
    digests = [hashlib.sha256(f"{i['question']}\n{i['answer']}".encode()).hexdigest()[:8] for i in (items[0], items[1])]
    assert ids[:3] == [
        f"star/train/Interaction_T1_7-{digests[0]}",
        f"star/train/Interaction_T1_7-{digests[1]}",
        "star/train/Sequence_T1_1",
    ]
    assert ids[4] == f"{ids[3]}-2"


@pytest.mark.parametrize(("content", "words"), [("{}", "expected a list"), ("[{", "not JSON"), (None, "no such file")])
def test_bad_question_file(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "STAR_val.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"STAR_val.json: .*{words}"):
        read_questions(str(path), "validation")


def test_real_test_file_has_no_situations(realdata: Path) -> None:
    read, skipped = read_questions(str(realdata / "star/STAR_test.json"), "test")
    assert not read
    assert len(skipped) == len({s.id for s in skipped}) == 500
    assert {s.reason for s in skipped} == {"no situations"}
    assert skipped[0].id == "star/test/Interaction_T1_0"


# --- situations on the grid


def frames_of(got: VideoAnnotation) -> list[int]:
    return [f.index for f in got.frames]


def test_keys_are_one_based_and_unsorted(item: Any) -> None:
    got = annotation(
        item(
            {
                "000031": situation("o000 r002 o019", o019=[5.0, 6.0, 7.5, 8.25]),
                "000011": situation("o000 r009 o019", actions="a004", o019=[1, 2, 3, 4], o000=[0, 0, 9, 9]),
                "000041": situation("o000 r002 o019", "o000 r000 o003", o000=None),
            }
        ),
        CLASSES,
        FPS,
        size=None,
        num_frames=4,
    )
    # clip 1.0 to 4.0 s at 10 fps: frames 10 to 40; uniform 10 20 30 40
    assert frames_of(got) == [10, 20, 30, 40]
    assert got.frames[0] == Frame(10, 1.0)
    assert (got.keyframes, got.keyframes_left_out) == ((10, 30, 40), 0)
    assert (got.fps, got.frame_count, got.width, got.height) == (10.0, None, None, None)
    assert got.clip == Span(1.0, 4.0)
    assert got.scene.entities == (Entity(0, "person"), Entity(3, "closet/cabinet"), Entity(19, "clothes"))
    assert got.scene.entity_tracking == (
        Track(0, "person", (Box(10, (0.0, 0.0, 9.0, 9.0), False),)),  # null at 40: no box
        Track(19, "clothes", (Box(10, (1.0, 2.0, 3.0, 4.0), False), Box(30, (5.0, 6.0, 7.5, 8.25), False))),
    )
    assert got.scene.spatial_relations == (
        SpatialRelation(0, "in_front_of", 19, (30, 40)),
        SpatialRelation(0, "on", 3, (40,)),
    )
    assert got.scene.temporal_relations == (
        TemporalRelation(0, "holding", 19, 10, 11),
        TemporalRelation(0, "tidy", 19, 10, 11),
    )


def test_runs_end_where_a_keyframe_does_not_show_them(item: Any) -> None:
    holding = "o000 r009 o019"
    situations = {
        "000012": situation(holding, actions="a004 a045"),
        "000015": situation(holding, actions="a046"),
        "000019": situation(actions="a045"),
        "000022": situation(holding, holding, actions="a004"),
        "000033": situation(holding),
    }
    expected = (
        TemporalRelation(0, "tidy", 19, 11, 12),
        TemporalRelation(0, "holding", 19, 11, 15),
        TemporalRelation(0, "sit", 29, 11, 19),  # a045 and a046 are both (sit, chair)
        TemporalRelation(0, "tidy", 19, 21, 22),
        TemporalRelation(0, "holding", 19, 21, 33),
    )
    for grid in ("snapped", "uniform"):
        for num_frames in (64, 4, 2, 1):  # the runs do not depend on what the grid has place for
            got = annotation(item(situations), CLASSES, FPS, size=None, num_frames=num_frames, grid=grid)
            assert got.scene.temporal_relations == expected
            assert got.scene.entities == (Entity(0, "person"), Entity(19, "clothes"), Entity(29, "chair"))


def test_more_keyframes_than_places(item: Any) -> None:
    situations = {f"{k:06}": situation("o000 r000 o029", o029=[k, 0, k + 1, 1]) for k in range(40, 10, -1)}
    got = annotation(item(situations), CLASSES, FPS, size=None, num_frames=4)
    assert len(got.frames) == 4
    assert got.keyframes == tuple(frames_of(got))
    assert got.keyframes_left_out == 26
    (track,) = got.scene.entity_tracking
    assert [(b.frame, b.xyxy[0]) for b in track.boxes] == [(f, f + 1) for f in got.keyframes]
    assert got.scene.spatial_relations == (SpatialRelation(0, "on", 29, got.keyframes),)


def test_uniform_grid_has_only_the_keyframes_that_lie_on_it(item: Any) -> None:
    situations = {
        "000021": situation("o000 r000 o029", o029=[0, 0, 5, 5]),
        "000023": situation("o000 r000 o019", o019=[0, 0, 5, 5]),
    }
    got = annotation(item(situations), CLASSES, FPS, size=None, num_frames=4, grid="uniform")
    assert frames_of(got) == [10, 20, 30, 40]
    assert (got.keyframes, got.keyframes_left_out) == ((20,), 1)
    assert [t.tid for t in got.scene.entity_tracking] == [29]
    assert [r.frames for r in got.scene.spatial_relations] == [(20,)]
    assert Entity(19, "clothes") in got.scene.entities
    snapped = annotation(item(situations), CLASSES, FPS, size=None, num_frames=4)
    assert frames_of(snapped) == [10, 20, 22, 40]
    assert (snapped.keyframes, snapped.keyframes_left_out) == ((20, 22), 0)


def test_keyframes_outside_the_clip_are_left_out_and_counted(item: Any) -> None:
    # a Prediction's situations go on to the action that is asked for; the clip must not tell of it
    situations = {
        "000010": situation("o000 r009 o003"),  # frame 9, 0.9 s: key / fps is the start, the frame is before it
        "000041": situation("o000 r000 o029", o029=[0, 0, 5, 5]),
        "000042": situation("o000 r009 o019", actions="a002", o019=[0, 0, 5, 5]),
        "000060": {"not": "looked at"},
    }
    read = item(situations)
    got = annotation(read, CLASSES, FPS, size=None)
    assert (got.keyframes, got.keyframes_left_out, got.keyframes_outside_clip) == ((40,), 0, 3)
    assert got.scene.entities == (Entity(0, "person"), Entity(29, "chair"))
    assert got.scene.temporal_relations == ()
    assert (frames_of(got)[0], frames_of(got)[-1]) == (10, 40)
    assert keyframes_of(read, FPS) == ({40: "000041"}, {9: "000010", 41: "000042", 59: "000060"})


@pytest.mark.parametrize(
    ("situations", "reason"),
    [
        ({"000050": situation()}, "no situation in the clip"),
        ({"000000": situation()}, "bad situation key"),
        ({"21": situation(), "000021": situation()}, "bad situation key"),
        ({"frame21": situation()}, "bad situation key"),
        ({"-21": situation()}, "bad situation key"),
        ({"2.1": situation()}, "bad situation key"),
        ({"000021": None}, "malformed situation"),
        ({"000021": {"actions": []}}, "malformed situation"),
        ({"000021": situation("o000 r099 o019")}, "unknown code"),
        ({"000021": situation("o000 r009 o099")}, "unknown code"),
        ({"000021": situation(actions="a099")}, "unknown code"),
        ({"000021": situation(o099=[0, 0, 1, 1])}, "unknown code"),
        ({"000021": {**situation(), "rel_pairs": [["o000", "o019"]]}}, "parallel lists of unequal length"),
        ({"000021": {**situation(), "rel_pairs": ["o000"], "rel_labels": ["r009"]}}, "malformed situation"),
        ({"000021": {**situation(), "bbox_labels": ["o019"]}}, "parallel lists of unequal length"),
        (
            {"000021": {**situation(), "bbox": [[0, 0, 1, 1], None], "bbox_labels": ["o019", "o019"]}},
            "two boxes of one label",
        ),
        ({"000021": situation(o019=[5, 5, 5, 9])}, "inverted box"),
        ({"000021": situation(o019=[5, 9, 6, 8])}, "inverted box"),
        ({"000021": situation(o019=[-1.5, 0, 6, 8])}, "box outside the frame"),
        ({"000021": situation(o019=[0, 0, 6])}, "malformed situation"),
        ({"000021": situation(o019=[0, 0, 6, "8"])}, "malformed situation"),
        ({"000021": situation(o019="box")}, "malformed situation"),
    ],
)
def test_bad_situations(item: Any, situations: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=r"STAR_val\.json: Interaction_T1_7: ") as caught:
        annotation(item(situations), CLASSES, FPS, size=None)
    assert caught.value.reason == reason


@pytest.mark.parametrize("fps", [0, -1.0, math.nan, math.inf])
def test_bad_fps(item: Any, fps: float) -> None:
    with pytest.raises(InputError, match="fps is"):
        annotation(item({"000021": situation()}), CLASSES, fps, size=None)


def test_size_of_the_file(item: Any) -> None:
    read = item({"000021": situation(o019=[-0.9, 0, 320.9, 240])})
    got = annotation(read, CLASSES, FPS, size=(35, 320, 240), num_frames=4)
    assert frames_of(got) == [10, 20, 26, 34]  # frames the file has, the keyframe in place of 18
    assert (got.frame_count, got.width, got.height) == (35, 320, 240)
    assert got.scene.entity_tracking[0].boxes[0].xyxy == (-0.9, 0.0, 320.9, 240.0)  # up to a pixel out, unmoved
    for size, reason in (
        ((35, 319, 240), "box outside the frame"),
        ((35, 320, 238), "box outside the frame"),
        ((20, 320, 240), "situation after the video"),
        ((10, 320, 240), "situation after the video"),
    ):
        with pytest.raises(InputError) as caught:
            annotation(read, CLASSES, FPS, size=size)
        assert caught.value.reason == reason
    with pytest.raises(InputError) as caught:
        annotation(item({"000050": situation()}), CLASSES, FPS, size=(5, 320, 240))
    assert caught.value.reason == "empty clip"


@given(st.floats(0, 60), st.floats(0.05, 30), st.sampled_from([6.0, 15.076, 17.653, 29.97002997002997, 30.0, 120.0]))
def test_clip_frames_are_those_within(start: float, length: float, fps: float) -> None:
    start, end = round(start, 2), round(start + length, 2)
    first, last = clip_frames(Span(start, end), fps)
    within = [f for f in range(int((end + 1) * fps)) if start <= f / fps <= end]
    assert list(range(first, last + 1)) == within


codes = st.sampled_from(["o003", "o019", "o029"])


@st.composite
def situations(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(st.integers(1, 60), min_size=1, max_size=12, unique=True))
    result = {}
    for key in keys:
        triples = draw(
            st.lists(
                st.builds("o000 {} {}".format, st.sampled_from(["r000", "r002", "r009", "r015"]), codes), max_size=4
            )
        )
        labels = draw(st.lists(st.sampled_from(["o000", "o003", "o019"]), unique=True))
        boxes = {c: draw(st.sampled_from([None, [key, 1.5, key + 2.25, 3]])) for c in labels}
        actions = " ".join(draw(st.lists(st.sampled_from(sorted(CLASSES.actions)), unique=True)))
        result[f"{key:06}"] = situation(*triples, actions=actions, **boxes)
    return result


@examples(80)
@given(situations(), st.integers(1, 40), st.sampled_from(["snapped", "uniform"]))
def test_any_situations_against_a_plain_reading(
    tmp_path_factory: Any, raw: dict[str, Any], num_frames: int, grid: Any
) -> None:
    path = write(tmp_path_factory.mktemp("star"), [raw_item(situations=raw)])
    read = read_questions(path, "train")[0][0]
    inside = sorted(int(k) - 1 for k in raw if 10 <= int(k) - 1 <= 40)
    if not inside:
        with pytest.raises(InputError, match="no situation"):
            annotation(read, CLASSES, FPS, size=None, num_frames=num_frames, grid=grid)
        return
    got = annotation(read, CLASSES, FPS, size=None, num_frames=num_frames, grid=grid)
    uniform = uniform_grid(10, 40, num_frames)
    indices = frames_of(got)
    assert indices == (snapped_grid(uniform, inside) if grid == "snapped" else uniform)
    on_grid = [f for f in inside if f in indices]
    assert list(got.keyframes or ()) == on_grid
    assert got.keyframes_left_out + got.keyframes_outside_clip == len(raw) - len(on_grid)
    assert got.keyframes_outside_clip == sum(not 10 <= int(key) - 1 <= 40 for key in raw)

    shown = {}  # frame -> contact and action triples
    boxes, holds = set(), set()
    for frame in inside:
        at = raw[f"{frame + 1:06}"]
        triples = {
            (0, CLASSES.relations[r], int(o[1:])) for (_, o), r in zip(at["rel_pairs"], at["rel_labels"], strict=True)
        }
        for action in at["actions"]:
            verb, thing = CLASSES.action_mapping[action]
            triples.add((0, CLASSES.verbs[verb], int(thing[1:])))
        shown[frame] = {t for t in triples if t[1] not in SPATIAL}
        if frame in on_grid:
            holds |= {(*t, frame) for t in triples if t[1] in SPATIAL}
            boxes |= {(int(c[1:]), frame, *b) for c, b in zip(at["bbox_labels"], at["bbox"], strict=True) if b}
    scene = got.scene
    assert {(t.tid, b.frame, *b.xyxy) for t in scene.entity_tracking for b in t.boxes} == boxes
    assert {(r.subject_tid, r.predicate, r.object_tid, f) for r in scene.spatial_relations for f in r.frames} == holds

    # every keyframe that shows a triple is in exactly one run of it, and no other keyframe is
    runs = scene.temporal_relations
    for frame in inside:
        covered = [(r.subject_tid, r.predicate, r.object_tid) for r in runs if r.begin_frame <= frame < r.end_frame]
        assert sorted(covered) == sorted(shown[frame])
    for r in runs:
        assert r.begin_frame in inside
        assert r.end_frame - 1 in inside
        before = [f for f in inside if f < r.begin_frame][-1:]
        after = [f for f in inside if f >= r.end_frame][:1]
        assert all((r.subject_tid, r.predicate, r.object_tid) not in shown[f] for f in before + after)
    keys = [(r.begin_frame, r.end_frame, r.subject_tid, r.predicate, r.object_tid) for r in runs]
    assert keys == sorted(set(keys))


# --- the real item


@pytest.fixture(scope="module")
def real(realdata: Path) -> tuple[StarItem, StarClasses, float, dict[str, Any]]:
    (item,), skipped = read_questions(str(realdata / "star/STAR_train.json"), "train")
    assert not skipped
    classes = read_classes(str(realdata / "star/STAR_classes"))
    fps = read_video_fps(str(realdata / "star/STAR_classes/video_fps"))[item.question.video_id]
    return item, classes, fps, json.loads((realdata / "star/STAR_train.json").read_text())[0]


def at(got: VideoAnnotation, key: int) -> tuple[float, dict[int, tuple[float, ...]], set[str], set[str]]:
    """Seconds, boxes by tid, spatial triples, and other triples, at the frame of a situation key."""
    frame = key - 1
    (seconds,) = (f.seconds for f in got.frames if f.index == frame)
    boxes = {t.tid: b.xyxy for t in got.scene.entity_tracking for b in t.boxes if b.frame == frame}
    spatial = {
        f"{r.subject_tid} {r.predicate} {r.object_tid}" for r in got.scene.spatial_relations if frame in r.frames
    }
    temporal = {
        f"{r.subject_tid} {r.predicate} {r.object_tid}"
        for r in got.scene.temporal_relations
        if r.begin_frame <= frame < r.end_frame
    }
    return seconds, boxes, spatial, temporal


def test_real_item_spelled_out(real: Any) -> None:
    item, classes, fps, _ = real
    assert item.question.id == "star/train/Interaction_T1_13"
    assert item.question.choices == ("The closet/cabinet.", "The blanket.", "The clothes.", "The table.")
    assert (item.question.answer, item.question.answer_index) == ("The clothes.", 2)
    assert (item.clip, fps) == (Span(11.1, 19.6), 17.653)
    got = annotation(item, classes, fps, size=None)
    assert len(got.frames) == 64
    assert len(got.keyframes or ()) == 39
    assert got.keyframes_left_out == 0
    # 11.1 s is frame 195.9, whose place the first keyframe takes; 19.6 s is frame 345.999
    assert (frames_of(got)[0], frames_of(got)[-1]) == (197, 345)
    assert got.scene.entities == (
        Entity(0, "person"),
        Entity(4, "blanket"),
        Entity(19, "clothes"),
        Entity(27, "towel"),
    )
    assert at(got, 206) == (
        205 / 17.653,
        {
            27: (167.51, 317.98, 226.33, 331.49),
            19: (140.16, 268.79, 211.72, 323.48),
            4: (162.93, 298.17, 228.31, 331.25),
        },
        {"0 in_front_of 27", "0 in_front_of 19", "0 in_front_of 4", "0 on_the_side_of 4"},
        {"0 tidy 19", "0 take 19", "0 put 4"},
    )
    assert at(got, 221) == (
        220 / 17.653,
        {
            27: (181.57, 269.62, 251.93, 321.29),
            19: (186.31, 269.18, 251.31, 320.18),
            4: (187.45, 267.52, 249.6, 319.01),
            0: (275.04, 1.36, 319.37, 442.24),
        },
        {"0 in_front_of 27", "0 in_front_of 19", "0 in_front_of 4"},
        {"0 tidy 19", "0 take 19", "0 put 4"},
    )
    assert at(got, 218) == (
        217 / 17.653,
        {19: (187.56, 265.33, 251.77, 315.86), 4: (201.05, 289.58, 269.34, 329.44)},
        {"0 in_front_of 19", "0 in_front_of 4", "0 on_the_side_of 4"},
        {"0 tidy 19", "0 take 19", "0 put 4"},
    )
    assert at(got, 243) == (
        242 / 17.653,
        {
            27: (179.53, 208.3, 231.03, 276.8),
            19: (177.98, 207.83, 233.81, 277.83),
            4: (195.73, 291.21, 241.02, 332.39),
            0: (189.62, 72.25, 314.02, 463.65),
        },
        {"0 in_front_of 27", "0 in_front_of 19", "0 in_front_of 4", "0 on_the_side_of 4"},
        {"0 holding 27", "0 holding 19", "0 tidy 19", "0 take 19", "0 put 4"},
    )
    # the first keyframe that shows taking is 198, the last before one that does not is 275
    assert TemporalRelation(0, "take", 19, 197, 275) in got.scene.temporal_relations
    assert TemporalRelation(0, "holding", 27, 241, 243) in got.scene.temporal_relations


def test_real_item_every_keyframe(real: Any) -> None:
    item, classes, fps, raw = real
    got = annotation(item, classes, fps, size=None)
    assert list(raw["situations"]) != sorted(raw["situations"])  # the keys are not in order
    for key, source in raw["situations"].items():
        seconds, boxes, spatial, temporal = at(got, int(key))
        assert seconds == pytest.approx((int(key) - 1) / 17.653, abs=1e-12)
        drawn = {int(c[1:]): tuple(b) for c, b in zip(source["bbox_labels"], source["bbox"], strict=True) if b}
        assert boxes == drawn
        triples = {
            (int(s[1:]), classes.relations[r], int(o[1:]))
            for (s, o), r in zip(source["rel_pairs"], source["rel_labels"], strict=True)
        }
        actions = {classes.action_mapping[a] for a in source["actions"]}
        triples |= {(0, classes.verbs[verb], int(thing[1:])) for verb, thing in actions}
        assert spatial == {f"{s} {p} {o}" for s, p, o in triples if p in SPATIAL}
        assert temporal == {f"{s} {p} {o}" for s, p, o in triples if p not in SPATIAL}


def test_real_item_is_left_as_it_was(real: Any) -> None:
    item, classes, fps, raw = real
    before = copy.deepcopy(raw["situations"])
    annotation(item, classes, fps, size=None, grid="uniform")
    assert item.situations == before
