"""The command line: `cotasks COMMAND`, the same as `python -m cotasks COMMAND`.

Exit codes: 0 all done, 1 something was left undone, 2 wrong arguments or input (one line on standard error), 130
interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cotasks.commands import build as data
from cotasks.commands import predict
from cotasks.commands import report as runs
from cotasks.commands import study as studies
from cotasks.commands.audit import audit
from cotasks.commands.demo import demo
from cotasks.commands.generate import generate
from cotasks.commands.judge import judge
from cotasks.commands.push import push
from cotasks.commands.show import show
from cotasks.commands.steps import steps
from cotasks.errors import CotasksError

app = typer.Typer(
    name="cotasks",
    help="Object-grounded reasoning steps for video language models: build, look, generate, judge, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    demo,
    data.build,
    show,
    audit,
    generate,
    predict.predict,
    judge,
    runs.report,
    steps,
    studies.study,
    push,
):
    app.command()(command)


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Object-grounded reasoning steps for video language models."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # UsageError, wherever this version of typer keeps its copy of click
    usage_error: type[Any] = typer.BadParameter.__bases__[0]
    try:
        code = app(args=arguments, prog_name="cotasks", standalone_mode=False)
        code = code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):  # later versions of typer return 130
        code = 130
    except (CotasksError, OSError, usage_error) as error:
        if "--debug" in arguments:
            raise
        message = error.format_message() if isinstance(error, usage_error) else str(error)
        print(f"cotasks: {' '.join(message.split())}", file=sys.stderr)
        return 2
    if code == 130:
        print("Interrupted; run the same command again to go on.", file=sys.stderr)
    return code
