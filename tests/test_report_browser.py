"""report.html in a headless Chromium that has no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cotasks.judge.run import judge_run
from cotasks.records.schema import Record
from cotasks.report import write_report
from cotasks.tools.files import dump_jsonl, read_jsonl
from tests import report_runs
from tests.browser import Opened, browser, opened
from tests.test_report import write_run

pytest.importorskip("jinja2")

MARKUP = "<img src=x onerror=window.broken=1>"
SCRIPT = "</script><script>window.broken=1</script><!-- <svg onload=window.broken=1>"
RIGHT_TO_LEFT = "\u202egnisrever"
TEMPLATE = "{{ 7*7 }} {% raw %} &lt;b&gt; &amp;"


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


def said(record: Record, condition: str) -> str | None:
    """Right under cotasks for every question of v0, under the baseline for those of v1; some answers are odd."""
    number = int(record.id.rsplit("/", 1)[1])
    if condition == "blind":
        return (MARKUP, SCRIPT, RIGHT_TO_LEFT, None, TEMPLATE, "")[number]
    right = (condition == "cotasks") == (record.video_id == "v0")
    return ("A. to play" if record.choices else "To play.") if right else "to sleep"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs over 12 questions on two videos with records and videos; the second without the condition blind."""
    folder = tmp_path_factory.mktemp("page")
    pytest.importorskip("av")
    records = report_runs.make_world(folder / "world", videos=2, questions=6)
    conditions = ("baseline", "cotasks", "blind")
    judges = ("exact", "f1")
    one = report_runs.write_run(folder / "one", records, said, conditions, model=MARKUP, judges=judges)
    swapped = {"baseline": "cotasks", "cotasks": "baseline"}
    two = report_runs.write_run(
        folder / "two",
        records,
        lambda record, condition: said(record, swapped[condition]),
        ("baseline", "cotasks"),
        model="org/two",
        judges=judges,
    )
    return write_report([one, two], out=folder / "out", videos=folder / "world" / "videos").html


@pytest.fixture
def show(running: Any, report: Path) -> Iterator[Callable[..., Opened]]:
    """show(fragment, width=...) -> the open page. The test fails where it asked for anything or complained."""
    with ExitStack() as stack:
        windows: list[Opened] = []

        def start(fragment: str = "#answers", **options: Any) -> Opened:
            windows.append(stack.enter_context(opened(running, report, fragment, **options)))
            return windows[-1]

        yield start
        for window in windows:
            assert window.page.evaluate("window.broken") is None
            assert window.complaints == []
            assert window.outside(report) == []


def status(window: Opened) -> tuple[int, int]:
    """(shown, all)"""
    found = re.match(r"([\d,]+) of ([\d,]+) answers", window.page.inner_text("#status"))
    assert found
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def rows(window: Opened, part: str = ".said") -> list[str]:
    """A part of the rows of the list, from the top; the test's lists fit into a tall window."""
    found = window.page.evaluate(
        "part => [...document.querySelectorAll('.row')].map(row => "
        "[row.getBoundingClientRect().top, row.querySelector(part)?.textContent ?? ''])",
        part,
    )
    return [text for _, text in sorted(found, key=lambda item: item[0])]


def current(window: Opened) -> tuple[str, str, str]:
    """(record id, condition, what was said) of the answer that is shown."""
    page = window.page
    parts = ("#detail .where code", "#detail .current .by", "#detail .current .said")
    return tuple(page.text_content(part) for part in parts)  # type: ignore[return-value]


def pick(window: Opened, name: str, value: str) -> None:
    window.page.select_option(f"select[name={name}]", value)


TALL = {"height": 5200}  # 60 rows and the filters


def test_filters_alone_and_together(show: Callable[..., Opened]) -> None:
    window = show(**TALL)
    assert status(window) == (60, 60)
    expected = {
        ("run", "one"): 36,
        ("condition", "blind"): 12,
        ("category", "temporal"): 30,
        ("type", "CW"): 30,
        ("verdict", "right"): 24,
        ("verdict", "unscored"): 2,
        ("verdict", "unreadable"): 4,
        ("outcome", "won"): 12,
        ("outcome", "lost"): 17,
        ("outcome", "tied"): 5,
        ("outcome", "baseline"): 24,
        ("outcome", "not_compared"): 2,
    }
    for (name, value), count in expected.items():
        label = window.page.text_content(f"select[name={name}] option[value={value}]")
        assert label is not None
        assert label.endswith(f"({count})"), label
        pick(window, name, value)
        assert status(window) == (count, 60), (name, value)
        assert len(rows(window)) == count
        pick(window, name, "")
    pick(window, "verdict", "wrong")
    pick(window, "condition", "cotasks")
    pick(window, "run", "one")
    assert status(window) == (6, 60)
    before = current(window)
    window.page.focus("select[name=run]")
    window.page.keyboard.press("j")  # letters are keys here too
    assert current(window)[0] != before[0]
    assert rows(window) == ["to sleep"] * 6
    # the other values of a filter are counted with the remaining filters in place
    assert "(6)" in str(window.page.text_content("select[name=verdict] option[value=right]"))
    assert "(12)" not in str(window.page.text_content("select[name=verdict] option[value=right]"))
    window.page.click("#clear")
    assert status(window) == (60, 60)


