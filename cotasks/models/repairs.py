"""Where transformers or a published checkpoint departs from how a family was trained, and how it is set right.

Training needs the same as generation: `load_model` and `cotasks.training.scripts.load_base` call `repair`; whoever
loads a model otherwise calls it too.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from typing import Any

from cotasks.errors import InputError
from cotasks.models.families import align_frames_with_images, family_of

NEWLINES = ("grid", "one_token")
"""Values of `mm_newline_position` in LLaVA-NeXT that are known here; the second is LLaVA-OneVision's."""
POOLINGS = ("average", "bilinear")
"""Values of `mm_spatial_pool_mode` in LLaVA-NeXT that are known here; the second is LLaVA-OneVision's."""


def repair(model: Any, processor: Any) -> dict[str, str]:
    """Set right, in place, what departs from how the family was trained. Nothing changes where all is right: each
    departure is looked for in what the classes at hand do, so that a version of transformers without it is left alone.

    - Qwen2.5-VL and Qwen2-VL: text after a video takes the positions that follow the video's greatest, as in Qwen's
      own training code (`llm_pos_ids_list[-1].max() + 1`, qwen-vl-finetune/qwenvl/data/rope2d.py), in transformers 4
      and in vLLM. transformers 5.23 and 5.24 let it follow the longer side of a frame, so that the question about a
      long video stands at a time in the middle of it.
    - InternVL3.5: frames are processed as images are, see `cotasks.models.families.align_frames_with_images`.
    - LLaVA-Video, converted by `examples/convert_llava_video.py`: a newline token ends each row of patches, where
      transformers' LLaVA-OneVision has one at the end of the video; and the pooling that the checkpoint names.

    Args:
        model: of transformers, whose `config.model_type` has a row in `cotasks.models.families`.
        processor: of the same checkpoint.

    Returns:
        What differs from transformers, by name, for `run.json`.

    Raises InputError for a LLaVA-Video checkpoint of a kind that is not known.
    """
    family = family_of(model.config.model_type)
    align_frames_with_images(processor, family)
    done = _put_text_after_video(model.base_model) if family.text_follows_frame else {}
    if family.newlines_by_config:
        done |= _end_rows_in_newlines(model, processor)
    return done


# Qwen2.5-VL -----------------------------------------------------------------------------------------------------------


def _put_text_after_video(inner: Any) -> dict[str, str]:
    rope_index = inner.get_rope_index
    if not isinstance(rope_index, functools.partial):
        if _is_after_video(inner):
            return {}
        inner.get_rope_index = functools.update_wrapper(functools.partial(_one_after_another, rope_index), rope_index)
    return {"text_positions": "after the video"}


def _is_after_video(inner: Any) -> bool:
    """Whether text begins after the greatest position of a video: tried on nine patches of one token each."""
    import torch

    patches, side = 9, inner.config.vision_config.spatial_merge_size
    kinds = torch.tensor([[0, *[2] * patches, 0]])
    inputs = {
        "input_ids": torch.where(kinds == 2, inner.config.video_token_id, 0),
        "mm_token_type_ids": kinds,
        "video_grid_thw": torch.tensor([[patches, side, side]]),
        "second_per_grid_ts": torch.tensor([1.0]),
    }
    known = inspect.signature(inner.get_rope_index).parameters
    if "mm_token_type_ids" not in known:
        return True  # the function of transformers 4
    positions, _ = inner.get_rope_index(**{name: value for name, value in inputs.items() if name in known})
    return bool((positions[:, 0, -1] == positions[:, 0, :-1].max() + 1).all())


