from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Image as ImageFeature
from datasets import List, load_dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES, Limits, frame_size, limits_of
from cotasks.records.schema import Span
from cotasks.records.timeline import grid_frames
from cotasks.training import export
from cotasks.training.examples import TASKS, examples_of, instructions
from cotasks.training.export import write_llama_factory, write_messages, write_ms_swift, write_trl
from cotasks.training.loaders import LOADED, loaded_size, loader_limits
from cotasks.video.reading import read_frames
from tests.synthetic import FPS, make_record, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4")
    (folder / "sub").mkdir()
    write_video(folder / "sub" / "b.mp4")
    return folder


def rows_of(
    tasks: Sequence[str] = TASKS, family: str = "qwen3_vl", limits: Limits | None = None, **changes: Any
) -> list[dict[str, Any]]:
    limits = limits or loader_limits(family)
    records = [make_record("a", 0, **changes), make_record("b", 0, **{"video_path": "sub/b.mp4", **changes})]
    made = [instructions(record, tasks, family=family, num_frames=4, limits=limits) for record in records]
    return [row for columns in made for row in examples_of(columns)]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ms_swift_by_path(tmp_path: Path, videos: Path) -> None:
    rows = rows_of((*TASKS, "blind"))
    path = tmp_path / "out" / "train.jsonl"
    assert write_ms_swift(rows, path, videos) == len(rows) == 14
    for line, row in zip(lines_of(path), rows, strict=True):
        assert set(line) == {"id", "messages", "videos", "boxes"}
        assert line["boxes"] == "[x1, y1, x2, y2] from 0 to 1000 of the frame's width and height"
        assert [m["role"] for m in line["messages"]] == [m["role"] for m in row["messages"]]
        texts = [m["content"][-1]["text"] for m in row["messages"]]
        shown = row["task"] != "blind"
        assert [m["content"] for m in line["messages"]] == ["<video>" * shown + texts[0], *texts[1:]]
        assert line["videos"] == ([str(videos / row["video_path"])] if shown else [])
        assert sum(m["content"].count("<video>") for m in line["messages"]) == len(line["videos"])
    assert [p.name for p in path.parent.iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_onevision"])
def test_frames_are_those_that_the_text_speaks_of(family: str, tmp_path: Path, videos: Path) -> None:
    rows = rows_of(("chain", "cotasks"), family)
    path, frames = tmp_path / "train.jsonl", tmp_path / "frames"
    assert write_ms_swift(rows, path, videos, frames=frames) == 4
    lines = lines_of(path)
    if family == "qwen2_5_vl":
        assert {line["boxes"] for line in lines} == {"[x1, y1, x2, y2] in pixels of a frame 392 wide and 280 high"}
    for line, row in zip(lines, rows, strict=True):
        (pictures,) = line["videos"]
        wanted = read_frames(videos / row["video_path"], row["frames"], (row["width"], row["height"]))
        assert len(pictures) == len(row["frames"]) == 4
        for picture, pixels in zip(pictures, wanted, strict=True):
            found = np.asarray(Image.open(picture))
            assert found.shape == pixels.shape
            assert np.abs(found.astype(int) - pixels).mean() < 5  # JPEG
    before = {p: p.stat().st_mtime_ns for p in frames.rglob("*.jpg")}
    assert len(before) == 8  # each once, for two examples
    write_ms_swift(rows, path, videos, frames=frames)
    assert {p: p.stat().st_mtime_ns for p in frames.rglob("*.jpg")} == before


@pytest.mark.parametrize("with_frames", [False, True])
def test_llama_factory(tmp_path: Path, videos: Path, with_frames: bool) -> None:
    rows = rows_of()
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "other.json"}}')
    frames = tmp_path / "frames" if with_frames else None
    assert write_llama_factory(rows, tmp_path, "cotasks", videos, frames=frames) == 12
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert set(info) == {"other", "cotasks"}
    entry = info["cotasks"]
    assert entry["formatting"] == "sharegpt"
    # read it as LLaMA-Factory does: by `datasets`, columns and tags by the entry
    data = load_dataset("json", data_files=str(tmp_path / entry["file_name"]), split="train")
    for example, row in zip(data, rows, strict=True):
        turns = example[entry["columns"]["messages"]]
        tags = entry["tags"]
        roles = [turn[tags["role_tag"]] for turn in turns]
        assert roles == [tags["user_tag"], tags["assistant_tag"]] * (len(turns) // 2)
        shown = example[entry["columns"]["videos"]]
        assert len(shown) == sum(turn[tags["content_tag"]].count("<video>") for turn in turns) == 1
        assert isinstance(shown[0], list if with_frames else str)
        assert all(Path(file).exists() for file in (shown[0] if with_frames else shown))
        assert turns[-1]["content"] == row["messages"][-1]["content"][0]["text"]


@pytest.mark.parametrize(
    ("family", "tasks", "bound"),
    [
        ("qwen3_vl", TASKS, set()),  # seconds and thousandths: true of the video, whichever frames are taken
        ("qwen2_5_vl", TASKS, {"entity_tracking", "spatial_relations", "temporal_relations", "chain", "cotasks"}),
        ("qwen2_5_vl", ("cotasks-34", "cotasks-24", "baseline"), {"cotasks-24"}),
        (
            "qwen2_vl",
            ("cotasks-4", "cotasks-14", "baseline", "spatial_relations"),
            {"cotasks-4", "cotasks-14", "spatial_relations"},
        ),
    ],
)
def test_what_needs_its_frames(
    family: str, tasks: Sequence[str], bound: set[str], tmp_path: Path, videos: Path
) -> None:
    events: list[dict[str, Any]] = []
    rows = rows_of(tasks, family)
    written = write_ms_swift(rows, tmp_path / "out.jsonl", videos, report=events.append)
    assert {event["task"] for event in events} == bound
    assert {event["reason"] for event in events} <= {"bound to its frames"}
    assert written == len(rows) - len(events)


def test_part_of_a_video_needs_its_frames(tmp_path: Path, videos: Path) -> None:
    rows = rows_of(("baseline",), clip=Span(0.0, 1.2), frames=grid_frames([0, 10, 20, 29], FPS))  # 30 of 60 frames
    with pytest.raises(InputError, match=r"no example can be written; nextqa/validation/b/0: the clip is only a part"):
        write_ms_swift(rows, tmp_path / "out.jsonl", videos, report=lambda event: None)
    assert list(tmp_path.iterdir()) == []
    assert write_ms_swift(rows, tmp_path / "out.jsonl", videos, frames=tmp_path / "frames") == 2


def test_what_cannot_be_written_is_reported_and_the_rest_goes_on(tmp_path: Path, videos: Path) -> None:
    tagged = rows_of(("baseline",), id="x")
    for row in tagged:  # by hand: our own texts hold none
        row["messages"][0]["content"][-1]["text"] = "what is <image> for"
    rows = rows_of(("baseline",)) + tagged
    rows += rows_of(("baseline",), video_path="gone.mp4", id="y")[:1]
    events: list[dict[str, Any]] = []
    assert write_ms_swift(rows, tmp_path / "out.jsonl", videos, report=events.append) == 2
    assert [(e["id"], e["reason"]) for e in events] == [
        ("x", "tag in the text"),
        ("x", "tag in the text"),
        ("y", "video file missing"),
    ]
    assert len(lines_of(tmp_path / "out.jsonl")) == 2


def test_no_frame_is_larger_than_what_the_words_tell_llama_factory() -> None:
    told = 602_112
    assert f"video_max_pixels: {told}" in (export.write_llama_factory.__doc__ or "")
    assert f"{told:,}" in (export.__doc__ or "")
    assert f"video_max_pixels: {told}" in (Path(__file__).parents[1] / "examples" / "README.md").read_text()
    in_pixels = [family for family in FAMILIES.values() if family.coordinates == "pixels"]
    assert [family.limits.max_pixels for family in in_pixels] == [told]
    width, height = frame_size(in_pixels[0], 3840, 2160, num_frames=64)
    assert 65_536 < width * height <= told


def test_bad_input(tmp_path: Path, videos: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        write_ms_swift(rows_of(), tmp_path / "out.jsonl", tmp_path / "nowhere")
    with pytest.raises(InputError, match="no example was given"):
        write_ms_swift([], tmp_path / "out.jsonl", videos)
    (tmp_path / "dataset_info.json").write_text("[]")
    with pytest.raises(InputError, match=r"dataset_info\.json: not a JSON object"):
        write_llama_factory(rows_of(), tmp_path, "cotasks", videos)
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset_info\.json: not JSON"):
        write_llama_factory(rows_of(), tmp_path, "cotasks", videos)


# --- what other tools' loaders make of the frames

SIZES = [(w, h) for w, h in [(1280, 720), (640, 360), (640, 480), (360, 640), (480, 270), (1920, 1080), (320, 240)]]


def test_sizes_that_the_loader_changes() -> None:
    assert loaded_size((644, 364), 64) == (672, 336)
    assert loaded_size((672, 336), 64) == (672, 336)
    family = FAMILIES["qwen2_5_vl"]
    changed = [size for w, h in SIZES if loaded_size(size := frame_size(family, w, h, 64), 64) != size]
    assert len(changed) >= 4


@given(st.integers(48, 4000), st.integers(48, 4000), st.integers(1, 200), st.sampled_from(["qwen2_5_vl", "qwen2_vl"]))
def test_with_its_limits_the_loader_changes_nothing(width: int, height: int, frames: int, name: str) -> None:
    if max(width, height) > 4 * min(width, height):
        return  # there may be no such size
    size = frame_size(FAMILIES[name], width, height, frames, limits=loader_limits(name))
    assert loaded_size(size, frames) == size


def test_limits_of_families_that_it_does_not_load() -> None:
    assert FAMILIES.keys() >= LOADED
    for name in FAMILIES.keys() - LOADED:
        assert loader_limits(name) == FAMILIES[name].limits
    size = frame_size(FAMILIES["qwen3_vl"], 1280, 720, 8, limits=loader_limits("qwen3_vl"))
    assert loaded_size(size, 8, multiple=32) == size


def test_boxes_of_another_size_are_not_written(tmp_path: Path, videos: Path) -> None:
    limits = dataclasses.replace(FAMILIES["qwen2_5_vl"].limits, min_pixels=120_000)
    rows = rows_of(("cotasks", "cotasks-34", "baseline"), "qwen2_5_vl", limits)
    assert {(row["width"], row["height"]) for row in rows} == {(420, 308)}
    events: list[dict[str, Any]] = []
    for write in (write_ms_swift, write_messages):
        events.clear()
        assert write(rows, tmp_path / "out.jsonl", videos, frames=tmp_path / "f", report=events.append) == 4
        assert {(event["task"], event["reason"]) for event in events} == {("cotasks", "resized by the loader")}
        assert 'which the loader makes 448x336; make the examples with limits=loader_limits("qwen2_5_vl")' in str(
            events[0]["detail"]
        )
    assert write_llama_factory(rows, tmp_path, "x", videos, frames=tmp_path / "f") == 6
    assert write_trl(rows, tmp_path / "trl.jsonl", videos, frames=tmp_path / "f") == 6


@pytest.mark.parametrize("size", [(644, 364), (672, 336), (392, 280), (56, 56), (1372, 784), (336, 616), (28, 1120)])
@pytest.mark.parametrize("patch", [14, 16])
def test_the_real_loader_follows_the_rule(size: tuple[int, int], patch: int) -> None:
    vision = pytest.importorskip("qwen_vl_utils.vision_process")
    pictures = [Image.new("RGB", size)] * 3
    video = vision.fetch_video({"video": pictures}, image_patch_size=patch)
    assert tuple(video.shape[:1:-1]) == loaded_size(size, 3, 2 * patch)


def test_the_real_loader_leaves_exported_frames_alone(tmp_path: Path, videos: Path) -> None:
    vision = pytest.importorskip("qwen_vl_utils")
    rows = rows_of(("cotasks", "baseline"), "qwen2_5_vl")
    path = tmp_path / "messages.jsonl"
    assert write_messages(rows, path, videos, frames=tmp_path / "frames") == 4
    for line, row in zip(load_dataset("json", data_files=str(path), split="train"), rows, strict=True):
        messages = [
            {**m, "content": [{k: v for k, v in part.items() if v is not None} for part in m["content"]]}
            for m in line["messages"]
        ]
        _, shown = vision.process_vision_info(messages)
        assert tuple(shown[0].shape) == (4, 3, row["height"], row["width"])
        wanted = read_frames(videos / row["video_path"], row["frames"], (row["width"], row["height"]))
        assert np.abs(shown[0].permute(0, 2, 3, 1).numpy() - wanted).mean() < 5  # JPEG


def test_messages_by_path(tmp_path: Path, videos: Path) -> None:
    rows = rows_of(("baseline", "blind"))
    write_messages(rows, tmp_path / "out.jsonl", videos)
    for line, row in zip(lines_of(tmp_path / "out.jsonl"), rows, strict=True):
        (first, *others), *_ = (message["content"] for message in line["messages"])
        if row["task"] == "baseline":
            assert first == {"type": "video", "video": str(videos / row["video_path"]), "text": None}
            first = others[0]
        assert first == {"type": "text", "video": None, "text": row["messages"][0]["content"][-1]["text"]}
        assert line["id"] == row["id"]


@pytest.mark.slow
def test_trl_sees_the_frames_that_the_text_speaks_of(tmp_path: Path, videos: Path) -> None:
    trainer = pytest.importorskip("trl.trainer.sft_trainer")
    from tests.tiny_models import tiny

    processor = tiny("qwen2_5_vl")[1]
    limits = limits_of(processor, FAMILIES["qwen2_5_vl"])
    rows = rows_of(("chain", "baseline", "blind"), "qwen2_5_vl", limits)
    assert write_trl(rows, tmp_path / "out.jsonl", videos, frames=tmp_path / "frames") == len(rows)
    data = load_dataset("json", data_files=str(tmp_path / "out.jsonl"), split="train")
    data = data.cast_column("images", List(ImageFeature()))
    collator = trainer.DataCollatorForVisionLanguageModeling(processor)
    for example, row in zip(data, rows, strict=True):
        for message in example["messages"]:
            message["content"] = [{k: v for k, v in part.items() if v is not None} for part in message["content"]]
        batch = collator([example])
        shown = batch["image_grid_thw"].tolist() if row["frames"] else []
        assert shown == [[1, row["height"] // 14, row["width"] // 14]] * len(row["frames"])
        assert row["messages"][-1]["content"][0]["text"] in processor.tokenizer.decode(batch["input_ids"][0])
