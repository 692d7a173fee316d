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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cotasks.errors import InputError
from cotasks.models.families import Family
from cotasks.prompts.view import Predictions, View, view
from cotasks.records.boxes import CoordinateFormat, Size
from cotasks.records.schema import Frame, Record
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import NOTHING, StepContext

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

# The words that ask for a step, where that and not the answer is what the prompt asks for.
STEP_REQUESTS = {
    1: "Step 1, frame localization: which frames and entities matter for this question? Answer with two lines that "
    'begin with "Frames:" and "Entities:".',
    2: "Step 2, entity tracking: where are the entities? Answer with one line an entity: its name, then up to "
    "{boxes_per_entity} frames, each with the box [x1, y1, x2, y2] {unit}.",
    3: "Step 3, spatial relations: what holds within a frame? Answer with one line a relation: (subject, relation, "
    f'object), then the frames; or with "{NOTHING}".',
    4: "Step 4, temporal relations: what happens over time? Answer with one line a relation: (subject, relation, "
    f'object), then the seconds at which it begins and ends; or with "{NOTHING}".',
}


@dataclass(frozen=True)
class Condition:
    """What a prompt contains.

    Raises InputError where the fields contradict one another.
    """

    name: str
    """Unique within a run; `parse_condition` derives it from the text."""
    steps: tuple[int, ...] = ()
    """Which of steps 1 to 4 the context block holds, ascending; none for no block."""
    origin: Literal["oracle", "predicted", "corrupted"] = "oracle"
    """Where the steps come from, see `cotasks.prompts.view`: the record's own answers, a model's, or damaged ones."""
    video: bool = True
    """Whether the frames are shown."""
    num_frames: int | None = None
    """Frames shown and spoken of; None for the record's whole grid."""
    boxes_per_entity: int = BOXES_PER_ENTITY
    """At most so many boxes an entity in step 2, evenly over those that it has."""
    context_tokens: int | None = None
    """Budget of the context block in the model's tokens; whole lines beyond it are cut, from the end."""
    context_frames: int | None = None
    """Frames that the context block speaks of, where these are fewer than those shown."""
    corruption: float = 0.0
    """Probability, 0 to 1, by which each frame and entity of A1 is damaged; origin `corrupted` only."""
    corruption_seed: int = 0
    """Which damage; origin `corrupted` only."""
    asks: int | None = None
    """The step that is asked for, instead of the answer; the steps before it may be told. For `cotasks.predict`."""
    tells_answer: bool = False
    """Whether the reference answer stands below the question; where a step is asked for only."""

    def __post_init__(self) -> None:
        def fault(what: str) -> InputError:
            return InputError(f"condition {self.name!r}: {what}")

        if list(self.steps) != sorted(set(self.steps) & {1, 2, 3, 4}):
            raise fault(f"steps {self.steps}; expected some of 1 to 4, each once, in order")
        if self.origin != "oracle" and not self.steps:
            raise fault(f"no steps that could be {self.origin}; expected some, as in `cotasks`")
        if self.origin != "corrupted" and (self.corruption or self.corruption_seed):
            raise fault(f"{self.origin} steps cannot be corrupted; only those of `cotasks` can, by corrupt=0 to 1")
        if not 0 <= self.corruption <= 1:
            raise fault(f"corrupt is {self.corruption}; expected 0 to 1")
        if self.context_frames is not None:
            if not self.steps:
                raise fault("context without steps to speak of; expected some, as in `cotasks`")
            if self.num_frames is not None and self.context_frames > self.num_frames:
                raise fault(
                    f"context speaks of {self.context_frames} frames of {self.num_frames} shown; expected no more"
                )
        if self.asks is not None and any(step >= self.asks for step in self.steps):
            raise fault(f"step {self.asks} asked for, steps {self.steps} told; expected steps before it")
        if self.tells_answer and self.asks is None:
            raise fault("the answer is told and asked for; expected one or the other")


_CONDITION = re.compile(
    r"(?:(?P<plain>baseline|blind)|(?:blind-)?(?P<origin>cotasks|predicted)(?:-(?P<steps>[1-4]+))?)(?::(?P<options>.+))?"
)
_OPTIONS = {
    "frames": "num_frames",
    "context": "context_frames",
    "boxes": "boxes_per_entity",
    "tokens": "context_tokens",
    "corrupt": "corruption",
    "seed": "corruption_seed",
}
CONDITION_HELP = (
    "baseline, blind, cotasks, blind-cotasks, predicted, blind-predicted, or chosen steps such as cotasks-12 or "
    "blind-predicted-34; options after a colon: cotasks:frames=16,context=8,boxes=4,tokens=2048,corrupt=0.25,seed=1"
)
_LATER = ("context_frames", "corruption", "corruption_seed", "asks", "tells_answer")
"""Fields of a condition that run.json holds only where they say something, as runs begun before have none."""


