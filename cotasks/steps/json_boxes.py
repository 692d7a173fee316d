"""The boxes in structured values, for step 2.

    a list of boxes     [{"bbox_2d": [1, 2, 3, 4], "label": "dog", "time": 0.5}]
    by entity           {"dog": [{"time": 0.5, "box": [1, 2, 3, 4]}]}, {"dog": {"0.5s": [1, 2, 3, 4]}}
    by frame            {"0.5s": {"dog": [1, 2, 3, 4]}}, {"time": 0.5, "objects": [{"label": "dog", "bbox": [...]}]}
    lists side by side  {"label": "dog", "times": [0.5, 1.0], "boxes": [[1, 2, 3, 4], [1, 2, 3, 4]]}
    lists of values     ["dog", 0.5, [1, 2, 3, 4]], ["dog", "0.5s", 1, 2, 3, 4]
    corners             {"x1": 1, "y1": 2, "x2": 3, "y2": 4}, {"top_left": [1, 2], "bottom_right": [3, 4]}
    boxes as text       "[1, 2, 3, 4]", "(1,2),(3,4)"; lines of step 2 as text: {"dog": "0.5s [1, 2, 3, 4]"}

A name or a time holds for all that stands within its object. Keys that are neither names nor known words are passed
through where an entity is known, and are names where none is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cotasks.steps.box_lines import BOX
from cotasks.steps.context import StepContext
from cotasks.steps.keys import CORNERS, kind_of, plain_key
from cotasks.steps.lenient_json import Array, Node, Object, Scalar, scalars
from cotasks.steps.times import plain_times
from cotasks.steps.wording import known_entity, read_frame

_DIGITS = r"-?\d{1,9}(?:\.\d{1,30})?"
_NUMBER = re.compile(rf"({_DIGITS}(?:e[+-]?\d{{1,2}})?)\s*(?:px)?", re.IGNORECASE)
_FOUR = re.compile(rf"(?<![\d.])({_DIGITS})" + rf"(?:\s*[,;]\s*|\s+)({_DIGITS})" * 3 + r"(?![\d.]*\d)")
_BARE = re.compile(r"\d+(?:\.\d+)?")
_STRUCTURE = re.compile(
    r"(?:entit(?:y|ies)|objects?|items?|data|results?|output|answer|annotations?|detections?|tracks?|track(?:ing|lets?)"
    r"|trajector(?:y|ies)|instances?|evidences?|scene|video|step_?\d?|entity_tracking|tracked_\w+|objects?_\w+)"
)


@dataclass(frozen=True)
class BoxFound:
    """A box with what its surroundings say of it; None for what they do not."""

    name: str | None
    when: str | None
    """In words that `wording.read_frame` reads."""
    numbers: tuple[str, ...]
    """Four, as they stand."""
    node: Node


@dataclass(frozen=True)
class Words:
    """A text within the value that is to be read as a line of the step."""

    text: str
    node: Node


@dataclass(frozen=True)
class Unreadable:
    """What should be a box, and cannot be read as one."""

    node: Node


Item = BoxFound | Words | Unreadable


@dataclass(frozen=True)
class _Around:
    """What the objects around say."""

    name: str | None = None
    when: str | None = None
    is_by_seconds: bool = False
    """Whether bare numbers are keys by seconds here."""
    is_own: bool = False
    """Whether the object itself, rather than one around it, says whose boxes these are."""


def boxes(node: Node, context: StepContext) -> Iterator[Item]:
    """The boxes of a value in order of text; nothing where it holds nothing but names and empty lists."""
    items = list(_boxes(node, context, _Around()))
    if items:
        yield from items
    elif any(True for _ in scalars(node)):
        yield Unreadable(node)


def _boxes(node: Node, context: StepContext, around: _Around) -> Iterator[Item]:
    items = list(_boxes_within(node, context, around))
    yield from items
    if not items and node.is_cut and not isinstance(node, Scalar):
        yield Unreadable(node)


def _boxes_within(node: Node, context: StepContext, around: _Around) -> Iterator[Item]:
    if isinstance(node, Scalar):
        if BOX.search(node.text):
            yield _in_words(node, node.text, around)
        return
    numbers = numbers_of(node)
    if numbers is not None:
        yield BoxFound(around.name, around.when, numbers, node)
    elif isinstance(node, Array):
        words = _list_in_words(node, around.name is not None)
        if words:
            yield _in_words(node, words, around)
        elif len(node.items) > 2 and all(
            isinstance(item, Scalar) and _NUMBER.fullmatch(item.text) for item in node.items
        ):
            yield Unreadable(node)
        else:
            for item in node.items:
                yield from _boxes(item, context, around)
    else:
        yield from _boxes_of_object(node, context, around)


def _in_words(node: Node, text: str, around: _Around) -> Item:
    if isinstance(node, Scalar) and node.is_cut:
        return Unreadable(node)
    before = [part for part in (around.name, around.when) if part is not None]
    match = BOX.fullmatch(text.strip())
    if match is not None:
        return BoxFound(around.name, around.when, tuple(n for n in match.groups() if n), node)
    return Words(": ".join([*before, text]), node)


def _list_in_words(node: Array, is_named: bool) -> str:
    """`["dog", 0.5, [1, 2, 3, 4]]` -> `dog: 0.5: [1, 2, 3, 4]`; empty where a list is no such item. Within what has a
    name, `[0.5, [1, 2, 3, 4]]` is one."""
    if node.is_cut:
        return ""
    head, numbers = list(node.items[:-1]), numbers_of(node.items[-1]) if node.items else None
    if numbers is None and len(node.items) in (5, 6):
        head, numbers = list(node.items[:-4]), numbers_of(replace(node, items=node.items[-4:]))
    words = [item.text for item in head if isinstance(item, Scalar)]
    if numbers is None or len(words) != len(head):
        return ""
    if all(_NUMBER.fullmatch(word) for word in words) and not (is_named and len(node.items) == 2):
        return ""
    return ": ".join([*words, f"[{', '.join(numbers)}]"])


def _boxes_of_object(node: Object, context: StepContext, around: _Around) -> Iterator[Item]:
    kinds = [kind_of(key, 2) for key, _ in node.pairs]
    name = _name(node, kinds, context)
    around = replace(around, name=name or around.name, is_own=name is not None)
    whens = _whens(node, kinds, context)
    if len(whens) == 1:
        around = replace(around, when=whens[0])
    corners = _corners(node)
    if corners is not None:
        yield BoxFound(around.name, around.when, corners, node)
    for (key, value), kind in zip(node.pairs, kinds, strict=True):
        if kind == "box":
            yield from _boxes_under_key(key, value, context, around, whens)
        elif kind.startswith("other") and not (isinstance(value, Scalar) and value.is_absent):
            yield Unreadable(value)
        elif corners is not None and plain_key(key) in {corner for names in CORNERS for corner in names}:
            continue
        elif not kind and len(whens) > 1 and known_entity(key, context) is not None:
            yield from _boxes_under_key(key, value, context, replace(around, name=key), whens)
        elif not isinstance(value, Scalar) or BOX.search(value.text):
            yield from _boxes(value, context, _within(key, kind, context, around))


def _boxes_under_key(
    key: str, value: Node, context: StepContext, around: _Around, whens: Sequence[str]
) -> Iterator[Item]:
    """What a key such as `bbox` holds: a box, one for each of the times beside it, or boxes with times of their own."""
    if isinstance(value, Scalar):
        listed = _FOUR.fullmatch(value.text.strip()) if not value.is_cut else None
        if listed is not None:
            yield BoxFound(around.name, around.when, listed.groups(), value)
        elif not value.is_absent:
            yield _in_words(value, value.text, around) if BOX.search(value.text) else Unreadable(value)
        return
    numbers = numbers_of(value)
    if numbers is not None:
        yield BoxFound(around.name, around.when, numbers, value)
        return
    if isinstance(value, Array):
        each = [numbers_of(item) for item in value.items]
        if value.items and None not in each and len(whens) == len(each):
            for when, item, four in zip(whens, value.items, each, strict=True):
                yield BoxFound(around.name, when, four or (), item)
            return
    items = list(_boxes(value, context, _within(key, "box", context, around)))
    yield from items or ([Unreadable(value)] if any(True for _ in scalars(value)) else [])


def _within(key: str, kind: str, context: StepContext, around: _Around) -> _Around:
    """What is known within the value of a key."""
    by_seconds = re.search(r"time|second", plain_key(key)) is not None
    if kind:
        return replace(around, is_by_seconds=by_seconds)
    if known_entity(key, context) is not None:
        return replace(around, name=key, is_by_seconds=by_seconds)
    words = plain_times(key.replace("_", " "))
    when = f"{key}s" if around.is_by_seconds and _BARE.fullmatch(key) else words
    if read_frame(when, context) is not None or _BARE.fullmatch(key) or read_frame(words, context, True) is not None:
        return replace(around, when=when)
    is_known = around.name is not None and known_entity(around.name, context) is not None
    if around.is_own or is_known or by_seconds or _STRUCTURE.fullmatch(plain_key(key)):
        return replace(around, is_by_seconds=by_seconds)
    return replace(around, name=key, is_by_seconds=by_seconds)


def _name(node: Object, kinds: Sequence[str], context: StepContext) -> str | None:
    """What an object is called: the first name that the context knows, else the first."""
    names = []
    for (key, value), kind in zip(node.pairs, kinds, strict=True):
        if kind == "name" and isinstance(value, Scalar) and not value.is_absent and not BOX.search(value.text):
            is_number = re.fullmatch(r"#?\d+", value.text.strip()) is not None
            if not is_number and not value.is_cut:
                names.append((plain_key(key) in ("id", "text", "entity_id", "object_id"), value.text))
        elif kind == "name" and isinstance(value, Object) and numbers_of(value) is None:
            inner = _name(value, [kind_of(k, 2) for k, _ in value.pairs], context)
            if inner is not None:
                names.append((False, inner))
    known = next((name for _, name in names if known_entity(name, context) is not None), None)
    # what is called "id" or "text" is a name only where the context knows it
    return known or next((name for is_weak, name in names if not is_weak), None)


def _whens(node: Object, kinds: Sequence[str], context: StepContext) -> list[str]:
    """The times or frames of an object, in words; several where its boxes stand beside them in a list."""
    found: dict[str, list[str]] = {}
    for (_, value), kind in zip(node.pairs, kinds, strict=True):
        unit = "frame" if kind in ("frame", "frames") else "time" if kind in ("time", "times") else ""
        if unit and unit not in found:
            items = value.items if isinstance(value, Array) else (value,)
            words = [
                when_in_words(item, unit, context) for item in items if isinstance(item, Scalar) and not item.is_absent
            ]
            if words and len(words) == len(items) and None not in words:
                found[unit] = [word for word in words if word is not None]
    if len(found) == 2 and all(len(words) == 1 for words in found.values()):
        return [f"{found['frame'][0]} ({found['time'][0]})"]
    return next(iter(found.values()), [])


def when_in_words(scalar: Scalar, unit: str, context: StepContext) -> str | None:
    """A moment in words that `wording.read_frame` reads: a bare number takes the unit that its key says.

    Args:
        unit: `time` or `frame`. Where frames are referred to by their time, a number of decimals is a time in any case.
    """
    text = plain_times(scalar.text.strip())
    if scalar.is_cut:
        return None
    if not _BARE.fullmatch(text):
        return text
    if unit == "time":
        return f"{text}s"
    return text if "." in text and context.frame_reference == "seconds" else f"frame {text}"


def numbers_of(node: Node) -> tuple[str, ...] | None:
    """The four numbers of a box as they stand: `[1, 2, 3, 4]`, `[[1, 2], [3, 4]]`, `[[1, 2, 3, 4]]`, corners by key."""
    if isinstance(node, Object):
        return _corners(node) if _is_corners(node) else None
    if isinstance(node, Scalar) or node.is_cut:
        return None
    if len(node.items) == 1:
        return numbers_of(node.items[0]) if isinstance(node.items[0], Array) else None
    if len(node.items) == 2:
        points = [
            _numbers(item.items, 2) if isinstance(item, Array) and not item.is_cut else None for item in node.items
        ]
        return (*points[0], *points[1]) if points[0] and points[1] else None
    return _numbers(node.items, 4)


def _numbers(items: Sequence[Node], count: int) -> tuple[str, ...] | None:
    if len(items) != count:
        return None
    matches = [_NUMBER.fullmatch(item.text.strip()) for item in items if isinstance(item, Scalar) and not item.is_cut]
    found = tuple(match[1] for match in matches if match is not None)
    return found if len(found) == count else None


def _is_corners(node: Object) -> bool:
    names = {corner for corners in CORNERS for corner in corners}
    points = ("top_left", "bottom_right", "topleft", "bottomright", "lt", "rb")
    return all(plain_key(key) in names or plain_key(key) in points for key, _ in node.pairs)


def _corners(node: Object) -> tuple[str, ...] | None:
    """The numbers of an object that names each of them; None where it does not."""
    values = {plain_key(key): value for key, value in node.pairs}
    for corners in CORNERS:
        if all(corner in values for corner in corners):
            return _numbers([values[corner] for corner in corners], 4)
    for first, second in (("top_left", "bottom_right"), ("topleft", "bottomright"), ("lt", "rb")):
        a, b = values.get(first), values.get(second)
        if isinstance(a, Array) and isinstance(b, Array):
            points = _numbers(a.items, 2), _numbers(b.items, 2)
            return (*points[0], *points[1]) if points[0] and points[1] else None
    return None
