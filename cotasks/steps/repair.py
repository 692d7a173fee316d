"""Reading a step that a model wrote in a form of its own.

A text is taken apart into lines and structured values (`blocks`). What the step's `parse` reads of a line stands; a
line of which `parse` leaves something is tried once more, as described here, and the reading that holds more is kept.
`Parsed.repaired` counts the lines and values that only this module reads; what it does not read either stays in
`unread`, as it stood but for runs of blanks.

    Markdown            fences, bullets, numbering, bold, quotes; titles of steps and lines without content are passed
    titles              of step 1: missing, other words ("Key frames:", "Objects:"), on a line of their own, sentences:
                        see `localization_lines`
    brackets            (...), {...}, <...>, ((...)) for a box or a triple, none for a triple, (x1,y1),(x2,y2) for a box
    order               "0.5s: dog [...]", "dog [...] at 0.5s", headings: see `box_lines`; "0.5s: (a, on, b)",
                        "(a, on, b, 0.5s)", "a -> on -> b": see `triple_lines`
    numbers in words    zero to ninety-nine, with decimals: "frame two", "zero point five"
    times               "3.9 seconds", "t=3.94", "3.94"; clocks, and Chinese: see `times`; off the grid by less than
                        half of its step: the nearest frame
    frames              "Frame #2", "frames 2-4", "2"; times where a family refers to frames by position; "all frames"
    separators          a dash, an arrow, "until", "through", "between ... and" for a run; commas and "and" for a list;
                        " - ", "=" or nothing for the colon behind a title, a name or a triple; lines run together
    names               "the adult #1", "adult_1", "Adult1", "adult one"; behind a comma or colon, after prose; "ball"
                        for "ball/sports ball" where no other category is a ball: see `wording`
    coordinates         fractions, where all numbers of all boxes are from 0 to 1 and the family writes larger ones.
                        Pixels are never told from 0 to 1000: a box that cannot be the family's stays unread
    JSON                in fences or prose, damaged or cut off, by entity or by frame: see `json_boxes`, `json_forms`
    tables, records     Markdown tables, "Entity: dog, Time: 0.5s, Box: [...]": see `blocks`
    tags                <|box_start|>, <ref>, <box>, <obj>, <t> and full-width punctuation: see `tagged`
    repeated items      once; further boxes of an entity and frames of a triple join those before
    a cut-off end       unread: a box without its last bracket, a time without all of its decimals

Nothing is completed: every number of a box, and every name and predicate, stands in the text. What can mean two things
stays unread: two boxes of an entity on a frame, a whole number that may be a second or a frame.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from cotasks.records.boxes import CoordinateFormat
from cotasks.records.schema import Box, Entity, FrameLocalization, Track
from cotasks.records.timeline import spans_of_frames
from cotasks.steps import entity_tracking, frame_localization
from cotasks.steps.blocks import Line, Value, read_line
from cotasks.steps.box_lines import BOX, Heading, boxes_of_line, read_box, read_heading
from cotasks.steps.context import Parsed, StepContext
from cotasks.steps.json_boxes import BoxFound, Unreadable, Words, boxes
from cotasks.steps.json_forms import localization
from cotasks.steps.lines import CUT, Rest, blocks_of, ends_in_cut_time, plain_line, without_bullet
from cotasks.steps.localization_lines import NOTHING_SAID, SECOND_TITLE, localization_line, read_title
from cotasks.steps.wording import find_entity, read_frame, read_number

# --- step 1 ---


def read_localization(text: str, context: StepContext) -> Parsed[FrameLocalization]:
    """A1; see the head of this module."""
    frames: set[int] = set()
    entities: dict[int, Entity] = {}
    rest = Rest()
    section = ""  # whose title stood on a line of its own
    for block in blocks_of(1, text, context):
        if isinstance(block, Value):
            said = localization(block.node, context, section)
            frames |= said.frames
            entities |= said.entities
            rest.repaired += 1 if said.frames or said.entities or not said.unread else 0
            for part in said.unread:
                stood = block.stood(block.node)
                rest.leave([part if isinstance(part, str) else block.stood(part)], stood)
            continue
        parts = SECOND_TITLE.split(without_bullet(block.text))
        if len(parts) > 1 and read_number(parts[0].strip()) is not None:
            rest.leave(parts[:1], block.stood)  # a number of its own before a title may be a bullet
            parts = parts[1:]
        rest.repaired += len(parts) - 1
        for number, line in enumerate(parts, 1):
            strict = frame_localization.parse(line, context)
            found = set(strict.value.frames), {entity.tid: entity for entity in strict.value.entities}
            left: Sequence[str] = strict.unread
            is_repaired = without_bullet(block.text) != block.stood and not left
            if left:
                plain = plain_line(read_line(dataclasses.replace(block, text=line), with_boxes=False))
                title, content = read_title(plain)
                if title and not content:
                    section, left, is_repaired = title, (), True
                else:
                    is_cut = block.is_last and number == len(parts) and ends_in_cut_time(text, context)
                    is_cut = is_cut and context.frame_reference == "seconds" and (title or section) != "entities"
                    again = localization_line(content + CUT * is_cut, title or section, bool(title), context)
                    gain = len(again[0]) + len(again[1]) - len(found[0]) - len(found[1])
                    if not plain or gain > 0 or (gain == 0 and not again[2]):
                        found, left, is_repaired = again[:2], again[2] if plain else (), True
            frames |= found[0]
            entities |= found[1]
            rest.repaired += is_repaired
            rest.leave(left, block.stood)
    value = FrameLocalization(
        frames=tuple(sorted(frames)),
        spans=spans_of_frames(frames, context.frames),
        entities=tuple(entities[tid] for tid in sorted(entities)),
        span_origin="model",
        entity_origin="model",
        used_answer=False,
    )
    return Parsed(value, tuple(rest.unread), rest.repaired)


# --- step 2 ---


def read_tracks(text: str, context: StepContext) -> Parsed[tuple[Track, ...]]:
    """A2; see the head of this module. One track an entity, in order of appearance, its boxes in order of frame."""
    blocks = blocks_of(2, text, context)
    items = {id(block): list(boxes(block.node, context)) for block in blocks if isinstance(block, Value)}
    fractions = context.coordinates.kind != "fractions" and _are_fractions(
        [block.text for block in blocks if isinstance(block, Line)], [one for many in items.values() for one in many]
    )
    if fractions:
        context = dataclasses.replace(context, coordinates=CoordinateFormat("fractions"))
    tracks = _Tracks()
    heading = Heading()
    for block in blocks:
        if isinstance(block, Line):
            heading = _line_of_boxes(block, heading, fractions, context, tracks)
            continue
        for item in items[id(block)]:
            stood = block.stood(item.node)
            if isinstance(item, Unreadable):
                tracks.rest.leave([stood], stood)
            elif isinstance(item, Words):
                line = Line(" ".join(item.text.split()), stood)
                _line_of_boxes(line, heading, fractions, context, tracks)
            else:
                tracks.add_json(item, stood, heading, context)
    return Parsed(tracks.value(), tuple(tracks.rest.unread), tracks.rest.repaired)


class _Tracks:
    """The boxes read so far."""

    def __init__(self) -> None:
        self.boxes: dict[int, dict[int, Box]] = {}
        self.entities: dict[int, Entity] = {}
        self.rest = Rest()

    def add(self, found: Iterable[tuple[Entity, Box]], stood: str) -> None:
        for entity, box in found:
            self.entities.setdefault(entity.tid, entity)
            before = self.boxes.setdefault(entity.tid, {}).setdefault(box.frame, box)
            if before != box:
                self.rest.leave([stood], stood)  # another box of the same frame: the first is kept

    def add_json(self, item: BoxFound, stood: str, heading: Heading, context: StepContext) -> None:
        """A box of a structured value; what its value does not say, a heading above may."""
        entity = heading.entity if item.name is None else find_entity(item.name, context)
        frame = heading.frame if item.when is None else read_frame(item.when, context)
        if item.when is None and frame is None and len(context.frames) == 1:
            frame = context.frames[0].index
        box = None if entity is None or frame is None else read_box(item.numbers, frame, context)
        if entity is None or box is None:
            self.rest.leave([stood], stood)
        else:
            self.add([(entity, box)], stood)
            self.rest.repaired += 1

    def value(self) -> tuple[Track, ...]:
        return tuple(
            Track(tid, self.entities[tid].category, tuple(boxes[frame] for frame in sorted(boxes)))
            for tid, boxes in self.boxes.items()
        )


def _line_of_boxes(line: Line, heading: Heading, fractions: bool, context: StepContext, tracks: _Tracks) -> Heading:
    """Read a line into `tracks`; the heading for the lines below it."""
    strict = entity_tracking.parse(line.text, context)
    found = [(Entity(t.tid, t.category), box) for t in strict.value for box in t.boxes]
    left: Sequence[str] = strict.unread
    is_repaired = (fractions or line.text != line.stood) and bool(found)
    if left:
        plain = plain_line(read_line(line, with_boxes=True))
        below = read_heading(plain, heading, context)
        if below is not None:
            tracks.rest.repaired += 1
            return below
        again, left_again = boxes_of_line(plain, heading, context)
        if not plain or NOTHING_SAID.fullmatch(plain):
            left, is_repaired = (), True
        elif len(again) > len(found) or (found and any(_names_another(item) for item in left)):
            found, left, is_repaired = again, left_again, bool(again)
        elif plain.endswith(":"):
            heading = Heading()  # of something else
    else:
        heading = Heading()
    tracks.rest.repaired += is_repaired
    tracks.add(found, line.stood)
    tracks.rest.leave(left, line.stood)
    return heading


def _names_another(item: str) -> bool:
    """Whether an item that `parse` left holds a box with a name: what follows it may be that one's."""
    return BOX.search(item) is not None and re.search(r"\w: ", item) is not None


def _are_fractions(lines: Sequence[str], items: Iterable[object]) -> bool:
    """Whether all boxes of a text are of numbers from 0 to 1, and some number is between."""
    texts = [*lines, *(item.text for item in items if isinstance(item, Words))]
    numbers = [read_number(n) for text in texts for match in BOX.finditer(text) for n in match.groups() if n]
    numbers += [read_number(n) for item in items if isinstance(item, BoxFound) for n in item.numbers]
    return all(n is not None and 0 <= n <= 1 for n in numbers) and any(n not in (0, 1) for n in numbers)
