"""Commands on steps and studies: steps, study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def steps(
    predictions: Annotated[list[Path], typer.Argument(help="Folders of `cotasks predict`.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the first one's by default.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The records, where they are not where run.json says.")] = None,
    all_scores: Annotated[bool, typer.Option("--all", help="Print every score, not the main ones only.")] = False,
) -> None:
    """Score predicted steps against the true ones: frames, boxes, triples, spans, with intervals.

    Reads the predictions and the records that they were made of. Writes OUT/steps.json and OUT/steps.md.
    """
    from cotasks.studies.step_report import render, write_step_report

    paths, summary = write_step_report(predictions, out, dataset)
    print(render(summary, main_only=not all_scores))
    print(f"Step table {paths.markdown}")
