"""Reading a step that a model wrote in a form of its own.

Each reader takes what the step's `parse` takes, line by line; a line of which `parse` leaves something is tried once
more, as described here, and the reading that holds more is kept. `Parsed.repaired` counts these lines; what neither
reads stays in `unread`, as it stood but for runs of blanks.

    Markdown            fences, bullets, numbering, bold, quotes; titles of steps and lines without content are passed
    titles              of step 1: missing, other words ("Key frames:", "Objects:"), on a line of their own
    brackets            (...), {...}, <...>, ((...)) for a box or a triple, none for a triple, (x1,y1),(x2,y2) for a box
    numbers in words    zero to ninety-nine, with decimals: "frame two", "zero point five"
    times               "3.9 seconds", "0:03", "t=3.94", "3.94"; off the grid by less than half of its step: the nearest
    frames              "Frame #2", "frames 2-4", "2"; times where a family refers to frames by position
    separators          a dash, an arrow, "until", "through", "between ... and" for a run; commas and "and" for a list;
                        " - ", "=" or nothing for the colon behind a title, a name or a triple; lines run together
    names               "the adult #1", "adult_1", "Adult1", "adult one"; behind a comma or colon, after prose
    coordinates         fractions, where all numbers of all boxes are from 0 to 1 and the family writes larger ones.
                        Pixels are never told from 0 to 1000: a box that cannot be the family's stays unread
    a heading           "adult 1:" above lines of frames and boxes
    JSON                {"bbox_2d": [x1, y1, x2, y2], "label": name, "time": 3.9}, of step 2; without a time only
                        where the grid has one frame
    repeated items      once; further boxes of an entity and frames of a triple join those before
    a cut-off end       unread: a box without its last bracket, a time without all of its decimals

Nothing is completed: every number of a box, and every name and predicate, stands in the text.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from cotasks.records.boxes import CoordinateFormat, parse_box
from cotasks.records.schema import Box, Entity, FrameLocalization, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import spans_of_frames
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import NOTHING, Parsed, StepContext
from cotasks.steps.wording import (
    NUMBER,
    find_entity,
    known_entity,
    read_frame,
    read_frames,
    read_moments,
    read_number,
)

T = TypeVar("T")
Relation = TypeVar("Relation", SpatialRelation, TemporalRelation)

_FENCE = re.compile(r"(?:```|~~~)\s*\w*")
_EMPHASIS = re.compile(r"(?<!\w)(?:\*\*|__|`)|(?:\*\*|__|`)(?!\w)")  # within a word it is a slip, not Markdown
_BULLET = re.compile(r"(?:(?:[-*+•·>|]|#+)\s+|\(?\d{1,3}[.)]\s+)+")
_TITLE = re.compile(r"step [1-4]\b[^\d:]*:?", re.IGNORECASE)
_NOTHING = re.compile(rf"(?:{NOTHING}|nothing|n/a|no (?:\w+ )?relations?(?: \w+)?)", re.IGNORECASE)
_TITLES = r"\b(?:(?P<frames>frames?|times?|timestamps?)|entit(?:y|ies)|objects?)"
_HEADS = (
    re.compile(rf"[\w ]{{0,40}}?{_TITLES}\s*(?:[:=]|\s[-–—]\s)\s*(?P<rest>.*)", re.IGNORECASE),
    re.compile(rf"{_TITLES}\s+(?P<rest>.*)", re.IGNORECASE),
)
_SECOND_TITLE = re.compile(r"[;,.]? (?=(?:Entities|Objects)\s*:)")
_SECOND_TRIPLE = re.compile(r"(?<=[\ds])[;,.]?\s+(?=[\[({<]{1,2}[^\W\d])")
_COORDINATE = rf"\s*(?:[xy](?:[12]|min|max)?\s*[=:]\s*)?(-?{NUMBER})\s*(?:px)?\s*"
_DIGITS = r"(-?\d{1,9}(?:\.\d{1,9})?)"
_BOX = re.compile(
    rf"[\[({{<]{{1,2}}{'[,;]'.join([_COORDINATE] * 4)}[\])}}>]{{1,2}}"
    rf"|[\[({{<]{{1,2}}\s*{_DIGITS}\s+{_DIGITS}\s+{_DIGITS}\s+{_DIGITS}\s*[\])}}>]{{1,2}}"
    rf"|\(\s*{_DIGITS}\s*,\s*{_DIGITS}\s*\)\s*,?\s*\(\s*{_DIGITS}\s*,\s*{_DIGITS}\s*\)",
    re.IGNORECASE,
)
_BEFORE_BOX = re.compile(r"(?:[\s:=,@–—>-]|\b(?:is|at|in|bbox|box)\b)+$", re.IGNORECASE)
_AFTER_BOX = re.compile(r"(?:[\s;,.]|\b(?:and|then)\b)+", re.IGNORECASE)
_NAME_AND_FRAME = re.compile(
    rf"(?P<name>.*?[^\s,(@:=|–—-])[\s,(@:=|–—-]+(?:(?:at|in|on)\s+)?(?P<frame>frames?\s*#?\s*{NUMBER}|\d{{1,3}}:\d\d(?:\.\d+)?|"
    rf"(?:t\s*=\s*)?{NUMBER}\s*(?:s|secs?|seconds?))\)?",
    re.IGNORECASE,
)
_LABELS, _BOXES, _TIMES = (
    ("label", "name", "entity", "object"),
    ("bbox_2d", "bbox", "box"),
    ("time", "timestamp", "frame"),
)


def read_localization(text: str, context: StepContext) -> Parsed[FrameLocalization]:
    """A1; see the head of this module."""
    frames: set[int] = set()
    entities: dict[int, Entity] = {}
    unread: list[str] = []
    section = ""  # whose title stood on a line of its own
    lines = [part for line in _lines(text) for part in _SECOND_TITLE.split(line)]
    repaired = len(lines) - len(_lines(text))
    for number, line in enumerate(lines, 1):
        strict = frame_localization.parse(line, context)
        found = set(strict.value.frames), {entity.tid: entity for entity in strict.value.entities}
        left: Sequence[str] = strict.unread
        if left:
            plain = _plain(line)
            head = next((match for match in (pattern.fullmatch(plain) for pattern in _HEADS) if match), None)
            title = "" if head is None else "frames" if head["frames"] else "entities"
            content = plain if head is None else head["rest"]
            if title and not content:
                section, left = title, ()
                repaired += 1
                continue
            is_cut = number == len(lines) and _ends_in_cut_time(text, context)
            again = _localization_line(content, title or section, bool(title), is_cut, context)
            if not plain or len(again[0]) + len(again[1]) > len(found[0]) + len(found[1]):
                found, left = again[:2], again[2]
                repaired += 1
        frames |= found[0]
        entities |= found[1]
        unread.extend(left)
    value = FrameLocalization(
        frames=tuple(sorted(frames)),
        spans=spans_of_frames(frames, context.frames),
        entities=tuple(entities[tid] for tid in sorted(entities)),
        span_origin="model",
        entity_origin="model",
        used_answer=False,
    )
    return Parsed(value, _as_stood(unread), repaired)


def _localization_line(
    content: str, section: str, titled: bool, is_cut: bool, context: StepContext
) -> tuple[set[int], dict[int, Entity], Sequence[str]]:
    """(frames, entities, what was left) of what follows a title; without one, all of it must be known."""
    if section != "entities":
        read = read_frames(content + _CUT * (is_cut and context.frame_reference == "seconds"), context)
        if section == "frames" or (read.value and not read.unread):
            return set(read.value), {}, read.unread
    names = [name.strip() for name in re.split(r"[,;|&]|\band\b", content) if name.strip(" .")]
    # a name is opened (`naming`) on the line of its title only
    found = [(name, (find_entity if titled else known_entity)(name, context)) for name in names]
    left = tuple(name for name, entity in found if entity is None and not _NOTHING.fullmatch(name.strip(" .")))
    if not section and left:
        return set(), {}, (content,)
    return set(), {entity.tid: entity for _, entity in found if entity is not None}, left


def read_tracks(text: str, context: StepContext) -> Parsed[tuple[Track, ...]]:
    """A2; see the head of this module. One track an entity, in order of appearance, its boxes in order of frame."""
    text = _json_as_lines(text, context)
    fractions = context.coordinates.kind != "fractions" and _are_fractions(text)
    if fractions:
        context = dataclasses.replace(context, coordinates=CoordinateFormat("fractions"))
    boxes: dict[int, dict[int, Box]] = {}
    entities: dict[int, Entity] = {}
    unread: list[str] = []
    repaired = 0
    heading: Entity | None = None
    for line in _lines(text):
        from_json = line.startswith(_FROM_JSON)
        line = line.removeprefix(_FROM_JSON)
        strict = entity_tracking.parse(line, context)
        found = [(Entity(t.tid, t.category), box) for t in strict.value for box in t.boxes]
        left: Sequence[str] = strict.unread
        is_repaired = (fractions or from_json) and bool(found)
        if left:
            plain = _plain(line)
            alone = known_entity(plain.rstrip(" :"), context) if plain and not _BOX.search(plain) else None
            if alone is not None:
                heading = alone
                repaired += 1
                continue
            again, left_again = _boxes_of_line(plain, heading, context)
            if not plain or _NOTHING.fullmatch(plain):
                left, is_repaired = (), True
            elif len(again) > len(found):
                found, left, is_repaired = again, left_again, True
        else:
            heading = None
        repaired += is_repaired
        for entity, box in found:
            entities.setdefault(entity.tid, entity)
            before = boxes.setdefault(entity.tid, {}).setdefault(box.frame, box)
            if before != box:
                left = (*left, line)  # another box of the same frame: the first is kept
        unread.extend(left)
    tracks = (
        Track(tid, entities[tid].category, tuple(found_boxes[frame] for frame in sorted(found_boxes)))
        for tid, found_boxes in boxes.items()
    )
    return Parsed(tuple(tracks), _as_stood(unread), repaired)


def _boxes_of_line(
    line: str, heading: Entity | None, context: StepContext
) -> tuple[list[tuple[Entity, Box]], list[str]]:
    """The boxes of a line with their entities, and what was left of it.

    What stands before a box names its frame, and the entity where it changes; where the first box has no frame before
    it, all have theirs behind.
    """
    matches = list(_BOX.finditer(line))
    if not matches:
        return [], [line]
    edges = [0, *(match.end() for match in matches)]
    between = [line[edges[i] : match.start()] for i, match in enumerate(matches)] + [line[edges[-1] :]]
    entity, first = _name_and_frame(between[0], heading, context)
    if first is None:
        frames = [_name_and_frame(text, entity, context) for text in between[1:]]
    else:
        frames = [(entity, first)]
        for text in between[1:-1]:
            frames.append(_name_and_frame(text, frames[-1][0], context))
    found, left = [], []
    for match, (whose, frame) in zip(matches, frames, strict=True):
        numbers = [read_number(number) for number in match.groups() if number]
        x1, y1, x2, y2 = (math.nan if number is None else number for number in numbers)
        inside = entity_tracking.is_in_frame((x1, y1, x2, y2), context.coordinates)
        if whose is None or frame is None or not inside or x1 > x2 or y1 > y2:
            left.append(match[0])
            continue
        xyxy = parse_box((x1, y1, x2, y2), context.source_size, context.coordinates)
        found.append((whose, Box(frame, xyxy, generated=False)))
    if first is not None and re.search(r"[\d\[(]", between[-1]):
        left.append(between[-1].strip())
    return found, left


def _name_and_frame(text: str, entity: Entity | None, context: StepContext) -> tuple[Entity | None, int | None]:
    """(entity, frame) that a text before or behind a box names; without a name, the entity is the one given."""
    text = _BEFORE_BOX.sub("", _AFTER_BOX.sub("", text, count=1) if _AFTER_BOX.match(text) else text).strip()
    frame = read_frame(text, context) if text else None
    if not text or frame is not None:
        return entity, frame
    name, colon, rest = text.rpartition(": ")
    frame = read_frame(rest, context) if colon else None
    if frame is None:
        match = _NAME_AND_FRAME.fullmatch(text)
        name, frame = (match["name"], read_frame(match["frame"], context)) if match else (text, None)
    return _named_after_prose(name.rstrip(" :"), context), frame


def _named_after_prose(name: str, context: StepContext) -> Entity | None:
    """`In the video, adult 1`: the whole is a name, or what stands behind the last comma or colon."""
    found = known_entity(name, context)
    last = re.split(r"[,:]\s", name)[-1]
    return found or (find_entity(last, context) if last else None)


_FROM_JSON = "\x00"


def _json_as_lines(text: str, context: StepContext) -> str:
    """JSON objects of boxes written as lines of step 2, marked; all else as it stands."""
    if "{" not in text:
        return text
    parts, end = [], 0
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    for start in (match.start() for match in re.finditer(r"\{", text)):
        if start < end:
            continue
        try:
            value, stop = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        line = _line_of_json(value, context)
        if line:
            gap = text[end:start]
            parts += [gap if gap.strip(" \n\t[],") else "\n", f"\n{_FROM_JSON}{line}\n"]
            end = stop
    rest = text[end:]
    return "".join(parts) + (rest if not parts or rest.strip(" \n\t[],`") else "")


def _line_of_json(value: dict[str, Any], context: StepContext) -> str:
    def of(keys: Iterable[str]) -> Any:
        return next((value[key] for key in keys if key in value), None)

    label, box, time = of(_LABELS), of(_BOXES), of(_TIMES)
    if not isinstance(label, str) or not isinstance(box, list) or len(box) != 4:
        return ""
    if not all(isinstance(number, str) and re.fullmatch(r"-?[\d.]+", number) for number in box):
        return ""
    if time is None and len(context.frames) == 1:
        time = context.frame_text(context.frames[0].index)
    if not isinstance(time, str):
        return ""
    if re.fullmatch(r"[\d.]+", time):
        time = f"frame {time}" if "frame" in value and not {"time", "timestamp"} & value.keys() else f"{time}s"
    return " ".join(f"{label}: {time} [{', '.join(box)}]".split())


def _are_fractions(text: str) -> bool:
    """Whether all boxes of a text are of numbers from 0 to 1, and some number is between."""
    numbers = [read_number(n) for match in _BOX.finditer(text) for n in match.groups() if n]
    return all(n is not None and 0 <= n <= 1 for n in numbers) and any(n not in (0, 1) for n in numbers)


def read_spatial(text: str, context: StepContext) -> Parsed[tuple[SpatialRelation, ...]]:
    """A3; see the head of this module. Each triple once, with all its frames, in order of appearance."""

    def again(line: str) -> Parsed[tuple[SpatialRelation, ...]]:
        for triple, rest in _triples(line, context):
            frames = read_frames(rest, context)
            if frames.value:
                return Parsed((SpatialRelation(*triple, frames=frames.value),), frames.unread)
        return Parsed((), (line,))

    read = _read_relations(text, context, spatial_relations.parse, again, lambda relation: len(relation.frames))
    merged: dict[tuple[int, str, int], set[int]] = {}
    for relation in read.value:
        triple = relation.subject_tid, relation.predicate, relation.object_tid
        merged.setdefault(triple, set()).update(relation.frames)
    value = tuple(SpatialRelation(*triple, frames=tuple(sorted(frames))) for triple, frames in merged.items())
    return dataclasses.replace(read, value=value)


def read_temporal(text: str, context: StepContext) -> Parsed[tuple[TemporalRelation, ...]]:
    """A4; see the head of this module. Each item once, in order of appearance."""

    def again(line: str) -> Parsed[tuple[TemporalRelation, ...]]:
        for triple, rest in _triples(line, context):
            moments = read_moments(rest, context)
            if moments is not None:
                return Parsed((TemporalRelation(*triple, *moments),), ())
        return Parsed((), (line,))

    read = _read_relations(text, context, temporal_relations.parse, again, lambda relation: 1)
    return dataclasses.replace(read, value=tuple(dict.fromkeys(read.value)))


def _read_relations(
    text: str,
    context: StepContext,
    parse: Callable[[str, StepContext], Parsed[tuple[Relation, ...]]],
    again: Callable[[str], Parsed[tuple[Relation, ...]]],
    size: Callable[[Relation], int],
) -> Parsed[tuple[Relation, ...]]:
    values: list[Relation] = []
    unread: list[str] = []
    repaired = 0
    speaks_of_times = parse is temporal_relations.parse or context.frame_reference == "seconds"
    lines = _lines(text)
    for number, line in enumerate(lines, 1):
        read = parse(line, context)
        if read.unread:
            plain = _plain(line)
            is_cut = number == len(lines) and speaks_of_times and _ends_in_cut_time(text, context)
            pieces = [again(piece) for piece in _SECOND_TRIPLE.split(plain + _CUT * is_cut)]
            other = Parsed(tuple(v for p in pieces for v in p.value), tuple(u for p in pieces for u in p.unread))
            if not plain or _NOTHING.fullmatch(plain):
                read, repaired = Parsed((), ()), repaired + 1
            elif sum(map(size, other.value)) > sum(map(size, read.value)):
                read, repaired = other, repaired + 1
        values.extend(read.value)
        unread.extend(read.unread)
    return Parsed(tuple(values), _as_stood(unread), repaired)


def _triples(line: str, context: StepContext) -> Iterator[tuple[tuple[int, str, int], str]]:
    """Each ((subject, predicate, object), rest of the line) that the line can be taken for; the first is best."""
    opens = [match.end() for match in re.finditer(r"[\[({<]{1,2}", line)][:3]
    closes = list(re.finditer(r"[\])}>]{1,2}", line))[:6]
    cuts = [(line[o : c.start()], line[c.end() :]) for o in opens for c in closes if c.start() > o]
    cuts += [(head, rest) for head, colon, rest in (line.partition(": "),) if colon]
    for inner, rest in cuts:
        parts = [part.strip(" \t\"'`*") for part in re.split(r"[,;|]", inner)]
        predicate = parts[1] if len(parts) == 3 else ""
        if not re.fullmatch(r"[^\W\d_][^\[\]{}<>:]{0,59}", predicate):
            continue
        subject, object_ = find_entity(parts[0], context), find_entity(parts[2], context)
        if subject is not None and object_ is not None:
            yield (subject.tid, predicate.replace(" ", "_"), object_.tid), rest.lstrip(" :=–—->→,")


_CUT = "\x01"
"""Put behind a time that may have lost digits, so that nothing reads it."""


def _ends_in_cut_time(text: str, context: StepContext) -> bool:
    """Whether the very end of a text is a number without a unit and without all of a time's decimals."""
    last = re.search(r"(?<![\d:.])\d+(?:\.(\d*))?$", text)
    return last is not None and len(last[1] or "") != context.decimals


def _lines(text: str) -> list[str]:
    """The lines that hold something, runs of blanks as one (a long run costs a regular expression its square)."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and line.lower() != NOTHING]


def _as_stood(unread: Iterable[str]) -> tuple[str, ...]:
    return tuple(line.replace(_CUT, "").replace(_FROM_JSON, "") for line in unread)


def _plain(line: str) -> str:
    """A line without Markdown; empty where it holds nothing but that, or the title of a step."""
    line = _EMPHASIS.sub("", line) if not _FENCE.fullmatch(line) else ""
    line = _BULLET.sub("", line, count=1) if _BULLET.match(line) else line
    line = line.strip().rstrip(".;,*| ")
    return "" if _TITLE.fullmatch(line) or not re.search(r"\w", line) else line
