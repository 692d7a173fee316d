"""What has been found so far: files of JSON lines that several processes append to, read back line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError
from cotasks.records.own import OwnAnnotation, parse_annotation


class Kept:
    """The lines of some files by the `video` that each names; the first of a video counts. Where the lines stand is
    kept, not what they say. A last line without its newline is torn, and ignored."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._places: dict[str, tuple[Path, int, int]] = {}
        for path in paths:
            if path.suffix == ".gz":
                raise InputError(f"{path}: packed; expected a plain .jsonl file")
            offset = 0
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        break
                    self._places.setdefault(_video(line, f"{path}:{number}"), (path, offset, len(line)))
                    offset += len(line)

    def __contains__(self, video: str) -> bool:
        return video in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def row(self, video: str) -> dict[str, Any]:
        """The line of a video."""
        path, offset, length = self._places[video]
        with path.open("rb") as file:
            file.seek(offset)
            row: dict[str, Any] = orjson.loads(file.read(length))
        return row

    def annotation(self, video: str) -> OwnAnnotation:
        """The line of a video, of a folder of annotation."""
        return parse_annotation(self.row(video), video)


def kept_in(folder: Path) -> Kept:
    """The lines of a folder's `*.jsonl` files."""
    return Kept(sorted(folder.glob("*.jsonl")))


def _video(line: bytes, place: str) -> str:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("video"), str):
        raise InputError(f"{place}: no line of a video; expected what `cotasks annotate` writes")
    return str(row["video"])
