"""`summary.json` -> the tables and notes of a report, the same for Markdown, LaTeX and the page.

Rows are a model under a condition, columns the categories of a data set's questions, as in the CoTasks paper's main
table; under each condition stands its difference from the baseline. Texts are as they came: who writes them escapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cotasks.words.types import ALL, group_place, group_title, listed_categories, type_title

Row = Mapping[str, Any]

JUDGE_NOTES = {
    "exact": "Judge exact: 100 where the answer equals a reference after both are normalised (case, "
    "punctuation, articles, numerals), for multiple choice where it names the right option by letter or "
    "text; else 0.",
    "f1": "Judge f1: the F1 of the answer's words against those of the best reference, times 100; multiple "
    "choice as under exact.",
    "f1-new": "Judge f1-new: f1 with the question's words taken off answer and reference, so that saying the question "
    "again earns nothing.",
    "wups0-new": "Judge wups0-new: wups0 with the question's words taken off answer and reference.",
    "wups0": "Judge wups0: WUPS with threshold 0 as NExT-QA's open-ended task defines it: how near the words of answer "
    "and reference are in WordNet 3.0, times 100; multiple choice as under exact.",
    "wups0.9": "Judge wups0.9: WUPS with threshold 0.9: words less than 0.9 alike count a tenth of it.",
}
MODEL_NOTE = (
    "Judge {}: a language model's score by the rubric that the settings name; right where it finds that the answer "
    "means the same as a reference. Another version of the model may score the same answers otherwise."
)
NOTHING = "-"
MOST_REASONS = 30
"""Reasons of unscored answers that the report lists; `summary.json` has all."""


@dataclass(frozen=True)
class Interval:
    """A mean or a difference with its interval."""

    mean: float | None
    low: float | None
    high: float | None
    unscored: int = 0
    """Answers that are not in it."""
    is_difference: bool = False
    rough: bool = False
    """Whether its coverage may lie outside 93% to 97%."""

    @property
    def number(self) -> str:
        """`62.5`, `+3.0`, `-`"""
        return NOTHING if self.mean is None else self._text(self.mean)

    @property
    def ends(self) -> str:
        """`51.2, 73.0`; `n/a` where there is a mean without an interval, nothing where there is none."""
        if self.mean is None:
            return ""
        return "n/a" if self.low is None or self.high is None else f"{self._text(self.low)}, {self._text(self.high)}"

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval of a difference lies above or below 0, else 0."""
        if not self.is_difference or self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def __str__(self) -> str:
        """`62.5 [51.2, 73.0] (1 unscored)`, `2.5 [0.1, 23.0] rough`"""
        note = " rough" if self.rough else ""
        note += f" ({self.unscored} unscored)" if self.unscored else ""
        return self.number + (f" [{self.ends}]" if self.ends else "") + note

    def _text(self, value: float) -> str:
        return number(value, "+" if self.is_difference else "")


@dataclass(frozen=True)
class PValue:
    """Of the hypothesis that a difference is 0."""

    value: float | None

    def __str__(self) -> str:
        if self.value is None:
            return NOTHING
        return "< 0.001" if self.value < 0.001 else f"{self.value:.3f}"


@dataclass(frozen=True)
class Unscored:
    """How many answers a mean lacks, and what that could do to it."""

    unscored: int
    answers: int
    lowest: float | None
    """The mean if every unscored answer had scored 0."""
    highest: float | None
    """The mean if every unscored answer had scored 100."""

    @property
    def share(self) -> str:
        """`1 of 48`"""
        return f"{self.unscored} of {self.answers}"

    @property
    def bounds(self) -> str:
        """`20.8 to 22.9`; nothing where none is unscored."""
        if not self.unscored or self.lowest is None or self.highest is None:
            return ""
        return f"{number(self.lowest)} to {number(self.highest)}"

    def __str__(self) -> str:
        """`1 of 48: average 20.8 to 22.9`"""
        return self.share + (f": average {self.bounds}" if self.bounds else "")


Cell = str | Interval | PValue | Unscored


@dataclass(frozen=True)
class Line:
    """A row of a table."""

    cells: list[Cell]
    is_difference: bool = False
    starts_model: bool = False
    """Whether the row is the first of its model."""


@dataclass(frozen=True)
class Table:
    """A table; texts are not escaped."""

    header: list[str]
    lines: list[Line]
    text_columns: int = 1
    """The first so many columns hold text, the others numbers."""
    title: str = ""


def number(value: float, sign: str = "") -> str:
    """`62.5`; with sign "+", `+3.0`."""
    return f"{round(value, 1) + 0.0:{sign}.1f}"  # + 0.0 turns -0.0 into 0.0


def judges_in(summary: Row) -> list[str]:
    """The judges of all runs."""
    return list(dict.fromkeys(judge for run in summary["runs"] for judge in run["judges"]))


