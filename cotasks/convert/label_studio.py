"""Label Studio's JSON export of video tracking: a list of tasks with regions of `type` `videorectangle`.

Frames are 1-based; x, y, width and height are percent of the frame, so its size must be known: the export may state
`original_width` and `original_height`, else the user tells. A region is a list of drawn boxes; from one that is
`enabled` it goes on in straight lines to the next, or stands still to the end of the video: such boxes are `generated`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from cotasks.convert.building import (
    Converted,
    Draft,
    Told,
    from_xywh,
    member,
    number_of,
    read_json_object,
    told_or,
    whole_of,
)
from cotasks.errors import InputError, shorten

Shape = tuple[float, float, float, float]
"""x, y, width, height in percent."""


def read(path: Path, told: Told) -> Converted:
    """The videos of an export. Raises InputError that names file, task, key and what was expected."""
    tasks, found = read_json_object(path), Converted()
    if not isinstance(tasks, list):
        raise InputError(f"{path}: {shorten(tasks)}; expected a list of tasks, as Label Studio exports JSON")
    if told.video is not None and len(tasks) != 1:
        raise InputError(f"{path}: {len(tasks)} tasks; expected one where --video names the video")
    for number, task in enumerate(tasks):
        place = f"{path}: [{number}]"
        results = _results(task, place, found)
        if results is not None:
            draft = told_or(told, Draft("", None, None, None, None, place, found.left_out))
            draft.video = draft.video or _video(task, place)
            for position, region in enumerate(results):
                _region(region, draft, f"{place}: result[{position}]")
            found.videos.append(draft.finish("Label Studio"))
    return found


def _results(task: Any, place: str, found: Converted) -> list[Any] | None:
    """The regions of a task's first annotation that was not cancelled; None where it has none."""
    annotations = member(task, "annotations", list, place, "a list")
    kept = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]
    if not kept:
        found.left_out["tasks without an annotation"] += 1
        return None
    if len(kept) > 1:
        found.left_out["further annotations of a task"] += len(kept) - 1
    result: list[Any] = member(kept[0], "result", list, f"{place}: annotations", "a list")
    return result


def _video(task: Mapping[str, Any], place: str) -> str:
    data = member(task, "data", dict, place, "an object")
    address = data.get("video") or next((v for v in data.values() if isinstance(v, str) and "." in v), None)
    if not isinstance(address, str):
        raise InputError(f"{place}: data names no video; expected its address, or --video")
    return PurePosixPath(urlsplit(address).path).name


def _region(region: Any, draft: Draft, place: str) -> None:
    if member(region, "type", str, place, "the type of a region") != "videorectangle":
        draft.left_out[f"regions other than boxes ({region['type']})"] += 1
        return
    value = member(region, "value", dict, place, "an object")
    for name, key in (("width", "original_width"), ("height", "original_height")):
        if getattr(draft, name) is None and key in region:
            setattr(draft, name, whole_of(region[key], f"{place}: {key}"))
    if draft.width is None or draft.height is None:
        raise InputError(f"{place}: boxes are in percent, and no size is stated; expected --size WIDTHxHEIGHT")
    if draft.frame_count is None and "framesCount" in value:
        draft.frame_count = whole_of(value["framesCount"], f"{place}: framesCount")
    if draft.fps is None and "duration" in value and draft.frame_count is not None:
        duration = number_of(value["duration"], float, f"{place}: duration")
        draft.fps = draft.frame_count / duration if duration > 0 else None
    labels = value.get("labels")
    if not isinstance(labels, list) or not labels or not isinstance(labels[0], str):
        raise InputError(f"{place}: labels is {shorten(labels)}; expected a list of one name")
    entity = str(region.get("id") or place)
    sequence = member(value, "sequence", list, place, "a list of boxes")
    for frame, shape, is_drawn in _boxes(sequence, draft.frame_count, f"{place}: sequence"):
        x, y, width, height = (side / 100 for side in shape)
        box = from_xywh(x * draft.width, y * draft.height, width * draft.width, height * draft.height)
        draft.add(entity, labels[0], frame, box, generated=not is_drawn)


def _boxes(sequence: list[Any], frame_count: int | None, place: str) -> Iterator[tuple[int, Shape, bool]]:
    """(0-based frame, shape, whether it was drawn) of each box, those between drawn ones too."""
    drawn: dict[int, tuple[Shape, bool]] = {}
    for number, item in enumerate(sequence):
        here = f"{place}[{number}]"
        frame = whole_of(member(item, "frame", (int, float), here, "a frame number from 1"), f"{here}: frame") - 1
        if frame < 0:
            raise InputError(f"{here}: frame is {frame + 1}; expected a frame number from 1")
        if item.get("rotation"):
            raise InputError(f"{here}: rotation is {shorten(item['rotation'])}; expected 0, boxes stand upright")
        x, y, width, height = (
            number_of(item.get(key), float, f"{here}: {key}") for key in ("x", "y", "width", "height")
        )
        drawn[frame] = (x, y, width, height), item.get("enabled", True) is True
    frames = sorted(drawn)
    for place_, frame in enumerate(frames):
        shape, is_enabled = drawn[frame]
        yield frame, shape, True
        if not is_enabled:
            continue
        following = frames[place_ + 1] if place_ + 1 < len(frames) else frame_count
        end = drawn[following][0] if following in drawn and following is not None else shape
        for between in range(frame + 1, following if following is not None else 0):
            share = (between - frame) / ((following or 0) - frame)
            yield between, _mixed(shape, end, share), False


def _mixed(start: Shape, end: Shape, share: float) -> Shape:
    x, y, width, height = (a + (b - a) * share for a, b in zip(start, end, strict=True))
    return x, y, width, height
