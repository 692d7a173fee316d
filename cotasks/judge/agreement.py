"""How far judges agree: with each other, and each with itself when asked again.

- Cohen's kappa (1960; with weights 1968) of two judges: 1 minus the disagreement seen over that expected if each gave
  its own verdicts to answers at random. The quadratic weights are squared differences of the scores.
- Krippendorff's alpha (2011, "Computing Krippendorff's Alpha-Reliability") of any number, answers without some of the
  verdicts included: the expectation is of all verdicts mixed.

Both are 1 for full agreement and 0 for chance; None where every verdict is the same, for then nothing shows that they
would differ where they should.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Literal

from cotasks.errors import InputError
from cotasks.judge.judges import judge_named, judges_of, repeats_of, verdicts_of
from cotasks.judge.llm.settings import local_verdict
from cotasks.judge.rules import EQUAL
from cotasks.judge.verdicts import Verdict
from cotasks.runs.folder import Key
from cotasks.runs.run import Run, read_run

Weights = Literal["none", "linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]

_WEIGHTS: dict[Weights, Callable[[float, float], float]] = {
    "none": lambda a, b: float(a != b),
    "linear": lambda a, b: abs(a - b),
    "quadratic": lambda a, b: (a - b) ** 2,
}


def cohen_kappa(first: Sequence[float], second: Sequence[float], weights: Weights = "none") -> float | None:
    """Cohen's kappa of two judges' verdicts on the same answers; None where it is not defined.

    Raises ValueError where the lengths differ.
    """
    weight = _WEIGHTS[weights]
    pairs, ours, theirs = Counter(zip(first, second, strict=True)), Counter(first), Counter(second)
    seen = sum(weight(a, b) * count for (a, b), count in pairs.items()) * len(first)
    expected = sum(weight(a, b) * ours[a] * theirs[b] for a in ours for b in theirs)
    return 1 - seen / expected if expected else None


def krippendorff_alpha(verdicts: Sequence[Sequence[float | None]], level: Level) -> float | None:
    """Krippendorff's alpha; None where it is not defined.

    Args:
        verdicts: A row for each judge with a verdict on each answer, None where there is none.
        level: What a difference is: `nominal`, any; `ordinal`, the verdicts between; `interval`, the distance.

    Raises ValueError where the rows' lengths differ.
    """
    units = [[v for v in unit if v is not None] for unit in zip(*verdicts, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    totals = Counter(value for unit in units for value in unit)
    count = totals.total()

    def difference(a: float, b: float) -> float:  # of a < b
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        return (sum(n for value, n in totals.items() if a <= value <= b) - (totals[a] + totals[b]) / 2) ** 2

    distances = {(a, b): difference(a, b) for a, b in combinations(sorted(totals), 2)}
    expected = sum(totals[a] * totals[b] * distance for (a, b), distance in distances.items())
    if not expected:
        return None
    seen = 0.0
    for unit in units:
        held = Counter(unit)
        seen += sum(held[a] * held[b] * distances[a, b] for a, b in combinations(sorted(held), 2)) / (len(unit) - 1)
    return 1 - (count - 1) * seen / expected


@dataclass(frozen=True)
class Agreement:
    """Two judges on one run."""

    judges: tuple[str, str]
    answers: int
    """Answers that both have scored; the figures below are of these."""
    left_out: int
    """Answers that not both have scored."""
    same: float | None
    """Share of answers with the same yes or no (`Verdict.correct`); None where there are no answers."""
    kappa: float | None
    """Cohen's, of the yes or no."""
    weighted_kappa: float | None
    """Cohen's with quadratic weights, of the scores."""
    alpha: float | None
    """Krippendorff's for intervals, of the scores."""
    difference: float | None
    """Mean score of the second judge minus that of the first."""


@dataclass(frozen=True)
class Spread:
    """A judge asked again about the same answers."""

    judge: str
    repeats: int
    answers: int
    """Answers with two or more scored repeats; the figures below are of these."""
    deviation: float | None
    """Standard deviation of an answer's score from one repeat to another, over all answers, in points of 100; None
    where there are no answers."""
    moved: float | None
    """Share of answers whose score is not the same in all repeats."""
    flipped: float | None
    """Share of answers whose yes or no is not."""
    alpha: float | None
    """Krippendorff's for intervals, of the repeats' scores."""
    means: tuple[float | None, ...]
    """Mean score of each repeat over the answers that all repeats have scored: how far a whole run's number moves."""


