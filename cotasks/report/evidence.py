"""What an answer was an answer to: the prompt as sent, and the frames with their boxes, rebuilt from the records.

A run folder holds answers and questions, not prompts or videos. Where the records are at hand, and are the very ones
that the run asked (their fingerprint says), prompts are built again by the code that built them then, and some frames
of each question are read from its video.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotasks.errors import CotasksError, InputError
from cotasks.generate.settings import conditions_of
from cotasks.look.frames import choose_frames, pillow
from cotasks.models.families import Family, Limits
from cotasks.prompts.condition import Condition
from cotasks.records.schema import Frame, Record
from cotasks.records.videos import Videos
from cotasks.report.rebuild import (
    jpeg_address,
    prompt_text,
    rebuild_prompt,
    record_size,
    scene_of,
)
from cotasks.report.summary import Row, Scored
from cotasks.runs.predictions import PredictionsFolder, load_predictions
from cotasks.runs.records import Loaded, named_records, says_which
from cotasks.tools.progress import progress_bar
from cotasks.video.check import MODES

if TYPE_CHECKING:
    from cotasks.records.dataset import Records

MAX_IMAGE_BYTES = 32_000_000
"""Of the frames in one page, as they stand in it."""
MAX_TEXT_BYTES = 32_000_000
"""Of the prompts and boxes in one page."""
PANELS = 6
"""Frames shown of a question."""
PANEL_WIDTH = 320
"""Most pixels across a frame."""

Place = tuple[int, str, str]
"""(number of the run, condition, record id)"""


@dataclass(frozen=True)
class Sources:
    """Where to look for records and videos; see `cotasks.report.write_report`."""

    dataset: str | None = None
    videos: Path | None = None
    video_check: str | None = None
    """None for what each `run.json` says."""
    frames: bool = True
    max_image_bytes: int = MAX_IMAGE_BYTES
    loaded: Loaded = field(default_factory=dict)
    """Records that were loaded already."""


@dataclass
class Panels:
    """What could be found."""

    texts: list[str] = field(default_factory=list)
    """Prompts, each once."""
    prompts: dict[Place, int] = field(default_factory=dict)
    """Which of the texts was sent."""
    scenes: list[Row] = field(default_factory=list)
    """As `rebuild.scene_of` gives them."""
    scene_of: dict[tuple[int, str], int] = field(default_factory=dict)
    """(number of the run, record id) -> which of the scenes belongs to it."""
    images: list[str] = field(default_factory=list)
    """Frames as `data:` addresses, each once."""
    notes: list[str] = field(default_factory=list)
    """What is missing, and why."""


def collect(scored: Sequence[Scored], sources: Sources, first: Sequence[set[str]]) -> Panels:
    """Prompts, boxes and frames of all questions of all runs, as far as they are at hand and have room.

    Args:
        scored: The runs.
        sources: Where to look, and how much room there is for frames.
        first: For each run, the ids of the records that come first where there is no room for all.

    Raises InputError where records or videos are not at the place given for them; what `run.json` names may be gone.
    """
    if sources.videos is not None and not sources.videos.is_dir():
        raise InputError(f"{sources.videos}: no such folder; expected the folder of the videos")
    found = Panels()
    asked: dict[int, list[_Asked]] = {}
    for number, one in enumerate(scored):
        dataset: Any = one.run.settings.get("dataset")
        if not says_which(dataset):
            found.notes.append(f"{one.name}: no prompts and no frames: run.json does not say which records it asked.")
            continue
        try:
            records = named_records(dataset, sources.dataset, sources.loaded)
        except InputError as error:
            if sources.dataset is not None:
                raise
            found.notes.append(f"{one.name}: no prompts and no frames: {error}.")
            continue
        if records.fingerprint != dataset["fingerprint"]:
            what = f"the records of {records.dataset} are not those that the run asked (other fingerprint)"
            found.notes.append(f"{one.name}: no prompts and no frames: {what}.")
            continue
        try:
            conditions = conditions_of(one.run.settings)
        except InputError as error:
            found.notes.append(f"{one.name}: no prompts: {error}.")
            conditions = {}
        rows = {(id_, condition): row for (id_, condition, _), row in one.run.generations.items()}
        videos = _videos(records, one.run.settings, sources)
        predictions = _predictions(found, one, records, conditions)
        run = _Asked(number, one.name, set(one.run.questions), rows, conditions, videos, first[number], predictions)
        asked.setdefault(id(records), []).append(run)
    collector = _Collector(found, sources)
    for records in sources.loaded.values():
        collector.add(records, asked.get(id(records), []))
    return found


@dataclass(frozen=True)
class _Asked:
    """A run whose records are at hand."""

    number: int
    name: str
    questions: set[str]
    rows: Mapping[tuple[str, str], Row]
    """{(record id, condition): a row of its answers}"""
    conditions: Mapping[str, tuple[Condition, Family, Limits]]
    videos: Videos | None
    first: set[str]
    """Ids of the records that come first where there is no room for all."""
    predictions: PredictionsFolder | None


def _videos(records: Records, settings: Row, sources: Sources) -> Videos | None:
    """The videos: in the folder given, the one that `run.json` names, or the sample's own; checked as the run did."""
    folder = records.video_folder(sources.videos or settings["dataset"].get("videos"))
    said = settings.get("video_check")
    check = sources.video_check or (said if said in MODES else "fail")
    return Videos(folder, check) if folder is not None and folder.is_dir() else None


