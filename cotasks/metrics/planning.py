"""How many videos it takes to show a difference, before a run.

A paired difference over N videos with m questions each has the variance s^2 (1 + (m' - 1) ICC) / (N m): s is the
standard deviation of a question's difference, ICC the share of its variance between videos, and m' = m (1 + v^2) counts
videos of unequal size, whose numbers of questions have the coefficient of variation v (Kish's design effect). The least
difference that a two-sided test at the level 0.05 finds with a power is then the sum of Student's two quantiles, times
the root of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cotasks.errors import InputError
from cotasks.metrics.contrasts import Scores, weighted
from cotasks.metrics.intervals import CONFIDENCE, Floats, distributions

MOST_VIDEOS = 10_000_000
"""Beyond which a plan says that no number of videos will do."""


@dataclass(frozen=True)
class Design:
    """What a plan rests on."""

    deviation: float
    """Standard deviation of a question's difference between two conditions, in points of 100."""
    icc: float
    """Share of that variance between videos, 0 to 1."""
    questions: float
    """Of a video, on average."""
    unevenness: float
    """Standard deviation of the videos' numbers of questions, by their mean."""
    mean: float | None = None
    """Of the baseline's scores, 0 to 100, where it is known."""

    def error(self, videos: int) -> float:
        """Standard error of the difference over so many videos."""
        effect = 1 + (max(self.questions * (1 + self.unevenness**2), 1) - 1) * self.icc
        return self.deviation * float(np.sqrt(effect / (videos * self.questions)))


def stated(mean: float, correlation: float, icc: float, questions: float) -> Design:
    """The design of right-or-wrong answers with these figures.

    Args:
        mean: Of either condition's scores, 0 to 100.
        correlation: Of the two conditions' scores of one question, below 1.
        icc: Share of the difference's variance between videos.
        questions: Of a video.

    Raises InputError where one is out of its range.
    """
    ranges = {"mean": (mean, 0, 100), "correlation": (correlation, -1, 1), "icc": (icc, 0, 1)}
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high or (name != "icc" and value in (low, high)):
            raise InputError(f"{name} {value:g}; expected a number between {low} and {high}")
    if not questions > 0:
        raise InputError(f"questions {questions:g}; expected a number of questions a video above 0")
    return Design(float(np.sqrt(2 * mean * (100 - mean) * (1 - correlation))), icc, questions, 0.0, mean)


def piloted(scores: Scores, condition: str, baseline: str) -> Design:
    """The design that a run's verdicts show, of the questions that both conditions have scored.

    Raises InputError where a condition is not in the run, or fewer than two videos have such questions.
    """
    for name in (condition, baseline):
        if name not in scores.conditions:
            raise InputError(f"no condition {name!r} in the run; it has {', '.join(scores.conditions)}")
    values = weighted(scores, {condition: 1.0, baseline: -1.0})
    known = ~np.isnan(values)
    names, video = np.unique(np.array(scores.video_ids)[known], return_inverse=True)
    if len(names) < 2:
        raise InputError(f"{len(names)} videos with questions that {condition} and {baseline} have scored; expected 2")
    counts = np.bincount(video).astype(np.float64)
    return Design(
        deviation=float(values[known].std(ddof=1)),
        icc=intraclass_correlation(values[known], video),
        questions=float(counts.mean()),
        unevenness=float(counts.std() / counts.mean()),
        mean=float(scores.values[scores.conditions.index(baseline)][known].mean()),
    )


def intraclass_correlation(values: Floats, groups: Sequence[int] | npt.NDArray[np.integer[Any]]) -> float:
    """Share of the variance between groups, 0 to 1, by analysis of variance (Donner and Koval 1980); 0 where every
    group has one value, which shows nothing of it.

    Args:
        values: (values,)
        groups: (values,) the number of each value's group, from 0.
    """
    of = np.asarray(groups, np.int64)
    counts = np.bincount(of).astype(np.float64)
    n, k = counts.sum(), len(counts)
    if k < 2 or n == k:
        return 0.0
    means = np.bincount(of, values) / counts
    between = (counts * (means - values.mean()) ** 2).sum() / (k - 1)
    within = ((values - means[of]) ** 2).sum() / (n - k)
    size = (n - (counts**2).sum() / n) / (k - 1)
    total = between + (size - 1) * within
    return float(np.clip((between - within) / total, 0, 1)) if total > 0 else 0.0


def least_difference(design: Design, videos: int, power: float) -> float:
    """The least true difference, in points of 100, that so many videos find significant with this power.

    Raises InputError where videos or power are out of their range; MissingExtra without scipy.
    """
    if videos < 2:
        raise InputError(f"videos {videos}; expected 2 or more")
    if not 0.5 <= power < 1:
        raise InputError(f"power {power:g}; expected a number from 0.5 to below 1")
    t = distributions().t
    return float((t.ppf((1 + CONFIDENCE) / 2, videos - 1) + t.ppf(power, videos - 1)) * design.error(videos))


def videos_needed(design: Design, difference: float, power: float) -> int | None:
    """The fewest videos that find this difference with this power; None where there are none of a sensible number.

    Raises InputError where the difference is not between 0 and 100.
    """
    if not 0 < difference < 100:
        raise InputError(f"difference {difference:g}; expected points of score between 0 and 100")
    low, high = 1, 2  # low is too few
    while least_difference(design, high, power) > difference:
        low, high = high, 2 * high
        if high > MOST_VIDEOS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if least_difference(design, middle, power) > difference else (low, middle)
    return high


def with_stated(design: Design, icc: float | None, questions: float | None) -> Design:
    """A pilot's design with figures that its user knows better. Raises InputError where one is out of its range."""
    if icc is not None and not 0 <= icc <= 1:
        raise InputError(f"icc {icc:g}; expected a number between 0 and 1")
    if questions is not None and not questions > 0:
        raise InputError(f"questions {questions:g}; expected a number of questions a video above 0")
    changes = {"icc": icc, "questions": questions}
    return replace(design, **{name: value for name, value in changes.items() if value is not None})
