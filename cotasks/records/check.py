"""What the schema documents, checked of every value, once, where records are loaded.

A column at a time, in Arrow and numpy: the boxes of all records are one array, and each of them knows its record.
`check` refuses the first record that breaks a rule, in one line; `faults` gives them all.

Columns are called by the names from the outer to the inner field; what a list holds stands under the list's name and
`[]`, as in `scene.entity_tracking[].boxes[].xyxy`. Messages leave the brackets out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, List
from numpy.typing import NDArray

from cotasks.errors import InputError, shorten
from cotasks.records.schema import FEATURES, Record, records_to_table

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NULLABLE = ("frame_count", "width", "height")
"""Columns that may be null."""
MANY_LINES = ("question", "answer", "additional_answers[]", "choices[]")
"""Texts that may hold line feeds and tabs; all others are names, which stand in one line of a prompt."""
MAY_BE_EMPTY = ("question_type", "category", *MANY_LINES)
"""Texts that may be empty."""
LISTS_WITH_ITEMS = (
    *("frames", "frame_localization.frames", "frame_localization.spans"),
    *("entity_tracking[].boxes", "scene.entity_tracking[].boxes"),
    *("spatial_relations[].frames", "scene.spatial_relations[].frames"),
)
"""Lists that hold at least one item."""
MOST_PIXELS = 2**16
"""Of a side of a video; no codec takes more."""
RATE_SLACK = 0.05
"""By how much of it a frame's time may differ from `index / fps`: sources round rates, 24 for 25."""
SECONDS_SLACK = 1.0
"""How far past the last frame a clip or span may end: sources round to whole seconds."""


@dataclass(frozen=True)
class Fault:
    """A value that breaks a rule."""

    row: int
    """Position in the table."""
    id: str
    """Of the record."""
    field: str
    """Names from the outer to the inner field, `scene.entity_tracking.boxes.xyxy`."""
    value: Any
    expected: str

    def __str__(self) -> str:
        return f"record {shorten(self.id)}: column {self.field} is {shorten(self.value)}; expected {self.expected}"


@dataclass(frozen=True)
class _Column:
    """A field of all records: an item for each of its values, however deep it lies."""

    feature: Any
    array: pa.Array
    rows: Ints
    """Of each item, its record."""
    owners: Ints
    """Of each item, which list it lies in, counted over all records."""

    @cached_property
    def numbers(self) -> Any:
        """The values, (n,), of boxes (n, 4)."""
        if pa.types.is_fixed_size_list(self.array.type):
            return self.array.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.array.type.list_size)
        return self.array.to_numpy(zero_copy_only=False)

    @cached_property
    def keys(self) -> Ints:
        """Record and value as one number, ascending where the values of each record are."""
        keys: Ints = (self.rows << 32) + self.numbers + 2**31
        return keys

    @cached_property
    def lengths(self) -> Ints:
        """Of lists in items, of texts in bytes."""
        measure = pc.binary_length if pa.types.is_string(self.array.type) else pc.list_value_length
        lengths: Ints = measure(self.array).to_numpy(zero_copy_only=False).astype(np.int64)
        return lengths


