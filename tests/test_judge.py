"""Verdicts: the local rules, the verdict file, and what a run lacks."""

from __future__ import annotations

import dataclasses
import functools
import json
import random
import re
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.judges import verdicts_of
from cotasks.judge.rules import RULES, judge_answer, token_f1, verdict_key
from cotasks.judge.run import judge_run
from cotasks.judge.verdicts import Verdict
from cotasks.runs import folder as runs
from cotasks.runs.run import read_run
from cotasks.tools.files import read_jsonl
from tests.examples import examples
from tests.processes import forked, wait_until

CONDITIONS = {"baseline": {"steps": []}, "cotasks": {"steps": [1, 2, 3, 4]}}
CHOICES = ["scarf", "cap", "turban", "glasses", "scarf"]


def question(**changes: Any) -> dict[str, Any]:
    return {
        "id": "q0",
        "video_id": "v0",
        "category": "causal",
        "question_type": "CW",
        "question": "why did he run",
        "answer": "to catch the ball",
        "additional_answers": [],
        "choices": [],
        "answer_index": -1,
        **changes,
    }


def multiple_choice(**changes: Any) -> dict[str, Any]:
    return question(answer="cap", choices=CHOICES, answer_index=1, **changes)


def write_run(folder: Path, answers: dict[runs.Key, Any], **settings_: Any) -> Path:
    """A run folder with a question for each id, and these answers."""
    runs.settle(folder, {"model": {"name": "m"}, "conditions": CONDITIONS, **settings_})
    with runs.Appender(folder / "questions.jsonl") as file:
        for id_ in dict.fromkeys(id_ for id_, _, _ in answers):
            file.append(question(id=id_))
    add_answers(folder, answers)
    return folder


def add_answers(folder: Path, answers: dict[runs.Key, Any], name: str = "00000") -> None:
    with runs.Appender(folder / "generations" / f"{name}.jsonl") as file:
        for (id_, condition, sample), answer in answers.items():
            file.append({"id": id_, "condition": condition, "sample": sample, "answer": answer})


def rows_of(folder: Path, name: str = "exact") -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "verdicts" / f"{name}.jsonl"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("To catch a ball.", Verdict(100.0, True, False, "equals a reference")),
        ("Answer: to catch the ball", Verdict(100.0, True, False, "equals a reference")),
        ("to throw the ball", Verdict(0.0, False, False, "equals no reference")),
        ("", Verdict(0.0, False, True, "blank")),
        ("<|im_end|>", Verdict(0.0, False, True, "blank")),
        ("I cannot tell.", Verdict(0.0, False, True, "refusal")),
        (None, Verdict(None, None, False, "no answer generated")),
        (3, Verdict(None, None, False, "no answer generated")),
    ],
)
def test_exact(answer: Any, expected: Verdict) -> None:
    assert judge_answer("exact", answer, question()) == expected


@pytest.mark.parametrize("text", ["yes", "no", "none", "nothing", "two", "unclear", "cannot walk"])
def test_awkward_references_match_themselves_only(text: str) -> None:
    asked = question(answer=text)
    assert judge_answer("exact", text.upper(), asked).score == 100
    assert judge_answer("exact", "something else", asked).score == 0
    others = {"yes", "no", "none", "nothing", "two"} - {text}
    assert [other for other in others if judge_answer("exact", other, asked).score] == []


def test_a_refusal_that_is_the_reference_is_right() -> None:
    assert judge_answer("exact", "I am sorry", question(answer="i am sorry")).score == 100


def test_numerals_match_words_and_second_references_count() -> None:
    assert judge_answer("exact", "2", question(answer="two")).score == 100
    assert judge_answer("exact", "sad", question(answer="happy", additional_answers=["sad"])).score == 100


@pytest.mark.parametrize("answer", [None, "", " ", "?"])
def test_without_a_reference_nothing_is_scored(answer: Any) -> None:
    for name in ("exact", "f1"):
        verdict = judge_answer(name, "yes", question(answer=answer, additional_answers=[""]))
        assert verdict == Verdict(None, None, False, "no reference answer")


def test_without_a_question_nothing_is_scored() -> None:
    assert judge_answer("exact", "yes", None).score is None


