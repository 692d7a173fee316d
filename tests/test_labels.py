"""Labels of people: the files, CSV both ways, and what a report makes of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.run import judge_run
from cotasks.metrics.corrected import Scored, corrected_difference, corrected_mean
from cotasks.report import summarise_runs, write_report
from cotasks.runs import folder as runs
from cotasks.runs.labels import Label, append_labels, export_csv, import_csv, label_key, read_labels
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_jsonl, read_jsonl
from tests.benchmarks.correction import Judge, holds, naive, simulate, true_mean, width
from tests.examples import examples
from tests.test_report import add, add_question, write_run


def label(
    score: float | None, labeller: str = "ann", id_: str = "q0", condition: str = "baseline", **more: object
) -> Label:
    return Label((id_, condition, 0), labeller, score, **more)  # type: ignore[arg-type]


def test_labels_come_back_and_the_last_word_counts(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    first = [label(100, weight=2.5, comment="fine"), label(None, "bob"), label(40.5, condition="cotasks")]
    assert append_labels(run, first) == 3
    assert (set(read_labels(run)[0]), read_labels(run)[1]) == (set(first), 0)
    assert {path.name for path in (run.folder / "labels").iterdir()} == {"ann.jsonl", "bob.jsonl"}
    assert append_labels(run, [label(0)]) == 1
    assert set(read_labels(run)[0]) == {*first[1:], label(0)}


def test_a_label_of_another_answer_or_question_does_not_count(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    append_labels(run, [label(100), label(0, condition="cotasks"), label(50, id_="q1")])
    generations = run.folder / "generations" / "00000.jsonl"
    rows = list(read_jsonl(generations))
    rows[0]["answer"] += " and more"
    dump_jsonl(generations, rows)
    questions = run.folder / "questions.jsonl"
    asked = list(read_jsonl(questions))
    asked[1]["answer"] = "another reference"
    dump_jsonl(questions, asked)
    kept, stale = read_labels(read_run(run.folder))
    assert [one.key for one in kept] == [("q0", "cotasks", 0)]
    assert stale == 2
    judge_run(run.folder)
    assert any("2 labels are of answers" in text for text in summarise_runs([run.folder])["warnings"])


def test_the_key_is_of_all_that_a_labeller_judges_by() -> None:
    question = {
        "question": "who?",
        "answer": "a",
        "additional_answers": [],
        "choices": [],
        "answer_index": -1,
        "id": "q",
    }
    key = label_key(question, "b")
    assert len(key) == 64
    assert key == label_key({**question, "id": "other", "category": "x"}, "b")
    for name, value in (("question", "when?"), ("answer", "c"), ("additional_answers", ["d"]), ("choices", ["a"])):
        assert label_key({**question, name: value}, "b") != key
    assert label_key(question, "c") != key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 101}, "score 101; expected 0 to 100, or null"),
        ({"score": "5"}, "score is '5'; expected a label"),
        ({"score": True}, "score is True"),
        ({"weight": 0}, "weight 0; expected a number above 0"),
        ({"labeller": ""}, "labeller is empty"),
        ({"sample": "0"}, "sample is '0'"),
        ({"key": None}, "key is None"),
    ],
)
def test_a_damaged_label_is_named_with_file_and_line(change: dict[str, object], message: str, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    append_labels(run, [label(100), label(100, id_="q1")])
    path = run.folder / "labels" / "ann.jsonl"
    rows = list(read_jsonl(path))
    dump_jsonl(path, [rows[0], {**rows[1], **change}])
    with pytest.raises(InputError) as error:
        read_labels(run)
    assert str(error.value).startswith(f"{path}:2: {message}")


def test_csv_goes_out_and_in(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    labels = [label(100, weight=2.5, comment='says "so", twice'), label(None, "Åsa B."), label(7.25, id_="q1")]
    append_labels(run, labels)
    out = tmp_path / "labels.csv"
    assert export_csv(run, out) == 3
    rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    assert rows[0]["question"] == "what happens | here"
    assert rows[0]["references"] == "run"
    assert rows[0]["answer"] == "A"
    other = read_run(write_run(tmp_path / "other"))
    assert import_csv(other, out) == 3
    assert set(read_labels(other)[0]) == set(labels)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).map(str.strip).filter(bool)


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(
        st.tuples(TEXT, st.sampled_from(["q0", "q1"]), st.none() | st.floats(0, 100).map(lambda x: round(x, 4)), TEXT),
        max_size=4,
    )
)
def test_what_goes_through_csv_is_the_same(
    told: list[tuple[str, str, float | None, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    run = read_run(write_run(folder / "run"))
    append_labels(run, [label(score, who, id_, comment=text) for who, id_, score, text in told])
    kept, stale = read_labels(run)
    assert len(kept) == len({(who, id_) for who, id_, _, _ in told})
    assert stale == 0
    export_csv(run, folder / "out.csv")
    other = read_run(write_run(folder / "other"))
    assert import_csv(other, folder / "out.csv") == len(kept)
    assert set(read_labels(other)[0]) == set(kept)


ODD = ("=cmd|' /C calc'!A0", "'=1", "''+1", "'quoted", "@x", "-1", "one\rtwo", "a;b,c\t d", 'say "so"')


def test_no_cell_is_a_formula_and_all_come_back(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    rows = list(read_jsonl(run.folder / "generations" / "00000.jsonl"))
    for row, answer in zip(rows, ODD, strict=False):
        row["answer"] = answer
    for folder in (run.folder, write_run(tmp_path / "other")):
        dump_jsonl(folder / "generations" / "00000.jsonl", rows)
    run, other = read_run(run.folder), read_run(tmp_path / "other")
    told = [Label(key, text, 50.0, 1.0, text) for key in run.generations for text in ODD if key[0] in run.questions]
    append_labels(run, told)
    export_csv(run, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert import_csv(other, tmp_path / "out.csv") == len(told)
    back = {(one.key, one.comment) for one in read_labels(other)[0]}
    assert back == {(one.key, one.comment.replace("\r", "\n")) for one in told}  # any line end is one


@pytest.mark.parametrize(
    "text",
    [
        "id,condition,labeller,score,weight\nq0,baseline,ann,50.5,2\n",
        "\ufeffid;condition;labeller;score;weight\r\nq0;baseline;ann;50,5;2\r\n;;;;\r\n\r\n",
        "sep=;\nid;condition;labeller;score;weight\nq0;baseline;ann;50,5;2,0\n",
        "id\tcondition\tlabeller\tscore\tweight\nq0\tbaseline\tann\t50.5\t2\n",
        "weight,score,labeller,sample,condition,id,more\n2,50.5,ann,0.0,baseline,q0,,,\n,,,,,,,,\n",
    ],
)
def test_csv_is_read_as_spreadsheets_save_it(text: str, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    (tmp_path / "in.csv").write_text(text, encoding="utf-8", newline="")
    assert import_csv(run, tmp_path / "in.csv") == 1
    assert read_labels(run)[0] == [label(50.5, weight=2.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,condition,labeller,score,sample\nq0,baseline,ann,5,nan\n", ":2: sample 'nan'; expected a whole number"),
        ("id,condition,labeller,score,sample\nq0,baseline,ann,5,inf\n", ":2: sample 'inf'; expected a whole number"),
        ("id,condition,labeller,score,sample\nq0,baseline,ann,5,0.5\n", ":2: sample '0.5'; expected a whole"),
        ("id;condition;labeller;score\n\nq0;baseline;ann;5;\nq0;baseline;ann;5,x\n", ":4: score '5.x'"),
        ('id,condition,labeller,score\n"q0"x,baseline,ann,5\n', "not CSV"),
        ("id,condition,labeller\n", "no column score; expected id, condition, labeller, score"),
        ("id,condition,labeller,score\nq0,baseline,ann,good\n", ":2: score 'good'; expected a number"),
        ("id,condition,labeller,score\nq0,baseline,ann,500\n", ":2: score 500.0; expected 0 to 100"),
        ("id,condition,labeller,score\nq7,baseline,ann,5\n", ":2: q7, baseline, 0: no such answer in"),
        (
            "id,condition,labeller,score,answer\nq0,baseline,ann,5,other\n",
            ":2: answer 'other'; expected that of the run",
        ),
        ("id,condition,labeller,score\nq0,baseline,,5\n", ":2: labeller is empty"),
    ],
)
def test_bad_csv_is_named_and_nothing_is_imported(text: str, message: str, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    path = tmp_path / "in.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        import_csv(run, path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert read_labels(run) == ([], 0)


# corrected means


def scored(
    judged: list[float], labels: list[float | None], videos: list[str], weights: list[float] | None = None
) -> Scored:
    return Scored(
        np.array(judged, np.float64),
        np.array([np.nan if one is None else one for one in labels], np.float64),
        np.array(weights or [1.0] * len(judged), np.float64),
        videos,
    )


def test_the_corrected_mean_by_hand() -> None:
    """The judge says 20 too much of every answer: its error is known for sure, and taken off."""
    generator = np.random.default_rng(0)
    true = generator.uniform(10, 70, 60)
    labels: list[float | None] = [float(t) if n % 3 == 0 else None for n, t in enumerate(true)]
    found = corrected_mean(scored([float(t) + 20 for t in true], labels, [f"v{n // 2}" for n in range(60)]))
    assert found is not None
    assert found.tuning == pytest.approx(1, abs=0.2)
    tuning = found.tuning or 0.0
    expected = true[::3].mean() + tuning * (true.mean() - true[::3].mean())
    assert found.estimate.mean == pytest.approx(expected)
    assert found.alone.mean == pytest.approx(true[::3].mean())
    assert (found.labels, found.estimate.videos) == (20, 20)
    assert width(found.estimate) < width(found.alone)


def test_a_judge_that_says_the_same_of_all_leaves_the_labels_alone() -> None:
    labels: list[float | None] = [100.0, 0, 100, 100, 0, 100, None, None]
    found = corrected_mean(scored([50] * 8, labels, [f"v{n}" for n in range(8)]))
    assert found is not None
    assert found.tuning == 0
    assert found.estimate == found.alone


def test_weights_undo_what_strata_drew_too_often() -> None:
    """Of two strata, hard and easy, all hard answers were labelled and every fifth easy one, with weights 1 and 5."""
    true = [0.0] * 20 + [100.0] * 80
    labels: list[float | None] = [t if n < 20 or n % 5 == 0 else None for n, t in enumerate(true)]
    weights = [1.0 if n < 20 else 5.0 for n in range(100)]
    videos = [f"v{n % 25}" for n in range(100)]
    judged = np.random.default_rng(1).uniform(0, 100, 100).tolist()
    weighted, plain = (corrected_mean(scored(judged, labels, videos, w)) for w in (weights, None))
    assert weighted is not None
    assert plain is not None
    assert weighted.alone.mean == pytest.approx(80)
    assert plain.alone.mean == pytest.approx(100 * 16 / 36)


def test_too_few_labels_correct_nothing() -> None:
    assert corrected_mean(scored([1, 2, 3], [1, 2, None], ["a", "b", "c"])) is None
    enough = scored([1, 2, 3, 4], [1, 5, 2, 9], ["a", "b", "c", "d"])
    assert corrected_difference(enough, scored([1, 2], [None, None], ["a", "b"])) is None


def test_corrected_intervals_hold_and_are_narrower() -> None:
    """120 simulated runs with a judge that is 20 points too kind: the long form is `tests/benchmarks/correction.py`."""
    generator = np.random.default_rng(100)
    judge = Judge("kind", 90, 40, 15, 10)
    true = [true_mean(mean) for mean in (0.4, 0.5)]
    held, widths = np.zeros(2), np.zeros((2, 2))
    for _ in range(120):
        base, ours = simulate(judge, (0.4, 0.5), 100, generator, videos=60)
        wanted = (corrected_mean(base), true[0]), (corrected_difference(ours, base), true[1] - true[0])
        for place, (found, value) in enumerate(wanted):
            assert found is not None
            held[place] += holds(found.estimate, value) / 120
            widths[place] += width(found.estimate), width(found.alone)
        assert not holds(naive(base), true[0])
    assert (held > 0.9).all()
    assert (held < 0.99).all()
    assert (widths[:, 0] < 0.85 * widths[:, 1]).all()


# the report


def write_labelled(folder: Path) -> Path:
    """60 questions on 30 videos, judged by `exact`; two people labelled every second answer, and rarely disagree."""
    generator = np.random.default_rng(4)
    runs.settle(
        folder, {"model": {"name": "m"}, "dataset": {"name": "d"}, "conditions": {"baseline": {}, "cotasks": {}}}
    )
    for number in range(60):
        add_question(folder, f"q{number}", "CW", f"v{number // 2}")
        for condition, rate in (("baseline", 0.4), ("cotasks", 0.7)):
            add(folder, "generations", f"q{number}", condition, answer="B" if generator.random() < rate else "A")
    judge_run(folder)
    run = read_run(folder)
    labels = []
    for (id_, condition, _), row in run.generations.items():
        if int(id_[1:]) % 2 == 0:
            said = 100.0 if row["answer"] == "B" or generator.random() < 0.2 else 0.0  # people let some "A" pass
            labels += [
                label(said, "ann", id_, condition),
                label(said if generator.random() < 0.9 else 50.0, "bob", id_, condition),
            ]
    append_labels(run, labels)
    return folder


def test_the_report_shows_corrected_beside_uncorrected(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "run")
    summary = summarise_runs([folder])
    rows = {(row["condition"], row["baseline"]): row for row in summary["corrected"]}
    assert list(rows) == [("baseline", None), ("cotasks", None), ("cotasks", "baseline")]
    for row in rows.values():
        assert row["low"] < row["mean"] < row["high"]
        assert row["labels"] == (30 if row["baseline"] is None else 60)
    means = {
        row["condition"]: row["mean"] for row in summary["means"] if row["level"] == "micro" and row["group"] == "all"
    }
    assert rows["baseline", None]["judge_mean"] == pytest.approx(means["baseline"])
    assert rows["baseline", None]["mean"] > means["baseline"]  # exact is too strict
    difference = rows["cotasks", None]["mean"] - rows["baseline", None]["mean"]
    assert rows["cotasks", "baseline"]["mean"] == pytest.approx(difference)
    who = [(row["judge"], row["other_judge"]) for row in summary["labels"]]
    assert who == [("ann", "bob"), ("exact", "people")]
    assert all(row["answers"] == 60 for row in summary["labels"])
    assert 0.7 < summary["labels"][0]["alpha"] < 1

    paths = write_report([folder])
    for path in (paths.markdown, paths.html):
        text = path.read_text("utf-8")
        assert "Corrected by people" in text
        assert "Agreement with people" in text
    tex = paths.latex.read_text("utf-8")
    assert "Corrected by people" in tex
    assert r"& Judge alone & Labels alone & Corrected & p & Tuning \\" in tex
    assert "Corrected by" not in write_report([write_run_judged(tmp_path / "plain")]).markdown.read_text("utf-8")


def write_run_judged(folder: Path) -> Path:
    judge_run(write_run(folder))
    return folder
