"""The judges that are rules: the verdict on an answer from its text alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from cotasks.judge.options import Reading
from cotasks.judge.verdicts import NO_GENERATION, UNKNOWN_ID, Verdict
from cotasks.judge.wups import THRESHOLDS, load_wordnet, wups
from cotasks.words.answers import is_blank, is_refusal, leading_yes_no, normalise, open_answers, read_choice
from cotasks.words.echo import YES_NO

EQUAL = "equals a reference"


def references_of(question: Mapping[str, Any]) -> list[str]:
    """The reference answers that hold a letter or a digit: `answer`, then `additional_answers`."""
    return [text for text in (question["answer"], *question["additional_answers"]) if text and not is_blank(text)]


def token_f1(prediction: str, reference: str) -> float:
    """F1 of two texts' words as multisets, 0 to 1. Both in normal form."""
    ours, theirs = Counter(prediction.split()), Counter(reference.split())
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0


@dataclass(frozen=True)
class Said:
    """An open-ended answer that says something. Texts are in normal form (`answers.normalise`)."""

    text: str
    """Without its packaging (`answers.open_answers`); the form that equals a reference, where one does."""
    references: list[str]
    """At least one."""
    equal: bool
    """Whether the text equals a reference."""
    question_type: str
    question: str
    """In normal form."""


@dataclass(frozen=True)
class Rule:
    """A judge that is a rule: how it scores what an open-ended answer says. Everything else is the same for all:
    options, blank answers, refusals, and whatever cannot be judged."""

    version: int
    """Raise it with every change that could move a verdict, in `cotasks.words.answers` too."""
    score: Callable[[Said], Verdict]
    equal_is_right: bool = True
    """Whether an answer that equals a reference has full marks without being scored."""
    prepare: Callable[[], object] = lambda: None
    """Raises InputError or MissingExtra, before anything is written, where the rule lacks what it needs."""


def _exact(said: Said) -> Verdict:
    """0, for what does not equal a reference."""
    return Verdict(0.0, False, False, "equals no reference")


def _f1(said: Said) -> Verdict:
    """100 times the F1 of the answer's words against a reference's, each counted as often as it occurs (Rajpurkar et
    al. 2016), the best over the references."""
    score = 100 * max(token_f1(said.text, reference) for reference in said.references)
    return Verdict(score, False, False, "shares words with a reference" if score else "shares no word")


def _wups(said: Said, threshold: float) -> Verdict:
    """100 times NExT-QA's WUPS with a threshold, see `cotasks.judge.wups`; needs WordNet."""
    score = 100 * wups(said.text, said.references, said.question_type, threshold)
    return Verdict(score, said.equal, False, "words like a reference's" if score else "no word like a reference's")


def _without_question(score: Callable[[Said], Verdict]) -> Callable[[Said], Verdict]:
    """A rule for words, with the question's words taken off answer and reference, so that saying the question again
    earns nothing. A reference of nothing but the question's words is compared as it is, with the whole answer."""

    def scored(said: Said) -> Verdict:
        known = set(said.question.split())

        def new(text: str) -> str:
            return " ".join(word for word in text.split() if word not in known)

        verdicts = [
            score(replace(said, text=new(said.text) if new(one) else said.text, references=[new(one) or one]))
            for one in said.references
        ]
        return max(verdicts, key=lambda verdict: verdict.score or 0.0)

    return scored


_F1 = Rule(3, _f1)
_WUPS = {
    name: Rule(3, partial(_wups, threshold=threshold), equal_is_right=False, prepare=load_wordnet)
    for name, threshold in THRESHOLDS.items()
}

RULES: dict[str, Rule] = {
    "exact": Rule(3, _exact),
    "f1": _F1,
    "f1-new": replace(_F1, version=1, score=_without_question(_F1.score)),
    **_WUPS,
    "wups0-new": replace(_WUPS["wups0"], version=1, score=_without_question(_WUPS["wups0"].score)),
}
"""Name of a judge -> its rule. Multiple choice is judged alike by all: 100 where the option that the answer names
(`answers.read_choice`) has the right option's text, else 0."""


def judge_answer(
    judge: str, answer: Any, question: Mapping[str, Any] | None, reading: Reading | None = None
) -> Verdict:
    """The verdict of a local judge.

    Args:
        judge: A key of `RULES`.
        answer: What the model said; anything but a text is unscored.
        question: Row of `questions.jsonl`; None where the run has no such question.
        reading: What a language model read where the rules cannot read an option; see `judge.options`.

    Raises InputError where the judge needs WordNet and there is none.
    """
    if question is None:
        return Verdict(None, None, False, UNKNOWN_ID)
    if not isinstance(answer, str):
        return Verdict(None, None, False, NO_GENERATION)
    if question["choices"]:
        return _judge_choice(answer, question, reading)
    references = [normalise(text) for text in references_of(question)]
    if not references:
        return Verdict(None, None, False, "no reference answer")
    prediction, *others = [*open_answers(answer), normalise(answer)]
    if (said := leading_yes_no(answer)) is not None and set(references) <= YES_NO:
        prediction, others = said, []
    matching = next((form for form in (prediction, *others) if form in references), None)
    rule = RULES[judge]
    if matching is not None and rule.equal_is_right:
        return Verdict(100.0, True, False, EQUAL)
    if matching is None and is_blank(answer):
        return Verdict(0.0, False, True, "blank")
    if matching is None and is_refusal(answer):
        return Verdict(0.0, False, True, "refusal")
    equal, asked = matching is not None, normalise(question["question"])
    return rule.score(Said(matching or prediction, references, equal, question["question_type"], asked))


READ_BY_MODEL = "option read by a language model"
_CHOICE_REASONS = {
    "ambiguous": "names two options",
    "none": "names no option",
    "blank": "blank",
    "refusal": "refusal",
    "letter": "option by letter",
    "text": "option by text",
}


def _judge_choice(answer: str, question: Mapping[str, Any], reading: Reading | None) -> Verdict:
    """The letter rule. An option with the right option's text is right, for nothing tells the two apart."""
    choices, right = question["choices"], question["answer_index"]
    if not 0 <= right < len(choices):
        return Verdict(None, None, False, "no right option")
    choice = read_choice(answer, choices)
    index, reason = choice.index, _CHOICE_REASONS[choice.how]
    if reading is not None and reading.option is not None:
        index, reason = reading.option, READ_BY_MODEL
    if index is None:
        return Verdict(0.0, False, True, reason)
    correct = normalise(choices[index]) == normalise(choices[right])
    return Verdict(100.0 if correct else 0.0, correct, False, reason)


def verdict_key(judge: str, answer: Any, question: Mapping[str, Any] | None, reading: Reading | None = None) -> str:
    """SHA-256, in hex, of all that could change a local judge's verdict."""
    question = question or {}
    parts = {
        "rule": f"{judge}/{RULES[judge].version}",
        "question": question.get("question"),
        "category": question.get("category"),
        "references": [question.get("answer"), *question.get("additional_answers", ())],
        "choices": question.get("choices"),
        "answer_index": question.get("answer_index"),
        "prediction": answer,
        **({} if reading is None else {"reading": [reading.key, reading.option, reading.pending]}),
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
