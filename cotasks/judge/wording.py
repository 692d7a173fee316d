"""How the answers of a run are worded: echoes of the question, labels of the prompt, length; no judge is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Any

from cotasks.judge.rules import references_of
from cotasks.judge.verdicts import Verdict
from cotasks.runs.folder import Key
from cotasks.runs.run import Row, Run
from cotasks.words.answers import open_answer
from cotasks.words.echo import is_echo
from cotasks.words.labels import labels_in
from cotasks.words.normal import words_of
from cotasks.words.packaging import own_turn

LONGER = 1.25
"""From this ratio of median lengths on, and a word at least, two conditions are said to differ in length."""


def echoes(run: Run) -> frozenset[Key]:
    """The answers to open-ended questions that only repeat the question, see `cotasks.words.echo`."""
    return frozenset(
        key
        for key, text, question in _open_answers(run)
        if is_echo(open_answer(text), question["question"], references_of(question))
    )


def wording(run: Run, found: Collection[Key]) -> dict[str, Row]:
    """{condition: {open_answers, echoes, median_words}} over the answers to open-ended questions; the median, of words,
    articles included, is None where there is no such answer.

    Args:
        found: `echoes` of the run.
    """
    lengths: dict[str, list[int]] = {condition: [] for condition in run.conditions}
    for key, text, _ in _open_answers(run):
        lengths[key[1]].append(len(words_of(own_turn(text))))
    return {
        condition: {
            "open_answers": len(of),
            "echoes": sum(key[1] == condition for key in found),
            "median_words": float(median(of)) if of else None,
        }
        for condition, of in lengths.items()
    }


def labelled(run: Run) -> dict[Key, list[str]]:
    """{key: the labels of the prompt} of each answer to an open-ended question that has some, see
    `cotasks.words.labels`."""
    found = {
        key: labels_in(own_turn(text), question["question"], references_of(question))
        for key, text, question in _open_answers(run)
    }
    return {key: labels for key, labels in found.items() if labels}


def label_warnings(run: Run) -> list[str]:
    """A line for each condition with answers that repeat labels of the prompt."""
    labels, asked = labelled(run), Counter(key[1] for key, _, _ in _open_answers(run))
    lines = []
    for condition in run.conditions:
        those = [found for key, found in labels.items() if key[1] == condition]
        if those:
            lines.append(
                f"{len(those)} of {asked[condition]} answers under {condition} repeat numbered names or times of the "
                f"notes, such as {those[0][0]!r}, which no reference holds; --answer-style natural asks for neither."
            )
    return lines


def echo_scores(run: Run, verdicts: Mapping[Key, Verdict], found: Collection[Key]) -> list[Row]:
    """{condition, echoes, right, points} of each condition that has a scored echo: how many of these the judge holds
    for right, and by how much the mean score of the condition's answers would fall if all of them scored 0.

    Args:
        verdicts: Of one judge.
        found: `echoes` of the run.
    """
    rows = []
    for condition in run.conditions:
        scored = {
            key: verdict.score
            for key, verdict in verdicts.items()
            if key[1] == condition and key[0] in run.questions and verdict.score is not None
        }
        those = [key for key in scored if key in found]
        if those:
            rows.append(
                {
                    "condition": condition,
                    "echoes": len(those),
                    "right": sum(bool(verdicts[key].correct) for key in those),
                    "points": sum(scored[key] for key in those) / len(scored),
                }
            )
    return rows


def warnings(rows: Sequence[Row], baseline: str) -> list[str]:
    """What a reader must know before comparing conditions; of rows with {condition} and the fields of `wording`."""
    found = [
        f"{row['echoes']} of {row['open_answers']} answers under {row['condition']} only repeat words of the question."
        for row in rows
        if row["echoes"]
    ]
    words = {row["condition"]: row["median_words"] for row in rows if row["median_words"] is not None}
    for condition, count in words.items():
        base = words.get(baseline)
        if base is not None and abs(count - base) >= 1 and max(count, base) >= LONGER * min(count, base):
            found.append(
                f"answers have {count:g} words (median) under {condition} and {base:g} under {baseline}: word scores "
                "(f1, WUPS) depend on length; f1-new and wups0-new do less."
            )
    return found


def score_warnings(rows: Sequence[Row]) -> list[str]:
    """The same of `echo_scores`, for one judge."""
    return [
        f"{row['right']} of {row['echoes']} echoes under {row['condition']} are held for right; if all of them scored "
        f"0, its mean would be {row['points']:.1f} lower."
        for row in rows
        if row["right"]
    ]


def _open_answers(run: Run) -> list[tuple[Key, str, Mapping[str, Any]]]:
    """(key, answer, question) of the answers to open-ended questions."""
    return [
        (key, text, question)
        for key, row in run.generations.items()
        if isinstance(text := row.get("answer"), str)
        and (question := run.questions.get(key[0])) is not None
        and not question["choices"]
    ]
