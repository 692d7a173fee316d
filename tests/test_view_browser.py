"""The viewer in a headless Chromium: what stands on the screen is held against the record."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotasks.look.drawing import PALETTE
from cotasks.records.schema import Record
from cotasks.view.export import export
from cotasks.view.server import ViewServer
from cotasks.view.sources import Where
from cotasks.view.viewer import Viewer
from tests.browser import browser
from tests.synthetic import HEIGHT, WIDTH, number_of, write_folder, write_video
from tests.view_world import COUNT, HOSTILE, World, box_of, make_world, moving_record

pytest.importorskip("av")
ID = "nextqa/validation/{}/{}"


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("view"))


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[ViewServer]:
    server = ViewServer(Viewer(world.paths, Where(videos=world.videos)))
    with server.running():
        yield server


@contextmanager
def opened(running: Any, address: str, fragment: str = "", width: int = 1280, height: int = 900) -> Iterator[Any]:
    """The page at an address. The test fails where it asks another server for something, or complains."""
    context = running.new_context(viewport={"width": width, "height": height}, device_scale_factor=1)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{address}{fragment}")
    page.wait_for_selector(".row")
    try:
        yield page
        if target := os.environ.get("COTASKS_PICTURES"):  # to look at it
            page.screenshot(path=f"{target}/view-{width}-{time.time():.0f}.png")
        assert page.evaluate("window.broken") is None
        assert complaints == []
        assert [url for url in requests if not url.startswith((address.removesuffix("index.html"), "data:"))] == []
    finally:
        context.close()


def wait_for(page: Any, frame: int, exact: bool = True) -> None:
    """Until the boxes of a frame are drawn, on the frame as it is decoded by us where `exact`."""
    shown = "!document.querySelector('.stage img').hidden" if exact else "true"
    condition = f"document.querySelector('.overlay')?.dataset.frame === '{frame}' && {shown}"
    end = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < end, (frame, page.inner_text(".readout"))
        time.sleep(0.02)


def screen(page: Any) -> np.ndarray[Any, Any]:
    """The stage as it stands on the screen, RGB."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB"))


def is_there(pixels: np.ndarray[Any, Any], x: float, y: float, colour: str) -> bool:
    """Whether a colour stands within two pixels of a place of the record, in pixels of its size."""
    scale = pixels.shape[1] / WIDTH
    column, row = round(x * scale), round(y * scale)
    wanted = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])
    around = pixels[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].astype(int)
    return bool((np.abs(around - wanted).max(axis=-1) < 40).any())


def expected_boxes(record: Record, frame: int) -> dict[int, tuple[float, ...]]:
    """{tid: where step 2 has it on a frame, or between two frames of the grid that follow each other}"""
    grid = [one.index for one in record.frames]
    marked = record.frame_localization.frames
    before = [one for one in grid if one <= frame][-1]
    after = next((one for one in grid if one >= frame), before)
    if before not in marked or after not in marked:
        return {}
    share = (frame - before) / max(1, after - before)
    return {
        entity.tid: tuple(
            a + share * (b - a) for a, b in zip(box_of(entity.tid, before), box_of(entity.tid, after), strict=True)
        )
        for entity in record.frame_localization.entities
    }


def expected_rows(record: Record, frame: int) -> set[str]:
    """The rows of the timeline that hold at a frame."""
    names = {0: "dog 1", 1: "ball/sports ball", 2: "dog 2"}
    a1, rows = record.frame_localization, set()
    if any(span.start_seconds - 1e-9 <= frame / record.fps <= span.end_seconds + 1e-9 for span in a1.spans):
        rows.add("spans")
    if frame in a1.frames:
        rows.add("frames")
    rows |= {names[t.tid] for t in record.entity_tracking if frame in {box.frame for box in t.boxes}}
    for one in record.spatial_relations:
        if frame in one.frames:
            rows.add(f"{names[one.subject_tid]} {one.predicate.replace('_', ' ')} {names[one.object_tid]}")
    for two in record.temporal_relations:
        if two.begin_frame <= frame < two.end_frame:
            rows.add(f"{names[two.subject_tid]} {two.predicate.replace('_', ' ')} {names[two.object_tid]}")
    return rows


def scrub(page: Any, frame: int) -> None:
    """Click the timeline where a frame stands."""
    place = page.locator(".axis").bounding_box()
    page.mouse.click(place["x"] + (frame + 0.5) / COUNT * place["width"], place["y"] + 8)


