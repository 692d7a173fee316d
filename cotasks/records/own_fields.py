"""Checks of single fields of own data.

Each takes a JSON value and the place where it stands, and gives the value as the dataclasses of `own` hold it, or
raises InputError that names place, value and what was expected.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError, shorten

Id = int | str
"""Of an entity: a whole number from 0, or a name."""
Check = Callable[[Any, str], Any]

REASON = "malformed own data"
REQUIRED: Any = object()
MOST = 2**31 - 1
"""Frame numbers and ids are 32-bit in a record."""
BOX_SLACK = 1.0
"""Pixels that a box may reach out of the frame."""


@dataclass(frozen=True)
class Field:
    """How a field is read, and its value where it is left out."""

    check: Check
    default: Any = REQUIRED


def fault(place: str, value: object, expected: str) -> InputError:
    """`place is value; expected ...`"""
    return InputError(f"{place} is {shorten(value)}; expected {expected}", REASON)


def read_object(value: object, place: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """An object with these fields and no others -> {name: value}, defaults filled in."""
    if not isinstance(value, dict):
        raise fault(place, value, "an object")
    inner = "." if place.endswith("]") or ": " in place else ": "
    for key in value:
        if key not in fields:
            raise fault(f"{place}{inner}{key}", value[key], f"no such field; known: {', '.join(fields)}")
    found = {}
    for key, field in fields.items():
        if key in value:
            found[key] = field.check(value[key], f"{place}{inner}{key}")
        elif field.default is REQUIRED:
            raise InputError(f"{place}{inner}{key} is missing; expected it", REASON)
        else:
            found[key] = field.default
    return found


def list_of(item: Check) -> Check:
    """A list of values that `item` reads, as a tuple."""

    def read(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise fault(place, value, "a list")
        return tuple([item(v, f"{place}[{number}]") for number, v in enumerate(value)])

    return read


def one_of(*allowed: Any) -> Check:
    """One of these values."""

    def read(value: Any, place: str) -> Any:
        if isinstance(value, bool) or value not in allowed:
            raise fault(place, value, f"{', '.join(map(str, allowed))}")
        return value

    return read


def text(value: Any, place: str) -> str:
    """Printable text, line feeds and tabs allowed, without blanks at its ends."""
    return _printable(value, place, "\n\t")


def name(value: Any, place: str) -> str:
    """Printable text on one line, without blanks at its ends."""
    return _printable(value, place, "")


_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What makes the text behind it run the other way."""


def _printable(value: Any, place: str, allowed: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise fault(place, value, "a text that is not blank")
    value = value.strip()
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in allowed for c in value):
        raise fault(place, value, "printable text, no control characters")
    if not allowed and (_TURNS.search(value) or all(unicodedata.category(c) in ("Cf", "Zs") for c in value)):
        raise fault(place, value, "text that is seen, no marks of writing direction")
    return str(value)


def text_or_texts(value: Any, place: str) -> tuple[str, ...]:
    """One text, or a list of one or more."""
    found = list_of(text)(value, place) if isinstance(value, list) else (text(value, place),)
    if not found:
        raise fault(place, value, "a text, or a list of one or more")
    return tuple(found)


def relative_path(value: Any, place: str) -> str:
    """A path below a folder, with forward slashes."""
    path = name(value, place)
    if path.startswith("/") or "\\" in path or ":" in path.split("/")[0] or {"", ".", ".."} & set(path.split("/")):
        raise fault(place, value, "a path below the video folder, with forward slashes")
    return path


def entity_id(value: Any, place: str) -> Id:
    """A whole number from 0, or a name."""
    if isinstance(value, str):
        return name(value, place)
    return whole(value, place)


