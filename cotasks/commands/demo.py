"""`cotasks demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.report import print_tables


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to; a second run goes on where the first stopped.")] = Path(
        "cotasks-demo"
    ),
) -> None:
    """Run the main job on a toy world: draw clips, build, predict steps, generate, judge, report.

    Writes DIR/source (drawn clips and annotation), DIR/data (the built folder), DIR/predictions (the steps as the model
    sees them) and DIR/run (the run folder with its report). Needs no network. The model `toy` is real but very small,
    and knows this drawn world only: the scores show what the commands do, and say nothing about real video.
    """
    from cotasks.demo import run_demo

    paths, complete = run_demo(out)
    print_tables(paths)
    print(f"Report {paths.html}")
    if not complete:
        raise typer.Exit(1)
