"""A record's own steps 1 and 2 as evidence: what an answer would say that holds nothing but the truth."""

from __future__ import annotations

import math

from cotasks.evidence.evidence import Evidence, Instance, Piece, TimedBox
from cotasks.records.boxes import Xyxy, format_box
from cotasks.records.schema import Record
from cotasks.records.timeline import runs
from cotasks.steps.context import StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY, thin


def evidence_of(
    record: Record, context: StepContext, answer: str | None = None, boxes_per_entity: int = BOXES_PER_ENTITY
) -> Evidence:
    """The evidence of a record: each run of step 1's frames as a span, within it the boxes of step 2.

    Read back by `predicted_steps`, it gives the frames, the entities and the boxes' frames again; boxes up to the
    rounding of `context.coordinates`, where one that is flat by it is lost.

    Args:
        record: on the frames that the model is shown.
        context: how the model writes names, times and boxes.
        answer: what stands as the answer.
        boxes_per_entity: at most so many boxes of a thing, evenly over those it has.
    """
    a1 = record.frame_localization
    tracks = {track.tid: track for track in thin(record.entity_tracking, boxes_per_entity)}
    spans = [
        (first.index, last.index, _span(first.seconds, last.seconds, context))
        for first, last in runs(a1.frames, record.frames)
    ]

    def pieces(tid: int | None) -> tuple[Piece, ...]:
        boxes = [] if tid is None or tid not in tracks else tracks[tid].boxes
        return tuple(
            Piece(
                *ends,
                tuple(
                    TimedBox(_second(context.moment(box.frame)), _numbers(box.xyxy, context))
                    for box in boxes
                    if first <= box.frame <= last
                ),
            )
            for first, last, ends in spans
        )

    named = tuple(Instance(context.names[entity.tid], pieces(entity.tid)) for entity in a1.entities)
    return Evidence(named or ((Instance("", pieces(None)),) if spans else ()), answer)


def _second(moment: str) -> float:
    return max(0.0, float(moment[:-1]))


def _span(start: float, end: float, context: StepContext) -> tuple[float, float]:
    """Seconds of the file -> of the clip, with the decimals of a moment: outwards, so that both frames lie within; a
    single frame's is a moment."""
    digits, zero = 10**context.decimals, context.clip.start_seconds
    if start == end:
        return (round(max(0.0, start - zero), context.decimals),) * 2
    low, high = max(0, math.floor((start - zero) * digits)), max(0, math.ceil((end - zero) * digits))
    # whoever adds the clip's start again must not fall short by a last bit; the next frame is further than a digit away
    low -= low > 0 and low / digits + zero > start
    high += high / digits + zero < end
    return low / digits, high / digits


def _numbers(xyxy: Xyxy, context: StepContext) -> Xyxy:
    x1, y1, x2, y2 = map(float, format_box(xyxy, context.source_size, context.coordinates)[1:-1].split(", "))
    return x1, y1, x2, y2
