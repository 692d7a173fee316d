"""Joint scores in a report: the rows of `summary.json`, the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.errors import InputError
from cotasks.metrics.joint import JOINT
from cotasks.report.summary import Row, Scored
from cotasks.report.tables import NOTHING, Line, Table
from cotasks.runs.records import Loaded
from cotasks.step_scores.joint import Evidence, add_castbench, add_steps_of, interval_cell, predictions_of, rows_of_run

NOTES = (
    "Joint scores run from 0 to 1, with 95% intervals over videos; each is defined at the head of "
    "`cotasks/metrics/joint.py`. Questions that do not define a score are in no mean.",
)


def joint_of(one: Scored, dataset: str | None, loaded: Loaded) -> tuple[list[Row], list[str]]:
    """(rows of `joint`, warnings).

    Args:
        one: the run.
        dataset: where its records are; None for where run.json says.
        loaded: those that were loaded already.
    """
    evidence, warnings = Evidence(), []
    try:
        add_castbench(one.run, evidence)
        found = predictions_of(one.run)
        if found is not None:
            add_steps_of(one.run, found, dataset, evidence, loaded)
    except InputError as error:
        warnings.append(f"no joint scores with predicted steps: {error}.")
    if not evidence:
        return [], warnings
    label = {"run": one.name, "model": one.model}
    rows = rows_of_run(one.run, one.verdicts, evidence)
    return [{**label, **row, "boxes": evidence.boxes} for row in rows], warnings


def joint_table(summary: Mapping[str, Any]) -> Table | None:
    """Runs by score; None where no run has evidence."""
    lines = [
        Line(
            [
                row["model"],
                row["condition"],
                row["judge"] or NOTHING,
                row["title"],
                str(row["questions"]),
                str(row["videos"]),
                interval_cell(row),
            ]
        )
        for name in JOINT
        for row in summary["joint"]
        if row["score"] == name
    ]
    header = ["Model", "Condition", "Judge", "Score", "Questions", "Videos", "Mean"]
    return Table(header, lines, 4) if lines else None


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read the table."""
    if not summary["joint"]:
        return []
    grounds = {row["model"]: row["boxes"] for row in summary["joint"] if row["boxes"]}
    return [*NOTES, *(f"Boxes of {model}: {ground}." for model, ground in grounds.items())]


def joint_parts(scored: Sequence[Scored], dataset: str | None, loaded: Loaded) -> tuple[list[Row], list[str]]:
    """(rows of `joint` of all runs, warnings)."""
    rows: list[Row] = []
    warnings: list[str] = []
    for one in scored:
        found, said = joint_of(one, dataset, loaded)
        rows += found
        warnings += [f"{one.name}: {text}" for text in said]
    return rows, warnings
