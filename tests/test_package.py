"""The wheel: what it holds, and that it works where the source tree is not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel. The tree is copied first, so that building leaves nothing in it."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(folder),
        str(tree),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_it_holds_the_package_and_nothing_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"cotasks", "cotasks-0.1.0.dist-info"}
    assert "cotasks/builders/cotasks.py" in names
    assert "cotasks/builders/publish/dataset_card.md" in names
    assert "cotasks/py.typed" in names
    assert "cotasks/cotasks.py" not in names
    assert sum(name.endswith(".mp4") for name in names) >= 24


def test_the_sample_takes_at_most_a_megabyte_and_a_half(wheel: Path) -> None:
    sample = [i for i in zipfile.ZipFile(wheel).infolist() if i.filename.startswith("cotasks/sample/")]
    assert sum(i.compress_size for i in sample if not i.filename.startswith("cotasks/sample/toy/")) <= 1_500_000


def test_it_works_alone_even_from_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    script = (
        "import cotasks, cotasks.builders; from datasets import load_dataset\n"
        "assert len(load_dataset('cotasks')['train']) > 0\n"
        "print(cotasks.__file__, cotasks.builders.__file__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    for folder in (tmp_path, ROOT):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        where = ROOT if folder == ROOT else site  # `python -c` looks into its own folder first
        assert all(path.startswith(str(where)) for path in done.stdout.split())
