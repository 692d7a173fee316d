"""Several runs in one report, and the counts behind its plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cotasks.errors import InputError
from cotasks.judge.judges import verdicts_of
from cotasks.judge.run import judge_run
from cotasks.report import summarise_runs, write_report
from cotasks.report.plots import Axis, axis_svg, difference_axis, histogram_svg, interval_svg, share_svg
from cotasks.report.tables import Interval, main_tables
from cotasks.runs import folder as runs
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_jsonl, read_json, read_jsonl
from tests.test_report import add, add_question, write_large_run

TYPES = ("Interaction", "Sequence", "Prediction", "Feasibility")


def write_star(folder: Path, model: str, rates: dict[str, float], seed: int, **fields: Any) -> Path:
    """A judged run of 80 STAR questions over 25 videos."""
    generator = np.random.default_rng(seed)
    settings = {"model": {"name": model}, "dataset": {"name": "star", "fingerprint": "1"}, **fields}
    runs.settle(folder, {**settings, "conditions": {name: {} for name in rates}})
    for n in range(80):
        add_question(folder, f"q{n}", TYPES[n % 4], f"v{n % 25}")
        for condition, rate in rates.items():
            right = generator.random() < rate
            add(folder, "generations", f"q{n}", condition, answer="B" if right else "A")
    judge_run(folder)
    return folder


def average(summary: dict[str, Any], part: str, **wanted: Any) -> dict[str, Any]:
    """The row of the STAR average."""
    wanted = {"group": "star", "level": "micro", **wanted}
    (row,) = (r for r in summary[part] if all(r[name] == value for name, value in wanted.items()))
    return dict(row)


def test_prompting_against_finetuning_is_one_command_over_four_runs(tmp_path: Path) -> None:
    models = {"a-3b": (0.4, 0.6), "a-3b-tuned": (0.6, 0.7), "b-7b": (0.5, 0.6), "b-7b-tuned": (0.7, 0.7)}
    folders = [
        write_star(tmp_path / name, f"org/{name}", {"baseline": low, "cotasks": high}, seed)
        for seed, (name, (low, high)) in enumerate(models.items())
    ]
    paths = write_report(folders, out=tmp_path / "out")
    summary = summarise_runs(folders)
    (table,) = main_tables(summary, "exact")
    assert table.header[2:7] == ["Interaction", "Sequence", "Prediction", "Feasibility", "Average"]
    rows = [line.cells[:2] for line in table.lines]
    expected = []
    for name in models:
        expected += [[f"org/{name}", "baseline"], [f"org/{name}", "cotasks"], ["", "cotasks minus baseline"]]
    assert rows == expected
    text = paths.markdown.read_text("utf-8")
    lines = [line for line in text.partition("## By question type")[0].splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [row[0] for row in expected]
    latex = paths.latex.read_text("utf-8")
    assert latex.count(r"\quad baseline") == latex.count(r"\qquad cotasks minus baseline") == 4
    assert len([r for r in summary["between_runs"] if r["level"] == "micro" and r["group"] == "star"]) == 6 * 2


def test_between_runs_is_paired_and_clustered(tmp_path: Path) -> None:
    one = write_star(tmp_path / "one", "one", {"baseline": 0.4, "cotasks": 0.5}, 0)
    two = write_star(tmp_path / "two", "two", {"baseline": 0.6}, 1)
    add_question(two, "extra", "Sequence", "v1")
    add(two, "generations", "extra", "baseline", answer="B")
    judge_run(two)
    summary = summarise_runs([one, two])
    row = average(summary, "between_runs", condition="baseline")
    assert (row["run"], row["reference_run"], row["questions"], row["videos"]) == ("two", "one", 80, 25)
    assert not [r for r in summary["between_runs"] if r["condition"] == "cotasks"]
    scores = [verdicts_of(read_run(folder), "exact") for folder in (one, two)]
    differences = np.array(
        [
            (scores[1][f"q{n}", "baseline", 0].score or 0) - (scores[0][f"q{n}", "baseline", 0].score or 0)
            for n in range(80)
        ]
    )
    assert row["mean"] == pytest.approx(differences.mean())
    sums = np.bincount(np.arange(80) % 25, differences - differences.mean())  # the ratio estimator's residuals
    error = np.sqrt(25 / 24 * (sums**2).sum()) / 80
    assert row["error"] == pytest.approx(error, rel=0.01)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(differences.mean()) / error, 24), abs=0.002)
    assert row["p_holm"] == row["p_value"]  # the only average that is compared


def test_other_questions_are_not_compared_between_runs(tmp_path: Path) -> None:
    one = write_star(tmp_path / "one", "one", {"baseline": 0.4}, 0)
    two = write_star(tmp_path / "two", "two", {"baseline": 0.4}, 1)
    rows = [{**row, "question": "another " + row["question"]} for row in read_jsonl(two / "questions.jsonl")]
    dump_jsonl(two / "questions.jsonl", rows)
    judge_run(two)
    assert summarise_runs([one, two])["between_runs"] == []


def test_a_baseline_run_by_itself_serves_the_other_conditions(tmp_path: Path) -> None:
    together = write_star(tmp_path / "together", "m", {"baseline": 0.4, "cotasks": 0.7}, 0)
    base = write_star(tmp_path / "base", "m", {"baseline": 0.4}, 9)
    steps = write_star(tmp_path / "steps", "m", {"cotasks": 0.4}, 9)
    other = write_star(tmp_path / "other", "n", {"cotasks": 0.4}, 9)
    for folder, condition in ((base, "baseline"), (steps, "cotasks")):
        rows = [row for row in runs.read_folder(together / "generations") if row["condition"] == condition]
        dump_jsonl(folder / "generations" / "00000.jsonl", rows)
        judge_run(folder)
    expected = average(summarise_runs([together]), "differences")
    summary = summarise_runs([base, steps, other])
    found = average(summary, "differences", run="steps")
    assert found["baseline_run"] == "base"
    ignored = ("run", "baseline_run")
    assert {k: v for k, v in found.items() if k not in ignored} == {
        k: v for k, v in expected.items() if k not in ignored
    }
    assert not [m for m in summary["means"] if m["run"] == "steps" and m["condition"] == "baseline"]
    assert not [d for d in summary["differences"] if d["run"] == "other"]  # another model
    warnings = "\n".join(summary["warnings"])
    assert "steps: it has no condition 'baseline'; differences are to that of run base." in warnings
    assert "other: no condition is called 'baseline'" in warnings
    (lines,) = ([line.cells[:2] for line in table.lines] for table in main_tables(summary, "exact"))
    assert lines[:3] == [["m (base)", "baseline"], ["m (steps)", "cotasks"], ["", "cotasks minus baseline"]]


def test_outcomes_states_and_scores_count_every_answer(tmp_path: Path) -> None:
    folder = write_large_run(tmp_path / "run")
    judge_run(folder, "f1")
    summary = summarise_runs([folder])
    run = read_run(folder)
    for judge in ("exact", "f1"):
        verdicts = verdicts_of(run, judge)
        for condition in ("baseline", "cotasks"):
            found = [v for key, v in verdicts.items() if key[1] == condition]
            (states,) = [r for r in summary["verdicts"] if (r["judge"], r["condition"]) == (judge, condition)]
            assert states["unscored"] == sum(v.score is None for v in found)
            assert states["unreadable"] == sum(v.unreadable for v in found)
            assert states["right"] == sum(v.correct is True for v in found)
            assert sum(states[name] for name in ("right", "wrong", "unreadable", "unscored")) == 60
            bins = [r for r in summary["scores"] if (r["judge"], r["condition"]) == (judge, condition)]
            assert sum(r["answers"] for r in bins) == 60 - states["unscored"]
        (outcome,) = [r for r in summary["outcomes"] if r["judge"] == judge]
        pairs = [(verdicts[id_, "cotasks", 0].score, verdicts[id_, "baseline", 0].score) for id_ in run.questions]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        assert outcome["won"] == sum(a > b for a, b in known) > 0
        assert outcome["lost"] == sum(a < b for a, b in known)
        assert outcome["tied"] == sum(a == b for a, b in known)
        assert outcome["not_compared"] == 60 - len(known) == 2
        turned = summarise_runs([folder], baseline="cotasks", judge=judge)["outcomes"][0]
        assert (turned["won"], turned["lost"]) == (outcome["lost"], outcome["won"])


def test_scores_of_many_values_are_counted_by_tens(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {}}})
    for n in range(1, 40):
        add_question(folder, f"q{n}", "DC", f"v{n}")
        add(folder, "generations", f"q{n}", "baseline", answer=" ".join(["two", *["more"] * (n - 1)]))
    judge_run(folder, "f1")
    bins = summarise_runs([folder])["scores"]
    assert [(r["low"], r["high"]) for r in bins] == [(low, low + 10) for low in range(0, 100, 10)]
    scores = [2 / (n + 1) * 100 for n in range(1, 40)]
    expected, _ = np.histogram(scores, bins=np.arange(0, 101, 10))
    assert [r["answers"] for r in bins] == expected.tolist()


def test_an_axis_holds_what_it_is_for() -> None:
    from xml.etree import ElementTree

    for values in ([(-3.2, 1.0, 4.5)], [(0.0, 0.0, 0.0)], [(-100.0, 20.0, 100.0)], [(2.0, 3.0, 3.5)], []):
        axis = difference_axis([Interval(mean, low, high, 0, True) for low, mean, high in values])
        assert 0 in axis.ticks
        assert 2 <= len(axis.ticks) <= 9
        assert all(0 <= axis.x(v) <= 100 for value in [*values, (0.0,)] for v in value)
        numbers = ElementTree.fromstring(axis_svg(axis))
        assert len(numbers) <= 5  # what a column of a table has room for
        assert "0" in [text.text for text in numbers]
        assert axis.x(axis.ticks[0]) < axis.x(axis.ticks[-1])
    assert axis.x(0) == pytest.approx(50)


def test_plots_place_their_marks() -> None:
    from xml.etree import ElementTree

    axis = Axis(-10, 10, (-10, 0, 10))
    svg = ElementTree.fromstring(interval_svg(Interval(5.0, 2.5, 7.5, 0, True), axis))
    (bar,) = [m for m in svg if m.get("class") == "bar gain"]
    assert (bar.get("x1"), bar.get("x2")) == ("62.50%", "87.50%")
    (dot,) = svg.findall("circle")
    assert dot.get("cx") == "75.00%"
    assert len(ElementTree.fromstring(interval_svg(Interval(None, None, None), axis))) == 3  # the ticks alone
    assert "circle" in interval_svg(Interval(5.0, None, None, 0, True), axis)

    svg = ElementTree.fromstring(share_svg({"right": 1, "wrong": 2, "unreadable": 0, "unscored": 1}))
    widths = [(m.get("class"), m.get("x"), m.get("width")) for m in svg]
    assert widths == [
        ("right", "0.000%", "25.000%"),
        ("wrong", "25.000%", "50.000%"),
        ("unscored", "75.000%", "25.000%"),
    ]
    assert len(ElementTree.fromstring(share_svg({"right": 0}))) == 0

    rows = [{"low": float(v), "high": float(v), "answers": n} for v, n in ((0, 1), (50, 0), (100, 3))]
    svg = ElementTree.fromstring(histogram_svg(rows, []))
    heights = [float(m.get("height") or 0) for m in svg.findall("rect")]
    assert heights[0] == pytest.approx(heights[2] / 3, abs=0.01)
    assert heights[1] == 0


def test_equivalence_is_tested_where_a_margin_is_given(tmp_path: Path) -> None:
    """Ten videos of four questions: `same` is wrong twice, `worse` every second time, `baseline` never."""
    folder = tmp_path / "run"
    conditions = {name: {} for name in ("baseline", "same", "worse")}
    runs.settle(folder, {"model": {"name": "m"}, "dataset": {"name": "d"}, "conditions": conditions})
    for number in range(40):
        add_question(folder, f"e{number}", "Sequence", f"v{number % 10}")
        for condition in ("baseline", "same", "worse"):
            right = condition == "baseline" or (number > 1 if condition == "same" else number % 2 == 0)
            add(folder, "generations", f"e{number}", condition, answer="B" if right else "A")
    judge_run(folder)
    paths = write_report([folder], equivalence=15.0)
    rows = {(row["condition"], row["level"]): row for row in read_json(paths.summary)["equivalence"]}
    assert rows["same", "micro"]["shown"] == "equivalent"
    assert rows["worse", "micro"]["shown"] == "neither"
    assert rows["same", "micro"]["p_no_worse"] <= rows["same", "micro"]["p_equivalent"] < 0.05
    text = paths.markdown.read_text("utf-8")
    assert "## Equivalence within ±15.0, judge exact" in text
    assert "Equivalence within ±15.0" in paths.html.read_text("utf-8")
    assert "Equivalence" not in write_report([folder]).markdown.read_text("utf-8")
    with pytest.raises(InputError, match="equivalence 0; expected a margin"):
        write_report([folder], equivalence=0.0)


def test_p_values_are_adjusted_over_the_tests_of_a_table(tmp_path: Path) -> None:
    """STAR alone: `all` and `star` are the same tests and count once; rows by question type are none."""
    folder = write_star(tmp_path / "run", "m", {"baseline": 0.4, "cotasks": 0.6, "other": 0.5}, 3)
    rows = summarise_runs([folder])["differences"]
    shown = [row for row in rows if row["level"] != "question_type"]
    tests = {
        (row["condition"], row["mean"], row["p_value"], row["name"] if row["level"] == "category" else "")
        for row in shown
    }
    assert len(tests) < len(shown) < len(rows)
    ordered = sorted(tests, key=lambda test: test[2])
    least = min(shown, key=lambda row: row["p_value"])
    assert least["p_holm"] == pytest.approx(min(1.0, len(tests) * ordered[0][2]))
    assert all(row["p_holm"] is None for row in rows if row["level"] == "question_type")
    by_place = {(row["condition"], row["group"], row["level"], row["name"]): row["p_holm"] for row in shown}
    assert by_place["cotasks", "all", "micro", "average"] == by_place["cotasks", "star", "micro", "average"]
