"""Thoughts: switched, kept apart from answers, counted, cut off and flagged; and never shown to a judge."""

from __future__ import annotations

import dataclasses
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cotasks.errors import InputError
from cotasks.generate import backends
from cotasks.generate.run import generate
from cotasks.generate.sampling import Sampling
from cotasks.generate.server.model import ServerOptions
from cotasks.models.families import FAMILIES
from cotasks.models.thinking import LONGEST_THOUGHT, NO_THOUGHT, Thought, read_wanted, split_text
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import load_records
from cotasks.runs.folder import read_generations, read_settings
from cotasks.runs.run import thoughts_of
from cotasks.words.answers import clean
from tests.judge_server import completion
from tests.model_server import ModelServer
from tests.test_judge import write_run
from tests.test_llm_judge import JudgeServer, ask, calls_are_quick

pytest.importorskip("av")

THINK = sorted(name for name, row in FAMILIES.items() if row.thinking is not None)
SAID = "the man in red is what I think of"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


# words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", THINK)
def test_the_reader_of_answers_takes_off_the_tags_of_each_family(family: str) -> None:
    tags = FAMILIES[family].thinking
    assert tags is not None
    for text in (f"{tags.opens}\n{SAID}\n{tags.closes}\n\na dog", f"{SAID}\n{tags.closes}\n\na dog"):
        assert split_text(text, tags) == (SAID, "a dog", True)
        assert clean(text) == "a dog"
    for text in (f"{tags.opens}\n{SAID}",):
        assert split_text(text, tags) == (SAID, "", False)
        assert clean(text) == ""
    assert split_text("a dog", tags) == ("", "a dog", True)
    assert split_text("<think>a dog", None) == ("", "<think>a dog", True)


def test_what_thinking_may_be() -> None:
    assert [read_wanted(text) for text in (None, "on", "off", "128")] == [None, "on", "off", 128]
    for wrong in ("", "ON", "0", "-3", "1.5", "12345678"):
        with pytest.raises(InputError, match="expected on, off, or the tokens"):
            read_wanted(wrong)
    for value in (0, True, "yes"):
        with pytest.raises(InputError, match="thinking"):
            Sampling(thinking=value)


def test_cut_thoughts_are_counted() -> None:
    rows: list[dict[str, Any]] = [{"thought_tokens": 4, "thinking_cut_off": True}, {"thought_tokens": None}, {}]
    assert thoughts_of(rows) == {"thoughts": 2, "cut_thoughts": 1, "mean_thought_tokens": 2.0}
    assert thoughts_of([{}]) == {}


# a model in this process ----------------------------------------------------------------------------------------------


def with_tiny(family: str = "qwen3_5") -> Any:
    """The tiny model as it is loaded."""
    pytest.importorskip("torch")
    from cotasks.models.load import Model
    from tests.tiny_models import limits_of, tiny

    model, processor = tiny(family)
    row = FAMILIES[family]
    end = processor.tokenizer.eos_token_id
    return Model(model, processor, row, limits_of(processor, row), (end,), None, {"name": family})


def test_what_a_chat_template_tells_of_thinking() -> None:
    qwen, glm, instruct = with_tiny(), with_tiny("glm4v"), with_tiny("qwen3_vl")
    off, on = {"enable_thinking": False}, {"enable_thinking": True}
    tags = FAMILIES["qwen3_5"].thinking
    assert qwen.thinking(None).thought == qwen.thinking("off").thought == Thought("off", off, False, tags)
    assert qwen.thinking("on").thought == Thought("on", on, True, tags)
    assert qwen.thinking(9).thought.settings() == {"thinking": {"mode": 9, "longest_thought": 9, "chat_template": on}}
    assert qwen.thinking("on").thought.longest == LONGEST_THOUGHT
    assert not glm.thinking("on").thought.opened  # the model itself writes the tag
    assert instruct.thinking(None).thought == instruct.thinking("off").thought == NO_THOUGHT
    with pytest.raises(InputError, match="its chat template knows no thoughts"):
        instruct.thinking("on")
    with pytest.raises(InputError, match="models of qwen2_vl do not think"):
        with_tiny("qwen2_vl").thinking(9)
    # one that opens a thought whatever it is told, as Qwen3-VL Thinking
    forced = dataclasses.replace(instruct, processor=always_opening(instruct.processor))
    assert forced.thinking(None).thought.mode == "on"
    with pytest.raises(InputError, match="cannot switch thinking off"):
        forced.thinking("off")


