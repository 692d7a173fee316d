"""Means, intervals and paired differences, against closed forms, scipy and simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cotasks.judge.verdicts import Verdict
from cotasks.metrics.intervals import Estimate, cluster_estimates
from cotasks.metrics.means import Difference, Mean, Summary, summarise
from cotasks.runs.folder import Key
from cotasks.words.types import NEXTQA, STAR
from tests.examples import examples

Floats = npt.NDArray[np.float64]

UNSCORED = Verdict(None, None, False, "failed")


def verdict(score: float, unreadable: bool = False) -> Verdict:
    return Verdict(score, score == 100, unreadable, "")


def columns(sums: Floats, counts: Floats) -> list[Estimate]:
    return cluster_estimates(sums, counts, [[c] for c in range(sums.shape[1])], 0, 100)


def clustered(videos: int, sets: int, seed: int) -> tuple[Floats, Floats]:
    """Right or wrong answers whose chance of being right differs from video to video; the mean is 60.

    Returns (sums, counts), each (videos, sets): so many independent data sets, one a column.
    """
    generator = np.random.default_rng(seed)
    counts = 1 + generator.poisson(3, (videos, sets))
    right = generator.binomial(counts, generator.beta(1.8, 1.2, (videos, sets)))
    return np.asarray(100 * right, np.float64), np.asarray(counts, np.float64)


def test_one_question_a_video_gives_wilsons_interval() -> None:
    """With right or wrong answers of one question a video: Wilson's, with Student's quantile for the normal one."""
    scores = np.repeat([0.0, 100], [12, 28])
    estimate = columns(scores[:, None], np.ones((40, 1)))[0]
    t = stats.t.ppf(0.975, 39)
    n = 40 - 1  # CR2 divides by n - 1: 39 effective questions
    centre, half = (0.7 + t**2 / 2 / n) / (1 + t**2 / n), t * np.sqrt(0.21 / n + t**2 / 4 / n**2) / (1 + t**2 / n)
    assert (estimate.method, estimate.videos, estimate.rough) == ("score", 40, False)
    assert estimate.mean == pytest.approx(70)
    assert (estimate.low, estimate.high) == pytest.approx((100 * (centre - half), 100 * (centre + half)))
    assert estimate.error == pytest.approx(stats.sem(scores))


def test_far_from_the_ends_it_is_students_interval() -> None:
    scores = np.random.default_rng(5).uniform(45, 55, 30)
    estimate = columns(scores[:, None], np.ones((30, 1)))[0]
    low, high = stats.t.interval(0.95, 29, scores.mean(), stats.sem(scores))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.01)


def test_one_question_a_video_gives_the_paired_test() -> None:
    generator = np.random.default_rng(5)
    base = generator.uniform(0, 100, 30)
    ours = np.clip(base + generator.uniform(-8, 12, 30), 0, 100)
    estimate = cluster_estimates((ours - base)[:, None], np.ones((30, 1)), [[0]], -100, 100)[0]
    reference = stats.ttest_rel(ours, base)
    assert estimate.error == pytest.approx(abs((ours - base).mean() / reference.statistic))
    assert estimate.p_value == pytest.approx(reference.pvalue, rel=0.1)


def test_the_standard_error_against_cr2_in_closed_form() -> None:
    """Bell and McCaffrey's matrices, written out for a regression on a constant."""
    sums, counts = np.array([200.0, 0, 300, 100]), np.array([2, 1, 5, 4])
    total, mean = counts.sum(), sums.sum() / counts.sum()
    hat = np.full((total, total), 1 / total)
    meat, parts = 0.0, np.split(np.arange(total), np.cumsum(counts)[:-1])
    for part, s, n in zip(parts, sums, counts, strict=True):
        values, vectors = np.linalg.eigh(np.eye(n) - hat[np.ix_(part, part)])
        adjusted = vectors @ np.diag(values**-0.5) @ vectors.T @ np.full(n, s / n - mean)
        meat += adjusted.sum() ** 2
    estimate = columns(sums[:, None], counts[:, None].astype(np.float64))[0]
    assert estimate.error == pytest.approx(np.sqrt(meat) / total)
    assert estimate.degrees is not None
    assert 1 <= estimate.degrees <= 144 / 46 - 1  # 144 / 46 videos of equal size would tell as much


