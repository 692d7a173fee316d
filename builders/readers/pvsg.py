"""PVSG: open questions about videos with panoptic masks; `cotasks.convert.pvsg` says what its files hold.

    pvsg/pvsg.json   pvsg/<PART>/<part>_masks.zip, or pvsg/<part>/masks/<video>/<frame>.png

A question is an entry of a video's `qa_pairs`: {time, question, answer}. A number in brackets is the id of an object,
"the girl (8)": it is taken out of the text, and the objects that question and answer name are step 1's entities; the
name of a thing without a mask, "(baby-1)", is taken out too. `time` is a frame, "0018", or the first and last of a
stretch, "0009-0047": step 1's span. Whoever wrote it knew the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cotasks.builders.readers.checks import Odd, counted_as, is_whole
from cotasks.builders.readers.own_scene import Clock, evidence_of, on_grid
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.convert import pvsg
from cotasks.convert.building import Converted, member
from cotasks.errors import InputError, shorten
from cotasks.records import own_fields as check
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.records.own import OwnAnnotation, OwnEntity, OwnEvidence
from cotasks.records.timeline import uniform_grid
from cotasks.tools.files import read_json

NAME = "pvsg"
KIND = "question"
"""PVSG has no types of questions; the category is the part that the video comes from."""

_IDS = re.compile(r"\s*\(\s*([0-9]{1,6}(?:\s*[,;/&]\s*[0-9]{1,6})*)\s*\)")
_UNMASKED = re.compile(r"\s*\([A-Za-z]+(?: [A-Za-z]+)*-[0-9]+\)")
_TIME = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


@dataclass(frozen=True)
class PvsgAnnotator(Annotator):
    """Masks and relations by video."""

    videos: Mapping[str, Mapping[str, Any]]
    """Video id -> its entry."""
    masks: Mapping[str, pvsg.Masks]
    path: str
    """Of pvsg.json."""
    num_frames: int
    strict: bool

    def missing(self, question: Question) -> str | None:
        """Whether the video has masks."""
        if question.video_id in self.masks:
            return None
        return f"{question.place}: video {question.video_id} has no masks in a *_masks.zip or a masks folder"

    def annotate(self, question: Question) -> VideoAnnotation:
        """The whole video on its uniform grid, with the boxes of the grid's masks; the masks between are not read. Odd
        boxes and relations are left out, or with `strict` refused."""
        odd, place = Odd(self.strict), f"{self.path}: {question.video_id}"
        found = Converted()
        with counted_as("malformed annotation"):
            draft = pvsg.draft_of(self.videos[question.video_id], question.video_path, place, found, odd.note)
        assert draft.fps is not None  # `draft_of` has checked it
        assert draft.frame_count is not None
        grid = uniform_grid(0, draft.frame_count - 1, self.num_frames)
        pvsg.add_boxes(draft, self.masks[question.video_id], grid, odd.note)
        odd.refuse_many(len(draft.boxes))
        annotation = OwnAnnotation(
            video=draft.video,
            entities=tuple(OwnEntity(id_, category) for id_, category in draft.entities.items()),
            boxes=tuple(draft.boxes),
            relations=tuple(draft.relations),
        )
        seen = on_grid(
            annotation,
            Clock(draft.fps, draft.frame_count, draft.width, draft.height),
            place=question.place,
            clip=None,
            reach=0.0,
            num_frames=self.num_frames,
            grid="uniform",
        )
        return replace(seen, left_out=odd.left_out())

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """The question's time, and the objects that it and its answer name."""
        first, last, ids = question.own_annotation
        if annotation.frame_count is not None and last >= annotation.frame_count:
            raise InputError(
                f"{question.place}: time is frame {last}; expected less than num_frames = {annotation.frame_count}",
                "time after the video",
            )
        span = (first / annotation.fps, last / annotation.fps)
        own = OwnEvidence((span,), tuple(ids) if ids else None, "annotation", used_answer=True)
        return evidence_of(own, {id_: id_ for id_ in ids}, annotation, question.place)

    def _frame_count(self, video_id: str) -> int:
        """As the file has it; 0 where it is none."""
        meta = self.videos[video_id].get("meta")
        found = meta.get("num_frames") if isinstance(meta, dict) else None
        return found if is_whole(found) and found > 0 else 0

    def size(self, video_id: str) -> int:
        """Masks to read, which are what takes time."""
        return min(self.num_frames, self._frame_count(video_id))

    def checksum(self, video_id: str) -> int | None:
        """Of the masks on the grid."""
        count = self._frame_count(video_id)
        return self.masks[video_id].checksum(uniform_grid(0, count - 1, self.num_frames)) if count else None


