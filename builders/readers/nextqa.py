"""NExT-QA: questions (CSV), the map of videos, the second reference answers.

Xiao et al., "NExT-QA: Next Phase of Question-Answering to Explaining Temporal Actions", CVPR 2021; files of
github.com/doc-doc/NExT-QA (multiple choice) and github.com/doc-doc/NExT-OE (open-ended).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotasks.builders.readers import nextgqa, vidor
from cotasks.builders.readers.checks import expect_object, unique_ids
from cotasks.builders.readers.source import Annotator, Asked, Plan
from cotasks.errors import InputError, shorten
from cotasks.records.annotation import Evidence, Question, Skipped, VideoAnnotation
from cotasks.records.schema import Span
from cotasks.tools.files import read_json, read_text
from cotasks.words.types import NEXTQA

TYPES = tuple(NEXTQA.categories)
"""Question types of NExT-QA; `BINARY` among them is in the open-ended task only."""
BINARY = "DB"
CHOICES = ("a0", "a1", "a2", "a3", "a4")
TEST_HINT = "; VidOR annotates no test video; expected annotation in its format from elsewhere, by --vidor"
"""NExT-QA's authors offer relation annotation of their videos at a link in their README."""
COLUMNS = ("video", "frame_count", "width", "height", "question", "answer", "qid", "type")
"""Columns of the open-ended files; the multiple-choice ones have `CHOICES` as well."""


@dataclass(frozen=True)
class NextqaAnnotator(Annotator):
    """VidOR's annotation of the videos, and NExT-GQA's human spans."""

    trees: vidor.VidorIndex
    spans: Mapping[tuple[str, str], tuple[Span, ...]]
    """See `nextgqa.read_spans`."""
    num_frames: int
    strict: bool = False
    """See `vidor.annotation`."""
    hint: str = ""
    """What to say of a video without annotation."""

    def missing(self, question: Question) -> str | None:
        """Whether VidOR has the video is known before any of its files is read."""
        if question.video_id in self.trees:
            return None
        return f"{question.place}: video {question.video_id} is in no VidOR tree{self.hint}"

    def annotate(self, question: Question) -> VideoAnnotation:
        """See `vidor.annotation`."""
        raw = vidor.read_video(self.trees, question.video_id, self.num_frames)
        return vidor.annotation(raw, self.trees.place(question.video_id), self.num_frames, strict=self.strict)

    def evidence(self, question: Question, annotation: VideoAnnotation) -> Evidence | None:
        """The human spans, cut to the video. NExT-GQA's annotators marked the moments that show the answer."""
        spans = self.spans.get((question.video_id, question.qid))
        if spans is None:
            return None
        cut = nextgqa.clamp(spans, annotation.clip.end_seconds, question.place)
        return Evidence(cut, "human", used_answer=True)

    def size(self, video_id: str) -> int:
        """Of the VidOR file."""
        return self.trees.size(video_id)

    def checksum(self, video_id: str) -> int | None:
        """Of the VidOR file."""
        return self.trees.checksum(video_id)


def plan(asked: Asked, tasks: Sequence[str]) -> Plan:
    """The questions of a split, with VidOR's annotation and NExT-GQA's spans.

    Args:
        asked: the split and its options.
        tasks: `oe` (open-ended), `mc` (multiple choice) or both, one after the other.

    Raises InputError where a file is missing or cannot be read.
    """
    questions: list[Question] = []
    skipped: list[Skipped] = []
    for task in tasks:
        path = asked.require(f"nextqa/{task}/{asked.short}.csv")
        video_map = read_video_map(str(asked.require("nextqa/map_vid_vidorID.json")))
        references = asked.root / "nextqa/add_reference_answer_test.json"
        additional = None
        if task == "oe" and asked.split == "test" and references.exists():
            additional = read_additional_answers(str(references))
        found, bad = read_questions(
            str(path), asked.split, video_map, multiple_choice=task == "mc", additional_answers=additional
        )
        questions += found
        skipped += bad
    if not asked.trees:
        asked.require("vidor")
    trees = vidor.find_annotations(asked.trees)
    spans = asked.root / f"nextgqa/gsub_{asked.short}.json"
    if asked.localization == "human" and asked.split != "train":  # NExT-GQA has spans for val and test only
        asked.require(f"nextgqa/gsub_{asked.short}.json")
    human = nextgqa.read_spans(str(spans)) if spans.exists() else {}
    hint = TEST_HINT if asked.split == "test" else ""
    return Plan(questions, skipped, NextqaAnnotator(trees, human, asked.num_frames, asked.strict, hint))


