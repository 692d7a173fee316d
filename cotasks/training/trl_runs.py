"""What the examples on TRL's trainers share: options, the log, the checkpoint to go on from, the adapter merged in."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback

from cotasks.runs.folder import Appender
from cotasks.tools.files import dump_jsonl, read_json, read_jsonl
from cotasks.training.scripts import Base

TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""The linear layers of the language model, by the names they have in every family."""


class Log(TrainerCallback):
    """Appends what the trainer logs to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero:
            with Appender(self.path) as log:
                log.append({"step": state.global_step, **(logs or {})})


def add_lora_arguments(group: Any) -> None:
    """The options of an adapter, and of the memory that training it takes."""
    group.add_argument("--lora-rank", type=int, default=16)
    group.add_argument("--lora-alpha", type=int, default=32)
    group.add_argument("--no-gradient-checkpointing", action="store_true", help="faster, in more memory")


def trainer_options(args: argparse.Namespace, evaluates: bool) -> dict[str, Any]:
    """What every configuration of TRL's trainers is told of the options that all fine-tuning examples have."""
    on_gpu = torch.cuda.is_available()
    return {
        "output_dir": str(args.out / "checkpoints"),
        "num_train_epochs": args.epochs,
        "max_steps": args.max_steps or -1,
        "per_device_train_batch_size": args.batch_size,
        "per_device_eval_batch_size": args.batch_size,
        "gradient_accumulation_steps": args.accumulate,
        "learning_rate": args.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": args.warmup,
        "weight_decay": args.weight_decay,
        "max_grad_norm": args.max_grad_norm,
        "bf16": on_gpu,
        "use_cpu": not on_gpu,
        **_checkpointing(not args.no_gradient_checkpointing),
        "logging_steps": args.log_every,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": args.eval_every,
        "save_steps": args.save_every,
        "save_total_limit": args.keep,
        "seed": args.seed,
        "dataloader_num_workers": args.workers,
        "dataloader_persistent_workers": args.workers > 0,
        "remove_unused_columns": False,
        "report_to": args.track or "none",
        "run_name": args.out.name,
    }


def _checkpointing(on: bool) -> dict[str, Any]:
    """The arguments of a TRL configuration that turn gradient checkpointing on or off."""
    from transformers import TrainingArguments

    # transformers called it gradient checkpointing before 5.24
    new = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    name = "activation_checkpointing" if new else "gradient_checkpointing"
    return {name: on, f"{name}_kwargs": {"use_reentrant": False}}


def last_checkpoint(folder: Path) -> Path | None:
    """The last finished one: the trainer writes its state at the end."""
    done = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(done, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def cut_log(path: Path, checkpoint: Path | None) -> None:
    """Leave in a log what came before a checkpoint; the rest is done again."""
    done = read_json(checkpoint / "trainer_state.json")["global_step"] if checkpoint else 0
    dump_jsonl(path, [row for row in (read_jsonl(path) if path.exists() else ()) if row["step"] <= done])


def merge(base: Base, adapter: Path, folder: Path) -> None:
    """Write the base model with the adapter merged in."""
    model = PeftModel.from_pretrained(base.model, str(adapter)).merge_and_unload()
    model.config.dtype = getattr(torch, base.dtype)
    model.to(getattr(torch, base.dtype)).save_pretrained(folder)
    base.processor.save_pretrained(folder)
