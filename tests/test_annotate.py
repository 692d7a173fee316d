"""Machine annotation: words, frames, tracks, relations, and whole folders from detections of the drawn world."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.annotate import relations, track
from cotasks.annotate.against import describe, score_against
from cotasks.annotate.detect import NONE_FOUND, Found, found, word_of
from cotasks.annotate.frames import wanted_frames
from cotasks.annotate.run import AnnotateResult, annotate
from cotasks.annotate.scenes import Looking
from cotasks.annotate.track import Seen, Thing
from cotasks.annotate.words import matched, question_words, read_words
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.records.own import OwnQuestion, parse_question
from cotasks.records.own_files import read_annotation, read_questions, write_annotation, write_questions
from cotasks.video.packets import VideoInfo
from tests.drawn_world import write_drawn_world

pytest.importorskip("trackers")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn clips with questions and detections."""
    folder = tmp_path_factory.mktemp("world")
    write_drawn_world(folder, 3)
    return folder


def run(world: Path, out: Path, **options: object) -> AnnotateResult:
    given_options = {"detections": world / "detections.jsonl", "looking": Looking(num_frames=16), **options}
    return annotate(world / "videos", world / "questions.jsonl", out, **given_options)  # type: ignore[arg-type]


# words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how many bottles are on the belt", ("bottle", "belt")),
        ("Why did the boy in white pick up the balls?", ("boy", "ball")),
        ("what does the forklift carry to the shelves", ("forklift", "shelf")),
        ("who is watching the children", ("child",)),
        ("is it?", ()),
    ],
)
def test_words_of_a_question_are_its_nouns(text: str, expected: tuple[str, ...]) -> None:
    question = parse_question({"id": "a", "video": "v.mp4", "question": text, "answer": "a zebra"})
    assert question_words([question]) == expected


def test_words_come_from_choices_but_not_from_the_answer() -> None:
    open_ended = OwnQuestion("a", "v.mp4", "what is on the table", ("a lamp",))
    choices = OwnQuestion("b", "v.mp4", "what is on the table", ("a lamp",), ("a lamp", "a vase"), 0)
    assert question_words([open_ended]) == ("table",)
    assert question_words([choices]) == ("table", "lamp", "vase")


