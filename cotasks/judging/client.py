"""Calls to an OpenAI-compatible server: a request in, the judge's reading or the reason why there is none out."""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import anyio
import openai
import orjson
import pydantic

from cotasks.errors import InputError
from cotasks.judging.rubric import HIGHEST_RATING

TRIES = 6
"""Calls for one verdict where the server fails or does not reply; being sent away for crowding does not count."""
CROWDED_TRIES = 30
"""Calls for one verdict where the server sends it away because there are too many."""
BACKOFF_SECONDS = 0.5
"""First wait after a failure; doubled each time, and shortened at random by up to half."""
LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 600.0
"""Longest wait that a server may ask for; one that asks for more ends the judging, to be gone on with later."""
CROWDED = frozenset({429, 503, 529})
"""Too many requests, and two ways to say overloaded."""
EXPLANATION_CHARACTERS = 1000
REPLY_CHARACTERS = 2000
"""What is kept of a reply that could not be read."""


class Reading(pydantic.BaseModel):
    """The reply that is asked for; `rubric.REPLY_SCHEMA` says the same to the server."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    reason: str
    match: Literal["yes", "no"]
    score: Annotated[int, pydantic.Field(ge=0, le=HIGHEST_RATING)]


@dataclass(frozen=True)
class Reply:
    """A completion."""

    rating: int | None
    """0 to 5; None where the reply cannot be read."""
    match: bool | None
    reason: str
    """Why there is no rating; empty where there is one."""
    explanation: str = ""
    """The judge's own reason."""
    text: str = ""
    """What came instead of a reading."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    served_model: str = ""
    """The model as the server names it; a moving name such as `gpt-4o` shows its snapshot here."""


@dataclass(frozen=True)
class Trouble:
    """No completion."""

    reason: str
    """In a phrase without values of the data."""
    detail: str = ""
    """What the server said."""
    retry: bool = False
    """Another try may do better."""
    billed: bool = False
    """The server may have worked on it, and bill it."""
    crowded: bool = False
    wait: float | None = None
    """Seconds that the server asks to wait."""
    fatal: str = ""
    """One line for the user, where no other call would do better."""
    refuses_schema: bool = False


class Fatal(InputError):
    """Nothing more can be asked."""


class SchemaRefused(Exception):
    """The server does not know the response format."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


def read_reading(text: str) -> Reading | str:
    """The judge's reading, or why there is none.

    The text must be one JSON object as asked for, and nothing else; a thought in `<think>` before it and a code fence
    around it are taken off. Nothing is searched for or repaired.
    """
    text = text.strip()
    if text.startswith("<think>") and "</think>" in text:
        text = text.rpartition("</think>")[2].strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return "the judge's reply is not one JSON object"
    try:
        return Reading.model_validate(value)
    except pydantic.ValidationError:
        return "the judge's reply is not as asked for"


