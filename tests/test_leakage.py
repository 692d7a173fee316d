from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.audit import leakage as lk
from cotasks.audit import words as w
from cotasks.audit.chance import Leakage
from cotasks.audit.counts import light_records
from cotasks.audit.leakage import CONDITIONS, MEASURES, Question, Vocabulary
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import Condition
from cotasks.prompts.prompt import build_prompt
from cotasks.records.schema import Record, records_to_table
from tests.audit_records import make_record
from tests.examples import examples
from tests.strategies import records

NO_VOCABULARY = Vocabulary(frozenset(), frozenset())


def vocabulary_of(*found: Record) -> Vocabulary:
    scenes = [record.scene for record in found]
    return Vocabulary(
        frozenset(e.category for s in scenes for e in s.entities),
        frozenset(r.predicate for s in scenes for r in (*s.spatial_relations, *s.temporal_relations)),
    )


# Words


@pytest.mark.parametrize(
    "forms",
    [
        "hold holds holding held",
        "ride rides riding rode ridden",
        "hug hugs hugging hugged",
        "kiss kisses kissing kissed",
        "carry carries carried carrying",
        "press presses pressing pressed",
        "use uses used using",
        "lie lies lying lay lied",
        "take takes taking took taken",
        "watch watches watching watched",
        "play plays playing played",
        "see sees seeing saw seen",
        "baby babies",
        "cookie cookies",
        "child children",
        "person people",
        "shelf shelves",
        "glass glasses",
        "box boxes",
        "horse horses",
        "bus buses",
    ],
)
def test_forms_of_a_word_fold_to_one(forms: str) -> None:
    assert len({w.fold(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "text", ["bed red feed need", "sing king ring thing string", "bus this is his", "glass gla", "bat bath"]
)
def test_different_words_stay_apart(text: str) -> None:
    assert len({w.fold(word) for word in text.split()}) == len(text.split())


@given(st.text())
def test_folding_leaves_something_of_every_word(text: str) -> None:
    assert all(w.words(text))


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("two", 2),
        ("2", 2),
        ("the 12 dogs", 12),
        ("zero", 0),
        ("one", 1),
        ("at least two", None),
        ("hi-five", None),
        ("twice", None),
        ("", None),
        ("?", None),
        ("35", 35),
        ("101", None),
    ],
)
def test_number_of_a_reference(reference: str, number: int | None) -> None:
    assert w.number_of(reference) == number


@pytest.mark.parametrize(
    ("question", "action"),
    [
        ("why did the boy run", True),
        ("how does the man hold the cup", True),
        ("how many dogs are there", False),
        ("how old is the boy", False),
        ("what does the boy do after that", True),
        ("what do they hold", False),
        ("what is the man doing", True),
        ("what happened at the end", True),
        ("how did he react", True),
        ("where is this", False),
        ("Which object was tidied up by the person?", False),
        ("What did the person do with the towel?", True),
        ("", False),
    ],
)
def test_questions_that_ask_for_an_action(question: str, action: bool) -> None:
    assert w.asks_for_action(question) is action


@pytest.mark.parametrize(
    ("question", "reference", "head"),
    [
        ("what does he do", "pick up the fork", "pick"),
        ("what does he do", "picks up the fork", "pick"),
        ("why", "to play with ball", "play"),
        ("why", "because he is happy", "happy"),
        ("where is it", "baby chair", "chair"),
        ("which animal is it", "leopard at the front", "leopard"),
        ("what is it", "the big red car", "car"),
        ("where is it", "on the sofa", "sofa"),
        ("which object was tidied up", "The clothes.", "cloth"),
        ("which object was opened", "The closet/cabinet.", "cabinet"),
        ("what colour is it", "black and white", "black"),
        ("who is it", "two women", "woman"),
        ("how many", "two", None),
        ("how many", "3", None),
        ("why", "up", "up"),
        ("where", "", None),
        ("where", "?!", None),
    ],
)
def test_head_word(question: str, reference: str, head: str | None) -> None:
    assert w.head_word(question, reference) == (None if head is None else w.fold(head))


# Context blocks


