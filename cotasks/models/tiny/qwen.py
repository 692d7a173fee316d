"""Tiny models of the Qwen families."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import HEADS, HIDDEN, TEXT, end_tokens, train_tokenizer

_QWEN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_THINK_TOKENS = ("<think>", "</think>")

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

# Thoughts before the last answer only, and an empty one where thinking is off.
_QWEN3_5_TEMPLATE = r"""
{%- set last = namespace(question=-1) %}
{%- for message in messages %}
{%- if message.role == 'user' %}{% set last.question = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' and loop.index0 > last.question %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
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
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n<think>\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '\n</think>\n\n' }}{% endif %}
{%- endif %}
"""


def _qwen_processor(
    transformers: Any, processor_class: str, video_class: str, patch: int, system: bool, plain: tuple[str, ...] = ()
) -> Any:
    """Processor of a Qwen family whose frames have 4 to 16 tokens before temporal merging."""
    token = (2 * patch) ** 2
    size = {"shortest_edge": 4 * token, "longest_edge": 16 * token}
    video_size = (
        size if video_class == "Qwen2VLVideoProcessor" else {"shortest_edge": token, "longest_edge": 512 * token}
    )
    return getattr(transformers, processor_class)(
        image_processor=transformers.Qwen2VLImageProcessor(patch_size=patch, size=size),
        video_processor=getattr(transformers, video_class)(patch_size=patch, size=video_size),
        tokenizer=train_tokenizer(transformers, _QWEN_TOKENS, "<|im_end|>", plain),
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
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": mrope, "partial_rotary_factor": 1.0}
    return config_class(
        text_config={**TEXT, **end_tokens(tokenizer), **text, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={"depth": 2, "num_heads": 2, "initializer_range": 0.2, **vision},
        **ids,
    )


def qwen2_5_vl(transformers: Any) -> tuple[Any, Any, Any]:
    processor = _qwen_processor(transformers, "Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor", 14, system=True)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": HIDDEN,
        "fullatt_block_indexes": [1],
    }
    config = _qwen_config(transformers.Qwen2_5_VLConfig, processor, vision, [2, 3, 3])
    return transformers.Qwen2_5_VLForConditionalGeneration, config, processor


def qwen2_vl(transformers: Any) -> tuple[Any, Any, Any]:
    processor = _qwen_processor(transformers, "Qwen2VLProcessor", "Qwen2VLVideoProcessor", 14, system=True)
    vision = {"embed_dim": 32, "hidden_size": HIDDEN, "mlp_ratio": 2}
    config = _qwen_config(transformers.Qwen2VLConfig, processor, vision, [2, 3, 3])
    return transformers.Qwen2VLForConditionalGeneration, config, processor


def qwen3_vl(transformers: Any) -> tuple[Any, Any, Any]:
    processor = _qwen_processor(transformers, "Qwen3VLProcessor", "Qwen3VLVideoProcessor", 16, system=False)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": HIDDEN,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    config = _qwen_config(transformers.Qwen3VLConfig, processor, vision, [4, 2, 2], head_dim=HIDDEN // HEADS)
    return transformers.Qwen3VLForConditionalGeneration, config, processor


def qwen3_5(transformers: Any, experts: bool = False) -> tuple[Any, Any, Any]:
    """One layer of linear and one of full attention; with `experts`, those of the mixture-of-experts class."""
    processor = _qwen_processor(transformers, "Qwen3VLProcessor", "Qwen3VLVideoProcessor", 16, False, _THINK_TOKENS)
    processor.chat_template = _QWEN3_5_TEMPLATE.strip()
    vision = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": HIDDEN, "num_position_embeddings": 64}
    text: dict[str, Any] = {
        "head_dim": HIDDEN // HEADS,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    if experts:
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
        text["shared_expert_intermediate_size"] = 32
    name = "Qwen3_5Moe" if experts else "Qwen3_5"
    config = _qwen_config(getattr(transformers, f"{name}Config"), processor, vision, [4, 2, 2], **text)
    return getattr(transformers, f"{name}ForConditionalGeneration"), config, processor