@pytest.mark.parametrize(
    ("answer", "score", "unreadable"),
    [("B", 100, False), ("cap", 100, False), ("The cap.", 100, False), ("A", 0, False), ("turban", 0, False),
     ("A or B", 0, True), ("a hat", 0, True), ("", 0, True), ("I cannot tell, cap", 0, True)],
)  # fmt: skip
def test_multiple_choice(answer: str, score: float, unreadable: bool) -> None:
    for name in ("exact", "f1"):
        verdict = judge_answer(name, answer, multiple_choice())
        assert (verdict.score, verdict.correct, verdict.unreadable) == (score, score == 100, unreadable)


@pytest.mark.parametrize("right", [0, 4])
@pytest.mark.parametrize("answer", ["A", "E", "scarf", "E. scarf"])
def test_an_option_with_the_right_text_is_right(answer: str, right: int) -> None:
    asked = question(answer="scarf", choices=CHOICES, answer_index=right)
    assert judge_answer("exact", answer, asked).score == 100


@pytest.mark.parametrize("right", [-1, 5])
def test_no_right_option_is_unscored(right: int) -> None:
    asked = question(choices=CHOICES, answer_index=right)
    assert judge_answer("exact", "A", asked) == Verdict(None, None, False, "no right option")


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("to catch ball", "to catch ball", 1),
        ("catch ball", "to catch ball", 0.8),
        ("ball ball", "ball", 2 / 3),
        ("dog", "cat", 0),
        ("", "cat", 0),
    ],
)
def test_token_f1(prediction: str, reference: str, expected: float) -> None:
    assert token_f1(prediction, reference) == pytest.approx(expected)


@given(st.lists(st.sampled_from("abcd"), max_size=6), st.lists(st.sampled_from("abcd"), max_size=6))
def test_token_f1_against_precision_and_recall(ours: list[str], theirs: list[str]) -> None:
    score = token_f1(" ".join(ours), " ".join(theirs))
    assert score == token_f1(" ".join(theirs), " ".join(ours))
    common = sum(min(ours.count(word), theirs.count(word)) for word in set(ours))
    if common:
        precision, recall = common / len(ours), common / len(theirs)
        assert score == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert score == 0


def test_f1_takes_the_best_reference_and_scores_refusals_zero() -> None:
    asked = question(answer="to run", additional_answers=["to catch the ball"])
    verdict = judge_answer("f1", "catch the red ball", asked)
    assert verdict.score == pytest.approx(100 * 2 * 2 / 6)
    assert verdict.correct is False
    refusal = judge_answer("f1", "I cannot see who is to catch the ball", asked)
    assert (refusal.score, refusal.unreadable) == (0, True)


FIELDS = {
    "question": "other",
    "category": "temporal",
    "answer": "other",
    "additional_answers": ["other"],
    "choices": ["other"],
    "answer_index": 2,
}


@pytest.mark.parametrize("field", FIELDS)
def test_the_key_changes_with_all_that_could_change_the_verdict(field: str) -> None:
    before = verdict_key("exact", "yes", question())
    assert verdict_key("exact", "yes", question(**{field: FIELDS[field]})) != before
    assert verdict_key("exact", "no", question()) != before
    assert verdict_key("f1", "yes", question()) != before
    assert verdict_key("exact", "yes", question(id="other", video_id="other")) == before
    assert len(before) == 64


def test_a_new_rule_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = verdict_key("exact", "yes", question())
    monkeypatch.setitem(RULES, "exact", dataclasses.replace(RULES["exact"], version=10**6))
    assert verdict_key("exact", "yes", question()) != before


