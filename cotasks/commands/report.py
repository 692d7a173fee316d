"""Commands on runs: demo, generate, judge, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotasks.commands.arguments import Config, Dataset, Split, Videos
from cotasks.commands.options import Limit, Model, ModelOptions, takes_model_options

if TYPE_CHECKING:
    from cotasks.report import ReportPaths


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to; a second run goes on where the first stopped.")] = Path(
        "cotasks-demo"
    ),
) -> None:
    """Run the main job on a toy world: draw clips, build, predict steps, generate, judge, report.

    Writes DIR/source (drawn clips and annotation), DIR/data (the built folder), DIR/predictions (the steps as the model
    sees them) and DIR/run (the run folder with its report). Needs no network. The model `toy` is real but very small,
    and knows this drawn world only: the scores show what the commands do, and say nothing about real video.
    """
    from cotasks.demo import run_demo

    paths, complete = run_demo(out)
    _print_tables(paths)
    print(f"Report {paths.html}")
    if not complete:
        raise typer.Exit(1)


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
    from cotasks.prompts.prompt import parse_condition
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
        max_new_tokens=max_new_tokens,
        sampling=Sampling(samples, temperature, top_p, top_k, seed),
        **arguments,
    )
    if not result.main:  # another process of the same launch says how it went
        return
    for reason, count in result.failures.items():
        print(f"{count} failed: {reason}")
    print(f"Answered {result.done} of {result.total} ({result.new} now) in {run}")
    if not result.complete:
        raise typer.Exit(1)


def judge(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    judge: Annotated[
        str, typer.Option(help="exact, f1, wups0, wups0.9 (NExT-QA's WUPS), or openai:MODEL, behind a server.")
    ] = "exact",
    base_url: Annotated[str | None, typer.Option(help="Of an OpenAI-compatible server; OpenAI's by default.")] = None,
    rubric: Annotated[Path | None, typer.Option(help="Text file in place of the shipped rubric.")] = None,
    temperature: Annotated[float, typer.Option(help="Of the judge's sampling; below 0 leaves it to the server.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="Longest reply of the judge.", min=1)] = 1024,
    structured: Annotated[
        bool | None, typer.Option(help="Hold replies to a JSON schema; by default where the server can.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Times each answer is judged.", min=1)] = 1,
    concurrency: Annotated[int, typer.Option(help="Most calls at once.", min=1)] = 32,
    timeout: Annotated[float, typer.Option(help="Seconds for one call.")] = 120.0,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(help="US dollars for a million tokens in, and out.", show_default=False),
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="US dollars after which no call is made.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Use OpenAI's Batch API: half the price, slower.")] = False,
    retry_unscored: Annotated[
        bool, typer.Option("--retry-unscored", help="Ask again where an earlier call ended without a score.")
    ] = False,
) -> None:
    """Score the answers of a run.

    Reads RUN/questions.jsonl and RUN/generations, and for a model behind a server the key in OPENAI_API_KEY. Appends
    verdicts to RUN/verdicts; what is there already is not judged again. What cannot be measured stays unscored and is
    never counted as 0. WUPS needs WordNet: NLTK's data, /usr/share/wordnet, or the folder that COTASKS_WORDNET names.
    The judge sees question, references and answer; never context, condition or model.
    """
    from cotasks.judge.run import judge_run

    counts = judge_run(
        run,
        judge,
        base_url=base_url,
        rubric=rubric,
        temperature=temperature if temperature >= 0 else None,
        max_tokens=max_tokens,
        structured=structured,
        repeats=repeats,
        concurrency=concurrency,
        timeout=timeout,
        price=price,
        max_cost=max_cost,
        batch=batch,
        retry_unscored=retry_unscored,
    )
    spent = "" if counts.cost is None else f", {counts.cost:.2f} US dollars"
    print(f"Judged {counts.judged} answers ({counts.kept} before), {counts.unscored} unscored{spent}: {counts.path}")
    if counts.left:
        print(f"{counts.left} answers are left: {counts.stopped}; the same command goes on")
        raise typer.Exit(1)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    baseline: Annotated[str, typer.Option(help="Condition that the others are compared with.")] = "baseline",
    judge: Annotated[str | None, typer.Option(help="Whose verdicts; by default every judge's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the first run's by default.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The records, where they are not where run.json says.")] = None,
    videos: Videos = None,
    frames: Annotated[bool, typer.Option(help="Show frames on the page.")] = True,
) -> None:
    """Write the tables of one or several runs, and a page to read their answers on.

    Reads run.json, questions, generations, failures and verdicts, and for the page the records and videos. Writes
    summary.json, report.md, report.tex and report.html, one file that opens without a network.
    """
    from cotasks.report import write_report

    paths = write_report(runs, baseline=baseline, judge=judge, out=out, dataset=dataset, videos=videos, frames=frames)
    _print_tables(paths)
    print(f"Report {paths.html}")


def _print_tables(paths: ReportPaths) -> None:
    """The main tables of a report; in plain text they line up."""
    from cotasks.report.markdown import main_tables
    from cotasks.runs.folder import read_json

    summary = read_json(paths.summary)
    for judge in dict.fromkeys(judge for run in summary["runs"] for judge in run["judges"]):
        print("\n\n".join(main_tables(summary, judge)))
