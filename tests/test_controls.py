"""Controls of a judge: what it says of answers whose verdict is known."""

from __future__ import annotations

import html
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.judge.controls import CONTROLS, Outcome, Questions, control_path, outcomes_of, warning
from cotasks.judge.judges import judges_of
from cotasks.judge.llm.ledger import Ledger
from cotasks.judge.llm.loop import ControlCounts
from cotasks.judge.llm.pricing import Price
from cotasks.judge.run import control_judge
from cotasks.report import write_report
from cotasks.runs import folder as runs
from cotasks.runs.run import Run, read_run
from cotasks.tools.files import read_json, read_jsonl
from cotasks.words.answers import normalise
from tests.judge_server import JudgeServer, Response, asked_about, verdict
from tests.test_judge import multiple_choice, question
from tests.test_llm_judge import KEY, ask, calls_are_quick

REFERENCES = (
    "to catch the ball",
    "red car",
    "four",
    "she sits down",
    "in front of her",
    "yes",
    "dance happily",
    "kiss him",
)
PRICE = (2.0, 8.0)
EACH = (500 * 2 + 40 * 8) / 1e6
"""US dollars that the server bills for a completion."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


def make_run(folder: Path, questions: int = 8) -> Path:
    """Open-ended questions with references that share no word, one of multiple choice, and an answer to each."""
    runs.settle(folder, {"model": {"name": "m"}, "conditions": {"baseline": {}}})
    with (
        runs.Appender(folder / "questions.jsonl") as file,
        runs.Appender(folder / "generations" / "0.jsonl") as answers,
    ):
        for number in range(questions):
            reference = f"{REFERENCES[number % len(REFERENCES)]}{number // len(REFERENCES) or ''}"
            file.append(question(id=f"q{number}", question=f"what about {number}", answer=reference))
            answers.append({"id": f"q{number}", "condition": "baseline", "sample": 0, "answer": f"answer {number}"})
        file.append(multiple_choice(id="c"))
    return folder


def controls(folder: Path, server: JudgeServer, questions: int = 5, **options: Any) -> ControlCounts:
    fixed = {"base_url": server.url, "progress": False, "concurrency": 4}
    return control_judge(folder, "openai:m", questions, **{**fixed, **options})


def sound(_: int, request: dict[str, Any]) -> Any:
    """Knows a reference where it begins the answer, or stands in the one sentence."""
    data = asked_about(request)
    said = normalise(data["prediction"].removeprefix("The answer is "))
    right = any(f"{said} ".startswith(f"{normalise(text)} ") for text in data["references"])
    return verdict(5, "yes") if right else verdict(0, "no")


def lenient(number: int, request: dict[str, Any]) -> Any:
    """Takes a repeated question and praise for right answers."""
    data = asked_about(request)
    fooled = data["prediction"] == data["question"] or "highest score" in data["prediction"]
    return verdict(4, "yes") if fooled else sound(number, request)


def by_name(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {one.control: one for one in outcomes}


def test_every_question_is_asked_about_in_all_ways(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with JudgeServer(sound) as server:
        counts = controls(folder, server)
        asked = server.asked
    assert (counts.asked, counts.kept, counts.left, len(asked)) == (35, 0, 0, 35)
    assert [(one.control, one.asked, one.wrong, one.unscored) for one in counts.outcomes] == [
        (name, 5, 0, 0) for name in CONTROLS
    ]
    assert {one.mean for one in counts.outcomes if one.right} == {100.0}
    assert Counter(data["question"] for data in asked) == dict.fromkeys({data["question"] for data in asked}, 7)
    assert warning(counts.outcomes) is None
    assert "c" not in {row["id"] for row in read_jsonl(control_path(folder, "openai:m"))}


def test_the_other_reference_has_no_word_of_the_right_one(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", 40))
    questions = Questions(run.questions)
    assert sorted(questions.drawn()) == sorted(f"q{n}" for n in range(40))
    for id_ in questions.drawn():
        asked = questions.of(id_)
        assert asked is not None
        assert asked.other is not None
        assert not set(normalise(asked.other).split()) & set(normalise(asked.reference).split())


def test_controls_lie_apart_from_verdicts_and_are_asked_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with JudgeServer(sound) as server:
        controls(folder, server, 2)
        assert judges_of(folder) == []  # no verdict on any answer
        assert ask(folder, server).calls == 8
        again = controls(folder, server, 2)
        assert (again.asked, again.kept) == (0, 14)
        more = controls(folder, server, 3)
        assert (more.asked, more.kept) == (7, 14)
        assert len(server.completions) == 14 + 8 + 7
    assert judges_of(folder) == ["openai:m"]
    assert {path.name for path in (folder / "controls").iterdir()} == {"openai-m.jsonl"}


def test_controls_of_other_settings_do_not_count(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with JudgeServer(sound) as server:
        controls(folder, server, 2)
        ask(folder, server, repeats=2)
        assert len(outcomes_of(read_run(folder), "openai:m")) == 7
        assert controls(folder, server, 2).asked == 0  # how often answers are judged stays as it was
        assert ask(folder, server, repeats=2).calls == 0
        ask(folder, server, temperature=0.5)
        assert outcomes_of(read_run(folder), "openai:m") == []


def test_money_is_that_of_the_judge(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with JudgeServer(sound) as server:
        assert ask(folder, server, price=PRICE, max_cost=1.0).calls == 8
        # a call is paid for by what it can cost at most before it is sent
        counts = controls(folder, server, 5, price=PRICE, max_cost=8 * EACH + 0.03)
        assert 0 < counts.asked < 35
        assert counts.left == 35 - counts.asked
        assert counts.stopped.startswith("max_cost")
        spent = len(server.completions) * EACH
        assert spent <= 8 * EACH + 0.03
        prices = {False: Price(*PRICE), True: None}
        ledger = Ledger(folder / "verdicts" / "ledger" / "openai-m.jsonl", prices, None)
        assert ledger.spent == pytest.approx(spent)
        ledger.close()
        rest = controls(folder, server, 5, price=PRICE, max_cost=1.0)
        assert (rest.kept, rest.asked, rest.left) == (counts.asked, 35 - counts.asked, 0)


def test_a_call_that_fails_is_unscored_and_asked_again(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")

    def answer(number: int, request: dict[str, Any]) -> Any:
        return Response({"error": {"message": "too odd"}}, 400) if number == 3 else sound(number, request)

    with JudgeServer(answer) as server:
        counts = controls(folder, server, concurrency=1)
        assert sum(one.unscored for one in counts.outcomes) == sum(one.failed for one in counts.outcomes) == 1
        assert sum(one.wrong for one in counts.outcomes) == 0
        assert controls(folder, server).asked == 0
        assert controls(folder, server, retry_unscored=True).asked == 1


def test_a_judge_that_cannot_tell_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder = make_run(tmp_path / "run", 20)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with JudgeServer(lenient) as server:
        command = ["judge", str(folder), "--judge", "openai:m", "--base-url", server.url, "--controls", "20"]
        assert main(command) == 0
    said = capsys.readouterr().out
    assert "| the question as the answer" in said
    line = (
        "it cannot tell right from wrong on its controls: it accepts the question as the answer "
        "(20 of 20), accepts another question's reference that praises itself (20 of 20)."
    )
    assert f"openai:m: {line}" in said
    assert warning(outcomes_of(read_run(folder), "openai:m")) == line
    assert "Asked 140 controls (0 before)" in said


def test_a_report_shows_controls_beside_the_means(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    folder = make_run(tmp_path / "run", 20)
    with JudgeServer(lenient) as server:
        ask(folder, server)
        assert write_report([folder], frames=False).summary.exists()
        before = (folder / "report.md").read_text()
        assert "Controls" not in before
        controls(folder, server, 20)
    paths = write_report([folder], frames=False)
    line = (
        "this judge says yes to right answers (the reference itself 20 of 20; the reference in a sentence 20 of 20; "
        "the reference with more words 20 of 20) and to wrong ones (the question as the answer 20 of 20; another "
        "question's reference 0 of 20; another question's reference with more words 0 of 20; another question's "
        "reference that praises itself 20 of 20)."
    )
    told = "cannot tell right from wrong on its controls: it accepts the question as the answer (20 of 20), accepts"
    text, page = paths.markdown.read_text(), html.unescape(paths.html.read_text())
    assert line in text
    assert line in page
    summary = read_json(paths.summary)
    assert [told in warning for warning in summary["warnings"]].count(True) == 1
    assert [row["accepted"] for row in summary["controls"]] == [20, 20, 20, 20, 0, 0, 20]
    assert "| the question as the answer " in text.replace("| run | openai:m ", "")


@pytest.mark.parametrize(
    ("right", "asked", "accepted", "fails"),
    [
        (False, 20, 0, False),
        (False, 20, 2, False),
        (False, 20, 4, True),
        (False, 21, 10, True),
        (True, 21, 20, False),
        (True, 20, 12, True),
        (False, 1000, 60, False),
        (False, 1000, 80, True),
        (False, 0, 0, False),
    ],
)
def test_what_a_judge_may_get_wrong(right: bool, asked: int, accepted: int, fails: bool) -> None:
    assert Outcome("question", right, asked, accepted, None, 0).fails is fails


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--judge", "exact"], "controls with judge exact, which is a rule"),
        (["--judge", "openai:m", "--batch"], "--batch with --controls"),
        (["--judge", "openai:m", "--repeats", "2"], "--repeats with --controls"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: list[str], said: str, capsys: Any) -> None:
    folder = make_run(tmp_path / "run")
    assert main(["judge", str(folder), *options, "--controls", "3"]) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with JudgeServer(sound) as server:
        controls(folder, server, 1)
    path = control_path(folder, "openai:m")
    path.write_bytes(path.read_bytes().replace(b'"score":100.0', b'"score":60.0', 1))
    with pytest.raises(InputError, match=r"controls/openai-m\.jsonl:1: "):
        outcomes_of(read_run(folder), "openai:m")


def test_one_question_alone_has_no_other(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 1)
    with JudgeServer(sound) as server:
        counts = controls(folder, server, 9)
    assert [one.control for one in counts.outcomes] == ["reference", "sentence", "longer", "question"]
    assert isinstance(read_run(folder), Run)
