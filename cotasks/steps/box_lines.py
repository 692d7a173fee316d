"""The boxes of one line, with the frames and entities that stand before or behind them.

    name first          dog: 0.5s [1, 2, 3, 4]; 1.0s [1, 2, 3, 4]
    frame first         0.5s: dog [1, 2, 3, 4], adult 1 [1, 2, 3, 4]
    frame behind        dog [1, 2, 3, 4] at 0.5s, adult 1 [1, 2, 3, 4] at 0.5s
    name behind         0.5s: [1, 2, 3, 4] dog; 1.0s: [1, 2, 3, 4] dog
    from a heading      "dog:" or "At 0.5s:" on a line of its own, above lines without one
    in tags             the <obj>dog</obj><box>[1, 2, 3, 4]</box> at <t>0.5</t>s jumps over ...

A box whose frame or entity does not follow from one of these orders stays unread, as does every box of a line that
mixes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cotasks.records.boxes import parse_box
from cotasks.records.schema import Box, Entity
from cotasks.steps import entity_tracking
from cotasks.steps.context import StepContext
from cotasks.steps.tagged import NAME_CLOSES, NAME_OPENS, TIME_CLOSES, TIME_OPENS
from cotasks.steps.wording import MOMENT, NUMBER, find_entity, known_entity, read_frame, read_number

_COORDINATE = rf"\s*(?:[\"']?[xy](?:[12]|_?min|_?max)?[\"']?\s*[=:]\s*)?(-?{NUMBER})\s*(?:px)?\s*"
_DIGITS = r"(-?\d{1,9}(?:\.\d{1,9})?)"
_POINT = rf"[(\[]\s*{_DIGITS}\s*,\s*{_DIGITS}\s*[)\]]"
BOX = re.compile(
    rf"[\[({{<]{{1,2}}{'[,;]'.join([_COORDINATE] * 4)}[\])}}>]{{1,2}}"
    rf"|[\[({{<]{{1,2}}\s*{_DIGITS}\s+{_DIGITS}\s+{_DIGITS}\s+{_DIGITS}\s*[\])}}>]{{1,2}}"
    rf"|[\[(]?{_POINT}\s*(?:,|-|to)?\s*{_POINT}(?:\s*[\])])?",
    re.IGNORECASE,
)
"""Four numbers in brackets of any kind, or two points; its groups that are not empty are the numbers."""

_MOMENTS = re.compile(rf"(?<![\w.])(?:{MOMENT})(?!\w)(?:\s*[(@]\s*(?:{MOMENT})\s*\)?)?", re.IGNORECASE)
_BEFORE = re.compile(
    r"(?:[\s:;=,.@|()\[\]\"'`*<>#–—→+-]"
    r"|\b(?:is|are|appears|seen|shown|visible|positioned|located|at|in|on|and|then|bbox(?:_2d)?|box|bounding box|time"
    r"|coordinates?)\b)+$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"^(?:[\s:;=,.@|()\[\]\"'`*<>–—→+-]"
    r"|\b(?:and|then|at|in|on|is|of|for|(?:object|entity|label|name|subject)(?=\s*[:=]))\b)+",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(.{0,60}?[^\W\d]\s?\d{1,3}):(?=\d)")
_MARKED = re.compile(f"{NAME_OPENS}(.*?){NAME_CLOSES}|{TIME_OPENS}(.*?){TIME_CLOSES}")


@dataclass(frozen=True)
class _Name:
    entity: Entity | None


@dataclass(frozen=True)
class _At:
    frame: int | None


_Word = _Name | _At
Found = tuple[Entity | None, int | None]
"""(whose, on which frame); None for what is not known."""


@dataclass(frozen=True)
class Heading:
    """What lines above say of those below."""

    entity: Entity | None = None
    frame: int | None = None
    is_by_frame: bool = False
    """Whether entities stand below a frame, rather than frames below an entity."""

    def below(self, entity: Entity | None, frame: int | None, is_frame_first: bool) -> Heading:
        """The heading once a line has named an entity, a frame or both."""
        if entity is not None and frame is not None:
            return Heading(entity, frame, is_frame_first)
        if entity is not None:
            return Heading(entity, self.frame, True) if self.is_by_frame else Heading(entity)
        if self.entity is not None and not self.is_by_frame:
            return Heading(self.entity, frame)
        return Heading(None, frame, True)


def read_heading(line: str, heading: Heading, context: StepContext) -> Heading | None:
    """The heading that a line without boxes is; None where it is none."""
    spoken = _MARKED.sub("", line)
    if BOX.search(line) or not line or (spoken != line and re.search(r"[\[({]", spoken)):
        return None
    words = _words(line, context, is_known=True)
    names = [word for word in words if isinstance(word, _Name)]
    moments = [word for word in words if isinstance(word, _At)]
    if not words or len(names) > 1 or len(moments) > 1:
        return None
    entity = names[0].entity if names else None
    frame = moments[0].frame if moments else None
    if (names and entity is None) or (moments and frame is None):
        return None
    return heading.below(entity, frame, isinstance(words[0], _At))


def boxes_of_line(line: str, heading: Heading, context: StepContext) -> tuple[list[tuple[Entity, Box]], list[str]]:
    """The boxes of a line with their entities, and what was left of it."""
    matches = list(BOX.finditer(line))
    if not matches:
        return [], [line]
    edges = [0, *(match.end() for match in matches)]
    between = [line[edges[i] : match.start()] for i, match in enumerate(matches)] + [line[edges[-1] :]]
    # beside times in tags, those of the prose around mean nothing
    spoken = [_words(text, context, has_marks=TIME_OPENS in line) for text in between]
    found: list[tuple[Entity, Box]] = []
    left: list[str] = []
    is_named = heading.entity is not None or any(isinstance(word, _Name) for word in spoken[0])
    is_timed = heading.frame is not None or any(isinstance(word, _At) for word in spoken[0])
    # what stands behind the last box is its own where nothing stands before, or begins another item that was cut off
    is_cut = re.search(r"[;\[]", between[-1]) is not None
    names_twice = is_named and any(isinstance(word, _Name) and word.entity for word in spoken[-1])
    times_twice = is_timed and any(isinstance(word, _At) for word in spoken[-1])
    is_doubtful = (names_twice or times_twice) and not is_cut
    for match, (entity, frame) in zip(matches, _assign(spoken, heading), strict=True):
        box = None
        if entity is not None and frame is not None and not is_doubtful:
            box = read_box([n for n in match.groups() if n], frame, context)
        if entity is None or box is None:
            left.append(match[0])
        else:
            found.append((entity, box))
    is_own = not is_named and [type(word) for word in spoken[-1]] == [_Name]
    if is_timed and not is_own and TIME_OPENS not in line and re.search(r"[\d\[(]", between[-1]):
        left.append(between[-1].strip())
    return found, left


def read_box(numbers: Sequence[str], frame: int, context: StepContext) -> Box | None:
    """Four numbers as they stand in a text -> a box; None where they can be none in the context's coordinates."""
    values = [read_number(number) for number in numbers]
    x1, y1, x2, y2 = (math.nan if value is None else value for value in values)
    if not entity_tracking.is_in_frame((x1, y1, x2, y2), context.coordinates) or x1 > x2 or y1 > y2:
        return None
    return Box(frame, parse_box((x1, y1, x2, y2), context.source_size, context.coordinates), generated=False)


