"""How many answers a minute a GPU gives, and how busy it is kept, with and without what is worked out once a video.

    python tests/benchmarks/gpu_speed.py [--videos 12] [--small]

Qwen2.5-VL-3B at full size with random weights in bfloat16, 64 frames of 640x360 out of videos of 44 s (about those of
NExT-QA), 8.8 questions a video under two conditions, answers of 16 tokens. The share of time that the GPU is busy is
nvidia-smi's: time in which a kernel ran. Ends with exit code 1 where that is under 90% with everything reused.

--small tries the script itself out with the tiny model, also on a CPU, and holds to no bound.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import av  # noqa: E402
import datasets  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from cotasks.generate import Batching, Loading, Sampling, generate  # noqa: E402
from cotasks.generate import run as generate_module  # noqa: E402
from cotasks.models import tiny  # noqa: E402
from cotasks.models.load import Model, load_model  # noqa: E402
from cotasks.prompts.condition import parse_condition  # noqa: E402
from cotasks.records.dataset import Records, load_records  # noqa: E402
from cotasks.runs.folder import read_folder  # noqa: E402
from tests.synthetic import FPS, make_record, picture, write_folder  # noqa: E402

CONDITIONS = ("baseline", "cotasks")
WIDTH, HEIGHT, SECONDS, FRAMES, TOKENS = 640, 360, 44, 64, 16
BUSY = 0.9
TEXT = {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128_000,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 2048,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "window_size": 112,
    "tokens_per_second": 2,
}
"""Both: config.json of Qwen/Qwen2.5-VL-3B-Instruct. The tokenizer is the tiny model's, whose prompts are longer."""
PIXELS = {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28}
"""preprocessor_config.json of the same, for a frame of a video."""


def build_full(*_: Any, device: str = "cuda") -> tuple[Any, Any]:
    """In place of `cotasks.models.tiny.build_tiny`: the same classes at full size."""
    small, processor = tiny_build()
    config = small.config
    text, vision = config.text_config, config.vision_config
    for part, changes in ((text, TEXT), (vision, VISION)):
        for name, value in changes.items():
            setattr(part, name, value)
    text.rope_parameters = {**text.rope_parameters, "mrope_section": [16, 24, 24]}
    text.layer_types, text.initializer_range, vision.initializer_range = ["full_attention"] * 36, 0.02, 0.02
    config.tie_word_embeddings = True
    processor.video_processor = transformers.Qwen2VLVideoProcessor(patch_size=14, size=PIXELS)
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return type(small)(config), processor
    finally:
        torch.set_default_dtype(kept)


tiny_build = tiny.build_tiny


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


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    if not given.small:
        if not torch.cuda.is_available():
            print("no GPU here; --small tries the script out")
            return 1
        tiny.build_tiny = build_full
    model: Model = load_model("tiny", Loading(dtype="float32" if given.small else "bfloat16"))
    generate_module.load_model = lambda *_: model
    weights = sum(weight.numel() for weight in model.model.parameters())
    print(f"{weights / 1e9:.2f} billion weights in {model.model.dtype} on {model.model.device}")
    conditions = [parse_condition(name) for name in CONDITIONS]
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datasets.config.HF_DATASETS_CACHE = str(folder / "cache")
        records = world(folder, given.videos, given.small)
        first = load_records(str(folder / "data"), limit=1)
        for vision, prefix, what in (
            (True, True, "video seen and read once"),
            (True, False, "video seen once"),
            (False, False, "nothing reused"),
        ):
            options: dict[str, Any] = {
                "videos": folder / "videos",
                "sampling": Sampling(max_new_tokens=TOKENS),
                "progress": False,
            }
            options["batching"] = Batching(vision_reuse=vision, prefix_reuse=prefix)
            generate(first, conditions[:1], "tiny", folder / f"warm {what}", **options)
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            with busy() as shares:
                start = time.perf_counter()
                result = generate(records, conditions, "tiny", folder / what, **options)
                seconds = time.perf_counter() - start
            assert result.complete, result.failures
            tokens = statistics.mean(row["prompt_tokens"] for row in read_folder(folder / what / "generations"))
            share = statistics.mean(shares) if shares else None
            memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
            print(
                f"{what}: {result.new} answers in {seconds:.1f} s, {60 * result.new / seconds:.0f} a minute, "
                f"prompts of {tokens:.0f} tokens, GPU busy {'?' if share is None else f'{share:.0%}'}, "
                f"{memory:.0f} GiB at most",
                flush=True,
            )
            good &= given.small or not prefix or (share is not None and share > BUSY)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
