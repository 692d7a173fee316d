"""Files of answers, as rows: (`file:line`, fields), whatever the file is.

.jsonl          an object a line
.json           an object, or a list of objects; of inspect's log its samples
.csv .tsv       a line a row, the first with the columns' names
.xlsx           the first sheet, likewise; needs openpyxl
.eval           inspect's log, a zip of JSON: `samples/*.json`
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, MissingExtra, shorten
from cotasks.tools.archives import FAULTS
from cotasks.tools.files import read_bytes, read_text

Row = dict[str, Any]
HEAD = "eval"
"""In a row of an inspect log, what its head says of the task and model."""


def rows_of(path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a file, in its order.

    Raises InputError that names file and line where the file is missing, of another kind, or not what its name says;
    MissingExtra without openpyxl, for .xlsx.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a file of answers")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not a kind of file that is known; expected {', '.join(READERS)}")
    yield from reader(path)


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
        if line.strip():
            yield f"{path}:{number}", _object(_loads(line, f"{path}:{number}"), f"{path}:{number}")


def _json(path: Path) -> Iterator[tuple[str, Row]]:
    value = _loads(read_bytes(path), path)
    head = {}
    if isinstance(value, dict):
        lists = [
            name for name in ("samples", "logs", "results", "data", "predictions") if isinstance(value.get(name), list)
        ]
        if not lists:
            raise InputError(f"{path}: an object with {shorten(sorted(value))}; expected a list of answers")
        head = {HEAD: value[HEAD]} if isinstance(value.get(HEAD), dict) else {}
        value = value[lists[0]]
    if not isinstance(value, list):
        raise InputError(f"{path}: {shorten(value)}; expected a list of answers")
    for number, item in enumerate(value):
        yield f"{path}: [{number}]", {**head, **_object(item, f"{path}: [{number}]")}


MOST_LEVELS = 200
"""Levels of lists and objects; beyond some 250, JSON that is read cannot be written."""
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)
"""A text, or a bracket outside of one."""


def _loads(data: bytes, place: object) -> Any:
    if data.count(b"[") + data.count(b"{") > MOST_LEVELS and _levels(data) > MOST_LEVELS:
        raise InputError(f"{place}: JSON of more than {MOST_LEVELS} levels; expected answers")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            return _whole(json.loads(data))  # it takes NaN and Infinity, which programs write
        except (ValueError, RecursionError):
            raise InputError(f"{place}: not JSON: {error}") from None


def _levels(data: bytes) -> int:
    """How deep brackets stand within each other, outside of texts."""
    deepest = level = 0
    for mark in _MARKS.finditer(data):
        if mark[0] in b"[{":
            deepest = max(deepest, level := level + 1)
        elif mark[0] in b"]}":
            level -= 1
    return deepest


def _whole(value: Any) -> Any:
    """A value with U+FFFD for each half of a pair of surrogates, which a text that was cut within an emoji holds and
    no file in UTF-8 can."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _object(value: object, place: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{place}: {shorten(value)}; expected an object")
    return value


def _table(path: Path, delimiter: str) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    try:
        yield from _named(path, ((reader.line_num, cells) for cells in reader))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}") from None


def _named(path: Path, lines: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[str, Row]]:
    names: list[str] | None = None
    for number, cells in lines:
        if not any(cell not in (None, "") for cell in cells):
            continue
        if names is None:
            names = [str(cell).strip() if cell is not None else "" for cell in cells]
            continue
        if len(cells) > len(names):
            raise InputError(f"{path}:{number}: {len(cells)} cells; expected {len(names)}, one a column")
        yield f"{path}:{number}", {name: cell for name, cell in zip(names, cells, strict=False) if name}
    if names is None:
        raise InputError(f"{path}: empty; expected a line with the columns' names")


def _xlsx(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtra("openpyxl", "sheets") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        with closing(book):
            lines = [list(cells) for cells in book.worksheets[0].iter_rows(values_only=True)]
    except Exception as error:  # whatever a damaged archive or its XML makes of the library
        raise InputError(f"{path}: not a sheet: {shorten(str(error) or type(error).__name__)}") from None
    yield from _named(path, iter(enumerate(lines, 1)))


def _eval(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            head = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
            said = _object(_loads(archive.read(head), f"{path}: {head}"), str(path)) if head else {}
            start = {HEAD: said[HEAD]} if isinstance(said.get(HEAD), dict) else {}
            for name in names:
                if name.startswith("samples/") and name.endswith(".json"):
                    place = f"{path}: {name}"
                    yield place, {**start, **_object(_loads(archive.read(name), place), place)}
    except FAULTS as error:
        raise InputError(f"{path}: not a log of inspect, a zip of JSON: {error}") from None


READERS = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": lambda path: _table(path, ","),
    ".tsv": lambda path: _table(path, "\t"),
    ".xlsx": _xlsx,
    ".eval": _eval,
}
"""Ending -> how its rows are read."""
