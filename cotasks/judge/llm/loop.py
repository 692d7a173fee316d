"""The loop that asks a language model for verdicts: many calls at once, resumed, and stopped in time."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.judge.judges import JudgeCounts, count, served_models, verdict_path
from cotasks.judge.llm.batch import ask_in_batches
from cotasks.judge.llm.pricing import Budget, dollars, find_price
from cotasks.judge.llm.reading import Reply, read_completion
from cotasks.judge.llm.rubric import load_rubric
from cotasks.judge.llm.settings import LlmJudge, llm_judge, read_llm_judge, settings_path
from cotasks.judge.llm.work import Job, Work, describe_plan, plan, spent_before
from cotasks.runs import folder as runs
from cotasks.runs.run import Row, Run, run_with_answers
from cotasks.servers.address import api_key
from cotasks.servers.calls import Client, Held, SchemaRefused, Trouble
from cotasks.tools.files import dump_json
from cotasks.tools.progress import SECONDS_A_LINE, progress_bar


@dataclass(frozen=True)
class Limits:
    """How to ask, where it does not change a verdict; see `judge.judge_run`."""

    concurrency: int
    timeout: float
    price: tuple[float, float] | None
    max_cost: float | None
    batch: bool
    retry_unscored: bool
    progress: bool


def judge_by_model(
    folder: Path, name: str, rubric: Path | None, structured: bool | None, settings: Row, limits: Limits
) -> JudgeCounts:
    """Arguments, result and errors as of `judge.judge_run`; settings are further arguments of `llm.llm_judge`."""
    judge = llm_judge(name, load_rubric(rubric), structured=structured is not False, **settings)
    budget = _budget(judge, limits)
    secret = api_key(judge.base_url)
    run = run_with_answers(folder)
    with runs.locked(folder, "judge"):
        judge = _settle(folder, judge, structured, limits.progress)
        path = verdict_path(folder, judge.name)
        budget.spent = spent_before(path, judge, limits.price)
        with _progress(limits.progress, budget) as show, runs.Appender(path) as file:
            work = Work(folder, judge, file, budget, show, limits.batch)
            while not _ask_as_planned(work, run, path, secret, limits):  # the server knows no reply schema
                if structured:
                    raise InputError(f"{judge.base_url} refuses the reply schema; expected structured left open or off")
                work.judge = replace(work.judge, structured=False)  # the keys change with the request
                dump_json(settings_path(folder, judge.name), work.judge.to_json())
        served = served_models(run, judge.name)
        if len(served) > 1 and limits.progress:
            versions = ", ".join(f"{model} ({verdicts})" for model, verdicts in served.most_common())
            print(f"{judge.name}: the verdicts are of different models: {versions}", file=sys.stderr)
        spent = budget.cost(work.prompt_tokens, work.completion_tokens)
        return count(
            run,
            judge.name,
            judged=len(work.judged),
            kept=work.kept,
            stopped=work.stopped,
            calls=work.calls,
            prompt_tokens=work.prompt_tokens,
            completion_tokens=work.completion_tokens,
            cost=spent if budget.price and work.calls else None,
        )


def _budget(judge: LlmJudge, limits: Limits) -> Budget:
    """Raises InputError for a limit outside its range."""
    if not 1 <= limits.concurrency <= 1000:
        raise InputError(f"concurrency {limits.concurrency}; expected 1 to 1000")
    if not 0 < limits.timeout < math.inf:
        raise InputError(f"timeout {limits.timeout}; expected seconds")
    price = find_price(judge.model, judge.base_url, limits.price, limits.batch)
    if limits.max_cost is not None and not 0 < limits.max_cost < math.inf:
        raise InputError(f"max_cost {limits.max_cost}; expected more than 0 US dollars")
    if limits.max_cost is not None and price is None:
        raise InputError(
            f"max_cost {limits.max_cost}: the price of {judge.model} at {judge.base_url} is not known; expected it "
            "too, in US dollars for a million tokens in and out"
        )
    return Budget(price, limits.max_cost)


def _settle(folder: Path, judge: LlmJudge, structured: bool | None, tell: bool) -> LlmJudge:
    """Write the settings that count from now on, and say what changed; a refused schema is remembered."""
    path = settings_path(folder, judge.name)
    if path.exists():
        before = read_llm_judge(folder, judge.name)
        if structured is None and before.base_url == judge.base_url:
            judge = replace(judge, structured=before.structured)
        if before == judge:
            return judge
        for changed in fields(judge) if tell else ():
            name = "rule" if changed.name == "rubric" else changed.name
            old, new = getattr(before, name), getattr(judge, name)
            if old != new:
                note = "verdicts under the new settings count from now on"
                print(f"{judge.name}: {changed.name} was {old}, is {new}; {note}", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    dump_json(path, judge.to_json())
    return judge


def _ask_as_planned(work: Work, run: Run, path: Path, secret: str, limits: Limits) -> bool:
    """Ask for all that is left; False where the server does not know the reply schema."""
    plan(work, run, path, limits.retry_unscored)
    if limits.progress:
        print(describe_plan(work, run), file=sys.stderr, flush=True)
    try:
        _in_a_loop(_ask(work, secret, limits))
    except SchemaRefused:
        return False
    return True


@contextmanager
def _progress(on: bool, budget: Budget) -> Iterator[Callable[[int, int], None]]:
    """Yields what shows progress, and now and then the cost."""
    if not on:
        yield lambda done, total: None
        return
    with progress_bar("verdicts") as update:
        shown = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal shown
            update("judge", done, total)
            if budget.price and (done == total or time.monotonic() - shown >= SECONDS_A_LINE):
                shown = time.monotonic()
                print(f"judge: {dollars(budget.spent)} spent", file=sys.stderr, flush=True)

        yield show


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also where an event loop runs already, as in a notebook."""
    if not _loop_is_running():
        asyncio.run(coroutine)
        return
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await coroutine

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: asyncio.run(main()))
        try:
            future.result()
        except KeyboardInterrupt:
            for loop, task in running:
                loop.call_soon_threadsafe(task.cancel)
            raise


