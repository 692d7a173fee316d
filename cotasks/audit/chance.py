"""Leakage question by question, its chance level, and both summed up with intervals.

`leakage` defines what is measured. Here each question is a bit, and an answer's form (its words, its head, ...) is
entered once for all questions that have it. So one pass over a context gives the mask of *all* questions whose
answers it gives away: a question's own bit is its leakage, the share of the bits of other videos its chance level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cotasks.audit import leakage
from cotasks.audit.leakage import CONDITIONS, MEASURES, QUESTION, YES_NO, GivenAway, Question, Vocabulary
from cotasks.audit.words import Item, Words, item_words
from cotasks.records.schema import Record
from cotasks.words.answers import normalise
from cotasks.words.types import KNOWN, Kind, category_labels, type_labels

K = TypeVar("K")
Floats = npt.NDArray[np.float64]

Read = Callable[[Record, Vocabulary], Mapping[str, GivenAway]]
_MASKED = ("answer", "head", "number", "any", "counted", "related")


@dataclass
class Group:
    """Questions of one split and type, as bit masks: bit i stands for the i-th of them."""

    members: int = 0
    videos: dict[str, int] = field(default_factory=dict)
    """Video -> its questions."""
    applies: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEASURES, 0))
    """Measure -> questions that it applies to, as far as the answers say."""
    words: dict[Words, int] = field(default_factory=dict)
    """Words of a reference -> questions; and so on for the other forms."""
    lengths: dict[str, set[int]] = field(default_factory=dict)
    """First word -> lengths of the entries of `words` that begin with it."""
    heads: dict[str, int] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    bare_numbers: dict[int, int] = field(default_factory=dict)
    """As `numbers`, of references that are nothing else."""
    names: dict[str, int] = field(default_factory=dict)
    exact: dict[str, int] = field(default_factory=dict)
    """Normal form of a reference -> questions."""
    _items: dict[Item, tuple[int, int]] = field(default_factory=dict)
    """Item of a context -> its masks of `answer` and `head`; filled as items are met."""

    def add(self, question: Question, vocabulary: Vocabulary) -> int:
        """Enter a question; returns its bit."""
        bit = 1 << self.members
        self.members += 1
        _enter(self.videos, question.video_id, bit)
        forms = [leakage.forms_of(question.question, text, vocabulary) for text in question.references]
        for text, form in zip(question.references, forms, strict=True):
            _enter(self.exact, normalise(text), bit)
            if form.words:
                _enter(self.words, form.words, bit)
                self.lengths.setdefault(form.words[0], set()).add(len(form.words))
            if form.head is not None:
                _enter(self.heads, form.head, bit)
            if form.number is not None:
                _enter(self.numbers, form.number, bit)
                if not form.words:
                    _enter(self.bare_numbers, form.number, bit)
            for name in form.names:
                _enter(self.names, name, bit)
        numbered = any(form.number is not None for form in forms)
        applies = {
            "head": any(form.head is not None for form in forms),
            "number": numbered,
            "counted": numbered,
            "related": any(form.names for form in forms),
            YES_NO: any(normalise(text) in ("yes", "no") for text in question.references),
            "named_category": not question.choices,
            "named_predicate": not question.choices,
            "named_option": bool(question.choices),
        }
        for measure in MEASURES if forms else ():
            self.applies[measure] |= bit * applies.get(measure, True)
        return bit

    def masks(self, evidence: GivenAway) -> dict[str, int]:
        """Measure -> questions whose answers the text gives away; for all measures but `new` and the named ones."""
        answer = head = 0
        for item in evidence.reading.items:
            found = self._items.get(item)
            if found is None:
                found = self._item_masks(item_words(item))
                if evidence.reading.names:  # items of contexts come again; questions do not
                    self._items[item] = found
            answer |= found[0]
            head |= found[1]
        number = union(self.numbers, evidence.numbers)
        answer |= union(self.bare_numbers, evidence.numbers)
        return {
            "answer": answer,
            "head": head,
            "number": number,
            "any": answer | head | number,
            "counted": union(self.numbers, evidence.counted or ()),
            "related": union(self.names, evidence.names),
        }

    def _item_masks(self, sequence: Words) -> tuple[int, int]:
        answer = head = 0
        for start, word in enumerate(sequence):
            head |= self.heads.get(word, 0)
            for length in self.lengths.get(word, ()):
                answer |= self.words.get(sequence[start : start + length], 0)
        return answer, head


def _enter(index: dict[K, int], key: K, bit: int) -> None:
    index[key] = index.get(key, 0) | bit


def union(index: Mapping[K, int], keys: Iterable[K]) -> int:
    """The questions of any of the keys."""
    mask = 0
    for key in keys:
        mask |= index.get(key, 0)
    return mask


class Leakage:
    """The measurements of a data set: enter all questions first, then `measure` each record, then ask for `rows`."""

    def __init__(
        self,
        questions: Sequence[Question],
        vocabulary: Vocabulary,
        conditions: Sequence[str] = CONDITIONS,
        read: Read = leakage.record_evidence,
    ) -> None:
        """
        Args:
            questions: all that are measured, each of some record.
            vocabulary: of their data set.
            conditions: names of what is measured, `QUESTION` first.
            read: (record, vocabulary) -> condition -> what its context gives away; it may leave conditions out.
        """
        self.questions = questions
        self.vocabulary = vocabulary
        self.conditions = tuple(conditions)
        self._read = read
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._bits: list[int] = []
        for question in questions:
            group = self._groups.setdefault(_fellows(question), Group())
            self._bits.append(group.add(question, vocabulary))
        shape = (len(questions), len(self.conditions), len(MEASURES))
        self.share = np.full(shape, np.nan, np.float32)
        """(questions, conditions, measures): 1 or 0, or an expected accuracy; nan where the measure does not apply."""
        self.chance = np.full(shape, np.nan, np.float32)
        """The same for the answers of other questions; nan where there is no other video's."""
        self.distractors = np.full(shape, np.nan, np.float32)
        """The same for the wrong options; nan where open-ended."""

    def measure(self, number: int, record: Record) -> None:
        """Fill in what is measured of question `number`, whose record this is (boxes are not looked at)."""
        question, bit = self.questions[number], self._bits[number]
        group = self._groups[_fellows(question)]
        others = ~group.videos[question.video_id]
        options = [leakage.forms_of(question.question, text, self.vocabulary) for text in question.wrong_options]
        asked = 0  # questions whose answers the question's own text gives away
        options_asked: list[bool] = [False] * len(options)
        for condition, evidence in self._read(record, self.vocabulary).items():
            at = number, self.conditions.index(condition)
            masks = group.masks(evidence)
            if condition == QUESTION:
                asked = masks["any"]
            else:
                masks["new"] = masks["any"] & ~asked
            for measure, mask in masks.items():
                if measure != "counted" or evidence.counted is not None:
                    self._enter(at, measure, group, bit, others, {mask: 1.0})
            if evidence.affirmed is not None:
                guess = "yes" if evidence.affirmed else "no"
                self._enter(at, YES_NO, group, bit, others, {group.exact.get(guess, 0): 1.0})
            if condition != QUESTION:
                categories, predicates = evidence.reading.mentions()
                for measure, mentions in (("named_category", categories), ("named_predicate", predicates)):
                    guesses = leakage.most_named(mentions)
                    weights: dict[int, float] = {}
                    for name in guesses:
                        mask = union(group.exact, leakage.spellings(name))
                        weights[mask] = weights.get(mask, 0.0) + 1 / len(guesses)
                    self._enter(at, measure, group, bit, others, weights)
            if question.choices and question.references:
                column = MEASURES.index("named_option")
                self.share[at][column] = leakage.option_accuracy(question.choices, question.references, evidence)
                self.chance[at][column] = 1 - len(question.wrong_options) / len(question.choices)
                found = [leakage.readable(form, evidence) for form in options]
                if condition == QUESTION:
                    options_asked = [each["any"] for each in found]
                for each, known in zip(found, options_asked, strict=True):
                    each["new"] = each["any"] and not known
                self._enter_distractors(at, options, found)

    def _enter(
        self,
        at: tuple[int, int],
        measure: str,
        group: Group,
        bit: int,
        others: int,
        weights: Mapping[int, float],
    ) -> None:
        """Enter share and chance from masks of the questions whose answers are given away, with their weights."""
        applies = group.applies[measure]
        if not applies & bit:
            return
        column = MEASURES.index(measure)
        self.share[at][column] = sum(weight for mask, weight in weights.items() if mask & bit)
        others &= applies
        if others:
            hits = sum(weight * (mask & others).bit_count() for mask, weight in weights.items())
            self.chance[at][column] = hits / others.bit_count()

    def _enter_distractors(
        self, at: tuple[int, int], options: Sequence[leakage.Forms], found: Sequence[Mapping[str, bool]]
    ) -> None:
        for measure in (*_MASKED, "new"):
            column = MEASURES.index(measure)
            values = [each[measure] for form, each in zip(options, found, strict=True) if _applies(measure, form)]
            if values and not np.isnan(self.share[at][column]):
                self.distractors[at][column] = sum(values) / len(values)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each split, condition, cell (all questions, a category, a question type, an origin of step 1) and
        measure that has a question: {split, condition, level, group, category, name, measure, questions, videos, share,
        chance, excess, excess_low, excess_high, distractors, margin, margin_low, margin_high}. `name` is unique among
        the rows of a level; `group` and `category` say where a category or type belongs, and are null for all
        questions.

        Shares run from 0 to 1. `excess` and `margin` are means over the questions that have a chance level, or wrong
        options; the others count in `share` only. None where there are none; intervals are None with a single video.
        """
        rows: list[dict[str, Any]] = []
        splits = list(dict.fromkeys(question.split for question in self.questions))
        for split in splits:
            inside = np.array([question.split == split for question in self.questions], bool)
            videos = [question.video_id for question in self.questions if question.split == split]
            of_split = [question.kind for question in self.questions if question.split == split]
            cells = _cells(of_split, [question.kind for question in self.questions])
            cells += _origin_cells([question.origin for question in self.questions if question.split == split])
            for number, condition in enumerate(self.conditions):
                share, chance, distractors = (
                    values[inside, number].astype(np.float64) for values in (self.share, self.chance, self.distractors)
                )
                labels = {"split": split, "condition": condition}
                rows += [{**labels, **row} for row in _condition_rows(share, chance, distractors, cells, videos)]
        return rows


def _applies(measure: str, form: leakage.Forms) -> bool:
    if measure in ("number", "counted"):
        return form.number is not None
    return {"head": form.head is not None, "related": bool(form.names)}.get(measure, True)


def _fellows(question: Question) -> tuple[str, str, str]:
    """What the questions have in common whose answers are held against a question's context."""
    return question.split, question.kind.group, question.kind.question_type


