"""Read frames of a video file by number.

Frame `i` is the i-th frame that the best video stream gives when decoded from the start, turned or mirrored as the file
says. A pass over the packets, about 5 ms a megabyte, tells which packet holds which frame and where decoding can begin.
Then only what the wanted frames need is decoded: from the keyframe before a frame where that spares packets, on from
the last frame where it does not, and without pictures that no other refers to. Every packet given to the decoder must
come back as a frame of its time; else, and in containers without times or with hidden frames, all is decoded in order.

Frames are decoded at full size and then resized by Pillow (bicubic, antialiased). PyAV reads them by default; decord,
see `cotasks.video.decord_reader`, gives the same frames to the bit and takes 1.3 to 3 times the processor time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError, MissingExtra
from cotasks.records.schema import Record

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]

READER = 3
"""Grows when other pixels come out of this module; see `cotasks.video.cache`."""
SEEK_PACKETS = 6
"""A seek costs about as much as decoding so many packets."""
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
class PacketIndex:
    """What a pass over the packets says; nothing is decoded."""

    frame_count: int
    """Number of frames that are shown."""
    times: tuple[int, ...]
    """Presentation times of the shown frames in order, in the stream's time base; empty where not stored."""
    positions: dict[int, int]
    """Presentation time -> position of its packet in order of decoding; empty where not stored."""
    keyframes: tuple[int, ...]
    """Positions of the keyframes in order of decoding."""
    seekable: bool
    """Whether every packet is shown, at a time of its own, and decoding can begin at any keyframe."""


def probe(path: str | Path) -> VideoInfo:
    """Number of frames, rate and size of a video.

    Where the header's count agrees with the container's index it is believed; else the packets are counted.

    Raises InputError where the file is missing, empty, cut off, damaged at its start or holds no video.
    """
    with open_video(path) as (container, stream):
        shown = [not entry.is_discard for entry in stream.index_entries]
        count = sum(shown) if 0 < len(shown) == stream.frames else None
        first = _first(container, stream, path)
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise InputError(f"{path}: no frame rate in its header; expected one", "video without frame rate")
    width, height = (first.height, first.width) if _shown(first)[0] else (first.width, first.height)
    if count is None:
        count = index_packets(path).frame_count
    return VideoInfo(count, float(rate), width, height)


def source_size(record: Record, folder: Path | None) -> tuple[int, int]:
    """(width, height) that the record's boxes refer to: its own, else that of the video's header, in this folder.

    Raises InputError with the reason `frame size unknown` where neither is to be had.
    """
    if record.width and record.height:
        return record.width, record.height
    if folder is None:
        raise InputError(
            f"{record.id}: no frame size in the record; expected one, or the folder of the videos to read it from",
            "frame size unknown",
        )
    try:
        info = probe(folder / record.video_path)
    except InputError as error:
        raise InputError(f"{record.id}: no frame size in the record; {error}", "frame size unknown") from None
    return info.width, info.height


def index_packets(path: str | Path) -> PacketIndex:
    """A pass over the packets of a video. Raises InputError as `probe` does, but for what only decoding shows."""
    with open_video(path) as (container, stream):
        return _index(container, stream, path)


def read_frames(
    path: str | Path,
    indices: Sequence[int],
    size: tuple[int, int] | None = None,
    backend: Literal["pyav", "decord"] = "pyav",
) -> Image:
    """Frames of a video by number.

    Args:
        path: the video file.
        indices: 0-based frame numbers, in any order, repeated or not.
        size: (width, height) in pixels to resize to; by default the video's own.
        backend: what decodes. The frames are the same; where decord cannot read a file, PyAV does.

    Returns:
        (len(indices), height, width, 3), RGB.

    Raises InputError where the file is missing, empty, cut off, damaged or holds no video, and where it has
    no frame of a wanted number.
    """
    wanted, inverse = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    numbers: list[int] = wanted.tolist()
    if not numbers:
        info = probe(path)
        width, height = size or (info.width, info.height)
        return np.empty((0, height, width, 3), np.uint8)
    with open_video(path) as (container, stream):
        index = _index(container, stream, path)
        outside = [i for i in (numbers[0], numbers[-1]) if not 0 <= i < index.frame_count]
        if outside:
            raise InputError(
                f"{path}: frame {outside[0]} asked for; expected 0 to {index.frame_count - 1}, the video has "
                f"{index.frame_count} frames",
                "frame beyond the end of the video",
            )
        frames = None
        if backend == "decord":
            from cotasks.video.decord_reader import from_decord

            frames = from_decord(path, index, numbers, size)
        if frames is None and index.seekable:
            frames = _from_keyframes(container, stream, index, numbers, size)
    if frames is None:
        frames = _from_start(path, index, numbers, size)
    return frames if numbers == list(indices) else frames[inverse]


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream.

    Raises InputError where the file is missing, empty, no video, or its index runs past the file's end.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("av", "video") from None
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a video", "video file missing")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: empty file; expected a video", "video file empty")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: not a video, or cut off before its index ({_why(error)}); expected a video file",
            "not a video",
        ) from None
    with container:
        stream: Any = container.streams.best("video")
        if stream is None:
            raise InputError(f"{path}: no video stream; expected a video", "not a video")
        if container.format.name.startswith("mov"):
            end = max((e.pos + e.size for e in stream.index_entries), default=0)
            if end > size:
                raise InputError(f"{path}: cut off at byte {size}; expected {end} or more", "video cut off")
        # frame threads begin anew at each seek and cost a quarter more processor time; callers read several files
        stream.thread_type = "SLICE"
        yield container, stream


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _damaged(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}; expected an intact video", "video damaged")


