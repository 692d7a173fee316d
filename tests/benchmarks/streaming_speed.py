"""Streaming shards against plain reading of videos: batches a second, and what decoding takes of a step.

    python -m tests.benchmarks.streaming_speed [--clips 16] [--frames 16] [--batches 24] [--workers 2]

The same records, the same collator and as many workers for both, in one run, in turns: plain reading decodes the drawn
clips' video files in shuffled order, without a cache of frames; the stream decodes the JPEG frames of its shards. Then,
in this process and without workers, how much of a batch each part takes, and of a training step of the tiny model.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from cotasks.models.families import FAMILIES, limits_of
from cotasks.models.tiny import build_tiny
from cotasks.records.dataset import Records, load_records
from cotasks.training.collator import TrainingCollator
from cotasks.training.examples import examples_of, instructions
from cotasks.training.loading import Order, loader_of
from cotasks.training.scripts import answer_loss
from cotasks.training.shards import write_shards
from cotasks.training.stored import decoded_frames
from cotasks.training.stream import Examples, Source, Stream
from tests.synthetic import make_record, write_folder, write_video

TASKS = ("cotasks",)


def world(folder: Path, clips: int, frames: int) -> Records:
    """Four questions about each of some videos of 300 frames."""
    (folder / "videos").mkdir()
    made = []
    for number in range(clips):
        write_video(folder / "videos" / f"v{number}.mp4", 300, gop=250, b_frames=2)
        made += [make_record(f"v{number}", n, num_frames=frames, frame_count=300) for n in range(4)]
    return load_records(str(write_folder(folder / "built", made, split="train")), "train")


def seconds_a_batch(batches: Iterator[Any], count: int) -> float:
    """Of so many batches after the first, which waits for the workers to begin."""
    next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return (time.perf_counter() - start) / count


def seconds_of(call: Callable[[], Any], times: int = 5) -> float:
    """The median of some calls."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    args.seed, args.accumulate = 0, 1

    family = FAMILIES["qwen2_5_vl"]
    model, processor = build_tiny("qwen2_5_vl")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        records = world(folder, args.clips, args.frames)
        start = time.perf_counter()
        written = write_shards(records, folder / "videos", folder / "shards", rows_a_shard=8)
        size = sum(path.stat().st_size for path in written.shards)
        seconds = time.perf_counter() - start
        what = f"{written.rows} rows of {args.frames} frames in {len(written.shards)} shards, {size / 1e6:.1f} MB"
        print(f"{what}, written in {seconds:.1f} s")

        options = {"family": family.name, "limits": limits_of(processor, family)}
        rows = records.rows.map(
            instructions,
            batched=True,
            remove_columns=records.rows.column_names,
            fn_kwargs={**options, "tasks": TASKS},
        )
        collator = TrainingCollator(processor, family, folder / "videos")
        source = Source(str(folder / "shards"), tasks=TASKS)

        def plain() -> Iterator[Any]:
            order = Order(len(rows), args, 0, 1, 0, args.batches + 1)
            return iter(loader_of(rows, order, collator, args.workers))

        def streamed(workers: int = args.workers) -> Iterator[Any]:
            return iter(Stream(source, Examples(options), collator, batch_size=args.batch_size, workers=workers))

        found: dict[str, list[float]] = {"plain": [], "streamed": []}
        for _ in range(args.rounds):  # in turns, so that both see the same machine
            found["plain"].append(seconds_a_batch(plain(), args.batches))
            found["streamed"].append(seconds_a_batch(streamed(), args.batches))
        for name, each in found.items():
            rate = args.batch_size / min(each)
            print(f"{name}: {rate:.1f} examples a second with {args.workers} workers (best of {args.rounds})")

        stream = Stream(source, Examples(options), list, batch_size=args.batch_size)
        batch = next(iter(stream))
        shown = [(one["images"], (one["width"], one["height"])) for one in batch]
        decode = seconds_of(lambda: [decoded_frames(*each) for each in shown])
        collate = seconds_of(lambda: collator(batch))
        named = [{name: value for name, value in one.items() if name != "images"} for one in batch]
        plainly = seconds_of(lambda: collator(named))
        texts = seconds_of(lambda: [*examples_of(instructions(records.at(0), TASKS, **options))])
        tensors = collator(batch)
        step = seconds_of(lambda: answer_loss(model, tensors)[0].backward(), 3)
        share = decode / (step + collate)
        print(
            f"a batch of {args.batch_size}, without workers: frames decoded in {1000 * decode:.0f} ms of "
            f"{1000 * collate:.0f} ms of collating, {1000 * plainly:.0f} ms where the video is decoded; text "
            f"{1000 * texts:.0f} ms an example; step of the tiny model {1000 * step:.0f} ms: decoding is "
            f"{100 * share:.0f}% of a step and its batch"
        )


if __name__ == "__main__":
    main()
