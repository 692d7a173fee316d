"""Conventions per model family, one row each, and the size frames are resized to.

Frames are resized here, to a size that the family's video processor leaves alone, so that boxes written in a prompt
belong to the pixels that the model sees. To add a family, add a row to `FAMILIES`: all that differs between families
and cannot be read off a checkpoint stands there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from cotasks.errors import InputError
from cotasks.records.boxes import Size

MAX_ASPECT_RATIO = 200
"""Longer side over shorter side; beyond it the processors of the Qwen families refuse a frame."""
IMAGE_SETTINGS = ("size", "image_mean", "image_std")
"""What image and video processors have in common where frames are images."""


@dataclass(frozen=True)
class Limits:
    """The sizes that a video processor leaves alone. Areas are in pixels, both ends included."""

    fixed: Size | None = None
    """(width, height) where every frame has the same size; nothing below is used then."""
    multiple: int = 1
    """Width and height are multiples of this: patch size times merge size."""
    temporal_patch: int = 1
    """Frames in one temporal patch; the processor repeats the last frame to fill the last patch."""
    min_pixels: int = 0
    """Least width x height of a frame."""
    max_pixels: int = 0
    """Greatest width x height of a frame."""
    min_video_pixels: int = 0
    """Least frames x width x height of a video."""
    max_video_pixels: int = 0
    """Greatest frames x width x height of a video."""


@dataclass(frozen=True)
class Family:
    """One row: how a family of models writes coordinates, refers to frames, and takes video."""

    name: str
    model_types: tuple[str, ...]
    """Values of `config.model_type` in transformers."""
    coordinates: Literal["pixels", "thousandths", "fractions"]
    """See `cotasks.records.boxes.CoordinateFormat`; `pixels` are those of the resized frame."""
    frame_reference: Literal["seconds", "position"]
    """How a prompt refers to a frame: by seconds from the clip's start, or by its position among the frames shown."""
    limits: Limits
    """Limits by default; a checkpoint's own, see `limits_of`, may be narrower."""
    names: str
    """Regular expression of what the names of its models hold, in lower case."""
    limits_by_size: Callable[..., Limits] | None = None
    """The limits that a processor's settings mean, called as `_qwen2_limits`; None where every frame has one size."""
    max_video_tokens: int = 0
    """`max_video_tokens` of the processor, for versions of transformers whose processor does not say; with
    `limits_by_size` only."""
    image_min_pixels: int = 0
    """Least width x height that its image processor leaves alone, where that is more than its video processor's:
    `shortest_edge` in preprocessor_config.json of the published checkpoints."""
    frames_are_images: bool = False
    """Whether the model knows no video: frames have the tokens, tensors, size and colour statistics of images."""
    newlines_by_config: bool = False
    """Whether `mm_newline_position` and `mm_spatial_pool_mode` in config.json say how the patches of frames are pooled
    and where newline tokens stand, which transformers passes over; see `cotasks.models.repairs`."""


def _qwen2_limits(patch: int, merge: int, temporal_patch: int, least: int, greatest: int, tokens: int) -> Limits:
    """Limits of Qwen2VLVideoProcessor: `size` bounds a frame, 90% of `max_video_tokens` the whole video.

    Args:
        patch: side of a patch, in pixels.
        merge: patches merged into one token, along each side.
        temporal_patch: frames in a patch.
        least: `shortest_edge` of the processor's `size`, in pixels of area.
        greatest: `longest_edge` of it, in pixels of area.
        tokens: `max_video_tokens` of the processor.
    """
    multiple = patch * merge
    return Limits(
        multiple=multiple,
        temporal_patch=temporal_patch,
        min_pixels=least,
        max_pixels=greatest,
        max_video_pixels=int(tokens * multiple**2 * 0.9) * temporal_patch,
    )


def _qwen3_limits(patch: int, merge: int, temporal_patch: int, least: int, greatest: int, tokens: int) -> Limits:
    """Limits of Qwen3VLVideoProcessor: `size` bounds the whole video, `max_video_tokens` a frame."""
    multiple = patch * merge
    return Limits(
        multiple=multiple,
        temporal_patch=temporal_patch,
        min_pixels=multiple**2,
        max_pixels=tokens * multiple**2,
        min_video_pixels=least,
        max_video_pixels=greatest,
    )


