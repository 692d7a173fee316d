"""The money of one judge in one run folder, on disk before it is spent.

`verdicts/ledger/<judge>.jsonl` has a line for what stood in the verdict file before there was a ledger, one for each
call before it is sent, and one for each that ended:

    {"before": [prompt tokens, completion tokens], "batch": ...}
    {"call": 7, "key": ..., "most": [prompt tokens, completion tokens], "batch": ...}
    {"call": 7, "used": [prompt tokens, completion tokens]}

A call without a second line may have been billed, as one that a kill cut off, and counts with the most that it can
cost. So what is spent is never more than what the ledger says, over failed calls, kills and restarts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.pricing import Price, dollars
from cotasks.runs.folder import Appender
from cotasks.tools.files import read_jsonl

Tokens = tuple[int, int]
"""(prompt, completion)."""


@dataclass(frozen=True)
class _Call:
    key: str
    most: Tokens
    batch: bool
    ours: bool
    """Whether it was made by this process."""


class Ledger:
    """What was spent, and whether another call may be made. Amounts are US dollars at today's price."""

    def __init__(
        self,
        path: Path,
        prices: Mapping[bool, Price | None],
        most: float | None,
        before: Iterable[tuple[Tokens, bool]] = (),
    ) -> None:
        """Open a ledger, or begin it.

        Args:
            path: The file.
            prices: Of calls one by one (False) and in batches (True); None where it is not known: they cost nothing.
            most: Dollars that are never exceeded; None for no limit.
            before: (tokens, whether in batches) of verdicts that are older than the ledger.

        Raises InputError that names the line where the file is damaged.
        """
        self.most = most
        self.under_way = 0
        """Calls of this process that have not ended."""
        self._prices = prices
        self._open: dict[int, _Call] = {}
        self._calls = 0
        self._spent = {False: [0, 0], True: [0, 0]}
        """Tokens of calls that ended, one by one and in batches; of those below, the most that they can have."""
        self._unknown = {False: [0, 0], True: [0, 0]}
        self._reserved = {False: [0, 0], True: [0, 0]}
        begun = path.exists() and path.stat().st_size > 0
        if begun:
            self._read(path)
        self._file = Appender(path)
        if not begun:
            for tokens, batch in before:
                self._append({"before": tokens, "batch": batch})

    def _append(self, row: Mapping[str, Any]) -> None:
        self._file.append(row)
        self._take(row, ours=True)

    def _read(self, path: Path) -> None:
        for number, row in enumerate(read_jsonl(path), 1):
            try:
                self._take(row, ours=False)
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{path}:{number}: {shorten(row)}; expected a line of a judge's ledger") from None

    def _take(self, row: Mapping[str, Any], ours: bool) -> None:
        """Count a line."""
        if "before" in row:
            _add(self._spent[bool(row["batch"])], _tokens(row["before"]), 1)
        elif "most" in row:
            call = _Call(str(row["key"]), _tokens(row["most"]), bool(row["batch"]), ours)
            self._calls = max(self._calls, int(row["call"]) + 1)
            self._open[int(row["call"])] = call
            self.under_way += ours
            _add((self._reserved if ours else self._unknown)[call.batch], call.most, 1)
        else:
            used = _tokens(row["used"])
            call = self._open.pop(int(row["call"]))
            self.under_way -= call.ours
            _add((self._reserved if call.ours else self._unknown)[call.batch], call.most, -1)
            _add(self._spent[call.batch], used, 1)

    def close(self) -> None:
        """Flush to the disk and close."""
        self._file.close()

    def _dollars(self, tokens: Mapping[bool, list[int]]) -> float:
        return sum(price.cost(*tokens[batch]) for batch, price in self._prices.items() if price)

    @property
    def spent(self) -> float:
        """What calls have cost whose tokens are known."""
        return self._dollars(self._spent)

    @property
    def unknown(self) -> float:
        """The most that those can have cost that ended without a word on it, or were cut off."""
        return self._dollars(self._unknown)

    def allows(self, most: Tokens, batch: bool = False) -> bool:
        """Whether a call may be made, even if every call that is under way or unknown costs the most it can."""
        price = self._prices[batch]
        if self.most is None or price is None:
            return True
        return self.spent + self.unknown + self._dollars(self._reserved) + price.cost(*most) <= self.most

    def reserve(self, key: str, most: Tokens, batch: bool = False) -> int:
        """Write that a call is about to be made that can have so many tokens; returns its number."""
        number = self._calls
        self._append({"call": number, "key": key, "most": most, "batch": batch})
        return number

    def settle(self, number: int, used: Tokens | None) -> None:
        """A call has ended with so many tokens, (0, 0) where it was not billed; None where it may be, and nobody says:
        it stays open."""
        if used is not None:
            self._append({"call": number, "used": used})
            return
        call = self._open[number]
        if call.ours:
            self._open[number] = _Call(call.key, call.most, call.batch, ours=False)
            self.under_way -= 1
            _add(self._reserved[call.batch], call.most, -1)
            _add(self._unknown[call.batch], call.most, 1)

    def batched(self) -> dict[str, int]:
        """{key: number} of the calls in batches that have not ended."""
        return {call.key: number for number, call in self._open.items() if call.batch}

    def describe(self) -> str:
        """What was spent, in words."""
        unknown = self.unknown
        more = f", and up to {dollars(unknown)} for calls that broke off" if unknown else ""
        return f"{dollars(self.spent)} spent{more}"


def _add(total: list[int], tokens: Tokens, sign: int) -> None:
    total[0] += sign * tokens[0]
    total[1] += sign * tokens[1]


def _tokens(value: Any) -> Tokens:
    """Raises ValueError where it is no pair of numbers of tokens, and TypeError."""
    prompt, completion = value
    for number in (prompt, completion):
        if type(number) is not int or number < 0:
            raise ValueError(number)
    return prompt, completion
