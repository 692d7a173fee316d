"""What a GPU gives: answers a minute and how busy it is kept, by each way of asking, and what a training step takes.

    python tests/benchmarks/gpu_speed.py [--videos 6] [--minutes 10] [--small]

Qwen2.5-VL-3B and Qwen3-VL-4B at full size with random weights in bfloat16, 64 frames of 640x360 out of videos of 44 s
(about those of NExT-QA), 8.8 questions a video under two conditions, answers of 16 tokens. One table, a row a way:

- one question at a time: read the frames, process, generate, as other harnesses do; for a minute at most;
- `generate` with nothing reused; with the vision tower run once a video; and with the language model, too, run over
  system text and video once a video;
- `generate` by vLLM in this machine, where vLLM and a backend of that name are installed, from a checkpoint written for
  it: loading left out, as everywhere;
- a step of training with LoRA of rank 16 on the language model, one example, gradient checkpointing: seconds, tokens.

The share of time that the GPU is busy is nvidia-smi's: time in which a kernel ran. "Alike" is the share of greedy
answers that are those of `generate` with nothing reused: batches of other shapes add up in another order, and with
random weights the likeliest tokens are nearly as likely as one another, so real weights would give a larger one. A row
that would not fit into the minutes is left out and named. Ends with exit code 1 where the GPU is busy under 90% with
everything reused.

--small tries the script itself out with the tiny models, also on a CPU, and holds to no bound.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import av  # noqa: E402
import datasets  # noqa: E402
import torch  # noqa: E402

from cotasks.generate import Batching, Loading, Sampling, generate  # noqa: E402
from cotasks.generate import run as generate_module  # noqa: E402
from cotasks.generate.prepare import Item, prepare_video  # noqa: E402
from cotasks.models import tiny  # noqa: E402
from cotasks.models.load import Model, load_model  # noqa: E402
from cotasks.models.tensors import collate_for_generation  # noqa: E402
from cotasks.prompts.condition import parse_condition  # noqa: E402
from cotasks.records.dataset import Records, load_records  # noqa: E402
from cotasks.runs.costs import read_costs  # noqa: E402
from cotasks.runs.folder import Key, read_folder, read_generations  # noqa: E402
from cotasks.training.collator import TrainingCollator  # noqa: E402
from cotasks.training.examples import instructions  # noqa: E402
from cotasks.training.scripts import answer_loss  # noqa: E402
from tests.synthetic import FPS, make_record, picture, write_folder  # noqa: E402

CONDITIONS = [parse_condition(name) for name in ("baseline", "cotasks")]
WIDTH, HEIGHT, SECONDS, FRAMES, TOKENS = 640, 360, 44, 64, 16
BUSY = 0.9
ALONE_SECONDS = 60
STEPS = 6
"""Of training; the first two warm up."""
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
ALONE, TRAINING, VLLM = "one question at a time", "training with LoRA", "generate --backend vllm"
NOTHING = "generate, nothing reused"
WAYS = {
    NOTHING: Batching(vision_reuse=False, prefix_reuse=False),
    "generate, video seen once": Batching(prefix_reuse=False),
    "generate, video seen and read once": Batching(),
}


@dataclass(frozen=True)
class Full:
    """A published model by its own config.json and preprocessor configuration; the tokenizer is the tiny model's, whose
    prompts are longer."""

    name: str
    family: str
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    rope: Mapping[str, Any]
    patch: int
    pixels: Mapping[str, int]
    """Limits of the video processor."""


FULL = (
    Full(
        "Qwen2.5-VL-3B",
        "qwen2_5_vl",
        text={
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128_000,
        },
        vision={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "window_size": 112,
            "tokens_per_second": 2,
        },
        rope={"mrope_section": [16, 24, 24]},
        patch=14,
        pixels={"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28},
    ),
    Full(
        "Qwen3-VL-4B",
        "qwen3_vl",
        text={
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 262_144,
        },
        vision={
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "out_hidden_size": 2560,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        rope={"mrope_section": [24, 20, 20], "rope_theta": 5e6},
        patch=16,
        pixels={"shortest_edge": 4096, "longest_edge": 25_165_824},
    ),
)
VOCABULARY = 151_936
HAS_VLLM = find_spec("vllm") is not None and torch.cuda.is_available()


@dataclass(frozen=True)
class Row:
    """Of the table."""

    model: str
    way: str
    answers: int = 0
    seconds: float = 0.0
    busy: float | None = None
    memory: float = 0.0
    """GiB of the GPU, at most."""
    alike: float | None = None
    note: str = ""

    def __str__(self) -> str:
        rate = f"{60 * self.answers / self.seconds:.0f}" if self.answers else ""
        busy = "" if self.busy is None else f"{self.busy:.0%}"
        alike = "" if self.alike is None else f"{self.alike:.0%}"
        memory = f"{self.memory:.0f}" if self.memory else ""
        return f"{self.model:14} {self.way:36} {rate:>8} {busy:>6} {memory:>8} {alike:>6}  {self.note}"


HEAD = f"{'model':14} {'way':36} {'a minute':>8} {'busy':>6} {'GiB':>8} {'alike':>6}"


def build_full(full: Full, device: str = "cuda") -> tuple[Any, Any]:
    """In place of `cotasks.models.tiny.build_tiny`: the same classes at full size, in bfloat16."""
    small, processor = build_small(full.family)
    config = small.config
    text, vision = config.text_config, config.vision_config
    shared = {"vocab_size": VOCABULARY, "tie_word_embeddings": True, "initializer_range": 0.02}
    for part, changes in ((text, {**full.text, **shared}), (vision, {**full.vision, "initializer_range": 0.02})):
        for name, value in changes.items():
            setattr(part, name, value)
    text.rope_parameters = {**text.rope_parameters, **full.rope}
    if getattr(text, "layer_types", None):
        text.layer_types = ["full_attention"] * text.num_hidden_layers
    config.tie_word_embeddings = True
    processor.video_processor = type(processor.video_processor)(patch_size=full.patch, size=dict(full.pixels))
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return type(small)(config).eval(), processor
    finally:
        torch.set_default_dtype(kept)


build_small = tiny.build_tiny


def world(folder: Path, videos: int, small: bool) -> Records:
    """One video under so many names, as each is decoded anew, and 8.8 questions about each."""
    (folder / "videos").mkdir(parents=True)
    count = (4 if small else SECONDS) * FPS
    first = folder / "videos" / "v0.mp4"
    with av.open(str(first), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, WIDTH, HEIGHT), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for number in range(1, videos):
        shutil.copy(first, folder / "videos" / f"v{number}.mp4")
    frames = 8 if small else FRAMES
    rows = [
        make_record(f"v{v}", q, num_frames=frames, frame_count=count, width=WIDTH, height=HEIGHT)
        for v in range(videos)
        for q in range(8 if v % 5 == 0 else 9)
    ]
    return load_records(str(write_folder(folder / "data", rows)))


@contextmanager
def busy() -> Iterator[list[float]]:
    """Shares of time that the GPU was busy, a number for each half second; none where there is no nvidia-smi."""
    shares: list[float] = []
    if not torch.cuda.is_available() or shutil.which("nvidia-smi") is None:
        yield shares
        return
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "500", "-i", "0"]
    with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield shares
        finally:
            process.terminate()
            assert process.stdout is not None
            shares += [int(line) / 100 for line in process.stdout.read().split() if line.isdigit()]


def measured(call: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What a call gives, and {seconds, busy, memory} of a row."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    with busy() as shares:
        start = time.perf_counter()
        result = call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return result, {"seconds": seconds, "busy": statistics.mean(shares) if shares else None, "memory": memory}


def ask_alone(records: Records, model: Model, videos: Path) -> dict[Key, str]:
    """Answers of one question at a time, until `ALONE_SECONDS` have gone."""
    end = time.perf_counter() + ALONE_SECONDS
    answers = {}
    for record in records:
        for condition in CONDITIONS:
            if time.perf_counter() > end:
                return answers
            key = (record.id, condition.name, 0)
            (item,) = prepare_video([record], [condition], {key}, model, videos)
            assert isinstance(item, Item), item
            batch = collate_for_generation(model.processor, model.family, [item.prompt], [item.clip])
            batch = batch.to(model.model.device)
            with torch.inference_mode():
                output = model.model.generate(**batch, generation_config=model.generation_config(TOKENS))
            tokens = output[0, batch["input_ids"].shape[1] :]
            answers[key] = model.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return answers


def ask_by_generate(records: Records, folder: Path, name: str, batching: Batching) -> dict[Key, str]:
    """Answers of `generate` in a run folder of that name."""
    result = generate(
        records,
        CONDITIONS,
        "tiny",
        folder / name,
        videos=folder / "videos",
        sampling=Sampling(max_new_tokens=TOKENS),
        batching=batching,
        progress=False,
    )
    assert result.complete, result.failures
    return answers_of(folder / name)


def answers_of(run: Path) -> dict[Key, str]:
    return {key: row["answer"] for key, row in read_generations(run).items()}


def share_alike(some: Mapping[Key, str], others: Mapping[Key, str]) -> float:
    """Share of the answers of the one that the others hold too."""
    return statistics.mean(others[key] == answer for key, answer in some.items())


def train(model: Model, records: Records, videos: Path) -> tuple[float, int]:
    """(median seconds of a step, tokens of its example); the model has an adapter afterwards."""
    from peft import LoraConfig, get_peft_model

    collator = TrainingCollator(model.processor, model.family, videos)
    example = instructions(records.at(0), ("cotasks",), family=model.family.name, limits=model.limits)
    batch = collator([{name: column[0] for name, column in example.items()}])
    batch = {name: value.to(model.model.device) for name, value in batch.items()}
    model.model.gradient_checkpointing_enable({"use_reentrant": False})
    model.model.enable_input_require_grads()
    adapted = get_peft_model(model.model, LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS)).train()
    optimizer = torch.optim.AdamW([weight for weight in adapted.parameters() if weight.requires_grad], lr=1e-4)
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        loss, labels = answer_loss(adapted, batch)
        (loss / labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:]), batch["input_ids"].shape[1]


def ask_vllm(full: Full, folder: Path, plain: Mapping[Key, str]) -> Row:
    """The row of `--backend vllm`, by a process of its own, with what went wrong as its note."""
    checkpoint = folder / full.family
    run = folder / f"{full.family} vllm"
    command = [sys.executable, "-m", "cotasks", "generate", str(folder / "data"), "--model", str(checkpoint)]
    command += ["--backend", "vllm", "--run", str(run), "--videos", str(folder / "videos"), "--quiet"]
    command += ["--max-new-tokens", str(TOKENS), *(f"--condition={condition.name}" for condition in CONDITIONS)]
    with busy() as shares:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    costs = read_costs(run) if run.is_dir() else None
    if done.returncode or costs is None or not costs.answers:
        lines = done.stderr.strip().splitlines() or ["no answer"]
        return Row(full.name, VLLM, note=f"not run: {lines[-1]}")
    return Row(
        full.name,
        VLLM,
        costs.answers,
        costs.seconds,
        statistics.mean(shares) if shares else None,
        alike=share_alike(answers_of(run), plain),
        note="busy counts its loading",
    )


class Table:
    """Rows as they come, in the time there is."""

    def __init__(self, minutes: float) -> None:
        self.end = time.perf_counter() + 60 * minutes
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(row, flush=True)

    def has_room(self, model: str, way: str, seconds: float) -> bool:
        """Whether so many seconds are left; where not, says what is left out."""
        if time.perf_counter() + seconds < self.end:
            return True
        self.add(Row(model, way, note="left out: the minutes are up"))
        return False


def measure_here(full: Full, table: Table, records: Records, folder: Path, small: bool) -> dict[Key, str]:
    """The rows of a model in this process; gives its answers with nothing reused. Where vLLM is to be asked, its
    checkpoint is written."""
    tiny.build_tiny = partial(build_small, full.family) if small else partial(build_full, full)
    model: Model = load_model("tiny", Loading(dtype="float32" if small else "bfloat16"))
    generate_module.load_model = lambda *_: model
    weights = sum(weight.numel() for weight in model.model.parameters()) / 1e9
    print(f"{full.name}: {weights:.2f} billion weights in {model.model.dtype} on {model.model.device}", flush=True)

    first = load_records(str(folder / "data"), limit=1)
    plain: dict[Key, str] = {}
    last = 0.0
    for way, batching in WAYS.items():
        if way != NOTHING and not table.has_room(full.name, way, 1.2 * last):
            continue
        name = f"{full.family} {way}"
        ask_by_generate(first, folder, f"{name}, to warm up", batching)
        answers, figures = measured(partial(ask_by_generate, records, folder, name, batching))
        plain, last = plain or answers, figures["seconds"]
        tokens = statistics.mean(row["prompt_tokens"] for row in read_folder(folder / name / "generations"))
        note = f"{len(answers)} prompts of {tokens:.0f} tokens"
        table.add(Row(full.name, way, len(answers), alike=share_alike(answers, plain), note=note, **figures))
    if table.has_room(full.name, ALONE, 0 if small else ALONE_SECONDS):
        answers, figures = measured(partial(ask_alone, records, model, folder / "videos"))
        table.add(Row(full.name, ALONE, len(answers), alike=share_alike(answers, plain), **figures))
    if HAS_VLLM:
        model.model.save_pretrained(folder / full.family)
        model.processor.save_pretrained(folder / full.family)
    if table.has_room(full.name, TRAINING, 0 if small else 45):
        (seconds, tokens), figures = measured(partial(train, model, records, folder / "videos"))
        table.add(Row(full.name, TRAINING, note=f"{seconds:.2f} s a step of {tokens} tokens", **figures))
    generate_module.load_model = load_model
    return plain


def measure(full: Full, table: Table, records: Records, folder: Path, small: bool) -> None:
    """All rows of a model."""
    if not table.has_room(full.name, "everything", 0 if small else 90):
        return
    plain = measure_here(full, table, records, folder, small)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if not HAS_VLLM:
        table.add(Row(full.name, VLLM, note="not run: no vLLM here, or no GPU"))
    elif table.has_room(full.name, VLLM, 120):
        table.add(ask_vllm(full, folder, plain))
    shutil.rmtree(folder / full.family, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    if not given.small and not torch.cuda.is_available():
        print("no GPU here; --small tries the script out")
        return 1
    table = Table(float("inf") if given.small else given.minutes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datasets.config.HF_DATASETS_CACHE = str(folder / "cache")
        records = world(folder, given.videos, given.small)
        for full in FULL:
            measure(full, table, records, folder, given.small)
    print("", HEAD, *table.rows, sep="\n")
    kept_busy = [row.busy or 0.0 for row in table.rows if row.way == list(WAYS)[-1] and row.answers]
    return 0 if given.small or (kept_busy and min(kept_busy) > BUSY) else 1


if __name__ == "__main__":
    sys.exit(main())
