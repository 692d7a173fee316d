"""Means and differences of a judge's scores, corrected by what people said of a random part of the answers.

Prediction-powered inference (Angelopoulos and others 2023) with power tuning (PPI++, 2023): a judge scored all answers,
f, people a part of them, y. The corrected mean is

    mean of y over the labelled + T (mean of f over all - mean of f over the labelled)

Whatever the judge's bias is, it cancels; the better the judge foretells people, the less of the labels' noise is left.
T, between 0 and 1, is the one with the least variance: 0 gives the labels alone, 1 the judge's mean moved by its mean
error. A difference is that of two corrected means.

The video is the unit, as in `metrics.intervals`, whose CR2 errors, degrees of freedom and score interval are used on
what each video adds to the corrected mean; the labelled are a part of all, and what they share with them is in it.
Labels have weights, 1 by their chance of being drawn. `ppi-python` has no clusters, so that this is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cotasks.metrics.intervals import (
    FEW_COUNTS,
    FEW_DEGREES,
    Estimate,
    Floats,
    Spreads,
    counts_at_the_rarer_end,
    deviations,
    distributions,
    score_interval,
    spreads_of,
)

LEAST_VIDEOS = 3
"""Labelled videos below which nothing is corrected: there is no spread to tune by."""


@dataclass(frozen=True)
class Scored:
    """The answers under one condition."""

    judged: Floats
    """(answers,) the judge's scores, 0 to 100."""
    labels: Floats
    """(answers,) people's, 0 to 100; nan where there is none."""
    weights: Floats
    """(answers,) of the labels."""
    videos: Sequence[str]
    """(answers,) the video of each."""


@dataclass(frozen=True)
class Corrected:
    """A mean, or a difference of two, by people alone and corrected by them."""

    estimate: Estimate
    """The corrected one."""
    alone: Estimate
    """That of the labels alone."""
    tuning: float | None
    """T, 0 to 1; None of a difference, which has two."""
    labels: int
    """Labelled answers; of a difference, of both conditions."""


@dataclass(frozen=True)
class _Linear:
    """A mean and what each video adds to it."""

    mean: float
    shares: dict[str, float]
    leverages: dict[str, float]
    working: dict[str, float]
    labelled: frozenset[str]
    """Videos with a label."""


def corrected_mean(scored: Scored) -> Corrected | None:
    """The corrected mean of one condition, 0 to 100; None with labels of fewer than `LEAST_VIDEOS` videos.

    Raises MissingExtra without scipy.
    """
    if _labelled_videos(scored) < LEAST_VIDEOS:
        return None
    tuning = _tuning(scored)
    estimates = [_estimate([(1.0, _linear(scored, t))], 0.0) for t in (tuning, 0.0)]
    return Corrected(estimates[0], estimates[1], tuning, _count(scored))


def corrected_difference(ours: Scored, base: Scored) -> Corrected | None:
    """The difference of two conditions' corrected means, paired by video; None where one of them has none.

    Raises MissingExtra without scipy.
    """
    if min(_labelled_videos(ours), _labelled_videos(base)) < LEAST_VIDEOS:
        return None
    pairs = [
        [(1.0, _linear(ours, a)), (-1.0, _linear(base, b))] for a, b in ((_tuning(ours), _tuning(base)), (0.0, 0.0))
    ]
    estimates = [_estimate(pair, -100.0) for pair in pairs]
    return Corrected(estimates[0], estimates[1], None, _count(ours) + _count(base))


def _count(scored: Scored) -> int:
    return int((~np.isnan(scored.labels)).sum())


def _labelled_videos(scored: Scored) -> int:
    return len(set(np.array(scored.videos)[~np.isnan(scored.labels)]))