def always_opening(processor: Any) -> Any:
    import copy

    other = copy.copy(processor)
    other.chat_template = processor.chat_template.replace(
        "assistant\\n' }}{% endif", "assistant\\n<think>\\n' }}{% endif"
    )
    assert other.chat_template != processor.chat_template
    return other


def spoken(model: Any, said: list[int], longest_answer: int) -> tuple[list[int], bool]:
    """What a row holds, and whether its thought was cut off, where the model itself would say `said`."""
    import torch

    from cotasks.generate.local.thoughts import EndThoughts

    limit = EndThoughts(model, 1, 0, longest_answer)
    tokens: list[int] = []
    wish = iter(said)
    for _ in range(200):
        scores = torch.zeros((1, len(model.processor.tokenizer)))
        scores[0, next(wish, model.end_tokens[0])] = 1.0
        token = int(limit(torch.tensor([tokens], dtype=torch.long), scores)[0].argmax())
        tokens.append(token)
        if token == model.end_tokens[0]:
            break
    return tokens, limit.cut_off[0]


@pytest.mark.parametrize("family", ["qwen3_5", "glm4v"])
def test_a_thought_is_ended_at_its_longest_and_an_answer_at_its_own(family: str) -> None:
    from cotasks.generate.local.thoughts import answer_fields

    model = with_tiny(family)
    tokenizer = model.processor.tokenizer

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    opening = [] if model.thinking("on").thought.opened else ids("\n<think>")
    thought, answer = ids(" the dog is next to the ball"), ids("a dog chases the cat")
    said = [*opening, *thought, *ids("</think>"), *answer]
    draw = random.Random(0)
    for _ in range(30):
        budget, longest = draw.randint(1, 2 * len(thought)), draw.randint(1, 2 * len(answer))
        thinks = model.thinking(budget)
        tokens, cut = spoken(thinks, said, longest)
        row = answer_fields(thinks, tokens, longest, cut)
        assert row["thinking_cut_off"] == cut == (budget < len(thought))
        assert row["thought_tokens"] == min(budget, len(thought))
        assert row["thought"] == tokenizer.decode(thought[:budget]).strip()
        assert row["answer_tokens"] <= longest
        if not cut:
            assert row["answer"] == tokenizer.decode(answer[:longest]).strip()
            assert row["finish_reason"] == ("length" if longest <= len(answer) else "stop")
    # without a budget nothing follows a thought that is cut off
    thinks = dataclasses.replace(model, thought=ShortThought(**vars(model.thinking("on").thought)))
    tokens, cut = spoken(thinks, said, 9)
    row = answer_fields(thinks, tokens, 9, cut)
    assert (row["answer"], row["answer_tokens"], row["finish_reason"], row["thinking_cut_off"]) == (
        "",
        0,
        "length",
        True,
    )
    # a model that is told not to think and does so is found out
    row = answer_fields(model.thinking("off"), [*ids("<think> so"), *ids("</think>"), *answer], 99, False)
    assert (row["thought"], row["answer"]) == ("so", "a dog chases the cat")
    assert "thought" not in answer_fields(model.thinking("off"), answer, 99, False)


class ShortThought(Thought):
    """A thought of three tokens at most."""

    @property
    def longest(self) -> int:
        return 3


@pytest.mark.slow
def test_a_run_keeps_thoughts_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from cotasks.models.load import load_model
    from cotasks.models.tiny import save_tiny
    from tests.test_generate import answers, make_world, run

    world, model = make_world(tmp_path / "world", videos=1, questions=2), tmp_path / "model"
    save_tiny(model, "qwen3_5")
    monkeypatch.setattr(backends, "load_model", cache(load_model))
    for name, size in (("one", 1), ("many", 4)):
        options: dict[str, Any] = {"sampling": Sampling(thinking=5), "max_new_tokens": 4, "model": str(model)}
        assert run(world, tmp_path / name, "baseline", "blind", batch_size=size, **options).complete
    assert answers(tmp_path / "one") == answers(tmp_path / "many")
    for row in read_generations(tmp_path / "many").values():
        assert row["thought_tokens"] == 5
        assert row["thinking_cut_off"]
        assert row["answer_tokens"] <= 4
        assert "</think>" not in row["answer"]
    assert read_settings(tmp_path / "many")["thinking"]["mode"] == 5
    with pytest.raises(InputError, match=r"thinking\.chat_template\.enable_thinking is True|thinking"):
        run(world, tmp_path / "many", "baseline", "blind", max_new_tokens=4, model=str(model))


