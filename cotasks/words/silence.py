"""Answers that say nothing: blank ones and refusals."""

from __future__ import annotations

import re

from cotasks.words.normal import normalise, words_of
from cotasks.words.packaging import own_turn, unlabelled

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
    "I do not have",
    "I don't have",
    "I have no idea",
    "I am not sure",
    "I'm not sure",
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
    "Cannot be determined",
    "Can't be determined",
    "It cannot be determined",
    "It can't be determined",
    "It is not possible to",
    "It's not possible to",
    "It is impossible to",
    "It's impossible to",
    "Not possible to",
    "Impossible to determine",
    "It is unclear",
    "It's unclear",
    "It is not clear",
    "It's not clear",
    "It isn't clear",
    "It is unknown",
    "It's unknown",
    "It is not mentioned",
    "It's not mentioned",
    "It is not specified",
    "It is hard to tell",
    "It's hard to tell",
    "It is hard to say",
    "It's hard to say",
    "It is difficult to determine",
    "It's difficult to determine",
    "Unclear from",
    "Unclear based",
    "Hard to tell",
    "Hard to say",
    "There is not enough information",
    "There isn't enough information",
    "There is no information",
    "Not enough information",
    "Insufficient information",
    "No information",
    "The video does not show",
    "The video doesn't show",
    "The video does not provide",
    "The video doesn't provide",
    "The video does not mention",
    "The video doesn't mention",
    "The video does not specify",
    "The video doesn't specify",
    "The question cannot be answered",
    "Not mentioned",
    "Not specified",
    "Not applicable",
    "Not answerable",
    "Unanswerable",
    "N/A",
)
"""Beginnings that make an answer a refusal. Few, for "cannot walk" and "unable to balance" are answers."""
WHOLE_REFUSALS = (
    "unknown",
    "undetermined",
    "indeterminate",
    "not sure",
    "not clear",
    "not known",
    "not stated",
    "not given",
    "not provided",
    "not shown",
    "not visible",
    "not available",
    "no idea",
    "no answer",
    "cannot tell",
    "can't tell",
    "can not tell",
    "can't say",
    "idk",
)
"""Refusals where the answer says nothing else."""
EASTERN_REFUSALS = (
    *(
        "无法确定",
        "无法判断",
        "无法回答",
        "不知道",
        "不清楚",
        "不确定",
        "未提及",
        "无法得知",
        "無法確定",
        "無法判斷",
        "無法回答",
    ),
    *("不確定", "わかりません", "分かりません", "判断できません", "不明です", "알 수 없", "모르겠", "확인할 수 없"),
)
"""Beginnings, in languages that set no blanks between words, or suffixes to them."""
WESTERN_REFUSALS = (
    *(
        "no se puede determinar",
        "no lo sé",
        "no está claro",
        "je ne sais pas",
        "impossible de déterminer",
        "ich weiß nicht",
    ),
    *("não sei", "não é possível determinar", "non lo so", "не знаю", "невозможно определить"),
)
_PREFIXES = tuple(normalise(text) + " " for text in (*REFUSALS, *WESTERN_REFUSALS))
_WHOLE = frozenset(normalise(text) for text in WHOLE_REFUSALS)
_SOURCE = re.compile(
    r"\W*(?:based (?:up)?on|from|according to|given|in|judging (?:from|by))\s+(?:only\s+)?(?:the|this|these)\s+"
    r"(?:[\w-]+\s+){0,4}?(?:video|clip|frames?|images?|footage|information|context)(?:\s+(?:alone|provided|given|shown))?,\s*",
    re.IGNORECASE,
)
""""Based on the video, ..." """


def is_blank(answer: str) -> bool:
    """True where no letter and no digit is left: nothing, punctuation, special tokens, undecodable bytes."""
    return not words_of(own_turn(answer))


def is_refusal(answer: str) -> bool:
    """True where the answer, with or without a label such as "Answer:", begins with one of `REFUSALS` or is one of
    `WHOLE_REFUSALS`, compared in normal form, or a refusal in another language."""
    text = own_turn(answer)
    for said in (text, unlabelled(text)):
        form = normalise(_SOURCE.sub("", said, count=1))
        if (form + " ").startswith(_PREFIXES) or form in _WHOLE or form.startswith(EASTERN_REFUSALS):
            return True
    return False


def is_unreadable(answer: str) -> bool:
    """True where an answer says nothing: blank (`is_blank`) or a refusal (`is_refusal`)."""
    return is_blank(answer) or is_refusal(answer)
