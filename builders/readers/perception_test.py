"""Perception Test: multiple-choice and grounded questions, with object tracks and action segments.

    perception_test/{train,valid,test}_annotations.zip   each with one JSON file, read in place
    perception_test/cut_frame_mapping_{train,valid}.json

The JSON is an object by video id: `metadata` {split, frame_rate, num_frames, resolution [height, width]},
`object_tracking`, `action_localisation`, `mc_question`, `grounded_question`; `perception_tracks` reads the annotation.
`cut_frame_mapping` names the frame at which a video is cut because its end gives answers away: the clip ends before it;
-1, or no entry, is no cut. Points and sounds are not used.

A multiple-choice question has three `options` and `answer_id`, 0 to 2. A grounded question is answered with the ids of
tracks, `answers`: these are step 1's entities, its spans run over annotated frames in a row on which one of them has a
box, and the answer's text is their labels, in that order, joined by commas. `used_answer` is true: step 1 is the
answer. The category is `area`, the type `reasoning`, with "grounded" in front for those; `tag` is in no record. The
test split has no answers.

Patraucean et al., "Perception Test: A Diagnostic Benchmark for Multimodal Video Models", NeurIPS 2023; files of
github.com/google-deepmind/perception_test.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import orjson

from cotasks.builders.readers import perception_tracks as tracks
from cotasks.builders.readers.checks import counted_as, expect_list, expect_object, is_whole, unique_ids
from cotasks.builders.readers.own_scene import category_name, evidence_of, on_grid
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.errors import InputError, shorten, stop_at_environment_fault
from cotasks.records import own_fields as check
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.records.own import OwnEvidence
from cotasks.records.timeline import spans_of_frames
from cotasks.tools.archives import FAULTS
from cotasks.tools.files import read_json, utf8

NAME = "perception_test"
SPLITS = {"train": "train", "validation": "valid", "test": "test"}
"""Split -> what the publishers call it."""
AREAS = ("memory", "abstraction", "physics", "semantics")
REASONINGS = ("descriptive", "explanatory", "predictive", "counterfactual")
"""What `area` and `reasoning` can be, in either case."""
FAULT = "malformed question"


@dataclass(frozen=True)
class PerceptionAnnotator(Annotator):
    """Tracks and actions by video."""

    videos: Mapping[str, bytes]
    """Video id -> its annotation, packed."""
    cuts: Mapping[str, object]
    """Video id -> frame at which it is cut."""
    path: str
    num_frames: int
    grid: Literal["snapped", "uniform"]
    strict: bool

    def missing(self, question: Question) -> str | None:
        """Whether any object is tracked in the video."""
        if question.video_id in self.videos:
            return None
        return f"{question.place}: video {question.video_id} has no object_tracking"

    def annotate(self, question: Question) -> VideoAnnotation:
        """The video up to its cut, on its grid; see `perception_tracks.annotation_of`."""
        raw = orjson.loads(zlib.decompress(self.videos[question.video_id]))
        place = f"{self.path}: {question.video_id}"
        annotation, clock, odd = tracks.annotation_of(raw, question.video_path, place, strict=self.strict)
        seen = on_grid(
            annotation,
            clock,
            place=place,
            clip=_clip(self.cuts.get(question.video_id, -1), clock, place),
            reach=0.0,
            num_frames=self.num_frames,
            grid=self.grid,
        )
        return replace(seen, left_out=odd.left_out())

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """The tracks that answer a grounded question; None for a multiple-choice one."""
        if question.own_annotation is None:
            return None
        in_clip = {entity.tid for entity in annotation.scene.entities}
        hidden = [tid for tid in question.own_annotation if tid not in in_clip]
        if hidden:
            raise InputError(
                f"{question.place}: answers holds {hidden[0]}; expected a track with a box in the clip",
                "answer not to be seen in the clip",
            )
        spans = _spans(annotation, set(question.own_annotation))
        own = OwnEvidence(spans, tuple(question.own_annotation), "annotation", used_answer=True)
        return evidence_of(own, {tid: tid for tid in in_clip}, annotation, question.place)

    def size(self, video_id: str) -> int:
        """Packed, which goes with what there is to parse."""
        return len(self.videos[video_id])


def _spans(annotation: VideoAnnotation, tids: set[int]) -> tuple[tuple[float, float], ...]:
    """When one of the tracks is seen: unbroken runs over the grid's annotated frames, about one a second."""
    tracked = annotation.scene.entity_tracking
    annotated = {box.frame for track in tracked for box in track.boxes}
    seen = {box.frame for track in tracked if track.tid in tids for box in track.boxes}
    frames = [frame for frame in annotation.frames if frame.index in annotated]
    return tuple((span.start_seconds, span.end_seconds) for span in spans_of_frames(seen, frames))


