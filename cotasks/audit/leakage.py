"""How much of the answer can be read off the context, and what guessing from it earns.

Context text is the block that `prompts.build_prompt` writes for a condition; `words` says how it and the answers are
read. For each question and condition:

- `answer`: the words of a reference answer stand in a row in one item (an entity name, a triple). A reference that is
  only a number counts where its number can be read off.
- `head`: the head word of a reference stands anywhere among the words. Over questions whose reference has one.
- `number`: the number that a reference begins with equals the number of entities of some category, as they are named
  or as the highest number in a name tells, or the number that `counted` gives. Over questions whose reference begins
  with a number.
- `any`: at least one of the three.
- `new`: `any` holds for the context and not for the question's own text.
- `counted`: over questions "how many X" whose X the builder's table of words ties to annotated categories of the video:
  the entities of these categories, counted together, are as many as the answer says. It is also the accuracy of
  answering every such question with that count.
- `yes_no`: over yes/no questions that name something annotated; the accuracy of saying yes where the context affirms
  the question, else no. It *affirms* what it names: of each phrase of the question that the same table ties to
  categories, some category; and where a word is tied to predicates, a triple with one of these and a thing of the
  question.
- `related`: looser than `head`; over questions whose reference stands, by the same table, for an annotated predicate
  (where the question asks for an action) or category (else) of the data set: the context names one of these.
- `named_category`, `named_predicate`: open-ended questions; the accuracy of always answering with the category, or the
  predicate, that is named most often. An answer counts as right where it equals a reference in normal form, as judge
  `exact` has it; each side of a "/" is tried, and a bracket left out.
- `named_option`: multiple choice; the accuracy of always choosing the option of whose words (function words left out)
  the largest share is among the context's words; then that whose words are named most often, on average over them.

Where several are named equally often, the accuracy is the expected one of choosing among them at random. Where there
are several references, any of them counts.

**Chance** is what the same context gives for the answers of *other* questions: the mean over all questions of the same
split and question type about other videos, which is what randomly permuted answers would give on average; nothing is
drawn. For `named_option` it is 1 / options (more where two options have the right text). **Excess** is the share minus
chance. For multiple choice, `distractors` is the share of the *wrong options* of the same question of which the same
holds, and **margin** the share minus it.

Condition `question` is the level of reference: the question's own text (without options) in place of a context.
"without actions" leaves out STAR's action triples, which often name the question's verb and answer.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from cotasks.audit import words as w
from cotasks.audit.words import Reading, Words
from cotasks.models.families import Family, Limits
from cotasks.prompts.condition import Condition
from cotasks.prompts.prompt import build_prompt
from cotasks.records.schema import FEATURES, Record
from cotasks.steps.frame_localization import origin_label
from cotasks.words.answers import is_blank, normalise
from cotasks.words.types import KNOWN, Kind, group_of, kind_of

QUESTION = "question"
STEPS_OF = {
    "cotasks": (1, 2, 3, 4),
    "cotasks-12": (1, 2),
    "cotasks-34": (3, 4),
    "cotasks-1": (1,),
    "cotasks-2": (2,),
    "cotasks-3": (3,),
    "cotasks-4": (4,),
}
"""Condition -> steps of its context block."""
WITHOUT_ACTIONS = {f"{name} without actions": name for name in ("cotasks", "cotasks-34", "cotasks-4")}
"""Conditions that questions of a source with action triples (STAR) have beside the others -> the condition whose action
triples are left out."""
CONDITIONS = (QUESTION, *STEPS_OF, *WITHOUT_ACTIONS)

READ = ("answer", "head", "number", "any", "new", "counted", "related")
NAMED = ("named_category", "named_predicate", "named_option")
YES_NO = "yes_no"
MEASURES = (*READ, YES_NO, *NAMED)

NEUTRAL = Family("neutral", (), "thousandths", "seconds", Limits(), names="")
"""Names and predicates read the same for every family; only times and coordinates differ, and these are not read."""
_SIZE = (1000, 1000)


@dataclass(frozen=True)
class Question:
    """What the leakage of a question needs beside its context."""

    split: str
    kind: Kind
    video_id: str
    question: str
    references: tuple[str, ...]
    """Reference answers that hold a letter or a digit."""
    choices: tuple[str, ...]
    """Options; empty where open-ended."""
    origin: str
    """Of step 1, see `origin_label`."""

    @classmethod
    def of(cls, split: str, row: Mapping[str, Any]) -> Question:
        """From the columns of a record with those names."""
        texts, a1 = (row["answer"], *row["additional_answers"]), row["frame_localization"]
        return cls(
            split=split,
            kind=kind_of(row),
            video_id=row["video_id"],
            question=row["question"],
            references=tuple(text for text in texts if not is_blank(text)),
            choices=tuple(row["choices"]),
            origin=origin_label(FEATURES["frame_localization"]["span_origin"].int2str(origin), a1["used_answer"])
            if isinstance(origin := a1["span_origin"], int)
            else origin_label(origin, a1["used_answer"]),
        )

    @staticmethod
    def columns() -> list[str]:
        """The columns that `of` takes."""
        kind = ["source", "category", "question_type"]
        return [*kind, "video_id", "question", "answer", "additional_answers", "choices", "frame_localization"]

    @cached_property
    def wrong_options(self) -> tuple[str, ...]:
        """Options that no reference equals in normal form."""
        right = {normalise(text) for text in self.references}
        return tuple(text for text in self.choices if normalise(text) not in right)


@dataclass(frozen=True)
class Vocabulary:
    """All names that a data set's scenes hold."""

    categories: frozenset[str]
    predicates: frozenset[str]


