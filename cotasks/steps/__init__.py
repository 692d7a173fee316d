"""The four CoTasks, one module each: how a step is built from the scene, reads in a prompt, and is read back.

Each module holds `construct`, `render` and `parse`; what they share about names, times and coordinates is
`cotasks.steps.context`.
"""

from __future__ import annotations

from cotasks.steps import entity_tracking, frame_localization, spatial_relations, temporal_relations

__all__ = ["entity_tracking", "frame_localization", "spatial_relations", "temporal_relations"]
