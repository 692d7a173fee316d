"""Tiny models of the VideoLLaMA 3 family."""

from __future__ import annotations

from typing import Any

from cotasks.models.tiny.parts import TEXT, VISION, end_tokens, plain_template, train_tokenizer


def video_llama_3(transformers: Any) -> tuple[Any, Any, Any]:
    """Frames have 4 tokens or more, less those that repeat the frame before."""
    tokens = ("<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = train_tokenizer(transformers, tokens, "<|im_end|>")
    size = {"shortest_edge": 4 * 28 * 28, "longest_edge": 640 * 28 * 28}
    processor = transformers.VideoLlama3Processor(
        image_processor=transformers.VideoLlama3ImageProcessor(size=size),
        video_processor=transformers.VideoLlama3VideoProcessor(size=size),
        tokenizer=tokenizer,
        chat_template=plain_template(r"_pad|>\n"),
    )
    vision = {name: value for name, value in VISION.items() if name != "image_size"}
    config = transformers.VideoLlama3Config(
        text_config={**TEXT, **end_tokens(tokenizer), "model_type": "qwen2", "vocab_size": len(tokenizer)},
        vision_config=vision,
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
    )
    return transformers.VideoLlama3ForConditionalGeneration, config, processor
