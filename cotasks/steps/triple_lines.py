"""The triple of one line, and what the line says of when it holds.

    brackets            (dog, next to, ball): 0.5s, of any kind or none; "0.5s: (dog, next to, ball)"
    times inside        (dog, next to, ball, 0.5s), (adult 1, hold, ball, 0.0s, 1.0s)
    arrows              dog -> next to -> ball: 0.5s, dog --next to--> ball, dog | next to | ball | 0.5s, dog - on - mat
                        (0.5s), [dog] next to [ball]: 0.5s
    as a predicate      next_to(dog, ball): 0.5s

Sentences ("the dog is next to the ball at 0.5s") have no form that says where a predicate begins, and stay unread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cotasks.steps.context import StepContext
from cotasks.steps.wording import find_entity, says_moment

Triple = tuple[int, str, int]

_OPENS, _CLOSES = re.compile(r"[\[({<]{1,2}"), re.compile(r"[\])}>]{1,2}")
_PREDICATE = re.compile(r"[^\W\d_][^\[\]{}<>:]{0,59}")
_ARROWS = re.compile(r"\s*(?:-{2,}>?|->|→|⟶|=>)\s*(?:\[|\()?|\s+[-–—|]\s+")
_CALL = re.compile(r"[\s*]*([^\W\d_][\w ]{0,40}?)\s*")
_ROLE = re.compile(
    r"\A(?:start|begin|end|from|to|until)(?:[_ ]?time)?(?:s|ning)?\b\s*[=:]?\s*(?:at\b)?\s*", re.IGNORECASE
)
_LINKED = re.compile(r"[\[(<]([^\[\](){}<>]{1,60})[\])>]\s+([^\W\d_][\w ]{0,40}?)\s+[\[(<]([^\[\](){}<>]{1,60})[\])>]")
_WHEN_BEHIND = re.compile(r"(.*\S)\s*\(([^()]*\d[^()]*)\)")
_EDGES = " \t\"'`*"
_TRIPLE = re.compile(r"[\[({<]{1,2}([^\W\d](?:[^\[\](){}<>]|\([^(),]{1,30}\)){1,120}?)[\])}>]{1,2}")
_ANOTHER = re.compile(r"[\[({<][^\W\d][^\[\](){}<>,;|]*[,;|][^\[\]{}<>,;|]*[,;|]")


@dataclass(frozen=True)
class Reading:
    """What a line can be taken for."""

    triple: Triple
    rest: str = ""
    """When it holds, as the line has it; empty where the line does not say."""
    pair: tuple[str, str] | None = None
    """Two moments in place of `rest`."""
    is_before: bool = False
    """Whether `rest` stands before the triple: prose may stand there as well."""


def triples_at_one_time(line: str, context: StepContext) -> list[Reading] | None:
    """`0.5s: (dog, next to, ball), (adult 1, behind, dog)`; None where a line holds fewer than two triples in brackets.
    Where the time does not stand first, nobody can say whose it is: no reading then."""
    places = [place for place in _TRIPLE.finditer(line) if len(re.split(r"[,;|]", place[1])) > 2]
    places = [place for place in places if not says_moment(re.split(r"[,;|]", place[1])[0])]
    if len(places) < 2:
        return None
    found = [next(_in_brackets("", place[1], "", context), None) for place in places]
    between = [line[a.end() : b.start()] for a, b in pairwise(places)] + [line[places[-1].end() :]]
    if any(re.search(r"\w", text.replace("and", "")) for text in between) or None in found:
        return []
    return [replace(one, rest=line[: places[0].start()], is_before=True) for one in found if one is not None]


def readings(line: str, context: StepContext) -> Iterator[Reading]:
    """All that a line can be taken for, the best first."""
    opens = [(match.start(), match.end()) for match in _OPENS.finditer(line)][:3]
    closes = [(match.start(), match.end()) for match in _CLOSES.finditer(line)][:6]
    for start, inner in opens:
        for close, end in closes:
            if close > inner:
                yield from _in_brackets(line[:start], line[inner:close], line[end:], context)
    linked = _LINKED.match(line)
    triple = _triple(context, *linked.groups()) if linked else None
    if linked is not None and triple is not None:
        yield Reading(triple, line[linked.end() :].lstrip(" :=–—->→,*`"))
    head, colon, rest = line.partition(": ")
    behind = _WHEN_BEHIND.fullmatch(line)
    if behind is not None and not colon:
        yield from _arrows(behind[1], behind[2], context)
    for triple_text, when in ((head, rest), (rest, head)) if colon else ((line.rstrip(": "), ""),):
        yield from _in_brackets("", triple_text, when, context)
        yield from _arrows(triple_text, when, context)


def _in_brackets(before: str, inner: str, after: str, context: StepContext) -> Iterator[Reading]:
    parts = [part.strip(_EDGES) for part in re.split(r"[,;|]", inner)]
    after = after.lstrip(" :=–—->→,*`")
    has_after = re.search(r"\w", after) is not None
    if len(parts) == 2:
        call = _CALL.fullmatch(before)
        triple = _triple(context, parts[0], call[1], parts[1]) if call else None
        if triple is not None:
            yield Reading(triple, after if has_after else "")
        return
    triple = _triple(context, *parts[:3]) if 3 <= len(parts) <= 5 else None
    if triple is None:
        return
    if _ANOTHER.search(after):
        return  # its times would join those of this one
    if len(parts) == 3:
        yield Reading(triple, after) if has_after else Reading(triple, _spoken(before), is_before=True)
    elif not has_after:
        yield _with_times(triple, parts[3:])


def _with_times(triple: Triple, times: Sequence[str]) -> Reading:
    """One time, or two: a begin and an end if they say so."""
    plain = [_ROLE.sub("", time) for time in times]
    if len(plain) == 2 and plain == list(times):
        return Reading(triple, pair=(plain[0], plain[1]))
    return Reading(triple, " to ".join(plain))


def _spoken(text: str) -> str:
    return text if re.search(r"\w", text) else ""


def _arrows(text: str, when: str, context: StepContext) -> Iterator[Reading]:
    parts = [part.strip(_EDGES + "[]" + "()" * (i != 1)) for i, part in enumerate(_ARROWS.split(text))]
    if 3 <= len(parts) <= 5:
        triple = _triple(context, *parts[:3])
        if triple is not None and len(parts) == 3:
            yield Reading(triple, when)
        elif triple is not None and not when:
            yield _with_times(triple, parts[3:])


def _triple(context: StepContext, subject: str, predicate: str, object_: str) -> Triple | None:
    if not _PREDICATE.fullmatch(predicate):
        return None
    one, other = find_entity(subject, context), find_entity(object_, context)
    if one is None or other is None:
        return None
    return one.tid, predicate.replace(" ", "_"), other.tid
