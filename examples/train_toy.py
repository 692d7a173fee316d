"""Train and evaluate `toy`, the very small Qwen2.5-VL that comes with the package and that `cotasks demo` asks.

    python examples/train_toy.py train --out FOLDER       # no GPU; about 35 minutes of one core, and less on two
    python examples/train_toy.py evaluate --out RUN       # the README's table, as Markdown on the screen

One model learns to answer with and without context, from all steps or some of them, and to write the steps itself, from
the package's own examples and labels (`cotasks.instructions`, `cotasks.training`). Clips are drawn as it learns, from
`cotasks.sample.drawn`; none is seen more than twice. What is validated and tested on is of other splits.

Every phrase that stands in all prompts, and every number up to the width of a frame, is one token, which makes the
prompts a quarter as long. So the model reads this drawn world, and prompts worded like ours, and nothing else.
"""

from __future__ import annotations

import argparse
import math
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from cotasks.builders.assemble import Built, build_video, plan_split
from cotasks.builders.sources import BuildOptions
from cotasks.models.families import FAMILIES, limits_of
from cotasks.models.repairs import repair
from cotasks.models.tensors import Clip
from cotasks.prompts.condition import ANSWER_STYLES, PHRASE
from cotasks.records.schema import Record
from cotasks.records.timeline import uniform_grid
from cotasks.sample.drawn import GRID, HEIGHT, LOCALIZATION, WIDTH, drawn_stories, write_annotation
from cotasks.sample.film import Clip as Film
from cotasks.sample.film import draw
from cotasks.sample.stories import Story
from cotasks.steps.table import MOMENTS, STEP_NUMBERS, STEPS
from cotasks.training.collator import TrainingCollator
from cotasks.training.examples import examples_of, instructions
from cotasks.training.scripts import answer_loss, run_main
from cotasks.training.turns import IGNORED

FAMILY = FAMILIES["qwen2_5_vl"]
VALIDATION_SEED, TEST_SEED = 1, 2
TEST_CLIPS = 200
CONDITIONS = ("baseline", "cotasks", "blind", "blind-cotasks")
TOLD = {
    "baseline": "none",
    "predicted": "the model's own",
    "cotasks": "the record's own",
    "blind": "none, no video",
    "blind-cotasks": "the record's own, no video",
}
"""Condition -> its row of the README's table."""

CLIPS_AT_ONCE = 40
"""Drawn together; each of their questions is met twice in each of the parts of a step."""
ROWS = 24
"""Questions of a step; a part takes so many of them or fewer."""


@dataclass(frozen=True)
class Part:
    """One of the batches of a step."""

    tasks: Mapping[str, int]
    """Task of `cotasks.instructions` -> weight; one is drawn a batch, so that its rows are about equally long."""
    rows: int


_PLAIN = Part({"baseline": 11, "blind": 1}, ROWS)
_STEPS = Part(dict(zip(STEP_NUMBERS, (1, 2, 1, 3), strict=True)), 8)
PHASES = (
    (0.17, (Part({"blind-cotasks-4": 3, "blind-cotasks-34": 1}, ROWS), _PLAIN)),
    (
        0.23,
        (
            Part({"cotasks-4": 2, "cotasks-34": 2, "cotasks-1": 1, "cotasks-3": 1, "blind-cotasks": 1}, 16),
            _PLAIN,
            _STEPS,
        ),
    ),
    (
        1.0,
        (
            Part(
                {"cotasks": 5, "cotasks-4": 2, "cotasks-34": 2, "blind-cotasks": 1}
                | {f"cotasks-{steps}": 1 for steps in ("1", "2", "3", "12", "123", "234")},
                12,
            ),
            _PLAIN,
            _STEPS,
        ),
    ),
)
"""(share of all steps that are done when it ends, what a step holds). It soonest learns to look things up in short
contexts without video; the steps, and long contexts, then take a fraction of the time."""


