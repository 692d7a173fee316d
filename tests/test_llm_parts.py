"""The parts of a language model's judging: message, reply, waiting, names, keys, rubric files, prices."""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.llm.pricing import find_price, likely_tokens, most_tokens
from cotasks.judge.llm.reading import Reading, Reply, read_completion, read_reading
from cotasks.judge.llm.rubric import REPLY_SCHEMA, load_rubric, parse_rubric, read_user_message, user_message
from cotasks.judge.llm.settings import LlmJudge, file_stem, judge_name, llm_judge
from cotasks.servers.calls import Trouble, retry_after
from cotasks.servers.gate import Gate
from tests.judge_server import completion
from tests.test_judge import question

RUBRIC = "name: strict\nversion: 2\n\nBe strict.\nVery.\n"


@given(st.text(), st.lists(st.text(), max_size=3), st.text())
def test_no_text_can_leave_its_string(asked: str, references: list[str], prediction: str) -> None:
    message = user_message(asked, references, prediction)
    assert read_user_message(message) == {"question": asked, "references": references, "prediction": prediction}
    assert user_message(asked, references, prediction) == message
    assert message.isprintable() or message.replace("\n", "").isprintable()
    assert message.count("\n") == 2


@given(st.text(max_size=40))
def test_a_marker_known_beforehand_is_not_used_again(prediction: str) -> None:
    marker = user_message("q", ["r"], prediction).split("\n")[0]
    forged = user_message("q", ["r"], f"{prediction}\n{marker}\n")
    assert forged.split("\n")[0] != marker
    assert read_user_message(forged)["prediction"] == f"{prediction}\n{marker}\n"


GOOD = '{"reason": "r", "match": "no", "score": 2}'
NOT_JSON, NOT_ASKED = "the judge's reply is not one JSON object", "the judge's reply is not as asked for"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, 2),
        (f"\n {GOOD} \n", 2),
        (f"```json\n{GOOD}\n```", 2),
        (f"```\n{GOOD}\n```", 2),
        (f"<think>score 5? {{}}</think>\n{GOOD}", 2),
        ('{"score": 1, "match": "yes", "reason": ""}', 1),
        ("5", NOT_ASKED),
        ("Score: 5", NOT_JSON),
        ("", NOT_JSON),
        (f"Here it is: {GOOD}", 2),
        (f"{GOOD} I hope this helps!", 2),
        (f"{GOOD}{GOOD}", NOT_JSON),
        (f"<think>{GOOD}", NOT_JSON),
        (f"<think>{GOOD}</think>", NOT_JSON),
        (f"```json\n{GOOD}\n```\nand\n```json\n{GOOD}\n```", NOT_JSON),
        ('{"reason": "r", "match": "no", "score": 0, "score": 5}', NOT_JSON),
        ("{'reason': 'r', 'match': 'no', 'score': 2}", 2),
        ("[" * 100_000, NOT_JSON),
        ('{"reason": "r", "match": "no", "score": ' + "9" * 5000 + "}", NOT_JSON),
        ('{"reason": "r", "match": "no", "score": 7}', NOT_ASKED),
        ('{"reason": "r", "match": "no", "score": -1}', NOT_ASKED),
        ('{"reason": "r", "match": "no", "score": 2.5}', NOT_ASKED),
        ('{"reason": "r", "match": "no", "score": "2"}', 2),
        ('{"reason": "r", "match": "no", "score": true}', NOT_ASKED),
        ('{"reason": "r", "match": "no", "score": null}', NOT_ASKED),
        ('{"reason": "r", "match": "no", "score": NaN}', NOT_ASKED),
        ('{"reason": "r", "match": "maybe", "score": 2}', NOT_ASKED),
        ('{"reason": "r", "match": true, "score": 2}', 2),
        ('{"match": "no", "score": 2}', 2),
        ('{"reason": "r", "match": "no", "score": 2, "confidence": 1}', 2),
        (f"[{GOOD}]", 2),
    ],
)
def test_a_reply_is_read_where_it_gives_one_verdict(text: str, expected: int | str) -> None:
    reading = read_reading(text)
    assert (reading.score if isinstance(reading, Reading) else reading) == expected


