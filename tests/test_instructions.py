from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.generate.prepare import Item, prepare_video
from cotasks.models.families import FAMILIES, limits_of
from cotasks.models.load import Model
from cotasks.models.tensors import Clip
from cotasks.prompts.condition import Condition, parse_condition
from cotasks.prompts.prompt import build_prompt
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record, Span, records_to_table
from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations
from cotasks.steps.table import STEP_TITLES
from cotasks.training.examples import (
    INSTRUCTION_FEATURES,
    TASKS,
    answer_text,
    examples_of,
    instructions,
    shorten_messages,
)
from tests.examples import examples
from tests.strategies import records
from tests.synthetic import make_record, write_video

each_family = pytest.mark.parametrize("family", sorted(FAMILIES))


def only(record: Record, task: str, **options: Any) -> dict[str, Any]:
    (row,) = examples_of(instructions(record, (task,), **options))
    return row


def texts(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"][-1]["text"]) for message in row["messages"]]


@pytest.fixture(scope="module")
def sample() -> list[Record]:
    return list(load_records("sample", "validation"))


def test_examples_of_every_task(sample: list[Record]) -> None:
    for record in sample:
        rows = list(examples_of(instructions(record)))
        whole = record.frame_localization.span_origin == "whole"
        assert [row["task"] for row in rows] == [t for t in TASKS if not whole or t != "frame_localization"]
        for row in rows:
            roles = [role for role, _ in texts(row)]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
            shown = [part["type"] for message in row["messages"] for part in message["content"]].count("video")
            assert shown == 1
            assert row["messages"][0]["content"][0]["type"] == "video"
            assert row["frames"] == [frame.index for frame in record.frames]
    assert {record.frame_localization.span_origin for record in sample} >= {"whole", "annotation", "human"}


def test_chain_asks_for_each_step_and_then_the_question() -> None:
    record = make_record("a", 0, frame_localization=lexical(make_record("a", 0)))
    row = only(record, "chain", family="qwen3_vl")
    turns = texts(row)
    assert [text.split(",")[0] for role, text in turns[:-2:2]] == [
        f"Question: {record.question}\nTimes are in seconds from the start of the video.\nStep 1",
        "Step 2",
        "Step 3",
        "Step 4",
    ]
    assert turns[-2:] == [
        ("user", f"Question: {record.question}\nAnswer with a short phrase."),
        ("assistant", "to play"),
    ]
    assert [text for role, text in turns[3::2]][:3] == [
        texts(only(record, task, family="qwen3_vl"))[1][1]
        for task in ("entity_tracking", "spatial_relations", "temporal_relations")
    ]


def lexical(record: Record) -> Any:
    return dataclasses.replace(record.frame_localization, span_origin="lexical")


def test_step_1_is_left_out_where_its_spans_are_whole() -> None:
    record = make_record("a", 0)  # whole
    assert instructions(record, ("frame_localization",))["id"] == []
    turns = texts(only(record, "chain"))
    assert len(turns) == 8
    assert turns[0][1].startswith(f"Question: {record.question}\nTimes are in seconds")
    assert "Step 2" in turns[0][1]
    # what is given to the later steps stays
    assert "Entities: dog, ball" in texts(only(record, "entity_tracking"))[0][1]


@given(record=records(), family=st.sampled_from(sorted(FAMILIES)))
@examples(60, suppress_health_check=[HealthCheck.too_slow])
def test_answers_of_steps_read_back_as_the_record(record: Record, family: str) -> None:
    from cotasks.training.examples import _view

    columns = instructions(record, family=family, boxes_per_entity=100)
    view = _view(record, Condition("", (1, 2, 3, 4)), FAMILIES[family], None, None, None)
    for row in examples_of(columns):
        answers = [text for role, text in texts(row) if role == "assistant"]
        if row["task"] == "frame_localization":
            parsed: Any = frame_localization.parse(answers[0], view.context)
            assert parsed.value.frames == record.frame_localization.frames
            assert parsed.value.entities == record.frame_localization.entities
        elif row["task"] == "entity_tracking":
            parsed = entity_tracking.parse(answers[0], view.context)
            assert [t.tid for t in parsed.value] == [t.tid for t in record.entity_tracking]
        elif row["task"] == "spatial_relations":
            parsed = spatial_relations.parse(answers[0], view.context)
            assert parsed.value == record.spatial_relations
        elif row["task"] == "temporal_relations":
            parsed = temporal_relations.parse(answers[0], view.context)
            assert parsed.value == record.temporal_relations
        else:
            assert answers[-1] == answer_text(record)
            continue
        assert parsed.unread == ()


def test_choices_are_answered_by_letter() -> None:
    record = make_record("a", 0, choices=("to sleep", "to play"), answer_index=1)
    assert [texts(only(record, task))[-1] for task in ("baseline", "cotasks", "chain")] == [("assistant", "B")] * 3


# The same prompt as under `cotasks generate` --------------------------------------------------------------------------


@each_family
@pytest.mark.parametrize("task", ["baseline", "cotasks", "cotasks-34:frames=5,boxes=2", "blind-cotasks", "blind"])
def test_prompt_and_clip_are_those_of_generate(family: str, task: str, sample: list[Record], tmp_path: Path) -> None:
    from tests.tiny_models import tiny

    limits = limits_of(tiny(family)[1], FAMILIES[family])
    model = Model(None, None, FAMILIES[family], limits, (), None, {})
    condition = parse_condition(task)
    folder = load_records("sample", "validation").video_folder()
    for record in sample[::15]:
        (item,) = prepare_video([record], [condition], {(record.id, task, 0)}, model, folder)
        assert isinstance(item, Item)
        row = only(record, task, family=family, limits=limits)
        assert texts(row)[0][1] == item.prompt.messages[0]["content"][-1]["text"]
        assert [p["type"] for p in row["messages"][0]["content"]] == [
            p["type"] for p in item.prompt.messages[0]["content"]
        ]
        assert row["frames"] == [frame.index for frame in item.prompt.frames]
        if item.clip is not None:
            from cotasks.training.collator import TrainingCollator

            mine = TrainingCollator(None, FAMILIES[family], folder).clip(row)
            assert isinstance(mine, Clip)
            assert (mine.indices, mine.fps, mine.total_num_frames) == (
                item.clip.indices,
                item.clip.fps,
                item.clip.total_num_frames,
            )
            assert (mine.pixels == item.clip.pixels).all()


def test_clip_that_begins_before_its_first_frame(tmp_path: Path) -> None:
    """A snapped grid may begin late: times still count from the clip's start, as under `generate`."""
    from cotasks.training.collator import TrainingCollator

    write_video(tmp_path / "a.mp4")
    full = make_record("a", 0)
    record = make_record("a", 0, clip=Span(0.41, 2.0), frames=full.frames[2:5])  # frames 24, 35, 47 of [11, 50]
    family = FAMILIES["qwen2_vl"]
    model = Model(None, None, family, family.limits, (), None, {})
    (item,) = prepare_video([record], [parse_condition("baseline")], {(record.id, "baseline", 0)}, model, tmp_path)
    row = only(record, "baseline", family="qwen2_vl")
    clip = TrainingCollator(None, family, tmp_path).clip(row)
    assert isinstance(item, Item)
    assert item.clip is not None
    assert clip is not None
    assert (row["clip_begin"], row["clip_frames"]) == (11, 40)
    assert (clip.indices, clip.total_num_frames) == (item.clip.indices, item.clip.total_num_frames)


# Columns --------------------------------------------------------------------------------------------------------------


def test_map_gives_the_same_examples_with_a_stable_schema(sample: list[Record]) -> None:
    some = [r for r in sample if r.frame_localization.span_origin == "whole"][:2] + sample[:5]
    rows = Dataset(records_to_table(some))
    one_by_one = [row for record in some for row in examples_of(instructions(record, num_frames=4))]
    for batch_size in (1, 3):
        mapped = rows.map(
            instructions,
            batched=True,
            batch_size=batch_size,
            remove_columns=rows.column_names,
            features=INSTRUCTION_FEATURES,
            fn_kwargs={"num_frames": 4},
            load_from_cache_file=False,
        )
        assert mapped.features == INSTRUCTION_FEATURES
        assert list(mapped) == one_by_one
    assert list(examples_of(instructions(rows[0], num_frames=4))) == one_by_one[:6]


# What a budget leaves out ---------------------------------------------------------------------------------------------


def item_lines(text: str) -> int:
    """Item lines of a context block at the head of a text."""
    lines = text.split("\n\n")[0].split("\n") if text.startswith("Notes") else []
    return sum(1 for line in lines[1:] if line not in STEP_TITLES)


@given(record=records(), steps=st.sampled_from([(2,), (2, 3), (3, 4), (2, 4), (2, 3, 4)]))
@examples(60, suppress_health_check=[HealthCheck.too_slow])
def test_cuts_of_a_context_are_those_of_its_own_budget(record: Record, steps: tuple[int, ...]) -> None:
    """Leaving out the first n cuts gives the text that `build_prompt` gives for n items fewer."""
    task = "cotasks-" + "".join(map(str, steps))
    row = only(record, task, family="qwen2_vl")
    before = copy.deepcopy(row["messages"])
    view_size = (row["width"], row["height"])
    assert record.width
    assert record.height
    total = item_lines(texts(row)[0][1])
    if len(row["cuts"]) < total:
        return  # a step without items stays here, and is a line like others there
    for count in range(total + 1):
        condition = dataclasses.replace(parse_condition(task), context_tokens=total - count)
        prompt = build_prompt(
            record, condition, FAMILIES["qwen2_vl"], view_size, (record.width, record.height), item_lines
        )
        messages = shorten_messages(row["messages"], row["cuts"], count)
        assert messages[0]["content"][-1]["text"] == prompt.messages[0]["content"][-1]["text"]
        assert messages[1] == row["messages"][1]
        # a budget that the condition itself has leaves the rest to cut
        short = (
            only(record, f"{task}:tokens={total - count}", family="qwen2_vl", count_tokens=item_lines)
            if count < total
            else None
        )
        if short is not None:
            assert short["messages"] == messages
            assert len(short["cuts"]) == total - count
    assert row["messages"] == before


@given(record=records(), task=st.sampled_from(TASKS), data=st.data())
@examples(150, suppress_health_check=[HealthCheck.too_slow])
def test_cuts_take_whole_items_and_nothing_else(record: Record, task: str, data: st.DataObject) -> None:
    columns = instructions(record, (task,))
    for row in examples_of(columns):
        count = data.draw(st.just(len(row["cuts"])) | st.integers(0, len(row["cuts"])))
        messages = shorten_messages(row["messages"], row["cuts"], count)
        before, after = lines_of(row["messages"]), lines_of(messages)
        gone = list(before)
        for line in after:
            gone.remove(line)
        items = {
            line
            for text in (texts(r)[1][1] for r in examples_of(instructions(record, TASKS[1:4])))
            for line in text.split("\n")
        }
        taken = [line for line in gone if line in items and line != "none"]
        assert len(taken) == count
        # besides the items: titles, the head of the block, and the questions for answers of which nothing is left
        rest = [line for line in gone if line not in items]
        assert all(line in STEP_TITLES or line.startswith("Step ") or not line for line in rest)
        # the question, step 1 and the answer stay
        assert messages[-1] == row["messages"][-1] or task in TASKS[1:4]
        assert lines_of(row["messages"][:1])[-1] == lines_of(messages[:1])[-1]
        assert messages[0]["content"][0] == {"type": "video", "text": None}
        assert all(message["content"][-1]["text"] for message in messages[:-1])
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)


