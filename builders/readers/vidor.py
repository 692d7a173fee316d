"""VidOR: objects, boxes and relations of a video, one JSON file each, in folders or in zips read in place.

Shang et al., "Annotating Objects and Relations in User-Generated Videos", ICMR 2019; format of
github.com/xdshang/VidVRD-helper. Frame ids are 0-based list positions, `end_fid` is exclusive, boxes are
inclusive whole pixels.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from cotasks.builders.readers.checks import expect_list, expect_object, is_number, is_whole
from cotasks.errors import InputError, shorten, stop_at_environment_fault
from cotasks.records.annotation import VideoAnnotation
from cotasks.records.schema import Box, Entity, Scene, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import NUM_FRAMES, grid_frames, uniform_grid
from cotasks.tools.files import utf8

# fmt: off
OBJECTS = (
    "adult", "aircraft", "antelope", "baby", "baby_seat", "baby_walker", "backpack", "ball/sports_ball", "bat", "bear",
    "bench", "bicycle", "bird", "bottle", "bread", "bus/truck", "cake", "camel", "camera", "car", "cat", "cattle/cow",
    "cellphone", "chair", "chicken", "child", "crab", "crocodile", "cup", "dish", "dog", "duck", "electric_fan",
    "elephant", "faucet", "fish", "frisbee", "fruits", "guitar", "hamster/rat", "handbag", "horse", "kangaroo",
    "laptop", "leopard", "lion", "microwave", "motorcycle", "oven", "panda", "penguin", "piano", "pig", "rabbit",
    "racket", "refrigerator", "scooter", "screen/monitor", "sheep/goat", "sink", "skateboard", "ski", "snake",
    "snowboard", "sofa", "squirrel", "stingray", "stool", "stop_sign", "suitcase", "surfboard", "table", "tiger",
    "toilet", "toy", "traffic_light", "train", "turtle", "vegetables", "watercraft",
)
"""The 80 categories (Shang et al. 2019)."""

ACTIONS = (
    "watch", "bite", "kiss", "lick", "smell", "caress", "knock", "pat", "point_to", "squeeze", "hold", "press",
    "touch", "hit", "kick", "lift", "throw", "wave", "carry", "grab", "release", "pull", "push", "hug", "lean_on",
    "ride", "chase", "get_on", "get_off", "hold_hand_of", "shake_hand_with", "wave_hand_to", "speak_to", "shout_at",
    "feed", "open", "close", "use", "cut", "clean", "drive", "play(instrument)",
)
"""The 42 action predicates (VidVRD-helper, dataset/vidor.py)."""
# fmt: on

SPATIAL = ("above", "away", "behind", "beneath", "in_front_of", "inside", "next_to", "towards")
"""The 8 spatial predicates (Shang et al. 2019)."""

_OBJECTS, _ACTIONS, _SPATIAL = frozenset(OBJECTS), frozenset(ACTIONS), frozenset(SPATIAL)

PARTS = ("training", "validation")
"""The two annotated parts of VidOR: names of the folders that hold the groups."""

_GROUP = re.compile("[0-9]{4}")
_FILE = re.compile(r"([A-Za-z0-9_-]+)\.json")
_MEMBER = re.compile(r"(?:.*/)?[0-9]{4}/([A-Za-z0-9_-]+)\.json")


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
        found = _in_folder(path) if os.path.isdir(path) else _in_zip(path)
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


def _in_zip(path: str) -> list[tuple[str, Location]]:
    found: list[tuple[str, Location]] = []
    for name in _archive(path).namelist():
        if name.startswith("/") or "\\" in name or name[1:2] == ":" or ".." in name.split("/"):
            raise InputError(f"{path}: member {shorten(name)}; expected a name that stays inside the archive")
        match = _MEMBER.fullmatch(name)
        if match:
            found.append((match[1], Location(path, name)))
    return found


def _archive(path: str) -> zipfile.ZipFile:
    """The open zip, kept open: listing a large one takes longer than reading a member."""
    try:
        state = os.stat(path)
        return _open_archive(path, os.getpid(), state.st_mtime_ns, state.st_size)
    except (OSError, zipfile.BadZipFile) as error:
        stop_at_environment_fault(error, path)
        raise InputError(f"{path}: not a readable zip: {error}", "damaged annotation file") from None


@lru_cache(maxsize=16)
def _open_archive(path: str, process: int, mtime: int, size: int) -> zipfile.ZipFile:
    # keyed by process: forked workers would share one file position
    return zipfile.ZipFile(path)


def read_video(index: VidorIndex, video_id: str) -> dict[str, Any]:
    """The annotation of a video as parsed JSON, unchecked but for its `video_id`.

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
    try:
        raw = orjson.loads(utf8(content, str(places[0])))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{places[0]}: not JSON: {error}", "damaged annotation file") from None
    raw = expect_object(raw, str(places[0]), "malformed annotation")
    if raw.get("video_id") != video_id:
        raise InputError(
            f"{places[0]}: video_id is {shorten(raw.get('video_id'))}; expected {video_id!r}", "malformed annotation"
        )
    return raw


