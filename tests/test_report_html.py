"""report.html as a file: what it holds, and that it needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import MissingExtra
from cotasks.judge.run import judge_run
from cotasks.report import write_report
from cotasks.report.html import answer_data, embed
from cotasks.report.summary import read_scored, summarise
from tests.test_report import add, write_large_run, write_run

pytest.importorskip("jinja2")


class Reader(HTMLParser):
    """The tags of a page with their attributes, and the text of its script and style elements by id or tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.cdata_elem:
            tag, attributes = self.tags[-1]
            self.blocks[attributes.get("id") or tag] = data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    return reader


@given(st.recursive(st.text() | st.none() | st.integers(-9, 9), lambda inner: st.lists(inner)))
def test_embedded_json_is_the_same_and_cannot_end_its_element(value: Any) -> None:
    text = embed(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_the_file_needs_nothing_else_and_runs_nothing_else(tmp_path: Path) -> None:
    folder = write_large_run(tmp_path / "run")
    page = read(write_report([folder]).html)
    addresses = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "srcset", "data", "poster", "xlink:href")
    ]
    assert addresses
    assert all(value is not None and value.startswith(("#", "data:")) for value in addresses)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules["default-src"] == "'none'"
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.blocks[kind].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [a.get("type") for a in scripts if not a.get("id")] == [None]
    assert {a.get("type") for a in scripts if a.get("id")} == {"application/json"}
    for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "import("):
        assert banned not in page.blocks["script"]


def test_the_data_hold_every_answer_once(tmp_path: Path) -> None:
    folders = [write_large_run(tmp_path / "one"), write_large_run(tmp_path / "two", seed=3)]
    judge_run(folders[1], "f1")
    scored, warnings = read_scored(folders)
    summary = summarise(scored, "baseline", warnings, tmp_path)
    data, order = answer_data(summary, scored)
    assert len(data["questions"]["id"]) == 60  # the same questions stand once
    assert len(order) == len(set(order)) == 240
    columns = [*data["answers"].values(), *(c for v in data["verdicts"].values() for c in v.values())]
    assert {len(column) for column in columns} == {240}
    for i, (number, condition, id_) in enumerate(order):
        key = (id_, condition, 0)
        generation = scored[number].run.generations.get(key, {})
        assert data["questions"]["id"][data["answers"]["question"][i]] == id_
        assert data["conditions"][data["answers"]["condition"][i]] == condition
        assert data["answers"]["text"][i] == generation.get("answer")
        for judge, columns in data["verdicts"].items():
            verdict = scored[number].verdicts.get(judge, {}).get(key)
            score = verdict.score if verdict else None
            assert columns["score"][i] == (None if score is None else pytest.approx(score, abs=1e-4))
            base = scored[number].verdicts.get(judge, {}).get((id_, "baseline", 0))
            below = base.score if base and condition != "baseline" else None
            gain = None if score is None or below is None else pytest.approx(score - below, abs=1e-4)
            assert columns["gain"][i] == gain
            if verdict:
                assert data["reasons"][columns["reason"][i]] == verdict.reason
                state = data["states"][columns["state"][i]]
                assert (state == "unscored") == (score is None)
                assert (state == "right") == (verdict.correct is True)
    assert data["verdicts"]["f1"]["state"][0] == data["states"].index("unscored")  # only the second run has it


def test_what_a_judge_explained_is_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder)
    scored, warnings = read_scored([folder])
    key = ("q0", "cotasks", 0)
    scored[0].verdicts["exact"][key] = replace(scored[0].verdicts["exact"][key], explanation="It says <b> so.")
    data, order = answer_data(summarise(scored, "baseline", warnings, tmp_path), scored)
    reason = data["verdicts"]["exact"]["reason"][order.index((0, "cotasks", "q0"))]
    assert data["reasons"][reason] == "option by letter: It says <b> so."


def test_without_jinja_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run")
    judge_run(folder)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"cotasks\[report\]"):
        write_report([folder])
    assert not (folder / "report.md").exists()


def test_a_report_is_made_of_what_is_sound(tmp_path: Path) -> None:
    """No baseline, answers to unknown ids, unfinished, without records: the page is there and says so."""
    folder = write_run(tmp_path / "run", conditions={"baseline": {}, "cotasks": {}, "blind": {}})
    add(folder, "generations", "stranger", "cotasks", answer="who")
    judge_run(folder)
    text = write_report([folder], baseline="bare").html.read_text("utf-8")
    assert "no condition is called &#39;bare&#39;" in text
    assert "generation is not finished: 2 of 7 answers are missing" in text
    assert "1 ids that are no question" in text
    assert "run.json does not say which records it asked" in text
    assert "stranger" not in text
    assert "<h3>Differences</h3>" not in text
