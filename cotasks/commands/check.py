"""`cotasks check`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, OUTPUT, SPEED, Config, Dataset, Videos
from cotasks.commands.output import print_markdown


def check(
    dataset: Dataset,
    videos: Videos = None,
    config: Config = None,
    split: Annotated[str | None, typer.Option(help="Only this split.", rich_help_panel=DATA)] = None,
    num_proc: Annotated[
        int | None,
        typer.Option(help="Processes that look at videos; by default one a processor.", min=1, rich_help_panel=SPEED),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="File to write the same to, as JSON.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Look at every video of a data set, and list those that are not the annotated ones.

    Reads DATASET, all splits, and of each video its header, when its frames are shown, and a few pictures. A video is
    wrong where it is missing or none, where its rate, number of frames, times or shape are not the record's, and where
    there is nothing to see. What these commands refuse later is known here, before a day of computing: one line a
    video, and a table by reason. Ends with exit code 1 if any is wrong.
    """
    require("video")
    from cotasks.errors import InputError
    from cotasks.pages.markdown import table
    from cotasks.records.checking import CheckSummary, check_videos, expectation_tables, expected_videos
    from cotasks.records.dataset import load_records, load_splits
    from cotasks.tools.files import dump_json
    from cotasks.tools.progress import progress_bar

    loaded = [load_records(dataset, split, config)] if split else load_splits(dataset, config)
    folder = loaded[0].video_folder(videos)
    if folder is None:
        raise InputError("which videos? name their folder with --videos")
    expected = expected_videos(table for records in loaded for table in expectation_tables(records.rows))
    summary = CheckSummary()
    with ExitStack() as stack:
        # the bar has a thread of its own, beside which no process can be forked: it starts when they run
        bar = cache(lambda: stack.enter_context(progress_bar("videos")))
        processes = (
            num_proc or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) or 1
        )
        for one in check_videos(
            expected, folder, num_proc=processes, on_progress=lambda done, total: bar()("check", done, total)
        ):
            summary.add(one)
    for one in summary.wrong:
        print(one.detail)
    for note in summary.notes:
        print(f"note: {note}")
    reasons = summary.reasons()
    if reasons:
        rows = [[reason, str(count), str(questions)] for reason, (count, questions) in reasons.items()]
        print()
        print_markdown(table(["reason", "videos", "questions"], rows))
    if json is not None:
        dump_json(
            json,
            {
                "format": 1,
                "dataset": loaded[0].dataset,
                "config": loaded[0].config,
                "splits": [records.split for records in loaded],
                "videos": str(folder),
                "checked": summary.videos,
                "questions": summary.questions,
                "wrong": [
                    {"video_path": o.video_path, "questions": o.questions, "reason": o.reason, "detail": o.detail}
                    for o in summary.wrong
                ],
                "notes": summary.notes,
            },
        )
    print(f"{len(summary.wrong)} of {summary.videos} videos are wrong in {folder}" + (f"; {json}" if json else ""))
    if summary.wrong:
        raise typer.Exit(1)
