from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cotasks import video
from cotasks.errors import InputError
from cotasks.video import VideoInfo, probe, read_frames
from tests.synthetic import FPS, HEIGHT, WIDTH, number_of, write_video

pytest.importorskip("av")
SAMPLES = ("bottle-detection.mp4", "nasa_13013.mp4", "one-by-one-person-detection.mp4")

# name -> how to write it, and whether decord may read it
FILES: dict[str, tuple[dict[str, Any], bool]] = {
    "plain.mp4": ({}, True),
    "b-frames.mp4": ({"b_frames": 3}, True),
    "keyframes-12.mp4": ({"b_frames": 3, "gop": 12}, True),
    "b-frames.mkv": ({"b_frames": 3, "gop": 30}, True),
    "vp9.webm": ({"codec": "libvpx-vp9"}, True),
    "mjpeg.mp4": ({"codec": "mjpeg", "pixel_format": "yuvj420p"}, True),
    "variable-rate.mp4": ({"times": np.cumsum(np.arange(60) % 3 * 20 + 20).tolist(), "b_frames": 2}, True),
    "fragmented.mp4": ({"gop": 12, "container_options": {"movflags": "frag_keyframe+empty_moov"}}, True),
    # decord is off by several frames after a seek in these
    "open-groups.mp4": ({"b_frames": 3, "gop": 12, "options": {"x264-params": "open-gop=1:b-adapt=0"}}, False),
    "mpeg4.mp4": ({"codec": "mpeg4", "b_frames": 2, "gop": 12}, False),
    "transport.ts": ({"b_frames": 3, "gop": 12}, False),
    "program.mpg": ({"codec": "mpeg2video", "b_frames": 2, "gop": 12}, False),
    "old.avi": ({"codec": "mpeg4"}, False),
}
WANTED = [0, 1, 11, 12, 13, 24, 25, 37, 38, 58, 59]


@pytest.fixture
def decord() -> Any:
    return pytest.importorskip("decord")


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_the_one_asked_for(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, **FILES[name][0])
    assert probe(path).frame_count == 60
    assert (probe(path).width, probe(path).height) == (WIDTH, HEIGHT)
    assert [number_of(f) for f in read_frames(path, WANTED)] == WANTED
    scan = video._scan(path)
    assert [number_of(f) for f in video._from_pyav(path, scan, WANTED, (WIDTH, HEIGHT))] == WANTED
    assert scan.info == probe(path)


@pytest.mark.parametrize("name", FILES)
def test_decord_reads_where_it_is_right_and_agrees_with_pyav(name: str, tmp_path: Path, decord: Any) -> None:
    path = write_video(tmp_path / name, **FILES[name][0])
    scan = video._scan(path)
    assert scan.seekable is FILES[name][1]
    if scan.seekable:
        frames = video._from_decord(path, scan, WANTED, (WIDTH, HEIGHT))
        assert frames is not None
        assert np.array_equal(frames, video._from_pyav(path, scan, WANTED, (WIDTH, HEIGHT)))


def test_open_groups_really_mislead_decord(tmp_path: Path, decord: Any) -> None:
    path = write_video(tmp_path / "a.mp4", **FILES["open-groups.mp4"][0])
    frames = decord.VideoReader(str(path)).get_batch(WANTED).asnumpy()
    assert [number_of(f) for f in frames] != WANTED


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame_count=st.integers(1, 80),
    gop=st.integers(1, 40),
    b_frames=st.integers(0, 4),
    open_groups=st.booleans(),
    suffix=st.sampled_from([".mp4", ".mkv"]),
    seed=st.integers(0, 10**6),
)
def test_every_frame_of_any_structure(
    tmp_path: Path, frame_count: int, gop: int, b_frames: int, open_groups: bool, suffix: str, seed: int
) -> None:
    options = {"x264-params": f"open-gop={int(open_groups)}"}
    path = write_video(tmp_path / f"a{suffix}", frame_count, gop=gop, b_frames=b_frames, options=options)
    wanted = np.random.default_rng(seed).integers(0, frame_count, 9).tolist()
    assert probe(path).frame_count == frame_count
    assert [number_of(f) for f in read_frames(path, wanted)] == wanted


@pytest.mark.parametrize("name", SAMPLES)
def test_real_videos_are_the_same_to_the_bit_from_both_backends(name: str, realdata: Path, decord: Any) -> None:
    path = realdata / "videos" / "samples" / name
    scan = video._scan(path)
    info = scan.info
    assert probe(path) == info
    wanted = sorted(np.random.default_rng(3).choice(info.frame_count, 12, replace=False).tolist())
    assert scan.seekable
    frames = video._from_decord(path, scan, wanted, (info.width, info.height))
    assert frames is not None
    assert np.array_equal(frames, video._from_pyav(path, scan, wanted, (info.width, info.height)))


