"""Files that are written whole or not at all, and one line where they cannot be written."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten, stop_at_environment_fault


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


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields a folder beside `folder`, which takes its place when the block ends well.

    Raises InputError where `folder` holds something already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and holds something; expected a new or empty folder")
    part = folder.with_name(f"{folder.name}.part")
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    try:
        yield part
        with writing(folder):
            if folder.exists():
                folder.rmdir()
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # ahead of UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the encodings that they tell."""


def utf8(data: bytes, place: Path | str) -> bytes:
    """The content of a text file as UTF-8 without a byte order mark: as it is where no mark tells another encoding.

    Raises InputError that names `place` where it is not in the encoding of its mark.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            rest = data[len(mark) :]
            try:
                return rest if encoding == "utf-8" else rest.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise InputError(f"{place}: not {encoding}, which its byte order mark tells: {error.reason}") from None
    return data


def read_bytes(path: Path) -> bytes:
    """A text file as `utf8` gives it. Raises InputError that names the file where it is missing or cannot be read."""
    try:
        return utf8(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        stop_at_environment_fault(error, path)
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def read_text(path: Path) -> str:
    """A text file, with a byte order mark or without, "\n" at line ends.

    Raises InputError that names the file where it is missing, cannot be read, or is not UTF-8 (or what its mark tells).
    """
    try:
        return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8").read()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}: {error.reason}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file, with a byte order mark or without. Raises InputError that names the file where it is missing or
    damaged."""
    try:
        return orjson.loads(read_bytes(path))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}") from None


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a file as `utf8` gives them; read one by one where it is UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith(tuple(mark for mark, encoding in _MARKS if encoding != "utf-8")):
            yield from io.BytesIO(utf8(start + file.read(), path))
            return
        file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
        yield from file


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON-lines file in order, with a byte order mark or without. A last line without its newline is torn
    and ignored.

    Raises InputError naming file and line where any other line is not a JSON object.
    """
    for number, line in enumerate(_lines(path), 1):
        if not line.endswith(b"\n"):
            return
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: {shorten(row)}; expected a JSON object")
        yield row


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
