"""The pictures of an audit, drawn from what stands in `audit.json`.

Colours never tell things apart alone: shape or fill differs as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cotasks.audit.counts import FROZEN_FRAMES, SIZES, TINY_SHARE
from cotasks.audit.leakage import CONDITIONS
from cotasks.pages.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, figure_file

Row = Mapping[str, Any]

SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
HATCHES = {"train": "", "validation": "//", "test": ".."}
LINES = {"train": "-", "validation": "--", "test": "-."}
MOST_NAMES = 20
FEWEST_QUESTIONS = 10
"""A point by question type stands for at least so many questions; the page has all."""
MEASURE_TITLES = {
    "any": "answer, head word\nor number",
    "answer": "whole answer",
    "head": "head word",
    "number": "number",
    "counted": "number of what is\nasked for",
    "related": "a related name",
}


def draw(summary: Row, out: Path) -> list[Path]:
    """Write all pictures into a folder.

    Args:
        summary: the content of `audit.json`.
        out: the folder, which is there.

    Returns:
        The PNG files in the order of the page.
    """
    paths = []
    drawings: list[tuple[str, Callable[[Any, Mapping[str, Row]], None]]] = [
        ("counts", partial(_counts, summary["types"])),
        *(("sizes", _sizes), ("names", _names), ("boxes", _boxes)),
    ]
    for name, function in drawings:
        with figure_file(out / f"{name}.png") as figure:
            function(figure, summary["splits"])
        paths.append(out / f"{name}.png")
    for split in summary["splits"]:
        rows = [row for row in summary["leakage"] if row["split"] == split]
        several = {(row["group"], row["category"]) for row in rows if row["level"] == "question_type"}
        by_type = [row for row in rows if _is_point(row, several)]
        for name, function_, shown in (
            ("leakage", _leakage, rows),
            ("leakage-by-type", _leakage_by_type, by_type),
        ):
            if not shown:
                continue
            path = out / f"{name}-{split}.png"
            with figure_file(path) as figure:
                function_(figure, shown, split)
            paths.append(path)
    return paths


def _counts(rows: Sequence[Row], figure: Any, splits: Mapping[str, Row]) -> None:
    """Records by question type, one bar a split; `rows` are `types` of `audit.json`."""
    types = [row["name"] for row in rows]
    figure.set_size_inches(9, 1.8 + 0.28 * len(types) * (1 + 0.35 * (len(splits) - 1)))
    axes = figure.subplots()
    height = 0.8 / len(splits)
    for number, (split, found) in enumerate(splits.items()):
        values = [found["question_types"].get(t, 0) for t in types]
        places = [i + (number - (len(splits) - 1) / 2) * height for i in range(len(types))]
        bars = axes.barh(
            places,
            values,
            height,
            color=SPLIT_COLOURS[split],
            hatch=HATCHES[split],
            edgecolor="white",
            label=f"{split} (records: {found['records']:,}, videos: {found['videos']:,})",
        )
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=9)
    axes.set_yticks(range(len(types)), [_with_category(row["name"], row["category"]) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="records", ylabel="question type", title="Records by question type")
    figure.legend(loc="outside lower center", frameon=False, ncols=2)


def _with_category(name: str, category: str) -> str:
    """A type with its category, where that says more."""
    return name if name.casefold().startswith(category.casefold()) else f"{name} ({category})"


def _sizes(figure: Any, splits: Mapping[str, Row]) -> None:
    """A histogram of each size."""
    figure.set_size_inches(11, 9)
    *panels, last = figure.subplots(3, 3).flat
    for axes, (name, title) in zip(panels, SIZES.items(), strict=True):
        for split, found in splits.items():
            size = found["sizes"][name]
            edges, counts = size["histogram"]["edges"], size["histogram"]["counts"]
            axes.stairs(
                [100 * count / found["records"] for count in counts],
                [edge - 0.5 for edge in edges],
                color=SPLIT_COLOURS[split],
                linestyle=LINES[split],
                fill=len(splits) == 1,
                linewidth=1.8,
                label=split,
            )
            if len(splits) == 1:
                axes.axvline(size["median"], color=GREY, linestyle=":", label="median")
        axes.set(xlabel="number in a record", ylabel="records (%)", title=_capital(title))
        axes.set_ylim(bottom=0)
    last.axis("off")
    last.legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.suptitle("What a record holds")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _names(figure: Any, splits: Mapping[str, Row]) -> None:
    """The most frequent categories and predicates of the records' steps, over all splits."""
    lists = {
        "Entities in A1": ("entity_categories",),
        "Triples in A3 (spatial)": ("predicates", "a3"),
        "Triples in A4 (temporal)": ("predicates", "a4"),
    }
    figure.set_size_inches(13, 6)
    for axes, (title, place) in zip(figure.subplots(1, 3), lists.items(), strict=True):
        total: dict[str, int] = {}
        for found in splits.values():
            rows: Any = found
            for key in place:
                rows = rows[key]
            for row in rows:
                total[row["name"]] = total.get(row["name"], 0) + row["steps"]
        most = sorted((item for item in total.items() if item[1]), key=lambda item: (-item[1], item[0]))
        shown = most[:MOST_NAMES]
        axes.barh([name for name, _ in shown], [count for _, count in shown], color=BLUE)
        axes.set_ylim(MOST_NAMES - 0.4, -0.6)
        rest = f"\nfirst {len(shown)} of {len(most)}" if len(most) > len(shown) else ""
        unit = "entities, over all records" if place[0] == "entity_categories" else "triples, over all records"
        axes.set(xlabel=unit, title=title + rest)
        if not shown:
            _say(axes, "none")
    figure.suptitle("What the steps speak of")


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")


