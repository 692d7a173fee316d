"""Answers that say nothing new: those whose every content word stands in the question.

"The man is running in the park." to "why is the man running in the park" is an echo; "to catch the dog" is none. A
judge may take an echo for right, and a context may lead a model to echo more, so echoes are counted beside unreadable
answers. They are scored like any other answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cotasks.words.normal import normalise

_STOP_WORDS = (
    "a an the this that these those some any there here it its his he she they them her hers their theirs him i you we "
    "my your our me us who whom whose which what when where why how is are was were be been being am do does did done "
    "doing has have had having will would can could shall should may might must to of in on at by for with from as "
    "into onto than then and or but if because so while during s t re ll ve m d very also just video clip image frame "
    "scene answer question shown seen appear appears seem seems"
)
_STOP = frozenset(_STOP_WORDS.split())
"""Words that say nothing by themselves. Numbers, "yes", "no", "not", and places and directions such as "up" and
"behind" are none of them."""
_AUXILIARIES = (
    "is are was were am be do does did has have had can could will would shall should may might must isn aren wasn "
    "weren doesn don didn hasn haven can't"
)
_YES_NO = re.compile(
    rf"(?:(?:in|at|during|throughout|by) [^,?]{{1,60}}, ?)?(?:and |so )?(?:{'|'.join(_AUXILIARIES.split())}) ",
    re.IGNORECASE,
)
YES_NO = frozenset({"yes", "no"})


def is_yes_no(question: str, references: Sequence[str] = ()) -> bool:
    """Whether a question asks for yes or no: all its references are one of these; or it begins with an auxiliary verb
    and offers nothing else ("or"), and all its references, where there are any, begin with one of these ("Yes, he
    does")."""
    forms = {normalise(reference) for reference in references if reference} - {""}
    if forms and forms <= YES_NO:
        return True
    if not {form.split()[0] for form in forms} <= YES_NO:
        return False
    return _YES_NO.match(question.strip()) is not None and not _offers(question)


def _offers(question: str) -> bool:
    """Whether a question names answers to choose from."""
    return " or " in question.lower()


def content_words(text: str) -> list[str]:
    """The words of a text that say something, in normal form and without their regular endings."""
    return [_stem(word) for word in normalise(text).split() if word not in _STOP]


def is_echo(answer: str, question: str, references: Sequence[str] = ()) -> bool:
    """Whether every content word of an answer stands in the question.

    Never of a question that asks for yes or no or names its answers ("is it a dog or a cat"), of an answer without a
    content word, and of one that equals a reference. (Of NExT-QA's 5,343 open-ended val questions, the reference itself
    would be an echo in 30.)

    Args:
        answer: Of a model, without its packaging (`answers.open_answer`).
        references: The reference answers.
    """
    said = set(content_words(answer))
    if not said or _offers(question) or is_yes_no(question, references):
        return False
    if normalise(answer) in map(normalise, references):
        return False
    return said <= set(content_words(question))


def _stem(word: str) -> str:
    """Without the ending of a plural, a third person, a past or an "ing"; a doubled consonant before it is one."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 2 and not word.endswith("ss"):
            word = word.removesuffix(ending)
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
                word = word[:-1]
            break
    return word.removesuffix("e") if len(word) > 3 else word
