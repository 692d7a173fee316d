"""What runs took: measured, added up over resumed runs and processes, and set side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main as cli
from cotasks.errors import InputError
from cotasks.generate import meter as meters
from cotasks.generate.meter import peak_memory
from cotasks.judge.run import judge_run
from cotasks.report import write_report
from cotasks.runs.costs import read_costs, union
from cotasks.runs.folder import read_generations, settle
from tests.judge_server import Response
from tests.model_server import ModelServer, seen
from tests.test_server import calls_are_quick, make_world
from tests.test_several_servers import run

pytest.importorskip("av")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos with three questions each; leave it as it is."""
    return make_world(tmp_path_factory.mktemp("world"), videos=2, questions=3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


def totals(folder: Path) -> dict[str, int]:
    rows = read_generations(folder).values()
    return {name: sum(row[name] for row in rows) for name in ("prompt_tokens", "answer_tokens")}


def test_what_a_run_took_is_what_its_answers_say_however_often_it_went_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with ModelServer() as one, ModelServer(latency=0.01) as two:
        one.answer = lambda number, request: Response({}, 400) if "dog of v1" in str(request) else seen(request)
        first = run(world, out, [one], "baseline", "blind")
        costs = read_costs(out)
        assert costs is not None
        assert (costs.answers, costs.failures, costs.videos) == (first.new, 6, 2)
        assert costs.frames == 3 * 6  # v0's three questions under baseline, six frames each
        before = (out / "costs").stat().st_mtime_ns
        assert run(world, out, [one], "baseline", "blind").new == 0
        assert read_costs(out) == costs
        assert before == (out / "costs").stat().st_mtime_ns
        monkeypatch.setattr(meters, "WRITE_SECONDS", 0.0)  # a row at every step
        one.answer = lambda _, request: seen(request)
        assert _retried(world, out, [one, two]).complete
    costs = read_costs(out)
    assert costs is not None
    assert (costs.answers, costs.failures, costs.frames) == (12, 6, 36)
    assert {"prompt_tokens": costs.prompt_tokens, "answer_tokens": costs.answer_tokens} == totals(out)
    assert sum(costs.servers.values()) == 12
    assert costs.servers.keys() <= {one.url, two.url}
    assert costs.devices == ("someone behind a server", "someone behind 2 servers")
    assert 0 < costs.seconds <= costs.process_seconds + 0.001
    assert costs.waiting is not None
    assert 0 <= costs.waiting <= 1
    assert costs.peak_memory is not None
    assert costs.peak_memory > 10_000_000
    assert len((out / "costs").joinpath(next((out / "costs").iterdir()).name).read_text().splitlines()) > 2


def _retried(world: Path, out: Path, servers: Sequence[Any]) -> Any:
    from cotasks.generate.run import generate
    from cotasks.generate.server.model import ServerOptions
    from cotasks.prompts.condition import parse_condition
    from cotasks.records.dataset import load_records
    from tests.model_server import MODEL

    return generate(
        load_records(str(world / "data")),
        [parse_condition("baseline"), parse_condition("blind")],
        MODEL,
        out,
        videos=world / "videos",
        server=ServerOptions(servers[0].url, more_urls=tuple(s.url for s in servers[1:]), concurrency=2, timeout=5.0),
        retry_failures=True,
        progress=False,
    )


def test_a_server_that_counts_no_tokens_leaves_them_unknown(world: Path, tmp_path: Path) -> None:
    with ModelServer(lambda _, request: seen(request, usage=None)) as server:
        assert run(world, tmp_path, [server]).complete
    costs = read_costs(tmp_path)
    assert costs is not None
    assert (costs.prompt_tokens, costs.answer_tokens, costs.answers) == (None, None, 6)
    assert costs.rate(costs.prompt_tokens) is None


def costs_file(folder: Path, *stretches: tuple[float, float], name: str = "a", **changes: Any) -> Path:
    settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {"steps": []}}})
    (folder / "costs").mkdir(exist_ok=True)
    base = {"answers": 60, "failures": 0, "videos": 6, "frames": 960, "prompt_tokens": 6000, "answer_tokens": 300}
    base |= {"waited": 1.5, "device": "cpu (x86_64)", "peak_memory": 2**31, "memory_of": "process"}
    with (folder / "costs" / f"{name}.jsonl").open("a") as file:
        for begin, end in stretches:
            file.write(json.dumps({"begin": begin, "end": end, **base, **changes}) + "\n")
    return folder


