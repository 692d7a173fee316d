"""From true steps to predicted ones: what prediction keeps of the gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotasks.metrics.contrasts import Scores, Weights
from cotasks.runs.predictions import load_predictions
from cotasks.step_scores.table import predicted_step_rows
from cotasks.studies.drawing import groups_of, points
from cotasks.studies.rows import differences, means, ratios
from cotasks.studies.study import Row, Setup, Study, Tables


def oracle_gap(scores: Scores) -> dict[str, list[Row]]:
    """`means`, `gains` over the baseline and what the prediction lacks, and the `shares` that prediction keeps."""
    groups = scores.groups()
    predicted: Weights = {"predicted": 1.0, "baseline": -1.0}
    oracle: Weights = {"cotasks": 1.0, "baseline": -1.0}
    contrasts = {
        "predicted - baseline": predicted,
        "cotasks - baseline": oracle,
        "predicted - cotasks": {"predicted": 1.0, "cotasks": -1.0},
    }
    return {
        "means": means(scores, ["baseline", "predicted", "cotasks"], groups),
        "gains": differences(scores, contrasts, groups),
        "shares": ratios(scores, "share kept", predicted, oracle, groups),
    }


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    found = load_predictions(folder / "predictions", setup.records, ())
    return {**oracle_gap(scores), "steps": predicted_step_rows(setup.records, found)}


def _oracle_gap(figure: Any, tables: Tables) -> None:
    groups = groups_of(tables["means"])
    figure.set_size_inches(8, 0.75 * len(groups) + 1.5)
    axes = figure.subplots()
    for series, condition in enumerate(("baseline", "predicted", "cotasks")):
        rows = [row for row in tables["means"] if row["condition"] == condition]
        points(axes, groups, rows, series, (series - 1) * 0.25, label=condition)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set(xlabel="answer score", xlim=(0, 104), title="From no steps to predicted steps to true ones")
    figure.legend(loc="outside lower center", frameon=False, ncols=3)


STUDY = Study(
    name="oracle-gap",
    title="From true steps to predicted ones",
    reading="""\
`predicted` answers from steps that the model itself produced, `cotasks` from the annotation, which nobody has at hand
when a model is deployed. The **share kept** is (`predicted` - `baseline`) / (`cotasks` - `baseline`), with Fieller's
interval; it is not quoted where the oracle's gain does not differ from 0. A negative share says that the model's own
steps do harm.""",
    conditions=lambda setup: ["baseline", "predicted", "cotasks"],
    tables=_tables,
    pictures=lambda tables: [("oracle-gap", _oracle_gap)],
    predicts=True,
)
