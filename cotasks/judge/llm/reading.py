"""The body of a response in, the judge's reading or the reason why there is none out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic

from cotasks.judge.llm.rubric import HIGHEST_RATING
from cotasks.servers.calls import Trouble, clean, read_payload

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
    """The reply in the body of a response; arguments as of `openai_calls.read_payload`."""
    found = read_payload(payload, redact)
    if isinstance(found, Trouble):
        return found
    known = (found.prompt_tokens, found.completion_tokens, found.served_model)
    if found.refusal:
        return Reply(None, None, "the judge refused", "", clean(found.refusal, redact)[:REPLY_CHARACTERS], *known)
    reading = read_reading(found.content)
    if isinstance(reading, Reading):
        explanation = clean(reading.reason, redact)[:EXPLANATION_CHARACTERS]
        return Reply(reading.score, reading.match == "yes", "", explanation, "", *known)
    if found.finish_reason == "content_filter":
        reading = "the judge's reply was filtered"
    elif found.finish_reason == "length":
        reading = "the judge's reply was cut off at its longest"
    elif not found.content.strip():
        reading = "the judge's reply is empty"
    return Reply(None, None, reading, "", clean(found.content, redact)[:REPLY_CHARACTERS], *known)
