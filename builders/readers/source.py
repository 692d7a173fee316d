"""What a source is to the build: its row in the catalog, and what its reader gives.

A reader is one function, `plan`: it reads the questions of a split, and hands on an `Annotator` that knows the
annotation of their videos. The build asks the annotator video by video, on several processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cotasks.errors import InputError
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.words.types import QuestionTypes

SPLITS = ("train", "validation", "test")
SHORT_SPLIT = {"train": "train", "validation": "val", "test": "test"}
"""Split -> its name in the sources' file names."""


@dataclass(frozen=True)
class SourceFile:
    """A published file."""

    path: str
    """Where it belongs below a data folder."""
    url: str
    git_blob: str | None = None
    """Git's id of its bytes, as the repository at this commit states it; None where its publisher states none."""
    size: int | None = None
    """Bytes; None where that is not known before the server says so."""


@dataclass(frozen=True)
class Asked:
    """What a reader is asked for: a split, and the options that shape it."""

    split: str
    """train, validation or test."""
    root: Path
    """The folder that the source's files lie in."""
    trees: tuple[str, ...]
    """Every folder or zip of annotation that is looked up by video; none where the source has no such."""
    videos: str | None
    """The folder of the videos whose headers are to be read; None where they are not."""
    localization: str
    """As in `BuildOptions`."""
    num_frames: int
    """Frames of the grid."""
    grid: Literal["snapped", "uniform"]
    pages: Mapping[str, str]
    """Start of a path below `root` -> the page that offers it."""
    strict: bool = False
    """Whether one odd box or relation costs the whole video, where it else costs itself."""
    name: str | None = None
    """What the records are to say in `source`, where the user's own files are built; None for what the reader says."""

    @property
    def short(self) -> str:
        """The split's name in the sources' file names: train, val, test."""
        return SHORT_SPLIT[self.split]

    def require(self, relative: str) -> Path:
        """A path below `root`, if it exists. Raises InputError that names it and says where to get it."""
        path = self.root / relative
        if path.exists():
            return path
        page = page_of(relative, self.pages)
        raise InputError(f"{path}: no such file" + (f"; get it from {page}" if page else ""), "missing file")


def page_of(relative: str, pages: Mapping[str, str]) -> str | None:
    """The page that offers a file, by the longest start of its path; None where none is known."""
    starts = [start for start in pages if relative.startswith(start)]
    return pages[max(starts, key=len)] if starts else None


class Annotator(ABC):
    """The annotation of a split's videos. It is handed to other processes, so it must be what pickle can copy."""

    def missing(self, question: Question) -> str | None:
        """Why the video of a question has no annotation to read; None where it has some. Reads nothing."""
        return None

    def key(self, question: Question) -> str:
        """What an annotation belongs to: questions in a row with the same key share one. By default the video."""
        return question.video_id

    @abstractmethod
    def annotate(self, question: Question) -> VideoAnnotation:
        """The annotation of a question's video, or of its clip, on the grid. Raises InputError with the reason to skip
        the question, and all others with its key."""

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """Where the source says that the answer can be seen; None where it does not say. Raises InputError with the
        reason to skip the question."""
        return None

    def stated(self, question: Question) -> Mapping[str, Any] | None:
        """What the source states of the answer's evidence and no record holds, for its publisher's own scores; None
        where there is no such. It goes into `evidence.jsonl` beside the records, with the record's id."""
        return None

    def size(self, video_id: str) -> int:
        """Bytes of annotation to parse, so that processes get equal shares; 0 where it came with the questions."""
        return 0

    def checksum(self, video_id: str) -> int | None:
        """Of the video's annotation, for the build's record of what it read; None where a file's hash says it."""
        return None


@dataclass(frozen=True)
class Plan:
    """The questions of a split, before their videos' annotation is read."""

    questions: Sequence[Question]
    """In the order of the source."""
    skipped: Sequence[Skipped]
    """Questions that cannot be used, whatever the annotation says."""
    annotator: Annotator


@dataclass(frozen=True)
class Source:
    """A row of the catalog: all that the build knows of a config, but for how its files read."""

    config: str
    description: str
    title: str
    """What people call the source."""
    types: QuestionTypes | None
    """Its question types, see `cotasks.words.types`; None where its files bring their own."""
    licences: tuple[str, ...]
    """Of its files, by the Hub's names."""
    parts: tuple[Callable[[Asked], Plan], ...]
    """Its readers: one, or for a config made of several sources one each."""
    questions: tuple[str, ...]
    """Files that a split needs, below the data folder; `{split}` stands for its name of `split_names`."""
    split_names: Mapping[str, str] = field(default_factory=lambda: dict(SHORT_SPLIT))
    """Split -> its name in the names of `questions`."""
    reads: tuple[str, ...] = ()
    """Patterns of the other files that it reads, below the data folder."""
    trees: str | None = None
    """Folder of annotation that is looked up by video, below the data folder; further ones are named by `vidor`."""
    files: tuple[SourceFile, ...] = ()
    """Those that can be fetched where no data folder is given; none where its publisher lets no program fetch them."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """Start of a path below the data folder -> the page where its publishers offer it."""
    takes: frozenset[str] = frozenset({"data_dir"})
    """Which of `data_dir`, `vidor`, `videos`, `source` and `license` it takes."""
    has_human_spans: bool = False
    """Whether people marked when answers can be seen, so that step 1 can be `human`."""
    folder: Path | None = None
    """Where its files lie inside the package; None for all but the embedded sample."""
    about: Callable[[Path], Mapping[str, str]] | None = None
    """Reads what the data folder says of its `source` and `license`, where that is the user's to say."""
    renamed: str | None = None
    """What its records say in `source` and at the start of `id`; None for what the readers say."""
