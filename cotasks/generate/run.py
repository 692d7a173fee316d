"""Ask a model every question under every condition, and keep each answer as soon as it is there.

Work goes video by video, so that a video is decoded, and seen by the model, once for all its questions and conditions.
Any number of processes share the videos; each appends its answers line by line to a file of its own, and what a run
folder holds already, whoever wrote it, is not asked again. What fails goes to the failures files with its reason, and
the rest goes on.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cotasks.errors import InputError
from cotasks.generate.ahead import Waited
from cotasks.generate.checks import check_server, check_work
from cotasks.generate.local.ask import Asking, Outcome, outcomes
from cotasks.generate.local.batching import Budget, default_tokens
from cotasks.generate.local.vision import reuse_of
from cotasks.generate.processes import Processes, join
from cotasks.generate.progress import RunProgress, Standing, run_progress
from cotasks.generate.sampling import GREEDY, Sampling
from cotasks.generate.server.model import ServedModel, ServerOptions, connect
from cotasks.generate.settings import model_settings, run_settings
from cotasks.generate.stopping import stop_signal
from cotasks.generate.work import Work, read_work, write_questions
from cotasks.models.load import NOTES, Model, check_template, load_model
from cotasks.prompts.condition import Condition
from cotasks.prompts.view import Predictions
from cotasks.records.dataset import Records
from cotasks.runs.folder import Appender, settle
from cotasks.runs.predictions import PredictionsFolder, load_predictions

if TYPE_CHECKING:
    from cotasks.generate.server.ask import ServerAsking

Answers = Callable[[Iterator[Sequence[int]], Callable[[], bool]], Iterator[Outcome]]
"""Gives answers and failures as they come for videos, each given as positions in the records, until told to stop."""


class Chain(Predictions, Protocol):
    """What `generate` asks in parts; it gives the steps that are told of a record, those of earlier parts included."""

    @property
    def settings(self) -> dict[str, Any]:
        """What `run.json` says of it."""

    def parts(self, conditions: Sequence[Condition]) -> list[Sequence[Condition]]:
        """The conditions that are asked together, in order; all of a part are there, or have failed, before the next
        one begins."""

    def begin(self, folder: Path, model: Model | ServedModel) -> None:
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


def generate(
    records: Records,
    conditions: Sequence[Condition],
    model_name: str,
    run_folder: str | Path,
    *,
    videos: str | Path | None = None,
    num_frames: int | None = None,
    predictions: str | Path | None = None,
    batch_size: int = 64,
    batch_tokens: int | None = None,
    max_new_tokens: int = 64,
    sampling: Sampling = GREEDY,
    dtype: str = "auto",
    device: str | None = None,
    device_map: str | None = None,
    attention: str | None = None,
    torch_compile: bool = False,
    trust_remote_code: bool = False,
    vision_reuse: bool = True,
    prefix_reuse: bool = True,
    workers: int | None = None,
    retry_failures: bool = False,
    server: ServerOptions | None = None,
    chain: Chain | None = None,
    progress: bool = True,
) -> GenerateResult:
    """Answer every record under every condition.

    Started by `accelerate launch`, `torchrun` or MPI, the processes share the videos; each calls this alike.

    SIGINT and SIGTERM end it after the batch in hand, with KeyboardInterrupt; a second one at once. A server that goes
    down, or refuses all that follows, ends it with what is there by then: `stopped` says why, and standard error.

    Args:
        records: what to ask, see `cotasks.records.dataset.load_records`.
        conditions: each with a name of its own.
        model_name: `tiny` for random weights, or what `from_pretrained` takes.
        run_folder: written to, or gone on with; see `cotasks.runs`.
        videos: the folder that `video_path` is relative to; the sample brings its own.
        num_frames: frames shown where a condition does not say; by default the whole grid.
        predictions: a folder of `cotasks predict`; needed where a condition's steps are predicted, and only there.
        batch_size: most prompts at once.
        batch_tokens: most tokens at once, those of videos, answers and padding included; by default what the free
            memory of the device suggests. Lowered for good where that does not suffice.
        max_new_tokens: longest answer.
        sampling: greedy, or how to sample.
        dtype: float32, bfloat16 or float16; `auto` is the checkpoint's own, and float32 on a CPU.
        device: as torch names it; by default cuda, else mps, else cpu.
        device_map: see `cotasks.models.load.load_model`; for one process a machine.
        attention: see `cotasks.models.load.load_model`.
        torch_compile: see `cotasks.models.load.load_model`.
        trust_remote_code: run Python code that comes with the checkpoint.
        vision_reuse: run the vision tower once a clip, not once a prompt; the answers are the same.
        prefix_reuse: run the language model over system text and video once a clip, not once a prompt; the answers
            are the same but for what floating point makes of another batch size.
        workers: threads that decode videos ahead; by default what the processors suggest, 4 at most.
        retry_failures: ask again what failed before.
        server: ask a model behind a server, which then has the name `model_name`; one process is enough for it. What
            is said above of batches, devices and reuse is then the server's business.
        chain: for `cotasks.predict`: the conditions are asked in parts, and later ones are told what came of earlier
            ones.
        progress: show it on standard error.

    Raises InputError where there is nothing to ask, the video folder, the model or the server is not there or not
    usable, more frames are asked for than the records have, or the run folder was begun with other settings or is in
    use.
    """
    conditions = [dataclasses.replace(c, num_frames=c.num_frames or num_frames) for c in conditions]
    folder = records.video_folder(videos)
    check_work(records, conditions, folder)
    predicted: Predictions | None = chain
    told = chain.settings if chain is not None else {}
    if chain is None:
        found = _predictions(predictions, records, conditions)
        predicted, told = found, {"predictions": found.run_settings()} if found is not None else {}
    numbers = {"batch_size": batch_size, "batch_tokens": batch_tokens, "max_new_tokens": max_new_tokens}
    for name, number in {**numbers, "workers": workers}.items():
        if number is not None and number < 1:
            raise InputError(f"{name} {number}; expected 1 or more")
    model: Model | ServedModel | None = None
    settings = run_settings(records, conditions, folder, max_new_tokens) | told
    result = GenerateResult(len(records) * len(conditions) * sampling.num_samples, 0, 0, {})
    for part in chain.parts(conditions) if chain is not None else [conditions]:
        group = join()
        if device_map and group.local_size > 1:
            raise InputError(f"device_map {device_map!r} is for one process a machine; there are {group.local_size}")
        if server is not None:
            local = {"device": device, "device_map": device_map, "attention": attention, "batch_tokens": batch_tokens}
            local |= {"torch_compile": torch_compile, "trust_remote_code": trust_remote_code, "dtype": dtype != "auto"}
            check_server(server, conditions, group.size, local)
        with group.membership(Path(run_folder)), run_progress(progress and group.main) as bar:
            if model is None and server is not None:
                model = connect(model_name, server)
                named = model.served or model_name
                print(f"{server.base_url}: {named}, asked as {model.family.name}, shown {model.media}")
                settings |= model.settings(sampling, max_new_tokens)
            elif model is None:
                if group.main and model_name in NOTES:
                    print(f"model {model_name}: {NOTES[model_name]}")
                model = load_model(model_name, dtype, device, trust_remote_code, attention, device_map, torch_compile)
                if any(condition.video for condition in conditions):
                    check_template(model)
                settings |= model_settings(model, sampling)
            # all must go by one list of videos, which the answers that others write meanwhile would change
            if group.main:
                group.wait_until_joined()
            plan = None if group.main else group.wait_for_main("plan")
            settle(group.folder, settings)
            if chain is not None:
                chain.begin(group.folder, model)
            work = read_work(group.folder, records, part, sampling.num_samples, retry_failures, plan)
            if group.main:
                write_questions(group.folder / "questions.jsonl", records)
                group.say("plan", work.plan)
            common: dict[str, Any] = {
                "records": records,
                "conditions": part,
                "pending": work.wanted - work.done - work.failed.keys(),
                "folder": folder,
                "sampling": sampling,
                "max_new_tokens": max_new_tokens,
                "workers": workers or max(1, min(4, (os.cpu_count() or 1) // group.local_size)),
                "predictions": predicted,
                "waited": Waited(),
            }
            answers: Answers
            asked: ServerAsking | None = None
            if isinstance(model, ServedModel):
                from cotasks.generate.server import ask as server_ask

                asked = server_ask.ServerAsking(**common, server=model)
                answers = partial(server_ask.outcomes, asked)
            else:
                budget = Budget(batch_tokens or default_tokens(model), batch_size, max_new_tokens)
                reuse = reuse_of(model, vision_reuse, prefix_reuse)
                answers = partial(outcomes, Asking(**common, model=model, budget=budget, reuse=reuse))
            with stop_signal(group.main) as stopped:
                with group.failing_alone(stopped):
                    _ask(group, answers, work, common["waited"], stopped, bar)
                lost = group.wait_for_all(stopped, partial(_show, bar, group, work))
            _show(bar, group, work, now=True)
        if group.main:
            for rank, why in lost.items():
                print(f"process {rank} of {group.size} failed: {why}", file=sys.stderr)
        tally = group.total(work.tally)
        failures = Counter(work.failed.values()) + tally.failures
        done = len(work.done) + tally.answers
        result = GenerateResult(
            result.total,
            result.done + done,
            result.new + tally.answers,
            dict(sorted((Counter(result.failures) + failures).items())),
            group.main,
            "" if asked is None else asked.stopped,
        )
        if result.stopped:
            print(result.stopped, file=sys.stderr)
        if lost or result.stopped:
            break  # what comes later could not be told of what is left
    return result


def _ask(
    group: Processes,
    answers_to: Answers,
    work: Work,
    waited: Waited,
    stopped: Callable[[], bool],
    bar: RunProgress | None,
) -> None:
    """Ask about the videos that no other process takes, one after the other, and write what comes."""
    began = time.monotonic()
    _show(bar, group, work, now=True)

    def claims() -> Iterator[list[int]]:
        while (number := group.claim()) < len(work.plan):
            yield work.videos[work.plan[number]]

    with (
        Appender(group.folder / "generations" / group.shard) as answers_file,
        Appender(group.folder / "failures" / group.shard) as failures_file,
    ):
        for answers, failures in answers_to(claims(), stopped):
            for row in answers:
                answers_file.append(row)
            for row in failures:
                failures_file.append(row)
            for row in (*answers, *failures):
                work.left[row["video_id"]] -= 1
                work.tally.videos += work.left[row["video_id"]] == 0
            work.tally.answers += len(answers)
            work.tally.failures.update(row["reason"] for row in failures)
            work.tally.waited = waited.seconds
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


def _predictions(
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