def test_the_judge_decides_what_is_right(show: Callable[..., Opened]) -> None:
    window = show("#answers?condition=blind", **TALL)
    pick(window, "sort", "score-down")
    assert status(window) == (12, 60)
    pick(window, "judge", "f1")
    assert status(window) == (12, 60)
    window.page.click("#tab-results")
    assert window.page.is_visible('section[data-judge="f1"]')
    assert not window.page.is_visible('section[data-judge="exact"]')
    window.page.click('#judges button[value="exact"]')
    assert window.page.is_visible('section[data-judge="exact"]')
    window.page.click("#tab-answers")
    assert window.page.input_value("select[name=judge]") == "exact"


def test_search(show: Callable[..., Opened]) -> None:
    window = show(**TALL)
    expected = {
        "SLEEP play.": 0,  # every word must occur
        "sleep": 42,  # an option of every second question, an answer to the others
        "sleep  V1": 21,
        "v1/3": 5,
        "onerror": 2,
        "zebra": 0,
    }
    for text, count in expected.items():
        window.page.fill("#search", text)
        assert status(window) == (count, 60), text
        assert len(rows(window)) == count
    assert "No answer matches." in str(window.page.text_content("#list"))
    assert window.page.text_content("#detail") == ""
    window.page.fill("#search", "")
    assert status(window) == (60, 60)


def test_sorting(show: Callable[..., Opened]) -> None:
    window = show("#answers?run=one", **TALL)
    in_order = rows(window)
    assert in_order[:3] == ["to sleep", "To play.", MARKUP]  # by question, the baseline first
    marks = {"score-up": ["wrong", "right", "unscored"], "score-down": ["right", "wrong", "unscored"]}
    for order, expected in marks.items():
        pick(window, "sort", order)
        titles = window.page.evaluate(
            "[...document.querySelectorAll('.row')].sort((a, b) => a.getBoundingClientRect().top - "
            "b.getBoundingClientRect().top).map(row => row.querySelector('.mark').className.split(' ')[1])"
        )
        kinds = ["wrong" if kind == "unreadable" else kind for kind in titles]
        assert list(dict.fromkeys(kinds)) == expected
    pick(window, "sort", "gain-down")
    gains = rows(window, ".meta .gain, .meta .loss")
    assert gains[:6] == ["+100"] * 6
    pick(window, "sort", "gain-up")
    assert rows(window, ".meta .gain, .meta .loss")[:6] == ["\u2212100"] * 6
    pick(window, "sort", "longest")
    lengths = [len(text) for text in rows(window)]
    assert lengths[0] == max(lengths)
    pick(window, "sort", "data")
    assert rows(window) == in_order


def test_keyboard(show: Callable[..., Opened]) -> None:
    window = show("#answers?run=one", height=700)
    press = window.page.keyboard.press
    ids = [f"nextqa/validation/v{v}/{n}" for v in (0, 1) for n in range(6)]
    first, last = (ids[0], "baseline"), (ids[-1], "blind")
    assert current(window)[:2] == first
    for keys, expected in (
        ("j", (ids[0], "cotasks")),
        ("ArrowDown", (ids[0], "blind")),
        ("j", (ids[1], "baseline")),
        ("k", (ids[0], "blind")),
        ("ArrowUp", (ids[0], "cotasks")),
        ("End", last),
        ("j", last),
        ("Home", first),
        ("k", first),
    ):
        press(keys)
        assert current(window)[:2] == expected, keys
        place = window.page.get_attribute("#list", "aria-activedescendant")
        box = window.page.query_selector(f"#{place}").bounding_box()
        frame = window.page.query_selector("#list").bounding_box()
        assert frame["y"] - 1 <= box["y"] <= box["y"] + box["height"] <= frame["y"] + frame["height"] + 1
        assert window.page.get_attribute(f"#{place}", "aria-selected") == "true"
    press("c")  # other answers to the question, those of the other run too
    assert current(window)[1] == "cotasks"
    press("c")
    press("c")
    assert "org/two" in str(window.page.evaluate("document.querySelector('.current').parentNode.innerText"))
    press("Home")

    press("/")
    assert window.page.evaluate("document.activeElement.id") == "search"
    window.page.keyboard.type("jab?")  # letters that are keys elsewhere
    assert window.page.input_value("#search") == "jab?"
    assert status(window)[0] == 0
    press("Escape")
    assert window.page.evaluate("document.activeElement.id") == "list"
    press("x")
    assert status(window) == (60, 60)

    press("?")
    assert window.page.is_visible("#help")
    press("j")
    assert current(window)[:2] == first
    press("Escape")
    assert not window.page.is_visible("#help")

    assert not window.page.is_visible("#detail pre")
    press("p")
    assert window.page.is_visible("#detail pre")
    press("j")
    assert window.page.is_visible("#detail pre")  # stays open from answer to answer
    assert window.page.is_visible("#detail .frames .box >> nth=0")
    press("b")
    assert not window.page.is_visible("#detail .frames .box >> nth=0")
    press("r")
    assert window.page.is_visible("#results")
    press("a")
    assert window.page.is_visible("#answers")


