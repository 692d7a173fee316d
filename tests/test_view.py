"""The viewer without a browser: what is listed, what its server gives to whom, what an export holds."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.pages.server import byte_range
from cotasks.view import index
from cotasks.view.export import export
from cotasks.view.server import ViewServer
from cotasks.view.sources import Where
from cotasks.view.viewer import Viewer
from tests.view_world import World, make_world

pytest.importorskip("av")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("view"))


@pytest.fixture(scope="module")
def viewer(world: World) -> Viewer:
    return Viewer(world.paths, Where(videos=world.videos))


@pytest.fixture(scope="module")
def server(viewer: Viewer) -> Iterator[ViewServer]:
    server = ViewServer(viewer)
    with server.running():
        yield server


def ask(
    server: ViewServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        sent = {"Host": f"127.0.0.1:{server.port}", **{n.replace("_", "-"): v for n, v in headers.items()}}
        connection.request(method, path, None, sent)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def test_a_question_asked_by_several_stands_once(viewer: Viewer, world: World) -> None:
    found = viewer.index
    assert len(viewer.questions) == len(world.records) == 6
    assert [source["kind"] for source in found["sources"]] == ["data", "run", "run", "predictions"]
    assert {len(column) for column in found["answers"].values()} == {30}
    assert found["answers"]["source"].count(0) == 0  # every question has an answer
    detail = viewer.detail(0)
    assert [answer["condition"] for answer in detail["answers"]] == [
        "baseline",
        "cotasks",
        "baseline",
        "step-1",
        "step-2",
    ]
    assert [layer["kind"] for layer in detail["record"]["layers"]] == ["steps", "scene", "predicted"]
    assert detail["record"]["layers"][2]["reasons"] == {"4": "cut off"}
    assert [row["right"] for row in detail["evidence"]] == [True]
    assert [row["right"] for row in viewer.detail(2)["evidence"]] == [False]
    uneven = viewer.detail(4)["video"]
    assert len(uneven["times"]) == 60
    assert (uneven["codec"], uneven["plays"]) == ("vp9", True)


def test_a_run_without_its_records_is_shown_without_them(tmp_path: Path, world: World) -> None:
    settings = json.loads((world.two / "run.json").read_text())
    settings["dataset"]["name"] = str(tmp_path / "gone")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(settings))
    for part in ("questions.jsonl", "generations", "verdicts"):
        (folder / part).symlink_to(world.two / part)
    viewer = Viewer([str(folder)])
    assert "no record is at hand" in viewer.opened.notes[0]
    assert str(tmp_path) not in json.dumps(viewer.index)
    assert viewer.detail(0)["record"] is None
    assert viewer.video_file(0) is None
    with pytest.raises(InputError, match="gone"):
        Viewer([str(folder)], Where(dataset=str(tmp_path / "gone")))


def test_only_its_own_page_reads(server: ViewServer) -> None:
    root = f"/{server.token}/"
    status, page, headers = ask(server, root)
    assert status == 200
    assert b"Keys and notes" in page
    for part in ("default-src 'none'", "script-src 'self'", "trusted-types 'none'", "frame-ancestors 'none'"):
        assert part in headers["Content-Security-Policy"]
    assert ask(server, f"{root}data/index.json")[0] == 200
    for path in ("/", "/data/index.json", f"/{'x' * len(server.token)}/data/index.json", f"/{server.token}"):
        assert ask(server, path)[:2] == (404, b"not found\n"), path
    for path in (
        "data/questions/99.json",
        "videos/99.mp4",
        "videos/../0.mp4",
        "frames/0/9999.jpg",
        "data/x",
        "videos/0",
    ):
        assert ask(server, root + path)[:2] == (404, b"not found\n"), path
    for name, value in (("Host", "evil.example"), ("Host", "127.0.0.1:1"), ("Sec_Fetch_Site", "cross-site")):
        assert ask(server, f"{root}data/index.json", **{name: value})[0] == 404, (name, value)
    assert ask(server, f"{root}data/index.json", "POST", Content_Length="0")[0] == 404


def test_a_video_is_given_in_parts(server: ViewServer, world: World) -> None:
    path, whole = f"/{server.token}/videos/0.mp4", (world.videos / "v0.mp4").read_bytes()
    status, data, headers = ask(server, path)
    assert (status, data, headers["Accept-Ranges"], headers["Content-Type"]) == (200, whole, "bytes", "video/mp4")
    status, data, headers = ask(server, path, Range="bytes=100-199")
    assert (status, data, headers["Content-Range"]) == (206, whole[100:200], f"bytes 100-199/{len(whole)}")
    assert ask(server, path, Range="bytes=-10")[1] == whole[-10:]
    assert ask(server, path, Range=f"bytes={len(whole)}-")[0] == 416
    status, data, headers = ask(server, path, "HEAD")
    assert (status, data, headers["Content-Length"]) == (200, b"", str(len(whole)))
    assert ask(server, f"/{server.token}/frames/0/5.jpg")[1][:2] == b"\xff\xd8"


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_ranges(first: int, last: int, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    if first >= size and first <= last:
        with pytest.raises(ValueError, match="bytes"):
            byte_range(f"bytes={first}-{last}", size)
    elif last < first:
        assert byte_range(f"bytes={first}-{last}", size) is None
    else:
        assert byte_range(f"bytes={first}-{last}", size) == (first, min(last, size - 1))
        assert data[first : last + 1] == data[first : min(last, size - 1) + 1]
    for strange in ("", "bytes=-", "bytes=1-2,4-5", "items=1-2", "bytes=a-b"):
        assert byte_range(strange, size) is None


def test_an_export_holds_no_key_no_path_and_no_token(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    folder = tmp_path / "space"
    asked = ["view", str(world.data), str(world.one), "--videos", str(world.videos), "--export-space", str(folder)]
    assert main(asked) == 0
    assert "6 questions, 12 answers, 3 videos, 0 frames" in capsys.readouterr().out
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in (folder / "videos").iterdir()} == {"0.mp4", "2.mp4", "4.webm"}
    for path in files:
        content = path.read_bytes()
        for secret in (b"sk-very-secret", str(world.videos).encode(), str(tmp_path).encode(), str(world.one).encode()):
            assert secret not in content, path
        if path.suffix != ".js":
            assert b"window.broken" not in content, path
    from huggingface_hub import SpaceCard

    card = SpaceCard.load(folder / "README.md").data
    assert (card.sdk, card.title) == ("static", "data, one")
    assert main(asked) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_an_export_without_videos_and_one_that_fails(
    tmp_path: Path, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = export(viewer, tmp_path / "page", videos=False)
    assert (done.videos, done.frames, done.without) == (0, 0, 6)
    assert not (tmp_path / "page" / "videos").exists()
    monkeypatch.setattr(type(viewer), "detail", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(viewer, tmp_path / "broken")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_long_answers_are_cut_in_the_list_alone(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_TEXT", 200)
    found = index.index_of(viewer.opened, viewer.questions, viewer.items)
    texts = [text for text in found["answers"]["text"] if text is not None]
    assert 100 < sum(map(len, texts)) <= 200
    assert "first" in found["notes"][-1]
    assert max(len(answer["text"] or "") for answer in viewer.detail(0)["answers"]) > 50
