"""`summary.json` as Markdown, in the layout of the CoTasks paper's main table.

Rows are a model under a condition, columns the categories of a data set's questions; under each condition
stands its difference from the baseline. Whatever comes from a model or from data is escaped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from cotasks.metrics import GROUPS
from cotasks.schema import CATEGORY_OF_TYPE

Row = Mapping[str, Any]

GROUP_TITLES = {"nextqa": "NExT-QA questions", "star": "STAR questions", "all": "All questions"}
TYPE_TITLES = {
    "CW": "CW (causal, why)",
    "CH": "CH (causal, how)",
    "TN": "TN (temporal, next)",
    "TC": "TC (temporal, current)",
    "TP": "TP (temporal, previous)",
    "DC": "DC (descriptive, count)",
    "DL": "DL (descriptive, location)",
    "DO": "DO (descriptive, other)",
    "DB": "DB (descriptive, yes or no)",
}
"""NExT-QA's type codes in words (Xiao et al. 2021, section 3). STAR's types are its categories."""
JUDGE_NOTES = {
    "exact": "Judge exact: 100 where the answer equals a reference after both are normalised (case, "
    "punctuation, articles, numerals), for multiple choice where it names the right option by letter or "
    "text; else 0.",
    "f1": "Judge f1: the F1 of the answer's words against those of the best reference, times 100; multiple "
    "choice as under exact.",
}
NOTHING = "-"
MOST_REASONS = 30
"""Reasons of unscored answers that the report lists; `summary.json` has all."""


def escape(value: object, limit: int = 300) -> str:
    """Text that Markdown shows as it is, on one line and in a table cell; cut to `limit` characters."""
    shown = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in str(value))
    text = " ".join("".join(shown).split())
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    text = re.sub(r"[\\`*_\[\]<>#!|~&$]", r"\\\g<0>", text)
    return re.sub(r"(?<=:)//|(?<=www)\.", r"\\\g<0>", text)  # no bare link


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A Markdown table that also lines up as plain text; the first `text_columns` columns to the left."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    rule = ["-" * w if i < text_columns else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    for line in lines:
        for i, width in enumerate(widths):
            line[i] = line[i].ljust(width) if i < text_columns else line[i].rjust(width)
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def render(summary: Row) -> str:
    """The whole report.

    Args:
        summary: As `report.summarise_runs` returns it, or as read from `summary.json`.
    """
    parts = ["# Report", *_warnings(summary["warnings"])]
    judges = list(dict.fromkeys(judge for run in summary["runs"] for judge in run["judges"]))
    for judge in judges:
        parts += main_tables(summary, judge)
        parts += _type_tables(summary, judge)
        parts += _difference_table(summary, judge)
    parts += _unscored_table(summary)
    parts += _generation_table(summary)
    parts += _settings(summary)
    parts += _notes(summary, judges)
    return "\n\n".join(parts) + "\n"


def main_tables(summary: Row, judge: str) -> list[str]:
    """For each group of questions that a run has: its title and its table."""
    means = {_key(m): m for m in summary["means"] if m["judge"] == judge}
    gains = {_key(d): d for d in summary["differences"] if d["judge"] == judge}
    groups = [group for group in GROUPS if any(m["group"] == group for m in means.values())]
    parts = []
    for group in [*groups, "all"] if len(groups) > 1 else groups:
        categories = GROUPS.get(group, ())
        columns = [("category", c) for c in categories] + [("micro", "average"), ("macro", "average")]
        rows = []
        for run, model, condition in _rows(summary, judge):
            average = means.get((run, condition, group, "micro", "average"))
            if average is None:
                continue
            cells = [_mean(means.get((run, condition, group, *column))) for column in columns]
            rows.append([model, escape(condition), *cells, _unscored(average), _unreadable(average)])
            if (run, condition, group, "micro", "average") in gains:
                cells = [_gain(gains.get((run, condition, group, *column))) for column in columns]
                rows.append(["", _minus(condition, summary["baseline"]), *cells, "", ""])
        names = [category.capitalize() for category in categories]
        header = ["Model", "Condition", *names, "Average", "Macro average", "Unscored", "Unreadable"]
        parts += [f"## {GROUP_TITLES[group]}, judge {escape(judge)}", table(header, rows, text_columns=2)]
    return parts


def _rows(summary: Row, judge: str) -> Iterator[tuple[str, str, str]]:
    """(run, label of its model, condition) in the order of the report: the baseline first."""
    models = [run["model"] for run in summary["runs"]]
    for run in summary["runs"]:
        if judge in run["judges"]:
            label = escape(run["model"])
            if models.count(run["model"]) > 1:
                label += f" ({escape(run['run'])})"
            for condition in sorted(run["conditions"], key=lambda c: c != summary["baseline"]):
                yield run["run"], label, condition


def _key(row: Row) -> tuple[str, str, str, str, str]:
    return row["run"], row["condition"], row["group"], row["level"], row["name"]


def _minus(condition: str, baseline: str) -> str:
    return f"{escape(condition)} minus {escape(baseline)}"


def _type_tables(summary: Row, judge: str) -> list[str]:
    """A table of question types for each run."""
    means = {_key(m): m for m in summary["means"] if m["judge"] == judge}
    gains = {_key(d): d for d in summary["differences"] if d["judge"] == judge}
    group_of = {category: group for group, categories in GROUPS.items() for category in categories}
    parts = [f"## By question type, judge {escape(judge)}"]
    for run in summary["runs"]:
        conditions = [condition for name, _, condition in _rows(summary, judge) if name == run["run"]]
        compared = [c for c in conditions if any(key[:2] == (run["run"], c) for key in gains)]
        rows = []
        for type_, category in CATEGORY_OF_TYPE.items():
            cell = (group_of[category], "question_type", type_)
            found = [mean for c in conditions if (mean := means.get((run["run"], c, *cell)))]
            if found:
                cells = [str(found[0]["questions"]), *map(_mean, found)]
                cells += [_gain(gains.get((run["run"], c, *cell))) for c in compared]
                rows.append([TYPE_TITLES.get(type_, type_), *cells])
        if rows:
            header = ["Type", "Questions", *map(escape, conditions)]
            header += [_minus(c, summary["baseline"]) for c in compared]
            parts += [f"{escape(run['model'])}, run {escape(run['run'])}:", table(header, rows)]
    return parts


def _difference_table(summary: Row, judge: str) -> list[str]:
    """Every difference with its p value, but for those by question type."""
    rows = []
    models = {run: label for run, label, _ in _rows(summary, judge)}
    for d in summary["differences"]:
        if d["judge"] == judge and d["level"] != "question_type":
            part = {"micro": "average", "macro": "macro average"}.get(d["level"], d["name"])
            label = [
                models[d["run"]],
                _minus(d["condition"], d["baseline"]),
                f"{GROUP_TITLES[d['group']]}, {part}",
            ]
            rows.append([*label, str(d["questions"]), str(d["videos"]), _gain(d), _p(d["p_value"])])
    if not rows:
        return []
    header = ["Model", "Conditions", "Over", "Questions", "Videos", "Difference", "p"]
    return [f"## Differences, judge {escape(judge)}", table(header, rows, text_columns=3)]


def _p(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float, sign: str = "") -> str:
    return f"{round(value, 1) + 0.0:{sign}.1f}"  # + 0.0 turns -0.0 into 0.0


def _estimate(row: Row, sign: str = "") -> str:
    """`62.5 [51.2, 73.0]`"""
    if row["mean"] is None:
        return NOTHING
    ends = "n/a" if row["low"] is None else f"{_number(row['low'], sign)}, {_number(row['high'], sign)}"
    return f"{_number(row['mean'], sign)} [{ends}]"


def _mean(row: Row | None) -> str:
    if row is None:
        return NOTHING
    return _estimate(row) + (f" ({row['unscored']} unscored)" if row["unscored"] else "")


def _gain(row: Row | None) -> str:
    return NOTHING if row is None else _estimate(row, "+")


def _unscored(row: Row) -> str:
    if not row["unscored"]:
        return f"0 of {row['answers']}"
    bounds = f"average {_number(row['lowest'])} to {_number(row['highest'])}"
    return f"{row['unscored']} of {row['answers']}: {bounds}"


def _unreadable(row: Row) -> str:
    return f"{row['unreadable']} ({row['unreadable'] / row['scored']:.1%})" if row["scored"] else NOTHING


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return ["**Before you quote a number:**", "\n".join(f"- {escape(warning)}" for warning in warnings)]


def _unscored_table(summary: Row) -> list[str]:
    """The reasons of unscored answers, the most frequent first."""
    header = ["Run", "Judge", "Condition", "Reason", "Answers"]
    fields = [field.lower() for field in header]
    most = sorted(summary["unscored"], key=lambda row: -row["answers"])
    rows = [[escape(row[field]) for field in fields] for row in most[:MOST_REASONS]]
    if not rows:
        return []
    parts = ["## Unscored answers", table(header, rows, text_columns=4)]
    if left := most[MOST_REASONS:]:
        answers = sum(row["answers"] for row in left)
        parts.append(f"{len(left)} more reasons, of {answers} answers, are in `summary.json`.")
    return parts


def _generation_table(summary: Row) -> list[str]:
    header = ["Run", "Condition", "Answers", "Failures", "Cut answers", "Cut contexts", "Cut items"]
    fields = ["run", "condition", "answers", "failures", "cut_answers", "cut_contexts", "cut_items"]
    rows = [[escape(row[field]) for field in fields] for row in summary["generation"]]
    return ["## Generation", table(header, rows, text_columns=2)]


def _settings(summary: Row) -> list[str]:
    """`run.json` of each run, a line a field."""
    parts = ["## Settings"]
    for run in summary["runs"]:
        judges = ", ".join(f"{judge} (rule {version})" for judge, version in run["judges"].items())
        fields = {"questions": run["questions"], "videos": run["videos"], "judges": judges}
        rows = [[escape(name), escape(value)] for name, value in [*fields.items(), *_flat(run["settings"])]]
        parts += [f"Run {escape(run['run'])}:", table(["Setting", "Value"], rows, text_columns=2)]
    return parts


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of the leaves of nested objects; lists as JSON."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else orjson.dumps(value).decode()


def _notes(summary: Row, judges: Sequence[str]) -> list[str]:
    notes = [
        *(JUDGE_NOTES[judge] for judge in judges),
        "Scores run from 0 to 100. Average is over questions; macro average is the mean of the categories' means.",
        f"In brackets: the {summary['confidence']:.0%} interval. Its unit is the video, for the questions of "
        f"one video are not independent. From {summary['few_videos']} videos on it is a bootstrap's "
        f"({summary['resamples']} resamples, seed {summary['seed']}), below that Student's on the videos' "
        "sums; where all videos have the same mean, the rule of three gives it; n/a with a single video.",
        "Differences are over the questions that both conditions have scored, with interval and p value of "
        "the paired differences. The p values are not adjusted for the number of comparisons.",
        "Unscored answers are those whose measurement failed. They are in no mean; the range beside their "
        "number is the average if all of them were wrong, and if all were right.",
        "Cut answers reached the longest allowed length. Cut contexts are prompts whose budget left out items of the "
        "steps.",
        "Unreadable answers are empty, refuse, or name no single option. They score 0; the share is of the scored.",
    ]
    return ["## How to read this", "\n".join(f"- {note}" for note in notes)]
