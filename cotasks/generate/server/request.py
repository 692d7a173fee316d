"""What a server is sent for one prompt, and how many tokens that can be. Frames are shown in one of two forms:

images      each frame an image, with its name before it: any server takes them, and none knows that they are a
            video. Their names are those that the steps use ("3.94s", "frame 12")
video_url   all frames as one video, `data:video/jpeg;base64,FRAME,FRAME,...`: vLLM takes it, and shows it to the
            model as the video that it is
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from cotasks.generate.prepare import Item
from cotasks.generate.sampling import Sampling, request_seed
from cotasks.generate.server.model import ServedModel
from cotasks.models.families import Family
from cotasks.models.tensors import Clip
from cotasks.records.boxes import CoordinateFormat, Size
from cotasks.records.schema import Frame, Record
from cotasks.steps.context import StepContext
from cotasks.video.packets import Image


def encode_frames(pixels: Image, image_format: str) -> list[str]:
    """Frames (frames, height, width, 3) as files in base64."""
    from PIL import Image as Pillow

    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if image_format == "jpeg" else {"compress_level": 1}
    encoded = []
    for frame in pixels:
        with io.BytesIO() as file:
            Pillow.fromarray(frame).save(file, format=image_format, **options)
            encoded.append(base64.b64encode(file.getvalue()).decode())
    return encoded


def media_parts(server: ServedModel, record: Record, item: Item, encoded: Sequence[str]) -> list[dict[str, Any]]:
    """The frames of a prompt as parts of a message. `encoded` is what `encode_frames` makes of its clip."""
    if server.media == "video_url":
        return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{','.join(encoded)}"}}]
    parts: list[dict[str, Any]] = []
    for name, data in zip(frame_labels(record, item.prompt.frames, server.family), encoded, strict=True):
        url = f"data:image/{server.options.image_format};base64,{data}"
        parts.append({"type": "text", "text": name})
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def frame_labels(record: Record, frames: tuple[Frame, ...], family: Family) -> list[str]:
    """What stands before each frame that is shown as an image: its name, as the steps of the family use it."""
    names = StepContext(
        entities=(),
        frames=frames,
        fps=record.fps,
        clip=record.clip,
        source_size=(1, 1),
        coordinates=CoordinateFormat(family.coordinates, (1, 1)),
        frame_reference=family.frame_reference,
    )
    return [f"{names.frame_text(frame.index)}: " for frame in frames]


def build_request(
    fields: Mapping[str, Any],
    item: Item,
    parts: Sequence[Mapping[str, Any]],
    server: ServedModel,
    sampling: Sampling,
) -> dict[str, Any]:
    """The body of a request: the prompt with `parts` in the place of its video, and what belongs to this key alone."""
    messages = []
    for message in item.prompt.messages:
        content: list[Any] = []
        for part in message["content"]:
            content += parts if part["type"] == "video" else [part]
        messages.append({**message, "content": content})
    body = {**fields, "messages": messages}
    if sampling.temperature:
        body.setdefault("seed", request_seed(sampling.seed, item.key))
    if server.media == "video_url" and item.clip is not None:
        body.setdefault("media_io_kwargs", {"video": _video_metadata(item.clip)})
    return body


def _video_metadata(clip: Clip) -> dict[str, Any]:
    """What vLLM is told of frames that were taken from a video; without `num_frames` it drops all after the 32nd."""
    return {
        "num_frames": len(clip.indices),
        "fps": clip.fps,
        "frames_indices": list(clip.indices),
        "total_num_frames": clip.total_num_frames,
        "duration": clip.total_num_frames / clip.fps,
    }


def token_bounds(server: ServedModel, item: Item, size: Size) -> tuple[int, int] | None:
    """(fewest, most) tokens that a prompt with its frames of (width, height) can have; None where that is not known.

    The frames' own are exact, text has no more tokens than bytes, and there is room for what a chat template adds.
    """
    if item.clip is None:
        return None
    frames = len(item.clip.indices)
    seen = server.video_tokens(frames, size)
    if seen is None:
        return None
    text = sum(len(p["text"].encode()) for m in item.prompt.messages for p in m["content"] if p["type"] == "text")
    return seen, seen + text + 32 * frames + 1024
