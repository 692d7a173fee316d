"""Train a video language model by the rewards of `cotasks.rewards`, with TRL's GRPOTrainer and LoRA.

    python examples/grpo_trl.py --model toy --data toy-data --videos toy-world/videos --task frame_localization \
        --no-frame-names --eval-split validation --eval-limit 250 --out runs/toy-grpo
    accelerate launch --num_processes 8 examples/grpo_trl.py --model runs/3b-lora/model --data built \
        --videos NExTVideo --task chain --think open-o3 --vllm --out runs/3b-grpo

A prompt is that of one task, its frames as pictures, as TRL (1.16) takes no videos. For each, --generations texts are
sampled, and those that earn more than the others of their prompt become likelier. What a text earns is the weighted sum
of the rewards (`cotasks.rewards.WEIGHTS`, or --reward NAME=WEIGHT), over those that the task asks for.

OUT/adapter holds the adapter; OUT/model the model with it merged in, for `cotasks generate --model`; OUT/log.jsonl what
was earned in each part, by step; OUT/held_out.md what the texts of --eval-split earned before and after, with intervals
over videos, of OUT/held_out_before.jsonl and OUT/held_out_after.jsonl. Run the same command again to go on from the
last checkpoint.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, MissingExtra

try:
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object, set_seed
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer
except ImportError as error:
    sys.exit(f"error: {MissingExtra(str(error.name), 'train')}")

import numpy as np

from cotasks.metrics.intervals import Estimate, cluster_estimates, distributions
from cotasks.models.families import limits_of
from cotasks.records.dataset import Records, load_records
from cotasks.rewards import WEIGHTS, Asked, ById, Scorer, asked_for, trl_sum
from cotasks.runs.folder import settle
from cotasks.tools.files import dump_jsonl, read_jsonl
from cotasks.training.events import describe_report
from cotasks.training.options import add_data_arguments, add_training_arguments, parse_positive, settings_of
from cotasks.training.rollouts import PicturePrompts, check_pictures
from cotasks.training.scripts import (
    REPORT,
    Base,
    load_base,
    run_main,
    training_collator,
    training_examples,
    try_first,
)
from cotasks.training.trl_runs import TARGETS, Log, add_lora_arguments, cut_log, last_checkpoint, merge, trainer_options

MOMENTS = ("before", "after")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    group = add_training_arguments(parser, learning_rate=1e-5)
    add_lora_arguments(group)
    group = parser.add_argument_group("rewards and samples")
    group.add_argument("--generations", type=int, default=8, help="texts sampled for a prompt (default: 8)")
    group.add_argument("--max-new-tokens", type=int, default=512, help="of a text (default: 512)")
    group.add_argument("--temperature", type=float, default=1.0, help="(default: 1.0)")
    group.add_argument(
        "--beta", type=float, default=0.0, help="weight of the distance to the model before (default: 0)"
    )
    group.add_argument(
        "--reward", action="append", dest="rewards", metavar="NAME=WEIGHT", help="a reward, once or several times"
    )
    group.add_argument("--rule", default="f1-new", help="of answers, see `cotasks judge` (default: f1-new)")
    group.add_argument("--no-frame-names", action="store_true", help="no time before each picture, as `toy` knows none")
    group.add_argument("--vllm", action="store_true", help="sample with vLLM on the GPUs that train")
    group.add_argument(
        "--vllm-memory", type=float, default=0.3, metavar="SHARE", help="of a GPU, for it (default: 0.3)"
    )
    group.set_defaults(batch_size=8)
    args = parse_positive(parser, "lora_rank", "generations", "max_new_tokens")
    if len(args.tasks or ()) != 1:
        parser.error(f"--task {' '.join(args.tasks or ())}: expected one, whose prompts are answered")
    if args.max_tokens is not None:
        parser.error("--max-tokens leaves steps out of examples; expected none here, where they are written anew")
    return args


def weights_of(given: Sequence[str] | None) -> dict[str, float]:
    """`--reward` as a mapping. Raises InputError for a weight that is no number; what is one is checked later."""
    if not given:
        return dict(WEIGHTS)
    found = {}
    for one in given:
        name, _, weight = one.partition("=")
        try:
            found[name] = float(weight)
        except ValueError:
            raise InputError(f"--reward {one}; expected NAME=WEIGHT, such as boxes=1") from None
    return found


def trainer_config(args: argparse.Namespace, evaluates: bool) -> GRPOConfig:
    """What the trainer is told. Raises InputError where TRL refuses it, and MissingExtra for what is not installed."""
    if args.vllm and not torch.cuda.is_available():
        raise InputError("--vllm samples on the GPUs that train, and there is none here; leave it out")
    if args.vllm and importlib.util.find_spec("vllm") is None:
        raise MissingExtra("vllm is not installed; run: pip install vllm")
    vllm = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": args.vllm_memory}
    try:
        return GRPOConfig(
            **trainer_options(args, evaluates),
            num_generations=args.generations,
            num_generations_eval=1,
            max_completion_length=args.max_new_tokens,
            temperature=args.temperature,
            beta=args.beta,
            eval_on_start=evaluates and not held_out_path(args.out, "before").exists(),
            **(vllm if args.vllm else {}),
        )
    except ValueError as error:
        raise InputError(f"TRL refuses these options: {' '.join(str(error).split())}") from None


# --- what is earned, and what of it is kept


class Rewards:
    """The reward function for TRL, which keeps what each text earned while `kept` is a list."""

    def __init__(self, scorer: Scorer, weights: Mapping[str, float]) -> None:
        self.scorer, self.weights, self.sum = scorer, weights, trl_sum(scorer, weights)
        self.kept: list[dict[str, Any]] = []

    def function(self) -> Callable[..., list[float | None]]:
        """A text about frames that could not be read earns None, which moves nothing."""

        def cotasks_reward(
            prompts: Any, completions: Sequence[Any], id: Sequence[str], readable: Sequence[bool], **more: Any
        ) -> list[float | None]:
            at = [place for place, good in enumerate(readable) if good]
            said, ids = [completions[place] for place in at], [id[place] for place in at]
            values = dict(zip(at, self.sum(prompts, said, ids, log_metric=more.get("log_metric")), strict=True))
            for one, found in zip(ids, self.scorer.rewards(ids, said, self.weights), strict=True):
                self.kept.append({"id": one, "value": found.value, "parts": dict(found.parts)})
            return [values.get(place) for place in range(len(completions))]

        return cotasks_reward


class HeldOut(TrainerCallback):
    """Writes what the texts of the first evaluation and of the last earned, and starts every run from the same random
    state."""

    def __init__(self, rewards: Rewards, out: Path, seed: int) -> None:
        self.rewards, self.out, self.seed = rewards, out, seed
        self.step = -1
        """That of the last evaluation."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer."""
        if state.global_step == 0:  # whether an evaluation came before the first step or was there already
            set_seed(self.seed, device_specific=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer, before an evaluation: of training, nobody asks for single texts."""
        self.rewards.kept.clear()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer, in all processes; a record that filled up a last batch counts once."""
        rows = {row["id"]: row for row in gather_object(self.rewards.kept)}
        self.rewards.kept.clear()
        self.step = state.global_step
        if state.is_world_process_zero:
            path = held_out_path(self.out, "after" if self.step else "before")
            dump_jsonl(path, [rows[one] for one in sorted(rows)])


def held_out_path(out: Path, moment: str) -> Path:
    """Rows {id, value, parts} of the texts of an evaluation."""
    return out / f"held_out_{moment}.jsonl"


def held_out_table(out: Path, videos: Mapping[str, str]) -> str:
    """Markdown: what texts earned before and after, and the difference, by reward, in hundredths with 95% intervals.

    Args:
        videos: record id -> its video, the unit of the intervals.
    """
    before, after = ({row["id"]: row for row in read_jsonl(held_out_path(out, moment))} for moment in MOMENTS)
    names = ["value", *(name for name in next(iter(before.values()))["parts"] if "/" not in name)]
    lines = ["| reward | before | after | difference | texts | videos |", "|---|---|---|---|---|---|"]
    for name in names:
        pairs = [(one, earned(before[one], name), earned(after[one], name)) for one in before if one in after]
        known = [(videos[one], old, new) for one, old, new in pairs if old is not None and new is not None]
        if known:
            columns = np.array([(old, new, new - old) for _, old, new in known])
            told = [interval([video for video, *_ in known], columns[:, place], -(place // 2)) for place in range(3)]
            cells = [name if name != "value" else "all, weighted", *map(percent, told), len(known), told[0].videos]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def earned(row: Mapping[str, Any], name: str) -> float | None:
    """The weighted sum, or one reward."""
    value: float | None = row["value"] if name == "value" else row["parts"][name]
    return value


def interval(videos: Sequence[str], values: Any, lowest: float) -> Estimate:
    """The mean of values from `lowest` to 1, with videos as units."""
    order = {video: place for place, video in enumerate(dict.fromkeys(videos))}
    sums, counts = np.zeros((len(order), 1)), np.zeros((len(order), 1))
    for video, value in zip(videos, values, strict=True):
        sums[order[video]] += value
        counts[order[video]] += 1
    return cluster_estimates(sums, counts, [[0]], lowest, 1.0)[0]


def percent(found: Estimate) -> str:
    """`52.0 [48.1, 55.9]`"""
    ends = [found.mean, found.low, found.high]
    mean, low, high = (f"{100 * end:.1f}" if end is not None else "-" for end in ends)
    return f"{mean} [{low}, {high}]"


# --- the run


def prompts_of(args: argparse.Namespace, base: Base, split: str, limit: int | None) -> tuple[Any, Records]:
    """(the prompts of a split as GRPOTrainer takes them, its records)."""
    rows, folder = training_examples(args, base, split, limit)
    collator = training_collator(args, base, folder, args.out / REPORT)
    try_first(collator, rows)
    made = PicturePrompts(collator, not args.no_frame_names)
    check_pictures(base.processor, base.family, made.prompt(rows[0]))
    return rows.with_transform(made), load_records(args.data, split, args.config, limit)


def asked_of(args: argparse.Namespace, base: Base) -> Asked:
    """What the prompts ask for."""
    told = {"num_frames": args.num_frames, "boxes_per_entity": args.boxes_per_entity, "rule": args.rule}
    limits = limits_of(base.processor, base.family)
    return asked_for(args.tasks[0], args.think, family=base.family.name, limits=limits, **told)


def main() -> int:
    """Train, evaluate, merge, save; 0 when done."""
    args = parse_arguments()
    if args.workers:
        torch.multiprocessing.set_start_method("spawn")  # decoders do not survive a fork
    state = PartialState(cpu=not torch.cuda.is_available())
    weights = weights_of(args.rewards)
    config = trainer_config(args, args.eval_split is not None)
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    base = load_base(args.model, dtype)
    base.processor.tokenizer.padding_side = "left"  # as GRPOTrainer pads prompts
    asked = asked_of(args, base)
    with state.main_process_first():
        rows, records = prompts_of(args, base, args.split, args.limit)
        held_out, held_records = None, None
        if args.eval_split:
            distributions()  # for intervals, which take scipy
            held_out, held_records = prompts_of(args, base, args.eval_split, args.eval_limit)
        changeable = ("vllm_memory",)
        settle(args.out, {**settings_of(args, changeable), "processes": state.num_processes, "examples": len(rows)})
    splits = [records] if held_records is None else [records, held_records]
    rewards = Rewards(Scorer(ById(*splits), asked), weights)
    keeper = HeldOut(rewards, args.out, args.seed)

    resumed = last_checkpoint(args.out / "checkpoints")
    if state.is_main_process:  # what came after the checkpoint is done again
        cut_log(args.out / "log.jsonl", resumed)
    trainer = GRPOTrainer(
        model=base.model,
        reward_funcs=rewards.function(),
        args=config,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=base.processor,
        peft_config=LoraConfig(
            r=args.lora_rank, lora_alpha=args.lora_alpha, target_modules=TARGETS, task_type="CAUSAL_LM"
        ),
        callbacks=[Log(args.out / "log.jsonl"), keeper],
    )
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if held_records is not None and keeper.step < trainer.state.global_step:
        trainer.evaluate()
    trainer.save_model(str(args.out / "adapter"))
    trainer.accelerator.wait_for_everyone()
    if state.is_main_process:
        del trainer, base
        gc.collect()
        merge(load_base(args.model, dtype), args.out / "adapter", args.out / "model")
        print(f"{describe_report(args.out / REPORT)}\nmodel: {args.out / 'model'}")
        if held_records is not None:
            table = held_out_table(args.out, dict(zip(held_records.ids, held_records.video_ids, strict=True)))
            (args.out / "held_out.md").write_text(table + "\n")
            print(f"{args.eval_split}, earned before and after:\n{table}")
    state.wait_for_everyone()
    state.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_main(main)
