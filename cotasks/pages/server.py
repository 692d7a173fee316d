"""The server of a page: on this machine only, for whoever knows the address.

It listens on the loopback address. A request is served only with the token in its path and this server's own address as
its Host, which a page that only got its name to point here does not send; a POST only with this server as its Origin,
which a page from elsewhere cannot claim. Everything else is answered alike, and told nothing. A file is served in parts
where a part is asked for (RFC 9110, section 14), so that a browser can seek in a video.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

HOST = "127.0.0.1"
MOST_BYTES = 100_000
"""Of a POST's body."""
SECONDS = 30.0
"""How long a connection may be silent."""
BLOCK = 1 << 18
"""Bytes of a file that are read at a time."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
HTML, CSS, JAVASCRIPT = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"
JSON, PLAIN = "application/json", "text/plain"


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    kind: str
    """Content-Type."""
    content: bytes | Path
    """A file is read as it is sent."""
    status: int = 200


NOT_FOUND = Reply(PLAIN, b"not found\n", 404)
Get = Callable[[str, str], Reply | None]
"""(what is asked for below the token, query) -> the answer; None where there is no such thing."""
Post = Callable[[str, bytes], Reply | None]
"""(what is asked for below the token, JSON) -> the answer."""


def json_reply(value: Any, status: int = 200) -> Reply:
    """A value as JSON."""
    return Reply(JSON, orjson.dumps(value), status)


class PageServer:
    """Serves a page."""

    def __init__(self, get: Get, post: Post | None = None, port: int = 0) -> None:
        """`port` 0 takes a free one. Raises OSError where the port is taken."""
        self.get, self.post = get, post
        self.token = secrets.token_urlsafe(24)
        self._server = _Loopback((HOST, port), _handler(self))
        self.port = int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """Of the page, with the token."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread while the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Loopback(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a browser keeps its connections open
    address_family = socket.AF_INET

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error."""


def byte_range(asked: str | None, size: int) -> tuple[int, int] | None:
    """(first, last) byte of a file that a Range header asks for, both included; None for the whole file, as where the
    header is missing, has several ranges or is none.

    Raises ValueError where the file has no such bytes.
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (asked or "").strip())
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(size - 1, int(found[2] or size - 1))
        if found[2] and int(found[2]) < first:
            return None
    if first > last:
        raise ValueError(asked)
    return first, last


def _handler(server: PageServer) -> type[BaseHTTPRequestHandler]:
    """The class that answers requests to a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "cotasks"
        sys_version = ""
        timeout = SECONDS

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: paths hold the token."""

        def _path(self) -> tuple[str, str] | None:
            """(what is asked for below the token, query); None where the request is not for this server's page."""
            own = {f"{HOST}:{server.port}", f"localhost:{server.port}"}
            path, _, query = self.path.partition("?")
            token, slash, name = path.removeprefix("/").partition("/")
            known = secrets.compare_digest(token.encode(), server.token.encode())
            if not known or not slash or self.headers.get("Host") not in own:
                return None
            return name, query

        def do_GET(self) -> None:
            asked = self._path()
            if asked is None or self.headers.get("Sec-Fetch-Site") == "cross-site":
                self._send(NOT_FOUND)
                return
            self._send(server.get(*asked) or NOT_FOUND)

        do_HEAD = do_GET

        def do_POST(self) -> None:
            asked = self._path()
            origin = f"http://{self.headers.get('Host')}"
            length = self.headers.get("Content-Length", "")
            fits = length.isdecimal() and int(length) <= MOST_BYTES
            foreign = not asked or self.headers.get("Origin") != origin
            if server.post is None or not fits or foreign:
                self.close_connection = True  # the body is not read
                self._send(NOT_FOUND)
                return
            if self.headers.get("Content-Type") != JSON:
                self.close_connection = True
                self._send(Reply(PLAIN, b"expected application/json\n", 415))
                return
            assert asked is not None
            self._send(server.post(asked[0], self.rfile.read(int(length))) or NOT_FOUND)

        def _send(self, reply: Reply) -> None:
            if isinstance(reply.content, Path):
                self._send_file(reply.kind, reply.content)
                return
            self._head(reply.status, {"Content-Type": reply.kind, "Content-Length": str(len(reply.content))})
            if self.command != "HEAD":
                self.wfile.write(reply.content)

        def _send_file(self, kind: str, path: Path) -> None:
            try:
                file = path.open("rb")
            except OSError:
                self._send(NOT_FOUND)
                return
            with file:
                size = file.seek(0, 2)
                try:
                    part = byte_range(self.headers.get("Range"), size)
                except ValueError:
                    self._head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
                    return
                first, last = part or (0, size - 1)
                headers = {"Content-Type": kind, "Content-Length": str(last - first + 1), "Accept-Ranges": "bytes"}
                if part:
                    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
                self._head(206 if part else 200, headers)
                if self.command == "HEAD":
                    return
                file.seek(first)
                left = last - first + 1
                while left > 0 and (data := file.read(min(BLOCK, left))):
                    self.wfile.write(data)
                    left -= len(data)
                if left:  # the file was cut off meanwhile
                    self.close_connection = True

        def _head(self, status: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, **HEADERS}.items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()

    return Handler
