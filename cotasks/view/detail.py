"""What the page shows of one question: its record's steps on the timeline, its video, and all answers to it.

Steps come in layers: `steps` (the record's own), `scene` (all that is annotated on the grid), and one for each source
that predicted some. A layer speaks of its tracks by their position in the list of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cotasks.errors import CotasksError, InputError
from cotasks.look.drawing import PALETTE, track_styles
from cotasks.records.naming import entity_names
from cotasks.records.schema import FrameLocalization, Record, SpatialRelation, TemporalRelation, Track
from cotasks.records.videos import Videos
from cotasks.report.summary import state_of
from cotasks.runs.folder import Key
from cotasks.steps.predicted import PredictedSteps
from cotasks.view.index import Item, Question, short
from cotasks.view.sources import Opened, Source
from cotasks.view.video import video_row

Row = dict[str, Any]
Style = tuple[str, bool]
"""(colour, dashed), as of `track_styles`."""
NO_SIZE = (640, 360)
"""(width, height) of the canvas where neither record, video nor boxes say."""


def detail_of(opened: Opened, question: Question, items: Sequence[Item]) -> Row:
    """All that is shown of a question, whose items are these.

    Returns:
        {record (as `_record_row`; null where it is not at hand), video (as `video_row`), answers (as `_answer`, in the
        order of the items), evidence [{source, iop, iou (of spans), steps {step: main score}}]}.
    """
    record, videos = record_of(opened, question)
    row: Row = {"record": None, "video": {"note": "The record is not at hand, so there is no video and no step."}}
    if record is not None:
        row = {"record": _record_row(opened, question, record, videos), "video": video_row(record, videos)}
    answers = [_answer(opened.sources[item.source], item.key) for item in items if item.key is not None]
    return {**row, "answers": answers, "evidence": _evidence(opened, question)}


def record_of(opened: Opened, question: Question) -> tuple[Record | None, Videos | None]:
    """(the question's record, its videos); None where no source has the record at hand."""
    for number, record_id in question.asked.items():
        source = opened.sources[number]
        if source.records is not None:
            try:
                return source.records.by_id(record_id), source.videos
            except InputError:  # a run over records that have grown fewer
                continue
    return None, None


def _record_row(opened: Opened, question: Question, record: Record, videos: Videos | None) -> Row:
    """{fps, count, size, clip [start, end in seconds], frames (the grid), layers}."""
    layers = [
        _layer("steps", "Steps 1 to 4", record, _true_steps(record)),
        _layer("scene", "Whole scene", record, _scene_steps(record)),
    ]
    missing: dict[int, str] = {}
    for number, record_id in question.asked.items():
        source = opened.sources[number]
        if source.predictions is None or source.records is None:
            continue
        try:
            predicted = source.predictions.of(source.records.by_id(record_id))
        except CotasksError as error:
            missing[number] = error.reason
            continue
        layers.append({**_layer("predicted", f"Predicted: {source.name}", record, predicted), "source": number})
    return {
        "fps": record.fps,
        "count": record.frame_count,
        "size": list(canvas_size(record, videos)),
        "clip": [record.clip.start_seconds, record.clip.end_seconds],
        "frames": [frame.index for frame in record.frames],
        "layers": layers,
        "missing": missing,
    }


def canvas_size(record: Record, videos: Videos | None) -> tuple[int, int]:
    """(width, height) that the record's boxes refer to; where nothing says, the boxes' own extent."""
    try:
        if videos is not None and not (record.width and record.height):
            return videos.size(record)
    except CotasksError:
        pass
    if record.width and record.height:
        return record.width, record.height
    corners = [box.xyxy[2:] for track in record.scene.entity_tracking for box in track.boxes]
    if not corners:
        return NO_SIZE
    return max(1, round(max(x for x, _ in corners))), max(1, round(max(y for _, y in corners)))


def _true_steps(record: Record) -> PredictedSteps:
    names = entity_names(record.scene.entities)
    steps = (record.entity_tracking, record.spatial_relations, record.temporal_relations)
    return PredictedSteps(record.frame_localization, *steps, record.scene.entities, tuple(names.items()))


def _scene_steps(record: Record) -> PredictedSteps:
    names, scene = entity_names(record.scene.entities), record.scene
    steps = (scene.entity_tracking, scene.spatial_relations, scene.temporal_relations)
    return PredictedSteps(None, *steps, scene.entities, tuple(names.items()))


def _layer(kind: str, title: str, record: Record, steps: PredictedSteps) -> Row:
    """{kind, title, tracks [[name, colour, dashed, category]], a1, boxes, spatial, temporal, reasons}.

    `boxes` holds for each track [[frame, x1, y1, x2, y2, generated]] in pixels of the record's size; `spatial` is
    [[track, predicate, track, [frames]]], `temporal` [[track, predicate, track, first frame, frame after the last]].
    Each is None where there is no such step, for the `reasons` by step.
    """
    at = {entity.tid: place for place, entity in enumerate(steps.entities)}
    names = dict(steps.names)
    styles = _styles(record, steps)
    return {
        "kind": kind,
        "title": title,
        "tracks": [[names.get(e.tid, e.category), *styles[e.tid], e.category] for e in steps.entities],
        "a1": None if steps.frame_localization is None else _localization(steps.frame_localization, at),
        "boxes": None if steps.entity_tracking is None else _boxes(steps.entity_tracking, at),
        "spatial": None if steps.spatial_relations is None else _spatial(steps.spatial_relations, at),
        "temporal": None if steps.temporal_relations is None else _temporal(steps.temporal_relations, at),
        "reasons": {str(step): reason for step, reason in steps.reasons.items()},
    }


def _styles(record: Record, steps: PredictedSteps) -> Mapping[int, Style]:
    """Colours of entities: those of the scene; a prediction's own have that of the scene's entity of their name."""
    true = track_styles(entity.tid for entity in record.scene.entities)
    if steps.entities == record.scene.entities:
        return true
    by_name = {name: true[tid] for tid, name in entity_names(record.scene.entities).items()}
    names, styles, others = dict(steps.names), dict[int, Style](), 0
    for entity in steps.entities:
        known = by_name.get(names.get(entity.tid, ""))
        if known is None:
            place, others = len(true) + others, others + 1
            known = PALETTE[place % len(PALETTE)], place >= len(PALETTE)
        styles[entity.tid] = known
    return styles


def _localization(a1: FrameLocalization, at: Mapping[int, int]) -> Row:
    return {
        "frames": list(a1.frames),
        "spans": [[span.start_seconds, span.end_seconds] for span in a1.spans],
        "entities": [at[entity.tid] for entity in a1.entities if entity.tid in at],
        "spanOrigin": a1.span_origin,
        "entityOrigin": a1.entity_origin,
        "usedAnswer": a1.used_answer,
    }


def _boxes(tracks: Sequence[Track], at: Mapping[int, int]) -> list[Row]:
    return [
        {
            "track": at[track.tid],
            "boxes": [[b.frame, *(round(value, 2) for value in b.xyxy), int(b.generated)] for b in track.boxes],
        }
        for track in tracks
        if track.tid in at
    ]


def _spatial(relations: Iterable[SpatialRelation], at: Mapping[int, int]) -> list[list[Any]]:
    return [[at[r.subject_tid], r.predicate, at[r.object_tid], list(r.frames)] for r in relations]


def _temporal(relations: Iterable[TemporalRelation], at: Mapping[int, int]) -> list[list[Any]]:
    return [[at[r.subject_tid], r.predicate, at[r.object_tid], r.begin_frame, r.end_frame] for r in relations]


def _answer(source: Source, key: Key) -> Row:
    """{condition, sample, text, failure, cut, cutItems, thought, verdicts [{judge, state, score, reason}]}"""
    assert source.run is not None
    row: Mapping[str, Any] = source.run.generations.get(key, {})
    text, thought, failure = row.get("answer"), row.get("thought"), source.run.failures.get(key)
    return {
        "condition": key[1],
        "sample": key[2],
        "text": text if isinstance(text, str) else None,
        "failure": str(failure.get("reason")) if failure is not None else None,
        "cut": row.get("finish_reason") == "length",
        "cutItems": row.get("cut_items") or 0,
        "thought": thought if isinstance(thought, str) else None,
        "verdicts": _verdicts(source, key),
    }


def _verdicts(source: Source, key: Key) -> list[Row]:
    found = []
    for judge, verdicts in source.verdicts.items():
        verdict = verdicts.get(key)
        if verdict is not None:
            reason = verdict.reason + (f": {verdict.explanation}" if verdict.explanation else "")
            state = state_of(verdict)
            found.append({"judge": judge, "state": state, "score": short(verdict.score), "reason": reason})
    return found


def _evidence(opened: Opened, question: Question) -> list[Row]:
    rows = []
    for number, record_id in question.asked.items():
        source = opened.sources[number]
        steps, overlap = source.steps.get(record_id), source.overlaps.get(record_id)
        if steps or overlap is not None:
            iop, iou = overlap if overlap is not None else (None, None)
            scores = {str(step): short(score) for step, score in (steps or {}).items()}
            right = source.evidence(record_id)
            rows.append({"source": number, "right": right, "iop": short(iop), "iou": short(iou), "steps": scores})
    return rows
