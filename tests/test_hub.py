"""Publishing: one commit or none, whatever breaks; nothing sent twice, moved, leaked or half there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Video, load_dataset
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

import cotasks
from cotasks import FEATURES
from cotasks.builders.publish import card, embed
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.publish.push import PushResult, push
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.sample import DATA_DIR
from tests.examples import share
from tests.hub_client import hub_environment
from tests.hub_server import READ_TOKEN, TOKEN, File, Hub, Request

TREE = str(Path(cotasks.__file__).parents[1])
NAME = "lab/cotasks"
VIDEOS = Path(DATA_DIR) / "videos"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two configs and four parquet files or more."""
    out = tmp_path_factory.mktemp("built") / "out"
    for config in ("nextqa_oe", "star"):
        build_folder(BuildOptions(config, data_dir=DATA_DIR), out)
    return out


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(built, tmp_path / "folder"))


def send(hub: Hub, folder: Path, **options: Any) -> PushResult:
    return push(folder, NAME, endpoint=hub.endpoint, **options)


def kinds(result: PushResult) -> dict[str, str]:
    return {change.path: change.kind for change in result.changes}


def local_files(folder: Path) -> dict[str, bytes]:
    """Path -> content of what is sent as it lies there."""
    paths = [p for p in folder.rglob("*") if p.is_file() and p.name != "README.md"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def assert_whole(hub: Hub, folder: Path, commits: int = 2) -> None:
    """`main` holds exactly what the folder does, in so many commits, the Hub's first one included."""
    files = hub.repos[NAME].files
    readme = files.pop("README.md").decode()
    assert files == local_files(folder)
    assert f'load_dataset("{NAME}"' in readme
    assert len(hub.repos[NAME].commits) == commits


def test_a_push_is_one_commit_with_a_tag(hub: Hub, built: Path) -> None:
    sizes = sorted(path.stat().st_size for path in built.glob("*/*.parquet"))
    hub.part_bytes = sizes[len(sizes) // 2]
    result = send(hub, built, tag="v1.0.0")
    assert_whole(hub, built)
    repo = hub.repos[NAME]
    assert repo.tags == {"v1.0.0": repo.commits[-1].oid} == {"v1.0.0": result.commit}
    assert set(kinds(result).values()) == {"add"}
    assert {c.path: c.size for c in result.changes} == {path: len(data) for path, data in repo.files.items()}
    assert (result.created, result.dry_run, result.tag) == (True, False, "v1.0.0")
    assert result.url == f"{hub.endpoint}/datasets/{NAME}"
    assert len(hub.received) == len(set(hub.received)) == len(list(built.glob("*/*.parquet")))
    assert any("/lfs-complete/" in request.path for request in hub.log)  # a file in parts
    assert any(request.path.endswith("/0") and "/lfs/" in request.path for request in hub.log)  # and one at once


LOAD = """
import json, socket, sys
resolve = socket.getaddrinfo
def loopback_only(host, *args, **kwargs):
    assert host in ("127.0.0.1", b"127.0.0.1"), host
    return resolve(host, *args, **kwargs)
socket.getaddrinfo = loopback_only
sys.modules["cotasks"] = None  # importing it would fail
from datasets import load_dataset
rows = {}
for config in ("nextqa_oe", "star"):
    for split, data in load_dataset(sys.argv[1], config, revision="v1").items():
        streamed = load_dataset(sys.argv[1], config, revision="v1", split=split, streaming=True)
        assert list(streamed) == list(data) and streamed.features == data.features
        rows[f"{config}/{split}"] = [list(data), repr(data.features)]
json.dump(rows, open(sys.argv[2], "w"))
"""


def test_what_was_pushed_loads_with_plain_datasets_streaming_and_not(hub: Hub, built: Path, tmp_path: Path) -> None:
    send(hub, built, tag="v1")
    hub.commit(NAME, "someone empties main", {})
    subprocess.run(
        [sys.executable, "-c", LOAD, NAME, str(tmp_path / "rows.json")],
        env=hub_environment(hub, tmp_path / "home"),
        cwd=tmp_path,
        check=True,
    )
    loaded = json.loads((tmp_path / "rows.json").read_text())
    expected = {
        f"{config}/{split}": [list(rows), repr(FEATURES)]
        for config in ("nextqa_oe", "star")
        for split, rows in load_dataset(str(built), config).items()
    }
    assert loaded == expected
    assert expected


def test_a_dry_run_says_what_a_push_then_does_and_writes_nothing(hub: Hub, folder: Path) -> None:
    assert set(kinds(send(hub, folder, dry_run=True, tag="v1")).values()) == {"add"}
    assert hub.repos == {}
    send(hub, folder)
    (folder / "notes.txt").write_text("mine")
    build = json.loads((folder / "nextqa_oe/build.json").read_text())
    build["versions"]["cotasks"] = "9.9.9"
    (folder / "nextqa_oe/build.json").write_text(json.dumps(build))
    shutil.rmtree(folder / "star")
    before, commits = len(hub.writes()), len(hub.repos[NAME].commits)
    promised = send(hub, folder, dry_run=True, tag="v2")
    assert len(hub.writes()) == before
    assert (promised.commit, promised.tag, promised.created) == (None, "v2", False)
    assert promised.not_sent == ("notes.txt",)
    by_kind = {kind: [p for p, k in kinds(promised).items() if k == kind] for kind in ("change", "delete", "keep")}
    assert by_kind["change"] == ["README.md", "nextqa_oe/build.json"]
    assert by_kind["delete"] == sorted(p for p in hub.repos[NAME].files if p.startswith("star/"))
    assert "nextqa_oe/skipped.jsonl" in by_kind["keep"]
    assert {c.path: c.size for c in promised.changes if c.kind == "delete"} == {
        path: len(hub.repos[NAME].files[path]) for path in by_kind["delete"]
    }
    assert any(re.fullmatch(r"change +[\d,]+ bytes  README.md", line) for line in promised.lines())
    assert promised.lines()[-1] == "not sent: notes.txt (no build wrote it)"
    received = len(hub.received)
    done = send(hub, folder, tag="v2")
    assert done.changes == promised.changes
    assert len(hub.received) == received  # the shards were there
    (folder / "notes.txt").unlink()
    assert_whole(hub, folder, commits + 1)


def test_files_that_are_not_ours_stay(hub: Hub, built: Path) -> None:
    first = hub.create(NAME).commits[-1].files
    theirs = {
        "LICENSE": File(b"theirs", lfs=False),
        "images/sheet.png": File(b"theirs", lfs=False),
        "star": File(b"a file", lfs=False),
        "star_videos/train-00000-of-00001.parquet": File(b"left over", lfs=True),
        "nextqa_oe/train-00003-of-00004.parquet": File(b"left over", lfs=True),
    }
    hub.commit(NAME, "before", {**first, **{path: file for path, file in theirs.items() if path != "star"}})
    result = send(hub, built)
    assert result.count("delete") == 2
    left = set(hub.repos[NAME].files) - set(local_files(built))
    assert left == {"README.md", "LICENSE", "images/sheet.png"}


def test_nothing_to_change_makes_no_commit_and_can_still_be_tagged(hub: Hub, built: Path) -> None:
    first = send(hub, built)
    again = send(hub, built, tag="v1")
    assert set(kinds(again).values()) == {"keep"}
    assert again.commit == first.commit
    assert_whole(hub, built)
    assert hub.repos[NAME].tags == {"v1": first.commit}


def test_an_existing_tag_is_refused_before_anything_is_sent(hub: Hub, folder: Path) -> None:
    send(hub, folder, tag="v1.0.0")
    state = hub.repos[NAME].commits[-1].oid, dict(hub.repos[NAME].tags), len(hub.writes())
    with pytest.raises(InputError, match=rf"^{NAME}: tag v1.0.0 exists \(commit \w+\) and is never moved; it holds"):
        send(hub, folder, tag="v1.0.0")
    shutil.rmtree(folder / "star")
    for dry_run in (False, True):
        with pytest.raises(InputError, match=rf"^{NAME}: tag v1.0.0 exists .* never moved; choose another$"):
            send(hub, folder, tag="v1.0.0", dry_run=dry_run)
    with pytest.raises(InputError, match=f"^{NAME}: main is a branch there; choose another tag$"):
        send(hub, folder, tag="main")
    assert state == (hub.repos[NAME].commits[-1].oid, hub.repos[NAME].tags, len(hub.writes()))
    send(hub, folder, tag="v1.0.1")
    assert_whole(hub, folder, 3)
    assert list(hub.repos[NAME].tags) == ["v1.0.0", "v1.0.1"]


@pytest.mark.parametrize("tag", ["", "v 1", "../v1", "v1..2", "v1.lock", "-v", "v1\n", "refs/heads/main", "ü"])
def test_what_git_takes_for_no_tag_is_refused(hub: Hub, built: Path, tag: str) -> None:
    with pytest.raises(InputError, match=r"^tag .*expected letters, digits, dots"):
        send(hub, built, tag=tag)
    assert hub.log == []


PUSH = """
import sys
from pathlib import Path
from cotasks.builders.publish.push import push
push(Path(sys.argv[1]), sys.argv[2], tag="v1", embed_videos=Path(sys.argv[3]) if sys.argv[3:] else None)
"""


def push_and_kill(hub: Hub, home: Path, victim: str, others: int, *arguments: str) -> None:
    """Push in another process and kill it while the large file of that sha256 is on its way and the others arrived."""
    held, released = threading.Event(), threading.Event()

    def fault(request: Request) -> str | None:
        if victim not in request.path:
            return None
        held.set()
        released.wait(30)
        return "drop"

    hub.fault = fault
    environment = hub_environment(hub, home, HF_TOKEN=TOKEN, PYTHONPATH=TREE)
    process = subprocess.Popen([sys.executable, "-c", PUSH, *arguments], env=environment)
    try:
        assert held.wait(60)
        wait_for(lambda: len(hub.received) == others)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        released.set()
        hub.fault = lambda request: None


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_push_killed_half_way_goes_on_where_it_stopped(hub: Hub, built: Path, tmp_path: Path) -> None:
    hashes = [sha256(path) for path in sorted(built.glob("*/*.parquet"))]
    push_and_kill(hub, tmp_path / "home", hashes[0], len(hashes) - 1, str(built), NAME)
    assert sorted(hub.received) == sorted(hashes[1:])
    assert hub.repos[NAME].files == {}  # no half version
    assert hub.repos[NAME].tags == {}
    send(hub, built, tag="v1")
    assert_whole(hub, built)
    assert hub.received[len(hashes) - 1 :] == hashes[:1]  # the others were not sent again
    assert hub.repos[NAME].tags == {"v1": hub.repos[NAME].commits[-1].oid}


@pytest.mark.hypothesis
@pytest.mark.parametrize("break_at", ["dead from", "drop_answer at", "answers 500 from"])
def test_whatever_request_breaks_one_version_results(
    hub: Hub, built: Path, tmp_path: Path, break_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    shutil.copytree(built, small)
    shutil.rmtree(small / "nextqa_oe")
    card.write(small)
    send(hub, small)
    requests = len(hub.log)
    assert requests > 10
    for broken in random.Random(break_at).sample(range(1, requests + 2), share(requests + 1)):
        hub.repos.clear(), hub.stored.clear(), hub.parts.clear(), hub.received.clear(), hub.log.clear()
        hub.fault = {
            "dead from": lambda r, k=broken: "drop" if r.number >= k else None,
            "drop_answer at": lambda r, k=broken: "drop_answer" if r.number == k else None,
            "answers 500 from": lambda r, k=broken: 500 if r.number >= k else None,
        }[break_at]
        failed = None
        try:
            send(hub, small, tag="v1")
        except InputError as error:
            failed = str(error)
        hub.fault = lambda request: None
        repo = hub.repos.get(NAME)
        if repo is not None and repo.files:
            assert_whole(hub, small)
        if failed is not None:
            assert re.fullmatch(f"{NAME}: [^\n]*; run the same command again to go on", failed)
            send(hub, small, tag="v1")
        assert_whole(hub, small)
        assert hub.repos[NAME].tags == {"v1": hub.repos[NAME].commits[-1].oid}
        assert len(hub.received) <= len(set(hub.received)) + (break_at == "drop_answer at")


def test_a_commit_that_someone_else_made_meanwhile_is_not_undone(hub: Hub, built: Path) -> None:
    hub.create(NAME)

    def fault(request: Request) -> None:
        if request.path.endswith("/commit/main"):
            hub.commit(NAME, "theirs", {"theirs.txt": File(b"theirs", lfs=False)})

    hub.fault = fault
    with pytest.raises(InputError, match=r"412 A commit has happened since.*run the same command again to go on$"):
        send(hub, built, tag="v1")
    assert hub.repos[NAME].files == {"theirs.txt": b"theirs"}
    assert hub.repos[NAME].tags == {}


def test_a_version_that_the_hub_took_in_part_is_not_tagged(hub: Hub, built: Path) -> None:
    first = hub.create(NAME).commits[-1].files
    hub.commit(NAME, "ignore", {**first, ".gitignore": File(b"*.jsonl\n", lfs=False)})
    with pytest.raises(InputError, match=r"skipped.jsonl in commit \w{8}: None bytes; expected \d+; .* not tagged"):
        send(hub, built, tag="v1")
    assert hub.repos[NAME].tags == {}


def test_private_is_private(hub: Hub, built: Path) -> None:
    send(hub, built, private=True)
    assert hub.repos[NAME].private
    send(hub, built, private=True)
    hub.repos[NAME].private = False
    writes = len(hub.writes())
    with pytest.raises(InputError, match=f"^{NAME}: exists and is public; make it private"):
        send(hub, built, private=True)
    assert len(hub.writes()) == writes


def test_a_push_without_a_token_says_how_to_log_in(
    hub: Hub, built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    for dry_run in (False, True):
        with pytest.raises(InputError, match=r"^no Hugging Face token; log in with `hf auth login`, or set HF_TOKEN"):
            send(hub, built, dry_run=dry_run)
    assert hub.log == []
    (tmp_path / "no-token").write_text(TOKEN + "\n")  # where `hf auth login` leaves it
    send(hub, built)
    assert_whole(hub, built)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (READ_TOKEN, r"the token may not do this \(403 you need a token that may write\); log in"),
        ("hf_expired", r"the Hub does not accept the token \(401 Invalid credentials"),
        ("hf_cut\x01off", "the Hugging Face token holds characters that no token has; log in"),
        ("hf_ünicode", "the Hugging Face token holds characters that no token has; log in"),
    ],
)
def test_a_token_that_will_not_do(
    hub: Hub, built: Path, monkeypatch: pytest.MonkeyPatch, token: str, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(InputError, match=message) as caught:
        send(hub, built)
    assert token not in str(caught.value)
    assert hub.repos == {}


def test_an_expired_token_is_no_empty_repository(hub: Hub, built: Path) -> None:
    send(hub, built)
    hub.fault = lambda request: 401  # as the Hub answers for a repository that the token does not open
    with pytest.raises(InputError, match="does not accept the token"):
        send(hub, built, dry_run=True)


def everything_said(error: BaseException | None) -> str:
    """An exception as `--debug` prints it, with what lies behind it."""
    return "" if error is None else "".join(traceback.format_exception(error)) + everything_said(error.__context__)


def test_the_token_is_never_printed(
    hub: Hub, built: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    answers: tuple[str | int, ...] = ("drop", 400, 401, 403, 404, 409, 500)
    for answer in answers:
        for part in ("/api/datasets/", "/repos/create", "/preupload/", "/batch", "/lfs/", "/commit/", "/tag/"):
            hub.repos.clear()
            hub.stored.clear()
            hub.fault = lambda request, part=part, answer=answer: answer if part in request.path else None  # type: ignore[misc]
            with pytest.raises(InputError) as caught:
                send(hub, built, tag="v1")
            assert "\n" not in str(caught.value)
            said.append(everything_said(caught.value))
    hub.fault = lambda request: None
    hub.repos.clear()
    said.append(repr(send(hub, built, tag="v1")))
    output = capfd.readouterr()
    text = "".join([*said, output.out, output.err, caplog.text])
    assert "/commit/main" in text
    assert TOKEN not in text


def test_a_library_that_quotes_the_token_is_not_quoted(hub: Hub, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quote(*_: object, **__: object) -> None:
        raise ValueError(f"Illegal header value b'Bearer {TOKEN}'")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", quote)
    with pytest.raises(InputError, match=r"Bearer \*\*\*"):
        send(hub, built)


def test_a_hub_that_is_not_there(hub: Hub, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(InputError, match=f"^{NAME}: not finished: .*refused; run the same command again"):
            push(built, NAME, endpoint=address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=f"^{NAME}: offline mode is on; unset HF_HUB_OFFLINE"):
        send(hub, built)


def test_a_hub_without_xet_says_what_to_set(hub: Hub, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(InputError, match=r"a Hub without Xet storage needs HF_HUB_DISABLE_XET=1\); run the same"):
        send(hub, built)


@pytest.mark.parametrize("name", ["cotasks", "a/b/c", "lab/", "lab/name with blanks", "https://huggingface.co/lab/x"])
def test_a_wrong_name_is_refused(hub: Hub, built: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"expected ORG/NAME|not a name for a repository"):
        push(built, name, endpoint=hub.endpoint)
    assert hub.log == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def change_build(folder: Path, **fields: Any) -> None:
    path = folder / "star/build.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def other_columns(folder: Path) -> None:
    for path in folder.glob("star/*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["fps"]), path)


def other_types(folder: Path) -> None:
    for path in folder.glob("star/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.set_column(6, "fps", table["fps"].cast(pa.float32())).replace_schema_metadata(), path)


def fewer_rows(folder: Path) -> None:
    path = next(folder.glob("star/*.parquet"))
    pq.write_table(pq.read_table(path)[:-1], path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: shutil.rmtree(f), "no such folder; expected one that `cotasks build` wrote"),
        (lambda f: [shutil.rmtree(f / c) for c in ("star", "nextqa_oe")], "no CONFIG/build.json in it"),
        (lambda f: (f / "README.md").unlink(), "no README.md in it"),
        (lambda f: (f / "README.md").write_bytes(b"\xff"), "README.md: not UTF-8"),
        (lambda f: (f / "README.md").write_text("# mine"), "README.md: no `<!-- load: begin -->`; expected the card"),
        (lambda f: (f / "README.md").write_text("---\na: [\n---\n"), "README.md: its YAML head cannot be read"),
        (lambda f: cut(f / "star/build.json"), "build.json: not JSON"),
        (lambda f: (f / "star/build.json").write_text("[]"), r"build.json: it is \[\]; expected an object"),
        (lambda f: change_build(f, splits=None), "build.json: splits is None; expected dict; build it again"),
        (lambda f: change_build(f, splits={"train": {}}), "build.json: splits.train.questions is None; expected int"),
        (lambda f: change_build(f, splits={"dev": {}}), "build.json: split 'dev'; expected one of train"),
        (lambda f: change_build(f, config="sample"), "build.json: config is 'sample'; expected 'star'"),
        (lambda f: (f / "star/skipped.jsonl").unlink(), "skipped.jsonl: no such file"),
        (lambda f: (f / "star/skipped.jsonl").write_text("{}\n" * 999), "skipped.jsonl: 999 lines, but build.json"),
        (lambda f: next(f.glob("star/*.parquet")).unlink(), "parquet files of split .*: none; expected a whole set"),
        (lambda f: (f / "star/train-00001-of-00002.parquet").touch(), "expected a whole set; build it again"),
        (lambda f: cut(next(f.glob("star/*.parquet"))), "not a parquet file, or cut off"),
        (fewer_rows, r"split \w+ has \d+ rows, but build.json counts \d+ records"),
        (other_columns, "column fps is None; expected Value"),
        (other_types, r"column \w+ is .*float32|column source is"),
    ],
)
def test_a_folder_that_is_not_one_of_ours_is_refused(
    hub: Hub, folder: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        send(hub, folder)
    assert "\n" not in str(caught.value)
    assert hub.writes() == []


# with videos


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "BYTES_A_GROUP", 60_000)
    monkeypatch.setattr(embed, "BYTES_A_SHARD", 100_000)


def test_a_copy_holds_the_videos(hub: Hub, built: Path, tmp_path: Path, small_shards: None) -> None:
    reported = []
    result = send(hub, built, embed_videos=VIDEOS, on_shard=lambda *args: reported.append(args))
    files = hub.repos[NAME].files
    copies = [path for path in files if path.split("/")[0].endswith("_videos")]
    assert len(copies) > 4
    assert reported[-1][1] == reported[-1][2]
    assert {path for path in kinds(result) if "_videos/" in path} == set(copies)
    assert len(hub.repos[NAME].commits) == 2
    for path, content in files.items():
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(content)
    for config in ("nextqa_oe", "star"):
        plain = load_dataset(str(built), config)
        for split, rows in load_dataset(str(tmp_path / "copy"), f"{config}_videos").items():
            assert rows.features["video"] == Video()
            rows = rows.cast_column("video", Video(decode=False))
            assert list(rows.remove_columns("video")) == list(plain[split])
            for row in rows:
                assert row["video"]["bytes"] == (VIDEOS / row["video_path"]).read_bytes()
                assert row["video"]["path"] == Path(row["video_path"]).name
    assert load_dataset(str(tmp_path / "copy"), "star").keys() == load_dataset(str(built), "star").keys()
    assert "`nextqa_oe_videos`, `star_videos` hold the same rows" in files["README.md"].decode()


def test_a_video_is_stored_once_a_row_group(built: Path, tmp_path: Path) -> None:
    source = [next(built.glob("nextqa_oe/train-*.parquet"))]
    paths = embed.read_video_paths(source)
    (tmp_path / "videos").mkdir()
    for number, path in enumerate(dict.fromkeys(paths)):
        (tmp_path / "videos" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "videos" / path).write_bytes(hashlib.shake_256(b"%d" % number).digest(300_000))
    sizes = embed.find_videos(paths, tmp_path / "videos")
    assert len(paths) > len(sizes)
    (shard,) = embed.write_shards({"train": source}, tmp_path / "videos", sizes, tmp_path)
    metadata = pq.read_metadata(shard)
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    stored = sum(c.total_uncompressed_size for c in columns if c.path_in_schema == "video.bytes")
    assert sum(sizes.values()) <= stored < sum(sizes.values()) + 10_000


def test_a_push_with_videos_killed_half_way_sends_no_shard_twice(
    hub: Hub, built: Path, tmp_path: Path, small_shards: None
) -> None:
    hub.fault = lambda request: "drop" if len(hub.received) >= 3 and request.writes else None
    with pytest.raises(InputError, match="run the same command again to go on"):
        send(hub, built, tag="v1", embed_videos=VIDEOS)
    hub.fault = lambda request: None
    assert len(hub.received) == 3
    assert hub.repos[NAME].files == {}
    promised = send(hub, built, dry_run=True, embed_videos=VIDEOS)
    assert len(hub.received) == 3
    done = send(hub, built, tag="v1", embed_videos=VIDEOS)
    assert done.changes == promised.changes
    assert len(hub.received) == len(set(hub.received)) > 6
    again = send(hub, built, tag="v2", embed_videos=VIDEOS)
    assert set(kinds(again).values()) == {"keep"}
    assert hub.repos[NAME].tags["v2"] == hub.repos[NAME].tags["v1"]
    without = send(hub, built, tag="v3")
    assert all(
        (kind == "delete") == ("_videos/" in path) for path, kind in kinds(without).items() if path != "README.md"
    )
    assert_whole(hub, built, 3)


def test_missing_videos_are_counted_before_anything_is_sent(hub: Hub, built: Path, tmp_path: Path) -> None:
    videos = Path(shutil.copytree(VIDEOS, tmp_path / "videos"))
    paths = sorted(path for path in videos.rglob("*.mp4"))
    used = set(embed.read_video_paths(sorted(built.glob("*/*.parquet"))))
    gone = [path for path in paths if path.relative_to(videos).as_posix() in used][:2]
    gone[0].unlink()
    gone[1].write_bytes(b"")
    with pytest.raises(InputError, match=f"2 of {len(used)} videos are missing or empty, the first: .*mp4$"):
        send(hub, built, embed_videos=videos)
    with pytest.raises(InputError, match="nowhere: no such folder; expected the videos to embed"):
        send(hub, built, embed_videos=tmp_path / "nowhere")
    assert hub.log == []


def test_videos_outside_the_folder_or_too_long_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"mine")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "long.mp4").write_bytes(b"12345")
    for path in ("../secret.mp4", str(tmp_path / "secret.mp4"), "a/../../secret.mp4"):
        with pytest.raises(InputError, match="expected a path below the video folder"):
            embed.find_videos([path], tmp_path / "videos")
    monkeypatch.setattr(embed, "BYTES_A_VIDEO", 4)
    with pytest.raises(InputError, match=r"long.mp4: 5 bytes; a video to embed may have 4 at most"):
        embed.find_videos(["long.mp4"], tmp_path / "videos")


def test_a_video_that_changes_while_it_is_read_is_refused(built: Path, tmp_path: Path) -> None:
    source = [next(built.glob("star/*.parquet"))]
    sizes = {path: size + 1 for path, size in embed.find_videos(embed.read_video_paths(source), VIDEOS).items()}
    with pytest.raises(InputError, match="changed while it was read"):
        list(embed.write_shards({"train": source}, VIDEOS, sizes, tmp_path))


@given(
    sizes=st.lists(st.integers(1, 150), min_size=1, max_size=8),
    rows=st.lists(st.integers(0, 7), max_size=60),
)
def test_shards_hold_every_row_in_order_within_their_limits(sizes: list[int], rows: list[int]) -> None:
    by_path = {f"{n}.mp4": size for n, size in enumerate(sizes)}
    paths = [f"{row % len(sizes)}.mp4" for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "BYTES_A_GROUP", 100)
        patch.setattr(embed, "BYTES_A_SHARD", 200)
        patch.setattr(embed, "ROWS_A_GROUP", 5)
        shards = embed.plan_shards(paths, by_path)
    assert [path for shard in shards for group in shard for path in group] == paths
    for shard in shards:
        assert len(shard) == 1 or sum(by_path[p] for group in shard for p in set(group)) <= 200
        for group in shard:
            assert 1 <= len(group) <= 5
            assert len(group) == 1 or sum(by_path[path] for path in group) <= 100
