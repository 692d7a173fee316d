"""`cotasks import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.options import DATA, OUTPUT, Config, Limit, Split, Videos, default_folder

if TYPE_CHECKING:
    from cotasks.imports import Imported

ANSWERS = "Answers"
EVIDENCE = "Evidence in answers"


def import_(
    file: Annotated[
        Path, typer.Argument(help="Answers: .jsonl, .json, .csv, .tsv, .xlsx or .eval.", show_default=False)
    ],
    data: Annotated[
        str,
        typer.Option(
            help="What they answer: a built folder, a Hub id, or `sample`.", rich_help_panel=DATA, show_default=False
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="Folder to write.", rich_help_panel=OUTPUT, show_default="runs/DATASET-FILE"),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="lmms-eval, inspect, castbench, vlmevalkit or plain; by default what the columns say.",
            rich_help_panel=ANSWERS,
            show_default=False,
        ),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(help="Column of the questions' ids.", rich_help_panel=ANSWERS, show_default=False),
    ] = None,
    answer: Annotated[
        str | None, typer.Option(help="Column of the answers.", rich_help_panel=ANSWERS, show_default=False)
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(help="Column of the questions' texts.", rich_help_panel=ANSWERS, show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of the model that answered; by default what the file says, else its name.",
            rich_help_panel=ANSWERS,
            show_default=False,
        ),
    ] = None,
    condition: Annotated[
        str, typer.Option(help="Condition that the answers stand under.", rich_help_panel=ANSWERS)
    ] = "baseline",
    convention: Annotated[
        str | None,
        typer.Option(
            "--boxes",
            help="Convention of the boxes in answers: x or y first (xyxy, yxyx) and pixels, thousandths or fractions, "
            "such as xyxy-pixels; by default what fits the frames, where only one does.",
            rich_help_panel=EVIDENCE,
            show_default=False,
        ),
    ] = None,
    videos: Videos = None,
    config: Config = None,
    split: Split = None,
    limit: Limit = None,
) -> None:
    """Make a run of answers that another program asked for, and predicted steps of the evidence in them.

    Reads FILE: samples of lmms-eval, logs of inspect, sheets of VLMEvalKit, predictions of CaST-Bench, or JSONL and CSV
    with --id (or --question) and --answer; and DATA, whose questions tell by id or text what is answered. Writes RUN as
    `cotasks generate` does, for `judge`, `report` and the studies; where answers hold evidence (CaST-Bench's JSON,
    Open-o3's tags, Qwen's bbox_2d), also RUN/steps, a folder like one of `cotasks predict`. The same command goes on
    where it was interrupted.
    """
    from cotasks.imports import Columns, import_answers
    from cotasks.records.dataset import load_records
    from cotasks.steps.conventions import parse_convention

    boxes = parse_convention(convention) if convention is not None else None
    records = load_records(data, split, config, limit)
    run = run or default_folder("runs", data, config, split, file.stem)
    found = import_answers(
        file,
        records,
        run,
        form=form,
        columns=Columns(id, answer, question),
        model=model,
        condition=condition,
        boxes=boxes,
        videos=videos,
    )
    for line in _lines(found):
        print(line)
    print(f"Imported {found.taken} answers ({found.new} now) to {found.questions} questions ({found.form}): {run}")


def _lines(found: Imported) -> list[str]:
    """What else is to be said, a line each."""
    lines = [f"{count} left out: {why}, such as {found.examples[why]}" for why, count in found.left_out.items()]
    lines += [f"{count} of {found.questions} questions: {reason}" for reason, count in found.failures.items()]
    steps = found.steps
    if steps is not None:
        unread = f", in {steps.unread} something unread" if steps.unread else ""
        lines.append(f"Evidence in {steps.answers} answers{unread}, {steps.boxes} boxes; {steps.ground}")
        for reason, count in steps.failures.items():
            lines.append(f"No step 2 of {count} answers: {reason}; {_remedy(reason)}")
        lines.append(f"Steps {steps.folder}")
    return lines


def _remedy(reason: str) -> str:
    from cotasks.imports.steps import NO_CONVENTION

    if reason == NO_CONVENTION:
        return "say which one it is with --boxes, such as --boxes xyxy-pixels, and run the same command again"
    return "name the folder of the videos with --videos, or build the data set with it"
