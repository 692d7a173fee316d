"""Actors that follow scripted paths -> frames and exact boxes.

A clip is a list of actors, drawn in their order, the last on top. An actor stands on its ground point (x, y), in
pixels; paths are linear between their keys. Whatever is held follows the hand of who holds it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cotasks.sample.drawing import Box, background, covered_box, paste, sprite, to_bytes
from cotasks.sample.figures import WALKERS, anchor


@dataclass(frozen=True)
class Held:
    """Frames [begin, end) during which a thing is at a point of another actor."""

    begin: int
    end: int
    by: int
    """tid of the actor."""
    at: str = "hand"


@dataclass(frozen=True)
class Actor:
    """A thing, how it looks and where it goes."""

    tid: int
    kind: str
    """A figure of `drawing`."""
    category: str
    """The source's name for it."""
    colour: str
    height: int
    """Pixels, standing."""
    keys: tuple[tuple[int, float, float], ...]
    """(frame, x, y) of its ground point; it rests before the first and after the last."""
    poses: tuple[tuple[int, str], ...] = ((0, "stand"),)
    """(first frame, pose)."""
    held: tuple[Held, ...] = ()
    facing: int = 1
    """1 looks right, -1 left, while it rests; who walks looks where it goes."""


@dataclass(frozen=True)
class Relation:
    """(subject, predicate, object) over frames [begin, end)."""

    subject: int
    predicate: str
    object: int
    begin: int
    end: int


@dataclass(frozen=True)
class Clip:
    """Everything about one video file."""

    video_id: str
    place: str
    width: int
    height: int
    fps: str
    """A fraction that the container can hold exactly, such as "10" or "30000/2997"."""
    frames: int
    actors: tuple[Actor, ...]
    relations: tuple[Relation, ...] = field(default=())

    @property
    def rate(self) -> float:
        numerator, _, denominator = self.fps.partition("/")
        return int(numerator) / int(denominator or 1)


def _pose(actor: Actor, frame: int) -> str:
    return actor.poses[bisect_right([begin for begin, _ in actor.poses], frame) - 1][1]


def _on_path(actor: Actor, frame: int) -> tuple[float, float, int]:
    """(x, y, direction of x: -1, 0, 1) on the actor's own path."""
    keys = actor.keys
    later = bisect_right([key[0] for key in keys], frame)
    if later == 0:
        return keys[0][1], keys[0][2], 0
    if later == len(keys):
        return keys[-1][1], keys[-1][2], 0
    (f0, x0, y0), (f1, x1, y1) = keys[later - 1], keys[later]
    share = (frame - f0) / (f1 - f0)
    return x0 + share * (x1 - x0), y0 + share * (y1 - y0), int(np.sign(x1 - x0))


@dataclass(frozen=True)
class Placed:
    """Where and how an actor is drawn on one frame."""

    x: int
    y: int
    pose: str
    phase: int
    facing: int


def place(clip: Clip, actor: Actor, frame: int) -> Placed:
    """Where an actor is on a frame."""
    actors = {a.tid: a for a in clip.actors}
    pose = _pose(actor, frame)
    for held in actor.held:
        if held.begin <= frame < held.end:
            holder = actors[held.by]
            at = place(clip, holder, frame)
            px, py = anchor(holder.kind, at.pose, held.at)
            x = at.x + at.facing * px * holder.height
            y = at.y + (py - 1.0) * holder.height
            below = actor.height * (0.5 if held.at in ("hand", "mouth") else 0.0)
            return Placed(round(x), round(y + below), pose, 0, at.facing)
    x, y, direction = _on_path(actor, frame)
    walks = direction != 0 and actor.kind in WALKERS
    return Placed(round(x), round(y), pose, 1 + frame // 2 % 2 if walks else 0, direction or _last_facing(actor, frame))


def _last_facing(actor: Actor, frame: int) -> int:
    """Who has come to rest looks the way it came."""
    facing = actor.facing
    for (_, x0, _), (f1, x1, _) in pairwise(actor.keys):
        if f1 <= frame and x1 != x0:
            facing = 1 if x1 > x0 else -1
    return facing


def boxes(clip: Clip, frame: int) -> dict[int, Box]:
    """tid -> (x0, y0, x1, y1) in pixel edges, ends exclusive; actors out of the frame are left out."""
    found = {}
    for actor in clip.actors:
        p = place(clip, actor, frame)
        figure = sprite(actor.kind, actor.colour, actor.height, p.pose, p.phase, p.facing)
        box = covered_box(figure, p.x, p.y, clip.width, clip.height)
        if box is not None:
            found[actor.tid] = box
    return found


def draw(clip: Clip, frame: int) -> NDArray[np.uint8]:
    """A frame, uint8 (height, width, 3) RGB."""
    image = background(clip.place, clip.width, clip.height)
    for actor in clip.actors:
        p = place(clip, actor, frame)
        paste(image, sprite(actor.kind, actor.colour, actor.height, p.pose, p.phase, p.facing), p.x, p.y)
    return to_bytes(image)


def next_to(clip: Clip, a: int, b: int, gap: float) -> list[tuple[int, int]]:
    """Runs [begin, end) of frames at which two actors stand side by side: their boxes are at most `gap` pixels apart in
    x, do not cover one another by more than half, and their feet are on like height."""
    flags = []
    for frame in range(clip.frames):
        found = boxes(clip, frame)
        one, two = found.get(a), found.get(b)
        near = False
        if one and two:
            apart = max(one[0], two[0]) - min(one[2], two[2])
            least = min(one[2] - one[0], two[2] - two[0])
            near = -least / 2 <= apart <= gap and abs(one[3] - two[3]) <= clip.height // 6
        flags.append(near)
    return runs(flags)


def behind(clip: Clip, a: int, b: int) -> list[tuple[int, int]]:
    """Runs [begin, end) of frames at which more than half of the width of `a` is within the width of `b`."""
    flags = []
    for frame in range(clip.frames):
        found = boxes(clip, frame)
        one, two = found.get(a), found.get(b)
        inside = min(one[2], two[2]) - max(one[0], two[0]) if one and two else 0
        flags.append(bool(one and inside * 2 > one[2] - one[0]))
    return runs(flags)


def runs(flags: list[bool]) -> list[tuple[int, int]]:
    """[begin, end) of each stretch of True."""
    result, begin = [], None
    for i, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = i
        elif not flag and begin is not None:
            result.append((begin, i))
            begin = None
    return result
