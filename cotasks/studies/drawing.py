"""How the pictures of studies are drawn.

Colours never tell things apart alone: markers and lines differ as well.
Bars and whiskers are 95% intervals over videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.pages.plots import BLUE, GREEN, GREY, ORANGE, PURPLE

Row = Mapping[str, Any]

SERIES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"), (GREY, "v", "-"))


LEAST_POINTS = 10.0
"""A difference's axis reaches at least so far, either way."""


def _whiskers(rows: Sequence[Row], value: str = "mean") -> list[list[float]]:
    """Distances of each row's interval from its value, down and up; 0 where there is no interval."""
    down = [row[value] - row["low"] if row["low"] is not None else 0.0 for row in rows]
    up = [row["high"] - row[value] if row["high"] is not None else 0.0 for row in rows]
    return [down, up]


def line(axes: Any, places: Sequence[float], rows: Sequence[Row], series: int, label: str) -> None:
    colour, marker, line = SERIES[series % len(SERIES)]
    known = [n for n, row in enumerate(rows) if row["mean"] is not None]
    rows, places = [rows[n] for n in known], [places[n] for n in known]
    values = [row["mean"] for row in rows]
    axes.errorbar(
        places,
        values,
        _whiskers(rows),
        color=colour,
        marker=marker,
        linestyle=line,
        capsize=3,
        markersize=5,
        label=label,
    )


def points(
    axes: Any, labels: Sequence[str], rows: Sequence[Row], series: int = 0, shift: float = 0.0, **kind: Any
) -> None:
    """Values with whiskers, one a line from the top; a line without a value says so."""
    colour, marker, _ = SERIES[series % len(SERIES)]
    known = [n for n, row in enumerate(rows) if row["mean"] is not None]
    shown = [rows[n] for n in known]
    axes.errorbar(
        [row["mean"] for row in shown],
        [n + shift for n in known],
        xerr=_whiskers(shown),
        fmt=marker,
        color=colour,
        capsize=3,
        markersize=5,
        **kind,
    )
    for n, row in enumerate(rows):
        if row["mean"] is None:
            axes.annotate("no question", (0, n + shift), color=GREY, fontsize=9, va="center")
    axes.set_yticks(range(len(labels)), labels)


def of_group(rows: Sequence[Row], group: str = "all") -> list[Row]:
    return [row for row in rows if row["group"] == group]


def groups_of(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["group"] for row in rows))


def zero(axes: Any) -> None:
    """A line at no difference, and room for ten points at least, so that noise does not look large."""
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -LEAST_POINTS), max(high, LEAST_POINTS))
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