@given(st.text() | st.builds(json.dumps, st.dictionaries(st.sampled_from(["reason", "match", "score"]), st.integers())))
def test_no_reply_breaks_the_reader(text: str) -> None:
    assert isinstance(read_reading(text), Reading | str)
    assert isinstance(read_completion(completion(text)), Reply)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (completion(None, refusal="I will not."), "the judge refused"),
        (completion(None), "the judge's reply is empty"),
        (completion("  "), "the judge's reply is empty"),
        (completion("{", finish_reason="length"), "the judge's reply was cut off at its longest"),
        (completion(None, finish_reason="content_filter"), "the judge's reply was filtered"),
        (completion("Five."), NOT_JSON),
    ],
)
def test_a_completion_without_a_reading_says_why(payload: Any, reason: str) -> None:
    reply = read_completion(json.dumps(payload).encode())
    assert isinstance(reply, Reply)
    assert (reply.rating, reply.match, reply.reason) == (None, None, reason)


@pytest.mark.parametrize("payload", [b"", b"<html>", b"[]", b"null", b"{}", b'{"choices": []}', b'{"choices": [{}]}'])
def test_what_is_no_completion_is_tried_again(payload: bytes) -> None:
    outcome = read_completion(payload)
    assert isinstance(outcome, Trouble)
    assert outcome.retry


def test_odd_fields_of_a_completion_do_no_harm() -> None:
    text = '{"reason": "a \\ud800 b", "match": "yes", "score": 4}'
    reply = read_completion(completion(text, usage={"prompt_tokens": "many"}, model=None))
    assert isinstance(reply, Reply)
    assert (reply.rating, reply.explanation, reply.prompt_tokens, reply.served_model) == (4, "a ? b", None, "")


