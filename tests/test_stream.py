"""Shards of records with their frames, and streams of them: nothing lost, nothing twice, on any number of processes."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import FEATURES, Record
from cotasks.video import read_frames
from tests.examples import examples
from tests.finetune_runs import losses, run_here
from tests.synthetic import make_record, number_of, write_folder, write_video

pytest.importorskip("torch")

from cotasks.training.shards import Encoding, plan_shards, write_shards
from cotasks.training.stored import as_file, decoded_frames
from cotasks.training.stream import Examples, Source, Stream
from tests.stream_runs import SAVE_EVERY, TASKS, as_they_are, name_only

ROOT = Path(__file__).parents[1]
QUESTIONS = (3, 1, 2, 4, 1, 2, 3)
"""Of each video: 16 in all, unevenly."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`videos`, and `built` over them."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").mkdir()
    made = []
    for number, questions in enumerate(QUESTIONS):
        write_video(folder / "videos" / f"v{number}.mp4")
        made += [make_record(f"v{number}", question) for question in range(questions)]
    write_folder(folder / "built", made, split="train")
    return folder


@functools.cache
def records_of(world: Path) -> Records:
    return load_records(str(world / "built"), "train")


@pytest.fixture(scope="module")
def shards(world: Path) -> Path:
    """Five shards, of 2 to 5 rows."""
    written = write_shards(records_of(world), world / "videos", world / "shards", rows_a_shard=2, threads=1)
    assert (len(written.shards), written.rows, written.skipped) == (5, 16, 0)
    return world / "shards"


def stream_of(shards: Path, *, workers: int = 0, process: int = 0, processes: int = 1, **more: Any) -> Stream:
    options = {"batch_size": 2, "make": name_only, "collate": as_they_are, **more}
    source = Source(str(shards), tasks=TASKS, seed=options.pop("seed", 0), weights=options.pop("weights", {}))
    place = {"process": process, "processes": processes, "workers": workers}
    rows = opened(shards) if shards.exists() else None
    return Stream(source, options.pop("make"), options.pop("collate"), **options, **place, rows=rows)


@functools.cache
def opened(shards: Path) -> Any:
    """Opening takes a while."""
    return Source(str(shards)).open()


def epochs_of(stream: Stream, epochs: int) -> list[list[tuple[str, str]]]:
    """What each of the first epochs of a process holds, in order."""
    found: list[list[tuple[str, str]]] = [[] for _ in range(epochs)]
    for batch in stream:
        if stream.epoch >= epochs:
            return found
        found[stream.epoch] += [(row["id"], row["task"]) for row in batch]
    raise AssertionError("a stream has no end")


def all_examples(world: Path) -> Counter[tuple[str, str]]:
    return Counter((id_, task) for id_ in records_of(world).ids for task in TASKS)


# shards


def test_shards_hold_the_records_and_their_frames(world: Path, shards: Path) -> None:
    rows = load_dataset(str(shards), split="train")
    records = records_of(world)
    assert sorted(rows["id"]) == sorted(records.ids)
    for row in rows:
        truth = records.by_id(row["id"])
        assert Record.from_row({name: row[name] for name in FEATURES}) == truth
        assert [number_of(np.asarray(image)) for image in row["images"]] == [frame.index for frame in truth.frames]


def test_frames_are_stored_once_a_video(shards: Path) -> None:
    for path in shards.glob("*.parquet"):
        group = pq.ParquetFile(path).metadata.row_group(0)
        columns = [group.column(number) for number in range(group.num_columns)]
        (images,) = [column for column in columns if column.path_in_schema == "images.list.element.bytes"]
        rows = pq.read_table(path, columns=["video_id", "images"]).to_pylist()
        once = {row["video_id"]: sum(len(image["bytes"]) for image in row["images"]) for row in rows}
        assert images.total_uncompressed_size < sum(once.values()) + 64 * len(rows) + 1000


def test_videos_stay_whole_and_shards_even() -> None:
    assert plan_shards(["a", "a", "b", "c", "c", "c", "d"], 3) == [range(0, 3), range(3, 6), range(6, 7)]
    assert plan_shards([], 3) == []


