"""What prompts about one video have in common, worked out once: the vision tower's output, and the keys and values of
the prompts' common beginning (system text and video).

Both are handed to `generate` of transformers as it takes them: the vision output as `mm_encoder_outputs`, the beginning
as `cache`, once called `past_key_values`. In a batch the rows' beginnings are padded on the left to one length, and so
are their rests:

    row 1   [pad] beginning of clip 1  [pad][pad] rest
    row 2         beginning of clip 2             rest
    row 3   [pad] beginning of clip 1  [pad]      rest

Each token attends to the same tokens at the same positions as it would in its prompt alone. What floating point makes
of it differs as it does between batches of other sizes: by 1e-6 of a logit in float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cotasks.generate.local.encode import Encoded, Video
from cotasks.models.load import Model


@dataclass(frozen=True)
class Reuse:
    """What is worked out once a video."""

    vision: bool
    """The vision tower's output."""
    prefix: bool
    """Keys and values of the prompt up to the end of the video; needs `vision`."""


def reuse_of(model: Model, vision: bool = True, prefix: bool = True) -> Reuse:
    """What can be reused of what is wished for, with this model and this version of transformers.

    The beginning is not where an attention window slides, where the family's row says that it is not exact, and with
    FlashAttention, whose packing of padded rows has not been seen to be exact here.
    """
    from transformers import DynamicCache

    vision = vision and "mm_encoder_outputs" in inspect.signature(model.model.forward).parameters
    prefix = prefix and model.family.prefix_reuse
    if not vision or not prefix or "flash" in str(model.model.config._attn_implementation):
        return Reuse(vision, False)
    cache = DynamicCache(config=_text_config(model))
    plain = not any(cache.is_sliding) and "ddp_cache_data" in inspect.signature(DynamicCache).parameters
    return Reuse(vision, plain)


def model_inputs(model: Model, rows: Sequence[Encoded], reuse: Reuse) -> tuple[dict[str, Any], int]:
    """What `generate` of transformers takes for a batch, and its number of columns: what it adds is the answers."""
    import torch

    videos = [row.video for row in rows if row.video is not None]
    if reuse.prefix and videos and all(row.prefix < row.tokens for row in rows):
        return _with_prefixes(model, rows)
    width = max(row.tokens for row in rows)
    places = [[(slice(0, row.tokens), slice(width - row.tokens, width))] for row in rows]
    inputs = _padded(model, rows, places, width)
    names = list(videos[0].tensors) if videos else []
    if videos and reuse.vision:
        inputs["mm_encoder_outputs"] = {_kind(model): _joined([_features(model, video) for video in videos])}
        names = [name for name in names if not name.startswith("pixel_values")]
    for name in names:
        parts = [video.tensors[name] for video in videos]
        if name in model.family.counts_patches:
            parts = _counted_on(parts, [video.tensors["pixel_values_videos"] for video in videos])
        inputs[name] = torch.cat(parts, dim=-1 if name in model.family.in_one_row else 0).to(model.model.device)
    return inputs, width


def _counted_on(parts: Sequence[Any], pixels: Sequence[Any]) -> list[Any]:
    """Numbers of patches of each video -> of all videos; `pixels` (frames, patches, size) are those of each."""
    done, counted = 0, []
    for part, patches in zip(parts, pixels, strict=True):
        counted.append(part.where(part < 0, part + done))
        done += patches.shape[0] * patches.shape[1]
    return counted


def _with_prefixes(model: Model, rows: Sequence[Encoded]) -> tuple[dict[str, Any], int]:
    import torch
    from transformers import DynamicCache

    before = max(row.prefix for row in rows)
    width = before + max(row.tokens - row.prefix for row in rows)
    places = [
        [
            (slice(0, row.prefix), slice(before - row.prefix, before)),
            (slice(row.prefix, row.tokens), slice(width - (row.tokens - row.prefix), width)),
        ]
        for row in rows
    ]
    inputs = _padded(model, rows, places, width)
    inputs.pop("mm_token_type_ids", None)
    if rows[0].positions is not None:
        # those of the text, then of the three axes: what generate would work out from whole prompts
        text = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        axes = _filled(torch.zeros((len(rows), 3, width), dtype=torch.long), [row.positions for row in rows], places)
        inputs["position_ids"] = torch.cat([text[None], axes.transpose(0, 1).to(text.device)])
    prefixes = [_prefix(model, row) for row in rows]
    count = len(next(prefix for prefix in prefixes if prefix is not None).layers)
    layers = [_side_by_side([prefix and prefix.layers[i] for prefix in prefixes], before) for i in range(count)]
    inputs[_cache_name(model)] = DynamicCache(layers, config=_text_config(model))
    return inputs, width


Places = Sequence[Sequence[tuple[slice, slice]]]
"""For each row, (tokens, columns) of each piece of it."""


