"""Load records from the embedded sample, a built folder, or the Hub."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cotasks.errors import CotasksError, InputError, shorten
from cotasks.records import columns, sub_questions
from cotasks.records.check import check, check_ids, whole
from cotasks.records.from_arrow import table_to_records
from cotasks.records.registration import register
from cotasks.records.schema import FEATURES, FORMER_LABELS, Record, records_to_table
from cotasks.records.shards import check_hashes
from cotasks.sample import DATA_DIR

SAMPLE = "sample"
"""The DATASET that names the embedded sample, even where a folder of that name exists."""
SUB_QUESTIONS = "#sub-questions"
"""At the end of a DATASET: the sub-questions of its records, in their place."""
SPLITS = ("train", "validation", "test")
BATCH_ROWS = 128
"""Rows read at a time; a row holds some hundred boxes, most of them those of the row before."""
FINGERPRINT_ROWS = 1000
"""Rows hashed at a time; part of the fingerprint's definition."""


@dataclass(frozen=True)
class Records:
    """Records of one split, in an order of their own.

    Videos come in the order of the sha256 of their ids, which is as good as random and the same everywhere; within
    a video, records come by id. So the first videos are a fair sample, whatever order the source has.
    """

    dataset: str
    """DATASET as it was given."""
    config: str
    split: str
    """train, validation or test."""
    limit: int | None
    """About so many questions were asked for; see `load_records`."""
    rows: Any
    """The `datasets.Dataset`, in the order above."""
    fingerprint: str
    """sha256 over the contents of the whole split, before `limit`: equal for equal records, from wherever they were
    loaded and in whatever order they lay."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Record]:
        # neighbours share a scene, which is read once for all of a batch
        tables = self._arrow.iter(batch_size=BATCH_ROWS)
        return (record for table in tables for record in table_to_records(table))

    @cached_property
    def _arrow(self) -> Any:
        return self.rows.with_format("arrow")

    @cached_property
    def ids(self) -> list[str]:
        """Record ids in order."""
        return list(self.rows["id"])

    @cached_property
    def video_ids(self) -> list[str]:
        """The video id of each record, in order."""
        return list(self.rows["video_id"])

    @cached_property
    def grids(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Of each record, frames of its grid, and whether these are every frame from its first to its last."""
        frames = self.rows.select_columns(["frames"]).with_format("arrow")[:]["frames"].combine_chunks()
        lengths = pc.list_value_length(frames).to_numpy().astype(np.int64)
        indices = frames.flatten().field("index").to_numpy()
        ends = lengths.cumsum()
        return lengths, indices[ends - 1] - indices[ends - lengths] + 1 == lengths

    def at(self, index: int) -> Record:
        """The record at a position of this order, from 0. Raises InputError where there is none."""
        if not 0 <= index < len(self):
            raise InputError(f"{self.dataset}: no record {index} in {self.split}; expected 0 to {len(self) - 1}")
        return self.read([index])[0]

    def read(self, positions: Sequence[int]) -> list[Record]:
        """The records at these positions of this order, each from 0; those of one video together are read in little
        more than the time of one."""
        return table_to_records(self._arrow[list(positions)])

    def by_id(self, record_id: str) -> Record:
        """The record of that id. Raises InputError where there is none."""
        if record_id not in self.ids:
            raise InputError(
                f"{self.dataset}: no record {record_id!r} in {self.split}; its ids look like {self.ids[0]!r}"
            )
        return self.at(self.ids.index(record_id))

    def video_folder(self, given: str | Path | None = None) -> Path | None:
        """The folder that `video_path` is relative to: the one given, else the sample's own, else None."""
        if given is not None:
            return Path(given)
        return Path(DATA_DIR) / "videos" if self.is_sample else None

    @property
    def is_sample(self) -> bool:
        """Whether they are of the embedded sample, or are its sub-questions."""
        return self.dataset.removesuffix(SUB_QUESTIONS) == SAMPLE

    def sub_questions(self) -> Records:
        """The sub-questions of the records (`cotasks.records.sub_questions`), video by video.

        Raises InputError where there are none, or these are sub-questions already.
        """
        from datasets import Dataset, concatenate_datasets

        if self.dataset.endswith(SUB_QUESTIONS):
            raise InputError(f"{self.dataset}: sub-questions have none of their own")
        parts, batch = [], []
        for number, record in enumerate(self, 1):
            batch += sub_questions.sub_questions(record)
            if batch and (len(batch) >= FINGERPRINT_ROWS or number == len(self)):
                parts.append(Dataset(records_to_table(batch)))
                batch = []
        if not parts:
            raise InputError(
                f"{self.dataset}: no sub-questions; expected triples in step 3 or 4 of {self.split} records"
            )
        digest = hashlib.sha256(f"{self.fingerprint}{SUB_QUESTIONS}/{sub_questions.VERSION}".encode()).hexdigest()
        rows = concatenate_datasets(parts)
        rows = rows.select(_order(rows))
        return Records(f"{self.dataset}{SUB_QUESTIONS}", self.config, self.split, self.limit, rows, digest)


