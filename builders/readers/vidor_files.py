"""Where VidOR's annotation lies, one JSON file a video, in folders or in zips read in place; `vidor` reads it."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from cotasks.builders.readers.checks import expect_object, is_whole
from cotasks.errors import InputError, shorten, stop_at_environment_fault
from cotasks.records.timeline import uniform_grid
from cotasks.tools.archives import FAULTS, check_inside, kept_open
from cotasks.tools.files import utf8

PARTS = ("training", "validation")
"""The two annotated parts of VidOR: names of the folders that hold the groups."""

_GROUP = re.compile("[0-9]{4}")
_FILE = re.compile(r"([A-Za-z0-9_-]+)\.json")
_MEMBER = re.compile(r"(?:.*/)?[0-9]{4}/([A-Za-z0-9_-]+)\.json")
_ALONE = re.compile(r"(?:.*/)?([0-9]+)\.json")


@dataclass(frozen=True)
class Location:
    """Where the annotation of a video lies."""

    path: str
    """The JSON file, or the zip that holds it."""
    member: str | None = None
    """Name inside the zip; None for a file."""

    def __str__(self) -> str:
        return self.path if self.member is None else f"{self.path}!{self.member}"


@dataclass(frozen=True)
class VidorIndex:
    """Which videos are annotated, and where; `video_id in index` and `len(index)` work."""

    locations: Mapping[str, tuple[Location, ...]]
    """Video id -> the places that hold its annotation, in the order the paths were given; mostly one."""

    def __contains__(self, video_id: object) -> bool:
        return video_id in self.locations

    def __len__(self) -> int:
        return len(self.locations)

    def place(self, video_id: str) -> str:
        """The file, or `zip!member`, that `read_video` reads."""
        return str(self.locations[video_id][0])

    def size(self, video_id: str) -> int:
        """Bytes of the JSON that `read_video` parses; 0 where that cannot be said, as of a file that has gone."""
        location = self.locations[video_id][0]
        try:
            if location.member is None:
                return os.stat(location.path).st_size
            return _archive(location.path).getinfo(location.member).file_size
        except (InputError, OSError, KeyError):
            return 0

    def checksum(self, video_id: str) -> int:
        """CRC-32 of the file that `read_video` reads; a zip states it, so that nothing is unpacked.

        Raises InputError where the file cannot be read.
        """
        location = self.locations[video_id][0]
        if location.member is None:
            return zlib.crc32(_read(location))
        return _archive(location.path).getinfo(location.member).CRC


def find_annotations(paths: Sequence[str]) -> VidorIndex:
    """List the annotated videos under all the given folders and zips, without reading any annotation.

    - A file must be a zip. Its annotations are the members `.../<group>/<id>.json`, a group being four
      digits; other members are passed over.
    - Where a folder or zip has no groups, its files `<id>.json` are taken, an id being digits: annotation in VidOR's
      format from elsewhere, such as that of NExT-QA's test videos.
    - In a folder three things are looked for, and all that is there is taken: groups `<group>/<id>.json` in
      the folder itself (so `training` can be given), groups in its subfolders `training` and `validation`,
      and zips `*.zip` directly in it.

    A video may lie in several places (an extracted tree beside its zip); `read_video` then checks that they
    agree.

    Raises:
        InputError: a path is missing or holds no annotation; a zip is damaged or has a member whose name
            leaves the archive (`..`, an absolute path).
    """
    locations: dict[str, tuple[Location, ...]] = {}
    for path in paths:
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file or folder")
        is_folder = os.path.isdir(path)
        found = _in_folder(path) if is_folder else _in_zip(path)
        found = found or (_alone_in_folder(path) if is_folder else _in_zip(path, _ALONE))
        if not found:
            expected = "<group>/<id>.json in it or in its training or validation folder, or zips with these"
            raise InputError(f"{path}: no VidOR annotation; expected {expected}")
        for video_id, location in found:
            known = locations.get(video_id, ())
            if location not in known:
                locations[video_id] = (*known, location)
    return VidorIndex(locations)


def _in_folder(folder: str) -> list[tuple[str, Location]]:
    found: list[tuple[str, Location]] = []
    for tree in (folder, *(os.path.join(folder, part) for part in PARTS)):
        if not os.path.isdir(tree):
            continue
        groups = (entry.path for entry in os.scandir(tree) if _GROUP.fullmatch(entry.name) and entry.is_dir())
        for group in sorted(groups):
            matches = (_FILE.fullmatch(name) for name in sorted(os.listdir(group)))
            found += [(match[1], Location(os.path.join(group, match[0]))) for match in matches if match]
    for name in sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".zip")):
        found += _in_zip(os.path.join(folder, name))
    return found


def _alone_in_folder(folder: str) -> list[tuple[str, Location]]:
    matches = (_ALONE.fullmatch(name) for name in sorted(os.listdir(folder)))
    return [(match[1], Location(os.path.join(folder, match[0]))) for match in matches if match]


def _in_zip(path: str, names: re.Pattern[str] = _MEMBER) -> list[tuple[str, Location]]:
    found: list[tuple[str, Location]] = []
    for name in _archive(path).namelist():
        check_inside(path, name)
        match = names.fullmatch(name)
        if match:
            found.append((match[1], Location(path, name)))
    return found


def _archive(path: str) -> zipfile.ZipFile:
    """The open zip. Raises InputError where it is none."""
    try:
        return kept_open(path)
    except (OSError, zipfile.BadZipFile) as error:
        stop_at_environment_fault(error, path)
        raise InputError(f"{path}: not a readable zip: {error}", "damaged annotation file") from None


class _Parts(msgspec.Struct):
    """The parts of a file of VidOR's format that are used, as bytes of JSON that nothing has been made of yet."""

    video_id: msgspec.Raw
    frame_count: msgspec.Raw
    fps: msgspec.Raw
    width: msgspec.Raw
    height: msgspec.Raw
    entities: msgspec.Raw = msgspec.field(name="subject/objects")
    trajectories: list[msgspec.Raw]
    relation_instances: msgspec.Raw


