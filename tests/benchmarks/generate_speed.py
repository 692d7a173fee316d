"""How fast answers are generated, and what resuming and a long run cost.

    python tests/benchmarks/generate_speed.py [loop] [peer] [resume] [memory]

With the tiny model on a CPU, over videos that it writes; all four parts unless some are named:

loop    from tokens, our loop (batching, padding, generate, writing) against bare `model.generate` on the same ready
        batches, one after the other in each round: at most 1.05 times the processor time (medians)
peer    8.8 questions a video under two conditions, from video files to written answers, against one question at a time
        (read the frames, process, generate): at least 3 times as fast, with the parts of both
resume  starting on a folder of 100,000 answers against starting on an empty one: less than 2 s more
memory  5,000 questions: resident memory grows by less than 5% from the first thousand to the last

Ends with exit code 1 where a bound is missed.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import datasets  # noqa: E402
import torch  # noqa: E402

from cotasks.generate import prepare  # noqa: E402
from cotasks.generate import run as generate_module  # noqa: E402
from cotasks.generate.local import ask, encode, vision  # noqa: E402
from cotasks.generate.local.ask import LocalAsking  # noqa: E402
from cotasks.generate.local.batching import Capacity, Window  # noqa: E402
from cotasks.generate.local.encode import Encoded, Encoder  # noqa: E402
from cotasks.generate.local.vision import Reuse, model_inputs  # noqa: E402
from cotasks.generate.prepare import Item  # noqa: E402
from cotasks.generate.processes import Processes  # noqa: E402
from cotasks.generate.run import generate  # noqa: E402
from cotasks.generate.sampling import Sampling  # noqa: E402
from cotasks.models.load import Model, load_model  # noqa: E402
from cotasks.models.tensors import collate_for_generation  # noqa: E402
from cotasks.prompts.condition import parse_condition  # noqa: E402
from cotasks.records.dataset import Records, load_records  # noqa: E402
from cotasks.runs.folder import Appender, read_generations  # noqa: E402
from cotasks.tools.files import dump_jsonl  # noqa: E402
from tests.synthetic import make_record, write_folder, write_video  # noqa: E402

CONDITIONS = ["baseline", "cotasks"]
PLAIN, VISION, ALL = Reuse(False, False), Reuse(True, False), Reuse(True, True)
TOKENS = 32
FRAMES, VIDEO_FRAMES = 32, 750
load = cache(load_model)


def world(folder: Path, videos: int, questions: Callable[[int], int]) -> Records:
    """Videos of 30 s, and so many questions about each."""
    (folder / "videos").mkdir(parents=True)
    for i in range(videos):
        write_video(folder / "videos" / f"v{i}.mp4", VIDEO_FRAMES)
    rows = [
        make_record(f"v{i}", q, num_frames=FRAMES, frame_count=VIDEO_FRAMES)
        for i in range(videos)
        for q in range(questions(i))
    ]
    return load_records(str(write_folder(folder / "data", rows)))


def asking(records: Records, folder: Path | None, model: Model, reuse: Reuse) -> LocalAsking:
    conditions = [parse_condition(name) for name in CONDITIONS]
    pending = {(i, c.name, 0) for i in records.ids for c in conditions}
    return LocalAsking(
        records=records,
        conditions=conditions,
        pending=pending,
        video_folder=folder,
        sampling=Sampling(max_new_tokens=TOKENS),
        workers=1,
        model=model,
        capacity=Capacity(16_384, 64, TOKENS),
        reuse=reuse,
    )


def encoded(what: LocalAsking) -> list[Encoded]:
    """All prompts, ready."""
    encoder, rows = Encoder(what.model, TOKENS), []
    records = [what.records.at(i) for i in range(len(what.records))]
    for video_id in dict.fromkeys(what.records.video_ids):
        of_video = [record for record in records if record.video_id == video_id]
        items = list(prepare.prepare_video(of_video, what.conditions, what.pending, encoder.model, what.video_folder))
        rows += list(encoder.encode([item for item in items if isinstance(item, Item)]))
    assert all(isinstance(row, Encoded) for row in rows)
    return rows  # type: ignore[return-value]


def loop_part(folder: Path, rounds: int = 7) -> bool:
    records = world(folder, 3, lambda i: 6)
    model = load("tiny")
    what = asking(records, folder / "videos", model, PLAIN)
    rows = encoded(what)

    def batches(reuse: Reuse) -> Iterator[list[Encoded]]:
        window = Window(model, what.capacity, reuse)
        for start in range(0, len(rows), 12):  # the prompts of one video at a time
            window.add(rows[start : start + 12])
            yield from window.batches()
        yield from window.batches(last=True)

    def loop(reuse: Reuse, seen: bool) -> float:
        what.reuse = reuse
        for row in rows:
            if row.video:
                row.video.prefixes.clear()
                row.video.features = row.video.features if seen else None
        start = time.process_time()
        with Appender(folder / "answers.jsonl") as file:
            for batch in batches(reuse):
                for row in ask._run(what, batch)[0]:
                    file.append(row)
        return time.process_time() - start

    def bare(ready: list[dict[str, Any]]) -> float:
        start = time.process_time()
        with torch.inference_mode():
            for inputs in ready:
                model.model.generate(**inputs, generation_config=model.generation_config(TOKENS))
        return time.process_time() - start

    plain = [model_inputs(model, batch, PLAIN)[0] for batch in batches(PLAIN)]
    with torch.inference_mode():
        seen = [model_inputs(model, batch, VISION)[0] for batch in batches(VISION)]
    bare(seen), loop(VISION, True)
    times = [(bare(seen), loop(VISION, True), bare(plain), loop(ALL, False)) for _ in range(rounds)]
    bare_seen, loop_seen, bare_plain, loop_all = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"loop: {len(rows)} prompts in {len(seen)} batches, processor time, medians of {rounds}")
    print(f"  the vision tower's output at hand: generate {bare_seen:.2f} s, loop {loop_seen:.2f} s")
    print(f"  {loop_seen / bare_seen:.3f} times as long (at most 1.05)")
    print(f"  from pixels: generate {bare_plain:.2f} s, loop with all that it reuses {loop_all:.2f} s")
    print(f"  {loop_all / bare_plain:.3f} times as long")
    return loop_seen / bare_seen <= 1.05


@contextmanager
def parts() -> Iterator[dict[str, float]]:
    """Seconds spent in each part, in whatever thread; the parts do not overlap within a thread."""
    spent: dict[str, float] = defaultdict(float)
    base = type(load("tiny").model.base_model)
    whole = type(load("tiny").model)
    kept = [
        (prepare, "read_frames", "decode"),
        (encode, "collate_for_generation", "process"),
        (sys.modules[__name__], "collate_for_generation", "process"),
        (base, "get_video_features", "vision"),
        (ask, "model_inputs", "language"),
        (whole, "generate", "language"),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in kept]

    def timed(function: Any, part: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            start, before = time.perf_counter(), spent["vision"]
            try:
                return function(*args, **kwargs)
            finally:
                within = spent["vision"] - before if part == "language" else 0.0
                spent[part] += time.perf_counter() - start - within

        if hasattr(function, "__wrapped__") or part == "vision":
            call.__signature__ = vision.inspect.signature(function)  # type: ignore[attr-defined]
        return call

    for owner, name, part in kept:
        setattr(owner, name, timed(getattr(owner, name), part))
    try:
        yield spent
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


def peer_part(folder: Path) -> bool:
    records = world(folder, 5, lambda i: 8 if i == 0 else 9)
    model = load("tiny")
    conditions = [parse_condition(name) for name in CONDITIONS]

    with parts() as one_by_one:
        start = time.perf_counter()
        answers = {}
        for record in records:
            for condition in conditions:
                key = (record.id, condition.name, 0)
                (item,) = prepare.prepare_video([record], [condition], {key}, model, folder / "videos")
                assert isinstance(item, Item)
                batch = collate_for_generation(model.processor, model.family, [item.prompt], [item.clip])
                with torch.inference_mode():
                    output = model.model.generate(**batch, generation_config=model.generation_config(TOKENS))
                tokens = output[0, batch["input_ids"].shape[1] :]
                answers[key] = model.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        slow = time.perf_counter() - start

    with parts() as together:
        start = time.perf_counter()
        result = generate(
            records,
            conditions,
            "tiny",
            folder / "run",
            videos=folder / "videos",
            sampling=Sampling(max_new_tokens=TOKENS),
        )
        fast = time.perf_counter() - start
    found = {key: row["answer"] for key, row in read_generations(folder / "run").items()}
    same = sum(found[key] == answer for key, answer in answers.items())
    print(f"peer: {len(records)} questions about 5 videos, {result.total} prompts; {same} of them answered alike")
    for name, seconds, spent in (("one question at a time", slow, one_by_one), ("cotasks generate", fast, together)):
        listed = ", ".join(f"{part} {spent[part]:.2f} s" for part in ("decode", "process", "vision", "language"))
        print(f"  {name}: {seconds:.2f} s ({listed})")
    print(f"  {slow / fast:.1f} times as fast (at least 3); decode and process run beside the model")
    return slow / fast >= 3 and same == result.total


def resume_part(folder: Path) -> bool:
    names = ["baseline", "cotasks", *(f"baseline:frames={n}" for n in range(1, 9))]
    rows = [make_record(f"v{i // 9}", i % 9, num_frames=8) for i in range(10_000)]
    records = load_records(str(write_folder(folder / "data", rows)))
    conditions = [parse_condition(name) for name in names]
    (folder / "videos").mkdir()
    load("tiny")

    def begin(run: Path) -> float:
        """Seconds until the first question would be asked."""
        start = time.perf_counter()
        generate(
            records,
            conditions,
            "tiny",
            run,
            videos=folder / "videos",
            sampling=Sampling(max_new_tokens=4),
            progress=False,
        )
        return time.perf_counter() - start

    kept, generate_module._write_answers = generate_module._write_answers, lambda *_: None
    try:
        empty = [begin(folder / f"empty{i}") for i in range(3)]
        begin(folder / "full")
        lines = (
            {"id": i, "condition": c.name, "sample": 0, "answer": "to play with the dog", "prompt_tokens": 1200}
            | {"answer_tokens": 6, "finish_reason": "stop", "cut_items": 0, "video_id": i.split("/")[2]}
            for i in records.ids[:-9]
            for c in conditions
        )
        (folder / "full" / "generations").mkdir(exist_ok=True)
        dump_jsonl(folder / "full" / "generations" / Processes().shard, lines)
        full = [begin(folder / "full") for _ in range(3)]
    finally:
        generate_module._write_answers = kept
    more = statistics.median(full) - statistics.median(empty)
    print(f"resume: empty folder {statistics.median(empty):.2f} s, 99,910 answers {statistics.median(full):.2f} s")
    print(f"  {more:.2f} s more (less than 2)")
    return more < 2


def memory_part(folder: Path) -> bool:
    (folder / "videos").mkdir(parents=True)
    write_video(folder / "videos" / "v.mp4")
    rows = [make_record(f"v{i // 9}", i % 9, num_frames=4, video_path="v.mp4") for i in range(5000)]
    records = load_records(str(write_folder(folder / "data", rows)))
    used: list[float] = []
    append = Appender.append

    def counted(self: Appender, row: Any) -> None:
        append(self, row)
        counted.rows += 1  # type: ignore[attr-defined]
        if counted.rows % 500 == 0:  # type: ignore[attr-defined]
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            used.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    counted.rows = 0  # type: ignore[attr-defined]
    Appender.append = counted  # type: ignore[method-assign]
    start = time.perf_counter()
    try:
        conditions = [parse_condition("baseline")]
        run = folder / "run"
        generate(
            records,
            conditions,
            "tiny",
            run,
            videos=folder / "videos",
            sampling=Sampling(max_new_tokens=4),
            progress=False,
        )
    finally:
        Appender.append = append  # type: ignore[method-assign]
    growth = max(used[-2:]) / max(used[:2]) - 1
    listed = " ".join(f"{megabytes:.0f}" for megabytes in used)
    print(f"memory: 5000 questions in {time.perf_counter() - start:.0f} s; MB after each 500: {listed}")
    print(f"  {growth:+.1%} from the first thousand to the last (less than 5%)")
    return growth < 0.05


def main() -> int:
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    generate_module.load_model = load
    known = {"loop": loop_part, "peer": peer_part, "resume": resume_part, "memory": memory_part}
    good = True
    for name in sys.argv[1:] or known:
        with tempfile.TemporaryDirectory() as folder:
            datasets.config.HF_DATASETS_CACHE = f"{folder}/cache"
            good &= known[name](Path(folder))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
