"""Conventions per model family, one row each, and the size frames are resized to.

Frames are resized here, to a size that the family's video processor leaves alone, so that boxes written in a prompt
belong to the pixels that the model sees. The rows are in `cotasks.models.rows`, what their columns mean in
`cotasks.models.family`.
"""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import replace
from typing import Any

from cotasks.errors import InputError
from cotasks.models.family import Family, Limits
from cotasks.models.rows import FAMILIES
from cotasks.records.boxes import Size

__all__ = [
    "FAMILIES",
    "NEEDS_MORE",
    "Family",
    "Limits",
    "align_frames_with_images",
    "check_needs",
    "family_of",
    "frame_size",
    "guess_family",
    "limits_of",
    "used_elsewhere",
]

NEEDS_MORE = "a package is missing"
"""The reason where transformers needs a package for a family that is not installed."""
MAX_ASPECT_RATIO = 200
"""Longer side over shorter side; beyond it the processors of the Qwen families refuse a frame."""
IMAGE_SETTINGS = ("size", "image_mean", "image_std")
"""What image and video processors have in common where frames are images."""


def family_of(model_type: str) -> Family:
    """The row that covers a `config.model_type`.

    Raises InputError that lists the known ones where there is none, and that says how it is used where it is of a
    family, but its code is not transformers'.
    """
    for family in FAMILIES.values():
        if model_type in family.model_types:
            return family
    if (way := used_elsewhere(model_type)) is not None:
        raise InputError(f"model type {model_type!r} {way}", "code of its own")
    known = ", ".join(sorted(t for family in FAMILIES.values() for t in family.model_types))
    raise InputError(
        f"model type {model_type!r} has no row in cotasks/models/rows.py; known: {known}; to add it, put a Family "
        "with its coordinate format, frame reference and resize limits into FAMILIES",
        "unknown model family",
    )


def used_elsewhere(model_type: str) -> str | None:
    """How a checkpoint is used whose code is its own, after "model type ..."; None for any other."""
    for family in FAMILIES.values():
        if model_type in family.elsewhere:
            way = family.elsewhere[model_type]
            return f"is of {family.name}, with code of its own, which is not run here: {way}"
    return None


def check_needs(family: Family) -> None:
    """Raises InputError with the reason `NEEDS_MORE` where transformers needs a package for a family that is not
    installed."""
    if family.needs and importlib.util.find_spec(family.needs) is None:
        raise InputError(f"models of {family.name} need {family.needs}: pip install {family.needs}", NEEDS_MORE)


def guess_family(model_name: str) -> Family:
    """The family that a model's name tells. Raises InputError that lists the known ones where it tells none."""
    found = [family for family in FAMILIES.values() if re.search(family.names, model_name.lower())]
    if len(found) != 1:
        raise InputError(
            f"model {model_name}: the name does not tell its family, and neither does a server; name it with --family, "
            f"one of {', '.join(FAMILIES)}"
        )
    return found[0]


def limits_of(processor: Any, family: Family) -> Limits:
    """The limits that a checkpoint's own processor sets.

    Args:
        processor: what `AutoProcessor.from_pretrained` gives; its `video_processor` is read.
        family: the row that covers the model.

    Raises InputError where it has no video processor, or none with the settings the family's has, and where the
    family's frames are images but would be processed otherwise than these (see `align_frames_with_images`).
    """
    video = getattr(processor, "video_processor", None)
    name = type(processor).__name__
    if video is None:
        raise InputError(f"{name} has no video processor; expected one of the family {family.name}")
    if family.limits_by_processor is not None:
        return family.limits_by_processor(video)
    size = dict(video.size)
    if family.frames_are_images and (image := getattr(processor, "image_processor", None)) is not None:
        for setting in IMAGE_SETTINGS:
            of_video, of_image = (_plain(getattr(part, setting)) for part in (video, image))
            if of_video != of_image:
                raise InputError(
                    f"{name}: {setting} of the video processor is {of_video}, of the image processor {of_image}; "
                    f"{family.name} expects them equal: call cotasks.models.repairs.repair(model, processor)"
                )
    if family.limits.fixed is not None:
        if getattr(video, "do_center_crop", None) and video.crop_size:
            size = dict(video.crop_size)
        width = size.get("width") or size.get("shortest_edge")
        height = size.get("height") or size.get("shortest_edge")
        if not width or not height:
            raise InputError(f"{name}: size {size} of the video processor is not a fixed frame size")
        return replace(family.limits, fixed=(width, height))
    least, greatest = size.get("shortest_edge"), size.get("longest_edge")
    if not least or not greatest:
        raise InputError(f"{name}: size {size} of the video processor lacks shortest_edge or longest_edge")
    assert family.limits_by_size is not None  # as the family has no fixed size
    tokens = getattr(video, "max_video_tokens", family.max_video_tokens)  # not in every version of transformers
    return family.limits_by_size(video.patch_size, video.merge_size, video.temporal_patch_size, least, greatest, tokens)


def align_frames_with_images(processor: Any, family: Family) -> None:
    """Make a processor treat frames as images, for a family whose frames are images; nothing for another.

    The checkpoints of InternVL3.5 come with a video processor of 384 x 384 and other colour statistics, the default of
    transformers' class, though their vision tower was trained on images and frames of 448 x 448 alike.
    """
    if family.frames_are_images:
        for setting in IMAGE_SETTINGS:
            setattr(processor.video_processor, setting, getattr(processor.image_processor, setting))


