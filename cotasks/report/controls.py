"""What judges said to answers whose verdict is known: rows of `summary.json`, a line beside each mean, a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from cotasks.judge.controls import CONTROLS, outcomes_of
from cotasks.judge.judges import judge_named
from cotasks.report.tables import NOTHING, Line, Table, number
from cotasks.runs.run import Run

Row = dict[str, Any]

NOTE = (
    "Controls are answers whose verdict is known, to some of the run's questions: a sound judge says yes to the "
    "reference, in a sentence or in more words, and no to the question given back and to another question's reference, "
    "whatever it says of itself. A judge that accepts wrong ones gives scores to them among the answers, too."
)


def rows_of(run: Run, judges: Iterable[str]) -> list[Row]:
    """{judge} and the fields of `judge.controls.Outcome` but `failed`, of each control that a judge was asked.

    Raises InputError where a file of controls is damaged.
    """
    rows = []
    for judge in judges:
        for outcome in [] if judge_named(judge).is_rule else outcomes_of(run, judge):
            row = dataclasses.asdict(outcome)
            del row["failed"]
            rows.append({"judge": judge, **row})
    return rows


def beside(summary: Mapping[str, Any], judge: str) -> list[str]:
    """A line for each run: to which controls the judge said yes."""
    named, lines = len(summary["runs"]) > 1, []
    for run in (run["run"] for run in summary["runs"]):
        rows = [row for row in summary["controls"] if (row["judge"], row["run"]) == (judge, run)]
        said = {
            right: "; ".join(
                f"{CONTROLS[row['control']].title} {row['accepted']} of {row['asked']}"
                for row in rows
                if row["right"] is right
            )
            for right in (True, False)
        }
        if rows:
            both = f"to right answers ({said[True] or NOTHING}) and to wrong ones ({said[False] or NOTHING})"
            lines.append(f"Controls{f' of {run}' if named else ''}: this judge says yes {both}.")
    return lines


def table(summary: Mapping[str, Any]) -> Table | None:
    """What each judge said to each control; None where none was asked."""
    lines = [
        Line(
            [
                row["run"],
                row["judge"],
                CONTROLS[row["control"]].title,
                "yes" if row["right"] else "no",
                str(row["asked"]),
                str(row["accepted"]),
                NOTHING if row["mean"] is None else number(row["mean"]),
                str(row["unscored"]),
            ]
        )
        for row in summary["controls"]
    ]
    header = ["Run", "Judge", "Control", "A sound judge says", "Asked", "Says yes", "Mean score", "Unscored"]
    return Table(header, lines, 4, "Controls of judges") if lines else None


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read these, where there are any."""
    return [NOTE] if summary["controls"] else []
