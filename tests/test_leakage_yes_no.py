"""What a context affirms of yes/no questions, and leakage by origin of step 1."""

from __future__ import annotations

import dataclasses

import pytest

from cotasks.audit import leakage as lk
from cotasks.audit.chance import Leakage
from cotasks.audit.leakage import Question, Vocabulary
from cotasks.records.schema import Record
from tests.audit_records import make_record

VOCABULARY = Vocabulary(frozenset({"dog", "adult", "child", "sofa", "cat"}), frozenset({"hold", "next_to", "chase"}))


def asked(text: str, answer: str = "yes", **changes: object) -> Record:
    return make_record(
        text,
        answer,
        "DB",
        entities=("dog", "adult", "sofa"),
        spatial=[(0, "next_to", 2)],
        temporal=[(1, "hold", 0)],
        **changes,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "affirmed"),
    [
        ("is there a dog", True),
        ("is there a cat", False),
        ("is the dog on the couch", True),  # both are there; "on" names no predicate
        ("is the cat on the couch", False),
        ("is the man holding the dog", True),
        ("is the dog chasing the man", False),
        ("is the dog next to the sofa", True),
        ("is the man next to the sofa", True),  # a thing of the question is next to something: no more is looked at
        ("is it sunny", None),
        ("does anyone hold anything", True),
    ],
)
def test_what_a_context_affirms(text: str, affirmed: bool | None) -> None:
    found = lk.record_evidence(asked(text), VOCABULARY)
    assert found["cotasks"].affirmed is affirmed
    assert found[lk.QUESTION].affirmed is None


def leak(*records: Record) -> dict[tuple[str, str, str], dict[str, object]]:
    questions = [Question.of("validation", row_of(record)) for record in records]
    found = Leakage(questions, VOCABULARY)
    for number, record in enumerate(records):
        found.measure(number, record)
    return {(row["condition"], row["name"], row["measure"]): row for row in found.rows()}


def row_of(record: Record) -> dict[str, object]:
    return {name: record.to_row()[name] for name in Question.columns()}


def test_saying_yes_where_affirmed() -> None:
    records = [
        asked("is there a dog", "yes", video="v1"),
        asked("is there a cat", "no", video="v2"),
        asked("is the man holding the dog", "no", video="v3"),
        asked("is it sunny", "yes", video="v4"),  # names nothing: left out
        asked("what is there", "a dog", video="v5"),  # no yes/no question
    ]
    rows = leak(*records)
    row = rows["cotasks", "all", "yes_no"]
    assert (row["questions"], row["share"]) == (3, pytest.approx(2 / 3))
    # the other yes/no questions' answers: yes of no, no, yes; no of yes, no, yes; yes of yes, no, yes
    assert row["chance"] == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)
    # entities alone show no holding; where A3 and A4 are told alone, things without a triple are not named
    assert rows["cotasks-1", "all", "yes_no"]["share"] == 1
    assert (lk.QUESTION, "all", "yes_no") not in rows


def test_leakage_by_origin() -> None:
    plain = asked("is there a dog")
    a1 = dataclasses.replace(plain.frame_localization, span_origin="human", used_answer=True)
    other = dataclasses.replace(asked("is there a cat", "no", video="v2"), frame_localization=a1)
    rows = leak(plain, other)
    levels = {name for condition, name, measure in rows if rows[condition, name, measure]["level"] == "origin"}
    assert levels == {"whole", "human, saw the answer"}
    assert rows["cotasks", "whole", "any"]["questions"] == 1
    assert not [key for key, row in leak(plain).items() if row["level"] == "origin"]
