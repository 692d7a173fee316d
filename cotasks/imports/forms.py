"""What other programs' rows of answers say, one row a form.

A form is told by the fields that its rows have; the first that fits is taken. `plain` fits any row that names its
columns, or has columns with the usual names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError, shorten
from cotasks.imports.files import HEAD, Row, rows_of
from cotasks.runs.run import MOST_SAMPLES

NO_ANSWER = "no answer in the imported file"
FAILED = "failed in the program that was asked"


@dataclass(frozen=True)
class Columns:
    """Which columns hold what, where the user says."""

    id: str | None = None
    answer: str | None = None
    question: str | None = None


@dataclass(frozen=True)
class Said:
    """An answer, and what tells which question it answers. Any of `ids`, `question` and `prompt` will do."""

    place: str
    """`file:line`, for messages."""
    text: str | None
    """None where there is no answer."""
    failure: str = NO_ANSWER
    """Why, where there is none."""
    ids: tuple[str, ...] = ()
    """What the program calls the question, the surest first."""
    question: str = ""
    prompt: str = ""
    """What was asked, with the question in it."""
    video: str = ""
    sample: int = 0
    """From 0 or 1, where a question was asked several times."""


@dataclass(frozen=True)
class Form:
    """A program's rows."""

    name: str
    title: str
    marks: Callable[[Row], bool]
    """Whether a row is one of this form."""
    read: Callable[[str, Row, Columns], Iterator[Said]]
    """(place, row, the user's columns) -> its answers."""
    model: Callable[[Row], str] = lambda row: ""
    """The model that a row names; empty where it names none."""


def answers_of(path: Path, form: str | None, columns: Columns) -> tuple[Form, str, Iterator[Said]]:
    """(the form of a file, the model that it names, its answers).

    Args:
        form: a key of `FORMS`; None to find out.
        columns: the user's.

    Raises InputError where the file is empty, of no known form, or lacks a column, and as `rows_of` does.
    """
    if form is not None and form not in FORMS:
        raise InputError(f"form {form!r}; expected one of {', '.join(FORMS)}")
    rows = rows_of(path)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: no answer in it; expected one or more")
    place, row = first
    for name in (columns.id, columns.answer, columns.question):
        if name is not None and name not in row:
            raise InputError(f"{place}: no column {name!r}; it has {', '.join(map(str, row))}")
    named = columns != Columns()
    if named and form not in (None, PLAIN.name):
        raise InputError(f"form {form!r} has columns of its own; expected no names of columns with it")
    found = FORMS[form] if form else PLAIN if named else next((one for one in FORMS.values() if one.marks(row)), None)
    if found is None:
        raise InputError(
            f"{place}: columns {', '.join(map(str, row))} are of no known form ({', '.join(FORMS)}); "
            "name them with --id or --question, and --answer"
        )

    def answers() -> Iterator[Said]:
        yield from found.read(place, row, columns)
        for where, other in rows:
            yield from found.read(where, other, columns)

    return found, found.model(row), answers()


def _text(value: object) -> str:
    """A cell as text; empty for what is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def _first(row: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if (text := _text(row.get(name)).strip())), "")


def _all(row: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for name in names if (text := _text(row.get(name)).strip())))


def _answer(value: object) -> str | None:
    """A text, as it is, or the JSON of what was a text before it was read; None where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, dict | list):
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    return value if isinstance(value, str) else _text(value) or None


_IDS = ("id", "record_id", "question_id", "qid", "uid", "key", "index")
_VIDEOS = ("video", "video_id", "video_name", "video_path", "vid")
_QUESTIONS = ("question", "query", "question_text")
_PROMPTS = ("prompt", "input", "instruction", "full_prompt")


