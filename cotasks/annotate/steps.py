"""A machine's annotation as steps of records: a predictions folder (`cotasks.runs.predictions`) that conditions name.

    same A1    step 1 is the record's own: its frames and spans, and the machine's things that are its entities. A thing
               is an entity where the two overlap by an IoU of 0.5 or more on the most frames, one to one, whatever
               the machine calls it; entities that it did not find are missing
    machine    step 1 too is made without the record's: words of the question matched to the machine's categories and
               predicates, as `cotasks build` does (`lexical`, or `whole` where they choose nothing)

Steps 2 to 4 are the machine's boxes on the record's grid and its relations, restricted to that step 1 as a record's.
A record whose video the machine has not annotated has no steps, with the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cotasks.annotate.against import IOU, pairs
from cotasks.annotate.kept import Kept
from cotasks.annotate.track import iou
from cotasks.errors import InputError
from cotasks.prompts.condition import Condition, condition_settings
from cotasks.records.annotation import Question, VideoAnnotation
from cotasks.records.dataset import Records
from cotasks.records.naming import entity_names
from cotasks.records.own import OwnAnnotation
from cotasks.records.own_files import annotation_files
from cotasks.records.schema import (
    Box,
    Entity,
    FrameLocalization,
    Record,
    Scene,
    SpatialRelation,
    TemporalRelation,
    Track,
)
from cotasks.runs.predictions import prediction_row, write_predictions
from cotasks.steps.predicted import PredictedSteps
from cotasks.steps.table import STEPS
from cotasks.tools.files import dump_json, file_hash

SAME_A1, MACHINE = "same-a1", "machine"
LOCALIZATIONS = (SAME_A1, MACHINE)
NOT_ANNOTATED = "video not annotated by the machine"


def write_machine_steps(annotation: Path, records: Records, folder: Path, localization: str) -> None:
    """Write a predictions folder of a machine's annotation.

    Args:
        annotation: the folder that `cotasks annotate` wrote, or any own data by frame.
        records: whose steps these are to be.
        folder: to write.
        localization: one of LOCALIZATIONS; see the module.

    Raises InputError where there is no annotation, or none of any of the records' videos.
    """
    if localization not in LOCALIZATIONS:
        raise InputError(f"localization {localization!r}; expected one of {', '.join(LOCALIZATIONS)}")
    files = annotation_files(annotation)
    if len(files) != 1:
        raise InputError(f"{annotation}: {len(files)} annotation files; expected one, as `cotasks annotate` writes it")
    found = Kept(files)
    if not any(path in found for path in records.rows.unique("video_path")):
        raise InputError(f"{annotation}: no video of {records.dataset} in it; expected annotation of the same videos")
    dump_json(
        folder / "run.json",
        {
            "model": {"name": "machine annotation", "annotation": file_hash(files[0])},
            "predict": {"steps": list(STEPS), "given": "annotation", "with_answer": False, "step_1": localization},
            "dataset": {
                "name": records.dataset,
                "config": records.config,
                "split": records.split,
                "limit": records.limit,
                "fingerprint": records.fingerprint,
            },
            "conditions": {"annotation": condition_settings(Condition("annotation"))},
        },
    )

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            one = found.annotation(record.video_path) if record.video_path in found else None
            steps = machine_steps(record, one, localization)
            yield prediction_row(record.id, "machine annotation", "annotation", steps, {}, (), {})

    write_predictions(folder, records.split, rows())


def machine_steps(record: Record, annotation: OwnAnnotation | None, localization: str) -> PredictedSteps:
    """The steps of a record by a machine's annotation of its video."""
    if annotation is None:
        return PredictedSteps(reasons=dict.fromkeys(STEPS, NOT_ANNOTATED))
    scene = scene_on(record, annotation)
    told = dataclasses.replace(record, scene=scene)
    a1 = _same(record, scene) if localization == SAME_A1 else _lexical(told)
    values: Mapping[str, Any] = {step.field: step.construct(told, a1) for step in STEPS.values()}
    steps = PredictedSteps(**values)
    used = steps.tids()
    names = entity_names(scene.entities)
    entities = tuple(entity for entity in scene.entities if entity.tid in used)
    return dataclasses.replace(
        steps, entities=entities, names=tuple((entity.tid, names[entity.tid]) for entity in entities)
    )


