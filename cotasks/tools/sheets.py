"""CSV that goes through a spreadsheet: what programs save, and cells that they do not take for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotasks.errors import InputError
from cotasks.tools.files import read_text, write_text

SEPARATORS = (",", ";", "\t")
"""Between cells; a spreadsheet writes the one of its language."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet runs."""


@dataclass(frozen=True)
class SheetRow:
    """A row of a sheet that is not blank."""

    number: int
    """1-based, the header counted."""
    line: int
    """1-based, of the file, where the row ends."""
    cells: dict[str, str]
    """By column; without the columns that the row does not reach."""


@dataclass(frozen=True)
class Sheet:
    """A table with a header."""

    columns: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    decimal_comma: bool
    """Whether cells are separated by semicolons, so that a number may be written as 0,5."""


def cell(text: str) -> str:
    """A text as a cell that no spreadsheet runs: an apostrophe stands before what would be a formula."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def uncell(text: str) -> str:
    """The text of `cell`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text


def write_sheet(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows, the header among them, as CSV, whole or not at all; lines end as RFC 4180 has it."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    write_text(path, out.getvalue())


def read_sheet(path: Path) -> Sheet:
    """Read CSV with any of `SEPARATORS`, with a byte order mark or without, and any line ends.

    Raises InputError that names the file where it is missing, not UTF-8, or no CSV.
    """
    text = read_text(path)
    head, _, rest = text.partition("\n")
    skipped = 0
    if head[:4].lower() == "sep=" and head[4:5] in SEPARATORS:  # a line that some spreadsheets write and read
        separator, text, skipped = head[4], rest, 1
    else:
        separator = max(SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = tuple(name.strip() for name in next(reader, []))
        rows = [
            SheetRow(number, reader.line_num + skipped, dict(zip(columns, cells, strict=False)))
            for number, cells in enumerate(reader, 2 + skipped)
            if any(text.strip() for text in cells)
        ]
    except csv.Error as error:
        raise InputError(f"{path}: not CSV: {error}") from None
    return Sheet(columns, tuple(rows), separator == ";")