def test_interval_and_p_value_are_one_test() -> None:
    """p is below 0.05 exactly where the interval leaves out 0; the same on a shifted scale is a mean, without p."""
    generator = np.random.default_rng(7)
    sums = generator.normal(6, 25, (12, 400)).clip(-90, 90)
    found = cluster_estimates(sums, np.ones((12, 400)), [[c] for c in range(400)], -100, 100)
    outside = [e.low is not None and e.high is not None and (e.low > 0 or e.high < 0) for e in found]
    assert 20 < sum(outside) < 380
    assert outside == [e.p_value is not None and e.p_value < 0.05 for e in found]
    scores = cluster_estimates(sums + 100, np.ones((12, 400)), [[c] for c in range(400)], 0, 200)
    assert all(e.p_value is None for e in scores)  # that a mean of scores is 0 is no hypothesis
    assert [e.low for e in scores] == pytest.approx([e.low + 100 for e in found if e.low is not None])


def test_the_interval_against_scipys_bootstrap() -> None:
    sums, counts = clustered(60, 1, seed=3)

    def ratio(s: Floats, n: Floats, axis: int = -1) -> Any:
        return s.sum(axis) / n.sum(axis)

    reference = stats.bootstrap(
        (sums[:, 0], counts[:, 0]), ratio, paired=True, method="BCa", n_resamples=1999,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    estimate = cluster_estimates(sums, counts, [[0]], 0, 100)[0]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(reference), abs=1)


def test_few_videos_that_hold_the_spread_lower_the_degrees() -> None:
    """One video of forty that differs tells no more of the spread than two videos would."""
    sums = np.zeros((40, 1))
    sums[0] = 100.0
    one = columns(sums, np.ones((40, 1)))[0]
    assert one.degrees == pytest.approx(2 * 40 / (np.mean((sums - 2.5) ** 4) / np.var(sums) ** 2 - 37 / 39))
    assert one.rough
    many = columns(np.tile([[0.0], [100]], (20, 1)), np.ones((40, 1)))[0]
    assert many.degrees == pytest.approx(39)
    assert not many.rough


def test_many_questions_of_one_video_are_no_evidence() -> None:
    """Copies of a question within its video change nothing, as they would if questions were the unit."""
    sums, counts = clustered(40, 1, seed=1)
    once, copied = columns(sums, counts)[0], columns(sums * 10, counts * 10)[0]
    assert vars(copied) == {**vars(once), "degrees": pytest.approx(once.degrees)}


@pytest.mark.parametrize("videos", [5, 10, 20, 50, 100])
def test_simulated_coverage(videos: int) -> None:
    """1,000 small simulated data sets: the 95% interval holds the true mean in 93 to 97% of them; with five videos of
    few yes-or-no answers, in up to 98%. `tests/benchmarks/coverage.py` does the whole of it."""
    estimates = columns(*clustered(videos, 1000, seed=videos))
    held = np.mean([e.low is not None and e.high is not None and e.low <= 60 <= e.high for e in estimates])
    assert 0.93 <= held <= (0.97 if videos > 5 else 0.98)


@pytest.mark.parametrize("videos", [5, 30, 100])
def test_a_null_difference_is_significant_one_time_in_twenty(videos: int) -> None:
    generator = np.random.default_rng(videos)
    counts = 1 + generator.poisson(3, (videos, 2000))
    chance = generator.beta(2, 2, (videos, 2000))  # that only one of two equally good conditions is right
    gained, lost = generator.binomial(counts, chance / 2), generator.binomial(counts, (1 - chance) / 2)
    sums = np.asarray(100 * (gained - lost), np.float64)
    members = [[column] for column in range(2000)]
    estimates = cluster_estimates(sums, np.asarray(counts, np.float64), members, -100, 100)
    share = np.mean([e.p_value is not None and e.p_value < 0.05 for e in estimates])
    assert (0.035 if videos > 5 else 0.02) <= share <= 0.065  # five videos are asked for more


