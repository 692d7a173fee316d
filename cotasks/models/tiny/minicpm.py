"""Tiny models of the MiniCPM-V family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import HEADS, HIDDEN, TEXT, VISION, end_tokens, train_tokenizer

_NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}

# An empty thought where thinking is off, and before past answers.
_TEMPLATE = r"""
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}{% else %}{{ '<|' + part.type + '_pad|>' }}{% endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n<think>\n' }}
{%- if not (enable_thinking | default(true)) %}{{ '\n</think>\n\n' }}{% endif %}
{%- endif %}
"""


def minicpm_v(transformers: Any, version: str = "4_6") -> tuple[Any, Any, Any]:
    """Frames of about 112 x 112, 4 tokens; one layer of linear and one of full attention, as in Qwen3.5."""
    marks = ("<|im_start|>", "<|im_end|>", *_NAMED.values())
    trained = train_tokenizer(transformers, marks, "<|im_end|>", plain=("<think>", "</think>"))
    tokenizer = type(trained)(  # only a new one takes names for tokens
        tokenizer_object=trained.backend_tokenizer,
        eos_token=trained.eos_token,
        pad_token=trained.pad_token,
        extra_special_tokens=_NAMED,
    )
    processor = getattr(transformers, f"MiniCPMV{version}Processor")(
        image_processor=transformers.MiniCPMV4_6ImageProcessor(scale_resolution=112),
        video_processor=transformers.MiniCPMV4_6VideoProcessor(scale_resolution=112),
        tokenizer=tokenizer,
        chat_template=_TEMPLATE.strip(),
    )
    text = {
        **TEXT,
        **end_tokens(tokenizer),
        "model_type": "qwen3_5_text",
        "vocab_size": len(tokenizer),
        "head_dim": HIDDEN // HEADS,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [4, 2, 2],
            "partial_rotary_factor": 1.0,
        },
    }
    ids = {
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "insert_layer_id": 0,
    }
    if version == "4_7":
        for name in ("image_start", "image_end", "slice_start", "slice_end"):
            ids[f"{name}_id"] = getattr(tokenizer, f"{name}_token_id")
        (ids["newline_id"],) = tokenizer("\n")["input_ids"]
    config = getattr(transformers, f"MiniCPMV{version}Config")(text_config=text, vision_config=dict(VISION), **ids)
    return getattr(transformers, f"MiniCPMV{version}ForConditionalGeneration"), config, processor