# Defaults of transformers' Qwen2VLVideoProcessor, equal to those of qwen-vl-utils: 128 to 768 tokens a frame.
_QWEN2 = _qwen2_limits(14, 2, 2, least=128 * 28 * 28, greatest=768 * 28 * 28, tokens=128_000)
# video_preprocessor_config.json of the published Qwen3-VL checkpoints; the class default (786,432 pixels for a whole
# video) would leave 128 x 96 pixels a frame at 64 frames.
_QWEN3 = _qwen3_limits(16, 2, 2, least=4096, greatest=25_165_824, tokens=768)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="qwen2_5_vl",
            model_types=("qwen2_5_vl",),
            names=r"qwen2[._]5[-_]?vl",
            coordinates="pixels",
            frame_reference="seconds",
            limits=_QWEN2,
            limits_by_size=_qwen2_limits,
            max_video_tokens=128_000,
        ),
        Family(
            name="qwen2_vl",
            model_types=("qwen2_vl",),
            names=r"qwen2[-_]?vl",
            coordinates="thousandths",
            frame_reference="position",
            limits=_QWEN2,
            limits_by_size=_qwen2_limits,
            max_video_tokens=128_000,
        ),
        Family(
            name="qwen3_vl",
            model_types=("qwen3_vl", "qwen3_vl_moe"),
            names=r"qwen3[-_]?vl",
            coordinates="thousandths",
            frame_reference="seconds",
            limits=_QWEN3,
            limits_by_size=_qwen3_limits,
            max_video_tokens=768,
            image_min_pixels=65_536,
        ),
        # Also LLaVA-Video, converted by examples/convert_llava_video.py. SigLIP at 384 x 384. Frames by position, as
        # nothing tells the model when a frame was.
        Family(
            name="llava_onevision",
            model_types=("llava_onevision",),
            names=r"llava[-_]?onevision",
            coordinates="fractions",
            frame_reference="position",
            limits=Limits(fixed=(384, 384)),
            newlines_by_config=True,
        ),
        # CLIP at 336 x 336; the processor would crop the middle square, we keep the whole frame instead.
        Family(
            name="llava_next_video",
            model_types=("llava_next_video",),
            names=r"llava[-_]?next[-_]?video",
            coordinates="fractions",
            frame_reference="position",
            limits=Limits(fixed=(336, 336)),
        ),
        # InternVL3, InternVL3.5 and InternVL2.5 in transformers' format. A frame is one tile of 448 x 448, without
        # thumbnail, and the processor writes "Frame1: " before it. Boxes as in InternVL's evaluate_grounding.py.
        Family(
            name="internvl",
            model_types=("internvl",),
            names=r"internvl",
            coordinates="thousandths",
            frame_reference="position",
            limits=Limits(fixed=(448, 448)),
            frames_are_images=True,
        ),
    )
}
"""Family name -> row."""


def family_of(model_type: str) -> Family:
    """The row that covers a `config.model_type`.

    Raises InputError that lists the known ones where there is none.
    """
    for family in FAMILIES.values():
        if model_type in family.model_types:
            return family
    known = ", ".join(sorted(t for family in FAMILIES.values() for t in family.model_types))
    raise InputError(
        f"model type {model_type!r} has no row in cotasks/models/families.py; known: {known}; to add it, put a Family "
        "with its coordinate format, frame reference and resize limits into FAMILIES",
        "unknown model family",
    )


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

    # the processors count an odd number of frames as one more or one less, so hold in both cases
    patch = limits.temporal_patch
    fewest, most = max(patch, num_frames // patch * patch), -(-num_frames // patch) * patch
    least = max(limits.min_pixels, -(-limits.min_video_pixels // fewest))
    # a very long video may exceed its budget rather than fall below the least frame; 1.05 is the processor's
    greatest = max(limits.max_video_pixels // most, int(1.05 * limits.min_pixels))
    greatest = min(greatest, limits.max_pixels, family.limits.max_pixels if max_pixels is None else max_pixels)
    size = _fit(width, height, limits.multiple, least, greatest)
    if not least <= size[0] * size[1] <= greatest or max(size) > MAX_ASPECT_RATIO * min(size):
        raise InputError(
            f"no frame size for {num_frames} frames of {width}x{height}: {family.name} needs sides in multiples of "
            f"{limits.multiple} and an area of {least} to {greatest} pixels",
            "no frame size",
        )
    return size


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
