"""The command line: `cotasks COMMAND`, the same as `python -m cotasks COMMAND`.

Each command parses its arguments, calls one function of the package and says in one line where the result lies.
Exit codes: 0 all done, 1 something was left undone, 2 wrong arguments or input (one line on standard error).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.dataset import Records
    from cotasks.report import ReportPaths
    from cotasks.schema import Record

app = typer.Typer(
    name="cotasks",
    help="Object-grounded reasoning steps for video language models: build, look, generate, judge, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Dataset = Annotated[str, typer.Argument(help="A built folder, a Hub id, or `sample`.", show_default=False)]
Config = Annotated[str | None, typer.Option(help="Which config of a folder or Hub data set that holds several.")]
Split = Annotated[str | None, typer.Option(help="train, validation (or val), test.")]
Videos = Annotated[Path | None, typer.Option(help="Folder of the videos; the sample brings its own.")]


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Object-grounded reasoning steps for video language models."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to; a second run goes on where the first stopped.")] = Path(
        "cotasks-demo"
    ),
) -> None:
    """Run the main job on the embedded sample: build, generate with a tiny random model, judge, report.

    Writes DIR/data (the built folder), DIR/run (the run folder with its report). Needs no network. The tiny model has
    random weights, so its answers and scores mean nothing.
    """
    from cotasks.demo import run_demo

    paths, complete = run_demo(out)
    _print_tables(paths)
    print(f"Report {paths.markdown}")
    if not complete:
        raise typer.Exit(1)


@app.command()
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
    from cotasks.builders.folder import build_folder
    from cotasks.builders.sources import BuildOptions
    from cotasks.dataset import split_name
    from cotasks.progress import progress_bar

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
    with progress_bar("questions") as update:
        summary = build_folder(options, out, [split_name(s) for s in split or ()] or None, num_proc, update)
    for name, counts in summary.splits.items():
        skipped = f"; skipped {counts.skipped.total()}: {describe_skipped(counts.skipped)}" if counts.skipped else ""
        print(f"{name}: {counts.records} records of {counts.questions} questions{skipped}")
    for name, reason in summary.left_out.items():
        print(f"{name}: left out: {reason}")
    print(f"Built {summary.folder / config}")


@app.command()
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
    from cotasks.drawing import describe
    from cotasks.looking import write

    if id is not None and index is not None:
        raise InputError("--id and --index exclude each other")
    records, record = _find(dataset, config, split, id, index)
    print(describe(record))
    if out is not None:
        write(record, out, records.video_folder(videos))
        print(f"Drew {out}")


@app.command()
def audit(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    config: Config = None,
) -> None:
    """Count what is in a data set, check its boxes, and measure how often its steps give the answer away.

    Reads DATASET, all splits. Writes OUT/audit.md (one page), its plots as PNG, and OUT/audit.json (all numbers).
    """
    from cotasks.audit import audit as audit_dataset
    from cotasks.progress import progress_bar

    with progress_bar("records") as update:
        paths = audit_dataset(dataset, out, config=config, on_progress=update)
    print(f"Audit {paths.markdown}")


@app.command()
def generate(
    dataset: Dataset,
    model: Annotated[str, typer.Option(help="Model folder, Hub id, or `tiny` (random weights).", show_default=False)],
    run: Annotated[Path, typer.Option(help="Run folder; an interrupted run goes on there.", show_default=False)],
    condition: Annotated[
        list[str] | None,
        typer.Option(help="baseline, blind, cotasks, blind-cotasks, cotasks-12, cotasks:frames=16,...; repeatable."),
    ] = None,
    config: Config = None,
    split: Split = None,
    videos: Videos = None,
    num_frames: Annotated[int | None, typer.Option(help="Frames shown, where a condition says nothing else.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="About so many questions: whole videos in a fixed random order.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts at once.", min=1)] = 8,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 64,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str | None, typer.Option(help="cuda, cpu, ...; the best there is by default.")] = None,
    retry_failures: Annotated[bool, typer.Option("--retry-failures", help="Try again what failed before.")] = False,
) -> None:
    """Ask a model every question under every condition (baseline and cotasks unless named).

    Reads DATASET and its videos. Appends answers to RUN/generations, failures with their reasons to RUN/failures, and
    writes RUN/run.json and RUN/questions.jsonl. Ends with exit code 1 if anything failed.
    """
    from cotasks.generate import generate as generate_answers
    from cotasks.prompts import parse_condition

    records = _load(dataset, config, split, limit=limit)
    result = generate_answers(
        records,
        [parse_condition(text) for text in dict.fromkeys(condition or ["baseline", "cotasks"])],
        model,
        run,
        videos=videos,
        num_frames=num_frames,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        dtype=dtype,
        device=device,
        retry_failures=retry_failures,
    )
    for reason, count in result.failures.items():
        print(f"{count} failed: {reason}")
    print(f"Answered {result.done} of {result.total} ({result.new} now) in {run}")
    if not result.complete:
        raise typer.Exit(1)


@app.command()
def judge(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    judge: Annotated[str, typer.Option(help="exact or f1.")] = "exact",
) -> None:
    """Score the answers of a run.

    Reads RUN/questions.jsonl and RUN/generations. Appends verdicts to RUN/verdicts/JUDGE.jsonl; what is there already
    is not judged again. What cannot be measured stays unscored and is never counted as 0.
    """
    from cotasks.judge import judge_run

    counts = judge_run(run, judge)
    print(f"Judged {counts.judged} answers ({counts.kept} before), {counts.unscored} unscored: {counts.path}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    baseline: Annotated[str, typer.Option(help="Condition that the others are compared with.")] = "baseline",
    judge: Annotated[str | None, typer.Option(help="Whose verdicts; by default every judge's.")] = None,
) -> None:
    """Write the tables of one or several runs.

    Reads run.json, questions, generations, failures and verdicts. Writes summary.json and report.md into the first run
    folder.
    """
    from cotasks.report import write_report

    paths = write_report(runs, baseline=baseline, judge=judge)
    _print_tables(paths)
    print(f"Report {paths.markdown}")


@app.command()
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
    from cotasks.hub import push as push_folder
    from cotasks.progress import progress_bar

    with progress_bar("shards") as update:
        result = push_folder(
            folder, repo, tag=tag, private=private, embed_videos=embed_videos, dry_run=dry_run, on_shard=update
        )
    print("\n".join(result.lines()))
    if result.dry_run:
        print(f"Nothing sent to {result.url}")
    else:
        print(f"Pushed {result.url} at {result.commit}" + (f", tag {result.tag}" if result.tag else ""))


def _load(dataset: str, config: str | None, split: str | None, limit: int | None = None) -> Records:
    from cotasks.dataset import load_records

    return load_records(dataset, split, config=config, limit=limit)


def _find(
    dataset: str, config: str | None, split: str | None, id: str | None, index: int | None
) -> tuple[Records, Record]:
    """The record asked for, and the split it is in; an id says itself which split that is."""
    if id is None:
        records = _load(dataset, config, split)
        return records, records.at(index or 0)
    parts = id.split("/")
    records = _load(dataset, config, split or (parts[1] if len(parts) > 1 else None))
    return records, records.by_id(id)


def _print_tables(paths: ReportPaths) -> None:
    """The main tables of a report; in plain text they line up."""
    from cotasks.report.markdown import main_tables
    from cotasks.runs import read_json

    summary = read_json(paths.summary)
    for judge in dict.fromkeys(judge for run in summary["runs"] for judge in run["judges"]):
        print("\n\n".join(main_tables(summary, judge)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # UsageError, wherever this version of typer keeps its copy of click
    usage_error: type[Any] = typer.BadParameter.__bases__[0]
    try:
        code = app(args=arguments, prog_name="cotasks", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        print("Interrupted; run the same command again to go on.", file=sys.stderr)
        return 130
    except (InputError, OSError, usage_error) as error:
        if "--debug" in arguments:
            raise
        message = error.format_message() if isinstance(error, usage_error) else str(error)
        print(f"cotasks: {' '.join(message.split())}", file=sys.stderr)
        return 2
