"""Own data: the format, its schema, the reader, and records of one question."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import cotasks
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers import situations, vidor
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import parse_condition
from cotasks.prompts.prompt import step_context
from cotasks.prompts.size import shown_size
from cotasks.prompts.view import view
from cotasks.records.dataset import load_records
from cotasks.records.own import (
    SPATIAL_PREDICATES,
    OwnAnnotation,
    OwnBox,
    OwnEntity,
    OwnEvidence,
    OwnQuestion,
    OwnRelation,
    annotation_row,
    parse_annotation,
    parse_question,
    question_row,
)
from cotasks.records.own_files import (
    read_annotation,
    read_questions,
    write_annotation,
    write_questions,
)
from cotasks.records.timeline import near_grid, uniform_grid
from cotasks.records.videos import Videos
from cotasks.steps.table import read_step, step_text
from cotasks.tools.files import read_json, read_jsonl
from cotasks.video.reading import probe
from cotasks.words.lexicon import match_predicates
from tests.examples import examples
from tests.synthetic import write_video

SCHEMA = Path(cotasks.__file__).parent / "records/own.schema.json"
VALIDATORS = {
    kind: Draft202012Validator({**json.loads(SCHEMA.read_text()), "anyOf": [{"$ref": f"#/$defs/{kind}"}]})
    for kind in ("question", "annotation")
}

QUESTION: dict[str, Any] = {
    "id": "q1",
    "video": "yard/a.mp4",
    "question": "What does the man drive?",
    "answer": "a forklift",
}
ANNOTATION: dict[str, Any] = {
    "video": "yard/a.mp4",
    "entities": [{"id": "f", "category": "forklift"}, {"id": "m", "category": "man"}],
    "boxes": [
        {"entity": "f", "second": 1.2, "xyxy": [0, 0, 10, 10], "generated": True, "score": 0.5},
        {"entity": "m", "second": 5, "xyxy": [2, 0, 9, 8]},
    ],
    "relations": [
        {"subject": "m", "predicate": "drives", "object": "f", "seconds": [0, 4]},
        {"subject": "m", "predicate": "inside", "object": "f", "seconds": [1, 3]},
    ],
}

# The format

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)
TEXTS = st.one_of(NAMES, st.tuples(NAMES, NAMES).map("\n".join))
PATHS = st.lists(NAMES.filter(lambda n: n not in (".", "..") and not set(n) & set("/\\:")), min_size=1, max_size=3).map(
    "/".join
)
SECONDS = st.floats(0, 1e4).map(lambda v: round(v, 3) + 0.0)
IDS = st.one_of(st.integers(0, 99), NAMES)


def stretches(unit: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.tuples(unit, unit).map(lambda pair: (min(pair), max(pair))).filter(lambda pair: pair[0] < pair[1])


@st.composite
def questions(draw: st.DrawFn) -> OwnQuestion:
    clip = draw(st.none() | stretches(SECONDS))
    spans = [] if clip is not None else draw(st.lists(stretches(SECONDS), max_size=3))
    choices = draw(st.just([]) | st.lists(TEXTS, min_size=2, max_size=5, unique=True))
    index = draw(st.integers(0, len(choices) - 1)) if choices else -1
    entities = draw(st.none() | st.lists(IDS, max_size=3).map(tuple))
    return OwnQuestion(
        id=draw(NAMES),
        video=draw(PATHS),
        question=draw(TEXTS),
        answers=(choices[index],) if choices else tuple(draw(st.lists(TEXTS, max_size=3))),
        choices=tuple(choices),
        answer_index=index,
        type=draw(NAMES),
        category=draw(NAMES),
        split=draw(st.sampled_from(["train", "validation", "test"])),
        clip=clip,
        evidence=draw(
            st.none()
            | st.builds(
                OwnEvidence,
                st.just(tuple(spans)),
                st.just(entities),
                st.sampled_from(["annotation", "human", "model"]),
                st.booleans(),
            )
        ),
    )


@st.composite
def annotations(draw: st.DrawFn) -> OwnAnnotation:
    ids = draw(st.lists(IDS, max_size=4, unique=True))
    boxes, relations = [], []
    if ids:
        chosen, edge = st.sampled_from(ids), st.floats(0, 100).map(lambda v: round(v, 2) + 0.0)
        times = draw(st.lists(st.tuples(chosen, st.booleans(), st.integers(0, 50)), max_size=5, unique=True))
        for entity, is_frame, number in times:
            (x1, x2), (y1, y2) = draw(stretches(edge)), draw(stretches(edge))
            time = {"frame": number} if is_frame else {"second": number / 4}
            score = draw(st.none() | st.floats(0, 1).map(lambda v: v + 0.0))
            boxes.append(OwnBox(entity, (x1, y1, x2, y2), **time, generated=draw(st.booleans()), score=score))
        for _ in range(draw(st.integers(0, 3))):
            unit = draw(st.sampled_from(["frames", "seconds"]))
            stretch = draw(stretches(st.integers(0, 50) if unit == "frames" else SECONDS))
            triple = draw(chosen), draw(NAMES), draw(chosen)
            relations.append(OwnRelation(*triple, **{unit: stretch}, spatial=draw(st.booleans())))
    width, height = draw(st.sampled_from([(None, None), (100, 100), (640, 480)]))
    return OwnAnnotation(
        video=draw(PATHS),
        entities=tuple(OwnEntity(id_, draw(NAMES)) for id_ in ids),
        boxes=tuple(boxes),
        relations=tuple(relations),
        fps=draw(st.none() | st.sampled_from([1.0, 25.0, 29.97])),
        frame_count=None,
        width=width,
        height=height,
        detector=draw(st.none() | st.dictionaries(NAMES, st.integers(0, 9) | NAMES, max_size=2)),
    )


@examples(60)
@given(question=questions(), annotation=annotations())
def test_what_is_written_is_read_back(question: OwnQuestion, annotation: OwnAnnotation) -> None:
    for kind, row in (("question", question_row(question)), ("annotation", annotation_row(annotation))):
        assert VALIDATORS[kind].is_valid(row), list(VALIDATORS[kind].iter_errors(row))
    assert parse_question(json.loads(json.dumps(question_row(question)))) == question
    assert parse_annotation(json.loads(json.dumps(annotation_row(annotation)))) == annotation


@examples(20)
@given(found=st.lists(questions(), max_size=4, unique_by=lambda q: q.id))
def test_files_are_read_back(found: list[OwnQuestion], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("own") / "questions.jsonl"
    write_questions(path, found)
    assert read_questions(path) == found


def test_packed_annotation_is_read_back(tmp_path: Path) -> None:
    annotation = parse_annotation(ANNOTATION)
    write_annotation(tmp_path / "a.jsonl.gz", [annotation])
    assert list(read_annotation([tmp_path / "a.jsonl.gz"])) == [annotation]
    (tmp_path / "a.jsonl.gz").write_bytes((tmp_path / "a.jsonl.gz").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: cannot be read"):
        list(read_annotation([tmp_path / "a.jsonl.gz"]))


def with_(row: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The row with another value at `boxes.0.xyxy`; `...` takes the field away."""
    copy: dict[str, Any] = json.loads(json.dumps(row))
    at: Any = copy
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    for step in steps:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy


