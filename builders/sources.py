"""Which files a build reads: where they lie under `data_dir`, where to get them, and their fingerprints.

nextqa/{oe,mc}/{train,val,test}.csv   nextqa/map_vid_vidorID.json   nextqa/add_reference_answer_test.json
nextgqa/gsub_{val,test}.json
vidor/                                VidOR annotation: folders or zips, in any layout `vidor.py` knows
star/STAR_{train,val,test}.json       star/STAR_classes/*.txt       star/STAR_classes/video_fps
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cotasks.errors import InputError
from cotasks.records.timeline import NUM_FRAMES
from cotasks.sample import DATA_DIR as SAMPLE_DIR

CONFIGS = ("sample", "nextqa_oe", "nextqa_mc", "star")
SPLITS = ("train", "validation", "test")
SHORT_SPLIT = {"train": "train", "validation": "val", "test": "test"}
"""Split -> its name in the sources' file names."""

WHERE = {
    "nextqa/oe": "https://github.com/doc-doc/NExT-OE (dataset/nextqa)",
    "nextqa/mc": "https://github.com/doc-doc/NExT-QA (dataset/nextqa)",
    "nextqa/map_vid_vidorID.json": "https://github.com/doc-doc/NExT-QA (dataset/nextqa)",
    "nextqa/add_reference_answer_test.json": "https://github.com/doc-doc/NExT-OE (dataset/nextqa)",
    "nextgqa": "https://github.com/doc-doc/NExT-GQA (datasets/nextgqa)",
    "vidor": "https://huggingface.co/datasets/shangxd/vidor (training-annotation.zip, validation-annotation.zip)",
    "star": "https://star-benchmark.s3.us-east.cloud-object-storage.appdomain.cloud/Question_Answer_SituationGraph/",
    "star/STAR_classes": "https://github.com/csbobby/STAR_Benchmark (annotations/STAR_classes)",
}
"""Start of a path under `data_dir` -> where its publishers offer it."""


@dataclass(frozen=True)
class BuildOptions:
    """What shapes the rows of a build, beside the files themselves."""

    config: str
    """One of CONFIGS."""
    data_dir: str | None = None
    """Folder with the source files, laid out as above; None has them downloaded. Not for `sample`."""
    vidor: tuple[str, ...] = ()
    """Further folders or zips of VidOR annotation."""
    videos: str | None = None
    """Folder of the STAR videos, to read frame count and size from their headers."""
    localization: str = "auto"
    """Origin of A1: `auto`, `human`, `lexical`, `whole`, or the path of a JSONL file of model proposals."""
    use_answer: bool = False
    """Let lexical A1 match words of the answer too; such records say `used_answer`."""
    grid: Literal["snapped", "uniform"] = "snapped"
    """STAR: put annotated keyframes on the grid, or leave it uniform."""
    num_frames: int = NUM_FRAMES
    """Frames of the grid."""
    limit: int | None = None
    """Only the first so many questions of each split, in the order of the source."""

    def __post_init__(self) -> None:
        if self.config not in CONFIGS:
            raise InputError(f"unknown config {self.config!r}; known: {', '.join(CONFIGS)}")
        if self.grid not in ("snapped", "uniform"):
            raise InputError(f"grid is {self.grid!r}; expected snapped or uniform")
        for name in ("num_frames", "limit"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise InputError(f"{name} is {number!r}; expected a whole number of 1 or more")
        if self.config == "sample" and (self.data_dir or self.vidor or self.videos):
            raise InputError("the sample is part of the package; it takes no data_dir, vidor or videos")
        if self.localization == "human" and self.config == "star":
            raise InputError("localization: STAR has no human spans; expected auto, lexical, whole or a .jsonl file")
        if self.localization.endswith(".jsonl") and not os.path.isfile(self.localization):
            raise InputError(f"localization: {self.localization}: no such file")
        if self.localization not in ("auto", "human", "lexical", "whole") and not os.path.isfile(self.localization):
            known = "auto, human, lexical, whole or a .jsonl file"
            raise InputError(f"localization is {self.localization!r}; expected {known}")

    @property
    def downloads(self) -> bool:
        """Whether no folder was given that the sources lie in, so that `download.fetched` is to fetch them."""
        return self.config != "sample" and self.data_dir is None

    @property
    def root(self) -> Path:
        """The folder that the sources lie in. Raises InputError where none was given, or it is missing."""
        if self.config == "sample":
            return Path(SAMPLE_DIR)
        if self.data_dir is None:
            raise InputError(f"config {self.config}: no data_dir given; expected the folder of the source files")
        root = Path(self.data_dir).expanduser()
        if not root.is_dir():
            raise InputError(f"data_dir {self.data_dir}: no such folder")
        return root

    @property
    def vidor_paths(self) -> list[str]:
        """Every folder or zip of VidOR annotation: `vidor/` under the data folder where there is one, then `vidor`."""
        default = [] if self.downloads else [str(self.root / "vidor")]
        return [path for path in default if os.path.exists(path)] + [os.path.expanduser(path) for path in self.vidor]

    @property
    def video_folder(self) -> str | None:
        """The folder of the videos whose headers the build reads."""
        return str(self.root / "videos") if self.config == "sample" else self.videos

    def shaping(self) -> dict[str, Any]:
        """The options that shape rows and are no paths, for fingerprints and `build.json`."""
        paths = ("data_dir", "vidor", "videos")
        options = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in paths}
        if os.path.isfile(self.localization):
            options["localization"] = "model:" + file_hash(Path(self.localization))
        return options


