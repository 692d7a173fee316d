"""The loop that asks a language model for verdicts: many calls at once, resumed, and stopped in time."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.errors import InputError
from cotasks.judge.controls import Outcome, control_path, outcomes_of
from cotasks.judge.judges import JudgeCounts, count, failed_calls, served_models, verdict_path
from cotasks.judge.llm.asker import LOOK_SECONDS, Asker
from cotasks.judge.llm.batch import ask_in_batches
from cotasks.judge.llm.ledger import Ledger
from cotasks.judge.llm.pricing import Price, find_price
from cotasks.judge.llm.reading import read_completion
from cotasks.judge.llm.rubric import load_rubric
from cotasks.judge.llm.settings import (
    FORMATS,
    LlmJudge,
    at_home,
    file_stem,
    llm_judge,
    read_llm_judge,
    settings_path,
)
from cotasks.judge.llm.sight import shown_path
from cotasks.judge.llm.work import Work, describe_plan, plan, plan_controls, tokens_before
from cotasks.runs import folder as runs
from cotasks.runs.run import Row, Run, read_run, run_with_answers
from cotasks.servers.address import api_key, named_urls
from cotasks.servers.calls import Fatal, SchemaRefused
from cotasks.servers.pool import Pool
from cotasks.tools.files import dump_json
from cotasks.tools.progress import SECONDS_A_LINE, progress_bar
from cotasks.tools.stopping import stop_signal

if TYPE_CHECKING:
    from cotasks.judge.llm.eyes import Eyes


@dataclass(frozen=True)
class Calling:
    """How to ask, where it does not change a verdict; see `judge.judge_run`."""

    concurrency: int
    timeout: float
    price: tuple[float, float] | None
    max_cost: float | None
    batch: bool
    retry_unscored: bool
    progress: bool


def judge_by_model(
    folder: Path,
    name: str,
    rubric: Path | str | None,
    structured: bool | None,
    settings: Row,
    calling: Calling,
    shows: Shows | None = None,
) -> JudgeCounts:
    """Arguments, result and errors as of `judge.judge_run`; settings are further arguments of `llm.llm_judge`."""
    judge, servers = _judge_at(name, rubric, structured, settings, calling)
    run = run_with_answers(folder)
    judge, eyes = _with_eyes(run, judge, shows, calling)
    judge = at_home(folder, judge, servers)
    asked = _Asking(judge, servers, structured, calling, verdict_path(folder, judge.name), "", plan, eyes)
    judge, work, price = _ask_for_all(run, asked)
    served = served_models(run, judge.name)
    if len(served) > 1 and calling.progress:
        versions = ", ".join(f"{model} ({verdicts})" for model, verdicts in served.most_common())
        print(f"{judge.name}: the verdicts are of different models: {versions}", file=sys.stderr)
    failed = failed_calls(run, judge.name)
    return count(
        run,
        judge.name,
        judged=len(work.judged),
        kept=work.kept,
        stopped=work.stopped,
        calls=work.calls,
        prompt_tokens=work.prompt_tokens,
        completion_tokens=work.completion_tokens,
        cost=price.cost(work.prompt_tokens, work.completion_tokens) if price and work.calls else None,
        failed=failed.total(),
        failure=next((reason for reason, _ in failed.most_common(1)), ""),
    )


def ask_controls(
    folder: Path,
    name: str,
    rubric: Path | str | None,
    structured: bool | None,
    settings: Row,
    calling: Calling,
    questions: int,
    shows: Shows | None = None,
) -> ControlCounts:
    """Ask a model about the controls of so many questions; arguments and errors as of `judge_by_model`."""
    judge, servers = _judge_at(name, rubric, structured, settings, calling)
    run = read_run(folder)
    judge, eyes = _with_eyes(run, judge, shows, calling)
    judge = at_home(folder, judge, servers)
    if settings_path(folder, judge.name).exists():  # whoever asks controls does not change how often answers are judged
        judge = replace(judge, repeats=read_llm_judge(folder, judge.name).repeats)
    path = control_path(folder, judge.name)
    what = f"controls of {questions} questions"
    judge, work, price = _ask_for_all(
        run, _Asking(judge, servers, structured, calling, path, what, partial(plan_controls, count=questions), eyes)
    )
    return ControlCounts(
        path=path,
        judge=judge.name,
        outcomes=outcomes_of(run, judge.name),
        asked=len(work.judged),
        kept=work.kept,
        left=sum(len(job.answers) for job in work.jobs) - len(work.judged),
        stopped=work.stopped,
        cost=price.cost(work.prompt_tokens, work.completion_tokens) if price and work.calls else None,
    )


def _judge_at(
    name: str, rubric: Path | str | None, structured: bool | None, settings: Row, calling: Calling
) -> tuple[LlmJudge, tuple[str, ...]]:
    """(the judge, the servers to ask it at); arguments as of `judge_by_model`."""
    servers = named_urls(settings["base_url"])
    if calling.batch and len(servers) > 1:
        raise InputError(f"base URLs {', '.join(servers)} with batch; expected one")
    judge = llm_judge(
        name, load_rubric(rubric), structured=structured is not False, **{**settings, "base_url": servers[0]}
    )
    return judge, servers


@dataclass(frozen=True)
class ControlCounts:
    """What a call of `ask_controls` did, and what the judge said to its controls."""

    path: Path
    judge: str
    outcomes: list[Outcome]
    asked: int
    """Controls judged by this call."""
    kept: int
    """Those whose verdict was there already."""
    left: int
    stopped: str
    """Why some are left; empty where none is."""
    cost: float | None
    """US dollars of this call; None where it asked nothing or the price is not known."""


@dataclass(frozen=True)
class _Asking:
    """What is asked for, and where verdicts go."""

    judge: LlmJudge
    servers: tuple[str, ...]
    structured: bool | None
    calling: Calling
    path: Path
    what: str
    """In words; empty for the run's answers."""
    plan: Callable[[Work, Run, Path, bool], None]
    eyes: Eyes | None = None


