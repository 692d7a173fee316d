"""What of a run folder is published: checked, without this machine's paths, with a table of its answers for viewers.

Of absolute paths in `run.json` and in rows (videos, data set, predictions, a model's folder, places in files) only the
last part is published. What people and models said stays as it is, and so do the addresses of servers and all that
verdicts are keyed by: a run that is fetched again has the same scores.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cotasks.errors import InputError
from cotasks.judge.controls import control_path
from cotasks.judge.judges import judges_of, scored_by, strange_verdicts
from cotasks.judge.verdicts import Verdict, read_verdicts
from cotasks.records.dataset import SPLITS
from cotasks.runs.costs import read_costs
from cotasks.runs.folder import Key
from cotasks.runs.labels import read_labels
from cotasks.runs.predictions import read_predictions
from cotasks.runs.run import Row, Run, run_with_answers
from cotasks.tools.files import json_bytes, read_json, read_jsonl, writing

SETTINGS = "run.json"
ANSWERS = "answers.parquet"
"""The table of a published run, beside its files."""
CUT = (
    *(SETTINGS, "unmatched.jsonl"),
    *(f"{part}/*.jsonl" for part in ("generations", "failures", "verdicts", "controls", "options", "costs")),
)
"""Files in which paths are cut."""
AS_THEY_ARE = ("questions.jsonl", "evidence.jsonl", "verdicts/*.json", "options/*.json")
PREDICTIONS = ("predictions/*.parquet", "README.md")
"""Of a predictions folder beside these, as they are."""
LABELS = ("labels/*.json", "labels/*.jsonl")
"""What people said, under their names: published when asked for."""

_SAID = frozenset(
    (
        *("id", "condition", "key", "video_id", "question", "answer", "additional_answers", "choices", "question_type"),
        *("category", "thought", "explanation", "reply", "base_url", "servers"),
    )
)
"""Fields whose values are names, words of people and models, or addresses: never changed."""
_PLACES = frozenset({"place", "folder", "videos", "file"})
"""Fields of rows whose value is a path, or a path and a line."""
_ABSOLUTE = re.compile(r"(?:file://)?(?:/|~[\\/]|[A-Za-z]:[\\/]|\\\\)[^\n]*[^\s/\\][\\/]*")
_WITHIN = re.compile(r"""(?<![\w/.~\\-])(?!//)(?:file://)?(?:~|[A-Za-z]:)?(?:[\\/][^\s\\/:"'<>|,;()]+){2,}""")
"""A path of two parts or more inside a text, and no address of a server."""
_KEY = re.compile(rb"\b(?:hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,})")
"""What keys of the Hub and of model servers look like."""
_KEY_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY")


@dataclass(frozen=True)
class CheckedRun:
    """A run folder that was read whole."""

    run: Run
    verdicts: Mapping[str, Mapping[Key, Verdict]]
    """Judge -> its verdicts, of every answer that the run is to have."""
    files: tuple[str, ...]
    """Paths of what is published, below the folder."""
    others: tuple[str, ...]
    """Paths of what is not."""

    @property
    def has_predictions(self) -> bool:
        """Whether `cotasks predict`, or `cotasks import`, wrote it."""
        return "predict" in self.run.settings

    @property
    def split(self) -> str:
        """That of its records."""
        dataset = self.run.settings.get("dataset")
        name = dataset.get("split") if isinstance(dataset, dict) else None
        return name if name in SPLITS else "test"


def check_run(folder: Path, labels: bool = False) -> CheckedRun:
    """Read all of a run folder that would be published.

    Args:
        labels: whether what people said of the answers is.

    Raises InputError where it is no run folder, has no answers, or a file of it is damaged, cut off in its last line,
    or holds what looks like a key.
    """
    _check_keys(folder, labels)
    run = run_with_answers(folder)
    if strange := strange_verdicts(folder):
        raise InputError(f"{folder / 'verdicts' / strange[0]}: of no judge of this version; expected those of judges")
    verdicts = scored_by(run)
    for judge in judges_of(folder):
        if judge.startswith("openai:"):
            for _ in read_verdicts(control_path(folder, judge)):
                pass
    read_costs(folder)
    if labels:
        read_labels(run)
    if "predict" in run.settings:
        read_predictions(folder)
    files = _files(folder, "predict" in run.settings, labels)
    for path in files:
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix == ".jsonl":
            _check_lines(path)
    known = [path.relative_to(folder).as_posix() for path in files]
    present = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    others = {p.as_posix() for p in present if not any(part.startswith(".") for part in p.parts)} - {*known}
    return CheckedRun(run, verdicts, tuple(known), tuple(sorted(others)))


def patterns_of(predictions: bool, labels: bool) -> tuple[str, ...]:
    """Of the names of a run's files that are published."""
    return (*CUT, *AS_THEY_ARE, *(PREDICTIONS if predictions else ()), *(LABELS if labels else ()))


def _files(folder: Path, predictions: bool, labels: bool) -> list[Path]:
    patterns = patterns_of(predictions, labels)
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _check_keys(folder: Path, labels: bool) -> None:
    """Raises InputError, which does not show it, where a file holds what looks like a key of a server: before the files
    are read, whose faults are told with what they hold."""
    secrets = [value.encode() for name in _KEY_VARIABLES if len(value := os.environ.get(name, "").strip()) > 7]
    for path in _files(folder, False, labels):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if _KEY.search(line) or any(secret in line for secret in secrets):
                    raise InputError(
                        f"{path}:{number}: holds what looks like a key; expected none in what is published"
                    )


def _check_lines(path: Path) -> None:
    """Raises InputError where a line is no JSON object, or the last one is cut off."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                raise InputError(f"{path}:{number}: the last line is cut off; run what wrote it again")
    for _ in read_jsonl(path):
        pass


def write_published(checked: CheckedRun, target: Path) -> dict[str, Path]:
    """Write what is published to an empty folder; path below the run -> its file there, `ANSWERS` among them."""
    folder = checked.run.folder
    roots = _pattern_of(_roots(checked.run.settings))
    written = {}
    for name in checked.files:
        source, out = folder / name, target / name
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            if name == SETTINGS:
                out.write_bytes(json_bytes(cleaned(checked.run.settings, roots, whole=True)))
            elif source.suffix == ".jsonl" and any(Path(name).match(pattern) for pattern in CUT):
                with source.open("rb") as lines, out.open("wb") as file:
                    file.writelines(_line(line, roots) for line in lines)
            else:
                out.write_bytes(source.read_bytes())
        written[name] = out
    with writing(target / ANSWERS):
        options = {"compression": "zstd", "write_page_checksum": True, "row_group_size": 1000}
        pq.write_table(answers_table(checked), target / ANSWERS, **options)
    return {**written, ANSWERS: target / ANSWERS}


def _line(line: bytes, roots: re.Pattern[str] | None) -> bytes:
    """A line of a file, as it is unless something in it is cut."""
    row = orjson.loads(line)
    found = cleaned(row, roots)
    return line if found == row else orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE)


def _roots(value: Any) -> Iterator[str]:
    """The absolute paths of two parts or more in `run.json`."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _roots(one)
    elif isinstance(value, list):
        for one in value:
            yield from _roots(one)
    elif isinstance(value, str) and _ABSOLUTE.fullmatch(value) and len(re.findall(r"[\\/]\w", value)) > 1:
        yield value.rstrip("/\\")


def _pattern_of(roots: Iterable[str]) -> re.Pattern[str] | None:
    """Finds these paths in texts, also where they hold blanks; the longest one first."""
    found = sorted({*roots}, key=lambda root: (-len(root), root))
    return re.compile(rf"(?:{'|'.join(map(re.escape, found))})(?![\w-])") if found else None


def cleaned(value: Any, roots: re.Pattern[str] | None = None, whole: bool = False) -> Any:
    """A JSON value in which every absolute path is cut to its last part.

    Args:
        roots: finds paths that are known.
        whole: whether a text that begins as a path is one to its end, as in `run.json`.
    """
    if isinstance(value, dict):
        return {
            name: one if name in _SAID else cleaned(one, roots, whole or name in _PLACES) for name, one in value.items()
        }
    if isinstance(value, list):
        return [cleaned(one, roots, whole) for one in value]
    if not isinstance(value, str):
        return value
    if whole and _ABSOLUTE.fullmatch(value):
        return _last(value)
    if roots is not None:
        value = roots.sub(lambda found: _last(found[0]), value)
    return _WITHIN.sub(lambda found: _last(found[0]), value)


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("/\\"))[-1]