def read_questions(
    path: str,
    split: str,
    video_map: Mapping[str, str],
    *,
    multiple_choice: bool,
    additional_answers: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> tuple[list[Question], list[Skipped]]:
    """Read a NExT-QA CSV file, UTF-8, one question a line (empty lines are passed over).

    Columns: `COLUMNS`, and `CHOICES` where multiple choice; `answer` is the text, or for multiple choice the
    0-based number of the right choice. NExT-GQA's copy of the multiple-choice files calls the first column
    `video_id` and writes the answer as text, which must then equal exactly one choice. Blanks at the ends of
    a cell are taken off, nothing else is changed.

    Args:
        path: the CSV file.
        split: train, validation or test; part of the ids, `nextqa/<split>/<video>/<qid>` (see
            `checks.unique_ids`).
        video_map: video id -> "group/id", see `read_video_map`.
        multiple_choice: which of the two tasks the file holds.
        additional_answers: see `read_additional_answers`; open-ended only.

    Returns:
        The questions, and the lines that cannot be used with the reason, each in the order of the file. Sizes
        are taken as they stand; whether they are right shows only against the annotation of the video.

    Raises:
        InputError: the file is missing, not UTF-8, not CSV, or has other columns.
    """
    columns, rows = _read_csv(path, multiple_choice)
    cells = [dict(zip(columns, row, strict=False)) for _, row in rows]
    bases = [f"nextqa/{split}/{cell.get(columns[0]) or '?'}/{cell.get('qid') or '?'}" for cell in cells]
    ids = unique_ids(bases, [_id_texts(cell) for cell in cells])
    questions: list[Question] = []
    skipped: list[Skipped] = []
    for (line, row), cell, name in zip(rows, cells, ids, strict=True):
        place = f"{path}:{line}"
        try:
            if len(row) != len(columns):
                raise InputError(
                    f"{place}: {len(row)} cells; expected {len(columns)}: {','.join(columns)}", "wrong number of cells"
                )
            questions.append(_question(name, cell, place, video_map, multiple_choice, additional_answers or {}))
        except InputError as error:
            skipped.append(Skipped(name, error.reason, str(error)))
    return questions, skipped


def _read_csv(path: str, multiple_choice: bool) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names, and (line number, stripped cells) of each row that is not empty."""
    expected = COLUMNS + CHOICES if multiple_choice else COLUMNS
    rows: list[tuple[int, list[str]]] = []
    try:
        # strict: a quote left open is an error, not one endless cell
        reader = csv.reader(io.StringIO(read_text(Path(path)), newline=""), strict=True)
        line = 0
        for row in reader:
            if reader.line_num > line + 1:
                raise InputError(
                    f"{path}:{line + 1}: a quoted cell runs on to line {reader.line_num}; expected one question a line"
                )
            line = reader.line_num
            if row:
                rows.append((line, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise InputError(f"{path}:{line + 1}: not CSV: {error}") from None
    if not rows:
        raise InputError(f"{path}: empty; expected the columns {','.join(expected)}")
    columns = rows.pop(0)[1]
    variants = [expected, ("video_id", *expected[1:])] if multiple_choice else [expected]
    if not any(sorted(columns) == sorted(variant) for variant in variants):
        missing = [c for c in expected if c not in columns]
        fault = f"no column {missing[0]!r}" if missing else "columns that do not belong here"
        raise InputError(f"{path}:1: {fault} in {','.join(columns)}; expected {','.join(expected)}")
    return columns, rows


def _id_texts(cell: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """(question, text of the answer, choices) as far as a row has them, for telling rows of one id apart."""
    answer = cell.get("answer", "")
    choices = [cell[c] for c in CHOICES if c in cell]
    if "video" in cell and choices and re.fullmatch("[0-4]", answer) and int(answer) < len(choices):
        answer = choices[int(answer)]
    return cell.get("question", ""), answer, choices


def _question(
    name: str,
    cell: Mapping[str, str],
    place: str,
    video_map: Mapping[str, str],
    multiple_choice: bool,
    additional_answers: Mapping[str, Mapping[str, Sequence[str]]],
) -> Question:
    """One row of the right length -> question. Raises InputError with the reason to skip it."""
    video = cell["video"] if "video" in cell else cell["video_id"]
    numbers = {column: _whole(cell, column, place) for column in ("frame_count", "width", "height", "qid")}
    for column in ("question", "answer", *(CHOICES if multiple_choice else ())):
        if not cell[column]:
            raise InputError(f"{place}: {column} is empty; expected a text", "empty text")
    if cell["type"] not in TYPES or (multiple_choice and cell["type"] == BINARY):
        known = [t for t in TYPES if not (multiple_choice and t == BINARY)]
        raise InputError(
            f"{place}: type is {shorten(cell['type'])}; expected one of {', '.join(known)}", "unknown type"
        )
    if video not in video_map:
        raise InputError(f"{place}: video {shorten(video)} is not in the video map", "video not in the video map")
    choices = tuple(cell[c] for c in CHOICES) if multiple_choice else ()
    answer_index = _answer_index(cell["answer"], choices, "video_id" in cell, place) if multiple_choice else -1
    return Question(
        id=name,
        source="nextqa",
        question_type=cell["type"],
        category=NEXTQA.categories[cell["type"]],
        video_id=video,
        video_path=f"{video_map[video]}.mp4",
        question=cell["question"],
        answer=choices[answer_index] if multiple_choice else cell["answer"],
        additional_answers=() if multiple_choice else tuple(additional_answers.get(video, {}).get(cell["qid"], ())),
        choices=choices,
        answer_index=answer_index,
        place=place,
        qid=cell["qid"],
        size=(numbers["frame_count"], numbers["width"], numbers["height"]),
    )


def _whole(cell: Mapping[str, str], column: str, place: str) -> int:
    """The cell as a whole number: from 0 for `qid`, from 1 for the sizes."""
    least = 0 if column == "qid" else 1
    if not re.fullmatch("[0-9]{1,18}", cell[column]) or int(cell[column]) < least:
        raise InputError(
            f"{place}: {column} is {shorten(cell[column])}; expected a whole number from {least}", "not a whole number"
        )
    return int(cell[column])


def _answer_index(answer: str, choices: Sequence[str], is_text: bool, place: str) -> int:
    """Position of the right choice, given as a number or as the text of exactly one choice."""
    if not is_text:
        if not re.fullmatch("[0-4]", answer):
            raise InputError(
                f"{place}: answer is {shorten(answer)}; expected 0 to {len(choices) - 1}", "answer out of range"
            )
        return int(answer)
    found = [i for i, choice in enumerate(choices) if choice == answer]
    if len(found) > 1:
        raise InputError(
            f"{place}: answer {shorten(answer)} is the text of choices {found[0]} and {found[1]}; expected one",
            "answer stands twice among the choices",
        )
    if not found:
        raise InputError(
            f"{place}: answer {shorten(answer)} is none of the choices {shorten(tuple(choices), 200)}",
            "answer not among the choices",
        )
    return found[0]


def read_video_map(path: str) -> dict[str, str]:
    """`map_vid_vidorID.json`: video id -> "group/id", the video's path without ".mp4".

    Raises InputError where the file is missing or an entry is anything else.
    """
    entries = expect_object(read_json(Path(path)), path)
    for video, entry in entries.items():
        if not isinstance(entry, str) or not re.fullmatch(r"[0-9]{4}/[A-Za-z0-9_-]+", entry) or entry[5:] != video:
            raise InputError(f'{path}: {shorten(video)}: {shorten(entry)}; expected "<four digits>/{video}"')
    return {video: str(entry) for video, entry in entries.items()}


def read_additional_answers(path: str) -> dict[str, dict[str, list[str]]]:
    """`add_reference_answer_test.json`: video id -> qid -> further reference answers.

    Raises InputError where the file is missing or an answer is no text.
    """
    answers: dict[str, dict[str, list[str]]] = {}
    for video, entry in expect_object(read_json(Path(path)), path).items():
        for qid, answer in expect_object(entry, f"{path}: {shorten(video)}").items():
            if not isinstance(answer, str) or not answer.strip():
                raise InputError(f"{path}: {shorten(video)}: {shorten(qid)}: {shorten(answer)}; expected a text")
            answers.setdefault(video, {})[qid] = [answer.strip()]
    return answers