def test_what_cannot_be_read_is_listed_and_a_stopped_write_goes_on(world: Path, tmp_path: Path) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    for path in (world / "videos").iterdir():
        (videos / path.name).write_bytes(path.read_bytes() if path.name != "v3.mp4" else b"no video")
    records = records_of(world)
    written = write_shards(records, videos, out, rows_a_shard=2, threads=1)
    assert (written.rows, written.skipped) == (12, 4)
    listed = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in listed} == {"not a video"}
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in written.shards}
    written.shards[1].unlink()
    assert write_shards(records, videos, out, rows_a_shard=2, threads=1) == written
    assert {path: path.read_bytes() for path in before} == {path: was for path, (was, _) in before.items()}
    changed = {path for path, (_, when) in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {written.shards[1]}
    with pytest.raises(InputError, match="quality is 90, in this command 50"):
        write_shards(records, videos, out, rows_a_shard=2, encoding=Encoding(quality=50))


def test_a_stored_frame_is_the_frame(world: Path) -> None:
    """To the bit as PNG, closely as JPEG; smaller where asked for."""
    size = (112, 84)
    truth = read_frames(world / "videos" / "v0.mp4", [0, 30], size)
    large = read_frames(world / "videos" / "v0.mp4", [0, 30])
    stored = [Encoding("png").encode(frame) for frame in large]
    assert (decoded_frames(stored, size) == truth).all()
    lossy = decoded_frames([Encoding().encode(frame) for frame in large], size)
    assert 0 < np.abs(lossy.astype(int) - truth).mean() < 3
    assert Encoding(max_pixels=64 * 48).size(128, 96) == (64, 48)
    with pytest.raises(InputError, match="frame 0 of a row: not a picture"):
        decoded_frames([b"no picture"], size)
    with as_file((world / "videos" / "v0.mp4").read_bytes(), "a/v0.mp4") as path:
        assert (read_frames(path, [0, 30], size) == truth).all()


# streams


@examples(6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(processes=st.integers(1, 5), seed=st.integers(0, 99), batch_size=st.integers(1, 5))
def test_each_example_once_an_epoch_whatever_divides_evenly(
    world: Path, shards: Path, processes: int, seed: int, batch_size: int
) -> None:
    streams = [
        stream_of(shards, process=process, processes=processes, seed=seed, batch_size=batch_size)
        for process in range(processes)
    ]
    parts = [epochs_of(stream, 2) for stream in streams]
    orders = [[example for part in parts for example in part[epoch]] for epoch in range(2)]
    assert [Counter(order) for order in orders] == [all_examples(world)] * 2
    assert orders[0] != orders[1]  # shuffled anew


@examples(6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stop=st.integers(0, 24), batch_size=st.integers(1, 5))
def test_a_stream_goes_on_where_it_was(world: Path, shards: Path, stop: int, batch_size: int) -> None:
    whole = iter(stream_of(shards, processes=2, batch_size=batch_size))
    first = stream_of(shards, processes=2, batch_size=batch_size)
    batches = iter(first)
    before = [next(batches) for _ in range(stop)]
    state = json.loads(json.dumps(first.state_dict()))
    second = stream_of(shards, processes=2, batch_size=batch_size)
    second.load_state_dict(state)
    later = iter(second)
    assert before + [next(later) for _ in range(12)] == [next(whole) for _ in range(stop + 12)]


def test_weights_and_steps_reach_the_rows(world: Path, shards: Path) -> None:
    stream = stream_of(shards, weights={"baseline": 3.0, "cotasks": 0.0}, accumulate=2, batch_size=1)
    (found,) = epochs_of(stream, 1)
    assert Counter(found) == Counter({(id_, "baseline"): 3 for id_ in records_of(world).ids})
    batches = iter(stream_of(shards, accumulate=2, batch_size=1))
    assert [next(batches)[0]["step"] for _ in range(6)] == [0, 0, 1, 1, 2, 2]


def test_odd_streams_are_one_line(world: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 shards for 6 processes; expected one for each"):
        stream_of(shards, processes=6)
    with pytest.raises(InputError, match="cannot be streamed"):
        stream_of(tmp_path / "nowhere")
    with pytest.raises(InputError, match="go on with as many"):
        stream_of(shards, processes=2).load_state_dict(stream_of(shards).state_dict())
    stream = stream_of(shards, make=lambda row, task, step: None)
    with pytest.raises(InputError, match="nothing to learn in 10 epochs"):
        next(iter(stream))


def test_streamed_examples_are_those_of_plain_reading(world: Path, shards: Path) -> None:
    """The same text; the same frames, but for JPEG."""
    from cotasks.models.families import FAMILIES
    from cotasks.training.collator import TrainingCollator
    from cotasks.training.examples import examples_of, instructions
    from tests.tiny_models import tiny

    processor = tiny("qwen2_5_vl")[1]
    collator = TrainingCollator(processor, FAMILIES["qwen2_5_vl"], world / "videos")
    options = {"family": "qwen2_5_vl", "num_frames": 4}
    batch = next(iter(stream_of(shards, make=Examples(options), collate=as_they_are)))
    for example in batch:
        record = records_of(world).by_id(example["id"])
        (plain,) = examples_of(instructions(record, (example["task"],), **options))
        assert {name: value for name, value in example.items() if name != "images"} == plain
        ours, theirs = collator([example]), collator([plain])
        assert (ours["input_ids"] == theirs["input_ids"]).all()
        assert (ours["labels"] == theirs["labels"]).all()
        difference = (ours["pixel_values_videos"] - theirs["pixel_values_videos"]).abs().mean()
        assert 0 < difference < 0.1


def test_videos_in_the_rows_are_read_too(world: Path, tmp_path: Path) -> None:
    """What `cotasks push --embed-videos` writes."""
    from cotasks.builders.publish import embed
    from cotasks.models.families import FAMILIES
    from cotasks.training.collator import TrainingCollator
    from tests.tiny_models import tiny

    source = sorted((world / "built").rglob("*.parquet"))
    sizes = embed.find_videos(embed.read_video_paths(source), world / "videos")
    assert [*embed.write_shards({"train": source}, world / "videos", sizes, tmp_path)]
    batch = next(iter(stream_of(tmp_path, make=Examples({"num_frames": 4}))))
    plain = [{name: value for name, value in row.items() if name != "video"} for row in batch]
    processor = tiny("qwen2_5_vl")[1]
    ours = TrainingCollator(processor, FAMILIES["qwen2_5_vl"])(batch)
    theirs = TrainingCollator(processor, FAMILIES["qwen2_5_vl"], world / "videos")(plain)
    assert (ours["pixel_values_videos"] == theirs["pixel_values_videos"]).all()


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_each_example_comes_once(world: Path, tmp_path: Path) -> None:
    """Two processes of three workers, seven shards; all are killed at once, as when a machine goes down."""
    shards = tmp_path / "shards"
    assert len(write_shards(records_of(world), world / "videos", shards, rows_a_shard=1, threads=1).shards) == 7

    def taken(process: int) -> list[list[list[str]]]:
        path = tmp_path / f"taken-{process}.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def start() -> list[subprocess.Popen[bytes]]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.stream_runs", str(shards), str(tmp_path)]
        return [
            subprocess.Popen([*command, str(n), "2", "3"], env=environment, cwd=ROOT, start_new_session=True)
            for n in range(2)
        ]

    running = start()
    try:
        deadline = time.monotonic() + 300
        while any(len(taken(n)) <= SAVE_EVERY for n in range(2)):
            assert time.monotonic() < deadline
            assert all(one.poll() is None for one in running)
            time.sleep(0.01)
    finally:
        for one in running:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
    assert [len(taken(n)) for n in range(2)] == [SAVE_EVERY + 1] * 2  # one more than what the kept place says
    (tmp_path / "go").touch()
    for one in start():
        assert one.wait(300) == 0
    found = Counter((id_, task) for n in range(2) for batch in taken(n) for id_, task in batch)
    assert found == all_examples(world)


@pytest.mark.parametrize("script", ["finetune_accelerate.py", "finetune_trl.py"])
def test_an_example_learns_from_a_stream_and_goes_on(script: str, shards: Path, tmp_path: Path) -> None:
    """A run that stopped after its second step, whose later checkpoints and log are gone, does the rest the same."""
    pytest.importorskip("trl" if "trl" in script else "accelerate")
    learn = ["--model", "tiny", "--data", str(shards), "--stream", "--num-frames", "4", "--batch-size", "2"]
    learn += ["--task", "cotasks", "--task", "baseline", "--max-steps", "4", "--save-every", "2", "--keep", "9"]
    learn += ["--learning-rate", "1e-3", "--log-every", "1", "--noise", "0..1:corrupt=1,kind=triples"]
    out = tmp_path / "out"
    assert run_here([script], learn, out) == 0
    whole = losses(out)
    assert list(whole) == [1, 2, 3, 4]
    for last in ("step-00000004", "checkpoint-4"):
        shutil.rmtree(out / "checkpoints" / last, ignore_errors=True)
    assert run_here([script], learn, out) == 0
    assert losses(out) == whole
    assert not (out / "report.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "--stream without --max-steps"),
        (("--max-steps", "2", "--limit", "4"), "--limit with --stream"),
        (("--max-steps", "2", "--own-share", "1"), "expected --own-predictions"),
    ],
)
def test_what_does_not_go_with_a_stream_is_one_line(
    more: tuple[str, ...], words: str, shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    learn = ["--model", "tiny", "--data", str(shards), "--stream", *more]
    assert run_here(["finetune_accelerate.py"], learn, tmp_path / "out") == 2
    assert words in capfd.readouterr().err
