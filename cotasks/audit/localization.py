"""Whether spans of step 1 are nearer to people's than the whole clip is.

Over the questions whose spans people marked: the frames that a proposal gives, and those of the whole clip, each held
against the people's, as sets of frames of the grid. Proposals are those of a model, or what words give
(`cotasks.steps.by_words.frames_by_words`). Questions without a proposal are counted and not compared.

- `f1`: twice the frames in both over the frames of each added up.
- `iou`: frames in both over frames in either.
- `iop`: frames in both over frames proposed.

The differences have 95% intervals over videos. Spans *beat the whole clip* where the interval of F1's lies above 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cotasks.errors import InputError
from cotasks.records.schema import Record, Span
from cotasks.records.timeline import frames_in_spans
from cotasks.steps.by_words import frames_by_words
from cotasks.steps.measures import precision_recall_f1

LEXICAL = "lexical"
MEASURES = ("f1", "iou", "iop")

Row = dict[str, Any]
Propose = Callable[[Record], tuple[int, ...] | None]
"""Record -> frames of its grid, ascending; None where nothing is proposed for it."""


def by_words(record: Record) -> tuple[int, ...] | None:
    """What the words of a record's question give."""
    return frames_by_words((record.question,), record.scene, [frame.index for frame in record.frames])


def by_spans(proposals: Mapping[str, Sequence[Span]]) -> Propose:
    """What spans give that were proposed by record id, in seconds of file time, cut to the clip."""

    def propose(record: Record) -> tuple[int, ...] | None:
        start, end = record.clip.start_seconds, record.clip.end_seconds
        spans = [
            Span(max(span.start_seconds, start), min(span.end_seconds, end))
            for span in proposals.get(record.id, ())
            if span.start_seconds <= end and span.end_seconds >= start
        ]
        return frames_in_spans(record.frames, spans) if spans else None

    return propose


def compare(records: Iterable[Record], propose: Propose) -> Row:
    """{marked (questions with human spans), proposed (of these, with a proposal), used_answer_of_people, rows}, a row
    {category, measure, questions, videos, kept (mean share of the grid that is proposed), proposal, whole, difference,
    low, high} for all questions (category `all`) and each category; shares from 0 to 1, the interval None with a single
    video.

    Raises InputError where no record has human spans, and where none of these has a proposal.
    """
    marked, saw_answer = 0, 0
    found: list[tuple[str, str, float, dict[str, float], dict[str, float]]] = []
    for record in records:
        a1 = record.frame_localization
        if a1.span_origin != "human":
            continue
        marked += 1
        saw_answer += a1.used_answer
        frames = propose(record)
        if frames:
            grid = [frame.index for frame in record.frames]
            scores = [_scores(chosen, a1.frames) for chosen in (frames, grid)]
            found.append((record.video_id, record.category, len(frames) / len(grid), scores[0], scores[1]))
    if not marked:
        raise InputError("no record has spans that people marked; expected some, to hold others against")
    if not found:
        raise InputError(f"nothing is proposed for any of the {marked} questions with human spans; expected record ids")
    rows = _rows(found)
    return {"marked": marked, "proposed": len(found), "marked_with_answer": saw_answer, "rows": rows}


def beats_whole(comparison: Mapping[str, Any]) -> bool:
    """Whether the spans beat the whole clip over all questions, by F1."""
    [row] = [row for row in comparison["rows"] if (row["category"], row["measure"]) == ("all", "f1")]
    return row["low"] is not None and bool(row["low"] > 0)


def _scores(chosen: Collection[int], truth: Collection[int]) -> dict[str, float]:
    both = len(set(chosen) & set(truth))
    precision, _, f1 = precision_recall_f1(both, len(chosen), len(truth))
    assert precision is not None  # neither is empty
    assert f1 is not None
    return {"f1": f1, "iou": both / len(set(chosen) | set(truth)), "iop": precision}


def _rows(found: Sequence[tuple[str, str, float, dict[str, float], dict[str, float]]]) -> list[Row]:
    from cotasks.metrics.intervals import cluster_estimates

    names, video = np.unique([item[0] for item in found], return_inverse=True)
    categories = ["all", *dict.fromkeys(item[1] for item in found)]
    rows: list[Row] = []
    sums, counts = [], []
    for category in categories:
        inside = np.array([category in ("all", item[1]) for item in found])
        for measure in MEASURES:
            ours = np.array([item[3][measure] for item in found])
            whole = np.array([item[4][measure] for item in found])
            rows.append(
                {
                    "category": category,
                    "measure": measure,
                    "questions": int(inside.sum()),
                    "videos": len(np.unique(video[inside])),
                    "kept": float(np.mean([item[2] for item in found], where=inside)),
                    "proposal": float(ours[inside].mean()),
                    "whole": float(whole[inside].mean()),
                }
            )
            sums.append(np.bincount(video[inside], (ours - whole)[inside], len(names)))
            counts.append(np.bincount(video[inside], minlength=len(names)).astype(np.float64))
    members = [[column] for column in range(len(rows))]
    estimates = cluster_estimates(np.stack(sums, 1), np.stack(counts, 1), members, -1.0, 1.0)
    for row, estimate in zip(rows, estimates, strict=True):
        row |= {"difference": estimate.mean, "low": estimate.low, "high": estimate.high}
    return rows
