"""From verdicts to `summary.json`, `report.md`, `report.tex` and `report.html`.

`summary.json` holds every number of the report, as flat lists that a data frame takes as they are:

    format        version of this layout
    baseline      the condition that the others are compared with
    confidence    of the intervals; `cotasks.metrics.intervals` explains how they are made
    runs          {run, folder (relative to the report's), model, conditions, questions, videos,
                  judges {name: version of its rule}, settings (run.json)}
    means         {run, model, judge} and the fields of `metrics.Mean`
    differences   {run, model, judge, baseline_run, p_holm} and the fields of `metrics.Difference`; a run without the
                  baseline condition is compared with that of another run of the same settings; `p_holm` is the p value
                  adjusted over all of a judge's but those by question type
    verdicts      {run, model, judge, condition, right, wrong, unreadable, unscored}: answers
    outcomes      {run, model, judge, baseline_run, condition, baseline, won, lost, tied, not_compared}: answers
                  that score more, less or as much as the baseline's
    scores        {run, model, judge, condition, low, high, answers}: answers with low <= score < high (100 is in
                  the last range); where a judge gives few different scores, low = high is one of them
    unscored      {run, model, judge, condition, reason, answers}: answers without a score, by reason
    generation    {run, model, condition, answers, failures, cut_answers (at the longest allowed length),
                  cut_contexts (prompts whose context budget left out items), cut_items (those items),
                  open_answers (to open-ended questions), echoes (those of them that only repeat the question),
                  median_words (how long they are)}; where a model thought also {thoughts, cut_thoughts
                  (cut off at their longest), mean_thought_tokens}
    echoes        {run, model, judge, condition, echoes, right, points}: scored echoes, those held for right, and by how
                  much the mean would fall if all of them scored 0; only where there are any
    between_runs  {run, model, judge, reference_run, reference_model, p_holm} and the fields of `metrics.Difference` but
                  `baseline`: the run's score minus the reference run's under the same condition; `p_holm` is adjusted
                  over the averages
    agreement     {run, model} and the fields of `cotasks.judge.agreement.Agreement`, of every two language models that
                  judged, and each with `exact`; for `judges` the fields `judge` and `other_judge`
    spread        {run, model} and the fields of `cotasks.judge.agreement.Spread`, of each language model that was asked
                  more than once; for `means` the fields `lowest_mean` and `highest_mean`
    equivalence   where a margin was given, {margin, p_no_worse, p_equivalent, shown} and the fields of `differences`,
                  with low and high of the 90% interval
    joint         {run, model, judge (None where a score needs none), condition, score, title, questions, videos, mean,
                  low, high, boxes (their convention, and on what ground)}: answers with their evidence, of runs that
                  have predicted steps or evidence; see `cotasks.metrics.joint`
    controls      {run, model, judge, control, right (what a sound judge says), asked, accepted (verdicts that say yes),
                  mean (of the scores), unscored}: answers whose verdict is known, see `cotasks.judge.controls`
    labels        {run, model} and, as in `agreement`, how far people agree with each other and each judge with people
    corrected     {run, model, judge, condition, baseline (null of a mean), labels, videos, tuning}, and {mean, low,
                  high, rough} of the judge on the same answers (judge_), of the labels alone (alone_) and of the judge
                  corrected by them, with `p_value` of a difference; see `metrics.corrected`
    origins       {run, model} and the fields of `origins.rows_of`: where step 1 of the questions comes from
    origin_means, origin_differences
                  as means and differences over all questions, with `origin`; of runs whose questions have several
                  origins and whose conditions tell steps
    leakage       {run, model} and the fields of `leakage.Leaks.rows`: what the contexts give away, on the questions of
                  the run
    cautions      {run, model, judges, caution, text}: the warnings by the rows of `caution`
    costs         {run, model, seconds (in which a process was at work), process_seconds, answers, failures, videos,
                  frames, prompt_tokens, answer_tokens, waited, devices, peak_memory (bytes), memory_of, servers
                  {address: answers}, processes, waiting_share, answers_a_minute, videos_a_minute, frames_a_second,
                  prompt_tokens_a_second, answer_tokens_a_second}; see `cotasks.runs.costs`
    warnings      what a reader must know before quoting a number, and what is left out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.report import card, html, latex, leakage, markdown, paper
from cotasks.report.evidence import MAX_IMAGE_BYTES, Sources
from cotasks.report.joint import joint_parts
from cotasks.report.summary import Scored, read_scored, summarise
from cotasks.runs.records import Loaded
from cotasks.tools.files import dump_json, write_text
from cotasks.video.check import check_mode


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report."""

    summary: Path
    """`summary.json`, all numbers."""
    markdown: Path
    """`report.md`, the same to read."""
    latex: Path
    """`report.tex`, the main tables."""
    html: Path
    """`report.html`, one file: tables, plots, and every answer with what it was an answer to."""


@dataclass(frozen=True)
class PaperPaths:
    """The files of a paper's tables."""

    latex: Path
    """`paper.tex`"""
    markdown: Path
    """`paper.md`, the same to read."""
    card: Path
    """`reproducibility.md`"""


