"""`cotasks judge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