Cell = tuple[dict[str, Any], npt.NDArray[np.bool_]]
"""({level, group, category, name}, which questions)"""


def _cells(kinds: Sequence[Kind], everywhere: Sequence[Kind]) -> list[Cell]:
    """All questions, the categories, and the types of categories that have several.

    Args:
        kinds: of the questions of a split.
        everywhere: of all splits, so that a name means the same in each.
    """
    types = type_labels(everywhere)
    cells: list[Cell] = [
        ({"level": "all", "group": None, "category": None, "name": "all"}, np.ones(len(kinds), bool)),
    ]
    for (group, category), label in category_labels(everywhere).items():
        inside = np.array([kind[:2] == (group, category) for kind in kinds], bool)
        if not inside.any():
            continue
        place = {"group": group, "category": category}
        cells.append(({"level": "category", **place, "name": label}, inside))
        members = [kind for kind in types if kind[:2] == (group, category)]
        listed = KNOWN[group].categories.values() if group in KNOWN else ()
        if max(len(members), sum(c == category for c in listed)) > 1:
            masks = {kind: np.array([kind == other for other in kinds], bool) for kind in members}
            cells += [
                ({"level": "question_type", **place, "name": types[kind]}, mask)
                for kind, mask in masks.items()
                if mask.any()
            ]
    return cells


