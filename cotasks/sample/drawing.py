"""Figures and places -> pixels, and exactly which pixels a thing covers.

Every figure is sampled on a fixed grid of points with plain arithmetic, so that boxes do not depend on the version of a
drawing library. Pixels: x to the right, y down, the first has index 0. A `Box` is (x0, y0, x1, y1) in pixel edges,
so x1 and y1 are exclusive and the width is x1 - x0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cotasks.sample.figures import Colour, Shape, figure, oval, poly, rect, shade

Box = tuple[int, int, int, int]

SAMPLES = 4
"""Sample points in a pixel, along each axis."""


@dataclass(frozen=True)
class Sprite:
    """A drawn figure; (left, top) is where its array starts, in pixels from the thing's ground point."""

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]
    left: int
    top: int


def _inside(shape: Shape, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the points (xs along columns, ys along rows) lie in the shape."""
    n = shape.numbers
    x, y = xs[None, :], ys[:, None]
    if shape.form == "oval":
        cx, cy, rx, ry = (n[0] + n[2]) / 2, (n[1] + n[3]) / 2, (n[2] - n[0]) / 2, (n[3] - n[1]) / 2
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1.0
    if shape.form == "ring":
        distance = (x - n[0]) ** 2 + (y - n[1]) ** 2
        return (distance <= n[2] ** 2) & (distance >= (n[2] - n[3]) ** 2)
    odd = np.zeros((len(ys), len(xs)), dtype=bool)
    corners = list(zip(n[0::2], n[1::2], strict=True))
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if ay != by:
            odd ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return odd


def _reach(shape: Shape) -> tuple[float, float, float, float]:
    n = shape.numbers
    if shape.form == "ring":
        return n[0] - n[2], n[1] - n[2], n[0] + n[2], n[1] + n[2]
    return min(n[0::2]), min(n[1::2]), max(n[0::2]), max(n[1::2])


@lru_cache(maxsize=4096)
def sprite(kind: str, colour: str, height: int, pose: str, phase: int, facing: int) -> Sprite:
    """Draw a figure `height` pixels tall (when standing); `facing` is 1 to the right, -1 to the left."""
    shapes = figure(kind, pose, phase)
    reach = [_reach(shape) for shape in shapes]
    far = max(max(-r[0] for r in reach), max(r[2] for r in reach))
    half = int(far * height) + 2
    above = int((1.0 - min(r[1] for r in reach)) * height) + 2
    columns, rows = 2 * half, above + 2
    xs = ((np.arange(columns * SAMPLES) + 0.5) / SAMPLES - half) / height
    ys = ((np.arange(rows * SAMPLES) + 0.5) / SAMPLES - above) / height + 1.0
    filled = np.zeros((rows * SAMPLES, columns * SAMPLES), dtype=bool)
    paint = np.zeros((rows * SAMPLES, columns * SAMPLES, 3), dtype=np.float64)
    for shape in shapes:
        where = _inside(shape, xs, ys)
        filled |= where
        paint[where] = shade(colour, shape.ink)
    cells = (rows, SAMPLES, columns, SAMPLES)
    alpha = filled.reshape(cells).mean(axis=(1, 3))
    total = paint.reshape(*cells, 3).mean(axis=(1, 3))
    rgb = total / np.maximum(alpha, 1e-9)[:, :, None]
    if facing < 0:
        alpha, rgb = alpha[:, ::-1], rgb[:, ::-1]
    return Sprite(rgb.astype(np.float32), alpha.astype(np.float32), -half, -above)


def covered_box(figure_: Sprite, x: int, y: int, width: int, height: int) -> Box | None:
    """The tight box of the pixels of a width x height frame that the figure covers by half or more.

    (x, y) is the figure's ground point in pixel edges. Whatever is drawn over it does not matter. None where
    the figure is outside the frame.
    """
    top, left = y + figure_.top, x + figure_.left
    rows, columns = figure_.alpha.shape
    part = figure_.alpha[
        max(0, -top) : max(0, min(rows, height - top)), max(0, -left) : max(0, min(columns, width - left))
    ]
    covered = part >= 0.5
    if not covered.any():
        return None
    in_rows, in_columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    y0, x0 = max(0, top), max(0, left)
    return (x0 + int(in_columns[0]), y0 + int(in_rows[0]), x0 + int(in_columns[-1]) + 1, y0 + int(in_rows[-1]) + 1)


def paste(frame: NDArray[np.float32], figure_: Sprite, x: int, y: int) -> None:
    """Draw a figure into a frame (height, width, 3; values 0 to 255), in place."""
    height, width = frame.shape[:2]
    top, left = y + figure_.top, x + figure_.left
    rows, columns = figure_.alpha.shape
    r0, r1, c0, c1 = max(0, -top), min(rows, height - top), max(0, -left), min(columns, width - left)
    if r0 >= r1 or c0 >= c1:
        return
    alpha = figure_.alpha[r0:r1, c0:c1, None]
    target = frame[top + r0 : top + r1, left + c0 : left + c1]
    target[:] = target * (1.0 - alpha) + figure_.rgb[r0:r1, c0:c1] * alpha


PLACES: dict[str, tuple[Colour, Colour, float]] = {
    "park": ((222, 236, 246), (206, 228, 192), 0.5),
    "garden": ((226, 238, 244), (214, 232, 200), 0.45),
    "beach": ((226, 240, 248), (242, 232, 206), 0.55),
    "playground": ((226, 238, 246), (236, 226, 208), 0.55),
    "street": ((230, 230, 234), (212, 212, 218), 0.6),
    "living room": ((240, 234, 222), (224, 212, 196), 0.68),
    "kitchen": ((232, 240, 240), (220, 222, 226), 0.68),
    "bedroom": ((236, 230, 240), (222, 214, 222), 0.66),
    "office": ((234, 236, 230), (214, 218, 214), 0.66),
}
"""Upper colour, lower colour, and the height of the line between them as a part of the frame's height."""


def _fade(colour: Colour, by: int) -> Colour:
    return colour[0] - by, colour[1] - by, colour[2] - by


def _scenery(place: str) -> list[Shape]:
    """Pale landmarks of a place, in shares of the frame's width and height; ink is a shade: "0" to "24" darker."""
    if place == "park":
        return [
            oval("16", 0.72, 0.04, 0.98, 0.36),
            rect("22", 0.83, 0.34, 0.87, 0.54),
            oval("12", 0.02, 0.16, 0.2, 0.4),
            rect("18", 0.1, 0.38, 0.12, 0.52),
        ]
    if place == "garden":
        return [rect("14", x / 12, 0.24, x / 12 + 0.05, 0.5) for x in range(12)] + [rect("20", 0.0, 0.32, 1.0, 0.36)]
    if place == "beach":
        return [rect("26", 0.0, 0.4, 1.0, 0.56), oval("14", 0.74, 0.06, 0.9, 0.26), rect("16", 0.0, 0.5, 1.0, 0.52)]
    if place == "playground":
        return [
            poly("18", 0.62, 0.2, 0.68, 0.2, 0.98, 0.56, 0.92, 0.56),
            rect("22", 0.62, 0.2, 0.64, 0.56),
            rect("22", 0.08, 0.16, 0.3, 0.18),
            rect("22", 0.08, 0.16, 0.1, 0.56),
            rect("22", 0.28, 0.16, 0.3, 0.56),
        ]
    if place == "street":
        houses = [
            rect("16", 0.04, 0.12, 0.3, 0.6),
            rect("10", 0.36, 0.22, 0.62, 0.6),
            rect("18", 0.68, 0.08, 0.96, 0.6),
        ]
        return houses + [rect("28", x / 5 + 0.04, 0.78, x / 5 + 0.13, 0.8) for x in range(5)]
    if place == "living room":
        return [
            rect("14", 0.66, 0.08, 0.92, 0.36),
            rect("4", 0.68, 0.1, 0.785, 0.34),
            rect("4", 0.795, 0.1, 0.9, 0.34),
            rect("16", 0.0, 0.66, 1.0, 0.68),
        ]
    if place == "kitchen":
        return [rect("10", 0.0, y / 8, 1.0, y / 8 + 0.012) for y in range(1, 6)] + [
            rect("10", x / 8, 0.0, x / 8 + 0.009, 0.68) for x in range(1, 8)
        ]
    if place == "bedroom":
        return [rect("7", x / 10, 0.0, x / 10 + 0.04, 0.66) for x in range(10)] + [rect("18", 0.0, 0.64, 1.0, 0.66)]
    return [rect("14", 0.08, 0.1, 0.4, 0.34), rect("4", 0.1, 0.12, 0.38, 0.32), rect("16", 0.0, 0.64, 1.0, 0.66)]


@lru_cache(maxsize=64)
def _background(place: str, width: int, height: int) -> NDArray[np.float32]:
    upper, lower, line = PLACES[place]
    horizon = round(height * line)
    frame = np.empty((height, width, 3), dtype=np.float32)
    frame[:horizon], frame[horizon:] = upper, lower
    xs, ys = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    for shape in _scenery(place):
        where = _inside(shape, xs, ys)
        below = np.arange(height)[:, None] >= horizon
        frame[where & ~below] = _fade(upper, int(shape.ink))
        frame[where & below] = _fade(lower, int(shape.ink))
    row, column = np.meshgrid(np.arange(height) // 2, np.arange(width) // 2, indexing="ij")
    grain = (row * 7919 + column * 104729 + row * column * 31) % 7
    return frame - grain[:, :, None].astype(np.float32)


def background(place: str, width: int, height: int) -> NDArray[np.float32]:
    """An empty frame of a place (height, width, 3; values 0 to 255). The caller may draw on it."""
    if place not in PLACES:
        raise ValueError(f"no place called {place!r}")
    return _background(place, width, height).copy()


def to_bytes(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)