def test_a_true_difference_is_found() -> None:
    generator = np.random.default_rng(0)
    sums = generator.choice([-100.0, 0, 100], (200, 1), p=[0.1, 0.6, 0.3])
    estimate = cluster_estimates(sums, np.ones((200, 1)), [[0]], -100, 100)[0]
    assert estimate.p_value is not None
    assert estimate.p_value < 0.001
    assert estimate.low is not None
    assert estimate.low > 0


def test_macro_means_cover_too() -> None:
    parts = [clustered(60, 400, seed) for seed in (10, 11, 12)]
    sums, counts = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    members = [[c, c + 400, c + 800] for c in range(400)]
    estimates = cluster_estimates(sums, counts, members, 0, 100)
    assert (
        0.92 <= np.mean([e.low is not None and e.high is not None and e.low <= 60 <= e.high for e in estimates]) <= 0.98
    )
    assert estimates[0].mean == pytest.approx(np.mean([columns(s, n)[0].mean for s, n in parts]))


def test_all_right_is_no_certainty() -> None:
    """The rule of three: 0.05 ** (1 / n) is the least chance that leaves n successes in n unsurprising."""
    estimate = columns(np.full((10, 1), 300.0), np.full((10, 1), 3.0))[0]
    assert (estimate.mean, estimate.method, estimate.high) == (100, "constant", 100)
    assert estimate.low == pytest.approx(100 * 0.05**0.1)
    wrong = columns(np.zeros((30, 1)), np.ones((30, 1)))[0]
    assert (wrong.low, wrong.method) == (0, "constant")
    assert wrong.high == pytest.approx(100 * (1 - 0.05 ** (1 / 30)))


def test_equal_answers_give_no_difference() -> None:
    estimate = cluster_estimates(np.zeros((30, 1)), np.ones((30, 1)), [[0]], -100, 100)[0]
    assert (estimate.mean, estimate.p_value) == (0, 1)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 0 < estimate.high
    always = cluster_estimates(np.full((4, 1), 100.0), np.ones((4, 1)), [[0]], -100, 100)[0]
    assert always.p_value == pytest.approx(stats.binomtest(4, 4).pvalue)


def test_one_video_has_no_interval_and_none_has_no_mean() -> None:
    sums, counts = np.array([[50.0, 0]]), np.array([[1.0, 0]])
    one, none = columns(sums, counts)
    assert one == Estimate(50, None, None, None, 1, None)
    assert none == Estimate(None, None, None, None, 0, None)
    assert cluster_estimates(sums, counts, [[0, 1]], 0, 100) == [Estimate(None, None, None, None, 0, None)]


def test_nothing_is_drawn() -> None:
    """The same data give the same numbers, and one column's do not depend on the others'."""
    sums, counts = clustered(30, 3, seed=0)
    assert columns(sums, counts) == columns(sums, counts)
    alone = [columns(sums[:, [c]], counts[:, [c]])[0] for c in range(3)]
    for one, together in zip(alone, columns(sums, counts), strict=True):
        assert (one.mean, one.low, one.high) == pytest.approx((together.mean, together.low, together.high))


# summarise


def questions(types: str, videos: int = 2) -> dict[str, dict[str, Any]]:
    """{q0: ...} with these question types, over so many videos in turn."""
    source_of = {type_: source for source in (NEXTQA, STAR) for type_ in source.categories}
    return {
        f"q{n}": {
            "video_id": f"v{n % videos}",
            "source": source_of[type_].source,
            "category": source_of[type_].categories[type_],
            "question_type": type_,
        }
        for n, type_ in enumerate(types.split())
    }


def verdicts(condition: str, scores: list[float | None]) -> dict[Key, Verdict]:
    return {(f"q{n}", condition, 0): UNSCORED if score is None else verdict(score) for n, score in enumerate(scores)}


def mean_of(summary: Summary, condition: str, group: str, level: str, name: str = "average") -> Mean:
    found = [m for m in summary.means if (m.condition, m.group, m.level, m.name) == (condition, group, level, name)]
    assert len(found) == 1
    return found[0]


