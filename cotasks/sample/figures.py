"""How things look: figures as lists of filled shapes.

Figures are drawn in *figure space*: the unit is the height of the standing thing, x is 0 at its middle and grows to the
right, y is 0 at its top and 1 where it touches the ground. A figure looks to the right; it is mirrored to look left.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "red": (205, 40, 45),
    "blue": (45, 85, 195),
    "green": (30, 135, 70),
    "yellow": (225, 175, 20),
    "orange": (235, 115, 25),
    "purple": (130, 60, 165),
    "pink": (225, 90, 150),
    "brown": (130, 82, 45),
    "grey": (115, 118, 125),
    "black": (45, 45, 52),
}
"""Colours a thing can be given; their names appear in questions."""

INKS: dict[str, Colour] = {
    "skin": (206, 142, 100),
    "hair": (70, 48, 38),
    "trousers": (60, 66, 88),
    "ink": (28, 28, 32),
    "glass": (120, 165, 190),
    "paper": (165, 170, 160),
    "beak": (225, 130, 25),
    "leaf": (45, 120, 50),
    "metal": (100, 104, 110),
}
"""Colours that are the same on every thing of a kind."""


@dataclass(frozen=True)
class Shape:
    """A filled form. `form` is "oval" (x0, y0, x1, y1), "ring" (cx, cy, radius, thickness) or "poly" (x, y, ...).

    `ink` is a name in `INKS`, or "main", "dark", "light": the thing's own colour and its two shades.
    """

    form: str
    ink: str
    numbers: tuple[float, ...]


def oval(ink: str, x0: float, y0: float, x1: float, y1: float) -> Shape:
    return Shape("oval", ink, (x0, y0, x1, y1))


def rect(ink: str, x0: float, y0: float, x1: float, y1: float) -> Shape:
    return Shape("poly", ink, (x0, y0, x1, y0, x1, y1, x0, y1))


def poly(ink: str, *numbers: float) -> Shape:
    return Shape("poly", ink, numbers)


def ring(ink: str, cx: float, cy: float, radius: float, thickness: float) -> Shape:
    return Shape("ring", ink, (cx, cy, radius, thickness))


def stroke(ink: str, start: Point, end: Point, thickness: float) -> Shape:
    """A straight bar from start to end."""
    (ax, ay), (bx, by) = start, end
    length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
    nx, ny = (ay - by) / length * thickness / 2, (bx - ax) / length * thickness / 2
    return poly(ink, ax + nx, ay + ny, bx + nx, by + ny, bx - nx, by - ny, ax - nx, ay - ny)


# --- figures -------------------------------------------------------------------------------------------------

PEOPLE = ("man", "lady", "boy", "girl")
WALKERS = (*PEOPLE, "baby", "dog", "cat", "rabbit", "duck", "bird")
"""Kinds whose legs or wings move while they go."""


def _is_small(kind: str) -> bool:
    return kind in ("boy", "girl")


def hand(kind: str, pose: str) -> Point:
    """Where a person's hand is, in figure space."""
    low = 0.08 if _is_small(kind) else 0.0
    return {
        "stand": (0.08, 0.55 + low),
        "hold": (0.24, 0.45 + low),
        "reach": (0.34, 0.34 + low),
        "up": (0.20, 0.0),
        "sit": (0.24, 0.62 + low / 2),
        "crouch": (0.32, 0.88),
    }[pose]


