"""The publishable folder: complete, loadable without this package, the same bytes every time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from datasets import load_dataset

import cotasks
from cotasks import FEATURES, Record
from cotasks.builders import jobs
from cotasks.builders.assemble import plan_splits
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers.source import SPLITS
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.sample import DATA_DIR


def content(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_sample_folder_loads_where_cotasks_is_unknown(built_sample: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['cotasks'] = None\n"  # importing it would fail
        "import json; from datasets import load_dataset\n"
        "rows = load_dataset(sys.argv[1])\n"
        "print(json.dumps({s: len(d) for s, d in rows.items()}), hash(str(rows['train'].features)) and '')\n"
        "open(sys.argv[2], 'w').write(repr(rows['train'].features))\n"
    )
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-c", script, str(built_sample), str(tmp_path / "features")],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert (tmp_path / "features").read_text() == repr(FEATURES)
    from_folder = load_dataset(str(built_sample))
    from_builder = load_dataset("cotasks")
    for split, rows in from_builder.items():
        assert list(from_folder[split]) == list(rows)
        streamed = load_dataset(str(built_sample), split=split, streaming=True)
        assert [Record.from_row(row) for row in streamed] == [Record.from_row(row) for row in rows]


@contextmanager
def another_thread() -> Iterator[None]:
    """Beside which no process may be forked."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


BUILD = """
import sys
from pathlib import Path

from cotasks.builders import jobs
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions

jobs.BYTES_A_JOB = 1  # each video is a job
for num_proc in (1, 3):
    print(jobs.start_method().get_start_method())
    build_folder(BuildOptions("sample"), Path(sys.argv[1], str(num_proc)), num_proc=num_proc)
"""


def test_builds_are_byte_identical_on_any_number_of_processes(
    built_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in a process of its own, which has no other thread
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(cotasks.__file__).parents[1])}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["fork" if sys.platform == "linux" else "spawn"] * 2
    monkeypatch.setattr(jobs, "BYTES_A_JOB", 1)
    with another_thread():
        assert jobs.start_method().get_start_method() == "spawn"
        build_folder(BuildOptions("sample"), tmp_path / "new", num_proc=2)
    for name in ("1", "3", "new"):
        assert content(tmp_path / name) == content(built_sample)


def test_processes_are_forked_only_beside_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_thread():
        assert jobs.start_method().get_start_method() == "spawn"
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    for platform, expected in (("linux", "fork"), ("darwin", "spawn"), ("win32", "spawn")):
        monkeypatch.setattr(sys, "platform", platform)
        assert jobs.start_method().get_start_method() == expected


def test_each_video_is_in_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    plans, _ = plan_splits(BuildOptions("sample"), SPLITS)
    for plan in plans.values():
        monkeypatch.setattr(jobs, "BYTES_A_JOB", 10**9)
        assert list(jobs.share_out(plan)) == [(0, len(plan.tasks))]
        sizes = []
        for size in (1, 400_000, 1_000_000):
            monkeypatch.setattr(jobs, "BYTES_A_JOB", size)
            shares = list(jobs.share_out(plan))
            assert [number for start, end in shares for number in range(start, end)] == list(range(len(plan.tasks)))
            sizes.append(len(shares))
        assert sizes[0] == len(plan.tasks) >= sizes[1] > sizes[2] >= 1


