"""Detections from a file, so that any detector serves.

    annotation.jsonl[.gz]     own data (`cotasks.records.own`): many videos, boxes by frame or second
    one .csv or .json         what the sinks of the package `supervision` write, of the one video that is asked about
    a folder                  such files, each named as its video: `0004/clip.mp4` has `0004/clip.csv`, `clip.csv`,
                              `0004/clip.mp4.csv`, or the same with .json; or own data in `annotation.jsonl`

Boxes are in pixels of the video. A box without a score is certain (1).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from cotasks.annotate.detect import NONE_FOUND, Found, found
from cotasks.convert.detections import UNTRACKED, Detection, read_untracked
from cotasks.errors import InputError
from cotasks.records.own import OwnAnnotation, parse_annotation
from cotasks.records.own_fields import fault
from cotasks.records.own_files import annotation_files, lines_of, parse_line
from cotasks.video.packets import VideoInfo

ENDINGS = (".csv", ".json")


@dataclass(frozen=True)
class Filed:
    """The detections of a video, each frame's the surest first."""

    frames: tuple[tuple[int, Found], ...]
    """(frame number, what was found), ascending: the frames that the file speaks of."""
    ids: tuple[tuple[Hashable, ...], ...]
    """For each frame the track of each box."""
    place: str
    """File and line, for messages."""
    tracked: bool
    """Whether each box has a track."""
    made_by: Mapping[str, Any]
    """What the file says of its detector."""


class Source(Protocol):
    """Where detections come from."""

    def has(self, video: str) -> bool:
        """Whether there are any of a video."""

    def of(self, video: str, info: VideoInfo, least: float) -> Filed:
        """Those of a video of a score of `least` or more. Raises InputError where they do not fit the video."""


def open_detections(path: Path, videos: Sequence[str]) -> Source:
    """The detections of a file or folder.

    Args:
        path: see the module.
        videos: that are asked about.

    Raises InputError where there is no such file, a line of it is wrong, or one file of one video is to serve several.
    """
    if path.is_dir():
        files = annotation_files(path)
        return OwnDetections(files) if files else FolderOfDetections(path)
    if not path.exists():
        raise InputError(f"detections {path}: no such file or folder", "missing file")
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return OwnDetections([path])
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"detections {path}: expected a .jsonl, .csv or .json file, or a folder of them")
    if len(videos) != 1:
        raise InputError(
            f"detections {path}: one file of one video, and {len(videos)} videos are asked about; expected a folder "
            "with a file for each"
        )
    return OneFile({videos[0]: path})


class OwnDetections:
    """Own data, of which a video's line is read when it is asked for."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._lines: dict[str, tuple[Path, str, int, int, bytes | None]] = {}
        for path in files:
            for place, line, offset in lines_of(path):
                video = parse_annotation(parse_line(line, place), place).video
                if video in self._lines:
                    raise fault(f"{place}: video", video, f"each video once; {self._lines[video][1]} has it")
                packed = zlib.compress(line, 1) if path.suffix == ".gz" else None
                self._lines[video] = (path, place, offset, len(line), packed)

    def has(self, video: str) -> bool:
        """See `Source`."""
        return video in self._lines

    def of(self, video: str, info: VideoInfo, least: float) -> Filed:
        """See `Source`."""
        path, place, offset, length, packed = self._lines[video]
        if packed is not None:
            line = zlib.decompress(packed)
        else:
            with path.open("rb") as file:
                file.seek(offset)
                line = file.read(length)
        annotation = parse_annotation(parse_line(line, place), place)
        if annotation.width is not None and (annotation.width, annotation.height) != (info.width, info.height):
            size = [annotation.width, annotation.height]
            raise InputError(f"{place}: width, height {size}; the video has {info.width}x{info.height}")
        rows = _own_rows(annotation, info)
        return _filed(rows, info, least, place, True, annotation.detector or {})


def _own_rows(annotation: OwnAnnotation, info: VideoInfo) -> list[tuple[int, Detection, Hashable]]:
    category = {entity.id: entity.category for entity in annotation.entities}
    rows: list[tuple[int, Detection, Hashable]] = []
    for number, box in enumerate(annotation.boxes):
        place = f"{annotation.place}: boxes[{number}]"
        frame = box.frame if box.frame is not None else math.floor((box.second or 0.0) * info.fps + 0.5)
        last = info.frame_count - 1
        frame = min(frame, last) if box.second is not None and frame <= last + 1 else frame
        one = Detection(place, frame, UNTRACKED, box.xyxy, category[box.entity], box.score)
        rows.append((frame, one, box.entity))
    return rows


class OneFile:
    """Files of the package `supervision`, one a video."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def path(self, video: str) -> Path | None:
        """The file of a video; None where there is none."""
        return self._files.get(video)

    def has(self, video: str) -> bool:
        """See `Source`."""
        return self.path(video) is not None

    def of(self, video: str, info: VideoInfo, least: float) -> Filed:
        """See `Source`."""
        path = self.path(video)
        assert path is not None  # `has` was asked
        rows = read_untracked(path)
        tracked = bool(rows) and all(one.track != UNTRACKED for one in rows)
        return _filed([(one.frame, one, one.track) for one in rows], info, least, str(path), tracked, {})


