"""Files that are written whole or not at all, and one line where they cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cotasks.errors import InputError


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
