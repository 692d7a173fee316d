"""VidOR: the index over folders and zips, and the annotation of a video on its grid."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.readers import vidor
from cotasks.builders.readers.vidor import annotation, find_annotations, read_video
from cotasks.errors import InputError
from cotasks.records.annotation import VideoAnnotation
from cotasks.records.schema import Box, Entity, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import uniform_grid
from tests.examples import examples


def box(tid: int, xmin: int, ymin: int, xmax: int, ymax: int, generated: int = 1) -> dict[str, Any]:
    corners = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return {"tid": tid, "bbox": corners, "generated": generated, "tracker": "none"}


def relation(subject: int, predicate: str, target: int, begin: int, end: int) -> dict[str, Any]:
    tids = {"subject_tid": subject, "object_tid": target}
    return {**tids, "predicate": predicate, "begin_fid": begin, "end_fid": end}


def video(frame_count: int = 10, **change: Any) -> dict[str, Any]:
    """A dog (tid 5) and an adult (tid 2); the dog moves one pixel a frame, the adult stands still."""
    return {
        "version": "VERSION 1.0",
        "video_id": "77",
        "video_hash": "",
        "video_path": "0001/77.mp4",
        "frame_count": frame_count,
        "fps": 25.0,
        "width": 320,
        "height": 240,
        "subject/objects": [{"tid": 5, "category": "dog"}, {"tid": 2, "category": "adult"}],
        "trajectories": [
            [box(5, f % 300, 0, f % 300 + 9, 19, f % 2), box(2, 300, 200, 319, 239)] for f in range(frame_count)
        ],
        "relation_instances": [relation(5, "next_to", 2, 0, 4), relation(2, "watch", 5, 3, frame_count)],
        **change,
    }


def tree(folder: Path, *video_ids: str, part: str | None = "validation", raw: dict[str, Any] | None = None) -> Path:
    for video_id in video_ids:
        path = folder / (part or "") / "0001" / f"{video_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps({**(raw or video()), "video_id": video_id}))
    return folder


def pack(path: Path, members: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, (bytes, str)) else orjson.dumps(content))
    return path


# --- names


def test_names_are_the_data_sets(realdata: Path) -> None:
    names = json.loads((realdata / "vidor/vidor_classes.json").read_text())
    assert list(vidor.OBJECTS) == names["objects"]
    assert list(vidor.ACTIONS) == names["action_predicates"]
    assert list(vidor.SPATIAL) == names["spatial_predicates"]
    assert (len(vidor.OBJECTS), len(vidor.ACTIONS), len(vidor.SPATIAL)) == (80, 42, 8)


# --- index


def test_layouts(tmp_path: Path) -> None:
    tree(tmp_path / "both", "77", part="training")
    tree(tmp_path / "both", "88", part="validation")
    pack(tmp_path / "both/more-annotation.zip", {"training/0002/99.json": video(video_id="99")})
    (tmp_path / "both/classes.json").write_text("{}")
    (tmp_path / "both/training/0001/.hidden.json").write_text("{}")
    (tmp_path / "both/training/0001/notes.txt").write_text("")
    (tmp_path / "both/training/extra").mkdir()

    index = find_annotations([str(tmp_path / "both")])
    assert sorted(index.locations) == ["77", "88", "99"]
    assert len(index) == 3
    assert "99" in index
    assert "11" not in index
    for video_id in index.locations:
        assert read_video(index, video_id)["video_id"] == video_id
    assert index.place("77") == str(tmp_path / "both/training/0001/77.json")
    assert index.place("99") == str(tmp_path / "both/more-annotation.zip") + "!training/0002/99.json"

    assert sorted(find_annotations([str(tmp_path / "both/training")]).locations) == ["77"]
    one = str(tmp_path / "both/more-annotation.zip")
    assert sorted(find_annotations([one, str(tmp_path / "both/validation")]).locations) == ["88", "99"]


def test_zip_members_that_are_no_annotation(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "a.zip",
        {
            "0003/77.json": video(),
            "deep/er/training/0003/88.json": video(),
            "__MACOSX/training/0003/._88.json": b"junk",
            "training/readme.txt": b"hello",
            "training/12345/99.json": b"{}",
            "classes.json": b"{}",
        },
    )
    assert sorted(find_annotations([str(path)]).locations) == ["77", "88"]


@pytest.mark.parametrize(
    "name", ["../0001/77.json", "a/../../0001/77.json", "/0001/77.json", "..\\0001\\77.json", "C:/0001/77.json", "../x"]
)
def test_zip_member_that_leaves_the_archive(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "evil.zip", {"validation/0001/11.json": video(), name: video()})
    with pytest.raises(InputError, match=r"evil\.zip: member .*expected a name that stays inside"):
        find_annotations([str(path)])


def test_damaged_zips(tmp_path: Path) -> None:
    whole = pack(tmp_path / "whole.zip", {"validation/0001/77.json": video(200)}).read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    empty = tmp_path / "empty.zip"
    empty.write_bytes(b"")
    (tmp_path / "text.json").write_text("{}")
    for path in (cut, empty, tmp_path / "text.json"):
        with pytest.raises(InputError, match=f"{path}: not a readable zip"):
            find_annotations([str(path)])

    # a directory that is whole over data that is not
    middle = bytearray(whole)
    middle[60:90] = bytes(30)
    (tmp_path / "rotten.zip").write_bytes(middle)
    index = find_annotations([str(tmp_path / "rotten.zip")])
    with pytest.raises(InputError, match=r"rotten\.zip!validation/0001/77\.json: cannot be read") as caught:
        read_video(index, "77")
    assert caught.value.reason == "damaged annotation file"


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pack(tmp_path / "other.zip", {"readme.txt": b""})
    with pytest.raises(InputError, match="no such file or folder"):
        find_annotations([str(tmp_path / "none")])
    for name in ("empty", "other.zip"):
        with pytest.raises(InputError, match=f"{name}: no VidOR annotation; expected <group>/<id>.json"):
            find_annotations([str(tree(tmp_path / "good", "77")), str(tmp_path / name)])


def test_same_video_twice(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", "77", "88")
    index = find_annotations([str(one), str(one), str(one / "validation")])
    assert len(index.locations["77"]) == 1
    copied = shutil.copytree(one, tmp_path / "copy")
    packed = pack(tmp_path / "same.zip", {"validation/0001/77.json": (one / "validation/0001/77.json").read_bytes()})
    index = find_annotations([str(one), str(copied), str(packed)])
    assert read_video(index, "77") == {**video(), "video_id": "77"}

    other = tree(tmp_path / "other", "77", raw=video(11))
    index = find_annotations([str(one), str(other)])
    with pytest.raises(InputError) as caught:
        read_video(index, "77")
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)
    assert read_video(index, "88")["frame_count"] == 10


def test_checksum_is_of_the_bytes_wherever_they_lie(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", "77")
    packed = pack(tmp_path / "same.zip", {"validation/0001/77.json": (one / "validation/0001/77.json").read_bytes()})
    other = tree(tmp_path / "other", "77", raw=video(11))
    sums = [find_annotations([str(path)]).checksum("77") for path in (one, packed, other)]
    assert sums[0] == sums[1] != sums[2]


def test_unreadable_json(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "a.zip",
        {"0001/1.json": b'{"video_id": "1", ', "0001/2.json": b"[]", "0001/3.json": video(video_id="4")},
    )
    index = find_annotations([str(path)])
    for video_id, words in (("1", "not JSON"), ("2", "expected an object"), ("3", "video_id is '4'; expected '3'")):
        with pytest.raises(InputError) as caught:
            read_video(index, video_id)
        assert str(caught.value).startswith(f"{path}!0001/{video_id}.json: ")
        assert words in str(caught.value)
    with pytest.raises(InputError, match="'9' has no VidOR annotation"):
        read_video(index, "9")


def test_a_zip_that_changed_is_opened_anew(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"0001/77.json": video()})
    assert read_video(find_annotations([str(path)]), "77")["frame_count"] == 10
    pack(path, {"0001/77.json": video(12)})
    os.utime(path, ns=(1, 1))
    assert read_video(find_annotations([str(path)]), "77")["frame_count"] == 12


def test_forked_processes_read_one_zip(tmp_path: Path) -> None:
    members = {f"0001/{i}.json": video(50, video_id=str(i)) for i in range(40)}
    path = pack(tmp_path / "a.zip", members)
    code = f"""