# kind, field, value, what the message says, whether the schema sees it
BAD = [
    ("question", "extra", 1, "line: extra is 1; expected no such field; known: format, id, video", True),
    ("question", "id", ..., "line: id is missing", True),
    ("question", "id", 7, "line: id is 7; expected a text", True),
    ("question", "id", " ", "line: id is ' '; expected a text that is not blank", True),
    ("question", "format", 2, "line: format is 2; expected 1", True),
    ("question", "video", "/etc/a.mp4", "line: video is '/etc/a.mp4'; expected a path below", True),
    ("question", "video", "../a.mp4", "expected a path below", True),
    ("question", "video", "C:/a.mp4", "expected a path below", True),
    ("question", "video", "a\\b.mp4", "expected a path below", True),
    ("question", "question", "a\x1b[2Jb", "line: question is .*; expected printable text", True),
    ("question", "category", "a\nb", "line: category is .*; expected printable text, no control characters", True),
    (
        "question",
        "category",
        "a\u202eb",
        "line: category is .*; expected text that is seen, no marks of writing",
        False,
    ),
    ("question", "type", "\u200b", "line: type is .*; expected text that is seen", False),
    ("question", "answer", [], "line: answer is \\[\\]; expected a text, or a list of one or more", True),
    ("question", "answer", ["a", 3], "line: answer\\[1\\] is 3; expected a text", True),
    ("question", "answer_index", 0, "line: answer_index is 0; expected it only with choices", False),
    ("question", "choices", ["a forklift"], "line: choices is .*; expected two or more", False),
    ("question", "choices", ["a", "a"], "line: choices is .*; expected two or more, no two alike", True),
    ("question", "choices", ["a car", "a van"], "line: answer is .*; expected the text of one choice", False),
    ("question", "split", "dev", "line: split is 'dev'; expected train, validation, val, test", True),
    ("question", "clip", [3, 1], "line: clip is \\[3, 1\\]; expected \\[start, end\\] with start <= end", False),
    ("question", "clip", [1, 1], "line: clip is .*; expected \\[start, end\\] with start < end", False),
    ("question", "clip", [1], "line: clip is \\[1\\]; expected \\[start, end\\] in seconds", True),
    ("question", "clip", [-1, 2], "line: clip is -1; expected seconds from 0", True),
    ("question", "clip", [0, True], "line: clip is True; expected a number", True),
    ("question", "evidence", {"span": []}, "line: evidence.span is .*; expected no such field; known: spans", True),
    ("question", "evidence", {"origin": "guess"}, "line: evidence.origin is 'guess'; expected annotation, human", True),
    ("question", "evidence", {"entities": [1.5]}, "line: evidence.entities\\[0\\] is 1.5; expected a whole", True),
    ("annotation", "fps", 0, "line: fps is 0; expected a number above 0", True),
    ("annotation", "fps", 5e-324, "line: fps is 5e-324; expected a number above 0, from 0.000001", True),
    ("annotation", "frame_count", 0, "line: frame_count is 0; expected a whole number from 1", True),
    ("annotation", "width", 640, "line: width and height is \\[640, None\\]; expected both or neither", False),
    ("annotation", "entities.1.id", "f", "line: entities\\[1\\].id is 'f'; expected each id once", False),
    ("annotation", "entities.1.category", "a\x00", "line: entities\\[1\\].category is .*; expected printable", True),
    ("annotation", "entities.1.colour", "red", "line: entities\\[1\\].colour is 'red'; expected no such field", True),
    ("annotation", "boxes.0.entity", "x", "line: boxes\\[0\\].entity is 'x'; expected the id of a listed", False),
    ("annotation", "boxes.0.frame", 3, "line: boxes\\[0\\] is .*; expected a frame or a second, one", True),
    ("annotation", "boxes.0.second", ..., "line: boxes\\[0\\] is .*; expected a frame or a second, one", True),
    ("annotation", "boxes.0.xyxy", [5, 0, 5, 9], "line: boxes\\[0\\].xyxy is .*; expected .* x1 < x2", False),
    ("annotation", "boxes.0.xyxy", [5, 0, 9], "line: boxes\\[0\\].xyxy is .*; expected \\[x1, y1", True),
    ("annotation", "boxes.0.score", 2, "line: boxes\\[0\\].score is 2; expected a number from 0 to 1", True),
    ("annotation", "boxes.0.generated", 1, "line: boxes\\[0\\].generated is 1; expected true or false", True),
    ("annotation", "relations.0.subject", "x", "line: relations\\[0\\].subject is 'x'; expected the id", False),
    (
        "annotation",
        "relations.0.frames",
        [0, 1],
        "line: relations\\[0\\] is .*; expected frames .* one of the two",
        True,
    ),
    (
        "annotation",
        "relations.0.seconds",
        [4, 4],
        "line: relations\\[0\\].seconds is .*; expected .* begin < end",
        False,
    ),
    ("annotation", "relations.0.spatial", "no", "line: relations\\[0\\].spatial is 'no'; expected true or false", True),
    ("annotation", "detector", "yolo", "line: detector is 'yolo'; expected an object", True),
]


