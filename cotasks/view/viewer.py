"""All that a page asks for, whether it is served or written to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from cotasks.errors import CotasksError
from cotasks.pages.style import asset
from cotasks.view.detail import detail_of, record_of
from cotasks.view.index import Item, index_of, questions_of
from cotasks.view.sources import Opened, Where, open_sources
from cotasks.view.video import KINDS, OTHER_KIND, FrameReader, ending_of, video_row

HERE = Path(__file__).parent
SCRIPTS = ("player.js", "timeline.js", "graph.js", "answers.js", "page.js")
STYLES = ("page.css",)


class Viewer:
    """What paths hold, as the page asks for it. Threads may share it."""

    def __init__(self, paths: Sequence[str], where: Where | None = None) -> None:
        """Raises InputError as `open_sources` does."""
        self.opened: Opened = open_sources(paths, where or Where())
        self.questions, self.items = questions_of(self.opened)
        self.frames = FrameReader()
        self._of: dict[int, list[Item]] = {}
        for item in self.items:
            self._of.setdefault(item.question, []).append(item)

    @cached_property
    def index(self) -> dict[str, Any]:
        """See `cotasks.view.index`."""
        return index_of(self.opened, self.questions, self.items)

    def detail(self, question: int) -> dict[str, Any]:
        """See `cotasks.view.detail`. Raises IndexError where there is no such question."""
        return detail_of(self.opened, self.questions[question], self._of[question])

    def video_file(self, question: int) -> tuple[Path, str] | None:
        """(the video of a question, its Content-Type); None where there is none to show. Raises IndexError."""
        record, videos = record_of(self.opened, self.questions[question])
        if record is None or videos is None or "note" in video_row(record, videos):
            return None
        return videos.file(record), KINDS.get(ending_of(record.video_path), OTHER_KIND)

    def frame(self, question: int, frame: int) -> bytes | None:
        """A frame of a question's video as JPEG; None where there is none to show. Raises IndexError."""
        record, videos = record_of(self.opened, self.questions[question])
        if record is None or videos is None:
            return None
        try:
            return self.frames.read(record, videos, frame)
        except CotasksError:
            return None


def script() -> str:
    """The page's script."""
    return asset("nodes.js", "boxes.js", "browse.js", *(HERE / name for name in SCRIPTS))


def style() -> str:
    """The page's style sheet."""
    return asset("base.css", "browse.css", "boxes.css", *(HERE / name for name in STYLES))


def page(head: str = "") -> str:
    """The page; `head` stands in its head."""
    text = asset(HERE / "page.html")
    return text.replace("<!-- head -->", head).replace("<!-- browse -->", asset("browse.html"))
