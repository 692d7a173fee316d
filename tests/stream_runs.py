"""A process that takes batches of a stream, and writes down what it took and where it is:

python -m tests.stream_runs SHARDS FOLDER PROCESS PROCESSES WORKERS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from cotasks.training.stream import Source, Stream

TASKS = ("cotasks", "baseline")
SAVE_EVERY = 2


def name_only(row: dict[str, Any], task: str, step: int) -> dict[str, Any]:
    """An example that says what it is of, and at which step it was made."""
    return {"id": row["id"], "task": task, "step": step}


def as_they_are(batch: list[Any]) -> list[Any]:
    return batch


def main(shards: str, folder: str, process: str, processes: str, workers: str) -> None:
    """Take the batches of the first epoch; every second one the place is kept. Without a file `go` in the folder, wait
    after the third one for whatever comes."""
    stream = Stream(
        Source(shards, tasks=TASKS),
        name_only,
        as_they_are,
        batch_size=2,
        process=int(process),
        processes=int(processes),
        workers=int(workers),
    )
    place, taken = Path(folder, f"place-{process}.json"), Path(folder, f"taken-{process}.jsonl")
    lines: list[bytes] = []
    if place.exists():  # what came after it is taken again
        kept = json.loads(place.read_bytes())
        stream.load_state_dict(kept["stream"])
        lines = taken.read_bytes().splitlines(keepends=True)[: kept["batches"]]
    taken.write_bytes(b"".join(lines))
    with taken.open("ab", buffering=0) as file:
        for number, batch in enumerate(stream, len(lines) + 1):
            if stream.epoch:
                return
            file.write(json.dumps([(row["id"], row["task"]) for row in batch]).encode() + b"\n")
            if number % SAVE_EVERY == 0:
                part = place.with_suffix(".part")
                part.write_text(json.dumps({"stream": stream.state_dict(), "batches": number}))
                part.rename(place)
            while number > SAVE_EVERY and not Path(folder, "go").exists():
                time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
