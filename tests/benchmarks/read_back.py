"""How fast a built split is read back, and what each way of reading costs.

    python tests/benchmarks/read_back.py OUT [CONFIG] [SPLIT]

OUT is a folder that `cotasks build` wrote; CONFIG is nextqa_oe and SPLIT validation by default. Prints the size of the
parquet, and of each way, in turn, the median of REPEATS over all rows, with the clock and in seconds of CPU:

- the parquet, read to Arrow: the floor;
- Arrow batches, which are mapped from the cache, not read;
- rows as dicts, as `datasets` gives them, of all columns, without `scene`, and of three columns;
- `Record` objects made from those rows (`Record.from_row`), and made from Arrow batches (`table_to_records`).

Nothing is kept: a list of all rows would cost the garbage collector as much again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from datasets import load_dataset
from datasets.utils.logging import disable_progress_bar
from pyarrow import parquet

from cotasks import Record
from cotasks.records.from_arrow import table_to_records

REPEATS = 3
ROWS_A_BATCH = 128
LIGHT = ["id", "question", "answer"]


def ways(rows: Any, files: Sequence[Path]) -> dict[str, Iterable[Any]]:
    """Name -> iterator over all rows."""
    batches = rows.with_format("arrow")
    return {
        "parquet to Arrow": (parquet.read_table(path) for path in files),
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
    taken: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as cache:
        rows = load_dataset(str(arguments.out), arguments.config, split=arguments.split, cache_dir=cache)
        for _ in range(REPEATS):
            for name, items in ways(rows, files).items():
                clock, cpu = time.perf_counter(), time.process_time()
                deque(items, maxlen=0)
                taken.setdefault(name, []).append((time.perf_counter() - clock, time.process_time() - cpu))
    size = sum(path.stat().st_size for path in files)
    print(f"{len(rows)} rows, {size:,} bytes of parquet ({size / len(rows):,.0f} a row), {rows.data.nbytes:,} of Arrow")
    for name, figures in taken.items():
        seconds, cpu_seconds = (median(values) for values in zip(*figures, strict=True))
        each = cpu_seconds / len(rows) * 1000
        print(f"{name:22} {seconds:6.2f} s  {cpu_seconds:6.2f} s of CPU  {each:6.3f} ms of CPU a row")


if __name__ == "__main__":
    main()
