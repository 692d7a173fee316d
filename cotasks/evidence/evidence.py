"""What evidence is: things, each with spans of time and boxes.

Seconds count from the start of the clip that was asked about. Boxes are four numbers as they were written, until
`in_pixels` has made (x1, y1, x2, y2) in pixels of the frame of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cotasks.records.boxes import Size
from cotasks.steps.conventions import Convention, WrittenBox, to_pixels

Numbers = tuple[float, float, float, float]
UNKNOWN_SIZE: Size = (10**9, 10**9)
"""Stands for the size of a frame that nobody states: no pixels leave it, so that they are not contradicted, while what
contradicts thousandths and fractions does so in a frame of any size."""


@dataclass(frozen=True)
class TimedBox:
    """A box at a moment."""

    second: float
    numbers: Numbers


@dataclass(frozen=True)
class Piece:
    """A span in which something is seen."""

    start: float
    end: float
    """Seconds, both included; start <= end."""
    boxes: tuple[TimedBox, ...] = ()


@dataclass(frozen=True)
class Instance:
    """A thing that is seen."""

    name: str
    """As the answer calls it; empty where it names nothing."""
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Evidence:
    """What an answer says of its evidence."""

    instances: tuple[Instance, ...] = ()
    answer: str | None = None
    """What stands as the answer beside the evidence, such as a letter; None where nothing does."""
    unread: tuple[str, ...] = ()
    """What looks like evidence and could not be read."""

    def boxes(self) -> Iterator[TimedBox]:
        """All boxes, in order."""
        yield from (box for instance in self.instances for piece in instance.pieces for box in piece.boxes)

    def written(self, size: Size | None) -> Iterator[WrittenBox]:
        """All boxes, for `cotasks.steps.conventions`.

        Args:
            size: (width, height) of the frame in pixels; None where nobody states it.
        """
        yield from (WrittenBox(box.numbers, size or UNKNOWN_SIZE) for box in self.boxes())


def in_pixels(evidence: Evidence, convention: Convention, size: Size | None) -> Evidence | None:
    """The evidence with boxes x1, y1, x2, y2 in pixels of the frame; None where these depend on a size that nobody
    states.

    Raises InputError for `resized`, whose size no answer states.
    """
    if size is None and convention.unit != "pixels":
        return None

    def pixels(box: TimedBox) -> TimedBox:
        return TimedBox(box.second, to_pixels(WrittenBox(box.numbers, size or UNKNOWN_SIZE), convention))

    def plain(box: TimedBox) -> TimedBox:
        a, b, c, d = box.numbers  # as they are: no division takes a digit away
        return box if convention.order == "xyxy" else TimedBox(box.second, (b, a, d, c))

    return with_boxes(evidence, plain if convention.unit == "pixels" else pixels)


def in_convention(evidence: Evidence, convention: Convention, size: Size) -> Evidence:
    """The inverse of `in_pixels`: pixels of the frame in another convention, unrounded. Raises as it does."""
    ones = to_pixels(WrittenBox((1.0, 1.0, 1.0, 1.0), size), convention)  # what a unit is in pixels, by x and by y

    def written(box: TimedBox) -> TimedBox:
        x1, y1, x2, y2 = (v / one for v, one in zip(box.numbers, ones, strict=True))
        return TimedBox(box.second, (x1, y1, x2, y2) if convention.order == "xyxy" else (y1, x1, y2, x2))

    return with_boxes(evidence, written)


def with_boxes(evidence: Evidence, change: Callable[[TimedBox], TimedBox]) -> Evidence:
    """The evidence with each box changed."""
    instances = tuple(
        Instance(
            instance.name,
            tuple(dataclasses.replace(piece, boxes=tuple(map(change, piece.boxes))) for piece in instance.pieces),
        )
        for instance in evidence.instances
    )
    return dataclasses.replace(evidence, instances=instances)


def grouped(pieces: list[tuple[str, Piece]]) -> tuple[Instance, ...]:
    """(name, piece) -> things by name, in order of their first piece."""
    by_name: dict[str, list[Piece]] = {}
    for name, piece in pieces:
        by_name.setdefault(name, []).append(piece)
    return tuple(Instance(name, tuple(found)) for name, found in by_name.items())
