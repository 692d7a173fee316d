"""What other tools' loaders do to the size of frames, and sizes that they leave alone.

ms-swift, and whoever follows the Qwen families' examples, loads frames by `qwen_vl_utils.process_vision_info`. Of a
list of pictures it resizes twice (`vision_process.py` of version 0.0.14, `fetch_video`): each picture as an image, to
sides that are multiples of 56 pixels, as it takes the side of a token (28) for that of a patch (14); then all of them
as a video, to multiples of 28. So of the sizes that Qwen2.5-VL's own processor leaves alone most are changed: 644 x 364
becomes 672 x 336, and boxes in its pixels are then boxes of another picture. (For Qwen3-VL, whose patches are 16
pixels, the multiples are 64 and 32; its boxes do not depend on the size.)
"""

from __future__ import annotations

import math
from dataclasses import replace

from cotasks.models.families import FAMILIES, Limits
from cotasks.records.boxes import Size

LOADED = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"})
"""Families whose frames it loads."""
IMAGE_TOKENS = (4, 16384)
"""Least and most area of a picture, in squares of the picture's multiple."""
VIDEO_TOKENS = (128, 768)
"""The same of a video's frame, in squares of the video's multiple."""
ALL_TOKENS = 0.9 * 128_000
"""Most of a whole video, two frames of which share theirs."""
FRAMES = 2
"""A video has a multiple of so many frames; the last is repeated."""


def loaded_size(size: Size, num_frames: int, multiple: int = 28) -> Size:
    """(width, height) in which a list of pictures of a size leaves `qwen_vl_utils`, by its defaults.

    Args:
        size: (width, height) of the pictures.
        num_frames: how many there are.
        multiple: side of a token in pixels: 28 for Qwen2-VL and Qwen2.5-VL, 32 for Qwen3-VL.
    """
    picture = _fitted(size, 2 * multiple, *(tokens * (2 * multiple) ** 2 for tokens in IMAGE_TOKENS))
    frames = math.ceil(num_frames / FRAMES) * FRAMES
    least, most = (tokens * multiple**2 for tokens in VIDEO_TOKENS)
    share = max(min(most, ALL_TOKENS * multiple**2 / frames * FRAMES), int(1.05 * least))
    return _fitted(picture, multiple, least, share)


def _fitted(size: Size, multiple: int, least: float, most: float) -> Size:
    """Both sides as the nearest multiples; where the area is then out of bounds, scaled into them first."""
    width, height = (max(multiple, round(side / multiple) * multiple) for side in size)
    if width * height > most:
        scale = math.sqrt(most / (size[0] * size[1]))
        width, height = (math.floor(side * scale / multiple) * multiple for side in size)
    elif width * height < least:
        scale = math.sqrt(least / (size[0] * size[1]))
        width, height = (math.ceil(side * scale / multiple) * multiple for side in size)
    return width, height


def loader_limits(family: str) -> Limits:
    """The limits of a family with which every frame has a size that `qwen_vl_utils` leaves alone: for `limits` of
    `cotasks.instructions`, where the examples are for ms-swift. Of a family that it does not load, its own."""
    limits = FAMILIES[family].limits
    if family in LOADED:
        least, most = (tokens * limits.multiple**2 for tokens in VIDEO_TOKENS)
        return replace(
            limits,
            multiple=2 * limits.multiple,
            min_pixels=max(limits.min_pixels, least),
            max_pixels=min(limits.max_pixels, most),
            max_video_pixels=min(limits.max_video_pixels, int(ALL_TOKENS * limits.multiple**2) * FRAMES),
        )
    return limits
