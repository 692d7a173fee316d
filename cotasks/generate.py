"""Ask a model every question under every condition, and keep each answer as soon as it is there.

Work goes video by video, so that a video is decoded once for all its questions and conditions. Answers are
greedy and appended line by line; what a run folder holds already is not asked again. What fails goes to the
failures file with its reason, and the rest goes on.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cotasks.collate import collate_for_generation, rows_together
from cotasks.dataset import Records
from cotasks.errors import InputError, MissingExtra
from cotasks.model import SAMPLING, Model, load_model, versions
from cotasks.prepare import Item, Row, failure_row, prepare_video
from cotasks.progress import progress_bar
from cotasks.prompts import Condition
from cotasks.runs import Appender, Key, key_of, locked, read_failures, read_generations, settle

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
SHARD = "00000.jsonl"
"""File that this process appends to, in generations/ and in failures/."""


@dataclass(frozen=True)
class GenerateResult:
    """How a run folder stands."""

    total: int
    """Answers that were asked for: records times conditions."""
    done: int
    """Of these, answered by this call or before."""
    new: int
    """Of these, answered by this call."""
    failures: dict[str, int]
    """Reason -> how many failed by this call or before."""

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
    batch_size: int = 8,
    max_new_tokens: int = 64,
    dtype: str = "auto",
    device: str | None = None,
    trust_remote_code: bool = False,
    retry_failures: bool = False,
    progress: bool = True,
) -> GenerateResult:
    """Answer every record under every condition, in one process.

    SIGINT and SIGTERM end it after the batch in hand, with KeyboardInterrupt; a second one at once.

    Args:
        records: what to ask, see `cotasks.dataset.load_records`.
        conditions: each with a name of its own.
        model_name: `tiny` for random weights, or what `from_pretrained` takes.
        run_folder: written to, or gone on with; see `cotasks.runs`.
        videos: the folder that `video_path` is relative to; the sample brings its own.
        num_frames: frames shown where a condition does not say; by default the whole grid.
        batch_size: prompts at once; halved for good where the device's memory does not suffice.
        max_new_tokens: longest answer.
        dtype: float32, bfloat16 or float16; `auto` is the checkpoint's own, and float32 on a CPU.
        device: as torch names it; by default cuda, else mps, else cpu.
        trust_remote_code: run Python code that comes with the checkpoint.
        retry_failures: ask again what failed before.
        progress: show it on standard error.

    Raises InputError where there is nothing to ask, the video folder or the model is not there or not usable,
    more frames are asked for than the records have, or the run folder was begun with other settings or is in use.
    """
    conditions = [dataclasses.replace(c, num_frames=c.num_frames or num_frames) for c in conditions]
    folder = records.video_folder(videos)
    _check(records, conditions, folder, batch_size, max_new_tokens)
    run_folder = Path(run_folder)
    with locked(run_folder, "generate"):
        model = load_model(model_name, dtype, device, trust_remote_code)
        settle(run_folder, _settings(records, conditions, model, max_new_tokens))
        _write_questions(run_folder / "questions.jsonl", records)
        wanted = {(record_id, c.name, 0) for record_id in records.ids for c in conditions}
        done = wanted & read_generations(run_folder).keys()
        failed: dict[Key, str] = {}
        if not retry_failures:
            failed = {k: r["reason"] for k, r in read_failures(run_folder).items() if k in wanted}
        new = 0
        with (
            Appender(run_folder / "generations" / SHARD) as answers_file,
            Appender(run_folder / "failures" / SHARD) as failures_file,
            _stop_signal() as stopped,
            progress_bar("answers") if progress else nullcontext(lambda *_: None) as update,
        ):
            pending = wanted - done - failed.keys()
            for answers, failures in _outcomes(records, conditions, pending, model, folder, batch_size, max_new_tokens):
                for row in answers:
                    answers_file.append(row)
                for row in failures:
                    failures_file.append(row)
                    failed[key_of(row)] = row["reason"]
                new += len(answers)
                update("generate", len(done) + new + len(failed), len(wanted))
                if stopped():
                    raise KeyboardInterrupt
    return GenerateResult(len(wanted), len(done) + new, new, dict(sorted(Counter(failed.values()).items())))


def _check(
    records: Records, conditions: Sequence[Condition], folder: Path | None, batch_size: int, max_new_tokens: int
) -> None:
    """Raises InputError for what can be known to be wrong before the model is loaded."""
    names = [c.name for c in conditions]
    if not names or len(set(names)) < len(names):
        raise InputError(f"conditions {names}; expected at least one, each with a name of its own")
    if batch_size < 1 or max_new_tokens < 1:
        raise InputError(f"batch_size {batch_size}, max_new_tokens {max_new_tokens}; expected 1 or more")
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


def _settings(records: Records, conditions: Sequence[Condition], model: Model, max_new_tokens: int) -> dict[str, Any]:
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
        "sampling": SAMPLING,
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
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM has come; the second one interrupts at once."""
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
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


