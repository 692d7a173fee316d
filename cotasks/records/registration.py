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
    package = Path(__file__).parents[1]
    return package / "builders" if (package / "builders").is_dir() else package.parent / "builders"


SHAPES_ROWS = (
    *(f"records/{name}.py" for name in ("schema", "annotation", "timeline", "boxes", "check")),
    *(f"records/{name}.py" for name in ("own", "own_fields", "own_files")),
    *("steps/frame_localization.py", "steps/entity_tracking.py"),
    *("steps/spatial_relations.py", "steps/temporal_relations.py"),
    *("words/lexicon.py", "words/types.py"),
)
"""Modules of `cotasks` that decide what a row holds, beside `BUILDER_ROWS`; a test reads the imports of
`builders/assemble.py` and compares."""

BUILDER_ROWS = ("cotasks.py", "assemble.py", "sources.py", "localize.py", "readers/*.py")
"""The same within `cotasks.builders`; what fetches sources or writes folders is not among them."""


@cache
def code_hash() -> str:
    """sha256 over the modules that shape rows, so that a cache made by other code is not reused."""
    package, builders = Path(__file__).parents[1], builders_folder()
    shaping = [package / name for name in SHAPES_ROWS]
    shaping += [path for pattern in BUILDER_ROWS for path in sorted(builders.glob(pattern))]
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