def records_of(stories: Sequence[Story], split: str) -> list[Record]:
    """The records that `cotasks build nextqa_oe --num-frames 4` makes of drawn clips, made by the same code."""
    with tempfile.TemporaryDirectory() as folder:
        write_annotation(Path(folder), stories, split)
        told = str(Path(folder) / LOCALIZATION)
        plan = plan_split(BuildOptions("nextqa_oe", data_dir=folder, num_frames=GRID, localization=told), split)
        built = [item for task in plan.tasks for item in build_video(task, plan.lookups)]
    return [item.record for item in built if isinstance(item, Built)]


# --- the model -------------------------------------------------------------------------------------------------

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEMPLATE = """
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}
{%- else %}{{ '<|vision_start|><|' + part.type + '_pad|><|vision_end|>' }}
{%- endif %}
{%- endfor %}{{ '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""
"""Qwen2.5-VL's format, without its system turn."""


def fixed_phrases() -> list[str]:
    """What stands in every prompt, what joins numbers in the steps, and the numbers: each becomes one token."""
    asked = [step.request.replace("{moments}", MOMENTS["seconds"]) for step in STEPS.values()]
    requests = [part for words in asked for part in re.split(r"\{\w+\}", words)]
    phrases = [
        "Notes on the video, for use as evidence. Times are in seconds from its start.",
        " Boxes are [x1, y1, x2, y2] in pixels of a frame ",
        "Times are in seconds from the start of the video.",
        ANSWER_STYLES[PHRASE],
        *(step.title for step in STEPS.values()),
        *requests,
        *(
            "Question: ",
            "Frames: ",
            "Entities: ",
            "assistant\n",
            "user\n",
            "in pixels of a frame ",
            " wide and ",
            " high",
        ),
        *(", ", "; ", "s [", "]; ", "): ", "s to ", "0.0", "1.2", "2.5", "3.8"),
        *map(str, range(10, WIDTH + 1)),
    ]
    return [phrase for phrase in dict.fromkeys(phrases) if len(phrase) > 1]


def build_processor() -> Any:
    """Qwen2.5-VL's processor, its frames as small as those of the drawn world, its tokenizer trained on that world."""
    import transformers

    stories = drawn_stories(300, 0, "train")
    texts = [text for story in stories for asked in story.asked for text in (asked.question, asked.answer)]
    for record in records_of(stories[:100], "train"):
        for row in examples_of(instructions(record, ("chain",), family=FAMILY.name)):
            texts += [re.sub("[0-9]", "", message["content"][-1]["text"]) for message in row["messages"]]
    tokenizer = transformers.Qwen2Tokenizer().train_new_from_iterator(texts, vocab_size=640, show_progress=False)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    tokenizer.add_tokens([transformers.AddedToken(text, normalized=False) for text in fixed_phrases()])
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    size = {"shortest_edge": 28 * 28, "longest_edge": WIDTH * HEIGHT}
    return transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(patch_size=14, size=size),
        video_processor=transformers.Qwen2VLVideoProcessor(patch_size=14, size=size),
        tokenizer=tokenizer,
        chat_template=TEMPLATE.strip(),
    )


def build_model(processor: Any) -> Any:
    """A Qwen2.5-VL of about a million parameters, its weights drawn from torch's random state."""
    import transformers

    tokenizer = processor.tokenizer
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    hidden, start = 128, {"initializer_range": 0.06}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": hidden,
            "intermediate_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **start,
        },
        vision_config={
            "depth": 2,
            "num_heads": 4,
            "hidden_size": 64,
            "intermediate_size": 128,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": [0, 1],
            **start,
        },
        tie_word_embeddings=True,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()},
    )
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


# --- what it learns from ---------------------------------------------------------------------------------------


