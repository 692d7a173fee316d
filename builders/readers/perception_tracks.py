"""Perception Test's object tracks and action segments of a video -> own annotation, with what was left out.

`object_tracking`: [{id, label, bounding_boxes [n][x1, y1, x2, y2] as fractions of width and height, frame_ids [n]
(about one a second), timestamps [n], initial_tracking_box [n], is_masked [n], is_occluder}]. A box with `is_masked` is
that of a thing that cannot be seen, under a cup in a cups game: it tells what the question asks, so it is left out and
counted.

`action_localisation`: [{id, label, parent_objects [track ids], frame_ids [start, end), timestamps, label_id}]. Who acts
is not annotated. A segment is a relation that runs over time, its predicate the label: from the first of
`parent_objects` to each of the others, or, where it is the only one, to itself. One without objects, or with -1, an
object that is not annotated, is left out and counted.

Frames are 0-based positions in the file. `timestamps` are microseconds, and say what the frames say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cotasks.builders.readers.checks import Odd, counted_as, expect_list, expect_object, is_number, is_whole
from cotasks.builders.readers.own_scene import Clock
from cotasks.errors import InputError, shorten
from cotasks.records import own_fields as check
from cotasks.records.own import OwnAnnotation, OwnBox, OwnEntity, OwnRelation

__all__ = ["Clock", "annotation_of"]

NOT_ANNOTATED = -1
"""In `parent_objects`: an object that has no track."""
FAULT = "malformed annotation"


def annotation_of(raw: Mapping[str, Any], path: str, place: str, *, strict: bool) -> tuple[OwnAnnotation, Clock, Odd]:
    """The annotation of a whole video, its clock, and what was left out of it.

    Args:
        raw: its entry.
        path: of the video file, below the video folder.
        place: `file: video`, for messages.
        strict: refuse the video for one odd box or action.

    Raises InputError for what is wrong with the whole video, and with one whose boxes are mostly odd.
    """
    clock, odd = _clock(raw.get("metadata"), f"{place}: metadata"), Odd(strict)
    entities: dict[int, OwnEntity] = {}
    boxes: list[OwnBox] = []
    for number, item in enumerate(expect_list(raw.get("object_tracking"), f"{place}: object_tracking", FAULT)):
        where = f"{place}: object_tracking[{number}]"
        track = expect_object(item, where, FAULT)
        with counted_as(FAULT):
            tid, label = check.whole(track.get("id"), f"{where}: id"), check.name(track.get("label"), f"{where}: label")
        if tid in entities:
            raise InputError(f"{where}: id is {tid}; expected each id once", "two objects with one id")
        entities[tid] = OwnEntity(tid, label)
        try:
            boxes += _boxes(tid, track, clock, f"{place}: track {tid}", odd)
        except InputError as error:
            odd.note(error)
    odd.refuse_many(len(boxes))
    relations: list[OwnRelation] = []
    actions = expect_list(raw.get("action_localisation") or [], f"{place}: action_localisation", FAULT)
    for number, item in enumerate(actions):
        try:
            relations += _action(item, clock, entities, f"{place}: action_localisation[{number}]", odd)
        except InputError as error:
            odd.note(error)
    return OwnAnnotation(path, tuple(entities.values()), tuple(boxes), tuple(relations)), clock, odd


def _clock(metadata: object, place: str) -> Clock:
    fields = expect_object(metadata, place, FAULT)
    size = expect_list(fields.get("resolution"), f"{place}: resolution", FAULT)
    if len(size) != 2:
        raise InputError(f"{place}: resolution is {shorten(size)}; expected [height, width]", FAULT)
    with counted_as(FAULT):
        fps = check.positive(fields.get("frame_rate"), f"{place}: frame_rate")
        frame_count = check.count(fields.get("num_frames"), f"{place}: num_frames")
        height, width = (check.count(value, f"{place}: resolution") for value in size)
    return Clock(fps, frame_count, width, height)


def _boxes(tid: int, track: Mapping[str, Any], clock: Clock, place: str, odd: Odd) -> list[OwnBox]:
    """The sound boxes of a track that can be seen; of two different ones in a frame neither. Raises InputError where
    its lists do not run in parallel."""
    fractions = expect_list(track.get("bounding_boxes"), f"{place}: bounding_boxes", FAULT)
    frames = _parallel(track, "frame_ids", fractions, place)
    masked = _parallel(track, "is_masked", fractions, place) if track.get("is_masked") else [0] * len(frames)
    for name in ("timestamps", "initial_tracking_box"):
        if track.get(name):
            _parallel(track, name, fractions, place)
    found: dict[int, OwnBox] = {}
    doubtful: set[int] = set()
    for frame, box, hidden in zip(frames, fractions, masked, strict=True):
        where = f"{place}: frame {shorten(frame)}"
        try:
            if hidden not in (0, 1):
                raise InputError(f"{where}: is_masked is {shorten(hidden)}; expected 0 or 1", FAULT)
            if not is_whole(frame) or not 0 <= frame < (clock.frame_count or 0):
                expected = f"a frame from 0, less than num_frames = {clock.frame_count}"
                raise InputError(f"{where}; expected {expected}", "box after the video")
            xyxy = _pixels(box, clock, where)
            if frame in found or frame in doubtful:
                if frame in found and found[frame].xyxy != xyxy:
                    del found[frame]
                    doubtful.add(frame)
                raise InputError(f"{where}: a second box; expected one", "two boxes of one track in a frame")
        except InputError as error:
            odd.note(error)
            continue
        if hidden:
            odd.known("box of a thing that cannot be seen (is_masked)", f"{where}: box {shorten(box)} is masked")
        else:
            found[frame] = OwnBox(tid, xyxy, frame=frame)
    return list(found.values())


def _parallel(track: Mapping[str, Any], name: str, boxes: Sequence[Any], place: str) -> list[Any]:
    values = expect_list(track.get(name), f"{place}: {name}", FAULT)
    if len(values) != len(boxes):
        raise InputError(
            f"{place}: {len(values)} {name} for {len(boxes)} bounding_boxes; expected as many",
            "parallel lists of unequal length",
        )
    return values


def _pixels(box: object, clock: Clock, place: str) -> tuple[float, float, float, float]:
    """Fractions of width and height -> pixels."""
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(value) for value in box):
        raise InputError(f"{place}: box {shorten(box)}; expected x1, y1, x2, y2 as fractions", FAULT)
    width, height = float(clock.width or 0), float(clock.height or 0)
    x1, y1, x2, y2 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"{place}: box {box}; expected x1 < x2 and y1 < y2", "inverted box")
    slack = check.BOX_SLACK
    if min(x1, y1) < -slack or x2 > width + slack or y2 > height + slack:
        raise InputError(f"{place}: box {box}; expected fractions from 0 to 1", "box outside the frame")
    return x1, y1, x2, y2


def _action(
    item: object, clock: Clock, entities: Mapping[int, OwnEntity], place: str, odd: Odd
) -> Iterator[OwnRelation]:
    """Its relations, none where it has no annotated object. Raises InputError where it is odd."""
    action = expect_object(item, place, FAULT)
    with counted_as(FAULT):
        label = check.name(action.get("label"), f"{place}: label")
    objects = expect_list(action.get("parent_objects"), f"{place}: parent_objects", FAULT)
    for tid in objects:
        if not is_whole(tid) or (tid != NOT_ANNOTATED and tid not in entities):
            expected = "ids of tracks, or -1"
            raise InputError(f"{place}: parent_objects holds {shorten(tid)}; expected {expected}", "unknown object")
    frames = expect_list(action.get("frame_ids"), f"{place}: frame_ids", FAULT)
    whole = len(frames) == 2 and all(is_whole(frame) for frame in frames)
    if not whole or not 0 <= frames[0] < frames[1] <= (clock.frame_count or 0):
        expected = f"[start, end), 0 <= start < end <= num_frames = {clock.frame_count}"
        raise InputError(f"{place}: frame_ids {shorten(frames)}; expected {expected}", "action outside the video")
    if NOT_ANNOTATED in objects or not objects:
        reason = "action of an object that is not annotated" if objects else "action without objects"
        odd.known(reason, f"{place}: {label!r}: parent_objects is {shorten(objects)}")
        return
    first, *others = dict.fromkeys(objects)
    for other in others or [first]:
        yield OwnRelation(first, label, other, frames=(frames[0], frames[1]))
