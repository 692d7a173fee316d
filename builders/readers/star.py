"""STAR: questions with their situation graphs, class lists, and the table of frame rates.

Wu et al., "STAR: A Benchmark for Situated Reasoning in Real-World Videos", NeurIPS 2021 (datasets and
benchmarks); files of github.com/csbobby/STAR_Benchmark. Videos are those of Charades scaled to 480p.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cotasks.builders.readers.checks import expect_list, expect_object, is_number, is_whole, unique_ids
from cotasks.builders.readers.plain_pickle import read_plain_pickle
from cotasks.builders.readers.situations import StarClasses, StarItem, annotation
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.builders.readers.star_video import fit_to_file
from cotasks.errors import InputError, shorten
from cotasks.records.annotation import Question, Skipped, VideoAnnotation
from cotasks.records.schema import Span
from cotasks.tools.files import read_json, read_text
from cotasks.words.types import STAR

TYPES = tuple(STAR.categories)
"""What a question_id begins with (Wu et al. 2021, section 3)."""

MAX_SECONDS = 1e6
"""No clip ends later; what does is a damaged number."""


@dataclass(frozen=True)
class StarAnnotator(Annotator):
    """The situations of each question: they come with it, on a grid of its own clip."""

    classes: StarClasses | None
    """None where there is no question."""
    fps: Mapping[str, float]
    sizes: Mapping[str, tuple[int, int, int]]
    """See `read_video_sizes`; a video's header is believed before it."""
    videos: str | None
    num_frames: int
    grid: Literal["snapped", "uniform"]

    def key(self, question: Question) -> str:
        """Each question has an annotation of its own."""
        return question.id

    def annotate(self, question: Question) -> VideoAnnotation:
        """See `situations.annotation`; where the videos are at hand, size and boxes are those of the file, see
        `fit_to_file`; else the size comes from `sizes`."""
        assert self.classes is not None  # read with the questions
        if question.video_id not in self.fps:
            fault = f"{question.place}: video {question.video_id} is not in video_fps"
            raise InputError(fault, "fps of the video unknown")
        (clip, situations), fps = question.own_annotation, self.fps[question.video_id]
        size, rescaled = self.sizes.get(question.video_id), False
        if self.videos is not None:
            situations, size, rescaled = fit_to_file(situations, clip, fps, size, self.videos, question.video_path)
        item = StarItem(question, clip, situations)
        found = annotation(item, self.classes, fps, size=size, num_frames=self.num_frames, grid=self.grid)
        return replace(found, boxes_rescaled=rescaled)


def plan(asked: Asked) -> Plan:
    """The questions of `STAR_<split>.json`, and their situations.

    Raises InputError where a file is missing or cannot be read.
    """
    items, skipped = read_questions(str(asked.require(f"star/STAR_{asked.short}.json")), asked.split)
    classes, fps, sizes = None, {}, {}
    if items:
        folder = asked.require("star/STAR_classes")
        fps = read_video_fps(str(asked.require("star/STAR_classes/video_fps")))
        classes = read_classes(str(folder))
        if (path := asked.root / "star/video_sizes.json").exists():
            sizes = read_video_sizes(str(path))
    questions = [replace(item.question, own_annotation=(item.clip, item.situations)) for item in items]
    return Plan(questions, skipped, StarAnnotator(classes, fps, sizes, asked.videos, asked.num_frames, asked.grid))


def read_classes(folder: str) -> StarClasses:
    """The class lists of a folder: `object_classes.txt`, `relationship_classes.txt`, `action_classes.txt`,
    `verb_classes.txt` and `action_mapping.txt`, lines of `code name`, or `action verb object`.

    Raises InputError naming file and line for a missing file, a line that reads otherwise, a code that comes
    twice, an action without a mapping or one to unknown codes.
    """
    objects = _read_codes(Path(folder, "object_classes.txt"), "o")
    verbs = _read_codes(Path(folder, "verb_classes.txt"), "v")
    actions = _read_codes(Path(folder, "action_classes.txt"), "a")
    path = Path(folder, "action_mapping.txt")
    mapping: dict[str, tuple[str, str]] = {}
    for action, target in _read_codes(path, "a").items():
        verb, _, thing = target.partition(" ")
        if action not in actions or verb not in verbs or thing not in objects:
            raise InputError(
                f"{path}: {shorten(f'{action} {target}')}; expected known codes of action, verb and object"
            )
        mapping[action] = (verb, thing)
    for action in actions:
        if action not in mapping:
            raise InputError(f"{path}: no line for {action}; expected one for each action")
    return StarClasses(objects, _read_codes(Path(folder, "relationship_classes.txt"), "r"), actions, verbs, mapping)


def _read_codes(path: Path, letter: str) -> dict[str, str]:
    """Lines `x000 name` -> {"x000": "name"}; the last line may lack its line feed."""
    lines = read_text(path).removesuffix("\n").split("\n")
    codes: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(rf"({letter}[0-9]{{3}}) (\S(?:.*\S)?)\s*", line)
        if not match:
            raise InputError(f"{path}:{number}: {shorten(line)}; expected a code such as {letter}000, a blank, a name")
        if match[1] in codes:
            raise InputError(f"{path}:{number}: {match[1]} comes a second time; expected once")
        codes[match[1]] = match[2]
    return codes


