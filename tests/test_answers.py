"""Normal form, unreadable answers, and the option that an answer names."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path
from string import ascii_uppercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.words.answers import (
    REFUSALS,
    Choice,
    clean,
    is_blank,
    is_refusal,
    is_unreadable,
    normalise,
    open_answer,
    read_choice,
)

CHOICES = ["share with the girl", "approach lady", "unwrap it", "playing with toy train", "a dog"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Walk   AWAY. ", "walk away"),
        ("the boy's ball", "boy s ball"),
        ("baby s mouth", "baby s mouth"),
        ("boy \u2019 s cute behavior", "boy s cute behavior"),
        ("hi-five", "hi five"),
        ("a", "a"),
        ("the", "the"),
        ("A dog and an apple", "dog and apple"),
        ("2", "two"),
        ("2 dogs", "two dogs"),
        ("20", "twenty"),
        ("21", "21"),
        ("3.5", "3.5"),
        ("yes", "yes"),
        ("No.", "no"),
        ("None", "none"),
        ("nothing", "nothing"),
        ("nan", "nan"),
        ("what\uff1f", "what"),
        ("\uff12", "two"),
        ("STRASSE", "strasse"),
        ("stra\u00dfe", "strasse"),
        ("\ufb01sh", "fish"),
        ("Caf\u00e9", "cafe\u0301"),
        ("...", ""),
        ("", ""),
        ("\u72ac", "\u72ac"),
        ("**two**", "two"),
        ("in_front_of", "in front of"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == normalise(expected)
    if expected.isascii() or expected == "\u72ac":
        assert normalise(text) == expected


@given(st.text())
def test_normalise_is_idempotent_and_folded(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_case_and_outer_punctuation_do_not_matter(text: str) -> None:
    assert normalise(f'"{text.upper()}!" ') == normalise(text)


def test_different_counts_stay_different() -> None:
    numbers = [normalise(str(n)) for n in range(30)]
    assert len(set(numbers)) == 30
    assert normalise("no") != normalise("none") != normalise("nothing")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<think>maybe two</think>\n\nthree<|im_end|>", "three"),
        ("maybe two</think>three", "three"),
        ("<think>maybe two", ""),
        ("<answer>two</answer>", "two"),
        ("<answer>two</answer> no, <answer>three</answer>", "three"),
        ("walk away</s>", "walk away"),
        ("a < b and b > c", "a < b and b > c"),
    ],
)
def test_clean(answer: str, expected: str) -> None:
    assert clean(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Answer: two", "two"),
        ("The answer is two.", "two"),
        ("The final answer is: walk away", "walk away"),
        ("Answer:", "answer"),
        ("answering the phone", "answering phone"),
        ("the answer isn't known", "answer isn t known"),
    ],
)
def test_open_answer_drops_its_label(answer: str, expected: str) -> None:
    assert open_answer(answer) == expected


@pytest.mark.parametrize(
    "answer", ["", " \n", "...", "?!", "<|im_end|>", "</s>", "\ufffd\ufffd", "<think>so", "\u200b"]
)
def test_blank(answer: str) -> None:
    assert is_blank(answer)
    assert is_unreadable(answer)


@pytest.mark.parametrize(
    "answer", [*REFUSALS, "I'm sorry, but I can't help.", "I cannot determine that", "As an AI model,"]
)
def test_refusal(answer: str) -> None:
    assert is_refusal(answer)
    assert is_unreadable(answer)
    assert not is_blank(answer)


@pytest.mark.parametrize(
    "answer",
    ["no", "none", "nothing", "0", "a", "cannot walk", "can not walk", "unable to balance",
     "not enough chairs", "unclear", "as an identification", "sorry", "I", "\u72ac"],
)  # fmt: skip
def test_readable(answer: str) -> None:
    assert not is_unreadable(answer)


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_no_real_reference_is_unreadable_and_every_real_option_is_read(realdata: Path, every: int) -> None:
    for path in (realdata / "nextqa" / "oe").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = islice(csv.DictReader(file), 0, None, every)
            assert [row["answer"] for row in rows if is_unreadable(row["answer"])] == []
    with (realdata / "nextqa" / "mc" / "val.csv").open(encoding="utf-8", newline="") as file:
        for row in islice(csv.DictReader(file), 0, None, every):
            options = [row[f"a{i}"] for i in range(5)]
            for index, option in enumerate(options):
                read = read_choice(option, options)
                assert read.index is not None, option
                assert normalise(options[read.index]) == normalise(option)
                assert read_choice(f"{ascii_uppercase[index]}. {option}", options) == Choice(index, "letter"), option


STYLES = [
    "{0}",
    "({0})",
    "[{0}]",
    "{0}.",
    "{0})",
    "{0}:",
    " {0} \n",
    "**{0}**",
    "**{0}.**",
    "'{0}'",
    '"{0}"',
    "`{0}`",
    "({0}).",
    "Option {0}",
    "option ({0})",
    "Answer: {0}",
    "answer: ({0})",
    "Answer: **{0}**",
    "**Answer:** {0}",
    "The answer is {0}",
    "The answer is {0}.",
    "The correct answer is: {0}",
    "The answer is ({0}) because he runs.",
    "Final answer: {0}",
    "The answer is {0} because he runs.",
    "The answer is option {0}.",
    "The correct option is {0}.",
    "I choose {0}.",
    "{0} is correct.",
    "{0} is the right answer",
    '{{"answer": "{0}"}}',
    '```json\n{{"answer": "{0}", "why": "he runs"}}\n```',
    "\\boxed{{{0}}}",
    "So $\\boxed{{\\text{{{0}}}}}$",
    "<answer>{0}</answer>",
    "<think>A or B?</think>{0}<|im_end|>",
    "He runs.\nAnswer: {0}",
    "He runs, so I think ({0}) fits.",
    "{0}. {1}",
    "({0}) {1}",
    "{0}) {1}",
    "{0}: {1}",
    "{0} - {1}",
    "{0} {1}",
    "{0}.{1}",
    "**{0}. {1}**",
    "Answer: {0}. {1}",
    "The answer is {0}. {1}",
    "{1} ({0})",
    "{0}\n{1}",
    "{0}. {1}\n\nHe runs, so the others are wrong.",
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("index", range(5))
def test_a_letter_in_any_style(style: str, index: int) -> None:
    answer = style.format(ascii_uppercase[index], CHOICES[index])
    assert read_choice(answer, CHOICES) == Choice(index, "letter"), answer


@pytest.mark.parametrize(
    "style", ["{0}", "({0})", "{0}.", "{0})", "Option {0}", "Answer: {0}", "The answer is {0}.", "{0}. {1}"]
)
@given(st.integers(0, 25), st.integers(2, 26), st.booleans())
def test_letters_up_to_z_in_either_case(style: str, index: int, count: int, upper: bool) -> None:
    texts = [f"thing number {100 + i}" for i in range(count)]
    letter = ascii_uppercase[index] if upper else ascii_uppercase[index].lower()
    read = read_choice(style.format(letter, texts[min(index, count - 1)]), texts)
    if index < count:
        assert read == Choice(index, "letter")
    else:
        assert read.how != "letter"


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("unwrap it", 2),
        ("Unwrap it!", 2),
        ("The answer is unwrap it.", 2),
        ("The boy wants to unwrap it.", 2),
        ("The boy is playing with a toy train.", 3),
        ("dog", 4),
        ("A dog runs", 4),
        ("It is not a dog, he is playing with toy train", 3),
        ("It isn't a dog. Unwrap it", 2),
        ('{"answer": "unwrap it"}', 2),
    ],
)
def test_an_option_by_text(answer: str, index: int) -> None:
    assert read_choice(answer, CHOICES) == Choice(index, "text")


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        ("A or B", "ambiguous"),
        ("B and C", "ambiguous"),
        ("A, B, C", "ambiguous"),
        ("(A) or (B)", "ambiguous"),
        ("The answer is A or B", "ambiguous"),
        ("The answer is A. No, the answer is B.", "ambiguous"),
        ("A. share with the girl\nB. approach lady\nC. unwrap it", "ambiguous"),
        ("B. unwrap it", "ambiguous"),
        ("unwrap it (B)", "ambiguous"),
        ("unwrap it or approach lady", "ambiguous"),
        ("", "blank"),
        ("...", "blank"),
        ("I cannot tell if he is playing with toy train", "refusal"),
        ("Z", "none"),
        ("A cat runs", "none"),
        ("a boy runs", "none"),
        ("The answer is a boy", "none"),
        ("e.g. the boy", "none"),
        ("A.M. or P.M.", "none"),
        ("I think he runs", "none"),
        ("not unwrap it", "none"),
        ("boy's B-movie", "none"),
    ],
)
def test_no_single_option(answer: str, how: str) -> None:
    assert read_choice(answer, CHOICES) == Choice(None, how)  # type: ignore[arg-type]


def test_a_declared_letter_counts_above_those_in_the_reasons() -> None:
    answer = "A. is wrong, he does not share.\nB. is wrong too.\nThe answer is C."
    assert read_choice(answer, CHOICES) == Choice(2, "letter")


def test_options_that_are_letters() -> None:
    """NExT-QA asks for a letter on a wall: the options are letters themselves."""
    options = ["h", "b", "g", "p", "f"]
    assert read_choice("f", options) == Choice(4, "text")  # there is no option F
    assert read_choice("B", options) == Choice(1, "letter")
    assert read_choice("A", ["b", "a"]) == Choice(0, "letter")  # the letter, as the prompt asks


def test_a_label_that_reads_like_an_article() -> None:
    assert read_choice("A. dog", ["cat", "dog"]) == Choice(None, "ambiguous")
    assert read_choice("A. dog", ["cat", "a dog"]) == Choice(None, "ambiguous")
    assert read_choice("A dog", ["cat", "dog"]) == Choice(1, "text")
    assert read_choice("A. dog", ["dog", "cat"]) == Choice(0, "letter")
    assert read_choice("Vitamin (C).", ["vitamin (C)", "salt", "sugar"]) == Choice(0, "text")


def test_duplicate_option_texts() -> None:
    options = ["scarf", "cap", "scarf."]
    assert read_choice("Scarf", options) == Choice(0, "text")
    assert read_choice("C", options) == Choice(2, "letter")
    assert read_choice("C. scarf", options) == Choice(2, "letter")
    assert read_choice("A and C", options) == Choice(0, "letter")  # two letters, one text
    assert read_choice("cap or scarf", options) == Choice(None, "ambiguous")


def test_an_option_inside_another() -> None:
    options = ["dog", "brown dog", "two"]
    assert read_choice("I see the brown dog there", options) == Choice(1, "text")
    assert read_choice("I see the dog there", options) == Choice(0, "text")
    assert read_choice("a dog and a brown dog", options) == Choice(None, "ambiguous")
    assert read_choice("I count 2 of them", options) == Choice(2, "text")


WORDS = (
    "A_boy A_dog a I an the An The boy girl dog is was as at be see eats and or but because on B-side C3PO D's E's "
    "e.g. i.e. x-ray it's b/w he she they walks. runs, then; (see) (b) [d] \u00e9t\u00e9 \u72ac c'est"
)


@given(st.lists(st.sampled_from(WORDS.split()), min_size=2, max_size=12))
def test_prose_yields_no_letter(words: list[str]) -> None:
    """Articles, pronouns, abbreviations and lower-case letters in brackets name no option."""
    bracketed = {"(b)", "[d]"}
    if words[0] in bracketed:  # a bracketed letter at the head of a line is a label
        return
    if words[-1] in bracketed and {word.lower() for word in words[:-1]} <= {"the", "is"}:  # "is the (b)" names it
        return
    choices = ["first thing", "second thing", "third thing", "fourth thing", "fifth thing"]
    assert read_choice(" ".join(words).replace("_", " "), choices) == Choice(None, "none")


@given(st.text(), st.lists(st.text(), min_size=1, max_size=26))
def test_any_text_is_read_without_an_error(answer: str, choices: list[str]) -> None:
    read = read_choice(answer, choices)
    assert (read.index is None) == (read.how in ("ambiguous", "refusal", "blank", "none"))
    assert read.index is None or 0 <= read.index < len(choices)
    assert read == read_choice(answer, choices)
