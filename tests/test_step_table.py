"""Steps against their truth, as a table."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record
from cotasks.step_scores.table import DRAWN, MAIN, METRICS, StepScores, corrupted_step_rows, plain_context, step_rows
from cotasks.steps.scoring import score_steps
from cotasks.words.types import Kind

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def records() -> Records:
    return load_records("sample", "validation")


def test_without_corruption_every_step_scores_full(records: Records) -> None:
    rows = corrupted_step_rows(records, (0.0,), 1)
    assert {(row["step"], row["metric"]) for row in rows} >= MAIN
    ours = [row for row in rows if row["baseline"] is None]
    assert all(row["mean"] == pytest.approx(100) for row in ours if row["mean"] is not None)
    assert all(row["mean"] is not None for row in ours if row["group"] == "all" and row["main"])


def test_scores_fall_with_corruption(records: Records) -> None:
    """Monotone within the intervals: no point's mean lies above the upper end of a milder one's interval."""
    rows = [row for row in corrupted_step_rows(records, LEVELS, 2) if row["group"] == "all"]
    for name in DRAWN:
        curve = [row for row in rows if (row["step"], row["metric"]) == name and row["baseline"] is None]
        assert [row["corruption"] for row in curve] == list(LEVELS)
        assert all(later["mean"] <= row["high"] for row, later in pairwise(curve))
        assert curve[0]["mean"] - curve[-1]["mean"] > 30, name


def test_a_row_is_the_mean_over_records_that_define_the_score() -> None:
    scores: list[StepScores] = [
        {3: {"triple_f1": 1.0, "triple_precision": None}},
        {3: {"triple_f1": 0.5, "triple_precision": 0.25}},
        {},
    ]
    kinds = [Kind("nextqa", *of) for of in (("causal", "CW"), ("causal", "CH"), ("temporal", "TN"))]
    rows = step_rows(scores, ["a", "b", "b"], kinds)
    found = {(row["metric"], row["group"]): row for row in rows if row["step"] == 3}
    assert found["triple_f1", "all"]["mean"] == 75
    assert found["triple_f1", "all"]["questions"] == 2
    assert found["triple_precision", "all"]["mean"] == 25
    assert found["triple_f1", "temporal"]["mean"] is None
    assert {row["group"] for row in rows} == {"all", "causal", "temporal"}


def test_names_are_labels_unless_asked_otherwise() -> None:
    """Two entities of one category that swap their numbers: the same scores, but for exact names."""

    def twins(record: Record) -> list[int]:
        seen: dict[str, list[int]] = {}
        for track in record.entity_tracking:
            seen.setdefault(track.category, []).append(track.tid)
        return next((tids[:2] for tids in seen.values() if len(tids) > 1), [])

    record = next(record for record in load_records("sample", "train") if twins(record))
    a, b = twins(record)
    swap = {a: b, b: a}
    tracks = tuple(dataclasses.replace(t, tid=swap.get(t.tid, t.tid)) for t in record.entity_tracking)
    swapped = dataclasses.replace(record, entity_tracking=tracks)
    context = plain_context(record)
    assert score_steps(swapped, record, context)[2]["mean_iou"] == pytest.approx(1)
    exact = score_steps(swapped, record, context, exact_names=True)[2]["mean_iou"]
    assert exact is not None
    assert exact < 1
    assert set(METRICS) == {1, 2, 3, 4}
