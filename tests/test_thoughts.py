"""The chain in one turn, with thought tags: written as people train on it, and read back."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.evidence import predicted_steps, read_evidence
from cotasks.evidence.evidence import with_boxes
from cotasks.models.families import FAMILIES
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record, Span
from cotasks.records.timeline import grid_frames
from cotasks.rewards import Asked, reward
from cotasks.steps.sections import read_sections
from cotasks.training.examples import TASKS, examples_of, instructions
from cotasks.training.thoughts import THOUGHTS
from tests.strategies import records


def turns(record: Record, think: str | None, family: str = "qwen2_5_vl", task: str = "chain") -> list[str]:
    [row] = examples_of(instructions(record, [task], family=family, think=think))
    assert row["cuts"] == [] or think is None
    return [message["content"][-1]["text"] for message in row["messages"]]


@pytest.fixture(scope="module")
def sample() -> list[Record]:
    return list(load_records("sample", "validation", limit=6))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "llava_onevision"])
@pytest.mark.parametrize("form", THOUGHTS)
def test_a_thought_earns_the_full_reward(form: str, family: str, sample: list[Record]) -> None:
    steps = (1, 2, 3, 4) if form == "steps" else (1, 2)
    for record in sample:
        request, said = turns(record, form, family)
        found = reward(record, said, asked=Asked(steps=steps, form=form, family=family))
        assert found.unread == ()
        assert found.value is not None
        assert found.value > 0.95
        assert all(found.parts[name] == 1 for name in ("frames", "entities", "answer", "format"))
        assert said.startswith("<think>")
        assert said.count("</think>\n<answer>") == said.count("</answer>") == 1
        assert record.question in request
        assert "between <think> and </think>" in request
        assert FAMILIES[family].coordinates != "pixels" or "in pixels of a frame" in request


def test_the_forms_as_published(sample: list[Record]) -> None:
    record = next(record for record in sample if record.entity_tracking and record.spatial_relations)
    said = {form: turns(record, form)[1] for form in THOUGHTS}
    assert "<obj>" in said["open-o3"]
    assert "</box>at<t>" in said["open-o3"]
    assert '"bbox_2d":[' in said["qwen"]
    assert read_sections(said["steps"]).in_order
    assert set(read_sections(said["steps"]).steps) == {1, 2, 3, 4}


def test_the_last_frame_of_a_run_is_read_back(sample: list[Record]) -> None:
    """87.44 s after 24.6 s is a bit less than 112.04 s."""
    frames = grid_frames([615, 2801], 25.0)
    a1 = dataclasses.replace(sample[0].frame_localization, frames=(615, 2801), entities=())
    record = dataclasses.replace(
        sample[0], fps=25.0, frames=frames, frame_count=2802, clip=Span(24.6, 112.08), frame_localization=a1,
        entity_tracking=(),
    )  # fmt: skip
    assert 87.44 + 24.6 < 112.04
    read = read_evidence(turns(record, "open-o3", "qwen3_vl")[1])
    found = predicted_steps(record, read, None).steps.frame_localization
    assert found is not None
    assert found.frames == (615, 2801)


@given(st.data())
def test_thoughts_are_read_back(data: st.DataObject) -> None:
    record = dataclasses.replace(data.draw(records()), question="what is it", width=640, height=480)
    _, said = turns(record, data.draw(st.sampled_from(["open-o3", "qwen"])), "qwen3_vl")
    found = read_evidence(said)
    assert found.unread == ()
    assert found.answer == ("A" if record.choices else record.answer)
    steps = predicted_steps(record, found, with_boxes(found, lambda box: box)).steps
    a1 = record.frame_localization
    assert steps.frame_localization is not None
    assert steps.frame_localization.frames == a1.frames
    assert steps.frame_localization.entities == a1.entities


def test_other_tasks_stay_as_they_are(sample: list[Record]) -> None:
    plainly, thinking = (instructions(sample[0], TASKS, think=think) for think in (None, "qwen"))
    differs = [task for task, a, b in zip(plainly["task"], plainly["messages"], thinking["messages"], strict=True)
               if a != b]  # fmt: skip
    assert differs == ["chain"]


def test_text_of_the_data_is_no_tag(sample: list[Record]) -> None:
    record = dataclasses.replace(sample[0], question="what is <think> for", answer="a</think>b", choices=())
    request, said = turns(record, "steps")
    assert "what is < think> for" in request
    assert said.endswith("<answer>a< /think>b</answer>")


def test_bad_input(sample: list[Record]) -> None:
    with pytest.raises(InputError, match="think 'prose'; expected one of steps, open-o3, qwen"):
        instructions(sample[0], ["chain"], think="prose")
    with pytest.raises(InputError, match="think 'qwen' with tasks baseline; expected chain"):
        instructions(sample[0], ["baseline"], think="qwen")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_thought_is_what_the_assistant_says(family: str, sample: list[Record]) -> None:
    pytest.importorskip("torch")
    from cotasks.training.turns import chat_format, render_chat
    from tests.tiny_models import tiny

    processor = tiny(family)[1]
    form = chat_format(processor)
    for think in THOUGHTS:
        [row] = examples_of(instructions(sample[0], ["chain"], family=family, think=think))
        text, [(begin, end)] = render_chat(processor, form, row["messages"])
        said = row["messages"][1]["content"][0]["text"]
        assert text[begin:end] == form.lead + said + form.end
