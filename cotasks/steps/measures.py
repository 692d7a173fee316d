"""Precision, recall and F1 of counts, and what steps without items score.

Scores of steps are numbers from 0 to 1 (reports show 0 to 100). One rule holds for all of them:

    both empty              1: nothing was there, and nothing was claimed
    predicted nothing       precision is None (there is nothing to be right about); recall and F1 are 0
    nothing to be found     recall, and every mean over true items, is None; precision and F1 are 0

None is "not defined here": it enters no mean. F1 is 2 TP / (|predicted| + |true|), which either mistake brings to 0.
"""

from __future__ import annotations

from collections.abc import Sequence


def precision_recall_f1(right: int, predicted: int, true: int) -> tuple[float | None, float | None, float]:
    """(precision, recall, F1) of counts."""
    if not predicted and not true:
        return 1.0, 1.0, 1.0
    return (
        right / predicted if predicted else None,
        right / true if true else None,
        2 * right / (predicted + true),
    )


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return sum(values) / len(values) if values else None
