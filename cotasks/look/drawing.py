"""Records to look at: a contact sheet of grid frames with boxes, and a readable text."""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError, MissingExtra
from cotasks.records.boxes import CoordinateFormat, Size, Xyxy
from cotasks.records.naming import entity_names
from cotasks.records.schema import Frame, Record, Track
from cotasks.records.timeline import uniform_grid
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations
from cotasks.steps.context import NOTHING, StepContext

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#BBBBBB")
"""Colours that people with any colour vision tell apart (Okabe and Ito 2008, without black; grey added)."""

FONT_SIZE = 14
_GAP = 8
_LINE = 20
_INK, _PAPER, _BLANK = "#202020", "#FFFFFF", "#DDDDDD"
_MARK = "#004D40"
_TRIPLE_LINES = 6


@dataclass(frozen=True)
class LabelledBox:
    """A box to draw."""

    xyxy: Xyxy
    """x1, y1, x2, y2 in pixels of the image, continuous edges."""
    label: str
    colour: str
    """`#RRGGBB`."""
    dashed: bool = False


def draw_boxes(image: NDArray[np.uint8], boxes: Sequence[LabelledBox]) -> Image:
    """An RGB image, (height, width, 3), with boxes and their labels.

    A label lies at its box, inside the image, and off the other labels where there is room.

    Raises MissingExtra without Pillow.
    """
    canvas = _pillow()[0].fromarray(image).convert("RGB")
    _draw_boxes(canvas, boxes)
    return canvas


def track_styles(tids: Iterable[int]) -> dict[int, tuple[str, bool]]:
    """Entity id -> (colour, dashed): the palette in order of id, dashed from the second time through."""
    return {tid: (PALETTE[place % len(PALETTE)], place >= len(PALETTE)) for place, tid in enumerate(sorted(set(tids)))}


def boxes_by_frame(record: Record, tracks: Iterable[Track], source: Size, target: Size) -> dict[int, list[LabelledBox]]:
    """Frame number -> its boxes, labelled as in prompts, scaled from (width, height) `source` to `target`."""
    names = entity_names(record.scene.entities)
    styles = track_styles(entity.tid for entity in record.scene.entities)
    across, down = target[0] / source[0], target[1] / source[1]
    boxes: dict[int, list[LabelledBox]] = {}
    for track in tracks:
        colour, dashed = styles[track.tid]
        for box in track.boxes:
            x1, y1, x2, y2 = box.xyxy
            scaled = (x1 * across, y1 * down, x2 * across, y2 * down)
            boxes.setdefault(box.frame, []).append(LabelledBox(scaled, names[track.tid], colour, dashed))
    return boxes


