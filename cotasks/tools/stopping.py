"""SIGINT and SIGTERM end a run after what is in hand; before there is anything in hand, the command ends."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

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


def end_plainly_while_loading() -> None:
    """Where this process is the `cotasks` command, an interrupt that comes while modules are loaded, and so before
    anything can catch it, is said in one line instead of a traceback."""
    script, asked = Path(sys.argv[0]).stem, sys.orig_argv[1:]
    if script != "cotasks" and not any(asked[n : n + 2] == ["-m", "cotasks"] for n in range(len(asked))):
        return
    before = sys.excepthook

    def say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("Interrupted; run the same command again to go on.", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = say
