"""Where the steps of a prompt come from: true, damaged, predicted; and which frames it shows and speaks of."""

from __future__ import annotations

import dataclasses
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import Condition, condition_settings, parse_condition, read_condition
from cotasks.prompts.corruption import corrupt
from cotasks.prompts.prompt import build_prompt, step_context
from cotasks.prompts.view import shown_frames, spoken_frames, view
from cotasks.records.dataset import load_records
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
from cotasks.records.timeline import spans_of_frames, thin
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.table import step_text
from tests.examples import examples
from tests.strategies import records
from tests.synthetic import make_record

QWEN, LLAVA = FAMILIES["qwen2_5_vl"], FAMILIES["llava_onevision"]
SIZE = (336, 168)


def prompt_of(record: Record, name: str, family: Any = QWEN, predictions: Any = None) -> Any:
    source = (record.width or 0, record.height or 0)
    return build_prompt(record, parse_condition(name), family, SIZE, source, predictions=predictions)


def steps_of(record: Record) -> tuple[Any, ...]:
    return record.frame_localization, record.entity_tracking, record.spatial_relations, record.temporal_relations


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("predicted", {"steps": (1, 2, 3, 4), "origin": "predicted"}),
        ("predicted-12", {"steps": (1, 2), "origin": "predicted"}),
        ("blind-predicted", {"steps": (1, 2, 3, 4), "origin": "predicted", "video": False}),
        ("blind-predicted-34:boxes=2", {"steps": (3, 4), "origin": "predicted", "video": False, "boxes_per_entity": 2}),
        ("cotasks:corrupt=0.25,seed=1", {"origin": "corrupted", "corruption": 0.25, "corruption_seed": 1}),
        ("blind-cotasks-1:corrupt=1", {"steps": (1,), "origin": "corrupted", "corruption": 1.0, "video": False}),
        ("cotasks:corrupt=0", {"origin": "corrupted"}),
        ("cotasks:frames=64,context=8", {"num_frames": 64, "context_frames": 8}),
        ("cotasks:context=8", {"context_frames": 8}),
    ],
)
def test_origins_are_read_and_stand_in_the_settings(text: str, fields: dict[str, Any]) -> None:
    expected = Condition(**{"name": text, "steps": (1, 2, 3, 4), **fields})
    assert parse_condition(text) == expected
    assert read_condition(condition_settings(expected)) == expected


def test_settings_of_conditions_as_old_as_the_first_runs_have_not_changed() -> None:
    assert condition_settings(parse_condition("blind-cotasks-2:frames=16,boxes=4,tokens=900")) == {
        "name": "blind-cotasks-2:frames=16,boxes=4,tokens=900",
        "steps": (2,),
        "origin": "oracle",
        "video": False,
        "num_frames": 16,
        "boxes_per_entity": 4,
        "context_tokens": 900,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("baseline:corrupt=0.5", "with `cotasks` only"),
        ("predicted:corrupt=0.5", "with `cotasks` only"),
        ("cotasks:seed=1", "seed without corrupt"),
        ("cotasks:corrupt=1.5", "corrupt is 1.5; expected 0 to 1"),
        ("cotasks:corrupt=nan", "expected a probability"),
        ("cotasks:corrupt=-1", "expected a probability"),
        ("cotasks:corrupt=0.5,seed=-1", "expected 0 or more"),
        ("cotasks:frames=4,context=8", "context speaks of 8 frames of 4 shown"),
        ("baseline:context=8", "context without steps"),
        ("blind:context=8", "context without steps"),
        ("cotasks:context=0", "expected 1 or more"),
        ("predicted-21", "each once, in order"),
        ("predicted-5", "unknown condition"),
        ("predict", "unknown condition"),
    ],
)
def test_odd_combinations_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_condition(text)


def test_fewer_frames_shown_than_spoken_of_are_refused_wherever_the_number_comes_from() -> None:
    with pytest.raises(InputError, match="8 frames of 4 shown"):
        dataclasses.replace(parse_condition("cotasks:context=8"), num_frames=4)


