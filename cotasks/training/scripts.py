"""What the fine-tuning examples share: the base model, its examples, and where a model is good to go on from."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.errors import CotasksError, InputError
from cotasks.models.families import Family, limits_of
from cotasks.records.dataset import load_records
from cotasks.training.base import Base, TokenCount, load_base
from cotasks.training.collator import TrainingCollator
from cotasks.training.events import ReportFile
from cotasks.training.examples import INSTRUCTION_FEATURES, TASKS, examples_of, instructions, parse_task
from cotasks.training.mixing import parse_weights, repeats
from cotasks.training.options import add_data_arguments, add_training_arguments, parse_positive, settings_of
from cotasks.training.turns import IGNORED
from cotasks.video.cache import FrameCache
from cotasks.video.files import video_file

if TYPE_CHECKING:
    import torch

__all__ = ["Base", "add_data_arguments", "add_training_arguments", "load_base", "parse_positive", "settings_of"]
"""Handed on from the files beside this one."""

TRIED_FIRST = 8
"""Examples of which one must be usable before training begins: else the video folder, say, is the wrong one."""
BATCH_BYTES = 2**28
"""Frames kept in the memory of each process that reads videos, beside the folder."""
REPORT = "report.jsonl"
"""In the folder of a run: what was skipped or shortened."""
WORKER_ERROR = re.compile(r".*\bcotasks\.errors\.\w+: ", re.DOTALL)
"""What stands before the message in an error that a DataLoader's worker hands on."""


def training_examples(
    args: argparse.Namespace, base: Base, split: str, limit: int | None, weights: Sequence[str] = ()
) -> tuple[Any, Path | None]:
    """(a `datasets.Dataset` of `INSTRUCTION_FEATURES`, the folder of its videos).

    With `weights` of tasks (`cotasks.training.mixing.parse_weights`) examples stand in it as often as these say.

    Records that no example can be made of are reported, in the file `REPORT` of the folder --out.

    Raises InputError where the data set, the split or the folder is not there, where nothing is to be learned, and
    where a batch would have clips that cannot be stacked.
    """
    records = load_records(args.data, split, args.config, limit)
    folder = records.video_folder(args.videos)
    tasks = tuple(args.tasks or TASKS)
    chosen = parse_weights(weights, tasks)
    conditions = [parse_task(task) for task in tasks]
    if folder is None and any(condition is None or condition.video for condition in conditions):
        raise InputError("videos are shown; name their folder with --videos")
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the videos")
    limits = limits_of(base.processor, base.family)
    options = {"tasks": tasks, "num_frames": args.num_frames, "boxes_per_entity": args.boxes_per_entity}
    options |= {} if args.think is None else {"think": args.think}
    rows = records.rows.map(
        _examples_or_faults,
        batched=True,
        batch_size=16,
        remove_columns=records.rows.column_names,
        features=INSTRUCTION_FEATURES,
        fn_kwargs={
            **options,
            "family": base.family.name,
            "limits": limits,
            "videos": folder,
            "video_check": args.video_check,
            "count_tokens": TokenCount(base.processor.tokenizer),
        },
        # the cache's name must change with our code, which `datasets` does not look at, and with videos that tell the
        # size of frames, but not with a tokenizer's hash
        new_fingerprint=_fingerprint(
            records.fingerprint, records.limit, options, base.family, limits, args.model, _telling(records.rows, folder)
        ),
        desc=f"{split}: examples",
    )
    rows, fault = _without_faults(rows, ReportFile(args.out / REPORT))
    if chosen:
        often = [
            repeats(chosen.get(task, 1.0), args.seed, id_, task)
            for id_, task in zip(rows["id"], rows["task"], strict=True)
        ]
        rows = rows.select([place for place, times in enumerate(often) for _ in range(times)])
    if len(rows) == 0:
        raise InputError(f"{args.data}: {split} holds nothing to learn for {', '.join(tasks)}{fault and f': {fault}'}")
    if args.batch_size > 1 and base.family.limits.fixed is not None:
        _check_stackable(rows, f"{args.data}: {split}", base.family)
    return rows, folder