def test_lists_of_words(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("# what there is\nforklift\n\nred box\n")
    assert read_words(str(tmp_path / "words")) == ("forklift", "red box")
    assert read_words("forklift, red box,") == ("forklift", "red box")
    for text in (",", str(tmp_path / "missing.txt"), "a\x07b"):
        with pytest.raises(InputError, match="expected"):
            read_words(text)


def test_words_choose_labels() -> None:
    labels = ("person", "ball/sports_ball", "cell phone", "dog")
    assert matched(("dogs", "ball", "Cell_Phone", "zebra"), labels) == ("ball/sports_ball", "cell phone", "dog")


@pytest.mark.parametrize(("phrase", "word"), [("dog", "dog"), ("a red", "red box"), ("dog box", "dog"), ("tree", None)])
def test_the_phrases_of_a_detector_mean_words(phrase: str, word: str | None) -> None:
    assert word_of(phrase, ["dog", "red box"]) == word


# frames


@given(st.integers(1, 2000), st.floats(1, 60), st.integers(1, 64), st.floats(0, 30), st.data())
def test_the_grid_of_every_question_is_looked_at(
    count: int, fps: float, num_frames: int, track_fps: float, data: st.DataObject
) -> None:
    from cotasks.records.schema import Span
    from cotasks.records.timeline import clip_frames, uniform_grid

    info, end = VideoInfo(count, fps, 640, 480), (count - 1) / fps
    start = data.draw(st.floats(0, max(end - 2 / fps, 0)))
    clips = [None, (start, end)] if end > start else [None]
    questions = [OwnQuestion(str(n), "v.mp4", "what", ("a",), clip=clip) for n, clip in enumerate(clips)]
    wanted = wanted_frames(info, questions, num_frames, track_fps)
    assert list(wanted) == sorted(set(wanted))
    assert 0 <= wanted[0] <= wanted[-1] < count
    for question in questions:
        first, last = clip_frames(Span(*(question.clip or (0.0, count / fps))), fps)
        assert set(uniform_grid(first, min(last, count - 1), num_frames)) <= set(wanted)


def test_a_clip_behind_the_end_is_said() -> None:
    question = OwnQuestion("a", "v.mp4", "what", ("a",), clip=(5.0, 6.0))
    with pytest.raises(InputError, match=r"clip is \[5.0, 6.0\]; expected it within the video's 2 s"):
        wanted_frames(VideoInfo(20, 10.0, 64, 48), [question], 4, 5)


# boxes of a frame


def test_boxes_of_a_frame_are_inside_it_each_thing_once() -> None:
    boxes = [[-5, 0, 50, 50], [0, 1, 50, 50], [60, 60, 60.5, 90], [10, 10, 20, 20], [0, 0, 50, 49]]
    one = found(boxes, [0.9, 0.8, 0.9, 0.1, 0.7], ["dog", "dog", "dog", "dog", "cat"], (100, 80), 0.3)
    assert one.categories == ("dog",)
    assert one.xyxy.tolist() == [[0, 0, 50, 50]]
    assert found([], [], [], (10, 10), 0.1) == NONE_FOUND


# tracks


def frames_of(paths: dict[str, list[tuple[float, float]]], size: float = 20) -> list[tuple[int, Found]]:
    """(frame, what is found there) of squares; a name's last letter tells things of a category apart."""
    length = len(next(iter(paths.values())))
    rows = []
    for frame in range(length):
        there = {name: path[frame] for name, path in paths.items() if not np.isnan(path[frame][0])}
        boxes = np.array([(x, y, x + size, y + size) for x, y in there.values()], float).reshape(-1, 4)
        rows.append((frame, Found(boxes, np.full(len(boxes), 0.9), tuple(name[:-1] for name in there))))
    return rows


def test_three_bottles_that_are_missed_now_and_then_are_three() -> None:
    chance = np.random.default_rng(0)
    paths = {}
    for number in range(3):
        path = [(100.0 * number + frame * 2, 50.0) for frame in range(40)]
        paths[f"bottle{number}"] = [
            (np.nan, np.nan) if chance.random() < 0.2 and 0 < n < 39 else p for n, p in enumerate(path)
        ]
    things = track.track(frames_of(paths), fps=10, begin_score=0.3)
    assert [(t.id, t.category, len(t.seen)) for t in things] == [(n, "bottle", 40) for n in range(3)]
    for thing in things:
        for frame, seen in thing.seen.items():
            assert seen.xyxy == pytest.approx((100 * thing.id + 2 * frame, 50, 100 * thing.id + 2 * frame + 20, 70))


def test_a_rider_and_a_bicycle_keep_their_categories() -> None:
    path = [(float(5 * n), 50.0) for n in range(20)]
    frames = [
        (n, Found(np.vstack([f.xyxy, f.xyxy + 1]), np.array([0.9, 0.8]), ("adult", "bicycle")))
        for n, f in frames_of({"adult1": path})
    ]
    things = track.track(frames, fps=10, begin_score=0.3)
    assert sorted(t.category for t in things) == ["adult", "bicycle"]
    assert all(len(t.seen) == 20 for t in things)


def test_weak_boxes_carry_a_thing_on_and_begin_none() -> None:
    frames = frames_of({"dog1": [(0.0, 0.0)] * 10})
    weak = [(n, dataclasses.replace(f, scores=np.array([0.9 if n < 3 else 0.2]))) for n, f in frames]
    assert [len(t.seen) for t in track.track(weak, 10, 0.3)] == [10]
    assert track.track([(n, dataclasses.replace(f, scores=np.array([0.2]))) for n, f in frames], 10, 0.3) == []


def test_a_thing_that_is_long_gone_is_another() -> None:
    path = [(0.0, 0.0)] * 10 + [(np.nan, np.nan)] * 15 + [(0.0, 0.0)] * 10
    things = track.track(frames_of({"dog1": path}), fps=10, begin_score=0.3)
    assert [(min(t.seen), max(t.seen)) for t in things] == [(0, 9), (25, 34)]


def test_a_thing_that_comes_back_is_the_same_where_that_is_said() -> None:
    gone = [(np.nan, np.nan)]
    paths = {"bottle1": [(0.0, 0.0)] * 10 + gone * 30 + [(4.0, 2.0)] * 10, "bottle2": [(60.0, 0.0)] * 20 + gone * 30}
    assert len(track.track(frames_of(paths), 10, 0.3)) == 3
    assert [len(t.seen) for t in track.track(frames_of(paths), 10, 0.3, return_seconds=4)] == [20, 20]
    assert len(track.track(frames_of(paths), 10, 0.3, return_seconds=2)) == 3


# relations

BOX = st.tuples(st.floats(0, 200), st.floats(0, 200), st.floats(2, 80), st.floats(2, 80)).map(
    lambda b: np.array([[b[0], b[1], b[0] + b[2], b[1] + b[3]]])
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((40, 0, 60, 20), (30, 30, 70, 60), {"above"}),
        ((40, 10, 60, 35), (30, 30, 70, 60), {"above"}),  # it stands on it
        ((30, 30, 70, 60), (40, 0, 60, 20), {"beneath"}),
        ((45, 45, 55, 55), (30, 30, 70, 70), {"inside"}),
        ((0, 0, 20, 40), (25, 5, 45, 40), {"next_to"}),
        ((0, 0, 20, 40), (45, 5, 65, 40), set()),  # too far
        ((0, 0, 20, 40), (5, 0, 25, 40), set()),  # one covers the other
        ((0, 0, 20, 20), (60, 60, 80, 80), set()),
    ],
)
def test_geometry(a: tuple[int, ...], b: tuple[int, ...], expected: set[str]) -> None:
    one, other = np.array([a], float), np.array([b], float)
    assert {name for name, holds in relations.SPATIAL.items() if holds(one, other)[0]} == expected


