"""How answers are worded: echoes of the question, length, a leading yes or no, new words, and the style asked for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.generate.sampling import GREEDY
from cotasks.generate.settings import run_settings
from cotasks.judge import wording
from cotasks.judge.rules import judge_answer
from cotasks.judge.run import judge_run
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import (
    ANSWER_STYLES,
    Condition,
    condition_settings,
    parse_condition,
    read_condition,
    with_defaults,
)
from cotasks.prompts.prompt import build_prompt
from cotasks.records.dataset import load_records
from cotasks.report.summary import read_scored, summarise
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_jsonl, read_jsonl
from cotasks.words.answers import leading_yes_no
from cotasks.words.echo import content_words, is_echo, is_yes_no
from cotasks.words.labels import labels_in
from tests.test_judge import question, write_run

WHY = "why is the man running in the park"


@pytest.mark.parametrize(
    ("answer", "asked", "references", "echo"),
    [
        ("the man is running in the park", WHY, ["to exercise"], True),
        ("The man runs.", WHY, ["to exercise"], True),
        ("the man is in the park", WHY, ["to exercise"], True),
        ("to catch the dog", WHY, ["to exercise"], False),
        ("the man is running in the park to exercise", WHY, ["to exercise"], False),
        ("the man is not running", WHY, ["to exercise"], False),  # which the question does not say
        ("two men", WHY, ["to exercise"], False),
        ("because it is", WHY, ["to exercise"], False),  # says nothing, which is another fault
        ("", WHY, ["to exercise"], False),
        ("the dog", "what does the dog chase", ["the dog"], False),  # and is right
        ("a dog", "is it a dog or a cat", ["cat"], False),  # the question names its answers
        ("the lady is shortsighted", "is the lady shortsighted", ["yes"], False),
        ("the lady is shortsighted", "is the lady shortsighted", ["Yes, she is.", "yes"], False),
        ("the lady is on the table", "what does the lady put on the table", ["No lady, a cup"], True),
        ("the lady has a cup", "does the lady have a cup, tea and a spoon", ["tea"], True),  # asks what
    ],
)
def test_an_echo_says_nothing_that_the_question_does_not(
    answer: str, asked: str, references: list[str], echo: bool
) -> None:
    assert is_echo(answer, asked, references) is echo


@given(st.text("abcdefgh ", min_size=1, max_size=30), st.text("abcdefgh ", max_size=30))
def test_one_new_word_makes_no_echo(text: str, more: str) -> None:
    asked = f"why {text}"
    assert is_echo(text, asked) == bool(content_words(text))
    assert not is_echo(f"{text} zebra {more}", asked)


@pytest.mark.parametrize(
    ("asked", "references", "expected"),
    [
        ("is the lady shortsighted", [], True),
        ("In the video, does he fall?", [], True),
        ("is it a dog or a cat", [], False),
        ("why is it", [], False),
        ("is the dog big", ["Yes."], True),
        ("is the dog big", ["very"], False),
        ("what now", ["no", "yes"], True),
    ],
)
def test_questions_that_ask_for_yes_or_no(asked: str, references: list[str], expected: bool) -> None:
    assert is_yes_no(asked, references) is expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        *(
            (text, "yes")
            for text in ("yes", "Yes, the lady is.", "Yes the lady is", "yep", "**Yes** she is", "yes but")
        ),
        *((text, "no") for text in ("No.", "No, she is not", "no she is not", "nope", "Answer: no", "No\nShe reads")),
        *(
            (text, None)
            for text in ("yes and no", "Yes/No", "no one is", "no idea", "not", "nothing", "she is, yes", "")
        ),
    ],
)
def test_a_leading_yes_or_no_is_read(answer: str, said: str | None) -> None:
    assert leading_yes_no(answer) == said
    for reference in ("yes", "no"):
        asked = question(question="is the lady shortsighted", answer=reference, question_type="DB")
        for judge in ("exact", "f1"):
            right = judge_answer(judge, answer, asked).score == 100
            assert right == (said == reference)


def test_it_is_read_where_the_reference_is_one_only() -> None:
    """To another question "No, he cries" begins with no answer."""
    asked = question(answer="no he cries")
    assert judge_answer("exact", "No, he cries", asked).score == 100
    assert judge_answer("exact", "No", asked).score == 0
    assert 0 < (judge_answer("f1", "No", asked).score or 0) < 100


def test_new_words_only() -> None:
    asked = question(question="why did the boy run in the park", answer="to catch the ball")
    said = "the boy did run in the park to catch the ball"
    assert judge_answer("f1", said, asked).score == pytest.approx(100 * 6 / 11)  # without articles, 8 words and 3
    assert judge_answer("f1-new", said, asked).score == 100
    assert judge_answer("f1-new", "the boy did run in the park", asked).score == 0
    # a reference of the question's words alone is compared as it is
    asked = question(question="is it a dog or a cat", answer="a cat")
    assert judge_answer("f1-new", "it is a cat", asked).score == judge_answer("f1", "it is a cat", asked).score > 0
    # the best of the references counts
    asked = question(question="why did the boy run", answer="the boy", additional_answers=["for fun"])
    assert judge_answer("f1-new", "the boy did run for fun", asked).score == 100


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ("Adult 1 lifts toy 2.", ["Adult 1", "toy 2"]),
        ("from 0.00s to 20.25s, and at 3.5 seconds", ["0.00s", "20.25s", "3.5 seconds"]),
        ("ball/sports ball 2", ["ball 2"]),
        ("child 3's toy", ["child 3"]),
        ("the man holds 2 balls, 3 dogs wait", []),  # counts things
        ("at 10, in 2019, dog 50%, after 12.5 m", []),
        ("He reads book 1", []),  # as the reference does
        ("man 7 runs", []),  # as the question does
        ("the man runs", []),
    ],
)
def test_labels_of_the_prompt_are_found(answer: str, labels: list[str]) -> None:
    assert labels_in(answer, "who is man 7", ["reads book 1"]) == labels


@given(st.integers(1, 999), st.floats(0, 9999), st.sampled_from(["adult", "toy", "dog", "chair"]))
def test_whatever_a_prompt_writes_is_a_label(number: int, seconds: float, noun: str) -> None:
    time = f"{seconds:.2f}s"
    assert labels_in(f"{noun} {number} is there from {time}") == [f"{noun} {number}", time]
    assert labels_in(f"{number} {noun}s are there") == []


def test_labels_are_said_by_condition(tmp_path: Path) -> None:
    answers = {("q0", "baseline", 0): "to catch the ball", ("q0", "cotasks", 0): "adult 1 wants toy 2 at 3.00s"}
    folder = write_run(tmp_path / "run", answers)
    judge_run(folder, "f1")
    assert wording.labelled(read_run(folder)) == {("q0", "cotasks", 0): ["adult 1", "toy 2", "3.00s"]}
    scored, warnings = read_scored([folder])
    said = [line for line in summarise(scored, "baseline", warnings, tmp_path)["warnings"] if "numbered names" in line]
    assert len(said) == 1
    assert "1 of 1 answers under cotasks repeat numbered names or times of the notes, such as 'adult 1'" in said[0]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two questions; under `cotasks` one answer is an echo, and answers are longer."""
    answers = {
        ("q0", "baseline", 0): "to catch the ball",
        ("q1", "baseline", 0): "to hide now",
        ("q0", "cotasks", 0): "he did run run run",
        ("q1", "cotasks", 0): "he ran for he wanted to catch the ball",
    }
    return write_run(tmp_path / "run", answers)


