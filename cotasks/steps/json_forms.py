"""Structured values of steps 1, 3 and 4; those of step 2 are read by `json_boxes`.

    step 1              {"frames": ["0.0s to 1.0s"], "entities": ["dog", "ball"]}, {"start": 0.0, "end": 1.0, ...},
                        {"spans": [[0.0, 1.0]]}, {"entities": [{"name": "dog"}]}
    steps 3 and 4       {"subject": "dog", "relation": "next to", "object": "ball", "frames": ["0.0s", "0.5s"]},
                        {"triple": ["dog", "next to", "ball"], "time": "0.0s - 1.0s"}, {"0.5s": [["dog", "on", "mat"]]},
                        ["dog", "next to", "ball", "0.5s"], {"(dog, next to, ball)": ["0.0s", "0.5s"]},
                        {"relations": ["(dog, next to, ball): 0.5s"]}
    times               0.5 or "0.5s" or "00:00.5" under "time", "start", "end"; [0.0, 1.0] under "span" and its like

Two times under "time" may be two frames or a run: they are read where that comes to the same frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cotasks.records.schema import Entity
from cotasks.steps.context import StepContext
from cotasks.steps.json_boxes import Unreadable, Words, when_in_words
from cotasks.steps.keys import kind_of, plain_key
from cotasks.steps.lenient_json import Array, Node, Object, Scalar, scalars
from cotasks.steps.times import plain_times
from cotasks.steps.wording import find_entity, known_entity, read_frame, read_frames, read_stretches

_WHEN = ("frames", "frame", "times", "time", "span", "start", "end", "start frame", "end frame")
_TRIPLE = re.compile(r"\s*[\[({<]+[^()\[\]{}<>:]+[,;|][^:]+[,;|][^:]+[\])}>]+\s*")
_BARE = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Told:
    """When something holds, as a value says it."""

    texts: tuple[str, ...] = ()
    """In words that `wording.read_frames` reads."""
    pair: tuple[str, str] | None = None
    """Two moments that are either two frames or a run."""
    unreadable: tuple[Node, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.texts or self.pair or self.unreadable)


def frames_told(told: Told, context: StepContext) -> tuple[set[int], list[str]]:
    """(grid frames, words that could not be read)."""
    frames: set[int] = set()
    unread: list[str] = []
    for text in told.texts:
        read = read_frames(text, context)
        frames.update(read.value)
        unread.extend(read.unread)
    if told.pair is not None:
        found = frames_of_pair(*told.pair, context)
        frames.update(found)
        unread.extend(() if found else (", ".join(told.pair),))
    return frames, unread


def frames_of_pair(first: str, last: str, context: StepContext) -> tuple[int, ...]:
    """The frames of two moments that may be a run or a list; none where that makes a difference."""
    run, two = read_frames(f"{first} to {last}", context), read_frames(f"{first}; {last}", context)
    return run.value if not run.unread and run == two else ()


def stretches_told(told: Told, context: StepContext) -> tuple[tuple[int, int], ...]:
    """(begin, end) of each stretch of time; none unless all can be read."""
    if told.unreadable:
        return ()
    texts = told.texts
    if told.pair is not None:
        texts = (*texts, f"{told.pair[0]} to {told.pair[1]}")
    elif len(texts) == 2 and all(len(read_stretches(text, context)) == 0 for text in texts):
        texts = (f"{texts[0]} to {texts[1]}",)  # its begin and its end
    found = [read_stretches(text, context) for text in texts]
    return tuple(one for many in found for one in many) if all(found) else ()


def told_by(node: Node, kind: str, context: StepContext, is_plural: bool = True) -> Told:
    """When a value under a key of a kind says that something holds."""
    unit = "frame" if "frame" in kind else "time"
    if isinstance(node, Scalar):
        words = None if node.is_absent else when_in_words(node, unit, context)
        if words is None:
            return Told(unreadable=() if node.is_absent else (node,))
        return Told((words,))
    if isinstance(node, Object):
        return told_by_object(node, [kind_of(key, 3) for key, _ in node.pairs], context) or Told(unreadable=(node,))
    if node.is_cut and not is_plural:
        return Told(unreadable=(node,))  # its last may be missing
    flat = [item for item in node.items if isinstance(item, Scalar) and not item.is_absent]
    if len(flat) == len(node.items) and flat:
        each = [when_in_words(item, _unit(flat, unit, context), context) for item in flat]
        cut = tuple(item for item, word in zip(flat, each, strict=True) if word is None)
        told = tuple(word for word in each if word is not None)
        if len(flat) == 2 and not cut and all(_is_one(word) for word in told):
            if kind == "span":
                return Told((f"{told[0]} to {told[1]}",))
            if not is_plural:
                return Told(pair=(told[0], told[1]))
        return Told(told, unreadable=cut)
    # lists within a list are runs
    parts = [told_by(item, "span" if isinstance(item, Array) else kind, context) for item in node.items]
    return _joined(parts)


def _unit(items: Sequence[Scalar], unit: str, context: StepContext) -> str:
    """Beside a number with decimals the whole ones are times too, where frames are referred to by their time."""
    numbers = [item.text for item in items if _BARE.fullmatch(item.text)]
    is_time = context.frame_reference == "seconds" and any("." in number for number in numbers)
    return "time" if is_time else unit


def _is_one(words: str) -> bool:
    return re.search(r"\bto\b|[-–—~;,]", words) is None


def _joined(parts: Sequence[Told]) -> Told:
    pairs = [part.pair for part in parts if part.pair is not None]
    return Told(
        tuple(text for part in parts for text in part.texts) + tuple(f"{a}; {b}" for a, b in pairs[1:]),
        pairs[0] if pairs else None,
        tuple(node for part in parts for node in part.unreadable),
    )


def told_by_object(node: Object, kinds: Sequence[str], context: StepContext) -> Told:
    """When an object says that it holds; a start and an end come before all else."""
    said = [
        (kind, key, value)
        for kind, (key, value) in zip(kinds, node.pairs, strict=True)
        if not isinstance(value, Scalar) or not value.is_absent
    ]
    values = {kind: value for kind, _, value in reversed(said)}
    keys = {kind: key for kind, key, _ in reversed(said)}
    for start, end in (("start", "end"), ("start frame", "end frame")):
        if start in values or end in values:
            ends = [values.get(start), values.get(end)]
            two = [one for one in ends if isinstance(one, Scalar) and not one.is_absent]
            unit = _unit(two, "frame" if "frame" in start else "time", context)
            words = [when_in_words(one, unit, context) for one in two]
            if len(words) == 2 and None not in words:
                return Told((f"{words[0]} to {words[1]}",))
            return Told(unreadable=(node,))
    for kind in ("span", "frames", "times", "frame", "time"):
        if kind in values:
            is_plural = kind in ("frames", "times") or keys[kind].endswith("s")
            told = told_by(values[kind], kind, context, is_plural)
            if told:
                return told
    return Told()


# --- step 1 ---


@dataclass
class Localized:
    """What a value says of step 1."""

    frames: set[int] = field(default_factory=set)
    entities: dict[int, Entity] = field(default_factory=dict)
    unread: list[str | Node] = field(default_factory=list)


def localization(node: Node, context: StepContext, section: str = "") -> Localized:
    """The frames and entities of a value.

    Args:
        section: `frames` or `entities` where a title above says what the value holds.
    """
    found = Localized()
    _localize(node, {"frames": "frames", "entities": "entities"}.get(section, ""), "", context, found)
    if not (found.frames or found.entities or found.unread) and any(True for _ in scalars(node)):
        found.unread.append(node)
    return found


def _localize(node: Node, kind: str, key: str, context: StepContext, found: Localized) -> None:
    if kind in ("entities", "name"):
        _name_entities(node, context, found)
    elif kind in _WHEN and not _holds(node, ("entities", "name"), 1):
        is_plural = kind in ("frames", "times") or plain_key(key).endswith("s")
        _add(told_by(node, kind, context, is_plural), context, found)
    elif kind.startswith("other"):
        found.unread.extend(scalars(node))
    elif isinstance(node, Array):
        for item in node.items:
            _localize(item, "", "", context, found)
    elif isinstance(node, Object):
        kinds = [kind_of(k, 1) for k, _ in node.pairs]
        is_nested = any(k in _WHEN and _holds(value, ("entities", "name"), 1) for (_, value), k in
                        zip(node.pairs, kinds, strict=True))  # fmt: skip
        if not is_nested:
            _add(told_by_object(node, kinds, context), context, found)
        for (inner_key, value), inner in zip(node.pairs, kinds, strict=True):
            if known_entity(inner_key, context) is not None:
                entity = find_entity(inner_key, context)
                found.entities.update({entity.tid: entity} if entity else {})
                _localize(value, "" if isinstance(value, Object) else "times", inner_key, context, found)
            elif inner in ("entities", "name") or (not isinstance(value, Scalar) and (inner == "" or is_nested)):
                _localize(value, inner, inner_key, context, found)
            elif inner.startswith("other"):
                found.unread.extend(scalars(value))


def _holds(node: Node, kinds: Sequence[str], step: int) -> bool:
    """Whether an object within has a key of these kinds."""
    if isinstance(node, Object):
        return any(kind_of(key, step) in kinds or _holds(value, kinds, step) for key, value in node.pairs)
    return isinstance(node, Array) and any(_holds(item, kinds, step) for item in node.items)


def _add(told: Told, context: StepContext, found: Localized) -> None:
    frames, unread = frames_told(told, context)
    found.frames |= frames
    found.unread += [*unread, *told.unreadable]


def _name_entities(node: Node, context: StepContext, found: Localized) -> None:
    """Entities from a list of names, of objects with names, or from keys; a text may list several."""
    if isinstance(node, Scalar):
        names = [] if node.is_absent else [node.text]
        if names and known_entity(node.text, context) is None:
            names = [part.strip() for part in re.split(r"[,;|&]|\band\b", node.text) if part.strip()]
        for name in names:
            entity = None if node.is_cut else find_entity(name, context)
            if entity is None:
                found.unread.append(name)
            else:
                found.entities[entity.tid] = entity
    elif isinstance(node, Array):
        for item in node.items:
            _name_entities(item, context, found)
    else:
        named = [value for key, value in node.pairs if kind_of(key, 1) in ("name", "entities")]
        if named:
            _name_entities(named[0], context, found)
        else:
            for key, value in node.pairs:
                _name_entities(Scalar(key, value.start, value.end), context, found)


# --- steps 3 and 4 ---


@dataclass(frozen=True)
class TripleFound:
    subject: Entity
    predicate: str
    object: Entity
    told: Told
    node: Node


RelationItem = TripleFound | Words | Unreadable


def triples(node: Node, context: StepContext) -> Iterator[RelationItem]:
    """The triples of a value with what it says of when they hold."""
    items = list(_triples(node, context, Told()))
    if items:
        yield from items
    elif any(True for _ in scalars(node)):
        yield Unreadable(node)


def _triples(node: Node, context: StepContext, around: Told) -> Iterator[RelationItem]:
    items = list(_triples_within(node, context, around))
    yield from items
    if not items and node.is_cut and not isinstance(node, Scalar):
        yield Unreadable(node)


def _triples_within(node: Node, context: StepContext, around: Told) -> Iterator[RelationItem]:
    if isinstance(node, Scalar):
        if re.search(r"[,;|]", node.text) and not node.is_cut:
            yield Words(node.text if not around.texts else f"{node.text}: {'; '.join(around.texts)}", node)
    elif isinstance(node, Array):
        item = _triple_of_list(node, context, around)
        if item is not None:
            yield item
        else:
            for child in node.items:
                yield from _triples(child, context, around)
    else:
        yield from _triples_of_object(node, context, around)


def _triple_of_list(node: Array, context: StepContext, around: Told) -> RelationItem | None:
    """`["dog", "next to", "ball"]`, with a time, a begin and an end, or a list of times behind it."""
    first = node.items[0] if node.items else None
    if isinstance(first, Array):  # [["dog", "next to", "ball"], ["0.0s", "0.5s"]], or a list of triples
        if len(node.items) != 2 or not _is_triple(first) or not _is_when(node.items[1]):
            return None
        return _triple(first, told_by(node.items[1], "time", context, is_plural=False), node, context)
    if not 3 <= len(node.items) <= 5 or not all(_is_word(item) for item in node.items[:3]):
        return None
    if node.is_cut and len(node.items) < 4:
        return Unreadable(node)
    triple, rest = Array(node.items[:3], node.start, node.end), node.items[3:]
    if not rest:
        return _triple(triple, around, node, context)
    when = rest[0] if len(rest) == 1 else Array(rest, node.start, node.end)
    return _triple(triple, told_by(when, "time", context, is_plural=False), node, context)


def _is_triple(node: Array) -> bool:
    return len(node.items) == 3 and all(_is_word(item) for item in node.items) and not _is_when(node)


def _is_word(node: Node) -> bool:
    """Whether a part of a triple may be a name or predicate, and not a triple as text."""
    return isinstance(node, Scalar) and re.search(r"[,;|:]", node.text) is None


def _is_when(node: Node) -> bool:
    """Whether all of a value is moments: they begin with a digit, or say that they are frames."""
    return all(re.match(r"(?:frames?\s*#?|t\s*=|at\s|from\s)?\s*\d", one.text, re.IGNORECASE) for one in scalars(node))


def _triples_of_object(node: Object, context: StepContext, around: Told) -> Iterator[RelationItem]:
    kinds = [kind_of(key, 3) for key, _ in node.pairs]
    values = {kind: value for kind, (_, value) in zip(reversed(kinds), reversed(node.pairs), strict=True)}
    told = told_by_object(node, kinds, context)
    if told and not any(kind in _WHEN and _holds(value, ("subject", "triple"), 3) for kind, value in values.items()):
        around = told
    if "subject" in values and "object" in values and "predicate" in values:
        parts = (values["subject"], values["predicate"], values["object"])
        yield _triple(Array(parts, node.start, node.end), around, node, context)
        return
    if "subject" in values and isinstance(values["subject"], Scalar):
        yield Unreadable(node)
        return
    for (key, value), kind in zip(node.pairs, kinds, strict=True):
        if kind == "triple" or (kind == "predicate" and _looks_like_triple(value)):
            if isinstance(value, Scalar):
                yield Unreadable(value) if value.is_cut else Words(_with_times(value.text, around), value)
            else:
                yield from _triples(value, context, around)
        elif _TRIPLE.fullmatch(key):
            told = told_by(value, "times" if not isinstance(value, Array) else "time", context, is_plural=True)
            yield Unreadable(value) if told.unreadable else Words(_with_times(key, told), value)
        elif kind.startswith("other") and not (isinstance(value, Scalar) and value.is_absent):
            yield Unreadable(value)
        elif kind in _WHEN and not _holds(value, ("subject", "triple"), 3):
            continue
        else:
            words = plain_times(key.replace("_", " "))
            is_moment = read_frame(words, context) is not None or re.search(r"\d\s*s\b|\d:\d\d", words) is not None
            yield from _triples(value, context, Told((words,)) if is_moment and not kind else around)


def _looks_like_triple(value: Node) -> bool:
    if isinstance(value, Scalar):
        return _TRIPLE.fullmatch(value.text) is not None
    return isinstance(value, (Array, Object))


def _with_times(triple: str, told: Told) -> str:
    if told.pair is not None:
        return f"{triple}: {told.pair[0]}, {told.pair[1]}"
    return f"{triple}: {'; '.join(told.texts)}"


def _triple(parts: Array, told: Told, node: Node, context: StepContext) -> RelationItem:
    words = [_word(part, context) for part in parts.items]
    if None in words or not re.fullmatch(r"[^\W\d_][^\[\]{}<>:]{0,59}", words[1] or ""):
        return Unreadable(node)
    subject, object_ = find_entity(words[0] or "", context), find_entity(words[2] or "", context)
    if subject is None or object_ is None:
        return Unreadable(node)
    return TripleFound(subject, (words[1] or "").strip().replace(" ", "_"), object_, told, node)


def _word(node: Node, context: StepContext) -> str | None:
    """A name or predicate, also as an object with a name; None where it is none or cut off."""
    if isinstance(node, Object):
        names = [value for key, value in node.pairs if kind_of(key, 2) == "name"]
        known = [value for value in names if isinstance(value, Scalar) and known_entity(value.text, context)]
        return _word((known or names)[0], context) if names else None
    return node.text if isinstance(node, Scalar) and not node.is_absent and not node.is_cut else None
