"""The label page's server: on this machine only, for whoever knows the address.

    GET  /TOKEN/                the page
    GET  /TOKEN/page.css, /TOKEN/page.js
    GET  /TOKEN/items           what to label, and what was said so far
    GET  /TOKEN/frames?KEY      frames of an item
    POST /TOKEN/labels          {key, correct, rating, comment}; answered when the label is on the disk

It listens on the loopback address. A request is served only with the token in its path and this server's own address as
its Host, which a page that only got its name to point here does not send; a POST only with this server as its Origin,
which a page from elsewhere cannot claim. Everything else is answered alike, and told nothing.
"""

from __future__ import annotations

import dataclasses
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import CotasksError
from cotasks.label.book import Book, read_said
from cotasks.label.pictures import Pictures
from cotasks.label.sample import Item
from cotasks.pages.style import base_style

HOST = "127.0.0.1"
MOST_BYTES = 100_000
"""Of a POST's body."""
SECONDS = 30.0
"""How long a connection may be silent."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
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


class LabelServer:
    """Serves one labeller's book."""

    def __init__(self, book: Book, pictures: Pictures | None = None, port: int = 0) -> None:
        """`port` 0 takes a free one. Raises OSError where the port is taken."""
        self.book, self.pictures = book, pictures
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

    def items(self) -> dict[str, Any]:
        """All that the page shows."""
        scale, rubric = self.book.plan.rubric.scale, self.book.plan.rubric
        return {
            "labeller": self.book.labeller,
            "rubric": {"name": self.book.plan.rubric_name, "text": rubric.text},
            "scale": {"name": scale.name, "lowest": scale.lowest, "highest": scale.highest, "rates": scale.rates},
            "frames": self.pictures is not None,
            "items": [self._item(item) for item in self.book.items.values()],
        }

    def _item(self, item: Item) -> dict[str, Any]:
        shown = {"key": item.key, "question": item.question, "references": item.references, "answer": item.answer}
        given = self.book.given(item)
        return {**shown, "said": None if given is None else dataclasses.asdict(given.said)}

    def frames(self, key: str) -> dict[str, Any]:
        """The frames of an item."""
        item = self.book.items.get(key)
        if item is None or self.pictures is None:
            return {"missing": "no frames"}
        return self.pictures.answer(item.id)

    def label(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """(status, answer) of a POST: 200 where the label is on the disk."""
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError:
            given = None
        key = given.get("key") if isinstance(given, dict) else None
        item = self.book.items.get(key) if isinstance(key, str) else None
        if item is None:
            return 422, {"error": "no such answer"}
        try:
            said = read_said(given, self.book.plan.rubric.scale, "label")
        except CotasksError as error:
            return 422, {"error": str(error)}
        try:
            self.book.write(item, said)
        except (CotasksError, OSError) as error:
            return 500, {"error": str(error)}
        return 200, {"done": self.book.done()}


class _Loopback(ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error."""


def _page(name: str) -> bytes:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return ((base_style() + text) if name.endswith(".css") else text).encode()


def _handler(server: LabelServer) -> type[BaseHTTPRequestHandler]:
    """The class that answers requests to a server."""
    html, css, js = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"
    pages: Mapping[str, tuple[str, Callable[[str], bytes]]] = {
        "": (html, lambda _: _page("page.html")),
        "page.css": (css, lambda _: _page("page.css")),
        "page.js": (js, lambda _: _page("page.js")),
        "items": ("application/json", lambda _: orjson.dumps(server.items())),
        "frames": ("application/json", lambda query: orjson.dumps(server.frames(query))),
    }

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
            if asked is None or asked[0] not in pages or self.headers.get("Sec-Fetch-Site") == "cross-site":
                self._send(404, "text/plain", b"not found\n")
                return
            kind, content = pages[asked[0]]
            self._send(200, kind, content(asked[1]))

        def do_POST(self) -> None:
            asked = self._path()
            origin = f"http://{self.headers.get('Host')}"
            length = self.headers.get("Content-Length", "")
            fits = length.isdecimal() and int(length) <= MOST_BYTES
            if not fits or not asked or asked[0] != "labels" or self.headers.get("Origin") != origin:
                self.close_connection = True  # the body is not read
                self._send(404, "text/plain", b"not found\n")
                return
            if self.headers.get("Content-Type") != "application/json":
                self.close_connection = True
                self._send(415, "text/plain", b"expected application/json\n")
                return
            status, answer = server.label(self.rfile.read(int(length)))
            self._send(status, "application/json", orjson.dumps(answer))

        def _send(self, status: int, kind: str, data: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **HEADERS}.items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

    return Handler