def lines_of(messages: list[dict[str, Any]]) -> list[str]:
    return [line for message in messages for line in message["content"][-1]["text"].split("\n")]


def test_the_chain_loses_its_last_items_first() -> None:
    record = make_record("a", 0, frame_localization=lexical(make_record("a", 0)))
    row = only(record, "chain")
    answers = [
        [text for role, text in texts({"messages": shorten_messages(row["messages"], row["cuts"], n)})][1::2]
        for n in range(len(row["cuts"]) + 1)
    ]
    full = answers[0]
    assert (
        answers
        == [
            full,
            [*full[:3], full[4]],  # step 4 had one item: question and answer are gone
            [*full[:2], full[4]],
            [full[0], full[1].split("\n")[0], full[4]],
            [full[0], full[4]],
        ]
    )


def test_the_first_question_of_a_chain_stays_with_its_video() -> None:
    row = only(make_record("a", 0), "chain")  # without step 1
    left = shorten_messages(row["messages"], row["cuts"], len(row["cuts"]))
    assert left[0] == row["messages"][0]
    assert [text.count("\n") + 1 for _, text in texts({"messages": left})][1:] == [1, 2, 1]
    assert left[2:] == row["messages"][-2:]


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "options", "words"),
    [
        (("cotask",), {}, "unknown task 'cotask'; expected one of frame_localization, .*chain, or a condition"),
        (("cotasks:frames=0",), {}, "option 'frames=0'"),
        (("baseline",), {"family": "gpt"}, "family 'gpt'; expected one of qwen2_5_vl"),
        (("chain",), {"num_frames": 7}, "7 frames"),
        (("cotasks:tokens=20",), {}, "no tokenizer"),
        (("predicted-12",), {}, "task 'predicted-12': predicted steps; expected true or corrupted ones"),
    ],
)
def test_wrong_arguments(tasks: tuple[str, ...], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        instructions(make_record("a", 0), tasks, **options)
    assert "\n" not in str(caught.value)


def test_frame_size_is_read_from_the_video_where_the_record_has_none(tmp_path: Path) -> None:
    known, unknown = make_record("a", 0), make_record("a", 0, width=None, height=None)
    with pytest.raises(InputError, match="nextqa/validation/a/0: no frame size in the record; expected one, or the"):
        instructions(unknown)
    with pytest.raises(InputError, match=r"no frame size in the record; .*a\.mp4: no such file"):
        instructions(unknown, videos=tmp_path)
    write_video(tmp_path / "a.mp4")
    assert instructions(unknown, videos=tmp_path) == instructions(known)
    (blind,) = examples_of(instructions(unknown, ("blind",)))  # nothing in it depends on the size
    assert blind["source_width"] is None
    assert blind["frames"] == []


def test_damaged_steps_and_fewer_frames_spoken_of_than_shown() -> None:
    record = make_record("a", 0, frame_localization=lexical(make_record("a", 0)))
    assert record.width is not None
    assert record.height is not None
    for task in ("cotasks:corrupt=1,seed=4", "cotasks:frames=5,context=2", "blind-cotasks:context=3"):
        row = only(record, task, family="llava_onevision")
        prompt = build_prompt(
            record,
            parse_condition(task),
            FAMILIES["llava_onevision"],
            (row["width"], row["height"]),
            (record.width, record.height),
        )
        assert texts(row)[0][1] == prompt.messages[0]["content"][-1]["text"]
        assert row["frames"] == [frame.index for frame in prompt.frames]
    assert texts(only(record, "cotasks:corrupt=1,seed=4")) != texts(only(record, "cotasks"))
