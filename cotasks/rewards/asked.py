"""What a model was asked for, and what the truth of it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError
from cotasks.evidence import FORMS, write_evidence
from cotasks.evidence.truth import evidence_of
from cotasks.judge.rules import RULES
from cotasks.models.families import FAMILIES, Limits, frame_size
from cotasks.prompts.condition import LETTERS, Condition
from cotasks.prompts.prompt import step_context
from cotasks.prompts.view import view
from cotasks.records.schema import Record
from cotasks.steps.context import StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.sections import write_sections
from cotasks.steps.table import STEP_NUMBERS, STEPS, step_text
from cotasks.training.examples import CHAIN, parse_task

STEPS_FORM = "steps"
"""The form of `cotasks.steps.sections`: each step below its title. The other forms are those of `cotasks.evidence`."""
LEAST_WORDS = 64
"""Words that any text may have before its length counts against it."""


@dataclass(frozen=True)
class Asked:
    """What a model was asked for: what is measured follows from this and the record, never from what the model says.

    Raises InputError where the fields name what there is not.
    """

    steps: tuple[int, ...] = (1, 2, 3, 4)
    """The steps that the text is to hold; forms of evidence hold 1 and 2."""
    answer: bool = True
    """Whether it is to hold the answer. A text of one step without it needs no title."""
    form: str = STEPS_FORM
    """`steps`, or a form of `cotasks.evidence.FORMS`."""
    family: str = "qwen2_5_vl"
    """The model family whose coordinates and times the text has."""
    limits: Limits | None = None
    """Of the model's processor, as the prompt was written for; by default the family's."""
    num_frames: int | None = None
    """Frames shown and spoken of; by default the record's grid."""
    boxes_per_entity: int = BOXES_PER_ENTITY
    """At most so many boxes an entity were asked for."""
    rule: str = "f1-new"
    """The judge of answers, a key of `cotasks.judge.rules.RULES`; of multiple choice, all of them judge alike."""
    longest: int | None = None
    """Words that a text may have before its length counts against it; by default twice those of the true text, 64 at
    least."""

    def __post_init__(self) -> None:
        known = {"form": (STEPS_FORM, *FORMS), "family": tuple(FAMILIES), "rule": tuple(RULES)}
        for field, names in known.items():
            if getattr(self, field) not in names:
                raise InputError(f"{field} {getattr(self, field)!r}; expected one of {', '.join(names)}")
        able = tuple(STEPS) if self.form == STEPS_FORM else (1, 2)
        if list(self.steps) != sorted(set(self.steps) & set(able)):
            raise InputError(f"steps {self.steps} in the form {self.form!r}; expected some of {able}, in order")
        if not self.steps and not self.answer:
            raise InputError("neither steps nor an answer; expected something that is asked for")


def asked_for(task: str, think: str | None = None, **told: Any) -> Asked:
    """What the prompt of a task of `cotasks.instructions` asks for.

    Args:
        task: a step, a condition, or `chain`.
        think: the form of a chain in one turn.
        told: further fields of `Asked`, as the prompts were made: family, limits, num_frames, boxes_per_entity.

    Raises InputError for an unknown task, and a chain of several turns, which no single text answers.
    """
    condition = parse_task(task, told.get("num_frames"))
    if condition is not None:
        return Asked((), **{**told, "num_frames": condition.num_frames})
    if task != CHAIN:
        return Asked((STEP_NUMBERS[task],), answer=False, **told)
    if think is None:
        raise InputError(f"task {CHAIN} has several turns; expected one text: its form in one turn, think=...")
    return Asked(tuple(STEPS) if think == STEPS_FORM else (1, 2), form=think, **told)


@dataclass(frozen=True)
class Truth:
    """A record as the model was to speak of it."""

    record: Record
    """On the frames shown."""
    context: StepContext
    """How the model was to write."""
    has_size: bool
    """Whether the frame size is known, without which no box can be measured."""


def truth_of(record: Record, asked: Asked) -> Truth:
    """The record on the frames that were shown. Raises InputError where more were asked for than its grid has."""
    has_size = bool(record.width and record.height)
    source = (record.width or 1000, record.height or 1000)
    family = FAMILIES[asked.family]
    told = view(record, Condition("reward", num_frames=asked.num_frames))
    size = frame_size(family, *source, num_frames=len(told.shown), limits=asked.limits)
    return Truth(told.record, step_context(told, family, size, source), has_size)


def true_text(record: Record, asked: Asked) -> str:
    """What a model would write that knows the truth, in the form asked for."""
    truth = truth_of(record, asked)
    answer = _answer(record) if asked.answer else None
    if asked.form != STEPS_FORM:
        return write_evidence(evidence_of(truth.record, truth.context, answer, asked.boxes_per_entity), asked.form)
    texts = {step: step_text(truth.record, step, truth.context, asked.boxes_per_entity) for step in asked.steps}
    if len(texts) == 1 and answer is None:
        return texts[asked.steps[0]]
    return write_sections(texts, answer)


def _answer(record: Record) -> str:
    return LETTERS[record.answer_index] if record.choices and record.answer_index >= 0 else record.answer
