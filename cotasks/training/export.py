"""Instruction examples as the JSON lines that ms-swift and LLaMA-Factory read.

Both take `{"messages": [{"role", "content"}], "videos": [...]}` with a `<video>` tag in the content where the video is
shown; LLaMA-Factory wants a `dataset_info.json` beside it. A video is its path, of which either tool chooses frames
and a size by its own settings, or a list of pictures.

- ms-swift: Custom Dataset, "Multimodal" (docs/source_en/Customization/Custom-dataset.md); a list of pictures for the
  Qwen families (swift/template/templates/qwen.py).
- LLaMA-Factory: data/README.md, "sharegpt" format; a list of pictures (src/llamafactory/data/mm_plugin.py).

So examples that speak of frames by position, or of boxes in pixels, need `frames`: a folder to write the very frames
to. ms-swift, by its defaults, leaves pictures of this size alone; LLaMA-Factory shrinks all above `video_max_pixels`,
which is 65,536 unless set, and boxes in pixels (Qwen2.5-VL's) are then wrong: set it to 602,112, the greatest width x
height that `cotasks.models.families.frame_size` gives by default. Neither tool can be told the time of each picture, as
Qwen2.5-VL and Qwen3-VL want it: they take one rate for all videos (`FPS`, `video_fps`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, MissingExtra
from cotasks.models.families import FAMILIES
from cotasks.records.videos import Videos
from cotasks.steps.table import STEP_NUMBERS, STEPS
from cotasks.tools.files import dump_json, read_json
from cotasks.training.events import Event, log_event
from cotasks.training.examples import CHAIN, expected_video, parse_task
from cotasks.video.check import look_at
from cotasks.video.facts import VideoFacts
from cotasks.video.files import video_file

TAGS = ("<video>", "<image>", "<audio>", "<bbox>", "<ref-object>")
"""What either tool replaces by something else, wherever it stands."""
JPEG_QUALITY = 95

Row = Mapping[str, Any]


def write_ms_swift(
    rows: Iterable[Row],
    path: str | Path,
    videos: str | Path,
    *,
    frames: str | Path | None = None,
    video_check: str = "fail",
    report: Callable[[Event], None] = log_event,
) -> int:
    """Write examples for `swift sft --dataset PATH`.

    Args:
        rows: what `cotasks.instructions` gives, as dicts, such as a `datasets.Dataset` of them.
        path: the `.jsonl` file, written whole or not at all.
        videos: folder of the videos.
        frames: folder to write the frames shown to, as JPEG files in the size that boxes refer to; each once.
        video_check: what is done about a video that is not the annotated one: `fail`, so that its examples are skipped,
            `warn`, or `off`; see `cotasks.video.check`.
        report: called with what is skipped, see `cotasks.training.events.Event`: a video that is missing, say.

    Returns:
        How many examples were written.

    Raises InputError where none was, and MissingExtra where `frames` is given and PyAV or Pillow is not installed.
    """
    at = Videos(Path(videos).resolve(), video_check)
    return _write(rows, Path(path), at, Path(frames).resolve() if frames is not None else None, report)


def write_llama_factory(
    rows: Iterable[Row],
    folder: str | Path,
    name: str,
    videos: str | Path,
    *,
    frames: str | Path | None = None,
    video_check: str = "fail",
    report: Callable[[Event], None] = log_event,
) -> int:
    """Write examples for LLaMA-Factory's `dataset_dir: FOLDER`, `dataset: NAME`; see `write_ms_swift`.

    With `frames`, run it with `video_max_pixels: 602112`, or it shrinks them.

    `FOLDER/NAME.jsonl` holds the examples; an entry is added to `FOLDER/dataset_info.json`, or replaced there.
    """
    folder = Path(folder)
    info_path = folder / "dataset_info.json"
    info = read_json(info_path) if info_path.exists() else {}
    if not isinstance(info, dict):
        raise InputError(f"{info_path}: not a JSON object; expected LLaMA-Factory's table of data sets")
    at = Videos(Path(videos).resolve(), video_check)
    pictures = Path(frames).resolve() if frames is not None else None
    written = _write(rows, folder / f"{name}.jsonl", at, pictures, report)
    info[name] = {
        "file_name": f"{name}.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "videos": "videos"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
    dump_json(info_path, info)
    return written


def _write(
    rows: Iterable[Row], path: Path, videos: Videos, frames: Path | None, report: Callable[[Event], None]
) -> int:
    if not videos.folder.is_dir():
        raise InputError(f"{videos.folder}: no such folder; expected the folder of the videos")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    written, last = 0, "no example was given"
    with _whole(part, path) as file:
        for row in rows:
            try:
                line = _line(row, videos, frames)
            except InputError as error:
                last = f"{row['id']}: {error}"
                event = {"event": "skipped", "id": row["id"], "task": row["task"]}
                report({**event, "reason": error.reason, "detail": str(error)})
                continue
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            written += 1
        if not written:
            raise InputError(f"{path}: no example can be written; {last}")
    return written


@contextlib.contextmanager
def _whole(part: Path, path: Path) -> Iterator[Any]:
    """A file that is at `path` only if all went well."""
    try:
        with part.open("wb") as file:
            yield file
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, path)


def _line(row: Row, videos: Videos, frames: Path | None) -> dict[str, Any]:
    messages = []
    for message in row["messages"]:
        text = ""
        for part in message["content"]:
            if part["type"] == "video":
                text += "<video>"
                continue
            tag = next((tag for tag in TAGS if tag in part["text"]), None)
            if tag is not None:
                raise InputError(f"the text holds {tag}, which these tools replace; expected none", "tag in the text")
            text += part["text"]
        messages.append({"role": message["role"], "content": text})
    return {"messages": messages, "videos": [_video(row, videos, frames)] if row["frames"] else []}


def _video(row: Row, videos: Videos, frames: Path | None) -> str | list[str]:
    path = video_file(videos.folder, row["video_path"])
    facts = look_at(path, expected_video(row), videos.check)
    if frames is not None:
        return _pictures(row, path, facts, frames)
    # a frame or two at the end may lie beyond the clip by rounding
    if row["clip_begin"] > 0 or row["clip_frames"] < facts.info.frame_count - 2:
        raise InputError(f"the clip is only a part of {path}; write its frames: frames=FOLDER", "part of a video")
    if why := _bound_to_frames(row):
        raise InputError(f"{why}; write these frames: frames=FOLDER", "bound to its frames")
    return str(path)


def _bound_to_frames(row: Row) -> str:
    """Why the text is true of the very frames only; empty where it is true of the video."""
    family, condition = FAMILIES[row["family"]], parse_task(row["task"])
    if condition is not None:
        spoken = set(condition.steps)
    elif row["task"] == CHAIN:
        spoken = set(STEPS)
    else:  # a step, and those before it
        spoken = set(range(1, 1 + STEP_NUMBERS[row["task"]]))
    if spoken and family.frame_reference == "position":
        return f"{family.name} refers to frames by their position"
    if 2 in spoken and family.coordinates == "pixels":
        return f"{family.name} has boxes in pixels of frames of {row['width']}x{row['height']}"
    return ""


def _pictures(row: Row, path: Path, facts: VideoFacts, frames: Path) -> list[str]:
    """Files of the frames shown; those that are not there are written."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("pillow", "video") from None
    from cotasks.video.reading import read_frames

    folder = frames / Path(row["video_path"]).with_suffix("") / f"{row['width']}x{row['height']}"
    files = {index: folder / f"{index:06d}.jpg" for index in row["frames"]}
    missing = [index for index, file in files.items() if not file.exists()]
    if missing:
        pixels = read_frames(path, facts.readable(missing), (row["width"], row["height"]))
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in zip(missing, pixels, strict=True):
            part = files[index].with_suffix(".part")
            Image.fromarray(image).save(part, format="jpeg", quality=JPEG_QUALITY)
            os.replace(part, files[index])
    return [str(file) for file in files.values()]
