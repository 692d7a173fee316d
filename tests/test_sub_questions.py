"""Sub-questions: true and false by the annotation, balanced, told apart, and the same every time."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from cotasks.errors import InputError
from cotasks.generate import Sampling
from cotasks.metrics.contrasts import Scores
from cotasks.records.check import check
from cotasks.records.dataset import Records, load_records
from cotasks.records.naming import entity_names
from cotasks.records.schema import Record, SpatialRelation, records_to_table
from cotasks.records.sub_questions import INVERSE, parent_of, sub_questions
from cotasks.studies import run_study
from cotasks.studies.catalog import STUDIES
from cotasks.studies.study import Setup
from cotasks.studies.sub_questions import knows_why
from cotasks.studies.sub_questions import sub_questions as tables_of
from tests.examples import examples
from tests.strategies import records
from tests.test_contrasts import scores_of

QUESTION = re.compile(
    r"(?:At (?P<at>[\d.]+)s|From (?P<first>[\d.]+)s to (?P<last>[\d.]+)s) of the video, "
    r"(?:is this so at any time: \((?P<said>.+)\)|what fits the question mark: \((?P<open>.+), \?\))\?"
)
PLACE = re.compile(r" \[middle at \d+% from the left, \d+% from the top, [\d.]+s\]")


def read(sub: Record) -> tuple[list[str], float, float]:
    """What a sub-question says: names and predicate, and the seconds from the clip's start that it is about."""
    match = QUESTION.fullmatch(sub.question)
    assert match is not None, sub.question
    parts = PLACE.sub("", match["said"] or match["open"]).split(", ")
    times = [float(match["at"] or match[end]) for end in ("first", "last")]
    return parts, times[0], times[1]


def holds(record: Record, subject: int, predicate: str, object_: int, first: float, last: float) -> tuple[bool, bool]:
    """Whether the annotation says so at any time asked about: of the triple, and of it in either direction."""
    found = []
    for one in (*record.scene.spatial_relations, *record.scene.temporal_relations):
        frames = one.frames if isinstance(one, SpatialRelation) else range(one.begin_frame, one.end_frame)
        seconds = [frame / record.fps - record.clip.start_seconds for frame in frames]
        if one.predicate.replace("_", " ") == predicate and any(first - 0.006 <= s <= last + 0.006 for s in seconds):
            found.append((one.subject_tid, one.object_tid))
    return (subject, object_) in found, (subject, object_) in found or (object_, subject) in found


def check_one(record: Record, sub: Record) -> None:
    tid_of = {name: tid for tid, name in entity_names(record.scene.entities).items()}
    parts, first, last = read(sub)
    kind = sub.id.rpartition("-")[2]
    assert sub.choices[sub.answer_index] == sub.answer
    assert parent_of(sub.id) == record.id
    if kind == "which":
        subject, predicate = tid_of[parts[0]], parts[1]
        for choice in sub.choices:
            of = [e.tid for e in record.scene.entities if e.category.replace("_", " ") == choice and e.tid != subject]
            said = [holds(record, subject, predicate, tid, first, last) for tid in of]
            assert any(one for one, _ in said) if choice == sub.answer else not any(either for _, either in said)
    else:
        exactly, either = holds(record, tid_of[parts[0]], parts[1], tid_of[parts[2]], first, last)
        assert sub.choices == ("yes", "no")
        assert sub.answer == kind
        assert exactly if kind == "yes" else not either


@examples(50)
@given(record=records())
def test_answers_are_those_of_the_annotation(record: Record) -> None:
    found = sub_questions(record)
    for sub in found:
        check_one(record, sub)
        changed = {f.name for f in dataclasses.fields(Record) if getattr(sub, f.name) != getattr(record, f.name)}
        assert changed <= {
            *("id", "source", "category", "question_type"),
            *("question", "answer", "additional_answers", "choices", "answer_index"),
        }
    kinds = Counter(sub.id.rpartition("/sub-")[2] for sub in found)
    assert set(kinds.values()) <= {1}
    for step in "34":
        assert kinds[f"{step}-yes"] == kinds[f"{step}-no"]
    assert sub_questions(record) == found


