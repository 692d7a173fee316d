"""Evidence in answers: read, written, converted, made into steps, and scored by CaST-Bench's rules."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.evidence import (
    FORMS,
    Evidence,
    Instance,
    Piece,
    TimedBox,
    convert,
    predicted_steps,
    read_evidence,
    write_evidence,
)
from cotasks.evidence import castbench as rule
from cotasks.evidence.evidence import in_convention, in_pixels
from cotasks.records.boxes import Xyxy
from cotasks.records.own import parse_annotation, parse_question
from cotasks.steps.conventions import CONVENTIONS, find_convention, parse_convention
from cotasks.steps.naming import OPEN_TID

BOX = (1.0, 2.0, 30.0, 40.0)
FLOATS = (0.39322916666666669, 1e-05, 0.5, 0.9000000000000001)


def piece(start: float, end: float, **boxes: tuple[float, ...]) -> Piece:
    """`piece(1, 3, s1=BOX)`"""
    return Piece(start, end, tuple(TimedBox(float(key[1:]), box) for key, box in boxes.items()))  # type: ignore[arg-type]


DOG = Evidence((Instance("dog", (piece(1, 2, s1=BOX, s2=(2.0, 2.0, 31.0, 40.0)),)),), "B")
POINTS = (Instance("dog", (piece(1, 1, s1=BOX), piece(2, 2, s2=(2.0, 2.0, 31.0, 40.0)))),)
CAST = (
    '{"instances": [{"instance_name": "dog", "evidences": [{"evidence_start_time": "00:01", "evidence_end_time": '
    '"00:02", "evidence_rationale": "it {runs}", "bboxes_in_time_range": {"00:01": [1, 2, 30, 40], "00:02": '
    '[2, 2, 31, 40]}}]}], "answer_choice": "B"}'
)
READ: dict[str, tuple[str, Evidence]] = {
    "as asked": (CAST, DOG),
    "fence": (f"Here it is:\n```json\n{CAST}\n```", DOG),
    "thought": (f'<think>{{"answer_choice": "A"}} no</think>{CAST}', DOG),
    "Python": (CAST.replace('"', "'"), DOG),
    "trailing commas": (CAST.replace("]}}]}]", "],}},]},]"), DOG),
    "boxes as text": (CAST.replace("[1, 2, 30, 40]", '"[1, 2, 30, 40]"'), DOG),
    "no list of evidences": (
        '{"instances": [{"instance": "dog", "evidence_start_time": 1, "evidence_end_time": "2s", '
        '"bboxes_in_time_range": {"1": [1, 2, 30, 40], "2": [2, 2, 31, 40]}}], "answer": "B"}',
        DOG,
    ),
    "cut off": (
        CAST[: CAST.index('"00:02": [2')] + '"00:02": [2, ',
        Evidence((Instance("dog", (piece(1, 2, s1=BOX),)),), None, ("2",)),
    ),
    "tags": (
        "<think>First <obj>dog</obj><box>[1,2,30,40]</box>at<t>1.0</t>s, then <obj>dog</obj><box>[2,2,31,40]</box> at "
        "<t>2</t>s</think><answer>B</answer>",
        Evidence(POINTS, "B"),
    ),
    "tags, spans": (
        "<obj>dog</obj> from <t>1</t>s to <t>3.5</t>s; the key part is <t>5</t>s - <t>6</t>s, at <t>7</t>s it ends",
        Evidence((Instance("dog", (piece(1, 3.5),)), Instance("", (piece(5, 6),)))),
    ),
    "tags, no moment": (
        "<obj>dog</obj><box>[1,2,30,40]</box> and <obj>cat</obj><box>[1,2,30,40]</box>at<t>1</t>s",
        Evidence((Instance("cat", (piece(1, 1, s1=BOX),)),), None, ("dog: [1.0, 2.0, 30.0, 40.0]",)),
    ),
    "Qwen": (
        '[{"time": 1, "bbox_2d": [1, 2, 30, 40], "label": "dog"}, {"time": "2s", "bbox_2d": [2, 2, 31, 40], '
        '"label": "dog"}]',
        Evidence(POINTS),
    ),
    "Qwen, no time": (
        '[{"bbox_2d": [1, 2, 30, 40], "label": "dog"}]',
        Evidence((), None, ("[1, 2, 30, 40]",)),
    ),
    "lists": ('{"label": "dog", "times": [1, 2], "boxes": [[1, 2, 30, 40], [2, 2, 31, 40]]}', Evidence(POINTS)),
    "by name": ('{"dog": {"1s": [1, 2, 30, 40], "2s": [2, 2, 31, 40]}}', Evidence(POINTS)),
    "by moment": (
        '{"1s": {"dog": [1, 2, 30, 40]}, "00:02": [{"label": "dog", "bbox": [2, 2, 31, 40]}]}',
        Evidence(POINTS),
    ),
    "corners": (
        '{"time": 1, "label": "dog", "bbox": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}',
        Evidence((Instance("dog", (piece(1, 1, s1=BOX),)),)),
    ),
    "no corners": (
        '[{"time": 1, "bbox_xywh": [1, 2, 30, 40]}, {"time": 1, "bbox": {"x": 1, "y": 2, "w": 3, "h": 4}}]',
        Evidence((), None, ("[1, 2, 30, 40]", '{"x": 1, "y": 2, "w": 3, "h": 4}')),
    ),
    "no moment in a map of boxes": (
        CAST.replace('"00:02": [2', '"frame 2": [2').replace("[1, 2, 30, 40]", "[1, 2, 30]"),
        Evidence((Instance("dog", (piece(1, 2),)),), "B", ("[2, 2, 31, 40]", "[1, 2, 30]")),
    ),
    "all digits of a float": (
        '{"time": 1.0000000000000002, "label": "dog", "bbox_2d": [0.39322916666666669, 1e-05, "0.5", '
        "0.9000000000000001]}",
        Evidence(
            (
                Instance(
                    "dog", (Piece(1.0000000000000002, 1.0000000000000002, (TimedBox(1.0000000000000002, FLOATS),)),)
                ),
            )
        ),
    ),
    "tags, all digits of a float": (
        "<obj>dog</obj><box>[0.39322916666666669, 0.00001, 0.5, 0.9000000000000001]</box>at<t>1</t>s and "
        "<obj>cat</obj><box>[39322916666666669, 1, 2, 3]</box>at<t>1</t>s",
        Evidence((Instance("dog", (piece(1, 1, s1=FLOATS),)),), None, ("<box>[39322916666666669, 1, 2, 3]</box>",)),
    ),
    "spans alone": (
        '{"answer": "C", "time_span": ["00:01", "00:03"], "evidence": [{"start": 5, "end": 4}]}',
        Evidence((Instance("", (piece(1, 3),)),), "C", ('{"start": 5, "end": 4}',)),
    ),
    "no evidence": ("The answer is (B), at about 5 seconds.", Evidence()),
    "nothing": ("", Evidence()),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read(name: str) -> None:
    text, found = READ[name]
    assert read_evidence(text) == found


NAMES = st.sampled_from(["dog", "man in black", "car 2"])
SECONDS = st.integers(0, 5999).map(float)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    instances = []
    for name in names:
        pieces = []
        for _ in range(draw(st.integers(1, 3))):
            start, end = sorted((draw(SECONDS), draw(SECONDS)))
            moments = draw(st.lists(st.integers(int(start), int(end)).map(float), max_size=3, unique=True))
            numbers = st.tuples(*[st.integers(0, 9999).map(float)] * 4)
            pieces.append(Piece(start, end, tuple(TimedBox(second, draw(numbers)) for second in moments)))
        instances.append(Instance(name, tuple(pieces)))
    return Evidence(tuple(instances), draw(st.sampled_from(["A", "F"])))


@given(evidences())
def test_castbench_round_trip(evidence: Evidence) -> None:
    assert read_evidence(write_evidence(evidence, "castbench")) == evidence


@given(evidences(), st.sampled_from(sorted(FORMS)))
def test_boxes_and_spans_survive_every_form(evidence: Evidence, form: str) -> None:
    again = read_evidence(write_evidence(evidence, form))

    def held(one: Evidence) -> dict[str, tuple[set[TimedBox], set[tuple[float, float]]]]:
        return {
            i.name: (
                {box for p in i.pieces for box in p.boxes},
                {(p.start, p.end) for p in i.pieces if p.start < p.end},
            )
            for i in one.instances
        }

    assert held(again) == held(evidence)
    assert again.answer == evidence.answer
    assert again.unread == ()


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    read_evidence(text)
    rule.read_as_published(text)


def test_convert() -> None:
    tags = convert(CAST, "open-o3")
    assert tags == (
        "<think><obj>dog</obj> from <t>1</t>s to <t>2</t>s. <obj>dog</obj><box>[1, 2, 30, 40]</box>at<t>1</t>s. "
        "<obj>dog</obj><box>[2, 2, 31, 40]</box>at<t>2</t>s</think><answer>B</answer>"
    )
    y_first = parse_convention("yxyx thousandths")
    moved = convert(CAST, "qwen", boxes=y_first, size=(200, 100))
    assert json.loads(moved)[1] == {"time": 1.0, "bbox_2d": [0.4, 0.1, 8, 3], "label": "dog"}
    with pytest.raises(InputError, match="the size of the frame is not given"):
        convert(CAST, "qwen", boxes=y_first)
    with pytest.raises(InputError, match="form 'x' of evidence; expected one of castbench, open-o3, qwen"):
        convert(CAST, "x")
    with pytest.raises(InputError, match="expected the convention that they are written in too"):
        convert(CAST, "qwen", to=y_first)


@given(evidences(), st.sampled_from([one for one in CONVENTIONS if one.unit != "resized"]))
def test_conventions_are_undone(evidence: Evidence, name: object) -> None:
    convention = name
    size = (640, 360)
    written = in_convention(evidence, convention, size)  # type: ignore[arg-type]
    again = in_pixels(written, convention, size)  # type: ignore[arg-type]
    assert again is not None
    for one, other in zip(evidence.boxes(), again.boxes(), strict=True):
        assert one.numbers == pytest.approx(other.numbers)


def test_without_a_size_thousandths_and_fractions_can_still_be_contradicted() -> None:
    pixels = Evidence((Instance("dog", (piece(1, 1, s1=(1200.0, 100.0, 1500.0, 300.0)),)),))
    names = {one.name for one in find_convention(pixels.written(None)).candidates}
    assert names == {"xyxy pixels", "yxyx pixels"}
    assert find_convention(pixels.written((1920, 1080))).convention == parse_convention("xyxy pixels")
    assert in_pixels(pixels, parse_convention("xyxy thousandths"), None) is None
    assert in_pixels(pixels, parse_convention("xyxy pixels"), None) == pixels


# Steps


def record() -> object:
    from cotasks import make_record

    question = {"id": "q", "video": "v.mp4", "question": "Who?", "answer": "the dog", "clip": [10, 20]}
    annotation = {
        "video": "v.mp4",
        "fps": 10,
        "frame_count": 300,
        "width": 640,
        "height": 360,
        "entities": [{"id": 3, "category": "dog"}, {"id": 5, "category": "adult"}, {"id": 7, "category": "adult"}],
        "boxes": [{"entity": 3, "frame": f, "xyxy": [0, 0, 10 + f, 20]} for f in range(100, 200, 10)],
    }
    return make_record(parse_question(question), parse_annotation(annotation), num_frames=11)


def test_evidence_becomes_steps() -> None:
    one = record()
    said = Evidence(
        (
            Instance("Dog", (piece(0, 1, s0=BOX, s1=BOX), piece(0.5, 2, s1=BOX))),
            Instance("the man: in black", (piece(5, 6, s5=BOX, s7=(5.0, 5.0, 1.0, 9.0)),)),
            Instance("drone", (piece(30, 31, s30=BOX),)),
            Instance("drone", ()),
        ),
        "B",
    )
    found = predicted_steps(one, said, said)  # type: ignore[arg-type]
    steps = found.steps
    a1 = steps.frame_localization
    assert a1 is not None
    assert steps.entity_tracking is not None
    # seconds count from the clip's start, at 10 s
    assert [(s.start_seconds, s.end_seconds) for s in a1.spans] == [(10, 12), (15, 16)]
    assert a1.frames == (100, 110, 120, 150, 160)
    assert [(e.tid, e.category) for e in steps.entities] == [
        (3, "dog"),
        (OPEN_TID + 1, "adult"),
        (OPEN_TID + 2, "drone"),
        (OPEN_TID + 3, "drone"),
    ]
    assert [name for _, name in steps.names] == ["dog", "the man in black", "drone", "drone 2"]
    assert [(t.tid, [b.frame for b in t.boxes]) for t in steps.entity_tracking] == [
        (3, [100, 110]),
        (OPEN_TID + 1, [150]),
    ]
    assert found.parsed[1].unread == ("30 to 31 s, after the end of the clip",)
    assert len(found.parsed[2].unread) == 2  # the inverted box, and the one after the end
    without = predicted_steps(one, said, None, "box convention not known").steps  # type: ignore[arg-type]
    assert without.entity_tracking is None
    assert without.reasons == {2: "box convention not known"}
    nothing = predicted_steps(one, Evidence(), Evidence()).steps  # type: ignore[arg-type]
    assert nothing.frame_localization is not None
    assert nothing.frame_localization.frames == ()
    assert nothing.entity_tracking == ()


# CaST-Bench's rules


def line(start: int, end: int, box: Xyxy | None = BOX) -> rule.Timeline:
    return rule.Timeline(start, end, {} if box is None else dict.fromkeys(range(start, end + 1), box))


def test_scores_by_hand() -> None:
    truth = [line(0, 3), line(10, 13)]
    # the same boxes on half of the seconds: temporal 0.5, spatio-temporal 0.5, over two things
    found = rule.score(True, [line(2, 3), line(20, 30)], truth)
    assert found == rule.Scores(1.0, 1.0, 0.0, 0.25, 0.25)
    assert rule.score(False, [line(2, 3)], truth) == rule.Scores(0.0, 0.0, 0.0, 0.25, 0.25)
    # one second in common is no match, and neither are spans without boxes
    assert rule.score(True, [line(3, 5)], truth) == rule.Scores(1.0, 0.0, 1.0, 0.0, 0.0)
    assert rule.score(True, [line(0, 3, None)], truth).temporal_iou == 0.0
    # each true thing once: of two things at one place, the one with more seconds in common
    assert rule.score(True, [line(0, 1), line(0, 3)], truth).temporal_iou == 0.5
    assert rule.score(True, [], []).temporal_iou == 0.0


@pytest.mark.parametrize(
    ("text", "choice", "count"),
    [
        (CAST, "B", 1),
        (CAST.replace('"B"', '" b "'), "B", 1),
        (CAST.replace('"B"', '"B."'), None, 1),
        (CAST.replace('"', "'"), "B", 1),
        (CAST[:-1], None, 0),
        (f'<think>{{"answer_choice": "A"}}</think>{CAST}', "B", 1),
        ('{"00:01": "[1, 2, 3, 4]"}', None, 0),
        ('{"x": 1} {"answer_choice": "C"}', "C", 0),
        ('{"instances": [3, {"evidences": 4}, {"evidences": [5, {}]}], "answer_choice": ["A"]}', None, 2),
    ],
)
def test_what_the_publisher_reads(text: str, choice: str | None, count: int) -> None:
    found = rule.read_as_published(text)
    assert (found.choice, len(found.timelines)) == (choice, count)


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("1.9", 3, (1, 3)),
        ("00:00:01", "0:3", (1, 3)),
        ("1s", "00:03.5", (1, 185)),  # minutes, seconds and half seconds are hours, minutes and seconds to it
        ("\u00b2:1", "9" * 400, (1, rule.LAST_SECOND)),  # a digit that is no number; more than a float holds
        (None, "9" * 5000 + ":1", (0, rule.LAST_SECOND)),
    ],
)
def test_times_as_the_publisher_reads_them(start: object, end: object, seconds: tuple[int, int]) -> None:
    boxes = {"00:01": [1, 2, 3, 4], "1e999": [1, 2, 3, 4]}
    evidence = {"evidence_start_time": start, "evidence_end_time": end, "bboxes_in_time_range": boxes}
    found = rule.read_as_published(json.dumps({"instances": [{"evidences": [evidence]}]})).timelines
    assert [(line.start, line.end) for line in found] == [seconds]
    assert 0 < rule.score(True, found, found).spatiotemporal_iou <= 1


def test_a_backslash_in_an_answer_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    assert rule.read_as_published("{'answer_choice': 'B', 'why': '\\d'}").choice == "B"
    assert not [one for one in recwarn if issubclass(one.category, SyntaxWarning)]


@given(evidences())
def test_a_sound_answer_is_read_alike_by_both(evidence: Evidence) -> None:
    text = write_evidence(evidence, "castbench")
    assert rule.read_as_published(text).timelines == rule.timelines_of(evidence)
    assert rule.truth_of(json.loads(text)).timelines == rule.timelines_of(evidence)
    scores = rule.score(True, rule.timelines_of(evidence), rule.timelines_of(evidence))
    values = dataclasses.astuple(scores)
    assert all(0 <= value <= 1 + 1e-9 for value in values)
    assert scores.faithful + scores.spurious == 1
