"""Reads the frames that a judge is shown, see `judge.llm.sight`."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.sight import LONGEST_SIDE, MOST_FRAMES, WHAT, Sight
from cotasks.look.frames import even_choice, read_jpegs
from cotasks.records.dataset import Records
from cotasks.records.schema import Frame, Record
from cotasks.records.videos import Videos
from cotasks.runs.records import records_of
from cotasks.runs.run import Row, Run
from cotasks.video.check import MODES

KEPT = 64
"""Records whose frames are kept in memory: answers to one question are asked about one after the other."""


class Eyes:
    """The frames of a run's records, read when they are asked for. Threads may share it."""

    def __init__(self, run: Run, what: str, dataset: str | None, videos: Path | None, video_check: str | None) -> None:
        """
        Args:
            run: The run.
            what: Of `WHAT`.
            dataset: The records; None for what `run.json` names.
            videos: Their folder; None for what `run.json` names, or the sample's own.
            video_check: Of `cotasks.video.check.MODES`; None for what `run.json` says.

        Raises InputError where there is no such thing to show, or the records or their folder are not there.
        """
        if what not in WHAT:
            raise InputError(f"judge sees {shorten(what)}; expected {', '.join(WHAT)}")
        self._records: Records = records_of(run.settings, dataset)
        folder = self._records.video_folder(videos or run.settings["dataset"].get("videos"))
        if folder is None or not folder.is_dir():
            raise InputError(f"{folder or 'videos'}: no such folder; expected the folder of the videos")
        said = run.settings.get("video_check")
        self._videos = Videos(folder, video_check or (said if said in MODES else "fail"))
        self._places = {id_: place for place, id_ in enumerate(self._records.ids)}
        asked = [id_ for id_, row in run.questions.items() if id_ in self._places and not row["choices"]]
        wanted = set(asked)
        frames = {
            record.id: tuple(frame.index for frame in _evidence(record))
            for record in self._records
            if record.id in wanted
        }
        shown = {id_: frames[id_] for id_ in asked}
        self.sight = Sight(what, self._records.fingerprint, MOST_FRAMES, LONGEST_SIDE, shown)
        self._images = lru_cache(KEPT)(self._read)

    def _read(self, id_: str) -> list[Row]:
        if id_ not in self._places:
            raise InputError(f"{id_}: no such record; expected one of {self._records.dataset}", "no record")
        record = self._records.at(self._places[id_])
        images = read_jpegs(record, self._videos, _evidence(record), LONGEST_SIDE)
        addresses = ("data:image/jpeg;base64," + base64.b64encode(image).decode("ascii") for image in images)
        return [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in addresses]

    def show(self, request: Row, id_: str) -> Row:
        """A request with the frames of a record before the user's text.

        Raises CotasksError where there is no such record, or its video cannot be read or is not the annotated one.
        """
        system, user = request["messages"]
        content = [*self._images(id_), {"type": "text", "text": user["content"]}]
        return {**request, "messages": [system, {**user, "content": content}]}


def _evidence(record: Record) -> list[Frame]:
    """The frames that step 1 marks, or of many an even choice; ascending."""
    marked = set(record.frame_localization.frames)
    return even_choice([frame for frame in record.frames if frame.index in marked], MOST_FRAMES)
