"""Which context an example is told: the true one, one with noise, or the model's own prediction, by a stated schedule.

    mix = Mix(noise=(parse_noise("0..0.5:corrupt=0.5,kind=triples"),), own=parse_schedule("0..0.3"), seed=0)
    mix.task("cotasks", "nextqa/train/1/2", step=40, progress=0.2)
    # "cotasks", "cotasks:corrupt=0.5,kind=triples,seed=84213", or "predicted"

A model that is told true steps only learns to copy them. Where some are false, it has to hold them against the video.
What is told follows from the seed, the example and the step alone, so a run that goes on is told the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError
from cotasks.prompts.condition import parse_condition
from cotasks.steps.table import STEP_NUMBERS
from cotasks.training.examples import CHAIN, examples_of, instructions, parse_task

_NUMBER = r"\d*\.?\d+|\d+\.?"
_SCHEDULE = re.compile(
    rf"(?P<first>{_NUMBER})(?:\.\.(?P<last>{_NUMBER})(?:@(?P<since>{_NUMBER})\.\.(?P<until>{_NUMBER}))?)?", re.ASCII
)
_TOLD = re.compile(r"(?P<blind>blind-)?cotasks(?P<rest>(?:-[1-4]+)?(?::.+)?)")
SEEDS = 10**9
"""A noisy context is one of so many."""


@dataclass(frozen=True)
class Schedule:
    """A share that stays at `first`, goes linearly to `last` over a stretch of the training, and stays there."""

    first: float
    last: float
    since: float = 0.0
    """Share of the training after which it begins to change."""
    until: float = 1.0
    """Share of the training after which it has changed."""

    def at(self, progress: float) -> float:
        """The share after a share of the training, 0 to 1."""
        if progress <= self.since:
            return self.first
        if progress >= self.until:
            return self.last
        return self.first + (self.last - self.first) * (progress - self.since) / (self.until - self.since)


def parse_schedule(text: str) -> Schedule:
    """`0.3` throughout; `0..0.5` from the first step to the last; `0..0.5@0.2..0.8` from a fifth of the training on.

    Raises InputError where it is no schedule of shares, each 0 to 1.
    """
    fault = InputError(
        f"schedule {text!r}; expected a share such as 0.3, or 0..0.5, or 0..0.5@0.2..0.8, numbers from 0 to 1"
    )
    match = _SCHEDULE.fullmatch(text)
    if match is None:
        raise fault
    first = float(match["first"])
    last = first if match["last"] is None else float(match["last"])
    since, until = (0.0, 1.0) if match["since"] is None else (float(match["since"]), float(match["until"]))
    if max(first, last, until) > 1 or since > until:
        raise fault
    return Schedule(first, last, since, until)


@dataclass(frozen=True)
class Noise:
    """Contexts with noise of one kind and strength, in a share of the examples."""

    share: Schedule
    options: str
    """`corrupt=P`, and `kind=K` where it is not step 1; see `cotasks.prompts.condition`."""


def parse_noise(text: str) -> Noise:
    """`SCHEDULE:corrupt=P[,kind=K]`. Raises InputError where it is something else."""
    share, _, options = text.partition(":")
    condition = parse_condition(f"cotasks:{options}") if options else None
    if condition is None or condition.origin != "corrupted" or re.search("frames|context|boxes=|tokens|seed", options):
        raise InputError(f"noise {text!r}; expected a schedule and its noise, such as 0..0.5:corrupt=0.5,kind=triples")
    return Noise(parse_schedule(share), options)


@dataclass(frozen=True)
class Mix:
    """What examples are told. Tasks without context, the chain, and corrupted ones are left as they are; a model's own
    predictions are told where an answer is asked for, not where a step is, as they name entities in their own way.

    Raises InputError where the shares together exceed 1 at some time.
    """

    noise: tuple[Noise, ...] = ()
    own: Schedule | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        shares = [*(noise.share for noise in self.noise), *([self.own] if self.own else [])]
        for progress in {0.0, 1.0, *(end for share in shares for end in (share.since, share.until))}:
            if (total := sum(share.at(progress) for share in shares)) > 1 + 1e-9:
                raise InputError(f"shares of noise and own predictions: {total:g} together; expected 1 at most")

    def task(self, task: str, record_id: str, step: int, progress: float) -> str:
        """The task as it is told at a step.

        Args:
            task: of `cotasks.training.examples`.
            record_id: of the example.
            step: of the training, from 0.
            progress: share of the training that is done, 0 to 1.
        """
        told = _TOLD.fullmatch(task)
        has_context = STEP_NUMBERS.get(task, 0) > 1
        if not has_context and (told is None or "corrupt=" in task):
            return task
        digest = hashlib.sha256(f"{self.seed}\0{record_id}\0{task}\0{step}".encode()).digest()
        left = int.from_bytes(digest[:8], "big") / 2**64
        if self.own is not None and told is not None:
            left -= self.own.at(progress)
            if left < 0:
                return predicted_task(task) or task
        for noise in self.noise:
            left -= noise.share.at(progress)
            if left < 0:
                seed = int.from_bytes(digest[8:16], "big") % SEEDS
                return f"{task}{',' if ':' in task else ':'}{noise.options},seed={seed}"
        return task


def predicted_task(task: str) -> str | None:
    """The task told a model's own steps in place of the true ones; None where it is told none."""
    told = _TOLD.fullmatch(task)
    return f"{told['blind'] or ''}predicted{told['rest']}" if told and "corrupt=" not in task else None


