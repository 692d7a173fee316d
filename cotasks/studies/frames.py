"""How many frames: more of them, with and without a longer context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cotasks.errors import InputError
from cotasks.metrics.contrasts import Floats, Mask, Scores
from cotasks.pages.plots import GREY
from cotasks.records.dataset import Records
from cotasks.studies.drawing import groups_of, line, of_group
from cotasks.studies.rows import by_question, differences, means
from cotasks.studies.study import Picture, Row, Setup, Study, Tables

FEWEST_FRAMES = 8
"""The paper's models see 64 frames; the study goes from 8 upwards, doubling."""


def frame_numbers(grid: int) -> list[int]:
    """8, 16, 32 ... up to the grid, and the grid itself. Raises InputError where it has fewer than 8 frames."""
    if grid < FEWEST_FRAMES:
        raise InputError(f"frames study over a grid of {grid} frames; expected {FEWEST_FRAMES} or more")
    numbers = [FEWEST_FRAMES]
    while numbers[-1] * 2 < grid:
        numbers.append(numbers[-1] * 2)
    return numbers if numbers[-1] == grid else [*numbers, grid]


def frame_conditions(number: int) -> dict[str, str]:
    """Arm -> condition at so many frames. At the fewest, the two cotasks arms are the same prompt."""
    rebuilt = f"cotasks:frames={number}"
    return {
        "baseline": f"baseline:frames={number}",
        "rebuilt": rebuilt,
        "fixed": rebuilt if number == FEWEST_FRAMES else f"{rebuilt},context={FEWEST_FRAMES}",
    }


def conditions(setup: Setup) -> list[str]:
    """Each arm at each number of frames; what reads the same is asked once."""
    found = [condition for number in frame_numbers(setup.grid) for condition in frame_conditions(number).values()]
    return list(dict.fromkeys(found))


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
        arms = frame_conditions(number)
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
    groups = [(length > low) & (length <= high) for low, high in pairwise(edges)]
    groups = [inside for inside in groups if inside.any() and not inside.all()]
    # as many digits as tell the groups apart
    for digits in range(1, 18):
        names = [f"{length[inside].min():.{digits}f} to {length[inside].max():.{digits}f} s" for inside in groups]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, groups, strict=True))


def _tables(setup: Setup, scores: Scores, folder: Path) -> dict[str, list[Row]]:
    return frames(scores, frame_numbers(setup.grid), by_question(scores, _seconds(setup.records)))


def _seconds(records: Records) -> dict[str, float]:
    """{id: length of the clip in seconds}"""
    clips = records.rows["clip"]
    return {id_: clip["end_seconds"] - clip["start_seconds"] for id_, clip in zip(records.ids, clips, strict=True)}


def _pictures(tables: Tables) -> list[Picture]:
    return [("frames", _frames), *([("lengths", _lengths)] if len(groups_of(tables["means"])) > 1 else [])]


def _frames(figure: Any, tables: Tables) -> None:
    figure.set_size_inches(10, 3.8)
    left, right = figure.subplots(1, 2)
    for axes, rows in ((left, of_group(tables["means"])), (right, of_group(tables["gains"]))):
        _frame_lines(axes, rows)
        axes.legend(frameon=False, fontsize=9)
    left.set(ylabel="answer score", ylim=(0, 104), title="Scores")
    right.set(ylabel="score minus baseline, points", title="Gains at the same number of frames")
    right.axhline(0, color=GREY, linewidth=0.8)


def _frame_lines(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for series, arm in enumerate(("baseline", "rebuilt", "fixed")):
        of_arm = [row for row in rows if row["arm"] == arm]
        if of_arm:
            line(axes, [row["frames"] for row in of_arm], of_arm, series, arm)
    axes.set_xscale("log", base=2)
    numbers = sorted({row["frames"] for row in rows})
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.set_xlabel("frames")


def _lengths(figure: Any, tables: Tables) -> None:
    groups = [group for group in groups_of(tables["means"]) if group != "all"]
    figure.set_size_inches(3.6 * len(groups) + 0.6, 3.6)
    for axes, group in zip(figure.subplots(1, len(groups), sharey=True, squeeze=False)[0], groups, strict=True):
        _frame_lines(axes, of_group(tables["means"], group))
        axes.set_title(group)
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, fontsize=9)
    figure.supylabel("answer score", fontsize=11)


STUDY = Study(
    name="frames",
    title="How many frames",
    reading="""\
`rebuilt`: the model sees N frames, and the steps are rebuilt on those, so that more frames show more and tell more.
`fixed`: the model sees N frames, and the steps speak of the same 8 frames whatever N is, so that more frames only show
more. `baseline` sees N frames and is told nothing. The rise of `fixed` is what the frames give; the rise of `rebuilt`
beyond it is what the longer context gives. `gain` is each arm minus `baseline` at the same N.""",
    conditions=conditions,
    tables=_tables,
    pictures=_pictures,
)
