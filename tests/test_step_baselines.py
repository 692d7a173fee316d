"""Who could have had a score without skill: the baselines of a step table, and what silence and numbers are worth."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from statistics import fmean

import pytest

from cotasks.records.dataset import load_records
from cotasks.records.schema import Record
from cotasks.step_scores.baselines import BASELINES, Pool, pool
from cotasks.step_scores.table import MAIN, METRICS, corrupted_step_rows, plain_context
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.scoring import score_steps
from cotasks.steps.table import STEPS

NONE = "none_when_there_is_none"


def truth(record: Record) -> PredictedSteps:
    return PredictedSteps(**{step.field: getattr(record, step.field) for step in STEPS.values()})


def renumbered(record: Record) -> PredictedSteps:
    """The truth under other numbers: the entities of each category have exchanged theirs."""
    drawn = random.Random(record.id)
    by_category: dict[str, list[int]] = {}
    for entity in record.scene.entities:
        by_category.setdefault(entity.category, []).append(entity.tid)
    same: dict[int, int] = {}
    for tids in by_category.values():
        same |= zip(tids, drawn.sample(tids, len(tids)), strict=True)
    steps = {step.field: step.relabel(getattr(record, step.field), same) for step in STEPS.values()}
    return PredictedSteps(**steps)


def without_boxes(steps: PredictedSteps) -> PredictedSteps:
    return dataclasses.replace(steps, entity_tracking=None)


STRATEGIES: dict[str, Callable[[Record, Pool], PredictedSteps]] = {
    **BASELINES,
    "truth": lambda record, _: truth(record),
    "renumbered truth": lambda record, _: renumbered(record),
    "truth without step 2": lambda record, _: without_boxes(truth(record)),
    "renumbered truth without step 2": lambda record, _: without_boxes(renumbered(record)),
}


@pytest.mark.parametrize(
    "splits", [("validation",), pytest.param(("train", "validation", "test"), marks=pytest.mark.slow)]
)
def test_a_strategy_earns_what_it_knows(splits: tuple[str, ...]) -> None:
    """None and everything score at their baselines, the truth scores full under any numbers, with boxes or without."""
    records = [record for split in splits for record in load_records("sample", split)]
    among = pool(records)
    found: dict[str, dict[tuple[int, str], float]] = {}
    for name, make in STRATEGIES.items():
        values: dict[tuple[int, str], list[float]] = {}
        for record in records:
            for step, scores in score_steps(make(record, among), record, plain_context(record)).items():
                for metric, value in scores.items():
                    values.setdefault((step, metric), []).extend([] if value is None else [value])
        found[name] = {at: fmean(each) for at, each in values.items() if each}
    for name in STRATEGIES.keys() - BASELINES.keys():
        assert all(value == pytest.approx(1) for value in found[name].values()), name
        assert {step for step, _ in found[name]} == {1, 3, 4} | ({2} if "without" not in name else set())
    # silence earns nothing but its own column, and talk does not earn that one
    silent = {at: value for at, value in found["says none"].items() if value}
    assert silent == dict.fromkeys([at for at in found["truth"] if at[1] == NONE], 1.0)
    assert found["everything"][3, NONE] == found["everything"][4, NONE] == 0
    # everything: the share of frames that matter is its precision, and its F1 is that of the whole clip
    shares = [len(record.frame_localization.frames) / len(record.frames) for record in records]
    assert found["everything"][1, "frame_precision"] == pytest.approx(fmean(shares))
    assert found["everything"][1, "frame_f1"] == pytest.approx(fmean(2 * share / (1 + share) for share in shares))
    assert found["everything"][1, "frame_recall"] == found["everything"][1, "entity_recall"] == 1
    # the scene holds all that is true; chance is worth the least of those that speak
    for at in [(1, "frame_f1"), (1, "entity_f1"), *(at for at in MAIN if at[0] > 1 and at[1] != NONE)]:
        assert found["chance"][at] < found["scene"][at], at
    for at in [(2, "recall"), (3, "frame_recall"), (3, "triple_recall"), (4, "span_recall")]:
        assert found["scene"][at] == 1


def test_the_most_frequent_relation_is_everything_said() -> None:
    records = load_records("sample", "validation")
    among = pool(records)
    counts = Counter(one.predicate for record in records for one in record.spatial_relations)
    record = next(record for record in records if len(record.scene.entities) > 2)
    said = BASELINES["everything"](record, among).spatial_relations or ()
    number = len(record.scene.entities)
    assert len(said) == number * (number - 1)
    assert {counts[one.predicate] for one in said} == {max(counts.values())}


def test_chance_is_the_same_every_time() -> None:
    records = load_records("sample", "validation", limit=4)
    once, again = ([BASELINES["chance"](record, pool(records)) for record in records] for _ in range(2))
    assert once == again
    assert len({repr(one) for one in once}) > 1


def test_every_table_has_its_baselines_over_the_same_records() -> None:
    rows = corrupted_step_rows(load_records("sample", "validation", limit=3), (0.0, 1.0), 1)
    at = [(row["step"], row["metric"], row["group"]) for row in rows]
    assert set(Counter(at).values()) == {2 + len(BASELINES)}
    assert {row["baseline"] for row in rows} == {None, *BASELINES}
    full = {a: row["questions"] for a, row in zip(at, rows, strict=True) if row["corruption"] == 0}
    for a, row in zip(at, rows, strict=True):
        if a[1].endswith("f1"):
            assert row["questions"] == full[a]
    assert {metric for _, metric, _ in at} == {metric for names in METRICS.values() for metric in names}