@examples(40)
@given(record=records(), seed=st.integers(0, 3))
def test_no_corruption_is_the_oracle_byte_for_byte(record: Record, seed: int) -> None:
    assert corrupt(record, 0.0, seed) is record
    for name in ("cotasks", "blind-cotasks-24", "cotasks:boxes=1"):
        option = f"{name}{',' if ':' in name else ':'}corrupt=0,seed={seed}"
        for family in (QWEN, LLAVA):
            assert prompt_of(record, option, family) == prompt_of(record, name, family)


@examples(40)
@given(record=records(), low=st.floats(0, 1), high=st.floats(0, 1), seed=st.integers(0, 3))
def test_corruption_is_coupled_and_everything_follows_from_the_scene(
    record: Record, low: float, high: float, seed: int
) -> None:
    low, high = sorted((low, high))
    some, more = corrupt(record, low, seed), corrupt(record, high, seed)
    truth, grid = record.frame_localization, {frame.index for frame in record.frames}
    for damaged in (some, more):
        a1 = damaged.frame_localization
        assert set(a1.frames) <= grid
        assert 1 <= len(a1.frames) <= len(truth.frames)
        assert list(a1.frames) == sorted(set(a1.frames))
        assert [e.tid for e in a1.entities] == sorted({e.tid for e in a1.entities})
        assert set(a1.entities) <= set(record.scene.entities)
        assert len(a1.entities) <= len(truth.entities)
        if a1.frames != truth.frames:
            assert a1.spans == spans_of_frames(a1.frames, record.frames)
        else:
            assert a1.spans == truth.spans
        assert damaged.entity_tracking == entity_tracking.construct(record.scene, a1)
        assert damaged.spatial_relations == spatial_relations.construct(record.scene, a1)
        assert damaged.temporal_relations == temporal_relations.construct(record.scene, a1, record.fps)
        assert damaged.scene == record.scene
        assert damaged.frames == record.frames
    # what is whole at a higher probability is whole at a lower one: a frame may leave, and only by chance come back
    stays = set(truth.frames) & set(more.frame_localization.frames) - _landed(record, 1.0, seed)
    assert stays <= set(some.frame_localization.frames)


def _landed(record: Record, probability: float, seed: int) -> set[int]:
    """Frames that some frame could be moved to."""
    return set(corrupt(record, probability, seed).frame_localization.frames)


def a_long_record(number: int, num_frames: int = 64) -> Record:
    record = make_record("v", number, num_frames=num_frames, frame_count=20 * num_frames)
    half = record.frames[: num_frames // 2]
    indices = tuple(frame.index for frame in half)
    a1 = dataclasses.replace(record.frame_localization, frames=indices, spans=spans_of_frames(indices, record.frames))
    return dataclasses.replace(record, id=f"nextqa/validation/v/{number}", frame_localization=a1)


def test_the_share_of_damage_is_the_probability() -> None:
    sample = [a_long_record(number) for number in range(60)]
    for probability in (0.25, 0.5, 1.0):
        kept, whole, gone = [], [], []
        for record in sample:
            damaged = corrupt(record, probability, 0)
            truth = set(record.frame_localization.frames)
            kept.append(len(truth & set(damaged.frame_localization.frames)) / len(truth))
            whole.append(damaged.frame_localization.entities == record.frame_localization.entities)
            gone.append(2 - len(damaged.frame_localization.entities))
        # a true frame is there where it stayed, or where one of the others that moved hit it: 31 of 64 places
        hit = 1 - (1 - probability / 64) ** 32
        assert np.mean(kept) == pytest.approx(1 - probability * (1 - hit), abs=0.05)
        # of two entities, both stay, or (the only other is the other one) both are swapped
        assert np.mean(whole) == pytest.approx((1 - probability) ** 2 + probability**2 / 4, abs=0.2)


def test_recall_falls_smoothly_and_each_seed_differs() -> None:
    record = a_long_record(0)
    truth = set(record.frame_localization.frames)
    recall = [len(truth & set(corrupt(record, p, 0).frame_localization.frames)) for p in np.linspace(0, 1, 21)]
    assert recall[0] == 32
    assert recall[-1] < 24
    # one number a frame: from a step to the next, few frames move, and none comes back but by a hit
    assert max(abs(a - b) for a, b in itertools.pairwise(recall)) <= 6
    assert len({corrupt(record, 0.5, seed).frame_localization for seed in range(5)}) == 5
    others = {corrupt(a_long_record(number), 0.5, 0).frame_localization.frames for number in range(5)}
    assert len(others) == 5


def test_corruption_is_the_same_in_every_process() -> None:
    script = (
        "from tests.test_origins import a_long_record\n"
        "from cotasks.prompts.corruption import corrupt\n"
        "print(corrupt(a_long_record(3), 0.5, 7).frame_localization)\n"
    )
    root = Path(__file__).parents[1]
    printed = subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=root, capture_output=True, text=True, env={"PYTHONPATH": "."}
    ).stdout
    assert printed.strip() == repr(corrupt(a_long_record(3), 0.5, 7).frame_localization)


