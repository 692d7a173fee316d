"""What is said below a report of how its numbers are to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.report import claims, controls, costs, joint, judges, leakage, origins, people, tables

PARTS = (origins, leakage, claims, judges, controls, people, joint, costs)
"""Parts of a report; `notes(summary)` of each says nothing where the part has nothing to show."""


def all_notes(summary: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Notes on the means and on each part of a summary; `names` are its judges."""
    return [*tables.notes(summary, names), *(note for part in PARTS for note in part.notes(summary))]
