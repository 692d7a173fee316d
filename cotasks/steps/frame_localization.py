"""Step 1, frame localization (A1): which frames and entities matter.

In a prompt:

    Frames: 0.00s to 3.94s; 7.87s
    Entities: adult 1, child

A1 itself is found by `cotasks.builders.localize`, by origin.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cotasks.records.schema import Entity, Frame, FrameLocalization, Record, Span
from cotasks.records.timeline import frames_in_spans, spans_of_frames
from cotasks.steps.context import NOTHING, Parsed, StepContext, split_item
from cotasks.steps.measures import precision_recall_f1, said_none


def construct(localization: FrameLocalization, frames: Sequence[Frame]) -> FrameLocalization:
    """A1 on another choice of grid frames: those of its frames that are left, or, where none is, the frames that
    its spans give on the new grid. Spans, entities and origins stay."""
    left = {frame.index for frame in frames}.intersection(localization.frames)
    chosen = tuple(sorted(left)) or frames_in_spans(frames, localization.spans)
    return dataclasses.replace(localization, frames=chosen)


def render(localization: FrameLocalization, context: StepContext) -> str:
    """Two lines: the frames as runs on the grid, the entities by name in order of tid."""
    names = ", ".join(context.names[e.tid] for e in localization.entities) or NOTHING
    return f"Frames: {context.frames_text(localization.frames) or NOTHING}\nEntities: {names}"


def parse(text: str, context: StepContext) -> Parsed[FrameLocalization]:
    """Read A1 back. Spans are those that the frames cover; the origins are `model`, `used_answer` is False."""
    frames: tuple[int, ...] = ()
    entities: dict[int, Entity] = {}
    unread: list[str] = []
    for line in text.splitlines():
        head, rest = split_item(line)
        if head.lower() == "frames" and rest.lower() == NOTHING:
            frames = ()
        elif head.lower() == "frames":
            read = context.read_frames(rest)
            frames = read.value
            unread.extend(read.unread)
        elif head.lower() == "entities":
            for name in (part.strip() for part in rest.split(",")):
                entity = context.entity(name)
                if entity is not None:
                    entities[entity.tid] = entity
                elif name.lower() != NOTHING:
                    unread.append(name)
        elif line.strip():
            unread.append(line.strip())
    value = FrameLocalization(
        frames=frames,
        spans=spans_of_frames(frames, context.frames),
        entities=tuple(entities[tid] for tid in sorted(entities)),
        span_origin="model",
        entity_origin="model",
        used_answer=False,
    )
    return Parsed(value, tuple(unread))


def origin_label(span_origin: str, used_answer: bool) -> str:
    """What tables call an origin of step 1: that of its spans; `human, saw the answer`."""
    return f"{span_origin}, saw the answer" if used_answer else span_origin


@dataclass(frozen=True)
class Localizes:
    """What step 1 keeps."""

    grid_share: float
    """Of the frames of the grid, above 0, up to 1."""
    entity_share: float | None
    """Of the entities of the scene, 0 to 1; None where the scene has none."""

    @property
    def everything(self) -> bool:
        """Whether step 1 chose nothing: it keeps all frames, and all entities that there are."""
        return self.grid_share == 1 and self.entity_share in (1, None)


def localizes(record: Record) -> Localizes:
    """What step 1 of a record keeps of its grid and its scene."""
    a1, entities = record.frame_localization, len(record.scene.entities)
    return Localizes(len(a1.frames) / len(record.frames), len(a1.entities) / entities if entities else None)


@dataclass(frozen=True)
class Score:
    """A1 against the truth, 0 to 1; see `cotasks.steps.measures` for None."""

    frame_precision: float | None
    """Share of the predicted grid frames that are true ones."""
    frame_recall: float | None
    """Share of the true grid frames that were predicted."""
    frame_f1: float | None
    span_iou: float | None
    """Seconds in both over seconds in either."""
    span_iop: float | None
    """Seconds in both over seconds predicted."""
    entity_precision: float | None
    entity_recall: float | None
    entity_f1: float | None
    none_when_there_is_none: float | None
    """Whether no entity was named, where the truth has none."""


def score(predicted: FrameLocalization, truth: FrameLocalization, context: StepContext) -> Score:
    """Frames as sets, time as seconds, entities as sets of tids (match them first: `cotasks.steps.matching`).

    IoU and IoP are those of NExT-GQA (Xiao et al. 2024, `eval_ground.py`), which compares one predicted span with
    each true one and takes the best; here both sides may have several spans, so the unions of them are compared.
    A text names frames and nothing finer, so on both sides a frame stands for the time that is nearer to it than to
    any other frame of `context.frames`, up to the ends of the clip: an echo of the truth scores 1.
    """
    ours, theirs = set(predicted.frames), set(truth.frames)
    frame_precision, frame_recall, frame_f1 = precision_recall_f1(len(ours & theirs), len(ours), len(theirs))
    seconds = _seconds_of(context.frames, context.clip)

    def total(frames: set[int]) -> float:
        return math.fsum(seconds.get(frame, 0.0) for frame in frames)

    inner, either = total(ours & theirs), total(ours | theirs)
    a, b = ({entity.tid for entity in one.entities} for one in (predicted, truth))
    entity_precision, entity_recall, entity_f1 = precision_recall_f1(len(a & b), len(a), len(b))
    return Score(
        frame_precision=frame_precision,
        frame_recall=frame_recall,
        frame_f1=frame_f1,
        span_iou=inner / either if either and theirs else frame_f1,
        span_iop=inner / total(ours) if total(ours) else frame_precision,
        entity_precision=entity_precision,
        entity_recall=entity_recall,
        entity_f1=entity_f1,
        none_when_there_is_none=said_none(len(a), len(b)),
    )


def _seconds_of(frames: Sequence[Frame], clip: Span) -> dict[int, float]:
    """Grid frame -> length of the time that is nearest to it, within the clip."""
    inner = [(a.seconds + b.seconds) / 2 for a, b in pairwise(frames)]
    edges = [clip.start_seconds, *inner, clip.end_seconds]
    return {frame.index: max(0.0, edges[i + 1] - edges[i]) for i, frame in enumerate(frames)}