def test_fewer_frames_are_chosen_after_the_damage() -> None:
    record = a_long_record(1)
    condition = parse_condition("cotasks:frames=8,corrupt=0.5,seed=2")
    told = view(record, condition).record
    whole = set(corrupt(record, 0.5, 2).frame_localization.frames)
    assert set(told.frame_localization.frames) == whole & {frame.index for frame in thin(record.frames, 8)}


@examples(40)
@given(record=records(), frames=st.integers(1, 12), context=st.integers(1, 12))
def test_what_is_spoken_of_is_shown(record: Record, frames: int, context: int) -> None:
    context, frames = sorted((min(context, len(record.frames)), min(frames, len(record.frames))))
    condition = parse_condition(f"cotasks:frames={frames},context={context}")
    shown, spoken = shown_frames(record, condition), spoken_frames(record, condition)
    assert len(shown) == frames
    assert len(spoken) == context
    assert spoken == thin(record.frames, context)
    assert set(spoken) <= set(shown) <= set(record.frames)
    assert list(shown) == sorted(shown, key=lambda frame: frame.index)
    uniform = thin(record.frames, frames)
    assert len(set(shown) - set(uniform)) <= len(set(spoken) - set(uniform))  # nothing else has moved
    source = (record.width or 0, record.height or 0)
    assert build_prompt(record, condition, QWEN, SIZE, source).frames == shown


def numbers(text: str) -> str:
    return re.sub(r"\d+", "#", text)


@examples(30)
@given(record=records())
def test_the_context_is_the_same_whatever_is_shown(record: Record) -> None:
    most = len(record.frames)
    context = min(3, most)
    names = [f"cotasks:frames={n},context={context}" for n in range(context, most + 1)]
    names += [f"cotasks:context={context}", f"blind-cotasks:context={context}"]
    by_time = {prompt_of(record, name).context for name in names}
    assert by_time == {prompt_of(record, f"cotasks:frames={context}").context}
    by_position = [prompt_of(record, name, LLAVA).context for name in names]
    # at how many of the frames shown a triple of step 4 holds depends on the frames; when it does, does not
    spans = re.compile(r"(?:between |before |after )?frame #(?: (?:to|and) frame #)? at ")
    told = {spans.sub("", numbers(text)) for text in by_position}
    assert told == {spans.sub("", numbers(prompt_of(record, names[0], LLAVA).context))}
    for name, text in zip(names[:-2], by_position, strict=False):
        assert f"numbered 1 to {parse_condition(name).num_frames} in" in text


@examples(30)
@given(record=records(), family=st.sampled_from([QWEN, LLAVA]), fewer=st.integers(1, 4))
def test_positions_count_among_the_frames_shown(record: Record, family: Any, fewer: int) -> None:
    condition = parse_condition(f"cotasks:context={min(fewer, len(record.frames))}")
    told = view(record, condition)
    context = step_context(told, family, SIZE, (record.width or 0, record.height or 0))
    read = frame_localization.parse(step_text(told.record, 1, context), context)
    assert read.value.frames == told.record.frame_localization.frames
    assert read.unread == ()
    for track in entity_tracking.parse(step_text(told.record, 2, context), context).value:
        assert {box.frame for box in track.boxes} <= {frame.index for frame in told.record.frames}
    if family is LLAVA:
        place = {frame.index: number for number, frame in enumerate(record.frames, 1)}
        assert {context.frame_text(frame.index) for frame in told.record.frames} == {
            f"frame {place[frame.index]}" for frame in told.record.frames
        }
        off = set(place.values()) - {place[frame.index] for frame in told.record.frames}
        assert all(context.read_frame(f"frame {number}") is None for number in off)


