"""Step 2, entity tracking (A2): where the entities of A1 are on its frames.

In a prompt, one line an entity, boxes in the model family's coordinates:

    adult 1: 0.00s [120, 44, 310, 270]; 3.94s [131, 44, 322, 271]
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cotasks.records.boxes import CoordinateFormat, Xyxy, format_box, iou, parse_box
from cotasks.records.schema import Box, FrameLocalization, Scene, Track
from cotasks.records.timeline import uniform_grid
from cotasks.steps.context import Parsed, StepContext, parse_items, render_items, split_item
from cotasks.steps.measures import mean, said_none

_BOX = re.compile(r"(.+?)\s*\[\s*" + r"\s*,\s*".join([r"(-?\d{1,9}(?:\.\d{1,9})?)"] * 4) + r"\s*\]")


def construct(scene: Scene, localization: FrameLocalization) -> tuple[Track, ...]:
    """The boxes of A1's entities on A1's frames, by tid; entities without a box there are left out."""
    tids = {entity.tid for entity in localization.entities}
    frames = set(localization.frames)
    tracks = []
    for track in scene.entity_tracking:
        if track.tid in tids:
            boxes = tuple([box for box in track.boxes if box.frame in frames])
            # a track that is kept whole is that of the scene, not a copy
            tracks.append(track if len(boxes) == len(track.boxes) else dataclasses.replace(track, boxes=boxes))
    return tuple(track for track in tracks if track.boxes)


def thin(tracks: Iterable[Track], boxes_per_entity: int) -> tuple[Track, ...]:
    """At most `boxes_per_entity` (>= 1) boxes of each track, evenly over those it has."""
    return tuple(
        dataclasses.replace(
            track, boxes=tuple(track.boxes[i] for i in uniform_grid(0, len(track.boxes) - 1, boxes_per_entity))
        )
        for track in tracks
    )


def render(tracks: tuple[Track, ...], context: StepContext) -> str:
    """One line an entity: its boxes in order of frame."""

    def line(track: Track) -> str:
        boxes = (
            f"{context.frame_text(box.frame)} {format_box(box.xyxy, context.source_size, context.coordinates)}"
            for box in track.boxes
        )
        return f"{context.names[track.tid]}: {'; '.join(boxes)}"

    return render_items(tracks, line)


def parse(text: str, context: StepContext) -> Parsed[tuple[Track, ...]]:
    """Read A2 back, boxes in pixels of the source; `generated` is False. A box of a frame named twice, an inverted
    box, one that is not in these coordinates (`is_in_frame`), and a frame off the grid are left unread."""

    def read(line: str) -> Parsed[Track | None]:
        name, rest = split_item(line)
        entity = context.entity(name)
        if entity is None:
            return Parsed(None, (line,))
        boxes: dict[int, Box] = {}
        unread = []
        for item in rest.split(";"):
            match = _BOX.fullmatch(item.strip())
            frame = context.read_frame(match[1]) if match else None
            if match is None or frame is None or frame in boxes:
                unread.append(item.strip())
                continue
            x1, y1, x2, y2 = (float(number) for number in match.groups()[1:])
            if x1 > x2 or y1 > y2 or not is_in_frame((x1, y1, x2, y2), context.coordinates):
                unread.append(item.strip())
                continue
            xyxy = parse_box((x1, y1, x2, y2), context.source_size, context.coordinates)
            boxes[frame] = Box(frame, xyxy, generated=False)
        track = Track(entity.tid, entity.category, tuple(boxes[frame] for frame in sorted(boxes)))
        return Parsed(track if boxes else None, tuple(unread))

    return parse_items(text, read)


def is_in_frame(numbers: Xyxy, form: CoordinateFormat) -> bool:
    """Whether numbers can be a box in these coordinates: none leaves the frame by more than a twentieth of its side.
    (Annotators' boxes may lie a little over the edge; 0 to 1000 on a frame of 448 pixels are no pixels.)"""
    return all(-0.05 <= number / side <= 1.05 for number, side in zip(numbers, form.scale * 2, strict=True))


@dataclass(frozen=True)
class Score:
    """A2 against the truth, 0 to 1; see `cotasks.steps.measures` for None."""

    mean_iou: float | None
    """Mean IoU of the boxes that were due; a box that was not predicted counts 0."""
    recall: float | None
    """Share of the boxes that were due whose IoU is 0.5 or more."""
    precision: float | None
    """Share of the predicted boxes whose IoU is 0.5 or more; those of entities that are not true ones lower it."""
    viou: float | None
    """Mean over true tracks of the total IoU over the number of frames that either track has."""
    none_when_there_is_none: float | None
    """Whether nothing was said, where the truth has no box."""


def score(predicted: Iterable[Track], truth: Iterable[Track], boxes_per_entity: int | None = None) -> Score:
    """Boxes by entity (tid; match them first: `cotasks.steps.matching`) and frame.

    All of a true track's boxes are due; where a model was asked for at most `boxes_per_entity`, so many of them, on
    frames of the model's choice. Where it names more, all that meet a true box count, so more boxes gain nothing.

    Mean IoU is the average overlap of single-object tracking (Wu et al. 2013, where a lost frame overlaps 0), 0.5
    the usual threshold there and in VidVRD (Shang et al. 2017). `viou` is that of spatio-temporal grounding on VidOR
    (VidSTG, Zhang et al. 2020): the IoU over common frames, divided by the number of frames of either.
    """
    ours, theirs = _boxes(predicted), _boxes(truth)
    total_due, total, right, per_track = 0, 0.0, 0, []
    for tid, boxes in theirs.items():
        found = [iou(ours[tid][frame], box) for frame, box in boxes.items() if frame in ours.get(tid, {})]
        due = max(min(len(boxes), boxes_per_entity or len(boxes)), len(found))
        elsewhere = len(ours.get(tid, {})) - len(found)
        total_due += due
        total += sum(found)
        right += sum(value >= 0.5 for value in found)
        per_track.append(sum(found) / (due + elsewhere))
    claimed = sum(len(boxes) for boxes in ours.values())
    return Score(
        mean_iou=total / total_due if total_due else None,
        recall=right / total_due if total_due else None,
        precision=right / claimed if claimed else None,
        viou=mean(per_track),
        none_when_there_is_none=said_none(claimed, total_due),
    )


def ceiling(tracks: Iterable[Track], context: StepContext) -> float | None:
    """The mean IoU of an echo of the truth: what is left after `format_box` has rounded. None without a box.

    Half a unit an edge is lost at most. Boxes hardly larger than a unit of the coordinates may lose all.
    """

    def rounded(xyxy: Xyxy) -> Xyxy:
        numbers = format_box(xyxy, context.source_size, context.coordinates)[1:-1].split(", ")
        x1, y1, x2, y2 = (float(number) for number in numbers)
        return parse_box((x1, y1, x2, y2), context.source_size, context.coordinates)

    return mean([iou(rounded(box.xyxy), box.xyxy) for track in tracks for box in track.boxes])


def _boxes(tracks: Iterable[Track]) -> dict[int, dict[int, Xyxy]]:
    """tid -> frame -> box; of two on one frame the first."""
    result: dict[int, dict[int, Xyxy]] = {}
    for track in tracks:
        for box in track.boxes:
            result.setdefault(track.tid, {}).setdefault(box.frame, box.xyxy)
    return result


BOXES_PER_ENTITY = 8
