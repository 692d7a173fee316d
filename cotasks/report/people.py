"""What people said of a run's answers: rows of `summary.json`, tables and notes of a report.

Scores of 50 and above count as right, where a yes or no is compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from cotasks.judge.verdicts import Verdict
from cotasks.metrics.corrected import Corrected, Scored, corrected_difference, corrected_mean
from cotasks.metrics.intervals import Estimate, cluster_estimates
from cotasks.report.judges import coefficient
from cotasks.report.tables import NOTHING, Cell, Interval, Line, PValue, Table, minus, model_labels, number
from cotasks.runs.folder import Key
from cotasks.runs.labels import Label, read_labels
from cotasks.runs.run import Run

Row = dict[str, Any]

PEOPLE = "people"
"""What stands for the labellers together, as one of two that are compared."""
RIGHT = 50.0
"""The score from which a label says right."""


def add(
    parts: dict[str, list[Row]],
    of: Row,
    run: Run,
    verdicts: Mapping[str, Mapping[Key, Verdict]],
    baseline: str,
) -> list[str]:
    """Fill `labels` and `corrected` of a summary's parts; returns warnings. Nothing is added without labels.

    Args:
        parts: of the summary.
        of: What every row says of its run.
        run: The run.
        verdicts: {judge: {key: verdict}}
        baseline: The condition that the others are compared with.

    Raises InputError where a file of labels is damaged.
    """
    labels, stale = read_labels(run)
    scored = [label for label in labels if label.score is not None]
    if scored:
        parts["labels"] += [{**of, **row} for row in _agreement(scored, verdicts)]
        for judge, given in verdicts.items():
            parts["corrected"] += [{**of, "judge": judge, **row} for row in _corrected(run, given, scored, baseline)]
    if stale:
        return [f"{stale} labels are of answers, questions or references that changed since; they do not count."]
    return []


def _corrected(run: Run, verdicts: Mapping[Key, Verdict], labels: list[Label], baseline: str) -> list[Row]:
    """The means of one judge, then the differences to the baseline, that there are labels enough for."""
    answers = {c: found for c in run.conditions if (found := _answers(run, verdicts, labels, c)) is not None}
    rows = [
        _row(condition, None, mean, _clustered(one.judged, list(one.videos), 0.0))
        for condition, one in answers.items()
        if (mean := corrected_mean(one)) is not None
    ]
    for condition, one in answers.items():
        if condition != baseline and baseline in answers:
            difference = corrected_difference(one, answers[baseline])
            if difference is not None:
                rows.append(_row(condition, baseline, difference, _difference(run, verdicts, condition, baseline)))
    return rows


def _agreement(labels: list[Label], verdicts: Mapping[str, Mapping[Key, Verdict]]) -> list[Row]:
    """Every two labellers, then each judge and people, over the answers that both have scored."""
    from cotasks.judge.agreement import compare

    by: dict[str, dict[Key, Verdict]] = {}
    for label in labels:
        by.setdefault(label.labeller, {})[label.key] = _as_verdict(label.score)
    together = {key: _as_verdict(score) for key, (score, _) in _mean_labels(labels).items()}
    pairs = [(first, by[first], second, by[second]) for first, second in combinations(sorted(by), 2)]
    pairs += [(judge, dict(given), PEOPLE, together) for judge, given in verdicts.items()]
    found = []
    for first, ours, second, theirs in pairs:
        both = [(ours[key], theirs[key]) for key in theirs if key in ours]
        if both:
            row = dataclasses.asdict(compare((first, second), both))
            del row["judges"]
            found.append({"judge": first, "other_judge": second, **row})
    return found


def _as_verdict(score: float | None) -> Verdict:
    return Verdict(score, None if score is None else score >= RIGHT, False, "label")


def _mean_labels(labels: list[Label]) -> dict[Key, tuple[float, float]]:
    """{answer: (mean score of its labellers, mean weight)} of those that have a score."""
    found: dict[Key, list[Label]] = {}
    for label in labels:
        if label.score is not None:
            found.setdefault(label.key, []).append(label)
    return {
        key: (sum(one.score or 0.0 for one in of) / len(of), sum(one.weight for one in of) / len(of))
        for key, of in found.items()
    }


def _answers(run: Run, verdicts: Mapping[Key, Verdict], labels: list[Label], condition: str) -> Scored | None:
    """The answers of a condition that the judge has scored; None where there are none."""
    said = _mean_labels(labels)
    keys = [
        key
        for key, verdict in verdicts.items()
        if key[1] == condition and verdict.score is not None and key[0] in run.questions
    ]
    if not keys:
        return None
    return Scored(
        judged=np.array([verdicts[key].score for key in keys], np.float64),
        labels=np.array([said.get(key, (np.nan, 1.0))[0] for key in keys], np.float64),
        weights=np.array([said.get(key, (np.nan, 1.0))[1] for key in keys], np.float64),
        videos=[run.questions[key[0]]["video_id"] for key in keys],
    )


def _difference(run: Run, verdicts: Mapping[Key, Verdict], condition: str, baseline: str) -> Estimate:
    """As the judge has it, over the answers that are scored under both conditions."""
    values, videos = [], []
    for (id_, c, sample), verdict in verdicts.items():
        base = verdicts.get((id_, baseline, sample))
        known = verdict.score is not None and base is not None and base.score is not None
        if c == condition and id_ in run.questions and known:
            values.append(verdict.score - base.score)  # type: ignore[operator,union-attr]
            videos.append(str(run.questions[id_]["video_id"]))
    return _clustered(np.array(values, np.float64), videos, -100.0)


def _clustered(values: Any, videos: list[str], lowest: float) -> Estimate:
    if not len(values):
        return Estimate(None, None, None, None, 0, None)
    of = np.unique(np.array(videos), return_inverse=True)[1]
    sums, counts = (np.bincount(of, weights)[:, None].astype(np.float64) for weights in (values, None))
    return cluster_estimates(sums, counts, [[0]], lowest, 100.0)[0]


def _row(condition: str, baseline: str | None, found: Corrected, judged: Estimate) -> Row:
    row: Row = {"condition": condition, "baseline": baseline, "labels": found.labels}
    row |= {"videos": found.estimate.videos, "tuning": found.tuning}
    for prefix, estimate in (("judge_", judged), ("alone_", found.alone), ("", found.estimate)):
        row |= {f"{prefix}{name}": getattr(estimate, name) for name in ("mean", "low", "high", "rough")}
    return {**row, "p_value": found.estimate.p_value}


def tables_of(summary: Mapping[str, Any]) -> list[Table]:
    """The tables of labels: corrected scores, agreement; those that there are."""
    found = [corrected_table(summary), agreement_table(summary)]
    return [table for table in found if table is not None]


def corrected_table(summary: Mapping[str, Any]) -> Table | None:
    """Each mean and difference as the judge has it, as the labels have it, and corrected."""
    lines = [
        Line(
            [row["run"], row["judge"], _what(row), str(row["labels"]), str(row["videos"]), *_cells(row)],
            is_difference=row["baseline"] is not None,
        )
        for row in summary["corrected"]
    ]
    header = ["Run", "Judge", "Condition", "Labels", "Videos", *_COLUMNS]
    return Table(header, lines, 3, "Corrected by people's labels") if lines else None


def paper_table(summary: Mapping[str, Any], judge: str) -> Table | None:
    """The same of one judge, in the form of the main tables: a model and a condition, then numbers."""
    labels = model_labels(summary)
    lines: list[Line] = []
    last = None
    for row in summary["corrected"]:
        if row["judge"] == judge:
            cells = [labels[row["run"]], _what(row), str(row["labels"]), *_cells(row)]
            lines.append(Line(cells, row["baseline"] is not None, row["run"] != last))
            last = row["run"]
    header = ["Model", "Condition", "Labels", *_COLUMNS]
    return Table(header, lines, 2, "Corrected by people's labels") if lines else None


_COLUMNS = ("Judge alone", "Labels alone", "Corrected", "p", "Tuning")


def _what(row: Row) -> str:
    return str(row["condition"]) if row["baseline"] is None else minus(row["condition"], row["baseline"])


def _cells(row: Row) -> list[Cell]:
    """The values of `_COLUMNS`."""
    signed = row["baseline"] is not None
    found: list[Cell] = [
        Interval(row[f"{of}mean"], row[f"{of}low"], row[f"{of}high"], 0, signed, row[f"{of}rough"])
        for of in ("judge_", "alone_", "")
    ]
    tuning = "" if row["tuning"] is None else f"{row['tuning']:.2f}"
    return [*found, PValue(row["p_value"]) if signed else "", tuning]


def agreement_table(summary: Mapping[str, Any]) -> Table | None:
    """How far people agree with each other, and judges with people; None without labels."""
    lines = [
        Line(
            [
                row["run"],
                f"{row['judge']} and {row['other_judge']}",
                f"{row['answers']} ({row['left_out']} left out)" if row["left_out"] else str(row["answers"]),
                NOTHING if row["same"] is None else f"{row['same']:.1%}",
                *(coefficient(row[field]) for field in ("kappa", "weighted_kappa", "alpha")),
                NOTHING if row["difference"] is None else number(-row["difference"], "+"),
            ]
        )
        for row in summary["labels"]
    ]
    header = ["Run", "Who", "Answers", "Same verdict", "Kappa", "Weighted kappa", "Alpha", "Mean difference"]
    return Table(header, lines, 2, "Agreement with people") if lines else None


def notes(summary: Mapping[str, Any]) -> list[str]:
    """How to read these tables, where there are any."""
    found = []
    if summary["corrected"]:
        found.append(
            "Corrected by people's labels: the judge's mean over all answers, corrected by its error on those that "
            "people labelled (prediction-powered inference; its tuning is between 0, the labels alone, and 1, the "
            "judge moved by its mean error), clustered by video. It holds only if the labelled answers were drawn at "
            "random, with the weights that the labels state. Labels and videos are those of the labelled answers."
        )
    if summary["labels"]:
        found.append(
            "Agreement with people: over the answers that both have scored; a label of 50 or more says right. People: "
            "the mean of an answer's labellers. The columns are those of the agreement of judges."
        )
    return found