# a server -------------------------------------------------------------------------------------------------------------


def said_by(message: dict[str, Any], **usage: Any) -> Any:
    body = completion("", model="org/Qwen3.5-Test", usage={"prompt_tokens": 9, "completion_tokens": 12, **usage})
    body["choices"][0]["message"] |= message
    return body


def served(tmp_path: Path, answer: Any, owner: str = "vllm", **sampling: Any) -> tuple[list[Any], list[Any]]:
    """(rows, requests) of a run of blind prompts."""
    from tests.test_server import make_world

    world = make_world(tmp_path / "world", 1, 2)
    name = "org/Qwen3.5-Test"
    probe = completion("Yes.", model=name)
    with ModelServer(lambda *_: answer, probe=probe, models={name: owner}) as server:
        options = ServerOptions(server.url, concurrency=1)
        records = load_records(str(world / "data"))
        conditions = [parse_condition("blind")]
        run = tmp_path / "run"
        generate(records, conditions, name, run, sampling=Sampling(**sampling), server=options, progress=False)
        asked = server.asked
    return list(read_generations(run).values()), asked


def test_a_server_s_thought_stands_apart_from_the_answer(tmp_path: Path) -> None:
    answer = said_by({"content": "a dog", "reasoning_content": SAID}, completion_tokens_details={"reasoning_tokens": 8})
    rows, asked = served(tmp_path, answer, max_new_tokens=16, thinking=8)
    assert len(rows) == 2
    for row in rows:
        assert (row["answer"], row["answer_tokens"]) == ("a dog", 4)
        assert (row["thought"], row["thought_tokens"], row["thinking_cut_off"]) == (SAID, 8, True)
    for body in asked:
        assert body["chat_template_kwargs"] == {"enable_thinking": True}
        assert body["thinking_token_budget"] == 8
        assert body["max_tokens"] == 24


def test_a_server_that_does_not_tell_thoughts_apart(tmp_path: Path) -> None:
    """Without a reasoning parser, the thought that the prompt has opened ends in the text."""
    rows, asked = served(tmp_path, said_by({"content": f"{SAID}\n</think>\n\na dog"}), "llamacpp", thinking="on")
    assert {(row["answer"], row["thought"], row["thinking_cut_off"]) for row in rows} == {("a dog", SAID, False)}
    assert {row["thought_tokens"] for row in rows} == {None}
    assert asked[0]["max_tokens"] == 64 + LONGEST_THOUGHT


def test_thinking_is_off_unless_asked_for(tmp_path: Path) -> None:
    rows, asked = served(tmp_path, said_by({"content": "a dog"}))
    assert all("thought" not in row and row["answer_tokens"] == 12 for row in rows)
    assert asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert asked[0]["max_tokens"] == 64


def test_only_vllm_takes_a_budget(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only vLLM takes thinking 8"):
        served(tmp_path, said_by({"content": "a dog"}), "sglang", thinking=8)


# judges ---------------------------------------------------------------------------------------------------------------


def test_nothing_that_a_model_thinks_reaches_a_judge(tmp_path: Path) -> None:
    """Neither what stands in `thought`, nor tags that were left in an answer."""
    secret = "zebra"
    answers: dict[Any, Any] = {}
    texts = [
        "to play 0",
        f"<think>{secret}</think>to play 1",
        f"{secret}</think>\n\nto play 2",
        f"<|channel>thought\n{secret}\n<channel|>to play 3",
        f"\u25c1think\u25b7{secret}\u25c1/think\u25b7to play 4",
    ]
    for number, text in enumerate(texts):
        answers[f"q{number}", "baseline", 0] = text
    write_run(tmp_path, answers)
    for path in (tmp_path / "generations").iterdir():
        path.write_text(path.read_text().replace('"sample"', f'"thought":"{secret} {secret}","sample"'))
    assert secret in next(iter(read_generations(tmp_path).values()))["thought"]
    with JudgeServer() as server:
        ask(tmp_path, server)
        assert len(server.asked) == len(texts)
        assert {asked["prediction"] for asked in server.asked} == {f"to play {number}" for number in range(5)}
        assert all(secret.encode() not in request.raw + request.body for request in server.requests)
