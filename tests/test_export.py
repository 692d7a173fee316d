from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES, frame_size
from cotasks.records.schema import Span
from cotasks.records.timeline import grid_frames
from cotasks.training import export
from cotasks.training.examples import TASKS, examples_of, instructions
from cotasks.training.export import write_llama_factory, write_ms_swift
from cotasks.video.reading import read_frames
from tests.synthetic import FPS, make_record, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4")
    (folder / "sub").mkdir()
    write_video(folder / "sub" / "b.mp4")
    return folder


def rows_of(tasks: Sequence[str] = TASKS, family: str = "qwen3_vl", **changes: Any) -> list[dict[str, Any]]:
    records = [make_record("a", 0, **changes), make_record("b", 0, **{"video_path": "sub/b.mp4", **changes})]
    return [row for record in records for row in examples_of(instructions(record, tasks, family=family, num_frames=4))]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ms_swift_by_path(tmp_path: Path, videos: Path) -> None:
    rows = rows_of((*TASKS, "blind"))
    path = tmp_path / "out" / "train.jsonl"
    assert write_ms_swift(rows, path, videos) == len(rows) == 14
    for line, row in zip(lines_of(path), rows, strict=True):
        assert set(line) == {"messages", "videos"}
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
