"""Steps as families of models really write them: a corpus with a person's reading, and every packaging of any step."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.records.boxes import CoordinateFormat
from cotasks.records.schema import Entity, Record, Span
from cotasks.records.timeline import grid_frames
from cotasks.steps.context import StepContext
from cotasks.steps.naming import OPEN_TID, open_context
from cotasks.steps.table import read_step
from tests.examples import examples, share
from tests.step_contexts import FRACTIONS, MODULES, POSITIONS, as_text, context
from tests.step_packaging import PACKAGINGS, in_prose
from tests.strategies import contexts, records
from tests.test_step_damage import DAMAGES, as_json, numbers_in, random_steps, slip

THOUSANDTHS = CoordinateFormat("thousandths")
CUPS = (
    *(Entity(0, "cup/glass/bottle"), Entity(2, "bottle"), Entity(4, "dog"), Entity(6, "screen/monitor")),
    Entity(9, "cup/glass/bottle"),
)
FRISBEE = (Entity(1, "adult"), Entity(3, "frisbee"), Entity(5, "adult"), Entity(8, "dog"))
SCENES = {
    "pixels": context(),
    "positions": POSITIONS,
    "fractions": FRACTIONS,
    "thousandths": context(coordinates=THOUSANDTHS),
    "cups": context(entities=CUPS),
    "frisbee": context(entities=FRISBEE),
    "long": context(frames=grid_frames(range(20, 1020, 50), 10.0), clip=Span(2.0, 102.0), coordinates=THOUSANDTHS),
}
"""Name in the corpus -> what the model was told. `long` has a frame every five seconds."""
CORPUS = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "step_texts.jsonl").read_text("utf-8").splitlines()
]
"""Each: the style it is written in, its scene and step, the text, what a person reads in it, in the step's own form,
whether that is all that it says (`whole`; what is not read must be counted), and whether it is left unread on purpose,
though a person would read it (`left`): sentences, numbers without a bracket that a cut may have shortened, a comma in
place of a point, a width in place of an x."""


def test_the_corpus_is_read_as_a_person_reads_it() -> None:
    outcomes: Counter[tuple[int, str]] = Counter()
    wrong = []
    for row in CORPUS:
        ctx = SCENES[row["scene"]]
        read = read_step(row["step"], row["text"], ctx)
        said, due = set(_items(row["step"], read.value)), set(_items(row["step"], _reading(row, ctx)))
        is_misread = bool(said - due)
        outcome = "misread" if is_misread else "unread" if due - said else "read"
        outcomes[row["step"], outcome] += 1
        if outcome != ("unread" if row["left"] else "read") or bool(read.unread) == row["whole"]:
            wrong.append((outcome, row["style"], row["text"], read.unread))
    print("\nstep   read unread misread")  # shown by pytest -s
    for step in range(1, 5):
        print(f"{step:4} {outcomes[step, 'read']:6} {outcomes[step, 'unread']:6} {outcomes[step, 'misread']:7}")
    assert wrong == []
    assert sum(outcomes.values()) == len(CORPUS) >= 400
    assert sum(outcomes[step, "read"] for step in range(1, 5)) > 0.95 * len(CORPUS)
    assert all(outcomes[step, "read"] >= 40 for step in range(1, 5))


def test_the_corpus_says_what_it_means() -> None:
    """The readings are in the step's own form, and there are texts of many families."""
    for row in CORPUS:
        ctx = SCENES[row["scene"]]
        assert as_text(row["step"], _reading(row, ctx), ctx) == row["reads"], row
    styles = {row["style"] for row in CORPUS}
    assert {"Qwen2.5-VL", "Qwen2-VL", "Qwen3-VL", "InternVL", "Open-o3 Video", "Gemini", "LLaVA-Video"} <= styles
    assert {"Python literals", "Chinese punctuation", "GPT-4o"} <= styles


def _reading(row: dict[str, Any], ctx: StepContext) -> Any:
    parsed = MODULES[row["step"] - 1].parse(row["reads"], ctx)
    assert parsed.unread == (), row
    return parsed.value


