"""COCO-style video JSON, in its two common forms.

- YouTube-VIS: `videos` with `file_names`, and `annotations` with one `bboxes` entry for each of them, or null. The
  number in a file's name is its frame in the video (0-based) where all names have one, ascending; else its position.
- TAO, and others with `images` that name `video_id` and `frame_index` (or `frame_id`, both 0-based), and `annotations`
  that name `image_id` and `track_id` (or `instance_id`).

Boxes are left, top, width, height in pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cotasks.convert.building import Converted, Draft, Told, from_xywh, member, number_of, read_json_object, told_or
from cotasks.errors import InputError, shorten

SUFFIX = ".mp4"
"""Of a video whose entry names frames or no file."""


def read(path: Path, told: Told) -> Converted:
    """The videos of a file. Raises InputError that names file, entry, key and what was expected."""
    data, found = read_json_object(path), Converted()
    videos = _by_id(data, "videos", path)
    categories = {
        id_: member(row, "name", str, f"{path}: categories", "a name")
        for id_, row in _by_id(data, "categories", path).items()
    }
    if told.video is not None and len(videos) != 1:
        raise InputError(f"{path}: {len(videos)} videos; expected one where --video names the video")
    images = _by_id(data, "images", path) if "images" in data else {}
    drafts: dict[Any, Draft] = {}
    for id_, row in videos.items():
        sizes = {key: row[key] for key in ("width", "height") if isinstance(row.get(key), int)}
        draft = Draft(_name(row, path), None, None, sizes.get("width"), sizes.get("height"), str(path), found.left_out)
        if isinstance(row.get("fps"), int | float) and row["fps"] > 0:
            draft.fps = float(row["fps"])
        drafts[id_] = told_or(told, draft)
    for number, row in enumerate(member(data, "annotations", list, str(path), "a list")):
        place = f"{path}: annotations[{number}]"
        category = categories.get(member(row, "category_id", (int, str), place, "that of a category"))
        if category is None:
            raise InputError(f"{place}: category_id is {shorten(row['category_id'])}; expected that of a category")
        image = None
        if "bboxes" not in row:
            image = images.get(member(row, "image_id", (int, str), place, "the id of an image, or bboxes"))
            if image is None:
                raise InputError(f"{place}: image_id is {shorten(row['image_id'])}; expected the id of an image")
        video = member(row if image is None else image, "video_id", (int, str), place, "the id of a video")
        if video not in drafts:
            raise InputError(f"{place}: video_id is {shorten(video)}; expected the id of a video")
        boxes = _many(row, _frames(videos[video], path), place) if image is None else _one(row, image, place)
        score = row.get("score")
        for entity, frame, box in boxes:
            draft = drafts[video]
            draft.add(entity, category, frame, from_xywh(*box), generated=score is not None, score=score)
    found.videos += [draft.finish("COCO video") for draft in drafts.values()]
    return found


def _by_id(data: Any, key: str, path: Path) -> dict[Any, Mapping[str, Any]]:
    rows = member(data, key, list, str(path), "a list, as COCO-style video JSON has it")
    return {member(row, "id", (int, str), f"{path}: {key}[{n}]", "an id"): row for n, row in enumerate(rows)}


def _name(row: Mapping[str, Any], path: Path) -> str:
    """The path of a video: its name, or the folder of its frames, with an ending."""
    name = row.get("name") or row.get("file_name")
    if not isinstance(name, str):
        files = row.get("file_names")
        name = str(PurePosixPath(files[0]).parent) if isinstance(files, list) and files else None
    if name in (None, "", "."):
        raise InputError(f"{path}: video {shorten(row.get('id'))} has no name, file_name or file_names; expected one")
    return name if re.search(r"\.[A-Za-z0-9]{2,4}$", name) else name + SUFFIX


def _frames(row: Mapping[str, Any], path: Path) -> list[int]:
    """The frame number of each of a video's files."""
    files = member(row, "file_names", list, f"{path}: video {shorten(row.get('id'))}", "a list of files")
    numbers = [int(n[-1]) for file in files if (n := re.findall(r"[0-9]+", PurePosixPath(str(file)).stem))]
    ascending = len(numbers) == len(files) and numbers == sorted(set(numbers))
    return numbers if ascending else list(range(len(files)))


def _many(row: Mapping[str, Any], frames: list[int], place: str) -> Iterator[tuple[Any, int, list[float]]]:
    """A whole track: one entry a file."""
    boxes, entity = member(row, "bboxes", list, place, "a list"), member(row, "id", (int, str), place, "an id")
    if len(boxes) != len(frames):
        raise InputError(f"{place}: {len(boxes)} bboxes for {len(frames)} files; expected one each")
    yield from ((entity, frame, _box(box, place)) for frame, box in zip(frames, boxes, strict=True) if box is not None)


def _one(row: Mapping[str, Any], image: Mapping[str, Any], place: str) -> Iterator[tuple[Any, int, list[float]]]:
    """One box of a track."""
    track = "track_id" if "track_id" in row else "instance_id"
    frame = "frame_index" if "frame_index" in image else "frame_id"
    entity = member(row, track, (int, str), place, "the id of a track")
    yield entity, member(image, frame, int, f"{place}: its image", "a frame number"), _box(row.get("bbox"), place)


def _box(box: Any, place: str) -> list[float]:
    if not isinstance(box, list) or len(box) != 4:
        raise InputError(f"{place}: box {shorten(box)}; expected [left, top, width, height]")
    return [number_of(value, float, f"{place}: box") for value in box]
