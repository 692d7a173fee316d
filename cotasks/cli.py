"""The command line: `cotasks COMMAND`, the same as `python -m cotasks COMMAND`.

Exit codes: 0 all done, 1 something was left undone, 2 wrong arguments or input (one line on standard error), 130
interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from cotasks.commands import common
from cotasks.commands.annotate import annotate
from cotasks.commands.audit import audit
from cotasks.commands.build import build
from cotasks.commands.check import check
from cotasks.commands.convert import convert
from cotasks.commands.demo import demo
from cotasks.commands.export import export
from cotasks.commands.generate import generate
from cotasks.commands.import_ import import_
from cotasks.commands.info import info
from cotasks.commands.judge import judge
from cotasks.commands.label import label
from cotasks.commands.plan import plan
from cotasks.commands.predict import predict
from cotasks.commands.pull import pull
from cotasks.commands.push import push
from cotasks.commands.report import report
from cotasks.commands.show import show
from cotasks.commands.steps import steps
from cotasks.commands.study import study
from cotasks.commands.view import view
from cotasks.errors import CotasksError
from cotasks.version import VERSION
from cotasks.words.plain import printable

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Start": (demo, info),
    "Data": (annotate, convert, build, check, show, view, audit, push, pull),
    "Models": (generate, predict, import_, study),
    "Scores": (plan, judge, label, report, steps, export),
}
"""Panel of `cotasks --help` -> its commands."""

app = typer.Typer(
    name="cotasks",
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(command.__name__.strip("_"), rich_help_panel=panel)(common.takes_common_options(command))


def _print_version(value: bool) -> None:
    if value:
        print(f"cotasks {VERSION}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _all(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: common.Verbose = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Object-grounded reasoning steps for video language models: build, look, generate, judge, report.

    `cotasks COMMAND --help` says what a command reads and writes. Exit codes: 0 all done, 1 something was left undone,
    2 wrong arguments or input, 130 interrupted.
    """
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    state = common.State()
    # UsageError, wherever this version of typer keeps its copy of click
    usage_error: type[Any] = typer.BadParameter.__bases__[0]
    try:
        code = app(args=arguments, prog_name="cotasks", standalone_mode=False, obj=state)
        code = code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):  # later versions of typer return 130
        code = 130
    except (CotasksError, OSError, usage_error) as error:
        if state.debug:
            raise
        message = common.message_of(error, state) if isinstance(error, usage_error) else str(error)
        print(f"cotasks: {printable(' '.join(message.split()))}", file=sys.stderr)
        return 2
    if code == 130:
        print("Interrupted; run the same command again to go on.", file=sys.stderr)
    return code
