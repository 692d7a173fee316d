"""Labels of a prompt that stand in an answer: numbered names ("toy 2") and times as notes give them ("20.25s").

A context block tells entities of one category apart by numbers and gives times to a hundredth of a second. Nobody who
saw the video speaks so, and no reference does: an answer that repeats labels is scored against words that it does not
hold. Such answers are counted; they are scored like any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cotasks.words.lexicon import is_noun, words

_TIME = re.compile(r"(?<![\w.])\d+\.\d+ ?s(?:ec(?:ond)?s?)?\b", re.IGNORECASE)
_NUMBERED = re.compile(r"\b([^\W\d_]+) (\d{1,3})\b(?![.:,]?\d| ?%)")


def labels_in(answer: str, question: str = "", references: Sequence[str] = ()) -> list[str]:
    """The labels in an answer, in order, as they are written.

    A numbered name is a noun of the word table and a number of at most three digits; the names of one's own categories,
    which the table does not have, are not found. What stands in the question or in a reference too is no label.

    >>> labels_in("toy 2 is in front of adult 1 from 0.00s to 20.25s, with 2 balls")
    ['toy 2', 'adult 1', '0.00s', '20.25s']
    """
    known = {words(text) for text in (question, *references)}
    found = [(match.start(), match[0]) for match in _TIME.finditer(answer)]
    found += [(match.start(), match[0]) for match in _NUMBERED.finditer(answer) if is_noun(match[1].lower())]
    return [label for _, label in sorted(found) if not any(_holds(text, words(label)) for text in known)]


def _holds(text: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    return any(text[i : i + len(phrase)] == phrase for i in range(len(text) - len(phrase) + 1))