@dataclass(frozen=True)
class Forms:
    """What to look for of one answer."""

    words: Words
    """Folded; empty where the answer is only a number."""
    head: str | None
    number: int | None
    names: frozenset[str]
    """Annotated names that it stands for, as they read in a prompt."""


def forms_of(question: str, answer: str, vocabulary: Vocabulary) -> Forms:
    """The forms of an answer (a reference or an option) to a question."""
    return Forms(
        words=() if w.is_number(answer) else w.words(answer),
        head=w.head_word(question, answer),
        number=w.number_of(answer),
        names=related_names(answer, vocabulary, w.asks_for_action(question)),
    )


@lru_cache(maxsize=65536)
def related_names(text: str, vocabulary: Vocabulary, action: bool | None = None) -> frozenset[str]:
    """The predicates (`action`), categories (not) or both (None) that a text stands for, as they read in a prompt."""
    from cotasks.words.lexicon import match_categories, match_predicates

    found: frozenset[str] = frozenset()
    if action is not False:
        found |= match_predicates(text, vocabulary.predicates)
    if action is not True:
        found |= match_categories(text, vocabulary.categories)
    return frozenset(name.replace("_", " ") for name in found)


_HOW_MANY = re.compile(r"how many (?:of )?(?:the )?(.+)")


def asked_categories(question: str, categories: Iterable[str]) -> frozenset[str]:
    """Those of `categories`, as they read in a prompt, that "how many X" asks for; X ends before the next function
    word. Empty where the question asks for no number, or for something that is not annotated.
    """
    from cotasks.words.lexicon import match_categories

    match = _HOW_MANY.search(normalise(question))
    noun: list[str] = []
    for word in match[1].split() if match else ():
        if word in w.FUNCTION_WORDS:
            break
        noun.append(word)
    return frozenset(name.replace("_", " ") for name in match_categories(" ".join(noun), frozenset(categories)))


@dataclass(frozen=True)
class GivenAway:
    """What one text gives away: a context block, or a question."""

    reading: Reading
    numbers: frozenset[int]
    """Numbers that can be read off."""
    counted: frozenset[int] | None
    """Numbers of the entities that the question asks to count; None where it asks for none that are annotated."""
    names: frozenset[str]
    """Annotated names, as they read in a prompt."""
    affirmed: bool | None = None
    """Whether it affirms the question, see `affirms`; None where the question names nothing annotated."""

    @cached_property
    def text(self) -> str:
        """The folded words of all items, `|` between items, so that a row of words can be sought as a substring."""
        return f" {' | '.join(' '.join(w.item_words(item)) for item in self.reading.items)} "

    @cached_property
    def words(self) -> Counter[str]:
        """How often each folded word is mentioned."""
        found: Counter[str] = Counter()
        for item, times in self.reading.items.items():
            for word in w.item_words(item):
                found[word] += times
        return found


@lru_cache(maxsize=65536)
def _named_in(question: str, vocabulary: Vocabulary) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    """(categories by phrase, predicates) that a question names, as they read in a prompt."""
    from cotasks.words.lexicon import match_phrases, match_predicates

    phrases = match_phrases(question, vocabulary.categories)
    predicates = match_predicates(question, vocabulary.predicates)
    return tuple(map(_readable_names, phrases)), _readable_names(predicates)


def _readable_names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.replace("_", " ") for name in names)


def affirms(reading: Reading, question: str, vocabulary: Vocabulary) -> bool | None:
    """Whether a context affirms a question, as the module says; None where the question names nothing annotated."""
    phrases, predicates = _named_in(question, vocabulary)
    if not phrases and not predicates:
        return None
    categories, _ = reading.mentions()
    if not all(phrase & categories.keys() for phrase in phrases):
        return False
    things = frozenset[str]().union(*phrases)
    triples = [item for item in reading.items if len(item) == 3 and item[1] in predicates]
    return not predicates or any(not things or {item[0], item[2]} & things for item in triples)


