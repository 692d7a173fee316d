"""How models word numbers, frames, moments and names where they leave the form they were asked for.

Everything here reads one thing only, or nothing: None where a wording could mean two things.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable

from cotasks.records.schema import Entity
from cotasks.steps.context import Parsed, StepContext
from cotasks.steps.times import CLOCK, plain_runs, plain_times, read_clock

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_WORDS = {word: n for n, word in enumerate(_ONES)} | _TENS
NUMBER_WORDS = tuple(_WORDS)
_ANY_WORD = "(?:" + "|".join(sorted(_WORDS, key=len, reverse=True)) + ")"
WORD_NUMBER = rf"\b{_ANY_WORD}(?:[ -]{_ANY_WORD})?(?: point(?: {_ANY_WORD})+)?\b"
"""A number from zero to ninety-nine in words, with decimals: `zero point five`, `twenty-one`."""
NUMBER = rf"(?:\d{{1,9}}(?:\.\d{{1,9}})?|{WORD_NUMBER})"

_SECONDS = re.compile(rf"(?:t\s*=\s*)?({NUMBER})\s*(s|secs?|seconds?)?", re.IGNORECASE)
_SIGN = r"(?:#|no\.|number)?"
_FRAME = re.compile(
    rf"frames?\s*{_SIGN}\s*({NUMBER})(?:\s*(?:/|of)\s*\d{{1,4}})?|(\d{{1,4}})(?:st|nd|rd|th) frame", re.IGNORECASE
)
_FRAME_OF_TIME = re.compile(r"frames?\s*(?:at\s*|@\s*)?(?=t\s*=|[\d.]+\s*s|\d+:|\d+\.\d)", re.IGNORECASE)
_BOTH = re.compile(r"([^()@,;]{1,30}?)\s*(?:[(@]|\bat\b)\s*([^()@,;]{1,30}?)\s*\)?", re.IGNORECASE)
_ALL = re.compile(
    r"(?:all|every)(?: of)?(?: the)?(?: frames?)?|(?:throughout )?(?:the )?(?:whole|entire) (?:video|clip)"
    r"|throughout(?: the (?:video|clip))?",
    re.IGNORECASE,
)
_RANGE = re.compile(
    r"\s*(?:\b(?:up )?to\b|\b(?:un)?till?\b|\bthrough\b|[–—−→~]|-+>|\.\.+|(?<=[\ds])\s*--?\s*(?=\w))\s*",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"\A(?:(?:from|between|at|during|on|in|for|around|holds?|and|then|(?:time(?: ?stamp)?|t)(?:\s*[:=])?)\s+|@\s*)+",
    re.IGNORECASE,
)
_SPACE = " \t.,;:*`"
_A_FRAME = rf"(?:frames?\s*{_SIGN}\s*)?{NUMBER}"
_POSITIONS = re.compile(
    rf"(?:(?:before|after|between|from|in)\s+)?{_A_FRAME}(?:\s*(?:to|and|through|until|till|[-–—~→])\s*{_A_FRAME})?",
    re.IGNORECASE,
)
"""One frame or a run of them, by position."""
_SPAN_NAMED_TWICE = re.compile(r"([^()\[\]]{1,60}?)\s*(?:[(\[@]|\bat\b)\s*([^()\[\]]{1,60}?)\s*[)\]]?", re.IGNORECASE)
_EDGES = " \t.,;:()[]{}<>\"'`*|"
MOMENT = (
    rf"(?:frames?\s*(?:at\s|@)?{_SIGN}\s*(?:{CLOCK}|{NUMBER}(?:\s*(?:s|secs?|seconds?)\b)?)(?:\s*(?:/|of)\s*\d{{1,4}})?"
    rf"|\d{{1,4}}(?:st|nd|rd|th) frame|{CLOCK}|(?:t\s*=\s*)?{NUMBER}\s*(?:s|secs?|seconds?)\b|t\s*=\s*{NUMBER}"
    r"|\d{1,6}\.\d{1,9}(?!\d))"
)
"""A frame or moment within a text: one that says that it is one, or has decimals."""
_ANY_MOMENT = re.compile(MOMENT, re.IGNORECASE)


def read_number(text: str) -> float | None:
    """`12`, `0.5`, `twelve`, `twenty-one`, `zero point five`."""
    try:
        return float(text)
    except ValueError:
        pass
    whole, *decimals = re.split(r"\s+point\s+", text.strip().lower())
    words = re.split(r"[ -]", whole)
    if len(words) > 2 or any(word not in _WORDS for word in words):
        return None
    if len(words) == 2 and (words[0] not in _TENS or not 0 < _WORDS[words[1]] < 10):
        return None
    digits = [_WORDS.get(word, 10) for word in decimals[0].split()] if decimals else []
    if any(digit > 9 for digit in digits):
        return None
    total = sum(_WORDS[word] for word in words)
    return float(f"{total}.{''.join(map(str, digits)) or 0}")


def read_seconds(text: str, bare: bool = False) -> float | None:
    """`3.94s`, `3.94 seconds`, `t=3.94`, `0:03` and its like; a bare number where `bare`, or where it has decimals."""
    text = text.strip(_EDGES)
    clock = read_clock(text)
    match = _SECONDS.fullmatch(text)
    if clock is not None or match is None:
        return clock
    if not (bare or match[2] or "." in match[1] or " point " in match[1].lower()):
        return None
    return read_number(match[1])


def has_unit(text: str) -> bool:
    """Whether a time says that it is one."""
    text = text.strip(_EDGES)
    match = _SECONDS.fullmatch(text)
    return read_clock(text) is not None or (match is not None and match[2] is not None)


def says_moment(text: str) -> bool:
    """Whether a text holds a frame or moment that says that it is one."""
    return _ANY_MOMENT.search(text) is not None


def nearest_frame(seconds: float, context: StepContext) -> int | None:
    """Seconds from the clip's start -> the grid frame that lies less than half a step of the grid away."""
    moment = seconds + context.clip.start_seconds
    exact = round(moment * context.fps)
    at = [frame.seconds for frame in context.frames]
    if any(frame.index == exact for frame in context.frames):
        return exact
    if len(at) < 2:
        return None
    place = min(range(len(at)), key=lambda i: abs(at[i] - moment))
    neighbor = place + (1 if moment > at[place] else -1)
    if not 0 <= neighbor < len(at):
        neighbor = 2 * place - neighbor  # beyond an end, the step on the inner side counts
    return context.frames[place].index if abs(at[place] - moment) < abs(at[neighbor] - at[place]) / 2 else None


