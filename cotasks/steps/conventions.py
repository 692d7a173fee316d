"""In which convention boxes were written, found by what fits their frames.

A model that is asked for pixels may write thousandths all the same, or y before x. Where a box so read would leave its
frame, or be smaller than the unit it is written in, it does not fit. What fits decides, and nothing else: thousandths
and fractions fit alike with x or y first, so nobody can tell these apart from the frames; and where two conventions
fit, none is chosen.

    found = find_convention([WrittenBox((120, 700, 480, 960), frame=(640, 480)), ...])
    found.convention     the only one that fits, or None
    found.candidates     all that are not contradicted
    the_convention(...)  the only one; InputError with the candidates where there are several, or none
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cotasks.errors import InputError
from cotasks.records.boxes import CoordinateFormat, Size, Xyxy, iou, parse_box

Order = Literal["xyxy", "yxyx"]
Unit = Literal["pixels", "resized", "thousandths", "fractions"]

EDGE = 0.05
"""How far a box may leave its frame, as a share of the side; as `entity_tracking.is_in_frame`."""
FITS = 0.05
"""A convention fits where at most this share of the boxes does not: models write a wild box now and then."""
CONTRADICTED = 0.15
"""It is contradicted where at least this share does not fit; between the two, it stays a candidate."""
ODD = 0.1
"""Where a greater share of the boxes than this is inverted or flat, they are boxes in no convention known here."""


@dataclass(frozen=True)
class Convention:
    """An order of the four numbers, and what they count."""

    order: Order
    unit: Unit
    """Pixels of the frame, pixels of the frame as resized for the model, thousandths (0 to 1000) or fractions of its
    width and height."""

    @property
    def name(self) -> str:
        """Such as `yxyx thousandths`."""
        return f"{self.order} {self.unit}"


CONVENTIONS = tuple(
    Convention(order, unit)
    for unit in ("pixels", "resized", "thousandths", "fractions")
    for order in ("xyxy", "yxyx")
)  # fmt: skip
"""All that are known, the more usual first."""


def parse_convention(name: str) -> Convention:
    """`yxyx thousandths`, `thousandths-yxyx`; InputError that lists the names where there is no such convention."""
    words = set(re.split(r"[\s,_-]+", name.strip().lower()))
    found = [one for one in CONVENTIONS if {one.order, one.unit} == words]
    if not found:
        raise InputError(f"box convention {name!r}; expected one of {_listed(CONVENTIONS)}", "unknown box convention")
    return found[0]


@dataclass(frozen=True)
class WrittenBox:
    """A box as it stands in a text."""

    numbers: tuple[float, float, float, float]
    frame: Size
    """(width, height) of the frame it was written for, in pixels."""
    resized: Size | None = None
    """(width, height) of that frame as the model was shown it; None where that is not known."""


@dataclass(frozen=True)
class Found:
    """What a list of boxes says of its convention."""

    convention: Convention | None
    """The only one that fits, where all others are contradicted."""
    candidates: tuple[Convention, ...]
    """All that are not contradicted; one of those that put every box at the same place."""
    misfits: tuple[tuple[Convention, int], ...]
    """How many boxes do not fit each convention that was asked for."""
    boxes: int
    """Boxes that say something: those that are neither inverted nor flat."""
    odd: int
    """Boxes that are."""

    @property
    def words(self) -> str:
        """One line that says what was found, and why."""
        counts = ", ".join(f"{one.name} {count}" for one, count in self.misfits)
        ground = f"{self.boxes} boxes ({self.odd} more inverted or flat); outside the frame or too small as: {counts}"
        if self.convention is not None:
            return f"{self.convention.name}: all else is contradicted by {ground}"
        if not self.candidates:
            return f"no box convention fits {ground}"
        if len(self.candidates) == 1:
            return f"{self.candidates[0].name} fits too few of {ground}"
        return f"{len(self.candidates)} box conventions may fit, {_listed(self.candidates)}: {ground}"


def find_convention(boxes: Iterable[WrittenBox], among: Sequence[Convention] = CONVENTIONS) -> Found:
    """Which of some conventions fit boxes that one hand wrote.

    Args:
        among: what is possible; `resized` is left out where a box does not say how its frame was resized.
    """
    boxes = list(boxes)
    plain = [box for box in boxes if not _is_odd(box)]
    odd = len(boxes) - len(plain)
    if any(box.resized is None for box in plain):
        among = [one for one in among if one.unit != "resized"]
    misfits = [(one, sum(not fits(box, one) for box in plain)) for one in among]
    if not plain or odd > ODD * len(boxes):
        return Found(None, (), tuple(misfits), len(plain), odd)
    candidates = [one for one, count in misfits if count < max(CONTRADICTED * len(plain), 1)]
    candidates = _different(candidates, plain)
    of = dict(misfits)
    only = candidates[0] if len(candidates) == 1 and of[candidates[0]] <= FITS * len(plain) else None
    return Found(only, tuple(candidates), tuple(misfits), len(plain), odd)


def the_convention(boxes: Iterable[WrittenBox], among: Sequence[Convention] = CONVENTIONS) -> Convention:
    """The only convention that fits.

    Raises InputError that names the candidates where several may fit, or none does.
    """
    found = find_convention(boxes, among)
    if found.convention is None:
        reason = "several box conventions fit" if len(found.candidates) > 1 else "no box convention fits"
        raise InputError(f"{found.words}; say which one it is", reason)
    return found.convention


def to_pixels(box: WrittenBox, convention: Convention) -> Xyxy:
    """(x1, y1, x2, y2) in pixels of the box's frame.

    Raises InputError for `resized` where the box does not say how its frame was resized.
    """
    a, b, c, d = box.numbers
    numbers = (a, b, c, d) if convention.order == "xyxy" else (b, a, d, c)
    return parse_box(numbers, box.frame, _format(box, convention))


def fits(box: WrittenBox, convention: Convention) -> bool:
    """Whether a box that is neither inverted nor flat can be one in a convention: it leaves its frame by `EDGE` at
    most, and is not smaller than a pixel or a thousandth where these are counted."""
    (width, height), (x1, y1, x2, y2) = box.frame, to_pixels(box, convention)
    if min(x1 / width, y1 / height) < -EDGE or max(x2 / width, y2 / height) > 1 + EDGE:
        return False
    a, b, c, d = box.numbers
    return convention.unit == "fractions" or min(c - a, d - b) >= 1


def mean_overlaps(
    pairs: Sequence[tuple[WrittenBox, Xyxy]], among: Sequence[Convention] = CONVENTIONS
) -> list[tuple[Convention, float]]:
    """The mean IoU of boxes with reference boxes in pixels, read in each convention: the greatest first.

    It decides nothing here: whoever must choose between candidates can see it. Nothing without a pair.
    """
    if not pairs:
        return []
    among = [one for one in among if one.unit != "resized" or all(box.resized for box, _ in pairs)]
    means = [(one, sum(iou(to_pixels(box, one), xyxy) for box, xyxy in pairs) / len(pairs)) for one in among]
    return sorted(means, key=lambda mean: -mean[1])


def _format(box: WrittenBox, convention: Convention) -> CoordinateFormat:
    if convention.unit == "pixels":
        return CoordinateFormat("pixels", box.frame)
    if convention.unit == "resized":
        if box.resized is None:
            raise InputError(f"box {list(box.numbers)}: the size of the resized frame is not known", "no resized size")
        return CoordinateFormat("pixels", box.resized)
    return CoordinateFormat(convention.unit)


def _is_odd(box: WrittenBox) -> bool:
    """Whether it is inverted or flat, which it then is in every convention."""
    a, b, c, d = box.numbers
    return not (a < c and b < d)


def _different(candidates: Sequence[Convention], boxes: Sequence[WrittenBox]) -> list[Convention]:
    """The candidates without those that put every box where one before them does."""
    kept: list[Convention] = []
    for one in candidates:
        if not any(all(_same(to_pixels(box, one), to_pixels(box, other)) for box in boxes) for other in kept):
            kept.append(one)
    return kept


def _same(a: Xyxy, b: Xyxy) -> bool:
    return all(abs(one - other) < 1e-6 for one, other in zip(a, b, strict=True))


def _listed(conventions: Sequence[Convention]) -> str:
    return ", ".join(one.name for one in conventions)