@pytest.mark.parametrize("video", [0, 1, 2])
def test_boxes_and_timeline_are_those_of_the_record(server: ViewServer, world: World, running: Any, video: int) -> None:
    record = world.records.by_id(ID.format(f"v{video}", 1))
    chance = random.Random(video)
    grid = [frame.index for frame in record.frames]
    moments = [*chance.sample(list(record.frame_localization.frames), 2), chance.choice(grid)]
    moments += chance.sample([frame for frame in range(COUNT) if frame not in grid], 2)
    with opened(running, server.address, f"#id={record.id}&of=data") as page:
        page.wait_for_selector(".axis")
        for frame in moments:
            scrub(page, frame)
            wait_for(page, frame)
            pixels = screen(page)
            assert number_of(pixels) == frame
            boxes = expected_boxes(record, frame)
            for tid, (x1, y1, x2, y2) in boxes.items():
                lowest = [((x1 + x2) / 2, y2)] if tid == max(boxes) else []  # others lie below a name
                for x, y in ((x1, (y1 + y2) / 2), (x2, (y1 + y2) / 2), *lowest):
                    assert is_there(pixels, x, y, PALETTE[tid]), (frame, tid, x, y)
            assert page.locator(".overlay .box").count() == len(boxes)
            rows = page.evaluate("[...document.querySelectorAll('.timerow.now .name')].map(node => node.textContent)")
            assert set(rows) == expected_rows(record, frame), frame
            line, axis = page.locator(".playhead").bounding_box(), page.locator(".axis").bounding_box()
            head = (line["x"] + line["width"] / 2 - axis["x"]) / axis["width"]
            assert head * COUNT - 0.5 == pytest.approx(frame, abs=0.1)


@pytest.mark.parametrize("video", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1)), 2])
def test_boxes_stay_on_their_frames_while_the_video_plays(server: ViewServer, running: Any, video: int) -> None:
    with opened(running, server.address, f"#id={ID.format(f'v{video}', 0)}&of=data&frame=3") as page:
        wait_for(page, 3)
        page.select_option("select[name=speed]", "0.5")
        seen = []
        for pause in (0.25, 0.4):
            page.locator("#detail").focus()
            page.keyboard.press("Space")
            time.sleep(pause)
            page.keyboard.press("Space")
            time.sleep(0.15)
            seen.append(int(page.get_attribute(".overlay", "data-frame")))
            assert page.evaluate("document.querySelector('.stage img').hidden")  # it is the video that is shown
            assert number_of(screen(page)) == seen[-1]
        assert 3 < seen[0] < seen[1] < COUNT


@pytest.mark.slow
def test_a_video_that_browsers_cannot_play_is_shown_by_its_frames(tmp_path: Path, running: Any) -> None:
    record = moving_record(0, 0, ".avi")
    folder = write_folder(tmp_path / "data", [record])
    write_video(tmp_path / "v0.avi", COUNT, codec="mpeg4")
    viewer = Viewer([str(folder)], Where(videos=tmp_path))
    server = ViewServer(viewer)
    grid = [frame.index for frame in record.frames]
    with server.running(), opened(running, server.address, f"#id={record.id}&frame={grid[2]}") as page:
        page.wait_for_selector(".notice:not([hidden])")
        assert "cannot play this video (mpeg4)" in page.inner_text(".notice")
        wait_for(page, grid[2])
        page.keyboard.press("ArrowRight")
        wait_for(page, grid[2] + 1)
        assert number_of(screen(page)) == grid[2] + 1
        page.keyboard.press(".")
        wait_for(page, grid[3])
        page.keyboard.press("Space")
        wait_for(page, grid[5])
        assert number_of(screen(page)) == grid[5]
    done = export(viewer, tmp_path / "out")
    assert (done.videos, done.frames) == (0, len(grid))
    index = tmp_path / "out" / "index.html"
    with opened(running, index.as_uri(), f"#id={record.id}&frame={grid[2]}") as page:
        wait_for(page, grid[2])
        page.keyboard.press("ArrowRight")
        wait_for(page, grid[3])
        assert number_of(screen(page)) == grid[3]


@pytest.mark.slow
def test_without_a_video_boxes_move_on_an_empty_canvas(tmp_path: Path, world: World, running: Any) -> None:
    server = ViewServer(Viewer([str(world.data)]))
    with server.running(), opened(running, server.address, f"#id={ID.format('v0', 0)}&frame=16") as page:
        wait_for(page, 16, exact=False)
        assert "videos are not at hand" in page.inner_text(".notice")
        x1, y1, _, y2 = box_of(0, 16)
        assert is_there(screen(page), x1, (y1 + y2) / 2, PALETTE[0])
        page.keyboard.press("Space")
        page.wait_for_function("() => Number(document.querySelector('.overlay').dataset.frame) > 20")
        page.keyboard.press("Space")
        assert page.evaluate("getComputedStyle(document.querySelector('.stage')).aspectRatio") == f"{WIDTH} / {HEIGHT}"


def listed(page: Any) -> int:
    return int(page.inner_text("#status").split()[0])


