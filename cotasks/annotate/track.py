"""Boxes of single frames -> things that keep their number.

ByteTrack of the package `trackers` (Zhang et al. 2022) matches boxes from frame to frame by their overlap: first the
sure ones, then the weak ones, which carry a thing on but begin none. Each category is tracked alone, so that a rider
and a bicycle never change places. Frames need not be even in time: the tracker is told the seconds.

The tracker names a thing from its second box on; the box before is that of the frame before that overlaps it most. A
thing that is lost for up to LOST_SECONDS keeps its number, and has boxes in between, on a straight line.

A thing that leaves the picture for longer is another when it comes back: motion alone cannot tell a bottle that is put
back from the next person in a queue. Where things come back, `return_seconds` makes them one: a thing that begins up to
so many seconds after another of its category has ended, and whose middle box (the median of each side) overlaps that of
the other by RETURN_IOU, is that one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import pairwise
from typing import Any

import numpy as np

from cotasks.annotate.detect import Found
from cotasks.errors import InputError, MissingExtra

LOST_SECONDS = 1.0
LEAST_IOU = 0.1
"""Of a box and the place where a thing is expected, to be that thing."""
RETURN_IOU = 0.5
NAMED_AT = 2
"""Boxes on frames in a row that make a thing."""

Xyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """Where a thing is on a frame."""

    xyxy: Xyxy
    """x1, y1, x2, y2 in pixels of the video, continuous edges."""
    score: float | None
    """The detector's; None where the box lies between two that a detector found."""
    nearness: float | None = None
    """Greater is nearer; see `cotasks.annotate.depth`."""


@dataclass
class Thing:
    """A tracked thing."""

    id: int
    category: str
    seen: dict[int, Seen] = field(default_factory=dict)
    """Frame number -> where it is, ascending."""


def settings(least: float, return_seconds: float = 0.0) -> dict[str, Any]:
    """What is kept with the boxes of how they were tracked."""
    return {
        "tracker": "trackers.ByteTrackTracker",
        "version": metadata.version("trackers"),
        "begin_score": least,
        "least_iou": LEAST_IOU,
        "named_at": NAMED_AT,
        "lost_seconds": LOST_SECONDS,
        "return_seconds": return_seconds,
    }


def track(
    frames: Sequence[tuple[int, Found]],
    fps: float,
    begin_score: float,
    least_boxes: int = 2,
    return_seconds: float = 0.0,
) -> list[Thing]:
    """The things of a video.

    Args:
        frames: (frame number, what was found there), ascending; frames where nothing was found included.
        fps: of the video.
        begin_score: least score of a box that begins a thing; weaker ones carry one on.
        least_boxes: things with fewer boxes that a detector found are left out.
        return_seconds: how long a thing may be gone and be the same when it comes back; see the module.

    Returns them numbered from 0, in the order in which they appear, from left to right.
    Raises MissingExtra without `trackers`.
    """
    try:
        import trackers  # noqa: F401
    except ImportError:
        raise MissingExtra("trackers", "annotate") from None
    categories = sorted({name for _, found in frames for name in found.categories})
    things = [thing for name in categories for thing in _of_category(name, frames, fps, begin_score)]
    kept = [thing for thing in things if len(thing.seen) >= least_boxes]
    fill(kept, [number for number, _ in frames], fps)
    return numbered(returned(numbered(kept), fps, return_seconds))


def returned(things: Sequence[Thing], fps: float, seconds: float) -> list[Thing]:
    """Things in the order in which they appear, those that come back made one with what they were; see the module."""
    kept: list[Thing] = []
    for thing in things:
        before = [
            other
            for other in kept
            if other.category == thing.category
            and 0 < min(thing.seen) - max(other.seen) <= seconds * fps
            and iou(_middle(thing), _middle(other)) >= RETURN_IOU
        ]
        best = max(before, key=lambda other: iou(_middle(thing), _middle(other)), default=None)
        if best is None:
            kept.append(thing)
        else:
            best.seen |= thing.seen
    return kept


def _middle(thing: Thing) -> Xyxy:
    x1, y1, x2, y2 = np.median([seen.xyxy for seen in thing.seen.values()], axis=0).tolist()
    return x1, y1, x2, y2


