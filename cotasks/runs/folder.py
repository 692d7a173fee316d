"""The run folder: append-only JSON lines that survive a kill, and the settings that a run may not change.

run.json              settings; a mismatch on resume is an error that names the field
questions.jsonl       what the judge and the report need of each record, so that a run reads without its data set
generations/*.jsonl   {id, condition, sample, answer, ...}, keyed by (id, condition, sample)
failures/*.jsonl      the same key with a reason
verdicts/<judge>.jsonl
labels/*.jsonl        what people said of answers, see `runs.labels`
costs/*.jsonl         what the run took, see `runs.costs`
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.tools import locks
from cotasks.tools.files import dump_json, read_json, read_jsonl, writing

Key = tuple[str, str, int]
"""(record id, condition name, sample number from 0)."""
QUESTION_FIELDS = (
    "id",
    "video_id",
    "category",
    "question_type",
    "question",
    "answer",
    "additional_answers",
    "choices",
    "answer_index",
)
"""What every row of `questions.jsonl` holds."""
ORIGIN_FIELDS = ("span_origin", "entity_origin", "used_answer", "grid_share", "entity_share")
"""What a row also holds of the record's step 1, beside `source`: where it comes from, and what it keeps of the grid's
frames and of the scene's entities (None where the scene has none). None in rows that an older version wrote."""
MAY_DIFFER = (
    *(f"versions.{name}." for name in ("python", "device", "datasets", "numpy", "decord", "openai")),
    "dataset.videos.",
    "predictions.folder.",
)
"""The settings that may differ when a run goes on: with them a run folder tells, it does not compare. The versions of
what writes prompts, reads frames and computes answers may not."""


def key_of(row: Mapping[str, Any]) -> Key:
    """The key of a row of generations or failures."""
    return row["id"], row["condition"], row["sample"]