def _padded(model: Model, rows: Sequence[Encoded], places: Places, width: int) -> dict[str, Any]:
    """Tokens and attention mask of a batch, each (rows, width), on the model's device."""
    import torch

    tokenizer = model.processor.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else model.end_tokens[0]
    shape = len(rows), width
    ones = [torch.ones(row.tokens, dtype=torch.long) for row in rows]
    tensors = {"attention_mask": _filled(torch.zeros(shape, dtype=torch.long), ones, places)}
    for name, first in rows[0].text.items():
        empty = torch.full(shape, pad if name == "input_ids" else 0, dtype=first.dtype)
        tensors[name] = _filled(empty, [row.text[name] for row in rows], places)
    return {name: tensor.to(model.model.device) for name, tensor in tensors.items()}


def _filled(empty: Any, rows: Sequence[Any], places: Places) -> Any:
    """`empty` (rows, ..., width), with the pieces of each row (..., tokens) in their places."""
    for i, (row, pieces) in enumerate(zip(rows, places, strict=True)):
        for tokens, columns in pieces:
            empty[i, ..., columns] = row[..., tokens]
    return empty


def _kind(model: Model) -> str:
    """What frames are to the model."""
    return "image" if model.family.frames_are_images else "video"


def _features(model: Model, video: Video) -> Any:
    """What the model's `get_video_features` (or `..._image_...`) gives for a clip, less the tower's inner states."""
    if video.features is None:
        named = video.tensors
        encode = getattr(model.model.base_model, f"get_{_kind(model)}_features", None)
        if encode is None:  # PerceptionLM's function for images sees videos too
            encode = model.model.base_model.get_image_features
            named = {"pixel_values": named["pixel_values_videos"]}
        known = inspect.signature(encode).parameters
        tensors = {name: t.to(model.model.device) for name, t in named.items() if name in known}
        video.features = _joined([encode(**tensors, return_dict=True)])
    return video.features


def _joined(outputs: Sequence[Any]) -> Any:
    """The outputs for several clips as one, in the form that the family gives it in."""
    import torch

    first = outputs[0]
    if isinstance(first.pooler_output, torch.Tensor):  # (clips, tokens, hidden), where clips may differ in tokens
        pooled: Any = torch.cat([output.pooler_output.flatten(0, 1) for output in outputs]).unsqueeze(0)
    else:
        pooled = [part for output in outputs for part in output.pooler_output]
    fields = {"last_hidden_state": None, "pooler_output": pooled}
    if getattr(first, "deepstack_features", None) is not None:
        layers = zip(*(output.deepstack_features for output in outputs), strict=True)
        fields["deepstack_features"] = [[part for output in layer for part in output] for layer in layers]
    return type(first)(**fields)


def _prefix(model: Model, row: Encoded) -> Any:
    """The cache (1 row) of a prompt's tokens up to the end of its video; None where it shows none."""
    if row.video is None:
        return None
    from transformers import DynamicCache

    ids = row.text["input_ids"][None, : row.prefix]
    name = ids.numpy().tobytes()
    if name not in row.video.prefixes:
        inputs = {"input_ids": ids}
        if kept := model.family.kept_tokens:
            inputs[kept] = row.video.tensors[kept]
        if row.positions is not None:
            inputs["position_ids"] = row.positions[:, None, : row.prefix]
        cache = DynamicCache(config=_text_config(model))
        model.model(
            **{name: tensor.to(model.model.device) for name, tensor in inputs.items()},
            **{_cache_name(model): cache},
            mm_encoder_outputs={_kind(model): _features(model, row.video)},
            use_cache=True,
            logits_to_keep=1,
        )
        row.video.prefixes[name] = cache
    return row.video.prefixes[name]


def _cache_name(model: Model) -> str:
    """What the model's `forward`, and so `generate`, calls the keys and values that it goes on from."""
    return "cache" if "cache" in inspect.signature(model.model.forward).parameters else "past_key_values"


def _side_by_side(layers: Sequence[Any], width: int) -> tuple[Any, Any]:
    """Keys and values (rows, heads, width, size) of one layer, each row's at the end and zeros before it."""
    first = next(layer for layer in layers if layer is not None)
    tensors = []
    for name in ("keys", "values"):
        one = getattr(first, name)
        if all(layer is first for layer in layers):
            tensors.append(one.expand(len(layers), -1, -1, -1))
            continue
        many = one.new_zeros((len(layers), one.shape[1], width, one.shape[3]))
        for i, layer in enumerate(layers):
            if layer is not None:
                many[i, :, width - layer.keys.shape[2] :] = getattr(layer, name)[0]
        tensors.append(many)
    return tensors[0], tensors[1]


def _text_config(model: Model) -> Any:
    return model.model.config.get_text_config(decoder=True)
