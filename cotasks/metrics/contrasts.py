"""Weighted sums of conditions' scores, and ratios of two of them, with intervals over videos.

A contrast of conditions is computed for each question from the scores that the question has under all the conditions
it names, so that it is paired; questions that lack one of them are left out and counted. Intervals of contrasts are
those of `cotasks.metrics`.

A ratio of two contrasts, such as the share of a gain that is kept, has Fieller's interval (Fieller 1954, "Some problems
in interval estimation") from the videos' linearised sums, with Student's quantile. Where the denominator does not
differ from 0 at the 95% level, the ratio could be anything: it then has no interval, and must not be quoted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cotasks.errors import InputError
from cotasks.judge.judges import verdicts_of
from cotasks.metrics.intervals import CONFIDENCE, Estimate, cluster_estimates, distributions
from cotasks.runs.run import read_run
from cotasks.words.types import ALL, Kind, category_labels, kind_of

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Weights = Mapping[str, float]
"""Condition -> weight."""


@dataclass(frozen=True)
class Scores:
    """What a judge gave, by condition and question."""

    conditions: tuple[str, ...]
    ids: tuple[str, ...]
    """Of the records."""
    video_ids: tuple[str, ...]
    kinds: tuple[Kind, ...]
    """Where each question belongs."""
    values: Floats
    """(conditions, questions), 0 to 100: the mean of a question's scored samples; nan where none is scored."""
    answers: npt.NDArray[np.int64]
    """(conditions, questions): answers that there should be."""
    unscored: npt.NDArray[np.int64]
    """(conditions, questions): those of them without a score."""

    def with_condition(self, name: str, other: Scores) -> Scores:
        """These and, under a name, those of the one condition of another run of the same questions.

        Raises InputError where the questions are others, or there are several conditions.
        """
        if other.ids != self.ids or len(other.conditions) != 1:
            raise InputError(
                f"{name}: a run of other questions, or of {len(other.conditions)} conditions; expected one"
            )
        return dataclasses.replace(
            self,
            conditions=(*self.conditions, name),
            values=np.vstack([self.values, other.values]),
            answers=np.vstack([self.answers, other.answers]),
            unscored=np.vstack([self.unscored, other.unscored]),
        )

    def where(self, keep: Callable[[int], bool]) -> Mask:
        """The questions, by position, for which `keep` holds."""
        return np.array([keep(n) for n in range(len(self.ids))], bool)

    def groups(self) -> dict[str, Mask]:
        """`all`, then each category that occurs, by source; which questions."""
        return {ALL: np.ones(len(self.ids), bool), **category_masks(self.kinds)}


def together(parts: Mapping[str, Scores]) -> Scores:
    """Several runs of the same questions as one, their conditions named `NAME: CONDITION`.

    Args:
        parts: name -> its scores; at least one.

    Raises InputError where one is of other questions.
    """
    first, *others = parts.values()
    for name, part in parts.items():
        if part.ids != first.ids:
            raise InputError(f"{name}: a run of other questions; expected the same ones in each")
    return dataclasses.replace(
        first,
        conditions=tuple(f"{name}: {condition}" for name, part in parts.items() for condition in part.conditions),
        values=np.vstack([part.values for part in (first, *others)]),
        answers=np.vstack([part.answers for part in (first, *others)]),
        unscored=np.vstack([part.unscored for part in (first, *others)]),
    )


def category_masks(kinds: Sequence[Kind]) -> dict[str, Mask]:
    """Label of each category that occurs, by source -> which of the questions, (questions,)."""
    return {
        label: np.array([(kind.group, kind.category) == of for kind in kinds], bool)
        for of, label in category_labels(kinds).items()
    }


def read_scores(folder: Path, judge: str) -> Scores:
    """The verdicts of a judge on a run. Raises InputError as `cotasks.judge.read_run` does."""
    run = read_run(folder)
    ids = tuple(run.questions)
    place = {id_: n for n, id_ in enumerate(ids)}
    row = {condition: n for n, condition in enumerate(run.conditions)}
    shape = len(row), len(ids)
    total, scored = np.zeros(shape), np.zeros(shape, np.int64)
    answers = np.zeros(shape, np.int64)
    for (id_, condition, _), verdict in verdicts_of(run, judge).items():
        if id_ in place:
            at = row[condition], place[id_]
            answers[at] += 1
            if verdict.score is not None:
                scored[at] += 1
                total[at] += verdict.score
    return Scores(
        conditions=tuple(run.conditions),
        ids=ids,
        video_ids=tuple(row["video_id"] for row in run.questions.values()),
        kinds=tuple(map(kind_of, run.questions.values())),
        values=np.divide(total, scored, out=np.full(shape, np.nan), where=scored > 0),
        answers=answers,
        unscored=answers - scored,
    )


