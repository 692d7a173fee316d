"""Tiny random-weight models of the real classes, built in memory without any download.

They let every command and every test run offline, on a CPU, in seconds. Their answers mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, MissingExtra
from cotasks.models.families import FAMILIES, check_needs, family_of
from cotasks.models.tiny import gemma, glm, kimi, llava, minicpm, molmo, perception, qwen, video_llama

__all__ = ["TOO_OLD", "build_tiny", "save_tiny"]

TOO_OLD = "transformers is too old"
"""The reason where the installed transformers has no classes of a family."""


def build_tiny(family: str = "qwen2_5_vl", seed: int = 0) -> tuple[Any, Any]:
    """A tiny model with random weights, and its processor, both of the family's real classes.

    Everything is made on the spot: a byte-level tokenizer trained on a few built-in lines (under 2,000 tokens), a
    chat template in the family's format, weights drawn from `seed` (under 2 million, float32, on the CPU). The same
    seed gives the same weights; torch's own random state is left as it was.

    Args:
        family: a name from `cotasks.models.families.FAMILIES`, or a further model type of a family that has classes of
            its own, such as `qwen3_5_moe`.
        seed: of the weights.

    Returns:
        (model in evaluation mode, processor).

    Raises InputError for a family without a tiny model, that this version of transformers does not know (`TOO_OLD`), or
    that needs a package which is not installed (`families.NEEDS_MORE`); MissingExtra where torch or transformers is not
    installed.
    """
    try:
        import torch
        import torchvision  # type: ignore[import-untyped]  # noqa: F401  (video processors need it)
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    if family not in _BUILDERS:
        raise InputError(f"no tiny model of family {family!r}; expected one of {', '.join(_BUILDERS)}")
    model_type = FAMILIES[family].model_types[0] if family in FAMILIES else family
    if model_type not in transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES:
        raise InputError(f"transformers {transformers.__version__} knows no {model_type} yet", TOO_OLD)
    check_needs(family_of(model_type))
    model_class, config, processor = _BUILDERS[family](transformers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model.eval(), processor


def save_tiny(folder: Path, family: str = "qwen2_5_vl", seed: int = 0) -> None:
    """Write `build_tiny` to a folder that `AutoModelForImageTextToText` and `AutoProcessor` load."""
    model, processor = build_tiny(family, seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


_BUILDERS: dict[str, Callable[[Any], tuple[Any, Any, Any]]] = {
    "qwen2_5_vl": qwen.qwen2_5_vl,
    "qwen2_vl": qwen.qwen2_vl,
    "qwen3_vl": qwen.qwen3_vl,
    "qwen3_5": qwen.qwen3_5,
    "llava_onevision": llava.llava_onevision,
    "llava_next_video": llava.llava_next_video,
    "internvl": llava.internvl,
    "glm4v": glm.glm4v,
    "gemma4": gemma.gemma4,
    "molmo2": molmo.molmo2,
    "video_llama_3": video_llama.video_llama_3,
    "minicpm_v": minicpm.minicpm_v,
    "perception_lm": perception.perception_lm,
    "kimi_k25": kimi.kimi_k25,
    "minicpmv4_7": partial(minicpm.minicpm_v, version="4_7"),
    "qwen3_5_moe": partial(qwen.qwen3_5, experts=True),
    "glm4v_moe": partial(glm.glm4v, kind="moe"),
    "glm46v": partial(glm.glm4v, kind="4.6"),
}
"""Family, or a further model type of one, -> (transformers) -> (class of the model, its configuration, processor)."""
