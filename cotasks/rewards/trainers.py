"""Rewards as trainers call them.

TRL's `GRPOTrainer(reward_funcs=...)` calls `f(prompts, completions, **columns) -> list[float | None]` and logs each
function by its name; ms-swift makes one object of each class in `swift.plugin.orms` and calls it with
`(completions, **columns)`. Both hand over the columns of the data set, of which `id` names the record.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.records.dataset import Records
from cotasks.records.schema import Record
from cotasks.rewards.asked import Asked
from cotasks.rewards.reading import AnswerJudge, Read, read_text
from cotasks.rewards.reward import CHAIN, WEIGHTS, Reward, check_weights, reward_of

KEPT = 4096
"""Texts that stay read, so that several reward functions of one batch read each text once."""

RewardFunction = Callable[..., list[float | None]]


class ById(Mapping[str, Record]):
    """The records of one or several splits by their ids, each read when it is asked for."""

    def __init__(self, *splits: Records) -> None:
        self._at = {id_: (split, place) for split in splits for place, id_ in enumerate(split.ids)}

    def __getitem__(self, record_id: str) -> Record:
        split, place = self._at[record_id]
        return split.at(place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


class Scorer:
    """Reads each text once for all rewards of it.

    Args:
        records: those that the model is trained on, or a mapping from their ids.
        asked: what the prompts ask for.
        judge: of the answers, in place of the rule of `asked`; it is asked about several at once.
        at_once: so many.
    """

    def __init__(
        self,
        records: Iterable[Record] | Mapping[str, Record],
        asked: Asked = CHAIN,
        judge: AnswerJudge | None = None,
        at_once: int = 8,
    ) -> None:
        self.records = records if isinstance(records, Mapping) else {record.id: record for record in records}
        self.asked, self.judge, self.at_once = asked, judge, at_once
        self._read: OrderedDict[tuple[str, str], Read] = OrderedDict()

    def read(self, record_id: str, text: str) -> Read:
        """What a text says of a record. Raises InputError where no record has that id."""
        key = record_id, text
        if key not in self._read:
            if record_id not in self.records:
                raise InputError(f"id {shorten(record_id)}: no such record; expected one of the records given")
            read = read_text(self.records[record_id], text, self.asked, self.judge)
            if len(self._read) >= KEPT:
                self._read.popitem(last=False)
            self._read[key] = read
            return read
        return self._read[key]

    def value(self, record_id: str, text: str, weights: Mapping[str, float] = WEIGHTS) -> float | None:
        """What a text earns in all."""
        return reward_of(self.read(record_id, text), weights).value

    def rewards(self, ids: Sequence[str], completions: Sequence[Any], weights: Mapping[str, float]) -> list[Reward]:
        """Of each completion, a text or the assistant's messages."""
        pairs = [(id_, text_of(completion)) for id_, completion in zip(ids, completions, strict=True)]
        if self.judge is not None:
            with ThreadPoolExecutor(self.at_once) as threads:
                list(threads.map(lambda pair: self.read(*pair), dict.fromkeys(pairs)))
        return [reward_of(self.read(*pair), weights) for pair in pairs]


def text_of(completion: Any) -> str:
    """The text of a completion: itself, or what the assistant says in its messages.

    Raises InputError where it is neither.
    """
    if isinstance(completion, str):
        return completion
    try:
        said = [message["content"] for message in completion if message["role"] == "assistant"]
        parts = [[part] if isinstance(part, str) else [p.get("text") or "" for p in part] for part in said]
        return "\n".join("".join(each) for each in parts)
    except (TypeError, KeyError, AttributeError):
        raise InputError(
            f"completion {shorten(completion)}; expected a text, or messages with role and content"
        ) from None


def trl_rewards(scorer: Scorer, weights: Mapping[str, float] = WEIGHTS) -> tuple[list[RewardFunction], list[float]]:
    """(`reward_funcs`, `reward_weights`) for TRL: one function a reward, each logged by its name.

    TRL leaves out what is None and adds up the rest without dividing by the weights. As None follows from the record,
    the completions of one prompt are compared alike by either sum.
    """
    check_weights(weights)

    def function(name: str) -> RewardFunction:
        def score(prompts: Any, completions: Sequence[Any], id: Sequence[str], **_: Any) -> list[float | None]:
            return [found.value for found in scorer.rewards(id, completions, {name: 1.0})]

        score.__name__ = f"{name}_reward"
        return score

    return [function(name) for name in weights], list(weights.values())


def trl_sum(scorer: Scorer, weights: Mapping[str, float] = WEIGHTS) -> RewardFunction:
    """The weighted sum as one function for TRL; each part's mean is logged as `rewards/PART`, over those measured."""
    check_weights(weights)

    def score(
        prompts: Any,
        completions: Sequence[Any],
        id: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        found = scorer.rewards(id, completions, weights)
        for part in found[0].parts if found and log_metric is not None else ():
            measured = [value for one in found if (value := one.parts[part]) is not None]
            if measured and log_metric is not None:
                log_metric(f"rewards/{part}", fmean(measured))
        return [one.value for one in found]

    score.__name__ = "cotasks_reward"
    return score


def swift_reward(scorer: Scorer, weights: Mapping[str, float] = WEIGHTS) -> type:
    """A class for ms-swift's `orms`, in a file that `--external_plugins` names:

    orms["cotasks"] = swift_reward(Scorer(records))              # the weighted sum
    orms["cotasks_boxes"] = swift_reward(Scorer(records), {"boxes": 1.0})
    """
    check_weights(weights)

    class CoTasksReward:
        """Called by ms-swift with completions and the columns of the data set."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """ms-swift hands its settings over, which do not matter here."""

        def __call__(self, completions: Sequence[Any], *, id: Sequence[str], **_: Any) -> list[float | None]:
            return [found.value for found in scorer.rewards(id, completions, weights)]

    return CoTasksReward
