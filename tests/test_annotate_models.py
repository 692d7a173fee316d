"""Detectors with random weights, a depth model, and actions asked of a server and of a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cotasks.annotate.actions import Said
from cotasks.annotate.kept import kept_in
from cotasks.annotate.run import annotate
from cotasks.annotate.scenes import Looking
from cotasks.annotate.stretches import ActionOptions, stretches_of
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, annotation_row
from cotasks.records.own_files import read_annotation, read_questions, write_questions
from tests.drawn_world import write_drawn_world
from tests.judge_server import Json, completion
from tests.model_server import MODEL, ModelServer, frames_of, texts_of

pytest.importorskip("trackers")
LOOKING = Looking(num_frames=8, track_fps=0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_drawn_world(folder, 2)
    return folder


# stretches


def seen(frames: int, entities: int = 2) -> OwnAnnotation:
    """A video of 10 frames a second in which some things stand still."""
    boxes = [OwnBox(n, (10.0 * n, 0, 10.0 * n + 8, 8), frame=f) for f in range(0, frames, 5) for n in range(entities)]
    things = tuple(OwnEntity(n, "dog") for n in range(entities))
    return OwnAnnotation("v.mp4", things, tuple(boxes), (), 10.0, frames, 100, 80)


def test_a_long_video_is_shown_in_stretches() -> None:
    stretches = stretches_of(seen(1000), ActionOptions(frames=4, seconds=30))
    assert [(s.first, s.end) for s in stretches] == [(0, 250), (250, 500), (500, 750), (750, 1000)]
    assert all(len(s.frames) == 4 and all(s.first <= f.index < s.end for f in s.frames) for s in stretches)
    assert all(f.index % 5 == 0 for s in stretches for f in s.frames)  # where there are boxes to draw
    assert stretches_of(seen(1000, entities=1), ActionOptions()) == []


def test_what_is_said_of_two_stretches_is_joined(tmp_path: Path) -> None:
    run = tmp_path / "actions"
    (run / "generations").mkdir(parents=True)
    settings = {"model": {"name": "m", "family": "qwen2_5_vl"}}
    settings["actions"] = {"frames": 4, "seconds": 30.0, "predicates": [], "max_new_tokens": 9}
    (run / "run.json").write_text(json.dumps(settings))
    answers = [
        "(dog 1, chase, dog 2): 20.0s to 25.0s\n(dog 1, next to, dog 2): 0.0s to 1.0s\nThey play.",
        "(dog 1, chase, dog 2): 0.0s to 99.0s\n(dog 1, bite, zebra): 0.0s to 1.0s\n(dog 2, hold, dog 2): 0.0s to 1.0s",
    ]
    rows = [{"id": f"v.mp4#{n}", "condition": "actions", "sample": 0, "answer": a} for n, a in enumerate(answers)]
    (run / "generations/0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = Said(run)
    found = said.added_to(seen(500))
    assert [(r.subject, r.predicate, r.object, r.frames) for r in found.relations] == [(0, "chase", 1, (200, 500))]
    assert not found.relations[0].spatial
    assert (said.counts.asked, said.counts.left, said.counts.relations, said.counts.spatial) == (2, 0, 1, 2)
    assert said.counts.unread == 2
    assert found.detector is not None
    assert found.detector["actions"]["model"] == "m"


def test_actions_of_a_server(world: Path, tmp_path: Path) -> None:
    """It is shown the boxes, told their names, and what it says becomes relations; a second call asks nothing."""
    requests: list[Json] = []

    def answer(number: int, request: Json) -> Json:
        requests.append(request)
        text = "".join(texts_of(request))
        names = text.partition("around each of these: ")[2].partition(".")[0].split(", ")
        said = f"({names[0]}, pat, {names[1]}): 0.00s to 2.00s"
        return completion(said, model=MODEL, usage={"prompt_tokens": 200, "completion_tokens": 9, "total_tokens": 0})

    command = ["annotate", str(world / "videos"), "--questions", str(world), "--num-frames", "8"]
    command += ["--detections", str(world / "detections.jsonl"), "--out", str(tmp_path), "--model", MODEL]
    command += ["--action-frames", "4", "--backend", "server", "--server-media", "images", "--no-check-frames"]
    with ModelServer(answer) as server:
        assert main([*command, "--base-url", server.url]) == 0
        asked = len(requests)
        assert main([*command, "--base-url", server.url]) == 0
    assert asked == len(requests) == 2
    for request in requests:
        text = "".join(texts_of(request))
        assert "Step 4, temporal relations" in text
        frames = frames_of(request)
        assert len(frames) == 4
        # the colours of boxes, which the drawn world does not have, are on the frames
        assert any(np.abs(frame.astype(int) - (0xE6, 0x9F, 0x00)).sum(2).min() < 60 for frame in frames)
    for found in read_annotation([tmp_path / "annotation.jsonl"]):
        actions = [relation for relation in found.relations if not relation.spatial]
        assert [(a.predicate, a.frames) for a in actions] == [("pat", (0, 8))]
        assert found.detector is not None
        assert found.detector["actions"]["frames"] == 4


@pytest.mark.slow
def test_actions_of_a_model_in_this_process(world: Path, tmp_path: Path) -> None:
    result = annotate(
        world / "videos",
        world,
        tmp_path,
        detections=world / "detections.jsonl",
        looking=LOOKING,
        model="tiny",
        asking=ActionOptions(frames=2, max_new_tokens=8),
    )
    assert result.said.asked == 2
    assert not result.said.left
    assert result.complete


# detectors


@pytest.mark.slow
def test_a_detector_with_labels_of_its_own(world: Path, tmp_path: Path) -> None:
    from tests.tiny_detectors import save_rt_detr

    checkpoint = save_rt_detr(tmp_path / "rt-detr")
    options = {"detector": str(checkpoint), "frames_at_once": 3}
    looking = Looking(threshold=0.02, low_threshold=0.01, num_frames=8, track_fps=0)
    result = annotate(world / "videos", world, tmp_path / "out", looking=looking, **options)
    assert (result.done, result.failures) == (2, {})
    for found in read_annotation([tmp_path / "out/annotation.jsonl"]):
        assert found.detector is not None
        assert found.detector["model_type"] == "rt_detr_v2"
        assert found.detector["words"][:2] == ["adult", "child"]
        assert all(box.score is None or box.score >= 0.01 for box in found.boxes)
    # how many frames go together does not matter
    annotate(world / "videos", world, tmp_path / "one", looking=looking, detector=str(checkpoint), frames_at_once=1)
    assert (tmp_path / "one/annotation.jsonl").read_bytes() == (tmp_path / "out/annotation.jsonl").read_bytes()
    # only what is asked for
    some = Looking(threshold=0.02, low_threshold=0.01, num_frames=8, track_fps=0, words=("dogs",))
    annotate(world / "videos", world, tmp_path / "dogs", looking=some, **options)
    for found in read_annotation([tmp_path / "dogs/annotation.jsonl"]):
        assert {entity.category for entity in found.entities} <= {"dog"}
    with pytest.raises(InputError, match="none is a label of the detector; expected of adult, child, dog"):
        annotate(world / "videos", world, tmp_path / "x", looking=Looking(words=("zebra",)), **options)
    # what finds nothing says so
    strict = Looking(threshold=1.0, low_threshold=1.0, num_frames=8)
    nothing = annotate(world / "videos", world, tmp_path / "none", looking=strict, **options)
    assert (nothing.done, nothing.empty, nothing.boxes) == (2, 2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["save_grounding_dino", "save_owlv2"])
def test_detectors_that_are_told_words(kind: str, world: Path, tmp_path: Path) -> None:
    from tests import tiny_detectors

    checkpoint = str(getattr(tiny_detectors, kind)(tmp_path / "detector"))
    asked = [q for q in read_questions(world / "questions.jsonl") if q.question == "what is the man doing"][:1]
    asked = asked or [read_questions(world / "questions.jsonl")[0]]
    write_questions(
        tmp_path / "questions.jsonl", [asked[0].__class__("a", asked[0].video, "what does the dog do", ("x",))]
    )
    looking = Looking(threshold=0.002, low_threshold=0.001, num_frames=4, track_fps=0, words=("cat",))
    result = annotate(world / "videos", tmp_path, tmp_path / "out", detector=checkpoint, looking=looking)
    assert (result.done, result.failures) == (1, {})
    [found] = read_annotation([tmp_path / "out/annotation.jsonl"])
    assert found.detector is not None
    assert found.detector["words"] == ["dog", "cat"]
    assert {entity.category for entity in found.entities} <= {"dog", "cat"}
    expected = "the tokenizer of the detector does not know it" if "dino" in kind else "tokens; expected at most"
    odd = Looking(words=("zebra" if "dino" in kind else "a" * 40,))
    with pytest.raises(InputError, match=expected):
        annotate(world / "videos", tmp_path, tmp_path / "odd", detector=checkpoint, looking=odd)


@pytest.mark.slow
def test_depth_goes_with_a_detector(world: Path, tmp_path: Path) -> None:
    from tests.tiny_detectors import save_depth, save_rt_detr

    detector, depth = save_rt_detr(tmp_path / "rt-detr"), save_depth(tmp_path / "depth")
    looking = Looking(threshold=0.02, low_threshold=0.01, num_frames=8, track_fps=0)
    annotate(world / "videos", world, tmp_path / "out", detector=str(detector), depth=str(depth), looking=looking)
    for found in read_annotation([tmp_path / "out/annotation.jsonl"]):
        assert found.detector is not None
        assert found.detector["depth"]["model_type"] == "depth_anything"
        assert "in_front_of" in found.detector["relations"]["predicates"]


@pytest.mark.slow
def test_what_is_no_detector_is_one_line(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    command = [
        "annotate",
        str(world / "videos"),
        "--questions",
        str(world),
        "--out",
        str(tmp_path / "out"),
        "--detector",
    ]
    assert main([*command, str(tmp_path)]) == 2
    assert "a bert, which is no detector; expected a Grounding DINO" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "nowhere")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


# killed


@pytest.mark.slow
def test_killed_several_times_it_ends_with_the_same_file(tmp_path: Path) -> None:
    write_drawn_world(tmp_path / "world", 12)
    command = [sys.executable, "-m", "cotasks", "annotate", str(tmp_path / "world/videos"), "--num-frames", "16"]
    command += [
        "--questions",
        str(tmp_path / "world"),
        "--detections",
        str(tmp_path / "world/detections.jsonl"),
        "--out",
    ]
    subprocess.run([*command, str(tmp_path / "peace")], check=True, capture_output=True)
    expected = (tmp_path / "peace/annotation.jsonl").read_bytes()
    folder = tmp_path / "killed"
    for count in (1, 4, 8):
        process = subprocess.Popen([*command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if len(kept_in(folder / "work/scenes/found")) >= count:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait()
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    assert (folder / "annotation.jsonl").read_bytes() == expected


def test_rows_are_read_back(tmp_path: Path) -> None:
    rows = [annotation_row(seen(10, n)) | {"video": f"{n}.mp4"} for n in (2, 3)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*rows, rows[0])) + '{"video": "torn')
    kept = kept_in(tmp_path)
    assert list(kept) == ["2.mp4", "3.mp4"]
    assert len(kept.annotation("3.mp4").entities) == 3
    (tmp_path / "b.jsonl").write_text('{"no": "video"}\n')
    with pytest.raises(InputError, match=r"b.jsonl:1: no line of a video"):
        kept_in(tmp_path)


@pytest.mark.slow
def test_two_processes_share_the_videos(world: Path, tmp_path: Path) -> None:
    command = ["annotate", str(world / "videos"), "--questions", str(world), "--num-frames", "16"]
    command += ["--detections", str(world / "detections.jsonl"), "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cotasks"]
    done = subprocess.run([*launch, *command, str(tmp_path / "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Annotated 2 of 2 videos (2 now)") == 1
    assert (tmp_path / "two/annotation.jsonl").read_bytes() == (tmp_path / "one/annotation.jsonl").read_bytes()