def test_text_stays_text(show: Callable[..., Opened]) -> None:
    window = show("#answers?condition=blind&run=one")
    shown = {}
    for _ in range(12):
        id_, _, text = current(window)
        shown[id_] = text
        assert window.page.evaluate("document.querySelectorAll('#answers img, #answers script').length") == 0
        window.page.keyboard.press("j")
    expected = [MARKUP, SCRIPT, RIGHT_TO_LEFT, "no answer", TEMPLATE, "(empty)"]
    assert list(shown.values()) == expected * 2
    assert MARKUP in str(window.page.text_content("#detail h3"))
    window.page.keyboard.press("r")
    assert window.page.text_content("h1") == f"{MARKUP}, org/two"
    assert window.page.title() == f"Report: {MARKUP}, org/two"
    assert MARKUP in str(window.page.text_content(".cards"))
    assert window.page.evaluate("document.querySelectorAll('img').length") == 0


def test_the_policy_holds_even_if_markup_got_in(running: Any, report: Path) -> None:
    with opened(running, report, "#answers") as window:
        for attack in (
            "document.body.innerHTML = '<img src=x onerror=window.broken=1>'",
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.broken = 1'}))",
            "document.head.append(Object.assign(document.createElement('link'), "
            "{rel: 'stylesheet', href: 'https://example.org/x.css'}))",
            "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))",
        ):
            window.page.evaluate(f"() => {{ try {{ {attack} }} catch (error) {{ console.log(error.message) }} }}")
        window.page.evaluate("fetch('https://example.org/').catch(() => 0)")
        window.page.wait_for_timeout(200)
        assert window.page.evaluate("window.broken") is None
        assert len([text for text in window.complaints if "Content Security Policy" in text]) >= 4


def test_frames_boxes_and_prompt(show: Callable[..., Opened]) -> None:
    window = show("#answers?condition=cotasks&run=one")
    panels = window.page.query_selector_all("#detail .frames figure")
    assert len(panels) == 6
    loaded = window.page.evaluate(
        "Promise.all([...document.querySelectorAll('#detail .frames image')].map(async node => {"
        " const one = new Image(); one.src = node.getAttribute('href'); await one.decode();"
        " return one.naturalWidth; }))"
    )
    assert loaded == [128] * 6
    assert len(window.page.query_selector_all("#detail .frames .box")) == 12
    assert window.page.inner_text("#detail .tracks").split("\n") == ["dog", "ball/sports ball"]
    window.page.click("#detail .frames button >> nth=2")
    assert window.page.is_visible("#frame")
    assert "frame 24" in str(window.page.text_content("#frame"))
    window.page.keyboard.press("Escape")
    assert not window.page.is_visible("#frame")
    window.page.keyboard.press("p")
    window.page.wait_for_selector("#detail pre:has-text('Question')")
    prompt = str(window.page.text_content("#detail pre"))
    assert prompt.startswith("[video: 6 frames, 0.00 s to 2.36 s of the file]\nNotes on the video")
    assert "Step 2, entity tracking" in prompt
    assert prompt.endswith("Question: why did the dog of v0 run after the ball again\nAnswer with a short phrase.")
    window.page.keyboard.press("c")
    assert "Step" not in str(window.page.text_content("#detail pre"))  # the blind condition has none


