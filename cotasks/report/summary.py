"""Verdicts of one or several runs -> the content of `summary.json`; the package's docstring describes it."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from cotasks.errors import InputError
from cotasks.judge import wording
from cotasks.judge.judges import judges_of, rule_of, strange_verdicts, verdicts_of
from cotasks.judge.rules import RULES
from cotasks.judge.verdicts import Verdict
from cotasks.metrics import means as metrics
from cotasks.metrics.intervals import CONFIDENCE
from cotasks.report import caution, claims, controls, costs, generation, judges, origins, people
from cotasks.report.caution import Seen
from cotasks.report.leakage import NO_LEAKS, Leaks
from cotasks.runs.folder import Key, without_origins
from cotasks.runs.run import Run, read_run

FORMAT = 3
FEW_SCORES = 11
"""With at most so many different scores of a judge each is counted by itself, else ranges of ten points are."""

PARTS = (
    "runs",
    "means",
    "differences",
    "verdicts",
    "outcomes",
    "scores",
    "unscored",
    "generation",
    "echoes",
    "between_runs",
    "agreement",
    "spread",
    "controls",
    "origins",
    "origin_means",
    "origin_differences",
    "leakage",
    "cautions",
    "equivalence",
    "labels",
    "corrected",
    "costs",
)
STATES = ("right", "wrong", "unreadable", "unscored")
"""What a verdict comes down to, see `state_of`."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """A run with its verdicts."""

    name: str
    """Unique within the report."""
    model: str
    run: Run
    verdicts: dict[str, dict[Key, Verdict]]
    """{judge: {key: verdict}}"""


def read_scored(folders: Sequence[Path], judge: str | None = None) -> tuple[list[Scored], list[str]]:
    """The runs, and a warning for each that cannot be read.

    Args:
        folders: Run folders; one given twice counts once.
        judge: The judge whose verdicts count; None for every judge that a run has verdicts of.

    Raises InputError where no run can be read, or none has verdicts.
    """
    if not folders:
        raise InputError("no run folder given")
    folders = list(dict.fromkeys(folders))
    known = {*RULES, *(name for folder in folders for name in judges_of(folder))}
    if judge is not None and judge not in known:
        raise InputError(f"unknown judge {judge!r}; known: {', '.join(sorted(known))}")
    found: list[Scored] = []
    warnings: list[str] = []
    faults: list[InputError] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        try:
            run = read_run(folder)
            verdicts, damaged = _verdicts(run, judge)
            found.append(Scored(name, _model_name(run), run, verdicts))
            warnings += [f"{name}, judge {one} is left out: {error}" for one, error in damaged.items()]
            strange = strange_verdicts(folder)
            if strange:
                warnings.append(f"{name}: verdicts of no known judge are left out: {', '.join(strange)}.")
        except InputError as error:
            faults.append(error)
            warnings.append(f"Run {name} is left out: {error}")
    if not found:
        raise faults[0]
    return found, warnings


def summarise(
    scored: Sequence[Scored],
    baseline: str,
    warnings: Iterable[str],
    out: Path,
    equivalence: float | None = None,
    leaks: Mapping[str, Leaks] | None = None,
) -> Row:
    """The content of `summary.json`.

    Args:
        scored: The runs, in the order of the report.
        baseline: The condition that the others are compared with.
        warnings: Those there are already; they come first.
        out: The report's folder, which the runs' folders are named from.
        leaks: Name of a run -> what its contexts give away; None where that is not asked for.
        equivalence: The margin within which a difference is as good as none, in points; None for no such test.
    """
    parts: dict[str, list[Row]] = {name: [] for name in PARTS}
    warnings = list(warnings)
    for one in scored:
        run, label = one.run, {"run": one.name, "model": one.model}
        lender = baseline_run(one, scored, baseline)
        parts["runs"].append(
            {
                **label,
                "folder": Path(os.path.relpath(run.folder, out)).as_posix(),
                "conditions": run.conditions,
                "questions": len(run.questions),
                "videos": len({row["video_id"] for row in run.questions.values()}),
                "judges": {judge: rule_of(run.folder, judge) for judge in one.verdicts},
                "settings": run.settings,
            }
        )
        leak = (leaks or {}).get(one.name, NO_LEAKS)
        heard = wording.echoes(run)
        seen = Seen(run, one.name, one.model, baseline, lender.name if lender else None, leak.rows, leak.missing, heard)
        for name, text in caution.lines(caution.RUN, seen):
            warnings.append(f"{one.name}: {text}")
            parts["cautions"].append({**label, "judges": [], "caution": name, "text": text})
        parts["origins"] += [{**label, **row} for row in origins.rows_of(run)]
        parts["leakage"] += [{**label, **row} for row in leak.rows]
        parts["generation"] += [{**label, **counts} for counts in generation.rows_of(run, seen.echoes)]
        took, damaged = costs.rows_of(run)
        parts["costs"] += [{**label, **row} for row in took]
        warnings += [f"{one.name}: {text}" for text in damaged]
        agreement, spread, changes = judges.of_models(one.run, one.verdicts)
        parts["agreement"] += [{**label, **row} for row in agreement]
        parts["spread"] += [{**label, **row} for row in spread]
        parts["controls"] += [{**label, **row} for row in controls.rows_of(run, one.verdicts)]
        warnings += [f"{one.name}, {text}" for text in [*changes, *judges.options_read(one.run, one.verdicts)]]
        warnings += [f"{one.name}: {text}" for text in people.add(parts, label, run, one.verdicts, baseline)]
        said: dict[tuple[str, str], list[str]] = {}
        for judge, verdicts in one.verdicts.items():
            label = {**label, "judge": judge}
            conditions, compared = run.conditions, verdicts
            lent = lender.verdicts.get(judge) if lender is not None and lender is not one else None
            if lender is not None and lent is not None:
                conditions = [baseline, *conditions]
                compared = {**verdicts, **{key: v for key, v in lent.items() if key[1] == baseline}}
            result = metrics.summarise(compared, run.questions, conditions, baseline)
            parts["means"] += [
                {**label, **dataclasses.asdict(mean)} for mean in result.means if mean.condition in run.conditions
            ]
            borrowed = {**label, "baseline_run": lender.name if lender else one.name}
            parts["differences"] += [{**borrowed, **dataclasses.asdict(d)} for d in result.differences]
            means, differences = origins.scores_by_origin(run, compared, conditions, baseline)
            parts["origin_means"] += [{**label, **row} for row in means if row["condition"] in run.conditions]
            parts["origin_differences"] += [{**borrowed, **row} for row in differences]
            if result.differences:
                gains = gains_of(one, lender, judge, baseline)
                parts["outcomes"] += [{**borrowed, **row} for row in _outcomes(run, baseline, gains)]
            parts["verdicts"] += [{**label, **row} for row in _states(run, verdicts)]
            parts["scores"] += [{**label, **row} for row in _scores(run, verdicts, _score_values(scored, judge))]
            reasons = _reasons(run, verdicts)
            parts["unscored"] += [
                {**label, "condition": condition, "reason": reason, "answers": answers}
                for (condition, reason), answers in reasons.items()
            ]
            parts["echoes"] += [{**label, **row} for row in wording.echo_scores(run, verdicts, seen.echoes)]
            for caution_line in caution.lines(caution.JUDGE, replace(seen, judge=judge, verdicts=verdicts)):
                said.setdefault(caution_line, []).append(judge)
        for (name, text), names in said.items():
            warnings.append(f"{one.name}, {'judges' if len(names) > 1 else 'judge'} {', '.join(names)}: {text}")
            parts["cautions"].append(
                {"run": one.name, "model": one.model, "judges": names, "caution": name, "text": text}
            )
    parts["between_runs"] = _between_runs(scored)
    claims.add(parts, equivalence)
    if len({_fingerprint(one.run.settings.get("dataset")) for one in scored}) > 1:
        warnings.append("The runs are over different data: their means are not comparable.")
    if any(run["judges"] != parts["runs"][0]["judges"] for run in parts["runs"]):
        warnings.append("The runs have verdicts of different judges.")
    return {
        "format": FORMAT,
        "baseline": baseline,
        "confidence": CONFIDENCE,
        **parts,
        "warnings": warnings,
    }


def baseline_run(one: Scored, scored: Sequence[Scored], baseline: str) -> Scored | None:
    """The run whose baseline a run is compared with: itself, or where it has no such condition, the first other that
    has it and differs in nothing but its conditions; None where there is none."""
    if baseline in one.run.conditions:
        return one
    settings = _without_conditions(one.run.settings)
    for other in scored:
        if baseline in other.run.conditions and _without_conditions(other.run.settings) == settings:
            return other
    return None


def gains_of(one: Scored, lender: Scored | None, judge: str, baseline: str) -> dict[Key, float | None]:
    """{key: score minus that of the baseline's answer with the same sample number} for the answers of the other
    conditions; None where one of the two is unscored or missing."""
    below = lender.verdicts.get(judge, {}) if lender is not None else {}
    gains: dict[Key, float | None] = {}
    for key, verdict in one.verdicts[judge].items():
        if key[1] != baseline:
            base = below.get((key[0], baseline, key[2]))
            both = base is not None and base.score is not None and verdict.score is not None
            gains[key] = verdict.score - base.score if both else None  # type: ignore[operator,union-attr]
    return gains


def state_of(verdict: Verdict) -> str:
    """One of `STATES`: `unscored` without a score, else `unreadable`, else whether the judge holds it for right."""
    if verdict.score is None:
        return "unscored"
    return "unreadable" if verdict.unreadable else "right" if verdict.correct else "wrong"


def _without_conditions(settings: Row) -> bytes:
    kept = {name: value for name, value in settings.items() if name not in ("conditions", "versions")}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def _names(folders: Sequence[Path]) -> list[str]:
    """A short name for each run folder: the folder's, or its path where two share one."""
    names = [folder.resolve().name for folder in folders]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def _verdicts(run: Run, judge: str | None) -> tuple[dict[str, dict[Key, Verdict]], dict[str, InputError]]:
    """({judge: verdicts of the run}, {judge: why its files cannot be read}).

    Raises InputError where there is nothing to report.
    """
    if not run.questions:
        raise InputError(f"{run.folder / 'questions.jsonl'}: no questions")
    names = [name for name in judges_of(run.folder) if judge in (None, name)]
    if not names:
        command = f"cotasks judge {run.folder} --judge {judge or 'exact'}"
        raise InputError(f"{run.folder}: no verdicts; write them with `{command}`")
    verdicts: dict[str, dict[Key, Verdict]] = {}
    damaged: dict[str, InputError] = {}
    for name in names:
        try:
            rule_of(run.folder, name)
            verdicts[name] = verdicts_of(run, name)
        except InputError as error:
            damaged[name] = error
    if not verdicts:
        raise next(iter(damaged.values()))
    return verdicts, damaged


def _model_name(run: Run) -> str:
    """`model.name` of `run.json`."""
    model = run.settings.get("model")
    return str(model["name"] if isinstance(model, dict) and "name" in model else model)


def _fingerprint(dataset: Any) -> str:
    """What tells two data sets apart: the fingerprint that `run.json` gives, else all it says."""
    return repr(dataset["fingerprint"] if isinstance(dataset, dict) and "fingerprint" in dataset else dataset)


def _states(run: Run, verdicts: Mapping[Key, Verdict]) -> list[Row]:
    """How many answers of each condition are in which state."""
    found = Counter((key[1], state_of(verdict)) for key, verdict in verdicts.items() if key[0] in run.questions)
    return [{"condition": c, **{state: found[c, state] for state in STATES}} for c in run.conditions]


def _outcomes(run: Run, baseline: str, gains: Mapping[Key, float | None]) -> list[Row]:
    """Answers that scored more, less and the same as the baseline's, by condition."""
    rows = []
    for condition in run.conditions:
        found = [gain for (id_, c, _), gain in gains.items() if c == condition and id_ in run.questions]
        known = [gain for gain in found if gain is not None]
        if condition != baseline:
            rows.append(
                {
                    "condition": condition,
                    "baseline": baseline,
                    "won": sum(gain > 0 for gain in known),
                    "lost": sum(gain < 0 for gain in known),
                    "tied": sum(gain == 0 for gain in known),
                    "not_compared": len(found) - len(known),
                }
            )
    return rows


def _score_values(scored: Sequence[Scored], judge: str) -> list[float]:
    """All different scores that a judge gave, ascending; one more than `FEW_SCORES` where there are more."""
    values: set[float] = set()
    for one in scored:
        for verdict in one.verdicts.get(judge, {}).values():
            if verdict.score is not None:
                values.add(float(verdict.score))
                if len(values) > FEW_SCORES:
                    return sorted(values)
    return sorted(values)


def _scores(run: Run, verdicts: Mapping[Key, Verdict], values: Sequence[float]) -> list[Row]:
    """How many answers of each condition have which score: by value where a judge gives few, else by tens."""
    few = len(values) <= FEW_SCORES
    bins = [(v, v) for v in values] if few else [(float(low), low + 10.0) for low in range(0, 100, 10)]
    counts: Counter[tuple[str, int]] = Counter()
    for (id_, condition, _), verdict in verdicts.items():
        if verdict.score is not None and id_ in run.questions:
            place = values.index(verdict.score) if few else min(int(verdict.score // 10), 9)
            counts[condition, place] += 1
    return [
        {"condition": condition, "low": low, "high": high, "answers": counts[condition, place]}
        for condition in run.conditions
        for place, (low, high) in enumerate(bins)
    ]


def _between_runs(scored: Sequence[Scored]) -> list[Row]:
    """For every two runs, the later one's score minus the earlier one's under the same condition, on the questions
    that are the same in both and that both have scored. All levels but question types."""
    rows: list[Row] = []
    names = list(dict.fromkeys(judge for one in scored for judge in one.verdicts))
    conditions = list(dict.fromkeys(condition for one in scored for condition in one.run.conditions))
    for judge in names:
        for condition in conditions:
            having = [one for one in scored if judge in one.verdicts and condition in one.run.conditions]
            for place, reference in enumerate(having[:-1]):
                questions = reference.run.questions
                asked = {id_: without_origins(row) for id_, row in questions.items()}
                same = {
                    one.name: {id_ for id_, row in one.run.questions.items() if asked.get(id_) == without_origins(row)}
                    for one in having[place:]
                }
                verdicts = {
                    (key[0], one.name, key[2]): verdict
                    for one in having[place:]
                    for key, verdict in one.verdicts[judge].items()
                    if key[1] == condition and key[0] in same[one.name]
                }
                found = metrics.summarise(verdicts, questions, list(same), reference.name).differences
                models = {one.name: one.model for one in having}
                rows += [
                    {
                        "run": d.condition,
                        "model": models[d.condition],
                        "judge": judge,
                        "reference_run": reference.name,
                        "reference_model": reference.model,
                        **{**dataclasses.asdict(d), "condition": condition, "baseline": condition},
                    }
                    for d in found
                    if d.questions and d.level != "question_type"
                ]
    for row in rows:
        del row["baseline"]
    return rows


def _reasons(run: Run, verdicts: Mapping[Key, Verdict]) -> Counter[tuple[str, str]]:
    """{(condition, reason): number of unscored answers}, in the order of the conditions."""
    found = Counter((key[1], verdict.reason) for key, verdict in verdicts.items() if verdict.score is None)
    return Counter(dict(sorted(found.items(), key=lambda item: (run.conditions.index(item[0][0]), item[0][1]))))
