"""Reading what a model answered: normal form, unreadable answers, and the option that an answer names.

Pure functions on text. Nothing is decided by chance: where an answer names two different options, or none,
the index is None and `Choice.how` says why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

ARTICLES = frozenset({"a", "an", "the"})
_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
NUMBERS = {str(number): word for number, word in enumerate(_NUMBER_WORDS.split())}
"""Numerals that are written as words: the references count in words ("two"), models often in digits ("2")."""

_SPECIAL = re.compile(
    r"<\|[^<>|]{1,40}\|>|</?s>|\[/?INST\]|<(?:pad|unk|bos|eos|end_of_turn|start_of_turn|image|video)>",
    re.IGNORECASE,
)
"""Tokens of chat templates and tokenizers that can be left over when an answer is decoded."""
_APART = re.compile(r"['\u2019\u2018\u02bc`\u00b4\u2010\u2011\u2012\u2013\u2014/_-]")
"""Marks that join words: hyphens, slashes, and apostrophes, which NExT-QA's files lack ("baby s mouth")."""
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"\W*(?:the\s+)?(?:final\s+|correct\s+|right\s+)?answer\s*(?:\bis\b\s*:?|[:=])", re.IGNORECASE)


def clean(answer: str) -> str:
    """The answer proper, without special tokens, thoughts and outer blanks.

    What precedes the last `</think>` is thought, not answer; a thought that was never closed leaves nothing.
    Where there is `<answer>...</answer>`, the last of these is the answer.
    """
    text = _SPECIAL.sub(" ", answer).rpartition("</think>")[2].partition("<think>")[0]
    tagged = _TAGGED.findall(text)
    return (tagged[-1] if tagged else text).strip()


def _fold(text: str) -> str:
    """Unicode compatibility caseless form (Unicode 3.13, D146), composed."""
    text = unicodedata.normalize("NFD", text).casefold()
    text = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", text)


def _strip(token: str) -> str:
    """The token from its first to its last letter, digit or mark."""
    kept = [i for i, character in enumerate(token) if unicodedata.category(character)[0] in "LNM"]
    return token[kept[0] : kept[-1] + 1] if kept else ""


def _words(text: str) -> list[str]:
    return [word for word in map(_strip, _APART.sub(" ", _fold(text)).split()) if word]


def normalise(text: str) -> str:
    """The form in which answers and references are compared.

    Unicode NFKC, case folded; apostrophes, hyphens, slashes and underscores become blanks; each word loses
    what is neither letter nor digit at its ends; `a`, `an`, `the` are dropped, unless nothing else is there;
    the numerals 0 to 20 become words, so "2" equals "two"; single blanks between words. "yes", "no", "none"
    and "nothing" are words like any other. Normalising twice is normalising once.

    >>> normalise(" The Boy's 2 toys. ")
    'boy s two toys'
    """
    words = [NUMBERS.get(word, word) for word in _words(text)]
    return " ".join([word for word in words if word not in ARTICLES] or words)


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
    return not _words(clean(answer))


def is_refusal(answer: str) -> bool:
    """True where the answer begins with one of `REFUSALS`, compared in normal form."""
    return (normalise(clean(answer)) + " ").startswith(_REFUSALS)


def is_unreadable(answer: str) -> bool:
    """True where an answer says nothing: blank (`is_blank`) or a refusal (`is_refusal`)."""
    return is_blank(answer) or is_refusal(answer)


def open_answer(answer: str) -> str:
    """Normal form of an open-ended answer, without a label such as "Answer:" or "The answer is" before it."""
    text = clean(answer)
    label = _LABEL.match(text)
    bare = normalise(text[label.end() :]) if label else ""
    return bare or normalise(text)


How = Literal["letter", "text", "ambiguous", "refusal", "blank", "none"]


@dataclass(frozen=True)
class Choice:
    """Which option an answer names."""

    index: int | None
    """Position of the option from 0; None where the answer names none, or more than one."""
    how: How
    """`letter` or `text`; or why there is no index: `ambiguous` (two options), `refusal`, `blank`, `none`."""


# Letters are sought in the answer without its decoration: quotes, emphasis, braces.
_DECORATION = re.compile(r"[*_`\"\u201c\u201d{}$\\]|(?<!\w)['\u2018\u2019]|['\u2018\u2019](?!\w)")
_BOXED = re.compile(r"\\boxed\s*\{(?:\s*\\text\s*\{)?")
_MORE = r"((?:\s*(?:,|/|&|\band\b|\bor\b)\s*[(\[]?(?-i:[A-Z])[)\]]?(?![\w']))*)"  # "B and C"
# What may follow a declared letter; "the answer is a dog" and "answer: e.g." thereby declare none.
_AFTER = r"(?=\s*$|\s*\n|\s*[)\].:,;!](?:\s|$)|\s+(?:because|since|as|for)\b)"
_ALONE = re.compile(rf"\W*(?:(?:option|choice)s?\b\W*)?([A-Z])\b{_MORE}\W*", re.IGNORECASE)
_DECLARED = re.compile(
    r"\b(?:answer|option|choice|choose|select|pick)(?:\s*(?:is\b|would be\b|[:=]))*\s*"
    rf"(?:(?:the\s+)?(?:letter|option|choice)\s+)?[(\[]?\b([A-Z])\b{_MORE}{_AFTER}",
    re.IGNORECASE,
)
_CORRECT = re.compile(r"(?<![\w'])([A-Z])[)\]]?\s+is\s+(?:the\s+)?(?:correct|right|best)\b")
_LABELLED = re.compile(
    rf"^[\s>#-]*(?:\(([A-Z])\){_MORE}|\[([A-Z])\]{_MORE}|([A-Z])\b{_MORE}(?:\s*[)\].:,]|\s+[-\u2013\u2014]))(?=\s|$)",
    re.IGNORECASE | re.MULTILINE,
)
_BRACKETED = re.compile(r"(?<![\w)])\(([A-Z])\)(?!\w)")


