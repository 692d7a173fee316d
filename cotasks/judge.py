"""Verdicts on the answers of a run.

A verdict is a score from 0 to 100, or none where the measurement failed (`unscored`). An answer that is
empty, refuses or cannot be read is still an answer: it scores 0 and is flagged `unreadable`.

    verdicts/<judge>.jsonl   {key, id, condition, sample, score, correct, unreadable, reason}, append-only

`key` is a hash of all that could change the verdict. A row counts as long as its key is the one that the
answer has now; a changed answer, reference or rule is judged again, and nothing is judged twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cotasks import runs
from cotasks.answers import is_blank, is_refusal, normalise, open_answer, read_choice
from cotasks.errors import InputError, shorten
from cotasks.runs import Key
from cotasks.schema import CATEGORY_OF_TYPE

Row = dict[str, Any]

RULES = {"exact": 1, "f1": 1}
"""The local judges and the version of each one's rule: raise it with every change that could move a verdict,
in `cotasks.answers` too.

- `exact`: 100 where the answer equals a reference in normal form (`answers.normalise`), else 0. Multiple
  choice: 100 where the option that the answer names (`answers.read_choice`) has the right option's text,
  else 0.
- `f1`: 100 times the F1 of the answer's words against a reference's, each counted as often as it occurs
  (Rajpurkar et al. 2016), the best over the references. Multiple choice is judged as by `exact`.
"""

NO_GENERATION = "no answer generated"
NOT_JUDGED = "not judged"
UNKNOWN_ID = "no such question in the run"


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer."""

    score: float | None
    """0 to 100; None where unscored."""
    correct: bool | None
    """Whether `exact` holds the answer for right, under every local judge; None where unscored."""
    unreadable: bool
    """True where the answer is empty, a refusal, or names no single option; it then scores 0."""
    reason: str
    """Why, in a short phrase without values of the data."""


@dataclass(frozen=True)
class JudgeCounts:
    """What a call of `judge_run` did, and what the verdict file now says."""

    path: Path
    """The verdict file."""
    judged: int
    """Answers judged by this call."""
    kept: int
    """Answers whose verdict was there already."""
    scored: int
    """Answers with a score, of this call and before."""
    unscored: int
    """Answers without a score."""
    unreadable: int
    """Scored answers that could not be read."""
    missing: int
    """Answers that the run's settings ask for and that were not generated."""


def references_of(question: Mapping[str, Any]) -> list[str]:
    """The reference answers that hold a letter or a digit: `answer`, then `additional_answers`."""
    return [text for text in (question["answer"], *question["additional_answers"]) if text and not is_blank(text)]


def token_f1(prediction: str, reference: str) -> float:
    """F1 of two texts' words as multisets, 0 to 1. Both in normal form."""
    ours, theirs = Counter(prediction.split()), Counter(reference.split())
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0


def judge_answer(judge: str, answer: Any, question: Mapping[str, Any] | None) -> Verdict:
    """The verdict of a local judge.

    Args:
        judge: A key of `RULES`.
        answer: What the model said; anything but a text is unscored.
        question: Row of `questions.jsonl`; None where the run has no such question.
    """
    if question is None:
        return Verdict(None, None, False, UNKNOWN_ID)
    if not isinstance(answer, str):
        return Verdict(None, None, False, NO_GENERATION)
    if question["choices"]:
        return _judge_choice(answer, question)
    references = [normalise(text) for text in references_of(question)]
    if not references:
        return Verdict(None, None, False, "no reference answer")
    prediction = open_answer(answer)
    if prediction in references or normalise(answer) in references:
        return Verdict(100.0, True, False, "equals a reference")
    if is_blank(answer):
        return Verdict(0.0, False, True, "blank")
    if is_refusal(answer):
        return Verdict(0.0, False, True, "refusal")
    if judge == "f1":
        score = 100 * max(token_f1(prediction, reference) for reference in references)
        return Verdict(score, False, False, "shares words with a reference" if score else "shares no word")
    return Verdict(0.0, False, False, "equals no reference")


