"""Run a study: ask, judge, tables, pictures and the page."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.errors import InputError, MissingExtra
from cotasks.studies.catalog import STUDIES
from cotasks.studies.study import (
    BASE,
    CORRUPTIONS,
    NONE,
    PREDICTED,
    SUB_RUN,
    Setup,
    Study,
    common_grid,
    predictions_folder,
    run_folder,
)
from cotasks.tools.files import dump_json, write_text
from cotasks.tools.launch import RANK, environment_number

if TYPE_CHECKING:
    from cotasks.metrics.contrasts import Scores
    from cotasks.prompts.condition import Condition
    from cotasks.records.dataset import Records
    from cotasks.runs.run import Run

FORMAT = 1
FEW_VIDEOS = 20
"""With fewer videos a study warns."""


def study_named(name: str) -> Study:
    """Raises InputError for an unknown study."""
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}; known: {', '.join(STUDIES)}")
    return STUDIES[name]


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
    corruptions: Sequence[float] = CORRUPTIONS,
    seeds: int = 1,
    predict_tokens: int = 512,
    annotation: Path | None = None,
    conditions: Sequence[str] = (),
    tuned: Mapping[str, str] = NONE,
    **options: Any,
) -> tuple[StudyPaths | None, bool]:
    """Ask a model under all conditions of a study, judge the answers, and write tables, plots and the page.

    May be interrupted and called again. Started by `accelerate launch` or `torchrun`, the processes share the videos.

    Args:
        study: A name from `STUDIES`.
        records: What to ask, see `cotasks.records.dataset.load_records`.
        model: As of `cotasks.generate.generate`.
        out: The study's folder.
        judge: As of `cotasks.judge.judge_run`.
        judge_options: Further arguments of `judge_run`.
        videos: The folder that `video_path` is relative to; the sample brings its own.
        corruptions: Probabilities that `error-propagation` goes through; each between 0 and 1, ascending.
        seeds: Corruptions drawn of each probability.
        predict_tokens: Longest text of a step, for `oracle-gap`, `annotation` and `fine-tuning`.
        annotation: A folder of `cotasks annotate` about the same videos, for `annotation`.
        conditions: In place of the study's own, for `sub-questions`, as of `cotasks.prompts.parse_condition`.
        tuned: Name -> model, each a checkpoint of `model`, for `fine-tuning`; asked in this order.
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
    from cotasks.generate.sampling import GREEDY
    from cotasks.judge.run import judge_run
    from cotasks.prompts.condition import parse_condition

    levels = [float(level) for level in corruptions]
    if levels != sorted(set(levels)) or not all(0 <= level <= 1 for level in levels):
        raise InputError(f"corruptions {levels}; expected probabilities between 0 and 1, ascending")
    if seeds < 1:
        raise InputError(f"seeds {seeds}; expected 1 or more")
    row = study_named(study)
    if conditions and not row.takes_conditions:
        takes = ", ".join(name for name, one in STUDIES.items() if one.takes_conditions)
        raise InputError(f"condition {conditions[0]!r} for study {study}, which has its own; expected {takes}")
    setup = Setup(records, common_grid(records), levels, seeds, judge, annotation, conditions, tuned)
    _check_tuned(row, tuned)
    _prepare_rungs(row, setup, out)
    told_conditions = [parse_condition(text) for text in row.conditions(setup)]
    complete = True
    asked: dict[Path, tuple[Records, list[Condition], str, dict[str, Any]]] = {}
    # each model takes its own steps first
    for arm, name in {PREDICTED: model, **tuned}.items():
        told = options
        if row.predicts:
            from cotasks.predict.run import predict

            folder = predictions_folder(out, arm)
            longer = dataclasses.replace(options.get("sampling", GREEDY), max_new_tokens=predict_tokens)
            steps = {key: value for key, value in options.items() if key != "answer_style"}
            predicted = predict(records, name, folder, videos=videos, **{**steps, "sampling": longer})
            if predicted.main and not predicted.read:  # not every step was asked, for a server that gave up
                return None, False
            complete = complete and predicted.complete
            while not list(folder.glob("predictions/*.parquet")):
                time.sleep(0.2)  # which the main process is writing
            told = {**options, "predictions": folder}
        asked[out / "run" if arm == PREDICTED else run_folder(out, arm)] = (records, told_conditions, name, told)
    for rung in row.rungs:
        told = {**options, "predictions": predictions_folder(out, rung)}
        asked[run_folder(out, rung)] = (records, [parse_condition("predicted")], model, told)
    if row.asks_sub_questions:
        asked[out / SUB_RUN] = (records.sub_questions(), told_conditions, model, options)
    for folder, (about, part, name, told) in asked.items():
        answered = generate(about, part, name, folder, videos=videos, **told)
        if answered.stopped:
            return None, not answered.main
        complete = complete and answered.complete
    if not answered.main:
        return None, True
    for folder in asked:
        if folder == out / SUB_RUN:
            judge_run(folder, "exact")
        else:
            judged = judge_run(folder, judge, **(judge_options or {}))
            complete = complete and not judged.left and not judged.failed
    return write_study(study, records, out, judge, levels, seeds, annotation, tuned), complete


