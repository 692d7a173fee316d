"""CaST-Bench: multiple-choice questions whose evidence people marked, in spans of whole seconds with boxes.

    castbench/castbench_hf.jsonl    one question a line; all are of the test split

A line holds `video`, `question`, `question_type`, `options` by letter, `answer` (a letter) and `evidence`, a list (or
the same as JSON text) of pieces: `evidence_instance_id` (`person_FnH`: a category and a mark), a start and an end
(`mm:ss`, both included), and `bboxes_in_range`, boxes x1, y1, x2, y2 in pixels by whole seconds.

A video's scene is what all of its questions mark: a thing is what an `evidence_instance_id` names, and its category is
that without the mark. Step 1 of a question is its own pieces, with the origin `annotation`; whoever marked them knew
the answer, so `used_answer` is true. Boxes that are inverted or flat, and those after the end of the video, are left
out and counted; those outside their piece's span are kept, for they say where the thing was.

No line has a frame rate or a size. They come from the videos' headers; without these a record is on a clock of its own,
see `own_scene`. What a piece says beyond the record, whose it is and which boxes are its own, goes into
`evidence.jsonl`, in the words of the publisher's scores (`cotasks.evidence.castbench`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import orjson

from cotasks.builders.readers.checks import counted_as, expect_list, expect_object, is_number, unique_ids
from cotasks.builders.readers.own import header_of
from cotasks.builders.readers.own_scene import category_name, clock_of, evidence_of, on_grid, tids_of
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.errors import InputError, shorten
from cotasks.records.annotation import Evidence, LeftOut, Question, Skipped, VideoAnnotation
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnEvidence
from cotasks.records.own_fields import relative_path
from cotasks.records.own_files import lines_of
from cotasks.words.types import castbench_category

NAME = "castbench"
FILE = "castbench/castbench_hf.jsonl"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARK = re.compile(r"(.+)_[A-Za-z0-9]+")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2})|(\d{1,6})")


@dataclass(frozen=True)
class Piece:
    """A piece of evidence."""

    thing: str
    start: float
    end: float
    """Seconds of file time, both included."""
    boxes: tuple[tuple[float, tuple[float, ...]], ...]
    """(second, x1, y1, x2, y2 in pixels) as the file has them."""


@dataclass(frozen=True)
class Marked:
    """What a question brings."""

    pieces: tuple[Piece, ...]
    stated: Mapping[str, Any]
    """See `Annotator.stated`."""


@dataclass(frozen=True)
class CastAnnotator(Annotator):
    """The pieces of evidence by video."""

    pieces: Mapping[str, tuple[tuple[str, Piece], ...]]
    """Video -> (`file:line`, piece) of all its questions."""
    videos: str | None
    num_frames: int
    grid: Literal["snapped", "uniform"]

    def annotate(self, question: Question) -> VideoAnnotation:
        """See `own_scene`; rate, length and size come from the video's header where the videos are at hand."""
        pieces = self.pieces[question.video_id]
        header = None
        if self.videos is not None:
            header = header_of(OwnAnnotation(question.video_path, place=question.place), self.videos)
        last = None if header is None else header.frame_count / header.fps
        annotation, left_out = _scene(question.video_path, pieces, last, question.place)
        found = on_grid(
            annotation,
            clock_of(annotation, header),
            place=question.place,
            clip=None,
            reach=max((piece.end for _, piece in pieces), default=0.0),
            num_frames=self.num_frames,
            grid=self.grid,
        )
        return dataclasses.replace(found, left_out=left_out)

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """The question's own pieces. An end is a whole second, so it may lie a second after that of the video."""
        pieces = question.own_annotation.pieces
        if not pieces:
            return None
        last = annotation.clip.end_seconds
        spans = tuple((piece.start, last if last < piece.end <= last + 1 else piece.end) for piece in pieces)
        things = tuple(dict.fromkeys(piece.thing for piece in pieces))
        marked = OwnEvidence(spans, things, "annotation", used_answer=True)
        return evidence_of(marked, tids_of(_entities(self.pieces[question.video_id])), annotation, question.place)

    def stated(self, question: Question) -> Mapping[str, Any] | None:
        """The answer's letter and the pieces by thing, boxes as they stand in the file."""
        stated: Mapping[str, Any] = question.own_annotation.stated
        return stated


