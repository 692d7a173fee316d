"""Agreement of judges, against published and hand-made examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.agreement import Agreement, agreement_of, cohen_kappa, krippendorff_alpha, spread_of
from cotasks.judge.run import judge_run
from cotasks.report import write_report
from cotasks.runs import folder as runs
from cotasks.tools.files import read_json
from tests.judge_server import JudgeServer, asked_about, completion, verdict
from tests.test_judge import write_run

# Krippendorff (2011), section C: four observers, twelve units, missing values
OBSERVERS: list[list[float | None]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level: Any, published: float) -> None:
    assert krippendorff_alpha(OBSERVERS, level) == pytest.approx(published, abs=0.0005)


def test_alpha_of_two_observers_of_yes_and_no() -> None:
    """Krippendorff (2011), section A: ten units, alpha 0.095."""
    one, two = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha([one, two], level) == pytest.approx(0.095, abs=0.0005)  # type: ignore[arg-type]


def table(counts: list[list[int]]) -> tuple[list[float], list[float]]:
    """Two judges' verdicts from a table of how often each pair occurs."""
    cells = [(float(i), float(j)) for i, row in enumerate(counts) for j, n in enumerate(row) for _ in range(n)]
    return [i for i, _ in cells], [j for _, j in cells]


def test_kappa_by_hand() -> None:
    # agreement 35 of 50 = 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    assert cohen_kappa(*table([[20, 5], [10, 15]])) == pytest.approx(0.4)
    # the same margins with more agreement, and less than chance
    assert cohen_kappa(*table([[25, 0], [5, 20]])) == pytest.approx(0.8)
    assert cohen_kappa(*table([[10, 15], [20, 5]])) == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("weights", "by_hand"), [("none", 1 - 10 / 17), ("linear", 1 - 15 / 23), ("quadratic", 1 - 25 / 35)]
)
def test_weighted_kappa_by_hand(weights: Any, by_hand: float) -> None:
    """Five pairs, margins 2 1 2 and 2 2 1; the chance of each cell in 25ths is 4 4 2, 2 2 1, 4 4 2.

    Seen: none 2/5, linear 3/5, quadratic 5/5. Expected: none (4 + 2 + 2 + 1 + 4 + 4) / 25, linear
    (4*1 + 2*2 + 2*1 + 1*1 + 4*2 + 4*1) / 25, quadratic (4*1 + 2*4 + 2*1 + 1*1 + 4*4 + 4*1) / 25.
    """
    assert cohen_kappa([0, 0, 1, 2, 2], [0, 1, 1, 2, 0], weights) == pytest.approx(by_hand)


_scores = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40)


@given(_scores)
def test_quadratic_kappa_against_its_closed_form(pairs: list[tuple[int, int]]) -> None:
    """1 - mean (a - b)^2 / (var a + var b + (mean a - mean b)^2), with variances over n."""
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    n = len(pairs)
    means = sum(first) / n, sum(second) / n
    variances = [sum((v - m) ** 2 for v in values) / n for values, m in zip((first, second), means, strict=True)]
    spread = sum(variances) + (means[0] - means[1]) ** 2
    kappa = cohen_kappa(first, second, "quadratic")
    if spread == 0:
        assert kappa is None
    else:
        assert kappa == pytest.approx(1 - sum((a - b) ** 2 for a, b in pairs) / n / spread)


@given(_scores)
def test_interval_alpha_against_its_closed_form(pairs: list[tuple[int, int]]) -> None:
    """Of two judges: 1 - (2n - 1) sum (a - b)^2 / (2n * (sum of squares about the mean of all verdicts))."""
    values = [v for pair in pairs for v in pair]
    mean = sum(values) / len(values)
    total = sum((v - mean) ** 2 for v in values)
    alpha = krippendorff_alpha([[a for a, _ in pairs], [b for _, b in pairs]], "interval")
    if total < 1e-9:
        assert alpha is None
    else:
        seen = sum((a - b) ** 2 for a, b in pairs)
        assert alpha == pytest.approx(1 - (len(values) - 1) * seen / (len(values) * total))


