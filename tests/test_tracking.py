"""Numbers of runs in tracking programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.export import read_judged
from cotasks.tools import tracking as module
from cotasks.tools.tracking import TRACKERS, tracking
from tests.report_runs import make_world, write_run


class Kept:
    """A run of a tracker that keeps what it is told."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self.name, self.config = name, dict(config)
        self.rows: list[dict[str, Any]] = []
        self.finished = 0

    def log(self, values: dict[str, Any]) -> None:
        self.rows.append(values)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Kept]:
    """The runs of a tracker called `json`, which is a package that is always there."""
    runs: list[Kept] = []

    def open_(package: Any, name: str, config: Mapping[str, Any]) -> Kept:
        assert package is json
        runs.append(Kept(name, config))
        return runs[-1]

    monkeypatch.setitem(TRACKERS, "json", open_)
    return runs


def test_judge_logs_its_means_and_counts(kept: list[Kept], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_world(tmp_path, 1, 2), lambda r, c: r.answer if c == "cotasks" else None)
    assert main(["judge", str(run), "--judge", "f1"]) == 0
    assert kept == []
    assert main(["judge", str(run), "--judge", "f1", "--track", "json"]) == 0
    (one,) = kept
    assert (one.name, one.finished, len(one.rows)) == ("run", 1, 1)
    (row,) = one.rows
    mean = read_judged(run).overall("f1", "cotasks")
    assert row["judge/f1/cotasks/mean"] == mean.mean
    assert (row["judge/f1/baseline/scored"], row["judge/f1/baseline/unscored"]) == (0, 2)
    assert "judge/f1/baseline/mean" not in row  # a failed measurement is no 0
    assert all(isinstance(value, int | float) for value in row.values())


@pytest.mark.slow
def test_generate_logs_how_it_stands_and_no_place(kept: list[Kept], tmp_path: Path) -> None:
    run = tmp_path / "answers"
    told = ["--model", "tiny", "--limit", "1", "--max-new-tokens", "2", "--condition", "blind", "--run", str(run)]
    assert main(["generate", "sample", *told, "--track", "json", "--quiet"]) == 0
    (one,) = kept
    last = one.rows[-1]
    assert last["generate/answers"] == last["generate/asked_for"] > 0
    assert last["generate/failed"] == 0
    assert one.config["model"] == "tiny"
    assert str(tmp_path) not in json.dumps([one.config, one.rows])


def test_a_tracker_that_is_missing_or_unknown_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", make_world(tmp_path, 1, 1), lambda r, c: r.answer)
    monkeypatch.setitem(sys.modules, "trackio", None)
    capsys.readouterr()
    for name, said in (("trackio", "pip install trackio"), ("mlflow", "trackio or wandb")):
        assert main(["judge", str(run), "--judge", "f1", "--track", name]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert not (run / "verdicts/f1.jsonl").exists()


def test_a_tracker_that_refuses_is_one_line_and_an_error_in_the_run_is_not_its(
    kept: list[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(package: Any, name: str, config: Mapping[str, Any]) -> Any:
        raise RuntimeError("api_key not configured")

    with pytest.raises(ZeroDivisionError), tracking("json", "run", {}):
        raise ZeroDivisionError
    assert kept[-1].finished == 1
    monkeypatch.setitem(TRACKERS, "json", refuse)
    with pytest.raises(module.EnvironmentFault, match="api_key"), tracking("json", "run", {}):
        pass


def test_trackio_keeps_the_numbers_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    from trackio import sqlite_storage, utils

    monkeypatch.delenv("TRACKIO_SPACE_ID", raising=False)
    for place in (utils, sqlite_storage):
        monkeypatch.setattr(place, "TRACKIO_DIR", tmp_path / "trackio")
    for number in (1, 2):
        with tracking("trackio", "a run", {"model": "tiny"}) as log:
            assert log is not None
            log({"judge/exact/mean": 50.0 * number, "judge/exact/low": None})
    rows = sqlite_storage.SQLiteStorage.get_logs(module.PROJECT, "a run")
    assert [row["judge/exact/mean"] for row in rows] == [50.0, 100.0]
    assert "judge/exact/low" not in rows[0]


def test_wandb_keeps_the_numbers_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with tracking("wandb", "a run", {"model": "tiny"}) as log:
        assert log is not None
        log({"judge/exact/mean": 50.0})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    (stored,) = [path for path in files if path.suffix == ".wandb"]
    assert b"judge/exact/mean" in stored.read_bytes()
    assert not any(b"k" * 40 in path.read_bytes() for path in files)
