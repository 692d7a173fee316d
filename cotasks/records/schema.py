"""The CoTask record: dataclasses, and the `datasets` features derived from them.

This module is the single truth of fields, types and units. `FEATURES` is computed from the annotations below,
`records_to_table` writes them to Arrow, `cotasks.records.from_arrow` reads them back, and `dataset_card.md` repeats the
string under each field.

Conventions: frame numbers are 0-based positions in the video file; seconds are `frame / fps`, file time; boxes
are `[x1, y1, x2, y2]` in pixels of `(width, height)` as continuous edges, so `x2 - x1` is the width.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import pyarrow as pa
from datasets import ClassLabel, Features, List, Value

ORIGINS = ("human", "annotation", "model", "lexical", "whole")
"""Where step 1 comes from: people's time spans (NExT-GQA), the source's own situations (STAR), a model's
proposals, question words matched to annotated categories and predicates, or nothing (all frames, all entities)."""

Int = Annotated[int, Value("int32")]
OptionalInt = Annotated["int | None", Value("int32")]
Float = Annotated[float, Value("float64")]
Text = Annotated[str, Value("string")]
Bool = Annotated[bool, Value("bool")]
Origin = Annotated[str, ClassLabel(names=list(ORIGINS))]
Xyxy = Annotated[tuple[float, float, float, float], List(Value("float64"), length=4)]


@dataclass(frozen=True)
class Frame:
    """One frame of the grid."""

    index: Int
    """0-based frame number in the video file."""
    seconds: Float
    """Time of the frame in the file, `index / fps`."""


@dataclass(frozen=True)
class Span:
    """A stretch of time, both ends included."""

    start_seconds: Float
    """First moment, seconds of file time, >= 0."""
    end_seconds: Float
    """Last moment, seconds of file time, >= start_seconds."""


@dataclass(frozen=True)
class Entity:
    """An annotated thing."""

    tid: Int
    """Identity within the video: VidOR's tid, or the number in STAR's object code (`o019` -> 19)."""
    category: Text
    """Category name as the source spells it."""


@dataclass(frozen=True)
class Box:
    """Where an entity is on one frame."""

    frame: Int
    """0-based frame number in the video file."""
    xyxy: Xyxy
    """x1, y1, x2, y2 in pixels of (width, height), continuous edges, x1 < x2 and y1 < y2."""
    generated: Bool
    """True where the source says that a tracker wrote the box (VidOR); False for STAR, whose files do not say."""


@dataclass(frozen=True)
class Track:
    """The boxes of one entity, by frame."""

    tid: Int
    """Identity of the entity within the video."""
    category: Text
    """Category name of the entity."""
    boxes: tuple[Box, ...]
    """Its boxes in order of frame, at most one a frame, at least one."""


@dataclass(frozen=True)
class SpatialRelation:
    """A triple that holds within single frames."""

    subject_tid: Int
    """Entity that the relation is said of."""
    predicate: Text
    """Name as the source spells it, such as `in_front_of`."""
    object_tid: Int
    """Entity that it relates to."""
    frames: tuple[Int, ...]
    """0-based frame numbers at which it holds, ascending, at least one."""


@dataclass(frozen=True)
class TemporalRelation:
    """A triple that holds over a stretch of frames."""

    subject_tid: Int
    """Entity that acts."""
    predicate: Text
    """Name as the source spells it, such as `chase`."""
    object_tid: Int
    """Entity that is acted on."""
    begin_frame: Int
    """First 0-based frame number at which it holds."""
    end_frame: Int
    """Frame number after the last one at which it holds (exclusive), > begin_frame."""


@dataclass(frozen=True)
class FrameLocalization:
    """A1: which frames and entities matter."""

    frames: tuple[Int, ...]
    """0-based frame numbers, a subset of the grid, ascending, at least one."""
    spans: tuple[Span, ...]
    """The stretches of time that the frames stand for, ascending."""
    entities: tuple[Entity, ...]
    """The entities that matter, by tid; may be empty where the source annotates none."""
    span_origin: Origin
    """Where the spans come from."""
    entity_origin: Origin
    """Where the entities come from."""
    used_answer: Bool
    """True where whoever or whatever made this step saw the reference answer, so that it may leak it."""


@dataclass(frozen=True)
class Scene:
    """Everything annotated on the grid, before step 1 restricts it."""

    entities: tuple[Entity, ...]
    """All annotated entities, by tid."""
    entity_tracking: tuple[Track, ...]
    """All their boxes on the grid, by tid; entities without a box there are left out."""
    spatial_relations: tuple[SpatialRelation, ...]
    """All triples that hold at a frame of the grid."""
    temporal_relations: tuple[TemporalRelation, ...]
    """All triples that hold over a stretch of the clip."""


@dataclass(frozen=True)
class Record:
    """One question with its four steps."""

    id: Text
    """Stable name: `nextqa/<split>/<video>/<qid>`, `star/<split>/<question_id>` or `<source>/<split>/...`; where the
    source repeats a key, `-` and a hash of question and answer follow."""
    source: Text
    """The data set that the question comes from."""
    question_type: Text
    """What the source calls its type: NExT-QA's type code, STAR's question type, any name of another source."""
    category: Text
    """The reported category of that type."""
    video_id: Text
    """The source's name of the video."""
    video_path: Text
    """Path of the video file relative to the video folder, with forward slashes."""
    fps: Float
    """Frames a second of the video file, > 0."""
    frame_count: OptionalInt
    """Number of frames in the file; null where neither the source nor the file's header was there to say."""
    width: OptionalInt
    """Width in pixels that the boxes refer to; null where unknown (STAR built without `--videos`, whose boxes refer
    to the video at 480p)."""
    height: OptionalInt
    """Height in pixels that the boxes refer to; null where unknown (STAR built without `--videos`, whose boxes refer
    to the video at 480p)."""
    clip: Span
    """The part of the video that the question is about, seconds of file time; the whole video for NExT-QA."""
    question: Text
    """The question as the source spells it, without blanks at its ends."""
    answer: Text
    """The reference answer; for multiple choice, the text of the right choice."""
    additional_answers: tuple[Text, ...]
    """Further reference answers; empty where there are none."""
    choices: tuple[Text, ...]
    """The options of a multiple-choice question in the source's order; empty where open-ended."""
    answer_index: Int
    """Position of the right choice, from 0; -1 where open-ended."""
    frames: tuple[Frame, ...]
    """The grid: the frames that a model is shown, ascending, 64 at most by default."""
    frame_localization: FrameLocalization
    """A1, step 1."""
    entity_tracking: tuple[Track, ...]
    """A2, step 2: the boxes of A1's entities on A1's frames."""
    spatial_relations: tuple[SpatialRelation, ...]
    """A3, step 3: the triples between A1's entities at A1's frames."""
    temporal_relations: tuple[TemporalRelation, ...]
    """A4, step 4: the triples between A1's entities that overlap A1's spans, whole."""
    scene: Scene
    """Everything annotated on the grid, so that the steps can be rebuilt on other frames or entities."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Record:
        """The record of a `datasets` row (a dict); class labels may be numbers or names. Extra columns are ignored.

        Raises KeyError where a column is missing.
        """
        numbered = {name: names[row[name]] for name, names in FORMER_LABELS.items() if isinstance(row[name], int)}
        record: Record = _read_record({**row, **numbered} if numbered else row)
        return record

    def to_row(self) -> dict[str, Any]:
        """Nested dicts and lists, class labels as names: what `Features.encode_example` takes."""
        row: dict[str, Any] = _to_plain(self)
        return row


FORMER_LABELS: dict[str, tuple[str, ...]] = {
    "source": ("nextqa", "star", "sample"),
    "question_type": (
        *("CW", "CH", "TN", "TC", "TP", "DC", "DL", "DO", "DB"),
        *("Interaction", "Sequence", "Prediction", "Feasibility"),
    ),
    "category": (
        *("causal", "temporal", "descriptive"),
        *("interaction", "sequence", "prediction", "feasibility"),
    ),
}
"""Columns that were class labels before their values were open -> the names by number. Data of that time still loads;
this never grows."""


@cache
def fields_of(cls: Any) -> tuple[tuple[str, Any], ...]:
    """(name, type hint with its feature annotation) of each field of a dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(cls))