def difference_of(summary: Summary, group: str, level: str, name: str = "average") -> Difference:
    found = [d for d in summary.differences if (d.group, d.level, d.name) == (group, level, name)]
    assert len(found) == 1
    return found[0]


def test_means_by_type_category_and_over_all() -> None:
    asked = questions("CW CW CH TN DO Interaction Sequence")
    summary = summarise(verdicts("baseline", [100, 0, 100, 100, 0, 100, 0]), asked, ["baseline"])
    assert mean_of(summary, "baseline", "nextqa", "question_type", "CW").mean == 50
    assert mean_of(summary, "baseline", "nextqa", "category", "causal").mean == pytest.approx(200 / 3)
    assert mean_of(summary, "baseline", "nextqa", "micro").mean == pytest.approx(60)
    assert mean_of(summary, "baseline", "nextqa", "macro").mean == pytest.approx((200 / 3 + 100 + 0) / 3)
    assert mean_of(summary, "baseline", "star", "micro").mean == 50
    assert mean_of(summary, "baseline", "all", "micro").mean == pytest.approx(400 / 7)
    assert mean_of(summary, "baseline", "all", "macro").mean == pytest.approx((200 / 3 + 100 + 0 + 100 + 0) / 5)
    assert mean_of(summary, "baseline", "all", "micro").questions == 7
    assert summary.differences == []


def test_unscored_answers_are_in_no_mean_but_in_the_bounds() -> None:
    asked = questions("CW CW CW CW TN")
    summary = summarise(verdicts("baseline", [100, 0, None, None, 100]), asked, ["baseline"])
    causal = mean_of(summary, "baseline", "nextqa", "category", "causal")
    assert (causal.questions, causal.scored, causal.unscored) == (4, 2, 2)
    assert (causal.mean, causal.lowest, causal.highest) == (50, 25, 75)
    macro = mean_of(summary, "baseline", "nextqa", "macro")
    assert (macro.mean, macro.lowest, macro.highest) == (75, 62.5, 87.5)


def test_a_category_without_a_score_leaves_the_macro_mean_open() -> None:
    summary = summarise(verdicts("baseline", [100, None]), questions("CW TN"), ["baseline"])
    macro = mean_of(summary, "baseline", "nextqa", "macro")
    assert (macro.mean, macro.lowest, macro.highest) == (None, 50, 100)
    assert mean_of(summary, "baseline", "nextqa", "micro").mean == 100


def test_unreadable_answers_count_as_zero_and_are_counted() -> None:
    found = {**verdicts("baseline", [100, 0]), ("q1", "baseline", 0): verdict(0, unreadable=True)}
    mean = mean_of(summarise(found, questions("CW CW"), ["baseline"]), "baseline", "nextqa", "micro")
    assert (mean.mean, mean.unreadable, mean.scored) == (50, 1, 2)


def test_samples_are_averaged_within_their_question() -> None:
    found = {
        ("q0", "baseline", 0): verdict(100),
        ("q0", "baseline", 1): verdict(0),
        ("q0", "baseline", 2): UNSCORED,
        ("q1", "baseline", 0): verdict(100),
    }
    mean = mean_of(summarise(found, questions("CW CW"), ["baseline"]), "baseline", "nextqa", "micro")
    assert (mean.mean, mean.questions, mean.answers, mean.unscored) == (75, 2, 4, 1)
    assert mean.lowest == pytest.approx((100 / 3 + 100) / 2)
    assert mean.highest == pytest.approx((200 / 3 + 100) / 2)


def test_differences_are_over_questions_that_both_have_scored() -> None:
    found = {**verdicts("baseline", [0, 0, None, 100]), **verdicts("cotasks", [100, None, 100, 100])}
    summary = summarise(found, questions("CW CW CW CW"), ["baseline", "cotasks"])
    difference = difference_of(summary, "nextqa", "micro")
    assert (difference.questions, difference.mean) == (2, 50)
    assert (difference.condition, difference.baseline) == ("cotasks", "baseline")


