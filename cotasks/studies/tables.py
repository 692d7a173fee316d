"""The numbers of each study, from the verdicts of its run, as flat rows for `study.json`.

Scores run from 0 to 100. A row of means or differences holds {questions, videos, mean, low, high, p_value}: the mean
over the questions that have a score under all conditions it names, its 95% interval over videos (None with a single
video), and the p value of a difference (None for a mean).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import factorial
from typing import Any

import numpy as np

from cotasks.metrics.contrasts import Floats, Mask, Scores, Weights, estimates, interval_row, ratio, weighted
from cotasks.studies import plans

Row = dict[str, Any]


def means(scores: Scores, conditions: Sequence[str], groups: Mapping[str, Mask]) -> list[Row]:
    """{condition, group, answers, unscored} and a mean for each condition and group."""
    columns = [(weighted(scores, {c: 1.0}), inside) for c in conditions for inside in groups.values()]
    found = estimates(columns, scores.video_ids, 0.0, 100.0)
    labels = [(condition, group) for condition in conditions for group in groups]
    rows = []
    for (condition, group), (estimate, questions) in zip(labels, found, strict=True):
        at = scores.conditions.index(condition), groups[group]
        counts = {"answers": int(scores.answers[at].sum()), "unscored": int(scores.unscored[at].sum())}
        row = {"condition": condition, "group": group, **counts, **interval_row(estimate, questions), "p_value": None}
        rows.append(row)
    return rows


def differences(scores: Scores, named: Mapping[str, Weights], groups: Mapping[str, Mask]) -> list[Row]:
    """{name, group} and the mean of a contrast for each name and group; scores of a contrast lie in -100 to 100."""
    columns = [(weighted(scores, weights), inside) for weights in named.values() for inside in groups.values()]
    found = estimates(columns, scores.video_ids, -100.0, 100.0)
    labels = [(name, group) for name in named for group in groups]
    return [
        {"name": name, "group": group, **interval_row(*one)} for (name, group), one in zip(labels, found, strict=True)
    ]


def ratios(
    scores: Scores, name: str, numerator: Weights, denominator: Weights, groups: Mapping[str, Mask]
) -> list[Row]:
    """{name, group, value, low, high, questions, videos}: the ratio of two contrasts for each group."""
    top, bottom = weighted(scores, numerator), weighted(scores, denominator)
    rows = []
    for group, inside in groups.items():
        found = ratio(top, bottom, inside, scores.video_ids)
        rows.append({"name": name, "group": group, **vars(found)})
    return rows


def shapley_weights(step: int) -> dict[str, float]:
    """Condition -> weight, such that the weighted sum of scores is the step's Shapley value among the four."""
    n, weights = len(plans.STEPS), dict[str, float]()
    for chosen in plans.subsets():
        if step not in chosen:
            weight = factorial(len(chosen)) * factorial(n - len(chosen) - 1) / factorial(n)
            weights[plans.subset_condition(chosen)] = -weight
            weights[plans.subset_condition(sorted([*chosen, step]))] = weight
    return weights


def ablation(scores: Scores) -> dict[str, list[Row]]:
    """`means`, `differences` from the baseline, `shares` of the steps, and `pairs` of opposite sets."""
    groups = scores.groups()
    chosen = [subset for subset in plans.subsets() if subset]
    against = {plans.subset_condition(s): {plans.subset_condition(s): 1.0, "baseline": -1.0} for s in chosen}
    pairs = {}
    for subset in (s for s in chosen if 1 in s and len(s) < len(plans.STEPS)):
        one = plans.subset_condition(subset)
        other = plans.subset_condition([step for step in plans.STEPS if step not in subset])
        pairs[f"{one} - {other}"] = {one: 1.0, other: -1.0}
    return {
        "means": means(scores, [plans.subset_condition(s) for s in plans.subsets()], groups),
        "differences": differences(scores, against, groups),
        "shares": differences(scores, {f"step {step}": shapley_weights(step) for step in plans.STEPS}, groups),
        "pairs": differences(scores, pairs, groups),
    }


