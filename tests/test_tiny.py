from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES, family_of
from tests.tiny_models import available, clip, prompt, tiny

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cotasks.models.load import load_model  # noqa: E402
from cotasks.models.tensors import collate_for_generation  # noqa: E402
from cotasks.models.tiny import TOO_OLD, build_tiny, save_tiny  # noqa: E402
from cotasks.training.scripts import load_base  # noqa: E402

each_family = pytest.mark.parametrize("family", sorted(FAMILIES))

CLASSES = {
    "qwen2_5_vl": ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor"),
    "qwen2_vl": ("Qwen2VLForConditionalGeneration", "Qwen2VLProcessor"),
    "qwen3_vl": ("Qwen3VLForConditionalGeneration", "Qwen3VLProcessor"),
    "qwen3_5": ("Qwen3_5ForConditionalGeneration", "Qwen3VLProcessor"),
    "glm4v": ("Glm4vForConditionalGeneration", "Glm4vProcessor"),
    "molmo2": ("Molmo2ForConditionalGeneration", "Molmo2Processor"),
    "gemma4": ("Gemma4ForConditionalGeneration", "Gemma4Processor"),
    "llava_onevision": ("LlavaOnevisionForConditionalGeneration", "LlavaOnevisionProcessor"),
    "llava_next_video": ("LlavaNextVideoForConditionalGeneration", "LlavaNextVideoProcessor"),
    "internvl": ("InternVLForConditionalGeneration", "InternVLProcessor"),
    "video_llama_3": ("VideoLlama3ForConditionalGeneration", "VideoLlama3Processor"),
    "minicpm_v": ("MiniCPMV4_6ForConditionalGeneration", "MiniCPMV4_6Processor"),
    "perception_lm": ("PerceptionLMForConditionalGeneration", "PerceptionLMProcessor"),
    "kimi_k25": ("Kimi_K25ForConditionalGeneration", "Kimi_K25Processor"),
}


KNOWN = available()


@each_family
def test_real_classes_and_tiny(family: str) -> None:
    model, processor = tiny(family)
    assert (type(model).__name__, type(processor).__name__) == CLASSES[family]
    assert family_of(model.config.model_type) is FAMILIES[family]
    assert len(processor.tokenizer) < 2000
    assert sum(p.numel() for p in model.parameters()) < 2_000_000
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training
    assert model.get_input_embeddings().weight.shape[0] == len(processor.tokenizer)


@each_family
def test_same_seed_same_weights(family: str) -> None:
    tiny(family)  # or skip
    before = torch.random.get_rng_state()
    start = time.perf_counter()
    first, processor = build_tiny(family, seed=3)
    assert time.perf_counter() - start < 3
    again, processor_again = build_tiny(family, seed=3)
    other, _ = build_tiny(family, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = zip(first.state_dict().items(), again.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
    assert not torch.equal(first.get_input_embeddings().weight, other.get_input_embeddings().weight)
    assert processor.tokenizer.get_vocab() == processor_again.tokenizer.get_vocab()


@pytest.mark.parametrize("text", ["adult 1 at 3.2 s [120, 48, 310, 476]", "naïve 日本 🙂\n\ttab  two", "<video> ]["])
def test_tokenizer_keeps_any_text(text: str) -> None:
    tokenizer = tiny("qwen2_5_vl")[1].tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_special_tokens_are_one_token_each() -> None:
    tokenizer = tiny("qwen2_5_vl")[1].tokenizer
    for token in ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|video_pad|>", "<|vision_end|>"):
        assert len(tokenizer(token)["input_ids"]) == 1
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"


TURNS = [
    {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Why?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "To eat."}]},
    {"role": "user", "content": [{"type": "text", "text": "Who?"}]},
]
_QWEN = (
    "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>Why?<|im_end|>\n"
    "<|im_start|>assistant\nTo eat.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
)
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("qwen2_5_vl", _SYSTEM + _QWEN),
        ("qwen2_vl", _SYSTEM + _QWEN),
        ("qwen3_vl", _QWEN),
        ("qwen3_5", _QWEN + "<think>\n"),
        ("molmo2", _QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video|>")),
        (
            "gemma4",
            "<bos><|turn>user\n<|video|>Why?<turn|>\n<|turn>model\nTo eat.<turn|>\n<|turn>user\nWho?<turn|>\n"
            "<|turn>model\n",
        ),
        (
            "glm4v",
            "[gMASK]<sop><|user|>\n<|begin_of_video|><|video|><|end_of_video|>Why?"
            "<|assistant|>\n<think></think>\nTo eat.<|user|>\nWho?<|assistant|>",
        ),
        (
            "llava_onevision",
            "<|im_start|>user <video>\nWhy?<|im_end|><|im_start|>assistant \nTo eat.<|im_end|>"
            "<|im_start|>user \nWho?<|im_end|><|im_start|>assistant\n",
        ),
        ("llava_next_video", "USER: <video>\nWhy? ASSISTANT: To eat. USER: Who? ASSISTANT:"),
        ("video_llama_3", _QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>\n")),
        (
            "minicpm_v",
            _QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>").replace(
                "assistant\nTo", "assistant\n<think>\n\n</think>\n\nTo"
            )
            + "<think>\n",
        ),
        (
            "perception_lm",
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n<|video|>Why?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nTo eat.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "kimi_k25",
            "<|im_user|>user<|im_middle|><|kimi_k25_video_placeholder|>Why?<|im_end|>"
            "<|im_assistant|>assistant<|im_middle|><think></think>To eat.<|im_end|>"
            "<|im_user|>user<|im_middle|>Who?<|im_end|><|im_assistant|>assistant<|im_middle|><think>",
        ),
        ("internvl", _QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<video>\n")),
    ],
)
def test_chat_template_in_the_familys_format(family: str, expected: str) -> None:
    processor = tiny(family)[1]
    assert processor.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True) == expected
    # a turn whose content is a plain string reads the same
    plain = [TURNS[0], *({**turn, "content": turn["content"][0]["text"]} for turn in TURNS[1:])]
    rendered = processor.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    assert rendered.replace("user Who", "user \nWho") == expected