def block(record: Record, steps: tuple[int, ...], family: str = "qwen2_vl", **options: Any) -> str:
    condition = Condition("c", steps, **options)
    return build_prompt(record, condition, FAMILIES[family], (1000, 1000), (640, 480)).context


def test_a_context_is_read_item_by_item() -> None:
    record = make_record(
        entities=("adult", "adult", "baby_seat", "dog"),
        chosen=(0, 1, 2),
        spatial=[(1, "in_front_of", 0)],
        temporal=[(0, "hold_hand_of", 1), (0, "chase", 3)],
    )
    assert w.read_context(block(record, (1,))) == w.Reading(
        Counter({("adult",): 2, ("baby seat",): 1}), frozenset({"adult 1", "adult 2", "baby seat"})
    )
    assert w.read_context(block(record, (2,))) == w.read_context(block(record, (1,)))
    assert w.read_context(block(record, (3, 4))) == w.Reading(
        Counter({("adult", "in front of", "adult"): 1, ("adult", "hold hand of", "adult"): 1}),
        frozenset({"adult 1", "adult 2"}),
    )
    reading = w.read_context(block(record, (1, 2, 3, 4)))
    assert reading.mentions() == (Counter({"adult": 8, "baby seat": 2}), Counter({"in front of": 1, "hold hand of": 1}))


def test_what_says_nothing_gives_no_reading() -> None:
    assert w.read_context("") == w.NO_READING
    empty = make_record(chosen=())
    for steps in ((1,), (2,), (3,), (4,), (1, 2, 3, 4)):
        assert w.read_context(block(empty, steps)) == w.NO_READING
    with pytest.raises(ValueError, match="cannot read the line 'dog'"):
        w.read_context("preamble\ndog")


@given(records())
@examples(40)
def test_reading_takes_everything_that_is_said_and_nothing_else(record: Record) -> None:
    names = w.read_context(block(record, (1,))).names
    assert len(names) == len(record.frame_localization.entities)
    categories = Counter(e.category.replace("_", " ") for e in record.frame_localization.entities)
    assert w.read_context(block(record, (1,))).items == Counter({(c,): n for c, n in categories.items()})
    tracked = Counter(t.category.replace("_", " ") for t in record.entity_tracking)
    assert w.read_context(block(record, (2,))).items == Counter({(c,): n for c, n in tracked.items()})
    category = {e.tid: e.category.replace("_", " ") for e in record.scene.entities}
    for step, relations in ((3, record.spatial_relations), (4, record.temporal_relations)):
        triples = Counter(
            (category[r.subject_tid], r.predicate.replace("_", " "), category[r.object_tid]) for r in relations
        )
        assert w.read_context(block(record, (step,))).items == triples
    whole = w.read_context(block(record, (1, 2, 3, 4)))
    parts = [w.read_context(block(record, (step,))) for step in (1, 2, 3, 4)]
    assert whole == sum(parts, w.NO_READING)
    for family in FAMILIES:
        assert w.read_context(block(record, (1, 2, 3, 4), family)) == whole
    assert w.read_context(block(record, (1, 2, 3, 4), boxes_per_entity=1)) == whole
    (light,) = light_records(records_to_table([record]))
    assert w.read_context(block(light, (1, 2, 3, 4))) == whole
    assert light.question == record.question
    assert light.scene.entities == record.scene.entities


# What can be read off


def found(record: Record, condition: str = "cotasks") -> dict[str, bool]:
    vocabulary = vocabulary_of(record)
    evidence = lk.record_evidence(record, vocabulary)[condition]
    return lk.readable(lk.forms_of(record.question, record.answer, vocabulary), evidence)


def reads(**true: bool) -> dict[str, bool]:
    return {**dict.fromkeys(("answer", "head", "number", "any", "counted", "related"), False), **true}


