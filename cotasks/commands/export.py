"""`cotasks export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.options import OUTPUT, name_of


def export(
    exported: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A judged run folder.", show_default=False),
    ],
    to: Annotated[
        str,
        typer.Option(
            help="inspect (an .eval log a condition, for `inspect view`), lm (lmms-eval's results and samples) or hub "
            "(a data set of the answers, and `model-index` for a model card).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder to write to.", rich_help_panel=OUTPUT, show_default="exports/NAME-FORMAT"),
    ] = None,
) -> None:
    """Write a run in the form that another program reads.

    Reads RUN with its verdicts. Writes OUT, whole or not at all. Unscored answers stay unscored there, and no path of
    this machine and no address of a server is written.
    """
    from cotasks.export import format_named, read_judged
    from cotasks.tools.files import whole_folder

    row = format_named(to, "run")
    write = row.write
    subject = read_judged(Path(exported))
    folder = out if out is not None else Path("exports") / f"{name_of(exported)}-{to}"
    with whole_folder(folder) as part:
        written = write(subject, part)
    for note in written.notes:
        print(note, file=sys.stderr)
    print(f"Wrote {written.what}: {folder}")
