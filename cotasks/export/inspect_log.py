"""Runs as logs of Inspect (`inspect_ai`), one for each condition, written by its own writer.

A sample is a question; its epochs are the samples of an answer. Input is the question, not the prompt: what else a
prompt holds, the condition says, whose settings stand in the log's `task_args`. Scores are those of our judges, 0 to
100; an answer that no score could be found for is NaN, which is Inspect's mark of the unscored, and a failed generation
is a sample with an error. Means are those of our report, with their intervals, not Inspect's own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.export.formats import Written
from cotasks.export.judged import Judged, references_of
from cotasks.judge.verdicts import Verdict
from cotasks.prompts.condition import LETTERS
from cotasks.runs.folder import Key
from cotasks.runs.run import Row
from cotasks.tools.places import without_places
from cotasks.version import VERSION
from cotasks.words.plain import printable

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample, EvalScore
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

SCALE = "0 to 100"
_STOPS = {"stop": "stop", "length": "max_tokens"}
"""`finish_reason` of a generation -> Inspect's."""


def write(judged: Judged, folder: Path) -> Written:
    """Write `<time>_<condition>_<id>.eval` for each condition."""
    from inspect_ai.log import write_eval_log

    samples = 0
    for condition in judged.run.conditions:
        log = log_of(judged, condition)
        name = f"{judged.ended.strftime('%Y-%m-%dT%H-%M-%S+00-00')}_{_plain(log.eval.task)}_{log.eval.task_id}.eval"
        write_eval_log(log, str(folder / name), format="eval")
        samples += len(log.samples or ())
    return Written(
        f"{len(judged.run.conditions)} logs, {samples} samples",
        ("`inspect view --log-dir` shows the folder; scores are 0 to 100.",),
    )


def log_of(judged: Judged, condition: str) -> EvalLog:
    """The log of a condition."""
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, EvalStats

    run = judged.run
    keys = [key for key in judged.keys if key[1] == condition]
    wanted = sum(key[1] == condition and key[0] in run.questions for key in run.wanted)
    done = sum(key in run.generations for key in keys)
    created = judged.ended.isoformat()
    settings: dict[str, Any] = without_places(run.settings)
    conditions = settings.get("conditions")
    dataset, ids = judged.dataset, list(run.questions)
    spec = EvalSpec(
        eval_id=_id(judged, condition, "eval"),
        run_id=_id(judged, "run"),
        task_id=_id(judged, condition, "task"),
        created=created,
        task=f"cotasks/{condition}",
        task_version=VERSION,
        task_args=dict(conditions[condition]) if isinstance(conditions, dict) and condition in conditions else {},
        dataset=EvalDataset(
            name=f"{dataset.get('name')}/{dataset.get('config')}/{dataset.get('split')}",
            samples=len(ids),
            sample_ids=ids,
            shuffled=False,
        ),
        model=judged.model,
        config=EvalConfig(epochs=max((sample for _, _, sample in keys), default=0) + 1, fail_on_error=False),
        packages={"cotasks": VERSION},
        metadata={name: value for name, value in settings.items() if name != "conditions"},
    )
    return EvalLog(
        status="success" if len(keys) == wanted else "cancelled",
        eval=spec,
        results=EvalResults(
            total_samples=wanted,
            completed_samples=done,
            scores=[_mean_of(judged, judge, condition) for judge in judged.verdicts],
        ),
        stats=EvalStats(started_at=created, completed_at=created),
        samples=[sample_of(judged, key) for key in keys],
    )


def sample_of(judged: Judged, key: Key) -> EvalSample:
    """An answer, or its failure, as a sample."""
    from inspect_ai.log import EvalError, EvalSample

    id_, condition, number = key
    question, row, failure = judged.run.questions[id_], judged.run.generations.get(key), judged.run.failures.get(key)
    names = ("video_id", "source", "category", "question_type", "span_origin", "entity_origin", "used_answer")
    known = {name: question[name] for name in names if question.get(name) is not None}
    reason = str(failure["reason"]) if failure is not None else ""
    return EvalSample(
        id=id_,
        epoch=number + 1,
        input=printable(question["question"]),
        choices=[printable(text) for text in question["choices"]] or None,
        target=_target(question),
        output=_output(judged.model, row),
        scores={judge: _score(found[key], row) for judge, found in judged.verdicts.items()} if row else None,
        metadata={"condition": condition, **known, **({"failure": reason} if reason else {})},
        error=EvalError(message=printable(reason), traceback="", traceback_ansi="") if reason else None,
    )


def _target(question: Row) -> str | list[str]:
    """The letter of a question with choices, as Inspect has it; else the references."""
    if question["choices"] and 0 <= question["answer_index"] < len(LETTERS):
        return LETTERS[question["answer_index"]]
    return [printable(text) for text in references_of(question)]


def _output(model: str, row: Row | None) -> ModelOutput:
    """What the model wrote, its thought apart from its answer."""
    from inspect_ai.model import ContentReasoning, ContentText, ModelOutput

    if row is None:
        return ModelOutput(model=model)
    answer = ContentText(text=printable(str(row.get("answer") or "")))
    thought = row.get("thought")
    content = [ContentReasoning(reasoning=printable(str(thought))), answer] if thought else [answer]
    stop: Any = _STOPS.get(str(row.get("finish_reason")), "unknown")
    return ModelOutput.from_content(model, content, stop_reason=stop)


def _score(verdict: Verdict, row: Row) -> Score:
    from inspect_ai.scorer import Score

    told = {"correct": verdict.correct, "unreadable": verdict.unreadable}
    unscored = {"unscored_reason": verdict.reason} if verdict.score is None else {}
    return Score(
        value=float("nan") if verdict.score is None else verdict.score,
        answer=printable(str(row.get("answer") or "")),
        explanation=printable(verdict.explanation or verdict.reason) or None,
        metadata={**told, **unscored},
    )


def _mean_of(judged: Judged, judge: str, condition: str) -> EvalScore:
    """The mean over all questions with its interval; no metric where nothing is scored."""
    from inspect_ai.log import EvalMetric, EvalScore

    mean = judged.overall(judge, condition)
    values = {"mean": mean.mean, "ci_low": mean.low, "ci_high": mean.high}
    return EvalScore(
        name=judge,
        scorer=judge,
        scored_samples=mean.scored,
        unscored_samples=mean.unscored,
        metrics={name: EvalMetric(name=name, value=value) for name, value in values.items() if value is not None},
        metadata={
            "scale": SCALE,
            "interval": "95%, clustered by video",
            "rough": mean.rough,
            "unreadable": mean.unreadable,
            "videos": mean.videos,
        },
    )


def _id(judged: Judged, *parts: str) -> str:
    """The same for the same run, so that an export made again names the same evaluation."""
    text = "\n".join([judged.model, str(judged.dataset.get("fingerprint")), judged.ended.isoformat(), *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:22]


def _plain(text: str) -> str:
    """For a file name."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)
