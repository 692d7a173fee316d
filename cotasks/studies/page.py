"""`study.json` as one Markdown page. Whatever comes from data is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.pages.markdown import LONGEST, escape, table
from cotasks.report.origins import UNKNOWN
from cotasks.step_scores.table import metric_title
from cotasks.steps.frame_localization import origin_label
from cotasks.studies.study import Study

Row = Mapping[str, Any]

TABLE_TITLES = {
    "means": "Scores",
    "differences": "Differences",
    "shares": "Shares",
    "pairs": "A set of steps against the others",
    "gains": "Gains",
    "steps": "Steps against their truth",
    "leakage": "What the context gives away",
    "sub-questions": "Sub-questions by kind",
}
LABELS = ("condition", "name", "corruption", "arm", "frames", "step", "metric", "measure", "baseline")
"""Fields that say what a row is of, in the order of the columns; groups of questions are columns of their own."""


def render(study: Study, summary: Row, pictures: Sequence[str]) -> str:
    """The page.

    Args:
        study: whose page it is.
        summary: the content of `study.json`.
        pictures: names of the PNG files beside the page.
    """
    run = summary["run"]
    parts = [
        f"# {study.title}",
        f"Study `{study.name}`: model {escape(run['model'])}, data {escape(run['dataset'])}, "
        f"split {escape(run['split'])}, "
        f"{run['questions']} questions about {run['videos']} videos, judge {escape(summary['judge'])}.",
        *_models(summary.get("models", {})),
        *_origins(summary.get("origins", ())),
        *([_warnings(summary["warnings"])] if summary["warnings"] else []),
        study.reading,
        *(f"![{escape(name)}]({name})" for name in pictures),
    ]
    for name, rows in summary["tables"].items():
        if name == "steps":
            rows = [row for row in rows if row["main"]]
        if rows:
            parts += [f"## {study.titles.get(name, TABLE_TITLES[name])}", _table(rows)]
    parts += ["## Conditions", "\n".join(f"- `{condition}`" for condition in summary["conditions"])]
    parts.append(
        "Means are over the questions that have all scores a line needs, with 95% intervals over videos; bold: a "
        "difference whose interval leaves out 0; rough: an interval that rests on too few videos, or too few answers "
        "at one end of the scale, to be held to its level. `study.json` has p values, and the unscored answers of each "
        "mean."
    )
    return "\n\n".join(parts) + "\n"


def _models(models: Mapping[str, str]) -> list[str]:
    """Which model each name stands for, in one line; nothing where there is one."""
    listed = ", ".join(f"`{escape(name)}` {escape(model)}" for name, model in models.items())
    return [f"Models: {listed}."] if models else []


def _origins(rows: Sequence[Row]) -> list[str]:
    """Where step 1 of the questions comes from, in one line; nothing where a run of an older version does not say."""
    counts: dict[str, int] = {}
    for row in rows:
        label = origin_label(row["span_origin"], row["used_answer"])
        counts[label] = counts.get(label, 0) + row["questions"]
    listed = ", ".join(f"{label} ({count})" for label, count in counts.items())
    return [f"Step 1 by origin: {escape(listed)}."] if counts and UNKNOWN not in counts else []


def _warnings(warnings: Sequence[str]) -> str:
    lines = "\n".join(f"- {escape(warning, LONGEST)}" for warning in warnings)
    return f"**Before you quote a number:**\n\n{lines}"


def _table(rows: Sequence[Row]) -> str:
    """One line for each thing measured, one column for each group of questions."""
    labels = [name for name in LABELS if name in rows[0]]
    if len(labels) > 1 and "measure" not in labels:  # what the others say together
        labels = [name for name in labels if name not in ("condition", "name")]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    lines: dict[tuple[object, ...], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in labels), {})[row["group"]] = row
    body = [
        [_label(name, value, "step" in labels) for name, value in zip(labels, key, strict=True)]
        + [_cell(found[group]) if group in found else "" for group in groups]
        for key, found in lines.items()
    ]
    counts = ["questions", *[""] * (len(labels) - 1)] + [_count(rows, group) for group in groups]
    return table([*labels, *map(escape, groups)], [*body, counts], len(labels))


def _cell(row: Row) -> str:
    """The mean with its interval, in bold where it is a difference whose interval leaves out 0."""
    value = row["value"] if "value" in row else row["mean"]
    if value is None:
        return "-"
    if row["low"] is None:
        return "not to be quoted" if "value" in row else f"{value:.1f}"
    digits = 2 if "value" in row else 1
    text = f"{value:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    text += " rough" if row.get("rough") else ""
    return f"**{text}**" if row.get("p_value") is not None and not row["low"] <= 0 <= row["high"] else text


def _count(rows: Sequence[Row], group: str) -> str:
    """Over how many questions the means of a group are."""
    counts = [row["questions"] for row in rows if row["group"] == group]
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _label(name: str, value: object, of_steps: bool) -> str:
    if value is None:
        return "no steps" if name == "corruption" and not of_steps else ""
    return metric_title(str(value)) if name == "metric" else escape(value)
