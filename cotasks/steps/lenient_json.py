"""The JSON-like values in a model's text, read as far as they go.

    strict JSON         {"label": "dog", "time": 0.5}
    trailing commas     [1, 2,]  {"time": 0.5,}; a comma that is missing before a key or a bracket
    single quotes       {'label': 'dog'}; a quote within a word closes nothing: 'the dog's ball'
    Python literals     (1, 2), None, True, tuples as keys: {('dog', 'next to', 'ball'): ['0.0s']}
    no quotes           {label: dog, time: 0.5s}
    comments            // ..., # ... and /* ... */ between values; "..." for what was left out
    a cut-off end       what was complete before it; each unfinished value says that it is cut

Nothing is completed or converted: scalars keep their text, and keys that stand twice are both kept. JSON libraries
either refuse such text, or fill in what is missing, which would make up numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_DEPTH = 32
_MAX_STRING = 2000
_SKIP = re.compile(r"(?:\s|//[^\n]*|#[^\n]*|/\*.{0,2000}?\*/|\.\.\.|…)*", re.DOTALL)
# a quote closes a string only where something that follows a string comes next
_CLOSES = r"(?=[ \t\r]{0,200}(?:[,:\]})\n]|\Z|//|#))"
_STRING = {
    quote: re.compile(rf"{quote}((?:\\.|[^\\]){{0,{_MAX_STRING}}}?){quote}{_CLOSES}", re.DOTALL) for quote in "\"'"
}
# marks of JSON end a bare word; brackets within it do not: play(instrument)
_BARE = re.compile(
    r"[^\s,:{}\[\]()\"'](?:(?!\s//|\s#\s)[^,{}\[\]()\"\n]|\([^,(){}\[\]\"\n]{0,60}\))*",
)
_BARE_KEY = re.compile(r"(\d{1,3}(?::\d\d)+(?:\.\d+)?s?|[^\s,:{}\[\]()\"'][^,:{}\[\]()\"'\n]{0,60})\s*:")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ABSENT = frozenset(("", "null", "none", "nil", "nan", "n/a", "undefined"))


@dataclass(frozen=True)
class Scalar:
    """A string, number or word."""

    text: str
    """Without quotes around it and escapes within."""
    start: int
    end: int
    """Where it stands in the text: [start, end)."""
    is_quoted: bool = False
    is_cut: bool = False
    """Whether the text ends before it surely did; so does the 1 of `[1`, which may have become 15."""

    @property
    def is_absent(self) -> bool:
        """`null`, `None`, an empty string."""
        return self.text.strip().lower() in _ABSENT


@dataclass(frozen=True)
class Array:
    items: tuple[Node, ...]
    start: int
    end: int
    is_cut: bool = False
    """Whether its closing bracket is missing."""


@dataclass(frozen=True)
class Object:
    pairs: tuple[tuple[str, Node], ...]
    """(key, value) as they stand, a key that stands twice twice."""
    start: int
    end: int
    is_cut: bool = False


Node = Scalar | Array | Object


def find_values(text: str) -> Iterator[Array | Object]:
    """The outermost objects and arrays of a text, in order, never overlapping; without a value only where empty."""
    reader = _Reader(text)
    end = 0
    for match in re.finditer(r"[{\[]", text):
        if match.start() >= end:
            node = reader.bracket(match.start(), 0)
            if node is not None:
                yield node
            # within a bracket that holds nothing readable, none does
            end = reader.reached + 1 if node is None else node.end


def scalars(node: Node) -> Iterator[Scalar]:
    """All scalars that are not `null`, in order of text."""
    if isinstance(node, Scalar):
        if not node.is_absent:
            yield node
    else:
        for child in node.items if isinstance(node, Array) else [value for _, value in node.pairs]:
            yield from scalars(child)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.reached = 0
        """Where the last bracket begins that was tried."""

    def skip(self, at: int) -> int:
        match = _SKIP.match(self.text, at)
        return at if match is None else match.end()

    def value(self, at: int, depth: int) -> Node | None:
        """The value that begins at `at`."""
        if at >= len(self.text) or depth > _MAX_DEPTH:
            return None
        if self.text[at] in "{[(":
            return self.bracket(at, depth)
        if self.text[at] in _STRING:
            return self.string(at)
        match = _BARE.match(self.text, at)
        if match is None:
            return None
        word = match[0].rstrip()
        # a number that the end of the text may have shortened
        return Scalar(word, at, at + len(word), is_cut=match.end() == len(self.text))

    def string(self, at: int) -> Scalar | None:
        match = _STRING[self.text[at]].match(self.text, at)
        if match is not None:
            return Scalar(_ESCAPE.sub(_unescaped, match[1]), at, match.end(), is_quoted=True)
        rest = self.text[at + 1 : at + 2 + _MAX_STRING]
        if len(rest) > _MAX_STRING or "\n" in rest.rstrip():
            return None
        return Scalar(rest, at, len(self.text), is_quoted=True, is_cut=True)

    def bracket(self, at: int, depth: int) -> Array | Object | None:
        """The object, array or tuple that begins at `at`; None where nothing in it can be read and it is not empty."""
        self.reached = max(self.reached, at)
        text, closing = self.text, {"{": "}", "[": "]", "(": ")"}[self.text[at]]
        values: list[Node] = []
        keys: list[str] = []
        end, place = at + 1, self.skip(at + 1)
        while place < len(text):
            if text[place] == closing:
                return _node(closing, keys, values, at, place + 1, False)
            if text[place] == ",":
                place = self.skip(place + 1)
                continue
            key = None
            if closing == "}":
                key = self.key(place, depth)
                if key is None:
                    break
                place = self.skip(key[1])
            value = self.value(place, depth + 1)
            if value is None:
                break
            keys += [key[0]] if key else []
            values.append(value)
            end = value.end
            place = self.skip(end)
            if place < len(text) and text[place] not in "," + closing and not self.begins_anew(place, closing, depth):
                break
        return _node(closing, keys, values, at, end, True) if values else None

    def begins_anew(self, place: int, closing: str, depth: int) -> bool:
        """Whether only a comma is missing: the next pair of an object begins, or the next bracket of a list."""
        if closing == "}":
            return self.text[place] in _STRING and self.key(place, depth) is not None
        return self.text[place] in "{["

    def key(self, at: int, depth: int) -> tuple[str, int] | None:
        """(key, where its value may begin)."""
        if self.text[at] == "(":
            parts = self.bracket(at, depth + 1) if depth < _MAX_DEPTH else None
            if not isinstance(parts, Array) or parts.is_cut or not all(isinstance(p, Scalar) for p in parts.items):
                return None
            name, end = f"({', '.join(p.text for p in parts.items if isinstance(p, Scalar))})", parts.end
        elif self.text[at] in _STRING:
            string = self.string(at)
            if string is None or string.is_cut:
                return None
            name, end = string.text, string.end
        else:
            match = _BARE_KEY.match(self.text, at)
            return None if match is None else (match[1].strip(), match.end())
        end = self.skip(end)
        return (name, end + 1) if self.text[end : end + 1] == ":" else None


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return " " if match[2] in "nrt" else match[2]


def _node(closing: str, keys: list[str], values: list[Node], start: int, end: int, is_cut: bool) -> Array | Object:
    if closing == "}":
        return Object(tuple(zip(keys, values, strict=True)), start, end, is_cut)
    return Array(tuple(values), start, end, is_cut)