def test_echoes_and_lengths_are_counted_by_condition(run: Path) -> None:
    read = read_run(run)
    found = wording.echoes(read)
    assert found == {("q0", "cotasks", 0)}
    assert wording.wording(read, found) == {
        "baseline": {"open_answers": 2, "echoes": 0, "median_words": 3.5},
        "cotasks": {"open_answers": 2, "echoes": 1, "median_words": 7.0},
    }
    assert judge_run(run, "f1").echoes == 1


def test_a_judge_that_takes_an_echo_for_right_is_said(run: Path, tmp_path: Path) -> None:
    judge_run(run, "f1")
    scored, warnings = read_scored([run])
    [one] = scored
    taken = dataclasses.replace(one.verdicts["f1"]["q0", "cotasks", 0], score=100.0, correct=True)
    one.verdicts["f1"]["q0", "cotasks", 0] = taken
    summary = summarise(scored, "baseline", warnings, tmp_path)
    assert summary["echoes"] == [
        {"run": "run", "model": "m", "judge": "f1", "condition": "cotasks", "echoes": 1, "right": 1, "points": 50.0}
    ]
    said = "\n".join(summary["warnings"])
    assert "1 of 2 answers under cotasks only repeat words of the question" in said
    assert (
        "1 of 1 echoes under cotasks are held for right; if all of them scored 0, its mean would be 50.0 lower" in said
    )
    assert "answers have 7 words (median) under cotasks and 3.5 under baseline" in said


