"""Downloads: whole and checked files from a server that fails in every way it can, and one line where it wins."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets import load_dataset

import cotasks
from cotasks.builders import download
from cotasks.builders.download import fetched, sources_of
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.readers.source import SourceFile
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.sample import DATA_DIR
from tests import test_read_perception_test as perception_files

from .file_server import HTML, FileServer

pytestmark = pytest.mark.empty_cache

TREE = str(Path(cotasks.__file__).parents[1])
CONFIGS = ("nextqa_oe", "nextqa_mc", "star")
SOURCES = list(dict.fromkeys(file for config in CONFIGS for file in sources_of(config)))
CSV, MAP, STAR, ZIP = (
    "nextqa/oe/val.csv",
    "nextqa/map_vid_vidorID.json",
    "star/STAR_val.json",
    "vidor/validation-annotation.zip",
)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sample_file(source: SourceFile) -> bytes:
    """What the sample has in place of a published file."""
    if not source.path.endswith(".zip"):
        return Path(DATA_DIR, source.path).read_bytes()
    buffer = io.BytesIO()
    part = source.path.removeprefix("vidor/").removesuffix("-annotation.zip")
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(Path(DATA_DIR, "vidor", part).rglob("*.json")):
            archive.writestr(path.relative_to(Path(DATA_DIR, "vidor")).as_posix(), path.read_bytes())
    return buffer.getvalue()


def loopback(source: SourceFile, server: FileServer, data: bytes) -> SourceFile:
    """The source, served by the loopback server with bytes of the sample; the Hub's stay with the Hub."""
    known = {"git_blob": git_blob(data), "size": source.size and len(data)} if source.git_blob else {}
    if source.url.startswith(download.HUB):
        server.files[source.url.removeprefix(download.HUB)] = data
        return source
    server.files["/" + source.path] = data
    return dataclasses.replace(source, url=f"{server.url}/{source.path}", **known)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[FileServer]:
    """All sources on the loopback server, which is the Hub too; online, without pauses, with a cache of one's own."""
    with FileServer() as server:
        for config in CONFIGS:
            files = tuple(loopback(s, server, sample_file(s)) for s in sources_of(config))
            monkeypatch.setitem(CATALOG, config, dataclasses.replace(CATALOG[config], files=files))
        monkeypatch.setattr(download, "WAITS_SECONDS", (0.0, 0.0))
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url)
        monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", own_cache / "downloads")
        go(monkeypatch, online=True)
        yield server


def go(monkeypatch: pytest.MonkeyPatch, online: bool) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", not online)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", not online)


def rows_of(built: Any) -> dict[str, list[Any]]:
    return {split: list(rows) for split, rows in built.items()}


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def fetch(tmp_path: Path, config: str = "nextqa_oe", **how: Any) -> Path:
    return fetched(BuildOptions(config), tmp_path / "cache", **how).root


def fails(tmp_path: Path, path: str, config: str = "nextqa_oe") -> str:
    """The one line of a fetch that fails; nothing stands where the file would, and no unfinished one either."""
    with pytest.raises(InputError) as caught:
        fetch(tmp_path, config)
    line = str(caught.value)
    root = tmp_path / "cache/cotasks"
    assert "\n" not in line
    assert line.startswith(path)
    assert f"put it at {root / path}, or name a data_dir" in line
    assert not (root / path).exists()
    return line


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob(".*.part"))


# what is fetched


def test_the_table_covers_what_a_build_reads() -> None:
    for config in CONFIGS:
        paths = {source.path for source in sources_of(config)}
        part = config.removeprefix("nextqa_")
        for short in ("train", "val", "test"):
            assert (f"star/STAR_{short}.json" if part == "star" else f"nextqa/{part}/{short}.csv") in paths
        assert not [path for path in paths if path.endswith((".mp4", ".avi"))]
    assert sources_of("sample") == ()
    assert len({s.path for s in SOURCES}) == len({s.url for s in SOURCES}) == len(SOURCES)
    assert all(source.url.startswith("https://") for source in SOURCES)


def test_the_table_agrees_with_real_files(realdata: Path) -> None:
    checked = []
    for source in SOURCES:
        path = realdata / source.path
        if path.is_file() and source.git_blob:
            data = path.read_bytes()
            assert (source.path, git_blob(data), len(data)) == (source.path, source.git_blob, source.size)
            checked.append(source.path)
    assert {CSV, MAP, "nextgqa/gsub_val.json", "star/STAR_classes/video_fps"} <= set(checked)
    assert download._fault(next(s for s in SOURCES if s.path == ZIP), realdata / ZIP) is None


