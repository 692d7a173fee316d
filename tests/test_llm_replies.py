"""Replies of judges that nothing holds to the form: one verdict is read, and never one of two."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.judge.llm.reading import NOT_ASKED, NOT_JSON, TWO_VERDICTS, Reading, Reply, read_completion, read_reading
from cotasks.judge.llm.rubric import CONTRADICTION
from cotasks.judge.scales import DEFAULT_SCALE
from tests.examples import examples
from tests.judge_server import completion

HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>"
GOOD = '{"reason": "r", "match": "yes", "score": 5}'
OTHER = '{"reason": "r", "match": "no", "score": 1}'

WRITTEN: list[tuple[str, int, str]] = [
    # around one object
    (f"Here is my evaluation:\n{GOOD}", 5, "yes"),
    (f"{GOOD}\nHope this helps!", 5, "yes"),
    (f"thought\nthey agree\n{GOOD}", 5, "yes"),
    (f"```json {GOOD} ```", 5, "yes"),
    (f"Sure!\n```json\n{GOOD}\n```\nLet me know.", 5, "yes"),
    (f"they agree {{}}</think>\n\n{GOOD}", 5, "yes"),
    (f"<think>\n{OTHER}?\n</think>\n{GOOD}", 5, "yes"),
    (f"<thinking>score: 2 at first</thinking>{GOOD}", 5, "yes"),
    (f"[THINK]{OTHER}[/THINK]{GOOD}", 5, "yes"),
    (HARMONY.format(OTHER, GOOD), 5, "yes"),
    (f"<|im_start|>assistant\n{GOOD}<|im_end|>", 5, "yes"),
    (f"The match is clear and a score of 4 would be too low.\n{GOOD}", 5, "yes"),
    ('Reply as {"reason": "one short sentence", "match": "yes" or "no", "score": an integer}: ' + GOOD, 5, "yes"),
    # within it
    ('{"reason":"x","match":"yes","score":"5"}', 5, "yes"),
    ('{"reason":"x","match":"Yes","score":5.0}', 5, "yes"),
    ('{"reason":"x","match":"YES.","score":"5.0"}', 5, "yes"),
    ('{"reason":"x","match":"no","score":"2/5"}', 2, "no"),
    ('{"reason":"x","match":"no","score":"2 out of 5"}', 2, "no"),
    ('{"reason":"x","match":false,"score":0}', 0, "no"),
    ('{"Reason":"x","Match":"yes","Score":4}', 4, "yes"),
    ('{"reason":"x","match":"yes","score":5,"confidence":0.9}', 5, "yes"),
    ('{"reason":"x","match":"yes","score":5,}', 5, "yes"),
    ('{"reason":null,"match":"yes","score":5}', 5, "yes"),
    ('{"match":"yes","score":5}', 5, "yes"),
    ('{"reason":"two\nlines","match":"yes","score":5}', 5, "yes"),
    ('{"reason":"a {b} [c] \\"d\\"","match":"yes","score":5}', 5, "yes"),
    ('{"reason":"says "same" twice","match":"yes","score":5}', 5, "yes"),
    ("{'reason': \"it's the same\", 'match': 'yes', 'score': 5}", 5, "yes"),
    ("{'reason': 'x', 'match': True, 'score': 5,}", 5, "yes"),
    ('{reason: "x", match: yes, score: 5}', 5, "yes"),
    ("{“reason”: “x”, “match”: “yes”, “score”: 5}", 5, "yes"),
    ('{"reason": "x", "match": "yes", "score": 5', 5, "yes"),
    ('{"verdict": {"match": "yes", "score": 5}}', 5, "yes"),
    (f"[{GOOD}]", 5, "yes"),
    # lines
    ("Reason: same\nMatch: yes\nScore: 5", 5, "yes"),
    ("Match: Yes\nScore: 4.0\nReason: a detail is missing", 4, "yes"),
    ("**Reason:** other\n**Match:** no\n**Score:** 1/5", 1, "no"),
    ("- match: no\n- score: 2", 2, "no"),
    ("1. Reason: x\n2. Match: yes\n3. Score: 5", 5, "yes"),
    ("reason: same, match: yes, score: 5", 5, "yes"),
    ("match=yes; score=5", 5, "yes"),
    ("Match: yes | Score: 5", 5, "yes"),
    ("Match: yes. Score: 5.", 5, "yes"),
    ("match: yes score: 5", 5, "yes"),
    ("Score (0-5): 3\nMatch (yes/no): no", 3, "no"),
    ("<reason>x</reason><match>yes</match><score>5</score>", 5, "yes"),
    ('"reason": "x",\n"match": "yes",\n"score": 5', 5, "yes"),
    ("They mean the same.\n\nMatch: yes\nFinal score: 5", 5, "yes"),
    ("match：yes\nscore：5", 5, "yes"),
]  # fmt: skip

UNREAD: list[tuple[str, str]] = [
    (f"{GOOD}\n{OTHER}", TWO_VERDICTS),
    (f"Example: {OTHER}\nMine: {GOOD}", TWO_VERDICTS),
    (f"Score: 2\n{GOOD}", TWO_VERDICTS),
    (f"match: no\n\n{GOOD}", TWO_VERDICTS),
    (f"{GOOD}\nWait, the score should be 2.", TWO_VERDICTS),
    (f"{GOOD}\nActually, score: 3", TWO_VERDICTS),
    (f'{GOOD} {{"match": "maybe"}}', TWO_VERDICTS),
    ('{"a": {"match": "yes", "score": 5}, "b": {"match": "no", "score": 0}}', TWO_VERDICTS),
    ('{"match": "yes", "score": 5, "final_score": 2}', TWO_VERDICTS),
    ('{"match": "yes", "score": 5, "correct": false}', TWO_VERDICTS),
    ("Match: yes\nScore: 5\nMatch: no\nScore: 5", TWO_VERDICTS),
    ("Reason: it claims score: 5\nMatch: no\nScore: 0", TWO_VERDICTS),
    ('{"reason": "r", "match": "no", "score": 5}', CONTRADICTION),
    ('{"reason": "r", "match": "yes", "score": 0}', CONTRADICTION),
    ("match: no, score: 5", CONTRADICTION),
    (f"Here: {GOOD.replace('yes', 'No')}", CONTRADICTION),
    ('{"match": "no", "score": 2, "Score": 3}', NOT_JSON),
    ('{"match": "yes", "score": "4/10"}', NOT_ASKED),
    ('{"match": "yes", "score": "high"}', NOT_ASKED),
    ('{"match": "yes", "score": 4.5}', NOT_ASKED),
    ('{"match": "partly", "score": 3}', NOT_ASKED),
    ('{"match": "yes"}', NOT_ASKED),
    ("{}", NOT_ASKED),
    ("Match: yes\nScore: 7", NOT_ASKED),
    ("Match: yes\nScore: 4.5", NOT_ASKED),
    ("Match: yes or no\nScore: 5", NOT_JSON),
    ("Match: yes/no\nScore: 0-5", NOT_JSON),
    ("Match: yes\nScore: 4/10", NOT_JSON),
    ("Match: yes\nScore: 80%", NOT_JSON),
    ("Match: yes", NOT_JSON),
    ("I would give it a 5, as it matches.", NOT_JSON),
    (f"<think>{GOOD}", NOT_JSON),
    (f"{GOOD}<think>or is it", NOT_JSON),
    ("yes 5", NOT_JSON),
]  # fmt: skip


@pytest.mark.parametrize(("text", "score", "match"), WRITTEN)
def test_one_verdict_is_read(text: str, score: int, match: str) -> None:
    reading = read_reading(text)
    assert isinstance(reading, Reading), reading
    assert (reading.score, reading.match) == (score, match)


@pytest.mark.parametrize(("text", "reason"), UNREAD)
def test_what_is_not_one_verdict_says_why(text: str, reason: str) -> None:
    assert read_reading(text) == reason


def test_the_reason_is_kept() -> None:
    for text in (
        "Reason: both run\nMatch: yes\nScore: 5",
        "reason: both run, match: yes, score: 5",
        "**Explanation**: both run\nmatch: yes\nscore: 5",
    ):
        reading = read_reading(text)
        assert isinstance(reading, Reading)
        assert reading.reason == "both run"


def test_lines_of_a_reply_that_was_cut_off_are_no_verdict() -> None:
    """What was to come may have been anything: a quotation ends where the reply does."""
    for text in ("Reason: it says\nmatch: yes, score: 5", '{"match": "yes", "score": 5'):
        reply = read_completion(completion(text, finish_reason="length"))
        assert isinstance(reply, Reply)
        assert (reply.rating, reply.reason) == (None, "the judge's reply was cut off at its longest")
    reply = read_completion(completion(f"{GOOD}\n\nLet me expl", finish_reason="length"))
    assert isinstance(reply, Reply)
    assert reply.rating == 5


# Whatever is wrapped around it, and however it is written

_plain = st.text(st.characters(codec="utf-8", exclude_characters="{}[]<>◁:=：|"), max_size=60).filter(
    lambda text: not any(word in text.lower() for word in ("score", "match", "reason", "explanation"))
)
_reasons = st.text(max_size=40).filter(lambda text: "</" not in text and "<" not in text and "[" not in text)


@st.composite
def verdicts(draw: st.DrawFn) -> tuple[int, str, str]:
    score, match = draw(st.integers(0, 5)), draw(st.sampled_from(["yes", "no"]))
    return score, match, draw(_reasons)


@st.composite
def objects(draw: st.DrawFn, score: int, match: str, reason: str) -> str:
    """An object that gives a verdict, as a model may write it."""
    word = draw(st.sampled_from([match, match.title(), match.upper(), f"{match}.", match == "yes"]))
    number = draw(st.sampled_from([score, float(score), str(score), f"{score}.0", f"{score}/5"]))
    names = draw(st.sampled_from([("reason", "match", "score"), ("Reason", "Match", "Score")]))
    fields = dict(zip(names, (reason, word, number), strict=True))
    order = draw(st.permutations(list(fields)))
    text = json.dumps({name: fields[name] for name in order}, ensure_ascii=draw(st.booleans()))
    form = draw(st.sampled_from(["json", "comma", "indent", "python"]))
    if form == "python":
        return repr({name: fields[name] for name in order})
    if form == "indent":
        return json.dumps({name: fields[name] for name in order}, indent=2)
    return text[:-1] + ",}" if form == "comma" else text


@st.composite
def replies(draw: st.DrawFn, verdict: tuple[int, str, str]) -> str:
    text = draw(objects(*verdict))
    fence = draw(st.sampled_from(["{}", "```json\n{}\n```", "```{}```", "`{}`", "[{}]", "<answer>{}</answer>"]))
    thought = draw(st.sampled_from(["", "<think>{}</think>", "{}</think>\n", "thought\n{}\n"])).replace(
        "{}", draw(_plain)
    )
    return thought + draw(_plain) + fence.replace("{}", text) + draw(_plain)


@examples(300)
@given(st.data())
def test_a_verdict_is_read_as_it_was_written(data: st.DataObject) -> None:
    score, match, reason = data.draw(verdicts())
    text = data.draw(replies((score, match, reason)))
    reading = read_reading(text)
    if DEFAULT_SCALE.contradicts(match == "yes", score):
        assert reading == CONTRADICTION
    else:
        assert isinstance(reading, Reading), reading
        assert (reading.score, reading.match) == (score, match)


@examples(300)
@given(st.data())
def test_of_two_verdicts_none_is_read(data: st.DataObject) -> None:
    """As two objects, or an object and lines, or two sets of lines; in either order."""
    one, other = data.draw(verdicts()), data.draw(verdicts())
    if one[:2] == other[:2]:
        return
    texts = []
    for score, match, reason in (one, other):
        lines = f"\nMatch: {match}\nScore: {score}\n"
        texts.append(data.draw(st.one_of(objects(score, match, reason), st.just(lines))))
    assert isinstance(read_reading("\n".join(texts)), str)


@examples(200)
@given(st.text(max_size=200) | st.text(alphabet="{}[]\"':,=matchscoreyn 0125.\n<>/|", max_size=200), verdicts())
def test_no_text_breaks_the_reader_or_makes_up_a_verdict(noise: str, verdict: tuple[int, str, str]) -> None:
    score, match, _ = verdict
    for text in (noise, f"{noise}{json.dumps({'reason': '', 'match': match, 'score': score})}"):
        reading = read_reading(text)
        if isinstance(reading, Reading):
            assert str(reading.score) in text
            assert reading.match in text.lower() or str(reading.match == "yes").lower() in text.lower()


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        '{"a":',
        "[",
        "match ",
        "match: yes ",
        ".,",
        "(-",
        "score: 5 ",
        "<think>",
        "<|channel|>final ",
        "{'a':",
        "\\",
    ],
)
def test_long_nonsense_is_read_in_a_moment(piece: str) -> None:
    began = time.process_time()
    read_reading(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("usage", [10**30, 2**64, 2**63, -1, 1.5, 1e300, True, "5", [5], {"a": 1}])
def test_usage_that_no_call_can_have_is_none(usage: Any) -> None:
    payload = completion(GOOD, usage={"prompt_tokens": usage, "completion_tokens": usage})
    for body in (payload, json.dumps(payload).encode()):
        reply = read_completion(body)
        assert isinstance(reply, Reply)
        assert (reply.rating, reply.prompt_tokens, reply.completion_tokens) == (5, None, None)
    assert read_completion(completion(GOOD, usage={"prompt_tokens": 500.0})).prompt_tokens == 500  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("field", "value"), list(itertools.product(["finish_reason", "refusal"], [[], {}, 7, [["x"]]]))
)
def test_odd_values_of_a_completion_do_no_harm(field: str, value: Any) -> None:
    reply = read_completion(completion(GOOD, **{field: value}))
    assert isinstance(reply, Reply)
    assert reply.rating in (5, None)