def scene_on(record: Record, annotation: OwnAnnotation) -> Scene:
    """A machine's annotation on the grid of a record: boxes of exactly its frames, spatial relations at its frames,
    temporal ones within its clip. Raises InputError where the annotation is not by frame, or ids are no numbers."""
    grid = {frame.index for frame in record.frames}
    first, last = record.frames[0].index, record.frames[-1].index
    entities = tuple(Entity(_number(e.id, annotation), e.category) for e in annotation.entities)
    boxes: dict[int, list[Box]] = {entity.tid: [] for entity in entities}
    for box in annotation.boxes:
        if box.frame is None:
            raise InputError(f"{annotation.place}: a box at second {box.second}; expected boxes by frame")
        if box.frame in grid:
            boxes[_number(box.entity, annotation)].append(Box(box.frame, box.xyxy, box.generated))
    spatial: dict[tuple[int, str, int], set[int]] = {}
    temporal: set[tuple[int, int, int, str, int]] = set()
    for relation in annotation.relations:
        subject, target = _number(relation.subject, annotation), _number(relation.object, annotation)
        if relation.frames is None:
            raise InputError(
                f"{annotation.place}: a relation in seconds {relation.seconds}; expected relations by frame"
            )
        begin, end = relation.frames
        if relation.spatial:
            held = {index for index in grid if begin <= index < end}
            spatial.setdefault((subject, relation.predicate, target), set()).update(held)
        elif begin <= last and end > first:
            temporal.add((max(begin, first), min(end, last + 1), subject, relation.predicate, target))
    tracks = (Track(e.tid, e.category, tuple(sorted(boxes[e.tid], key=lambda box: box.frame))) for e in entities)
    return Scene(
        entities,
        tuple(track for track in tracks if track.boxes),
        tuple(SpatialRelation(*triple, tuple(sorted(frames))) for triple, frames in sorted(spatial.items()) if frames),
        tuple(TemporalRelation(s, p, o, begin, end) for begin, end, s, p, o in sorted(temporal)),
    )


def _number(id_: object, annotation: OwnAnnotation) -> int:
    if not isinstance(id_, int):
        raise InputError(f"{annotation.place}: entity {id_!r}; expected numbers, as `cotasks annotate` writes them")
    return id_


def _same(record: Record, scene: Scene) -> FrameLocalization:
    """The record's step 1 with the machine's things for its entities."""
    a1 = record.frame_localization
    true = {track.tid: {box.frame: box.xyxy for box in track.boxes} for track in record.scene.entity_tracking}
    ours = [(track.tid, {box.frame: box.xyxy for box in track.boxes}) for track in scene.entity_tracking]
    others = list(true)
    together = np.zeros((len(ours), len(others)))
    for i, (_, boxes) in enumerate(ours):
        for j, tid in enumerate(others):
            shared = boxes.keys() & true[tid].keys()
            together[i, j] = sum(iou(boxes[frame], true[tid][frame]) >= IOU for frame in shared)
    thing_of = {others[j]: ours[i][0] for i, j in pairs(together)}
    tids = {thing_of[entity.tid] for entity in a1.entities if entity.tid in thing_of}
    return dataclasses.replace(a1, entities=tuple(entity for entity in scene.entities if entity.tid in tids))


def _lexical(record: Record) -> FrameLocalization:
    """Step 1 of a record by the words of its question and its scene, as a build makes it."""
    from cotasks.builders.localize import localize

    question = Question(
        id=record.id,
        source=record.source,
        question_type=record.question_type,
        video_id=record.video_id,
        video_path=record.video_path,
        question=record.question,
        answer="",
        additional_answers=(),
        choices=(),
        answer_index=-1,
        place=record.id,
    )
    seen = VideoAnnotation(
        record.fps, record.frame_count, record.width, record.height, record.clip, record.frames, record.scene
    )
    return localize(question, seen, mode="auto", evidence=None, proposal=None).frame_localization