def evidence_of_context(reading: Reading, asked: frozenset[str], affirmed: bool | None = None) -> GivenAway:
    """Args: reading: of the context block; asked: see `asked_categories`; affirmed: see `affirms`."""
    counts = reading.counts()
    counted = None
    if asked:
        # named and highest numbers, each added up over the categories that are asked for
        each = [counts[category] for category in asked if category in counts]
        counted = frozenset({sum(map(min, each)), sum(map(max, each))} if each else ())
    categories, predicates = reading.mentions()
    numbers = frozenset(number for found in counts.values() for number in found)
    names = frozenset(categories) | frozenset(predicates)
    return GivenAway(reading, numbers | (counted or frozenset()), counted, names, affirmed)


def evidence_of_question(question: str, vocabulary: Vocabulary) -> GivenAway:
    """What the question's own text gives away."""
    numbers = frozenset(w.NUMBER_OF[word] for word in normalise(question).split() if word in w.NUMBER_OF)
    reading = Reading(Counter({(question,): 1}), frozenset())
    return GivenAway(reading, numbers, None, related_names(question, vocabulary))


def readable(forms: Forms, evidence: GivenAway) -> dict[str, bool]:
    """`answer`, `head`, `number`, `any`, `counted` and `related` of one answer; False where one does not apply."""
    number = forms.number is not None and forms.number in evidence.numbers
    phrase = f" {' '.join(forms.words)} "
    answer = phrase in evidence.text if forms.words else number
    head = forms.head is not None and forms.head in evidence.words
    return {
        "answer": answer,
        "head": head,
        "number": number,
        "any": answer or head or number,
        "counted": forms.number is not None and forms.number in (evidence.counted or ()),
        "related": not forms.names.isdisjoint(evidence.names),
    }


def record_evidence(record: Record, vocabulary: Vocabulary) -> dict[str, GivenAway]:
    """Condition -> what its context gives away; the conditions without actions for sources only that have
    action triples."""
    asked = asked_categories(record.question, {entity.category for entity in record.scene.entities})
    readings = {step: _step_reading(record, step) for step in (1, 2, 3, 4)}
    found = {QUESTION: evidence_of_question(record.question, vocabulary)}

    def evidence(steps: Sequence[int]) -> GivenAway:
        reading = _sum(readings, steps)
        return evidence_of_context(reading, asked, affirms(reading, record.question, vocabulary))

    for name, steps in STEPS_OF.items():
        found[name] = evidence(steps)
    types = KNOWN.get(group_of(record.source, record.question_type))
    if types is not None and types.action_predicates:
        kept = tuple(r for r in record.temporal_relations if r.predicate not in types.action_predicates)
        readings[4] = _step_reading(dataclasses.replace(record, temporal_relations=kept), 4)
        for name, with_actions in WITHOUT_ACTIONS.items():
            found[name] = evidence(STEPS_OF[with_actions])
    return found


def _step_reading(record: Record, step: int) -> Reading:
    # how many boxes an entity has makes no difference to what is read
    condition = Condition(f"cotasks-{step}", (step,), boxes_per_entity=1)
    return w.read_context(build_prompt(record, condition, NEUTRAL, _SIZE, _SIZE).context)


def _sum(readings: Mapping[int, Reading], steps: Sequence[int]) -> Reading:
    return sum((readings[step] for step in steps), w.NO_READING)


def most_named(mentions: Mapping[str, int]) -> list[str]:
    """The names with the most mentions; none where there is no mention."""
    most = max(mentions.values(), default=0)
    return sorted(name for name, times in mentions.items() if times == most)


@lru_cache(maxsize=4096)
def spellings(name: str) -> frozenset[str]:
    """Normal forms of what a name may be answered as: "cup/glass" as "cup", "glass" or both; "play(instrument)" also
    as "play".
    """
    texts = [name, *name.split("/"), re.sub(r"\(.*\)", "", name)]
    return frozenset(normalise(text) for text in texts) - {""}


def content_words(text: str) -> Words:
    """Distinct folded words of a text without function words, or all of them where nothing else is left."""
    plain = normalise(text).split()
    kept = [word for word in plain if word not in w.FUNCTION_WORDS] or plain
    return tuple(dict.fromkeys(map(w.fold, kept)))


def option_accuracy(choices: Sequence[str], references: Collection[str], evidence: GivenAway) -> float:
    """Expected accuracy of choosing the option that is named most, as the module says."""
    scores = []
    for choice in choices:
        times = [evidence.words[word] for word in content_words(choice)] or [0]
        scores.append((sum(map(bool, times)) / len(times), sum(times) / len(times)))
    right = {normalise(text) for text in references}
    best = [choice for choice, score in zip(choices, scores, strict=True) if score == max(scores)]
    return sum(normalise(choice) in right for choice in best) / len(best)
