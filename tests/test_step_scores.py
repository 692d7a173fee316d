"""Scores of the steps: their definitions on examples worked out by hand, echoes of the truth, noise, and names."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cotasks.models.families import FAMILIES, frame_size
from cotasks.records.boxes import CoordinateFormat, format_box, iou
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import (
    Box,
    Entity,
    FrameLocalization,
    Record,
    Span,
    SpatialRelation,
    TemporalRelation,
    Track,
)
from cotasks.records.timeline import grid_frames
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.context import StepContext
from cotasks.steps.matching import match_entities, relabel_relations
from cotasks.steps.scoring import score_steps
from cotasks.steps.table import read_step
from tests.examples import examples
from tests.step_contexts import ADULT_1, ADULT_5, BALL, context
from tests.strategies import contexts, records


def a1(frames: Iterable[int], entities: Iterable[Entity] = ()) -> FrameLocalization:
    return FrameLocalization(tuple(frames), (), tuple(entities), "model", "model", False)


def track(tid: int, *boxes: tuple[int, tuple[float, float, float, float]], category: str = "adult") -> Track:
    return Track(tid, category, tuple(Box(frame, xyxy, False) for frame, xyxy in boxes))


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was said of the four steps."""

    frame_localization: FrameLocalization | None = None
    entity_tracking: tuple[Track, ...] | None = None
    spatial_relations: tuple[SpatialRelation, ...] | None = None
    temporal_relations: tuple[TemporalRelation, ...] | None = None


def context_of(record: Record, name: str) -> StepContext:
    """How a model family is told of the record's steps."""
    family, source = FAMILIES[name], (record.width or 1, record.height or 1)
    return StepContext(
        entities=record.scene.entities,
        frames=record.frames,
        fps=record.fps,
        clip=record.clip,
        source_size=source,
        coordinates=CoordinateFormat(family.coordinates, frame_size(family, *source, len(record.frames))),
        frame_reference=family.frame_reference,
    )


def echo(record: Record, ctx: StepContext) -> Answers:
    """What a model says that repeats the truth, read back."""
    texts = (
        frame_localization.render(record.frame_localization, ctx),
        entity_tracking.render(record.entity_tracking, ctx),
        spatial_relations.render(record.spatial_relations, ctx),
        temporal_relations.render(record.temporal_relations, ctx),
    )
    return Answers(*(read_step(step, text, ctx).value for step, text in enumerate(texts, 1)))


def test_frame_localization_by_hand() -> None:
    # the frames stand for 0.25, 0.5, 0.5, 0.5 and 0.35 seconds
    score = frame_localization.score(a1((20, 25, 30), (ADULT_1, BALL)), a1((25, 30, 40), (BALL,)), context())
    assert (score.frame_precision, score.frame_recall, score.frame_f1) == (2 / 3, 2 / 3, 2 / 3)
    assert score.span_iou == pytest.approx(1.0 / 1.6)
    assert score.span_iop == pytest.approx(1.0 / 1.25)
    assert (score.entity_precision, score.entity_recall, score.entity_f1) == (1 / 2, 1, 2 / 3)


def test_a_grid_of_one_frame_is_the_clip() -> None:
    one = context(frames=grid_frames([30], 10.0))
    assert frame_localization.score(a1((30,)), a1((30,)), one).span_iou == 1


def test_entity_tracking_by_hand() -> None:
    box, half, away = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 5.0), (50.0, 50.0, 60.0, 60.0)
    truth = (track(1, (20, box), (25, box), (30, box)), track(5, (20, box)))
    predicted = (track(1, (20, box), (25, half), (40, box)), track(7, (20, away)))
    score = entity_tracking.score(predicted, truth)
    assert score.mean_iou == (1 + 0.5 + 0 + 0) / 4
    assert score.recall == 2 / 4
    assert score.precision == 2 / 4
    assert score.viou == fmean([1.5 / 4, 0])
    # where two boxes an entity were asked for, the model chose its own two frames of the three, and one in vain
    score = entity_tracking.score(predicted, truth, boxes_per_entity=2)
    assert score.mean_iou == (1 + 0.5 + 0) / 3
    assert score.viou == fmean([1.5 / 3, 0])
    assert entity_tracking.score(truth, truth, boxes_per_entity=2).mean_iou == 1