_PARTS = msgspec.json.Decoder(_Parts)
_NAMES = {field.name: field.encode_name for field in msgspec.structs.fields(_Parts) if field.name != "trajectories"}
"""Field of `_Parts` -> its name in the file."""


def read_video(index: VidorIndex, video_id: str, num_frames: int | None = None) -> dict[str, Any]:
    """The annotation of a video as parsed JSON, unchecked but for its `video_id`.

    Args:
        num_frames: size of the grid, where only what is on the uniform grid is wanted: in `trajectories` the other
            frames are then empty lists. Most of a file is boxes of other frames, and most of the time of reading it
            goes to make them; they are skipped where the file has all parts that its format has.

    Raises:
        InputError: no annotation, one that cannot be read or belongs to another video, or two that differ.
    """
    if video_id not in index:
        raise InputError(f"video {shorten(video_id)} has no VidOR annotation", "no annotation for the video")
    places = index.locations[video_id]
    content = _read(places[0])
    for other in places[1:]:
        if _read(other) != content:
            raise InputError(
                f"{places[0]} and {other}: different annotation of one video; expected one, or the same bytes",
                "two annotations of the video differ",
            )
    content = utf8(content, str(places[0]))
    raw = _on_grid(content, num_frames) if num_frames is not None else None
    if raw is None:
        try:
            raw = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{places[0]}: not JSON: {error}", "damaged annotation file") from None
    raw = expect_object(raw, str(places[0]), "malformed annotation")
    if raw.get("video_id") != video_id:
        raise InputError(
            f"{places[0]}: video_id is {shorten(raw.get('video_id'))}; expected {video_id!r}", "malformed annotation"
        )
    return raw


def _on_grid(content: bytes, num_frames: int) -> dict[str, Any] | None:
    """The parsed JSON with the frames of the grid alone; None where it is not of the format, or has other letters than
    ASCII, which the decoder does not check in what it skips."""
    if not content.isascii():
        return None
    try:
        parts = _PARTS.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return None
    raw = {name: orjson.loads(memoryview(getattr(parts, field))) for field, name in _NAMES.items()}
    if not is_whole(raw["frame_count"]) or raw["frame_count"] < 1:
        return None
    frames: list[Any] = [[]] * len(parts.trajectories)
    for frame in uniform_grid(0, raw["frame_count"] - 1, num_frames):
        if frame < len(frames):
            frames[frame] = orjson.loads(memoryview(parts.trajectories[frame]))
    return {**raw, "trajectories": frames}


def _read(location: Location) -> bytes:
    try:
        if location.member is None:
            with open(location.path, "rb") as file:
                return file.read()
        return _archive(location.path).read(location.member)
    except (*FAULTS, KeyError) as error:
        stop_at_environment_fault(error, location)
        raise InputError(f"{location}: cannot be read: {error}", "damaged annotation file") from None