def weighted(scores: Scores, weights: Weights) -> Floats:
    """(questions,): the weighted sum of each question's scores; nan where one of them is missing."""
    if not weights:
        return np.full(len(scores.ids), np.nan)
    rows = [scores.conditions.index(condition) for condition in weights]
    return np.asarray(np.array(list(weights.values())) @ scores.values[rows], np.float64)


def estimates(
    columns: Sequence[tuple[Floats, Mask]], video_ids: Sequence[str], lowest: float, highest: float
) -> list[tuple[Estimate, int]]:
    """Means with intervals over videos, and over how many questions each is.

    Args:
        columns: For each mean, values (questions,), nan where there is none, and which questions it is over.
        video_ids: (questions,) the video of each.
        lowest, highest: What a value can be.
    """
    if not columns:
        return []
    names, video = np.unique(np.array(video_ids), return_inverse=True)
    known = [inside & ~np.isnan(values) for values, inside in columns]
    sums = [np.bincount(video[k], values[k], len(names)) for k, (values, _) in zip(known, columns, strict=True)]
    counts = [np.bincount(video[k], minlength=len(names)).astype(np.float64) for k in known]
    members = [[column] for column in range(len(columns))]
    found = cluster_estimates(np.stack(sums, 1), np.stack(counts, 1), members, lowest, highest)
    return [(estimate, int(k.sum())) for estimate, k in zip(found, known, strict=True)]


@dataclass(frozen=True)
class Ratio:
    """One contrast divided by another."""

    value: float | None
    """None where there is no question that both have, or the denominator is 0."""
    low: float | None
    """Lower end of the 95% interval; None where the denominator does not differ from 0, or there is one video only."""
    high: float | None
    questions: int
    videos: int


def ratio(numerator: Floats, denominator: Floats, inside: Mask, video_ids: Sequence[str]) -> Ratio:
    """The ratio of two means over the same questions, with Fieller's interval over videos.

    Args:
        numerator, denominator: (questions,) values; nan where there is none.
        inside: Which questions count.
        video_ids: (questions,) the video of each.
    """
    known = inside & ~np.isnan(numerator) & ~np.isnan(denominator)
    names, video = np.unique(np.array(video_ids)[known], return_inverse=True)
    n, questions = len(names), int(known.sum())
    if not questions:
        return Ratio(None, None, None, 0, 0)
    top, bottom = float(numerator[known].mean()), float(denominator[known].mean())
    value = top / bottom if bottom else None
    if n < 2 or value is None:
        return Ratio(value, None, None, questions, n)
    counts = np.bincount(video, minlength=n)
    shifts = np.stack(
        [
            np.bincount(video, values[known], n) - mean * counts
            for values, mean in ((numerator, top), (denominator, bottom))
        ]
    )
    covariance = shifts @ shifts.T * n / (n - 1) / questions**2
    t = float(distributions().t.ppf((1 + CONFIDENCE) / 2, n - 1))
    # all r with (top - r bottom)^2 <= t^2 Var(top - r bottom): a r^2 - 2 b r + c <= 0
    a = bottom**2 - t**2 * covariance[1, 1]
    b = top * bottom - t**2 * covariance[0, 1]
    c = top**2 - t**2 * covariance[0, 0]
    if a <= 0:
        return Ratio(value, None, None, questions, n)
    half = float(np.sqrt(max(b * b - a * c, 0.0)))
    return Ratio(value, float((b - half) / a), float((b + half) / a), questions, n)


def interval_row(estimate: Estimate, questions: int) -> dict[str, Any]:
    """The fields that a table keeps of an estimate."""
    return {
        "questions": questions,
        "videos": estimate.videos,
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "p_value": estimate.p_value,
        "rough": estimate.rough,
    }