def test_relations_by_hand() -> None:
    truth = (SpatialRelation(1, "next_to", 3, (20, 25)), SpatialRelation(5, "next_to", 3, (20,)))
    predicted = (
        SpatialRelation(1, "Next_to", 3, (25, 30)),  # capitals are no difference
        SpatialRelation(3, "next_to", 1, (20,)),  # the other way round
    )
    spatial = spatial_relations.score(predicted, truth)
    assert dataclasses.astuple(spatial) == (1 / 2, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, None)

    times = (TemporalRelation(1, "hold", 3, 20, 30), TemporalRelation(1, "hold", 3, 30, 40))
    said = (
        TemporalRelation(1, "hold", 3, 20, 40),  # IoU 0.5 with either, but only one of them is its own
        TemporalRelation(1, "hold", 3, 21, 31),
        TemporalRelation(1, "kick", 3, 20, 30),
    )
    temporal = temporal_relations.score(said, times)
    assert dataclasses.astuple(temporal) == (1 / 2, 1, 2 / 3, 2 / 3, 1, 4 / 5, None)
    assert temporal_relations.score((TemporalRelation(1, "hold", 3, 20, 29),), times[1:]).span_f1 == 0


SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), max_size=4, unique=True)


@examples(150)
@given(said=SPANS, true=SPANS)
def test_spans_are_paired_so_that_the_most_are_right(said: list[tuple[int, int]], true: list[tuple[int, int]]) -> None:
    def right(a: tuple[int, int], b: tuple[int, int]) -> bool:
        one, other = set(range(a[0], sum(a))), set(range(b[0], sum(b)))
        return len(one & other) / len(one | other) >= 0.5

    few, many = sorted((said, true), key=len)
    most = max(sum(map(right, few, order)) for order in itertools.permutations(many, len(few)))
    items = [
        [TemporalRelation(1, "hold", 3, begin, begin + length) for begin, length in spans] for spans in (said, true)
    ]
    expected = 2 * most / (len(said) + len(true)) if true else None
    assert temporal_relations.score(*items).span_f1 == expected


def test_a_chain_of_spans_has_one_way_to_be_paired() -> None:
    """Each said span fits two true ones, but the first fits one: taking any at sight leaves some over."""
    said = [TemporalRelation(1, "hold", 3, 4 * n, 4 * n + 10) for n in range(12)]
    true = [TemporalRelation(1, "hold", 3, 4 * n + 2, 4 * n + 12) for n in range(12)]
    assert temporal_relations.score(said, true).span_f1 == 1
    assert temporal_relations.score(true, said).span_f1 == 1


NO_STEP = a1(())


@pytest.mark.parametrize("exact", [True, False])
def test_empty_steps_score_as_defined(exact: bool) -> None:
    full = Answers(
        a1((20,), (ADULT_1,)),
        (track(1, (20, (0.0, 0.0, 9.0, 9.0))),),
        (SpatialRelation(1, "next_to", 3, (20,)),),
        (TemporalRelation(1, "hold", 3, 20, 30),),
    )
    empty = Answers(NO_STEP, (), (), ())
    both = score_steps(empty, empty, context(), exact_names=exact)
    for scores in both.values():
        for name, value in scores.items():
            assert value == (1 if name == "none_when_there_is_none" else None), name

    nothing_said = score_steps(empty, full, context(), exact_names=exact)
    nothing_there = score_steps(full, empty, context(), exact_names=exact)
    for scores in nothing_said.values():
        for name, value in scores.items():
            undefined = name.endswith("precision") or name in ("span_iop", "none_when_there_is_none")
            assert value == (None if undefined else 0), name
    for scores in nothing_there.values():
        for name, value in scores.items():
            defined = name.endswith("precision") or name in ("span_iop", "none_when_there_is_none")
            assert value == (0 if defined else None), name
    assert score_steps(Answers(), full, context()) == {}


