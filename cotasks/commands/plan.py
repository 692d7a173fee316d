"""`cotasks plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotasks.commands.extras import require
from cotasks.commands.output import print_markdown
from cotasks.errors import InputError

VIDEOS = (20, 50, 100, 200, 500, 1000)


def plan(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A judged run to learn from.", show_default=False)
    ] = None,
    num_videos: Annotated[
        list[int] | None, typer.Option(help="Numbers of videos; several.", show_default="20 to 1000")
    ] = None,
    difference: Annotated[
        float | None, typer.Option(help="How many videos show a difference of so many points?", show_default=False)
    ] = None,
    power: Annotated[float, typer.Option(help="Chance to find a difference that is there.")] = 0.8,
    judge: Annotated[str, typer.Option(help="RUN: whose verdicts.")] = "exact",
    condition: Annotated[
        str | None, typer.Option(help="RUN: what is compared.", show_default="cotasks, or the first other")
    ] = None,
    baseline: Annotated[str, typer.Option(help="RUN: what it is compared with.")] = "baseline",
    mean: Annotated[float | None, typer.Option(help="Without RUN: mean score, 0 to 100.", show_default="50")] = None,
    correlation: Annotated[
        float | None,
        typer.Option(help="Without RUN: of the two conditions' scores of a question.", show_default="0.5"),
    ] = None,
    icc: Annotated[
        float | None,
        typer.Option(help="Share of the difference's variance between videos.", show_default="RUN's, or 0.1"),
    ] = None,
    questions_per_video: Annotated[
        float | None, typer.Option(help="Questions of a video.", show_default="RUN's, or 8.8 as NExT-QA has")
    ] = None,
) -> None:
    """Say which difference between two conditions so many videos can show, before a model is asked.

    Reads RUN's questions and verdicts, where a run of a few videos is there, else goes by the stated figures, for right
    or wrong answers. The test is the report's: two-sided at the level 0.05, paired, clustered by video. Writes nothing.
    """
    require("report")
    from cotasks.metrics import planning
    from cotasks.metrics.contrasts import read_scores
    from cotasks.pages.markdown import table

    if run is not None:
        for name, value in (("mean", mean), ("correlation", correlation)):
            if value is not None:
                raise InputError(f"--{name} with RUN; expected one of them, for the verdicts of {run} show it")
        scores = read_scores(run, judge)
        if condition is None:
            others = [name for name in scores.conditions if name != baseline]
            if not others:
                raise InputError(f"{run}: no condition beside {baseline!r}; expected two to compare")
            condition = "cotasks" if "cotasks" in others else others[0]
        design = planning.with_stated(planning.piloted(scores, condition, baseline), icc, questions_per_video)
        what = f"{condition} minus {baseline} in {run}, judge {judge}"
    else:
        given = (
            50.0 if mean is None else mean,
            0.5 if correlation is None else correlation,
            0.1 if icc is None else icc,
            8.8 if questions_per_video is None else questions_per_video,
        )
        design, what = planning.stated(*given), f"stated figures, correlation {given[1]:g}"
    counts = sorted(set(num_videos or VIDEOS))
    found = [planning.least_difference(design, count, power) for count in counts]
    needed = None if difference is None else planning.videos_needed(design, difference, power)
    print(
        f"From {what}: mean {design.mean:.1f}, a question's difference has the standard deviation "
        f"{design.deviation:.1f}, {design.icc:.2f} of its variance between videos, {design.questions:.1f} questions a "
        "video."
    )
    rows = [
        [str(count), f"{count * design.questions:.0f}", f"{least:.1f}" if least < 100 else "none"]
        for count, least in zip(counts, found, strict=True)
    ]
    print_markdown(table(["Videos", "Questions", f"Least difference with power {power:g}"], rows, 0))
    if difference is not None:
        answer = "no number of videos shows it" if needed is None else f"{needed} videos"
        print(f"A difference of {difference:g}: {answer}")
