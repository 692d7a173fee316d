"""How a run of `generate` is getting on, in one line: a moving one on a terminal, plain ones elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cotasks.generate.processes import Tally
from cotasks.tools.progress import SECONDS_A_LINE
from cotasks.tools.speaking import is_quiet

SECONDS_A_MOVE = 0.5
"""Least time between two moves of the line on a terminal."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands; counts over all processes, of this call and of those before."""

    answers: int
    failed: int
    total: int
    """Answers asked for."""
    videos: int
    """Videos of which nothing is left to ask."""
    all_videos: int
    tally: Tally
    """Of this call."""


Listener = Callable[[Standing, float], None]
"""Told how a run stands, so many seconds after this call began."""


class RunProgress:
    """Says how a run is getting on."""

    def __init__(self, bar: Any, listener: Listener | None = None, speaks: bool = True) -> None:
        self._bar, self._listener, self._speaks = bar, listener, speaks
        self._task: Any = None
        self._began = self._said = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to say so again."""
        return time.monotonic() - self._said >= (SECONDS_A_LINE if self._bar is None else SECONDS_A_MOVE)

    def update(self, now: Standing) -> None:
        """Say how things stand."""
        self._said = time.monotonic()
        if self._listener is not None:
            self._listener(now, self._said - self._began)
        if not self._speaks:
            return
        text = describe(now, self._said - self._began)
        if self._bar is None:
            print(f"generate: {text}", file=sys.stderr, flush=True)
            return
        if self._task is None:
            self._task = self._bar.add_task(text, total=now.total)
        self._bar.update(self._task, completed=now.answers + now.failed, description=text)


@contextmanager
def run_progress(show: bool, listener: Listener | None = None) -> Iterator[RunProgress | None]:
    """Yields what shows progress on standard error, and tells `listener` of it; None where nobody is to be told."""
    if not show or is_quiet():
        yield None if listener is None else RunProgress(None, listener, speaks=False)
    elif not sys.stderr.isatty():
        yield RunProgress(None, listener)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=20), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield RunProgress(bar, listener)


def numbers_of(now: Standing, seconds: float) -> dict[str, float | None]:
    """How a run stands, as numbers for a tracking program."""
    new = now.tally.answers + now.tally.failures.total()
    return {
        "generate/answers": now.answers,
        "generate/failed": now.failed,
        "generate/asked_for": now.total,
        "generate/videos": now.videos,
        "generate/answers_per_second": new / seconds if new and seconds > 0 else None,
        "generate/waited_for_videos": now.tally.waited / now.tally.worked if now.tally.worked > 0 else None,
    }


def describe(now: Standing, seconds: float) -> str:
    """One line on how a run stands, `seconds` after this call began."""
    parts = [f"{now.answers} of {now.total} answers", f"{now.videos} of {now.all_videos} videos"]
    if now.failed:
        parts.append(f"{now.failed} failed")
    left = now.total - now.answers - now.failed
    new = now.tally.answers + now.tally.failures.total()
    if new and seconds > 0:
        rate = new / seconds
        parts.append(f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute")
        if left:
            parts.append(f"{duration(left / rate)} left")
    if now.tally.worked > 0:
        parts.append(f"waited for videos {now.tally.waited / now.tally.worked:.0%} of the time")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
