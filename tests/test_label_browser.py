"""The label page in a headless Chromium: two people at their keyboards, and a command that is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cotasks.label.sample import choose, settle_plan
from cotasks.label.server import LabelServer
from cotasks.runs.run import read_run
from tests.browser import browser
from tests.report_runs import make_world, write_run
from tests.test_label import MARKUP, booked, labels_of, make_run
from tests.test_rubric_scales import rubric_file


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@contextmanager
def opened(running: Any, address: str, **options: Any) -> Iterator[Any]:
    """The page at an address. The test fails where it asks another server for something, or complains."""
    context = running.new_context(viewport={"width": 1200, "height": 800}, **options)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector("#item:not([hidden])")
    try:
        yield page
        assert complaints == []
        assert [url for url in requests if not url.startswith((address, "data:"))] == []
        assert page.evaluate("window.broken") is None
    finally:
        context.close()


def counted(page: Any) -> int:
    return int(page.inner_text("#count").split()[0])


def wait(page: Any, count: int) -> None:
    page.wait_for_function("count => document.title.startsWith(count + ' of ')", arg=count)


def press_label(page: Any, verdicts: dict[str, tuple[bool, int]]) -> None:
    """Label the answer shown, by two keys; what was said goes into `verdicts` by question and answer."""
    before = counted(page)
    shown = page.inner_text("#question") + page.inner_text("#answer")
    right = sum(shown.encode()) % 2 == 0
    rating = 3 + sum(shown.encode()) % 3 if right else sum(shown.encode()) % 3
    for key in ("y" if right else "n", str(rating)):
        page.keyboard.press(key)
    wait(page, before + 1)
    verdicts[shown] = right, rating


@contextmanager
def command(folder: Path, name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """(the command, its page's address)"""
    words = [sys.executable, "-m", "cotasks", "label", str(folder), "--labeller", name, "--answers", "50"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_two_people_label_fifty_answers_and_a_kill_loses_none(tmp_path: Path, running: Any) -> None:
    folder = make_run(tmp_path / "run", 60)
    said: dict[str, dict[str, tuple[bool, int]]] = {"ann": {}, "bob": {}}
    for name in said:
        with command(folder, name) as (process, address), opened(running, address) as page:
            total = int(page.inner_text("#count").split()[-1])
            for _ in range(23):
                press_label(page, said[name])
            process.send_signal(signal.SIGKILL)
            process.wait()
            shown = page.inner_text("#question")
            page.keyboard.press("y")
            page.keyboard.press("4")
            page.wait_for_selector("#notice:not([hidden])")
            assert "Not saved: the command is not running" in page.inner_text("#notice")
            assert page.inner_text("#question") == shown  # nothing goes on that is not on the disk
        with command(folder, name) as (process, address), opened(running, address) as page:
            assert counted(page) == 23
            for _ in range(total - 23):
                press_label(page, said[name])
            assert "answers are labelled" in page.inner_text("#notice")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
    run, plan = read_run(folder), settle_plan(folder)
    items = choose(run, plan)
    assert sum(len(item.answers) for item in items) == 50
    for name, verdicts in said.items():
        assert len(verdicts) == total == len(items)
        found = labels_of(folder, name)
        for item in items:
            _, rating = verdicts[item.question + item.answer]
            for key in item.answers:
                assert found[key].score == 20.0 * rating
        with booked(folder, name, 50) as (book, _):
            assert all(book.given(item).said.correct == verdicts[item.question + item.answer][0] for item in items)


def test_keys_notes_and_markup(tmp_path: Path, running: Any) -> None:
    folder = make_run(tmp_path / "run", 3, q1_baseline="  ")
    with booked(folder) as (book, items):
        server = LabelServer(book)
        with server.running(), opened(running, server.address) as page:
            press = page.keyboard.press
            texts = []
            for _ in items:
                texts.append(page.text_content("#answer"))
                press("ArrowRight")
            assert MARKUP in texts
            assert "The answer is empty." in texts
            assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
            press("Home")
            press("y")
            press("0")
            assert "contradict" in page.inner_text("#notice")
            press("m")
            page.keyboard.type("yes? 5 n")  # letters that are keys elsewhere
            press("Escape")
            assert counted(page) == 0
            press("5")
            wait(page, 1)
            assert book.given(items[0]).said.comment == "yes? 5 n"  # type: ignore[union-attr]
            press("u")
            wait(page, 2)
            assert book.given(items[1]).score is None  # type: ignore[union-attr]
            press("Home")
            press("n")  # a label is changed as a whole
            assert counted(page) == 2
            assert page.get_attribute('[data-rating="5"]', "aria-pressed") == "false"
            press("1")
            page.wait_for_selector('[data-correct="no"][aria-pressed="false"]')
            assert book.given(items[0]).score == 20.0  # type: ignore[union-attr]
            press("?")
            assert page.is_visible("#help")
            assert "You grade the answers" in page.inner_text("#rubric")
            press("y")
            press("Escape")
            assert not page.is_visible("#help")
            page.click('[data-correct="yes"]')
            page.click('[data-rating="4"]')
            wait(page, 3)


@pytest.mark.parametrize(
    ("scale", "keys", "expected"), [("yes/no", "y", (100.0, True)), ("0-100", "n35\n", (35.0, False))]
)
def test_other_scales(tmp_path: Path, running: Any, scale: str, keys: str, expected: tuple[float, bool]) -> None:
    folder = make_run(tmp_path / "run", 2)
    with booked(folder, rubric=rubric_file(tmp_path, scale)) as (book, items):
        server = LabelServer(book)
        with server.running(), opened(running, server.address) as page:
            for key in keys:
                page.keyboard.press({"\n": "Enter"}.get(key, key))
            wait(page, 1)
            given = book.given(items[0])
            assert given is not None
            assert (given.score, given.said.correct) == expected


def test_a_page_from_elsewhere_cannot_post(tmp_path: Path, running: Any) -> None:
    folder = make_run(tmp_path / "run", 2)
    with booked(folder) as (book, items), booked(folder, "bob") as (other, _):
        server, elsewhere = LabelServer(book), LabelServer(other)
        with server.running(), elsewhere.running(), opened(running, elsewhere.address) as page:
            page.evaluate(  # the same machine, another port
                """async ([address, body]) => fetch(address + 'labels', {method: 'POST', mode: 'no-cors',
                headers: {'Content-Type': 'text/plain'}, body: JSON.stringify(body)}).catch(() => null)""",
                [server.address, {"key": items[0].key, "correct": True, "rating": 4, "comment": ""}],
            )
            body = {"key": items[0].key, "correct": True, "rating": 4, "comment": ""}
            context = running.new_context()
            other_page = context.new_page()
            other_page.route(
                "http://evil.example/", lambda route: route.fulfill(body="<p>hello</p>", content_type="text/html")
            )
            other_page.goto("http://evil.example/")
            for kind in ("application/json", "text/plain"):
                for mode in ("cors", "no-cors"):
                    other_page.evaluate(
                        """([address, body, kind, mode]) => fetch(address + 'labels',
                        {method: 'POST', mode, headers: {'Content-Type': kind}, body: JSON.stringify(body)})
                        .catch(() => null)""",
                        [server.address, body, kind, mode],
                    )
            other_page.evaluate(
                """([address, body]) => { const form = document.createElement('form'); form.method = 'post';
                form.enctype = 'text/plain'; form.action = address + 'labels';
                const field = document.createElement('input'); field.name = JSON.stringify(body);
                form.append(field); document.body.append(form); form.submit(); }""",
                [server.address, body],
            )
            time.sleep(0.5)
            context.close()
            assert book.done() == other.done() == 0


def test_frames_are_shown(tmp_path: Path, running: Any) -> None:
    pytest.importorskip("av")
    from cotasks.label.pictures import pictures_of

    records = make_world(tmp_path / "world", 1, 2, choices=(), answer_index=-1)
    folder = write_run(tmp_path / "run", records, lambda record, condition: f"{condition} of {record.id}")
    (tmp_path / "world" / "videos" / "v1.mp4").write_bytes(b"no video")
    with booked(folder) as (book, _):
        pictures = pictures_of(read_run(folder), None, tmp_path / "world" / "videos", "fail")
        server = LabelServer(book, pictures)
        with server.running(), opened(running, server.address) as page:
            page.wait_for_selector("#frames img")
            page.wait_for_function("[...document.querySelectorAll('#frames img')].every(img => img.naturalWidth > 0)")
            assert page.evaluate("document.querySelectorAll('#frames figure').length") > 1
            page.click("#frames button >> nth=0")
            assert page.is_visible("#frame img")
            page.keyboard.press("Escape")
            press_label(page, {})
            if target := os.environ.get("COTASKS_PICTURES"):  # to look at it
                page.screenshot(path=f"{target}/label.png")