@given(BOX, BOX, st.floats(0.5, 4), st.floats(-50, 50))
def test_geometry_is_of_pairs_and_knows_no_scale(a: np.ndarray, b: np.ndarray, scale: float, shift: float) -> None:
    held = {name: bool(holds(a, b)[0]) for name, holds in relations.SPATIAL.items()}
    back = {name: bool(holds(b, a)[0]) for name, holds in relations.SPATIAL.items()}
    assert held["above"] == back["beneath"]
    assert held["next_to"] == back["next_to"]
    assert not (held["above"] and held["beneath"])
    assert not (held["inside"] and back["inside"])
    # a power of two changes no rounding, so that it holds to the bit
    doubled = {name: bool(holds(a * 2, b * 2)[0]) for name, holds in relations.SPATIAL.items()}
    assert doubled == held


def thing(id_: int, path: list[tuple[float, float]], size: float = 20, near: float | None = None) -> Thing:
    return Thing(id_, "dog", {n: Seen((x, y, x + size, y + size), 0.9, near) for n, (x, y) in enumerate(path)})


def test_who_moves_goes_towards_and_away() -> None:
    runner = thing(0, [(float(10 * n), 0.0) for n in range(30)])
    tree = thing(1, [(150.0, 0.0)] * 30)
    found_ = list(relations.spatial_relations([runner, tree], range(30), fps=10, frame_count=30))
    by_name = {(r.subject, r.predicate, r.object): r.frames for r in found_}
    assert by_name[0, "towards", 1][0] == 0  # type: ignore[index]
    assert by_name[0, "towards", 1][1] <= 15  # type: ignore[index]
    assert by_name[0, "away", 1][0] >= 10  # type: ignore[index]
    assert not any(subject == 1 and name in ("towards", "away") for subject, name, _ in by_name)
    assert (0, "next_to", 1) in by_name
    assert (1, "next_to", 0) in by_name


def test_depth_tells_front_from_behind() -> None:
    near, far = thing(0, [(0.0, 0.0)] * 5, near=0.8), thing(1, [(10.0, 0.0)] * 5, near=0.3)
    flat = thing(2, [(10.0, 0.0)] * 5)
    names = {
        (r.subject, r.predicate, r.object): r.frames
        for r in relations.spatial_relations([near, far, flat], range(5), fps=5, frame_count=5)
    }
    assert names[0, "in_front_of", 1] == (0, 5)
    assert names[1, "behind", 0] == (0, 5)
    assert not any(2 in (subject, target) and "front" in name for subject, name, target in names)


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 5))
def test_stretches_begin_and_end_at_frames_looked_at(flags: list[bool], step: int) -> None:
    held = np.array(flags, bool)
    numbers = np.arange(len(flags)) * step
    count = len(flags) * step
    spans = list(relations.stretches(held, np.ones(len(flags), bool), numbers, count))
    covered = {n for begin, end in spans for n in range(begin, end)}
    for begin, end in spans:
        assert begin in numbers[held]
        assert begin < end <= count
    # a stretch of two or more frames at which it holds is covered, and none at which it does not but one in between
    for n, flag in enumerate(flags):
        if flag and n and flags[n - 1]:
            assert {int(numbers[n]), int(numbers[n - 1])} <= covered
        if not flag and n and not flags[n - 1]:
            assert int(numbers[n]) not in covered or int(numbers[n - 1]) not in covered


