"""`cotasks judge`."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotasks.commands.extras import judge_extras, require
from cotasks.commands.options import DATA, SERVER, RunVideoCheck, Track, Videos
from cotasks.commands.output import print_markdown
from cotasks.errors import InputError

if TYPE_CHECKING:
    from cotasks.judge.judges import JudgeCounts
    from cotasks.judge.llm.loop import ControlCounts


def judge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    judge: Annotated[
        str,
        typer.Option(
            help="exact, f1, wups0, wups0.9 (NExT-QA's WUPS), f1-new, wups0-new (without the question's words), or "
            "openai:MODEL, behind a server."
        ),
    ] = "exact",
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            help="Of an OpenAI-compatible server; OpenAI's by default. Repeat it for several with the same model.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(help="usual-form, or a text file, in place of answer-match.", rich_help_panel=SERVER),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Of the judge's sampling; below 0 leaves it to the server.", rich_help_panel=SERVER)
    ] = 0.0,
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest reply of the judge, in tokens.", min=1, rich_help_panel=SERVER)
    ] = 1024,
    structured: Annotated[
        bool | None,
        typer.Option(
            help="Hold replies to a JSON schema; by default where the server can, else to JSON.", rich_help_panel=SERVER
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Times each answer is judged.", min=1, rich_help_panel=SERVER)] = 1,
    concurrency: Annotated[
        int, typer.Option(help="Most calls to each server at once.", min=1, rich_help_panel=SERVER)
    ] = 32,
    timeout: Annotated[
        float,
        typer.Option(help="Seconds for one call; where they pass, fewer are made at once.", rich_help_panel=SERVER),
    ] = 120.0,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(help="US dollars for a million tokens in, and out.", rich_help_panel=SERVER, show_default=False),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            help="US dollars that are not exceeded, those of earlier commands included.", rich_help_panel=SERVER
        ),
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Use OpenAI's Batch API: half the price, slower.", rich_help_panel=SERVER)
    ] = False,
    max_tokens: Annotated[int | None, typer.Option(hidden=True, min=1)] = None,
    retry_unscored: Annotated[
        bool, typer.Option("--retry-unscored", help="Ask again where an earlier call ended without a score.")
    ] = False,
    controls: Annotated[
        int | None,
        typer.Option(
            help="Instead: ask the model about answers whose verdict is known, to so many questions.",
            min=1,
            rich_help_panel=SERVER,
            show_default=False,
        ),
    ] = None,
    judge_sees: Annotated[
        str | None,
        typer.Option(
            help="frames: show the model frames of each record's evidence too; a judge of its own.",
            rich_help_panel=SERVER,
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The records, where they are not where run.json says.", rich_help_panel=DATA)
    ] = None,
    videos: Videos = None,
    video_check: RunVideoCheck = None,
    choices_by: Annotated[
        str | None,
        typer.Option(
            help="openai:MODEL: reads the options of multiple choice that a rule cannot; rules: none does.",
            rich_help_panel=SERVER,
            show_default=False,
        ),
    ] = None,
    track: Track = None,
) -> None:
    """Score the answers of a run.

    Reads RUN/questions.jsonl and RUN/generations, and for a model behind a server the key in OPENAI_API_KEY. Appends
    verdicts to RUN/verdicts; what is there already is not judged again. What cannot be measured stays unscored and is
    never counted as 0. WUPS needs WordNet: NLTK's data, /usr/share/wordnet, or the folder that COTASKS_WORDNET names.
    The judge sees question, references and answer; never context, condition or model. A model is not asked about an
    answer that equals a reference. With --choices-by, a model is told the question, its options and an answer that
    names no option by the rules, and says which option it chooses; what it read is kept in RUN/options, flagged in the
    verdicts, and counted in the report. With --controls, no answer is judged; the model is asked about references,
    questions given as answers, other questions' references, and wordy and self-praising ones, which says whether it can
    tell right from wrong; appends to RUN/controls, and the report shows it. With --judge-sees frames, the model is also
    shown frames of each record's evidence, and is a judge of its own: openai:MODEL#@frames. Ends with exit code 1 if
    verdicts are left or their calls failed.
    """
    given = dict(locals()) | {"max_new_tokens": max_tokens or max_new_tokens, "max_tokens": None}
    require(*judge_extras(judge), *(["video"] if judge_sees is not None else []))
    from cotasks.judge.run import control_judge, judge_run
    from cotasks.tools.tracking import tracking

    apart = ("run", "judge", "max_new_tokens", "controls", "judge_sees", "track")
    options = {name: value for name, value in given.items() if name not in apart}
    options |= {
        "sees": judge_sees,
        "temperature": temperature if temperature >= 0 else None,
        "max_tokens": given["max_new_tokens"],
    }
    for name in ("dataset", "videos", "video_check"):
        if judge_sees is None and given[name] is not None:
            raise InputError(f"--{name.replace('_', '-')} without --judge-sees; expected both or neither")
    if controls is not None:
        for name in ("batch", "choices_by"):
            if options.pop(name):
                raise InputError(f"--{name.replace('_', '-')} with --controls; expected one of them")
        if options.pop("repeats") != 1:
            raise InputError("--repeats with --controls; expected one of them")
    try:
        if controls is not None:
            _tell_controls(control_judge(run, judge, controls, **options))
            return
        with tracking(track, run.resolve().name, {}) as log:
            counts = judge_run(run, judge, **options)
            if log is not None:
                log(_scores(run, counts))
    except InputError as error:
        if not getattr(error, "begun", False):
            raise
        print(f"cotasks: {error}", file=sys.stderr)
        print("The verdicts that came are written; go on with:")
        print(_command(given))
        raise typer.Exit(1) from None
    flagged = {"unreadable": counts.unreadable, "echoes of the question": counts.echoes}
    flags = "".join(f", {number} {name}" for name, number in flagged.items() if number)
    spent = "" if counts.cost is None else f", {counts.cost:.2f} US dollars"
    read = f", {counts.read_by_model} options read by a model" if counts.read_by_model else ""
    said = f"Judged {counts.judged} answers ({counts.kept} before), {counts.unscored} unscored{flags}{read}{spent}"
    print(f"{said}: {counts.path}")
    if counts.left:
        command = "the same command with more" if counts.stopped.startswith("max_cost") else "the same command"
        print(f"{counts.left} answers are left: {counts.stopped}; {command} goes on")
    if counts.failed:
        print(f"{counts.failed} verdicts are missing, as their calls failed ({counts.failure}); ask again with:")
        print(_command({**given, "retry_unscored": True}))
    if counts.left or counts.failed:
        raise typer.Exit(1)


def _scores(run: Path, counts: JudgeCounts) -> dict[str, float | None]:
    """What a judge made of a run, as numbers for a tracking program."""
    from cotasks.export import read_judged
    from cotasks.judge.judges import verdict_path

    judged, judge = read_judged(run), counts.path.stem
    found: dict[str, float | None] = {f"judge/{judge}/cost": counts.cost, f"judge/{judge}/left": counts.left}
    for name in judged.verdicts:
        if verdict_path(run, name) == counts.path:
            for condition in judged.run.conditions:
                mean = judged.overall(name, condition)
                for part in ("mean", "low", "high", "scored", "unscored", "unreadable"):
                    found[f"judge/{judge}/{condition}/{part}"] = getattr(mean, part)
    return found


def _tell_controls(counts: ControlCounts) -> None:
    """Print what a judge said to its controls."""
    from cotasks.judge.controls import warning
    from cotasks.pages.markdown import table

    rows = [
        [one.title, "yes" if one.right else "no", str(one.asked), str(one.accepted), str(one.unscored)]
        for one in counts.outcomes
    ]
    header = ["control", "a sound judge says", "asked", "judge says yes", "unscored"]
    print_markdown(table(header, rows, 2))
    if line := warning(counts.outcomes):
        print(f"{counts.judge}: {line}")
    spent = "" if counts.cost is None else f", {counts.cost:.2f} US dollars"
    print(f"Asked {counts.asked} controls ({counts.kept} before){spent}: {counts.path}")
    if counts.left:
        print(f"{counts.left} controls are left: {counts.stopped or 'their calls failed'}; the same command goes on")
    failed = sum(one.failed for one in counts.outcomes)
    if failed:
        print(f"{failed} verdicts are missing, as their calls failed; ask again with --retry-unscored")
    if counts.left or failed:
        raise typer.Exit(1)


def _command(given: Mapping[str, Any]) -> str:
    """The command line that gives `judge` these arguments."""
    words = ["cotasks", "judge", str(given["run"])]
    for name, parameter in inspect.signature(judge).parameters.items():
        value, option = given[name], name.replace("_", "-")
        if name == "run" or value == parameter.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{option}", *map(str, one if isinstance(one, tuple) else [one])]
    return shlex.join(words)
