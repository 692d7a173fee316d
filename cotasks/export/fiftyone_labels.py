"""Records for FiftyOne: a folder that it loads as `fiftyone.types.FiftyOneVideoLabelsDataset`.

    manifest.json          (video file, labels file) of each record
    labels/<number>.json   frame detections and temporal detections of a record

    fiftyone.Dataset.from_dir(dataset_dir=OUT, dataset_type=fiftyone.types.FiftyOneVideoLabelsDataset)

A sample is a record, so a video stands there once a question. Of a sample: `question`, `answer`, `record_id` and
`category` as classifications; `frame_localization` (spans of step 1), `spatial_relations` and `temporal_relations`
(steps 3 and 4) as temporal detections; of its frames: `entity_tracking` (step 2) and `scene` (all that is annotated) as
detections with the tid as their index. FiftyOne counts frames from 1, includes both ends of a stretch, and has boxes as
left, top, width, height relative to the frame; the files hold corners, which it converts. Neither its package nor its
database is needed for writing. The manifest holds the full paths of the videos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.export.formats import Written
from cotasks.export.scenes import Subject, notes_of, usable
from cotasks.records.boxes import Size
from cotasks.records.naming import entity_names
from cotasks.records.schema import Box, Record, Span, Track
from cotasks.tools.files import dump_json, json_bytes, whole_file

KINDS = {"dataset": "eta.core.datasets.LabeledVideoDataset", "object": "eta.core.objects.DetectedObject"}
KINDS |= {"event": "eta.core.events.VideoEvent", "text": "eta.core.data.CategoricalAttribute"}
KINDS |= {"truth": "eta.core.data.BooleanAttribute"}
"""What FiftyOne's format names its parts by."""


def write(subject: Subject, folder: Path) -> Written:
    """Write the manifest and the labels. Raises InputError without the folder of the videos."""
    if subject.videos is None:
        raise InputError("--videos is missing; expected the folder of the videos, which FiftyOne shows")
    left_out: Counter[str] = Counter()
    index: list[dict[str, str]] = []
    for record, size in usable(subject, left_out):
        name = f"labels/{len(index):06d}.json"
        with whole_file(folder / name) as part:
            part.write_bytes(json_bytes(labels_of(record, size)))
        index.append({"data": str(subject.videos.file(record).resolve()), "labels": name})
    description = "CoTasks records, a sample a question"
    dump_json(folder / "manifest.json", {"type": KINDS["dataset"], "description": description, "index": index})
    how = "fiftyone.Dataset.from_dir(dataset_dir=OUT, dataset_type=fiftyone.types.FiftyOneVideoLabelsDataset) loads it."
    return Written(f"{len(index)} samples", (*notes_of(left_out), how))


def labels_of(record: Record, size: Size) -> dict[str, Any]:
    """The labels of a record; boxes are relative to `size`, (width, height)."""
    told = {"record_id": record.id, "question": record.question, "answer": record.answer, "category": record.category}
    frames: dict[int, list[dict[str, Any]]] = {}
    for name, tracks in (("entity_tracking", record.entity_tracking), ("scene", record.scene.entity_tracking)):
        for track in tracks:
            for box in track.boxes:
                frames.setdefault(box.frame + 1, []).append(_object(name, track, box, size))
    return {
        "attrs": {"attrs": [_text(name, value) for name, value in told.items()]},
        "frames": {
            str(number): {"frame_number": number, "objects": {"objects": objects}}
            for number, objects in sorted(frames.items())
        },
        "events": {"events": list(_events(record))},
    }


def _object(name: str, track: Track, box: Box, size: Size) -> dict[str, Any]:
    (x1, y1, x2, y2), (width, height) = box.xyxy, size
    return {
        "type": KINDS["object"],
        "label": track.category,
        "bounding_box": {
            "top_left": {"x": x1 / width, "y": y1 / height},
            "bottom_right": {"x": x2 / width, "y": y2 / height},
        },
        "name": name,
        "index": track.tid,
        "frame_number": box.frame + 1,
        "attrs": {"attrs": [{"type": KINDS["truth"], "name": "generated", "value": box.generated}]},
    }


def _events(record: Record) -> Iterator[dict[str, Any]]:
    names = entity_names(record.scene.entities)
    a1 = record.frame_localization
    for span in a1.spans:
        first, last = _frames(record, span)
        yield _event("frame_localization", a1.span_origin, first, last)
    for spatial in record.spatial_relations:
        label = f"{names[spatial.subject_tid]} {spatial.predicate} {names[spatial.object_tid]}"
        # frames that follow each other are one stretch; between others nobody looked
        for _, run in groupby(enumerate(sorted(spatial.frames)), key=lambda pair: pair[1] - pair[0]):
            stretch = [frame for _, frame in run]
            yield _event("spatial_relations", label, stretch[0], stretch[-1])
    for temporal in record.temporal_relations:
        label = f"{names[temporal.subject_tid]} {temporal.predicate} {names[temporal.object_tid]}"
        yield _event("temporal_relations", label, temporal.begin_frame, temporal.end_frame - 1)


def _frames(record: Record, span: Span) -> tuple[int, int]:
    """(first, last) 0-based frame whose time lies in a span; the nearest one where none does."""
    first = max(0, -int(-span.start_seconds * record.fps // 1))
    last = max(first, int(span.end_seconds * record.fps // 1))
    top = (record.frame_count or max(frame.index for frame in record.frames) + 1) - 1
    return min(first, top), min(last, top)


def _event(name: str, label: str, first: int, last: int) -> dict[str, Any]:
    """A temporal detection over 0-based frames, both ends included."""
    return {
        "type": KINDS["event"],
        "label": label,
        "name": name,
        "support": {"ranges": f"{first + 1}-{last + 1}" if last > first else str(first + 1)},
        "attrs": {"attrs": []},
    }


def _text(name: str, value: str) -> dict[str, Any]:
    return {"type": KINDS["text"], "name": name, "value": value}
