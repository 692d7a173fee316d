"""Questions and annotation -> records.

`plan_split` reads the questions of a split and sorts them by video; `build_video` reads the annotation of one video
once and makes a record, or a `Skipped` with its reason, of each of its questions. Nothing else makes records.
"""

from __future__ import annotations

import dataclasses
import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.builders.localize import Proposal, localize, read_proposals
from cotasks.builders.readers import nextgqa, nextqa, star, vidor
from cotasks.builders.sources import SHORT_SPLIT, BuildOptions, parts_of, question_file, require
from cotasks.errors import InputError
from cotasks.records.annotation import Question, Skipped, VideoAnnotation
from cotasks.records.schema import CATEGORY_OF_TYPE, Record, Span
from cotasks.steps import entity_tracking, spatial_relations, temporal_relations

NO_ANNOTATION = "no object annotation of the video"


@dataclass(frozen=True)
class VideoTask:
    """The questions of one video; what is handed to a worker."""

    video_id: str
    questions: tuple[Question | star.StarItem, ...]


@dataclass(frozen=True)
class Lookups:
    """What all videos of a split share."""

    options: BuildOptions
    trees: vidor.VidorIndex | None = None
    spans: Mapping[tuple[str, str], tuple[Span, ...]] = field(default_factory=dict)
    proposals: Mapping[str, Proposal] | None = None
    classes: star.StarClasses | None = None
    fps: Mapping[str, float] = field(default_factory=dict)


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
    unmatched_proposals: tuple[str, ...]


def plan_split(options: BuildOptions, split: str) -> SplitPlan:
    """Read the questions of a split.

    Raises InputError where a file that the split needs is missing (it says where to get it) or unreadable.
    """
    questions: list[Question | star.StarItem] = []
    skipped: list[Skipped] = []
    lookups = Lookups(options)
    if options.localization not in ("auto", "human", "lexical", "whole"):
        lookups = dataclasses.replace(lookups, proposals=read_proposals(options.localization))
    for part in parts_of(options.config):
        path = require(question_file(options, part, split), options.root)
        found, bad, lookups = (_read_star if part == "star" else _read_nextqa)(options, path, part, split, lookups)
        questions += found
        skipped += bad
    if options.limit is not None:
        questions = questions[: options.limit]
    by_video: dict[str, list[Question | star.StarItem]] = {}
    for question in questions:
        plain = _question_of(question)
        if isinstance(question, Question) and lookups.trees is not None and plain.video_id not in lookups.trees:
            skipped.append(
                Skipped(plain.id, NO_ANNOTATION, f"{plain.place}: video {plain.video_id} is in no VidOR tree")
            )
        else:
            by_video.setdefault(plain.video_id, []).append(question)
    tasks = tuple(VideoTask(video_id, tuple(items)) for video_id, items in by_video.items())
    return SplitPlan(tasks, tuple(skipped), lookups)


def _read_nextqa(
    options: BuildOptions, path: Path, part: str, split: str, lookups: Lookups
) -> tuple[list[Question], list[Skipped], Lookups]:
    root, short = options.root, SHORT_SPLIT[split]
    video_map = nextqa.read_video_map(str(require(root / "nextqa/map_vid_vidorID.json", root)))
    references = root / "nextqa/add_reference_answer_test.json"
    additional = None
    if part == "oe" and split == "test" and references.exists():
        additional = nextqa.read_additional_answers(str(references))
    questions, bad = nextqa.read_questions(
        str(path), split, video_map, multiple_choice=part == "mc", additional_answers=additional
    )
    if not options.vidor_paths:
        require(root / "vidor", root)
    trees = lookups.trees or vidor.find_annotations(options.vidor_paths)
    spans = root / f"nextgqa/gsub_{short}.json"
    if options.localization == "human" and split != "train":  # NExT-GQA has spans for val and test only
        require(spans, root)
    human = nextgqa.read_spans(str(spans)) if spans.exists() else {}
    lookups = dataclasses.replace(lookups, trees=trees, spans=human)
    return [_named(options, q) for q in questions], [_named(options, s) for s in bad], lookups


def _read_star(
    options: BuildOptions, path: Path, part: str, split: str, lookups: Lookups
) -> tuple[list[star.StarItem], list[Skipped], Lookups]:
    root = options.root
    items, bad = star.read_questions(str(path), split)
    if items:
        folder = require(root / "star/STAR_classes", root)
        fps = star.read_video_fps(str(require(folder / "video_fps", root)))
        lookups = dataclasses.replace(lookups, classes=star.read_classes(str(folder)), fps=fps)
    named = [dataclasses.replace(item, question=_named(options, item.question)) for item in items]
    return named, [_named(options, s) for s in bad], lookups


