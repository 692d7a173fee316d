"""All videos of a data set, each looked at once and compared with what its records say."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.records.videos import AT_480P
from cotasks.tools.processes import end_with_parent, start_method
from cotasks.video.check import Expected, Fault, check_mode, fault_error, faults, look_at
from cotasks.video.facts import video_facts
from cotasks.video.files import video_file

COLUMNS = ("video_path", "source", "fps", "frame_count", "width", "height", "frames")
ROWS = 256
"""Read at a time where boxes are needed; a row may hold thousands."""
VIDEOS_A_TASK = 4
VIDEOS_A_PROCESS = 100
"""Fewer take less time than a process takes to start: a video takes some 20 ms."""


@dataclass(frozen=True)
class ExpectedVideo:
    """What the records of a video say of it."""

    video_path: str
    questions: int
    expected: tuple[Expected, ...]
    """One, or several where records disagree or have no size; frames are those of all their records."""


@dataclass(frozen=True)
class CheckedVideo:
    """What came of a video."""

    video_path: str
    questions: int
    reason: str = ""
    """Why it cannot be used, without values, so that equal ones add up; empty where it is the annotated one."""
    detail: str = ""
    """The same in one line, with the file, what was found and what was expected."""
    note: str = ""
    """What is worth knowing of one that can be used."""


def expectation_tables(rows: Any) -> Iterator[pa.Table]:
    """The columns that `expected_videos` takes, some rows at a time.

    Args:
        rows: a `datasets.Dataset` or a `pyarrow.parquet.ParquetFile` of records.
    """

    def read(columns: Sequence[str], count: int) -> Iterator[pa.Table]:
        if hasattr(rows, "iter_batches"):
            yield from (pa.Table.from_batches([batch]) for batch in rows.iter_batches(count, columns=list(columns)))
        else:
            yield from rows.select_columns(list(columns)).with_format("arrow").iter(count)

    sized = all(table["width"].null_count == 0 for table in read(["width"], 100_000))
    yield from read(COLUMNS, 10_000) if sized else read((*COLUMNS, "scene"), ROWS)


def expected_videos(tables: Iterable[pa.Table]) -> list[ExpectedVideo]:
    """What records say of each video, in order of its path.

    Args:
        tables: the columns COLUMNS of records, and `scene` where a record has no size.
    """
    questions: dict[str, int] = {}
    frames: dict[tuple[str, Any], list[NDArray[np.int32]]] = {}
    for table in tables:
        reaches = _reaches(table) if "scene" in table.column_names else None
        grids = table["frames"].combine_chunks()
        ends = np.cumsum(pc.list_value_length(grids).to_numpy())
        indices = _child(grids.flatten(), "index").to_numpy()
        sources = table["source"].to_pylist()
        columns = [table[name].to_pylist() for name in ("video_path", "fps", "frame_count", "width", "height")]
        for row, (path, fps, count, width, height) in enumerate(zip(*columns, strict=True)):
            size = (width, height) if width and height else None
            reach = None
            if size is None and sources[row] in AT_480P and reaches is not None:
                reach = (float(reaches[row, 0]), float(reaches[row, 1]))
            questions[path] = questions.get(path, 0) + 1
            begin = ends[row - 1] if row else 0
            frames.setdefault((path, (fps, count, size, reach)), []).append(indices[begin : ends[row]])
    expected: dict[str, list[Expected]] = {}
    for (path, (fps, count, size, reach)), grids_of in frames.items():
        numbers = tuple(np.unique(np.concatenate(grids_of)).tolist())
        expected.setdefault(path, []).append(Expected(fps, numbers, count, size, reach))
    return [ExpectedVideo(path, questions[path], tuple(expected[path])) for path in sorted(expected)]


def _child(structs: pa.StructArray, name: str) -> pa.Array:
    """A field of structs; unlike `StructArray.field`, of these alone where they are a part of an array."""
    return structs.flatten()[structs.type.get_field_index(name)]


def _reaches(table: pa.Table) -> NDArray[np.float64]:
    """(rows, 2): the greatest x and y of the boxes of each row's scene; 0 where there is none."""
    tracks = _child(table["scene"].combine_chunks(), "entity_tracking")
    boxes = _child(tracks.flatten(), "boxes")
    corners = _child(boxes.flatten(), "xyxy").flatten().to_numpy().reshape(-1, 4)[:, 2:]
    row_of_track = np.repeat(np.arange(len(tracks)), pc.list_value_length(tracks).to_numpy())
    row_of_box = np.repeat(row_of_track, pc.list_value_length(boxes).to_numpy())
    reaches = np.zeros((len(tracks), 2))
    np.maximum.at(reaches, row_of_box, corners)
    return reaches


