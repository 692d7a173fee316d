"""What the readers share: record ids without doubles, and checks of values that come out of JSON."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeGuard

from cotasks.errors import InputError, shorten


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
