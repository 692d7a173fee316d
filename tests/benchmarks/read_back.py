"""How fast a built split is read back, and what each way of reading costs.

    python tests/benchmarks/read_back.py OUT [CONFIG] [SPLIT]

OUT is a folder that `cotasks build` wrote; CONFIG is nextqa_oe and SPLIT validation by default. Prints the size of the
parquet, and of each way, in turn, the best of REPEATS over all rows, with the clock and in seconds of CPU:

- Arrow batches: the floor;
- rows as dicts, as `datasets` gives them, of all columns, without `scene`, and of three columns;
- `Record` objects made from those rows (`Record.from_row`), and made from Arrow batches (`table_to_records`).

Nothing is kept: a list of all rows would cost the garbage collector as much again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import load_dataset
from datasets.utils.logging import disable_progress_bar

from cotasks import Record
from cotasks.records.schema import table_to_records

REPEATS = 2
ROWS_A_BATCH = 16
LIGHT = ["id", "question", "answer"]


def ways(rows: Any) -> dict[str, Iterable[Any]]:
    """Name -> iterator over all rows."""
    batches = rows.with_format("arrow")
    return {
        "Arrow batches": batches.iter(ROWS_A_BATCH),
        "rows as dicts": iter(rows),
        "rows without scene": iter(rows.remove_columns("scene")),
        "rows of three columns": iter(rows.select_columns(LIGHT)),
        "Record.from_row": (Record.from_row(row) for row in rows),
        "table_to_records": (record for table in batches.iter(ROWS_A_BATCH) for record in table_to_records(table)),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure reading back; see the module's text.")
    parser.add_argument("out", type=Path)
    parser.add_argument("config", nargs="?", default="nextqa_oe")
    parser.add_argument("split", nargs="?", default="validation")
    arguments = parser.parse_args()
    disable_progress_bar()
    files = sorted((arguments.out / arguments.config).glob(f"{arguments.split}-*.parquet"))
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        rows = load_dataset(str(arguments.out), arguments.config, split=arguments.split, cache_dir=cache)
        for _ in range(REPEATS):
            for name, items in ways(rows).items():
                clock, cpu = time.perf_counter(), time.process_time()
                deque(items, maxlen=0)
                figures = time.perf_counter() - clock, time.process_time() - cpu
                best[name] = min(best.get(name, figures), figures)
    size = sum(path.stat().st_size for path in files)
    print(f"{len(rows)} rows, {size:,} bytes of parquet ({size / len(rows):,.0f} a row), {rows.data.nbytes:,} of Arrow")
    for name, (seconds, cpu_seconds) in best.items():
        each = cpu_seconds / len(rows) * 1000
        print(f"{name:22} {seconds:6.2f} s  {cpu_seconds:6.2f} s of CPU  {each:6.3f} ms of CPU a row")


if __name__ == "__main__":
    main()
