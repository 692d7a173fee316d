"""The grid of frames, and the way between frame numbers and seconds.

Frame numbers are 0-based positions in the video file; seconds are `frame / fps`, file time.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Sequence

import numpy as np

from cotasks.errors import InputError
from cotasks.records.schema import Frame, Record, Span

OWN_CLOCK = 1.0
"""Frames a second of a record whose source names seconds and no frame rate, and that was built without its video. Its
frame numbers are no positions in the file, and it has no `frame_count`."""

NUM_FRAMES = 64
"""Frames shown to a model by default (CoTasks paper, section 4)."""


def uniform_grid(first: int, last: int, num_frames: int) -> list[int]:
    """`unique(round(linspace(first, last, num_frames)))`: frame numbers, ascending, both ends included.

    Where the stretch holds fewer than `num_frames` frames, all of them. A single frame is the middle one.

    Raises InputError unless 0 <= first <= last and num_frames >= 1.
    """
    if not 0 <= first <= last:
        raise InputError(f"no frame between {first} and {last}; expected 0 <= first <= last", "empty clip")
    if num_frames < 1:
        raise InputError(f"num_frames is {num_frames}; expected 1 or more")
    if num_frames == 1:
        return [(first + last) // 2]
    return list(dict.fromkeys(np.round(np.linspace(first, last, num_frames)).astype(np.int64).tolist()))


def snapped_grid(uniform: Sequence[int], keyframes: Collection[int]) -> list[int]:
    """Put annotated keyframes on a uniform grid.

    Each keyframe takes the place of one frame of `uniform`, one to one and in order, so that the shifts
    `abs(keyframe - replaced)` add up to the least possible; the other frames stay. Where there are more keyframes
    than places, an even choice of the keyframes fills all places.

    Args:
        uniform: frame numbers, strictly ascending.
        keyframes: frame numbers, in any order.

    Returns:
        `len(uniform)` frame numbers, strictly ascending. (A shifted keyframe never meets or passes a frame that
        stayed: taking that frame's place would have been the smaller shift.)
    """
    keys = sorted(set(keyframes))
    if not keys:
        return list(uniform)
    n, k = len(uniform), len(keys)
    if k >= n:
        return [keys[i] for i in np.round(np.linspace(0, k - 1, n)).astype(int)]
    # cost[i][j]: least total shift when the first i keyframes sit on the first j places (i <= j)
    grid = np.asarray(uniform, dtype=np.int64)
    cost = np.full((k + 1, n + 1), np.iinfo(np.int64).max // 4, dtype=np.int64)
    cost[0] = 0
    for i, key in enumerate(keys, 1):
        take = cost[i - 1, :-1] + np.abs(grid - key)  # keyframe i on place j
        cost[i, 1:] = np.minimum.accumulate(take)
    places: list[int] = []
    j = n
    for i in range(k, 0, -1):
        while cost[i, j - 1] == cost[i, j]:
            j -= 1
        places.append(j - 1)
        j -= 1
    taken = set(places)
    return sorted(set(keys) | {f for place, f in enumerate(uniform) if place not in taken})


def near_grid(uniform: Sequence[int], keyframes: Collection[int]) -> list[int]:
    """Put annotated keyframes on a uniform grid without emptying any part of it.

    Where there are no more keyframes than places, as `snapped_grid`. Where there are more, each frame of `uniform`
    gives its place to the nearest of the keyframes that are nearer to it than to any other (the earlier of two); one
    without such a keyframe stays, so that a thing annotated densely in a part of the clip takes none from the rest.

    Args:
        uniform: frame numbers, strictly ascending.
        keyframes: frame numbers, in any order.

    Returns:
        `len(uniform)` frame numbers, strictly ascending.
    """
    keys = sorted(set(keyframes))
    if len(keys) <= len(uniform):
        return snapped_grid(uniform, keys)
    places = np.asarray(uniform)
    nearest: dict[int, int] = {}
    for key in keys:
        place = int(np.abs(places - key).argmin())
        best = nearest.get(place)
        if best is None or abs(key - uniform[place]) < abs(best - uniform[place]):
            nearest[place] = key
    return [nearest.get(place, frame) for place, frame in enumerate(uniform)]


def grid_frames(indices: Sequence[int], fps: float) -> tuple[Frame, ...]:
    """Frame numbers -> grid frames with their seconds."""
    return tuple(Frame(index=i, seconds=i / fps) for i in indices)


def thin(frames: Sequence[Frame], num_frames: int) -> tuple[Frame, ...]:
    """Fewer frames of a grid: positions `round(linspace(0, G - 1, num_frames))`.

    A grid that is every frame of its clip has no more to give: it is returned whole where more are asked for.

    Raises InputError where more frames are asked for than the grid has, and the clip has more.
    """
    total = len(frames)
    is_whole_clip = total > 0 and frames[-1].index - frames[0].index + 1 == total
    if num_frames > total and not is_whole_clip:
        raise InputError(
            f"{num_frames} frames asked for, the record's grid has {total}; build with --num-frames {num_frames}",
            "grid too small",
        )
    return tuple(frames[i] for i in uniform_grid(0, total - 1, num_frames))


def clip_frames(clip: Span, fps: float) -> tuple[int, int]:
    """(first, last) frame of a clip with `start <= frame / fps <= end`, both included; last < first where none."""
    first = max(0, math.floor(clip.start_seconds * fps) - 1)
    while first / fps < clip.start_seconds:
        first += 1
    last = math.ceil(clip.end_seconds * fps) + 1
    while last >= 0 and last / fps > clip.end_seconds:
        last -= 1
    return first, last


def frames_in_spans(frames: Sequence[Frame], spans: Sequence[Span]) -> tuple[int, ...]:
    """Numbers of the grid frames with start <= seconds <= end; a span that holds none takes the nearest one.

    Of two frames equally near, the earlier is taken.
    """
    seconds = [f.seconds for f in frames]
    chosen: set[int] = set()
    for span in spans:
        low = bisect.bisect_left(seconds, span.start_seconds)
        high = bisect.bisect_right(seconds, span.end_seconds)
        if low < high:
            chosen.update(f.index for f in frames[low:high])
        else:
            middle = (span.start_seconds + span.end_seconds) / 2
            chosen.add(min(frames, key=lambda f: abs(f.seconds - middle)).index)
    return tuple(sorted(chosen))


def runs(chosen: Collection[int], frames: Sequence[Frame]) -> list[tuple[Frame, Frame]]:
    """(first, last) of each unbroken run of chosen frames on the grid; frames off the grid are ignored."""
    wanted = set(chosen)
    result: list[tuple[Frame, Frame]] = []
    previous_chosen = False
    for frame in frames:
        if frame.index in wanted:
            result.append((result.pop()[0], frame) if previous_chosen else (frame, frame))
        previous_chosen = frame.index in wanted
    return result


def spans_of_frames(chosen: Collection[int], frames: Sequence[Frame]) -> tuple[Span, ...]:
    """The spans that unbroken runs of chosen grid frames cover, from the first to the last frame of each."""
    return tuple(Span(first.seconds, last.seconds) for first, last in runs(chosen, frames))


def overlaps(begin_frame: int, end_frame: int, fps: float, spans: Sequence[Span]) -> bool:
    """Whether frames [begin_frame, end_frame) touch a span: each frame stands for [index, index + 1) / fps."""
    begin, end = begin_frame / fps, end_frame / fps
    return any(begin <= span.end_seconds and end > span.start_seconds for span in spans)


def is_on_own_clock(record: Record) -> bool:
    """Whether a record's frames are whole seconds, and no positions in the file; so they may be positions in a file of
    one frame a second too."""
    return record.fps == OWN_CLOCK and record.frame_count is None


def check_clock(record: Record, fps: float, path: object) -> None:
    """Raises InputError where frames of a video of `fps` frames a second are to be shown for a record that was built on
    a clock of its own."""
    if is_on_own_clock(record) and abs(fps - OWN_CLOCK) > 1e-3:
        raise InputError(
            f"{record.id}: built without the frame rate of its video, on a clock of one frame a second; {path} has "
            f"{fps:g} frames a second; expected records built with --videos to show it",
            "built without the frame rate of its video",
        )
