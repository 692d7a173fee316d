"""What a run took: time, tokens, frames, memory.

    costs/*.jsonl    append-only, a row for each stretch of work of one process, a minute at most:

    begin, end       Unix time, in seconds
    answers, failures, videos (of which nothing was left to ask), frames (shown in the prompts of these answers; one
                     that several prompts show counts in each), prompt_tokens, answer_tokens (thoughts included; null
                     where a server does not count them)
    waited           seconds of it in which the model, or a server, waited for videos to be decoded
    device           what computed
    peak_memory      bytes, the most so far in this process, and memory_of: `device`, or `process` where the device has
                     no memory of its own
    servers          {address: answers} of models behind servers

Rows add up, whoever wrote them and however often a run went on. Loading a model is not counted. What a kill took away
is at most the last minute of each process, of its answers and its time alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.tools.files import read_jsonl

FOLDER = "costs"
COUNTS = ("answers", "failures", "videos", "frames")
TOKENS = ("prompt_tokens", "answer_tokens")
_NUMBERS = ("begin", "end", *COUNTS, "waited")


@dataclass(frozen=True)
class Costs:
    """What all of a run's processes took together, in all commands."""

    seconds: float
    """In which at least one process was at work."""
    process_seconds: float
    """Of all processes."""
    answers: int
    failures: int
    videos: int
    frames: int
    prompt_tokens: int | None
    """None where it is not known of every answer."""
    answer_tokens: int | None
    """With those of thoughts."""
    waited: float
    """Seconds of `process_seconds` spent waiting for videos."""
    devices: tuple[str, ...]
    peak_memory: int | None
    """Bytes, the most of any process."""
    memory_of: str
    """`device` or `process`."""
    servers: dict[str, int]
    """{address: answers}"""

    def rate(self, count: int | None, seconds: float = 1.0) -> float | None:
        """So many in so many seconds; None where the count is not known or no time has passed."""
        return None if count is None or not self.seconds else count / self.seconds * seconds

    @property
    def waiting(self) -> float | None:
        """Share of the processes' time spent waiting for videos, 0 to 1."""
        return min(self.waited / self.process_seconds, 1.0) if self.process_seconds else None

    @property
    def processes(self) -> float | None:
        """How many were at work at once, in the mean."""
        return self.process_seconds / self.seconds if self.seconds else None


def read_costs(folder: Path) -> Costs | None:
    """What a run folder says it took; None where it says nothing, as runs of older versions and other programs do.

    Raises InputError naming file and line where a row is none.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted((folder / FOLDER).glob("*.jsonl")):
        for number, row in enumerate(read_jsonl(path), 1):
            odd = next((name for name in _NUMBERS if not isinstance(row.get(name), int | float)), None)
            if odd is not None:
                raise InputError(f"{path}:{number}: {odd} {shorten(row.get(odd))}; expected a number")
            rows.append(row)
    if not rows:
        return None
    memory = [(str(row.get("memory_of")), row["peak_memory"]) for row in rows if row.get("peak_memory")]
    kind = "device" if any(of == "device" for of, _ in memory) else "process"
    servers: Counter[str] = Counter()
    for row in rows:
        servers.update(row.get("servers") or {})
    return Costs(
        seconds=union([(row["begin"], row["end"]) for row in rows]),
        process_seconds=sum(row["end"] - row["begin"] for row in rows),
        **{name: sum(row[name] for row in rows) for name in COUNTS},
        prompt_tokens=_total(row.get("prompt_tokens") for row in rows),
        answer_tokens=_total(row.get("answer_tokens") for row in rows),
        waited=sum(row["waited"] for row in rows),
        devices=tuple(dict.fromkeys(str(row.get("device")) for row in rows)),
        peak_memory=max((bytes_ for of, bytes_ in memory if of == kind), default=None),
        memory_of=kind,
        servers=dict(servers),
    )


def union(stretches: Sequence[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of some (begin, end)."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(stretches):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _total(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