def _clip(cut: object, clock: tracks.Clock, place: str) -> tuple[float, float] | None:
    """The clip up to the last frame before the cut; None for the whole video."""
    if cut == -1 and is_whole(cut):
        return None
    most = clock.frame_count or 0
    if not is_whole(cut) or not 1 < cut <= most:
        raise InputError(
            f"{place}: cut_frame_mapping: {shorten(cut)}; expected -1, or a frame from 2 to num_frames = {most}",
            "bad cut frame",
        )
    return 0.0, (cut - 1) / clock.fps


def plan(asked: Asked) -> Plan:
    """The questions of a split's file, first multiple choice, then grounded, video by video.

    Raises InputError where a file is missing, or is none of the publishers'.
    """
    short = SPLITS[asked.split]
    path = asked.require(f"{NAME}/{short}_annotations.zip")
    cuts: Mapping[str, object] = {}
    if asked.split != "test":
        cut_file = asked.require(f"{NAME}/cut_frame_mapping_{short}.json")
        cuts = expect_object(read_json(cut_file), str(cut_file))
    state = path.stat()
    place, found, videos = _read(str(path), short, state.st_mtime_ns, state.st_size)
    bases = [f"{NAME}/{asked.split}/{video_id}/{kind}-{_id_of(item)}" for video_id, kind, item, _ in found]
    texts = [(str(_field(item, "question")), str(_field(item, "answer_id")), ()) for _, _, item, _ in found]
    questions: list[Question] = []
    skipped: list[Skipped] = []
    for name, (video_id, kind, item, labels) in zip(unique_ids(bases, texts), found, strict=True):
        try:
            where = f"{place}: {video_id}: {kind}_question {_id_of(item)}"
            if isinstance(labels, InputError):
                raise labels
            questions.append(_question(item, kind, labels, video_id, name, where))
        except InputError as error:
            skipped.append(Skipped(name, error.reason, str(error)))
    annotator = PerceptionAnnotator(videos, cuts, place, asked.num_frames, asked.grid, asked.strict)
    return Plan(questions, skipped, annotator)


Found = tuple[str, str, Any, dict[Any, str] | InputError]
"""(video, `mc` or `grounded`, question, labels of the video's tracks or what is wrong with the video)."""


@lru_cache(maxsize=1)
def _read(path: str, short: str, mtime: int, size: int) -> tuple[str, tuple[Found, ...], Mapping[str, bytes]]:
    """(place, questions, annotation by video) of a file. What no step needs is dropped, and the rest packed: points and
    sounds are most of it."""
    place, content = _member(Path(path))
    try:
        data = expect_object(orjson.loads(utf8(content, place)), place)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error}") from None
    del content
    found: list[Found] = []
    videos: dict[str, bytes] = {}
    for video_id in list(data):
        raw = data.pop(video_id)
        where = f"{place}: {video_id}"
        raw = expect_object(raw, where, "malformed annotation")
        labels = _labels(raw, video_id, short, where)
        for kind in ("mc", "grounded"):
            items = raw.get(f"{kind}_question") or []
            found += [(video_id, kind, item, labels) for item in expect_list(items, f"{where}: {kind}_question")]
        if raw.get("object_tracking"):
            kept = {name: raw.get(name) for name in ("metadata", "object_tracking", "action_localisation")}
            videos[video_id] = zlib.compress(orjson.dumps(kept), 1)
    return place, tuple(found), videos


