"""Evidence in imported answers -> predicted steps: a predictions folder `steps/` within the run.

    run.json, predictions/    as `cotasks predict` writes them, of steps 1 and 2; `boxes` says which convention was
                              found, or given, and on what ground
    generations/              empty: no step was asked for by itself
    evidence.jsonl            {id, instances, answer_choice}: the evidence in CaST-Bench's form, boxes in pixels

One hand wrote all answers of a file, so one convention holds for all boxes. Where several fit, none is taken: step 2 is
then not predicted of any answer, with the reason, until the convention is named; for if answers without boxes alone had
a score, their mean would pass for that of all. Where no answer of the file has a box, there is no step 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError
from cotasks.evidence import Evidence, TimedBox, predicted_steps, read_evidence, write_evidence
from cotasks.evidence.evidence import in_pixels
from cotasks.prompts.condition import Condition, condition_settings
from cotasks.records.boxes import Size, Xyxy
from cotasks.records.dataset import Records
from cotasks.records.schema import Record
from cotasks.records.shards import EVIDENCE
from cotasks.runs.predictions import prediction_row, write_predictions
from cotasks.steps.conventions import Convention, Found, WrittenBox, find_convention, mean_overlaps
from cotasks.steps.predicted import PredictedSteps
from cotasks.tools.files import dump_json, dump_jsonl
from cotasks.video.facts import video_facts
from cotasks.video.files import video_file

FOLDER = "steps"
NO_EVIDENCE = "no answer"
NO_CONVENTION = "box convention not known"
NO_SIZE = "frame size not known"


@dataclass(frozen=True)
class StepsWritten:
    """What was read of the evidence."""

    folder: Path
    answers: int
    """Answers with evidence."""
    unread: int
    """Answers in which something looks like evidence and could not be read."""
    boxes: int
    convention: Convention | None
    """Found, or given; None where none is taken."""
    ground: str
    """What was found of it, in one line."""
    failures: dict[str, int] = field(default_factory=dict)
    """Why step 2 is not predicted -> of how many answers."""


@dataclass
class _Gathered:
    """What all answers together show of their boxes; records are read one by one, and not kept."""

    sizes: dict[str, Size | None] = field(default_factory=dict)
    """Record id -> (width, height) of its frames."""
    written: list[WrittenBox] = field(default_factory=list)
    pairs: list[tuple[WrittenBox, Xyxy]] = field(default_factory=list)
    """Boxes and annotated boxes that stand alone at their second."""


def write_steps(
    folder: Path,
    settings: Mapping[str, Any],
    records: Records,
    texts: Mapping[str, str],
    boxes: Convention | None,
    videos: Path | None,
) -> StepsWritten | None:
    """Write `steps/`, whole, or leave it out where no answer holds evidence.

    Args:
        folder: the run folder.
        settings: its `run.json`.
        records: of the run.
        texts: record id -> answer.
        boxes: the convention that is given; None to find it.
        videos: their folder, where it is given.
    """
    evidence = {record_id: read_evidence(text) for record_id, text in texts.items()}
    holding = [found for found in evidence.values() if found.instances or found.unread]
    if not holding:
        return None
    # the convention of all boxes
    gathered = _gather(records, evidence, videos)
    convention, ground = boxes, f"{boxes.name}: given" if boxes is not None else ""
    if boxes is None:
        found = find_convention(gathered.written)
        convention, ground = found.convention, found.words + _overlaps(found, gathered)
    asked = (1, 2) if gathered.written else (1,)
    # the folder
    steps = folder / FOLDER
    (steps / "generations").mkdir(parents=True, exist_ok=True)
    dump_json(steps / "run.json", _settings(settings, asked, convention, ground, boxes is not None))
    stated: list[dict[str, Any]] = []
    failures: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            size = gathered.sizes.get(record.id)
            found = evidence.get(record.id)
            if found is None:
                nothing = PredictedSteps(reasons=dict.fromkeys(asked, NO_EVIDENCE))
                yield prediction_row(record.id, settings["model"]["name"], "own", nothing, {}, (), {})
                continue
            pixels, reason = _pixels(found, convention, size) if 2 in asked else (None, "")
            failures.update([reason] if reason else [])
            if pixels is not None:
                stated.append({"id": record.id, **orjson.loads(write_evidence(pixels, "castbench"))})
            read = predicted_steps(record, found, pixels, reason)
            said = dict.fromkeys(read.parsed, texts[record.id])
            yield prediction_row(record.id, settings["model"]["name"], "own", read.steps, said, (), read.parsed)

    write_predictions(steps, records.split, rows())
    dump_jsonl(steps / EVIDENCE, stated)
    return StepsWritten(
        folder=steps,
        answers=sum(bool(found.instances) for found in holding),
        unread=sum(bool(found.unread) for found in holding),
        boxes=len(gathered.written),
        convention=convention,
        ground=ground,
        failures=dict(failures),
    )


def _gather(records: Records, evidence: Mapping[str, Evidence], videos: Path | None) -> _Gathered:
    gathered = _Gathered()
    for record in records:
        found = evidence.get(record.id)
        if found is None:
            continue
        size = gathered.sizes[record.id] = _size(record, videos)
        boxes = list(found.boxes())
        written = list(found.written(size))
        gathered.written += written
        gathered.pairs += _pairs(record, boxes, written)
    return gathered


def _settings(
    settings: Mapping[str, Any], asked: tuple[int, ...], convention: Convention | None, ground: str, given: bool
) -> dict[str, Any]:
    """`run.json` of a predictions folder."""
    condition = Condition("imported")
    boxes = {"convention": None if convention is None else convention.name, "given": given, "ground": ground}
    return {
        **settings,
        "conditions": {condition.name: condition_settings(condition)},
        "predict": {"steps": list(asked), "given": "own", "with_answer": False},
        "boxes": boxes,
    }


def _pixels(evidence: Evidence, convention: Convention | None, size: Size | None) -> tuple[Evidence | None, str]:
    """(the evidence with boxes in pixels, ""), or (None, why there is none)."""
    if convention is None:
        return None, NO_CONVENTION
    pixels = in_pixels(evidence, convention, size)
    return (pixels, "") if pixels is not None else (None, NO_SIZE)


def _size(record: Record, videos: Path | None) -> Size | None:
    """(width, height) of the record's frames: its own, else its video's; None where neither is to be had."""
    if record.width and record.height:
        return record.width, record.height
    if videos is None:
        return None
    try:
        info = video_facts(video_file(videos, record.video_path), pictures=False).info
    except InputError:
        return None
    return info.width, info.height


def _overlaps(found: Found, gathered: _Gathered) -> str:
    """The mean IoU with annotated boxes in each convention that may fit: a hint, which decides nothing. Of boxes alone
    at their second, with the one annotated box there. Nothing where there is no choice, or no such pair."""
    among = [one for one in found.candidates if one.unit == "pixels" or None not in gathered.sizes.values()]
    means = mean_overlaps(gathered.pairs, among) if len(found.candidates) > 1 and among else []
    if not means:
        return ""
    listed = ", ".join(f"{one.name} {mean:.3f}" for one, mean in means)
    return f"; mean IoU of {len(gathered.pairs)} boxes with annotated ones, which decides nothing: {listed}"


def _pairs(
    record: Record, boxes: Sequence[TimedBox], written: Sequence[WrittenBox]
) -> Iterator[tuple[WrittenBox, Xyxy]]:
    true: dict[int, list[Xyxy]] = {}
    said: dict[int, list[WrittenBox]] = {}
    for track in record.entity_tracking:
        for box in track.boxes:
            true.setdefault(box.frame, []).append(box.xyxy)
    for timed, one in zip(boxes, written, strict=True):
        said.setdefault(round((timed.second + record.clip.start_seconds) * record.fps), []).append(one)
    for frame, found in said.items():
        if len(found) == len(true.get(frame, ())) == 1:
            yield found[0], true[frame][0]