def read_video_fps(path: str) -> dict[str, float]:
    """Frames a second by video id, from `video_fps`: a pickle of `{"BE43L.mp4": 29.97, ...}` that is never
    unpickled.

    Raises InputError where the file is missing, holds an opcode that a plain dict of str, float and int does
    not need, a key that is no `<id>.mp4`, or a value that is not > 0.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    rates: dict[str, float] = {}
    for name, value in read_plain_pickle(data, path).items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.mp4", name):
            raise InputError(f"{path}: key {shorten(name)}; expected <video id>.mp4")
        if not is_number(value) or value <= 0:
            raise InputError(f"{path}: {name}: {shorten(value)}; expected frames a second, > 0")
        rates[name.removesuffix(".mp4")] = float(value)
    return rates


def read_video_sizes(path: str) -> dict[str, tuple[int, int, int]]:
    """(number of frames, width, height) by video id, from `video_sizes.json`: `{"BE43L.mp4": [700, 480, 270], ...}`.

    It is no file of the publishers', who say neither: it spares who has it the videos. Raises InputError where the file
    is missing or no JSON, where a key is no `<id>.mp4`, or a value is not three whole numbers of 1 or more.
    """
    sizes: dict[str, tuple[int, int, int]] = {}
    for name, value in expect_object(read_json(Path(path)), path, "malformed file").items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.mp4", name):
            raise InputError(f"{path}: key {shorten(name)}; expected <video id>.mp4")
        if not isinstance(value, list) or len(value) != 3 or not all(is_whole(n) and n >= 1 for n in value):
            raise InputError(f"{path}: {name}: {shorten(value)}; expected [frames, width, height], each 1 or more")
        frames, width, height = value
        sizes[name.removesuffix(".mp4")] = frames, width, height
    return sizes


def read_questions(path: str, split: str) -> tuple[list[StarItem], list[Skipped]]:
    """Read `STAR_<split>.json`.

    Ids are `star/<split>/<question_id>` (see `checks.unique_ids` for ids that come twice). Choices are put in
    order of `choice_id`, 0 to 3; the answer is the text of exactly one of them.

    Args:
        path: the JSON file.
        split: train, validation or test; part of the ids.

    Returns:
        The questions with their situations, and those that cannot be used with the reason, each in the order of
        the file: all of STAR's test file has "no situations".

    Raises:
        InputError: the file is missing or not a JSON list.
    """
    items = expect_list(read_json(Path(path)), path)
    fields = [item if isinstance(item, dict) else {} for item in items]
    bases = [f"star/{split}/{f.get('question_id') or '?'}" for f in fields]
    texts = [(str(f.get("question", "")), str(f.get("answer", "")), [str(f.get("choices", ""))]) for f in fields]
    read: list[StarItem] = []
    skipped: list[Skipped] = []
    for number, (name, item) in enumerate(zip(unique_ids(bases, texts), items, strict=True)):
        try:
            read.append(_item(name, item, path, number))
        except InputError as error:
            skipped.append(Skipped(name, error.reason, str(error)))
    return read, skipped


def _item(name: str, item: object, path: str, number: int) -> StarItem:
    """One entry of the list -> question and situations. Raises InputError with the reason to skip it."""
    fault = "malformed question"
    fields = expect_object(item, f"{path}: entry {number}", fault)
    question_id = fields.get("question_id")
    kind = question_id.split("_")[0] if isinstance(question_id, str) else None
    if not isinstance(question_id, str) or kind not in TYPES:
        raise InputError(
            f"{path}: entry {number}: question_id is {shorten(question_id)}; expected one that begins with "
            f"{', '.join(TYPES)}",
            "unknown type",
        )
    place = f"{path}: {question_id}"
    question, video = (_text(fields, key, place) for key in ("question", "video_id"))
    if not re.fullmatch("[A-Za-z0-9_-]+", video):
        raise InputError(f"{place}: video_id is {shorten(video)}; expected letters and digits", fault)
    start, end = fields.get("start"), fields.get("end")
    if not is_number(start) or not is_number(end) or not 0 <= start < end < MAX_SECONDS:
        raise InputError(
            f"{place}: start {shorten(start)}, end {shorten(end)}; expected 0 <= start < end < {MAX_SECONDS:.0f} s",
            fault,
        )
    choices = _choices(fields, place)
    situations = fields.get("situations")
    if not situations:
        raise InputError(f"{place}: situations is {shorten(situations)}", "no situations")
    answer = _text(fields, "answer", place)
    found = [i for i, choice in enumerate(choices) if choice == answer]
    if len(found) != 1:
        raise InputError(
            f"{place}: answer {shorten(answer)} is the text of {len(found)} choices; expected one",
            "answer stands twice among the choices" if found else "answer not among the choices",
        )
    return StarItem(
        question=Question(
            id=name,
            source="star",
            question_type=kind,
            category=STAR.categories[kind],
            video_id=video,
            video_path=f"{video}.mp4",
            question=question,
            answer=answer,
            additional_answers=(),
            choices=choices,
            answer_index=found[0],
            place=place,
            qid=question_id,
        ),
        clip=Span(float(start), float(end)),
        situations=expect_object(situations, f"{place}: situations", fault),
    )


def _text(fields: Mapping[str, Any], key: str, place: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{place}: {key} is {shorten(value)}; expected a text", "malformed question")
    return value.strip()


def _choices(fields: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The four choices' texts in order of choice_id."""
    fault = "malformed question"
    texts: dict[int, str] = {}
    for choice in expect_list(fields.get("choices"), f"{place}: choices", fault):
        choice = expect_object(choice, f"{place}: choices", fault)
        number = choice.get("choice_id")
        if not is_whole(number) or number in texts:
            raise InputError(f"{place}: choice_id {shorten(number)}; expected 0, 1, 2, 3, each once", fault)
        texts[number] = _text(choice, "choice", f"{place}: choices")
    if sorted(texts) != [0, 1, 2, 3]:
        raise InputError(f"{place}: choice_ids {sorted(texts)}; expected 0, 1, 2, 3", fault)
    return tuple(texts[i] for i in range(4))