def error_propagation(scores: Scores, levels: Sequence[float], seeds: int) -> dict[str, list[Row]]:
    """`means` and `differences` from the oracle, by {corruption}: each question's mean over the seeds; the baseline's
    corruption is None."""
    groups = scores.groups()
    found: dict[str, list[Row]] = {"means": [], "differences": []}
    blends: dict[float | None, Weights] = {None: {"baseline": 1.0}}
    for corruption in levels:
        texts = list(dict.fromkeys(plans.corrupt_condition(corruption, seed) for seed in range(seeds)))
        blends[corruption] = {text: 1.0 / len(texts) for text in texts}
    columns = [(weighted(scores, weights), inside) for weights in blends.values() for inside in groups.values()]
    labels = [(level, group) for level in blends for group in groups]
    for (level, group), one in zip(labels, estimates(columns, scores.video_ids, 0.0, 100.0), strict=True):
        found["means"].append({"corruption": level, "group": group, **interval_row(*one), "p_value": None})
    oracle = {plans.corrupt_condition(0.0, 0): -1.0}
    for level, weights in blends.items():
        if level:
            rows = differences(scores, {f"corruption {level:g} - oracle": {**oracle, **weights}}, groups)
            found["differences"] += [{"corruption": level, **row} for row in rows]
    return found


def frames(scores: Scores, numbers: Sequence[int], seconds: Floats | Sequence[float]) -> dict[str, list[Row]]:
    """`means` by {arm, frames} and `gains` of the arms over the baseline at the same number of frames; for all
    questions and by length of the clip, in thirds.

    Args:
        numbers: Of frames.
        seconds: (questions,) length of each question's clip.
    """
    groups = {"all": np.ones(len(scores.ids), bool), **length_groups(seconds)}
    found: dict[str, list[Row]] = {"means": [], "gains": []}
    for number in numbers:
        arms = plans.frame_conditions(number)
        for arm, condition in arms.items():
            label = {"arm": arm, "frames": number}
            found["means"] += [{**label, **row} for row in means(scores, [condition], groups)]
            if arm != "baseline":
                contrast = {f"{condition} - {arms['baseline']}": {condition: 1.0, arms["baseline"]: -1.0}}
                found["gains"] += [{**label, **row} for row in differences(scores, contrast, groups)]
    return found


def length_groups(seconds: Floats | Sequence[float]) -> dict[str, Mask]:
    """Name -> which questions: thirds by length of the clip, named by their bounds; fewer where many are as long."""
    length = np.asarray(seconds, float)
    inner = np.quantile(length, [1 / 3, 2 / 3]) if len(length) else np.array([])
    edges = np.unique([-np.inf, *inner, np.inf])
    found = {}
    for low, high in pairwise(edges):
        inside = (length > low) & (length <= high)
        if inside.any() and not inside.all():
            found[f"{length[inside].min():.1f} to {length[inside].max():.1f} s"] = inside
    return found


def bias(scores: Scores, readable: Floats) -> dict[str, list[Row]]:
    """`means`, `gains` with and without video and their difference, and the `shares` of the gain that need no video.

    Args:
        readable: (questions,) 1 where the answer, its head word or its number can be read off the context, else 0;
            nan where a question has no reference answer.
    """
    groups = scores.groups()
    for name, value in (("answer in the context", 1.0), ("answer not in the context", 0.0)):
        if (readable == value).any():
            groups[name] = readable == value
    with_video: Weights = {"cotasks": 1.0, "baseline": -1.0}
    without: Weights = {"blind-cotasks": 1.0, "blind": -1.0}
    gains = differences(scores, {"gain with video": with_video, "gain without video": without}, groups)
    both = {**with_video, **{condition: -weight for condition, weight in without.items()}}
    columns = [(weighted(scores, both), inside) for inside in groups.values()]
    found = estimates(columns, scores.video_ids, -200.0, 200.0)
    gains += [{"name": "difference", "group": g, **interval_row(*one)} for g, one in zip(groups, found, strict=True)]
    return {
        "means": means(scores, ["baseline", "cotasks", "blind", "blind-cotasks"], groups),
        "gains": gains,
        "shares": ratios(scores, "gain without video / gain with video", without, with_video, groups),
    }


def oracle_gap(scores: Scores) -> dict[str, list[Row]]:
    """`means`, `gains` over the baseline and what the prediction lacks, and the `shares` that prediction keeps."""
    groups = scores.groups()
    predicted: Weights = {"predicted": 1.0, "baseline": -1.0}
    oracle: Weights = {"cotasks": 1.0, "baseline": -1.0}
    contrasts = {
        "predicted - baseline": predicted,
        "cotasks - baseline": oracle,
        "predicted - cotasks": {"predicted": 1.0, "cotasks": -1.0},
    }
    return {
        "means": means(scores, ["baseline", "predicted", "cotasks"], groups),
        "gains": differences(scores, contrasts, groups),
        "shares": ratios(scores, "share kept", predicted, oracle, groups),
    }
