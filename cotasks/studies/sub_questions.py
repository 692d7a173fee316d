"""Answered right, and knows why: the questions, and sub-questions about the same evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cotasks.judge.judges import verdicts_of
from cotasks.metrics.contrasts import Floats, Mask, Scores, estimates, interval_row, ratio
from cotasks.records.sub_questions import parent_of
from cotasks.runs.run import Run, read_run
from cotasks.studies.drawing import groups_of, points
from cotasks.studies.study import SUB_RUN, Row, Setup, Study, Tables

CONDITIONS = ("blind", "baseline", "cotasks")
GUESSES = "guesses"
"""In the place of a condition: whoever draws an option at random for every sub-question."""
RIGHT, KNOWS, BOTH = "answered right", "knows why", "answered right and knows why"


def right_answers(run: Run, judge: str) -> dict[str, dict[str, float]]:
    """{condition: {question id: 1.0 where the judge holds its answer for right, else 0.0}}; of several samples, where
    it does for more than half. Without what is unscored."""
    found: dict[str, dict[str, list[bool]]] = {}
    for (id_, condition, _), verdict in verdicts_of(run, judge).items():
        if verdict.correct is not None:
            found.setdefault(condition, {}).setdefault(id_, []).append(verdict.correct)
    return {
        condition: {id_: float(2 * sum(each) > len(each)) for id_, each in of.items()}
        for condition, of in found.items()
    }


def knows_why(right: Mapping[str, float], parts: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """{question id: 1.0 where all of its sub-questions were answered right, else 0.0}; without those of which one has
    no verdict.

    Args:
        right: {sub-question id: 1.0 or 0.0}.
        parts: {question id: its sub-questions}.
    """
    return {
        id_: float(all(right[part] for part in of)) for id_, of in parts.items() if all(part in right for part in of)
    }


def sub_questions(
    scores: Scores,
    right: Mapping[str, Mapping[str, float]],
    sub_right: Mapping[str, Mapping[str, float]],
    questions: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[Row]]:
    """`means` of what was answered right, of what is known why, and of both, by {condition, measure}, over the
    questions that have sub-questions; `differences` of these to the baseline, where it was not asked to the first
    condition; the `shares` of the right answers that know why; and the `sub-questions` by kind.

    Args:
        scores: of the questions.
        right, sub_right: {condition: {id: 1.0 where answered right, else 0.0}} of questions and of sub-questions.
        questions: {id: row of `questions.jsonl`} of the sub-questions.
    """
    parts: dict[str, list[str]] = {}
    for id_ in questions:
        parts.setdefault(parent_of(id_), []).append(id_)
    groups = scores.groups()
    values: dict[tuple[str, str], Floats] = {}
    for condition in scores.conditions:
        answered = _column(scores, {id_: v for id_, v in right.get(condition, {}).items() if id_ in parts})
        knows = _column(scores, knows_why(sub_right.get(condition, {}), parts))
        values |= {(condition, RIGHT): answered, (condition, KNOWS): knows, (condition, BOTH): answered * knows / 100}
    by_chance = {id_: float(np.prod([1 / len(questions[part]["choices"]) for part in of])) for id_, of in parts.items()}
    values[GUESSES, KNOWS] = _column(scores, by_chance)
    measured = [{"condition": condition, "measure": measure} for condition, measure in values]
    base = "baseline" if "baseline" in scores.conditions else scores.conditions[0]
    contrasts = {
        (f"{condition} - {base}", measure): values[condition, measure] - values[base, measure]
        for condition in scores.conditions
        if condition != base
        for measure in (RIGHT, KNOWS, BOTH)
    }
    named = [{"name": name, "measure": measure} for name, measure in contrasts]
    return {
        "means": _rows(measured, list(values.values()), groups, scores.video_ids, lowest=0.0),
        "differences": _rows(named, list(contrasts.values()), groups, scores.video_ids, lowest=-100.0),
        "shares": [
            {
                "condition": condition,
                "measure": "share of the right answers that know why",
                "group": group,
                **vars(ratio(values[condition, BOTH], values[condition, RIGHT], inside, scores.video_ids)),
            }
            for condition in scores.conditions
            for group, inside in groups.items()
        ],
        "sub-questions": _by_kind(scores.conditions, sub_right, questions),
    }


def _by_kind(
    conditions: Sequence[str], right: Mapping[str, Mapping[str, float]], questions: Mapping[str, Mapping[str, Any]]
) -> list[Row]:
    """Sub-questions answered right, by {condition, measure}: step and kind of question, in one group."""
    ids = list(questions)
    video_ids = [questions[id_]["video_id"] for id_ in ids]
    kinds = [f"{questions[id_]['category']}, {questions[id_]['question_type']}" for id_ in ids]
    labels, columns = [], []
    for condition in [*conditions, GUESSES]:
        for kind in sorted(set(kinds)):
            of = right.get(condition, {})
            if condition == GUESSES:
                of = {id_: 1 / len(questions[id_]["choices"]) for id_ in ids}
            values = [100 * of[id_] if id_ in of and k == kind else np.nan for id_, k in zip(ids, kinds, strict=True)]
            labels.append({"condition": condition, "measure": kind})
            columns.append(np.array(values, float))
    return _rows(labels, columns, {"all": np.ones(len(ids), bool)}, video_ids, lowest=0.0)


def _column(scores: Scores, values: Mapping[str, float]) -> Floats:
    """(questions,) 0 or 100; nan where there is none."""
    return np.array([100 * values[id_] if id_ in values else np.nan for id_ in scores.ids], float)


def _rows(
    labels: Sequence[Row],
    columns: Sequence[Floats],
    groups: Mapping[str, Mask],
    video_ids: Sequence[str],
    lowest: float,
) -> list[Row]:
    wanted = [(column, inside) for column in columns for inside in groups.values()]
    named = [{**label, "group": group} for label in labels for group in groups]
    found = estimates(wanted, video_ids, lowest, 100.0)
    no_p: Row = {"p_value": None} if lowest == 0 else {}
    return [{**label, **interval_row(*one), **no_p} for label, one in zip(named, found, strict=True)]


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    main, sub = read_run(folder / "run"), read_run(folder / SUB_RUN)
    return sub_questions(scores, right_answers(main, setup.judge), right_answers(sub, "exact"), sub.questions)


def _knows_why(figure: Any, tables: Tables) -> None:
    groups = groups_of(tables["means"])
    conditions = list(dict.fromkeys(row["condition"] for row in tables["shares"]))
    figure.set_size_inches(9, 0.6 * len(groups) * 2 + 1.5)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, measure in ((left, RIGHT), (right, BOTH)):
        for series, condition in enumerate(conditions):
            rows = [row for row in tables["means"] if row["condition"] == condition and row["measure"] == measure]
            label = condition if axes is left else None
            points(axes, groups, rows, series, (series - 1) * 0.25, label=label)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set(xlabel="% of questions", xlim=(-4, 104), title=measure)
    left.invert_yaxis()
    figure.legend(loc="outside lower center", frameon=False, ncols=3)


STUDY = Study(
    name="sub-questions",
    title="Answered right, and knows why",
    reading="""\
Each question has sub-questions about the evidence that steps 3 and 4 hold: whether a triple is so, whether a false one
is, and what fits in one (`cotasks.records.sub_questions`). A model **knows why** where it has all of them right, under
the same condition; an answer is right where the judge says so, a sub-question where the right option is named.
`guesses` is whoever draws every option at random. `blind` shows no video: what it knows, it knows from words. Under
`cotasks` the context holds the triples that are asked about, so a right sub-answer there says that the context was
read, not that anything was seen; under `baseline` it was seen. Negatives are false by the annotation, which may lack a
relation.""",
    conditions=lambda setup: list(setup.conditions or CONDITIONS),
    tables=_tables,
    pictures=lambda tables: [("sub-questions", _knows_why)],
    takes_conditions=True,
    asks_sub_questions=True,
)