def whole(value: Any, place: str) -> int:
    """A whole number from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise fault(place, value, f"a whole number from 0 to {MOST}")
    return value


def count(value: Any, place: str) -> int:
    """A whole number from 1."""
    if whole(value, place) == 0:
        raise fault(place, value, "a whole number from 1")
    return int(value)


def number(value: Any, place: str) -> float:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        raise fault(place, value, "a number")
    return float(value)


def positive(value: Any, place: str) -> float:
    """A number above 0; a rate of frames is at most a million, and no less than a millionth."""
    if not 1e-6 <= number(value, place) <= 1e6:
        raise fault(place, value, "a number above 0, from 0.000001 to 1000000")
    return float(value)


def seconds(value: Any, place: str) -> float:
    """Seconds from the start of the file; what is beyond a million of them is damaged."""
    if not 0 <= number(value, place) <= 1e6:
        raise fault(place, value, "seconds from 0")
    return float(value) + 0.0


def share(value: Any, place: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= number(value, place) <= 1:
        raise fault(place, value, "a number from 0 to 1")
    return float(value) + 0.0


def flag(value: Any, place: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise fault(place, value, "true or false")
    return value


def json_object(value: Any, place: str) -> dict[str, Any]:
    """Any JSON object."""
    if not isinstance(value, dict):
        raise fault(place, value, "an object")
    return value


def span(value: Any, place: str) -> tuple[float, float]:
    """[start, end] in seconds, start <= end."""
    if not isinstance(value, list) or len(value) != 2:
        raise fault(place, value, "[start, end] in seconds")
    start, end = (seconds(v, place) for v in value)
    if start > end:
        raise fault(place, value, "[start, end] with start <= end")
    return start, end


def stretch(unit: Check) -> Check:
    """[begin, end) of a unit, begin < end."""

    def read(value: Any, place: str) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise fault(place, value, "[begin, end)")
        begin, end = (unit(v, place) for v in value)
        if begin >= end:
            raise fault(place, value, "[begin, end) with begin < end")
        return begin, end

    return read


def box(value: Any, place: str) -> tuple[float, float, float, float]:
    """[x1, y1, x2, y2] in pixels, x1 < x2 and y1 < y2."""
    if not isinstance(value, list) or len(value) != 4:
        raise fault(place, value, "[x1, y1, x2, y2] in pixels")
    x1, y1, x2, y2 = (number(v, place) + 0.0 for v in value)
    if not (x1 < x2 and y1 < y2):
        raise fault(place, value, "[x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return x1, y1, x2, y2


@dataclass(frozen=True)
class Bounds:
    """How long and how large a video is, as far as that is known."""

    fps: float | None = None
    frame_count: int | None = None
    width: int | None = None
    height: int | None = None

    @property
    def duration(self) -> float | None:
        """Seconds; None where unknown."""
        return None if self.fps is None or self.frame_count is None else self.frame_count / self.fps

    def check_moment(self, frame: int | None, second: float | None, place: str) -> None:
        """Raises InputError where a frame, or a second by more than a frame, is after the video's end."""
        if frame is not None and self.frame_count is not None and frame >= self.frame_count:
            raise fault(f"{place}.frame", frame, f"below frame_count, {self.frame_count}")
        if second is not None:
            self._check_second(second, f"{place}.second")

    def check_stretch(self, frames: tuple[int, int] | None, stretch: tuple[float, float] | None, place: str) -> None:
        """The same of a stretch with an exclusive end."""
        if frames is not None and self.frame_count is not None and frames[1] > self.frame_count:
            raise fault(f"{place}.frames", list(frames), f"an end of at most frame_count, {self.frame_count}")
        if stretch is not None:
            self._check_second(stretch[1], f"{place}.seconds")

    def check_span(self, span: tuple[float, float], place: str) -> None:
        """The same of a span of time."""
        self._check_second(span[1], place)

    def check_box(self, xyxy: tuple[float, float, float, float], place: str) -> None:
        """Raises InputError where a box reaches out of the frame by more than BOX_SLACK."""
        if self.width is None or self.height is None:
            return
        x1, y1, x2, y2 = xyxy
        if min(x1, y1) < -BOX_SLACK or x2 > self.width + BOX_SLACK or y2 > self.height + BOX_SLACK:
            raise fault(f"{place}.xyxy", list(xyxy), f"a box inside the frame of {self.width}x{self.height}")

    def _check_second(self, second: float, place: str) -> None:
        if self.duration is not None and self.fps is not None and second > self.duration + 1 / self.fps:
            raise fault(place, second, f"a time within the video's {self.duration:g} s")
