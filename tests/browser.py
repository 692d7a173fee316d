"""A headless Chromium that is given nothing but files, for tests of pages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def find_chromium() -> str:
    """Path of the browser. Skips the test where there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path")
    return path


@contextmanager
def browser() -> Iterator[Any]:
    """A `playwright` browser. Skips the test where playwright or the browser is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find_chromium()
    with sync_api.sync_playwright() as playwright:
        # playwright gives each browser a fresh profile folder, and --headless
        running = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


class Opened:
    """A page, with all it asked for and all it complained of."""

    def __init__(self, context: Any, path: Path, fragment: str = "", script: str = "") -> None:
        self.page = context.new_page()
        if script:
            self.page.add_init_script(script)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)
        self.page.goto(path.resolve().as_uri() + fragment)

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def until(self, expression: str, seconds: float = 20.0) -> Any:
        """Wait for an expression to be true; returns its value. (Playwright's own wait needs `eval`, which a policy
        may forbid.)"""
        end = time.monotonic() + seconds
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() < end, f"not true after {seconds:g} s: {expression}"
            time.sleep(0.02)
        return value

    def outside(self, path: Path) -> list[str]:
        """Requests for anything but the page itself and addresses that hold their own data."""
        own = path.resolve().as_uri()
        return [url for url in self.requests if url.split("#")[0] != own and not url.startswith("data:")]


@contextmanager
def opened(
    running: Any,
    path: Path,
    fragment: str = "",
    width: int = 1280,
    height: int = 800,
    scheme: str = "light",
    script: str = "",
) -> Iterator[Opened]:
    """The page of a file, offline, in a window of that size in pixels; `script` runs before the page's own."""
    context = running.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, device_scale_factor=1
    )
    try:
        yield Opened(context, path, fragment, script)
    finally:
        context.close()
