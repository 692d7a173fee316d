"""Step 1 by marks: the annotated things stand outlined and numbered on the frames, and a model answers with numbers.

    Step 1, frame localization. The things in the video are outlined, each with its number: 1 adult, 2 adult, 3 dog.
    Which frames and which of these things matter for this question? Answer with two lines that begin with "Frames:" and
    "Entities:"; name the things by their numbers alone.

So step 1 names instances ("the man in black" is 2), not categories. Numbers count from 1, in order of tid, over the
things that have a box on a frame shown; they are no tids.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from cotasks.records.schema import Entity, Frame, Scene
from cotasks.steps.context import NOTHING

Marks = tuple[tuple[int, int], ...]
"""(tid, number) of each marked thing, ascending."""

REQUEST = (
    "Step 1, frame localization. The things in the video are outlined, each with its number: {legend}. Which frames "
    'and which of these things matter for this question? Answer with two lines that begin with "Frames:" and '
    '"Entities:"; name the things by their numbers alone.'
)
_OTHER_WORDS = ("box", "number", "object", "entity", "thing", "mark", "id")


def marks_of(scene: Scene, frames: Sequence[Frame]) -> Marks:
    """The marks on these frames: of the things with a box on one of them."""
    shown = {frame.index for frame in frames}
    seen = sorted(t.tid for t in scene.entity_tracking if any(box.frame in shown for box in t.boxes))
    return tuple((tid, number) for number, tid in enumerate(seen, 1))


def legend(entities: Iterable[Entity], marks: Marks) -> str:
    """`1 adult, 2 adult, 3 dog`"""
    categories = {entity.tid: entity.category.replace("_", " ") for entity in entities}
    return ", ".join(f"{number} {categories[tid]}" for tid, number in marks) or NOTHING


def mark_names(
    entities: Iterable[Entity], marks: Marks
) -> tuple[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]]:
    """((tid, name), (tid, name)): what a marked thing is called, its number; and what is understood as well: its number
    with its category or another word (`dog 3`, `3 dog`, `box 3`), and its category alone where no other mark has it."""
    categories = {entity.tid: entity.category.replace("_", " ") for entity in entities}
    numbers = dict(marks)
    called = [categories[tid] for tid in numbers]
    others: list[tuple[int, str]] = []
    for tid, number in marks:
        category = categories[tid]
        words = (category, *(part for part in category.split("/") if "/" in category), *_OTHER_WORDS)
        others += [(tid, text) for word in words for text in (f"{word} {number}", f"{number} {word}")]
        others += [(tid, category)] if called.count(category) == 1 else []
    return tuple((tid, str(number)) for tid, number in marks), tuple(others)


def proposed_entities(entities: Iterable[Entity], names: Mapping[int, str], marks: Marks) -> list[str | int]:
    """What a model named, for a build: a mark as its tid, another name as it stands. A name with a number that is no
    mark's is left out: the build would count by category what the model counted by marks."""
    marked: Collection[int] = dict(marks)
    named = [entity.tid for entity in entities]
    kept = [tid for tid in named if tid in marked or not re.search(r"\d$", names[tid])]
    return [tid if tid in marked else names[tid] for tid in kept]