def _assign(spoken: Sequence[Sequence[_Word]], heading: Heading) -> Iterator[Found]:
    """For each box the entity and frame that are said of it.

    Args:
        spoken: what stands before the first box, between each two, and behind the last.
    """
    names_behind = heading.entity is None and not any(isinstance(word, _Name) for word in spoken[0])
    frames_behind = heading.frame is None and not any(isinstance(word, _At) for word in spoken[0])
    entity, frame = heading.entity, heading.frame
    is_frame_first = heading.frame is not None
    for i in range(len(spoken) - 1):
        before, after = list(spoken[i]), list(spoken[i + 1])
        mixed = False
        if names_behind != frames_behind and i > 0:
            # one of the two belongs to the box before, and so stands first
            first, second = (_Name, _At) if names_behind else (_At, _Name)
            mixed |= _order(before) not in ([first], [second], [first, second], [])
        if names_behind != frames_behind and i < len(spoken) - 2:
            first, second = (_Name, _At) if names_behind else (_At, _Name)
            mixed |= _order(after) not in ([first], [second], [first, second], [])
        names = [word.entity for word in (after if names_behind else before) if isinstance(word, _Name)]
        names = [name for name in names if name is not None] or names[:1]  # beside a name, prose is none
        moments = [word.frame for word in (after if frames_behind else before) if isinstance(word, _At)]
        if len(names) > 1 or len(moments) > 1:
            mixed = True
        if names:
            entity = names[0]
        elif names_behind:
            entity = None
        if moments:
            frame = moments[0]
            is_frame_first |= i == 0 and not frames_behind and (not names or isinstance(before[0], _At))
        elif frames_behind or (i > 0 and not is_frame_first):
            frame = None
        yield (None, None) if mixed else (entity, frame)


