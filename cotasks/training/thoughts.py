"""The chain in one turn, as models are trained to think: what is seen within `<think>`, the answer within `<answer>`.

    steps      each step below its title, as a context block has them
    open-o3    Open-o3 Video's tags: <obj>dog</obj><box>[1, 2, 3, 4]</box>at<t>1.50</t>s; steps 1 and 2
    qwen       Qwen's list of boxes: [{"time": 1.5, "bbox_2d": [1, 2, 3, 4], "label": "dog"}]; steps 1 and 2

`cotasks.evidence.read_evidence` reads the last two, `cotasks.steps.sections` the first, and `cotasks.rewards` all.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cotasks.errors import InputError
from cotasks.evidence import Evidence, write_evidence
from cotasks.evidence.truth import evidence_of
from cotasks.prompts.prompt import question_text, when_words
from cotasks.records.schema import Record
from cotasks.steps.context import StepContext
from cotasks.steps.sections import write_sections
from cotasks.steps.table import STEPS, step_text
from cotasks.words.plain import plain

_REQUEST = (
    "{frames}\nThink before you answer, between <think> and </think>: {how} Then answer between <answer> and </answer>."
)


@dataclass(frozen=True)
class ThoughtForm:
    """One row."""

    name: str
    how: str
    """The words that ask for it; `{unit}` is that of boxes, `{boxes_per_entity}` the most that are asked for."""


THOUGHTS: dict[str, ThoughtForm] = {
    form.name: form
    for form in (
        ThoughtForm(
            "steps",
            "go through four steps, each below its title ("
            + "; ".join(f"Step {step.number}, {step.name}" for step in STEPS.values())
            + "). Boxes are [x1, y1, x2, y2] {unit}, up to {boxes_per_entity} for each entity.",
        ),
        ThoughtForm(
            "open-o3",
            "name each thing that matters as <obj>name</obj>, say when it matters as from <t>1.5</t>s to <t>3.0</t>s, "
            "and where it is as <obj>name</obj><box>[x1, y1, x2, y2]</box>at<t>1.5</t>s, with up to {boxes_per_entity} "
            "boxes for each thing. Boxes are {unit}.",
        ),
        ThoughtForm(
            "qwen",
            'give a JSON list of what matters, {{"start_time": 1.5, "end_time": 3.0, "label": "name"}} for the time '
            'and {{"time": 1.5, "bbox_2d": [x1, y1, x2, y2], "label": "name"}} for a box, up to {boxes_per_entity} for '
            "each thing. Boxes are {unit}.",
        ),
    )
}
"""Name -> row."""


def thought_form(name: str) -> ThoughtForm:
    """Raises InputError that lists what is known where there is no such form."""
    if name not in THOUGHTS:
        raise InputError(f"think {name!r}; expected one of {', '.join(THOUGHTS)}")
    return THOUGHTS[name]


def thought_request(record: Record, form: ThoughtForm, context: StepContext, boxes_per_entity: int) -> str:
    """The question and the words that ask for a thought; no text of the data is a tag."""
    how = form.how.format(unit=context.coordinates.words, boxes_per_entity=boxes_per_entity)
    return f"{plain(question_text(record))}\n{_REQUEST.format(frames=when_words(context), how=how)}"


def thought_text(record: Record, form: ThoughtForm, context: StepContext, answer: str, boxes_per_entity: int) -> str:
    """The true thought and the answer.

    Args:
        record: on the frames shown.
        context: how the family writes names, times and boxes.
        answer: as the prompt asks for it.
    """
    if form.name == "steps":
        texts = {step: plain(step_text(record, step, context, boxes_per_entity)) for step in STEPS}
        thought = f"\n{write_sections(texts)}\n"
    else:
        found = _plain_names(evidence_of(record, context, None, boxes_per_entity))
        thought = write_evidence(found, form.name).removeprefix("<think>").removesuffix("</think>")
    return f"<think>{thought}</think>\n<answer>{plain(answer)}</answer>"


def _plain_names(evidence: Evidence) -> Evidence:
    instances = tuple(dataclasses.replace(one, name=plain(one.name)) for one in evidence.instances)
    return dataclasses.replace(evidence, instances=instances)
