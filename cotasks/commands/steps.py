"""`cotasks steps`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.options import Videos


def steps(
    predictions: Annotated[list[Path], typer.Argument(help="Folders of `cotasks predict`.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the first one's by default.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The records, where they are not where run.json says.")] = None,
    judge: Annotated[
        str | None, typer.Option(help="Score the texts as well: f1, or openai:MODEL; see `cotasks judge`.")
    ] = None,
    judge_url: Annotated[str | None, typer.Option(help="Of the judge's server.")] = None,
    videos: Videos = None,
    all_scores: Annotated[bool, typer.Option("--all", help="Print every score, not the main ones only.")] = False,
) -> None:
    """Score predicted steps against the true ones: frames, boxes, triples, spans, with intervals.

    Reads the predictions and the records that they were made of. Writes OUT/steps.json and OUT/steps.md.
    """
    from cotasks.step_scores.report import render, write_step_report

    paths, summary = write_step_report(predictions, out, dataset, judge, videos, base_url=judge_url)
    print(render(summary, main_only=not all_scores))
    print(f"Step table {paths.markdown}")
