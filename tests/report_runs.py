"""Run folders for tests of reports: over records with videos, or made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cotasks.judge.run import judge_run
from cotasks.models.families import FAMILIES, Limits
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record
from cotasks.runs import folder as runs
from cotasks.steps.frame_localization import localizes
from cotasks.tools.files import dump_jsonl
from tests.synthetic import make_record, write_folder, write_video

FAMILY = FAMILIES["qwen2_5_vl"]
LIMITS = Limits(multiple=28, temporal_patch=2, min_pixels=4 * 28 * 28, max_pixels=64 * 28 * 28, max_video_pixels=10**7)
QUESTION_FIELDS = ("id", "video_id", "category", "question_type", "question", "answer", "choices", "answer_index")


def make_world(folder: Path, videos: int = 2, questions: int = 3, **changes: Any) -> Records:
    """Records and the videos they are over: `folder/data` and `folder/videos`. Every second question has choices."""
    (folder / "videos").mkdir(parents=True)
    records = []
    for video in range(videos):
        write_video(folder / "videos" / f"v{video}.mp4", gop=12)
        for number in range(questions):
            choice = {"choices": ("to play", "to sleep", "to eat"), "answer_index": 0, "question_type": "TN"}
            kind = {**choice, "category": "temporal"} if number % 2 else {}
            records.append(make_record(f"v{video}", number, **{**kind, **changes}))
    return load_records(str(write_folder(folder / "data", records)))


def question_row(record: Record) -> dict[str, Any]:
    """The row of `questions.jsonl`."""
    row = {name: getattr(record, name) for name in QUESTION_FIELDS}
    a1, kept = record.frame_localization, localizes(record)
    origins = {name: getattr(a1, name) for name in ("span_origin", "entity_origin", "used_answer")}
    lists = {"choices": list(record.choices), "additional_answers": list(record.additional_answers)}
    return {**row, **lists, **origins, "grid_share": kept.grid_share, "entity_share": kept.entity_share}


def write_run(
    folder: Path,
    records: Records,
    answer: Callable[[Record, str], str | None],
    conditions: Sequence[str] = ("baseline", "cotasks"),
    model: str = "org/model",
    judges: Sequence[str] = ("exact",),
    **fields: Any,
) -> Path:
    """A judged run as `generate` leaves it.

    Args:
        answer: (record, condition) -> what the model said; None where it failed.
        fields: Further settings of `run.json`.
    """
    dataset = {"name": records.dataset, "config": records.config, "split": records.split, "limit": records.limit}
    settings = {
        "model": {"name": model, "family": FAMILY.name},
        "dataset": {**dataset, "fingerprint": records.fingerprint},
        "conditions": {name: dataclasses.asdict(parse_condition(name)) for name in conditions},
        "frames": {"limits": dataclasses.asdict(LIMITS)},
    }
    runs.settle(folder, {**settings, **fields})
    dump_jsonl(folder / "questions.jsonl", map(question_row, records))
    answers, failures = [], []
    for record in records:
        for condition in conditions:
            row = {"id": record.id, "condition": condition, "sample": 0}
            text = answer(record, condition)
            if text is None:
                failures.append({**row, "reason": "video cut off"})
            else:
                answers.append({**row, "answer": text, "finish_reason": "stop", "cut_items": 0})
    for part, rows in (("generations", answers), ("failures", failures)):
        (folder / part).mkdir(exist_ok=True)
        dump_jsonl(folder / part / "00000.jsonl", rows)
    for judge in judges:
        judge_run(folder, judge)
    return folder
