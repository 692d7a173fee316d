"""What a judge's calls cost, and what is kept of them: errors, signals and kills in the middle, and odd servers."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.judges import verdicts_of
from cotasks.judge.llm.ledger import Ledger
from cotasks.judge.llm.pricing import Price
from cotasks.judge.llm.rubric import CONTRADICTION
from cotasks.judge.verdicts import with_checksum
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_jsonl, read_jsonl
from tests.examples import examples
from tests.judge_server import JudgeServer, Response, fair, verdict
from tests.processes import forked_command, wait_until
from tests.test_judge import write_run
from tests.test_llm_judge import ask, calls_are_quick, many, rows_of, stops
from tests.test_llm_servers import judge_command, scored


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


PRICE = (2.0, 8.0)
EACH = (500 * 2 + 40 * 8) / 1e6
"""US dollars that the server bills for a completion."""


# Errors and signals in the middle


@pytest.mark.parametrize(
    "fatal",
    [
        Response({"error": {"message": "revoked"}}, 401),
        Response({"error": {"message": "top up", "code": "insufficient_quota"}}, 429),
        Response({"error": {"message": "pay"}}, 402),
    ],
)
def test_one_fatal_error_lets_the_calls_under_way_finish_and_writes_them(tmp_path: Path, fatal: Response) -> None:
    """The error comes at once, while the others take their time."""
    folder = write_run(tmp_path / "run", many(200))

    def answer(number: int, request: Any) -> Any:
        server.latency = 0.0 if number == 40 else 0.3
        return fatal if number == 41 else fair(request)

    with JudgeServer(answer, latency=0.3) as server:
        stops(folder, server, concurrency=32)
        time.sleep(0.5)
        assert len(server.completions) < 80
        assert len(rows_of(folder)) == len(scored(folder)) == server.worked_off >= 40


def end(process: ForkServerProcess, number: int) -> None:
    """The signal ends it as an interrupt does, and soon."""
    os.kill(process.pid or 0, number)
    process.join(20)
    assert process.exitcode == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_calls_under_way_finish_and_writes_them(tmp_path: Path, number: signal.Signals) -> None:
    folder = write_run(tmp_path / "run", many(120))
    with JudgeServer(latency=0.3) as server:
        process = forked_command(tmp_path / "log", *judge_command(folder, server, "--concurrency", "16"))
        wait_until(lambda: server.worked_off > 20)
        end(process, number)
        said = (tmp_path / "log").read_text()
        assert said.splitlines()[-1] == "Interrupted; run the same command again to go on."
        assert "Traceback" not in said
        asked = len(server.completions)
        assert len(scored(folder)) == asked == server.worked_off < 120
        server.latency = 0.0
        assert ask(folder, server, concurrency=16).scored == 120
        assert len(server.completions) == 120


def test_a_signal_does_not_wait_for_those_whose_turn_has_not_come(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(50))
    crowded = Response({}, 429, {"retry-after": "500"})
    with JudgeServer(lambda number, request: crowded if number == 8 else fair(request), latency=0.1) as server:
        process = forked_command(tmp_path / "log", *judge_command(folder, server, "--concurrency", "4"))
        wait_until(lambda: len(server.completions) >= 8)
        time.sleep(0.5)
        end(process, signal.SIGTERM)
        assert len(scored(folder)) == server.worked_off


# The limit holds


def billed(server: JudgeServer) -> float:
    return server.worked_off * EACH


def test_failed_calls_count_in_the_next_command(tmp_path: Path) -> None:
    """Each call is worked on and billed, but a third of the responses break off on their way."""
    folder = write_run(tmp_path / "run", many(60))

    def answer(number: int, request: Any) -> Any:
        return Response(fair(request), cut=True) if number % 3 == 1 else fair(request)

    with JudgeServer(answer) as server:
        for _ in range(6):
            counts = ask(folder, server, price=PRICE, max_cost=0.05, concurrency=4)
            assert billed(server) <= 0.05
        assert counts.left > 0
        assert counts.stopped == "max_cost 0.05 could be exceeded"
        assert counts.calls == 0  # nothing was left to spend


def test_the_limit_holds_over_kills_and_restarts(tmp_path: Path) -> None:
    """Killed with calls under way, which the server works off and bills."""
    folder = write_run(tmp_path / "run", many(300))
    limit, draw = 0.4, random.Random(0)
    with JudgeServer(latency=0.05) as server:
        server.answer = lambda n, request: Response({}, 500) if n % 11 == 0 else fair(request)
        words = judge_command(folder, server, "--concurrency", "6", "--max-cost", str(limit))
        for _ in range(3):
            asked = len(server.completions)
            process = forked_command(tmp_path / "log", *words)
            wait_until(lambda: len(server.completions) > asked + 6 or not process.is_alive())  # noqa: B023
            time.sleep(draw.random() / 10)
            process.kill()
            process.join()
        wait_until(lambda: server._at_once == 0)
        assert billed(server) <= limit
        before = len(server.completions)
        counts = ask(folder, server, price=PRICE, max_cost=limit, concurrency=6)
        assert counts.left > 0
        assert len(server.completions) > before  # something was left to spend
        assert billed(server) <= limit
        for row in read_jsonl(folder / "verdicts" / "ledger" / "openai-m.jsonl"):
            assert row.keys() in ({"call", "key", "most", "batch"}, {"call", "used"})
        assert ask(folder, server, price=PRICE, max_cost=10).left == 0


def test_verdicts_from_before_the_ledger_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(30))
    with JudgeServer() as server:
        ask(folder, server, price=PRICE, max_cost=0.03)
        spent = billed(server)
        (folder / "verdicts" / "ledger" / "openai-m.jsonl").unlink()
        assert ask(folder, server, price=PRICE, max_cost=spent + EACH).calls == 0
        (folder / "verdicts" / "ledger" / "openai-m.jsonl").write_text('{"call": 1}\n')
        with pytest.raises(InputError, match=r"openai-m\.jsonl:1: .*expected a line of a judge's ledger"):
            ask(folder, server)


_tokens = st.tuples(st.integers(0, 5000), st.integers(0, 5000))


@examples(100)
@given(st.data())
def test_a_ledger_that_is_opened_again_anywhere_never_says_less_than_was_spent(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Calls that end with their tokens, unbilled or unknown, in any order, with a kill after any line."""
    path = tmp_path_factory.mktemp("ledger") / "l.jsonl"
    prices = {False: Price(2, 8), True: Price(1, 4)}
    most = data.draw(st.floats(0.01, 0.5))
    ledger = Ledger(path, prices, most, [((1000, 10), False)])
    worst = prices[False].cost(1000, 10)
    under_way: dict[int, tuple[tuple[int, int], bool]] = {}
    for _ in range(data.draw(st.integers(0, 25))):
        what = data.draw(st.sampled_from(["call", "end", "kill"]))
        if what == "call":
            tokens, in_batch = data.draw(_tokens), data.draw(st.booleans())
            if ledger.allows(tokens, in_batch):
                under_way[ledger.reserve("k", tokens, in_batch)] = tokens, in_batch
        elif what == "end" and under_way:
            number = data.draw(st.sampled_from(sorted(under_way)))
            tokens, in_batch = under_way.pop(number)
            share = data.draw(st.floats(0, 1))
            used = (int(tokens[0] * share), int(tokens[1] * share))
            known = data.draw(st.booleans())
            ledger.settle(number, used if known else None)
            worst += prices[in_batch].cost(*(used if known else tokens))
        elif what == "kill":
            ledger.close()
            path.write_bytes(path.read_bytes() + b'{"call": 9')  # torn
            worst += sum(prices[in_batch].cost(*tokens) for tokens, in_batch in under_way.values())
            under_way.clear()
            ledger = Ledger(path, prices, most)
        reserved = sum(prices[in_batch].cost(*tokens) for tokens, in_batch in under_way.values())
        assert ledger.spent + ledger.unknown == pytest.approx(worst)
        assert worst + reserved <= most or worst == prices[False].cost(1000, 10)
        assert ledger.under_way == len(under_way)
    ledger.close()


