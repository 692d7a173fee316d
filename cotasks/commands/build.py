"""`cotasks build`."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import DATA, OUTPUT, SPEED

STEPS = "Grid and steps"


def build(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="Such as sample, nextqa_oe, star, castbench or own; any other name lists those there are.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder to write to; several configs can share one.", rich_help_panel=OUTPUT),
    ] = Path("built"),
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the source files, laid out as the README says; without it they are downloaded.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; repeatable.", rich_help_panel=DATA, show_default="all")
    ] = None,
    vidor: Annotated[
        list[Path] | None,
        typer.Option(
            help="Further folder or zip of VidOR annotation, besides DATA_DIR/vidor; repeatable.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            help="STAR, CaST-Bench, own data: folder of the videos, to read rate, length and size from their headers.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Own data: what the records say in `source`.", rich_help_panel=DATA, show_default=False),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            help="Own data: its licence, by the Hub's names, for the card.", rich_help_panel=DATA, show_default=False
        ),
    ] = None,
    localization: Annotated[
        str,
        typer.Option(
            help="Origin of step 1: auto, human, lexical, whole, or a JSONL file of model proposals, the way for a "
            "paper (`cotasks predict --steps 1 --marks`).",
            rich_help_panel=STEPS,
        ),
    ] = "auto",
    use_answer: Annotated[
        bool,
        typer.Option(
            "--use-answer",
            help="Let lexical step 1 match words of the answer too (it may leak it).",
            rich_help_panel=STEPS,
        ),
    ] = False,
    grid: Annotated[
        str,
        typer.Option(
            help="Sparse annotation: snapped (annotated frames on the grid) or uniform.", rich_help_panel=STEPS
        ),
    ] = "snapped",
    num_frames: Annotated[int, typer.Option(help="Frames of the grid.", rich_help_panel=STEPS)] = 64,
    num_proc: Annotated[int, typer.Option(help="Processes that read annotation.", min=1, rich_help_panel=SPEED)] = 1,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first N questions of each split.", rich_help_panel=DATA, show_default="all"),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Skip a video for one odd box or relation, which is else left out (not STAR, own data).",
            rich_help_panel=DATA,
        ),
    ] = False,
) -> None:
    """Build CoTask records from source files into a publishable parquet folder.

    Reads the questions and annotation below DATA_DIR, or fetches them once from their publishers into the Hugging Face
    cache. Videos are never fetched: NExT-QA's are linked in https://github.com/doc-doc/NExT-QA (NExTVideo), STAR's are
    Charades scaled to 480p, https://prior.allenai.org/projects/charades.

    `build own` reads your own data, DATA_DIR/questions.jsonl and annotation.jsonl: see examples/own_data.md.

    Writes OUT/CONFIG/*.parquet, build.json (counts, options, source
    hashes), skipped.jsonl (every question that became no record, with the reason; also where no record was built) and
    OUT/README.md (dataset card). Prints one example of each reason.
    """
    if videos is not None:
        require("video")
    from cotasks.builders.assemble import describe_skipped
    from cotasks.builders.publish.folder import NothingBuilt, build_folder
    from cotasks.builders.sources import BuildOptions
    from cotasks.records.dataset import split_name
    from cotasks.tools.progress import progress_bar

    options = BuildOptions(
        config=config,
        data_dir=str(data_dir) if data_dir else None,
        vidor=tuple(str(path) for path in vidor or ()),
        videos=str(videos) if videos else None,
        source_name=source,
        license=license,
        localization=localization,
        use_answer=use_answer,
        grid=grid,  # type: ignore[arg-type]  # BuildOptions checks it
        num_frames=num_frames,
        limit=limit,
        strict=strict,
    )
    with ExitStack() as stack:
        # the bar has a thread of its own, beside which no process can be forked: it starts when they run
        bar = cache(lambda: stack.enter_context(progress_bar("questions")))
        names = [split_name(s) for s in split or ()] or None
        try:
            summary = build_folder(options, out, names, num_proc, lambda *progress: bar()(*progress))
        except NothingBuilt as error:
            stack.close()
            for name, examples in error.examples.items():
                print(f"{name}: no record was written", *examples.lines(), sep="\n")
            raise
    for name, counts in summary.splits.items():
        rescaled = f"; boxes of {counts.boxes_rescaled} scaled to their videos" if counts.boxes_rescaled else ""
        skipped = f"; skipped {counts.skipped.total()}: {describe_skipped(counts.skipped)}" if counts.skipped else ""
        print(f"{name}: {counts.records} records of {counts.questions} questions{rescaled}{skipped}")
        if counts.left_out_of_annotation:
            print(f"{name}: left out of the annotation: {describe_skipped(counts.left_out_of_annotation)}")
        for line in summary.examples[name].lines():
            print(line)
    for name, reason in summary.left_out.items():
        print(f"{name}: left out: {reason}")
    print(f"Built {summary.folder / config}")
