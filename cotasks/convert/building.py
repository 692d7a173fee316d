"""What the converters share: what the user tells, checks of values, and a video's annotation in the making."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from cotasks.errors import InputError, shorten
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnRelation, annotation_row, parse_annotation
from cotasks.records.own_fields import Id

FLAT = "boxes that are flat or outside the frame"

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Told:
    """What the user says of the video; it is believed before the file."""

    video: str | None = None
    """Its path below the video folder."""
    fps: float | None = None
    frame_count: int | None = None
    width: int | None = None
    height: int | None = None
    category: str | None = None
    """Of boxes whose file names none."""


@dataclass
class Converted:
    """A file's videos, and what was not taken over."""

    videos: list[OwnAnnotation] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """What -> how many."""


@dataclass
class Draft:
    """A video's annotation in the making."""

    video: str
    fps: float | None
    frame_count: int | None
    width: int | None
    height: int | None
    place: str
    """The file, for messages."""
    left_out: Counter[str]
    entities: dict[Id, str] = field(default_factory=dict)
    boxes: list[OwnBox] = field(default_factory=list)
    relations: list[OwnRelation] = field(default_factory=list)

    def add(
        self,
        entity: Id,
        category: str,
        frame: int,
        xyxy: tuple[float, float, float, float],
        *,
        generated: bool = False,
        score: float | None = None,
    ) -> None:
        """A box of an entity, cut to the frame where its size is known. A flat one is left out, and counted."""
        x1, y1, x2, y2 = xyxy
        if self.width is not None and self.height is not None:
            x1, x2 = (min(max(x, 0.0), float(self.width)) for x in (x1, x2))
            y1, y2 = (min(max(y, 0.0), float(self.height)) for y in (y1, y2))
        self.entities.setdefault(entity, category)
        if x1 < x2 and y1 < y2:
            self.boxes.append(OwnBox(entity, (x1, y1, x2, y2), frame=frame, generated=generated, score=score))
        else:
            self.left_out[FLAT] += 1

    def finish(self, made_by: str) -> OwnAnnotation:
        """The annotation, checked as if it were read. Raises InputError that names the file."""
        boxes = sorted(self.boxes, key=lambda box: (box.frame or 0, str(box.entity)))
        annotation = OwnAnnotation(
            video=self.video,
            entities=tuple(OwnEntity(id_, category) for id_, category in self.entities.items()),
            boxes=tuple(boxes),
            relations=tuple(self.relations),
            fps=self.fps,
            frame_count=self.frame_count,
            width=self.width,
            height=self.height,
            detector={"converted_from": made_by},
        )
        return parse_annotation(annotation_row(annotation), self.place)


def told_or(told: Told, draft: Draft) -> Draft:
    """The draft, with what the user says in place of what the file does."""
    for name in ("video", "fps", "frame_count", "width", "height"):
        if getattr(told, name) is not None:
            setattr(draft, name, getattr(told, name))
    return draft


def read_json_object(path: Path) -> Any:
    """The JSON value of a file. Raises InputError where there is none."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "missing file") from None
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}") from None


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(`file:line`, line) of each line of a text file that is not blank. Raises InputError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "missing file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line


def member(row: Any, key: str, kind: type | tuple[type, ...], place: str, expected: str) -> Any:
    """`row[key]`, if it is there and of that kind; InputError that names the place if not."""
    if not isinstance(row, dict):
        raise InputError(f"{place} is {shorten(row)}; expected an object")
    value = row.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        found = shorten(value) if key in row else "missing"
        raise InputError(f"{place}: {key} is {found}; expected {expected}")
    return value


def number_of(text: Any, kind: Callable[[Any], Number], place: str) -> Number:
    """A number from text, or as it is. Raises InputError where it is none, or not finite."""
    try:
        value = kind(text)
        if not isinstance(text, bool) and abs(value) <= sys.float_info.max:
            return value
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"{place} is {shorten(text)}; expected a number")


def whole_of(text: Any, place: str) -> int:
    """A whole number, which may be written as 3.0. Raises InputError where it is none."""
    value = number_of(text, float, place)
    if value != int(value):
        raise InputError(f"{place} is {shorten(text)}; expected a whole number")
    return int(value)


def need_video(told: Told, path: Path) -> str:
    """The video's name, where the file has none. Raises InputError where the user tells none either."""
    if told.video is None:
        raise InputError(f"{path}: it names no video; expected --video, its path below the video folder")
    return told.video


def from_xywh(left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Left, top, width, height -> x1, y1, x2, y2."""
    return left, top, left + width, top + height
