"""Video files opened, and what their packets tell.

Which frames there are, when each is shown, where decoding can begin.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError, MissingExtra, stop_at_environment_fault
from cotasks.video.files import CONTAINERS, PICTURE_BRANDS, no_video

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


Image = NDArray[np.uint8]


SEEK_PACKETS = 6
"""A seek costs about as much as decoding so many packets."""


TIMED_CONTAINERS = ("mov", "matroska")
"""Containers that store when each frame is shown; elsewhere the demuxer may have made it up."""


INDEXES = 8
"""Files whose index is remembered in a process: a few more than threads that read."""

_indexes: OrderedDict[tuple[str, int, int], PacketIndex] = OrderedDict()
_lock = threading.Lock()

OPEN_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
"""FFmpeg's, so that a file whose content names others, such as a playlist, does not open them."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: its best video stream."""

    frame_count: int
    """Number of frames that are shown and can be decoded."""
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
    """Number of frames that are shown, without those at the start that no keyframe precedes."""
    times: tuple[int, ...]
    """Presentation times of the shown frames in order, in the stream's time base; empty where not stored."""
    positions: dict[int, int]
    """Presentation time -> position of its packet in order of decoding; empty where not stored."""
    keyframes: tuple[int, ...]
    """Positions of the keyframes in order of decoding."""
    seekable: bool
    """Whether every packet is shown, at a time of its own, and decoding can begin at any keyframe."""


def index_packets(path: str | Path) -> PacketIndex:
    """A pass over the packets of a video. Raises InputError as `probe` does, but for what only decoding shows."""
    with open_video(path) as (container, stream):
        return read_index(container, stream, path)


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream, which is no cover picture.

    Raises InputError where the file is missing, empty, no video in one of `CONTAINERS`, or its index runs past the
    file's end.
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
        # an absolute path, as FFmpeg takes `12:30.mp4` for a protocol
        container = av.open(str(path.absolute()), options=OPEN_OPTIONS, **_decoding_of_tags())
    except (av.error.FFmpegError, OSError) as error:
        stop_at_environment_fault(error, path)
        raise no_video(path, f", or cut off before its index ({reason_of(error)})") from None
    with container:
        stream: Any = _best_stream(container)
        if stream is None:
            cover = " but a cover picture" if container.streams.video else ""
            raise InputError(f"{path}: no video stream{cover}; expected a video", "not a video")
        if container.metadata.get("major_brand") in PICTURE_BRANDS:
            raise InputError(f"{path}: not a video: a picture; expected one", "not a video")
        if stream.codec_context is None:
            raise InputError(f"{path}: no decoder for its codec; expected a common one", "video codec unknown")
        if container.format.name.startswith("mov"):
            end = max((e.pos + e.size for e in stream.index_entries), default=0)
            if end > size:
                raise InputError(f"{path}: cut off at byte {size}; expected {end} or more", "video cut off")
        # frame threads begin anew at each seek and cost a quarter more processor time; callers read several files
        stream.thread_type = "SLICE"
        yield container, stream


def _decoding_of_tags() -> dict[str, Any]:
    """What keeps PyAV from refusing a file whose tags are no UTF-8; from version 19 on it never does."""
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def _best_stream(container: InputContainer) -> VideoStream | None:
    """The video stream that FFmpeg takes for the best; a picture that stands for a sound's cover is none."""
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    best: Any = container.streams.best("video")
    streams: list[Any] = [best, *container.streams.video]
    return next((s for s in streams if s is not None and not s.disposition & pictures), None)


