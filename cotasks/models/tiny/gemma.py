"""Tiny models of the Gemma 4 family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import HEADS, HIDDEN, TEXT, train_tokenizer

_NAMED = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}

# Thinking is switched on by a token in a system turn; a turn's text is trimmed.
_TEMPLATE = r"""
{%- set on = enable_thinking | default(false) %}
{%- set system = messages[0].role == 'system' %}
{{- bos_token }}
{%- if on or system %}
{{- '<|turn>system\n' + ('<|think|>\n' if on else '') }}
{%- if system %}{{ messages[0].content[0].text | trim }}{% endif %}
{{- '<turn|>\n' }}
{%- endif %}
{%- for message in (messages[1:] if system else messages) %}
{{- '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
{%- if message.content is string %}{{ message.content | trim }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text | trim }}{% else %}{{ '<|' + part.type + '|>' }}{% endif %}
{%- endfor %}
{%- endif %}
{{- '<turn|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}
"""


def gemma4(transformers: Any) -> tuple[Any, Any, Any]:
    """A layer with a sliding window and one without, vision tokens that see one another, as in the 31B model."""
    special = ("<bos>", "<|turn>", "<turn|>", "<|think|>", *_NAMED.values())
    trained = train_tokenizer(transformers, special, "<turn|>", plain=("<|channel>", "<channel|>"))
    tokenizer = type(trained)(  # only a new one takes names for tokens
        tokenizer_object=trained.backend_tokenizer,
        bos_token="<bos>",
        eos_token="<turn|>",
        pad_token=trained.pad_token,
        extra_special_tokens=_NAMED,
    )
    processor = transformers.Gemma4Processor(
        feature_extractor=transformers.Gemma4AudioFeatureExtractor(),
        image_processor=transformers.Gemma4ImageProcessor(max_soft_tokens=70),
        video_processor=transformers.Gemma4VideoProcessor(max_soft_tokens=70),
        tokenizer=tokenizer,
        chat_template=_TEMPLATE.strip(),
    )
    head = HIDDEN // HEADS
    text = {
        **TEXT,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "head_dim": head,
        "global_head_dim": head,
        "layer_types": ["sliding_attention", "full_attention"],
        "use_bidirectional_attention": "vision",
        "tie_word_embeddings": False,  # else random weights say again what was said last
        "vocab_size_per_layer_input": len(tokenizer),
        "hidden_size_per_layer_input": 8,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "position_embedding_size": 700,
        "initializer_range": 0.2,
    }
    ids = {
        f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in _NAMED.items() if name != "eoa_token"
    }
    config = transformers.Gemma4Config(
        text_config=text,
        vision_config=vision,
        audio_config=None,
        tie_word_embeddings=False,
        initializer_range=0.2,
        eoa_token_index=tokenizer.convert_tokens_to_ids("<audio|>"),
        **ids,
    )
    return transformers.Gemma4ForConditionalGeneration, config, processor
