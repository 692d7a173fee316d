"""How far judges agree, with each other and with themselves: rows of `summary.json`, tables and notes of a report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cotasks.judge.judges import judge_named
from cotasks.judge.llm.settings import PREFIX
from cotasks.judge.options import read_reader
from cotasks.judge.rules import READ_BY_MODEL
from cotasks.judge.verdicts import Verdict
from cotasks.report.tables import NOTHING, Line, Table, number
from cotasks.runs.folder import Key
from cotasks.runs.run import Run

Row = dict[str, Any]

AGREEMENT_NOTE = (
    "Agreement is over the answers that a language model was asked about and that both judges have scored; options, "
    "empty answers and refusals are left out, for one rule decides them under every judge. Same verdict: both right or "
    "both not; kappa is Cohen's, of that. Weighted kappa is Cohen's of the scores with quadratic weights, alpha is "
    "Krippendorff's for intervals, of the scores. All are 1 for full agreement, 0 for chance, and "
    f"{NOTHING} where all verdicts are the same. Mean difference: the first judge's mean minus the second's."
)
SCALE_NOTE = (
    "A language model's score is its rating on the scale of its rubric, stretched to 0 to 100: 0-5, or the scale that "
    "the settings name beside the rubric. Right is its yes: the answer means the same as a reference."
)
SPREAD_NOTE = (
    "A judge's own spread is over the answers with two or more scored repeats. Deviation: the standard deviation of an "
    "answer's score from one repeat to another; score moved, verdict flipped: answers whose repeats differ; alpha is "
    "Krippendorff's for intervals, of the repeats; mean: the lowest and the highest of a single repeat."
)


def of_models(run: Run, verdicts: Mapping[str, Mapping[Key, Verdict]]) -> tuple[list[Row], list[Row], list[str]]:
    """(agreement of the language models with each other and with `exact`, their spread over repeats, warnings of those
    that were not one model all the while)."""
    models = [judge for judge in verdicts if not judge_named(judge).is_rule]
    if not models:
        return [], [], []
    from cotasks.judge.agreement import agreement_between, spread_in
    from cotasks.judge.judges import served_models

    compared = [*models, *(["exact"] if "exact" in verdicts else [])]
    agreement = []
    for pair in agreement_between(run, {judge: verdicts[judge] for judge in compared}):
        row = dataclasses.asdict(pair)
        agreement.append({"judge": row["judges"][0], "other_judge": row["judges"][1], **row})
        del agreement[-1]["judges"]
    spread, warnings = [], []
    for judge in models:
        found = spread_in(run, judge)
        if found.repeats > 1:
            row = dataclasses.asdict(found)
            means = [mean for mean in row.pop("means") if mean is not None]
            spread.append({**row, "lowest_mean": min(means, default=None), "highest_mean": max(means, default=None)})
        served = served_models(run, judge)
        if len(served) > 1:
            versions = ", ".join(f"{model} ({count})" for model, count in served.most_common())
            warnings.append(f"judge {judge}: its server says that different models gave the verdicts: {versions}.")
    return agreement, spread, warnings


def options_read(run: Run, verdicts: Mapping[str, Mapping[Key, Verdict]]) -> list[str]:
    """Warnings of the options that a language model read, where the rules could not; by condition."""
    reader = read_reader(run.folder)
    warnings = []
    for judge, given in verdicts.items():
        found = Counter(key[1] for key, verdict in given.items() if verdict.reason == READ_BY_MODEL)
        if found and reader is not None:
            counts = ", ".join(f"{condition} {found[condition]}" for condition in run.conditions if found[condition])
            what = (
                f"{found.total()} options of multiple choice, which the rules cannot read, were read by {reader.name}"
            )
            warnings.append(f"judge {judge}: {what}: {counts}.")
    return warnings


def agreement_table(summary: Mapping[str, Any]) -> Table | None:
    """How far two judges agree on one run; None where no run has two of which one is a language model."""
    lines = [
        Line(
            [
                run["run"],
                f"{row['judge']} and {row['other_judge']}",
                f"{row['answers']} ({row['left_out']} left out)" if row["left_out"] else str(row["answers"]),
                NOTHING if row["same"] is None else f"{row['same']:.1%}",
                *(coefficient(row[field]) for field in ("kappa", "weighted_kappa", "alpha")),
                NOTHING if row["difference"] is None else number(-row["difference"], "+"),
            ]
        )
        for run in summary["runs"]
        for row in summary["agreement"]
        if row["run"] == run["run"]
    ]
    header = ["Run", "Judges", "Answers", "Same verdict", "Kappa", "Weighted kappa", "Alpha", "Mean difference"]
    return Table(header, lines, 2) if lines else None


def spread_table(summary: Mapping[str, Any]) -> Table | None:
    """How far a judge agrees with itself; None where none was asked more than once."""
    lines = [
        Line(
            [
                row["run"],
                row["judge"],
                str(row["repeats"]),
                str(row["answers"]),
                NOTHING if row["deviation"] is None else number(row["deviation"]),
                *(NOTHING if row[field] is None else f"{row[field]:.1%}" for field in ("moved", "flipped")),
                coefficient(row["alpha"]),
                NOTHING
                if row["lowest_mean"] is None
                else f"{number(row['lowest_mean'])} to {number(row['highest_mean'])}",
            ]
        )
        for row in summary["spread"]
    ]
    header = ["Run", "Judge", "Repeats", "Answers", "Deviation", "Score moved", "Verdict flipped", "Alpha", "Mean"]
    return Table(header, lines, 2) if lines else None


def coefficient(value: float | None) -> str:
    """`0.831`"""
    return NOTHING if value is None else f"{value:.3f}"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read these tables, where there are any."""
    models = any(judge.startswith(PREFIX) for run in summary["runs"] for judge in run["judges"])
    found = ((SCALE_NOTE, models), (AGREEMENT_NOTE, summary["agreement"]), (SPREAD_NOTE, summary["spread"]))
    return [note for note, there in found if there]
