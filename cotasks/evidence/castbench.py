"""CaST-Bench's scores of an answer with its evidence, by the rules of its publisher.

Zhang et al. 2026; github.com/mf-zhang/CaST-Bench-Evaluation, `metrics/`, with the settings of its `evaluate.sh`:
a match needs two seconds in common, evidence is faithful from 0.1 on, boxes are pixels.

- Time is whole seconds, both ends included. All pieces of a thing are one timeline, from their first to their last
  second; at a second it has the largest of its boxes there, of pieces that hold that second.
- Things are matched one to one, greedily: the pair with the greatest mean IoU of boxes over the seconds in common
  first, then that with more such seconds. A second at which either has no box counts 0; a pair with fewer than two
  seconds in common, or with a mean of 0, is none. So time is scored where boxes meet, and nowhere else.
- Temporal IoU of a pair: seconds in common over seconds from the first to the last of either. Spatio-temporal IoU:
  that times the mean IoU of boxes. Of an answer: their sums over the true things' number.
- An answer is right where its letter is; faithful where it is right and a pair reaches 0.1; spurious where it is right
  and none does.

`read_as_published` reads an answer as the publisher does, with all that this loses: JSON that `json` and `ast` refuse
is no evidence. `timelines_of` takes what `cotasks.evidence` reads instead.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotasks.evidence.evidence import Evidence
from cotasks.records.boxes import Xyxy, area, iou

LEAST_COMMON = 2
"""Seconds that two timelines must share (`eps_overlap`)."""
LAST_SECOND = 10**9
"""What a later second counts as: the publisher's scorer, which lists them all, gets to the end of no such answer."""
FAITHFUL = 0.1
"""Spatio-temporal IoU of evidence that an answer is faithful to (`tau_st`)."""


@dataclass(frozen=True)
class Timeline:
    """A thing over time."""

    start: int
    end: int
    """Whole seconds, both included; end < start where it has none."""
    boxes: Mapping[int, Xyxy]
    """Second -> box, within them."""


@dataclass(frozen=True)
class Scores:
    """Of one answer, 0 to 1."""

    right: float
    faithful: float
    spurious: float
    temporal_iou: float
    spatiotemporal_iou: float


@dataclass(frozen=True)
class Published:
    """An answer as the publisher's scorer reads it."""

    choice: str | None
    timelines: tuple[Timeline, ...]


def score(right: bool, said: Sequence[Timeline], truth: Sequence[Timeline]) -> Scores:
    """The scores of an answer from its timelines and the true ones."""
    pairs = _matched(said, truth)
    spatiotemporal = [_temporal_iou(a, b) * _mean_iou(a, b) for a, b in pairs]
    is_faithful = right and any(value >= FAITHFUL for value in spatiotemporal)
    things = max(1, len(truth))
    return Scores(
        right=float(right),
        faithful=float(is_faithful),
        spurious=float(right and not is_faithful),
        temporal_iou=sum(_temporal_iou(a, b) for a, b in pairs) / things,
        spatiotemporal_iou=sum(spatiotemporal) / things,
    )


def _matched(said: Sequence[Timeline], truth: Sequence[Timeline]) -> list[tuple[Timeline, Timeline]]:
    candidates = []
    for i, ours in enumerate(said):
        for j, theirs in enumerate(truth):
            common = len(_common(ours, theirs))
            if common >= LEAST_COMMON and (mean := _mean_iou(ours, theirs)) > 0:
                candidates.append((-mean, -common, i, j))
    pairs: list[tuple[Timeline, Timeline]] = []
    taken_said, taken_true = set[int](), set[int]()
    for _, _, i, j in sorted(candidates):
        if i not in taken_said and j not in taken_true:
            taken_said.add(i)
            taken_true.add(j)
            pairs.append((said[i], truth[j]))
    return pairs


def _common(a: Timeline, b: Timeline) -> range:
    return range(max(a.start, b.start), min(a.end, b.end) + 1)


def _mean_iou(a: Timeline, b: Timeline) -> float:
    """Over the seconds in common, at least one."""
    return sum(iou(a.boxes[t], b.boxes[t]) for t in sorted(a.boxes.keys() & b.boxes.keys())) / len(_common(a, b))


def _temporal_iou(a: Timeline, b: Timeline) -> float:
    return len(_common(a, b)) / (max(a.end, b.end) - min(a.start, b.start) + 1)


def timelines_of(evidence: Evidence) -> tuple[Timeline, ...]:
    """The timelines of evidence whose boxes are in pixels; moments between two seconds are those of the nearest one."""
    return tuple(
        _timeline(
            [
                (_whole(p.start), _whole(p.end), [(_whole(box.second), box.numbers) for box in p.boxes])
                for p in instance.pieces
            ]
        )
        for instance in evidence.instances
    )


def _whole(second: float) -> int:
    return int(second + 0.5)


