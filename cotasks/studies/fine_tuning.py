"""What fine-tuning adds to a model, without steps, told its own, and told the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotasks.metrics.contrasts import Scores, Weights
from cotasks.studies.drawing import of_group, points, zero
from cotasks.studies.rows import differences, means, step_rows
from cotasks.studies.study import BASE, PREDICTED, Row, Setup, Study, Tables, predictions_folder

CONDITIONS = ("baseline", PREDICTED, "cotasks")


def fine_tuning(scores: Scores, tuned: list[str]) -> dict[str, list[Row]]:
    """`means` by model and condition; `differences` of each tuned model to the base under the same condition; `gains`
    of each model by steps over its own baseline; and `pairs`: by how much these gains exceed the base's.

    Args:
        scores: of conditions `MODEL: CONDITION`.
        tuned: names of the models beside the base.
    """
    groups = scores.groups()

    def gain(model: str, told: str, sign: float = 1.0) -> Weights:
        return {f"{model}: {told}": sign, f"{model}: baseline": -sign}

    to_base: dict[str, Weights] = {
        f"{name} - {BASE}: {condition}": {f"{name}: {condition}": 1.0, f"{BASE}: {condition}": -1.0}
        for name in tuned
        for condition in CONDITIONS
    }
    told = [condition for condition in CONDITIONS if condition != "baseline"]
    gains = {f"{name}: {condition} - baseline": gain(name, condition) for name in (BASE, *tuned) for condition in told}
    more = {
        f"{condition} - baseline, {name} more than {BASE}": {**gain(name, condition), **gain(BASE, condition, -1.0)}
        for name in tuned
        for condition in told
    }
    return {
        "means": means(scores, list(scores.conditions), groups),
        "differences": differences(scores, to_base, groups),
        "gains": differences(scores, gains, groups),
        "pairs": differences(scores, more, groups),
    }


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    arms = {BASE: PREDICTED, **{name: name for name in setup.tuned}}
    steps = step_rows(setup.records, {name: predictions_folder(folder, arm) for name, arm in arms.items()})
    return {**fine_tuning(scores, list(setup.tuned)), "steps": steps}


def _models(figure: Any, tables: Tables) -> None:
    rows = of_group(tables["means"])
    models = list(dict.fromkeys(row["condition"].partition(": ")[0] for row in rows))
    figure.set_size_inches(8, 0.75 * len(models) + 1.5)
    axes = figure.subplots()
    for series, condition in enumerate(CONDITIONS):
        of_condition = [row for row in rows if row["condition"].partition(": ")[2] == condition]
        points(axes, models, of_condition, series, (series - 1) * 0.25, label=condition)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set(xlabel="answer score", xlim=(0, 104), title="Each model without steps, told its own, and told true ones")
    figure.legend(loc="outside lower center", frameon=False, ncols=3)


def _differences(figure: Any, tables: Tables) -> None:
    rows = of_group(tables["differences"])
    figure.set_size_inches(7.5, 0.33 * len(rows) + 1.2)
    axes = figure.subplots()
    points(axes, [row["name"] for row in rows], rows)
    zero(axes)
    axes.set(xlabel=f"score minus that of {BASE}, points", title="What tuning adds under each condition")


STUDY = Study(
    name="fine-tuning",
    title="Prompted, fine-tuned, and both",
    reading="""\
Each model is asked under three conditions: `baseline` is told nothing, `predicted` the steps that this model took
itself, `cotasks` the true ones, which nobody has at hand when a model is deployed. So `base: baseline` is the model as
published, `base: predicted` and `base: cotasks` are the model prompted; a tuned model under `baseline` is fine-tuned,
and under the others fine-tuned and prompted. **What tuning adds** holds a tuned model against the base under the same
condition, on the same questions. **What steps add** is each model's gain over its own baseline; the last of these
tables says by how much the gain of a tuned model exceeds the base's: above 0, tuning and prompting help each other;
below, one does what the other did already. Ask about videos that no model was tuned on.""",
    conditions=lambda setup: list(CONDITIONS),
    tables=_tables,
    pictures=lambda tables: [("fine-tuning", _models), ("fine-tuning-differences", _differences)],
    titles={
        "differences": "What tuning adds",
        "gains": "What steps add to each model",
        "pairs": "What steps add to a tuned model beyond what they add to the base",
    },
    predicts=True,
    asks_tuned=True,
)