def plan(asked: Asked) -> Plan:
    """The questions of the test split; the other splits have none.

    A line that is no question with options, a right one and evidence is skipped with the reason.

    Raises InputError where the file is missing or cannot be read, and for a line that is no JSON object.
    """
    path = asked.require(FILE)
    if asked.split != "test":
        return Plan([], [], CastAnnotator({}, asked.videos, asked.num_frames, asked.grid))
    rows = []
    for place, line, _ in lines_of(path):
        try:
            rows.append((place, expect_object(orjson.loads(line), place)))
        except orjson.JSONDecodeError as error:
            raise InputError(f"{place}: not JSON: {error}; expected one object a line") from None
    texts = [(_text(row, "question"), _text(row, "answer"), _choices_for_id(row)) for _, row in rows]
    stems = [_stem(_text(row, "video")) for _, row in rows]
    ids = unique_ids([f"{NAME}/test/{stem}" for stem in stems], texts)
    questions: list[Question] = []
    skipped: list[Skipped] = []
    pieces: dict[str, list[tuple[str, Piece]]] = {}
    for (place, row), record_id in zip(rows, ids, strict=True):
        try:
            question = _question(row, record_id, place)
        except InputError as error:
            skipped.append(Skipped(record_id, error.reason, str(error)))
            continue
        questions.append(question)
        pieces.setdefault(question.video_id, []).extend((place, piece) for piece in question.own_annotation.pieces)
    by_video = {video: tuple(found) for video, found in pieces.items()}
    return Plan(questions, skipped, CastAnnotator(by_video, asked.videos, asked.num_frames, asked.grid))


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _stem(video: str) -> str:
    """A video's path without its ending."""
    path = PurePosixPath(video)
    return path.with_suffix("").as_posix() if path.name else "unnamed"


def _choices_for_id(row: Mapping[str, Any]) -> list[str]:
    options = row.get("options")
    return [str(text) for text in options.values()] if isinstance(options, dict) else []


def _question(row: Mapping[str, Any], record_id: str, place: str) -> Question:
    """A line. Raises InputError with the reason to skip it."""
    for name in ("video", "question", "question_type"):
        if not _text(row, name):
            raise InputError(f"{place}: {name} is {shorten(row.get(name))}; expected a text", "empty text")
    options = expect_object(row.get("options"), f"{place}: options")
    letters = sorted(options)
    texts = [options[letter] for letter in letters]
    if letters != list(LETTERS[: len(letters)]) or len(letters) < 2:
        raise InputError(f"{place}: options {shorten(letters)}; expected two or more, A, B, ...", "malformed options")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(f"{place}: options {shorten(options)}; expected a text each", "malformed options")
    if row.get("answer") not in letters:
        expected = f"one of {', '.join(letters)}"
        raise InputError(f"{place}: answer is {shorten(row.get('answer'))}; expected {expected}", "no answer")
    index = letters.index(row["answer"])
    choices = tuple(text.strip() for text in texts)
    pieces = _pieces(row.get("evidence"), place)
    with counted_as("malformed video path"):
        video = relative_path(row.get("video"), f"{place}: video")
    return Question(
        id=record_id,
        source=NAME,
        question_type=_text(row, "question_type"),
        category=castbench_category(_text(row, "question_type")),
        video_id=_stem(video),
        video_path=video,
        question=_text(row, "question"),
        answer=choices[index],
        additional_answers=(),
        choices=choices,
        answer_index=index,
        place=place,
        own_annotation=Marked(pieces, _stated(pieces, row["answer"])),
    )


