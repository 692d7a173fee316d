"""Types of questions: what the known sources call theirs, and how any question is grouped for means and tables.

A question belongs to a group, which is its source, and within it to a category and a type. `source`, `category` and
`question_type` of a record are open: a source that is not listed here has the categories and types that its records
name. Listed ones come first, in the order of the list; the others follow by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ALL = "all"
"""The group of all questions."""


@dataclass(frozen=True)
class QuestionTypes:
    """The types of a known source."""

    source: str
    """As in a record's `source`."""
    title: str
    categories: Mapping[str, str]
    """Question type -> the category that it is reported in, in the order of reports."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Question type -> the same in words, where the source's name of it says too little."""
    action_predicates: frozenset[str] = frozenset()
    """Predicates of triples that often name what the source's questions ask for; no relation has such a name."""


NEXTQA = QuestionTypes(
    "nextqa",
    "NExT-QA",
    {
        **{"CW": "causal", "CH": "causal"},
        **{"TN": "temporal", "TC": "temporal", "TP": "temporal"},
        **{"DC": "descriptive", "DL": "descriptive", "DO": "descriptive", "DB": "descriptive"},
    },
    {
        "CW": "CW (causal, why)",
        "CH": "CH (causal, how)",
        "TN": "TN (temporal, next)",
        "TC": "TC (temporal, current)",
        "TP": "TP (temporal, previous)",
        "DC": "DC (descriptive, count)",
        "DL": "DL (descriptive, location)",
        "DO": "DO (descriptive, other)",
        "DB": "DB (descriptive, yes or no)",
    },
)
"""Xiao et al. 2021, section 3; DB is in the open-ended task only."""

STAR = QuestionTypes(
    "star",
    "STAR",
    {name: name.lower() for name in ("Interaction", "Sequence", "Prediction", "Feasibility")},
    action_predicates=frozenset(
        (
            *("close", "drink", "eat", "grasp", "hold", "lie", "open", "put", "sit"),
            *("stand", "take", "throw", "tidy", "turn", "walk", "wash", "watch"),
        )
    ),
)
"""Wu et al. 2021, section 3: the type is the category. The actions are `verb_classes.txt`, v000 to v016."""


def castbench_category(question_type: str) -> str:
    """The category of a type of CaST-Bench, whose file spells several in two ways: in small letters, without brackets
    and without the words that say nothing. `Why Questions (Causal Reasons)` and `Why (Causal Reasons)` are both
    `why causal reasons`."""
    words = re.sub(r"[()]", " ", question_type.lower()).split()
    return " ".join(word for word in words if word not in ("question", "questions", "inference", "non-immediate"))


CASTBENCH = QuestionTypes(
    "castbench",
    "CaST-Bench",
    {
        name: castbench_category(name)
        for name in (
            "Why Questions (Causal Reasons)",
            "Why (Causal Reasons)",
            "How Questions (Mechanisms)",
            "How (Mechanisms)",
            "Behavioral Prediction",
            "Physical Prediction",
            "Goal/Intent Inference (non-immediate)",
            "Goal/Intent",
            "Physical Counterfactual",
            "Social Counterfactual",
            "Social (Counterfactual)",
            "Identity/Role Inference",
            "Skill/Expertise Inference",
            "Emotion/Motivation Inference",
            "Environmental Condition Inference",
            "Risk/Safety",
            "Other",
        )
    },
)
"""Zhang et al. 2026: the types of its published sample of 80 questions. Others get their category by the same rule."""

KNOWN: dict[str, QuestionTypes] = {types.source: types for types in (NEXTQA, STAR, CASTBENCH)}
MIXED = ("sample",)
"""Sources whose questions are made like those of known ones, and are grouped with these."""


class Kind(NamedTuple):
    """Where a question belongs."""

    group: str
    category: str
    question_type: str


def kind_of(row: Mapping[str, Any]) -> Kind:
    """The kind of a question, from a row with `source`, `category` and `question_type`."""
    group = group_of(row["source"], row["question_type"])
    return Kind(group, row["category"] or "unnamed", row["question_type"] or "unnamed")


def group_of(source: str, question_type: str) -> str:
    """The group of a source's questions: the source itself, but for `MIXED`."""
    if source in MIXED:
        return next((types.source for types in KNOWN.values() if question_type in types.categories), source)
    return {"": "unknown", ALL: f"{ALL} (source)"}.get(source, source)


def in_order(kinds: Iterable[Kind]) -> list[Kind]:
    """Each kind once, by group, category and type."""
    return sorted(set(kinds), key=lambda kind: (group_place(kind.group), *_places(kind)))


def group_place(group: str) -> tuple[int, str]:
    """What groups are sorted by: the known ones as listed, then the others by name."""
    return _place(group, KNOWN)


def listed_categories(group: str) -> list[str]:
    """The categories that a group is known to have, in order; none for a group that is not listed."""
    return list(dict.fromkeys(KNOWN[group].categories.values())) if group in KNOWN else []


def _places(kind: Kind) -> tuple[tuple[int, str], tuple[int, str]]:
    listed = KNOWN[kind.group].categories if kind.group in KNOWN else {}
    return _place(kind.category, listed_categories(kind.group)), _place(kind.question_type, listed)


def _place(name: str, listed: Iterable[str]) -> tuple[int, str]:
    names = list(listed)
    return (names.index(name) if name in names else len(names)), name


def group_title(group: str) -> str:
    """`NExT-QA questions`, `All questions`"""
    return "All questions" if group == ALL else f"{KNOWN[group].title if group in KNOWN else group} questions"


def type_title(group: str, question_type: str) -> str:
    """`CW (causal, why)`; a type without a title is called by its name."""
    return KNOWN[group].titles.get(question_type, question_type) if group in KNOWN else question_type


def category_labels(kinds: Iterable[Kind]) -> dict[tuple[str, str], str]:
    """(group, category) of each kind, in order -> the category's name, with its group where that alone is ambiguous."""
    pairs = list(dict.fromkeys((kind.group, kind.category) for kind in in_order(kinds)))
    count = Counter([ALL, *(category for _, category in pairs)])
    return {(group, name): name if count[name] == 1 else f"{name} ({group})" for group, name in pairs}


def type_labels(kinds: Iterable[Kind]) -> dict[Kind, str]:
    """Each kind, in order -> the type's name, with its group, or group and category, where that alone is ambiguous."""
    ordered = in_order(kinds)
    count = Counter(kind.question_type for kind in ordered)
    in_group = Counter((kind.group, kind.question_type) for kind in ordered)
    labels = {}
    for kind in ordered:
        group, category, name = kind
        if count[name] > 1:
            name = f"{name} ({group})" if in_group[group, name] == 1 else f"{name} ({group}, {category})"
        labels[kind] = name
    return labels
