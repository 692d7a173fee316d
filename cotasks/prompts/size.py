"""The frame size that a record's boxes refer to."""

from __future__ import annotations

from cotasks.errors import InputError
from cotasks.prompts.condition import Condition
from cotasks.records.boxes import Size
from cotasks.records.schema import Record
from cotasks.records.videos import Videos
from cotasks.video.check import OtherVideo


def shown_size(record: Record, condition: Condition, videos: Videos | None) -> Size:
    """(width, height) that the record's boxes refer to: its own, else by the video.

    Raises InputError where it is needed and unknown, and where a video that is shown is missing or, by the check of
    `videos`, not the annotated one.
    """
    if condition.video and videos is not None:
        videos.look(record)
        return videos.size(record)
    if not (record.width and record.height) and not condition.steps and condition.asks is None:
        return 1, 1  # neither frames nor boxes: nothing in the prompt depends on it
    return source_size(record, videos)


def source_size(record: Record, videos: Videos | None) -> Size:
    """(width, height) that the record's boxes refer to: its own, else by the video.

    Raises InputError with the reason `frame size unknown` where neither is to be had, and OtherVideo where the video is
    not the annotated one.
    """
    if record.width and record.height:
        return record.width, record.height
    if videos is None:
        raise InputError(
            f"{record.id}: no frame size in the record; expected one, or the folder of the videos (--videos) to read "
            "it from",
            "frame size unknown",
        )
    try:
        return videos.size(record)
    except OtherVideo:
        raise
    except InputError as error:
        raise InputError(f"{record.id}: no frame size in the record; {error}", "frame size unknown") from None