def _strings(value: object) -> list[str]:
    """The texts in nested lists and objects."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return _strings(list(value.values()))
    return [text for item in value for text in _strings(item)] if isinstance(value, list | tuple) else []


def _lmms_eval(place: str, row: Row, columns: Columns) -> Iterator[Said]:
    doc = row["doc"] if isinstance(row.get("doc"), dict) else {}
    texts = _strings(row.get("resps")) or _strings(row.get("filtered_resps"))
    prompt = next(iter(_strings(row.get("input")) or _strings(row.get("arguments"))), "")
    prompt = prompt or _first(row, "input_text")
    common = {
        "ids": _all(doc, *_IDS),
        "question": _first(doc, *_QUESTIONS),
        "prompt": prompt,
        "video": _first(doc, *_VIDEOS),
    }
    for sample, text in enumerate(texts or [None]):
        yield Said(place, text, sample=sample, **common)  # type: ignore[arg-type]


def _inspect(place: str, row: Row, columns: Columns) -> Iterator[Said]:
    output = row.get("output") if isinstance(row.get("output"), dict) else {}
    metadata = row["metadata"] if isinstance(row.get("metadata"), dict) else {}
    epoch = row.get("epoch")
    prompt = _prompt(row.get("input"))
    failure = row.get("error")
    reason = failure.get("message") if isinstance(failure, dict) else failure
    yield Said(
        place,
        None if failure else _completion(output if isinstance(output, dict) else {}),
        failure=f"{FAILED}: {shorten(reason)}" if failure else NO_ANSWER,
        ids=_all({**metadata, "id": row.get("id")}, "id", *_IDS),
        question=_first(metadata, *_QUESTIONS),
        prompt=prompt,
        video=_first(metadata, *_VIDEOS),
        sample=epoch - 1 if type(epoch) is int and epoch > 0 else 0,
    )


def _completion(output: Mapping[str, Any]) -> str | None:
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        if isinstance(message, dict):
            return _message(message)
    return _answer(output.get("completion"))


def _prompt(value: object) -> str:
    """A prompt, or the text of its messages."""
    if isinstance(value, list | tuple):
        return "\n".join(_message(part) if isinstance(part, dict) else _text(part) for part in value)
    return _text(value)


def _message(message: Mapping[str, Any]) -> str:
    """The text of a message, of its parts those that are text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = (part for part in content or () if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(_text(part.get("text")) for part in parts)


def _castbench(place: str, row: Row, columns: Columns) -> Iterator[Said]:
    yield Said(
        place,
        _answer(row.get("predict")),
        ids=_all(row, *_IDS),
        question=_first(row, *_QUESTIONS),
        prompt=_prompt(row.get("prompt")),
        video=_first(row, *_VIDEOS),
    )


def _sheet(place: str, row: Row, columns: Columns) -> Iterator[Said]:
    text = _answer(row.get("prediction"))
    has_failed = text is not None and text.strip().startswith("Failed to obtain answer")
    yield Said(
        place,
        None if has_failed else text,
        failure=FAILED if has_failed else NO_ANSWER,
        ids=_all(row, *_IDS),
        question=_first(row, *_QUESTIONS),
        video=_first(row, *_VIDEOS),
    )


_ANSWERS = (
    "prediction",
    "predict",
    "pred",
    "response",
    "output",
    "generated",
    "generation",
    "model_output",
    "model_response",
    "model_answer",
    "predicted_answer",
    "generated_text",
    "completion",
)
_MODELS = re.compile(r"pred|respon|output|generat|completion|reply|model_")
"""In the name of a column: it may hold what a model said, so that one called `answer` may hold the reference."""


_USUAL = (*_IDS, *_QUESTIONS, *_PROMPTS, *_VIDEOS, "model_name", "model_id", "model_path")


def _plain(place: str, row: Row, columns: Columns) -> Iterator[Said]:
    for name in (columns.id, columns.answer, columns.question):
        if name is not None and name not in row:
            raise InputError(f"{place}: no column {name!r}; it has {', '.join(map(str, row))}")
    answer = columns.answer or next((name for name in (*_ANSWERS, "answer") if name in row), None)
    others = [
        name for name in row if answer == "answer" != columns.answer and name not in _USUAL and _MODELS.search(name)
    ]
    if others:
        raise InputError(
            f"{place}: columns answer and {', '.join(others)}; expected --answer to name the model's answers"
        )
    if answer is None:
        raise InputError(f"{place}: no column of answers in {', '.join(map(str, row))}; name it with --answer")
    sample = row.get("sample")
    number = int(_text(sample)[:9]) if _text(sample).isdecimal() else 0
    if number >= MOST_SAMPLES:
        raise InputError(f"{place}: sample is {shorten(sample)}; expected at most {MOST_SAMPLES - 1}")
    asked = () if columns.question is not None and columns.id is None else _IDS
    yield Said(
        place,
        _answer(row[answer]),
        ids=_all(row, columns.id) if columns.id else _all(row, *asked),
        question=_first(row, columns.question) if columns.question else _first(row, *_QUESTIONS),
        prompt=next((text for name in _PROMPTS if (text := _prompt(row.get(name)))), ""),
        video=_first(row, *_VIDEOS),
        sample=number,
    )


def _has(*names: str) -> Callable[[Row], bool]:
    return lambda row: all(name in row for name in names)


def _inspect_model(row: Row) -> str:
    head = row.get(HEAD)
    return _first(head, "model") if isinstance(head, dict) else ""


PLAIN = Form(
    "plain",
    "JSONL or CSV with columns of its own",
    lambda row: (
        any(name in row for name in (*_ANSWERS, "answer"))
        and any(name in row for name in (*_IDS, *_QUESTIONS, *_PROMPTS))
    ),
    _plain,
)
FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form(
            "lmms-eval",
            "samples of lmms-eval (--log_samples)",
            lambda row: ("resps" in row or "filtered_resps" in row) and "doc_id" in row,
            _lmms_eval,
        ),
        Form("inspect", "logs of inspect, .eval or .json", _has("id", "epoch", "output"), _inspect, _inspect_model),
        Form("castbench", "predictions of CaST-Bench", _has("prompt", "predict"), _castbench),
        Form("vlmevalkit", "sheets of VLMEvalKit, .xlsx, .tsv or .csv", _has("index", "prediction"), _sheet),
        PLAIN,
    )
}
"""Name -> row, in the order in which they are tried."""
