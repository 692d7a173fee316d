"""Collating for training against the bare processor call on the same frames and the same text.

    python -m tests.benchmarks.collate_speed [--frames 64] [--rows 2] [--rounds 5]

Both get frames that are in memory already; the collator renders the template turn by turn, finds labels, and pads. The
processor has Qwen2.5-VL's own video settings and a tiny tokenizer, so text costs about what it does in earnest; frames
are those of a 640x480 video. The aim is at most 1.1 times the bare call.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from cotasks.models.families import FAMILIES, limits_of
from cotasks.models.tensors import Clip, run_processor
from cotasks.models.tiny import build_tiny
from cotasks.training.collator import TrainingCollator, _plain
from cotasks.training.examples import examples_of, instructions
from cotasks.training.turns import render_chat
from tests.synthetic import make_record


def full_size_processor() -> Any:
    """Qwen2.5-VL's processor with its published video settings."""
    import transformers

    tiny = build_tiny("qwen2_5_vl")[1]
    return transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(),
        video_processor=transformers.Qwen2VLVideoProcessor(),
        tokenizer=tiny.tokenizer,
        chat_template=tiny.chat_template,
    )


def rows_of(processor: Any, count: int, frames: int, tasks: tuple[str, ...]) -> list[dict[str, Any]]:
    """Examples of a 640x480 video of 1,000 frames, with noise for frames."""
    family = FAMILIES["qwen2_5_vl"]
    record = make_record("a", 0, num_frames=frames, frame_count=1000, width=640, height=480)
    rows = list(examples_of(instructions(record, tasks, limits=limits_of(processor, family))))
    generator = np.random.default_rng(0)
    for row in rows:
        pixels = generator.integers(0, 256, (frames, row["height"], row["width"], 3), dtype=np.uint8)
        row["clip"] = Clip(pixels, row["frames"], row["fps"], row["clip_frames"])
    return [rows[i % len(rows)] for i in range(count)]


Seconds = list[tuple[float, float]]
"""(on the wall, of the processor) of each call."""


def alternate(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> tuple[Seconds, Seconds]:
    """Seconds of each call, taken in turns so that both see the same machine."""
    seconds: tuple[Seconds, Seconds] = ([], [])
    for _ in range(rounds + 1):
        for times, call in zip(seconds, (first, second), strict=True):
            start = time.perf_counter(), time.process_time()
            call()
            times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return seconds[0][1:], seconds[1][1:]  # the first round warms up


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    processor, family = full_size_processor(), FAMILIES["qwen2_5_vl"]
    for tasks in (("cotasks",), ("chain",)):
        rows = rows_of(processor, args.rows, args.frames, tasks)
        plain = TrainingCollator(processor, family)
        messages = [[_plain(message) for message in row["messages"]] for row in rows]
        texts = [render_chat(processor, plain.format, chat)[0] for chat in messages]
        clips = [row["clip"] for row in rows]
        tokens = plain(rows)["input_ids"].shape
        short = TrainingCollator(processor, family, max_tokens=tokens[1] - 200, report=lambda event: None)
        height, width = clips[0].pixels.shape[1:3]
        print(f"{tasks[0]}: {len(rows)} rows, {args.frames} frames of {width}x{height}, {tokens[1]} tokens")
        bare_call = partial(run_processor, processor, family, texts, clips, "right")
        for name, collate in (("whole", plain), ("shortened to a budget", short)):
            bare, ours = alternate(bare_call, partial(collate, rows), args.rounds)
            for kind, what in enumerate(("wall", "processor")):
                ratio = median(b[kind] / a[kind] for a, b in zip(bare, ours, strict=True))
                middles = (median(times[kind] for times in some) for some in (bare, ours))
                print(
                    "  {}, {} time: bare {:.3f} s, collator {:.3f} s, {:.3f} times".format(name, what, *middles, ratio)
                )


if __name__ == "__main__":
    main()
