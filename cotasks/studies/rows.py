"""Rows of means, differences and ratios, for `study.json`.

Scores run from 0 to 100. A row of means or differences holds {questions, videos, mean, low, high, p_value, rough}: the
mean over the questions that have a score under all conditions it names, its 95% interval over videos (None with a
single video), the p value of a difference (None for a mean), and whether the interval is rough (`metrics.intervals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cotasks.metrics.contrasts import Floats, Mask, Scores, Weights, estimates, interval_row, ratio, weighted
from cotasks.records.dataset import Records
from cotasks.runs.predictions import load_predictions
from cotasks.step_scores.table import predicted_step_rows

Row = dict[str, Any]


def step_rows(records: Records, folders: Mapping[str, Path]) -> list[Row]:
    """The rows of the step table of several predictions folders, each with the name of its {arm}.

    Args:
        records: with the true steps.
        folders: arm -> its predictions folder.
    """
    return [
        {"arm": arm, **row}
        for arm, folder in folders.items()
        for row in predicted_step_rows(records, load_predictions(folder, records, ()))
    ]


def means(scores: Scores, conditions: Sequence[str], groups: Mapping[str, Mask]) -> list[Row]:
    """{condition, group, answers, unscored} and a mean for each condition and group."""
    columns = [(weighted(scores, {c: 1.0}), inside) for c in conditions for inside in groups.values()]
    found = estimates(columns, scores.video_ids, 0.0, 100.0)
    labels = [(condition, group) for condition in conditions for group in groups]
    rows = []
    for (condition, group), (estimate, questions) in zip(labels, found, strict=True):
        at = scores.conditions.index(condition), groups[group]
        counts = {"answers": int(scores.answers[at].sum()), "unscored": int(scores.unscored[at].sum())}
        row = {"condition": condition, "group": group, **counts, **interval_row(estimate, questions), "p_value": None}
        rows.append(row)
    return rows


def differences(scores: Scores, named: Mapping[str, Weights], groups: Mapping[str, Mask]) -> list[Row]:
    """{name, group} and the mean of a contrast for each name and group; scores of a contrast lie in -100 to 100."""
    columns = [(weighted(scores, weights), inside) for weights in named.values() for inside in groups.values()]
    found = estimates(columns, scores.video_ids, -100.0, 100.0)
    labels = [(name, group) for name in named for group in groups]
    return [
        {"name": name, "group": group, **interval_row(*one)} for (name, group), one in zip(labels, found, strict=True)
    ]


def ratios(
    scores: Scores, name: str, numerator: Weights, denominator: Weights, groups: Mapping[str, Mask]
) -> list[Row]:
    """{name, group, value, low, high, questions, videos}: the ratio of two contrasts for each group."""
    top, bottom = weighted(scores, numerator), weighted(scores, denominator)
    rows = []
    for group, inside in groups.items():
        found = ratio(top, bottom, inside, scores.video_ids)
        rows.append({"name": name, "group": group, **vars(found)})
    return rows


def by_question(scores: Scores, values: Mapping[str, float]) -> Floats:
    """(questions,) in the order of the scores; nan where there is none."""
    return np.array([values.get(id_, np.nan) for id_ in scores.ids], float)
