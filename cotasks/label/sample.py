"""Which answers people are shown: a random sample within strata, the same for every labeller, in one random order.

A stratum is a category of questions under a condition. Within each, answers come in an order that a hash of the seed
and the question decides, so that a question comes under all its conditions together, as far as the number of answers
allows: differences between conditions are then labelled in pairs. Any number of answers is shared among the strata by
their size, and a larger sample holds the smaller one; the weight of a label is how many answers of its stratum it
stands for. Options of multiple choice are decided by a rule, not by people, and are left out; all other answers can be
drawn, empty ones and those that equal a reference included.

Answers with the same question and text are shown once, and the label is that of each of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotasks.errors import InputError, shorten
from cotasks.judge.llm.rubric import Rubric, load_rubric
from cotasks.judge.rules import references_of
from cotasks.runs.folder import Key, locked
from cotasks.runs.labels import label_key
from cotasks.runs.run import Run
from cotasks.tools.files import dump_json, read_json
from cotasks.words.answers import clean
from cotasks.words.types import kind_of

Stratum = tuple[str, str, str]
"""(group of questions, category, condition)."""
ANSWERS = 200
"""Answers in a sample, where nobody says."""


@dataclass(frozen=True)
class Item:
    """What is shown at a time."""

    key: str
    """As of `runs.labels.label_key`."""
    id: str
    """Of the record."""
    question: str
    references: tuple[str, ...]
    answer: str
    answers: tuple[Key, ...]
    """The answers of the sample that the label is of."""
    weights: tuple[float, ...]
    """Of each: how many answers of its stratum it stands for, over how many an answer of the whole sample does."""


@dataclass(frozen=True)
class Plan:
    """`labels/sample.json`."""

    seed: int
    answers: int
    rubric: Rubric

    @property
    def rubric_name(self) -> str:
        """As labels name it."""
        return f"{self.rubric.name} {self.rubric.version}"


def plan_path(folder: Path) -> Path:
    """The file that says which sample a run has."""
    return folder / "labels" / "sample.json"


def read_plan(folder: Path) -> Plan | None:
    """The sample of a run; None where there is none yet. Raises InputError where its file is damaged."""
    path = plan_path(folder)
    if not path.exists():
        return None
    row = read_json(path)
    try:
        rubric = Rubric(*(row["rubric"][name] for name in ("name", "version", "text", "scale")))
        plan = Plan(row["seed"], row["answers"], rubric)
        sound = type(plan.seed) is int and type(plan.answers) is int and plan.answers > 0
        sound = sound and all(isinstance(row["rubric"][name], str) for name in row["rubric"])
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise InputError(f"{path}: {shorten(row)}; expected seed, answers and rubric of `cotasks label`")
    plan.rubric.scale  # noqa: B018 - raises where it is none
    return plan


def settle_plan(
    folder: Path, answers: int | None = None, seed: int | None = None, rubric: Path | str | None = None
) -> Plan:
    """The sample of a run, begun or made larger; what is not given is as it was, or by default.

    Raises InputError where the run has a sample that differs in seed or rubric, or is larger: labels of two samples, or
    by two rubrics, cannot be put together.
    """
    with locked(folder, "label"):
        before = read_plan(folder)
        if before is None:
            plan = Plan(0 if seed is None else seed, answers or ANSWERS, load_rubric(rubric))
        else:
            plan = before
            given = load_rubric(rubric) if rubric is not None else before.rubric
            for name, value, was in (("seed", seed, plan.seed), ("rubric", given.name, plan.rubric.name)):
                if value is not None and value != was:
                    raise InputError(f"{plan_path(folder)}: {name} is {was}, in this command {value}; expected {was}")
            if given != plan.rubric:
                raise InputError(f"{plan_path(folder)}: rubric {given.name} was another text; expected that one")
            if answers is not None and answers < plan.answers:
                raise InputError(f"{plan_path(folder)}: answers is {plan.answers}; expected as many or more")
            plan = replace(plan, answers=answers or plan.answers)
        if plan != before:
            named = {"name": plan.rubric.name, "version": plan.rubric.version, "text": plan.rubric.text}
            named["scale"] = plan.rubric.scale.name
            dump_json(plan_path(folder), {"seed": plan.seed, "answers": plan.answers, "rubric": named})
    return plan


def _draw(seed: int, *parts: object) -> str:
    """A random number that depends on nothing but these."""
    return hashlib.sha256(repr((seed, *parts)).encode()).hexdigest()


def strata_of(run: Run) -> dict[Stratum, list[Key]]:
    """The answers that people can be shown, by stratum, in the order of the run."""
    strata: dict[Stratum, list[Key]] = defaultdict(list)
    for key, row in run.generations.items():
        question = run.questions.get(key[0])
        if question is None or question["choices"] or not isinstance(row.get("answer"), str):
            continue
        if references_of(question):
            kind = kind_of(question)
            strata[kind.group, kind.category, key[1]].append(key)
    return dict(strata)


def in_order(strata: Mapping[Stratum, Sequence[Key]], seed: int) -> list[tuple[Stratum, Key]]:
    """All answers of the strata, in an order of which any beginning is a sample."""
    placed: list[tuple[float, str, str, Key, Stratum]] = []
    for stratum, keys in strata.items():
        drawn = _draw(seed, *stratum[:2])
        for i, key in enumerate(sorted(keys, key=lambda key: _draw(seed, key[0], key[2]))):
            placed.append(((i + 0.5) / len(keys), drawn, stratum[2], key, stratum))
    return [(stratum, key) for *_, key, stratum in sorted(placed)]


def choose(run: Run, plan: Plan) -> list[Item]:
    """What people are shown, in the order in which they are.

    Raises InputError where the run has no answer to show.
    """
    strata = strata_of(run)
    drawn = in_order(strata, plan.seed)[: plan.answers]
    if not drawn:
        raise InputError(f"{run.folder}: no answers to open-ended questions with references; nothing to label")
    taken = Counter(stratum for stratum, _ in drawn)
    each = sum(map(len, strata.values())) / len(drawn)
    weights = {key: len(strata[stratum]) / taken[stratum] / each for stratum, key in drawn}
    together: dict[str, list[Key]] = defaultdict(list)
    for _, key in drawn:
        together[label_key(run.questions[key[0]], run.generations[key]["answer"])].append(key)
    items = [_item(run, key, answers, weights) for key, answers in together.items()]
    return sorted(items, key=lambda item: _draw(plan.seed, "order", item.key))


def _item(run: Run, key: str, answers: Sequence[Key], weights: Mapping[Key, float]) -> Item:
    question: Mapping[str, Any] = run.questions[answers[0][0]]
    answer = clean(run.generations[answers[0]]["answer"])
    references = tuple(references_of(question))
    of = tuple(round(weights[answer], 6) for answer in answers)
    return Item(key, answers[0][0], question["question"], references, answer, tuple(answers), of)
