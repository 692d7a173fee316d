"""What the readers of the source files hand on: a question, and a video's annotation on its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cotasks.records.schema import Entity, Frame, Scene, Span


@dataclass(frozen=True)
class Question:
    """One question of a source, before it meets the annotation of its video."""

    id: str
    """The record's id."""
    source: str
    question_type: str
    video_id: str
    video_path: str
    """Relative to the video folder."""
    question: str
    answer: str
    additional_answers: tuple[str, ...]
    choices: tuple[str, ...]
    answer_index: int
    """-1 where open-ended."""
    place: str
    """Where it stands, `file:line` or `file: question_id`, for messages."""
    qid: str = ""
    """The source's own number of the question, for looking up its human spans; unique only within a video."""
    size: tuple[int, int, int] | None = None
    """(frame_count, width, height) where the source of the question states them."""
    category: str = ""
    """Reported category of the type; empty where the type is the category."""
    own_annotation: Any = None
    """What the source annotates with this question alone, as its reader's `annotate` takes it."""


@dataclass(frozen=True)
class Skipped:
    """A question that became no record."""

    id: str
    reason: str
    """Short phrase without values, the same for all questions that fail alike."""
    detail: str
    """One line with file, place and value; may be empty."""


@dataclass(frozen=True)
class LeftOut:
    """A box or a relation that its source writes wrong, and that its video's annotation goes without."""

    reason: str
    """Short phrase without values, the same for all that are wrong alike."""
    detail: str
    """One line with file, place and value."""


@dataclass(frozen=True)
class VideoAnnotation:
    """The annotation of a video, or of a question's clip in it, on its grid."""

    fps: float
    frame_count: int | None
    width: int | None
    height: int | None
    clip: Span
    frames: tuple[Frame, ...]
    """The grid."""
    scene: Scene
    keyframes: tuple[int, ...] | None = None
    """0-based numbers of the annotated frames on the grid; None where every frame of the video is annotated."""
    keyframes_left_out: int = 0
    """Annotated frames of the clip for which the grid had no place."""
    keyframes_outside_clip: int = 0
    """Annotated frames before or after the clip, which are not used."""
    boxes_rescaled: bool = False
    """Whether boxes were scaled from the size that they were drawn at to that of the video file, width and height."""
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Where a source says that the answer to a question can be seen."""

    spans: tuple[Span, ...]
    """Seconds of file time, within the clip, ascending."""
    origin: str
    """`human` for spans that people marked on another's video annotation, `annotation` for the source's own."""
    used_answer: bool
    """Whether whoever marked them saw the answer."""
    entities: tuple[Entity, ...] | None = None
    """Entities of the scene that the answer rests on, by tid; None where the source does not say."""
