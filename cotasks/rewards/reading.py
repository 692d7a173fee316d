"""A text read for its rewards, once for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cotasks.evidence import Evidence, TimedBox, predicted_steps, read_evidence
from cotasks.evidence.evidence import with_boxes
from cotasks.judge.rules import judge_answer, references_of
from cotasks.prompts.prompt import question_text
from cotasks.records.boxes import parse_box
from cotasks.records.schema import Record
from cotasks.rewards.asked import STEPS_FORM, Asked, Truth, truth_of
from cotasks.step_scores.table import plain_context
from cotasks.steps.predicted import NO_STEP_1, PredictedSteps
from cotasks.steps.reading import is_unreadable, read_steps, unreadable_scores
from cotasks.steps.scoring import score_steps
from cotasks.steps.sections import read_sections
from cotasks.steps.table import STEPS
from cotasks.words.answers import is_unreadable as says_nothing
from cotasks.words.answers import open_answer, read_choice
from cotasks.words.echo import is_echo
from cotasks.words.packaging import without_thoughts

AnswerJudge = Callable[[Mapping[str, Any], str], float | None]
"""(row of the question as `question_row` makes it, answer) -> 0 to 1, or None where there is no verdict."""


@dataclass(frozen=True)
class Read:
    """What a text says, against its record."""

    text: str
    truth: Truth
    asked: Asked
    steps: PredictedSteps
    """As far as they could be read; None for a step that the text does not hold."""
    scores: Mapping[int, Mapping[str, float | None]]
    """Step asked for -> name of the score -> 0 to 1, or None: those of `cotasks.step_scores`, to the bit."""
    said: str
    """What stands as the answer; empty where nothing does."""
    answer: float | None
    """What the answer earns, 0 to 1; None where it was not asked for or cannot be judged."""
    in_form: bool
    """Whether the text is in the form asked for: each title once and in order with nothing around them, or evidence of
    that form."""
    unread: tuple[str, ...]
    """What could not be read of the steps, as it stood."""
    unread_steps: frozenset[int]
    """Steps of which something could not be read."""


def read_text(record: Record, text: str, asked: Asked, judge: AnswerJudge | None = None) -> Read:
    """Read a text that a model wrote for a record, and score what it says.

    Args:
        record: as it was built.
        asked: what the model was asked for.
        judge: of the answer, in place of `asked.rule`.
    """
    truth = truth_of(record, asked)
    # the text -> steps and answer
    sections = read_sections(text)
    evidence: Evidence | None = None
    if asked.form != STEPS_FORM:
        evidence, in_form = read_evidence(text), not sections.steps
    elif len(asked.steps) == 1 and not asked.answer:
        in_form = True  # a step by itself needs no title
    elif not asked.steps:
        in_form = not sections.steps  # nor does an answer
    else:
        in_form = sections.in_order and not sections.rest and bool(sections.order)
        found = None if sections.steps else read_evidence(text)
        evidence = found if found is not None and found.instances else None
    if evidence is not None:
        steps, unread = _of_evidence(evidence, truth, asked) if evidence.instances else (PredictedSteps(), {})
        in_form = in_form and asked.form != STEPS_FORM and bool(evidence.instances)
    else:
        alone = len(asked.steps) == 1 and not asked.answer
        texts = {asked.steps[0]: without_thoughts(text)} if alone else sections.steps
        steps, unread = _of_texts({s: said for s, said in texts.items() if s in asked.steps and (said or alone)}, truth)
    # what they are worth
    scores = _scores(steps, unread, truth, asked)
    said, value = "", None
    if asked.answer:
        said = sections.answer if sections.answer is not None else _answer_of(text, evidence, bool(sections.steps))
        value = _judged(record, said, asked, judge)
    return Read(
        text=text,
        truth=truth,
        asked=asked,
        steps=steps,
        scores=scores,
        said=said,
        answer=value,
        in_form=in_form,
        unread=tuple(dict.fromkeys(item for step in sorted(unread) for item in unread[step][0])),
        unread_steps=frozenset(step for step, (items, _) in unread.items() if items),
    )


Unread = dict[int, tuple[tuple[str, ...], bool]]
"""Step -> (what could not be read, whether it says something of which nothing could be)."""


def _of_texts(texts: Mapping[int, str], truth: Truth) -> tuple[PredictedSteps, Unread]:
    steps, parsed, _ = read_steps(texts, truth.context)
    return steps, {step: (one.unread, is_unreadable(step, one)) for step, one in parsed.items()}


def _of_evidence(evidence: Evidence, truth: Truth, asked: Asked) -> tuple[PredictedSteps, Unread]:
    def pixels(box: TimedBox) -> TimedBox:
        return TimedBox(box.second, parse_box(box.numbers, truth.context.source_size, truth.context.coordinates))

    found = predicted_steps(truth.record, evidence, with_boxes(evidence, pixels))
    others: dict[str, Any] = {step.field: None for step in STEPS.values() if step.number not in asked.steps}
    unread: Unread = {
        step: (one.unread, is_unreadable(step, one)) for step, one in found.parsed.items() if step in asked.steps
    }
    return dataclasses.replace(found.steps, **others), unread


def _scores(steps: PredictedSteps, unread: Unread, truth: Truth, asked: Asked) -> dict[int, dict[str, float | None]]:
    """Of each step asked for; one that the text does not hold, and one that is unreadable, has what unreadable texts
    have in a step table."""
    missing: dict[str, Any] = {
        STEPS[step].field: NO_STEP_1 if step == 1 else () for step in asked.steps if not steps.has(step)
    }
    filled = dataclasses.replace(steps, **missing)
    context = plain_context(truth.record, steps.entities)
    scores = score_steps(filled, truth.record, context, boxes_per_entity=asked.boxes_per_entity)
    for step in asked.steps:
        if not steps.has(step) or unread[step][1]:
            scores[step] = unreadable_scores(scores[step])
    if 2 in scores and not truth.has_size:
        scores[2] = dict.fromkeys(scores[2])
    return scores


def _answer_of(text: str, evidence: Evidence | None, has_steps: bool) -> str:
    """The answer of a text that marks none: what an evidence says, what follows a thought, or, without steps, all."""
    if evidence is not None and evidence.answer is not None:
        return evidence.answer
    thought_ends = text.lower().rfind("</think>")
    if thought_ends >= 0:
        return text[thought_ends + len("</think>") :]
    return "" if has_steps or evidence is not None else text


def question_row(record: Record) -> dict[str, Any]:
    """What a judge knows of a question: fields of a row of `questions.jsonl`."""
    names = ("id", "question", "question_type", "category", "answer", "answer_index")
    row = {name: getattr(record, name) for name in names}
    return {**row, "additional_answers": list(record.additional_answers), "choices": list(record.choices)}


def _judged(record: Record, said: str, asked: Asked, judge: AnswerJudge | None) -> float | None:
    question = question_row(record)
    if judge is None:
        score = judge_answer(asked.rule, said, question).score
        value = None if score is None else score / 100
    else:
        value = judge(question, said)
    return 0.0 if value and not record.choices and repeats_the_prompt(record, said) else value


def repeats_the_prompt(record: Record, said: str) -> bool:
    """Whether an open-ended answer holds nothing but words of the prompt, and equals no reference."""
    return is_echo(open_answer(said), question_text(record), references_of(question_row(record)))


def answers(record: Record, said: str) -> bool:
    """Whether a text says something that could be an answer: an option, or words that are no refusal and not only the
    prompt's."""
    if record.choices:
        return read_choice(said, record.choices).index is not None
    return not says_nothing(said) and not repeats_the_prompt(record, said)
