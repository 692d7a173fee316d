"""The run folder: nothing that was appended is lost, and settings cannot change unseen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.runs.folder import Appender, locked, read_failures, read_generations, read_questions, read_settings, settle
from cotasks.tools.files import dump_jsonl, read_jsonl
from tests.examples import examples


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=6),
    cut=st.integers(0, 400),
)
def test_a_torn_tail_costs_at_most_the_torn_row(tmp_path: Path, rows: list[dict[str, str]], cut: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.unlink(missing_ok=True)
    with Appender(path) as out:
        for row in rows:
            out.append(row)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    complete = whole[:cut].count(b"\n")
    assert list(read_jsonl(path)) == rows[:complete]
    with Appender(path) as out:  # cuts the torn row off, goes on
        out.append({"after": "the kill"})
    assert list(read_jsonl(path)) == [*rows[:complete], {"after": "the kill"}]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n')
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not JSON"):
        list(read_jsonl(path))
    path.write_bytes(b"[1]\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:1: \[1\]; expected a JSON object"):
        list(read_jsonl(path))


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    same = {"model": "a", "versions": {"torch": "1"}}
    settle(tmp_path, {**same, "sampling": {"max_new_tokens": 64}})
    with pytest.raises(InputError, match=r"sampling\.max_new_tokens is 64, in this command 32"):
        settle(tmp_path, {**same, "sampling": {"max_new_tokens": 32}})
    with pytest.raises(InputError, match="not a run folder"):
        read_settings(tmp_path / "elsewhere")


def test_versions_may_differ_where_they_shape_no_answer(tmp_path: Path) -> None:
    settle(tmp_path, {"model": "a", "versions": {"cotasks": "1", "torch": "1", "datasets": "1", "python": "3.10"}})
    settle(tmp_path, {"model": "a", "versions": {"cotasks": "1", "torch": "1", "datasets": "2", "python": "3.11"}})
    with pytest.raises(InputError, match=r"versions\.cotasks is '1', in this command '2'"):
        settle(tmp_path, {"model": "a", "versions": {"cotasks": "2", "torch": "1"}})
    with pytest.raises(InputError, match=r"versions\.torch is '1', in this command '2'"):
        settle(tmp_path, {"model": "a", "versions": {"cotasks": "1", "torch": "2"}})


def test_where_the_videos_lay_may_differ(tmp_path: Path) -> None:
    settle(tmp_path, {"dataset": {"name": "a", "videos": "/there"}})
    settle(tmp_path, {"dataset": {"name": "a", "videos": None}})
    assert read_settings(tmp_path)["dataset"]["videos"] == "/there"
    with pytest.raises(InputError, match=r"dataset\.name is 'a', in this command 'b'"):
        settle(tmp_path, {"dataset": {"name": "b", "videos": "/there"}})


KEYED = {"id": "a", "condition": "baseline", "sample": 0}


@pytest.mark.parametrize(
    "row",
    [{}, {"id": "a", "condition": "baseline"}, {**KEYED, "id": 1}, {**KEYED, "sample": "0"}, {**KEYED, "id": None}],
)
def test_rows_without_a_key_are_named(row: dict[str, object], tmp_path: Path) -> None:
    for folder, read in (("generations", read_generations), ("failures", read_failures)):
        (tmp_path / folder).mkdir()
        dump_jsonl(tmp_path / folder / "0.jsonl", [{**KEYED, "reason": "x"}, row])
        with pytest.raises(InputError, match=rf"{folder}/0\.jsonl:2: .*; expected a row with id, condition, sample"):
            read(tmp_path)
        (tmp_path / folder / "0.jsonl").unlink()


def test_failures_need_a_reason_and_questions_their_fields(tmp_path: Path) -> None:
    (tmp_path / "failures").mkdir()
    dump_jsonl(tmp_path / "failures" / "0.jsonl", [KEYED])
    with pytest.raises(InputError, match=r"failures/0\.jsonl:1: .*; expected a row with id, condition, sample, reason"):
        read_failures(tmp_path)
    with pytest.raises(InputError, match=r"questions\.jsonl: no such file"):
        read_questions(tmp_path)
    dump_jsonl(tmp_path / "questions.jsonl", [{"id": "a", "question": "why"}])
    with pytest.raises(InputError, match=r"questions\.jsonl:1: without video_id, category, question_type, answer, .*"):
        read_questions(tmp_path)


def test_generations_count_once_and_failures_made_good_are_gone(tmp_path: Path) -> None:
    key = {"id": "a", "condition": "baseline", "sample": 0}
    other = {**key, "id": "b"}
    with Appender(tmp_path / "generations/0.jsonl") as out:
        out.append({**key, "answer": "first"})
    with Appender(tmp_path / "generations/1.jsonl") as out:
        out.append({**key, "answer": "second"})
    with Appender(tmp_path / "failures/0.jsonl") as out:
        out.append({**key, "reason": "x"})
        out.append({**other, "reason": "x"})
    assert [row["answer"] for row in read_generations(tmp_path).values()] == ["first"]
    assert list(read_failures(tmp_path)) == [("b", "baseline", 0)]


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from cotasks.runs.folder import locked\n"
        "with locked(Path(sys.argv[1]), 'generate'):\n"
        "    print('held', flush=True); sys.stdin.readline(); os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"), locked(tmp_path, "generate"):
            pass
        with locked(tmp_path, "judge"):
            pass
        holder.communicate("\n")
    with locked(tmp_path, "generate"):
        pass
