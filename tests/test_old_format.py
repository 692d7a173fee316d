"""Folders of version 0.1.0: `old_format/data` has class labels, `old_format/run` neither source nor origins."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Value, load_dataset

from cotasks import Record
from cotasks.audit import summarise
from cotasks.errors import InputError
from cotasks.judge.run import judge_run
from cotasks.records.dataset import load_records
from cotasks.records.schema import FEATURES, records_to_table
from cotasks.report import write_report
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_jsonl, read_json
from tests.synthetic import make_record

OLD = Path(__file__).parent / "old_format"

CHOICE = {"choices": ("to play", "to eat"), "answer_index": 0}
EXPECTED = [
    make_record("v0", 0),
    make_record("v0", 1),
    make_record("v0", 3, question_type="TN", category="temporal"),
    make_record(
        "AB1CD",
        0,
        id="star/validation/Interaction_T1_0",
        source="star",
        question_type="Interaction",
        category="interaction",
        **CHOICE,
    ),
]
"""What the folder was written from."""


def test_the_folder_holds_numbers() -> None:
    rows = load_dataset(str(OLD / "data"), "nextqa_oe", split="validation")
    for name in ("source", "question_type", "category"):
        assert isinstance(rows.features[name], ClassLabel)
        assert isinstance(rows[0][name], int)
    assert sorted(map(Record.from_row, rows), key=lambda r: r.id) == sorted(EXPECTED, key=lambda r: r.id)


def test_its_records_load_with_names() -> None:
    records = load_records(str(OLD / "data"))
    assert sorted(records, key=lambda r: r.id) == sorted(EXPECTED, key=lambda r: r.id)
    assert [records.at(n) for n in range(4)] == list(records)
    assert dict(records.rows.features) == FEATURES
    assert records.rows.features["category"] == Value("string")
    assert summarise(str(OLD / "data"))["splits"]["validation"]["categories"] == {
        **{"causal": 2, "temporal": 1},
        "interaction": 1,
    }


def test_a_run_over_it_goes_on_and_one_over_a_new_build_of_it_too(tmp_path: Path) -> None:
    """The fingerprint in `run.json` is still that of the records, however their columns are typed."""
    told = read_json(OLD / "run/run.json")["dataset"]["fingerprint"]
    assert load_records(str(OLD / "data")).fingerprint == told
    shutil.copytree(OLD / "data", tmp_path / "data")
    [path] = (tmp_path / "data/nextqa_oe").glob("*.parquet")
    pq.write_table(records_to_table(EXPECTED), path)
    assert load_records(str(tmp_path / "data")).fingerprint == told
    other = [*EXPECTED[:3], make_record("AB1CD", 0, question_type="unheard", category="of")]
    pq.write_table(records_to_table(other), path)
    assert load_records(str(tmp_path / "data")).fingerprint != told


def test_its_run_opens_with_sources_and_unknown_origins() -> None:
    run = read_run(OLD / "run")
    assert {id_: row["source"] for id_, row in run.questions.items()} == {
        record.id: record.source for record in EXPECTED
    }
    for row in run.questions.values():
        assert row["span_origin"] is row["entity_origin"] is row["used_answer"] is None


def test_its_run_is_reported_and_compared_with_a_new_one(tmp_path: Path) -> None:
    run = tmp_path / "old"
    shutil.copytree(OLD / "run", run)
    again = tmp_path / "new"
    shutil.copytree(OLD / "run", again)
    origins = {"span_origin": "whole", "entity_origin": "whole", "used_answer": False}
    dump_jsonl(again / "questions.jsonl", ({**row, **origins} for row in read_run(run).questions.values()))
    for folder in (run, again):
        judge_run(folder)  # the rule has another version by now
    paths = write_report([run, again], out=tmp_path / "report", dataset=str(OLD / "data"))
    summary = read_json(paths.summary)
    assert {m["group"] for m in summary["means"]} == {"nextqa", "star", "all"}
    [compared, _] = [d for d in summary["between_runs"] if (d["group"], d["level"]) == ("all", "micro")]
    assert compared["questions"] == 4
    page = paths.html.read_text(encoding="utf-8")
    assert not re.search("other fingerprint", page)


@pytest.mark.parametrize("name", ["source", "span_origin"])
def test_damaged_fields_are_named(name: str, tmp_path: Path) -> None:
    shutil.copytree(OLD / "run", tmp_path / "run")
    rows = [{**row, name: 3} for row in read_run(OLD / "run").questions.values()]
    dump_jsonl(tmp_path / "run/questions.jsonl", rows)
    with pytest.raises(InputError, match=rf"questions\.jsonl: .*: {name} is 3"):
        read_run(tmp_path / "run")
