"""Which files a build reads, by the catalog's row of its config, and their fingerprints."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cotasks.builders.readers.catalog import CATALOG, source_of
from cotasks.builders.readers.source import Asked, Source, page_of
from cotasks.errors import InputError
from cotasks.records.timeline import NUM_FRAMES
from cotasks.tools.files import file_hash
from cotasks.words.types import ALL, KNOWN, MIXED


@dataclass(frozen=True)
class BuildOptions:
    """What shapes the rows of a build, beside the files themselves."""

    config: str
    """A config of the catalog."""
    data_dir: str | None = None
    """Folder with the source files, laid out as `readers.catalog` says; None has them downloaded. Not for `sample`."""
    vidor: tuple[str, ...] = ()
    """Further folders or zips of VidOR annotation."""
    videos: str | None = None
    """Folder of the videos, to read rate, frame count and size from headers; for STAR, CaST-Bench and own data."""
    source_name: str | None = None
    """Own data: what the records say in `source`; by default what `own.json` says, else `own`."""
    license: str | None = None
    """Own data: its licence, by the Hub's names, for the card; by default what `own.json` says."""
    localization: str = "auto"
    """Origin of A1: `auto`, `human`, `lexical`, `whole`, or the path of a JSONL file of model proposals."""
    use_answer: bool = False
    """Let lexical A1 match words of the answer too; such records say `used_answer`."""
    grid: Literal["snapped", "uniform"] = "snapped"
    """Where only some frames are annotated: put these on the grid, or leave it uniform."""
    num_frames: int = NUM_FRAMES
    """Frames of the grid."""
    limit: int | None = None
    """Only the first so many questions of each split, in the order of the source."""
    strict: bool = False
    """Skip the questions of a video for one odd box or relation in its annotation, which is else left out; STAR and own
    data know no such."""

    def __post_init__(self) -> None:
        source = self.source
        if self.grid not in ("snapped", "uniform"):
            raise InputError(f"grid is {self.grid!r}; expected snapped or uniform")
        for name in ("num_frames", "limit"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise InputError(f"{name} is {number!r}; expected a whole number of 1 or more")
        paths = ("data_dir", "vidor", "videos")
        refused = [name for name in paths if getattr(self, name) and name not in source.takes]
        if refused and source.folder is not None:
            raise InputError(f"{source.title} is part of the package; it takes no data_dir, vidor or videos")
        refused += [name for name, given in self._named.items() if given and name not in source.takes]
        if refused:
            raise InputError(f"config {self.config} takes no {refused[0]}; leave it out")
        if self.source_name is not None:
            check_source_name(self.source_name, "source")
        if self.localization == "human" and not source.has_human_spans:
            expected = "auto, lexical, whole or a .jsonl file"
            raise InputError(f"localization: {source.title} has no human spans; expected {expected}")
        if self.localization.endswith(".jsonl") and not os.path.isfile(self.localization):
            raise InputError(f"localization: {self.localization}: no such file")
        if self.localization not in ("auto", "human", "lexical", "whole") and not os.path.isfile(self.localization):
            known = "auto, human, lexical, whole or a .jsonl file"
            raise InputError(f"localization is {self.localization!r}; expected {known}")

    @property
    def source(self) -> Source:
        """The catalog's row of the config. Raises InputError where there is none."""
        return source_of(self.config)

    @property
    def _named(self) -> dict[str, str | None]:
        """What the user names of own data, by the names of the options."""
        return {"source": self.source_name, "license": self.license}

    @property
    def about(self) -> dict[str, str]:
        """`source` and `license` of own data: as given, else as the data folder says. Raises InputError."""
        if self.source.about is None:
            return {}
        stated = {**self.source.about(self.root), **{name: given for name, given in self._named.items() if given}}
        if "source" in stated:
            check_source_name(stated["source"], "source")
        return stated

    @property
    def downloads(self) -> bool:
        """Whether no folder was given that the sources lie in, so that `download.fetched` is to fetch them."""
        return bool(self.source.files) and self.data_dir is None

    @property
    def root(self) -> Path:
        """The folder that the sources lie in. Raises InputError where none was given, or it is missing."""
        if self.source.folder is not None:
            return self.source.folder
        if self.data_dir is None:
            raise InputError(f"config {self.config}: no data_dir given; expected the folder of the source files")
        root = Path(self.data_dir).expanduser()
        if not root.is_dir():
            raise InputError(f"data_dir {self.data_dir}: no such folder")
        return root

    @property
    def trees(self) -> list[str]:
        """Every folder or zip of annotation that is looked up by video: the source's own below the data folder where
        there is one, then `vidor`."""
        if self.source.trees is None:
            return []
        default = [] if self.downloads else [str(self.root / self.source.trees)]
        return [path for path in default if os.path.exists(path)] + [os.path.expanduser(path) for path in self.vidor]

    def asked(self, split: str) -> Asked:
        """What the source's readers are asked for."""
        return Asked(
            split=split,
            root=self.root,
            trees=tuple(self.trees),
            videos=self.videos,
            localization=self.localization,
            num_frames=self.num_frames,
            grid=self.grid,
            pages=self.source.pages,
            strict=self.strict,
            name=self.about.get("source"),
        )

    def shaping(self) -> dict[str, Any]:
        """The options that shape rows and are no paths, for fingerprints and `build.json`."""
        apart = ("data_dir", "vidor", "videos", "source_name", "license")
        options = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in apart}
        if not self.strict:
            del options["strict"]  # so that a build without it tells what earlier versions told
        options |= self.about
        if os.path.isfile(self.localization):
            options["localization"] = "model:" + file_hash(Path(self.localization))
        return options