def _telling(rows: Any, folder: Path | None) -> list[tuple[str, int, int]]:
    """(path, bytes, time of change) of the videos that are there of records that lack their frame size."""
    import pyarrow.compute

    table = rows.select_columns(["video_path", "width"]).with_format("arrow")[:]
    found = []
    for path in table.filter(pyarrow.compute.is_null(table["width"]))["video_path"].unique().to_pylist():
        with contextlib.suppress(OSError, InputError):
            stat = video_file(folder or Path(), path).stat()
            found.append((path, stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def _examples_or_faults(batch: dict[str, list[Any]], **options: Any) -> dict[str, list[Any]]:
    """`instructions`, with a row for each task of a record that it refuses, such as one whose damaged video would have
    to tell the frame size: it has no family, and its message says why. The rows may be kept by `datasets`."""
    columns: dict[str, list[Any]] = {name: [] for name in INSTRUCTION_FEATURES}
    for record in examples_of(batch):
        try:
            made = instructions(record, **options)
        except InputError as error:
            content = [{"type": error.reason, "text": str(error)}]
            fault = {"id": record["id"], "messages": [{"role": "fault", "content": content}], "cuts": [], "frames": []}
            rows = [{**dict.fromkeys(INSTRUCTION_FEATURES), **fault, "task": task} for task in options["tasks"]]
            made = {name: [row[name] for row in rows] for name in INSTRUCTION_FEATURES}
        for name, values in made.items():
            columns[name] += values
    return columns


def _without_faults(rows: Any, report: ReportFile) -> tuple[Any, str]:
    """(the examples, what was wrong with the first record without any); what is left out is reported."""
    import pyarrow.compute

    faulty = pyarrow.compute.is_null(rows.data.column("family")).to_numpy()
    if not faulty.any():
        return rows, ""
    faults = []
    for row in rows.select(faulty.nonzero()[0]):
        (what,) = row["messages"][0]["content"]
        faults.append(what["text"])
        report(
            {"event": "skipped", "id": row["id"], "task": row["task"], "reason": what["type"], "detail": what["text"]}
        )
    return rows.select((~faulty).nonzero()[0]), faults[0]


def _check_stackable(rows: Any, name: str, family: Family) -> None:
    """Raises InputError where examples show unequal numbers of frames: a batch of them would end the run on its way."""
    import pyarrow.compute

    counts = set(pyarrow.compute.list_value_length(rows.data.column("frames")).unique().to_pylist()) - {0}
    if len(counts) > 1:
        raise InputError(
            f"{name} shows {min(counts)} to {max(counts)} frames, and {family.name} cannot stack these in a batch; use "
            f"--batch-size 1 with --accumulate, or --num-frames {min(counts)}"
        )


def _fingerprint(*parts: object) -> str:
    """A name for examples made of these by this code."""
    digest = hashlib.sha256(repr(parts).encode())
    package = Path(__file__).parents[1]
    for room in ("evidence", "models", "prompts", "records", "steps", "training", "video"):
        for path in sorted((package / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def training_collator(args: argparse.Namespace, base: Base, folder: Path | None, report: Path) -> TrainingCollator:
    """A collator that appends what it skips and shortens to `report`, and gives a blank batch rather than none.

    Raises InputError where the folder of --frame-cache cannot be made.
    """
    cache = None
    if args.frame_cache is not None:
        # in memory only what several examples of one batch share: shuffled examples meet again in the folder
        cache = FrameCache(args.frame_cache, memory_bytes=BATCH_BYTES, folder_bytes=round(args.frame_cache_gb * 1e9))
    return TrainingCollator(
        base.processor,
        base.family,
        folder,
        max_tokens=args.max_tokens,
        pad_to_multiple_of=8,
        blank_batches=True,
        report=ReportFile(report),
        frame_cache=cache,
        video_check=args.video_check,
    )


def try_first(collator: TrainingCollator, rows: Any) -> None:
    """Raises InputError where none of the first examples can be used: one alone may be damaged."""
    strict = dataclasses.replace(collator, blank_batches=False, report=lambda event: None)
    for number in range(min(TRIED_FIRST, len(rows))):
        try:
            strict([rows[number]])
            return
        except InputError as caught:
            error = caught
    raise InputError(f"none of the first {TRIED_FIRST} examples can be used: {error}")


def usable(collator: TrainingCollator, rows: Any) -> Any:
    """The rows that can be used, found out by using each once; the others are reported."""
    strict = dataclasses.replace(collator, blank_batches=False)
    good = []
    for number in range(len(rows)):
        try:
            strict([rows[number]])
            good.append(number)
        except InputError:
            pass  # reported by the collator
    return rows.select(good)


def answer_loss(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of the loss over labels, number of labels).

    Logits are computed at the positions of labels only: those of a whole row of 10,000 video tokens over a vocabulary
    of 150,000 would take 6 GB.
    """
    import torch

    inputs = {name: value for name, value in batch.items() if name != "labels"}
    targets = batch["labels"][:, 1:]
    # (K,) positions before a label of any row
    keep = (targets != IGNORED).any(dim=0).nonzero().flatten()
    if len(keep) == 0:
        keep = torch.zeros(1, dtype=torch.long, device=targets.device)
    logits = model(**inputs, logits_to_keep=keep, use_cache=False).logits  # (B, K, V)
    if logits.shape[1] != len(keep):  # VideoLLaMA 3 and MiniCPM-V of transformers compute all of them
        logits = logits[:, keep]
    targets = targets[:, keep]
    loss = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, (targets != IGNORED).sum()


def freeze_vision(model: Any) -> None:
    """Leave the vision tower as it is."""
    inner = model.model
    for name in ("visual", "vision_tower", "vision_model"):
        if hasattr(inner, name):
            getattr(inner, name).requires_grad_(False)
            return
    raise InputError(
        f"{type(model).__name__}: no vision tower found; expected model.visual, .vision_tower or .vision_model"
    )


def run_main(main: Callable[[], int]) -> None:
    """Run a script: wrong input is one line on standard error and exit code 2."""
    try:
        code = main()
    except CotasksError as error:
        print(f"error: {WORKER_ERROR.sub('', str(error))}", file=sys.stderr)
        code = 2
    sys.exit(code)
