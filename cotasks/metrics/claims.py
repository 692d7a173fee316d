"""What several differences, or the absence of one, may be claimed to show.

- Holm (1979, "A simple sequentially rejective multiple test procedure"): p values of a family of tests, adjusted so
  that the chance of one false find among them stays below the level, whatever the tests have to do with each other.
- Two one-sided tests (Schuirmann 1987): a difference lies within a margin where both "it is the margin or more below 0"
  and "... above 0" are refused. The first alone shows no worse (non-inferiority). At the level 0.05 this is the same as
  a 90% interval inside the margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cotasks.metrics.intervals import Spreads, deviations, distributions, score_interval

LEVEL = 0.05


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p values, in the same order; None where there is none, which is no test of the family."""
    tests = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for done, (p, place) in enumerate(tests):
        highest = max(highest, min(1.0, (len(tests) - done) * p))
        adjusted[place] = highest
    return adjusted


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference is as good as none."""

    low: float | None
    """Lower end of the 90% interval; None where the difference has no standard error."""
    high: float | None
    p_no_worse: float | None
    """One-sided, of the hypothesis that the difference is -margin or less."""
    p_equivalent: float | None
    """Of the hypothesis that it lies outside -margin to margin: the greater of the two one-sided p values."""

    @property
    def shown(self) -> str:
        """`equivalent`, `no worse` or `neither`, at the level 0.05."""
        if self.p_equivalent is not None and self.p_equivalent < LEVEL:
            return "equivalent"
        return "no worse" if self.p_no_worse is not None and self.p_no_worse < LEVEL else "neither"


def equivalence(mean: float | None, error: float | None, degrees: float | None, margin: float) -> Equivalence:
    """Of a difference of scores, -100 to 100, with the error and degrees of freedom of its `Estimate`.

    Raises ValueError where the margin is not between 0 and 100; MissingExtra without scipy.
    """
    if not 0 < margin < 100:
        raise ValueError(f"margin {margin}; expected points of score between 0 and 100")
    if mean is None or not error or degrees is None:
        return Equivalence(None, None, None, None)
    t = distributions().t
    spreads = Spreads(*(np.array([value]) for value in (mean, error, degrees)))
    below = float(t.sf(deviations(spreads, -margin, -100.0, 100.0)[0], degrees))
    above = float(t.cdf(deviations(spreads, margin, -100.0, 100.0)[0], degrees))
    low, high = score_interval(spreads, -100.0, 100.0, 1 - 2 * LEVEL)[:, 0].tolist()
    return Equivalence(low, high, below, max(below, above))
