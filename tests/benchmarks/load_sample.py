"""How long `load_dataset("cotasks")` takes from an empty folder and from one with 100,000 stray files, in one run.

    python tests/benchmarks/load_sample.py

Each in processes of its own, imports included, the best of REPEATS, taken in turn; beside them a bare `import datasets`
in the same folders, for Python itself lists the folder it runs in. The full folder is to cost under 2 s more, and
`import cotasks` under 0.3 s more than `import datasets`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 3
SCRIPTS = {
    "import datasets": "import datasets",
    "import cotasks": "import cotasks",
    "load the sample": "import cotasks, datasets; datasets.load_dataset('cotasks')",
}


def seconds(script: str, folder: Path) -> float:
    """Wall time of a process that runs the script in the folder, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "HF_DATASETS_CACHE": cache, "HF_HUB_OFFLINE": "1"}
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"empty": Path(scratch, "empty"), "100,000 files": Path(scratch, "full")}
        for folder in folders.values():
            folder.mkdir()
        for number in range(100_000):
            os.close(os.open(folders["100,000 files"] / f"{number}.csv", os.O_CREAT))
        best: dict[tuple[str, str], float] = {}
        for _ in range(REPEATS):
            for what, script in SCRIPTS.items():
                for where, folder in folders.items():
                    best[what, where] = min(best.get((what, where), 1e9), seconds(script, folder))
    for (what, where), value in best.items():
        print(f"{what:16} {where:14} {value:6.2f} s")


if __name__ == "__main__":
    main()
