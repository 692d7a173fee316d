"""A loopback server that answers like a video language model, saying what it saw, and fails in every way asked for."""

from __future__ import annotations

import argparse
import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.judge_server import Json, JudgeServer, Response, completion
from tests.synthetic import number_of

MODEL = "org/Qwen2.5-VL-Test"
TOKEN_PIXELS = 28 * 28
PROBE = "Are you there?"


def texts_of(request: Json) -> list[str]:
    """The pieces of text of a request, in order."""
    content = request["messages"][-1]["content"]
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]


def frames_of(request: Json) -> list[np.ndarray[Any, Any]]:
    """The frames that a request shows."""
    files: list[str] = []
    for part in request["messages"][-1]["content"]:
        if part["type"] == "image_url":
            files.append(part["image_url"]["url"].partition(";base64,")[2])
        elif part["type"] == "video_url":
            head, _, data = part["video_url"]["url"].partition(";base64,")
            assert head == "data:video/jpeg"
            files += data.split(",")
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]


def seen(request: Json, **changes: Any) -> Json:
    """A completion that says which frames of `synthetic.picture` were shown, and how long the text was."""
    frames = frames_of(request)
    text = "".join(texts_of(request))
    as_video = any(part["type"] == "video_url" for part in request["messages"][-1]["content"])
    tokens = sum(frame.shape[0] * frame.shape[1] // TOKEN_PIXELS for frame in frames) // (2 if as_video else 1)
    answer = f"frames {[number_of(frame) for frame in frames]} text {len(text)}"
    usage = {"prompt_tokens": tokens + len(text) // 4 + 20, "completion_tokens": 7, "total_tokens": 0}
    return completion(answer, **{"model": MODEL, "usage": usage, **changes})


class ModelServer(JudgeServer):
    """Runs in a thread while the context lasts.

    `answer(number, request)` gives the response to the number-th prompt, a `Response` or the JSON of one; `probe` that
    to the question whether the server is there. `models` maps the names it offers to their owners.
    """

    def __init__(
        self,
        answer: Callable[[int, Json], Any] = lambda _, request: seen(request),
        latency: float = 0.0,
        slots: int | None = None,
        *,
        probe: Any = None,
        models: dict[str, str] | None = None,
    ):
        super().__init__(answer, latency, slots)
        self.probe = completion("Yes.", model=MODEL) if probe is None else probe
        self.models = {MODEL: "someone"} if models is None else models

    @property
    def asked(self) -> list[Json]:
        """The bodies of all prompts."""
        return [body for body in self.completions if texts_of(body) != [PROBE]]

    async def _respond(self, method: str, path: str, body: bytes) -> Response:
        if path.endswith("/models"):
            rows = [{"id": name, "object": "model", "owned_by": owner} for name, owner in self.models.items()]
            return Response({"object": "list", "data": rows})
        if method == "POST" and texts_of(json.loads(body)) == [PROBE]:
            return self.probe if isinstance(self.probe, Response) else Response(self.probe)
        return await super()._respond(method, path, body)


def main() -> None:
    """Answer until standard input closes; prints the base URL."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    with ModelServer(latency=parser.parse_args().latency) as server:
        print(server.url, flush=True)
        input()


if __name__ == "__main__":
    main()
