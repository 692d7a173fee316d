"""Before you quote a number: what a reader of a report must know of a run, one row a warning.

`RUN` has the rows that are about a run, `JUDGE` those about a judge's verdicts of it. A row has a name and a function
that gives its lines, none where it does not apply. To warn of something else, add a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from cotasks.audit.leakage import QUESTION
from cotasks.judge import wording
from cotasks.judge.controls import outcomes_of, warning
from cotasks.judge.judges import judge_named, served_models
from cotasks.judge.verdicts import NOT_JUDGED, Verdict
from cotasks.report.origins import labels_of, tells_steps
from cotasks.runs.folder import Key
from cotasks.runs.run import Run
from cotasks.video.check import OTHER_VIDEO
from cotasks.words.packaging import is_unfinished_thought

Row = dict[str, Any]

MANY_UNREADABLE = 0.01
"""Share of a condition's scored answers from which on it is warned of."""


@dataclass(frozen=True)
class Seen:
    """What the rows look at."""

    run: Run
    name: str
    """Of the run, within the report."""
    model: str
    baseline: str
    lender: str | None
    """Name of the run whose baseline the run is compared with; None where there is none."""
    leakage: Sequence[Row] = ()
    """Of the run's contexts, rows of `cotasks.report.leakage`."""
    leakage_missing: str = ""
    """Why there is none; empty where there is, or no condition has a context."""
    echoes: Set[Key] = frozenset()
    """Answers of the run that only repeat the question."""
    judge: str = ""
    """Empty for the rows of `RUN`, and so is what follows."""
    verdicts: Mapping[Key, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Caution:
    """One row."""

    name: str
    lines: Callable[[Seen], Iterable[str]]
    """Sentences, each one line; none where the warning does not apply."""


def _note(seen: Seen) -> Iterable[str]:
    settings = seen.run.settings.get("model")
    if note := settings.get("note") if isinstance(settings, dict) else None:
        yield f"the model `{seen.model}`: {note}."


def _baseline(seen: Seen) -> Iterable[str]:
    if seen.lender is None:
        yield f"no condition is called {seen.baseline!r}, so there are no differences."
    elif seen.lender != seen.name:
        yield f"it has no condition {seen.baseline!r}; differences are to that of run {seen.lender}."


def _strangers(seen: Seen) -> Iterable[str]:
    count = len({id_ for id_, _, _ in seen.run.wanted} - seen.run.questions.keys())
    if count:
        yield f"answers to {count} ids that are no question of the run are in no mean."


def _unfinished(seen: Seen) -> Iterable[str]:
    run = seen.run
    missing = sum(key not in run.generations and key not in run.failures for key in run.wanted)
    if missing:
        yield f"generation is not finished: {missing} of {len(run.wanted)} answers are missing."


def _mixed_origins(seen: Seen) -> Iterable[str]:
    counts = labels_of(seen.run)
    if tells_steps(seen.run.settings) and len(counts) > 1:
        listed = ", ".join(f"{label} ({count})" for label, count in counts.items())
        yield f"its step 1 has several origins: {listed}; see the scores by origin before comparing categories."


def _saw_answer(seen: Seen) -> Iterable[str]:
    saw = sum(bool(row.get("used_answer")) for row in seen.run.questions.values())
    if saw and tells_steps(seen.run.settings):
        share = f"{saw} of {len(seen.run.questions)} questions ({saw / len(seen.run.questions):.1%})"
        yield f"for {share}, whoever made step 1 had seen the answer: their contexts may give it away."
    predictions = seen.run.settings.get("predictions")
    told = predictions.get("saw_answer") if isinstance(predictions, dict) else None
    if told and type(told) is int:
        yield f"the model that predicted step 1 had seen the answer of {told} questions: contexts may give it away."


def _leaks(seen: Seen) -> Iterable[str]:
    said: dict[str, list[str]] = {}  # line -> conditions: those with and without video tell the same
    for row in seen.leakage:
        if row["condition"] == QUESTION or row["level"] != "all" or row["measure"] not in ("any", "counted", "yes_no"):
            continue
        if row["excess_low"] is None or row["excess_low"] <= 0:
            continue
        what = {
            "any": "the answer, its head word or its number can be read off the context",
            "counted": "counting what is asked for in the context gives the answer",
            "yes_no": "saying yes where the context affirms the question, else no, gives the answer",
        }[row["measure"]]
        chance = 100 * (row["share"] - row["excess"])
        line = (
            f"for {row['share']:.1%} of {row['questions']} questions {what} "
            f"(chance {chance:.1f}%, above it by {100 * row['excess']:.1f} points "
            f"[{100 * row['excess_low']:.1f}, {100 * row['excess_high']:.1f}])."
        )
        said.setdefault(line, []).append(row["condition"])
    for line, conditions in said.items():
        yield f"{', '.join(conditions)}: {line}"


def _leakage_missing(seen: Seen) -> Iterable[str]:
    if seen.leakage_missing:
        yield f"how much its contexts give away was not measured: {seen.leakage_missing}."


def _thinking_cut_off(seen: Seen) -> Iterable[str]:
    # where thoughts were asked for they stand apart (`thinking_cut_off`); else within the answer, in tags
    cut = Counter(
        key[1]
        for key, row in seen.run.generations.items()
        if row.get("thinking_cut_off") or (isinstance(row.get("answer"), str) and is_unfinished_thought(row["answer"]))
    )
    if cut:
        counts = ", ".join(f"{condition} {cut[condition]}" for condition in seen.run.conditions if cut[condition])
        yield f"answers whose thinking was cut off: {counts}; allow more tokens."


def _other_videos(seen: Seen) -> Iterable[str]:
    found = Counter(row["reason"] for row in seen.run.failures.values() if row["reason"] in OTHER_VIDEO)
    if found:
        listed = ", ".join(f"{count} {reason}" for reason, count in found.most_common())
        yield f"answers that failed as their video is not the annotated one: {listed}."
    if (mode := seen.run.settings.get("video_check", "fail")) in ("warn", "off"):
        yield f"--video-check was {mode}: videos may not be the annotated ones."


def _wording(seen: Seen) -> Iterable[str]:
    rows = [{"condition": name, **row} for name, row in wording.wording(seen.run, seen.echoes).items()]
    yield from wording.warnings(rows, seen.baseline)


def _labels(seen: Seen) -> Iterable[str]:
    yield from wording.label_warnings(seen.run)


RUN: tuple[Caution, ...] = (
    Caution("note of the model", _note),
    Caution("baseline of another run", _baseline),
    Caution("answers to strangers", _strangers),
    Caution("unfinished generation", _unfinished),
    Caution("mixed origins", _mixed_origins),
    Caution("step 1 saw the answer", _saw_answer),
    Caution("leakage", _leaks),
    Caution("leakage not measured", _leakage_missing),
    Caution("thinking cut off", _thinking_cut_off),
    Caution("other videos", _other_videos),
    Caution("echoes and length", _wording),
    Caution("labels of the prompt", _labels),
)
"""In the order of the report."""


def _unscored(seen: Seen) -> Iterable[str]:
    unscored = sum(verdict.score is None for verdict in seen.verdicts.values())
    if unscored:
        yield f"{unscored} of {len(seen.verdicts)} answers are unscored; see their reasons below."


def _stale(seen: Seen) -> Iterable[str]:
    stale = sum(verdict.score is None and verdict.reason == NOT_JUDGED for verdict in seen.verdicts.values())
    if stale:
        yield f"{stale} answers are not judged, or changed since; run `cotasks judge` again."


def _unreadable(seen: Seen) -> Iterable[str]:
    scored, unreadable = Counter[str](), Counter[str]()
    for (_, condition, _), verdict in seen.verdicts.items():
        scored[condition] += verdict.score is not None
        unreadable[condition] += verdict.score is not None and verdict.unreadable
    shares = {condition: unreadable[condition] / scored[condition] for condition in scored if scored[condition]}
    if any(share >= MANY_UNREADABLE for share in shares.values()):
        listed = ", ".join(
            f"{condition} {shares[condition]:.1%}" for condition in seen.run.conditions if condition in shares
        )
        yield f"unreadable answers score 0: {listed}."


def _echoes_right(seen: Seen) -> Iterable[str]:
    yield from wording.score_warnings(wording.echo_scores(seen.run, seen.verdicts, seen.echoes))


def _judge_version(seen: Seen) -> Iterable[str]:
    if judge_named(seen.judge).is_rule:
        return
    served = ", ".join(served_models(seen.run, seen.judge)) or "a model that its server does not name"
    yield f"a language model gave the scores, served as {served}: another one, or another version, may score otherwise."


def _controls(seen: Seen) -> Iterable[str]:
    if judge_named(seen.judge).is_rule:
        return
    if line := warning(outcomes_of(seen.run, seen.judge)):
        yield line


JUDGE: tuple[Caution, ...] = (
    Caution("unscored", _unscored),
    Caution("stale verdicts", _stale),
    Caution("unreadable", _unreadable),
    Caution("echoes held for right", _echoes_right),
    Caution("judge and version", _judge_version),
    Caution("controls of the judge", _controls),
)
"""In the order of the report."""


def lines(rows: Sequence[Caution], seen: Seen) -> list[tuple[str, str]]:
    """(name of the row, line) of all that apply."""
    return [(row.name, line) for row in rows for line in row.lines(seen)]