def _check_tuned(row: Study, tuned: Mapping[str, str]) -> None:
    """Raises InputError where tuned models are missing, not asked for, or named as nothing can be."""
    if bool(tuned) != row.asks_tuned:
        expected = "--tuned NAME=MODEL, once or several times" if row.asks_tuned else "them with `fine-tuning` only"
        raise InputError(f"study {row.name}: {len(tuned)} tuned models; expected {expected}")
    for name in tuned:
        if not re.fullmatch(r"[A-Za-z0-9_][\w.+-]*", name, re.ASCII) or name in (BASE, PREDICTED):
            raise InputError(f"tuned model {name!r}; expected a name of letters, digits, ., +, _ and -, not {BASE}")


def _prepare_rungs(row: Study, setup: Setup, out: Path) -> None:
    """Write the predictions folders of a study's rungs, in the main process; the others wait for them."""
    for rung in row.rungs:
        folder = predictions_folder(out, rung)
        if environment_number(RANK, 0) == 0 and row.prepare is not None:
            row.prepare(setup, folder, rung)
        while not list(folder.glob("predictions/*.parquet")):
            time.sleep(0.2)


def write_study(
    study: str,
    records: Records,
    out: Path,
    judge: str,
    corruptions: Sequence[float] = CORRUPTIONS,
    seeds: int = 1,
    annotation: Path | None = None,
    tuned: Mapping[str, str] = NONE,
) -> StudyPaths:
    """Tables, plots and page of a study from what is on disk; arguments as of `run_study`.

    Answers that are missing are unscored: they are counted, and warned of.
    """
    from cotasks.metrics.contrasts import read_scores, together
    from cotasks.pages.plots import figure_file
    from cotasks.report import origins
    from cotasks.runs.folder import read_settings
    from cotasks.runs.run import read_run
    from cotasks.studies import page

    row = study_named(study)
    setup = Setup(records, common_grid(records), corruptions, seeds, judge, annotation, tuned=tuned)
    scores = read_scores(out / "run", judge)
    for rung in row.rungs:
        scores = scores.with_condition(rung, read_scores(run_folder(out, rung), judge))
    if tuned:
        scores = together({BASE: scores, **{name: read_scores(run_folder(out, name), judge) for name in tuned}})
    settings = read_settings(out / "run")
    asked = read_run(out / "run")
    tables = row.tables(setup, scores, out)
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
        "origins": origins.rows_of(asked),
        **({"models": {BASE: settings["model"]["name"], **tuned}} if tuned else {}),
        "conditions": list(scores.conditions),
        "tables": tables,
        "warnings": [*_warnings(scores, settings["model"]), *_cautions(asked, judge)],
    }
    pictures = []
    for name, draw in row.pictures(tables):
        pictures.append(out / f"{name}.png")
        with figure_file(pictures[-1]) as figure:
            draw(figure, tables)
    paths = StudyPaths(out / "study.json", out / "study.md", tuple(pictures))
    dump_json(paths.summary, summary)
    write_text(paths.markdown, page.render(row, summary, [picture.name for picture in pictures]))
    return paths


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


def _cautions(run: Run, judge: str) -> list[str]:
    """Those of a report's that are about where step 1 comes from, about videos and about the judge."""
    from cotasks.judge.judges import verdicts_of
    from cotasks.report import caution, leakage

    about = {"mixed origins", "step 1 saw the answer", "leakage", "thinking cut off", "other videos"}
    leaks = leakage.of_runs({"run": run}, None, {})["run"]
    seen = caution.Seen(run, "run", "", "", "run", leaks.rows, judge=judge, verdicts=verdicts_of(run, judge))
    rows = [row for row in caution.RUN if row.name in about]
    rows += [row for row in caution.JUDGE if row.name in ("unreadable", "judge and version")]
    return [line[:1].upper() + line[1:] for _, line in caution.lines(rows, seen)]
