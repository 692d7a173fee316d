"""Tiny models of the PerceptionLM family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import TEXT, end_tokens, train_tokenizer

_NAMED = {"image_token": "<|image|>", "video_token": "<|video|>"}
_MARKS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

# Frames before the text of a turn, and a system turn where there is none.
_TEMPLATE = r"""
{%- set system = messages[0].role == 'system' %}
{{- '<|begin_of_text|>' }}
{%- if not system %}
{{- '<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant.<|eot_id|>' }}
{%- endif %}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content if part.type != 'text' %}{{ '<|' + part.type + '|>' }}{% endfor %}
{%- for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}
{%- endif %}
{{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}
"""


def perception_lm(transformers: Any) -> tuple[Any, Any, Any]:
    """Frames of 56 x 56, 2 x 2 tokens each after pooling; the vision tower is timm's, with a class token."""
    trained = train_tokenizer(transformers, (*_MARKS, *_NAMED.values()), "<|eot_id|>")
    tokenizer = type(trained)(  # only a new one takes names for tokens
        tokenizer_object=trained.backend_tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token=trained.eos_token,
        pad_token=trained.pad_token,
        extra_special_tokens=_NAMED,
    )
    processor = transformers.PerceptionLMProcessor(
        video_processor=transformers.PerceptionLMVideoProcessor(size={"height": 56, "width": 56}),
        image_processor=transformers.PerceptionLMImageProcessor(tile_size=56, max_num_tiles=1),
        tokenizer=tokenizer,
        patch_size=14,
        pooling_ratio=2,
        chat_template=_TEMPLATE.strip(),
    )
    tower = {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "img_size": [56, 56], "patch_size": 14}
    vision = {
        "architecture": "vit_pe_core_large_patch14_336",
        "model_args": {**tower, "ref_feat_shape": [4, 4], "use_post_transformer_norm": False},
        "do_pooling": False,
        "initializer_range": 0.2,
        "model_type": "timm_wrapper",
    }
    text = {**TEXT, **end_tokens(tokenizer), "bos_token_id": tokenizer.bos_token_id, "model_type": "llama"}
    config = transformers.PerceptionLMConfig(
        text_config={**text, "vocab_size": len(tokenizer)},
        vision_config=vision,
        vision_use_cls_token=True,
        projector_pooling_ratio=2,
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
    )
    return transformers.PerceptionLMForConditionalGeneration, config, processor
