"""`cotasks push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import VideoCheck


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder that `cotasks build` wrote.", show_default=False)
    ],
    repo: Annotated[
        str, typer.Argument(metavar="REPO", help="ORG/NAME on the Hub; made if it is not there.", show_default=False)
    ],
    tag: Annotated[str | None, typer.Option(help="Name of the version, such as v1.0.0; it is never moved.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    embed_videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos: add a copy of each config with them in its rows.")
    ] = None,
    video_check: VideoCheck = "fail",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would change; send nothing.")] = False,
) -> None:
    """Publish a built folder on the Hub as one commit, and tag it.

    Reads FOLDER and the token that `hf auth login` stored. Writes to the Hub only. A push that was cut off is finished
    by the same command; what the Hub has already is not sent again.
    """
    if embed_videos is not None:
        require("video")
    from cotasks.builders.publish.push import push as push_folder
    from cotasks.tools.progress import progress_bar

    with progress_bar("shards") as update:
        result = push_folder(
            folder,
            repo,
            tag=tag,
            private=private,
            embed_videos=embed_videos,
            video_check=video_check,
            dry_run=dry_run,
            on_shard=update,
        )
    print("\n".join(result.lines()))
    if result.dry_run:
        print(f"Nothing sent to {result.url}")
    else:
        print(f"Pushed {result.url} at {result.commit}" + (f", tag {result.tag}" if result.tag else ""))
