"""Ask a model every question under every condition, and keep each answer as soon as it is there.

Work goes video by video, so that a video is decoded, and seen by the model, once for all its questions and conditions.
Any number of processes share the videos; each appends its answers line by line to a file of its own, and what a run
folder holds already, whoever wrote it, is not asked again. What fails goes to the failures files with its reason, and
the rest goes on.

`generate` goes through these stages, once for each part of the conditions (one part, but for `cotasks.predict`):

    open   the model, by the row of `cotasks.generate.backends`, for the first part only; what run.json says of it
    plan   `_plan`: run.json is settled, and what is left to ask found; all processes go by one list
    ask    `_ask`: each process takes videos, asks, and writes what comes
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cotasks.errors import InputError
from cotasks.generate.backends import Answers, AnyModel, Backend, Opening, backend_of
from cotasks.generate.checks import check_processes, check_work
from cotasks.generate.local.batching import DEFAULT_BATCHING, Batching
from cotasks.generate.meter import Meter
from cotasks.generate.prepare import Asking
from cotasks.generate.processes import Processes, Tally, join
from cotasks.generate.progress import Listener, RunProgress, Standing, run_progress
from cotasks.generate.sampling import GREEDY, Sampling
from cotasks.generate.server.model import ServerOptions
from cotasks.generate.settings import run_settings
from cotasks.generate.vllm.engine import VllmOptions
from cotasks.generate.work import Work, read_work
from cotasks.models.load import DEFAULT_LOADING, Loading
from cotasks.prompts.condition import PHRASE, Condition, with_defaults
from cotasks.prompts.view import Predictions
from cotasks.records.dataset import Records
from cotasks.runs.folder import Appender, settle
from cotasks.runs.predictions import PredictionsFolder, load_predictions
from cotasks.runs.questions import write_questions
from cotasks.tools.stopping import stop_signal


class Chain(Predictions, Protocol):
    """What `generate` asks in parts; it gives the steps that are told of a record, those of earlier parts included."""

    @property
    def settings(self) -> dict[str, Any]:
        """What `run.json` says of it."""

    def parts(self, conditions: Sequence[Condition]) -> list[Sequence[Condition]]:
        """The conditions that are asked together, in order; all of a part are there, or have failed, before the next
        one begins."""

    def begin(self, run_folder: Path, model: AnyModel) -> None:
        """Called before each part, when the run folder holds all that came of those before."""


@dataclass(frozen=True)
class GenerateResult:
    """How a run folder stands."""

    total: int
    """Answers that were asked for: records times conditions times samples."""
    done: int
    """Of these, answered by this call or before."""
    new: int
    """Of these, answered by this call, in whatever process."""
    failures: dict[str, int]
    """Reason -> how many failed by this call or before."""
    main: bool = True
    """Whether this is the main process; the others of a launch need not speak."""
    stopped: str = ""
    """Why a server could be asked no more, in one line; empty where all were asked."""

    @property
    def complete(self) -> bool:
        """Whether every answer is there."""
        return self.done == self.total

    def _with(self, work: Work, tally: Tally, main: bool, stopped: str) -> GenerateResult:
        """How the run folder stands after one more part, of which all processes together have done `tally`."""
        failures = Counter(self.failures) + Counter(work.failed.values()) + tally.failures
        return GenerateResult(
            self.total,
            self.done + len(work.done) + tally.answers,
            self.new + tally.answers,
            dict(sorted(failures.items())),
            main,
            stopped,
        )


def generate(
    records: Records,
    conditions: Sequence[Condition],
    model_name: str,
    run_folder: str | Path,
    *,
    videos: str | Path | None = None,
    num_frames: int | None = None,
    answer_style: str = PHRASE,
    predictions: str | Path | None = None,
    sampling: Sampling = GREEDY,
    loading: Loading = DEFAULT_LOADING,
    batching: Batching = DEFAULT_BATCHING,
    server: ServerOptions | None = None,
    vllm: VllmOptions | None = None,
    retry_failures: bool = False,
    video_check: str = "fail",
    chain: Chain | None = None,
    progress: bool = True,
    listener: Listener | None = None,
) -> GenerateResult:
    """Answer every record under every condition.

    Started by `accelerate launch`, `torchrun` or MPI, the processes share the videos; each calls this alike.

    SIGINT and SIGTERM end it after the batch in hand, with KeyboardInterrupt; a second one at once. A server that goes
    down, or refuses all that follows, ends it with what is there by then: `stopped` says why, and standard error.

    Args:
        records: what to ask, see `cotasks.records.dataset.load_records`.
        conditions: each with a name of its own.
        model_name: `tiny` for random weights, or what `from_pretrained` takes; with `server`, its name there.
        run_folder: written to, or gone on with; see `cotasks.runs`.
        videos: the folder that `video_path` is relative to; the sample brings its own.
        num_frames: frames shown where a condition does not say; by default the whole grid.
        answer_style: how open-ended answers are to be worded, of `cotasks.prompts.condition.ANSWER_STYLES`.
        predictions: a folder of `cotasks predict`; needed where a condition's steps are predicted, and only there.
        sampling: greedy, or how to sample; and the longest answer.
        loading: how the model is loaded into this process.
        batching: how many prompts it gets at once, and what it works out once for several.
        server: ask a model behind a server; one process is enough for it. `loading` and `batching` are then the
            server's business, but for the threads that decode videos.
        vllm: let vLLM's engine compute, which each process starts; of `loading` it takes `dtype` and
            `trust_remote_code`, of `batching` `batch_size`, `prefix_reuse` and the threads.
        retry_failures: ask again what failed before.
        video_check: what is done about a video that is not the annotated one: `fail`, so that its answers are failures
            with the reason, `warn`, or `off`; see `cotasks.video.check`.
        chain: for `cotasks.predict`: the conditions are asked in parts, and later ones are told what came of earlier
            ones.
        progress: show it on standard error.
        listener: told now and then, and at the end, how the run stands; in the main process alone.

    Raises InputError where there is nothing to ask, the video folder, the model or the server is not there or not
    usable, more frames are asked for than the records have, or the run folder was begun with other settings or is in
    use.
    """
    # what can be known to be wrong before a model is loaded
    conditions = [with_defaults(c, num_frames, answer_style) for c in conditions]
    video_folder = records.video_folder(videos)
    check_work(records, conditions, video_folder)
    predicted, said_of_it = _predictions(chain, predictions, records, conditions)
    settings = run_settings(records, conditions, video_folder, sampling, video_check) | said_of_it
    backend = backend_of(server, vllm)
    model: AnyModel | None = None
    result = GenerateResult(len(records) * len(conditions) * sampling.num_samples, 0, 0, {})
    for part in chain.parts(conditions) if chain is not None else [conditions]:
        group = join()
        check_processes(group.size, group.local_size, conditions, loading, batching, server, vllm)
        with group.membership(Path(run_folder)), _told(progress, listener, group) as bar:
            # the model, which all parts ask, and what there is to ask it in this part
            if model is None:
                shows_video = any(c.video for c in conditions)
                opening = Opening(loading, batching, server, vllm, sampling, shows_video, group.main)
                model = backend.open(model_name, opening)
                settings |= backend.settings(model, sampling)
            work = _plan(group, settings, chain, backend, model, records, part, sampling.num_samples, retry_failures)
            common = {
                "records": records,
                "conditions": part,
                "pending": work.wanted - work.done - work.failed.keys(),
                "video_folder": video_folder,
                "sampling": sampling,
                "workers": batching.threads(group.local_size),
                "predictions": predicted,
                "video_check": video_check,
            }
            asking, answers_to = backend.asking(model, batching, common)
            meter = Meter(group.run_folder, group.shard, backend.device(model), asking)
            lost = _ask(group, asking, answers_to, work, meter, bar)
        # how the folder stands, with what all processes did
        for rank, why in lost.items() if group.main else ():
            print(f"process {rank} of {group.size} failed: {why}", file=sys.stderr)
        result = result._with(work, group.total(work.tally), group.main, asking.stopped)
        if result.stopped:
            print(result.stopped, file=sys.stderr)
        if lost or result.stopped:
            break  # what comes later could not be told of what is left
    return result


def _told(progress: bool, listener: Listener | None, group: Processes) -> AbstractContextManager[RunProgress | None]:
    """What tells of the run, in the main process."""
    return run_progress(progress and group.main, listener if group.main else None)


def _predictions(
    chain: Chain | None, folder: str | Path | None, records: Records, conditions: Sequence[Condition]
) -> tuple[Predictions | None, dict[str, Any]]:
    """(where predicted steps come from, what run.json says of that)."""
    if chain is not None:
        return chain, chain.settings
    found = open_predictions(folder, records, conditions)
    return found, {"predictions": found.run_settings()} if found is not None else {}


def open_predictions(
    folder: str | Path | None, records: Records, conditions: Sequence[Condition]
) -> PredictionsFolder | None:
    """Raises InputError where a condition needs predictions and there are none, or the other way round."""
    needs = next((c.name for c in conditions if c.origin == "predicted"), None)
    if needs and folder is None:
        raise InputError(f"condition {needs} tells predicted steps; name a folder of `cotasks predict`: --predictions")
    if folder is None:
        return None
    if needs is None:
        raise InputError(f"predictions {folder}: no condition tells them; expected one such as `predicted`")
    return load_predictions(folder, records, conditions)


def _plan(
    group: Processes,
    settings: dict[str, Any],
    chain: Chain | None,
    backend: Backend,
    model: AnyModel,
    records: Records,
    conditions: Sequence[Condition],
    num_samples: int,
    retry_failures: bool,
) -> Work:
    """Settle run.json and find what is left to ask.

    The main process makes the list of videos, and the others go by it: what they would find themselves changes with
    the answers that are being written.
    """
    if group.main:
        group.wait_until_joined()
    plan = None if group.main else group.wait_for_main("plan")
    settle(group.run_folder, settings, backend.may_differ(model))
    if chain is not None:
        chain.begin(group.run_folder, model)
    work = read_work(group.run_folder, records, conditions, num_samples, retry_failures, plan)
    if group.main:
        write_questions(group.run_folder / "questions.jsonl", records)
        group.say("plan", work.plan)
    return work


def _ask(
    group: Processes, asking: Asking, answers_to: Answers, work: Work, meter: Meter, bar: RunProgress | None
) -> dict[int, str]:
    """Ask about the videos that no other process takes, and wait until the others are done.

    Returns {rank: why} of the processes that failed. Raises KeyboardInterrupt where a signal came.
    """
    with stop_signal(group.main) as stopped:
        with group.failing_alone(stopped):
            _write_answers(group, asking, answers_to, work, meter, stopped, bar)
        lost = group.wait_for_all(stopped, partial(_show, bar, group, work))
    _show(bar, group, work, now=True)
    return lost


def _write_answers(
    group: Processes,
    asking: Asking,
    answers_to: Answers,
    work: Work,
    meter: Meter,
    stopped: Callable[[], bool],
    bar: RunProgress | None,
) -> None:
    """Take one video after the other, and write what comes."""
    began = time.monotonic()
    _show(bar, group, work, now=True)

    def claims() -> Iterator[list[int]]:
        while (number := group.claim()) < len(work.plan):
            yield work.videos[work.plan[number]]

    with (
        Appender(group.run_folder / "generations" / group.shard) as answers_file,
        Appender(group.run_folder / "failures" / group.shard) as failures_file,
        meter,
    ):
        for answers, failures in answers_to(claims(), stopped):
            for row in answers:
                answers_file.append(row)
            for row in failures:
                failures_file.append(row)
            finished = work.tally.videos
            work.count(answers, failures)
            meter.add(answers, failures, work.tally.videos - finished)
            work.tally.waited = asking.waited.seconds
            work.tally.worked = time.monotonic() - began
            group.report(work.tally)
            _show(bar, group, work)
        if stopped():
            raise KeyboardInterrupt


def _show(bar: RunProgress | None, group: Processes, work: Work, now: bool = False) -> None:
    """Tell the user what all processes have done, where this is the one to do so."""
    if bar is None or not (now or bar.due):
        return
    tally = group.total(work.tally)
    answers, failed = len(work.done) + tally.answers, len(work.failed) + tally.failures.total()
    videos = len(work.videos) - len(work.plan) + tally.videos
    bar.update(Standing(answers, failed, len(work.wanted), videos, len(work.videos), tally))