def _letters(match: re.Match[str], count: int) -> set[int]:
    """Positions below `count` of all letters that a match holds."""
    found = re.findall(r"\b[A-Z]\b", " ".join(match.groups("")).upper())
    return {position for position in map(ascii_uppercase.index, found) if position < count}


def _declared(flat: str, options: Sequence[str], *patterns: re.Pattern[str]) -> set[int]:
    """Options whose letters the patterns find, and those whose text stands beside such a letter."""
    named: set[int] = set()
    for match in (match for pattern in patterns for match in pattern.finditer(flat)):
        letters = _letters(match, len(options))
        if letters:
            before, after = flat[: match.start()].rpartition("\n")[2], flat[match.end() :].partition("\n")[0]
            others = {normalise(before), normalise(after)} - {options[letter] for letter in letters}
            named |= letters | {options.index(text) for text in others if text in options}
    return named


def _named_by_text(answer: str, options: Sequence[str]) -> set[int]:
    """Options whose words occur in a row in the answer: not inside a longer option's, not right after "not".

    Both arguments are in normal form. Options with equal words count as the first of them.
    """
    words = answer.split()
    found: list[tuple[int, int, int]] = []  # (first word, word after the last, option)
    for position, part in enumerate(map(str.split, options)):
        for start in range(len(words) - len(part) + 1):
            negated = re.search(r"\b(?:not|\w*n t)$", " ".join(words[max(0, start - 2) : start]))
            if words[start : start + len(part)] == part and part and not negated:
                found.append((start, start + len(part), options.index(options[position])))
    return {
        position
        for start, end, position in found
        if not any(s <= start and end <= e and e - s > end - start for s, e, _ in found)
    }


def _as_written(text: str) -> str:
    return " ".join(_fold(text).split()).rstrip(".")


def _decide(named: set[int], how: How, options: Sequence[str]) -> Choice:
    """The first of the named options where all have one text, else `ambiguous`."""
    return Choice(min(named), how) if len({options[i] for i in named}) == 1 else Choice(None, "ambiguous")


def read_choice(answer: str, choices: Sequence[str]) -> Choice:
    r"""The option that an answer names.

    The first of these rules that finds something decides; texts are compared in normal form (`normalise`):

    1. The answer is a letter and nothing else: "B", "(b)", "**B.**", "Option B", "Answer: B". This holds even
       where another option reads "b", for the prompt asks for letters.
    2. The answer is an option as it is written, but for case, blanks and a final stop.
    3. A letter is declared: "the answer is B", "I choose (B) because ...", {"answer": "B"}, \boxed{B},
       "B is correct".
    4. A line begins with a letter and a mark: "B. walk away", "(B) walk away", "B: ...", "B - ...".
    5. An upper-case letter stands in brackets: "walk away (B)".
    6. The answer is a letter and that option's text: "B walk away", "B.walk away".
    7. The answer is the text of an option.
    8. The answer is a refusal (`is_refusal`): it names no option.
    9. The text of an option occurs as a row of words; an occurrence inside that of a longer option, or right
       after "not" or "n't", does not count.

    Options with one text count as the first of them, unless a letter tells which.
    A rule that finds options with two different texts makes the answer `ambiguous`; so do rules 3 to 5 where
    what stands before or after the letter in its line is another option's text ("A. dog", where B is "dog").
    A bare "A" before a word is the article, not the option.

    Args:
        answer: What the model said.
        choices: The options' texts in the order of their letters, at most 26.
    """
    text = clean(answer)
    options = [normalise(choice) for choice in choices]
    if is_blank(text):
        return Choice(None, "blank")
    flat = _DECORATION.sub("", _BOXED.sub(" answer: ", text)).strip()
    label = _LABEL.match(flat)
    bare = flat[label.end() :].strip() if label else flat

    alone = _ALONE.fullmatch(bare)
    if alone and (named := _letters(alone, len(options))):
        return _decide(named, "letter", options)
    written = [_as_written(choice) for choice in choices]
    if _as_written(text) in written:
        return Choice(written.index(_as_written(text)), "text")
    for patterns in ((_DECLARED, _CORRECT), (_LABELLED,), (_BRACKETED,)):
        if named := _declared(flat, options, *patterns):
            return _decide(named, "letter", options)
    position = ascii_uppercase[: len(options)].find(bare[:1].upper())
    if position >= 0 and not bare[1:2].isalnum() and normalise(bare[1:]) == options[position]:
        return Choice(position, "letter")
    if (whole := open_answer(text)) in options:
        return Choice(options.index(whole), "text")
    if is_refusal(text):
        return Choice(None, "refusal")
    named = _named_by_text(normalise(text), options)
    return _decide(named, "text", options) if named else Choice(None, "none")
