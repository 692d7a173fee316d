"""Runs as lmms-eval logs them (version 0.7.2): what its log viewer, and its `--baseline`, read.

    <model>/<time>_results.json              means, by task and metric
    <model>/<time>_samples_<task>.jsonl      a row a question

A task is a condition as one judge scored it, so that no reader mixes judges. `score` is 0 to 1, for `--baseline` shows
it times 100, and is the mean of a question's samples. A question without a score is in no file, or lmms-eval would make
a score of its text; `n-samples` counts them. `doc_id` is a question's place in the run, the same in every run over the
same records.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotasks.export.formats import Written
from cotasks.export.judged import Judged, references_of
from cotasks.metrics.means import Mean
from cotasks.runs.run import Row
from cotasks.tools.files import dump_json, dump_jsonl
from cotasks.tools.places import without_places
from cotasks.version import VERSION

FILTER = "none"
"""Name of the filter that lmms-eval writes behind a metric where there is none."""
METRIC = "score"
NORMAL_95 = 1.959964
"""The standard normal distribution has 95% within so many standard deviations of its mean."""


def write(judged: Judged, folder: Path) -> Written:
    """Write the results, and the samples of each task."""
    time = judged.ended.strftime("%Y%m%d_%H%M%S")
    place = folder / sanitized(judged.model)
    tasks = {task_name(condition, judge): (condition, judge) for condition, judge in _pairs(judged)}
    results = _results(judged)
    total = 0
    for task, (condition, judge) in tasks.items():
        rows = samples_of(judged, condition, judge)
        mean = judged.overall(judge, condition)
        results["results"][task] = {"alias": f"{condition}, judge {judge}", "samples": len(rows), **_metrics(mean)}
        results["configs"][task] = {
            "task": task,
            "dataset_path": judged.dataset.get("name"),
            "score_key": METRIC,
            "metadata": {
                "interval": [mean.low, mean.high],
                "interval_is": "95%, clustered by video, 0 to 100",
                "answers": {"scored": mean.scored, "unscored": mean.unscored, "unreadable": mean.unreadable},
            },
        }
        results["group_subtasks"][task] = []
        results["versions"][task] = VERSION
        results["n-shot"][task] = 0
        results["higher_is_better"][task] = {METRIC: True}
        results["n-samples"][task] = {"original": len(judged.run.questions), "effective": len(rows)}
        hashes = "".join(f"sample_{number}{row['doc_hash']}" for number, row in enumerate(rows))
        results["task_hashes"][task] = _sha256(hashes)
        dump_jsonl(place / f"{time}_samples_{task}.jsonl", rows)
        total += len(rows)
    dump_json(place / f"{time}_results.json", results)
    left = len(tasks) * len(judged.run.questions) - total
    notes = (f"{left} questions of tasks have no score and are left out.",) if left else ()
    return Written(f"{len(tasks)} tasks, {total} samples", notes)


def samples_of(judged: Judged, condition: str, judge: str) -> list[Row]:
    """The rows of a task: each question that the judge has scored, its samples together."""
    verdicts, found = judged.verdicts[judge], []
    samples = sorted({key[2] for key in judged.keys})
    for number, (id_, question) in enumerate(judged.run.questions.items()):
        keys = [key for sample in samples if (key := (id_, condition, sample)) in judged.run.generations]
        scores = [score for key in keys if (score := verdicts[key].score) is not None]
        if not scores:
            continue
        answers = [str(judged.run.generations[key].get("answer") or "") for key in keys]
        doc = {name: value for name, value in question.items() if name not in ("grid_share", "entity_share")}
        found.append(
            {
                "doc_id": number,
                "target": str((references_of(question) or [""])[0]),
                "filtered_resps": answers[0] if len(answers) == 1 else answers,
                "doc_hash": _sha256(json.dumps(doc, indent=2, ensure_ascii=False, sort_keys=True)),
                "input": question["question"],
                METRIC: sum(scores) / len(scores) / 100,
                "id": id_,
                "video_id": question["video_id"],
                "category": question["category"],
                "question_type": question["question_type"],
                "condition": condition,
                "judge": judge,
                "correct": [verdicts[key].correct for key in keys],
                "unreadable": [verdicts[key].unreadable for key in keys],
            }
        )
    return found


def _metrics(mean: Mean) -> Row:
    """The mean and its standard error, 0 to 1: lmms-eval has no interval, so the error is that of a normal interval as
    wide as ours. Nothing where nothing is scored."""
    if mean.mean is None:
        return {}
    error = "N/A" if mean.low is None or mean.high is None else (mean.high - mean.low) / (2 * NORMAL_95) / 100
    return {f"{METRIC},{FILTER}": mean.mean / 100, f"{METRIC}_stderr,{FILTER}": error}


def _results(judged: Judged) -> dict[str, Any]:
    """What stands about all tasks; what stands about each is still empty."""
    settings = without_places(judged.run.settings)
    by_task = (
        "results",
        "group_subtasks",
        "configs",
        "versions",
        "n-shot",
        "higher_is_better",
        "n-samples",
        "task_hashes",
    )
    return {
        **{name: {} for name in by_task},
        "config": {"model": "cotasks", "model_args": f"pretrained={judged.model}", "cotasks": settings},
        "date": judged.ended.strftime("%Y%m%d_%H%M%S"),
        "model_source": "cotasks",
        "model_name": judged.model,
        "model_name_sanitized": sanitized(judged.model),
    }


def _pairs(judged: Judged) -> Sequence[tuple[str, str]]:
    return [(condition, judge) for condition in judged.run.conditions for judge in judged.verdicts]


def task_name(condition: str, judge: str) -> str:
    """A name that file names take, and no two pairs share: where letters were replaced a hash follows."""
    plain = f"cotasks-{condition}-{judge}"
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", plain)
    return name if name == plain else f"{name}-{_sha256(plain)[:6]}"


def sanitized(model: str) -> str:
    """The folder that lmms-eval would give a model: its last two parts, joined."""
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", "/".join(model.split("/")[-2:])) or "model"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
