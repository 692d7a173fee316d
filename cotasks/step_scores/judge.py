"""A judge's score of the steps as texts, beside the scores of what they say.

The texts of a predictions folder become a run folder of their own, `step-texts/`, that any judge can score: each record
and step is a question, "what is step k of this question?", whose reference is the true step as a prompt would write it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cotasks.generate.settings import conditions_of
from cotasks.judge.judges import verdicts_of
from cotasks.judge.run import judge_run
from cotasks.metrics.contrasts import category_masks, estimates, interval_row
from cotasks.models.families import frame_size
from cotasks.prompts.condition import Condition
from cotasks.prompts.prompt import step_context, step_request
from cotasks.prompts.size import source_size
from cotasks.prompts.view import view
from cotasks.records.dataset import Records
from cotasks.records.videos import Videos
from cotasks.runs.folder import Appender, read_failures, read_generations
from cotasks.runs.predictions import load_predictions
from cotasks.runs.run import read_run
from cotasks.steps.table import step_text
from cotasks.tools.files import dump_json, dump_jsonl
from cotasks.words.types import ALL, kind_of

Row = dict[str, Any]

FOLDER = "step-texts"
CONDITION = "predicted"


def judged_step_rows(records: Records, folder: Path, judge: str, videos: Videos | None, **options: Any) -> list[Row]:
    """Judge the texts of a predictions folder; rows as of `step_table.step_rows`, metric `judge`, with {unscored}.

    May be interrupted and called again.

    Args:
        records: That the predictions were made of.
        folder: Of the predictions.
        judge: As of `cotasks.judge.judge_run`.
        videos: Those of the records, needed where these do not give their frame size.
        options: Further arguments of `judge_run`.

    Raises InputError as `judge_run` does, and where a frame size is not to be had.
    """
    steps = write_step_texts(records, folder, videos)
    counts = judge_run(folder / FOLDER, judge, **options)
    if counts.left or counts.failed:
        why = counts.stopped or counts.failure
        print(f"{judge}: {counts.left + counts.failed} texts have no verdict: {why}", file=sys.stderr)
    run = read_run(folder / FOLDER)
    verdicts = verdicts_of(run, judge)
    keys = list(verdicts)
    groups = {ALL: np.ones(len(keys), bool)}
    by_category = category_masks([kind_of(run.questions[key[0]]) for key in keys])
    groups |= by_category if len(by_category) > 1 else {}
    video_ids = [run.questions[key[0]]["video_id"] for key in keys]
    scores = np.array([np.nan if verdicts[key].score is None else verdicts[key].score for key in keys], float)
    labels = [(step, group) for step in steps for group in groups]
    columns = []
    for step, group in labels:
        of_step = np.array([key[0].endswith(f"/step-{step}") for key in keys], bool)
        columns.append((scores, of_step & groups[group]))
    rows = []
    for (step, group), (_, inside_), one in zip(
        labels, columns, estimates(columns, video_ids, 0.0, 100.0), strict=True
    ):
        unscored = int((inside_ & np.isnan(scores)).sum())
        label = {"step": step, "metric": f"judge {judge}", "main": True, "group": group, "unscored": unscored}
        rows.append({**label, **interval_row(*one), "p_value": None})
    return rows


def write_step_texts(records: Records, folder: Path, videos: Videos | None) -> tuple[int, ...]:
    """Write the run folder of the texts, or go on with it; returns the steps that were asked for."""
    found = load_predictions(folder, records, ())
    conditions = conditions_of(found.settings)
    asked = {name: condition for name, (condition, _, _) in conditions.items() if condition.asks is not None}
    answers, failures = read_generations(folder), read_failures(folder)
    out = folder / FOLDER
    out.mkdir(exist_ok=True)

    def questions() -> Iterator[Row]:
        for record in records:
            source = source_size(record, videos)
            for condition, family, limits in conditions.values():
                if condition.asks is None:
                    continue
                told = view(record, Condition(condition.name, num_frames=condition.num_frames))
                size = frame_size(family, *source, num_frames=len(told.shown), limits=limits)
                context = step_context(told, family, size, source)
                yield {
                    "id": f"{record.id}/step-{condition.asks}",
                    "video_id": record.video_id,
                    "source": record.source,
                    "category": record.category,
                    "question_type": record.question_type,
                    "question": step_request(record, condition, condition.asks, context, opens=True),
                    "answer": step_text(told.record, condition.asks, context, condition.boxes_per_entity),
                    "additional_answers": [],
                    "choices": [],
                    "answer_index": -1,
                }

    dump_jsonl(out / "questions.jsonl", questions())
    dump_json(out / "run.json", {**found.settings, "conditions": {CONDITION: {}}})
    known = read_generations(out)

    def rows(of: Mapping[Any, Row]) -> Iterator[Row]:
        for (record_id, name, _), row in of.items():
            if name in asked:
                yield {**row, "id": f"{record_id}/step-{asked[name].asks}", "condition": CONDITION, "sample": 0}

    with Appender(out / "generations" / "texts.jsonl") as file:
        for row in rows(answers):
            if (row["id"], CONDITION, 0) not in known:
                file.append(row)
    (out / "failures").mkdir(exist_ok=True)
    dump_jsonl(out / "failures" / "texts.jsonl", rows(failures))
    return tuple(condition.asks for condition in asked.values() if condition.asks is not None)
