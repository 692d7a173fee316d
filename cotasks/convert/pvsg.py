"""PVSG: objects, relations and masks of 400 videos at 5 frames a second; files of github.com/LilyDaytoy/OpenPVSG.

    pvsg.json   {"objects", "relations", "split": {part: {train, val}}, "data": [video]}
    <PART>/<part>_masks.zip, or <part>/masks/<video>/<frame>.png    parts: vidor, epic_kitchen, ego4d

A video: `video_id`, `meta` (height, width, fps, num_frames), `objects` [{object_id, category, is_thing}], `relations`
[[subject, object, predicate, [[begin, end], ...]]], `qa_pairs`, `captions`, `summary`. Frames are 0-based, and **both
ends of a stretch are included**. A mask is a PNG with a palette whose pixels hold object ids, 0 for none; the box of an
object is the least one around its pixels. Frame numbers are those of PVSG's own video files, which have 5 frames a
second, those that were made from VidOR's too. Predicates that the list at the head of `pvsg.json` lacks, and relations
of objects that are not to be seen, are deliberate, and kept.

Yang et al., "Panoptic Video Scene Graph Generation", CVPR 2023.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cotasks.convert.building import Converted, Draft, Told, member, read_json_object, told_or
from cotasks.errors import InputError, MissingExtra, shorten, stop_at_environment_fault
from cotasks.records import own_fields as check
from cotasks.records.own import SPATIAL_PREDICATES, OwnRelation
from cotasks.tools.archives import FAULTS, check_inside, kept_open

PARTS = ("vidor", "epic_kitchen", "ego4d")
"""What the videos come from; names of the folders below PVSG's data folder."""

SPATIAL = SPATIAL_PREDICATES | {"toward"}
"""Predicates that say where things are, with underscores for blanks: beside, in, in_front_of, next_to, on, over and
toward of PVSG's 57. All others run over time."""

_MEMBER = re.compile(r"(.*?)([^/]+)/[0-9]{4}\.png")

Note = Callable[[InputError], None]
"""Takes what is odd about a box or a relation, which is then left out."""


@dataclass(frozen=True)
class Masks:
    """Where the masks of a video lie: a folder, or a part of a zip that is read in place."""

    path: str
    """The folder, or the zip."""
    prefix: str | None = None
    """Of the names inside the zip; None for a folder."""

    def place(self, frame: int) -> str:
        """The file, or `zip!member`, of a frame's mask."""
        name = f"{frame:04d}.png"
        return os.path.join(self.path, name) if self.prefix is None else f"{self.path}!{self.prefix}{name}"

    def read(self, frame: int) -> bytes:
        """A frame's mask. Raises InputError where there is none, or it cannot be read."""
        try:
            if self.prefix is None:
                return Path(self.path, f"{frame:04d}.png").read_bytes()
            return kept_open(self.path).read(f"{self.prefix}{frame:04d}.png")
        except (KeyError, FileNotFoundError):
            raise InputError(f"{self.place(frame)}: no such file; expected the mask", "no mask of a frame") from None
        except FAULTS as error:
            stop_at_environment_fault(error, self.place(frame))
            raise InputError(f"{self.place(frame)}: cannot be read: {error}", "damaged mask") from None

    def checksum(self, frames: Iterable[int]) -> int:
        """CRC-32 over those of the masks of these frames; a zip states them, so that nothing is unpacked."""
        total = 0
        for frame in frames:
            try:
                if self.prefix is None:
                    found = zlib.crc32(self.read(frame))
                else:
                    found = kept_open(self.path).getinfo(f"{self.prefix}{frame:04d}.png").CRC
            except (KeyError, InputError):
                continue  # a mask that is missing or damaged is counted where it is read
            total = zlib.crc32(f"{frame} {found:08x}\n".encode(), total)
        return total