def test_the_best_of_two_streams_is_read(realdata: Path) -> None:
    info = probe(realdata / "videos" / "samples" / "nasa_13013.mp4")
    assert info == VideoInfo(frame_count=390, fps=30000 / 1001, width=480, height=270)


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotated_videos_come_upright(rotation: int, turns: int, tmp_path: Path, decord: Any) -> None:
    path = write_video(tmp_path / "a.mp4", rotation=rotation)
    size = (WIDTH, HEIGHT) if turns == 2 else (HEIGHT, WIDTH)
    assert probe(path) == VideoInfo(60, FPS, *size)
    frames = read_frames(path, [3, 41])
    assert [number_of(np.rot90(f, -turns)) for f in frames] == [3, 41]
    scan = video._scan(path)
    assert np.array_equal(video._from_pyav(path, scan, [3, 41], size), frames)
    assert video._from_decord(path, scan, [3, 41], size) is not None


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path: Path) -> None:
    import av

    source = write_video(tmp_path / "source.mp4", gop=20, b_frames=2)
    path = tmp_path / "trimmed.mp4"
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with av.open(str(source)) as a, av.open(str(path), "w", options=options) as b:
        stream: Any = a.streams.video[0]
        copy = b.add_stream_from_template(stream)
        first = int(27 / FPS / stream.time_base)
        for packet in a.demux(stream):
            if packet.pts is not None and packet.pts >= int(20 / FPS / stream.time_base):
                packet.pts, packet.dts, packet.stream = packet.pts - first, packet.dts - first, copy
                b.mux(packet)
    assert probe(path).frame_count == 33
    assert [number_of(f) for f in read_frames(path, [0, 5, 32])] == [27, 32, 59]
    assert not video._scan(path).seekable


def test_any_order_and_repeats(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert [number_of(f) for f in read_frames(path, [40, 3, 3, 59])] == [40, 3, 3, 59]
    assert read_frames(path, []).shape == (0, HEIGHT, WIDTH, 3)


def test_resizing_is_pillows_bicubic_of_the_full_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    full, small = read_frames(path, [7]), read_frames(path, [7], size=(56, 28))
    assert small.shape == (1, 28, 56, 3)
    assert np.array_equal(small[0], np.asarray(Image.fromarray(full[0]).resize((56, 28), Image.Resampling.BICUBIC)))


def _cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _scribble(path: Path, at: float) -> Path:
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    data[start : start + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(bytes(data))
    return path


def test_bad_files_are_named_in_one_line(tmp_path: Path) -> None:
    front: dict[str, Any] = {"container_options": {"movflags": "faststart"}, "gop": 12}
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 50)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    cases = {
        "video file missing": tmp_path / "none.mp4",
        "video file empty": empty,
        "video cut off": _cut(write_video(tmp_path / "front.mp4", **front), 0.6),
        "video damaged": _scribble(write_video(tmp_path / "hurt.mp4", **front), 0.5),
    }
    not_videos = [text, _cut(write_video(tmp_path / "end.mp4"), 0.6)]
    for reason, path in [*cases.items(), *(("not a video", path) for path in not_videos)]:
        with pytest.raises(InputError) as caught:
            read_frames(path, [0, 59])
        assert caught.value.reason == reason
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "expected" in message
        assert "\n" not in message
        if reason != "video damaged":  # what lies beyond the first frame, only reading shows
            with pytest.raises(InputError, match=str(path)):
                probe(path)


def test_a_sound_file_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no video stream"):
        probe(path)


@pytest.mark.parametrize("index", [60, -1, 10**6])
def test_a_frame_that_is_not_there(index: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=f"frame {index} asked for; expected 0 to 59") as caught:
        read_frames(path, [0, index])
    assert caught.value.reason == "frame beyond the end of the video"


def test_without_decord_the_frames_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", b_frames=2, gop=12)
    frames = read_frames(path, [5, 50])
    monkeypatch.setitem(sys.modules, "decord", None)
    assert np.array_equal(read_frames(path, [5, 50]), frames)


@pytest.mark.parametrize("fault", ["hangs", "raises", "counts other frames", "sees another first frame"])
def test_pyav_takes_over_from_decord(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decord: Any) -> None:
    path = write_video(tmp_path / "a.mp4", gop=12)
    other = write_video(tmp_path / "b.mp4", gop=10)
    real = decord.VideoReader

    class Reader(real):  # type: ignore[misc, valid-type]
        def __init__(self, uri: str) -> None:
            super().__init__(str(other) if fault == "counts other frames" else uri)

        def __getitem__(self, index: int) -> Any:
            first = super().__getitem__(index)
            return decord.nd.array(255 - first.asnumpy()) if fault == "sees another first frame" else first

        def get_batch(self, indices: list[int]) -> Any:
            if fault == "hangs":
                time.sleep(2)
            raise RuntimeError("no")

    monkeypatch.setattr(video, "DECORD_SECONDS", 0.3)
    monkeypatch.setattr(decord, "VideoReader", Reader)
    started = time.monotonic()
    assert [number_of(f) for f in read_frames(path, [5, 50])] == [5, 50]
    assert time.monotonic() - started < 1.5
