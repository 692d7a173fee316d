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

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.video.packets import (
    Frames,
    Image,
    PacketIndex,
    VideoInfo,
    damaged,
    decoded_frames,
    disposable,
    first_decoded,
    index_packets,
    length_prefix,
    open_video,
    orientation,
    read_index,
    reason_of,
    runs,
    upright,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


READER = 3
"""Grows when other pixels come out of this module; see `cotasks.video.cache`."""


def probe(path: str | Path) -> VideoInfo:
    """Number of frames, rate and size of a video.

    Where the header's count agrees with the container's index it is believed; else the packets are counted. Frames at
    the start that no keyframe precedes cannot be decoded and do not count.

    Raises InputError where the file is missing, empty, cut off, damaged at its start or holds no video.
    """
    with open_video(path) as (container, stream):
        shown = [not entry.is_discard for entry in stream.index_entries]
        count = sum(shown) if 0 < len(shown) == stream.frames else None
        first = first_decoded(container, stream, path)
        if first.pts != stream.start_time:  # frames before it may want a keyframe that is not there
            count = None
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise InputError(f"{path}: no frame rate in its header; expected one", "video without frame rate")
    width, height = (first.height, first.width) if orientation(first)[0] else (first.width, first.height)
    if count is None:
        count = index_packets(path).frame_count
    return VideoInfo(count, float(rate), width, height)


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
        index = read_index(container, stream, path)
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
        if frames is None:
            frames = read_indexed(container, stream, path, index, numbers, size)
    return frames if numbers == list(indices) else frames[inverse]


def read_indexed(
    container: InputContainer,
    stream: VideoStream,
    path: str | Path,
    index: PacketIndex,
    wanted: list[int],
    size: tuple[int, int] | None,
) -> Image:
    """As `read_frames`, for frames `wanted` (ascending, each once, all there) of a file that is open and indexed."""
    frames = _from_keyframes(container, stream, index, wanted, size) if index.seekable else None
    return _from_start(path, index, wanted, size) if frames is None else frames


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
                if time in places or not disposable(packet, prefix):
                    given.add(time)
                    decoded = codec.decode(packet)
                if here == end:
                    decoded += codec.decode(None)  # what the decoder holds back
                for frame in decoded:
                    if frame.pts not in given or frame.is_corrupt:
                        return None
                    given.remove(frame.pts)
                    if frame.pts in places:
                        frames.put(places[frame.pts], wanted[places[frame.pts]], upright(frame))
                if here == end:
                    break
            if given:
                return None
    except av.error.FFmpegError:
        return None
    return frames.pixels


def _from_start(path: str | Path, index: PacketIndex, wanted: list[int], size: tuple[int, int] | None) -> Image:
    """Frames `wanted` (ascending), decoding all from the first and stopping at the last of them."""
    import av

    places = {number: place for place, number in enumerate(wanted)}
    frames = Frames(path, len(wanted), size)
    number, skipped = -1, 0
    with open_video(path) as (container, stream):
        try:
            for number, frame in enumerate(decoded_frames(container, stream)):
                if index.times and frame.pts is not None:
                    if number == 0:  # what is shown before the first keyframe cannot be decoded: not counted
                        skipped = bisect_left(index.times, frame.pts)
                    elif skipped + number >= len(index.times) or frame.pts != index.times[skipped + number]:
                        raise damaged(path, f"frame {number} cannot be decoded")
                if frame.is_corrupt:
                    raise damaged(path, f"frame {number} is damaged")
                if number in places:
                    frames.put(places[number], number, upright(frame))
                    if number == wanted[-1]:
                        assert frames.pixels is not None
                        return frames.pixels
        except av.error.FFmpegError as error:
            stop_at_environment_fault(error, path)
            raise damaged(path, f"cannot be decoded beyond frame {number} ({reason_of(error)})") from None
    raise InputError(
        f"{path}: ends after frame {number}; expected {index.frame_count} frames as its packets say",
        "frame beyond the end of the video",
    )
