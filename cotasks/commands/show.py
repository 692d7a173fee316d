"""`cotasks show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import OUTPUT, Config, Dataset, Split, VideoCheck, Videos
from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.records.dataset import Records
    from cotasks.records.schema import Record


def show(
    dataset: Dataset,
    config: Config = None,
    split: Split = None,
    id: Annotated[str | None, typer.Option(help="The record with this id.")] = None,
    index: Annotated[int | None, typer.Option(help="The record at this position of the split, from 0.", min=0)] = None,
    videos: Videos = None,
    video_check: VideoCheck = "fail",
    out: Annotated[
        Path | None, typer.Option(help="PNG: a contact sheet; MP4 or GIF: moving boxes.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Print a record readably; with --out, draw its grid frames with boxes, track colours and labels, or write them as
    a short clip.

    Reads DATASET and, for the sheet, the record's video. Without a video the boxes are drawn on blank frames.
    """
    from cotasks.look.drawing import describe
    from cotasks.look.record import write
    from cotasks.words.plain import printable

    if id is not None and index is not None:
        raise InputError("--id and --index exclude each other")
    if out is not None:
        require("video")
    records, record = _find(dataset, config, split, id, index)
    print(printable(describe(record)))
    if out is not None:
        write(record, out, records.video_folder(videos), video_check)
        print(f"Drew {out}")


def _find(
    dataset: str, config: str | None, split: str | None, id: str | None, index: int | None
) -> tuple[Records, Record]:
    """The record asked for, and the split it is in; an id says itself which split that is."""
    from cotasks.records.dataset import load_records

    if id is None:
        records = load_records(dataset, split, config)
        return records, records.at(index or 0)
    parts = id.split("/")
    records = load_records(dataset, split or (parts[1] if len(parts) > 1 else None), config)
    return records, records.by_id(id)
