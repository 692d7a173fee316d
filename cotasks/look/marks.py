"""Numbers on frames: what `cotasks.steps.marks` speaks of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cotasks.look.drawing import LabelledBox, draw_boxes, track_styles
from cotasks.records.boxes import Size
from cotasks.records.schema import Scene
from cotasks.steps.marks import Marks


def draw_marks(
    frames: NDArray[np.uint8], indices: Sequence[int], scene: Scene, marks: Marks, source: Size
) -> NDArray[np.uint8]:
    """Frames with the boxes of marked things outlined, each with its number; the frames given stay as they are.

    Args:
        frames: RGB, (frames, height, width, 3).
        indices: 0-based numbers of these frames in the file, as the scene's boxes name them.
        scene: with the boxes.
        marks: what is marked.
        source: (width, height) that the boxes refer to.

    Raises MissingExtra without Pillow.
    """
    numbers, styles = dict(marks), track_styles(tid for tid, _ in marks)
    across, down = frames.shape[2] / source[0], frames.shape[1] / source[1]
    boxes: dict[int, list[LabelledBox]] = {}
    for track in scene.entity_tracking:
        if track.tid in numbers:
            colour, dashed = styles[track.tid]
            for box in track.boxes:
                x1, y1, x2, y2 = box.xyxy
                scaled = (x1 * across, y1 * down, x2 * across, y2 * down)
                boxes.setdefault(box.frame, []).append(LabelledBox(scaled, str(numbers[track.tid]), colour, dashed))
    drawn = [
        np.asarray(draw_boxes(frame, boxes[index])) if index in boxes else frame
        for frame, index in zip(frames, indices, strict=True)
    ]
    return np.stack(drawn)