def read_frame(text: str, context: StepContext, bare: bool = False) -> int | None:
    """A grid frame in other words: by time, `nearest_frame`; by position, `frame two`, `Frame #2`, `2`, `2nd frame`;
    by both, `frame 2 (0.5s)`.

    A time is understood in every family, a position where frames are referred to by position. A whole number without
    a unit is a position there, and elsewhere nothing, unless `bare`.
    """
    text = _LEAD.sub("", text.strip(_EDGES))
    strict = context.read_frame(text)
    if strict is not None:
        return strict
    if context.frame_reference == "position" and not has_unit(text):
        match = _FRAME.fullmatch(text) or re.fullmatch(f"({NUMBER})()", text, re.IGNORECASE)
        number = read_number(match[1] or match[2]) if match else None
        if number is not None:
            return context.read_frame(f"frame {int(number)}") if number.is_integer() else None
    seconds = read_seconds(_FRAME_OF_TIME.sub("", text), bare)
    if seconds is not None:
        return nearest_frame(seconds, context)
    return _frame_named_twice(text, context)


def _frame_named_twice(text: str, context: StepContext) -> int | None:
    """`frame 2 (0.5s)` or `0.5s (frame 2)`: the time's frame. Where positions mean something, both must be the same."""
    both = _BOTH.fullmatch(text)
    if both is None:
        return None
    number, time = both.groups() if _names_frame(both[1]) else (both[2], both[1])
    seconds = read_seconds(time) if _names_frame(number) else None
    frame = None if seconds is None else nearest_frame(seconds, context)
    if context.frame_reference == "position" and frame != read_frame(number, context):
        return None
    return frame


def _names_frame(text: str) -> bool:
    return _FRAME.fullmatch(text) is not None or text.isdigit()


def split_range(text: str) -> list[str]:
    """`0.00s - 3.94s`, `from 0.00s until 3.94s`, `between 0.00s and 3.94s` -> its two ends; one end of what is none."""
    text = _LEAD.sub("", plain_runs(text).strip(_EDGES))
    return [end.strip(_EDGES) for end in _RANGE.split(text)]


def _ends(part: str, read: Callable[[str, bool], int | None]) -> list[int | None]:
    ends = split_range(part)
    unit = any(has_unit(end) or "." in end for end in ends)
    return [read(end, unit) for end in ends]


def read_frames(text: str, context: StepContext) -> Parsed[tuple[int, ...]]:
    """Grid frames in other words: runs and single frames, listed with `;`, `,` or "and"; `all frames`."""
    # a comma inside a number may be a decimal point; between positions it is not
    comma = r",(?!\d)|(?<!\d),|," if context.frame_reference == "position" else r",(?!\d)|(?<!\d),"
    chosen: set[int] = set()
    unread = []
    for part in re.split(rf";|{comma}|&|\band\b", plain_runs(plain_times(text)), flags=re.IGNORECASE):
        if not part.strip(_EDGES):
            continue
        if re.match(r"\s*\d{1,3}\.(?!\d)", part):  # a number of a list within a line
            unread.append(part.strip())
            continue
        if _ALL.fullmatch(part.strip(_EDGES)):
            chosen.update(frame.index for frame in context.frames)
            continue
        ends = _ends(part, lambda end, bare: read_frame(end, context, bare))
        first, last = ends[0], ends[-1]
        if len(ends) > 2 or first is None or last is None or first > last:
            unread.append(part.strip())
        else:
            chosen.update(f.index for f in context.frames if first <= f.index <= last)
    return Parsed(tuple(sorted(chosen)), tuple(unread))


