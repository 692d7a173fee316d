"""How the answers of a run came about, and how they are worded."""

from __future__ import annotations

from collections.abc import Set

from cotasks.judge import wording
from cotasks.runs.folder import Key
from cotasks.runs.run import Row, Run, thoughts_of


def rows_of(run: Run, echoes: Set[Key]) -> list[Row]:
    """A row of each condition, without run and model.

    Args:
        echoes: Answers that only repeat the question.
    """
    counts, said = [], wording.wording(run, echoes)
    for condition in run.conditions:
        rows = [row for key, row in run.generations.items() if key[1] == condition]
        cut_items = [row.get("cut_items") or 0 for row in rows]
        counts.append(
            {
                "condition": condition,
                "answers": len(rows),
                "failures": sum(key[1] == condition for key in run.failures),
                "cut_answers": sum(row.get("finish_reason") == "length" for row in rows),
                **thoughts_of(rows),
                "cut_contexts": sum(items > 0 for items in cut_items),
                "cut_items": sum(cut_items),
                **said[condition],
            }
        )
    return counts