_CHOICE_REASONS = {
    "ambiguous": "names two options",
    "none": "names no option",
    "blank": "blank",
    "refusal": "refusal",
    "letter": "option by letter",
    "text": "option by text",
}


def _judge_choice(answer: str, question: Mapping[str, Any]) -> Verdict:
    """The letter rule. An option with the right option's text is right, for nothing tells the two apart."""
    choices, right = question["choices"], question["answer_index"]
    if not 0 <= right < len(choices):
        return Verdict(None, None, False, "no right option")
    choice = read_choice(answer, choices)
    reason = _CHOICE_REASONS[choice.how]
    if choice.index is None:
        return Verdict(0.0, False, True, reason)
    correct = normalise(choices[choice.index]) == normalise(choices[right])
    return Verdict(100.0 if correct else 0.0, correct, False, reason)


def verdict_key(judge: str, answer: Any, question: Mapping[str, Any] | None) -> str:
    """SHA-256, in hex, of all that could change a local judge's verdict."""
    question = question or {}
    parts = {
        "rule": f"{judge}/{RULES[judge]}",
        "question": question.get("question"),
        "category": question.get("category"),
        "references": [question.get("answer"), *question.get("additional_answers", ())],
        "choices": question.get("choices"),
        "answer_index": question.get("answer_index"),
        "prediction": answer,
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True)
class Run:
    """A run folder as it is on disk, without verdicts."""

    folder: Path
    settings: Row
    """`run.json`."""
    conditions: list[str]
    """Names of the conditions, in the order of `run.json`; then any other that has an answer or a failure."""
    questions: dict[str, Row]
    """{record id: row of `questions.jsonl`}"""
    generations: dict[Key, Row]
    failures: dict[Key, Row]
    """Only those that no generation made good."""
    wanted: list[Key]
    """The answers that the run is to have: condition x question x sample, with as many samples as any question has,
    and whatever else was generated or failed."""


def read_run(folder: Path) -> Run:
    """Read a run folder, whole or half written.

    Raises InputError where it is no run folder, or a file of it is damaged or not as `cotasks.runs`
    describes.
    """
    settings = runs.read_settings(folder)
    questions = _read_questions(folder)
    try:
        generations, failures = runs.read_generations(folder), runs.read_failures(folder)
        seen = [*generations, *failures]
        conditions = [str(name) for name in settings.get("conditions", ())]
        samples = max((sample for _, _, sample in seen), default=0) + 1
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: run.json or a row lacks a field: {error}; a different version?") from None
    conditions = list(dict.fromkeys([*conditions, *(condition for _, condition, _ in seen)]))
    wanted = [(id_, c, sample) for c in conditions for id_ in questions for sample in range(samples)]
    wanted = list(dict.fromkeys([*wanted, *seen]))
    return Run(folder, settings, conditions, questions, generations, failures, wanted)


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "video_id": str,
    "category": str,
    "question_type": str,
    "question": str,
    "answer": (str, type(None)),
    "additional_answers": list,
    "choices": list,
    "answer_index": int,
}


def _read_questions(folder: Path) -> dict[str, Row]:
    """`questions.jsonl`, checked. Raises InputError that names file, id, field and value."""
    path = folder / "questions.jsonl"
    if not path.exists():
        raise InputError(f"{path}: no such file; generation has not begun, or a different version wrote the run")
    try:
        questions = runs.read_questions(folder)
    except KeyError as error:
        raise InputError(f"{path}: a row lacks the field {error}") from None
    for id_, row in questions.items():
        for field, kind in _FIELDS.items():
            value = row.get(field)
            texts = not isinstance(value, list) or all(isinstance(text, str) for text in value)
            if field not in row or not isinstance(value, kind) or not texts:
                found = shorten(value) if field in row else "missing"
                raise InputError(f"{path}: {id_}: {field} is {found}; a different version?")
        expected = CATEGORY_OF_TYPE.get(row["question_type"])
        if expected != row["category"]:
            raise InputError(
                f"{path}: {id_}: question_type {shorten(row['question_type'])} with category "
                f"{shorten(row['category'])}; expected {expected or 'one of ' + ', '.join(CATEGORY_OF_TYPE)}"
            )
    return questions


