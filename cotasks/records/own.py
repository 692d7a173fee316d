"""The format of own data, version 1: questions about videos, and annotation by video, one JSON object a line.

    questions.jsonl     one question a line
    annotation.jsonl    one video a line; or several files in annotation/; also .jsonl.gz
    own.json            optional: {"format": 1, "source": NAME, "license": LICENCE, ...}

A question: `id`, `video` (path below the video folder) and `question`, and where there is more to say `answer` (a text,
or a list whose first is the reference), `choices` with `answer_index`, `type`, `category`, `split`, `clip` and
`evidence`. An annotation: `video`, `entities`, `boxes`, `relations`, and `fps`, `frame_count`, `width`, `height` where
they are known. All names are open: any printable text. `own.schema.json` beside this file says the same to editors;
what JSON Schema cannot say (ids that are listed, times within the video) is checked here alone.

Frame numbers are 0-based positions in the video file, seconds are file time, boxes are x1, y1, x2, y2 in pixels as
continuous edges. Stretches of relations have an exclusive end, clips and spans of evidence include both ends. `parse_`
reads, `_row` writes, and one undoes the other. Where a line is wrong, InputError names file, line, field, the value and
what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cotasks.records import own_fields as check
from cotasks.records.own_fields import Field, Id, fault, read_object

FORMAT = 1

SPATIAL_PREDICATES = frozenset(
    (
        *("above", "away", "behind", "beneath", "in_front_of", "inside", "next_to", "towards"),
        *("on", "on_the_side_of", "at", "under", "near"),
        *("below", "beside", "left_of", "right_of", "over", "outside", "in", "between", "around"),
    )
)
"""Predicates that say where things are: those of VidOR and of STAR, and common others. A relation with another one runs
over time, unless it says `spatial`."""


@dataclass(frozen=True)
class OwnEvidence:
    """Where the answer can be seen."""

    spans: tuple[tuple[float, float], ...] = ()
    """(start, end) in seconds of the file, both included."""
    entities: tuple[Id, ...] | None = None
    """Ids of entities of the video's annotation; None where nothing is said of them."""
    origin: str = "annotation"
    """`annotation`, `human` or `model`."""
    used_answer: bool = False
    """Whether whoever gave the evidence saw the answer."""


@dataclass(frozen=True)
class OwnQuestion:
    """A question about a video."""

    id: str
    video: str
    """Path of the video file below the video folder, with forward slashes."""
    question: str
    answers: tuple[str, ...] = ()
    """The reference, then additional ones; with choices the text of the right one; empty where none is known."""
    choices: tuple[str, ...] = ()
    answer_index: int = -1
    """Position of the right choice, from 0; -1 where open-ended."""
    type: str = "question"
    category: str = "question"
    split: str = "test"
    """train, validation or test."""
    clip: tuple[float, float] | None = None
    """(start, end) in seconds of the file, both included; None for the whole video."""
    evidence: OwnEvidence | None = None
    place: str = field(default="question", compare=False)
    """`file:line`, for messages."""


@dataclass(frozen=True)
class OwnEntity:
    """An annotated thing."""

    id: Id
    category: str


@dataclass(frozen=True)
class OwnBox:
    """Where an entity is, at a frame or at a second."""

    entity: Id
    xyxy: tuple[float, float, float, float]
    frame: int | None = None
    second: float | None = None
    generated: bool = False
    """Whether a program wrote the box."""
    score: float | None = None
    """How sure a detector was, 0 to 1."""


@dataclass(frozen=True)
class OwnRelation:
    """A triple over a stretch of frames or of seconds, its end exclusive."""

    subject: Id
    predicate: str
    object: Id
    frames: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    spatial: bool = False
    """Whether it says where things are (step 3) or what happens (step 4)."""


@dataclass(frozen=True)
class OwnAnnotation:
    """What is in a video."""

    video: str
    entities: tuple[OwnEntity, ...] = ()
    boxes: tuple[OwnBox, ...] = ()
    relations: tuple[OwnRelation, ...] = ()
    fps: float | None = None
    frame_count: int | None = None
    width: int | None = None
    height: int | None = None
    detector: Mapping[str, Any] | None = None
    """Whatever is to be kept of how the boxes were made: model, thresholds, tracker, versions."""
    place: str = field(default="annotation", compare=False)
    """`file:line`, for messages."""


