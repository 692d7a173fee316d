"""SIGKILL at random moments over every command that writes, and whether the same command then finishes the job.

    python tests/benchmarks/kills.py [--kills N] [--seed S] [COMMAND ...]

COMMAND is a key of COMMANDS; without one, all. Each is run once in peace, and its folder is kept. Then, N times: a copy
of what it begins with, up to three kills at moments drawn evenly over the time that it took in peace, and the same
command to its end. The folder must be as that of the peaceful run: the same files, each with the same content; where
the order of rows may differ (`generate`, a model's verdicts), the same rows, each once. No file may be left unfinished,
but for frames half written into a cache, which the cache itself removes after an hour.

Commands are forked from this process, so that a kill hits their work and not the imports. A kill reaches the command's
whole process group. Prints a line for each command, and exits with 1 where anything differed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_PROXY"] = "127.0.0.1"

from cotasks.cli import main as cotasks  # noqa: E402
from cotasks.video.cache import FrameCache  # noqa: E402

Content = dict[str, Any]
KILLS_IN_A_ROW = 3


@dataclass(frozen=True)
class Command:
    """A command that writes."""

    run: Callable[[Path, Path], int]
    """(inputs, its own folder) -> exit code."""
    begins_with: str | None = None
    """The folder below the inputs that a copy of is its own at first."""
    content: Callable[[Path], Content] | None = None
    """What must be as in peace; by default all bytes."""
    imports: str = ""
    """Modules that are imported before it is forked."""


def files(folder: Path) -> list[Path]:
    """All files but locks."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]


def all_bytes(folder: Path) -> Content:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files(folder)}


def rows_once(*parts: str) -> Callable[[Path], Content]:
    """All bytes, but of the files below `parts` their rows in any order; each line must be whole."""

    def content(folder: Path) -> Content:
        found: Content = {}
        for path in files(folder):
            name = path.relative_to(folder).as_posix()
            part = next((part for part in parts if name.startswith(part)), None)
            if part is None:
                found[name] = path.read_bytes()
            elif part == "verdicts/ledger":
                found.setdefault(part, set()).update(_settled(path))
            else:
                rows = (orjson.loads(line) for line in path.read_bytes().splitlines())
                found.setdefault(part, Counter()).update(_plain(row) for row in rows)
        return found

    return content


def _plain(row: dict[str, Any]) -> bytes:
    """A row without what may be counted at another time."""
    return orjson.dumps({k: v for k, v in row.items() if "seconds" not in k}, option=orjson.OPT_SORT_KEYS)


def _settled(path: Path) -> set[str]:
    """The keys of a ledger's calls; a call that a kill cut off is there twice, first without its end."""
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    numbers = [row["call"] for row in rows if "most" in row]
    assert len(numbers) == len(set(numbers)), "two calls of one number"
    ended = [row["call"] for row in rows if "used" in row]
    assert len(ended) == len(set(ended)), "a call that ended twice"
    return {row["key"] for row in rows if row.get("call") in ended and "most" in row}


def cache(inputs: Path, own: Path) -> int:
    frames = FrameCache(own, memory_bytes=0)
    for video in sorted((inputs / "world/videos").glob("*.mp4")):
        for start in range(6):
            frames.read(video, range(start, 60, 6), (128, 96))
    return 0


def finished_frames(folder: Path) -> Content:
    """What the cache holds, without what a kill left half written there."""
    return {name: data for name, data in all_bytes(folder).items() if not name.endswith(".part")}


def call(*words: Any) -> int:
    return cotasks([str(word) for word in words])


JUDGED = rows_once("verdicts/openai-m.jsonl", "verdicts/ledger")
GENERATED = rows_once("generations", "failures")
COMMANDS: dict[str, Command] = {
    "build": Command(lambda i, own: call("build", "nextqa_oe", "--data-dir", i / "sources", "--out", own)),
    "build, two processes": Command(
        lambda i, own: call("build", "star", "--data-dir", i / "sources", "--out", own, "--num-proc", 2)
    ),
    "judge exact": Command(lambda i, own: call("judge", own), "large"),
    "judge openai": Command(
        lambda i, own: call("judge", own, "--judge", "openai:m", "--base-url", os.environ["SERVER"]),
        "run",
        JUDGED,
        "openai",
    ),
    "report": Command(lambda i, own: call("report", own, "--no-frames"), "judged", imports="scipy.stats jinja2"),
    "audit": Command(lambda i, own: call("audit", i / "world/data", "--out", own), imports="scipy.stats jinja2"),
    "cache": Command(cache, content=finished_frames, imports="av PIL.Image"),
    "annotate": Command(
        lambda i, own: call(
            *("annotate", i / "drawn/videos", "--questions", i / "drawn", "--detections", i / "drawn/detections.jsonl"),
            *("--num-frames", 16, "--out", own),
        ),
        content=rows_once("work/scenes/found", "work/scenes/failures"),
        imports="trackers av",
    ),
    "generate": Command(
        lambda i, own: call(
            *("generate", i / "world/data", "--model", "tiny", "--videos", i / "world/videos", "--run", own),
            *("--condition", "baseline", "--condition", "cotasks", "--num-frames", 4, "--max-new-tokens", 8),
            *("--dtype", "float32", "--device", "cpu"),
        ),
        content=GENERATED,
        imports="torch transformers cotasks.models.tiny",
    ),
    "predict": Command(
        lambda i, own: call(
            *("predict", i / "world/data", "--model", "tiny", "--videos", i / "world/videos", "--run", own),
            *("--num-frames", 4, "--max-new-tokens", 8, "--dtype", "float32", "--device", "cpu"),
        ),
        content=rows_once("generations", "failures"),
        imports="torch transformers cotasks.models.tiny",
    ),
}