@pytest.mark.parametrize(("kind", "field", "value", "message", "in_schema"), BAD)
def test_bad_lines(kind: str, field: str, value: Any, message: str, in_schema: bool) -> None:
    row = with_(QUESTION if kind == "question" else ANNOTATION, field, value)
    parse = parse_question if kind == "question" else parse_annotation
    with pytest.raises(InputError, match=message) as error:
        parse(row, "line")
    assert "\n" not in str(error.value)
    assert VALIDATORS[kind].is_valid(row) is not in_schema


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"boxes": [{"entity": "f", "frame": 50, "xyxy": [0, 0, 1, 1]}]},
            "frame is 50; expected below frame_count, 50",
        ),
        (
            {"boxes": [{"entity": "f", "second": 5.2, "xyxy": [0, 0, 1, 1]}]},
            "second is 5.2; expected a time within .* 5 s",
        ),
        ({"boxes": [{"entity": "f", "frame": 1, "xyxy": [0, 0, 70, 1]}]}, "expected a box inside the frame of 64x48"),
        ({"boxes": [{"entity": "f", "frame": 1, "xyxy": [0, 0, 1, 1]}] * 2}, "expected one box of an entity at a time"),
        (
            {"relations": [{"subject": "f", "predicate": "p", "object": "m", "frames": [3, 51]}]},
            "expected an end of at most frame_count, 50",
        ),
    ],
)
def test_what_is_outside_the_video(changes: dict[str, Any], message: str) -> None:
    row = {**ANNOTATION, "fps": 10, "frame_count": 50, "width": 64, "height": 48, **changes}
    with pytest.raises(InputError, match=message):
        parse_annotation(row)


