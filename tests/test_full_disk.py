"""A disk that fills up: one line that names the file, nothing half-written, and the same command finishes the job."""

from __future__ import annotations

import errno
import itertools
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cotasks.builders.publish import folder
from cotasks.builders.publish.embed import find_videos, read_video_paths, write_shards
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.look import record as looking
from cotasks.pages.plots import figure_file
from cotasks.sample import DATA_DIR
from cotasks.tools import files
from cotasks.tools.files import writing
from tests.synthetic import make_record

DISK_BYTES = 4 * 2**20
PAGE_BYTES = 4096
"""What a file system in memory hands out at a time."""


def content(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below, hidden ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: the write that would do so fails as on a full disk, "File too large"."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=False)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if done.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def space_left(disk: Path, size: int) -> Iterator[None]:
    """Fill the disk but for `size` bytes."""
    used = sum(-(-path.stat().st_size // PAGE_BYTES) * PAGE_BYTES for path in disk.rglob("*") if path.is_file())
    ballast = disk.parent / "disk" / "ballast"
    ballast.write_bytes(bytes(DISK_BYTES - used - size))
    try:
        yield
    finally:
        ballast.unlink()


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that failed wrote to standard error, which is one line beside the lines of progress."""
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("questions")]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("pages", [0, 4, 40])
def test_a_build_on_a_full_disk(disk: Path, built_sample: Path, pages: int, capsys: pytest.CaptureFixture[str]) -> None:
    out = disk / "out"
    needed = sum(-(-len(data) // PAGE_BYTES) for data in content(built_sample).values())
    assert pages < needed
    with space_left(disk, pages * PAGE_BYTES):
        assert main(["build", "sample", "--out", str(out)]) == 2
        assert [path for path in disk.rglob("*") if path.is_file()] == [disk / "ballast"]
    line = one_line(capsys)
    assert line.startswith(f"cotasks: {out}/")
    assert "cannot be written: No space left on device" in line
    assert main(["build", "sample", "--out", str(out)]) == 0
    assert content(out) == content(built_sample)


def test_a_rebuild_on_a_full_disk_leaves_what_was(
    disk: Path, built_sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk / "out"
    command = ["build", "sample", "--out", str(out)]
    assert main([*command, "--num-frames", "8"]) == 0
    before = content(out)
    capsys.readouterr()
    for pages in range(0, 200, 25):
        with space_left(disk, pages * PAGE_BYTES):
            code = main(command)
        if code == 0:
            break
        assert code == 2
        assert "No space left on device" in one_line(capsys)
        assert content(out) == before
    assert pages > 25
    assert content(out) == content(built_sample)


@pytest.mark.parametrize("old_frames", [None, 8])
def test_each_file_of_a_build_in_turn(tmp_path: Path, old_frames: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the first file is to be written, the second ...: the folder is the old one or the new."""
    out = tmp_path / "out"
    if old_frames is not None:
        build_folder(BuildOptions("sample", num_frames=old_frames, limit=2), out)
    build_folder(BuildOptions("sample", limit=2), tmp_path / "new")
    before = content(out)
    named: list[str] = []
    while content(out) == before:
        good_writes = itertools.count(-len(named))

        @contextmanager
        def full(target: Path, left: Iterator[int] = good_writes) -> Iterator[None]:
            with writing(target):
                if next(left) == 0:
                    named.append(Path(target).relative_to(out).as_posix())
                    raise OSError(errno.ENOSPC, "full")
                yield

        for module in (folder, files):
            monkeypatch.setattr(module, "writing", full)
        failed_before = len(named)
        try:
            build_folder(BuildOptions("sample", limit=2), out)
        except InputError as error:
            assert f"{out / named[-1]}: cannot be written: No space left on device" in str(error)  # noqa: PT017
        assert len(named) <= failed_before + 1
    assert content(out) == content(tmp_path / "new")
    assert set(named) == {
        "sample",
        "sample/skipped.jsonl",
        *(f"sample/{split}-*.parquet" for split in ("train", "validation", "test")),
        "sample/build.json",
        "sample/croissant.json",
        "README.md",
    }


def test_a_build_whose_card_cannot_be_written_takes_the_old_folder_back(tmp_path: Path, built_sample: Path) -> None:
    """The card is written last, when the new folder is in its place."""
    out = tmp_path / "out"
    build_folder(BuildOptions("sample", num_frames=8), out)
    before = content(out)
    readme = out / "README.part.md"
    readme.mkdir()  # in the way of the card, as a full disk is
    with pytest.raises(InputError, match=r"README\.md: cannot be written: Is a directory"):
        build_folder(BuildOptions("sample"), out)
    readme.rmdir()
    assert content(out) == before
    build_folder(BuildOptions("sample"), out)
    assert content(out) == content(built_sample)


def test_a_first_build_that_was_killed_is_no_foreign_folder(tmp_path: Path, built_sample: Path) -> None:
    out = tmp_path / "out"
    (out / ".sample.part").mkdir(parents=True)
    (out / ".sample.part" / "train-00000.part").write_bytes(b"PAR1")
    build_folder(BuildOptions("sample"), out)
    assert content(out) == content(built_sample)


def test_an_audit_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cotasks import audit
    from cotasks.audit import page, plots

    out = tmp_path / "audit"
    monkeypatch.setattr(audit, "summarise", lambda *arguments: {"splits": {}, "leakage": []})
    monkeypatch.setattr(page, "render", lambda *arguments: "page " * 1000)
    with monkeypatch.context() as without_pictures:
        without_pictures.setattr(plots, "draw", lambda *arguments: [])
        audit.audit("sample", out)
        before = content(out)
        for size, name in ((10, "audit.json"), (1000, "audit.md")):
            with (
                largest_file(size),
                pytest.raises(InputError, match=rf"audit/{name}: cannot be written: File too large"),
            ):
                audit.audit("sample", out)
            assert content(out) == before
    with (
        largest_file(1000),
        pytest.raises(InputError, match=r"x\.png: cannot be written: File"),
        figure_file(out / "x.png") as figure,
    ):
        figure.subplots().plot([1, 2], [3, 4])
    assert content(out) == before


@pytest.mark.parametrize("name", ["sheet.png", "clip.gif", "clip.mp4"])
def test_a_picture_on_a_full_disk(tmp_path: Path, name: str) -> None:
    out = tmp_path / "new" / name
    record = make_record("video", 0)
    with largest_file(500), pytest.raises(InputError, match=rf"{name}: cannot be written: File too large"):
        looking.write(record, out)
    assert list(out.parent.iterdir()) == []
    looking.write(record, out)
    assert list(out.parent.iterdir()) == [out]


def test_a_shard_with_videos_on_a_full_disk(tmp_path: Path, built_sample: Path) -> None:
    videos = Path(DATA_DIR) / "videos"
    shards = {"train": sorted((built_sample / "sample").glob("train-*.parquet"))}
    sizes = find_videos(read_video_paths(shards["train"]), videos)
    with largest_file(20_000), pytest.raises(InputError, match=r"train-.*\.parquet: cannot be written: File too large"):
        list(write_shards(shards, videos, sizes, tmp_path))


def test_an_error_without_a_number_keeps_its_words() -> None:
    with pytest.raises(InputError, match=r"x\.bin: cannot be written: cannot write mode F as PNG"), writing("x.bin"):
        raise OSError("cannot write mode F as PNG")
