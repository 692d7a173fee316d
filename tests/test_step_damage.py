"""Thousands of damaged texts of steps: nothing fails, and no box, name or triple is read that a text does not hold."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cotasks.records.boxes import CoordinateFormat
from cotasks.records.schema import Box, FrameLocalization, SpatialRelation, TemporalRelation, Track
from cotasks.steps.context import StepContext
from cotasks.steps.naming import open_context
from cotasks.steps.table import read_step
from tests.examples import share
from tests.step_contexts import FRACTIONS, POSITIONS, as_text, context

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
    *(tens + unit for tens in ("twenty", "thirty", "forty") for unit in ("", *(f"-{word}" for word in
      ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")))),
)  # fmt: skip
WORD = r"\b(?:" + "|".join(sorted(WORDS, key=len, reverse=True)) + r")\b"
TEXT_NUMBER = re.compile(rf"-?\d+(?:\.\d+)?|{WORD}(?: point(?: {WORD})+)?", re.IGNORECASE)


def in_words(number: str) -> str:
    """A number below fifty as words, with its decimals."""
    whole, _, decimals = number.partition(".")
    if int(whole) >= len(WORDS):
        return number
    return WORDS[int(whole)] + (" point " + " ".join(WORDS[int(d)] for d in decimals) if decimals else "")


def numbers_in(text: str) -> list[float]:
    def value(number: str) -> float:
        if not number[-1].isalpha():
            return float(number)
        whole, _, decimals = number.lower().partition(" point ")
        return float(f"{WORDS.index(whole)}.{''.join(str(WORDS.index(d)) for d in decimals.split())}0")

    return [value(number) for number in TEXT_NUMBER.findall(" ".join(text.split()))]


def random_steps(noise: random.Random, ctx: StepContext) -> list[str]:
    """The text of four steps of nobody's video."""
    tids, frames = [entity.tid for entity in ctx.entities], [frame.index for frame in ctx.frames]
    width, height = ctx.source_size

    def some(items: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(sorted(noise.sample(list(items), noise.randint(1, len(items)))))

    def box(frame: int) -> Box:
        (x1, x2), (y1, y2) = (sorted(noise.uniform(0, side) for _ in "ab") for side in (width, height))
        return Box(frame, (x1, y1, x2, y2), False)

    category = {entity.tid: entity.category for entity in ctx.entities}
    chosen = tuple(entity for entity in ctx.entities if noise.random() < 0.7)
    begins = [noise.randint(frames[0], frames[-1]) for _ in range(noise.randint(0, 3))]
    values = (
        FrameLocalization(some(frames), (), chosen, "model", "model", False),
        tuple(Track(tid, category[tid], tuple(box(frame) for frame in some(frames))) for tid in some(tids)),
        tuple(
            SpatialRelation(noise.choice(tids), noise.choice(("next_to", "in_front_of")), tid, some(frames))
            for tid in some(tids)
        ),
        tuple(
            TemporalRelation(noise.choice(tids), "play(instrument)", noise.choice(tids), begin, begin + 7)
            for begin in begins
        ),
    )
    return [as_text(step, value, ctx) for step, value in enumerate(values, 1)]


def units(text: str) -> str:
    return re.sub(r"(?<=\d)s\b", " seconds", text)


def swap_brackets(text: str, noise: random.Random) -> str:
    left, right = noise.choice(("()", "{}", "<>", "[]", ("((", "))")))
    return (
        text.replace("[", left).replace("]", right)
        if noise.random() < 0.5
        else text.replace("(", left).replace(")", right)
    )


def as_json(text: str, noise: random.Random) -> str:
    items = re.findall(r"(?:^|\n)([^:\n]+): ([^\[]+) (\[[^\]]*\])", text)
    return "```json\n" + ",\n".join(f'{{"bbox_2d": {b}, "label": "{n}", "time": "{t}"}}' for n, t, b in items)


def slip(text: str, noise: random.Random) -> str:
    """A few characters gone, doubled or exchanged."""
    letters = list(text)
    for _ in range(noise.randint(1, 6)):
        if letters:
            at = noise.randrange(len(letters))
            letters[at] = noise.choice(("", letters[at] * 2, noise.choice(" ,.:;()[]-0159sabt\n#*")))
    return "".join(letters)


def scaled(text: str, noise: random.Random) -> str:
    factor = noise.choice((0.001, 0.0025, 2.5, 10.0))
    box = r"\[" + ", ".join([r"(\d+(?:\.\d+)?)"] * 4) + r"\]"
    return re.sub(box, lambda m: "[" + ", ".join(f"{float(n) * factor:.3f}" for n in m.groups()) + "]", text)


DAMAGES: tuple[Callable[[str, random.Random], str], ...] = (
    lambda text, noise: text[: noise.randint(0, len(text))],
    lambda text, noise: f"Sure! Here is what I see in the video, step by step:\n\n{text}\n\nI hope that this helps.",
    lambda text, noise: "\n".join(f"- **{line}**" for line in text.splitlines()),
    lambda text, noise: (
        "```text\n" + "\n".join(f"{n}. {line}." for n, line in enumerate(text.splitlines(), 1)) + "\n```"
    ),
    lambda text, noise: re.sub(
        r"\d+(?:\.\d+)?", lambda m: in_words(m[0]) if noise.random() < 0.5 else m[0], units(text)
    ),
    lambda text, noise: re.sub(r"(?<=\d)s\b", noise.choice((" seconds", " sec")), text),
    lambda text, noise: text.replace(" to ", noise.choice((" - ", "–", " until ", " and ", " -> "))),
    lambda text, noise: f"{text}\n{text}",
    lambda text, noise: text.replace("\n", noise.choice(("; ", " ", "\n\n"))),
    lambda text, noise: text.replace(": ", noise.choice((" ", ":", " at ", " - "))),
    swap_brackets,
    slip,
    slip,
)
STEP_2_DAMAGES = (
    *DAMAGES,
    as_json,
    lambda text, noise: scaled(text, noise) if "[" in text and "((" not in text else text,
)


def check_that_nothing_is_made_up(step: int, value: Any, text: str, ctx: StepContext) -> None:
    lines = [" ".join(line.lower().replace("_", " ").split()) for line in text.splitlines()]
    grid = {frame.index for frame in ctx.frames}
    numbers = numbers_in(text)

    def wordings(tid: int) -> str:
        kind, _, number = ctx.names[tid].lower().replace("_", " ").rpartition(" ")
        if not number.isdigit():
            kind, number = f"{kind} {number}".strip(), ""
        # a part of a slashed name stands for it
        name = "(?:" + "|".join(re.escape(part) for part in (kind, *kind.split("/"))) + ")"
        return name + (rf"[ -]?[(\[]?(?:#|no\.)?\s*(?:{number}|{WORDS[int(number)]})" if number else "")

    def is_said(*parts: str) -> bool:
        return any(re.search(".*".join(parts), line) for line in lines)

    if step == 1:
        assert set(value.frames) <= grid
        assert all(is_said(wordings(entity.tid)) for entity in value.entities)
    elif step == 2:
        quadruples = [numbers[i : i + 4] for i in range(len(numbers) - 3)]
        forms = (ctx.coordinates, CoordinateFormat("fractions"))
        for track in value:
            assert is_said(wordings(track.tid))
            assert {box.frame for box in track.boxes} <= grid
            for box in track.boxes:
                sides = ctx.source_size * 2
                said = [[v / s * n for v, s, n in zip(box.xyxy, sides, f.scale * 2, strict=True)] for f in forms]
                assert any(
                    all(abs(a - b) < 1e-6 for a, b in zip(q, one, strict=True)) for one in said for q in quadruples
                ), (box, said)
    else:
        for relation in value:
            predicate = re.escape(relation.predicate.lower().replace("_", " "))
            assert is_said(wordings(relation.subject_tid), predicate, wordings(relation.object_tid)), relation
            if step == 3:
                assert set(relation.frames) <= grid
            else:
                assert relation.begin_frame < relation.end_frame


@pytest.mark.hypothesis
@pytest.mark.parametrize("seed", range(8))
def test_thousands_of_damaged_texts(seed: int) -> None:
    noise = random.Random(seed)
    ctx = (context(), POSITIONS, FRACTIONS, context(coordinates=CoordinateFormat("thousandths")))[seed % 4]
    read_items = repaired = 0
    rounds = share(313)
    for _ in range(rounds):
        for step, text in enumerate(random_steps(noise, ctx), 1):
            for damage in noise.sample(STEP_2_DAMAGES if step == 2 else DAMAGES, noise.randint(1, 3)):
                text = damage(text, noise)
            read = read_step(step, text, ctx)
            check_that_nothing_is_made_up(step, read.value, text, ctx)
            if noise.random() < 0.3:  # and with names of its own
                opened = open_context(ctx, {step: text})
                check_that_nothing_is_made_up(step, read_step(step, text, opened).value, text, opened)
            read_items += len(read.value.frames) if step == 1 else len(read.value)
            repaired += read.repaired
    assert read_items > 2.5 * rounds  # of some ten: the damage leaves something to find
    assert repaired > rounds