@given(_scores)
def test_agreement_does_not_depend_on_the_order_of_judges(pairs: list[tuple[int, int]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    for weights in ("none", "linear", "quadratic"):
        one, other = cohen_kappa(first, second, weights), cohen_kappa(second, first, weights)  # type: ignore[arg-type]
        assert one == pytest.approx(other)
        if one is not None:
            assert one <= 1
            assert (one == 1) == (first == second)


def test_without_any_difference_nothing_is_defined() -> None:
    assert cohen_kappa([3, 3], [3, 3]) is None
    assert cohen_kappa([], []) is None
    assert cohen_kappa([3, 3], [4, 4]) == 0
    assert krippendorff_alpha([[3, 3], [3, 3]], "nominal") is None
    assert krippendorff_alpha([], "nominal") is None
    assert krippendorff_alpha([[1, None], [None, 2]], "interval") is None
    with pytest.raises(ValueError, match="longer"):
        cohen_kappa([1], [1, 2])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_judges_of_a_run(tmp_path: Path) -> None:
    answers = {
        (f"q{i}", "baseline", 0): text for i, text in enumerate(["to catch the ball", "one", "two", "three", ""])
    }
    folder = write_run(tmp_path / "run", answers)
    with pytest.raises(InputError, match="expected two judges"):
        agreement_of(folder)
    ratings = {"to catch the ball": (5, "yes"), "one": (4, "yes"), "two": (0, "no")}

    def answer(_: int, request: dict[str, Any]) -> Any:
        prediction = asked_about(request)["prediction"]
        return verdict(*ratings[prediction]) if prediction in ratings else completion("no idea")

    judge_run(folder, "exact")
    with pytest.raises(InputError, match="verdicts of exact; expected two judges"):
        agreement_of(folder)
    with JudgeServer(answer) as server:
        judge_run(folder, "openai:m", base_url=server.url, progress=False)
    # exact: 100 0 0 (0), yes no no -; the model: 100 80 0 -, yes yes no -; the empty answer is put to none
    (found,) = agreement_of(folder)
    assert found == Agreement(
        judges=("exact", "openai:m"),
        answers=3,
        left_out=1,
        same=pytest.approx(2 / 3),
        kappa=pytest.approx(0.4),  # expected agreement 1/3 * 2/3 + 2/3 * 1/3 = 4/9
        weighted_kappa=pytest.approx(1 - 3 * 6400 / (10400 + 2 * 16400)),
        alpha=pytest.approx(1 - 5 * 6400 / (6 * (26400 - 280**2 / 6))),
        difference=pytest.approx(80 / 3),
    )


def test_the_spread_of_repeats(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", {(f"q{i}", "baseline", 0): f"answer {i}" for i in range(4)} | {("x", "b", 0): ""}
    )
    asked: dict[str, int] = {}
    replies = {"answer 0": [5, 5, 5], "answer 1": [0, 3, 3], "answer 2": [1, None, 2], "answer 3": [None, None, 4]}

    def answer(_: int, request: dict[str, Any]) -> Any:
        prediction = asked_about(request)["prediction"]
        asked[prediction] = number = asked.get(prediction, 0) + 1
        score = replies[prediction][number - 1]
        return completion("no idea") if score is None else verdict(score, "yes" if score > 2 else "no")

    with JudgeServer(answer) as server:
        judge_run(folder, "openai:m", base_url=server.url, repeats=3, concurrency=1, progress=False)
    found = spread_of(folder, "openai:m")
    assert (found.repeats, found.answers) == (3, 3)
    # squares about each answer's mean: 0; 0 60 60 -> 2400; 20 40 -> 200; degrees of freedom 2 + 2 + 1
    assert found.deviation == pytest.approx((2600 / 5) ** 0.5)
    assert found.moved == pytest.approx(2 / 3)
    assert found.flipped == pytest.approx(1 / 3)
    assert found.means == pytest.approx((50, 80, 80))
    rows: list[list[float | None]] = [[100, 0, 20, None], [100, 60, None, None], [100, 60, 40, 80]]
    assert found.alpha == krippendorff_alpha(rows, "interval")


def test_one_repeat_shows_no_spread(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "x"})
    judge_run(folder, "exact")
    found = spread_of(folder, "exact")
    assert (found.repeats, found.answers, found.deviation, found.alpha, found.means) == (1, 0, None, None, ())
    with pytest.raises(InputError, match="not a run folder"):
        spread_of(tmp_path, "exact")
    assert runs.read_settings(folder)


def test_a_report_shows_how_judges_agree(tmp_path: Path) -> None:
    """Two models, one asked three times and renamed on the way, beside `exact`."""
    folder = write_run(tmp_path / "run", {(f"q{i}", "baseline", 0): f"answer {i}" for i in range(6)})
    judge_run(folder, "exact")
    calls = 0

    def answer(number: int, request: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        score = (int(asked_about(request)["prediction"][-1]) + (calls % 3 if request["model"] == "m" else 0)) % 6
        served = f"{request['model']}-{'new' if calls > 9 else 'old'}"
        return {**verdict(score, "yes" if score > 2 else "no"), "model": served}

    with JudgeServer(answer) as server:
        for judge, repeats in (("openai:m", 3), ("openai:n", 1)):
            judge_run(folder, judge, base_url=server.url, repeats=repeats, concurrency=1, progress=False)
    paths = write_report([folder])
    summary = read_json(paths.summary)
    pairs = {(row["judge"], row["other_judge"]): row for row in summary["agreement"]}
    assert list(pairs) == [("openai:m", "openai:n"), ("openai:m", "exact"), ("openai:n", "exact")]
    (expected,) = agreement_of(folder, ["openai:m", "openai:n"])
    row = pairs["openai:m", "openai:n"]
    for name in ("answers", "left_out", "same", "kappa", "weighted_kappa", "alpha", "difference"):
        assert row[name] == pytest.approx(getattr(expected, name))
    (spread,) = summary["spread"]
    found = spread_of(folder, "openai:m")
    means = [mean for mean in found.means if mean is not None]
    assert (spread["judge"], spread["repeats"], spread["answers"]) == ("openai:m", 3, 6)
    assert (spread["deviation"], spread["lowest_mean"], spread["highest_mean"]) == pytest.approx(
        (found.deviation, min(means), max(means))
    )
    (warning,) = (text for text in summary["warnings"] if "different models" in text)
    assert "judge openai:m: its server says that different models" in warning
    assert warning.endswith(": m-old (9), m-new (9).")

    text, page = paths.markdown.read_text("utf-8"), paths.html.read_text("utf-8")
    section = text.partition("## Agreement of judges")[2].partition("##")[0]
    assert "| openai:m and openai:n |" in section
    assert f"{expected.alpha:.3f}" in section
    assert f"{found.deviation:.1f}" in text.partition("## A judge's own spread")[2].partition("##")[0]
    assert "m-old (9)" in text
    for title in ("<h3>Agreement of judges</h3>", "<h3>A judge's own spread</h3>", "openai:m and exact"):
        assert title in page
    main = text.partition("questions, judge openai:n")[2].partition("##")[0]
    right = sum(m["correct"] for m in summary["means"] if (m["judge"], m["level"]) == ("openai:n", "micro")) // 2
    assert " Right |" in main
    assert f" {right / 6:.1%} |" in main
    assert " Right |" not in text.partition("questions, judge exact")[2].partition("##")[0]  # which is its average


def test_rules_alone_show_no_agreement(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "x"})
    for judge in ("exact", "f1"):
        judge_run(folder, judge)
    paths = write_report([folder])
    assert read_json(paths.summary)["agreement"] == []
    assert "Agreement" not in paths.markdown.read_text("utf-8")
