"""Write the publishable folder: parquet that loads with plain `datasets`, its card, and what was built from what.

    README.md                                  dataset card with its `configs:` block
    <config>/<split>-00000-of-00001.parquet
    <config>/build.json                        counts, options, source hashes, versions, the files' sizes and hashes
    <config>/skipped.jsonl                     {split, id, reason, detail}
    <config>/croissant.json                    the same in Croissant's words, with its fields for responsible AI
    <config>/evidence.jsonl                    what CaST-Bench states of evidence beyond the records, by id

The same input gives the same bytes, whatever `num_proc` is.
"""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

import cotasks
from cotasks.builders.assemble import SplitPlan, no_record_line, plan_splits
from cotasks.builders.download import fetched
from cotasks.builders.jobs import SplitSummary, Workers, localizes_rows, workers
from cotasks.builders.publish import card, croissant
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.readers.source import SPLITS
from cotasks.builders.sources import BuildOptions, source_files
from cotasks.errors import InputError
from cotasks.records.annotation import Skipped
from cotasks.records.registration import code_hash
from cotasks.records.schema import FEATURES
from cotasks.records.shards import EVIDENCE, file_rows
from cotasks.tools.files import file_hash, json_bytes, writing
from cotasks.tools.locks import locked

ROWS_A_GROUP = 256
BYTES_A_SHARD = 500 * 2**20
"""Shards are closed at this size in memory, as `Dataset.push_to_hub` does by default."""


@dataclass(frozen=True)
class BuildSummary:
    """What a build wrote."""

    folder: Path
    splits: dict[str, SplitSummary]
    left_out: dict[str, str]
    """Split -> why it has no file."""
    examples: dict[str, SplitExamples]


@dataclass
class SplitExamples:
    """Reason -> the first case of it in a split, one line with file and value."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Of questions that became no record."""
    left_out_of_annotation: dict[str, str] = field(default_factory=dict)
    """Of odd boxes and relations."""

    def lines(self) -> list[str]:
        """For people."""
        reasons = [*self.skipped.items(), *self.left_out_of_annotation.items()]
        return [f"  {reason}, for example {detail}" for reason, detail in reasons if detail]


class NothingBuilt(InputError):
    """No record, or none of a split that was asked for by name; only the list of what was skipped was written."""

    def __init__(self, message: str, examples: Mapping[str, SplitExamples]) -> None:
        super().__init__(message, "no record")
        self.examples = examples


def _add(total: SplitSummary, part: SplitSummary) -> None:
    for name, value in vars(part).items():
        if name == "kept":
            for key, share in value.items():
                total.kept[key] = total.kept.get(key, Fraction()) + share
        else:
            setattr(total, name, getattr(total, name) + value)


