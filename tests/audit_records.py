"""Records and folders made by hand for the audit's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cotasks.records.schema import (
    Box,
    Entity,
    FrameLocalization,
    Record,
    Scene,
    Span,
    SpatialRelation,
    TemporalRelation,
    Track,
    records_to_table,
)
from cotasks.records.timeline import grid_frames
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations
from cotasks.words.types import NEXTQA, STAR

FPS = 10.0
FRAMES = tuple(range(0, 120, 10))
Triple = tuple[int, str, int]


def moving(frame: int) -> tuple[float, float, float, float]:
    """A box 100 by 100 that is elsewhere at every frame."""
    return float(frame), 10.0, frame + 100.0, 110.0


def make_record(
    question: str = "why does the dog run",
    answer: str = "to play",
    type_: str = "CW",
    *,
    video: str = "v1",
    number: int = 0,
    entities: Sequence[str] = ("dog", "adult"),
    spatial: Sequence[Triple] = (),
    temporal: Sequence[Triple] = (),
    chosen: Sequence[int] | None = None,
    choices: Sequence[str] = (),
    more: Sequence[str] = (),
    boxes: Mapping[int, Sequence[Box]] | None = None,
    **changes: Any,
) -> Record:
    """A record of a video of 12 grid frames, 640 x 480 pixels.

    Args:
        entities: categories; the position is the tid.
        chosen: tids of A1's entities; None for all.
        boxes: tid -> its boxes; by default each thing has a moving box at every frame.
    """
    frames = grid_frames(FRAMES, FPS)
    things = tuple(Entity(tid, category) for tid, category in enumerate(entities))
    default = tuple(Box(frame, moving(frame), generated=frame % 20 == 0) for frame in FRAMES)
    tracks = [Track(t.tid, t.category, tuple((boxes or {}).get(t.tid, default))) for t in things]
    scene = Scene(
        things,
        tuple(track for track in tracks if track.boxes),
        tuple(SpatialRelation(s, p, o, FRAMES[:3]) for s, p, o in spatial),
        tuple(TemporalRelation(s, p, o, 0, 60) for s, p, o in temporal),
    )
    clip = Span(0.0, 12.0)
    localization = FrameLocalization(
        frames=FRAMES,
        spans=(clip,),
        entities=tuple(t for t in things if chosen is None or t.tid in chosen),
        span_origin="whole",
        entity_origin="lexical",
        used_answer=False,
    )
    values: dict[str, Any] = {
        "id": f"nextqa/validation/{video}/{number}",
        "source": "nextqa",
        "question_type": type_,
        "category": {**NEXTQA.categories, **STAR.categories}[type_],
        "video_id": video,
        "video_path": f"{video}.mp4",
        "fps": FPS,
        "frame_count": 120,
        "width": 640,
        "height": 480,
        "clip": clip,
        "question": question,
        "answer": answer,
        "additional_answers": tuple(more),
        "choices": tuple(choices),
        "answer_index": choices.index(answer) if choices else -1,
        "frames": frames,
        "frame_localization": localization,
        "entity_tracking": entity_tracking.construct(scene, localization),
        "spatial_relations": spatial_relations.construct(scene, localization),
        "temporal_relations": temporal_relations.construct(scene, localization, FPS),
        "scene": scene,
    }
    return Record(**{**values, **changes})


def write_folder(folder: Path, splits: Mapping[str, Sequence[Record]], config: str = "nextqa_oe") -> Path:
    """Records as a built folder of one config, without `build.json`."""
    (folder / config).mkdir(parents=True, exist_ok=True)
    files = ""
    for split, records in splits.items():
        pq.write_table(records_to_table(records), folder / config / f"{split}-00000-of-00001.parquet")
        files += f"  - split: {split}\n    path: {config}/{split}-*\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n")
    return folder
