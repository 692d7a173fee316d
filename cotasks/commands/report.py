"""Commands on runs: demo, generate, judge, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, OUTPUT, RunVideoCheck, Videos
from cotasks.commands.output import print_markdown
from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.report import ReportPaths


LAYOUTS = ("report", "paper")


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.", show_default=False)],
    baseline: Annotated[str, typer.Option(help="Condition that the others are compared with.")] = "baseline",
    judge: Annotated[str | None, typer.Option(help="Whose verdicts; by default every judge's.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.", rich_help_panel=OUTPUT, show_default="the first run")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The records, where they are not where run.json says.", rich_help_panel=DATA)
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Instead: set the speed of the runs side by side; writes nothing.")
    ] = False,
    layout: Annotated[
        str,
        typer.Option(
            help="report, or paper: the tables of the CoTasks paper, one row a model, and a reproducibility card.",
            rich_help_panel=OUTPUT,
        ),
    ] = "report",
    videos: Videos = None,
    video_check: RunVideoCheck = None,
    frames: Annotated[bool, typer.Option(help="Show frames on the page.", rich_help_panel=OUTPUT)] = True,
    equivalence: Annotated[
        float | None,
        typer.Option(help="Test which differences are as good as none: within so many points.", show_default=False),
    ] = None,
) -> None:
    """Write the tables of one or several runs, and a page to read their answers on.

    Reads run.json, questions, generations, failures and verdicts, and for the page the records and videos. Writes
    summary.json, report.md, report.tex and report.html, one file that opens without a network. With --compare, a table
    of RUN/costs is printed: answers, videos, frames and tokens in a time, waiting for videos, device, memory. With
    --layout paper it writes paper.tex, paper.md and reproducibility.md instead.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}; expected {' or '.join(LAYOUTS)}")
    if compare:
        from cotasks.pages.markdown import table
        from cotasks.report.costs import compare as costs_of

        found = costs_of(runs)
        print_markdown(table(found.header, [list(map(str, line.cells)) for line in found.lines], found.text_columns))
        return
    require("report")
    if layout == "paper":
        from cotasks.report import write_paper

        written = write_paper(runs, baseline, judge, out, dataset=dataset)
        print_markdown(written.markdown.read_text(encoding="utf-8").partition("\n\n")[2])
        print(f"Tables {written.latex}, card {written.card}")
        return
    from cotasks.report import write_report

    paths = write_report(
        runs,
        baseline=baseline,
        judge=judge,
        out=out,
        dataset=dataset,
        videos=videos,
        video_check=video_check,
        frames=frames,
        equivalence=equivalence,
    )
    print_tables(paths)
    print(f"Report {paths.html}")


def print_tables(paths: ReportPaths) -> None:
    """The main tables of a report."""
    from cotasks.report.markdown import main_tables
    from cotasks.tools.files import read_json

    summary = read_json(paths.summary)
    for judge in dict.fromkeys(judge for run in summary["runs"] for judge in run["judges"]):
        print_markdown("\n\n".join(main_tables(summary, judge)))
