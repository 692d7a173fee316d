"""Verdicts on the answers of a run.

A verdict is a score from 0 to 100, or none where the measurement failed (`unscored`). An answer that is
empty, refuses or cannot be read is still an answer: it scores 0 and is flagged `unreadable`.

    verdicts/<judge>.jsonl   {key, id, condition, sample, score, correct, unreadable, reason}, append-only

`key` is a hash of all that could change the verdict. A row counts as long as its key is the one that the
answer has now; a changed answer, reference or rule is judged again, and nothing is judged twice.

The judges of `RULES` are rules and need nothing; `openai:MODEL` is a language model, see `cotasks.judge.llm.settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, MissingExtra, shorten
from cotasks.judge.rules import NO_GENERATION, RULES, Verdict, judge_answer, token_f1, verdict_key
from cotasks.judge.wups import THRESHOLDS, load_wordnet
from cotasks.records.schema import CATEGORY_OF_TYPE
from cotasks.runs import folder as runs
from cotasks.runs.folder import Key

__all__ = [
    "NOT_JUDGED",
    "NO_GENERATION",
    "RULES",
    "JudgeCounts",
    "Run",
    "Verdict",
    "judge_answer",
    "judge_run",
    "judges_of",
    "read_run",
    "read_verdicts",
    "repeats_of",
    "rule_of",
    "strange_verdicts",
    "token_f1",
    "verdict_key",
    "verdicts_of",
]

Row = dict[str, Any]

NOT_JUDGED = "not judged"


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
    left: int = 0
    """Answers that are still to be judged."""
    stopped: str = ""
    """Why some are left; empty where none is."""
    calls: int = 0
    """Completions asked for by this call of `judge_run`, and failed calls that may be billed."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """US dollars of these calls; None where there were none or the price is not known."""


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
    if not isinstance(settings, dict) or not isinstance(settings.get("conditions", {}), dict | list):
        raise InputError(f"{folder / 'run.json'}: no object with conditions; a different version?")
    questions = _read_questions(folder)
    generations, failures = runs.read_generations(folder), runs.read_failures(folder)
    for key, row in generations.items():
        cut = row.get("cut_items") or 0
        if not isinstance(cut, int):
            place = folder / "generations"
            raise InputError(f"{place}: {key[0]}, {key[1]}: cut_items {shorten(cut)}; a different version?")
    seen = [*generations, *failures]
    conditions = [str(name) for name in settings.get("conditions", ())]
    samples = max((sample for _, _, sample in seen), default=0) + 1
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


def rule_of(folder: Path, judge: str) -> int | str:
    """The version of the rule that a run's verdicts follow: a language model's is its rubric."""
    if judge in RULES:
        return RULES[judge]
    from cotasks.judge.llm.settings import read_llm_judge

    return read_llm_judge(folder, judge).rule


def verdict_path(folder: Path, judge: str) -> Path:
    """The verdict file of a judge. Raises InputError where there can be no such judge."""
    if judge in RULES:
        return folder / "verdicts" / f"{judge}.jsonl"
    if not judge.startswith("openai:"):
        raise InputError(f"unknown judge {judge!r}; known: {', '.join(RULES)}, openai:MODEL")
    from cotasks.judge.llm.settings import file_stem

    return folder / "verdicts" / f"{file_stem(judge)}.jsonl"


def judge_run(
    folder: Path,
    judge: str = "exact",
    *,
    base_url: str | None = None,
    rubric: Path | None = None,
    temperature: float | None = 0.0,
    max_tokens: int = 1024,
    structured: bool | None = None,
    repeats: int = 1,
    concurrency: int = 32,
    timeout: float = 120.0,
    price: tuple[float, float] | None = None,
    max_cost: float | None = None,
    batch: bool = False,
    retry_unscored: bool = False,
    progress: bool = True,
) -> JudgeCounts:
    """Judge all answers of a run that have no verdict yet; appends to `verdicts/<judge>.jsonl`.

    May be killed and called again: what is on disk is not judged again. A row is written for every answer,
    scored or not; what was not generated gets none.

    Args:
        folder: Run folder.
        judge: A key of `RULES`, or `openai:MODEL`, a model behind an OpenAI-compatible server. The rest is for models
            only.
        base_url: Of the server; by default the environment's OPENAI_BASE_URL, else OpenAI's. The key is OPENAI_API_KEY.
        rubric: File to use in place of the shipped rubric, see `cotasks.judge.llm.rubric`; its name becomes part of
            the judge's: `openai:MODEL#NAME`.
        temperature: Of the judge's sampling; None leaves it to the server.
        max_tokens: Longest reply; a model that reasons needs thousands.
        structured: Whether the server is to hold replies to a JSON schema; by default it is asked to, and if it
            refuses, replies must be that JSON by themselves.
        repeats: How often each answer is judged; its score is the mean.
        concurrency: Most calls at once; fewer while the server says that they are too many.
        timeout: Seconds for one call.
        price: US dollars for a million tokens in and out; by default OpenAI's list price where it is known.
        max_cost: US dollars after which no call is made, those of earlier calls of this function included.
        batch: Use OpenAI's Batch API: half the price, within 24 hours.
        retry_unscored: Ask again where an earlier call ended without a score.
        progress: Show estimate, progress and cost of a model's judging on standard error.

    Raises InputError where the judge is unknown, the folder no run folder or without any answer, a file of it
    damaged, another process is judging it, an argument out of range, WordNet missing where the rule needs it, or the
    server lets nothing be asked.
    """
    path = verdict_path(folder, judge)
    if judge not in RULES:
        if find_spec("openai") is None:
            raise MissingExtra("openai", "judge")
        from cotasks.judge.llm import loop

        settings = {"base_url": base_url, "temperature": temperature, "max_tokens": max_tokens, "repeats": repeats}
        limits = loop.Limits(concurrency, timeout, price, max_cost, batch, retry_unscored, progress)
        return loop.judge_by_model(folder, judge, rubric, structured, settings, limits)
    extra = {"base_url": base_url, "rubric": rubric, "price": price, "max_cost": max_cost, "batch": batch}
    for name, value in {**extra, "repeats": repeats > 1, "retry_unscored": retry_unscored}.items():
        if value:
            raise InputError(f"{name} with judge {judge}, which is a rule; expected openai:MODEL beside it")
    run = run_with_answers(folder)
    if judge in THRESHOLDS:
        load_wordnet()  # an error before anything is written
    judged = kept = 0
    with runs.locked(folder, "judge"):
        known = {(key, hashed) for key, hashed, _, _ in read_verdicts(path)}
        with runs.Appender(path) as file:
            for key, row in run.generations.items():
                answer, question = row.get("answer"), run.questions.get(key[0])
                hashed = verdict_key(judge, answer, question)
                if (key, hashed) in known:
                    kept += 1
                else:
                    judged += 1
                    file.append(verdict_row(hashed, key, judge_answer(judge, answer, question)))
        return count(run, judge, judged=judged, kept=kept)


def run_with_answers(folder: Path) -> Run:
    """`read_run`; raises InputError also where there is no answer to judge."""
    run = read_run(folder)
    if not run.generations and not run.failures:
        raise InputError(f"{folder}: no answers to judge; write some with `cotasks generate`")
    return run


def count(run: Run, judge: str, **known: Any) -> JudgeCounts:
    """What the verdict file says of a run's answers, with what else is known of the call."""
    verdicts = [verdict for key, verdict in verdicts_of(run, judge).items() if key in run.generations]
    left = sum(verdict.reason == NOT_JUDGED for verdict in verdicts)
    unscored = sum(verdict.score is None for verdict in verdicts) - left
    return JudgeCounts(
        path=verdict_path(run.folder, judge),
        scored=len(verdicts) - unscored - left,
        unscored=unscored,
        unreadable=sum(verdict.unreadable for verdict in verdicts),
        missing=len(run.wanted) - len(verdicts),
        left=left,
        **known,
    )


