"""How fast a build is, against the floor and against what people write today, in one run.

    python tests/benchmarks/build_speed.py DATA_DIR VIDOR

DATA_DIR holds `nextqa/`; VIDOR is a folder of VidOR annotation, such as `make_vidor.py` writes. Measured over NExT-QA
open-ended validation, each in a process of its own, the best of REPEATS runs, taken in turn:

- floor: `orjson.loads` over the annotation files of the videos that have questions;
- ours: `cotasks build` with one process, and with two;
- annotation stage: what of that reads the annotation and makes the rows (parse, assemble, Arrow), with one process
  and with two, from the start of the processes to the last row;
- per-question script: `json.load` of the annotation for every question, boxes of the grid picked out; it does less
  than ours (no steps, no parquet). It takes about half a minute, so it runs once.

Prints seconds (start-up included, but for the annotation stage), seconds of CPU of the process and its children, which
say more than the clock on a machine that others use, the ratio of the CPU to the floor's, and peak memory. The build is
to take at most twice the CPU of the floor and a fifth of the script's, in less than 1 GiB; the annotation stage on two
processes is to be at least 1.7 times as fast as on one. The build makes less of an annotation than the floor does: the
frames of the grid alone (`vidor_files.read_video`).
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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

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


def cpu_time() -> float:
    """Seconds that this process and its children that have ended were on a processor, user and system."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def stage(data_dir: Path, vidor: Path, num_proc: int) -> tuple[float, float]:
    """Seconds and seconds of CPU of the annotation stage."""
    from cotasks.builders.assemble import plan_splits
    from cotasks.builders.jobs import workers
    from cotasks.builders.sources import BuildOptions

    plans, _ = plan_splits(BuildOptions("nextqa_oe", data_dir=str(data_dir), vidor=(str(vidor),)), ["validation"])
    before, cpu_before = time.perf_counter(), cpu_time()
    with workers(plans, num_proc) as run:
        rows = sum(job.table.num_rows for job in run.jobs("validation") if job.table is not None)
        seconds = time.perf_counter() - before
    print(rows, file=sys.stderr)
    return seconds, cpu_time() - cpu_before


JOBS: dict[str, Callable[[Path, Path], tuple[float, float] | None]] = {
    "floor": floor,
    "ours": partial(build, num_proc=1),
    "ours, 2 processes": partial(build, num_proc=2),
    "annotation stage": partial(stage, num_proc=1),
    "annotation stage, 2 processes": partial(stage, num_proc=2),
    "per-question script": script,
}


class Figures(NamedTuple):
    """Of one run of a job; the best run is that with the least CPU."""

    cpu_seconds: float
    """User and system, of the process and its children."""
    seconds: float
    peak_mebibytes: float
    """Resident memory of the largest of its processes."""


def timed(job: str, data_dir: Path, vidor: Path) -> Figures:
    """A job in a process of its own."""
    before = time.perf_counter()
    command = [sys.executable, __file__, str(data_dir), str(vidor), "--job", job]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    whole = time.perf_counter() - before
    own, cpu_seconds, peak = json.loads(done.stdout.splitlines()[-1])
    seconds, cpu_seconds = own or (whole, cpu_seconds)
    return Figures(cpu_seconds, seconds, peak)


def run(job: str, data_dir: Path, vidor: Path) -> None:
    """Here; prints the times that it took itself, if it did, and what the system says of it."""
    own = JOBS[job](data_dir, vidor)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps([own, cpu_time(), peak / 1024]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the build; see the module's text.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("vidor", type=Path)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        run(arguments.job, arguments.data_dir, arguments.vidor)
        return
    best: dict[str, Figures] = {}
    for repeat in range(REPEATS):
        for job in JOBS:
            if job == "per-question script" and repeat:
                continue
            figures = timed(job, arguments.data_dir, arguments.vidor)
            best[job] = min(best.get(job, figures), figures)
    print(f"{'':30}  clock     CPU  to the floor  peak of a process")
    for job, (cpu_seconds, seconds, peak) in best.items():
        ratio = cpu_seconds / best["floor"].cpu_seconds
        print(f"{job:30} {seconds:5.1f} s {cpu_seconds:5.1f} s  {ratio:6.2f} times  {peak:8.0f} MiB")
    one, two = (best[job] for job in ("annotation stage", "annotation stage, 2 processes"))
    print(
        f"annotation stage: two processes are {one.seconds / two.seconds:.2f} times as fast as one by the clock; "
        f"two processors with nothing else to do would be {2 * one.cpu_seconds / two.cpu_seconds:.2f} times"
    )


if __name__ == "__main__":
    main()
