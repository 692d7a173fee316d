"""Steps as models write them: what the repairs read, what stays unread, and names of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.records.schema import Record
from cotasks.records.timeline import grid_frames
from cotasks.steps.context import StepContext
from cotasks.steps.naming import OPEN_TID, category_of, open_context
from cotasks.steps.table import read_step
from tests.examples import examples
from tests.step_contexts import FRACTIONS, MODULES, POSITIONS, as_text, context
from tests.strategies import contexts, records

A1 = "Frames: 0.00s to 1.00s; 2.00s\nEntities: adult 1, adult 2, dog"
A2 = "adult 1: 0.00s [20, 40, 60, 80]; 0.50s [0, 0, 400, 200]"
A3 = "(adult 1, in front of, ball/sports ball): 0.00s to 1.00s; 2.00s"
A4 = "(adult 1, play(instrument), ball/sports ball): 0.10s to 1.60s"
TRIPLE_3, FRAMES_3 = A3.split(": ")
TRIPLE_4 = A4.split(": ")[0]
BY_POSITION = "adult 1: frame 1 [20, 40, 60, 80]; frame 2 [0, 0, 1000, 500]"


@pytest.mark.parametrize(
    ("step", "text", "reads_as"),
    [
        # Markdown, prose, titles
        (1, f"```\n{A1}\n```", A1),
        (1, "**Frames:** 0.00s to 1.00s; 2.00s\n**Entities:** adult 1, adult 2, dog.", A1),
        (1, "Key frames: 0.00s to 1.00s; 2.00s\nRelevant objects: adult 1, adult 2, dog", A1),
        (1, "0.00s to 1.00s; 2.00s\nadult 1, adult 2, dog", A1),
        (1, "## Frames:\n- 0.00s to 1.00s\n- 2.00s\n\n## Entities:\n1. adult 1\n2. adult 2\n3. dog", A1),
        (1, "Step 1, frame localization (which frames and entities matter):\n" + A1, A1),
        (2, f"Step 2, entity tracking (where the entities are):\n- **adult 1**: {A2[9:]}.", A2),
        (2, "adult 1:\n  - 0.00s: [20, 40, 60, 80]\n  - 0.50s: [0, 0, 400, 200]", A2),
        (2, "In the video, adult 1 at 0.00s [20, 40, 60, 80] and then at 0.50s [0, 0, 400, 200].", A2),
        (3, f"1. {A3}.", A3),
        (3, f"* `{A3}`", A3),
        (3, "No spatial relations.", "none"),
        (4, "> None.", "none"),
        # brackets
        (2, "adult 1: 0.00s (20, 40, 60, 80); 0.50s {0, 0, 400, 200}", A2),
        (2, "adult 1: 0.00s <20, 40, 60, 80>; 0.50s [[0, 0, 400, 200]]", A2),
        (2, "adult 1: 0.00s (20,40),(60,80); 0.50s [0 0 400 200]", A2),
        (2, "adult 1: (0.00s) [x1=20, y1=40, x2=60, y2=80]; 0.50s [0 px, 0 px, 400 px, 200 px]", A2),
        (2, "adult 1: [20, 40, 60, 80] at 0.00s; [0, 0, 400, 200] at 0.50s", A2),
        (3, f"<adult 1, in front of, ball/sports ball>: {FRAMES_3}", A3),
        (3, f'["adult 1", "in front of", "ball/sports ball"]: {FRAMES_3}', A3),
        (3, f"adult 1, in front of, ball/sports ball: {FRAMES_3}", A3),
        (3, f"((adult 1 | in front of | ball/sports ball)) - {FRAMES_3}", A3),
        (4, "{adult 1, play(instrument), ball/sports ball} 0.10s to 1.60s", A4),
        # times, and frames off the grid by less than half a step
        (1, "Frames: 0.0 seconds to 0:01, t=2.00\nEntities: adult 1, adult 2, dog", A1),
        (1, "Frames: 0.00 to 1.00; 2.00\nEntities: adult 1, adult 2, dog", A1),
        (1, "Frames: zero seconds until one second, and 2.00s\nEntities: adult 1, adult 2 and dog", A1),
        (1, "Frames: 0.10s to 0.90s; 1.8 sec\nEntities: adult 1; adult 2; dog", A1),
        (1, "Frames: between 0.00s and 1.00s and 2.00s\nEntities: adult 1, adult 2, dog", A1),
        (2, "adult 1: 0.1s [20, 40, 60, 80]; 0:00.5 [0, 0, 400, 200]", A2),
        (3, f"{TRIPLE_3}: 0.00s – 1.00s, 2.00s", A3),
        (3, f"{TRIPLE_3} at 0.00s-1.00s; 2.00s", A3),
        (3, f"{TRIPLE_3} from 0.00s through 1.00s & 2.00s", A3),
        (4, f"{TRIPLE_4}: from 0.10s until 1.60s", A4),
        (4, f"{TRIPLE_4}: 0.10s and 1.60s", A4),
        (4, f"{TRIPLE_4}: 0.1 -> 1.6 seconds", A4),
        (4, f"{TRIPLE_4}: zero point one to one point six seconds", A4),
        # other marks behind titles, names and triples; lines run together
        (1, "Frames 0.00s to 1.00s; 2.00s\nEntities = adult 1, adult 2, dog", A1),
        (1, "Frames: 0.00s to 1.00s; 2.00s. Entities: adult 1, adult 2, dog", A1),
        (2, "adult 1 - 0.00s [20, 40, 60, 80]; 0.50s [0, 0, 400, 200]", A2),
        (2, "adult 1:0.00s [20, 40, 60, 80], 0.50s = [0, 0, 400, 200]", A2),
        (3, f"{A3}; (dog, next to, dog): 0.00s", f"{A3}\n(dog, next to, dog): 0.00s"),
        (4, f"{A4} {TRIPLE_4}: 1.00s to 1.60s", f"{A4}\n{TRIPLE_4}: 1.00s to 1.60s"),
        # names
        (1, "Frames: 0.00s to 1.00s; 2.00s\nEntities: the adult #1, Adult_2, a dog", A1),
        (
            1,
            "Frames: 0.00s to 1.00s; 2.00s\nEntities: adult one, adult2, “dog” (brown)".replace("“", '"').replace(
                "”", '"'
            ),
            A1,
        ),
        (3, f"(The Adult 1, in front of, ball/sports_ball): {FRAMES_3}", A3),
        # repeated items and lines
        (1, f"{A1}\n{A1}", A1),
        (2, f"{A2}\n{A2}", A2),
        (2, "adult 1: 0.00s [20, 40, 60, 80]\nadult 1: 0.50s [0, 0, 400, 200]", A2),
        (3, f"{TRIPLE_3}: 0.00s to 1.00s\n{A3[:41]}: 2.00s", A3),
        (4, f"{A4}\n{A4}", A4),
        # coordinates
        (2, "adult 1: 0.00s [0.05, 0.2, 0.15, 0.4]; 0.50s [0, 0, 1, 1]", A2),
        # JSON
        (
            2,
            '```json\n[\n  {"bbox_2d": [20, 40, 60, 80], "label": "adult 1", "time": 0.0},\n'
            '  {"bbox_2d": [0, 0, 400, 200], "label": "adult 1", "timestamp": "0.50s"}\n]\n```',
            A2,
        ),
    ],
)
def test_what_is_repaired(step: int, text: str, reads_as: str) -> None:
    read = read_step(step, text, context())
    assert as_text(step, read.value, context()) == reads_as
    assert read.unread == ()
    assert (read.repaired > 0) == (MODULES[step - 1].parse(text, context()).unread != () or "[0.05" in text)


@pytest.mark.parametrize(
    "text",
    [
        "adult one: frame one [20, 40, 60, 80]; frame two [0, 0, 1000, 500]",
        "adult 1: Frame #1 [20, 40, 60, 80]; frame2: [0, 0, 1000, 500]",
        "adult 1: 1 [20, 40, 60, 80]; 2 [0, 0, 1000, 500]",
        "adult 1: 0.00s [20, 40, 60, 80]; 0.6 seconds [0, 0, 1000, 500]",  # a time says which frame, too
        "adult 1: frame 1 [twenty, forty, sixty, eighty]; frame 2 [0, 0, 1000, 500]",
        "adult 1: frame 1 [0.02, 0.04, 0.06, 0.08]; frame 2 [0.0, 0.0, 1.0, 0.5]",
        '{"bbox_2d": [20, 40, 60, 80], "label": "adult 1", "frame": 1} '
        '{"bbox_2d": [0, 0, 1000, 500], "label": "the adult 1", "frame": "frame 2"}',
    ],
)
def test_what_is_repaired_by_position(text: str) -> None:
    read = read_step(2, text, POSITIONS)
    assert as_text(2, read.value, POSITIONS) == BY_POSITION
    assert read.unread == ()
    assert read.repaired > 0


@pytest.mark.parametrize(
    ("step", "text", "ctx"),
    [
        (2, "adult 1: 0.00s [20, 40, 60, 8", context()),  # cut off
        (2, "adult 1: 0.25s [20, 40, 60, 80]", context()),  # half way between two frames
        (2, "adult 1: 2.30s [20, 40, 60, 80]", context()),  # half a step after the last
        (2, "adult 1: [20, 40, 60, 80]", context()),  # when?
        (2, "adult 1: 2 [20, 40, 60, 80]", context()),  # a position or seconds?
        (2, "adult 1: 0.00s [20, 40, 910, 160]", context()),  # from 0 to 1000, or nonsense
        (2, "adult 1: frame 1 [20, 40, 60, 80]", FRACTIONS),  # pixels or 0 to 1000?
        (2, "adult 1: frame 6 [20, 40, 60, 80]", POSITIONS),
        (2, "adult 1: frame 1 [one two, forty, sixty, eighty]", POSITIONS),
        (2, "adult: 0.00s [20, 40, 60, 80]", context()),  # which?
        (2, "0.00s [20, 40, 60, 80]", context()),  # who?
        (2, '{"bbox_2d": [20, 40, 60, 80], "label": "adult 1"}', context()),  # when?
        (2, '{"bbox_2d": [20, 40, 60], "label": "adult 1", "time": 0.0}', context()),
        (1, "Frames: 0.00s to 1.5", context()),  # perhaps 1.50s, perhaps 1.54s
        (1, "Frames: 1,50s", context()),  # a comma for a point, or two numbers
        (1, "Frames: 3 to 1", POSITIONS),
        (3, "(adult 1, next to): 0.00s", context()),
        (3, "(adult 1, next to, cat): 0.00s", context()),
        (3, "(adult 1, next to, dog)", context()),
        (3, "adult 1 is next to the dog at 0.00s", context()),  # no form at all
        (4, "(adult 1, hold, dog): 1.00s", context()),
        (4, "(adult 1, hold, dog): 1.00s to 0.50s", context()),
        (4, "(adult 1, hold, dog): 0.50s to 1", context()),  # cut off
    ],
)
def test_what_stays_unread(step: int, text: str, ctx: StepContext) -> None:
    read = read_step(step, text, ctx)
    items = read.value.frames if step == 1 else read.value
    assert items == ()
    assert len(read.unread) == 1
    assert read.unread[0] in text
    assert read.repaired == 0


def test_a_damaged_end_costs_its_item_only() -> None:
    read = read_step(2, f"- {A2}; 1.00s [20, 4", context())
    assert as_text(2, read.value, context()) == A2
    assert read.unread == ("; 1.00s [20, 4",)
    read = read_step(2, '[{"bbox_2d": [0, 0, 9, 9], "label": "dog", "time": 0.5}, {"bbox_2d": [1, 2', context())
    assert [track.tid for track in read.value] == [8]
    assert len(read.unread) == 1
    # a second box of the same frame is not the first
    read = read_step(2, "dog: 0.00s [1, 2, 3, 4]\ndog: 0.00s [5, 6, 7, 8]", context())
    assert as_text(2, read.value, context()) == "dog: 0.00s [1, 2, 3, 4]"
    assert read.unread == ("dog: 0.00s [5, 6, 7, 8]",)


def test_positions_count_among_the_frames_shown() -> None:
    fewer = dataclasses.replace(POSITIONS, frames=POSITIONS.frames[::2], shown=POSITIONS.frames)
    read = read_step(1, "Frames: frames 1, 2, five", fewer)
    assert read.value.frames == (20, 40)
    assert read.unread == ("2",)


def test_json_without_a_time_is_of_the_only_frame() -> None:
    one = context(frames=grid_frames([20], 10.0))
    read = read_step(2, '{"bbox_2d": [0, 0, 9, 9], "label": "dog"}', one)
    assert as_text(2, read.value, one) == "dog: 0.00s [0, 0, 9, 9]"


@examples(50)
@given(data=st.data(), record=records())
def test_what_parse_reads_is_read_alike(data: st.DataObject, record: Record) -> None:
    ctx = data.draw(contexts(record))
    steps = record.frame_localization, record.entity_tracking, record.spatial_relations, record.temporal_relations
    for step, value in enumerate(steps, 1):
        text = as_text(step, value, ctx)
        read, parsed = read_step(step, text, ctx), MODULES[step - 1].parse(text, ctx)
        assert as_text(step, read.value, ctx) == as_text(step, parsed.value, ctx)
        assert (read.unread, read.repaired) == ((), 0)


# --- names of the model's own ---

NAME = st.from_regex(r"[A-Za-z][a-z]{0,5}( [a-z]{2,5}){0,2}( [1-9])?", fullmatch=True).filter(
    lambda name: name.lower() != "none" and not name.lower().startswith(("the ", "a ", "an "))
)


@examples(60)
@given(names=st.lists(NAME, min_size=2, max_size=5, unique_by=str.lower), position=st.booleans())
def test_a_step_with_any_names_is_written_as_it_was(names: Sequence[str], position: bool) -> None:
    closed = POSITIONS if position else context()
    start, end = ("frame 1", "frame 3") if position else ("0.00s", "1.00s")
    holds = "frame 2 to frame 4 at 0.10s to 1.60s" if position else "0.10s to 1.60s"
    texts = {
        1: f"Frames: {start} to {end}\nEntities: {', '.join(names)}",
        2: "\n".join(f"{name}: {start} [20, 40, 60, 80]; {end} [1, 2, 3, 4]" for name in names),
        3: "\n".join(f"({a}, next to, {b}): {start} to {end}" for a, b in pairwise(names)),
        4: "\n".join(f"({a}, run after, {b}): {holds}" for b, a in pairwise(names)),
    }
    ctx = open_context(closed, texts)
    for step, text in texts.items():
        parsed = MODULES[step - 1].parse(text, ctx)
        assert parsed.unread == ()
        if step > 1 or not {name.lower() for name in names} & closed.entity_of_name.keys():
            assert as_text(step, parsed.value, ctx).lower() == text.lower()
    # one after the other comes to the same
    by_step = closed
    for step, text in texts.items():
        by_step = open_context(by_step, {step: text})
    assert by_step == ctx
    assert all(entity.tid >= OPEN_TID for entity in ctx.entities if entity not in closed.entities)


@examples(30)
@given(data=st.data(), record=records())
def test_the_names_of_the_scene_are_kept(data: st.DataObject, record: Record) -> None:
    ctx = data.draw(contexts(record))
    steps = record.frame_localization, record.entity_tracking, record.spatial_relations, record.temporal_relations
    texts = {step: as_text(step, value, ctx) for step, value in enumerate(steps, 1)}
    assert open_context(ctx, texts) is ctx


def test_own_names_get_tids_and_categories_of_their_own() -> None:
    text = "Frames: 0.00s\nEntities: woman, Adult 3, dog 2, DOG, ball/sports ball 7, the cat"
    ctx = open_context(context(), {1: text})
    assert ctx.names[OPEN_TID] == "woman"
    assert ctx.names[8] == "dog"
    own = {ctx.names[e.tid]: e.category for e in ctx.entities if e.tid >= OPEN_TID}
    assert own == {
        "woman": "woman",
        "Adult 3": "adult",
        "dog 2": "dog",
        "ball/sports ball 7": "ball/sports_ball",
        "cat": "cat",
    }
    assert len(read_step(1, text, ctx).value.entities) == 6
    assert read_step(2, "the Woman: 0.00s [1, 2, 3, 4]", ctx).value[0].tid == OPEN_TID
    assert category_of("12", ()) == "12"


@pytest.mark.parametrize(
    "text",
    [
        "Here are the boxes: none that I can see",
        "Sure: 0.00s",
        "The woman in the long red coat over there: 0.00s [1, 2, 3, 4]",
        "none: 0.00s [1, 2, 3, 4]",
        "12: 0.00s [1, 2, 3, 4]",
    ],
)
def test_prose_names_nobody(text: str) -> None:
    assert open_context(context(), {2: text}) == context()
