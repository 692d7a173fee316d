"""The main job on a toy world, as `cotasks demo` runs it: draw, build, predict steps, generate, judge, report."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cotasks.errors import MissingExtra

if TYPE_CHECKING:
    from cotasks.report import ReportPaths

CONDITIONS = ("baseline", "predicted", "cotasks", "blind", "blind-cotasks")
CLIPS, SEED = 24, 3
STEP_TOKENS = 320
"""Longest text of a step; those of the toy world are shorter."""
ANSWER_TOKENS = 16
WORDS = (
    "This is a toy: drawn clips of four seconds, and a model of a million weights that learned on other such clips. "
    "It shows what the commands do; its scores say nothing about real video."
)


def run_demo(out: Path) -> tuple[ReportPaths, bool]:
    """`run_toy` on the few clips of the demo."""
    print(WORDS, flush=True)
    return run_toy(out, CLIPS, SEED)


def run_toy(out: Path, clips: int, seed: int, model: str = "toy") -> tuple[ReportPaths, bool]:
    """Draw test clips into `<out>/source`, build them into `<out>/data`, let a model predict their steps in
    `<out>/predictions` and answer their questions under `CONDITIONS` in `<out>/run`, judge and report there. A second
    call goes on where the first stopped.

    Args:
        out: folder to write to.
        clips: how many.
        seed: which, see `cotasks.sample.drawn`.
        model: `toy`, or a folder that `examples/train_toy.py` wrote.

    Returns the report's paths, and whether every step and answer is there. Raises InputError as the steps do.
    """
    if find_spec("av") is None:
        raise MissingExtra("av", "video")
    from cotasks.builders.publish.folder import build_folder
    from cotasks.builders.sources import BuildOptions
    from cotasks.generate import Sampling, generate
    from cotasks.judge.run import judge_run
    from cotasks.predict.run import predict
    from cotasks.prompts.condition import parse_condition
    from cotasks.records.dataset import load_records
    from cotasks.report import write_report
    from cotasks.sample.drawn import GRID, LOCALIZATION, write_drawn
    from cotasks.tools.progress import progress_bar

    source, data, predictions, run = (out / name for name in ("source", "data", "predictions", "run"))
    write_drawn(source, clips, seed, "test")
    with progress_bar("questions") as update:
        told = str(source / LOCALIZATION)
        options = BuildOptions("nextqa_oe", data_dir=str(source), num_frames=GRID, localization=told)
        built = build_folder(options, data, ["test"], on_progress=update)
    print(f"built {data}: {built.splits['test'].records} questions about {clips} clips", flush=True)
    records, videos = load_records(str(data), "test"), source / "videos"
    steps = predict(records, model, predictions, videos=videos, sampling=Sampling(max_new_tokens=STEP_TOKENS))
    conditions = [parse_condition(name) for name in CONDITIONS]
    answers = generate(
        records,
        conditions,
        model,
        run,
        videos=videos,
        predictions=predictions,
        sampling=Sampling(max_new_tokens=ANSWER_TOKENS),
    )
    judge_run(run, "exact")
    return write_report([run], videos=videos), steps.complete and answers.complete
