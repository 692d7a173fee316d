"""Whether a video is the annotated one; what is none; and what every reader of videos does then."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cotasks
from cotasks.builders.publish import embed
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import EnvironmentFault, InputError
from cotasks.look.record import draw
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import parse_condition
from cotasks.prompts.prompt import build_prompt
from cotasks.prompts.size import shown_size, source_size
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record
from cotasks.records.videos import Videos, expected_video
from cotasks.tools.files import read_json, read_jsonl
from cotasks.training.examples import examples_of, instructions
from cotasks.training.export import write_ms_swift
from cotasks.video import check
from cotasks.video.check import Expected, OtherVideo, faults, look_at, size_at_480p
from cotasks.video.facts import SPARE_FRAMES, VideoFacts, video_facts
from cotasks.video.files import video_file
from cotasks.video.packets import VideoInfo
from cotasks.video.reading import probe, read_frames
from tests.odd_videos import GOOD, ODD, cut_packets, flat, numbered, uneven, write_pictures
from tests.synthetic import FPS, HEIGHT, WIDTH, make_record, number_of, picture, write_folder, write_video

pytest.importorskip("av")

ANNOTATED = Expected(float(FPS), (0, 12, 24, 35, 47, 59), 60, (WIDTH, HEIGHT))
"""By `make_record` of a `write_video`."""


def reasons_of(path: Path, expected: Expected = ANNOTATED) -> list[str]:
    """What is wrong with a file; the reason for which it is no video comes alone."""
    try:
        return [fault.reason for fault in faults(expected, video_facts(path))]
    except InputError as error:
        return [error.reason] if str(error).startswith(str(path)) and "\n" not in str(error) else [str(error)]


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_good_copies_pass(name: str, tmp_path: Path) -> None:
    GOOD[name](tmp_path / "a.mp4")
    assert reasons_of(tmp_path / "a.mp4") == []


@pytest.mark.parametrize("name", ODD)
def test_others_are_told_why_not(name: str, tmp_path: Path) -> None:
    reason, write = ODD[name]
    write(tmp_path / "a.mp4")
    assert reasons_of(tmp_path / "a.mp4")[0] == reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("02_as_annotated.mp4", ""),
        ("02_fps2x.mp4", "video with another frame rate"),
        ("02_pad3s.mp4", "video with another number of frames"),
        ("02_black.mp4", "video without anything to see"),
        ("02_vfr.mp4", "video whose frames are shown at other times"),
        ("05_lfs_pointer.mp4", "Git LFS pointer, not a video"),
        ("10_sound_with_cover.mp4", "not a video"),
    ],
)
def test_the_cases(name: str, reason: str, cases: Path) -> None:
    found = reasons_of(cases / "videos" / name, Expected(4.0, tuple(range(16)), 16, (112, 84)))
    assert found[:1] == ([reason] if reason else [])


def test_a_pointer_says_what_to_do(cases: Path) -> None:
    with pytest.raises(InputError, match=r"not a video: a Git LFS pointer; run git lfs pull$"):
        probe(cases / "videos" / "05_lfs_pointer.mp4")


def test_a_cover_beside_a_video_is_not_taken_for_it(tmp_path: Path) -> None:
    import av
    from av.stream import Disposition

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 640, 480, "yuvj420p", Disposition.attached_pic
        film: Any = container.add_stream("libx264", rate=FPS)
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        still = av.VideoFrame.from_ndarray(picture(1, 640, 480), format="rgb24")
        container.mux([*cover.encode(still), *cover.encode()])
        for number in range(10):
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        container.mux(film.encode())
    assert probe(path) == VideoInfo(10, FPS, WIDTH, HEIGHT)
    assert [number_of(frame) for frame in read_frames(path, [0, 9])] == [0, 9]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".flv", ".avi", ".webm"])
@pytest.mark.parametrize("first", [1, 5, 12, 13])
def test_frames_without_their_keyframe_do_not_count(suffix: str, first: int, tmp_path: Path) -> None:
    """Keyframes are 0, 12, 24, ...: what is cut off in front takes the frames up to the next with it."""
    codec = {".avi": "mpeg4", ".webm": "libvpx-vp9"}.get(suffix, "libx264")
    source = write_video(tmp_path / f"whole{suffix}", codec=codec, gop=12, options={"sc_threshold": "0"})
    path = cut_packets(source, tmp_path / f"cut{suffix}", first)
    begin = -(-first // 12) * 12
    info = probe(path)
    shown = []
    for number in range(60 - first):
        try:
            shown.append(number_of(read_frames(path, [number])[0]))
        except InputError:
            break
    with pytest.raises(InputError, match=f"expected 0 to {len(shown) - 1}, the video has {len(shown)} frames"):
        read_frames(path, [len(shown)])
    if suffix != ".avi":  # whose decoder shows grey pictures in place of the lost ones
        assert shown == list(range(begin, 60))
    assert info.frame_count == len(shown)


def test_the_case_without_a_keyframe(cases: Path) -> None:
    path = cases / "videos" / "11_no_keyframe_at_start.mkv"
    assert probe(path).frame_count == 48
    assert len(read_frames(path, [0, 47])) == 2
    with pytest.raises(InputError, match="frame 48 asked for; expected 0 to 47, the video has 48 frames"):
        read_frames(path, [48])


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp", "tiff", "avif"])
def test_a_picture_is_no_video(kind: str, tmp_path: Path) -> None:
    from PIL import Image, features

    if kind == "avif" and not features.check("avif"):
        pytest.skip("Pillow writes no AVIF here")
    Image.fromarray(picture(3)).save(tmp_path / "a.mp4", format=kind)
    with pytest.raises(InputError, match="not a video: a picture"):
        probe(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\nb.mp4\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile b.mp4\n"],
)
def test_a_playlist_does_not_open_its_siblings(text: str, tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4")
    for name in ("a.mp4", "a.m3u8"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="not a video: a playlist"):
            probe(tmp_path / name)


@pytest.mark.parametrize("name", ["12:30.mp4", "http:x.mp4", "concat:a.mp4|b.mp4", "file:a.mp4", "-i.mp4", "a b#?.mp4"])
def test_a_name_is_no_protocol(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name).frame_count == 60
    assert number_of(read_frames(name, [7])[0]) == 7
    assert number_of(read_frames(Path(name), [7], backend="decord")[0]) == 7
    assert video_file(".", name).name == name


def test_faults_of_the_machine_are_no_property_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    path = write_video(tmp_path / "a.mp4")

    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(EnvironmentFault, match="Too many open files"):
        probe(path)


names = st.text(st.sampled_from("ab./\\~:é "), max_size=12)


@given(names)
def test_a_path_stays_in_its_folder_or_is_refused(name: str) -> None:
    folder = Path("/videos/here")
    try:
        path: Path | None = video_file(folder, name)
    except InputError:
        path = None
    if path is None:
        assert name.startswith(("/", "\\")) or ".." in name or ":" in name or not name.strip("./\\")
    else:
        assert path.is_relative_to(folder)
        assert path != folder
        assert ".." not in path.parts


# The comparison -------------------------------------------------------------------------------------------------------

fps_values = st.sampled_from([4.0, 10.01, 17.653, 24.0, 25.0, 29.97, 30.0]) | st.floats(5, 60)


def facts_of(fps: float, count: int, times: Any = None, flat: bool = False, size: Any = (640, 360)) -> VideoFacts:
    return VideoFacts(VideoInfo(count, fps, *size), fps, times, flat)


def reasons(expected: Expected, facts: VideoFacts) -> set[str]:
    return {fault.reason for fault in faults(expected, facts)}


@given(
    fps=fps_values,
    count=st.integers(3, 5000),
    more=st.integers(-10, 10),
    rate=st.floats(0.9, 1.1),
    seed=st.integers(0, 999),
)
def test_what_is_tolerated_and_what_not(fps: float, count: int, more: int, rate: float, seed: int) -> None:
    frames = tuple(np.unique(np.random.default_rng(seed).integers(0, count, 64)).tolist())
    expected = Expected(fps, frames, count, (640, 360))
    assert reasons(expected, facts_of(fps, count)) == set()
    found = reasons(expected, facts_of(fps, max(1, count + more)))
    assert ("video with another number of frames" in found) is (abs(max(1, count + more) - count) > SPARE_FRAMES)
    assert ("frame beyond the end of the video" in found) is (frames[-1] > max(1, count + more) - 1 + SPARE_FRAMES)
    found = reasons(expected, facts_of(fps * rate, count))
    stray = max(abs(f / (fps * rate) - f / fps) - check.DRIFT_TOLERANCE * f / fps for f in frames)
    other = abs(fps * rate / fps - 1) > check.RATE_TOLERANCE or stray > check.SECONDS_TOLERANCE
    assert found == ({"video with another frame rate"} if other else set())


@given(fps=fps_values, count=st.integers(2, 2000), strays=st.floats(0, 2), seed=st.integers(0, 999))
def test_times_may_stray_a_little(fps: float, count: int, strays: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    times = np.sort(np.arange(count) / fps + np.append(0, random.uniform(-strays, strays, count - 1)).clip(0))
    times[0] = 0.0
    frames = tuple(np.unique(random.integers(0, count, 64)).tolist())
    found = reasons(Expected(fps, frames, count), facts_of(fps, count, times))
    due = np.array(frames) / fps
    worst = (np.abs(times[list(frames)] - due) - check.DRIFT_TOLERANCE * due).max()
    assert found == ({"video whose frames are shown at other times"} if worst > check.SECONDS_TOLERANCE else set())


def test_rates_that_are_said_for_one_another() -> None:
    frames = tuple(range(0, 1800, 30))
    for said, is_now in ((29.97, 30000 / 1001), (30.0, 30000 / 1001), (23.976, 24.0), (17.65, 17.653)):
        assert reasons(Expected(said, frames, 1800), facts_of(is_now, 1800)) == set()
    for said, is_now in ((24.0, 25.0), (30.0, 17.653), (25.0, 30.0), (30.0, 60.0)):
        assert reasons(Expected(said, frames, 1800), facts_of(is_now, 1800)) == {"video with another frame rate"}


@given(
    size=st.tuples(st.integers(481, 2000), st.integers(200, 2000)),
    share=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
)
def test_sizes_of_one_shape_have_one_size_at_480p(size: tuple[int, int], share: tuple[float, float]) -> None:
    drawn_at = size_at_480p(size, (0.0, 0.0))
    assert drawn_at is not None
    assert max(drawn_at) == 480
    assert abs(drawn_at[0] * size[1] / (drawn_at[1] * size[0]) - 1) < check.ASPECT_TOLERANCE
    reach = (drawn_at[0] * share[0], drawn_at[1] * share[1])
    assert size_at_480p(size, reach) == size_at_480p(drawn_at, reach) == drawn_at
    assert size_at_480p(size, (drawn_at[0] + 2.0, 0.0)) is None
    assert size_at_480p(size, (0.0, drawn_at[1] + 2.0)) is None


def test_sizes_at_480p() -> None:
    reach = (319.37, 479.6)  # of the real item
    for size in ((320, 480), (1280, 1920), (640, 960), (160, 240)):
        assert size_at_480p(size, reach) == (320, 480)
    for size in ((640, 480), (480, 320), (1920, 1080)):
        assert size_at_480p(size, reach) is None
    assert size_at_480p((1920, 1080), (470.0, 268.0)) == (480, 270)
    assert size_at_480p((160, 120), (150.0, 119.5)) == (160, 120)  # never was larger


@given(count=st.integers(1, 100), frames=st.lists(st.integers(0, 110), max_size=20))
def test_a_frame_or_two_behind_the_end_is_the_last(count: int, frames: list[int]) -> None:
    read = facts_of(25.0, count).readable(frames)
    for wanted, number in zip(frames, read, strict=True):
        assert number == (count - 1 if count <= wanted <= count - 1 + SPARE_FRAMES else wanted)


def test_facts_are_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cotasks.video import facts

    opened = []
    real = facts.probe
    monkeypatch.setattr(facts, "probe", lambda path: opened.append(path) or real(path))
    path = write_video(tmp_path / "a.mp4")
    assert video_facts(path) is video_facts(path)
    assert len(opened) == 1
    write_pictures(path, numbered(30))
    assert video_facts(path).info.frame_count == 30
    assert len(opened) == 2
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        video_facts(path)


def test_warnings_come_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_pictures(tmp_path / "a.mp4", numbered(30))
    with caplog.at_level(logging.WARNING, logger="cotasks.video.check"):
        for _ in range(3):
            assert look_at(path, ANNOTATED, "warn").info.frame_count == 30
        look_at(path, ANNOTATED, "off")
    (line,) = caplog.messages
    assert line.startswith(f"{path}: frame 59 asked for; expected 0 to 29")
    with pytest.raises(OtherVideo):
        look_at(path, ANNOTATED)
    with pytest.raises(InputError, match="video check 'of'; expected fail, warn, off"):
        look_at(path, ANNOTATED, "of")


# Everyone who reads videos --------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two videos with two questions each; `wrong` has a title in front, `good` is the annotated one."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "good.mp4")
    write_pictures(tmp_path / "videos" / "wrong.mp4", [*flat((9, 9, 60), 75), *numbered(60)])
    write_folder(tmp_path / "data", [make_record(name, number) for name in ("good", "wrong") for number in range(2)])
    return tmp_path


def command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_generate_judge_and_report_count_them(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    run = world / "run"
    asked = ("generate", world / "data", "--model", "tiny", "--videos", world / "videos", "--max-new-tokens", 4)
    code, out, _ = command(capsys, *asked, "--run", run)
    assert code == 1
    assert "4 failed: video with another number of frames" in out
    assert "Answered 4 of 8 (4 now)" in out
    rows = [row for path in run.glob("failures/*.jsonl") for row in read_jsonl(path)]
    assert {row["video_id"] for row in rows} == {"wrong"}
    assert all("wrong.mp4: 135 frames; expected the record's 60" in row["detail"] for row in rows)
    assert read_json(run / "run.json")["video_check"] == "fail"
    code, _, err = command(capsys, *asked, "--run", run, "--video-check", "warn")
    assert (code, "run.json: video_check is 'fail', in this command 'warn'" in err) == (2, True)
    assert command(capsys, "judge", run)[0] == 0
    assert command(capsys, "report", run)[0] == 0
    summary = read_json(run / "summary.json")
    assert {row["failures"] for row in summary["generation"]} == {2}
    page = (run / "report.html").read_text()
    assert "questions whose frames cannot be read (video with another number of frames): 2" in page


def test_the_check_can_warn_or_be_off(
    world: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torch")
    asked = ("generate", world / "data", "--model", "tiny", "--videos", world / "videos", "--max-new-tokens", 4)
    for mode, lines in (("warn", 1), ("off", 0)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="cotasks.video.check"):
            code, out, _ = command(capsys, *asked, "--run", world / mode, "--video-check", mode)
        assert code == 0, out
        assert "Answered 8 of 8" in out
        assert sum("wrong.mp4: 135 frames" in line for line in caplog.messages) == lines
        assert read_json(world / mode / "run.json")["video_check"] == mode
    code, _, err = command(capsys, *asked, "--run", world / "x", "--video-check", "of")
    assert (code, "video check 'of'; expected fail, warn, off" in err) == (2, True)


def test_predict_refuses_and_warns_alike(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    asked = ("predict", world / "data", "--model", "tiny", "--videos", world / "videos", "--max-new-tokens", 4)
    code, out, _ = command(capsys, *asked, "--steps", 1, "--run", world / "a")
    assert (code, "2 failed: video with another number of frames" in out) == (1, True)
    code, out, _ = command(capsys, *asked, "--steps", 1, "--run", world / "b", "--video-check", "off")
    assert (code, "Predicted 4 of 4" in out) == (0, True)


def test_show_says_why_it_draws_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ("show", world / "data", "--videos", world / "videos", "--id", "nextqa/validation/wrong/0")
    code, _, err = command(capsys, *shown, "--out", world / "a.png")
    assert (code, "wrong.mp4: 135 frames; expected the record's 60" in err) == (2, True)
    assert not (world / "a.png").exists()
    assert command(capsys, *shown, "--out", world / "a.png", "--video-check", "off")[0] == 0
    assert (world / "a.png").exists()
    record = load_records(str(world / "data")).by_id("nextqa/validation/wrong/0")
    with pytest.raises(OtherVideo):
        cotasks.draw(record, videos=world / "videos")


def test_training_and_export_skip_them(world: Path) -> None:
    records = list(load_records(str(world / "data")))
    rows = [row for record in records for row in examples_of(instructions(record, ("chain",)))]
    events: list[Any] = []
    frames = world / "frames"
    assert write_ms_swift(rows, world / "a.jsonl", world / "videos", frames=frames, report=events.append) == 2
    assert {(event["id"].split("/")[2], event["reason"]) for event in events} == {
        ("wrong", "video with another number of frames")
    }
    options: Any = {"frames": frames, "video_check": "off"}
    assert write_ms_swift(rows, world / "b.jsonl", world / "videos", **options) == 4


def test_the_collator_skips_them(world: Path) -> None:
    pytest.importorskip("torch")
    from cotasks.models.load import load_model
    from cotasks.training.collator import TrainingCollator

    model = load_model("tiny")
    rows = [
        row
        for record in load_records(str(world / "data"))
        for row in examples_of(instructions(record, ("baseline",), family=model.family.name, num_frames=2))
    ]
    events: list[Any] = []
    collate = TrainingCollator(model.processor, model.family, world / "videos", report=events.append)
    assert len(collate(rows)["input_ids"]) == 2
    assert [event["reason"] for event in events] == ["video with another number of frames"] * 2
    assert len(dataclasses.replace(collate, video_check="off")(rows)["input_ids"]) == 4


def test_embedding_refuses_them(world: Path) -> None:
    shards = sorted((world / "data").glob("*/*.parquet"))
    with pytest.raises(InputError, match=r"1 videos are not what .*wrong\.mp4: 135 frames; expected the record's 60"):
        embed.check_videos_of(shards, world / "videos", "fail")
    embed.check_videos_of(shards, world / "videos", "off")
    ODD["a pointer"][1](world / "videos" / "good.mp4")
    for mode in check.MODES:  # a pointer is never published as a video
        with pytest.raises(InputError, match=r"Git LFS pointer; run git lfs pull"):
            embed.check_videos_of(shards, world / "videos", mode)


READERS: dict[str, Callable[[Record, Path], Any]] = {
    "sizes": lambda record, folder: source_size(dataclasses.replace(record, width=None), Videos(folder)),
    "prompts": lambda record, folder: shown_size(record, parse_condition("baseline"), Videos(folder, "off")),
    "pictures": lambda record, folder: draw(record, folder, "off"),
    "export": lambda record, folder: write_ms_swift(
        examples_of(instructions(record, ("baseline",))), folder.parent / "x.jsonl", folder, video_check="off"
    ),
    "embedding": lambda record, folder: embed.find_videos([record.video_path], folder),
}


@pytest.mark.parametrize("reader", READERS)
def test_nobody_leaves_the_folder(reader: str, world: Path) -> None:
    shutil.copy(world / "videos" / "good.mp4", world / "secret.mp4")
    for path in ("../secret.mp4", str(world / "secret.mp4"), "x/../../secret.mp4"):
        record = make_record("good", 0, video_path=path)
        with pytest.raises(InputError, match="expected a path below the video folder"):
            READERS[reader](record, world / "videos")


def test_a_video_that_ends_a_frame_early_is_used(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v.mp4", numbered(58))
    record = make_record("v", 0)
    videos = Videos(tmp_path)
    numbers = videos.look(record).readable([frame.index for frame in record.frames])
    assert numbers == [0, 12, 24, 35, 47, 57]
    assert draw(record, tmp_path).size[0] > 0


# STAR -----------------------------------------------------------------------------------------------------------------


def build_star(realdata: Path, folder: Path, out: Path) -> list[Record]:
    build_folder(BuildOptions("star", data_dir=str(realdata), videos=str(folder)), out, ["train"])
    return list(load_records(str(out), "train"))


def star_video(cases: Path, name: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(cases / "videos" / name, folder / "6H78U.mp4")
    return folder


def scaled(record: Record, across: float, down: float) -> list[Any]:
    by = (across, down, across, down)
    return [
        (track.tid, box.frame, [round(v * f, 6) for v, f in zip(box.xyxy, by, strict=True)])
        for track in record.scene.entity_tracking
        for box in track.boxes
    ]


@pytest.mark.parametrize("size", [(1280, 1920), (640, 960), (160, 240)])
def test_star_boxes_are_scaled_to_the_file(size: tuple[int, int], realdata: Path, cases: Path, tmp_path: Path) -> None:
    (plain,) = build_star(realdata, star_video(cases, "03_star_6H78U_320x480.mp4", tmp_path / "v"), tmp_path / "a")
    assert (plain.width, plain.height, plain.frame_count) == (320, 480, 530)
    assert read_json(tmp_path / "a" / "star" / "build.json")["splits"]["train"]["boxes_rescaled"] == 0
    if size[0] > 1000:
        star_video(cases, "03_star_6H78U_1280x1920.mp4", tmp_path / "v")
    else:
        write_pictures(tmp_path / "v" / "6H78U.mp4", numbered(5, size) * 106, rate=Fraction(17653, 1000), gop=250)
    (record,) = build_star(realdata, tmp_path / "v", tmp_path / "b")
    assert (record.width, record.height) == size
    assert scaled(record, 1, 1) == scaled(plain, size[0] / 320, size[1] / 480)
    assert [frame.index for frame in record.frames] == [frame.index for frame in plain.frames]
    assert read_json(tmp_path / "b" / "star" / "build.json")["splits"]["train"]["boxes_rescaled"] == 1


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (None, r"6H78U.mp4: 30 frames a second; expected the record's 17\.653"),
        (
            lambda p: write_pictures(p, numbered(5, (640, 480)) * 106, rate=Fraction(17653, 1000)),
            "640x480; expected a shape",
        ),
        (
            lambda p: write_pictures(p, numbered(5, (160, 240)) * 106, times=uneven(530)),
            "frames a second; expected|is shown at",
        ),
    ],
)
def test_star_refuses_other_rates_and_shapes(
    write: Any, words: str, realdata: Path, cases: Path, tmp_path: Path
) -> None:
    folder = star_video(cases, "04_star_6H78U_30fps.mp4", tmp_path / "v")
    if write is not None:
        write(folder / "6H78U.mp4")
    with pytest.raises(InputError, match="no record: 1 questions skipped"):
        build_star(realdata, folder, tmp_path / "a")
    (skipped,) = read_jsonl(tmp_path / "a" / "star" / "skipped.jsonl")
    assert re.search(words, skipped["detail"])
    assert "6H78U.mp4: " in skipped["detail"]


def test_star_sizes_that_are_known_are_believed(realdata: Path, cases: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "star").mkdir(parents=True)
    for path in (realdata / "star").iterdir():
        (tmp_path / "data" / "star" / path.name).symlink_to(path)
    sizes = tmp_path / "data" / "star" / "video_sizes.json"
    sizes.write_text('{"6H78U.mp4": [530, 320, 480]}')
    folder = star_video(cases, "03_star_6H78U_1280x1920.mp4", tmp_path / "v")
    (record,) = build_star(tmp_path / "data", folder, tmp_path / "a")
    assert (record.width, record.height) == (1280, 1920)
    (at_480p,) = build_star(realdata, folder, tmp_path / "b")
    assert scaled(record, 1, 1) == scaled(at_480p, 1, 1)
    for said in ([530, 480, 480], [700, 320, 480]):  # another shape, another length than the file's
        sizes.write_text(json.dumps({"6H78U.mp4": said}))
        with pytest.raises(InputError, match="no record: 1 questions skipped"):
            build_star(tmp_path / "data", folder, tmp_path / "c")


def test_star_prompts_of_an_unknown_size_are_those_of_480p(realdata: Path, cases: Path, tmp_path: Path) -> None:
    """Built without the videos, asked with them: whatever their size, boxes are where they were drawn."""
    build_folder(BuildOptions("star", data_dir=str(realdata)), tmp_path / "a", ["train"])
    (record,) = load_records(str(tmp_path / "a"), "train")
    assert record.width is None
    condition, family = parse_condition("cotasks"), FAMILIES["qwen2_vl"]
    texts = set()
    for name in ("03_star_6H78U_320x480.mp4", "03_star_6H78U_1280x1920.mp4"):
        videos = Videos(star_video(cases, name, tmp_path / "v"), "off")
        source = shown_size(record, condition, videos)
        assert source == source_size(record, videos) == (320, 480)
        texts.add(build_prompt(record, condition, family, (320, 480), source).context)
    assert len(texts) == 1
    with pytest.raises(OtherVideo, match=r"30 frames a second; expected the record's 17\.653"):
        shown_size(record, condition, Videos(star_video(cases, "04_star_6H78U_30fps.mp4", tmp_path / "v")))
    assert expected_video(record).reach is not None


def test_star_sheets_of_another_size_are_those_of_480p(realdata: Path, cases: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("star", data_dir=str(realdata)), tmp_path / "a", ["train"])
    (record,) = load_records(str(tmp_path / "a"), "train")
    record = dataclasses.replace(record, frames=record.frames[::16])  # at full size all of them are 0.5 GB
    sheets = []
    for name in ("03_star_6H78U_320x480.mp4", "03_star_6H78U_1280x1920.mp4"):
        folder = star_video(cases, name, tmp_path / "v")
        sheets.append(np.asarray(draw(record, folder, "off")).astype(int))
    assert np.abs(sheets[0] - sheets[1]).max() <= 1  # all is grey but the boxes