# from load_dataset and build


@pytest.mark.parametrize("config", CONFIGS)
def test_load_dataset_downloads_once_and_then_needs_no_network(
    server: FileServer, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is published holds no sizes of videos, which the sample brings
    published = shutil.copytree(DATA_DIR, tmp_path / "data", ignore=shutil.ignore_patterns("video_sizes.json"))
    expected = rows_of(load_dataset("cotasks", config, data_dir=str(published)))
    built = load_dataset("cotasks", config)
    assert rows_of(built) == expected
    assert next(iter(built.values())).info.download_size == sum(len(sample_file(s)) for s in sources_of(config))
    assert {"train", "validation"} <= set(expected)
    gets = [path for method, path, _, _ in server.requests if method == "GET"]
    assert len(gets) == len(set(gets)) == len(sources_of(config))

    server.requests.clear()
    go(monkeypatch, online=False)
    assert rows_of(load_dataset("cotasks", config)) == expected
    assert len(load_dataset("cotasks", config, num_frames=8)["train"]) == len(expected["train"])  # built anew
    assert server.requests == []


def test_another_process_reuses_the_cache_offline(server: FileServer, tmp_path: Path) -> None:
    rows = len(load_dataset("cotasks", "star", split="train"))
    script = "import cotasks, datasets; print(len(datasets.load_dataset('cotasks', 'star', split='train')))"
    environment = {**os.environ, "PYTHONPATH": TREE}  # the cache too is named there
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert int(done.stdout) == rows


def test_streaming_fetches_into_the_same_folder(server: FileServer) -> None:
    streamed = load_dataset("cotasks", "nextqa_oe", split="validation", streaming=True)
    expected = list(load_dataset("cotasks", "nextqa_oe", data_dir=DATA_DIR, split="validation"))
    assert list(streamed) == expected
    server.requests.clear()
    assert list(load_dataset("cotasks", "nextqa_oe", split="validation")) == expected
    assert server.requests == []


def test_build_downloads_and_writes_the_same_bytes(server: FileServer, tmp_path: Path) -> None:
    for name, data_dir in (("downloaded", None), ("given", str(fetch(tmp_path)))):
        build_folder(BuildOptions("nextqa_oe", data_dir=data_dir), tmp_path / name)
    contents = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("downloaded", "given")
    ]
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in b"".join(contents[0].values())


def test_a_download_folder_is_a_data_dir_and_configs_share_it(server: FileServer, tmp_path: Path) -> None:
    root = fetch(tmp_path)
    assert files_below(root) == {source.path for source in sources_of("nextqa_oe")} | {".lock"}
    server.requests.clear()
    assert fetch(tmp_path, "nextqa_mc") == root
    assert {path for _, path, _, _ in server.requests} == {f"/nextqa/mc/{s}.csv" for s in ("train", "val", "test")}
    assert len(load_dataset("cotasks", "nextqa_mc", data_dir=str(root))) == 3


def test_the_cache_key_keeps_to_the_options(server: FileServer, tmp_path: Path) -> None:
    def key(**options: Any) -> str:
        return datasets.load_dataset_builder("cotasks", "nextqa_oe", **options).config_id

    before = key()
    assert server.requests == []
    fetch(tmp_path)
    assert key() == before
    (tmp_path / "empty").mkdir()
    others = {key(num_frames=8), key(data_dir=str(tmp_path / "empty")), key(vidor=str(Path(DATA_DIR, "vidor")))}
    assert len(others | {before}) == 4


def test_force_redownload_fetches_anew(server: FileServer) -> None:
    load_dataset("cotasks", "star")
    server.requests.clear()
    load_dataset("cotasks", "star", download_mode="force_redownload")
    assert len(server.gets("/" + STAR)) == 1
    server.requests.clear()
    load_dataset("cotasks", "star", download_mode="reuse_cache_if_exists")
    assert server.requests == []


def test_the_token_goes_to_the_hub_alone(server: FileServer, tmp_path: Path) -> None:
    fetch(tmp_path, token="hf_secret")
    told = {path for _, path, _, authorization in server.requests if authorization}
    assert told == {f"/datasets/shangxd/vidor/resolve/main/{p}-annotation.zip" for p in ("training", "validation")}


# what goes wrong


