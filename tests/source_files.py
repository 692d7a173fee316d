"""What the tests of single sources share: a build from a folder of source files, and what it left out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import orjson

from cotasks.builders.publish.folder import NothingBuilt, build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.records.dataset import load_records
from cotasks.records.schema import Record
from cotasks.tools.files import read_jsonl


class Built:
    """A config built from a folder of its files."""

    def __init__(self, config: str, source: Path, out: Path, **options: Any) -> None:
        self.out, self.config = out, config
        try:
            self.summary = build_folder(BuildOptions(config, data_dir=str(source), **options), out)
        except NothingBuilt as error:
            self.summary, self.error = None, str(error)
        self.skipped = {row["id"]: (row["reason"], row["detail"]) for row in read_jsonl(out / config / "skipped.jsonl")}

    def records(self, split: str) -> dict[str, Record]:
        """By id."""
        return {record.id: record for record in load_records(str(self.out), split)}

    def left_out(self, split: str) -> dict[str, int]:
        """What its annotation goes without: reason -> how many."""
        assert self.summary is not None
        return dict(self.summary.splits[split].left_out_of_annotation)

    def examples(self, split: str) -> dict[str, str]:
        """Reason -> the first case."""
        assert self.summary is not None
        return self.summary.examples[split].left_out_of_annotation


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(value))
    return path


def write_zip(path: Path, members: dict[str, Any]) -> Path:
    """A zip; what is no bytes becomes JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else orjson.dumps(content))
    return path
