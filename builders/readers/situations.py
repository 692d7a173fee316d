"""STAR's situation graphs -> the annotation of a question's clip on its grid.

A situation's key is the 1-based number of its frame in the file, so frame = key - 1 and seconds = frame / fps; boxes
are xyxy in pixels.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cotasks.builders.readers.checks import expect_list, expect_object, is_number
from cotasks.errors import InputError, shorten
from cotasks.records.annotation import Question, VideoAnnotation
from cotasks.records.schema import Box, Entity, Scene, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import NUM_FRAMES, clip_frames, grid_frames, snapped_grid, uniform_grid

SPATIAL = ("on", "behind", "in_front_of", "on_the_side_of", "above", "beneath", "at", "under", "near")
"""The 9 relations that say where things are, of the 24 in `relationship_classes.txt`; the others are
contact."""

PERSON = "o000"
"""Object code of the person who acts."""

BOX_SLACK = 1.0
"""Pixels that a box may reach out of the frame; it is kept as it stands."""


@dataclass(frozen=True)
class StarClasses:
    """STAR's class lists."""

    objects: Mapping[str, str]
    """`o019` -> `clothes`."""
    relations: Mapping[str, str]
    """`r009` -> `holding`."""
    actions: Mapping[str, str]
    """`a004` -> `tidy some clothes`."""
    verbs: Mapping[str, str]
    """`v012` -> `tidy`."""
    action_mapping: Mapping[str, tuple[str, str]]
    """Action -> (verb code, object code)."""


@dataclass(frozen=True)
class StarItem:
    """A question with the annotation of its clip."""

    question: Question
    clip: Span
    """Seconds of file time."""
    situations: Mapping[str, Any]
    """Frame key -> situation, as the file has it."""

    @property
    def place(self) -> str:
        """`file: question_id`, for messages."""
        return self.question.place


@dataclass(frozen=True)
class _Situation:
    """One annotated frame, codes checked."""

    boxes: Mapping[str, tuple[float, float, float, float]]
    labels: frozenset[str]
    """All object codes of the frame, those without a box too."""
    spatial: frozenset[tuple[int, str, int]]
    temporal: frozenset[tuple[int, str, int]]
    """Contact relations, and actions as (person, verb, object)."""


def keyframes_of(item: StarItem, fps: float) -> tuple[dict[int, str], dict[int, str]]:
    """Annotated frames inside the question's clip, and outside it: each {0-based frame: key}, ascending.

    Frames outside are no fault. The situations of Prediction and Feasibility questions go on to the end of the
    action that is asked for, after the clip; and as the clip's were chosen by key / fps, the first of them can
    lie one frame before it (generation.py and generator.py of STAR's repository).

    Raises InputError where a key is no number from 1, or two keys are the same number.
    """
    frames: dict[int, str] = {}
    for key in item.situations:
        if not re.fullmatch("[0-9]{1,9}", key) or int(key) < 1:
            raise InputError(
                f"{item.place}: situation {shorten(key)}; expected a frame number from 1", "bad situation key"
            )
        if int(key) - 1 in frames:
            raise InputError(
                f"{item.place}: situations {key} and {frames[int(key) - 1]} are one frame", "bad situation key"
            )
        frames[int(key) - 1] = key
    first, last = clip_frames(item.clip, fps)
    ordered = sorted(frames.items())
    inside = {frame: key for frame, key in ordered if first <= frame <= last}
    return inside, {frame: key for frame, key in ordered if frame not in inside}


