"""A language model as the judge, behind servers that are slow, fail, or hold no model to a form."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.judge.judges import failed_calls, verdicts_of
from cotasks.judge.llm import asker
from cotasks.judge.llm.settings import read_llm_judge
from cotasks.runs import folder as runs
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_jsonl, read_json
from tests.judge_server import JudgeServer, Response, completion, fair, verdict
from tests.test_judge import write_run
from tests.test_llm_judge import REFERENCE, ask, calls_are_quick, many, rows_of, stops


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


def judge_command(folder: Path, server: JudgeServer, *more: str) -> list[str]:
    return ["judge", str(folder), "--judge", "openai:m", "--base-url", server.url, "--price", "2", "8", *more]


def scored(folder: Path) -> list[dict[str, Any]]:
    return [row for row in rows_of(folder) if row["score"] is not None]


# A slow server is not a broken one


def test_a_slow_server_with_one_slot_loses_nothing_and_bills_nothing_twice(tmp_path: Path) -> None:
    """With 32 calls at once the last waits for 32 verdicts, of which 12 fit into the time limit."""
    folder = write_run(tmp_path / "run", many(60))
    with JudgeServer(latency=0.05, slots=1) as server:
        counts = ask(folder, server, concurrency=32, timeout=0.6)
        assert (counts.scored, counts.unscored, counts.failed, counts.left) == (60, 0, 0, 0)
        assert len(server.completions) == server.worked_off == counts.calls == 60


def test_time_limits_that_pass_lower_the_calls_at_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(150))
    at_once: list[int] = []

    def answer(_: int, request: Any) -> Any:
        at_once.append(server._at_once)
        return fair(request)

    with JudgeServer(answer, latency=0.04, slots=1) as server:
        assert ask(folder, server, concurrency=48, timeout=0.4).scored == 150
        assert len(server.completions) == 150
    assert max(at_once) > 40
    assert sorted(at_once[-60:])[30] <= 12  # 10 fit into the time limit


def test_one_verdict_that_takes_longer_than_the_time_limit_is_waited_for(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(5))
    with JudgeServer(latency=0.8, slots=1) as server:
        assert ask(folder, server, timeout=0.5).scored == 5
        assert len(server.completions) == 5


def test_a_server_that_has_shown_how_slow_it_is_may_be_silent_for_longer(tmp_path: Path) -> None:
    """The first call, which goes out alone, takes three time limits, and those that come together take six."""
    folder = write_run(tmp_path / "run", many(5))

    def answer(_: int, request: Any) -> Any:
        server.latency = 1.2
        return fair(request)

    with JudgeServer(answer, latency=0.6) as server:
        counts = ask(folder, server, timeout=0.2)
        assert (counts.scored, counts.failed, len(server.completions)) == (5, 0, 5)


def test_a_gateway_that_does_not_wait_is_asked_less_at_once(tmp_path: Path) -> None:
    """It answers 504 where more than six are waited for."""
    folder = write_run(tmp_path / "run", many(60))
    with JudgeServer(latency=0.03) as server:
        server.answer = lambda _, request: fair(request) if server._at_once <= 6 else Response(b"", 504)
        counts = ask(folder, server, concurrency=32)
    assert (counts.scored, counts.failed) == (60, 0)
    assert len(server.completions) < 160


def test_a_call_that_is_lost_while_others_are_answered_does_not_hold_them_up(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(200))
    with JudgeServer(lambda number, request: Response(hang=True) if number in (3, 4) else fair(request)) as server:
        server.latency = 0.02
        began = time.monotonic()
        counts = ask(folder, server, concurrency=4, timeout=0.5)
        assert counts.scored == 200
        assert len(server.completions) == 202
        assert time.monotonic() - began < 30


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(30))
    with JudgeServer(lambda *_: Response(hang=True)) as server:
        assert "no response within the time limit; expected an OpenAI-compatible" in stops(folder, server, timeout=0.1)
        assert len(server.completions) == 1  # the first call goes out alone
    assert rows_of(folder) == []


# Failed calls end with exit code 1 and the command that asks again


def test_failed_calls_are_exit_code_1_and_the_command_that_is_printed_asks_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", {**many(8), ("bad", "baseline", 0): "hopeless"})

    def answer(_: int, request: Any) -> Any:
        return Response({}, 500) if "hopeless" in request["messages"][1]["content"] else fair(request)

    with JudgeServer(answer) as server:
        command = judge_command(folder, server, "--repeats", "1", "--timeout", "7", "--no-structured")
        assert main(command) == 1
        out = capsys.readouterr().out
        assert "1 verdicts are missing, as their calls failed (the server answered with status 500)" in out
        assert failed_calls(read_run(folder), "openai:m") == {"the server answered with status 500": 1}
        again = out.strip().splitlines()[-1]
        assert again.startswith(f"cotasks judge {folder} --judge openai:m --base-url {server.url} --no-structured")
        assert again.endswith(" --timeout 7.0 --price 2.0 8.0 --retry-unscored")
        assert main(command) == 1  # nothing is asked again without that
        server.answer = lambda _, request: fair(request)
        assert main(again.split()[1:]) == 0
        assert main(command) == 0
    assert len(scored(folder)) == 9


def test_a_fatal_error_in_the_middle_is_exit_code_1_and_at_the_start_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", many(30))
    with JudgeServer(lambda number, request: fair(request) if number <= 9 else Response({}, 401)) as server:
        assert main(judge_command(folder, server)) == 1
        said = capsys.readouterr()
        assert "refuses the API key" in said.err.splitlines()[-1]
        assert said.out.splitlines()[-1].startswith("cotasks judge ")
        assert main(judge_command(folder, server)) == 2
        assert len(scored(folder)) == 9


def test_unreadable_replies_alone_are_no_failed_calls(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(10))
    with JudgeServer(lambda n, request: completion("Hm.") if n == 4 else fair(request)) as server:
        assert main(judge_command(folder, server)) == 0
    assert len(scored(folder)) == 9


# A model that does not keep to the form


def test_twenty_unreadable_replies_in_a_row_end_the_judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run", many(100))
    with JudgeServer(lambda *_: completion("Well, who can say?"), latency=0.01) as server:
        line = stops(folder, server, concurrency=4)
        assert re.search(r"2[0-4] replies in a row hold no verdict: .* not one JSON object, the last: 'Well, who", line)
        assert 20 <= len(server.completions) <= 24
        assert len(rows_of(folder)) == len(server.completions)  # paid for, so kept
        monkeypatch.setattr(asker, "UNREADABLE_IN_A_ROW", 3)
        server.answer = lambda n, request: completion("Hm.") if n % 2 else fair(request)
        assert ask(folder, server, concurrency=1).left == 0  # never three in a row


@pytest.mark.parametrize("knows", ["schema", "json", "none"])
def test_the_best_reply_format_that_the_server_knows_is_found_with_one_call_each(tmp_path: Path, knows: str) -> None:
    folder = write_run(tmp_path / "run", many(20))

    def answer(_: int, request: Any) -> Any:
        form = request.get("response_format", {}).get("type")
        if form == "json_schema" and knows != "schema":
            return Response({"error": {"message": "This response_format type is unavailable now"}}, 400)
        if form == "json_object" and knows == "none":
            return Response({"error": {"message": "failed to parse grammar"}}, 500)
        return fair(request)

    with JudgeServer(answer, latency=0.01) as server:
        assert ask(folder, server).scored == 20
        assert len(server.completions) == 20 + ["schema", "json", "none"].index(knows)
        assert read_llm_judge(folder, "openai:m").reply_format == knows
        assert {row["reply_format"] for row in rows_of(folder)} == {knows}
        runs.Appender(folder / "generations" / "1.jsonl").append(
            {"id": "q1", "condition": "cotasks", "sample": 0, "answer": "new"}
        )
        asked = len(server.completions)
        assert ask(folder, server).calls == 1
        assert len(server.completions) == asked + 1


def test_settings_of_a_version_without_json_mode_keep_their_verdicts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(3))
    path = folder / "verdicts" / "openai-m.json"
    with JudgeServer() as server:
        for structured in (True, False):
            ask(folder, server, structured=structured)
            old = read_json(path)
            del old["reply_format"]
            path.write_text(json.dumps({**old, "structured": structured}))
            assert ask(folder, server).calls == 0
            assert read_llm_judge(folder, "openai:m").structured is structured


def test_answers_equal_to_a_reference_need_no_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers: dict[runs.Key, Any] = {("q0", "baseline", 0): f" {REFERENCE.upper()}.", ("q1", "baseline", 0): "to run"}
    folder = write_run(tmp_path / "run", answers)
    with JudgeServer(lambda *_: verdict(0, "no")) as server:
        counts = ask(folder, server, progress=True)
        assert [asked["prediction"] for asked in server.asked] == ["to run"]
    assert (counts.calls, counts.scored) == (1, 2)
    assert "1 answers equal a reference: nobody is asked" in capsys.readouterr().err
    found = verdicts_of(read_run(folder), "openai:m")["q0", "baseline", 0]
    assert (found.score, found.correct, found.reason) == (100.0, True, "equals a reference")


def test_a_reply_that_an_older_reader_left_is_read_again_without_a_call(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(2))
    with JudgeServer() as server:
        ask(folder, server)
        path = folder / "verdicts" / "openai-m.jsonl"
        rows = rows_of(folder)
        older = {"score": None, "correct": None, "rating": None, "explanation": ""}
        older |= {"reason": "the judge's reply is not one JSON object", "reply": f"So: {verdict_text(4)}"}
        older = {name: value for name, value in {**rows[0], **older}.items() if name != "check"}
        dump_jsonl(path, [older, rows[1]])
        counts = ask(folder, server)
        assert (counts.calls, counts.judged, counts.kept, counts.scored) == (0, 1, 2, 2)
        assert ask(folder, server).judged == 0
    assert rows_of(folder)[-1]["score"] == 80


def verdict_text(score: int) -> str:
    return str(verdict(score)["choices"][0]["message"]["content"])
