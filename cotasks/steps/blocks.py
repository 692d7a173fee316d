"""A model's text as lines and structured values, in order.

    thoughts            what precedes the last </think> is left out, a thought that was never closed is no answer
    JSON                every object and array of objects or lists, wherever it stands: see `lenient_json`
    tables              | Entity | Time | Box | and the rows below it, Markdown or comma-separated: an object a row
    records             "Entity: dog", "Time: 0.5s", "Box: [1, 2, 3, 4]", on a line each or on one: an object
    lines               all else, without the tags of `tagged` and with its plain punctuation

A row of a table whose head says nothing is a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cotasks.steps.context import StepContext
from cotasks.steps.keys import CORNERS, kind_of, plain_key
from cotasks.steps.lenient_json import Array, Node, Object, Scalar, find_values, scalars
from cotasks.steps.tagged import plain_characters, plain_tags
from cotasks.steps.times import plain_times
from cotasks.steps.wording import known_entity, read_frame

_CORNER_KEYS = frozenset(key for corners in CORNERS for key in corners)
_RULE = re.compile(r"[\s|:+-]*-{2,}[\s|:+-]*")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)__|__(?!\w)")
_THOUGHT_OPENS, _THOUGHT_CLOSES = "<think>", "</think>"
_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_KEY = r"[^\W\d_](?:[^:=|,;\n\[\](){}\"'.]{0,24}\w)?(?:\s*\([^()\n]{0,30}\))?"
_RECORD = re.compile(rf"[\s*+•>#-]*(?:\d{{1,3}}[.)]\s+)?({_KEY})\s*[:=]\s*(.+)", re.DOTALL)
_NEXT_PAIR = re.compile(rf"\s*[,;|]\s*(?={_KEY}\s*[:=]\s)")


@dataclass(frozen=True)
class Line:
    text: str
    """What is read: runs of blanks as one, no tags, plain punctuation."""
    stood: str
    """The line as it stood, but for runs of blanks."""
    is_last: bool = False
    """Whether the text ends with it, so that its end may be cut off."""


@dataclass(frozen=True)
class Value:
    node: Array | Object
    whole: str
    """The text that the places of `node` refer to."""

    def stood(self, node: Node) -> str:
        """A part of the value as it stood, but for runs of blanks."""
        return " ".join(self.whole[node.start : node.end].split())


Block = Line | Value


@dataclass(frozen=True)
class _Source:
    """A text and what it answers to."""

    text: str
    plain: str
    """The text with plain characters, each in its place."""
    step: int
    context: StepContext

    def stood(self, place: tuple[int, int]) -> str:
        return " ".join(self.text[place[0] : place[1]].split())

    def read(self, place: tuple[int, int]) -> str:
        return self.plain[place[0] : place[1]]


Places = list[tuple[int, int]]
"""[start, end) of each line."""


def split_blocks(text: str, step: int, context: StepContext) -> list[Block]:
    """The blocks of a text; lines without anything but blanks are left out."""
    source = _Source(text, plain_characters(text), step, context)
    begin = source.plain.rfind(_THOUGHT_CLOSES)
    begin = 0 if begin < 0 else begin + len(_THOUGHT_CLOSES)
    end = source.plain.find(_THOUGHT_OPENS, begin)
    if end >= 0:  # never closed: what stands there was not said
        thought = Line(_THOUGHT_OPENS, " ".join(text[end:].split()))
        return [*split_blocks(text[:end], step, context), thought]
    blocks: list[Block] = []
    at = begin
    for node in find_values(source.plain):
        if node.start >= begin and _is_structured(node, source.plain):
            blocks += _lines(source, at, node.start)
            blocks.append(Value(node, text))
            at = node.end
    return blocks + _lines(source, at, len(text))


def _is_structured(node: Array | Object, text: str) -> bool:
    """Whether a bracket is a value rather than part of a line: `[1, 2, 3, 4]`, `["dog", "next to", "ball"]: 0.5s`."""
    if isinstance(node, Object):
        return any(plain_key(key) not in _CORNER_KEYS for key, _ in node.pairs)
    if any(isinstance(item, Object) for item in node.items):
        return True
    if any(isinstance(item, Array) for item in node.items):
        return any(scalar.is_quoted for scalar in scalars(node))
    is_line = text[node.end : node.end + 3].lstrip().startswith(":")
    return not is_line and any(
        isinstance(item, Scalar) and item.is_quoted and re.search(r"[\[(]|: ", item.text) for item in node.items
    )


def _lines(source: _Source, start: int, end: int) -> list[Block]:
    """The blocks of a stretch without JSON."""
    if start > 0 or end < len(source.plain):
        rest = source.read((start, end)).strip(" \n\t\r[],`" if start > 0 else " \n\t\r[,")
        if not rest:
            return []
    places = [(start + match.start(), start + match.end()) for match in _LINE.finditer(source.plain[start:end])]
    places = [place for place in places if source.read(place).strip()]
    blocks: list[Block] = []
    i = no_record = 0
    while i < len(places):
        taken, found = _table(source, places, i)
        if not taken and i >= no_record:
            taken, found = _records(source, places, i)
            if not found:  # nor do any begin further down in the same pairs
                no_record, taken = i + taken, 0
        if not taken:
            line = " ".join(source.read(places[i]).split())
            found = [Line(line, source.stood(places[i]), is_last=not source.plain[places[i][1] :].strip())]
        blocks += found
        i += max(taken, 1)
    return blocks


def read_line(line: Line, with_boxes: bool) -> str:
    """What a line says without tags and Chinese words of time."""
    return plain_times(plain_tags(line.text, with_boxes))


# --- tables ---


def _table(source: _Source, places: Places, first: int) -> tuple[int, list[Block]]:
    """(how many lines a table takes, its rows as objects); (0, []) where none begins whose head says something."""
    head = source.read(places[first])
    mark = "|" if "|" in head else "\t" if "\t" in head.strip() else ","
    if mark not in head or len(places) < first + 2:
        return 0, []
    heads = _cells(head, mark)
    has_rule = mark == "|" and _RULE.fullmatch(source.read(places[first + 1])) is not None
    meant = [_is_head(cell, source) for cell in heads]
    if len(heads) < 2 or not any(meant) or not (has_rule or (all(meant) and len(heads) > 2)):
        return 0, []
    if not has_rule and any(re.search(r"[\[(\d]", cell) and plain_key(cell) not in _CORNER_KEYS for cell in heads):
        return 0, []
    rows: list[Block] = []
    taken = 1 + has_rule
    for place in places[first + taken :]:
        cells = _cells(source.read(place), mark)
        if mark not in source.read(place) or len(cells) != len(heads):
            break
        pairs = [(key, _scalar(source, cell, key, place)) for key, cell in zip(heads, cells, strict=True) if cell]
        rows.append(Value(Object(tuple(pairs), *place), source.text))
        taken += 1
    return (taken, rows) if rows or has_rule else (0, [])


def _cells(row: str, mark: str) -> list[str]:
    row = row.strip()
    if mark == "|":
        row = row.removeprefix("|").removesuffix("|")
    return [" ".join(_EMPHASIS.sub("", plain_tags(cell, False)).split()) for cell in row.split(mark)]


def _is_head(cell: str, source: _Source) -> bool:
    if kind_of(cell, source.step) or plain_key(cell) in _CORNER_KEYS:
        return True
    is_name = known_entity(cell, source.context) is not None or read_frame(cell, source.context) is not None
    return source.step == 2 and is_name


def _scalar(source: _Source, value: str, key: str, place: tuple[int, int]) -> Scalar:
    """The value of a cell or pair; it is cut where the text ends with it, on a number that may have lost digits."""
    number = re.search(r"(?<![\d:.])\d+(?:\.(\d*))?$", value)
    is_cut = number is not None and place[1] == len(source.plain) and source.read(place).endswith(value)
    if is_cut and number is not None and plain_key(key) not in _CORNER_KEYS:
        is_position = source.context.frame_reference == "position" and "frame" in value.lower()
        is_cut = not is_position and len(number[1] or "") != source.context.decimals
    return Scalar(value, *place, is_cut=is_cut)


# --- records ---

_NEEDED = {2: ({"box"},), 3: ({"subject", "predicate", "object"}, {"triple"})}
_NEEDED[4] = _NEEDED[3]


def _records(source: _Source, places: Places, first: int) -> tuple[int, list[Block]]:
    """(how many lines of `key: value` begin here, the records in them as objects)."""
    if source.step == 1:
        return 0, []
    pairs: list[tuple[str, str, tuple[int, int]]] = []
    taken = 0
    for place in places[first:]:
        found = list(_pairs(source.read(place), source.step))
        if not found:
            break
        pairs += [(key, value, place) for key, value in found]
        taken += 1
    records: list[Block] = []
    current: dict[str, tuple[str, str, tuple[int, int]]] = {}
    kinds = [kind_of(key, source.step) for key, _, _ in pairs]
    for kind, pair, next_kind in zip(kinds, pairs, [*kinds[1:], None], strict=False):
        if kind in current:  # what stood above it holds for the next record too
            current = dict(list(current.items())[: list(current).index(kind)])
        current[kind] = pair
        is_complete = any(needed <= current.keys() for needed in _NEEDED[source.step]) and len(current) > 1
        if is_complete and (next_kind is None or next_kind in current):
            parts = list(current.values())
            values = tuple((key, _scalar(source, value, key, place)) for key, value, place in parts)
            start, end = min(place[0] for _, _, place in parts), max(place[1] for _, _, place in parts)
            records.append(Value(Object(values, start, end), source.text))
    return taken, records


def _pairs(line: str, step: int) -> Iterator[tuple[str, str]]:
    """(key, value) of each `key: value` of a line, all of them keys of the step; nothing where one is not."""
    line = " ".join(_EMPHASIS.sub("", plain_tags(line, False)).split())
    found = []
    for part in _NEXT_PAIR.split(line):
        match = _RECORD.fullmatch(part)
        if match is None or not kind_of(match[1], step):
            return
        found.append((match[1], match[2].strip().rstrip(",;")))
    yield from found