def _ended(split: str, start: int, end: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_work", _ended)
    with pytest.raises(InputError, match=r"^split \w+: a process .* ended from outside.*expected 2 to run on"):
        build_folder(BuildOptions("sample"), tmp_path / "out", num_proc=2)
    assert content(tmp_path / "out") == {}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_processes_end_with_a_build_that_is_killed() -> None:
    script = (
        "import os, signal, multiprocessing\n"
        "from cotasks.builders import jobs\n"
        "from cotasks.builders.assemble import plan_splits\n"
        "from cotasks.builders.sources import BuildOptions\n"
        "plans, _ = plan_splits(BuildOptions('sample'), ['train'])\n"
        "with jobs.workers(plans, 2) as run:\n"
        "    next(run.jobs('train'))\n"
        "    print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cotasks.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    # not a pipe to the end: the children hold it open as long as they live
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as build:
        assert build.stdout is not None
        pids = [int(word) for word in build.stdout.readline().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status


def test_a_folder_built_anew_is_not_read_from_the_old_cache(tmp_path: Path) -> None:
    for num_frames in (8, 4, 8):
        build_folder(BuildOptions("sample", num_frames=num_frames), tmp_path / "out")
        row = load_dataset(str(tmp_path / "out"), split="train")[0]
        assert len(row["frames"]) == num_frames


def test_configs_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for config in ("nextqa_oe", "nextqa_mc", "star"):
        build_folder(BuildOptions(config, data_dir=DATA_DIR), out)
    sizes = {c: {s: len(d) for s, d in load_dataset(str(out), c).items()} for c in ("nextqa_oe", "nextqa_mc", "star")}
    for config, splits in sizes.items():
        build = json.loads((out / config / "build.json").read_text())
        assert splits == {split: summary["records"] for split, summary in build["splits"].items()}
    assert len(load_dataset(str(out))["train"]) == sizes["nextqa_oe"]["train"]  # the default config
    readme = (out / "README.md").read_text()
    assert f"| star | test | {sizes['star']['test']} | {sizes['star']['test']} | none |" in readme


def test_a_rebuild_replaces_and_a_failed_build_leaves_what_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_folder(BuildOptions("star", data_dir=DATA_DIR), out)
    before = content(out)
    with pytest.raises(InputError, match="no human span"):
        build_folder(BuildOptions("nextqa_oe", data_dir=DATA_DIR, localization="human"), out, ["train"])
    assert content(out) == before
    (out / ".star.part").mkdir()
    (out / ".star.part" / "junk").touch()
    build_folder(BuildOptions("star", data_dir=DATA_DIR), out)
    assert content(out) == before


def test_a_folder_that_no_build_wrote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="was not written by a build"):
        build_folder(BuildOptions("sample"), tmp_path)
    assert content(tmp_path) == {"thesis.tex": b"mine"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "nextqa"}, "unknown config 'nextqa'; known: sample"),
        ({"config": "sample", "data_dir": "x"}, "takes no data_dir"),
        ({"config": "nextqa_oe", "grid": "even"}, "expected snapped or uniform"),
        ({"config": "nextqa_oe", "num_frames": 0}, "num_frames is 0"),
        ({"config": "nextqa_oe", "localization": "guess"}, "localization is 'guess'"),
        ({"config": "nextqa_oe", "localization": "gone.jsonl"}, "gone.jsonl: no such file"),
        ({"config": "star", "localization": "human"}, "STAR has no human spans"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BuildOptions(**options)  # type: ignore[arg-type]


def test_each_question_is_a_record_or_skipped_with_its_reason(realdata: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = build_folder(BuildOptions("nextqa_oe", data_dir=str(realdata)), out, ["validation"])
    counts = summary.splits["validation"]
    assert (counts.questions, counts.records, counts.skipped.total()) == (5343, 397, 4946)
    assert counts.span_origins["human"] == 232
    skipped = [json.loads(line) for line in (out / "nextqa_oe/skipped.jsonl").read_text().splitlines()]
    ids = {row["id"] for row in load_dataset(str(out), split="validation")} | {row["id"] for row in skipped}
    assert len(ids) == 5343
    assert Counter(row["reason"] for row in skipped) == counts.skipped
    summary = build_folder(BuildOptions("nextqa_mc", data_dir=str(realdata)), out, ["validation"])
    assert summary.splits["validation"].records == 363
    assert summary.splits["validation"].span_origins["human"] == 232


def test_oe_train_has_distinct_ids(realdata: Path) -> None:
    from cotasks.builders.assemble import plan_split

    plan = plan_split(BuildOptions("nextqa_oe", data_dir=str(realdata)), "train")
    ids = {s.id for s in plan.skipped} | {q.id for task in plan.tasks for q in task.questions}  # type: ignore[union-attr]
    assert len(ids) == 37_523


def test_star_test_is_skipped_for_want_of_situations(realdata: Path, tmp_path: Path) -> None:
    summary = build_folder(BuildOptions("star", data_dir=str(realdata)), tmp_path / "out")
    assert summary.splits["test"].skipped == {"no situations": 500}
    assert summary.splits["train"].records == 1
    record = Record.from_row(load_dataset(str(tmp_path / "out"), split="train")[0])
    keyframes = {int(key) - 1 for key in _situations(realdata)}
    assert len(keyframes) == 39
    assert keyframes <= {frame.index for frame in record.frames}
    assert record.frame_localization.frames == tuple(sorted(keyframes))


def _situations(realdata: Path) -> dict[str, object]:
    situations: dict[str, object] = json.loads((realdata / "star/STAR_train.json").read_text())[0]["situations"]
    return situations