def test_differences_pair_questions_and_cluster_videos() -> None:
    generator = np.random.default_rng(2)
    asked = questions("CW " * 60, videos=12)
    base, ours = (generator.choice([0.0, 100], 60) for _ in range(2))
    found = {**verdicts("base", base.tolist()), **verdicts("ours", ours.tolist())}
    difference = difference_of(summarise(found, asked, ["ours", "base"], baseline="base"), "nextqa", "micro")
    by_video = (ours - base).reshape(5, 12).mean(axis=0)  # five questions a video: equal weights
    assert difference.error == pytest.approx(stats.sem(by_video))
    assert difference.p_value == pytest.approx(stats.ttest_1samp(by_video, 0).pvalue, rel=0.2)
    assert (difference.videos, difference.method) == (12, "score")


def test_a_difference_is_bounded_by_what_is_unscored() -> None:
    found = {**verdicts("baseline", [0, 50, None, 100]), **verdicts("cotasks", [100, None, 100, 100])}
    difference = difference_of(summarise(found, questions("CW CW CW TN"), ["baseline", "cotasks"]), "nextqa", "micro")
    assert (difference.questions, difference.unscored, difference.mean) == (2, 2, 50)
    # q1 lacks the condition's score, q2 the baseline's: -50 and 0 at worst, +50 and +100 at best
    assert (difference.lowest, difference.highest) == ((100 - 50 + 0 + 0) / 4, (100 + 50 + 100 + 0) / 4)


@examples(30)
@given(
    st.lists(st.tuples(*[st.sampled_from([None, 0.0, 40.0, 100.0])] * 2), min_size=1, max_size=5),
    st.lists(st.sampled_from([0.0, 25.0, 100.0]), min_size=10, max_size=10),
)
def test_the_bounds_hold_whatever_the_unscored_answers_would_have_scored(
    pairs: list[tuple[float | None, float | None]], fill: list[float]
) -> None:
    asked = questions("CW " * len(pairs))
    base, ours = (list(column) for column in zip(*pairs, strict=True))
    found = {**verdicts("baseline", base), **verdicts("cotasks", ours)}
    bounded = difference_of(summarise(found, asked, ["baseline", "cotasks"]), "nextqa", "micro")
    filled = [
        [instead if s is None else s for s, instead in zip(column, part, strict=False)]
        for column, part in ((base, fill[:5]), (ours, fill[5:]))
    ]
    whole = {**verdicts("baseline", filled[0]), **verdicts("cotasks", filled[1])}
    difference = difference_of(summarise(whole, asked, ["baseline", "cotasks"]), "nextqa", "micro")
    assert bounded.lowest is not None
    assert bounded.highest is not None
    assert difference.mean is not None
    assert bounded.lowest - 1e-9 <= difference.mean <= bounded.highest + 1e-9
    assert (difference.unscored, difference.lowest, difference.highest) == (0, *[pytest.approx(difference.mean)] * 2)


def test_unknown_ids_and_an_empty_run() -> None:
    found = {**verdicts("baseline", [100]), ("stranger", "baseline", 0): verdict(0)}
    summary = summarise(found, questions("CW"), ["baseline"])
    assert mean_of(summary, "baseline", "all", "micro").mean == 100
    assert summarise({}, {}, ["baseline"]) == Summary([], [])
    nothing = mean_of(summarise({}, questions("CW"), ["baseline"]), "baseline", "all", "micro")
    assert (nothing.mean, nothing.lowest, nothing.answers) == (None, None, 0)


def test_order_of_rows_and_other_conditions_do_not_matter() -> None:
    generator = np.random.default_rng(4)
    asked = questions("CW TN DO " * 30, videos=30)
    base = verdicts("baseline", generator.choice([0.0, 100], 90).tolist())
    other = verdicts("cotasks", generator.choice([0.0, 100], 90).tolist())
    alone = summarise(base, asked, ["baseline"])
    both = summarise({**other, **dict(reversed(base.items()))}, asked, ["cotasks", "baseline"])
    assert [m for m in both.means if m.condition == "baseline"] == alone.means
