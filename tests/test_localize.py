"""A1 by origin: small scenes with outcomes spelled out, properties over all scenes, and the real questions."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders import localize as module
from cotasks.builders.localize import Localized, Proposal, localize, match_entities, read_proposals
from cotasks.errors import InputError
from cotasks.records.annotation import Evidence, Question, VideoAnnotation
from cotasks.records.schema import Box, Entity, Record, Scene, Span, SpatialRelation, TemporalRelation, Track
from cotasks.records.timeline import grid_frames
from cotasks.steps.by_words import entities_by_words, frames_by_words
from tests.examples import examples
from tests.strategies import records

ADULT, CHILD, DOG, DOG_2, SOFA = (
    Entity(0, "adult"),
    Entity(1, "child"),
    Entity(2, "dog"),
    Entity(5, "dog"),
    Entity(3, "sofa"),
)
GRID = (0, 10, 20, 30, 40, 50)
CLIP = Span(0.0, 6.0)


def track(entity: Entity, *frames: int) -> Track:
    return Track(entity.tid, entity.category, tuple(Box(f, (0.0, 0.0, 9.0, 9.0), False) for f in frames))


SCENE = Scene(
    entities=(ADULT, CHILD, DOG, SOFA, DOG_2),  # not by tid
    entity_tracking=(track(ADULT, *GRID), track(CHILD, 10, 20), track(DOG, 20), track(SOFA, 40, 50)),
    spatial_relations=(SpatialRelation(0, "next_to", 3, (40, 50)), SpatialRelation(1, "behind", 2, (10,))),
    temporal_relations=(TemporalRelation(0, "hold", 1, 5, 31), TemporalRelation(2, "chase", 5, 30, 50)),
)
ANNOTATION = VideoAnnotation(10.0, 60, 640, 480, CLIP, grid_frames(GRID, 10.0), SCENE)


def question(text: str = "what is this place", answer: str = "park") -> Question:
    return Question("nextqa/val/1/7", "nextqa", "CW", "1", "0/1.mp4", text, answer, (), (), -1, "val.csv:2", qid="7")


def run(
    text: str = "what is this place",
    mode: str = "auto",
    *,
    annotation: VideoAnnotation = ANNOTATION,
    spans: tuple[Span, ...] | None = None,
    proposal: Proposal | None = None,
    answer: str = "park",
    use_answer: bool = False,
) -> Localized:
    evidence = Evidence(spans, "human", used_answer=True) if spans is not None else None
    return localize(
        question(text, answer), annotation, mode=mode, evidence=evidence, proposal=proposal, use_answer=use_answer
    )


def proposed(*spans: tuple[float, float], entities: tuple[str, ...] = (), used_answer: bool = False) -> Proposal:
    return Proposal("nextqa/val/1/7", "M", used_answer, tuple(Span(*s) for s in spans), entities)


@pytest.mark.parametrize(
    ("text", "tids", "frames"),
    [
        # the child alone: no word names a predicate, so nobody comes in with it
        ("what does the kid do", [1], None),
        # hold is named: whoever holds comes in; it holds at 5 <= frame < 31, so at half of the grid
        ("why is the kid being held", [0, 1], [10, 20, 30]),
        # the predicate matches, but no relation of the sofa has it
        ("why hold the sofa", [3], None),
        # both dogs, which words do not tell apart; chase holds at 30 and 40, frame 50 is its end
        ("why does the puppy chase it", [2, 5], [30, 40]),
        ("is the kid behind the dog", [1, 2, 5], [10]),
        # both categories; next_to brings nobody else
        ("is the man next to the couch", [0, 3], [40, 50]),
        # hold and next_to together hold on more than half of the grid, which chooses no time
        ("does the man next to the couch hold something", [0, 1, 3], None),
    ],
)
def test_by_words(text: str, tids: list[int], frames: list[int] | None) -> None:
    found = entities_by_words((text,), SCENE)
    assert found is not None
    assert [entity.tid for entity in found] == tids
    chosen = frames_by_words((text,), SCENE, GRID)
    assert (None if chosen is None else list(chosen)) == frames


@pytest.mark.parametrize("text", ["where is this place", "who chases it", "why is the cat next to it", ""])
def test_words_need_a_category(text: str) -> None:
    assert entities_by_words((text,), SCENE) is None
    assert frames_by_words((text,), SCENE, GRID) is None


def test_words_choose_entities_and_no_time() -> None:
    for mode in ("auto", "lexical"):
        a1 = run("why does the puppy chase it", mode).frame_localization
        assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("whole", "lexical", False)
        assert (a1.frames, a1.spans, [e.tid for e in a1.entities]) == (GRID, (CLIP,), [2, 5])
    a1 = run("why does the dog run", spans=(Span(1.0, 1.0),)).frame_localization
    assert (a1.span_origin, a1.entity_origin, a1.frames) == ("human", "lexical", (10,))
    # where people marked the time, whom the matched deal with comes in too if no predicate is named
    assert [e.tid for e in a1.entities] == [1, 2, 5]
    assert [e.tid for e in run("why does the dog run").frame_localization.entities] == [2, 5]
    a1 = run("why does the dog chase it", spans=(Span(1.0, 1.0),)).frame_localization
    assert [e.tid for e in a1.entities] == [2, 5]


def test_answer_words_count_only_where_asked_for() -> None:
    plain = run("what does it chase", answer="the dog").frame_localization
    assert (plain.span_origin, plain.used_answer) == ("whole", False)
    told = run("what does it chase", answer="the dog", use_answer=True).frame_localization
    assert (told.entity_origin, told.used_answer, [e.tid for e in told.entities]) == ("lexical", True, [2, 5])
    # words of question and answer do not join into phrases
    joined = run("where is the baby", answer="seat", use_answer=True).frame_localization
    assert [e.tid for e in joined.entities if e == CHILD] == [1]
    # nothing matched, though the answer was looked at
    assert run(use_answer=True).frame_localization.used_answer
    assert not run(mode="whole", use_answer=True).frame_localization.used_answer


def test_whole() -> None:
    a1 = run("why does the dog run", "whole", spans=(Span(0, 1),)).frame_localization
    assert a1.frames == GRID
    assert a1.spans == (CLIP,)
    assert a1.entities == (ADULT, CHILD, DOG, SOFA, DOG_2)
    assert [e.tid for e in a1.entities] == [0, 1, 2, 3, 5]
    assert (a1.span_origin, a1.entity_origin) == ("whole", "whole")


def test_human_spans_come_before_words() -> None:
    spans = (Span(0.95, 2.0), Span(3.4, 3.45))
    for mode in ("auto", "human"):
        a1 = run("why does the puppy chase it", mode, spans=spans).frame_localization
        assert a1.frames == (10, 20, 30)  # 3.4 to 3.45 s holds no grid frame: the nearest is 30
        assert a1.spans == spans
        assert [e.tid for e in a1.entities] == [2, 5]
        assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("human", "lexical", True)
    a1 = run("where is this", "human", spans=spans).frame_localization
    assert (a1.entity_origin, len(a1.entities), a1.used_answer) == ("whole", 5, True)
    assert run("why does the puppy chase it", "lexical", spans=spans).frame_localization.frames == GRID


@pytest.mark.parametrize(
    ("mode", "reason", "words"),
    [
        ("human", "no human span", "val.csv:2: no human span for question '7'"),
        ("lexical", "no question word matches the annotation", "val.csv:2: no word of 'what is this place'"),
        ("model", "no proposal", "val.csv:2: no proposal with id 'nextqa/val/1/7'"),
        ("best", "invalid input", "localization 'best'; expected one of auto, human, lexical, whole, model"),
    ],
)
def test_a_required_origin_that_is_missing(mode: str, reason: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        run(mode=mode, spans=())
    assert caught.value.reason == reason
    assert str(caught.value).startswith(words)


def test_keyframes() -> None:
    """STAR: at keyframes 20 and 40 there are boxes of adult, child, dog 1 and sofa, and a triple of both dogs."""
    annotation = dataclasses.replace(ANNOTATION, keyframes=(20, 40))
    a1 = run("where is this", annotation=annotation, spans=(Span(0, 1),)).frame_localization
    assert a1.frames == (20, 40)
    assert a1.spans == (CLIP,)
    assert [e.tid for e in a1.entities] == [0, 1, 2, 3, 5]
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("annotation", "annotation", False)
    only = dataclasses.replace(annotation, keyframes=(10,))
    assert [e.tid for e in run(annotation=only).frame_localization.entities] == [0, 1, 2]
    # a required origin wins over the annotation's own
    assert run("the sofa", "lexical", annotation=annotation).frame_localization.entity_origin == "lexical"
    assert run("the sofa", "whole", annotation=annotation).frame_localization.frames == GRID


def test_keyframes_that_the_grid_does_not_hold() -> None:
    """On a uniform grid without a keyframe the scene has no box; the clip's frames and its entities are left."""
    bare = Scene((DOG, ADULT), (), (), ())
    annotation = dataclasses.replace(ANNOTATION, keyframes=(), scene=bare, clip=Span(1.0, 3.0))
    a1 = run(annotation=annotation).frame_localization
    assert a1.frames == (10, 20, 30)
    assert [e.tid for e in a1.entities] == [0, 2]
    assert a1.span_origin == "annotation"