def _outcomes(
    records: Records,
    conditions: Sequence[Condition],
    pending: Set[Key],
    model: Model,
    folder: Path | None,
    batch_size: int,
    max_new_tokens: int,
) -> Iterator[tuple[list[Row], list[Row]]]:
    """(answers, failures) as they come; every pending key is in one of them, once."""
    record_ids = {record_id for record_id, _, _ in pending}
    queue: list[Item] = []

    def flush() -> tuple[list[Row], list[Row]]:
        nonlocal batch_size
        answers, failures, fitted = _run(model, queue, max_new_tokens)
        batch_size = min(batch_size, fitted) if fitted < len(queue) else batch_size
        queue.clear()
        return answers, failures

    for _, group in groupby(range(len(records)), key=records.video_ids.__getitem__):
        positions = [i for i in group if records.ids[i] in record_ids]
        if not positions:
            continue
        for ready in prepare_video([records.at(i) for i in positions], conditions, pending, model, folder):
            if isinstance(ready, dict):
                yield [], [ready]
                continue
            queue.append(ready)
            if len(queue) >= batch_size:
                yield flush()
    if queue:
        yield flush()


def _run(model: Model, items: Sequence[Item], max_new_tokens: int) -> tuple[list[Row], list[Row], int]:
    """(answers, failures, number of prompts that fitted into memory together) of a batch.

    A batch that runs out of memory is halved. One that fails otherwise is asked one by one, and what fails alone
    becomes a failure.
    """
    import torch

    groups = rows_together(model.family, [item.clip for item in items])
    if len(groups) > 1:
        parts = [[items[i] for i in group] for group in groups]
        return _join(model, parts, max_new_tokens, len(items))
    out_of_memory = False
    failure: Exception
    try:
        return _answer(model, items, max_new_tokens), [], len(items)
    except torch.cuda.OutOfMemoryError as error:
        out_of_memory = True
        failure = InputError(f"{items[0].key[0]}: {error}", "out of memory")
    except Exception as error:
        if "CUDA error" in str(error):  # the device is lost to this process: all that follows would fail too
            raise
        failure = error
    if len(items) == 1:
        return [], [failure_row(items[0].key, items[0].video_id, failure)], 1
    if out_of_memory:  # out here, where the traceback no longer holds the tensors
        gc.collect()
        torch.cuda.empty_cache()
        half = (len(items) + 1) // 2
        return _join(model, [items[:half], items[half:]], max_new_tokens, half)
    return _join(model, [[item] for item in items], max_new_tokens, len(items))


def _join(
    model: Model, parts: Sequence[Sequence[Item]], max_new_tokens: int, fitted: int
) -> tuple[list[Row], list[Row], int]:
    answers: list[Row] = []
    failures: list[Row] = []
    for part in parts:
        some, faults, fits = _run(model, part, max_new_tokens)
        answers += some
        failures += faults
        fitted = min(fitted, fits) if fits < len(part) else fitted
    return answers, failures, fitted


def _answer(model: Model, items: Sequence[Item], max_new_tokens: int) -> list[Row]:
    """The answers of one batch. Raises InputError where a prompt and its answer exceed the model's context."""
    import torch

    batch = collate_for_generation(
        model.processor, model.family, [item.prompt for item in items], [item.clip for item in items]
    )
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    for item, length in zip(items, lengths, strict=True):
        if model.context_length is not None and length + max_new_tokens > model.context_length:
            raise InputError(
                f"{item.key[0]}: prompt of {length} tokens and an answer of {max_new_tokens}; expected no more than "
                f"the model's {model.context_length}",
                "prompt too long",
            )
    batch = batch.to(model.model.device)
    with torch.inference_mode():
        output = model.model.generate(**batch, generation_config=model.generation_config(max_new_tokens))
    rows = []
    for item, length, tokens in zip(items, lengths, output[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
        end = next((i for i, token in enumerate(tokens) if token in model.end_tokens), None)
        record_id, condition, sample = item.key
        rows.append(
            {
                "id": record_id,
                "condition": condition,
                "sample": sample,
                "answer": model.processor.tokenizer.decode(tokens[:end], skip_special_tokens=True).strip(),
                "prompt_tokens": length,
                "answer_tokens": len(tokens[:end]),
                "finish_reason": "length" if end is None else "stop",
                "cut_items": item.prompt.cut_items,
                "video_id": item.video_id,
            }
        )
    return rows
