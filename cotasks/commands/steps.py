"""`cotasks steps`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import judge_extras, require
from cotasks.commands.options import DATA, JUDGE, OUTPUT, RunVideoCheck, Videos
from cotasks.commands.output import print_markdown


def steps(
    predictions: Annotated[
        list[Path], typer.Argument(metavar="PREDICTIONS", help="Folders of `cotasks predict`.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.", rich_help_panel=OUTPUT, show_default="the first one")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The records, where they are not where run.json says.", rich_help_panel=DATA)
    ] = None,
    answers_of: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run with verdicts whose answers go with these steps, for joint scores; may be given several times.",
            rich_help_panel=DATA,
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Score the texts as well: f1, or openai:MODEL; see `cotasks judge`.", rich_help_panel=JUDGE),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Of the judge's server.", rich_help_panel=JUDGE)] = None,
    judge_url: Annotated[str | None, typer.Option(hidden=True)] = None,
    videos: Videos = None,
    video_check: RunVideoCheck = None,
    all_scores: Annotated[
        bool, typer.Option("--all", help="Print every score, not the main ones only.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Score predicted steps against the true ones: frames, boxes, triples, spans, with intervals and baselines.

    With --answers-of also a right answer on right evidence: Acc@GQA, AM, LGM, right given that a step is right.
    Reads the predictions, the records that they were made of, and the runs. Writes OUT/steps.json and OUT/steps.md.
    """
    require("report", *judge_extras(judge))
    from cotasks.step_scores.report import render, render_joint, write_step_report

    paths, summary = write_step_report(
        predictions, out, dataset, judge, videos, video_check, answers_of or [], base_url=base_url or judge_url
    )
    print_markdown(render(summary, main_only=not all_scores))
    if summary["joint"]:
        print_markdown(render_joint(summary))
    print(f"Step table {paths.markdown}")
