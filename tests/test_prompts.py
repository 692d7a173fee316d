"""Prompts: golden texts, and conditions that differ where they may and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

import cotasks
from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import Condition, parse_condition
from cotasks.prompts.prompt import build_prompt, question_text
from cotasks.records.schema import Record
from tests.examples import examples
from tests.strategies import records

GOLDEN = Path(__file__).parent / "golden" / "prompts"
QWEN, LLAVA = FAMILIES["qwen2_5_vl"], FAMILIES["llava_onevision"]


def text_of(messages: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "<video>\n") for message in messages for part in message["content"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("baseline", Condition("baseline")),
        ("blind", Condition("blind", video=False)),
        ("cotasks", Condition("cotasks", steps=(1, 2, 3, 4))),
        ("cotasks-34", Condition("cotasks-34", steps=(3, 4))),
        ("blind-cotasks", Condition("blind-cotasks", steps=(1, 2, 3, 4), video=False)),
        (
            "blind-cotasks-2:frames=16,boxes=4,tokens=900",
            Condition(
                "blind-cotasks-2:frames=16,boxes=4,tokens=900",
                steps=(2,),
                video=False,
                num_frames=16,
                boxes_per_entity=4,
                context_tokens=900,
            ),
        ),
    ],
)
def test_conditions_are_read(text: str, expected: Condition) -> None:
    assert parse_condition(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cot",
        "baseline-12",
        "cotasks-",
        "cotasks-5",
        "cotasks-21",
        "cotasks-11",
        "blind-baseline",
        "-cotasks",
        "cotasks:",
        "cotasks:frames",
        "cotasks:frames=0",
        "cotasks:frame=4",
        "cotasks:boxes=1,boxes=2",
    ],
)
def test_other_conditions_are_refused_with_what_is_known(text: str) -> None:
    with pytest.raises(InputError, match=r"known: baseline|expected"):
        parse_condition(text)


@examples(60)
@given(record=records(), family=st.sampled_from([QWEN, LLAVA]))
def test_conditions_differ_in_the_context_and_the_video_only(record: Record, family: Any) -> None:
    assert record.width is not None
    assert record.height is not None
    source = (record.width, record.height)
    names = ("baseline", "blind", "cotasks", "blind-cotasks", "cotasks-12", "cotasks-34", "cotasks-3:boxes=1")
    prompts = {n: build_prompt(record, parse_condition(n), family, (336, 168), source) for n in names}
    plain = question_text(record)
    for name, prompt in prompts.items():
        video = "" if name.startswith("blind") else "<video>\n"
        context = f"{prompt.context}\n\n" if prompt.context else ""
        assert text_of(prompt.messages) == video + context + plain
        assert bool(prompt.context) == ("cotasks" in name)
        assert prompt.frames == (() if name.startswith("blind") else record.frames)
    assert prompts["cotasks"].context == prompts["blind-cotasks"].context


@examples(60)
@given(record=records(), budget=st.integers(1, 400))
def test_a_budget_cuts_whole_lines_from_the_end(record: Record, budget: int) -> None:
    assert record.width is not None
    assert record.height is not None
    count = len  # characters stand in for tokens
    args = (QWEN, (336, 168), (record.width, record.height))
    whole = build_prompt(record, parse_condition("cotasks"), *args, count_tokens=count)
    cut = build_prompt(record, parse_condition(f"cotasks:tokens={budget}"), *args, count_tokens=count)
    assert count(cut.context) <= budget
    whole_lines, kept = whole.context.splitlines(), cut.context.splitlines()
    assert kept == whole_lines[: len(kept)]
    titles = sum(line.startswith("Step ") for line in whole_lines) + 1
    items = len(whole_lines) - titles
    kept_items = len(kept) - sum(line.startswith("Step ") for line in kept) - bool(kept)
    assert cut.cut_items == items - kept_items
    if len(whole.context) <= budget:
        assert cut.cut_items == 0


def test_a_budget_without_a_tokenizer_is_an_error() -> None:
    record = Record.from_row(next(iter(load_dataset("cotasks", split="train"))))
    with pytest.raises(InputError, match="token"):
        build_prompt(record, parse_condition("cotasks:tokens=50"), QWEN, (56, 56), (128, 96))


def test_fewer_frames_rebuild_the_steps_on_them() -> None:
    rows = load_dataset("cotasks", split="train")
    for row in rows:
        record = Record.from_row(row)
        prompt = build_prompt(record, parse_condition("cotasks:frames=4"), LLAVA, (384, 384), (128, 96))
        assert len(prompt.frames) == 4
        assert set(prompt.frames) <= set(record.frames)
        assert "Frames are numbered 1 to 4" in prompt.context


def test_more_frames_than_the_grid_is_an_error_that_says_how_to_build() -> None:
    record = Record.from_row(load_dataset("cotasks", split="train", num_frames=8)[0])
    with pytest.raises(InputError, match="build with --num-frames 9"):
        build_prompt(record, parse_condition("baseline:frames=9"), QWEN, (56, 56), (128, 96))


def golden_cases() -> list[tuple[str, str, str]]:
    """(question type, condition, family) of each golden file."""
    cases = [("CW", c, "qwen2_5_vl") for c in ("baseline", "cotasks", "blind-cotasks", "cotasks-12", "cotasks-34")]
    cases += [("CW", f"cotasks-{step}", "qwen2_5_vl") for step in "1234"]
    return [*cases, ("Interaction", "cotasks", "qwen3_vl"), ("TN", "cotasks", "llava_onevision")]


@pytest.mark.parametrize(("question_type", "condition", "family"), golden_cases())
def test_golden_prompts(question_type: str, condition: str, family: str, request: pytest.FixtureRequest) -> None:
    """To accept a change: `pytest tests/test_prompts.py --update-golden`, and read the diff."""
    rows = load_dataset("cotasks", split="validation", num_frames=16)
    row = next(r for r in rows if r["question_type"] == question_type)
    record = Record.from_row(row)
    assert record.width is not None
    assert record.height is not None
    size = (record.width * 2, record.height * 2)
    prompt = build_prompt(record, parse_condition(condition), FAMILIES[family], size, (record.width, record.height))
    text = text_of(prompt.messages) + "\n"
    path = GOLDEN / f"{question_type}-{condition}-{family}.txt"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_multiple_choice_asks_for_the_letter() -> None:
    rows = load_dataset("cotasks", split="train")
    for row in rows:
        text = question_text(Record.from_row(row))
        assert ("letter" in text) == bool(row["choices"])
        for letter, choice in zip("ABCDE", row["choices"], strict=False):
            assert f"\n{letter}. {choice}\n" in text


def test_import_is_light() -> None:
    import subprocess
    import sys

    script = (
        "import sys, cotasks\n"
        "heavy = {'torch', 'transformers', 'decord', 'av', 'openai', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(cotasks.__file__).parents[1])
