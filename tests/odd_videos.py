"""Video files that are not what they seem, for tests: each a change of the `synthetic.write_video` of a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.synthetic import FPS, HEIGHT, WIDTH, picture, write_video

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123456\n"


def write_pictures(
    path: Path,
    pictures: Sequence[np.ndarray[Any, Any]],
    *,
    rate: int | Fraction = FPS,
    times: Sequence[int] | None = None,
    gop: int = 12,
    codec: str = "libx264",
) -> Path:
    """Write pictures, (height, width, 3), as a video of `rate` frames a second, or shown at `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        base = Fraction(1, 1000) if times else 1 / Fraction(rate)
        stream.time_base = stream.codec_context.time_base = base
        for number, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbered(count: int, size: tuple[int, int] = (WIDTH, HEIGHT), first: int = 0) -> list[np.ndarray[Any, Any]]:
    """The pictures first, first + 1, ... of `synthetic.picture`."""
    return [picture(first + number, *size) for number in range(count)]


def flat(colour: tuple[int, int, int], count: int = 60) -> list[np.ndarray[Any, Any]]:
    """Pictures of one colour."""
    return [np.full((HEIGHT, WIDTH, 3), colour, np.uint8)] * count


def uneven(count: int = 60) -> list[int]:
    """Milliseconds: 0.5 s for the first picture, and the others as fast as the rest of the time allows."""
    return [0, *np.linspace(500, (count - 1) * 1000 / FPS, count - 1).round().astype(int).tolist()]


def write_sound_with_cover(path: Path) -> Path:
    """An MP4 with sound and a cover picture, as music shops sell them."""
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream("aac", rate=8000, layout="mono")
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        from av.stream import Disposition

        cover.disposition = Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(picture(5), format="rgb24")
        container.mux(cover.encode(image))
        container.mux(cover.encode())
        for start in range(0, 16_000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def cut_packets(source: Path, path: Path, first: int) -> Path:
    """The packets of a video from number `first` on, copied."""
    with av.open(str(source)) as a, av.open(str(path), "w") as b:
        stream: Any = a.streams.video[0]
        copy = b.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in a.demux(stream) if p.size):
            if number >= first:
                packet.stream = copy
                b.mux(packet)
    return path


def _text(content: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(content)


def _picture(kind: str) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        from PIL import Image

        Image.fromarray(picture(3)).save(path, format=kind)

    return write


def _cut_off(path: Path) -> None:
    write_video(path, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-2000])


ODD: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "twice the rate": ("video with another frame rate", lambda p: write_pictures(p, numbered(120), rate=2 * FPS)),
    "film for television": ("video with another frame rate", lambda p: write_pictures(p, numbered(58), rate=24)),
    "a title in front": ("video with another number of frames", lambda p: write_pictures(p, numbered(135))),
    "five frames more": ("video with another number of frames", lambda p: write_pictures(p, numbered(65))),
    "cut short": ("frame beyond the end of the video", lambda p: write_pictures(p, numbered(40))),
    "uneven times": (
        "video whose frames are shown at other times",
        lambda p: write_pictures(p, numbered(60), times=uneven()),
    ),
    "black": ("video without anything to see", lambda p: write_pictures(p, flat((0, 0, 0)))),
    "green": ("video without anything to see", lambda p: write_pictures(p, flat((0, 135, 0)), gop=250)),
    "another shape": (
        "video of another shape than its record",
        lambda p: write_pictures(p, numbered(60, (HEIGHT, WIDTH))),
    ),
    "a pointer": ("Git LFS pointer, not a video", _text(LFS_POINTER)),
    "a playlist": ("not a video", _text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\ngood0.mp4\n#EXT-X-ENDLIST\n")),
    "a web page": ("not a video", _text("<!DOCTYPE html><html>404</html>")),
    "a PNG": ("not a video", _picture("png")),
    "a GIF": ("not a video", _picture("gif")),
    "sound with a cover": ("not a video", write_sound_with_cover),
    "empty": ("video file empty", lambda p: p.touch()),
    "missing": ("video file missing", lambda p: None),
    "cut off": ("video cut off", _cut_off),
}
"""{what: (the reason, writes the file)} of files in place of a `write_video` of 60 frames, 128x96, 25 a second."""

GOOD: dict[str, Callable[[Path], Any]] = {
    "as it was": write_video,
    "B-frames": lambda p: write_video(p, b_frames=3, gop=12),
    "smaller": lambda p: write_pictures(p, numbered(60, (64, 48))),
    "larger": lambda p: write_pictures(p, numbered(60, (256, 192))),
    "a frame less": lambda p: write_pictures(p, numbered(59)),
    "two frames less": lambda p: write_pictures(p, numbered(58)),
    "a frame more": lambda p: write_pictures(p, numbered(61)),
    "a rate by a hair": lambda p: write_pictures(p, numbered(60), rate=Fraction(25000, 1001)),
    "times that tremble": lambda p: write_pictures(
        p, numbered(60), times=[40 * i + (17 * i) % 90 // 3 for i in range(60)]
    ),
    "black at first": lambda p: write_pictures(p, [*flat((0, 0, 0), 20), *numbered(40, first=20)]),
    "another codec": lambda p: write_video(p, codec="mpeg4", gop=12),
}
"""The same for files that differ as good copies do."""
