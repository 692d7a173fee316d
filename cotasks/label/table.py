"""A sheet for a spreadsheet: the sample, to be labelled there without model or condition, and taken back as CSV.

    key                      of question, references and answer, see `cotasks.runs.labels`
    labeller                 whose sheet it is
    question, references, answer
                             what is shown; not read
    correct                  yes or no, or ? where the labeller cannot tell; empty, with rating, where a row is to be
                             labelled still
    rating                   on the rubric's scale; empty where that is yes/no
    comment                  may be empty
    rubric                   name and version; must be the sample's

Cells that a spreadsheet would take for a formula are written with an apostrophe before them. Labels with the ids and
conditions of their answers go out and in by `cotasks.runs.labels.export_csv` and `import_csv`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cotasks.errors import InputError, shorten
from cotasks.judge.scales import Scale
from cotasks.label.book import Said, check_labeller, given_of, last_rows, lock_of, open_book, read_said
from cotasks.label.sample import Item, Plan, choose, settle_plan
from cotasks.runs.folder import locked
from cotasks.runs.labels import import_csv
from cotasks.runs.run import Run
from cotasks.tools import sheets
from cotasks.tools.sheets import cell, uncell

COLUMNS = ("key", "labeller", "question", "references", "answer", "correct", "rating", "comment", "rubric")
NEEDED = ("key", "labeller", "correct", "rating")
CANNOT_TELL = "?"
_YES_NO = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


@dataclass(frozen=True)
class Taken:
    """What was taken over from a table."""

    new: int
    """Labels that are new, or other than before."""
    kept: int
    """Labels that were there."""
    empty: int
    """Rows that are to be labelled still."""


def write_sheet(run: Run, plan: Plan, labeller: str, path: Path) -> int:
    """Write a labeller's sheet, whole or not at all; returns how many of its rows are labelled.

    Raises InputError where the run has no answer to show, or a file of it is damaged.
    """
    items, rows = choose(run, plan), last_rows(run, labeller)
    out: list[Sequence[str]] = [COLUMNS]
    labelled = 0
    for item in items:
        given = given_of(rows, item, plan)
        labelled += given is not None
        shown = (item.question, " | ".join(item.references), item.answer)
        said = ["", "", ""] if given is None else _cells(given.said, plan.rubric.scale)
        out.append([item.key, labeller, *map(cell, shown), *said, cell(plan.rubric_name)])
    sheets.write_sheet(path, out)
    return labelled


def _cells(said: Said, scale: Scale) -> list[str]:
    """correct, rating and comment."""
    correct = CANNOT_TELL if said.correct is None else "yes" if said.correct else "no"
    rating = str(said.rating) if said.rating is not None and scale.rates else ""
    return [correct, rating, cell(said.comment)]


def read_table(run: Run, path: Path) -> Taken:
    """Take over the labels of a sheet, or of a table as `runs.labels.import_csv` reads it; all of it or none.

    Raises InputError naming file, row, column and value where one is no label of an answer of the run, and where a
    labeller's page is open.
    """
    sheet = sheets.read_sheet(path)
    columns = sheet.columns
    if "key" not in columns:
        with ExitStack() as stack:
            for name in sorted({uncell(row.cells.get("labeller", "").strip()) for row in sheet.rows}):
                if name.replace("-", "").isalnum():
                    stack.enter_context(locked(run.folder, lock_of(name)))
            return Taken(import_csv(run, path), 0, 0)
    if missing := [name for name in NEEDED if name not in columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(NEEDED)}")
    plan = settle_plan(run.folder)
    items = {item.key: item for item in choose(run, plan)}
    said: dict[str, list[tuple[Item, Said]]] = defaultdict(list)
    empty = 0
    for row in sheet.rows:
        cells = {name: row.cells.get(name, "").strip() for name in COLUMNS}
        if cells["correct"] or cells["rating"]:
            name, item, one = _read_row(cells, items, plan, f"{path}: row {row.number}")
            said[name].append((item, one))
        else:
            empty += 1
    new = kept = 0
    with ExitStack() as stack:
        books = {name: stack.enter_context(open_book(run, plan, name, list(items.values()))) for name in said}
        for name, found in said.items():
            for item, one in found:
                before = books[name].given(item)
                if before is not None and before.said == one:
                    kept += 1
                else:
                    books[name].write(item, one)
                    new += 1
    return Taken(new, kept, empty)


def _read_row(cells: Mapping[str, str], items: Mapping[str, Item], plan: Plan, place: str) -> tuple[str, Item, Said]:
    """(labeller, item, what they say of it) of a row that is labelled."""
    name = check_labeller(cells["labeller"], f"{place}: labeller")
    if cells["rubric"] and uncell(cells["rubric"]) != plan.rubric_name:
        raise InputError(f"{place}: rubric {shorten(cells['rubric'])}; expected {plan.rubric_name!r}, as the sample's")
    if cells["key"] not in items:
        raise InputError(f"{place}: key {shorten(cells['key'])}; expected one of the run's sample")
    correct, rating, scale = cells["correct"].lower(), cells["rating"], plan.rubric.scale
    if correct not in ("", CANNOT_TELL, *_YES_NO):
        raise InputError(f"{place}: correct {shorten(correct)}; expected yes, no or {CANNOT_TELL}")
    if rating and not (rating.isdecimal() and len(rating) < 10):
        raise InputError(f"{place}: rating {shorten(rating)}; expected a whole number of the scale {scale.name}")
    comment, number = uncell(cells["comment"]), int(rating) if rating else None
    given = {"correct": _YES_NO.get(correct), "rating": number, "comment": comment}
    return name, items[cells["key"]], read_said(given, scale, place)