def test_judge_run_writes_each_verdict_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        ("q0", "baseline", 0): "to catch the ball",
        ("q0", "cotasks", 0): "",
        ("q1", "baseline", 0): None,
    }
    folder = write_run(tmp_path / "run", answers)
    counts = judge_run(folder)
    assert (counts.judged, counts.kept, counts.missing) == (3, 0, 1)
    assert (counts.scored, counts.unscored, counts.unreadable) == (2, 1, 1)
    assert counts.path == folder / "verdicts" / "exact.jsonl"
    assert [(row["id"], row["condition"], row["score"]) for row in rows_of(folder)] == [
        ("q0", "baseline", 100),
        ("q0", "cotasks", 0),
        ("q1", "baseline", None),
    ]

    assert (judge_run(folder).judged, judge_run(folder).kept) == (0, 3)
    assert len(rows_of(folder)) == 3

    add_answers(folder, {("q1", "cotasks", 0): "to catch the ball"}, name="00001")
    assert (judge_run(folder).judged, len(rows_of(folder))) == (1, 4)

    monkeypatch.setitem(RULES, "exact", dataclasses.replace(RULES["exact"], version=10**6))
    assert (judge_run(folder).judged, len(rows_of(folder))) == (4, 8)
    assert judge_run(folder).judged == 0


def test_a_changed_reference_is_judged_again_and_stale_verdicts_do_not_count(tmp_path: Path) -> None:
    key = ("q0", "baseline", 0)
    folder = write_run(tmp_path / "run", {key: "to catch the ball"}, conditions={"baseline": {}})
    judge_run(folder)
    assert verdicts_of(read_run(folder), "exact")[key].score == 100
    path = folder / "questions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"to catch the ball", b"to kick the ball"))
    assert verdicts_of(read_run(folder), "exact")[key] == Verdict(None, None, False, "not judged")
    assert judge_run(folder).judged == 1
    assert verdicts_of(read_run(folder), "exact")[key].score == 0


def test_what_is_not_generated_is_unscored_with_its_reason(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "yes", ("q1", "baseline", 0): "yes"})
    with runs.Appender(folder / "failures" / "00000.jsonl") as file:
        file.append({"id": "q0", "condition": "cotasks", "sample": 0, "reason": "no such video"})
        file.append({"id": "q0", "condition": "baseline", "sample": 0, "reason": "made good since"})
    add_answers(folder, {("stranger", "cotasks", 0): "yes"}, name="00001")
    judge_run(folder)
    verdicts = verdicts_of(read_run(folder), "exact")
    assert {key: verdict.reason for key, verdict in verdicts.items() if verdict.score is None} == {
        ("q0", "cotasks", 0): "failed: no such video",
        ("q1", "cotasks", 0): "no answer generated",
        ("stranger", "cotasks", 0): "no such question in the run",
    }
    assert len(verdicts) == 5


def test_every_question_is_to_have_as_many_samples_as_any(tmp_path: Path) -> None:
    answers = {("q0", "baseline", 0): "yes", ("q0", "baseline", 2): "yes", ("q1", "baseline", 0): "yes"}
    folder = write_run(tmp_path / "run", answers, conditions={"baseline": {}})
    assert read_run(folder).wanted == [(id_, "baseline", sample) for id_ in ("q0", "q1") for sample in range(3)]
    assert judge_run(folder).missing == 3


@examples(30)
@given(st.data())
def test_a_torn_verdict_file_is_resumed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    answers = {(f"q{i}", "baseline", 0): "to catch the ball" if i % 2 else "" for i in range(6)}
    folder = write_run(tmp_path_factory.mktemp("torn") / "run", answers)
    judge_run(folder)
    path = folder / "verdicts" / "exact.jsonl"
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    counts = judge_run(folder)
    assert counts.kept == whole[:cut].count(b"\n")
    assert path.read_bytes() == whole


def test_killed_and_restarted_every_answer_is_judged_once(tmp_path: Path) -> None:
    answers = {(f"q{i}", "baseline", 0): "to catch the ball" for i in range(10_000)}
    folder = write_run(tmp_path / "run", answers)
    path = folder / "verdicts" / "exact.jsonl"

    def size() -> int:
        return path.stat().st_size if path.exists() else 0

    kept = []
    for kill in range(3):
        before = size()
        process = forked(tmp_path / "log", judge_run, folder)
        wait_until(lambda: size() > before or not process.is_alive())  # noqa: B023
        time.sleep(random.Random(kill).random() * 0.05)
        process.kill()
        process.join()
        kept.append(path.read_bytes().count(b"\n"))
    assert kept == sorted(kept)
    assert kept[0] > 0
    judge_run(folder)
    rows = rows_of(folder)
    assert len(rows) == len(answers)
    assert {row["id"] for row in rows} == {id_ for id_, _, _ in answers}


