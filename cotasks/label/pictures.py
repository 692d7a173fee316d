"""Frames beside an answer: those of its record's grid, the same whatever the condition showed."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

from cotasks.errors import CotasksError, InputError
from cotasks.look.frames import choose_frames, read_jpegs
from cotasks.records.dataset import Records
from cotasks.records.videos import Videos
from cotasks.runs.records import records_of
from cotasks.runs.run import Run

FRAMES = 12
"""Frames shown of a question."""
LONGEST_SIDE = 640
"""Most pixels of a frame."""
KEPT = 64
"""Questions whose frames are kept in memory."""


class Pictures:
    """The frames of a run's questions, read when they are asked for. Threads may share it."""

    def __init__(self, records: Records, videos: Videos) -> None:
        self._records, self._videos = records, videos
        self.of = lru_cache(KEPT)(self._of)

    def _of(self, id_: str) -> list[dict[str, Any]]:
        """[{seconds, image (a `data:` address)}] of a record.

        Raises CotasksError where there is no such record, or its video cannot be read.
        """
        record = self._records.by_id(id_)
        frames = choose_frames(record, FRAMES)
        images = read_jpegs(record, self._videos, frames, LONGEST_SIDE)
        start = record.clip.start_seconds
        return [
            {
                "seconds": round(frame.seconds - start, 1),
                "image": "data:image/jpeg;base64," + base64.b64encode(image).decode("ascii"),
            }
            for frame, image in zip(frames, images, strict=True)
        ]

    def answer(self, id_: str) -> dict[str, Any]:
        """`{frames}`, or `{missing}` with the reason."""
        try:
            return {"frames": self.of(id_)}
        except CotasksError as error:
            return {"missing": error.reason}


def pictures_of(run: Run, dataset: str | None, videos: Path | None, video_check: str) -> Pictures:
    """The frames of a run's questions.

    Args:
        run: The run.
        dataset: The records; None for what `run.json` names.
        videos: Their folder; None for what `run.json` names, or the sample's own.
        video_check: of `cotasks.video.check.MODES`.

    Raises InputError where the records or the folder are not there.
    """
    records = records_of(run.settings, dataset)
    folder = records.video_folder(videos or run.settings["dataset"].get("videos"))
    if folder is None or not folder.is_dir():
        raise InputError(f"{folder or 'videos'}: no such folder; expected the folder of the videos")
    return Pictures(records, Videos(folder, video_check))