def test_multiple_choice_has_neither(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {("q0", "baseline", 0): "A"})
    rows: list[dict[str, Any]] = list(read_jsonl(folder / "questions.jsonl"))
    dump_jsonl(folder / "questions.jsonl", [{**row, "choices": ["x", "y"], "answer_index": 0} for row in rows])
    read = read_run(folder)
    assert wording.echoes(read) == set()
    assert wording.wording(read, set())["baseline"] == {"open_answers": 0, "echoes": 0, "median_words": None}
    judge_run(folder, "exact")
    scored, _ = read_scored([folder])
    assert not [text for text in summarise(scored, "baseline", [], tmp_path)["warnings"] if "words" in text]


# --- the style that is asked for ---


def test_the_style_changes_the_instruction_and_nothing_else() -> None:
    for record in load_records("sample", "validation", limit=8):
        texts = {}
        for style in ANSWER_STYLES:
            condition = with_defaults(parse_condition("cotasks"), None, style)
            size = (record.width or 448, record.height or 448)
            prompt = build_prompt(record, condition, FAMILIES["qwen2_5_vl"], (448, 448), size)
            texts[style] = prompt.messages[0]["content"][-1]["text"]
        if record.choices:
            assert len(set(texts.values())) == 1
        for style in () if record.choices else ANSWER_STYLES:
            assert texts[style] == texts["phrase"].replace(ANSWER_STYLES["phrase"], ANSWER_STYLES[style])
            assert texts[style].endswith(ANSWER_STYLES[style])


def test_the_style_is_a_setting_of_the_run() -> None:
    records = load_records("sample", "validation", limit=1)
    plain, short = (with_defaults(Condition("baseline"), None, style) for style in ("phrase", "short"))
    said = [run_settings(records, [one], None, GREEDY) for one in (plain, short)]
    assert "answer_style" not in said[0]  # a run begun by an older version goes on
    assert "answer_style" not in said[0]["conditions"]["baseline"]
    assert said[1]["answer_style"] == said[1]["conditions"]["baseline"]["answer_style"] == "short"
    assert read_condition(condition_settings(short)) == short
    with pytest.raises(InputError, match="answer style 'long'; expected phrase, short, natural"):
        with_defaults(Condition("baseline"), None, "long")


@pytest.mark.slow
def test_a_run_in_that_style_goes_on_in_it_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    command = ["generate", "sample", "--model", "tiny", "--limit", "1", "--condition", "blind", "--run", str(tmp_path)]
    assert main([*command, "--max-new-tokens", "2", "--answer-style", "short"]) == 0
    assert json.loads((tmp_path / "run.json").read_bytes())["answer_style"] == "short"
    assert main([*command, "--max-new-tokens", "2"]) == 2
    assert "answer_style" in capsys.readouterr().err
