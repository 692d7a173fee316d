"""Numbers in names are labels: who is meant is found by boxes and triples, and does not depend on the numbers."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.records.schema import Entity, FrameLocalization, Record, SpatialRelation, TemporalRelation
from cotasks.step_scores.table import plain_context
from cotasks.steps import assignment
from cotasks.steps.assignment import assign
from cotasks.steps.matching import match_entities
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.scoring import score_steps
from cotasks.steps.table import STEPS
from tests.examples import examples
from tests.strategies import records

WEIGHTS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])


@examples(80)
@given(data=st.data(), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_the_search_finds_what_trying_everything_finds(data: st.DataObject, rows: int, columns: int) -> None:
    singles = [{j: data.draw(WEIGHTS) for j in range(columns) if data.draw(st.booleans())} for _ in range(rows)]
    doubles = {
        (a, b): {
            (i, j): data.draw(WEIGHTS)
            for i, j in itertools.permutations(range(columns), 2)
            if i in singles[a] and j in singles[b] and data.draw(st.booleans())
        }
        for a, b in itertools.combinations(range(rows), 2)
    }

    def total(column: dict[int, int]) -> float:
        pairs = itertools.combinations(sorted(column), 2)
        return sum(singles[row][j] for row, j in column.items()) + sum(
            doubles[a, b].get((column[a], column[b]), 0.0) for a, b in pairs
        )

    choices = itertools.product(*([None, *row] for row in singles))
    every = [
        {row: j for row, j in enumerate(choice) if j is not None}
        for choice in choices
        if len(used := [j for j in choice if j is not None]) == len(set(used))
    ]
    found = assign(singles, doubles)
    assert found.exact
    assert found.total == pytest.approx(total(found.column)) == pytest.approx(max(map(total, every)))


def test_a_search_that_is_given_up_says_so_and_is_improved(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a step for each row only the first way down is tried; exchanges find the rest."""
    drawn, n = random.Random(1), 7
    singles = [{j: 0.01 * drawn.random() for j in range(n)} for _ in range(n)]
    doubles = {
        (a, b): {(i, j): drawn.random() for i, j in itertools.permutations(range(n), 2)}
        for a, b in itertools.combinations(range(n), 2)
    }
    best = assign(singles, doubles)
    assert best.exact
    monkeypatch.setattr(assignment, "MOST_STEPS", n)
    first = assign(singles, doubles)
    assert not first.exact
    assert len(first.column) == n
    assert first.total <= best.total
    monkeypatch.setattr(assignment, "MOST_STEPS", 300)
    assert first.total < assign(singles, doubles).total <= best.total


def test_a_crowd_costs_no_more_than_tenths_of_seconds() -> None:
    """Thirty adults without boxes who are next to each other at random: given up, and still said."""
    drawn = random.Random(2)
    people = [Entity(tid, "adult") for tid in range(30)]
    pairs = [pair for pair in itertools.permutations(range(30), 2) if drawn.random() < 0.3]
    true = [SpatialRelation(a, drawn.choice(["next_to", "behind"]), b, (0,)) for a, b in pairs]
    said = [dataclasses.replace(one, predicate=drawn.choice(["next_to", "behind"])) for one in true]
    start = time.process_time()
    same = match_entities(people, people, predicted_relations=said, true_relations=true)
    assert time.process_time() - start < 10
    assert sorted(same) == sorted(same.values()) == list(range(30))


def test_triples_tell_who_is_meant_where_there_are_no_boxes() -> None:
    people = [Entity(tid, "adult") for tid in (1, 2, 3)]
    true = (SpatialRelation(1, "behind", 2, (0,)), TemporalRelation(2, "hug", 3, 0, 9))
    said = (SpatialRelation(3, "behind", 1, (0,)), TemporalRelation(1, "hug", 2, 0, 9))
    assert match_entities(people, people, (), (), said, true) == {3: 1, 1: 2, 2: 3}
    # who is named in step 1 is meant by who is named
    assert match_entities(people[:1], people, predicted_named=[1], true_named=[3]) == {1: 3}


@examples(30)
@given(data=st.data(), record=records(), boxes=st.booleans())
def test_a_renumbered_truth_scores_full(data: st.DataObject, record: Record, boxes: bool) -> None:
    said = _renumbered(record, data.draw(st.integers(0, 999)), PredictedSteps(**_steps(record)), boxes)
    for scores in score_steps(said, record, plain_context(record)).values():
        for value in scores.values():
            assert value is None or value == pytest.approx(1)


@examples(30)
@given(data=st.data(), record=records(), boxes=st.booleans())
def test_no_prediction_gains_or_loses_by_its_numbers(data: st.DataObject, record: Record, boxes: bool) -> None:
    """Whatever is said, with entities that nothing tells apart too."""
    noise = random.Random(data.draw(st.integers(0, 999)))
    a1 = record.frame_localization
    said = PredictedSteps(
        frame_localization=dataclasses.replace(
            a1, entities=tuple(e for e in record.scene.entities if noise.random() < 0.7)
        ),
        entity_tracking=tuple(track for track in record.scene.entity_tracking if noise.random() < 0.7),
        spatial_relations=tuple(
            dataclasses.replace(one, predicate=noise.choice(["above", one.predicate]))
            for one in record.scene.spatial_relations
        ),
        temporal_relations=tuple(
            dataclasses.replace(one, object_tid=noise.choice(record.scene.entities).tid)
            for one in record.scene.temporal_relations
        ),
    )
    if not boxes:
        said = dataclasses.replace(said, entity_tracking=None)
    other = _renumbered(record, data.draw(st.integers(0, 999)), said, boxes)
    assert score_steps(other, record, plain_context(record)) == score_steps(said, record, plain_context(record))


def _steps(record: Record) -> dict[str, object]:
    return {step.field: getattr(record, step.field) for step in STEPS.values()}


def _renumbered(record: Record, seed: int, said: PredictedSteps, boxes: bool) -> PredictedSteps:
    drawn = random.Random(seed)
    by_category: dict[str, list[int]] = {}
    for entity in record.scene.entities:
        by_category.setdefault(entity.category, []).append(entity.tid)
    same: dict[int, int] = {}
    for tids in by_category.values():
        same |= zip(tids, drawn.sample(tids, len(tids)), strict=True)
    steps = {}
    for step in STEPS.values():
        value = getattr(said, step.field)
        changed = None if value is None else step.relabel(value, same)
        steps[step.field] = changed if isinstance(changed, FrameLocalization | None) else _in_order(changed)
    renumbered = PredictedSteps(**steps)
    return renumbered if boxes else dataclasses.replace(renumbered, entity_tracking=None)


def _in_order(items: tuple[object, ...]) -> tuple[object, ...]:
    """As a reader would give them: by their numbers."""
    return tuple(
        sorted(items, key=lambda item: [getattr(item, name, 0) for name in ("tid", "subject_tid", "object_tid")])
    )
