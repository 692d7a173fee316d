"""What runs took, side by side: answers, videos, frames and tokens in a time, waiting, device, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.report.tables import NOTHING, Line, Table
from cotasks.runs.costs import Costs, read_costs
from cotasks.runs.folder import read_settings
from cotasks.runs.run import Row, Run

NOTE = (
    "Cost: over all commands that worked on a run, loading left out. A second is one in which at least one process was "
    "at work; waiting is the share of the processes' time in which the model waited for videos to be decoded. A frame "
    "that several prompts show counts in each. Memory is the most of one process, on its device where that has its own."
)


def row_of(costs: Costs) -> Row:
    """A row of `costs` in `summary.json`, without run and model."""
    return {
        **asdict(costs),
        "processes": costs.processes,
        "waiting_share": costs.waiting,
        "answers_a_minute": costs.rate(costs.answers, 60.0),
        "videos_a_minute": costs.rate(costs.videos, 60.0),
        "frames_a_second": costs.rate(costs.frames),
        "prompt_tokens_a_second": costs.rate(costs.prompt_tokens),
        "answer_tokens_a_second": costs.rate(costs.answer_tokens),
    }


def rows_of(run: Run) -> tuple[list[Row], list[str]]:
    """(the row of a run, where it says what it took; a warning, where that is damaged)."""
    try:
        found = read_costs(run.folder)
    except InputError as error:
        return [], [f"what it took is left out: {error}"]
    return ([] if found is None else [row_of(found)]), []


_MEASURES: dict[str, Callable[[Row], str]] = {
    "Device": lambda row: ", ".join(row["devices"]),
    "Processes at work": lambda row: _figure(row["processes"]),
    "Hours": lambda row: f"{row['seconds'] / 3600:,.2f}",
    "Answers": lambda row: f"{row['answers']:,}",
    "Answers a minute": lambda row: _figure(row["answers_a_minute"]),
    "Videos a minute": lambda row: _figure(row["videos_a_minute"]),
    "Frames a second": lambda row: _figure(row["frames_a_second"]),
    "Prompt tokens a second": lambda row: _figure(row["prompt_tokens_a_second"]),
    "Answer tokens a second": lambda row: _figure(row["answer_tokens_a_second"]),
    "Waiting for videos": lambda row: NOTHING if row["waiting_share"] is None else f"{row['waiting_share']:.0%}",
    "Peak memory, GiB": lambda row: NOTHING if not row["peak_memory"] else f"{row['peak_memory'] / 2**30:.1f}",
}


def table(summary: Mapping[str, Any]) -> Table | None:
    """A column a run, with its speed as a multiple of the first's where there are several; None where no run says."""
    rows = summary["costs"]
    if not rows:
        return None
    lines = [Line([name, *map(cell, rows)]) for name, cell in _MEASURES.items()]
    first = rows[0]["answers_a_minute"]
    if len(rows) > 1 and first:
        speeds = [row["answers_a_minute"] for row in rows]
        lines.append(
            Line([f"Answers, times {rows[0]['run']}", *(_figure(speed and speed / first) for speed in speeds)])
        )
    return Table(["", *(row["run"] for row in rows)], lines, 1, "Cost")


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read it, where there is any."""
    return [NOTE] if summary["costs"] else []


def compare(folders: Sequence[Path]) -> Table:
    """The table of several runs, judged or not. Raises InputError where none says what it took."""
    folders = list(dict.fromkeys(folders))
    alone = len({folder.name for folder in folders}) == len(folders)
    rows = []
    for folder in folders:
        read_settings(folder)
        if (found := read_costs(folder)) is not None:
            rows.append({"run": folder.name if alone else str(folder), **row_of(found)})
    shown = table({"costs": rows})
    if shown is None:
        raise InputError(
            f"{', '.join(map(str, folders))}: no costs; expected runs of this version of `cotasks generate`"
        )
    return shown


def _figure(value: float | None) -> str:
    """Three figures: `0.123`, `12.3`, `1,234`."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
