"""The viewer's server; `cotasks.pages.server` says whom it answers.

    GET /TOKEN/                       the page
    GET /TOKEN/page.css, page.js
    GET /TOKEN/data/index.json        what is listed
    GET /TOKEN/data/questions/N.json  all of question N
    GET /TOKEN/videos/N.mp4           its video, in parts where parts are asked for; whatever the ending
    GET /TOKEN/frames/N/F.jpg         frame F of it, as it is decoded here

Files are named by the number of a question alone: nothing else of this machine can be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

import orjson

from cotasks.pages.server import CSS, HTML, JAVASCRIPT, JSON, PageServer, Reply, json_reply
from cotasks.view.viewer import Viewer, page, script, style


class ViewServer(PageServer):
    """Serves what a viewer holds."""

    def __init__(self, viewer: Viewer, port: int = 0) -> None:
        """`port` 0 takes a free one. Raises OSError where the port is taken."""
        self.viewer = viewer
        super().__init__(self._get, None, port)

    def prepare(self) -> None:
        """Make what the page reads first, so that it need not wait."""
        assert self._index

    @cached_property
    def _index(self) -> bytes:
        return orjson.dumps(self.viewer.index)

    def _get(self, name: str, query: str) -> Reply | None:
        for pattern, answer in ROUTES.items():
            found = re.fullmatch(pattern, name)
            if found is not None:
                try:
                    return answer(self, *map(int, found.groups()))
                except IndexError:
                    return None
        return None

    def _video(self, question: int) -> Reply | None:
        found = self.viewer.video_file(question)
        return None if found is None else Reply(found[1], found[0])

    def _frame(self, question: int, frame: int) -> Reply | None:
        data = self.viewer.frame(question, frame)
        return None if data is None else Reply("image/jpeg", data)


ROUTES: dict[str, Callable[..., Reply | None]] = {
    r"": lambda _: Reply(HTML, page().encode()),
    r"page\.css": lambda _: Reply(CSS, style().encode()),
    r"page\.js": lambda _: Reply(JAVASCRIPT, script().encode()),
    r"data/index\.json": lambda server: Reply(JSON, server._index),
    r"data/questions/(\d{1,9})\.json": lambda server, n: json_reply(server.viewer.detail(n)),
    r"videos/(\d{1,9})\.\w+": lambda server, n: server._video(n),
    r"frames/(\d{1,9})/(\d{1,9})\.jpg": lambda server, n, frame: server._frame(n, frame),
}
"""What is asked for -> what answers it, given the numbers in it."""
