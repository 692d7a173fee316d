"""Means of verdicts, their intervals, and paired differences between conditions.

Scores run from 0 to 100. A question's score is the mean of its scored samples; a mean is over questions
that have one. The questions of one video are not independent, so every interval treats the video as the unit
(cluster); `cotasks.metrics.intervals` says how intervals and p values are made.

A difference is over the questions that both conditions have scored. Its bounds are over all questions that both were
asked: the lowest with every unscored answer of the condition at 0 and every one of the baseline at 100, the highest the
other way round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cotasks.judge.verdicts import Verdict
from cotasks.metrics.intervals import Estimate, Floats, Method, cluster_estimates
from cotasks.runs.folder import Key
from cotasks.words.types import ALL, Kind, in_order, kind_of

Level = Literal["micro", "macro", "category", "question_type"]


@dataclass(frozen=True)
class Mean:
    """The score of one condition on some of the questions."""

    condition: str
    group: str
    """The source of the questions, see `cotasks.words.types`, or `all`."""
    level: Level
    """`micro` is over questions, `macro` the mean of the categories' means; the others are parts of a
    group."""
    name: str
    """Of the category or question type; `average` for micro and macro. A type that its source has in several categories
    is named with the category."""
    questions: int
    answers: int
    """Questions times samples."""
    scored: int
    """Answers that have a score."""
    unscored: int
    """Answers that have none."""
    unreadable: int
    """Scored answers that could not be read."""
    correct: int
    """Scored answers that the judge holds for right: that equal a reference, by a rule; that mean the same as one, by a
    language model."""
    mean: float | None
    low: float | None
    high: float | None
    method: Method | None
    videos: int
    lowest: float | None
    """The mean if every unscored answer had scored 0."""
    highest: float | None
    """The mean if every unscored answer had scored 100."""
    rough: bool = False
    """Whether the interval's coverage may lie outside 93% to 97%."""


@dataclass(frozen=True)
class Difference:
    """A condition's score minus the baseline's, on the questions that both have scored."""

    condition: str
    baseline: str
    group: str
    level: Level
    name: str
    questions: int
    """Questions that both conditions have scored."""
    mean: float | None
    low: float | None
    high: float | None
    method: Method | None
    videos: int
    p_value: float | None
    error: float | None = None
    """Standard error; None without one."""
    degrees: float | None = None
    """Degrees of freedom of the test."""
    unscored: int = 0
    """Questions that both conditions were asked and not both have scored in every sample."""
    lowest: float | None = None
    """The difference if the condition's unscored answers had scored 0, and the baseline's 100."""
    highest: float | None = None
    """The difference the other way round."""
    rough: bool = False
    """Whether the interval's coverage may lie outside 93% to 97%."""


@dataclass(frozen=True)
class Summary:
    means: list[Mean]
    differences: list[Difference]


@dataclass(frozen=True)
class _Cell:
    group: str
    level: Level
    name: str
    columns: tuple[int, ...]
    """The subsets of questions whose means it averages."""


def _cells(kinds: Iterable[Kind]) -> tuple[list[_Cell], list[frozenset[Kind]]]:
    """The reported cells, and the subsets of questions that they need, each as a set of kinds."""
    groups: dict[str, dict[str, list[Kind]]] = {}
    for kind in in_order(kinds):
        groups.setdefault(kind.group, {}).setdefault(kind.category, []).append(kind)
    subsets: list[frozenset[Kind]] = []
    cells: list[_Cell] = []

    def add(group: str, level: Level, name: str, *parts: list[Kind]) -> None:
        subsets.extend(frozenset(part) for part in parts)
        cells.append(_Cell(group, level, name, tuple(range(len(subsets) - len(parts), len(subsets)))))

    def averages(group: str, parts: Sequence[list[Kind]]) -> None:
        add(group, "micro", "average", [kind for part in parts for kind in part])
        add(group, "macro", "average", *parts)

    for group, categories in groups.items():
        averages(group, list(categories.values()))
        types = Counter(kind.question_type for part in categories.values() for kind in part)
        for category, part in categories.items():
            add(group, "category", category, part)
            for kind in part:
                name = kind.question_type
                add(group, "question_type", name if types[name] == 1 else f"{name} ({category})", [kind])
    averages(ALL, [part for categories in groups.values() for part in categories.values()])
    return cells, subsets


