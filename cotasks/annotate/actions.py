"""What things do, by a video language model: step 4, asked with the boxes drawn on the frames.

A video is shown in stretches of at most `seconds`, `frames` frames each. On every frame the boxes are drawn with the
names that the answer is to use (`dog`, `child 2`: the category, numbered where it has several). The request is that of
step 4 in `cotasks.steps.table`, and what comes back is read by the reader of step 4; names that are not drawn, and
spatial predicates, are not taken over, and counted. A stretch with fewer than two things is not asked about.

Prompts go through `cotasks.generate`: batched, at a server, resumed and on several processes as there.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.annotate.kept import Kept
from cotasks.annotate.stretches import STEP, ActionOptions, Stretch, context_of, item_of, stretches_of
from cotasks.errors import InputError, stop_at_environment_fault
from cotasks.generate.checks import check_processes
from cotasks.generate.local import ask as local_ask
from cotasks.generate.local.batching import Batching, Capacity, default_tokens
from cotasks.generate.local.vision import reuse_of
from cotasks.generate.prepare import Asking, Item, Target, failure_row
from cotasks.generate.processes import join
from cotasks.generate.sampling import Sampling
from cotasks.generate.server.connect import connect
from cotasks.generate.server.model import ServedModel, ServerOptions
from cotasks.generate.settings import model_settings
from cotasks.models.families import FAMILIES
from cotasks.models.load import Loading, Model, check_template, load_model
from cotasks.prompts.condition import Condition
from cotasks.records.own import SPATIAL_PREDICATES, OwnAnnotation, OwnRelation
from cotasks.runs.folder import Appender, read_failures, read_generations, read_settings, settle
from cotasks.runs.run import Row
from cotasks.steps.table import read_step
from cotasks.tools.files import file_hash
from cotasks.tools.progress import progress_bar
from cotasks.tools.stopping import stop_signal


@dataclass
class ActionCounts:
    """What came of the questions."""

    asked: int = 0
    """Stretches with two things or more."""
    left: int = 0
    """Of these, neither answered nor failed."""
    failures: Counter[str] = field(default_factory=Counter)
    """Reason -> how many of these failed."""
    relations: int = 0
    unread: int = 0
    """Lines that could not be read, such as those with names that were not drawn."""
    spatial: int = 0
    """Lines with a spatial predicate, or about one thing alone, which were not taken over."""


@dataclass(frozen=True)
class _Stretches:
    """In the place of records: what a prompt depends on of each."""

    rows: Sequence[Stretch]

    def at(self, position: int) -> Stretch:
        """As of `Records`."""
        return self.rows[position]


@dataclass(kw_only=True)
class _Asking(Asking):
    """Prompts of stretches, whatever the model."""

    scenes: Kept
    folder: Path
    options: ActionOptions

    def prepare(self, positions: Sequence[int], model: Target) -> Iterator[Item | Row]:
        """Prompts and failure rows of the stretches at these positions, which are of one video."""
        stretches: list[Any] = [self.records.at(position) for position in positions]
        for stretch in stretches:
            try:
                annotation = self.scenes.annotation(stretch.video)
                yield item_of(stretch, annotation, self.folder, self.options, model)
            except Exception as error:  # one odd video must not stop the others
                stop_at_environment_fault(error, stretch.id)
                yield failure_row((stretch.id, "actions", 0), stretch.video, error)


@dataclass(kw_only=True)
class _LocalAsking(_Asking, local_ask.LocalAsking):
    """Of a model in this process."""


def ask(
    scenes: Kept,
    videos: Sequence[str],
    folder: Path,
    run_folder: Path,
    model_name: str,
    options: ActionOptions,
    *,
    loading: Loading,
    batching: Batching,
    server: ServerOptions | None,
    retry_failures: bool,
) -> None:
    """Ask a model what happens in each stretch of the videos that has not been asked about, and keep what it says.

    Args:
        scenes: what was found of each video.
        videos: in this order.
        folder: of the videos.
        run_folder: written to, or gone on with.
        model_name, loading, batching, server, retry_failures: as of `generate`.
        options: how much is shown at once.

    Raises InputError as `generate` does.
    """
    group = join()
    sampling = Sampling(max_new_tokens=options.max_new_tokens)
    check_processes(group.size, group.local_size, [Condition("actions")], loading, batching, server)
    with group.membership(run_folder), progress_bar("stretches") as bar:
        settings: dict[str, Any] = {
            "actions": {**dataclasses.asdict(options), "predicates": list(options.predicates)},
            "dataset": {"videos": str(folder.resolve())},
            "scenes": file_hash(run_folder.parent / "scenes" / "run.json"),
        }
        model: Model | ServedModel
        if server is not None:
            model = connect(model_name, server)
            settings |= model.settings(sampling)
        else:
            model = load_model(model_name, loading)
            check_template(model)
            settings |= model_settings(model, sampling)
        # which stretches are left; the other processes go by the main one's list
        if group.main:
            group.wait_until_joined()
        plan = None if group.main else group.wait_for_main("plan")
        settle(run_folder, settings)
        if plan is None:
            done = {key[0] for key in read_generations(run_folder)}
            done |= set() if retry_failures else {key[0] for key in read_failures(run_folder)}
            plan = [video for video in videos if video in scenes and _left(scenes, video, options, done)]
            group.say("plan", plan)
            group.say("done", sorted(done))
        else:
            done = set(group.wait_for_main("done"))
        stretches = [s for video in plan for s in _left(scenes, video, options, done)]
        places: dict[str, list[int]] = {}
        for place, stretch in enumerate(stretches):
            places.setdefault(stretch.video, []).append(place)
        common: dict[str, Any] = {
            "records": _Stretches(stretches),
            "conditions": (),
            "pending": frozenset(),
            "video_folder": folder,
            "sampling": sampling,
            "workers": batching.threads(group.local_size),
            "scenes": scenes,
            "folder": folder,
            "options": options,
        }
        with stop_signal(group.main) as stopped:
            with (
                group.failing_alone(stopped),
                Appender(run_folder / "generations" / group.shard) as answers_file,
                Appender(run_folder / "failures" / group.shard) as failures_file,
            ):

                def claims() -> Iterator[list[int]]:
                    while (number := group.claim()) < len(plan):
                        yield places[plan[number]]

                count = 0
                asking, outcomes = _asking(model, batching, common)
                for answers, failures in outcomes(asking, claims(), stopped):
                    for row in answers:
                        answers_file.append(row)
                    for row in failures:
                        failures_file.append(row)
                    count += len(answers) + len(failures)
                    if group.main:
                        bar("actions", count, len(stretches))
                if stopped():
                    raise KeyboardInterrupt
                if asking.stopped:
                    raise InputError(asking.stopped)
            lost = group.wait_for_all(stopped)
    for rank, why in lost.items() if group.main else ():
        print(f"process {rank} of {group.size} failed: {why}", file=sys.stderr)


def _left(scenes: Kept, video: str, options: ActionOptions, done: set[str]) -> list[Stretch]:
    return [stretch for stretch in stretches_of(scenes.annotation(video), options) if stretch.id not in done]


def _asking(model: Model | ServedModel, batching: Batching, common: dict[str, Any]) -> tuple[Asking, Any]:
    if isinstance(model, ServedModel):
        from cotasks.generate.server import ask as server_ask

        @dataclass(kw_only=True)
        class ServerAsking(_Asking, server_ask.ServerAsking):
            """Of a model behind a server."""

        return ServerAsking(**common, server=model), server_ask.outcomes
    longest = common["sampling"].max_new_tokens
    capacity = Capacity(batching.batch_tokens or default_tokens(model), batching.batch_size, longest)
    reuse = reuse_of(model, batching.vision_reuse, batching.prefix_reuse)
    return _LocalAsking(**common, model=model, capacity=capacity, reuse=reuse), local_ask.outcomes


class Said:
    """What a model said of actions; nothing where it was not asked."""

    def __init__(self, run_folder: Path) -> None:
        self.counts = ActionCounts()
        self._settings: dict[str, Any] | None = None
        if not (run_folder / "run.json").exists():
            return
        self._settings = read_settings(run_folder)
        told = self._settings["actions"]
        self._options = ActionOptions(**{**told, "predicates": tuple(told["predicates"])})
        self._family = FAMILIES[self._settings["model"]["family"]]
        self._answers = {key[0]: str(row["answer"]) for key, row in read_generations(run_folder).items()}
        self._failed = {key[0]: str(row["reason"]) for key, row in read_failures(run_folder).items()}

    def added_to(self, annotation: OwnAnnotation) -> OwnAnnotation:
        """The annotation with the actions that were said, and who said them."""
        if self._settings is None:
            return annotation
        relations: dict[tuple[int, str, int], list[tuple[int, int]]] = {}
        for stretch in stretches_of(annotation, self._options):
            self.counts.asked += 1
            if stretch.id in self._answers:
                self._read(stretch, self._answers[stretch.id], relations)
            elif stretch.id in self._failed:
                self.counts.failures[self._failed[stretch.id]] += 1
            else:
                self.counts.left += 1
        found = [
            OwnRelation(subject, predicate, target, frames=frames, spatial=False)
            for (subject, predicate, target), spans in sorted(relations.items())
            for frames in joined(spans)
        ]
        self.counts.relations += len(found)
        asked = {"model": self._settings["model"]["name"], **self._settings["actions"]}
        return dataclasses.replace(
            annotation,
            relations=(*annotation.relations, *found),
            detector={**(annotation.detector or {}), "actions": asked},
        )

    def _read(self, stretch: Stretch, text: str, into: dict[tuple[int, str, int], list[tuple[int, int]]]) -> None:
        parsed = read_step(STEP, text, context_of(stretch, self._family))
        self.counts.unread += len(parsed.unread)
        for one in parsed.value:
            begin, end = max(one.begin_frame, stretch.first), min(one.end_frame, stretch.end)
            predicate = one.predicate.lower()
            if predicate in SPATIAL_PREDICATES or one.subject_tid == one.object_tid:
                self.counts.spatial += 1
            elif begin < end:
                into.setdefault((one.subject_tid, predicate, one.object_tid), []).append((begin, end))


def joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """[begin, end) of stretches, ascending, those that touch or overlap made one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            begin, end = found[-1][0], max(end, found.pop()[1])
        found.append((begin, end))
    return found
