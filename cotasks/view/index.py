"""What the page lists, in columns: questions, the answers to them, and all that they are filtered by.

An item is an answer (a question, a run, a condition, a sample), or a question that nobody answered. Entry `i` of each
list of `answers` and of each judge's verdicts is item `i`; its `question` is a position in the lists of `questions`.
Texts of answers stand in it as far as they have room, the whole ones are in the detail of a question
(`cotasks.view.detail`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cotasks.records.dataset import Records
from cotasks.records.schema import FEATURES
from cotasks.report.summary import STATES, state_of
from cotasks.runs.folder import ORIGIN_FIELDS, QUESTION_FIELDS, Key
from cotasks.view.sources import Opened, Source
from cotasks.words.types import category_labels, kind_of, type_labels, type_title

MOST_TEXT = 24_000_000
"""Characters of answers in the index; where they are more, long ones are cut."""
JUDGES = ("disagree", "agree", "fewer than two")
EVIDENCE = ("right", "wrong", "not scored")
UNKNOWN = "not said"

Row = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A question, and where it stands."""

    row: Row
    """As in `questions.jsonl`."""
    asked: dict[int, str]
    """Source -> id of its record there."""


@dataclass(frozen=True)
class Item:
    """One line of the list."""

    question: int
    source: int
    key: Key | None
    """None where nobody answered the question."""


def questions_of(opened: Opened) -> tuple[list[Question], list[Item]]:
    """(all questions, each once; all items, by question, then source, condition and sample)."""
    questions: list[Question] = []
    known: dict[bytes, int] = {}
    items: list[tuple[int, int, int, int, Item]] = []
    for number, source in enumerate(opened.sources):
        places: dict[str, int] = {}
        for row in _rows(source):
            content = orjson.dumps([row[name] for name in (*QUESTION_FIELDS, "additional_answers")])
            place = places[row["id"]] = known.setdefault(content, len(questions))
            if place == len(questions):
                questions.append(Question(row, {}))
            questions[place].asked.setdefault(number, row["id"])
        if source.run is None:
            continue
        order = {condition: place for place, condition in enumerate(source.run.conditions)}
        for key in source.run.wanted:
            if key[0] in places:
                place = places[key[0]]
                items.append((place, number, order[key[1]], key[2], Item(place, number, key)))
    answered = {place for place, *_ in items}
    for place, question in enumerate(questions):
        if place not in answered:
            number = next(iter(question.asked))
            items.append((place, number, 0, 0, Item(place, number, None)))
    items.sort(key=lambda item: item[:4])
    return questions, [item for *_, item in items]


def _rows(source: Source) -> Iterator[Row]:
    """The questions of a source, as in `questions.jsonl`."""
    if source.run is not None:
        yield from ({"additional_answers": [], **row} for row in source.run.questions.values())
    elif source.records is not None:
        yield from _record_rows(source.records)


def _record_rows(records: Records) -> Iterator[Row]:
    """The same of records, without reading their scenes."""
    rows = records.rows.select_columns([*QUESTION_FIELDS, "source", "frame_localization"]).with_format("arrow")
    labels = FEATURES["frame_localization"]
    for table in rows.iter(1000):
        a1 = table["frame_localization"].combine_chunks()
        spans, entities = (a1.field(name).to_pylist() for name in ("span_origin", "entity_origin"))
        used = a1.field("used_answer").to_pylist()
        plain = table.drop_columns(["frame_localization"]).to_pylist()
        for row, span, entity, answer in zip(plain, spans, entities, used, strict=True):
            origins = (labels["span_origin"].int2str(span), labels["entity_origin"].int2str(entity), answer)
            yield {**dict.fromkeys(ORIGIN_FIELDS), **row, **dict(zip(ORIGIN_FIELDS, origins, strict=False))}


