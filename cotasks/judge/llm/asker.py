"""Asks for verdicts, many at once, until none is left, the money is spent, or nothing more can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.reading import Reply
from cotasks.judge.llm.rubric import reply_example
from cotasks.judge.llm.work import Call, Work
from cotasks.servers.calls import Closed, Fatal, Trouble
from cotasks.servers.pool import Held, Pool

UNREADABLE_IN_A_ROW = 20
"""So many replies in a row without a verdict end the judging: this model does not keep to the form."""
LOOK_SECONDS = 0.1
"""How often the user's signal is looked for."""


class OutOfMoney(Exception):
    """The limit could be exceeded, whatever becomes of the calls that are under way."""


class Account:
    """Pays for the calls of one job: each is in the ledger before it is sent."""

    def __init__(self, work: Work, pool: Pool[Reply], job: Call, changed: asyncio.Event) -> None:
        self._work = work
        self._pool = pool
        self._job = job
        self._changed = changed
        self._call = -1

    async def reserve(self) -> None:
        """Wait until one more call may be paid for. Raises OutOfMoney where it never can, and Closed."""
        ledger, most = self._work.ledger, self._work.most(self._job)
        while not ledger.allows(most):
            if not ledger.under_way:
                raise OutOfMoney
            self._changed.clear()
            await self._changed.wait()
            if self._pool.closed:
                raise Closed
        self._call = ledger.reserve(self._job.key, most)

    def settle(self, outcome: Reply | Trouble) -> None:
        """Write what came of it."""
        self._work.settle(self._call, self._job, outcome)
        self._changed.set()


class Asker:
    """What the workers of one judging share.

    One call goes out first: where it is refused, for its key, model or reply format, no other is lost on it. An error
    in one worker, and the user's signal, let the others finish the calls that are under way, whose verdicts are paid
    for and written; what waits for its turn or for another try is left.
    """

    def __init__(self, work: Work, pool: Pool[Reply], stopped: Callable[[], bool], served: str = "") -> None:
        """`served` is the model that earlier verdicts are of, as its server names it; empty where there is none."""
        self._work = work
        self._pool = pool
        self._stopped = stopped
        self._jobs = iter(work.jobs)
        self._changed = asyncio.Event()
        self._held: Held[Call] = Held(pool, "verdicts")
        self._unreadable = 0
        self._served = served
        self._error: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, at_once: int) -> None:
        """Ask for all. Raises Fatal and SchemaRefused as of `calls`, and OSError where a row cannot be written; leaves
        early where the user says so."""
        if self._stopped():
            return
        self._begun = asyncio.create_task(self._pool.first.wait())
        self._tasks = [asyncio.create_task(self._work_off(number)) for number in range(at_once)]
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            others = [*self._tasks, watch, self._begun]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        if self._error is not None:
            raise self._error
        if not self._pool.closed:
            self._write(self._held.finish())

    async def _watch(self) -> None:
        while not self._stopped():
            await asyncio.sleep(LOOK_SECONDS)
        self._end()

    def _end(self, error: BaseException | None = None) -> None:
        """Ask nothing more, and let go of what is not under way."""
        self._error = self._error or error
        self._pool.close()
        for task in self._tasks:
            if task not in self._pool.calling and task is not asyncio.current_task():
                task.cancel()

    async def _work_off(self, number: int) -> None:
        """Ask for one verdict after the other, until none is left or the money is spent."""
        try:
            if number:
                await asyncio.wait({self._begun, self._tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
            for job in self._jobs:
                account = Account(self._work, self._pool, job, self._changed)
                try:
                    request = job.request if self._work.eyes is None else await asyncio.to_thread(self._work.whole, job)
                except InputError as error:
                    self._work.write_failure(job, Trouble(f"no frames to show: {error.reason}", str(error)))
                    continue
                outcome, _ = await self._pool.ask(request, account, wrong=self._wrong)
                self._take(job, outcome)
        except Closed:
            pass
        except OutOfMoney:
            self._work.stopped = f"max_cost {self._work.ledger.most:g} could be exceeded"
        except Exception as error:
            self._end(error)

    def _wrong(self, reply: Reply) -> str:
        """Why a reply cannot count: one of several servers answers as another model than the others."""
        if len(self._pool.members) < 2 or not reply.served_model:
            return ""
        self._served = self._served or reply.served_model
        if reply.served_model == self._served:
            return ""
        return f"{reply.served_model} answers; the verdicts are of {self._served}, and one judge is one model"

    def _take(self, job: Call, outcome: Reply | Trouble) -> None:
        """Write what came. Raises Fatal where it is no use to go on."""
        if isinstance(outcome, Trouble):
            self._held.add(job, outcome)
            return
        self._write(self._held.release())
        self._work.write(job, outcome)
        self._unreadable = self._unreadable + 1 if outcome.rating is None else 0
        if self._unreadable >= UNREADABLE_IN_A_ROW:
            example = reply_example(self._work.judge.rubric.scale)
            raise Fatal(
                f"{self._pool.base_url}: {self._unreadable} replies in a row hold no verdict: {outcome.reason}, the "
                f"last: {shorten(outcome.text)}; expected one such as {example}; name a model that keeps to it, or a "
                "longer --max-tokens"
            )

    def _write(self, failures: list[tuple[Call, Trouble]]) -> None:
        for job, trouble in failures:
            self._work.write_failure(job, trouble)
