"""How much a command says while it works: progress, warnings, and what the libraries log."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIBRARIES = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")
"""Environment variables that libraries read their log level from, when they are imported."""

_quiet = False


def is_quiet() -> bool:
    """Whether progress is to be kept back."""
    return _quiet


@contextmanager
def speaking(verbose: bool = False, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Say more, or less, while it lasts. Yields what prints a line on standard error where `verbose`.

    Args:
        verbose: what the libraries log from level INFO on goes to standard error.
        quiet: no progress, no warnings, and of what libraries log errors only. `verbose` wins.
    """
    global _quiet
    quiet = quiet and not verbose
    levels = dict.fromkeys(LIBRARIES, "info") if verbose else dict.fromkeys(LIBRARIES, "error") if quiet else {}
    if quiet:
        levels["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    before, was_quiet = {name: os.environ.get(name) for name in levels}, _quiet
    os.environ.update(levels)
    _quiet = quiet
    handler = logging.StreamHandler(sys.stderr)
    root = logging.getLogger()
    root_level = root.level
    if verbose:
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            if quiet:
                warnings.simplefilter("ignore")
            yield (lambda line: print(line, file=sys.stderr)) if verbose else (lambda line: None)
    finally:
        root.removeHandler(handler)
        root.setLevel(root_level)
        _quiet = was_quiet
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
