"""Questions and annotation -> records.

`plan_split` reads the questions of a split and sorts them by video; `build_video` reads the annotation of one video
once and makes a record, or a `Skipped` with its reason, of each of its questions. Nothing else makes records.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cotasks.builders.localize import Proposal, localize, read_proposals
from cotasks.builders.readers.source import Annotator
from cotasks.builders.sources import BuildOptions, question_files
from cotasks.errors import InputError, shorten
from cotasks.records.annotation import LeftOut, Question, Skipped, VideoAnnotation
from cotasks.records.check import faults
from cotasks.records.schema import FrameLocalization, Record, records_to_table
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations

NO_ANNOTATION = "no object annotation of the video"


@dataclass(frozen=True)
class VideoTask:
    """The questions of one video; what is handed to a worker."""

    video_id: str
    questions: tuple[Question, ...]
    part: int = 0
    """Which of the annotators has the video."""


@dataclass(frozen=True)
class Lookups:
    """What all videos of a split share."""

    options: BuildOptions
    annotators: tuple[Annotator, ...]
    """One for each part of the source."""
    proposals: Mapping[str, Proposal] | None = None

    def annotator(self, task: VideoTask) -> Annotator:
        """The annotator that has a task's video."""
        return self.annotators[task.part]


@dataclass(frozen=True)
class SplitPlan:
    """A split before its videos are read."""

    tasks: tuple[VideoTask, ...]
    skipped: tuple[Skipped, ...]
    """Questions that no annotation need be read for to skip."""
    lookups: Lookups


@dataclass(frozen=True)
class Built:
    """A record, and what the build counts about it."""

    record: Record
    keyframes_left_out: int
    keyframes_outside_clip: int
    boxes_rescaled: bool
    unmatched_proposals: tuple[str, ...]
    place: str
    """Of its question, for messages."""
    left_out: tuple[LeftOut, ...] = ()
    """What its video's annotation goes without; with the first record of the video alone."""
    stated: Mapping[str, Any] | None = None
    """See `Annotator.stated`."""


def plan_split(options: BuildOptions, split: str) -> SplitPlan:
    """Read the questions of a split.

    Raises InputError where a file that the split needs is missing (it says where to get it) or unreadable.
    """
    proposals = None
    if options.localization not in ("auto", "human", "lexical", "whole"):
        proposals = read_proposals(options.localization)
    asked = options.asked(split)
    plans = [read(asked) for read in options.source.parts]
    questions = [(part, question) for part, plan in enumerate(plans) for question in plan.questions]
    skipped = [item for plan in plans for item in plan.skipped]
    by_video: dict[tuple[int, str], list[Question]] = {}
    for part, question in questions[: options.limit]:
        missing = plans[part].annotator.missing(question)
        if missing is None:
            by_video.setdefault((part, question.video_id), []).append(question)
        else:
            skipped.append(Skipped(question.id, NO_ANNOTATION, missing))
    name = options.source.renamed
    if name is not None:
        by_video = {
            key: [dataclasses.replace(q, id=_renamed(q.id, name), source=name) for q in found]
            for key, found in by_video.items()
        }
        skipped = [dataclasses.replace(item, id=_renamed(item.id, name)) for item in skipped]
    tasks = tuple(VideoTask(video_id, tuple(found), part) for (part, video_id), found in by_video.items())
    lookups = Lookups(options, tuple(plan.annotator for plan in plans), proposals)
    return SplitPlan(tasks, tuple(skipped), lookups)


def _renamed(record_id: str, name: str) -> str:
    return f"{name}/" + record_id.split("/", 1)[1]


def build_video(task: VideoTask, lookups: Lookups) -> Iterator[Built | Skipped]:
    """Each question of a video as a record, or skipped with the reason, in the order of the task."""
    annotator = lookups.annotator(task)
    key: str | None = None
    annotation: VideoAnnotation | InputError | None = None
    is_first = True  # of the records that share the annotation
    for question in task.questions:
        if annotation is None or annotator.key(question) != key:
            key, is_first = annotator.key(question), True
            try:
                annotation = annotator.annotate(question)
            except InputError as error:
                annotation = error  # all questions that share it share its fate
        try:
            if isinstance(annotation, InputError):
                raise annotation
            built = _build(question, annotation, annotator, lookups)
            yield dataclasses.replace(built, left_out=annotation.left_out) if is_first else built
            is_first = False
        except InputError as error:
            yield Skipped(question.id, error.reason, str(error))


