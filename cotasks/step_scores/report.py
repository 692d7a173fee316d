"""Predictions folders -> the step table as a page and as numbers.

`steps.json`: {format, runs [{run, model, given, dataset, config, split, questions, videos}], rows, joint}; a row is one
of `cotasks.step_scores.table.predicted_step_rows` with its {run, model, given}, a row of `joint` one of
`cotasks.step_scores.joint` with the same and `answers`, the run whose answers it is about (None for none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.judge.judges import scored_by
from cotasks.metrics.joint import JOINT
from cotasks.pages.markdown import escape, table
from cotasks.records.dataset import Records, load_records
from cotasks.records.videos import videos_of
from cotasks.runs.predictions import PredictionsFolder, load_predictions, read_predictions
from cotasks.runs.run import Run, read_run
from cotasks.step_scores.baselines import BASELINES
from cotasks.step_scores.joint import (
    FOLDER,
    Evidence,
    add_castbench,
    add_steps,
    interval_cell,
    predictions_of,
    rows_of_evidence,
    rows_of_run,
)
from cotasks.step_scores.judge import judged_step_rows
from cotasks.step_scores.table import METRICS, StepScores, metric_title, predicted_step_rows, scores_of
from cotasks.steps.table import STEPS
from cotasks.tools.files import dump_json, write_text

FORMAT = 3

NOTES = """\
Scores run from 0 to 100, with 95% intervals over videos (*rough*: too few videos, or too near an end of the scale, to
be held to that); each is defined in the module of its step (`cotasks.steps`), with its source. Silence earns nothing:
recall, F1 and IoU are over the records whose truth has something to be found; whether "none" was said where there is
none is a score of its own. Numbers in names ("adult 2") are labels: predicted entities are matched to true ones of
their category first, by the best total of boxes and triples. A text of which nothing could be read scores 0
(*unreadable*); a step that was not predicted (*failed*) has no score. *Partly read* texts count with what was read of
them.

The rows in italics need no look at the video, and are over the same records. *says none*: nothing at all. *everything*:
all frames, all entities of the scene, the whole frame as each one's box, and between each two of them the most frequent
relation, all the time. *scene*: all of the annotation, whatever the question. *chance*: as many frames, entities, boxes
and triples as some record has, drawn at random."""

JOINT_NOTES = """\
A right answer on right evidence: scores from 0 to 1, with 95% intervals over videos, each defined at the head of
`cotasks/metrics/joint.py`. A question that does not define a score is in no mean. Rows without a condition need no
answer: they are over all questions that have predicted steps."""


@dataclass(frozen=True)
class StepReportPaths:
    """The files of a step table."""

    summary: Path
    """`steps.json`"""
    markdown: Path
    """`steps.md`"""


def write_step_report(
    folders: Sequence[Path],
    out: Path | None = None,
    dataset: str | None = None,
    judge: str | None = None,
    videos: Path | None = None,
    video_check: str | None = None,
    answers: Sequence[Path] = (),
    **judge_options: Any,
) -> tuple[StepReportPaths, dict[str, Any]]:
    """Score predictions folders and write the table; returns the files and the content of `steps.json`.

    Args:
        folders: Of `cotasks predict`.
        out: Folder to write to; None for the first one.
        dataset: Where the records are; None for where each `run.json` says.
        judge: Scores the texts as well, see `cotasks.step_scores.judge`; None for no such score.
        video_check: What is done about a video that is not the annotated one, of `cotasks.video.check.MODES`; None for
            what `run.json` says.
        videos: Their folder; needed for the judge where records do not give their frame size.
        answers: Run folders with verdicts whose answers go with the steps, for joint scores. Each goes with the
            predictions that its `run.json` names, or else with the only ones given. A predictions folder that lies in
            a run's, as `cotasks import` writes it, goes with that run's answers without being told.
        judge_options: Further arguments of `cotasks.judge.judge_run`.

    Raises InputError where a folder holds no predictions, or its records are not to be had, where answers belong to
    none of the predictions or have no verdicts, and as the judge does.
    """
    if not folders:
        raise InputError("no predictions folder given")
    summary: dict[str, Any] = {"format": FORMAT, "runs": [], "rows": [], "joint": []}
    runs = _runs_of(folders, answers)
    for folder, answered in zip(folders, runs, strict=True):
        found = read_predictions(folder)
        records = _records(found.settings["dataset"], dataset)
        label = {
            "run": folder.resolve().name if len({f.resolve().name for f in folders}) == len(folders) else str(folder),
            "model": found.settings["model"]["name"],
            "given": found.settings["predict"]["given"],
        }
        summary["runs"].append(
            {
                **label,
                "dataset": records.dataset,
                "config": records.config,
                "split": records.split,
                "questions": len(records),
                "videos": len(set(records.video_ids)),
            }
        )
        found = load_predictions(folder, records, ())
        scored = scores_of(records, found)
        rows = predicted_step_rows(records, found, scored)
        if judge is not None:
            given = {name: value for name, value in judge_options.items() if value is not None}
            check = video_check or found.settings.get("video_check", "fail")
            rows += judged_step_rows(records, folder, judge, videos_of(records.video_folder(videos), check), **given)
        summary["rows"] += [{**label, **row} for row in rows]
        summary["joint"] += [{**label, **row} for row in _joint_rows(records, found, scored, answered)]
    out = out or folders[0]
    out.mkdir(parents=True, exist_ok=True)
    paths = StepReportPaths(out / "steps.json", out / "steps.md")
    dump_json(paths.summary, summary)
    write_text(paths.markdown, f"# Steps\n\n{render(summary)}\n\n{NOTES}\n{_joint_section(summary)}")
    return paths, summary


def _runs_of(folders: Sequence[Path], answers: Sequence[Path]) -> list[list[Run]]:
    """The runs whose answers go with each predictions folder.

    Raises InputError where a run belongs to none of them, or it cannot be told to which.
    """
    runs: list[list[Run]] = [[] for _ in folders]
    places = [folder.resolve() for folder in folders]
    # steps that lie in a run's folder are those of its answers
    for of, place in zip(runs, places, strict=True):
        beside = all((place.parent / name).is_file() for name in ("run.json", "questions.jsonl"))
        if place.name == FOLDER and beside:
            of.append(read_run(place.parent))
    for path in dict.fromkeys(answers):
        run = read_run(path)
        own = predictions_of(run)
        if own is not None and own.resolve() in places:
            of = runs[places.index(own.resolve())]
        elif own is not None or "predictions" in run.settings:
            named = own or run.settings["predictions"].get("folder")
            raise InputError(f"{path}: its answers go with {named}, which is none of the predictions given")
        elif len(folders) == 1:
            of = runs[0]
        else:
            raise InputError(f"{path}: run.json names no predictions; give it beside one predictions folder only")
        if all(run.folder.resolve() != other.folder.resolve() for other in of):
            of.append(run)
        if not scored_by(run):
            raise InputError(f"{path}: no verdicts; write them with `cotasks judge {path} --judge exact`")
    return runs


def _joint_rows(
    records: Records, found: PredictionsFolder, scored: Mapping[str, StepScores], runs: Sequence[Run]
) -> list[dict[str, Any]]:
    """The joint scores of a predictions folder: what needs no answer, then those of each run's answers."""
    evidence = Evidence()
    add_steps(records, found, scored, evidence)
    rows = [{"answers": None, **row} for row in rows_of_evidence(evidence)]
    known = set(records.ids)
    for run in runs:
        strange = next((record_id for record_id in run.questions if record_id not in known), None)
        if strange is not None:
            raise InputError(f"{run.folder}: its question {strange!r} is not among the records of {found.folder}")
        add_castbench(run, evidence)
        rows += [{"answers": run.folder.name, **row} for row in rows_of_run(run, scored_by(run), evidence)]
    return rows


