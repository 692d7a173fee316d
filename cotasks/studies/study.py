"""What a study is: the conditions it asks, the tables it makes of their scores, its pictures, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cotasks.metrics.contrasts import Scores
from cotasks.records.dataset import Records

CORRUPTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Probabilities with which step 1 is corrupted."""

SUB_RUN = "sub-questions"
"""The run folder of sub-questions, within a study's folder."""

BASE = "base"
"""In a study of tuned models, the name of the one that they were made of."""
PREDICTED = "predicted"
NONE: Mapping[str, str] = MappingProxyType({})
"""No tuned models."""

Row = dict[str, Any]
Tables = Mapping[str, Sequence[Mapping[str, Any]]]
"""{name of a table: its rows}, as in `study.json`."""
Picture = tuple[str, Callable[[Any, Tables], None]]
"""(name of the PNG file without its ending, what draws it on a figure)."""


@dataclass(frozen=True)
class Setup:
    """What a study is run on."""

    records: Records
    grid: int
    """The most frames that every record can be shown; see `common_grid`."""
    corruptions: Sequence[float] = CORRUPTIONS
    """Probabilities that step 1 is corrupted with; each between 0 and 1, ascending."""
    seeds: int = 1
    """Corruptions drawn of each probability."""
    judge: str = "exact"
    """Who scores the answers."""
    annotation: Path | None = None
    """A folder of `cotasks annotate`, for the study of annotation."""
    conditions: Sequence[str] = ()
    """What is asked in place of the study's own conditions; empty for those. For `Study.takes_conditions`."""
    tuned: Mapping[str, str] = field(default_factory=dict)
    """Name -> model, for the study of fine-tuning."""


@dataclass(frozen=True)
class Study:
    """One study; each has a file of its own, and its row in `cotasks.studies.STUDIES`."""

    name: str
    title: str
    reading: str
    """How its numbers are to be read, in Markdown."""
    conditions: Callable[[Setup], Sequence[str]]
    """Texts of `cotasks.prompts.parse_condition`, all for one run. Raises InputError where there are too few frames."""
    tables: Callable[[Setup, Scores, Path], dict[str, list[Row]]]
    """{name: flat rows} from the scores of its run and the study's folder. Scores run from 0 to 100; see
    `cotasks.studies.rows` for what a row of means or differences holds."""
    pictures: Callable[[Tables], Sequence[Picture]]
    predicts: bool = False
    """Whether the model's own steps are needed first."""
    takes_conditions: bool = False
    """Whether others may be asked in place of its conditions."""
    asks_sub_questions: bool = False
    """Whether the records' sub-questions are asked too, in a run of their own, `sub-questions/`."""
    rungs: tuple[str, ...] = ()
    """Names of further conditions, each `predicted` with a predictions folder of its own, asked in a run of its own."""
    prepare: Callable[[Setup, Path, str], None] | None = None
    """Writes the predictions folder of a rung, given its path and the rung's name."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """{name of a table: its title on the page}, where it is another than usual."""
    asks_tuned: bool = False
    """Whether tuned models are asked too, each in a run of its own; conditions are then named `MODEL: CONDITION`."""


def predictions_folder(folder: Path, name: str) -> Path:
    """The predictions folder of `predicted`, of one of a study's rungs, or of a tuned model."""
    return folder / ("predictions" if name == PREDICTED else f"predictions-{name}")


def run_folder(folder: Path, rung: str) -> Path:
    """The run folder of a rung, or of a tuned model."""
    return folder / f"run-{rung}"


def common_grid(records: Records) -> int:
    """The most frames that every record can be shown: the shortest grid that is not a whole clip, frame by frame; the
    longest where all are."""
    lengths, whole = records.grids
    return int(lengths[~whole].min() if (~whole).any() else lengths.max())
