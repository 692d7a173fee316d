"""Box geometry, and how a box is written for a model.

Boxes are `(x1, y1, x2, y2)` in pixels as continuous edges: width is `x2 - x1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Xyxy = tuple[float, float, float, float]
Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class CoordinateFormat:
    """How a model family writes coordinates.

    `pixels`: whole pixels of the frame as resized for the model, `size`. `thousandths`: whole numbers from 0 to 1000
    of the frame's width and height. `fractions`: of width and height, three decimals.
    """

    kind: Literal["pixels", "thousandths", "fractions"]
    size: Size | None = None
    """(width, height) of the resized frame; needed by `pixels` only."""

    def __post_init__(self) -> None:
        if self.kind == "pixels" and self.size is None:
            raise ValueError("coordinates in pixels need the size of the resized frame")

    @property
    def scale(self) -> tuple[float, float]:
        """What the full width and the full height are written as."""
        if self.kind == "pixels" and self.size is not None:
            return float(self.size[0]), float(self.size[1])
        return (1000.0, 1000.0) if self.kind == "thousandths" else (1.0, 1.0)

    @property
    def words(self) -> str:
        """What a prompt calls them: "[x1, y1, x2, y2] ..."."""
        if self.kind == "pixels" and self.size is not None:
            return f"in pixels of a frame {self.size[0]} wide and {self.size[1]} high"
        if self.kind == "thousandths":
            return "from 0 to 1000 of the frame's width and height"
        return "as fractions of the frame's width and height"

    @property
    def decimals(self) -> int:
        return 3 if self.kind == "fractions" else 0


def format_box(xyxy: Xyxy, source: Size, form: CoordinateFormat) -> str:
    """`[x1, y1, x2, y2]` in the family's coordinates, each rounded to the nearest that the format can express."""
    (width, height), (sx, sy) = source, form.scale
    scaled = (xyxy[0] / width * sx, xyxy[1] / height * sy, xyxy[2] / width * sx, xyxy[3] / height * sy)
    return "[" + ", ".join(f"{v:.{form.decimals}f}" for v in scaled) + "]"


def parse_box(numbers: tuple[float, float, float, float], source: Size, form: CoordinateFormat) -> Xyxy:
    """Numbers in the family's coordinates -> pixels of `source`; the inverse of `format_box` up to its rounding."""
    (width, height), (sx, sy) = source, form.scale
    x1, y1, x2, y2 = numbers
    return (x1 / sx * width, y1 / sy * height, x2 / sx * width, y2 / sy * height)


def area(box: Xyxy) -> float:
    """Area in square pixels; 0 for an inverted box."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def iou(a: Xyxy, b: Xyxy) -> float:
    """Intersection over union, 0 to 1; 0 where both boxes are empty."""
    inner = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = area(a) + area(b) - inner
    return inner / union if union > 0 else 0.0
