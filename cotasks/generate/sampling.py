"""Greedy decoding, or sampling that gives each answer its own stream of random numbers.

A sampled answer depends on the seed and on its key (record, condition, number of the sample) alone: not on its batch,
on how many processes there are, or on whether the run was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotasks.errors import InputError
from cotasks.models.thinking import Wanted, good_thinking
from cotasks.runs.folder import Key


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen, whatever the checkpoint's generation_config.json says.

    Raises InputError for a value outside its range, and for several answers a prompt without sampling, which would be
    equal.
    """

    num_samples: int = 1
    """Answers a prompt."""
    temperature: float = 0.0
    """0 for greedy decoding; else the logits are divided by it."""
    top_p: float = 1.0
    """Sample from the fewest tokens whose probabilities sum to this."""
    top_k: int = 0
    """Sample from that many tokens at most; 0 for all."""
    seed: int = 0
    max_new_tokens: int = 64
    """Longest answer, in tokens."""
    thinking: Wanted = None
    """`on`, `off`, or the tokens of the longest thought before an answer; see `cotasks.models.thinking`."""

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("num_samples", self.num_samples >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature < float("inf"), "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0 and no more than 1"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("thinking", good_thinking(self.thinking), "on, off, or the tokens of the longest thought"),
        ):
            if not good:
                raise InputError(f"{name} {getattr(self, name)}; expected {expected}")
        if self.num_samples > 1 and not self.temperature:
            raise InputError(f"{self.num_samples} samples a prompt at temperature 0 would be equal; give a temperature")
        if not self.temperature and (self.top_p != 1 or self.top_k):
            raise InputError(f"top_p {self.top_p}, top_k {self.top_k} at temperature 0; give a temperature")

    def settings(self) -> dict[str, Any]:
        """What `run.json` says of it, beside the longest answer."""
        settings = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "num_samples": self.num_samples}
        if self.temperature:
            chosen = {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k, "seed": self.seed}
            settings |= {"do_sample": True, **chosen}
        return settings

    def logits_processors(self, keys: Sequence[Key], longest: int | None = None) -> list[Any]:
        """Logits processors of transformers for a batch with these keys and outputs of `longest` tokens at most; by
        default of `max_new_tokens`."""
        return [_Draw(self, keys, longest or self.max_new_tokens)] if self.temperature else []


GREEDY = Sampling()


def uniform(seed: int, key: Key, count: int) -> NDArray[np.float64]:
    """Numbers (count,) in [0, 1) that belong to one answer."""
    number = int.from_bytes(_digest(seed, key)[:16], "big")
    return np.random.Generator(np.random.Philox(key=number)).random(count)


def request_seed(seed: int, key: Key) -> int:
    """A seed that belongs to one answer, of 31 bits as every server takes it."""
    return int.from_bytes(_digest(seed, key)[:4], "big") >> 1


def _digest(seed: int, key: Key) -> bytes:
    return hashlib.sha256("\0".join(map(str, (seed, *key))).encode()).digest()


class _Draw:
    """Leaves one token a row, drawn by the row's own number of this step: greedy decoding then takes it."""

    def __init__(self, sampling: Sampling, keys: Sequence[Key], longest: int) -> None:
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        self.step = 0
        self.numbers = np.stack([uniform(sampling.seed, key, longest) for key in keys])
        self.warp = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
        if sampling.top_k:
            self.warp.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self.warp.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores` (rows, vocabulary) with all but the drawn token of each row at minus infinity."""
        import torch

        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        reached = self.warp(input_ids, scores).softmax(dim=-1).to(wide).cumsum(dim=-1)
        number = torch.as_tensor(self.numbers[:, self.step, None], dtype=wide, device=scores.device)
        self.step += 1
        drawn = (reached <= number * reached[:, -1:]).sum(dim=-1, keepdim=True)
        drawn = torch.minimum(drawn, reached.argmax(dim=-1, keepdim=True))  # should the product round up to the total
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