def contact_sheet(
    record: Record,
    frames: NDArray[np.uint8] | None,
    shown: Sequence[Frame] | None = None,
    columns: int = 4,
    panel_width: int = 320,
    max_panels: int = 16,
    steps: Literal["scene", "a2"] = "a2",
) -> Image:
    """Grid frames of a record with boxes, under a header with question, answer, choices and triples.

    Args:
        record: what to draw.
        frames: RGB, (T, height, width, 3), one for each of `shown`, of any size with the video's proportions; None
            draws on blank panels.
        shown: the frames that `frames` holds; None for the record's grid.
        columns: panels in a row.
        panel_width: width of a panel in pixels.
        max_panels: where there are more frames, an even choice of A1's frames, and of the others if these are fewer.
        steps: `a2` draws the boxes of step 2, which stand on A1's frames only; `scene` draws all annotated boxes.

    Raises InputError where `frames` does not fit `shown`, MissingExtra without Pillow.
    """
    pil_image, pil_draw, font = _pillow()
    shown = record.frames if shown is None else shown
    if frames is not None and (frames.ndim != 4 or frames.shape[0] != len(shown) or frames.shape[3] != 3):
        raise InputError(f"frames have shape {frames.shape}; expected ({len(shown)}, height, width, 3)")
    context = _context(record)
    width, height = _size(record, frames)
    panel = (panel_width, max(1, round(panel_width * height / width)))
    tracks = record.scene.entity_tracking if steps == "scene" else record.entity_tracking
    boxes = boxes_by_frame(record, tracks, (width, height), panel)

    places = _choose(shown, set(record.frame_localization.frames), max_panels)
    columns = max(1, min(columns, len(places)))
    total_width = max(columns * (panel[0] + _GAP) + _GAP, 640)
    header = _header(record, context, total_width - 2 * _GAP, font)
    top = len(header) * _LINE + 2 * _GAP
    step_x, step_y = panel[0] + _GAP, panel[1] + _LINE + _GAP
    rows = -(-len(places) // columns)
    sheet: Image = pil_image.new("RGB", (total_width, top + rows * step_y), _PAPER)
    draw = pil_draw.Draw(sheet)
    for number, (text, colour) in enumerate(header):
        draw.text((_GAP, _GAP + number * _LINE), text, fill=colour, font=font)
    for number, place in enumerate(places):
        x, y = _GAP + number % columns * step_x, top + number // columns * step_y
        frame = shown[place]
        canvas = pil_image.new("RGB", panel, _BLANK)
        if frames is not None:
            canvas = pil_image.fromarray(frames[place]).convert("RGB").resize(panel)
        _draw_boxes(canvas, boxes.get(frame.index, ()))
        sheet.paste(canvas, (x, y))
        marked = frame.index in record.frame_localization.frames
        caption = f"frame {frame.index}   {frame.seconds:.2f} s" + ("   A1" if marked else "")
        bar = (x, y + panel[1], x + panel[0] - 1, y + panel[1] + _LINE - 1)
        draw.rectangle(bar, fill=_MARK if marked else _BLANK)
        draw.text((x + 4, bar[1] + 2), _shorten(caption, panel[0] - 8, font), _PAPER if marked else _INK, font=font)
        if marked:
            draw.rectangle((x - 2, y - 2, x + panel[0] + 1, bar[3] + 2), outline=_MARK, width=2)
    return sheet


def describe(record: Record) -> str:
    """A record as readable text: question, answer, grid and the four steps, entities by name, times in the file."""
    context = _context(record)
    a1, scene = record.frame_localization, record.scene
    size = f"{record.width}x{record.height}" if record.width and record.height else "size unknown"
    count = f"{record.frame_count} frames" if record.frame_count is not None else "number of frames unknown"
    first, last = record.frames[0], record.frames[-1]
    lines = [
        record.id,
        f"{record.source}, {record.question_type} ({record.category}), video {record.video_path}",
        f"{count}, {record.fps:g} frames a second, {size}, "
        f"clip {record.clip.start_seconds:.2f}s to {record.clip.end_seconds:.2f}s",
        "",
        f"Question: {record.question}",
        *_choice_lines(record),
        f"Answer: {record.answer}" + "".join(f" / {answer}" for answer in record.additional_answers),
        "",
        f"Grid: {len(record.frames)} frames, {first.index} ({first.seconds:.2f}s) to "
        f"{last.index} ({last.seconds:.2f}s)",
        f"Scene: {len(scene.entities)} entities, {sum(len(track.boxes) for track in scene.entity_tracking)} boxes, "
        f"{len(scene.spatial_relations)} spatial and {len(scene.temporal_relations)} temporal relations",
        "",
        f"Step 1, frame localization: spans {a1.span_origin}, entities {a1.entity_origin}"
        + (", the answer was used" if a1.used_answer else ""),
        "  spans: " + "; ".join(f"{span.start_seconds:.2f}s to {span.end_seconds:.2f}s" for span in a1.spans),
        f"  frames: {context.frames_text(a1.frames)} ({len(a1.frames)} of {len(record.frames)})",
        "  entities: " + (", ".join(f"{context.names[e.tid]} (tid {e.tid})" for e in a1.entities) or NOTHING),
        "Step 2, entity tracking",
        *(f"  {line}" for line in _track_lines(record, context)),
        "Step 3, spatial relations",
        *(f"  {line}" for line in spatial_relations.render(record.spatial_relations, context).splitlines()),
        "Step 4, temporal relations",
        *(f"  {line}" for line in temporal_relations.render(record.temporal_relations, context).splitlines()),
    ]
    return "\n".join(lines)


def _pillow() -> tuple[Any, Any, Any]:
    """(PIL.Image, PIL.ImageDraw, the font that comes with Pillow)."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise MissingExtra("Pillow", "video") from None
    return Image, ImageDraw, ImageFont.load_default(size=FONT_SIZE)


def _size(record: Record, frames: NDArray[np.uint8] | None) -> Size:
    """The size that the record's boxes refer to; where the source does not say, the frames' or the boxes' own."""
    if record.width and record.height:
        return record.width, record.height
    if frames is not None:
        return frames.shape[2], frames.shape[1]
    corners = [box.xyxy[2:] for track in record.scene.entity_tracking for box in track.boxes]
    if not corners:
        return 640, 480
    return max(1, round(max(x for x, _ in corners))), max(1, round(max(y for _, y in corners)))


def _context(record: Record) -> StepContext:
    """Names and times as in a prompt, but times of the file and boxes in its pixels."""
    size = _size(record, None)
    return StepContext(
        entities=record.scene.entities,
        frames=record.frames,
        fps=record.fps,
        clip=dataclasses.replace(record.clip, start_seconds=0.0),
        source_size=size,
        coordinates=CoordinateFormat("pixels", size),
    )


def _choose(shown: Sequence[Frame], preferred: set[int], number: int) -> list[int]:
    """Positions of at most `number` of the frames, evenly: the preferred first, then of the others."""
    ours = [place for place, frame in enumerate(shown) if frame.index in preferred]
    others = [place for place, frame in enumerate(shown) if frame.index not in preferred]
    chosen: list[int] = []
    for places in (ours, others):
        room = number - len(chosen)
        if places and room > 0:
            chosen += [places[i] for i in uniform_grid(0, len(places) - 1, room)]
    return sorted(chosen)


def _choice_lines(record: Record) -> list[str]:
    """The choices, one a line, the right one marked."""
    return [
        f"  [{'x' if place == record.answer_index else ' '}] {chr(ord('A') + place)}. {choice}"
        for place, choice in enumerate(record.choices)
    ]


def _track_lines(record: Record, context: StepContext) -> list[str]:
    """One line an entity: up to three of its boxes, and how many there are."""
    if not record.entity_tracking:
        return [NOTHING]
    thinned = entity_tracking.render(entity_tracking.thin(record.entity_tracking, 3), context).splitlines()
    counts = []
    for track in record.entity_tracking:
        generated = sum(box.generated for box in track.boxes)
        boxes = "1 box" if len(track.boxes) == 1 else f"{len(track.boxes)} boxes"
        counts.append(boxes + (f", {generated} by a tracker" if generated else ""))
    return [f"{line} ({count})" for line, count in zip(thinned, counts, strict=True)]


def _header(record: Record, context: StepContext, width: int, font: Any) -> list[tuple[str, str]]:
    """The lines above the panels with their colours."""
    a1 = record.frame_localization
    texts = (f"{record.id} ({record.question_type})", f"Question: {record.question}")
    lines = [(line, _INK) for text in texts for line in _wrap(text, width, font)]
    if record.choices:
        for place, choice in enumerate(_choice_lines(record)):
            right = place == record.answer_index
            lines += [(line, _MARK if right else _INK) for line in _wrap(choice, width, font)[:2]]
    else:
        answers = " / ".join((record.answer, *record.additional_answers))
        lines += [(line, _MARK) for line in _wrap(f"Answer: {answers}", width, font)[:3]]
    names = ", ".join(context.names[entity.tid] for entity in a1.entities) or NOTHING
    steps = [
        f"A1 ({a1.span_origin} spans, {a1.entity_origin} entities): {len(a1.frames)} frames; {names}",
        "A3: " + spatial_relations.render(record.spatial_relations, context).replace("\n", "  |  "),
        "A4: " + temporal_relations.render(record.temporal_relations, context).replace("\n", "  |  "),
    ]
    for text in steps:
        wrapped = _wrap(text, width, font)
        if len(wrapped) > _TRIPLE_LINES:
            wrapped = [*wrapped[: _TRIPLE_LINES - 1], _shorten(wrapped[_TRIPLE_LINES - 1] + " ...", width, font)]
        lines += [(line, _INK) for line in wrapped]
    return lines


def _draw_boxes(canvas: Image, boxes: Sequence[LabelledBox]) -> None:
    _, pil_draw, font = _pillow()
    draw = pil_draw.Draw(canvas)
    for box in boxes:
        _outline(draw, box)
    taken: list[Xyxy] = []
    for box in boxes:
        text = _shorten(box.label, canvas.width - 6, font)
        size = (draw.textlength(text, font=font) + 6, float(FONT_SIZE + 4))
        place = _label_place(box.xyxy, size, (canvas.width, canvas.height), taken)
        taken.append(place)
        draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=box.colour)
        draw.text((place[0] + 3, place[1] + 1), text, fill=_ink_on(box.colour), font=font)