def annotation(
    item: StarItem,
    classes: StarClasses,
    fps: float,
    *,
    size: tuple[int, int, int] | None,
    num_frames: int = NUM_FRAMES,
    grid: Literal["snapped", "uniform"] = "snapped",
) -> VideoAnnotation:
    """The situations of a question -> the annotation of its clip on the grid.

    The uniform grid runs over the frames with `start <= frame / fps <= end` that the video has. `snapped`
    puts the clip's keyframes on it (`timeline.snapped_grid`); with `uniform` only the keyframes that happen
    to be on it have boxes. A box stands at the frame it was drawn on, unmoved. Spatial relations hold at the
    keyframes on the grid that show them. Contact relations and actions, as (person, verb, object), run over
    consecutive keyframes of all the clip's, on the grid or not: from the first keyframe that shows them to
    the last + 1, until one does not. tid is the number in the object code. Entities are all that the clip's
    keyframes name, with or without a box.

    Situations outside the clip are not used (`keyframes_of`): a model that sees the clip alone must not be
    told what comes after it. `keyframes_outside_clip` counts them, `keyframes_left_out` those inside that the
    grid has no place for.

    Args:
        item: see `read_questions`.
        classes: see `read_classes`.
        fps: frames a second of the video, see `read_video_fps`.
        size: (frame_count, width, height) from the header of the video file, None where it was not read.
        num_frames: size of the grid.
        grid: which of the two grids.

    Raises:
        InputError: a value that the format does not allow; `reason` says which kind.
    """
    if not is_number(fps) or fps <= 0:
        raise InputError(f"{item.place}: fps is {shorten(fps)}; expected a number > 0", "fps not positive")
    frame_count, width, height = size or (None, None, None)
    inside, outside = keyframes_of(item, fps)
    first, last = clip_frames(item.clip, fps)
    if frame_count is not None:
        last = min(last, frame_count - 1)
        beyond = [key for frame, key in inside.items() if frame > last]
        if beyond:
            raise InputError(
                f"{item.place}: situation {beyond[0]}; expected at most frame_count = {frame_count}",
                "situation after the video",
            )
    if first > last:
        raise InputError(
            f"{item.place}: no frame from {item.clip.start_seconds} to {item.clip.end_seconds} s", "empty clip"
        )
    if not inside:
        raise InputError(
            f"{item.place}: no situation from {item.clip.start_seconds} to {item.clip.end_seconds} s",
            "no situation in the clip",
        )
    situations = {
        frame: _situation(item.situations[key], classes, f"{item.place}: {key}", (width, height))
        for frame, key in inside.items()
    }
    frames = uniform_grid(first, last, num_frames)
    if grid == "snapped":
        frames = snapped_grid(frames, situations)
    on_grid = set(frames)
    keyframes = tuple(frame for frame in situations if frame in on_grid)
    scene = _scene({frame: situations[frame] for frame in keyframes}, situations, classes)
    return VideoAnnotation(
        fps=float(fps),
        frame_count=frame_count,
        width=width,
        height=height,
        clip=item.clip,
        frames=grid_frames(frames, fps),
        scene=scene,
        keyframes=keyframes,
        keyframes_left_out=len(inside) - len(keyframes),
        keyframes_outside_clip=len(outside),
    )


def _situation(raw: object, classes: StarClasses, place: str, size: tuple[int | None, int | None]) -> _Situation:
    fault = "malformed situation"
    fields = expect_object(raw, place, fault)
    lists = {
        name: expect_list(fields.get(name), f"{place}: {name}", fault)
        for name in ("rel_pairs", "rel_labels", "actions", "bbox", "bbox_labels")
    }
    for one, other in (("rel_pairs", "rel_labels"), ("bbox", "bbox_labels")):
        if len(lists[one]) != len(lists[other]):
            raise InputError(
                f"{place}: {len(lists[one])} {one}, {len(lists[other])} {other}; expected as many",
                "parallel lists of unequal length",
            )
    labels = [_known(code, classes.objects, f"{place}: bbox_labels") for code in lists["bbox_labels"]]
    boxes: dict[str, tuple[float, float, float, float]] = {}
    for position, (code, box) in enumerate(zip(labels, lists["bbox"], strict=True)):
        if code in labels[:position]:
            raise InputError(f"{place}: {code} comes twice in bbox_labels; expected once", "two boxes of one label")
        if box is not None:
            boxes[code] = _box(box, f"{place}: {code}", *size)
    spatial: set[tuple[int, str, int]] = set()
    temporal: set[tuple[int, str, int]] = set()
    named = set(labels)
    for pair, relation in zip(lists["rel_pairs"], lists["rel_labels"], strict=True):
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"{place}: rel_pairs: {shorten(pair)}; expected two object codes", fault)
        subject, target = (_known(code, classes.objects, f"{place}: rel_pairs") for code in pair)
        name = classes.relations[_known(relation, classes.relations, f"{place}: rel_labels")]
        (spatial if name in SPATIAL else temporal).add((_tid(subject), name, _tid(target)))
        named |= {subject, target}
    for action in lists["actions"]:
        verb, thing = classes.action_mapping[_known(action, classes.action_mapping, f"{place}: actions")]
        temporal.add((_tid(PERSON), classes.verbs[verb], _tid(thing)))
        named |= {PERSON, thing}
    return _Situation(boxes, frozenset(named), frozenset(spatial), frozenset(temporal))


