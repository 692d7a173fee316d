"""How a prompt names entities, frames and moments, and how such text is read back.

Grid positions exist only here. A family refers to a frame either by its time (`3.94s`, seconds from the start of
the clip, with enough decimals to tell the file's frames apart) or by its position among the frames shown
(`frame 12`, from 1). Lists of frames are written as runs on the grid: `0.00s to 3.94s; 7.87s`. A stretch of time, whose
ends need not be on the grid, is told in seconds, and where a family refers to frames by position in these as well.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

from cotasks.records.boxes import CoordinateFormat, Size
from cotasks.records.naming import entity_names
from cotasks.records.schema import Entity, Frame, Span
from cotasks.records.timeline import runs

T = TypeVar("T")


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """What could be read from a text."""

    value: T
    unread: tuple[str, ...]
    """The lines or items that could not be read, as they stood."""
    repaired: int = 0
    """Lines that `cotasks.steps.repair` read and the step's own `parse` could not."""


@dataclass(frozen=True)
class StepContext:
    """All that rendering and parsing a step needs to know beside the step itself."""

    entities: tuple[Entity, ...]
    """All entities of the scene, so that a name means the same under every condition."""
    frames: tuple[Frame, ...]
    """The grid frames that the prompt may speak of."""
    fps: float
    clip: Span
    """Times count from its start."""
    source_size: Size
    """(width, height) that the record's boxes refer to."""
    coordinates: CoordinateFormat
    frame_reference: Literal["seconds", "position"] = "seconds"
    given_names: tuple[tuple[int, str], ...] = ()
    """(tid, name) of every entity, where not `entity_names` names them; see `cotasks.steps.naming`."""
    other_names: tuple[tuple[int, str], ...] = ()
    """(tid, name): names that are understood beside those, and never written."""
    shown: tuple[Frame, ...] = ()
    """The frames shown, among which positions count; empty where these are `frames`."""

    @cached_property
    def names(self) -> dict[int, str]:
        return dict(self.given_names) or entity_names(self.entities)

    @cached_property
    def entity_of_name(self) -> dict[str, Entity]:
        by_tid = {e.tid: e for e in self.entities}
        others = {name.lower(): by_tid[tid] for tid, name in self.other_names if tid in by_tid}
        return {**others, **{self.names[e.tid].lower(): e for e in self.entities}}

    @cached_property
    def entity_of_part(self) -> dict[str, Entity]:
        """`ball` and `sports ball`, in small letters, -> the entity `ball/sports ball`; numbered where it is: `cup 2`.

        A part that several categories of the scene have, or that is a name or a category of its own, means none."""
        categories = {e.category.replace("_", " ").lower() for e in self.entities}
        owners: dict[str, set[str]] = {}
        for category in categories:
            for part in {category, *category.split("/")}:
                owners.setdefault(part.strip(), set()).add(category)
        found = {}
        for entity in self.entities:
            category = entity.category.replace("_", " ").lower()
            name = self.names[entity.tid].lower()
            number = name.removeprefix(category) if name.startswith(category) else None
            if "/" in category and number is not None:
                parts = {part.strip() for part in category.split("/")}
                found.update({part + number: entity for part in parts if part and owners[part] == {category}})
        return {part: entity for part, entity in found.items() if part not in self.entity_of_name}

    def entity(self, name: str) -> Entity | None:
        """The entity of that name, in capitals or not; None where there is none."""
        return self.entity_of_name.get(name.lower())

    @cached_property
    def _position(self) -> dict[int, int]:
        of_shown = {frame.index: position for position, frame in enumerate(self.shown or self.frames)}
        return {frame.index: of_shown[frame.index] for frame in self.frames}

    @cached_property
    def _at_position(self) -> dict[int, int]:
        return {position: frame for frame, position in self._position.items()}

    @cached_property
    def decimals(self) -> int:
        """Of a time in seconds."""
        # rounding to d decimals moves a moment by at most 0.5 * 10**-d seconds, which is under half a frame
        # exactly when fps < 10**d
        return next(d for d in range(1, 10) if 10**d > self.fps)

    def moment(self, frame: int) -> str:
        """Frame number of the file (on the grid or not) -> `3.94s` from the clip's start."""
        seconds = round(frame / self.fps - self.clip.start_seconds, self.decimals) + 0.0  # no "-0.00"
        return f"{seconds:.{self.decimals}f}s"

    def read_moment(self, text: str) -> int | None:
        """`3.94s` -> the frame number nearest to that time; None where the text is no time."""
        match = re.fullmatch(r"(-?\d{1,9}(?:\.\d{1,9})?)\s*s", text.strip())
        return None if match is None else round((float(match[1]) + self.clip.start_seconds) * self.fps)

    def stretch_text(self, begin: int, end: int) -> str:
        """Frames [begin, end) of the file, on the grid or not -> `3.94s to 4.97s`; where the family refers to frames by
        position, `frame 3 to frame 7 at 3.94s to 4.97s`, by those of the frames shown that lie within."""
        seconds = f"{self.moment(begin)} to {self.moment(end)}"
        return f"{self._positions_text(begin, end)} at {seconds}" if self.frame_reference == "position" else seconds

    def _positions_text(self, begin: int, end: int) -> str:
        """`frame 3 to frame 7`, `frame 3`; `between frame 3 and frame 4`, `before frame 1`, `after frame 8` where no
        frame shown lies within."""
        shown = [frame.index for frame in self.shown or self.frames]
        first, last = bisect_left(shown, begin) + 1, bisect_left(shown, end)
        if first < last:
            return f"frame {first} to frame {last}"
        if first == last:
            return f"frame {first}"
        if last == 0:
            return "before frame 1"
        return f"after frame {last}" if first > len(shown) else f"between frame {last} and frame {first}"

    def read_stretch(self, text: str) -> tuple[int, int] | None:
        """The inverse of `stretch_text`, with or without positions; None where the text is no stretch of time, or its
        positions and seconds contradict one another."""
        positions = ""
        if self.frame_reference == "position":
            first, at, rest = text.strip().partition(" at ")
            positions, text = (first, rest) if at else ("", text)
        moments = [self.read_moment(part) for part in text.split(" to ")]
        if len(moments) != 2 or moments[0] is None or moments[1] is None or moments[0] >= moments[1]:
            return None
        if positions and positions != self._positions_text(moments[0], moments[1]):
            return None
        return moments[0], moments[1]

    def frame_text(self, frame: int) -> str:
        """Grid frame -> how the family refers to it."""
        return f"frame {self._position[frame] + 1}" if self.frame_reference == "position" else self.moment(frame)

    def read_frame(self, text: str) -> int | None:
        """How the family refers to a frame -> its number in the file; None where it names no frame of the grid."""
        if self.frame_reference == "position":
            match = re.fullmatch(r"frame (\d{1,6})", text.strip().lower())
            return self._at_position.get(int(match[1]) - 1) if match else None
        frame = self.read_moment(text)
        return frame if frame in self._position else None

    def frames_text(self, frames: Collection[int]) -> str:
        """Grid frames -> runs, such as `0.00s to 3.94s; 7.87s`."""
        parts = []
        for first, last in runs(frames, self.frames):
            start, end = self.frame_text(first.index), self.frame_text(last.index)
            parts.append(start if first == last else f"{start} to {end}")
        return "; ".join(parts)

    def read_frames(self, text: str) -> Parsed[tuple[int, ...]]:
        """The inverse of `frames_text`. A run stands for all frames of the grid from its first to its last."""
        chosen: set[int] = set()
        unread = []
        for part in text.split(";"):
            ends = [self.read_frame(end) for end in part.split(" to ")]
            first, last = ends[0], ends[-1]
            if len(ends) > 2 or first is None or last is None or first > last:
                unread.append(part.strip())
            else:
                chosen.update(f.index for f in self.frames if first <= f.index <= last)
        return Parsed(tuple(sorted(chosen)), tuple(unread))

    def triple_text(self, subject_tid: int, predicate: str, object_tid: int) -> str:
        """`(adult 1, in front of, child 2)`."""
        return f"({self.names[subject_tid]}, {predicate.replace('_', ' ')}, {self.names[object_tid]})"

    def read_triple(self, text: str) -> tuple[int, str, int] | None:
        """The inverse of `triple_text`; None where the text is no triple or a name is not in the scene."""
        match = re.fullmatch(r"\((.+)\)", text.strip())
        parts = [part.strip() for part in match[1].split(",")] if match else []
        if len(parts) != 3 or not parts[1]:
            return None
        subject, object_ = self.entity(parts[0]), self.entity(parts[2])
        if subject is None or object_ is None:
            return None
        return subject.tid, parts[1].replace(" ", "_"), object_.tid


NOTHING = "none"
"""What a step says that has no items."""


def render_items(items: Sequence[T], render_item: Callable[[T], str]) -> str:
    """One line an item, or `none`."""
    return "\n".join(render_item(item) for item in items) or NOTHING


def parse_items(text: str, parse_item: Callable[[str], Parsed[T | None]]) -> Parsed[tuple[T, ...]]:
    """Read a text line by line; empty lines and `none` hold no item."""
    values: list[T] = []
    unread: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if line and line.lower() != NOTHING:
            parsed = parse_item(line)
            unread.extend(parsed.unread)
            if parsed.value is not None:
                values.append(parsed.value)
    return Parsed(tuple(values), tuple(unread))


def split_item(line: str) -> tuple[str, str]:
    """`head: rest` -> (head, rest). No name or predicate holds a colon followed by a blank."""
    head, _, rest = line.partition(": ")
    return head.strip(), rest.strip()