def check_source_name(name: str, place: str) -> None:
    """Raises InputError where a name would be taken for that of a known source, or cannot begin an id."""
    taken = (*KNOWN, *MIXED, ALL)
    if name in taken or not name.strip() or "/" in name or not name.isprintable():
        raise InputError(f"{place} is {name!r}; expected a name without / that is none of {', '.join(taken)}")


def question_files(options: BuildOptions, split: str) -> list[Path]:
    """The files that a split needs; some may be missing."""
    source = options.source
    return [options.root / name.format(split=source.split_names[split]) for name in source.questions]


def where(relative: str) -> str | None:
    """The page that offers a file, by its path below a data folder; None where none is known."""
    return page_of(relative, {start: page for source in CATALOG.values() for start, page in source.pages.items()})


def source_files(options: BuildOptions) -> Iterator[Path]:
    """The files that a build may read, without annotation that is looked up by video and without videos; those that
    are there."""
    if options.downloads:
        return
    root, source = options.root, options.source
    found = [root / name.format(split=split) for name in source.questions for split in source.split_names.values()]
    found += [path for pattern in source.reads for path in sorted(root.glob(pattern))]
    for path in dict.fromkeys(found):
        if path.is_file():
            yield path


def _files_below(tree: str) -> Iterator[str]:
    if os.path.isfile(tree):
        yield tree
    for folder, subfolders, names in os.walk(tree):
        subfolders.sort()
        yield from (os.path.join(folder, name) for name in sorted(names))


def _stat_line(path: str) -> str:
    status = os.stat(path)
    return f"{path} {status.st_size} {status.st_mtime_ns}\n"


def fingerprint(options: BuildOptions) -> str:
    """A key that changes when the options or a source file change, and is quick to compute.

    Question files and lists count by content. Trees of annotation and videos, which can be many gigabytes, count by
    path, size and time of change, as `datasets` counts local data files.
    """
    digest = hashlib.sha256(repr(sorted(options.shaping().items())).encode())
    if options.downloads:
        digest.update(b"published files")  # the code says which, and has its own place in the cache key
    for source in source_files(options):
        digest.update(f"{source.relative_to(options.root).as_posix()} {file_hash(source)}\n".encode())
    embedded = options.source.folder is not None
    for tree in [*options.trees, *([options.videos] if options.videos else [])]:
        for path in _files_below(tree):
            digest.update((file_hash(Path(path)) if embedded else _stat_line(path)).encode())
    return digest.hexdigest()
