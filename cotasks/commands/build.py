"""Commands on data: build, show, audit, push."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.arguments import Config, Dataset, Split, Videos
from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.records.dataset import Records
    from cotasks.records.schema import Record


def build(
    config: Annotated[str, typer.Argument(help="sample, nextqa_oe, nextqa_mc or star.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to; several configs can share one.", show_default=False)],
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the source files, laid out as the README says; without it they are downloaded."),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only this split; repeatable.")] = None,
    vidor: Annotated[
        list[Path] | None,
        typer.Option(help="Further folder or zip of VidOR annotation, besides DATA_DIR/vidor; repeatable."),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(help="Folder of the STAR videos, to read frame count and size from their headers."),
    ] = None,
    localization: Annotated[
        str,
        typer.Option(help="Origin of step 1: auto, human, lexical, whole, or a JSONL file of model proposals."),
    ] = "auto",
    use_answer: Annotated[
        bool,
        typer.Option("--use-answer", help="Let lexical step 1 match words of the answer too (it may leak it)."),
    ] = False,
    grid: Annotated[str, typer.Option(help="STAR: snapped (annotated keyframes on the grid) or uniform.")] = "snapped",
    num_frames: Annotated[int, typer.Option(help="Frames of the grid.")] = 64,
    num_proc: Annotated[int, typer.Option(help="Processes that read annotation.", min=1)] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first N questions of each split.")] = None,
) -> None:
    """Build CoTask records from source files into a publishable parquet folder.

    Reads the questions and annotation below DATA_DIR, or fetches them once from their publishers into the Hugging Face
    cache. Videos are never fetched: NExT-QA's are linked in https://github.com/doc-doc/NExT-QA (NExTVideo), STAR's are
    Charades scaled to 480p, https://prior.allenai.org/projects/charades.

    Writes OUT/CONFIG/*.parquet, build.json (counts, options, source
    hashes), skipped.jsonl (every question that became no record, with the reason) and OUT/README.md (dataset card).
    """
    from cotasks.builders.assemble import describe_skipped
    from cotasks.builders.publish.folder import build_folder
    from cotasks.builders.sources import BuildOptions
    from cotasks.records.dataset import split_name
    from cotasks.tools.progress import progress_bar

    options = BuildOptions(
        config=config,
        data_dir=str(data_dir) if data_dir else None,
        vidor=tuple(str(path) for path in vidor or ()),
        videos=str(videos) if videos else None,
        localization=localization,
        use_answer=use_answer,
        grid=grid,  # type: ignore[arg-type]  # BuildOptions checks it
        num_frames=num_frames,
        limit=limit,
    )
    with ExitStack() as stack:
        # the bar has a thread of its own, beside which no process can be forked: it starts when they run
        bar = cache(lambda: stack.enter_context(progress_bar("questions")))
        names = [split_name(s) for s in split or ()] or None
        summary = build_folder(options, out, names, num_proc, lambda *progress: bar()(*progress))
    for name, counts in summary.splits.items():
        skipped = f"; skipped {counts.skipped.total()}: {describe_skipped(counts.skipped)}" if counts.skipped else ""
        print(f"{name}: {counts.records} records of {counts.questions} questions{skipped}")
    for name, reason in summary.left_out.items():
        print(f"{name}: left out: {reason}")
    print(f"Built {summary.folder / config}")


def show(
    dataset: Dataset,
    config: Config = None,
    split: Split = None,
    id: Annotated[str | None, typer.Option(help="The record with this id.")] = None,
    index: Annotated[int | None, typer.Option(help="The record at this position of the split, from 0.", min=0)] = None,
    videos: Videos = None,
    out: Annotated[Path | None, typer.Option(help="PNG: a contact sheet; MP4 or GIF: moving boxes.")] = None,
) -> None:
    """Print a record readably; with --out, draw its grid frames with boxes, track colours and labels, or write them as
    a short clip.

    Reads DATASET and, for the sheet, the record's video. Without a video the boxes are drawn on blank frames.
    """
    from cotasks.look.drawing import describe
    from cotasks.look.record import write

    if id is not None and index is not None:
        raise InputError("--id and --index exclude each other")
    records, record = _find(dataset, config, split, id, index)
    print(describe(record))
    if out is not None:
        write(record, out, records.video_folder(videos))
        print(f"Drew {out}")


def audit(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    config: Config = None,
) -> None:
    """Count what is in a data set, check its boxes, and measure how often its steps give the answer away.

    Reads DATASET, all splits. Writes OUT/audit.md (one page), its plots as PNG, and OUT/audit.json (all numbers).
    """
    from cotasks.audit import audit as audit_dataset
    from cotasks.tools.progress import progress_bar

    with progress_bar("records") as update:
        paths = audit_dataset(dataset, out, config=config, on_progress=update)
    print(f"Audit {paths.markdown}")


def push(
    folder: Annotated[Path, typer.Argument(help="Folder that `cotasks build` wrote.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="ORG/NAME on the Hub; made if it is not there.", show_default=False)],
    tag: Annotated[str | None, typer.Option(help="Name of the version, such as v1.0.0; it is never moved.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    embed_videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos: add a copy of each config with them in its rows.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would change; send nothing.")] = False,
) -> None:
    """Publish a built folder on the Hub as one commit, and tag it.

    Reads FOLDER and the token that `hf auth login` stored. Writes to the Hub only. A push that was cut off is finished
    by the same command; what the Hub has already is not sent again.
    """
    from cotasks.builders.publish.push import push as push_folder
    from cotasks.tools.progress import progress_bar

    with progress_bar("shards") as update:
        result = push_folder(
            folder, repo, tag=tag, private=private, embed_videos=embed_videos, dry_run=dry_run, on_shard=update
        )
    print("\n".join(result.lines()))
    if result.dry_run:
        print(f"Nothing sent to {result.url}")
    else:
        print(f"Pushed {result.url} at {result.commit}" + (f", tag {result.tag}" if result.tag else ""))


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
