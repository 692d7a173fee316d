"""Read frames of a video file by number.

Frame `i` is the i-th frame that the best video stream gives when decoded from the start, turned upright by
the file's rotation. decord reads a file where it is known to be right; elsewhere PyAV decodes from the start:
decord counts and seeks by packets, so it is several frames off where an edit list hides frames or where frames
are shown before the keyframe they follow in the file. A pass over the packets, about 3 ms a megabyte, tells.

Both convert YUV to RGB alike, to the bit. Frames are decoded at full size and then resized by Pillow (bicubic,
antialiased), so that the backend leaves no trace in the pixels; decord could resize while it decodes, in about
two thirds of the time, but its frames then differ from these by 1 of 255 on average and by up to 68.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

T = TypeVar("T")
Image = NDArray[np.uint8]

DECORD_SECONDS = 120.0
"""decord can hang on odd files; after this long PyAV takes over."""
DECORD_BATCH = 16
"""Frames decoded at full size at a time: 100 MB at 1920x1080."""
DECORD_TOLERANCE = 2
"""decord is not trusted with a file where its first frame differs from PyAV's by more, of 255."""
TIMED_CONTAINERS = ("mov", "matroska")
"""Containers that store when each frame is shown; elsewhere the demuxer may have made it up."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: its best video stream."""

    frame_count: int
    """Number of frames that are shown."""
    fps: float
    """Average frames a second."""
    width: int
    """Pixels, after rotation."""
    height: int
    """Pixels, after rotation."""


@dataclass(frozen=True)
class _Scan:
    """What a pass over the packets says."""

    info: VideoInfo
    first: Image
    """The first frame, upright: (height, width, 3), RGB."""
    turns: int
    """Quarter turns, counterclockwise, that bring a decoded frame upright."""
    times: tuple[int, ...]
    """Presentation times of the shown frames in order, in the stream's time base; empty where not stored."""
    keyframes: tuple[int, ...]
    """Positions of the keyframes among all packets, in order of decoding."""
    seekable: bool
    """Whether seeking by packet position, as decord does, finds the right frame."""


def probe(path: str | Path) -> VideoInfo:
    """Number of frames, rate and size of a video.

    Where the header's count agrees with the container's index it is believed; else the packets are counted.

    Raises InputError where the file is missing, empty, cut off, damaged at its start or holds no video.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        entries = list(stream.index_entries)
        if 0 < len(entries) == stream.frames:
            first = _first_frame(container, stream, path)
            return _info(stream, sum(not e.is_discard for e in entries), first, path)
    return _scan(path).info


def read_frames(path: str | Path, indices: Sequence[int], size: tuple[int, int] | None = None) -> Image:
    """Frames of a video by number.

    Args:
        path: the video file.
        indices: 0-based frame numbers, in any order, repeated or not.
        size: (width, height) in pixels to resize to; by default the video's own.

    Returns:
        (len(indices), height, width, 3), RGB.

    Raises InputError where the file is missing, empty, cut off, damaged or holds no video, and where it has
    no frame of a wanted number.
    """
    scan = _scan(path)
    info = scan.info
    wanted, inverse = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    width, height = size or (info.width, info.height)
    if len(wanted) == 0:
        return np.empty((0, height, width, 3), np.uint8)
    outside = [int(i) for i in (wanted[0], wanted[-1]) if not 0 <= i < info.frame_count]
    if outside:
        raise InputError(
            f"{path}: frame {outside[0]} asked for; expected 0 to {info.frame_count - 1}, the video has "
            f"{info.frame_count} frames",
            "frame beyond the end of the video",
        )
    numbers = wanted.tolist()
    frames = _from_decord(path, scan, numbers, (width, height)) if scan.seekable else None
    if frames is None:
        frames = _from_pyav(path, scan, numbers, (width, height))
    return frames if numbers == list(indices) else frames[inverse]


def _open(path: str | Path) -> InputContainer:
    try:
        import av
    except ImportError:
        raise MissingExtra("av", "video") from None
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a video", "video file missing")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file; expected a video", "video file empty")
    try:
        return av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: not a video, or cut off before its index ({_why(error)}); expected a video file",
            "not a video",
        ) from None


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _damaged(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}; expected an intact video", "video damaged")


def _video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """The best video stream. Raises InputError where there is none, or its index runs past the file's end."""
    stream: Any = container.streams.best("video")
    if stream is None:
        raise InputError(f"{path}: no video stream; expected a video", "not a video")
    if container.format.name.startswith("mov"):
        end, size = max((e.pos + e.size for e in stream.index_entries), default=0), Path(path).stat().st_size
        if end > size:
            raise InputError(f"{path}: cut off at byte {size}; expected {end} or more", "video cut off")
    stream.thread_type = "AUTO"
    return stream


def _first_frame(container: InputContainer, stream: VideoStream, path: str | Path) -> Any:
    import av

    try:
        frame = next(container.decode(stream), None)
    except av.error.FFmpegError as error:
        raise _damaged(path, f"the first frame cannot be decoded ({_why(error)})") from None
    if frame is None:
        raise _damaged(path, "no frame can be decoded")
    return frame


def _turns(frame: Any) -> int:
    return round(frame.rotation / 90) % 4


def _info(stream: VideoStream, frame_count: int, first: Any, path: str | Path) -> VideoInfo:
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise InputError(f"{path}: no frame rate in its header; expected one", "video without frame rate")
    width, height = (first.height, first.width) if _turns(first) % 2 else (first.width, first.height)
    return VideoInfo(frame_count, float(rate), width, height)