def _plain(value: Any) -> Any:
    """A setting of an image or video processor, comparable."""
    return tuple(value) if isinstance(value, (list, tuple)) else dict(value)


def frame_size(
    family: Family,
    width: int,
    height: int,
    num_frames: int,
    max_pixels: int | None = None,
    limits: Limits | None = None,
) -> Size:
    """The size to resize frames to, which the family's video processor then leaves alone.

    For the Qwen families: both sides rounded to the nearest multiple, then scaled into the allowed area with the
    aspect ratio kept as well as multiples allow. For families of fixed size that size, whatever the aspect ratio.

    Args:
        family: the row that covers the model.
        width: of the video as decoded, in pixels.
        height: of the video as decoded, in pixels.
        num_frames: frames shown.
        max_pixels: greatest width x height of a frame; by default the family's. It lowers, and with a `limits` wider
            than the family's default raises, what is used.
        limits: what the processor at hand allows (`limits_of`); by default the family's.

    Returns:
        (width, height) in pixels.

    Raises InputError for an empty frame, an aspect ratio beyond 200, a `max_pixels` below the least allowed area or
    given for a family of fixed size, and for limits that no size satisfies.
    """
    limits = limits or family.limits
    if width < 1 or height < 1 or num_frames < 1:
        raise InputError(f"{num_frames} frames of {width}x{height}; expected at least one frame of at least 1x1")
    if limits.fixed is not None:
        if max_pixels is not None:
            raise InputError(
                f"max_pixels is {max_pixels}; {family.name} takes frames of exactly "
                f"{limits.fixed[0]}x{limits.fixed[1]}, so leave it out"
            )
        return limits.fixed
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise InputError(f"frame of {width}x{height}: aspect ratio beyond {MAX_ASPECT_RATIO}", "extreme aspect ratio")

    if limits.nearest and (max_pixels is None or max_pixels >= limits.max_pixels):
        return _nearest(width, height, limits.multiple, math.isqrt(limits.max_pixels))
    if limits.fill or limits.nearest:
        return _largest(width, height, limits.multiple, min(limits.max_pixels, max_pixels or limits.max_pixels))
    # the processors count an odd number of frames as one more or one less, so hold in both cases
    patch = limits.temporal_patch
    fewest, most = max(patch, num_frames // patch * patch), -(-num_frames // patch) * patch
    least = max(limits.min_pixels, -(-limits.min_video_pixels // fewest))
    # a very long video may exceed its budget rather than fall below the least frame; 1.05 is the processor's
    of_video = limits.max_video_pixels // most if limits.max_video_pixels else limits.max_pixels
    greatest = max(of_video, int(1.05 * limits.min_pixels))
    greatest = min(greatest, limits.max_pixels, family.limits.max_pixels if max_pixels is None else max_pixels)
    size = _fit(width, height, limits.multiple, least, greatest)
    if not least <= size[0] * size[1] <= greatest or max(size) > MAX_ASPECT_RATIO * min(size):
        raise InputError(
            f"no frame size for {num_frames} frames of {width}x{height}: {family.name} needs sides in multiples of "
            f"{limits.multiple} and an area of {least} to {greatest} pixels",
            "no frame size",
        )
    return size


def _largest(width: int, height: int, multiple: int, greatest: int) -> Size:
    """The largest sides in multiples whose area is at most `greatest`, with about the aspect ratio: the rule of
    Gemma4VideoProcessor, `get_aspect_ratio_preserving_size`, again and again until it changes nothing.

    Raises InputError where not even one multiple fits.
    """
    if greatest < multiple**2:
        raise InputError(f"frames of at most {greatest} pixels; expected {multiple**2} or more", "no frame size")
    longest = greatest // multiple**2 * multiple
    while True:
        scale = math.sqrt(greatest / (width * height))
        w, h = (math.floor(side * scale / multiple) * multiple for side in (width, height))
        if not h:
            w, h = min(width // height * multiple, longest), multiple
        elif not w:
            w, h = multiple, min(height // width * multiple, longest)
        if (w, h) == (width, height):
            return w, h
        width, height = w, h


def _nearest(width: int, height: int, multiple: int, side: int) -> Size:
    """Sides of about the area of a square, rounded to the nearest multiple: the rule of MiniCPMV4_6VideoProcessor,
    `find_best_resize`, again and again until it changes nothing."""
    seen: list[Size] = []
    while (width, height) not in seen:
        seen.append((width, height))
        ratio = width / height
        high = int(side / math.sqrt(ratio))
        height, width = (max(round(length / multiple), 1) * multiple for length in (high, int(high * ratio)))
    return width, height


def _fit(width: float, height: float, multiple: int, least: int, greatest: int) -> Size:
    """The sides as multiples, the area scaled into [least, greatest] where the multiples allow it."""
    if min(width, height) < multiple:
        scale = multiple / min(width, height)
        width, height = width * scale, height * scale
    w, h = round(width / multiple) * multiple, round(height / multiple) * multiple
    if w * h > greatest:
        scale = math.sqrt(greatest / (width * height))
        w = max(multiple, math.floor(width * scale / multiple) * multiple)
        h = max(multiple, math.floor(height * scale / multiple) * multiple)
        if w * h > greatest:  # the short side is held at one multiple, which leaves the long side too long
            longest = max(greatest // multiple**2, 1) * multiple
            w, h = min(w, longest), min(h, longest)
    elif w * h < least:
        scale = math.sqrt(least / (width * height))
        w = math.ceil(width * scale / multiple) * multiple
        h = math.ceil(height * scale / multiple) * multiple
    return w, h
