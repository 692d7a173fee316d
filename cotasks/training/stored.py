"""Frames and videos that come with a row, as the content of files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.video.packets import Image


def decoded_frames(files: Sequence[bytes], size: tuple[int, int]) -> Image:
    """Pictures as frames.

    Args:
        files: JPEG or PNG, one a frame, at least one.
        size: (width, height) in pixels to resize to, as `cotasks.video.read_frames` does.

    Returns:
        (len(files), height, width, 3), RGB.

    Raises InputError where one is damaged.
    """
    from PIL import Image as Picture

    frames = np.empty((len(files), size[1], size[0], 3), np.uint8)
    for place, file in enumerate(files):
        try:
            with Picture.open(io.BytesIO(file), formats=("JPEG", "PNG")) as picture:
                shown = picture.convert("RGB")
        except (OSError, SyntaxError, ValueError, Picture.DecompressionBombError) as error:
            raise InputError(
                f"frame {place} of a row: not a picture that can be read: {error}", "damaged frame"
            ) from None
        frames[place] = shown if shown.size == size else shown.resize(size, Picture.Resampling.BICUBIC)
    return frames


@contextmanager
def as_file(content: bytes, name: str) -> Iterator[Path]:
    """A video's content as a file of that ending, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cotasks-") as folder:
        path = Path(folder, f"video{PurePosixPath(name).suffix}")
        path.write_bytes(content)
        yield path
