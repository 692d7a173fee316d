"""Run the fine-tuning examples as a user does, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
TINY = ["--model", "tiny", "--data", "sample", "--num-frames", "4", "--limit", "12", "--log-every", "1"]
SECONDS = 900


def launch(
    out: Path, command: Sequence[str], options: Sequence[str], kill_after: int = 0, kill: int = signal.SIGKILL
) -> subprocess.CompletedProcess[str]:
    """Run an example in `out`'s folder.

    Args:
        command: what comes before the options, such as `["finetune_trl.py"]`; a name of an example is made its path.
        kill_after: send `kill` once the log has so many lines; 0 for not at all.
    """
    words = [str(ROOT / "examples" / word) if word.endswith(".py") else word for word in command]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "HF_DATASETS_CACHE": str(out.parent / "cache"),
        "PYTHONWARNINGS": "ignore",
    }
    process = subprocess.Popen(
        [sys.executable, *words, *options, "--out", str(out)],
        env=environment,
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + SECONDS
    try:
        while kill_after and process.poll() is None and time.monotonic() < deadline:
            if len(losses(out)) >= kill_after:
                os.killpg(process.pid, kill)
                break
            time.sleep(0.02)
        stdout, stderr = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def run_here(command: Sequence[str], options: Sequence[str], out: Path) -> int:
    """Run an example in this process, which spares the imports, on one thread as `launch` does; its exit code."""
    import runpy

    import torch
    from accelerate.state import AcceleratorState, GradientState

    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = sys.argv, os.getcwd(), os.environ.get("ACCELERATE_USE_CPU")
    sys.argv = [command[0], *options, "--out", str(out)]
    os.chdir(out.parent)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    torch.set_num_threads(1)
    try:
        runpy.run_path(str(ROOT / "examples" / command[0]), run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    finally:
        torch.set_num_threads(threads)
        sys.argv = before[0]
        os.chdir(before[1])
        os.environ.pop("ACCELERATE_USE_CPU")
        if before[2] is not None:
            os.environ["ACCELERATE_USE_CPU"] = before[2]
        for number, handler in handlers.items():
            signal.signal(number, handler)
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    raise AssertionError("the example ended without an exit code")


def log(out: Path) -> list[dict[str, Any]]:
    """The rows of OUT/log.jsonl; a torn last line is left out."""
    path = out / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [orjson.loads(line) for line in lines if line.endswith(b"\n")]


def losses(out: Path, name: str = "loss") -> dict[int, float]:
    """Step -> loss."""
    return {row["step"]: row[name] for row in log(out) if name in row}
