"""Instruction examples as the JSON lines that other trainers read.

    write_ms_swift         {messages, videos}: ms-swift, `swift sft --dataset PATH`
    write_llama_factory    the same, and an entry of `dataset_info.json`
    write_messages         {messages}: Hugging Face chat messages, the video within the user's turn
    write_trl              {messages, images}: TRL's SFTTrainer, frames as images, as it takes no videos

Of pairs of `cotasks.training.preferences`, ms-swift's lines also hold `rejected_response`, and TRL's, for its
DPOTrainer, prompt, chosen and rejected in place of messages; the others write none.

Each line also holds `id`, the record's, and `boxes`, which says in what convention, and in pixels of what size, its
boxes are.

ms-swift and LLaMA-Factory take a `<video>` tag in the content where the video is shown. A video is its path, of which
either tool chooses frames and a size by its own settings, or a list of pictures.

- ms-swift: Custom Dataset, "Multimodal" (docs/source_en/Customization/Custom-dataset.md); a list of pictures for the
  Qwen families (swift/template/templates/qwen.py).
- LLaMA-Factory: data/README.md, "sharegpt" format; a list of pictures (src/llamafactory/data/mm_plugin.py).

So examples that speak of frames by position, or of boxes in pixels, need `frames`: a folder to write the very frames
to. What then becomes of their size:

- ms-swift and all who load by `qwen_vl_utils` leave alone what `cotasks.training.loaders.loaded_size` leaves alone.
  Examples with boxes in pixels (Qwen2.5-VL's) of another size are skipped: make them with
  `instructions(..., limits=loader_limits("qwen2_5_vl"))`.
- LLaMA-Factory shrinks all above `video_max_pixels`, which is 65,536 unless set, and boxes in pixels are then wrong:
  set it to 602,112, the greatest width x height that `cotasks.models.families.frame_size` gives by default.
- TRL hands pictures to the family's image processor, which leaves the sizes of `frame_size` alone.

Neither ms-swift nor LLaMA-Factory can be told the time of each picture, as Qwen2.5-VL and Qwen3-VL want it: they take
one rate for all videos (`FPS`, `video_fps`).
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
from cotasks.records.boxes import CoordinateFormat
from cotasks.records.videos import Videos
from cotasks.steps.table import STEP_NUMBERS, STEPS
from cotasks.tools.files import dump_json, read_json
from cotasks.training.events import Event, log_event
from cotasks.training.examples import CHAIN, expected_video, parse_task
from cotasks.training.loaders import LOADED, loaded_size
from cotasks.video.check import look_at
from cotasks.video.facts import VideoFacts
from cotasks.video.files import video_file

TAGS = ("<video>", "<image>", "<audio>", "<bbox>", "<ref-object>")
"""What either tool replaces by something else, wherever it stands."""
JPEG_QUALITY = 95

Row = Mapping[str, Any]
Media = str | list[str]
"""A video: its path, or those of its frames."""
Shape = Callable[[Row, Media | None], dict[str, Any]]
"""(example, its video where it shows one) -> what a line says of it."""


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
        frames: folder to write the frames shown to, as JPEG files in the size that boxes refer to; each once. An
            example whose boxes are in pixels of a size that the loader would change is skipped, see the head of this
            module.
        video_check: what is done about a video that is not the annotated one: `fail`, so that its examples are skipped,
            `warn`, or `off`; see `cotasks.video.check`.
        report: called with what is skipped, see `cotasks.training.events.Event`: a video that is missing, say.

    Returns:
        How many examples were written.

    Raises InputError where none was, and MissingExtra where `frames` is given and PyAV or Pillow is not installed.
    """
    at = Videos(Path(videos).resolve(), video_check)
    pictures = Path(frames).resolve() if frames is not None else None
    return _write(rows, Path(path), at, pictures, report, _tagged, by_qwen_loader=True)


def write_messages(
    rows: Iterable[Row],
    path: str | Path,
    videos: str | Path,
    *,
    frames: str | Path | None = None,
    video_check: str = "fail",
    report: Callable[[Event], None] = log_event,
) -> int:
    """Write examples as chat messages for `processor.apply_chat_template` or `qwen_vl_utils.process_vision_info`; see
    `write_ms_swift`. The video is a part `{"type": "video", "video": PATH, or the list of its frames' paths}`; each
    part has the keys type, video and text, null where they say nothing, so that `datasets` reads the file."""
    at = Videos(Path(videos).resolve(), video_check)
    pictures = Path(frames).resolve() if frames is not None else None
    return _write(rows, Path(path), at, pictures, report, _parts, by_qwen_loader=True)


