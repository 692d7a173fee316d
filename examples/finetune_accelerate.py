"""Fine-tune a video language model on CoTasks examples, with `accelerate` alone.

    python examples/finetune_accelerate.py --model tiny --data sample --out runs/tiny --learning-rate 1e-3
    accelerate launch --mixed_precision bf16 --num_processes 8 examples/finetune_accelerate.py \
        --model Qwen/Qwen2.5-VL-3B-Instruct --data built --videos NExTVideo --out runs/3b \
        --freeze-vision --gradient-checkpointing --accumulate 4

All weights are trained (but those of the vision tower with --freeze-vision). OUT/model is a model folder for
`cotasks generate --model`; OUT/log.jsonl has the loss of each step; OUT/report.jsonl says what was skipped or
shortened. Run the same command again to go on from the last checkpoint, to the bit: weights, optimizer, random state
and the place in the data. SIGTERM or Ctrl-C ends a run after the step in hand, with a checkpoint.
"""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cotasks.errors import MissingExtra

try:
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import send_to_device, set_seed
except ImportError as error:
    sys.exit(f"error: {MissingExtra(str(error.name), 'train')}")

from cotasks.runs.folder import Appender, settle
from cotasks.tools.files import dump_json, dump_jsonl, read_json, read_jsonl
from cotasks.tools.progress import progress_bar
from cotasks.tools.tracking import tracking
from cotasks.training.events import describe_report
from cotasks.training.feeding import mixed_rows, stream_of
from cotasks.training.loading import Order, loader_of
from cotasks.training.options import (
    add_data_arguments,
    add_mixing_arguments,
    add_training_arguments,
    parse_positive,
    settings_of,
)
from cotasks.training.scripts import (
    REPORT,
    answer_loss,
    freeze_vision,
    load_base,
    run_main,
    training_collator,
    training_examples,
    try_first,
)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_mixing_arguments(parser)
    group = add_training_arguments(parser, learning_rate=1e-5)
    group.add_argument("--freeze-vision", action="store_true", help="leave the vision tower as it is")
    group.add_argument("--gradient-checkpointing", action="store_true", help="less memory, about a third more time")
    group.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the weights in training")
    return parse_positive(parser)


def learning_rate(step: int, steps: int, args: argparse.Namespace) -> float:
    """Linear warmup, then half a cosine down to 0. Steps count from 0."""
    warmup = math.ceil(steps * args.warmup)
    if step < warmup:
        return float(args.learning_rate * (step + 1) / warmup)
    return float(args.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


@torch.no_grad()
def evaluate(accelerator: Accelerator, model: Any, rows: Any, collator: Any, args: argparse.Namespace) -> float:
    """Mean loss a label over all rows, each counted once."""
    model.eval()
    mine = list(range(accelerator.process_index, len(rows), accelerator.num_processes))
    most = math.ceil(math.ceil(len(rows) / accelerator.num_processes) / args.batch_size)
    # all processes take equally many batches together; where there are no rows left, blank ones without labels
    batches = [mine[i * args.batch_size : (i + 1) * args.batch_size] for i in range(most)]
    total = torch.zeros(2, device=accelerator.device, dtype=torch.float64)
    for batch in loader_of(rows, batches, collator, args.workers):
        loss, labels = answer_loss(model, send_to_device(batch, accelerator.device))
        total += torch.stack([loss.double(), labels.double()])
    model.train()
    loss_sum, labels = accelerator.reduce(total, "sum").tolist()
    return float(loss_sum / max(labels, 1))


def train_step(
    accelerator: Accelerator, model: Any, optimizer: Any, batches: list[Any], args: argparse.Namespace
) -> tuple[float, int, float]:
    """(mean loss a label, labels, gradient norm) of one step over all processes."""
    batches = [send_to_device(batch, accelerator.device) for batch in batches]
    labels = torch.stack([(batch["labels"][:, 1:] != -100).sum() for batch in batches]).sum()
    labels = accelerator.reduce(labels, "sum")
    total = torch.zeros((), device=accelerator.device)
    for number, batch in enumerate(batches):
        last = number == len(batches) - 1
        accelerator.gradient_state._set_sync_gradients(last)
        with nullcontext() if last else accelerator.no_sync(model):
            loss, _ = answer_loss(model, batch)
            # accelerate divides by the batches of a step, and gradients are averaged over processes; we want neither
            scale = accelerator.gradient_accumulation_steps * accelerator.num_processes / labels.clamp(min=1)
            accelerator.backward(loss * scale)
        total += loss.detach()
    norm = accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    mean = accelerator.reduce(total, "sum") / labels.clamp(min=1)
    return mean.item(), int(labels), float(norm) if norm is not None else math.nan


def checkpoints(out: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in (out / "checkpoints").glob("step-*") if path.suffix != ".part")


def save_checkpoint(accelerator: Accelerator, args: argparse.Namespace, step: int, stream: Any) -> None:
    """Write a checkpoint, whole or not at all, and drop the oldest beyond --keep. Each process writes its place in the
    stream, where there is one."""
    final = args.out / "checkpoints" / f"step-{step:08d}"
    part = final.with_suffix(".part")
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(part))
    if stream is not None:
        dump_json(part / f"stream-{accelerator.process_index}.json", stream.state_dict())
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        dump_json(part / "step.json", {"step": step})
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        for old in checkpoints(args.out)[: -args.keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def go_on(accelerator: Accelerator, out: Path, stream: Any) -> int:
    """Load the last checkpoint; how many steps are done."""
    done = 0
    if saved := checkpoints(out):
        done = read_json(saved[-1] / "step.json")["step"]
        accelerator.load_state(str(saved[-1]))
        if stream is not None:
            stream.load_state_dict(read_json(saved[-1] / f"stream-{accelerator.process_index}.json"))
        accelerator.print(f"going on after step {done}")
    log = out / "log.jsonl"
    if accelerator.is_main_process and log.exists():  # what came after the checkpoint is done again
        dump_jsonl(log, [row for row in read_jsonl(log) if row["step"] <= done])
    return done


def save_model(accelerator: Accelerator, model: Any, base: Any, folder: Path) -> None:
    """Write what `cotasks generate --model` loads, in the number format that the base model was published in."""
    dtype = getattr(torch, base.dtype)
    weights = accelerator.get_state_dict(model)
    inner = accelerator.unwrap_model(model)
    if accelerator.is_main_process:
        inner.config.dtype = dtype
        weights = {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}
        inner.save_pretrained(folder, state_dict=weights)
        base.processor.save_pretrained(folder)
    accelerator.wait_for_everyone()


def prepare_model(accelerator: Accelerator, base: Any, args: argparse.Namespace) -> tuple[Any, Any]:
    """(model, optimizer), wrapped as the accelerate configuration says."""
    model = base.model.train()
    model.config.use_cache = False
    if args.freeze_vision:
        freeze_vision(model)
    if args.gradient_checkpointing:
        # transformers called it gradient checkpointing before 5.24
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=args.learning_rate, weight_decay=args.weight_decay)
    if (plugin := accelerator.state.deepspeed_plugin) is not None:  # it reads this off a loader, and gets none
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = args.batch_size
    # examples without video leave the vision tower without gradients, the LLaVA models its last layer
    unused = base.family.limits.fixed is not None or any("blind" in task for task in args.tasks or ())
    accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=unused)
    model, optimizer = accelerator.prepare(model, optimizer)
    return model, optimizer


