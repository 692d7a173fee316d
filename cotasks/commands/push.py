"""`cotasks push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import VideoCheck
from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.builders.publish.hub import PushResult

OF_DATA = "A built folder"
OF_RUNS = "A run"


def push(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="What `cotasks build` wrote; or a run: of `generate`, `predict`, `import`.",
            show_default=False,
        ),
    ],
    repo: Annotated[
        str, typer.Argument(metavar="REPO", help="ORG/NAME on the Hub; made if it is not there.", show_default=False)
    ],
    tag: Annotated[str | None, typer.Option(help="Name of the version, such as v1.0.0; it is never moved.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would change; send nothing.")] = False,
    embed_videos: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the videos: add a copy of each config with them in its rows.", rich_help_panel=OF_DATA
        ),
    ] = None,
    video_check: VideoCheck = "fail",
    name: Annotated[
        str | None,
        typer.Option(help="Of the run in the repository.", show_default="the folder's", rich_help_panel=OF_RUNS),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels", help="Send what people said of the answers too, with their names.", rich_help_panel=OF_RUNS
        ),
    ] = False,
) -> None:
    """Publish a built folder, or a run, on the Hub as one commit, and tag it.

    Reads FOLDER and the token that `hf auth login` stored. Writes to the Hub only. A push that was cut off is finished
    by the same command; what the Hub has already is not sent again. A run goes to runs/NAME of the repository, which
    may hold other runs and a data set, with a table of its answers; of this machine's paths only the last part is sent.
    `cotasks pull` fetches it.
    """
    if (folder / "run.json").is_file():
        if embed_videos is not None:
            raise InputError(f"--embed-videos is for built folders; {folder} is a run")
        from cotasks.builders.publish.push_run import push_run

        _say(push_run(folder, repo, name=name, labels=labels, tag=tag, private=private, dry_run=dry_run))
        return
    if name is not None or labels:
        raise InputError(f"{'--name' if name is not None else '--labels'} is for runs; {folder} has no run.json")
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
    _say(result)


def _say(result: PushResult) -> None:
    print("\n".join(result.lines()))
    if result.dry_run:
        print(f"Nothing sent to {result.url}")
    else:
        print(f"Pushed {result.url} at {result.commit}" + (f", tag {result.tag}" if result.tag else ""))