@examples(60)
@given(record=records(), family=st.sampled_from(list(FAMILIES)))
def test_an_echo_of_the_truth_scores_one(record: Record, family: str) -> None:
    ctx = context_of(record, family)
    said = echo(record, ctx)
    scores = score_steps(said, record, ctx, exact_names=True)
    assert scores[2].pop("mean_iou") == pytest.approx(entity_tracking.ceiling(record.entity_tracking, ctx))
    assert 0 <= (scores[2].pop("viou") or 0) <= 1
    unit = 10.0**-ctx.coordinates.decimals
    sides = (
        (abs(box.xyxy[i + 2] - box.xyxy[i]) / ctx.source_size[i] * ctx.coordinates.scale[i] / unit)
        for one in record.entity_tracking
        for box in one.boxes
        for i in (0, 1)
    )
    if min(sides, default=9) < 4:  # so small that rounding may take more than half of the box
        del scores[2]
    assert all(value in (1, None) for of_step in scores.values() for value in of_step.values())
    for step in (3, 4):  # each record has either an F1 or a "none" to be right about
        assert {scores[step]["triple_f1"], scores[step]["none_when_there_is_none"]} == {1, None}


@pytest.fixture(scope="module")
def sample() -> Records:
    return load_records("sample", "validation")


@pytest.mark.parametrize("family", list(FAMILIES))
def test_an_echo_of_the_sample_scores_one_by_matched_names(family: str, sample: Records) -> None:
    lowest = 1.0
    for record in sample:
        ctx = context_of(record, family)
        scores = score_steps(echo(record, ctx), record, ctx)
        mean_iou, ceiling = scores[2].pop("mean_iou"), entity_tracking.ceiling(record.entity_tracking, ctx)
        assert mean_iou == pytest.approx(ceiling)
        lowest = min(lowest, ceiling or 1.0)
        del scores[2]["viou"]
        assert all(value in (1, None) for of_step in scores.values() for value in of_step.values()), record.id
    assert 0.9 < lowest < 1  # rounding is felt, and costs little


# --- names ---


def test_tracks_tell_who_is_meant() -> None:
    left, right = (0.0, 0.0, 20.0, 20.0), (100.0, 0.0, 120.0, 20.0)
    truth = (track(1, (20, left), (25, left)), track(5, (20, right)))
    predicted = (track(1, (20, right)), track(5, (25, left)), track(3, (20, left), category="ball/sports_ball"))
    entities = (ADULT_1, BALL, ADULT_5)
    assert match_entities(entities, entities, predicted, truth) == {1: 5, 5: 1, 3: 3}
    # far from both, but nearer to one
    assert match_entities([ADULT_1], [ADULT_1, ADULT_5], [track(1, (20, (80.0, 0.0, 90.0, 9.0)))], truth) == {1: 5}


def test_without_tracks_numbers_go_by_order_and_categories_must_agree() -> None:
    assert match_entities([ADULT_5, BALL], [ADULT_1, Entity(2, "dog")]) == {5: 1}
    assert match_entities([Entity(9, "ball")], [BALL]) == {9: 3}
    assert match_entities([Entity(9, "Cup")], [Entity(2, "cup/glass/bottle")]) == {9: 2}
    assert match_entities([ADULT_1, ADULT_5], [ADULT_5]) == {1: 5}


