"""Tiny models of the GLM-V family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import HIDDEN, TEXT, end_tokens, train_tokenizer

_TOKENS = (
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|image|>",
    "<|video|>",
)

# As of GLM-4.5V: no token ends a turn, and `/nothink` stands behind a question that is to be answered at once.
_TEMPLATE = r"""
{%- macro told(content) %}
{%- if content is string %}{{ content }}
{%- else %}
{%- for part in content %}
{%- if part.type == 'video' %}{{ '<|begin_of_video|><|video|><|end_of_video|>' }}
{%- elif part.type == 'image' %}{{ '<|begin_of_image|><|image|><|end_of_image|>' }}
{%- else %}{{ part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{%- endmacro %}
{%- set off = enable_thinking is defined and not enable_thinking %}
{{- '[gMASK]<sop>' }}
{%- for message in messages %}
{{- '<|' + message.role + '|>\n' }}
{%- if message.role == 'assistant' %}{{ '<think></think>\n' }}{% endif %}
{{- told(message.content) }}
{%- if message.role == 'user' and off %}{{ '/nothink' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' + ('\n<think></think>' if off else '') }}{% endif %}
"""


def glm4v(transformers: Any, kind: str = "") -> tuple[Any, Any, Any]:
    """GLM-4.1V; with kind `moe` the mixture-of-experts class of GLM-4.5V, with `4.6` the class of GLM-4.6V."""
    tokenizer = train_tokenizer(transformers, _TOKENS, "<|endoftext|>", plain=("<think>", "</think>"))
    size = {"shortest_edge": 28 * 28 * 2, "longest_edge": 28 * 28 * 2 * 512}
    name = "Glm46V" if kind == "4.6" else "Glm4v"
    processor = getattr(transformers, f"{name}Processor")(
        image_processor=getattr(transformers, f"{name}ImageProcessor")(size=size),
        video_processor=getattr(transformers, f"{name}VideoProcessor")(size=size),
        tokenizer=tokenizer,
        chat_template=_TEMPLATE.strip(),
    )
    ids = {
        f"{part}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for part, token in (
            ("image", "image"),
            ("video", "video"),
            ("image_start", "begin_of_image"),
            ("image_end", "end_of_image"),
            ("video_start", "begin_of_video"),
            ("video_end", "end_of_video"),
        )
    }
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
    text: dict[str, Any] = {**TEXT, **end_tokens(tokenizer), "vocab_size": len(tokenizer), "rope_parameters": rope}
    if kind == "moe":
        text |= {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    else:
        del text["bos_token_id"], text["eos_token_id"]
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "image_size": 56,
        "out_hidden_size": HIDDEN,
        "initializer_range": 0.2,
    }
    name = "Glm4vMoe" if kind == "moe" else name
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision, **ids)
    return getattr(transformers, f"{name}ForConditionalGeneration"), config, processor
