"""What the tiny models have in common: their sizes, and a tokenizer trained on a few lines."""

from __future__ import annotations

from typing import Any

VOCABULARY = 800
"""Tokens learned from `CORPUS` at most, the 256 bytes included and special tokens not."""

HIDDEN, LAYERS, HEADS = 64, 2, 4
TEXT = {
    "hidden_size": HIDDEN,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,  # larger than usual, so that what goes in can be told from what comes out
}

VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.2,
}
"""The vision tower of the families that are not Qwen's: 16 patches a frame."""

CORPUS = """
Question: why did the man in the red shirt pick up the ball in the middle of the video? Answer: to throw it to the dog.
Question: what does the lady do after the child sits down on the sofa? Answer: she walks towards the table.
Question: how many people are there in the video? Answer: three. Where is this video taken? Answer: in a park.
Answer with a short phrase. Answer with the letter of the right option only. Options: A. B. C. D. E.
Frames and entities that matter: frames at 0.0 s, 1.5 s, 2.0 s, 10.5 s; entities adult 1, adult 2, child 1, dog 1.
Boxes of each entity as [x1, y1, x2, y2]: adult 1 at 3.2 s [120, 48, 310, 476]; ball 1 at 4.0 s [0.512, 0.250, 0.600].
Relations within a frame: adult 1 next to child 1; dog 1 in front of sofa 1; cup above table; bottle inside basket.
Relations over time: adult 1 holds ball from 2.0 s to 4.5 s; dog 1 chases cat 1 from 5.0 s to 9.5 s; baby watches toy.
The video shows a person who moves, meets, follows, holds, throws, opens, closes, lifts and covers other things.
behind beneath above inside away towards in front of next to lean on carry push pull hug kiss ride play with look at
person adult baby toy car bicycle motorcycle bird cat dog horse chair sofa table cup bottle screen camera handbag
"""


def train_tokenizer(transformers: Any, special: tuple[str, ...], eos: str, plain: tuple[str, ...] = ()) -> Any:
    """Byte-level BPE with the Qwen2 pre-tokenizer, trained on `CORPUS`; `special` get their own tokens, as do `plain`,
    which decoding does not skip."""
    tokenizer = transformers.Qwen2Tokenizer().train_new_from_iterator(
        CORPUS.splitlines(), vocab_size=VOCABULARY, show_progress=False
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.add_tokens(list(plain))
    tokenizer.eos_token, tokenizer.pad_token = eos, "<|endoftext|>"
    return tokenizer


def end_tokens(tokenizer: Any) -> dict[str, int | None]:
    return {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


_PLAIN = r"""
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}{% else %}{{ '<|' + part.type + 'ENDS' }}{% endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""


def plain_template(ends: str) -> str:
    """A chat template of turns between `<|im_start|>` and `<|im_end|>`, and of no more.

    Args:
        ends: what stands after `<|` and the name of the medium, where a video or an image is.
    """
    return _PLAIN.strip().replace("ENDS", ends)
