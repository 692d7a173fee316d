"""PVSG's files, small: two videos with drawn masks, every field and trap."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.source_files import write_json, write_zip

WIDTH, HEIGHT, FRAMES = 64, 48, 20


def mask(frame: int, *, size: tuple[int, int] = (WIDTH, HEIGHT), mode: str = "P") -> bytes:
    """A wall (1), a woman (2) who moves a pixel a frame, a cake (3) until frame 9."""
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[:10] = 1
    pixels[20:40, frame : frame + 8] = 2
    pixels[25, frame + 2] = 0  # a hole
    if frame < 10:
        pixels[30:35, 50:60] = 3
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([value for n in range(256) for value in (n, 255 - n, n)])
    else:
        image = image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def video(video_id: str = "0001_1", **change: Any) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "meta": {"height": HEIGHT, "width": WIDTH, "fps": 5, "duration": 4.0, "num_frames": FRAMES},
        "objects": [
            {"object_id": 1, "category": "wall", "is_thing": False, "status": []},
            {"object_id": 2, "category": "adult", "is_thing": True, "status": []},
            {"object_id": 3, "category": "cake", "is_thing": True, "status": []},
            {"object_id": 4, "category": "candle", "is_thing": True, "status": []},  # in no mask
        ],
        "relations": [
            [2, 3, "looking at", [[0, 2], [9, 19]]],
            [4, 3, "on", [[0, 9]]],
            [2, 1, "in front of", [[5, 5]]],
            [2, 4, "juggling with", [[7, 8]]],  # in no list
        ],
        "captions": [{"time": "0000-0008", "description": "A woman (2) smiles."}],
        "qa_pairs": [
            {"time": "0018", "question": "Why is the woman (2) smiling?", "answer": "Because it's her birthday."},
            {
                "time": "0002-0006",
                "question": "What does the girl (baby-1) of 1998 (1998) see?",
                "answer": "They (2, 3) and the wall (1) are seen.",
            },
        ],
        "summary": "A woman and a cake.",
        **change,
    }


def annotation(*videos: dict[str, Any], **change: Any) -> dict[str, Any]:
    found = list(videos) or [video(), video("P01_1")]
    return {
        "objects": {"thing": ["adult", "cake", "candle"], "stuff": ["wall"]},
        "relations": ["looking at", "on", "in front of"],
        "split": {
            "vidor": {"train": [], "val": ["0001_1"]},
            "epic_kitchen": {"train": ["P01_1"], "val": []},
            "ego4d": {"train": [], "val": []},
        },
        "data": found,
        **change,
    }


def write(folder: Path, data: dict[str, Any] | None = None) -> Path:
    """`pvsg.json`, a zip with the masks of VidOR's video, a folder with those of EpicKitchen's."""
    write_json(folder / "pvsg/pvsg.json", annotation() if data is None else data)
    members = {f"mnt/x/data/vidor/masks/0001_1/{frame:04d}.png": mask(frame) for frame in range(FRAMES)}
    members["mnt/x/data/vidor/masks/"] = b""
    members["__MACOSX/vidor/masks/0001_1/0000.png"] = b"junk"
    write_zip(folder / "pvsg/VidOR/vidor_masks.zip", members)
    masks = folder / "pvsg/epic_kitchen/masks/P01_1"
    masks.mkdir(parents=True, exist_ok=True)
    for frame in range(FRAMES):
        (masks / f"{frame:04d}.png").write_bytes(mask(frame))
    return folder
