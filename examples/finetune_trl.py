"""Fine-tune a video language model on CoTasks examples with TRL's SFTTrainer and LoRA.

    python examples/finetune_trl.py --model tiny --data sample --out runs/tiny --learning-rate 1e-2
    accelerate launch --num_processes 8 examples/finetune_trl.py \
        --model Qwen/Qwen2.5-VL-3B-Instruct --data built --videos NExTVideo --out runs/3b-lora --accumulate 4

The adapter sits on the linear layers of the language model. OUT/adapter holds it; OUT/model is the base model with the
adapter merged in, for `cotasks generate --model`; OUT/log.jsonl has the losses; OUT/report.jsonl says what was
skipped or shortened. Run the same command again to go on from the last checkpoint: weights, optimizer, random state
and the place in the data.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from pathlib import Path
from typing import Any

from cotasks.errors import MissingExtra

try:
    import torch
    from accelerate import PartialState
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer
except ImportError as error:
    sys.exit(f"error: {MissingExtra(str(error.name), 'train')}")

from cotasks.runs.folder import settle
from cotasks.tools.files import dump_json, read_json
from cotasks.training.events import describe_report
from cotasks.training.examples import INSTRUCTION_FEATURES
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
    load_base,
    run_main,
    training_collator,
    training_examples,
    try_first,
    usable,
)
from cotasks.training.trl_runs import TARGETS, Log, add_lora_arguments, cut_log, last_checkpoint, merge, trainer_options


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_mixing_arguments(parser)
    group = add_training_arguments(parser, learning_rate=1e-4)
    add_lora_arguments(group)
    group.add_argument("--lora-dropout", type=float, default=0.05)
    return parse_positive(parser, "lora_rank")


def trainer_config(args: argparse.Namespace, evaluates: bool) -> SFTConfig:
    """What the trainer is told; the examples and their labels are the collator's affair."""
    return SFTConfig(**trainer_options(args, evaluates), dataset_kwargs={"skip_prepare_dataset": True}, max_length=None)


class Trainer(SFTTrainer):
    """The trainer, with batches of our own where what examples are told depends on the step."""

    own_batches: Any = None
    """Batches of this process from the step on at which training begins; None for the trainer's own."""

    def get_train_dataloader(self) -> Any:
        """Called by the trainer, once."""
        return super().get_train_dataloader() if self.own_batches is None else Endless(self.own_batches)


class Endless:
    """Batches without a length, which the trainer takes as many of as it has steps."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)


class StreamPlace(TrainerCallback):
    """Writes where a process is in its stream beside each checkpoint."""

    def __init__(self, stream: Any, process: int) -> None:
        self.stream, self.process = stream, process

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer, in every process."""
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        dump_json(folder / f"stream-{self.process}.json", self.stream.state_dict())


def first_examples(stream: Any) -> Dataset:
    """An example or two, by which the trainer finds out of what kind they are; it learns from the stream."""
    row = next(iter(stream.rows))
    examples = [stream.make(row, task, 0) for task in stream.source.tasks]
    shown = [{name: one[name] for name in INSTRUCTION_FEATURES} for one in examples if one is not None]
    return Dataset.from_list(shown, features=INSTRUCTION_FEATURES)


def main() -> int:
    """Train, merge, save; 0 when done."""
    args = parse_arguments()
    if args.workers:
        torch.multiprocessing.set_start_method("spawn")  # decoders do not survive a fork
    state = PartialState(cpu=not torch.cuda.is_available())
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    base = load_base(args.model, dtype)
    report = args.out / REPORT
    collator = training_collator(args, base, args.videos, report)
    place = state.process_index, state.num_processes
    stream = stream_of(args, base, collator, *place) if args.stream else None
    held_out = None
    with state.main_process_first():
        if stream is not None:
            rows, folder = first_examples(stream), args.videos
        else:
            rows, folder = training_examples(args, base, args.split, args.limit, args.weights)
            collator = training_collator(args, base, folder, report)
            try_first(collator, rows)
        if args.eval_split:
            held_out, _ = training_examples(args, base, args.eval_split, args.eval_limit)
            held_out = usable(collator, held_out)  # a batch without labels would count as a loss of 0
        settle(args.out, {**settings_of(args), "processes": state.num_processes, "examples": len(rows)})

    resumed = last_checkpoint(args.out / "checkpoints")
    log_path = args.out / "log.jsonl"
    if state.is_main_process:  # what came after the checkpoint is done again
        cut_log(log_path, resumed)
    config = trainer_config(args, held_out is not None)
    step_size = args.batch_size * args.accumulate * state.num_processes
    steps = args.max_steps or max(1, math.ceil(args.epochs * len(rows) / step_size))
    mixed = mixed_rows(args, base, rows, folder, steps) if stream is None else None
    if mixed is not None or stream is not None:
        config.max_steps, config.ignore_data_skip = steps, True
    trainer = Trainer(
        model=base.model,
        args=config,
        data_collator=collator,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=base.processor,
        peft_config=LoraConfig(
            r=args.lora_rank,
            lora_alpha=args.lora_alpha,
            lora_dropout=args.lora_dropout,
            target_modules=TARGETS,
            task_type="CAUSAL_LM",
        ),
        callbacks=[Log(log_path), *([] if stream is None else [StreamPlace(stream, state.process_index)])],
    )
    # each label weighs the same in a step, whatever batch and process it is in: some models say that their own loss
    # cannot do that, but the trainer computes the loss itself
    trainer.model_accepts_loss_kwargs = True
    if mixed is not None:
        done = int(resumed.name.rpartition("-")[2]) if resumed else 0
        trainer.own_batches = loader_of(
            mixed, Order(len(rows), args, *place, done, steps, True), collator, args.workers
        )
    elif stream is not None:
        if resumed:
            stream.load_state_dict(read_json(resumed / f"stream-{state.process_index}.json"))
        trainer.own_batches = stream
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    trainer.save_model(str(args.out / "adapter"))
    trainer.accelerator.wait_for_everyone()
    if state.is_main_process:
        del trainer, base
        gc.collect()
        merge(load_base(args.model, dtype), args.out / "adapter", args.out / "model")
        print(f"{describe_report(report)}\nmodel: {args.out / 'model'}")
    state.wait_for_everyone()
    state.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_main(main)