def split_name(text: str) -> str:
    """`train`, `validation` (or `val`), `test`. Raises InputError for any other name."""
    name = {"val": "validation", "valid": "validation"}.get(text, text)
    if name not in SPLITS:
        raise InputError(f"no split {text!r}; expected train, validation (or val) or test")
    return name


def load_records(
    dataset: str, split: str | None = None, config: str | None = None, limit: int | None = None
) -> Records:
    """Load one split.

    Args:
        dataset: `sample`; a folder that `cotasks build` wrote; or a Hub id `ORG/NAME`. With `#sub-questions` at its end
            the sub-questions of the records, see `cotasks.records.sub_questions`; `limit` still counts questions.
        split: see `split_name`. By default validation, or the only one there is.
        config: which of the folder's or Hub data set's configs; by default its default.
        limit: take whole videos, in the order of `Records`, until they hold at least so many questions. A smaller
            limit gives a prefix of what a larger one gives.

    Every value is checked once against what the schema says (`cotasks.records.check`). Columns of other types, as
    pandas or a script write them, are converted where they hold the same values (`cotasks.records.columns`).

    Raises InputError where the data set, config or split is not there, where its columns are not those of a record, or
    a value is not what the schema says; and where a file of a built folder was damaged since it was written.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; expected 1 or more")
    if dataset.endswith(SUB_QUESTIONS):
        return load_records(dataset.removesuffix(SUB_QUESTIONS), split, config, limit).sub_questions()
    wanted = split_name(split) if split is not None else None
    rows, config, split, fingerprint = _whole_split(dataset, config, wanted)
    if limit is not None:
        rows = rows.select(range(_whole_videos(rows["video_id"], limit)))
    return Records(dataset, config, split, limit, rows, fingerprint)


def load_splits(dataset: str, config: str | None) -> list[Records]:
    """Every split of a config. Raises InputError as `load_records` does."""
    try:
        first = load_records(dataset, None, config)
    except InputError as error:
        try:
            first = load_records(dataset, "train", config)  # train and test, and no validation
        except InputError:
            raise error from None
    names = [name for name in SPLITS if name in (first.rows.info.splits or [first.split])]
    return [first if name == first.split else load_records(dataset, name, config) for name in names]


def _whole_split(dataset: str, config: str | None, split: str | None) -> tuple[Any, str, str, str]:
    """(rows in their order, config name, split name, fingerprint), checked."""
    rows, config, split = _load(dataset, config, split)
    rows = _typed(dataset, _with_names(rows))
    check_ids(rows.select_columns(["id", "video_id"]).with_format("arrow")[:], f"{dataset}: {split}")
    rows = rows.select(_order(rows))
    fingerprint = _read_through(rows, f"{dataset}: {split}")
    if dataset != SAMPLE:
        check_hashes(dataset, config, split)
    return rows, config, split, fingerprint


def _load(dataset: str, config: str | None, split: str | None) -> tuple[Any, str, str]:
    """(rows, config name, split name)."""
    import yaml  # type: ignore[import-untyped]
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError
    from pyarrow.dataset import ParquetFragmentScanOptions

    register()

    path = "cotasks" if dataset == SAMPLE else dataset
    if dataset != SAMPLE and not Path(dataset).is_dir() and not _is_hub_id(dataset):
        raise InputError(f"{dataset}: no such folder; expected `sample`, a built folder, or a Hub id ORG/NAME")
    if Path(dataset).is_dir() and re.search(r"[*?\[\]]", os.path.realpath(dataset)):
        raise InputError(
            f"{dataset}: `datasets` reads *, ?, [ and ] in a path as a pattern; name a folder without them"
        )
    try:
        builder = load_dataset_builder(path, config or (SAMPLE if dataset == SAMPLE else None))
        config = str(builder.config.name)
        if dataset != SAMPLE and Path(dataset).is_dir():
            # by way of its files, or a folder that was written anew would be read from the cache of the old one
            builder = load_dataset_builder(builder.name, data_files=dict(builder.config.data_files))
        if hasattr(builder.config, "fragment_scan_options"):  # parquet; set here, it is no part of the cache's key
            builder.config.fragment_scan_options = ParquetFragmentScanOptions(page_checksum_verification=True)
        builder.download_and_prepare()
    except CotasksError:
        raise
    # whatever a damaged description of the columns leads to is among the later ones
    except (
        *(DatasetsError, OSError, ValueError, yaml.YAMLError),
        *(pa.ArrowException, AttributeError, KeyError, TypeError, MemoryError),
    ) as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        if isinstance(cause, CotasksError):
            raise cause from None
        raise InputError(f"{dataset}: cannot be loaded: {_one_line(cause)}") from None
    names = list(builder.info.splits or {})
    chosen = split or ("validation" if "validation" in names else names[0] if len(names) == 1 else None)
    if chosen not in names and dataset != SAMPLE:
        asked = f"no split {split}" if split else "several splits, and none is validation"
        raise InputError(f"{dataset}: {asked}; name one of: {', '.join(names)}")
    return builder.as_dataset(split=chosen), config, str(chosen)


def _is_hub_id(text: str) -> bool:
    return text.count("/") == 1 and not text.startswith((".", "/", "~")) and not text.endswith("/")


def _one_line(error: BaseException) -> str:
    """The first line of a message of `datasets`; the following ones are advice on calling `load_dataset`."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Config name is missing"):
        return f"it has several configs; name one with --dataset-config ({lines[1]})" if len(lines) > 1 else lines[0]
    return lines[0]


