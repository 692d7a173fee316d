"""`summary.json` as Markdown. Whatever comes from a model or from data is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.pages.markdown import LONGEST, escape, table
from cotasks.report import claims, controls, costs, joint, judges, leakage, origins, people, tables
from cotasks.report.notes import all_notes
from cotasks.report.tables import Cell, Table


def render(summary: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        summary: As `report.summarise_runs` returns it, or as read from `summary.json`.
    """
    parts = ["# Report", *_warnings(summary["warnings"])]
    names = tables.judges_in(summary)
    for judge in names:
        title = f"judge {escape(judge)}"
        parts += main_tables(summary, judge)
        parts.append(f"## By question type, {title}")
        for found in tables.type_tables(summary, judge):
            parts += [f"{escape(found.title)}:", render_table(found)]
        parts += _section(f"Differences, {title}", claims.difference_table(summary, judge))
        equivalent = claims.equivalence_table(summary, judge)
        parts += _section(f"{escape(equivalent.title)}, {title}" if equivalent else "", equivalent)
        parts += _section(f"Won and lost, {title}", tables.outcome_table(summary, judge))
        parts += _section(f"Between runs, {title}", claims.between_runs_table(summary, judge))
    parts += _section("Right answers on right evidence", joint.joint_table(summary))
    parts += _section("Agreement of judges", judges.agreement_table(summary))
    parts += _section("A judge's own spread", judges.spread_table(summary))
    parts += _section("Controls of judges", controls.table(summary))
    for found in people.tables_of(summary):
        parts += _section(found.title, found)
    unscored, rest = tables.unscored_table(summary)
    parts += [*_section("Unscored answers", unscored), *([rest] if rest else [])]
    parts += _section("Step 1", origins.origin_table(summary))
    parts += _section("What the contexts give away", leakage.leakage_table(summary))
    parts += _section("Generation", tables.generation_table(summary))
    parts += _section("Cost", costs.table(summary))
    parts.append("## Settings")
    for found in tables.settings_tables(summary):
        parts += [f"{escape(found.title)}:", render_table(found)]
    notes = all_notes(summary, names)
    parts += ["## How to read this", "\n".join(f"- {escape(note, LONGEST)}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def main_tables(summary: Mapping[str, Any], judge: str) -> list[str]:
    """For each group of questions that a run has: its title and its table; then what the judge said to its controls."""
    found = origins.main_tables(summary, judge)
    parts = [part for one in found for part in _section(f"{escape(one.title)}, judge {escape(judge)}", one)]
    return [*parts, *(escape(line, LONGEST) for line in controls.beside(summary, judge))]


def _section(title: str, found: Table | None) -> list[str]:
    return [f"## {title}", render_table(found)] if found is not None else []


def render_table(found: Table) -> str:
    """A table whose texts are escaped here."""
    rows = [[_cell(cell) for cell in line.cells] for line in found.lines]
    return table([escape(name) for name in found.header], rows, found.text_columns)


def _cell(cell: Cell) -> str:
    return escape(cell) if isinstance(cell, str) else str(cell)  # what is no text is numbers of ours


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return ["**Before you quote a number:**", "\n".join(f"- {escape(warning, LONGEST)}" for warning in warnings)]
