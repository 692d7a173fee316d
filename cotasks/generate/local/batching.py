"""Which prompts go to the model together: as many as a budget of tokens holds, with little padding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cotasks.generate.local.encode import Encoded
from cotasks.generate.local.vision import Reuse
from cotasks.models.load import Model

CPU_TOKENS = 16_384
"""Budget where the device does not say how much memory it has."""
MEMORY_SHARE = 0.5
"""Part of the free memory of a device that the budget is meant to fill."""


LENGTH_RATIO = 1.5
"""Prompts of one batch differ in length by less than this factor, but for the last batches of a run."""


@dataclass
class Budget:
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
        """Lower the budget: these rows were too many."""
        self.tokens = min(self.tokens, self.cost(rows, reuse) // 2)


def default_tokens(model: Model) -> int:
    """A budget that a half-free device should hold: keys and values, and what one layer needs while it works."""
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

    def __init__(self, model: Model, budget: Budget, reuse: Reuse) -> None:
        self.budget, self.reuse = budget, reuse
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
                while count < len(lane) and self.budget.holds(lane[: count + 1], self.reuse):
                    count += 1
                if count == len(lane) < self.budget.rows and not last:
                    break
                batch = lane[:count]
                del lane[:count]
                yield batch
