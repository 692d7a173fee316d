from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.rewards import Asked, ById, Scorer, asked_for, reward, true_text
from cotasks.training.collator import TrainingCollator
from cotasks.training.events import Event, log_event
from cotasks.training.examples import examples_of, instructions
from cotasks.training.export import picture_messages
from cotasks.training.rollouts import PicturePrompts
from cotasks.video.reading import read_frames
from tests.synthetic import make_record, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4")
    return folder


def columns_of(*tasks: str, family: str = "qwen2_5_vl", **changes: Any) -> dict[str, list[Any]]:
    return instructions(make_record("a", 0, **changes), tasks, family=family, num_frames=4)


def collator(videos: Path, report: Callable[[Event], None] = log_event) -> TrainingCollator:
    """One that reads frames, and never collates."""
    return TrainingCollator(None, FAMILIES["qwen2_5_vl"], videos, report=report)


def text_of(content: list[dict[str, Any]]) -> str:
    return "".join(part.get("text") or f"<{part['type']}>" for part in content)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_onevision"])
def test_each_picture_has_the_name_that_the_text_gives_it(family: str) -> None:
    (row,) = examples_of(columns_of("entity_tracking", family=family))
    assert len(row["frame_names"]) == len(row["frames"]) == 4
    shown = text_of(picture_messages(row)[0]["content"])
    assert shown.startswith("".join(f"{name}: <image>" for name in row["frame_names"]))
    assert text_of(picture_messages(row, named=False)[0]["content"]).startswith("<image>" * 4)
    # the true answer speaks of the frames by these names
    said = row["messages"][1]["content"][0]["text"]
    assert any(name in said for name in row["frame_names"])
    (blind,) = examples_of(columns_of("blind", family=family))
    assert blind["frame_names"] == []
    assert "<image>" not in text_of(picture_messages(blind)[0]["content"])


def test_prompts_show_the_frames(videos: Path) -> None:
    columns = columns_of("baseline")
    (row,) = examples_of(columns)
    twice = {name: values * 2 for name, values in columns.items()}
    made = PicturePrompts(collator(videos))(twice)
    assert made["id"] == [row["id"]] * 2
    assert made["readable"] == [True, True]
    assert made["images"][0] is made["images"][1]  # read once
    wanted = read_frames(videos / row["video_path"], row["frames"], (row["width"], row["height"]))
    assert np.array_equal(np.stack([np.asarray(image) for image in made["images"][0]]), wanted)
    (turn,) = made["prompt"][0]
    assert turn["role"] == "user"
    assert all(None not in part.values() for part in turn["content"])
    assert sum(part["type"] == "image" for part in turn["content"]) == 4


def test_frames_that_cannot_be_read_are_black_and_said(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    made = PicturePrompts(collator(tmp_path, events.append))(columns_of("baseline"))
    assert made["readable"] == [False]
    assert len(made["images"][0]) == 4
    assert not np.asarray(made["images"][0][0]).any()
    assert [event["reason"] for event in events] == ["video file missing"]


def test_several_turns_are_no_prompt(videos: Path) -> None:
    with pytest.raises(InputError, match="chain has several turns; expected one question"):
        PicturePrompts(collator(videos))(columns_of("chain"))


@pytest.mark.parametrize(
    ("task", "think", "steps", "answer", "form", "frames"),
    [
        ("entity_tracking", None, (2,), False, "steps", 4),
        ("temporal_relations", None, (4,), False, "steps", 4),
        ("baseline", None, (), True, "steps", 4),
        ("cotasks-12:frames=2", None, (), True, "steps", 2),
        ("chain", "steps", (1, 2, 3, 4), True, "steps", 4),
        ("chain", "open-o3", (1, 2), True, "open-o3", 4),
    ],
)
def test_what_a_task_asks_for_is_what_its_true_answer_earns_all_of(
    task: str, think: str | None, steps: tuple[int, ...], answer: bool, form: str, frames: int
) -> None:
    limits = FAMILIES["qwen2_5_vl"].limits
    asked = asked_for(task, think, family="qwen2_5_vl", limits=limits, num_frames=4)
    assert (asked.steps, asked.answer, asked.form, asked.num_frames) == (steps, answer, form, frames)
    record = make_record("a", 0)
    (row,) = examples_of(instructions(record, (task,), num_frames=4, limits=limits, think=think))
    said = row["messages"][1]["content"][0]["text"]
    found = reward(record, said, asked=asked)
    assert found.value == pytest.approx(reward(record, true_text(record, asked), asked=asked).value)
    assert found.value is not None
    assert found.value > 0.95


def test_a_chain_of_turns_is_no_text() -> None:
    with pytest.raises(InputError, match="several turns; expected one text"):
        asked_for("chain")
    with pytest.raises(InputError, match="unknown task 'step5'"):
        asked_for("step5")


def test_records_are_read_when_they_are_asked_for() -> None:
    from cotasks.records.dataset import load_records

    train, validation = (load_records("sample", split, limit=4) for split in ("train", "validation"))
    both = ById(train, validation)
    assert len(both) == len(train) + len(validation)
    assert list(both) == [*train.ids, *validation.ids]
    assert both[validation.ids[0]] == validation.at(0)
    scorer = Scorer(both, Asked((), rule="exact"))
    assert scorer.value(train.ids[0], train.at(0).answer) is not None
    with pytest.raises(InputError, match="no such record"):
        scorer.value("nobody", "x")
