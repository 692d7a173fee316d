"""`cotasks generate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import (
    OUTPUT,
    PROMPT,
    AnswerStyle,
    Config,
    Dataset,
    Limit,
    Model,
    ModelOptions,
    Split,
    Track,
    Videos,
    default_folder,
    takes_model_options,
)
from cotasks.commands.output import print_markdown
from cotasks.tools.launch import RANK, environment_number

if TYPE_CHECKING:
    from cotasks.generate.dry_run import DryRun
    from cotasks.generate.progress import Standing
    from cotasks.tools.tracking import Log


@takes_model_options
def generate(
    dataset: Dataset,
    model: Model,
    options: ModelOptions,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; an interrupted run goes on there.",
            rich_help_panel=OUTPUT,
            show_default="runs/DATASET-MODEL",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the first prompts as they would be sent, and count prompts, tokens, videos and faults of the "
            "whole run. Loads no weights, asks no server, writes nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="baseline, blind, cotasks, blind-cotasks, cotasks-12, predicted, cotasks:frames=16,...; repeatable.",
            rich_help_panel=PROMPT,
            show_default="baseline, cotasks",
        ),
    ] = None,
    config: Config = None,
    split: Split = None,
    videos: Videos = None,
    num_frames: Annotated[
        int | None,
        typer.Option(
            help="Frames shown, where a condition says nothing else.", rich_help_panel=PROMPT, show_default="the grid"
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `cotasks predict`, for conditions such as predicted.",
            rich_help_panel=PROMPT,
            show_default=False,
        ),
    ] = None,
    limit: Limit = None,
    answer_style: AnswerStyle = "phrase",
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1, rich_help_panel=PROMPT)] = 64,
    samples: Annotated[
        int, typer.Option(help="Answers a prompt; more than one needs a temperature.", min=1, rich_help_panel=PROMPT)
    ] = 1,
    temperature: Annotated[float, typer.Option(help="0 for greedy decoding.", min=0, rich_help_panel=PROMPT)] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Sample from the fewest tokens with this probability.", rich_help_panel=PROMPT)
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option(help="Sample from that many tokens at most; 0 for all.", min=0, rich_help_panel=PROMPT)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the sampling.", rich_help_panel=PROMPT)] = 0,
    track: Track = None,
) -> None:
    """Ask a model every question under every condition.

    On several devices or machines: `accelerate launch -m cotasks generate ...`; the processes share the videos. With
    `--backend server`, MODEL is the server's name for it, and a key is read from OPENAI_API_KEY.

    Reads DATASET and its videos. Appends answers to RUN/generations, failures with their reasons to RUN/failures, and
    writes RUN/run.json and RUN/questions.jsonl. Ends with exit code 1 if anything failed or is left.

    `cotasks generate --config RUN/run.json --run AGAIN` repeats a run.
    """
    from cotasks.generate.sampling import Sampling
    from cotasks.prompts.condition import parse_condition
    from cotasks.records.dataset import load_records

    conditions = [parse_condition(text) for text in dict.fromkeys(condition or ["baseline", "cotasks"])]
    require(*options.extras(video=any(c.video for c in conditions)))
    arguments = options.arguments()
    sampling = Sampling(samples, temperature, top_p, top_k, seed, max_new_tokens, options.wanted_thinking)
    records = load_records(dataset, split, config, limit)
    run = run or default_folder("runs", dataset, config, split, model)
    what: dict[str, Any] = {
        "videos": videos,
        "num_frames": num_frames,
        "answer_style": answer_style,
        "predictions": predictions,
        "sampling": sampling,
    }
    if dry_run:
        from cotasks.generate.dry_run import dry_run as foresee

        if environment_number(RANK, 0):  # one process of a launch is enough
            return
        for name in ("batching", "retry_failures"):
            del arguments[name]
        _print_dry_run(foresee(records, conditions, model, run, **what, **arguments))
        return
    from cotasks.generate.run import generate as generate_answers
    from cotasks.tools.tracking import tracking

    # one process of a launch is enough
    tracker = track if not environment_number(RANK, 0) else None
    told: dict[str, Any] = {"model": model, "dataset": dataset, "conditions": [c.name for c in conditions]}
    told |= {"split": records.split, "questions": len(records), **sampling.settings()}
    with tracking(tracker, run.name, told) as log:
        listener = None if log is None else partial(_log, log)
        result = generate_answers(records, conditions, model, run, listener=listener, **what, **arguments)
    if not result.main:  # another process of the same launch says how it went
        return
    for reason, count in result.failures.items():
        print(f"{count} failed: {reason}")
    print(f"Answered {result.done} of {result.total} ({result.new} now) in {run}")
    if not result.complete:
        raise typer.Exit(1)


def _log(log: Log, now: Standing, seconds: float) -> None:
    """Hand on how a run stands."""
    from cotasks.generate.progress import numbers_of

    log(numbers_of(now, seconds))


def _print_dry_run(found: DryRun) -> None:
    """The first prompts, then the counts. Ends with exit code 1 if any prompt would fail."""
    from cotasks.pages.markdown import escape, table

    for shown in found.shown:
        print(f"--- {shown.condition}, {shown.record_id}\n{shown.text}\n")
    for note in found.notes:
        print(f"note: {note}")
    rows = []
    for name, counts in found.conditions.items():
        tokens = [counts.text_tokens, counts.video_tokens, counts.longest]
        cells = ["?" if value is None else f"{value:,}" for value in tokens]
        rows.append([escape(name), f"{counts.prompts:,}", f"{counts.failed:,}", *cells])
    header = ["condition", "prompts", "would fail", "text tokens", "video tokens", "longest prompt"]
    print_markdown(table(header, rows))
    for reason, (count, detail) in found.failures.items():
        print(f"{count} would fail: {reason}, such as {detail}")
    known = [counts.tokens for counts in found.conditions.values() if counts.tokens is not None]
    total = f"{sum(known):,} tokens" if len(known) == len(found.conditions) else "tokens not known"
    print(
        f"Dry run: {found.total:,} answers ({found.done:,} there already) to {total} in prompts, {found.videos:,} "
        f"videos, {found.frames:,} frames; nothing was asked or written"
    )
    if found.failures:
        raise typer.Exit(1)