def test_chat_template_takes_a_system_turn() -> None:
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    for family, start in (
        ("qwen2_5_vl", "<|im_start|>system\nBe brief.<|im_end|>\n"),
        ("llava_next_video", "Be brief. "),
    ):
        text = tiny(family)[1].apply_chat_template([system, *TURNS], tokenize=False)
        assert text.startswith(start)
        assert "helpful" not in text


LOAD = """
import socket, sys
from pathlib import Path

def refuse(*args, **kwargs):
    raise OSError("no network in this test")

socket.socket.connect = socket.getaddrinfo = refuse
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

for folder in Path(sys.argv[1]).iterdir():
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    torch.save(
        {
            "classes": (type(model).__name__, type(processor).__name__),
            "weights": model.state_dict(),
            "ends": (model.generation_config.eos_token_id, model.generation_config.pad_token_id),
            "ids": processor.tokenizer("adult 1 <video> holds")["input_ids"],
            "text": processor.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}], tokenize=False),
            "size": dict(processor.video_processor.size or {}),
        },
        folder / "back.pt",
    )
"""


@pytest.mark.slow
def test_saved_folders_load_back_without_network(tmp_path: Path) -> None:
    for family in KNOWN:
        save_tiny(tmp_path / "models" / family, family)
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path / "models")], check=True, env=environment)
    for family in KNOWN:
        back = torch.load(tmp_path / "models" / family / "back.pt")
        model, processor = tiny(family)
        assert back["classes"] == CLASSES[family]
        assert back["weights"].keys() == model.state_dict().keys()
        assert all(torch.equal(back["weights"][name], value) for name, value in model.state_dict().items())
        assert back["ends"] == (processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id)
        assert back["ids"] == processor.tokenizer("adult 1 <video> holds")["input_ids"]
        video = [{"role": "user", "content": [{"type": "video"}]}]
        assert back["text"] == processor.apply_chat_template(video, tokenize=False)
        assert back["size"] == dict(processor.video_processor.size or {})


@pytest.mark.parametrize("version", ["3", "3.5"])
def test_internvl_folders_as_published(version: str, tmp_path: Path) -> None:
    """Settings in the files of the published checkpoints: InternVL3 has none for video, InternVL3.5 wrong ones."""
    save_tiny(tmp_path, "internvl")
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    name = {"processor_class": "InternVLProcessor"}
    image = {**settings["image_processor"], **name, "image_processor_type": "GotOcr2ImageProcessorFast"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(image))
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_seq_length": 4, **name}))
    if version == "3.5":
        video = {"size": {"height": 384, "width": 384}, "image_mean": [0.48145466, 0.4578275, 0.40821073], **name}
        video |= {"image_std": [0.26862954, 0.26130258, 0.27577711], "video_processor_type": "InternVLVideoProcessor"}
        (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(video))
    shown = [clip("internvl")]
    expected = collate_for_generation(tiny("internvl")[1], FAMILIES["internvl"], [prompt("Why?")], shown)
    for loaded in (load_model(str(tmp_path)), load_base(str(tmp_path))):
        batch = collate_for_generation(loaded.processor, loaded.family, [prompt("Why?")], shown)
        assert all(torch.equal(batch[name], tensor) for name, tensor in expected.items())


def test_a_family_that_transformers_does_not_know_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    monkeypatch.delitem(known, "molmo2")
    with pytest.raises(InputError, match="knows no molmo2 yet") as caught:
        build_tiny("molmo2")
    assert caught.value.reason == TOO_OLD


def test_family_without_a_tiny_model() -> None:
    with pytest.raises(InputError, match="'blip_2'; expected one of qwen2_5_vl, "):
        build_tiny("blip_2")
