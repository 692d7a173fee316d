"""Ask a model behind a server, or several: prompts are prepared ahead in threads, and many calls are under way at once.

Calls go out in the order of the videos, so that those about one video, which begin alike, reach the server together:
its prefix cache then holds that beginning.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from cotasks.errors import InputError
from cotasks.generate.ahead import LOOK_SECONDS, ahead
from cotasks.generate.prepare import Asking, Item, Outcome, failure_row
from cotasks.generate.server.model import ServedModel
from cotasks.generate.server.request import build_request, encode_frames, media_parts, token_bounds
from cotasks.models.thinking import split_text
from cotasks.records.boxes import Size
from cotasks.runs.run import Row
from cotasks.servers.address import api_key
from cotasks.servers.calls import Closed, Completion, Fatal, Trouble, clean, read_payload
from cotasks.servers.pool import Held, Pool

END_SECONDS = 5.0
"""How long calls that are given up, and a video that is being decoded, are waited for at the end."""


@dataclass(kw_only=True)
class ServerAsking(Asking):
    """What is asked of a model behind a server."""

    server: ServedModel


@dataclass(frozen=True)
class Call:
    """One prompt, ready to send."""

    item: Item
    request: Mapping[str, Any]
    bounds: tuple[int, int] | None
    """See `request.token_bounds`."""


def outcomes(asking: ServerAsking, videos: Iterator[Sequence[int]], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """Answers and failures as they come; every pending key of the videos is in one of them, once.

    Where `stopped` says yes, this ends after the calls under way; those that wait for another try are given up. It ends
    in the same way where nothing more can be asked, see `ServerAsking.stopped`: what is left stays to be asked another
    time.
    """
    try:
        yield from _outcomes(asking, videos, stopped)
    except Fatal as error:
        asking.stopped = str(error)


def _outcomes(asking: ServerAsking, videos: Iterator[Sequence[int]], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """As `outcomes`, but raises Fatal where nothing more can be asked."""
    options = asking.server.options
    pool: Pool[Completion] = Pool(
        [url for url in options.urls if url not in asking.server.refused],
        api_key(options.base_url),
        options.concurrency,
        options.timeout,
        read_payload,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    asking.answered_by = pool.answered
    held: Held[Call] = Held(pool, "prompts")
    with _Sender(pool, stopped, partial(_fault, asking.server)) as sender:
        sender.send(_calls(asking, videos, sender.ended))
        for event in sender.events():
            if not isinstance(event, _Reply):
                yield [], [event]
                continue
            try:
                outcome = _outcome(asking.server, event, held, pool.secret)
            except Fatal as error:
                sender.end(error)
            else:
                yield outcome
        if not stopped():
            failures = [_failure(*failed) for failed in held.finish()]
            if failures:
                yield [], failures


def _outcome(server: ServedModel, reply: _Reply, held: Held[Call], secret: str) -> Outcome:
    """What a reply means for it, and for the failures held before it. Raises Fatal as of `Held.add`."""
    if not isinstance(reply.outcome, Trouble):
        row = _read(server, reply.call, reply.outcome, secret)
        failures = [_failure(*failed) for failed in held.release()]
        return ([], [*failures, row]) if "reason" in row else ([row], failures)
    if reply.outcome.too_long:
        return [], [_failure(reply.call, reply.outcome)]
    held.add(reply.call, reply.outcome)
    return [], []


@dataclass(frozen=True)
class _Reply:
    call: Call
    outcome: Completion | Trouble


def _reply(call: Call, future: Future[Any]) -> _Reply:
    outcome, _ = future.result()
    return _Reply(call, outcome)


class _Sender:
    """Sends calls from a thread with an event loop of its own, fed by another, and hands on what comes back."""

    def __init__(
        self,
        pool: Pool[Completion],
        stopped: Callable[[], bool],
        wrong: Callable[[Call, Completion], str] = lambda call, found: "",
    ) -> None:
        """`wrong` says of a completion why it cannot be an answer to the call; empty where it can."""
        self._pool = pool
        self._wrong = wrong
        self._places = threading.Semaphore(pool.places)
        self._stopped = stopped
        self._closed = self._left = False
        self._loop = asyncio.new_event_loop()
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        """Rows of failures, (call, its future), an error of the feeding thread, and None where that ends."""
        self._under_way: set[Future[Any]] = set()
        self._error: BaseException | None = None

    def __enter__(self) -> _Sender:
        self._threads = [threading.Thread(target=self._loop.run_forever, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = self._left = True
        for thread in self._threads[1:]:
            thread.join(END_SECONDS)
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._threads[0].join(END_SECONDS)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pool.aclose()

    def ended(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._closed or self._stopped()

    def end(self, error: BaseException | None = None) -> None:
        """Send nothing more; calls under way go on, and the first of the errors is raised after their replies."""
        self._error = self._error or error
        self._closed = True
        self._loop.call_soon_threadsafe(self._give_up_waiting)

    def send(self, calls: Generator[Call | Row, None, None]) -> None:
        """Send calls as there is room for them, from a thread."""
        self._threads.append(threading.Thread(target=self._feed, args=(calls,), daemon=True))
        self._threads[-1].start()

    def _feed(self, calls: Generator[Call | Row, None, None]) -> None:
        try:
            while self._take_place():
                call = next(calls, None)
                if not isinstance(call, Call):
                    self._places.release()
                    if call is None:
                        break
                    self._queue.put(call)
                    continue
                asked = self._pool.ask(call.request, about=call.item.video_id, wrong=partial(self._wrong, call))
                future = asyncio.run_coroutine_threadsafe(asked, self._loop)
                self._under_way.add(future)
                future.add_done_callback(lambda done, call=call: self._come_back(call, done))  # type: ignore[misc]
                del call, asked, future
        except Exception as error:
            self._queue.put(error)
        finally:
            calls.close()
            self._queue.put(None)

    def _take_place(self) -> bool:
        while not self.ended():
            if self._places.acquire(timeout=LOOK_SECONDS):
                return not self.ended()
        return False

    def _come_back(self, call: Call, future: Future[Any]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self.end(None if isinstance(error, Closed) else error)  # nothing more can be asked
        self._queue.put((call, future))
        self._under_way.discard(future)
        self._places.release()

    def events(self) -> Iterator[_Reply | Row]:
        """What comes back, until all that was sent has; rows of what failed before it could be sent.

        Raises the error for which nothing more could be asked, once the calls that were under way have come back.
        """
        fed = len(self._threads) < 2
        while not fed or self._under_way or not self._queue.empty():
            try:
                event = self._queue.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self.ended():
                    self.end()
                continue
            if event is None:
                fed = True
            elif isinstance(event, Exception):
                self.end(event)
            elif isinstance(event, dict):
                yield event
            elif not event[1].cancelled() and event[1].exception() is None:
                yield _reply(*event)
        if self._error is not None:
            raise self._error

    def _give_up_waiting(self) -> None:
        """Let go of calls that wait for their turn, or for another try."""
        if self._left:  # the last tasks are no calls
            return
        self._pool.close()
        for task in asyncio.all_tasks(self._loop) - self._pool.calling:
            task.cancel()


def _calls(
    asking: ServerAsking, videos: Iterator[Sequence[int]], stopped: Callable[[], bool]
) -> Generator[Call | Row, None, None]:
    """Prompts ready to send, and failure rows: one or the other for each pending key of the videos, in order."""
    fields = asking.server.request(asking.sampling)

    def begin() -> Callable[[Sequence[int]], list[Call | Row]]:
        # tokenizers cannot be shared between threads
        server = dataclasses.replace(asking.server, tokenizer=copy.deepcopy(asking.server.tokenizer))
        return lambda positions: _prepare(asking, server, fields, positions)

    for ready in ahead(
        begin, videos, workers=asking.workers, depth=asking.workers + 1, waited=asking.waited, stopped=stopped
    ):
        yield from ready


def _prepare(
    asking: ServerAsking, server: ServedModel, fields: Mapping[str, Any], positions: Sequence[int]
) -> list[Call | Row]:
    """Prompts of one video, given as positions in the records, ready to send, and failure rows."""
    by_id = {record.id: record for record in map(asking.records.at, positions)}
    shown: dict[int, list[dict[str, Any]]] = {}
    ready: list[Call | Row] = []
    for item in list(asking.prepare(positions, server)):  # held together, as `shown` goes by the identity of a clip
        if not isinstance(item, Item):
            ready.append(item)
            continue
        parts: list[dict[str, Any]] = []
        size: Size = (0, 0)
        if item.clip is not None:
            pixels = item.clip.pixels
            size = (pixels.shape[2], pixels.shape[1])
            if id(item.clip) not in shown:
                encoded = encode_frames(pixels, server.options.image_format)
                shown[id(item.clip)] = media_parts(server, by_id[item.key[0]], item, encoded)
            parts = shown[id(item.clip)]
        request = build_request(fields, item, parts, server, asking.sampling)
        bounds = token_bounds(server, item, size) if server.options.check_frames else None
        ready.append(Call(dataclasses.replace(item, clip=None), request, bounds))
    return ready


def _fault(server: ServedModel, call: Call, found: Completion) -> str:
    """Why what came cannot be an answer: another model gives it than the one the run began with, or the frames cannot
    have reached it as they were sent; empty where it can."""
    record_id, condition, _ = call.item.key
    if server.served and found.served_model and server.served != found.served_model:
        return f"{found.served_model} answers; the run began with {server.served}, and one run is of one model"
    if call.bounds is not None and found.prompt_tokens is not None:
        least, most = call.bounds
        if not least <= found.prompt_tokens <= most:
            return (
                f"{record_id} under {condition} has {found.prompt_tokens} tokens by the "
                f"server's count, expected {least} to {most}: it drops frames, or resizes them, so that boxes would be "
                "wrong; give it the limits that run.json holds, see examples/serving.md, or use --no-check-frames"
            )
    return ""


def _read(server: ServedModel, call: Call, found: Completion, secret: str) -> Row:
    """The line of the generations file, or of the failures file where what came is no answer of the model."""
    record_id, condition, sample = call.item.key
    text, ended = clean(found.content, secret), found.finish_reason
    thought, closed = clean(found.thought, secret), True
    if not thought:
        thought, text, closed = split_text(text, server.thought.tags)
    elif ended == "length" and not text:
        closed = False
    if not text and found.refusal:
        text = clean(found.refusal, secret)
    fault = {"content_filter": "the server filtered the answer", "tool_calls": "the server took the answer for a call"}
    if ended in fault and not (ended == "tool_calls" and text):
        return failure_row(call.item.key, call.item.video_id, InputError(f"{record_id}: {fault[ended]}", fault[ended]))
    return {
        "id": record_id,
        "condition": condition,
        "sample": sample,
        "answer": text,
        "prompt_tokens": found.prompt_tokens,
        **_counted(found, thought, closed, server),
        "finish_reason": "length" if ended == "length" else "stop",
        "cut_items": call.item.prompt.cut_items,
        "video_id": call.item.video_id,
    }


def _counted(found: Completion, thought: str, closed: bool, server: ServedModel) -> Row:
    """Tokens of the answer, and what there is to say of a thought: it stands apart from the answer."""
    if not thought:
        return {"answer_tokens": found.completion_tokens}
    tokens, all_tokens = found.thought_tokens, found.completion_tokens
    if tokens is None and server.count_tokens is not None:
        tokens = server.count_tokens(thought)
    return {
        "answer_tokens": None if tokens is None or all_tokens is None else max(all_tokens - tokens, 0),
        "thought": thought,
        "thought_tokens": tokens,
        "thinking_cut_off": not closed or (tokens is not None and tokens == server.thought.mode),
    }


def _failure(call: Call, trouble: Trouble) -> Row:
    reason = "prompt too long" if trouble.too_long else trouble.reason
    detail = f"{trouble.base_url}: {trouble.reason}{': ' if trouble.detail else ''}{trouble.detail}"
    return failure_row(call.item.key, call.item.video_id, InputError(detail, reason))