def _named(options: BuildOptions, item: Any) -> Any:
    """Questions of the embedded sample say so in source and id."""
    if options.config != "sample":
        return item
    changed = {"id": "sample/" + item.id.split("/", 1)[1]}
    return dataclasses.replace(item, **changed, **({"source": "sample"} if isinstance(item, Question) else {}))


def _question_of(item: Question | star.StarItem) -> Question:
    return item if isinstance(item, Question) else item.question


@contextmanager
def without_gc() -> Iterator[None]:
    """Parsed annotation is a great many objects without cycles: looking for cycles among them again and again more than
    doubles the time of parsing. Memory is freed all the same, by reference counts."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def build_video(task: VideoTask, lookups: Lookups) -> Iterator[Built | Skipped]:
    """Each question of a video as a record, or skipped with the reason, in the order of the task."""
    shared: VideoAnnotation | None = None
    for item in task.questions:
        question = _question_of(item)
        try:
            if isinstance(item, star.StarItem):
                yield _build(question, _star_annotation(item, lookups), lookups)
                continue
            if shared is None:
                shared = _vidor_annotation(task.video_id, lookups)
            yield _build(question, shared, lookups)
        except InputError as error:
            yield Skipped(question.id, error.reason, str(error))
            if shared is None and isinstance(item, Question):
                # the video's annotation is at fault: all its questions share its fate, unread again
                rest = task.questions[task.questions.index(item) + 1 :]
                yield from (Skipped(_question_of(q).id, error.reason, str(error)) for q in rest)
                return


def _vidor_annotation(video_id: str, lookups: Lookups) -> VideoAnnotation:
    assert lookups.trees is not None  # planned with the trees at hand
    raw = vidor.read_video(lookups.trees, video_id)
    return vidor.annotation(raw, lookups.trees.place(video_id), lookups.options.num_frames)


def _star_annotation(item: star.StarItem, lookups: Lookups) -> VideoAnnotation:
    options, question = lookups.options, item.question
    assert lookups.classes is not None  # planned with the class lists at hand
    if question.video_id not in lookups.fps:
        raise InputError(f"{item.place}: video {question.video_id} is not in video_fps", "fps of the video unknown")
    size = None
    if options.video_folder is not None:
        from cotasks.video.reading import probe

        info = probe(str(Path(options.video_folder, question.video_path)))
        size = (info.frame_count, info.width, info.height)
    fps = lookups.fps[question.video_id]
    return star.annotation(item, lookups.classes, fps, size=size, num_frames=options.num_frames, grid=options.grid)


def _build(question: Question, annotation: VideoAnnotation, lookups: Lookups) -> Built:
    """One record. Raises InputError with the reason to skip it."""
    stated = (annotation.frame_count, annotation.width, annotation.height)
    if question.size is not None and question.size != stated:
        raise InputError(
            f"{question.place}: frame_count, width, height {question.size}; the annotation has {stated}",
            "frame count or size disagrees with the annotation",
        )
    spans = lookups.spans.get((question.video_id, question.qid))
    if spans is not None:
        spans = nextgqa.clamp(spans, annotation.clip.end_seconds, question.place)
    mode = lookups.options.localization if lookups.proposals is None else "model"
    localized = localize(
        question,
        annotation,
        mode=mode,
        spans=spans,
        proposal=lookups.proposals.get(question.id) if lookups.proposals is not None else None,
        use_answer=lookups.options.use_answer,
    )
    a1, scene = localized.frame_localization, annotation.scene
    record = Record(
        id=question.id,
        source=question.source,
        question_type=question.question_type,
        category=CATEGORY_OF_TYPE[question.question_type],
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
    return Built(record, annotation.keyframes_left_out, annotation.keyframes_outside_clip, localized.unmatched)


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
        files = [question_file(options, part, split) for part in parts_of(options.config)]
        missing = [path for path in files if not path.is_file()]
        if missing:
            try:
                require(missing[0], options.root)
            except InputError as error:
                left_out[split] = str(error)
        else:
            plans[split] = plan_split(options, split)
    if not plans:
        raise InputError(f"config {options.config}: {next(iter(left_out.values()))}", "missing file")
    return plans, left_out


def no_record_line(skipped: Counter[str]) -> str:
    """Why a split is left out that has questions and no record."""
    return f"no record: {skipped.total()} questions skipped ({describe_skipped(skipped)})"
