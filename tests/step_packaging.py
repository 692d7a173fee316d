"""The same step in the forms that model families give it: what a clean text becomes, item by item.

Each packaging takes the value of a step and its context, and writes all of it; so reading it must give what `parse`
reads of the step's own text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from cotasks.records.boxes import format_box
from cotasks.records.schema import Box, FrameLocalization, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import runs
from cotasks.steps.context import StepContext
from tests.step_contexts import as_text

Packaging = Callable[[Any, StepContext], str]


def box_numbers(box: Box, ctx: StepContext) -> list[str]:
    return format_box(box.xyxy, ctx.source_size, ctx.coordinates)[1:-1].split(", ")


def items_of(tracks: tuple[Track, ...], ctx: StepContext) -> Iterator[tuple[str, str, str]]:
    """(name, frame, `x1, y1, x2, y2`) of each box."""
    for track in tracks:
        for box in track.boxes:
            yield ctx.names[track.tid], ctx.frame_text(box.frame), ", ".join(box_numbers(box, ctx))


def when(frame: str) -> str:
    """A JSON pair that says which frame."""
    return f'"frame": {frame[6:]}' if frame.startswith("frame ") else f'"time": {frame[:-1]}'


def clock(frame: str) -> str:
    if frame.startswith("frame ") or frame.startswith("-"):
        return frame
    seconds, _, decimals = frame[:-1].partition(".")
    minutes = int(seconds) // 60
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{int(seconds) % 60:02d}.{decimals}"


def chinese(text: str) -> str:
    """Full-width punctuation; a dot within a number stays."""
    return text.translate(str.maketrans(":;,()[]", "：；，（）［］")).replace("： ", "：").replace("， ", "，")


def in_prose(text: str) -> str:
    return f"Sure! Here is what I see in the video.\n\n{text}\n\nLet me know if you need more."


# --- step 2 ---


def qwen_json(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    rows = (f'{{"bbox_2d": [{b}], "label": "{n}", {when(f)}}}' for n, f, b in items_of(tracks, ctx))
    return "```json\n[\n" + ",\n".join(f"  {row}" for row in rows) + "\n]\n```"


def trailing_commas(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "[" + "".join(f'{{{when(f)}, "bbox": [{b},], "name": "{n}",}},' for n, f, b in items_of(tracks, ctx)) + "]"


def python_literals(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    rows = [
        {"label": n, ("frame" if f[0] == "f" else "t"): f, "box": tuple(b.split(", ")), "score": None}
        for n, f, b in items_of(tracks, ctx)
    ]
    return repr(rows)


def json_by_entity(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return json.dumps(
        {
            ctx.names[t.tid]: [{"time": ctx.frame_text(b.frame), "box": box_numbers(b, ctx)} for b in t.boxes]
            for t in tracks
        },
        indent=2,
    )


def json_by_frame(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    by_frame: dict[str, list[str]] = {}
    for name, frame, numbers in items_of(tracks, ctx):
        by_frame.setdefault(frame, []).append(f'"{name}": [{numbers}]')
    return "{" + ", ".join(f'"{frame}": {{{", ".join(boxes)}}}' for frame, boxes in by_frame.items()) + "}"


def qwen2_tags(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    def line(name: str, frame: str, numbers: str) -> str:
        x1, y1, x2, y2 = numbers.split(", ")
        tags = "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"
        return f"{frame}: {tags[0]}{name}{tags[1]}{tags[2]}({x1},{y1}),({x2},{y2}){tags[3]}"

    return "\n".join(line(*item) for item in items_of(tracks, ctx)) + "<|im_end|>"


def internvl_tags(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "\n".join(f"{f} <ref>{n}</ref><box>[[{b}]]</box>" for n, f, b in items_of(tracks, ctx))


def open_o3_tags(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    def seconds(frame: str) -> str:
        return f"<t>{frame[:-1]}</t>s" if frame[-1] == "s" else f"<t>{frame}</t>"

    if not tracks:
        return "<think>Nothing is there.</think><answer>none</answer>"
    items = (f"the <obj>{n}</obj><box>[{b}]</box>at{seconds(f)}" for n, f, b in items_of(tracks, ctx))
    return "<think>I look at each frame.</think><answer>I see " + " and then ".join(items) + ".</answer>"


def markdown_table(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    rows = (f"| **{n}** | {f} | [{b}] |" for n, f, b in items_of(tracks, ctx))
    return "| Entity | Time | Box |\n|---|:-:|---|\n" + "\n".join(rows)


def corner_table(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    rows = (f"| {n} | {f} | {b.replace(', ', ' | ')} |" for n, f, b in items_of(tracks, ctx))
    return "| Entity | Frame | x1 | y1 | x2 | y2 |\n|---|---|--:|--:|--:|--:|\n" + "\n".join(rows)


def bare_rows(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "\n".join(f"| {n} | {f} | [{b}] |" for n, f, b in items_of(tracks, ctx))


def frame_first(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "\n".join(f"At {f}, the {n} is at ({b})." for n, f, b in items_of(tracks, ctx))


def frame_behind(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "\n".join(f"- {n}: [{b}] at {f}" for n, f, b in items_of(tracks, ctx))


def entity_headings(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    parts = []
    for track in tracks:
        lines = (f"  - **{f}**: [{b}]" for _, f, b in items_of((track,), ctx))
        parts.append(f"### {ctx.names[track.tid]}\n" + "\n".join(lines))
    return "\n\n".join(parts)


def frame_headings(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    by_frame: dict[str, list[str]] = {}
    for name, frame, numbers in items_of(tracks, ctx):
        by_frame.setdefault(frame, []).append(f"{name}: [{numbers}]")
    return "\n".join(f"**{frame}:**\n" + "\n".join(boxes) for frame, boxes in by_frame.items())


def box_records(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "\n\n".join(f"**Entity:** {n}\n**Time:** {f}\n**Box:** [{b}]" for n, f, b in items_of(tracks, ctx))


def clocks(tracks: tuple[Track, ...], ctx: StepContext) -> str:
    return "\n".join(f"{n}: {clock(f)} [{b}]" for n, f, b in items_of(tracks, ctx))


BOX_PACKAGINGS: tuple[Packaging, ...] = (
    *(qwen_json, trailing_commas, python_literals, json_by_entity, json_by_frame, qwen2_tags, internvl_tags),
    *(open_o3_tags, markdown_table, corner_table, bare_rows, frame_first, frame_behind, entity_headings),
    *(frame_headings, box_records, clocks),
)

# --- step 1 ---


def a1_json(a1: FrameLocalization, ctx: StepContext) -> str:
    frames = [ctx.frame_text(frame) for frame in a1.frames]
    return json.dumps({"frames": frames, "entities": [ctx.names[e.tid] for e in a1.entities]})


def a1_spans(a1: FrameLocalization, ctx: StepContext) -> str:
    spans = [{"start": ctx.frame_text(a.index), "end": ctx.frame_text(b.index)} for a, b in runs(a1.frames, ctx.frames)]
    return json.dumps({"spans": spans, "entities": [{"name": ctx.names[e.tid]} for e in a1.entities]}, indent=1)


def a1_python(a1: FrameLocalization, ctx: StepContext) -> str:
    return f"{{'frames': '{ctx.frames_text(a1.frames)}', 'entities': {[ctx.names[e.tid] for e in a1.entities]},}}"


def a1_lists(a1: FrameLocalization, ctx: StepContext) -> str:
    frames = "".join(f"\n- {ctx.frame_text(frame)}" for frame in a1.frames)
    return f"**Key frames:**{frames}\n\n**Entities:**" + "".join(f"\n1. the {ctx.names[e.tid]}" for e in a1.entities)


def a1_table(a1: FrameLocalization, ctx: StepContext) -> str:
    names = ", ".join(ctx.names[e.tid] for e in a1.entities)
    return f"| Frames | Entities |\n|---|---|\n| {ctx.frames_text(a1.frames)} | {names} |"


def a1_one_line(a1: FrameLocalization, ctx: StepContext) -> str:
    return as_text(1, a1, ctx).replace("\n", ". ")


# --- steps 3 and 4 ---


def triple_of(relation: SpatialRelation | TemporalRelation, ctx: StepContext) -> tuple[str, str, str]:
    return ctx.names[relation.subject_tid], relation.predicate.replace("_", " "), ctx.names[relation.object_tid]


def span_of(relation: SpatialRelation | TemporalRelation, ctx: StepContext) -> str:
    if isinstance(relation, SpatialRelation):
        return ctx.frames_text(relation.frames)
    return ctx.stretch_text(relation.begin_frame, relation.end_frame)


Relations = tuple[Any, ...]


def triple_json(relations: Relations, ctx: StepContext) -> str:
    def row(relation: Any) -> dict[str, Any]:
        s, p, o = triple_of(relation, ctx)
        row: dict[str, Any] = {"subject": s, "relation": p, "object": o}
        if isinstance(relation, SpatialRelation):
            return {**row, "frames": [ctx.frame_text(frame) for frame in relation.frames]}
        begin, end = ctx.moment(relation.begin_frame), ctx.moment(relation.end_frame)
        return {**row, "start_time": float(begin[:-1]), "end_time": end}

    return json.dumps([row(relation) for relation in relations], indent=2)


def triple_lists(relations: Relations, ctx: StepContext) -> str:
    return json.dumps({"relations": [[*triple_of(r, ctx), span_of(r, ctx)] for r in relations]})


def triple_python(relations: Relations, ctx: StepContext) -> str:
    return repr([{"triple": triple_of(r, ctx), "when": None, "time": span_of(r, ctx)} for r in relations])


def triple_text_in_json(relations: Relations, ctx: StepContext) -> str:
    lines = (f"({', '.join(triple_of(r, ctx))}): {span_of(r, ctx)}" for r in relations)
    return json.dumps({"triples": list(lines)})


def triple_table(relations: Relations, ctx: StepContext) -> str:
    rows = (f"| {' | '.join(triple_of(r, ctx))} | {span_of(r, ctx)} |" for r in relations)
    return "| Subject | Predicate | Object | Time |\n|---|---|---|---|\n" + "\n".join(rows)


def triple_rows(relations: Relations, ctx: StepContext) -> str:
    return "\n".join(f"| {' | '.join(triple_of(r, ctx))} | {span_of(r, ctx)} |" for r in relations)


def triple_arrows(relations: Relations, ctx: StepContext) -> str:
    return "\n".join(f"{' -> '.join(triple_of(r, ctx))}: {span_of(r, ctx)}" for r in relations)


def times_inside(relations: Relations, ctx: StepContext) -> str:
    def inside(r: Any) -> str:
        if isinstance(r, TemporalRelation) and ctx.frame_reference == "seconds":
            return span_of(r, ctx).replace(" to ", ", ")
        return span_of(r, ctx)

    return "\n".join(
        f"({', '.join(triple_of(r, ctx))}, {inside(r)})"
        if ";" not in inside(r)
        else f"({', '.join(triple_of(r, ctx))}): {inside(r)}"
        for r in relations
    )


def times_first(relations: Relations, ctx: StepContext) -> str:
    return "\n".join(f"[{span_of(r, ctx)}] ({', '.join(triple_of(r, ctx))})" for r in relations)


def triple_records(relations: Relations, ctx: StepContext) -> str:
    def record(r: Any) -> str:
        s, p, o = triple_of(r, ctx)
        return f"- **Subject:** {s}\n  **Predicate:** {p}\n  **Object:** {o}\n  **Time:** {span_of(r, ctx)}"

    return "\n\n".join(record(r) for r in relations)


def obj_tags(relations: Relations, ctx: StepContext) -> str:
    def line(r: Any) -> str:
        s, p, o = triple_of(r, ctx)
        return f"(<obj>{s}</obj>, {p}, <obj>{o}</obj>): {span_of(r, ctx)}"

    return "<answer>" + "\n".join(line(r) for r in relations) + "</answer>"


TRIPLE_PACKAGINGS: tuple[Packaging, ...] = (
    *(triple_json, triple_lists, triple_python, triple_text_in_json, triple_table, triple_rows, triple_arrows),
    *(times_inside, times_first, triple_records, obj_tags),
)


def _own(step: int, change: Callable[[str], str]) -> Packaging:
    return lambda value, ctx: change(as_text(step, value, ctx))


def _anyone(step: int) -> dict[str, Packaging]:
    """What any model does to the form that it was asked for."""
    return {
        "fence": _own(step, lambda text: f"```text\n{text}\n```"),
        "bold bullets": _own(step, lambda text: "\n".join(f"- **{line}**" for line in text.splitlines())),
        "numbered": _own(step, lambda text: "\n".join(f"{n}. {line}." for n, line in enumerate(text.splitlines(), 1))),
        "thought": _own(step, lambda text: f"<think>Perhaps none.</think>\n\n{text}"),
        "answer tags": _own(step, lambda text: f"<answer>\n{text}\n</answer>"),
        "full width": _own(step, chinese),
        "seconds": _own(step, lambda text: re.sub(r"(?<=\d)s\b", " seconds", text)),
    }


PACKAGINGS: dict[int, dict[str, Packaging]] = {
    1: {
        **{one.__name__: one for one in (a1_json, a1_spans, a1_python, a1_lists, a1_table, a1_one_line)},
        **_anyone(1),
    },
    2: {**{one.__name__: one for one in BOX_PACKAGINGS}, **_anyone(2)},
    3: {**{one.__name__: one for one in TRIPLE_PACKAGINGS}, **_anyone(3)},
    4: {**{one.__name__: one for one in TRIPLE_PACKAGINGS}, **_anyone(4)},
}
"""Step -> name -> packaging."""
