"""The page as a folder that needs no server: it opens as a file, from any web server, and as a Space of the Hub.

    index.html page.css page.js
    data/index.js                what is listed
    data/questions/N.js          all of question N
    videos/N.mp4                 videos that browsers play, each once
    frames/N/F.jpg               of the others, the frames of the grid

Files are named by numbers, and hold names of runs and models, but no setting of a run, no path of this machine and no
key. A page that is opened as a file may read scripts alone, so data are scripts that call one function with JSON in a
string; the page's policy allows no other address than its own.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import CotasksError, stop_at_environment_fault
from cotasks.records.schema import Record
from cotasks.records.videos import Videos
from cotasks.tools.files import whole_folder, write_text, writing
from cotasks.tools.progress import progress_bar
from cotasks.view.detail import record_of
from cotasks.view.video import ending_of
from cotasks.view.viewer import Viewer, page, script, style

FRAME_SIDE = 640
"""Most pixels of a frame in an export."""
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file: data:; "
    "media-src 'self' file:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
    "trusted-types cotasks"
)
"""Where a page is no file, no browser loads `file:` addresses; as a file, its own are none that all call `'self'`."""
HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="referrer" content="no-referrer">
<meta name="cotasks-export" content="1">"""
ATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in (".mp4", ".m4v", ".mov", ".webm"))


@dataclass(frozen=True)
class Exported:
    """What was written."""

    questions: int
    videos: int
    """Copied."""
    frames: int
    """Of videos that browsers do not play."""
    without: int
    """Questions without a video or its frames."""


def export(viewer: Viewer, folder: Path, videos: bool = True, space: str | None = None) -> Exported:
    """Write the page, whole or not at all.

    Args:
        viewer: What is shown.
        folder: A new or empty one.
        videos: Copy the videos; without them, boxes are drawn on an empty canvas.
        space: Title of a Space, whose README.md is written too; None for none.

    Raises InputError where the folder holds something, or cannot be written.
    """
    with whole_folder(folder) as part:
        write_text(part / "index.html", page(HEAD))
        write_text(part / "page.css", style())
        write_text(part / "page.js", script())
        _write_data(part, "index", viewer.index)
        media = _Media(viewer, part, videos)
        with progress_bar("questions") as update:
            for number in range(len(viewer.questions)):
                _write_data(part, f"questions/{number}", media.detail(number))
                update("written", number + 1, len(viewer.questions))
        if space is not None:
            write_text(part / "README.md", _readme(space))
            write_text(part / ".gitattributes", ATTRIBUTES)
    return Exported(len(viewer.questions), len(media.copied), media.frames, media.without)


def _write_data(folder: Path, name: str, value: Any) -> None:
    """A script that hands a value to the page."""
    path = folder / "data" / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = orjson.dumps(orjson.dumps(value).decode()).decode()
    write_text(path, f"received({json.dumps(name)}, {content});\n")


class _Media:
    """The videos and frames of an export, each once."""

    def __init__(self, viewer: Viewer, folder: Path, copies: bool) -> None:
        self.viewer, self.folder, self.copies = viewer, folder, copies
        self.copied: dict[Path, str] = {}
        self.decoded: dict[tuple[Path, tuple[int, ...]], dict[str, Any]] = {}
        self.frames = self.without = 0

    def detail(self, number: int) -> dict[str, Any]:
        """The detail of a question, which says where its video and frames are."""
        detail = self.viewer.detail(number)
        row = detail["video"]
        if "note" not in row:
            row["file"] = None
            record, videos = record_of(self.viewer.opened, self.viewer.questions[number])
            if self.copies and record is not None and videos is not None:
                if row["plays"]:
                    row["file"] = self._copy(videos.file(record), ending_of(record.video_path), number)
                else:
                    row["frames"] = self._decode(record, videos, number)
        self.without += not row.get("file") and not row.get("frames")
        return detail

    def _copy(self, path: Path, ending: str, number: int) -> str:
        if path not in self.copied:
            name = f"videos/{number}{ending}"
            with writing(self.folder / name):
                (self.folder / "videos").mkdir(exist_ok=True)
                shutil.copyfile(path, self.folder / name)
            self.copied[path] = name
        return self.copied[path]

    def _decode(self, record: Record, videos: Videos, number: int) -> dict[str, Any] | None:
        """{of, numbers}: which frames there are, in the folder of question `of`."""
        key = videos.file(record), tuple(frame.index for frame in record.frames)
        if key not in self.decoded:
            place = self.folder / "frames" / str(number)
            place.mkdir(parents=True)
            try:
                for frame in key[1]:
                    data = self.viewer.frames.read(record, videos, frame, FRAME_SIDE)
                    with writing(place):
                        (place / f"{frame}.jpg").write_bytes(data)
            except CotasksError as error:
                stop_at_environment_fault(error)
                shutil.rmtree(place)
                return None
            self.frames += len(key[1])
            self.decoded[key] = {"of": number, "numbers": list(key[1])}
        return self.decoded[key]


def _readme(title: str) -> str:
    """README.md of a Space (huggingface.co/docs/hub/spaces-config-reference)."""
    head = {"title": title, "emoji": "\U0001f50e", "colorFrom": "blue", "colorTo": "green", "sdk": "static"}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    return "\n".join(
        [
            *("---", *lines, "app_file: index.html", "pinned: false", "---", ""),
            "Records and answers of a data set of video question answering, with boxes, steps and triples on the video",
            "(`cotasks view`). `hf upload ORG/NAME . --repo-type space` publishes this folder.",
            "",
        ]
    )