class _Table:
    """The columns of a table, and what was found wrong with them."""

    def __init__(self, table: pa.Table) -> None:
        self.columns: dict[str, _Column] = {}
        self.found: list[Fault] = []
        self._ids = table["id"]
        rows = np.arange(table.num_rows)
        for name, feature in FEATURES.items():
            self._add(feature, whole(table[name]), name, rows, rows)

    def _add(self, feature: Any, array: pa.Array, path: str, rows: Ints, owners: Ints) -> None:
        """A column and those within it; where there are nulls, they are noted, and what is within is left out."""
        column = self.columns[path] = _Column(feature, array, rows, owners)
        if array.null_count and path not in NULLABLE:
            self.expect(path, _is_valid(array), "a value")
        elif isinstance(feature, dict):
            for name, inner in feature.items():
                self._add(inner, array.field(name), f"{path}.{name}", rows, owners)
        elif isinstance(feature, List) and feature.length < 0:
            owner = np.repeat(np.arange(len(array)), column.lengths)
            self._add(feature.feature, array.flatten(), f"{path}[]", rows[owner], owner)
        elif isinstance(feature, List) and array.flatten().null_count:
            sound: Bools = np.logical_and.reduce(_is_valid(array.flatten()).reshape(-1, feature.length), axis=1)
            self.expect(path, sound, f"{feature.length} numbers")

    def __getitem__(self, path: str) -> Any:
        """The values of a column of numbers."""
        return self.columns[path].numbers

    def expect(self, path: str, sound: Bools, expected: str) -> None:
        """Note of each record the first item of a column that is not sound."""
        if sound.all():
            return
        wrong = np.flatnonzero(~sound)
        column = self.columns[path]
        for row, first in zip(*np.unique(column.rows[wrong], return_index=True), strict=True):
            value = _value(column.array, int(wrong[first]))
            self.found.append(Fault(int(row), _value(self._ids, int(row)), path.replace("[]", ""), value, expected))

    def ascending(self, path: str, *, strictly: bool = True) -> None:
        """Expect the numbers of each list to ascend."""
        column = self.columns[path]
        values, sound = column.numbers, np.ones(len(column.array), np.bool_)
        rises = values[1:] > values[:-1] if strictly else values[1:] >= values[:-1]
        sound[1:] = rises | (column.owners[1:] != column.owners[:-1])
        self.expect(path, sound, "one after the one before it, in ascending order")

    def one_of(self, path: str, known: str, expected: str) -> Ints:
        """Expect each number to stand in the column `known` of its record too, whose numbers ascend; gives where."""
        keys, all_keys = self.columns[path].keys, self.columns[known].keys
        if not len(all_keys):
            self.expect(path, np.zeros(len(keys), np.bool_), expected)
            return np.zeros(0, np.int64)
        places = np.searchsorted(all_keys, keys).clip(max=len(all_keys) - 1)
        self.expect(path, all_keys[places] == keys, expected)
        return places


def check(table: pa.Table, place: str) -> None:
    """Refuse a table that breaks a rule.

    Args:
        table: the columns of `FEATURES`, in its types.
        place: where the records come from, for the message.

    Raises InputError naming the place, the record, the field, the value and what was expected.
    """
    found = faults(table)
    if found:
        raise InputError(f"{place}: {found[0]}", "not what the schema says")


def check_records(records: Iterable[Record], place: str) -> None:
    """The same of records. Raises InputError also where a value is of no type that its field can hold."""
    records = list(records)
    try:
        table = records_to_table(records)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, pa.ArrowException) as error:
        ids = shorten([record.id for record in records])
        raise InputError(f"{place}: records {ids}: a value of another type ({error}); expected a record") from None
    check(table, place)


def read_rows(rows: Iterable[Mapping[str, Any]], place: str) -> list[Record]:
    """Rows of a `datasets.Dataset` as records, checked.

    Raises InputError as `check_records` does, and where a row lacks a field.
    """
    records = []
    for row in rows:
        try:
            records.append(Record.from_row(row))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            name = shorten(row.get("id"))
            raise InputError(f"{place}: record {name}: not a row of a data set of records ({error})") from None
    check_records(records, place)
    return records


def faults(table: pa.Table) -> list[Fault]:
    """What breaks a rule, by record. A rule is looked at where those before it found nothing in the whole table, so
    that what it compares is sound."""
    found = _Table(table)
    for rule in RULES:
        if found.found:
            break
        rule(found)
    return sorted(found.found, key=lambda fault: fault.row)


