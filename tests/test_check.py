"""A folder of videos, some of which are not the annotated ones: `cotasks check`."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.records import checking
from cotasks.records.checking import ExpectedVideo, check_videos, expectation_tables, expected_videos
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record
from cotasks.records.timeline import grid_frames, uniform_grid
from cotasks.records.videos import expected_video
from cotasks.video import facts, packets
from cotasks.video.check import Expected
from tests.odd_videos import GOOD, ODD
from tests.synthetic import FPS, make_record, write_folder, write_video

pytest.importorskip("av")

VIDEOS, WRONG = 60, 20


@dataclass(frozen=True)
class Folder:
    data: Path
    videos: Path
    reasons: dict[str, str]
    """{video_path of a wrong one: why}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """60 videos, 20 of them wrong, all mixed; three questions about every fourth, else one."""
    root = tmp_path_factory.mktemp("folder")
    videos = root / "videos"
    for kind in ("good", "odd"):
        (videos / kind).mkdir(parents=True)
    for number, write in enumerate(GOOD.values()):
        write(videos / "good" / f"{number}.mp4")
    for number, (_, write) in enumerate(ODD.values()):
        write(videos / "odd" / f"{number}.mp4")
    good = islice(cycle([(f"good/{number}.mp4", "") for number in range(len(GOOD))]), VIDEOS - WRONG)
    odd = islice(cycle([(f"odd/{number}.mp4", reason) for number, (reason, _) in enumerate(ODD.values())]), WRONG)
    records, reasons = [], {}
    mixed = [*good, *odd]
    random.Random(0).shuffle(mixed)
    for place, (source, reason) in enumerate(mixed):
        path = f"{place % 7:04d}/{place}.mp4"
        (videos / path).parent.mkdir(exist_ok=True)
        if (videos / source).exists():
            os.link(videos / source, videos / path)
        if reason:
            reasons[path] = reason
        records += [make_record(f"{place}", n, video_path=path) for n in range(1 if place % 4 else 3)]
    return Folder(write_folder(root / "data", records), videos, reasons)


def test_exactly_the_wrong_ones_are_named(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "VIDEOS_A_PROCESS", VIDEOS // 2)
    monkeypatch.chdir(folder.videos.parent)
    out = tmp_path / "check.json"
    assert main(["check", "data", "--videos", "videos", "--num-proc", "2", "--json", str(out)]) == 1
    lines = capsys.readouterr().out.splitlines()
    named = [line.split(": ")[0].removeprefix("videos/") for line in lines if line.startswith("videos/")]
    assert sorted(named) == sorted(folder.reasons)
    assert lines[-1] == f"{WRONG} of {VIDEOS} videos are wrong in videos; {out}"
    counts = Counter(folder.reasons.values())
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    assert {reason: int(videos) for reason, videos, _ in table} == counts
    assert [int(row[1]) for row in table] == sorted(counts.values(), reverse=True)
    found = json.loads(out.read_text())
    assert {row["video_path"]: row["reason"] for row in found["wrong"]} == folder.reasons
    assert (found["checked"], found["questions"]) == (VIDEOS, VIDEOS + 2 * len(range(0, VIDEOS, 4)))
    assert sum(int(row[2]) for row in table) == sum(row["questions"] for row in found["wrong"])
    notes = [note for note in found["notes"] if "stands in" in note]
    assert len(notes) == sum(
        name in ("a frame less", "two frames less") for name in islice(cycle(GOOD), VIDEOS - WRONG)
    )


def test_each_video_is_opened_once_and_few_frames_decoded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: Counter[str] = Counter()

    def count(real: Callable[..., list[float]]) -> Callable[..., list[float]]:
        def counted(container: Any, *rest: Any) -> list[float]:
            found = real(container, *rest)
            decoded[container.name] += len(found)
            return found

        return counted

    monkeypatch.setattr(facts, "_of_keyframes", count(facts._of_keyframes))
    monkeypatch.setattr(facts, "_of_frames", count(facts._of_frames))
    indexed: Counter[str] = Counter()
    real_index = packets._read_index
    monkeypatch.setattr(
        packets, "_read_index", lambda c, s, path: indexed.update([str(path)]) or real_index(c, s, path)
    )
    facts._facts.cache_clear()
    packets._indexes.clear()
    expected = expected_videos(expectation_tables(load_records(str(folder.data)).rows))
    assert len(expected) == VIDEOS
    found = list(check_videos(expected, folder.videos))
    assert {one.video_path: one.reason for one in found if one.reason} == folder.reasons
    assert set(indexed.values()) == {1}
    # those without anything to see, and those that begin black, are looked at twice
    assert set(decoded.values()) <= {facts.PICTURES, facts.PICTURES + facts.LAST_PICTURES}
    assert sum(decoded.values()) < 5 * VIDEOS


def test_the_good_alone_are_no_failure(folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [r for r in load_records(str(folder.data)) if r.video_path not in folder.reasons][:8]
    data = write_folder(tmp_path / "data", records)
    assert main(["check", str(data), "--videos", str(folder.videos), "--split", "val"]) == 0
    paths = {record.video_path for record in records}
    assert capsys.readouterr().out.splitlines()[-1] == f"0 of {len(paths)} videos are wrong in {folder.videos}"


def test_the_sample_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "sample", "--num-proc", "1"]) == 0
    assert " of 28 videos are wrong" in capsys.readouterr().out


