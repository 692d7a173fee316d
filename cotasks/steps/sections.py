"""A text that holds several steps, and the answer, taken apart at its titles.

    Step 1, frame localization (which frames and entities matter):      as a context block has it
    ## Step 2: adult 1: 0.00s [1, 2, 3, 4]                              with Markdown, on one line
    <step_3>(adult 1, next to, dog): 0.00s</step_3>                     in tags
    Temporal relations:                                                 without a number
    Answer: B                                                           or <answer>B</answer>

The text of a step goes to the next title; where a step has several texts, the last is it, for what comes before is a
draft. Thoughts are no titles: steps are found in them and outside of them alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cotasks.steps.table import STEPS

_MARKS = r"[ \t#*>_`-]*"
_NAMES = "|".join(step.name.replace(" ", r"[ _-]") for step in STEPS.values())
_TITLE = re.compile(
    rf"(?:^|(?<=>)){_MARKS}(?:"
    rf"step[ _-]?(?P<number>[1-4])\b(?:[^\d:()\n]{{0,60}}(?:\([^()\n]{{0,80}}\))?[ *_`]*(?::[ *_`]*|$))"
    rf"|(?P<name>{_NAMES})[ *_`]*(?:\([^()\n]{{0,80}}\))?[ *_`]*:[ *_`]*"
    rf"|(?:(?:the|final|my)[ ]){{0,2}}(?P<answer>answer)[ *_`]*(?::[ *_`]*|$)"
    r")"
    r"|(?P<end></[ ]?step[ _-]?[1-4]>|</?think>)|<[ ]?step[ _-]?(?P<tag>[1-4])>"
    r"|(?P<open><answer>)|(?P<close></answer>)",
    re.IGNORECASE | re.MULTILINE,
)
ANSWER = 0
"""Stands for the answer where steps are named by number."""


@dataclass(frozen=True)
class Sections:
    """What a text holds."""

    steps: dict[int, str]
    """Step 1 to 4 -> its text, the last one."""
    answer: str | None
    """What stands as the answer, the last one; None where nothing does."""
    order: tuple[int, ...]
    """The step of each title in order, `ANSWER` for that of the answer."""
    rest: str
    """What belongs to none of them, without outer blanks."""

    @property
    def in_order(self) -> bool:
        """Whether each title stands once, step by step, the answer last."""
        expected = sorted(set(self.order) - {ANSWER}) + [ANSWER] * (ANSWER in self.order)
        return list(self.order) == expected


def read_sections(text: str) -> Sections:
    """The steps and the answer of a text."""
    steps: dict[int, str] = {}
    answer: str | None = None
    order: list[int] = []
    rest: list[str] = []
    here: int | None = None  # the step or ANSWER whose text runs
    start = 0

    def take(end: int) -> None:
        nonlocal answer
        part = text[start:end].strip()
        if here is None:
            rest.append(part)
        elif here == ANSWER:
            answer = part
        else:
            steps[here] = part

    for title in _TITLE.finditer(text):
        if title["answer"] and here == ANSWER and not text[start : title.start()].strip():
            start = title.end()  # "<answer>Answer: B</answer>" is one
            continue
        take(title.start())
        start, number = title.end(), title["number"] or title["tag"]
        if number:
            here = int(number)
        elif title["name"]:
            here = next(
                step.number for step in STEPS.values() if step.name == re.sub("[_-]", " ", title["name"].lower())
            )
        else:
            here = ANSWER if title["answer"] or title["open"] else None
        order += [] if here is None else [here]
    take(len(text))
    return Sections(steps, answer, tuple(order), "\n".join(filter(None, rest)))


def write_sections(texts: dict[int, str], answer: str | None = None) -> str:
    """The inverse: each step below its title, the answer behind `Answer:`."""
    lines = [line for step, text in sorted(texts.items()) for line in (STEPS[step].title, text)]
    return "\n".join([*lines, *([] if answer is None else [f"Answer: {answer}"])])
