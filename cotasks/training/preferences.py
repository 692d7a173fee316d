"""Pairs to prefer one text by over another (DPO): of the texts that a model was sampled for, ranked by a reward.

    texts = sampled_texts(read_generations(run), "baseline")         # of `cotasks generate --samples 8`
    scorer = Scorer(records, Asked(()))                              # cotasks.rewards
    rows = preferences(examples, texts, scorer.value)

`examples` are those of `cotasks.instructions` for the prompts that were sampled. A row is the example with the better
text as its last turn, and beside it

    rejected            the worse text
    chosen_reward, rejected_reward

`cotasks.training.export` writes such rows: for ms-swift (`rejected_response`), and for TRL's DPOTrainer (prompt,
chosen, rejected).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cotasks.errors import InputError

MARGIN = 0.1
"""By how much a reward must exceed another."""

Row = dict[str, Any]


def sampled_texts(
    generations: Mapping[tuple[str, str, int], Mapping[str, Any]], condition: str
) -> dict[str, list[str]]:
    """{record id: its texts under a condition, by sample}, of what `cotasks.runs.folder.read_generations` gives.

    Raises InputError where no text is of that condition.
    """
    texts: dict[str, list[str]] = {}
    for (record_id, name, _), row in sorted(generations.items()):
        if name == condition:
            texts.setdefault(record_id, []).append(row["answer"])
    if not texts:
        known = ", ".join(sorted({name for _, name, _ in generations})) or "none"
        raise InputError(f"condition {condition!r}: no answers of it; the run has {known}")
    return texts


def ranked_pairs(
    texts: Sequence[str], rewards: Sequence[float | None], *, margin: float = MARGIN, most: int = 1
) -> list[tuple[int, int]]:
    """(better, worse) as positions of `texts`: the best with the worst, the second best with the second worst, and so
    on, as long as their rewards differ by `margin`.

    Each text counts once, however often it was sampled; of equal rewards, the earlier text comes first. What cannot be
    measured is in no pair.
    """
    first = {text: place for place, text in reversed([*enumerate(texts)])}
    known = [(-value, place) for place, (text, value) in enumerate(zip(texts, rewards, strict=True))
             if value is not None and first[text] == place]  # fmt: skip
    order = [place for _, place in sorted(known)]
    values = dict(enumerate(rewards))
    pairs = zip(order[: len(order) // 2], reversed(order), strict=False)
    return [(a, b) for a, b in pairs if (values[a] or 0.0) - (values[b] or 0.0) >= margin][:most]


def preferences(
    examples: Iterable[Mapping[str, Any]],
    texts: Mapping[str, Sequence[str]],
    reward: Callable[[str, str], float | None],
    *,
    margin: float = MARGIN,
    most: int = 1,
) -> Iterator[Row]:
    """Pairs of the texts sampled for each example; none of an example whose texts all earn alike.

    Args:
        examples: of `cotasks.instructions`, one a record, with one question and one answer.
        texts: record id -> the texts sampled for its example.
        reward: (record id, text) -> what it earns; None where that cannot be measured.
        margin: least difference of rewards, above 0.
        most: pairs of one example, at most.

    Raises InputError for a margin or a number that is none, and an example of several turns.
    """
    if margin <= 0 or most < 1:
        raise InputError(f"margin {margin}, {most} pairs; expected a margin above 0, and 1 pair or more")
    for example in examples:
        if len(example["messages"]) != 2:
            raise InputError(f"{example['id']}: {example['task']} has several turns; expected one question, one answer")
        said = texts.get(example["id"], [])
        earned = [reward(example["id"], text) for text in said]
        for better, worse in ranked_pairs(said, earned, margin=margin, most=most):
            chosen = {"role": "assistant", "content": [{"type": "text", "text": said[better]}]}
            yield {
                **example,
                "messages": [example["messages"][0], chosen],
                "cuts": [],
                "rejected": said[worse],
                "chosen_reward": earned[better],
                "rejected_reward": earned[worse],
            }
