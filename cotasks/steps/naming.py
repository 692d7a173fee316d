"""Names that a model gives itself: a prediction may speak of entities that the scene does not have.

`open_context` reads what a model said and gives the context in which its words are known:

    context = open_context(step_context(...), {1: "Frames: 0.00s\\nEntities: woman, dog 3"})
    context.names    # those of the scene, and "woman" and "dog 3"

A name that the scene has means the scene's entity, under the scene's tid. Any other becomes an entity of its own: its
category is the name without a number at its end, and its tid is one that no scene has, `OPEN_TID` and up in order of
appearance; so the steps of a chain can be opened one by one, or together, to the same end.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cotasks.records.schema import Entity
from cotasks.steps.context import NOTHING, StepContext
from cotasks.steps.table import read_step
from cotasks.steps.wording import known_entity

OPEN_TID = 1_000_000
"""tids of entities that a model named; VidOR and STAR number the things of a video from 0, in tens."""

# what would not be read back from a step's text is no name: a letter first, no mark of the grammar or of Markdown
_NAME = re.compile(r"(?!(?:the|an?)\s)[^\W\d_](?:[^,;:(){}\[\]<>|*`\"\n]{0,58}\w)?", re.IGNORECASE)
_MOST_WORDS = 4


def open_context(context: StepContext, texts: Mapping[int, str]) -> StepContext:
    """The context with the entities that a model named in its own steps.

    Args:
        texts: step 1 to 4 -> the model's text; steps already opened may be left out or given again.

    Only names of what could be read count (boxes, triples, the line of entities), strictly or by repair; so prose
    names nothing. `parse` and `cotasks.steps.repair` in this context read all of them, `render` writes them as the
    model did, and a text without names of its own gives the context back as it was.
    """
    for step, text in sorted(texts.items()):
        hearing = _Hearing(**{f.name: getattr(context, f.name) for f in dataclasses.fields(StepContext)})
        used = _tids(read_step(step, text, hearing).value)
        context = add_names(context, (name for name, entity in hearing.heard.values() if entity.tid in used))
    return context


def add_names(context: StepContext, names: Iterable[str]) -> StepContext:
    """The context with an entity for each name that it does not know, in the order given."""
    entities, given = list(context.entities), dict(context.names)
    known = set(context.entity_of_name)
    tid = max(OPEN_TID, *(entity.tid + 1 for entity in entities)) if entities else OPEN_TID
    for name in names:
        if name.lower() not in known:
            known.add(name.lower())
            entities.append(Entity(tid, category_of(name, context.entities)))
            given[tid] = name
            tid += 1
    if len(entities) == len(context.entities):
        return context
    return dataclasses.replace(context, entities=tuple(entities), given_names=tuple(given.items()))


def category_of(name: str, entities: Iterable[Entity]) -> str:
    """The name without a number at its end, as the annotation spells it where it has the category."""
    category = re.sub(r"\s*#?\s*\d+$", "", name).strip() or name
    spelled = {entity.category.replace("_", " ").lower(): entity.category for entity in entities}
    return spelled.get(category.lower(), category.replace(" ", "_"))


@dataclass(frozen=True)
class _Hearing(StepContext):
    """A context that takes every name it is asked for, and remembers it."""

    heard: dict[str, tuple[str, Entity]] = field(default_factory=dict, compare=False)
    """Name in small letters -> (as it stood first, a stand-in entity)."""

    def entity(self, name: str) -> Entity | None:
        known = super().entity(name)
        # another wording of a known name is left to the repairs
        if known is not None or known_entity(name, self) is not None or not _is_name(name):
            return known
        stand_in = Entity(OPEN_TID * 2 + len(self.heard), name)
        return self.heard.setdefault(name.lower(), (name, stand_in))[1]


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and len(name.split()) <= _MOST_WORDS and name.lower() != NOTHING


def _tids(value: object) -> set[int]:
    """All tids in what was read of a step."""
    items = value if isinstance(value, tuple) else getattr(value, "entities", ())
    names = ("tid", "subject_tid", "object_tid")
    return {getattr(item, name) for item in items for name in names if hasattr(item, name)}
