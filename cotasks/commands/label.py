"""`cotasks label`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, OUTPUT, VideoCheck, Videos
from cotasks.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from cotasks.label.book import Book
    from cotasks.label.pictures import Pictures

LABELS = "Labels"
"""Panel of `--help`."""
LOOK_SECONDS = 0.1
"""How often the user's signal is looked for."""


def label(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    labeller: Annotated[
        str | None,
        typer.Option(help="Your name: lower-case letters, digits, -.", rich_help_panel=LABELS, show_default=False),
    ] = None,
    answers: Annotated[
        int | None,
        typer.Option(
            help="Answers in the run's sample; may grow later.", min=1, rich_help_panel=LABELS, show_default="200"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sample.", rich_help_panel=LABELS, show_default="0")] = None,
    rubric: Annotated[
        str | None,
        typer.Option(
            help="usual-form, or a text file, in place of answer-match.", rich_help_panel=LABELS, show_default=False
        ),
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Show frames of the videos; --videos does too.", rich_help_panel=DATA)
    ] = False,
    videos: Videos = None,
    video_check: VideoCheck = "fail",
    dataset: Annotated[
        str | None, typer.Option(help="The records, where they are not where run.json says.", rich_help_panel=DATA)
    ] = None,
    port: Annotated[int, typer.Option(help="Of the page; 0 takes a free one.", min=0, max=65535)] = 0,
    export: Annotated[
        Path | None, typer.Option(help="Write labels as CSV, and open no page.", rich_help_panel=OUTPUT)
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", help="Take over labels from CSV, and open no page.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Let people label answers of a run, on a page of this machine that only its address opens.

    Reads RUN/questions.jsonl and RUN/generations, and with --videos or --frames the records and videos. A random sample
    of answers, by category and condition, is shown in random order, without model and condition: whether each means the
    same as a reference, and how well, by the judge's rubric. Appends to RUN/labels/LABELLER.jsonl; each label is on the
    disk before the page goes on, and the same command goes on where it stopped. Every labeller sees the same sample.
    With --export and --import, CSV: all labels with id and condition, or with --labeller a sheet of the sample without
    these, to be filled in and imported. Ends at Ctrl-C, with exit code 1 if answers are left.
    """
    if export is not None and import_ is not None:
        raise InputError("--export and --import exclude each other")
    if export is None and import_ is None and labeller is None:
        raise InputError(
            "--labeller is missing; expected your name, so that labels of several people can be told apart"
        )
    from cotasks.label.book import check_labeller, open_book
    from cotasks.label.sample import choose, settle_plan
    from cotasks.label.table import read_table, write_sheet
    from cotasks.runs.labels import export_csv
    from cotasks.runs.run import run_with_answers

    if labeller is not None:
        check_labeller(labeller)
    shows = frames or videos is not None
    if shows:
        require("video")
    found = run_with_answers(run)
    if export is not None and labeller is None:
        print(f"Wrote {export_csv(found, export)} labels: {export}")
        return
    if import_ is not None:
        taken = read_table(found, import_)
        more = f"{taken.kept} were there, {taken.empty} rows are empty"
        print(f"Took over {taken.new} labels ({more}): {run / 'labels'}")
        return
    plan = settle_plan(run, answers, seed, rubric)
    if export is not None and labeller is not None:
        print(f"Wrote the sheet of {labeller}, {write_sheet(found, plan, labeller, export)} rows labelled: {export}")
        return
    assert labeller is not None
    pictures = None
    if shows:
        from cotasks.label.pictures import pictures_of

        pictures = pictures_of(found, dataset, videos, video_check)
    items = choose(found, plan)
    if any(row["choices"] for row in found.questions.values()):
        what = "multiple choice is left out, so means over all questions cannot be corrected by these labels"
        print(f"{run}: {what}; those of open-ended runs can", file=sys.stderr)
    with open_book(found, plan, labeller, items) as book:
        _serve(book, pictures, port)
        left = len(items) - book.done()
        print(f"Labelled {len(items) - left} of {len(items)} answers: {run / 'labels' / f'{labeller}.jsonl'}")
    if left:
        raise typer.Exit(1)


def _serve(book: Book, pictures: Pictures | None, port: int) -> None:
    """Serve the page until SIGINT or SIGTERM."""
    from cotasks.label.server import LabelServer
    from cotasks.tools.stopping import stop_signal

    try:
        server = LabelServer(book, pictures, port)
    except OSError as error:
        raise EnvironmentFault(f"port {port}: {error.strerror}; expected a free one, or 0") from None
    with server.running(), stop_signal(False) as stopped:
        print(f"{len(book.items)} answers, {book.done()} labelled; Ctrl-C ends. Open {server.address}", flush=True)
        while not stopped():
            time.sleep(LOOK_SECONDS)
