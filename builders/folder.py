"""Write the publishable folder: parquet that loads with plain `datasets`, its card, and what was built from what.

    README.md                                  dataset card with its `configs:` block
    <config>/<split>-00000-of-00001.parquet
    <config>/build.json                        counts, options, source hashes, versions
    <config>/skipped.jsonl                     {split, id, reason, detail}

The same input gives the same bytes, whatever `num_proc` is.
"""

from __future__ import annotations

import multiprocessing
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

import cotasks
from cotasks.annotation import Skipped
from cotasks.builders import card
from cotasks.builders.assemble import (
    Lookups,
    SplitPlan,
    VideoTask,
    build_video,
    no_record_line,
    plan_splits,
    without_gc,
)
from cotasks.builders.download import fetched
from cotasks.builders.sources import SPLITS, BuildOptions, file_hash, source_files
from cotasks.errors import InputError
from cotasks.registration import code_hash
from cotasks.runs import dump_json
from cotasks.schema import FEATURES, records_to_table

VIDEOS_A_JOB = 8
ROWS_A_GROUP = 256
BYTES_A_SHARD = 500 * 2**20
"""Shards are closed at this size in memory, as `Dataset.push_to_hub` does by default."""


@dataclass
class SplitSummary:
    """What became of the questions of a split."""

    questions: int = 0
    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    span_origins: Counter[str] = field(default_factory=Counter)
    entity_origins: Counter[str] = field(default_factory=Counter)
    keyframes_left_out: int = 0
    keyframes_outside_clip: int = 0
    unmatched_proposals: int = 0


@dataclass(frozen=True)
class BuildSummary:
    """What a build wrote."""

    folder: Path
    splits: dict[str, SplitSummary]
    left_out: dict[str, str]
    """Split -> why it has no file."""


@dataclass(frozen=True)
class _Job:
    """The result of some videos, small enough to send between processes."""

    table: pa.Table | None
    skipped: tuple[Skipped, ...]
    summary: SplitSummary


def _run_job(tasks: Sequence[VideoTask], lookups: Lookups) -> _Job:
    records, skipped, summary = [], [], SplitSummary()
    with without_gc():
        items = [item for task in tasks for item in build_video(task, lookups)]
    for item in items:
        summary.questions += 1
        if isinstance(item, Skipped):
            skipped.append(item)
            summary.skipped[item.reason] += 1
            continue
        record = item.record
        records.append(record)
        summary.records += 1
        summary.categories[record.category] += 1
        summary.span_origins[record.frame_localization.span_origin] += 1
        summary.entity_origins[record.frame_localization.entity_origin] += 1
        summary.keyframes_left_out += item.keyframes_left_out
        summary.keyframes_outside_clip += item.keyframes_outside_clip
        summary.unmatched_proposals += len(item.unmatched_proposals)
    return _Job(records_to_table(records) if records else None, tuple(skipped), summary)


def _add(total: SplitSummary, part: SplitSummary) -> None:
    for name, value in vars(part).items():
        setattr(total, name, getattr(total, name) + value)


