"""Joint scores: a right answer on right evidence. One row a score, each with its interval over videos.

    accuracy                  the judge holds the answer for right
    acc_gqa, miop, miou       NExT-GQA (Xiao et al. 2024, `eval_ground.py`): a right answer whose spans have an IoP of
                              0.5 or more; the mean IoP and IoU of spans
    viou, am, lgm             V-STaR (Cheng et al. 2025, `eval.py`): mean IoU of the annotated boxes; AM is the mean of
                              accuracy, tIoU (mIoU of spans) and vIoU, LGM that of -ln(1 - x) of each
    right_given_step_k        answers that are right, of those whose step k is right: its main score is 0.5 or more
    right_given_no_step_k     and of those whose step k is not
    castbench_*               CaST-Bench by the rules of its publisher, `cotasks.evidence.castbench`, on answers as its
                              scorer reads them, boxes taken for pixels
    castbench_read_*          by the same rules, on evidence as it is read here, boxes in the convention that was found
                              or given, and on the judge's verdict

Scores run from 0 to 1, as their publishers state them; LGM has no upper end. A question that does not define a score
is in no mean: without marked spans (origins `human` and `annotation`) there is nothing to overlap, and an answer that
is unscored is neither right nor wrong. CaST-Bench's own rows count a missing answer as a wrong one, as its scorer does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cotasks.evidence.castbench import Scores
from cotasks.metrics.contrasts import estimates, interval_row
from cotasks.metrics.intervals import Floats
from cotasks.records.schema import Span

STEP_RIGHT = 0.5
"""Main score from which on a step counts as right."""
IOP_RIGHT = 0.5
"""IoP from which on spans count as right (NExT-GQA)."""
MOST_LGM = -math.log(1e-9)
"""What -ln(1 - x) is cut at, where a mean is 1."""


@dataclass(frozen=True)
class Case:
    """A question with its answer."""

    video_id: str
    right: float | None = None
    """1 or 0, or the share of its samples that are right; None where unscored."""
    iop: float | None = None
    iou: float | None = None
    """Of spans, see `overlap`; None where there are no true ones, or nothing was predicted."""
    steps: Mapping[int, float | None] = field(default_factory=dict)
    """Step -> its main score, 0 to 1."""
    published: Scores | None = None
    read: Scores | None = None


@dataclass(frozen=True)
class Joint:
    """A score: a mean over questions, or a function of the means of several."""

    name: str
    title: str
    of: Callable[[Case], float | None] | None = None
    """A question's value; None where it has none."""
    parts: tuple[str, ...] = ()
    """Names of the scores whose means it is made of, over the questions that define all of them."""
    curve: Callable[[float], float] = lambda mean: mean
    """Each of these means -> what is averaged."""
    slope: Callable[[float], float] = lambda mean: 1.0
    """The derivative of `curve`, for the interval."""
    highest: float = 1.0
    by_judge: bool = True
    """Whether it depends on a judge's verdicts."""


def _and(right: float | None, value: float | None) -> float | None:
    """A right answer that also reaches IOP_RIGHT."""
    return None if right is None or value is None else right * (value >= IOP_RIGHT)


def _given(step: int, is_right: bool) -> Callable[[Case], float | None]:
    def value(case: Case) -> float | None:
        score = case.steps.get(step)
        return case.right if score is not None and (score >= STEP_RIGHT) == is_right else None

    return value


def _cast(name: str, field_: str) -> Callable[[Case], float | None]:
    def value(case: Case) -> float | None:
        scores = getattr(case, field_)
        return None if scores is None else float(getattr(scores, name))

    return value


_CAST = {
    "qa_accuracy": ("right", "answer right"),
    "qa_faithful": ("faithful", "faithful: right on evidence that is met"),
    "qa_spurious": ("spurious", "spurious: right without it"),
    "qa_temporal_iou": ("temporal_iou", "temporal IoU"),
    "qa_spatiotemporal_iou": ("spatiotemporal_iou", "spatio-temporal IoU"),
}

