"""The scales of rubrics: what is asked, what is read, and which score it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.judge.judges import rule_of, verdicts_of
from cotasks.judge.llm.reading import NOT_ASKED, NOT_JSON, TWO_VERDICTS, Reading, read_reading
from cotasks.judge.llm.rubric import CONTRADICTION, load_rubric, parse_rubric, reply_schema, shipped_rubrics
from cotasks.judge.llm.settings import llm_judge, read_llm_judge
from cotasks.judge.scales import YES_NO, Scale, parse_scale
from cotasks.runs.run import read_run
from cotasks.tools.files import dump_json, read_json
from tests.judge_server import JudgeServer, completion
from tests.test_judge import write_run
from tests.test_llm_judge import ask, calls_are_quick, rows_of

HUNDRED = parse_scale("0-100", "x")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


def rubric_file(folder: Path, scale: str) -> Path:
    path = folder / "own.txt"
    path.write_text(f"name: own\nversion: 7\nscale: {scale}\n\nGrade them.\n")
    return path


def test_verdicts_under_the_shipped_rubric_stay_valid() -> None:
    judge = llm_judge("openai:gpt-4.1", load_rubric(), "https://api.openai.com/v1")
    asked = {"question": "why did the boy run", "answer": "to catch the ball", "additional_answers": ["to get it"]}
    asked |= {"category": "causal", "choices": [], "question_type": "CW"}
    # as version 0.1.0, which knew no scales, wrote it
    key = "b6a457cc3796ebe1461032828b2c8483735e51253e92802834fd9647e7f2d794"
    assert judge.keys("He ran to catch a ball.", asked) == [key]
    assert judge.rule == "answer-match 1, a6fea3c8"


@pytest.mark.parametrize(
    ("text", "lowest", "highest", "rates"),
    [("0-5", 0, 5, True), ("0 - 100", 0, 100, True), ("1\u201310", 1, 10, True), ("Yes/No", 0, 1, False)],
)
def test_scales_are_read(text: str, lowest: int, highest: int, rates: bool) -> None:
    scale = parse_scale(text, "x")
    assert (scale.lowest, scale.highest, scale.rates) == (lowest, highest, rates)
    assert (scale.score(lowest), scale.score(highest)) == (0.0, 100.0)


@pytest.mark.parametrize("text", ["5-0", "3-3", "0-101", "0-4.5", "good/bad", "", "-1-5"])
def test_other_scales_are_named(text: str) -> None:
    with pytest.raises(InputError, match=r"f\.txt: scale .*expected 0-5, 0-100"):
        parse_scale(text, "f.txt")


def test_every_shipped_rubric_has_its_name_and_form() -> None:
    rubrics = shipped_rubrics()
    assert set(rubrics) == {"answer-match", "usual-form"}
    for name, rubric in rubrics.items():
        assert load_rubric(name) == rubric
        assert "an integer from 0 to 5" in rubric.system


def test_a_file_may_not_take_the_name_of_a_shipped_rubric(tmp_path: Path) -> None:
    rubric = load_rubric()
    path = tmp_path / "r.txt"
    path.write_text(f"name: {rubric.name}\nversion: {rubric.version}\nscale: 0-100\n\n{rubric.text}\n")
    with pytest.raises(InputError, match="is the shipped rubric's"):
        load_rubric(path)


@settings(deadline=None)  # the patterns of a scale are compiled once
@given(
    lowest=st.integers(0, 20),
    span=st.integers(1, 80),
    data=st.data(),
    write=st.sampled_from(
        [
            lambda m, r, h: json.dumps({"reason": "x", "match": m, "score": r}),
            lambda m, r, h: json.dumps({"pred": m, "score": r}),
            lambda m, r, h: json.dumps({"match": m, "score": f"{r}/{h}"}),
            lambda m, r, h: f"Match: {m}\nScore: {r}",
            lambda m, r, h: f"Match: {m}\nScore: {r}/{h}",
            lambda m, r, h: f"Score: {r} out of {h}\nMatch: {m}\n",
        ]
    ),
)
def test_a_reply_is_read_on_its_scale(
    lowest: int, span: int, data: st.DataObject, write: Callable[[str, int, int], str]
) -> None:
    scale = Scale("own", lowest, lowest + span)
    rating, match = data.draw(st.integers(0, 110)), data.draw(st.sampled_from(["yes", "no"]))
    found = read_reading(write(match, rating, scale.highest), scale=scale)
    if not scale.holds(rating):
        assert found == NOT_ASKED
    elif scale.contradicts(match == "yes", rating):
        assert found == CONTRADICTION
    else:
        assert isinstance(found, Reading)
        assert (found.match, found.score) == (match, rating)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"reason": "a", "match": "yes"}', 1),
        ('{"match": "No", "score": 5}', 0),  # a score that nobody asked for says nothing
        ("{'pred': 'yes'}", 1),
        ("Match: no", 0),
        ('{"match": "yes"} Match: no', TWO_VERDICTS),
        ('{"match": "maybe"}', NOT_ASKED),
        ("Score: 5", NOT_JSON),
        ("It is right.", NOT_JSON),
    ],
)
def test_a_yes_or_no_alone(text: str, expected: int | str) -> None:
    found = read_reading(text, scale=YES_NO)
    assert (found.score if isinstance(found, Reading) else found) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"match": "yes", "score": "80%"}', 80),
        ('{"match": "yes", "score": "80 / 100"}', 80),
        ("Match: yes\nScore: 80%", 80),
        ('{"match": "yes", "score": 5}\nScore: 90', TWO_VERDICTS),
        ('{"match": "yes", "score": "4/5"}', NOT_ASKED),
    ],
)
def test_a_hundred_points(text: str, expected: int | str) -> None:
    found = read_reading(text, scale=HUNDRED)
    assert (found.score if isinstance(found, Reading) else found) == expected


@pytest.mark.parametrize(
    ("scale", "reply", "score", "correct"),
    [
        ("0-100", {"reason": "a", "match": "yes", "score": 85}, 85.0, True),
        ("1-5", {"reason": "a", "match": "no", "score": 2}, 25.0, False),
        ("yes/no", {"reason": "a", "match": "yes"}, 100.0, True),
        ("yes/no", {"reason": "a", "match": "no"}, 0.0, False),
    ],
)
def test_a_run_is_judged_on_a_scale(
    tmp_path: Path, scale: str, reply: dict[str, Any], score: float, correct: bool
) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "to run away"})
    with JudgeServer(lambda *_: completion(json.dumps(reply))) as server:
        ask(folder, server, rubric=rubric_file(tmp_path, scale))
        (request,) = server.completions
    name = "openai:m#own"
    verdict = verdicts_of(read_run(folder), name)["q0", "baseline", 0]
    assert (verdict.score, verdict.correct) == (score, correct)
    (row,) = rows_of(folder, name)
    assert row["scale"] == scale
    assert request["response_format"]["json_schema"]["schema"] == reply_schema(parse_scale(scale, "x"))
    assert rule_of(folder, name).endswith(f", {scale}")  # type: ignore[union-attr]
    assert read_llm_judge(folder, name).rubric.scale.name == scale


def test_settings_of_a_version_without_scales_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {("q0", "baseline", 0): "to run away"})
    with JudgeServer() as server:
        assert ask(folder, server).calls == 1
        path = folder / "verdicts" / "openai-m.json"
        settings = read_json(path)
        del settings["rubric"]["scale"]
        dump_json(path, settings)
        assert ask(folder, server).calls == 0
    assert verdicts_of(read_run(folder), "openai:m")["q0", "baseline", 0].score == 20.0


def test_a_rubric_without_a_scale_has_the_usual_one() -> None:
    assert parse_rubric("name: a\nversion: 1\n\nGrade.", "x").scale.name == "0-5"