def write_trl(
    rows: Iterable[Row],
    path: str | Path,
    videos: str | Path,
    *,
    frames: str | Path,
    video_check: str = "fail",
    report: Callable[[Event], None] = log_event,
) -> int:
    """Write examples for TRL's SFTTrainer: {messages, images}, a placeholder `{"type": "image"}` for each frame, and
    before it what the text calls the frame; see `write_ms_swift`.

        rows = load_dataset("json", data_files=PATH, split="train").cast_column("images", List(Image()))
    """
    at = Videos(Path(videos).resolve(), video_check)
    return _write(rows, Path(path), at, Path(frames).resolve(), report, _images)


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
    written = _write(rows, folder / f"{name}.jsonl", at, pictures, report, _single)
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
    rows: Iterable[Row],
    path: Path,
    videos: Videos,
    frames: Path | None,
    report: Callable[[Event], None],
    shape: Shape,
    by_qwen_loader: bool = False,
) -> int:
    if not videos.folder.is_dir():
        raise InputError(f"{videos.folder}: no such folder; expected the folder of the videos")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    written, last = 0, "no example was given"
    with _whole(part, path) as file:
        for row in rows:
            try:
                if by_qwen_loader and frames is not None:
                    _check_size(row)
                shown = _video(row, videos, frames) if row["frames"] else None
                line = {"id": row["id"], **shape(row, shown), "boxes": boxes_of(row)}
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


def boxes_of(row: Row) -> str:
    """In what convention the boxes of an example are: `[x1, y1, x2, y2] in pixels of a frame 644 wide and 364 high`."""
    form = CoordinateFormat(FAMILIES[row["family"]].coordinates, (row["width"], row["height"]))
    return f"[x1, y1, x2, y2] {form.words}"


def _tagged(row: Row, shown: Media | None) -> dict[str, Any]:
    """Content as text, with a tag for the video."""
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
    rejected = {"rejected_response": row["rejected"]} if "rejected" in row else {}
    return {"messages": messages, **rejected, "videos": [] if shown is None else [shown]}


def _single(row: Row, shown: Media | None) -> dict[str, Any]:
    """The same, of one answer."""
    if "rejected" in row:
        raise InputError("a pair of texts; expected an example of one answer", "a pair of texts")
    return _tagged(row, shown)


def _parts(row: Row, shown: Media | None) -> dict[str, Any]:
    """Content as parts, the video's with its path or its frames'."""
    if "rejected" in row:
        raise InputError("a pair of texts; expected an example of one answer", "a pair of texts")
    return {
        "messages": [
            {
                "role": message["role"],
                "content": [
                    {"type": part["type"], "video": shown if part["type"] == "video" else None, "text": part["text"]}
                    for part in message["content"]
                ],
            }
            for message in row["messages"]
        ]
    }


def _images(row: Row, shown: Media | None) -> dict[str, Any]:
    """Content as parts, a placeholder for each frame."""
    images = shown if isinstance(shown, list) else []
    messages = picture_messages(row)
    if "rejected" not in row:
        return {"messages": messages, "images": images}
    worse = [{"role": "assistant", "content": [{"type": "text", "text": row["rejected"]}]}]
    return {"prompt": messages[:-1], "chosen": messages[-1:], "rejected": worse, "images": images}


def picture_messages(row: Row, named: bool = True) -> list[dict[str, Any]]:
    """The messages of an example with a placeholder `{"type": "image"}` for each frame where its video was.

    A model is told the time of a video's frames, and of pictures nothing: with `named`, what the text calls a frame
    stands before it, as `cotasks generate` writes it for servers that take pictures.
    """
    pictures: list[dict[str, Any]] = []
    for name in row["frame_names"]:
        pictures += [{"type": "text", "text": f"{name}: "}] if named else []
        pictures.append({"type": "image", "text": None})
    messages = []
    for message in row["messages"]:
        content: list[dict[str, Any]] = []
        for part in message["content"]:
            content += [dict(picture) for picture in pictures] if part["type"] == "video" else [dict(part)]
        messages.append({"role": message["role"], "content": content})
    return messages


def _check_size(row: Row) -> None:
    """Raises InputError where the boxes of an example are in pixels of a size that `qwen_vl_utils` changes."""
    family, size = FAMILIES[row["family"]], (row["width"], row["height"])
    if not row["frames"] or family.name not in LOADED or family.coordinates != "pixels" or 2 not in _spoken(row):
        return
    loaded = loaded_size(size, len(row["frames"]), family.limits.multiple)
    if loaded != size:
        raise InputError(
            f"boxes in pixels of frames of {size[0]}x{size[1]}, which the loader makes {loaded[0]}x{loaded[1]}; make "
            f'the examples with limits=loader_limits("{family.name}") of cotasks.training.loaders',
            "resized by the loader",
        )


def _spoken(row: Row) -> set[int]:
    """The steps that the text of an example speaks of."""
    condition = parse_task(row["task"])
    if condition is not None:
        return set(condition.steps)
    return set(STEPS) if row["task"] == CHAIN else set(range(1, 1 + STEP_NUMBERS[row["task"]]))


def _video(row: Row, videos: Videos, frames: Path | None) -> Media:
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
    family, spoken = FAMILIES[row["family"]], _spoken(row)
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
