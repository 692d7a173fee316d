"""Tiny random-weight models of the real classes, built in memory without any download.

They let every command and every test run offline, on a CPU, in seconds. Their answers mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotasks.errors import InputError, MissingExtra

VOCABULARY = 800
"""Tokens learned from `_CORPUS` at most, the 256 bytes included and special tokens not."""

_HIDDEN, _LAYERS, _HEADS = 64, 2, 4
_TEXT = {
    "hidden_size": _HIDDEN,
    "intermediate_size": 128,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,  # larger than usual, so that what goes in can be told from what comes out
}

_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.2,
}
"""The vision tower of the families that are not Qwen's: 16 patches a frame."""

_QWEN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_LLAVA_TOKENS = ("<|im_start|>", "<|im_end|>", "<image>", "<video>")
_INTERNVL_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}

_CORPUS = """
Question: why did the man in the red shirt pick up the ball in the middle of the video? Answer: to throw it to the dog.
Question: what does the lady do after the child sits down on the sofa? Answer: she walks towards the table.
Question: how many people are there in the video? Answer: three. Where is this video taken? Answer: in a park.
Answer with a short phrase. Answer with the letter of the right option only. Options: A. B. C. D. E.
Frames and entities that matter: frames at 0.0 s, 1.5 s, 2.0 s, 10.5 s; entities adult 1, adult 2, child 1, dog 1.
Boxes of each entity as [x1, y1, x2, y2]: adult 1 at 3.2 s [120, 48, 310, 476]; ball 1 at 4.0 s [0.512, 0.250, 0.600].
Relations within a frame: adult 1 next to child 1; dog 1 in front of sofa 1; cup above table; bottle inside basket.
Relations over time: adult 1 holds ball from 2.0 s to 4.5 s; dog 1 chases cat 1 from 5.0 s to 9.5 s; baby watches toy.
The video shows a person who moves, meets, follows, holds, throws, opens, closes, lifts and covers other things.
behind beneath above inside away towards in front of next to lean on carry push pull hug kiss ride play with look at
person adult baby toy car bicycle motorcycle bird cat dog horse chair sofa table cup bottle screen camera handbag
"""

