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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError
from cotasks.evidence import Evidence, predicted_steps, read_evidence, write_evidence
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


@dataclass(frozen=True)
class _Answer:
    record: Record
    text: str
    evidence: Evidence
    size: Size | None


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
    answers = {
        record.id: _Answer(record, text, read_evidence(text), _size(record, videos))
        for record in records
        if (text := texts.get(record.id)) is not None
    }
    with_evidence = [a for a in answers.values() if a.evidence.instances or a.evidence.unread]
    if not with_evidence:
        return None
    written = [box for a in with_evidence for box in a.evidence.written(a.size)]
    convention, ground = boxes, f"{boxes.name}: given" if boxes is not None else ""
    if boxes is None:
        found = find_convention(written)
        convention, ground = found.convention, found.words + _overlaps(found, with_evidence)
    steps = folder / FOLDER
    asked = (1, 2) if written else (1,)
    rows, evidence, failures = _rows(records, answers, asked, convention, settings["model"]["name"])
    steps.mkdir(exist_ok=True)
    (steps / "generations").mkdir(exist_ok=True)
    dump_json(steps / "run.json", _settings(settings, asked, convention, ground, boxes is not None))
    dump_jsonl(steps / EVIDENCE, evidence)
    write_predictions(steps, records.split, rows)
    return StepsWritten(
        folder=steps,
        answers=sum(bool(a.evidence.instances) for a in with_evidence),
        unread=sum(bool(a.evidence.unread) for a in with_evidence),
        boxes=len(written),
        convention=convention,
        ground=ground,
        failures=failures,
    )


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


def _rows(
    records: Records,
    answers: Mapping[str, _Answer],
    asked: tuple[int, ...],
    convention: Convention | None,
    model: str,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, int]]:
    """(rows of the predictions, of `evidence.jsonl`, why step 2 is missing -> of how many answers)."""
    rows, stated = [], []
    failures: Counter[str] = Counter()
    for record_id in records.ids:
        answer = answers.get(record_id)
        if answer is None:
            nothing = PredictedSteps(reasons=dict.fromkeys(asked, NO_EVIDENCE))
            rows.append(prediction_row(record_id, model, "own", nothing, {}, (), {}))
            continue
        pixels, reason = _pixels(answer, convention) if 2 in asked else (None, "")
        found = predicted_steps(answer.record, answer.evidence, pixels, reason)
        texts = dict.fromkeys(found.parsed, answer.text)
        rows.append(prediction_row(record_id, model, "own", found.steps, texts, (), found.parsed))
        if pixels is None:
            failures.update([reason] if reason else [])
        else:
            stated.append({"id": record_id, **orjson.loads(write_evidence(pixels, "castbench"))})
    return rows, stated, dict(failures)


def _pixels(answer: _Answer, convention: Convention | None) -> tuple[Evidence | None, str]:
    """(the evidence with boxes in pixels, ""), or (None, why there is none)."""
    if convention is None:
        return None, NO_CONVENTION
    pixels = in_pixels(answer.evidence, convention, answer.size)
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


def _overlaps(found: Found, answers: list[_Answer]) -> str:
    """The mean IoU with annotated boxes in each convention that may fit: a hint, which decides nothing. Of boxes alone
    at their second, with the one annotated box there. Nothing where there is no choice, or no such pair."""
    among = [one for one in found.candidates if one.unit == "pixels" or all(a.size for a in answers)]
    pairs = [pair for answer in answers for pair in _pairs(answer)]
    means = mean_overlaps(pairs, among) if len(found.candidates) > 1 and among else []
    if not means:
        return ""
    listed = ", ".join(f"{one.name} {mean:.3f}" for one, mean in means)
    return f"; mean IoU of {len(pairs)} boxes with annotated ones, which decides nothing: {listed}"


def _pairs(answer: _Answer) -> Iterator[tuple[WrittenBox, Xyxy]]:
    """Boxes and annotated boxes that stand alone at their second."""
    record = answer.record
    true: dict[int, list[Xyxy]] = {}
    said: dict[int, list[WrittenBox]] = {}
    for track in record.entity_tracking:
        for box in track.boxes:
            true.setdefault(box.frame, []).append(box.xyxy)
    for timed, written in zip(answer.evidence.boxes(), answer.evidence.written(answer.size), strict=True):
        said.setdefault(round((timed.second + record.clip.start_seconds) * record.fps), []).append(written)
    for frame, boxes in said.items():
        if len(boxes) == len(true.get(frame, ())) == 1:
            yield boxes[0], true[frame][0]
