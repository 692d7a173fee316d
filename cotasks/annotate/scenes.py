"""The scene of a video: its frames are read a few at a time, looked at, and what is found becomes things and relations.

Frames of several videos are read ahead in threads, never more than CHUNK_BYTES at a time in each, so that neither the
length nor the number of videos matters to the memory that is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.annotate import relations, track
from cotasks.annotate.depth import DepthModel
from cotasks.annotate.detect import Detector, Found
from cotasks.annotate.filed import Filed, Source, only
from cotasks.annotate.frames import TRACK_FPS, wanted_frames
from cotasks.annotate.track import Thing, kept_as_filed
from cotasks.annotate.words import matched, question_words
from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.ahead import Waited, ahead
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnQuestion, annotation_row, parse_annotation
from cotasks.records.timeline import NUM_FRAMES
from cotasks.video.facts import video_facts
from cotasks.video.files import video_file
from cotasks.video.packets import Image, VideoInfo
from cotasks.video.reading import read_frames

CHUNK_BYTES = 48 << 20
"""Most bytes of frames that are read at once."""
TRACKERS = ("bytetrack", "filed")


@dataclass(frozen=True)
class Looking:
    """How videos are looked at. Raises InputError for a value outside its range."""

    threshold: float = 0.3
    """Least score of a box that begins a thing."""
    low_threshold: float | None = None
    """Least score of a box that carries one on; half of `threshold` by default."""
    num_frames: int = NUM_FRAMES
    """Of a grid, as of the build to come."""
    track_fps: float = TRACK_FPS
    """Frames a second that are looked at beside the grids."""
    words: tuple[str, ...] = ()
    """Looked for in every video, beside the words of its questions; of what has labels of its own, all that is kept."""
    tracker: str = "bytetrack"
    """One of TRACKERS; `filed` takes the entities of a file of detections as they are."""
    least_boxes: int = 2
    """Things with fewer boxes that a detector found are left out."""
    return_seconds: float = 0.0
    """How long a thing may be gone and be the same when it comes back to its place; see `cotasks.annotate.track`."""

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("threshold", 0 < self.threshold <= 1, "above 0, to 1"),
            ("low_threshold", 0 < self.low <= self.threshold, f"above 0, to the threshold of {self.threshold:g}"),
            ("num_frames", self.num_frames >= 1, "1 or more"),
            ("track_fps", 0 <= self.track_fps <= 1000, "0 to 1000"),
            ("tracker", self.tracker in TRACKERS, " or ".join(TRACKERS)),
            ("return_seconds", 0 <= self.return_seconds <= 1e6, "0 or more"),
            ("least_boxes", self.least_boxes >= 1, "1 or more"),
        ):
            if not good:
                raise InputError(f"{name} {getattr(self, name)}; expected {expected}")

    @property
    def low(self) -> float:
        """`low_threshold`, or its default."""
        return self.threshold / 2 if self.low_threshold is None else self.low_threshold

    def settings(self) -> dict[str, Any]:
        """What `run.json` and each video's `detector` say of it."""
        tracked = (
            {"tracker": "filed"}
            if self.tracker == "filed"
            else {
                **track.settings(self.threshold, self.return_seconds),
                "carry_on_score": self.low,
                "fps": self.track_fps,
            }
        )
        return {"num_frames": self.num_frames, "least_boxes": self.least_boxes, **tracked}


@dataclass(frozen=True)
class Eyes:
    """What looks: a detector, or a file of detections; and a depth model."""

    detector: Detector | None
    source: Source | None
    depth: DepthModel | None = None
    """With a detector only."""

    def settings(self) -> dict[str, Any]:
        """What is kept of it with the boxes."""
        named = self.detector.settings if self.detector is not None else {"model": "detections from a file"}
        return {**named, **({} if self.depth is None else {"depth": self.depth.settings})}


@dataclass(frozen=True)
class Scene:
    """What came of a video: its annotation, or why there is none."""

    video: str
    annotation: OwnAnnotation | None
    error: BaseException | None = None


@dataclass
class _Job:
    """A video that is being looked at."""

    video: str
    path: Path
    info: VideoInfo
    words: tuple[str, ...]
    frames: tuple[int, ...]
    filed: Filed | None = None
    found: list[tuple[int, Found]] = field(default_factory=list)
    error: BaseException | None = None


@dataclass(frozen=True)
class _Chunk:
    job: _Job
    numbers: tuple[int, ...]
    last: bool


def scenes(
    videos: Iterator[str],
    folder: Path,
    questions: Mapping[str, Sequence[OwnQuestion]],
    eyes: Eyes,
    looking: Looking,
    *,
    workers: int,
    stopped: Callable[[], bool],
) -> Iterator[Scene]:
    """The scenes of videos, in their order; a fault of the machine stops all, any other error is that video's.

    Args:
        videos: paths below the folder; taken as there is room.
        folder: of the videos.
        questions: of each video.
        eyes: what looks.
        looking: how.
        workers: threads that read frames ahead.
        stopped: where it says yes, this ends after the frames in hand.
    """
    chunks = _chunks(videos, folder, questions, eyes, looking)
    read = ahead(lambda: _read, chunks, workers=workers, depth=workers + 1, waited=Waited(), stopped=stopped)
    for chunk, pixels in read:
        job = chunk.job
        if isinstance(pixels, BaseException):
            job.error = job.error or pixels
        elif pixels is not None and job.error is None:
            try:
                _look(job, chunk.numbers, pixels, eyes)
            except InputError as error:
                job.error = error
        del pixels
        if chunk.last:
            yield _finish(job, eyes, looking)