def check_videos(
    videos: Sequence[ExpectedVideo],
    folder: Path,
    *,
    mode: str = "fail",
    num_proc: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[CheckedVideo]:
    """What comes of each video, in order; each is opened once, whatever its number of questions.

    Args:
        videos: see `expected_videos`.
        folder: that their paths are relative to.
        mode: of `cotasks.video.check.MODES`; with `warn` and `off`, a file that is a video can be used.
        num_proc: most processes that look at videos; with 1, or few videos, this process does.
        on_progress: called with (videos done, videos in all).

    Raises InputError where the folder is missing or a process was ended from outside, and EnvironmentFault.
    """
    check_mode(mode)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the videos")
    look = partial(check_one, folder, mode)
    num_proc = min(num_proc, -(-len(videos) // VIDEOS_A_PROCESS))
    if num_proc <= 1:
        found: Iterator[CheckedVideo] = map(look, videos)
        yield from _counted(found, len(videos), on_progress)
        return
    pool = ProcessPoolExecutor(num_proc, start_method(), _start_worker)
    try:
        yield from _counted(pool.map(look, videos, chunksize=VIDEOS_A_TASK), len(videos), on_progress)
    except BrokenProcessPool:
        raise InputError(
            f"{folder}: a process that looks at videos was ended from outside, perhaps for want of memory; expected "
            f"{num_proc} to run on; ask for fewer",
            "process ended",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _counted(
    found: Iterator[CheckedVideo], total: int, on_progress: Callable[[int, int], None]
) -> Iterator[CheckedVideo]:
    for done, one in enumerate(found, 1):
        on_progress(done, total)
        yield one


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; this process's parent answers it
    threading.Thread(target=end_with_parent, daemon=True).start()


def check_one(folder: Path, mode: str, video: ExpectedVideo) -> CheckedVideo:
    """What comes of one video; arguments as of `check_videos`. Raises EnvironmentFault where PyAV is not installed, or
    the machine cannot open any file."""
    result = partial(CheckedVideo, video.video_path, video.questions)
    path = Path(folder, video.video_path)
    try:
        path = video_file(folder, video.video_path)
        if mode != "fail":
            for expected in video.expected:
                look_at(path, expected, mode)
            return result()
        facts = video_facts(path)
        found = list(dict.fromkeys(fault for expected in video.expected for fault in faults(expected, facts)))
    except InputError as error:
        return result(error.reason, str(error))
    except Exception as error:  # one odd file must not stop the others
        stop_at_environment_fault(error, path)
        return result(type(error).__name__, f"{path}: {' '.join(str(error).split())}")
    if found:
        return result(found[0].reason, str(fault_error(path, _merged(found))))
    last = facts.info.frame_count - 1
    missing = max(max(expected.frames, default=0) for expected in video.expected) - last
    note = f"{path}: ends {missing} frames early; its last frame, {last}, stands in for them" if missing > 0 else ""
    return result(note=note)


def _merged(found: Sequence[Fault]) -> list[Fault]:
    """Each kind of fault once, as its first record has it: questions differ in their frames."""
    return list({fault.reason: fault for fault in reversed(found)}.values())[::-1]


@dataclass
class CheckSummary:
    """What came of all videos."""

    videos: int = 0
    questions: int = 0
    wrong: list[CheckedVideo] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, one: CheckedVideo) -> None:
        """Count a video."""
        self.videos += 1
        self.questions += one.questions
        if one.reason:
            self.wrong.append(one)
        if one.note:
            self.notes.append(one.note)

    def reasons(self) -> dict[str, tuple[int, int]]:
        """{reason: (videos, questions)} of what is wrong, most videos first."""
        counts: dict[str, tuple[int, int]] = {}
        for one in self.wrong:
            videos, questions = counts.get(one.reason, (0, 0))
            counts[one.reason] = videos + 1, questions + one.questions
        return dict(sorted(counts.items(), key=lambda item: (-item[1][0], item[0])))