def _pieces(value: object, place: str) -> tuple[Piece, ...]:
    """The evidence of a line. Raises InputError with the reason to skip the question."""
    where = f"{place}: evidence"
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{where} is not JSON: {error}", "malformed evidence") from None
    pieces = []
    for number, item in enumerate(expect_list(value, where, "malformed evidence")):
        at = f"{where}[{number}]"
        piece = expect_object(item, at, "malformed evidence")
        thing = piece.get("evidence_instance_id")
        if not isinstance(thing, str) or not thing.strip():
            raise InputError(f"{at}: evidence_instance_id is {shorten(thing)}; expected a name", "malformed evidence")
        start, end = (_seconds(piece.get(f"evidence_{name}_time"), at) for name in ("start", "end"))
        if start > end:
            raise InputError(f"{at}: from {start:g} to {end:g} s; expected start <= end", "malformed evidence")
        boxes = expect_object(piece.get("bboxes_in_range") or {}, f"{at}: bboxes_in_range", "malformed evidence")
        found = tuple((_seconds(second, at), _numbers(box, at)) for second, box in boxes.items())
        pieces.append(Piece(thing.strip(), start, end, found))
    return tuple(pieces)


def _seconds(value: object, place: str) -> float:
    """`mm:ss`, `hh:mm:ss` or whole seconds."""
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InputError(f"{place}: time {shorten(value)}; expected mm:ss or whole seconds", "malformed evidence")
    if match[4] is not None:
        return float(match[4])
    return 3600.0 * int(match[1] or 0) + 60 * int(match[2]) + int(match[3])


def _numbers(value: object, place: str) -> tuple[float, ...]:
    """A box, or the same as JSON text: four numbers."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = [value]
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        raise InputError(f"{place}: box {shorten(value)}; expected x1, y1, x2, y2", "malformed evidence")
    return tuple(map(float, value))


def _stated(pieces: Sequence[Piece], letter: str) -> dict[str, Any]:
    """The line of `evidence.jsonl`: what the publisher asks models to answer, filled in."""
    return {
        "answer_choice": letter,
        "instances": [
            {
                "instance_name": thing,
                "evidences": [
                    {
                        "evidence_start_time": _clock(piece.start),
                        "evidence_end_time": _clock(piece.end),
                        "bboxes_in_time_range": {_clock(second): list(box) for second, box in piece.boxes},
                    }
                    for piece in pieces
                    if piece.thing == thing
                ],
            }
            for thing in dict.fromkeys(piece.thing for piece in pieces)
        ],
    }


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _entities(pieces: Sequence[tuple[str, Piece]]) -> OwnAnnotation:
    """The things of a video, in the order of the file."""
    things = dict.fromkeys(piece.thing for _, piece in pieces)
    return OwnAnnotation("video", tuple(OwnEntity(thing, _category(thing)) for thing in things))


def _category(thing: str) -> str:
    """`Metal_bowl_cAn` -> `Metal bowl`."""
    match = _MARK.fullmatch(thing)
    return category_name((match[1] if match else thing).replace("_", " "))


def _scene(
    video: str, pieces: Sequence[tuple[str, Piece]], last: float | None, place: str
) -> tuple[OwnAnnotation, tuple[LeftOut, ...]]:
    """What is marked in a video, and what is left out of it.

    Args:
        last: where the video ends, in seconds; None where that is not known.
        place: of a question, for messages.
    """
    boxes: dict[tuple[str, float], OwnBox] = {}
    left_out = []
    for where, piece in pieces:
        for second, box in piece.boxes:
            x1, y1, x2, y2 = box
            if not (x1 < x2 and y1 < y2):
                detail = f"{where}: {piece.thing} at {second:g} s: box {list(box)}"
                left_out.append(LeftOut("box inverted or flat", detail))
            elif last is not None and second > last:
                detail = f"{where}: {piece.thing} at {second:g} s; the video ends at {last:g} s"
                left_out.append(LeftOut("box after the end of the video", detail))
            elif (
                boxes.setdefault((piece.thing, second), OwnBox(piece.thing, (x1, y1, x2, y2), second=second)).xyxy
                != box
            ):
                detail = f"{where}: {piece.thing} at {second:g} s: box {list(box)}"
                left_out.append(LeftOut("box unlike another of the same thing and second", detail))
    entities = _entities(pieces).entities
    return OwnAnnotation(video, entities, tuple(boxes.values()), place=place), tuple(left_out)