def numbered(things: Sequence[Thing]) -> list[Thing]:
    """Things with numbers from 0, in the order in which they appear, from left to right."""
    order = sorted(things, key=lambda t: (min(t.seen), t.seen[min(t.seen)].xyxy, t.category))
    return [Thing(number, thing.category, dict(sorted(thing.seen.items()))) for number, thing in enumerate(order)]


def _of_category(category: str, frames: Sequence[tuple[int, Found]], fps: float, begin_score: float) -> Iterator[Thing]:
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(
        lost_track_buffer=round(30 * LOST_SECONDS),  # in frames of 30 a second, whatever the video has
        frame_rate=fps,
        track_activation_threshold=begin_score,
        high_conf_det_threshold=begin_score,
        minimum_consecutive_frames=NAMED_AT,
        minimum_iou_threshold=LEAST_IOU,
    )
    found: dict[int, dict[int, Seen]] = {}
    waiting: deque[tuple[int, list[Seen]]] = deque(maxlen=1)  # what the frame before has and no thing took
    for number, all_found in frames:
        places = [place for place, name in enumerate(all_found.categories) if name == category]
        xyxy, sure = all_found.xyxy[places], all_found.scores[places]
        rows = supervision.Detections(xyxy.reshape(-1, 4), confidence=sure, data={"place": np.array(places, int)})
        given = tracker.update(rows, timestamp=number / fps)
        unnamed: list[Seen] = []
        ids = np.asarray(given.tracker_id if given.tracker_id is not None else [], int)
        for row, track_id in enumerate(ids.tolist()):
            seen = _seen(all_found, int(given.data["place"][row]))
            if track_id < 0:
                unnamed.append(seen)
                continue
            if track_id not in found:
                found[track_id] = _before(seen, waiting)
            found[track_id][number] = seen
        waiting.append((number, unnamed))
    yield from (Thing(track_id, category, seen) for track_id, seen in sorted(found.items()))


def _seen(found: Found, place: int) -> Seen:
    x1, y1, x2, y2 = (float(value) for value in found.xyxy[place])
    near = None if found.nearness is None else float(found.nearness[place])
    return Seen((x1, y1, x2, y2), float(found.scores[place]), near)


def _before(seen: Seen, waiting: deque[tuple[int, list[Seen]]]) -> dict[int, Seen]:
    """The box by which the tracker began a thing, on the frame before the one where it names it."""
    for number, others in waiting:
        best = max(others, key=lambda other: iou(seen.xyxy, other.xyxy), default=None)
        if best is not None and iou(seen.xyxy, best.xyxy) >= LEAST_IOU:
            others.remove(best)
            return {number: best}
    return {}


def iou(one: Xyxy, other: Xyxy) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inner = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return inner / (areas - inner) if inner else 0.0


def fill(things: Sequence[Thing], frames: Sequence[int], fps: float) -> None:
    """Boxes on the frames between two of a thing that are not too far apart, on a straight line."""
    for thing in things:
        known = sorted(thing.seen)
        for before, after in pairwise(known):
            if (after - before) / fps > LOST_SECONDS + 1e-6:
                continue
            start, end = np.array(thing.seen[before].xyxy), np.array(thing.seen[after].xyxy)
            for number in frames:
                if before < number < after:
                    share = (number - before) / (after - before)
                    x1, y1, x2, y2 = (start + share * (end - start)).tolist()
                    thing.seen[number] = Seen((x1, y1, x2, y2), None)
        thing.seen = dict(sorted(thing.seen.items()))


def kept_as_filed(frames: Sequence[tuple[int, Found]], ids: Sequence[Sequence[Any]], place: str) -> list[Thing]:
    """The things of detections that name their track already: `ids` for each frame that of each of its boxes; a
    thing's category is the name that most of its boxes have.

    Raises InputError where a track has two boxes on a frame.
    """
    seen: dict[Any, dict[int, Seen]] = {}
    names: dict[Any, list[str]] = {}
    for (number, found), of_frame in zip(frames, ids, strict=True):
        for row, track_id in enumerate(of_frame):
            if number in seen.setdefault(track_id, {}):
                raise InputError(f"{place}: frame {number}: track {track_id} has two boxes; expected one")
            seen[track_id][number] = _seen(found, row)
            names.setdefault(track_id, []).append(found.categories[row])
    return numbered([Thing(0, max(names[key], key=names[key].count), boxes) for key, boxes in seen.items()])
