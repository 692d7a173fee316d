"""Annotate videos: look at each, ask what happens in it, and write own data.

Work goes video by video. Any number of processes share the videos (`accelerate launch`, `torchrun`, MPI); each appends
what it finds to a file of its own, and what is there already, whoever wrote it, is not looked at again. A video that
cannot be read is a counted failure, and the rest goes on.

    work/scenes/    run.json, found/*.jsonl (one video a line, with boxes and spatial relations), failures/*.jsonl
    work/actions/   a run folder as of `cotasks generate`: what the video language model said; see `annotate.actions`

At the end the main process puts both together, in the order of the questions: the same file whoever found what, and
when.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.annotate import actions
from cotasks.annotate.asked import read_asked
from cotasks.annotate.depth import load_depth
from cotasks.annotate.detect import load_detector
from cotasks.annotate.filed import open_detections
from cotasks.annotate.kept import kept_in
from cotasks.annotate.scenes import Eyes, Looking, Scene, scenes
from cotasks.annotate.stretches import ActionOptions
from cotasks.errors import InputError
from cotasks.generate.local.batching import DEFAULT_BATCHING, Batching
from cotasks.generate.prepare import failure_row
from cotasks.generate.processes import Processes, Tally, join
from cotasks.generate.server.model import ServerOptions
from cotasks.models.load import DEFAULT_LOADING, Loading
from cotasks.records.own import OwnAnnotation, OwnQuestion, annotation_row
from cotasks.records.own_files import ANNOTATION, QUESTIONS, write_annotation, write_questions
from cotasks.runs.folder import Appender, read_folder, settle
from cotasks.tools.files import file_hash
from cotasks.tools.progress import progress_bar
from cotasks.tools.stopping import stop_signal
from cotasks.version import VERSION

WORK = "work"
SCENES, ACTIONS = f"{WORK}/scenes", f"{WORK}/actions"
FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class AnnotateResult:
    """How a folder of machine annotation stands."""

    videos: int
    """That are asked about."""
    done: int
    """Of these, annotated by this call or before."""
    new: int
    """Of these, looked at by this call, in whatever process."""
    failures: dict[str, int]
    """Reason -> how many videos failed by this call or before."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason -> what is said of the first of them, with file and line where it is of a file."""
    empty: int = 0
    """Of those annotated, without a thing."""
    entities: int = 0
    boxes: int = 0
    relations: int = 0
    said: actions.ActionCounts = field(default_factory=actions.ActionCounts)
    """What came of the questions to a video language model."""
    main: bool = True
    """Whether this is the main process; the others of a launch need not speak."""

    @property
    def complete(self) -> bool:
        """Whether every video is annotated, and every action that was asked for answered."""
        return self.done == self.videos and not self.said.failures and not self.said.left


def annotate(
    videos: str | Path,
    questions: str | Path,
    out: str | Path,
    *,
    detector: str | None = None,
    detections: str | Path | None = None,
    depth: str | None = None,
    looking: Looking | None = None,
    frames_at_once: int = FRAMES_AT_ONCE,
    model: str | None = None,
    asking: ActionOptions = ActionOptions(),  # noqa: B008
    loading: Loading = DEFAULT_LOADING,
    batching: Batching = DEFAULT_BATCHING,
    server: ServerOptions | None = None,
    retry_failures: bool = False,
) -> AnnotateResult:
    """Write own data with boxes and relations that a machine found. May be interrupted and called again; on several
    processes, each calls this alike.

    Args:
        videos: the folder that the questions' `video` is below.
        questions: a `questions.jsonl`, a folder with one, or a built data set; see `cotasks.annotate.asked`.
        out: written to, or gone on with; for `cotasks build own --data-dir`.
        detector: a checkpoint, see `cotasks.annotate.detect`; or
        detections: a file or folder of what another detector has found, see `cotasks.annotate.filed`.
        depth: a depth model, for `in_front_of` and `behind`; with a detector.
        looking: thresholds, frames, words and tracker.
        frames_at_once: most frames that the detector gets at once.
        model: the video language model that is asked for actions; none by default.
        asking: how it is asked.
        loading: how detector, depth model and model are loaded.
        batching: as of `generate`, for the model; its `workers` read videos ahead for the detector too.
        server: where the model is, if not in this process.
        retry_failures: try again what failed before.

    Raises InputError where there is nothing to look at, the arguments contradict one another, a model cannot be loaded
    or is none of its kind, or the folder was begun with other settings or is in use.
    """
    looking = looking or Looking()
    folder, out = Path(videos), Path(out)
    _check(folder, detector, detections, depth, looking)
    asked, fingerprint = read_asked(questions)
    by_video: dict[str, list[OwnQuestion]] = {}
    for question in asked:
        by_video.setdefault(question.video, []).append(question)
    # boxes and spatial relations
    source = None if detections is None else open_detections(Path(detections), list(by_video))
    group = join()
    work = out / SCENES
    with group.membership(work):
        eyes = Eyes(
            None if detector is None else load_detector(detector, looking.low, loading, frames_at_once),
            source,
            None if depth is None else load_depth(depth, loading),
        )
        _check_words(eyes, looking)
        settings = {
            "annotate": {**eyes.settings(), "words": list(looking.words), **looking.settings()},
            "dataset": {"videos": str(folder.resolve()), "questions": fingerprint},
            "detections": None if detections is None else _hash_of(Path(detections)),
            "versions": {"cotasks": VERSION},
        }
        left = _plan(group, settings, list(by_video), retry_failures)
        with _Progress(group, len(by_video), len(left)) as progress, stop_signal(group.main) as stopped:
            with group.failing_alone(stopped), Appender(work / "found" / group.shard) as found_file:
                taken = _claims(group, left)
                workers = batching.threads(group.local_size)
                for scene in scenes(taken, folder, by_video, eyes, looking, workers=workers, stopped=stopped):
                    if scene.annotation is not None:
                        found_file.append(annotation_row(scene.annotation))
                    else:
                        _append_failure(work / "failures" / group.shard, scene.video, scene.error)
                    progress.add(scene)
                if stopped():
                    raise KeyboardInterrupt
            lost = group.wait_for_all(stopped, progress.show)
            new = group.total(progress.tally).answers
    for rank, why in lost.items() if group.main else ():
        print(f"process {rank} of {group.size} failed: {why}", file=sys.stderr)
    del eyes  # the detector makes room for the model
    # actions
    if model is not None and not lost:
        with_model: dict[str, Any] = {
            "loading": loading,
            "batching": batching,
            "server": server,
            "retry_failures": retry_failures,
        }
        actions.ask(kept_in(work / "found"), list(by_video), folder, out / ACTIONS, model, asking, **with_model)
    if not group.main:
        return AnnotateResult(len(by_video), 0, 0, {}, main=False)
    write_questions(out / QUESTIONS, asked)
    return _write(out, list(by_video), new)


