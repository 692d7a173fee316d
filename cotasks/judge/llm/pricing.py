"""What calls to a judge cost, and how many tokens a text is, about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cotasks.errors import InputError

PRICES = {
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-2024-05-13": (5.00, 15.00),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5.4": (2.50, 15.00),
    "gpt-5.4-mini": (0.75, 4.50),
    "gpt-5.4-nano": (0.20, 1.25),
}
"""US dollars for a million tokens in and out, at api.openai.com: list prices of 2026, standard tier. Prices move; the
one assumed is shown before anything is asked, and can be given instead."""

BATCH_DISCOUNT = 0.5
"""The Batch API bills half."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_OVERHEAD_TOKENS = 200
"""At most what chat template and reply schema add to a prompt."""
REPLY_TOKENS = 60
"""A usual reply, for estimates."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def find_price(model: str, base_url: str, given: tuple[float, float] | None, batch: bool = False) -> Price | None:
    """The price given, or the list price; None where neither is known. Batches cost half of either.

    Raises InputError where a given price is negative or no number.
    """
    if given is None:
        if urlsplit(base_url).hostname != "api.openai.com":
            return None
        given = PRICES.get(model) or PRICES.get(_SNAPSHOT.sub("", model))
        if given is None:
            return None
    if len(given) != 2 or not all(0 <= value < float("inf") for value in given):
        raise InputError(f"price {given}; expected dollars for a million tokens in, and out")
    factor = BATCH_DISCOUNT if batch else 1.0
    return Price(given[0] * factor, given[1] * factor)


def likely_tokens(messages: list[Mapping[str, str]]) -> int:
    """About how many tokens a prompt has: one for four bytes of text."""
    return sum(len(message["content"].encode()) for message in messages) // 4 + 12


def most_tokens(messages: list[Mapping[str, str]]) -> int:
    """No fewer tokens than a prompt can have: one for each byte, and what the server adds."""
    return sum(len(message["content"].encode()) for message in messages) + _OVERHEAD_TOKENS


def dollars(amount: float) -> str:
    """An amount of US dollars to read; small ones with four places."""
    return f"${amount:.2f}" if amount == 0 or amount >= 1 else f"${amount:.4f}"
