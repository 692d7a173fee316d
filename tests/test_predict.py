"""Steps that a model predicts: asked as it was trained, told to later steps and conditions, kept and resumed."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.generate import backends
from cotasks.generate.local import ask
from cotasks.generate.run import generate
from cotasks.generate.sampling import Sampling
from cotasks.models.families import FAMILIES, Limits, frame_size, limits_of
from cotasks.models.load import load_model
from cotasks.predict.run import LOCALIZATION, PredictResult, Said, StepCounts, parse_steps, predict
from cotasks.prompts.condition import Condition, parse_condition
from cotasks.prompts.prompt import build_prompt, step_context
from cotasks.prompts.view import view
from cotasks.records.boxes import Size
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import FEATURES, Record
from cotasks.runs.folder import key_of, read_failures, read_folder, read_generations, read_settings
from cotasks.runs.predictions import (
    PREDICTION_FEATURES,
    load_predictions,
    prediction_row,
    read_predictions,
    write_predictions,
)
from cotasks.steps.table import STEP_NUMBERS, STEPS, step_text
from cotasks.tools.files import dump_json, read_json, read_jsonl
from cotasks.training.examples import examples_of, instructions
from tests import strategies
from tests.examples import examples
from tests.model_options import grouped
from tests.processes import FORKSERVER, own_port
from tests.synthetic import make_record, write_folder
from tests.test_generate import make_world
from tests.tiny_models import tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("av")

Texts = Callable[[Record, int], str]
"""(record, step) -> what the model says."""
QUICK: dict[str, Any] = {"progress": False, **grouped(workers=1, batch_size=4, max_new_tokens=8)}


def true_text(record: Record, step: int, size: Size, family: str, num_frames: int | None = None) -> str:
    """The step as the record has it, as a prompt writes it."""
    source = (record.width or 0, record.height or 0)
    told = view(record, Condition("truth", (step,), num_frames=num_frames))
    return step_text(told.record, step, step_context(told, FAMILIES[family], size, source))


class Speaker:
    """Stands in for the model's own work: prompts are prepared, encoded and batched as ever."""

    def __init__(self, says: Texts | None = None, fails: Sequence[tuple[str, str]] = ()) -> None:
        self.says, self.fails = says, fails
        self.prompts: dict[Any, Any] = {}
        """Key -> the messages."""
        self.asked: Counter[Any] = Counter()

    def __call__(self, asking: ask.LocalAsking, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return [self.answer(asking, row) for row in rows]

    def answer(self, asking: ask.LocalAsking, row: Any) -> dict[str, Any]:
        record_id, condition, sample = key = row.item.key
        self.prompts[key] = row.item.prompt.messages
        self.asked[key] += 1
        if (record_id, condition) in self.fails:
            raise ValueError("no answer here")
        record, step = asking.records.by_id(record_id), int(condition[-1])
        height, width = row.item.clip.pixels.shape[1:3]
        frames = asking.conditions[0].num_frames
        text = (
            self.says(record, step)
            if self.says
            else true_text(record, step, (width, height), asking.model.family.name, frames)
        )
        return {
            "id": record_id,
            "condition": condition,
            "sample": sample,
            "answer": text,
            "prompt_tokens": row.tokens,
            "answer_tokens": 1,
            "finish_reason": "length" if text == "gibberish" else "stop",
            "cut_items": row.item.prompt.cut_items,
            "video_id": row.item.video_id,
        }


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> Speaker:
    """A model that echoes the truth."""
    use_family(monkeypatch, "qwen2_5_vl")
    return speak(monkeypatch, Speaker())


def speak(monkeypatch: pytest.MonkeyPatch, speaker: Speaker) -> Speaker:
    monkeypatch.setattr(ask, "_answer", speaker)
    return speaker


def use_family(monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    """A tiny model of that family in place of any other."""
    made, processor = tiny(family)
    row = FAMILIES[family]
    model = dataclasses.replace(
        load_tiny(), model=made, processor=processor, family=row, limits=limits_of(processor, row)
    )
    named = {**model.settings, "family": family}
    monkeypatch.setattr(backends, "load_model", lambda *_: dataclasses.replace(model, settings=named))


_loaded: list[Any] = []


def load_tiny() -> Any:
    """The tiny model, loaded once."""
    _loaded[:] = _loaded or [load_model("tiny")]
    return _loaded[0]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two videos with two questions each."""
    return make_world(tmp_path / "world", videos=2, questions=2)


def run(world: Path, out: Path, **options: Any) -> PredictResult:
    records = options.pop("records", None) or load_records(str(world / "data"))
    return predict(records, "tiny", out, **{**QUICK, "videos": world / "videos", **options})


def prompt_of(
    record: Record, condition: str, family: str, predictions: Any = None, num_frames: int | None = None
) -> Any:
    source = (record.width or 0, record.height or 0)
    limits = limits_of(tiny(family)[1], FAMILIES[family])
    size = frame_size(FAMILIES[family], *source, num_frames=num_frames or len(record.frames), limits=limits)
    chosen = dataclasses.replace(parse_condition(condition), num_frames=num_frames)
    return build_prompt(record, chosen, FAMILIES[family], size, source, predictions=predictions)


@pytest.mark.parametrize(
    ("family", "limit"),
    [("qwen2_5_vl", 8), ("llava_onevision", 8), pytest.param("qwen2_5_vl", None, marks=pytest.mark.slow)],
)
def test_an_echo_of_the_truth_gives_the_oracle_byte_for_byte(
    family: str, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_family(monkeypatch, family)
    speaker = speak(monkeypatch, Speaker())
    records = load_records("sample", limit=limit)
    result = predict(records, "tiny", tmp_path, **QUICK)
    assert result.complete
    assert result.new == 4 * len(records)
    assert result.read == dict.fromkeys((1, 2, 3, 4), StepCounts(texts=len(records)))
    for condition in ("", "-12", "-34"):
        found = load_predictions(tmp_path, records, [parse_condition(f"predicted{condition}")])
        for record in records:
            told = prompt_of(record, f"predicted{condition}", family, found)
            assert told == prompt_of(record, f"cotasks{condition}", family)
    # what the model saw is what it would have been trained on
    limits = limits_of(tiny(family)[1], FAMILIES[family])
    said = read_generations(tmp_path)
    for record in records:
        examples = instructions(record, tuple(STEP_NUMBERS), family=family, limits=limits)
        turns = {row["task"]: row["messages"] for row in examples_of(examples)}
        assert record.frame_localization.span_origin == "whole" or len(turns) == 4
        for task, step in STEP_NUMBERS.items():
            key = (record.id, f"step-{step}", 0)
            (seen,) = speaker.prompts[key]
            if task in turns:
                asked, answered = (message["content"] for message in turns[task])
                assert [part["type"] for part in seen["content"]] == [part["type"] for part in asked]
                assert seen["content"][-1]["text"] == asked[-1]["text"]
                assert said[key]["answer"] == answered[-1]["text"]


def test_true_steps_are_given_on_request_and_fewer_frames_go_through(
    speaker: Speaker, world: Path, tmp_path: Path
) -> None:
    records = load_records(str(world / "data"))
    result = run(world, tmp_path / "oracle", given="oracle", num_frames=3, boxes_per_entity=2)
    assert result.complete
    for record in records:
        columns = instructions(
            record, tuple(STEP_NUMBERS)[1:], num_frames=3, boxes_per_entity=2, limits=load_tiny().limits
        )
        for row in examples_of(columns):
            step = STEP_NUMBERS[row["task"]]
            seen = speaker.prompts[record.id, f"step-{step}", 0][0]["content"][-1]["text"]
            assert seen == row["messages"][0]["content"][-1]["text"]
    told_of = read_settings(tmp_path / "oracle")["predict"]
    assert told_of == {"steps": [1, 2, 3, 4], "given": "oracle", "with_answer": False}
    found = load_predictions(tmp_path / "oracle", records, [parse_condition("predicted:frames=3")])
    for record in records:
        told = prompt_of(record, "predicted:boxes=2", "qwen2_5_vl", found, num_frames=3)
        assert told == prompt_of(record, "cotasks:boxes=2", "qwen2_5_vl", num_frames=3)
    for odd in ("predicted", "predicted:frames=2", "predicted:frames=3,context=2"):
        with pytest.raises(InputError, match=r"predicted on 3 frames; condition predicted.*expected frames=3"):
            load_predictions(tmp_path / "oracle", records, [parse_condition(odd)])


def test_the_folder_loads_with_plain_datasets(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speaker: Speaker
) -> None:
    def says(record: Record, step: int) -> str:
        if step == 1:
            return "Frames: 0.00s\nEntities: dog, something that is no name at all, woman 2"
        return "gibberish" if step == 2 else "- **(woman 2, next to, dog)**: 0.00 seconds" if step == 3 else "none"

    speaker.says = says
    broken = load_records(str(world / "data")).ids[0]
    speaker.fails = [(broken, "step-3")]
    result = run(world, tmp_path / "run")
    assert not result.complete
    assert result.failures == {"ValueError": 1, "no prediction of step 3": 1}
    assert result.read == {
        1: StepCounts(texts=4, unread=4),
        2: StepCounts(texts=4, unread=4, cut_off=4),
        3: StepCounts(texts=3, repaired=3),
        4: StepCounts(texts=3),
    }
    rows = load_dataset(str(tmp_path / "run"), cache_dir=str(tmp_path / "cache"))["validation"]
    assert rows.features == PREDICTION_FEATURES
    for name in ("frame_localization", "entity_tracking", "spatial_relations", "temporal_relations"):
        assert rows.features[name] == FEATURES[name]
    assert len(rows) == 4
    for row in rows:
        assert row["model"] == "tiny"
        assert row["given"] == "own"
        assert row["frame_localization"]["frames"] == [0]
        assert row["frame_localization_text"] == says(make_record("v", 0), 1)
        assert row["frame_localization_unread"] == ["something that is no name at all"]
        # a name of its own stays, by the name it was given
        assert [entity["name"] for entity in row["entities"]] == ["dog", "woman 2"]
        assert row["entities"][1]["category"] == "woman"
        assert (row["entity_tracking"], row["entity_tracking_unread"]) == ([], ["gibberish"])
        assert (row["frame_localization_cut_off"], row["entity_tracking_cut_off"]) == (False, True)
        if row["id"] == broken:
            assert row["spatial_relations"] is row["spatial_relations_text"] is None
            assert row["spatial_relations_failure"] == "ValueError"
            assert row["temporal_relations"] is None
            assert row["temporal_relations_failure"] == "no prediction of step 3"
        else:
            assert row["spatial_relations_repaired"] == 1
            assert row["spatial_relations"][0]["predicate"] == "next_to"
            assert row["temporal_relations"] == []
    # a build goes by the words of what is no name
    (line, *_) = read_jsonl(tmp_path / "run" / LOCALIZATION)
    assert line["entities"] == ["dog", "woman 2", "something that is no name at all"]
    assert line["spans"] == [[0.0, 0.0]]
    # the later steps were told what could be read, and nothing else
    told = speaker.prompts[rows[1]["id"], "step-3", 0][0]["content"][-1]["text"]
    assert "Entities: dog, woman 2\n" in told
    assert "sports ball" not in told
    assert "gibberish" not in told

    # a condition without a prediction fails with its reason, the others go on
    monkeypatch.setattr(ask, "_answer", answer_with("yes"))
    names = ["baseline", "predicted-12", "predicted"]
    records = load_records(str(world / "data"))
    options: dict[str, Any] = {**QUICK, "videos": world / "videos", "predictions": tmp_path / "run"}
    asked = [parse_condition(name) for name in names]
    answered = generate(records, asked, "tiny", tmp_path / "answers", **options)
    assert answered.done == 11
    assert answered.failures == {"no prediction of step 3": 1}
    (failure,) = read_failures(tmp_path / "answers").values()
    assert failure["detail"] == f"{broken}: no prediction of step 3: ValueError"
    assert (
        read_settings(tmp_path / "answers")["predictions"]["fingerprint"]
        == read_predictions(tmp_path / "run").fingerprint
    )

    # what failed is asked again on request, and what was told of it; nothing else is
    speaker.fails, speaker.asked = (), Counter()
    monkeypatch.setattr(ask, "_answer", speaker)
    again = run(world, tmp_path / "run", retry_failures=True)
    assert (again.complete, again.new) == (True, 2)
    assert set(speaker.asked) == {(broken, "step-3", 0), (broken, "step-4", 0)}
    # the answers were told other predictions: going on with them is refused by name
    with pytest.raises(InputError, match=r"predictions\.fingerprint is "):
        generate(records, asked, "tiny", tmp_path / "answers", **options)


def answer_with(text: str) -> Any:
    def answer(asking: ask.LocalAsking, rows: Sequence[Any]) -> list[dict[str, Any]]:
        keys = [row.item.key for row in rows]
        return [
            {"id": i, "condition": c, "sample": n, "answer": text, "cut_items": 0, "video_id": row.item.video_id}
            for (i, c, n), row in zip(keys, rows, strict=True)
        ]

    return answer


def test_steps_that_are_left_out_come_from_an_earlier_folder(speaker: Speaker, world: Path, tmp_path: Path) -> None:
    speaker.says = lambda record, step: "Frames: 0.00s\nEntities: cat" if step == 1 else "cat: 0.00s [1, 2, 30, 40]"
    assert run(world, tmp_path / "one", steps=(1, 2)).complete
    speaker.says = lambda record, step: "(cat, on, mat): 0.00s" if step == 3 else "(mat, hold, cat): 0.00s to 1.00s"
    assert run(world, tmp_path / "two", steps=(3, 4), predictions=tmp_path / "one").complete
    record_id = load_records(str(world / "data")).ids[0]
    assert "Step 2" in speaker.prompts[record_id, "step-3", 0][0]["content"][-1]["text"]
    told = speaker.prompts[record_id, "step-4", 0][0]["content"][-1]["text"]
    assert "Entities: cat\n" in told
    assert "(cat, on, mat): 0.00s\n" in told
    records = load_records(str(world / "data"))
    steps = load_predictions(tmp_path / "two", records, [parse_condition("predicted")]).of(records.at(0))
    assert [name for _, name in steps.names] == ["cat", "mat"]
    assert len({entity.tid for entity in steps.entities}) == 2
    assert not (tmp_path / "two" / LOCALIZATION).exists()
    with pytest.raises(InputError, match=r"no predictions of step 3, which predicted tells; has 1, 2"):
        load_predictions(tmp_path / "one", records, [parse_condition("predicted")])
    with pytest.raises(InputError, match=r"no predictions of step 3, which step-4 tells"):
        run(world, tmp_path / "three", steps=(4,), predictions=tmp_path / "one")


def test_a_proposal_of_step_1_builds(tmp_path: Path, speaker: Speaker) -> None:
    """`predict --steps 1 --with-answer` and `build --localization FILE`, over the sample's sources."""
    records = load_records("sample")
    result = predict(records, "tiny", tmp_path / "a1", steps=(1,), with_answer=True, **QUICK)
    assert result.complete
    path = tmp_path / "a1" / LOCALIZATION
    lines = list(read_jsonl(path))
    assert [set(line) for line in lines] == [{"id", "model", "used_answer", "spans", "entities", "raw"}] * len(records)
    build_folder(BuildOptions("sample", localization=str(path)), tmp_path / "built")
    built = {record.id: record for record in load_records(str(tmp_path / "built"))}
    assert built.keys() == set(records.ids)
    for record in records:
        prompt = speaker.prompts[record.id, "step-1", 0][0]["content"][-1]["text"]
        assert prompt.startswith(f"Question: {record.question}\nAnswer: {record.answer}\nTimes are in seconds")
        old, new = record.frame_localization, built[record.id].frame_localization
        assert new.frames == old.frames
        assert new.entities == old.entities
        assert (new.span_origin, new.used_answer) == ("model", True)
    proposed = read_predictions(tmp_path / "a1")
    assert proposed.of(records.at(0)).frame_localization.used_answer  # type: ignore[union-attr]
    assert proposed.run_settings()["saw_answer"] == len(records)  # of a run that is told of them, see the report


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": (2, 1)}, "steps '21'; expected some of 1234, each once, in order"),
        ({"steps": ()}, "steps ''"),
        ({"steps": (1, 1)}, "steps '11'"),
        ({"steps": (3, 4)}, "step 1 comes before and is missing"),
        ({"steps": (1, 3)}, "step 2 comes before and is missing"),
        ({"given": "both"}, "given 'both'; expected own or oracle"),
        ({"with_answer": True}, "expected step 1 alone"),
        ({"predictions": "x"}, "predictions x: not told to any step"),
        ({"steps": (3,), "given": "oracle", "predictions": "x"}, "predictions x: not told to any step"),
        ({"boxes_per_entity": 0}, "boxes_per_entity 0"),
        ({"sampling": Sampling(2, 1.0)}, "one text a step"),
        ({"num_frames": 7}, "step-1: 7 frames asked for"),
    ],
)
def test_odd_requests_are_refused_before_anything_is_loaded(
    options: dict[str, Any], words: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "load_model", lambda *_: pytest.fail("loaded"))
    with pytest.raises(InputError, match=words):
        run(world, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_predictions_that_do_not_fit_are_refused_by_name(speaker: Speaker, world: Path, tmp_path: Path) -> None:
    records = load_records(str(world / "data"))
    out = tmp_path / "run"
    predicted = [parse_condition("predicted")]
    assert run(world, out).complete

    def ask_for(names: Sequence[str], asked: Records = records, **options: Any) -> Any:
        conditions = [parse_condition(name) for name in names]
        return generate(asked, conditions, "tiny", tmp_path / "g", videos=world / "videos", **QUICK, **options)

    with pytest.raises(InputError, match="condition predicted tells predicted steps; name a folder"):
        ask_for(["baseline", "predicted"])
    with pytest.raises(InputError, match="no condition tells them"):
        ask_for(["cotasks"], predictions=out)
    with pytest.raises(InputError, match=r"nowhere: not a predictions folder \(no run.json\)"):
        ask_for(["predicted"], predictions=tmp_path / "nowhere")
    # another version of the data set, another split of it
    changed = [dataclasses.replace(record, question="what else") for record in records]
    other = load_records(str(write_folder(tmp_path / "other", changed)))
    with pytest.raises(InputError, match="predictions of another version of the data set") as caught:
        ask_for(["predicted"], other, predictions=out)
    assert records.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)
    train = load_records(str(write_folder(tmp_path / "train", changed, split="train")))
    with pytest.raises(InputError, match=r"predictions of other records: split 'validation'.*expected 'train'"):
        ask_for(["predicted"], train, predictions=out)
    # fewer records: the others have no prediction
    fewer = tmp_path / "fewer"
    assert predict(load_records(str(world / "data"), limit=1), "tiny", fewer, videos=world / "videos", **QUICK).complete
    found = load_predictions(fewer, records, predicted)
    assert found.of(records.at(0)).has(4)
    with pytest.raises(InputError, match=f"no prediction for {records.ids[2]!r}") as caught:
        found.of(records.at(2))
    assert caught.value.reason == "no prediction"
    # speaking of what is not there
    with pytest.raises(InputError, match="speaks of frame 0; expected one of the grid"):
        found.of(dataclasses.replace(records.at(0), frames=records.at(0).frames[1:]))
    # an unfinished folder, and one of something else
    (path,) = (out / "predictions").iterdir()
    path.rename(path.with_suffix(".part"))
    with pytest.raises(InputError, match=r"0 files predictions/.*run it again to go on"):
        load_predictions(out, records, predicted)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not predictions"):
        load_predictions(out, records, predicted)
    written = read_json(out / "run.json")
    del written["predict"]
    dump_json(out / "run.json", written)
    with pytest.raises(InputError, match="a run folder without predictions"):
        load_predictions(out, records, predicted)