def test_processes_side_by_side_share_a_second_and_one_after_another_do_not(tmp_path: Path) -> None:
    side = costs_file(tmp_path / "side", (100.0, 130.0), name="a")
    costs_file(side, (100.0, 130.0), name="b")
    after = costs_file(tmp_path / "after", (100.0, 130.0), (5000.0, 5030.0))
    one, other = read_costs(side), read_costs(after)
    assert one is not None
    assert other is not None
    assert (one.seconds, one.process_seconds, one.processes) == (30.0, 60.0, 2.0)
    assert (other.seconds, other.process_seconds, other.processes) == (60.0, 60.0, 1.0)
    assert (one.rate(one.answers, 60.0), other.rate(other.answers, 60.0)) == (240.0, 120.0)
    assert one.waiting == other.waiting == pytest.approx(0.05)


def test_two_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = costs_file(tmp_path / "slow", (0.0, 60.0))
    fast = costs_file(tmp_path / "fast", (0.0, 20.0), device="NVIDIA H100", memory_of="device", peak_memory=2**34)
    assert cli(["report", "--compare", str(slow), str(fast)]) == 0
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in capsys.readouterr().out.splitlines()]
    said = {cells[0]: cells[1:] for cells in lines}
    assert said["Device"] == ["cpu (x86\\_64)", "NVIDIA H100"] or said["Device"] == ["cpu (x86_64)", "NVIDIA H100"]
    assert said["Answers a minute"] == ["60", "180"]
    assert said["Frames a second"] == ["16", "48"]
    assert said["Prompt tokens a second"] == ["100", "300"]
    assert said["Answer tokens a second"] == ["5", "15"]
    assert said["Waiting for videos"] == ["2%", "8%"]
    assert said["Peak memory, GiB"] == ["2.0", "16.0"]
    assert said["Answers, times slow"] == ["1", "3"]
    assert not (slow / "report.md").exists()


def test_a_run_without_costs_and_a_damaged_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    settle(bare, {"model": {"name": "m"}, "conditions": {}})
    assert read_costs(bare) is None
    assert cli(["report", "--compare", str(bare)]) == 2
    assert "no costs; expected runs of this version" in capsys.readouterr().err
    odd = costs_file(tmp_path / "odd", (0.0, 1.0), frames="many")
    with pytest.raises(InputError, match=r"a\.jsonl:1: frames 'many'; expected a number"):
        read_costs(odd)


def test_the_report_shows_what_its_runs_took(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    with ModelServer() as server:
        run(world, tmp_path, [server])
    judge_run(tmp_path)
    paths = write_report([tmp_path], frames=False, baseline="blind")
    (row,) = json.loads(paths.summary.read_text())["costs"]
    costs = read_costs(tmp_path)
    assert costs is not None
    assert (row["run"], row["answers"], row["frames"]) == (tmp_path.name, 6, 0)
    assert row["answers_a_minute"] == pytest.approx(360 / costs.seconds)
    text = paths.markdown.read_text()
    assert "## Cost" in text
    assert "Answers a minute" in text
    assert "Answers a minute" in paths.html.read_text()


def test_memory_is_that_of_this_process() -> None:
    bytes_, of = peak_memory()
    assert bytes_ is not None
    assert 10_000_000 < bytes_ < 2**40
    assert of in ("process", "device")


_TIMES = st.floats(0, 1000, allow_nan=False)


@given(st.lists(st.tuples(_TIMES, st.floats(0, 100, allow_nan=False)), max_size=12))
def test_the_union_of_stretches(given_: list[tuple[float, float]]) -> None:
    stretches = [(begin, begin + length) for begin, length in given_]
    found = union(stretches)
    lengths = [end - begin for begin, end in stretches]
    assert max(lengths, default=0.0) - 1e-6 <= found <= sum(lengths) + 1e-6
    assert union([*stretches, *stretches]) == pytest.approx(found)
    points = sorted({point for stretch in stretches for point in stretch})
    covered = sum(
        high - low for low, high in pairwise(points) if any(begin <= low and high <= end for begin, end in stretches)
    )
    assert found == pytest.approx(covered, abs=1e-6)
