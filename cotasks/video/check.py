"""Whether a video is the one that was annotated.

Frame numbers, times and boxes of a record are true of one file. Another copy of the video may have another rate or
another number of frames, a title in front, times of its own, another size, or nothing to see at all; frames are then
read without any fault, and show something else than the record says. So what the record says is compared with what the
file says (`cotasks.video.facts`), with room for what differs between good copies.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cotasks.errors import InputError
from cotasks.video.facts import SPARE_FRAMES, VideoFacts, video_facts

MODES = ("fail", "warn", "off")
"""What is done about a video that is not the annotated one: it is an error, or a line in the log, or nothing."""

FRAMES_TOLERANCE = SPARE_FRAMES
"""Most frames that a file has more or fewer than the record says; see there."""

RATE_TOLERANCE = 0.005
"""Greatest relative difference of rates: 29.97 stands for 30000/1001, and often 30 for it (0.1%), and a header's
average counts the last frame's length, which is a frame in some hundreds. The nearest rates of real copies, 24 and 25,
differ by 4%."""

SECONDS_TOLERANCE = 0.2
"""Most seconds that a frame is shown earlier or later than `number / fps`, beside DRIFT_TOLERANCE: phones and cameras
keep time to a few frames, while 64 frames of a video of 44 s are 0.7 s apart."""
DRIFT_TOLERANCE = 0.002
"""The same, as a share of the time since the first frame: 30 said for 29.97 is 0.06 s in a minute."""

ASPECT_TOLERANCE = 0.03
"""Greatest relative difference between the aspect ratios of video and record; 854x480 stands for 16:9."""

SIDE_480P = 480
"""Pixels of the longer side of Charades' videos at 480p, which STAR's boxes refer to: Action Genome, where the boxes
come from, gives 480x270 for its first video."""
REACH_SLACK = 1.0
"""Pixels that a box may reach out of the frame."""

Size = tuple[int, int]

_log = logging.getLogger("cotasks.video.check")
_said: set[str] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Expected:
    """What a record says of its video."""

    fps: float
    frames: tuple[int, ...]
    """0-based numbers of the frames that may be shown."""
    frame_count: int | None = None
    """None where the record does not say."""
    size: Size | None = None
    """(width, height) that boxes refer to; None where the record does not say."""
    reach: tuple[float, float] | None = None
    """Where `size` is None and boxes refer to the video at 480p: the greatest x and y of them, in pixels; (0, 0) where
    there is none."""


OTHER_VIDEO = (
    "video with another frame rate",
    "frame beyond the end of the video",
    "video with another number of frames",
    "video whose frames are shown at other times",
    "video of another shape than its record",
    "video without anything to see",
)
"""The reasons by which a file is not the video that was annotated."""


class OtherVideo(InputError):
    """A file is not the video that was annotated."""


@dataclass(frozen=True)
class Fault:
    """Something that a file is other than its record says."""

    reason: str
    """Short, without values: equal faults add up."""
    detail: str
    """What was found; what was expected."""


def faults(expected: Expected, facts: VideoFacts) -> list[Fault]:
    """How a file differs from what a record says of it, the gravest first; empty where it does not."""
    info, found = facts.info, list[Fault]()
    wanted = np.asarray(expected.frames or (0,), np.int64)
    there = wanted[wanted < info.frame_count]
    due, shown = there / expected.fps, facts.seconds(there)
    strays = np.abs(shown - due) - DRIFT_TOLERANCE * due
    stray = bool((strays > SECONDS_TOLERANCE).any())
    other_rate = min(abs(rate / expected.fps - 1) for rate in (facts.rate, info.fps)) > RATE_TOLERANCE
    if facts.times is None and (other_rate or stray):
        found.append(
            Fault(
                "video with another frame rate",
                f"{facts.rate:.6g} frames a second; expected the record's {expected.fps:.6g}",
            )
        )
    last = int(wanted.max())
    if last > info.frame_count - 1 + SPARE_FRAMES or not info.frame_count:
        found.append(
            Fault(
                "frame beyond the end of the video",
                f"frame {last} asked for; expected 0 to {info.frame_count - 1}, the video has {info.frame_count} "
                "frames",
            )
        )
    if expected.frame_count is not None and abs(info.frame_count - expected.frame_count) > FRAMES_TOLERANCE:
        found.append(
            Fault(
                "video with another number of frames",
                f"{info.frame_count} frames; expected the record's {expected.frame_count}",
            )
        )
    if facts.times is not None and stray:
        worst = int(strays.argmax())
        found.append(
            Fault(
                "video whose frames are shown at other times",
                f"frame {there[worst]} is shown at {shown[worst]:.2f} s; expected {due[worst]:.2f} s, by the record's "
                f"{expected.fps:.6g} frames a second",
            )
        )
    found += _size_faults(expected, info.width, info.height)
    if facts.flat:
        found.append(
            Fault("video without anything to see", "its frames are black, or of one colour; expected pictures")
        )
    return found


def _size_faults(expected: Expected, width: int, height: int) -> list[Fault]:
    if expected.size is not None:
        if abs(width * expected.size[1] / (height * expected.size[0]) - 1) <= ASPECT_TOLERANCE:
            return []
        what = f"{width}x{height}; expected the shape of the record's {expected.size[0]}x{expected.size[1]}"
    elif expected.reach is not None and size_at_480p((width, height), expected.reach) is None:
        x, y = expected.reach
        what = (
            f"{width}x{height}; expected a shape that, with a longer side of {SIDE_480P}, holds the record's boxes, "
            f"which reach to {x:g}, {y:g}"
        )
    else:
        return []
    return [Fault("video of another shape than its record", what)]


def size_at_480p(size: Size, reach: tuple[float, float]) -> Size | None:
    """The (width, height) that boxes drawn on a video at 480p refer to; None where they do not fit into its shape.

    A file that is smaller, and holds the boxes as they are, is taken for one that was never larger.

    Args:
        size: (width, height) of the file at hand, of whatever size.
        reach: the greatest x and y of the boxes, in pixels.
    """
    longer = max(size)
    scaled = (round(size[0] * SIDE_480P / longer), round(size[1] * SIDE_480P / longer))
    for one in (size, scaled) if longer <= SIDE_480P else (scaled,):
        if reach[0] <= one[0] + REACH_SLACK and reach[1] <= one[1] + REACH_SLACK:
            return one
    return None


def look_at(path: Path, expected: Expected, mode: str = "fail") -> VideoFacts:
    """The facts of a file, compared with what a record says of it.

    Args:
        path: the video file.
        expected: by the record.
        mode: one of MODES.

    Raises InputError as `cotasks.video.facts.video_facts` does, and with mode `fail` OtherVideo, with the reason of the
    gravest fault, where the file is not the annotated one.
    """
    facts = video_facts(path, pictures=check_mode(mode) != "off")
    found = faults(expected, facts) if mode != "off" else []
    if found:
        error = fault_error(path, found)
        if mode == "fail":
            raise error
        _warn(f"{error}; used all the same, as --video-check warn says")
    return facts


def fault_error(path: str | Path, found: Sequence[Fault]) -> OtherVideo:
    """One error that tells all faults of a file."""
    return OtherVideo(f"{path}: {'; also '.join(fault.detail for fault in found)}", found[0].reason)


def check_mode(mode: str) -> str:
    """The mode. Raises InputError where it is none of MODES."""
    if mode not in MODES:
        raise InputError(f"video check {mode!r}; expected {', '.join(MODES)}")
    return mode


def _warn(line: str) -> None:
    """Log a line, once in this process: a video has many questions."""
    with _lock:
        new = line not in _said
        _said.add(line)
    if new:
        _log.warning("%s", line)
