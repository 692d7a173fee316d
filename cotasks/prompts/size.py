"""The frame size that a record's boxes refer to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cotasks.errors import InputError
from cotasks.prompts.condition import Condition
from cotasks.records.boxes import Size
from cotasks.records.schema import Record
from cotasks.video.packets import VideoInfo
from cotasks.video.reading import probe

ASPECT_TOLERANCE = 0.03
"""Greatest relative difference between the aspect ratios of video and record; 854x480 stands for 16:9."""


def shown_size(record: Record, condition: Condition, path: Path | None, look: Callable[[Path], VideoInfo]) -> Size:
    """(width, height) that the record's boxes refer to: its own, else that of the video's header.

    Raises InputError where it is needed and unknown, and where a video that is shown has another shape.
    """
    size = (record.width, record.height) if record.width and record.height else None
    if condition.video and path is not None:
        info = look(path)
        size = size or (info.width, info.height)
        if abs(info.width * size[1] / (info.height * size[0]) - 1) > ASPECT_TOLERANCE:
            raise InputError(
                f"{path}: {info.width}x{info.height}; expected the shape of the record's {size[0]}x{size[1]}",
                "video of another shape than its record",
            )
    if size is None and not condition.steps and condition.asks is None:
        return 1, 1  # neither frames nor boxes: nothing in the prompt depends on it
    if size is None and path is not None:
        try:
            size = look(path).width, look(path).height
        except InputError as error:
            raise InputError(f"{record.id}: no frame size in the record; {error}", "frame size unknown") from None
    if size is None:
        raise InputError(
            f"{record.id}: no frame size in the record; expected one, or --videos to read it from",
            "frame size unknown",
        )
    return size


def source_size(record: Record, folder: Path | None) -> tuple[int, int]:
    """(width, height) that the record's boxes refer to: its own, else that of the video's header, in this folder.

    Raises InputError with the reason `frame size unknown` where neither is to be had.
    """
    if record.width and record.height:
        return record.width, record.height
    if folder is None:
        raise InputError(
            f"{record.id}: no frame size in the record; expected one, or the folder of the videos to read it from",
            "frame size unknown",
        )
    try:
        info = probe(folder / record.video_path)
    except InputError as error:
        raise InputError(f"{record.id}: no frame size in the record; {error}", "frame size unknown") from None
    return info.width, info.height