def test_proposal() -> None:
    found = run(
        mode="model",
        proposal=proposed((4.0, 5.0), (-1.0, 0.4), (7.0, 9.0), (5.0, 99.0), entities=("Dog 2", "a unicorn", "sofa")),
    )
    a1 = found.frame_localization
    assert a1.spans == (Span(0.0, 0.4), Span(4.0, 6.0))
    assert a1.frames == (0, 40, 50)
    assert [e.tid for e in a1.entities] == [3, 5]
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("model", "model", False)
    assert found.unmatched == ("a unicorn",)


def test_proposal_without_a_name_of_the_scene() -> None:
    found = run("why run, dog", "model", proposal=proposed((1, 2), entities=("unicorn",), used_answer=True))
    assert [e.tid for e in found.frame_localization.entities] == [2, 5]
    assert (found.frame_localization.entity_origin, found.frame_localization.used_answer) == ("lexical", True)
    found = run("where", "model", proposal=proposed((1, 2)), answer="dog", use_answer=True)
    assert (found.frame_localization.entity_origin, found.frame_localization.used_answer) == ("lexical", True)
    found = run("where", "model", proposal=proposed((1, 2)), answer="dog")
    assert (found.frame_localization.entity_origin, len(found.frame_localization.entities)) == ("whole", 5)
    assert not found.frame_localization.used_answer
    # names match: the answer is not looked at
    found = run("where", "model", proposal=proposed((1, 2), entities=("dog",)), use_answer=True)
    assert not found.frame_localization.used_answer


