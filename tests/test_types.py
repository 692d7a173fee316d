"""Question types: any source, category and type has its rows, and none is in no mean."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cotasks.audit.chance import _cells
from cotasks.judge.verdicts import Verdict
from cotasks.metrics.contrasts import category_masks
from cotasks.metrics.means import summarise
from cotasks.step_scores.table import step_rows
from cotasks.words.types import (
    NEXTQA,
    STAR,
    Kind,
    category_labels,
    group_of,
    group_title,
    in_order,
    kind_of,
    type_labels,
    type_title,
)

NAMES = st.sampled_from(["causal", "temporal", "CW", "TN", "Interaction", "interaction", "all", "average", "x", ""])
SOURCES = st.sampled_from(["nextqa", "star", "sample", "mine", "theirs", "all", "unknown", ""])
ROWS = st.lists(
    st.fixed_dictionaries({"source": SOURCES, "category": NAMES, "question_type": NAMES}), min_size=1, max_size=12
)
"""Rows of questions, with sources and names that are listed, alike, and unheard of."""


def test_known_sources_come_first_and_in_their_order() -> None:
    kinds = [
        Kind("mine", "causal", "x"),
        Kind("star", "sequence", "Sequence"),
        Kind("star", "interaction", "Interaction"),
        Kind("nextqa", "descriptive", "new"),
        Kind("nextqa", "descriptive", "DB"),
        Kind("nextqa", "unheard", "CW"),
        Kind("nextqa", "causal", "CH"),
        Kind("nextqa", "causal", "CW"),
        Kind("aesop", "b", "t"),
        Kind("aesop", "a", "u"),
    ]
    assert [tuple(kind) for kind in in_order(kinds + kinds)] == [
        ("nextqa", "causal", "CW"),
        ("nextqa", "causal", "CH"),
        ("nextqa", "descriptive", "DB"),
        ("nextqa", "descriptive", "new"),
        ("nextqa", "unheard", "CW"),
        ("star", "interaction", "Interaction"),
        ("star", "sequence", "Sequence"),
        ("aesop", "a", "u"),
        ("aesop", "b", "t"),
        ("mine", "causal", "x"),
    ]


@pytest.mark.parametrize(
    ("source", "question_type", "group"),
    [
        ("nextqa", "CW", "nextqa"),
        ("nextqa", "unheard", "nextqa"),
        ("sample", "CW", "nextqa"),
        ("sample", "Sequence", "star"),
        ("sample", "unheard", "sample"),
        ("mine", "CW", "mine"),
        ("all", "CW", "all (source)"),
        ("", "CW", "unknown"),
    ],
)
def test_groups(source: str, question_type: str, group: str) -> None:
    assert group_of(source, question_type) == group


def test_titles() -> None:
    assert [group_title(g) for g in ("nextqa", "star", "all", "mine")] == [
        "NExT-QA questions",
        "STAR questions",
        "All questions",
        "mine questions",
    ]
    assert type_title("nextqa", "CW") == "CW (causal, why)"
    assert type_title("mine", "CW") == "CW"
    assert set(NEXTQA.titles) == set(NEXTQA.categories)
    assert STAR.categories["Prediction"] == "prediction"


def test_equal_names_of_two_sources_stay_apart() -> None:
    rows = [
        *({"source": "nextqa", "category": "causal", "question_type": "CW"} for _ in range(2)),
        {"source": "mine", "category": "causal", "question_type": "CW"},
        {"source": "mine", "category": "other", "question_type": "o"},
    ]
    kinds = [kind_of(row) for row in rows]
    assert {label: mask.tolist() for label, mask in category_masks(kinds).items()} == {
        "causal (nextqa)": [True, True, False, False],
        "causal (mine)": [False, False, True, False],
        "other": [False, False, False, True],
    }
    questions = {f"q{n}": {"video_id": "v", **row} for n, row in enumerate(rows)}
    verdicts = {(f"q{n}", "c", 0): Verdict(s, None, False, "") for n, s in enumerate((100.0, 0.0, 100.0, 0.0))}
    means = {(m.group, m.level, m.name): m.mean for m in summarise(verdicts, questions, ["c"]).means}
    assert means["nextqa", "category", "causal"] == 50
    assert means["mine", "category", "causal"] == means["mine", "question_type", "CW"] == 100
    assert means["all", "macro", "average"] == pytest.approx((50 + 100 + 0) / 3)
    steps = step_rows([{3: {"triple_f1": 1.0}}] * 4, ["v"] * 4, kinds)
    assert {row["group"] for row in steps} == {"all", "causal (nextqa)", "causal (mine)", "other"}
    leaks = {(labels["level"], labels["name"]): int(mask.sum()) for labels, mask in _cells(kinds, kinds)}
    assert leaks["category", "causal (nextqa)"] == 2
    assert leaks["category", "causal (mine)"] == 1
    assert leaks["question_type", "CW (nextqa)"] == 2


@given(ROWS)
@example([{"source": "all", "category": "all", "question_type": "all"}])
def test_every_question_is_in_one_category_and_one_type(rows: list[dict[str, Any]]) -> None:
    kinds = [kind_of(row) for row in rows]
    assert in_order(reversed(kinds)) == in_order(kinds)
    masks = category_masks(kinds)
    assert "all" not in masks
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in masks.values()), np.ones(len(rows)))
    for labels in (category_labels(kinds), type_labels(kinds)):
        assert len(set(labels.values())) == len(labels)

    questions = {f"q{n}": {"video_id": f"v{n}", **row} for n, row in enumerate(rows)}
    means = summarise({}, questions, ["c"]).means
    keys = Counter((m.group, m.level, m.name) for m in means)
    assert max(keys.values()) == 1
    for level in ("category", "question_type"):
        assert sum(m.questions for m in means if m.level == level) == len(rows)
    of_groups = {m.group: m.questions for m in means if m.level == "micro"}
    assert of_groups.pop("all") == sum(of_groups.values()) == len(rows)

    cells = _cells(kinds, kinds)
    assert sum(mask.sum() for labels, mask in cells if labels["level"] == "category") == len(rows)
    names = Counter((labels["level"], labels["name"]) for labels, _ in cells)
    assert max(names.values()) == 1
