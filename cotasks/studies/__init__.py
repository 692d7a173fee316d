"""The studies that the paper left open, each a list of conditions over one data set.

A study's folder:

    run/          the run folder, see `cotasks.runs`: all conditions of the study
    predictions/  the model's own steps, for `oracle-gap`
    study.json    {format, study, judge, run {model, dataset, split, ...}, conditions, tables, warnings}
    study.md      the same to read, with the study's reading and its pictures

All of it can be interrupted and run again: what is on disk is not asked again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cotasks.errors import InputError, MissingExtra
from cotasks.studies import plans
from cotasks.tools.files import dump_json, write_text

if TYPE_CHECKING:
    from cotasks.metrics.contrasts import Floats, Scores
    from cotasks.records.dataset import Records

FORMAT = 1
STUDIES = tuple(plans.READINGS)
FEW_VIDEOS = 20
"""With fewer videos a study warns."""


@dataclass(frozen=True)
class StudyPaths:
    """The files of a study."""

    summary: Path
    """`study.json`, all numbers."""
    markdown: Path
    """`study.md`, the page."""
    plots: tuple[Path, ...]
    """PNG files that the page shows."""


def run_study(
    study: str,
    records: Records,
    model: str,
    out: Path,
    *,
    judge: str = "exact",
    judge_options: Mapping[str, Any] | None = None,
    videos: str | Path | None = None,
    corruptions: Sequence[float] = plans.CORRUPTIONS,
    seeds: int = 1,
    predict_tokens: int = 512,
    **options: Any,
) -> tuple[StudyPaths | None, bool]:
    """Ask a model under all conditions of a study, judge the answers, and write tables, plots and the page.

    May be interrupted and called again. Started by `accelerate launch` or `torchrun`, the processes share the videos.

    Args:
        study: One of `STUDIES`.
        records: What to ask, see `cotasks.records.dataset.load_records`.
        model: As of `cotasks.generate.generate`.
        out: The study's folder.
        judge: As of `cotasks.judge.judge_run`.
        judge_options: Further arguments of `judge_run`.
        videos: The folder that `video_path` is relative to; the sample brings its own.
        corruptions: Probabilities that `error-propagation` goes through; each between 0 and 1, ascending.
        seeds: Corruptions drawn of each probability.
        predict_tokens: Longest text of a step, for `oracle-gap`.
        options: Further arguments of `generate`.

    Returns the files (None in processes other than the main one, and where a server can be asked no more), and whether
    every answer is there.

    Raises InputError as its parts do, and where an argument is out of range; MissingExtra without matplotlib or scipy.
    """
    for package in ("matplotlib", "scipy"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtra(package, "report") from None
    from cotasks.generate.run import generate
    from cotasks.judge.run import judge_run
    from cotasks.prompts.condition import parse_condition

    levels = [float(level) for level in corruptions]
    if levels != sorted(set(levels)) or not all(0 <= level <= 1 for level in levels):
        raise InputError(f"corruptions {levels}; expected probabilities between 0 and 1, ascending")
    if seeds < 1:
        raise InputError(f"seeds {seeds}; expected 1 or more")
    plan = plans.plan(study, common_grid(records), levels, seeds)
    complete = True
    if plan.predicts:
        from cotasks.predict.run import predict

        predicted = predict(
            records, model, out / "predictions", videos=videos, max_new_tokens=predict_tokens, **_shared(options)
        )
        if predicted.main and not predicted.read:  # not every step was asked, for a server that gave up
            return None, False
        complete = predicted.complete
        while not list((out / "predictions").glob("predictions/*.parquet")):
            time.sleep(0.2)  # which the main process is writing
        options = {**options, "predictions": out / "predictions"}
    conditions = [parse_condition(text) for text in plan.conditions]
    answered = generate(records, conditions, model, out / "run", videos=videos, **options)
    if not answered.main:
        return None, True
    if answered.stopped:
        return None, False
    judge_run(out / "run", judge, **(judge_options or {}))
    paths = write_study(study, records, out, judge, levels, seeds)
    return paths, complete and answered.complete


def write_study(
    study: str,
    records: Records,
    out: Path,
    judge: str,
    corruptions: Sequence[float] = plans.CORRUPTIONS,
    seeds: int = 1,
) -> StudyPaths:
    """Tables, plots and page of a study from what is on disk; arguments as of `run_study`.

    Answers that are missing are unscored: they are counted, and warned of.
    """
    from cotasks.metrics.contrasts import read_scores
    from cotasks.runs.folder import read_settings
    from cotasks.studies import page, plots

    scores = read_scores(out / "run", judge)
    settings = read_settings(out / "run")
    tables = study_tables(study, records, scores, out, corruptions, seeds)
    summary = {
        "format": FORMAT,
        "study": study,
        "judge": judge,
        "run": {
            "model": settings["model"]["name"],
            "dataset": records.dataset,
            "config": records.config,
            "split": records.split,
            "fingerprint": records.fingerprint,
            "limit": records.limit,
            "questions": len(scores.ids),
            "videos": len(set(scores.video_ids)),
        },
        "conditions": list(scores.conditions),
        "tables": tables,
        "warnings": _warnings(scores, settings["model"]),
    }
    pictures = tuple(plots.draw(study, tables, out))
    paths = StudyPaths(out / "study.json", out / "study.md", pictures)
    dump_json(paths.summary, summary)
    write_text(paths.markdown, page.render(summary, [picture.name for picture in pictures]))
    return paths


def study_tables(
    study: str, records: Records, scores: Scores, out: Path, corruptions: Sequence[float], seeds: int
) -> dict[str, list[dict[str, Any]]]:
    """The tables of a study, see `cotasks.studies.tables`; arguments as of `write_study`."""
    from cotasks.studies import tables

    if study == "ablation":
        return tables.ablation(scores)
    if study == "error-propagation":
        from cotasks.step_scores.table import corrupted_step_rows

        found = tables.error_propagation(scores, corruptions, seeds)
        return {**found, "steps": corrupted_step_rows(records, corruptions, seeds)}
    if study == "frames":
        return tables.frames(scores, plans.frame_numbers(common_grid(records)), _by_question(scores, _seconds(records)))
    if study == "bias":
        return tables.bias(scores, _by_question(scores, readable_answers(records)))
    from cotasks.step_scores.table import predicted_step_rows

    return {**tables.oracle_gap(scores), "steps": predicted_step_rows(records, out / "predictions")}


def common_grid(records: Records) -> int:
    """The most frames that every record can be shown: the shortest grid that is not a whole clip, frame by frame; the
    longest where all are."""
    lengths, whole = records.grids
    return int(lengths[~whole].min() if (~whole).any() else lengths.max())


def readable_answers(records: Records) -> dict[str, float]:
    """{id: 1.0 where a reference answer, its head word or its number can be read off the `cotasks` context, else 0.0;
    nan without a reference}, as `cotasks.audit.leakage` defines it."""
    from cotasks.audit import measure_leakage
    from cotasks.audit.counts import SplitCounts, add_video, video_tables
    from cotasks.audit.leakage import CONDITIONS, MEASURES

    counts = SplitCounts()
    for table in video_tables(records.rows):
        add_video(counts, table)
    leakage = measure_leakage([records], {records.split: counts})
    column = leakage.share[:, CONDITIONS.index("cotasks"), MEASURES.index("any")]
    return dict(zip(records.ids, column.astype(float).tolist(), strict=True))


def _seconds(records: Records) -> dict[str, float]:
    """{id: length of the clip in seconds}"""
    clips = records.rows["clip"]
    return {id_: clip["end_seconds"] - clip["start_seconds"] for id_, clip in zip(records.ids, clips, strict=True)}


def _by_question(scores: Scores, values: Mapping[str, float]) -> Floats:
    """(questions,) in the order of the scores; nan where there is none."""
    return np.array([values.get(id_, np.nan) for id_ in scores.ids], float)


def _warnings(scores: Scores, model: Mapping[str, Any]) -> list[str]:
    found = []
    if "note" in model:
        found.append(f"The model `{model['name']}`: {model['note']}.")
    unscored, answers = int(scores.unscored.sum()), int(scores.answers.sum())
    if unscored:
        found.append(f"{unscored} of {answers} answers are unscored; they count in no mean.")
    videos = len(set(scores.video_ids))
    if videos < FEW_VIDEOS:
        found.append(f"There are {videos} videos only: intervals are wide, and rest on few.")
    return found


def _shared(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of `generate`'s options the prediction of steps takes as well."""
    return {name: value for name, value in options.items() if name != "max_new_tokens"}
