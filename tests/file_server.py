"""A loopback server of files that fails as servers and networks do, on request."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

HTML = b"<!DOCTYPE html>\n<html><body>Please sign in to the network of this hotel.</body></html>\n"
Fault = int | bytes | Literal["drop", "reset", "restart", "silent"]


class FileServer:
    """Serves `files` by path under `url`, with ETag, Content-Length and ranges.

    Paths below `/datasets/` are answered as the Hub answers for large files: a redirect to another host (to the path
    below `/cdn`), with size and sha256 in its headers.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        """What goes wrong with the next GETs of a path, one entry a request. A number is a status with an HTML body,
        bytes are another file. `drop` announces the whole length, sends half of what is asked and closes; `reset`
        closes with a reset; `silent` announces no length; `restart` is `drop` by a server that knows no ranges."""
        self.always: dict[str, int | bytes] = {}
        """What each HEAD and GET of a path gets: a status (0 closes without an answer), or other bytes."""
        self.etags = True
        self.requests: list[tuple[str, str, str, str]] = []
        """(method, path, range or "", authorization or "") in the order of arrival."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FileServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def gets(self, path: str) -> list[str]:
        """The ranges of the GETs of a path; "" for the whole."""
        return [asked for method, requested, asked, _ in self.requests if method == "GET" and requested == path]


class _Handler(BaseHTTPRequestHandler):
    owner: FileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Be silent."""

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_GET(self) -> None:
        faults = self.owner.faults[self.path]
        self._answer(faults.pop(0) if faults else None)

    def _answer(self, fault: Fault | None) -> None:
        asked = self.headers.get("Range", "")
        self.owner.requests.append((self.command, self.path, asked, self.headers.get("Authorization", "")))
        name = self.path.removeprefix("/cdn")
        data = self.owner.always.get(self.path, self.owner.files.get(name, 404))
        if isinstance(fault, bytes):
            data, fault = fault, None
        if isinstance(data, int) or isinstance(fault, int):
            self._send(fault if isinstance(fault, int) else data, {}, HTML)  # type: ignore[arg-type]
        elif self.path.startswith("/datasets/"):
            location = self.owner.url.replace("127.0.0.1", "localhost") + "/cdn" + name
            digest = hashlib.sha256(data).hexdigest()
            self._send(302, {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{digest}"', "Location": location})
        else:
            etag = {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} if self.owner.etags else {}
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and fault != "restart" else 0
            if not start:
                self._send(200, etag, data, fault)
            elif start < len(data):
                self._send(
                    206, {**etag, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:], fault
                )
            else:
                self._send(416, {}, HTML)

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", fault: Fault | None = None) -> None:
        self.close_connection = True
        if status == 0:
            return
        self.send_response(status)
        length = {} if fault == "silent" else {"Content-Length": str(len(body))}
        for name, value in {**headers, **length, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if fault is None else body[: len(body) // 2])
        if fault == "reset":
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
