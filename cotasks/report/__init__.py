"""From verdicts to `summary.json` and `report.md`.

`summary.json` holds every number of the report, as flat lists that a data frame takes as they are:

    format        version of this layout
    baseline      the condition that the others are compared with
    confidence, resamples, seed, few_videos
                  how the intervals were made; `cotasks.metrics` explains
    runs          {run, folder (relative to the report's), model, conditions, questions, videos,
                  judges {name: version of its rule}, settings (run.json)}
    means         {run, model, judge} and the fields of `metrics.Mean`
    differences   {run, model, judge} and the fields of `metrics.Difference`
    unscored      {run, model, judge, condition, reason, answers}: answers without a score, by reason
    generation    {run, model, condition, answers, failures, cut_answers (at the longest allowed length),
                  cut_contexts (prompts whose context budget left out items), cut_items (those items)}
    warnings      what a reader must know before quoting a number
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks import metrics
from cotasks.errors import InputError
from cotasks.judge import NOT_JUDGED, RULES, Run, Verdict, judges_of, read_run, verdicts_of
from cotasks.report import markdown
from cotasks.runs import Key, dump_json

FORMAT = 1


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report."""

    summary: Path
    """`summary.json`, all numbers."""
    markdown: Path
    """`report.md`, the same to read."""


def write_report(
    runs: Sequence[Path], baseline: str = "baseline", judge: str | None = None, out: Path | None = None
) -> ReportPaths:
    """Report on one run, or compare several, from the verdicts on disk.

    Args:
        runs: Run folders.
        baseline: The condition that the others are compared with, within each run.
        judge: The judge whose verdicts count; None for every judge that a run has verdicts of.
        out: Folder to write to; None for the first run's.

    A run that is half done, or that a judge has not seen whole, is reported as far as it goes: what is
    missing is unscored and stands among the warnings. Of several runs, one that cannot be read is left out
    with a warning.

    Raises InputError where no run can be read, or none has verdicts.
    """
    summary = summarise_runs(runs, baseline, judge, out)
    out = out or runs[0]
    out.mkdir(parents=True, exist_ok=True)
    paths = ReportPaths(out / "summary.json", out / "report.md")
    dump_json(paths.summary, summary)
    part = paths.markdown.with_name(paths.markdown.name + ".part")
    part.write_text(markdown.render(summary), encoding="utf-8")
    os.replace(part, paths.markdown)
    return paths


def summarise_runs(
    folders: Sequence[Path], baseline: str = "baseline", judge: str | None = None, out: Path | None = None
) -> dict[str, Any]:
    """The content of `summary.json`; arguments and errors as of `write_report`."""
    if judge is not None and judge not in RULES:
        raise InputError(f"unknown judge {judge!r}; known: {', '.join(RULES)}")
    if not folders:
        raise InputError("no run folder given")
    folders = list(dict.fromkeys(folders))
    runs: list[dict[str, Any]] = []
    means: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    unscored: list[dict[str, Any]] = []
    generation: list[dict[str, Any]] = []
    warnings: list[str] = []
    faults: list[InputError] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        try:
            run = read_run(folder)
            verdicts = _verdicts(run, judge)
        except InputError as error:
            faults.append(error)
            warnings.append(f"Run {name} is left out: {error}")
            continue
        model = _model_name(run)
        label = {"run": name, "model": model}
        runs.append(
            {
                **label,
                "folder": Path(os.path.relpath(folder, out or folders[0])).as_posix(),
                "conditions": run.conditions,
                "questions": len(run.questions),
                "videos": len({row["video_id"] for row in run.questions.values()}),
                "judges": {judge_: RULES[judge_] for judge_ in verdicts},
                "settings": run.settings,
            }
        )
        warnings += [f"{name}: {text}" for text in _run_warnings(run, model, baseline)]
        generation += [{**label, **counts} for counts in _generation(run)]
        for judge_, found in verdicts.items():
            label["judge"] = judge_
            result = metrics.summarise(found, run.questions, run.conditions, baseline)
            means += [{**label, **dataclasses.asdict(mean)} for mean in result.means]
            differences += [{**label, **dataclasses.asdict(difference)} for difference in result.differences]
            reasons = _reasons(run, found)
            unscored += [
                {**label, "condition": condition, "reason": reason, "answers": answers}
                for (condition, reason), answers in reasons.items()
            ]
            warnings += [f"{name}, judge {judge_}: {text}" for text in _verdict_warnings(reasons, found)]
    if not runs:
        raise faults[0]
    if len({_fingerprint(run["settings"].get("dataset")) for run in runs}) > 1:
        warnings.append("The runs are over different data: their means are not comparable.")
    if any(run["judges"] != runs[0]["judges"] for run in runs):
        warnings.append("The runs have verdicts of different judges.")
    return {
        "format": FORMAT,
        "baseline": baseline,
        "confidence": metrics.CONFIDENCE,
        "resamples": metrics.RESAMPLES,
        "seed": metrics.SEED,
        "few_videos": metrics.FEW_VIDEOS,
        "runs": runs,
        "means": means,
        "differences": differences,
        "unscored": unscored,
        "generation": generation,
        "warnings": warnings,
    }


