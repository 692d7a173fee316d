"""Locks of the operating system: a lock dies with its process, and only a lock that is held keeps others out."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from cotasks.errors import InputError
from cotasks.tools.files import writing

HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""What flock(2) and fcntl(2) say where another process holds the lock; any other error says nothing of that kind."""


@contextmanager
def locked(path: Path, held: str, remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; its folder is made where it is missing.

    A file system without any locks (some clusters' Lustre) is said on standard error, and the block runs without one.

    Args:
        held: what the error says where another process holds it.
        remove: whether the file goes when the block ends; a process that is killed leaves it, which hurts nobody.

    Raises InputError where another process holds the lock, or the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    try:
        if not _take(file, path):
            file.close()
            raise InputError(held)
        while remove and not _is_the_file(file, path):  # removed by its last holder between opening and locking
            file.close()
            with writing(path):
                file = path.open("a")
            if not _take(file, path):
                file.close()
                raise InputError(held)
        yield
    finally:
        if remove and not file.closed:
            with suppress(OSError):
                path.unlink()
        file.close()


def is_held(path: Path) -> bool:
    """Whether another process holds the lock file; False where the file system has no locks."""
    with path.open("a") as file:
        return not _take(file, path, quiet=True)


def _take(file: IO[Any], path: Path, quiet: bool = False) -> bool:
    """Lock an open file; False where another process holds it."""
    for take in (fcntl.flock, fcntl.lockf):  # the second works over NFS and on Lustre mounted without flock
        try:
            take(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                return False
            reason = os.strerror(error.errno or 0)
        else:
            return True
    if not quiet:
        print(f"{path}: no lock can be held here ({reason}); let one command at a time write there", file=sys.stderr)
    return True


def _is_the_file(file: IO[Any], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
