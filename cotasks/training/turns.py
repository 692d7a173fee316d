"""Which part of a chat the assistant wrote, exactly, whatever the chat template.

It follows from rendering the template turn by turn, not from searching the text; what cannot be told is an error.
What an answer is preceded by is, to the byte, what `generate` will put before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError, shorten
from cotasks.models.tensors import NO_OPTIONS, adds_special_tokens, render

IGNORED = -100
"""The label that the loss passes over: `ignore_index` of torch's cross entropy."""


@dataclass(frozen=True)
class ChatFormat:
    """How a chat template writes an assistant's turn."""

    opening: str
    """What generation puts before an answer."""
    head: str
    """What the template writes before an answer; the same, but for blanks or for what the model itself is to write."""
    lead: str
    """What the model is to write before the answer's text."""
    end: str
    """The token that ends a turn."""
    tail: str
    """What the template writes after an answer: `end` and a separator, or nothing but blanks, where the tokenizer's
    end token takes their place, or the model would never learn to stop."""
    thought: str = ""
    """What `head` ends with and the template leaves out where another turn follows: an empty thought."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the template, such as switch off thinking."""


def chat_format(processor: Any, options: Mapping[str, Any] = NO_OPTIONS) -> ChatFormat:
    """Find it out from chats of one question and an answer of one letter; `options` are variables of the template.

    Raises InputError where the processor has no chat template, or one whose assistant's turns cannot be told: it
    changes the turns before an answer, opens an answer in other words than generation does, or ends it by none of the
    tokenizer's special tokens.
    """

    def fault(why: str) -> InputError:
        name = type(processor).__name__
        return InputError(f"chat template of {name}: the assistant's turn cannot be told: {why}", "chat template")

    question = [turn("user", "0")]

    def written(*turns: Mapping[str, Any], add_generation_prompt: bool = False) -> str:
        return render(processor, [*question, *turns], add_generation_prompt, options)

    before, prompt = written(), written(add_generation_prompt=True)
    one, two = (written(turn("assistant", answer)) for answer in "12")
    if not all(text.startswith(before) for text in (prompt, one, two)):
        raise fault("a turn is written otherwise where another one follows")
    opening, one, two = (text[len(before) :] for text in (prompt, one, two))
    differs = [i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
    if len(one) != len(two) or len(differs) != 1 or one[differs[0]] != "1":
        raise fault("an answer does not stand there once, as it is")
    head, tail = one[: differs[0]], one[differs[0] + 1 :]

    if head.startswith(opening):
        lead = head[len(opening) :]
    elif head.split() == opening.split():
        lead = ""
    else:
        raise fault(f"it opens with {shorten(head)}, generation with {shorten(opening)}")
    special = [token for token in processor.tokenizer.get_added_vocab() if token and tail.startswith(token)]
    if special:
        end = max(special, key=len)
    elif not tail.strip() and processor.tokenizer.eos_token:
        end = processor.tokenizer.eos_token
    else:
        raise fault(f"it ends with {shorten(tail)}, which is no special token of the tokenizer")
    # before an answer that is past
    one, two = (written(turn("assistant", answer), turn("user", "0"))[len(before) :] for answer in "12")
    differs = [i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
    # where they do not differ, past answers are dropped: one answer can be told, and `render_chat` refuses a chain
    past = one[: differs[0]] if differs else head
    if not past or not head.startswith(past):
        raise fault(f"it opens a past answer with {shorten(past)}, the last one with {shorten(head)}")
    return ChatFormat(opening, head, lead, end, tail, head[len(past) :], dict(options))


def render_chat(
    processor: Any, form: ChatFormat, messages: Sequence[Mapping[str, Any]]
) -> tuple[str, list[tuple[int, int]]]:
    """A chat as text, and the characters [begin, end) that the assistant writes in each of its turns.

    The text is the template's, but that each answer is preceded by what generation puts there, and followed by an end
    token where the template has none. So an answer that is past keeps the empty thought before it that some templates
    leave out of a history: a row of several turns is learnt from whole.

    Raises InputError where there is no answer, or the template writes one otherwise than `form` says.
    """
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    done = ""  # what the template wrote of the turns so far
    length = 0
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        answer = "".join(part["text"] for part in message["content"])
        before = render(processor, messages[:number], options=form.options)
        after = render(processor, messages[: number + 1], options=form.options)
        if not before.startswith(done) or after != before + form.head + answer + form.tail:
            raise InputError(
                f"chat template of {type(processor).__name__}: the assistant's turn cannot be told: it writes message "
                f"{number} otherwise where others surround it",
                "chat template",
            )
        prompt, written = before[len(done) :] + form.opening, form.lead + answer + form.end
        begin = length + len(prompt)
        spans.append((begin, begin + len(written)))
        parts += [prompt, written, form.tail.removeprefix(form.end) if form.tail.startswith(form.end) else ""]
        length = sum(map(len, parts))
        done = (
            before
            + (form.head if number + 1 == len(messages) else form.head.removesuffix(form.thought))
            + answer
            + form.tail
        )
    if not spans:
        raise InputError("no turn of the assistant in the messages; expected at least one", "no answer to learn")
    rest = render(processor, messages, options=form.options)
    if not rest.startswith(done):
        raise InputError(f"chat template of {type(processor).__name__}: what follows an answer changes it")
    return "".join([*parts, rest[len(done) :]]), spans


def turn(role: str, text: str) -> dict[str, Any]:
    """A message of text alone."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


@dataclass(frozen=True)
class ChatTokens:
    """A rendered chat with its video placeholder unexpanded."""

    ids: list[int]
    labels: list[int]
    """The tokens of the assistant's turns, `IGNORED` elsewhere."""
    placeholder: int
    """Position of the video; -1 without one."""


def tokenize_chat(processor: Any, text: str, spans: Sequence[tuple[int, int]]) -> ChatTokens:
    """What `render_chat` gives, in tokens with their labels.

    Raises InputError where a token reaches over the end of an answer, or the video comes after one.
    """
    tokenizer = processor.tokenizer
    encoded = tokenizer(text, add_special_tokens=adds_special_tokens(processor, text), return_offsets_mapping=True)
    ids: list[int] = encoded["input_ids"]
    spoken = _within(np.array(encoded["offset_mapping"]).reshape(-1, 2), spans)
    labels = np.where(spoken, ids, IGNORED).tolist()
    video = tokenizer.convert_tokens_to_ids(processor.video_token)
    placeholder = ids.index(video) if video in ids else -1
    if spoken[: placeholder + 1].any():
        raise InputError("an answer before the video; expected the video in the first question", "labels")
    return ChatTokens(ids, labels, placeholder)


def _within(offsets: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which tokens lie in a span of characters.

    Args:
        offsets: (tokens, 2), the characters [begin, end) of each token.
    """
    begins, ends = offsets[:, 0], offsets[:, 1]
    inside = np.zeros(len(offsets), bool)
    for begin, end in spans:
        over = ((begins < begin) & (ends > begin)) | ((begins < end) & (ends > end))
        if over.any():
            raise InputError(
                f"characters {begin} to {end}: a token reaches over an end of the assistant's turn; expected an answer "
                "without blanks at its ends",
                "labels",
            )
        places = ((begins >= begin) & (ends <= end) & (begins < ends)).nonzero()[0]
        if len(places):  # between them too: some tokenizers give a blank no characters of its own
            inside[places[0] : places[-1] + 1] = True
    return inside