_EVIDENCE = {
    "spans": Field(check.list_of(check.span), ()),
    "entities": Field(check.list_of(check.entity_id), None),
    "origin": Field(check.one_of("annotation", "human", "model"), "annotation"),
    "used_answer": Field(check.flag, False),
}
_QUESTION = {
    "format": Field(check.one_of(FORMAT), FORMAT),
    "id": Field(check.name),
    "video": Field(check.relative_path),
    "question": Field(check.text),
    "answer": Field(check.text_or_texts, ()),
    "choices": Field(check.list_of(check.text), ()),
    "answer_index": Field(check.whole, None),
    "type": Field(check.name, "question"),
    "category": Field(check.name, None),
    "split": Field(check.one_of("train", "validation", "val", "test"), "test"),
    "clip": Field(check.span, None),
    "evidence": Field(lambda value, place: OwnEvidence(**read_object(value, place, _EVIDENCE)), None),
}
_ENTITY = {"id": Field(check.entity_id), "category": Field(check.name)}
_BOX = {
    "entity": Field(check.entity_id),
    "xyxy": Field(check.box),
    "frame": Field(check.whole, None),
    "second": Field(check.seconds, None),
    "generated": Field(check.flag, False),
    "score": Field(check.share, None),
}
_RELATION = {
    "subject": Field(check.entity_id),
    "predicate": Field(check.name),
    "object": Field(check.entity_id),
    "frames": Field(check.stretch(check.whole), None),
    "seconds": Field(check.stretch(check.seconds), None),
    "spatial": Field(check.flag, None),
}
_ANNOTATION = {
    "format": Field(check.one_of(FORMAT), FORMAT),
    "video": Field(check.relative_path),
    "fps": Field(check.positive, None),
    "frame_count": Field(check.count, None),
    "width": Field(check.count, None),
    "height": Field(check.count, None),
    "entities": Field(check.list_of(lambda value, place: OwnEntity(**read_object(value, place, _ENTITY))), ()),
    "boxes": Field(check.list_of(lambda value, place: OwnBox(**read_object(value, place, _BOX))), ()),
    "relations": Field(check.list_of(lambda value, place: _relation(value, place)), ()),
    "detector": Field(check.json_object, None),
}


def parse_question(row: object, place: str = "question") -> OwnQuestion:
    """A line's JSON value -> the question. Raises InputError that names place, field, value and what was expected."""
    fields = read_object(row, place, _QUESTION)
    answers, index = fields["answer"], fields["answer_index"]
    choices: tuple[str, ...] = fields["choices"]
    if not choices and index is not None:
        raise fault(f"{place}: answer_index", index, "it only with choices")
    if choices:
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise fault(f"{place}: choices", list(choices), "two or more, no two alike")
        if index is None and (len(answers) != 1 or answers[0] not in choices):
            raise fault(f"{place}: answer", list(answers), "the text of one choice, or answer_index")
        index = choices.index(answers[0]) if index is None else index
        if index >= len(choices):
            raise fault(f"{place}: answer_index", index, f"0 to {len(choices) - 1}, the position of a choice")
        if answers not in ((), (choices[index],)):
            raise fault(f"{place}: answer", list(answers), f"{choices[index]!r}, the choice that answer_index names")
        answers = (choices[index],)
    clip, evidence = fields["clip"], fields["evidence"]
    if clip is not None and clip[0] == clip[1]:
        raise fault(f"{place}: clip", list(clip), "[start, end] with start < end")
    for number, span in enumerate(evidence.spans if evidence is not None and clip is not None else ()):
        if span[0] < clip[0] or span[1] > clip[1]:
            raise fault(f"{place}: evidence.spans[{number}]", list(span), f"within the clip {list(clip)}")
    return OwnQuestion(
        id=fields["id"],
        video=fields["video"],
        question=fields["question"],
        answers=answers,
        choices=choices,
        answer_index=-1 if index is None else index,
        type=fields["type"],
        category=fields["category"] or fields["type"],
        split="validation" if fields["split"] == "val" else fields["split"],
        clip=clip,
        evidence=evidence,
        place=place,
    )


