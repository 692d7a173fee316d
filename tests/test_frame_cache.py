from __future__ import annotations

import importlib.metadata
import logging
import multiprocessing
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError, MissingExtra
from cotasks.video import cache as frame_cache
from cotasks.video.cache import FrameCache, cached
from cotasks.video.packets import Image
from cotasks.video.reading import probe, read_frames
from tests.examples import examples
from tests.synthetic import HEIGHT, WIDTH, number_of, write_video

pytest.importorskip("av")
FRAME = HEIGHT * WIDTH * 3
"""Bytes of a frame at full size."""
INDICES = [3, 41, 3]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4")


class Reads:
    """Counts what is read from the video itself."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *args: Any) -> Image:
        self.count += 1
        return read_frames(*args)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads = Reads()
    monkeypatch.setattr(frame_cache, "read_frames", reads)
    return reads


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("where", ["memory", "folder", "both", "nowhere"])
def test_frames_are_those_of_the_video_and_read_once(where: str, video: Path, tmp_path: Path, reads: Reads) -> None:
    folder = tmp_path / "frames" if where in ("folder", "both") else None
    cache = FrameCache(folder, memory_bytes=10**8 if where in ("memory", "both") else 0)
    for size in (None, (56, 28)):
        expected = read_frames(video, INDICES, size)
        for _ in range(3):
            assert np.array_equal(cache.read(video, INDICES, size), expected)
    assert reads.count == (6 if where == "nowhere" else 2)
    assert np.array_equal(cache.read(video, [41, 3, 3]), read_frames(video, [41, 3, 3]))
    kept = len(files(folder)) if folder else 0
    assert cache.read(video, []).shape == (0, HEIGHT, WIDTH, 3)
    assert kept == (len(files(folder)) if folder else 0)


def test_frames_cannot_be_written_to(video: Path, tmp_path: Path) -> None:
    for cache in (FrameCache(), FrameCache(tmp_path), FrameCache(tmp_path, memory_bytes=0), FrameCache(memory_bytes=0)):
        with pytest.raises(ValueError, match="read-only"):
            cache.read(video, INDICES)[0] = 0


@examples(25)
@given(bound=st.integers(0, 6 * FRAME), asked=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 4)), max_size=12))
def test_memory_keeps_what_was_used_last_within_its_bound(
    video: Path, bound: int, asked: list[tuple[int, int]]
) -> None:
    """Against a plain model of what least recently used means."""
    kept: dict[tuple[int, int], int] = {}
    with pytest.MonkeyPatch.context() as patch:
        reads = Reads()
        patch.setattr(frame_cache, "read_frames", reads)
        cache = FrameCache(memory_bytes=bound)
        for first, count in asked:
            before, known = reads.count, (first, count) in kept
            pixels = cache.read(video, [first] * count)
            assert [number_of(p) for p in pixels] == [first] * count
            assert (reads.count == before) is known
            kept.pop((first, count), None)
            if count * FRAME <= bound:
                kept[first, count] = count * FRAME
            while sum(kept.values()) > bound:
                kept.pop(next(iter(kept)))
            assert sum(p.nbytes for p in cache._frames.values()) == cache._bytes == sum(kept.values())


def test_the_folder_keeps_what_was_used_last_within_its_bound(video: Path, tmp_path: Path, reads: Reads) -> None:
    one = 3 * FRAME + 136  # header and checksum
    cache = FrameCache(tmp_path, memory_bytes=0, folder_bytes=3 * one)
    for number in (1, 2, 3):
        cache.read(video, [number] * 3)
        time.sleep(0.01)
    assert sum(path.stat().st_size for path in files(tmp_path)) == 3 * one
    cache.read(video, [1] * 3)  # used again, so 2 is the oldest
    assert reads.count == 3
    cache.read(video, [4] * 3)
    assert sum(path.stat().st_size for path in files(tmp_path)) == 3 * one
    for number in (1, 3, 4):
        cache.read(video, [number] * 3)
    assert reads.count == 4
    cache.read(video, [2] * 3)
    assert reads.count == 5
    cache.read(video, range(20))  # larger than the bound alone
    assert len(files(tmp_path)) == 3


def test_another_process_finds_the_folder(video: Path, tmp_path: Path, reads: Reads) -> None:
    expected = FrameCache(tmp_path).read(video, INDICES)
    again = pickle.loads(pickle.dumps(FrameCache(tmp_path, memory_bytes=7, folder_bytes=10**9)))
    assert (again.folder, again.memory_bytes, again.folder_bytes) == (tmp_path, 7, 10**9)
    assert np.array_equal(again.read(video, INDICES), expected)
    assert reads.count == 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_frames_in_memory_hold_no_file_open(video: Path, tmp_path: Path) -> None:
    for number in range(20):
        FrameCache(tmp_path).read(video, [number])
    cache, before = FrameCache(tmp_path), len(os.listdir("/proc/self/fd"))
    kept = [cache.read(video, [number]) for number in range(20)]
    assert [number_of(pixels[0]) for pixels in kept] == list(range(20))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_video_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    cache = FrameCache(tmp_path / "frames")
    assert cache.probe(path).frame_count == 60
    assert [number_of(f) for f in cache.read(path, INDICES)] == INDICES
    write_video(path, 50, times=[40 * (i + 1) for i in range(50)])
    os.utime(path, ns=(1, 1))
    assert cache.probe(path) == probe(path)
    assert cache.probe(path).frame_count == 50
    assert np.array_equal(cache.read(path, INDICES), read_frames(path, INDICES))
    assert len(files(tmp_path / "frames")) == 2


def test_other_pixels_of_a_later_version_are_not_mixed_in(
    video: Path, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    FrameCache(tmp_path).read(video, INDICES)
    monkeypatch.setattr(frame_cache, "READER", frame_cache.READER + 1)
    FrameCache(tmp_path).read(video, INDICES)
    assert reads.count == 2


def _pickled(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _other_array(path: Path) -> None:
    np.save(path, np.zeros((3, HEIGHT, WIDTH, 3), np.float32))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one bit": _flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "text": lambda path: path.write_text("not an array"),
    "zip": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "pickle": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "array of objects": _pickled,
    "array of other numbers": _other_array,
    "odd header": lambda path: path.write_bytes(path.read_bytes().replace(b"'shape': (3,", b"'shape': (9,")),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_dropped_and_read_again(
    kind: str, video: Path, tmp_path: Path, reads: Reads, caplog: pytest.LogCaptureFixture
) -> None:
    expected = FrameCache(tmp_path).read(video, INDICES).copy()
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    DAMAGE[kind](path)
    assert path.read_bytes() != whole
    with caplog.at_level(logging.WARNING, "cotasks.video.cache"):
        assert np.array_equal(FrameCache(tmp_path).read(video, INDICES), expected)
    assert reads.count == 2
    assert str(path) in caplog.text
    assert path.read_bytes() == whole


def test_a_file_half_written_is_no_frame_and_is_cleared_away(video: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "a.part", tmp_path / "b.part"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    FrameCache(tmp_path).read(video, INDICES)
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_costs_time_and_not_the_run(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache = FrameCache(tmp_path, memory_bytes=0)
    for _ in range(2):
        assert np.array_equal(cache.read(video, INDICES), read_frames(video, INDICES))
    assert files(tmp_path) == []
    assert [r.getMessage() for r in caplog.records] == [f"{tmp_path}: frames are not kept: No space left on device"]


def test_what_is_wrong_with_a_video_is_said_each_time(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "frames")
    bad = tmp_path / "bad.mp4"
    for _ in range(2):
        with pytest.raises(InputError, match=r"bad\.mp4: no such file"):
            cache.read(bad, [0])
        with pytest.raises(InputError, match=r"bad\.mp4: no such file"):
            cache.probe(bad)
    bad.write_text("no video")
    with pytest.raises(InputError, match=r"bad\.mp4: not a video"):
        cache.read(bad, [0])
    assert files(tmp_path / "frames") == []


def test_without_the_library_that_reads(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(frame_cache, "_version", missing)
    monkeypatch.setitem(sys.modules, "av", None)
    for call in (FrameCache().probe, lambda path: FrameCache().read(path, INDICES)):
        with pytest.raises(MissingExtra, match="av is not installed; run: pip install"):
            call(video)


def test_wrong_bounds_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="memory_bytes is -1; expected 0 or more"):
        FrameCache(memory_bytes=-1)
    with pytest.raises(InputError, match="folder_bytes is -5"):
        FrameCache(tmp_path, folder_bytes=-5)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: File exists; expected a folder to keep frames in"):
        FrameCache(tmp_path / "file")


def test_without_a_cache(video: Path) -> None:
    assert cached(None) == (probe, read_frames)
    cache = FrameCache()
    look, read = cached(cache)
    assert look(video) == probe(video)
    assert read(video, [2]) is cache.read(video, [2])


def test_threads_share_one_cache(video: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, memory_bytes=4 * FRAME, folder_bytes=5 * FRAME)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 8, 12).tolist():
            try:
                if [number_of(f) for f in cache.read(video, [number, 50])] != [number, 50]:
                    wrong.append(number)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cache._bytes <= 4 * FRAME


def _work(cache: FrameCache, video: Path, seed: int, wrong: Any) -> None:
    for number in np.random.default_rng(seed).integers(0, 6, 15).tolist():
        if [number_of(f) for f in cache.read(video, [number, 50])] != [number, 50]:
            wrong.put(number)


def test_processes_share_one_folder(video: Path, tmp_path: Path) -> None:
    """The folder holds two of the six requests, so files come and go under the readers' hands."""
    context = multiprocessing.get_context("spawn")
    wrong = context.Queue()
    cache = FrameCache(tmp_path, memory_bytes=0, folder_bytes=5 * FRAME)
    workers = [context.Process(target=_work, args=(cache, video, seed, wrong)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert wrong.empty()
    assert 1 <= len(files(tmp_path)) <= 2
    assert all(path.suffix == ".npy" for path in files(tmp_path))
