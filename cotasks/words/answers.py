"""Reading what a model answered: normal form, unreadable answers, open-ended answers, and the option that one names.

Pure functions on text. Nothing is decided by chance.
"""

from __future__ import annotations

import re

from cotasks.words.choices import Choice, read_choice
from cotasks.words.normal import normalise
from cotasks.words.packaging import clean, own_turn, unlabelled
from cotasks.words.silence import REFUSALS, is_blank, is_refusal, is_unreadable

__all__ = [
    "REFUSALS",
    "Choice",
    "clean",
    "is_blank",
    "is_refusal",
    "is_unreadable",
    "leading_yes_no",
    "normalise",
    "open_answer",
    "open_answers",
    "read_choice",
]

_YES_NO = re.compile(r"\s*(yes|no|yeah|nope)\b\s*(?:[,.;:!(\u2013\u2014-]|\n|$)(.*)", re.IGNORECASE | re.DOTALL)
_HEADS = {"yes": "yes", "yeah": "yes", "no": "no", "nope": "no"}
_YES_OR_NO_FIRST = re.compile(
    r"\W*(?:(?P<yes>yes|yeah|yep|yup)|(?P<no>no|nope|nah))\b"
    r"(?!\W*(?:and|or|but)?\W*(?:yes|no|not sure|maybe)\b)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_AFTER_NO_WORDS = (
    "he she it they we you i there this that these those the a an his her its their nobody nothing not isn is are was "
    "were does do did doesn didn don can cannot because"
)
_AFTER_NO = frozenset(_AFTER_NO_WORDS.split())
"""What goes on after a "no" that answers, where no mark parts them; "no one", "no idea" answer nothing."""
_LEAD_IN = re.compile(
    r"\W*(?:there(?:['\u2019]s|\s+(?:is|are|was|were))|(?:it|that|this)(?:['\u2019]s|\s+(?:is|was))|(?:they|these|those)(?:['\u2019]re|\s+(?:are|were))"
    r"|(?:he|she)(?:['\u2019]s|\s+(?:is|was)))(?:\s+(?:about|exactly|only|likely|probably))?\s+",
    re.IGNORECASE,
)
"""What makes a sentence of an answer of a word or two: "There are two." """
_GLOSS = re.compile(r"(.+?)\s*[(\[]([^()\[\]]+)[)\]]\W*", re.DOTALL)


def open_answer(answer: str) -> str:
    """Normal form of an open-ended answer without its packaging: a label such as "Answer:" or "The answer is" before
    it, a box, a heading, a JSON object, an explanation that follows."""
    text = own_turn(answer)
    return normalise(unlabelled(text)) or normalise(text)


def leading_yes_no(answer: str) -> str | None:
    """`yes` or `no` where an answer to a yes-or-no question begins with it, whatever follows, with a mark between them
    or not: "Yes the lady is shortsighted". None where it begins with neither, with both, or with another "no" ("no
    one", "no idea")."""
    text = unlabelled(own_turn(answer))
    match = _YES_OR_NO_FIRST.match(text)
    if match is None or is_refusal(text):
        return None
    if match["yes"]:
        return "yes"
    rest = match["rest"]
    words = normalise(rest).split()
    return "no" if not rest[:1].isspace() or not words or rest.split()[0].lower() in _AFTER_NO else None


def open_answers(answer: str) -> tuple[str, ...]:
    """The normal forms of what an open-ended answer says, each once; the first is `open_answer`.

    Further ones are the whole answer; its first paragraph; the answer without what makes a sentence of it ("There are",
    "It is"); without a repetition in brackets ("2 (two)"); and the "yes" or "no" that it begins with, unless it goes on
    with the other, or with a refusal.
    """
    text = own_turn(answer)
    said = unlabelled(text)
    forms = [open_answer(answer), normalise(text), normalise(said.partition("\n\n")[0])]
    first = re.split(r"(?<=[.!?])\s|\n", said.strip())[0]
    if lead := _LEAD_IN.match(first):
        forms.append(normalise(first[lead.end() :] if first.strip() == said.strip() else ""))
    gloss = _GLOSS.fullmatch(said)
    if gloss and normalise(gloss[1]) == normalise(gloss[2]):
        forms.append(normalise(gloss[1]))
    if head := _YES_NO.match(said):
        kept, rest = _HEADS[head[1].lower()], normalise(head[2]).split()
        if not ({"yes", "no", "not", "sure"} - {kept}) & set(rest[:2]) and not is_refusal(head[2]):
            forms.append(kept)
    return tuple(dict.fromkeys(form for form in forms if form)) or ("",)
