"""The form in which answers, references and options are compared."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ARTICLES = frozenset({"a", "an", "the"})
_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
NUMBERS = {str(number): word for number, word in enumerate(_NUMBER_WORDS.split())}
"""Numerals that are written as words: the references count in words ("two"), models often in digits ("2")."""

_APART = re.compile(r"['\u2019\u2018\u02bc`\u00b4\u2010\u2011\u2012\u2013\u2014/_-]")
"""Marks that join words: hyphens, slashes, and apostrophes, which NExT-QA's files lack ("baby s mouth")."""


def _fold(text: str) -> str:
    """Unicode compatibility caseless form (Unicode 3.13, D146), composed."""
    text = unicodedata.normalize("NFD", text).casefold()
    text = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", text)


def _strip(token: str) -> str:
    """The token from its first to its last letter, digit or mark."""
    kept = [i for i, character in enumerate(token) if unicodedata.category(character)[0] in "LNM"]
    return token[kept[0] : kept[-1] + 1] if kept else ""


def words_of(text: str) -> list[str]:
    """The words of a text, folded, each without what is neither letter nor digit at its ends."""
    return [word for word in map(_strip, _APART.sub(" ", _fold(text)).split()) if word]


@lru_cache(maxsize=8192)  # options and single words come again and again
def normalise(text: str) -> str:
    """The form in which answers and references are compared.

    Unicode NFKC, case folded; apostrophes, hyphens, slashes and underscores become blanks; each word loses
    what is neither letter nor digit at its ends; `a`, `an`, `the` are dropped, unless nothing else is there;
    the numerals 0 to 20 become words, so "2" equals "two"; single blanks between words. "yes", "no", "none"
    and "nothing" are words like any other. Normalising twice is normalising once.

    >>> normalise(" The Boy's 2 toys. ")
    'boy s two toys'
    """
    words = [NUMBERS.get(word, word) for word in words_of(text)]
    return " ".join([word for word in words if word not in ARTICLES] or words)


def as_written(text: str) -> str:
    """The text but for case, blanks and a final stop."""
    return " ".join(_fold(text).split()).rstrip(".")


def begins(text: str, words: str) -> bool:
    """Whether a text begins with some words, both in normal form. No text begins with none."""
    return bool(words) and f"{text} ".startswith(words + " ")


def end_of(text: str, words: str) -> int:
    """Where some words in normal form end with which a text begins; 0 where it does not begin with them."""
    if begins(normalise(text), words):
        for word in re.finditer(r"[^\W_]+", text):
            if normalise(text[: word.end()]) == words:
                return word.end()
    return 0