def verdict_row(hashed: str, key: Key, verdict: Verdict) -> Row:
    """A row of a verdict file."""
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


_VERDICT_FIELDS: dict[str, type | tuple[type, ...]] = {
    "score": object,
    "key": str,
    "id": str,
    "condition": str,
    "sample": int,
    "correct": (bool, type(None)),
    "unreadable": bool,
    "reason": str,
    "explanation": (str, type(None)),
}


def read_verdicts(path: Path) -> Iterator[tuple[Key, str, Verdict, Row]]:
    """((id, condition, sample), hash, verdict, row) of a verdict file in order; none where it is missing.

    Of rows with one key and hash, the last counts. Raises InputError naming the line where a row is not a verdict.
    """
    if not path.exists():
        return
    for number, row in enumerate(runs.read_jsonl(path), 1):
        for field, kind in _VERDICT_FIELDS.items():
            if field not in row and field != "explanation":
                raise InputError(f"{path}:{number}: a verdict without {field!r}")
            if not isinstance(row.get(field), kind):
                raise InputError(f"{path}:{number}: {field} {shorten(row[field])}; a different version?")
        score = row["score"]
        if score is not None and not (isinstance(score, int | float) and 0 <= score <= 100):
            raise InputError(f"{path}:{number}: score {shorten(score)}; expected 0 to 100 or null")
        explanation = row.get("explanation") or ""
        verdict = Verdict(score, row["correct"], row["unreadable"], row["reason"], explanation)
        key, hashed = runs.key_of(row), row["key"]
        yield key, hashed, verdict, row


