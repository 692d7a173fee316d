"""Some frames of a record's video, for pages and for models that are shown pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from cotasks.errors import MissingExtra
from cotasks.records.schema import Frame, Record
from cotasks.records.videos import Videos

JPEG_QUALITY = 70


def choose_frames(record: Record, number: int) -> list[Frame]:
    """At most `number` frames of a record's grid: an even choice of step 1's, then of the others; ascending."""
    marked = set(record.frame_localization.frames)
    chosen: list[Frame] = []
    for wanted in (True, False):
        frames = [frame for frame in record.frames if (frame.index in marked) is wanted]
        chosen += even_choice(frames, number - len(chosen))
    return sorted(chosen, key=lambda frame: frame.index)


def even_choice(frames: Sequence[Frame], number: int) -> list[Frame]:
    """At most `number` of the frames, evenly, in their order."""
    room = min(number, len(frames))
    return [frames[(2 * i + 1) * len(frames) // (2 * room)] for i in range(room)]


def read_jpegs(record: Record, videos: Videos, frames: Sequence[Frame], longest: int) -> list[bytes]:
    """The frames of a record as JPEG files, no side longer than `longest` pixels.

    Raises InputError where the video cannot be read, or is not the annotated one and `videos` minds; MissingExtra
    without Pillow or PyAV.
    """
    from cotasks.video.reading import read_frames

    facts = videos.look(record)
    width, height = facts.info.width, facts.info.height
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    numbers = facts.readable([frame.index for frame in frames])
    return [jpeg(pixels) for pixels in read_frames(videos.file(record), numbers, size)]


def jpeg(pixels: Any, quality: int = JPEG_QUALITY) -> bytes:
    """An RGB image, (height, width, 3), as a JPEG file. Raises MissingExtra without Pillow."""
    buffer = io.BytesIO()
    pillow().fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def pillow() -> Any:
    """The module `PIL.Image`. Raises MissingExtra where it is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("Pillow", "video") from None
    return Image
