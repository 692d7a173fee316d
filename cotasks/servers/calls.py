"""One call to an OpenAI-compatible server, and what comes of it.

When a call is made, and made again, is up to `cotasks.servers.pool`; what is asked, and what a completion means, to its
user. The key is never shown.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import openai
import orjson

from cotasks.errors import InputError
from cotasks.servers.gate import Gate, Patience

TRIES = 6
"""Calls for one thing where the server fails; being sent away for crowding does not count."""
LOST_TRIES = 3
"""Calls for one thing where there is no response at all, see `gate.Patience`."""
CROWDED_TRIES = 30
"""Calls for one thing where the server sends it away because there are too many."""
BACKOFF_SECONDS = 0.5
"""First wait after a failure; doubled each time, and shortened at random by up to half."""
LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 600.0
"""Longest wait that a server may ask for; one that asks for more ends the work, to be gone on with later."""
CROWDED = frozenset({429, 503, 529})
"""Too many requests, and two ways to say overloaded."""
TIMED_OUT = frozenset({408, 504, 524})
"""The server, or what stands before it, did not wait for the answer any longer."""
MOST_REDIRECTS = 3
MOST_TOKENS = 10**9
"""What a server may say of the tokens of one call; a greater number is none."""
GIVEN_UP = ("abort", "error")
"""`finish_reason` of vLLM, SGLang and OpenRouter where the server, not the model, ended an answer."""
FAILURES_IN_A_ROW = 20
"""So many failures in a row without a completion end the work: the server is down, or does not take our requests."""

R = TypeVar("R")


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
    garbage: bool = False
    """What came is nothing that a model's server sends."""
    crowded: bool = False
    slow: bool = False
    """A time limit has passed: the server has too much to do, or is gone."""
    lost: bool = False
    """There was no response at all."""
    wait: float | None = None
    """Seconds that the server asks to wait."""
    fatal: str = ""
    """One line for the user, where no other call would do better."""
    refuses_schema: bool = False
    too_long: bool = False
    """The request does not fit into the model's context; others may."""
    status: int = 0
    """Of the response, where there was one."""
    base_url: str = ""
    """Of the server, where one was asked through a `pool.Pool`."""


class Fatal(InputError):
    """Nothing more can be asked."""

    def __init__(self, message: str, status: int = 0, for_good: bool = False) -> None:
        super().__init__(message)
        self.status = status
        """Of the response that says so; 0 where none does."""
        self.begun = False
        """Whether something was asked for before, and is written."""
        self.for_good = for_good
        """Whether waiting for the server would not help."""


class SchemaRefused(Exception):
    """The server does not know the response format."""


class Closed(Exception):
    """Nothing more is to be asked; what was to be asked again, or waited for its turn, is left."""


class Account(Protocol):
    """Who pays for the calls that one thing takes."""

    async def reserve(self) -> None:
        """Wait until one more call may be paid for. Raises where it never can."""

    def settle(self, outcome: Any) -> None:
        """The call that was reserved last has ended, with a completion or a Trouble."""


@dataclass(frozen=True)
class Completion:
    """What a response to a chat completion request holds. Text is as the server sent it, but for `clean`ing."""

    content: str
    """Empty where there is none."""
    refusal: Any
    finish_reason: str | None
    """Why it ended: `stop`, `length`, `content_filter`, ..."""
    prompt_tokens: int | None = None
    """None where the server does not say."""
    completion_tokens: int | None = None
    served_model: str = ""
    """The model as the server names it; a moving name such as `gpt-4o` shows its snapshot here."""
    thought: str = ""
    """What it said before the answer, where the server tells these apart: `reasoning_content`, or `reasoning`."""
    thought_tokens: int | None = None
    """Of `completion_tokens`; None where the server does not say."""


