"""The body of a response in, the judge's reading or the reason why there is none out.

Models that nothing holds to the form wrap it, or write it in their own way. A reply is read where it gives one verdict
and no other:

- A thought before it is taken off: what stands before a closing `</think>` or its like, or before the final channel.
- The verdict is a JSON object with `match` and `score` in any letter case, alone or with other text, names or objects
  around it; trailing commas, line ends in strings and Python's quotes do no harm. A score may be `5`, `5.0`, `"5"` or
  `"5/5"` (on a scale to 100 `"80/100"` or `"80%"`); a match "yes", "Yes", "true" or true, and it may be called `pred`,
  as in the usual prompts for video answers. The reason may be missing, and under a yes/no rubric so is the score.
- Without such an object, lines such as `Match: yes` and `**Score:** 5` are the verdict, if the reply was not cut off.

Nothing is guessed: two objects, or text beside the object that declares another verdict, are no reading, and neither is
a verdict that contradicts itself (`Scale.contradicts`).
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import pydantic

from cotasks.judge.llm.rubric import CONTRADICTION
from cotasks.judge.scales import DEFAULT_SCALE, GREATEST, Scale
from cotasks.servers.calls import Trouble, clean, read_payload

EXPLANATION_CHARACTERS = 1000
REPLY_CHARACTERS = 2000
"""What is kept of a reply that could not be read."""
NOT_JSON = "the judge's reply is not one JSON object"
NOT_ASKED = "the judge's reply is not as asked for"
TWO_VERDICTS = "the judge's reply gives two different verdicts"
UNREAD = frozenset({NOT_JSON, NOT_ASKED})
"""Reasons that reading in more ways may do away with."""
MOST_OBJECTS = 200
"""Places where an object may begin that are looked at; a reply with more is not read."""
LONGEST_REPAIRED = 20_000
"""Characters of an object that is no JSON."""


class Reading(pydantic.BaseModel):
    """The reply that is asked for; `rubric.reply_schema` says the same to the server."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    reason: str
    match: Literal["yes", "no"]
    score: Annotated[int, pydantic.Field(ge=0, le=GREATEST)]
    """On the rubric's scale; where that is yes/no, what the match counts as."""


@dataclass(frozen=True)
class Reply:
    """A completion."""

    rating: int | None
    """On the rubric's scale; None where the reply cannot be read."""
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


class _Twice(ValueError):
    """An object with a name twice."""


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    names = [str(name).strip().casefold() for name, _ in pairs]
    if len(set(names)) < len(names):
        raise _Twice
    return dict(zip(names, (value for _, value in pairs), strict=True))


_JSON = json.JSONDecoder(object_pairs_hook=_unique, strict=False)
_FLAT = re.compile(r"\{[^{}]*\}")
_LAST_COMMA = re.compile(r",(\s*[}\]])")
_THOUGHT = "think|thinking|thoughts?|reasoning|analysis"
_THOUGHT_END = re.compile(
    rf"</(?:{_THOUGHT})>|\[/THINK\]|◁/think▷|<\|channel\|>final.{{0,40}}?<\|message\|>", re.IGNORECASE
)
_THOUGHT_BEGIN = re.compile(rf"<(?:{_THOUGHT})>|\[THINK\]|◁think▷|<\|channel\|>analysis", re.IGNORECASE)

_WORDS = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_OTHER_NAMES = {
    "match": ("final_match", "is_match", "correct"),
    "score": ("final_score", "overall_score", "rating"),
}
"""Further names under which an object may give a second verdict."""
_SIGNS = r"""["'“”‘’*_`\s]{0,12}"""
_GIVES = rf"{_SIGNS}(?:\([^()\n]{{0,20}}\){_SIGNS})?(?:[:=：>]|\bis\b|\bof\b|\b(?:should|would)\s+be\b){_SIGNS}\(?"


@dataclass(frozen=True)
class _Patterns:
    """What is looked for under one scale."""

    score: re.Pattern[str]
    """A score alone, `4` or `4/5`."""
    declared: re.Pattern[str]
    """A name and its value: `lead` where it begins a line or a part of one."""


