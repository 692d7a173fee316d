"""Small video files whose every frame carries its number, and data sets over them, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
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
from cotasks.records.timeline import grid_frames, uniform_grid
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations

WIDTH, HEIGHT, FPS = 128, 96, 25
BITS = 8
_encoded: dict[str, bytes] = {}


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray[Any, Any]:
    """A frame whose upper half shows its number as bright and dark bars, the lower half a thing that moves."""
    image = np.full((height, width, 3), 40, np.uint8)
    bar = width // BITS
    for bit in range(BITS):
        if number >> bit & 1:
            image[: height // 2, bit * bar : (bit + 1) * bar] = 220
    x = number * 3 % (width - 16)
    image[height * 3 // 4 :, x : x + 16] = (250, 20, 20)
    return image


def number_of(image: np.ndarray[Any, Any]) -> int:
    """The number that `picture` wrote, at whatever size."""
    height, width = image.shape[:2]
    middles = [round((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(middles) if image[height // 4, x - 2 : x + 2].mean() > 130)


def write_video(
    path: Path,
    frame_count: int = 60,
    *,
    codec: str = "libx264",
    gop: int = 250,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    pixel_format: str = "yuv420p",
) -> Path:
    """Write `picture(0)`, `picture(1)`, ... as a video of 25 frames a second, or shown at `times` in milliseconds.

    What was encoded once is only copied afterwards.
    """
    how = repr(
        (path.suffix, frame_count, codec, gop, b_frames, options, container_options, times, rotation, pixel_format)
    )
    if how in _encoded:
        path.write_bytes(_encoded[how])
        return path
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.gop_size, stream.max_b_frames = gop, b_frames
        stream.options = options or {}
        if rotation:
            stream.set_display_rotation(rotation)
        base = Fraction(1, 1000) if times else Fraction(1, FPS)
        stream.time_base = stream.codec_context.time_base = base
        for number in range(frame_count):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _encoded[how] = path.read_bytes()
    return path


def make_record(video_id: str, number: int, *, num_frames: int = 6, frame_count: int = 60, **changes: Any) -> Record:
    """A record over a file of `write_video`: two entities, boxes on every grid frame, a relation of each kind."""
    frames = grid_frames(uniform_grid(0, frame_count - 1, num_frames), FPS)
    entities = (Entity(0, "dog"), Entity(1, "ball/sports_ball"))
    tracks = tuple(
        Track(
            e.tid,
            e.category,
            tuple(Box(f.index, (4.0 + e.tid, 8.0, 60.0 + i, 70.0), False) for i, f in enumerate(frames)),
        )
        for e in entities
    )
    scene = Scene(
        entities,
        tracks,
        (SpatialRelation(0, "next_to", 1, tuple(f.index for f in frames)),),
        (TemporalRelation(0, "chase", 1, 0, frame_count),),
    )
    clip = Span(0.0, frame_count / FPS)
    localization = FrameLocalization(
        frames=tuple(f.index for f in frames),
        spans=(clip,),
        entities=entities,
        span_origin="whole",
        entity_origin="whole",
        used_answer=False,
    )
    values: dict[str, Any] = {
        "id": f"nextqa/validation/{video_id}/{number}",
        "source": "nextqa",
        "question_type": "CW",
        "category": "causal",
        "video_id": video_id,
        "video_path": f"{video_id}.mp4",
        "fps": float(FPS),
        "frame_count": frame_count,
        "width": WIDTH,
        "height": HEIGHT,
        "clip": clip,
        "question": f"why did the dog of {video_id} run after the ball {'again and ' * number}again",
        "answer": "to play",
        "additional_answers": (),
        "choices": (),
        "answer_index": -1,
        "frames": frames,
        "frame_localization": localization,
        "entity_tracking": entity_tracking.construct(scene, localization),
        "spatial_relations": spatial_relations.construct(scene, localization),
        "temporal_relations": temporal_relations.construct(scene, localization, float(FPS)),
        "scene": scene,
    }
    return Record(**{**values, **changes})


def write_folder(folder: Path, records: Sequence[Record], config: str = "nextqa_oe", split: str = "validation") -> Path:
    """Records as a built folder with one config and one split."""
    (folder / config).mkdir(parents=True, exist_ok=True)
    pq.write_table(records_to_table(records), folder / config / f"{split}-00000-of-00001.parquet")
    files = f"  data_files:\n  - split: {split}\n    path: {config}/{split}-*\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n{files}---\n")
    return folder
