"""A model behind a server: what it is sent, what is kept of it, and how it may fail."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import groupby
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main as cli
from cotasks.errors import InputError
from cotasks.generate import run as generate_module
from cotasks.generate.processes import Processes
from cotasks.generate.run import GenerateResult, generate
from cotasks.generate.sampling import Sampling
from cotasks.generate.server import ask as server_ask
from cotasks.generate.server.model import ServerOptions, server_limits
from cotasks.models.families import FAMILIES, frame_size, guess_family
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import load_records
from cotasks.records.timeline import uniform_grid
from cotasks.runs.folder import read_failures, read_generations, read_settings
from cotasks.servers import calls as openai_calls
from cotasks.servers.pool import Pool
from cotasks.tools.files import read_jsonl
from tests.judge_server import Response, completion
from tests.model_options import grouped
from tests.model_server import MODEL, ModelServer, frames_of, seen, texts_of
from tests.processes import forked_command, own_port
from tests.synthetic import make_record, write_folder, write_video

pytest.importorskip("av")

BOTH = ("baseline", "cotasks")
KEY = "sk-test-0123456789abcdef"
GRID = list(uniform_grid(0, 59, 6))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


def calls_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, no proxy, and short waits."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("OPENAI_BASE_URL", "OPENAI_LOG", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(openai_calls, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(openai_calls, "LONGEST_BACKOFF_SECONDS", 0.05)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos with two questions each; leave it as it is."""
    return make_world(tmp_path_factory.mktemp("world"), videos=3, questions=2)


def make_world(folder: Path, videos: int, questions: int) -> Path:
    (folder / "videos").mkdir(parents=True)
    for video in range(videos):
        write_video(folder / "videos" / f"v{video}.mp4", gop=12)
    write_folder(folder / "data", [make_record(f"v{v}", q) for v in range(videos) for q in range(questions)])
    return folder


def run(world: Path, out: Path, url: str, *names: str, model: str = MODEL, **options: Any) -> GenerateResult:
    """Generate; what `ServerOptions` has no field for goes to `generate`."""
    fields = {field.name for field in dataclasses.fields(ServerOptions)}
    of_server = {name: options.pop(name) for name in list(options) if name in fields}
    options = {"videos": world / "videos", "progress": False, **options}
    conditions = [parse_condition(name) for name in names or BOTH]
    server = ServerOptions(url, **{"concurrency": 4, "timeout": 5.0, **of_server})
    return generate(load_records(str(world / "data")), conditions, model, out, server=server, **grouped(**options))


def stops(world: Path, out: Path, url: str, *names: str, **options: Any) -> str:
    """The one line that a run ends with which cannot begin."""
    with pytest.raises(InputError) as caught:
        run(world, out, url, *names, **options)
    assert "\n" not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def ends(world: Path, out: Path, url: str, *names: str, **options: Any) -> str:
    """The one line that a run ends with in the middle, with what it has."""
    result = run(world, out, url, *names, **options)
    assert not result.complete
    assert result.done == len(rows_of(out))
    assert result.stopped
    assert "\n" not in result.stopped
    assert KEY not in result.stopped
    return result.stopped


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for path in (out / "generations").glob("*.jsonl") for row in read_jsonl(path)]


# What is sent, and what is kept


