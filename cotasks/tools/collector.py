"""Python's garbage collector, where it would get in the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_gc() -> Iterator[None]:
    """Annotation is a great many objects without cycles: looking for cycles among them again and again more than
    doubles the time of making them. Memory is freed all the same, by reference counts."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
