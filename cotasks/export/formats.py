"""The formats: one row each. A format of runs takes a `Judged`, one of records a `Subject`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from cotasks.errors import InputError, MissingExtra


@dataclass(frozen=True)
class Written:
    """What an export wrote."""

    what: str
    """In words, with numbers: `3 logs, 150 samples`."""
    notes: tuple[str, ...] = ()
    """What was left out, and what can be done with the files; a sentence each."""


@dataclass(frozen=True)
class Format:
    """One row."""

    name: str
    of: Literal["run", "records"]
    help: str
    module: str
    """Below `cotasks.export`; its `write(subject, folder)` writes the files and returns `Written`."""
    package: str | None = None
    """To be installed for writing."""

    @property
    def write(self) -> Callable[[Any, Path], Written]:
        """Raises MissingExtra where the package is not installed."""
        module = import_module(f"cotasks.export.{self.module}")
        if self.package is not None:
            try:
                import_module(self.package)
            except ModuleNotFoundError as error:
                if error.name is None or error.name.partition(".")[0] != self.package:
                    raise
                raise MissingExtra(f"{self.package} is not installed; run: pip install {self.package}") from None
        write: Callable[[Any, Path], Written] = module.write
        return write


FORMATS = {
    row.name: row
    for row in (
        Format("inspect", "run", "an .eval log a condition, for `inspect view`", "inspect_log", "inspect_ai"),
        Format("lm", "run", "results and samples as lmms-eval writes them", "lmms_log"),
        Format("hub", "run", "a data set of the answers, and the results for a model card", "hub_details"),
        Format("fiftyone", "records", "frame and temporal detections, for FiftyOne", "fiftyone_labels"),
        Format("cvat", "records", "tracks of a video, CVAT for video 1.1", "cvat"),
        Format("coco-video", "records", "COCO-style video JSON in TAO's form", "coco_video"),
    )
}


def format_named(name: str) -> Format:
    """Raises InputError where there is no such format."""
    if name not in FORMATS:
        raise InputError(f"--to is {name!r}; expected {', '.join(FORMATS)}")
    return FORMATS[name]