def _member(path: Path) -> tuple[str, bytes]:
    """(place, content) of the one JSON file of a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".json") and "__MACOSX" not in n.split("/")]
            if len(names) != 1:
                raise InputError(f"{path}: {len(names)} JSON files; expected one, such as all_train.json")
            return f"{path}!{names[0]}", archive.read(names[0])
    except FAULTS as error:
        stop_at_environment_fault(error, path)
        raise InputError(f"{path}: not a readable zip: {error}", "damaged annotation file") from None


def _labels(raw: Mapping[str, Any], video_id: str, short: str, place: str) -> dict[Any, str] | InputError:
    """Label by id of the video's tracks, or what is wrong with its metadata."""
    metadata = raw.get("metadata")
    said = metadata.get("split") if isinstance(metadata, dict) else None
    if said != short:
        return InputError(f"{place}: metadata.split is {shorten(said)}; expected {short}", "video of another split")
    if isinstance(metadata, dict) and metadata.get("video_id", video_id) != video_id:
        found = shorten(metadata["video_id"])
        return InputError(f"{place}: metadata.video_id is {found}; expected {video_id}", "malformed annotation")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", video_id):
        return InputError(f"{place}: video id {shorten(video_id)}; expected a name", "malformed annotation")
    items = raw.get("object_tracking")
    return dict(_labelled(items if isinstance(items, list) else []))


def _labelled(items: list[Any]) -> Iterator[tuple[Any, str]]:
    for item in items:
        if isinstance(item, dict) and is_whole(item.get("id")) and isinstance(item.get("label"), str):
            yield item["id"], item["label"]


def _field(item: Any, name: str) -> Any:
    return item.get(name, "") if isinstance(item, dict) else ""


def _id_of(item: Any) -> str:
    found = _field(item, "id")
    return str(found) if is_whole(found) else "?"


def _question(item: Any, kind: str, labels: Mapping[Any, str], video_id: str, name: str, place: str) -> Question:
    """Raises InputError with the reason to skip it."""
    item = expect_object(item, place, FAULT)
    if not is_whole(item.get("id")):
        raise InputError(f"{place}: id is {shorten(item.get('id'))}; expected a whole number", FAULT)
    with counted_as(FAULT):
        text = check.text(item.get("question"), f"{place}: question")
    area, reasoning = (_one_of(item, key, known, place) for key, known in (("area", AREAS), ("reasoning", REASONINGS)))
    choices: tuple[str, ...] = ()
    index, tids = -1, None
    if kind == "mc":
        choices, index = _options(item, place)
        answer = choices[index]
    else:
        tids = _answers(item, labels, place)
        answer = ", ".join(category_name(labels[tid]) for tid in tids)
    return Question(
        id=name,
        source=NAME,
        question_type=reasoning if kind == "mc" else f"grounded {reasoning}",
        category=area,
        video_id=video_id,
        video_path=f"{video_id}.mp4",
        question=text,
        answer=answer,
        additional_answers=(),
        choices=choices,
        answer_index=index,
        place=place,
        qid=str(item["id"]),
        own_annotation=tids,
    )


def _one_of(item: Mapping[str, Any], key: str, known: tuple[str, ...], place: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or value.strip().lower() not in known:
        raise InputError(f"{place}: {key} is {shorten(value)}; expected one of {', '.join(known)}", f"unknown {key}")
    return value.strip().lower()


def _options(item: Mapping[str, Any], place: str) -> tuple[tuple[str, ...], int]:
    """The three options, and which is right."""
    options = expect_list(item.get("options"), f"{place}: options", FAULT)
    if len(options) != 3:
        raise InputError(f"{place}: {len(options)} options; expected 3", FAULT)
    with counted_as(FAULT):
        choices = tuple(check.text(text, f"{place}: options") for text in options)
    index = item.get("answer_id")
    if index is None:
        raise InputError(f"{place}: no answer_id; expected 0 to 2", "no answer")
    if not is_whole(index) or not 0 <= index <= 2:
        raise InputError(f"{place}: answer_id is {shorten(index)}; expected 0 to 2", "answer out of range")
    return choices, index


def _answers(item: Mapping[str, Any], labels: Mapping[Any, str], place: str) -> tuple[int, ...]:
    """The ids of the tracks that answer, each once, in the order of the file."""
    answers = item.get("answers")
    if answers is None or answers == []:
        raise InputError(f"{place}: answers is {shorten(answers)}; expected ids of tracks", "no answer")
    for tid in expect_list(answers, f"{place}: answers", FAULT):
        if not is_whole(tid) or tid not in labels:
            raise InputError(
                f"{place}: answers holds {shorten(tid)}; expected the id of a track with a label",
                "answer without a track",
            )
    return tuple(dict.fromkeys(answers))
