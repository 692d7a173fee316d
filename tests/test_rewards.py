"""Rewards: what texts earn, that it is what a step table says, and that gaming earns nothing beyond its baseline."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.evidence import predicted_steps, read_evidence, write_evidence
from cotasks.evidence.evidence import TimedBox, with_boxes
from cotasks.evidence.truth import evidence_of
from cotasks.prompts.condition import Condition, condition_settings
from cotasks.prompts.corruption import corrupt
from cotasks.prompts.prompt import question_text
from cotasks.records.boxes import parse_box
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record, records_to_table
from cotasks.rewards import (
    REWARDS,
    WEIGHTS,
    Asked,
    Scorer,
    answer_reward,
    boxes_reward,
    consistency_reward,
    entities_reward,
    format_reward,
    frames_reward,
    length_reward,
    read_text,
    reward,
    silence_reward,
    swift_reward,
    triples_reward,
    trl_rewards,
    trl_sum,
    true_text,
)
from cotasks.rewards.asked import truth_of
from cotasks.rewards.judged import JudgedAnswers
from cotasks.rewards.trainers import KEPT
from cotasks.runs.predictions import prediction_row, read_predictions, write_predictions
from cotasks.step_scores.baselines import BASELINES, pool
from cotasks.step_scores.table import plain_context, scores_of
from cotasks.steps.context import StepContext
from cotasks.steps.entity_tracking import BOXES_PER_ENTITY
from cotasks.steps.reading import is_unreadable, read_steps, unreadable_scores
from cotasks.steps.scoring import score_steps
from cotasks.steps.sections import ANSWER, read_sections, write_sections
from cotasks.steps.table import STEPS, step_text
from cotasks.tools.files import dump_json
from tests.judge_server import JudgeServer, asked_about, completion, verdict
from tests.strategies import contexts, records
from tests.test_step_damage import DAMAGES, STEP_2_DAMAGES

CHAIN = Asked()
OPEN_O3 = Asked(steps=(1, 2), form="open-o3")
QWEN = Asked(steps=(1, 2), form="qwen")
FUNCTIONS = {
    "format": format_reward,
    "frames": frames_reward,
    "entities": entities_reward,
    "boxes": boxes_reward,
    "triples": triples_reward,
    "silence": silence_reward,
    "answer": answer_reward,
    "consistency": consistency_reward,
    "length": length_reward,
}


@pytest.fixture(scope="module")
def sample() -> list[Record]:
    return list(load_records("sample", "validation", limit=10))


def parts_of(record: Record, text: str, asked: Asked = CHAIN) -> dict[str, float | None]:
    return dict(reward(record, text, asked=asked).parts)


# --- what the truth earns, and what is measured


@pytest.mark.parametrize("asked", [CHAIN, OPEN_O3, QWEN, Asked(family="qwen3_vl"), Asked(family="qwen2_vl")], ids=str)
def test_the_truth_earns_all(asked: Asked, sample: list[Record]) -> None:
    for record in sample:
        text = true_text(record, asked)
        found = reward(record, text, asked=asked)
        assert found.unread == ()
        assert found.value is not None
        assert found.value > 0.97
        for part, value in found.parts.items():
            if not part.startswith(("boxes", "consistency")):  # boxes are rounded, and triples may end after step 1
                assert value in (None, 1.0), part
        assert found.parts["boxes"] is not None
        assert found.parts["boxes"] > 0.9
        if asked.form == "steps":
            steps, _, answer = text.rpartition("\nAnswer: ")
            thought = f"<think>{steps}</think><answer>{answer}</answer>"
            same = reward(record, thought, asked=asked)
            assert same.parts == found.parts


def test_each_reward_alone(sample: list[Record]) -> None:
    assert list(FUNCTIONS) == [*REWARDS]
    assert set(WEIGHTS) == set(REWARDS)
    record = sample[0]
    text = true_text(record, CHAIN).replace("Frames: ", "Frames: nonsense; ")
    together = reward(record, text)
    for name, function in FUNCTIONS.items():
        alone = function(record, text)
        assert alone.value == alone.parts[name] == together.parts[name]
        assert alone.unread == together.unread == ("nonsense",)
    assert 0 < (format_reward(record, text).value or 0) < 1
    measured = {name: value for name, value in together.parts.items() if name in WEIGHTS and value is not None}
    total = sum(WEIGHTS[name] * value for name, value in measured.items())
    assert together.value == pytest.approx(total / sum(WEIGHTS[name] for name in measured))


TEXTS = ("", "none", "A", "Step 1\nFrames: none", "I cannot tell.", "<think>hm", "{}", "<answer>", "Answer: the dog")


@pytest.mark.parametrize("asked", [CHAIN, OPEN_O3, Asked((3,), answer=False), Asked((), answer=True)], ids=str)
def test_what_is_measured_follows_from_the_record(asked: Asked, sample: list[Record]) -> None:
    """No text chooses by what it is judged: the same parts are None whatever it says."""
    for record in sample[:8]:
        undefined = {part for part, value in parts_of(record, true_text(record, asked), asked).items() if value is None}
        for text in TEXTS:
            found = parts_of(record, text, asked)
            assert {part for part, value in found.items() if value is None} == undefined, text
            assert all(value is None or 0 <= value <= 1 for value in found.values())


def test_what_cannot_be_measured_is_none(sample: list[Record]) -> None:
    record = next(record for record in sample if not record.spatial_relations)
    found = parts_of(record, true_text(record, CHAIN))
    assert found["triples/spatial_f1"] is None
    assert found["silence/no_spatial"] == 1
    sizeless = dataclasses.replace(record, width=None, height=None)
    assert boxes_reward(sizeless, true_text(sizeless, CHAIN)).value is None
    assert frames_reward(sizeless, true_text(sizeless, CHAIN)).value == 1
    unjudged = reward(record, true_text(record, CHAIN), judge=lambda question, said: None)
    assert unjudged.parts["answer"] is unjudged.parts["consistency"] is unjudged.parts["length"] is None
    assert reward(record, "x", {"triples": 1.0}, Asked(steps=(1,))).value is None


def test_a_step_that_is_missing_earns_nothing(sample: list[Record]) -> None:
    record = next(record for record in sample if record.spatial_relations)
    whole = true_text(record, CHAIN)
    begin, end = whole.index("Step 3"), whole.index("Step 4")
    found = parts_of(record, whole[:begin] + whole[end:])
    assert found["triples/spatial_f1"] == 0
    assert found["frames"] == 1
    assert (found["format"] or 0) < 1
    quiet = next(record for record in sample if not record.spatial_relations)
    text = true_text(quiet, CHAIN)
    assert (
        parts_of(quiet, text.replace(text[text.index("Step 3") : text.index("Step 4")], ""))["silence/no_spatial"] == 0
    )


def test_answers_by_rule_and_by_judge(sample: list[Record]) -> None:
    record = sample[0]
    row = dataclasses.replace(record, choices=(), answer_index=-1, answer="a red ball")
    for said, rule, value in [
        ("a red ball", "exact", 1.0),
        ("the ball", "exact", 0.0),
        ("<think>no</think>the ball", "f1", 2 / 3),
        ("I do not know", "f1-new", 0.0),
    ]:
        assert answer_reward(row, said, Asked((), rule=rule)).value == pytest.approx(value), said
    assert answer_reward(row, "x", Asked(()), judge=lambda question, said: 0.25).value == 0.25
    if record.choices:
        right = "ABCDE"[record.answer_index]
        assert answer_reward(record, f"So the answer is {right}.", Asked(())).value == 1
        assert answer_reward(record, "A, B, C, D or E", Asked(())).value == 0


def test_bad_input(sample: list[Record]) -> None:
    for wrong, message in [
        ({"form": "prose"}, "form 'prose'; expected one of steps, castbench"),
        ({"family": "gpt"}, "family 'gpt'"),
        ({"rule": "guess"}, "rule 'guess'"),
        ({"steps": (2, 1)}, r"steps \(2, 1\)"),
        ({"steps": (1, 3), "form": "qwen"}, r"steps \(1, 3\) in the form 'qwen'"),
        ({"steps": (), "answer": False}, "neither steps nor an answer"),
    ]:
        with pytest.raises(InputError, match=message):
            Asked(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="reward 'beauty'; expected one of format, frames"):
        reward(sample[0], "", {"beauty": 1.0})
    with pytest.raises(InputError, match="weight 0 of frames"):
        reward(sample[0], "", {"frames": 0})


# --- equal to a step table


def damaged_steps(record: Record, context: StepContext, noise: random.Random) -> dict[int, str]:
    """The steps of a corrupted record as a model might write them."""
    said = corrupt(record, noise.choice((0.0, 0.3, 0.9)), noise.randrange(1000))
    texts = {step: step_text(said, step, context) for step in STEPS}
    for step in texts:
        for damage in noise.sample(STEP_2_DAMAGES if step == 2 else DAMAGES, noise.choice((0, 0, 1, 2))):
            texts[step] = damage(texts[step], noise)
    return texts


def varied(sample: list[Record], count: int) -> list[Record]:
    """Records of their own ids, each with other true steps."""
    return [
        dataclasses.replace(corrupt(sample[n % len(sample)], 0.5, n), id=f"{sample[n % len(sample)].id}/{n}")
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_rewards_are_the_scores_of_a_step_table(count: int, sample: list[Record], tmp_path: Path) -> None:
    noise = random.Random(count)
    many = varied(sample, count)
    # a predictions folder of the texts, and its scores
    texts: dict[str, dict[int, str]] = {}

    def rows() -> Iterator[dict[str, Any]]:
        for record in many:
            context = truth_of(record, CHAIN).context
            texts[record.id] = damaged_steps(record, context, noise)
            steps, parsed, _ = read_steps(texts[record.id], context)
            yield prediction_row(record.id, "m", "own", steps, texts[record.id], (), parsed)

    (tmp_path / "generations").mkdir()
    condition = Condition("step-1", asks=1)
    dump_json(
        tmp_path / "run.json",
        {
            "conditions": {condition.name: condition_settings(condition)},
            "predict": {"steps": [1, 2, 3, 4], "given": "own", "with_answer": False},
        },
    )
    write_predictions(tmp_path, "validation", rows())
    loaded = Records("varied", "default", "validation", None, Dataset(records_to_table(many)), "")
    table = scores_of(loaded, read_predictions(tmp_path))
    # the same texts, read as one
    seen = 0
    for record in many:
        whole = write_sections(texts[record.id])
        stripped = {step: text.strip() for step, text in texts[record.id].items()}
        if read_sections(whole).steps != stripped or not all(stripped.values()):
            continue  # the damage has made a title of a line, or left nothing
        read = read_text(record, whole, CHAIN)
        assert {step: dict(scores) for step, scores in read.scores.items()} == table[record.id], whole
        seen += 1
        step = noise.choice([*STEPS])  # and a step by itself, not told of the others
        alone = read_text(record, texts[record.id][step], Asked((step,), answer=False))
        steps, parsed, _ = read_steps({step: texts[record.id][step]}, truth_of(record, CHAIN).context)
        expected = score_steps(steps, record, plain_context(record, steps.entities), boxes_per_entity=BOXES_PER_ENTITY)
        unreadable = is_unreadable(step, parsed[step])
        assert alone.scores == {step: unreadable_scores(expected[step]) if unreadable else expected[step]}
    assert seen > 0.7 * count


# --- gaming


def everything(record: Record, among: Any) -> str:
    truth = truth_of(record, CHAIN)
    said = BASELINES["everything"](truth.record, among)
    texts = {s.number: s.render(getattr(said, s.field), truth.context, BOXES_PER_ENTITY) for s in STEPS.values()}
    return write_sections(texts, ", ".join("ABCDEFGH"[: len(record.choices)]) or record.question)


NONE = write_sections({1: "Frames: none\nEntities: none", 2: "none", 3: "none", 4: "none"}, "none of these")
STRATEGIES: dict[str, tuple[str, Callable[[Record, Any], str]]] = {
    "none": ("says none", lambda record, among: NONE),
    "nothing": ("says none", lambda record, among: ""),
    "everything": ("everything", everything),
    "copy the question": ("says none", lambda record, among: question_text(record)),
    "copy the question, with titles": (
        "says none",
        lambda record, among: write_sections(dict.fromkeys(STEPS, record.question), record.question),
    ),
}
STEP_PARTS = {
    "frames/frame_f1": (1, "frame_f1"),
    "frames/time_iou": (1, "span_iou"),
    "entities": (1, "entity_f1"),
    "boxes/box_iou": (2, "mean_iou"),
    "boxes/viou": (2, "viou"),
    "triples/spatial_f1": (3, "triple_f1"),
    "triples/temporal_f1": (4, "span_f1"),
    "silence/no_spatial": (3, "none_when_there_is_none"),
    "silence/no_temporal": (4, "none_when_there_is_none"),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_gaming_earns_no_more_than_its_baseline(name: str, sample: list[Record]) -> None:
    among = pool(sample)
    open_ended = [
        dataclasses.replace(r, choices=(), answer_index=-1, answer=r.choices[r.answer_index]) if r.choices else r
        for r in sample[:6]
    ]
    baseline, make = STRATEGIES[name]
    values = []
    for record in [*sample, *open_ended]:
        found = parts_of(record, make(record, among))
        said = BASELINES[baseline](record, among)
        expected = score_steps(said, record, plain_context(record), boxes_per_entity=BOXES_PER_ENTITY)
        for part, (step, score) in STEP_PARTS.items():
            earned, most = found[part], expected[step][score]
            assert (earned is None) == (most is None), part
            assert (earned or 0) <= (most or 0) + 0.01, (part, record.id)  # boxes are rounded
        assert found["answer"] == found["consistency"] == found["length"] == 0
        silent = [score.get("none_when_there_is_none") is not None for score in expected.values()]
        if name != "everything":  # form is all that it has: see the head of `parts`
            assert (found["format"] or 0) <= (1 + sum(silent)) / 5
        values.append(reward(record, make(record, among)).value or 0)
    if name != "everything":
        assert fmean(values) < 0.1
    assert max(values) < 0.5


def test_a_guess_after_everything_earns_no_more_than_the_guess(sample: list[Record]) -> None:
    among = pool(sample)
    for record in sample:
        if record.choices:
            text = everything(record, among).rpartition("Answer:")[0] + "Answer: A"
            found = parts_of(record, text)
            assert (found["consistency"] or 0) <= (found["answer"] or 0)
            assert (found["length"] or 0) <= (found["answer"] or 0)


def test_length_falls_by_a_line(sample: list[Record]) -> None:
    record = sample[0]
    text = true_text(record, Asked((1,)))
    words = len(text.split())

    def earned(longest: int) -> float | None:
        return length_reward(record, text, Asked((1,), longest=longest)).value

    assert earned(words) == 1
    assert earned(words // 2) == pytest.approx(2 - words / (words // 2))
    assert earned(words // 3) == 0
    assert length_reward(record, text.rpartition("Answer: ")[0] + "Answer: a pear", Asked((1,))).value == 0


# --- texts of every kind


@pytest.mark.parametrize("count", [120, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_texts_are_read_without_an_exception(count: int, sample: list[Record]) -> None:
    noise = random.Random(count)
    asked = (CHAIN, OPEN_O3, QWEN, Asked(steps=(2,), answer=False), Asked(steps=(1, 2), form="castbench"))
    whole = {(a, r.id): true_text(r, a) for a in asked for r in sample}
    values = []
    for number in range(count):
        record, one = noise.choice(sample), asked[number % len(asked)]
        text = whole[one, record.id]
        for damage in noise.sample(STEP_2_DAMAGES, noise.randint(1, 3)):
            text = damage(text, noise)
        found = reward(record, text, asked=one)
        assert found.value is not None
        assert 0 <= found.value <= 1
        assert all(value is None or 0 <= value <= 1 for value in found.parts.values())
        values.append(found.value)
    assert 0.1 < fmean(values) < 0.9


TEXT = st.text(st.characters(codec="utf-8"), max_size=60).map(str.strip)
LINES = TEXT.filter(
    lambda text: (
        text != "" and text[0] not in "*_` " and read_sections(text).order == () and "answer" not in text.lower()
    )
)


@given(st.dictionaries(st.sampled_from([*STEPS]), LINES), LINES)
def test_sections_are_read_back(texts: dict[int, str], answer: str) -> None:
    found = read_sections(write_sections(texts, answer))
    assert found.steps == texts
    assert found.answer == answer
    assert found.order == (*sorted(texts), ANSWER)
    assert found.in_order
    assert found.rest == ""


@pytest.mark.parametrize(
    ("text", "steps", "answer", "rest"),
    [
        ("**Step 1**\nFrames: 0s\n**Final answer:** C", {1: "Frames: 0s"}, "C", ""),
        ("<step_3>(a, on, b)</step_3> so <answer>B</answer>", {3: "(a, on, b)"}, "B", "so"),
        (
            "## Spatial relations:\n(a, on, b)\n\nTemporal relations (later): none",
            {3: "(a, on, b)", 4: "none"},
            None,
            "",
        ),
        ("Step 1: x\nStep 1: y\nAnswer: A\nAnswer: B", {1: "y"}, "B", ""),
        ("<think>Step 2: a: 0s [1, 2, 3, 4]</think>C", {2: "a: 0s [1, 2, 3, 4]"}, None, "C"),
        ("The answer: B", {}, "B", ""),
        ("in step 2 of the stairs", {}, None, "in step 2 of the stairs"),
    ],
)
def test_titles(text: str, steps: dict[int, str], answer: str | None, rest: str) -> None:
    found = read_sections(text)
    assert (found.steps, found.answer, found.rest) == (steps, answer, rest)


@given(st.data())
def test_evidence_of_a_record_is_read_back(data: st.DataObject) -> None:
    record = data.draw(records())
    context = data.draw(contexts(record))
    form = data.draw(st.sampled_from(["open-o3", "qwen"]))
    most = data.draw(st.sampled_from([1, 8]))
    text = write_evidence(evidence_of(record, context, "B", most), form)
    read = read_evidence(text)
    assert read.answer == "B"
    assert read.unread == ()

    def pixels(box: TimedBox) -> TimedBox:
        return TimedBox(box.second, parse_box(box.numbers, context.source_size, context.coordinates))

    found = predicted_steps(record, read, with_boxes(read, pixels)).steps
    a1 = record.frame_localization
    assert found.frame_localization is not None
    assert found.frame_localization.frames == a1.frames
    assert found.frame_localization.entities == a1.entities
    units = [side / scale for side, scale in zip(context.source_size, context.coordinates.scale, strict=True)]
    half = [0.5 * unit * 10**-context.coordinates.decimals + 1e-6 for unit in units]
    true = {(t.tid, box.frame): box.xyxy for t in record.entity_tracking for box in t.boxes}
    read_boxes = {(t.tid, box.frame): box.xyxy for t in found.entity_tracking or () for box in t.boxes}
    assert read_boxes.keys() <= true.keys()
    for at, xyxy in read_boxes.items():
        assert all(abs(a - b) <= h for a, b, h in zip(xyxy, true[at], half * 2, strict=True))
    if most == 8 and all(len(t.boxes) <= 8 for t in record.entity_tracking):
        lost = true.keys() - read_boxes.keys()  # those that rounding has made flat
        assert all(min(true[a][2] - true[a][0] - 2 * half[0], true[a][3] - true[a][1] - 2 * half[1]) <= 0 for a in lost)


# --- as trainers call them


def test_as_trl_calls_them(sample: list[Record]) -> None:
    scorer = Scorer(sample)
    functions, weights = trl_rewards(scorer, {"frames": 1.0, "triples": 0.5})
    ids = [record.id for record in sample[:4]]
    completions: list[Any] = [true_text(record, CHAIN) for record in sample[:4]]
    completions[1] = [{"role": "assistant", "content": completions[1]}]
    completions[2] = [{"role": "assistant", "content": [{"type": "text", "text": completions[2]}]}]
    columns = {"id": ids, "video_path": ids, "trainer_state": None, "completion_ids": [[1]] * 4}
    found = [f(prompts=[""] * 4, completions=completions, **columns) for f in functions]
    assert [function.__name__ for function in functions] == ["frames_reward", "triples_reward"]
    assert weights == [1.0, 0.5]
    assert found[0] == [1.0] * 4
    assert found[1] == [triples_reward(r, true_text(r, CHAIN)).value for r in sample[:4]]
    logged: dict[str, float] = {}
    total = trl_sum(scorer)(prompts=[""] * 4, completions=completions, log_metric=logged.__setitem__, **columns)
    assert total == [reward(record, true_text(record, CHAIN)).value for record in sample[:4]]
    assert logged["rewards/frames"] == logged["rewards/frames/time_iou"] == 1
    assert set(logged) >= {"rewards/answer", "rewards/boxes/viou", "rewards/format"}
    orm = swift_reward(scorer, {"frames": 1.0})("settings")
    assert orm(completions, id=ids, solution=ids) == [1.0] * 4
    with pytest.raises(InputError, match="no such record"):
        orm(["x"], id=["another"])
    with pytest.raises(InputError, match="completion 3; expected a text, or messages"):
        orm([3], id=ids[:1])


def test_each_text_is_read_once(sample: list[Record]) -> None:
    calls = []
    scorer = Scorer(sample, judge=lambda question, said: calls.append(said) or 0.5)  # type: ignore[func-returns-value]
    record = sample[0]
    for function in trl_rewards(scorer)[0]:
        function(prompts=[""], completions=["Answer: B"], id=[record.id])
    assert calls == ["B"]
    for number in range(KEPT - 1):
        scorer._read[record.id, str(number)] = scorer.read(record.id, "Answer: B")
    scorer.read(record.id, "Answer: C")  # and no more than so many stay
    assert len(scorer._read) == KEPT


def test_a_model_judges_each_answer_once(sample: list[Record], tmp_path: Path) -> None:
    record = dataclasses.replace(sample[0], choices=(), answer_index=-1, answer="a red ball", additional_answers=())
    with JudgeServer() as server:

        def earned(*said: str) -> list[float | None]:
            judge = JudgedAnswers("openai:m", tmp_path / "cache.jsonl", base_url=server.url)
            scorer = Scorer([record], Asked(()), judge)
            return trl_rewards(scorer, {"answer": 1.0})[0][0](
                prompts=said, completions=[f"Answer: {one}" for one in said], id=[record.id] * len(said)
            )

        first = earned("a red ball", "crimson sphere", "a pear", "crimson sphere", "I do not know")
        assert first[0] == 1
        assert first[4] == 0
        assert first[1] == first[2] == first[3] == 0.2
        assert [asked_about(r)["prediction"] for r in server.completions] in (
            ["crimson sphere", "a pear"],
            ["a pear", "crimson sphere"],
        )
        assert earned("crimson sphere", "a pear") == [0.2, 0.2]
        assert len(server.completions) == 2
        server.answer = lambda number, request: completion("hm")
        assert earned("a plum") == [None]
        server.answer = lambda number, request: verdict(5, "no")
        assert earned("a plum") == [None]  # it contradicts itself
        server.answer = lambda number, request: verdict(5)
        assert earned("a plum") == [1.0]  # no verdict is not kept
