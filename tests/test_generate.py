from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main as cli
from cotasks.errors import InputError
from cotasks.generate import backends, prepare
from cotasks.generate import run as generate_module
from cotasks.generate.ahead import Waited, ahead
from cotasks.generate.local import ask
from cotasks.generate.local.batching import Batching, Capacity, Window
from cotasks.generate.local.vision import Reuse, reuse_of
from cotasks.generate.processes import Processes
from cotasks.generate.run import GenerateResult, generate
from cotasks.generate.sampling import Sampling
from cotasks.models.load import load_model
from cotasks.prompts import prompt as prompts
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record, Span
from cotasks.records.timeline import grid_frames
from cotasks.runs.folder import locked, read_failures, read_generations, read_questions, read_settings
from cotasks.sample import TOY_DIR
from cotasks.tools.files import read_jsonl
from cotasks.video.reading import read_frames
from tests.model_options import grouped
from tests.processes import FORKSERVER
from tests.synthetic import FPS, make_record, number_of, write_folder, write_video

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("av")

BOTH = ("baseline", "cotasks")
TOKENS = 6
tiny = cache(load_model)


@pytest.fixture(autouse=True)
def one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load each model once for all tests."""
    monkeypatch.setattr(backends, "load_model", tiny)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Three videos with two questions each."""
    return make_world(tmp_path / "world", videos=3, questions=2)


def make_world(folder: Path, videos: int, questions: int) -> Path:
    (folder / "videos").mkdir(parents=True)
    for video in range(videos):
        write_video(folder / "videos" / f"v{video}.mp4", gop=12)
    write_folder(folder / "data", [make_record(f"v{v}", q) for v in range(videos) for q in range(questions)])
    return folder


def run(world: Path, out: Path, *names: str, records: Records | None = None, **options: Any) -> GenerateResult:
    options = {"videos": world / "videos", "max_new_tokens": TOKENS, "progress": False, "batch_size": 4, **options}
    conditions = [parse_condition(name) for name in names or BOTH]
    model = options.pop("model", "tiny")
    return generate(records or load_records(str(world / "data")), conditions, model, out, **grouped(**options))


def answers(out: Path) -> dict[Any, str]:
    return {key: row["answer"] for key, row in read_generations(out).items()}


def shard(out: Path) -> Path:
    """The one file that a single process writes its answers to."""
    return out / "generations" / Processes().shard


def replace_records(world: Path, **changes: Any) -> Records:
    """The world's records with fields changed."""
    rows = [dataclasses.replace(r, **changes) for r in load_records(str(world / "data"))]
    return load_records(str(write_folder(world / "changed", rows)))