def parse_condition(text: str) -> Condition:
    """`baseline`, `blind`, `[blind-]cotasks[-STEPS]`, `[blind-]predicted[-STEPS]`, each with options after a colon.

    Options: `frames=N` shown and spoken of, `context=N` of them spoken of, `boxes=N` an entity, `tokens=N` of context;
    for `cotasks`, `corrupt=P` (0 to 1) and `seed=N`. See `Condition`.

    Raises InputError that lists what is known.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(f"unknown condition {text!r}; known: {CONDITION_HELP}")
    steps = tuple(int(digit) for digit in match["steps"] or "1234") if match["origin"] else ()
    fields: dict[str, Any] = {}
    for option in match["options"].split(",") if match["options"] else []:
        name, _, value = option.partition("=")
        if name not in _OPTIONS or _OPTIONS[name] in fields:
            raise InputError(f"condition {text!r}: option {option!r}; expected {', '.join(_OPTIONS)}, each once")
        fields[_OPTIONS[name]] = _option(text, name, value)
    if "corruption" in fields:
        if match["origin"] != "cotasks":
            raise InputError(
                f"condition {text!r}: corrupt; expected with `cotasks` only, whose steps are the true ones"
            )
        fields["origin"] = "corrupted"
    elif "corruption_seed" in fields:
        raise InputError(f"condition {text!r}: seed without corrupt; expected both, or neither")
    elif match["origin"] == "predicted":
        fields["origin"] = "predicted"
    return Condition(name=text, steps=steps, video=not text.startswith("blind"), **fields)


def _option(text: str, name: str, value: str) -> int | float:
    place = f"condition {text!r}: option {f'{name}={value}'!r}"
    if name == "corrupt":
        if not re.fullmatch(r"\d(\.\d{1,9})?|\.\d{1,9}", value, re.ASCII):
            raise InputError(f"{place}; expected a probability, 0 to 1")
        return float(value)
    least = 0 if name == "seed" else 1
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or int(value) < least:
        raise InputError(f"{place}; expected {least} or more")
    return int(value)


def condition_settings(condition: Condition) -> dict[str, Any]:
    """What `run.json` says of a condition."""
    plain = Condition(condition.name)
    return {
        name: value
        for name, value in dataclasses.asdict(condition).items()
        if name not in _LATER or value != getattr(plain, name)
    }


def read_condition(settings: Mapping[str, Any]) -> Condition:
    """The inverse of `condition_settings`. Raises TypeError or KeyError where the settings are of something else."""
    return Condition(**{**settings, "steps": tuple(settings["steps"])})


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
        shown=() if told.shown == record.frames else told.shown,
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
    if context.frame_reference == "position":
        parts.append(_numbering(context))
    if 2 in steps:
        parts.append(f"Boxes are [x1, y1, x2, y2] {context.coordinates.words}.")
    return " ".join(parts)


def _numbering(context: StepContext) -> str:
    """What numbers of frames mean, and when the first and the last are, since step 4 speaks of seconds."""
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


def step_request(record: Record, condition: Condition, step: int, context: StepContext, opens: bool) -> str:
    """The words that ask for a step.

    Args:
        opens: whether nothing comes before them, neither a context block nor another step: they then begin with the
            question and with what frames are called.
    """
    words = STEP_REQUESTS[step].format(unit=context.coordinates.words, boxes_per_entity=condition.boxes_per_entity)
    if not opens:
        return words
    at_position = context.frame_reference == "position"
    frames = _numbering(context) if at_position else "Times are in seconds from the start of the video."
    return f"{_asked_about(record, condition)}\n{frames}\n{words}"


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
    told = view(record, condition, predictions)
    context = step_context(told, family, frame_size, source_size)
    block, cut_items = "", 0
    if condition.steps:
        block, cut_items = _context_block(told.record, condition, context, count_tokens)
    if condition.asks is None:
        text = question_text(record)
    elif block:
        request = step_request(record, condition, condition.asks, context, opens=False)
        text = f"{_asked_about(record, condition)}\n{request}"
    else:
        text = step_request(record, condition, condition.asks, context, opens=True)
    content: list[dict[str, Any]] = [{"type": "video"}] if condition.video else []
    content.append({"type": "text", "text": f"{block}\n\n{text}" if block else text})
    return Prompt(
        messages=[{"role": "user", "content": content}],
        frames=told.shown if condition.video else (),
        context=block,
        cut_items=cut_items,
    )