class Steps(IterableDataset[Any]):
    """What each step learns from: a batch of every part, with its task; the clips are drawn on the way."""

    def __init__(self, collator: TrainingCollator, steps: int, seed: int) -> None:
        self.collator, self.steps, self.seed = collator, steps, seed

    def __iter__(self) -> Iterator[list[tuple[str, dict[str, torch.Tensor]]]]:
        torch.set_num_threads(1)
        random = np.random.default_rng(self.seed)
        drawing = 0
        records: list[Record] = []
        for step in range(self.steps):
            if len(records) < ROWS:
                stories = drawn_stories(CLIPS_AT_ONCE, drawing, "train")
                drawing += 1
                frames = {story.clip.video_id: shown_frames(story.clip, random) for story in stories}
                found = records_of(stories, "train")
                records = [found[i] for _ in range(2) for i in random.permutation(len(found))]
            taken, records = records[:ROWS], records[ROWS:]
            parts = next(parts for end, parts in PHASES if step < end * self.steps)
            yield [self._batch(part, taken, frames, random) for part in parts]

    def _batch(
        self, part: Part, records: list[Record], frames: dict[str, NDArray[np.uint8]], random: np.random.Generator
    ) -> tuple[str, dict[str, torch.Tensor]]:
        weights = np.array(list(part.tasks.values()), float)
        task = list(part.tasks)[int(random.choice(len(weights), p=weights / weights.sum()))]
        return task, batch_of(self.collator, records[: part.rows], task, frames)


