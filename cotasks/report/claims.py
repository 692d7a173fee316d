"""A report's differences, and what may be claimed of them: adjusted p values, ranges, equivalence; rows, tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.metrics.claims import equivalence, holm
from cotasks.report.tables import Line, PValue, Table, difference_lines, interval, model_labels, number, part_name
from cotasks.words.types import group_title

Row = dict[str, Any]


def add(parts: dict[str, list[Row]], margin: float | None) -> None:
    """Adjust the p values of `differences` and `between_runs`, and fill `equivalence`, of a summary's parts.

    Args:
        parts: of the summary.
        margin: Within which a difference is as good as none; None for no such test.
    """
    adjust(parts["differences"], ("micro", "macro", "category"))
    adjust(parts["between_runs"], ("micro",))
    parts["equivalence"] = equivalences(parts["differences"], margin)


def adjust(rows: Sequence[Row], levels: Sequence[str]) -> None:
    """Give each row of `differences` or `between_runs` its `p_holm`, over all rows of its judge at these levels.

    Where a part of the questions is all of another (the only category or source), both are one test. Rows of other
    levels have None.
    """
    categories: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row["level"] == "category":
            categories.setdefault((row["run"], row["group"]), set()).add(row["name"])
    names = ("run", "condition", "baseline", "reference_run", "questions", "videos", "mean", "error", "p_value")

    def test(row: Row) -> tuple[Any, ...]:
        """What tells two tests apart: what is compared, its numbers, and of categories beside others the name."""
        values = [round(v, 9) if isinstance(v := row.get(name), float) else v for name in names]
        several = row["level"] == "category" and len(categories[row["run"], row["group"]]) > 1
        return (*values, (row["group"], row["name"]) if several else None)

    families: dict[str, dict[tuple[Any, ...], float | None]] = {}
    for row in rows:
        if row["level"] in levels:
            families.setdefault(row["judge"], {})[test(row)] = row["p_value"]
    adjusted = {judge: dict(zip(tests, holm(list(tests.values())), strict=True)) for judge, tests in families.items()}
    for row in rows:
        row["p_holm"] = adjusted[row["judge"]][test(row)] if row["level"] in levels else None


def equivalences(differences: Sequence[Row], margin: float | None) -> list[Row]:
    """A row for each difference but those by question type: whether it is as good as none; empty without a margin."""
    if margin is None:
        return []
    rows = []
    for row in differences:
        if row["level"] != "question_type":
            found = equivalence(row["mean"], row["error"], row["degrees"], margin)
            kept = {name: value for name, value in row.items() if name not in ("low", "high", "p_value", "p_holm")}
            rows.append({**kept, "margin": margin, **dataclasses.asdict(found), "shown": found.shown})
    return rows


def difference_table(summary: Mapping[str, Any], judge: str) -> Table | None:
    """Every difference with its p value, but for those by question type; None where there is none."""
    lines = [
        Line(
            [
                *label,
                str(d["questions"]),
                str(d["videos"]),
                interval(d),
                PValue(d["p_value"]),
                PValue(d["p_holm"]),
                bounds(d),
            ]
        )
        for d, label in difference_lines(summary, judge)
    ]
    header = ["Model", "Conditions", "Over", "Questions", "Videos", "Difference", "p", "p, Holm", "Unscored, range"]
    return Table(header, lines, 3) if lines else None


def between_runs_table(summary: Mapping[str, Any], judge: str) -> Table | None:
    """Averages of every two runs compared; None with a single run."""
    labels = model_labels(summary)
    lines = [
        Line(
            [
                f"{labels[d['run']]} minus {labels[d['reference_run']]}",
                d["condition"],
                f"{group_title(d['group'])}, {part_name(d)}",
                str(d["questions"]),
                str(d["videos"]),
                interval(d, is_difference=True),
                PValue(d["p_value"]),
                PValue(d["p_holm"]),
                bounds(d),
            ]
        )
        for d in summary["between_runs"]
        if d["judge"] == judge and d["level"] == "micro"
    ]
    header = ["Models", "Condition", "Over", "Questions", "Videos", "Difference", "p", "p, Holm", "Unscored, range"]
    return Table(header, lines, 3) if lines else None


def bounds(row: Mapping[str, Any]) -> str:
    """What unscored answers could do to a difference, `2: +3.1 to +5.2`; nothing where there are none."""
    if not row["unscored"] or row["lowest"] is None or row["highest"] is None:
        return ""
    return f"{row['unscored']}: {number(row['lowest'], '+')} to {number(row['highest'], '+')}"


def equivalence_table(summary: Mapping[str, Any], judge: str) -> Table | None:
    """Which differences are as good as none; None where nobody asked."""
    if not summary["equivalence"]:
        return None
    margin = number(summary["equivalence"][0]["margin"])
    lines = [
        Line([*label, interval(row), PValue(row["p_no_worse"]), PValue(row["p_equivalent"]), str(row["shown"])])
        for row, label in difference_lines({**summary, "differences": summary["equivalence"]}, judge)
    ]
    header = ["Model", "Conditions", "Over", "Difference, 90% interval", f"p, below -{margin}", f"p, outside ±{margin}"]
    return Table([*header, "Shown"], lines, 3, f"Equivalence within ±{margin}") if lines else None


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read these values, where there are any."""
    if not summary["differences"]:
        return []
    found = [
        "p, Holm: adjusted over all tests of the table, so that one false find among them has a chance below 5%. "
        "Unscored, range: the questions that lack a score of one of the two, and the difference over all that both "
        "were asked, if every unscored answer had gone against the condition, and if every one had gone for it."
    ]
    if summary["equivalence"]:
        margin = number(summary["equivalence"][0]["margin"])
        found.append(
            f"Equivalence: two one-sided tests at the level 0.05, not adjusted for their number. No worse: a loss of "
            f"{margin} points or more is refused; equivalent: a gain of so many, too. Neither is no evidence of a "
            "difference. The margin must have been chosen before the results were seen."
        )
    return found