def _boxes(figure: Any, splits: Mapping[str, Row]) -> None:
    """Areas of boxes, and longest runs of equal boxes."""
    figure.set_size_inches(11, 4.4)
    left, right = figure.subplots(1, 2)
    for split, found in splits.items():
        boxes = found["boxes"]
        style = {"color": SPLIT_COLOURS[split], "linestyle": LINES[split], "linewidth": 1.8, "label": split}
        area = {bin_["log10_area_share"]: bin_["boxes"] for bin_ in boxes["area_histogram"]}
        if area:
            first, last = (round(4 * end) for end in (min(area), max(area)))  # bins are 0.25 wide
            edges = [100 * 10 ** (place / 4) for place in range(first, last + 2)]
            shares = [100 * area.get(place / 4, 0) / sum(area.values()) for place in range(first, last + 1)]
            left.stairs(shares, edges, **style)
        runs = {bin_["frames"]: bin_["tracks"] for bin_ in boxes["longest_run_histogram"]}
        longest = list(range(1, max(runs, default=0) + 2))
        reached = [sum(n for frames, n in runs.items() if frames >= length) for length in longest]
        shares = [100 * n / max(1, boxes["tracks"]) for n in reached]
        right.plot(longest, shares, drawstyle="steps-post", **style)
    if not any(found["boxes"]["area_histogram"] for found in splits.values()):
        _say(left, "no box with a known frame size")
    left.axvline(100 * TINY_SHARE, color=GREY, linestyle="--", label="tiny below this")
    left.set(xscale="log", xlabel="area (% of the frame, log scale)", ylabel="boxes (%)", title="Areas of boxes")
    left.xaxis.set_major_formatter("{x:g}")
    right.axvline(FROZEN_FRAMES, color=GREY, linestyle="--", label="frozen from here on")
    right.set(
        xlabel="frames of the grid in a row",
        ylabel="tracks with equal boxes for so long (%)",
        title="Boxes that do not move",
    )
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)


