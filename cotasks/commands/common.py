"""What every command takes: `--config`, a file of its options, and how much it says while it works."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cotasks.commands.config_file import read_options
from cotasks.tools.speaking import speaking

PANEL = "Every command"
"""The panel of `--help` that these options stand in."""


@dataclass
class State:
    """What the command line has been told so far; one a call of `cotasks.cli.main`."""

    debug: bool = False
    verbose: bool = False
    quiet: bool = False
    config_file: Path | None = None


def _say(name: str) -> Callable[[typer.Context, bool], bool]:
    """A callback that notes one of the fields of `State`, as soon as its option is read."""

    def note(ctx: typer.Context, value: bool) -> bool:
        if value:
            setattr(ctx.ensure_object(State), name, True)
        return value

    return note


def _read_config(ctx: typer.Context, value: Path | None) -> Path | None:
    """Take the options that a file gives as this command's defaults; those of the command line win."""
    if value is not None:
        ctx.ensure_object(State).config_file = value
        ctx.default_map = read_options(value, ctx.command, ctx.info_name or "")
    return value


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML or JSON file of this command's options and arguments by their names (such as split: test), "
        "or the run.json of a run to repeat; what stands on the command line wins.",
        is_eager=True,
        callback=_read_config,
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say which options are in force, and what the libraries log.",
        is_eager=True,
        callback=_say("verbose"),
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Show no progress and no warnings; results and errors only.",
        is_eager=True,
        callback=_say("quiet"),
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traceback of an error.",
        is_eager=True,
        callback=_say("debug"),
        rich_help_panel=PANEL,
        show_default=False,
    ),
]

COMMON: dict[str, tuple[Any, Any]] = {
    "config_file": (ConfigFile, None),
    "verbose": (Verbose, False),
    "quiet": (Quiet, False),
    "debug": (Debug, False),
}
"""Parameter -> (its annotation, its default)."""


def with_parameters(
    command: Callable[..., None], added: list[inspect.Parameter], taken: str | None, call: Callable[..., None]
) -> Callable[..., None]:
    """`call` with the name, the text and the parameters of a command, but for `taken`, and with `added` ones, as typer
    reads them."""
    own = inspect.signature(command, eval_str=True)
    parameters = [*(p for p in own.parameters.values() if p.name != taken), *added]
    with_options = functools.wraps(command)(call)
    # typer reads these two, and not the function itself
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def takes_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what every command takes."""

    def call(**given: Any) -> None:
        ctx = given.pop("ctx")
        for name in COMMON:
            del given[name]  # their callbacks have noted them
        state = ctx.ensure_object(State)
        with speaking(state.verbose, state.quiet) as say:
            say(f"{ctx.command_path}: " + ", ".join(f"{name}={value}" for name, value in given.items()))
            command(**given)

    kind = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter("ctx", kind, annotation=typer.Context)]
    added += [inspect.Parameter(n, kind, default=default, annotation=a) for n, (a, default) in COMMON.items()]
    return with_parameters(command, added, None, call)


def message_of(error: Any, state: State) -> str:
    """One line on a wrong use of the command line: the file of options where the value came from there, and the value.

    Args:
        error: a `UsageError` of click.
        state: of this call.
    """
    message = " ".join(error.format_message().split())
    ctx, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if ctx is not None and parameter is not None and state.config_file is not None:
        source = ctx.get_parameter_source(parameter.name)
        if getattr(source, "name", "") == "DEFAULT_MAP":
            message = f"{state.config_file}: {message}"
    # versions of typer that check values with pydantic do not say which value it was
    faults = getattr(error.__cause__, "errors", None)
    value = repr(faults()[0].get("input")) if faults is not None else ""
    return f"{message} (given {value})" if value and value not in message else message
