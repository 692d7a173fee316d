"""Means with intervals and p values, where videos are the units.

One method gives both, chosen by simulated coverage (`tests/benchmarks/coverage.py`; its table is in
`examples/statistics.md`):

- The standard error is cluster-robust, CR2 (Bell and McCaffrey 2002, "Bias reduction in standard errors for linear
  regression with multi-stage samples"): each video's share of the questions inflates its residual.
- Student's quantile takes Satterthwaite's degrees of freedom from the videos' numbers of questions, and fewer where few
  videos hold most of the spread: of the videos' contributions with kurtosis k, at most 2 n / (k - (n - 3) / (n - 1)),
  for that is how well they tell their own variance.
- The interval is the score interval of a bounded mean (Wilson 1927, with the effective number of questions of Korn and
  Graubard 1998): all values v that the test with the error expected at v does not refuse. Far from the ends of the
  scale it is Student's, near them it is skewed and stays inside. The p value is that test's, so that it is below 0.05
  where the 95% interval leaves out the value.
- `constant`, where all videos have the same mean v: nothing shows a spread, but with 95% confidence at most the share
  q = 1 - 0.05 ** (1 / videos) of videos differs (the "rule of three"), so that the mean lies between
  v - q (v - lowest score) and v + q (highest score - v). Its p value is the sign test's.
- None with a single video.

No method holds 95% where next to nothing was seen. `Estimate.rough` marks the intervals where the simulated coverage
leaves 93% to 97%; `FEW_COUNTS` and `FEW_DEGREES` say when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cotasks.errors import MissingExtra

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CONFIDENCE = 0.95

FEW_COUNTS = 6.0
"""A mean's interval is rough below so many answers, counted as independent ones, at the rarer end of the scale."""

FEW_DEGREES = 9.0
"""A difference's interval is rough below so many degrees of freedom, those of ten videos that differ alike."""

Method = Literal["score", "constant"]


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval."""

    mean: float | None
    """None where nothing is scored, or a category of a macro mean is without a score."""
    low: float | None
    """Lower end of the interval; None with a single video."""
    high: float | None
    """Upper end of the interval; None with a single video."""
    method: Method | None
    """How the interval was made; see the module."""
    videos: int
    """Videos with a scored question; for a macro mean, those of the category with the fewest."""
    p_value: float | None
    """Two-sided, of the hypothesis that the mean is 0; None where there is no interval, or 0 is an end of the scale."""
    error: float | None = None
    """Standard error; None with `constant`, or without an interval."""
    degrees: float | None = None
    """Degrees of freedom of Student's quantile; None where there is no `error`."""
    rough: bool = False
    """Whether the interval's simulated coverage may lie outside 93% to 97%."""


@dataclass(frozen=True)
class Spreads:
    """How well means are known, each an array (estimates,)."""

    means: Floats
    errors: Floats
    degrees: Floats


def distributions() -> Any:
    """`scipy.stats`, loaded when first needed: 0.3 s. Raises MissingExtra without scipy."""
    try:
        from scipy import stats
    except ImportError:
        raise MissingExtra("scipy", "report") from None
    return stats