def test_filters_search_and_keys(server: ViewServer, running: Any) -> None:
    with opened(running, server.address) as page:
        press = page.keyboard.press
        assert listed(page) == 30
        for name, value, count in (
            ("run", "one", 12),
            ("condition", "cotasks", 6),
            ("category", "temporal", 15),
            ("origin", "human spans, lexical entities", 15),
            ("verdict", "wrong", 5),
            ("judges", "disagree", 3),
            ("evidence", "right", 4),
            ("evidence", "wrong", 8),
        ):
            page.select_option(f"select[name={name}]", value)
            assert listed(page) == count, (name, value)
            press("x")
        page.select_option("select[name=judge]", "f1")
        page.fill("#search", "EAT v1")
        assert listed(page) == 5  # an option of the second question, and of every answer to it
        press("Escape")
        press("x")
        press("Home")
        page.wait_for_selector(".axis")
        frame = int(page.get_attribute(".overlay", "data-frame"))
        press("ArrowRight")
        wait_for(page, frame + 1)
        press("]")
        wait_for(page, 43)
        press("l")
        press("l")
        assert (
            page.eval_on_selector("select[name=layer]", "node => node.selectedOptions[0].textContent")
            == "Predicted: predicted"
        )
        assert page.locator(".overlay .truth").count() > 0
        assert "not predicted: cut off" in page.inner_text(".timeline")
        press("b")
        assert not page.locator(".overlay .box").first.is_visible()
        press("b")
        film = page.query_selector(".stage video")
        press("c")
        page.wait_for_function("() => document.querySelector('.this .by').textContent === 'cotasks'")
        assert page.evaluate("node => node === document.querySelector('.stage video')", film)  # the same question
        press("j")
        press("?")
        assert page.is_visible("#help")
        press("Escape")
        page.wait_for_function("() => location.hash.includes('of=two')")


def test_a_link_leads_to_the_item_and_its_frame(server: ViewServer, running: Any) -> None:
    fragment = f"#category=temporal&id={ID.format('v1', 1)}&of=two&under=baseline&frame=21&layer=1"
    with opened(running, server.address, fragment) as page:
        wait_for(page, 21)
        assert page.inner_text(".row[aria-selected=true] .meta").startswith("baseline\norg/two (two)")
        assert page.locator(".row[aria-selected=true]").is_visible()
        assert page.eval_on_selector("select[name=layer]", "node => node.value") == "1"
        assert listed(page) == 15
        page.keyboard.press("ArrowRight")
        wait_for(page, 22)
        page.wait_for_function("() => location.hash.includes('frame=22')")
        address = page.evaluate("location.href")
        assert "under=baseline" in address
        columns = page.locator(".compare h3").all_inner_texts()
        assert columns[1:] == ["org/two (two)", "org/steps (predicted)"]
    with opened(running, server.address, "#" + address.split("#")[1]) as page:
        wait_for(page, 22)


def test_a_narrow_screen(server: ViewServer, running: Any) -> None:
    wide = "document.documentElement.scrollWidth"
    with opened(running, server.address, width=390, height=844) as page:
        assert page.evaluate(wide) == 390
        page.click("#more")
        assert page.evaluate(wide) == 390
        page.click("#more")
        page.click(".row >> nth=1")
        page.wait_for_selector(".compare .cell")
        assert page.evaluate(wide) == 390
        box = page.locator(".stage").bounding_box()
        assert box["width"] > 340
        page.click("#back")
        assert page.is_visible("#list")
        assert not page.is_visible("#detail")


def test_what_a_model_says_stays_text(server: ViewServer, running: Any) -> None:
    with opened(running, server.address, f"#id={ID.format('v0', 0)}&of=one&under=baseline") as page:
        page.wait_for_selector(".cell.current")
        assert HOSTILE in page.inner_text(".cell.current")
        assert page.evaluate("document.querySelectorAll('#answers script, #answers img:not(.stage img)').length") == 0


def test_an_export_opens_as_a_file(tmp_path: Path, world: World, running: Any) -> None:
    hostile = tmp_path / "<img src=x onerror=window.broken=1>"
    shutil.copytree(world.one, hostile)
    viewer = Viewer([str(world.data), str(hostile), str(world.predictions)], Where(videos=world.videos))
    folder = tmp_path / "out"
    export(viewer, folder, space='A # title: "of" <b>')
    index = folder / "index.html"
    with opened(running, index.as_uri(), f"#id={ID.format('v1', 0)}&frame=27") as page:
        wait_for(page, 27, exact=False)
        page.wait_for_function("() => document.querySelector('.stage video').readyState >= 2")
        time.sleep(0.1)
        assert number_of(screen(page)) == 27
        page.keyboard.press("ArrowRight")
        wait_for(page, 28, exact=False)
        page.wait_for_function("() => !document.querySelector('.stage video').seeking")
        time.sleep(0.1)
        assert number_of(screen(page)) == 28
        assert hostile.name in page.inner_text("#title")
        page.fill("#search", "onerror")
        assert listed(page) == 3
