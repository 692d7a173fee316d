"""The records of a split, built here or on several processes, in the order of its plan."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from typing import Any

import pyarrow as pa

from cotasks.builders.assemble import SplitPlan, VideoTask, build_video, checked
from cotasks.errors import InputError
from cotasks.records.annotation import Skipped
from cotasks.records.schema import ORIGINS, Record
from cotasks.records.timeline import is_on_own_clock
from cotasks.steps.frame_localization import localizes
from cotasks.tools.collector import without_gc
from cotasks.tools.processes import end_with_parent, start_method

BYTES_A_JOB = 24 * 2**20
"""Annotation that a job reads, about 100 ms: so the processes end together, little waits in memory, and what a table
takes whatever its rows is small beside it."""
BYTES_A_QUESTION = 100_000
"""Annotation that takes as long to read as a question takes to assemble."""


@dataclass
class SplitSummary:
    """What became of the questions of a split."""

    questions: int = 0
    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    span_origins: Counter[str] = field(default_factory=Counter)
    entity_origins: Counter[str] = field(default_factory=Counter)
    used_answer: int = 0
    """Records whose step 1 saw the answer."""
    kept: dict[tuple[str, str, str], Fraction] = field(default_factory=dict)
    """(span origin, entity origin, what) -> sum over records: what step 1 keeps, see `localizes_rows`."""
    keyframes_left_out: int = 0
    keyframes_outside_clip: int = 0
    boxes_rescaled: int = 0
    """Records whose boxes were scaled to the size of their video file."""
    unmatched_proposals: int = 0
    left_out_of_annotation: Counter[str] = field(default_factory=Counter)
    """Odd boxes and relations that videos' annotation goes without, by reason."""
    own_clock: int = 0
    """Records on a clock of one frame a second, for want of their video's frame rate."""


def localizes_rows(summary: SplitSummary) -> list[dict[str, Any]]:
    """What step 1 keeps, one row for each origin of spans and entities, in the order of `ORIGINS`: {span_origin,
    entity_origin, records, grid_share (mean share of the grid's frames), entity_share (mean share of the scene's
    entities, over records that have any; null where none has), everything (records that keep all of both)}."""
    rows = []
    for span, entity in sorted({key[:2] for key in summary.kept}, key=lambda pair: tuple(map(ORIGINS.index, pair))):
        records, scenes, grid, entities, everything = (summary.kept[span, entity, what] for what in _KEPT)
        rows.append(
            {
                "span_origin": span,
                "entity_origin": entity,
                "records": int(records),
                "grid_share": round(float(grid / records), 4),
                "entity_share": round(float(entities / scenes), 4) if scenes else None,
                "everything": int(everything),
            }
        )
    return rows


_KEPT = ("records", "scenes", "grid", "entities", "everything")


def _count_kept(summary: SplitSummary, record: Record) -> None:
    """Shares are added up as fractions: their sum is the same however the videos are shared out."""
    a1, entities = record.frame_localization, len(record.scene.entities)
    values = (
        Fraction(1),
        Fraction(entities > 0),
        Fraction(len(a1.frames), len(record.frames)),
        Fraction(len(a1.entities), entities or 1),
        Fraction(localizes(record).everything),
    )
    for what, value in zip(_KEPT, values, strict=True):
        key = a1.span_origin, a1.entity_origin, what
        summary.kept[key] = summary.kept.get(key, Fraction()) + value
    summary.used_answer += a1.used_answer


