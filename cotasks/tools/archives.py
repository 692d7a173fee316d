"""Zips that are read in place."""

from __future__ import annotations

import os
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from cotasks.errors import InputError, shorten

FAULTS = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What a damaged zip raises where it is read: among RuntimeErrors are encrypted members, and unknown compression
(NotImplementedError)."""


def kept_open(path: str | Path) -> zipfile.ZipFile:
    """An open zip, the same one until the file changes: listing a large one takes longer than reading a member.

    Raises OSError or BadZipFile.
    """
    state = os.stat(path)
    # by process: forked workers would share one file position
    return _open(str(path), os.getpid(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _open(path: str, process: int, mtime: int, size: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def check_inside(path: str | Path, name: str) -> None:
    """Raises InputError where the name of a member leaves the archive."""
    if name.startswith("/") or "\\" in name or name[1:2] == ":" or ".." in name.split("/"):
        raise InputError(f"{path}: member {shorten(name)}; expected a name that stays inside the archive")