# Odd servers and files


def test_a_redirect_without_end_costs_a_few_requests(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(30))
    around = Response(b"", 307, {"location": "/v1/chat/completions"})
    with JudgeServer(lambda *_: around) as server:
        assert "redirects without end; expected the address that answers" in stops(folder, server)
        assert len(server.completions) <= 5
    assert rows_of(folder) == []


def test_a_redirect_that_leads_somewhere_is_followed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(3))
    with JudgeServer() as there, JudgeServer(lambda *_: moved) as here:
        moved = Response(b"", 307, {"location": f"{there.url}/chat/completions"})
        assert ask(folder, here).scored == 3


def test_usage_beyond_64_bits_is_written_as_unknown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(6))
    usage = {"prompt_tokens": 10**40, "completion_tokens": 2**64}
    with JudgeServer(lambda *_: {**verdict(4), "usage": usage}) as server:
        counts = ask(folder, server, price=PRICE)
    assert counts.scored == 6
    assert all(0 < row["prompt_tokens"] < 10_000 for row in rows_of(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score": 0.0}, "rating 1 with score 0.0; expected score 20.0"),
        ({"score": None}, "rating 1 with score None; expected score 20.0"),
        ({"rating": 5}, "rating 5 with score 20.0; expected score 100.0"),
        ({"rating": None}, "rating None with score 20.0; expected score null"),
        ({"rating": 7}, "rating 7 with score 20.0; expected 0 to 5 or null"),
        ({"rating": True}, "rating True with score 20.0; expected 0 to 5 or null"),
        ({"rating": "1"}, "rating '1' with score 20.0; expected 0 to 5 or null"),
    ],
)
def test_a_score_that_does_not_follow_from_its_rating_is_named(tmp_path: Path, change: Any, said: str) -> None:
    folder = write_run(tmp_path / "run", many(2))
    with JudgeServer() as server:
        ask(folder, server)
    rows = rows_of(folder)
    dump_jsonl(folder / "verdicts" / "openai-m.jsonl", [rows[0], with_checksum({**rows[1], **change})])
    with pytest.raises(InputError) as caught:
        verdicts_of(read_run(folder), "openai:m")
    assert f"openai-m.jsonl:2: {said}" in str(caught.value)


def test_a_contradiction_is_unscored_also_in_a_file_of_old(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", many(2))
    replies: Iterator[Any] = iter([verdict(5, "no"), verdict(4, "yes")])
    with JudgeServer(lambda *_: next(replies)) as server:
        counts = ask(folder, server, concurrency=1)
    assert (counts.scored, counts.unscored) == (1, 1)
    first, second = rows_of(folder)
    assert (first["score"], first["reason"]) == (None, CONTRADICTION)
    old = {**second, "key": first["key"], "id": first["id"], "rating": 5, "score": 100.0, "correct": False}
    del old["check"]  # which old files do not have
    dump_jsonl(folder / "verdicts" / "openai-m.jsonl", [old, second])
    found = verdicts_of(read_run(folder), "openai:m")[first["id"], "baseline", 0]
    assert (found.score, found.correct, found.reason) == (None, None, CONTRADICTION)