@dataclass(frozen=True)
class Told:
    """Makes the example of a record as it is told at a step."""

    mix: Mix
    steps: int
    """Of the whole training."""
    options: Mapping[str, Any]
    """Further arguments of `cotasks.training.examples.instructions`."""

    def __call__(
        self, record: Any, task: str, step: int, true: Callable[[], dict[str, Any] | None]
    ) -> dict[str, Any] | None:
        """The example; `true()`, where it is told the true steps, or has no prediction. Named by its task as it was
        asked for."""
        name = self.mix.task(task, record["id"], step, step / self.steps)
        if name == task:
            return true()
        try:
            rows = [*examples_of(instructions(record, (name,), **self.options))]
        except InputError:
            if "corrupt=" in name:
                raise
            return true()
        return {**rows[0], "task": task} if rows else true()


class MixedRows:
    """Examples by (position, step), each told what the mix says; for a DataLoader whose sampler gives such pairs."""

    def __init__(self, rows: Any, records: Any, told: Told) -> None:
        """Args:
        rows: a `datasets.Dataset` of true examples.
        records: a `datasets.Dataset` of the records that they were made of.
        """
        self.rows, self.records, self.told = rows, records, told
        self._places = {id_: place for place, id_ in enumerate(records["id"])}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        position, step = key
        row = self.rows[position]
        if self.told.mix.task(row["task"], row["id"], step, step / self.told.steps) == row["task"]:
            return dict(row)
        return self.told(self.records[self._places[row["id"]]], row["task"], step, lambda: dict(row)) or dict(row)


def parse_weights(texts: Sequence[str], tasks: Sequence[str]) -> dict[str, float]:
    """`TASK=WEIGHT`, each once. Raises InputError where the task is not learned, or the weight no number from 0 on."""
    weights: dict[str, float] = {}
    for text in texts:
        task, _, number = text.rpartition("=")
        if task not in tasks or task in weights or not re.fullmatch(_NUMBER, number, re.ASCII):
            raise InputError(f"weight {text!r}; expected TASK=WEIGHT, each task once, of {', '.join(tasks)}")
        weights[task] = float(number)
    return weights


def repeats(weight: float, seed: int, record_id: str, task: str) -> int:
    """How often an example is met in an epoch: the whole part of its weight, and once more in so many of the records
    as the rest says, always the same ones."""
    whole = int(weight)
    digest = hashlib.sha256(f"weight\0{seed}\0{record_id}\0{task}".encode()).digest()
    return whole + (int.from_bytes(digest[:8], "big") / 2**64 < weight - whole)


def check_mixed(mix: Mix, tasks: Sequence[str]) -> None:
    """Raises InputError where no task of a run has a context that could be mixed."""
    for task in tasks:
        parse_task(task)
    told = [task for task in tasks if _TOLD.fullmatch(task) or (mix.noise and STEP_NUMBERS.get(task, 0) > 1)]
    if (mix.noise or mix.own) and not told:
        raise InputError(
            f"noise or own predictions with tasks {', '.join(tasks)}; expected one that is told steps, such as cotasks "
            f"({CHAIN} is told none)"
        )