def _with_names(rows: Any) -> Any:
    """The rows with names in the columns that were class labels when an older version wrote them."""
    from datasets import ClassLabel

    features = rows.features
    for name in FORMER_LABELS:
        label = features.get(name)
        if isinstance(label, ClassLabel):
            numbers = rows.select_columns([name]).with_format("arrow")[:][name].combine_chunks()
            named = pa.array(label.names, pa.string()).take(numbers)
            rows = rows.remove_columns([name]).add_column(name, named.to_pylist())
    return rows


def _typed(dataset: str, rows: Any) -> Any:
    """The rows with the columns of a record and no others (a copy with the videos in its rows would decode them),
    in the types of a record.

    Raises InputError where a column is missing, or of a type or with a value that no record has.
    """
    import datasets

    missing = [name for name in FEATURES if name not in rows.column_names and name not in columns.MAY_LACK]
    if missing:
        raise InputError(
            f"{dataset}: columns missing: {', '.join(missing)}; expected a folder that `cotasks build` wrote"
        )
    found = rows.features  # a deep copy each time
    if all(found.get(name) == feature for name, feature in FEATURES.items()):
        return rows.select_columns(list(FEATURES))
    table = rows.select_columns([name for name in FEATURES if name in rows.column_names]).with_format("arrow")[:]
    try:
        arrays = [
            columns.converted(name, table[name])
            if name in table.column_names
            else columns.missing_column(name, len(rows))
            for name in FEATURES
        ]
    except columns.OtherType as error:
        raise InputError(f"{dataset}: {_record_that_fails(table)}column {error}") from None
    typed = pa.Table.from_arrays(arrays, schema=FEATURES.arrow_schema)
    return datasets.Dataset(typed, datasets.DatasetInfo(features=FEATURES.copy(), splits=rows.info.splits))


def _record_that_fails(table: pa.Table) -> str:
    """`record ID: ` of the first row that cannot be converted; empty where no row can, whatever it holds."""

    def fails(part: pa.Table) -> bool:
        try:
            for name in part.column_names:
                columns.converted(name, part[name])
        except columns.OtherType:
            return True
        return False

    if fails(table.slice(0, 0)):
        return ""
    row = next(row for row in range(table.num_rows) if fails(table.slice(row, 1)))
    return f"record {shorten(table['id'][row].as_py())}: "


def _order(rows: Any) -> list[int]:
    """Positions of the rows by sha256 of the video id, then by id."""
    video_ids, ids = list(rows["video_id"]), list(rows["id"])
    digests = {video_id: hashlib.sha256(video_id.encode()).digest() for video_id in video_ids}
    return sorted(range(len(ids)), key=lambda i: (digests[video_ids[i]], video_ids[i], ids[i]))


def _whole_videos(video_ids: Any, limit: int) -> int:
    """How many rows to take so that at least `limit` are taken and no video is split."""
    video_ids = list(video_ids)
    end = min(limit, len(video_ids))
    while end < len(video_ids) and video_ids[end] == video_ids[end - 1]:
        end += 1
    return end


def _read_through(rows: Any, place: str) -> str:
    """Read all rows once: check what they hold, and return its hash. Raises InputError as `check` does."""
    digest = hashlib.sha256()
    for start in range(0, len(rows), FINGERPRINT_ROWS):
        table: pa.Table = rows.with_format("arrow")[start : start + FINGERPRINT_ROWS].combine_chunks()
        check(table, place)
        for name in FEATURES:
            digest.update(name.encode() + b"\0")
            _hash_array(digest, _numbered(name, whole(table[name])))
    return digest.hexdigest()


def _numbered(name: str, array: Any) -> Any:
    """What is hashed of a column: of former class labels their numbers, so that the fingerprint of a data set that
    holds no other names is what it was, and runs and predictions over it go on."""
    if name not in FORMER_LABELS:
        return array
    numbers = pc.index_in(array, value_set=pa.array(FORMER_LABELS[name], array.type))
    return array if numbers.null_count else numbers.cast(pa.int64())


def _hash_array(digest: Any, array: Any) -> None:
    """Hash the values of an Arrow array, whatever its buffers look like: lengths of lists, then their items."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    kind = array.type
    if array.null_count:
        digest.update(b"nulls" + array.is_null().to_numpy(zero_copy_only=False).tobytes())
    if pa.types.is_struct(kind):
        for child in array.flatten():
            _hash_array(digest, child)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False)
        digest.update(lengths.astype(np.int64).tobytes())
        _hash_array(digest, array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        for text in array.to_pylist():
            data = (text or "").encode()
            digest.update(len(data).to_bytes(8, "little") + data)
    else:
        if array.null_count:
            array = array.fill_null(pa.scalar(0).cast(kind))
        digest.update(array.to_numpy(zero_copy_only=False).tobytes())
