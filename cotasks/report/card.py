"""`reproducibility.md`: one page that says what a reader needs to get a report's numbers again.

Data, origins of step 1, model and settings, judges, cost, versions, warnings, commands: all of it read from the runs.
Keys and tokens stand in no run folder, so they cannot stand here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cotasks.pages.markdown import LONGEST, escape, table
from cotasks.report import costs, origins
from cotasks.report.markdown import render_table
from cotasks.report.summary import STATES, Row

_PARTS = {
    "Data": ("dataset", "video_check", "frames"),
    "Model": ("model", "backend", "server", "thinking"),
    "Settings": ("conditions", "sampling", "max_new_tokens", "context_tokens", "predictions", "imported"),
    "Versions": ("versions",),
}
"""Heading -> the fields of `run.json` under it. What stands under none of them is under "Settings"."""


def render(summary: Mapping[str, Any]) -> str:
    """The page.

    Args:
        summary: of the report.
    """
    parts = ["# Reproducibility"]
    for run in summary["runs"]:
        parts += [f"## {escape(run['run'])}: {escape(run['model'])}", _of_run(run)]
    step_1 = origins.origin_table(summary)
    parts += ["## Step 1", render_table(step_1)] if step_1 is not None else []
    parts += ["## Judges", _judges(summary)]
    cost = costs.table(summary)
    parts += ["## Cost", render_table(cost)] if cost is not None else []
    if summary["warnings"]:
        parts += ["## Before you quote a number", _list(summary["warnings"])]
    lines = [line for run in summary["runs"] for line in _commands(run, summary["baseline"])]
    lines = [" ".join(line.replace("`", "'").split()) for line in lines]
    parts += [
        "## Commands",
        "Data and videos are looked for where `run.json` names them.",
        "```bash\n" + "\n".join(lines) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _of_run(run: Row) -> str:
    """Its settings, a line a field of `run.json`, by what they are about."""
    told = run["settings"].get("conditions", {})
    styles = {str(one["answer_style"]) for one in told.values() if isinstance(one, Mapping) and "answer_style" in one}
    names = ", ".join(run["conditions"])  # each says what its condition is
    settings = {**run["settings"], "conditions": names + "".join(f"; answers {style}" for style in sorted(styles))}
    placed = {field for fields in _PARTS.values() for field in fields}
    others = tuple(field for field in settings if field not in placed)
    rows = [["Data", "questions", f"{run['questions']} of {run['videos']} videos"]]
    for heading, fields in _PARTS.items():
        named = [*fields, *others] if heading == "Settings" else fields
        rows += [[heading, escape(field), escape(_said(settings[field]))] for field in named if field in settings]
    shown = [["" if n and row[0] == rows[n - 1][0] else row[0], *row[1:]] for n, row in enumerate(rows)]
    return table(["", "field", "value"], shown, 3)


def _said(value: Any) -> str:
    """`name toy, dtype float32, limits (fixed none, multiple 28)`"""
    if isinstance(value, Mapping):
        held = ((name, f"({_said(one)})" if isinstance(one, Mapping) else _said(one)) for name, one in value.items())
        return ", ".join(f"{name} {one}" for name, one in held)
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return "none" if value is None else str(value)


def _judges(summary: Mapping[str, Any]) -> str:
    """Each judge with its rule's version, the answers that it scored, and what it could not score."""
    rows = []
    for run in summary["runs"]:
        for judge, rule in run["judges"].items():
            of = [row for row in summary["verdicts"] if (row["run"], row["judge"]) == (run["run"], judge)]
            answers = sum(row[state] for row in of for state in STATES)
            unscored = sum(row["unscored"] for row in of)
            rows.append([escape(run["run"]), escape(judge), escape(str(rule)), str(answers), str(unscored)])
    return table(["run", "judge", "rule", "answers", "unscored"], rows, 3)


def _commands(run: Row, baseline: str) -> list[str]:
    """What makes the run, its verdicts and these tables again. `run.json` is the whole of its options."""
    settings = Path(run["folder"]) / "run.json"
    again = shlex.quote(f"again/{run['run']}")
    if run["settings"].get("backend") == "imported":
        first = f"# {again}: answers of another program, to be taken in again by cotasks import"
    else:
        first = f"cotasks generate --config {shlex.quote(settings.as_posix())} --run {again}"
    told = "" if baseline == "baseline" else f" --baseline {shlex.quote(baseline)}"
    judged = [f"cotasks judge {again} --judge {shlex.quote(judge)}" for judge in run["judges"]]
    return [first, *judged, f"cotasks report {again}{told} --layout paper"]


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {escape(text, LONGEST)}" for text in texts)