def test_an_entity_without_a_partner_is_nobody() -> None:
    """Its own number may be a true entity's: that must not make it right."""
    box = (20, (0.0, 0.0, 9.0, 9.0))
    truth = Answers(a1((20,), (ADULT_5,)), (track(5, box),), (SpatialRelation(5, "next_to", 5, (20,)),), ())
    said = Answers(a1((20,), (ADULT_1, ADULT_5)), (track(1, box),), (SpatialRelation(5, "next_to", 5, (25,)),), ())
    scores = score_steps(said, truth, context())  # adult 1 is the one meant: its box, against a triple at another time
    assert scores[1]["entity_precision"] == 1 / 2
    assert scores[3]["triple_f1"] == 0
    assert score_steps(said, truth, context(), exact_names=True)[3]["triple_f1"] == 1


@examples(60)
@given(data=st.data(), record=records())
def test_numbers_within_a_category_are_labels(data: st.DataObject, record: Record) -> None:
    """A prediction whose every entity has a track of its own scores the same under any numbering."""
    ctx = data.draw(contexts(record))
    entities = record.scene.entities
    noise = random.Random(data.draw(st.integers(0, 999)))

    def somewhere() -> tuple[float, float, float, float]:
        (x1, x2), (y1, y2) = (sorted(noise.uniform(0, side) for _ in "ab") for side in ctx.source_size)
        return x1, y1, x2, y2

    frames = [frame.index for frame in record.frames]
    tracks = tuple(
        track(e.tid, *((frame, somewhere()) for frame in frames if noise.random() < 0.7), category=e.category)
        for e in entities
    )
    assume(all(one.boxes for one in tracks))
    said = Answers(a1(frames, entities), tracks, record.scene.spatial_relations, tuple(record.scene.temporal_relations))
    by_category = {e.category: [o.tid for o in entities if o.category == e.category] for e in entities}
    other = {
        tid: new for tids in by_category.values() for tid, new in zip(tids, noise.sample(tids, len(tids)), strict=True)
    }
    renumbered = Answers(
        a1(frames, entities),
        tuple(sorted((dataclasses.replace(one, tid=other[one.tid]) for one in tracks), key=lambda t: t.tid)),
        relabel_relations(record.scene.spatial_relations, other),
        relabel_relations(record.scene.temporal_relations, other),
    )
    assert score_steps(renumbered, record, ctx) == score_steps(said, record, ctx)


# --- noise ---


def test_random_frames_score_their_chance_level() -> None:
    """k of n frames drawn at random meet m true ones k m / n times on average."""
    frames = grid_frames(range(0, 640, 10), 10.0)
    ctx = context(frames=frames, clip=Span(0.0, 64.0))
    truth, drawn, noise = a1(range(100, 260, 10)), 24, random.Random(1)
    scores = [
        frame_localization.score(a1(sorted(noise.sample([f.index for f in frames], drawn))), truth, ctx)
        for _ in range(2000)
    ]
    n, m = len(frames), len(truth.frames)
    assert fmean(s.frame_recall or 0 for s in scores) == pytest.approx(drawn / n, abs=0.01)
    assert fmean(s.frame_precision or 0 for s in scores) == pytest.approx(m / n, abs=0.01)
    assert fmean(s.frame_f1 or 0 for s in scores) == pytest.approx(2 * drawn * m / n / (drawn + m), abs=0.01)


def test_random_triples_score_their_chance_level(sample: Records) -> None:
    """k of T possible triples drawn at random meet m true ones k m / T times on average, said and read as text."""
    record = max(sample, key=lambda r: len(r.spatial_relations))
    ctx = context_of(record, "qwen2_5_vl")
    predicates = sorted({relation.predicate for relation in record.scene.spatial_relations})
    tids = [entity.tid for entity in record.scene.entities]
    possible = list(itertools.product(tids, predicates, tids))
    true = {(r.subject_tid, r.predicate, r.object_tid) for r in record.spatial_relations}
    drawn, noise = 8, random.Random(2)
    at = record.frames[0].index
    f1 = []
    for _ in range(600):
        lines = (f"{ctx.triple_text(*triple)}: {ctx.frame_text(at)}" for triple in noise.sample(possible, drawn))
        said = spatial_relations.parse("\n".join(lines), ctx).value
        f1.append(spatial_relations.score(said, record.spatial_relations).triple_f1 or 0)
    expected = 2 * drawn * len(true) / len(possible) / (drawn + len(true))
    assert 0 < expected < 0.5
    assert fmean(f1) == pytest.approx(expected, abs=4 * math.sqrt(expected / 600 / drawn))


