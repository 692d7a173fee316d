"""ImageNet-VidVRD and VidOR: one JSON file a video, in the format of github.com/xdshang/VidVRD-helper.

Frame ids are 0-based list positions. `end_fid` is exclusive, and boxes are inclusive whole pixels: both as the helper's
`dataset.py` and `evaluation` read them. `generated` says whether a tracker wrote a box. Categories and predicates are
open, so that any annotation in the format serves.

Shang et al., "Video Visual Relation Detection", ACM MM 2017, and "Annotating Objects and Relations in User-Generated
Videos", ICMR 2019.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from cotasks.convert.building import Converted, Draft, Told, member, told_or
from cotasks.errors import InputError, shorten, stop_at_environment_fault
from cotasks.records import own_fields as check
from cotasks.records.own import SPATIAL_PREDICATES, OwnRelation
from cotasks.tools.archives import FAULTS
from cotasks.tools.files import utf8

SPATIAL = SPATIAL_PREDICATES | {"front", "left", "right", "toward", "larger", "taller"}
"""Predicates that place or compare two things: VidVRD's, beside those of own data. Those that begin with a verb, such
as `walk_behind`, run over time."""


def read(path: Path, told: Told) -> Converted:
    """The videos of a file, a folder or a zip, read in place.

    An odd box or relation is left out and counted by its reason; of two different boxes of one thing in a frame both
    are. Raises InputError that names the file, the key and what was expected for what is wrong with a whole video.
    """
    found = Converted()
    for place, content in _files(path):
        try:
            raw = orjson.loads(utf8(content, place))
        except orjson.JSONDecodeError as error:
            raise InputError(f"{place}: not JSON: {error}") from None
        found.videos.append(_video(raw, place, told, found).finish("VidVRD"))
        if told.video is not None and len(found.videos) > 1:
            raise InputError(f"{path}: several videos; expected one where --video names the video")
    return found


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """(place, content) of each `.json` file, in the order of their names."""
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                yield str(file), file.read_bytes()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".json") and "__MACOSX" not in name.split("/"):
                        yield f"{path}!{name}", archive.read(name)
        else:
            yield str(path), path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "missing file") from None
    except FAULTS as error:
        stop_at_environment_fault(error, path)
        raise InputError(f"{path}: cannot be read: {error}", "damaged annotation file") from None


def _video(raw: Any, place: str, told: Told, found: Converted) -> Draft:
    video_id = member(raw, "video_id", str, place, "the video's id")
    path = member(raw, "video_path", str, place, "the video's path") if "video_path" in raw else f"{video_id}.mp4"
    count, width, height = (
        check.count(raw.get(name), f"{place}: {name}") for name in ("frame_count", "width", "height")
    )
    fps = check.positive(raw.get("fps"), f"{place}: fps")
    draft = told_or(told, Draft(path, fps, count, width, height, place, found.left_out))
    for number, item in enumerate(member(raw, "subject/objects", list, place, "a list")):
        where = f"{place}: subject/objects[{number}]"
        tid = check.whole(member(item, "tid", int, where, "a whole number from 0"), f"{where}: tid")
        if tid in draft.entities:
            raise InputError(f"{where}: tid is {tid}; expected each tid once", "two objects with one tid")
        draft.entities[tid] = check.name(item.get("category"), f"{where}: category")
    trajectories = member(raw, "trajectories", list, place, "a list")
    if draft.frame_count is not None and len(trajectories) > draft.frame_count:
        raise InputError(
            f"{place}: trajectories has {len(trajectories)} frames; expected at most frame_count = {draft.frame_count}",
            "more annotated frames than frame_count",
        )
    for frame, items in enumerate(trajectories):
        _frame(draft, frame, items, f"{place}: frame {frame}")
    for number, item in enumerate(member(raw, "relation_instances", list, place, "a list")):
        try:
            draft.relations.append(_relation(draft, item, f"{place}: relation_instances[{number}]"))
        except InputError as error:
            draft.left_out[error.reason] += 1
    return draft


def _frame(draft: Draft, frame: int, items: Any, place: str) -> None:
    """The boxes of a frame, inclusive maxima as `max + 1`."""
    if not isinstance(items, list):
        raise InputError(f"{place} is {shorten(items)}; expected a list")
    boxes: dict[int, tuple[tuple[int, int, int, int], bool]] = {}
    doubtful: set[int] = set()
    for item in items:
        try:
            tid, corners, generated = item["tid"], item["bbox"], item["generated"]
            box = tuple(corners[key] for key in ("xmin", "ymin", "xmax", "ymax"))
        except (KeyError, TypeError):
            draft.left_out["malformed box"] += 1
            continue
        if any(type(value) is not int for value in (tid, generated, *box)) or generated not in (0, 1):
            draft.left_out["malformed box"] += 1
        elif tid not in draft.entities:
            draft.left_out["box of a tid without an object"] += 1
        elif box[2] < box[0] or box[3] < box[1]:
            draft.left_out["inverted box"] += 1
        elif tid in boxes:
            draft.left_out["two boxes of one tid in a frame"] += 1
            if boxes[tid][0] != box:
                doubtful.add(tid)
        else:
            boxes[tid] = box, generated == 1
    for tid, (box, generated) in boxes.items():
        if tid in doubtful:
            draft.left_out["two boxes of one tid in a frame"] += 1
            continue
        x1, y1, x2, y2 = (float(value) for value in box)
        draft.add(tid, draft.entities[tid], frame, (x1, y1, x2 + 1, y2 + 1), generated=generated)


def _relation(draft: Draft, item: Any, place: str) -> OwnRelation:
    """Raises InputError, whose reason is counted, where a relation is odd."""
    if not isinstance(item, Mapping):
        raise InputError(f"{place} is {shorten(item)}; expected an object", "malformed relation")
    keys = ("subject_tid", "object_tid", "begin_fid", "end_fid")
    numbers: list[Any] = [item.get(key) for key in keys]
    subject, target, begin, end = numbers
    if any(type(value) is not int for value in numbers):
        expected = "whole subject_tid, object_tid, begin_fid and end_fid"
        raise InputError(f"{place} is {shorten(item, 200)}; expected {expected}", "malformed relation")
    if subject not in draft.entities or target not in draft.entities:
        raise InputError(
            f"{place}: tids {numbers[:2]}; expected those of objects", "relation of a tid without an object"
        )
    if not 0 <= begin < end or (draft.frame_count is not None and end > draft.frame_count):
        expected = f"0 <= begin_fid < end_fid <= frame_count, {draft.frame_count}"
        raise InputError(
            f"{place}: begin_fid {begin}, end_fid {end}; expected {expected}", "relation outside the video"
        )
    try:
        predicate = check.name(item.get("predicate"), f"{place}: predicate")
    except InputError as error:
        raise InputError(str(error), "malformed relation") from None
    return OwnRelation(subject, predicate, target, frames=(begin, end), spatial=predicate in SPATIAL)
