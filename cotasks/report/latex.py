r"""`summary.json` as LaTeX: the main tables, for `\input` in a paper that loads booktabs, or to compile alone.

Only booktabs is needed, and any of the engines will do: what is not plain text is written as a command, and a
character that pdfLaTeX has no glyph for as its code point, `[U+4F60]`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cotasks.report import origins, people, tables
from cotasks.report.tables import Cell, Interval, Line, Table, Unscored

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    "`": r"\textasciigrave{}",
    "[": r"{[}",  # a row that begins with one would be read as the option of the line break before it
    "*": r"{*}",
    "-": r"-{}",  # no dashes from hyphens
    "'": r"'{}",
    ",": r",{}",
    "?": r"?{}",
    "!": r"!{}",
}
_LETTERS = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿĀāĂăĆćČčĎďĒēĚěĞğĪīŁłŃńŇňŌōŐőŒœŘřŚśŞşŠšŢţŤťŪūŮůŰűŸŹźŻżŽž"
)
"""Letters that pdfLaTeX has in every common font encoding."""
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")

_HEAD = r"""% Scores of a run, with their intervals. In a paper: \usepackage{booktabs}, and \input this file.
% It also compiles by itself.
\expandafter\ifx\csname @twoclasseserror\endcsname\documentclass
  \let\cotasksend\relax
\else
  \documentclass[a4paper,landscape]{article}
  \usepackage[T1]{fontenc}
  \usepackage[utf8]{inputenc}
  \usepackage[margin=15mm]{geometry}
  \usepackage{booktabs}
  \def\cotasksend{\end{document}}
  \begin{document}
\fi
"""


def escape(value: object, limit: int = 300) -> str:
    """Text that LaTeX sets as it is, on one line; cut to `limit` characters."""
    text = " ".join("".join(" " if unicodedata.category(c) in _UNSEEN else c for c in str(value)).split())
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(map(_character, unicodedata.normalize("NFC", text)))


def _character(character: str) -> str:
    if character in _COMMANDS:
        return _COMMANDS[character]
    if character.isascii() or character in _LETTERS:
        return character
    return f"{{[}}U+{ord(character):04X}]"


def render(summary: Mapping[str, Any]) -> str:
    """The main tables, one `table` environment for each judge and group of questions, and one corrected by labels.

    Args:
        summary: As `report.summarise_runs` returns it, or as read from `summary.json`.
    """
    found: list[str] = []
    for judge in tables.judges_in(summary):
        corrected = people.paper_table(summary, judge)
        of_judge = [*origins.main_tables(summary, judge), *([corrected] if corrected else [])]
        found += [_table(table, judge, summary["confidence"]) for table in of_judge]
    return document(found, summary["warnings"])


def document(found: Sequence[str], warnings: Sequence[str]) -> str:
    """Tables as a file for `\\input`, which also compiles by itself; warnings become comments at its head."""
    return "\n".join([_HEAD, *_warnings(warnings), *found]) + "\n\\cotasksend\n"


def _warnings(warnings: Sequence[str]) -> list[str]:
    """As comments: a paper says these things in its own words."""
    lines = ["".join(" " if unicodedata.category(c) in _UNSEEN else c for c in warning) for warning in warnings]
    return ["\n".join(["% Before you quote a number:", *(f"% - {line}" for line in lines)])] if lines else []


def _table(table: Table, judge: str, confidence: float) -> str:
    title = f"{table.title}, judge {judge}"
    caption = escape(
        f"{title}. Scores from 0 to 100; in brackets the {confidence:.0%} interval, with the video as its unit. "
        "Bold: a difference whose interval does not hold 0. Rough: an interval that rests on too few videos, or too "
        "few answers at one end of the scale, to be held to its level."
    )
    header = table.header[1:]  # a model stands on a line of its own
    columns = "l" + "r" * (len(header) - 1)
    lines = [
        r"\begin{table}",
        r"  \centering",
        r"  \small",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{label_of(title)}}}",
        rf"  \begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"    \toprule",
        f"    {table_row(map(escape, header))}",
    ]
    for line in table.lines:
        if line.starts_model:
            model = escape(line.cells[0])
            lines += [r"    \midrule", rf"    \multicolumn{{{len(header)}}}{{@{{}}l@{{}}}}{{{model}}} \\[2pt]"]
        lines += [f"    {row}" for row in _rows(line)]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def label_of(title: str) -> str:
    """A title as the name of a label: `nextqa-questions-judge-exact`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def table_row(cells: Iterable[str]) -> str:
    """Cells that are escaped already, as a row of a table."""
    return rf"{' & '.join(cells)} \\"


def _rows(line: Line) -> list[str]:
    """A row of numbers, and below it one of their intervals."""
    _, condition, *numbers = line.cells
    indent = r"\qquad" if line.is_difference else r"\quad"
    first = table_row([f"{indent} {escape(condition)}", *map(number_of, numbers)])
    return [first, table_row(["", *map(ends_of, numbers)]) + "[2pt]"]


def number_of(cell: Cell) -> str:
    """The number of a cell; bold where it is a difference whose interval does not hold 0."""
    if not isinstance(cell, Interval):
        return escape(cell.share if isinstance(cell, Unscored) else cell)
    if cell.mean is None:
        return "--"
    number = f"${cell.number}$"
    return rf"\boldmath {number}" if cell.sign else number


def ends_of(cell: Cell) -> str:
    """The interval; for unscored answers, the averages that they allow."""
    if isinstance(cell, Unscored) and cell.bounds:
        low, high = cell.bounds.split(" to ")
        return rf"\scriptsize ${low}$ to ${high}$"
    if not isinstance(cell, Interval) or not cell.ends:
        return ""
    ends = "n/a" if cell.low is None else ", ".join(f"${end}$" for end in cell.ends.split(", "))
    rough = r"\ rough" if cell.rough else ""
    return rf"\scriptsize {{[}}{ends}{{]}}{rough}"
