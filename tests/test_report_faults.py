"""Reports on run folders that are half written, damaged, or of another version: one line, and what is sound."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cotasks.errors import InputError, MissingExtra
from cotasks.judge.run import judge_run
from cotasks.metrics.intervals import cluster_estimates
from cotasks.report import summarise_runs, write_report
from cotasks.runs import folder as runs
from cotasks.tools.files import dump_json, read_json, read_jsonl
from tests.examples import examples
from tests.judge_server import JudgeServer, verdict
from tests.report_runs import make_world
from tests.report_runs import write_run as write_world_run
from tests.test_report import add, write_run


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def write_judged(folder: Path) -> Path:
    """Judged by `exact` and by a model, with a failure."""
    folder = write_run(folder)
    for type_, id_ in (("DO", "q2"), ("DO", "q3")):
        row = {**next(iter(read_jsonl(folder / "questions.jsonl"))), "id": id_, "question_type": type_}
        with runs.Appender(folder / "questions.jsonl") as file:
            file.append({**row, "category": "descriptive", "choices": [], "answer_index": -1})
        add(folder, "generations", id_, "baseline", answer="to run", finish_reason="length", cut_items=2)
    add(folder, "failures", "q2", "cotasks", reason="out of memory")
    judge_run(folder)
    with JudgeServer(lambda number, request: verdict(number % 6, "yes")) as server:
        judge_run(folder, "openai:m", base_url=server.url, repeats=2, progress=False)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("openai-m.json", b'{"model": "m"}', "openai-m.json: not the settings of a judge"),
        ("openai-m.json", None, "openai-m.json: no such file"),
        ("openai-m.json", b"{", "openai-m.json: not JSON"),
        ("openai-m.jsonl", b'{"id": "q0"}\n', "openai-m.jsonl:1: a verdict without 'score'"),
    ],
)
def test_a_damaged_judge_costs_only_its_own_verdicts(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    folder = write_judged(tmp_path / "run")
    assert {m["judge"] for m in summarise_runs([folder])["means"]} == {"exact", "openai:m"}
    if content is None:
        (folder / "verdicts" / name).unlink()
    else:
        (folder / "verdicts" / name).write_bytes(content)
    paths = write_report([folder])
    summary = read_json(paths.summary)
    assert {m["judge"] for m in summary["means"]} == {"exact"}
    (warning,) = (text for text in summary["warnings"] if "left out" in text)
    assert warning.startswith("run, judge openai:m is left out: ")
    assert said in warning
    assert "openai:m is left out" in paths.html.read_text("utf-8")
    with pytest.raises(InputError, match=r"openai-m\.json"):
        write_report([folder], judge="openai:m")


def test_verdicts_of_no_known_judge_are_named(tmp_path: Path) -> None:
    folder = write_judged(tmp_path / "run")
    for name in ("bleu.jsonl", "openai-M.jsonl"):  # a stem with upper case holds a part of a hash
        shutil.copy(folder / "verdicts" / "exact.jsonl", folder / "verdicts" / name)
    (warning,) = (text for text in summarise_runs([folder])["warnings"] if "no known judge" in text)
    assert warning == "run: verdicts of no known judge are left out: bleu.jsonl, openai-M.jsonl."


def test_a_run_folder_half_written(tmp_path: Path) -> None:
    """As far as `generate` and `judge` can get before they are killed, file by file."""
    sound = write_judged(tmp_path / "sound")
    whole = ["run.json", "questions.jsonl", "generations", "failures", "verdicts"]
    for number in range(len(whole)):
        folder = tmp_path / f"half{number}"
        folder.mkdir()
        for name in whole[:number]:
            (shutil.copytree if (sound / name).is_dir() else shutil.copy)(sound / name, folder / name)
        with pytest.raises(InputError) as caught:
            write_report([folder])
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)
        summary = summarise_runs([sound, folder])
        assert [run["run"] for run in summary["runs"]] == ["sound"]
        assert any(text.startswith(f"Run half{number} is left out: ") for text in summary["warnings"])


JSON = st.none() | st.booleans() | st.integers(-3, 300) | st.floats(-1, 101) | st.text(max_size=4) | st.just([])
JSON |= st.lists(st.integers(0, 3) | st.text(max_size=2), max_size=2) | st.just({}) | st.just({"a": 1})


def damage(folder: Path, data: st.DataObject) -> None:
    """Cut a file off, or change, drop or add something in a row of one, at any depth."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl"))
    path = data.draw(st.sampled_from(paths))
    content = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        return
    rows = [orjson.loads(content)] if path.suffix == ".json" else [*map(orjson.loads, content.splitlines())]
    if not rows:
        return
    number = data.draw(st.integers(0, len(rows) - 1))
    at: Any = rows[number]
    while isinstance(at, dict) and at:
        name = data.draw(st.sampled_from(sorted(at)))
        if isinstance(at[name], dict) and at[name] and data.draw(st.booleans()):
            at = at[name]
            continue
        if data.draw(st.booleans()):
            del at[name]
        else:
            at[name] = data.draw(JSON)
        break
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over records, judged by `exact` and by a model."""
    folder = tmp_path_factory.mktemp("faults")
    records = make_world(folder / "world", videos=1, questions=2)
    run = write_world_run(folder / "run", records, lambda record, condition: "to play")
    with JudgeServer(lambda number, request: verdict(number % 6, "yes")) as server:
        judge_run(run, "openai:m", base_url=server.url, repeats=2, progress=False)
    return run


@examples(50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line_or_a_report(judged: Path, tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(judged, folder)
    told = read_json(folder / "run.json")
    dump_json(folder / "run.json", {**told, "dataset": {**told["dataset"], "name": str(tmp_path / "gone")}})
    damage(folder, data)
    said = ""
    try:
        write_report([folder])
    except InputError as error:
        said = str(error)
    assert (str(folder) in said and "\n" not in said) if said else (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("dataset", "split"), {}, "run.json does not say which records it asked"),
        (("dataset", "limit"), "", "run.json does not say which records it asked"),
        (("dataset", "fingerprint"), 7, "other fingerprint"),
        (("frames", "limits", "temporal_patch"), 0, "run.json does not say how prompts were built"),
        (("frames", "limits"), None, "run.json does not say how prompts were built"),
        (("model", "family"), "lost", "run.json does not say how prompts were built"),
        (("conditions", "baseline"), {"steps": "x"}, "run.json does not say how prompts were built"),
    ],
)
def test_settings_of_another_version_cost_what_they_would_show(
    judged: Path, tmp_path: Path, place: tuple[str, ...], value: Any, said: str
) -> None:
    folder = shutil.copytree(judged, tmp_path / "run")
    told = at = read_json(folder / "run.json")
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    dump_json(folder / "run.json", told)
    paths = write_report([folder], frames=False)
    assert said in paths.html.read_text("utf-8")
    assert {m["judge"] for m in read_json(paths.summary)["means"]} == {"exact", "openai:m"}


@pytest.mark.parametrize("package", ["scipy", "jinja2"])
def test_a_missing_package_is_one_line(package: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder)
    program = f"import sys; sys.modules[{package!r}] = None; from cotasks.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "report", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{package} is not installed; run: pip install 'cotasks[report]'" in done.stderr
    assert not (folder / "report.md").exists()


def test_metrics_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"scipy is not installed; run: pip install 'cotasks\[report\]'"):
        cluster_estimates(np.ones((2, 1)), np.ones((2, 1)), [(0,)], 0.0, 100.0)