def _order(words: Sequence[_Word]) -> list[type]:
    return [type(word) for word in words]


def _words(text: str, context: StepContext, has_marks: bool = False, is_known: bool = False) -> list[_Word]:
    """The names and frames that a text before or behind a box holds, in their order.

    Args:
        has_marks: whether the line marks its times.
        is_known: take names only that the context knows, and a bare number for nothing.
    """
    if NAME_OPENS in text or TIME_OPENS in text:
        return list(_marked_words(text, context))
    if has_marks:
        return []
    text = _AFTER.sub("", _BEFORE.sub("", text)).strip()
    if not text:
        return []
    numbered = _NUMBERED.match(text)
    if numbered is not None and known_entity(numbered[1], context) is not None:
        text = f"{numbered[1]}: {text[numbered.end() :]}"  # adult 1:34.04s is no clock
    if not is_known or _MOMENTS.search(text):
        frame = read_frame(text, context)
        if frame is not None:
            return [_At(frame)]
    words: list[_Word] = []
    end = 0
    for match in _MOMENTS.finditer(text):
        words += _name(text[end : match.start()], context, is_known)
        words.append(_At(read_frame(match[0], context)))
        end = match.end()
    if not words:  # a position or whole seconds, behind a colon
        name, colon, rest = text.rpartition(": ")
        frame = read_frame(rest, context) if colon and not is_known else None
        if frame is not None:
            return [*_name(name, context, is_known), _At(frame)]
    return [*words, *_name(text[end:], context, is_known)]


def _marked_words(text: str, context: StepContext) -> Iterator[_Word]:
    """The names and times in tags; a text without times in tags may have one moment in its prose."""
    end = 0
    has_times = TIME_OPENS in text
    for match in [*_MARKED.finditer(text), None]:
        prose = text[end : match.start() if match else len(text)]
        moments = [] if has_times else [_At(read_frame(one[0], context)) for one in _MOMENTS.finditer(prose)]
        yield from moments
        if match is not None:
            end = match.end()
            yield _At(read_frame(match[2], context)) if match[1] is None else _Name(find_entity(match[1], context))


def _name(text: str, context: StepContext, is_known: bool) -> list[_Word]:
    """The name in a text, alone or behind prose: `In the video, adult 1`."""
    name = _AFTER.sub("", _BEFORE.sub("", text)).strip()
    if not re.search(r"\w", name):
        return []
    last = re.split(r"[,:]\s", name)[-1]
    entity = known_entity(name, context)
    if entity is None and not is_known and last:
        entity = find_entity(last, context)
    return [_Name(entity)]
