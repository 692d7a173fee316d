"""How fast a build is, against the floor and against what people write today, in one run.

    python tests/benchmarks/build_speed.py DATA_DIR VIDOR

DATA_DIR holds `nextqa/`; VIDOR is a folder of VidOR annotation, such as `make_vidor.py` writes. Measured over NExT-QA
open-ended validation, each in a process of its own, start-up included, the best of REPEATS runs, taken in turn:

- floor: `orjson.loads` over the annotation files of the videos that have questions;
- ours: `cotasks build` with one process, and with two;
- per-question script: `json.load` of the annotation for every question, boxes of the grid picked out; it does less
  than ours (no steps, no parquet). It takes about half a minute, so it runs once.

Prints the ratios, and peak memory. The build is to take at most 3 times the floor and a fifth of the script's time.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson

REPEATS = 3


def annotation_files(data_dir: Path, vidor: Path) -> dict[str, Path]:
    """Video id -> annotation file, for the videos that have questions."""
    with open(data_dir / "nextqa/oe/val.csv", encoding="utf-8") as file:
        wanted = {row["video"] for row in csv.DictReader(file)}
    return {path.stem: path for path in vidor.rglob("*.json") if path.stem in wanted}


def floor(data_dir: Path, vidor: Path) -> None:
    """Parse every file, keep nothing."""
    for path in annotation_files(data_dir, vidor).values():
        orjson.loads(path.read_bytes())


def script(data_dir: Path, vidor: Path) -> None:
    """One question after the other, as a notebook would do it."""
    files = annotation_files(data_dir, vidor)
    rows = []
    with open(data_dir / "nextqa/oe/val.csv", encoding="utf-8") as file:
        for question in csv.DictReader(file):
            if question["video"] not in files:
                continue
            with open(files[question["video"]], encoding="utf-8") as annotation:
                video = json.load(annotation)
            grid = np.unique(np.round(np.linspace(0, video["frame_count"] - 1, 64)).astype(int))
            rows.append(
                {**question, "boxes": [video["trajectories"][i] for i in grid if i < len(video["trajectories"])]}
            )
    print(len(rows), file=sys.stderr)


def build(data_dir: Path, vidor: Path, num_proc: int) -> None:
    """The real command."""
    from cotasks.cli import main

    with tempfile.TemporaryDirectory() as out:
        arguments = ["--data-dir", str(data_dir), "--vidor", str(vidor), "--split", "val", "--num-proc", str(num_proc)]
        assert main(["build", "nextqa_oe", "--out", out, *arguments]) == 0


JOBS = {
    "floor": floor,
    "ours": lambda data_dir, vidor: build(data_dir, vidor, 1),
    "ours, 2 processes": lambda data_dir, vidor: build(data_dir, vidor, 2),
    "per-question script": script,
}


def timed(job: str, data_dir: Path, vidor: Path) -> tuple[float, float]:
    """(seconds, peak MiB of the process and its children) of a job in a process of its own."""
    before = time.perf_counter()
    command = [sys.executable, __file__, str(data_dir), str(vidor), "--job", job]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - before, float(done.stdout.splitlines()[-1]) / 1024


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the build; see the module's text.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("vidor", type=Path)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        JOBS[arguments.job](arguments.data_dir, arguments.vidor)
        print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
        return
    best: dict[str, tuple[float, float]] = {}
    for repeat in range(REPEATS):
        for job in JOBS:
            if job == "per-question script" and repeat:
                continue
            best[job] = min(best.get(job, (float("inf"), 0.0)), timed(job, arguments.data_dir, arguments.vidor))
    for job, (seconds, mebibytes) in best.items():
        ratio = seconds / best["floor"][0]
        print(f"{job:20} {seconds:6.1f} s  {ratio:5.2f} times the floor  peak {mebibytes:5.0f} MiB a process")


if __name__ == "__main__":
    main()
