"""A loopback server that speaks enough of OpenAI's API to judge, in batches too, and to fail in every way asked for."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cotasks.judge.llm.rubric import read_user_message

Json = dict[str, Any]


@dataclass(frozen=True)
class Response:
    """What the server does with a request."""

    body: Any = b""
    """Bytes, or what is sent as JSON."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    """Never answer."""
    cut: bool = False
    """Close the connection in the middle of the body."""


@dataclass(frozen=True)
class Request:
    """What the server received."""

    path: str
    raw: bytes
    """Request line, headers and body."""
    body: bytes


def completion(content: str | None, **changes: Any) -> Json:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": content, "refusal": changes.pop("refusal", None)}
    choice = {"index": 0, "finish_reason": changes.pop("finish_reason", "stop"), "message": message}
    usage = {"prompt_tokens": 500, "completion_tokens": 40, "total_tokens": 540}
    base = {"id": "c", "object": "chat.completion", "created": 0, "model": "judge-2026-01-01"}
    return {**base, "choices": [choice], "usage": usage, **changes}


def verdict(score: Any = 5, match: Any = "yes", reason: Any = "Same meaning.") -> Json:
    """A completion with a verdict."""
    return completion(json.dumps({"reason": reason, "match": match, "score": score}))


def asked_about(request: Json) -> Json:
    """The question, references and prediction that a request is about."""
    return dict(read_user_message(request["messages"][1]["content"]))


def fair(request: Json) -> Json:
    """A judge that knows equal words only."""
    data = asked_about(request)
    return verdict(5, "yes") if data["prediction"] in data["references"] else verdict(1, "no", "Other words.")


class JudgeServer:
    """Runs in a thread while the context lasts.

    `answer(number, request)` gives the response to the number-th chat completion, a `Response` or the JSON of one.
    """

    def __init__(
        self,
        answer: Callable[[int, Json], Any] = lambda _, request: fair(request),
        latency: float = 0.0,
        slots: int | None = None,
    ):
        """`slots` is how many completions are worked on at once; the others wait, also those that nobody waits for."""
        self.answer = answer
        self.latency = latency
        self._slots = asyncio.Semaphore(slots or 10_000)
        self.worked_off = 0
        """Completions that were worked on to the end, and so are billed."""
        self.requests: list[Request] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Json] = {}
        self.batch_status = "completed"
        self.most_at_once = 0
        self._at_once = 0
        self._number = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> JudgeServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # it is dead already
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def die(self) -> None:
        """Called in an answer: hang up on everybody, and listen no more."""
        self._loop.call_soon(self._loop.stop)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def completions(self) -> list[Json]:
        """The bodies of all chat completion requests."""
        return [json.loads(r.body) for r in self.requests if r.path.endswith("/chat/completions")]

    @property
    def asked(self) -> list[Json]:
        """What each was about."""
        return [asked_about(body) for body in self.completions]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b" ", 2)
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                self.requests.append(Request(path.decode(), head + body, body))
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    response = await self._respond(method.decode(), path.decode(), body)
                finally:
                    self._at_once -= 1
                if response.hang:
                    await asyncio.sleep(3600)
                data = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
                kind = "text/plain" if isinstance(response.body, bytes) else "application/json"
                headers = {"content-type": kind, "content-length": str(len(data)), **response.headers}
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                sent = f"HTTP/1.1 {response.status} x\r\n{lines}\r\n".encode() + data
                writer.write(sent[: len(sent) - len(data) // 2 - 1] if response.cut else sent)
                if response.cut:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _respond(self, method: str, path: str, body: bytes) -> Response:
        if path.endswith("/chat/completions"):
            self._number += 1
            number = self._number
            async with self._slots:
                if self.latency:
                    await asyncio.sleep(self.latency)
                answer = self.answer(number, json.loads(body))
                self.worked_off += not isinstance(answer, Response) or answer.status == 200
            return answer if isinstance(answer, Response) else Response(answer)
        if path.endswith("/files"):
            boundary = body[: body.index(b"\r\n")]
            part = next(p for p in body.split(boundary) if b"filename=" in p)
            name = f"file-{len(self.files)}"
            self.files[name] = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            return Response({"id": name, "object": "file", "bytes": 1, "created_at": 0, "purpose": "batch"})
        if match := re.search(r"/files/([^/]+)/content", path):
            return Response(self.files[match[1]])
        if match := re.search(r"/batches/([^/?]+)", path):
            return Response(self._batch(match[1]))
        if method == "POST":
            name = f"batch-{len(self.batches)}"
            self.batches[name] = {"input_file_id": json.loads(body)["input_file_id"], "polls": 0}
            return Response(self._batch(name))
        return Response({"object": "list", "data": [self._batch(name) for name in self.batches], "has_more": False})

    def _batch(self, name: str) -> Json:
        """A batch as it is shown; it ends at the second look."""
        batch = self.batches[name]
        batch["polls"] += 1
        base = {"id": name, "object": "batch", "completion_window": "24h", "created_at": 0, "endpoint": "/v1"}
        base |= {"input_file_id": batch["input_file_id"]}
        if batch["polls"] < 3:
            return {**base, "status": "in_progress", "request_counts": {"completed": 0, "failed": 0, "total": 1}}
        if self.batch_status == "failed":
            return {**base, "status": "failed", "errors": {"data": [{"message": "no such model"}]}}
        if "output" not in batch:
            self._work_off(name, batch)
        return {
            **base,
            "status": self.batch_status,
            "output_file_id": batch["output"],
            "error_file_id": batch["errors"],
        }

    def _work_off(self, name: str, batch: Json) -> None:
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            self._number += 1
            answer = self.answer(self._number, asked["body"])
            response = answer if isinstance(answer, Response) else Response(answer)
            row = {"id": "r", "custom_id": asked["custom_id"], "error": None}
            row["response"] = {"status_code": response.status, "request_id": "r", "body": response.body}
            (good if response.status == 200 else bad).append(json.dumps(row).encode())
        batch["output"], batch["errors"] = f"{name}-output", f"{name}-errors"
        self.files[batch["output"]], self.files[batch["errors"]] = b"\n".join(good), b"\n".join(bad)


def main() -> None:
    """Serve verdicts until standard input closes; prints the base URL."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    ready = Response(json.dumps(verdict()).encode(), headers={"content-type": "application/json"})
    with JudgeServer(lambda *_: ready, arguments.latency) as server:
        print(server.url, flush=True)
        input()


if __name__ == "__main__":
    main()
