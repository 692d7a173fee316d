"""`cotasks demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import OUTPUT
from cotasks.commands.report import print_tables


def demo(
    out: Annotated[
        Path,
        typer.Option(help="Folder to write to; a second run goes on where the first stopped.", rich_help_panel=OUTPUT),
    ] = Path("cotasks-demo"),
) -> None:
    """Run the main job on a toy world: draw clips, build, predict steps, generate, judge, report.

    Writes OUT/source (drawn clips and annotation), OUT/data (the built folder), OUT/predictions (the steps as the model
    sees them) and OUT/run (the run folder with its report). Needs no network. The model `toy` is real but very small,
    and knows this drawn world only: the scores show what the commands do, and say nothing about real video.
    """
    require("models", "video", "report")
    from cotasks.demo import run_demo

    paths, complete = run_demo(out)
    print_tables(paths)
    print(f"Report {paths.html}")
    if not complete:
        raise typer.Exit(1)