def test_a_changed_verdict_is_named_and_one_without_a_checksum_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "to catch"})
    judge_run(folder, "f1")
    path = folder / "verdicts" / "f1.jsonl"
    (row,) = rows_of(folder, "f1")
    path.write_bytes(orjson.dumps({**row, "score": row["score"] / 2}) + b"\n")
    with pytest.raises(InputError, match=r"f1\.jsonl:1: .*checksum"):
        judge_run(folder, "f1")
    del row["check"]
    path.write_bytes(orjson.dumps(row) + b"\n")
    assert judge_run(folder, "f1").kept == 1


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "yes"})
    with runs.locked(folder, "judge"), pytest.raises(InputError, match="another process"):
        judge_run(folder)


def test_bad_runs_are_one_clear_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "yes"})
    with pytest.raises(InputError, match=r"unknown judge 'bleu'; known: exact, f1"):
        judge_run(folder, "bleu")
    with pytest.raises(InputError, match="not a run folder"):
        judge_run(tmp_path)
    assert not (tmp_path / ".judge.lock").exists()
    empty = tmp_path / "empty"
    runs.settle(empty, {"model": "m"})
    with pytest.raises(InputError, match=r"questions\.jsonl: no such file"):
        judge_run(empty)
    (empty / "questions.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="no answers to judge"):
        judge_run(empty)


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("generations/1.jsonl", '{"id": "q0", "answer": "yes"}', "condition"),
        ("generations/1.jsonl", "not json", r"generations/1\.jsonl:1: not JSON"),
        ("verdicts/exact.jsonl", '{"id": "q0"}', r"exact\.jsonl:1: a verdict without 'score'"),
        ("questions.jsonl", '{"id": "q9"}', r"questions\.jsonl:.*video_id"),
        ("questions.jsonl", '{"question": "why"}', r"questions\.jsonl:.* '?id\b"),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, file: str, line: str, message: str) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "yes"})
    (folder / file).parent.mkdir(exist_ok=True)
    with (folder / file).open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(InputError, match=message) as caught:
        judge_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"choices": "ABC"}, {"choices": [1]}, {"answer": False}, {"category": 3},
     {"question_type": None}, {"answer_index": None}],
)  # fmt: skip
def test_questions_of_another_shape_are_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "yes"})
    with runs.Appender(folder / "questions.jsonl") as file:
        file.append(question(id="odd", **changes))
    with pytest.raises(InputError, match=r"questions\.jsonl: odd: "):
        judge_run(folder)


@pytest.mark.parametrize("score", [101, -1, "7"])
def test_a_score_outside_its_range_is_no_score(tmp_path: Path, score: Any) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "yes"})
    judge_run(folder)
    row = {**rows_of(folder)[0], "score": score}
    with runs.Appender(folder / "verdicts" / "exact.jsonl") as file:
        file.append(row)
    with pytest.raises(InputError, match="expected 0 to 100 or null"):
        verdicts_of(read_run(folder), "exact")


@pytest.mark.parametrize(
    ("settings", "said", "message"),
    [
        ({}, {"sample": 2**40}, "q0, baseline: sample 1099511627776; expected 0 to 999"),
        ({"sampling": {"num_samples": 2}}, {"sample": 2}, "q0, baseline: sample 2; expected 0 to 1"),
        ({}, {"sample": -1}, "q0, baseline: sample -1; expected 0 to 999"),
        ({}, {"answer": functools.reduce(lambda inner, _: [inner], range(300), [])}, "answer of too many levels"),
    ],
)
def test_damaged_answers_are_named(tmp_path: Path, settings: Any, said: Any, message: str) -> None:
    runs.settle(tmp_path, {"model": {"name": "m"}, "conditions": {"baseline": {}}, **settings})
    (tmp_path / "questions.jsonl").write_bytes(orjson.dumps(question()) + b"\n")
    (tmp_path / "generations").mkdir()
    row = {"id": "q0", "condition": "baseline", "sample": 0, "answer": "a", **said}
    (tmp_path / "generations/00000.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=re.escape(message)):
        judge_run(tmp_path, "exact")