def test_a_run_holds_every_answer_and_all_that_shaped_it(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(world, out)
    assert result == GenerateResult(total=12, done=12, new=12, failures={})
    assert result.complete
    rows = list(read_jsonl(next((out / "generations").iterdir())))
    assert {(r["id"], r["condition"], r["sample"]) for r in rows} == {
        (f"nextqa/validation/v{v}/{q}", c, 0) for v in range(3) for q in range(2) for c in BOTH
    }
    for row in rows:
        assert row["answer"] == row["answer"].strip()
        assert row["finish_reason"] in ("stop", "length")
        assert (row["answer_tokens"] == TOKENS) == (row["finish_reason"] == "length")
        assert row["prompt_tokens"] > (200 if row["condition"] == "cotasks" else 50)
        assert row["id"].split("/")[2] == row["video_id"]
    settings = read_settings(out)
    assert settings["dataset"]["fingerprint"] == load_records(str(world / "data")).fingerprint
    assert settings["conditions"]["cotasks"]["steps"] == [1, 2, 3, 4]
    assert settings["model"]["dtype"] == "float32"
    assert "mean nothing" in settings["model"]["note"]
    assert settings["versions"]["transformers"]
    questions = read_questions(out)
    assert len(questions) == 6
    assert questions["nextqa/validation/v0/1"] == {
        "id": "nextqa/validation/v0/1",
        "source": "nextqa",
        "span_origin": "whole",
        "entity_origin": "whole",
        "used_answer": False,
        "grid_share": 1.0,
        "entity_share": 1.0,
        "video_id": "v0",
        "category": "causal",
        "question_type": "CW",
        "question": "why did the dog of v0 run after the ball again and again",
        "answer": "to play",
        "additional_answers": [],
        "choices": [],
        "answer_index": -1,
    }


def test_answers_do_not_depend_on_the_batch(world: Path, tmp_path: Path) -> None:
    names = (*BOTH, "blind", "cotasks-12:frames=3")
    ways: list[dict[str, Any]] = [
        {"batch_size": 1, "vision_reuse": False, "prefix_reuse": False},
        {"batch_size": 1},
        {"batch_size": 4, "vision_reuse": False, "prefix_reuse": False},
        {"batch_size": 7, "prefix_reuse": False, "workers": 1},
        {"batch_tokens": 1500, "workers": 3},
        {},
    ]
    found = []
    for i, way in enumerate(ways):
        run(world, tmp_path / str(i), *names, **{"batch_size": 64, **way})
        found.append(answers(tmp_path / str(i)))
    assert len(found[0]) == 24
    assert all(other == found[0] for other in found)
    assert len(set(found[0].values())) > 12  # else equality would say little


def test_a_finished_run_is_not_asked_again(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path)
    before = shard(tmp_path).read_bytes()
    assert run(world, tmp_path, batch_size=2).new == 0
    assert shard(tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_new_tokens": TOKENS + 1}, "max_new_tokens"),
        ({"dtype": "bfloat16"}, "model.dtype"),
        ({"num_frames": 3}, "conditions.baseline.num_frames"),
    ],
)
def test_other_settings_are_refused_by_name(options: Any, field: str, world: Path, tmp_path: Path) -> None:
    run(world, tmp_path)
    with pytest.raises(InputError, match=rf"run\.json: {field} is "):
        run(world, tmp_path, **options)


def test_other_data_and_conditions_are_refused(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, "baseline")
    with pytest.raises(InputError, match=r"conditions\.cotasks\."):
        run(world, tmp_path, *BOTH)
    write_folder(world / "data", [make_record("v0", 0, question="what else")])
    with pytest.raises(InputError, match=r"dataset\.fingerprint is "):
        run(world, tmp_path, "baseline")


def test_one_run_at_a_time(world: Path, tmp_path: Path) -> None:
    with locked(tmp_path, "generate"), pytest.raises(InputError, match="another process"):
        run(world, tmp_path)


def test_a_bad_video_fails_its_own_records_only(world: Path, tmp_path: Path) -> None:
    bad = world / "videos" / "v1.mp4"
    good = bad.read_bytes()
    bad.write_bytes(b"nothing")
    result = run(world, tmp_path)
    assert result == GenerateResult(total=12, done=8, new=8, failures={"not a video": 4})
    failures = read_failures(tmp_path)
    assert {key[:2] for key in failures} == {(f"nextqa/validation/v1/{q}", c) for q in range(2) for c in BOTH}
    assert all(str(bad) in row["detail"] and row["video_id"] == "v1" for row in failures.values())
    # again: what failed is left alone, unless it is asked for
    bad.write_bytes(good)
    assert run(world, tmp_path).failures == {"not a video": 4}
    assert run(world, tmp_path, retry_failures=True) == GenerateResult(total=12, done=12, new=4, failures={})
    assert read_failures(tmp_path) == {}


def test_a_video_without_the_frames_of_one_record_serves_the_others(world: Path, tmp_path: Path) -> None:
    rows: list[Record] = list(load_records(str(world / "data")))
    rows[0] = make_record("v0", 0, frame_count=100)
    result = run(world, tmp_path, "baseline", records=load_records(str(write_folder(world / "changed", rows))))
    assert result.failures == {"frame beyond the end of the video": 1}
    assert result.done == 5