def read_completion(payload: Any, redact: str = "") -> Reply | Trouble:
    """The reply in the body of a response.

    Args:
        payload: The body as bytes or text, or its JSON.
        redact: A secret that is never passed on.
    """
    try:
        body = orjson.loads(payload) if isinstance(payload, bytes | str) else payload
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return Trouble("the server's response is no completion", retry=True, billed=True)

    def shown(value: Any, limit: int) -> str:
        text = str(value or "").encode("utf-8", "replace").decode()  # a lone surrogate cannot be written
        return (text.replace(redact, "[key]") if redact else text).strip()[:limit]

    def counted(name: str) -> int | None:
        tokens = usage.get(name) if isinstance(usage, dict) else None
        return tokens if isinstance(tokens, int) and tokens >= 0 else None

    usage = body.get("usage")
    known = (counted("prompt_tokens"), counted("completion_tokens"), shown(body.get("model"), 200))
    if refusal:
        return Reply(None, None, "the judge refused", "", shown(refusal, REPLY_CHARACTERS), *known)
    if not isinstance(content, str):
        content = ""
    reading = read_reading(content)
    if isinstance(reading, Reading):
        explanation = shown(reading.reason, EXPLANATION_CHARACTERS)
        return Reply(reading.score, reading.match == "yes", "", explanation, "", *known)
    ended = choice.get("finish_reason")
    if ended == "content_filter":
        reading = "the judge's reply was filtered"
    elif ended == "length":
        reading = "the judge's reply was cut off at its longest"
    elif not content.strip():
        reading = "the judge's reply is empty"
    return Reply(None, None, reading, "", shown(content, REPLY_CHARACTERS), *known)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date; else None."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return max(seconds, 0.0) if seconds == seconds else None
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
        return max(date.timestamp() - time.time(), 0.0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


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

    def slow_down(self, entered: float, wait: float | None) -> None:
        """The server is crowded. Calls that entered before the last cut say nothing about the limit since."""
        if entered >= self._cut_at:
            self.limit = max(1.0, self.limit * 0.7)
            self._cut_at = time.monotonic()
        if wait:
            self._closed_until = max(self._closed_until, time.monotonic() + wait)

    def speed_up(self) -> None:
        """A call went well."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)


_SCHEMA_WORDS = re.compile(r"response_format|json_schema|structured|guided|grammar", re.IGNORECASE)
_SETTINGS = re.compile(r"temperature|max_tokens|max_completion_tokens", re.IGNORECASE)
_UNSUPPORTED = re.compile(r"unsupported|not support|unexpected", re.IGNORECASE)
_REFUSALS = {
    401: "refuses the API key; set OPENAI_API_KEY",
    402: "asks for payment",
    403: "does not allow this",
    404: "knows no such model or address (most base URLs end with /v1)",
    405: "knows no such model or address (most base URLs end with /v1)",
}
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class Client:
    """Asks one server."""

    def __init__(self, base_url: str, key: str, concurrency: int, timeout: float) -> None:
        self.api = openai.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, timeout=timeout)
        self.base_url = base_url
        self.gate = Gate(concurrency)
        self.heard = False
        """Whether the server has ever sent a response."""
        self.worked = False
        """Whether it has ever sent a completion."""
        self.secret = key if len(key) >= 8 else ""
        """The key, to be hidden wherever the server repeats it; empty where it is a word such as "none"."""
        self._timeout = timeout

    async def ask(self, request: Mapping[str, Any]) -> tuple[Reply | Trouble, int]:
        """(what came of it in the end, how many calls without a completion may be billed).

        Raises Fatal where nothing more can be asked, SchemaRefused where the server does not know the format.
        """
        failures = crowded = billed = 0
        while True:
            entered = await self.gate.enter()
            try:
                outcome = await self._call(request)
            finally:
                self.gate.leave()
            if isinstance(outcome, Reply):
                self.gate.speed_up()
                self.worked = True
                return outcome, billed
            billed += outcome.billed
            if outcome.fatal:
                raise Fatal(outcome.fatal)
            if outcome.refuses_schema and not self.worked and "response_format" in request:
                raise SchemaRefused
            if outcome.crowded:
                self.gate.slow_down(entered, outcome.wait)
                crowded += 1
            else:
                failures += 1
            if not outcome.retry or failures >= TRIES or crowded >= CROWDED_TRIES:
                return outcome, billed
            if not (outcome.crowded and outcome.wait):  # else the gate waits
                await asyncio.sleep(self.pause(outcome, failures + crowded - 1))

    async def _call(self, request: Mapping[str, Any]) -> Reply | Trouble:
        payload: Any
        try:
            with anyio.fail_after(self._timeout):  # the whole call; the client's own limit is for each read
                # `chat.completions.create` would walk the types of request and response, for a third of the time
                payload = await self.api.post("/chat/completions", body=request, cast_to=object)
        except openai.APIStatusError as error:
            self.heard = True
            response = error.response
            return self.trouble(error.status_code, response.headers, error.message, response.text, error.code)
        except (openai.APITimeoutError, TimeoutError):
            return Trouble("no response within the time limit", retry=True, billed=True)
        except openai.APIConnectionError as error:
            return Trouble("the connection failed", retry=True, billed=type(error.__cause__).__name__ != "ConnectError")
        except ValueError:  # of a response that says it is JSON
            payload = b""
        self.heard = True
        return read_completion(payload, self.secret)

    def pause(self, trouble: Trouble, failures: int) -> float:
        """Seconds to wait after a failure that others came before."""
        longest = min(BACKOFF_SECONDS * 2.0 ** min(failures, 20), LONGEST_BACKOFF_SECONDS)
        return trouble.wait or longest * (1 - random.random() / 2)

    def trouble(self, status: int, headers: Mapping[str, str], message: str, body: str, code: str | None) -> Trouble:
        """What a response with an error status means, from its message, whole body, and OpenAI's word for the error."""
        wait = retry_after(headers)
        said = self.hide(message)
        reason = f"the server answered with status {status}"
        if status in _REFUSALS:
            detail = "" if status == 401 else f": {said}"
            return Trouble(reason, fatal=f"{self.base_url} {_REFUSALS[status]} (status {status}){detail}")
        if code in _QUOTA:
            return Trouble(reason, fatal=f"{self.base_url}: the quota is used up (status {status}): {said}")
        if wait is not None and wait > LONGEST_WAIT_SECONDS:
            return Trouble(reason, fatal=f"{self.base_url} asks to wait {wait:.0f} s (status {status}); run again then")
        if status in (408, 409, 429) or (status >= 500 and status != 501):
            return Trouble(
                reason,
                detail=said,
                retry=headers.get("x-should-retry") != "false",
                billed=status >= 500 and status not in CROWDED,
                crowded=status in CROWDED,
                wait=wait,
            )
        if _SCHEMA_WORDS.search(body):
            return Trouble(reason, detail=said, refuses_schema=True)
        if not self.worked and _UNSUPPORTED.search(said) and _SETTINGS.search(said):
            hint = "change the setting, or leave the temperature to the server (None, or below 0)"
            return Trouble(reason, fatal=f"{self.base_url} refuses a setting (status {status}): {said}; {hint}")
        return Trouble(reason, detail=said)

    def hide(self, text: str) -> str:
        """The start of what a server said, on one line and without the key."""
        return " ".join((text.replace(self.secret, "[key]") if self.secret else text).split())[:300]
