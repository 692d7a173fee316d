"""Pairs of sampled texts, ranked by their rewards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.records.dataset import load_records
from cotasks.rewards import Asked, Scorer
from cotasks.training.examples import examples_of, instructions
from cotasks.training.export import write_llama_factory, write_messages, write_ms_swift, write_trl
from cotasks.training.preferences import MARGIN, preferences, ranked_pairs, sampled_texts


def examples(count: int, tasks: tuple[str, ...] = ("baseline",)) -> tuple[list[Any], list[dict[str, Any]]]:
    records = list(load_records("sample", "validation", limit=count))
    rows = [row for record in records for row in examples_of(instructions(record, tasks, family="qwen3_vl"))]
    return records, rows


@pytest.mark.parametrize(
    ("rewards", "most", "pairs"),
    [
        ([0.2, 0.9, 0.5, 0.1], 1, [(1, 3)]),
        ([0.2, 0.9, 0.5, 0.1], 5, [(1, 3), (2, 0)]),
        ([0.5, 0.5, 0.5, 0.5], 1, []),
        ([0.5, None, 0.3, None], 1, [(0, 2)]),
        ([0.5, 0.45, 0.41, 0.42], 1, []),
        ([0.0, 0.0, 1.0, 1.0], 2, [(2, 1), (3, 0)]),
    ],
)
def test_best_with_worst(rewards: list[float | None], most: int, pairs: list[tuple[int, int]]) -> None:
    assert ranked_pairs(list("abcd"), rewards, most=most) == pairs


def test_a_text_counts_once() -> None:
    assert ranked_pairs(["a", "a", "b"], [1.0, 1.0, 0.0], most=5) == [(0, 2)]
    assert ranked_pairs(["a"], [1.0]) == ranked_pairs([], []) == []


@given(st.lists(st.tuples(st.text("ab", max_size=3), st.none() | st.floats(0, 1)), max_size=12), st.integers(1, 5))
def test_pairs_of_anything(sampled: list[tuple[str, float | None]], most: int) -> None:
    texts, rewards = [text for text, _ in sampled], [value for _, value in sampled]
    pairs = ranked_pairs(texts, rewards, most=most)
    assert len(pairs) <= most
    used = [place for pair in pairs for place in pair]
    assert len({texts[place] for place in used}) == len(used)
    for better, worse in pairs:
        assert (rewards[better] or 0) - (rewards[worse] or 0) >= MARGIN
    values = {texts[i]: value for i, value in reversed([*enumerate(rewards)]) if value is not None}
    if pairs:
        first = {text: rewards[texts.index(text)] for text in texts}
        known = [value for value in first.values() if value is not None]
        assert rewards[pairs[0][0]] == max(known)
        assert rewards[pairs[0][1]] == min(known)
        assert values


def test_ranked_by_the_rewards(tmp_path: Path) -> None:
    records, rows = examples(3)
    scorer = Scorer(records, Asked(()))
    texts = {record.id: ["I do not know", record.answer, "a pear", record.answer] for record in records}
    made = list(preferences(rows, texts, scorer.value))
    assert [row["id"] for row in made] == [record.id for record in records]
    for row, record, example in zip(made, records, rows, strict=True):
        assert row["messages"][0] == example["messages"][0]
        assert row["messages"][1]["content"] == [{"type": "text", "text": record.answer}]
        assert row["rejected"] in ("I do not know", "a pear")
        assert row["chosen_reward"] > row["rejected_reward"] + MARGIN
    # as trainers read them
    videos = load_records("sample", "validation", limit=1).video_folder()
    assert videos is not None
    assert write_ms_swift(made, tmp_path / "swift.jsonl", videos) == len(made)
    assert write_trl(made, tmp_path / "trl.jsonl", videos, frames=tmp_path / "frames") == len(made)
    swift, trl = ([json.loads(line) for line in (tmp_path / f"{n}.jsonl").open()] for n in ("swift", "trl"))
    for line, pair, row in zip(swift, trl, made, strict=True):
        assert line["rejected_response"] == row["rejected"]
        assert [turn["role"] for turn in line["messages"]] == ["user", "assistant"]
        assert pair["chosen"] == [{"role": "assistant", "content": row["messages"][1]["content"]}]
        assert pair["rejected"][0]["content"][0]["text"] == row["rejected"]
        images = [part for part in pair["prompt"][0]["content"] if part["type"] == "image"]
        assert len(images) == len(pair["images"]) == len(row["frames"])
        assert "messages" not in pair
    for write in (write_messages, lambda rows, path, videos: write_llama_factory(rows, path.parent, "x", videos)):
        with pytest.raises(InputError, match="a pair of texts; expected an example of one answer"):
            write(made, tmp_path / "other.jsonl", videos)


def test_bad_input() -> None:
    _, rows = examples(1, ("chain",))
    with pytest.raises(InputError, match="chain has several turns; expected one question, one answer"):
        list(preferences(rows, {}, lambda record_id, text: 0.0))
    with pytest.raises(InputError, match="margin 0, 1 pairs"):
        list(preferences([], {}, lambda record_id, text: 0.0, margin=0))
    with pytest.raises(InputError, match="condition 'blind': no answers of it; the run has baseline"):
        sampled_texts({("a", "baseline", 0): {"answer": "x"}}, "blind")


@pytest.mark.slow
def test_what_a_model_was_sampled_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from cotasks.generate import Sampling, generate
    from cotasks.prompts.condition import parse_condition
    from cotasks.runs.folder import read_generations

    records = load_records("sample", "validation", limit=6)
    sampling = Sampling(temperature=1.0, num_samples=6, max_new_tokens=8)
    generate(records, [parse_condition("baseline")], "toy", tmp_path / "run", sampling=sampling, progress=False)
    texts = sampled_texts(read_generations(tmp_path / "run"), "baseline")
    assert {len(each) for each in texts.values()} == {6}
    _, rows = examples(6)
    scorer = Scorer(records, Asked(()))
    made = list(preferences(rows, texts, scorer.value, most=2))
    assert made
    for row in made:
        chosen = row["messages"][1]["content"][0]["text"]
        assert {chosen, row["rejected"]} <= set(texts[row["id"]])
        assert scorer.value(row["id"], chosen) == row["chosen_reward"]
        values = [value for text in texts[row["id"]] if (value := scorer.value(row["id"], text)) is not None]
        assert min(values) <= row["rejected_reward"] < row["chosen_reward"] <= max(values)
