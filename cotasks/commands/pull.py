"""`cotasks pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pull(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="ORG/NAME on the Hub.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Of the run there.", show_default="the only one"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New folder to write.", show_default="runs/NAME")] = None,
    revision: Annotated[
        str | None, typer.Option(help="A tag or commit of the repository.", show_default="what is there now")
    ] = None,
) -> None:
    """Fetch a run that `cotasks push` published, as a folder that report, judge, steps and view read.

    Reads the Hub, or the mirror that HF_ENDPOINT names. Writes the folder when all of it is there and reads as a run.
    Data sets need no fetching: every command takes ORG/NAME.
    """
    from cotasks.builders.publish.pull import pull_run

    pulled = pull_run(repo, name, out, revision)
    answers = f"{len(pulled.run.generations)} answers to {len(pulled.run.questions)} questions"
    print(f"Wrote {pulled.files} files, {answers}: {pulled.folder} (commit {pulled.commit[:8]})")