def read_payload(payload: Any, redact: str = "") -> Completion | Trouble:
    """The completion in the body of a response.

    Args:
        payload: The body as bytes or text, or its JSON.
        redact: A secret that is never passed on.
    """
    try:
        body = orjson.loads(payload) if isinstance(payload, bytes | str) else payload
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = _text(message.get("content")), message.get("refusal")
        thought = message.get("reasoning_content") or message.get("reasoning")
        ended, usage = choice.get("finish_reason"), body.get("usage")
        ended = ended if isinstance(ended, str) else None
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return Trouble("the server's response is no completion", retry=True, billed=True, garbage=True)
    if ended in GIVEN_UP:
        return Trouble("the server gave up the answer", retry=True, billed=True)

    def counted(name: str, counts: Any = usage) -> int | None:
        tokens = counts.get(name) if isinstance(counts, dict) else None
        if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not 0 <= tokens <= MOST_TOKENS:
            return None
        return int(tokens) if tokens == int(tokens) else None

    served = clean(body.get("model"), redact)[:200]
    tokens = counted("prompt_tokens"), counted("completion_tokens")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    thought = thought if isinstance(thought, str) else ""
    return Completion(content, refusal, ended, *tokens, served, thought, counted("reasoning_tokens", details))


def _text(content: Any) -> str:
    """The content of a message, whole or in parts. Raises TypeError where it is neither; none at all is no text."""
    if isinstance(content, list):
        return "".join(_text(part["text"]) for part in content if part["type"] == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError(type(content))
    return content or ""


def clean(value: Any, redact: str = "") -> str:
    """Text that a server sent, as it can be written: without a secret, blanks around it, and lone surrogates."""
    text = str(value or "").encode("utf-8", "replace").decode()
    return (text.replace(redact, "[key]") if redact else text).strip()


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


_SCHEMA_WORDS = re.compile(r"response_format|json_schema|structured|guided|grammar", re.IGNORECASE)
_SETTINGS = re.compile(r"temperature|max_tokens|max_completion_tokens", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context.{0,3}(length|window)|max_model_len|(prompt|input|sequence).{0,60}(too long|longer than|exceed|must be <)",
    re.IGNORECASE,
)
_MISTRUSTS = re.compile(r"trust-request-mm-kwargs|media_io_kwargs are disabled", re.IGNORECASE)
"""vLLM from 0.32 on, where a request says how its video is to be read."""
_UNSUPPORTED = re.compile(r"unsupported|not support|unexpected", re.IGNORECASE)
_REFUSALS = {
    401: "refuses the API key; set OPENAI_API_KEY",
    402: "asks for payment",
    403: "does not allow this",
    404: "knows no such model or address (most base URLs end with /v1)",
    405: "knows no such model or address (most base URLs end with /v1)",
}
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class Client(Generic[R]):
    """Asks one server. Belongs to the event loop that it is used in."""

    def __init__(
        self,
        base_url: str,
        key: str,
        concurrency: int,
        timeout: float,
        read: Callable[[Any, str], R | Trouble],
        first: asyncio.Event | None = None,
    ) -> None:
        """`read(payload, secret)` makes something of the body of a response; `first` as below."""
        # how long a call is waited for is up to `Patience`; only a connection must be there within the limit
        limit = openai.Timeout(None, connect=timeout)
        http = openai.DefaultAsyncHttpxClient(timeout=limit, max_redirects=MOST_REDIRECTS)
        self.api = openai.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, timeout=limit, http_client=http)
        self.base_url = base_url
        self.gate = Gate(concurrency)
        self.patience = Patience(timeout, self.gate)
        self.first = first or asyncio.Event()
        """Set once the server, or one of those that share it, has sent a response."""
        self.worked = False
        """Whether it has ever sent a completion."""
        self.secret = key if len(key) >= 8 else ""
        """The key, to be hidden wherever the server repeats it; empty where it is a word such as "none"."""
        self._read = read

    async def call(self, request: Mapping[str, Any], entered: float) -> tuple[R | Trouble, bool]:
        """(what came of one call, which entered the gate at a time; whether within the time limit)."""
        with self.patience.waiting(entered) as call:
            outcome = await self._call(request, entered)
            return outcome, not call.overdue
        return Trouble("no response within the time limit", retry=True, billed=True, slow=True, lost=True), False

    async def _call(self, request: Mapping[str, Any], entered: float) -> R | Trouble:
        payload: Any
        try:
            # `chat.completions.create` would walk the types of request and response, for a third of the time
            payload = await self.api.post("/chat/completions", body=request, cast_to=object)
        except openai.APIStatusError as error:
            self._hear(entered)
            response = error.response
            return self.trouble(error.status_code, response.headers, error.message, response.text, error.code)
        except openai.APITimeoutError:
            return Trouble("no connection within the time limit", retry=True, slow=True, lost=True)
        except openai.APIConnectionError as error:
            why = type(error.__cause__).__name__
            if why == "TooManyRedirects":
                self._hear(entered)
                where = f"{self.base_url} redirects without end; expected the address that answers"
                return Trouble("the server redirects without end", fatal=where)
            return Trouble("the connection failed", retry=True, billed=why != "ConnectError")
        except (ValueError, RecursionError):  # of a response that says it is JSON
            payload = b""
        self._hear(entered)
        return self._read(payload, self.secret)

    def _hear(self, entered: float) -> None:
        self.first.set()
        self.patience.heard(entered)

    def pause(self, trouble: Trouble, failures: int) -> float:
        """Seconds to wait after a failure that others came before."""
        longest = min(BACKOFF_SECONDS * 2.0 ** min(failures, 20), LONGEST_BACKOFF_SECONDS)
        return trouble.wait or longest * (1 - random.random() / 2)

    def trouble(self, status: int, headers: Mapping[str, str], message: str, body: str, code: str | None) -> Trouble:
        """What a response with an error status means, from its message, whole body, and OpenAI's word for the error."""
        return replace(self._trouble(status, headers, message, body, code), status=status)

    def _trouble(self, status: int, headers: Mapping[str, str], message: str, body: str, code: str | None) -> Trouble:
        wait = retry_after(headers)
        said = self.hide(body if message == f"Error code: {status}" else message)
        reason = f"the server answered with status {status}"
        if status in _REFUSALS:
            detail = "" if status == 401 else f": {said}"
            return Trouble(reason, fatal=f"{self.base_url} {_REFUSALS[status]} (status {status}){detail}")
        if isinstance(code, str) and code in _QUOTA:
            return Trouble(reason, fatal=f"{self.base_url}: the quota is used up (status {status}): {said}")
        if wait is not None and wait > LONGEST_WAIT_SECONDS:
            return Trouble(reason, fatal=f"{self.base_url} asks to wait {wait:.0f} s (status {status}); run again then")
        if status in (408, 409, 429) or (status >= 500 and status != 501):
            return Trouble(
                reason,
                detail=said,
                retry=headers.get("x-should-retry") != "false",
                billed=status in TIMED_OUT or (status >= 500 and status not in CROWDED),
                crowded=status in CROWDED,
                slow=status in TIMED_OUT,
                wait=wait,
                refuses_schema=status == 500 and bool(_SCHEMA_WORDS.search(body)),
            )
        if code == "context_length_exceeded" or (status in (400, 413, 422) and _TOO_LONG.search(said)):
            return Trouble(reason, detail=said, too_long=True)
        if _MISTRUSTS.search(said):
            hint = "start it with --trust-request-mm-kwargs, or show it images (--server-media images)"
            return Trouble(reason, fatal=f"{self.base_url} does not let a request say how its video is read; {hint}")
        if _SCHEMA_WORDS.search(body):
            return Trouble(reason, detail=said, refuses_schema=True)
        if not self.worked and _UNSUPPORTED.search(said) and _SETTINGS.search(said):
            hint = "change the setting, or leave the temperature to the server (None, or below 0)"
            return Trouble(reason, fatal=f"{self.base_url} refuses a setting (status {status}): {said}; {hint}")
        return Trouble(reason, detail=said)

    def hide(self, text: str) -> str:
        """The start of what a server said, on one line and without the key."""
        return " ".join((text.replace(self.secret, "[key]") if self.secret else text).split())[:300]
