"""Ask a model every question under every condition, and keep each answer as soon as it is there.

Work goes video by video, so that a video is decoded, and seen by the model, once for all its questions and conditions.
Any number of processes share the videos; each appends its answers line by line to a file of its own, and what a run
folder holds already, whoever wrote it, is not asked again. What fails goes to the failures files with its reason, and
the rest goes on.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cotasks.dataset import Records
from cotasks.errors import InputError, MissingExtra
from cotasks.inference.ask import Asking, outcomes
from cotasks.inference.batching import Budget, default_tokens
from cotasks.inference.processes import Processes, Tally, join
from cotasks.inference.progress import RunProgress, Standing, run_progress
from cotasks.inference.sampling import GREEDY, Sampling
from cotasks.inference.vision import reuse_of
from cotasks.model import TINY, Model, check_template, load_model, versions
from cotasks.prompts import Condition
from cotasks.runs import Appender, Key, key_of, read_folder, settle

QUESTION_FIELDS = (
    "id",
    "video_id",
    "category",
    "question_type",
    "question",
    "answer",
    "additional_answers",
    "choices",
    "answer_index",
)
SAME_KEYPRESS_SECONDS = 2.0
"""A second signal so soon is the same one again: a launcher hands Ctrl-C on to processes that have got it already."""


@dataclass(frozen=True)
class GenerateResult:
    """How a run folder stands."""

    total: int
    """Answers that were asked for: records times conditions times samples."""
    done: int
    """Of these, answered by this call or before."""
    new: int
    """Of these, answered by this call, in whatever process."""
    failures: dict[str, int]
    """Reason -> how many failed by this call or before."""
    main: bool = True
    """Whether this is the main process; the others of a launch need not speak."""

    @property
    def complete(self) -> bool:
        """Whether every answer is there."""
        return self.done == self.total


def generate(
    records: Records,
    conditions: Sequence[Condition],
    model_name: str,
    run_folder: str | Path,
    *,
    videos: str | Path | None = None,
    num_frames: int | None = None,
    batch_size: int = 64,
    batch_tokens: int | None = None,
    max_new_tokens: int = 64,
    sampling: Sampling = GREEDY,
    dtype: str = "auto",
    device: str | None = None,
    device_map: str | None = None,
    attention: str | None = None,
    torch_compile: bool = False,
    trust_remote_code: bool = False,
    vision_reuse: bool = True,
    prefix_reuse: bool = True,
    workers: int | None = None,
    retry_failures: bool = False,
    progress: bool = True,
) -> GenerateResult:
    """Answer every record under every condition.

    Started by `accelerate launch`, `torchrun` or MPI, the processes share the videos; each calls this alike.

    SIGINT and SIGTERM end it after the batch in hand, with KeyboardInterrupt; a second one at once.

    Args:
        records: what to ask, see `cotasks.dataset.load_records`.
        conditions: each with a name of its own.
        model_name: `tiny` for random weights, or what `from_pretrained` takes.
        run_folder: written to, or gone on with; see `cotasks.runs`.
        videos: the folder that `video_path` is relative to; the sample brings its own.
        num_frames: frames shown where a condition does not say; by default the whole grid.
        batch_size: most prompts at once.
        batch_tokens: most tokens at once, those of videos, answers and padding included; by default what the free
            memory of the device suggests. Lowered for good where that does not suffice.
        max_new_tokens: longest answer.
        sampling: greedy, or how to sample.
        dtype: float32, bfloat16 or float16; `auto` is the checkpoint's own, and float32 on a CPU.
        device: as torch names it; by default cuda, else mps, else cpu.
        device_map: see `cotasks.model.load_model`; for one process a machine.
        attention: see `cotasks.model.load_model`.
        torch_compile: see `cotasks.model.load_model`.
        trust_remote_code: run Python code that comes with the checkpoint.
        vision_reuse: run the vision tower once a clip, not once a prompt; the answers are the same.
        prefix_reuse: run the language model over system text and video once a clip, not once a prompt; the answers
            are the same but for what floating point makes of another batch size.
        workers: threads that decode videos ahead; by default what the processors suggest, 4 at most.
        retry_failures: ask again what failed before.
        progress: show it on standard error.

    Raises InputError where there is nothing to ask, the video folder or the model is not there or not usable,
    more frames are asked for than the records have, or the run folder was begun with other settings or is in use.
    """
    conditions = [dataclasses.replace(c, num_frames=c.num_frames or num_frames) for c in conditions]
    folder = records.video_folder(videos)
    _check(records, conditions, folder)
    numbers = {"batch_size": batch_size, "batch_tokens": batch_tokens, "max_new_tokens": max_new_tokens}
    for name, number in {**numbers, "workers": workers}.items():
        if number is not None and number < 1:
            raise InputError(f"{name} {number}; expected 1 or more")
    group = join()
    if device_map and group.local_size > 1:
        raise InputError(f"device_map {device_map!r} is for one process a machine; there are {group.local_size}")
    with group.membership(Path(run_folder)), run_progress(progress and group.main) as bar:
        if group.main and model_name == TINY:
            print("model tiny: random weights; its answers mean nothing")
        model = load_model(model_name, dtype, device, trust_remote_code, attention, device_map, torch_compile)
        if any(condition.video for condition in conditions):
            check_template(model)
        settings = _settings(records, conditions, model, max_new_tokens, sampling)
        # all must go by one list of videos, which the answers that others write meanwhile would change
        if group.main:
            group.wait_until_joined()
        plan = None if group.main else group.wait_for_main("plan")
        settle(group.folder, settings)
        work = _read_work(group.folder, records, conditions, sampling.num_samples, retry_failures, plan)
        if group.main:
            _write_questions(group.folder / "questions.jsonl", records)
            group.say("plan", work.plan)
        asking = Asking(
            records=records,
            conditions=conditions,
            pending=work.wanted - work.done - work.failed.keys(),
            folder=folder,
            model=model,
            sampling=sampling,
            max_new_tokens=max_new_tokens,
            budget=Budget(batch_tokens or default_tokens(model), batch_size, max_new_tokens),
            reuse=reuse_of(model, vision_reuse, prefix_reuse),
            workers=workers or max(1, min(4, (os.cpu_count() or 1) // group.local_size)),
        )
        with _stop_signal(group.main) as stopped:
            with group.failing_alone(stopped):
                _ask(group, asking, work, stopped, bar)
            lost = group.wait_for_all(stopped, lambda: _show(bar, group, work))
        _show(bar, group, work, now=True)
    if group.main:
        for rank, why in lost.items():
            print(f"process {rank} of {group.size} failed: {why}", file=sys.stderr)
    tally = group.total(work.tally)
    failures = Counter(work.failed.values()) + tally.failures
    done = len(work.done) + tally.answers
    return GenerateResult(len(work.wanted), done, tally.answers, dict(sorted(failures.items())), group.main)


@dataclass
class _Work:
    """What a process knows of the run as it begins, and what it has done since."""

    wanted: Set[Key]
    done: Set[Key]
    failed: Mapping[Key, str]
    """Key -> reason, of what is not asked again."""
    videos: list[list[int]]
    """Positions in the records, by video."""
    plan: list[int]
    """Which of the videos have something left to ask."""
    tally: Tally = field(default_factory=Tally)


def _read_work(
    run_folder: Path,
    records: Records,
    conditions: Sequence[Condition],
    num_samples: int,
    retry_failures: bool,
    plan: list[int] | None,
) -> _Work:
    wanted = {(i, c.name, n) for i in records.ids for c in conditions for n in range(num_samples)}
    done = wanted & {key_of(row) for row in read_folder(run_folder / "generations")}
    failed: dict[Key, str] = {}
    if not retry_failures:
        rows = {key_of(row): row["reason"] for row in read_folder(run_folder / "failures")}
        failed = {key: reason for key, reason in rows.items() if key in wanted and key not in done}
    videos = [list(rows) for _, rows in groupby(range(len(records)), key=records.video_ids.__getitem__)]
    if plan is None:
        left = {record_id for record_id, _, _ in wanted - done - failed.keys()}
        plan = [i for i, rows in enumerate(videos) if any(records.ids[row] in left for row in rows)]
    return _Work(wanted, done, failed, videos, plan)


def _ask(group: Processes, asking: Asking, work: _Work, stopped: Callable[[], bool], bar: RunProgress | None) -> None:
    """Ask about the videos that no other process takes, one after the other, and write what comes."""
    video_of = dict(zip(asking.records.ids, asking.records.video_ids, strict=True))
    left = Counter(video_of[key[0]] for key in asking.pending)  # video id -> answers still to come
    began = time.monotonic()
    _show(bar, group, work, now=True)

    def claims() -> Iterator[list[int]]:
        while (number := group.claim()) < len(work.plan):
            yield work.videos[work.plan[number]]

    with (
        Appender(group.folder / "generations" / group.shard) as answers_file,
        Appender(group.folder / "failures" / group.shard) as failures_file,
    ):
        for answers, failures in outcomes(asking, claims(), stopped):
            for row in answers:
                answers_file.append(row)
            for row in failures:
                failures_file.append(row)
            for row in (*answers, *failures):
                left[row["video_id"]] -= 1
                work.tally.videos += left[row["video_id"]] == 0
            work.tally.answers += len(answers)
            work.tally.failures.update(row["reason"] for row in failures)
            work.tally.waited = asking.waited.seconds
            work.tally.worked = time.monotonic() - began
            group.report(work.tally)
            _show(bar, group, work)
        if stopped():
            raise KeyboardInterrupt


def _show(bar: RunProgress | None, group: Processes, work: _Work, now: bool = False) -> None:
    """Tell the user what all processes have done, where this is the one to do so."""
    if bar is None or not (now or bar.due):
        return
    tally = group.total(work.tally)
    answers, failed = len(work.done) + tally.answers, len(work.failed) + tally.failures.total()
    videos = len(work.videos) - len(work.plan) + tally.videos
    bar.update(Standing(answers, failed, len(work.wanted), videos, len(work.videos), tally))


def _check(records: Records, conditions: Sequence[Condition], folder: Path | None) -> None:
    """Raises InputError for what can be known to be wrong before the model is loaded."""
    names = [c.name for c in conditions]
    if not names or len(set(names)) < len(names):
        raise InputError(f"conditions {names}; expected at least one, each with a name of its own")
    if len(set(records.ids)) < len(records.ids):
        twice = next(record_id for record_id, n in Counter(records.ids).items() if n > 1)
        raise InputError(f"{records.dataset}: {twice!r} stands for several records; expected one")
    lengths, whole = records.grids
    for c in conditions:
        small = np.flatnonzero((lengths < (c.num_frames or 0)) & ~whole)
        if len(small):
            raise InputError(
                f"condition {c.name}: {c.num_frames} frames asked for, the grid of {records.ids[small[0]]} has "
                f"{lengths[small[0]]}; ask for fewer, or use `cotasks build --num-frames {c.num_frames}`",
                "grid too small",
            )
    shows_video = next((c.name for c in conditions if c.video), None)
    if shows_video and folder is None:
        raise InputError(f"condition {shows_video} shows the video; name the folder of the videos with --videos")
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the videos")
    if shows_video and find_spec("av") is None:
        raise MissingExtra("av", "video")


def _settings(
    records: Records, conditions: Sequence[Condition], model: Model, max_new_tokens: int, sampling: Sampling
) -> dict[str, Any]:
    """What `run.json` holds: all that shapes an answer, and the versions that made it."""
    return {
        "model": model.settings,
        "dataset": {
            "name": os.path.normpath(records.dataset),
            "config": records.config,
            "split": records.split,
            "limit": records.limit,
            "fingerprint": records.fingerprint,
        },
        "conditions": {c.name: dataclasses.asdict(c) for c in conditions},
        "sampling": sampling.settings(),
        "max_new_tokens": max_new_tokens,
        "frames": {
            "shown_as": "video",
            "resize": "bicubic",
            "limits": dataclasses.asdict(model.limits),
        },
        "versions": versions(model),
    }


def _write_questions(path: Path, records: Records) -> None:
    """Write `questions.jsonl`, whole or not at all; a resumed run has the same questions."""
    if path.exists():
        return
    temporary = path.with_name(path.name + ".part")
    rows = records.rows.select_columns(list(QUESTION_FIELDS))
    labels = {name: rows.features[name] for name in ("category", "question_type")}
    with temporary.open("wb") as file:
        for row in rows:
            row = {**row, **{name: label.int2str(row[name]) for name, label in labels.items()}}
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    os.replace(temporary, path)


@contextmanager
def _stop_signal(main: bool) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM has come; the second one interrupts at once."""
    received: list[float] = []

    def handle(number: int, _: object) -> None:
        received.append(time.monotonic())
        if received[-1] - received[0] > SAME_KEYPRESS_SECONDS:
            raise KeyboardInterrupt
        if main and len(received) == 1:
            print("stopping after the batch in hand; once more to stop at once", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread only
        yield lambda: False
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