def _person(kind: str, pose: str, phase: int) -> list[Shape]:
    small, dress = _is_small(kind), kind in ("lady", "girl")
    head = 0.29 if small else 0.21
    half = 0.13 if small else 0.11
    drop = {"sit": 0.17, "crouch": 0.24}.get(pose, 0.0)
    hip = (0.64 if small else 0.58) + drop
    shoulder = head + 0.04 + drop
    shapes: list[Shape] = []
    if pose == "sit":
        shapes += [
            rect("trousers", -half, hip - 0.03, 0.26, hip + 0.10),
            rect("trousers", 0.15, hip + 0.04, 0.26, 0.96),
            rect("ink", 0.14, 0.94, 0.32, 1.0),
        ]
    elif pose == "crouch":
        shapes += [
            poly("trousers", -half, hip - 0.04, 0.2, hip - 0.02, 0.08, 0.96, -half, 0.96),
            rect("ink", -half, 0.94, 0.14, 1.0),
        ]
    elif phase == 0:
        shapes += [
            rect("trousers", -half + 0.01, hip - 0.03, -0.01, 0.96),
            rect("trousers", 0.01, hip - 0.03, half - 0.01, 0.96),
            rect("ink", -half, 0.95, 0.0, 1.0),
            rect("ink", 0.01, 0.95, half + 0.03, 1.0),
        ]
    elif phase == 1:
        shapes += [
            poly("trousers", -0.09, hip - 0.03, 0.03, hip - 0.03, -0.12, 0.96, -0.21, 0.94),
            poly("trousers", -0.03, hip - 0.03, 0.09, hip - 0.03, 0.2, 0.96, 0.11, 0.96),
            rect("ink", -0.22, 0.93, -0.1, 0.99),
            rect("ink", 0.11, 0.95, 0.25, 1.0),
        ]
    else:
        shapes += [rect("trousers", -0.07, hip - 0.03, 0.07, 0.96), rect("ink", -0.07, 0.95, 0.11, 1.0)]
    if dress:
        hem = min(hip + 0.16, 0.93)
        shapes.append(poly("main", -half + 0.02, shoulder - 0.04, half - 0.02, shoulder - 0.04, 0.19, hem, -0.19, hem))
        shapes.append(
            poly(
                "hair",
                -head * 0.52,
                drop + head * 0.4,
                head * 0.2,
                drop,
                head * 0.1,
                shoulder + 0.1,
                -head * 0.62,
                shoulder + 0.1,
            )
        )
    else:
        shapes.append(rect("main", -half, shoulder - 0.04, half, hip))
    shapes += [
        oval("hair", -head * 0.52, drop, head * 0.48, drop + head * 0.95),
        oval("skin", -head * 0.32, drop + head * 0.2, head * 0.52, drop + head * 1.05),
        oval("ink", head * 0.2, drop + head * 0.48, head * 0.36, drop + head * 0.64),
    ]
    hx, hy = hand(kind, pose)
    shapes += [
        stroke("dark", (0.0, shoulder), (hx, hy), 0.075),
        oval("skin", hx - 0.045, hy - 0.045, hx + 0.045, hy + 0.045),
    ]
    return shapes


def _legs(ink: str, back: float, front: float, top: float, phase: int, width: float = 0.12) -> list[Shape]:
    """Four legs of an animal, as two or four bars; phase 0 stands."""
    lean = (0.0, 0.14, -0.04)[phase]
    bars = [(back, -lean), (back + 0.14, lean), (front - 0.14, -lean), (front, lean)]
    return [
        poly(ink, x - width / 2, top, x + width / 2, top, x + slant + width / 2, 1.0, x + slant - width / 2, 1.0)
        for x, slant in bars
    ]


def _dog(pose: str, phase: int) -> list[Shape]:
    return [
        *_legs("dark", -0.45, 0.32, 0.62, phase),
        poly("main", -0.5, 0.5, -0.88, 0.14, -0.78, 0.08, -0.4, 0.36),
        oval("main", -0.62, 0.3, 0.46, 0.76),
        oval("main", 0.24, 0.02, 0.74, 0.5),
        oval("main", 0.52, 0.2, 0.92, 0.46),
        oval("dark", 0.24, 0.04, 0.46, 0.46),
        oval("ink", 0.82, 0.22, 0.93, 0.33),
        oval("ink", 0.54, 0.14, 0.62, 0.22),
    ]


