"""How a text names entities, so that two of a category are told apart."""

from __future__ import annotations

from collections.abc import Iterable

from cotasks.records.schema import Entity


def entity_names(entities: Iterable[Entity]) -> dict[int, str]:
    """tid -> name in prompts: the category with blanks for underscores; where a category has several entities,
    followed by a number from 1 in order of tid ("adult 1", "adult 2")."""
    by_category: dict[str, list[int]] = {}
    for entity in sorted(entities, key=lambda e: e.tid):
        by_category.setdefault(entity.category, []).append(entity.tid)
    names = {}
    for category, tids in by_category.items():
        text = category.replace("_", " ")
        for number, tid in enumerate(tids, 1):
            names[tid] = text if len(tids) == 1 else f"{text} {number}"
    return names