def test_an_answer_with_its_verdicts(show: Callable[..., Opened]) -> None:
    window = show("#answers?run=two&condition=cotasks&answer=4")
    assert current(window) == ("nextqa/validation/v0/0", "cotasks", "to sleep")
    detail = window.page.inner_text("#detail")
    assert "to play" in window.page.inner_text("#detail .reference")
    assert re.search(r"exact: wrong, score 0\s+\u2212100 against baseline\s+equals no reference", detail)
    assert re.search(r"f1: wrong, score 50\s+\u221250 against baseline\s+shares words with a reference", detail)
    assert len(window.page.query_selector_all("#detail .by-question button")) == 5  # of both runs
    window.page.click("#detail .by-question button >> nth=0")
    assert current(window)[1:] == ("baseline", "to sleep")
    assert "select" not in window.page.evaluate("document.activeElement.tagName").lower()


def test_links(show: Callable[..., Opened]) -> None:
    window = show("")
    assert window.page.is_visible("#results")
    window.page.click('section[data-judge="exact"] a[href*="outcome=won"] >> nth=0')
    assert status(window) == (6, 60)
    assert window.page.input_value("select[name=run]") == "one"
    window.page.keyboard.press("j")
    window.page.fill("#search", "v0")
    window.until("location.hash.includes('search=v0')")
    place = window.page.evaluate("location.hash")
    before = current(window)
    again = show(place)
    assert status(again) == status(window) == (6, 60)
    assert again.page.input_value("#search") == "v0"
    assert current(again) == before
    again.page.click("#tab-results")
    again.page.click('#judges button[value="f1"]')
    again.page.click("#tab-answers")
    assert status(again) == (6, 60)  # filters stay, and the judge is the one that was chosen there
    assert again.page.input_value("select[name=judge]") == "f1"
    odd = show("#answers?condition=nothing&sort=no&answer=99999&judge=x&search=")
    assert status(odd) == (60, 60)


def test_narrow(show: Callable[..., Opened]) -> None:
    window = show("#answers", width=390, height=800)
    page = window.page
    assert page.is_visible("#list")
    assert not page.is_visible("#detail")
    assert not page.is_visible("#facets")
    page.click("#more")
    pick(window, "verdict", "right")
    page.click("#more")
    assert page.inner_text("#more") == "Filters (1)"
    page.click(".row >> nth=2")
    assert page.is_visible("#detail")
    assert not page.is_visible("#list")
    second = current(window)
    page.keyboard.press("j")
    third = current(window)
    assert third != second
    page.click("#back")
    assert page.is_visible("#list")
    assert not page.is_visible("#detail")
    assert status(window) == (24, 60)
    page.keyboard.press("Enter")
    assert page.is_visible("#detail")
    assert current(window) == third
    page.go_back()
    assert page.is_visible("#list")
    for view in ("r", "a"):
        page.keyboard.press(view)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_dark(show: Callable[..., Opened]) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        window = show("", scheme=scheme)
        grounds[scheme] = window.page.evaluate(
            "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name]"
            ".match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
        )
    assert grounds["light"][0] > 600 > 150 > grounds["light"][1]
    assert grounds["dark"][0] < 150 < 600 < grounds["dark"][1]


def test_without_javascript_the_results_are_there(running: Any, report: Path) -> None:
    context = running.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.is_visible('section[data-judge="exact"] table >> nth=0')
    assert page.is_visible('section[data-judge="f1"] table >> nth=0')
    assert not page.is_visible("#judges")
    context.close()


def test_a_long_list_draws_only_what_is_seen(running: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    questions = list(read_jsonl(folder / "questions.jsonl"))
    many = [{**questions[n % 2], "id": f"m{n}", "question": f"number {n}"} for n in range(3000)]
    dump_jsonl(folder / "questions.jsonl", many)
    answers = [
        {"id": row["id"], "condition": condition, "sample": 0, "answer": "A" if n % 3 else "B"}
        for n, row in enumerate(many)
        for condition in ("baseline", "cotasks")
    ]
    dump_jsonl(folder / "generations" / "00000.jsonl", answers)
    judge_run(folder)
    path = write_report([folder]).html
    with opened(running, path, "#answers") as window:
        assert status(window) == (6000, 6000)
        assert 8 <= len(rows(window)) <= 30
        window.page.keyboard.press("End")
        assert rows(window, ".asked")[-1] == "number 2999"
        window.page.evaluate("document.getElementById('list').scrollTop = 72 * 3000")
        window.until("document.querySelector('.row .asked').textContent.startsWith('number 149')")
        assert len(rows(window)) <= 30
        pick(window, "verdict", "right")
        assert status(window) == (2000, 6000)
        assert window.complaints == []
        assert window.outside(path) == []
