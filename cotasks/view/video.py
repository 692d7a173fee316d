"""A record's video as a browser gets it: what is known of the file, and frames of it that we decode.

A browser says of a frame that it shows only its time, counted from the start of the file; `video_row` says what that is
in frames. What a browser cannot play, and any frame that is asked for by number, is shown as a JPEG of ours.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from cotasks.errors import CotasksError, InputError
from cotasks.look.frames import jpeg
from cotasks.records.schema import Record
from cotasks.records.videos import Videos
from cotasks.video.packets import open_video, read_index
from cotasks.video.reading import read_frames

LONGEST_SIDE = 1280
"""Most pixels of a frame."""
QUALITY = 92
KEPT = 512
"""Frames that are kept in memory."""
KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".ogv": "video/ogg",
    ".avi": "video/x-msvideo",
}
"""Ending -> Content-Type; QuickTime is told as MP4, which browsers read it as."""
OTHER_KIND = "application/octet-stream"
PLAYED = {"mov": ("h264", "av1", "vp9"), "matroska": ("vp8", "vp9", "av1")}
"""Container -> codecs that all of Chrome, Firefox and Safari play (developer.mozilla.org, Web video codec guide)."""
PLAYED_PIXELS = ("yuv420p", "yuvj420p")

Row = dict[str, Any]


def video_row(record: Record, videos: Videos | None) -> Row:
    """What the page needs to know of a record's video.

    Returns:
        {note} where there is none to show, with the reason. Else {ending (of the file), count (frames), rate (frames a
        second), times (seconds from the first frame to each; None where they are even), offset (seconds from the start
        that browsers count from to the first frame), codec, plays (whether all browsers play it)}.
    """
    if videos is None:
        return {"note": "The videos are not at hand; --videos names their folder."}
    try:
        facts = videos.look(record)
        codec, plays, offset = _looked(videos.file(record))
    except CotasksError as error:
        return {"note": f"The video is not shown: {error.reason}."}
    times = None if facts.times is None else [round(second, 4) for second in facts.times.tolist()]
    row = {"ending": ending_of(record.video_path), "count": facts.info.frame_count, "rate": facts.rate, "times": times}
    return {**row, "offset": offset, "codec": codec, "plays": plays}


def ending_of(video_path: str) -> str:
    """The ending of a file's name where a video may have it, else `.bin`."""
    ending = Path(video_path).suffix.lower()
    return ending if ending in KINDS else ".bin"


def _looked(path: Path) -> tuple[str, bool, float]:
    """(codec, whether browsers play it, seconds from the start of the file to its first frame)."""
    with open_video(path) as (container, stream):
        index = read_index(container, stream, path)
        first = index.times[0] * float(stream.time_base or 0) if index.times else 0.0
        start = max(0.0, (container.start_time or 0) / 1_000_000)  # what comes before 0 moves nothing else
        codec, pixels = stream.codec_context.name, stream.codec_context.pix_fmt
        codec = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}.get(codec, codec)
        plays = any(
            name in container.format.name.split(",") and codec in codecs and pixels in PLAYED_PIXELS
            for name, codecs in PLAYED.items()
        )
    return codec, plays, round(max(0.0, first - start), 4)


class FrameReader:
    """Frames as JPEG, read when they are asked for. Threads may share it."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()  # a key that is held down asks for many
        self._read = lru_cache(KEPT)(self._decode)

    def read(self, record: Record, videos: Videos, frame: int, longest: int = LONGEST_SIDE) -> bytes:
        """A frame of a record's video, no side longer than `longest` pixels.

        Raises InputError where the video is not to be shown, or has no such frame.
        """
        facts = videos.look(record)
        number = facts.readable([frame])[0]
        if not 0 <= number < facts.info.frame_count:
            raise InputError(f"{record.id}: frame {frame}; expected 0 to {facts.info.frame_count - 1}")
        width, height = facts.info.width, facts.info.height
        scale = min(1.0, longest / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        with self._one_at_a_time:
            return self._read(videos.file(record), number, size)

    def _decode(self, path: Path, frame: int, size: tuple[int, int]) -> bytes:
        return jpeg(read_frames(path, [frame], size)[0], QUALITY)
