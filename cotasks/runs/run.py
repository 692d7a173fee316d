"""A run read back: its questions, its answers, its failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.runs import folder as runs
from cotasks.runs.folder import Key

Row = dict[str, Any]

MOST_SAMPLES = 1000
"""Answers a prompt of a run whose `run.json` does not say how many were asked for."""


@dataclass(frozen=True)
class Run:
    """A run folder as it is on disk, without verdicts."""

    folder: Path
    settings: Row
    """`run.json`."""
    conditions: list[str]
    """Names of the conditions, in the order of `run.json`; then any other that has an answer or a failure."""
    questions: dict[str, Row]
    """{record id: row of `questions.jsonl`}"""
    generations: dict[Key, Row]
    failures: dict[Key, Row]
    """Only those that no generation made good."""
    wanted: list[Key]
    """The answers that the run is to have: condition x question x sample, with as many samples as any question has,
    and whatever else was generated or failed."""


def read_run(folder: Path) -> Run:
    """Read a run folder, whole or half written.

    Raises InputError where it is no run folder, or a file of it is damaged or not as `cotasks.runs`
    describes.
    """
    settings = runs.read_settings(folder)
    if not isinstance(settings, dict) or not isinstance(settings.get("conditions", {}), dict | list):
        raise InputError(f"{folder / 'run.json'}: no object with conditions; a different version?")
    questions = _read_questions(folder)
    generations, failures = runs.read_generations(folder), runs.read_failures(folder)
    for key, row in generations.items():
        _check_generation(folder / "generations", key, row)
    seen = [*generations, *failures]
    _check_samples(folder, settings, seen)
    conditions = [str(name) for name in settings.get("conditions", ())]
    samples = max((sample for _, _, sample in seen), default=0) + 1
    conditions = list(dict.fromkeys([*conditions, *(condition for _, condition, _ in seen)]))
    wanted = [(id_, c, sample) for c in conditions for id_ in questions for sample in range(samples)]
    wanted = list(dict.fromkeys([*wanted, *seen]))
    return Run(folder, settings, conditions, questions, generations, failures, wanted)


def _check_generation(place: Path, key: Key, row: Row) -> None:
    """Raises InputError where a row's values are of no use to what reads them."""
    cut = row.get("cut_items") or 0
    if not isinstance(cut, int):
        raise InputError(f"{place}: {key[0]}, {key[1]}: cut_items {shorten(cut)}; a different version?")
    try:
        orjson.dumps(row.get("answer"))
    except TypeError:  # JSON of many levels is read, but not written
        raise InputError(f"{place}: {key[0]}, {key[1]}: answer of too many levels; expected text") from None


def _check_samples(folder: Path, settings: Row, keys: Iterable[Key]) -> None:
    """Raises InputError where a key has a sample that the run did not ask for. All samples up to the greatest are
    wanted of each question, so that one damaged number would ask for billions."""
    asked = settings.get("sampling")
    asked = asked.get("num_samples") if isinstance(asked, dict) else None
    most = asked if type(asked) is int else MOST_SAMPLES
    for id_, condition, sample in keys:
        if not 0 <= sample < most:
            raise InputError(f"{folder}: {id_}, {condition}: sample {sample}; expected 0 to {most - 1}")


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "video_id": str,
    "source": str,
    "category": str,
    "question_type": str,
    "question": str,
    "answer": (str, type(None)),
    "additional_answers": list,
    "choices": list,
    "answer_index": int,
    "span_origin": (str, type(None)),
    "entity_origin": (str, type(None)),
    "used_answer": (bool, type(None)),
    "grid_share": (int, float, type(None)),
    "entity_share": (int, float, type(None)),
}


def _read_questions(folder: Path) -> dict[str, Row]:
    """`questions.jsonl`, checked. Raises InputError that names file, id, field and value."""
    path = folder / "questions.jsonl"
    if not path.exists():
        raise InputError(f"{path}: no such file; generation has not begun, or a different version wrote the run")
    try:
        questions = runs.read_questions(folder)
    except KeyError as error:
        raise InputError(f"{path}: a row lacks the field {error}") from None
    for id_, row in questions.items():
        for field, kind in _FIELDS.items():
            value = row.get(field)
            texts = not isinstance(value, list) or all(isinstance(text, str) for text in value)
            if field not in row or not isinstance(value, kind) or not texts:
                found = shorten(value) if field in row else "missing"
                raise InputError(f"{path}: {id_}: {field} is {found}; a different version?")
    return questions


def run_with_answers(folder: Path) -> Run:
    """`read_run`; raises InputError also where there is no answer to judge."""
    run = read_run(folder)
    if not run.generations and not run.failures:
        raise InputError(f"{folder}: no answers to judge; write some with `cotasks generate`")
    return run


def model_name(run: Run) -> str:
    """`model.name` of `run.json`; of a folder its last part, which says nothing of this machine."""
    model: Any = run.settings.get("model")
    name = str(model.get("name", "") if isinstance(model, dict) else model or "")
    return Path(name).name if Path(name).is_absolute() or name.startswith((".", "~")) else name


def thoughts_of(rows: Sequence[Row]) -> Row:
    """How many answers have a thought, how many of these were cut off, and their mean length in tokens; nothing where
    no model thought."""
    tokens = [row["thought_tokens"] or 0 for row in rows if "thought_tokens" in row]
    if not tokens:
        return {}
    cut = sum(bool(row.get("thinking_cut_off")) for row in rows)
    return {"thoughts": len(tokens), "cut_thoughts": cut, "mean_thought_tokens": sum(tokens) / len(tokens)}
