"""`cotasks view`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, OUTPUT, Config, Split, VideoCheck, Videos
from cotasks.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from cotasks.view.viewer import Viewer

LOOK_SECONDS = 0.1
"""How often the user's signal is looked for."""


def view(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Built folders, Hub ids, `sample`; run folders; folders of `cotasks predict`.",
            show_default=False,
        ),
    ],
    config: Config = None,
    split: Split = None,
    videos: Videos = None,
    video_check: VideoCheck = "fail",
    dataset: Annotated[
        str | None,
        typer.Option(help="The records of the runs, where they are not where run.json says.", rich_help_panel=DATA),
    ] = None,
    port: Annotated[int, typer.Option(help="Of the page; 0 takes a free one.", min=0, max=65535)] = 0,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the page to a new folder that opens without a server.", rich_help_panel=OUTPUT),
    ] = None,
    export_space: Annotated[
        Path | None, typer.Option(help="The same as a Space of the Hub.", rich_help_panel=OUTPUT)
    ] = None,
    copy_videos: Annotated[
        bool, typer.Option(help="Copy the videos into what is exported.", rich_help_panel=OUTPUT)
    ] = True,
) -> None:
    """Look at records and answers on a page: the video with its boxes moving, the steps on a timeline, the graph of
    triples, the answers of several runs side by side.

    Reads data sets, runs and predictions, and the records and videos that belong to them. The page is served on this
    machine, at an address that holds a token, until Ctrl-C; or it is written to a folder with --export. Every place in
    it has an address of its own.
    """
    if export is not None and export_space is not None:
        raise InputError("--export and --export-space exclude each other")
    if videos is not None:
        require("video")
    from cotasks.view.sources import Where
    from cotasks.view.viewer import Viewer

    viewer = Viewer(paths, Where(dataset, config, split, videos, video_check))
    for note in viewer.opened.notes:
        print(note, file=sys.stderr)
    answers = sum(item.key is not None for item in viewer.items)
    what = f"{len(viewer.questions)} questions" + (f", {answers} answers" if answers else "")
    folder = export if export is not None else export_space
    if folder is None:
        _serve(viewer, what, port)
        return
    from cotasks.view.export import export as write

    title = ", ".join(source.name for source in viewer.opened.sources)
    done = write(viewer, folder, copy_videos, title if export_space is not None else None)
    print(f"Wrote {what}, {done.videos} videos, {done.frames} frames: {folder / 'index.html'}")
    if copy_videos and done.without:
        print(f"{done.without} questions have no video there: it is not at hand, or not as annotated", file=sys.stderr)


def _serve(viewer: Viewer, what: str, port: int) -> None:
    """Serve the page until SIGINT or SIGTERM."""
    from cotasks.tools.stopping import stop_signal
    from cotasks.view.server import ViewServer

    try:
        server = ViewServer(viewer, port)
    except OSError as error:
        raise EnvironmentFault(f"port {port}: {error.strerror}; expected a free one, or 0") from None
    server.prepare()
    with server.running(), stop_signal(False) as stopped:
        print(f"{what}; Ctrl-C ends. Open {server.address}", flush=True)
        while not stopped():
            time.sleep(LOOK_SECONDS)