def _chunks(
    videos: Iterator[str],
    folder: Path,
    questions: Mapping[str, Sequence[OwnQuestion]],
    eyes: Eyes,
    looking: Looking,
) -> Iterator[_Chunk]:
    for video in videos:
        job = _Job(video, Path(), VideoInfo(0, 0.0, 0, 0), (), ())
        try:
            job = _begin(video, folder, questions[video], eyes, looking)
        except InputError as error:
            stop_at_environment_fault(error, video)
            job.error = error
        if job.error is not None or job.filed is not None or not job.words:
            yield _Chunk(job, (), True)
            continue
        size = max(1, CHUNK_BYTES // (3 * job.info.width * job.info.height))
        for start in range(0, len(job.frames), size):
            yield _Chunk(job, job.frames[start : start + size], start + size >= len(job.frames))


def _begin(video: str, folder: Path, questions: Sequence[OwnQuestion], eyes: Eyes, looking: Looking) -> _Job:
    """What there is to do about a video. Raises InputError where it is missing or no video, and where detections do not
    fit it."""
    path = video_file(folder, video)
    info = video_facts(path, pictures=False).info
    frames = wanted_frames(info, questions, looking.num_frames, looking.track_fps)
    if eyes.detector is not None:
        words = looking.words
        if eyes.detector.takes_words:
            words = tuple(dict.fromkeys([*question_words(questions), *looking.words]))
        return _Job(video, path, info, eyes.detector.words_of(words), frames)
    assert eyes.source is not None  # one of the two
    if not eyes.source.has(video):
        raise InputError(f"{video}: no detections of it in the file", "no detections of the video")
    filed = eyes.source.of(video, info, looking.low)
    labels = tuple(dict.fromkeys(name for _, found in filed.frames for name in found.categories))
    words = matched(looking.words, labels) if looking.words else labels
    filed = only(filed, frozenset(words) if looking.words else None)
    numbers = tuple(sorted({*frames, *(number for number, _ in filed.frames)}))
    return _Job(video, path, info, words, numbers, filed, list(filed.frames))


def _read(chunk: _Chunk) -> tuple[_Chunk, Image | BaseException | None]:
    if not chunk.numbers or chunk.job.error is not None:
        return chunk, None
    try:
        return chunk, read_frames(chunk.job.path, chunk.numbers)
    except Exception as error:
        stop_at_environment_fault(error, chunk.job.path)
        return chunk, error


def _look(job: _Job, numbers: Sequence[int], pixels: Image, eyes: Eyes) -> None:
    assert eyes.detector is not None  # frames are read for it alone
    for number, frame, found in zip(numbers, pixels, eyes.detector.detect(pixels, job.words), strict=True):
        job.found.append((number, found if eyes.depth is None else eyes.depth.nearness(frame, found)))


def _finish(job: _Job, eyes: Eyes, looking: Looking) -> Scene:
    if job.error is not None:
        return Scene(job.video, None, job.error)
    try:
        return Scene(job.video, _annotation(job, eyes, looking))
    except InputError as error:
        return Scene(job.video, None, error)


def _annotation(job: _Job, eyes: Eyes, looking: Looking) -> OwnAnnotation:
    """What was found, tracked and related; checked as if it were read."""
    if looking.tracker == "filed":
        assert job.filed is not None  # `check` saw to it
        if job.found and not job.filed.tracked:
            raise InputError(f"{job.filed.place}: a box without a track; expected one of each, or --tracker bytetrack")
        things = kept_as_filed(job.filed.frames, job.filed.ids, job.filed.place)
    else:
        things = track.track(job.found, job.info.fps, looking.threshold, looking.least_boxes, looking.return_seconds)
    _fill_to(things, job)
    kept: dict[str, Any] = {**eyes.settings(), "words": list(job.words), **looking.settings()}
    if job.filed is not None and job.filed.made_by:
        kept["made_by"] = dict(job.filed.made_by)
    kept["relations"] = relations.settings(eyes.depth is not None)
    annotation = OwnAnnotation(
        video=job.video,
        entities=tuple(OwnEntity(thing.id, thing.category) for thing in things),
        boxes=tuple(
            OwnBox(thing.id, _rounded(seen.xyxy), frame=number, generated=True, score=_score(seen.score))
            for thing in things
            for number, seen in thing.seen.items()
        ),
        relations=tuple(
            relations.spatial_relations(things, job.frames, job.info.fps, job.info.frame_count) if things else ()
        ),
        fps=job.info.fps,
        frame_count=job.info.frame_count,
        width=job.info.width,
        height=job.info.height,
        detector=kept,
    )
    return parse_annotation(annotation_row(annotation), job.video)


def _fill_to(things: Sequence[Thing], job: _Job) -> None:
    """Boxes on the frames of the grids that a file of detections leaves out."""
    if job.filed is not None:
        track.fill(things, job.frames, job.info.fps)


def _rounded(xyxy: track.Xyxy) -> track.Xyxy:
    """To a hundredth of a pixel, as the detectors tell no more, and it keeps files small."""
    x1, y1, x2, y2 = (round(value, 2) for value in xyxy)
    return x1, y1, x2, y2


def _score(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