def _joint_section(summary: Mapping[str, Any]) -> str:
    """The joint scores with their heading and notes, as a part of the page; nothing where there are none."""
    return f"\n## Answers and steps\n\n{render_joint(summary)}\n\n{JOINT_NOTES}\n" if summary["joint"] else ""


def render_joint(summary: Mapping[str, Any]) -> str:
    """The table of joint scores of `steps.json` as Markdown."""
    order = list(JOINT)
    body = [
        [
            row["title"],
            *(escape(row[name] or "-") for name in ("model", "given", "answers", "condition", "judge")),
            str(row["questions"]),
            str(row["videos"]),
            interval_cell(row),
        ]
        for row in sorted(summary["joint"], key=lambda row: order.index(row["score"]))
    ]
    return table(["score", "model", "given", "answers", "condition", "judge", "questions", "videos", "mean"], body, 6)


def _records(settings: Mapping[str, Any], dataset: str | None) -> Records:
    return load_records(dataset or settings["name"], settings["split"], settings["config"], settings["limit"])


def render(summary: Mapping[str, Any], main_only: bool = False) -> str:
    """The tables of `steps.json` as Markdown: scores, then how the texts could be read."""
    groups = list(dict.fromkeys(row["group"] for row in summary["rows"]))
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in summary["rows"]:
        if row["main"] or not main_only:
            key = row["step"], row["metric"], row.get("baseline"), row["run"]
            lines.setdefault(key, {})[row["group"]] = row
    order = sorted(
        lines,
        key=lambda key: (
            key[0],
            [*METRICS[key[0]], key[1]].index(key[1]),
            [None, *BASELINES].index(key[2]),
        ),
    )
    body: list[list[str]] = []
    for key in order:
        row = next(iter(lines[key].values()))
        whose = [escape(row["model"]), escape(row["given"])] if key[2] is None else [f"*{key[2]}*", ""]
        cells = [_cell(lines[key].get(group)) for group in groups]
        line = [f"{key[0]} {STEPS[key[0]].name}", metric_title(key[1]), *whose, *cells]
        if key[2] is None or line not in body:  # a baseline is the same for all runs over the same records
            body.append(line)
    texts = []
    read = {(key[0], key[3]): lines[key] for key in order if key[1] in METRICS[key[0]] and key[2] is None}
    for (step, run), found in read.items():
        row = next(iter(found.values()))
        counts = [str(row[name]) for name in ("predicted", "failed", "unreadable", "partly_read", "repaired")]
        texts.append([f"{step} {STEPS[step].name}", escape(run), escape(row["model"]), escape(row["given"]), *counts])
    scores = table(["step", "score", "model", "given", *map(escape, groups)], body, 4)
    header = ["step", "run", "model", "given", "predicted", "failed", "unreadable", "partly read", "repaired"]
    return f"{scores}\n\n{table(header, texts, 4)}"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    unscored = f", {row['unscored']} unscored" if row.get("unscored") else ""
    if row["mean"] is None:
        return f"-{unscored}"
    interval = "" if row["low"] is None else f" ({row['low']:.1f} to {row['high']:.1f})"
    interval += " rough" if row.get("rough") else ""
    return f"{row['mean']:.1f}{interval}{unscored}"