def first_frame(path: str | Path) -> Image:
    """The first frame, upright: (height, width, 3), RGB. Raises InputError where it cannot be decoded."""
    with open_video(path) as (container, stream):
        return _upright(_first(container, stream, path))


def _first(container: InputContainer, stream: VideoStream, path: str | Path) -> Any:
    import av

    try:
        frame = next(container.decode(stream), None)
    except av.error.FFmpegError as error:
        raise _damaged(path, f"the first frame cannot be decoded ({_why(error)})") from None
    if frame is None:
        raise _damaged(path, "no frame can be decoded")
    return frame


def _shown(frame: Any) -> tuple[bool, int, int]:
    """How a frame is shown: whether its axes are swapped, then the steps, 1 or -1, over rows and columns."""
    from av.sidedata.sidedata import Type

    side = frame.side_data.get(Type.DISPLAYMATRIX)
    if side is None:
        return False, 1, 1
    # what is at (x, y) is shown at (a * x + c * y, b * x + d * y), see libavutil/display.h
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].tolist()
    swapped = abs(b) > abs(a)
    rows, columns = (b, c) if swapped else (d, a)
    return swapped, -1 if rows < 0 else 1, -1 if columns < 0 else 1


def _upright(frame: Any) -> Image:
    image: Image = frame.to_ndarray(format="rgb24")
    swapped, rows, columns = _shown(frame)
    return np.ascontiguousarray((image.swapaxes(0, 1) if swapped else image)[::rows, ::columns])


def _index(container: InputContainer, stream: VideoStream, path: str | Path) -> PacketIndex:
    import av

    # (time or None, is_keyframe, is_discard, is_corrupt) in order of decoding, without the demuxer's end mark
    packets: list[tuple[Any, bool, bool, bool]] = []
    try:
        for p in container.demux(stream):
            if p.size:
                packets.append((p.pts, p.is_keyframe, p.is_discard, p.is_corrupt))
    except av.error.FFmpegError as error:
        raise _damaged(path, f"cannot be read beyond packet {len(packets)} ({_why(error)})") from None
    timed = container.format.name.startswith(TIMED_CONTAINERS) and all(p[0] is not None for p in packets)
    shown = [p for p in packets if not p[2]]
    positions = {p[0]: i for i, p in enumerate(packets)} if timed else {}
    intact = len(shown) == len(packets) and not any(p[3] for p in packets)
    return PacketIndex(
        frame_count=len(shown),
        times=tuple(sorted(p[0] for p in shown)) if timed else (),
        positions=positions,
        keyframes=tuple(i for i, p in enumerate(packets) if p[1]),
        seekable=timed and intact and len(positions) == len(packets) and _closed(packets),
    )


def _closed(packets: Sequence[tuple[Any, bool, bool, bool]]) -> bool:
    """Whether no packet is shown before the keyframe it follows: decoding can begin at any keyframe."""
    key_time = None
    for time, is_keyframe, _, _ in packets:
        key_time = time if is_keyframe else key_time
        if key_time is None or time < key_time:
            return False
    return True


