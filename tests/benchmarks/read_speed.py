"""Reading frames, against the three ways one would otherwise read them, and through the cache, in one run.

    python -m tests.benchmarks.read_speed [--seconds 44] [--rounds 5] [--video FILE]...

Writes two videos of 640x360 at 30 frames a second, H.264 with B-frames, a keyframe every 12 and every 250 frames, and
reads 64 and 8 uniform frames of them at full size by

- `read_frames` of this package;
- decord's `get_batch`;
- PyAV, decoding from the start to the last wanted frame, with slice threads and with frame and slice threads;
- PyAV, a seek for each wanted frame.

All are seen to give the same pixels, and take turns in each round, so that a busy machine is as busy for all. Ratios
are of the sums over the rounds. The aim is at most 1.1 times the best of the others; and for the 9 questions of a video
under two conditions, each with its header and its frames by a new cache, at most 1.1 times one decode.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
from PIL import Image as pil

from cotasks.records.timeline import uniform_grid
from cotasks.video.cache import FrameCache
from cotasks.video.packets import Image
from cotasks.video.reading import probe, read_frames

WIDTH, HEIGHT, FPS = 640, 360, 30
QUESTIONS, CONDITIONS = 9, 2


def write_film(path: Path, seconds: float, keyframe_every: int) -> Path:
    """A camera that pans over a textured scene with a little noise, and four things that move in it."""
    generator = np.random.default_rng(0)
    patches = pil.fromarray(generator.integers(0, 256, (60, 100, 3), dtype=np.uint8))
    scene = np.asarray(patches.resize((1600, 900), pil.Resampling.BICUBIC)) + generator.normal(0, 8, (900, 1600, 3))
    scene = scene.clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.max_b_frames = 3
        keyframes = f"keyint={keyframe_every}:min-keyint={keyframe_every}:scenecut=0"
        stream.options = {"preset": "veryfast", "crf": "28", "x264-params": keyframes}
        for i in range(round(seconds * FPS)):
            left, top = int(480 + 470 * np.sin(i / 200)), int(270 + 260 * np.sin(i / 310))
            image = scene[top : top + HEIGHT, left : left + WIDTH].copy()
            for k in range(4):
                x, y = (i * (k + 2) + 150 * k) % (WIDTH - 60), int(HEIGHT / 2 + HEIGHT / 3 * np.sin(i / 30 + k))
                image[y : y + 50, x : x + 60] = (40 * k, 250 - 50 * k, 60 * k)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def by_decord(path: Path, wanted: list[int]) -> Image:
    """decord, as its documentation shows it."""
    frames: Image = decord.VideoReader(str(path)).get_batch(wanted).asnumpy()
    return frames


def sequential(threads: str, path: Path, wanted: list[int]) -> Image:
    """PyAV from the start to the last wanted frame; only wanted ones are converted."""
    left, frames = set(wanted), []
    with av.open(str(path)) as container:
        stream: Any = container.streams.best("video")
        stream.thread_type = threads
        for number, frame in enumerate(container.decode(stream)):
            if number in left:
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == len(left):
                    break
    return np.stack(frames)


def seeking(path: Path, wanted: list[int]) -> Image:
    """PyAV, a seek for each wanted frame; right for a constant rate."""
    frames = []
    with av.open(str(path)) as container:
        stream: Any = container.streams.best("video")
        step, start = 1 / stream.average_rate / stream.time_base, stream.start_time or 0
        for number in wanted:
            time_wanted = start + round(number * step)
            container.seek(time_wanted, stream=stream)
            frame = next(f for f in container.decode(stream) if f.pts >= time_wanted)
            frames.append(frame.to_ndarray(format="rgb24"))
    return np.stack(frames)


OTHERS: Mapping[str, Callable[[Path, list[int]], Image]] = {
    "decord get_batch": by_decord,
    "PyAV sequential": partial(sequential, "SLICE"),
    "PyAV sequential, frame threads": partial(sequential, "AUTO"),
    "PyAV seeking": seeking,
}


def take_turns(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Name -> (wall, processor) seconds a call, the mean over the rounds; a round before them warms up."""
    seconds = {name: np.zeros(2) for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter(), time.process_time()
            call()
            if number:
                seconds[name] += (time.perf_counter() - start[0], time.process_time() - start[1])
    return {name: (float(s[0]) / rounds, float(s[1]) / rounds) for name, s in seconds.items()}


def compare(path: Path, count: int, rounds: int) -> None:
    """Print what each way takes."""
    wanted = uniform_grid(0, probe(path).frame_count - 1, count)
    ours = read_frames(path, wanted)
    calls: dict[str, Callable[[], Any]] = {"ours": partial(read_frames, path, wanted)}
    for name, read in OTHERS.items():
        try:
            same = np.array_equal(read(path, wanted), ours)
        except Exception as error:
            print(f"    {name}: {type(error).__name__}")
            continue
        calls[name if same else f"{name} (other frames)"] = partial(read, path, wanted)
    seconds = take_turns(calls, rounds)
    print(f"  {count} frames")
    for name, (wall, processor) in seconds.items():
        print(f"    {name:38} {wall * 1000:7.0f} ms on the wall {processor * 1000:7.0f} ms of the processor")
    right = [pair for name, pair in seconds.items() if name != "ours" and "other" not in name]
    for kind, what in enumerate(("on the wall", "of the processor")):
        best = min(pair[kind] for pair in right)
        print(f"    ours is {seconds['ours'][kind] / best:.2f} times the best of the others {what}")


def compare_cache(path: Path, rounds: int) -> None:
    """Print what all questions of a video under two conditions take through the cache, against one decode."""
    wanted = uniform_grid(0, probe(path).frame_count - 1, 64)

    def ask(cache: FrameCache) -> None:
        for _ in range(QUESTIONS * CONDITIONS):
            cache.probe(path)
            cache.read(path, wanted)

    with tempfile.TemporaryDirectory() as folder:
        filled = FrameCache(folder)
        filled.read(path, wanted)
        calls: dict[str, Callable[[], Any]] = {
            "one decode": partial(read_frames, path, wanted),
            "in memory": lambda: ask(FrameCache()),
            "in a folder that is new": lambda: ask(FrameCache(tempfile.mkdtemp(dir=folder))),
            "in a folder that has them": lambda: ask(FrameCache(folder)),
            "a new process each time, in a folder that has them": lambda: [
                FrameCache(folder).read(path, wanted) for _ in range(QUESTIONS * CONDITIONS)
            ],
        }
        seconds = take_turns(calls, rounds)
    print(f"  64 frames for {QUESTIONS} questions under {CONDITIONS} conditions")
    for name, (wall, processor) in seconds.items():
        ratios = [mine / one for mine, one in zip((wall, processor), seconds["one decode"], strict=True)]
        print(f"    {name:52} {wall * 1000:5.0f} ms, {ratios[0]:.2f} times; processor {ratios[1]:.2f} times")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=44.0, help="length of the videos (default: 44)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--video", type=Path, action="append", default=[], help="measure this file too")
    args = parser.parse_args(arguments)
    decord.logging.set_level(decord.logging.QUIET)
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_film(Path(folder) / f"keyframes-{n}.mp4", args.seconds, n) for n in (12, 250)]
        for path in [*paths, *args.video]:
            info = probe(path)
            print(f"{path.name}: {info.frame_count} frames of {info.width}x{info.height}, {path.stat().st_size} bytes")
            for count in (64, 8):
                compare(path, count, args.rounds)
            compare_cache(path, args.rounds)


if __name__ == "__main__":
    main()
