"""How many calls a server bears at once, and how long each is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

PATIENCE = 4
"""Time limits of silence after which a call is given up: from its start, or from the server's last response to any. A
response that took longer than the time limit takes its place here: so slow is this server."""


CROWDED_CUT, SLOW_CUT = 0.7, 0.5
"""What is left of the calls at once where the server sends some away, and where a time limit passes."""


class Gate:
    """The places of one server: fewer each time it is crowded, slowly more while it is not."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self._active = 0
        self._closed_until = 0.0
        self._cut_at = 0.0

    @property
    def closed_for(self) -> float:
        """Seconds for which the server has asked to be left alone; 0 or less where it has not."""
        return self._closed_until - time.monotonic()

    @property
    def free(self) -> int:
        """Calls that may begin now."""
        return 0 if self.closed_for > 0 else max(int(self.limit) - self._active, 0)

    def enter(self) -> float:
        """Take a place, also where none is free; returns the time of entry."""
        self._active += 1
        return time.monotonic()

    def leave(self) -> None:
        """Give the place back."""
        self._active -= 1

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
    and will bill, goes on. It is lost where the server has said nothing to anyone for `PATIENCE` time limits, or for
    as many times its slowest response where that is longer, or has since answered twice as many calls as can be under
    way at once.
    """

    def __init__(self, seconds: float, gate: Gate) -> None:
        """`seconds` is the time limit."""
        self.seconds = seconds
        self.limits = PATIENCE
        """See `PATIENCE`; fewer where nothing more is to be asked."""
        self._gate = gate
        self._responses = 0
        self._last_response = 0.0
        self._slowest = 0.0
        """Seconds that its slowest response took so far."""

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

    def heard(self, entered: float) -> None:
        """The server has responded to a call that entered the gate at a time."""
        self._responses += 1
        self._last_response = time.monotonic()
        self._slowest = max(self._slowest, self._last_response - entered)

    def _look_in(self, call: Waiting, seconds: float) -> None:
        call.timer = asyncio.get_running_loop().call_later(seconds, self._look, call)

    def _look(self, call: Waiting) -> None:
        if not call.overdue:
            call.overdue, call.overtaken = True, self._responses
            self._gate.slow_down(call.entered, None, SLOW_CUT)
        silent_at = max(call.entered, self._last_response) + self.limits * max(self.seconds, self._slowest)
        left = silent_at - time.monotonic()
        if left <= 0 or self._responses - call.overtaken > 2 * self._gate.most:
            call.scope.cancel()
        else:
            self._look_in(call, min(left, self.seconds))
