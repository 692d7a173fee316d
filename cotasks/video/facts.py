"""What a video file says of itself: its header, when its frames are shown, and how much there is to see on a few."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError
from cotasks.video.packets import PacketIndex, VideoInfo, open_video, read_index
from cotasks.video.reading import probe, read_indexed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

REMEMBERED = 4096
"""Videos whose facts are kept in a process, so that the questions about a video look at it once."""

SPARE_FRAMES = 2
"""Files encoded anew often lack a frame or two at the end, which their encoder or cutter held back. Where a record asks
for one of these, the last frame of the file stands in."""

EVEN_SECONDS = 0.005
"""Times are even where none strays further: Matroska rounds to a millisecond, some writers to some more."""

PICTURES = 4
"""Frames looked at; where these are mostly flat, LAST_PICTURES are."""
LAST_PICTURES = 8
FIRST_FRAMES = 64
"""In a file where decoding cannot begin in the middle, the pictures are of its first frames, which cost least."""
PICTURE_SIZE = (64, 48)
"""Pixels that a frame is shrunk to before its contrast is taken, so that noise counts little."""

FLAT = 2.0
"""A picture is flat where the standard deviation of its brightness, of 255, is less: what a decoder shows of a codec
that it does not know is 0, what a camera shows of a dark room is 4 and more."""


@dataclass(frozen=True)
class VideoFacts:
    """What a file says."""

    info: VideoInfo
    rate: float
    """Frames a second from the first frame to the last; the header's where the container does not store times."""
    times: NDArray[np.float64] | None
    """(frame_count,) seconds from the first frame to each, ascending; None where they are even."""
    flat: bool | None
    """Whether there is nothing to see on all frames looked at, or all but one; None where none was looked at."""

    def seconds(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """When frames of the file are shown, counted from its first one."""
        return frames / self.rate if self.times is None else self.times[frames]

    def readable(self, frames: Sequence[int]) -> list[int]:
        """The numbers to read for frames of a record: the last frame for those up to SPARE_FRAMES behind it."""
        last = self.info.frame_count - 1
        return [last if last < frame <= last + SPARE_FRAMES else frame for frame in frames]


def video_facts(path: str | Path, pictures: bool = True) -> VideoFacts:
    """The facts of a file, remembered as long as its size and time of change are the same.

    Args:
        path: the video file.
        pictures: look at some frames too.

    Raises InputError as `cotasks.video.probe` does, and where the packets cannot be read to the end.
    """
    try:
        stat = os.stat(path)
    except OSError:
        with open_video(path):  # which says what is wrong
            raise
    return _facts(str(path), stat.st_size, stat.st_mtime_ns, pictures)


@lru_cache(REMEMBERED)
def _facts(path: str, size: int, changed: int, pictures: bool) -> VideoFacts:
    info = probe(path)
    with open_video(path) as (container, stream):
        index = read_index(container, stream, path)
        info = dataclasses.replace(info, frame_count=index.frame_count)  # a header may say something else
        rate, times = _times(info, index, float(stream.time_base or 0))
        flat = _is_flat(container, stream, path, index) if pictures else None
    return VideoFacts(info, rate, times, flat)


def _times(info: VideoInfo, index: PacketIndex, base: float) -> tuple[float, NDArray[np.float64] | None]:
    """`VideoFacts.rate` and `VideoFacts.times`; `base` is the length of a unit of the index's times, in seconds."""
    if len(index.times) < 2 or index.times[-1] == index.times[0]:
        return info.fps, None
    times = (np.asarray(index.times, np.float64) - index.times[0]) * base
    rate = float((len(times) - 1) / times[-1])
    even = np.abs(times - np.arange(len(times)) / rate).max() <= EVEN_SECONDS
    return rate, None if even else times


def _is_flat(container: InputContainer, stream: VideoStream, path: str, index: PacketIndex) -> bool | None:
    """`VideoFacts.flat`. Frames that cannot be decoded are none of its business: whoever reads them is told."""
    if not index.frame_count:
        return None
    try:
        few = _of_keyframes(container, stream, index)
        if not few:
            few = _of_frames(
                container, stream, path, index, _spread(range(FIRST_FRAMES)[: index.frame_count], PICTURES)
            )
        if 2 * sum(contrast < FLAT for contrast in few) < len(few):
            return False
        many = _of_frames(container, stream, path, index, _spread(range(index.frame_count), LAST_PICTURES))
    except InputError:
        return None
    return sum(contrast >= FLAT for contrast in many) <= (len(many) > PICTURES)


def _spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly, the first and the last among them."""
    return [items[i] for i in sorted({round(n * (len(items) - 1) / (count - 1)) for n in range(count)})]


def _of_keyframes(container: InputContainer, stream: VideoStream, index: PacketIndex) -> list[float]:
    """The contrast of some keyframes, each decoded alone; empty where there are too few, or decoding cannot begin at
    them."""
    import av

    if not index.seekable or len(index.keyframes) < PICTURES - 1:
        return []
    codec: Any = stream.codec_context
    keys = set(_spread(index.keyframes, PICTURES))
    contrasts = []
    try:
        for time in sorted(time for time, position in index.positions.items() if position in keys):
            container.seek(time, stream=stream)
            packet = next((packet for packet in container.demux(stream) if packet.pts == time), None)
            frames = [] if packet is None else [*codec.decode(packet), *codec.decode(None)]
            if not frames:
                return []
            image = frames[0].reformat(*PICTURE_SIZE, format="gray", interpolation="AREA").to_ndarray()
            contrasts.append(float(image.std()))
    except av.error.FFmpegError:
        return []
    return contrasts


def _of_frames(
    container: InputContainer, stream: VideoStream, path: str, index: PacketIndex, frames: list[int]
) -> list[float]:
    """The contrast of frames, ascending: the standard deviation of their brightness, 0 to 255."""
    pixels = read_indexed(container, stream, path, index, frames, PICTURE_SIZE)
    return [float(image.mean(axis=-1).std()) for image in pixels]
