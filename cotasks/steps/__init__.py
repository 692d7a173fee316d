"""The four CoTasks, one module each: how a step is built from the scene, reads in a prompt, is read back and scored.

Each module holds `construct`, `render`, `parse` and `score`; what they share about names, times and coordinates is
`cotasks.steps.context`. What a model makes of these forms is read by `repair`, names of its own are known by `naming`,
and who is meant by them is settled by `matching`; `scoring` scores all four steps of a record.
"""

from __future__ import annotations

from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations

__all__ = ["entity_tracking", "frame_localization", "spatial_relations", "temporal_relations"]
