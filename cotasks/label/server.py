"""The label page's server; `cotasks.pages.server` says whom it answers.

GET  /TOKEN/                the page
GET  /TOKEN/page.css, /TOKEN/page.js
GET  /TOKEN/items           what to label, and what was said so far
GET  /TOKEN/frames?KEY      frames of an item
POST /TOKEN/labels          {key, correct, rating, comment}; answered when the label is on the disk
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import CotasksError
from cotasks.label.book import Book, read_said
from cotasks.label.pictures import Pictures
from cotasks.label.sample import Item
from cotasks.pages.server import CSS, HTML, JAVASCRIPT, PageServer, Reply, json_reply
from cotasks.pages.style import asset

HERE = Path(__file__).parent
PAGES = {
    "": (HTML, lambda: asset(HERE / "page.html")),
    "page.css": (CSS, lambda: asset("base.css", HERE / "page.css")),
    "page.js": (JAVASCRIPT, lambda: asset("nodes.js", HERE / "page.js")),
}
"""What is asked for -> (its Content-Type, its text)."""


class LabelServer(PageServer):
    """Serves one labeller's book."""

    def __init__(self, book: Book, pictures: Pictures | None = None, port: int = 0) -> None:
        """`port` 0 takes a free one. Raises OSError where the port is taken."""
        self.book, self.pictures = book, pictures
        super().__init__(self._get, self._post, port)

    def _get(self, name: str, query: str) -> Reply | None:
        if name == "items":
            return json_reply(self.items())
        if name == "frames":
            return json_reply(self.frames(query))
        page = PAGES.get(name)
        return None if page is None else Reply(page[0], page[1]().encode())

    def _post(self, name: str, body: bytes) -> Reply | None:
        if name != "labels":
            return None
        status, answer = self.label(body)
        return json_reply(answer, status)

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
