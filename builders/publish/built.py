"""A folder that a build wrote: read back, and checked before its numbers are believed or published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.readers.source import SPLITS
from cotasks.errors import InputError, shorten
from cotasks.records.check import check
from cotasks.records.schema import FEATURES
from cotasks.records.shards import EVIDENCE, changed_files
from cotasks.tools.files import file_hash, read_json, read_text

BESIDE_PARQUET = ("build.json", "skipped.jsonl")
CROISSANT = "croissant.json"
IF_THERE = (EVIDENCE, CROISSANT)
"""What not every source has, or older builds do not."""
BUILD_KEYS = {"config": str, "options": dict, "sources": dict, "versions": dict, "splits": dict, "left_out": dict}
SPLIT_KEYS = {"questions": int, "records": int, "skipped": dict, "categories": dict, "span_origins": dict}
KEPT_KEYS: Mapping[str, Any] = {
    "span_origin": str,
    "entity_origin": str,
    "records": int,
    "grid_share": (int, float),
    "entity_share": (int, float, type(None)),
    "everything": int,
}
"""Those of a row of `localizes`, which older builds do not have."""
COUNTED = ("skipped", "categories", "span_origins")
"""Those of a split that are counts by name."""
LATER_COUNTED = ("entity_origins", "left_out_of_annotation")
LATER_COUNTS = ("used_answer", "own_clock", "unmatched_proposals")
"""The same, and those that are counts, which older builds do not have."""


@dataclass(frozen=True)
class Shard:
    """A parquet file of a built folder."""

    config: str
    split: str
    path: Path
    rows: int
    bytes: int
    sha256: str
    """Of the file, in hex; the Hub shows the same."""


@dataclass(frozen=True)
class BuiltFolder:
    """A folder that was checked."""

    path: Path
    builds: Mapping[str, Any]
    """Config -> its `build.json`."""
    shards: Sequence[Shard]
    readme: str
    """The text of its README.md."""
    others: tuple[str, ...]
    """Paths of files in it that no build wrote."""

    def files(self) -> list[Path]:
        """What builds wrote, without README.md."""
        beside = [self.path / config / name for config in self.builds for name in BESIDE_PARQUET]
        may_be = [self.path / config / name for config in self.builds for name in IF_THERE]
        beside += [path for path in may_be if path.is_file()]
        return beside + [shard.path for shard in self.shards]

    def shards_of(self, config: str) -> dict[str, list[Path]]:
        """Split -> its parquet files."""
        files: dict[str, list[Path]] = {}
        for shard in self.shards:
            if shard.config == config:
                files.setdefault(shard.split, []).append(shard.path)
        return files


def check_folder(folder: Path) -> BuiltFolder:
    """Read a built folder.

    Raises InputError where it is not what `cotasks build` writes: README.md, and of each config build.json,
    skipped.jsonl and parquet files with the columns of a record, as many rows and lines as build.json counts, with the
    sizes and hashes that it tells, and with values that the schema allows; or where croissant.json is
    none, or tells of other files.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one that `cotasks build` wrote")
    builds = read_builds(folder)
    if not builds or not (folder / "README.md").is_file():
        missing = "README.md" if builds else "CONFIG/build.json"
        raise InputError(f"{folder}: no {missing} in it; expected a folder that `cotasks build` wrote")
    shards = read_shards(folder, builds)
    if not shards:
        raise InputError(f"{folder}: its builds have no record; there is nothing to publish")
    for shard in shards:
        _check_features(shard.path)
    for config, build in builds.items():
        _check_skipped(folder / config / "skipped.jsonl", build)
        _check_files(folder / config, build)
        _check_croissant(folder / config / CROISSANT, build)
    for shard in shards:
        _check_values(shard.path)
    readme = read_text(folder / "README.md")
    checked = BuiltFolder(folder, builds, shards, readme, ())
    known = {folder / "README.md", *checked.files()}
    others = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p not in known)
    return BuiltFolder(folder, builds, shards, readme, tuple(others))


def read_builds(folder: Path) -> dict[str, Any]:
    """Config -> its `build.json`, in the order of the catalog; empty where no build wrote the folder.

    Raises InputError where one is damaged or lacks what every build writes.
    """
    return {
        config: _read_build(folder / config / "build.json", config)
        for config in CATALOG
        if (folder / config / "build.json").exists()
    }


