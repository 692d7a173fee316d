"""What examples are told while a model learns: noise, own predictions, weights, by seed and step."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import parse_condition
from cotasks.prompts.corruption import KINDS, change_triples, move_boxes
from cotasks.prompts.view import view
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record
from cotasks.steps.predicted import PredictedSteps
from cotasks.training.examples import examples_of, instructions
from cotasks.training.mixing import (
    Mix,
    MixedRows,
    Schedule,
    Told,
    check_mixed,
    parse_noise,
    parse_schedule,
    parse_weights,
    repeats,
)
from tests.examples import examples
from tests.strategies import records

STEP_4 = "temporal_relations"


def triples(record: Record) -> set[tuple[int, str, int]]:
    told = (*record.spatial_relations, *record.temporal_relations)
    return {(r.subject_tid, r.predicate, r.object_tid) for r in told}


@examples(60)
@given(record=records(), probability=st.floats(0, 1), seed=st.integers(0, 3))
def test_changed_triples_are_false_and_the_others_stay(record: Record, probability: float, seed: int) -> None:
    changed = change_triples(record, probability, seed)
    for told, before, scene in (
        (changed.spatial_relations, record.spatial_relations, record.scene.spatial_relations),
        (changed.temporal_relations, record.temporal_relations, record.scene.temporal_relations),
    ):
        true = {(r.subject_tid, r.predicate, r.object_tid) for r in scene}
        new = {(r.subject_tid, r.predicate, r.object_tid) for r in told if r not in before}
        assert not new & true
        if probability == 1:
            assert not {(r.subject_tid, r.predicate, r.object_tid) for r in told} & true
    assert change_triples(record, 0.0, seed) == record
    assert changed == change_triples(record, probability, seed)
    assert (
        dataclasses.replace(
            changed, spatial_relations=record.spatial_relations, temporal_relations=record.temporal_relations
        )
        == record
    )


@examples(60)
@given(record=records(), low=st.floats(0, 1), high=st.floats(0, 1), seed=st.integers(0, 3))
def test_moved_boxes_keep_their_size_and_stay_moved_at_a_greater_strength(
    record: Record, low: float, high: float, seed: int
) -> None:
    low, high = sorted((low, high))
    some, more = move_boxes(record, low, seed), move_boxes(record, high, seed)
    for before, one, two in zip(record.entity_tracking, some.entity_tracking, more.entity_tracking, strict=True):
        for box, first, second in zip(before.boxes, one.boxes, two.boxes, strict=True):
            assert second == first or first == box
            assert second.xyxy[2] - second.xyxy[0] == pytest.approx(box.xyxy[2] - box.xyxy[0])
            assert second.xyxy[3] - second.xyxy[1] == pytest.approx(box.xyxy[3] - box.xyxy[1])
    assert move_boxes(record, 0.0, seed) == record


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_noise_is_told_on_fewer_frames_too(kind: str) -> None:
    record = load_records("sample", "train", limit=1).at(0)
    true = view(record, parse_condition("cotasks:frames=4")).record
    told = view(record, parse_condition(f"cotasks:frames=4,corrupt=1,kind={kind}")).record
    assert told.frames == true.frames
    assert (told.entity_tracking != true.entity_tracking) == (kind != "triples")
    assert (triples(told) != triples(true)) == (kind != "boxes")
    assert (told.frame_localization == true.frame_localization) == (kind != "step-1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cotasks:kind=boxes", "kind without corrupt"),
        ("cotasks:seed=1,kind=boxes", "seed and kind without corrupt"),
        ("cotasks:corrupt=1,kind=words", "kind 'words'; expected step-1, boxes, triples"),
    ],
)
def test_odd_kinds_are_one_line(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_condition(text)


def test_a_schedule_rises_from_one_share_to_the_other() -> None:
    assert parse_schedule("0.3") == Schedule(0.3, 0.3)
    rising = parse_schedule("0..0.5@0.2..0.8")
    assert [rising.at(progress) for progress in (0, 0.2, 0.5, 0.8, 1)] == pytest.approx([0, 0, 0.25, 0.5, 0.5])
    assert parse_schedule("0.1..0.5").at(0.5) == pytest.approx(0.3)
    assert parse_schedule("1..0@0.5..0.5").at(0.6) == 0


@pytest.mark.parametrize("text", ["", "x", "2", "0..2", "0.5..", "0..1@0.8..0.2", "0..1@0", "-0.1", "0...5..1", "nan"])
def test_odd_schedules_are_one_line(text: str) -> None:
    with pytest.raises(InputError, match="expected a share such as"):
        parse_schedule(text)


@given(st.text("0123456789.@-:,=corupt", max_size=16))
def test_whatever_is_written_is_noise_or_one_line(text: str) -> None:
    for parse in (parse_noise, parse_schedule):
        try:
            parse(text)
        except InputError as error:
            said = str(error)
        else:
            said = ""
        assert "\n" not in said


@pytest.mark.parametrize("text", ["0.5", "0.5:frames=4", "0.5:corrupt=2", "0.5:corrupt=0.5,seed=1", "2:corrupt=0.5"])
def test_odd_noise_is_one_line(text: str) -> None:
    with pytest.raises(InputError):
        parse_noise(text)


def mix(**fields: Any) -> Mix:
    noise = tuple(map(parse_noise, fields.pop("noise", ())))
    own = fields.pop("own", None)
    return Mix(noise, None if own is None else parse_schedule(own), **fields)


def test_shares_are_held_and_follow_from_seed_and_step_alone() -> None:
    told = mix(noise=["0..0.5:corrupt=0.5,kind=triples", "0.1:corrupt=1"], own="0..0.4")
    for progress, shares in ((0.0, (0.0, 0.0, 0.1)), (1.0, (0.4, 0.5, 0.1))):
        found = Counter(
            "own" if "predicted" in task else "triples" if "triples" in task else "step-1" if "corrupt" in task else ""
            for step in range(4000)
            for task in [told.task("cotasks", "a", step, progress)]
        )
        for name, share in zip(("own", "triples", "step-1"), shares, strict=True):
            assert found[name] / 4000 == pytest.approx(share, abs=0.03)
    assert told.task("cotasks", "a", 7, 0.5) == told.task("cotasks", "a", 7, 0.5)
    names = {
        mix(noise=["1:corrupt=0.5"], seed=seed).task("cotasks", "a", step, 0) for seed in (0, 1) for step in (0, 1)
    }
    assert len(names) == 4  # another seed, another step: another noise


@pytest.mark.parametrize(
    ("task", "noisy", "own"),
    [
        ("cotasks:frames=4", r"cotasks:frames=4,corrupt=0.5,seed=\d+", "predicted:frames=4"),
        ("blind-cotasks-34", r"blind-cotasks-34:corrupt=0.5,seed=\d+", "blind-predicted-34"),
        (STEP_4, rf"{STEP_4}:corrupt=0.5,seed=\d+", STEP_4),
        ("frame_localization", "frame_localization", "frame_localization"),
        ("baseline", "baseline", "baseline"),
        ("chain", "chain", "chain"),
        ("cotasks:corrupt=0.5", "cotasks:corrupt=0.5", "cotasks:corrupt=0.5"),
    ],
)
def test_what_each_task_is_told(task: str, noisy: str, own: str) -> None:
    import re

    found = mix(noise=["1:corrupt=0.5"]).task(task, "a", 0, 0)
    assert re.fullmatch(noisy, found)
    record = load_records("sample", "train", limit=1).at(0)
    assert [*examples_of(instructions(record, (found,), num_frames=4))]
    assert mix(own="1").task(task, "a", 0, 0) == own


def test_shares_beyond_1_are_one_line() -> None:
    with pytest.raises(InputError, match=r"1\.1 together"):
        mix(noise=["0..0.6:corrupt=0.5"], own="0.5")


def test_nothing_to_mix_is_one_line() -> None:
    with pytest.raises(InputError, match="expected one that is told steps"):
        check_mixed(mix(noise=["1:corrupt=0.5"]), ["baseline", "chain"])
    with pytest.raises(InputError, match="expected one that is told steps"):
        check_mixed(mix(own="1"), [STEP_4])


class Fixed:
    """Predictions of some records."""

    def __init__(self, known: dict[str, PredictedSteps]) -> None:
        self.known = known

    def of(self, record: Record) -> PredictedSteps:
        if record.id not in self.known:
            raise InputError(f"no prediction for {record.id}", "no prediction")
        return self.known[record.id]


def as_predicted(record: Record) -> PredictedSteps:
    """Steps that say there is nothing."""
    a1 = dataclasses.replace(record.frame_localization, entities=())
    return PredictedSteps(a1, (), (), ())


def test_rows_are_told_by_position_and_step() -> None:
    records = load_records("sample", "train", limit=20)
    rows = records.rows.map(
        instructions,
        batched=True,
        remove_columns=records.rows.column_names,
        fn_kwargs={"tasks": ("cotasks", STEP_4), "num_frames": 4},
    )
    first = records.at(0)
    options = {"family": "qwen2_5_vl", "num_frames": 4, "predictions": Fixed({first.id: as_predicted(first)})}
    whole = MixedRows(rows, records.rows, Told(mix(noise=["0..1:corrupt=1,kind=triples"]), 10, options))
    assert len(whole) == len(rows)
    telling = {
        record.id for record in records if view(record, parse_condition("cotasks:frames=4")).record.spatial_relations
    }
    place = next(n for n, row in enumerate(rows) if row["task"] == STEP_4 and row["id"] in telling)
    true, noisy = rows[place], whole[place, 9]
    assert whole[place, 0] == true
    assert noisy == whole[place, 9] != whole[place, 8]
    assert noisy["task"] == STEP_4
    assert noisy["messages"][0] != true["messages"][0]  # told what is false
    assert noisy["messages"][1] == true["messages"][1]  # and to say what is true

    own = MixedRows(rows, records.rows, Told(mix(own="1"), 10, options))
    ours = [n for n, row in enumerate(rows) if row["id"] == first.id and row["task"] == "cotasks"]
    for place in range(len(rows)):
        assert (own[place, 0] != rows[place]) == (place in ours)  # the others have no prediction, or ask for a step
    assert "Entities: none" in own[ours[0], 0]["messages"][0]["content"][-1]["text"]


def test_weights_take_examples_so_often() -> None:
    weights = parse_weights([f"{STEP_4}=2.5", "cotasks:frames=4=0"], [STEP_4, "cotasks:frames=4", "baseline"])
    assert weights == {STEP_4: 2.5, "cotasks:frames=4": 0.0}
    often = [repeats(2.5, 0, str(n), STEP_4) for n in range(2000)]
    assert set(often) == {2, 3}
    assert sum(often) / 2000 == pytest.approx(2.5, abs=0.05)
    assert often == [repeats(2.5, 0, str(n), STEP_4) for n in range(2000)]
    assert repeats(0.0, 0, "a", STEP_4) == 0
    for odd in (["baseline=x"], ["chain=1"], ["baseline=1", "baseline=2"], ["baseline=-1"]):
        with pytest.raises(InputError, match="expected TASK=WEIGHT"):
            parse_weights(odd, ["baseline"])


def test_the_options_reach_the_examples(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import argparse

    from cotasks.training.feeding import mixed_rows
    from cotasks.training.options import add_data_arguments, add_mixing_arguments, add_training_arguments, settings_of
    from cotasks.training.scripts import Base, training_examples
    from tests.tiny_models import tiny

    def arguments(*more: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        for add in (add_data_arguments, add_mixing_arguments):
            add(parser)
        add_training_arguments(parser, 1e-3)
        given = ["--model", "tiny", "--data", "sample", "--limit", "4", "--num-frames", "4", "--out", str(tmp_path)]
        return parser.parse_args([*given, "--task", "cotasks", "--task", "baseline", *more])

    model, processor = tiny("qwen2_5_vl")
    base = Base(model, processor, FAMILIES["qwen2_5_vl"], "float32")
    args = arguments("--weight", "baseline=2", "--noise", "0..1:corrupt=0.5")
    rows, folder = training_examples(args, base, "train", 4, args.weights)
    assert Counter(rows["task"])["baseline"] == 2 * Counter(rows["task"])["cotasks"]
    mixed = mixed_rows(args, base, rows, folder, 10)
    assert mixed is not None
    assert [mixed[n, 0] for n in range(len(rows))] == list(rows)
    assert sum(mixed[n, 9] != rows[n] for n in range(len(rows))) > 0
    assert settings_of(args)["weights"] == ["baseline=2"]
    assert mixed_rows(arguments(), base, rows, folder, 10) is None
    assert "noise" not in settings_of(arguments())
    with pytest.raises(InputError, match="expected --own-predictions"):
        mixed_rows(arguments("--own-share", "0.5"), base, rows, folder, 10)
    with pytest.raises(InputError, match="not a predictions folder"):
        mixed_rows(arguments("--own-predictions", str(tmp_path)), base, rows, folder, 10)
