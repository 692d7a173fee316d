"""The command that asks a model for the steps themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.options import (
    OUTPUT,
    PROMPT,
    Config,
    Dataset,
    Limit,
    Model,
    ModelOptions,
    Split,
    Videos,
    default_folder,
    takes_model_options,
)


@takes_model_options
def predict(
    dataset: Dataset,
    model: Model,
    options: ModelOptions,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; an interrupted run goes on there.",
            rich_help_panel=OUTPUT,
            show_default="runs/DATASET-MODEL-steps",
        ),
    ] = None,
    steps: Annotated[str, typer.Option(help="Which steps: 1234, 1, 34, ...", rich_help_panel=PROMPT)] = "1234",
    given: Annotated[
        str,
        typer.Option(
            help="What a step is told of those before it: own (what the model said) or oracle.", rich_help_panel=PROMPT
        ),
    ] = "own",
    with_answer: Annotated[
        bool,
        typer.Option(
            "--with-answer",
            help="Show the reference answer too; with --steps 1, to make A1 for a build.",
            rich_help_panel=PROMPT,
        ),
    ] = False,
    marks: Annotated[
        bool,
        typer.Option(
            "--marks",
            help="Outline and number the annotated things on the frames, and ask for numbers; with --steps 1, so that "
            "A1 names instances.",
            rich_help_panel=PROMPT,
        ),
    ] = False,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an earlier `cotasks predict`, for the steps that --steps leaves out.",
            rich_help_panel=PROMPT,
        ),
    ] = None,
    boxes: Annotated[int, typer.Option(help="Most boxes an entity in step 2.", min=1, rich_help_panel=PROMPT)] = 8,
    config: Config = None,
    split: Split = None,
    videos: Videos = None,
    num_frames: Annotated[
        int | None, typer.Option(help="Frames shown and spoken of; by default all.", rich_help_panel=PROMPT)
    ] = None,
    limit: Limit = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest text of a step, in tokens.", min=1, rich_help_panel=PROMPT)
    ] = 1024,
) -> None:
    """Ask a model for the steps, each told the ones before it, as a folder that conditions such as `predicted` name.

    Reads DATASET and its videos. Writes RUN as a run folder, and at the end RUN/predictions and RUN/README.md, which
    `load_dataset` reads; with step 1 also RUN/localization.jsonl, which `cotasks build --localization` takes. The same
    command goes on where it was interrupted. Ends with exit code 1 if anything failed.

    A1 for a paper, with Qwen2.5-VL-72B behind vLLM: build once with lexical A1, then
    `cotasks predict built --steps 1 --marks --model Qwen/Qwen2.5-VL-72B-Instruct --backend server
    --base-url http://localhost:8000/v1 --videos NExTVideo --run a1`, and build again with
    `--localization a1/localization.jsonl`. With --with-answer too, it is as the paper made it: it saw the answer, and
    the records, the audit and every report say so. See examples/serving.md.
    """
    require(*options.extras())
    from cotasks.generate.sampling import Sampling
    from cotasks.predict.run import LOCALIZATION, parse_steps
    from cotasks.predict.run import predict as predict_steps
    from cotasks.records.dataset import load_records

    chosen = parse_steps(steps)
    arguments = options.arguments()
    records = load_records(dataset, split, config, limit)
    run = run or default_folder("runs", dataset, config, split, model, "steps")
    result = predict_steps(
        records,
        model,
        run,
        steps=chosen,
        given=given,
        with_answer=with_answer,
        marks=marks,
        predictions=predictions,
        boxes_per_entity=boxes,
        num_frames=num_frames,
        videos=videos,
        sampling=Sampling(max_new_tokens=max_new_tokens, thinking=options.wanted_thinking),
        **arguments,
    )
    if not result.main:  # another process of the same launch says how it went
        return
    for reason, count in result.failures.items():
        print(f"{count} failed: {reason}")
    for step, read in result.read.items():
        print(
            f"Step {step}: {read.texts} texts, {read.unread} with something unread, {read.repaired} with repairs, "
            f"{read.cut_off} cut off at {max_new_tokens} tokens"
        )
    if not result.read:
        print(f"{result.total - result.done} of {result.total} steps are left; the same command goes on in {run}")
    else:
        also = f", {run / LOCALIZATION}" if 1 in chosen else ""
        print(f"Predicted {result.done} of {result.total} steps ({result.new} now): {run}{also}")
    if not result.complete:
        raise typer.Exit(1)
