"""Records as COCO-style video JSON in TAO's form, `annotations.json`: `videos`, `images` (a row a frame of the grids,
`frame_index` 0-based), `tracks`, `categories`, and `annotations` with boxes as left, top, width, height in pixels.

A frame that was looked at and shows nothing is an image without annotations. Relations have no place in this format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cotasks.export.formats import Written
from cotasks.export.scenes import Subject, VideoScene, notes_of, scenes_of
from cotasks.tools.files import dump_json


def write(subject: Subject, folder: Path) -> Written:
    """Write the file."""
    left_out: Counter[str] = Counter()
    found = content_of(scenes_of(subject, left_out))
    dump_json(folder / "annotations.json", found)
    what = f"{len(found['videos'])} videos, {len(found['images'])} frames, {len(found['annotations'])} boxes"
    return Written(what, tuple(notes_of(left_out)))


def content_of(scenes: Iterable[VideoScene]) -> dict[str, list[Any]]:
    """The content of the file; ids count from 1."""
    scenes = list(scenes)
    names = sorted({name for scene in scenes for name in scene.categories.values()})
    categories = {name: number for number, name in enumerate(names, 1)}
    parts: dict[str, list[Any]] = {name: [] for name in ("videos", "images", "tracks", "annotations")}
    for video, scene in enumerate(scenes, 1):
        width, height = scene.size
        size = {"width": width, "height": height}
        parts["videos"].append({"id": video, "name": scene.path, **size, "fps": scene.fps})
        images: dict[int, int] = {}
        for frame in sorted(scene.grid | {frame for boxes in scene.boxes.values() for frame in boxes}):
            images[frame] = len(parts["images"]) + 1
            stem = f"{scene.path}/{frame:06d}.jpg"
            parts["images"].append(
                {"id": images[frame], "video_id": video, "frame_index": frame, "file_name": stem, **size}
            )
        for tid, boxes in sorted(scene.boxes.items()):
            track, category = len(parts["tracks"]) + 1, categories[scene.categories[tid]]
            parts["tracks"].append({"id": track, "video_id": video, "category_id": category, "tid": tid})
            for frame, box in sorted(boxes.items()):
                x1, y1, x2, y2 = box.xyxy
                parts["annotations"].append(
                    {
                        "id": len(parts["annotations"]) + 1,
                        "image_id": images[frame],
                        "video_id": video,
                        "track_id": track,
                        "category_id": category,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                        "generated": box.generated,
                    }
                )
    return {**parts, "categories": [{"id": number, "name": name} for name, number in categories.items()]}
