"""Which prompts go to the model together: as many as a number of tokens holds, with little padding."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cotasks.errors import InputError
from cotasks.generate.local.encode import Encoded
from cotasks.generate.local.vision import Reuse
from cotasks.models.load import Model

CPU_TOKENS = 16_384
"""Capacity, in tokens, where the device does not say how much memory it has."""
MEMORY_SHARE = 0.5
"""Part of the free memory of a device that the tokens of a batch are meant to fill."""
LENGTH_RATIO = 1.5
"""Prompts of one batch differ in length by less than this factor, but for the last batches of a run."""


MOST_WORKERS = 4
"""Most threads that decode videos, unless told."""


@dataclass(frozen=True)
class Batching:
    """How many prompts a model in this process gets at once, and what is worked out once for several of them.

    Raises InputError for a number below 1.
    """

    batch_size: int = 64
    """Most prompts at once."""
    batch_tokens: int | None = None
    """Most tokens at once, those of videos, answers and padding included; by default what the free memory of the
    device suggests. Lowered for good where that does not suffice."""
    vision_reuse: bool = True
    """Run the vision tower once a clip, not once a prompt; the answers are the same."""
    prefix_reuse: bool = True
    """Run the language model over system text and video once a clip, not once a prompt; the answers are the same but
    for what floating point makes of another batch size."""
    workers: int | None = None
    """Threads that decode videos ahead, for a server too; by default what the processors suggest, 4 at most."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "batch_tokens", "workers"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise InputError(f"{name} {number}; expected 1 or more")

    def threads(self, processes: int) -> int:
        """How many threads decode videos in each of so many processes on this machine."""
        return self.workers or max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // processes))


DEFAULT_BATCHING = Batching()


@dataclass
class Capacity:
    """The most that goes to the model at once. It shrinks for good where the device's memory does not suffice."""

    tokens: int
    """Rows times columns, the answers and the padding included."""
    rows: int
    """Prompts."""
    max_new_tokens: int

    def cost(self, rows: Sequence[Encoded], reuse: Reuse) -> int:
        """Tokens that a batch of these rows takes."""
        if reuse.prefix:
            longest = max(row.prefix for row in rows) + max(row.tokens - row.prefix for row in rows)
        else:
            longest = max(row.tokens for row in rows)
        return len(rows) * (longest + self.max_new_tokens)

    def holds(self, rows: Sequence[Encoded], reuse: Reuse) -> bool:
        """Whether these rows may go together; a single one always may."""
        return len(rows) <= 1 or (len(rows) <= self.rows and self.cost(rows, reuse) <= self.tokens)

    def halve(self, rows: Sequence[Encoded], reuse: Reuse) -> None:
        """Lower the tokens: these rows were too many."""
        self.tokens = min(self.tokens, self.cost(rows, reuse) // 2)


def default_tokens(model: Model) -> int:
    """Tokens that a half-free device should hold: keys and values, and what one layer needs while it works."""
    import torch

    devices = {weight.device for weight in model.model.parameters()}
    if any(device.type != "cuda" for device in devices):
        return CPU_TOKENS
    text = model.model.config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    numbers = 2 * text.num_hidden_layers * heads * size + 12 * text.hidden_size + 3 * text.intermediate_size
    free = sum(torch.cuda.mem_get_info(device)[0] for device in devices)
    return max(int(MEMORY_SHARE * free / (numbers * model.model.dtype.itemsize)), 1)


class Window:
    """Prompts that wait for company of their like: with a video or without, and of about the same length."""

    def __init__(self, model: Model, capacity: Capacity, reuse: Reuse) -> None:
        self.capacity, self.reuse = capacity, reuse
        # families of fixed frame size stack the clips of a batch, unless the vision tower has seen them one by one
        self._stacked = model.family.limits.fixed is not None and not reuse.vision
        self._lanes: dict[tuple[bool, int, int], list[Encoded]] = {}

    def add(self, rows: Sequence[Encoded]) -> None:
        """Let prompts wait."""
        for row in rows:
            frames = len(row.item.clip.indices) if self._stacked and row.item.clip is not None else 0
            length = int(math.log(row.tokens, LENGTH_RATIO))
            self._lanes.setdefault((row.video is not None, frames, length), []).append(row)

    def batches(self, last: bool = False) -> Iterator[list[Encoded]]:
        """Batches that are full; where `last`, all that is left, whatever its length."""
        if last:
            left: dict[tuple[bool, int, int], list[Encoded]] = {}
            for (shown, frames, _), lane in self._lanes.items():
                left.setdefault((shown, frames, 0), []).extend(lane)
            self._lanes = left
        for lane in self._lanes.values():
            lane.sort(key=lambda row: row.tokens)
            while lane:
                count = 1
                while count < len(lane) and self.capacity.holds(lane[: count + 1], self.reuse):
                    count += 1
                if count == len(lane) < self.capacity.rows and not last:
                    break
                batch = lane[:count]
                del lane[:count]
                yield batch
