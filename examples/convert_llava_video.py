"""Turn a LLaVA-Video checkpoint as published into a model folder for `cotasks generate --model` and for transformers.

    hf download lmms-lab/LLaVA-Video-7B-Qwen2 --local-dir LLaVA-Video-7B-Qwen2
    python examples/convert_llava_video.py LLaVA-Video-7B-Qwen2 LLaVA-Video-7B-Qwen2-hf

It renames the weights for transformers' LLaVA-OneVision and writes the settings and the chat template that go with
them; no number is changed. It needs memory for the weights once. See examples/llava_video.md.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.training.scripts import run_main

NAMES = {
    "model.vision_tower.vision_tower.vision_model.": "model.vision_tower.",
    "model.mm_projector.0.": "model.multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "model.multi_modal_projector.linear_2.",
    "model.image_newline": "model.image_newline",
    "model.embed_tokens.": "model.language_model.embed_tokens.",
    "model.layers.": "model.language_model.layers.",
    "model.norm.": "model.language_model.norm.",
    "lm_head.": "lm_head.",
}
"""Beginnings of names, as published -> in transformers."""
UNUSED = ("model.vision_tower.vision_tower.vision_model.head.", ".rotary_emb.inv_freq")
SIGLIP_HEADS = 16
"""Attention heads of google/siglip-so400m-patch14-384, the vision tower of all LLaVA-Video models."""
KEPT = ("mm_newline_position", "mm_spatial_pool_mode")
"""Settings that cotasks reads from the new config.json."""
# the conversation `qwen_1_5` of LLaVA-NeXT, with the video and a line break before the text as in training
TEMPLATE = r"""
{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content if part.type != 'text' %}{{ '<' + part.type + '>\n' }}{% endfor %}
{%- for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""


def convert(source: Path, target: Path, vision_heads: int = SIGLIP_HEADS) -> None:
    """Write `target`, a folder for `from_pretrained`, from `source`, a published checkpoint's folder.

    Raises InputError where `source` is no LLaVA checkpoint with Qwen2 and SigLIP, or of a kind that transformers'
    LLaVA-OneVision cannot stand for.
    """
    import torch
    import transformers
    from safetensors.torch import load_file

    published = json.loads((source / "config.json").read_text())
    if published.get("architectures") != ["LlavaQwenForCausalLM"]:
        raise InputError(f"{source}/config.json: {published.get('architectures')}; expected LlavaQwenForCausalLM")
    expected: dict[str, Any] = {
        "mm_projector_type": "mlp2x_gelu",
        "mm_spatial_pool_stride": 2,
        "mm_patch_merge_type": "spatial_unpad",
        "add_faster_video": False,
        "rope_scaling": None,
    }
    for name, value in expected.items():
        if published.get(name, value) != value:
            raise InputError(f"{source}/config.json: {name} is {published[name]!r}; expected {value!r}")

    weights = {}
    for file in sorted(source.glob("*.safetensors")):
        for name, weight in load_file(file).items():
            if not any(part in name for part in UNUSED):
                weights[_renamed(file, name)] = weight
    if not weights:
        raise InputError(f"{source}: no weights; expected *.safetensors")

    tokenizer = transformers.Qwen2Tokenizer.from_pretrained(source)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<image>", "<video>"]}, replace_extra_special_tokens=False
    )
    # rows that the published embedding holds beyond the tokenizer's words take the new ones
    vocabulary = weights["model.language_model.embed_tokens.weight"].shape[0]
    if len(tokenizer) > vocabulary:
        raise InputError(f"{source}: {len(tokenizer)} tokens with <image> and <video>; expected at most {vocabulary}")

    text = {name: value for name, value in published.items() if name in vars(transformers.Qwen2Config())}
    text |= {"model_type": "qwen2", "architectures": None, "vocab_size": vocabulary}
    text.pop("rope_scaling", None)  # an older name of the next
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": published["rope_theta"]}}
    patches = weights["model.vision_tower.embeddings.patch_embedding.weight"].shape  # (hidden, 3, patch, patch)
    side = math.isqrt(weights["model.vision_tower.embeddings.position_embedding.weight"].shape[0])
    config = transformers.LlavaOnevisionConfig(
        text_config=text,
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": patches[0],
            "intermediate_size": weights["model.vision_tower.encoder.layers.0.mlp.fc1.bias"].shape[0],
            "num_hidden_layers": sum(name.endswith(".mlp.fc1.bias") for name in weights),
            "num_attention_heads": vision_heads,
            "patch_size": patches[-1],
            "image_size": side * patches[-1],
            "vision_use_head": False,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        tie_word_embeddings="lm_head.weight" not in weights,
        **{name: published[name] for name in KEPT if name in published},
    )
    with torch.device("meta"):
        model = transformers.LlavaOnevisionForConditionalGeneration(config)
    missing, unknown = model.load_state_dict(weights, strict=False, assign=True)
    missing = [name for name in missing if name != "lm_head.weight" or "lm_head.weight" in weights]
    if missing or unknown:
        raise InputError(
            f"{source}: weights missing {missing[:3]}, unknown {unknown[:3]}; expected those of LLaVA-Video"
        )
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig(eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"))

    seen = {"size": {"height": side * patches[-1], "width": side * patches[-1]}, "image_mean": [0.5] * 3}
    seen |= {"image_std": [0.5] * 3}
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(**seen),
        video_processor=transformers.LlavaOnevisionVideoProcessor(**seen),
        tokenizer=tokenizer,
        num_image_tokens=side * side,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE.strip(),
    )
    model.save_pretrained(target)
    processor.save_pretrained(target)


def _renamed(file: Path, name: str) -> str:
    for old, new in NAMES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    raise InputError(f"{file}: weight {name}; expected one of LLaVA with Qwen2 and SigLIP")


def main() -> int:
    """Read the arguments and convert; 0 when done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the checkpoint as published")
    parser.add_argument("target", type=Path, help="folder to write")
    args = parser.parse_args()
    convert(args.source, args.target)
    print(f"{args.target}: ready for cotasks generate --model")
    return 0


if __name__ == "__main__":
    run_main(main)
