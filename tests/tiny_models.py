"""Tiny models for tests, each built once a session, and clips that fit them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES, NEEDS_MORE, frame_size, limits_of
from cotasks.models.tensors import Clip
from cotasks.models.tiny import TOO_OLD, build_tiny


@cache
def tiny(family: str) -> tuple[Any, Any]:
    """(model, processor), shared between tests: leave them as they are. Skips where transformers is too old for it, or
    lacks a package that it needs."""
    try:
        return build_tiny(family)
    except InputError as error:
        if error.reason in (TOO_OLD, NEEDS_MORE):
            pytest.skip(str(error))
        raise


def available() -> list[str]:
    """The families that the installed transformers has, with the packages that it needs for them."""
    import transformers

    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    return [
        name
        for name, row in FAMILIES.items()
        if row.model_types[0] in known and (not row.needs or importlib.util.find_spec(row.needs) is not None)
    ]


@dataclass(frozen=True)
class Prompt:
    messages: list[dict[str, Any]]


def prompt(text: str, videos: int = 1) -> Prompt:
    """One user turn: `videos` placeholders, then the text."""
    content = [{"type": "video"}] * videos + [{"type": "text", "text": text}]
    return Prompt([{"role": "user", "content": content}])


def pixels_name(family: str) -> str:
    """Under which name the processor of `family` gives the pixels of frames."""
    return "pixel_values" if FAMILIES[family].frames_are_images else "pixel_values_videos"


def seen_token(family: str) -> int:
    """The token that stands for what is seen of a video."""
    row, processor = FAMILIES[family], tiny(family)[1]
    if row.frame_token:
        return int(processor.tokenizer.convert_tokens_to_ids(row.frame_token))
    return int(processor.image_token_id if row.frames_are_images else processor.video_token_id)


def clip(family: str, width: int = 160, height: int = 120, num_frames: int = 8, step: int = 15, seed: int = 0) -> Clip:
    """Noise of the size that the tiny processor of `family` leaves alone, every `step` frames at 30 frames a second."""
    row = FAMILIES[family]
    w, h = frame_size(row, width, height, num_frames, limits=limits_of(tiny(family)[1], row))
    pixels = np.random.default_rng(seed).integers(0, 256, (num_frames, h, w, 3), dtype=np.uint8)
    return Clip(pixels, list(range(0, step * num_frames, step)), 30.0, step * num_frames)