def _check(
    folder: Path, detector: str | None, detections: str | Path | None, depth: str | None, looking: Looking
) -> None:
    """Raises InputError where the arguments contradict one another, or there is no folder of videos."""
    if (detector is None) == (detections is None):
        raise InputError(f"detector {detector}, detections {detections}; expected one of the two")
    if depth is not None and detector is None:
        raise InputError(f"depth {depth} with detections from a file; expected it with a detector")
    if looking.tracker == "filed" and detections is None:
        raise InputError("tracker filed without detections from a file; expected bytetrack")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the videos")


def _check_words(eyes: Eyes, looking: Looking) -> None:
    """Raises InputError where no word is one of a detector's labels, or a tokenizer does not hold one."""
    if eyes.detector is None:
        return
    if not eyes.detector.words_of(looking.words) and looking.words:
        labels = ", ".join(eyes.detector.labels[:12]) + (", ..." if len(eyes.detector.labels) > 12 else "")
        raise InputError(f"words {', '.join(looking.words)}: none is a label of the detector; expected of {labels}")


def _hash_of(path: Path) -> str:
    """sha256 of a file, or over names and content of a folder's files."""
    if path.is_file():
        return file_hash(path)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file_hash(file)}\n".encode())
    return digest.hexdigest()


def _plan(group: Processes, settings: dict[str, Any], videos: Sequence[str], retry_failures: bool) -> list[str]:
    """Settle run.json and find which videos are left; all processes go by the main one's list."""
    if group.main:
        group.wait_until_joined()
    left = None if group.main else group.wait_for_main("plan")
    settle(group.run_folder, settings)
    if left is None:
        done = kept_in(group.run_folder / "found")
        failed = set() if retry_failures else _failures(group.run_folder).keys()
        left = [video for video in videos if video not in done and video not in failed]
        group.say("plan", left)
    return list(left)


def _claims(group: Processes, left: Sequence[str]) -> Iterator[str]:
    """The videos that no other process takes."""
    while (number := group.claim()) < len(left):
        yield left[number]


def _failures(work: Path) -> dict[str, tuple[str, str]]:
    """{video: (reason, what is said of it)} of those that failed and were not found anything in afterwards."""
    done = kept_in(work / "found")
    rows = {row["video_id"]: (str(row["reason"]), str(row.get("detail", ""))) for row in read_folder(work / "failures")}
    return {video: said for video, said in rows.items() if video not in done}


def _append_failure(path: Path, video: str, error: BaseException | None) -> None:
    with Appender(path) as file:
        file.append(failure_row((video, "scene", 0), video, error or InputError(f"{video}: not annotated")))


class _Progress(AbstractContextManager["_Progress"]):
    """What this process has done, and the bar that shows what all have."""

    def __init__(self, group: Processes, videos: int, left: int) -> None:
        self.group, self.videos, self.left, self.tally = group, videos, left, Tally()
        self._bar = progress_bar("videos") if group.main else nullcontext(lambda task, done, total: None)

    def __enter__(self) -> _Progress:
        self._update = self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def add(self, scene: Scene) -> None:
        """A video is done, or has failed."""
        self.tally.answers += scene.annotation is not None
        self.tally.videos += 1
        if scene.annotation is None:
            self.tally.failures["failed"] += 1
        self.group.report(self.tally)
        self.show()

    def show(self) -> None:
        """Say how far all processes are."""
        if self.group.main:
            self._update("annotate", self.videos - self.left + self.group.total(self.tally).videos, self.videos)


def _write(out: Path, videos: Sequence[str], new: int) -> AnnotateResult:
    """Write the annotation file from what there is, and count it."""
    found, said = kept_in(out / SCENES / "found"), actions.Said(out / ACTIONS)
    counts: Counter[str] = Counter()

    def rows() -> Iterator[OwnAnnotation]:
        for video in videos:
            if video not in found:
                continue
            annotation = said.added_to(found.annotation(video))
            counts["videos"] += 1
            counts["empty"] += not annotation.entities
            for name in ("entities", "boxes", "relations"):
                counts[name] += len(getattr(annotation, name))
            yield annotation

    write_annotation(out / ANNOTATION, rows())
    among = set(videos)
    failed = [said for video, said in _failures(out / SCENES).items() if video in among]
    failures = Counter(reason for reason, _ in failed)
    return AnnotateResult(
        videos=len(videos),
        done=counts["videos"],
        new=new,
        failures=dict(sorted(failures.items())),
        examples=dict(reversed(failed)),
        empty=counts["empty"],
        entities=counts["entities"],
        boxes=counts["boxes"],
        relations=counts["relations"],
        said=said.counts,
    )