@pytest.mark.parametrize("spans", [(), ((7.0, 8.0),), ((-3.0, -0.1), (6.1, 6.2))])
def test_proposal_outside_the_clip(spans: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(InputError, match=r"expected one within the clip, 0\.000 to 6\.000 s") as caught:
        run(mode="model", proposal=proposed(*spans))
    assert caught.value.reason == "no proposed span in the clip"


@pytest.mark.parametrize(
    ("name", "tids"),
    [
        ("dog 1", [2]),
        ("dog 2", [5]),
        ("The Dog #2", [5]),
        ("dog 3", []),
        ("dog 0", []),
        ("adult 1", [0]),
        ("adult 2", []),
        ("dog", [2, 5]),
        ("puppies", [2, 5]),
        ("puppy 1", [2, 5]),  # no prompt numbers puppies
        ("the woman on the couch", [0, 3]),
        ("ball/sports ball 2", [8]),
        ("ball_2", [8]),
        ("sports ball 1", [7]),
        ("unicorn", []),
        ("", []),
        ("2", []),
        ("dog ²", [2, 5]),
        (5, [5]),
        (4, []),
        (-1, []),
    ],
)
def test_match_entities(name: str | int, tids: list[int]) -> None:
    balls = (Entity(8, "ball/sports_ball"), Entity(7, "ball/sports_ball"))
    scene = dataclasses.replace(SCENE, entities=(*SCENE.entities, *balls))
    entities, unmatched = match_entities([name], scene)
    assert [e.tid for e in entities] == tids
    assert unmatched == (() if tids else (str(name),))


GOOD = {"id": "a", "model": "M", "used_answer": False, "spans": [[0, 1.5]], "entities": ["dog"]}


def test_read_proposals(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    other = {**GOOD, "id": "b", "raw": "text", "spans": [], "entities": [3, "dog"], "used_answer": True}
    path.write_bytes(json.dumps(GOOD).encode() + b"\r\n\n" + json.dumps(other).encode())  # no newline at the end
    assert read_proposals(str(path)) == {
        "a": Proposal("a", "M", False, (Span(0.0, 1.5),), ("dog",)),
        "b": Proposal("b", "M", True, (), (3, "dog")),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "p.jsonl:2: not JSON"),
        ("[]", r"p.jsonl:2: \[\]; expected a JSON object"),
        ({"id": ""}, "p.jsonl:2: id is ''; expected the id of a record"),
        ({"id": 3}, "p.jsonl:2: id is 3; expected"),
        ({"model": None}, "p.jsonl:2: model is None; expected the name of a model"),
        ({"used_answer": 0}, "p.jsonl:2: used_answer is 0; expected true or false"),
        ({"spans": "0-1"}, "p.jsonl:2: spans is '0-1'; expected a list"),
        ({"spans": [[2, 1]]}, r"p.jsonl:2: spans holds \[2, 1\]; expected \[start, end\] in seconds, start <= end"),
        ({"spans": [[1]]}, r"p.jsonl:2: spans holds \[1\]"),
        ({"spans": [[0, True]]}, r"p.jsonl:2: spans holds \[0, True\]"),
        ({"spans": [["0", "1"]]}, "p.jsonl:2: spans holds"),
        ('{"id": "b", "model": "M", "used_answer": true, "entities": [], "spans": [[0, 1e999]]}', "p.jsonl:2:"),
        ({"entities": "dog"}, "p.jsonl:2: entities is 'dog'; expected a list of names or tids"),
        ({"entities": [1.5]}, "p.jsonl:2: entities holds 1.5; expected names or tids"),
        ({"entities": [True]}, "p.jsonl:2: entities holds True; expected names or tids"),
        ({"id": "a"}, "p.jsonl:2: id 'a' again"),
        ('{"id": "b"}', "p.jsonl:2: spans is missing"),
    ],
)
def test_bad_proposals(tmp_path: Path, line: str | dict[str, object], message: str) -> None:
    path = tmp_path / "p.jsonl"
    text = line if isinstance(line, str) else json.dumps({**GOOD, "id": "b", **line})
    path.write_text(json.dumps(GOOD) + "\n" + text + "\n")
    with pytest.raises(InputError, match=message):
        read_proposals(str(path))