def _read(location: Location) -> bytes:
    try:
        if location.member is None:
            with open(location.path, "rb") as file:
                return file.read()
        return _archive(location.path).read(location.member)
    # zipfile raises RuntimeError for encrypted members, NotImplementedError for unknown compression
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        stop_at_environment_fault(error, location)
        raise InputError(f"{location}: cannot be read: {error}", "damaged annotation file") from None


def annotation(raw: Mapping[str, Any], place: str, num_frames: int = NUM_FRAMES) -> VideoAnnotation:
    """Parsed VidOR annotation -> the whole video on its uniform grid.

    A grid frame takes the boxes of exactly that frame, none where its list is empty or the video is longer
    than the list; inclusive maxima become `max + 1`. A spatial relation holds at the grid frames with
    `begin_fid <= frame < end_fid`; instances of one triple are united, in order of (subject, predicate,
    object), and a triple that holds at no grid frame is left out. Each instance of an action is kept whole,
    equal ones once, in order of (begin, end, subject, predicate, object). A relation may span frames in which
    a box is missing. Boxes off the grid are neither kept nor checked.

    Args:
        raw: see `read_video`.
        place: where it comes from, for messages.
        num_frames: size of the grid.

    Raises:
        InputError: a value that the format does not allow; `reason` says which kind.
    """
    frame_count, width, height = (_size(raw, name, place) for name in ("frame_count", "width", "height"))
    fps = raw.get("fps")
    if not is_number(fps) or fps <= 0:
        raise InputError(f"{place}: fps is {shorten(fps)}; expected a number > 0", "fps not positive")
    entities = _entities(raw, place)
    grid = uniform_grid(0, frame_count - 1, num_frames)
    tracks = _tracks(raw, place, entities, grid, frame_count, width, height)
    spatial, temporal = _relations(raw, place, entities, grid, frame_count)
    return VideoAnnotation(
        fps=float(fps),
        frame_count=frame_count,
        width=width,
        height=height,
        clip=Span(0.0, frame_count / fps),
        frames=grid_frames(grid, fps),
        scene=Scene(tuple(entities.values()), tracks, spatial, temporal),
    )


def _size(raw: Mapping[str, Any], name: str, place: str) -> int:
    value = raw.get(name)
    if not is_whole(value) or value <= 0:
        raise InputError(f"{place}: {name} is {shorten(value)}; expected a whole number > 0", f"{name} not positive")
    return value


def _entities(raw: Mapping[str, Any], place: str) -> dict[int, Entity]:
    """Entities by tid, in its order."""
    entities: dict[int, Entity] = {}
    for item in expect_list(raw.get("subject/objects"), f"{place}: subject/objects", "malformed annotation"):
        item = expect_object(item, f"{place}: subject/objects", "malformed annotation")
        tid, category = item.get("tid"), item.get("category")
        if not is_whole(tid) or tid < 0:
            raise InputError(f"{place}: object {shorten(item)}; expected a tid from 0", "malformed annotation")
        if tid in entities:
            raise InputError(f"{place}: two objects have tid {tid}; expected one", "two objects with one tid")
        if not isinstance(category, str) or category not in _OBJECTS:
            raise InputError(
                f"{place}: category of tid {tid} is {shorten(category)}; expected one of VidOR's {len(OBJECTS)}",
                "unknown category",
            )
        entities[tid] = Entity(tid, category)
    return dict(sorted(entities.items()))


def _tracks(
    raw: Mapping[str, Any],
    place: str,
    entities: Mapping[int, Entity],
    grid: Sequence[int],
    frame_count: int,
    width: int,
    height: int,
) -> tuple[Track, ...]:
    """The boxes on the grid, by tid and frame."""
    trajectories = expect_list(raw.get("trajectories"), f"{place}: trajectories", "malformed annotation")
    if len(trajectories) > frame_count:
        raise InputError(
            f"{place}: trajectories has {len(trajectories)} frames; expected at most frame_count = {frame_count}",
            "more annotated frames than frame_count",
        )
    boxes: dict[int, list[Box]] = {tid: [] for tid in entities}
    for frame in grid:
        if frame >= len(trajectories):
            break
        items = expect_list(trajectories[frame], f"{place}: frame {frame}", "malformed annotation")
        for item in items:
            try:
                tid, box, generated = item["tid"], item["bbox"], item["generated"]
                x1, y1, x2, y2 = box["xmin"], box["ymin"], box["xmax"], box["ymax"]
                track = boxes[tid]
            except (KeyError, TypeError):
                raise _box_fault(item, f"{place}: frame {frame}", entities) from None
            whole = type(x1) is type(y1) is type(x2) is type(y2) is type(tid) is type(generated) is int
            if not whole or generated not in (0, 1):
                raise _box_fault(item, f"{place}: frame {frame}", entities)
            if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height) or (track and track[-1].frame == frame):
                raise _wrong_box((x1, y1, x2, y2), f"{place}: frame {frame}: tid {tid}", width, height)
            track.append(Box(frame, (float(x1), float(y1), x2 + 1.0, y2 + 1.0), generated == 1))
    return tuple(Track(tid, entities[tid].category, tuple(track)) for tid, track in boxes.items() if track)


