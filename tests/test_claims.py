"""Holm's adjustment and the tests of equivalence, against their definitions and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.metrics.claims import equivalence, holm
from cotasks.metrics.intervals import cluster_estimates


def test_holm_against_the_example_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx([0.03, None, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_refuses_what_its_steps_refuse(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    left, refused = sorted(range(len(p_values)), key=lambda place: p_values[place]), set()
    while left and p_values[left[0]] * len(left) < 0.05:
        refused.add(left.pop(0))
    assert {place for place, p in enumerate(adjusted) if p is not None and p < 0.05} == refused
    assert all(p is not None and p >= own for p, own in zip(adjusted, p_values, strict=True))


def test_equivalence_is_a_90_percent_interval_within_the_margin() -> None:
    generator = np.random.default_rng(1)
    sums = generator.normal(0, 6, (40, 300)) + generator.normal(0, 1, 300)
    found = cluster_estimates(sums, np.ones((40, 300)), [[c] for c in range(300)], -100, 100)
    shown = [equivalence(e.mean, e.error, e.degrees, 2.0) for e in found]
    assert 50 < sum(e.shown == "equivalent" for e in shown) < 250
    for e in shown:
        assert e.low is not None
        assert e.high is not None
        assert (e.shown == "equivalent") == (e.low > -2 and e.high < 2)
        assert (e.shown != "neither") == (e.low > -2)


def test_a_true_loss_of_the_margin_is_called_equivalent_one_time_in_twenty() -> None:
    sums = np.random.default_rng(2).normal(-2, 10, (60, 1500))
    found = cluster_estimates(sums, np.ones((60, 1500)), [[c] for c in range(1500)], -100, 100)
    assert 0.035 < np.mean([equivalence(e.mean, e.error, e.degrees, 2.0).shown != "neither" for e in found]) < 0.065


def test_what_has_no_error_shows_nothing() -> None:
    assert equivalence(0.0, None, None, 2.0).shown == "neither"
    with pytest.raises(ValueError, match="between 0 and 100"):
        equivalence(0.0, 1.0, 9.0, 0.0)
