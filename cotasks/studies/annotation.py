"""From true annotation to a machine's: what share of the gain survives each rung."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from cotasks.metrics.contrasts import Scores, Weights
from cotasks.studies.drawing import groups_of, of_group, points
from cotasks.studies.rows import differences, means, ratios, step_rows
from cotasks.studies.study import Row, Setup, Study, Tables, predictions_folder

SAME_A1, MACHINE = "same-a1", "machine"
RUNGS = ("cotasks", SAME_A1, MACHINE, "predicted")
"""From true steps down to the model's own."""


def prepare(setup: Setup, folder: Path, rung: str) -> None:
    """Write the predictions folder of a rung that a machine's annotation gives."""
    from cotasks.annotate.steps import write_machine_steps
    from cotasks.errors import InputError

    if setup.annotation is None:
        raise InputError(
            "study annotation: no machine annotation; expected --annotation, a folder of `cotasks annotate`"
        )
    write_machine_steps(setup.annotation, setup.records, folder, rung)


def annotation(scores: Scores) -> dict[str, list[Row]]:
    """`means` of the baseline and all rungs, `gains` over the baseline and of each rung over the one above it, and the
    `shares` of the oracle's gain that survive."""
    groups = scores.groups()
    gain: dict[str, Weights] = {rung: {rung: 1.0, "baseline": -1.0} for rung in RUNGS}
    contrasts = {f"{rung} - baseline": weights for rung, weights in gain.items()}
    contrasts |= {f"{low} - {high}": {low: 1.0, high: -1.0} for high, low in pairwise(RUNGS)}
    return {
        "means": means(scores, ["baseline", *RUNGS], groups),
        "gains": differences(scores, contrasts, groups),
        "shares": [
            row
            for rung in RUNGS[1:]
            for row in ratios(scores, f"share kept by {rung}", gain[rung], gain["cotasks"], groups)
        ],
    }


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    steps = step_rows(setup.records, {rung: predictions_folder(folder, rung) for rung in RUNGS[1:]})
    return {**annotation(scores), "steps": steps}


def _ladder(figure: Any, tables: Tables) -> None:
    groups = groups_of(tables["means"])
    figure.set_size_inches(8, 0.95 * len(groups) + 1.5)
    axes = figure.subplots()
    for series, condition in enumerate(("baseline", *reversed(RUNGS))):
        rows = [row for row in tables["means"] if row["condition"] == condition]
        points(axes, groups, rows, series, (series - 2) * 0.17, label=condition)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set(xlabel="answer score", xlim=(0, 104), title="From no steps and a model's own to a machine's and true ones")
    figure.legend(loc="outside lower center", frameon=False, ncols=5)


def _shares(figure: Any, tables: Tables) -> None:
    rows = [{**row, "mean": row["value"]} for row in of_group(tables["shares"])]
    figure.set_size_inches(7.5, 2.4)
    axes = figure.subplots()
    points(axes, [row["name"] for row in rows], rows)
    axes.invert_yaxis()
    axes.axvline(1.0, color="#888888", linewidth=0.8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set(xlabel="share of the oracle's gain", title="What survives each rung")


STUDY = Study(
    name="annotation",
    title="From true annotation to a machine's",
    reading="""\
A ladder: `baseline` is told nothing; `cotasks` the true steps; `same-a1` true frames and entities in step 1, with the
machine's boxes and relations of those of them that it found; `machine` steps that are all made from the machine's
annotation, step 1 by the words of the question; `predicted` the model's own. The **share kept** by a rung is its gain
over `baseline` divided by that of `cotasks`, with Fieller's interval; it is not quoted where the oracle's gain does not
differ from 0, and a negative one says that the steps do harm. What a rung loses of the one above it says which part of
the annotation is worth making by hand: boxes and relations, the choice of what matters, or all of it. Where no video
language model was asked for actions (`cotasks annotate --model`), step 4 is `none` from `same-a1` on. Questions whose
video the machine has not annotated are unscored there, and count in none of the comparisons with that rung.""",
    conditions=lambda setup: ["baseline", "predicted", "cotasks"],
    tables=_tables,
    pictures=lambda tables: [("annotation", _ladder), ("annotation-shares", _shares)],
    predicts=True,
    rungs=(SAME_A1, MACHINE),
    prepare=prepare,
)