def _cat(pose: str, phase: int) -> list[Shape]:
    return [
        *_legs("dark", -0.42, 0.26, 0.66, phase, 0.1),
        poly("main", -0.46, 0.56, -0.72, 0.4, -0.78, 0.02, -0.66, 0.02, -0.6, 0.32, -0.36, 0.46),
        oval("main", -0.56, 0.38, 0.4, 0.8),
        oval("main", 0.16, 0.12, 0.66, 0.58),
        poly("main", 0.18, 0.3, 0.22, 0.0, 0.4, 0.18),
        poly("main", 0.44, 0.18, 0.6, 0.0, 0.65, 0.3),
        poly("dark", 0.24, 0.2, 0.25, 0.08, 0.33, 0.17),
        oval("ink", 0.46, 0.26, 0.54, 0.36),
        oval("ink", 0.6, 0.36, 0.67, 0.43),
    ]


def _rabbit(pose: str, phase: int) -> list[Shape]:
    return [
        rect("dark", -0.3, 0.84, -0.02, 1.0) if phase != 1 else rect("dark", -0.44, 0.82, -0.16, 0.98),
        rect("dark", 0.14, 0.84, 0.3, 1.0),
        oval("light", -0.5, 0.62, -0.3, 0.82),
        oval("main", -0.42, 0.42, 0.32, 0.96),
        oval("main", 0.06, 0.3, 0.48, 0.68),
        oval("main", 0.02, 0.0, 0.17, 0.42),
        oval("dark", 0.16, 0.02, 0.3, 0.42),
        oval("ink", 0.3, 0.4, 0.38, 0.48),
    ]


def _duck(pose: str, phase: int) -> list[Shape]:
    feet = 0.08 if phase == 1 else 0.0
    return [
        rect("beak", -0.14 + feet, 0.85, -0.04 + feet, 1.0),
        rect("beak", 0.06 - feet, 0.85, 0.16 - feet, 1.0),
        poly("main", -0.4, 0.62, -0.72, 0.36, -0.3, 0.44),
        oval("main", -0.56, 0.4, 0.42, 0.92),
        rect("main", 0.12, 0.24, 0.32, 0.6),
        oval("main", 0.06, 0.0, 0.5, 0.4),
        poly("beak", 0.44, 0.14, 0.74, 0.22, 0.44, 0.32),
        oval("dark", -0.4, 0.5, 0.16, 0.78),
        oval("ink", 0.28, 0.1, 0.37, 0.19),
    ]


def _bird(pose: str, phase: int) -> list[Shape]:
    wing = (
        poly("dark", -0.3, 0.55, 0.25, 0.55, -0.15, 0.0)
        if phase == 1
        else poly("dark", -0.3, 0.5, 0.25, 0.5, -0.15, 1.0)
    )
    return [
        poly("main", -0.4, 0.5, -0.85, 0.4, -0.85, 0.66),
        oval("main", -0.6, 0.34, 0.5, 0.74),
        oval("main", 0.3, 0.24, 0.72, 0.62),
        poly("beak", 0.68, 0.36, 0.95, 0.45, 0.68, 0.52),
        wing,
        oval("ink", 0.5, 0.34, 0.59, 0.43),
    ]


def _baby(pose: str, phase: int) -> list[Shape]:
    lean = 0.1 if phase == 1 else 0.0
    reach = (
        stroke("skin", (0.2, 0.6), (0.72, 0.72), 0.15) if pose == "reach" else rect("skin", 0.16 - lean, 0.6, 0.32, 1.0)
    )
    raised = [stroke("skin", (0.08, 0.6), (-0.14, 0.12), 0.15)] if pose == "up" else []
    return [
        rect("dark", -0.62 + lean, 0.78, -0.1, 1.0),
        oval("main", -0.58, 0.34, 0.34, 0.92),
        reach,
        *raised,
        oval("skin", 0.08, 0.0, 0.6, 0.54),
        poly("hair", 0.08, 0.22, 0.14, 0.06, 0.34, 0.0, 0.34, 0.12),
        oval("ink", 0.42, 0.2, 0.5, 0.29),
    ]


