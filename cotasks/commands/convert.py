"""`cotasks convert`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cotasks.errors import InputError


def convert(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="coco-video, mot, cvat, label-studio, supervision, vidvrd (VidOR too) or pvsg.",
            show_default=False,
        ),
    ],
    file: Annotated[
        Path, typer.Argument(help="Annotation in that format; for vidvrd a folder or zip too.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="File to write, .jsonl or .jsonl.gz.", show_default=False)],
    video: Annotated[str | None, typer.Option(help="Path of the video below the video folder.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the video.")] = None,
    frame_count: Annotated[int | None, typer.Option(help="Number of frames of the video.", min=1)] = None,
    size: Annotated[str | None, typer.Option(help="Size of the frames that boxes refer to, WIDTHxHEIGHT.")] = None,
    category: Annotated[str | None, typer.Option(help="Category of boxes whose file names none.")] = None,
) -> None:
    """Turn annotation that other programs wrote into own data, for `cotasks build own`.

    Reads FILE; what it does not say of its video the options do. Writes OUT, one video a line, such as
    DATA_DIR/annotation.jsonl or a file in DATA_DIR/annotation/. What is not taken over is counted.
    """
    from cotasks.convert import Told
    from cotasks.convert import convert as convert_file

    numbers = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", size) if size is not None else None
    if size is not None and numbers is None:
        raise InputError(f"size is {size!r}; expected WIDTHxHEIGHT, such as 640x480")
    width, height = (int(numbers[1]), int(numbers[2])) if numbers is not None else (None, None)
    found = convert_file(form, file, out, Told(video, fps, frame_count, width, height, category))
    counts = {name: sum(len(getattr(v, name)) for v in found.videos) for name in ("entities", "boxes", "relations")}
    said = ", ".join(f"{name}: {count}" for name, count in counts.items() if count or name != "relations")
    left_out = "".join(f"; left out {count} {what}" for what, count in found.left_out.items())
    print(f"Wrote {out}: videos: {len(found.videos)}, {said}{left_out}")