def test_the_command_writes_and_goes_on(
    speaker: Speaker, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["predict", str(world / "data"), "--model", "tiny", "--videos", str(world / "videos")]
    line += ["--run", str(tmp_path / "run"), "--steps", "12"]
    assert main([*line, "--limit", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Step 2: 2 texts, 0 with something unread, 0 with repairs, 0 cut off at 1024 tokens" in printed
    assert f"Predicted 4 of 4 steps (4 now): {tmp_path / 'run'}, {tmp_path / 'run' / LOCALIZATION}" in printed
    assert main([*line, "--limit", "1"]) == 0
    assert "(0 now)" in capsys.readouterr().out
    assert main([*line, "--limit", "1", "--given", "oracle"]) == 2
    assert "conditions.step-2.origin is 'predicted', in this command 'oracle'" in capsys.readouterr().err
    speaker.fails = [(record_id, "step-2") for record_id in load_records(str(world / "data")).ids]
    line[line.index(str(tmp_path / "run"))] = str(tmp_path / "other")
    assert main(line) == 1
    assert "4 failed: ValueError" in capsys.readouterr().out
    assert parse_steps("1234") == (1, 2, 3, 4)


class Mortal(Speaker):
    """Echoes the truth so many times, then its process is killed."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives

    def answer(self, asking: ask.LocalAsking, row: Any) -> dict[str, Any]:
        self.lives -= 1
        if self.lives < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(asking, row)


def child(rank: int, size: int, port: int, lives: int, world: Path, out: Path, cache: str) -> None:
    import datasets

    if size > 1:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    sys.stdout = sys.stderr = (out.parent / f"{out.name}-{rank}.log").open("w", buffering=1)
    ask._answer = Mortal(lives)
    result = run(world, out, **grouped(workers=1, batch_size=1))
    sys.exit(result.main and not result.complete)


def launch(world: Path, out: Path, size: int, lives: int) -> list[int]:
    """Exit codes of processes that predict together."""
    port = own_port()
    cache = str(out.parent / "cache")
    group = [
        FORKSERVER.Process(target=child, args=(rank, size, port, lives, world, out, cache)) for rank in range(size)
    ]
    for process in group:
        process.start()
    for process in group:
        process.join(120)
    codes = [process.exitcode for process in group]
    for process in group:
        process.kill()
    return codes  # type: ignore[return-value]


def test_killed_in_the_middle_of_a_chain_and_resumed(world: Path, tmp_path: Path, speaker: Speaker) -> None:
    out = tmp_path / "run"
    assert launch(world, out, size=1, lives=6) == [-signal.SIGKILL]
    there = {key_of(row) for row in read_folder(out / "generations")}
    assert Counter(condition for _, condition, _ in there) == {"step-1": 4, "step-2": 2}
    assert not (out / "predictions").exists()
    with pytest.raises(InputError, match="run it again to go on"):
        read_predictions(out)
    assert run(world, out).complete
    assert there.isdisjoint(speaker.asked)
    assert len(speaker.asked) == 10
    assert set(speaker.asked.values()) == {1}
    keys = [key_of(row) for row in read_folder(out / "generations")]
    assert len(keys) == len(set(keys)) == 16
    assert run(world, tmp_path / "peace").complete
    assert read_predictions(out).fingerprint == read_predictions(tmp_path / "peace").fingerprint
    parquet = "predictions/validation-00000-of-00001.parquet"
    assert (out / parquet).read_bytes() == (tmp_path / "peace" / parquet).read_bytes()


def test_several_processes_share_each_step(world: Path, tmp_path: Path, speaker: Speaker) -> None:
    out = tmp_path / "run"
    assert launch(world, out, size=2, lives=1000) == [0, 0]
    keys = [key_of(row) for row in read_folder(out / "generations")]
    assert len(keys) == len(set(keys)) == 16
    assert run(world, tmp_path / "peace").complete
    assert read_predictions(out).fingerprint == read_predictions(tmp_path / "peace").fingerprint
    # one of them is killed in the first step: the other ends with what it has, and no later step is begun
    codes = launch(world, tmp_path / "killed", size=2, lives=1)
    assert -signal.SIGKILL in codes
    assert {row["condition"] for row in read_folder(tmp_path / "killed" / "generations")} == {"step-1"}
    assert list(read_folder(tmp_path / "killed" / "failures")) == []
    assert run(world, tmp_path / "killed").complete


def test_a_model_behind_a_server_predicts(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    from cotasks.generate.server.model import ServerOptions
    from tests.judge_server import completion
    from tests.model_server import MODEL, ModelServer, frames_of, texts_of

    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    records = load_records(str(world / "data"))
    requests: list[str] = []

    def truth(number: int, request: Any) -> Any:
        text = "".join(texts_of(request))
        requests.append(text)
        record = next(record for record in records if f"Question: {record.question}\n" in text)
        step = next(step for step in (4, 3, 2, 1) if f"Step {step}, {STEPS[step].name}: " in text)
        height, width = frames_of(request)[0].shape[:2]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return completion(true_text(record, step, (width, height), "qwen2_5_vl"), model=MODEL, usage=usage)

    with ModelServer(truth) as server:
        options = ServerOptions(server.url, concurrency=2, check_frames=False)
        quick = {"progress": False, **grouped(workers=1, max_new_tokens=8)}
        out, videos = tmp_path / "run", world / "videos"
        result = predict(records, MODEL, out, videos=videos, server=options, **quick)
    assert result.complete
    assert len(requests) == 16
    assert result.read == dict.fromkeys((1, 2, 3, 4), StepCounts(texts=4))
    assert read_settings(out)["backend"] == "server"
    assert [row["model"] for row in read_jsonl(out / LOCALIZATION)] == [MODEL] * 4
    limits = Limits(**{**read_settings(out)["frames"]["limits"], "fixed": None})
    found = load_predictions(out, records, [parse_condition("predicted")])
    for record in records:
        source = (record.width or 0, record.height or 0)
        family = FAMILIES["qwen2_5_vl"]
        size = frame_size(family, *source, num_frames=len(record.frames), limits=limits)
        told, oracle = (
            build_prompt(record, parse_condition(name), family, size, source, predictions=found)
            for name in ("predicted", "cotasks")
        )
        assert told == oracle


@st.composite
def step_texts(draw: st.DrawFn, record: Record, family: str) -> dict[int, str]:
    """What some model might say of a record: lines of the truth among others."""
    size = (336, 168)
    texts = {}
    for step in draw(st.sets(st.integers(1, 4), min_size=1)):
        noise = st.text(max_size=30) | st.sampled_from(
            (
                "Entities: cat, adult 9, the man",
                "Frames: 0s; frame 1",
                "cat: 0.00s [1, 2, 30, 40]",
                "cat: frame 1 [0.1, 0.2, 0.3, 0.4]",
                "(cat, sit on, adult 9): 0.00s to 1.00s",
                "(cat, hold, cat 2): 5s to 999999999s",
                "(cat, on, dog): frame 1; 0.00s",
            )
        )
        line = st.sampled_from(true_text(record, step, size, family).splitlines()) | noise
        texts[step] = "\n".join(draw(st.lists(line, max_size=5)))
    return texts


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), record=strategies.records(), family=st.sampled_from(["qwen2_5_vl", "llava_onevision"]))
def test_what_is_told_of_a_text_is_what_the_folder_holds(
    data: st.DataObject, record: Record, family: str, tmp_path: Path
) -> None:
    said = Said(tmp_path, [Condition("step-1", asks=1)], "own", None)
    said.model = dataclasses.replace(load_tiny(), family=FAMILIES[family], limits=FAMILIES[family].limits)
    said.texts = {record.id: data.draw(step_texts(record, family))}
    told, parsed = said.read(record)
    row = prediction_row(record.id, "m", "own", told, said.texts[record.id], (), parsed)
    write_predictions(tmp_path, "train", [row])
    dump_json(tmp_path / "run.json", {"predict": {"steps": [1, 2, 3, 4]}})
    kept = read_predictions(tmp_path).of(record)
    assert kept == told
    name = "predicted-" + "".join(map(str, sorted(said.texts[record.id])))
    args = (parse_condition(name), FAMILIES[family], (336, 168), (record.width or 0, record.height or 0))
    prompts = [build_prompt(record, *args, predictions=one) for one in (said, read_predictions(tmp_path))]
    assert prompts[0] == prompts[1]