@pytest.mark.parametrize(
    ("question", "answer", "type_", "expected"),
    [
        # (adult 1, hold, dog); (dog, behind, adult 2); a baby and a sofa are named, too
        ("what does he do", "hold the dog", "TN", reads(answer=True, head=True, any=True, related=True)),
        ("what does he do", "holds a dog", "TN", reads(answer=True, head=True, any=True, related=True)),
        ("what does he do", "dog hold", "TN", reads(head=True, any=True, related=True)),
        ("what does he do", "held it", "TN", reads(head=True, any=True, related=True)),
        ("what does he do", "carry the dog", "TN", reads()),
        ("what is on the sofa", "dog", "DO", reads(answer=True, head=True, any=True, related=True)),
        ("what is on the sofa", "puppy", "DO", reads(related=True)),
        ("what is on the sofa", "a small dog", "DO", reads(head=True, any=True, related=True)),
        ("what is on the sofa", "a dog house", "DO", reads(related=True)),
        ("what is on the sofa", "adult dog", "DO", reads(head=True, any=True, related=True)),
        ("where is this", "park", "DL", reads()),
        ("is there a dog", "yes", "DB", reads()),
        ("what is there", "none", "DO", reads()),
        ("what is there", "frame", "DO", reads()),
        ("how many dogs are there", "one", "DC", reads(answer=True, number=True, any=True, counted=True)),
        ("how many adults are there", "2", "DC", reads(answer=True, number=True, any=True, counted=True)),
        ("how many people are there", "three", "DC", reads(answer=True, number=True, any=True, counted=True)),
        ("how many people are there", "two", "DC", reads(answer=True, number=True, any=True)),
        ("how many people are there", "four", "DC", reads()),
        ("how many cars are there", "two", "DC", reads(answer=True, number=True, any=True)),
        ("what does he show", "two fingers", "TC", reads(number=True, any=True)),
    ],
)
def test_readable(question: str, answer: str, type_: str, expected: dict[str, bool]) -> None:
    record = make_record(
        question,
        answer,
        type_,
        entities=("adult", "adult", "dog", "baby", "sofa"),
        spatial=[(2, "behind", 1)],
        temporal=[(0, "hold", 2)],
    )
    assert found(record) == expected


def test_the_steps_say_different_things() -> None:
    record = make_record("what does he do", "hold the dog", "TN", temporal=[(1, "hold", 0)])
    told = {condition for condition in lk.STEPS_OF if found(record, condition)["answer"]}
    assert told == {"cotasks", "cotasks-34", "cotasks-4"}
    record = make_record("what is it", "dog", "DO", temporal=[(1, "hold", 0)], boxes={0: ()})
    told = {condition for condition in lk.STEPS_OF if found(record, condition)["answer"]}
    assert told == {"cotasks", "cotasks-12", "cotasks-34", "cotasks-1", "cotasks-4"}


def test_the_question_itself_is_the_level_of_reference() -> None:
    record = make_record("is the dog or the cat one of 2 pets", "cat", "DB")
    assert found(record, "question") == reads(answer=True, head=True, any=True)
    record = make_record("how do the two boys sit", "2", "CH")
    assert found(record, "question") == reads(answer=True, number=True, any=True)


def test_numbers_are_names_counted_and_the_highest_in_a_name() -> None:
    record = make_record("how many dogs are there", "three", "DC", entities=("dog",) * 4, chosen=(0, 2))
    evidence = lk.record_evidence(record, vocabulary_of(record))["cotasks"]
    assert evidence.reading.names == {"dog 1", "dog 3"}
    assert evidence.numbers == {2, 3}
    assert evidence.counted == {2, 3}
    both = make_record("how many animals", "five", "DC", entities=("dog", "cat", "cat", "cat"), chosen=(0, 1, 3))
    assert lk.record_evidence(both, vocabulary_of(both))["cotasks"].counted == {1 + 2, 1 + 3}


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("how many dogs are there", {"dog"}),
        ("how many puppies did the man hold", {"dog"}),
        ("how many people are on the sofa", {"adult", "baby"}),
        ("how many of the men are there", {"adult"}),
        ("how many baby seats are there", {"baby seat"}),
        ("how many times does the dog jump", set()),
        ("how many cars are there", set()),
        ("why does the dog run", set()),
        ("how many", set()),
    ],
)
def test_what_a_question_asks_to_count(question: str, asked: set[str]) -> None:
    assert lk.asked_categories(question, {"dog", "adult", "baby", "sofa", "baby_seat"}) == asked


