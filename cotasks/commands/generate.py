"""`cotasks generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.options import Config, Dataset, Limit, Model, ModelOptions, Split, Videos, takes_model_options


@takes_model_options
def generate(
    dataset: Dataset,
    model: Model,
    run: Annotated[Path, typer.Option(help="Run folder; an interrupted run goes on there.", show_default=False)],
    options: ModelOptions,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="baseline, blind, cotasks, blind-cotasks, cotasks-12, predicted, cotasks:frames=16,...; repeatable."
        ),
    ] = None,
    config: Config = None,
    split: Split = None,
    videos: Videos = None,
    num_frames: Annotated[int | None, typer.Option(help="Frames shown, where a condition says nothing else.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Folder of `cotasks predict`, for conditions such as predicted.")
    ] = None,
    limit: Limit = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 64,
    samples: Annotated[int, typer.Option(help="Answers a prompt; more than one needs a temperature.", min=1)] = 1,
    temperature: Annotated[float, typer.Option(help="0 for greedy decoding.", min=0)] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the fewest tokens with this probability.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample from that many tokens at most; 0 for all.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
) -> None:
    """Ask a model every question under every condition (baseline and cotasks unless named).

    On several devices or machines: `accelerate launch -m cotasks generate ...`; the processes share the videos. With
    --backend server, MODEL is the server's name for it, and a key is read from OPENAI_API_KEY.

    Reads DATASET and its videos. Appends answers to RUN/generations, failures with their reasons to RUN/failures, and
    writes RUN/run.json and RUN/questions.jsonl. Ends with exit code 1 if anything failed or is left.
    """
    from cotasks.generate.run import generate as generate_answers
    from cotasks.generate.sampling import Sampling
    from cotasks.prompts.condition import parse_condition
    from cotasks.records.dataset import load_records

    arguments = options.arguments()
    records = load_records(dataset, split, config, limit)
    result = generate_answers(
        records,
        [parse_condition(text) for text in dict.fromkeys(condition or ["baseline", "cotasks"])],
        model,
        run,
        videos=videos,
        num_frames=num_frames,
        predictions=predictions,
        sampling=Sampling(samples, temperature, top_p, top_k, seed, max_new_tokens),
        **arguments,
    )
    if not result.main:  # another process of the same launch says how it went
        return
    for reason, count in result.failures.items():
        print(f"{count} failed: {reason}")
    print(f"Answered {result.done} of {result.total} ({result.new} now) in {run}")
    if not result.complete:
        raise typer.Exit(1)
