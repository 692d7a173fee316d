"""Labels by people: the sample, the file, the page's server, tables in and out."""

from __future__ import annotations

import csv
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.label.book import Book, Said, open_book, read_said
from cotasks.label.sample import Item, choose, in_order, settle_plan, strata_of
from cotasks.label.server import LabelServer
from cotasks.label.table import COLUMNS, Taken, read_table, write_sheet
from cotasks.runs import folder as runs
from cotasks.runs.labels import Label, export_csv, read_labels
from cotasks.runs.run import Run, read_run
from cotasks.tools.files import read_jsonl
from tests.examples import examples
from tests.test_judge import multiple_choice, question

MARKUP = "<img src=x onerror=window.broken=1></script><script>window.broken=1</script>"
CONDITIONS = ("baseline", "cotasks")


def make_run(folder: Path, questions: int = 30, **given_: str) -> Path:
    """Open-ended answers of three categories under two conditions, and a few of multiple choice; answer 0 is markup.

    `given_` are answers by `q3_baseline` and the like.
    """
    runs.settle(folder, {"model": {"name": "secret-model"}, "conditions": {name: {} for name in CONDITIONS}})
    with (
        runs.Appender(folder / "questions.jsonl") as file,
        runs.Appender(folder / "generations" / "0.jsonl") as answers,
    ):
        for number in range(questions):
            category = ("causal", "causal", "temporal", "descriptive")[number % 4]
            row = {"id": f"q{number}", "category": category, "question": f"why did he run {number}"}
            row |= {"question_type": {"causal": "CW", "temporal": "TN", "descriptive": "DC"}[category]}
            file.append(question(**row))
            for condition in CONDITIONS:
                text = given_.get(
                    f"q{number}_{condition}", MARKUP if number == 0 else f"answer {number} {condition[0]}"
                )
                answers.append({"id": f"q{number}", "condition": condition, "sample": 0, "answer": text})
        for number in range(4):
            file.append(multiple_choice(id=f"c{number}"))
            answers.append({"id": f"c{number}", "condition": "baseline", "sample": 0, "answer": "A"})
    return folder


@contextmanager
def booked(folder: Path, name: str = "ann", answers: int = 20, **plan_: Any) -> Iterator[tuple[Book, list[Item]]]:
    run, plan = read_run(folder), settle_plan(folder, answers, **plan_)
    items = choose(run, plan)
    with open_book(run, plan, name, items) as book:
        yield book, items


# The sample


def drawn_of(run: Run, seed: int = 0) -> list[runs.Key]:
    return [key for _, key in in_order(strata_of(run), seed)]


def counts_of(run: Run, keys: list[runs.Key]) -> Counter[tuple[str, str]]:
    return Counter((run.questions[key[0]]["category"], key[1]) for key in keys)


def labels_of(folder: Path, name: str = "ann") -> dict[runs.Key, Label]:
    return {label.key: label for label in read_labels(read_run(folder))[0] if label.labeller == name}


