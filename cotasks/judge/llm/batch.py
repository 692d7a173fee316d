"""OpenAI's Batch API: the same requests in files, answered within 24 hours at half the price.

`verdicts/batches/<judge>.json` lists the batches under way, so that a killed judging finds them again and no request is
sent twice: `[{file, batch, jobs: [[key, repeat, answers]]}]`, with null for a batch that may not have been made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import openai
import orjson

from cotasks.errors import InputError
from cotasks.judge.judges import verdict_path
from cotasks.judge.llm.reading import Reply, read_completion
from cotasks.judge.llm.settings import file_stem
from cotasks.judge.llm.work import TOKENS, Call, Work
from cotasks.judge.verdicts import read_verdicts
from cotasks.runs.run import Row
from cotasks.servers.calls import Client, Fatal, SchemaRefused, Trouble
from cotasks.tools.files import dump_json, read_json

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""Limits of one input file; OpenAI's are 50,000 requests and 200 MB."""
POLL_SECONDS = 30.0
TRIES = 6
TRANSFER_SECONDS = 900.0
"""Time limit for sending or fetching a file."""
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

T = TypeVar("T")


async def ask_in_batches(work: Work, client: Client[Reply]) -> None:
    """Send all jobs in batches, wait for them, and write their verdicts; goes on with batches of an earlier call.

    What a batch did not get to stays to be asked, and `work.stopped` says so. Raises Fatal and SchemaRefused as of
    `openai_calls`.
    """
    path = work.folder / "verdicts" / "batches" / f"{file_stem(work.judge.name)}.json"
    entries = _read(path)
    entries = await _find_lost(client, entries)
    pending = {key for entry in entries for key, _, _ in entry["jobs"]}
    reserved = work.ledger.batched()
    for key in reserved.keys() - pending:  # of a batch that never was
        work.ledger.settle(reserved[key], (0, 0))
    for job in work.jobs:
        if job.key in pending and job.key not in reserved:  # of a version without a ledger
            work.ledger.reserve(job.key, work.most(job), batch=True)
    affordable = list(_affordable(work, [job for job in work.jobs if job.key not in pending]))
    path.parent.mkdir(parents=True, exist_ok=True)
    dump_json(path, entries)
    for data, jobs in _files(affordable):
        send = partial(client.api.files.create, purpose="batch", timeout=TRANSFER_SECONDS)
        sent = await _reach(client, partial(send, file=("requests.jsonl", data)))
        entries.append({"file": sent.id, "batch": None, "jobs": [[job.key, job.repeat, job.answers] for job in jobs]})
        dump_json(path, entries)
        create = partial(client.api.batches.create, completion_window="24h", endpoint=ENDPOINT)
        made = await _reach(client, partial(create, input_file_id=sent.id), tries=1)  # a second try could make two
        entries[-1]["batch"] = made.id
        dump_json(path, entries)
    while entries:
        done = 0
        for entry in list(entries):
            batch = await _reach(client, partial(client.api.batches.retrieve, entry["batch"]))
            done += batch.request_counts.completed if batch.request_counts else 0
            if batch.status in ENDED:
                lines = await _fetch(client, batch)
                entries.remove(entry)
                try:
                    _collect(work, client, batch, entry, lines)
                except (Fatal, SchemaRefused):  # another look at this batch would say the same
                    dump_json(path, entries)
                    raise
                dump_json(path, entries)
        if entries:
            work.show(min(done, len(work.jobs)), len(work.jobs))
            await asyncio.sleep(POLL_SECONDS)
    path.unlink(missing_ok=True)
    left = len(work.jobs) - work.done
    if left and not work.stopped:
        work.stopped = f"the batches ended without {left} of the verdicts"


def _read(path: Path) -> list[Row]:
    """The batches under way. Raises InputError where the file is damaged."""
    if not path.exists():
        return []
    entries: list[Row] = read_json(path)
    try:
        sound = all({"file", "batch"} <= entry.keys() for entry in entries)
        sound = sound and all(len(job) == 3 for entry in entries for job in entry["jobs"])
    except (AttributeError, KeyError, TypeError):
        sound = False
    if not sound:
        raise InputError(f"{path}: not a list of batches; a different version?")
    return entries


async def _find_lost(client: Client[Reply], entries: list[Row]) -> list[Row]:
    """The entries, with the batches that were made just before a kill; those that never were are left out."""
    lost = {entry["file"]: entry for entry in entries if entry["batch"] is None}

    async def look() -> None:
        async for batch in client.api.batches.list(limit=100):  # the newest first
            if batch.input_file_id in lost:
                lost.pop(batch.input_file_id)["batch"] = batch.id
            if not lost:
                break

    if lost:
        await _reach(client, look)
    return [entry for entry in entries if entry["batch"]]


