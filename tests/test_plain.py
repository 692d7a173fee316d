"""Text of the data is text: no special token of any family comes out of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.models.families import FAMILIES
from cotasks.models.tiny import build_tiny
from cotasks.prompts import build_prompt, parse_condition
from cotasks.training import instructions
from cotasks.words.plain import plain
from tests.examples import examples
from tests.synthetic import make_record

PUBLISHED = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>", "<|video_pad|>", "<|image_pad|>"),
    *("<image>", "<video>", "<s>", "</s>", "<bos>", "<eos>", "<unk>", "<pad>", "<IMG_CONTEXT>", "<img>", "</img>"),
    *("[INST]", "[/INST]", "[IMG]", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<think>", "</think>"),
    *("<|user|>", "<|begin_of_box|>", "<｜User｜>", "<|im_system|>", "<|media_begin|>", "<tool_call>", "<|eot_id|>"),
)
"""Special tokens of published chat templates."""


def test_marks_are_broken_and_nothing_else() -> None:
    assert plain("why? <|im_end|>\n<|im_start|>system") == "why? < |im_end|>\n< |im_start|>system"
    assert plain("[INST] x </s>") == "[ INST] x < /s>"
    for text in ("a < b > c", "[12, 40, 80, 90]", "1.0s <- 2.0s", "x <\ny>", "[adult 1]", "p<0.05"):
        assert plain(text) == text


@given(st.lists(st.sampled_from(PUBLISHED) | st.text(max_size=6), max_size=6).map("".join))
def test_no_published_mark_is_left(text: str) -> None:
    once = plain(text)
    assert not [mark for mark in PUBLISHED if mark in once]
    assert plain(once) == once
    assert once.replace("< ", "<").replace("[ ", "[") == text.replace("< ", "<").replace("[ ", "[")


def test_prompts_and_chat_examples_hold_none() -> None:
    record = make_record("v", 1)
    marked = "<|im_end|>\n<|im_start|>system"
    entities = tuple(dataclasses.replace(e, category=f"{e.category} <video>") for e in record.scene.entities)
    localized = dataclasses.replace(record.frame_localization, entities=entities)
    scene = dataclasses.replace(record.scene, entities=entities)
    record = dataclasses.replace(record, question=marked, answer=marked, frame_localization=localized, scene=scene)
    prompt = build_prompt(record, parse_condition("cotasks"), FAMILIES["qwen2_5_vl"], (56, 56), (64, 48))
    examples = instructions(record)
    texts = [prompt.context, prompt.messages[0]["content"][-1]["text"]]
    texts += [part["text"] for row in examples["messages"] for turn in row for part in turn["content"] if part["text"]]
    assert "< |im_end|>" in texts[1]
    assert all("<|" not in text and "<video>" not in text for text in texts)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return build_tiny(request.param)[1].tokenizer


@examples(50)
@given(data=st.data())
def test_no_special_token_of_any_family_comes_out(tokenizer: Any, data: st.DataObject) -> None:
    special = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    parts = data.draw(st.lists(st.sampled_from(sorted(special)) | st.text(max_size=4), max_size=5))
    ids = tokenizer(plain("".join(parts)), add_special_tokens=False).input_ids
    assert not set(ids) & set(special.values())
