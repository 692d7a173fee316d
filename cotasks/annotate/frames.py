"""Which frames of a video are looked at: all that a build shows, and enough between them to track by."""

from __future__ import annotations

from collections.abc import Iterable

from cotasks.errors import InputError
from cotasks.records.own import OwnQuestion
from cotasks.records.schema import Span
from cotasks.records.timeline import clip_frames, uniform_grid
from cotasks.video.packets import VideoInfo

TRACK_FPS = 5.0
"""Frames a second that are looked at beside the grids: people and animals then move by less than their own size from
one to the next, which is what matching boxes by their overlap needs."""


def wanted_frames(
    info: VideoInfo, questions: Iterable[OwnQuestion], num_frames: int, track_fps: float
) -> tuple[int, ...]:
    """Frame numbers, ascending, each once: the uniform grid of the video, or of the clip, of each question, and from
    the first to the last of them so many a second that are even in time.

    Args:
        info: of the video.
        questions: about the video.
        num_frames: of a grid, as of `cotasks build --num-frames`.
        track_fps: frames a second to track by; 0 for none beside the grids.

    Raises InputError where a clip is outside the video.
    """
    wanted: set[int] = set()
    for question in questions:
        start, end = question.clip or (0.0, info.frame_count / info.fps)
        first, last = clip_frames(Span(start, end), info.fps)
        last = min(last, info.frame_count - 1)
        if first > last:
            seconds = info.frame_count / info.fps
            raise InputError(
                f"{question.place}: clip is {[start, end]}; expected it within the video's {seconds:g} s", "empty clip"
            )
        wanted.update(uniform_grid(first, last, num_frames))
    if track_fps and wanted:
        step = min(max(info.fps / track_fps, 1.0), float(info.frame_count))
        first, last = min(wanted), max(wanted)
        wanted.update(first + round(number * step) for number in range(int((last - first) / step) + 1))
    return tuple(sorted(wanted))