def test_what_cannot_be_meant(folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ([str(folder.data)], "--videos"),
        ([str(folder.data), "--videos", str(tmp_path / "none")], "none: no such folder"),
        ([str(tmp_path / "none"), "--videos", str(tmp_path)], "no such folder; expected `sample`"),
        ([str(folder.data), "--videos", str(folder.videos), "--split", "test"], "no split test"),
    ):
        assert main(["check", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_paths_out_of_the_folder_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "secret.mp4")
    records = [
        make_record("a", 0, video_path="../secret.mp4"),
        make_record("b", 0, video_path=str(tmp_path / "secret.mp4")),
        make_record("c", 0, video_path="x/../../secret.mp4"),
    ]
    rows = load_records(str(write_folder(tmp_path / "data", records))).rows
    found = list(check_videos(expected_videos(expectation_tables(rows)), tmp_path / "videos"))
    assert [one.reason for one in found] == ["video path outside the folder"] * 3


def test_what_is_expected_is_what_each_record_says(tmp_path: Path) -> None:
    star: dict[str, Any] = {"source": "star", "width": None, "height": None}
    records = [
        make_record("a", 0),
        make_record("a", 1, num_frames=9),
        dataclasses.replace(make_record("b", 0, **star), frame_count=None),
        make_record("b", 1, num_frames=3, **star),
        make_record("c", 0, width=None, height=None),
        make_record("d", 0, fps=30.0, frames=grid_frames(uniform_grid(0, 59, 6), 30.0)),
        make_record("d", 1),
    ]
    assert expected_video(records[2]).reach == (65.0, 70.0)
    rows = load_records(str(write_folder(tmp_path / "data", records))).rows
    together = {one.video_path: one for one in expected_videos(expectation_tables(rows))}
    assert [together[f"{name}.mp4"].questions for name in "abcd"] == [2, 2, 1, 2]
    for name, many in together.items():
        own = [expected_video(record) for record in records if record.video_path == name]
        grouped: dict[Expected, set[int]] = {}
        for expected in own:
            grouped.setdefault(dataclasses.replace(expected, frames=()), set()).update(expected.frames)
        wanted = {dataclasses.replace(key, frames=tuple(sorted(frames))) for key, frames in grouped.items()}
        assert set(many.expected) == wanted


def test_a_worker_that_is_killed_is_said(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "VIDEOS_A_PROCESS", VIDEOS // 2)
    expected = expected_videos(expectation_tables(load_records(str(folder.data)).rows))
    with pytest.raises(InputError, match="ended from outside"):
        list(check_videos([*expected, *[dying("x")] * 5], folder.videos, num_proc=2))


class _Dying(str):
    """A path that ends the process that is handed it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def dying(path: str) -> ExpectedVideo:
    return ExpectedVideo(_Dying(path), 1, (Expected(float(FPS), (0,)),))


def test_all_splits_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4")
    shutil.copy(tmp_path / "videos" / "a.mp4", tmp_path / "videos" / "b.mp4")
    data = tmp_path / "data"
    faster = make_record("b", 0, fps=30.0, frames=grid_frames(uniform_grid(0, 59, 6), 30.0))
    rows: dict[str, Record] = {"train": make_record("a", 0), "test": faster}
    for split, record in rows.items():
        write_folder(data, [record], split=split)
    files = "".join(f"  - split: {split}\n    path: nextqa_oe/{split}-*\n" for split in rows)
    (data / "README.md").write_text(f"---\nconfigs:\n- config_name: nextqa_oe\n  data_files:\n{files}---\n")
    assert main(["check", str(data), "--videos", str(tmp_path / "videos")]) == 1
    out = capsys.readouterr().out
    assert "b.mp4: 25 frames a second; expected the record's 30" in out
    assert "1 of 2 videos are wrong" in out
    assert main(["check", str(data), "--videos", str(tmp_path / "videos"), "--split", "train"]) == 0
