"""What commands print: tables that fit a terminal, and plain and whole elsewhere."""

from __future__ import annotations

import sys


def print_markdown(text: str) -> None:
    """Print Markdown: on a terminal as tables that are no wider than it, else as it is."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