@cache
def _patterns(highest: int) -> _Patterns:
    percent = r"|\s{0,4}%" if highest == 100 else ""
    score = rf"(\d{{1,4}}(?:\.\d{{1,4}})?)(?:\s{{0,4}}(?:/|out\s+of)\s{{0,4}}{highest}(?:\.0{{1,4}})?{percent})?"
    declared = rf"""
    (?P<lead>^[^\w\n]{{0,12}}(?:\d{{1,2}}[.)][^\w\n]{{0,12}})?|[,;|<{{.(–—-][^\w\n]{{0,12}}|\band[^\w\n]{{1,12}})?
    (?<!\w)(?:(?:final|overall)[\s_-]{{0,4}})?
    (?:match (?P<a>{_GIVES}) (?P<match>yes|no|true|false)\b(?!{_SIGNS}(?:[/|]{_SIGNS}(?:yes|no|true|false)|or\b))
      |score (?P<b>{_GIVES}) (?P<score>[+-]?\d{{1,4}}(?:\.\d{{1,4}})?)(?!\.?\d)
       (?:\s{{0,4}}(?:/|out\s+of|of)\s{{0,4}}{highest}(?:\.0+)?(?![\d%]){percent})?
       (?!\s{{0,4}}(?:[/%]|[–-]\s{{0,4}}\d|(?:to|or)\s+\d|out\s+of)))
    """
    return _Patterns(re.compile(score, re.IGNORECASE), re.compile(declared, re.IGNORECASE | re.MULTILINE | re.VERBOSE))


_REASON = re.compile(
    rf"^[^\w\n]{{0,12}}(?:\d{{1,2}}[.)]\s?)?(?:reason|reasoning|explanation){_SIGNS}[:=：]{_SIGNS}(.+)$",
    re.IGNORECASE | re.MULTILINE,
)


def read_reading(text: str, whole: bool = True, scale: Scale = DEFAULT_SCALE) -> Reading | str:
    """The judge's reading, or why there is none; see the module's text.

    Args:
        text: The reply.
        whole: Whether the judge ended it; of one that was cut off, only an object is read.
        scale: That the rubric asks for.
    """
    text = text[max((thought.end() for thought in _THOUGHT_END.finditer(text)), default=0) :]
    if _THOUGHT_BEGIN.search(text):  # one without an end
        return NOT_JSON
    try:
        found = list(_objects(text))
    except _Twice:
        return NOT_JSON
    verdicts = [(start, end, verdict) for start, end, value in found for verdict in _verdicts(value, scale)]
    if len(verdicts) == 1:
        start, end, verdict = verdicts[0]
        reading = _reading_of(verdict, scale)
        if isinstance(reading, Reading) and _says_otherwise(reading, text[:start], text[end:], scale):
            return TWO_VERDICTS
    elif verdicts:
        read = [_reading_of(v, scale) for *_, v in verdicts]
        given = {(r.match, r.score) if isinstance(r, Reading) else r for r in read}
        return TWO_VERDICTS if len(given) > 1 else NOT_JSON
    elif found or _is_json(text):
        return NOT_ASKED
    else:
        reading = _read_lines(text, scale) if whole else NOT_JSON
    if isinstance(reading, Reading) and scale.contradicts(reading.match == "yes", reading.score):
        return CONTRADICTION
    return reading


def _objects(text: str) -> Iterator[tuple[int, int, Any]]:
    """(start, end, value) of the objects in a text, one after the other. Raises _Twice where one has a name twice."""
    start = text.find("{")
    for _ in range(MOST_OBJECTS):
        if start < 0:
            return
        try:
            value, end = _JSON.raw_decode(text, start)
            yield start, end, value
        except _Twice:
            raise
        except (ValueError, RecursionError):
            end = start + 1
            flat = _FLAT.match(text, start, start + LONGEST_REPAIRED)
            repaired = _repair(flat[0]) if flat else None
            if flat and repaired is not None:
                end = flat.end()
                yield start, end, repaired
        start = text.find("{", end)


def _repair(text: str) -> dict[str, Any] | None:
    """An object with commas too many, or in Python's words; None where it is neither. Raises _Twice."""
    text = _LAST_COMMA.sub(r"\1", text)
    try:
        return dict(_JSON.decode(text))
    except _Twice:
        raise
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            tree = ast.parse(text, mode="eval").body
            if not isinstance(tree, ast.Dict):
                return None
            pairs = zip((k and ast.literal_eval(k) for k in tree.keys), map(ast.literal_eval, tree.values), strict=True)
            return _unique(list(pairs))
    except _Twice:
        raise
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _verdicts(value: Any, scale: Scale) -> Iterator[Mapping[str, Any]]:
    """The objects within an object that hold one of the names asked for."""
    names = _OTHER_NAMES.keys() if scale.rates else {"match", "pred"}
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict) and value.keys() & names:
            yield value
        elif isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value


def _match_of(value: Any) -> str | None:
    """ "yes" or "no"; None where it is neither."""
    text = str(value) if isinstance(value, bool | str) else ""
    return _WORDS.get(text.strip(" \t\r\n.!'\"*`").casefold())