def reason_of(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def damaged(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}; expected an intact video", "video damaged")


def first_frame(path: str | Path) -> Image:
    """The first frame, upright: (height, width, 3), RGB. Raises InputError where it cannot be decoded."""
    with open_video(path) as (container, stream):
        return upright(first_decoded(container, stream, path))


def decoded_frames(container: InputContainer, stream: VideoStream) -> Iterator[Any]:
    """All frames from the start in order. What precedes the first keyframe some decoders drop, and some refuse: it is
    dropped either way. Raises av's errors where anything else cannot be decoded."""
    import av

    begun = False
    for packet in container.demux(stream):
        begun = begun or packet.is_keyframe
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if begun:
                raise
            continue
        yield from frames


def first_decoded(container: InputContainer, stream: VideoStream, path: str | Path) -> Any:
    import av

    try:
        frame = next(decoded_frames(container, stream), None)
    except av.error.FFmpegError as error:
        stop_at_environment_fault(error, path)
        raise damaged(path, f"the first frame cannot be decoded ({reason_of(error)})") from None
    if frame is None:
        raise damaged(path, "no frame can be decoded")
    return frame


def orientation(frame: Any) -> tuple[bool, int, int]:
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


def upright(frame: Any) -> Image:
    image: Image = frame.to_ndarray(format="rgb24")
    swapped, rows, columns = orientation(frame)
    return np.ascontiguousarray((image.swapaxes(0, 1) if swapped else image)[::rows, ::columns])


def read_index(container: InputContainer, stream: VideoStream, path: str | Path) -> PacketIndex:
    """What a pass over the packets of a file says; remembered, as a file is looked at and then read."""
    key = _state(path)
    with _lock:
        known = _indexes.get(key)
    if known is not None:
        return known
    index = _read_index(container, stream, path)
    if key == _state(path):
        with _lock:
            _indexes[key] = index
            while len(_indexes) > INDEXES:
                _indexes.popitem(last=False)
    return index


def _state(path: str | Path) -> tuple[str, int, int]:
    stat = os.stat(path)
    return os.path.abspath(path), stat.st_size, stat.st_mtime_ns


def _read_index(container: InputContainer, stream: VideoStream, path: str | Path) -> PacketIndex:
    import av

    # (time or None, is_keyframe, is_discard, is_corrupt) in order of decoding, without the demuxer's end mark
    packets: list[tuple[Any, bool, bool, bool]] = []
    try:
        for p in container.demux(stream):
            if p.size:
                packets.append((p.pts, p.is_keyframe, p.is_discard, p.is_corrupt))
    except av.error.FFmpegError as error:
        stop_at_environment_fault(error, path)
        raise damaged(path, f"cannot be read beyond packet {len(packets)} ({reason_of(error)})") from None
    entry = next(iter(stream.index_entries), None)
    if packets and not packets[0][1] and entry is not None and entry.is_keyframe and entry.timestamp == packets[0][0]:
        raise damaged(path, "its first keyframe, as the container names it, is none")
    lost = _before_first_keyframe(packets, path)
    timed = container.format.name.startswith(TIMED_CONTAINERS) and all(p[0] is not None for p in packets)
    shown = [p for p in packets if not p[2]]
    positions = {p[0]: i for i, p in enumerate(packets)} if timed else {}
    intact = len(shown) == len(packets) and not any(p[3] for p in packets)
    return PacketIndex(
        frame_count=len(shown) - lost,
        times=tuple(sorted(p[0] for p in shown)[lost:]) if timed else (),
        positions=positions,
        keyframes=tuple(i for i, p in enumerate(packets) if p[1]),
        seekable=timed and intact and len(positions) == len(packets) and _closed(packets),
    )


def _before_first_keyframe(packets: Sequence[tuple[Any, bool, bool, bool]], path: str | Path) -> int:
    """How many of the shown packets cannot be decoded because the keyframe that they refer to is missing."""
    first = next((i for i, packet in enumerate(packets) if packet[1]), 0)
    times = [packet[0] for packet in packets if not packet[2]]
    if any(time is None for time in times):
        return first
    if not times or (first == 0 and min(times) >= packets[0][0]):
        return 0
    with open_video(path) as (container, stream):
        begin = first_decoded(container, stream, path).pts
    return 0 if begin is None else sum(time < begin for time in times)


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
            raise damaged(self.path, f"frame {number} is of another size than those before")
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


def disposable(packet: Any, prefix: int) -> bool:
    """Whether no other picture refers to this one: that is so for an H.264 one whose slices have nal_ref_idc 0."""
    found = slices(packet, prefix) if prefix else []
    return bool(found) and not any(reference for _, reference in found)