def _predictions(
    found: Panels, one: Scored, records: Records, conditions: Mapping[str, tuple[Condition, Family, Limits]]
) -> PredictionsFolder | None:
    """The predictions that the run told, where they are at hand and still the same; else a note says why not."""
    told = one.run.settings.get("predictions")
    if not isinstance(told, dict) or not {"folder", "fingerprint"} <= told.keys():
        return None
    try:
        predictions = load_predictions(told["folder"], records, [condition for condition, _, _ in conditions.values()])
    except InputError as error:
        found.notes.append(f"{one.name}: no prompts with predicted steps: {error}.")
        return None
    if predictions.fingerprint != told["fingerprint"]:
        what = f"{predictions.folder} holds other predictions than those that the run told (other fingerprint)"
        found.notes.append(f"{one.name}: no prompts with predicted steps: {what}.")
        return None
    return predictions


def _size(record: Record, videos: Videos | None) -> tuple[int, int]:
    """(width, height) that the record's boxes refer to; (0, 0) where nothing says."""
    try:
        return record_size(record) if videos is None or record.width else videos.size(record)
    except CotasksError:
        return 0, 0


class _Collector:
    """Fills `Panels` and minds its size."""

    def __init__(self, found: Panels, sources: Sources) -> None:
        self.found, self.sources = found, sources
        self.text_numbers: dict[str, int] = {}
        self.image_numbers: dict[tuple[Path, int], int] = {}
        self.text_bytes = self.image_bytes = 0

    def add(self, records: Records, asked: Sequence[_Asked]) -> None:
        """The evidence of all runs over the same records."""
        if not asked:
            return
        counts = {run.number: Counter[str]() for run in asked}
        questions = set[str]().union(*(run.questions for run in asked))
        first = set[str]().union(*(run.first for run in asked))
        wanted = [i for i, id_ in enumerate(records.ids) if id_ in questions]
        wanted.sort(key=lambda i: records.ids[i] not in first)
        videos = next((run.videos for run in asked if run.videos is not None), None)
        done = 0
        with progress_bar("questions") as update:
            for _, group in groupby(wanted, key=records.video_ids.__getitem__):
                together = records.read(list(group))
                for record in together:
                    for run in asked:
                        self._prompts(run, record, counts[run.number])
                self._scenes(asked, together, videos, counts)
                done += len(together)
                update("page", done, len(wanted))
        for run in asked:
            here = counts[run.number]
            here["questions without a record"] = len(run.questions) - len(run.questions & set(records.ids))
            self._note(run.name, len(run.questions), here, videos)

    def _note(self, name: str, questions: int, counts: Counter[str], videos: Videos | None) -> None:
        notes = self.found.notes
        if not self.sources.frames:
            notes.append(f"{name}: frames are left out, as asked; boxes are drawn on blank frames.")
        elif videos is None:
            notes.append(f"{name}: the videos are not at hand; boxes are drawn on blank frames.")
        full = counts.pop("frames: no room", 0)
        if full:
            size = f"{self.sources.max_image_bytes / 1e6:g} MB"
            notes.append(
                f"{name}: frames of {questions - full} of {questions} questions fit into {size}; those whose score "
                "differs from the baseline's come first. The others have boxes on blank frames."
            )
        notes += [f"{name}: {what}: {count}." for what, count in counts.items() if count]

    def _prompts(self, run: _Asked, record: Record, counts: Counter[str]) -> None:
        """The prompts of a record under each condition that has an answer; all its samples had the same."""
        for name, (condition, family, limits) in run.conditions.items():
            row = run.rows.get((record.id, name))
            if row is None:
                continue
            try:
                cut = row.get("cut_items") or 0
                text = prompt_text(rebuild_prompt(record, condition, family, limits, run.videos, cut, run.predictions))
            except CotasksError as error:  # also where PyAV is missing: the page goes without
                counts[f"prompts not rebuilt ({error.reason})"] += 1
                continue
            if text not in self.text_numbers:
                size = len(text.encode())
                if self.text_bytes + size > MAX_TEXT_BYTES:
                    counts[f"prompts without room in {MAX_TEXT_BYTES / 1e6:g} MB"] += 1
                    continue
                self.text_bytes += size
                self.text_numbers[text] = len(self.found.texts)
                self.found.texts.append(text)
            self.found.prompts[run.number, name, record.id] = self.text_numbers[text]

    def _scenes(
        self, asked: Sequence[_Asked], records: Sequence[Record], videos: Videos | None, counts: dict[int, Counter[str]]
    ) -> None:
        """The frames to show of a video's records, with their boxes, and their pictures where there is room."""
        chosen = [choose_frames(record, PANELS) for record in records]
        shows = videos if self.sources.frames and self.image_bytes < self.sources.max_image_bytes else None
        faults, paths, pixels = self._decode(shows, records, chosen)
        for record, frames, fault in zip(records, chosen, faults, strict=True):
            images = dict.fromkeys((frame.index for frame in frames), -1)
            what = fault
            if self.text_bytes > MAX_TEXT_BYTES:
                what = f"boxes without room in {MAX_TEXT_BYTES / 1e6:g} MB"
            elif videos is not None and self.sources.frames and not fault:
                path = paths.get(record.id)
                what = "" if path is not None and self._embed(path, pixels, images) else "frames: no room"
            here = [run for run in asked if record.id in run.questions]
            for run in here:
                counts[run.number][what] += bool(what)
            if self.text_bytes > MAX_TEXT_BYTES:
                continue
            scene = scene_of(record, frames, images, _size(record, videos))
            self.text_bytes += 40 + 30 * sum(len(panel["boxes"]) for panel in scene["panels"])
            self.found.scene_of.update({(run.number, record.id): len(self.found.scenes) for run in here})
            self.found.scenes.append(scene)

    def _decode(
        self, videos: Videos | None, records: Sequence[Record], chosen: Sequence[Sequence[Frame]]
    ) -> tuple[list[str], dict[str, Path], dict[int, Any]]:
        """(what is wrong with each record's video, {record id: its file}, {frame: pixels} of frames that are not
        embedded yet); the records are of one video, those without fault show it."""
        faults, paths = [""] * len(records), dict[str, Path]()
        if videos is None:
            return faults, paths, {}
        from cotasks.video.reading import read_frames

        wanted: dict[int, int] = {}
        facts = None
        for place, (record, frames) in enumerate(zip(records, chosen, strict=True)):
            try:
                pillow()
                facts = videos.look(record)
            except CotasksError as error:
                faults[place] = f"questions whose frames cannot be read ({error.reason})"
                continue
            paths[record.id] = path = videos.file(record)
            numbers = [frame.index for frame in frames if (path, frame.index) not in self.image_numbers]
            wanted.update(zip(numbers, facts.readable(numbers), strict=True))
        if facts is None:
            return faults, paths, {}
        width, height = facts.info.width, facts.info.height
        panel = min(PANEL_WIDTH, width)
        try:
            numbers = [wanted[frame] for frame in sorted(wanted)]
            images = read_frames(path, numbers, (panel, max(1, round(panel * height / width))))
        except CotasksError as error:
            fault = f"questions whose frames cannot be read ({error.reason})"
            return [old or fault for old in faults], {}, {}
        return faults, paths, dict(zip(sorted(wanted), images, strict=True))

    def _embed(self, path: Path, pixels: Mapping[int, Any], images: dict[int, int]) -> bool:
        """Put the positions of the frames' pictures into `images`; False where there is no room for all of them."""
        added = {i: jpeg_address(pixels[i]) for i in images if (path, i) not in self.image_numbers and i in pixels}
        size = sum(map(len, added.values()))
        if self.image_bytes + size > self.sources.max_image_bytes or any(
            (path, i) not in self.image_numbers and i not in added for i in images
        ):
            return False
        self.image_bytes += size
        for index, address in added.items():
            self.image_numbers[path, index] = len(self.found.images)
            self.found.images.append(address)
        images.update({index: self.image_numbers[path, index] for index in images})
        return True