import multiprocessing
from cotasks.builders.readers.vidor import find_annotations, read_video
index = find_annotations([{str(path)!r}])
def work(i):
    return read_video(index, str(i % 40))["video_id"] == str(i % 40)
if __name__ == "__main__":
    read_video(index, "0")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.map(work, range(240), chunksize=1))
"""
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root}, timeout=120)


def test_ten_thousand_files_are_listed_without_being_read(tmp_path: Path) -> None:
    for group in range(20):
        folder = tmp_path / "training" / f"{group:04}"
        folder.mkdir(parents=True)
        for number in range(500):
            os.symlink("/does/not/exist", folder / f"{group * 500 + number}.json")  # reading one would fail
    assert len(find_annotations([str(tmp_path)])) == 10_000


# --- annotation


def test_a_video(tmp_path: Path) -> None:
    got = annotation(video(), "here", num_frames=4)
    assert [f.index for f in got.frames] == [0, 3, 6, 9]
    assert [f.seconds for f in got.frames] == [0.0, 3 / 25, 6 / 25, 9 / 25]
    assert (got.fps, got.frame_count, got.width, got.height) == (25.0, 10, 320, 240)
    assert got.clip == Span(0.0, 0.4)
    assert (got.keyframes, got.keyframes_left_out) == (None, 0)
    assert got.scene.entities == (Entity(2, "adult"), Entity(5, "dog"))
    assert got.scene.entity_tracking == (
        Track(2, "adult", tuple(Box(f, (300.0, 200.0, 320.0, 240.0), True) for f in (0, 3, 6, 9))),
        Track(5, "dog", tuple(Box(f, (float(f), 0.0, f + 10.0, 20.0), f % 2 == 1) for f in (0, 3, 6, 9))),
    )
    assert got.scene.spatial_relations == (SpatialRelation(5, "next_to", 2, (0, 3)),)  # end 4 is exclusive
    assert got.scene.temporal_relations == (TemporalRelation(2, "watch", 5, 3, 10),)


def test_all_frames_of_a_short_video() -> None:
    assert [f.index for f in annotation(video(), "here").frames] == list(range(10))
    assert len(annotation(video(500), "here").frames) == 64
    assert [f.index for f in annotation(video(1, relation_instances=[]), "here", 64).frames] == [0]


def test_half_open_relations_at_the_grid() -> None:
    # grid 0 3 6 9
    instances = [
        relation(5, "above", 2, 1, 3),  # between two frames of the grid: left out
        relation(5, "behind", 2, 3, 4),
        relation(5, "behind", 2, 9, 10),
        relation(5, "behind", 2, 8, 10),  # overlaps the one before: one triple, frames united
        relation(2, "inside", 5, 6, 9),
        relation(2, "away", 5, 0, 10),
    ]
    spatial = annotation(video(relation_instances=instances), "here", 4).scene.spatial_relations
    assert spatial == (
        SpatialRelation(2, "away", 5, (0, 3, 6, 9)),
        SpatialRelation(2, "inside", 5, (6,)),
        SpatialRelation(5, "behind", 2, (3, 9)),
    )


def test_actions_are_kept_whole_sorted_and_once() -> None:
    instances = [
        relation(5, "chase", 2, 4, 5),
        relation(5, "bite", 2, 1, 2),  # at no frame of the grid, kept all the same
        relation(2, "watch", 5, 1, 9),
        relation(5, "chase", 2, 4, 5),
        relation(5, "bite", 2, 1, 3),
        relation(2, "play(instrument)", 5, 0, 10),
    ]
    temporal = annotation(video(relation_instances=instances), "here", 2).scene.temporal_relations
    assert temporal == (
        TemporalRelation(2, "play(instrument)", 5, 0, 10),
        TemporalRelation(5, "bite", 2, 1, 2),
        TemporalRelation(5, "bite", 2, 1, 3),
        TemporalRelation(2, "watch", 5, 1, 9),
        TemporalRelation(5, "chase", 2, 4, 5),
    )


def test_reported_quirks_are_no_faults() -> None:
    raw = video(
        12, **{"subject/objects": [{"tid": i, "category": c} for i, c in ((9, "dog"), (2, "adult"), (4, "toy"))]}
    )
    raw["trajectories"] = [[box(9, f, 0, f, 0)] for f in range(8)]  # shorter than frame_count; one-pixel boxes
    raw["trajectories"][3] = []
    raw["relation_instances"] = [relation(2, "hold", 4, 0, 12), relation(9, "next_to", 4, 2, 12)]
    raw["fps"] = 30
    got = annotation(raw, "here")
    assert [e.tid for e in got.scene.entities] == [2, 4, 9]
    (track,) = got.scene.entity_tracking
    assert [b.frame for b in track.boxes] == [0, 1, 2, 4, 5, 6, 7]
    assert track.boxes[1].xyxy == (1.0, 0.0, 2.0, 1.0)
    assert got.scene.spatial_relations[0].frames == tuple(range(2, 12))  # frames without boxes, too
    assert got.scene.temporal_relations == (TemporalRelation(2, "hold", 4, 0, 12),)
    assert got.fps == 30.0
    assert isinstance(got.fps, float)


def change(path: list[Any], value: Any) -> dict[str, Any]:
    """`video()` with one value replaced; None as the last step appends."""
    raw = copy.deepcopy(video())
    target = raw
    for step in path[:-1]:
        target = target[step]
    if path[-1] is None:
        target.append(value)  # type: ignore[attr-defined]
    elif value is KeyError:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return raw


FAULTS = [
    (["frame_count"], 0, "frame_count not positive", "frame_count is 0"),
    (["frame_count"], "10", "frame_count not positive", "frame_count is '10'"),
    (["frame_count"], KeyError, "frame_count not positive", "frame_count is None"),
    (["fps"], 0, "fps not positive", "fps is 0"),
    (["fps"], -25.0, "fps not positive", "fps is -25.0"),
    (["fps"], True, "fps not positive", "fps is True"),
    (["width"], 0, "width not positive", "width is 0"),
    (["height"], 240.5, "height not positive", "height is 240.5"),
    (["frame_count"], 9, "more annotated frames than frame_count", "10 frames; expected at most frame_count = 9"),
    (["subject/objects"], KeyError, "malformed annotation", "subject/objects: None"),
    (["subject/objects", 0], 5, "malformed annotation", "subject/objects: 5"),
    (["subject/objects", 0, "tid"], "5", "malformed annotation", "'tid': '5'"),
    (["subject/objects", 0, "tid"], 2, "two objects with one tid", "tid 2"),
    (["subject/objects", 0, "category"], "unicorn", "unknown category", "'unicorn'"),
    (["subject/objects", 0, "category"], None, "unknown category", "None"),
    (["subject/objects", 0], {"tid": 8, "category": "dog"}, "tid without an object", "tid 5 is not among"),
    (["trajectories"], {}, "malformed annotation", "trajectories: {}"),
    (["trajectories", 3], None, "malformed annotation", "frame 3: None"),
    (["trajectories", 3, 0], 7, "malformed annotation", "frame 3: 7"),
    (["trajectories", 3, 0, "tid"], 6, "tid without an object", "frame 3: tid 6 is not among"),
    (["trajectories", 3, 0, "tid"], [5], "malformed annotation", "frame 3"),
    (["trajectories", 3, 0, "tid"], 5.0, "malformed annotation", "frame 3"),
    (["trajectories", 3, 0, "bbox"], None, "malformed annotation", "frame 3"),
    (["trajectories", 3, 0, "bbox", "xmax"], KeyError, "malformed annotation", "frame 3"),
    (["trajectories", 3, 0, "bbox", "xmax"], 20.5, "malformed annotation", "whole pixels"),
    (["trajectories", 3, 0, "generated"], 2, "malformed annotation", "generated 0 or 1"),
    (["trajectories", 3, 0, "generated"], KeyError, "malformed annotation", "generated 0 or 1"),
    (["trajectories", 3, 0, "bbox", "xmax"], 2, "inverted box", "frame 3: tid 5: box [3, 0, 2, 19]"),
    (["trajectories", 3, 0, "bbox", "ymin"], 20, "inverted box", "frame 3: tid 5: box [3, 20, 12, 19]"),
    (
        ["trajectories", 3, 0, "bbox", "xmax"],
        320,
        "box outside the frame",
        "box [3, 0, 320, 19]; expected x within 0 to 319",
    ),
    (["trajectories", 3, 0, "bbox", "ymax"], 240, "box outside the frame", "y within 0 to 239"),
    (["trajectories", 3, 0, "bbox", "xmin"], -1, "box outside the frame", "box [-1, 0, 12, 19]"),
    (["trajectories", 3, None], box(5, 0, 0, 1, 1), "two boxes of one tid in a frame", "frame 3: tid 5"),
    (["relation_instances"], KeyError, "malformed annotation", "relation_instances: None"),
    (["relation_instances", 1], [], "malformed annotation", "relation 1: []"),
    (["relation_instances", 1, "begin_fid"], None, "malformed annotation", "relation 1"),
    (["relation_instances", 1, "subject_tid"], 3, "tid without an object", "relation 1: tid 3"),
    (["relation_instances", 1, "object_tid"], 3, "tid without an object", "relation 1: tid 3"),
    (["relation_instances", 1, "predicate"], "adore", "unknown predicate", "'adore'"),
    (["relation_instances", 1, "predicate"], ["watch"], "unknown predicate", "['watch']"),
    (["relation_instances", 1, "end_fid"], 3, "relation ends before it begins", "begin_fid is 3, end_fid 3"),
    (["relation_instances", 1, "end_fid"], 2, "relation ends before it begins", "begin_fid is 3, end_fid 2"),
    (["relation_instances", 1, "end_fid"], 11, "relation ends after the video", "end_fid is 11"),
    (["relation_instances", 1, "begin_fid"], -1, "relation begins before the video", "begin_fid is -1"),
]


@pytest.mark.parametrize(("path", "value", "reason", "words"), FAULTS)
def test_faults(path: list[Any], value: Any, reason: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        annotation(change(path, value), "a.zip!0001/77.json", num_frames=64)
    assert caught.value.reason == reason
    assert words in str(caught.value)
    assert str(caught.value).startswith("a.zip!0001/77.json: ")
    assert not any(character.isdigit() for character in reason)


def test_boxes_off_the_grid_do_no_harm() -> None:
    raw = change(["trajectories", 4, 0, "bbox", "xmax"], 5000)
    assert annotation(raw, "here", num_frames=4) == annotation(video(), "here", num_frames=4)


WIDTH, HEIGHT = 40, 30


@st.composite
def videos(draw: st.DrawFn) -> dict[str, Any]:
    tids = draw(st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True))
    frame_count = draw(st.integers(1, 30))

    @st.composite
    def boxes(draw: st.DrawFn, tid: int) -> dict[str, Any]:
        xmin, ymin = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        xmax, ymax = draw(st.integers(xmin, WIDTH - 1)), draw(st.integers(ymin, HEIGHT - 1))
        return box(tid, xmin, ymin, xmax, ymax, draw(st.integers(0, 1)))

    listed = draw(st.integers(0, frame_count))
    trajectories = [
        [draw(boxes(tid)) for tid in draw(st.lists(st.sampled_from(tids), unique=True))] for _ in range(listed)
    ]
    instances = []
    for _ in range(draw(st.integers(0, 8))):
        begin = draw(st.integers(0, frame_count - 1))
        instances.append(
            relation(
                draw(st.sampled_from(tids)),
                draw(st.sampled_from(["above", "next_to", "hold", "watch"])),
                draw(st.sampled_from(tids)),
                begin,
                draw(st.integers(begin + 1, frame_count)),
            )
        )
    return video(
        frame_count,
        width=WIDTH,
        height=HEIGHT,
        trajectories=trajectories,
        relation_instances=instances,
        **{"subject/objects": [{"tid": t, "category": draw(st.sampled_from(vidor.OBJECTS))} for t in tids]},
    )


@examples(60)
@given(videos(), st.integers(1, 40))
def test_any_annotation_against_a_plain_reading(raw: dict[str, Any], num_frames: int) -> None:
    got: VideoAnnotation = annotation(orjson.loads(orjson.dumps(raw)), "here", num_frames)
    grid = uniform_grid(0, raw["frame_count"] - 1, num_frames)
    assert [f.index for f in got.frames] == grid

    boxes = {
        (t["tid"], f, b["xmin"], b["ymin"], b["xmax"] + 1, b["ymax"] + 1, t["generated"] == 1)
        for f in grid
        for t in (raw["trajectories"][f] if f < len(raw["trajectories"]) else [])
        for b in [t["bbox"]]
    }
    tracks = got.scene.entity_tracking
    assert {(t.tid, b.frame, *b.xyxy, b.generated) for t in tracks for b in t.boxes} == boxes
    assert [t.tid for t in tracks] == sorted({t for t, *_ in boxes})
    assert all([b.frame for b in t.boxes] == sorted({b.frame for b in t.boxes}) for t in tracks)
    names = {o["tid"]: o["category"] for o in raw["subject/objects"]}
    assert [(e.tid, e.category) for e in got.scene.entities] == sorted(names.items())
    assert all(names[t.tid] == t.category for t in tracks)

    holds, acts = set(), set()
    for r in raw["relation_instances"]:
        triple = (r["subject_tid"], r["predicate"], r["object_tid"])
        if r["predicate"] in vidor.SPATIAL:
            holds |= {(*triple, f) for f in grid if r["begin_fid"] <= f < r["end_fid"]}
        else:
            acts.add((*triple, r["begin_fid"], r["end_fid"]))
    spatial = got.scene.spatial_relations
    assert {(r.subject_tid, r.predicate, r.object_tid, f) for r in spatial for f in r.frames} == holds
    keys = [(r.subject_tid, r.predicate, r.object_tid) for r in spatial]
    assert keys == sorted(set(keys))
    assert all(list(r.frames) == sorted(set(r.frames)) and r.frames for r in spatial)
    temporal = [
        (r.subject_tid, r.predicate, r.object_tid, r.begin_frame, r.end_frame) for r in got.scene.temporal_relations
    ]
    assert set(temporal) == acts
    assert len(temporal) == len(acts)
    assert temporal == sorted(temporal, key=lambda r: (r[3], r[4], r[0], r[1], r[2]))


@examples(60)
@given(st.data())
def test_reading_the_grid_alone_changes_nothing(data: st.DataObject) -> None:
    """Of whole files and of damaged ones: the same annotation, or the same words about the same fault."""
    content = bytearray(orjson.dumps({**data.draw(videos()), "video_id": "77"}))
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(content) - 1))
        width = data.draw(st.integers(0, 2))
        content[place : place + width] = data.draw(st.sampled_from([b"", *(bytes([c]) for c in b'"{}[],:09-e\\n\xff')]))
    num_frames = data.draw(st.integers(1, 20))

    def outcome(index: vidor.VidorIndex, num_frames_read: int | None) -> object:
        try:
            return annotation(read_video(index, "77", num_frames_read), "here", num_frames)
        except InputError as error:
            return str(error), error.reason

    with TemporaryDirectory() as folder:
        path = Path(folder, "77.json")
        path.write_bytes(content)
        index = find_annotations([folder])
        assert outcome(index, num_frames) == outcome(index, None)


def test_frames_off_the_grid_are_left_unread(tmp_path: Path) -> None:
    index = find_annotations([str(tree(tmp_path, "77"))])
    raw = read_video(index, "77", 4)
    assert [bool(items) for items in raw["trajectories"]] == [frame in (0, 3, 6, 9) for frame in range(10)]
    whole = read_video(index, "77")
    assert all(whole["trajectories"])
    assert raw["trajectories"][3] == whole["trajectories"][3]
    assert {name: raw[name] for name in raw if name != "trajectories"} == {
        name: whole[name] for name in raw if name != "trajectories"
    }


def test_real_zip(realdata: Path) -> None:
    index = find_annotations([str(realdata / "vidor")])
    assert len(index) == 40
    assert sorted(index.locations) == sorted(find_annotations([index.place("10001787725").split("!")[0]]).locations)
    raw = read_video(index, "10001787725")
    got = annotation(raw, index.place("10001787725"))
    assert (got.frame_count, got.fps, got.width, got.height) == (1021, 29.97, 640, 360)
    assert len(got.frames) == 64
    assert got.frames[-1].index == 1020
    first = {t.tid: t.boxes[0] for t in got.scene.entity_tracking}
    assert first[0] == Box(0, (224.0, 98.0, 498.0, 280.0), False)
    assert first[1].xyxy == (165.0, 0.0, 225.0, 60.0)
    assert [e.category for e in got.scene.entities] == ["baby", "adult", "electric_fan"]
    for video_id in index.locations:
        raw = read_video(index, video_id)
        got = annotation(raw, index.place(video_id))
        kept = {
            (r.subject_tid, r.predicate, r.object_tid, r.begin_frame, r.end_frame) for r in got.scene.temporal_relations
        }
        assert kept == {
            (r["subject_tid"], r["predicate"], r["object_tid"], r["begin_fid"], r["end_fid"])
            for r in raw["relation_instances"]
            if r["predicate"] not in vidor.SPATIAL
        }
        for track in got.scene.entity_tracking:
            for found in track.boxes:
                (source,) = (t for t in raw["trajectories"][found.frame] if t["tid"] == track.tid)
                corners = source["bbox"]
                assert found.xyxy == (corners["xmin"], corners["ymin"], corners["xmax"] + 1, corners["ymax"] + 1)
