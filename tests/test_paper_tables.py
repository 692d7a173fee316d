"""The paper's tables and the reproducibility card, from runs of several models and conditions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.judge.run import judge_run
from cotasks.prompts.condition import condition_settings, parse_condition
from cotasks.report import summarise_runs, write_paper
from cotasks.report.paper import PaperTable, paper_tables, render_latex, render_markdown, step_tables
from cotasks.report.tables import Interval
from cotasks.runs import folder as runs
from cotasks.words.types import ALL
from tests.test_report import add, add_question

STEPS = ("baseline", "cotasks-12", "cotasks-34", "cotasks")


def write(folder: Path, model: str, rates: dict[str, int], **fields: Any) -> Path:
    """24 NExT-QA questions of 12 videos; of each condition so many of ten are right. Judged."""
    conditions = {name: condition_settings(parse_condition(name)) for name in rates}
    runs.settle(folder, {"model": {"name": model}, "conditions": conditions, **fields})
    for n, type_ in enumerate(["CW", "TN", "DB"] * 8):
        add_question(folder, f"q{n:02}", type_, f"v{n // 2}")
        for condition, rate in rates.items():
            right = "two" if type_ == "DB" else "B. run"
            answer = right if (n * 7 + n // 10) % 10 < rate else "A. sit"
            add(folder, "generations", f"q{n:02}", condition, answer=answer)
    judge_run(folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("runs")
    return [
        write(home / "small", "org/small_3B", dict(zip(STEPS, (2, 4, 3, 8), strict=True)), sampling={"num_samples": 1}),
        write(home / "large", "org/large", {"baseline": 5, "predicted": 4, "cotasks": 9, "blind-cotasks": 7}),
    ]


def cells(table: str) -> list[list[str]]:
    """The rows between the rules of each tabular, by column."""
    body = re.findall(r"\\midrule\n(.*?)\\bottomrule", table, re.DOTALL)
    return [re.split(r" & ", row) for part in body for row in part.strip().splitlines()]


def test_a_model_has_one_row_with_the_numbers_of_the_summary(two: list[Path], tmp_path: Path) -> None:
    summary = summarise_runs(two)
    main_table, ablation = paper_tables(summary, "exact")
    assert [title for title, _ in main_table.heads] == ["Causal", "Temporal", "Descriptive", "Average"]
    assert [row[0] for row in main_table.rows] == ["org/small_3B", "org/large", "org/large, predicted"]
    # every number is one of summary.json
    means = {(m["run"], m["condition"], m["name"]): m for m in summary["means"] if m["level"] in ("category", "micro")}
    gains = {
        (d["run"], d["condition"], d["name"]): d
        for d in summary["differences"]
        if d["level"] in ("category", "micro") and d["group"] == "nextqa"
    }
    for (_, found, _), (run, condition) in zip(
        main_table.rows, [("small", "cotasks"), ("large", "cotasks"), ("large", "predicted")], strict=True
    ):
        for place, name in enumerate(["causal", "temporal", "descriptive", "average"]):
            below, above, gain = found[3 * place : 3 * place + 3]
            assert below.mean == means[run, "baseline", name]["mean"]
            assert above.mean == means[run, condition, name]["mean"]
            assert (gain.mean, gain.low) == (gains[run, condition, name]["mean"], gains[run, condition, name]["low"])
            assert gain.is_difference
    assert ablation.heads == (("Average by steps", ("none", "1, 2", "3, 4", "CoTasks")),)
    small, large = ablation.rows
    assert [cell.mean for cell in small[1]] == [means["small", name, "average"]["mean"] for name in STEPS]
    # a run without the conditions of the ablation has gaps, and none of its studies stands in the table
    assert [cell.mean is None for cell in large[1]] == [False, True, True, False]


def test_the_files(two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *map(str, two), "--layout", "paper", "--out", str(tmp_path)]) == 0
    assert "reproducibility.md" in capsys.readouterr().out
    text = (tmp_path / "paper.tex").read_text()
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 2
    widths = [len(row) for row in cells(text)]
    assert widths == [13] * 6 + [5] * 4  # a row of numbers and one of intervals for each model
    assert r"org/small\_3B" in text
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-7}" in text
    assert len(set(re.findall(r"\\label{(.*?)}", text))) == 2
    assert "| org/small\\_3B |" in (tmp_path / "paper.md").read_text().replace("  ", "")
    card = (tmp_path / "reproducibility.md").read_text()
    assert "24 of 12 videos" in card
    assert "num\\_samples 1" in card
    assert "baseline, cotasks-12, cotasks-34, cotasks" in card
    assert re.search(r"cotasks generate --config \S*small/run.json --run again/small\n", card)
    assert "cotasks judge again/large --judge exact" in card


def test_steps_stand_above_their_baselines() -> None:
    def row(model: str, step: int, metric: str, mean: float, baseline: str | None = None) -> dict[str, Any]:
        found = {"low": mean - 1, "high": mean + 1, "rough": False, "group": ALL, "baseline": baseline}
        return {"run": model, "model": model, "step": step, "metric": metric, "mean": mean, **found}

    rows = [row("m", 1, "frame_f1", 50.0), row("m", 4, "span_f1", 20.0), row("n", 1, "frame_f1", 60.0)]
    rows += [row(run, 1, "frame_f1", 31.0, "scene") for run in "mn"]
    (table,) = step_tables(rows, 0.95)
    assert [(name, below) for name, _, below in table.rows] == [("m", False), ("n", False), ("scene", True)]
    assert [str(cell) for cell in table.rows[0][1]] == ["50.0 [49.0, 51.0]", "-", "-", "-", "20.0 [19.0, 21.0]"]
    assert r"\textit{scene} & $31.0$" in render_latex([table], [])
    assert step_tables([], 0.95) == []


def test_hostile_names_stay_text() -> None:
    name = r"\input{/etc/passwd} | <b> & %"
    table = PaperTable("main", name, "note", ((name, ("a",)),), ((name, (Interval(1.0, 0.0, 2.0),), False),))
    text = render_latex([table], [name])
    assert r"\input{/etc" not in text.replace("% - " + name, "")
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert "<b>" not in render_markdown([table]).replace(r"\<b\>", "")


def test_what_no_table_shows_is_one_line(tmp_path: Path) -> None:
    only = write(tmp_path / "only", "m", {"baseline": 5, "blind": 4})
    with pytest.raises(InputError, match=r"only: nothing for the paper's tables; expected runs with 'baseline'"):
        write_paper([only])
    settings = json.loads((only / "run.json").read_bytes())
    settings["conditions"]["blind"] = {"steps": []}
    (only / "run.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"run\.json does not say what its conditions are"):
        write_paper([only])
    assert main(["report", str(only), "--layout", "poster"]) == 2