# A default system turn opens the chat where it has none (not in Qwen3-VL, see `_qwen_processor`).
_QWEN_TEMPLATE = r"""
{%- if messages[0].role != 'system' and DEFAULT_SYSTEM %}
{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}
{%- elif part.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- else %}{{ part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""

# The LLaVA formats put the videos of a turn before its text.
_ONEVISION_TEMPLATE = r"""
{%- for message in messages %}
{{- '<|im_start|>' + message.role + ' ' }}
{%- if message.content is string %}{{ '\n' + message.content }}
{%- else %}
{%- for part in message.content if part.type != 'text' %}{{ '<' + part.type + '>' }}{% endfor %}
{%- for part in message.content if part.type == 'text' %}{{ '\n' + part.text }}{% endfor %}
{%- endif %}
{{- '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""
_INTERNVL_TEMPLATE = r"""
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}
{%- else %}{{ '<IMG_CONTEXT>\n' if part.type == 'image' else '<video>\n' }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""
_VICUNA_TEMPLATE = r"""
{%- for message in messages %}
{%- if message.role != 'system' %}{{ message.role.upper() + ': ' }}{% endif %}
{%- if message.content is string %}{{ message.content + ' ' }}
{%- else %}
{%- for part in message.content if part.type != 'text' %}{{ '<' + part.type + '>\n' }}{% endfor %}
{%- for part in message.content if part.type == 'text' %}{{ part.text + ' ' }}{% endfor %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}
"""


def build_tiny(family: str = "qwen2_5_vl", seed: int = 0) -> tuple[Any, Any]:
    """A tiny model with random weights, and its processor, both of the family's real classes.

    Everything is made on the spot: a byte-level tokenizer trained on a few built-in lines (under 2,000 tokens), a
    chat template in the family's format, weights drawn from `seed` (under 2 million, float32, on the CPU). The same
    seed gives the same weights; torch's own random state is left as it was.

    Args:
        family: a name from `cotasks.models.families.FAMILIES`.
        seed: of the weights.

    Returns:
        (model in evaluation mode, processor).

    Raises InputError for a family without a tiny model, MissingExtra where torch or transformers is not installed.
    """
    try:
        import torch
        import torchvision  # type: ignore[import-untyped]  # noqa: F401  (video processors need it)
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "models") from None
    if family not in _BUILDERS:
        raise InputError(f"no tiny model of family {family!r}; expected one of {', '.join(_BUILDERS)}")
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


def _tokenizer(transformers: Any, special: tuple[str, ...], eos: str) -> Any:
    """Byte-level BPE with the Qwen2 pre-tokenizer, trained on `_CORPUS`; `special` get their own tokens."""
    tokenizer = transformers.Qwen2Tokenizer().train_new_from_iterator(
        _CORPUS.splitlines(), vocab_size=VOCABULARY, show_progress=False
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.eos_token, tokenizer.pad_token = eos, "<|endoftext|>"
    return tokenizer


def _ends(tokenizer: Any) -> dict[str, int | None]:
    return {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _qwen_processor(transformers: Any, processor_class: str, video_class: str, patch: int, system: bool) -> Any:
    """Processor of a Qwen family whose frames have 4 to 16 tokens before temporal merging."""
    token = (2 * patch) ** 2
    size = {"shortest_edge": 4 * token, "longest_edge": 16 * token}
    video_size = (
        size if video_class == "Qwen2VLVideoProcessor" else {"shortest_edge": token, "longest_edge": 512 * token}
    )
    return getattr(transformers, processor_class)(
        image_processor=transformers.Qwen2VLImageProcessor(patch_size=patch, size=size),
        video_processor=getattr(transformers, video_class)(patch_size=patch, size=video_size),
        tokenizer=_tokenizer(transformers, _QWEN_TOKENS, "<|im_end|>"),
        chat_template=_QWEN_TEMPLATE.replace("DEFAULT_SYSTEM", str(system).lower()).strip(),
    )


def _qwen_config(config_class: Any, processor: Any, vision: dict[str, Any], mrope: list[int], **text: Any) -> Any:
    tokenizer = processor.tokenizer
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": mrope}
    return config_class(
        text_config={**_TEXT, **_ends(tokenizer), **text, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={"depth": 2, "num_heads": 2, "initializer_range": 0.2, **vision},
        **ids,
    )


def _qwen2_5_vl(transformers: Any) -> tuple[Any, Any, Any]:
    processor = _qwen_processor(transformers, "Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor", 14, system=True)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": _HIDDEN,
        "fullatt_block_indexes": [1],
    }
    config = _qwen_config(transformers.Qwen2_5_VLConfig, processor, vision, [2, 3, 3])
    return transformers.Qwen2_5_VLForConditionalGeneration, config, processor


def _qwen2_vl(transformers: Any) -> tuple[Any, Any, Any]:
    processor = _qwen_processor(transformers, "Qwen2VLProcessor", "Qwen2VLVideoProcessor", 14, system=True)
    vision = {"embed_dim": 32, "hidden_size": _HIDDEN, "mlp_ratio": 2}
    config = _qwen_config(transformers.Qwen2VLConfig, processor, vision, [2, 3, 3])
    return transformers.Qwen2VLForConditionalGeneration, config, processor


def _qwen3_vl(transformers: Any) -> tuple[Any, Any, Any]:
    processor = _qwen_processor(transformers, "Qwen3VLProcessor", "Qwen3VLVideoProcessor", 16, system=False)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": _HIDDEN,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    config = _qwen_config(transformers.Qwen3VLConfig, processor, vision, [4, 2, 2], head_dim=_HIDDEN // _HEADS)
    return transformers.Qwen3VLForConditionalGeneration, config, processor


def _llava_onevision(transformers: Any) -> tuple[Any, Any, Any]:
    tokenizer = _tokenizer(transformers, _LLAVA_TOKENS, "<|im_end|>")
    side = {"height": 56, "width": 56}
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(size=side, image_grid_pinpoints=[[56, 56]]),
        video_processor=transformers.LlavaOnevisionVideoProcessor(size=side),
        tokenizer=tokenizer,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_ONEVISION_TEMPLATE.strip(),
    )
    vision = {"model_type": "siglip_vision_model", "vision_use_head": False}
    config = _llava_config(transformers.LlavaOnevisionConfig, tokenizer, vision, {"model_type": "qwen2"})
    return transformers.LlavaOnevisionForConditionalGeneration, config, processor


def _llava_next_video(transformers: Any) -> tuple[Any, Any, Any]:
    tokenizer = _tokenizer(transformers, _LLAVA_TOKENS, "<|endoftext|>")
    side = {"height": 56, "width": 56}
    processor = transformers.LlavaNextVideoProcessor(
        image_processor=transformers.LlavaNextImageProcessor(
            size={"shortest_edge": 56}, crop_size=side, image_grid_pinpoints=[[56, 56]]
        ),
        video_processor=transformers.LlavaNextVideoVideoProcessor(size={"shortest_edge": 56}, crop_size=side),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_VICUNA_TEMPLATE.strip(),
    )
    vision = {"model_type": "clip_vision_model", "projection_dim": 32}
    config = _llava_config(transformers.LlavaNextVideoConfig, tokenizer, vision, {"model_type": "llama"})
    return transformers.LlavaNextVideoForConditionalGeneration, config, processor


def _llava_config(config_class: Any, tokenizer: Any, vision: dict[str, Any], text: dict[str, Any]) -> Any:
    return config_class(
        text_config={**_TEXT, **_ends(tokenizer), **text, "vocab_size": len(tokenizer)},
        vision_config={**_VISION, **vision},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[56, 56]],
    )


def _internvl(transformers: Any) -> tuple[Any, Any, Any]:
    tokenizer = _tokenizer(transformers, ("<|im_start|>", "<|im_end|>", *_INTERNVL_TOKENS.values()), "<|im_end|>")
    tokenizer = type(tokenizer)(  # only a new one takes names for tokens
        tokenizer_object=tokenizer.backend_tokenizer,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        extra_special_tokens=_INTERNVL_TOKENS,
    )
    seen = {
        "size": {"height": 56, "width": 56},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(**seen),
        video_processor=transformers.InternVLVideoProcessor(**seen),
        tokenizer=tokenizer,
        image_seq_length=4,  # 16 patches, 4 merged into one
        chat_template=_INTERNVL_TEMPLATE.strip(),
    )
    config = transformers.InternVLConfig(
        text_config={**_TEXT, **_ends(tokenizer), "model_type": "qwen2", "vocab_size": len(tokenizer)},
        vision_config={**_VISION, "layer_scale_init_value": 1.0},
        image_token_id=processor.image_token_id,
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    return transformers.InternVLForConditionalGeneration, config, processor


_BUILDERS = {
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_vl": _qwen2_vl,
    "qwen3_vl": _qwen3_vl,
    "llava_onevision": _llava_onevision,
    "llava_next_video": _llava_next_video,
    "internvl": _internvl,
}