def _origin_cells(origins: Sequence[str]) -> list[Cell]:
    """The origins of step 1, where there are several."""
    names = sorted(set(origins))
    place = {"level": "origin", "group": None, "category": None}
    return [({**place, "name": name}, np.array(origins) == name) for name in names] if len(names) > 1 else []


def _condition_rows(
    share: Floats,
    chance: Floats,
    distractors: Floats,
    cells: Sequence[Cell],
    videos: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows of one split and condition; values are (questions, measures)."""
    from cotasks.metrics.intervals import cluster_estimates

    names, video = np.unique(np.array(videos), return_inverse=True)
    rows: list[dict[str, Any]] = []
    columns: list[tuple[Floats, npt.NDArray[np.bool_]]] = []  # differences, and over which questions
    for labels, inside in cells:
        for column, measure in enumerate(MEASURES):
            known = inside & ~np.isnan(share[:, column])
            if not known.any():
                continue
            row = {
                **labels,
                "measure": measure,
                "questions": int(known.sum()),
                "videos": len(np.unique(video[known])),
                "share": float(share[known, column].mean()),
            }
            for other, values in (("chance", chance[:, column]), ("distractors", distractors[:, column])):
                both = known & ~np.isnan(values)
                row[other] = float(values[both].mean()) if both.any() else None
                columns.append((share[:, column] - values, both))
            rows.append(row)
    if not rows:
        return rows
    sums = [np.bincount(video[both], values[both], len(names)) for values, both in columns]
    counts = [np.bincount(video[both], minlength=len(names)).astype(np.float64) for _, both in columns]
    members = [[column] for column in range(len(columns))]
    estimates = iter(cluster_estimates(np.stack(sums, 1), np.stack(counts, 1), members, -1.0, 1.0))
    for row in rows:
        for name in ("excess", "margin"):
            estimate = next(estimates)
            row |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return rows