@dataclass(frozen=True)
class Job:
    """What became of the questions of some videos."""

    table: pa.Table | None
    """Their records; None where there is none."""
    skipped: tuple[Skipped, ...]
    summary: SplitSummary
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Reason -> the first odd box or relation that was left out for it, in one line."""
    stated: tuple[Mapping[str, Any], ...] = ()
    """Rows of `evidence.jsonl`: of records whose source states more of their evidence than they hold."""


@dataclass(frozen=True)
class _Packed:
    """A job on its way between processes: a scene that several records share is in it once."""

    job: Job
    """Its table lacks the scenes."""
    scenes: pa.ChunkedArray | None = None
    scene_of_row: Sequence[int] = ()

    def unpacked(self) -> Job:
        if self.job.table is None or self.scenes is None:
            return self.job
        scenes = self.scenes.take(pa.array(self.scene_of_row, pa.int32()))
        table = self.job.table.append_column("scene", scenes)
        return replace(self.job, table=table)


@dataclass(frozen=True)
class Workers:
    """The processes of a build; none where it runs on one."""

    plans: Mapping[str, SplitPlan]
    pool: ProcessPoolExecutor | None = None
    num_proc: int = 1

    def jobs(self, split: str) -> Iterator[Job]:
        """The jobs of a split in the order of its plan; at most a few wait in memory.

        Raises InputError where a process was ended from outside.
        """
        plan = self.plans[split]
        shares = share_out(plan)
        if self.pool is None:
            yield from (_run(plan, plan.tasks[start:end])[0] for start, end in shares)
            return
        try:
            waiting: list[Future[_Packed]] = []
            while True:
                more = islice(shares, 2 * self.num_proc - len(waiting))
                waiting += [self.pool.submit(_work, split, start, end) for start, end in more]
                if not waiting:
                    return
                yield waiting.pop(0).result().unpacked()
        except BrokenProcessPool:
            raise InputError(
                f"split {split}: a process that reads annotation was ended from outside, perhaps for want of memory; "
                f"expected {self.num_proc} to run on; ask for fewer",
                "process ended",
            ) from None


@contextmanager
def workers(plans: Mapping[str, SplitPlan], num_proc: int) -> Iterator[Workers]:
    """Processes that read annotation; with `num_proc` 1 this process does. They start with the first job."""
    if num_proc == 1:
        yield Workers(plans)
        return
    with ProcessPoolExecutor(num_proc, start_method(), _start_worker, (plans,)) as pool:
        yield Workers(plans, pool, num_proc)


def share_out(plan: SplitPlan) -> Iterator[tuple[int, int]]:
    """(start, end) of the tasks of each job: consecutive videos with about BYTES_A_JOB of annotation."""
    start, size = 0, 0
    for end, task in enumerate(plan.tasks, 1):
        size += BYTES_A_QUESTION * len(task.questions)
        size += plan.lookups.annotator(task).size(task.video_id)
        if size >= BYTES_A_JOB or end == len(plan.tasks):
            yield start, end
            start, size = end, 0


_plans: Mapping[str, SplitPlan] = {}
"""In a worker: what it was started with, so that a job need only say which tasks."""


def _start_worker(plans: Mapping[str, SplitPlan]) -> None:
    global _plans
    _plans = plans
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; this process's parent answers it
    threading.Thread(target=end_with_parent, daemon=True).start()


def _work(split: str, start: int, end: int) -> _Packed:
    """In a worker: a job, packed."""
    plan = _plans[split]
    job, scene_of_row = _run(plan, plan.tasks[start:end])
    if job.table is None:
        return _Packed(job)
    first_rows = [row for row, scene in enumerate(scene_of_row) if not row or scene != scene_of_row[row - 1]]
    scenes = job.table["scene"].take(pa.array(first_rows, pa.int32()))
    return _Packed(replace(job, table=job.table.drop_columns(["scene"])), scenes, scene_of_row)


def _run(plan: SplitPlan, tasks: Sequence[VideoTask]) -> tuple[Job, list[int]]:
    """A job, and of each row the number of its scene: 0, or one more than the row before where it is another."""
    records: list[Record] = []
    skipped: list[Skipped] = []
    scene_of_row: list[int] = []
    left_out: dict[str, str] = {}
    stated: list[Mapping[str, Any]] = []
    summary = SplitSummary()
    with without_gc():
        items, table = checked([item for task in tasks for item in build_video(task, plan.lookups)])
    for item in items:
        summary.questions += 1
        if isinstance(item, Skipped):
            skipped.append(item)
            summary.skipped[item.reason] += 1
            continue
        record = item.record
        is_other = bool(records) and record.scene is not records[-1].scene
        scene_of_row.append(scene_of_row[-1] + is_other if scene_of_row else 0)
        records.append(record)
        stated += [{"id": record.id, **item.stated}] if item.stated is not None else []
        summary.records += 1
        summary.categories[record.category] += 1
        summary.span_origins[record.frame_localization.span_origin] += 1
        summary.entity_origins[record.frame_localization.entity_origin] += 1
        _count_kept(summary, record)
        summary.keyframes_left_out += item.keyframes_left_out
        summary.keyframes_outside_clip += item.keyframes_outside_clip
        summary.boxes_rescaled += item.boxes_rescaled
        summary.unmatched_proposals += len(item.unmatched_proposals)
        summary.own_clock += is_on_own_clock(record)
        summary.left_out_of_annotation.update(odd.reason for odd in item.left_out)
        for odd in item.left_out:
            left_out.setdefault(odd.reason, odd.detail)
    return Job(table, tuple(skipped), summary, left_out, tuple(stated)), scene_of_row
