"""Plots of the page as inline SVG.

An SVG here has no viewBox: lengths along x are percentages, lengths along y pixels. So it fills whatever width the
page gives it and no text or dot is ever stretched. Colours come from classes that the page's style sheet defines for
light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from cotasks.report.summary import STATES
from cotasks.report.tables import Interval, number

Row = Mapping[str, Any]

LINE_HEIGHT = 26
"""Pixels of one interval."""
AXIS_HEIGHT = 18
HISTOGRAM_HEIGHT = 84

MOST_NUMBERS = 5
"""Ticks of which each has its number, in a column of a table."""


@dataclass(frozen=True)
class Axis:
    """A scale from left to right."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        """Percent from the left."""
        return 100 * (value - self.low) / (self.high - self.low)


def difference_axis(intervals: Sequence[Interval]) -> Axis:
    """A scale that holds all intervals and 0, with round ticks; differences lie between -100 and 100."""
    values = [v for i in intervals for v in (i.low, i.mean, i.high) if v is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    low, high = (low, high) if high - low >= 1 else (low - 1, high + 1)
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50, 100) if (high - low) / s <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(step * place for place in range(first, last + 1))
    margin = 0.04 * (ticks[-1] - ticks[0])
    return Axis(ticks[0] - margin, ticks[-1] + margin, ticks)


def interval_svg(interval: Interval, axis: Axis) -> str:
    """One difference: a dot at the mean, a bar over the interval, the zero line and the axis's ticks behind."""
    marks = [_rule(axis.x(tick), LINE_HEIGHT, "zero" if tick == 0 else "tick") for tick in axis.ticks]
    y = LINE_HEIGHT / 2
    kind = {1: "gain", -1: "loss", 0: "flat"}[interval.sign]
    if interval.low is not None and interval.high is not None:
        x1, x2 = axis.x(interval.low), axis.x(interval.high)
        marks.append(f'<line class="bar {kind}" x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{y}" y2="{y}"/>')
    if interval.mean is not None:
        marks.append(f'<circle class="dot {kind}" cx="{axis.x(interval.mean):.2f}%" cy="{y}" r="4.5"/>')
    return _svg(LINE_HEIGHT, f"difference {interval}", marks)


def axis_svg(axis: Axis) -> str:
    """The numbers of the ticks; of many, those of every other from 0 on, so that none touches its neighbour."""
    marks = []
    zero = axis.ticks.index(0)
    every = 2 if len(axis.ticks) > MOST_NUMBERS else 1
    numbered = [tick for place, tick in enumerate(axis.ticks) if (place - zero) % every == 0]
    for tick in numbered:
        text = f"{tick:+g}".replace("-", "\u2212") if tick else "0"
        kind = "label" if tick in (numbered[0], 0, numbered[-1]) else "label minor"
        marks.append(f'<text class="{kind}" x="{axis.x(tick):.2f}%" y="12" text-anchor="middle">{text}</text>')
    return _svg(AXIS_HEIGHT, "points", marks)


def share_svg(counts: Mapping[str, int]) -> str:
    """A bar of stacked shares, in the order given; the names are classes."""
    total = sum(counts.values())
    marks, left = [], 0.0
    for name, count in counts.items():
        width = 100 * count / total if total else 0.0
        if count:
            title = f"<title>{escape(name.replace('_', ' '))}: {count} of {total} ({count / total:.1%})</title>"
            box = f'x="{left:.3f}%" y="3" width="{width:.3f}%" height="14"'
            marks.append(f'<rect class="{escape(name)}" {box}>{title}</rect>')
        left += width
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    return _svg(20, words, marks)


def state_shares(row: Row) -> dict[str, int]:
    """The shares of a row of `verdicts`."""
    return {state: row[state] for state in STATES}


def histogram_svg(bins: Sequence[Row], behind: Sequence[Row]) -> str:
    """How many answers have which score.

    Args:
        bins: Rows of `scores` of one condition.
        behind: Those of the baseline, drawn as outlines; may be empty. Both are drawn as shares of their answers.
    """
    top = max([0.0, *_shares(bins), *_shares(behind)]) or 1.0
    ground, roof = HISTOGRAM_HEIGHT - 18, 6
    step = 100 / max(1, len(bins))
    marks = []
    for rows, kind in ((bins, "score"), (behind, "ghost")):
        for place, (row, share) in enumerate(zip(rows, _shares(rows), strict=True)):
            height = (ground - roof) * share / top
            box = f'x="{place * step + step * 0.12:.2f}%" width="{step * 0.76:.2f}%"'
            title = f"<title>{_range(row)}: {row['answers']} answers ({share:.1%})</title>"
            y = f'y="{ground - height:.2f}" height="{height:.2f}"'
            marks.append(f'<rect class="{kind}" {box} {y}>{title}</rect>')
    marks.append(f'<line class="ground" x1="0" x2="100%" y1="{ground}" y2="{ground}"/>')
    for place, row in enumerate(bins):
        exact = row["low"] == row["high"]
        x = place * step + (step / 2 if exact else 0)
        anchor = "middle" if exact or place else "start"
        text = f'y="{HISTOGRAM_HEIGHT - 5}" text-anchor="{anchor}">{row["low"]:g}</text>'
        marks.append(f'<text class="label" x="{x:.2f}%" {text}')
    if bins and bins[-1]["low"] != bins[-1]["high"]:
        marks.append(f'<text class="label" x="100%" y="{HISTOGRAM_HEIGHT - 5}" text-anchor="end">100</text>')
    words = ", ".join(f"{_range(row)}: {row['answers']}" for row in bins)
    return _svg(HISTOGRAM_HEIGHT, f"answers by score: {words}", marks)


def _shares(rows: Sequence[Row]) -> list[float]:
    total = sum(row["answers"] for row in rows)
    return [row["answers"] / total if total else 0.0 for row in rows]


def _range(row: Row) -> str:
    exact = row["low"] == row["high"]
    return f"score {number(row['low'])}" if exact else f"score {row['low']:g} to {row['high']:g}"


def _rule(x: float, height: int, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{height}"/>'


def _svg(height: int, label: str, marks: Sequence[str]) -> str:
    return f'<svg class="plot" role="img" aria-label="{escape(label)}" height="{height}">{"".join(marks)}</svg>'
