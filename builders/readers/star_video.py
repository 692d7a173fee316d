"""STAR's situations brought to the video file at hand.

Boxes refer to Charades' videos at 480p and frames to the rates of `video_fps`; Charades comes in other sizes and rates
too. Boxes are scaled to a file of another size. A file of another rate has other frames, on which no box was drawn, and
one of another shape is another video: both are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from cotasks.builders.readers.checks import is_number
from cotasks.records.boxes import Size
from cotasks.records.schema import Span
from cotasks.video.check import REACH_SLACK, Expected, fault_error, faults, size_at_480p
from cotasks.video.facts import video_facts
from cotasks.video.files import video_file

Situations = Mapping[str, Any]


def fit_to_file(
    situations: Situations,
    clip: Span,
    fps: float,
    known: tuple[int, int, int] | None,
    folder: str,
    video_path: str,
) -> tuple[Situations, tuple[int, int, int], bool]:
    """Situations whose boxes refer to the video file.

    Args:
        situations: frame key -> situation, as STAR's file has it.
        clip: of the question.
        fps: of the annotation, see `star.read_video_fps`.
        known: (frame_count, width, height) of the video that was annotated, where they are known; else its longer side
            is taken to have 480 pixels.
        folder: of the videos.
        video_path: of the question, relative to it.

    Returns:
        (the situations, (frame_count, width, height) of the file, whether boxes were scaled to it).

    Raises InputError where the file is missing or no video, or has another rate, other times or another shape.
    """
    path = video_file(folder, video_path)
    facts = video_facts(path, pictures=False)
    info, size = facts.info, (facts.info.width, facts.info.height)
    keyframes = [int(key) - 1 for key in situations if re.fullmatch("[0-9]{1,9}", key)]
    ends = (math.ceil(clip.start_seconds * fps), math.floor(clip.end_seconds * fps))
    frames = tuple(f for f in (*keyframes, *ends) if ends[0] <= f <= ends[1] and 0 <= f < info.frame_count)
    reach = _reach(situations)
    if known is None:
        expected = Expected(fps, frames, reach=reach)
    else:
        expected = Expected(fps, frames, known[0], known[1:])
    found = faults(expected, facts)
    if found:
        raise fault_error(path, found)
    drawn_at = expected.size or size_at_480p(size, reach) or size
    if drawn_at != size:
        situations = {key: _scaled(situation, drawn_at, size) for key, situation in situations.items()}
    return situations, (info.frame_count, *size), drawn_at != size


def _boxes(situation: Any) -> list[Any]:
    """The boxes of a situation; what is malformed in it is for `situations.annotation` to say."""
    boxes = situation.get("bbox") if isinstance(situation, dict) else None
    return boxes if isinstance(boxes, list) else []


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(is_number(value) for value in box)


def _reach(situations: Situations) -> tuple[float, float]:
    """The greatest x and y of all boxes, within the clip or not: they are of one video."""
    boxes = [box for situation in situations.values() for box in _boxes(situation) if _is_box(box)]
    return max((float(box[2]) for box in boxes), default=0.0), max((float(box[3]) for box in boxes), default=0.0)


def _scaled(situation: Any, drawn_at: Size, size: Size) -> Any:
    """A situation with its boxes scaled; what reached out of the frame by rounding ends at its edge."""
    boxes = _boxes(situation)
    if not boxes:
        return situation
    limits = (*drawn_at, *drawn_at)
    factors = (size[0] / drawn_at[0], size[1] / drawn_at[1]) * 2

    def scale(box: Any) -> Any:
        if not _is_box(box) or min(box) < -REACH_SLACK:
            return box  # refused by `situations.annotation`
        return [min(max(float(v), 0.0), end) * by for v, end, by in zip(box, limits, factors, strict=True)]

    return {**situation, "bbox": [scale(box) for box in boxes]}
