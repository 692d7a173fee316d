"""How fast the viewer opens, filters, sorts and searches many answers in headless Chromium.

python tests/benchmarks/view_speed.py [--answers 100000] [--export] [--run FOLDER]

Writes a run of that many answers under four conditions, judged by two rules (or takes FOLDER); serves it, or with
`--export` writes it to a folder that is opened as a file. Each figure is the time until the browser has painted what
was asked for.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from cotasks.view.export import export
from cotasks.view.server import ViewServer
from cotasks.view.viewer import Viewer
from tests.benchmarks.page_speed import OPENED, PAINTED, write_run
from tests.browser import browser


def measure(running: Any, address: str) -> dict[str, float]:
    """{what was asked for: milliseconds}"""
    found: dict[str, float] = {}
    page = running.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(OPENED)
    page.goto(address)
    while not (value := page.evaluate("window.openedAfter")):
        time.sleep(0.02)
    found["open"] = value

    def timed(what: str, action: str) -> None:
        before = page.evaluate("performance.now()")
        page.evaluate(action)
        found[what] = page.evaluate(PAINTED) - before

    def pick(name: str, value: str) -> str:
        chosen = f"const s = document.querySelector('select[name={name}]'); s.value = '{value}';"
        return f"() => {{ {chosen} s.dispatchEvent(new Event('change')); }}"

    def search(text: str) -> str:
        found = f"const s = document.getElementById('search'); s.value = '{text}';"
        return f"() => {{ {found} s.dispatchEvent(new Event('input')); }}"

    for name, value in (("condition", "cotasks"), ("verdict", "wrong"), ("category", "causal")):
        timed(f"filter {name}", pick(name, value))
    timed("clear", "() => document.getElementById('clear').click()")
    timed("search of two words", search("dog jumps"))
    timed("search of a letter", search("o"))
    timed("clear again", "() => document.getElementById('clear').click()")
    timed("another judge", pick("judge", "f1"))
    timed("sort", pick("sort", "score-down"))
    timed("key End", "() => document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'End', bubbles: true}))")
    page.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, browser() as running:
        folder = options.run or Path(place) / "run"
        if not folder.exists():
            write_run(folder, options.answers)
        start = time.perf_counter()
        viewer = Viewer([str(folder)])
        server = ViewServer(viewer)
        server.prepare()
        print(f"{len(viewer.items)} answers read in {time.perf_counter() - start:.1f} s")
        if options.export:
            start = time.perf_counter()
            export(viewer, Path(place) / "out")
            print(f"exported in {time.perf_counter() - start:.1f} s")
            found = measure(running, (Path(place) / "out" / "index.html").as_uri())
        else:
            with server.running():
                found = measure(running, server.address)
    for what, milliseconds in found.items():
        print(f"{what:<20} {milliseconds:6.0f} ms")


if __name__ == "__main__":
    main()
