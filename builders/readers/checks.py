"""What the readers share: record ids without doubles, and checks of values that come out of JSON."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

from cotasks.errors import InputError, shorten
from cotasks.records.annotation import LeftOut
from cotasks.records.own_fields import REASON

MANY_ODD = 10
"""So many odd boxes, if they are more than the others, are no slip: the file is of another video or size."""


class Odd:
    """Boxes and relations that a format does not allow."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self.errors: list[InputError] = []
        self._known: list[LeftOut] = []

    def note(self, error: InputError) -> None:
        """Leave out what the error speaks of; raise it where everything must be right."""
        if self._strict:
            raise error
        self.errors.append(error)

    def known(self, reason: str, detail: str) -> None:
        """Leave out what the format allows and no step can hold; it is counted, and no fault."""
        self._known.append(LeftOut(reason, detail))

    def refuse_many(self, boxes: int) -> None:
        """Raises the first error where there are `MANY_ODD` or more, and more than there are sound boxes."""
        if MANY_ODD <= len(self.errors) > boxes:
            raise self.errors[0]

    def left_out(self) -> tuple[LeftOut, ...]:
        """All that was left out."""
        return (*(LeftOut(error.reason, str(error)) for error in self.errors), *self._known)


@contextmanager
def counted_as(reason: str) -> Iterator[None]:
    """Count what `own_fields` and the converters find wrong under a source's own reason; other reasons stay."""
    try:
        yield
    except InputError as error:
        if error.reason not in (REASON, InputError("").reason):
            raise
        raise InputError(str(error), reason) from None


def unique_ids(bases: Sequence[str], texts: Sequence[tuple[str, str, Sequence[str]]]) -> list[str]:
    """Record ids, no two alike, that change only where rows of the same base change.

    A base that stands once is the id. Where it repeats, every row that has it gets `-` and the first 8
    hexadecimal digits of the SHA-256 of question and answer, joined by a line feed; rows still alike hash
    their choices as well; rows that are alike in all of this are numbered in the order of the file: nothing,
    `-2`, `-3` ...

    Args:
        bases: one a row.
        texts: (question, answer, choices) of each row.
    """

    def hashed(row: int, *more: str) -> str:
        text = "\n".join((*texts[row][:2], *more))
        return f"{bases[row]}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"

    count = Counter(bases)
    short = {row: hashed(row) for row, base in enumerate(bases) if count[base] > 1}
    alike = Counter(short.values())
    used = {base for base in bases if count[base] == 1}
    ids: list[str] = []
    for row, base in enumerate(bases):
        if row not in short:
            ids.append(base)
            continue
        name = short[row] if alike[short[row]] == 1 else hashed(row, *texts[row][2])
        numbered = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        ids.append(next(candidate for candidate in numbered if candidate not in used))
        used.add(ids[-1])
    return ids


def expect_object(value: object, place: str, reason: str = "malformed source") -> dict[str, Any]:
    """The value if it is a JSON object; InputError that names the place if not."""
    if not isinstance(value, dict):
        raise InputError(f"{place}: {shorten(value)}; expected an object", reason)
    return value


def expect_list(value: object, place: str, reason: str = "malformed source") -> list[Any]:
    """The value if it is a JSON list; InputError that names the place if not."""
    if not isinstance(value, list):
        raise InputError(f"{place}: {shorten(value)}; expected a list", reason)
    return value


def is_number(value: object) -> TypeGuard[float]:
    """Whether the value is a finite number that a float can hold; true and false are none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


def is_whole(value: object) -> TypeGuard[int]:
    """Whether the value is a whole number written as one; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)
