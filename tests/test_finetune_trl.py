from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.finetune_runs import TINY, launch, losses, run_here

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("trl")

STEPS = 16
"""Steps in which the loss falls by half, from seed 0."""
SCRIPT = ["finetune_trl.py"]
OPTIONS = [
    *TINY,
    *("--task", "baseline", "--task", "cotasks", "--max-steps", str(STEPS), "--learning-rate", "1e-2"),
    *("--batch-size", "4", "--lora-rank", "32", "--lora-alpha", "64"),
    *("--save-every", "4", "--eval-every", "8", "--eval-split", "validation", "--eval-limit", "4"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run_here(SCRIPT, [*OPTIONS, "--frame-cache", str(out.parent / "frames")], out) == 0
    return out


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    out = tmp_path_factory.mktemp("short") / "out"
    few = ("--max-steps", "2", "--save-every", "1", "--eval-every", "2", "--frame-cache", str(out.parent / "frames"))
    assert run_here(SCRIPT, [*OPTIONS, *few], out) == 0
    return out


@pytest.mark.slow
def test_loss_falls_by_half(whole: Path) -> None:
    assert list((whole.parent / "frames").glob("*.npy"))
    curve = losses(whole)
    assert list(curve) == list(range(1, STEPS + 1))
    assert sum(curve[step] for step in (STEPS - 2, STEPS - 1, STEPS)) / 3 < curve[1] / 2
    assert list(losses(whole, "eval_loss")) == [8, 16]
    assert sorted(p.name for p in (whole / "checkpoints").glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-16"]


@pytest.mark.slow
def test_killed_and_resumed_it_follows_the_same_curve(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = launch(out, SCRIPT, OPTIONS, kill_after=7)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / "model").exists()
    (out / "checkpoints" / "checkpoint-15").mkdir(exist_ok=True)  # one that was being written
    assert run_here(SCRIPT, OPTIONS, out) == 0
    assert losses(out) == losses(whole)
    assert losses(out, "eval_loss") == losses(whole, "eval_loss")


def test_what_it_writes_is_a_model_for_generate(short: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from cotasks.generate import Sampling, generate
    from cotasks.models.tiny import save_tiny
    from cotasks.prompts.condition import parse_condition
    from cotasks.records.dataset import load_records

    save_tiny(tmp_path / "base")
    base = load_file(tmp_path / "base" / "model.safetensors")
    assert (list(losses(short)), list(losses(short, "eval_loss"))) == ([1, 2], [2])
    assert list((short.parent / "frames").glob("*.npy"))
    merged = load_file(short / "model" / "model.safetensors")
    assert set(base) == set(merged)
    changed = {name for name, weight in merged.items() if not torch.equal(weight, base[name])}
    layers = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert changed == {
        n for n in base if "visual" not in n and n.endswith(tuple(f"{layer}.weight" for layer in layers))
    }

    records = load_records("sample", "train", limit=2)
    condition = parse_condition("cotasks:frames=4")
    result = generate(
        records,
        [condition],
        str(short / "model"),
        tmp_path / "run",
        sampling=Sampling(max_new_tokens=8),
        progress=False,
    )
    assert result.complete


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--model", "no/model"), "error: model no/model: cannot be loaded"),
        (("--task", "step5"), "error: unknown task 'step5'"),
        (("--lora-rank", "0"), "error: --lora-rank is 0; expected 1 or more"),
        (("--frame-cache", __file__), "File exists; expected a folder to keep frames in"),
    ],
)
def test_wrong_input_is_one_line(
    change: tuple[str, str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_here(SCRIPT, [*OPTIONS, *change], tmp_path / "out") == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    assert words in line
