"""Look at a record: a picture, a page for notebooks, a short clip with moving boxes."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cotasks.errors import CotasksError, InputError, MissingExtra
from cotasks.look.drawing import boxes_by_frame, contact_sheet, describe, draw_boxes
from cotasks.records.schema import Record
from cotasks.sample import DATA_DIR
from cotasks.tools.files import whole_file

if TYPE_CHECKING:
    from PIL.Image import Image

CLIP_WIDTH = 480
"""Width in pixels of a clip with moving boxes."""
SLOWEST, FASTEST = 2, 15
"""Frames a second of such a clip, so that a long video's few grid frames do not flicker by, nor crawl."""
FORMATS = (".png", ".mp4", ".gif")


def draw(record: Record, videos: str | Path | None = None, video_check: str = "fail") -> Image:
    """The contact sheet of a record: its grid frames with boxes, question, answer and triples.

    Args:
        videos: folder that `video_path` is relative to. The sample brings its own; for other records, without it, the
            boxes are drawn on blank frames.
        video_check: what is done about a video that is not the annotated one, of `cotasks.video.check.MODES`.

    Raises InputError where the video is given and cannot be read, or is not the annotated one; MissingExtra without
    Pillow or PyAV.
    """
    return contact_sheet(*_with_frames(record, videos, video_check))


def write(record: Record, out: Path, videos: str | Path | None = None, video_check: str = "fail") -> None:
    """Write the picture (`.png`), or the grid frames with moving boxes as a clip (`.mp4`, `.gif`).

    Raises InputError for another ending, where the file cannot be written, and as `draw` does.
    """
    ending = out.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{out}: expected a file name that ends with {', '.join(FORMATS)}")
    if ending == ".png":
        image = draw(record, videos, video_check)
        with whole_file(out) as part:
            image.save(part)
        return
    images = _moving(*_with_frames(record, videos, video_check))
    seconds = record.clip.end_seconds - record.clip.start_seconds
    rate = min(FASTEST, max(SLOWEST, round(len(images) / seconds) if seconds > 0 else SLOWEST))
    with whole_file(out) as part:
        if ending == ".gif":
            images[0].save(part, save_all=True, append_images=images[1:], duration=round(1000 / rate), loop=0)
        else:
            _write_mp4(images, rate, part)


def to_html(record: Record, videos: str | Path | None = None) -> str:
    """What a notebook shows: question, answer and steps as text, and the contact sheet as a picture inside the page.

    Where the picture cannot be drawn, the reason stands in its place.
    """
    text = f"<pre style='white-space: pre-wrap'>{html.escape(describe(record))}</pre>"
    try:
        image = draw(record, videos)
    except CotasksError as error:
        return f"{text}<p>{html.escape(str(error))}</p>"
    data = io.BytesIO()
    image.save(data, "PNG")
    encoded = base64.b64encode(data.getvalue()).decode()
    return f"{text}<img alt='contact sheet' style='max-width: 100%' src='data:image/png;base64,{encoded}'>"


def _with_frames(record: Record, videos: str | Path | None, video_check: str) -> tuple[Record, Any]:
    """(the record with the size that its boxes refer to, the grid's frames, uint8 (T, height, width, 3)); the record as
    it is and None where no folder is known."""
    if videos is None and record.source != "sample":
        return record, None
    from cotasks.records.videos import Videos
    from cotasks.video.reading import read_frames

    at = Videos(Path(DATA_DIR, "videos") if videos is None else Path(videos), video_check)
    facts = at.look(record)
    width, height = at.size(record)
    frames = read_frames(at.file(record), facts.readable([frame.index for frame in record.frames]))
    return dataclasses.replace(record, width=width, height=height), frames


def _moving(record: Record, frames: Any) -> list[Image]:
    """The grid frames, each with all boxes of the scene that stand on it; even sizes, as H.264 wants them."""
    source = (record.width or 640, record.height or 480) if frames is None else (frames.shape[2], frames.shape[1])
    width = CLIP_WIDTH
    height = max(2, round(width * source[1] / source[0] / 2) * 2)
    boxes = boxes_by_frame(
        record, record.scene.entity_tracking, (record.width or source[0], record.height or source[1]), (width, height)
    )
    images = []
    for place, frame in enumerate(record.frames):
        if frames is None:
            canvas = np.full((height, width, 3), 225, np.uint8)
        else:
            from PIL import Image as pillow

            canvas = np.asarray(pillow.fromarray(frames[place]).resize((width, height)))
        images.append(draw_boxes(canvas, boxes.get(frame.index, ())))
    return images


def _write_mp4(images: list[Image], rate: int, out: Path) -> None:
    try:
        import av
    except ImportError:
        raise MissingExtra("av", "video") from None
    with av.open(str(out.absolute()), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")))
        container.mux(stream.encode())
