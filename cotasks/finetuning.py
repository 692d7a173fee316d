"""What the fine-tuning examples share: the base model, its examples, and where a model is good to go on from."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.dataset import load_records
from cotasks.errors import InputError, MissingExtra
from cotasks.families import Family, family_of, limits_of
from cotasks.frame_cache import FOLDER_BYTES, FrameCache
from cotasks.inference.repairs import repair
from cotasks.instruct import INSTRUCTION_FEATURES, TASKS, instructions, parse_task
from cotasks.model import TINY
from cotasks.prompts import BOXES_PER_ENTITY
from cotasks.runs import read_jsonl
from cotasks.training import IGNORED, ReportFile, TrainingCollator

if TYPE_CHECKING:
    import torch

TRIED_FIRST = 8
"""Examples of which one must be usable before training begins: else the video folder, say, is the wrong one."""
BATCH_BYTES = 2**28
"""Frames kept in the memory of each process that reads videos, beside the folder."""
PLACES = ("out", "workers", "log_every", "eval_every", "save_every", "keep", "frame_cache", "frame_cache_gb")
"""Options that may change when training goes on."""
WORKER_ERROR = "cotasks.errors.InputError: "
"""What stands before the message in an error that a DataLoader's worker hands on."""


@dataclass(frozen=True)
class Base:
    """A model to be trained, and what prompts for it depend on."""

    model: Any
    processor: Any
    family: Family
    dtype: str
    """Of the weights as published, such as `bfloat16`; what is trained is to be saved in it."""


def load_base(name: str, dtype: str = "float32") -> Base:
    """Load `tiny`, a model folder or a Hub id, on the CPU, for training.

    Args:
        name: `tiny` builds a model with random weights; anything else goes to `from_pretrained`.
        dtype: of the weights in memory, as torch names it.

    Raises InputError where the model is not there or of a family without a row in `cotasks.families`, MissingExtra
    where torch or transformers is not installed.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "train") from None
    if name == TINY:
        from cotasks.tiny import build_tiny

        model, processor = build_tiny()
        repair(model, processor)
        return Base(model.to(getattr(torch, dtype)), processor, family_of(model.config.model_type), "float32")
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        family = family_of(config.model_type)
        processor = transformers.AutoProcessor.from_pretrained(name)
        model = transformers.AutoModelForImageTextToText.from_pretrained(name, dtype=getattr(torch, dtype))
    except InputError as error:
        raise InputError(f"model {name}: {error}", error.reason) from None
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"model {name}: cannot be loaded: {error}") from None
    repair(model, processor)
    published = getattr(config, "dtype", None) or config.get_text_config().dtype or torch.float32
    return Base(model, processor, family, str(published).removeprefix("torch."))


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `training_examples` and `training_collator` read."""
    group = parser.add_argument_group("data")
    group.add_argument("--model", required=True, help="`tiny`, a model folder, or a Hub id")
    group.add_argument("--data", required=True, help="`sample`, a folder of `cotasks build`, or a Hub id")
    group.add_argument("--config", help="config of the data set, where it has several")
    group.add_argument("--split", default="train", help="split to learn from (default: train)")
    group.add_argument("--eval-split", help="split to evaluate on, none by default")
    group.add_argument("--limit", type=int, help="about so many questions of the split to learn from")
    group.add_argument("--eval-limit", type=int, help="about so many questions of the split to evaluate on")
    group.add_argument("--videos", type=Path, help="folder of the videos; the sample brings its own")
    group.add_argument(
        "--task",
        action="append",
        dest="tasks",
        metavar="TASK",
        help="what to learn, once or several times: a step such as frame_localization, `chain`, or a condition such as "
        f"cotasks-12 (default: {' '.join(TASKS)})",
    )
    group.add_argument("--num-frames", type=int, help="frames shown (default: the grid of the records)")
    group.add_argument(
        "--boxes-per-entity", type=int, default=BOXES_PER_ENTITY, help=f"in step 2 (default: {BOXES_PER_ENTITY})"
    )
    group.add_argument(
        "--max-tokens", type=int, help="budget of an example, video included; beyond it, items of steps 2 to 4 go"
    )
    group.add_argument("--workers", type=int, default=0, help="processes that read videos ahead (default: 0)")
    group.add_argument(
        "--frame-cache", type=Path, metavar="DIR", help="keep decoded frames in this folder, for all processes and runs"
    )
    group.add_argument(
        "--frame-cache-gb",
        type=float,
        default=FOLDER_BYTES / 1e9,
        metavar="GB",
        help=f"size of that folder; what was used longest ago goes first (default: {FOLDER_BYTES / 1e9:.0f})",
    )


