"""Progress on long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cotasks.tools.speaking import is_quiet

SECONDS_A_LINE = 10.0
"""Least time between two plain lines of one task, so that logs stay short."""


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yields `update(task, done, total)`; each task has a bar of its own, or a plain line now and then."""
    if is_quiet():
        yield lambda task, done, total: None
        return
    if not sys.stderr.isatty():
        last: dict[str, float] = {}

        def line(task: str, done: int, total: int) -> None:
            now = time.monotonic()
            if done >= total or now - last.setdefault(task, now) >= SECONDS_A_LINE:
                last[task] = now
                print(f"{task}: {done} of {total} {unit}", file=sys.stderr, flush=True)

        yield line
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {}

        def move(task: str, done: int, total: int) -> None:
            if task not in tasks:
                tasks[task] = bar.add_task(task, total=total)
            bar.update(tasks[task], completed=done, total=total)

        yield move
