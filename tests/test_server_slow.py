"""Models behind servers that are slow, or refuse in the middle: no answer that was asked for is given up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cotasks.generate.run import GenerateResult
from tests.judge_server import Response
from tests.model_server import ModelServer, seen
from tests.test_server import KEY, calls_are_quick, ends, make_world, rows_of, run

pytest.importorskip("av")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with ten questions each; leave it as it is."""
    return make_world(tmp_path_factory.mktemp("world"), videos=4, questions=10)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


def test_a_slow_server_with_one_slot_is_asked_once_for_each_answer(world: Path, tmp_path: Path) -> None:
    """With 32 calls at once the last waits for 32 answers, of which 12 fit into the time limit."""
    with ModelServer(latency=0.05, slots=1) as server:
        result = run(world, tmp_path, server.url, "blind", concurrency=32, timeout=0.6)
        assert result == GenerateResult(total=40, done=40, new=40, failures={})
        assert len(server.asked) == server.worked_off == 40


def test_a_fatal_error_lets_the_calls_under_way_finish_and_keeps_their_answers(world: Path, tmp_path: Path) -> None:
    def answer(number: int, request: Any) -> Any:
        server.latency = 0.0 if number == 9 else 0.3
        return Response({"error": {"message": f"revoked {KEY}"}}, 401) if number == 10 else seen(request)

    with ModelServer(answer, latency=0.3) as server:
        assert "refuses the API key" in ends(world, tmp_path, server.url, "blind", concurrency=8)
        time.sleep(0.5)
        assert len(rows_of(tmp_path)) == server.worked_off
        assert 9 <= len(rows_of(tmp_path)) <= 24


def test_another_model_in_one_answer_lets_the_others_finish(world: Path, tmp_path: Path) -> None:
    def answer(number: int, request: Any) -> Any:
        server.latency = 0.0 if number == 9 else 0.3
        return seen(request, model="org/other") if number == 10 else seen(request)

    with ModelServer(answer, latency=0.3) as server:
        assert "org/other answers; the run began with" in ends(world, tmp_path, server.url, "blind", concurrency=8)
        assert len(rows_of(tmp_path)) == server.worked_off - 1


def test_failures_in_a_row_let_the_others_finish(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cotasks.servers import calls

    monkeypatch.setattr(calls, "FAILURES_IN_A_ROW", 3)
    with ModelServer(latency=0.02) as server:
        server.answer = lambda number, request: Response({}, 400) if 12 <= number < 16 else seen(request)
        ends(world, tmp_path, server.url, "blind", concurrency=2)
        assert len(rows_of(tmp_path)) == server.worked_off
