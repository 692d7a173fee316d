"""Answers that say nothing: blank ones and refusals."""

from __future__ import annotations

from cotasks.words.normal import normalise, words_of
from cotasks.words.packaging import clean

REFUSALS = (
    "I cannot",
    "I can not",
    "I can't",
    "I could not",
    "I couldn't",
    "I am unable",
    "I'm unable",
    "I am not able",
    "I'm not able",
    "I do not know",
    "I don't know",
    "I am sorry",
    "I'm sorry",
    "I apologize",
    "Sorry, I",
    "Sorry, but",
    "As an AI",
    "As a language model",
    "Unable to determine",
    "Unable to answer",
    "Cannot determine",
    "Cannot answer",
    "It is not possible to",
    "It is impossible to",
    "There is not enough information",
    "Not enough information",
)
"""Beginnings that make an answer a refusal. Few, for "cannot walk" and "unable to balance" are answers."""
_REFUSALS = tuple(normalise(text) + " " for text in REFUSALS)


def is_blank(answer: str) -> bool:
    """True where no letter and no digit is left: nothing, punctuation, special tokens, undecodable bytes."""
    return not words_of(clean(answer))


def is_refusal(answer: str) -> bool:
    """True where the answer begins with one of `REFUSALS`, compared in normal form."""
    return (normalise(clean(answer)) + " ").startswith(_REFUSALS)


def is_unreadable(answer: str) -> bool:
    """True where an answer says nothing: blank (`is_blank`) or a refusal (`is_refusal`)."""
    return is_blank(answer) or is_refusal(answer)
