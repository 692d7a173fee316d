"""The files of a built folder as its `build.json` tells them: name -> {"bytes", "sha256"}, so that damage is seen.

Parquet has a checksum a page, which covers neither the heads of the pages nor the file's own description.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.tools.files import file_hash, read_json

EVIDENCE = "evidence.jsonl"
"""Beside the parquet of a config whose source states more of the evidence than a record holds: a row a record, `id` and
what the source states, in the words of its publisher's scores."""


def file_rows(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """What `build.json` says of files, by name."""
    return {path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)} for path in sorted(paths)}


def changed_files(folder: Path, build: Any, pattern: str = "*", *, rewritten: bool = True) -> Iterator[Path]:
    """The files of a config's folder that are not what its build wrote.

    Args:
        folder: `<built folder>/<config>`.
        build: its `build.json`; of an older version it names no files, and none is found.
        pattern: of the names of the files to look at.
        rewritten: whether files of another size count too. Damage to a stored file keeps its size; who writes the file
            anew, by pandas for example, hardly ever does.
    """
    files = build.get("files") if isinstance(build, dict) else None
    for name, row in files.items() if isinstance(files, dict) else ():
        path = folder / name
        if not path.match(pattern) or not isinstance(row, Mapping) or not path.is_file():
            continue
        if path.stat().st_size != row.get("bytes"):
            if rewritten:
                yield path
        elif file_hash(path) != row.get("sha256"):
            yield path


def check_hashes(dataset: str, config: str, split: str) -> None:
    """Raises InputError where a file of a split of a built folder was damaged since the build wrote it."""
    folder = Path(dataset) / config
    if not (folder / "build.json").is_file():
        return
    for path in changed_files(folder, read_json(folder / "build.json"), f"{split}-*.parquet", rewritten=False):
        raise InputError(
            f"{path}: its sha256 is not the one in build.json; expected the file as the build wrote it; build it again",
            "damaged file",
        )