def agreement_of(folder: Path, judges: Sequence[str] | None = None) -> list[Agreement]:
    """`agreement_between` every pair of a run's judges; by default all that it has verdicts of.

    Raises InputError where there are fewer than two, or the run or a verdict file is damaged.
    """
    run = read_run(folder)
    judges = judges_of(folder) if judges is None else list(dict.fromkeys(judges))
    if len(judges) < 2:
        raise InputError(f"{folder}: verdicts of {', '.join(judges) or 'no judge'}; expected two judges or more")
    return agreement_between(run, {judge: verdicts_of(run, judge) for judge in judges})


def agreement_between(run: Run, verdicts: Mapping[str, Mapping[Key, Verdict]]) -> list[Agreement]:
    """Every pair of judges, in the order given; where one of them is a language model, over the answers that say
    something, those that equal a reference included: options, empty answers and refusals are decided by one rule under
    every judge.

    Args:
        run: The run.
        verdicts: {judge: its verdicts as of `judge.verdicts_of`}
    """
    rows = ((key, row.get("answer"), run.questions.get(key[0])) for key, row in run.generations.items())
    local = {key: local_verdict(answer, question) for key, answer, question in rows}
    open_ended = [key for key, verdict in local.items() if verdict is None or verdict.reason == EQUAL]
    found = []
    for first, second in combinations(verdicts, 2):
        keys = list(run.generations) if judge_named(first).is_rule and judge_named(second).is_rule else open_ended
        pairs = [(verdicts[first][key], verdicts[second][key]) for key in keys]
        found.append(compare((first, second), pairs))
    return found


def compare(judges: tuple[str, str], pairs: Sequence[tuple[Verdict, Verdict]]) -> Agreement:
    """How far two judges agree, of their verdicts on the same answers; a person is a judge like any other."""
    both = [(a, b) for a, b in pairs if a.score is not None and b.score is not None]
    scores = [[float(v.score or 0) for v in side] for side in zip(*both, strict=True)] or [[], []]
    yes = [[float(bool(v.correct)) for v in side] for side in zip(*both, strict=True)] or [[], []]
    count = len(both)
    return Agreement(
        judges=judges,
        answers=count,
        left_out=len(pairs) - count,
        same=sum(a == b for a, b in zip(*yes, strict=True)) / count if count else None,
        kappa=cohen_kappa(yes[0], yes[1]),
        weighted_kappa=cohen_kappa(scores[0], scores[1], "quadratic"),
        alpha=krippendorff_alpha(scores, "interval"),
        difference=(sum(scores[1]) - sum(scores[0])) / count if count else None,
    )


def spread_of(folder: Path, judge: str) -> Spread:
    """The spread of a language model's repeats; answers decided without asking it are left out.

    Raises InputError where the run or the verdict file is damaged.
    """
    return spread_in(read_run(folder), judge)


def spread_in(run: Run, judge: str) -> Spread:
    """`spread_of` a run that is read already."""
    found = [list(repeats) for repeats in repeats_of(run, judge).values()]
    most = max(map(len, found), default=0)
    asked = [[v.score for v in repeats] for repeats in found if len(repeats) > 1]
    scored = [[v for v in repeats if v.score is not None] for repeats in found]
    scored = [repeats for repeats in scored if len(repeats) > 1]
    squares = degrees = 0.0
    for repeats in scored:
        scores = [float(v.score or 0) for v in repeats]
        mean = sum(scores) / len(scores)
        squares += sum((score - mean) ** 2 for score in scores)
        degrees += len(scores) - 1
    whole = [scores for scores in asked if len(scores) == most and None not in scores]
    padded = [[*scores, *[None] * (most - len(scores))] for scores in asked]
    return Spread(
        judge=judge,
        repeats=most,
        answers=len(scored),
        deviation=sqrt(squares / degrees) if degrees else None,
        moved=sum(len({v.score for v in r}) > 1 for r in scored) / len(scored) if scored else None,
        flipped=sum(len({v.correct for v in r}) > 1 for r in scored) / len(scored) if scored else None,
        alpha=krippendorff_alpha([list(row) for row in zip(*padded, strict=True)], "interval"),
        means=tuple(sum(s or 0 for s in row) / len(whole) for row in zip(*whole, strict=True)) if whole else (),
    )