def _verdict_path(folder: Path, judge: str) -> Path:
    if judge not in RULES:
        raise InputError(f"unknown judge {judge!r}; known: {', '.join(RULES)}")
    return folder / "verdicts" / f"{judge}.jsonl"


def judge_run(folder: Path, judge: str = "exact") -> JudgeCounts:
    """Judge all answers of a run that have no verdict yet; appends to `verdicts/<judge>.jsonl`.

    May be killed and called again: what is on disk is not judged again. A row is written for every answer,
    scored or not; what was not generated gets none.

    Raises InputError where the judge is unknown, the folder no run folder or without any answer, a file of it
    damaged, or another process is judging it.
    """
    path = _verdict_path(folder, judge)
    run = read_run(folder)
    if not run.generations and not run.failures:
        raise InputError(f"{folder}: no answers to judge; write some with `cotasks generate`")
    counts: Counter[str] = Counter()
    with runs.locked(folder, "judge"):
        known = _read_verdicts(path)
        with runs.Appender(path) as file:
            for key, row in run.generations.items():
                answer, question = row.get("answer"), run.questions.get(key[0])
                hashed = verdict_key(judge, answer, question)
                verdict = known.get((key, hashed))
                counts["kept" if verdict else "judged"] += 1
                if verdict is None:
                    verdict = judge_answer(judge, answer, question)
                    file.append(_row(hashed, key, verdict))
                counts["unscored" if verdict.score is None else "scored"] += 1
                counts["unreadable"] += verdict.unreadable
    return JudgeCounts(
        path=path,
        judged=counts["judged"],
        kept=counts["kept"],
        scored=counts["scored"],
        unscored=counts["unscored"],
        unreadable=counts["unreadable"],
        missing=sum(key not in run.generations for key in run.wanted),
    )


def _row(hashed: str, key: Key, verdict: Verdict) -> Row:
    id_, condition, sample = key
    return {
        "key": hashed,
        "id": id_,
        "condition": condition,
        "sample": sample,
        "score": verdict.score,
        "correct": verdict.correct,
        "unreadable": verdict.unreadable,
        "reason": verdict.reason,
    }


def _read_verdicts(path: Path) -> dict[tuple[Key, str], Verdict]:
    """{((id, condition, sample), hash): verdict}; none where the file is missing.

    Raises InputError naming the line where a row is not a verdict.
    """
    known: dict[tuple[Key, str], Verdict] = {}
    if not path.exists():
        return known
    for number, row in enumerate(runs.read_jsonl(path), 1):
        try:
            verdict = Verdict(row["score"], row["correct"], row["unreadable"], row["reason"])
            known[runs.key_of(row), row["key"]] = verdict
        except KeyError as error:
            raise InputError(f"{path}:{number}: a verdict without {error}") from None
        score = verdict.score
        if score is not None and not (isinstance(score, int | float) and 0 <= score <= 100):
            raise InputError(f"{path}:{number}: score {shorten(score)}; expected 0 to 100 or null")
    return known


def judges_of(folder: Path) -> list[str]:
    """The known judges that a run has verdicts of, in the order of `RULES`."""
    return [judge for judge in RULES if (folder / "verdicts" / f"{judge}.jsonl").exists()]


def verdicts_of(run: Run, judge: str) -> dict[Key, Verdict]:
    """{key: verdict} for every answer that the run is to have (`Run.wanted`).

    Where there is none, the verdict is unscored and its reason says why: not generated, failed and why, or
    not judged since the answer, the references or the rule changed.
    """
    known = _read_verdicts(_verdict_path(run.folder, judge))
    verdicts: dict[Key, Verdict] = {}
    for key in run.wanted:
        if key in run.generations:
            answer, question = run.generations[key].get("answer"), run.questions.get(key[0])
            verdict = known.get((key, verdict_key(judge, answer, question)))
            verdicts[key] = verdict or Verdict(None, None, False, NOT_JUDGED)
        else:
            failure = run.failures.get(key)
            reason = f"failed: {failure.get('reason')}" if failure else NO_GENERATION
            verdicts[key] = Verdict(None, None, False, reason)
    return verdicts
