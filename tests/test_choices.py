"""The option that a free answer names: a corpus with a person's readings, and properties of the grammar."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from string import ascii_uppercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.words.answers import Choice, read_choice

DATA = Path(__file__).parent / "data"
OPTIONS: dict[str, list[str]] = json.loads((DATA / "choice_options.json").read_text(encoding="utf-8"))
CORPUS = [json.loads(line) for line in (DATA / "choices.jsonl").read_text(encoding="utf-8").splitlines()]
CHOICES = ["share with the girl", "approach lady", "unwrap it", "playing with toy train", "a dog"]


def letter(choice: Choice) -> str | None:
    return None if choice.index is None else ascii_uppercase[choice.index]


def outcome(row: dict[str, str]) -> str:
    """`right`; `unread`: no option where a person reads one; `misread`: another option than a person, or any where a
    person reads none."""
    found = letter(read_choice(row["answer"], OPTIONS[row["question"]]))
    return "right" if found == row["reading"] else "unread" if found is None else "misread"


# -- the corpus


def test_the_corpus_is_read_as_a_person_reads_it() -> None:
    outcomes = [(outcome(row), row) for row in CORPUS]
    assert [row["answer"] for found, row in outcomes if found == "misread"] == []
    readable = [found for found, row in outcomes if row["reading"]]
    assert len(CORPUS) >= 500
    assert readable.count("right") >= 0.95 * len(readable)


def test_the_table_beside_the_corpus_is_true() -> None:
    """`choices.md` holds the figures of this reader and of published extractors; ours are measured here."""
    counts = Counter(outcome(row) for row in CORPUS)
    table = (DATA / "choices.md").read_text(encoding="utf-8")
    ours = re.search(r"^\| this reader \| (\d+) \| (\d+) \| (\d+) \|$", table, re.MULTILINE)
    assert ours is not None
    assert [counts[name] for name in ("right", "unread", "misread")] == [int(number) for number in ours.groups()]
    assert f"{len(CORPUS)} texts" in table
    rows = re.findall(r"^\| [a-zA-Z][^|]* \| (\d+) \| (\d+) \| (\d+) \|$", table, re.MULTILINE)
    assert len(rows) >= 4
    assert [sum(map(int, row)) for row in rows] == [len(CORPUS)] * len(rows)
    batches = Counter(row["batch"] for row in CORPUS)
    for batch in sorted(batches)[1:]:
        assert f"| {batch} | {batches[batch]} |" in table


def test_the_corpus_is_one_of_different_texts() -> None:
    assert len({(row["question"], row["answer"]) for row in CORPUS}) == len(CORPUS)
    for row in CORPUS:
        assert row["reading"] is None or ascii_uppercase.index(row["reading"]) < len(OPTIONS[row["question"]])


def test_the_cases_are_read(cases: Path) -> None:
    rows = [json.loads(line) for line in (cases / "01_choices.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 25
    for row in rows:
        assert letter(read_choice(row["answer"], row["choices"])) == row["expected"], row["answer"]


# -- what a letter's surroundings say of it

DECLARED = [
    "The answer should be {0}.",
    "It's {0}.",
    "{0} because he runs.",
    "So {0}.",
    "I'd go with {0}.",
    "{0}\n\nExplanation: he runs.",
    "\\boxed{{\\textbf{{{0}}}}}",
    "{{'final_answer': '{0}'}}",
    "答案是{0}",
    "La respuesta es {0}",
    "\u2460 \u2192 {0}",
    "{0} fits best.",
    "This leaves {0}.",
]
BUT = [
    "Not option {1}. {0}.",
    "I would not choose {1}. I would say {0}.",
    "It could be option {1}. But he sits down, so {0}.",
    "At first glance the answer is {1}. However, he runs, so the answer is {0}.",
    "The answer is {0}. I ruled out option {1} because he runs.",
    "The answer is {0}, rather than option {1}.",
    "The answer is {0}, not {1}.",
    "{0} instead of {1}.",
    "Some might choose {1}. My answer is {0}.",
    "If he had stayed, the answer would be {1}. The answer is {0}.",
    "Is it {1}? No. It's {0}.",
    "Answer: {1}\nWait, that is wrong, for he runs away in the end.\nAnswer: {0}",
    "{1} is wrong. {0} is right.",
    "不是{1}，而是{0}。",
    "No es la {1}, es la {0}.",
    "{0}\n\nQuestion: what is this\nA. park\nB. room\nAnswer: {1}",
    "{0}\n\nHuman: and then?\nAssistant: {1}",
    "{0}<|im_end|>\n<|im_start|>assistant\n{1}",
    "<think>It is {1}.</think>{0}",
]
SILENT = [
    "Not {0}.",
    "Is it {0}?",
    "If he ran, it would be {0}.",
    "One might choose {0}.",
    "{0} or {1}",
    "The answer is {0} or {1}.",
    "Both {0} and {1} are correct.",
    "The answer is {0}. The answer is {1}.",
    "{0}\n{1}",
    "{0}\n\nTherefore, the answer is {1}.",
    "The options are {0} and {1}.",
    "He throws it from player {0} to player {1}.",
]
INDEX = st.integers(0, 4)


def filled(text: str, *indices: int) -> str:
    return text.format(*(ascii_uppercase[index] for index in indices))


@pytest.mark.parametrize("text", DECLARED)
def test_a_declared_letter(text: str) -> None:
    for index in range(5):
        assert read_choice(filled(text, index), CHOICES) == Choice(index, "letter"), index


@pytest.mark.parametrize("text", BUT)
@given(INDEX, INDEX)
def test_the_letter_that_is_meant_is_read_whichever_it_is(text: str, meant: int, other: int) -> None:
    if meant != other:
        assert read_choice(filled(text, meant, other), CHOICES) == Choice(meant, "letter")


@pytest.mark.parametrize("text", SILENT)
@given(INDEX, INDEX)
def test_nothing_is_guessed(text: str, one: int, other: int) -> None:
    if one != other:
        assert read_choice(filled(text, one, other), CHOICES).index is None


@given(st.lists(INDEX, min_size=1, max_size=4, unique=True))
def test_where_all_but_one_are_ruled_out_that_one_is_meant(wrong: list[int]) -> None:
    read = read_choice(" ".join(f"Option {ascii_uppercase[index]} is wrong." for index in wrong), CHOICES)
    left = set(range(5)) - set(wrong)
    assert read.index == (left.pop() if len(left) == 1 else None)


@given(st.lists(INDEX, min_size=2, max_size=5, unique=True), st.sampled_from([". ", ") ", ": ", " - "]), INDEX)
def test_a_list_of_options_declares_none_of_them(listed: list[int], mark: str, meant: int) -> None:
    lines = [f"{ascii_uppercase[index]}{mark}{CHOICES[index]}" for index in sorted(listed)]
    assert read_choice("\n".join(lines), CHOICES) == Choice(None, "ambiguous")
    declared = "\n".join(["Let's go through them:", *lines, "", f"The answer is {ascii_uppercase[meant]}."])
    assert read_choice(declared, CHOICES) == Choice(meant, "letter")


@given(
    INDEX, st.sampled_from(["no", "incorrect", "\u274c"]), st.sampled_from(["yes", "correct", "this is what happens"])
)
def test_a_list_that_calls_all_wrong_but_one_declares_it(meant: int, wrong: str, right: str) -> None:
    lines = [f"{ascii_uppercase[i]}. {text}: {right if i == meant else wrong}" for i, text in enumerate(CHOICES)]
    assert read_choice("\n".join(lines), CHOICES).index == meant


@given(INDEX, INDEX, st.sampled_from(["{0}. {1}", "({0}) {1}", "The answer is {0}. {1}", "{1} ({0})", "{0}: {1}"]))
def test_a_letter_with_the_text_of_another_option_is_ambiguous(one: int, other: int, text: str) -> None:
    read = read_choice(text.format(ascii_uppercase[one], CHOICES[other]), CHOICES)
    assert read.index == (one if one == other else None)


WRAPPED = [
    "{}",
    " {}\n",
    "**{}**",
    "> {}",
    "- {}",
    "```\n{}\n```",
    "<b>{}</b>",
    "<answer>{}</answer>",
    "<think>A, or B? (C) is wrong.</think>{}",
    "<thinking>So D.</thinking>\n\n{}",
    "{}</s>",
    "{}<|eot_id|>",
    "{}\n\nUser: why?",
    "### Answer\n{}",
    "Assistant: {}",
]


@pytest.mark.parametrize("wrapping", WRAPPED)
@given(
    st.sampled_from(["{0}", "{0}.", "({0})", "The answer is {0}.", "{0}. {1}", "{1}", "It's {0}.", "Not sure"]), INDEX
)
def test_packaging_changes_nothing(wrapping: str, text: str, index: int) -> None:
    answer = text.format(ascii_uppercase[index], CHOICES[index])
    assert read_choice(wrapping.format(answer), CHOICES) == read_choice(answer, CHOICES)


@given(st.sampled_from([row for row in CORPUS if row["reading"]]), st.sampled_from(["\n\nHuman: why?", "<|im_end|>B"]))
def test_no_text_is_read_past_its_end(row: dict[str, str], goes_on: str) -> None:
    options = OPTIONS[row["question"]]
    assert read_choice(row["answer"] + goes_on, options).index == read_choice(row["answer"], options).index


def test_a_letter_that_is_no_option_is_none() -> None:
    assert read_choice("Answer: F", CHOICES) == Choice(None, "none")
    assert read_choice("unwrap it is not there. Answer: F", CHOICES).index is None


def test_an_answer_that_was_cut_off_names_nothing() -> None:
    assert read_choice("He could share with the girl. The best option is:", CHOICES) == Choice(None, "none")
    assert read_choice('{"reason": "he unwraps it, as in C", "ans', CHOICES).index is None


@pytest.mark.parametrize(
    "unit",
    [
        "the answer is ",
        "A ",
        "A or ",
        "A (",
        "(",
        "<think>",
        "```",
        "\\boxed{",
        "B. x\n",
        "<a>",
        "<a href",
        "\n",
        "1",
        "'",
    ],
)
def test_a_long_repetition_takes_no_long_time(unit: str) -> None:
    began = time.process_time()
    read_choice(unit * (30_000 // len(unit)), CHOICES)
    assert time.process_time() - began < 10
