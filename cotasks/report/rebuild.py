"""One record -> the prompt that was sent for it, and the frames and boxes that the page shows of it."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.errors import InputError
from cotasks.look.frames import jpeg
from cotasks.models.families import Family, Limits, frame_size
from cotasks.prompts.condition import Condition
from cotasks.prompts.prompt import Prompt, build_prompt
from cotasks.prompts.view import Predictions, shown_frames
from cotasks.records.schema import Frame, Record
from cotasks.records.videos import Videos
from cotasks.report.summary import Row
from cotasks.steps.table import STEP_TITLES


def rebuild_prompt(
    record: Record,
    condition: Condition,
    family: Family,
    limits: Limits,
    videos: Videos | None,
    cut_items: int,
    predictions: Predictions | None = None,
) -> Prompt:
    """The prompt that was sent.

    Args:
        record: What was asked.
        condition: Under which.
        family: Of the model.
        limits: Of the model's processor.
        videos: Those of the records, read where these do not give their frame size; None where they are not at hand.
        cut_items: Lines that the condition's token budget cut, as the answer's row says. They stand in for the
            model's tokenizer, which is not at hand.
        predictions: Of the run; needed where the condition's steps are predicted.

    Raises InputError where the frame size is needed and unknown, the record's grid is too small, or a step that was
    told has no prediction.
    """
    source = record_size(record)
    if source == (0, 0) and videos is not None:
        source = videos.size(record)
    if source == (0, 0):
        if condition.steps or condition.asks:
            raise InputError(f"{record.id}: no frame size in the record, and no video", "frame size unknown")
        source = 1, 1
    size = frame_size(family, *source, num_frames=len(shown_frames(record, condition)), limits=limits)

    def build(condition: Condition) -> Prompt:
        return build_prompt(record, condition, family, size, source, _count_items, predictions)

    if condition.context_tokens is None:
        return build(condition)
    whole = build(dataclasses.replace(condition, context_tokens=None))
    kept = _count_items(whole.context) - cut_items
    if not cut_items:
        return whole
    if kept < 1:
        plain = Condition(condition.name, video=condition.video, num_frames=condition.num_frames, asks=condition.asks)
        blank = build(dataclasses.replace(plain, tells_answer=condition.tells_answer))
        return dataclasses.replace(blank, frames=whole.frames, cut_items=cut_items)
    return build(dataclasses.replace(condition, context_tokens=kept))


def _count_items(text: str) -> int:
    """Lines of a context block that are items: neither its first line nor a title."""
    return sum(line not in STEP_TITLES for line in text.splitlines()[1:])


def prompt_text(prompt: Prompt) -> str:
    """The messages as one text; for a video, how many frames it has and when the first and the last are."""
    parts = []
    for message in prompt.messages:
        if message["role"] != "user":
            parts.append(f"[{message['role']}]")
        for part in message["content"]:
            if part["type"] == "text":
                parts.append(part["text"])
            else:
                first, last = prompt.frames[0].seconds, prompt.frames[-1].seconds
                parts.append(f"[video: {len(prompt.frames)} frames, {first:.2f} s to {last:.2f} s of the file]")
    return "\n".join(parts)


def scene_of(record: Record, frames: Sequence[Frame], images: Mapping[int, int], size: tuple[int, int]) -> Row:
    """What the page draws.

    Args:
        record: Whose scene it is.
        frames: Of the record, to show.
        images: {frame number: position of its picture in the list of them, -1 for none}
        size: (width, height) that the boxes refer to; (0, 0) for the boxes' own extent.

    Returns:
        {size [width, height], tracks [[name, colour, dashed]], panels [{frame, seconds, image, a1 (whether step 1
        holds the frame), boxes [[track, x1, y1, x2, y2]]}]}; boxes in pixels of size.
    """
    from cotasks.look.drawing import track_styles
    from cotasks.records.naming import entity_names

    styles = track_styles(entity.tid for entity in record.scene.entities)
    names = entity_names(record.scene.entities)
    marked = set(record.frame_localization.frames)
    boxes: dict[int, list[list[float]]] = {}
    for number, track in enumerate(record.entity_tracking):
        for box in track.boxes:
            boxes.setdefault(box.frame, []).append([number, *(round(value, 1) for value in box.xyxy)])
    if size == (0, 0):  # neither the record nor a video says: the boxes' own extent
        corners = [box[3:] for found in boxes.values() for box in found]
        size = max([640, *(math.ceil(x) for x, _ in corners)]), max([360, *(math.ceil(y) for _, y in corners)])
    return {
        "size": list(size),
        "tracks": [[names[track.tid], *styles[track.tid]] for track in record.entity_tracking],
        "panels": [
            {
                "frame": frame.index,
                "seconds": round(frame.seconds, 2),
                "image": images[frame.index],
                "a1": frame.index in marked,
                "boxes": boxes.get(frame.index, []),
            }
            for frame in frames
        ],
    }


def jpeg_address(pixels: Any) -> str:
    """An RGB image, (height, width, 3), as the `data:` address of a JPEG. Raises MissingExtra without Pillow."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(pixels)).decode("ascii")


def record_size(record: Record) -> tuple[int, int]:
    """(width, height) that the record's boxes refer to; (0, 0) where it does not say."""
    return (record.width, record.height) if record.width and record.height else (0, 0)
