"""Conditions: what a prompt contains, and the words that name it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cotasks.errors import InputError
from cotasks.prompts.corruption import KINDS, STEP_1
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PHRASE = "phrase"
ANSWER_STYLES = {
    PHRASE: "Answer with a short phrase.",
    "short": "Answer with five words at most, and nothing else.",
    "natural": "Answer with a short phrase. Use everyday names without numbers, and give no times.",
}
"""Name -> the instruction below an open-ended question. A name stands for its words: other words need another name."""


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
    """Where the steps come from, see `cotasks.prompts.view`: the record's own, a model's, or corrupted ones."""
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
    """Probability, 0 to 1, by which each frame and entity of A1, or whatever `corruption_kind` says, is corrupted;
    origin `corrupted` only."""
    corruption_seed: int = 0
    """Which corruption; origin `corrupted` only."""
    corruption_kind: str = STEP_1
    """What is corrupted, a key of `cotasks.prompts.corruption.KINDS`; origin `corrupted` only."""
    asks: int | None = None
    """The step that is asked for, instead of the answer; the steps before it may be told. For `cotasks.predict`."""
    tells_answer: bool = False
    """Whether the reference answer stands below the question; where a step is asked for only."""
    answer_style: str = PHRASE
    """How an open-ended answer is to be worded: a key of `ANSWER_STYLES`. All conditions of a run have the same."""
    marks: bool = False
    """Whether the annotated things are outlined and numbered on the frames shown, see `cotasks.steps.marks`; where step
    1 is asked for, and no steps are told."""

    def __post_init__(self) -> None:
        def fault(what: str) -> InputError:
            return InputError(f"condition {self.name!r}: {what}")

        if list(self.steps) != sorted(set(self.steps) & {1, 2, 3, 4}):
            raise fault(f"steps {self.steps}; expected some of 1 to 4, each once, in order")
        if self.origin != "oracle" and not self.steps:
            raise fault(f"no steps that could be {self.origin}; expected some, as in `cotasks`")
        if self.corruption_kind not in KINDS:
            raise fault(f"corrupted by kind {self.corruption_kind!r}; expected {', '.join(KINDS)}")
        if self.origin != "corrupted" and (self.corruption or self.corruption_seed or self.corruption_kind != STEP_1):
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
        if self.answer_style not in ANSWER_STYLES:
            raise fault(f"answer style {self.answer_style!r}; expected {', '.join(ANSWER_STYLES)}")
        if self.tells_answer and self.asks is None:
            raise fault("the answer is told and asked for; expected one or the other")
        if self.marks and not (self.asks == 1 and self.video):
            raise fault("marks without a video on which step 1 is asked for")


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
    "kind": "corruption_kind",
}

CONDITION_HELP = (
    "baseline, blind, cotasks, blind-cotasks, predicted, blind-predicted, or chosen steps such as cotasks-12 or "
    "blind-predicted-34; options after a colon: cotasks:frames=16,context=8,boxes=4,tokens=2048,corrupt=0.25,seed=1; "
    f"what is corrupted: kind={STEP_1} (by default), or {', '.join(name for name in KINDS if name != STEP_1)}"
)


_LATER = (
    *("context_frames", "corruption", "corruption_seed", "corruption_kind"),
    *("asks", "tells_answer", "marks", "answer_style"),
)
"""Fields of a condition that run.json holds only where they say something, as runs begun before have none."""


def parse_condition(text: str) -> Condition:
    """`baseline`, `blind`, `[blind-]cotasks[-STEPS]`, `[blind-]predicted[-STEPS]`, each with options after a colon.

    Options: `frames=N` shown and spoken of, `context=N` of them spoken of, `boxes=N` an entity, `tokens=N` of context;
    for `cotasks`, `corrupt=P` (0 to 1), `seed=N` and `kind=K`. See `Condition`.

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
            raise InputError(f"condition {text!r}: corrupt; expected with `cotasks` only, which tells oracle steps")
        fields["origin"] = "corrupted"
    elif lone := [name for name in ("seed", "kind") if _OPTIONS[name] in fields]:
        raise InputError(f"condition {text!r}: {' and '.join(lone)} without corrupt; expected both, or neither")
    elif match["origin"] == "predicted":
        fields["origin"] = "predicted"
    return Condition(name=text, steps=steps, video=not text.startswith("blind"), **fields)


def _option(text: str, name: str, value: str) -> int | float | str:
    place = f"condition {text!r}: option {f'{name}={value}'!r}"
    if name == "corrupt":
        if not re.fullmatch(r"\d(\.\d{1,9})?|\.\d{1,9}", value, re.ASCII):
            raise InputError(f"{place}; expected a probability, 0 to 1")
        return float(value)
    if name == "kind":
        return value
    least = 0 if name == "seed" else 1
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or int(value) < least:
        raise InputError(f"{place}; expected {least} or more")
    return int(value)


def with_defaults(condition: Condition, num_frames: int | None, answer_style: str) -> Condition:
    """The condition as a run asks it: shown so many frames where it does not say, answers worded in the run's style.

    Raises InputError where the style is unknown.
    """
    return dataclasses.replace(condition, num_frames=condition.num_frames or num_frames, answer_style=answer_style)


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
