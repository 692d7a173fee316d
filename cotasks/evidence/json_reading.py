"""Evidence in JSON, as models write it, whole or nearly: see `cotasks.steps.lenient_json` for what is read as JSON.

    CaST-Bench      {"instances": [{"instance_name": "dog", "evidences": [{"evidence_start_time": "00:01",
                    "evidence_end_time": "00:03", "bboxes_in_time_range": {"00:01": [1, 2, 3, 4]}}]}]}
    Qwen            [{"time": 1.5, "bbox_2d": [1, 2, 3, 4], "label": "dog"}]
    lists by side   {"label": "dog", "times": [1, 2], "boxes": [[1, 2, 3, 4], [1, 2, 3, 4]]}
    by name         {"dog": {"1.5s": [1, 2, 3, 4]}}
    by moment       {"1.5s": {"dog": [1, 2, 3, 4]}}
    spans alone     {"start_time": 1, "end_time": 3}, {"time_span": [1, 3]}

What an object says of name and span holds for all within it. A box needs a moment: the key above it, or a time beside
it. Times are clocks (`00:01`) or seconds; a box of a numbered frame, or of no moment, is not read. Nor is one that is
said to be no two corners (`bbox_xywh`, `polygon`, `{"x": 1, "y": 2, "w": 3, "h": 4}`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cotasks.evidence.evidence import Evidence, Numbers, Piece, TimedBox, grouped
from cotasks.steps.json_boxes import numbers_of
from cotasks.steps.keys import kind_of, plain_key
from cotasks.steps.lenient_json import Array, Node, Object, Scalar, find_values
from cotasks.steps.times import read_clock

_SECONDS = re.compile(r"(\d{1,7}(?:\.\d{1,30})?)\s*(?:s|secs?|seconds?)?", re.IGNORECASE)
_RANGE = re.compile(r"\s*(?:-|\u2013|to|~)\s*")
_BOX_TEXT = re.compile(r"\s*[\[(]?\s*" + r"\s*,\s*".join([r"(-?\d{1,9}(?:\.\d{1,30})?)"] * 4) + r"\s*[\])]?\s*")
_NO_CORNERS = re.compile(r"xywh|cxcy|polygon|point|quad")
"""In a key: what it holds is no pair of corners."""
_ANSWERS = ("answer_choice", "answer", "final_answer", "choice", "option", "answer_letter")
_WEAK_NAMES = ("id", "text", "entity_id", "object_id", "instance_id")
_NAMES = ("instance_name", "instance", "person", "object_label", *_WEAK_NAMES)
_STRUCTURE = re.compile(
    r"instance|evidence|object|entit|track|box|time|answer|result|data|output|item|annotation|detection|step|frame|span"
    r"|segment|response|thing|list"
)


@dataclass
class _Draft:
    """A piece while its boxes are read."""

    name: str
    start: float
    end: float
    boxes: list[TimedBox] = field(default_factory=list)


@dataclass
class _Reading:
    drafts: list[_Draft] = field(default_factory=list)
    answer: str | None = None
    unread: list[str] = field(default_factory=list)
    text: str = ""
    found: int = 0
    """Spans and boxes, and what could not be read, so far."""

    def miss(self, node: Node) -> None:
        self.found += 1
        self.unread.append(" ".join(self.text[node.start : node.end].split()))


def read_seconds(text: str) -> float | None:
    """`00:01`, `1.5`, `1.5s` -> seconds; None for anything else."""
    clock = read_clock(text)
    match = _SECONDS.fullmatch(text.strip()) if clock is None else None
    return clock if match is None else float(match[1])


def read_json(text: str) -> Evidence | None:
    """The evidence in the JSON values of a text; None where no value looks like evidence."""
    reading = _Reading(text=text)
    for node in find_values(text):
        _read(node, "", None, reading)
    if not reading.drafts and not reading.unread and reading.answer is None:
        return None
    pieces = [(d.name, Piece(d.start, d.end, tuple(d.boxes))) for d in reading.drafts]
    return Evidence(grouped(pieces), reading.answer, tuple(reading.unread))


def _read(node: Node, name: str, piece: _Draft | None, reading: _Reading, moment: float | None = None) -> None:
    """Read what is within a value; `moment` is that of the key above it, where it is one."""
    if isinstance(node, Array):
        for item in node.items:
            _read(item, name, piece, reading, moment)
    if not isinstance(node, Object):
        return
    name = _name(node) or name
    spans = _spans(node, reading)
    for start, end in spans:
        piece = _Draft(name, start, end)
        reading.drafts.append(piece)
        reading.found += 1
    if piece is not None and not piece.name:
        piece.name = name
    times = _times(node) or ([] if moment is None else [moment])
    for key, value in node.pairs:
        plain, kind = plain_key(key), kind_of(key, 2)
        second = read_seconds(key)
        if second is not None and (box := _box(value)) is not None:
            _add(name, piece, second, box, reading)
        elif second is not None and isinstance(value, Array) and not any(map(_is_object, value.items)):
            _several(value, name, piece, [second] * len(value.items), reading)
        elif kind in ("box", "other box") or ("box" in plain and isinstance(value, Object)):
            _boxes(plain, value, name, piece, times, reading)
        elif isinstance(value, Scalar):
            if plain in _ANSWERS and reading.answer is None and not value.is_absent and not value.is_cut:
                reading.answer = value.text.strip()
            elif second is not None and not value.is_absent:
                reading.miss(value)
        else:
            is_name = not name and not kind and not kind_of(key, 1) and not _STRUCTURE.search(plain) and second is None
            within = key if is_name else name
            if is_name and moment is not None and (box := _box(value)) is not None:
                _add(within, piece, moment, box, reading)
            else:
                _read(value, within, piece, reading, moment if second is None else second)


def _boxes(plain: str, value: Node, name: str, piece: _Draft | None, times: list[float], reading: _Reading) -> None:
    """What a key such as `bbox_2d` holds: a box at the time beside it, one for each of the times, or boxes by moment or
    name."""
    box = _box(value)
    if _NO_CORNERS.search(plain):
        reading.miss(value)
    elif box is not None and len(times) == 1:
        _add(name, piece, times[0], box, reading)
    elif box is None and isinstance(value, Object):
        before = reading.found
        for key, item in value.pairs:
            if len(times) != 1 and read_seconds(key) is None and kind_of(key, 2) != "box" and _box(item) is not None:
                reading.miss(item)  # of no moment
        _read(value, name, piece, reading, times[0] if len(times) == 1 else None)
        if value.pairs and reading.found == before and not all(_is_absent(item) for _, item in value.pairs):
            reading.miss(value)
    elif box is None and isinstance(value, Array) and len(times) == len(value.items) > 0:
        _several(value, name, piece, times, reading)
    elif box is None and isinstance(value, Array) and any(map(_is_object, value.items)):
        _read(value, name, piece, reading, times[0] if len(times) == 1 else None)
    elif not _is_absent(value):
        reading.miss(value)


def _is_object(node: Node) -> bool:
    return isinstance(node, Object)


def _is_absent(node: Node) -> bool:
    """Whether a value says that there is nothing."""
    return (isinstance(node, Scalar) and node.is_absent) or (isinstance(node, Array) and not node.items)


def _several(value: Array, name: str, piece: _Draft | None, times: list[float], reading: _Reading) -> None:
    if not value.is_cut and all(isinstance(item, Scalar) and _box(item) is None for item in value.items):
        if value.items:
            reading.miss(value)  # numbers that are no box
        return
    for item, second in zip(value.items, times, strict=True):
        box = _box(item)
        if box is None:
            reading.miss(item)
        else:
            _add(name, piece, second, box, reading)


def _add(name: str, piece: _Draft | None, second: float, box: Numbers, reading: _Reading) -> None:
    """A box, within a span or as a moment of its own."""
    if piece is None:
        piece = _Draft(name, second, second)
        reading.drafts.append(piece)
    reading.found += 1
    piece.boxes.append(TimedBox(second, box))


def _box(node: Node) -> Numbers | None:
    if isinstance(node, Scalar):
        match = _BOX_TEXT.fullmatch(node.text) if not node.is_cut else None
        found = None if match is None else match.groups()
    else:
        found = numbers_of(node)
    if found is None:
        return None
    a, b, c, d = map(float, found)
    return a, b, c, d


def _name(node: Object) -> str:
    """What an object calls itself."""
    names: dict[bool, str] = {}
    for key, value in node.pairs:
        plain = plain_key(key)
        is_name = kind_of(key, 2) == "name" or plain in _NAMES
        is_name = is_name and isinstance(value, Scalar) and not value.is_absent and not value.is_cut
        if is_name and isinstance(value, Scalar) and read_seconds(value.text) is None and _box(value) is None:
            names.setdefault(plain in _WEAK_NAMES, " ".join(value.text.split()))
    return names.get(False) or names.get(True, "")


def _spans(node: Object, reading: _Reading) -> list[tuple[float, float]]:
    """The span of an object, in order; several where it lists them."""
    ends: dict[str, float] = {}
    for key, value in node.pairs:
        kind = kind_of(key, 1)
        if kind in ("start", "end") and isinstance(value, Scalar):
            second = read_seconds(value.text)
            if second is not None:
                ends.setdefault(kind, second)
            elif not value.is_absent:
                reading.miss(value)
        elif kind == "span":
            found = _span_values(value)
            if found:
                return found
    if len(ends) < 2:
        return []
    if ends["start"] > ends["end"]:
        reading.miss(node)
        return []
    return [(ends["start"], ends["end"])]


def _span_values(node: Node) -> list[tuple[float, float]]:
    """`[1, 3]`, `[[1, 3], [5, 6]]`, `"00:01 - 00:03"`."""
    if isinstance(node, Scalar):
        parts = [read_seconds(part) for part in _RANGE.split(node.text.strip())]
        return [(parts[0], parts[1])] if len(parts) == 2 and None not in parts and parts[0] <= parts[1] else []  # type: ignore[operator, list-item]
    if isinstance(node, Object):
        return []
    numbers = [read_seconds(item.text) for item in node.items if isinstance(item, Scalar)]
    if len(numbers) == len(node.items) == 2 and numbers[0] is not None and numbers[1] is not None:
        return [(numbers[0], numbers[1])] if numbers[0] <= numbers[1] else []
    return [span for item in node.items if isinstance(item, Array) for span in _span_values(item)]


def _times(node: Object) -> list[float]:
    """The moment of an object, or the list of moments that its boxes stand beside."""
    for key, value in node.pairs:
        if kind_of(key, 2) in ("time", "times"):
            items = value.items if isinstance(value, Array) else (value,)
            found = [read_seconds(item.text) for item in items if isinstance(item, Scalar)]
            if found and len(found) == len(items):
                return [second for second in found if second is not None] if None not in found else []
    return []