@pytest.mark.parametrize("fault", ["drop", "reset", "silent"])
def test_a_broken_connection_is_resumed_where_it_broke(server: FileServer, tmp_path: Path, fault: Any) -> None:
    server.faults["/" + CSV] = [fault] * 5  # more often than a server that sends nothing is asked
    size = len(server.files["/" + CSV])
    assert (fetch(tmp_path) / CSV).read_bytes() == server.files["/" + CSV]
    offsets = [int(asked.removeprefix("bytes=").removesuffix("-") or 0) for asked in server.gets("/" + CSV)]
    assert len(offsets) == 6
    assert offsets[0] == 0
    if fault != "reset":  # it may take away what was on its way
        assert offsets[1:3] == [size // 2, size // 2 + (size - size // 2) // 2]
    assert offsets == sorted(offsets)
    assert parts(tmp_path) == []


def test_a_large_file_of_the_hub_is_resumed(server: FileServer, tmp_path: Path) -> None:
    path = f"/cdn/datasets/shangxd/vidor/resolve/main/{Path(ZIP).name}"
    server.faults[path] = ["drop"]
    assert zipfile.ZipFile(fetch(tmp_path) / ZIP).testzip() is None
    assert len(server.gets(path)) == 2
    assert server.gets(path)[1].startswith("bytes=")


def test_a_killed_download_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.faults["/" + STAR] = ["drop", 404]
    line = fails(tmp_path, STAR, "star")
    assert "the server answered 404" in line
    (part,) = parts(tmp_path)
    done, size = part.stat().st_size, len(server.files["/" + STAR])
    assert done == size // 2
    server.requests.clear()
    assert (fetch(tmp_path, "star") / STAR).read_bytes() == server.files["/" + STAR]
    assert server.gets("/" + STAR) == [f"bytes={done}-"]
    assert parts(tmp_path) == []


def test_parts_of_two_versions_are_never_joined(server: FileServer, tmp_path: Path) -> None:
    server.faults["/" + STAR] = ["drop", 404]
    fails(tmp_path, STAR, "star")
    server.files["/" + STAR] = b"[" + b" " * len(server.files["/" + STAR]) + b"]"
    assert (fetch(tmp_path, "star") / STAR).read_bytes() == server.files["/" + STAR]
    assert server.gets("/" + STAR)[-1] == ""
    assert parts(tmp_path) == []


def test_what_has_no_version_is_begun_anew(server: FileServer, tmp_path: Path) -> None:
    server.etags = False
    server.faults["/" + STAR] = ["drop", 404]
    fails(tmp_path, STAR, "star")
    server.files["/" + STAR] = server.files["/" + STAR].replace(b"who", b"Who")  # of the same length
    assert (fetch(tmp_path, "star") / STAR).read_bytes() == server.files["/" + STAR]
    assert set(server.gets("/" + STAR)) == {""}


def test_a_part_that_is_too_long_is_begun_anew(server: FileServer, tmp_path: Path) -> None:
    server.faults["/" + STAR] = ["drop", 404]
    fails(tmp_path, STAR, "star")
    (part,) = parts(tmp_path)
    part.write_bytes(server.files["/" + STAR] + b"more")
    assert (fetch(tmp_path, "star") / STAR).read_bytes() == server.files["/" + STAR]


def test_an_end_without_notice_is_noticed(server: FileServer, tmp_path: Path) -> None:
    server.files["/" + STAR] = data = b"[" + b"[], " * 1000 + b"[]  ]"  # whose half ends as a whole list does
    server.faults["/" + STAR] = ["silent"]
    assert (fetch(tmp_path, "star") / STAR).read_bytes() == data
    assert server.gets("/" + STAR) == ["", f"bytes={len(data) // 2}-"]


def test_another_file_in_between_is_never_joined(server: FileServer, tmp_path: Path) -> None:
    server.faults["/" + STAR] = [b"[]", "drop", b"[" + b" " * 100_000 + b"]"]
    assert (fetch(tmp_path, "star") / STAR).read_bytes() == server.files["/" + STAR]
    server.faults["/" + STAR] = [b"[]"] * 9
    (tmp_path / "cache/cotasks" / STAR).unlink()
    line = fails(tmp_path, STAR, "star")
    assert f"the server announced {len(server.files['/' + STAR])} bytes and sends another file, of 2" in line


def test_a_server_without_ranges_is_asked_a_few_times(server: FileServer, tmp_path: Path) -> None:
    server.faults["/" + CSV] = ["restart"]
    assert (fetch(tmp_path) / CSV).read_bytes() == server.files["/" + CSV]
    (tmp_path / "cache/cotasks" / CSV).unlink()
    server.requests.clear()
    server.faults["/" + CSV] = ["restart"] * 50
    line = fails(tmp_path, CSV)
    size = len(server.files["/" + CSV])
    assert f"the connection broke after {size // 2} of {size} bytes" in line
    assert len(server.gets("/" + CSV)) <= 5


def test_a_status_is_one_line(server: FileServer, tmp_path: Path) -> None:
    for status, asked in ((404, 1), (403, 1), (500, 3), (503, 3)):
        server.requests.clear()
        server.always["/" + CSV] = status
        line = fails(tmp_path, CSV)
        assert f"{CSV} cannot be fetched: the server answered {status}; fetch {server.url}/{CSV} by hand" in line
        assert "(published at https://github.com/doc-doc/NExT-OE (dataset/nextqa))" in line
        assert [path for _, path, _, _ in server.requests].count("/" + CSV) == asked
    server.always.clear()
    server.faults["/" + CSV] = [500, 502]  # it recovers
    assert (fetch(tmp_path) / CSV).is_file()


def test_a_server_that_is_not_there_is_one_line(server: FileServer, tmp_path: Path) -> None:
    server.always["/" + CSV] = 0
    assert f"{CSV} cannot be fetched: no connection (RemoteProtocolError: " in fails(tmp_path, CSV)


@pytest.mark.parametrize("path", [CSV, MAP, STAR, ZIP])
def test_a_web_page_is_not_taken_for_a_file(server: FileServer, tmp_path: Path, path: str) -> None:
    requested = f"/datasets/shangxd/vidor/resolve/main/{Path(path).name}" if path == ZIP else "/" + path
    server.always[requested] = HTML
    server.always["/cdn" + requested] = HTML
    line = fails(tmp_path, path, "star" if path == STAR else "nextqa_oe")
    assert f"sent what is an HTML page of {len(HTML)} bytes" in line
    assert "expected" in line
    assert parts(tmp_path) == []
    server.always.clear()
    assert fetch(tmp_path, "star" if path == STAR else "nextqa_oe").is_dir()


@pytest.mark.parametrize("path", [CSV, MAP, STAR, ZIP])
def test_half_a_file_is_detected(server: FileServer, tmp_path: Path, path: str) -> None:
    requested = f"/datasets/shangxd/vidor/resolve/main/{Path(path).name}" if path == ZIP else "/" + path
    data = server.files[requested]
    half = data[: len(data) // 2]
    server.always[requested] = server.always["/cdn" + requested] = half  # and its length says so
    line = fails(tmp_path, path, "star" if path == STAR else "nextqa_oe")
    assert f"damaged: {len(half)} bytes" in line
    assert "expected" in line
    assert parts(tmp_path) == []


def test_a_source_of_zips_and_json_objects(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perception Test's publishers state no hash: a zip must be whole, and a JSON file, an object here."""
    source, config = tmp_path / "source", "perception_test"
    for split in ("train", "valid", "test"):
        perception_files.write(source, {"video_1": perception_files.video(split)}, short=split)
    files = tuple(loopback(s, server, (source / s.path).read_bytes()) for s in sources_of(config))
    monkeypatch.setitem(CATALOG, config, dataclasses.replace(CATALOG[config], files=files))
    assert files_below(fetch(tmp_path, config)) - {".lock"} == {s.path for s in files} == files_below(source)
    cuts = "/perception_test/cut_frame_mapping_train.json"
    server.always[cuts] = server.files[cuts][:-3]
    with pytest.raises(InputError, match=r"no whole JSON, expected a list from \[ to \], or an object"):
        fetch(tmp_path, config, force=True)


def test_wrong_bytes_of_the_right_length_are_detected(server: FileServer, tmp_path: Path) -> None:
    data = server.files["/" + CSV]
    wrong = data.replace(b"why", b"Why", 1)
    assert len(wrong) == len(data)
    assert wrong != data
    server.always["/" + CSV] = wrong
    line = fails(tmp_path, CSV)
    assert f"git blob {git_blob(wrong)}, expected {git_blob(data)}" in line
    del server.always["/" + CSV]
    path = "/datasets/shangxd/vidor/resolve/main/" + Path(ZIP).name
    data = server.files[path]
    wrong = data[:100] + bytes([data[100] ^ 1]) + data[101:]
    server.always["/cdn" + path] = wrong  # the redirect states the right one
    line = fails(tmp_path, ZIP)
    assert f"sha256 {hashlib.sha256(wrong).hexdigest()}, expected {hashlib.sha256(data).hexdigest()}" in line
    assert parts(tmp_path) == []


def test_a_file_damaged_in_the_cache_is_fetched_anew(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(tmp_path) / CSV
    for damage in (b"", path.read_bytes()[:100], HTML):
        path.write_bytes(damage)
        server.requests.clear()
        fetch(tmp_path)
        assert path.read_bytes() == server.files["/" + CSV]
        assert server.gets("/" + CSV) == [""]
        assert {p for _, p, _, _ in server.requests} == {"/" + CSV}
    path.write_bytes(HTML)
    go(monkeypatch, online=False)
    with pytest.raises(InputError, match=rf"{CSV} is an HTML page of {len(HTML)} bytes.*offline mode is on"):
        fetch(tmp_path)


def test_offline_says_what_to_fetch_and_a_file_put_there_counts(
    server: FileServer, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(monkeypatch, online=False)
    with pytest.raises(InputError) as caught:
        load_dataset("cotasks", "nextqa_oe")
    root = own_cache / "downloads/cotasks"
    line = str(caught.value)
    assert "config nextqa_oe: no data_dir given, nextqa/oe/train.csv is missing, and offline mode is on" in line
    assert f"fetch {server.url}/nextqa/oe/train.csv by hand" in line
    assert f"put it at {root}/nextqa/oe/train.csv" in line
    assert line.endswith("vidor/training-annotation.zip, vidor/validation-annotation.zip")
    assert server.requests == []
    assert not root.exists()
    for source in sources_of("nextqa_oe"):
        (root / source.path).parent.mkdir(parents=True, exist_ok=True)
        (root / source.path).write_bytes(sample_file(source))
    assert len(load_dataset("cotasks", "nextqa_oe")) == 3


def test_a_full_disk_is_one_line_and_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the disk: a write past it fails as one to a full disk does, with another number."""
    path = "/datasets/shangxd/vidor/resolve/main/training-annotation.zip"
    script = f"""
import dataclasses, resource, sys
import cotasks, datasets
from cotasks.builders import download
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.readers.source import SourceFile
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
datasets.config.HF_ENDPOINT = {server.url!r}
row = CATALOG["nextqa_oe"]
files = tuple(s for s in row.files if s.path == "vidor/training-annotation.zip")
CATALOG["nextqa_oe"] = dataclasses.replace(row, files=files)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    download.fetched(BuildOptions("nextqa_oe"), {str(tmp_path / "cache")!r})
except InputError as error:
    print(error)
"""
    assert len(server.files[path]) > 1000
    environment = {**os.environ, "PYTHONPATH": TREE, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    assert f"training-annotation.zip cannot be fetched: {tmp_path}/cache/cotasks/vidor: File too large; " in done.stdout
    assert len(server.gets("/cdn" + path)) == 1
    assert files_below(tmp_path / "cache/cotasks") == {".lock"}


def test_a_folder_that_cannot_be_written_is_one_line(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    with pytest.raises(InputError, match="cache/cotasks: the download folder cannot be written: Not a directory"):
        fetch(tmp_path)


def test_a_failed_download_leaves_no_data_set_and_no_folder(
    server: FileServer, tmp_path: Path, own_cache: Path
) -> None:
    server.always["/" + MAP] = 500
    with pytest.raises(InputError, match=f"{MAP} cannot be fetched: the server answered 500"):
        load_dataset("cotasks", "nextqa_oe")
    with pytest.raises(InputError, match=f"{MAP} cannot be fetched"):
        build_folder(BuildOptions("nextqa_oe"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(own_cache.rglob("dataset_info.json"))
    server.always.clear()
    assert len(load_dataset("cotasks", "nextqa_oe")) == 3


def test_progress_is_shown_and_can_be_switched_off(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(tmp_path, "star")
    assert STAR in capsys.readouterr().err
    datasets.disable_progress_bars()
    try:
        fetch(tmp_path, "star", force=True)
    finally:
        datasets.enable_progress_bars()
    assert STAR not in capsys.readouterr().err


def test_two_processes_fetch_a_file_once(server: FileServer, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    logging.getLogger("filelock").setLevel(logging.ERROR)
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(lambda _: fetch(tmp_path, "star"), range(2)))) == 1
    assert {len(server.gets("/" + source.path)) for source in sources_of("star")} == {1}