def _affordable(work: Work, jobs: list[Call]) -> Iterator[Call]:
    for job in jobs:
        most = work.most(job)
        if not work.ledger.allows(most, batch=True):
            work.stopped = f"max_cost {work.ledger.most:g} could be exceeded"
            return
        work.ledger.reserve(job.key, most, batch=True)
        yield job


def _files(jobs: list[Call]) -> Iterator[tuple[bytes, list[Call]]]:
    """Each input file and its jobs."""
    lines: list[bytes] = []
    held: list[Call] = []
    size = 0
    for job in jobs:
        request = {"custom_id": job.key, "method": "POST", "url": ENDPOINT, "body": job.request}
        line = orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE)
        if lines and (len(lines) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
            yield b"".join(lines), held
            lines, held, size = [], [], 0
        lines.append(line)
        held.append(job)
        size += len(line)
    if lines:
        yield b"".join(lines), held


async def _fetch(client: Client[Reply], batch: Any) -> list[Row]:
    """The lines of an ended batch's output and error files."""
    lines: list[Row] = []
    for file in (batch.output_file_id, batch.error_file_id):
        if file is not None:
            content = await _reach(client, partial(client.api.files.content, file, timeout=TRANSFER_SECONDS))
            lines += map(orjson.loads, content.content.splitlines())
    return lines


def _collect(work: Work, client: Client[Reply], batch: Any, entry: Row, lines: list[Row]) -> None:
    """Write the verdicts of an ended batch."""
    jobs = {job.key: job for job in work.jobs}
    rows = {hashed: row for _, hashed, _, row in read_verdicts(verdict_path(work.folder, work.judge.name))}
    written = set(rows)
    for key, repeat, answers in entry["jobs"]:  # those sent under earlier settings are paid for, so they are kept
        if key not in jobs and key not in written:
            jobs[key] = Call(key, {"messages": []}, repeat, [tuple(answer) for answer in answers])
    open_calls = work.ledger.batched()
    try:
        for line in lines:
            job = jobs.get(line["custom_id"])
            if job is not None and job.key not in written:
                written.add(job.key)
                _take(work, client, job, line.get("response"), open_calls.pop(job.key, None))
    finally:
        for key, _, _ in entry["jobs"]:  # not asked, or written before a kill
            if key in open_calls:
                known = rows.get(key, {})
                work.ledger.settle(open_calls[key], (known.get(TOKENS[0]) or 0, known.get(TOKENS[1]) or 0))
    if batch.status == "failed":
        said = "; ".join(error.message or "" for error in (batch.errors and batch.errors.data) or [])
        raise Fatal(f"{client.base_url}: batch {batch.id} failed: {client.hide(said)}")


def _take(work: Work, client: Client[Reply], job: Call, response: Row | None, call: int | None) -> None:
    """Write what a line of an output or error file says; one that another try may better is left. `call` is its number
    in the ledger."""
    outcome: Reply | Trouble = Trouble("not asked")
    body = (response or {}).get("body") or {}
    if response and response.get("status_code") == 200:
        outcome = read_completion(body, client.secret, work.judge.rubric.scale)
    if call is not None:
        work.settle(call, job, outcome)
    if not response or not response.get("status_code"):
        return
    if response["status_code"] == 200:
        if not isinstance(outcome, Trouble):
            client.worked = True
            work.write(job, outcome)
        return
    error = body.get("error") or {}
    text = orjson.dumps(body).decode()
    trouble = client.trouble(response["status_code"], {}, str(error.get("message")), text, error.get("code"))
    if trouble.fatal:
        raise Fatal(trouble.fatal)
    if trouble.refuses_schema and not client.worked and work.judge.structured:
        raise SchemaRefused
    if not trouble.retry:
        work.write_failure(job, trouble)


async def _reach(client: Client[Reply], call: Callable[[], Awaitable[T]], tries: int = TRIES) -> T:
    """What a call returns, tried again where that may help. Raises Fatal where it does not."""
    for number in range(tries):
        try:
            return await call()
        except openai.APIStatusError as error:
            response = error.response
            trouble = client.trouble(error.status_code, response.headers, error.message, response.text, error.code)
        except openai.APIConnectionError:
            trouble = Trouble("the connection failed, or took too long", retry=True)
        if trouble.fatal or not trouble.retry:
            break
        if number + 1 < tries:
            await asyncio.sleep(client.pause(trouble, number))
    said = f"{trouble.reason}{': ' if trouble.detail else ''}{trouble.detail}"
    raise Fatal(trouble.fatal or f"{client.base_url}: {said}; run again to go on")
