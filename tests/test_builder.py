"""`load_dataset("cotasks")`: from anywhere, typed, cached by content, with errors that say what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import load_dataset

import cotasks
from cotasks import FEATURES, Record
from cotasks.errors import InputError
from cotasks.records import registration
from cotasks.sample import DATA_DIR
from cotasks.words.types import NEXTQA, STAR

TREE = str(Path(cotasks.__file__).parents[1])
LOAD_SAMPLE = """
import os, sys, traceback
import cotasks
from datasets import load_dataset

listings = []
def watch(event, arguments):
    if event in ("os.listdir", "os.scandir") and os.path.abspath(arguments[0] or ".") == os.getcwd():
        listings.append([frame.filename for frame in traceback.extract_stack()])
sys.addaudithook(watch)
for folder, cache, streaming in zip(*[iter(sys.argv[1:])] * 3):
    os.chdir(folder)
    listings.clear()
    rows = load_dataset("cotasks", split="train", cache_dir=cache, streaming=bool(streaming))
    count = len(list(rows))
    ours = [stack for stack in listings if any("data_files" in name or "fsspec" in name for name in stack)]
    print(count, rows.features == cotasks.FEATURES, len(ours))
"""


@pytest.mark.empty_cache
def test_the_sample_loads_typed() -> None:
    rows = load_dataset("cotasks")
    assert list(rows) == ["train", "validation", "test"]
    for split in rows.values():
        assert split.features == FEATURES
        assert len(split) > 0
        for row in split:
            record = Record.from_row(row)
            assert record.source == "sample"
            assert record.id.startswith(f"sample/{split.split}/")
    assert set(rows["train"]["question_type"]) == {*NEXTQA.categories, *STAR.categories}


def test_the_sample_streams() -> None:
    whole = load_dataset("cotasks", split="validation")
    streamed = load_dataset("cotasks", split="validation", streaming=True)
    assert streamed.features == FEATURES
    assert list(streamed) == list(whole)


def test_the_sample_loads_on_two_processes_alike() -> None:
    one = load_dataset("cotasks", split="train")
    two = load_dataset("cotasks", split="train", num_proc=2, download_mode="force_redownload")
    assert list(one) == list(two)


def test_from_an_empty_folder_the_repository_root_and_a_full_folder(tmp_path: Path, sample_cache: Path) -> None:
    """Stray files are not even listed, however many: who lists the folder during the call is looked up on the stack.

    It is built from the empty folder, and found built from the others.
    """
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    for number in range(5):
        (full / f"{number}.csv").touch()
    expected = len(load_dataset("cotasks", split="train"))
    calls = [(empty, ""), (full, ""), (Path(TREE), ""), (empty, "streaming")]
    arguments = [
        word for n, (folder, how) in enumerate(calls) for word in (str(folder), str(tmp_path / f"cache-{n}"), how)
    ]
    for number in (1, 2):
        shutil.copytree(sample_cache, tmp_path / f"cache-{number}", copy_function=os.link)
    # another process, which starts in the empty folder: what it watches it cannot leave off
    done = subprocess.run(
        [sys.executable, "-c", LOAD_SAMPLE, *arguments],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": TREE},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [f"{expected} True 0"] * len(calls)


def _load_in_worker(queue: Any) -> None:
    import cotasks  # noqa: F401  # registers the builder in this process

    queue.put(len(load_dataset("cotasks", split="test")))


def test_in_a_spawned_process() -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_load_in_worker, args=(queue,))
    worker.start()
    assert queue.get(timeout=120) == len(load_dataset("cotasks", split="test"))
    worker.join()


def test_other_packaged_modules_still_glob(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    assert load_dataset("csv", data_dir=str(tmp_path))["train"][0] == {"a": 1, "b": 2}


def test_unknown_config_and_data_files_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'nextqa' not found.*sample.*nextqa_oe.*nextqa_mc.*star"):
        load_dataset("cotasks", "nextqa")
    with pytest.raises(InputError, match="no data_files"):
        load_dataset("cotasks", data_files=__file__)
    with pytest.raises(InputError, match=r"no data_dir given.*github\.com/doc-doc/NExT-OE"):
        load_dataset("cotasks", "nextqa_oe")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sample's source files, to be damaged."""
    return Path(shutil.copytree(DATA_DIR, tmp_path / "sources", ignore=shutil.ignore_patterns("*.mp4")))


