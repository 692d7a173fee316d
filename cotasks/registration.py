"""Make `load_dataset("cotasks")` known to `datasets`.

Loading scripts are gone from `datasets`; what is left is its table of packaged modules, looked into before anything
else. The table is private, and so is the factory that would glob the current folder for data files: both are
touched here only, and tests run against every supported version.
"""

from __future__ import annotations

import hashlib
from functools import cache, wraps
from pathlib import Path

from datasets import load, packaged_modules
from datasets.data_files import DataFilesDict

NAME = "cotasks"
BUILDER_MODULE = "cotasks.builders.cotasks"


def builders_folder() -> Path:
    """Where `cotasks.builders` lies: inside the installed package, or beside it in a source tree."""
    package = Path(__file__).parent
    return package / "builders" if (package / "builders").is_dir() else package.parent / "builders"


SHAPES_NO_ROW = (
    *("built.py", "card.py", "download.py", "folder.py", "jobs.py"),
    *("matching.py", "measures.py", "naming.py", "repair.py", "scoring.py", "wording.py"),
)
"""Modules of the builder that fetch sources or write folders, and those of the steps that read and score what a model
says; what a row holds does not depend on them."""


@cache
def code_hash() -> str:
    """sha256 over the modules that shape rows, so that a cache made by other code is not reused."""
    package = Path(__file__).parent
    shaping = [package / name for name in ("schema.py", "annotation.py", "timeline.py")]
    for folder in (package / "steps", builders_folder()):
        shaping += [path for path in sorted(folder.glob("*.py")) if path.name not in SHAPES_NO_ROW]
    digest = hashlib.sha256()
    for path in shaping:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def register() -> None:
    """Enter the builder into `datasets`' table, once a process."""
    if NAME in packaged_modules._PACKAGED_DATASETS_MODULES:
        return
    packaged_modules._PACKAGED_DATASETS_MODULES[NAME] = (BUILDER_MODULE, code_hash())
    get_module = load.PackagedDatasetModuleFactory.get_module

    @wraps(get_module)
    def get_module_without_globbing(self: load.PackagedDatasetModuleFactory) -> load.DatasetModule:
        if self.name != NAME:
            return get_module(self)
        # without data files `load_dataset_builder` refuses; an empty dict says that there are none to look for
        data_files = DataFilesDict() if self.data_files is None else self.data_files
        return load.DatasetModule(BUILDER_MODULE, code_hash(), {"data_files": data_files, "dataset_name": NAME})

    load.PackagedDatasetModuleFactory.get_module = get_module_without_globbing
