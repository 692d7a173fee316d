"""Step 1 by words: what of a scene the words of a question name.

The *matched* entities are those of all categories that a word matches (`cotasks.words.lexicon`). Where a category has
several instances, words do not tell them apart ("the man in black"), and all are kept. The *relevant* relations have a
matched entity at one end or both, and a predicate that a word matches. Spatial and temporal ones count alike.

Words choose entities. They do not choose time: on the questions of NExT-QA val that people gave spans for, the spans
that words give (`frames_by_words`) are no nearer to the people's than the whole clip is. `cotasks audit DATASET
--localization lexical` measures it on any data set that has human spans.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cotasks.records.schema import Entity, Scene, SpatialRelation, TemporalRelation
from cotasks.words.lexicon import match_categories, match_predicates

Relation = SpatialRelation | TemporalRelation

MOST_OF_GRID = 0.5
"""Words that hold on a larger share of the grid choose no time."""


def entities_by_words(texts: Sequence[str], scene: Scene, *, all_partners: bool = False) -> tuple[Entity, ...] | None:
    """The matched entities and both ends of the relevant relations, by tid; None where no word matches a category.

    A partner comes in only through a relation whose predicate a word matches: "why is the kid being held" names the
    kid and whoever holds it, "what does the kid do" the kid alone.

    Args:
        texts: a question, or its parts.
        scene: of the question's video.
        all_partners: where no relation is relevant, take both ends of all relations of matched entities: "what does the
            kid do" then names all that the kid deals with. For step 1 whose time is marked already.
    """
    matched = _matched(texts, scene)
    if not matched:
        return None
    relevant = _relevant(texts, scene, matched)
    if all_partners and not relevant:
        relevant = _of(scene, matched)
    return entities_of(scene, matched | ends(relevant))


def frames_by_words(texts: Sequence[str], scene: Scene, grid: Sequence[int]) -> tuple[int, ...] | None:
    """The frames of the grid at which a relevant relation holds; None where none does, or one does on more than
    `MOST_OF_GRID` of the grid.

    Args:
        texts: a question, or its parts.
        scene: of the question's video.
        grid: 0-based frame numbers, ascending.
    """
    frames = {frame for relation in _relevant(texts, scene, _matched(texts, scene)) for frame in held(relation, grid)}
    return tuple(sorted(frames)) if 0 < len(frames) <= MOST_OF_GRID * len(grid) else None


def held(relation: Relation, frames: Sequence[int]) -> list[int]:
    """Those of `frames` at which a relation holds; a temporal one where begin_frame <= frame < end_frame."""
    if isinstance(relation, TemporalRelation):
        return [frame for frame in frames if relation.begin_frame <= frame < relation.end_frame]
    return [frame for frame in frames if frame in relation.frames]


def ends(relations: Iterable[Relation]) -> set[int]:
    """The tids of both ends."""
    return {tid for r in relations for tid in (r.subject_tid, r.object_tid)}


def entities_of(scene: Scene, tids: Collection[int] | None = None) -> tuple[Entity, ...]:
    """Entities by tid: all, or those with the given tids."""
    return tuple(sorted((e for e in scene.entities if tids is None or e.tid in tids), key=lambda e: e.tid))


def _matched(texts: Sequence[str], scene: Scene) -> set[int]:
    present = {entity.category for entity in scene.entities}
    categories = {category for text in texts for category in match_categories(text, present)}
    return {entity.tid for entity in scene.entities if entity.category in categories}


def _of(scene: Scene, matched: Collection[int]) -> list[Relation]:
    """The relations with a matched entity at one end or both."""
    everything: list[Relation] = [*scene.spatial_relations, *scene.temporal_relations]
    return [r for r in everything if r.subject_tid in matched or r.object_tid in matched]


def _relevant(texts: Sequence[str], scene: Scene, matched: Collection[int]) -> list[Relation]:
    relations = _of(scene, matched)
    names = {r.predicate for r in relations}
    predicates = {predicate for text in texts for predicate in match_predicates(text, names)}
    return [r for r in relations if r.predicate in predicates]
