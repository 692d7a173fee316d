"""Wheel and sdist: what they hold, and that the wheel works where the source tree is not."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TREE = "https://github.com/cotasks/cotasks/blob/main/"
LEFT_BEHIND = re.compile(r"(^|/)(__pycache__|\.(pytest|ruff|mypy|hypothesis)\w*|[^/]*\.egg-info)/|^PKG-INFO$")


def tracked() -> list[str]:
    """The files of the tree: those that git knows and that are there; where there is no git, as in an unpacked sdist,
    all but what running leaves behind."""
    if (ROOT / ".git").exists():
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        names = done.stdout.splitlines()
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
    return [name for name in names if (ROOT / name).is_file() and not LEFT_BEHIND.search(name)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of the tree, which is copied first, so that building leaves nothing in it, and the wheel that the
    unpacked sdist gives; or those in the folder that COTASKS_DIST names."""
    if "COTASKS_DIST" in os.environ:
        there = Path(os.environ["COTASKS_DIST"])
        return next(there.glob("*.tar.gz")), next(there.glob("*.whl"))
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    sdist = folder / build("build_sdist", tree, folder)
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # as from Python 3.14 on
        archive.extractall(folder)
    return sdist, folder / build("build_wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)


def build(what: str, tree: Path, out: Path) -> str:
    """The name of the file that the build backend writes to `out`."""
    code = f"from hatchling import build; print(build.{what}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Path:
    """The built wheel."""
    return built[1]


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {name for name in tracked() if name.startswith("cotasks/")}
    assert names == package | {f"cotasks/{name}" for name in tracked() if name.startswith("builders/")}


def test_the_sdist_holds_every_file_of_the_tree(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert {name for name in names if name != "PKG-INFO"} == set(tracked())


def test_the_metadata_is_whole(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read("cotasks-0.1.0.dist-info/METADATA").decode()
    message = email.message_from_string(metadata)
    assert message["Requires-Python"] == ">=3.10"
    classifiers = message.get_all("Classifier", [])
    for version in ("3.10", "3.11", "3.12", "3.13"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert "Typing :: Typed" in classifiers
    assert {url.split(",")[0] for url in message.get_all("Project-URL", [])} >= {"Homepage", "Issues", "Changelog"}
    # every extra but `test` is in `all`
    requirements = [Requirement(text) for text in message.get_all("Requires-Dist", [])]

    def of(extra: str) -> set[str]:
        return {r.name for r in requirements if r.marker and r.marker.evaluate({"extra": extra})}

    assert of("all") == set().union(*map(of, set(message.get_all("Provides-Extra", [])) - {"all", "test"}))


def test_the_links_of_the_readme_work_on_a_package_index() -> None:
    """It is shown away from the tree: links are whole addresses, and those into the tree name a file that is there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", readme) + re.findall(r"^\[[^\]]+\]: (\S+)$", readme, re.MULTILINE)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    into = [link.removeprefix(TREE) for link in links if link.startswith(TREE)]
    assert into
    assert [path for path in into if not (ROOT / path).exists()] == []


def test_every_requirement_has_a_floor(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read("cotasks-0.1.0.dist-info/METADATA").decode()
    message = email.message_from_string(metadata)
    for text in message.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        if requirement.name != "cotasks":
            assert [s.operator for s in requirement.specifier if s.operator in (">=", "==")], text


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


WALK = """
import pkgutil, sys
import cotasks
import cotasks.builders.readers
names = [module.name for module in pkgutil.walk_packages(cotasks.__path__, "cotasks.")]
print(len(names), len(set(names)), cotasks.builders.readers.__file__)
"""


@pytest.mark.parametrize("installed", [False, True])
def test_walking_the_packages_ends(installed: bool, wheel: Path, tmp_path: Path) -> None:
    """In the source tree `builders` lies beside `cotasks`; who walks the packages must not meet `cotasks` in itself."""
    site = ROOT
    if installed:
        site = tmp_path / "site"
        zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", WALK]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    number, different, readers = done.stdout.split()
    assert number == different
    modules = {name for name in tracked() if name.endswith(".py") and name.startswith("cotasks/")} - {
        "cotasks/__init__.py"
    }
    if installed:
        modules |= {name for name in tracked() if name.endswith(".py") and name.startswith("builders/")}
    assert int(number) == len(modules)
    assert Path(readers).is_relative_to(site)
