"""Own annotation -> the annotation of a video, or of a question's clip in it, on its grid.

A video that says no frame rate, whose header is not at hand, and which is annotated in seconds alone, has a clock of
its own: `timeline.OWN_CLOCK` frames a second. That is enough to score evidence, and refused where the video is to be
shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cotasks.errors import InputError
from cotasks.records.annotation import Evidence, VideoAnnotation
from cotasks.records.own import OwnAnnotation, OwnEvidence, OwnRelation
from cotasks.records.own_fields import REASON, Bounds, Id, fault
from cotasks.records.schema import Box, Entity, Scene, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import OWN_CLOCK, clip_frames, grid_frames, near_grid, spans_of_frames, uniform_grid

if TYPE_CHECKING:
    from cotasks.video.packets import VideoInfo


@dataclass(frozen=True)
class Clock:
    """Rate, length and size of a video, as far as they are known, and how seconds become frames."""

    fps: float
    frame_count: int | None
    width: int | None
    height: int | None

    @property
    def limits(self) -> Bounds:
        """For checks of times and boxes."""
        return Bounds(self.fps, self.frame_count, self.width, self.height)

    def frame_at(self, second: float) -> int:
        """The frame nearest to a moment; the later of two."""
        return self._within(math.floor(second * self.fps + 0.5))

    def stretch(self, relation: OwnRelation) -> tuple[int, int]:
        """[begin, end) of a relation in frames: those whose time lies in it, or the nearest one where none does."""
        if relation.frames is not None:
            return relation.frames
        assert relation.seconds is not None  # one of the two
        begin, end = (math.ceil(second * self.fps - 1e-6) for second in relation.seconds)
        if self.frame_count is not None:
            end = min(end, self.frame_count)
        if begin < end:
            return begin, end
        nearest = self.frame_at(sum(relation.seconds) / 2)
        return nearest, nearest + 1

    def _within(self, frame: int) -> int:
        return frame if self.frame_count is None else min(frame, self.frame_count - 1)


def clock_of(annotation: OwnAnnotation, header: VideoInfo | None) -> Clock:
    """What the video's header says, where it is at hand, else what the annotation states, else a clock of its own.

    Raises InputError where the two disagree on the size, where a time or a box of the annotation is outside the video,
    and where frames are numbered and no rate is known. The header's rate is for its reader to compare.
    """
    if header is not None:
        clock = Clock(header.fps, header.frame_count, header.width, header.height)
        size = (annotation.width, annotation.height)
        if annotation.width is not None and size != (header.width, header.height):
            raise InputError(
                f"{annotation.place}: width, height {size}; the video has {header.width}x{header.height}",
                "size disagrees with the video",
            )
    elif annotation.fps is not None:
        clock = Clock(annotation.fps, annotation.frame_count, annotation.width, annotation.height)
    elif (numbered := _first_numbered(annotation)) is not None:
        raise InputError(
            f"{annotation.place}: {numbered} is in frames, and no fps is given; expected it, or --videos to read it",
            "fps of the video unknown",
        )
    else:
        clock = Clock(OWN_CLOCK, None, annotation.width, annotation.height)
    for number, box in enumerate(annotation.boxes):
        clock.limits.check_moment(box.frame, box.second, f"{annotation.place}: boxes[{number}]")
        clock.limits.check_box(box.xyxy, f"{annotation.place}: boxes[{number}]")
    for number, relation in enumerate(annotation.relations):
        clock.limits.check_stretch(relation.frames, relation.seconds, f"{annotation.place}: relations[{number}]")
    return clock


def _first_numbered(annotation: OwnAnnotation) -> str | None:
    """The first box or relation that is given by frames."""
    boxes = (f"boxes[{n}]" for n, box in enumerate(annotation.boxes) if box.frame is not None)
    relations = (f"relations[{n}]" for n, relation in enumerate(annotation.relations) if relation.frames is not None)
    return next(boxes, next(relations, None))


def tids_of(annotation: OwnAnnotation) -> dict[Id, int]:
    """Id of an entity -> its tid: the id itself where all ids of the video are numbers, else its place in the list."""
    ids = [entity.id for entity in annotation.entities]
    if all(isinstance(id_, int) for id_ in ids):
        return {id_: int(id_) for id_ in ids}
    return {id_: tid for tid, id_ in enumerate(ids)}


def category_name(text: str) -> str:
    """A category as a record spells it: commas, colons and runs of blanks are one blank, since steps are written with
    commas and colons."""
    return re.sub(r"_{2,}", "_", re.sub(r"[\s,:]+", " ", text)).strip(" _") or text


def predicate_name(text: str) -> str:
    """A predicate as a record spells it: the same, with underscores for blanks as every source has them."""
    return re.sub(r"_{2,}", "_", category_name(text).replace(" ", "_"))


def on_grid(
    annotation: OwnAnnotation,
    clock: Clock,
    *,
    place: str,
    clip: tuple[float, float] | None,
    reach: float,
    num_frames: int,
    grid: Literal["snapped", "uniform"],
) -> VideoAnnotation:
    """The annotation of a video, or of a clip in it, on its grid.

    The uniform grid runs over the frames with `start <= frame / fps <= end`; `snapped` puts annotated frames on it
    (`timeline.near_grid`). A box stands at the frame it was drawn on, unmoved; of several that seconds put on one
    frame, the one whose second is nearest. Spatial relations hold at the grid's frames in their stretch, temporal ones
    over their stretch, cut to the clip. Of what lies outside the clip nothing is used, entities included.

    Args:
        annotation: the video's.
        clock: see `clock_of`.
        place: where the question stands, for messages.
        clip: (start, end) in seconds; None for the whole video.
        reach: last second that a question of the video names; the video is taken to end there, or with its last
            annotation, where its length is unknown.
        num_frames: size of the grid.
        grid: which of the two grids.

    Raises InputError where the clip is outside the video, or nothing tells how long the video is.
    """
    span = _clip(annotation, clock, place, clip, reach)
    first, last = clip_frames(span, clock.fps)
    if clock.frame_count is not None:
        last = min(last, clock.frame_count - 1)
    if first > last:
        raise InputError(f"{place}: no frame from {span.start_seconds} to {span.end_seconds} s", "empty clip")
    tids = tids_of(annotation)
    placed = [(_frame_of(box.frame, box.second, clock), box) for box in annotation.boxes]
    if any(box.second is not None for box in annotation.boxes):  # the nearest comes last, and stays
        placed.sort(key=lambda item: 0.0 if item[1].second is None else -abs(item[1].second * clock.fps - item[0]))
    boxes = {(tids[box.entity], frame): box for frame, box in placed}
    annotated = {frame for _, frame in boxes}
    keyframes = {frame for frame in annotated if first <= frame <= last}
    frames = uniform_grid(first, last, num_frames)
    if grid == "snapped":
        frames = near_grid(frames, keyframes)
    stretches = [
        (tids[r.subject], predicate_name(r.predicate), tids[r.object], *clock.stretch(r), r.spatial)
        for r in annotation.relations
    ]
    inside = [item for item in stretches if item[3] <= last and item[4] > first]
    used = {tid for tid, frame in boxes if frame in keyframes} | {tid for item in inside for tid in (item[0], item[2])}
    named = {tid for tid, _ in boxes} | {tid for item in stretches for tid in (item[0], item[2])}
    entities = tuple(
        Entity(tids[e.id], category_name(e.category))
        for e in sorted(annotation.entities, key=lambda e: tids[e.id])
        if tids[e.id] in used or tids[e.id] not in named
    )
    places = set(frames)
    by_tid: dict[int, list[Box]] = {}
    for (tid, frame), box in sorted(boxes.items(), key=lambda item: item[0]):
        if frame in places:
            by_tid.setdefault(tid, []).append(Box(frame, box.xyxy, box.generated))
    scene = Scene(
        entities,
        tuple(Track(e.tid, e.category, tuple(by_tid[e.tid])) for e in entities if e.tid in by_tid),
        tuple(_spatial([item for item in inside if item[5]], frames)),
        tuple(
            TemporalRelation(subject, predicate, target, begin, end)
            for begin, end, subject, predicate, target in sorted(
                {(max(b, first), min(e, last + 1), s, p, o) for s, p, o, b, e, spatial in inside if not spatial}
            )
        ),
    )
    return VideoAnnotation(
        fps=clock.fps,
        frame_count=clock.frame_count,
        width=clock.width,
        height=clock.height,
        clip=span,
        frames=grid_frames(frames, clock.fps),
        scene=scene,
        keyframes_left_out=len(keyframes - places),
        keyframes_outside_clip=len(annotated - keyframes),
    )


def _frame_of(frame: int | None, second: float | None, clock: Clock) -> int:
    if frame is not None:
        return frame
    assert second is not None  # one of the two
    return clock.frame_at(second)


def _clip(annotation: OwnAnnotation, clock: Clock, place: str, clip: tuple[float, float] | None, reach: float) -> Span:
    """The clip in seconds, within the video."""
    end = clock.limits.duration
    if clip is not None:
        clock.limits.check_span(clip, f"{place}: clip")
        return Span(clip[0], clip[1] if end is None else min(clip[1], end))
    if end is not None:
        return Span(0.0, end)
    latest = max([reach, *_times(annotation, clock)])
    if latest <= 0:
        raise InputError(
            f"{annotation.place}: nothing tells how long the video is; expected fps and frame_count, or --videos",
            "length of the video unknown",
        )
    return Span(0.0, latest)


def _times(annotation: OwnAnnotation, clock: Clock) -> Iterator[float]:
    """The seconds at which something is annotated."""
    yield from (_frame_of(box.frame, box.second, clock) / clock.fps for box in annotation.boxes)
    yield from ((clock.stretch(relation)[1] - 1) / clock.fps for relation in annotation.relations)


def _spatial(
    relations: Sequence[tuple[int, str, int, int, int, bool]], frames: Sequence[int]
) -> Iterator[SpatialRelation]:
    held: dict[tuple[int, str, int], set[int]] = {}
    for subject, predicate, target, begin, end, _ in relations:
        held.setdefault((subject, predicate, target), set()).update(f for f in frames if begin <= f < end)
    yield from (SpatialRelation(*triple, tuple(sorted(found))) for triple, found in sorted(held.items()) if found)


def evidence_of(
    evidence: OwnEvidence | None, tids: Mapping[Id, int], annotation: VideoAnnotation, place: str
) -> Evidence | None:
    """A question's evidence on its grid: spans within the clip, ascending, joined where they overlap.

    Where only entities are named, the spans are those of the grid's frames on which one of them has a box, or the clip.
    Raises InputError where an entity is not listed, or a span is outside the clip by more than a frame.
    """
    if evidence is None or (not evidence.spans and evidence.entities is None):
        return None
    unknown = [id_ for id_ in evidence.entities or () if id_ not in tids]
    if unknown:
        raise fault(f"{place}: evidence.entities", unknown[0], "the id of an entity of the video's annotation")
    entities = None
    if evidence.entities is not None:
        chosen = {tids[id_] for id_ in evidence.entities}
        entities = tuple(entity for entity in annotation.scene.entities if entity.tid in chosen)
    spans = _joined(evidence.spans, annotation, place)
    if not spans and entities is not None:
        spans = _seen(annotation, {entity.tid for entity in entities})
    return Evidence(spans, evidence.origin, evidence.used_answer, entities)


def _joined(spans: Sequence[tuple[float, float]], annotation: VideoAnnotation, place: str) -> tuple[Span, ...]:
    clip, grace = annotation.clip, 1 / annotation.fps
    joined: list[Span] = []
    for start, end in sorted(spans):
        if start < clip.start_seconds - grace or end > clip.end_seconds + grace:
            within = f"{clip.start_seconds:g} to {clip.end_seconds:g} s"
            raise InputError(f"{place}: evidence.spans holds {[start, end]}; expected it within {within}", REASON)
        start, end = (min(max(moment, clip.start_seconds), clip.end_seconds) for moment in (start, end))
        if joined and start <= joined[-1].end_seconds:
            start, end = joined[-1].start_seconds, max(end, joined.pop().end_seconds)
        joined.append(Span(start, end))
    return tuple(joined)


def _seen(annotation: VideoAnnotation, tids: set[int]) -> tuple[Span, ...]:
    seen = {box.frame for track in annotation.scene.entity_tracking if track.tid in tids for box in track.boxes}
    return spans_of_frames(seen, annotation.frames) or (annotation.clip,)