def shown_frames(film: Film, random: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """The frames of a clip's grid, (GRID, HEIGHT, WIDTH, 3); with noise about as strong as what encoding does."""
    grid = uniform_grid(0, film.frames - 1, GRID)
    images = np.stack([draw(film, index) for index in grid]).astype(np.float32)
    if random is not None:
        images += random.normal(0, 4) + random.normal(0, 3, images.shape)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def batch_of(
    collator: TrainingCollator, records: Sequence[Record], task: str, frames: Mapping[str, NDArray[np.uint8]]
) -> dict[str, torch.Tensor]:
    """A batch of one task; records of which there is nothing to learn are passed over."""
    limits = limits_of(collator.processor, FAMILY)
    rows = []
    for record in records:
        for row in examples_of(instructions(record, (task,), family=FAMILY.name, limits=limits)):
            begin, count = row["clip_begin"], row["clip_frames"]
            indices = [index - begin for index in row["frames"]]
            clip = Clip(frames[record.video_id], indices, record.fps, count) if indices else None
            rows.append({**row, "clip": clip})
    return collator(rows)


class Held:
    """Validation clips, to be asked again and again."""

    def __init__(self, collator: TrainingCollator, clips: int) -> None:
        stories = drawn_stories(clips, VALIDATION_SEED, "validation")
        frames = {story.clip.video_id: shown_frames(story.clip) for story in stories}
        records = records_of(stories, "validation")
        self.batches = [
            (task, batch_of(collator, records[first : first + 32], task, frames))
            for task in (*CONDITIONS, *STEP_NUMBERS)
            for first in range(0, len(records), 32)
        ]

    @torch.no_grad()
    def right(self, model: Any) -> dict[str, float]:
        """Task -> percentage of texts that are the likeliest token by token, and so what greedy decoding gives."""
        model.eval()
        right, asked = Counter[str](), Counter[str]()
        for task, batch in self.batches:
            targets = batch["labels"][:, 1:]
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            likeliest = model(**inputs, use_cache=False).logits[:, :-1].argmax(-1)
            right[task] += int(((likeliest == targets) | (targets == IGNORED)).all(1).sum())
            asked[task] += len(targets)
        model.train()
        return {task: 100 * right[task] / asked[task] for task in asked}


# --- training and evaluation -----------------------------------------------------------------------------------


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warmup over 60 steps, then half a cosine down to a fiftieth. Steps count from 0."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / args.steps))
    return float(args.learning_rate * min(1, (step + 1) / 60) * (0.02 + 0.98 * cosine))


def train(args: argparse.Namespace) -> int:
    """Train and write the model; 0 when done."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    processor = build_processor()
    model = build_model(processor).train()
    repair(model, processor)
    weights = sum(weight.numel() for weight in model.parameters())
    print(f"{weights} weights, {len(processor.tokenizer)} tokens", flush=True)
    collator = TrainingCollator(processor, FAMILY)
    held = Held(collator, args.held_out) if args.held_out else None
    # drawn in another process, so that both cores have work; not forked, as torch has threads
    loader = DataLoader(
        Steps(collator, args.steps, args.seed),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="spawn",
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    began, spent = time.perf_counter(), time.process_time()
    losses: dict[str, list[float]] = {}
    for step, parts in enumerate(loader):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        for task, batch in parts:  # each counts the same, however many tokens it has
            loss, labels = answer_loss(model, batch)
            mean = loss / labels.clamp(min=1)
            (mean / len(parts)).backward()  # type: ignore[no-untyped-call]
            losses.setdefault(task, []).append(mean.item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % args.log_every == 0 or step + 1 == args.steps:
            shown = ", ".join(f"{task} {np.mean(of):.2f}" for task, of in sorted(losses.items()))
            print(f"step {step + 1} of {args.steps}, {time.perf_counter() - began:.0f} s: {shown}", flush=True)
            losses = {}
        if held and ((step + 1) % args.eval_every == 0 or step + 1 == args.steps):
            shown = ", ".join(f"{task} {value:.0f}%" for task, value in held.right(model).items())
            print(f"step {step + 1}, validation, right: {shown}", flush=True)
    print(f"{time.process_time() - spent:.0f} s of processor time, without drawing")
    model.config.dtype = torch.float16
    model.to(torch.float16).save_pretrained(args.out)
    processor.save_pretrained(args.out)
    print(f"model: {args.out}")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Ask the model about freshly drawn test clips and print the tables; 0 when every answer is there."""
    from cotasks.demo import run_toy
    from cotasks.report.markdown import main_tables
    from cotasks.step_scores.report import render, write_step_report
    from cotasks.tools.files import read_json

    paths, complete = run_toy(args.out, args.clips, TEST_SEED, args.model)
    _, steps = write_step_report([args.out / "predictions"])
    summary = read_json(paths.summary)
    print("\n\n".join([*main_tables(summary, "exact"), render(steps, main_only=True), readme_table(summary)]))
    return 0 if complete else 1


def readme_table(summary: Mapping[str, Any]) -> str:
    """The README's table of a run's `summary.json`."""
    parts = {"causal": "causal", "temporal": "temporal", "descriptive": "descriptive", "average": "all"}
    lines = [f"| steps in the prompt | {' | '.join(parts.values())} |", "|" + "---|" * (len(parts) + 1)]
    for condition, told in TOLD.items():
        means = {
            row["name"]: f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
            for row in summary["means"]
            if row["condition"] == condition and row["group"] == "nextqa" and row["level"] in ("category", "micro")
        }
        lines.append(f"| {told} (`{condition}`) | {' | '.join(means[part] for part in parts)} |")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    learn = commands.add_parser("train", help="train and write the model")
    learn.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    learn.add_argument("--steps", type=int, default=1800)
    learn.add_argument("--learning-rate", type=float, default=2.5e-3, help="at its peak (default: 0.0025)")
    learn.add_argument("--seed", type=int, default=0, help="of weights, choice of tasks, and noise (default: 0)")
    learn.add_argument("--threads", type=int, default=2, help="of torch; drawing has a process of its own (default: 2)")
    learn.add_argument("--held-out", type=int, default=30, help="validation clips; 0 for none (default: 30)")
    learn.add_argument("--log-every", type=int, default=20)
    learn.add_argument("--eval-every", type=int, default=100)
    learn.set_defaults(run=train)
    ask = commands.add_parser("evaluate", help="ask the model about freshly drawn test clips")
    ask.add_argument("--out", type=Path, required=True, help="folder to write clips, answers and report to")
    ask.add_argument("--model", default="toy", help="`toy`, or a folder that `train` wrote (default: toy)")
    ask.add_argument("--clips", type=int, default=TEST_CLIPS, help=f"(default: {TEST_CLIPS})")
    ask.set_defaults(run=evaluate)
    return parser.parse_args()


def main() -> int:
    """Run one of the two commands."""
    args = parse_arguments()
    return int(args.run(args))


if __name__ == "__main__":
    run_main(main)