def test_missing_proposals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read: No such file"):
        read_proposals(str(tmp_path / "none.jsonl"))


TEXTS = st.lists(
    st.sampled_from(("man", "boy", "dog", "balls", "cup", "near", "hold", "chases", "in front of", "screen", "where")),
    max_size=4,
).map(" ".join)
PAIRS = st.tuples(st.floats(-10, 900), st.floats(-10, 900)).map(sorted).map(lambda pair: Span(*pair))


@examples(150)
@given(records(), TEXTS, TEXTS, st.lists(PAIRS, max_size=3), st.booleans(), st.data())
def test_every_a1_is_sound(
    record: Record, text: str, name: str, spans: list[Span], use_answer: bool, data: st.DataObject
) -> None:
    grid = tuple(frame.index for frame in record.frames)
    keyframes = data.draw(st.none() | st.lists(st.sampled_from(grid), unique=True).map(sorted).map(tuple))
    annotation = VideoAnnotation(
        record.fps, record.frame_count, record.width, record.height, record.clip, record.frames, record.scene, keyframes
    )
    human = module._within(spans, record.clip)
    proposal = Proposal("nextqa/val/1/7", "M", False, tuple(spans), (name,))
    refused = {}
    for mode in module.MODES:
        try:
            found = run(text, mode, annotation=annotation, spans=human, proposal=proposal, use_answer=use_answer)
        except InputError as error:
            refused[mode] = error.reason
            continue
        a1 = found.frame_localization
        assert a1.frames
        assert list(a1.frames) == sorted(set(a1.frames) & set(grid))
        assert a1.entities
        assert list(a1.entities) == sorted(a1.entities, key=lambda e: e.tid)
        assert set(a1.entities) <= set(record.scene.entities)
        assert a1.span_origin != "lexical"
        assert a1.spans
        assert list(a1.spans) == sorted(a1.spans, key=lambda s: s.start_seconds)
        for span in a1.spans:
            assert record.clip.start_seconds <= span.start_seconds <= span.end_seconds <= record.clip.end_seconds
        assert set(found.unmatched) <= ({name} if mode == "model" else set())
        if mode == "whole":
            assert a1.frames == grid
            assert set(a1.entities) == set(record.scene.entities)
            assert a1.spans == (record.clip,)
        if mode != "auto":
            assert (a1.entity_origin if mode == "lexical" else a1.span_origin) == mode
    expected = {"lexical": "no question word matches the annotation"}
    if not human:
        expected |= {"human": "no human span", "model": "no proposed span in the clip"}
    assert refused.items() <= expected.items()


