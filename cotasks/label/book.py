"""One labeller's labels while they are given: each is on the disk before it is confirmed.

A row of `labels/<labeller>.jsonl` is one of `cotasks.runs.labels`, and has besides

    correct     whether the answer means the same as a reference; null where the labeller could not tell
    rubric      what they went by, name and version: `answer-match 1`
    time        when, ISO 8601 in UTC

so that `score` is what the rubric's scale makes of their rating, and `comment` their own words.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.judge.scales import Scale
from cotasks.label.sample import Item, Plan
from cotasks.runs.folder import Appender, Key, key_of, locked
from cotasks.runs.labels import read_labels
from cotasks.runs.run import Row, Run
from cotasks.tools.files import read_jsonl

LONGEST_NAME = 40
LONGEST_COMMENT = 2000
"""Characters."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def check_labeller(name: str, place: str = "labeller") -> str:
    """The name. Raises InputError where it cannot be a labeller's here, and so a file's."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        expected = f"up to {LONGEST_NAME} lower-case letters, digits, and - between"
        raise InputError(f"{place} {shorten(name)}; expected {expected}")
    return name


def label_path(folder: Path, labeller: str) -> Path:
    """The file of a labeller. Raises InputError as `check_labeller`."""
    return folder / "labels" / f"{check_labeller(labeller)}.jsonl"


@dataclass(frozen=True)
class Said:
    """What a labeller says of an answer, on the rubric's scale."""

    correct: bool | None
    """None, and no rating, where they cannot say."""
    rating: int | None
    comment: str = ""


def read_said(given: Mapping[str, Any], scale: Scale, place: str) -> Said:
    """What a page or a table gives as `correct` (true, false or null), `rating` and `comment`.

    Raises InputError naming the place where it is not on the scale, not whole, or contradicts itself.
    """
    correct, rating, comment = given.get("correct"), given.get("rating"), given.get("comment", "")
    if correct is not None and not isinstance(correct, bool):
        raise InputError(f"{place}: correct {shorten(correct)}; expected yes or no")
    if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
        raise InputError(f"{place}: comment {shorten(comment)}; expected a text of up to {LONGEST_COMMENT} characters")
    if not scale.rates:
        if rating is not None:
            raise InputError(
                f"{place}: rating {shorten(rating)}; expected none, for the rubric's scale is {scale.name}"
            )
        rating = None if correct is None else scale.rating_of(correct)
    if (correct is None) != (rating is None):
        given_one = "rating" if correct is None else "correct"
        raise InputError(f"{place}: {given_one} alone; expected correct and rating, or neither where nobody can say")
    if rating is not None and not scale.holds(rating):
        raise InputError(f"{place}: rating {shorten(rating)}; expected a whole number of the scale {scale.name}")
    if rating is not None and scale.rates and scale.contradicts(correct, rating):
        said = "yes" if correct else "no"
        raise InputError(f"{place}: {said} with rating {rating}; expected a verdict that does not contradict itself")
    return Said(correct, rating, comment)


@dataclass(frozen=True)
class Given:
    """A label as it stands in the file."""

    said: Said
    score: float | None
    time: str


class Book:
    """The labels of one labeller, open for more. Threads may share it."""

    def __init__(self, run: Run, plan: Plan, labeller: str, items: Sequence[Item], file: Appender) -> None:
        self.plan, self.labeller = plan, labeller
        self.items = {item.key: item for item in items}
        self._file = file
        self._lock = threading.Lock()
        self._last = last_rows(run, labeller)

    def given(self, item: Item) -> Given | None:
        """What was said of an item last, by this rubric and of its answer as it is; None where nothing was."""
        return given_of(self._last, item, self.plan)

    def done(self) -> int:
        """Items that have a label."""
        return sum(self.given(item) is not None for item in self.items.values())

    def write(self, item: Item, said: Said, time: str | None = None) -> None:
        """Append a label of an item, a row for each of its answers, and wait until the rows are on the disk.

        Raises InputError where they cannot be written."""
        score = None if said.rating is None else self.plan.rubric.scale.score(said.rating)
        now = time or datetime.now(timezone.utc).isoformat(timespec="seconds")
        rest = {"correct": said.correct, "rubric": self.plan.rubric_name, "time": now}
        with self._lock:
            for (id_, condition, sample), weight in zip(item.answers, item.weights, strict=True):
                row: Row = {"id": id_, "condition": condition, "sample": sample, "key": item.key}
                row |= {"labeller": self.labeller, "score": score, "weight": weight, "comment": said.comment, **rest}
                self._file.append(row)
                self._last[key_of(row)] = row
            self._file.sync()


def last_rows(run: Run, labeller: str) -> dict[Key, Row]:
    """{answer: the last row of a labeller's file on it}. Raises InputError where a file of labels is damaged."""
    read_labels(run)
    path = label_path(run.folder, labeller)
    return {key_of(row): row for row in read_jsonl(path)} if path.exists() else {}


def given_of(rows: Mapping[Key, Row], item: Item, plan: Plan) -> Given | None:
    """What a labeller's rows say of an item; None where one of its answers has no label of now, by this rubric."""
    found = [rows.get(key) for key in item.answers]
    row = found[0]
    if row is None or any(one is None or one.get("key") != item.key for one in found):
        return None
    score, correct, rubric = row["score"], row.get("correct"), row.get("rubric")
    if rubric != plan.rubric_name or (correct is None) != (score is None):
        return None
    rating = None
    if score is not None:
        scale = plan.rubric.scale
        rating = round(scale.lowest + score / 100 * (scale.highest - scale.lowest))
    return Given(Said(correct, rating, row.get("comment", "")), score, str(row.get("time", "")))


@contextmanager
def open_book(run: Run, plan: Plan, labeller: str, items: Sequence[Item]) -> Iterator[Book]:
    """The book of a labeller, for this process alone.

    Raises InputError where another process has it open, or the labeller's file is damaged.
    """
    path = label_path(run.folder, check_labeller(labeller))
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(run.folder, lock_of(labeller)), Appender(path) as file:
        yield Book(run, plan, labeller, items, file)


def lock_of(labeller: str) -> str:
    """The name of the lock that whoever writes a labeller's file holds."""
    return f"label-{labeller}"
