"""A fault of the machine stops the command; no record is skipped for it, and what is installed changes no row."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import EnvironmentFault, InputError, MissingExtra, stop_at_environment_fault
from cotasks.generate.prepare import prepare_video
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import parse_condition
from cotasks.records import load_records
from cotasks.records.dataset import Records
from cotasks.sample import DATA_DIR
from cotasks.training.collator import TrainingCollator
from cotasks.video import probe

ROOT = Path(__file__).parents[1]
ROWS = {"train": 123, "validation": 50, "test": 45}


@pytest.fixture
def without_video(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As where the extra `video` is not installed. Its `undo` installs it."""
    for package in ("av", "decord", "PIL"):
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
    return monkeypatch


def test_the_sample_has_the_same_rows_whatever_is_installed(without_video: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """First in a light install, then in a full one with the same cache; and in a full one with a cache of its own."""
    cache = tmp_path / "cache"
    light = load_dataset("cotasks", cache_dir=str(cache))
    without_video.undo()
    full = load_dataset("cotasks", cache_dir=str(cache))
    alone = load_dataset("cotasks", cache_dir=str(tmp_path / "other"))
    for rows in (light, full, alone):
        assert {split: len(rows[split]) for split in rows} == ROWS
    for split in ROWS:
        assert light[split].to_list() == full[split].to_list() == alone[split].to_list()
        assert None not in alone[split]["width"]


def test_the_sizes_that_the_sample_brings_are_those_of_its_videos() -> None:
    for split in ROWS:
        for row in load_records("sample", split).rows:
            info = probe(Path(DATA_DIR, "videos", row["video_path"]))
            assert (row["frame_count"], row["width"], row["height"]) == (info.frame_count, info.width, info.height)


def test_a_missing_package_stops_a_build(without_video: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The headers of the videos cannot be read: not one record is skipped for it."""
    options = BuildOptions("star", data_dir=DATA_DIR, videos=str(Path(DATA_DIR, "videos")))
    with pytest.raises(MissingExtra):
        build_folder(options, tmp_path / "out", ["train"])
    assert not (tmp_path / "out/star").exists()
    with pytest.raises(MissingExtra):
        load_dataset("cotasks", "star", data_dir=DATA_DIR, videos=f"{DATA_DIR}/videos")


@pytest.mark.parametrize("num_proc", [1, 2])
def test_it_is_one_line_on_the_command_line(num_proc: int, tmp_path: Path) -> None:
    """Also where another process found out."""
    (tmp_path / "no/av").mkdir(parents=True)
    (tmp_path / "no/av/__init__.py").write_text("raise ImportError('not here')")
    build = f"build star --data-dir {DATA_DIR} --videos {DATA_DIR}/videos --out {tmp_path}/out --num-proc {num_proc}"
    done = subprocess.run(
        [sys.executable, "-m", "cotasks", *build.split()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "no"), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "cotasks: av is not installed; run: pip install 'cotasks[video]'"
    assert "Traceback" not in done.stderr


def sample_video() -> tuple[Records, list[Any]]:
    records = load_records("sample", "validation")
    first = records.at(0)
    return records, [record for record in records if record.video_id == first.video_id]


def prepared(records: list[Any], folder: Path) -> list[Any]:
    class Target:
        family = FAMILIES["qwen2_5_vl"]
        limits = family.limits
        count_tokens = None

    conditions = [parse_condition("baseline")]
    pending = {(record.id, "baseline", 0) for record in records}
    return list(prepare_video(records, conditions, pending, Target, folder, 1))


def test_a_missing_package_stops_generation(without_video: pytest.MonkeyPatch) -> None:
    records, of_video = sample_video()
    folder = records.video_folder()
    assert folder is not None
    with pytest.raises(MissingExtra):
        prepared(of_video, folder)
    without_video.undo()
    assert [item["detail"] for item in prepared(of_video, folder) if isinstance(item, dict)] == []
    # what is wrong with a video is said of its records, and nothing stops
    assert {row["reason"] for row in prepared(of_video, folder / "elsewhere")} == {"video file missing"}


OPEN_FILES = """
import resource
from pathlib import Path
from cotasks.errors import EnvironmentFault
from cotasks.builders.readers import vidor
from cotasks.sample import DATA_DIR
from cotasks.video import probe

path = next(Path(DATA_DIR, "videos").rglob("*.mp4"))
index = vidor.find_annotations([DATA_DIR + "/vidor"])
video_id = next(iter(index.locations))
probe(path), vidor.read_video(index, video_id)
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        held.append(open(path, "rb"))
except OSError:
    pass
faults = []
for read in (lambda: probe(path), lambda: vidor.read_video(index, video_id)):
    try:
        read()
    except EnvironmentFault as fault:
        faults.append(str(fault))
del held
print(*faults, sep="\\n")
"""


def test_too_many_open_files_are_no_damaged_video() -> None:
    done = subprocess.run([sys.executable, "-c", OPEN_FILES], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("Too many open files; run the same command again when that is mended" in line for line in lines)
    assert ".mp4: " in lines[0]
    assert ".json: " in lines[1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives up the rights of root")
def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path: Path) -> None:
    closed = tmp_path / "closed.mp4"
    closed.write_bytes(next(Path(DATA_DIR, "videos").rglob("*.mp4")).read_bytes())
    closed.chmod(0)
    tmp_path.chmod(0o755)
    rights = os.geteuid()
    folders = [folder for folder in tmp_path.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode for folder in folders}
    try:
        for folder in folders:
            folder.chmod(0o755)
        os.seteuid(65534)
        with pytest.raises(EnvironmentFault, match=r"closed\.mp4: Permission denied"):
            probe(closed)
    finally:
        os.seteuid(rights)
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_training_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd row is skipped and reported, a fault of the machine is neither."""
    events: list[Any] = []

    def fault(self: Any, name: Any, row: Any) -> Any:
        raise OSError(row, os.strerror(row))

    monkeypatch.setattr(TrainingCollator, "format", None)
    monkeypatch.setattr(TrainingCollator, "_example", fault)
    collator = TrainingCollator(None, FAMILIES["qwen2_5_vl"], None, report=events.append)
    monkeypatch.setattr("cotasks.training.collator._name", lambda row, task: ("nextqa/train/1/0", "chain"))
    with pytest.raises(InputError, match="no row of a batch of 1 can be used"):
        collator([errno.EIO])
    assert [event["event"] for event in events] == ["skipped"]
    with pytest.raises(EnvironmentFault, match="nextqa/train/1/0: No space left on device"):
        collator([errno.ENOSPC])
    assert len(events) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EACCES, errno.ESTALE])