def _score_of(value: Any, scale: Scale) -> int | None:
    """A rating of the scale; None where it is none."""
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    found = _patterns(scale.highest).score.fullmatch(text.strip())
    number = float(found[1]) if found else -1.0
    return int(number) if number.is_integer() and scale.holds(int(number)) else None


def _reading_of(verdict: Mapping[str, Any], scale: Scale) -> Reading | str:
    """What an object with names in lower case says."""
    match = _match_of(verdict.get("match", verdict.get("pred")))
    score = _score_of(verdict.get("score"), scale) if scale.rates else scale.rating_of(match == "yes")
    if match is None or score is None:
        return NOT_ASKED
    others = [(_match_of(verdict.get(name)), match) for name in _OTHER_NAMES["match"]]
    names = _OTHER_NAMES["score"] if scale.rates else ()
    numbers = [(_score_of(verdict.get(name), scale), score) for name in names]
    if any(other not in (None, own) for other, own in [*others, *numbers]):
        return TWO_VERDICTS
    reason = verdict.get("reason")
    given = {"reason": reason if isinstance(reason, str) else "", "match": match, "score": score}
    return Reading.model_validate(given)


def _differs(found: re.Match[str], match: str, score: int, scale: Scale) -> bool:
    """Whether what is declared is another verdict; numbers above the highest rating are of something else."""
    if found["match"]:
        return _WORDS[found["match"].lower()] != match
    return scale.rates and float(found["score"]) <= scale.highest and float(found["score"]) != score


def _is_named(found: re.Match[str]) -> bool:
    """Whether the value stands after its name and a colon or the like, not in a sentence."""
    return bool(set(found["a"] or found["b"]) & set(":=：>"))


def _says_otherwise(reading: Reading, before: str, after: str, scale: Scale) -> bool:
    """Whether the text around a verdict declares another one. Before it, sentences are thoughts on the way to it."""
    pattern = _patterns(scale.highest).declared
    declared = [found for found in pattern.finditer(before) if _is_named(found)]
    return any(_differs(f, reading.match, reading.score, scale) for f in [*declared, *pattern.finditer(after)])


def _read_lines(text: str, scale: Scale) -> Reading | str:
    """The verdict that lines such as `Match: yes` and `Score: 5` declare."""
    found = [declared for declared in _patterns(scale.highest).declared.finditer(text) if _is_named(declared)]
    ends = [0, *(declared.end() for declared in found)]
    leading = [
        declared
        for declared, end in zip(found, ends, strict=False)
        if declared["lead"] is not None or not re.search(r"\w", text[end : declared.start()])
    ]
    matches = [_WORDS[declared["match"].lower()] for declared in leading if declared["match"]]
    scores = [declared["score"] for declared in leading if declared["score"]]
    if not matches or not (scores or not scale.rates):
        return NOT_JSON
    score = _score_of(scores[0], scale) if scale.rates else scale.rating_of(matches[0] == "yes")
    if score is None:
        return NOT_ASKED
    if any(_differs(declared, matches[0], score, scale) for declared in found):
        return TWO_VERDICTS
    said = _REASON.search(text)
    reason = ""
    if said:
        starts = [declared.start() for declared in leading if said.start(1) <= declared.start() < said.end(1)]
        reason = text[said.start(1) : min([said.end(1), *starts])].strip(" \t\r\"'”’*_`,;|")
    return Reading(reason=reason, match="yes" if matches[0] == "yes" else "no", score=score)


def read_completion(payload: Any, redact: str = "", scale: Scale = DEFAULT_SCALE) -> Reply | Trouble:
    """The reply in the body of a response, on the rubric's scale; other arguments as of `calls.read_payload`."""
    found = read_payload(payload, redact)
    if isinstance(found, Trouble):
        return found
    known = (found.prompt_tokens, found.completion_tokens, found.served_model)
    if found.refusal:
        return Reply(None, None, "the judge refused", "", clean(found.refusal, redact)[:REPLY_CHARACTERS], *known)
    reading = read_reading(found.content, found.finish_reason != "length", scale)
    if isinstance(reading, Reading):
        explanation = clean(reading.reason, redact)[:EXPLANATION_CHARACTERS]
        return Reply(reading.score, reading.match == "yes", "", explanation, "", *known)
    if found.finish_reason == "content_filter":
        reading = "the judge's reply was filtered"
    elif found.finish_reason == "length" and reading != TWO_VERDICTS:
        reading = "the judge's reply was cut off at its longest"
    elif not found.content.strip():
        reading = "the judge's reply is empty"
    return Reply(None, None, reading, "", clean(found.content, redact)[:REPLY_CHARACTERS], *known)
