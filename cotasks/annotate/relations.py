"""Spatial relations of boxes, by geometry that can be checked with a ruler.

On a frame, of a subject A and an object B (x to the right, y downwards):

    above          A's lower edge is not under B's middle, A's centre is over B's upper edge, and at least half of the
                   narrower one's width is over the other
    beneath        B above A
    inside         at least INSIDE of A's area lies in B, and A's area is at most HALF_AREA of B's
    next_to        A and B overlap in height by at least half of the lower one, their gap in width is at most NEXT_GAP
                   of the mean of their widths, and they cover one another by at most half of the narrower one's width;
                   neither inside the other. It holds both ways
    in_front_of    with depths alone: the boxes touch, and A's nearness is greater than B's by NEARER of the frame's
                   range
    behind         B in_front_of A

Over time, between a frame and the one that is nearest to MOTION_SECONDS later:

    towards        A's centre moves by at least MOVED of the root of its area, and the distance of the centres shrinks
                   by at least half of that
    away           the same, and the distance grows

A relation begins at the first frame of a stretch of frames at which it holds, and ends before the next frame looked at
after it; a single frame at which it does not hold between two at which it does is passed over, and a stretch of less
than LEAST_FRAMES frames is none. Frames at which one of the two has no box break a stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cotasks.annotate.track import Thing
from cotasks.records.own import OwnRelation

INSIDE = 0.9
HALF_AREA = 0.5
NEXT_GAP = 0.5
NEARER = 0.1
MOTION_SECONDS = 1.0
MOVED = 0.25
LEAST_FRAMES = 2

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Geometry = Callable[[Floats, Floats], Flags]


def settings(with_depth: bool) -> dict[str, Any]:
    """What is kept with the relations of how they were made."""
    names = [*SPATIAL, "towards", "away", *(("in_front_of", "behind") if with_depth else ())]
    numbers = {
        "inside": INSIDE,
        "inside_area": HALF_AREA,
        "next_gap": NEXT_GAP,
        "motion_seconds": MOTION_SECONDS,
        "moved": MOVED,
        "least_frames": LEAST_FRAMES,
    }
    return {"predicates": names, **numbers, **({"nearer": NEARER} if with_depth else {})}


def _sides(box: Floats) -> tuple[Floats, Floats]:
    return box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]


def _overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """How far boxes overlap in width and in height; negative for a gap."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    return (high - low)[:, 0], (high - low)[:, 1]


def above(a: Floats, b: Floats) -> Flags:
    """Of boxes (frames, 4); see the module."""
    across, _ = _overlap(a, b)
    narrower = np.minimum(_sides(a)[0], _sides(b)[0])
    over = (a[:, 3] <= (b[:, 1] + b[:, 3]) / 2) & ((a[:, 1] + a[:, 3]) / 2 <= b[:, 1])
    return np.asarray(over & (across >= narrower / 2))


def inside(a: Floats, b: Floats) -> Flags:
    """Of boxes (frames, 4); see the module."""
    across, down = _overlap(a, b)
    areas = [width * height for width, height in (_sides(a), _sides(b))]
    inner = np.maximum(across, 0) * np.maximum(down, 0)
    return np.asarray((inner >= INSIDE * areas[0]) & (areas[0] <= HALF_AREA * areas[1]))


def next_to(a: Floats, b: Floats) -> Flags:
    """Of boxes (frames, 4); see the module."""
    across, down = _overlap(a, b)
    (width_a, height_a), (width_b, height_b) = _sides(a), _sides(b)
    beside = (down >= np.minimum(height_a, height_b) / 2) & (-across <= NEXT_GAP * (width_a + width_b) / 2)
    return np.asarray(beside & (across <= np.minimum(width_a, width_b) / 2) & ~inside(a, b) & ~inside(b, a))


SPATIAL: dict[str, Geometry] = {
    "above": above,
    "beneath": lambda a, b: above(b, a),
    "inside": inside,
    "next_to": next_to,
}


