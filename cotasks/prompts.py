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

import dataclasses
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cotasks.boxes import CoordinateFormat, Size
from cotasks.errors import InputError
from cotasks.families import Family
from cotasks.schema import Frame, Record
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import StepContext
from cotasks.timeline import thin

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BOXES_PER_ENTITY = 8

STEP_TITLES = {
    1: "Step 1, frame localization (which frames and entities matter):",
    2: "Step 2, entity tracking (where the entities are):",
    3: "Step 3, spatial relations (what holds within a frame):",
    4: "Step 4, temporal relations (what happens over time):",
}
OPEN_INSTRUCTION = "Answer with a short phrase."
CHOICE_INSTRUCTION = "Answer with the letter of the right option only."


@dataclass(frozen=True)
class Condition:
    """What a prompt contains."""

    name: str
    """Unique within a run; `parse_condition` derives it from the text."""
    steps: tuple[int, ...] = ()
    """Which of steps 1 to 4 the context block holds, ascending; none for no block."""
    origin: Literal["oracle"] = "oracle"
    """Where the steps come from: `oracle`, the record's own answers."""
    video: bool = True
    """Whether the frames are shown."""
    num_frames: int | None = None
    """Frames shown and spoken of; None for the record's whole grid."""
    boxes_per_entity: int = BOXES_PER_ENTITY
    """At most so many boxes an entity in step 2, evenly over those that it has."""
    context_tokens: int | None = None
    """Budget of the context block in the model's tokens; whole lines beyond it are cut, from the end."""


_CONDITION = re.compile(r"(baseline|blind|(?:blind-)?cotasks(?:-(?P<steps>[1-4]+))?)(?::(?P<options>.+))?")
_OPTIONS = {"frames": "num_frames", "boxes": "boxes_per_entity", "tokens": "context_tokens"}
CONDITION_HELP = (
    "baseline, blind, cotasks, blind-cotasks, or chosen steps such as cotasks-12 or blind-cotasks-34; "
    "options after a colon: cotasks:frames=16,boxes=4,tokens=2048"
)


def parse_condition(text: str) -> Condition:
    """`baseline`, `blind`, `[blind-]cotasks[-STEPS]`, each with `:frames=N,boxes=N,tokens=N` where wanted.

    Raises InputError that lists what is known.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(f"unknown condition {text!r}; known: {CONDITION_HELP}")
    steps = tuple(int(digit) for digit in match["steps"] or "1234") if "cotasks" in match[1] else ()
    if list(steps) != sorted(set(steps)):
        raise InputError(f"condition {text!r}: steps {match['steps']}; expected each once, in order")
    numbers: dict[str, Any] = {}
    for option in match["options"].split(",") if match["options"] else []:
        name, _, value = option.partition("=")
        if name not in _OPTIONS or not value.isdecimal() or int(value) < 1 or _OPTIONS[name] in numbers:
            raise InputError(f"condition {text!r}: option {option!r}; expected {', '.join(_OPTIONS)} = 1 or more, once")
        numbers[_OPTIONS[name]] = int(value)
    return Condition(name=text, steps=steps, video=not text.startswith("blind"), **numbers)


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


def select_frames(record: Record, condition: Condition) -> tuple[Frame, ...]:
    """The grid frames that the condition speaks of, whether it shows them or not.

    Raises InputError where it asks for more frames than the record was built with.
    """
    return record.frames if condition.num_frames is None else thin(record.frames, condition.num_frames)


def restrict(record: Record, frames: tuple[Frame, ...]) -> Record:
    """The record on fewer frames of its grid: steps rebuilt from its scene."""
    if frames == record.frames:
        return record
    localization = frame_localization.construct(record.frame_localization, frames)
    return dataclasses.replace(
        record,
        frames=frames,
        frame_localization=localization,
        entity_tracking=entity_tracking.construct(record.scene, localization),
        spatial_relations=spatial_relations.construct(record.scene, localization),
        temporal_relations=temporal_relations.construct(record.scene, localization, record.fps),
    )


def step_context(record: Record, family: Family, frame_size: Size, source_size: Size) -> StepContext:
    """How the steps of this record are written for a model family.

    Args:
        frame_size: (width, height) of the frames as the model gets them.
        source_size: (width, height) that the record's boxes refer to.
    """
    return StepContext(
        entities=record.scene.entities,
        frames=record.frames,
        fps=record.fps,
        clip=record.clip,
        source_size=source_size,
        coordinates=CoordinateFormat(family.coordinates, frame_size),
        frame_reference=family.frame_reference,
    )


def step_text(record: Record, step: int, context: StepContext, boxes_per_entity: int = BOXES_PER_ENTITY) -> str:
    """Step 1 to 4 of a record as text, one line an item."""
    if step == 1:
        return frame_localization.render(record.frame_localization, context)
    if step == 2:
        return entity_tracking.render(entity_tracking.thin(record.entity_tracking, boxes_per_entity), context)
    if step == 3:
        return spatial_relations.render(record.spatial_relations, context)
    return temporal_relations.render(record.temporal_relations, context)


def _preamble(context: StepContext, steps: tuple[int, ...]) -> str:
    parts = ["Notes on the video, for use as evidence. Times are in seconds from its start."]
    if context.frame_reference == "position" and set(steps) & {1, 2, 3}:
        parts.append(f"Frames are numbered 1 to {len(context.frames)} in the order shown.")
    if 2 in steps:
        parts.append(f"Boxes are [x1, y1, x2, y2] {context.coordinates.words}.")
    return " ".join(parts)


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
            lines += [STEP_TITLES[step], *of_step] if of_step else []
        return "\n".join(lines) if kept else ""

    budget = condition.context_tokens
    if budget is None or not items:
        return block(len(items)), 0
    if count_tokens is None:
        raise InputError(f"condition {condition.name!r} has a token budget, and this backend has no tokenizer to count")
    count = count_tokens
    kept = bisect_right(range(1, len(items) + 1), budget, key=lambda n: count(block(n)))
    return block(kept), len(items) - kept


def question_text(record: Record) -> str:
    """Question, options and instruction: the part that no condition changes."""
    lines = [f"Question: {record.question}"]
    if record.choices:
        lines.append("Options:")
        lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(record.choices)]
    lines.append(CHOICE_INSTRUCTION if record.choices else OPEN_INSTRUCTION)
    return "\n".join(lines)


def build_prompt(
    record: Record,
    condition: Condition,
    family: Family,
    frame_size: Size,
    source_size: Size,
    count_tokens: Callable[[str], int] | None = None,
) -> Prompt:
    """The prompt of a record under a condition, for a model family.

    Args:
        frame_size: (width, height) of the frames as the model gets them; boxes in pixels are written in it.
        source_size: (width, height) that the record's boxes refer to.
        count_tokens: the model's token count of a text; needed where the condition has a budget.

    Raises InputError where the condition asks for more frames than the grid has, or cannot be counted.
    """
    record = restrict(record, select_frames(record, condition))
    text, cut_items, block = question_text(record), 0, ""
    if condition.steps:
        context = step_context(record, family, frame_size, source_size)
        block, cut_items = _context_block(record, condition, context, count_tokens)
        text = f"{block}\n\n{text}" if block else text
    content: list[dict[str, Any]] = [{"type": "video"}] if condition.video else []
    content.append({"type": "text", "text": text})
    return Prompt(
        messages=[{"role": "user", "content": content}],
        frames=record.frames if condition.video else (),
        context=block,
        cut_items=cut_items,
    )
