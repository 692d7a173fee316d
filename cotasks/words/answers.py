"""Reading what a model answered: normal form, unreadable answers, open-ended answers, and the option that one names."""

from __future__ import annotations

import re

from cotasks.words.choices import Choice, read_choice
from cotasks.words.normal import normalise
from cotasks.words.packaging import clean
from cotasks.words.silence import REFUSALS, is_blank, is_refusal, is_unreadable

__all__ = [
    "REFUSALS",
    "Choice",
    "clean",
    "is_blank",
    "is_refusal",
    "is_unreadable",
    "normalise",
    "open_answer",
    "read_choice",
]

_LABEL = re.compile(r"\W*(?:the\s+)?(?:final\s+|correct\s+|right\s+)?answer\s*(?:\bis\b\s*:?|[:=])", re.IGNORECASE)


def open_answer(answer: str) -> str:
    """Normal form of an open-ended answer, without a label such as "Answer:" or "The answer is" before it."""
    text = clean(answer)
    label = _LABEL.match(text)
    bare = normalise(text[label.end() :]) if label else ""
    return bare or normalise(text)