def _read_build(path: Path, config: str) -> Any:
    build = read_json(path)
    _check_keys(path, "", build, BUILD_KEYS)
    if build["config"] != config:
        raise InputError(f"{path}: config is {shorten(build['config'])}; expected {config!r}, as its folder is named")
    for name in ("sources", "left_out"):
        for key, value in build[name].items():
            if not isinstance(value, str):
                raise InputError(f"{path}: {name}: {shorten(key)} is {shorten(value)}; expected a text; build it again")
    for split, summary in build["splits"].items():
        if split not in SPLITS:
            raise InputError(f"{path}: split {shorten(split)}; expected one of {', '.join(SPLITS)}")
        _check_keys(path, f"splits.{split}", summary, SPLIT_KEYS)
        for name in COUNTED:
            _check_counts(path, f"splits.{split}.{name}", summary[name])
        for name in LATER_COUNTED:
            _check_keys(path, f"splits.{split}", {name: {}, **summary}, {name: dict})
            _check_counts(path, f"splits.{split}.{name}", summary.get(name, {}))
        _check_counts(path, f"splits.{split}", {name: summary.get(name, 0) for name in LATER_COUNTS})
        _check_keys(path, f"splits.{split}", {"localizes": [], **summary}, {"localizes": list})
        for number, row in enumerate(summary.get("localizes", [])):
            _check_keys(path, f"splits.{split}.localizes[{number}]", row, KEPT_KEYS)
    return build


def _check_keys(path: Path, where: str, value: Any, keys: Mapping[str, Any]) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {where or 'it'} is {shorten(value)}; expected an object that `cotasks build` wrote")
    for key, kind in keys.items():
        if key not in value or not isinstance(value[key], kind):
            name = f"{where}.{key}" if where else key
            expected = kind.__name__ if isinstance(kind, type) else "a number"
            raise InputError(f"{path}: {name} is {shorten(value.get(key))}; expected {expected}; build it again")


def _check_counts(path: Path, where: str, counts: Mapping[str, Any]) -> None:
    for name, number in counts.items():
        if type(number) is not int or number < 0:
            raise InputError(f"{path}: {where}: {shorten(name)} is {shorten(number)}; expected a count; build it again")


def read_shards(folder: Path, builds: Mapping[str, Any]) -> list[Shard]:
    """The parquet files of the splits that have records, in the order of the card.

    Raises InputError where a file is missing or no parquet file, or where the rows are not as many as the build
    counted.
    """
    return [shard for config, build in builds.items() for shard in _config_shards(folder / config, config, build)]


def _config_shards(folder: Path, config: str, build: Any) -> Iterator[Shard]:
    for split in built_splits(build):
        paths = sorted(folder.glob(f"{split}-*.parquet"))
        expected = [folder / f"{split}-{n:05d}-of-{len(paths):05d}.parquet" for n in range(len(paths))]
        if not paths or paths != expected:
            found = ", ".join(path.name for path in paths) or "none"
            raise InputError(f"{folder}: parquet files of split {split}: {found}; expected a whole set; build it again")
        shards = [Shard(config, split, p, _row_count(p), p.stat().st_size, file_hash(p)) for p in paths]
        rows, records = sum(shard.rows for shard in shards), build["splits"][split]["records"]
        if rows != records:
            raise InputError(
                f"{folder}: split {split} has {rows} rows, but build.json counts {records} records; build it again"
            )
        yield from shards


def built_splits(build: Any) -> list[str]:
    """The splits of a build that have records."""
    return [split for split in SPLITS if build["splits"].get(split, {}).get("records")]


def _row_count(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise InputError(f"{path}: not a parquet file, or cut off ({str(error).splitlines()[0]})") from None


def _check_features(path: Path) -> None:
    try:
        found = Features.from_arrow_schema(pq.read_schema(path))
    except (pa.ArrowException, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its columns cannot be read ({str(error).splitlines()[0]}); build it again") from None
    for name in dict.fromkeys([*FEATURES, *found]):
        if found.get(name) != FEATURES.get(name):
            is_now, expected = shorten(found.get(name)), shorten(FEATURES.get(name))
            raise InputError(f"{path}: column {name} is {is_now}; expected {expected}; build it again")


def _check_files(folder: Path, build: Any) -> None:
    for path in changed_files(folder, build):
        raise InputError(
            f"{path}: not the size or sha256 in build.json; expected the file that the build wrote; build it again"
        )


def _check_croissant(path: Path, build: Any) -> None:
    """That it is JSON and tells of this build's files; its words may be those of another version, or its owner's."""
    if not path.is_file():
        return
    found = read_json(path)
    listed = found.get("distribution") if isinstance(found, dict) else None
    told = [(row.get("contentUrl"), row.get("sha256")) for row in _of_mappings(listed)]
    if "files" not in build:  # an older build
        return
    named = build["files"].items() if isinstance(build["files"], dict) else ()
    expected = [(n, row.get("sha256")) for n, row in named if n.endswith(".parquet") and isinstance(row, dict)]
    if told != expected:
        raise InputError(f"{path}: distribution is not the parquet files of build.json; build it again")


def _of_mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _check_values(path: Path) -> None:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                check(file.read_row_group(group), str(path))
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]}); build it again") from None


def _check_skipped(path: Path, build: Any) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the skipped questions of the build")
    with path.open("rb") as file:
        rows = sum(1 for _ in file)
    expected = sum(sum(summary["skipped"].values()) for summary in build["splits"].values())
    if rows != expected:
        raise InputError(f"{path}: {rows} lines, but build.json counts {expected} skipped questions; build it again")