def _bicycle(pose: str, phase: int) -> list[Shape]:
    wheels = [ring("ink", x, 0.68, 0.32, 0.09) for x in (-0.5, 0.5)]
    bars = [
        ((-0.5, 0.68), (-0.16, 0.3)),
        ((-0.16, 0.3), (0.38, 0.3)),
        ((0.38, 0.3), (0.0, 0.68)),
        ((0.0, 0.68), (-0.5, 0.68)),
        ((-0.2, 0.2), (0.0, 0.68)),
        ((0.34, 0.1), (0.5, 0.68)),
    ]
    return [
        *wheels,
        *(stroke("main", a, b, 0.08) for a, b in bars),
        rect("ink", -0.34, 0.14, -0.06, 0.24),
        rect("ink", 0.2, 0.04, 0.42, 0.13),
    ]


def _still(kind: str, pose: str) -> list[Shape]:
    """Things that do not move by themselves. `pose` is "open" for what can be open."""
    is_open = pose == "open"
    table = {
        "ball": [oval("main", -0.5, 0.0, 0.5, 1.0), oval("light", -0.28, 0.14, 0.06, 0.46)],
        "car": [
            poly("main", -0.7, 0.42, -0.44, 0.0, 0.4, 0.0, 0.76, 0.42),
            poly("glass", -0.54, 0.38, -0.36, 0.1, -0.04, 0.1, -0.04, 0.38),
            poly("glass", 0.06, 0.38, 0.06, 0.1, 0.34, 0.1, 0.56, 0.38),
            poly("main", -1.1, 0.4, 0.9, 0.4, 1.1, 0.52, 1.1, 0.82, -1.1, 0.82),
            oval("ink", -0.88, 0.56, -0.42, 1.0),
            oval("ink", 0.42, 0.56, 0.88, 1.0),
            oval("metal", -0.74, 0.7, -0.56, 0.87),
            oval("metal", 0.56, 0.7, 0.74, 0.87),
        ],
        "teddy": [
            oval("main", -0.42, 0.0, -0.16, 0.24),
            oval("main", 0.16, 0.0, 0.42, 0.24),
            oval("main", -0.46, 0.4, 0.46, 0.96),
            oval("dark", -0.24, 0.5, 0.24, 0.88),
            oval("main", -0.36, 0.04, 0.36, 0.52),
            oval("ink", 0.06, 0.18, 0.16, 0.28),
            oval("ink", -0.16, 0.18, -0.06, 0.28),
            oval("main", -0.46, 0.78, -0.08, 1.0),
            oval("main", 0.08, 0.78, 0.46, 1.0),
        ],
        "toy car": [
            rect("main", -0.45, 0.0, 0.35, 0.4),
            rect("glass", -0.05, 0.1, 0.27, 0.38),
            rect("main", -0.8, 0.36, 0.8, 0.76),
            oval("ink", -0.64, 0.52, -0.16, 1.0),
            oval("ink", 0.16, 0.52, 0.64, 1.0),
        ],
        "cup": [
            ring("dark", 0.4, 0.42, 0.28, 0.12),
            poly("main", -0.42, 0.0, 0.42, 0.0, 0.32, 1.0, -0.32, 1.0),
            rect("light", -0.38, 0.14, 0.38, 0.26),
        ],
        "bottle": [
            rect("dark", -0.1, 0.0, 0.1, 0.3),
            poly("main", -0.1, 0.24, 0.1, 0.24, 0.22, 0.42, 0.22, 1.0, -0.22, 1.0, -0.22, 0.42),
        ],
        "table": [
            rect("main", -0.9, 0.0, 0.9, 0.18),
            rect("dark", -0.8, 0.18, -0.64, 1.0),
            rect("dark", 0.64, 0.18, 0.8, 1.0),
        ],
        "chair": [
            rect("main", -0.32, 0.0, -0.2, 1.0),
            rect("main", -0.32, 0.54, 0.32, 0.66),
            rect("dark", 0.2, 0.62, 0.32, 1.0),
            rect("dark", -0.24, 0.08, -0.12, 0.46),
        ],
        "stool": [
            rect("main", -0.55, 0.0, 0.55, 0.24),
            rect("dark", -0.45, 0.22, -0.25, 1.0),
            rect("dark", 0.25, 0.22, 0.45, 1.0),
        ],
        "sofa": [
            rect("main", -1.05, 0.0, 1.05, 0.7),
            rect("dark", -1.05, 0.52, 1.05, 0.88),
            rect("main", -1.2, 0.3, -0.92, 0.88),
            rect("main", 0.92, 0.3, 1.2, 0.88),
            rect("ink", -1.1, 0.86, -0.96, 1.0),
            rect("ink", 0.96, 0.86, 1.1, 1.0),
        ],
        "bench": [
            rect("dark", -0.95, 0.1, 0.95, 0.94),
            *(rect("main", -1.1, y, 1.1, y + 0.2) for y in (0.0, 0.3, 0.6)),
            rect("dark", -0.95, 0.2, -0.83, 1.0),
            rect("dark", 0.83, 0.2, 0.95, 1.0),
        ],
        "suitcase": [
            ring("ink", 0.0, 0.14, 0.14, 0.08),
            rect("main", -0.6, 0.16, 0.6, 0.94),
            rect("dark", -0.4, 0.16, -0.3, 0.94),
            rect("dark", 0.3, 0.16, 0.4, 0.94),
            rect("ink", -0.5, 0.92, -0.34, 1.0),
            rect("ink", 0.34, 0.92, 0.5, 1.0),
        ],
        "frisbee": [oval("main", -1.4, 0.0, 1.4, 1.0), oval("light", -0.9, 0.12, 0.9, 0.6)],
        "apple": [oval("main", -0.5, 0.16, 0.5, 1.0), poly("leaf", 0.0, 0.2, 0.1, 0.0, 0.44, 0.02, 0.1, 0.24)],
        "skateboard": [
            poly("main", -1.9, 0.0, -1.6, 0.3, 1.6, 0.3, 1.9, 0.0, 1.9, 0.3, 1.6, 0.62, -1.6, 0.62, -1.9, 0.3),
            oval("ink", -1.3, 0.5, -0.8, 1.0),
            oval("ink", 0.8, 0.5, 1.3, 1.0),
        ],
        "guitar": [
            stroke("ink", (0.0, 0.6), (0.62, 0.04), 0.12),
            oval("main", -0.62, 0.5, -0.06, 1.0),
            oval("main", -0.32, 0.4, 0.16, 0.82),
            oval("ink", -0.3, 0.56, -0.1, 0.76),
        ],
        "book": [
            rect("main", -0.4, 0.0, 0.4, 1.0),
            rect("paper", 0.26, 0.06, 0.34, 0.94),
            rect("dark", -0.4, 0.0, -0.24, 1.0),
        ],
        "box": [
            rect("main", -0.6, 0.2, 0.6, 1.0),
            rect("dark", -0.1, 0.2, 0.1, 1.0),
            *(
                [
                    poly("dark", -0.6, 0.22, -0.95, 0.0, -0.85, 0.0, -0.5, 0.22),
                    poly("dark", 0.6, 0.22, 0.95, 0.0, 0.85, 0.0, 0.5, 0.22),
                ]
                if is_open
                else [rect("dark", -0.66, 0.12, 0.66, 0.26)]
            ),
        ],
        "bag": [ring("dark", 0.0, 0.26, 0.26, 0.09), poly("main", -0.36, 0.28, 0.36, 0.28, 0.46, 1.0, -0.46, 1.0)],
        "laptop": (
            [
                rect("ink", -0.7, 0.0, 0.7, 0.84),
                rect("glass", -0.58, 0.1, 0.58, 0.72),
                rect("main", -0.85, 0.84, 0.85, 1.0),
            ]
            if is_open
            else [rect("main", -0.85, 0.72, 0.85, 1.0), rect("ink", -0.85, 0.72, 0.85, 0.8)]
        ),
        "phone": [rect("main", -0.28, 0.0, 0.28, 1.0), rect("glass", -0.18, 0.12, 0.18, 0.78)],
        "blanket": [
            poly("main", -0.9, 0.1, -0.3, 0.0, 0.3, 0.08, 0.9, 0.0, 1.0, 1.0, 0.4, 0.92, -0.2, 1.0, -1.0, 0.94),
            poly("dark", -0.93, 0.4, 0.94, 0.36, 0.96, 0.52, -0.95, 0.56),
        ],
        "pillow": [oval("main", -0.8, 0.0, 0.8, 1.0), oval("light", -0.5, 0.2, 0.2, 0.6)],
        "towel": [rect("main", -0.4, 0.0, 0.4, 1.0), rect("dark", -0.4, 0.7, 0.4, 0.82)],
        "door": (
            [
                poly("dark", -0.22, 0.0, -0.02, 0.06, -0.02, 1.0, -0.22, 1.0),
                rect("ink", -0.24, 0.0, -0.2, 1.0),
                rect("ink", -0.22, 0.0, 0.24, 0.03),
                rect("ink", 0.2, 0.0, 0.24, 1.0),
            ]
            if is_open
            else [
                rect("ink", -0.24, 0.0, 0.24, 1.0),
                rect("main", -0.2, 0.03, 0.2, 1.0),
                oval("ink", 0.1, 0.5, 0.16, 0.56),
            ]
        ),
    }
    if kind not in table:
        raise ValueError(f"no figure of kind {kind!r}")
    return table[kind]