def _items(step: int, value: Any) -> list[tuple[Any, ...]]:
    """The single claims of a step."""
    if step == 1:
        return [("frame", frame) for frame in value.frames] + [("entity", entity.tid) for entity in value.entities]
    if step == 2:
        boxes = ((track.tid, box.frame, box.xyxy) for track in value for box in track.boxes)
        return [(tid, frame, *(round(side, 6) for side in xyxy)) for tid, frame, xyxy in boxes]
    if step == 3:
        return [(r.subject_tid, r.predicate, r.object_tid, frame) for r in value for frame in r.frames]
    return [(r.subject_tid, r.predicate, r.object_tid, r.begin_frame, r.end_frame) for r in value]


@examples(60)
@given(data=st.data(), record=records())
def test_any_step_survives_every_packaging(data: st.DataObject, record: Record) -> None:
    ctx = data.draw(contexts(record))
    steps = record.frame_localization, record.entity_tracking, record.spatial_relations, record.temporal_relations
    for step, value in enumerate(steps, 1):
        clean = read_step(step, as_text(step, value, ctx), ctx)
        assert clean.unread == ()
        for name, packaging in PACKAGINGS[step].items():
            text = packaging(value, ctx)
            for packed, is_prose in ((text, False), (in_prose(text), True)):
                read = read_step(step, packed, ctx)
                told = (step, name, packed, read.unread)
                assert sorted(_items(step, read.value)) == sorted(_items(step, clean.value)), told
                assert is_prose or read.unread == (), told
                # and what is read is written as any other step
                again = read_step(step, as_text(step, read.value, ctx), ctx)
                assert as_text(step, again.value, ctx) == as_text(step, read.value, ctx)


@pytest.mark.hypothesis
@pytest.mark.parametrize("seed", range(8))
def test_thousands_of_damaged_packagings(seed: int) -> None:
    """Whatever is done to them: no exception, and no number of a box that the text does not hold."""
    noise = random.Random(seed)
    ctx = (SCENES["pixels"], POSITIONS, FRACTIONS, SCENES["thousandths"])[seed % 4]
    boxes = read_items = 0
    rounds = share(313)
    for _ in range(rounds):
        for step, text in enumerate(random_steps(noise, ctx), 1):
            value = MODULES[step - 1].parse(text, ctx).value
            packed = noise.choice(list(PACKAGINGS[step].values()))(value, ctx)
            for _ in range(noise.randint(1, 2)):
                packed = slip(packed, noise)
            if noise.random() < 0.5:
                packed = packed[: noise.randint(0, len(packed))]
            read = read_step(step, packed, ctx)
            read_items += len(_items(step, read.value))
            if step == 2:
                boxes += sum(len(track.boxes) for track in read.value)
                _check_numbers(read.value, numbers_in(_plain_digits(packed)), ctx)
    assert boxes > 0.6 * rounds
    assert read_items > 4.5 * rounds


@pytest.mark.hypothesis
@pytest.mark.parametrize("seed", range(4))
def test_damage_that_changes_no_content_makes_no_other_content(seed: int) -> None:
    """Markdown, other brackets and separators, numbers in words, lines run together, an end cut off: what is read
    is part of what was said."""

    def items(step: int, value: Any) -> set[tuple[Any, ...]]:
        # brackets doubled within a predicate are the predicate's
        return {(*one[:1], str(one[1]).replace("(", "").replace(")", ""), *one[2:]) for one in _items(step, value)}

    noise = random.Random(seed)
    ctx = (SCENES["pixels"], POSITIONS, FRACTIONS, SCENES["thousandths"])[seed % 4]
    kinds = [damage for damage in DAMAGES if damage is not slip]
    said = due = 0
    for _ in range(share(313)):
        for step, text in enumerate(random_steps(noise, ctx), 1):
            whole = items(step, MODULES[step - 1].parse(text, ctx).value)
            chosen = noise.sample([*kinds, as_json] if step == 2 else kinds, noise.randint(1, 3))
            for damage in sorted(chosen, key=lambda one: one is kinds[0]):  # cut off last, if at all
                text = damage(text, noise)
            read = items(step, read_step(step, text, ctx).value)
            assert read <= whole, (step, text, read - whole)
            said, due = said + len(read), due + len(whole)
    assert said > 0.75 * due


def _plain_digits(text: str) -> str:
    return text.translate({0xFEE0 + code: code for code in range(0x21, 0x7F)})


