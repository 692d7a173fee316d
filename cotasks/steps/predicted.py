"""Steps that a model predicted, in place of a record's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotasks.records.schema import Entity, FrameLocalization, SpatialRelation, TemporalRelation, Track
from cotasks.steps.table import STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping


NO_STEP_1 = FrameLocalization((), (), (), "model", "model", used_answer=False)
"""Stands for A1 where it was not predicted and is not spoken of."""


@dataclass(frozen=True)
class PredictedSteps:
    """What was predicted of one record; None for a step that was not."""

    frame_localization: FrameLocalization | None = None
    entity_tracking: tuple[Track, ...] | None = None
    spatial_relations: tuple[SpatialRelation, ...] | None = None
    temporal_relations: tuple[TemporalRelation, ...] | None = None
    entities: tuple[Entity, ...] = ()
    """All that the steps speak of; their tids are the prediction's own and mean nothing outside of it."""
    names: tuple[tuple[int, str], ...] = ()
    """(tid, name) of each of them, as the model wrote it."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Step -> why it was not predicted."""

    def has(self, step: int) -> bool:
        """Whether there is a prediction of step 1 to 4."""
        return getattr(self, STEPS[step].field) is not None

    def tids(self) -> set[int]:
        """All entities that the steps speak of."""
        relations: list[SpatialRelation | TemporalRelation]
        relations = [*(self.spatial_relations or ()), *(self.temporal_relations or ())]
        localized = self.frame_localization.entities if self.frame_localization is not None else ()
        return {
            *(entity.tid for entity in localized),
            *(track.tid for track in self.entity_tracking or ()),
            *(tid for relation in relations for tid in (relation.subject_tid, relation.object_tid)),
        }
