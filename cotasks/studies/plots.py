"""The pictures of a study, drawn from what stands in `study.json`.

Colours never tell things apart alone: markers and lines differ as well.
Bars and whiskers are 95% intervals over videos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotasks.pages.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, figure_file
from cotasks.step_scores.table import metric_title

Row = Mapping[str, Any]

SERIES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"), (GREY, "v", "-"))
LEAST_POINTS = 10.0
"""A difference's axis reaches at least so far, either way."""


def draw(study: str, tables: Mapping[str, Sequence[Row]], out: Path) -> list[Path]:
    """Write the pictures of a study into a folder, which is there; returns the PNG files in the order of the page.

    Args:
        study: One of `plans.READINGS`.
        tables: As in `study.json`.
        out: The folder.
    """
    drawings: dict[str, list[tuple[str, Callable[[Any, Mapping[str, Sequence[Row]]], None]]]] = {
        "ablation": [("differences", _ablation), ("shares", _shapley)],
        "error-propagation": [("corruption", _corruption)],
        "frames": [("frames", _frames), *([("lengths", _lengths)] if len(_groups(tables["means"])) > 1 else [])],
        "bias": [("bias", _bias)],
        "oracle-gap": [("oracle-gap", _oracle_gap)],
    }
    paths = []
    for name, function in drawings[study]:
        with figure_file(out / f"{name}.png") as figure:
            function(figure, tables)
        paths.append(out / f"{name}.png")
    return paths


def _whiskers(rows: Sequence[Row], value: str = "mean") -> list[list[float]]:
    """Distances of each row's interval from its value, down and up; 0 where there is no interval."""
    down = [row[value] - row["low"] if row["low"] is not None else 0.0 for row in rows]
    up = [row["high"] - row[value] if row["high"] is not None else 0.0 for row in rows]
    return [down, up]


def _line(axes: Any, places: Sequence[float], rows: Sequence[Row], series: int, label: str) -> None:
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


def _points(
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


def _group(rows: Sequence[Row], group: str = "all") -> list[Row]:
    return [row for row in rows if row["group"] == group]


def _groups(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["group"] for row in rows))


def _zero(axes: Any) -> None:
    """A line at no difference, and room for ten points at least, so that noise does not look large."""
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -LEAST_POINTS), max(high, LEAST_POINTS))
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)


def _ablation(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    rows = _group(tables["differences"])
    figure.set_size_inches(7.5, 0.33 * len(rows) + 1.2)
    axes = figure.subplots()
    _points(axes, [row["name"] for row in rows], rows)
    _zero(axes)
    axes.set(xlabel="score minus baseline, points", title="What each set of steps adds")


def _shapley(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    groups = _groups(tables["shares"])
    figure.set_size_inches(7.5, 2.8)
    axes = figure.subplots()
    for series, group in enumerate(groups):
        rows = _group(tables["shares"], group)
        shift = (series - (len(groups) - 1) / 2) * 0.8 / len(groups)
        _points(axes, [row["name"] for row in rows], rows, series, shift, label=group)
    _zero(axes)
    axes.set(xlabel="share of the gain of all four (Shapley value), points", title="What each step is worth")
    figure.legend(loc="outside right upper", frameon=False)


def _corruption(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    figure.set_size_inches(10, 3.8)
    left, right = figure.subplots(1, 2)
    steps = [row for row in _group(tables["steps"]) if row["main"]]
    for series, name in enumerate(dict.fromkeys((row["step"], row["metric"]) for row in steps)):
        rows = [row for row in steps if (row["step"], row["metric"]) == name]
        _line(left, [row["corruption"] for row in rows], rows, series, f"step {name[0]}: {metric_title(name[1])}")
    left.set(xlabel="probability of corruption", ylabel="score against the true step", ylim=(0, 104), title="Steps")
    left.legend(frameon=False, fontsize=9)
    rows = [row for row in _group(tables["means"]) if row["corruption"] is not None]
    _line(right, [row["corruption"] for row in rows], rows, 0, "cotasks, corrupted")
    base = next(row for row in _group(tables["means"]) if row["corruption"] is None)
    if base["mean"] is not None:
        right.axhline(base["mean"], color=GREY, linewidth=1, label="baseline")
        if base["low"] is not None:
            right.axhspan(base["low"], base["high"], color=GREY, alpha=0.15, linewidth=0)
    right.set(xlabel="probability of corruption", ylabel="answer score", ylim=(0, 104), title="Answers")
    right.legend(frameon=False, fontsize=9)


def _frames(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    figure.set_size_inches(10, 3.8)
    left, right = figure.subplots(1, 2)
    for axes, rows in ((left, _group(tables["means"])), (right, _group(tables["gains"]))):
        _frame_lines(axes, rows)
        axes.legend(frameon=False, fontsize=9)
    left.set(ylabel="answer score", ylim=(0, 104), title="Scores")
    right.set(ylabel="score minus baseline, points", title="Gains at the same number of frames")
    right.axhline(0, color=GREY, linewidth=0.8)


def _frame_lines(axes: Any, rows: Sequence[Row]) -> None:
    for series, arm in enumerate(("baseline", "rebuilt", "fixed")):
        of_arm = [row for row in rows if row["arm"] == arm]
        if of_arm:
            _line(axes, [row["frames"] for row in of_arm], of_arm, series, arm)
    axes.set_xscale("log", base=2)
    numbers = sorted({row["frames"] for row in rows})
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.set_xlabel("frames")


def _lengths(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    groups = [group for group in _groups(tables["means"]) if group != "all"]
    figure.set_size_inches(3.6 * len(groups) + 0.6, 3.6)
    for axes, group in zip(figure.subplots(1, len(groups), sharey=True, squeeze=False)[0], groups, strict=True):
        _frame_lines(axes, _group(tables["means"], group))
        axes.set_title(group)
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, fontsize=9)
    figure.supylabel("answer score", fontsize=11)


def _bias(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    groups = _groups(tables["gains"])
    figure.set_size_inches(8, 0.62 * len(groups) + 1.5)
    axes = figure.subplots()
    for series, name in enumerate(("gain with video", "gain without video")):
        rows = [row for row in tables["gains"] if row["name"] == name]
        _points(axes, groups, rows, series, (series - 0.5) * 0.3, label=name)
    _zero(axes)
    axes.set(xlabel="points", title="How much of the gain needs no video")
    figure.legend(loc="outside lower center", frameon=False, ncols=2)


def _oracle_gap(figure: Any, tables: Mapping[str, Sequence[Row]]) -> None:
    groups = _groups(tables["means"])
    figure.set_size_inches(8, 0.75 * len(groups) + 1.5)
    axes = figure.subplots()
    for series, condition in enumerate(("baseline", "predicted", "cotasks")):
        rows = [row for row in tables["means"] if row["condition"] == condition]
        _points(axes, groups, rows, series, (series - 1) * 0.25, label=condition)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set(xlabel="answer score", xlim=(0, 104), title="From no steps to predicted steps to true ones")
    figure.legend(loc="outside lower center", frameon=False, ncols=3)