def star_record(**changes: Any) -> Record:
    scene: dict[str, Any] = {
        "entities": ("person", "bag", "table"),
        "spatial": [(0, "near", 2)],
        "temporal": [(0, "holding", 1), (0, "take", 1)],
    }
    return make_record(
        "What did the person do?",
        "Took the bag.",
        "Interaction",
        choices=("Put the table.", "Took the bag.", "Opened the box.", "Held the bag."),
        source="star",
        **{**scene, **changes},
    )


def test_star_with_and_without_its_actions() -> None:
    record = star_record()
    assert set(lk.record_evidence(record, NO_VOCABULARY)) == set(CONDITIONS)
    assert found(record, "cotasks-4")["answer"]
    assert not found(record, "cotasks-4 without actions")["any"]
    without = lk.record_evidence(record, NO_VOCABULARY)["cotasks without actions"].reading
    assert ("person", "holding", "bag") in without.items
    assert set(lk.record_evidence(make_record(), NO_VOCABULARY)) == {*lk.STEPS_OF, "question"}


# Named most


def test_most_named_and_its_spellings() -> None:
    assert lk.most_named({"dog": 2, "adult": 3, "cup": 3}) == ["adult", "cup"]
    assert lk.most_named({}) == []
    assert lk.spellings("cup/glass") == {"cup", "glass", "cup glass"}
    assert "play" in lk.spellings("play(instrument)")


def option_accuracy(choices: list[str], right: str, **scene: Any) -> float:
    record = make_record("what is it", right, "DO", choices=choices, **scene)
    evidence = lk.record_evidence(record, NO_VOCABULARY)["cotasks"]
    return lk.option_accuracy(choices, [right], evidence)


def test_the_option_named_most() -> None:
    scene = {"entities": ("dog", "adult", "adult"), "temporal": [(1, "hold", 0)]}
    # words (share of the option's that is named, mentions): dog (1, 3), adult (1, 5), cat (0, 0)
    assert option_accuracy(["the dog", "the adult", "a cat"], "the adult", **scene) == 1
    assert option_accuracy(["the dog", "the adult", "a cat"], "the dog", **scene) == 0
    # all of "hold dog" is named, half of "adult cat", though more often
    assert option_accuracy(["hold the dog", "adult cat"], "hold the dog", **scene) == 1
    # ties are shared out, whichever comes first
    assert option_accuracy(["a cat", "a cow", "a pig", "a hen"], "a pig", **scene) == 0.25
    assert option_accuracy(["dog", "the dog", "a cat"], "dog", **scene) == 1
    assert option_accuracy(["dog", "dogs", "a cat"], "dog", **scene) == 0.5


# Chance


def measured(*found: Record, split: str = "validation") -> Leakage:
    questions = [Question.of(split, record.to_row()) for record in found]
    leakage = Leakage(questions, vocabulary_of(*found))
    for number, record in enumerate(found):
        leakage.measure(number, record)
    return leakage


def values(leakage: Leakage, measure: str, condition: str = "cotasks") -> tuple[list[float], list[float], list[float]]:
    """(share, chance, wrong options) of each question."""
    at = CONDITIONS.index(condition), MEASURES.index(measure)
    return tuple(a[:, at[0], at[1]].tolist() for a in (leakage.share, leakage.chance, leakage.distractors))  # type: ignore[return-value]


def test_chance_spelled_out() -> None:
    def ask(answer: str, video: str, *entities: str, type_: str = "DO") -> Record:
        return make_record("what is it", answer, type_, video=video, entities=entities)

    leakage = measured(
        ask("dog", "a", "dog", "cat"),  # own: yes; of cat, dog, car: 2 of 3
        ask("cat", "b", "sofa", "cup"),  # own: no; of dog, dog, car: none
        ask("dog", "c", "dog", "car"),  # own: yes; of dog, cat, car: 2 of 3
        ask("car", "d", "dog", "sofa"),  # own: no; of dog, cat, dog: 2 of 3
        ask("hat", "d", "hat"),  # same video as the last: does not count for it, nor it for this
        ask("dog", "e", "dog", type_="DL"),  # another type, alone in it
    )
    share, chance, _ = values(leakage, "any")
    assert share == [1, 0, 1, 0, 1, 1]
    assert chance[:5] == pytest.approx([2 / 4, 0, 2 / 4, 2 / 3, 0])
    assert math.isnan(chance[5])


