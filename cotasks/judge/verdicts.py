"""One verdict: its fields, its row in a file, and how repeats are combined."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.rubric import CONTRADICTION
from cotasks.judge.scales import DEFAULT_SCALE, Scale, parse_scale
from cotasks.runs import folder as runs
from cotasks.runs.folder import Key
from cotasks.runs.run import Row
from cotasks.tools.files import read_jsonl

NOT_JUDGED = "not judged"


def verdict_row(hashed: str, key: Key, verdict: Verdict) -> Row:
    """A row of a verdict file."""
    id_, condition, sample = key
    row = {
        "key": hashed,
        "id": id_,
        "condition": condition,
        "sample": sample,
        "score": verdict.score,
        "correct": verdict.correct,
        "unreadable": verdict.unreadable,
        "reason": verdict.reason,
    }
    return with_checksum(row)


def with_checksum(row: Row) -> Row:
    """A row of a verdict file with the checksum of what it says now."""
    return {**row, "check": _checksum(row)}


_CHECKED = ("key", "id", "condition", "sample", "score", "correct", "unreadable")


def _checksum(row: Row) -> str:
    """Of the fields that numbers come from, so that damage to a row is seen; 8 hexadecimal digits."""
    return f"{zlib.crc32(orjson.dumps([row[name] for name in _CHECKED])):08x}"


_VERDICT_FIELDS: dict[str, type | tuple[type, ...]] = {
    "score": object,
    "key": str,
    "id": str,
    "condition": str,
    "sample": int,
    "correct": (bool, type(None)),
    "unreadable": bool,
    "reason": str,
    "explanation": (str, type(None)),
}


def read_verdicts(path: Path) -> Iterator[tuple[Key, str, Verdict, Row]]:
    """((id, condition, sample), hash, verdict, row) of a verdict file in order; none where it is missing.

    Of rows with one key and hash, the last counts. Raises InputError naming the line where a row is not a verdict.
    """
    if not path.exists():
        return
    for number, row in enumerate(read_jsonl(path), 1):
        for field, kind in _VERDICT_FIELDS.items():
            if field not in row and field != "explanation":
                raise InputError(f"{path}:{number}: a verdict without {field!r}")
            if not isinstance(row.get(field), kind):
                raise InputError(f"{path}:{number}: {field} {shorten(row[field])}; a different version?")
        score = row["score"]
        if score is not None and not (isinstance(score, int | float) and 0 <= score <= 100):
            raise InputError(f"{path}:{number}: score {shorten(score)}; expected 0 to 100 or null")
        if "check" in row and row["check"] != _checksum(row):  # rows of older versions have none
            raise InputError(f"{path}:{number}: {shorten(row)}; expected values of checksum {shorten(row['check'])}")
        explanation = row.get("explanation") or ""
        verdict = Verdict(score, row["correct"], row["unreadable"], row["reason"], explanation)
        if "rating" in row:
            scale = row.get("scale", DEFAULT_SCALE.name)
            verdict = _as_rated(verdict, row["rating"], parse_scale(str(scale), f"{path}:{number}"), f"{path}:{number}")
        key, hashed = runs.key_of(row), row["key"]
        yield key, hashed, verdict, row


def _as_rated(verdict: Verdict, rating: Any, scale: Scale, place: str) -> Verdict:
    """A language model's verdict; unscored where its rating and its match contradict each other.

    Raises InputError where the score does not follow from the rating.
    """
    known = rating is None or scale.holds(rating)
    score = scale.score(rating) if known and rating is not None else None
    if not known or verdict.score != score:
        follows = (
            f"score {score if score is not None else 'null'}" if known else f"{scale.lowest} to {scale.highest} or null"
        )
        raise InputError(f"{place}: rating {shorten(rating)} with score {shorten(verdict.score)}; expected {follows}")
    if rating is not None and scale.contradicts(verdict.correct, rating):
        return replace(verdict, score=None, correct=None, reason=CONTRADICTION)
    return verdict


def combined(repeats: Sequence[Verdict]) -> Verdict:
    """One verdict of an answer's repeats: the mean score of those that have one."""
    if len(repeats) == 1:
        return repeats[0]
    scored = [verdict for verdict in repeats if verdict.score is not None]
    if not scored:
        return repeats[0] if repeats else Verdict(None, None, False, NOT_JUDGED)
    mean = sum(verdict.score or 0.0 for verdict in scored) / len(scored)
    correct = 2 * sum(bool(verdict.correct) for verdict in scored) > len(scored)
    return replace(scored[0], score=mean, correct=correct)


NO_GENERATION = "no answer generated"


UNKNOWN_ID = "no such question in the run"


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer."""

    score: float | None
    """0 to 100; None where unscored."""
    correct: bool | None
    """A yes or no: what `exact` holds, under every local judge; whether the answer means the same as a reference, of a
    language model (of its repeats, more than half); None where unscored."""
    unreadable: bool
    """True where the answer is empty, a refusal, or names no single option; it then scores 0."""
    reason: str
    """Why, in a short phrase without values of the data."""
    explanation: str = ""
    """What a language model gave as its reason; of its repeats, the first that was scored."""