def find_masks(root: Path) -> dict[str, Masks]:
    """Video id -> its masks, in the zips and folders below the folder of `pvsg.json`; folders are taken before zips.

    Raises InputError where a zip is damaged, or has a member whose name leaves the archive.
    """
    found: dict[str, Masks] = {}
    for path in sorted([*root.glob("*_masks.zip"), *root.glob("*/*_masks.zip")]):
        try:
            names = kept_open(path).namelist()
        except (OSError, zipfile.BadZipFile) as error:
            stop_at_environment_fault(error, path)
            raise InputError(f"{path}: not a readable zip: {error}", "damaged annotation file") from None
        for name in names:
            check_inside(path, name)
            if (match := _MEMBER.fullmatch(name)) and "__MACOSX" not in name.split("/"):
                found.setdefault(match[2], Masks(str(path), f"{match[1]}{match[2]}/"))
    for part in PARTS:
        for folder in sorted(root.glob(f"{part}/masks/*/")):
            found[folder.name] = Masks(str(folder))
    return found


def mask_boxes(content: bytes, place: str, size: tuple[int, int]) -> dict[int, tuple[float, float, float, float]]:
    """Object id -> the least box around its pixels, x1, y1, x2, y2 in pixels as continuous edges.

    Raises InputError where the content is no PNG with a palette, or of another (width, height).
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("pillow", "video") from None
    expected = f"a PNG with a palette, {size[0]}x{size[1]}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                if image.mode != "P" or image.size != size:
                    found = f"mode {image.mode}, {image.width}x{image.height}"
                    raise InputError(f"{place}: {found}; expected {expected}", "mask of another kind or size")
                pixels = np.asarray(image)
    except InputError:
        raise
    # what Pillow raises for damaged files; SyntaxError for a broken PNG chunk
    except (OSError, ValueError, SyntaxError, EOFError, zlib.error, Image.DecompressionBombWarning) as error:
        stop_at_environment_fault(error, place)
        raise InputError(f"{place}: cannot be read: {error}; expected {expected}", "damaged mask") from None
    boxes = {}
    for value in np.unique(pixels):
        if value:
            rows, columns = (np.flatnonzero((pixels == value).any(axis=axis)) for axis in (1, 0))
            edges = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            boxes[int(value)] = tuple(float(edge) for edge in edges)
    return boxes  # type: ignore[return-value]  # four each


def videos_of(data: Any, place: str) -> dict[str, Mapping[str, Any]]:
    """Video id -> its entry, in the order of the file. Raises InputError where it is no PVSG file, or an id comes
    twice."""
    found: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(member(data, "data", list, place, "a list of videos, as pvsg.json has it")):
        video_id = member(row, "video_id", str, f"{place}: data[{number}]", "the video's id")
        if video_id in found or not re.fullmatch(r"[A-Za-z0-9_.-]+", video_id) or video_id.strip(".") == "":
            raise InputError(f"{place}: data[{number}]: video_id is {shorten(video_id)}; expected a name, each once")
        found[video_id] = row
    return found


def splits_of(data: Any, place: str) -> dict[str, tuple[str, str]]:
    """Video id -> (part, `train` or `val`). Raises InputError where the file says no splits, or a video is in two."""
    found: dict[str, tuple[str, str]] = {}
    for part, splits in member(data, "split", dict, place, "an object").items():
        for split in ("train", "val"):
            for video_id in member(splits, split, list, f"{place}: split: {part}", "a list of videos"):
                if not isinstance(video_id, str) or video_id in found:
                    raise InputError(f"{place}: split: {part}: {split}: {shorten(video_id)}; expected each video once")
                found[video_id] = part, split
    return found


def draft_of(row: Mapping[str, Any], path: str, place: str, found: Converted, note: Note) -> Draft:
    """Entities and relations of a video, without its boxes.

    Args:
        row: its entry.
        path: of the video file, below the video folder.
        place: `file: video`, for messages.
        found: counts flat boxes.
        note: takes what is odd about a relation.

    Raises InputError for what is wrong with the whole video.
    """
    meta = member(row, "meta", dict, place, "an object")
    count, width, height = (
        check.count(meta.get(name), f"{place}: meta.{name}") for name in ("num_frames", "width", "height")
    )
    fps = check.positive(meta.get("fps"), f"{place}: meta.fps")
    draft = Draft(path, fps, count, width, height, place, found.left_out)
    for number, item in enumerate(member(row, "objects", list, place, "a list")):
        where = f"{place}: objects[{number}]"
        object_id = check.whole(member(item, "object_id", int, where, "a whole number"), f"{where}: object_id")
        if object_id in draft.entities:
            raise InputError(f"{where}: object_id is {object_id}; expected each once", "two objects with one id")
        draft.entities[object_id] = check.name(item.get("category"), f"{where}: category")
    for number, item in enumerate(member(row, "relations", list, place, "a list")):
        try:
            draft.relations += _relations(item, draft, f"{place}: relations[{number}]", note)
        except InputError as error:
            note(error)
    return draft


def _relations(item: Any, draft: Draft, place: str, note: Note) -> Iterator[OwnRelation]:
    """One for each stretch, its included end made exclusive. Raises InputError where the relation is odd."""
    if not isinstance(item, list) or len(item) != 4 or not isinstance(item[3], list):
        expected = "[subject, object, predicate, [[begin, end], ...]]"
        raise InputError(f"{place} is {shorten(item)}; expected {expected}", "malformed relation")
    subject, target, predicate, stretches = item
    for end in (subject, target):
        if type(end) is not int or end not in draft.entities:
            raise InputError(f"{place}: {shorten(end)}; expected the id of an object", "relation of an unknown object")
    try:
        name = check.name(predicate, place)
    except InputError as error:
        raise InputError(str(error), "malformed relation") from None
    spatial = name.lower().replace(" ", "_") in SPATIAL
    for stretch in stretches:
        whole = isinstance(stretch, list) and len(stretch) == 2 and all(type(frame) is int for frame in stretch)
        if not whole or not 0 <= stretch[0] <= stretch[1] < (draft.frame_count or 0):
            expected = f"[begin, end], 0 <= begin <= end < num_frames = {draft.frame_count}"
            note(InputError(f"{place}: {shorten(stretch)}; expected {expected}", "relation outside the video"))
            continue
        yield OwnRelation(subject, name, target, frames=(stretch[0], stretch[1] + 1), spatial=spatial)


def add_boxes(draft: Draft, masks: Masks, frames: Iterable[int], note: Note) -> None:
    """The boxes of these frames, from their masks. A mask that is missing, damaged or of another size costs its frame,
    an id that is not listed its box."""
    size = (draft.width or 0, draft.height or 0)
    for frame in frames:
        place = masks.place(frame)
        try:
            boxes = mask_boxes(masks.read(frame), place, size)
        except InputError as error:
            note(error)
            continue
        for object_id, box in boxes.items():
            if object_id in draft.entities:
                draft.add(object_id, draft.entities[object_id], frame, box)
            else:
                expected = f"the id of an object, {shorten([*draft.entities])}"
                note(InputError(f"{place}: pixels of {object_id}; expected {expected}", "mask of an unknown object"))


def video_path(part: str, video_id: str) -> str:
    """Of a video's file, as PVSG's data folder has it."""
    return f"{part}/videos/{video_id}.mp4"


def read(path: Path, told: Told) -> Converted:
    """The videos of a `pvsg.json`, with the masks beside it, every frame. `--video` names one of them, by its path or
    file name.

    Odd boxes and relations are left out and counted. Raises InputError that names the file, the key and what was
    expected.
    """
    data, found = read_json_object(path), Converted()
    videos, splits, masks = videos_of(data, str(path)), splits_of(data, str(path)), find_masks(path.parent)
    wanted = None if told.video is None else PurePosixPath(told.video).stem
    if wanted is not None and wanted not in videos:
        raise InputError(f"{path}: no video {shorten(wanted)}; expected --video to name one of its {len(videos)}")

    def note(error: InputError) -> None:
        found.left_out[error.reason] += 1

    for video_id, row in videos.items():
        if wanted not in (None, video_id):
            continue
        name = video_path(splits[video_id][0], video_id) if video_id in splits else f"{video_id}.mp4"
        draft = draft_of(row, name, f"{path}: {video_id}", found, note)
        if video_id in masks:
            add_boxes(draft, masks[video_id], range(draft.frame_count or 0), note)
        else:
            found.left_out["boxes of a video without masks"] += 1
        found.videos.append(told_or(told, draft).finish("PVSG"))
    return found