def test_known_spatial_predicates_are_spatial() -> None:
    assert {*vidor.SPATIAL, *situations.SPATIAL} <= SPATIAL_PREDICATES
    drives, inside = parse_annotation(ANNOTATION).relations
    assert (drives.spatial, inside.spatial) == (False, True)
    said = with_(ANNOTATION, "relations.0.spatial", True)
    assert parse_annotation(said).relations[0].spatial


@given(
    last=st.integers(0, 300),
    places=st.integers(1, 20),
    keys=st.sets(st.integers(0, 300), max_size=80),
)
def test_annotated_frames_go_on_the_grid_and_leave_no_gap(last: int, places: int, keys: set[int]) -> None:
    uniform, keys = uniform_grid(0, last, places), {key for key in keys if key <= last}
    grid = near_grid(uniform, keys)
    assert len(grid) == len(uniform)
    assert all(a < b for a, b in itertools.pairwise(grid))
    assert set(grid) <= {*uniform, *keys}
    if len(keys) <= len(uniform):
        assert keys <= set(grid)
    else:  # no frame moves beyond the middle between it and its neighbours
        steps = [b - a for a, b in itertools.pairwise(uniform)] or [2 * last + 2]
        assert all(2 * abs(new - old) <= max(steps) for new, old in zip(grid, uniform, strict=True))


# Records of one question


def test_a_record_of_one_question() -> None:
    record = cotasks.make_record(QUESTION, ANNOTATION, source="yard")
    assert (record.id, record.source, record.category, record.fps) == ("yard/test/q1", "yard", "question", 1.0)
    assert [frame.index for frame in record.frames] == [0, 1, 2, 3, 4, 5]
    assert [(e.tid, e.category) for e in record.scene.entities] == [(0, "forklift"), (1, "man")]
    assert (record.frame_localization.span_origin, record.frame_localization.entity_origin) == ("whole", "lexical")
    assert [r.predicate for r in record.temporal_relations] == ["drives"]
    assert record.temporal_relations[0].end_frame == 4
    assert [(r.predicate, r.frames) for r in record.spatial_relations] == [("inside", (1, 2))]
    assert record.entity_tracking[0].boxes[0].generated


def test_evidence_becomes_step_1() -> None:
    evidence = {"spans": [[4, 5], [0.5, 1.5], [1.2, 2]], "entities": ["m"], "origin": "human", "used_answer": True}
    a1 = cotasks.make_record({**QUESTION, "evidence": evidence}, ANNOTATION).frame_localization
    assert [(s.start_seconds, s.end_seconds) for s in a1.spans] == [(0.5, 2), (4, 5)]
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("human", "human", True)
    assert [e.category for e in a1.entities] == ["man"]
    assert a1.frames == (1, 2, 4, 5)
    only = cotasks.make_record({**QUESTION, "evidence": {"entities": ["f"]}}, ANNOTATION).frame_localization
    assert [(s.start_seconds, s.end_seconds) for s in only.spans] == [(1, 1)]
    with pytest.raises(InputError, match=r"evidence\.entities is 'x'; expected the id of an entity"):
        cotasks.make_record({**QUESTION, "evidence": {"entities": ["x"]}}, ANNOTATION)


