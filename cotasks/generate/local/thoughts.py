"""Thoughts of a model in this process: ended where they are too long, and told from answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cotasks.models.load import Model
from cotasks.models.thinking import Splitter

CLOSING_TOKENS = 16
"""Room for a closing tag."""


def longest_output(model: Model, max_new_tokens: int) -> int:
    """Most tokens that a prompt is answered with, those of a thought included."""
    thought = model.thought.longest
    return thought + CLOSING_TOKENS + max_new_tokens if thought else max_new_tokens


@dataclass
class _Row:
    """How far a row of a batch has come."""

    thought: int | None = None
    """Tokens before its thought; None while that is open."""
    answer: int | None = None
    """Tokens before its answer; None while it thinks."""
    to_come: list[int] = field(default_factory=list)
    """Tokens of a closing tag that it is made to write."""


class EndThoughts:
    """A logits processor that ends a thought at the longest there may be, and an answer at its own.

    A thought is closed where the run has a budget for it, so that the answer follows; else the row ends with it. A row
    depends on its own tokens alone.
    """

    def __init__(self, model: Model, rows: int, width: int, max_new_tokens: int) -> None:
        """`width` are the columns of the prompts."""
        self._splitter = Splitter(model.processor.tokenizer, model.thought)
        self._thought, self._end = model.thought, model.end_tokens[0]
        self._width, self._longest_answer = width, max_new_tokens
        self._rows = [_Row(0 if model.thought.opened else None) for _ in range(rows)]
        self.cut_off = [False] * rows
        """Whether the thought of a row was ended here."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores` (rows, vocabulary), with all but one token at minus infinity where a row is made to write it."""
        for number, tokens in enumerate(input_ids[:, self._width :].tolist()):
            token = self._forced(number, tokens, scores[number])
            if token is not None:
                scores[number] = float("-inf")
                scores[number, token] = 0.0
        return scores

    def _forced(self, number: int, tokens: list[int], scores: Any) -> int | None:
        row = self._rows[number]
        if row.to_come:
            return row.to_come.pop(0)
        if row.thought is None and row.answer is None:
            opening = self._splitter.opening(tokens)
            if opening == 0 and tokens:
                row.answer = 0
            elif opening:
                row.thought = opening
        if row.thought is not None and row.answer is None:
            if len(tokens) > row.thought and self._splitter.closes(tokens[row.thought :]):
                row.answer = len(tokens)
            elif len(tokens) - row.thought >= self._thought.longest and not self.cut_off[number]:
                first, *row.to_come = self._splitter.closing
                if int(scores.argmax()) == first:  # it ends there by itself
                    row.to_come = []
                    return first
                self.cut_off[number] = True
                if self._thought.mode == "on":
                    row.to_come = []
                    return self._end
                return first
        if row.answer is not None and len(tokens) - row.answer >= self._longest_answer:
            return self._end
        return None


def answer_fields(model: Model, tokens: list[int], max_new_tokens: int, cut_off: bool) -> dict[str, Any]:
    """The fields of a generation row that are of what a model said: its answer, and apart from it its thought.

    Args:
        model: that said it.
        tokens: all that it said, up to the token that ends it and padding.
        max_new_tokens: of the answer.
        cut_off: whether its thought was ended for it.
    """
    tokenizer = model.processor.tokenizer
    end = next((i for i, token in enumerate(tokens) if token in model.end_tokens), None)
    said = tokens[:end]
    thought: dict[str, Any] = {}
    if model.thought.tags is not None:
        parts = Splitter(tokenizer, model.thought).split(said)
        cut_off = cut_off or not parts.closed
        if model.thought.longest or parts.thought_tokens:
            thought = {
                "thought": parts.thought,
                "thought_tokens": parts.thought_tokens,
                "thinking_cut_off": cut_off,
            }
        said = list(parts.answer)
        if not parts.closed or (model.thought.longest and len(said) >= max_new_tokens):
            end, said = None, said[:max_new_tokens]
    return {
        "answer": tokenizer.decode(said, skip_special_tokens=True).strip(),
        "answer_tokens": len(said),
        "finish_reason": "length" if end is None else "stop",
        **thought,
    }
