"""Precision, recall and F1 of counts, and what steps without items score.

Scores of steps are numbers from 0 to 1 (reports show 0 to 100). One rule holds for all of them:

    nothing to be found     recall, F1 and every mean over true items are None; precision is 0, unless nothing was said
    predicted nothing       precision is None (there is nothing to be right about); recall and F1 are 0
    both empty              all are None

None is "not defined here": it enters no mean. So silence earns nothing in an F1: a model that always says "none" has 0.
Whether "none" was said where there is none is a score of its own, `none_when_there_is_none`, over those records only.
F1 is 2 TP / (|predicted| + |true|), which either mistake brings to 0.
"""

from __future__ import annotations

from collections.abc import Sequence


def precision_recall_f1(right: int, predicted: int, true: int) -> tuple[float | None, float | None, float | None]:
    """(precision, recall, F1) of counts."""
    return (
        right / predicted if predicted else None,
        right / true if true else None,
        2 * right / (predicted + true) if true else None,
    )


def said_none(predicted: int, true: int) -> float | None:
    """1 where nothing was there and nothing was said, 0 where something was; None where there was something."""
    return None if true else float(not predicted)


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return sum(values) / len(values) if values else None
