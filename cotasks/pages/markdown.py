"""Tables in Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST = 10_000
"""Characters of a sentence of ours, such as a warning that lists conditions or controls: nothing of it is cut."""


def escape(value: object, limit: int = 300) -> str:
    """Text that Markdown shows as it is, on one line and in a table cell; cut to `limit` characters."""
    shown = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in str(value))
    text = " ".join("".join(shown).split())
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    text = re.sub(r"[\\`*_\[\]<>#!|~&$]", r"\\\g<0>", text)
    return re.sub(r"(?<=:)//|(?<=www)\.", r"\\\g<0>", text)  # no bare link


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A Markdown table that also lines up as plain text; the first `text_columns` columns to the left."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    rule = ["-" * w if i < text_columns else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    for line in lines:
        for i, width in enumerate(widths):
            line[i] = line[i].ljust(width) if i < text_columns else line[i].rjust(width)
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
