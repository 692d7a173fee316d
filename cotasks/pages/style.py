"""Scripts and styles: those that pages share, and how a page's own are put together."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SHARED = {
    "base.css": "colours by light and dark, text, buttons, the bar at the top, dialogs",
    "browse.css": "filters, a long list, and what is shown of one of its items",
    "boxes.css": "boxes with their names on a frame",
    "nodes.js": "nodes made of text alone, never of markup",
    "browse.js": "filters, search, the list, keys and the address of a page of many items",
    "boxes.js": "boxes with their names on a frame",
}
"""Files beside this one -> what is in them. A page's own come after them, in the same style sheet or script."""


def asset(*parts: str | Path) -> str:
    """The text of files one after the other: names of `SHARED`, and a page's own files by their paths."""
    return "".join((HERE / part if isinstance(part, str) else part).read_text(encoding="utf-8") for part in parts)