def figure(kind: str, pose: str, phase: int) -> list[Shape]:
    """The shapes of a thing, first drawn first. `phase` is 0 at rest, 1 and 2 in turn while it goes."""
    if kind in PEOPLE:
        return _person(kind, pose, phase)
    animals = {
        "dog": _dog,
        "cat": _cat,
        "rabbit": _rabbit,
        "duck": _duck,
        "bird": _bird,
        "baby": _baby,
        "bicycle": _bicycle,
    }
    return animals[kind](pose, phase) if kind in animals else _still(kind, pose)


ANCHORS: dict[tuple[str, str], Point] = {
    ("dog", "mouth"): (0.84, 0.42),
    ("cat", "mouth"): (0.62, 0.5),
    ("rabbit", "mouth"): (0.48, 0.58),
    ("duck", "mouth"): (0.7, 0.24),
    ("baby", "hand"): (0.74, 0.74),
    ("bicycle", "seat"): (-0.2, 0.62),
    ("chair", "seat"): (0.05, 1.0),
    ("sofa", "seat"): (0.0, 1.0),
    ("bench", "seat"): (0.0, 1.0),
    ("table", "top"): (0.0, 0.0),
    ("skateboard", "top"): (0.0, 0.1),
    ("suitcase", "top"): (0.0, 0.16),
    ("sofa", "top"): (0.0, 0.54),
    ("chair", "top"): (0.05, 0.56),
}


def anchor(kind: str, pose: str, at: str) -> Point:
    """The point of a figure to which another thing is attached, in figure space."""
    if at == "hand" and kind in PEOPLE:
        return hand(kind, pose)
    if (kind, at) not in ANCHORS:
        raise ValueError(f"a {kind} has no point called {at!r}")
    return ANCHORS[kind, at]


def shade(colour: str, ink: str) -> Colour:
    """The colour that a shape's ink has on a thing of the given colour name."""
    if ink in INKS:
        return INKS[ink]
    r, g, b = COLOURS[colour]
    if ink == "dark":
        return int(r * 0.68), int(g * 0.68), int(b * 0.68)
    if ink == "light":
        return r + (255 - r) // 3, g + (255 - g) // 3, b + (255 - b) // 3
    return r, g, b


def colours_of(kind: str, colour: str, pose: str = "stand", phase: int = 0) -> set[Colour]:
    """All colours that appear on a thing."""
    return {shade(colour, shape.ink) for shape in figure(kind, pose, phase)}
