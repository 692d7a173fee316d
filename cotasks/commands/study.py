"""`cotasks study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import judge_extras, require
from cotasks.commands.options import (
    DATA,
    JUDGE,
    MODEL,
    OUTPUT,
    PROMPT,
    AnswerStyle,
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
from cotasks.errors import InputError


@takes_model_options
def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="ablation, error-propagation, frames, bias, oracle-gap, annotation, sub-questions or fine-tuning.",
            show_default=False,
        ),
    ],
    dataset: Dataset,
    model: Model,
    options: ModelOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; an interrupted study goes on there.",
            rich_help_panel=OUTPUT,
            show_default="studies/NAME-DATASET-MODEL",
        ),
    ] = None,
    config: Config = None,
    split: Split = None,
    videos: Videos = None,
    num_frames: Annotated[
        int | None, typer.Option(help="Frames shown; not for the study of frames.", rich_help_panel=PROMPT)
    ] = None,
    limit: Limit = None,
    answer_style: AnswerStyle = "phrase",
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1, rich_help_panel=PROMPT)] = 64,
    predict_tokens: Annotated[
        int,
        typer.Option(
            help="oracle-gap, annotation and fine-tuning: longest text of a step, in tokens.",
            min=1,
            rich_help_panel=PROMPT,
        ),
    ] = 1024,
    annotation: Annotated[
        Path | None,
        typer.Option(help="annotation: a folder of `cotasks annotate` about the same videos.", rich_help_panel=DATA),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="sub-questions: asked in place of blind, baseline and cotasks, such as blind-cotasks:tokens=400; "
            "repeatable.",
            rich_help_panel=PROMPT,
            show_default=False,
        ),
    ] = None,
    tuned: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL",
            help="fine-tuning: a checkpoint made of the model, under a name; repeat it for several.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    corruptions: Annotated[
        str,
        typer.Option(
            help="error-propagation: probabilities that step 1 is corrupted with, ascending.", rich_help_panel=PROMPT
        ),
    ] = "0,0.25,0.5,0.75,1",
    seeds: Annotated[
        int,
        typer.Option(help="error-propagation: corruptions drawn of each probability.", min=1, rich_help_panel=PROMPT),
    ] = 1,
    judge: Annotated[
        str, typer.Option(help="Who scores the answers, see `cotasks judge`.", rich_help_panel=JUDGE)
    ] = "exact",
    judge_base_url: Annotated[str | None, typer.Option(help="Of the judge's server.", rich_help_panel=JUDGE)] = None,
    judge_url: Annotated[str | None, typer.Option(hidden=True)] = None,
    judge_max_cost: Annotated[
        float | None, typer.Option(help="US dollars after which nothing is judged.", rich_help_panel=JUDGE)
    ] = None,
) -> None:
    """Run one of the studies that the paper left open: all its conditions, their scores, tables and plots.

    ablation: every set of the four steps. error-propagation: step 1 corrupted more and more. frames: more frames, with
    and without a longer context. bias: how much of the gain needs no video. oracle-gap: what is left of the gain when
    the model predicts the steps itself. annotation: what is left of it from true boxes and relations to a machine's.
    sub-questions: which right answers know why, by questions about their evidence. fine-tuning: what tuned models gain,
    without steps, told their own, and told the true ones.

    Reads DATASET and its videos. Writes OUT/run (a run folder), OUT/predictions for oracle-gap, annotation and
    fine-tuning, for annotation also OUT/run-RUNG and OUT/predictions-RUNG, the same by name for fine-tuning,
    OUT/sub-questions for sub-questions (run folders too), OUT/study.json, OUT/study.md and the plots. The same command
    goes on where it was interrupted. Ends with exit code 1 if any answer is missing.
    """
    require(*options.extras(), "report", *judge_extras(judge))
    from cotasks.generate.sampling import Sampling
    from cotasks.records.dataset import load_records
    from cotasks.studies import run_study

    try:
        levels = [float(text) for text in corruptions.split(",")]
    except ValueError:
        raise InputError(f"corruptions {corruptions!r}; expected numbers such as 0,0.5,1") from None
    named = [text.partition("=") for text in tuned or ()]
    if not all(name and path for name, _, path in named) or len({name for name, _, _ in named}) < len(named):
        raise InputError(f"tuned {', '.join(tuned or ())}; expected NAME=MODEL, each name once")
    arguments = options.arguments()
    records = load_records(dataset, split, config, limit)
    out = out or default_folder("studies", name, dataset, config, split, model)
    more = {"base_url": judge_base_url or judge_url, "max_cost": judge_max_cost}
    paths, complete = run_study(
        name,
        records,
        model,
        out,
        judge=judge,
        judge_options={key: value for key, value in more.items() if value is not None},
        videos=videos,
        corruptions=levels,
        seeds=seeds,
        predict_tokens=predict_tokens,
        annotation=annotation,
        conditions=condition or (),
        tuned={name: path for name, _, path in named},
        num_frames=num_frames,
        answer_style=answer_style,
        sampling=Sampling(max_new_tokens=max_new_tokens, thinking=options.wanted_thinking),
        **arguments,
    )
    if paths is not None:
        print(f"Study {paths.markdown}")
    if not complete:
        raise typer.Exit(1)