def _resize(image: Image, size: tuple[int, int] | None) -> Image:
    from PIL import Image as pil

    if size is None or (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(pil.fromarray(image).resize(size, pil.Resampling.BICUBIC))


class Frames:
    """Frames that come one by one, in any order, gathered into one array."""

    def __init__(self, path: str | Path, count: int, size: tuple[int, int] | None) -> None:
        self.path, self.count, self.size = path, count, size
        self.pixels: Image | None = None
        self._decoded: tuple[int, ...] = ()

    def put(self, place: int, number: int, image: Image) -> None:
        """Set row `place` to frame `number`, at full size. Raises InputError where frames differ in size."""
        resized = _resize(image, self.size)
        if self.pixels is None:
            self.pixels, self._decoded = np.empty((self.count, *resized.shape), np.uint8), image.shape
        if image.shape != self._decoded:
            raise _damaged(self.path, f"frame {number} is of another size than those before")
        self.pixels[place] = resized


def runs(index: PacketIndex, wanted: Sequence[int]) -> list[tuple[int, int]]:
    """What to decode for frames `wanted` of a seekable file: (first packet, last packet), each from a keyframe on."""
    found: list[tuple[int, int]] = []
    for position in sorted(index.positions[index.times[number]] for number in wanted):
        keyframe = index.keyframes[bisect_right(index.keyframes, position) - 1]
        if found and keyframe - found[-1][1] <= SEEK_PACKETS:
            found[-1] = found[-1][0], position
        else:
            found.append((keyframe, position))
    return found


def _from_keyframes(
    container: InputContainer,
    stream: VideoStream,
    index: PacketIndex,
    wanted: list[int],
    size: tuple[int, int] | None,
) -> Image | None:
    """Frames `wanted` (ascending) by `runs`; None where the file does not give what its packets promise."""
    import av

    codec: Any = stream.codec_context
    places = {index.times[number]: place for place, number in enumerate(wanted)}
    in_order = {position: time for time, position in index.positions.items()}
    frames = Frames(container.name, len(wanted), size)
    prefix = length_prefix(codec)
    try:
        for begin, end in runs(index, wanted):
            container.seek(in_order[begin], stream=stream)
            given: set[int] = set()
            following = begin
            for packet in container.demux(stream):
                time: Any = packet.pts
                here = index.positions.get(time, -1) if packet.size else -1  # the demuxer's end mark has no size
                if 0 <= here < begin:  # the seek came out at an earlier keyframe
                    continue
                if here != following:
                    return None
                following += 1
                decoded = []
                if time in places or not _disposable(packet, prefix):
                    given.add(time)
                    decoded = codec.decode(packet)
                if here == end:
                    decoded += codec.decode(None)  # what the decoder holds back
                for frame in decoded:
                    if frame.pts not in given or frame.is_corrupt:
                        return None
                    given.remove(frame.pts)
                    if frame.pts in places:
                        frames.put(places[frame.pts], wanted[places[frame.pts]], _upright(frame))
                if here == end:
                    break
            if given:
                return None
    except av.error.FFmpegError:
        return None
    return frames.pixels


def length_prefix(codec: Any) -> int:
    """Bytes before each unit of an H.264 packet that say its length; 0 where it is not laid out so.

    Source: ISO/IEC 14496-15, AVCDecoderConfigurationRecord.
    """
    extra = codec.extradata
    return (extra[4] & 3) + 1 if codec.name == "h264" and extra and len(extra) > 4 and extra[0] == 1 else 0


def slices(packet: Any, prefix: int) -> list[tuple[int, int]]:
    """(nal_unit_type, nal_ref_idc) of the slices of an H.264 packet; 5 is an IDR picture's (ITU-T H.264, 7.4.1)."""
    data, at, found = memoryview(packet), 0, []
    while at + prefix < len(data):
        header = data[at + prefix]
        if 1 <= header & 31 <= 5:
            found.append((header & 31, header >> 5 & 3))
        at += prefix + int.from_bytes(data[at : at + prefix], "big")
    return found


def _disposable(packet: Any, prefix: int) -> bool:
    """Whether no other picture refers to this one: that is so for an H.264 one whose slices have nal_ref_idc 0."""
    found = slices(packet, prefix) if prefix else []
    return bool(found) and not any(reference for _, reference in found)


def _from_start(path: str | Path, index: PacketIndex, wanted: list[int], size: tuple[int, int] | None) -> Image:
    """Frames `wanted` (ascending), decoding all from the first and stopping at the last of them."""
    import av

    places = {number: place for place, number in enumerate(wanted)}
    frames = Frames(path, len(wanted), size)
    number, skipped = -1, 0
    with open_video(path) as (container, stream):
        try:
            for number, frame in enumerate(container.decode(stream)):
                if index.times and frame.pts is not None:
                    if number == 0:  # what is shown before the first keyframe cannot be decoded: not counted
                        skipped = bisect_left(index.times, frame.pts)
                    elif skipped + number >= len(index.times) or frame.pts != index.times[skipped + number]:
                        raise _damaged(path, f"frame {number} cannot be decoded")
                if frame.is_corrupt:
                    raise _damaged(path, f"frame {number} is damaged")
                if number in places:
                    frames.put(places[number], number, _upright(frame))
                    if number == wanted[-1]:
                        assert frames.pixels is not None
                        return frames.pixels
        except av.error.FFmpegError as error:
            raise _damaged(path, f"cannot be decoded beyond frame {number} ({_why(error)})") from None
    raise InputError(
        f"{path}: ends after frame {number}; expected {index.frame_count} frames as its packets say",
        "frame beyond the end of the video",
    )
