"""Tiny models of the LLaVA families and of InternVL."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import TEXT, VISION, end_tokens, train_tokenizer

_LLAVA_TOKENS = ("<|im_start|>", "<|im_end|>", "<image>", "<video>")
_INTERNVL_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}

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


def llava_onevision(transformers: Any) -> tuple[Any, Any, Any]:
    tokenizer = train_tokenizer(transformers, _LLAVA_TOKENS, "<|im_end|>")
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


def llava_next_video(transformers: Any) -> tuple[Any, Any, Any]:
    tokenizer = train_tokenizer(transformers, _LLAVA_TOKENS, "<|endoftext|>")
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
        text_config={**TEXT, **end_tokens(tokenizer), **text, "vocab_size": len(tokenizer)},
        vision_config={**VISION, **vision},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[56, 56]],
    )


def internvl(transformers: Any) -> tuple[Any, Any, Any]:
    tokenizer = train_tokenizer(transformers, ("<|im_start|>", "<|im_end|>", *_INTERNVL_TOKENS.values()), "<|im_end|>")
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
        text_config={**TEXT, **end_tokens(tokenizer), "model_type": "qwen2", "vocab_size": len(tokenizer)},
        vision_config={**VISION, "layer_scale_init_value": 1.0},
        image_token_id=processor.image_token_id,
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    return transformers.InternVLForConditionalGeneration, config, processor
