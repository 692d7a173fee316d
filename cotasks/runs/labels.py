"""What people said of a run's answers: `labels/*.jsonl`, and the same as CSV.

A row of `labels/<anything>.jsonl`, in files that are only ever appended to (`folder.Appender`):

    id, condition, sample   the answer, as in `generations/`
    key         `label_key` of the question and the answer that the labeller saw: a label of an answer that changed
                since, or whose question or references did, does not count
    labeller    who; several may label one answer
    score       0 to 100, how right the answer is; null where the labeller could not tell
    weight      how many answers it stands for: 1 by its chance of being drawn, but for a factor. 1 where every answer
                had the same chance; with strata, answers of a stratum by those of it that were drawn
    comment     free text; may be missing

Of rows of one labeller on one answer the last counts, so that a label is taken back by another one. Labels that people
chose to give (the odd answers, say) are no random sample: agreement can be read off them, corrected means cannot.

In CSV the columns are `id, condition, sample, labeller, score, weight, comment` and, to be read by people, `question`,
`references` and `answer`; `sample`, `weight`, `comment` and the last three may be missing on the way in. An `answer`
that is there must be the run's. A text that a spreadsheet would run has an apostrophe before it; what spreadsheets
save is read, see `cotasks.tools.sheets`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.runs.folder import Appender, Key, locked
from cotasks.runs.run import Run
from cotasks.tools.files import read_jsonl
from cotasks.tools.sheets import cell, read_sheet, uncell, write_sheet

COLUMNS = ("id", "condition", "sample", "labeller", "score", "weight", "comment", "question", "references", "answer")
NEEDED = ("id", "condition", "labeller", "score")
NUMBERS = ("sample", "score", "weight")


@dataclass(frozen=True)
class Label:
    """What one person said of one answer."""

    key: Key
    """(record id, condition, sample)."""
    labeller: str
    score: float | None
    """0 to 100; None where the labeller could not tell."""
    weight: float = 1.0
    comment: str = ""


def label_key(question: Mapping[str, Any], answer: str | None) -> str:
    """A hash of all that a labeller judges by: question, options, references and answer; 64 hexadecimal digits."""
    names = ("question", "answer", "additional_answers", "choices", "answer_index")
    return hashlib.sha256(orjson.dumps([*(question.get(name) for name in names), answer])).hexdigest()


def read_labels(run: Run) -> tuple[list[Label], int]:
    """(the labels that count, how many rows do not: of answers, questions or references that changed or are gone).

    Raises InputError naming file and line where a row is no label.
    """
    found: dict[tuple[Key, str], Label] = {}
    stale = 0
    for path in sorted((run.folder / "labels").glob("*.jsonl")):
        for number, row in enumerate(read_jsonl(path), 1):
            label = _label(row, f"{path}:{number}")
            if row.get("key") == _key_now(run, label.key):
                found.pop((label.key, label.labeller), None)
                found[label.key, label.labeller] = label
            else:
                stale += 1
    return list(found.values()), stale


def append_labels(run: Run, labels: Iterable[Label], file: str | None = None) -> int:
    """Append labels of answers that the run has, each to its labeller's file; returns how many.

    Args:
        run: The run.
        labels: Of any labellers.
        file: Stem of the one file to append to instead.

    Raises InputError where an answer is not the run's, a score or weight is out of its range, or another process writes
    labels of this run.
    """
    rows: dict[Path, list[dict[str, Any]]] = {}
    for label in labels:
        key = _key_now(run, label.key)
        place = f"label of {label.labeller!r} on {', '.join(map(str, label.key))}"
        if key is None:
            raise InputError(f"{place}: no such answer in {run.folder}")
        id_, condition, sample = label.key
        row = {"id": id_, "condition": condition, "sample": sample, "key": key, "labeller": label.labeller}
        row |= {"score": label.score, "weight": label.weight, "comment": label.comment}
        _label(row, place)
        stem = file or f"{_stem(label.labeller)}"
        rows.setdefault(run.folder / "labels" / f"{stem}.jsonl", []).append(row)
    with locked(run.folder, "labels"):
        for path, of in rows.items():
            with Appender(path) as appender:
                for row in of:
                    appender.append(row)
    return sum(map(len, rows.values()))


def export_csv(run: Run, path: Path) -> int:
    """Write the labels that count as CSV, with question, references and answer; returns how many."""
    rows: list[Sequence[str]] = [COLUMNS]
    labels, _ = read_labels(run)
    for label in labels:
        question = run.questions[label.key[0]]
        references = [r for r in (question["answer"], *question.get("additional_answers", ())) if r is not None]
        score = "" if label.score is None else f"{label.score:.10g}"
        shown = question["question"], " | ".join(references), run.generations[label.key].get("answer") or ""
        id_, condition, sample = label.key
        row = id_, condition, str(sample), label.labeller, score, f"{label.weight:.10g}", label.comment, *shown
        rows.append(tuple(text if name in NUMBERS else cell(text) for name, text in zip(COLUMNS, row, strict=True)))
    write_sheet(path, rows)
    return len(labels)


def import_csv(run: Run, path: Path) -> int:
    """Append the labels of a CSV file to the run; returns how many. An empty score is one that could not be told.

    Raises InputError naming file, line, column and value; then nothing is imported.
    """
    sheet = read_sheet(path)
    if missing := [name for name in NEEDED if name not in sheet.columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(NEEDED)}")
    found = [_from_csv(run, row.cells, f"{path}:{row.line}", sheet.decimal_comma) for row in sheet.rows]
    return append_labels(run, found)


def _from_csv(run: Run, row: Mapping[str, str], place: str, decimal_comma: bool) -> Label:
    cells = {name: row.get(name, "").strip() for name in COLUMNS}
    cells = {name: text if name in NUMBERS else uncell(text) for name, text in cells.items()}
    numbers = {name: text.replace(",", ".") if decimal_comma else text for name, text in cells.items()}
    sample = _number(numbers["sample"] or "0", "sample", place)
    if not sample.is_integer():
        raise InputError(f"{place}: sample {shorten(cells['sample'])}; expected a whole number")
    key = cells["id"], cells["condition"], int(sample)
    score = _number(numbers["score"], "score", place) if cells["score"] else None
    weight = _number(numbers["weight"] or "1", "weight", place)
    label = Label(key, cells["labeller"], score, weight, cells["comment"])
    if key not in run.generations or key[0] not in run.questions:
        raise InputError(f"{place}: {', '.join(map(str, key))}: no such answer in {run.folder}")
    answer = (run.generations[key].get("answer") or "").strip()
    if "answer" in row and cells["answer"].split() != answer.split():
        raise InputError(f"{place}: answer {shorten(cells['answer'])}; expected that of the run, {shorten(answer)}")
    fields = {"id": key[0], "condition": key[1], "sample": key[2], "labeller": label.labeller, "key": ""}
    return _label({**fields, "score": score, "weight": weight, "comment": label.comment}, place)


def _number(text: str, name: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{place}: {name} {shorten(text)}; expected a number") from None


def _label(row: Mapping[str, Any], place: str) -> Label:
    """A row of labels, checked. Raises InputError that names the place, the field and the value."""
    kinds: dict[str, tuple[type, ...]] = {
        "id": (str,),
        "condition": (str,),
        "sample": (int,),
        "key": (str,),
        "labeller": (str,),
        "score": (int, float, type(None)),
        "weight": (int, float),
        "comment": (str,),
    }
    filled = {"score": ..., "weight": 1.0, "comment": "", **row}
    for name, kind in kinds.items():
        value = filled.get(name, ...)
        if not isinstance(value, kind) or isinstance(value, bool):
            shown = "missing" if value is ... else shorten(value)
            raise InputError(f"{place}: {name} is {shown}; expected a label")
    score, weight = filled["score"], float(filled["weight"])
    if score is not None and not 0 <= score <= 100:
        raise InputError(f"{place}: score {shorten(score)}; expected 0 to 100, or null")
    if not 0 < weight < float("inf"):
        raise InputError(f"{place}: weight {shorten(filled['weight'])}; expected a number above 0")
    if not filled["labeller"]:
        raise InputError(f"{place}: labeller is empty; expected a name")
    key = filled["id"], filled["condition"], filled["sample"]
    return Label(key, filled["labeller"], None if score is None else float(score), weight, filled["comment"])


def _key_now(run: Run, key: Key) -> str | None:
    """`label_key` of an answer as it is now; None where there is none."""
    question, row = run.questions.get(key[0]), run.generations.get(key)
    return None if question is None or row is None else label_key(question, row.get("answer"))


def _stem(labeller: str) -> str:
    """A file name for a labeller: letters and digits of the name, and a hash where that is not all of it."""
    plain = re.sub(r"[^a-z0-9]+", "-", labeller.lower()).strip("-")[:40]
    return plain if plain == labeller else f"{plain or 'labeller'}-{hashlib.sha256(labeller.encode()).hexdigest()[:8]}"
