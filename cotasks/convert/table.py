"""The formats, one row each, and their way into a file of own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cotasks.convert import coco_video, cvat, detections, label_studio, mot, pvsg, vidvrd
from cotasks.convert.building import Converted, Told
from cotasks.errors import InputError
from cotasks.records.own_files import write_annotation

FORMATS: dict[str, Callable[[Path, Told], Converted]] = {
    "coco-video": coco_video.read,
    "mot": mot.read,
    "cvat": cvat.read,
    "label-studio": label_studio.read,
    "supervision": detections.read,
    "vidvrd": vidvrd.read,
    "pvsg": pvsg.read,
}
"""Name -> its reader."""


def convert(form: str, path: Path, out: Path, told: Told | None = None) -> Converted:
    """Read annotation and write it as own data, one video a line.

    Args:
        form: one of FORMATS.
        path: the file.
        out: an annotation file, `.jsonl` or `.jsonl.gz`.
        told: what the file does not say of its video.

    Raises InputError for an unknown format, a file that is not in it, and one that holds no video.
    """
    if form not in FORMATS:
        raise InputError(f"format {form!r}; expected one of {', '.join(FORMATS)}")
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError(f"{out}: expected a file name that ends with .jsonl or .jsonl.gz")
    told = told or Told()
    if (told.width is None) != (told.height is None):
        raise InputError(f"width {told.width}, height {told.height}; expected both or neither")
    found = FORMATS[form](path, told)
    if not found.videos:
        raise InputError(f"{path}: it holds no annotated video; expected one or more")
    write_annotation(out, found.videos)
    return found
