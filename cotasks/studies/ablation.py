"""Which steps help: every set of the four is a condition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial
from typing import Any

from cotasks.metrics.contrasts import Scores
from cotasks.studies.drawing import groups_of, of_group, points, zero
from cotasks.studies.rows import differences, means
from cotasks.studies.study import Row, Study, Tables

STEPS = (1, 2, 3, 4)


def subset_condition(steps: Sequence[int]) -> str:
    """The condition that holds exactly these steps: `baseline` for none, `cotasks` for all."""
    if not steps:
        return "baseline"
    return "cotasks" if tuple(steps) == STEPS else "cotasks-" + "".join(map(str, steps))


def subsets() -> list[tuple[int, ...]]:
    """All sets of steps, from none to all four."""
    return [chosen for size in range(len(STEPS) + 1) for chosen in combinations(STEPS, size)]


def shapley_weights(step: int) -> dict[str, float]:
    """Condition -> weight, such that the weighted sum of scores is the step's Shapley value among the four."""
    n, weights = len(STEPS), dict[str, float]()
    for chosen in subsets():
        if step not in chosen:
            weight = factorial(len(chosen)) * factorial(n - len(chosen) - 1) / factorial(n)
            weights[subset_condition(chosen)] = -weight
            weights[subset_condition(sorted([*chosen, step]))] = weight
    return weights


def ablation(scores: Scores) -> dict[str, list[Row]]:
    """`means`, `differences` from the baseline, `shares` of the steps, and `pairs` of opposite sets."""
    groups = scores.groups()
    chosen = [subset for subset in subsets() if subset]
    against = {subset_condition(s): {subset_condition(s): 1.0, "baseline": -1.0} for s in chosen}
    pairs = {}
    for subset in (s for s in chosen if 1 in s and len(s) < len(STEPS)):
        one = subset_condition(subset)
        other = subset_condition([step for step in STEPS if step not in subset])
        pairs[f"{one} - {other}"] = {one: 1.0, other: -1.0}
    return {
        "means": means(scores, [subset_condition(s) for s in subsets()], groups),
        "differences": differences(scores, against, groups),
        "shares": differences(scores, {f"step {step}": shapley_weights(step) for step in STEPS}, groups),
        "pairs": differences(scores, pairs, groups),
    }


def _ablation(figure: Any, tables: Tables) -> None:
    rows = of_group(tables["differences"])
    figure.set_size_inches(7.5, 0.33 * len(rows) + 1.2)
    axes = figure.subplots()
    points(axes, [row["name"] for row in rows], rows)
    zero(axes)
    axes.set(xlabel="score minus baseline, points", title="What each set of steps adds")


def _shapley(figure: Any, tables: Tables) -> None:
    groups = groups_of(tables["shares"])
    figure.set_size_inches(7.5, 2.8)
    axes = figure.subplots()
    for series, group in enumerate(groups):
        rows = of_group(tables["shares"], group)
        shift = (series - (len(groups) - 1) / 2) * 0.8 / len(groups)
        points(axes, [row["name"] for row in rows], rows, series, shift, label=group)
    zero(axes)
    axes.set(xlabel="share of the gain of all four (Shapley value), points", title="What each step is worth")
    figure.legend(loc="outside right upper", frameon=False)


STUDY = Study(
    name="ablation",
    title="Which steps help",
    reading="""\
Every set of the four steps is a condition. `difference` is a condition's score minus `baseline` on the same questions.
The **share of a step** is its Shapley value: what the score gains when the step is added to a set of the others, over
all sets, with the weights that make the four shares add up to the difference between `cotasks` and `baseline`
(Shapley 1953). A share near 0 beside a large difference of the step alone says that the others tell the same. The paper
compares steps 1-2 with 3-4; that is one line of the table of pairs.""",
    conditions=lambda setup: [subset_condition(steps) for steps in subsets()],
    tables=lambda setup, scores, folder: ablation(scores),
    pictures=lambda tables: [("differences", _ablation), ("shares", _shapley)],
)
