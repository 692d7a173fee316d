"""Runs in the forms of other programs, read back by these where they are installed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main
from cotasks.export import Judged, read_judged
from cotasks.export.formats import FORMATS
from cotasks.export.hub_details import answers_table, columns_of_judges
from cotasks.export.lmms_log import samples_of, sanitized, task_name
from cotasks.records.schema import Record
from cotasks.runs.folder import Appender, read_generations
from cotasks.tools.places import without_places
from tests.report_runs import make_world, write_run

THOUGHT = "it |barks|"
HOSTILE = "run\x1b[2J | <b>away</b>"


def said(record: Record, condition: str) -> str | None:
    """Right under `cotasks`; under `baseline` wrong, hostile, failed and right in turn."""
    number = int(record.id[-1])
    return record.answer if condition == "cotasks" else ["to sleep", None, HOSTILE][number]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("world")
    records = make_world(place)
    made = write_run(place / "run", records, said, judges=("exact", "f1"), model="org/a model")
    settings = json.loads((made / "run.json").read_text())
    settings["model"]["base_url"] = "http://10.0.0.7:8000/v1"
    settings["dataset"]["videos"] = str(place / "videos")
    (made / "run.json").write_text(json.dumps(settings))
    return made


@pytest.fixture(scope="module")
def judged(folder: Path) -> Judged:
    return read_judged(folder)


Exports = Callable[[str], Path]


@pytest.fixture
def exports(folder: Path, tmp_path: Path) -> Exports:
    def export(to: str) -> Path:
        assert main(["export", str(folder), "--to", to, "--out", str(tmp_path / to)]) == 0
        return tmp_path / to

    return export


def all_text(folder: Path) -> str:
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


def test_lmms_eval_finds_results_and_samples_where_it_looks(judged: Judged, folder: Path, exports: Exports) -> None:
    out = exports("lm")
    (results_file,) = out.rglob("*_results.json")
    assert results_file.parent.name == "org__a model"
    results = json.loads(results_file.read_text())
    tasks = {task_name(c, j): (c, j) for c in ("baseline", "cotasks") for j in ("exact", "f1")}
    assert set(results["results"]) == set(tasks) == set(results["n-samples"]) == set(results["configs"])
    for task, (condition, judge) in tasks.items():
        path = results_file.with_name(results_file.name.replace("_results.json", f"_samples_{task}.jsonl"))
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        mean = judged.overall(judge, condition)
        assert sum(row["score"] for row in rows) / len(rows) * 100 == pytest.approx(mean.mean)
        assert results["results"][task]["score,none"] * 100 == pytest.approx(mean.mean)
        assert len(rows) == mean.scored == results["n-samples"][task]["effective"]
        assert results["n-samples"][task]["original"] == 6
    assert "10.0.0.7" not in all_text(out)
    assert str(folder.parent) not in all_text(out)


def test_a_failed_generation_is_no_sample_of_lmms_eval(judged: Judged) -> None:
    rows = samples_of(judged, "baseline", "exact")
    assert [row["doc_id"] for row in rows] == [n for n in range(6) if list(judged.run.questions)[n][-1] != "1"]
    assert {row["score"] for row in rows} == {0.0}
    by_id = {row["id"]: row["doc_hash"] for row in samples_of(judged, "cotasks", "f1")}
    assert {row["id"]: row["doc_hash"] for row in rows}.items() <= by_id.items()


def test_what_is_published_loads_with_plain_datasets(judged: Judged, exports: Exports, tmp_path: Path) -> None:
    details = exports("hub") / "details"
    rows = load_dataset(str(details), split="validation", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == len(judged.keys) == 12
    found = {(row["id"], row["condition"], row["sample"]): row for row in rows}
    assert list(found) == judged.keys
    for key, row in found.items():
        verdict = judged.verdicts["exact"][key]
        assert (row["score_exact"], row["correct_exact"]) == (verdict.score, verdict.correct)
        assert row["prediction"] == (judged.run.generations[key]["answer"] if key in judged.run.generations else None)
        assert (row["failure"] is None) == (key in judged.run.generations)
        assert row["references"][0] == judged.run.questions[key[0]]["answer"]
    means = load_dataset(str(details), "means", split="validation", cache_dir=str(tmp_path / "cache"))
    assert len(means) == sum(len(found) for found in judged.means.values())
    card = DatasetCard.load(details / "README.md")
    assert [config["config_name"] for config in card.data.configs] == ["answers", "means"]


def test_the_results_for_a_model_card_pass_huggingface_hub(judged: Judged, exports: Exports) -> None:
    card = ModelCard.load(exports("hub") / "model" / "README.md", ignore_metadata_errors=False)
    name, results = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "a model"
    found = {(r.metric_type, r.metric_args["condition"]): r.metric_value for r in results}
    expected = {(j, c): judged.overall(j, c).mean for j in ("exact", "f1") for c in ("baseline", "cotasks")}
    assert found == {at: round(mean, 2) for at, mean in expected.items() if mean is not None}


def test_results_of_records_of_the_hub_have_the_newer_form_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    monkeypatch.chdir(tmp_path)
    judged = read_judged(folder)
    judged.run.settings["dataset"] = {**judged.run.settings["dataset"], "name": "org/records", "config": "nextqa_oe"}
    FORMATS["hub"].write(judged, tmp_path / "out")
    rows = yaml.safe_load((tmp_path / "out/model/.eval_results/cotasks.yaml").read_text())
    entries = parse_eval_result_entries(rows)
    assert {(entry.dataset_id, entry.task_id) for entry in entries} == {("org/records", "nextqa_oe")}
    assert len(entries) == 4


def test_nothing_of_this_machine_is_published(folder: Path, exports: Exports) -> None:
    text = all_text(exports("hub"))
    assert "10.0.0.7" not in text
    assert str(folder.parent) not in text


def test_inspect_reads_its_log(judged: Judged, exports: Exports) -> None:
    log_module = pytest.importorskip("inspect_ai.log")
    out = exports("inspect")
    logs = {log.eval.task: log for info in sorted(out.glob("*.eval")) for log in [log_module.read_eval_log(str(info))]}
    assert set(logs) == {"cotasks/baseline", "cotasks/cotasks"}
    assert len(log_module.list_eval_logs(str(out))) == 2
    log = logs["cotasks/baseline"]
    assert (log.status, log.eval.model, len(log.samples)) == ("success", "org/a model", 6)
    for sample in log.samples:
        key = (sample.id, "baseline", sample.epoch - 1)
        if key not in judged.run.generations:
            assert sample.error.message == "video cut off"
            continue
        value, score = sample.scores["exact"].value, judged.verdicts["exact"][key].score
        assert math.isnan(value) if score is None else value == score
        assert "\x1b" not in sample.output.completion
    means = {score.name: score.metrics["mean"].value for score in log.results.scores}
    assert means == {judge: judged.overall(judge, "baseline").mean for judge in ("exact", "f1")}
    assert "10.0.0.7" not in log.eval.model_dump_json()


def test_inspect_is_named_where_it_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    assert main(["export", str(folder), "--to", "inspect", "--out", str(tmp_path / "out")]) == 2
    assert "pip install inspect_ai" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--to", "csv"], ["csv", "inspect, lm, hub"]),
        (["--to", "cvat"], ["a run", "a data set", "cvat"]),
        (["--to", "lm", "--out", "."], ["holds something", "new or empty folder"]),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    arguments: list[str], named: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(folder), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(part in line for part in named), line


def test_a_run_without_verdicts_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", make_world(tmp_path, 1, 1), said, judges=())
    assert main(["export", str(run), "--to", "lm", "--out", str(tmp_path / "out")]) == 2
    assert "cotasks judge" in capsys.readouterr().err


def test_an_answer_that_changed_is_unscored_and_not_zero(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_world(tmp_path, 1, 1), lambda record, _: record.answer)
    (path,) = (run / "generations").glob("*.jsonl")
    rows = [{**row, "answer": "another"} for row in read_generations(run).values()]
    path.unlink()
    with Appender(path) as appender:
        for row in rows:
            appender.append(row)
    judged = read_judged(run)
    assert samples_of(judged, "cotasks", "exact") == []
    row = answers_table(judged).to_pylist()[0]
    assert (row["score_exact"], row["unreadable_exact"]) == (None, None)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_settings_that_are_shown_name_no_place(value: Any) -> None:
    def texts(one: Any) -> list[str]:
        if isinstance(one, dict):
            return [text for inner in one.values() for text in texts(inner)]
        return [text for inner in one for text in texts(inner)] if isinstance(one, list) else [str(one)]

    inner = without_places({"kept": [value]})["kept"]
    assert not any(text.startswith(("/", "~", "./", "../")) or "://" in text for text in texts(inner))


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=2, max_size=4, unique=True))
def test_names_of_tasks_are_file_names_and_differ(names: list[str]) -> None:
    tasks = [task_name(name, "exact") for name in names]
    assert len(set(tasks)) == len(tasks)
    assert all("/" not in task and "_" not in task and task.isascii() for task in tasks)


def test_models_have_folders_of_their_own() -> None:
    assert sanitized("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen__Qwen2.5-VL-3B-Instruct"


def test_columns_of_judges_that_are_spelt_alike_differ(judged: Judged) -> None:
    verdicts = {"openai:a-b": {}, "openai:a_b": {}, "exact": {}}
    names = columns_of_judges(Judged(judged.run, verdicts))
    assert len(set(names.values())) == 3
    assert names["exact"] == "exact"
