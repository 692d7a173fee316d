"""(record, text) -> a reward: one of `cotasks.rewards.parts`, or their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from cotasks.errors import InputError
from cotasks.records.schema import Record
from cotasks.rewards.asked import Asked
from cotasks.rewards.parts import REWARDS
from cotasks.rewards.reading import AnswerJudge, Read, read_text

WEIGHTS: Mapping[str, float] = {
    "answer": 1.0,
    "frames": 0.25,
    "entities": 0.25,
    "boxes": 0.25,
    "triples": 0.25,
    "silence": 0.05,
    "consistency": 0.1,
    "length": 0.1,
    "format": 0.1,
}
"""Reward -> its weight by default: the answer as much as its evidence, form and length little."""
CHAIN = Asked()


@dataclass(frozen=True)
class Reward:
    """What a text earns."""

    value: float | None
    """0 to 1: the mean of the rewards by their weights, over those that can be measured; None where none can."""
    parts: Mapping[str, float | None] = field(default_factory=dict)
    """Each reward and, where it has several, each of its parts as `reward/part`: 0 to 1, or None where the record or
    what was asked does not define it."""
    unread: tuple[str, ...] = ()
    """What could not be read of the text's steps, as it stood."""


def reward(
    record: Record,
    text: str,
    weights: Mapping[str, float] = WEIGHTS,
    asked: Asked = CHAIN,
    judge: AnswerJudge | None = None,
) -> Reward:
    """The weighted sum of rewards that a text earns.

    Args:
        record: as it was built.
        text: that a model wrote.
        weights: reward, a key of `REWARDS` -> weight above 0.
        asked: what the model was asked for; the chain of four steps and the answer by default.
        judge: of the answer, in place of the rule of `asked`; see `cotasks.rewards.judged`.

    Raises InputError for an unknown reward or a weight that is none, and as `truth_of` does.
    """
    check_weights(weights)
    return reward_of(read_text(record, text, asked, judge), weights)


def reward_of(read: Read, weights: Mapping[str, float]) -> Reward:
    """The same of a text that was read."""
    parts: dict[str, float | None] = {}
    total = sum_of_weights = 0.0
    for name, weight in weights.items():
        found = {part.name: part.measure(read) for part in REWARDS[name]}
        measured = [value for value in found.values() if value is not None]
        value = fmean(measured) if measured else None
        parts[name] = value
        parts |= {f"{name}/{part}": one for part, one in found.items()} if len(found) > 1 else {}
        if value is not None:
            total += weight * value
            sum_of_weights += weight
    return Reward(total / sum_of_weights if sum_of_weights else None, parts, read.unread)


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises InputError for an unknown reward, and a weight that is not above 0."""
    for name, weight in weights.items():
        if name not in REWARDS:
            raise InputError(f"reward {name!r}; expected one of {', '.join(REWARDS)}")
        if not 0 < weight < float("inf"):
            raise InputError(f"weight {weight} of {name}; expected more than 0")


def format_reward(record: Record, text: str, asked: Asked = CHAIN) -> Reward:
    """Whether steps and answer stand as they were asked for; see `cotasks.rewards.parts.form`."""
    return reward(record, text, {"format": 1.0}, asked)


def frames_reward(record: Record, text: str, asked: Asked = CHAIN) -> Reward:
    """F1 of the frames of step 1, and IoU in time."""
    return reward(record, text, {"frames": 1.0}, asked)


def entities_reward(record: Record, text: str, asked: Asked = CHAIN) -> Reward:
    """F1 of the entities of step 1."""
    return reward(record, text, {"entities": 1.0}, asked)


def boxes_reward(record: Record, text: str, asked: Asked = CHAIN) -> Reward:
    """Mean IoU of the boxes of step 2, and vIoU of its tracks."""
    return reward(record, text, {"boxes": 1.0}, asked)


def triples_reward(record: Record, text: str, asked: Asked = CHAIN) -> Reward:
    """F1 of the triples of step 3, and of those of step 4 with their spans."""
    return reward(record, text, {"triples": 1.0}, asked)


def silence_reward(record: Record, text: str, asked: Asked = CHAIN) -> Reward:
    """Whether "none" is said of relations where there is none."""
    return reward(record, text, {"silence": 1.0}, asked)


def answer_reward(record: Record, text: str, asked: Asked = CHAIN, judge: AnswerJudge | None = None) -> Reward:
    """The answer, by the rule of `asked` or a judge: an option by its letter, else the words."""
    return reward(record, text, {"answer": 1.0}, asked, judge)


def consistency_reward(record: Record, text: str, asked: Asked = CHAIN, judge: AnswerJudge | None = None) -> Reward:
    """Whether the steps hang together and lead to the answer, paid to right answers."""
    return reward(record, text, {"consistency": 1.0}, asked, judge)


def length_reward(record: Record, text: str, asked: Asked = CHAIN, judge: AnswerJudge | None = None) -> Reward:
    """Whether the text is no longer than it need be, paid out of what it earns by its content."""
    return reward(record, text, {"length": 1.0}, asked, judge)
