"""How much memory `cotasks annotate` takes while it goes through many videos: it must not grow with their number.

    python tests/benchmarks/annotate_memory.py [--videos 500] [--detector FOLDER]

Each video is one of eight drawn clips under a name of its own. Without a detector, boxes come from a file. Prints the
resident memory of the process after each tenth of the videos, and exits with 1 where it grew by more than a tenth from
the second tenth to the last.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from cotasks.annotate.kept import kept_in  # noqa: E402
from cotasks.records.own import OwnQuestion  # noqa: E402
from cotasks.records.own_files import read_annotation, write_annotation, write_questions  # noqa: E402
from tests.drawn_world import video_of, write_drawn_world  # noqa: E402

CLIPS = 8
GROWTH = 1.1


def write_many(folder: Path, videos: int) -> None:
    """Questions, detections and links to clips."""
    stories = write_drawn_world(folder / "clips", CLIPS)
    rows = {a.video: a for a in read_annotation([folder / "clips/detections.jsonl"])}
    names = [(f"{n:05}.mp4", video_of(stories[n % CLIPS].clip)) for n in range(videos)]
    (folder / "videos").mkdir()
    for name, clip in names:
        os.symlink(folder / "clips/videos" / clip, folder / "videos" / name)
    write_questions(folder / "questions.jsonl", [OwnQuestion(n, n, "what does the dog do", ("run",)) for n, _ in names])
    write_annotation(folder / "detections.jsonl", (dataclasses.replace(rows[clip], video=name) for name, clip in names))


def megabytes(process: int) -> float:
    """Resident memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--detector", help="folder or Hub id; by default boxes come from a file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_many(folder, arguments.videos)
        looks = ["--detector", arguments.detector] if arguments.detector else []
        looks = looks or ["--detections", str(folder / "detections.jsonl")]
        command = [sys.executable, "-m", "cotasks", "annotate", str(folder / "videos"), "--questions", str(folder)]
        command += [*looks, "--num-frames", "16", "--out", str(folder / "out"), "--quiet"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        seen: list[float] = []
        while process.poll() is None:
            found = folder / "out/work/scenes/found"
            if found.is_dir() and len(kept_in(found)) >= arguments.videos * (len(seen) + 1) // 10:
                seen.append(megabytes(process.pid))
                print(f"{arguments.videos * len(seen) // 10} videos: {seen[-1]:.0f} MB", flush=True)
            time.sleep(0.2)
    if process.returncode or len(seen) < 9:
        print(f"exit code {process.returncode}, {len(seen)} tenths seen")
        return 1
    return int(max(seen[2:]) > GROWTH * seen[1])


if __name__ == "__main__":
    sys.exit(main())