def _build(question: Question, annotation: VideoAnnotation, annotator: Annotator, lookups: Lookups) -> Built:
    """One record. Raises InputError with the reason to skip it."""
    stated = (annotation.frame_count, annotation.width, annotation.height)
    if question.size is not None and question.size != stated:
        raise InputError(
            f"{question.place}: frame_count, width, height {question.size}; the annotation has {stated}",
            "frame count or size disagrees with the annotation",
        )
    mode = lookups.options.localization if lookups.proposals is None else "model"
    localized = localize(
        question,
        annotation,
        mode=mode,
        evidence=annotator.evidence(question, annotation),
        proposal=lookups.proposals.get(question.id) if lookups.proposals is not None else None,
        use_answer=lookups.options.use_answer,
    )
    record = record_of(question, annotation, localized.frame_localization)
    return Built(
        record=record,
        keyframes_left_out=annotation.keyframes_left_out,
        keyframes_outside_clip=annotation.keyframes_outside_clip,
        boxes_rescaled=annotation.boxes_rescaled,
        unmatched_proposals=localized.unmatched,
        place=question.place,
        stated=annotator.stated(question),
    )


def record_of(question: Question, annotation: VideoAnnotation, a1: FrameLocalization) -> Record:
    """A question on the annotation of its video, with step 1 as given and the other steps from it."""
    scene = annotation.scene
    return Record(
        id=question.id,
        source=question.source,
        question_type=question.question_type,
        category=question.category or question.question_type,
        video_id=question.video_id,
        video_path=question.video_path,
        fps=annotation.fps,
        frame_count=annotation.frame_count,
        width=annotation.width,
        height=annotation.height,
        clip=annotation.clip,
        question=question.question,
        answer=question.answer,
        additional_answers=question.additional_answers,
        choices=question.choices,
        answer_index=question.answer_index,
        frames=annotation.frames,
        frame_localization=a1,
        entity_tracking=entity_tracking.construct(scene, a1),
        spatial_relations=spatial_relations.construct(scene, a1),
        temporal_relations=temporal_relations.construct(scene, a1, annotation.fps),
        scene=scene,
    )


def checked(items: Sequence[Built | Skipped]) -> tuple[list[Built | Skipped], pa.Table | None]:
    """The items, with those records skipped that hold what the schema does not allow, and the table of the others; None
    where there is none. So what is built can be loaded."""
    items = list(items)
    while built := [(place, item) for place, item in enumerate(items) if isinstance(item, Built)]:
        table = records_to_table([item.record for _, item in built])
        found = {fault.row: fault for fault in reversed(faults(table))}
        if not found:
            return items, table
        for row, fault in found.items():
            place, item = built[row]
            detail = f"{item.place}: {fault.field} is {shorten(fault.value)}; expected {fault.expected}"
            items[place] = Skipped(item.record.id, f"{fault.field} is not what a record holds", detail)
    return items, None


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """`3 no human span, 1 unknown category`: counts by reason, most first."""
    return ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items(), key=lambda item: (-item[1], item[0])))


def plan_splits(options: BuildOptions, splits: Iterable[str]) -> tuple[dict[str, SplitPlan], dict[str, str]]:
    """Plans of the splits whose questions are there, and for each other split one line that says why it is left out.

    Raises InputError where no split has its file, or a file that all splits need is missing or unreadable.
    """
    plans: dict[str, SplitPlan] = {}
    left_out: dict[str, str] = {}
    for split in splits:
        missing = [path for path in question_files(options, split) if not path.is_file()]
        if missing:
            try:
                options.asked(split).require(missing[0].relative_to(options.root).as_posix())
            except InputError as error:
                left_out[split] = str(error)
            continue
        plan = plan_split(options, split)
        if plan.tasks or plan.skipped:
            plans[split] = plan
        else:
            left_out[split] = "no question"
    if not plans:
        raise InputError(f"config {options.config}: {next(iter(left_out.values()))}", "missing file")
    return plans, left_out


def no_record_line(skipped: Counter[str]) -> str:
    """Why a split is left out that has questions and no record."""
    return f"no record: {skipped.total()} questions skipped ({describe_skipped(skipped)})"
