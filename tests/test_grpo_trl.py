from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cotasks.tools.files import read_jsonl
from tests.finetune_runs import launch, log, losses, run_here

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("trl")

SCRIPT = ["grpo_trl.py"]
STEPS = 6


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Step 1 of clips that the toy can see, which it has learned to write of videos and not of pictures."""
    pytest.importorskip("av")
    from cotasks.builders.publish.folder import build_folder
    from cotasks.builders.sources import BuildOptions
    from cotasks.sample.drawn import GRID, LOCALIZATION, write_drawn

    world, data = (tmp_path_factory.mktemp("grpo") / name for name in ("world", "data"))
    write_drawn(world, 8, 4001, "train")
    write_drawn(world, 4, 4001, "validation")
    told = str(world / LOCALIZATION)
    build_folder(BuildOptions("nextqa_oe", data_dir=str(world), num_frames=GRID, localization=told), data, SPLITS)
    return [
        *("--model", "toy", "--data", str(data), "--videos", str(world / "videos"), "--task", "frame_localization"),
        *("--no-frame-names", "--eval-split", "validation", "--generations", "8", "--batch-size", "32"),
        *("--max-steps", str(STEPS), "--learning-rate", "2e-3", "--max-new-tokens", "24", "--log-every", "1"),
        *("--save-every", "2", "--no-gradient-checkpointing"),
    ]


SPLITS = ["train", "validation"]


@pytest.fixture(scope="module")
def whole(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run_here(SCRIPT, options, out) == 0
    return out


@pytest.mark.slow
def test_the_reward_of_held_out_clips_rises(whole: Path) -> None:
    before, after = ([*read_jsonl(whole / f"held_out_{moment}.jsonl")] for moment in ("before", "after"))
    assert [row["id"] for row in before] == [row["id"] for row in after]
    assert len(before) == 20
    first, last = (sum(row["value"] for row in rows) / len(rows) for rows in (before, after))
    assert first + 0.05 < last <= 1
    steps = [row for row in log(whole) if "loss" in row]
    assert all(
        {"reward", "rewards/frames", "rewards/entities", "rewards/format", "rewards/length"} <= set(r) for r in steps
    )
    assert not any("rewards/answer" in row for row in steps)
    table = (whole / "held_out.md").read_text()
    assert f"| all, weighted | {100 * first:.1f} [" in table
    assert f"| {100 * last:.1f} [" in table
    assert table.endswith("| 20 | 4 |\n")
    assert (whole / "model" / "model.safetensors").exists()


@pytest.mark.slow
def test_killed_and_resumed_it_takes_the_same_steps(whole: Path, options: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = launch(out, SCRIPT, options, kill_after=3)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / "model").exists()
    assert run_here(SCRIPT, options, out) == 0
    for name in ("loss", "reward", "completions/mean_length"):
        assert losses(out, name) == losses(whole, name)
    for moment in ("before", "after"):
        assert (out / f"held_out_{moment}.jsonl").read_bytes() == (whole / f"held_out_{moment}.jsonl").read_bytes()


TINY = ["--model", "tiny", "--data", "sample", "--num-frames", "4", "--limit", "4"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("--task", "chain"), "error: task chain has several turns; expected one text"),
        (("--task", "baseline", "--task", "cotasks"), "error: --task baseline cotasks: expected one"),
        (("--task", "baseline", "--reward", "boxes"), "error: --reward boxes; expected NAME=WEIGHT"),
        (("--task", "baseline", "--generations", "3"), "error: TRL refuses these options"),
        (("--task", "baseline", "--rule", "guess"), "error: rule 'guess'; expected one of"),
    ],
)
def test_wrong_input_is_one_line(
    changes: tuple[str, ...], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_here(SCRIPT, [*TINY, *changes], tmp_path / "out") == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    assert words in line


@pytest.mark.parametrize(
    ("option", "words"),
    [("--vllm", "error: --vllm samples on the GPUs that train"), ("--log-to=wandb", "error: wandb is not installed")],
)
def test_what_is_not_here_is_said(
    option: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run_here(SCRIPT, [*TINY, "--task", "baseline", option], tmp_path / "out") == 2
    assert words in capfd.readouterr().err