def test_splits_do_not_mix() -> None:
    first, second = make_record("what is it", "dog", "DO", video="a"), make_record("what is it", "dog", "DO", video="b")
    questions = [Question.of("train", first.to_row()), Question.of("test", second.to_row())]
    leakage = Leakage(questions, NO_VOCABULARY)
    leakage.measure(0, first)
    leakage.measure(1, second)
    assert all(map(math.isnan, values(leakage, "any")[1]))
    assert {row["split"] for row in leakage.rows()} == {"train", "test"}


THINGS = ("dog", "cat", "adult", "ball/sports_ball")
ANSWERS = ("dog", "hold the dog", "two", "the ball", "adult", "1", "yes", "puppy", "chase cat", "3 cats", "?")


@st.composite
def open_questions(draw: st.DrawFn) -> list[Record]:
    """A few open-ended questions of one type, some about one video."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        entities = draw(st.lists(st.sampled_from(THINGS), min_size=1, max_size=4))
        tid = st.integers(0, len(entities) - 1)
        temporal = draw(st.lists(st.tuples(tid, st.sampled_from(("hold", "chase")), tid), max_size=2))
        made.append(
            make_record(
                draw(st.sampled_from(("what is it", "what does he do", "how many dogs are there"))),
                draw(st.sampled_from(ANSWERS)),
                "DO",
                video=draw(st.sampled_from("abcd")),
                number=number,
                entities=entities,
                temporal=temporal,
                chosen=draw(st.lists(tid)),
                more=draw(st.lists(st.sampled_from(ANSWERS), max_size=2)),
            )
        )
    return made


@given(open_questions())
@examples(40)
def test_share_and_chance_are_what_their_definitions_say(questions: list[Record]) -> None:
    leakage = measured(*questions)
    vocabulary = vocabulary_of(*questions)

    evidence = {record.id: lk.record_evidence(record, vocabulary) for record in questions}

    def leaks(context: Record, condition: str, other: Record, measure: str) -> bool:
        references = [text for text in (other.answer, *other.additional_answers) if text != "?"]
        forms = [lk.forms_of(other.question, text, vocabulary) for text in references]
        return any(lk.readable(form, evidence[context.id][condition])[measure] for form in forms)

    for measure in ("answer", "head", "number", "any", "related"):
        for condition in ("question", "cotasks", "cotasks-1", "cotasks-4"):
            share, chance, _ = values(leakage, measure, condition)
            for record, own, level in zip(questions, share, chance, strict=True):
                if math.isnan(own):
                    assert not leaks(record, condition, record, measure)
                    continue
                assert own == leaks(record, condition, record, measure)
                others = [
                    other
                    for other, applies in zip(questions, share, strict=True)
                    if other.video_id != record.video_id and not math.isnan(applies)
                ]
                expected = np.mean([leaks(record, condition, o, measure) for o in others]) if others else math.nan
                assert level == pytest.approx(expected, nan_ok=True)


def test_chance_is_the_mean_over_all_permutations() -> None:
    scenes = (("dog",), ("cat", "dog"), ("adult",), ("cup", "cat"), ("hat",))
    answers = ("dog", "cat", "dog", "cup", "cat")
    questions = [
        make_record("what is it", answer, "DO", video=str(number), entities=entities)
        for number, (answer, entities) in enumerate(zip(answers, scenes, strict=True))
    ]
    moved = [
        answers[other] in scenes[number]
        for permutation in itertools.permutations(range(5))
        for number, other in enumerate(permutation)
        if number != other
    ]
    assert np.mean(values(measured(*questions), "any")[1]) == pytest.approx(np.mean(moved))


@given(st.sampled_from(("dog", "hold dog", "the ball", "adult", "two", "cup")), st.sampled_from(lk.READ))
def test_a_context_with_the_answer_leaks_it_and_an_empty_one_does_not(answer: str, measure: str) -> None:
    full = make_record(
        "how many dogs are there" if answer == "two" else "what is it",
        answer,
        "DO",
        entities=("dog", "dog", "ball/sports_ball", "adult", "cup"),
        temporal=[(3, "hold", 0)],
        video="a",
    )
    empty = make_record(full.question, answer, "DO", video="b", chosen=())
    leakage = measured(full, empty)
    share, _, _ = values(leakage, measure)
    if measure in ("answer", "any", "new"):
        assert share == [1, 0]
    else:
        assert share in ([1, 0], [1, math.nan]) or all(map(math.isnan, share))


def test_new_is_what_the_question_does_not_say() -> None:
    leakage = measured(
        make_record("does the dog or the cat run", "dog", "DO", video="a", entities=("dog",)),
        make_record("which animal runs", "dog", "DO", video="b", entities=("dog",)),
    )
    assert values(leakage, "any")[0] == [1, 1]
    share, chance, _ = values(leakage, "new")
    assert share == [0, 1]
    assert chance == [0, 1]  # the other's answer is in the first question too
    assert all(map(math.isnan, values(leakage, "new", "question")[0]))


def test_no_reference_no_measurement() -> None:
    leakage = measured(make_record("what is it", "?", "DO"))
    assert np.isnan(leakage.share).all()
    assert leakage.rows() == []


def test_wrong_options() -> None:
    leakage = measured(
        star_record(video="a"),  # (person, holding, bag), (person, take, bag), (person, near, table)
        star_record(video="b", entities=("person", "table"), spatial=[], temporal=[(0, "open", 1)]),
    )
    share, chance, wrong = values(leakage, "any")
    assert share == [1, 0]
    assert chance == [1, 0]  # the same answer
    assert wrong == pytest.approx([1 / 3, 1 / 3])  # "Held the bag.", "Opened the box."
    _, _, wrong = values(leakage, "answer")
    assert wrong == pytest.approx([1 / 3, 0])
    # "Took the bag." and "Held the bag." are named whole, and their words as often: one half
    named, chance, _ = values(leakage, "named_option")
    assert named == [0.5, 0]
    assert chance == [0.25, 0.25]
    assert all(map(math.isnan, values(leakage, "named_category")[0]))
    rows = {(r["condition"], r["name"], r["measure"]): r for r in leakage.rows()}
    row = rows["cotasks", "all", "any"]
    assert (row["share"], row["distractors"], row["margin"]) == pytest.approx((1 / 2, 1 / 3, 1 / 6))
    assert (row["chance"], row["excess"]) == (0.5, 0)


# Rows


def test_rows() -> None:
    found = [
        make_record("what is it", "dog", "DO", video=str(number), entities=("dog",) if number % 2 else ("cat",))
        for number in range(8)
    ]
    found.append(make_record("why", "to play", "CW", video="9"))
    rows = measured(*found).rows()
    cells = {(r["condition"], r["level"], r["name"], r["measure"]): r for r in rows}
    row = cells["cotasks", "category", "descriptive", "any"]
    assert row["questions"] == row["videos"] == 8
    assert row["share"] == 0.5
    # a context with a dog reads off all 7 others' answers, one with a cat none
    assert row["chance"] == 0.5
    assert row["excess"] == 0
    assert row["excess_low"] < 0 < row["excess_high"]
    assert row["margin"] is None
    assert cells["cotasks", "question_type", "DO", "any"]["share"] == 0.5
    single = cells["cotasks", "category", "causal", "any"]
    assert (single["share"], single["chance"], single["excess"], single["excess_low"]) == (0, None, None, None)
    assert cells["cotasks", "all", "all", "any"]["questions"] == 9
    for row in rows:
        assert 0 <= row["share"] <= 1
        assert all(value is None or value == value for value in row.values())


def test_choosing_among_equals_is_an_expected_accuracy() -> None:
    leakage = measured(make_record("what is it", "dog", "DO", entities=("dog", "cat", "cup")))
    assert values(leakage, "named_category")[0] == pytest.approx([1 / 3])
    assert values(leakage, "named_predicate")[0] == [0]