async def _ask(work: Work, secret: str, limits: Limits) -> None:
    """Ask for all verdicts. Raises Fatal and SchemaRefused as of `openai_calls`."""
    if not work.jobs:
        return
    client = Client(work.judge.base_url, secret, limits.concurrency, limits.timeout, read_completion)
    async with client.api:
        if work.batch:
            await ask_in_batches(work, client)
            return
        asker = _Asker(work, client)
        tasks = [asyncio.create_task(asker.work_off()) for _ in range(min(limits.concurrency, len(work.jobs)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asker.finish()


class _Asker:
    """What the workers of one judging share."""

    def __init__(self, work: Work, client: Client[Reply]) -> None:
        self.work = work
        self.client = client
        self._jobs = iter(work.jobs)
        self._under_way = 0
        self._changed = asyncio.Event()
        self._held: Held[Job] = Held(client, "verdicts")

    async def work_off(self) -> None:
        """Ask for one verdict after the other, until none is left or the money is spent."""
        for job in self._jobs:
            most = self.work.most(job)
            if not await self._reserve(most):
                return
            try:
                outcome, lost = await self.client.ask(job.request)
            finally:
                self._under_way -= 1
                self.work.budget.reserved = max(0.0, self.work.budget.reserved - most) if self._under_way else 0.0
                self._changed.set()
            for _ in range(lost):
                self.work.spend(job, None, 0)
            self._take(job, outcome)

    async def _reserve(self, amount: float) -> bool:
        """Wait until so much can be spent; False where it never can."""
        budget = self.work.budget
        while not budget.allows(amount):
            if not self._under_way:
                self.work.stopped = f"max_cost {budget.most:g} could be exceeded"
                return False
            self._changed.clear()
            await self._changed.wait()
        budget.reserved += amount
        self._under_way += 1
        return True

    def _take(self, job: Job, outcome: Reply | Trouble) -> None:
        if isinstance(outcome, Trouble):
            self._held.add(job, outcome)
            return
        self._write(self._held.release())
        self.work.write(job, outcome)

    def _write(self, failures: list[tuple[Job, Trouble]]) -> None:
        for job, trouble in failures:
            self.work.write_failure(job, trouble)

    def finish(self) -> None:
        """Write the failures of a server that is up, or that refuses just these; raises Fatal where it is down."""
        self._write(self._held.finish())