class Told:
    """Predictions that are the same whatever the record."""

    def __init__(self, steps: PredictedSteps) -> None:
        self.steps = steps

    def of(self, record: Record) -> PredictedSteps:
        return self.steps


def test_predicted_steps_hold_nothing_of_the_annotation() -> None:
    record = make_record("v", 0)
    frames = [frame.index for frame in record.frames]
    a1 = FrameLocalization((frames[1],), (Span(1.0, 1.0),), (Entity(5, "cat"),), "model", "model", used_answer=False)
    steps = PredictedSteps(
        a1,
        (Track(5, "cat", (Box(frames[1], (1.0, 2.0, 3.0, 4.0), False), Box(frames[2], (1.0, 2.0, 3.0, 4.0), False))),),
        (SpatialRelation(5, "on", 6, (frames[2],)),),
        (TemporalRelation(5, "climb", 6, 3, 9),),
        entities=(Entity(5, "cat"), Entity(6, "tree")),
        names=((5, "cat 2"), (6, "the tree")),
    )
    context = prompt_of(record, "predicted", predictions=Told(steps)).context
    assert "Entities: cat 2" in context
    assert "(cat 2, on, the tree): " in context
    assert "(cat 2, climb, the tree): 0.12s to 0.36s" in context
    assert not set(re.findall("dog|ball|chase|next to", context))
    few = prompt_of(record, "predicted-12", predictions=Told(steps))
    assert few.context == context[: len(few.context)]
    # fewer frames: what is said of the others goes, and the scene gives nothing instead
    told = view(record, parse_condition("predicted:frames=3"), Told(steps)).record
    left = {frame.index for frame in thin(record.frames, 3)}
    assert {box.frame for track in told.entity_tracking for box in track.boxes} == left & {frames[1], frames[2]}
    assert all(set(relation.frames) <= left for relation in told.spatial_relations)
    assert told.temporal_relations == steps.temporal_relations
    assert len(told.frame_localization.frames) == 1
    assert view(record, parse_condition("predicted-34"), Told(steps)).record.frame_localization.frames == ()


def test_a_step_without_a_prediction_says_why() -> None:
    record = make_record("v", 0)
    predictions = Told(PredictedSteps(frame_localization=record.frame_localization, reasons={2: "out of memory"}))
    with pytest.raises(InputError, match=f"{record.id}: no prediction of step 2: out of memory") as caught:
        prompt_of(record, "predicted-12", predictions=predictions)
    assert caught.value.reason == "no prediction of step 2"
    assert "Step 1" in prompt_of(record, "predicted-1", predictions=Told(truth_of(record))).context
    with pytest.raises(InputError, match="name their folder with --predictions"):
        prompt_of(record, "predicted")


def truth_of(record: Record) -> PredictedSteps:
    """The record's own steps, as if predicted."""
    return PredictedSteps(*steps_of(record), entities=record.scene.entities)


@examples(30)
@given(record=records(), family=st.sampled_from([QWEN, LLAVA]), fewer=st.integers(1, 12))
def test_the_truth_as_a_prediction_is_the_oracle(record: Record, family: Any, fewer: int) -> None:
    for name in ("", "-12", "-3", ":boxes=2"):
        oracle, predicted = f"cotasks{name}", f"predicted{name}"
        assert prompt_of(record, predicted, family, Told(truth_of(record))) == prompt_of(record, oracle, family)
    # predicted on the frames that the condition speaks of
    option = f":frames={min(fewer, len(record.frames))}"
    thinned = view(record, parse_condition(f"cotasks{option}")).record
    told = Told(truth_of(thinned))
    assert prompt_of(record, f"predicted{option}", family, told) == prompt_of(record, f"cotasks{option}", family)


def test_the_sample_under_every_condition() -> None:
    for record in load_records("sample", limit=20):
        plain = prompt_of(record, "cotasks").context
        assert prompt_of(record, "cotasks:corrupt=0").context == plain
        assert prompt_of(record, "predicted", predictions=Told(truth_of(record))).context == plain
        assert prompt_of(record, "cotasks:corrupt=1").context != plain
        assert prompt_of(record, "cotasks:frames=32,context=8").context == prompt_of(record, "cotasks:frames=8").context