def test_every_answer_is_there_and_the_frames_arrive_in_order(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        result = run(world, tmp_path, server.url, *BOTH, "blind", "cotasks:frames=3")
    assert result == GenerateResult(total=24, done=24, new=24, failures={})
    rows = rows_of(tmp_path)
    assert len({(row["id"], row["condition"]) for row in rows}) == 24
    for row in rows:
        shown = {"blind": [], "cotasks:frames=3": [GRID[i] for i in (0, 2, 5)]}.get(row["condition"], GRID)
        assert row["answer"].startswith(f"frames {shown} text ")
        assert (row["finish_reason"], row["answer_tokens"], row["sample"]) == ("stop", 7, 0)
        assert row["prompt_tokens"] > 20
        assert row["id"].split("/")[2] == row["video_id"]
    size = frame_size(FAMILIES["qwen2_5_vl"], 128, 96, 6)
    for request in server.asked:
        assert {(frame.shape[1], frame.shape[0]) for frame in frames_of(request)} <= {size}
        assert request["messages"][0]["role"] == "user"
    settings = read_settings(tmp_path)
    assert settings["backend"] == "server"
    assert settings["model"] == {
        "name": MODEL,
        "family": "qwen2_5_vl",
        "served_model": MODEL,
        "base_url": server.url,
        "tokenizer": None,
    }
    assert settings["frames"]["shown_as"] == "images"
    assert settings["frames"]["named_by"] == "seconds"
    assert settings["frames"]["format"] == "jpeg, quality 95, 4:4:4"
    assert settings["request"] == {"max_tokens": 64, "temperature": 0.0, "frequency_penalty": 0.0}
    assert settings["dataset"]["videos"] == str((world / "videos").resolve())


def test_images_are_named_as_the_steps_name_them(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        run(world, tmp_path / "seconds", server.url, "cotasks")
        texts = texts_of(server.asked[0])
        assert texts[:6] == [f"{index / 25:.2f}s: " for index in GRID]
        assert all(f"{index / 25:.2f}s" in texts[6] for index in GRID)
        run(world, tmp_path / "position", server.url, "cotasks", family="qwen2_vl")
        texts = texts_of(server.asked[-1])
        assert texts[:6] == [f"frame {number}: " for number in range(1, 7)]
        assert "frame 1 to frame 6" in texts[6]


def test_prompts_go_out_video_by_video_and_differ_in_the_last_text_only(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        run(world, tmp_path, server.url, concurrency=1)
    contents = [request["messages"][0]["content"] for request in server.asked]
    videos = [texts_of(request)[-1].partition("dog of ")[2][:2] for request in server.asked]
    assert len([video for video, _ in groupby(videos)]) == 3
    for video in set(videos):
        of_video = [c for c, v in zip(contents, videos, strict=True) if v == video]
        assert len(of_video) == 4
        assert all(content[:-1] == of_video[0][:-1] for content in of_video)
        assert len({content[-1]["text"] for content in of_video}) == 4


def test_vllm_gets_a_video_with_its_times_and_no_penalty(world: Path, tmp_path: Path) -> None:
    with ModelServer(models={MODEL: "vllm"}) as server:
        assert run(world, tmp_path, server.url, *BOTH, "blind").complete
    for request in server.asked:
        assert (request["repetition_penalty"], request["top_k"], request["temperature"]) == (1.0, -1, 0.0)
        assert texts_of(request) == texts_of(request)[-1:]
        if not frames_of(request):
            assert "media_io_kwargs" not in request
            continue
        video = {"num_frames": 6, "fps": 25.0, "frames_indices": GRID, "total_num_frames": 60, "duration": 2.4}
        assert request["media_io_kwargs"] == {"video": video}
    answers = {key: row["answer"] for key, row in read_generations(tmp_path).items()}
    assert all(f"frames {GRID} text" in text for key, text in answers.items() if key[1] != "blind")
    settings = read_settings(tmp_path)
    assert (settings["frames"]["shown_as"], settings["frames"]["named_by"]) == ("video_url", None)
    assert settings["request"]["repetition_penalty"] == 1.0


def test_png_frames_are_exact(world: Path, tmp_path: Path) -> None:
    from cotasks.video.reading import read_frames

    size = frame_size(FAMILIES["qwen2_5_vl"], 128, 96, 6)
    with ModelServer() as server:
        run(world, tmp_path, server.url, "baseline", image_format="png")
    expected = read_frames(world / "videos" / "v0.mp4", GRID, size)
    shown = next(frames_of(r) for r in server.asked if "dog of v0" in texts_of(r)[-1])
    assert all((a == b).all() for a, b in zip(shown, expected, strict=True))


def test_each_sample_has_a_seed_of_its_own(world: Path, tmp_path: Path) -> None:
    hot = Sampling(num_samples=3, temperature=0.7, top_p=0.9, top_k=20, seed=5)
    with ModelServer(lambda _, request: seen(request, model=MODEL)) as server:
        assert run(world, tmp_path / "a", server.url, sampling=hot).total == 36
        seeds = {json.dumps(r["messages"][0]["content"][-1]) + str(r["seed"]) for r in server.asked}
        assert len({request["seed"] for request in server.asked}) == 36
        assert all((r["temperature"], r["top_p"], r["top_k"]) == (0.7, 0.9, 20) for r in server.asked)
        run(world, tmp_path / "b", server.url, sampling=hot, concurrency=1)
        again = {json.dumps(r["messages"][0]["content"][-1]) + str(r["seed"]) for r in server.asked[36:]}
    assert again == seeds
    chosen = {"do_sample": True, "num_samples": 3, "temperature": 0.7, "top_p": 0.9, "top_k": 20, "seed": 5}
    assert read_settings(tmp_path / "a")["sampling"] == chosen


def test_further_fields_are_sent_and_kept(world: Path, tmp_path: Path) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "temperature": 0.1}
    with ModelServer() as server:
        run(world, tmp_path, server.url, "blind", extra_body=extra)
    assert all(extra.items() <= request.items() for request in server.asked)
    assert extra.items() <= read_settings(tmp_path)["request"].items()


def test_a_budget_of_tokens_needs_a_tokenizer(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from cotasks.models.tiny import save_tiny

    with ModelServer() as server:
        assert "name the model's tokenizer with --tokenizer" in stops(
            world, tmp_path / "a", server.url, "cotasks:tokens=90"
        )
        assert "tokenizer" in stops(world, tmp_path / "a", server.url, "cotasks", tokenizer=str(tmp_path / "none"))
        assert server.requests == []
        save_tiny(tmp_path / "tiny")
        tokenizer = str(tmp_path / "tiny")
        assert run(world, tmp_path / "b", server.url, "cotasks:tokens=90", tokenizer=tokenizer, workers=3).complete
    assert all(row["cut_items"] > 0 for row in rows_of(tmp_path / "b"))
    assert read_settings(tmp_path / "b")["model"]["tokenizer"] == tokenizer


# Families and sizes


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2.5-VL-72B-Instruct-AWQ", "qwen2_5_vl"),
        ("/models/qwen2_5_vl_7b", "qwen2_5_vl"),
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2_vl"),
        ("Qwen/Qwen3-VL-30B-A3B-Instruct", "qwen3_vl"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava_onevision"),
        ("llava-hf/LLaVA-NeXT-Video-7B-hf", "llava_next_video"),
        ("OpenGVLab/InternVL3_5-8B-HF", "internvl"),
    ],
)
def test_the_name_of_a_model_tells_its_family(name: str, family: str) -> None:
    assert guess_family(name).name == family


@pytest.mark.parametrize("name", ["my-model", "Qwen/Qwen2.5-7B-Instruct", "qwen3-vl-distilled-to-qwen2.5-vl"])
def test_a_name_that_tells_no_family_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"name it with --family, one of qwen2_5_vl, .*llava_next_video"):
        guess_family(name)


@given(
    st.sampled_from(["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]),
    st.integers(40, 4000),
    st.integers(40, 4000),
    st.integers(1, 128),
)
def test_image_processors_leave_the_frames_alone(name: str, width: int, height: int, num_frames: int) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    family = FAMILIES[name]
    limits = server_limits(family, "images", None, None)
    if max(width, height) > 20 * min(width, height):
        return
    w, h = frame_size(family, width, height, num_frames, limits=limits)
    # of preprocessor_config.json of the published checkpoints
    least, greatest = (65_536, 16_777_216) if name == "qwen3_vl" else (3_136, 12_845_056)
    assert smart_resize(h, w, family.limits.multiple, least, greatest) == (h, w)
    assert transformers.__version__


def test_limits_can_be_narrowed_to_those_of_the_server() -> None:
    family = FAMILIES["qwen2_5_vl"]
    limits = server_limits(family, "images", 3136, 200_000)
    assert (limits.min_pixels, limits.max_pixels) == (3136, 200_000)
    assert server_limits(FAMILIES["qwen3_vl"], "video_url", None, None) == FAMILIES["qwen3_vl"].limits
    assert server_limits(FAMILIES["qwen3_vl"], "images", None, None).min_pixels == 65_536
    for wrong, words in (((None, 10**9), "no more than"), ((500, 400), "at least 500"), ((None, 5000), "at least")):
        with pytest.raises(InputError, match=words):
            server_limits(family, "images", *wrong)
    with pytest.raises(InputError, match="exactly 384x384"):
        server_limits(FAMILIES["llava_onevision"], "images", None, 100)


def test_a_server_that_drops_or_resizes_frames_is_found_out(world: Path, tmp_path: Path) -> None:
    def wrong(tokens: int) -> Callable[[int, Any], Any]:
        return lambda _, request: seen(request, usage={"prompt_tokens": tokens, "completion_tokens": 1})

    width, height = frame_size(FAMILIES["qwen2_5_vl"], 128, 96, 6)
    seen_tokens = 6 * width * height // 784
    for tokens in (seen_tokens - 1, 10 * seen_tokens):
        with ModelServer(wrong(tokens)) as server:
            line = ends(world, tmp_path / str(tokens), server.url, "baseline")
            assert f"has {tokens} tokens by the server's count, expected {seen_tokens} to " in line
            assert rows_of(tmp_path / str(tokens)) == []
            assert run(world, tmp_path / str(tokens), server.url, "baseline", check_frames=False).complete
    with ModelServer(lambda _, request: seen(request, usage=None)) as server:  # one that does not count
        assert run(world, tmp_path / "silent", server.url, "baseline").complete
    assert {row["prompt_tokens"] for row in rows_of(tmp_path / "silent")} == {None}


# Answers that are none, and answers that are odd


def test_odd_answers_are_answers(world: Path, tmp_path: Path) -> None:
    odd: dict[int, dict[str, Any]] = {
        1: {"content": ""},
        2: {"content": None},
        3: {"content": "and then", "finish_reason": "length"},
        4: {"content": None, "refusal": "I will not."},
        5: {"content": f" \ud800 {KEY} \n"},
        6: {"content": [{"type": "text", "text": "to "}, {"type": "thinking"}, {"type": "text", "text": "run"}]},
    }

    def answer(number: int, request: Any) -> Any:
        base = seen(request)
        changes = dict(odd.get(number, {"content": "to play"}))
        content = changes.pop("content")
        return completion(content, **{"model": MODEL, "usage": base["usage"], **changes})

    with ModelServer(answer) as server:
        assert run(world, tmp_path, server.url, "baseline", concurrency=1).complete
    rows = rows_of(tmp_path)
    assert [row["answer"] for row in rows] == ["", "", "and then", "I will not.", "? [key]", "to run"]
    assert [row["finish_reason"] for row in rows] == ["stop", "stop", "length", "stop", "stop", "stop"]


@pytest.mark.parametrize(
    "changes",
    [{"finish_reason": "abort"}, {"finish_reason": "error"}, {"content": {"text": "half"}}, {"content": [7]}],
)
def test_what_the_server_gave_up_is_no_answer(changes: dict[str, Any], world: Path, tmp_path: Path) -> None:
    def answer(number: int, request: Any) -> Any:
        given = {"content": "half an", **(changes if number == 2 else {})}
        return completion(given.pop("content"), **{"model": MODEL, "usage": seen(request)["usage"], **given})

    with ModelServer(answer) as server:
        assert run(world, tmp_path, server.url, "baseline", concurrency=1).complete
        assert len(server.asked) == 7  # one of them twice
    assert len(rows_of(tmp_path)) == 6

    def never(_: int, request: Any) -> Any:
        if "dog of v0 run after the ball again\n" in texts_of(request)[-1]:
            return completion("half an", model=MODEL, usage=seen(request)["usage"], finish_reason="error")
        return seen(request)

    with ModelServer(never) as server:
        result = run(world, tmp_path / "never", server.url, "baseline")
    assert result.failures == {"the server gave up the answer": 1}
    assert result.done == 5


def test_nonsense_nested_without_end_is_tried_again(world: Path, tmp_path: Path) -> None:
    deep = Response(b"[" * 200_000, headers={"content-type": "application/json"})
    with ModelServer(lambda number, request: deep if number == 2 else seen(request)) as server:
        assert run(world, tmp_path, server.url, "blind").complete


def test_answers_that_came_back_before_the_end_are_kept() -> None:
    pool: Pool[Any] = Pool(["http://h/v1"], KEY, 4, 1.0, openai_calls.read_payload)
    found: list[Any] = []
    with server_ask._Sender(pool, lambda: False) as sender:
        for number in range(4):
            future: Future[Any] = Future()
            if number == 1:
                future.set_exception(openai_calls.Fatal("the key is revoked"))
            else:
                future.set_result((number, 0))
            sender._come_back(cast(Any, number), future)
        with pytest.raises(openai_calls.Fatal, match="revoked"):
            found.extend(sender.events())
    assert [reply.outcome for reply in found] == [0, 2, 3]


def test_what_fails_is_listed_and_the_rest_goes_on(world: Path, tmp_path: Path) -> None:
    too_long = {"object": "error", "message": "This model's maximum context length is 32768 tokens. However, ..."}

    def answer(_: int, request: Any) -> Any:
        text = texts_of(request)[-1]
        if "dog of v0 run after the ball again\n" in text:
            return Response({"error": too_long}, 400)
        if "dog of v0" in text:
            return Response({"error": {"message": "CUDA error"}}, 500)
        if "dog of v1 run after the ball again\n" in text:
            return completion("...", finish_reason="content_filter", model=MODEL, usage=seen(request)["usage"])
        return seen(request)

    with ModelServer(answer) as server:
        result = run(world, tmp_path, server.url)
        expected = {
            "prompt too long": 2,
            "the server answered with status 500": 2,
            "the server filtered the answer": 2,
        }
        assert result == GenerateResult(total=12, done=6, new=6, failures=expected)
        details = [row["detail"] for row in read_failures(tmp_path).values()]
        assert sum("maximum context length" in detail for detail in details) == 2
        assert sum(server.url in detail and "CUDA error" in detail for detail in details) == 2
        asked = len(server.asked)
        assert run(world, tmp_path, server.url).new == 0
        assert len(server.asked) == asked
        server.answer = lambda _, request: seen(request)
        assert run(world, tmp_path, server.url, retry_failures=True).complete


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 32768 tokens. However, you requested 40000 tokens.",
        "The decoder prompt (length 70000) is longer than the maximum model length of 65536.",
        "The input (40000 tokens) is longer than the model's context length (32768 tokens).",
        "`inputs` tokens + `max_new_tokens` must be <= 4096.",
    ],
)
def test_the_ways_to_say_that_a_prompt_is_too_long(said: str) -> None:
    client: openai_calls.Client[Any] = openai_calls.Client("http://h/v1", KEY, 1, 1.0, openai_calls.read_payload)
    assert client.trouble(400, {}, said, said, None).too_long
    assert not client.trouble(400, {}, "At most 1 image(s) may be provided in one request.", "", None).too_long
    assert not client.trouble(500, {}, said, said, None).too_long


def test_many_prompts_too_long_in_a_row_do_not_end_a_run(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", videos=1, questions=30)
    error = Response({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
    with ModelServer(lambda *_: error) as server:
        assert run(world, tmp_path / "run", server.url, "blind").failures == {"prompt too long": 30}


def test_a_bad_video_fails_its_own_records_only(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", videos=3, questions=2)
    (world / "videos" / "v1.mp4").write_bytes(b"nothing")
    with ModelServer() as server:
        assert run(world, tmp_path / "run", server.url).failures == {"not a video": 4}


# Servers that fail


def test_a_wrong_key_stops_at_once(world: Path, tmp_path: Path) -> None:
    refused = Response({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)
    with ModelServer(probe=refused) as server:
        assert "refuses the API key; set OPENAI_API_KEY (status 401)" in stops(world, tmp_path, server.url)
        assert len(server.requests) == 1
    assert not (tmp_path / "run.json").exists()


def test_a_key_that_is_revoked_stops_at_once(world: Path, tmp_path: Path) -> None:
    revoked = Response({"error": {"message": "revoked"}}, 401)
    with ModelServer(lambda number, request: seen(request) if number < 4 else revoked) as server:
        assert "refuses the API key" in ends(world, tmp_path, server.url, concurrency=1)
        assert len(server.asked) == 4
        assert len(rows_of(tmp_path)) == 3
        server.answer = lambda _, request: seen(request)
        assert run(world, tmp_path, server.url).new == 9


def test_an_unknown_model_is_told_with_those_there_are(world: Path, tmp_path: Path) -> None:
    unknown = Response({"error": {"message": "The model `x` does not exist."}}, 404)
    models = {f"org/m{number}": "vllm" for number in range(12)}
    with ModelServer(probe=unknown, models=models) as server:
        line = stops(world, tmp_path, server.url, model="x", family="qwen2_5_vl")
    assert "knows no such model or address" in line
    assert "The model `x` does not exist." in line
    assert line.endswith(
        "; it offers org/m0, org/m1, org/m2, org/m3, org/m4, org/m5, org/m6, org/m7, org/m8, org/m9 and 2 more"
    )
    pinned = Response({"detail": "Server is pinned to 'y'; requested 'x'."}, 400)
    with ModelServer(probe=pinned, models={"y": ""}) as server:
        line = stops(world, tmp_path, server.url, model="x", family="qwen2_5_vl")
    assert "Server is pinned to 'y'" in line
    assert line.endswith("; it offers y")


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (
            Response(b"<html>hello</html>", headers={"content-type": "text/html"}),
            "the server's response is no completion",
        ),
        (Response({"choices": []}), "the server's response is no completion"),
        (Response(completion("Yes.", model=MODEL), cut=True), "the connection failed"),
        (Response({"error": {"message": "down"}}, 500), "the server answered with status 500"),
        (Response(hang=True), "no response within the time limit"),
        (Response({}, 429, {"retry-after": "100000"}), "asks to wait 100000 s"),
    ],
)
def test_what_is_no_server_of_ours_is_told_in_one_line(probe: Any, words: str, world: Path, tmp_path: Path) -> None:
    with ModelServer(probe=probe) as server:
        line = stops(world, tmp_path, server.url, timeout=0.2 if words.startswith("no response") else 5.0)
    assert words in line
    assert line.startswith(server.url)


def test_nobody_there(world: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert stops(world, tmp_path, url) == f"{url}: the connection failed; expected an OpenAI-compatible server there"


@pytest.mark.parametrize("kind", ["500", "garbage", "cut", "hang", "429"])
def test_passing_faults_cost_no_answer(kind: str, world: Path, tmp_path: Path) -> None:
    faults = {
        "500": Response({"error": {"message": "oops"}}, 500),
        "garbage": Response(b"{", headers={"content-type": "application/json"}),
        "cut": Response(completion("half"), cut=True),
        "hang": Response(hang=True),
        "429": Response({"error": {"message": "slow down"}}, 429, {"retry-after": "0.2"}),
    }
    with ModelServer(lambda number, request: faults[kind] if number % 3 == 1 else seen(request)) as server:
        began = time.monotonic()
        result = run(world, tmp_path, server.url, timeout=0.5 if kind == "hang" else 5.0)
    assert result == GenerateResult(total=12, done=12, new=12, failures={})
    assert len(rows_of(tmp_path)) == 12
    assert len(server.asked) > 12
    if kind == "429":
        assert time.monotonic() - began > 0.2


def test_a_server_that_goes_down_ends_the_run_and_nothing_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_calls, "FAILURES_IN_A_ROW", 5)
    world = make_world(tmp_path / "world", videos=2, questions=8)
    down = Response({"error": {"message": "no workers"}}, 502)
    with ModelServer(lambda number, request: seen(request) if number <= 4 else down) as server:
        line = ends(world, tmp_path / "run", server.url)
        assert "5 prompts in a row failed: the server answered with status 502" in line
        assert len(rows_of(tmp_path / "run")) == 4
        assert read_failures(tmp_path / "run") == {}
        server.answer = lambda _, request: seen(request)
        assert run(world, tmp_path / "run", server.url).new == 28


def test_another_model_in_the_middle_of_a_run_stops_it(world: Path, tmp_path: Path) -> None:
    with ModelServer(lambda number, request: seen(request, model=MODEL if number < 3 else "org/other")) as server:
        assert "org/other answers; the run began with" in ends(world, tmp_path, server.url, concurrency=1)
    assert len(rows_of(tmp_path)) == 2


# Resuming


def test_other_settings_are_refused_by_name(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        run(world, tmp_path, server.url, "blind")
        changes: list[tuple[dict[str, Any], str]] = [
            ({"media": "video_url"}, "frames.named_by"),
            ({"image_format": "png"}, "frames.format"),
            ({"max_pixels": 200_000}, "frames.limits.max_pixels"),
            ({"family": "qwen2_vl"}, "frames.named_by"),
            ({"extra_body": {"min_p": 0.1}}, "request.min_p"),
            ({"sampling": Sampling(temperature=1.0)}, "request.temperature"),
        ]
        for change, field in changes:
            assert f"run.json: {field} is " in stops(world, tmp_path, server.url, "blind", **change)
        server.probe = completion("Yes.", model="org/Qwen2.5-VL-Other")
        assert f"model.served_model is '{MODEL}', in this command" in stops(world, tmp_path, server.url, "blind")
        server.probe = {name: value for name, value in completion("Yes.").items() if name != "model"}
        assert f"model.served_model is '{MODEL}', in this command ''" in stops(world, tmp_path, server.url, "blind")


def test_a_run_goes_on_at_another_address_where_the_model_is_the_same(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        run(world, tmp_path, server.url, "blind", num_frames=2)
    with ModelServer() as elsewhere:
        assert run(world, tmp_path, elsewhere.url, "blind", num_frames=2).new == 0
    assert read_settings(tmp_path)["model"]["base_url"] == [server.url, elsewhere.url]


def test_a_model_that_no_server_names_stays_at_its_address(world: Path, tmp_path: Path) -> None:
    def nameless(_: int, request: Any) -> Any:
        return {name: value for name, value in seen(request).items() if name != "model"}

    probe = {name: value for name, value in completion("Yes.").items() if name != "model"}
    with ModelServer(nameless, probe=probe) as server, ModelServer(nameless, probe=probe) as elsewhere:
        assert run(world, tmp_path, server.url, "blind").complete
        assert "model.base_url is " in stops(world, tmp_path, elsewhere.url, "blind")


def test_the_other_backend_is_refused(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with ModelServer() as server:
        run(world, tmp_path, server.url, "blind")
    with pytest.raises(InputError, match=r"run\.json: backend is 'server', in this command 'transformers'"):
        generate(load_records(str(world / "data")), [parse_condition("blind")], "tiny", tmp_path, progress=False)


def test_videos_may_be_elsewhere_when_a_run_goes_on(world: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(world / "videos")
    with ModelServer() as server:
        run(world, tmp_path / "run", server.url, "baseline")
        assert run(world, tmp_path / "run", server.url, "baseline", videos=moved).complete


def start(world: Path, out: Path, url: str) -> ForkServerProcess:
    """`cotasks generate`, three calls at once; what it says is in `log` beside the run."""
    place = ["--videos", str(world / "videos"), "--run", str(out), "--backend", "server", "--base-url", url]
    words = ["generate", str(world / "data"), "--model", MODEL, *place, "--concurrency", "3"]
    return forked_command(out.parent / "log", *words)


def answers_within(out: Path, count: int, seconds: float = 60) -> int:
    """How many answers there are, once there are so many."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = sum(path.read_bytes().count(b"\n") for path in out.glob("generations/*.jsonl"))
        if found >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{count} answers within {seconds} s")


@pytest.mark.slow
def test_killed_again_and_again_every_key_is_there_once(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", videos=4, questions=6)
    draw = random.Random(0)
    out, before = tmp_path / "run", 0
    with ModelServer(latency=0.05) as server:
        for _ in range(4):
            process = start(world, out, server.url)
            before = answers_within(out, before + draw.randint(1, 8))
            time.sleep(draw.random() / 10)
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
        assert before < 48
        process = start(world, out, server.url)
        process.join(60)
    said = (tmp_path / "log").read_text()
    assert process.exitcode == 0, said
    assert said.splitlines()[-1].startswith("Answered 48 of 48 (")
    rows = rows_of(out)
    assert len(rows) == len({(row["id"], row["condition"], row["sample"]) for row in rows}) == 48


@pytest.mark.slow
def test_a_signal_ends_it_after_the_calls_in_hand(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", videos=4, questions=6)
    out = tmp_path / "run"
    crowded = Response({}, 429, {"retry-after": "500"})
    with ModelServer(lambda n, request: crowded if n == 6 else seen(request), latency=0.3) as server:
        process = start(world, out, server.url)
        answers_within(out, 3)
        began = time.monotonic()
        process.terminate()
        process.join(60)
        assert process.exitcode == 130
        said = (tmp_path / "log").read_text()
        assert "stopping after what is in hand" in said
        assert said.splitlines()[-1] == "Interrupted; run the same command again to go on."
        assert "Traceback" not in said
        assert "never" not in said  # retrieved, awaited
        assert time.monotonic() - began < 20  # calls that wait for their turn are given up
        in_hand = len(server.asked)
        assert len(rows_of(out)) == in_hand - (in_hand >= 6)
        server.answer, server.latency = lambda _, request: seen(request), 0.0
        assert run(world, out, server.url).complete


# Keys, options, and the command


def test_the_key_is_sent_and_nowhere_kept_or_shown(
    world: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"error": {"message": f"what is {KEY}?", "code": KEY}}
    faults: dict[int, Any] = {1: Response(echo, 500), 3: Response(echo, 400), 5: Response(echo, 429)}
    with ModelServer(lambda n, request: faults.get(n) or seen(request, model=MODEL), probe=None) as server:
        run(world, tmp_path / "a", server.url, progress=True)
        assert all(f"authorization: bearer {KEY}".encode() in r.raw.lower() for r in server.requests)
        server.probe = Response(echo, 403)
        stops(world, tmp_path / "b", server.url)
        server.probe = completion("Yes.", model=KEY)
        server.answer = lambda _, request: seen(request, model=KEY)
        run(world, tmp_path / "c", server.url)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    out = capfd.readouterr()
    assert KEY not in out.out + out.err
    assert KEY not in caplog.text


def test_a_server_without_a_key(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with ModelServer() as server:
        assert run(world, tmp_path, server.url, "blind").complete


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "http://user:secret@h/v1"}, "holds a password"),
        ({"base_url": "localhost:8000"}, r"expected http\(s\)://host/path"),
        ({"family": "gpt"}, "family gpt; expected one of qwen2_5_vl"),
        ({"media": "gif"}, "media gif; expected one of images, video_url"),
        ({"image_format": "bmp"}, "expected one of jpeg, png"),
        ({"concurrency": 0}, "concurrency 0; expected 1 to 1000"),
        ({"timeout": 0.0}, "timeout 0.0; expected seconds"),
        ({"extra_body": {"messages": []}}, "extra body: messages"),
    ],
)
def test_options_outside_their_range(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        ServerOptions(**{"base_url": "http://h/v1", **options})
    assert "secret" not in str(caught.value)


def test_a_video_is_jpeg(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        assert "expected jpeg" in stops(world, tmp_path, server.url, media="video_url", image_format="png")


def test_a_server_decides_on_devices(world: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        line = stops(world, tmp_path, server.url, device="cuda", torch_compile=True)
    assert line == "device, torch_compile: for a model in this process; a server decides for itself"


def test_a_report_finds_prompts_and_videos_by_itself(world: Path, tmp_path: Path) -> None:
    for package in ("jinja2", "matplotlib", "scipy"):
        pytest.importorskip(package)
    from cotasks.judge.run import judge_run
    from cotasks.report import write_report

    with ModelServer() as server:
        run(world, tmp_path, server.url)
    judge_run(tmp_path, "exact", progress=False)
    page = write_report([tmp_path]).html.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 18
    assert "not rebuilt" not in page
    assert MODEL in page


def test_one_process_is_enough(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_module, "join", lambda: Processes(rank=1, size=2))
    with ModelServer() as server:
        assert "2 processes for one server; expected one" in stops(world, tmp_path, server.url)
        assert server.requests == []


@pytest.fixture
def command(world: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `cotasks generate`; returns its exit code, output lines and error lines."""

    def call(*options: str, model: str = MODEL) -> tuple[int, list[str], list[str]]:
        place = ["--videos", str(world / "videos"), "--run", str(tmp_path / "run")]
        code = cli(["generate", str(world / "data"), "--model", model, *place, *options])
        out = capfd.readouterr()
        return code, out.out.splitlines(), out.err.splitlines()

    return call


def test_the_command(command: Callable[..., Any], tmp_path: Path) -> None:
    too_long = Response({"error": {"message": "context length exceeded"}}, 400)
    with ModelServer(lambda n, request: too_long if n == 2 else seen(request)) as server:
        options = ["--backend", "server", "--base-url", server.url, "--concurrency", "1", "--condition", "baseline"]
        options += ["--extra-body", '{"min_p": 0.1}', "--max-pixels", "150000", "--timeout", "9"]
        code, said, _ = command(*options)
        assert code == 1
        assert said == [
            f"{server.url}: {MODEL}, asked as qwen2_5_vl, shown images",
            "1 failed: prompt too long",
            f"Answered 5 of 6 (5 now) in {tmp_path / 'run'}",
        ]
        assert server.asked[0]["min_p"] == 0.1
        code, said, _ = command(*options, "--retry-failures")
        assert (code, said[-1]) == (0, f"Answered 6 of 6 (1 now) in {tmp_path / 'run'}")


def test_a_command_whose_server_refuses_the_rest(command: Callable[..., Any], tmp_path: Path) -> None:
    too_long, revoked = Response({"error": {"message": "context length exceeded"}}, 400), Response({}, 401)
    with ModelServer(lambda n, request: [seen(request), too_long, revoked][min(n, 3) - 1]) as server:
        options = ["--backend", "server", "--base-url", server.url, "--concurrency", "1", "--condition", "blind"]
        code, said, errors = command(*options)
    assert code == 1
    assert errors[-1].startswith(f"{server.url} refuses the API key")
    assert said[1:] == ["1 failed: prompt too long", f"Answered 1 of 6 (1 now) in {tmp_path / 'run'}"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backend", "ollama"], "backend 'ollama'; expected one of transformers, server, vllm"),
        (["--base-url", "http://h/v1"], "base_url: only for a server; expected --backend server with it"),
        (["--no-check-frames"], "check_frames: only for a server"),
        (["--backend", "server"], "backend server without an address; expected --base-url"),
        (["--backend", "server", "--base-url", "http://h/v1", "--extra-body", "{"], "extra body: not JSON"),
        (["--backend", "server", "--base-url", "http://h/v1", "--extra-body", "[]"], "extra body []; expected a JSON"),
    ],
)
def test_commands_that_contradict_themselves(options: list[str], words: str, command: Callable[..., Any]) -> None:
    code, said, complaints = command(*options)
    assert (code, said, len(complaints)) == (2, [], 1)
    assert words in complaints[0]


def test_a_command_without_a_server_there(command: Callable[..., Any]) -> None:
    code, _, complaints = command("--backend", "server", "--base-url", "http://127.0.0.1:9/v1")
    assert code == 2
    line = "cotasks: http://127.0.0.1:9/v1: the connection failed; expected an OpenAI-compatible server there"
    assert complaints[-1] == line


@pytest.mark.slow
def test_a_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`transformers serve` with the tiny model gives the answers that the model gives to the same prompts here.

    Without video they are those of the other backend. With it they are not: that one shows the frames as a video, which
    this server takes as a file only.
    """
    for package in ("fastapi", "uvicorn", "torch"):
        pytest.importorskip(package)
    from cotasks.generate.server import ask as server_ask
    from cotasks.generate.server.connect import connect
    from cotasks.models.tiny import save_tiny

    monkeypatch.delenv("OPENAI_API_KEY")
    world = make_world(tmp_path / "world", videos=2, questions=2)
    model = str(tmp_path / "model")
    save_tiny(Path(model))
    options: dict[str, Any] = {"family": "qwen2_5_vl", "min_pixels": 4 * 784, "max_pixels": 16 * 784, "timeout": 240.0}
    with served(model, tmp_path / "log") as url:
        names = ("blind", "blind-cotasks", "baseline", "cotasks")
        result = run(world, tmp_path / "server", url, *names, model=model, max_new_tokens=6, **options)
        assert result == GenerateResult(total=16, done=16, new=16, failures={}), (tmp_path / "log").read_text()
        connected = connect(model, ServerOptions(url, **options))
    found = {key: row["answer"] for key, row in read_generations(tmp_path / "server").items()}
    assert len(set(found.values())) > 8  # else equality would say little
    records = load_records(str(world / "data"))
    conditions = [parse_condition(name) for name in names]
    generate(records, conditions[:2], model, tmp_path / "local", **grouped(max_new_tokens=6), progress=False)
    local = {key: row["answer"] for key, row in read_generations(tmp_path / "local").items()}
    assert local == {key: text for key, text in found.items() if key[1] in ("blind", "blind-cotasks")}
    pending = {key for key in found if key[1] in ("baseline", "cotasks")}
    asking = server_ask.ServerAsking(
        records=records,
        conditions=conditions,
        pending=pending,
        video_folder=world / "videos",
        sampling=Sampling(max_new_tokens=6),
        workers=1,
        server=connected,
    )
    calls = server_ask._calls(asking, iter([[0, 1], [2, 3]]), lambda: False)
    here = {call.item.key: readable(answer_here(model, call.request)) for call in calls}
    assert here == {key: readable(found[key]) for key in pending}


def readable(text: str) -> str:
    """The ASCII of an answer: what is no UTF-8 in the tiny model's bytes, the server decodes in its own way."""
    return re.sub(r"[^ -~]+", "", text)


@contextmanager
def served(model: str, log: Path) -> Iterator[str]:
    """`transformers serve` of a model; yields its base URL."""
    port = own_port()
    program = "from transformers.cli.transformers import main; main()"
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command = [sys.executable, "-c", program, "serve", model, *options]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            deadline = time.monotonic() + 240
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0 and server.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


def answer_here(model_name: str, request: Any) -> str:
    """What the model answers to a request, by the plainest way that transformers offers."""
    from cotasks.models.load import load_model

    model = load_model(model_name)
    content = []
    for part in request["messages"][0]["content"]:
        image = part["type"] == "image_url"
        content.append({"type": "image", "url": part["image_url"]["url"]} if image else part)
    inputs = model.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    output = model.model.generate(**inputs, generation_config=model.generation_config(request["max_tokens"]))
    return str(model.processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()
