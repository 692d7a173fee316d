"""Means with intervals, resampled by video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cotasks.errors import MissingExtra

Floats = npt.NDArray[np.float64]


CONFIDENCE = 0.95


FEW_VIDEOS = 20
"""Below so many videos the interval is Student's, from there on the bootstrap's."""


RESAMPLES = 9999


SEED = 0


Method = Literal["bootstrap", "t", "constant"]


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
    """Two-sided, of the hypothesis that the mean is 0; None where there is no interval."""


def distributions() -> Any:
    """`scipy.stats`, loaded when first needed: 0.3 s. Raises MissingExtra without scipy."""
    try:
        from scipy import stats
    except ImportError:
        raise MissingExtra("scipy", "report") from None
    return stats


def cluster_estimates(
    sums: Floats,
    counts: Floats,
    members: Sequence[Sequence[int]],
    lowest: float,
    highest: float,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[Estimate]:
    """Means with intervals, where videos are the units.

    Args:
        sums: (videos, columns), the sum of the scores of a video's questions in a column (a subset of
            questions).
        counts: (videos, columns), how many questions that is.
        members: For each estimate, the columns whose means it averages: one, or the categories of a
            macro mean.
        lowest: The lowest score there can be; intervals are cut at it.
        highest: The highest score there can be.
        resamples: Of the bootstrap.
        seed: Of the bootstrap; the same seed gives the same intervals.

    Raises MissingExtra without scipy.
    """
    stats = distributions()
    videos = (counts > 0).sum(axis=0)  # (columns,)
    totals = counts.sum(axis=0)
    means = np.divide(sums.sum(axis=0), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    # (videos, columns): how much each video moves its column's mean
    influence = (sums - np.nan_to_num(means) * counts) / np.maximum(totals, 1)
    influence *= np.sqrt(videos / np.maximum(videos - 1, 1))
    constant = np.abs(influence).max(axis=0, initial=0) < 1e-12 * (highest - lowest)
    share = 1 - (1 - CONFIDENCE) ** (1 / np.maximum(videos, 1))  # that may differ although none was seen to

    fewest = [int(min(videos[m] for m in columns)) for columns in members]
    booted = [n >= FEW_VIDEOS and not constant[list(m)].all() for n, m in zip(fewest, members, strict=True)]
    replicates = _resampled_means(sums, counts, resamples, seed) if any(booted) else np.empty((0, 0))

    estimates = []
    for columns, n, boot in zip(map(list, members), fewest, booted, strict=True):
        if n == 0:
            estimates.append(Estimate(None, None, None, None, 0, None))
            continue
        mean = float(means[columns].mean())
        if n == 1:
            estimates.append(Estimate(mean, None, None, None, 1, None))
            continue
        error = float(np.sqrt((influence[:, columns].mean(axis=1) ** 2).sum()))
        p_value = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else 1.0
        width = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
        method: Method
        if constant[columns].all():
            method = "constant"
            low = float((means - share * (means - lowest))[columns].mean())
            high = float((means + share * (highest - means))[columns].mean())
            p_value = min(1.0, 2 * 0.5**n) if abs(mean) > 1e-12 else 1.0  # the sign test's
        elif boot:
            method = "bootstrap"
            tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * width)
            low, high = np.nanquantile(replicates[:, columns].mean(axis=1), [tail, 1 - tail]).tolist()
        else:
            method = "t"
            low, high = mean - width * error, mean + width * error
        estimates.append(Estimate(mean, float(max(low, lowest)), float(min(high, highest)), method, n, p_value))
    return estimates


def _resampled_means(sums: Floats, counts: Floats, resamples: int, seed: int) -> Floats:
    """(resamples, columns): the columns' means over videos drawn with replacement; nan where none was
    drawn.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    videos = len(sums)
    block = max(1, 2_000_000 // videos)  # bounds the memory of one block of weights
    replicates = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(videos, size=(rows, videos)) + np.arange(rows)[:, None] * videos
        weights = np.bincount(drawn.ravel(), minlength=rows * videos).reshape(rows, videos).astype(np.float64)
        with np.errstate(invalid="ignore"):
            replicates.append((weights @ sums) / (weights @ counts))
    return np.concatenate(replicates)