def _outline(draw: ImageDraw, box: LabelledBox) -> None:
    x1, y1, x2, y2 = round(box.xyxy[0]), round(box.xyxy[1]), round(box.xyxy[2]) - 1, round(box.xyxy[3]) - 1
    x2, y2 = max(x1, x2), max(y1, y2)  # a box thinner than a pixel is still drawn
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_INK)  # a dark rim, for bright scenes
    if not box.dashed:
        draw.rectangle((x1, y1, x2, y2), outline=box.colour, width=2)
        return
    for x in range(x1, x2 + 1, 10):
        draw.line((x, y1, min(x + 5, x2), y1), fill=box.colour, width=2)
        draw.line((x, y2, min(x + 5, x2), y2), fill=box.colour, width=2)
    for y in range(y1, y2 + 1, 10):
        draw.line((x1, y, x1, min(y + 5, y2)), fill=box.colour, width=2)
        draw.line((x2, y, x2, min(y + 5, y2)), fill=box.colour, width=2)


def _label_place(box: Xyxy, size: tuple[float, float], canvas: Size, taken: Sequence[Xyxy]) -> Xyxy:
    """Where to put a label of a size: above the box, in its corners, below, or further down or up, whichever first
    covers least of the labels already there; inside the canvas where it fits at all.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    corners = [(x1, y1 - height), (x1, y1), (x2 - width, y1), (x1, y2 - height), (x2 - width, y2 - height), (x1, y2)]
    start = max(0.0, min(y1, canvas[1] - height))
    corners += [(x1, start + height * step * way) for step in range(1, int(canvas[1] // height)) for way in (1, -1)]
    best: tuple[float, Xyxy] | None = None
    for x, y in corners:
        x = max(0.0, min(x, canvas[0] - width))
        y = max(0.0, min(y, canvas[1] - height))
        place = (x, y, x + width, y + height)
        covered = sum(
            max(0.0, min(place[2], t[2]) - max(place[0], t[0])) * max(0.0, min(place[3], t[3]) - max(place[1], t[1]))
            for t in taken
        )
        if best is None or covered < best[0]:
            best = (covered, place)
    assert best is not None
    return best[1]


def _ink_on(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return _INK if colorsys.rgb_to_yiq(red, green, blue)[0] > 0.45 else _PAPER


def _wrap(text: str, width: float, font: Any) -> list[str]:
    """Lines of a text that fit a width in pixels; a word that does not is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else ""
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_shorten(word, width, font))
    return lines or [""]


def _shorten(text: str, width: float, font: Any) -> str:
    """A text cut so that it fits a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