def _parts(scored: Scored) -> tuple[Any, Floats, Floats, Floats]:
    """(names of videos, what each adds to the labels' mean, what it adds to the correction, weights by answer)."""
    labelled = ~np.isnan(scored.labels)
    weights = np.where(labelled, scored.weights, 0.0)
    weights = weights / weights.sum()
    labels = np.where(labelled, scored.labels, 0.0)
    names, video = np.unique(np.array(scored.videos), return_inverse=True)
    said = np.asarray(np.bincount(video, weights * (labels - weights @ labels)), np.float64)
    everywhere = (scored.judged - scored.judged.mean()) / len(video)
    moved = everywhere - weights * (scored.judged - weights @ scored.judged)
    correction = np.asarray(np.bincount(video, moved), np.float64)
    return names, said, correction, weights


def _tuning(scored: Scored) -> float:
    """T with the least variance; of the labels' mean plus T corrections, 0 where the judge says the same of all."""
    _, said, correction, _ = _parts(scored)
    square = float(correction @ correction)
    return float(np.clip(-(said @ correction) / square, 0, 1)) if square > 0 else 0.0


def _linear(scored: Scored, tuning: float) -> _Linear:
    names, said, correction, weights = _parts(scored)
    video = np.unique(np.array(scored.videos), return_inverse=True)[1]
    labels = np.where(weights > 0, scored.labels, 0.0)
    mean = weights @ labels + tuning * (scored.judged.mean() - weights @ scored.judged)
    leverages = np.bincount(video, weights)
    working = np.bincount(video, weights**2 + (tuning / len(video)) ** 2)
    n = int((leverages > 0).sum())
    # T was fitted to the same videos: as of a regression, one degree less
    shares = (said + tuning * correction) * np.sqrt((n - 1) / (n - 2) if tuning else 1.0)
    of = [dict(zip(names.tolist(), column.tolist(), strict=True)) for column in (shares, leverages, working)]
    return _Linear(float(mean), of[0], of[1], of[2], frozenset(names[leverages > 0].tolist()))


def _estimate(parts: Sequence[tuple[float, _Linear]], lowest: float) -> Estimate:
    """The weighted sum of means, with its interval between `lowest` and 100."""
    names = sorted({name for _, part in parts for name in part.shares})

    def column(sign: bool, field: str) -> Floats:
        rows = [[(w if sign else 1.0) * getattr(part, field).get(name, 0.0) for name in names] for w, part in parts]
        return np.array(rows)

    mean = np.array([sum(weight * part.mean for weight, part in parts)])
    shares = column(True, "shares").sum(axis=0)
    leverages = np.minimum(column(False, "leverages").max(axis=0), 1 - 1e-9)
    working = column(False, "working").sum(axis=0)
    spreads = spreads_of(mean, shares[:, None], leverages[:, None], working[:, None])
    videos = len(frozenset().union(*(part.labelled for _, part in parts)))
    if not spreads.errors[0] > 0:  # all labels alike: nothing shows a spread
        return Estimate(float(np.clip(mean[0], lowest, 100)), None, None, None, videos, None, rough=True)
    spreads = _inside(spreads, lowest)
    low, high = score_interval(spreads, lowest, 100.0)[:, 0].tolist()
    p_value = None
    if lowest < 0:
        p_value = float(2 * distributions().t.sf(abs(deviations(spreads, 0.0, lowest, 100.0)[0]), spreads.degrees[0]))
    few = spreads.degrees[0] < FEW_DEGREES
    rough = bool(few or (lowest == 0 and not counts_at_the_rarer_end(spreads, lowest, 100.0)[0] >= FEW_COUNTS))
    error, degrees = float(spreads.errors[0]), float(spreads.degrees[0])
    return Estimate(float(np.clip(mean[0], lowest, 100)), low, high, "score", videos, p_value, error, degrees, rough)


def _inside(spreads: Spreads, lowest: float) -> Spreads:
    """The same with means a hair inside the scale: a corrected mean can pass its end, where no error is to be had."""
    hair = 1e-3 * (100.0 - lowest)
    return replace(spreads, means=np.clip(spreads.means, lowest + hair, 100.0 - hair))
