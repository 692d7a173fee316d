"""Asking a language model which options answers name, where the rules cannot tell: see `judge.options`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.asker import LOOK_SECONDS
from cotasks.judge.llm.loop import _in_a_loop, _say
from cotasks.judge.options import (
    PREFIX,
    OptionReader,
    Readings,
    read_reader,
    read_readings,
    read_reply,
    reader_path,
    reader_row,
    readings_path,
)
from cotasks.runs.folder import Appender
from cotasks.runs.run import Row, Run
from cotasks.servers.address import api_key, named_urls
from cotasks.servers.calls import Closed, Completion, Fatal, Trouble, clean, read_payload
from cotasks.servers.pool import Held, Pool
from cotasks.tools.files import dump_json
from cotasks.tools.progress import progress_bar
from cotasks.tools.stopping import stop_signal

REPLY_CHARACTERS = 2000
"""What is kept of a reply."""


@dataclass(frozen=True)
class Asked:
    """What a call of `ask` did."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    left: int
    """Requests without a completion."""
    reason: str
    """Why, of the first of them; empty where there is none."""


def option_reader(
    name: str, base_url: str | None, temperature: float | None = 0.0, max_tokens: int = 1024
) -> OptionReader:
    """The reader `openai:MODEL` from what a user gives; without an address the environment's OPENAI_BASE_URL, else
    OpenAI's own.

    Raises InputError for a value outside its range, and an address that is none or holds a secret.
    """
    model = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or not model or any(character.isspace() for character in model):
        raise InputError(f"choices_by {shorten(name)}; expected openai:MODEL, the model without blanks, or rules")
    if temperature is not None and not 0 <= temperature <= 2:
        raise InputError(f"temperature {temperature}; expected 0 to 2, or none")
    if max_tokens < 1:
        raise InputError(f"max_tokens {max_tokens}; expected 1 or more")
    url, *_ = named_urls(base_url)
    return OptionReader(model, url, None if temperature is None else float(temperature), max_tokens)


def ask(
    run: Run,
    reader: OptionReader,
    concurrency: int,
    timeout: float,
    progress: bool,
    servers: Sequence[str] | None = None,
) -> tuple[Readings, Asked]:
    """Make `reader` the run's, and ask it about every answer that it has not read. A reading is written as it comes;
    a request without a completion is left, and asked again by the next call.

    `servers` are the addresses of several servers that have the reader's model; where there are several, the keys go on
    naming the reader's earlier address.

    SIGINT and SIGTERM end it with KeyboardInterrupt, after the calls under way.

    Raises InputError where a file of the run is damaged, an argument is out of range, or the server lets nothing be
    asked.
    """
    if not 1 <= concurrency <= 1000:
        raise InputError(f"concurrency {concurrency}; expected 1 to 1000")
    if not 0 < timeout < float("inf"):
        raise InputError(f"timeout {timeout}; expected seconds")
    servers = servers or [reader.base_url]
    before = read_reader(run.folder)
    if len(servers) > 1 and before is not None and before.model == reader.model:
        reader = replace(reader, base_url=before.base_url)
    secret = api_key(servers[0])
    dump_json(reader_path(run.folder), reader_row(reader))
    known = read_readings(run.folder)
    jobs: dict[str, tuple[Row, int]] = {}
    for (id_, _, _), row in run.generations.items():
        question, answer = run.questions.get(id_), row.get("answer")
        reading = known.of(answer, question)
        if reading is not None and reading.pending and question is not None and isinstance(answer, str):
            jobs[reading.key] = reader.request(question, answer), len(question["choices"])
    work = _Work(jobs)
    with (
        stop_signal(True) as stopped,
        Appender(readings_path(run.folder)) as file,
        progress_bar("answers") as update,
    ):

        def write(row: Row) -> None:
            file.append(row)
            if progress:
                update("read options", work.done, len(jobs))

        if jobs:
            pool: Pool[Completion] = Pool(servers, secret, concurrency, timeout, read_payload, _say)
            _in_a_loop(_ask_all(work, pool, min(pool.places, len(jobs)), write, stopped))
        if stopped():
            raise KeyboardInterrupt
    asked = Asked(work.calls, work.prompt_tokens, work.completion_tokens, len(work.failed), next(iter(work.failed), ""))
    return read_readings(run.folder), asked


@dataclass
class _Work:
    """What the workers of one call share."""

    jobs: dict[str, tuple[Row, int]]
    """{key: (request, number of options)}"""
    done: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed: list[str] = field(default_factory=list)
    """Why, of each request without a completion."""
    error: Fatal | None = None
    """What ends the asking."""


async def _ask_all(
    work: _Work,
    pool: Pool[Completion],
    at_once: int,
    write: Callable[[Row], None],
    stopped: Callable[[], bool],
) -> None:
    """Ask for all. Where nothing more can or shall be asked, calls under way end first, and what they bring is written.

    Raises Fatal where nothing more can be asked.
    """
    held: Held[str] = Held(pool, "readings")
    jobs = iter(work.jobs.items())

    async def work_off() -> None:
        for key, (request, count) in jobs:
            try:
                outcome, lost = await pool.ask(request)
                work.calls += lost + (not isinstance(outcome, Trouble))
                if isinstance(outcome, Trouble):
                    held.add(key, outcome)
                    continue
            except Closed:
                return
            except Fatal as error:
                work.error = work.error or error
                pool.close()
                return
            work.failed += [trouble.reason for _, trouble in held.release()]
            work.done += 1
            work.prompt_tokens += outcome.prompt_tokens or 0
            work.completion_tokens += outcome.completion_tokens or 0
            write(_row(key, outcome, count, pool.secret))

    async def watch() -> None:
        while not stopped():
            await asyncio.sleep(LOOK_SECONDS)
        pool.close()

    async with pool:
        watching = asyncio.create_task(watch())
        try:
            await asyncio.gather(*(work_off() for _ in range(at_once)))
        finally:
            watching.cancel()
    if work.error is not None:
        work.error.begun = work.done > 0
        raise work.error
    work.failed += [] if pool.closed else [trouble.reason for _, trouble in held.finish()]


def _row(key: str, completion: Completion, count: int, secret: str) -> Row:
    """A row of `readings.jsonl`; the reply is kept where it is more than a letter."""
    option = read_reply(completion.content, count)
    return {
        "key": key,
        "option": option if isinstance(option, int) else None,
        "problem": option if isinstance(option, str) else "",
        "reply": clean(completion.content, secret)[:REPLY_CHARACTERS],
        "served_model": completion.served_model,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
    }
