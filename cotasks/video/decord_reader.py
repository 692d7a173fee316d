"""Read frames with decord, where it can be trusted with the file.

decord counts and seeks by packets, so it is several frames off where an edit list hides frames or where frames are
shown before the keyframe they follow in the file; it gives half-built pictures after a seek in streams that are
refreshed bit by bit instead of by keyframes; and it can hang on odd files. `trusted` leaves all these to PyAV.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cotasks.video.packets import Frames, Image, PacketIndex, first_frame, length_prefix, open_video, slices

T = TypeVar("T")

DECORD_SECONDS = 120.0
"""decord can hang; after this long PyAV takes over."""
DECORD_BATCH = 16
"""Frames decoded at full size at a time: 100 MB at 1920x1080."""
DECORD_TOLERANCE = 2
"""decord is not trusted with a file where its first frame differs from PyAV's by more, of 255."""


def trusted(path: str | Path, index: PacketIndex) -> bool:
    """Whether decord's count of packets is the number of the frame, and its seeks come out at whole pictures."""
    if not index.seekable or not _steady(index.times):
        return False
    with open_video(path) as (container, stream):
        prefix = length_prefix(stream.codec_context)
        if stream.codec_context.name != "h264":
            return True
        return prefix > 0 and all(5 in dict(slices(p, prefix)) for p in container.demux(stream) if p.is_keyframe)


def from_decord(path: str | Path, index: PacketIndex, wanted: list[int], size: tuple[int, int] | None) -> Image | None:
    """Frames `wanted` (ascending) by decord; None where it is missing, not trusted, fails, hangs, or sees others."""
    try:
        import decord
    except ImportError:
        return None
    if not trusted(path, index):
        return None
    decord.logging.set_level(decord.logging.QUIET)  # FFmpeg's remarks on every odd packet
    first = first_frame(path)

    def read() -> Image | None:
        reader = decord.VideoReader(str(Path(path).absolute()))  # else `12:30.mp4` is a protocol
        if len(reader) != index.frame_count or tuple(reader.get_key_indices()) != index.keyframes:
            return None
        seen = _numpy(reader[0])
        if seen.shape != first.shape or _difference(seen, first) > DECORD_TOLERANCE:
            return None
        frames = Frames(path, len(wanted), size)
        for start in range(0, len(wanted), DECORD_BATCH):
            numbers = wanted[start : start + DECORD_BATCH]
            for place, image in enumerate(_numpy(reader.get_batch(numbers)), start):
                frames.put(place, wanted[place], image)
        return frames.pixels

    try:
        return _within(DECORD_SECONDS, read)
    except Exception:  # whatever it is, PyAV either reads the file or says what is wrong with it
        return None


def _steady(times: Sequence[int]) -> bool:
    """Whether no pause is so long that frames may have been lost there."""
    steps = np.diff(times)
    return len(steps) == 0 or bool(steps.max() <= 4 * np.median(steps))


def _difference(a: Image, b: Image) -> int:
    return int(np.abs(a.astype(np.int16) - b).max())


def _numpy(batch: Any) -> Image:
    """The array of decord, or the tensor of the bridge that the caller has set."""
    array: Image = batch.asnumpy() if hasattr(batch, "asnumpy") else np.asarray(batch)
    return array


def _within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, or TimeoutError; work that hangs is left behind in its thread."""
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no result after {seconds} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
