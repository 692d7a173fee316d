"""Numbers of a run to a tracking program: trackio, which keeps them on this machine, or wandb. One row each.

Only what is handed over is logged: no output, no command line, no code, no measurements of the machine. Where a program
keeps or sends it is its own affair (TRACKIO_DIR and TRACKIO_SPACE_ID; WANDB_MODE=offline and WANDB_DIR).
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cotasks.errors import EnvironmentFault, InputError, MissingExtra
from cotasks.tools.places import without_places

PROJECT = "cotasks"
Log = Callable[[Mapping[str, "float | None"]], None]
"""Logs numbers by name as one step; None is left out."""


def _trackio(package: Any, name: str, config: Mapping[str, Any]) -> Any:
    measures = {"auto_log_gpu": False, "auto_log_cpu": False}
    return package.init(project=PROJECT, name=name, config=dict(config), resume="allow", embed=False, **measures)


def _wandb(package: Any, name: str, config: Mapping[str, Any]) -> Any:
    settings = package.Settings(
        console="off",
        silent=True,
        disable_code=True,
        disable_git=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    # a run that goes on has the id that it had
    id_ = hashlib.sha256(name.encode()).hexdigest()[:16]
    return package.init(project=PROJECT, id=id_, name=name, config=dict(config), resume="allow", settings=settings)


TRACKERS: dict[str, Callable[[Any, str, Mapping[str, Any]], Any]] = {"trackio": _trackio, "wandb": _wandb}
"""Name of the package -> (package, name of the run, config) -> a run with `log(dict)` and `finish()`."""


def check_tracker(tracker: str | None) -> None:
    """Raises InputError for an unknown tracker, MissingExtra where it is not installed."""
    if tracker is None:
        return
    if tracker not in TRACKERS:
        raise InputError(f"--track is {tracker!r}; expected {' or '.join(TRACKERS)}")
    try:
        there = find_spec(tracker) is not None
    except ValueError:  # None stands among the modules
        there = False
    if not there:
        raise MissingExtra(f"{tracker} is not installed; run: pip install {tracker}")


@contextmanager
def tracking(tracker: str | None, name: str, config: Mapping[str, Any]) -> Iterator[Log | None]:
    """Yields what logs; None where `tracker` is None. A run of the same name goes on.

    Args:
        tracker: one of `TRACKERS`.
        name: of the run there.
        config: settings that are logged once, without what says something of this machine.

    Raises InputError for an unknown tracker, MissingExtra where it is not installed, and EnvironmentFault where it
    refuses to begin, such as without having logged in.
    """
    if tracker is None:
        yield None
        return
    check_tracker(tracker)
    package = import_module(tracker)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            run = TRACKERS[tracker](package, name, without_places(config))
        except Exception as error:
            hint = "; WANDB_MODE=offline keeps all on this machine" if tracker == "wandb" else ""
            raise EnvironmentFault(f"{tracker} does not begin: {error}{hint}") from error
    try:
        yield lambda values: run.log({key: value for key, value in values.items() if value is not None})
    finally:
        with contextlib.redirect_stdout(sys.stderr):
            run.finish()
