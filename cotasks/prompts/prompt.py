"""Record + condition -> chat messages.

A `Condition` says what a prompt contains. Two conditions of one record differ in the context block and the video
only, to the byte: question, options and instruction are the same text.

    {context block, where the condition has steps, and a blank line}
    Question: why did the boy pick up the ball?
    Options:
    A. to throw it
    B. ...
    Answer with the letter of the right option only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError
from cotasks.models.families import Family
from cotasks.prompts.condition import ANSWER_STYLES, LETTERS, PHRASE, Condition
from cotasks.prompts.view import Predictions, View, view
from cotasks.records.boxes import CoordinateFormat, Size
from cotasks.records.schema import Frame, Record
from cotasks.steps.context import StepContext
from cotasks.steps.marks import REQUEST as MARKS_REQUEST
from cotasks.steps.marks import Marks, legend, mark_names
from cotasks.steps.table import MOMENTS, STEPS, step_text
from cotasks.words.plain import plain

CHOICE_INSTRUCTION = "Answer with the letter of the right option only."


@dataclass(frozen=True)
class Prompt:
    """What is sent for one record under one condition."""

    messages: list[dict[str, Any]]
    """Chat messages; the video is a placeholder `{"type": "video"}` at the head of the user's turn."""
    frames: tuple[Frame, ...]
    """The frames to show, ascending; empty where the condition has no video."""
    context: str
    """The context block; empty where the condition has no steps."""
    cut_items: int
    """Lines of the context that its budget left out."""
    marks: Marks = ()
    """What is to be outlined and numbered on the frames."""


def step_context(told: View, family: Family, frame_size: Size, source_size: Size) -> StepContext:
    """How the steps of a record are written for a model family.

    Args:
        told: the record as a condition speaks of it.
        frame_size: (width, height) of the frames as the model gets them.
        source_size: (width, height) that the record's boxes refer to.
    """
    record = told.record
    return StepContext(
        entities=record.scene.entities,
        frames=record.frames,
        fps=record.fps,
        clip=record.clip,
        source_size=source_size,
        coordinates=CoordinateFormat(family.coordinates, frame_size),
        frame_reference=family.frame_reference,
        given_names=told.names,
        other_names=mark_names(record.scene.entities, told.marks)[1],
        shown=() if told.shown == record.frames else told.shown,
    )


def _preamble(context: StepContext, steps: tuple[int, ...]) -> str:
    parts = ["Notes on the video, for use as evidence. Times are in seconds from its start."]
    if context.frame_reference == "position":
        parts.append(_numbering(context))
    if 2 in steps:
        parts.append(f"Boxes are [x1, y1, x2, y2] {context.coordinates.words}.")
    return " ".join(parts)


def _numbering(context: StepContext) -> str:
    """What numbers of frames mean, and when the first and the last are, since step 4 speaks of seconds too."""
    frames = context.shown or context.frames
    first, last = (context.moment(frame.index) for frame in (frames[0], frames[-1]))
    return f"Frames are numbered 1 to {len(frames)} in the order shown, from {first} to {last}."


def _context_block(
    record: Record, condition: Condition, context: StepContext, count_tokens: Callable[[str], int] | None
) -> tuple[str, int]:
    """(context block, number of lines that the budget cut). Titles of steps without a line left go with them."""
    items = [
        (step, line)
        for step in condition.steps
        for line in step_text(record, step, context, condition.boxes_per_entity).splitlines()
    ]

    def block(kept: int) -> str:
        lines = [_preamble(context, condition.steps)]
        for step in condition.steps:
            of_step = [line for s, line in items[:kept] if s == step]
            lines += [STEPS[step].title, *of_step] if of_step else []
        return plain("\n".join(lines)) if kept else ""

    budget = condition.context_tokens
    if budget is None or not items:
        return block(len(items)), 0
    if count_tokens is None:
        raise InputError(f"condition {condition.name!r} has a token budget, and this backend has no tokenizer to count")
    count = count_tokens
    kept = bisect_right(range(1, len(items) + 1), budget, key=lambda n: count(block(n)))
    return block(kept), len(items) - kept


def question_text(record: Record, answer_style: str = PHRASE) -> str:
    """Question, options and instruction: the part that no condition of a run changes.

    Args:
        answer_style: of `ANSWER_STYLES`; says how open-ended answers are to be worded.
    """
    lines = [f"Question: {record.question}"]
    if record.choices:
        lines.append("Options:")
        lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(record.choices)]
    lines.append(CHOICE_INSTRUCTION if record.choices else ANSWER_STYLES[answer_style])
    return "\n".join(lines)


def step_request(record: Record, condition: Condition, step: int, context: StepContext, opens: bool) -> str:
    """The words that ask for a step.

    Args:
        opens: whether nothing comes before them, neither a context block nor another step: they then begin with the
            question and with what frames are called.
    """
    if condition.marks:
        marks = tuple((tid, int(name)) for tid, name in context.given_names)
        words = MARKS_REQUEST.format(legend=legend(context.entities, marks))
    else:
        words = STEPS[step].request.format(
            unit=context.coordinates.words,
            boxes_per_entity=condition.boxes_per_entity,
            moments=MOMENTS[context.frame_reference],
        )
    if not opens:
        return words
    return f"{_asked_about(record, condition)}\n{when_words(context)}\n{words}"


def when_words(context: StepContext) -> str:
    """What times or numbers of frames mean, where no context block says it."""
    at_position = context.frame_reference == "position"
    return _numbering(context) if at_position else "Times are in seconds from the start of the video."


def _asked_about(record: Record, condition: Condition) -> str:
    answer = f"\nAnswer: {record.answer}" if condition.tells_answer else ""
    return f"Question: {record.question}{answer}"


def build_prompt(
    record: Record,
    condition: Condition,
    family: Family,
    frame_size: Size,
    source_size: Size,
    count_tokens: Callable[[str], int] | None = None,
    predictions: Predictions | None = None,
) -> Prompt:
    """The prompt of a record under a condition, for a model family.

    Args:
        record: as it was built.
        frame_size: (width, height) of the frames as the model gets them; boxes in pixels are written in it.
        source_size: (width, height) that the record's boxes refer to.
        count_tokens: the model's token count of a text; needed where the condition has a budget.
        predictions: needed where the condition's origin is `predicted`.

    Raises InputError where the condition asks for more frames than the grid has, or cannot be counted, and where a step
    that it tells was not predicted.
    """
    # what is told: the record as the condition speaks of it, as lines
    told = view(record, condition, predictions)
    context = step_context(told, family, frame_size, source_size)
    block, cut_items = "", 0
    if condition.steps:
        block, cut_items = _context_block(told.record, condition, context, count_tokens)
    # what is asked: the answer, or a step
    if condition.asks is None:
        text = question_text(record, condition.answer_style)
    elif block:
        request = step_request(record, condition, condition.asks, context, opens=False)
        text = f"{_asked_about(record, condition)}\n{request}"
    else:
        text = step_request(record, condition, condition.asks, context, opens=True)
    # what is sent: no text of the data is a turn or a picture
    text = plain(text)
    content: list[dict[str, Any]] = [{"type": "video"}] if condition.video else []
    content.append({"type": "text", "text": f"{block}\n\n{text}" if block else text})
    return Prompt(
        messages=[{"role": "user", "content": content}],
        frames=told.shown if condition.video else (),
        context=block,
        cut_items=cut_items,
        marks=told.marks,
    )