def test_a_missing_file_is_named_with_where_to_get_it(sources: Path) -> None:
    (sources / "nextqa/map_vid_vidorID.json").unlink()
    with pytest.raises(InputError, match=r"map_vid_vidorID\.json: no such file; get it from https://github"):
        load_dataset("cotasks", "nextqa_oe", data_dir=str(sources))


def test_a_missing_split_is_left_out_unless_asked_for(sources: Path, caplog: pytest.LogCaptureFixture) -> None:
    (sources / "nextqa/oe/test.csv").unlink()
    datasets.logging.enable_propagation()
    rows = load_dataset("cotasks", "nextqa_oe", data_dir=str(sources))
    assert list(rows) == ["train", "validation"]
    assert any("split test is left out" in line and "test.csv: no such file" in line for line in caplog.messages)
    for streaming in (False, True):
        with pytest.raises(InputError, match=r"no split test: .*test\.csv: no such file; get it from"):
            load_dataset("cotasks", "nextqa_oe", data_dir=str(sources), split="test", streaming=streaming)
    assert len(load_dataset("cotasks", "nextqa_oe", data_dir=str(sources), split="train[:2]")) == 2


def test_a_split_without_a_record_says_why(sources: Path) -> None:
    text = (sources / "star/STAR_test.json").read_text()
    (sources / "star/STAR_test.json").write_text(text.replace('"situations"', '"other"'))
    rows = load_dataset("cotasks", "star", data_dir=str(sources))
    assert list(rows) == ["train", "validation"]
    with pytest.raises(InputError, match=r"no split test: no record: \d+ questions skipped \(\d+ no situations\)"):
        load_dataset("cotasks", "star", data_dir=str(sources), split="test")


def cache_folder(data_dir: Path, **options: Any) -> str:
    return load_dataset_builder("nextqa_oe", data_dir, **options).cache_dir


def load_dataset_builder(config: str, data_dir: Path, **options: Any) -> Any:
    return datasets.load_dataset_builder("cotasks", config, data_dir=str(data_dir), **options)


def test_the_cache_is_reused_until_a_source_or_the_code_changes(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache_folder(sources)
    start = time.perf_counter()
    load_dataset("cotasks", "nextqa_oe", data_dir=str(sources))
    built = time.perf_counter() - start
    modified = os.stat(Path(first, "dataset_info.json")).st_mtime_ns
    load_dataset("cotasks", "nextqa_oe", data_dir=str(sources))
    assert os.stat(Path(first, "dataset_info.json")).st_mtime_ns == modified, f"built twice ({built:.1f} s)"

    (sources / "unrelated.txt").write_text("x")
    os.utime(sources / "nextqa/oe/train.csv")  # same content
    assert cache_folder(sources) == first
    assert cache_folder(sources, num_frames=8) != first

    csv = sources / "nextqa/oe/train.csv"
    csv.write_text(csv.read_text().replace("why", "Why"))
    changed = cache_folder(sources)
    assert changed != first
    annotation = next((sources / "vidor").rglob("*.json"))
    annotation.write_text(annotation.read_text() + " ")
    assert cache_folder(sources) != changed

    monkeypatch.setattr(registration, "code_hash", lambda: "other code")
    assert Path(cache_folder(sources)).name == "other code"


def test_the_code_hash_covers_what_shapes_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(Path(TREE, "cotasks"), tmp_path / "cotasks", ignore=shutil.ignore_patterns("data")))
    shutil.copytree(Path(TREE, "builders"), tmp_path / "builders")
    monkeypatch.setattr(registration, "__file__", str(copy / "records/registration.py"))
    code_hash = registration.code_hash.__wrapped__
    before = code_hash()
    for path in (copy / "prompts/prompt.py", tmp_path / "builders/publish/card.py"):
        path.write_text("# shapes no row")
    assert code_hash() == before
    for path in (copy / "records/schema.py", copy / "steps/entity_tracking.py", tmp_path / "builders/readers/vidor.py"):
        path.write_text(path.read_text() + "\n# changed\n")
        assert code_hash() != before
        before = code_hash()


@pytest.mark.slow
def test_real_annotation_loads(realdata: Path) -> None:
    rows = load_dataset("cotasks", "nextqa_oe", data_dir=str(realdata))
    assert {name: len(split) for name, split in rows.items()} == {"validation": 397}
    assert rows["validation"].features == FEATURES
    assert len(load_dataset("cotasks", "star", data_dir=str(realdata))["train"]) == 1
    with pytest.raises(InputError, match="no split test: no record: 500 questions skipped"):
        load_dataset("cotasks", "star", data_dir=str(realdata), split="test")
