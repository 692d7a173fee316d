"""Files that are written whole or not at all, and one line where they cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten


@contextmanager
def writing(target: Path | str) -> Iterator[None]:
    """Raises InputError that names `target` for any OSError in the block: the disk is full, nothing may be written."""
    try:
        yield
    except OSError as error:
        # some libraries put a sentence of their own where the system's words belong
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(
            f"{target}: cannot be written: {reason}; nothing unfinished was kept; run the same command again when "
            "that is mended",
            "cannot be written",
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a name beside `path` to write to; what was written there takes its place when the block ends well. The
    folder is made where it is missing.

    Raises InputError as `writing` does. A file that stood at `path` stays as it was then.
    """
    part = path.with_suffix(f".part{path.suffix}")  # the same ending, which some writers go by
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8 with "\n" at line ends, whole or not at all. Raises InputError as `whole_file` does."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def json_bytes(value: Any) -> bytes:
    """A JSON file's content, indented for people to read."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def dump_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all. Raises InputError as `cotasks.tools.files.whole_file` does."""
    with whole_file(path) as part:
        part.write_bytes(json_bytes(value))


def dump_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON-lines file whole or not at all. Raises InputError as `cotasks.tools.files.whole_file` does."""
    with whole_file(path) as part, part.open("wb") as file:
        file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError that names the file where it is missing or damaged."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}") from None


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON-lines file in order. A last line without its newline is torn and ignored.

    Raises InputError naming file and line where any other line is not a JSON object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: not JSON: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: {shorten(row)}; expected a JSON object")
            yield row