def test_what_says_nothing_about_a_file(number: int) -> None:
    with pytest.raises(EnvironmentFault, match=f"^a place: {os.strerror(number)}; run the same command again"):
        stop_at_environment_fault(OSError(number, os.strerror(number)), "a place")


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "x"), OSError("x"), FileNotFoundError(2, "x"), ValueError("x"), InputError("x")]
)
def test_what_may_be_about_a_file_goes_on(error: Exception) -> None:
    stop_at_environment_fault(error, "a place")


def test_a_broken_package_is_no_property_of_a_record() -> None:
    with pytest.raises(EnvironmentFault, match="needs torchvision; expected a package that can be imported"):
        stop_at_environment_fault(ImportError("the processor needs torchvision"))


@pytest.mark.parametrize("fault", [MissingExtra("av", "video"), EnvironmentFault("x: gone"), InputError("x", "y")])
def test_faults_pass_from_process_to_process(fault: Any) -> None:
    other = pickle.loads(pickle.dumps(fault))
    assert (type(other), str(other), other.reason) == (type(fault), str(fault), fault.reason)
    again = type(fault)(str(fault))  # as a DataLoader hands on what its worker raised
    assert str(again) == str(fault)


def test_what_skips_records_cannot_catch_a_fault_of_the_machine() -> None:
    """Records are skipped at an InputError, and other code turns what the system says into one."""
    assert not issubclass(EnvironmentFault, (InputError, OSError, RuntimeError, ImportError))