class _Writer:
    """The files of one split: parquet shards in row groups of ROWS_A_GROUP, closed at BYTES_A_SHARD, and lines of
    `skipped.jsonl`. Raises InputError where one cannot be written."""

    def __init__(self, folder: Path, target: Path, split: str) -> None:
        """Write to `folder`, which will take the place of `target`."""
        self._folder, self._target, self._split = folder, target, split
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

    def write_skipped(self, skipped: Sequence[Skipped], root: Path) -> None:
        """Append to `skipped.jsonl`; `root` is the folder of the sources."""
        with writing(self._target / "skipped.jsonl"), (self._folder / "skipped.jsonl").open("ab") as file:
            for item in skipped:
                row = {"split": self._split, **asdict(item)}
                row["detail"] = item.detail.replace(f"{root}/", "")  # the same wherever the sources lie
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def write_stated(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append to `evidence.jsonl`, which is there only where a source has rows for it."""
        if rows:
            with writing(self._target / EVIDENCE), (self._folder / EVIDENCE).open("ab") as file:
                file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    def _write_group(self, group: pa.Table) -> None:
        with writing(self._target / f"{self._split}-*.parquet"):
            if self._writer is None:
                self._parts.append(self._folder / f"{self._split}-{len(self._parts):05d}.part")
                self._writer = pq.ParquetWriter(
                    self._parts[-1], FEATURES.arrow_schema, compression="zstd", write_page_checksum=True
                )
            self._writer.write_table(group)
        self._bytes += group.nbytes
        if self._bytes >= BYTES_A_SHARD:
            self._close_shard()

    def _close_shard(self) -> None:
        with writing(self._target / f"{self._split}-*.parquet"):
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

    Raises NothingBuilt where there is no record, or a split asked for by name has none (with the counts by reason): the
    questions and reasons are then listed in `<out>/<config>/skipped.jsonl`, or beside `out` where that holds builds
    already. Raises InputError where a source is missing or unreadable, where `out` holds something that no build wrote,
    where another build is writing there, and where a file cannot be written. What was in `out` before is there still.
    """
    whole = out.absolute()
    with locked(whole.with_name(f".{whole.name}.lock"), f"{out}: another process is building there", remove=True):
        return _build_folder(options, out, splits, num_proc, on_progress)


def _build_folder(
    options: BuildOptions,
    out: Path,
    splits: Sequence[str] | None,
    num_proc: int,
    on_progress: Callable[[str, int, int], None],
) -> BuildSummary:
    _check_out(out, options.config)
    options = fetched(options)
    plans, left_out = plan_splits(options, splits or SPLITS)
    if splits and left_out:
        raise InputError(next(iter(left_out.values())), "missing file")
    target = out / options.config
    summaries: dict[str, SplitSummary] = {}
    examples: dict[str, SplitExamples] = {}
    with _scratch(target) as part:
        with workers(plans, num_proc) as run:
            for split in plans:
                examples[split] = SplitExamples()
                summary = _build_split(split, run, _Writer(part, target, split), examples[split], on_progress)
                summaries[split] = summary
                if not summary.records:
                    left_out[split] = no_record_line(summary.skipped)
        if (splits and left_out) or not any(summary.records for summary in summaries.values()):
            lines = "; ".join(f"split {split}: {reason}" for split, reason in left_out.items())
            kept = _keep_skipped(part / "skipped.jsonl", out, options.config)
            raise NothingBuilt(f"config {options.config}: {lines}; each is listed in {kept}", examples)
        files = file_rows([*part.glob("*.parquet"), *part.glob("*.jsonl")])
        build = {**_build_json(options, plans, summaries, left_out), "files": files}
        with writing(target / "build.json"):
            (part / "build.json").write_bytes(json_bytes(build))
        with writing(target / croissant.FILE):
            (part / croissant.FILE).write_bytes(json_bytes(croissant.croissant(build)))
        with _in_place(part, target):
            card.write(out)
    with suppress(OSError):
        _beside(out, options.config).unlink()  # of a build that failed before this one
    return BuildSummary(out, summaries, left_out, examples)


def _beside(out: Path, config: str) -> Path:
    """Where the skipped questions of a failed build are listed, so that the folder of earlier builds stays as it is."""
    return out.absolute().with_name(f"{out.absolute().name}.{config}.skipped.jsonl")


def _keep_skipped(skipped: Path, out: Path, config: str) -> Path:
    """Keep the list of skipped questions of a build that has no record: in its config's folder where no build has
    written to `out` yet, else beside `out`."""
    kept = _beside(out, config) if any(out.glob("*/build.json")) else out / config / "skipped.jsonl"
    with writing(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(skipped, kept)
    return kept


def _is_left_by_failure(folder: Path) -> bool:
    """Whether a folder holds nothing but what `_keep_skipped` leaves."""
    return folder.name in CATALOG and folder.is_dir() and {p.name for p in folder.iterdir()} == {"skipped.jsonl"}


def _check_out(out: Path, config: str) -> None:
    """Raises InputError where `out` holds something that no build wrote; a first build that was killed left a folder
    with its scratch alone."""
    found = [path for path in out.iterdir() if not _is_left_by_failure(path)] if out.is_dir() else []
    scratch = _scratch_of(out / config)
    foreign = any(path.name != scratch.name for path in found) and not any(out.glob("*/build.json"))
    if foreign or (out.exists() and not out.is_dir()):
        raise InputError(f"{out}: exists and was not written by a build; name another folder")


def _scratch_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A new folder beside the target; gone at the end, unless it was moved."""
    part = _scratch_of(target)
    shutil.rmtree(part, ignore_errors=True)  # left by a build that was killed
    with writing(target):
        part.mkdir(parents=True)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _in_place(part: Path, target: Path) -> Iterator[None]:
    """Put a folder in the place of the target; where the block fails, the target is what it was."""
    old = target.with_name(f".{target.name}.old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)  # left by a build that was killed here
        with writing(target):
            target.rename(old)
    try:
        with writing(target):
            part.rename(target)
        yield
    except BaseException:
        if target.exists():
            target.rename(part)
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _build_split(
    split: str,
    run: Workers,
    writer: _Writer,
    examples: SplitExamples,
    on_progress: Callable[[str, int, int], None],
) -> SplitSummary:
    plan = run.plans[split]
    summary = SplitSummary(questions=len(plan.skipped), skipped=Counter(s.reason for s in plan.skipped))
    total = len(plan.skipped) + sum(len(task.questions) for task in plan.tasks)
    root = f"{plan.lookups.options.root}/"
    _note(examples.skipped, {item.reason: item.detail for item in reversed(plan.skipped)}, root)
    writer.write_skipped(plan.skipped, plan.lookups.options.root)
    for job in run.jobs(split):
        if job.table is not None:
            writer.write(job.table)
        writer.write_stated(job.stated)
        writer.write_skipped(job.skipped, plan.lookups.options.root)
        _note(examples.skipped, {item.reason: item.detail for item in reversed(job.skipped)}, root)
        _note(examples.left_out_of_annotation, job.left_out, root)
        _add(summary, job.summary)
        on_progress(split, summary.questions, total)
    writer.close()
    return summary


def _note(examples: dict[str, str], found: Mapping[str, str], root: str) -> None:
    """Keep the first case of each reason, as `skipped.jsonl` writes it."""
    for reason, detail in found.items():
        examples.setdefault(reason, detail.replace(root, ""))


def _build_json(
    options: BuildOptions, plans: dict[str, SplitPlan], summaries: dict[str, SplitSummary], left_out: dict[str, str]
) -> dict[str, Any]:
    root = options.root
    sources = {path.relative_to(root).as_posix(): f"sha256:{file_hash(path)}" for path in source_files(options)}
    annotation = _annotation_hash(plans)
    if annotation is not None:
        sources[str(options.source.trees)] = annotation
    return {
        "config": options.config,
        "options": options.shaping(),
        "sources": sources,
        "versions": {"cotasks": cotasks.__version__, "code": code_hash(), "datasets": datasets.__version__},
        "splits": {split: _summary_json(summary) for split, summary in summaries.items()},
        "left_out": {split: reason.replace(f"{root}/", "") for split, reason in left_out.items()},
    }


def _summary_json(summary: SplitSummary) -> dict[str, Any]:
    """A split of `build.json`; `localizes` says what step 1 keeps."""
    values = {name: value for name, value in vars(summary).items() if name != "kept"}
    counts = {name: dict(sorted(v.items())) if isinstance(v, Counter) else v for name, v in values.items()}
    return {**counts, "localizes": localizes_rows(summary)}


def _annotation_hash(plans: dict[str, SplitPlan]) -> str | None:
    """crc32 over the checksums of the annotation files that were read, by video; None where there are none."""
    checksum = None
    for plan in plans.values():
        for task in plan.tasks:
            found = plan.lookups.annotator(task).checksum(task.video_id)
            if found is not None:
                checksum = zlib.crc32(f"{task.video_id} {found:08x}\n".encode(), checksum or 0)
    return None if checksum is None else f"crc32:{checksum:08x}"