def _names(folders: Sequence[Path]) -> list[str]:
    """A short name for each run folder: the folder's, or its path where two share one."""
    names = [folder.resolve().name for folder in folders]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def _verdicts(run: Run, judge: str | None) -> dict[str, dict[Key, Verdict]]:
    """{judge: verdicts of the run}. Raises InputError where there is nothing to report."""
    if not run.questions:
        raise InputError(f"{run.folder / 'questions.jsonl'}: no questions")
    judges = [j for j in judges_of(run.folder) if judge in (None, j)]
    if not judges:
        command = f"cotasks judge {run.folder} --judge {judge or 'exact'}"
        raise InputError(f"{run.folder}: no verdicts; write them with `{command}`")
    return {j: verdicts_of(run, j) for j in judges}


def _model_name(run: Run) -> str:
    """`model.name` of `run.json`."""
    model = run.settings.get("model")
    return str(model["name"] if isinstance(model, dict) and "name" in model else model)


def _fingerprint(dataset: Any) -> str:
    """What tells two data sets apart: the fingerprint that `run.json` gives, else all it says."""
    return repr(dataset["fingerprint"] if isinstance(dataset, dict) and "fingerprint" in dataset else dataset)


def _generation(run: Run) -> list[dict[str, Any]]:
    """How the answers of each condition came about; see the module."""
    counts = []
    for condition in run.conditions:
        rows = [row for key, row in run.generations.items() if key[1] == condition]
        cut_items = [row.get("cut_items") or 0 for row in rows]
        counts.append(
            {
                "condition": condition,
                "answers": len(rows),
                "failures": sum(key[1] == condition for key in run.failures),
                "cut_answers": sum(row.get("finish_reason") == "length" for row in rows),
                "cut_contexts": sum(items > 0 for items in cut_items),
                "cut_items": sum(cut_items),
            }
        )
    return counts


def _run_warnings(run: Run, model: str, baseline: str) -> list[str]:
    warnings = []
    if model == "tiny":
        warnings.append("the model `tiny` has random weights; its answers mean nothing.")
    if baseline not in run.conditions:
        warnings.append(f"no condition is called {baseline!r}, so there are no differences.")
    strangers = len({id_ for id_, _, _ in run.wanted} - run.questions.keys())
    if strangers:
        warnings.append(f"answers to {strangers} ids that are no question of the run are in no mean.")
    missing = sum(key not in run.generations and key not in run.failures for key in run.wanted)
    if missing:
        warnings.append(f"generation is not finished: {missing} of {len(run.wanted)} answers are missing.")
    return warnings


def _reasons(run: Run, verdicts: dict[Key, Verdict]) -> Counter[tuple[str, str]]:
    """{(condition, reason): number of unscored answers}, in the order of the conditions."""
    found = Counter((key[1], verdict.reason) for key, verdict in verdicts.items() if verdict.score is None)
    return Counter(dict(sorted(found.items(), key=lambda item: (run.conditions.index(item[0][0]), item[0][1]))))


def _verdict_warnings(reasons: Counter[tuple[str, str]], verdicts: dict[Key, Verdict]) -> list[str]:
    warnings = []
    unscored = reasons.total()
    if unscored:
        warnings.append(f"{unscored} of {len(verdicts)} answers are unscored; see their reasons below.")
    stale = sum(answers for (_, reason), answers in reasons.items() if reason == NOT_JUDGED)
    if stale:
        warnings.append(f"{stale} answers are not judged, or changed since; run `cotasks judge` again.")
    return warnings