def spreads_of(means: Floats, shares: Floats, leverages: Floats, working: Floats) -> Spreads:
    """Errors and degrees of freedom of means from what each video adds to them.

    Args:
        means: (estimates,)
        shares: (videos, estimates), how much a video moves the mean: its residuals' sum by the number of questions.
        leverages: (videos, estimates), 0 to 1: its share of the questions. CR2 divides by the root of the rest.
        working: (videos, estimates), the variance of a video's share but for a factor, if all questions were
            independent and varied alike.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = shares / np.sqrt(1 - leverages)
        errors = np.sqrt((moved**2).sum(axis=0))
        designed = working.sum(axis=0) ** 2 / (working**2).sum(axis=0) - 1
        n = (working > 0).sum(axis=0)
        kurtosis = n * (moved**4).sum(axis=0) / (moved**2).sum(axis=0) ** 2
        seen = 2 * n / (kurtosis - (n - 3) / (n - 1))
    degrees = np.fmin(designed, np.where(seen > 0, seen, np.nan))
    return Spreads(means, errors, np.fmax(degrees, 1.0))


def score_interval(spreads: Spreads, lowest: float, highest: float, confidence: float = CONFIDENCE) -> Floats:
    """(2, estimates): the ends of the score intervals of means of values between `lowest` and `highest`.

    Means of errors 0 are their own ends. Raises MissingExtra without scipy.
    """
    width = highest - lowest
    p, error = np.clip((spreads.means - lowest) / width, 0, 1), spreads.errors / width
    t2 = distributions().t.ppf((1 + confidence) / 2, spreads.degrees) ** 2
    # all v with (p - v)^2 <= t^2 v (1 - v) / n, where n = p (1 - p) / error^2 is the effective number of questions
    room = p * (1 - p)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        weight = np.where(error > 0, t2 * error**2 / room, 0.0)  # t^2 / n
    weight = np.fmin(np.where(np.isnan(weight), np.inf, weight), 1e12)  # from where on it is the whole scale
    middle = (p + weight / 2) / (1 + weight)
    half = np.sqrt(weight * (room + weight / 4)) / (1 + weight)
    return lowest + width * np.clip(np.stack([middle - half, middle + half]), 0, 1)


def deviations(spreads: Spreads, null: float, lowest: float, highest: float) -> Floats:
    """(estimates,): how far each mean lies from `null`, in errors expected there: the statistic of the score test, to
    be compared with Student's distribution. nan where `null` does not lie between `lowest` and `highest`, or nothing
    spreads."""
    width = highest - lowest
    p, error, v = (spreads.means - lowest) / width, spreads.errors / width, (null - lowest) / width
    if not 0 < v < 1:
        return np.full(len(p), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (p - v) / (error * np.sqrt(v * (1 - v) / (p * (1 - p))))
    return np.where(error > 0, found, np.nan)


def counts_at_the_rarer_end(spreads: Spreads, lowest: float, highest: float) -> Floats:
    """(estimates,): of the effective number of questions, those that would be at the rarer end of the scale, if all
    were at its ends: 100 independent answers of which 3 are right count 3."""
    p, error = (spreads.means - lowest) / (highest - lowest), spreads.errors / (highest - lowest)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.minimum(p, 1 - p) * p * (1 - p) / error**2, np.float64)


def cluster_estimates(
    sums: Floats, counts: Floats, members: Sequence[Sequence[int]], lowest: float, highest: float
) -> list[Estimate]:
    """Means with intervals, where videos are the units.

    Args:
        sums: (videos, columns), the sum of the scores of a video's questions in a column (a subset of
            questions).
        counts: (videos, columns), how many questions that is.
        members: For each estimate, the columns whose means it averages: one, or the categories of a
            macro mean.
        lowest: The lowest score there can be; intervals stay above it.
        highest: The highest score there can be.

    Raises MissingExtra without scipy.
    """
    stats = distributions()
    if not members:
        return []
    of = np.zeros((sums.shape[1], len(members)))  # (columns, estimates): a column's weight in an estimate
    for place, columns in enumerate(members):
        of[list(columns), place] = 1 / len(columns)
    videos = (counts > 0).sum(axis=0)  # (columns,)
    totals = counts.sum(axis=0)
    means = np.divide(sums.sum(axis=0), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    shares = (sums - np.nan_to_num(means) * counts) / np.maximum(totals, 1)
    leverages = counts / np.maximum(totals, 1)
    constant = np.abs(shares).max(axis=0, initial=0) < 1e-12 * (highest - lowest)
    working = counts / np.maximum(totals, 1) ** 2  # of independent questions
    share = 1 - (1 - CONFIDENCE) ** (1 / np.maximum(videos, 1))  # that may differ although none was seen to
    with np.errstate(divide="ignore", invalid="ignore"):  # a column of one video has no interval
        moved = np.where(leverages < 1, shares / np.sqrt(1 - leverages), 0.0)
    at = [list(columns) for columns in members]
    averages = np.array([means[columns].mean() for columns in at])
    spreads = spreads_of(averages, moved @ of, np.zeros((len(sums), len(at))), working @ of**2)
    # a category in which no video differs adds half of what the rule of three allows it, else it would seem certain
    unseen = np.where(constant, share * np.nan_to_num(np.fmax(means - lowest, highest - means)) / 2, 0.0)
    spreads = replace(spreads, errors=np.sqrt(spreads.errors**2 + unseen**2 @ of**2))
    low, high = score_interval(spreads, lowest, highest)
    p_values = 2 * stats.t.sf(np.abs(deviations(spreads, 0.0, lowest, highest)), spreads.degrees)
    alone = _rough(spreads_of(means, shares, leverages, working), lowest, highest)
    rough = _rough(spreads, lowest, highest) | np.array([bool(alone[columns].any()) for columns in at])

    estimates = []
    for place, columns in enumerate(at):
        n = int(videos[columns].min())
        mean = float(averages[place])
        if n == 0:
            estimates.append(Estimate(None, None, None, None, 0, None))
        elif n == 1:
            estimates.append(Estimate(mean, None, None, None, 1, None))
        elif constant[columns].all():
            below = float((means - share * (means - lowest))[columns].mean())
            above = float((means + share * (highest - means))[columns].mean())
            p_value = min(1.0, 2 * 0.5**n) if abs(mean) > 1e-12 else 1.0  # the sign test's
            tested = p_value if lowest < 0 < highest else None
            estimates.append(Estimate(mean, below, above, "constant", n, tested, rough=True))
        else:
            tested = None if np.isnan(p_values[place]) else float(p_values[place])
            error, degrees = float(spreads.errors[place]), float(spreads.degrees[place])
            ends = float(low[place]), float(high[place])
            estimates.append(Estimate(mean, *ends, "score", n, tested, error, degrees, bool(rough[place])))
    return estimates


def _rough(spreads: Spreads, lowest: float, highest: float) -> Bools:
    """(estimates,): whether coverage may lie outside 93% to 97%: of a mean, few answers at an end of the scale; of a
    difference, few degrees of freedom. Of a macro mean, where that of a category is."""
    if lowest < 0 < highest:
        return np.asarray(spreads.degrees < FEW_DEGREES, np.bool_)
    return ~(counts_at_the_rarer_end(spreads, lowest, highest) >= FEW_COUNTS)