def _jobs(plan: SplitPlan, num_proc: int, stack: ExitStack) -> Iterator[_Job]:
    """Jobs in the order of the plan, run here or on `num_proc` processes; at most a few wait in memory."""
    tasks = iter(plan.tasks)
    chunks = iter(lambda: list(islice(tasks, VIDEOS_A_JOB)), [])
    run = partial(_run_job, lookups=plan.lookups)
    if num_proc == 1:
        yield from map(run, chunks)
        return
    pool = stack.enter_context(ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn")))
    waiting = [pool.submit(run, chunk) for chunk in islice(chunks, 2 * num_proc)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(run, chunk) for chunk in islice(chunks, 1)]


class _ShardWriter:
    """Parquet shards of one split: row groups of ROWS_A_GROUP, closed at BYTES_A_SHARD."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._waiting: list[pa.Table] = []
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._bytes = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(t.num_rows for t in self._waiting) >= ROWS_A_GROUP:
            whole = pa.concat_tables(self._waiting).combine_chunks()
            full = whole.num_rows - whole.num_rows % ROWS_A_GROUP
            for start in range(0, full, ROWS_A_GROUP):
                self._write_group(whole.slice(start, ROWS_A_GROUP))
            self._waiting = [whole.slice(full)] if full < whole.num_rows else []

    def _write_group(self, group: pa.Table) -> None:
        if self._writer is None:
            self._parts.append(self._folder / f"{self._split}-{len(self._parts):05d}.part")
            self._writer = pq.ParquetWriter(self._parts[-1], FEATURES.arrow_schema, compression="zstd")
        self._writer.write_table(group)
        self._bytes += group.nbytes
        if self._bytes >= BYTES_A_SHARD:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._bytes = None, 0

    def close(self) -> None:
        """Write what waits and give the shards their final names."""
        if self._waiting:
            self._write_group(pa.concat_tables(self._waiting).combine_chunks())
        self._close_shard()
        for number, part in enumerate(self._parts):
            part.rename(self._folder / f"{self._split}-{number:05d}-of-{len(self._parts):05d}.parquet")


def build_folder(
    options: BuildOptions,
    out: Path,
    splits: Sequence[str] | None = None,
    num_proc: int = 1,
    on_progress: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> BuildSummary:
    """Build a config into `<out>/<config>/` and write `<out>/README.md` over all configs that lie there.

    The config's folder appears, or is replaced, only when everything in it is written.

    Args:
        splits: those asked for by name; None for all that have records.
        num_proc: processes that read annotation.
        on_progress: called with (split, questions done, questions in all).

    Raises InputError where a source is missing or unreadable, where a split asked for by name has no record (with the
    counts by reason), and where `out` holds something that no build wrote.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not any(out.glob("*/build.json")))):
        raise InputError(f"{out}: exists and was not written by a build; name another folder")
    options = fetched(options)
    plans, left_out = plan_splits(options, splits or SPLITS)
    if splits and left_out:
        raise InputError(next(iter(left_out.values())), "missing file")
    part = out / f".{options.config}.part"
    if part.exists():
        shutil.rmtree(part)  # left by a build that was killed
    part.mkdir(parents=True)
    summaries: dict[str, SplitSummary] = {}
    try:
        with (part / "skipped.jsonl").open("wb") as skipped_file:
            for split, plan in plans.items():
                summary = _build_split(split, plan, part, skipped_file, num_proc, on_progress)
                summaries[split] = summary
                if not summary.records:
                    left_out[split] = no_record_line(summary.skipped)
        if (splits and left_out) or not any(summary.records for summary in summaries.values()):
            lines = "; ".join(f"split {split}: {reason}" for split, reason in left_out.items())
            raise InputError(f"config {options.config}: {lines}", "no record")
        dump_json(part / "build.json", _build_json(options, plans, summaries, left_out))
        target = out / options.config
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    card.write(out)
    return BuildSummary(out, summaries, left_out)


def _build_split(
    split: str,
    plan: SplitPlan,
    folder: Path,
    skipped_file: Any,
    num_proc: int,
    on_progress: Callable[[str, int, int], None],
) -> SplitSummary:
    summary = SplitSummary(questions=len(plan.skipped), skipped=Counter(s.reason for s in plan.skipped))
    total = len(plan.skipped) + sum(len(task.questions) for task in plan.tasks)
    writer = _ShardWriter(folder, split)
    _write_skipped(skipped_file, split, plan.skipped, plan.lookups.options.root)
    with ExitStack() as stack:
        for job in _jobs(plan, num_proc, stack):
            if job.table is not None:
                writer.write(job.table)
            _write_skipped(skipped_file, split, job.skipped, plan.lookups.options.root)
            _add(summary, job.summary)
            on_progress(split, summary.questions, total)
    writer.close()
    return summary


def _write_skipped(file: Any, split: str, skipped: Sequence[Skipped], root: Path) -> None:
    for item in skipped:
        row = {"split": split, **asdict(item)}
        row["detail"] = item.detail.replace(f"{root}/", "")  # the same wherever the sources lie
        file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _build_json(
    options: BuildOptions, plans: dict[str, SplitPlan], summaries: dict[str, SplitSummary], left_out: dict[str, str]
) -> dict[str, Any]:
    root = options.root
    sources = {path.relative_to(root).as_posix(): f"sha256:{file_hash(path)}" for path in source_files(options)}
    annotation = _annotation_hash(plans)
    if annotation is not None:
        sources["vidor"] = annotation
    return {
        "config": options.config,
        "options": options.shaping(),
        "sources": sources,
        "versions": {"cotasks": cotasks.__version__, "code": code_hash(), "datasets": datasets.__version__},
        "splits": {
            split: {name: dict(sorted(v.items())) if isinstance(v, Counter) else v for name, v in vars(summary).items()}
            for split, summary in summaries.items()
        },
        "left_out": {split: reason.replace(f"{root}/", "") for split, reason in left_out.items()},
    }


def _annotation_hash(plans: dict[str, SplitPlan]) -> str | None:
    """crc32 over the checksums of the VidOR files that were read, by video; None where there are none."""
    checksum = None
    for plan in plans.values():
        trees = plan.lookups.trees
        for task in plan.tasks if trees is not None else ():
            if trees is not None and task.video_id in trees:
                line = f"{task.video_id} {trees.checksum(task.video_id):08x}\n"
                checksum = zlib.crc32(line.encode(), checksum or 0)
    return None if checksum is None else f"crc32:{checksum:08x}"