def forked(work: Callable[[], int], log: Path) -> int:
    """The process that does some work, in a group of its own."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(out, stream)
        code = work()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        code = 70
    os._exit(code)


def ended(work: Callable[[], int], log: Path) -> None:
    """Work to its end. Raises RuntimeError where it failed."""
    _, status = os.waitpid(forked(work, log), 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise RuntimeError(f"exit code {code}: {log.read_text('utf-8', 'replace')[-400:]}")


def make_inputs(folder: Path) -> None:
    """What the commands read: the sample's annotation, records with videos, runs with answers, one judged."""
    from cotasks.sample import DATA_DIR
    from tests.drawn_world import write_drawn_world
    from tests.report_runs import make_world, write_run

    shutil.copytree(DATA_DIR, folder / "sources", ignore=shutil.ignore_patterns("*.mp4"))
    write_drawn_world(folder / "drawn", 10)
    world = make_world(folder / "world", videos=3, questions=4)
    answer = lambda record, condition: f"{condition} of {record.id}"  # noqa: E731
    write_run(folder / "run", world, answer, judges=())
    write_run(folder / "judged", world, answer, judges=("exact", "f1"))
    write_run(folder / "large", world, answer, judges=())
    rows = (folder / "large/generations/00000.jsonl").read_bytes().splitlines(keepends=True)
    more = [{**orjson.loads(row), "sample": n} for n in range(250) for row in rows]
    data = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in more)
    (folder / "large/generations/00000.jsonl").write_bytes(data)


def begin(command: Command, inputs: Path, own: Path) -> None:
    shutil.rmtree(own, ignore_errors=True)
    if command.begins_with:
        shutil.copytree(inputs / command.begins_with, own)


def kill_often(name: str, inputs: Path, place: Path, kills: int, noise: random.Random) -> tuple[int, list[str]]:
    """(kills that hit a command at work, what differed)."""
    command = COMMANDS[name]
    content, own, log = command.content or all_bytes, place / "own", place / "log"
    work = lambda: command.run(inputs, own)  # noqa: E731
    begin(command, inputs, own)
    ended(work, log)  # so that what is imported or cached late does not count
    begin(command, inputs, own)
    start = time.monotonic()
    ended(work, log)
    seconds, peaceful = time.monotonic() - start, content(own)
    hit, faults = 0, []
    while hit < kills:
        begin(command, inputs, own)
        before = hit
        for _ in range(noise.randint(1, KILLS_IN_A_ROW)):
            process = forked(work, log)
            moment = noise.random() * seconds
            time.sleep(moment)
            try:
                os.killpg(process, signal.SIGKILL)
            except ProcessLookupError:  # its group is not made yet, or it has ended
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            hit += os.WIFSIGNALED(status)
        log.unlink(missing_ok=True)
        try:
            ended(work, log)
            found = content(own)
        except (RuntimeError, AssertionError, ValueError) as error:
            faults.append(f"after {hit - before} kills: {error}")
            continue
        if found != peaceful:
            differ = sorted(n for n in found.keys() | peaceful.keys() if found.get(n) != peaceful.get(n))
            faults.append(f"after {hit - before} kills, the last at {moment:.2f} of {seconds:.2f} s: {differ}")
    return hit, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    bad = False
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.judge_server", "--latency", "0.01"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    os.environ |= {"SERVER": server.stdout.readline().strip(), "OPENAI_API_KEY": "none"}
    try:
        with tempfile.TemporaryDirectory() as folder:
            inputs, place = Path(folder, "inputs"), Path(folder, "place")
            place.mkdir()
            os.environ["HF_DATASETS_CACHE"] = str(Path(folder, "cache"))
            ended(lambda: make_inputs(inputs) or 0, place / "log")
            for name in arguments.commands or COMMANDS:
                for module in COMMANDS[name].imports.split():
                    __import__(module)
                hit, faults = kill_often(
                    name, inputs, place, arguments.kills, random.Random(f"{arguments.seed} {name}")
                )
                print(f"{name}: {hit} kills, {len(faults)} faults", *faults[:5], sep="\n    ", flush=True)
                bad |= bool(faults)
    finally:
        server.kill()
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