def test_one_of_several_is_named_with_its_place() -> None:
    seen = 0
    for record in load_records("sample", "train"):
        several = Counter(entity.category.replace("_", " ") for entity in record.scene.entities)
        for sub in sub_questions(record):
            check_one(record, sub)
            asked = QUESTION.fullmatch(sub.question)
            assert asked is not None
            for name in re.findall(r"([a-z/ ]+?) \d+(?! from|%)", asked["said"] or asked["open"]):
                if several[name.strip()] > 1:
                    assert f"{name.strip()} " in sub.question
                    assert PLACE.search(sub.question)
                    seen += 1
    assert seen > 10


def test_an_inverse_is_the_same_relation() -> None:
    record = next(
        record
        for record in load_records("sample", "train")
        if len({entity.category for entity in record.scene.entities}) == len(record.scene.entities) > 2
    )
    frames = tuple(frame.index for frame in record.frames)
    one, other, third = (entity.tid for entity in record.scene.entities[:3])
    behind = SpatialRelation(one, "behind", other, frames)

    def asked(*annotated: SpatialRelation) -> dict[str, Record]:
        scene = dataclasses.replace(
            record.scene,
            entities=record.scene.entities[:3],
            spatial_relations=(behind, *annotated),
            temporal_relations=(),
        )
        changed = dataclasses.replace(record, scene=scene, spatial_relations=(behind,), temporal_relations=())
        return {sub.id.rpartition("-")[2]: sub for sub in sub_questions(changed)}

    names = {entity.tid: entity.category.replace("_", " ") for entity in record.scene.entities}
    assert names[third] in asked()["which"].choices
    said = asked(SpatialRelation(third, "in_front_of", one, frames))  # so the first is behind the third, too
    assert "which" not in said
    assert f"({names[one]}, behind, {names[third]})" not in said["no"].question
    assert INVERSE["beneath"] == {"above", "over"}
    assert all(one in INVERSE[other] for one in INVERSE for other in INVERSE[one])


@pytest.fixture(scope="module")
def loaded() -> Records:
    return load_records("sample#sub-questions", "validation", limit=10)


def test_they_load_as_a_data_set_of_their_own(loaded: Records) -> None:
    of = load_records("sample", "validation", limit=10)
    assert {parent_of(id_) for id_ in loaded.ids} <= set(of.ids)
    assert loaded.is_sample
    assert loaded.video_folder() == of.video_folder()
    assert loaded.fingerprint != of.fingerprint
    assert loaded.fingerprint == load_records("sample#sub-questions", "validation", limit=10).fingerprint
    check(records_to_table(loaded), "sub-questions")
    assert [record.id for record in loaded] == loaded.ids
    order = list(dict.fromkeys(loaded.video_ids))
    assert order == [video for video in dict.fromkeys(of.video_ids) if video in order]
    with pytest.raises(InputError, match="sub-questions have none of their own"):
        loaded.sub_questions()


def test_records_without_triples_have_none() -> None:
    of = load_records("sample", "validation", limit=3)
    bare = dataclasses.replace(
        of, rows=of.rows.map(lambda row: {**row, "spatial_relations": [], "temporal_relations": []})
    )
    with pytest.raises(InputError, match="no sub-questions; expected triples in step 3 or 4"):
        bare.sub_questions()


def test_knowing_why_takes_all_of_them() -> None:
    parts = {"a": ["a/1", "a/2"], "b": ["b/1"], "c": ["c/1", "c/2"]}
    right = {"a/1": 1.0, "a/2": 0.0, "b/1": 1.0, "c/1": 1.0}
    assert knows_why(right, parts) == {"a": 0.0, "b": 1.0}  # of c one has no verdict