def main() -> int:
    """Train; 0 when done, 1 when stopped on the way."""
    args = parse_arguments()
    accelerator = Accelerator(gradient_accumulation_steps=args.accumulate)
    set_seed(args.seed)
    base = load_base(args.model, args.dtype)
    step_size = args.batch_size * args.accumulate * accelerator.num_processes
    if args.stream:
        collator = training_collator(args, base, args.videos, args.out / REPORT)
        stream = stream_of(args, base, collator, accelerator.process_index, accelerator.num_processes)
        rows, held_out, steps = [], [], args.max_steps
    else:
        with accelerator.main_process_first():
            rows, folder = training_examples(args, base, args.split, args.limit, args.weights)
            held_out = training_examples(args, base, args.eval_split, args.eval_limit)[0] if args.eval_split else []
        collator, stream = training_collator(args, base, folder, args.out / REPORT), None
        try_first(collator, rows)
        steps = args.max_steps or max(1, math.ceil(args.epochs * len(rows) / step_size))
        mixed = mixed_rows(args, base, rows, folder, steps)
        rows = rows if mixed is None else mixed
    settings = settings_of(args, changeable=("batch_size", "accumulate"))  # examples a step may not change
    settings |= {"examples_a_step": step_size, "precision": accelerator.mixed_precision, "examples": len(rows)}
    with accelerator.main_process_first():
        settle(args.out, settings)
    model, optimizer = prepare_model(accelerator, base, args)
    done = go_on(accelerator, args.out, stream)

    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopped.append(received))
    if stream is not None:
        batches = iter(stream)
    else:
        place = accelerator.process_index, accelerator.num_processes
        order = Order(len(rows), args, *place, done, steps, mixed is not None)
        batches = iter(loader_of(rows, order, collator, args.workers))
    log_file = Appender(args.out / "log.jsonl") if accelerator.is_main_process else nullcontext()
    tracker = args.track if accelerator.is_main_process else None
    with log_file as log, progress_bar("steps") as update, tracking(tracker, args.out.name, settings) as track:

        def note(row: dict[str, Any]) -> None:
            if log is not None:
                log.append(row)
            if track is not None:
                track({f"train/{name}": value for name, value in row.items()})

        for step in range(done, steps):
            began = time.perf_counter()
            rate = learning_rate(step, steps, args)
            for group in optimizer.param_groups:
                group["lr"] = rate
            micro = [next(batches) for _ in range(args.accumulate)]
            loss, labels, norm = train_step(accelerator, model, optimizer, micro, args)
            seconds = time.perf_counter() - began
            row = {"step": step + 1, "loss": loss, "learning_rate": rate, "labels": labels, "gradient_norm": norm}
            epoch = stream.epoch if stream is not None else (step + 1) * step_size / len(rows)
            note({**row, "epoch": epoch, "seconds": seconds})
            if accelerator.is_main_process:
                update("train", step + 1, steps)
            if (step + 1) % args.log_every == 0:
                accelerator.print(f"step {step + 1} of {steps}: loss {loss:.4f}, {step_size / seconds:.2f} examples/s")
            last = step + 1 == steps
            if held_out and (last or (step + 1) % args.eval_every == 0):
                eval_loss = evaluate(accelerator, model, held_out, collator, args)
                note({"step": step + 1, "eval_loss": eval_loss})
                accelerator.print(f"step {step + 1} of {steps}: evaluation loss {eval_loss:.4f}")
            # one process may hear of a signal before the others
            halt = bool(accelerator.reduce(torch.tensor(len(stopped), device=accelerator.device), "sum"))
            if last or halt or (step + 1) % args.save_every == 0:
                save_checkpoint(accelerator, args, step + 1, stream)
            if halt and not last:
                accelerator.print(f"stopped after step {step + 1} of {steps}; run the same command to go on")
                accelerator.end_training()
                return 1
    save_model(accelerator, model, base, args.out / "model")
    accelerator.print(f"{describe_report(args.out / REPORT)}\nmodel: {args.out / 'model'}")
    accelerator.end_training()
    return 0


if __name__ == "__main__":
    run_main(main)