def _known(code: object, known: Mapping[str, Any], place: str) -> str:
    if not isinstance(code, str) or code not in known:
        raise InputError(f"{place}: {shorten(code)}; expected a code of the class lists", "unknown code")
    return code


def _tid(code: str) -> int:
    return int(code[1:])


def _box(box: object, place: str, width: int | None, height: int | None) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(v) for v in box):
        raise InputError(f"{place}: box {shorten(box)}; expected x1, y1, x2, y2 or null", "malformed situation")
    x1, y1, x2, y2 = (float(v) for v in box)
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"{place}: box {box}; expected x1 < x2 and y1 < y2", "inverted box")
    right, bottom = (math.inf if v is None else v + BOX_SLACK for v in (width, height))
    if min(x1, y1) < -BOX_SLACK or x2 > right or y2 > bottom:
        raise InputError(f"{place}: box {box}; expected inside 0 to {width}, 0 to {height}", "box outside the frame")
    return x1, y1, x2, y2


def _scene(on_grid: Mapping[int, _Situation], in_clip: Mapping[int, _Situation], classes: StarClasses) -> Scene:
    """Scene from the keyframes on the grid, and from all of the clip; both by frame, ascending."""
    codes = sorted(set().union(*(s.labels for s in in_clip.values())))
    entities = tuple(Entity(_tid(code), classes.objects[code]) for code in codes)
    tracks: list[Track] = []
    for code, entity in zip(codes, entities, strict=True):
        boxes = tuple(Box(f, s.boxes[code], False) for f, s in on_grid.items() if code in s.boxes)
        if boxes:
            tracks.append(Track(entity.tid, entity.category, boxes))
    spatial: defaultdict[tuple[int, str, int], list[int]] = defaultdict(list)
    for frame, situation in on_grid.items():
        for triple in situation.spatial:
            spatial[triple].append(frame)
    return Scene(
        entities,
        tuple(tracks),
        tuple(SpatialRelation(*triple, tuple(frames)) for triple, frames in sorted(spatial.items())),
        tuple(
            TemporalRelation(subject, predicate, target, begin, end)
            for begin, end, subject, predicate, target in sorted(_runs(in_clip))
        ),
    )


def _runs(in_clip: Mapping[int, _Situation]) -> list[tuple[int, int, int, str, int]]:
    """(begin, end, subject, predicate, object) of each run of a triple over consecutive keyframes."""
    runs: list[tuple[int, int, int, str, int]] = []
    open_runs: dict[tuple[int, str, int], tuple[int, int]] = {}  # triple -> first and latest keyframe
    for frame, situation in in_clip.items():
        for triple in [t for t in open_runs if t not in situation.temporal]:
            begin, latest = open_runs.pop(triple)
            runs.append((begin, latest + 1, *triple))
        for triple in situation.temporal:
            open_runs[triple] = (open_runs.get(triple, (frame, frame))[0], frame)
    return runs + [(begin, latest + 1, *triple) for triple, (begin, latest) in open_runs.items()]