def test_nothing_outside_a_clip_is_told() -> None:
    annotation = {**ANNOTATION, "fps": 10, "frame_count": 60}
    record = cotasks.make_record({**QUESTION, "clip": [4.5, 5.5]}, annotation)
    assert [e.category for e in record.scene.entities] == ["man"]
    assert not record.scene.temporal_relations
    assert (record.frames[0].index, record.frames[-1].index) == (45, 55)


@pytest.mark.parametrize(
    ("question", "annotation", "message"),
    [
        ({"video": "b.mp4"}, {}, "question 'q1': video is 'b.mp4'; expected that of the annotation"),
        ({"clip": [0, 9]}, {"fps": 10, "frame_count": 60}, "clip is 9.*; expected a time within the video's 6 s"),
        (
            {"evidence": {"spans": [[0, 9]]}},
            {"fps": 10, "frame_count": 60},
            "evidence.spans holds .*; expected it within",
        ),
        ({}, {"boxes": [{"entity": "m", "frame": 1, "xyxy": [0, 0, 1, 1]}]}, r"boxes\[0\] is in frames, and no fps"),
        ({}, {"boxes": [], "relations": []}, "nothing tells how long the video is"),
    ],
)
def test_what_makes_no_record(question: dict[str, Any], annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cotasks.make_record({**QUESTION, **question}, {**ANNOTATION, **annotation})


def test_a_name_that_is_taken_is_refused() -> None:
    for name in ("nextqa", "star", "sample", "all", "a/b", ""):
        with pytest.raises(InputError, match=r"source is .*; expected a name without /"):
            cotasks.make_record(QUESTION, ANNOTATION, source=name)


ODD = ("car, red", "man (old)", "car 2", "the car", "a|b", "-", "none", "Frames: x", "x; y", "[1]", "人", "a  b", "_x_")


@pytest.mark.parametrize("name", [*ODD, "car [1, 2, 3, 4]", "and", "5.00s", "is near", "a__b"])
def test_steps_with_odd_names_are_read_back(name: str) -> None:
    """What a prompt tells of them, a model's echo of it says again."""
    triple = {"subject": 0, "predicate": name, "object": 2, "frames": [0, 50]}
    annotation = {
        **{"video": QUESTION["video"], "fps": 10, "frame_count": 100, "width": 100, "height": 100},
        "entities": [{"id": 0, "category": name}, {"id": 1, "category": name}, {"id": 2, "category": "dog"}],
        "boxes": [{"entity": entity, "frame": 5, "xyxy": [0, 0, 50, 50]} for entity in (0, 2)],
        "relations": [{**triple, "spatial": False}, {**triple, "subject": 1, "spatial": True}],
    }
    record = cotasks.make_record({**QUESTION, "question": "?"}, annotation)
    told = view(record, parse_condition("cotasks"))
    context = step_context(told, FAMILIES["qwen2_5_vl"], (100, 100), (100, 100))
    read = [read_step(step, step_text(told.record, step, context), context).value for step in (1, 2, 3, 4)]
    assert read[0].entities == record.frame_localization.entities
    assert read[1:] == [record.entity_tracking, record.spatial_relations, record.temporal_relations]


@pytest.mark.parametrize(
    ("predicate", "text", "is_meant"),
    [
        ("drives", "what does he drive", True),
        ("drives", "who drove here", True),  # a listed verb brings its irregular forms
        ("drives", "is he driven home", True),
        ("drives", "which driver is it", False),
        ("welding", "he welds a pipe", True),
        ("weld", "the pipe was welded", True),
        ("carries", "what is carried", True),
        ("stop", "who stopped", True),
        ("is polishing", "what does she polish", True),
        ("docks with", "it docked with the station", True),
        ("docks with", "it docked at the station", False),
        ("is on", "he looks on", False),  # `on` alone means nothing
    ],
)
def test_words_match_predicates_that_no_list_has(predicate: str, text: str, is_meant: bool) -> None:
    assert match_predicates(text, {predicate, "sings"}) == ({predicate} if is_meant else set())


# Folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Own data about two videos, one of them not annotated."""
    folder = tmp_path / "mine"
    (folder / "annotation").mkdir(parents=True)
    rows = [
        {**QUESTION, "type": "WHAT", "category": "vehicles"},
        {**QUESTION, "id": "q2", "split": "val", "choices": ["a car", "a forklift"]},
        {**QUESTION, "id": "q3", "answer": ["a forklift", "a lift truck"], "evidence": {"spans": [[1, 2]]}},
        {**QUESTION, "id": "mute", "answer": ...},
        {**QUESTION, "id": "lost", "video": "b.mp4"},
    ]
    rows = [{k: v for k, v in row.items() if v is not ...} for row in rows]
    (folder / "questions.jsonl").write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)) + "\n")
    (folder / "annotation/a.jsonl").write_text(json.dumps(ANNOTATION) + "\n")
    (folder / "own.json").write_text(json.dumps({"format": 1, "source": "yard", "license": "cc-by-4.0", "by": "me"}))
    return folder