# whole folders


def test_detections_become_records(world: Path, tmp_path: Path) -> None:
    result = run(world, tmp_path / "out")
    assert (result.videos, result.done, result.new, result.failures, result.empty) == (3, 3, 3, {}, 0)
    assert read_questions(tmp_path / "out/questions.jsonl") == read_questions(world / "questions.jsonl")
    annotations = list(read_annotation([tmp_path / "out/annotation.jsonl"]))
    assert [a.video for a in annotations] == list(
        dict.fromkeys(q.video for q in read_questions(world / "questions.jsonl"))
    )
    for one in annotations:
        assert all(box.generated for box in one.boxes)
        assert one.detector is not None
        assert one.detector["made_by"] == {"model": "the truth, spoilt"}
        assert one.detector["begin_score"] == 0.3
        assert one.detector["tracker"] == "trackers.ByteTrackTracker"
    assert result.boxes > 100
    scores = score_against(tmp_path / "out", world / "truth")
    (all_boxes, *_), (identity,) = scores["detection"], scores["identity"]
    assert all_boxes["precision"]["mean"] > 98
    assert all_boxes["recall"]["mean"] > 90
    assert identity["f1"]["mean"] > 80
    assert "| all" in describe(scores)
    out = str(tmp_path / "built")
    videos = str(world / "videos")
    assert (
        main(
            [
                "build",
                "own",
                "--data-dir",
                str(tmp_path / "out"),
                "--num-frames",
                "16",
                "--videos",
                videos,
                "--out",
                out,
            ]
        )
        == 0
    )
    from cotasks.records.dataset import load_records

    records = load_records(out, "test")
    assert len(records) == 15
    assert all(box.generated for record in records for t in record.scene.entity_tracking for box in t.boxes)
    assert any(record.scene.spatial_relations for record in records)


def test_the_truth_against_itself_is_perfect(world: Path, tmp_path: Path) -> None:
    (tmp_path / "annotation.jsonl").write_bytes((world / "truth/annotation.jsonl").read_bytes())
    scores = score_against(tmp_path, world / "truth")
    for row in (*scores["detection"], *scores["identity"]):
        assert (row["precision"]["mean"], row["recall"]["mean"]) == (100, 100)


def test_what_was_found_is_not_looked_at_again(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "whole")
    expected = (tmp_path / "whole/annotation.jsonl").read_bytes()
    run(world, tmp_path / "cut")
    (shard,) = (tmp_path / "cut/work/scenes/found").glob("*.jsonl")
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(lines[0] + lines[1][:50])  # as a kill leaves it
    (tmp_path / "cut/annotation.jsonl").unlink()
    result = run(world, tmp_path / "cut")
    assert (result.done, result.new) == (3, 2)
    assert (tmp_path / "cut/annotation.jsonl").read_bytes() == expected
    assert run(world, tmp_path / "cut").new == 0


def test_the_videos_of_a_built_data_set(world: Path, tmp_path: Path) -> None:
    """Its questions become own data, and its videos are annotated: the ground of the study of annotation."""
    run(world, tmp_path / "own")
    built = str(tmp_path / "built")
    assert main(["build", "own", "--data-dir", str(tmp_path / "own"), "--num-frames", "16", "--out", built]) == 0
    again = annotate(
        world / "videos",
        built,
        tmp_path / "again",
        detections=world / "detections.jsonl",
        looking=Looking(num_frames=16),
    )
    assert again.done == 3
    questions = {q.id: q for q in read_questions(tmp_path / "again/questions.jsonl")}
    for question in read_questions(world / "questions.jsonl"):
        same = questions[f"own/test/{question.id}"]
        assert (same.question, same.answers, same.clip) == (question.question, question.answers, None)
    first, second = (
        {a.video: a.boxes for a in read_annotation([tmp_path / name / "annotation.jsonl"])} for name in ("own", "again")
    )
    assert first == second


def test_other_settings_are_another_folder(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path)
    with pytest.raises(InputError, match=r"annotate.begin_score is 0.3, in this command 0.5"):
        run(world, tmp_path, looking=Looking(threshold=0.5, num_frames=16))


