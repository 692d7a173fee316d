"""Contrasts of conditions and ratios of them, against independent references."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cotasks.judge.verdicts import Verdict
from cotasks.metrics import means as metrics
from cotasks.metrics.contrasts import Ratio, Scores, estimates, ratio, weighted
from cotasks.studies import ablation
from cotasks.studies.frames import length_groups
from cotasks.studies.rows import differences
from cotasks.words.types import Kind


def scores_of(values: dict[str, list[float]], videos: list[str], categories: list[str] | None = None) -> Scores:
    matrix = np.array(list(values.values()), float)
    answers = np.ones(matrix.shape, np.int64)
    return Scores(
        conditions=tuple(values),
        ids=tuple(f"q{n}" for n in range(len(videos))),
        video_ids=tuple(videos),
        kinds=tuple(Kind("nextqa", category, "CW") for category in categories or ["causal"] * len(videos)),
        values=matrix,
        answers=answers,
        unscored=np.isnan(matrix).astype(np.int64),
    )


def drawn(seed: int, videos: int = 30, each: int = 4, conditions: tuple[str, ...] = ("baseline", "cotasks")) -> Scores:
    generator = np.random.default_rng(seed)
    names = [f"v{n}" for n in range(videos) for _ in range(each)]
    found = {c: list(generator.choice([0.0, 100.0], len(names))) for c in conditions}
    return scores_of(found, names)


def test_a_difference_is_that_of_the_report() -> None:
    scores = drawn(0)
    verdicts = {
        (id_, condition, 0): Verdict(float(scores.values[row, n]), None, False, "")
        for row, condition in enumerate(scores.conditions)
        for n, id_ in enumerate(scores.ids)
    }
    questions = {
        id_: {"video_id": v, "source": "nextqa", "category": "causal", "question_type": "CW"}
        for id_, v in zip(scores.ids, scores.video_ids, strict=True)
    }
    [report] = [
        d for d in metrics.summarise(verdicts, questions, scores.conditions).differences if d.level == "category"
    ]
    [row] = differences(scores, {"gain": {"cotasks": 1.0, "baseline": -1.0}}, {"all": np.ones(120, bool)})
    for name in ("mean", "low", "high", "p_value", "questions", "videos"):
        assert row[name] == pytest.approx(getattr(report, name))


def test_a_question_without_one_of_the_scores_is_left_out() -> None:
    scores = scores_of({"baseline": [0, np.nan, 100, 50], "cotasks": [100, 100, np.nan, 75]}, ["a", "a", "b", "c"])
    found = weighted(scores, {"cotasks": 1.0, "baseline": -1.0})
    np.testing.assert_array_equal(found, [100, np.nan, np.nan, 25])
    [(estimate, questions)] = estimates([(found, np.ones(4, bool))], scores.video_ids, -100, 100)
    assert (estimate.mean, questions, estimate.videos) == (62.5, 2, 2)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=16, max_size=16), min_size=1, max_size=6))
def test_the_shares_of_the_steps_add_up_to_the_gain_of_all(rows: list[list[int]]) -> None:
    names = [ablation.subset_condition(subset) for subset in ablation.subsets()]
    values = {name: [20.0 * row[n] for row in rows] for n, name in enumerate(names)}
    scores = scores_of(values, [f"v{n}" for n in range(len(rows))])
    shares = sum(weighted(scores, ablation.shapley_weights(step)) for step in ablation.STEPS)
    np.testing.assert_allclose(shares, weighted(scores, {"cotasks": 1.0, "baseline": -1.0}), atol=1e-9)


def test_a_step_that_changes_nothing_has_no_share_and_twins_share_alike() -> None:
    names = {subset: ablation.subset_condition(subset) for subset in ablation.subsets()}
    # steps 1 and 2 each tell the same thing; 3 and 4 tell nothing
    values = {name: [100.0 if {1, 2} & set(subset) else 0.0] for subset, name in names.items()}
    scores = scores_of(values, ["v"])
    found = [float(weighted(scores, ablation.shapley_weights(step))[0]) for step in ablation.STEPS]
    assert found == pytest.approx([50, 50, 0, 0])


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits, times, videos, each = 0, 1500, 60, 5
    names = np.repeat(np.arange(videos), each).astype(str).tolist()
    for _ in range(times):
        shift = np.repeat(generator.normal(0, 12, videos), each)  # what the questions of a video have in common
        bottom = 30 + shift + generator.normal(0, 30, videos * each)
        top = 12 + 0.6 * shift + generator.normal(0, 30, videos * each)
        found = ratio(top, bottom, np.ones(len(names), bool), names)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 12 / 30 <= found.high
    assert 0.93 <= hits / times <= 0.97


def test_a_ratio_over_nothing_is_not_quoted() -> None:
    inside, names = np.ones(40, bool), [f"v{n}" for n in range(40)]
    noise = np.random.default_rng(2).normal(0, 10, 40)
    found = ratio(noise + 5, noise - noise.mean() + 0.1, inside, names)
    assert found.value is not None
    assert (found.low, found.high) == (None, None)
    assert ratio(noise, np.zeros(40), inside, names).value is None
    assert ratio(noise, noise, np.zeros(40, bool), names) == Ratio(None, None, None, 0, 0)
    assert ratio(noise[:1], noise[:1], inside[:1], names[:1]) == Ratio(1.0, None, None, 1, 1)


def test_a_ratio_of_a_sum_with_itself_is_exact() -> None:
    values = np.random.default_rng(3).normal(50, 5, 30)
    found = ratio(values, 2 * values, np.ones(30, bool), [f"v{n // 2}" for n in range(30)])
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


@settings(deadline=None)
@given(st.lists(st.floats(0.5, 500), min_size=1, max_size=40))
@example([0.5, 0.53125])
def test_every_clip_is_in_one_third_by_length(seconds: list[float]) -> None:
    found = length_groups(seconds)
    if found:
        np.testing.assert_array_equal(np.sum(list(found.values()), axis=0), 1)
    ends = [np.array(seconds)[mask] for mask in found.values()]
    assert all(a.max() < b.min() for a, b in pairwise(ends))
