"""Where step 1 of a run's questions comes from, and the scores by it.

A difference between categories can be one between origins: in NExT-QA, people marked spans for causal and temporal
questions only. So where a run's questions have several origins, and a condition tells steps, scores are split by them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.judge.verdicts import Verdict
from cotasks.metrics import means as metrics
from cotasks.records.schema import ORIGINS
from cotasks.report import tables
from cotasks.report.tables import NOTHING, Cell, Line, Table, interval, minus, rows_in_order
from cotasks.runs.folder import Key
from cotasks.runs.run import Run
from cotasks.steps.frame_localization import origin_label
from cotasks.words.types import ALL

Row = dict[str, Any]

UNKNOWN = "unknown"
TITLE = "Scores by origin of step 1"
NOTE = (
    "Origins of step 1: human (people marked the time), annotation (the source's own), model (a model proposed it), "
    "lexical (question words matched annotated categories), whole (nothing was chosen). A share says what step 1 keeps "
    "of the grid's frames, or of the scene's entities."
)


def origin_of(question: Mapping[str, Any]) -> str:
    """Of a question's spans: `human, saw the answer`; `unknown` in runs of older versions."""
    return origin_label(str(question.get("span_origin") or UNKNOWN), bool(question.get("used_answer")))


def labels_of(run: Run) -> dict[str, int]:
    """Origin -> questions, in the order of `ORIGINS`."""
    return dict(sorted(Counter(map(origin_of, run.questions.values())).items(), key=lambda item: _place(item[0])))


def _place(label: str) -> tuple[int, str]:
    origin = label.partition(",")[0]
    return ORIGINS.index(origin) if origin in ORIGINS else len(ORIGINS), label


def tells_steps(settings: Mapping[str, Any]) -> bool:
    """Whether a condition of `run.json` tells steps of the record."""
    conditions = settings.get("conditions")
    found = conditions.values() if isinstance(conditions, Mapping) else ()
    return any(isinstance(c, Mapping) and c.get("steps") and c.get("origin", "oracle") != "predicted" for c in found)


def rows_of(run: Run) -> list[Row]:
    """{span_origin, entity_origin, used_answer, category, questions, grid_share, entity_share}: means of what step 1
    keeps; None where a run does not say."""
    groups: dict[tuple[str, str, str, bool], list[Mapping[str, Any]]] = {}
    for row in run.questions.values():
        origins = (row.get("span_origin") or UNKNOWN, row.get("entity_origin") or UNKNOWN)
        groups.setdefault((str(row["category"]), *origins, bool(row.get("used_answer"))), []).append(row)
    return [
        {
            "span_origin": span,
            "entity_origin": entity,
            "used_answer": saw,
            "category": category,
            "questions": len(rows),
            "grid_share": _mean(rows, "grid_share"),
            "entity_share": _mean(rows, "entity_share"),
        }
        for (category, span, entity, saw), rows in sorted(
            groups.items(), key=lambda item: (_place(item[0][1]), _place(item[0][2]), item[0][0])
        )
    ]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def scores_by_origin(
    run: Run, verdicts: Mapping[Key, Verdict], conditions: Sequence[str], baseline: str
) -> tuple[list[Row], list[Row]]:
    """(means, differences) over all questions of each origin, fields as of `metrics` with `origin`; empty where all
    have one origin, or no condition tells steps."""
    labels = labels_of(run)
    if len(labels) < 2 or not tells_steps(run.settings):
        return [], []
    means: list[Row] = []
    differences: list[Row] = []
    for label in labels:
        questions = {id_: row for id_, row in run.questions.items() if origin_of(row) == label}
        inside = {key: verdict for key, verdict in verdicts.items() if key[0] in questions}
        found = metrics.summarise(inside, questions, conditions, baseline)
        for rows, kept in ((found.means, means), (found.differences, differences)):
            kept += [
                {"origin": label, **dataclasses.asdict(row)} for row in rows if (row.group, row.level) == (ALL, "micro")
            ]
    return means, differences


def main_tables(summary: Mapping[str, Any], judge: str) -> list[Table]:
    """`tables.main_tables`, and the scores by origin where the questions of a run have several."""
    return [*tables.main_tables(summary, judge), *_by_origin(summary, judge)]


def _by_origin(summary: Mapping[str, Any], judge: str) -> list[Table]:
    means = {(m["run"], m["condition"], m["origin"]): m for m in summary["origin_means"] if m["judge"] == judge}
    gains = {(d["run"], d["condition"], d["origin"]): d for d in summary["origin_differences"] if d["judge"] == judge}
    if not means:
        return []
    labels = sorted({key[2] for key in means}, key=_place)
    lines: list[Line] = []
    last = ""
    for run, model, condition in rows_in_order(summary, judge):
        found = [means.get((run, condition, label)) for label in labels]
        if not any(found):
            continue
        shown: list[Cell] = [model, condition, *map(interval, found)]
        lines.append(Line(shown, starts_model=run != last))
        differences = [gains.get((run, condition, label)) for label in labels]
        if any(differences):
            name = minus(condition, summary["baseline"])
            lines.append(Line(["", name, *map(interval, differences)], is_difference=True))
        last = run
    counts = {label: max(m["questions"] for key, m in means.items() if key[2] == label) for label in labels}
    header = ["Model", "Condition", *(f"{label} ({counts[label]})" for label in labels)]
    return [Table(header, lines, 2, TITLE)]


def origin_table(summary: Mapping[str, Any]) -> Table | None:
    """What step 1 of the questions is; None where no run says."""
    rows = [row for row in summary["origins"] if row["span_origin"] != UNKNOWN]
    lines = [
        Line(
            [
                row["run"],
                row["span_origin"],
                row["entity_origin"],
                row["category"],
                "yes" if row["used_answer"] else "no",
                str(row["questions"]),
                *(NOTHING if row[name] is None else f"{row[name]:.1%}" for name in ("grid_share", "entity_share")),
            ]
        )
        for row in rows
    ]
    header = ["Run", "Spans", "Entities", "Category", "Saw the answer", "Questions", "Frames kept", "Entities kept"]
    return Table(header, lines, 5) if lines else None


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read the origins."""
    return [NOTE] if origin_table(summary) is not None else []
