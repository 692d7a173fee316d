"""What a run folder says of the records that it is about: `questions.jsonl`, and `dataset` in `run.json`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cotasks.records.dataset import Records
from cotasks.records.schema import FEATURES
from cotasks.runs.folder import ORIGIN_FIELDS, QUESTION_FIELDS
from cotasks.tools.files import dump_jsonl


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
    dump_jsonl(path, map(_question, rows))


def _question(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `questions.jsonl`; of step 1 it holds where it came from."""
    localization = row.pop("frame_localization")
    labels = FEATURES["frame_localization"]
    return row | {
        name: value if isinstance(value := localization[name], bool) else labels[name].int2str(value)
        for name in ORIGIN_FIELDS
    }
