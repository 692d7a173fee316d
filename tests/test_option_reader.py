"""Options that a language model reads where the rules cannot: a real server on loopback, real run folders."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cotasks.cli import app
from cotasks.errors import InputError
from cotasks.judge.judges import verdicts_of
from cotasks.judge.options import OptionReader, read_readings, read_reply, readings_path
from cotasks.judge.run import judge_run
from cotasks.report import write_report
from cotasks.runs import folder as runs
from cotasks.runs.run import read_run
from cotasks.tools.files import read_jsonl
from tests.judge_server import Json, JudgeServer, Response, completion
from tests.processes import forked_command, wait_until
from tests.test_judge import add_answers, question

CHOICES = ["take the cap", "throw the ball", "open the box"]
UNREAD = "He lifts the lid and looks inside."
READER = "openai:tiny"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-mine")


def make_run(folder: Path, answers: dict[runs.Key, Any]) -> Path:
    runs.settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {}, "cotasks": {}}})
    with runs.Appender(folder / "questions.jsonl") as file:
        for id_ in dict.fromkeys(id_ for id_, _, _ in answers):
            file.append(
                question(id=id_, question="what does he do", answer="open the box", choices=CHOICES, answer_index=2)
            )
    add_answers(folder, answers)
    return folder


def told(request: Json) -> Json:
    """What the model is told."""
    first, data, last = request["messages"][1]["content"].split("\n")
    assert first == last
    found: Json = json.loads(data)
    return found


def says(reply: str) -> Callable[[int, Json], Json]:
    return lambda _, request: completion(reply)


ANSWERS: dict[runs.Key, Any] = {
    ("q0", "baseline", 0): UNREAD,
    ("q0", "cotasks", 0): "C",
    ("q1", "baseline", 0): "A or B",
    ("q1", "cotasks", 0): "I cannot tell.",
    ("q2", "baseline", 0): "",
    ("q2", "cotasks", 0): UNREAD,
}


def test_it_is_asked_only_what_the_rules_cannot_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    with JudgeServer(lambda _, request: completion("C" if told(request)["answer"] == UNREAD else "none")) as server:
        counts = judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
        asked = [told(request) for request in server.completions]
        assert sorted(row["answer"] for row in asked) == ["A or B", UNREAD]  # equal answers are asked about once
        assert asked[0].keys() == {"question", "options", "answer"}
        assert asked[0]["options"] == dict(zip("ABC", CHOICES, strict=True))
        assert (counts.judged, counts.read_by_model, counts.left, counts.unreadable) == (6, 2, 0, 3)
        again = judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
        assert (again.judged, again.kept, len(server.completions)) == (0, 6, 2)
    verdicts = verdicts_of(read_run(folder), "exact")
    assert verdicts["q0", "baseline", 0].score == verdicts["q2", "cotasks", 0].score == 100
    assert verdicts["q0", "baseline", 0].reason == "option read by a language model"
    assert verdicts["q1", "baseline", 0].unreadable
    rows = list(read_jsonl(folder / "verdicts" / "exact.jsonl"))
    assert [row.get("choice_by") for row in rows] == [READER, None, READER, None, None, READER]
    assert "sk-secret" not in readings_path(folder).read_text()


def test_another_reader_reads_again_and_none_leaves_it_to_the_rules(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {("q0", "baseline", 0): UNREAD})
    key = ("q0", "baseline", 0)
    with JudgeServer(says("C")) as server:
        judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
        assert verdicts_of(read_run(folder), "exact")[key].score == 100
        judge_run(folder, "f1", progress=False)  # the run's reader goes on counting, for every rule, without a call
        assert verdicts_of(read_run(folder), "f1")[key].score == 100
        assert len(server.completions) == 1
    with JudgeServer(says("A")) as other:
        judge_run(folder, base_url=other.url, choices_by=READER, progress=False)
        assert verdicts_of(read_run(folder), "exact")[key].score == 0
    judge_run(folder, choices_by="rules", progress=False)
    verdict = verdicts_of(read_run(folder), "exact")[key]
    assert (verdict.score, verdict.unreadable) == (0, True)


def test_what_the_server_did_not_say_is_unscored_and_asked_again(tmp_path: Path) -> None:
    answers = {(f"q{i}", "baseline", 0): f"{UNREAD} {i}" for i in range(4)}
    folder = make_run(tmp_path / "run", answers)

    def half(number: int, request: Json) -> Any:
        return Response({"error": {"message": "no"}}, 400) if told(request)["answer"].endswith("2") else completion("B")

    with JudgeServer(half) as server:
        counts = judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
    assert (counts.judged, counts.left, counts.scored) == (3, 1, 3)
    assert "status 400" in counts.stopped
    assert verdicts_of(read_run(folder), "exact")["q2", "baseline", 0].score is None
    assert "ask it with --choices-by" in judge_run(folder, progress=False).stopped
    with JudgeServer(says("C")) as server:
        url = json.loads((folder / "options" / "reader.json").read_text())["base_url"]
        assert url != server.url  # another address is another reader: all are asked again
        assert judge_run(folder, base_url=server.url, choices_by=READER, progress=False).left == 0
        assert len(server.completions) == 4


def test_a_refused_key_ends_it_and_keeps_what_came(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {(f"q{i}", "baseline", 0): f"{UNREAD} {i}" for i in range(8)})

    def refuse(number: int, request: Json) -> Any:
        return completion("C") if number <= 3 else Response({"error": {"message": "no"}}, 401)

    with JudgeServer(refuse) as server:
        with pytest.raises(InputError, match="refuses the API key"):
            judge_run(folder, base_url=server.url, choices_by=READER, concurrency=1, progress=False)
        assert len(read_readings(folder).options) == 3


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ended_and_called_again_it_asks_no_answer_twice(tmp_path: Path, ending: signal.Signals) -> None:
    folder = make_run(tmp_path / "run", {(f"q{i}", "baseline", 0): f"{UNREAD} {i}" for i in range(24)})
    with JudgeServer(says("C"), latency=0.1) as server:
        asked = ("--choices-by", READER, "--base-url", server.url, "--concurrency", "2")
        process = forked_command(tmp_path / "log", "judge", str(folder), *asked)
        path = readings_path(folder)
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 4)
        os.kill(process.pid or 0, ending)
        process.join(60)
        assert process.exitcode == (-ending if ending == signal.SIGKILL else 130)
        written, asked = path.read_bytes().count(b"\n"), len(server.completions)
        assert 4 <= written < 24
        assert ending == signal.SIGKILL or written == asked  # what was under way was waited for, and written
        counts = judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
        assert (counts.scored, counts.left) == (24, 0)
        assert len(server.completions) - asked == 24 - written


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("C", 2), ("c", 2), ("(B)", 1), ("**A**.", 0), ("Answer: C", 2), ("Option B", 1), ("<think>A?</think>\n\nB", 1),
        ("none", None), ("None.", None), ("**none**", None),
        ("D", "the reply is no option's letter"), ("A or B", "the reply is no letter"), ("", "the reply is no letter"),
        ("The answer chooses C.", "the reply is no letter"), ("None of them is C", "the reply is no letter"),
    ],
)  # fmt: skip
def test_a_reply_is_a_letter_or_none(reply: str, expected: int | str | None) -> None:
    assert read_reply(reply, 3) == expected


@given(st.text(), st.integers(1, 26))
def test_any_reply_is_read_without_an_error(reply: str, count: int) -> None:
    found = read_reply(reply, count)
    assert found is None or isinstance(found, str) or 0 <= found < count


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_no_answer_leaves_its_string(answer: str, choices: list[str]) -> None:
    reader = OptionReader("tiny", "http://localhost/v1", 0.0, 16)
    request = reader.request(question(choices=choices[:26]), answer)
    assert list(told(request)["options"].values()) == choices[:26]
    assert reader.key(request) == reader.key(reader.request(question(choices=choices[:26]), answer))


def test_an_unreadable_reply_names_no_option(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {("q0", "baseline", 0): UNREAD})
    with JudgeServer(says("It seems to be C, but D is possible.")) as server:
        counts = judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
    assert (counts.unreadable, counts.read_by_model, counts.left) == (1, 0, 0)
    row = next(iter(read_jsonl(readings_path(folder))))
    assert (row["option"], row["problem"]) == (None, "the reply is no letter")


def test_the_command_and_the_report_count_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    with JudgeServer(says("C")) as server:
        command = ["judge", str(folder), "--choices-by", READER, "--base-url", server.url]
        result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "3 options read by a model" in result.output
    write_report([folder], out=tmp_path / "report")
    report = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "3 options of multiple choice, which the rules cannot read, were read by openai:tiny" in report
    assert "baseline 2, cotasks 1" in report


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choices_by": "tiny"}, "choices_by 'tiny'; expected openai:MODEL"),
        ({"choices_by": "openai:"}, "expected openai:MODEL"),
        ({"choices_by": READER, "temperature": 3.0}, "temperature 3.0; expected 0 to 2"),
        ({"choices_by": READER, "max_tokens": 0}, "max_tokens 0; expected 1 or more"),
        ({"choices_by": READER, "concurrency": 0}, "concurrency 0; expected 1 to 1000"),
        ({"choices_by": READER, "base_url": "ftp://x"}, "base URL"),
        ({"choices_by": READER, "max_cost": 1.0}, "max_cost with judge exact"),
        ({"judge": "openai:m", "choices_by": READER}, "choices_by with judge openai:m"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = make_run(tmp_path / "run", {("q0", "baseline", 0): UNREAD})
    with pytest.raises(InputError, match=message) as caught:
        judge_run(folder, **{"base_url": "http://127.0.0.1:9/v1", **changes}, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("reader.json", "[]"),
        ("reader.json", '{"model": 3}'),
        ("reader.json", "{"),
        ("readings.jsonl", '{"key": "k", "option": 77}\n'),
        ("readings.jsonl", '{"key": 3, "option": 1}\n'),
        ("readings.jsonl", '{"key": "k"}\n'),
    ],
)
def test_damaged_readings_are_named(tmp_path: Path, file: str, text: str) -> None:
    folder = make_run(tmp_path / "run", {("q0", "baseline", 0): UNREAD})
    with JudgeServer(says("C")) as server:
        judge_run(folder, base_url=server.url, choices_by=READER, progress=False)
    (folder / "options" / file).write_text(text)
    with pytest.raises(InputError, match=file) as caught:
        judge_run(folder, progress=False)
    assert "\n" not in str(caught.value)