class FolderOfDetections(OneFile):
    """A folder of such files."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder = folder

    def path(self, video: str) -> Path | None:
        """See `OneFile`."""
        name = PurePosixPath(video)
        stems = (name.with_suffix("").as_posix(), name.stem, video, name.name)
        paths = (self._folder / f"{stem}{ending}" for stem in stems for ending in ENDINGS)
        return next((path for path in paths if path.is_file()), None)


def _filed(
    rows: Sequence[tuple[int, Detection, Hashable]],
    info: VideoInfo,
    least: float,
    place: str,
    tracked: bool,
    made_by: Mapping[str, Any],
) -> Filed:
    by_frame: dict[int, list[tuple[Detection, Hashable]]] = {}
    for frame, one, track in rows:
        if not 0 <= frame < info.frame_count:
            raise InputError(
                f"{one.place}: frame {frame}; expected 0 to {info.frame_count - 1}, the video has {info.frame_count} "
                "frames",
                "detection outside the video",
            )
        if one.xyxy[2] > info.width + 1 or one.xyxy[3] > info.height + 1:
            raise InputError(
                f"{one.place}: box {list(one.xyxy)}; expected it inside the video's {info.width}x{info.height}",
                "detection outside the frame",
            )
        if one.xyxy[0] > one.xyxy[2] or one.xyxy[1] > one.xyxy[3]:
            raise InputError(f"{one.place}: box {list(one.xyxy)}; expected x1 <= x2, y1 <= y2", "detection inverted")
        if one.score is not None and not 0 <= one.score <= 1:
            raise InputError(f"{one.place}: score {one.score}; expected 0 to 1", "score out of range")
        by_frame.setdefault(frame, []).append((one, track))
    frames, ids = [], []
    for frame, of_frame in sorted(by_frame.items()):
        scores = [1.0 if one.score is None else one.score for one, _ in of_frame]
        size, names = (info.width, info.height), [str(one.name) for one, _ in of_frame]
        kept = found([one.xyxy for one, _ in of_frame], scores, names, size, least)
        frames.append((frame, kept))
        ids.append(_ids_of(kept, of_frame, size) if tracked else ())
    return Filed(tuple(frames), tuple(ids), place, tracked, made_by)


def _ids_of(kept: Found, rows: Sequence[tuple[Detection, Hashable]], size: tuple[int, int]) -> tuple[Hashable, ...]:
    """The track of each box that was kept."""
    where: dict[tuple[float, ...], Hashable] = {}
    for one, track in rows:
        cut = np.clip(np.array(one.xyxy, np.float64), 0.0, np.array([*size, *size], np.float64))
        where.setdefault(tuple(cut.tolist()), track)
    return tuple(where[tuple(box.tolist())] for box in kept.xyxy)


def only(filed: Filed, wanted: frozenset[str] | None) -> Filed:
    """The detections of some categories; None for all."""
    if wanted is None:
        return filed
    frames, ids = [], []
    for place, (frame, one) in enumerate(filed.frames):
        rows = [row for row, name in enumerate(one.categories) if name in wanted]
        kept = Found(one.xyxy[rows], one.scores[rows], tuple(one.categories[row] for row in rows))
        frames.append((frame, kept if rows else NONE_FOUND))
        ids.append(tuple(filed.ids[place][row] for row in rows) if filed.tracked else ())
    return Filed(tuple(frames), tuple(ids), filed.place, filed.tracked, filed.made_by)
