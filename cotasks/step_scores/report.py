"""Predictions folders -> the step table as a page and as numbers.

`steps.json`: {format, runs [{run, model, given, dataset, config, split, questions, videos}], rows}; a row is one of
`cotasks.step_scores.table.predicted_step_rows` with its {run, model, given}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.pages.markdown import escape, table
from cotasks.records.dataset import Records, load_records
from cotasks.records.videos import videos_of
from cotasks.runs.predictions import read_predictions
from cotasks.step_scores.baselines import BASELINES
from cotasks.step_scores.judge import judged_step_rows
from cotasks.step_scores.table import METRICS, metric_title, predicted_step_rows
from cotasks.steps.table import STEPS
from cotasks.tools.files import dump_json, write_text

FORMAT = 2

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
        judge_options: Further arguments of `cotasks.judge.judge_run`.

    Raises InputError where a folder holds no predictions, or its records are not to be had, and as the judge does.
    """
    if not folders:
        raise InputError("no predictions folder given")
    summary: dict[str, Any] = {"format": FORMAT, "runs": [], "rows": []}
    for folder in folders:
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
        rows = predicted_step_rows(records, folder)
        if judge is not None:
            given = {name: value for name, value in judge_options.items() if value is not None}
            check = video_check or found.settings.get("video_check", "fail")
            rows += judged_step_rows(records, folder, judge, videos_of(records.video_folder(videos), check), **given)
        summary["rows"] += [{**label, **row} for row in rows]
    out = out or folders[0]
    out.mkdir(parents=True, exist_ok=True)
    paths = StepReportPaths(out / "steps.json", out / "steps.md")
    dump_json(paths.summary, summary)
    write_text(paths.markdown, f"# Steps\n\n{render(summary)}\n\n{NOTES}\n")
    return paths, summary


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