def check_ids(table: pa.Table, place: str) -> None:
    """Check what orders the records, ahead of them.

    Raises InputError where an `id` or a `video_id` is null or empty or has control characters, or an id stands twice.
    """
    for name in ("id", "video_id"):
        array = whole(table[name])
        sound = _is_valid(array)
        if sound.all():
            sound = sound_text(array) & (pc.binary_length(array).to_numpy(zero_copy_only=False) > 0)
        if not sound.all():
            row = int(np.flatnonzero(~sound)[0])
            who = f"row {row}" if name == "id" else f"record {shorten(_value(table['id'], row))}"
            value = shorten(_value(array, row))
            raise InputError(f"{place}: {who}: column {name} is {value}; expected a text without control characters")
    counted = pc.value_counts(whole(table["id"]))
    twice = counted.filter(pc.greater(counted.field("counts"), 1))
    if len(twice):
        id_, rows = twice[0].as_py().values()
        raise InputError(f"{place}: record {shorten(id_)}: column id stands in {rows} rows; expected each id once")


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def sound_text(array: pa.Array, *, many_lines: bool = False) -> Bools:
    """Of each string, whether it is UTF-8 without control characters; `many_lines` allows tabs and line ends."""
    sound = np.ones(len(array), np.bool_)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        sound = np.array([_is_utf8(array[i]) for i in range(len(array))], np.bool_)
    _, starts, content = array.buffers()
    if not len(array) or content is None:
        return sound
    offsets = np.frombuffer(starts, np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]]
    control = (data < 0x20) | (data == 0x7F)
    if many_lines:
        control &= (data != 0x09) & (data != 0x0A) & (data != 0x0D)
    # U+0080 to U+009F in UTF-8, the other control characters
    control[1:] |= (data[:-1] == 0xC2) & (data[1:] < 0xA0)
    sound[np.searchsorted(offsets, np.flatnonzero(control) + offsets[0], side="right") - 1] = False
    return sound


def _is_utf8(text: Any) -> bool:
    try:
        text.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _is_valid(array: pa.Array) -> Bools:
    valid: Bools = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _value(array: Any, place: int) -> Any:
    try:
        return array[place].as_py()
    except UnicodeDecodeError:
        return array[place].as_buffer().to_pybytes()


def _single_values(table: _Table) -> None:
    """Rules of one value, by its type."""
    for path, column in table.columns.items():
        kind = column.array.type
        if isinstance(column.feature, ClassLabel):
            names = column.feature.names
            known = (column.numbers >= 0) & (column.numbers < len(names))
            table.expect(path, known, f"the number of one of {', '.join(names)}")
        elif pa.types.is_string(kind):
            many = path in MANY_LINES
            table.expect(path, sound_text(column.array, many_lines=many), "text without control characters")
            if path not in MAY_BE_EMPTY:
                table.expect(path, column.lengths > 0, "a text")
        elif pa.types.is_floating(kind) or pa.types.is_fixed_size_list(kind):
            finite = np.isfinite(column.numbers)
            table.expect(path, finite if finite.ndim == 1 else finite.all(axis=1), "finite numbers")
        elif path in LISTS_WITH_ITEMS:
            table.expect(path, column.lengths > 0, "at least one item")


def _numbers(table: _Table) -> None:
    """Rules of numbers that stand alone."""
    table.expect("fps", table["fps"] > 0, "a number > 0")
    for name, most in (("frame_count", np.inf), ("width", MOST_PIXELS), ("height", MOST_PIXELS)):
        known = _is_valid(table.columns[name].array)
        sound = (table[name] >= 1) & (table[name] <= most)
        table.expect(name, ~known | sound, "a whole number > 0, or null")
    right, choices = table["answer_index"], table.columns["choices"].lengths
    table.expect("answer_index", (right >= -1) & (right < choices.clip(min=1)), "a position among the choices, or -1")


