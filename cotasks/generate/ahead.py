"""Do work ahead of its use, in threads, a bounded number of pieces at a time and in order."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LOOK_SECONDS = 0.2
"""How often a wait looks whether it is to be given up."""


@dataclass
class Waited:
    """Seconds that the user of `ahead` spent waiting for it."""

    seconds: float = 0.0


def ahead(
    begin: Callable[[], Callable[[T], R]],
    arguments: Iterable[T],
    *,
    workers: int,
    depth: int,
    waited: Waited,
    stopped: Callable[[], bool],
) -> Iterator[R]:
    """Results of a function over arguments, in order, worked out in threads before they are asked for.

    Args:
        begin: called once in each thread; gives the function, with whatever must not be shared between threads.
        arguments: taken in the calling thread, no sooner than there is room for another result.
        workers: threads.
        depth: most results that are done or being worked on and not yet taken.
        waited: grows by the time spent waiting here.
        stopped: asked while waiting; where it says yes, the results end.

    An error of the function is raised where its result would have been.
    """
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(workers):
        # daemons: a file that hangs its decoder must not keep the program from ending
        threading.Thread(target=_work, args=(begin, tasks), daemon=True).start()
    futures: deque[Future[R]] = deque()
    source = iter(arguments)
    exhausted = False
    try:
        while True:
            while not exhausted and len(futures) < depth:
                try:
                    argument = next(source)
                except StopIteration:
                    exhausted = True
                else:
                    futures.append(Future())
                    tasks.put((argument, futures[-1]))
            if not futures:
                return
            start = time.monotonic()
            while not futures[0].done() and not stopped():
                wait([futures[0]], LOOK_SECONDS)
            waited.seconds += time.monotonic() - start
            if not futures[0].done():
                return
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
        for _ in range(workers):
            tasks.put(None)


def _work(begin: Callable[[], Callable[[T], R]], tasks: queue.SimpleQueue[Any]) -> None:
    work: Callable[[T], R] | None = None
    while (task := tasks.get()) is not None:
        argument, future = task
        if future.set_running_or_notify_cancel():
            try:
                work = work or begin()
                future.set_result(work(argument))
            except BaseException as error:
                future.set_exception(error)
        del task, argument, future  # or the result would be held until the next task comes
