"""V-STaR: open questions with the moment and the boxes that their answers rest on; github.com/V-STaR-Bench/V-STaR.

    vstar/V_STaR_test.json   a list of {vid, domain, fps, width, height, frame_count, question, answer, object,
                             timestamps, bboxes, temporal_question, spatial_question, spatial_question_2, chain}

The record's question is `question` ("what"). Its step 1 is what the questions for "when" and "where" ask for: the span
`timestamps` (seconds, both ends included), and one entity, `object` (the thing in the boxes), with `bboxes`
[{timestamp, frame_index, xmin, ymin, xmax, ymax}] as its boxes, in pixels as continuous edges, at frame `frame_index`
of the file. The other questions and `chain` speak of the answer, and are in no record. There are no relations.

Cheng et al., "V-STaR: Benchmarking Video-LLMs on Video Spatio-Temporal Reasoning", 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cotasks.builders.readers.checks import (
    Odd,
    counted_as,
    expect_list,
    expect_object,
    is_number,
    is_whole,
    unique_ids,
)
from cotasks.builders.readers.own_scene import Clock, evidence_of, on_grid
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.errors import InputError, shorten
from cotasks.records import own_fields as check
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnEvidence
from cotasks.tools.files import read_json

NAME = "vstar"
THING = "object"
"""Category of the boxed thing where the file does not name it."""
KIND = "question"
"""Type of a question where the file names no `domain`, which is type and category else."""
MOST_APART = 1.0
"""Seconds by which `timestamp` and `frame_index` of a box may differ: both are rounded."""


@dataclass(frozen=True)
class VstarAnnotator(Annotator):
    """The boxes of each question come with it."""

    num_frames: int
    grid: Literal["snapped", "uniform"]
    strict: bool

    def key(self, question: Question) -> str:
        """Each question has an annotation of its own."""
        return question.id

    def annotate(self, question: Question) -> VideoAnnotation:
        """The whole video on its grid, with the boxes of the question. An odd box is left out, or with `strict`
        refused."""
        row, place, odd = question.own_annotation, question.place, Odd(self.strict)
        clock = _clock(row, place)
        boxes: dict[int, OwnBox] = {}
        doubtful: set[int] = set()
        for number, item in enumerate(expect_list(row.get("bboxes"), f"{place}: bboxes", "malformed annotation")):
            try:
                box = _box(item, clock, f"{place}: bboxes[{number}]")
                frame = box.frame or 0
                if frame in boxes or frame in doubtful:
                    if frame in boxes and boxes[frame].xyxy != box.xyxy:
                        del boxes[frame]
                        doubtful.add(frame)
                    raise InputError(
                        f"{place}: bboxes[{number}]: frame_index {frame} again; expected each once",
                        "two boxes of one frame",
                    )
                boxes[frame] = box
            except InputError as error:
                odd.note(error)
        odd.refuse_many(len(boxes))
        with counted_as("malformed annotation"):
            name = check.name(row["object"], f"{place}: object") if row.get("object") is not None else THING
        annotation = OwnAnnotation(question.video_path, (OwnEntity(0, name),), tuple(boxes.values()))
        seen = on_grid(annotation, clock, place=place, clip=None, reach=0.0, num_frames=self.num_frames, grid=self.grid)
        return replace(seen, left_out=odd.left_out())

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """`timestamps`, and the boxed thing. Whoever marked them knew the answer."""
        place, value = question.place, question.own_annotation.get("timestamps")
        with counted_as("malformed timestamps"):
            span = check.span(value, f"{place}: timestamps")
        with counted_as("timestamps outside the video"):
            return evidence_of(OwnEvidence((span,), (0,), "annotation", used_answer=True), {0: 0}, annotation, place)


def plan(asked: Asked) -> Plan:
    """The questions of `V_STaR_test.json`; there are no other splits. Raises InputError where it is missing or no JSON
    list."""
    questions: list[Question] = []
    skipped: list[Skipped] = []
    if asked.split == "test":
        path = asked.require("vstar/V_STaR_test.json")
        rows = expect_list(read_json(Path(path)), str(path))
        fields = [row if isinstance(row, dict) else {} for row in rows]
        bases = [f"{NAME}/{asked.split}/{row.get('vid') or '?'}" for row in fields]
        texts = [(str(row.get("question", "")), str(row.get("answer", "")), ()) for row in fields]
        for number, (name, row) in enumerate(zip(unique_ids(bases, texts), rows, strict=True)):
            try:
                questions.append(_question(row, name, f"{path}: entry {number}"))
            except InputError as error:
                skipped.append(Skipped(name, error.reason, str(error)))
    return Plan(questions, skipped, VstarAnnotator(asked.num_frames, asked.grid, asked.strict))


def _question(row: Any, name: str, place: str) -> Question:
    """Raises InputError with the reason to skip it."""
    fault = "malformed question"
    row = expect_object(row, place, fault)
    with counted_as(fault):
        video = check.name(row.get("vid"), f"{place}: vid")
        path = check.relative_path(f"{video}.mp4", f"{place}: vid")
        question, answer = (check.text(row.get(key), f"{place}: {key}") for key in ("question", "answer"))
        kind = check.name(row["domain"], f"{place}: domain") if row.get("domain") is not None else KIND
    kept = ("fps", "width", "height", "frame_count", "object", "timestamps", "bboxes")
    return Question(
        id=name,
        source=NAME,
        question_type=kind,
        category=kind,
        video_id=video,
        video_path=path,
        question=question,
        answer=answer,
        additional_answers=(),
        choices=(),
        answer_index=-1,
        place=place,
        own_annotation={key: row[key] for key in kept if key in row},
    )


def _clock(row: Mapping[str, Any], place: str) -> Clock:
    with counted_as("malformed annotation"):
        fps = check.positive(row.get("fps"), f"{place}: fps")
        sizes = [check.count(row.get(name), f"{place}: {name}") for name in ("frame_count", "width", "height")]
    return Clock(fps, *sizes)


def _box(item: Any, clock: Clock, place: str) -> OwnBox:
    """Raises InputError where it is odd."""
    item = expect_object(item, place, "malformed box")
    frame, second = item.get("frame_index"), item.get("timestamp")
    if not is_whole(frame) or not is_number(second):
        expected = "a whole frame_index, a timestamp in seconds, xmin, ymin, xmax, ymax"
        raise InputError(f"{place} is {shorten(item, 200)}; expected {expected}", "malformed box")
    if not 0 <= frame < (clock.frame_count or 0):
        raise InputError(
            f"{place}: frame_index is {frame}; expected 0 to frame_count - 1 = {(clock.frame_count or 0) - 1}",
            "box after the video",
        )
    if abs(frame / clock.fps - second) > MOST_APART:
        raise InputError(
            f"{place}: timestamp is {second}; expected that of frame_index {frame}, {frame / clock.fps:.2f} s",
            "frame and second of a box disagree",
        )
    corners = [item.get(key) for key in ("xmin", "ymin", "xmax", "ymax")]
    if not all(is_number(value) for value in corners):
        raise InputError(f"{place}: box {shorten(corners)}; expected xmin, ymin, xmax, ymax in pixels", "malformed box")
    x1, y1, x2, y2 = (float(value) for value in corners)
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"{place}: box {corners}; expected xmin < xmax and ymin < ymax", "inverted box")
    with counted_as("box outside the frame"):
        clock.limits.check_box((x1, y1, x2, y2), place)
    return OwnBox(0, (x1, y1, x2, y2), frame=frame)