def read_moments(text: str, context: StepContext) -> tuple[int, int] | None:
    """Begin and end of a stretch of time, frames of the file; None unless the text holds just these, in order.

    Where frames are referred to by position, these may stand beside the seconds, `frame 3 to frame 7 at 3.94s to
    4.97s`: they must then say the same, to within one frame.
    """
    if (
        context.frame_reference == "position"
        and (both := _SPAN_NAMED_TWICE.fullmatch(text.strip(_SPACE + "[]{}<>").lstrip("("))) is not None
    ):
        positions, times = both.groups() if "frame" in both[1].lower() else (both[2], both[1])
        stretch = read_moments(times, context) if "frame" not in times.lower() else None
        return stretch if stretch is not None and _agree(positions, stretch, context) else None
    ends = split_range(plain_times(text))
    if len(ends) == 1:
        ends = [end.strip(_EDGES) for end in re.split(r",\s|\band\b", ends[0], flags=re.IGNORECASE)]
    if len(ends) != 2:
        return None
    unit = any(has_unit(end) or "." in end for end in ends)
    seconds = [read_seconds(_FRAME_OF_TIME.sub("", end), unit) for end in ends]
    if seconds[0] is None or seconds[1] is None:
        return None
    begin, end = (round((moment + context.clip.start_seconds) * context.fps) for moment in (seconds[0], seconds[1]))
    return (begin, end) if begin < end else None


def _agree(positions: str, stretch: tuple[int, int], context: StepContext) -> bool:
    """Whether frames by position are those of a stretch of time, to within one frame."""
    shown = [frame.index for frame in context.shown or context.frames]
    first, last = bisect_left(shown, stretch[0]) + 1, bisect_left(shown, stretch[1])
    if _POSITIONS.fullmatch(positions.strip(_SPACE)) is None:
        return False
    told = [read_number(number) for number in re.findall(NUMBER, positions, re.IGNORECASE)]
    if "between" in positions.lower() or "after" in positions.lower():
        first, last = min(first, last), max(first, last)
    numbers = [number for number in told if number is not None]
    return 1 <= len(numbers) == len(told) <= 2 and abs(numbers[0] - first) <= 1 and abs(numbers[-1] - last) <= 1


def read_stretches(text: str, context: StepContext) -> tuple[tuple[int, int], ...]:
    """One or several stretches of time, `0.10s to 0.50s; 1.00s to 1.60s`; none unless each can be read."""
    whole = read_moments(text, context)
    if whole is not None:
        return (whole,)
    parts = re.split(r";|,(?!\d)|\band\b|&", plain_runs(plain_times(text)), flags=re.IGNORECASE)
    found = [
        read_moments(part, context) if len(split_range(part)) == 2 else None for part in parts if part.strip(_EDGES)
    ]
    return tuple(one for one in found if one is not None) if None not in found else ()


def plain_name(name: str) -> str:
    """A name without article, quotes around it and remarks in brackets: `the "adult #1" (left)` -> `adult 1`."""
    name = re.sub(r"\s*[(\[]#?(\d{1,3})[)\]]?$", r" \1", name.strip(" \t.,:\"'`*[]{}"))
    name = re.sub(r"\s+[(\[{<][^()\[\]{}<>]*[)\]}>]?$", "", name).strip(" \"'`*")
    name = re.sub(r"^(?:the|an?)\s+", "", name, flags=re.IGNORECASE)
    return re.sub(r"\s*(?:#|\bno\.|\bnumber\b)\s*(\d+)$", r" \1", " ".join(name.split())).strip(" \"'`*")


def known_entity(name: str, context: StepContext) -> Entity | None:
    """The entity that a name means in other words: `the adult #1`, `adult_1`, `adult one`, `Adult1`; a part of a
    slashed name, `ball` for `ball/sports ball`, where no other category has it."""
    known, parts = context.entity_of_name, context.entity_of_part
    plain = plain_name(name).lower().replace("_", " ")
    spaced = re.sub(r"(?<=[^\W\d])-?(\d+)$", r" \1", plain)
    word = re.search(rf"\s({_ANY_WORD})$", plain)
    counted = plain[: word.start()] + f" {_WORDS[word[1]]}" if word else plain
    joined = re.sub(r"\s*/\s*", "/", spaced.replace("-", " "))
    wordings = (name.lower(), plain, spaced, counted, joined)
    return next((names[text] for names in (known, parts) for text in wordings if text in names), None)


def find_entity(name: str, context: StepContext) -> Entity | None:
    """As `known_entity`; a name that the context does not know is asked for plainly, so that it may be opened."""
    return known_entity(name, context) or context.entity(plain_name(name))