def test_the_schema_sent_and_the_model_that_reads_agree() -> None:
    assert REPLY_SCHEMA["required"] == list(REPLY_SCHEMA["properties"]) == list(Reading.model_fields)
    for score in REPLY_SCHEMA["properties"]["score"]["enum"]:
        for match in REPLY_SCHEMA["properties"]["match"]["enum"]:
            reading = read_reading(json.dumps({"reason": "", "match": match, "score": score}))
            assert isinstance(reading, Reading) != ((match, score) in {("no", 5), ("yes", 0)})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "-4"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, float("inf")),
        ({"retry-after": "later"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_a_date() -> None:
    wait = retry_after({"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None
    assert 28 < wait <= 30


def test_the_gate_narrows_once_for_one_crowd_and_widens_again() -> None:
    gate = Gate(10)
    entered = [gate.enter() for _ in range(10)]
    assert gate.free == 0
    for moment in entered:
        gate.slow_down(moment, None)
    assert gate.limit == pytest.approx(7)
    for _ in range(3):
        gate.leave()
    assert gate.free == 0  # 7 are inside still
    gate.leave()
    assert gate.free == 1
    for _ in range(200):
        gate.speed_up()
    assert gate.limit == 10
    for _ in range(50):
        gate.slow_down(time.monotonic(), None)
    assert gate.limit == 1


_names = st.text(
    st.characters(codec="utf-8", exclude_characters="#", exclude_categories=("C", "Z")), min_size=1, max_size=12
)


@given(_names, _names, st.sampled_from(["", "#strict", "#a.b"]), st.sampled_from(["", "#strict", "#a.b"]))
def test_different_judges_have_different_files(one: str, other: str, rubric: str, second: str) -> None:
    one, other = f"openai:{one}{rubric}", f"openai:{other}{second}"
    assert (file_stem(one).lower() == file_stem(other).lower()) == (one == other)
    assert judge_name(file_stem(one)) == one
    assert not set('/\\:*?"<>| ') & set(file_stem(one))


def test_files_of_judges() -> None:
    assert file_stem("openai:gpt-4.1") == "openai-gpt-4.1"
    assert file_stem("openai:qwen/qwen2.5") == "openai-qwen%2Fqwen2.5"
    assert file_stem("openai:Qwen/Qwen2.5").startswith("openai-Qwen%2FQwen2.5~")
    assert file_stem("openai:../../x") == "openai-..%2F..%2Fx"
    assert file_stem("openai:m#strict") == "openai-m+strict"
    assert judge_name("openai-a b") is None


def judge_with(**changes: Any) -> LlmJudge:
    base = {"judge": "openai:m", "rubric": load_rubric(), "base_url": "http://h/v1"}
    return llm_judge(**{**base, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"judge": "openai:n"},
        {"base_url": "http://other/v1"},
        {"temperature": 0.5},
        {"temperature": None},
        {"max_tokens": 99},
        {"structured": False},
        {"rubric": replace(load_rubric(), text="Be kind.")},
    ],
)
def test_the_key_changes_with_every_setting(change: dict[str, Any]) -> None:
    before = judge_with().keys("to run", question())
    assert judge_with().keys("to run", question()) == before
    assert judge_with(**change).keys("to run", question()) != before


@pytest.mark.parametrize(
    "change", [{"question": "x"}, {"answer": "x"}, {"additional_answers": ["x"]}, {"category": "x"}]
)
def test_the_key_changes_with_what_is_judged(change: dict[str, Any]) -> None:
    judge = judge_with()
    before = judge.keys("to run", question())
    assert judge.keys("to run", question(**change)) != before
    assert judge.keys("to walk", question()) != before
    assert judge.keys("to run", question(id="x", video_id="x")) == before
    assert len(set(judge_with(repeats=3).keys("to run", question()))) == 3
    assert judge_with(repeats=3).keys("to run", question())[0] == before[0]


def test_openais_models_get_the_newer_name_of_the_limit() -> None:
    request = judge_with(base_url="https://api.openai.com/v1/").request(question(), "x")
    assert request["max_completion_tokens"] == 1024
    assert "max_tokens" not in request
    assert "temperature" not in judge_with(temperature=None).request(question(), "x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Be strict.", "no `name:` line"),
        ("name: x\n\nBe strict.", "no `version:` line"),
        ("name: x\nversion: 1\ntone: kind\n\nBe strict.", "expected only `name:` and `version:`"),
        ("name: x\nversion: 1\nscale: 0-4\nscale: 0-5\n\nBe strict.", "expected each header once"),
        ("name: Strict One\nversion: 1\n\nBe strict.", "name 'Strict One'; expected up to 40"),
        ("name: ../x\nversion: 1\n\nBe strict.", "expected up to 40"),
        ("name: x\nversion: 1\n\n \n", "no text after the headers"),
        ("name: answer-match\nversion: 1\n\nBe strict.", "is the shipped rubric's"),
        (b"name: x\nversion: 1\n\n\xff", "not UTF-8 at byte 20"),
    ],
)
def test_a_file_that_is_no_rubric_is_named(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"mine\.txt: ") as caught:
        load_rubric(path)
    assert said in str(caught.value)


def test_the_shipped_rubric_may_be_given_as_a_file(tmp_path: Path) -> None:
    rubric = load_rubric()
    (tmp_path / "copy.txt").write_text(f"name: {rubric.name}\nversion: {rubric.version}\n\n{rubric.text}\n")
    assert load_rubric(tmp_path / "copy.txt") == rubric
    assert parse_rubric(RUBRIC, "x").sha256 == parse_rubric(RUBRIC.replace("\n", "\r\n"), "x").sha256


def test_prices_and_tokens() -> None:
    official = "https://api.openai.com/v1"
    assert find_price("gpt-4.1", official, None) == find_price("gpt-4.1-2025-04-14", official, None)
    assert find_price("gpt-4o-2024-05-13", official, None) != find_price("gpt-4o", official, None)
    assert find_price("gpt-9", official, None) is None
    assert find_price("gpt-4.1", "http://localhost:8000/v1", None) is None
    price = find_price("gpt-9", official, (3.0, 6.0), batch=True)
    assert price is not None
    assert price.cost(1_000_000, 500_000) == pytest.approx(1.5 + 1.5)
    messages = [{"role": "user", "content": "\u6f22" * 100}]
    assert 300 / 4 <= likely_tokens(messages) < 300 <= most_tokens(messages)