JOINT: dict[str, Joint] = {
    score.name: score
    for score in (
        Joint("accuracy", "answer right", lambda case: case.right),
        Joint("acc_gqa", "Acc@GQA: right, and IoP of spans 0.5 or more", lambda case: _and(case.right, case.iop)),
        Joint("miop", "mIoP of spans", lambda case: case.iop, by_judge=False),
        Joint("miou", "mIoU of spans", lambda case: case.iou, by_judge=False),
        Joint("viou", "vIoU: IoU of the annotated boxes", lambda case: case.steps.get(2), by_judge=False),
        Joint("am", "AM of accuracy, tIoU and vIoU (V-STaR)", parts=("accuracy", "miou", "viou")),
        Joint(
            "lgm",
            "LGM of accuracy, tIoU and vIoU (V-STaR)",
            parts=("accuracy", "miou", "viou"),
            curve=lambda mean: -math.log(max(1 - mean, 1e-9)),
            slope=lambda mean: 1 / max(1 - mean, 1e-9),
            highest=MOST_LGM,
        ),
        *(
            Joint(f"right_given_{'' if right else 'no_'}step_{step}", title.format(step), _given(step, right))
            for step in (1, 2, 3, 4)
            for right, title in ((True, "right, given step {} right"), (False, "right, given step {} not right"))
        ),
        *(
            Joint(
                f"castbench_{name}",
                f"CaST-Bench, its publisher's rule: {title}",
                _cast(field_, "published"),
                by_judge=False,
            )
            for name, (field_, title) in _CAST.items()
        ),
        *(
            Joint(f"castbench_read_{name}", f"CaST-Bench, as read here: {title}", _cast(field_, "read"))
            for name, (field_, title) in _CAST.items()
        ),
    )
}
"""Name -> row, in the order of tables."""


def overlap(predicted: Sequence[Span], truth: Sequence[Span]) -> tuple[float, float]:
    """(IoP, IoU) of spans: seconds in both over seconds predicted, and over seconds in either; of several true spans,
    each the best, as NExT-GQA has it for one predicted span. Spans that overlap must have been joined.

    Nothing predicted scores 0. A moment has no length: its IoP is whether it lies in the span.
    """
    best_iop, best_iou = 0.0, 0.0
    length = math.fsum(span.end_seconds - span.start_seconds for span in predicted)
    for true in truth:
        common = math.fsum(
            max(0.0, min(span.end_seconds, true.end_seconds) - max(span.start_seconds, true.start_seconds))
            for span in predicted
        )
        inside = [true.start_seconds <= s.start_seconds and s.end_seconds <= true.end_seconds for s in predicted]
        either = length + (true.end_seconds - true.start_seconds) - common
        best_iop = max(best_iop, common / length if length > 0 else sum(inside) / max(1, len(inside)))
        best_iou = max(best_iou, common / either if either > 0 else float(length == 0 and all(inside) and bool(inside)))
    return best_iop, best_iou


def joint_rows(cases: Sequence[Case], by_judge: bool | None = None) -> list[dict[str, Any]]:
    """{score, title, questions, videos, mean, low, high} of each score that some question defines.

    Args:
        cases: the questions of one condition.
        by_judge: only the scores that depend on verdicts, or only those that do not; None for all.
    """
    chosen = [one for one in JOINT.values() if by_judge is None or one.by_judge == by_judge]
    rows = []
    for highest in sorted({one.highest for one in chosen}):
        scores = [one for one in chosen if one.highest == highest]
        columns = [_column(one, cases) for one in scores]
        defined = [(one, column) for one, column in zip(scores, columns, strict=True) if not np.isnan(column).all()]
        everywhere = np.ones(len(cases), bool)
        found = estimates([(c, everywhere) for _, c in defined], [case.video_id for case in cases], 0.0, highest)
        for (one, _), estimate in zip(defined, found, strict=True):
            row = interval_row(*estimate)
            row.pop("p_value")
            rows.append({"score": one.name, "title": one.title, **row})
    order = list(JOINT)
    return sorted(rows, key=lambda row: order.index(row["score"]))


def _column(score: Joint, cases: Sequence[Case]) -> Floats:
    """(questions,): what the score is the mean of; nan where a question has none.

    A function of means is linearised at them: its mean is the function's value, and its interval that of the delta
    method.
    """
    if score.of is not None:
        return _values(score.of, cases)
    parts = np.array([_values(_of(JOINT[name]), cases) for name in score.parts])  # (parts, questions)
    defined = ~np.isnan(parts).any(axis=0)
    if not defined.any():
        return np.full(len(cases), np.nan)
    means = parts[:, defined].mean(axis=1)
    level = np.mean([score.curve(mean) for mean in means.tolist()])
    slopes = np.array([score.slope(mean) for mean in means.tolist()])
    linear = level + (slopes[:, None] * (parts - means[:, None])).mean(axis=0)
    return np.where(defined, linear, np.nan)


def _of(score: Joint) -> Callable[[Case], float | None]:
    assert score.of is not None  # a score is made of means of questions, not of other functions of them
    return score.of


def _values(of: Callable[[Case], float | None], cases: Iterable[Case]) -> Floats:
    return np.array([np.nan if (value := of(case)) is None else value for case in cases], np.float64)
