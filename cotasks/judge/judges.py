"""The judges of a run: which there are, where their verdicts lie, what each said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cotasks.errors import InputError
from cotasks.judge.llm.settings import PREFIX, file_stem, judge_name, read_llm_judge
from cotasks.judge.options import read_readings
from cotasks.judge.rules import READ_BY_MODEL, RULES, verdict_key
from cotasks.judge.verdicts import NO_GENERATION, NOT_JUDGED, Verdict, combined, read_verdicts
from cotasks.judge.wording import echoes
from cotasks.runs.folder import Key
from cotasks.runs.run import Row, Run


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
    echoes: int
    """Answers that only repeat the question, see `judge.wording`."""
    missing: int
    """Answers that the run's settings ask for and that were not generated."""
    left: int = 0
    """Answers that are still to be judged."""
    stopped: str = ""
    """Why some are left; empty where none is."""
    read_by_model: int = 0
    """Answers whose option a language model read, see `judge.options`."""
    calls: int = 0
    """Completions asked for by this call of `judge_run`, and failed calls that may be billed."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """US dollars of these calls; None where there were none or the price is not known."""
    failed: int = 0
    """Verdicts that are missing because their calls failed, of this call and before; `retry_unscored` asks again."""
    failure: str = ""
    """The most frequent reason of these."""


@dataclass(frozen=True)
class Judge:
    """One row: what is to be known of a judge to find its verdicts and tell which of them count."""

    name: str
    stem: str
    """Its verdicts are `verdicts/<stem>.jsonl`."""
    is_rule: bool
    """Whether it is a row of `rules.RULES`; else a language model."""
    rule: Callable[[Path], int | str]
    """The version of the rule that a run's verdicts follow: a language model's is its rubric."""
    keys: Callable[[Path], Callable[[Any, Mapping[str, Any] | None], Sequence[str]]]
    """Run folder -> (answer, question) -> the keys of its verdicts: one, of a language model one for each repeat, under
    its last settings there."""


def judge_named(name: str) -> Judge:
    """Raises InputError where there can be no such judge."""
    if name in RULES:
        return Judge(name, name, True, lambda folder: RULES[name].version, partial(_rule_keys, name))
    if name.startswith(PREFIX):
        read = partial(read_llm_judge, judge=name)
        return Judge(name, file_stem(name), False, lambda folder: read(folder).rule, lambda folder: read(folder).keys)
    raise InputError(f"unknown judge {name!r}; known: {', '.join(RULES)}, openai:MODEL")


def _rule_keys(name: str, folder: Path) -> Callable[[Any, Mapping[str, Any] | None], Sequence[str]]:
    readings = read_readings(folder)
    return lambda answer, question: [verdict_key(name, answer, question, readings.of(answer, question))]


def rule_of(folder: Path, judge: str) -> int | str:
    """See `Judge.rule`."""
    return judge_named(judge).rule(folder)


def verdict_path(folder: Path, judge: str) -> Path:
    """The verdict file of a judge. Raises InputError where there can be no such judge."""
    return folder / "verdicts" / f"{judge_named(judge).stem}.jsonl"


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
        echoes=len(echoes(run)),
        read_by_model=sum(verdict.reason == READ_BY_MODEL for verdict in verdicts),
        missing=len(run.wanted) - len(verdicts),
        left=left,
        **known,
    )


def judges_of(folder: Path) -> list[str]:
    """The judges that a run has verdicts of: those of `RULES` in that order, then language models by file name."""
    found = [judge for judge in RULES if (folder / "verdicts" / f"{judge}.jsonl").exists()]
    models = (judge_name(path.stem) for path in sorted((folder / "verdicts").glob("openai-*.jsonl")))
    return [*found, *(judge for judge in models if judge)]


def strange_verdicts(folder: Path) -> list[str]:
    """The verdict files of a run that no judge of this version has written, by name."""
    known = {verdict_path(folder, judge).name for judge in judges_of(folder)}
    return sorted(path.name for path in (folder / "verdicts").glob("*.jsonl") if path.name not in known)


def repeats_of(run: Run, judge: str) -> dict[Key, list[Verdict]]:
    """{key: the verdicts that count} for every generated answer: at most one, of a language model one for each repeat.

    Of a language model, those count that were given under its last settings.
    """
    known = {(key, hashed): verdict for key, hashed, verdict, _ in read_verdicts(verdict_path(run.folder, judge))}
    keys_of = judge_named(judge).keys(run.folder)
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
            verdicts[key] = combined(repeats[key])
        else:
            failure = run.failures.get(key)
            reason = f"failed: {failure.get('reason')}" if failure else NO_GENERATION
            verdicts[key] = Verdict(None, None, False, reason)
    return verdicts


def scored_by(run: Run) -> dict[str, dict[Key, Verdict]]:
    """{judge: verdicts of the run} of every judge that it has verdicts of. Raises InputError where a file of theirs
    cannot be read."""
    return {judge: verdicts_of(run, judge) for judge in judges_of(run.folder)}


def rows_that_count(run: Run, judge: str) -> list[Row]:
    """The rows of a language model's verdict file that count: of each answer and repeat the last one, given under the
    settings of now."""
    keys_of = judge_named(judge).keys(run.folder)
    current = {
        (key, hashed)
        for key, row in run.generations.items()
        for hashed in keys_of(row.get("answer"), run.questions.get(key[0]))
    }
    rows = {(key, hashed): row for key, hashed, _, row in read_verdicts(verdict_path(run.folder, judge))}
    return [row for at, row in rows.items() if at in current]


def served_models(run: Run, judge: str) -> Counter[str]:
    """{model as the server named it: verdicts that count}: more than one where a name such as `gpt-4o` moved on, so
    that the scores are those of different judges.
    """
    return Counter(str(row["served_model"]) for row in rows_that_count(run, judge) if row.get("served_model"))


def failed_calls(run: Run, judge: str) -> Counter[str]:
    """{reason: verdicts that are missing because their calls failed}, of this call and before."""
    return Counter(row["reason"] for row in rows_that_count(run, judge) if row.get("failed"))
