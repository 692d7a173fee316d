"""What is said below a report of how its numbers are to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.report import claims, joint, judges, people, tables


def all_notes(summary: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Notes on each part of a summary that is there; `names` are its judges."""
    found = [*tables.notes(summary, names), *claims.notes(summary), *judges.notes(summary), *people.notes(summary)]
    return [*found, *joint.notes(summary)]
