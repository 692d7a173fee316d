"""How many calls a server bears at once, and how long each is waited for."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

PATIENCE = 4
"""Time limits of silence after which a call is given up: from its start, or from the server's last response to any."""


CROWDED_CUT, SLOW_CUT = 0.7, 0.5
"""What is left of the calls at once where the server sends some away, and where a time limit passes."""


class Gate:
    """Lets only so many calls through at once: fewer each time the server is crowded, slowly more while it is not."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self._active = 0
        self._closed_until = 0.0
        self._cut_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> float:
        """Wait for a place; returns the time of entry."""
        while True:
            closed = self._closed_until - time.monotonic()
            if closed > 0:
                await asyncio.sleep(closed * (1 + 0.1 * random.random()))  # not all at the same moment
            elif self._active < int(self.limit):
                self._active += 1
                return time.monotonic()
            else:
                place = asyncio.get_running_loop().create_future()
                self._waiting.append(place)
                await place

    def leave(self) -> None:
        """Give the place back."""
        self._active -= 1
        free = int(self.limit) - self._active
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1

    def slow_down(self, entered: float, wait: float | None, left: float = CROWDED_CUT) -> None:
        """The server has too much to do. Calls that entered before the last cut say nothing about the limit since."""
        if entered >= self._cut_at:
            self.limit = max(1.0, self.limit * left)
            self._cut_at = time.monotonic()
        if wait:
            self._closed_until = max(self._closed_until, time.monotonic() + wait)

    def speed_up(self) -> None:
        """A call went well."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)


@dataclass(eq=False)
class Waiting:
    """A call that is under way."""

    entered: float
    scope: anyio.CancelScope
    overdue: bool = False
    """Whether its time limit has passed."""
    overtaken: int = 0
    """The server's responses by then."""
    timer: asyncio.TimerHandle | None = None


class Patience:
    """Waits for a slow server, and gives up a call that is lost.

    A time limit that passes is a sign of crowding: the gate narrows, and the call, which the server may be working on
    and will bill, goes on. It is lost where the server has said nothing to anyone for `PATIENCE` time limits, or has
    since answered twice as many calls as can be under way at once.
    """

    def __init__(self, seconds: float, gate: Gate) -> None:
        """`seconds` is the time limit."""
        self.seconds = seconds
        self.limits = PATIENCE
        """See `PATIENCE`; fewer where nothing more is to be asked."""
        self._gate = gate
        self._responses = 0
        self._last_response = 0.0

    @contextmanager
    def waiting(self, entered: float) -> Iterator[Waiting]:
        """A call that entered the gate at a time; where it is lost, the block is left and `scope.cancelled_caught`."""
        with anyio.CancelScope() as scope:
            call = Waiting(entered, scope)
            self._look_in(call, self.seconds)
            try:
                yield call
            finally:
                if call.timer is not None:
                    call.timer.cancel()

    def heard(self) -> None:
        """The server has responded to a call."""
        self._responses += 1
        self._last_response = time.monotonic()

    def _look_in(self, call: Waiting, seconds: float) -> None:
        call.timer = asyncio.get_running_loop().call_later(seconds, self._look, call)

    def _look(self, call: Waiting) -> None:
        if not call.overdue:
            call.overdue, call.overtaken = True, self._responses
            self._gate.slow_down(call.entered, None, SLOW_CUT)
        silent_at = max(call.entered, self._last_response) + self.limits * self.seconds
        left = silent_at - time.monotonic()
        if left <= 0 or self._responses - call.overtaken > 2 * self._gate.most:
            call.scope.cancel()
        else:
            self._look_in(call, min(left, self.seconds))
