"""Files of own data: read line by line, written whole or not at all; see `cotasks.records.own` for the format."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.records import own_fields as check
from cotasks.records.own import (
    FORMAT,
    OwnAnnotation,
    OwnQuestion,
    annotation_row,
    parse_annotation,
    parse_question,
    question_row,
)
from cotasks.records.own_fields import fault
from cotasks.tools.files import whole_file

QUESTIONS, ANNOTATION, ABOUT = "questions.jsonl", "annotation.jsonl", "own.json"
"""Names of the files in a folder of own data."""


def lines_of(path: Path) -> Iterator[tuple[str, bytes, int]]:
    """(`file:line`, the line, how many bytes stand before it) of each line that is not blank; a byte order mark is
    passed over. Raises InputError where the file cannot be read."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            offset = 0
            for number, whole in enumerate(file, 1):
                line = whole.removeprefix(b"\xef\xbb\xbf") if number == 1 else whole
                if line.strip():
                    yield f"{path}:{number}", line, offset + len(whole) - len(line)
                offset += len(whole)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "missing file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def parse_line(line: bytes, place: str) -> Any:
    """The JSON value of a line. Raises InputError where it is none."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error}; expected one object a line", check.REASON) from None


def read_questions(path: Path) -> list[OwnQuestion]:
    """The questions of a file, in its order. Raises InputError where a line is wrong, or an id comes twice."""
    questions = [parse_question(parse_line(line, place), place) for place, line, _ in lines_of(path)]
    first: dict[str, str] = {}
    for question in questions:
        if question.id in first:
            raise fault(f"{question.place}: id", question.id, f"each id once; {first[question.id]} has it")
        first[question.id] = question.place
    return questions


def annotation_files(folder: Path) -> list[Path]:
    """The annotation files of a folder: `annotation.jsonl` and those in `annotation/`, packed or not."""
    names = (ANNOTATION, f"{ANNOTATION}.gz", "annotation/*.jsonl", "annotation/*.jsonl.gz")
    return [path for pattern in names for path in sorted(folder.glob(pattern)) if path.is_file()]


def read_annotation(paths: Iterable[Path]) -> Iterator[OwnAnnotation]:
    """The videos of these files. Raises InputError where a line is wrong, or a video comes twice."""
    first: dict[str, str] = {}
    for path in paths:
        for place, line, _ in lines_of(path):
            annotation = parse_annotation(parse_line(line, place), place)
            if annotation.video in first:
                raise fault(f"{place}: video", annotation.video, f"each video once; {first[annotation.video]} has it")
            first[annotation.video] = place
            yield annotation


def read_about(folder: Path) -> dict[str, str]:
    """What `own.json` says of `source` and `license`; nothing where there is no such file. Raises InputError where it
    is no JSON object of version 1, or these are no names."""
    path = folder / ABOUT
    if not path.exists():
        return {}
    try:
        row = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"{path}: {shorten(row)}; expected an object")
    check.one_of(FORMAT)(row.get("format", FORMAT), f"{path}: format")
    return {key: check.name(row[key], f"{path}: {key}") for key in ("source", "license") if key in row}


def write_questions(path: Path, questions: Sequence[OwnQuestion]) -> None:
    """Write a questions file, whole or not at all. Raises InputError where it cannot be written."""
    _write(path, map(question_row, questions))


def write_annotation(path: Path, annotations: Iterable[OwnAnnotation]) -> None:
    """Write an annotation file, whole or not at all; packed where the name ends in .gz. Raises InputError where it
    cannot be written."""
    _write(path, map(annotation_row, annotations))


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with whole_file(path) as part, gzip.open(part, "wb") if path.suffix == ".gz" else part.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