def answers_table(checked: CheckedRun) -> pa.Table:
    """A row an answer or failure, in the order of questions, of plain columns: `id`, `source`, `category`,
    `question_type`, `video_id`, `question`, `choices` (one a line), `reference`, `condition`, `sample`, `answer`,
    `thought` where a model thought, `failure`, and of each judge `<judge>_score` (0 to 100) and `<judge>_correct`."""
    run = checked.run
    keys = [key for key in run.wanted if key in run.generations or key in run.failures]
    rows = [_answer_row(run, key) for key in keys]
    text, columns = pa.string(), {}
    for name in rows[0]:
        if name != "thought" or any(row[name] is not None for row in rows):
            columns[name] = pa.array([row[name] for row in rows], pa.int32() if name == "sample" else text)
    for judge, verdicts in checked.verdicts.items():
        of = [verdicts.get(key) for key in keys]
        columns[f"{judge}_score"] = pa.array([one.score if one is not None else None for one in of], pa.float64())
        columns[f"{judge}_correct"] = pa.array([one.correct if one is not None else None for one in of], pa.bool_())
    return pa.table(columns)


def _answer_row(run: Run, key: Key) -> Row:
    id_, condition, sample = key
    question = run.questions.get(id_, {})
    row, failure = run.generations.get(key, {}), run.failures.get(key, {})
    choices = question.get("choices") or ()
    return {
        "id": id_,
        **{name: question.get(name) for name in ("source", "category", "question_type", "video_id", "question")},
        "choices": "\n".join(f"{chr(ord('A') + place)}. {choice}" for place, choice in enumerate(choices)),
        "reference": question.get("answer"),
        "condition": condition,
        "sample": sample,
        "answer": _text(row.get("answer")),
        "thought": _text(row.get("thought")),
        "failure": _text(failure.get("reason")),
    }


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
