"""The questions whose videos are annotated: own data, or those of a data set that is built already."""

from __future__ import annotations

from pathlib import Path

from cotasks.errors import InputError
from cotasks.records.own import OwnQuestion
from cotasks.records.own_files import QUESTIONS, read_questions
from cotasks.records.schema import Record
from cotasks.tools.files import file_hash


def read_asked(questions: str | Path) -> tuple[list[OwnQuestion], str]:
    """Questions, and a fingerprint of them.

    Args:
        questions: a `questions.jsonl`, a folder with one, or a built data set or Hub id, of which all splits are
            taken; its steps are not looked at.

    Raises InputError where there is no question, or a line is wrong.
    """
    path = Path(questions)
    path = path / QUESTIONS if (path / QUESTIONS).is_file() else path
    if path.is_file() or path.suffix == ".jsonl":
        found, fingerprint = read_questions(path), file_hash(path) if path.is_file() else ""
    else:
        from cotasks.records.dataset import load_splits

        splits = load_splits(str(questions), None)
        found = [as_own(record, split.split) for split in splits for record in split]
        fingerprint = " ".join(split.fingerprint for split in splits)
    if not found:
        raise InputError(f"{questions}: no question; expected one or more")
    return found, fingerprint


def as_own(record: Record, split: str) -> OwnQuestion:
    """A record's question as own data, without its steps."""
    whole = record.frame_count is not None and record.clip.end_seconds >= (record.frame_count - 1) / record.fps
    whole = whole and record.clip.start_seconds == 0
    return OwnQuestion(
        id=record.id,
        video=record.video_path,
        question=record.question,
        answers=(record.answer, *record.additional_answers) if not record.choices else (record.answer,),
        choices=record.choices,
        answer_index=record.answer_index,
        type=record.question_type,
        category=record.category,
        split=split,
        clip=None if whole else (record.clip.start_seconds, record.clip.end_seconds),
    )
