"""Open-ended answers without their packaging, and answers that say that they do not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.judge.rules import judge_answer
from cotasks.words.answers import is_refusal, normalise, open_answer, open_answers, read_choice
from cotasks.words.packaging import clean, own_turn, unformatted, unlabelled


def asked(reference: str) -> dict[str, Any]:
    return {
        "question": "what is he doing",
        "category": "descriptive",
        "question_type": "DO",
        "answer": reference,
        "additional_answers": [],
        "choices": [],
        "answer_index": -1,
    }


@pytest.mark.parametrize(
    "answer",
    ["Answer: skiing.", "**skiing**", "The answer is skiing", "```\nskiing\n```",
     '```json\n{"answer": "skiing"}\n```',
     "<thinking>hm</thinking>skiing", "\\boxed{skiing}", "$\\boxed{\\text{skiing}}$", "### Answer\nskiing",
     "### Final Answer\n**Skiing**", '{"answer": "skiing"}', "{'answer': 'skiing'}", '{"answer": ["skiing"]}',
     "A: skiing",
     "skiing\nQuestion: what is next", "skiing<|im_end|>", "skiing\n\nHuman: what", "It's skiing.", "They are skiing.",
     "The man is on the snow, so the answer is skiing.", "skiing\n\nExplanation: he is on the snow.", "skiing (skiing)",
     "The answer to the question is: skiing", "Step 1: snow.\nAnswer: skiing", "答案：skiing", "La respuesta es skiing",
     "skiing\n\nThe man is on the snow.", "<answer>skiing</answer> "],
)  # fmt: skip
def test_an_open_answer_in_any_packaging(answer: str) -> None:
    assert "skiing" in open_answers(answer)
    assert judge_answer("exact", answer, asked("skiing")).correct
    assert not judge_answer("exact", answer, asked("walking")).correct
    assert open_answer(answer) == open_answers(answer)[0]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes, the baby is old enough.", "yes"),
        ("No. He walks.", "no"),
        ("Yes", "yes"),
        ("No, yes", None),
        ("Yes and no", None),
        ("Yes, not really", None),
        ("No, I cannot tell", None),
        ("no one", None),
        ("no dogs", None),
    ],
)
def test_the_yes_or_no_that_an_answer_begins_with(answer: str, expected: str | None) -> None:
    assert {"yes", "no"} & set(open_answers(answer)) == ({expected} if expected else set())


@given(st.text())
def test_the_forms_of_an_open_answer_are_in_normal_form(answer: str) -> None:
    forms = open_answers(answer)
    assert forms[0] == open_answer(answer)
    assert [normalise(form) for form in forms] == list(forms)
    assert len(set(forms)) == len(forms)


@given(st.text(alphabet="aB .:\n*#{}\"'\\\\<>/|()[]", max_size=60))
def test_packaging_comes_off_any_text_without_an_error(text: str) -> None:
    for answer in (text, f"<answer>{text}", f"\\boxed{{{text}", f'{{"answer": "{text}', f"<think>{text}</think>{text}"):
        assert isinstance(unformatted(clean(answer)) + unlabelled(answer), str)
        assert own_turn(answer) in own_turn(answer, whole=True)


def test_the_cases_of_open_answers(cases: Path) -> None:
    rows = [json.loads(line) for line in (cases / "09_open_answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 8
    for row in rows:
        assert judge_answer("exact", row["answer"], asked(row["reference"])).correct == row["expected"], row["answer"]


@pytest.mark.parametrize(
    "answer",
    ["It's unclear", "It is unclear what he does.", "Not mentioned", "Not mentioned.", "N/A", "n/a", "Unknown",
     "Answer: N/A",
     "Based on the video, it is unclear.", "**Not mentioned**", '{"answer": "N/A"}', "Cannot tell",
     "The answer is unknown",
     "无法确定。", "わかりません", "No se puede determinar.",
     "I'm not sure", "The video does not show this."],
)  # fmt: skip
def test_an_answer_that_says_that_it_does_not_know(answer: str) -> None:
    assert is_refusal(answer)
    assert read_choice(answer, ["share", "walk", "run"]).index is None


@pytest.mark.parametrize("judge", ["exact", "f1"])
def test_a_refusal_scores_nothing_and_is_flagged(judge: str) -> None:
    verdict = judge_answer(judge, "It's unclear from the video.", asked("skiing"))
    assert (verdict.score, verdict.unreadable, verdict.reason) == (0, True, "refusal")
    assert judge_answer(judge, "Not mentioned", asked("not mentioned")).score == 100
