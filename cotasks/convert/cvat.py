"""CVAT for video 1.1: XML with tracks of boxes, one element a frame (0-based). Boxes that CVAT wrote between those that
people drew (`keyframe="0"`) are `generated`; those `outside` are none. Other shapes are left out, and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

from cotasks.convert.building import Converted, Draft, Told, number_of, told_or, whole_of
from cotasks.errors import InputError

VIDEO = re.compile(r"\.[A-Za-z0-9]{2,4}$")


def read(path: Path, told: Told) -> Converted:
    """The one video of an export. Raises InputError that names the file, the line and what was expected: for what is no
    XML, declares entities, is an export of images, or of a project."""
    reader = _Reader(path, told)
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: reader.start(name, attributes, parser.CurrentLineNumber)
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(path.read_bytes(), True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "missing file") from None
    except expat.ExpatError as error:
        raise InputError(f"{path}:{error.lineno}: not XML: {expat.errors.messages[error.code]}") from None
    return reader.finish()


class _Reader:
    """The elements of a file as they come."""

    def __init__(self, path: Path, told: Told) -> None:
        self.path, self.told, self.found = path, told, Converted()
        self.draft = told_or(told, Draft("", None, None, None, None, str(path), self.found.left_out))
        self.stack: list[str] = []
        self.meta: dict[str, str] = {}
        self.track: tuple[int, str] | None = None

    def refuse_doctype(self, *_: object) -> None:
        raise InputError(f"{self.path}: it declares a document type; expected XML as CVAT writes it, without entities")

    def start(self, name: str, attributes: Mapping[str, str], line: int) -> None:
        place = f"{self.path}:{line}: {name}"
        if not self.stack and name != "annotations":
            raise InputError(f"{place}; expected annotations, as CVAT for video 1.1 writes them")
        if name in ("image", "project") and len(self.stack) < 3:
            raise InputError(f"{place}; expected the export of one task or job as CVAT for video 1.1")
        if name == "track":
            self._size()
            self.track = whole_of(attributes.get("id"), f"{place}: id"), attributes.get("label", "").strip()
            if not self.track[1]:
                raise InputError(f"{place}: label is missing; expected it")
        elif self.track is not None and self.stack[-1] == "track":
            if name == "box":
                self._box(attributes, place, *self.track)
            else:
                self.found.left_out[f"shapes other than boxes ({name})"] += 1
        self.stack.append(name)

    def _box(self, attributes: Mapping[str, str], place: str, entity: int, category: str) -> None:
        if attributes.get("outside") == "1":
            return
        corners = [number_of(attributes.get(key), float, f"{place}: {key}") for key in ("xtl", "ytl", "xbr", "ybr")]
        x1, y1, x2, y2 = corners
        frame = whole_of(attributes.get("frame"), f"{place}: frame")
        self.draft.add(entity, category, frame, (x1, y1, x2, y2), generated=attributes.get("keyframe") == "0")

    def end(self, name: str) -> None:
        self.stack.pop()
        if name == "track":
            self.track = None

    def text(self, text: str) -> None:
        if self.stack[1:2] == ["meta"]:
            key = "/".join(self.stack[-2:])
            self.meta[key] = self.meta.get(key, "") + text

    def _said(self, *keys: str) -> str:
        return next((self.meta[key].strip() for key in keys if self.meta.get(key, "").strip()), "")

    def _size(self) -> None:
        if self.draft.width is None and (width := self._said("original_size/width")):
            self.draft.width = whole_of(width, f"{self.path}: original_size.width")
            self.draft.height = whole_of(self._said("original_size/height"), f"{self.path}: original_size.height")

    def finish(self) -> Converted:
        self._size()
        name = self._said("meta/source", "task/source", "job/source", "task/name")
        if not self.draft.video and not VIDEO.search(name):
            raise InputError(f"{self.path}: its source is {name!r}; expected a video file, or --video")
        self.draft.video = self.draft.video or Path(name.replace("\\", "/")).name
        # the task's length is the video's only where no frame was passed over
        is_whole = self._said("task/start_frame", "job/start_frame") in ("", "0")
        is_whole = is_whole and not self._said("task/frame_filter", "job/frame_filter")
        if self.draft.frame_count is None and is_whole and (size := self._said("task/size", "job/size")):
            self.draft.frame_count = whole_of(size, f"{self.path}: size")
        self.found.videos.append(self.draft.finish("CVAT for video"))
        return self.found