def main_tables(summary: Row, judge: str) -> list[Table]:
    """One table for each group of questions that a run has."""
    means = {_key(m): m for m in summary["means"] if m["judge"] == judge}
    gains = {_key(d): d for d in summary["differences"] if d["judge"] == judge}
    groups = sorted({m["group"] for m in means.values()} - {ALL}, key=group_place)
    tables = []
    for group in [*groups, ALL] if len(groups) > 1 else groups:
        listed = listed_categories(group)
        found = {m["name"] for m in means.values() if (m["group"], m["level"]) == (group, "category")}
        categories = [*listed, *sorted(found.difference(listed))]
        columns = [("category", c) for c in categories] + [("micro", "average"), ("macro", "average")]
        lines: list[Line] = []
        last = ""
        for run, model, condition in rows_in_order(summary, judge):
            average = means.get((run, condition, group, "micro", "average"))
            if average is None:
                continue
            cells: list[Cell] = [interval(means.get((run, condition, group, *column))) for column in columns]
            unscored = Unscored(*(average[field] for field in ("unscored", "answers", "lowest", "highest")))
            right = [_percent(average, "correct")] if judge != "exact" else []
            shown = [model, condition, *cells, *right, unscored, _share(average, "unreadable")]
            lines.append(Line(shown, starts_model=run != last))
            if (run, condition, group, "micro", "average") in gains:
                cells = [interval(gains.get((run, condition, group, *column))) for column in columns]
                name = minus(condition, summary["baseline"])
                lines.append(Line(["", name, *cells, *([""] * len(right)), "", ""], is_difference=True))
            last = run
        names = [category.capitalize() for category in categories]
        rights = ["Right"] if judge != "exact" else []  # whose average it is
        header = ["Model", "Condition", *names, "Average", "Macro average", *rights, "Unscored", "Unreadable"]
        tables.append(Table(header, lines, 2, group_title(group)))
    return tables


def rows_in_order(summary: Row, judge: str) -> Iterator[tuple[str, str, str]]:
    """(run, label of its model, condition) in the order of the report: the baseline first."""
    labels = model_labels(summary)
    for run in summary["runs"]:
        if judge in run["judges"]:
            for condition in sorted(run["conditions"], key=lambda c: c != summary["baseline"]):
                yield run["run"], labels[run["run"]], condition


def model_labels(summary: Row) -> dict[str, str]:
    """{run: its model}, with the run's name where two have the same model."""
    models = [run["model"] for run in summary["runs"]]
    return {
        run["run"]: run["model"] if models.count(run["model"]) == 1 else f"{run['model']} ({run['run']})"
        for run in summary["runs"]
    }


def _key(row: Row) -> tuple[str, str, str, str, str]:
    return row["run"], row["condition"], row["group"], row["level"], row["name"]


def minus(condition: str, baseline: str) -> str:
    """`cotasks minus baseline`"""
    return f"{condition} minus {baseline}"


def type_tables(summary: Row, judge: str) -> list[Table]:
    """A table of question types for each run."""
    means = {_key(m): m for m in summary["means"] if m["judge"] == judge}
    gains = {_key(d): d for d in summary["differences"] if d["judge"] == judge}
    tables = []
    for run in summary["runs"]:
        conditions = [condition for name, _, condition in rows_in_order(summary, judge) if name == run["run"]]
        compared = [c for c in conditions if any(key[:2] == (run["run"], c) for key in gains)]
        lines = []
        types = dict.fromkeys((key[2], key[4]) for key in means if key[0] == run["run"] and key[3] == "question_type")
        titles = [type_title(*type_) for type_ in types]
        for (group, type_), title in zip(types, titles, strict=True):
            cell = (group, "question_type", type_)
            found = [mean for c in conditions if (mean := means.get((run["run"], c, *cell)))]
            cells: list[Cell] = [str(found[0]["questions"]), *map(interval, found)]
            cells += [interval(gains.get((run["run"], c, *cell))) for c in compared]
            lines.append(Line([title if titles.count(title) == 1 else f"{title} ({group})", *cells]))
        if lines:
            header = ["Type", "Questions", *conditions, *(minus(c, summary["baseline"]) for c in compared)]
            tables.append(Table(header, lines, title=f"{run['model']}, run {run['run']}"))
    return tables


def difference_lines(summary: Row, judge: str) -> list[tuple[Row, list[str]]]:
    """(difference, its model, conditions and questions in words) of every difference but those by question type."""
    labels = model_labels(summary)
    return [
        (d, [labels[d["run"]], minus(d["condition"], d["baseline"]), f"{group_title(d['group'])}, {part_name(d)}"])
        for d in summary["differences"]
        if d["judge"] == judge and d["level"] != "question_type"
    ]


def part_name(row: Row) -> str:
    """What a mean or difference is over, within its group."""
    return {"micro": "average", "macro": "macro average"}.get(row["level"]) or str(row["name"])


def outcome_table(summary: Row, judge: str) -> Table | None:
    """Answers that won and lost against the baseline's; None where nothing is compared."""
    labels = model_labels(summary)
    fields = ("won", "lost", "tied", "not_compared")
    lines = [
        Line([labels[o["run"]], minus(o["condition"], o["baseline"]), *(str(o[field]) for field in fields)])
        for o in summary["outcomes"]
        if o["judge"] == judge
    ]
    return Table(["Model", "Conditions", "Won", "Lost", "Same", "Not compared"], lines, 2) if lines else None