def write_report(
    runs: Sequence[Path],
    baseline: str = "baseline",
    judge: str | None = None,
    out: Path | None = None,
    *,
    dataset: str | None = None,
    videos: Path | None = None,
    frames: bool = True,
    max_image_bytes: int = MAX_IMAGE_BYTES,
    video_check: str | None = None,
    equivalence: float | None = None,
) -> ReportPaths:
    """Report on one run, or compare several, from the verdicts on disk.

    Args:
        runs: Run folders.
        baseline: The condition that the others are compared with, within each run.
        judge: The judge whose verdicts count; None for every judge that a run has verdicts of.
        out: Folder to write to; None for the first run's.
        dataset: Where the page finds the records that the answers are to, for prompts, frames and boxes; None
            for what each `run.json` names. Records of another fingerprint than the run's are not used.
        videos: The folder of the videos; None for what `run.json` names, or the sample's own.
        frames: Whether the page shows frames.
        video_check: What is done about a video that is not the annotated one, of `cotasks.video.check.MODES`: with
            `fail` none of its frames are shown; None for what `run.json` says.
        equivalence: The margin within which a difference is as good as none, in points of score; None for no such test.
        max_image_bytes: The most bytes of `report.html` that frames may take; the page says whose are left out.

    A run that is half done, or that a judge has not seen whole, is reported as far as it goes: what is
    missing is unscored and stands among the warnings. Of several runs, one that cannot be read is left out
    with a warning, and so is a judge whose files are damaged. Where the records or videos that `run.json` names are not
    at hand, the page says so and shows the rest.

    Raises InputError where no run can be read, none has verdicts, or `dataset` or `videos` is not there; MissingExtra
    without Jinja2 or scipy.
    """
    if video_check is not None:
        check_mode(video_check)
    if equivalence is not None and not 0 < equivalence < 100:
        raise InputError(f"equivalence {equivalence:g}; expected a margin between 0 and 100, in points of score")
    scored, warnings = read_scored(runs, judge)
    out, loaded = out or runs[0], Loaded()
    leaks = leakage.of_runs({one.name: one.run for one in scored}, dataset, loaded)
    joint = joint_parts(scored, dataset, loaded)
    summary = _summary(scored, baseline, warnings, out, joint, equivalence, leaks)
    page = html.render(summary, scored, Sources(dataset, videos, video_check, frames, max_image_bytes, loaded))
    out.mkdir(parents=True, exist_ok=True)
    paths = ReportPaths(out / "summary.json", out / "report.md", out / "report.tex", out / "report.html")
    dump_json(paths.summary, summary)
    write_text(paths.markdown, markdown.render(summary))
    write_text(paths.latex, latex.render(summary))
    write_text(paths.html, page)
    return paths


def write_paper(
    runs: Sequence[Path],
    baseline: str = "baseline",
    judge: str | None = None,
    out: Path | None = None,
    *,
    dataset: str | None = None,
) -> PaperPaths:
    """The tables of the CoTasks paper over one or several runs (`cotasks.report.paper`), and one page that says what
    made them (`cotasks.report.card`).

    Args and errors as of `write_report`; InputError too where no run has a condition that a table of the paper shows.
    """
    scored, warnings = read_scored(runs, judge)
    out, loaded = out or runs[0], Loaded()
    steps, said = paper.step_rows_of(scored, dataset, loaded)
    leaks = leakage.of_runs({one.name: one.run for one in scored}, dataset, loaded)
    summary = _summary(scored, baseline, [*warnings, *said], out, ([], []), None, leaks)
    judges = list(dict.fromkeys(name for one in scored for name in one.verdicts))
    tables = [table for name in judges for table in paper.paper_tables(summary, name)]
    tables += paper.step_tables(steps, summary["confidence"])
    if not tables:
        raise InputError(
            f"{', '.join(one.name for one in scored)}: nothing for the paper's tables; expected runs with {baseline!r} "
            "and conditions that tell steps, such as cotasks, or with predicted steps"
        )
    out.mkdir(parents=True, exist_ok=True)
    paths = PaperPaths(out / "paper.tex", out / "paper.md", out / "reproducibility.md")
    write_text(paths.latex, paper.render_latex(tables, summary["warnings"]))
    write_text(paths.markdown, f"# Tables\n\n{paper.render_markdown(tables)}\n")
    write_text(paths.card, card.render(summary))
    return paths


def summarise_runs(
    folders: Sequence[Path], baseline: str = "baseline", judge: str | None = None, out: Path | None = None
) -> dict[str, Any]:
    """The content of `summary.json`; arguments and errors as of `write_report`."""
    scored, warnings = read_scored(folders, judge)
    return _summary(scored, baseline, warnings, out or folders[0], joint_parts(scored, None, Loaded()), None, {})


def _summary(
    scored: Sequence[Scored],
    baseline: str,
    warnings: Sequence[str],
    out: Path,
    joint: tuple[list[dict[str, Any]], list[str]],
    equivalence: float | None,
    leaks: Mapping[str, leakage.Leaks],
) -> dict[str, Any]:
    """The content of `summary.json`, joint scores included."""
    rows, said = joint
    summary = summarise(scored, baseline, [*warnings, *said], out, equivalence, leaks)
    said_last = summary.pop("warnings")
    return {**summary, "joint": rows, "warnings": said_last}