def test_broken_videos_are_counted_and_empty_ones_said(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = read_questions(world / "questions.jsonl")
    first, second, third = dict.fromkeys(question.video for question in asked)
    videos = tmp_path / "videos"
    for video in (first, second, third):
        (videos / video).parent.mkdir(parents=True, exist_ok=True)
        (videos / video).write_bytes((world / "videos" / video).read_bytes())
    (videos / first).write_bytes(b"no video")
    rows = {a.video: a for a in read_annotation([world / "detections.jsonl"])}
    rows[second] = dataclasses.replace(rows[second], entities=(), boxes=())
    write_annotation(tmp_path / "det.jsonl", rows.values())
    command = ["annotate", str(videos), "--questions", str(world), "--detections", str(tmp_path / "det.jsonl")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "1 failed: not a video" in said
    assert "1 of 2 videos are empty: nothing was found in them" in said
    assert "Annotated 2 of 3 videos (2 now)" in said
    empty, full = read_annotation([tmp_path / "out/annotation.jsonl"])
    assert (empty.video, empty.entities, empty.boxes) == (second, (), ())
    assert full.entities
    # it is tried again when that is asked for
    (videos / first).write_bytes((world / "videos" / first).read_bytes())
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert main([*command, "--out", str(tmp_path / "out"), "--retry-failures"]) == 0
    assert "Annotated 3 of 3 videos (1 now)" in capsys.readouterr().out


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def supervision_rows(x: float = 10.0, track_id: object = "", **more: object) -> list[dict[str, object]]:
    return [
        {"x_min": x, "y_min": 10, "x_max": x + 20, "y_max": 40, "class_name": "dog", "confidence": 0.9}
        | {"tracker_id": track_id, "frame_index": frame, **more}
        for frame in range(8)
    ]


def test_detections_of_supervision_in_a_folder(world: Path, tmp_path: Path) -> None:
    videos = list(dict.fromkeys(q.video for q in read_questions(world / "questions.jsonl")))
    write_csv(tmp_path / "det" / Path(videos[0]).with_suffix(".csv"), supervision_rows())
    write_csv(tmp_path / "det" / f"{Path(videos[1]).stem}.csv", supervision_rows(30, 7))
    result = run(world, tmp_path / "out", detections=tmp_path / "det")
    assert (result.done, result.failures) == (2, {"no detections of the video": 1})
    one, two = read_annotation([tmp_path / "out/annotation.jsonl"])
    assert [e.category for e in one.entities] == [e.category for e in two.entities] == ["dog"]
    assert {box.frame for box in one.boxes} == set(range(8))
    # tracks as they are: only the second has them
    kept = run(world, tmp_path / "kept", detections=tmp_path / "det", looking=Looking(num_frames=16, tracker="filed"))
    assert (kept.done, kept.failures["invalid input"]) == (1, 1)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"frame_index": 99}, "frame 99; expected 0 to 15"),
        ({"x_max": 900}, "expected it inside the video's 112x84"),
        ({"confidence": 7}, "score 7.0; expected 0 to 1"),
        ({"class_name": ""}, "class_name is missing"),
        ({"x_min": "left"}, "x_min is 'left'; expected a number"),
        ({"x_min": 30, "x_max": 3}, "expected x1 <= x2, y1 <= y2"),
    ],
)
def test_detections_that_do_not_fit_are_said_with_their_line(
    world: Path, tmp_path: Path, more: dict[str, object], expected: str
) -> None:
    asked = read_questions(world / "questions.jsonl")
    write_questions(tmp_path / "questions.jsonl", [q for q in asked if q.video == asked[0].video])
    write_csv(tmp_path / "det.csv", supervision_rows(**more))
    out = tmp_path / "out"
    result = annotate(world / "videos", tmp_path, out, detections=tmp_path / "det.csv", looking=Looking(num_frames=4))
    assert result.done == 0
    (failures,) = (out / "work/scenes/failures").glob("*.jsonl")
    assert expected in failures.read_text()
    assert "det.csv:2" in failures.read_text()
    (example,) = result.examples.values()
    assert expected in example
    assert "det.csv:2" in example


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"detector": "x"}, "expected one of the two"),
        ({"depth": "x"}, "expected it with a detector"),
        ({"detections": "nowhere.jsonl"}, "no such file or folder"),
        ({"detections": __file__}, "expected a .jsonl, .csv or .json file"),
    ],
)
def test_arguments_that_contradict(world: Path, tmp_path: Path, options: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        run(world, tmp_path / "out", **options)


@pytest.mark.parametrize("values", [{"threshold": 0.0}, {"low_threshold": 0.9}, {"tracker": "sort"}, {"track_fps": -1}])
def test_looking_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        Looking(**values)  # type: ignore[arg-type]
