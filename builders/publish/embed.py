"""A copy of a built config with the videos in the rows: a column `video` of type `datasets.Video`.

Shards and their row groups are planned from file sizes, then written one shard at a time, so that neither memory
nor disk grows with the data. Within a row group a video is stored once, however many questions it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Video

from cotasks.errors import InputError
from cotasks.records.checking import check_videos, expectation_tables, expected_videos
from cotasks.records.schema import FEATURES
from cotasks.tools.files import writing
from cotasks.video.check import check_mode
from cotasks.video.files import video_file

SUFFIX = "_videos"
"""Config -> the name of its copy with videos."""
VIDEO_FEATURES: Features = Features({**FEATURES, "video": Video()})
"""The features of the copy; in Parquet the column is `{bytes: binary, path: string}`."""

BYTES_A_GROUP = 100_000_000
"""Row groups hold at most so many bytes of videos once read, each row counted; what `datasets` aims for."""
BYTES_A_SHARD = 500_000_000
"""Shards are closed at about this size on disk, as `Dataset.push_to_hub` does."""
BYTES_A_VIDEO = 2**30
"""Longer files are refused: an Arrow array of bytes ends at 2 GiB."""
ROWS_A_GROUP = 256

Group = list[str]
"""The `video_path` of each row of a row group."""


def find_videos(paths: Sequence[str], videos: Path) -> dict[str, int]:
    """`video_path` -> size of its file below `videos`, in bytes.

    Raises InputError that counts the missing and empty files and names the first one, and where a path leads out of
    the folder or a file is longer than BYTES_A_VIDEO.
    """
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder; expected the videos to embed")
    sizes: dict[str, int] = {}
    missing: list[str] = []
    for path in dict.fromkeys(paths):
        file = video_file(videos, path)
        sizes[path] = file.stat().st_size if file.is_file() else 0
        if not sizes[path]:
            missing.append(path)
        if sizes[path] > BYTES_A_VIDEO:
            raise InputError(f"{file}: {sizes[path]} bytes; a video to embed may have {BYTES_A_VIDEO} at most")
    if missing:
        raise InputError(
            f"{videos}: {len(missing)} of {len(sizes)} videos are missing or empty, the first: {missing[0]}",
            "video file missing",
        )
    return sizes


def check_videos_of(shards: Sequence[Path], videos: Path, mode: str) -> None:
    """Look at every video that rows name, see `cotasks.video.check`.

    Raises InputError that counts the files that are no video, or with mode `fail` not the annotated one, and names the
    first.
    """
    check_mode(mode)
    tables = (group for shard in shards for group in expectation_tables(pq.ParquetFile(shard)))
    wrong = [found for found in check_videos(expected_videos(tables), videos, mode=mode) if found.reason]
    if wrong:
        raise InputError(
            f"{videos}: {len(wrong)} videos are not what their records say, the first: {wrong[0].detail}; "
            "`cotasks check` lists them all",
            wrong[0].reason,
        )


def plan_shards(paths: Sequence[str], sizes: Mapping[str, int]) -> list[list[Group]]:
    """The row groups of each shard, in the order of the rows.

    Args:
        paths: the `video_path` of each row of a split.
        sizes: see `find_videos`.
    """
    groups: list[Group] = []
    in_group = 0
    for path in paths:
        if not groups or in_group + sizes[path] > BYTES_A_GROUP or len(groups[-1]) == ROWS_A_GROUP:
            groups.append([])
            in_group = 0
        groups[-1].append(path)
        in_group += sizes[path]
    shards: list[list[Group]] = []
    in_shard = 0
    for group in groups:
        stored = sum(sizes[path] for path in set(group))
        if not shards or in_shard + stored > BYTES_A_SHARD:
            shards.append([])
            in_shard = 0
        shards[-1].append(group)
        in_shard += stored
    return shards


def write_shards(
    files: Mapping[str, Sequence[Path]],
    videos: Path,
    sizes: Mapping[str, int],
    scratch: Path,
    on_shard: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Path]:
    """Write the shards of a config's copy, `<split>-00000-of-00002.parquet`, each when the one before was taken.

    Args:
        files: split -> the parquet files of the config.
        videos: folder that `video_path` is relative to.
        sizes: see `find_videos`.
        scratch: folder to write to; the caller deletes what it has used.
        on_shard: called with (shards done, shards in all).
    """
    plans = {split: plan_shards(read_video_paths(paths), sizes) for split, paths in files.items()}
    total, done = sum(map(len, plans.values())), 0
    for split, plan in plans.items():
        rows = Rows(files[split])
        for number, groups in enumerate(plan):
            path = scratch / f"{split}-{number:05d}-of-{len(plan):05d}.parquet"
            write_shard(path, rows, groups, videos, sizes)
            yield path
            done += 1
            on_shard(done, total)


def read_video_paths(shards: Sequence[Path]) -> list[str]:
    """The `video_path` of each row of a split, from its parquet files."""
    return [
        path
        for shard in shards
        for path in pq.read_table(shard, columns=["video_path"], page_checksum_verification=True)[0].to_pylist()
    ]


class Rows:
    """The rows of parquet files in order, a row group in memory at a time."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._groups = _row_groups(files)
        self._waiting: pa.Table | None = None

    def take(self, count: int) -> pa.Table:
        """The next `count` rows."""
        parts = []
        while count:
            if self._waiting is None:
                self._waiting = next(self._groups)
            parts.append(self._waiting.slice(0, count))
            count -= parts[-1].num_rows
            rest = self._waiting.slice(parts[-1].num_rows)
            self._waiting = rest if rest.num_rows else None
        return pa.concat_tables(parts).combine_chunks()


def _row_groups(files: Sequence[Path]) -> Iterator[pa.Table]:
    for path in files:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for index in range(file.num_row_groups):
                yield file.read_row_group(index)


def write_shard(out: Path, rows: Rows, groups: Sequence[Group], videos: Path, sizes: Mapping[str, int]) -> None:
    """Write one shard: the next rows, with their videos. The same input gives the same bytes.

    Raises InputError where a video changed since `find_videos` saw it, and where the shard cannot be written.
    """
    options: dict[str, Any] = {
        "compression": "zstd",
        "write_page_checksum": True,
        # each video once a row group: written as a dictionary, which may be as large as the group
        "use_dictionary": ["video.bytes"],
        "dictionary_pagesize_limit": BYTES_A_GROUP + BYTES_A_VIDEO,
    }
    schema = VIDEO_FEATURES.arrow_schema
    with writing(out):
        writer = pq.ParquetWriter(out, schema, **options)
    for group in groups:
        columns = [*rows.take(len(group)).columns, _video_column(group, videos, sizes)]
        with writing(out):
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    with writing(out):
        writer.close()


def _video_column(group: Group, videos: Path, sizes: Mapping[str, int]) -> pa.StructArray:
    content: dict[str, bytes] = {}
    for path in dict.fromkeys(group):
        content[path] = (videos / path).read_bytes()
        if len(content[path]) != sizes[path]:
            raise InputError(f"{videos / path}: changed while it was read; expected {sizes[path]} bytes")
    names = [PurePosixPath(path).name for path in group]
    return pa.StructArray.from_arrays(
        [pa.array([content[path] for path in group], pa.binary()), pa.array(names, pa.string())],
        fields=list(VIDEO_FEATURES.arrow_schema.field("video").type),
    )