def _check_numbers(tracks: Any, numbers: list[float], ctx: StepContext) -> None:
    """The four numbers of every box stand in the text, one behind the other, in the family's or in fractions."""
    quadruples = {tuple(numbers[i : i + 4]) for i in range(len(numbers) - 3)}
    for track in tracks:
        for box in track.boxes:
            sides = ctx.source_size * 2
            forms = (ctx.coordinates, CoordinateFormat("fractions"))
            said = [[v / s * n for v, s, n in zip(box.xyxy, sides, f.scale * 2, strict=True)] for f in forms]
            assert any(
                all(abs(a - b) < 1e-6 for a, b in zip(one, four, strict=True)) for one in said for four in quadruples
            ), box


@pytest.mark.hypothesis
def test_cut_at_any_place_makes_nothing_else_of_a_text() -> None:
    """Beginnings of every text in the corpus and of every packaging: what is read is part of what the whole says."""
    # where a text says two things, its beginning may say one
    texts = [(row["step"], row["text"], SCENES[row["scene"]]) for row in CORPUS if row["whole"]]
    noise = random.Random(0)
    for ctx in (SCENES["pixels"], POSITIONS):
        for step, text in enumerate(random_steps(noise, ctx), 1):
            value = MODULES[step - 1].parse(text, ctx).value
            texts += [(step, packaging(value, ctx), ctx) for packaging in PACKAGINGS[step].values()]
    for step, text, ctx in texts:
        whole = set(_items(step, read_step(step, text, ctx).value))
        for end in noise.sample(range(len(text)), min(share(25), len(text))):
            part = set(_items(step, read_step(step, text[:end], ctx).value))
            # a sentence that was cut may be nothing but a name
            made_up = {item for item in part - whole if item[0] != "entity"}
            assert not made_up, (step, text[:end], made_up)


def test_names_of_its_own_are_opened_in_every_form() -> None:
    ctx = context()
    texts = {
        1: '{"frames": ["0.00s"], "entities": ["woman", "dog 3"]}',
        2: '[{"bbox_2d": [1, 2, 3, 4], "label": "woman", "time": 0.0}, {"label": "no box"}]',
        3: '[{"subject": "woman", "relation": "on", "object": "bench", "frames": ["0.0s"]}]',
        4: "(<obj>woman</obj>, hold, <obj>ball</obj>): 0.0s to 1.0s",
    }
    opened = open_context(ctx, texts)
    assert [opened.names[e.tid] for e in opened.entities if e.tid >= OPEN_TID] == ["woman", "dog 3", "bench"]
    assert read_step(4, texts[4], opened).value[0].object_tid == 3  # a part of a name that the scene has
    assert all(read_step(step, text, opened).value for step, text in texts.items())


def test_a_part_of_a_name_means_an_entity_only_where_one_category_has_it() -> None:
    ctx = SCENES["cups"]
    assert {part: entity.tid for part, entity in ctx.entity_of_part.items()} == {
        "cup 1": 0,
        "glass 1": 0,
        "cup 2": 9,
        "glass 2": 9,
        "screen": 6,
        "monitor": 6,
    }
    alone = dataclasses.replace(ctx, entities=CUPS[:1] + CUPS[2:4])
    assert alone.entity_of_part["bottle"].tid == 0


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 8_000, '{"a": ' * 1_500, '{"a' * 2_000, "'" * 8_000, "（" * 8_000, "1:" * 4_000, "from " * 2_000),
        "dog: 0.50s [100, 50, 200, 150]; " * 300,
        '{"label": "dog", "time": 0.5, "bbox_2d": [100, 50, 200, 150]}, ' * 200,
        *("(dog, next to, ball) " * 400, "Entity: dog\n" * 800, "| dog | 0.5s |\n" * 600, "Entities: " * 800),
        *("<ref>dog</ref>" * 600, "<box>" * 1_600, "0.5s " * 1_600, "the " * 2_000 + "dog", "- " * 4_000),
    ],
    ids=lambda text: text[:8].strip(),
)
def test_a_model_that_repeats_itself_is_read_at_once(text: str) -> None:
    """Two thousand tokens of anything; some of these took minutes before their patterns were bounded."""
    start = time.process_time()
    for step in range(1, 5):
        read_step(step, text, context())
    assert time.process_time() - start < 8