def test_any_error_of_a_decoder_fails_its_own_video_only(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(path: Path, *others: Any) -> Any:
        if path.name == "v1.mp4":
            raise MemoryError("no memory for 6 frames")
        return read_frames(path, *others)

    monkeypatch.setattr(prepare, "read_frames", decode)
    result = run(world, tmp_path)
    assert (result.done, result.failures) == (8, {"MemoryError": 4})


def test_what_fails_alone_does_not_fail_its_batch(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "plain", lambda text: text)  # which would make text of the placeholder
    rows: list[Record] = list(load_records(str(world / "data")))
    rows[2] = dataclasses.replace(rows[2], question="what is <|video_pad|>")
    records = load_records(str(write_folder(world / "changed", rows)))
    result = run(world, tmp_path, "baseline", records=records, batch_size=6)
    assert result.done == 5
    assert result.failures == {"video placeholders": 1}
    assert [key[0] for key in read_failures(tmp_path)] == [rows[2].id]
    run(world, tmp_path / "alone", "baseline")
    expected = answers(tmp_path / "alone")
    assert answers(tmp_path) == {key: text for key, text in expected.items() if key[0] != rows[2].id}


def asking(world: Path, model: Any, **changes: Any) -> ask.LocalAsking:
    """All that `cotasks.generate.local.ask` needs to ask the world's records under both conditions."""
    records = load_records(str(world / "data"))
    values = {
        "records": records,
        "conditions": [parse_condition(name) for name in BOTH],
        "pending": {(i, c, 0) for i in records.ids for c in BOTH},
        "video_folder": world / "videos",
        "model": model,
        "sampling": Sampling(max_new_tokens=TOKENS),
        "capacity": Capacity(100_000, 64, TOKENS),
        "reuse": reuse_of(model),
        "workers": 1,
    }
    return ask.LocalAsking(**{**values, **changes})


def ask_all(what: ask.LocalAsking) -> tuple[list[Any], list[Any]]:
    """All answers and failures."""
    videos = iter([[0, 1], [2, 3], [4, 5]])
    outcomes = list(ask.outcomes(what, videos, lambda: False))
    return [row for rows, _ in outcomes for row in rows], [row for _, rows in outcomes for row in rows]


@pytest.mark.parametrize("reuse", [Reuse(False, False), Reuse(True, False), Reuse(True, True)])
def test_a_batch_too_large_for_the_memory_is_halved_for_good(
    reuse: Reuse, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    answer = ask._answer

    def small(what: Any, rows: Any) -> Any:
        sizes.append((what.capacity.cost(rows, reuse), len(rows)))
        if len(rows) > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return answer(what, rows)

    monkeypatch.setattr(ask, "_answer", small)
    what = asking(world, tiny("tiny"), reuse=reuse, capacity=Capacity(100_000, 4, TOKENS))
    done, failed = ask_all(what)
    assert len(done) == 12
    assert failed == []
    assert [rows for _, rows in sizes[:3]] == [4, 2, 2]
    tokens = what.capacity.tokens
    assert tokens == min(cost for cost, rows in sizes if rows > 2) // 2
    assert len([cost for cost, rows in sizes if rows > 2]) <= 2  # of long prompts, and of short ones
    for cost, rows in sizes[-4:]:
        assert cost <= tokens or rows == 1


def test_a_prompt_too_large_for_the_memory_is_a_failure(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask._answer

    def small(what: Any, rows: Any) -> Any:
        if any(row.item.key[1] == "cotasks" for row in rows):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.")
        return answer(what, rows)

    monkeypatch.setattr(ask, "_answer", small)
    done, failed = ask_all(asking(world, tiny("tiny")))
    assert [row["condition"] for row in done] == ["baseline"] * 6
    assert [row["reason"] for row in failed] == ["out of memory"] * 6


def test_a_prompt_is_asked_again_without_what_was_kept_of_other_videos(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, tried = ask._answer, []

    def crowded(what: Any, rows: Any) -> Any:
        tried.append(rows[0].item.key)
        if any(video.prefixes for video in what.shown if video is not rows[0].video):
            raise torch.cuda.OutOfMemoryError("out of memory")
        return answer(what, rows)

    monkeypatch.setattr(ask, "_answer", crowded)
    what = asking(world, tiny("tiny"), capacity=Capacity(1, 1, TOKENS))
    hold: list[Any] = []
    add = Window.add
    monkeypatch.setattr(Window, "add", lambda self, rows: hold.append(rows) or add(self, rows))  # so that videos stay
    done, failed = ask_all(what)
    assert (len(done), failed) == (12, [])
    assert 12 < len(tried) <= 24


def test_batches_fill_the_budget(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Any] = []
    answer = ask._answer
    monkeypatch.setattr(ask, "_answer", lambda what, rows: batches.append(rows) or answer(what, rows))
    for reuse in (Reuse(True, True), Reuse(True, False)):
        batches.clear()
        what = asking(world, tiny("tiny"), reuse=reuse, capacity=Capacity(2500, 64, TOKENS))
        ask_all(what)
        costs = [what.capacity.cost(rows, reuse) for rows in batches]
        assert sum(len(rows) for rows in batches) == 12
        assert max(costs) <= 2500
        full = batches[:-2]  # the last ones take what is left
        needed = sum(row.tokens + TOKENS for rows in full for row in rows)
        assert sum(costs[:-2]) < 1.1 * needed  # the rest is padding
        assert all(cost > 1700 for cost in costs[:-2])


def test_a_lost_device_stops_the_run(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(ask, "_answer", lost)
    with pytest.raises(RuntimeError, match="CUDA error"):
        run(world, tmp_path)
    assert read_failures(tmp_path) == {}


def test_a_prompt_longer_than_the_context_is_a_failure(world: Path) -> None:
    model = dataclasses.replace(tiny("tiny"), context_length=200)
    done, failed = ask_all(asking(world, model))
    assert [row["condition"] for row in done] == ["baseline"] * 6
    assert [row["reason"] for row in failed] == ["prompt too long"] * 6


def test_sampled_answers_depend_on_the_seed_and_the_key_alone(world: Path, tmp_path: Path) -> None:
    hot = Sampling(num_samples=3, temperature=1.5, top_p=0.95, top_k=40)
    result = run(world, tmp_path / "a", sampling=hot, batch_size=5)
    assert result.complete
    assert result.total == 36
    found = answers(tmp_path / "a")
    assert {key[2] for key in found} == {0, 1, 2}
    assert len(set(found.values())) > 30
    for size, out in ((1, tmp_path / "b"), (64, tmp_path / "c")):
        run(world, out, sampling=hot, batch_size=size, prefix_reuse=size > 1)
        assert answers(out) == found
    run(world, tmp_path / "d", sampling=dataclasses.replace(hot, seed=1))
    assert answers(tmp_path / "d") != found
    assert read_settings(tmp_path / "d")["sampling"] == {
        "do_sample": True,
        "num_beams": 1,
        "repetition_penalty": 1.0,
        "num_samples": 3,
        "temperature": 1.5,
        "top_p": 0.95,
        "top_k": 40,
        "seed": 1,
    }
    with pytest.raises(InputError, match=r"sampling\.num_samples is 3, in this command 2"):
        run(world, tmp_path / "a", sampling=dataclasses.replace(hot, num_samples=2))


def test_sampling_draws_by_the_model_s_probabilities() -> None:
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0]).log_softmax(0)
    keys = [(f"q{i}", "baseline", 0) for i in range(4000)]
    (draw,) = Sampling(temperature=2.0, top_k=3, seed=7, max_new_tokens=2).logits_processors(keys)
    drawn = draw(torch.zeros((4000, 1), dtype=torch.long), scores.expand(4000, -1)).argmax(-1)
    expected = (torch.tensor([2.0, 1.0, 0.0]) / 2).softmax(0) * 4000
    counts = torch.bincount(drawn, minlength=4)
    assert counts[3] == 0
    assert (counts[:3] - expected).abs().max() < 4 * 4000**0.5 / 2  # four standard deviations at most
    again = draw(torch.zeros((4000, 1), dtype=torch.long), scores.expand(4000, -1)).argmax(-1)
    assert (again != drawn).float().mean() > 0.4  # each step has numbers of its own


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_samples": 0}, "num_samples 0"),
        ({"num_samples": 2}, "would be equal"),
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p 0.0"),
        ({"temperature": 1.0, "top_k": -1}, "top_k -1"),
        ({"top_k": 5}, "give a temperature"),
    ],
)
def test_sampling_that_cannot_be_meant(wrong: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampling(**wrong)


def test_a_video_is_decoded_once_for_all_questions_and_conditions(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(path: Path, *rest: Any) -> Any:
        read.append(path.name)
        return read_frames(path, *rest)

    monkeypatch.setattr(prepare, "read_frames", counted)
    assert run(world, tmp_path, *BOTH, "cotasks-34:frames=4").complete
    assert sorted(read) == ["v0.mp4", "v1.mp4", "v2.mp4"]


def test_prompts_get_their_own_frames_counted_from_the_clip(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", gop=12)
    clips = [(Span(0.0, 2.4), [0, 20, 59]), (Span(1.0, 1.99), [25, 30, 49]), (Span(0.999, 2.0), [27, 50])]
    records = [
        make_record("v", q, video_path="v.mp4", clip=clip, frames=grid_frames(indices, FPS))
        for q, (clip, indices) in enumerate(clips)
    ]
    pending = {(r.id, "baseline", 0) for r in records}
    items = list(prepare.prepare_video(records, [parse_condition("baseline")], pending, tiny("tiny"), tmp_path))
    found = []
    for item in items:
        assert isinstance(item, prepare.Item)
        assert item.clip is not None
        assert [number_of(f) for f in item.clip.pixels] == [f.index for f in item.prompt.frames]
        found.append((item.clip.indices, item.clip.total_num_frames))
    assert found == [([0, 20, 59], 60), ([0, 5, 24], 25), ([2, 25], 26)]


def test_a_missing_frame_size_is_read_from_the_video(world: Path, tmp_path: Path) -> None:
    records = replace_records(world, width=None, height=None)
    names = (*BOTH, "blind", "blind-cotasks")
    assert run(world, tmp_path / "a", *names, records=records).complete
    run(world, tmp_path / "b", *names)
    assert answers(tmp_path / "a") == answers(tmp_path / "b")
    # without videos: a prompt that has neither frames nor boxes can still be asked
    result = run(world, tmp_path / "c", "blind", "blind-cotasks", records=records, videos=None)
    assert (result.done, result.failures) == (6, {"frame size unknown": 6})


def test_a_video_of_another_shape_than_its_boxes_is_not_shown(world: Path, tmp_path: Path) -> None:
    result = run(world, tmp_path, records=replace_records(world, width=96, height=128))
    assert result.failures == {"video of another shape than its record": 12}


def test_more_frames_than_the_grid(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"baseline: 7 frames asked for, the grid of nextqa/validation/v\d/0 has 6"):
        run(world, tmp_path, num_frames=7)
    # a grid of every frame there is of a short video is shown whole
    rows = [make_record("v0", 0), make_record("v1", 0, frame_count=3)]
    write_video(world / "videos" / "v1.mp4", 3)
    records = load_records(str(write_folder(world / "changed", rows)))
    assert run(world, tmp_path, "baseline", records=records, num_frames=6).complete


def test_arguments_that_cannot_be_meant(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--videos"):
        run(world, tmp_path, videos=None)
    with pytest.raises(InputError, match="no such folder"):
        run(world, tmp_path, videos=tmp_path / "none")
    with pytest.raises(InputError, match="at least one"):
        run(world, tmp_path, "baseline", "baseline")
    with pytest.raises(InputError, match="dtype 'int8'"):
        run(world, tmp_path, dtype="int8")
    with pytest.raises(InputError, match="device 'nowhere'"):
        run(world, tmp_path, device="nowhere")
    with pytest.raises(InputError, match="attention 'some'"):
        run(world, tmp_path, attention="some")
    with pytest.raises(InputError, match="excludes a device"):
        run(world, tmp_path, device_map="auto")
    for name in ("batch_size", "batch_tokens", "max_new_tokens", "workers"):
        with pytest.raises(InputError, match=f"{name} 0; expected 1 or more"):
            run(world, tmp_path, **{name: 0})


def test_each_process_of_a_machine_has_its_share_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes, threads in ((16, 1, 4), (16, 8, 2), (2, 1, 2), (2, 8, 1), (None, 1, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert Batching().threads(processes) == threads
    assert Batching(workers=7).threads(8) == 7


def test_what_is_not_a_video_language_model(world: Path, tmp_path: Path) -> None:
    text = tmp_path / "text-model"
    text.mkdir()
    (text / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    with pytest.raises(InputError, match=r"text-model: model type 'bert' .*known: .*qwen2_5_vl"):
        run(world, tmp_path / "run", model=str(text))
    (text / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(InputError, match="unheard-of") as caught:
        run(world, tmp_path / "run", model=str(text))
    assert "\n" not in str(caught.value)
    (text / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    with pytest.raises(InputError, match="text-model: cannot be loaded"):
        run(world, tmp_path / "run", model=str(text))
    with pytest.raises(InputError, match="nowhere/to-be-found: cannot be loaded"):
        run(world, tmp_path / "run", model="nowhere/to-be-found")


def test_a_checkpoint_that_was_cut_off_is_one_line(world: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TOY_DIR, tmp_path / "cut"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1000])
    with pytest.raises(InputError, match="cut: cannot be loaded: ") as caught:
        run(world, tmp_path / "run", model=str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_onevision"])
def test_a_checkpoint_folder(family: str, world: Path, tmp_path: Path) -> None:
    from cotasks.models.tiny import save_tiny

    folder = tmp_path / "checkpoint"
    save_tiny(folder, family)
    names = ("baseline", "cotasks", "blind", "baseline:frames=4")
    assert run(world, tmp_path / "a", *names, model=str(folder)).complete
    if family == "qwen2_5_vl":
        run(world, tmp_path / "b", *names)
        assert answers(tmp_path / "a") == answers(tmp_path / "b")
        run(world, tmp_path / "d", *names, model=str(folder), device_map="auto", attention="eager")
        assert answers(tmp_path / "a") == answers(tmp_path / "d")
        assert [read_settings(tmp_path / out)["versions"]["attention"] for out in "ad"] == ["sdpa", "eager"]
    # a checkpoint's own way of sampling is not used
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "no_repeat_ngram_size": 1}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    tiny.cache_clear()
    run(world, tmp_path / "c", *names, model=str(folder))
    assert answers(tmp_path / "a") == answers(tmp_path / "c")


def test_a_chat_template_without_video(world: Path, tmp_path: Path) -> None:
    from cotasks.models.tiny import save_tiny

    save_tiny(tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|video_pad|>", ""))
    with pytest.raises(InputError, match=r"its chat template makes .* expected one <\|video_pad\|>"):
        run(world, tmp_path / "run", model=str(tmp_path / "model"))
    assert run(world, tmp_path / "blind", "blind", model=str(tmp_path / "model")).complete
    template.unlink()
    tiny.cache_clear()
    with pytest.raises(InputError, match="no chat template"):
        run(world, tmp_path / "run", model=str(tmp_path / "model"))


def test_weights_trained_further_are_another_model(tmp_path: Path) -> None:
    from cotasks.models.tiny import save_tiny

    save_tiny(tmp_path / "a")
    save_tiny(tmp_path / "b", seed=1)
    first, second = (load_model(str(tmp_path / name)).settings for name in "ab")
    assert first["weights"] == tiny("tiny").settings["weights"]
    assert first["weights"] != second["weights"]


def test_progress_is_plain_lines_where_nobody_looks(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (world / "videos" / "v1.mp4").write_bytes(b"nothing")
    run(world, tmp_path, progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("generate: ")]
    assert len(lines) == 2
    assert lines[0] == "generate: 0 of 12 answers, 0 of 3 videos"
    assert "8 of 12 answers, 3 of 3 videos, 4 failed, " in lines[1]
    assert " a second, waited for videos " in lines[1]


# --- work done ahead ---------------------------------------------------------------------------------------------


def work_ahead(function: Any, arguments: Any, **options: Any) -> Iterator[Any]:
    options = {"workers": 3, "depth": 5, "waited": Waited(), "stopped": lambda: False, **options}
    return ahead(lambda: function, arguments, **options)


def test_work_is_done_ahead_in_order_and_bounded() -> None:
    taken: list[int] = []
    doing: list[str] = []

    def arguments() -> Iterator[int]:
        for i in range(30):
            taken.append(i)
            yield i

    def work(i: int) -> int:
        doing.append(threading.current_thread().name)
        time.sleep(0.02 if i % 5 == 0 else 0)  # later ones are done before earlier ones
        return i * i

    found = []
    for result in work_ahead(work, arguments()):
        found.append(result)
        assert len(taken) <= len(found) + 5
    assert found == [i * i for i in range(30)]
    assert len(set(doing)) > 1
    assert threading.current_thread().name not in doing


def test_an_error_ahead_comes_where_its_result_would() -> None:
    results = work_ahead(lambda i: 1 // (i - 2), range(9))
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_wait_for_work_can_be_given_up() -> None:
    hold = threading.Event()
    waited = Waited()
    began = time.monotonic()
    stopped = lambda: time.monotonic() - began > 0.3  # noqa: E731
    assert list(work_ahead(lambda i: hold.wait(20), range(3), waited=waited, stopped=stopped)) == []
    assert 0.3 < waited.seconds < 5
    hold.set()


def test_the_command_says_how_to_go_on_after_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate_module, "generate", interrupted)
    assert cli(["generate", "sample", "--model", "tiny", "--run", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Interrupted; run the same command again to go on."


# --- killed and interrupted ----------------------------------------------------------------------------------------


def child(world: Path, out: Path, cache_folder: str) -> None:
    import datasets

    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = cache_folder
    datasets.disable_progress_bars()
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        run(world, out, batch_size=2)
    except KeyboardInterrupt:
        sys.exit(130)


def start(world: Path, out: Path, tmp_path: Path) -> Any:
    process = FORKSERVER.Process(target=child, args=(world, out, str(tmp_path / "cache")))
    process.start()
    return process


def wait_for_answers(out: Path, count: int, process: Any) -> None:
    path = shard(out)
    while process.is_alive() and (not path.exists() or path.read_bytes().count(b"\n") < count):
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_at_random_moments_every_key_is_there_once(tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=4), tmp_path / "run"
    chance = random.Random(4)
    for kill in range(3):
        process = start(world, out, tmp_path)
        wait_for_answers(out, 4 + 10 * kill, process)
        time.sleep(chance.uniform(0, 0.1))
        assert process.is_alive()
        process.kill()
        process.join()
    left = 40 - shard(out).read_bytes().count(b"\n")
    assert 0 < left < 40
    with shard(out).open("ab") as file:
        file.write(b'{"id": "torn')
    process = start(world, out, tmp_path)
    process.join()
    assert process.exitcode == 0
    keys = [(r["id"], r["condition"], r["sample"]) for r in read_jsonl(shard(out))]
    assert len(keys) == len(set(keys)) == 40
    run(world, tmp_path / "whole")
    assert answers(out) == answers(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_batch_in_hand(number: int, tmp_path: Path) -> None:
    world, out = make_world(tmp_path / "world", videos=5, questions=4), tmp_path / "run"
    process = start(world, out, tmp_path)
    wait_for_answers(out, 4, process)
    os.kill(process.pid, number)
    process.join(20)
    assert process.exitcode == 130
    written = shard(out).read_bytes()
    assert written.endswith(b"\n")
    assert 4 <= written.count(b"\n") < 40
    assert written.count(b"\n") % 2 == 0
    assert run(world, out, batch_size=2).complete
