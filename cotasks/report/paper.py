r"""The tables of the CoTasks paper, in its order, with our intervals: `paper.tex` and the same in Markdown.

    main results   one row a model: each category's score without steps, with all four, and the gain (Table 6)
    ablation       one row a model: the average without steps, with some of them, with all (Table 7)
    steps          one row a model: how well it takes each step itself, above the baselines (Table 8)

Categories stand in the paper's order (causal, temporal, descriptive, then the average); a data set of other categories
has them in its own. A condition counts as what its fields say, whatever it is called: all four steps with the video are
the paper's CoTasks. Corrupted steps, blind conditions and fewer frames are studies of ours, and in no table of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotasks.errors import InputError
from cotasks.pages.markdown import escape as markdown_escape
from cotasks.pages.markdown import table as markdown_table
from cotasks.prompts.condition import Condition, read_condition
from cotasks.report import latex
from cotasks.report.summary import Row, Scored
from cotasks.report.tables import Interval, interval, model_labels
from cotasks.runs.predictions import load_predictions
from cotasks.runs.records import Loaded, named_records, says_which
from cotasks.step_scores.joint import predictions_of
from cotasks.step_scores.table import predicted_step_rows
from cotasks.words.types import ALL, group_place, group_title, listed_categories

Place = tuple[str, str, str, str, str]
"""(run, condition, group, level, name) of a mean."""
ALL_STEPS = (1, 2, 3, 4)
WITHOUT, WITH, GAIN = "none", "CoTasks", "gain"
STEP_COLUMNS = (
    ("1 frame localization", ((1, "frame_f1", "frames"), (1, "entity_f1", "entities"))),
    ("2 entity tracking", ((2, "mean_iou", "IoU"),)),
    ("3 spatial relations", ((3, "triple_f1", "F1"),)),
    ("4 temporal relations", ((4, "span_f1", "F1"),)),
)
"""Title of a step -> (step, score, column) of what the table shows of it."""
NOTES = {
    "main": "Scores from 0 to 100 by judge {judge}; in brackets the {level} interval, with the video as its unit. "
    "Gain: the paired difference. Bold: a difference whose interval does not hold 0.",
    "ablation": "Average scores by judge {judge}, from 0 to 100, by the steps that the prompt tells; below each its "
    "{level} interval, with the video as its unit.",
    "steps": "Steps that a model took itself, from 0 to 100, over the records whose truth has something to be found; "
    "in brackets the {level} interval. In italics what needs no look at the video.",
}


@dataclass(frozen=True)
class PaperTable:
    """A table with one row a model."""

    name: str
    """A key of NOTES."""
    title: str
    note: str
    heads: tuple[tuple[str, tuple[str, ...]], ...]
    """(title, columns) of each group of columns; the first column, of models, is not among them."""
    rows: tuple[tuple[str, tuple[Interval, ...], bool], ...]
    """(model, its cells, whether it is a baseline)"""


def paper_tables(summary: Mapping[str, Any], judge: str) -> list[PaperTable]:
    """The tables of answers that the runs of a report have something for.

    Args:
        summary: of the report.
        judge: whose verdicts.

    Raises InputError where a run does not say what its conditions are.
    """
    shown = [run for run in summary["runs"] if judge in run["judges"]]
    labels, level = model_labels(summary), f"{summary['confidence']:.0%}"
    conditions = {run["run"]: _conditions(run) for run in shown}
    means = {_place(row): row for row in summary["means"] if row["judge"] == judge}
    gains = {_place(row): row for row in summary["differences"] if row["judge"] == judge}
    groups = sorted({place[2] for place in means} - {ALL}, key=group_place)
    found: list[PaperTable] = []
    for group in groups:
        title = f"{group_title(group)}, judge {judge}"
        note = NOTES["main"].format(judge=judge, level=level)
        columns = _columns(means, group)
        rows = []
        for run in shown:
            # the baseline may be another run's; the difference says which
            for name in _whole(conditions[run["run"]]):
                gain = gains.get((run["run"], name, group, "micro", "average"))
                if gain is None:
                    continue
                cells: list[Interval] = []
                for column in columns:
                    below = means.get((gain["baseline_run"], gain["baseline"], group, *column))
                    cells += [interval(below), interval(means.get((run["run"], name, group, *column)))]
                    cells.append(interval(gains.get((run["run"], name, group, *column)), is_difference=True))
                label = labels[run["run"]]
                rows.append((label if name == "cotasks" else f"{label}, {name}", tuple(cells), False))
        if rows:
            heads = tuple((name.capitalize(), (WITHOUT, WITH, GAIN)) for _, name in columns)
            found.append(PaperTable("main", title, note, heads, tuple(rows)))
        note = NOTES["ablation"].format(judge=judge, level=level)
        found += _ablation(shown, conditions, means, labels, (group, title, note))
    return found


def _place(row: Row) -> Place:
    return row["run"], row["condition"], row["group"], row["level"], row["name"]


def _conditions(run: Row) -> dict[str, Condition]:
    told = run["settings"].get("conditions")
    if not isinstance(told, Mapping):
        raise InputError(f"{run['run']}: run.json does not say what its conditions are")
    try:
        return {name: read_condition(values) for name, values in told.items()}
    except (TypeError, KeyError) as error:
        raise InputError(f"{run['run']}: run.json does not say what its conditions are ({error})") from None


def _whole(conditions: Mapping[str, Condition]) -> list[str]:
    """The conditions with the video and all four steps, uncorrupted and on the whole grid; the true steps first."""
    found = [name for name, one in conditions.items() if one.steps == ALL_STEPS and _plain(one)]
    return sorted(found, key=lambda name: conditions[name].origin != "oracle")


def _plain(one: Condition) -> bool:
    return one.video and one.num_frames is None and one.context_frames is None and one.origin != "corrupted"


def _columns(means: Iterable[Place], group: str) -> list[tuple[str, str]]:
    """(level, name) of each category that has a mean, in order, and of the average."""
    there = {place[4] for place in means if place[2:4] == (group, "category")}
    listed = [name for name in listed_categories(group) if name in there]
    return [("category", name) for name in [*listed, *sorted(there.difference(listed))]] + [("micro", "average")]


def _ablation(
    shown: Sequence[Row],
    conditions: Mapping[str, Mapping[str, Condition]],
    means: Mapping[Place, Row],
    labels: Mapping[str, str],
    of: tuple[str, str, str],
) -> list[PaperTable]:
    """The average by the true steps that are told; nothing where no run tells some of them only.

    Args:
        of: the group of questions, the table's title and its note.
    """
    group, title, note = of
    by_steps: dict[str, dict[tuple[int, ...], str]] = {}
    for run in shown:
        for name, one in conditions[run["run"]].items():
            if _plain(one) and one.origin == "oracle":
                by_steps.setdefault(run["run"], {}).setdefault(one.steps, name)
    subsets = sorted({steps for of in by_steps.values() for steps in of}, key=lambda steps: (len(steps), steps))
    if all(steps in ((), ALL_STEPS) for steps in subsets):
        return []
    rows = []
    for run in shown:
        names = by_steps.get(run["run"], {})
        places = [(run["run"], names.get(steps, ""), group, "micro", "average") for steps in subsets]
        if any(place in means for place in places):
            rows.append((labels[run["run"]], tuple(interval(means.get(place)) for place in places), False))
    heads = (("Average by steps", tuple(_named(steps) for steps in subsets)),)
    return [PaperTable("ablation", title, note, heads, tuple(rows))] if rows else []


def _named(steps: tuple[int, ...]) -> str:
    """`1, 2`, and the words for none and all of them."""
    return {(): WITHOUT, ALL_STEPS: WITH}.get(steps, ", ".join(map(str, steps)))


def step_rows_of(scored: Sequence[Scored], dataset: str | None, loaded: Loaded) -> tuple[list[Row], list[str]]:
    """(rows of `cotasks.step_scores.table` with their {run, model}, of the predictions that belong to runs; warnings).

    Args:
        scored: the runs.
        dataset: where their records are; None for where each run.json says.
        loaded: those that were loaded already.
    """
    rows: list[Row] = []
    warnings = []
    for one in scored:
        folder = predictions_of(one.run)
        named: Any = one.run.settings.get("dataset")
        if folder is None or not says_which(named):
            continue
        try:
            records = named_records(named, dataset, loaded)
            found = predicted_step_rows(records, load_predictions(folder, records, ()))
        except InputError as error:
            warnings.append(f"{one.name}: no table of steps: {error}")
            continue
        rows += [{"run": one.name, "model": one.model, **row} for row in found]
    return rows, warnings


def step_tables(rows: Sequence[Row], confidence: float) -> list[PaperTable]:
    """The table of `step_rows_of`; none where there are no rows."""
    over_all = [row for row in rows if row["group"] == ALL]
    if not over_all:
        return []
    of: dict[tuple[str, str | None, str], dict[tuple[int, str], Row]] = {}
    for row in over_all:
        of.setdefault((row["model"], row["baseline"], row["run"]), {})[row["step"], row["metric"]] = row
    lines: list[tuple[str, tuple[Interval, ...], bool]] = []
    for (model, baseline, _), scores in sorted(of.items(), key=lambda item: item[0][1] is not None):
        shown = [(step, metric) for _, of_step in STEP_COLUMNS for step, metric, _ in of_step]
        cells = tuple(interval(scores.get(place), is_difference=False) for place in shown)
        line = (baseline or model, cells, baseline is not None)
        if line not in lines:  # a baseline is the same for all models over the same records
            lines.append(line)
    heads = tuple((title, tuple(column for _, _, column in of_step)) for title, of_step in STEP_COLUMNS)
    return [PaperTable("steps", "Steps", NOTES["steps"].format(level=f"{confidence:.0%}"), heads, tuple(lines))]


def render_latex(tables: Sequence[PaperTable], warnings: Sequence[str]) -> str:
    """The tables for `\\input` in a paper that loads booktabs, or to compile alone."""
    return latex.document([_latex(table) for table in tables], warnings)


def _latex(table: PaperTable) -> str:
    # two rows of heads: groups of columns with a rule under each, then the columns
    groups, rules, place = [], [], 2
    for title, columns in table.heads:
        groups.append(rf"\multicolumn{{{len(columns)}}}{{c}}{{{latex.escape(title)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + len(columns) - 1}}}")
        place += len(columns)
    names = [latex.escape(name) for _, columns in table.heads for name in columns]
    body = []
    for model, cells, is_baseline in table.rows:
        label = rf"\textit{{{latex.escape(model)}}}" if is_baseline else latex.escape(model)
        body += [
            f"    {latex.table_row([label, *map(latex.number_of, cells)])}",
            f"    {latex.table_row(['', *map(latex.ends_of, cells)])}[2pt]",
        ]
    return "\n".join(
        [
            r"\begin{table*}",
            r"  \centering",
            r"  \small",
            rf"  \caption{{{latex.escape(f'{table.title}. {table.note}', limit=600)}}}",
            rf"  \label{{tab:{latex.label_of(f'{table.name} {table.title}')}}}",
            rf"  \begin{{tabular}}{{@{{}}l{'r' * (place - 2)}@{{}}}}",
            r"    \toprule",
            f"    {latex.table_row(['', *groups])}",
            f"    {''.join(rules)}",
            f"    {latex.table_row(['Model', *names])}",
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def render_markdown(tables: Sequence[PaperTable]) -> str:
    """The same tables with their titles and notes."""
    parts = []
    for one in tables:
        header = ["model", *(_column(title, name) for title, columns in one.heads for name in columns)]
        rows = [
            [f"*{markdown_escape(model)}*" if is_baseline else markdown_escape(model), *map(str, cells)]
            for model, cells, is_baseline in one.rows
        ]
        parts += [f"## {markdown_escape(one.title)}", markdown_table(header, rows), one.note]
    return "\n\n".join(parts)


def _column(title: str, name: str) -> str:
    return markdown_escape(f"{title}: {name}")
