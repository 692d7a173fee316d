"""How errors in step 1 spread: it is corrupted more and more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotasks.metrics.contrasts import Scores, Weights, estimates, interval_row, weighted
from cotasks.pages.plots import GREY
from cotasks.step_scores.table import DRAWN, corrupted_step_rows, metric_title
from cotasks.studies.drawing import line, of_group
from cotasks.studies.rows import differences
from cotasks.studies.study import Row, Setup, Study, Tables


def corrupt_condition(corruption: float, seed: int) -> str:
    """`cotasks` with step 1 corrupted; without corruption, `cotasks` itself, which reads the same."""
    return "cotasks" if corruption == 0 else f"cotasks:corrupt={corruption:g},seed={seed}"


def conditions(setup: Setup) -> list[str]:
    """The baseline, and every corruption once; no corruption is asked whether or not it was named."""
    levels = [0.0, *(level for level in setup.corruptions if level)]
    texts = [corrupt_condition(level, seed) for level in levels for seed in range(setup.seeds)]
    return ["baseline", *dict.fromkeys(texts)]


def error_propagation(scores: Scores, levels: Sequence[float], seeds: int) -> dict[str, list[Row]]:
    """`means` and `differences` from the oracle, by {corruption}: each question's mean over the seeds; the baseline's
    corruption is None."""
    groups = scores.groups()
    found: dict[str, list[Row]] = {"means": [], "differences": []}
    blends: dict[float | None, Weights] = {None: {"baseline": 1.0}}
    for corruption in levels:
        texts = list(dict.fromkeys(corrupt_condition(corruption, seed) for seed in range(seeds)))
        blends[corruption] = {text: 1.0 / len(texts) for text in texts}
    columns = [(weighted(scores, weights), inside) for weights in blends.values() for inside in groups.values()]
    labels = [(level, group) for level in blends for group in groups]
    for (level, group), one in zip(labels, estimates(columns, scores.video_ids, 0.0, 100.0), strict=True):
        found["means"].append({"corruption": level, "group": group, **interval_row(*one), "p_value": None})
    oracle = {corrupt_condition(0.0, 0): -1.0}
    for level, weights in blends.items():
        if level:
            rows = differences(scores, {f"corruption {level:g} - oracle": {**oracle, **weights}}, groups)
            found["differences"] += [{"corruption": level, **row} for row in rows]
    return found


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    found = error_propagation(scores, setup.corruptions, setup.seeds)
    return {**found, "steps": corrupted_step_rows(setup.records, setup.corruptions, setup.seeds)}


def _corruption(figure: Any, tables: Tables) -> None:
    figure.set_size_inches(10, 3.8)
    left, right = figure.subplots(1, 2)
    steps = [
        row for row in of_group(tables["steps"]) if row["baseline"] is None and (row["step"], row["metric"]) in DRAWN
    ]
    for series, name in enumerate(dict.fromkeys((row["step"], row["metric"]) for row in steps)):
        rows = [row for row in steps if (row["step"], row["metric"]) == name]
        line(left, [row["corruption"] for row in rows], rows, series, f"step {name[0]}: {metric_title(name[1])}")
    left.set(xlabel="probability of corruption", ylabel="score against the true step", ylim=(0, 104), title="Steps")
    left.legend(frameon=False, fontsize=9)
    rows = [row for row in of_group(tables["means"]) if row["corruption"] is not None]
    line(right, [row["corruption"] for row in rows], rows, 0, "cotasks, corrupted")
    base = next(row for row in of_group(tables["means"]) if row["corruption"] is None)
    if base["mean"] is not None:
        right.axhline(base["mean"], color=GREY, linewidth=1, label="baseline")
        if base["low"] is not None:
            right.axhspan(base["low"], base["high"], color=GREY, alpha=0.15, linewidth=0)
    right.set(xlabel="probability of corruption", ylabel="answer score", ylim=(0, 104), title="Answers")
    right.legend(frameon=False, fontsize=9)


STUDY = Study(
    name="error-propagation",
    title="How errors in step 1 spread",
    reading="""\
Step 1 is corrupted with probability p: each of its frames moves to a random one, each of its entities is swapped or
dropped, and steps 2 to 4 are rebuilt from the scene. p = 0 is the oracle. The step scores need no model: they say how
wrong the context is, each step against its truth. The answer scores say what that does to answers. The first point at
which the answers' interval holds the baseline's mean is where such a step 1 stops being worth its tokens.""",
    conditions=conditions,
    tables=_tables,
    pictures=lambda tables: [("corruption", _corruption)],
)