@examples(100)
@given(st.lists(PAIRS, max_size=5), PAIRS)
def test_spans_within_a_clip(spans: list[Span], clip: Span) -> None:
    inside = module._within(spans, clip)
    for a, b in itertools.pairwise(inside):
        assert a.end_seconds < b.start_seconds
    moments = [m for s in (*spans, clip) for m in (s.start_seconds, s.end_seconds)]
    for moment in moments:
        held = [any(s.start_seconds <= moment <= s.end_seconds for s in part) for part in (spans, [clip], inside)]
        assert held[2] == (held[0] and held[1])


def test_real_questions(realdata: Path) -> None:
    """Every origin over NExT-QA val with the objects and relations of 520 videos: no question is lost."""
    videos: dict[str, dict[str, Any]] = {}
    for row in json.loads((realdata / "vidstg/test_annotations.json").read_text()):
        video = videos.setdefault(row["vid"], {**row, "relations": []})
        video["relations"].append(row["used_relation"])
    with (realdata / "nextqa/oe/val.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["video"] in videos]
    annotations = {name: _annotation(videos[name]) for name in {row["video"] for row in rows}}
    origins: Counter[str] = Counter()
    for row in rows:
        a1 = run(row["question"], annotation=annotations[row["video"]]).frame_localization
        origins[a1.entity_origin] += 1
        assert a1.span_origin == "whole"
        scene = annotations[row["video"]].scene
        assert a1.entities or not scene.entities
    assert origins.total() == 4918
    assert set(origins) == {"lexical", "whole"}
    assert 0.92 < origins["lexical"] / 4918 < 0.95


def _annotation(video: dict[str, Any]) -> VideoAnnotation:
    """A scene with the real objects and relations; each object is taken to be seen on every frame of the grid."""
    fps, last = video["fps"], video["frame_count"] - 1
    frames = grid_frames(sorted({round(i * last / 15) for i in range(16)}), fps)
    entities = tuple(Entity(o["tid"], o["category"]) for o in video["subject/objects"])
    relations = tuple(
        TemporalRelation(r["subject_tid"], r["predicate"], r["object_tid"], r["begin_fid"], r["end_fid"])
        for r in video["relations"]
    )
    scene = Scene(entities, tuple(track(e, *(f.index for f in frames)) for e in entities), (), relations)
    return VideoAnnotation(fps, last + 1, None, None, Span(0.0, (last + 1) / fps), frames, scene)
