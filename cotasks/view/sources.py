"""What is shown: data sets, runs and predictions, and the records and videos that belong to them.

A predictions folder is a run as well: its answers are what the model wrote of each step, and what was read of them is
drawn beside the true steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cotasks.errors import CotasksError, InputError
from cotasks.judge.judges import judges_of, verdicts_of
from cotasks.judge.verdicts import Verdict
from cotasks.records.dataset import SAMPLE, Records, load_records
from cotasks.records.videos import Videos
from cotasks.runs.folder import Key
from cotasks.runs.predictions import PredictionsFolder, load_predictions
from cotasks.runs.records import Loaded, named_records, says_which
from cotasks.runs.run import Run, model_name, read_run
from cotasks.step_scores.joint import Evidence, add_steps, predictions_of
from cotasks.step_scores.table import scores_of

EVIDENCE_RIGHT = 0.5
"""IoP of spans, and main scores of steps 1 and 2, from which on evidence counts as right; as `metrics.joint` has it."""


@dataclass(frozen=True)
class Where:
    """What the paths do not say."""

    dataset: str | None = None
    """The records of the runs; None for where each `run.json` says."""
    config: str | None = None
    split: str | None = None
    """Of data sets."""
    videos: Path | None = None
    """None for what `run.json` names, or the sample's own."""
    video_check: str = "fail"


@dataclass(frozen=True)
class Source:
    """A run, predictions, or a data set alone."""

    name: str
    """Of the run or data set; unique."""
    model: str
    """Empty for a data set."""
    run: Run | None = None
    records: Records | None = None
    """Those that it asked, where they are at hand."""
    videos: Videos | None = None
    verdicts: Mapping[str, Mapping[Key, Verdict]] = field(default_factory=dict)
    """{judge: {key: verdict}}"""
    predictions: PredictionsFolder | None = None
    """Predicted steps that belong to its answers."""
    overlaps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Record id -> (IoP, IoU) of predicted spans."""
    steps: Mapping[str, Mapping[int, float | None]] = field(default_factory=dict)
    """Record id -> step -> main score of its prediction, 0 to 1."""

    def evidence(self, record_id: str) -> bool | None:
        """Whether the evidence for an answer is right: the IoP of predicted spans where the true ones are marked, else
        the frames of step 1; and the boxes of step 2. As far as they are scored; None where none is."""
        overlap, steps = self.overlaps.get(record_id), self.steps.get(record_id, {})
        found = [overlap[0] if overlap is not None else steps.get(1), steps.get(2)]
        scored = [score for score in found if score is not None]
        return all(score >= EVIDENCE_RIGHT for score in scored) if scored else None


@dataclass(frozen=True)
class Opened:
    """All that is shown."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    """What is missing, and why, without paths of this machine."""

    @property
    def judges(self) -> list[str]:
        """All judges of the runs, in order."""
        return list(dict.fromkeys(judge for source in self.sources for judge in source.verdicts))


def open_sources(paths: Sequence[str], where: Where) -> Opened:
    """Read what the paths name: run folders and predictions folders (with `run.json`), else data sets.

    Raises InputError where one cannot be read, or records or videos are not at the place given for them.
    """
    if where.videos is not None and not where.videos.is_dir():
        raise InputError(f"{where.videos}: no such folder; expected the folder of the videos")
    paths = list(dict.fromkeys(paths))
    runs = {path for path in paths if path != SAMPLE and (Path(path) / "run.json").is_file()}
    data = {path: load_records(path, where.split, where.config) for path in paths if path not in runs}
    loaded: Loaded = {}
    names = _names(paths)
    sources, notes = [], []
    for path, name in zip(paths, names, strict=True):
        if path in data:
            records = data[path]
            sources.append(Source(name, "", None, records, _videos(records, where, None)))
            continue
        source, said = _open_run(Path(path), name, where, list(data.values()), loaded)
        sources.append(source)
        notes += [f"{name}: {text}." for text in said]
    return Opened(tuple(_with_videos(sources)), tuple(notes))


def _names(paths: Sequence[str]) -> list[str]:
    """The last part of each path, and where two share one, a number behind it."""
    names: list[str] = []
    for path in paths:
        last = path if path == SAMPLE else Path(path).resolve().name if Path(path).exists() else path
        alike = [last, *(f"{last} ({number})" for number in range(2, len(paths) + 1))]
        names.append(next(name for name in alike if name not in names))
    return names


def _open_run(
    folder: Path, name: str, where: Where, given: Sequence[Records], loaded: Loaded
) -> tuple[Source, list[str]]:
    """(a run with all that belongs to it, what is missing of that)."""
    run, notes = read_run(folder), list[str]()
    verdicts: dict[str, Mapping[Key, Verdict]] = {}
    for judge in judges_of(folder):
        try:
            verdicts[judge] = verdicts_of(run, judge)
        except InputError as error:
            notes.append(f"judge {judge} is left out ({error.reason})")
    records, missing = _records(run, where, given, loaded)
    notes += [f"no record is at hand, so no steps and no video: {missing}"] if missing else []
    settings: Any = run.settings.get("dataset")
    videos = None if records is None else _videos(records, where, settings.get("videos"))
    predictions, evidence = None, Evidence()
    at = folder if "predict" in run.settings else predictions_of(run)
    if at is not None and records is not None:
        try:
            predictions = load_predictions(at, records, ())
            add_steps(records, predictions, scores_of(records, predictions), evidence)
        except InputError as error:
            notes.append(f"predicted steps are not shown ({error.reason})")
    return Source(
        name, model_name(run), run, records, videos, verdicts, predictions, evidence.overlaps, evidence.steps
    ), notes


def _records(run: Run, where: Where, given: Sequence[Records], loaded: Loaded) -> tuple[Records | None, str]:
    """(the records that a run asked, why there are none). Raises InputError where they are not those of the place that
    was given."""
    settings: Any = run.settings.get("dataset")
    if not says_which(settings):
        return None, "run.json does not say which it asked"
    for records in given:
        if records.fingerprint == settings["fingerprint"]:
            return records, ""
    try:
        records = named_records(settings, where.dataset, loaded)
    except CotasksError:
        if where.dataset is not None:
            raise
        return None, "the data set that run.json names is not there; --dataset says where it is"
    if records.fingerprint == settings["fingerprint"]:
        return records, ""
    if where.dataset is not None:
        raise InputError(f"{where.dataset}: other records than those that {run.folder} asked")
    return None, "those of the data set are not those that the run asked (other fingerprint)"


def _videos(records: Records, where: Where, named: Any) -> Videos | None:
    """The videos in the folder given, the one that run.json names, or the sample's own."""
    folder = records.video_folder(where.videos or (named if isinstance(named, str) else None))
    return Videos(folder, where.video_check) if folder is not None and folder.is_dir() else None


def _with_videos(sources: Sequence[Source]) -> list[Source]:
    """Sources over the same records share their videos: a data set names none, a run over it may."""
    known = {s.records.fingerprint: s.videos for s in reversed(sources) if s.records is not None and s.videos}
    return [
        replace(s, videos=known.get(s.records.fingerprint)) if s.records is not None and s.videos is None else s
        for s in sources
    ]