def test_a_folder_becomes_records(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "built"
    assert main(["build", "own", "--data-dir", str(folder), "--out", str(out)]) == 0
    assert "test: 2 records of 4 questions; skipped 2: 1 no answer, 1 no object annotation" in capsys.readouterr().out
    records = list(load_records(str(out), "test"))
    assert [(r.id, r.source, r.category, r.question_type) for r in records] == [
        ("yard/test/q1", "yard", "vehicles", "WHAT"),
        ("yard/test/q3", "yard", "question", "question"),
    ]
    assert records[1].additional_answers == ("a lift truck",)
    assert records[1].frame_localization.span_origin == "annotation"
    (choice,) = load_records(str(out), "validation")
    assert (choice.answer, choice.answer_index) == ("a forklift", 1)
    build = read_json(out / "own/build.json")
    assert build["left_out"] == {"train": "no question"}
    assert build["splits"]["test"]["own_clock"] == 2
    assert (build["options"]["source"], build["options"]["license"]) == ("yard", "cc-by-4.0")
    assert set(build["sources"]) == {"questions.jsonl", "annotation/a.jsonl", "own.json"}
    assert "license:\n- cc-by-4.0\n" in (out / "README.md").read_text()
    lost = {row["id"]: row["detail"] for row in read_jsonl(out / "own/skipped.jsonl")}
    assert "questions.jsonl:9: video b.mp4 is in no annotation file" in lost["yard/test/lost"]


def test_options_are_stronger_than_own_json(folder: Path, tmp_path: Path) -> None:
    options = BuildOptions("own", data_dir=str(folder), source_name="depot", license="mit")
    build_folder(options, tmp_path / "built")
    assert next(iter(load_records(str(tmp_path / "built"), "test"))).id == "depot/test/q1"
    assert "license:\n- mit\n" in (tmp_path / "built/README.md").read_text()
    with pytest.raises(InputError, match="config star takes no source; leave it out"):
        BuildOptions("star", source_name="depot")


def test_packed_annotation_and_processes_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("own", data_dir=str(folder)), tmp_path / "one")
    plain = folder / "annotation/a.jsonl"
    with gzip.open(f"{plain}.gz", "wb") as file:
        file.write(plain.read_bytes())
    plain.unlink()
    build_folder(BuildOptions("own", data_dir=str(folder)), tmp_path / "two", num_proc=2)
    for one in sorted((tmp_path / "one/own").glob("*.parquet")):
        assert one.read_bytes() == (tmp_path / "two/own" / one.name).read_bytes()


