"""Calls to the servers that have one model, one server or several: none is lost where one of them fails.

All calls wait in one line. A server with a free place takes the first that is about what it was asked about before, or
about something new; where there is none, it takes one from the others, so that a slow server takes fewer. What fails at
one server is tried at another.

A server is set aside where others go on: for good where it sends garbage, answers as another model, or refuses us;
until it answers again where its calls fail. The last one in service is never set aside: what it does then ends the
work, or becomes a result, as it does with one server.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import openai

from cotasks.servers import calls
from cotasks.servers.calls import Account, Client, Closed, Fatal, SchemaRefused, Trouble
from cotasks.servers.gate import CROWDED_CUT, SLOW_CUT

GARBAGE_IN_A_ROW = 3
"""So many responses in a row that are no completion set a server aside for good."""
FAULTS_IN_A_ROW = 3
"""So many failed calls in a row set a server aside until it answers again."""
CHOICE = 32
"""Calls in line for each of several servers: enough for two videos, so that a free one finds more about its own."""
KNOCK_SECONDS = 1.0
"""After this time a server that was set aside is asked for its models; doubled each time, as long as it fails."""
LONGEST_KNOCK_SECONDS = 60.0
KNOCK_LIMIT = 10.0
"""Time limit of that question, in seconds."""
SILENT_LIMITS = 2
"""Time limits of silence after which a call is given up where another server can take it, see `gate.PATIENCE`."""

J = TypeVar("J")
R = TypeVar("R")


@dataclass(eq=False)
class Member(Generic[R]):
    """A server of a pool, and how it stands."""

    client: Client[R]
    aside: str = ""
    """Why it is asked no more; empty while it is in service."""
    faults: int = 0
    """Failed calls since its last completion."""
    garbage: int = 0
    """Responses since then that are no completion."""
    rests: int = 0
    """How often it was set aside since then."""
    answered: int = 0
    """Completions that were taken."""


@dataclass(eq=False)
class _Waiting(Generic[R]):
    """A call that waits for a place."""

    about: str
    avoid: set[Member[R]]
    place: asyncio.Future[tuple[Member[R], float]]


@dataclass
class _Tries(Generic[R]):
    """What one call has met with so far."""

    failures: int = 0
    crowded: int = 0
    lost: int = 0
    billed: int = 0
    avoid: set[Member[R]] = field(default_factory=set)
    """Servers that it failed at."""
    refused: list[tuple[Member[R], Trouble]] = field(default_factory=list)
    """Servers that will not do better at another try."""

    def add(self, outcome: Trouble) -> None:
        """Count a failure."""
        self.crowded += outcome.crowded
        self.failures += not outcome.crowded
        self.lost += outcome.lost

    @property
    def used_up(self) -> bool:
        """Whether it has been tried often enough."""
        return self.failures >= calls.TRIES or self.crowded >= calls.CROWDED_TRIES or self.lost >= calls.LOST_TRIES


class Pool(Generic[R]):
    """Asks the servers that have one model. Belongs to the event loop that it is used in."""

    def __init__(
        self,
        base_urls: Sequence[str],
        key: str,
        concurrency: int,
        timeout: float,
        read: Callable[[Any, str], R | Trouble],
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """
        Args:
            base_urls: one or more.
            key: for all of them.
            concurrency: most calls at once, of each server.
            timeout: seconds, see `gate.Patience`.
            read: `read(payload, secret)` makes something of the body of a response.
            say: told in one line when a server is set aside, and when it answers again.
        """
        self.first = asyncio.Event()
        """Set once a server has sent a response."""
        self.members = [Member(Client(url, key, concurrency, timeout, read, self.first)) for url in base_urls]
        for member in self.members if len(base_urls) > 1 else ():
            member.client.patience.limits = SILENT_LIMITS
        self.calling: set[asyncio.Task[Any] | None] = set()
        """Tasks whose call is under way; the others wait for their turn."""
        self.closed = False
        self._say = say
        self._line: list[_Waiting[R]] = []
        self._home: dict[str, Member[R]] = {}
        self._knocking: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """The addresses, in words."""
        return ", ".join(member.client.base_url for member in self.members)

    @property
    def secret(self) -> str:
        """See `Client.secret`."""
        return self.members[0].client.secret

    @property
    def heard(self) -> bool:
        """Whether any server has ever sent a response."""
        return self.first.is_set()

    @property
    def worked(self) -> bool:
        """Whether any has ever sent a completion."""
        return any(member.client.worked for member in self.members)

    def answered(self) -> dict[str, int]:
        """{address: completions that were taken}."""
        return {member.client.base_url: member.answered for member in self.members}

    @property
    def places(self) -> int:
        """Calls that are worth having ready: those that can be under way at once, and, where several servers choose
        among them, some to choose from."""
        many = len(self.members)
        return sum(m.client.gate.most for m in self.members) + (CHOICE * many if many > 1 else 0)

    def close(self) -> None:
        """Ask nothing more, and nothing again; calls under way go on. Their tasks are `calling`, the others may be
        cancelled."""
        self.closed = True
        for member in self.members:
            member.client.patience.limits = 1
        for task in self._knocking:
            task.cancel()

    async def __aenter__(self) -> Pool[R]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        for task in self._knocking:
            task.cancel()
        await asyncio.gather(*self._knocking, return_exceptions=True)
        for member in self.members:
            await member.client.api.close()

    async def ask(
        self,
        request: Mapping[str, Any],
        account: Account | None = None,
        *,
        about: str = "",
        wrong: Callable[[R], str] | None = None,
    ) -> tuple[R | Trouble, int]:
        """(what came of it in the end, how many calls without a completion may be billed).

        Args:
            request: the body.
            account: pays for it.
            about: requests about the same thing begin alike, and go to one server as long as it has room.
            wrong: says of a completion why it cannot be of the model that was asked, or of what it was sent; empty
                where it can.

        Raises Fatal where nothing more can be asked, SchemaRefused where no server knows the format, Closed after
        `close`, and what `account` raises.
        """
        tries: _Tries[R] = _Tries()
        while not self.closed:
            member, entered = await self._turn(about, tries.avoid)
            client = member.client
            try:
                if self.closed:
                    break
                if member.aside:  # since the place was given
                    continue
                if account is not None:
                    await account.reserve()
                outcome, in_time = await self._call(client, request, entered)
            finally:
                client.gate.leave()
                self._hand_out()
            if account is not None:
                account.settle(outcome)
            # a completion, or why it is none
            if not isinstance(outcome, Trouble):
                client.worked = True
                if in_time:
                    client.gate.speed_up()
                fault = wrong(outcome) if wrong is not None else ""
                if not fault:
                    self._went_well(member, tries)
                    return outcome, tries.billed
                outcome = Trouble(fault, retry=True, billed=True, fatal=f"{client.base_url}: {fault}")
            outcome = replace(outcome, base_url=client.base_url)
            tries.billed += outcome.billed
            tries.add(outcome)
            # what it says of the server
            if outcome.crowded or outcome.slow:
                client.gate.slow_down(entered, outcome.wait, SLOW_CUT if outcome.slow else CROWDED_CUT)
                self._open_later(member)
            if outcome.refuses_schema and "response_format" in request and not client.worked:
                if not self._set_aside(member, replace(outcome, fatal=f"{client.base_url} refuses the reply format")):
                    raise SchemaRefused
                continue
            aside = self._blame(member, outcome)
            if outcome.fatal:
                if not aside:
                    raise Fatal(outcome.fatal, outcome.status)
                continue
            # where it is tried next
            if not outcome.crowded:
                tries.avoid.add(member)
            elsewhere = any(not m.aside and m not in tries.avoid for m in self.members)
            if not outcome.retry:
                tries.refused.append((member, outcome))
                if len(tries.refused) > 1 or not elsewhere:  # two servers agree, or there is one only
                    return outcome, tries.billed
            if tries.used_up or (outcome.lost and not self.heard and not elsewhere):
                return outcome, tries.billed
            if not elsewhere and not (outcome.crowded and outcome.wait):  # else the gate waits
                await asyncio.sleep(client.pause(outcome, tries.failures + tries.crowded - 1))
        raise Closed

    async def _call(self, client: Client[R], request: Mapping[str, Any], entered: float) -> tuple[R | Trouble, bool]:
        task = asyncio.current_task()
        self.calling.add(task)
        try:
            return await client.call(request, entered)
        finally:
            self.calling.discard(task)

    # who is asked next

    async def _turn(self, about: str, avoid: set[Member[R]]) -> tuple[Member[R], float]:
        """(a server with a place that is now this call's, the time of entry)."""
        waiting = _Waiting(about, avoid, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._hand_out()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
            elif waiting.place.done() and not waiting.place.cancelled():
                waiting.place.result()[0].client.gate.leave()
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        """Give free places to calls that wait: first those whose server has room, then the others."""
        self._line = [waiting for waiting in self._line if not waiting.place.done()]
        for steal in (False, True):
            for waiting in list(self._line):
                free = [m for m in self.members if not m.aside and m.client.gate.free]
                if not free:
                    return
                others = [m for m in self.members if not m.aside and m not in waiting.avoid]
                able = [m for m in free if m in others or not others]
                home = self._home.get(waiting.about)
                if home in able:
                    able = [home]
                elif home is not None and not home.aside and not steal:
                    continue
                if able:
                    taken = max(able, key=lambda m: m.client.gate.free / m.client.gate.most)
                    if waiting.about and (home is None or home.aside):
                        self._home[waiting.about] = taken
                    self._line.remove(waiting)
                    waiting.place.set_result((taken, taken.client.gate.enter()))

    def _open_later(self, member: Member[R]) -> None:
        """Hand out places again when a server that asked to wait has been left alone for so long."""
        seconds = member.client.gate.closed_for
        if seconds > 0:
            later = seconds * (1 + 0.1 * random.random())  # not all servers, and all of us, at the same moment
            asyncio.get_running_loop().call_later(later, self._hand_out)

    # who is asked no more

    def _went_well(self, member: Member[R], tries: _Tries[R]) -> None:
        member.faults = member.garbage = member.rests = 0
        member.answered += 1
        for other, trouble in tries.refused:  # what this one took
            self._blame(other, replace(trouble, retry=True))

    def _blame(self, member: Member[R], outcome: Trouble) -> bool:
        """Count a failure against a server; whether it is in service no more."""
        member.garbage += outcome.garbage
        member.faults += outcome.retry and not outcome.crowded
        if outcome.fatal or member.garbage >= GARBAGE_IN_A_ROW or member.faults >= FAULTS_IN_A_ROW:
            return self._set_aside(member, outcome)
        return bool(member.aside)

    def _set_aside(self, member: Member[R], outcome: Trouble) -> bool:
        """Take a server out of service where another goes on; whether it is out. Its calls under way end as they do."""
        others = sum(not m.aside for m in self.members if m is not member)
        if member.aside or not others:
            return bool(member.aside)
        url = member.client.base_url
        detail = f": {outcome.detail}" if outcome.detail else ""
        member.aside = outcome.fatal or f"{url}: {outcome.reason}{detail}"
        for_good = bool(outcome.fatal) or member.garbage >= GARBAGE_IN_A_ROW
        how = "for good" if for_good else "until it answers again"
        self._say(f"{member.aside}; set aside {how}, {others} other{'s go' if others > 1 else ' goes'} on")
        if not for_good and not self.closed:
            task = asyncio.get_running_loop().create_task(self._knock(member))
            self._knocking.add(task)
            task.add_done_callback(self._knocking.discard)
        self._hand_out()
        return True

    async def _knock(self, member: Member[R]) -> None:
        """Ask for the list of models, until it comes; then the server is in service again."""
        there = False
        while not there:
            seconds = min(KNOCK_SECONDS * 2.0 ** min(member.rests, 20), LONGEST_KNOCK_SECONDS)
            member.rests += 1
            await asyncio.sleep(seconds)
            there = await _is_there(member.client)
        member.aside, member.faults = "", 0
        self._say(f"{member.client.base_url}: answers again")
        self._hand_out()


async def _is_there(client: Client[Any]) -> bool:
    """Whether a server says which models it has, or that it does not say so."""
    try:
        return isinstance(await client.api.get("/models", cast_to=object, options={"timeout": KNOCK_LIMIT}), dict)
    except openai.APIStatusError as error:
        return error.status_code in (404, 405, 501)
    except (openai.OpenAIError, ValueError, RecursionError):
        return False


class Held(Generic[J]):
    """Failures since the last completion; they are results only if a server turns out to be up."""

    def __init__(self, pool: Pool[Any], noun: str) -> None:
        """`noun` names, in the plural, what is asked for."""
        self._pool = pool
        self._noun = noun
        self._held: list[tuple[J, Trouble]] = []

    def add(self, job: J, trouble: Trouble) -> None:
        """Hold one. Raises Fatal where no server has ever replied, and where too many failed in a row."""
        self._held.append((job, trouble))
        said = f"{trouble.reason}{': ' if trouble.detail else ''}{trouble.detail}"
        url, count = trouble.base_url or self._pool.base_url, len(self._held)
        if not self._pool.heard:
            raise Fatal(f"{url}: {said}; expected an OpenAI-compatible server there")
        if count >= calls.FAILURES_IN_A_ROW:
            raise Fatal(f"{url}: {count} {self._noun} in a row failed: {said}; run again later")

    def release(self) -> list[tuple[J, Trouble]]:
        """Those that are results, as a completion has come."""
        held, self._held = self._held, []
        return held

    def finish(self) -> list[tuple[J, Trouble]]:
        """Those of a server that is up, or that refuses just these, at the end; raises Fatal where it is down."""
        if self._held and not self._pool.worked and all(trouble.retry for _, trouble in self._held):
            raise Fatal(f"{self._pool.base_url}: no call succeeded: {self._held[0][1].reason}; run again later")
        return self.release()