def is_struct(hint: Any) -> bool:
    """Whether a type hint is one of the dataclasses."""
    return dataclasses.is_dataclass(hint)


def _feature(hint: Any) -> Any:
    """Type hint -> `datasets` feature: a dataclass becomes a struct, a tuple a list."""
    if is_struct(hint):
        return {name: _feature(h) for name, h in fields_of(hint)}
    if typing.get_origin(hint) is tuple:
        return List(_feature(typing.get_args(hint)[0]))
    return hint.__metadata__[0]


FEATURES: Features = Features(_feature(Record))
"""The typed features of a record, as `load_dataset` returns them."""


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Type hint -> function from the value of a `datasets` row, made once a field: a record has thousands of values."""
    if is_struct(hint):
        readers = [(name, _reader(h)) for name, h in fields_of(hint)]
        return lambda value: hint(*[read(value[name]) for name, read in readers])
    if typing.get_origin(hint) is tuple:
        read_item = _reader(typing.get_args(hint)[0])
        return lambda value: tuple([read_item(item) for item in value])
    feature = hint.__metadata__[0]
    if isinstance(feature, ClassLabel):
        return lambda value: feature.int2str(value) if isinstance(value, int) else value
    return tuple if isinstance(feature, List) else lambda value: value


_read_record = _reader(Record)


def _to_plain(value: Any) -> Any:
    if is_struct(value):
        return {field.name: _to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_to_plain(v) for v in value]
    return value


def _to_arrow(hint: Any, values: Sequence[Any]) -> pa.Array:
    """Values of one field -> Arrow array, a column at a time: no dict is built for any box or triple."""
    if hint is Scene or typing.get_origin(hint) is tuple:
        # the questions of a video share its scene, grid and tracks: write them once and repeat them by index
        shared = list({id(value): value for value in values}.values())
        if len(shared) < len(values):
            places = {id(value): place for place, value in enumerate(shared)}
            return _to_arrow(hint, shared).take(pa.array([places[id(value)] for value in values], pa.int32()))
    if is_struct(hint):
        fields = fields_of(hint)
        columns = [_to_arrow(h, [*map(attrgetter(name), values)]) for name, h in fields]
        return pa.StructArray.from_arrays(columns, names=[name for name, _ in fields])
    if typing.get_origin(hint) is tuple:
        offsets = [0]
        for v in values:
            offsets.append(offsets[-1] + len(v))
        items = _to_arrow(typing.get_args(hint)[0], [*chain.from_iterable(values)])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items)
    feature = hint.__metadata__[0]
    if isinstance(feature, ClassLabel):
        return pa.array([feature.str2int(v) for v in values], pa.int64())
    if isinstance(feature, List):
        numbers = pa.array([*chain.from_iterable(values)], pa.float64())
        return pa.FixedSizeListArray.from_arrays(numbers, feature.length)
    return pa.array(values, feature.pa_type)


@cache
def _arrow_schema() -> pa.Schema:
    """Of `FEATURES`, with its metadata; `datasets` makes it anew each time, which takes as long as some records."""
    return FEATURES.arrow_schema


def records_to_table(records: Iterable[Record]) -> pa.Table:
    """Records -> Arrow table with the schema of `FEATURES`, its metadata included."""
    records = list(records)
    columns = [_to_arrow(hint, [*map(attrgetter(name), records)]) for name, hint in fields_of(Record)]
    schema = _arrow_schema()
    columns = [c.cast(f.type) if c.type != f.type else c for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)
