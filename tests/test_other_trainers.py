"""ms-swift and LLaMA-Factory take two steps on what is exported for them. Each has an environment of its own, whose
Python a variable names; without it, its test is skipped:

    uv venv swift && uv pip install --python swift/bin/python ms-swift qwen-vl-utils torchvision av
    COTASKS_MS_SWIFT_PYTHON=swift/bin/python COTASKS_LLAMA_FACTORY_PYTHON=... pytest tests/test_other_trainers.py
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotasks.models.families import FAMILIES
from cotasks.records.dataset import load_records
from cotasks.training.examples import examples_of, instructions
from cotasks.training.export import write_llama_factory, write_ms_swift
from cotasks.training.loaders import loader_limits
from tests.two_steps import STEPS

FAMILY = "qwen2_5_vl"
FRAMES = 4
SECONDS = 1800
DRIVER = Path(__file__).with_name("two_steps.py")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Qwen2.5-VL, whose processor takes pictures as large as the published one's."""
    pytest.importorskip("torch")
    from cotasks.models.tiny import build_tiny

    folder = tmp_path_factory.mktemp("tiny") / "Qwen2.5-VL-tiny"
    built, processor = build_tiny(FAMILY)
    for part in (processor.image_processor, processor.video_processor):
        part.size = {"shortest_edge": 56 * 56, "longest_edge": 12_845_056}
    built.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def sample(limits: Any) -> tuple[list[dict[str, Any]], Path]:
    """Examples of the embedded sample that speak of boxes in pixels, and the folder of its videos."""
    records = load_records("sample", "train", limit=STEPS)
    made = [instructions(record, ("cotasks",), family=FAMILY, num_frames=FRAMES, limits=limits) for record in records]
    folder = records.video_folder()
    assert folder is not None
    return [row for columns in made for row in examples_of(columns)], folder


def export_ms_swift(folder: Path) -> tuple[list[dict[str, Any]], Path]:
    rows, videos = sample(loader_limits(FAMILY))
    path = folder / "train.jsonl"
    assert write_ms_swift(rows, path, videos, frames=folder / "frames") == len(rows)
    return rows, path


def export_llama_factory(folder: Path) -> tuple[list[dict[str, Any]], Path]:
    rows, videos = sample(FAMILIES[FAMILY].limits)
    assert write_llama_factory(rows, folder, "cotasks", videos, frames=folder / "frames") == len(rows)
    return rows, folder


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(
    ("trainer", "variable", "export"),
    [
        ("ms-swift", "COTASKS_MS_SWIFT_PYTHON", export_ms_swift),
        ("llama-factory", "COTASKS_LLAMA_FACTORY_PYTHON", export_llama_factory),
    ],
)
def test_the_frames_that_reach_the_model_are_those_that_the_text_speaks_of(
    trainer: str,
    variable: str,
    export: Callable[[Path], tuple[list[dict[str, Any]], Path]],
    model: Path,
    tmp_path: Path,
) -> None:
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with {trainer}")
    rows, data = export(tmp_path / "data")
    words = [python, str(DRIVER), trainer, str(model), str(data), str(tmp_path)]
    hidden = {
        "PYTHONPATH": "",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "USE_HF": "1",
    }
    done = subprocess.run(words, env={**os.environ, **hidden}, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    seen = json.loads((tmp_path / "seen.json").read_text())
    print(seen)
    # a grid counts patches of 14 pixels, and pairs of frames
    spoken_of = [[FRAMES // 2, row["height"] // 14, row["width"] // 14] for row in rows]
    assert len(seen["grids"]) == STEPS
    assert all(len(call) == 1 and call[0] in spoken_of for call in seen["grids"])
    assert len(seen["losses"]) == STEPS
    assert all(0 < loss < 20 for loss in seen["losses"])
