"""Whether and how long a model thinks before it answers, and its thought told from its answer.

    off     the chat template is told so (`Thinking.switch` of the family's row)
    on      it thinks as long as `LONGEST_THOUGHT`; a thought that is cut off there has no answer
    N       a thought of N tokens is closed for the model, which then answers

Left open, a model does not think where that can be switched off, and thinks where it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError
from cotasks.models.family import Family, Thinking
from cotasks.models.tensors import render

LONGEST_THOUGHT = 4096
"""Tokens of a thought where thinking is on; the model cards advise up to 32,768, which few questions about a clip of a
minute need."""
TAIL = 16
"""Tokens at the end of a thought that are looked at for its closing tag, where that is no token of its own."""

Wanted = int | str | None
"""`on`, `off`, tokens of a thought, or None."""


@dataclass(frozen=True)
class Thought:
    """How a checkpoint thinks in one run."""

    mode: str | int
    """`on`, `off`, or the tokens after which its thought is closed."""
    options: Mapping[str, bool]
    """What the chat template is told."""
    opened: bool = False
    """Whether the prompt ends inside a thought."""
    tags: Thinking | None = None
    """None where the family's models do not think."""

    @property
    def longest(self) -> int:
        """Most tokens of a thought; 0 where there is none."""
        if self.mode == "off":
            return 0
        return LONGEST_THOUGHT if self.mode == "on" else int(self.mode)

    def settings(self) -> dict[str, Any]:
        """What `run.json` says of it; nothing where the family's models do not think."""
        if self.tags is None:
            return {}
        return {"thinking": {"mode": self.mode, "longest_thought": self.longest, "chat_template": dict(self.options)}}


NO_THOUGHT = Thought("off", {})


def good_thinking(wanted: Wanted) -> bool:
    """Whether it is `on`, `off`, None, or a number of tokens above 0."""
    if isinstance(wanted, int):
        return not isinstance(wanted, bool) and 0 < wanted < 10**6
    return wanted in (None, "on", "off")


def read_wanted(text: str | None) -> Wanted:
    """`on`, `off` or a number of tokens, as an option has it. Raises InputError where it is none of them."""
    wanted = int(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text) else text
    if good_thinking(wanted):
        return wanted
    raise InputError(f"thinking {text!r}; expected on, off, or the tokens of the longest thought")


def thinking_of(processor: Any, family: Family, wanted: Wanted, name: str = "the model") -> Thought:
    """How a checkpoint thinks, found out by its chat template.

    Args:
        processor: of the checkpoint.
        family: the row that covers it.
        wanted: see `Wanted`.
        name: of the model, for the message of an error.

    Raises InputError where it cannot think and is to, or cannot be kept from it.
    """
    tags = family.thinking
    if tags is None or not getattr(processor, "chat_template", None):
        if wanted not in (None, "off"):
            raise InputError(f"{name}: models of {family.name} do not think; leave out thinking {wanted}")
        return NO_THOUGHT
    question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    texts = {
        on: render(processor, question, add_generation_prompt=True, options=tags.options(on)) for on in (False, True)
    }
    opened = {on: tags.is_open(text) for on, text in texts.items()}
    switched = texts[True] != texts[False]
    if not switched and not opened[True] and not tags.by_itself:
        if wanted not in (None, "off"):
            raise InputError(f"{name}: its chat template knows no thoughts; leave out thinking {wanted}")
        return NO_THOUGHT
    can_be_off = switched and not opened[False]
    if wanted == "off" and not can_be_off:
        raise InputError(f"{name}: its chat template cannot switch thinking off; expected thinking on, or a number")
    mode = wanted if wanted is not None else "off" if can_be_off else "on"
    return Thought(mode, tags.options(mode != "off"), opened[mode != "off"], tags)


@dataclass(frozen=True)
class Said:
    """What a model said."""

    thought: str
    thought_tokens: int
    answer: Sequence[int]
    """In tokens."""
    closed: bool
    """Whether the thought has ended, or there was none."""


class Splitter:
    """Tells a thought from the answer that follows it, in tokens."""

    def __init__(self, tokenizer: Any, thought: Thought) -> None:
        assert thought.tags is not None
        self._tokenizer, self._opened, self._tags = tokenizer, thought.opened, thought.tags
        self.closing: list[int] = tokenizer(thought.tags.closes, add_special_tokens=False)["input_ids"]
        """The tokens that close a thought."""

    def split(self, tokens: Sequence[int]) -> Said:
        """Where a thought is not closed, there is no answer."""
        start = 0 if self._opened else self.opening(tokens)
        if not start and not self._opened:
            return Said("", 0, tokens, True)
        start = start or 0
        end = next((i for i in range(start + 1, len(tokens) + 1) if self.closes(tokens[start:i])), None)
        thought = self._text(tokens[start:end]).partition(self._tags.closes)[0].strip()
        if end is None:
            return Said(thought, len(tokens) - start, [], False)
        begin = next(i for i in range(end, start - 1, -1) if self._tags.closes in self._text(tokens[i:end]))
        return Said(thought, begin - start, tokens[end:], True)

    def opening(self, tokens: Sequence[int]) -> int | None:
        """How many tokens open a thought at the beginning; 0 where none is opened, None where more must be seen."""
        for count in range(1, min(len(tokens), TAIL) + 1):
            text = self._text(tokens[:count]).lstrip()
            if text.startswith(self._tags.opens):
                return count
            if not self._tags.opens.startswith(text):
                return 0
        return None if len(tokens) < TAIL else 0

    def closes(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these tokens ends a closing tag."""
        if len(self.closing) == 1:
            return tokens[-1] == self.closing[0]
        return self._tags.closes in self._text(tokens[-TAIL:])

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        return text


def split_text(text: str, tags: Thinking | None) -> tuple[str, str, bool]:
    """(thought, answer, whether the thought has ended) of what a server sent as one text.

    A text that closes a thought which it does not open began inside of it, as the prompt had opened it.
    """
    if tags is None:
        return "", text, True
    begun = text.lstrip().removeprefix(tags.opens) if text.lstrip().startswith(tags.opens) else None
    thought, closed, answer = (text if begun is None else begun).partition(tags.closes)
    if closed:
        return thought.strip(), answer.strip(), True
    return ("", text, True) if begun is None else (begun.strip(), "", False)