@dataclass(frozen=True)
class Shows:
    """What a judge that sees is shown, and where it is; see `judge.llm.sight.Eyes`."""

    what: str
    dataset: str | None = None
    videos: Path | None = None
    video_check: str | None = None


def _with_eyes(run: Run, judge: LlmJudge, shows: Shows | None, calling: Calling) -> tuple[LlmJudge, Eyes | None]:
    """The judge as it sees. Raises InputError as of `Eyes`, and where it is to see in batches."""
    if shows is None:
        return judge, None
    if calling.batch:
        raise InputError("a judge that sees, in batches; expected one of them")
    from cotasks.judge.llm.eyes import Eyes

    eyes = Eyes(run, shows.what, shows.dataset, shows.videos, shows.video_check)
    return replace(judge, sees=eyes.sight), eyes


def _ask_for_all(run: Run, asking: _Asking) -> tuple[LlmJudge, Work, Price | None]:
    """Ask for all that is planned; returns the judge whose settings count now, what was done, and the price.

    Raises KeyboardInterrupt after SIGINT and SIGTERM, when the calls under way have ended, and InputError as of
    `judge.judge_run`.
    """
    folder, calling, structured, path = run.folder, asking.calling, asking.structured, asking.path
    prices = _prices(asking.judge, calling)
    price = prices[calling.batch]
    secret = api_key(asking.judge.base_url)
    with runs.locked(folder, "judge"), stop_signal(True) as stopped:
        judge = _settle(folder, asking.judge, structured, calling.progress)
        verdicts = verdict_path(folder, judge.name)
        accounts = verdicts.parent / "ledger" / f"{file_stem(judge.name)}.jsonl"
        with (
            closing(Ledger(accounts, prices, calling.max_cost, tokens_before(verdicts))) as ledger,
            _progress(calling.progress, ledger if price else None) as show,
            runs.Appender(path) as file,
        ):
            work = Work(folder, judge, file, ledger, price, show, calling.batch, asking.eyes)
            try:
                while not _ask_as_planned(work, run, asking, secret, stopped):  # the keys change with the request
                    work.judge = _with_less(work.judge, structured, calling)
                    dump_json(settings_path(folder, judge.name), work.judge.to_json())
            except Fatal as error:
                error.begun = work.calls > 0
                raise
        if stopped():
            raise KeyboardInterrupt
    return work.judge, work, price


