"""MOTChallenge text: `frame, id, left, top, width, height, confidence, class, visibility` a line.

Frames are 1-based, and so are left and top. A confidence of 0 marks what the benchmark does not count; one between 0
and 1 is a detector's score. A class is a number of MOT16 and MOT17's list; results of trackers have none, and need
`category`. `seqinfo.ini`, beside the file or above its folder, tells name, rate, length and size.
"""

from __future__ import annotations

import configparser
from pathlib import Path

from cotasks.convert.building import (
    Converted,
    Draft,
    Told,
    from_xywh,
    need_video,
    number_of,
    read_lines,
    told_or,
    whole_of,
)
from cotasks.errors import InputError, shorten

CLASSES = (
    *("pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person"),
    *("distractor", "occluder", "occluder on the ground", "occluder full", "reflection", "crowd"),
)
"""Class 1 and on: Milan et al., "MOT16: A Benchmark for Multi-Object Tracking", 2016, table 3."""


def read(path: Path, told: Told) -> Converted:
    """The one video of a file. Raises InputError that names file, line, value and what was expected."""
    found = Converted()
    draft = told_or(told, _draft(path, told, found))
    for place, line in read_lines(path):
        values = [value.strip() for value in line.split(",")]
        if not 6 <= len(values) <= 10:
            raise InputError(
                f"{place}: {shorten(line)}; expected frame, id, left, top, width, height, confidence, class"
            )
        frame, entity = (
            whole_of(value, f"{place}: {name}") for value, name in zip(values, ("frame", "id"), strict=False)
        )
        left, top, width, height = (number_of(value, float, f"{place}: box") for value in values[2:6])
        confidence = number_of(values[6], float, f"{place}: confidence") if len(values) > 6 else -1.0
        if frame < 1 or entity < 0:
            raise InputError(
                f"{place}: frame {frame}, id {entity}; expected a frame from 1 and the id of a track from 0"
            )
        if confidence == 0:
            found.left_out["boxes of confidence 0"] += 1
            continue
        score = confidence if 0 < confidence < 1 else None
        draft.add(
            entity,
            _category(values, told, place),
            frame - 1,
            from_xywh(left - 1, top - 1, width, height),
            generated=score is not None,
            score=score,
        )
    found.videos.append(draft.finish("MOT"))
    return found


def _category(values: list[str], told: Told, place: str) -> str:
    number = whole_of(values[7], f"{place}: class") if len(values) in (8, 9) else -1
    if told.category is not None:
        return told.category
    if not 1 <= number <= len(CLASSES):
        raise InputError(f"{place}: it names no class; expected --category, or a class from 1 to {len(CLASSES)}")
    return CLASSES[number - 1]


def _draft(path: Path, told: Told, found: Converted) -> Draft:
    ini = next((p for p in (path.parent / "seqinfo.ini", path.parent.parent / "seqinfo.ini") if p.is_file()), None)
    if ini is None:
        return Draft(need_video(told, path), None, None, None, None, str(path), found.left_out)
    parser = configparser.ConfigParser()
    try:
        parser.read(ini, encoding="utf-8")
        info = parser["Sequence"]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise InputError(
            f"{ini}: not read; expected [Sequence] with name, frameRate, seqLength, imWidth, imHeight"
        ) from None
    name = info.get("name", "").strip()
    length, width, height = (
        whole_of(info[key], f"{ini}: {key}") if key in info else None for key in ("seqLength", "imWidth", "imHeight")
    )
    fps = number_of(info["frameRate"], float, f"{ini}: frameRate") if "frameRate" in info else None
    video = f"{name}.mp4" if name else need_video(told, path)
    return Draft(video, fps, length, width, height, str(path), found.left_out)
