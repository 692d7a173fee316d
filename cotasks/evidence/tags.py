"""Evidence in tags, within prose or thought, as Open-o3 Video writes it.

    <obj>dog</obj><box>[1, 2, 3, 4]</box>at<t>1.5</t>s
    from <t>1.0</t>s to <t>3.0</t>s          a span; of the thing named right before it, or of nothing named

A box belongs to the last thing named before it and to the next moment behind it; where none comes before another thing
is named, it is not read.
"""

from __future__ import annotations

import re

from cotasks.evidence.evidence import Evidence, Numbers, Piece, TimedBox, grouped
from cotasks.evidence.json_reading import read_seconds

_TAG = re.compile(
    r"<(?P<name>obj|object|ref)>\s*(?P<named>[^<>]{1,200}?)\s*</(?P=name)>"
    r"|<(?P<box>box|bbox|bbox_2d)>(?P<numbers>[^<>]{1,2000}?)</(?P=box)>"
    r"|<(?P<time>t|time|timestamp)>\s*(?P<second>[^<>]{1,40}?)\s*</(?P=time)>",
    re.IGNORECASE,
)
_DIGITS = r"(-?\d{1,9}(?:\.\d{1,30})?)"
_FOUR = re.compile(rf"(?<![\d.]){_DIGITS}" + rf"(?:\s*[,;]\s*|\s+){_DIGITS}" * 3 + r"(?![\d.]*\d)")
_TO = re.compile(r"\s*s?\s*(?:to|until|till|-|\u2013|~)\s*", re.IGNORECASE)
_BEFORE_SPAN = re.compile(r"\W*(?:at|from|between|during|in)?\W*", re.IGNORECASE)


def read_tags(text: str) -> Evidence | None:
    """The evidence in the tags of a text; None where there is no moment in tags."""
    pieces: list[tuple[str, Piece]] = []
    unread: list[str] = []
    name, waiting = "", list[Numbers]()
    last_time: tuple[int, float] | None = None  # (where it ends, second)
    named_until = -1
    has_time = False
    for match in _TAG.finditer(text):
        if match["named"] is not None:
            unread += [f"{name}: {list(box)}" for box in waiting]
            name, waiting, named_until = " ".join(match["named"].split()), [], match.end()
            last_time = None
        elif match["numbers"] is not None:
            found = _FOUR.findall(match["numbers"])
            unread += [] if found else [match[0]]
            waiting += [(float(a), float(b), float(c), float(d)) for a, b, c, d in found]
            last_time = None
        else:
            second = read_seconds(match["second"])
            if second is None:
                unread.append(match[0])
                continue
            has_time = True
            if waiting:
                pieces += [(name, Piece(second, second, (TimedBox(second, box),))) for box in waiting]
                waiting, last_time = [], None
                continue
            if last_time is not None and _TO.fullmatch(text[last_time[0] : match.start()]) and last_time[1] <= second:
                pieces.append((name if named_until >= 0 else "", Piece(last_time[1], second)))
                last_time = None
                continue
            is_of_thing = named_until >= 0 and _BEFORE_SPAN.fullmatch(text[named_until : match.start()])
            if not is_of_thing:
                named_until = -1
            last_time = match.end(), second
    unread += [f"{name}: {list(box)}" for box in waiting]
    return Evidence(grouped(pieces), None, tuple(unread)) if has_time or unread else None
