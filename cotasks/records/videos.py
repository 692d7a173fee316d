"""A record's video: its file, whether it is the one that was annotated, and the size that the boxes refer to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cotasks.records.boxes import Size
from cotasks.records.schema import Record, Track
from cotasks.records.timeline import check_clock, is_on_own_clock
from cotasks.video.check import Expected, check_mode, look_at, size_at_480p
from cotasks.video.facts import VideoFacts, video_facts
from cotasks.video.files import video_file

AT_480P = ("star",)
"""Sources whose boxes, where a record has no size, refer to the video at 480p."""


@dataclass(frozen=True)
class Videos:
    """The videos of records. It can be pickled and shared by threads; what it saw of a file is kept in the process."""

    folder: Path
    """That `video_path` is relative to."""
    check: str = "fail"
    """What is done about a video that is not the annotated one, of `cotasks.video.check.MODES`."""

    def __post_init__(self) -> None:
        check_mode(self.check)

    def file(self, record: Record) -> Path:
        """The file of a record, which may be missing. Raises InputError where its path leaves the folder."""
        return video_file(self.folder, record.video_path)

    def look(self, record: Record) -> VideoFacts:
        """What the file of a record says of itself.

        Raises InputError where it is missing or no video, with `check` fail where it is not the annotated one, and
        always where the record has a clock of its own and so names no frames of the file.
        """
        if is_on_own_clock(record):
            check_clock(record, video_facts(self.file(record)).info.fps, self.file(record))
        return look_at(self.file(record), expected_video(record), self.check)

    def size(self, record: Record) -> Size:
        """(width, height) that the record's boxes refer to: its own, else by the video. Raises as `look`."""
        if record.width and record.height:
            return record.width, record.height
        info = self.look(record).info
        size, reach = (info.width, info.height), _reach(record)
        return size if reach is None else size_at_480p(size, reach) or size


def videos_of(folder: str | Path | None, check: str = "fail") -> Videos | None:
    """The videos of a folder; None without one. Raises InputError where `check` is unknown."""
    check_mode(check)
    return None if folder is None else Videos(Path(folder), check)


def expected_video(record: Record) -> Expected:
    """What a record says of its video."""
    size = (record.width, record.height) if record.width and record.height else None
    frames = tuple(frame.index for frame in record.frames)
    return Expected(record.fps, frames, record.frame_count, size, _reach(record))


def _reach(record: Record) -> tuple[float, float] | None:
    """`Expected.reach`."""
    if record.source not in AT_480P or (record.width and record.height):
        return None
    return reach_of(record.scene.entity_tracking)


def reach_of(tracks: Iterable[Track]) -> tuple[float, float]:
    """The greatest x and y of boxes; (0, 0) where there is none."""
    corners = [box.xyxy[2:] for track in tracks for box in track.boxes]
    return max((x for x, _ in corners), default=0.0), max((y for _, y in corners), default=0.0)