def _timeline(pieces: Sequence[tuple[int, int, Sequence[tuple[int, Xyxy]]]]) -> Timeline:
    """Pieces (start, end, boxes by second) of one thing -> its timeline. Inverted and flat boxes are none."""
    if not pieces:
        return Timeline(0, -1, {})
    boxes: dict[int, Xyxy] = {}
    for start, end, found in pieces:
        for second, box in found:
            is_box = start <= second <= end and box[0] < box[2] and box[1] < box[3]
            if is_box and (second not in boxes or area(box) > area(boxes[second])):
                boxes[second] = box
    return Timeline(min(p[0] for p in pieces), max(p[1] for p in pieces), boxes)


# The publisher's reading


def read_as_published(text: str) -> Published:
    """An answer as the publisher's scorer reads it: nothing where it finds no object that `json` or `ast` reads."""
    found = _first_object(text)
    return Published(None, ()) if not found or _is_box_map(found) else _published(found)


def truth_of(row: Mapping[str, Any]) -> Published:
    """A row of `evidence.jsonl`: what a built folder states, or what was read of an answer."""
    return _published(row)


def _published(found: Mapping[str, Any]) -> Published:
    choice = found.get("answer_choice")
    letter = choice.strip().upper() if isinstance(choice, str) else ""
    instances = found.get("instances", [])
    timelines = []
    for instance in instances if isinstance(instances, list) else []:
        if isinstance(instance, dict):
            pieces = instance.get("evidences", []) or []
            pieces = pieces if isinstance(pieces, list | dict) else []
            timelines.append(_timeline([_piece(piece) for piece in pieces if isinstance(piece, dict)]))
    return Published(letter if re.fullmatch("[A-Z]", letter) else None, tuple(timelines))


def _first_object(text: str) -> dict[str, Any] | None:
    """Of the outermost {...} of a text that can be read, the first with `instances` or `answer_choice`, else the
    first."""
    if "</think>" in text:
        text = text.split("</think>", 1)[1]
    found = list(_objects(text))
    return next((one for one in found if "instances" in one or "answer_choice" in one), found[0] if found else None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Braces are counted without regard to strings, and a closing one too many is passed over."""
    depth, start = 0, 0
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            start = match.start() if depth == 0 else start
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                value = _value(text[start : match.end()])
                if isinstance(value, dict):
                    yield value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of a backslash that Python does not know
                return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def _is_box_map(value: Mapping[Any, Any]) -> bool:
    """`{"00:01": "[1, 2, 3, 4]"}` and nothing else."""
    return all(
        isinstance(key, str)
        and isinstance(box, str)
        and re.fullmatch(r"\d{2}:\d{2}", key)
        and re.fullmatch(r"\[\d+,\s*\d+,\s*\d+,\s*\d+\]", box)
        for key, box in value.items()
    )


def _piece(piece: Mapping[str, Any]) -> tuple[int, int, list[tuple[int, Xyxy]]]:
    start, end = (_published_seconds(piece.get(f"evidence_{name}_time")) for name in ("start", "end"))
    boxes = piece.get("bboxes_in_time_range", {})
    by_key = {_spelt(key): box for key, box in boxes.items()} if isinstance(boxes, dict) else {}
    found = ((_published_seconds(key), _published_box(box)) for key, box in by_key.items())
    return start, end, [(second, box) for second, box in found if box is not None]


def _spelt(value: Any) -> str:
    """A time as `mm:ss` where it is a clock or a number; as it stands else."""
    text = "" if value is None else str(value).strip()
    parts = text.split(":")
    if len(parts) in (2, 3) and all(map(str.isdecimal, parts)):
        numbers = [int(min(float(part), LAST_SECOND)) for part in parts]
        if len(parts) == 2:
            return f"{numbers[0]:02d}:{numbers[1]:02d}"
        total = numbers[0] * 3600 + numbers[1] * 60 + numbers[2]
        return f"{total // 60:02d}:{total % 60:02d}"
    try:
        return f"00:{int(float(text)):02d}"
    except (ValueError, OverflowError):
        return text


def _published_seconds(value: Any) -> int:
    """Whole seconds of a time, by the groups of digits in it; 0 where there is none."""
    text = _spelt(value)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return int(min(float(text), LAST_SECOND))
    numbers = [int(min(float(group), LAST_SECOND)) for group in re.findall(r"\d+", text)[:3]]
    if len(numbers) == 3:
        return min(numbers[0] * 3600 + numbers[1] * 60 + numbers[2], LAST_SECOND)
    return min(numbers[0] * 60 + numbers[1], LAST_SECOND) if len(numbers) == 2 else sum(numbers)


def _published_box(value: Any) -> Xyxy | None:
    """Four numbers, or the same in brackets as text."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.startswith("[") and text.endswith("]")):
            return None
        value = text[1:-1].split(",")
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    try:
        x1, y1, x2, y2 = (float(number) for number in value)
    except (TypeError, ValueError):
        return None
    return x1, y1, x2, y2