def test_a_sample_shares_its_answers_among_strata_and_takes_questions_in_pairs(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", 40))
    drawn = drawn_of(run)
    assert len(drawn) == len(set(drawn)) == 80  # options are not among them
    found = counts_of(run, drawn[:40])
    assert found == {(c, k): n for c, n in (("causal", 10), ("temporal", 5), ("descriptive", 5)) for k in CONDITIONS}
    assert Counter(Counter(id_ for id_, _, _ in drawn[:40]).values()) == {2: 20}
    assert drawn_of(run) == drawn
    assert drawn_of(run, 1)[:40] != drawn[:40]


@examples(25)
@given(size=st.integers(1, 80), seed=st.integers(0, 1000))
def test_any_beginning_is_spread_over_the_strata(
    size: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = RUNS.setdefault("run", read_run(make_run(tmp_path_factory.mktemp("strata") / "run", 40)))
    drawn = drawn_of(run, seed)
    whole, part = counts_of(run, drawn), counts_of(run, drawn[:size])
    for stratum, count in whole.items():
        assert abs(part[stratum] - count * size / 80) <= 2


def test_weights_make_up_for_strata_of_which_more_was_drawn(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 30)
    run = read_run(folder)
    weights: Counter[tuple[str, str]] = Counter()
    for item in choose(run, settle_plan(folder, 13)):
        for key, weight in zip(item.answers, item.weights, strict=True):
            weights[run.questions[key[0]]["category"], key[1]] += weight  # type: ignore[assignment]
    for stratum, count in counts_of(run, drawn_of(run)).items():
        assert weights[stratum] == pytest.approx(13 * count / 60, abs=1e-4)


RUNS: dict[str, Run] = {}


def test_a_sample_grows_and_nothing_else_of_it_changes(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    plan = settle_plan(folder, 10)
    small = {key for item in choose(read_run(folder), plan) for key in item.answers}
    larger = settle_plan(folder, 30)
    assert small < {key for item in choose(read_run(folder), larger) for key in item.answers}
    assert settle_plan(folder) == larger
    for change, said in (
        ({"seed": 3}, "seed is 0"),
        ({"answers": 5}, "answers is 30"),
        ({"rubric": "usual-form"}, "rubric"),
    ):
        with pytest.raises(InputError, match=said):
            settle_plan(folder, **change)  # type: ignore[arg-type]


def test_equal_answers_are_shown_once_and_labelled_all(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 4, q1_baseline="to sleep", q1_cotasks="to sleep")
    with booked(folder) as (book, items):
        assert len(items) == 6  # of 8: those of q0 are alike too
        (item,) = [item for item in items if item.answer == "to sleep"]
        book.write(item, Said(False, 1))
    assert {key: label.score for key, label in labels_of(folder).items()} == {("q1", c, 0): 20.0 for c in CONDITIONS}


# The file


def test_a_row_holds_what_is_documented(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with booked(folder) as (book, items):
        book.write(items[0], Said(True, 4, "nearly"))
        book.write(items[1], Said(None, None))
    rows = list(read_jsonl(folder / "labels" / "ann.jsonl"))
    names = ["id", "condition", "sample", "key", "labeller", "score", "weight", "comment", "correct", "rubric", "time"]
    assert list(rows[0]) == names
    assert [rows[0][name] for name in ("labeller", "score", "comment", "correct", "rubric")] == [
        *("ann", 80.0, "nearly", True),
        "answer-match 1",
    ]
    assert (rows[-1]["score"], rows[-1]["correct"]) == (None, None)


def test_a_label_counts_as_long_as_its_answer_is_the_same(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with booked(folder) as (book, items):
        book.write(items[0], Said(True, 5))
        book.write(items[0], Said(False, 0))
        assert book.given(items[0]).said == Said(False, 0)  # type: ignore[union-attr]
        assert book.done() == 1
    key = items[0].answers[0]
    assert labels_of(folder)[key].score == 0.0
    text = (folder / "generations" / "0.jsonl").read_text()
    (folder / "generations" / "0.jsonl").write_text(text.replace(json.dumps(items[0].answer)[1:-1], "changed"))
    assert labels_of(folder) == {}
    with booked(folder) as (book, _):
        assert book.done() == 0


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with booked(folder) as (book, items):
        book.write(items[0], Said(True, 5))
    row = {**next(read_jsonl(folder / "labels" / "ann.jsonl")), "score": 101}
    (folder / "labels" / "ann.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=r"ann\.jsonl:1: score 101; expected 0 to 100"), booked(folder):
        pass


def test_one_labeller_is_open_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with booked(folder), booked(folder, "bob"), pytest.raises(InputError, match="another process"), booked(folder):
        pass


@pytest.mark.parametrize("name", ["", "Ann", "../x", "a b", "a" * 41, "sample/x"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    assert main(["label", str(make_run(tmp_path / "run", 2)), "--labeller", name]) == 2


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"correct": True}, "correct alone"),
        ({"rating": 3}, "rating alone"),
        ({"correct": True, "rating": 0}, "contradict"),
        ({"correct": False, "rating": 5}, "contradict"),
        ({"correct": True, "rating": 6}, "rating 6"),
        ({"correct": True, "rating": 4.5}, "rating 4.5"),
        ({"correct": "yes", "rating": 4}, "correct 'yes'"),
        ({"correct": True, "rating": 4, "comment": "x" * 2001}, "comment"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path: Path, given_: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_said(given_, settle_plan(make_run(tmp_path / "run", 2)).rubric.scale, "x")


# The server


def ask(
    server: LabelServer, method: str, path: str, body: bytes | None = None, **headers: str | None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """A request as a browser would send it from the page, but for `headers`; None leaves one out."""
    own = f"127.0.0.1:{server.port}"
    sent = {"Host": own, "Content_Type": "application/json", "Origin": f"http://{own}", **headers}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    kept = {name.replace("_", "-"): value for name, value in sent.items() if value is not None}
    try:
        connection.request(method, path, body, kept)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def label_body(item: Item, **said: Any) -> bytes:
    return json.dumps({"key": item.key, "correct": True, "rating": 4, "comment": "", **said}).encode()


def test_the_page_is_served_to_its_address_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with booked(folder) as (book, items):
        server = LabelServer(book)
        with server.running():
            root = f"/{server.token}/"
            status, page, headers = ask(server, "GET", root, Origin=None)
            assert status == 200
            assert b"Label answers" in page
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            status, data, _ = ask(server, "GET", f"{root}items", Origin=None)
            shown = json.loads(data)
            assert [item["key"] for item in shown["items"]] == [item.key for item in items]
            for hidden in (b"secret-model", b"cotasks", b"baseline", server.token.encode()):
                assert hidden not in data + page
            for path in (
                "/",
                "/items",
                "/wrong/items",
                f"{root}../../etc/passwd",
                f"{root}nothing",
                f"/{server.token}",
            ):
                assert ask(server, "GET", path)[:2] == (404, b"not found\n"), path
            others: tuple[dict[str, str | None], ...] = (
                {"Host": "evil.example"},  # a name that points here
                {"Host": f"evil.example:{server.port}"},
                {"Host": "127.0.0.1:1"},
                {"Sec_Fetch_Site": "cross-site"},
            )
            for changed in others:
                assert ask(server, "GET", f"{root}items", **changed)[0] == 404, changed


def test_nobody_else_can_post(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with booked(folder) as (book, items):
        server = LabelServer(book)
        with server.running():
            path, body = f"/{server.token}/labels", label_body(items[0])
            refused: tuple[dict[str, str | None], ...] = (
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
                {"Origin": None},
                {"Origin": f"http://localhost:{server.port}"},
                {"Host": "evil.example", "Origin": "http://evil.example"},
                {"Content_Type": "text/plain"},  # what a form of another page can send
                {"Content_Length": "999999999"},
            )
            for changed in refused:
                assert ask(server, "POST", path, body, **changed)[0] in (404, 415), changed
            assert ask(server, "POST", "/labels", body)[0] == 404
            assert ask(server, "POST", f"/{'x' * len(server.token)}/labels", body)[0] == 404
            assert book.done() == 0
            for bad in (
                b"",
                b"[]",
                b'{"key": 3}',
                b'{"key": []}',
                b"\xff",
                label_body(items[0], rating=9),
                label_body(items[0], key="x"),
            ):
                assert ask(server, "POST", path, bad)[0] == 422, bad
            assert book.done() == 0
            assert ask(server, "POST", path, body)[0] == 200
            assert book.done() == 1
    assert len(list(read_jsonl(folder / "labels" / "ann.jsonl"))) == 1 * len(items[0].answers)


@pytest.mark.slow
def test_labels_survive_kills(tmp_path: Path) -> None:
    """The command is killed after every third label that it confirmed, while it writes."""
    folder = make_run(tmp_path / "run", 8)
    command = [sys.executable, "-m", "cotasks", "label", str(folder), "--labeller", "ann", "--answers", "16"]
    confirmed: list[str] = []
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port, token = line.rsplit(":", 1)[1].strip().strip("/").split("/")
            shown = Handle(int(port), token)
            items = shown.items()
            assert [item["key"] for item in items if item["said"]] == [i["key"] for i in items if i["key"] in confirmed]
            for item in [item for item in items if not item["said"]][:3]:
                body = json.dumps({"key": item["key"], "correct": False, "rating": 1, "comment": ""}).encode()
                assert ask(shown, "POST", f"/{token}/labels", body)[0] == 200  # type: ignore[arg-type]
                confirmed.append(item["key"])
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with (folder / "labels" / "ann.jsonl").open("ab") as file:
            file.write(b'{"id": "torn')
    labelled = set(labels_of(folder))
    with booked(folder, answers=16) as (book, items_):
        assert {item.key for item in items_ if book.given(item)} == set(confirmed)
        assert labelled == {key for item in items_ if item.key in confirmed for key in item.answers}
    assert len(confirmed) == len(set(confirmed)) == 9


class Handle:
    """A server of another process."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def items(self) -> list[dict[str, Any]]:
        _, data, _ = ask(self, "GET", f"/{self.token}/items")  # type: ignore[arg-type]
        return list(json.loads(data)["items"])


@pytest.mark.slow
def test_the_command_ends_with_what_is_left(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 2)
    command = [sys.executable, "-m", "cotasks", "label", str(folder), "--labeller", "ann"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("3 answers, 0 labelled; Ctrl-C ends. Open http://127.0.0.1:")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert said.startswith("Labelled 0 of 3 answers: ")
    assert process.returncode == 1


# Tables


def test_a_sheet_goes_out_and_comes_back(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", q1_baseline='=HYPERLINK("http://x")', q2_cotasks='said "a, b"\nand more')
    with booked(folder, answers=60) as (book, items):
        for number, item in enumerate(items):
            book.write(item, (Said(True, 4, "-1 of them"), Said(False, 1), Said(None, None))[number % 3])
    run, plan, sheet = read_run(folder), settle_plan(folder), tmp_path / "sheet.csv"
    assert write_sheet(run, plan, "ann", sheet) == len(items)
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    assert "baseline" not in sheet.read_text()
    assert read_table(run, sheet) == Taken(0, len(items), 0)
    before = labels_of(folder)
    (folder / "labels" / "ann.jsonl").unlink()
    assert read_table(run, sheet) == Taken(len(items), 0, 0)
    assert labels_of(folder) == before


def test_a_sheet_is_filled_by_another(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    sheet, run_ = tmp_path / "sheet.csv", ["label", str(folder)]
    assert main([*run_, "--labeller", "bob", "--answers", "10", "--export", str(sheet)]) == 0
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[3] |= {"correct": "Yes", "rating": "5", "comment": "good"}
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    assert main([*run_, "--import", str(sheet)]) == 0
    assert {(label.score, label.comment) for label in labels_of(folder, "bob").values()} == {(100.0, "good")}
    with booked(folder, "bob", 10) as (book, items):
        assert [item.key for item in items if book.given(item)] == [rows[3]["key"]]


def test_labels_with_ids_go_out_and_come_in(tmp_path: Path) -> None:
    folder, other = make_run(tmp_path / "run"), make_run(tmp_path / "other")
    with booked(folder) as (book, items):
        book.write(items[0], Said(True, 4))
    table = tmp_path / "labels.csv"
    assert main(["label", str(folder), "--export", str(table)]) == 0
    assert export_csv(read_run(folder), tmp_path / "same.csv") == len(items[0].answers)
    assert table.read_bytes() == (tmp_path / "same.csv").read_bytes()
    assert main(["label", str(other), "--import", str(table)]) == 0
    assert labels_of(other) == labels_of(folder)
    with booked(other), pytest.raises(InputError, match="another process"):
        read_table(read_run(other), table)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"correct": "maybe"}, "row 2: correct 'maybe'"),
        ({"rating": "five"}, "row 2: rating 'five'"),
        ({"rating": ""}, "row 2: correct alone"),
        ({"key": "abc"}, "row 2: key 'abc'"),
        ({"labeller": "Ann"}, "row 2: labeller 'Ann'"),
        ({"labeller": ""}, "row 2: labeller ''"),
        ({"rubric": "mine 1"}, "row 2: rubric 'mine 1'"),
        ({"rating": "5", "correct": "no"}, "row 2: no with rating 5"),
        (None, "no column correct, rating"),
    ],
)
def test_a_row_that_is_no_label_is_named_and_nothing_is_taken(
    tmp_path: Path, change: dict[str, str] | None, said: str
) -> None:
    folder = make_run(tmp_path / "run")
    run, plan, sheet = read_run(folder), settle_plan(folder, 4), tmp_path / "sheet.csv"
    (first, *_) = choose(run, plan)
    rows = [{"key": first.key, "labeller": "eve", "correct": "yes", "rating": "4", **(change or {})}]
    rows.append({**rows[0], "correct": "yes", "rating": "4"})
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0])[: None if change else 2], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=said):
        read_table(run, sheet)
    assert not (folder / "labels" / "eve.jsonl").exists()


def test_a_run_without_open_answers_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "run", 0)
    assert main(["label", str(folder), "--labeller", "ann"]) == 2
    assert "nothing to label" in capsys.readouterr().err
    assert main(["label", str(folder)]) == 2
    assert "--labeller is missing" in capsys.readouterr().err