def test_random_boxes_score_their_chance_level() -> None:
    """Against the mean over all boxes of a lattice, each as likely: said and read as text, on every frame."""
    ctx = context(coordinates=CoordinateFormat("thousandths"), source_size=(1000, 1000))
    steps = range(0, 1001, 125)
    lattice = [
        (float(x1), float(y1), float(x2), float(y2))
        for x1, x2 in itertools.combinations(steps, 2)
        for y1, y2 in itertools.combinations(steps, 2)
    ]
    box = (200.0, 100.0, 700.0, 900.0)
    chance, chance_recall = fmean(iou(b, box) for b in lattice), fmean(iou(b, box) >= 0.5 for b in lattice)
    truth = (track(1, *((frame.index, box) for frame in ctx.frames)),)
    noise = random.Random(3)
    scores = []
    for _ in range(400):
        boxes = (
            f"{ctx.frame_text(f.index)} {format_box(noise.choice(lattice), (1000, 1000), ctx.coordinates)}"
            for f in ctx.frames
        )
        scores.append(entity_tracking.score(entity_tracking.parse(f"adult 1: {'; '.join(boxes)}", ctx).value, truth))
    assert 0.1 < chance < 0.5
    assert fmean(s.mean_iou or 0 for s in scores) == pytest.approx(chance, abs=0.02)
    assert fmean(s.recall or 0 for s in scores) == pytest.approx(chance_recall, abs=0.03)
    assert fmean(s.precision or 0 for s in scores) == pytest.approx(chance_recall, abs=0.03)


# --- what is left out ---


@examples(60)
@given(data=st.data(), record=records())
def test_scores_fall_with_every_right_item_left_out(data: st.DataObject, record: Record) -> None:
    """From the truth with some wrong items on, one right item after the other goes."""
    ctx = data.draw(contexts(record))
    noise = random.Random(data.draw(st.integers(0, 999)))
    wrong_spatial = SpatialRelation(record.scene.entities[0].tid, "orbit", record.scene.entities[0].tid, (0,))
    wrong_temporal = TemporalRelation(record.scene.entities[0].tid, "orbit", record.scene.entities[0].tid, 0, 9)
    steps: list[tuple[list[Any], Callable[[list[Any]], Any], tuple[str, ...]]] = [
        (
            list(record.frame_localization.frames),
            lambda kept: frame_localization.score(a1(sorted(kept)), record.frame_localization, ctx),
            ("frame_f1", "frame_recall", "span_iou"),
        ),
        (
            [(t, box) for t in record.entity_tracking for box in t.boxes],
            lambda kept: entity_tracking.score(
                [Track(t.tid, t.category, (b,)) for t, b in kept], record.entity_tracking
            ),
            ("mean_iou", "recall", "viou"),
        ),
        (
            [(r, frame) for r in record.spatial_relations for frame in r.frames],
            lambda kept: spatial_relations.score(
                [wrong_spatial, *(dataclasses.replace(r, frames=(f,)) for r, f in kept)], record.spatial_relations
            ),
            ("triple_f1", "frame_f1", "frame_recall"),
        ),
        (
            list(dict.fromkeys(record.temporal_relations)),
            lambda kept: temporal_relations.score([wrong_temporal, *kept], record.temporal_relations),
            ("span_f1", "span_recall", "triple_f1"),
        ),
    ]
    for items, score, names in steps:
        noise.shuffle(items)
        found = [score(items[:kept]) for kept in range(len(items), -1, -1)]
        for name in names:
            values = [getattr(one, name) for one in found]
            if items:
                assert all(a >= b - 1e-12 for a, b in itertools.pairwise(values)), name
                assert values[-1] == 0
