"""A file of answers -> a run folder, and where answers hold evidence, predicted steps beside it.

    run.json              dataset, model, condition; `imported`: file, its sha256, form, columns
    questions.jsonl       of every record, as `cotasks generate` writes it
    generations/          the answers, as they stand
    failures/             questions without an answer, with the reason
    evidence.jsonl        what the source states of the evidence, of builds that have it (CaST-Bench)
    unmatched.jsonl       {place, reason, id, question}: answers that belong to no record, and doubles
    steps/                a predictions folder of steps 1 and 2, see `cotasks.imports.steps`

The same command goes on where it was killed, and changes nothing where all is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.imports.forms import NO_ANSWER, Columns, Said, answers_of
from cotasks.imports.matching import Index
from cotasks.imports.steps import StepsWritten, write_steps
from cotasks.records.dataset import Records
from cotasks.records.shards import EVIDENCE
from cotasks.runs.folder import Appender, Key, locked, read_keyed, settle
from cotasks.runs.questions import dataset_settings, write_questions
from cotasks.steps.conventions import Convention
from cotasks.tools.files import dump_jsonl, file_hash, read_jsonl
from cotasks.version import VERSION

CONDITION = "baseline"
"""What answers that were given without steps of ours stand under, unless another name is given."""
TWICE = "second answer to a question"
FILE = "imported.jsonl"
UNMATCHED = "unmatched.jsonl"


@dataclass(frozen=True)
class Imported:
    """What became of a file of answers."""

    form: str
    """A key of `FORMS`."""
    answers: int
    """In the file."""
    taken: int
    """Answers of questions of the data set, by this call or before."""
    new: int
    """Of these, by this call."""
    questions: int
    """In the data set."""
    failures: dict[str, int]
    """Reason -> questions without an answer."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> answers that are not taken."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason -> the first of these, `file:line` and what it says."""
    steps: StepsWritten | None = None
    """The predicted steps; None where no answer holds evidence."""


def import_answers(
    path: Path,
    records: Records,
    folder: Path,
    *,
    form: str | None = None,
    columns: Columns | None = None,
    model: str | None = None,
    condition: str = CONDITION,
    boxes: Convention | None = None,
    videos: Path | None = None,
) -> Imported:
    """Write the run folder, or go on with it.

    Args:
        path: the file of answers, see `cotasks.imports.files`.
        records: what they answer.
        folder: the run folder.
        form: a key of `FORMS`; None to find out.
        columns: those of a file with columns of its own.
        model: its name; by default what the file says, else the file's name.
        condition: what the answers stand under.
        boxes: the convention of the boxes in them; None to find out.
        videos: their folder, for the size of frames where records do not state it.

    Raises InputError where the file is not readable or of no known form, where no answer in it belongs to a record,
    where the folder was begun with another file, and where it cannot be written.
    """
    columns = columns or Columns()
    found, named, answers = answers_of(path, form, columns)
    matched = _matched(answers, records)
    if not matched.said:
        whys = [f"{count} {reason}, such as {matched.examples[reason]}" for reason, count in matched.left.items()]
        why = "; ".join([*whys, *(f"{count} {reason}" for reason, count in Counter(matched.failed.values()).items())])
        raise InputError(f"{path}: no answer to a question of {records.dataset}: {why}", "answers to other questions")
    settings = {
        "backend": "imported",
        "model": {"name": model or named or path.stem},
        "dataset": dataset_settings(records, records.video_folder(videos)),
        "conditions": {condition: {}},
        "imported": {
            "file": path.name,
            "sha256": file_hash(path),
            "form": found.name,
            "columns": {name: value for name, value in vars(columns).items() if value is not None},
        },
        "versions": {"cotasks": VERSION},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "import"):
        settle(folder, settings)
        write_questions(folder / "questions.jsonl", records)
        new = _write_answers(folder, matched, records, condition)
        dump_jsonl(folder / UNMATCHED, matched.unmatched)
        _write_truth(folder, records)
        steps = write_steps(folder, settings, records, _texts(matched), boxes, videos)
    failures = Counter(reason for record_id in records.ids if (reason := matched.reason(record_id)) is not None)
    return Imported(
        form=found.name,
        answers=matched.count,
        taken=len(matched.said),
        new=new,
        questions=len(records),
        failures=dict(failures),
        left_out=dict(matched.left),
        examples=matched.examples,
        steps=steps,
    )


@dataclass
class _Matched:
    """Answers by the record that they belong to."""

    said: dict[tuple[str, int], Said] = field(default_factory=dict)
    """(record id, sample) -> the first answer."""
    failed: dict[str, str] = field(default_factory=dict)
    """Record id -> why it has none, as the file says."""
    count: int = 0
    left: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unmatched: list[dict[str, Any]] = field(default_factory=list)

    def leave(self, said: Said, reason: str) -> None:
        """Count an answer that is not taken."""
        name, text = next(iter(said.ids), ""), said.question or said.prompt
        self.left[reason] += 1
        self.examples.setdefault(reason, f"{said.place}: {shorten(text or name)}")
        self.unmatched.append({"place": said.place, "reason": reason, "id": name, "question": text[:500]})

    def reason(self, record_id: str) -> str | None:
        """Why a record has no answer; None where it has one."""
        return None if (record_id, 0) in self.said else self.failed.get(record_id, NO_ANSWER)


def _matched(answers: Iterator[Said], records: Records) -> _Matched:
    index, matched = Index.of(records), _Matched()
    for said in answers:
        matched.count += 1
        record_id, reason = index.find(said)
        if record_id is None:
            matched.leave(said, reason)
        elif said.text is None:
            matched.failed.setdefault(record_id, said.failure)
        elif (record_id, said.sample) in matched.said:
            matched.leave(said, TWICE)
        else:
            matched.said[record_id, said.sample] = said
    if matched.said and min(sample for _, sample in matched.said) == 1:  # the program counts from 1
        matched.said = {(record_id, sample - 1): said for (record_id, sample), said in matched.said.items()}
    return matched


def _write_answers(folder: Path, matched: _Matched, records: Records, condition: str) -> int:
    """Append what is not there yet, in the order of the records; how many that is."""
    done: set[Key] = {key for key, _ in read_keyed(folder / "generations")}
    video_of = dict(zip(records.ids, records.video_ids, strict=True))
    place = {record_id: number for number, record_id in enumerate(records.ids)}
    new = 0
    with Appender(folder / "generations" / FILE) as file:
        for (record_id, sample), said in sorted(matched.said.items(), key=lambda item: (place[item[0][0]], item[0][1])):
            if (record_id, condition, sample) not in done:
                row = {"id": record_id, "condition": condition, "sample": sample, "answer": said.text}
                file.append({**row, "video_id": video_of[record_id], "place": said.place})
                new += 1
    failures = [
        {"id": i, "condition": condition, "sample": 0, "reason": reason, "video_id": video_of[i]}
        for i in records.ids
        if (reason := matched.reason(i)) is not None
    ]
    (folder / "failures").mkdir(exist_ok=True)
    dump_jsonl(folder / "failures" / FILE, failures)
    return new


def _write_truth(folder: Path, records: Records) -> None:
    """What the build states of the records' evidence, where it does."""
    source = Path(records.dataset) / records.config / EVIDENCE
    if source.is_file():
        ids = set(records.ids)
        dump_jsonl(folder / EVIDENCE, (row for row in read_jsonl(source) if row.get("id") in ids))


def _texts(matched: _Matched) -> dict[str, str]:
    """Record id -> its first answer."""
    return {record_id: said.text for (record_id, sample), said in matched.said.items() if not sample and said.text}