def parts_of(config: str) -> tuple[str, ...]:
    """The source variants that a config reads: `oe`, `mc`, `star`."""
    return ("oe", "mc", "star") if config == "sample" else (config.removeprefix("nextqa_"),)


def question_file(options: BuildOptions, part: str, split: str) -> Path:
    """The file with the questions of a part and split; it may be missing."""
    short = SHORT_SPLIT[split]
    return options.root / (f"star/STAR_{short}.json" if part == "star" else f"nextqa/{part}/{short}.csv")


def require(path: Path, root: Path) -> Path:
    """The path, if it exists. Raises InputError that names it and says where to get it."""
    if path.exists():
        return path
    raise InputError(f"{path}: no such file; get it from {where(path.relative_to(root).as_posix())}", "missing file")


def where(relative: str) -> str:
    """The page that offers a file, by its path below a data folder."""
    return WHERE[max((key for key in WHERE if relative.startswith(key)), key=len)]


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def source_files(options: BuildOptions) -> Iterator[Path]:
    """The files that a build may read, without VidOR annotation and videos; those that are there."""
    if options.downloads:
        return
    candidates: list[Path] = []
    for part in parts_of(options.config):
        candidates += [question_file(options, part, split) for split in SPLITS]
        if part == "star":
            classes = options.root / "star/STAR_classes"
            candidates += [*sorted(classes.glob("*.txt")), classes / "video_fps"]
        else:
            names = ("nextqa/map_vid_vidorID.json", "nextqa/add_reference_answer_test.json")
            candidates += [options.root / name for name in names]
            candidates += [options.root / f"nextgqa/gsub_{short}.json" for short in ("val", "test")]
    for path in dict.fromkeys(candidates):
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

    Question files and lists count by content. VidOR trees and videos, which can be many gigabytes, count by path, size
    and time of change, as `datasets` counts local data files.
    """
    digest = hashlib.sha256(repr(sorted(options.shaping().items())).encode())
    if options.downloads:
        digest.update(b"published files")  # the code says which, and has its own place in the cache key
    for source in source_files(options):
        digest.update(f"{source.relative_to(options.root).as_posix()} {file_hash(source)}\n".encode())
    trees = [] if options.config == "star" else options.vidor_paths
    for tree in [*trees, *([options.videos] if options.videos else [])]:
        for path in _files_below(tree):
            digest.update((file_hash(Path(path)) if options.config == "sample" else _stat_line(path)).encode())
    return digest.hexdigest()