def read_folder(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of all `*.jsonl` files of a folder, by file name; none where the folder is missing."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from read_jsonl(path)


def read_keyed(folder: Path, *fields: str) -> Iterator[tuple[Key, dict[str, Any]]]:
    """(key, row) of all `*.jsonl` files of a folder of generations or failures, by file name.

    Raises InputError naming file and line where a row lacks its key, or one of `fields`.
    """
    for path in sorted(folder.glob("*.jsonl")):
        for number, row in enumerate(read_jsonl(path), 1):
            key = row.get("id"), row.get("condition"), row.get("sample")
            sound = isinstance(key[0], str) and isinstance(key[1], str) and type(key[2]) is int
            if not sound or any(name not in row for name in fields):
                expected = ", ".join(("id", "condition", "sample", *fields))
                raise InputError(f"{path}:{number}: {shorten(row)}; expected a row with {expected}")
            yield key_of(row), row


class Appender:
    """Appends rows to a JSON-lines file; each row is on its way to the disk when `append` returns.

    Opening cuts off a torn last line that a kill left behind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
            self._cut_torn_line()

    def _cut_torn_line(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            self._file.seek(start)
            newline = self._file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < end:
            self._file.truncate(position)
        self._file.seek(0, os.SEEK_END)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row as one line, in a single write unless the disk fills up in the middle of it.

        Raises InputError that names the file where it cannot be written whole; what is there of it is torn, and cut off
        by the next opening.
        """
        line = memoryview(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        with writing(self._path):
            while line:
                line = line[self._file.write(line) :]

    def sync(self) -> None:
        """Wait until all rows are on the disk. Raises InputError where they cannot be written."""
        with writing(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush to the disk and close."""
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold `<folder>/.<name>.lock`, an operating-system lock that dies with its process.

    Raises InputError where another process holds it, or nothing can be written there.
    """
    with locks.locked(folder / f".{name}.lock", f"{folder}: another process is writing to this run folder ({name})"):
        yield


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dict -> {"a.b": leaf}, for naming the field that differs."""
    if isinstance(value, dict) and value:
        return {k: v for name, item in value.items() for k, v in _flatten(item, f"{prefix}{name}.").items()}
    return {prefix[:-1]: value}


_ABSENT = object()


def settle(folder: Path, settings: dict[str, Any], grows: Sequence[str] = ()) -> None:
    """Write `run.json`, or on resume check that it says the same, but for `MAY_DIFFER`.

    The fields of `grows`, such as `model.base_url`, may differ too: `run.json` then lists all values there have been.

    Raises InputError that names the first field that differs, with both values.
    """
    path = folder / "run.json"
    settings = orjson.loads(orjson.dumps(settings))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        dump_json(path, settings)
        return
    kept = read_json(path)
    old, new = _flatten(kept), _flatten(settings)
    for field in sorted((old.keys() | new.keys()) - set(grows)):
        if not f"{field}.".startswith(MAY_DIFFER) and old.get(field, _ABSENT) != new.get(field, _ABSENT):
            was, now = (shorten(d[field]) if field in d else "not set" for d in (old, new))
            raise InputError(
                f"{path}: {field} is {was}, in this command {now}; resume with the same settings or name another "
                "--run folder"
            )
    for field in grows:
        values = [old.get(field), new.get(field)]
        listed = list(dict.fromkeys(one for value in values for one in (value if isinstance(value, list) else [value])))
        if len(listed) > 1 and listed != old.get(field):
            *parents, last = field.split(".")
            place = kept
            for parent in parents:
                place = place[parent]
            place[last] = listed
            dump_json(path, kept)


def read_settings(folder: Path) -> dict[str, Any]:
    """`run.json` of a run folder. Raises InputError where the folder is no run folder, or the file holds no object."""
    if not (folder / "run.json").exists():
        raise InputError(f"{folder}: not a run folder (no run.json); write one with `cotasks generate`")
    settings = read_json(folder / "run.json")
    if not isinstance(settings, dict):
        raise InputError(f"{folder / 'run.json'}: {shorten(settings)}; expected an object of settings")
    return settings


def read_questions(folder: Path) -> dict[str, dict[str, Any]]:
    """{record id: row of questions.jsonl}; rows hold `QUESTION_FIELDS`, `additional_answers` where there are any,
    `source` (where an older version left it out, the first part of the id) and `ORIGIN_FIELDS`.

    Raises InputError naming file and line where a row lacks one of them.
    """
    path = folder / "questions.jsonl"
    if not path.exists():
        raise InputError(f"{path}: no such file; expected a run folder of `cotasks generate`")
    rows = {}
    for number, row in enumerate(read_jsonl(path), 1):
        missing = [name for name in QUESTION_FIELDS if name not in row and name != "additional_answers"]
        if missing or not isinstance(row["id"], str):
            lacks = f"without {', '.join(missing)}" if missing else f"id {shorten(row['id'])}"
            raise InputError(f"{path}:{number}: {lacks}; expected a question of `cotasks generate`")
        first, slash, _ = row["id"].partition("/")
        rows[row["id"]] = {"source": first if slash else "unknown", **dict.fromkeys(ORIGIN_FIELDS), **row}
    return rows


def without_origins(question: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `questions.jsonl` without what older versions did not write: alike for the same question of any run."""
    return {name: value for name, value in question.items() if name not in ORIGIN_FIELDS}


def read_generations(folder: Path) -> dict[Key, dict[str, Any]]:
    """{key: row} of all generations; of rows with one key, the first counts."""
    rows: dict[Key, dict[str, Any]] = {}
    for key, row in read_keyed(folder / "generations"):
        rows.setdefault(key, row)
    return rows


def read_failures(folder: Path) -> dict[Key, dict[str, Any]]:
    """{key: row} of failures that no generation made good; of rows with one key, the last counts."""
    done = read_generations(folder).keys()
    return {key: row for key, row in read_keyed(folder / "failures", "reason") if key not in done}
