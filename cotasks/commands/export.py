"""`cotasks export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import OUTPUT, Config, Limit, Split, VideoCheck, Videos, name_of
from cotasks.errors import InputError


def export(
    exported: Annotated[
        str,
        typer.Argument(metavar="RUN|DATASET", help="A judged run folder, or a data set.", show_default=False),
    ],
    to: Annotated[
        str,
        typer.Option(
            help="Of a run: inspect (an .eval log a condition, for `inspect view`), lm (lmms-eval's results and "
            "samples) or hub (a data set of the answers, and `model-index` for a model card). Of a data set: fiftyone, "
            "cvat (an XML file a video) or coco-video.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder to write to.", rich_help_panel=OUTPUT, show_default="exports/NAME-FORMAT"),
    ] = None,
    config: Config = None,
    split: Split = None,
    limit: Limit = None,
    videos: Videos = None,
    video_check: VideoCheck = "fail",
) -> None:
    """Write a run, or records, in the form that another program reads.

    Reads RUN with its verdicts, or DATASET, and with --videos what the files say of themselves. Writes OUT, whole or
    not at all. Unscored answers stay unscored there; of a run, no path of this machine and no address of a server is
    written. Boxes are those that are annotated, none in between.
    """
    from cotasks.export import Subject, format_named, read_judged
    from cotasks.tools.files import whole_folder

    row = format_named(to)
    write = row.write
    is_run = (Path(exported) / "run.json").is_file()
    if is_run != (row.of == "run"):
        found, expected = ("a run", "a data set") if is_run else ("no run folder", "one")
        raise InputError(f"{exported}: {found}; expected {expected} for --to {to}")
    subject: object
    if is_run:
        subject = read_judged(Path(exported))
    else:
        from cotasks.records.dataset import load_records
        from cotasks.records.videos import videos_of

        records = load_records(exported, split, config, limit)
        place = records.video_folder(videos)
        if place is not None:
            require("video")
        subject = Subject(records, videos_of(place, video_check))
    folder = out if out is not None else Path("exports") / f"{name_of(exported)}-{to}"
    with whole_folder(folder) as part:
        written = write(subject, part)
    for note in written.notes:
        print(note, file=sys.stderr)
    print(f"Wrote {written.what}: {folder}")
