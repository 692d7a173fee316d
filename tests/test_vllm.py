"""What a run behind a server sends, read by vLLM's own classes. Skipped where vLLM is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotasks.generate.run import generate
from cotasks.generate.server.model import ServerOptions
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import load_records
from cotasks.records.timeline import uniform_grid
from cotasks.servers.calls import Client, read_payload
from tests.model_server import MODEL, ModelServer, frames_of
from tests.synthetic import make_record, write_folder, write_video
from tests.test_server import KEY, calls_are_quick

pytest.importorskip("av")
vllm = pytest.importorskip("vllm", exc_type=ImportError)

FRAMES = 48


@pytest.fixture
def request_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is sent for a prompt with 48 frames, as a video."""
    calls_are_quick(monkeypatch)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v0.mp4", gop=12)
    write_folder(tmp_path / "data", [make_record("v0", 0, num_frames=FRAMES)])
    records = load_records(str(tmp_path / "data"))
    with ModelServer(models={MODEL: "vllm"}) as server:
        options = ServerOptions(server.url, concurrency=1, timeout=5.0)
        generate(
            records,
            [parse_condition("baseline")],
            MODEL,
            tmp_path / "run",
            videos=tmp_path / "videos",
            server=options,
            progress=False,
        )
        (body,) = server.asked
    return dict(body)


def test_a_request_is_one_and_its_video_arrives_whole(request_body: dict[str, Any]) -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.multimodal.media.connector import MediaConnector, merge_media_io_kwargs

    request = ChatCompletionRequest(**request_body)
    sampled = request.to_sampling_params(64, {"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.05})
    assert (sampled.temperature, sampled.repetition_penalty, sampled.max_tokens) == (0.0, 1.0, 64)
    sent = frames_of(request_body)
    url = next(p["video_url"]["url"] for p in request_body["messages"][-1]["content"] if p["type"] == "video_url")
    merged = merge_media_io_kwargs({"video": {"fps": 2}}, request.media_io_kwargs)
    found = MediaConnector(media_io_kwargs=merged).fetch_video(url)
    frames, told = getattr(found, "media", found)
    assert len(frames) == len(sent)
    assert all(np.array_equal(one, other) for one, other in zip(frames, sent, strict=True))
    grid = list(uniform_grid(0, 59, len(sent)))
    assert (told["frames_indices"], told["fps"], told["do_sample_frames"]) == (grid, 25.0, False)
    assert told["total_num_frames"] == 60
    untold = MediaConnector().fetch_video(url)  # what a request without `media_io_kwargs` would get
    assert len(getattr(untold, "media", untold)[0]) == 32 < FRAMES == len(sent)


def test_a_server_that_does_not_trust_requests_says_so_in_words_that_we_know(request_body: dict[str, Any]) -> None:
    protocol = pytest.importorskip("vllm.entrypoints.generate.base.protocol")
    if not hasattr(protocol, "validate_request_mm_kwargs"):
        pytest.skip("this vLLM trusts every request")
    given = {"mm_processor_kwargs": None, "media_io_kwargs": request_body["media_io_kwargs"]}
    protocol.validate_request_mm_kwargs(**given, trust_request_mm_kwargs=True)
    errors = pytest.importorskip("vllm.exceptions")
    with pytest.raises(errors.VLLMValidationError, match="media_io_kwargs") as caught:
        protocol.validate_request_mm_kwargs(**given, trust_request_mm_kwargs=False)
    client: Client[Any] = Client("http://h/v1", KEY, 1, 1.0, read_payload)
    said = str(caught.value)
    assert "--trust-request-mm-kwargs" in client.trouble(400, {}, said, said, None).fatal
