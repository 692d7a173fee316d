"""Runs for the Hub: every answer as a data set, and the results for the card of the model.

    details/README.md                     card of the data set, with its two configs
    details/answers/<split>.parquet       a row an answer or failure: question, references, condition, verdicts
    details/means/<split>.parquet         a row a mean of the report, with its interval
    model/README.md                       a model card whose `model-index` holds the means over all questions
    model/.eval_results/cotasks.yaml      the same in the Hub's newer form; only where the records are of the Hub

`details` is uploaded as a data set; what is in `model` goes into the model's repository. Both are made of
huggingface_hub's own classes. Nothing of this machine stands in either.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from cotasks.export.formats import Written
from cotasks.export.judged import Judged, references_of
from cotasks.metrics.means import Mean
from cotasks.pages.markdown import escape, table
from cotasks.tools.files import whole_file, write_text
from cotasks.version import VERSION

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

TASK = "video-text-to-text"
"""The Hub's name of the task."""
HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")

_QUESTION = {
    "id": pa.string(),
    "video_id": pa.string(),
    "source": pa.string(),
    "category": pa.string(),
    "question_type": pa.string(),
    "question": pa.string(),
    "references": pa.list_(pa.string()),
    "choices": pa.list_(pa.string()),
    "answer_index": pa.int32(),
}
_ANSWER = {
    "condition": pa.string(),
    "sample": pa.int32(),
    "prediction": pa.string(),
    "thought": pa.string(),
    "finish_reason": pa.string(),
    "failure": pa.string(),
}
_VERDICT = {"score": pa.float64(), "correct": pa.bool_(), "unreadable": pa.bool_(), "reason": pa.string()}
"""Columns of the answers. Those of verdicts end with the name of their judge."""

_COLUMNS = """The config `answers` has a row an answer: `question`, `references` (right answers), `choices`, `condition`
(what the prompt held), `prediction` (the model's answer; null where the generation failed, and `failure` says why),
`thought`, and of each judge `score_` (0 to 100; null where unscored), `correct_`, `unreadable_` and `reason_`:"""


def write(judged: Judged, folder: Path) -> Written:
    """Write both folders."""
    split = str(judged.dataset.get("split") or "test")
    answers, means = answers_table(judged), means_table(judged)
    for name, rows in (("answers", answers), ("means", means)):
        with whole_file(folder / "details" / name / f"{split}.parquet") as part:
            pq.write_table(rows, part)
    write_text(folder / "details" / "README.md", details_card(judged, split))
    write_text(folder / "model" / "README.md", model_card(judged))
    entries = result_entries(judged)
    if entries:
        import yaml  # type: ignore[import-untyped]
        from huggingface_hub import eval_result_entries_to_yaml

        text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
        write_text(folder / "model" / ".eval_results" / "cotasks.yaml", text)
    notes = ["`hf upload --repo-type dataset ORG/NAME OUT/details` publishes the answers."]
    if not entries:
        notes.append("No .eval_results: it takes records of the Hub, and these are of a folder or the sample.")
    return Written(f"{answers.num_rows} answers, {means.num_rows} means", tuple(notes))


def columns_of_judges(judged: Judged) -> dict[str, str]:
    """{judge: what its columns end with}: letters, digits and _, and a number where two would be alike."""
    plain = {judge: re.sub(r"[^a-z0-9]+", "_", judge.lower()).strip("_") for judge in judged.verdicts}
    alike = Counter(plain.values())
    return {
        judge: name if alike[name] == 1 else f"{name}_{number}" for number, (judge, name) in enumerate(plain.items(), 1)
    }


def answers_table(judged: Judged) -> pa.Table:
    """A row for each answer and failure, see `_QUESTION`, `_ANSWER` and `_VERDICT`."""
    ends = columns_of_judges(judged)
    fields = {**_QUESTION, **_ANSWER, **{f"{name}_{end}": t for end in ends.values() for name, t in _VERDICT.items()}}
    rows = []
    for key in judged.keys:
        question = judged.run.questions[key[0]]
        row, failure = judged.run.generations.get(key, {}), judged.run.failures.get(key, {})
        known: dict[str, Any] = {name: question.get(name) for name in _QUESTION}
        known |= {"references": references_of(question), "condition": key[1], "sample": key[2]}
        known |= {
            "prediction": _text(row.get("answer")),
            "thought": _text(row.get("thought")),
            "finish_reason": _text(row.get("finish_reason")),
            "failure": _text(failure.get("reason")),
        }
        for judge, end in ends.items():
            verdict = judged.verdicts[judge][key]
            known |= {f"{name}_{end}": getattr(verdict, name) for name in _VERDICT}
            known[f"unreadable_{end}"] = verdict.unreadable if verdict.score is not None else None
        rows.append(known)
    return pa.Table.from_pylist(rows, pa.schema(list(fields.items())))


def means_table(judged: Judged) -> pa.Table:
    """A row for each mean: its judge, and the fields of `metrics.Mean`."""
    rows = [{"judge": judge, **dataclasses.asdict(m)} for judge, means in judged.means.items() for m in means]
    types = {"questions", "answers", "scored", "unscored", "unreadable", "correct", "videos"}
    texts = {"judge", "condition", "group", "level", "name", "method"}
    kinds = [
        (name, pa.int64() if name in types else pa.string() if name in texts else pa.float64())
        for name in rows[0]
        if name != "rough"
    ]
    return pa.Table.from_pylist(rows, pa.schema([*kinds, ("rough", pa.bool_())]))


