"""Measures what a process of `generate` takes, and writes it into the run folder, see `cotasks.runs.costs`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotasks.generate.prepare import Asking
from cotasks.runs.costs import COUNTS, FOLDER, TOKENS
from cotasks.runs.folder import Appender, key_of
from cotasks.runs.run import Row

WRITE_SECONDS = 60.0
"""Longest stretch of work in one row."""


class Meter:
    """Adds up what comes while it is entered, and writes a row of it now and then, and at the end, however that comes.
    Where nothing comes, nothing is written."""

    def __init__(self, folder: Path, shard: str, device: str, asking: Asking) -> None:
        """
        Args:
            folder: the run folder.
            shard: name of this process's files there.
            device: what computes, see `cotasks.generate.backends`.
            asking: what is asked; it knows the frames of prompts and the time spent waiting.
        """
        self._path, self._device, self._asking = folder / FOLDER / shard, device, asking
        self._file: Appender | None = None
        self._servers: Counter[str] = Counter()
        self._waited = 0.0
        self._start()

    def _start(self) -> None:
        self._begin, self._clock = time.time(), time.monotonic()
        self._counts: Counter[str] = Counter()
        self._tokens: dict[str, int | None] = dict.fromkeys(TOKENS, 0)

    def __enter__(self) -> Meter:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._counts:
            self._write()
        if self._file is not None:
            self._file.close()

    def add(self, answers: Sequence[Row], failures: Sequence[Row], videos: int) -> None:
        """Count rows of generations and failures that have been written, and videos of which nothing is left to ask."""
        shown = [self._asking.frames.pop(key_of(row), 0) for row in (*answers, *failures)]
        self._counts.update(
            answers=len(answers), failures=len(failures), videos=videos, frames=sum(shown[: len(answers)])
        )
        for name, total in self._tokens.items():
            thoughts = "thought_tokens" if name == "answer_tokens" else ""
            counted: list[Any] = [
                None if row.get(name) is None else row[name] + (row.get(thoughts) or 0) for row in answers
            ]
            self._tokens[name] = None if total is None or None in counted else total + sum(counted)
        if time.monotonic() - self._clock >= WRITE_SECONDS:
            self._write()

    def _write(self) -> None:
        """Append a row of all since the last one."""
        if self._file is None:
            self._file = Appender(self._path)
        servers, waited = Counter(self._asking.answered_by()), self._asking.waited.seconds
        memory, memory_of = peak_memory()
        self._file.append(
            {
                "begin": self._begin,
                "end": self._begin + time.monotonic() - self._clock,
                **{name: self._counts[name] for name in COUNTS},
                **self._tokens,
                "waited": waited - self._waited,
                "device": self._device,
                "peak_memory": memory,
                "memory_of": memory_of,
                **({"servers": dict(servers - self._servers)} if servers else {}),
            }
        )
        self._servers, self._waited = servers, waited
        self._start()


def peak_memory() -> tuple[int | None, str]:
    """(the most bytes that this process has had so far, whether of its `device` or as a `process`)."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        used = sum(torch.cuda.max_memory_allocated(place) for place in range(torch.cuda.device_count()))
        if used:
            return used, "device"
    try:
        import resource
    except ImportError:  # not on Windows
        return None, "process"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024, "process"
