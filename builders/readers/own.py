"""Own data: questions about any videos, with annotation in the format of `cotasks.records.own`.

    questions.jsonl   annotation.jsonl[.gz], annotation/*.jsonl[.gz]   own.json

A line that is wrong stops the build: whoever wrote it can mend it. Questions whose video is not annotated, that have no
answer, or whose times are outside the video are skipped with the reason.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cotasks.builders.readers.own_scene import clock_of, evidence_of, on_grid, tids_of
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.errors import InputError
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.records.own import OwnAnnotation, OwnQuestion, parse_annotation
from cotasks.records.own_fields import fault
from cotasks.records.own_files import ANNOTATION, QUESTIONS, annotation_files, lines_of, parse_line, read_questions

if TYPE_CHECKING:
    from cotasks.video.packets import VideoInfo

NAME = "own"
"""What records say in `source` where nothing else is said."""


@dataclass(frozen=True)
class StoredLine:
    """Where the annotation of a video stands."""

    path: str
    place: str
    """`file:line`"""
    offset: int
    length: int
    """Bytes of the line."""
    crc: int
    """Of the line."""
    packed: bytes | None = None
    """The line itself, compressed, where the file is: there is no jumping to a line within it."""

    def read(self) -> OwnAnnotation:
        """The annotation. Raises InputError where the file is no longer what it was."""
        if self.packed is not None:
            line = zlib.decompress(self.packed)
        else:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                line = file.read(self.length)
        if zlib.crc32(line) != self.crc:
            raise InputError(f"{self.place}: changed while it was read; expected a file that stays as it is")
        return parse_annotation(parse_line(line, self.place), self.place)


@lru_cache(maxsize=4)
def _annotation(line: StoredLine) -> OwnAnnotation:
    """The questions of a video come one after another."""
    return line.read()


@dataclass(frozen=True)
class OwnAnnotator(Annotator):
    """Annotation by video, read line by line."""

    lines: Mapping[str, StoredLine]
    reach: Mapping[str, float]
    """Video -> last second that one of its questions names."""
    videos: str | None
    num_frames: int
    grid: Literal["snapped", "uniform"]

    def missing(self, question: Question) -> str | None:
        """Whether a line has the video."""
        if question.video_id in self.lines:
            return None
        return f"{question.place}: video {question.video_id} is in no annotation file"

    def key(self, question: Question) -> str:
        """Questions about the same clip share an annotation."""
        return f"{question.video_id}\n{question.own_annotation.clip}"

    def annotate(self, question: Question) -> VideoAnnotation:
        """See `own_scene`; rate, length and size come from the video's header where the videos are at hand."""
        annotation = _annotation(self.lines[question.video_id])
        header = None if self.videos is None else header_of(annotation, self.videos)
        return on_grid(
            annotation,
            clock_of(annotation, header),
            place=question.place,
            clip=question.own_annotation.clip,
            reach=self.reach.get(question.video_id, 0.0),
            num_frames=self.num_frames,
            grid=self.grid,
        )

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """The question's own."""
        tids = tids_of(_annotation(self.lines[question.video_id]))
        return evidence_of(question.own_annotation.evidence, tids, annotation, question.place)

    def size(self, video_id: str) -> int:
        """Of the line."""
        return self.lines[video_id].length


def header_of(annotation: OwnAnnotation, folder: str) -> VideoInfo:
    """What the video's file says. Raises InputError where it is missing or no video, and where it has another rate or
    number of frames than the annotation states, by the tolerances of `cotasks.video.check`."""
    from cotasks.video.check import Expected, fault_error, faults
    from cotasks.video.facts import video_facts
    from cotasks.video.files import video_file

    path = video_file(folder, annotation.video)
    facts = video_facts(path, pictures=False)
    if annotation.fps is not None and (found := faults(Expected(annotation.fps, (), annotation.frame_count), facts)):
        raise fault_error(path, found)
    return facts.info


def plan(asked: Asked) -> Plan:
    """The questions of a split, and where the annotation of their videos stands.

    Raises InputError for a line of any of the files that is wrong, and where a file is missing.
    """
    found = read_questions(asked.require(QUESTIONS))
    questions, skipped = [], []
    for question in found:
        if question.split != asked.split:
            continue
        made = as_question(question, asked.name or NAME)
        if question.answers:
            questions.append(made)
        else:
            skipped.append(Skipped(made.id, "no answer", f"{made.place}: no answer; expected one to score against"))
    lines: Mapping[str, StoredLine] = {}
    if questions:
        paths = annotation_files(asked.root) or [asked.require(ANNOTATION)]
        lines = _index(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths))
    annotator = OwnAnnotator(lines, reach_of(found), asked.videos, asked.num_frames, asked.grid)
    return Plan(questions, skipped, annotator)


def as_question(question: OwnQuestion, source: str) -> Question:
    """The question as the build takes it; its id is `<source>/<split>/<id>`."""
    return Question(
        id=f"{source}/{question.split}/{question.id}",
        source=source,
        question_type=question.type,
        category=question.category,
        video_id=question.video,
        video_path=question.video,
        question=question.question,
        answer=question.answers[0] if question.answers else "",
        additional_answers=question.answers[1:],
        choices=question.choices,
        answer_index=question.answer_index,
        place=question.place,
        qid=question.id,
        own_annotation=question,
    )


def reach_of(questions: Sequence[OwnQuestion]) -> dict[str, float]:
    """Video -> the last second that one of its questions names."""
    reach: dict[str, float] = {}
    for question in questions:
        spans = question.evidence.spans if question.evidence is not None else ()
        for _, end in (*spans, *((question.clip,) if question.clip is not None else ())):
            reach[question.video] = max(end, reach.get(question.video, 0.0))
    return reach


@lru_cache(maxsize=1)
def _index(files: tuple[tuple[str, int, int], ...]) -> Mapping[str, StoredLine]:
    """Video -> where its line stands, once each line has been checked; files as (path, bytes, time of change)."""
    lines: dict[str, StoredLine] = {}
    for path, _, _ in files:
        for place, line, start in lines_of(Path(path)):
            annotation = parse_annotation(parse_line(line, place), place)
            if annotation.video in lines:
                first = lines[annotation.video].place
                raise fault(f"{place}: video", annotation.video, f"each video once; {first} has it")
            packed = zlib.compress(line, 1) if path.endswith(".gz") else None
            lines[annotation.video] = StoredLine(path, place, start, len(line), zlib.crc32(line), packed)
    return lines
