"""The main job on the embedded sample, as `cotasks demo` runs it: build, generate, judge, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotasks.report import ReportPaths

CONDITIONS = ("baseline", "cotasks", "blind", "blind-cotasks")


def run_demo(out: Path) -> tuple[ReportPaths, bool]:
    """Build the sample into `<out>/data`, ask the tiny random model all its validation questions under four
    conditions, judge and report in `<out>/run`. A second call goes on where the first stopped.

    Returns the report's paths, and whether every answer is there. Raises InputError as the steps do.
    """
    from cotasks.builders.folder import build_folder
    from cotasks.builders.sources import BuildOptions
    from cotasks.dataset import load_records
    from cotasks.generate import generate
    from cotasks.judge import judge_run
    from cotasks.progress import progress_bar
    from cotasks.prompts import parse_condition
    from cotasks.report import write_report
    from cotasks.sample import DATA_DIR

    with progress_bar("questions") as update:
        built = build_folder(BuildOptions("sample"), out / "data", on_progress=update)
    counts = ", ".join(f"{summary.records} {split}" for split, summary in built.splits.items())
    print(f"built {out / 'data'}: {counts} records", flush=True)
    records = load_records(str(out / "data"), "validation")
    conditions = [parse_condition(name) for name in CONDITIONS]
    videos = Path(DATA_DIR) / "videos"
    result = generate(records, conditions, "tiny", out / "run", videos=videos, max_new_tokens=16)
    judge_run(out / "run", "exact")
    return write_report([out / "run"], videos=videos), result.complete