def plan(asked: Asked) -> Plan:
    """The questions of the split's videos in `pvsg.json`; PVSG has no test split.

    Raises InputError where the file is missing, or is none of PVSG's.
    """
    path = asked.require("pvsg/pvsg.json")
    data = read_json(path)
    videos, splits = pvsg.videos_of(data, str(path)), pvsg.splits_of(data, str(path))
    questions: list[Question] = []
    skipped: list[Skipped] = []
    for video_id, row in videos.items():
        part, split = splits.get(video_id, ("", "train"))
        if split != asked.short:
            continue
        place = f"{path}: {video_id}"
        for number, item in enumerate(member(row, "qa_pairs", list, place, "a list") if "qa_pairs" in row else ()):
            name, where = f"{NAME}/{asked.split}/{video_id}/{number}", f"{place}: qa_pairs[{number}]"
            try:
                if not part:
                    raise InputError(f"{where}: video {video_id} is in no split; expected train or val", "no split")
                questions.append(_question(item, row, video_id, part, name, where))
            except InputError as error:
                skipped.append(Skipped(name, error.reason, str(error)))
    masks = pvsg.find_masks(path.parent) if questions else {}
    kept = {question.video_id: videos[question.video_id] for question in questions}
    return Plan(questions, skipped, PvsgAnnotator(kept, masks, str(path), asked.num_frames, asked.strict))


def _question(item: Any, row: Mapping[str, Any], video_id: str, part: str, name: str, place: str) -> Question:
    """Raises InputError with the reason to skip it."""
    if part not in pvsg.PARTS:
        raise InputError(f"{place}: split of {shorten(part)}; expected {', '.join(pvsg.PARTS)}", "unknown part")
    if not isinstance(item, dict):
        raise InputError(f"{place} is {shorten(item)}; expected an object", "malformed question")
    things = row.get("objects")
    ids = (thing.get("object_id") for thing in things if isinstance(thing, dict)) if isinstance(things, list) else ()
    known = {id_ for id_ in ids if is_whole(id_)}
    with counted_as("malformed question"):
        question, asked_of = _plain(check.text(item.get("question"), f"{place}: question"), known)
        answer, answered_with = _plain(check.text(item.get("answer"), f"{place}: answer"), known)
    if not question or not answer:
        raise InputError(f"{place}: {shorten(item)}; expected texts beside the ids of objects", "malformed question")
    first, last = _time(item.get("time"), place)
    return Question(
        id=name,
        source=NAME,
        question_type=KIND,
        category=part,
        video_id=video_id,
        video_path=pvsg.video_path(part, video_id),
        question=question,
        answer=answer,
        additional_answers=(),
        choices=(),
        answer_index=-1,
        place=place,
        own_annotation=(first, last, sorted(asked_of | answered_with)),
    )


def _plain(text: str, known: set[int]) -> tuple[str, set[int]]:
    """The text without the ids of objects, and these; numbers in brackets that are no such ids stay."""
    named: set[int] = set()

    def take(match: re.Match[str]) -> str:
        ids = {int(number) for number in re.findall("[0-9]+", match[1])}
        if not ids <= known:
            return match[0]
        named.update(ids)
        return ""

    return _UNMASKED.sub("", _IDS.sub(take, text)).strip(), named


def _time(value: Any, place: str) -> tuple[int, int]:
    """(first, last) frame, both included."""
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) > int(match[2] or match[1]):
        expected = 'a frame, "0018", or the first and last of a stretch, "0009-0047"'
        raise InputError(f"{place}: time is {shorten(value)}; expected {expected}", "malformed question")
    return int(match[1]), int(match[2] or match[1])
