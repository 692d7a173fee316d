"""Records as the formats for records take them: what is annotated of each video, once, and supervision's detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotasks.errors import InputError, MissingExtra
from cotasks.records.boxes import Size
from cotasks.records.schema import Box, Record
from cotasks.records.timeline import is_on_own_clock
from cotasks.records.videos import Videos

if TYPE_CHECKING:
    import supervision

OWN_CLOCK = "records built without the frame rate of their video, which name no frames of it"
ELSEWHERE = "boxes that an earlier record of the video has elsewhere on their frame"
NO_SIZE = "records without a frame size; --videos reads it from the files"


@dataclass(frozen=True)
class Subject:
    """The records that are exported."""

    records: Iterable[Record]
    videos: Videos | None = None
    """None where they are not at hand."""


@dataclass
class VideoScene:
    """What the records of one video hold of it together: their grids may differ."""

    path: str
    """Below the video folder, with forward slashes."""
    size: Size
    """(width, height) in pixels that the boxes refer to."""
    fps: float
    frame_count: int
    """Of the file; where nothing says it, up to the last frame of a grid."""
    grid: set[int] = field(default_factory=set)
    """0-based frames that were looked at: one of them without a box of an entity does not show it."""
    categories: dict[int, str] = field(default_factory=dict)
    """tid -> category"""
    boxes: dict[int, dict[int, Box]] = field(default_factory=dict)
    """tid -> frame -> box"""


def size_of(subject: Subject, record: Record) -> Size | None:
    """(width, height) that a record's boxes refer to; None where nothing says it. Raises as `Videos.size`."""
    if record.width and record.height:
        return record.width, record.height
    return subject.videos.size(record) if subject.videos is not None else None


def usable(subject: Subject, left_out: Counter[str]) -> Iterable[tuple[Record, Size]]:
    """(record, size its boxes refer to) of those whose frames and boxes have a place in a file; others are counted."""
    for record in subject.records:
        if is_on_own_clock(record):
            left_out[OWN_CLOCK] += 1
        elif (size := size_of(subject, record)) is None:
            left_out[NO_SIZE] += 1
        else:
            yield record, size


def scenes_of(subject: Subject, left_out: Counter[str]) -> list[VideoScene]:
    """A scene a video, in the order of the records; what is left out is counted.

    Raises InputError where records of one video say different things of it.
    """
    found: dict[str, VideoScene] = {}
    for record, size in usable(subject, left_out):
        last = max(frame.index for frame in record.frames)
        scene = found.setdefault(record.video_path, VideoScene(record.video_path, size, record.fps, 0))
        if (scene.size, scene.fps) != (size, record.fps):
            said = f"{scene.size} at {scene.fps:g}"
            raise InputError(f"{record.id}: {size} at {record.fps:g} frames a second; expected {said}, as before")
        scene.frame_count = max(scene.frame_count, record.frame_count or last + 1)
        scene.grid |= {frame.index for frame in record.frames}
        scene.categories |= {entity.tid: entity.category for entity in record.scene.entities}
        for track in record.scene.entity_tracking:
            held = scene.boxes.setdefault(track.tid, {})
            left_out[ELSEWHERE] += sum(held.setdefault(box.frame, box) != box for box in track.boxes)
    return list(found.values())


def notes_of(left_out: Counter[str]) -> list[str]:
    """A sentence for each thing that was left out."""
    return [f"Left out {count} {what}." for what, count in left_out.items() if count]


def detections(record: Record, frame: int, *, scene: bool = False) -> supervision.Detections:
    """The boxes of a frame as `supervision.Detections`, which its annotators draw.

    Args:
        record: Whose boxes.
        frame: 0-based frame number in the video file; one of the record's grid.
        scene: All annotated boxes; else those of step 2.

    Returns:
        `xyxy` (N, 4) in pixels of (width, height), by tid; `tracker_id` (N) the tid; `class_id` (N) the place of the
        category among the record's categories by name; `data["class_name"]` and `data["generated"]` (N).

    Raises InputError where the frame is not of the grid, and MissingExtra where supervision is not installed.
    """
    import numpy as np

    try:
        import supervision as sv
    except ImportError:
        raise MissingExtra("supervision is not installed; run: pip install supervision") from None
    if frame not in {one.index for one in record.frames}:
        raise InputError(f"{record.id}: frame {frame} is not of its grid; expected one of record.frames")
    tracks = record.scene.entity_tracking if scene else record.entity_tracking
    names = sorted({entity.category for entity in record.scene.entities})
    found = [
        (track, box)
        for track in sorted(tracks, key=lambda track: track.tid)
        for box in track.boxes
        if box.frame == frame
    ]
    return sv.Detections(
        xyxy=np.array([box.xyxy for _, box in found], np.float64).reshape(-1, 4),
        class_id=np.array([names.index(track.category) for track, _ in found], np.int64),
        tracker_id=np.array([track.tid for track, _ in found], np.int64),
        data={
            "class_name": np.array([track.category for track, _ in found], np.str_),
            "generated": np.array([box.generated for _, box in found], np.bool_),
        },
    )
