"""Step 1 by marks: numbers on the frames, answered with numbers, back as instances."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.look.drawing import track_styles
from cotasks.look.marks import draw_marks
from cotasks.models.families import FAMILIES
from cotasks.prompts.condition import Condition, condition_settings, read_condition
from cotasks.prompts.prompt import build_prompt, step_context
from cotasks.prompts.view import view
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record
from cotasks.sample import DATA_DIR
from cotasks.sample.stories import stories
from cotasks.steps import frame_localization
from cotasks.steps.marks import legend, mark_names, marks_of, proposed_entities
from cotasks.steps.naming import open_context
from cotasks.steps.table import read_step
from cotasks.tools.files import read_jsonl
from tests.audit_records import make_record, write_folder
from tests.examples import examples
from tests.model_options import grouped
from tests.strategies import records

MARKED = Condition("step-1", asks=1, marks=True)
PEERS = {"2404040404": ("boy", "girl"), "2909090909": ("yellow", "grey")}
"""Clips of the sample in which a category has two instances, and the words that tell them apart on the picture."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, set[int]]]:
    """(a folder with the questions of these clips that name one of the two, record id -> the tids that they name)."""
    actors = {s.clip.video_id: s.clip.actors for s in stories("train")}
    found, truth = [], {}
    for record in load_records("sample", "train"):
        words = set(record.question.split())
        peers = PEERS.get(record.video_id, ())
        if len(words & set(peers)) == 1:
            [word] = words & set(peers)
            [tid] = [actor.tid for actor in actors[record.video_id] if word in (actor.kind, actor.colour)]
            found.append(record)
            truth[record.id] = {tid}
    folder = tmp_path_factory.mktemp("marks")
    write_folder(folder / "data", {"train": found}, "sample")
    return folder / "data", truth


def instance_f1(
    folder: Path, records: Records, truth: dict[str, set[int]], answer: Callable[[Record, str], str]
) -> float:
    """Mean F1 of entities of what is built from the answers of a marker to what it was shown."""
    pytest.importorskip("openai")
    from cotasks.generate.server.model import ServerOptions
    from cotasks.predict.run import LOCALIZATION, predict
    from tests.judge_server import completion
    from tests.model_server import MODEL, ModelServer, texts_of

    def mark(number: int, request: Any) -> Any:
        text = "".join(texts_of(request))
        record = next(record for record in records if f"Question: {record.question}\n" in text)
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return completion(answer(record, text), model=MODEL, usage=usage)

    with ModelServer(mark) as server:
        options = ServerOptions(server.url, concurrency=2, check_frames=False)
        quick: dict[str, Any] = {"progress": False, **grouped(workers=1, max_new_tokens=64)}
        result = predict(
            records,
            MODEL,
            folder / "run",
            steps=(1,),
            marks=True,
            videos=Path(DATA_DIR) / "videos",
            server=options,
            **quick,
        )
    assert result.complete
    assert result.read[1].unread == 0
    path = folder / "run" / LOCALIZATION
    assert {row["id"] for row in read_jsonl(path)} == truth.keys()
    build_folder(BuildOptions("sample", localization=str(path)), folder / "built", ["train"])
    scores = []
    for built in load_records(str(folder / "built"), "train"):
        assert built.frame_localization.entity_origin == "model"
        assert not built.frame_localization.used_answer
        entities = tuple(e for e in built.scene.entities if e.tid in truth[built.id])
        right = dataclasses.replace(built.frame_localization, entities=entities)
        score = frame_localization.score(built.frame_localization, right, context_of(built))
        scores.append(score.entity_f1)
    assert len(scores) == len(truth) > 5
    return float(np.mean([score for score in scores if score is not None]))


def context_of(record: Record, condition: Condition = MARKED, family: str = "qwen2_5_vl") -> Any:
    size = (record.width or 1, record.height or 1)
    return step_context(view(record, condition), FAMILIES[family], size, size)