def judges_of(folder: Path) -> list[str]:
    """The judges that a run has verdicts of: those of `RULES` in that order, then language models by file name."""
    found = [judge for judge in RULES if (folder / "verdicts" / f"{judge}.jsonl").exists()]
    models = sorted((folder / "verdicts").glob("openai-*.jsonl"))
    if models:
        from cotasks.judge.llm.settings import judge_name

        found += [judge for judge in (judge_name(path.stem) for path in models) if judge]
    return found


def strange_verdicts(folder: Path) -> list[str]:
    """The verdict files of a run that no judge of this version has written, by name."""
    known = {verdict_path(folder, judge).name for judge in judges_of(folder)}
    return sorted(path.name for path in (folder / "verdicts").glob("*.jsonl") if path.name not in known)


def repeats_of(run: Run, judge: str) -> dict[Key, list[Verdict]]:
    """{key: the verdicts that count} for every generated answer: at most one, of a language model one for each repeat.

    Of a language model, those count that were given under its last settings.
    """
    known = {(key, hashed): verdict for key, hashed, verdict, _ in read_verdicts(verdict_path(run.folder, judge))}
    keys_of: Callable[[Any, Mapping[str, Any] | None], Sequence[str]]
    if judge in RULES:
        keys_of = lambda answer, question: [verdict_key(judge, answer, question)]  # noqa: E731
    else:
        from cotasks.judge.llm.settings import read_llm_judge

        keys_of = read_llm_judge(run.folder, judge).keys
    found = {}
    for key, row in run.generations.items():
        hashes = keys_of(row.get("answer"), run.questions.get(key[0]))
        found[key] = [known[key, hashed] for hashed in hashes if (key, hashed) in known]
    return found


def verdicts_of(run: Run, judge: str) -> dict[Key, Verdict]:
    """{key: verdict} for every answer that the run is to have (`Run.wanted`).

    Where there is none, the verdict is unscored and its reason says why: not generated, failed and why, or
    not judged since the answer, the references, the rule or a language model's settings changed.
    """
    repeats = repeats_of(run, judge)
    verdicts: dict[Key, Verdict] = {}
    for key in run.wanted:
        if key in repeats:
            verdicts[key] = _combined(repeats[key])
        else:
            failure = run.failures.get(key)
            reason = f"failed: {failure.get('reason')}" if failure else NO_GENERATION
            verdicts[key] = Verdict(None, None, False, reason)
    return verdicts


def _combined(repeats: Sequence[Verdict]) -> Verdict:
    """One verdict of an answer's repeats: the mean score of those that have one."""
    if len(repeats) == 1:
        return repeats[0]
    scored = [verdict for verdict in repeats if verdict.score is not None]
    if not scored:
        return repeats[0] if repeats else Verdict(None, None, False, NOT_JUDGED)
    mean = sum(verdict.score or 0.0 for verdict in scored) / len(scored)
    correct = 2 * sum(bool(verdict.correct) for verdict in scored) > len(scored)
    return replace(scored[0], score=mean, correct=correct)
