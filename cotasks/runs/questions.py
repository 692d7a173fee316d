"""What a run folder says of the records that it is about: `questions.jsonl`, and `dataset` in `run.json`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from cotasks.records.dataset import Records
from cotasks.records.schema import FEATURES
from cotasks.runs.folder import ORIGIN_FIELDS, QUESTION_FIELDS
from cotasks.tools.files import dump_jsonl

ROWS_AT_ONCE = 256
"""Records whose lengths are looked at together."""


def dataset_settings(records: Records, video_folder: Path | None) -> dict[str, Any]:
    """What `run.json` says of the records."""
    return {
        "name": os.path.normpath(records.dataset),
        "config": records.config,
        "split": records.split,
        "limit": records.limit,
        "fingerprint": records.fingerprint,
        "videos": str(video_folder.resolve()) if video_folder is not None and not records.is_sample else None,
    }


def write_questions(path: Path, records: Records) -> None:
    """Write `questions.jsonl`, whole or not at all; a resumed run has the same questions."""
    if path.exists():
        return
    rows = records.rows.select_columns([*QUESTION_FIELDS, "source", "frame_localization"])
    dump_jsonl(path, map(_question, rows, _kept(records)))


def _question(row: dict[str, Any], kept: Mapping[str, float | None]) -> dict[str, Any]:
    """A row of `questions.jsonl`; of step 1 it holds where it came from, and what it keeps."""
    localization = row.pop("frame_localization")
    labels = FEATURES["frame_localization"]
    origins = {name: localization[name] for name in ORIGIN_FIELDS if name in localization}
    named = {name: value if isinstance(value, bool) else labels[name].int2str(value) for name, value in origins.items()}
    return {**row, **named, **kept}


def _kept(records: Records) -> Iterator[dict[str, float | None]]:
    """What step 1 of each record keeps, from the lengths of its lists alone: scenes are not read into Python."""
    rows = records.rows.select_columns(["frames", "frame_localization", "scene"]).with_format("arrow")
    for table in rows.iter(ROWS_AT_ONCE):
        a1, scene = (table[name].combine_chunks() for name in ("frame_localization", "scene"))
        lists = (table["frames"].combine_chunks(), a1.field("frames"), a1.field("entities"), scene.field("entities"))
        lengths = (pc.list_value_length(one).to_pylist() for one in lists)
        for grid, frames, entities, things in zip(*lengths, strict=True):
            yield {"grid_share": frames / grid, "entity_share": entities / things if things else None}