def test_marks_name_instances_and_categories_do_not(
    asked: tuple[Path, dict[str, set[int]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found, truth = load_records(str(asked[0]), "train"), asked[1]

    def oracle(record: Record, text: str) -> str:
        numbers = dict(marks_of(record.scene, record.frames))
        named = sorted(numbers[tid] for tid in truth[record.id])
        categories = {entity.tid: entity.category for entity in record.scene.entities}
        for tid, number in numbers.items():
            assert f"{number} {categories[tid]}" in text
        return f"Frames: 0.00s to 1.00s\nEntities: {', '.join(map(str, named))}"

    def by_category(record: Record, text: str) -> str:
        names = {entity.category for entity in record.scene.entities if entity.tid in truth[record.id]}
        return f"Frames: 0.00s to 1.00s\nEntities: {', '.join(sorted(names))}"

    assert instance_f1(tmp_path / "oracle", found, truth, oracle) == 1.0
    assert instance_f1(tmp_path / "category", found, truth, by_category) < 0.7


def test_numbers_stand_on_the_frames_where_the_boxes_are() -> None:
    record = make_record(entities=("dog", "adult", "dog"))
    marks = marks_of(record.scene, record.frames[:2])
    assert marks == ((0, 1), (1, 2), (2, 3))
    blank = np.full((2, 240, 320, 3), 255, np.uint8)
    still = make_record(entities=("dog", "cup"), boxes={0: record.scene.entity_tracking[0].boxes[:1]})
    drawn = draw_marks(blank, [0, 10], still.scene, ((0, 1),), (640, 480))
    assert (blank == 255).all()
    assert (drawn[1] == 255).all()  # no marked box there: the cup is not marked
    colour = tuple(bytes.fromhex(track_styles([0])[0][0].removeprefix("#")))
    x1, y1, x2, y2 = (round(v / 2) for v in still.scene.entity_tracking[0].boxes[0].xyxy)
    assert tuple(drawn[0, (y1 + y2) // 2, x2 - 1]) == colour
    assert tuple(drawn[0, y2 - 1, (x1 + x2) // 2]) == colour
    assert (drawn[0, y2 + 30 :] == 255).all()


def test_the_prompt_lists_the_marks() -> None:
    record = make_record(entities=("dog", "adult", "dog", "ball/sports_ball"), boxes={1: ()})
    prompt = build_prompt(record, MARKED, FAMILIES["qwen2_5_vl"], (640, 480), (640, 480))
    text = prompt.messages[0]["content"][-1]["text"]
    assert "each with its number: 1 dog, 2 dog, 3 ball/sports ball." in text
    assert prompt.marks == ((0, 1), (2, 2), (3, 3))
    assert "Answer: " not in text
    told = build_prompt(record, dataclasses.replace(MARKED, tells_answer=True), FAMILIES["qwen3_vl"], (9, 9), (9, 9))
    assert f"\nAnswer: {record.answer}\n" in told.messages[0]["content"][-1]["text"]
    nothing = make_record(boxes={0: (), 1: ()})
    assert legend(nothing.scene.entities, marks_of(nothing.scene, nothing.frames)) == "none"


@pytest.mark.parametrize("family", ["qwen2_5_vl", "internvl"])
@pytest.mark.parametrize(
    ("said", "entities"),
    [
        ("1, 3", [0, 2]),
        ("3", [2]),
        ("dog 3, adult", [1, 2]),
        ("1 and 3", [0, 2]),
        ("1 dog, #2", [0, 1]),
        ("box 3", [2]),
        ("[1, 2]", [0, 1]),
        ("dog", ["dog"]),  # two of them: left to the build, which takes both
        ("a unicorn", ["unicorn"]),
        ("9", []),
        ("dog 9", []),  # no mark; the build would count dogs
        ("none", []),
    ],
)
def test_numbers_are_read_as_instances(said: str, entities: list[str | int], family: str) -> None:
    from cotasks.predict.run import _proposal
    from cotasks.steps.predicted import PredictedSteps

    record = make_record(entities=("dog", "adult", "dog"))
    text = f"Frames: {'frame 1 to frame 2' if family == 'internvl' else '0.0s to 1.0s'}\nEntities: {said}"
    context = open_context(context_of(record, family=family), {1: text})
    parsed = read_step(1, text, context)
    a1 = parsed.value
    steps = PredictedSteps(frame_localization=a1, names=tuple((e.tid, context.names[e.tid]) for e in a1.entities))
    marks = marks_of(record.scene, record.frames)
    assert sorted(_proposal(record, "M", steps, text, parsed.unread, marks)["entities"], key=str) == entities
    assert proposed_entities(a1.entities, dict(steps.names), marks) == entities
    assert a1.frames == (0, 10)


def test_every_mark_is_read_back() -> None:
    record = make_record(entities=("dog", "adult", "dog"))
    marks = marks_of(record.scene, record.frames)
    names, others = mark_names(record.scene.entities, marks)
    assert dict(names) == {0: "1", 1: "2", 2: "3"}
    context = context_of(record)
    for tid, name in (*names, *others):
        found = context.entity(name)
        assert found is not None
        assert found.tid == tid
    assert (1, "adult") in others
    assert (0, "dog") not in others


@examples(40)
@given(record=records(), family=st.sampled_from(("qwen2_5_vl", "internvl", "qwen3_vl")), data=st.data())
def test_marks_round_trip(record: Record, family: str, data: st.DataObject) -> None:
    """Step 1 written with marks reads back as it was, and any choice of numbers as those instances."""
    marks = marks_of(record.scene, record.frames)
    assert [number for _, number in marks] == list(range(1, len(marks) + 1))
    context = context_of(record, family=family)
    chosen = set(data.draw(st.lists(st.sampled_from(marks), unique=True)) if marks else [])
    frames = tuple(data.draw(st.sets(st.sampled_from([f.index for f in record.frames]), min_size=1)))
    entities = tuple(e for e in context.entities if e.tid in dict(chosen))
    a1 = dataclasses.replace(record.frame_localization, frames=tuple(sorted(frames)), entities=entities)
    text = frame_localization.render(a1, context)
    assert text.endswith("Entities: " + (", ".join(str(n) for n in sorted(n for _, n in chosen)) or "none"))
    read = read_step(1, text, context)
    assert not read.unread
    assert (read.value.frames, {e.tid for e in read.value.entities}) == (a1.frames, set(dict(chosen)))


def test_a_condition_with_marks_is_kept_and_odd_ones_are_refused() -> None:
    assert read_condition(json.loads(json.dumps(condition_settings(MARKED)))) == MARKED
    assert "marks" not in condition_settings(Condition("baseline"))
    for odd in ({"asks": 2}, {"asks": None}, {"video": False}):
        with pytest.raises(InputError, match="marks without a video"):
            dataclasses.replace(MARKED, **odd)
    from cotasks.predict.run import predict

    with pytest.raises(InputError, match="marks for steps"):
        predict(load_records("sample", "test", limit=1), "tiny", "none", marks=True)