def _prices(judge: LlmJudge, calling: Calling) -> dict[bool, Price | None]:
    """Prices of calls one by one (False) and in batches (True). Raises InputError for a limit outside its range."""
    if not 1 <= calling.concurrency <= 1000:
        raise InputError(f"concurrency {calling.concurrency}; expected 1 to 1000")
    if not 0 < calling.timeout < math.inf:
        raise InputError(f"timeout {calling.timeout}; expected seconds")
    prices = {batch: find_price(judge.model, judge.base_url, calling.price, batch) for batch in (False, True)}
    if calling.max_cost is not None and not 0 < calling.max_cost < math.inf:
        raise InputError(f"max_cost {calling.max_cost}; expected more than 0 US dollars")
    if calling.max_cost is not None and prices[calling.batch] is None:
        raise InputError(
            f"max_cost {calling.max_cost}: the price of {judge.model} at {judge.base_url} is not known; expected it "
            "too, in US dollars for a million tokens in and out"
        )
    return prices


def _with_less(judge: LlmJudge, structured: bool | None, calling: Calling) -> LlmJudge:
    """The judge whose server refuses the reply format, with the next one; in batches, which take hours, with none.

    Raises InputError where the user asked for the schema.
    """
    if structured:
        raise InputError(f"{judge.base_url} refuses the reply schema; expected structured left open or off")
    less = FORMATS[-1] if calling.batch else FORMATS[FORMATS.index(judge.reply_format) + 1]
    if calling.progress:
        refused = f"the server refuses reply format {judge.reply_format}"
        print(f"{judge.name}: {refused}; going on with {less}", file=sys.stderr)
    return replace(judge, reply_format=less)


def _settle(folder: Path, judge: LlmJudge, structured: bool | None, tell: bool) -> LlmJudge:
    """Write the settings that count from now on, and say what changed; a refused schema is remembered."""
    path = settings_path(folder, judge.name)
    if judge.sees is not None:
        dump_json(shown_path(path), {id_: list(numbers) for id_, numbers in judge.sees.shown.items()})
    if path.exists():
        before = read_llm_judge(folder, judge.name)
        if structured is None and before.base_url == judge.base_url:
            judge = replace(judge, reply_format=before.reply_format)
        if (before, before.servers) == (judge, judge.servers):
            return judge
        for changed in (f for f in fields(judge) if tell and f.compare):
            name = "rule" if changed.name == "rubric" else changed.name
            old, new = getattr(before, name), getattr(judge, name)
            if old != new:
                note = "verdicts under the new settings count from now on"
                print(f"{judge.name}: {changed.name} was {old}, is {new}; {note}", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    dump_json(path, judge.to_json())
    return judge


def _ask_as_planned(work: Work, run: Run, asking: _Asking, secret: str, stopped: Callable[[], bool]) -> bool:
    """Ask for all that is left; False where the server does not know the reply format."""
    calling = asking.calling
    asking.plan(work, run, asking.path, calling.retry_unscored)
    if calling.progress:
        print(describe_plan(work, run, asking.what), file=sys.stderr, flush=True)
    try:
        served = next((model for model, _ in served_models(run, work.judge.name).most_common(1)), "")
        _in_a_loop(_ask(work, asking, secret, served, stopped))
    except SchemaRefused:
        return False
    return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress(on: bool, ledger: Ledger | None) -> Iterator[Callable[[int, int], None]]:
    """Yields what shows progress, and now and then the cost, where there is a ledger of prices that are known."""
    if not on:
        yield lambda done, total: None
        return
    with progress_bar("verdicts") as update:
        shown = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal shown
            update("judge", done, total)
            if ledger is not None and (done == total or time.monotonic() - shown >= SECONDS_A_LINE):
                shown = time.monotonic()
                print(f"judge: {ledger.describe()}", file=sys.stderr, flush=True)

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


async def _ask(work: Work, asking: _Asking, secret: str, served: str, stopped: Callable[[], bool]) -> None:
    """Ask for all verdicts, or until the user's signal; `served` as of `Asker`. Raises as `Asker.run` does."""
    if not work.jobs:
        return
    read = partial(read_completion, scale=work.judge.rubric.scale)
    calling = asking.calling
    pool = Pool(asking.servers, secret, calling.concurrency, calling.timeout, read, _say)
    async with pool:
        if not work.batch:
            await Asker(work, pool, stopped, served).run(min(pool.places, len(work.jobs)))
            return
        task = asyncio.create_task(ask_in_batches(work, pool.members[0].client))
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            if stopped():  # the batches go on by themselves, and are found again
                task.cancel()
                await asyncio.wait({task})
                return
        await task