def _times(table: _Table) -> None:
    """The grid, and spans in the video."""
    rate, count = table["fps"], _last_frames(table)
    index, rows = table["frames[].index"], table.columns["frames[].index"].rows
    table.expect("frames[].index", (index >= 0) & (index < count[rows]), "a frame number from 0, below frame_count")
    table.ascending("frames[].index")
    seconds = table["frames[].seconds"]
    slack = np.maximum(1.0, RATE_SLACK * index)
    table.expect("frames[].seconds", np.abs(seconds * rate[rows] - index) <= slack, "index / fps")
    end = count / rate * (1 + RATE_SLACK) + SECONDS_SLACK
    for path in ("clip", "frame_localization.spans[]"):
        rows = table.columns[path].rows
        first, last = table[f"{path}.start_seconds"], table[f"{path}.end_seconds"]
        table.expect(path, (first >= 0) & (first <= last) & (last <= end[rows]), "0 <= start <= end, within the video")
    spans = "frame_localization.spans[]"
    begin, until = table["clip.start_seconds"][rows], table["clip.end_seconds"][rows]
    touches = (table[f"{spans}.start_seconds"] <= until) & (table[f"{spans}.end_seconds"] >= begin)
    table.expect(spans, touches, "a stretch of the clip")
    table.ascending(f"{spans}.start_seconds", strictly=False)


def _last_frames(table: _Table) -> Any:
    """`frame_count` of each record, infinite where it is not known."""
    count = table["frame_count"].astype(np.float64)
    return np.where(np.isnan(count), np.inf, count)


def _entities(table: _Table) -> None:
    """Things by tid: those of the scene, and of them those of step 1."""
    table.expect("scene.entities[].tid", table["scene.entities[].tid"] >= 0, "a tid from 0")
    table.ascending("scene.entities[].tid")
    chosen = "frame_localization.entities[]"
    table.ascending(f"{chosen}.tid")
    _known(table, chosen, "scene.entities[]")
    table.one_of("frame_localization.frames[]", "frames[].index", "a frame of the grid")
    table.ascending("frame_localization.frames[]")


def _steps(table: _Table) -> None:
    """Boxes and triples: of the scene, and of step 1's entities at its frames."""
    if table.found:
        return
    last = _last_frames(table)
    for part, things, frames, held in (
        ("scene.", "scene.entities[]", "frames[].index", "a frame of the grid"),
        ("", "frame_localization.entities[]", "frame_localization.frames[]", "a frame of frame_localization"),
    ):
        tracks, boxes = f"{part}entity_tracking[]", f"{part}entity_tracking[].boxes[]"
        _known(table, tracks, things)
        table.ascending(f"{tracks}.tid")
        table.one_of(f"{boxes}.frame", frames, held)
        table.ascending(f"{boxes}.frame")
        corners = table[f"{boxes}.xyxy"]
        apart = (corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3])
        table.expect(f"{boxes}.xyxy", apart, "x1 < x2 and y1 < y2")
        for relations in (f"{part}spatial_relations[]", f"{part}temporal_relations[]"):
            for end in ("subject_tid", "object_tid"):
                table.one_of(f"{relations}.{end}", f"{things}.tid", f"a tid of {_shown(things)}")
        table.one_of(f"{part}spatial_relations[].frames[]", frames, held)
        table.ascending(f"{part}spatial_relations[].frames[]")
        begin, end_ = f"{part}temporal_relations[].begin_frame", f"{part}temporal_relations[].end_frame"
        table.expect(begin, table[begin] >= 0, "a frame number from 0")
        until = last[table.columns[end_].rows]
        table.expect(
            end_, (table[end_] > table[begin]) & (table[end_] <= until), "begin_frame < end_frame <= frame_count"
        )


def _known(table: _Table, path: str, things: str) -> None:
    """Expect things to be among those of another column, with their category."""
    faults_before = len(table.found)
    places = table.one_of(f"{path}.tid", f"{things}.tid", f"a tid of {_shown(things)}")
    if len(table.found) == faults_before and len(places):
        names, known = table.columns[f"{path}.category"].array, table.columns[f"{things}.category"].array
        same = pc.equal(names, known.take(pa.array(places))).to_numpy(zero_copy_only=False)
        table.expect(f"{path}.category", same, f"the category of its tid in {_shown(things)}")


def _shown(path: str) -> str:
    return path.replace("[]", "")


RULES: tuple[Callable[[_Table], None], ...] = (_single_values, _numbers, _times, _entities, _steps)
"""In the order in which they rely on each other."""