def summarise(
    verdicts: Mapping[Key, Verdict],
    questions: Mapping[str, Mapping[str, Any]],
    conditions: Sequence[str],
    baseline: str = "baseline",
) -> Summary:
    """Means of every condition, and every other condition's differences from the baseline.

    Args:
        verdicts: For every answer that there should be; an unscored one has the score None. Those whose id
            is not among the questions are left out, for they have no category: count them with the reader
            of the run.
        questions: {id: row with video_id, source, category and question_type}.
        conditions: In the order of the report.
        baseline: What the others are compared with; where it is none of the conditions there are no differences.
    """
    ids = list(questions)
    if not ids:
        return Summary([], [])
    row_of = {id_: row for row, id_ in enumerate(ids)}
    kinds = [kind_of(questions[id_]) for id_ in ids]
    names, video = np.unique([questions[id_]["video_id"] for id_ in ids], return_inverse=True)
    cells, subsets = _cells(kinds)
    masks = np.array([[kind in subset for kind in kinds] for subset in subsets], bool).reshape(-1, len(ids))

    answers, scored, unreadable, correct, total = (np.zeros((len(conditions), len(ids))) for _ in range(5))
    position = {condition: number for number, condition in enumerate(conditions)}
    for (id_, condition, _), verdict in verdicts.items():
        if id_ in row_of and condition in position:
            at = position[condition], row_of[id_]
            answers[at] += 1
            if verdict.score is not None:
                scored[at] += 1
                unreadable[at] += verdict.unreadable
                correct[at] += bool(verdict.correct)
                total[at] += verdict.score
    scores = np.divide(total, scored, out=np.full_like(total, np.nan), where=scored > 0)  # (conditions, questions)
    filled = [  # the same with 0, and with 100, for every unscored answer
        np.divide(total + s * (answers - scored), answers, out=np.full_like(total, np.nan), where=answers > 0)
        for s in (0.0, 100.0)
    ]

    def estimate(values: Floats, lowest: float) -> list[list[Estimate]]:
        """Rows of values per question, nan where there is none -> one estimate a cell for each row."""
        known = ~np.isnan(values)
        columns = [(row, masks[s] & known[row]) for row in range(len(values)) for s in range(len(subsets))]
        sums = [np.bincount(video[m], values[row][m], len(names)) for row, m in columns]
        counts = [np.bincount(video[m], minlength=len(names)).astype(np.float64) for _, m in columns]
        members = [[row * len(subsets) + c for c in cell.columns] for row in range(len(values)) for cell in cells]
        if not members:
            return [[] for _ in values]
        flat = cluster_estimates(np.stack(sums, 1), np.stack(counts, 1), members, lowest, 100.0)
        return [flat[start : start + len(cells)] for start in range(0, len(flat), len(cells))]

    means = []
    for row, (condition, found) in enumerate(zip(conditions, estimate(scores, 0.0), strict=True)):
        for cell, value in zip(cells, found, strict=True):
            inside = masks[list(cell.columns)].any(axis=0)
            counted = [int(a[row][inside].sum()) for a in (answers, scored, unreadable, correct)]
            bounds = [_mean_of(values[row], masks, cell) for values in filled]
            means.append(
                Mean(
                    condition=condition,
                    group=cell.group,
                    level=cell.level,
                    name=cell.name,
                    questions=int(inside.sum()),
                    answers=counted[0],
                    scored=counted[1],
                    unscored=counted[0] - counted[1],
                    unreadable=counted[2],
                    correct=counted[3],
                    mean=value.mean,
                    low=value.low,
                    high=value.high,
                    method=value.method,
                    videos=value.videos,
                    lowest=bounds[0],
                    highest=bounds[1],
                    rough=value.rough,
                )
            )

    differences = []
    others = [c for c in conditions if c != baseline] if baseline in position else []
    paired = np.array([scores[position[c]] - scores[position[baseline]] for c in others]).reshape(-1, len(ids))
    for row, (condition, found) in enumerate(zip(others, estimate(paired, -100.0), strict=True)):
        ours, base = position[condition], position[baseline]
        extremes = filled[0][ours] - filled[1][base], filled[1][ours] - filled[0][base]
        lacking = (scored[[ours, base]] < answers[[ours, base]]).any(axis=0) & (answers[[ours, base]] > 0).all(axis=0)
        for cell, value in zip(cells, found, strict=True):
            bounds = [_mean_of(values, masks, cell) for values in extremes]
            inside = masks[list(cell.columns)].any(axis=0) & ~np.isnan(paired[row])
            differences.append(
                Difference(
                    condition=condition,
                    baseline=baseline,
                    group=cell.group,
                    level=cell.level,
                    name=cell.name,
                    questions=int(inside.sum()),
                    mean=value.mean,
                    low=value.low,
                    high=value.high,
                    method=value.method,
                    videos=value.videos,
                    p_value=value.p_value,
                    error=value.error,
                    degrees=value.degrees,
                    unscored=int((masks[list(cell.columns)].any(axis=0) & lacking).sum()),
                    lowest=bounds[0],
                    highest=bounds[1],
                    rough=value.rough,
                )
            )
    return Summary(means, differences)


def _mean_of(values: Floats, masks: npt.NDArray[np.bool_], cell: _Cell) -> float | None:
    """The cell's mean of values (questions,), nan where there is none; None where a part of it has none at all."""
    parts = [values[masks[c] & ~np.isnan(values)] for c in cell.columns]
    return float(np.mean([part.mean() for part in parts])) if all(len(part) for part in parts) else None