def details_card(judged: Judged, split: str) -> str:
    """README.md of the data set."""
    from huggingface_hub import DatasetCardData

    configs: list[dict[str, Any]] = [
        {"config_name": name, "data_files": [{"split": split, "path": f"{name}/{split}.parquet"}]}
        for name in ("answers", "means")
    ]
    configs[0]["default"] = True
    data = DatasetCardData(
        pretty_name=f"Answers of {judged.model}",
        task_categories=[TASK],
        tags=["cotasks", "evaluation"],
        configs=configs,
    )
    ends = columns_of_judges(judged)
    columns = "".join(f"- `score_{end}` and what goes with it: judge {escape(judge)}\n" for judge, end in ends.items())
    said = (
        f"What the model answered to questions about videos ({_records(judged)}), and what judges made of it. "
        f"Exported by cotasks {VERSION}."
    )
    return "\n".join(
        (
            f"---\n{data.to_yaml()}\n---\n",
            f"# Answers of {escape(judged.model)}\n",
            f"{said}\n",
            f"{_means_text(judged)}\n",
            f"{_COLUMNS}\n",
            f"{columns}",
            "The config `means` has a row a mean, with its interval, by category and type. The questions keep the",
            "licences of those who published them.\n",
        )
    )


def model_card(judged: Judged) -> str:
    """A model card that holds the results; its front matter is what counts, and goes into the card that there is."""
    from huggingface_hub import ModelCardData

    name = judged.model.rpartition("/")[2]
    data = ModelCardData(model_name=name, eval_results=eval_results(judged), pipeline_tag=TASK, tags=["cotasks"])
    if not data.eval_results:
        data = ModelCardData(pipeline_tag=TASK, tags=["cotasks"])
    return f"---\n{data.to_yaml()}\n---\n\n# {escape(name)}\n\n{_means_text(judged)}\n"


def eval_results(judged: Judged) -> list[EvalResult]:
    """The means over all questions that have a value, for `model-index`."""
    from huggingface_hub import EvalResult

    dataset = judged.dataset
    name = str(dataset.get("name") or "unknown")
    return [
        EvalResult(
            task_type=TASK,
            task_name="Video question answering",
            dataset_type=name,
            dataset_name=_records(judged),
            dataset_config=dataset.get("config"),
            dataset_split=dataset.get("split"),
            dataset_args={"limit": dataset.get("limit")},
            metric_type=judge,
            metric_name=f"{judge}, {condition}, 0 to 100",
            metric_value=round(mean.mean, 2),
            # the condition stands here, as the card keeps one set of arguments of a data set for all its results
            metric_args={
                "condition": condition,
                "interval": [None if end is None else round(end, 2) for end in (mean.low, mean.high)],
                "questions": mean.questions,
                "unscored": mean.unscored,
            },
        )
        for judge, condition, mean in _overall(judged)
        if mean.mean is not None
    ]


def result_entries(judged: Judged) -> list[EvalResultEntry]:
    """The same for `.eval_results`; none where the records are not of the Hub."""
    from huggingface_hub import EvalResultEntry

    dataset = judged.run.settings.get("dataset")
    name = str(dataset.get("name") if isinstance(dataset, dict) else "")
    if not HUB_ID.fullmatch(name) or name.startswith(".") or Path(name).exists():
        return []
    return [
        EvalResultEntry(
            dataset_id=name,
            task_id=str(judged.dataset.get("config")),
            value=round(mean.mean, 2),
            date=judged.ended.isoformat().replace("+00:00", "Z"),
            notes=f"condition {condition}, judge {judge}, split {judged.dataset.get('split')}",
        )
        for judge, condition, mean in _overall(judged)
        if mean.mean is not None
    ]


def _overall(judged: Judged) -> list[tuple[str, str, Mean]]:
    """(judge, condition, the mean over all questions)"""
    return [(j, c, judged.overall(j, c)) for j in judged.verdicts for c in judged.run.conditions]


def _records(judged: Judged) -> str:
    named: Sequence[Any] = [judged.dataset.get(name) for name in ("name", "config", "split")]
    return " ".join(dict.fromkeys(str(part) for part in named if part)) or "unknown records"


def _means_text(judged: Judged) -> str:
    rows = [
        [
            escape(condition),
            escape(judge),
            "-" if mean.mean is None else f"{mean.mean:.1f}",
            "-" if mean.low is None or mean.high is None else f"[{mean.low:.1f}, {mean.high:.1f}]",
            str(mean.questions),
            str(mean.unscored),
            str(mean.unreadable),
        ]
        for judge, condition, mean in _overall(judged)
    ]
    header = ["condition", "judge", "mean", "95% interval", "questions", "unscored", "unreadable"]
    said = "Means over all questions, 0 to 100, with intervals clustered by video. Unscored answers are in no mean."
    return f"{said}\n\n{table(header, rows, 2)}"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
