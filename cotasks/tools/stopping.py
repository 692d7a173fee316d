"""SIGINT and SIGTERM end a run after what is in hand."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SAME_KEYPRESS_SECONDS = 2.0
"""A second signal so soon is the same one again: a launcher hands Ctrl-C on to processes that have got it already."""


@contextmanager
def stop_signal(main: bool) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM has come; the second one interrupts at once."""
    received: list[float] = []

    def handle(number: int, _: object) -> None:
        received.append(time.monotonic())
        if received[-1] - received[0] > SAME_KEYPRESS_SECONDS:
            raise KeyboardInterrupt
        if main and len(received) == 1:
            print("stopping after what is in hand; once more to stop at once", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread only
        yield lambda: False
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