def spatial_relations(
    things: Sequence[Thing], frames: Sequence[int], fps: float, frame_count: int
) -> Iterator[OwnRelation]:
    """The relations between the things of a video, subject by subject.

    Args:
        things: with a box on some of the frames, and a nearness where depths are known.
        frames: all that were looked at, ascending.
        fps: of the video.
        frame_count: of the video; stretches end within it.
    """
    numbers = np.array(frames)
    boxes = {thing.id: _boxes(thing, frames) for thing in things}
    near = {thing.id: _nearness(thing, frames) for thing in things}
    later = _later(numbers, fps)
    for one in things:
        for other in things:
            if one.id == other.id:
                continue
            a, b = boxes[one.id], boxes[other.id]
            both = ~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0])
            if both.sum() < LEAST_FRAMES:
                continue
            with np.errstate(invalid="ignore"):
                held = {name: geometry(a, b) & both for name, geometry in SPATIAL.items()}
                held |= motion(a, b, later)
                held |= in_depth(a, b, near[one.id], near[other.id])
            for name, flags in held.items():
                for begin, end in stretches(flags & both, both, numbers, frame_count):
                    yield OwnRelation(one.id, name, other.id, frames=(begin, end), spatial=True)


def _boxes(thing: Thing, frames: Sequence[int]) -> Floats:
    """(frames, 4), nan where the thing has no box."""
    nothing = (np.nan,) * 4
    return np.array([thing.seen[n].xyxy if n in thing.seen else nothing for n in frames], np.float64).reshape(-1, 4)


def _nearness(thing: Thing, frames: Sequence[int]) -> Floats:
    found = [thing.seen[n].nearness if n in thing.seen else None for n in frames]
    return np.array([np.nan if value is None else value for value in found], np.float64)


def _later(numbers: npt.NDArray[np.int64], fps: float) -> npt.NDArray[np.int64]:
    """For each frame the place of the one nearest to MOTION_SECONDS later; its own at the end of the video."""
    wanted = numbers + MOTION_SECONDS * fps
    after = np.searchsorted(numbers, wanted).clip(max=len(numbers) - 1)
    before = (after - 1).clip(min=0)
    nearest = np.where(np.abs(numbers[before] - wanted) < np.abs(numbers[after] - wanted), before, after)
    return np.asarray(np.maximum(nearest, np.arange(len(numbers))))


def motion(a: Floats, b: Floats, later: npt.NDArray[np.int64]) -> dict[str, Flags]:
    """`towards` and `away` of boxes (frames, 4); `later` says which frame each is compared with."""
    centres = [(box[:, :2] + box[:, 2:]) / 2 for box in (a, b)]
    width, height = _sides(a)
    least = MOVED * np.sqrt(width * height)
    moved = np.linalg.norm(centres[0][later] - centres[0], axis=1)
    distance = np.linalg.norm(centres[0] - centres[1], axis=1)
    # how much the subject's own motion changes its distance from where the object was
    change = np.linalg.norm(centres[0][later] - centres[1], axis=1) - distance
    change = np.where((distance[later] - distance) * change > 0, change, 0.0)
    return {
        "towards": np.asarray((moved >= least) & (change <= -least / 2)),
        "away": np.asarray((moved >= least) & (change >= least / 2)),
    }


def in_depth(a: Floats, b: Floats, near_a: Floats, near_b: Floats) -> dict[str, Flags]:
    """`in_front_of` and `behind` of boxes (frames, 4) whose nearness (frames,) is a share of the frame's range."""
    across, down = _overlap(a, b)
    touch = (across >= 0) & (down >= 0)
    return {
        "in_front_of": np.asarray(touch & (near_a - near_b >= NEARER)),
        "behind": np.asarray(touch & (near_b - near_a >= NEARER)),
    }


def stretches(held: Flags, there: Flags, numbers: npt.NDArray[np.int64], frame_count: int) -> Iterator[tuple[int, int]]:
    """[begin, end) in frame numbers of the stretches at which a relation holds.

    Args:
        held: (frames,) whether it holds.
        there: (frames,) whether both things have a box.
        numbers: (frames,) numbers of the frames looked at, ascending.
        frame_count: of the video.
    """
    smooth = held.copy()
    if len(held) > 2:
        smooth[1:-1] |= held[:-2] & held[2:] & there[1:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], smooth.astype(np.int8), [0]])))
    for first, behind in edges.reshape(-1, 2).tolist():
        if behind - first < LEAST_FRAMES:
            continue
        # up to the next frame looked at, where it is known to hold no more, but no further than the frames lie apart
        gap = int(numbers[behind - 1] - numbers[behind - 2])
        end = int(numbers[behind - 1]) + gap
        if behind < len(numbers):
            end = min(end, int(numbers[behind]))
        yield int(numbers[first]), min(max(end, int(numbers[behind - 1]) + 1), frame_count)