def add_training_arguments(parser: argparse.ArgumentParser, learning_rate: float) -> argparse._ArgumentGroup:
    """The options of training that both examples have; the group, for those that one of them adds."""
    group = parser.add_argument_group("training")
    group.add_argument("--out", type=Path, required=True, help="folder to write to, or to go on with")
    group.add_argument("--epochs", type=float, default=1.0)
    group.add_argument("--max-steps", type=int, help="stop after so many steps, whatever --epochs says")
    group.add_argument("--batch-size", type=int, default=1, help="examples at once, a process (default: 1)")
    group.add_argument("--accumulate", type=int, default=1, help="batches of a process before a step (default: 1)")
    group.add_argument("--learning-rate", type=float, default=learning_rate, help=f"(default: {learning_rate})")
    group.add_argument("--warmup", type=float, default=0.03, help="share of the steps before the peak (default: 0.03)")
    group.add_argument("--weight-decay", type=float, default=0.0)
    group.add_argument("--max-grad-norm", type=float, default=1.0)
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--log-every", type=int, default=10, help="steps between two lines on the screen (default: 10)")
    group.add_argument("--eval-every", type=int, default=200, help="steps between two evaluations (default: 200)")
    group.add_argument("--save-every", type=int, default=200, help="steps between two checkpoints (default: 200)")
    group.add_argument("--keep", type=int, default=2, help="checkpoints kept (default: 2)")
    return group


def parse_positive(parser: argparse.ArgumentParser, *names: str) -> argparse.Namespace:
    """The command line, whose options that count something, and `names`, are to be 1 or more."""
    args = parser.parse_args()
    for name in ("batch_size", "accumulate", "log_every", "eval_every", "save_every", "keep", *names):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(args, name)}; expected 1 or more")
    return args


def settings_of(args: argparse.Namespace, changeable: Sequence[str] = ()) -> dict[str, Any]:
    """The options that shape what is learned; those that say where and how fast, and `changeable` ones, do not."""
    left_out = {*PLACES, *changeable}
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k not in left_out}


def training_examples(args: argparse.Namespace, base: Base, split: str, limit: int | None) -> tuple[Any, Path | None]:
    """(a `datasets.Dataset` of `INSTRUCTION_FEATURES`, the folder of its videos).

    Raises InputError where the data set, the split or the folder is not there, and where nothing is to be learned.
    """
    records = load_records(args.data, split, args.config, limit)
    folder = records.video_folder(args.videos)
    tasks = tuple(args.tasks or TASKS)
    conditions = [parse_task(task) for task in tasks]
    if folder is None and any(condition is None or condition.video for condition in conditions):
        raise InputError("videos are shown; name their folder with --videos")
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the videos")
    tokenizer = base.processor.tokenizer
    limits = limits_of(base.processor, base.family)
    options = {"tasks": tasks, "num_frames": args.num_frames, "boxes_per_entity": args.boxes_per_entity}
    rows = records.rows.map(
        instructions,
        batched=True,
        batch_size=16,
        remove_columns=records.rows.column_names,
        features=INSTRUCTION_FEATURES,
        fn_kwargs={
            **options,
            "family": base.family.name,
            "limits": limits,
            "videos": folder,
            "count_tokens": lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]),
        },
        # the cache's name must change with our code, which `datasets` does not look at, and not with a tokenizer's hash
        new_fingerprint=_fingerprint(records.fingerprint, records.limit, options, base.family, limits, args.model),
        desc=f"{split}: examples",
    )
    if len(rows) == 0:
        raise InputError(f"{args.data}: {split} holds nothing to learn for {', '.join(tasks)}")
    return rows, folder


def _fingerprint(*parts: object) -> str:
    """A name for examples made of these by this code."""
    digest = hashlib.sha256(repr(parts).encode())
    package = Path(__file__).parent
    for path in sorted([*package.glob("*.py"), *package.glob("steps/*.py")]):
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
    targets = targets[:, keep]
    loss = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, (targets != IGNORED).sum()


def freeze_vision(model: Any) -> None:
    """Leave the vision tower as it is."""
    inner = model.model
    for name in ("visual", "vision_tower"):
        if hasattr(inner, name):
            getattr(inner, name).requires_grad_(False)
            return
    raise InputError(f"{type(model).__name__}: no vision tower found; expected model.visual or model.vision_tower")


def describe_report(path: Path) -> str:
    """One line on what a `ReportFile` says, examples counted once however often they were seen."""
    if not path.exists():
        return "all examples were used whole"
    events = {(e["id"], e["task"], e["event"]): e for e in read_jsonl(path)}.values()
    skipped = Counter(event["reason"] for event in events if event["event"] == "skipped")
    shortened = [event for event in events if event["event"] == "shortened"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    parts = [f"{skipped.total()} examples skipped ({reasons})"] if skipped else []
    if shortened:
        left_out, of = (sum(event[name] for event in shortened) for name in ("left_out", "of"))
        parts.append(f"{len(shortened)} shortened by {left_out} of {of} items")
    return f"{'; '.join(parts)}; see {path}"


def run_main(main: Callable[[], int]) -> None:
    """Run a script: wrong input is one line on standard error and exit code 2."""
    try:
        code = main()
    except InputError as error:
        text = str(error)
        print(f"error: {text.rpartition(WORKER_ERROR)[2] if WORKER_ERROR in text else text}", file=sys.stderr)
        code = 2
    sys.exit(code)
