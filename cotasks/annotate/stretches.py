"""Stretches of a video as a model is shown them: frames with boxes and names drawn, and the request for step 4."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cotasks.errors import InputError
from cotasks.generate.prepare import Item, Target
from cotasks.look.drawing import LabelledBox, draw_boxes, track_styles
from cotasks.models.families import Family, frame_size
from cotasks.models.tensors import Clip
from cotasks.prompts.prompt import Prompt
from cotasks.records.boxes import CoordinateFormat, Xyxy
from cotasks.records.naming import entity_names
from cotasks.records.own import OwnAnnotation
from cotasks.records.schema import Entity, Frame, Span
from cotasks.records.timeline import grid_frames, near_grid, uniform_grid
from cotasks.steps.context import StepContext
from cotasks.steps.table import STEPS
from cotasks.video.files import video_file
from cotasks.video.reading import read_frames
from cotasks.words.plain import plain

STEP = 4


@dataclass(frozen=True)
class ActionOptions:
    """How a model is asked for actions. Raises InputError for a value outside its range."""

    frames: int = 16
    """Shown at once."""
    seconds: float = 30.0
    """Most that are shown at once."""
    predicates: tuple[str, ...] = ()
    """That the model is told to choose from; any by default."""
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        for name in ("frames", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"actions: {name} {getattr(self, name)}; expected 1 or more")
        if not 0 < self.seconds < math.inf:
            raise InputError(f"actions: seconds {self.seconds}; expected a number above 0")


@dataclass(frozen=True)
class Stretch:
    """A part of a video that is shown at once."""

    video: str
    number: int
    """From 0."""
    first: int
    """Frame number of its first frame."""
    end: int
    """Of the first frame behind it."""
    frames: tuple[Frame, ...]
    """Those shown."""
    entities: tuple[Entity, ...]
    """Those with a box in it; tids are ids of the annotation."""
    fps: float

    @property
    def id(self) -> str:
        """The first part of its key among generations and failures."""
        return f"{self.video}#{self.number}"

    @property
    def clip(self) -> Span:
        """Times in prompt and answer count from its start."""
        return Span(self.first / self.fps, (self.end - 1) / self.fps)


def stretches_of(annotation: OwnAnnotation, options: ActionOptions) -> list[Stretch]:
    """The parts of a video that are asked about."""
    if annotation.fps is None or annotation.frame_count is None or len(annotation.entities) < 2:
        return []
    boxed: dict[int, set[int]] = {}
    for frame, tid, _ in _boxes(annotation):
        boxed.setdefault(frame, set()).add(tid)
    count = max(1, math.ceil(annotation.frame_count / annotation.fps / options.seconds - 1e-9))
    found = []
    for number in range(count):
        first, end = (annotation.frame_count * place // count for place in (number, number + 1))
        there = set().union(*(ids for frame, ids in boxed.items() if first <= frame < end))
        if len(there) < 2 or first >= end:
            continue
        keys = [frame for frame in boxed if first <= frame < end]
        frames = grid_frames(near_grid(uniform_grid(first, end - 1, options.frames), keys), annotation.fps)
        entities = tuple(Entity(int(e.id), e.category) for e in annotation.entities if e.id in there)
        found.append(Stretch(annotation.video, number, first, end, frames, entities, annotation.fps))
    return found


def _boxes(annotation: OwnAnnotation) -> Iterator[tuple[int, int, Xyxy]]:
    """(frame, tid, box), as `annotate.scenes` writes them: by frame, and of things that are numbered."""
    for box in annotation.boxes:
        if box.frame is not None and isinstance(box.entity, int):
            yield box.frame, box.entity, box.xyxy


def context_of(stretch: Stretch, family: Family) -> StepContext:
    """How a stretch is spoken of."""
    return StepContext(
        entities=stretch.entities,
        frames=stretch.frames,
        fps=stretch.fps,
        clip=stretch.clip,
        source_size=(1, 1),
        coordinates=CoordinateFormat(family.coordinates, (1, 1)),
        frame_reference=family.frame_reference,
    )


def prompt_of(stretch: Stretch, options: ActionOptions, family: Family) -> Prompt:
    """What is asked about a stretch."""
    names = ", ".join(context_of(stretch, family).names[entity.tid] for entity in stretch.entities)
    lines = [
        f"A box and a name are drawn on the frames around each of these: {names}.",
        "Times are in seconds from the start of the video.",
        STEPS[STEP].request,
        f"Use these names, and one of these relations: {', '.join(p.replace('_', ' ') for p in options.predicates)}."
        if options.predicates
        else "Use these names.",
    ]
    content = [{"type": "video"}, {"type": "text", "text": plain("\n".join(lines))}]
    return Prompt([{"role": "user", "content": content}], stretch.frames, "", 0)


def item_of(stretch: Stretch, annotation: OwnAnnotation, folder: Path, options: ActionOptions, model: Target) -> Item:
    """A prompt with its frames, boxes drawn. Raises InputError where the video cannot be read."""
    source = (int(annotation.width or 0), int(annotation.height or 0))
    size = frame_size(model.family, *source, num_frames=len(stretch.frames), limits=model.limits)
    numbers = [frame.index for frame in stretch.frames]
    pixels = read_frames(video_file(folder, stretch.video), numbers, size)
    names = entity_names(stretch.entities)
    styles = track_styles(entity.tid for entity in stretch.entities)
    across, down = size[0] / source[0], size[1] / source[1]
    boxes: dict[int, list[LabelledBox]] = {}
    for frame, tid, (x1, y1, x2, y2) in _boxes(annotation):
        if tid in names:
            scaled = (x1 * across, y1 * down, x2 * across, y2 * down)
            boxes.setdefault(frame, []).append(LabelledBox(scaled, names[tid], *styles[tid]))
    drawn = [np.asarray(draw_boxes(image, boxes.get(n, ()))) for n, image in zip(numbers, pixels, strict=True)]
    clip = Clip(np.stack(drawn), [n - stretch.first for n in numbers], stretch.fps, stretch.end - stretch.first)
    return Item((stretch.id, "actions", 0), stretch.video, prompt_of(stretch, options, model.family), clip)