def _point(axes: Any, place: float, row: Row) -> None:
    """Share (filled), chance (open), wrong options (diamond), and what the excess's interval says of the share."""
    share, chance = 100 * row["share"], row["chance"]
    if chance is not None:
        axes.plot([100 * chance, share], [place, place], color=GREY, linewidth=1, zorder=1)
        if row["excess_low"] is not None:
            ends = [min(100.0, max(0.0, 100 * (chance + row[f"excess_{end}"]))) for end in ("low", "high")]
            axes.plot(ends, [place, place], color=BLUE, linewidth=6, alpha=0.3, solid_capstyle="butt", zorder=1)
        axes.plot(100 * chance, place, "o", markerfacecolor="white", color=ORANGE, markersize=8, zorder=2)
    if row["distractors"] is not None:
        axes.plot(100 * row["distractors"], place, "D", markerfacecolor="white", color=PURPLE, markersize=7, zorder=2)
    axes.plot(share, place, "o", color=BLUE, markersize=7, zorder=3)


def _key(figure: Any, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D

    def entry(label: str, colour: str, marker: str, face: str, **more: Any) -> Any:
        return Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linestyle="", label=label, **more)

    handles = [
        entry("can be read off", BLUE, "o", BLUE),
        entry("chance: answers of other questions", ORANGE, "o", "white"),
        Line2D([], [], color=BLUE, linewidth=6, alpha=0.3, label="95% interval of the excess over chance"),
    ]
    if any(row["distractors"] is not None for row in rows):
        handles.append(entry("wrong options", PURPLE, "D", "white"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def _leakage(figure: Any, rows: Sequence[Row], split: str) -> None:
    """One panel a category, one line a condition."""
    rows = [row for row in rows if row["measure"] == "any" and row["level"] in ("all", "category")]
    names = list(dict.fromkeys(row["name"] for row in rows))
    conditions = [c for c in CONDITIONS if any(row["condition"] == c for row in rows)]
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure.set_size_inches(3.2 + 2.7 * columns, 1.8 + lines * (0.9 + 0.3 * len(conditions)))
    grid = figure.subplots(lines, columns, sharey=True, sharex=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        inside = [row for row in rows if row["name"] == name]
        for row in inside:
            _point(axes, conditions.index(row["condition"]), row)
        questions = max(row["questions"] for row in inside)
        axes.set_title(f"{name} (n = {questions:,})")
        axes.set_yticks(range(len(conditions)), ["question's own text" if c == "question" else c for c in conditions])
        axes.set_ylim(len(conditions) - 0.5, -0.5)
        axes.grid(axis="x", color="#dddddd")
        axes.set_xlabel("questions (%)")
    grid.flat[0].set_xlim(left=min(-1.0, -0.02 * grid.flat[0].get_xlim()[1]))  # shared; shows a point at 0 whole
    for axes in grid.flat[len(names) :]:
        axes.axis("off")
    figure.suptitle(f"{_capital(split)}: answer, head word or number can be read off the context")
    _key(figure, rows)


def _is_point(row: Row, several: Collection[tuple[str, str]]) -> bool:
    """Whether a row is a point of the picture by question type; a category of one type stands for it.

    Args:
        row: of the leakage.
        several: the categories with rows of their types.
    """
    stands = row["level"] == "category" and (row["group"], row["category"]) not in several
    level = row["level"] == "question_type" or stands
    known = row["condition"] == "cotasks" and row["measure"] in MEASURE_TITLES
    return known and level and row["questions"] >= FEWEST_QUESTIONS


def _leakage_by_type(figure: Any, rows: Sequence[Row], split: str) -> None:
    """Under all four steps: one panel a measure, one line a question type."""
    titles = {row["name"]: _with_category(row["name"], row["category"]) for row in rows}
    names = list(titles)
    measures = [m for m in MEASURE_TITLES if any(row["measure"] == m for row in rows)]
    figure.set_size_inches(2 + 2 * len(measures), 2 + 0.36 * len(names))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for row in rows:
            if row["measure"] == measure:
                _point(axes, names.index(row["name"]), row)
        axes.set_title(MEASURE_TITLES[measure])
        axes.set_yticks(range(len(names)), list(titles.values()))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-4, 104)
        axes.grid(axis="x", color="#dddddd")
        axes.set_xlabel("questions (%)")
    figure.suptitle(
        f"{_capital(split)}: what can be read off the context of all four steps, by question type\n"
        f"(from {FEWEST_QUESTIONS} questions on)"
    )
    _key(figure, rows)
