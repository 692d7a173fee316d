"""Detections of the package `supervision`, which is not needed: its objects, and what its CSV and JSON sinks write.

Each detection needs the id of a track. A track's category is the name that most of its detections have, so that a class
that flickers makes no second entity.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cotasks.convert.building import Converted, Draft, Told, need_video, number_of, read_json_object, told_or, whole_of
from cotasks.errors import InputError, shorten
from cotasks.records.own import OwnAnnotation

COLUMNS = ("x_min", "y_min", "x_max", "y_max", "tracker_id", "frame_index")
UNTRACKED = -1
"""What trackers number a box by that is of no track."""


class Detection(NamedTuple):
    """One box of a track."""

    place: str
    frame: int
    track: int
    xyxy: tuple[float, float, float, float]
    name: str | None
    score: float | None


def from_detections(
    frames: Iterable[tuple[int, Any]],
    *,
    video: str,
    names: Mapping[int, str] | None = None,
    fps: float | None = None,
    frame_count: int | None = None,
    size: tuple[int, int] | None = None,
) -> OwnAnnotation:
    """The annotation of a video from `supervision.Detections`, or anything with `xyxy` (N, 4), `tracker_id` (N),
    `class_id` (N), `confidence` (N) and `data`.

    Args:
        frames: (0-based frame number in the video, its detections).
        video: path of the video below the video folder.
        names: class id -> category; by default what `data["class_name"]` says.
        fps: frames a second, where they are known.
        frame_count: number of frames of the video, likewise.
        size: (width, height) in pixels, likewise; boxes are cut to it.

    Raises InputError where a detection has no track or no category.
    """
    width, height = size or (None, None)
    told = Told(video, fps, frame_count, width, height)
    return _annotation(_of_objects(frames, names), told, "detections").videos[0]


def _of_objects(frames: Iterable[tuple[int, Any]], names: Mapping[int, str] | None) -> Iterator[Detection]:
    for frame, detections in frames:
        place = f"detections of frame {frame}"
        total = len(detections.xyxy)
        columns = (getattr(detections, name, None) for name in ("tracker_id", "class_id", "confidence"))
        tracks, classes, scores = (list[Any]([None] * total if c is None else c) for c in columns)
        data = getattr(detections, "data", None) or {}
        called = list(data["class_name"]) if "class_name" in data else [None] * total
        for number in range(total):
            if tracks[number] is None:
                raise InputError(f"{place}: tracker_id is None; expected detections that a tracker has numbered")
            name = called[number] if names is None else names.get(int(classes[number]))
            x1, y1, x2, y2 = (float(value) for value in detections.xyxy[number])
            score = None if scores[number] is None else float(scores[number])
            yield Detection(place, int(frame), int(tracks[number]), (x1, y1, x2, y2), name and str(name), score)


def read(path: Path, told: Told) -> Converted:
    """The one video of a CSV or JSON file. Raises InputError that names file, row, column and what was expected."""
    need_video(told, path)
    return _annotation((_of_row(row, told, place) for place, row in _rows(path)), told, str(path))


def read_untracked(path: Path) -> list[Detection]:
    """The detections of a CSV or JSON file, those too that no tracker has numbered: their `track` is UNTRACKED.

    Raises InputError that names file, row, column and what was expected.
    """
    found = [_of_row(row, Told(), place, tracked=False) for place, row in _rows(path)]
    for one in found:
        if one.name is None:
            raise InputError(f"{one.place}: class_name is missing; expected it")
    return found


def _rows(path: Path) -> list[tuple[str, Any]]:
    """(place, row) of each detection of a file."""
    if path.suffix.lower() == ".json":
        rows = read_json_object(path)
        if not isinstance(rows, list):
            raise InputError(f"{path}: {shorten(rows)}; expected a list of detections, as JSONSink writes it")
        return [(f"{path}: [{number}]", row) for number, row in enumerate(rows)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "missing file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    reader = csv.DictReader(io.StringIO(text))
    return [(f"{path}:{reader.line_num}", row) for row in reader]


def _of_row(row: Any, told: Told, place: str, tracked: bool = True) -> Detection:
    needed = [name for name in COLUMNS if tracked or name != "tracker_id"]
    missing = [name for name in needed if not isinstance(row, dict) or row.get(name) in (None, "")]
    if missing:
        raise InputError(f"{place}: {missing[0]} is missing; expected {', '.join(needed)}")
    track = row.get("tracker_id")
    corners = [number_of(row[name], float, f"{place}: {name}") for name in COLUMNS[:4]]
    x1, y1, x2, y2 = corners
    confidence = row.get("confidence")
    return Detection(
        place,
        whole_of(row["frame_index"], f"{place}: frame_index"),
        UNTRACKED if track in (None, "") else whole_of(track, f"{place}: tracker_id"),
        (x1, y1, x2, y2),
        str(row.get("class_name") or told.category or "") or None,
        None if confidence in (None, "") else number_of(confidence, float, f"{place}: confidence"),
    )


def _annotation(detections: Iterable[Detection], told: Told, place: str) -> Converted:
    found, kept = Converted(), list(detections)
    draft = told_or(told, Draft("", None, None, None, None, place, found.left_out))
    names: dict[int, Counter[str]] = {}
    for one in kept:
        if one.track < 0:
            raise InputError(f"{one.place}: tracker_id is {one.track}; expected a track's, from 0")
        if one.name is None:
            raise InputError(f"{one.place}: class_name is missing; expected it, or the category of all")
        names.setdefault(one.track, Counter())[one.name] += 1
    for one in kept:
        (category, _), *_ = names[one.track].most_common(1)
        draft.add(one.track, category, one.frame, one.xyxy, generated=True, score=one.score)
    found.videos.append(draft.finish("supervision"))
    return found
