"""Joint scores: a table of rows, each a mean with its interval, or a function of means."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.evidence.castbench import Scores
from cotasks.metrics.joint import JOINT, Case, joint_rows, overlap
from cotasks.records.schema import Span


def spans(*pairs: tuple[float, float]) -> list[Span]:
    return [Span(start, end) for start, end in pairs]


@pytest.mark.parametrize(
    ("predicted", "truth", "iop", "iou"),
    [
        ([(1, 3)], [(1, 3)], 1.0, 1.0),
        ([(1, 3)], [(2, 6)], 0.5, 0.2),
        ([(0, 10)], [(2, 4), (5, 10)], 0.5, 0.5),  # the best of several, as NExT-GQA has it
        ([(0, 1), (2, 3)], [(0, 3)], 1.0, 2 / 3),
        ([], [(0, 3)], 0.0, 0.0),
        ([(2, 2)], [(0, 3)], 1.0, 0.0),
        ([(4, 4)], [(0, 3)], 0.0, 0.0),
        ([(2, 2)], [(2, 2)], 1.0, 1.0),
        ([(5, 6)], [(0, 3)], 0.0, 0.0),
    ],
)
def test_overlap(
    predicted: list[tuple[float, float]], truth: list[tuple[float, float]], iop: float, iou: float
) -> None:
    assert overlap(spans(*predicted), spans(*truth)) == pytest.approx((iop, iou))


def means(cases: list[Case]) -> dict[str, float]:
    return {row["score"]: row["mean"] for row in joint_rows(cases)}


def test_rows_by_hand() -> None:
    cast = Scores(1.0, 0.0, 1.0, 0.5, 0.05)
    cases = [
        Case("a", 1.0, 0.8, 0.4, {1: 0.9, 2: 0.6}, cast, None),
        Case("b", 1.0, 0.4, 0.2, {1: 0.2, 2: 0.0}, cast, cast),
        Case("c", 0.0, 0.9, 0.6, {1: 0.5, 2: None}),
        Case("d", None, None, None),
    ]
    found = means(cases)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["acc_gqa"] == pytest.approx(1 / 3)
    assert found["miop"] == pytest.approx(0.7)
    assert found["miou"] == pytest.approx(0.4)
    assert found["viou"] == pytest.approx(0.3)
    # over the two questions that define all three
    assert found["am"] == pytest.approx((1 + 0.3 + 0.3) / 3)
    assert found["right_given_step_1"] == pytest.approx(0.5)
    assert found["right_given_no_step_1"] == 1.0
    assert found["castbench_qa_spurious"] == 1.0
    assert "right_given_step_3" not in found
    rows = {row["score"]: row for row in joint_rows(cases)}
    assert (rows["castbench_qa_temporal_iou"]["questions"], rows["castbench_read_qa_temporal_iou"]["questions"]) == (
        2,
        1,
    )
    assert [row["score"] for row in joint_rows(cases)] == [name for name in JOINT if name in rows]
    assert {row["score"] for row in joint_rows(cases, by_judge=False)} < set(rows)
    assert joint_rows([]) == []


VALUES = st.floats(0, 1)


@given(st.lists(st.tuples(st.booleans(), VALUES, VALUES), min_size=2, max_size=30))
def test_am_and_lgm_are_those_of_the_means(values: list[tuple[bool, float, float]]) -> None:
    cases = [Case(f"v{n % 7}", float(right), iou, iou, {2: viou}) for n, (right, iou, viou) in enumerate(values)]
    of = [math.fsum(column) / len(values) for column in zip(*values, strict=True)]
    rows = {row["score"]: row for row in joint_rows(cases)}
    assert rows["am"]["mean"] == pytest.approx(sum(of) / 3)
    logs = sum(-math.log(max(1 - mean, 1e-9)) for mean in of) / 3
    assert rows["lgm"]["mean"] == pytest.approx(logs, rel=1e-6, abs=1e-9)
    for row in rows.values():
        assert row["low"] is None or row["low"] <= row["mean"] + 1e-9 <= row["high"] + 2e-9


def test_the_interval_of_lgm_covers_what_the_delta_method_says() -> None:
    """Against the bootstrap of the function itself."""
    import numpy as np

    generator = np.random.default_rng(0)
    right = generator.random(400) < 0.6
    iou, viou = generator.random(400) * 0.5, generator.random(400) * 0.3
    cases = [Case(f"v{n}", float(right[n]), iou[n], iou[n], {2: viou[n]}) for n in range(400)]
    (row,) = (row for row in joint_rows(cases) if row["score"] == "lgm")
    drawn = generator.integers(400, size=(4000, 400))
    logs = sum(-np.log(1 - column[drawn].mean(axis=1)) for column in (right, iou, viou)) / 3
    low, high = np.quantile(logs, [0.025, 0.975])
    assert (row["low"], row["high"]) == pytest.approx((low, high), rel=0.03)