def index_of(opened: Opened, questions: Sequence[Question], items: Sequence[Item]) -> Row:
    """All that the page reads when it opens."""
    sources, judges = opened.sources, opened.judges
    rows = [question.row for question in questions]
    kinds = [kind_of(row) for row in rows]
    categories, types = category_labels(kinds), type_labels(kinds)
    category_at, type_at = (
        {one: place for place, one in enumerate(categories)},
        {one: place for place, one in enumerate(types)},
    )
    origins, data_sets = [_origin(row) for row in rows], [row["source"] or UNKNOWN for row in rows]
    conditions = list(dict.fromkeys(c for source in sources if source.run for c in source.run.conditions))
    condition_at = {condition: place for place, condition in enumerate(conditions)}
    texts = [_text(sources[item.source], item.key) for item in items]
    longest = _longest(texts)
    used_origins, used_sets = _in_order(origins), _in_order(data_sets)
    notes = list(opened.notes)
    if longest is not None:
        notes.append(
            f"The list and the search go by the first {longest} characters of an answer; beside it is all of it."
        )
    return {
        "sources": [_described(source) for source in sources],
        "judges": judges,
        "conditions": conditions,
        "states": list(STATES),
        "agreement": list(JUDGES),
        "evidenceWords": list(EVIDENCE),
        "categories": list(categories.values()),
        "types": list(types.values()),
        "typeTitles": [type_title(kind.group, label) for kind, label in types.items()],
        "origins": used_origins,
        "dataSets": used_sets,
        "notes": notes,
        "questions": {
            "id": [row["id"] for row in rows],
            "video": [row["video_id"] for row in rows],
            "category": [category_at[kind.group, kind.category] for kind in kinds],
            "type": [type_at[kind] for kind in kinds],
            "origin": _places(origins, used_origins),
            "dataSet": _places(data_sets, used_sets),
            "text": [row["question"] for row in rows],
            "references": [_references(row) for row in rows],
            "choices": [row["choices"] for row in rows],
            "right": [row["answer_index"] for row in rows],
        },
        "answers": {
            "question": [item.question for item in items],
            "source": [item.source for item in items],
            "condition": [condition_at[item.key[1]] if item.key else len(conditions) for item in items],
            "sample": [item.key[2] if item.key else 0 for item in items],
            "text": [text if text is None or longest is None else text[:longest] for text in texts],
            "agreement": [_agreement(sources[item.source], item.key) for item in items],
            "evidence": [_evidence(sources[item.source], questions[item.question], item) for item in items],
        },
        "verdicts": {judge: _verdicts(sources, items, judge) for judge in judges},
    }


def _described(source: Source) -> Row:
    kind = "data" if source.run is None else "predictions" if "predict" in source.run.settings else "run"
    return {"name": source.name, "model": source.model, "kind": kind}


def _origin(row: Row) -> str:
    """Where step 1 of a question comes from: its spans, and its entities where that is another place."""
    spans, entities = row.get("span_origin"), row.get("entity_origin")
    if spans is None:
        return UNKNOWN
    return f"{spans}" if entities in (None, spans) else f"{spans} spans, {entities} entities"


def _in_order(names: Sequence[str]) -> list[str]:
    return sorted(set(names), key=lambda name: (name == UNKNOWN, name))


def _places(names: Sequence[str], known: Sequence[str]) -> list[int]:
    at = {name: place for place, name in enumerate(known)}
    return [at[name] for name in names]


def _references(row: Row) -> list[str]:
    return [text for text in (row["answer"], *row["additional_answers"]) if text is not None]


def _text(source: Source, key: Key | None) -> str | None:
    """What was answered; None where nothing was."""
    row: Mapping[str, Any] = source.run.generations.get(key, {}) if source.run is not None and key is not None else {}
    text = row.get("answer")
    return text if isinstance(text, str) else None


def _longest(texts: Sequence[str | None]) -> int | None:
    """The most characters of an answer with which all of them have room; None where they have it as they are."""
    lengths = sorted(len(text) for text in texts if text is not None)
    room, left = MOST_TEXT, len(lengths)
    if sum(lengths) <= room:
        return None
    for length in lengths:
        if length * left > room:
            return room // left
        room, left = room - length, left - 1
    return None


def _agreement(source: Source, key: Key | None) -> int:
    """A position in JUDGES: whether the judges that say right or wrong of an answer say the same."""
    if key is None:
        return 2
    found = [verdicts[key].correct for verdicts in source.verdicts.values() if key in verdicts]
    said = [one for one in found if one is not None]
    return 2 if len(said) < 2 else int(all(said) or not any(said))


def _evidence(source: Source, question: Question, item: Item) -> int:
    """A position in EVIDENCE."""
    found = source.evidence(question.asked[item.source]) if item.key is not None else None
    return 2 if found is None else 0 if found else 1


def _verdicts(sources: Sequence[Source], items: Sequence[Item], judge: str) -> Row:
    """{state, score} of each item; a state is a position in STATES."""
    unscored = STATES.index("unscored")
    at = {state: place for place, state in enumerate(STATES)}
    states, scores = [], []
    for item in items:
        verdict = sources[item.source].verdicts.get(judge, {}).get(item.key) if item.key is not None else None
        states.append(at[state_of(verdict)] if verdict is not None else unscored)
        scores.append(short(verdict.score) if verdict is not None else None)
    return {"state": states, "score": scores}


def short(value: float | None) -> float | int | None:
    """Fewer digits, so that the page is smaller."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 4)
