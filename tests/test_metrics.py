"""Means, intervals and paired differences, against closed forms, scipy and simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from cotasks.judge.verdicts import Verdict
from cotasks.metrics.intervals import Estimate, cluster_estimates
from cotasks.metrics.means import Difference, Mean, Summary, summarise
from cotasks.runs.folder import Key
from cotasks.words.types import NEXTQA, STAR

Floats = npt.NDArray[np.float64]

UNSCORED = Verdict(None, None, False, "failed")


def verdict(score: float, unreadable: bool = False) -> Verdict:
    return Verdict(score, score == 100, unreadable, "")


def columns(sums: Floats, counts: Floats) -> list[Estimate]:
    return cluster_estimates(sums, counts, [[c] for c in range(sums.shape[1])], 0, 100, resamples=1999)


def clustered(videos: int, sets: int, seed: int) -> tuple[Floats, Floats]:
    """Right or wrong answers whose chance of being right differs from video to video; the mean is 60.

    Returns (sums, counts), each (videos, sets): so many independent data sets, one a column.
    """
    generator = np.random.default_rng(seed)
    counts = 1 + generator.poisson(3, (videos, sets))
    right = generator.binomial(counts, generator.beta(1.8, 1.2, (videos, sets)))
    return np.asarray(100 * right, np.float64), np.asarray(counts, np.float64)


def test_one_question_a_video_gives_student_interval() -> None:
    scores = np.array([100, 0, 50, 100, 75, 0, 100.0])
    estimate = columns(scores[:, None], np.ones((7, 1)))[0]
    low, high = stats.t.interval(0.95, 6, scores.mean(), stats.sem(scores))
    assert estimate.method == "t"
    assert estimate.videos == 7
    assert estimate.mean == pytest.approx(scores.mean())
    assert (estimate.low, estimate.high) == pytest.approx((low, min(high, 100)))


def test_one_question_a_video_gives_the_paired_test() -> None:
    generator = np.random.default_rng(5)
    ours, base = generator.uniform(0, 100, (2, 30))
    estimate = cluster_estimates((ours - base)[:, None], np.ones((30, 1)), [[0]], -100, 100, resamples=99)[0]
    assert estimate.p_value == pytest.approx(stats.ttest_rel(ours, base).pvalue)


def test_the_ratio_interval_against_its_closed_form() -> None:
    sums, counts = np.array([200.0, 0, 300, 100]), np.array([2.0, 1, 5, 4])
    mean = sums.sum() / counts.sum()
    error = np.sqrt(4 / 3 * ((sums - mean * counts) ** 2).sum()) / counts.sum()
    estimate = columns(sums[:, None], counts[:, None])[0]
    width = stats.t.ppf(0.975, 3) * error
    assert (estimate.low, estimate.high) == pytest.approx((mean - width, min(100, mean + width)))


def test_the_bootstrap_against_scipy() -> None:
    sums, counts = clustered(20, 1, seed=3)

    def ratio(s: Floats, n: Floats, axis: int = -1) -> Any:
        return s.sum(axis) / n.sum(axis)

    reference = stats.bootstrap(
        (sums[:, 0], counts[:, 0]), ratio, paired=True, method="percentile", n_resamples=9999,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    estimate = cluster_estimates(sums, counts, [[0]], 0, 100)[0]
    assert estimate.method == "bootstrap"
    assert estimate.low is not None
    assert estimate.high is not None
    # ours is wider by the factor of the expanded percentile interval: here 1.096
    assert estimate.high - estimate.low == pytest.approx(1.096 * (reference.high - reference.low), rel=0.03)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(reference), abs=3)


def test_many_questions_of_one_video_are_no_evidence() -> None:
    """Copies of a question within its video change nothing, as they would if questions were the unit."""
    sums, counts = clustered(40, 1, seed=1)
    assert columns(sums, counts) == columns(sums * 10, counts * 10)


@pytest.mark.parametrize(
    ("videos", "method"), [(5, "t"), (10, "t"), (20, "bootstrap"), (50, "bootstrap"), (100, "bootstrap")]
)
def test_simulated_coverage(videos: int, method: str) -> None:
    """1,000 small simulated data sets: the 95% interval holds the true mean in 93 to 97% of them.

    Below 50 videos we ask for 92%: five videos of few yes-or-no answers are far from normal.
    """
    estimates = columns(*clustered(videos, 1000, seed=videos))
    held = np.mean([e.low is not None and e.high is not None and e.low <= 60 <= e.high for e in estimates])
    assert (0.93 if videos >= 50 else 0.92) <= held <= 0.97
    assert {e.method for e in estimates} <= {method, "constant"}


@pytest.mark.parametrize("videos", [5, 30, 100])
def test_a_null_difference_is_significant_one_time_in_twenty(videos: int) -> None:
    generator = np.random.default_rng(videos)
    counts = 1 + generator.poisson(3, (videos, 2000))
    chance = generator.beta(2, 2, (videos, 2000))  # that only one of two equally good conditions is right
    gained, lost = generator.binomial(counts, chance / 2), generator.binomial(counts, (1 - chance) / 2)
    sums = np.asarray(100 * (gained - lost), np.float64)
    members = [[column] for column in range(2000)]
    estimates = cluster_estimates(sums, np.asarray(counts, np.float64), members, -100, 100, resamples=99)
    assert 0.035 <= np.mean([e.p_value is not None and e.p_value < 0.05 for e in estimates]) <= 0.065


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
    estimates = cluster_estimates(sums, counts, members, 0, 100, resamples=1999)
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


def test_the_seed_decides() -> None:
    sums, counts = clustered(30, 3, seed=0)
    assert columns(sums, counts) == columns(sums, counts)
    assert columns(sums, counts) != cluster_estimates(sums, counts, [[0], [1], [2]], 0, 100, 1999, seed=1)


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
    assert difference.p_value == pytest.approx(stats.ttest_1samp(by_video, 0).pvalue)
    assert (difference.videos, difference.method) == (12, "t")


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