def test_it_loads_by_load_dataset(folder: Path, tmp_path: Path) -> None:
    rows = load_dataset("cotasks", "own", data_dir=str(folder), source="depot", cache_dir=str(tmp_path / "cache"))
    assert {split: rows[split]["id"] for split in rows} == {
        "validation": ["depot/validation/q2"],
        "test": ["depot/test/q1", "depot/test/q3"],
    }


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("questions.jsonl", '{"id": 1}', r"questions\.jsonl:1: id is 1; expected a text"),
        ("questions.jsonl", "[1", r"questions\.jsonl:1: not JSON: .*; expected one object a line"),
        ("questions.jsonl", "\n3", r"questions\.jsonl:2 is 3; expected an object"),
        (
            "questions.jsonl",
            f"{json.dumps(QUESTION)}\n" * 2,
            r"jsonl:2: id is 'q1'; expected each id once; .*jsonl:1 has",
        ),
        (
            "annotation/b.jsonl",
            json.dumps(ANNOTATION),
            r"b\.jsonl:1: video is .*; expected each video once; .*a\.jsonl:1",
        ),
        ("annotation/b.jsonl", '{"video": "b.mp4", "fps": 0}', r"b\.jsonl:1: fps is 0; expected a number above 0"),
        ("own.json", '{"format": 2}', r"own\.json: format is 2; expected 1"),
        ("own.json", '{"source": "star"}', r"source is 'star'; expected a name without /"),
    ],
)
def test_a_wrong_line_stops_the_build(
    folder: Path, tmp_path: Path, file: str, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / file).write_text(text)
    assert main(["build", "own", "--data-dir", str(folder), "--out", str(tmp_path / "built")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1


def test_a_folder_without_annotation_says_which_file(folder: Path, tmp_path: Path) -> None:
    (folder / "annotation/a.jsonl").unlink()
    with pytest.raises(InputError, match=r"annotation\.jsonl: no such file"):
        build_folder(BuildOptions("own", data_dir=str(folder)), tmp_path / "built")


# Videos


def test_the_header_is_read_and_a_clock_of_its_own_is_not_shown(folder: Path, tmp_path: Path) -> None:
    video = tmp_path / "videos/yard/a.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, 60)
    info = probe(video)
    build_folder(BuildOptions("own", data_dir=str(folder)), tmp_path / "clock")
    record = next(iter(load_records(str(tmp_path / "clock"), "test")))
    with pytest.raises(InputError, match="built without the frame rate of its video") as error:
        shown_size(record, parse_condition("baseline"), Videos(tmp_path / "videos", check="off"))
    assert error.value.reason == "built without the frame rate of its video"
    with pytest.raises(InputError, match="expected records built with --videos"):
        cotasks.draw(record, tmp_path / "videos")
    cotasks.draw(record)

    fast = {**ANNOTATION, "boxes": [{"entity": "f", "second": 1.2, "xyxy": [0, 0, 10, 10]}], "relations": []}
    (folder / "annotation/a.jsonl").write_text(json.dumps(fast))
    build_folder(BuildOptions("own", data_dir=str(folder), videos=str(tmp_path / "videos")), tmp_path / "seen")
    record = next(iter(load_records(str(tmp_path / "seen"), "test")))
    assert (record.fps, record.frame_count, record.width) == (info.fps, info.frame_count, info.width)
    assert record.scene.entity_tracking[0].boxes[0].frame == round(1.2 * info.fps)
    assert shown_size(record, parse_condition("baseline"), Videos(tmp_path / "videos")) == (info.width, info.height)
    assert read_json(tmp_path / "seen/own/build.json")["splits"]["test"]["own_clock"] == 0

    (folder / "annotation/a.jsonl").write_text(json.dumps({**fast, "fps": info.fps * 2}))
    with pytest.raises(InputError, match="video with another frame rate"):
        build_folder(BuildOptions("own", data_dir=str(folder), videos=str(tmp_path / "videos")), tmp_path / "third")


def test_the_example_is_what_its_page_says(tmp_path: Path) -> None:
    example = Path(__file__).parents[1] / "examples/own_data"
    build_folder(BuildOptions("own", data_dir=str(example)), tmp_path / "built")
    build = read_json(tmp_path / "built/own/build.json")["splits"]["test"]
    assert (build["records"], build["questions"], build["own_clock"]) == (10, 10, 4)  # the bottles', in seconds
    assert build["categories"] == {"actions": 4, "counting": 3, "things": 3}
    page = (example.parent / "own_data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "own_data.md", "exec"), names)
    assert [e.category for e in names["record"].frame_localization.entities] == ["man", "forklift"]
    questions, annotation = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL))
    assert question_row(parse_question(questions)) in [
        question_row(q) for q in read_questions(example / "questions.jsonl")
    ]
    annotation["relations"].pop()  # of an entity that the page leaves out
    assert parse_annotation(annotation).video == "bottle-detection.mp4"


def test_dataclasses_are_taken_too() -> None:
    question, annotation = parse_question(QUESTION), parse_annotation(ANNOTATION)
    assert cotasks.make_record(question, annotation) == cotasks.make_record(QUESTION, ANNOTATION)
    mute = dataclasses.replace(question, answers=())
    assert cotasks.make_record(mute, annotation).answer == ""