def test_right_and_knows_why_by_hand() -> None:
    scores: Scores = scores_of({"baseline": [100.0, 100.0, 0.0, 0.0], "cotasks": [100.0] * 4}, ["v", "v", "w", "w"])
    ids = scores.ids
    questions: dict[str, Any] = {
        f"{id_}/sub-3-{kind}": {
            "video_id": video,
            "category": "spatial relations",
            "question_type": "yes or no",
            "choices": ["yes", "no"],
        }
        for id_, video in zip(ids[:3], scores.video_ids, strict=False)
        for kind in ("yes", "no")
    }
    right = {"baseline": dict(zip(ids, [1.0, 1.0, 0.0, 0.0], strict=True)), "cotasks": dict.fromkeys(ids, 1.0)}
    first = dict.fromkeys(questions, 1.0)
    sub_right = {"baseline": {**first, f"{ids[0]}/sub-3-no": 0.0}, "cotasks": first}
    found = tables_of(scores, right, sub_right, questions)
    means = {(r["condition"], r["measure"]): r["mean"] for r in found["means"] if r["group"] == "all"}
    assert means["baseline", "answered right"] == pytest.approx(200 / 3)  # the fourth has no sub-question
    assert means["baseline", "knows why"] == pytest.approx(200 / 3)
    assert means["baseline", "answered right and knows why"] == pytest.approx(100 / 3)
    assert means["cotasks", "answered right and knows why"] == 100
    assert means["guesses", "knows why"] == 25
    [share] = [r for r in found["shares"] if r["condition"] == "baseline" and r["group"] == "all"]
    assert share["value"] == pytest.approx(0.5)
    [gain] = [r for r in found["differences"] if r["group"] == "all" and r["measure"] == "answered right and knows why"]
    assert gain["mean"] == pytest.approx(200 / 3)
    assert np.isclose(next(r["mean"] for r in found["sub-questions"] if r["condition"] == "baseline"), 500 / 6)


def test_without_a_baseline_the_first_condition_is_compared_with() -> None:
    """A model without eyes is asked under conditions without video."""
    conditions = ["blind", "blind-cotasks:boxes=1"]
    scores = scores_of({conditions[0]: [0.0, 100.0], conditions[1]: [100.0, 100.0]}, ["v", "w"])
    kind = {"category": "spatial relations", "question_type": "yes or no", "choices": ["yes", "no"]}
    questions = {f"{id_}/sub-3-yes": {"video_id": "v", **kind} for id_ in scores.ids}
    right = {conditions[0]: {"q0": 0.0, "q1": 1.0}, conditions[1]: dict.fromkeys(scores.ids, 1.0)}
    found = tables_of(scores, right, dict.fromkeys(conditions, dict.fromkeys(questions, 1.0)), questions)
    assert {row["name"] for row in found["differences"]} == {"blind-cotasks:boxes=1 - blind"}
    [gain] = [r for r in found["differences"] if r["group"] == "all" and r["measure"] == "answered right"]
    assert gain["mean"] == 50
    study = STUDIES["sub-questions"]
    assert study.conditions(Setup(records=None, grid=1, conditions=conditions)) == conditions  # type: ignore[arg-type]
    assert study.pictures(found)


def test_other_conditions_are_for_this_study_only(tmp_path: Path) -> None:
    of = load_records("sample", "validation", limit=1)
    with pytest.raises(InputError, match="condition 'blind' for study bias, which has its own; expected sub-questions"):
        run_study("bias", of, "tiny", tmp_path, conditions=["blind"])


def test_the_study_asks_both_and_joins_them(tmp_path: Path) -> None:
    of = load_records("sample", "validation", limit=1)
    of = dataclasses.replace(of, rows=of.rows.select([0, 4]))
    paths, complete = run_study(
        "sub-questions", of, "tiny", tmp_path, sampling=Sampling(max_new_tokens=2), progress=False
    )
    assert complete
    assert paths is not None
    summary = json.loads(paths.summary.read_bytes())
    asked = (tmp_path / "sub-questions" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(asked) == len(of.sub_questions())
    settings_ = json.loads((tmp_path / "sub-questions" / "run.json").read_bytes())
    assert settings_["dataset"]["name"] == "sample#sub-questions"
    assert {row["measure"] for row in summary["tables"]["means"]} == {
        *("answered right", "knows why", "answered right and knows why")
    }
    assert "guesses" in paths.markdown.read_text(encoding="utf-8")