def _one_after_another(
    rope_index: Any, input_ids: Any, mm_token_type_ids: Any, *others: Any, **named: Any
) -> tuple[Any, Any]:
    """`get_rope_index` of transformers, but that each stretch of text or video begins after the greatest position of
    the one before.

    Returns:
        Positions (3, rows, tokens), and for each row (rows, 1) by how much the position after its last token exceeds
        the number of its tokens.
    """
    positions, deltas = rope_index(input_ids, mm_token_type_ids, *others, **named)
    mask = named.get("attention_mask")
    for row, kinds in enumerate(mm_token_type_ids):
        real = mask[row].bool() if mask is not None else kinds >= 0  # all of them
        pieces, kinds = positions[:, row, real], kinds[real]
        ends = [*((kinds[1:] != kinds[:-1]).nonzero()[:, 0] + 1).tolist(), len(kinds)]
        start = 0
        for begin, end in itertools.pairwise([0, *ends]):
            piece = pieces[:, begin:end]
            piece += start - piece.min()
            start = int(piece.max()) + 1
        positions[:, row, real] = pieces
        deltas[row] = start - len(kinds)
    return positions, deltas


# LLaVA-Video ----------------------------------------------------------------------------------------------------------


def _end_rows_in_newlines(model: Any, processor: Any) -> dict[str, str]:
    newlines = getattr(model.config, "mm_newline_position", "one_token")
    pooling = getattr(model.config, "mm_spatial_pool_mode", "bilinear")
    if newlines not in NEWLINES or pooling not in POOLINGS:
        raise InputError(
            f"model {model.name_or_path}: mm_newline_position is {newlines!r} and mm_spatial_pool_mode {pooling!r} in "
            f"config.json; expected one of {', '.join(NEWLINES)} and of {', '.join(POOLINGS)}"
        )
    if (newlines, pooling) == ("one_token", "bilinear"):
        return {}
    inner, vision = model.base_model, model.config.vision_config
    side = vision.image_size // vision.patch_size
    plain_tokens = functools.partial(_video_tokens, processor.video_token, math.ceil(side / 2) ** 2, 1)
    side = side // 2 if pooling == "average" else math.ceil(side / 2)
    a_frame, at_end = (side * (side + 1), 0) if newlines == "grid" else (side * side, 1)
    tokens = functools.partial(_video_tokens, processor.video_token, a_frame, at_end)
    if not isinstance(inner.apply_pooling, functools.partial):
        if _of_two_frames(processor.replace_video_token) == _of_two_frames(tokens) != _of_two_frames(plain_tokens):
            return {}  # a version that reads the configuration
        plain, see = inner.apply_pooling, inner.get_video_features
        inner.apply_pooling = functools.partial(_pool, inner, plain, newlines, pooling)
        if newlines == "grid":
            inner.get_video_features = functools.update_wrapper(functools.partial(_without_last, see), see)
    processor.replace_video_token = tokens
    return {"mm_newline_position": newlines, "mm_spatial_pool_mode": pooling}


def _of_two_frames(replace_video_token: Any) -> str:
    """What a processor writes for a video of two frames."""
    text: str = replace_video_token({"pixel_values_videos": [[0, 0]]}, 0)
    return text


def _pool(inner: Any, plain: Any, newlines: str, pooling: str, patches: Any) -> Any:
    """Patches of frames (frames, patches, hidden) -> those given to the language model, as `get_2dPool` and
    `add_token_per_grid` of LLaVA-NeXT have it."""
    import torch

    side = math.isqrt(patches.shape[1])
    if pooling == "average":
        square = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        pooled = torch.nn.functional.avg_pool2d(square, 2).permute(0, 2, 3, 1)
    else:
        pooled = plain(patches)
        pooled = pooled.unflatten(1, (math.isqrt(pooled.shape[1]),) * 2)  # (frames, rows, columns, hidden)
    if newlines == "grid":
        newline = inner.image_newline.to(pooled).expand(*pooled.shape[:2], 1, -1)
        pooled = torch.cat([pooled, newline], dim=2)
    return pooled.flatten(1, 2)


def _without_last(see: Any, *others: Any, **named: Any) -> Any:
    """`get_video_features` without the newline that transformers puts at the end of a video."""
    output = see(*others, **named)
    output.pooler_output = output.pooler_output[:, :-1]
    return output


def _video_tokens(token: str, a_frame: int, at_end: int, video_inputs: Any, video_idx: int, **_: Any) -> str:
    return token * (len(video_inputs["pixel_values_videos"][video_idx]) * a_frame + at_end)