def _box_fault(item: object, place: str, entities: Mapping[int, Entity]) -> InputError:
    """What is wrong with an item of a frame's list that could not be read."""
    if isinstance(item, dict) and is_whole(item.get("tid")) and item["tid"] not in entities:
        return InputError(
            f"{place}: tid {item['tid']} is not among subject/objects; expected one of {shorten([*entities])}",
            "tid without an object",
        )
    return InputError(
        f"{place}: {shorten(item, 200)}; expected tid, bbox with xmin, ymin, xmax, ymax in whole pixels, "
        "and generated 0 or 1",
        "malformed annotation",
    )


def _wrong_box(box: tuple[int, int, int, int], place: str, width: int, height: int) -> InputError:
    """What is wrong with a box of whole pixels, inclusive: if nothing else, that it is a second one."""
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        return InputError(f"{place}: box {[*box]}; expected xmin <= xmax and ymin <= ymax", "inverted box")
    if x1 < 0 or y1 < 0 or x2 >= width or y2 >= height:
        expected = f"x within 0 to {width - 1} and y within 0 to {height - 1}"
        return InputError(f"{place}: box {[*box]}; expected {expected}", "box outside the frame")
    return InputError(f"{place}: box {[*box]} is the second one; expected one", "two boxes of one tid in a frame")


def _relations(
    raw: Mapping[str, Any], place: str, entities: Mapping[int, Entity], grid: Sequence[int], frame_count: int
) -> tuple[tuple[SpatialRelation, ...], tuple[TemporalRelation, ...]]:
    """Spatial relations, then actions, in the order that `annotation` states."""
    spatial: dict[tuple[int, str, int], set[int]] = {}
    actions: set[tuple[int, int, int, str, int]] = set()
    instances = expect_list(raw.get("relation_instances"), f"{place}: relation_instances", "malformed annotation")
    for number, item in enumerate(instances):
        at = f"{place}: relation {number}"
        item = expect_object(item, at, "malformed annotation")
        subject, target, predicate = item.get("subject_tid"), item.get("object_tid"), item.get("predicate")
        begin, end = item.get("begin_fid"), item.get("end_fid")
        if not (is_whole(subject) and is_whole(target) and is_whole(begin) and is_whole(end)):
            raise InputError(
                f"{at}: {shorten(item, 200)}; expected whole subject_tid, object_tid, begin_fid and end_fid",
                "malformed annotation",
            )
        for tid in (subject, target):
            if tid not in entities:
                raise InputError(
                    f"{at}: tid {tid} is not among subject/objects; expected one of {shorten([*entities])}",
                    "tid without an object",
                )
        if begin < 0:
            raise InputError(f"{at}: begin_fid is {begin}; expected 0 or more", "relation begins before the video")
        if end <= begin:
            raise InputError(
                f"{at}: begin_fid is {begin}, end_fid {end}; expected begin_fid < end_fid",
                "relation ends before it begins",
            )
        if end > frame_count:
            raise InputError(
                f"{at}: end_fid is {end}; expected at most frame_count = {frame_count}", "relation ends after the video"
            )
        if not isinstance(predicate, str) or (predicate not in _SPATIAL and predicate not in _ACTIONS):
            raise InputError(
                f"{at}: predicate is {shorten(predicate)}; expected one of VidOR's {len(ACTIONS)} actions or "
                f"{len(SPATIAL)} spatial predicates",
                "unknown predicate",
            )
        if predicate in _ACTIONS:
            actions.add((begin, end, subject, predicate, target))
        else:
            frames = grid[bisect_left(grid, begin) : bisect_left(grid, end)]
            spatial.setdefault((subject, predicate, target), set()).update(frames)
    return (
        tuple(SpatialRelation(s, p, o, tuple(sorted(f))) for (s, p, o), f in sorted(spatial.items()) if f),
        tuple(TemporalRelation(s, p, o, begin, end) for begin, end, s, p, o in sorted(actions)),
    )
