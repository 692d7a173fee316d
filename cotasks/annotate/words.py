"""The words that a detector looks for: the nouns of a video's questions, and a list that the user gives.

A question's words are those of its text and of its choices, which a model sees alike; the reference answer is not read.
Of the words, in the order in which they stand, are left out: words that name nothing to be seen (question words,
pronouns, prepositions, colours, numbers, parts of time and place), verbs that `cotasks.words.lexicon` knows, and words
in `-ing` and `-ly`. Plurals become singular. No list of words is complete: a detector that is asked for a word that is
nothing to be seen finds little, while one that is not asked for a thing finds it never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cotasks.errors import InputError
from cotasks.records.own import OwnQuestion
from cotasks.records.own_fields import name
from cotasks.tools.files import read_text
from cotasks.words.lexicon import is_verb, own_phrases, words

NOTHING_TO_SEE = frozenset(
    words(
        "a an the this that these those some any all both each every no none other others another such same "
        "different i me my you your he him his she her hers it its we us our they them their who whom whose which "
        "what when where why how whether there here everyone everybody someone somebody something anything nothing "
        "one ones is are was were be been being am do does did done doing has have had having can could will would "
        "shall should may might must not dont doesnt didnt s t re and or but nor so if then than as because since "
        "while until after before during again once also just only even too very more most less least much many "
        "few several enough of in on at to from by for with without into onto over under above below beneath "
        "behind between beside near next front back left right top bottom middle side up down out off away towards "
        "toward around along across through against about inside outside together apart far close red orange "
        "yellow green blue purple pink brown black white grey gray dark light bright big small large little tall "
        "short long old young new zero two three four five six seven eight nine ten first second third last half "
        "times start end beginning finish time moment video clip scene frame picture camera way kind type part "
        "thing things purpose reason colour color number place position direction action activity event yes true "
        "false likely possible probably maybe seen shown "
    )
)
"""Words that no detector is asked for."""


def question_words(questions: Iterable[OwnQuestion]) -> tuple[str, ...]:
    """The words of questions and their choices that could name things, each once, in the order in which they stand."""
    found: dict[str, None] = {}
    for question in questions:
        for text in (question.question, *question.choices):
            found |= dict.fromkeys(_nouns(words(text)))
    return tuple(found)


def _nouns(tokens: Sequence[str]) -> Iterable[str]:
    for token in tokens:
        if len(token) < 2 or token in NOTHING_TO_SEE or not token.isalpha() or token.endswith("ly"):
            continue
        if token.endswith("ing") or is_verb(token):
            continue
        yield singular(token)


IRREGULAR = {
    **{"men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "teeth": "tooth"},
    **{"mice": "mouse", "geese": "goose", "knives": "knife", "wolves": "wolf", "leaves": "leaf", "shelves": "shelf"},
}
ALWAYS_PLURAL = frozenset(("glasses", "scissors", "trousers", "jeans", "shorts", "pants", "clothes", "headphones"))


def singular(word: str) -> str:
    """`dogs` -> `dog`, `boxes` -> `box`, `children` -> `child`; other words as they are."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in ALWAYS_PLURAL or len(word) < 4 or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]


def read_words(text: str) -> tuple[str, ...]:
    """A list of words: those of a file, one a line, where `text` names one; else those that it holds, parted by commas.

    Raises InputError that names file and line where a word has control characters, and where there is none.
    """
    path = Path(text)
    if path.is_file():
        lines = [(f"{path}:{number}", line.strip()) for number, line in enumerate(read_text(path).splitlines(), 1)]
    elif path.suffix in (".txt", ".list", ".csv"):
        raise InputError(f"words {path}: no such file; expected one word a line, or words parted by commas")
    else:
        lines = [(f"words {text!r}", part.strip()) for part in text.split(",")]
    found = tuple(dict.fromkeys(name(word, place) for place, word in lines if word and not word.startswith("#")))
    if not found:
        raise InputError(f"words {text!r}: it holds no word; expected one or more")
    return found


def matched(words_: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Those of a detector's labels that words name: letters in capitals or not, blanks or underscores, singular or
    plural, and parts of a label that are divided by `/`."""
    asked = {phrase for word in words_ for phrase in own_phrases(word)}
    return tuple(label for label in labels if own_phrases(label.replace("_", " ")) & asked)
