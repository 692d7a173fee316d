"""Tiny models of the Kimi family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import HEADS, HIDDEN, LAYERS, end_tokens, train_tokenizer

_TOKENS = (
    "<|im_system|>",
    "<|im_user|>",
    "<|im_assistant|>",
    "<|im_middle|>",
    "<|im_end|>",
    "<|media_begin|>",
    "<|media_content|>",
    "<|media_end|>",
    "<|media_pad|>",
    "<|kimi_k25_video_placeholder|>",
)

# A thought is opened where thinking is on, and shut where it is off.
_TEMPLATE = r"""
{%- for message in messages %}
{{- '<|im_' + message.role + '|>' + message.role + '<|im_middle|>' }}
{%- if message.role == 'assistant' %}{{ '<think></think>' }}{% endif %}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'video' %}{{ '<|kimi_k25_video_placeholder|>' }}
{%- elif part.type == 'image' %}{{ '<|media_begin|>image<|media_content|><|media_pad|><|media_end|>\n' }}
{%- else %}{{ part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_assistant|>assistant<|im_middle|>' + ('<think>' if thinking | default(true) else '<think></think>') }}
{%- endif %}
"""


def kimi_k25(transformers: Any) -> tuple[Any, Any, Any]:
    """One dense layer and one of experts, latent attention; frames of at most 64 patches."""
    tokenizer = train_tokenizer(transformers, _TOKENS, "<|im_end|>", plain=("<think>", "</think>"))
    processor = transformers.Kimi_K25Processor(
        image_processor=transformers.Kimi_K25ImageProcessor(max_patches=64),
        video_processor=transformers.Kimi_K25VideoProcessor(max_patches=64),
        tokenizer=tokenizer,
        chat_template=_TEMPLATE.strip(),
    )
    text = {
        **end_tokens(tokenizer),
        "model_type": "deepseek_v3",
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 128,
        "moe_intermediate_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "n_shared_experts": 1,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": 32,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
        "initializer_range": 0.2,
        "max_position_embeddings": 32_768,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "pos_emb_height": 8,
        "pos_emb_width": 8,
        "initializer_range": 0.2,
    }
    named = {
        "image_token_id": "<|media_pad|>",
        "video_token_id": "<|kimi_k25_video_placeholder|>",
        "vision_start_token_id": "<|media_begin|>",
        "vision_end_token_id": "<|media_end|>",
    }
    config = transformers.Kimi_K25Config(
        text_config=text,
        vision_config=vision,
        projection_hidden_size=32,
        tie_word_embeddings=False,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in named.items()},
    )
    return transformers.Kimi_K25ForConditionalGeneration, config, processor