def _scan(path: str | Path) -> _Scan:
    with _open(path) as container:
        stream = _video_stream(container, path)
        first = _first_frame(container, stream, path)
    with _open(path) as container:
        stream = _video_stream(container, path)
        packets = _packets(container, stream, path)
        timed = container.format.name.startswith(TIMED_CONTAINERS) and all(p.pts is not None for p in packets)
        shown = [p for p in packets if not p.is_discard]
        info = _info(stream, len(shown), first, path)
    times = sorted(p.pts for p in shown) if timed else []
    intact = len(shown) == len(packets) and not any(p.is_corrupt for p in packets)
    turns = _turns(first)
    return _Scan(
        info=info,
        first=_upright(first, turns),
        turns=turns,
        times=tuple(times),
        keyframes=tuple(i for i, p in enumerate(packets) if p.is_keyframe),
        seekable=timed and intact and _closed(packets) and _steady(times),
    )


@dataclass(frozen=True)
class _Packet:
    pts: Any  # int, or None where the container does not say
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def _packets(container: InputContainer, stream: VideoStream, path: str | Path) -> list[_Packet]:
    """What is said of each packet, in order of decoding; their data is let go."""
    import av

    packets: list[_Packet] = []
    try:
        for p in container.demux(stream):
            if p.size:  # the demuxer's end mark has none
                packets.append(_Packet(p.pts, p.is_keyframe, p.is_discard, p.is_corrupt))
    except av.error.FFmpegError as error:
        raise _damaged(path, f"cannot be read beyond packet {len(packets)} ({_why(error)})") from None
    return packets


def _closed(packets: Sequence[_Packet]) -> bool:
    """Whether no packet is shown before the keyframe it follows: decoding can begin at any keyframe."""
    key_time = packets[0].pts
    for packet in packets:
        key_time = packet.pts if packet.is_keyframe else key_time
        if packet.pts < key_time:
            return False
    return True


def _steady(times: Sequence[int]) -> bool:
    """Whether no two frames share a time, and no pause is so long that frames may have been lost there."""
    steps = np.diff(times)
    return len(steps) == 0 or bool(steps.min() > 0 and steps.max() <= 4 * np.median(steps))


def _upright(frame: Any, turns: int) -> Image:
    image: Image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _resize(image: Image, size: tuple[int, int]) -> Image:
    from PIL import Image as pil

    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(pil.fromarray(image).resize(size, pil.Resampling.BICUBIC))


def _fill(images: Iterator[Image], count: int, size: tuple[int, int]) -> Image:
    frames = np.empty((count, size[1], size[0], 3), np.uint8)
    for i, image in enumerate(images):
        frames[i] = _resize(image, size)
    return frames


def _from_decord(path: str | Path, scan: _Scan, wanted: list[int], size: tuple[int, int]) -> Image | None:
    """Frames `wanted` (ascending) by decord; None where it is missing, fails, hangs, or sees other frames."""
    try:
        import decord
    except ImportError:
        return None
    decord.logging.set_level(decord.logging.QUIET)  # FFmpeg's remarks on every odd packet

    def batches() -> Iterator[Image]:
        reader = decord.VideoReader(str(path))
        if len(reader) != scan.info.frame_count or tuple(reader.get_key_indices()) != scan.keyframes:
            raise ValueError("decord counts other frames")
        first = _numpy(reader[0])
        if first.shape != scan.first.shape or _difference(first, scan.first) > DECORD_TOLERANCE:
            raise ValueError("decord sees another first frame")
        for start in range(0, len(wanted), DECORD_BATCH):
            yield from _numpy(reader.get_batch(wanted[start : start + DECORD_BATCH]))

    try:
        return _within(DECORD_SECONDS, lambda: _fill(batches(), len(wanted), size))
    except Exception:  # whatever it is, PyAV either reads the file or says what is wrong with it
        return None


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


def _from_pyav(path: str | Path, scan: _Scan, wanted: list[int], size: tuple[int, int]) -> Image:
    """Frames `wanted` (ascending), decoding from the start and stopping at the last of them."""
    return _fill(_decode(path, scan, wanted), len(wanted), size)


def _decode(path: str | Path, scan: _Scan, wanted: list[int]) -> Iterator[Image]:
    import av

    left = set(wanted)
    number, skipped = -1, 0
    with _open(path) as container:
        stream = _video_stream(container, path)
        try:
            for number, frame in enumerate(container.decode(stream)):
                if scan.times and frame.pts is not None:
                    if number == 0:  # what is shown before the first keyframe cannot be decoded: not counted
                        skipped = bisect_left(scan.times, frame.pts)
                    elif frame.pts != scan.times[skipped + number]:
                        raise _damaged(path, f"frame {number} cannot be decoded")
                if frame.is_corrupt:
                    raise _damaged(path, f"frame {number} is damaged")
                if number in left:
                    image = _upright(frame, scan.turns)
                    if image.shape != scan.first.shape:
                        raise _damaged(path, f"frame {number} has another size than the first")
                    yield image
                    left.remove(number)
                    if not left:
                        return
        except av.error.FFmpegError as error:
            raise _damaged(path, f"cannot be decoded beyond frame {number} ({_why(error)})") from None
    raise InputError(
        f"{path}: ends after frame {number}; expected {scan.info.frame_count} frames as its packets say",
        "frame beyond the end of the video",
    )