def interval(row: Row | None, is_difference: bool | None = None) -> Interval:
    """A row of `means` or `differences` as a cell."""
    if row is None:
        return Interval(None, None, None)
    signed = "baseline" in row if is_difference is None else is_difference
    unscored = 0 if signed else row.get("unscored", 0)
    return Interval(row["mean"], row["low"], row["high"], unscored, signed, row.get("rough", False))


def _percent(row: Row, field: str) -> str:
    """Of the scored answers."""
    return f"{row[field] / row['scored']:.1%}" if row["scored"] else NOTHING


def _share(row: Row, field: str) -> str:
    """`3 (6.3%)` of the scored answers."""
    return f"{row[field]} ({_percent(row, field)})" if row["scored"] else NOTHING


def unscored_table(summary: Row) -> tuple[Table | None, str]:
    """The reasons of unscored answers, the most frequent first, and a line on those left out."""
    header = ["Run", "Judge", "Condition", "Reason", "Answers"]
    judges: dict[tuple[str, str, str, int], list[str]] = {}
    for row in summary["unscored"]:  # what was not generated is unscored by every judge
        judges.setdefault((row["run"], row["condition"], row["reason"], row["answers"]), []).append(row["judge"])
    most = sorted(judges.items(), key=lambda item: -item[0][3])
    lines = [
        Line([run, ", ".join(names), condition, reason, str(answers)])
        for (run, condition, reason, answers), names in most[:MOST_REASONS]
    ]
    if not lines:
        return None, ""
    left = most[MOST_REASONS:]
    answers = sum(key[3] for key, _ in left)
    rest = f"{len(left)} more reasons, of {answers} answers, are in `summary.json`." if left else ""
    return Table(header, lines, 4), rest


def generation_table(summary: Row) -> Table:
    """How the answers came about."""
    header = ["Run", "Condition", "Answers", "Failures", "Cut answers", "Cut contexts", "Cut items", "Echoes", "Words"]
    fields = ["run", "condition", "answers", "failures", "cut_answers", "cut_contexts", "cut_items", "echoes"]
    of_thoughts = ["thoughts", "cut_thoughts"] if any("thoughts" in row for row in summary["generation"]) else []
    header += ["Thoughts", "Thinking cut off"] if of_thoughts else []
    lines = []
    for row in summary["generation"]:
        words = NOTHING if row["median_words"] is None else f"{row['median_words']:g}"
        cells = [*(str(row[field]) for field in fields), words]
        lines.append(Line([*cells, *(str(row.get(field, 0)) for field in of_thoughts)]))
    return Table(header, lines, 2)


def settings_tables(summary: Row) -> list[Table]:
    """`run.json` of each run, a line a field."""
    tables = []
    for run in summary["runs"]:
        judges = ", ".join(f"{judge} (rule {rule})" for judge, rule in run["judges"].items())
        fields = {"questions": run["questions"], "videos": run["videos"], "judges": judges}
        values = [*fields.items(), *_flat(run["settings"])]
        lines = [Line([name, str(value)]) for name, value in values]
        tables.append(Table(["Setting", "Value"], lines, 2, f"Run {run['run']}"))
    return tables


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of the leaves of nested objects; lists as JSON."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else orjson.dumps(value).decode()


def notes(summary: Row, judges: Sequence[str]) -> list[str]:
    """How to read the numbers."""
    won = (
        "Won and lost: answers that score more or less than the baseline's to the same question. Not compared: "
        "one of the two is unscored."
    )
    right = (
        "Right: the scored answers that a rule finds equal to a reference, and that a language model finds to mean the "
        "same; over the questions of the average."
    )
    return [
        *(JUDGE_NOTES.get(judge, MODEL_NOTE.format(judge)) for judge in judges),
        "Scores run from 0 to 100. Average is over questions; macro average is the mean of the categories' means.",
        f"In brackets: the {summary['confidence']:.0%} interval. Its unit is the video, for the questions of "
        "one video are not independent: a score interval with a cluster-robust error; where all videos have the same "
        "mean, the rule of three gives it; n/a with a single video. Rough: it rests on too few videos or too few "
        "answers at one end of the scale to be held to its level; simulated coverage is in examples/statistics.md.",
        "Differences are over the questions that both conditions have scored, with interval and p value of "
        "the paired differences, from one test.",
        "Unscored answers are those whose measurement failed. They are in no mean; the range beside their "
        "number is the average if all of them were wrong, and if all were right.",
        *([won] if summary["outcomes"] else []),
        *([right] if set(judges) - {"exact"} else []),
        "Cut answers reached the longest allowed length. Cut contexts are prompts whose budget left out items of "
        "the steps.",
        "Echoes are answers to open-ended questions whose every content word stands in the question; words are the "
        "median of such answers' lengths.",
        "Unreadable answers are empty, refuse, or name no single option. They score 0; the share is of the scored.",
    ]
