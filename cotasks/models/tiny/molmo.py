"""Tiny models of the Molmo 2 family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import HEADS, HIDDEN, TEXT, VISION, plain_template, train_tokenizer

_FRAME_TOKENS = (
    "<im_patch>",
    "<im_col>",
    "<im_start>",
    "<low_res_im_start>",
    "<frame_start>",
    "<im_end>",
    "<frame_end>",
    "<im_low>",
)


def molmo2(transformers: Any) -> tuple[Any, Any, Any]:
    """Frames of 56 x 56, 2 x 2 tokens each after pooling 3 x 3 patches."""
    special = ("<bos>", "<|im_start|>", "<|im_end|>", "<|image|>", "<|video|>", *_FRAME_TOKENS)
    tokenizer = train_tokenizer(transformers, special, "<|im_end|>")
    tokenizer.bos_token = "<bos>"
    side = {"height": 56, "width": 56}
    processor = transformers.Molmo2Processor(
        image_processor=transformers.Molmo2ImageProcessor(size=side),
        video_processor=transformers.Molmo2VideoProcessor(size=side),
        tokenizer=tokenizer,
        chat_template=plain_template("|>"),
    )
    head = HIDDEN // HEADS
    text = {**TEXT, "head_dim": head, "vocab_size": len(tokenizer), "additional_vocab_size": 0}
    vision = {**VISION, "num_key_value_heads": 2, "head_dim": 16, "image_size": [56, 56]}
    adapter = {
        "vision_feature_layer": [1, 0],
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 64,
        "text_hidden_size": HIDDEN,
        "initializer_range": 0.2,
    }
    named = {
        "image_start_token_id": "<im_start>",
        "low_res_image_start_token_id": "<low_res_im_start>",
        "image_end_token_id": "<im_end>",
        "image_patch_id": "<im_patch>",
        "frame_start_token_id": "<frame_start>",
        "frame_end_token_id": "<frame_end>",
    }
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in named.items()}
    config = transformers.Molmo2Config(
        text_config=text, vision_config=vision, adapter_config=adapter, initializer_range=0.2, **ids
    )
    return transformers.Molmo2ForConditionalGeneration, config, processor
