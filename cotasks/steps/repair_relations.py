"""Steps 3 and 4 as models write them; what is read is listed at the head of `repair`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

from cotasks.records.schema import SpatialRelation, TemporalRelation
from cotasks.steps import spatial_relations, temporal_relations
from cotasks.steps.blocks import Line, read_line
from cotasks.steps.context import Parsed, StepContext
from cotasks.steps.json_boxes import Unreadable, Words
from cotasks.steps.json_forms import Told, TripleFound, frames_of_pair, frames_told, stretches_told, triples
from cotasks.steps.lines import CUT, Rest, blocks_of, ends_in_cut_time, plain_line
from cotasks.steps.localization_lines import NOTHING_SAID
from cotasks.steps.triple_lines import Reading, readings, triples_at_one_time
from cotasks.steps.wording import NUMBER_WORDS, has_unit, read_frames, read_stretches, says_moment

_AFTER_NUMBER = "(?:" + "|".join([r"(?<=[\ds])", *(rf"(?<=\b{word})" for word in NUMBER_WORDS)]) + ")"
_SECOND_TRIPLE = re.compile(_AFTER_NUMBER + r"[;,.*`_]{0,5}\s+(?:\d{1,3}[.)]\s+)?[*`_\s-]{0,8}(?=[\[({<]{1,2}[^\W\d])")


def read_spatial(text: str, context: StepContext) -> Parsed[tuple[SpatialRelation, ...]]:
    """A3; see the head of this module. Each triple once, with all its frames, in order of appearance."""

    def of_reading(one: Reading) -> Parsed[tuple[SpatialRelation, ...]]:
        if one.pair is not None:
            read = Parsed(frames_of_pair(*one.pair, context), ())
        else:
            read = read_frames(one.rest, context)
        # a number before a triple may be that of a list
        is_prose = one.is_before and (bool(read.unread) or not says_moment(one.rest))
        found = (SpatialRelation(*one.triple, frames=read.value),) if read.value and not is_prose else ()
        return Parsed(found, read.unread)

    def of_value(one: TripleFound, told: Told) -> Parsed[tuple[SpatialRelation, ...]]:
        frames, unread = frames_told(told, context)
        triple = one.subject.tid, one.predicate, one.object.tid
        found = (SpatialRelation(*triple, frames=tuple(sorted(frames))),) if frames else ()
        return Parsed(found, tuple(unread))

    read = _read_relations(3, text, context, of_reading, of_value)
    merged: dict[tuple[int, str, int], set[int]] = {}
    for relation in read.value:
        triple = relation.subject_tid, relation.predicate, relation.object_tid
        merged.setdefault(triple, set()).update(relation.frames)
    value = tuple(SpatialRelation(*triple, frames=tuple(sorted(frames))) for triple, frames in merged.items())
    return dataclasses.replace(read, value=value)


def read_temporal(text: str, context: StepContext) -> Parsed[tuple[TemporalRelation, ...]]:
    """A4; see the head of this module. Each item once, in order of appearance."""

    def of_reading(one: Reading) -> Parsed[tuple[TemporalRelation, ...]]:
        text = one.rest if one.pair is None else f"{one.pair[0]} to {one.pair[1]}"
        return Parsed(tuple(TemporalRelation(*one.triple, *ends) for ends in read_stretches(text, context)), ())

    def of_value(one: TripleFound, told: Told) -> Parsed[tuple[TemporalRelation, ...]]:
        triple = one.subject.tid, one.predicate, one.object.tid
        return Parsed(tuple(TemporalRelation(*triple, *ends) for ends in stretches_told(told, context)), ())

    read = _read_relations(4, text, context, of_reading, of_value)
    return dataclasses.replace(read, value=tuple(dict.fromkeys(read.value)))


class _Relations:
    """The relations of a text, line by line: a line may hold a triple, when it holds, or both.

    Args:
        of_reading: what a reading of a line holds.
    """

    def __init__(
        self, step: int, context: StepContext, of_reading: Callable[[Reading], Parsed[tuple[Any, ...]]]
    ) -> None:
        self.context, self.of_reading = context, of_reading
        self.parse = spatial_relations.parse if step == 3 else temporal_relations.parse
        self.step = step
        self.values: list[Any] = []
        self.rest = Rest()
        self.when = ""
        """A line that says when those below it hold."""
        self.waiting: tuple[Reading, str] | None = None
        """A triple without a time, and its line: those below may say when."""
        self.is_waiting = False
        """Whether nothing has said so yet."""

    def add_line(self, line: Line, cut: bool) -> None:
        read: Parsed[tuple[Any, ...]] = self.parse(line.text, self.context)
        is_repaired = line.text != line.stood and bool(read.value)
        if read.unread:
            plain = plain_line(read_line(line, with_boxes=False))
            if not plain or NOTHING_SAID.fullmatch(plain):
                read, is_repaired = Parsed((), ()), True
            elif not cut and self._hold(plain, line):
                return
            else:
                pieces = [self._again(piece) for piece in _SECOND_TRIPLE.split(plain + CUT * cut)]
                other = Parsed(tuple(v for p in pieces for v in p.value), tuple(u for p in pieces for u in p.unread))
                if _size(other.value) > _size(read.value):
                    read, is_repaired = other, True
                self.finish()
        else:
            self.finish()
        self.add(read, line.stood, is_repaired)

    def add(self, read: Parsed[tuple[Any, ...]], stood: str, is_repaired: bool) -> None:
        self.values.extend(read.value)
        self.rest.repaired += is_repaired
        self.rest.leave(read.unread, stood)

    def finish(self) -> None:
        """Leave a triple that nothing said a time of."""
        if self.is_waiting and self.waiting is not None:
            self.rest.leave([self.waiting[1]], self.waiting[1])
        self.waiting, self.is_waiting = None, False

    def _hold(self, plain: str, line: Line) -> bool:
        """Take a line that is a triple only, or a time only."""
        when = plain.rstrip(" :")
        if self._is_when(when):
            if self.waiting is None:
                self.when = when
            else:
                self.values.extend(self.of_reading(dataclasses.replace(self.waiting[0], rest=when)).value)
                self.is_waiting = False
            self.rest.repaired += 1
            return True
        alone = next((one for one in readings(plain, self.context) if not one.rest and one.pair is None), None)
        if alone is None or any(one.rest or one.pair for one in readings(plain, self.context)):
            return False
        self.finish()
        if self.when:
            read = self.of_reading(dataclasses.replace(alone, rest=self.when))
            self.add(read if read.value else Parsed((), (line.stood,)), line.stood, bool(read.value))
        else:
            self.waiting, self.is_waiting = (alone, line.stood), True
        return True

    def _is_when(self, text: str) -> bool:
        if self.step == 4:
            return bool(read_stretches(text, self.context))
        read = read_frames(text, self.context)
        speaks = re.search(r"frame", text, re.IGNORECASE) or any(
            has_unit(part) for part in re.split(r"\s*(?:;|,|\bto\b|\band\b|[-–—])\s*", text)
        )
        return bool(read.value) and not read.unread and bool(speaks)

    def _again(self, piece: str) -> Parsed[tuple[Any, ...]]:
        together = triples_at_one_time(piece, self.context)
        if together is not None:
            each = [self.of_reading(one) for one in together]
            is_whole = bool(each) and all(one.value and not one.unread for one in each)
            return Parsed(tuple(v for one in each for v in one.value), ()) if is_whole else Parsed((), (piece,))
        for one in readings(piece, self.context):
            read = self.of_reading(one)
            if read.value:
                return read
        return Parsed((), (piece,))


def _size(relations: Iterable[SpatialRelation | TemporalRelation]) -> int:
    return sum(len(one.frames) if isinstance(one, SpatialRelation) else 1 for one in relations)


def _read_relations(
    step: int,
    text: str,
    context: StepContext,
    of_reading: Callable[[Reading], Parsed[tuple[Any, ...]]],
    of_value: Callable[[TripleFound, Told], Parsed[tuple[Any, ...]]],
) -> Parsed[tuple[Any, ...]]:
    lines = _Relations(step, context, of_reading)
    speaks_of_times = step == 4 or context.frame_reference == "seconds"
    for block in blocks_of(step, text, context):
        if isinstance(block, Line):
            lines.add_line(block, block.is_last and speaks_of_times and ends_in_cut_time(text, context))
            continue
        lines.finish()
        for item in triples(block.node, context):
            stood = block.stood(item.node)
            if isinstance(item, Words):
                lines.add_line(Line(" ".join(item.text.split()), stood), cut=False)
                lines.finish()
            elif isinstance(item, Unreadable):
                lines.rest.leave([stood], stood)
            else:
                told = item.told or Told((lines.when,) if lines.when else ())
                read = of_value(item, told)
                lines.add(read if read.value else Parsed((), (stood,)), stood, bool(read.value))
                lines.rest.leave([block.stood(node) for node in told.unreadable if read.value], stood)
    lines.finish()
    return Parsed(tuple(lines.values), tuple(lines.rest.unread), lines.rest.repaired)