def question_row(question: OwnQuestion) -> dict[str, Any]:
    """The line of a question, without what goes without saying; `parse_question` reads it."""
    row: dict[str, Any] = {"id": question.id, "video": question.video, "question": question.question}
    if question.answers and not question.choices:
        row["answer"] = question.answers[0] if len(question.answers) == 1 else list(question.answers)
    if question.choices:
        row |= {"choices": list(question.choices), "answer_index": question.answer_index}
    row |= {"type": question.type, "category": question.category, "split": question.split}
    if question.clip is not None:
        row["clip"] = list(question.clip)
    if question.evidence is not None:
        evidence = question.evidence
        row["evidence"] = {
            "spans": [list(span) for span in evidence.spans],
            **({} if evidence.entities is None else {"entities": list(evidence.entities)}),
            "origin": evidence.origin,
            "used_answer": evidence.used_answer,
        }
    return row


def parse_annotation(row: object, place: str = "annotation") -> OwnAnnotation:
    """A line's JSON value -> the annotation of a video.

    Raises InputError that names place, field, value and what was expected: for an entity listed twice or not at all,
    two units at once, two boxes of an entity at one time, times outside the video where it says how long that is (one
    frame of grace for seconds), and boxes outside the frame where it says how large that is (one pixel of grace).
    """
    found = OwnAnnotation(**without_format(read_object(row, place, _ANNOTATION)), place=place)
    if (found.width is None) != (found.height is None):
        raise fault(f"{place}: width and height", [found.width, found.height], "both or neither")
    known: set[Id] = set()
    for number, entity in enumerate(found.entities):
        if entity.id in known:
            raise fault(f"{place}: entities[{number}].id", entity.id, "each id once")
        known.add(entity.id)
    limits = check.Bounds(found.fps, found.frame_count, found.width, found.height)
    boxed: set[tuple[Id, int | None, float | None]] = set()
    for number, box in enumerate(found.boxes):
        where = f"{place}: boxes[{number}]"
        if (box.frame is None) == (box.second is None):
            raise fault(where, {"frame": box.frame, "second": box.second}, "a frame or a second, one of the two")
        if box.entity not in known:
            raise fault(f"{where}.entity", box.entity, "the id of a listed entity")
        if (key := (box.entity, box.frame, box.second)) in boxed:
            raise fault(where, box.entity, "one box of an entity at a time")
        boxed.add(key)
        limits.check_moment(box.frame, box.second, where)
        limits.check_box(box.xyxy, where)
    for number, relation in enumerate(found.relations):
        where = f"{place}: relations[{number}]"
        for end in ("subject", "object"):
            if getattr(relation, end) not in known:
                raise fault(f"{where}.{end}", getattr(relation, end), "the id of a listed entity")
        limits.check_stretch(relation.frames, relation.seconds, where)
    return found


def _relation(value: object, place: str) -> OwnRelation:
    fields = read_object(value, place, _RELATION)
    if (fields["frames"] is None) == (fields["seconds"] is None):
        units = {unit: fields[unit] for unit in ("frames", "seconds")}
        raise fault(place, units, "frames [begin, end) or seconds [begin, end), one of the two")
    if fields["spatial"] is None:
        fields["spatial"] = fields["predicate"].replace(" ", "_").lower() in SPATIAL_PREDICATES
    return OwnRelation(**fields)


def without_format(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields but `format`, which has been checked."""
    return {name: value for name, value in fields.items() if name != "format"}


def annotation_row(annotation: OwnAnnotation) -> dict[str, Any]:
    """The line of a video, without what goes without saying; `parse_annotation` reads it."""
    row: dict[str, Any] = {"format": FORMAT, "video": annotation.video}
    row |= _given(annotation, "fps", "frame_count", "width", "height")
    row["entities"] = [{"id": entity.id, "category": entity.category} for entity in annotation.entities]
    row["boxes"] = [
        {
            "entity": box.entity,
            **_given(box, "frame", "second"),
            "xyxy": list(box.xyxy),
            **({"generated": True} if box.generated else {}),
            **_given(box, "score"),
        }
        for box in annotation.boxes
    ]
    row["relations"] = [
        {
            **{name: getattr(relation, name) for name in ("subject", "predicate", "object", "spatial")},
            **{name: list(value) for name, value in _given(relation, "frames", "seconds").items()},
        }
        for relation in annotation.relations
    ]
    return row | _given(annotation, "detector")


def _given(value: object, *names: str) -> dict[str, Any]:
    return {name: found for name in names if (found := getattr(value, name)) is not None}
