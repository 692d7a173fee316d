from __future__ import annotations

import argparse
import runpy
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.models.families import FAMILIES
from cotasks.training.events import ReportFile, describe_report
from cotasks.training.scripts import Base, add_data_arguments, add_training_arguments, training_examples
from cotasks.training.turns import IGNORED
from tests.examples import examples
from tests.finetune_runs import ROOT, TINY, launch, log, losses, run_here
from tests.processes import own_port
from tests.synthetic import HEIGHT, WIDTH, make_record, write_folder, write_video
from tests.tiny_models import clip, prompt, tiny

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

STEPS = 12
"""Steps in which the loss falls by half, from seed 0."""
OPTIONS = [
    *TINY,
    *("--task", "baseline", "--task", "cotasks", "--max-steps", str(STEPS), "--learning-rate", "3e-3"),
    *("--save-every", "4", "--eval-every", "6", "--eval-split", "validation", "--eval-limit", "4"),
]
SCRIPT = ["finetune_accelerate.py"]
TWO = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]


def options(**changes: str) -> list[str]:
    out = [*OPTIONS, "--batch-size", "4"]
    for name, value in changes.items():
        out += [f"--{name.replace('_', '-')}", value]
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run_here(SCRIPT, options(), out) == 0
    return out


def test_loss_falls_by_half(whole: Path) -> None:
    curve = losses(whole)
    assert list(curve) == list(range(1, STEPS + 1))
    assert sum(curve[step] for step in (STEPS - 2, STEPS - 1, STEPS)) / 3 < curve[1] / 2
    assert list(losses(whole, "eval_loss")) == [6, 12]
    assert [p.name for p in sorted((whole / "checkpoints").iterdir())] == ["step-00000008", "step-00000012"]


@pytest.mark.slow
def test_killed_and_resumed_it_follows_the_same_curve(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    killed = launch(out, SCRIPT, options(), kill_after=6)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "model").exists()
    # what the checkpoint lacks is forgotten, and so is one that was being written
    (out / "checkpoints" / "step-00000009.part").mkdir()
    # a cache of frames changes nothing that is learned, and may come later
    frames = ["--frame-cache", str(tmp_path / "frames"), "--frame-cache-gb", "0.1"]
    assert run_here(SCRIPT, [*options(), *frames], out) == 0
    assert list((tmp_path / "frames").glob("*.npy"))
    said = capsys.readouterr().out
    assert "going on after step 4" in said or "going on after step 8" in said
    assert said.splitlines()[-2:] == ["all examples were used whole", f"model: {out / 'model'}"]
    assert losses(out) == losses(whole)
    assert losses(out, "eval_loss") == losses(whole, "eval_loss")
    assert (out / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_agree_with_one_and_stop_together(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four examples a step: two processes of two. Tolerance 1e-4 of a loss of about 8; float32, sums in other order."""
    out = tmp_path / "out"
    two = [*TWO, "--main_process_port", str(own_port()), *SCRIPT]
    stopped = launch(out, two, options(batch_size="2"), kill_after=5, kill=signal.SIGTERM)
    assert stopped.returncode != 0
    curve = losses(out)
    assert 5 <= len(curve) < STEPS, stopped.stderr
    for step, loss in curve.items():
        assert loss == pytest.approx(losses(whole)[step], abs=1e-4)
    (last,) = [p.name for p in (out / "checkpoints").iterdir() if p.name == f"step-{len(curve):08d}"]
    assert len(list((out / "checkpoints" / last).glob("random_states_*.pkl"))) == 2
    # one process goes on where two stopped
    assert run_here(SCRIPT, options(), out) == 0
    assert f"going on after step {len(curve)}" in capsys.readouterr().out
    assert losses(out) == pytest.approx(losses(whole), abs=1e-3)
    assert losses(out, "eval_loss") == pytest.approx(losses(whole, "eval_loss"), abs=1e-3)


@pytest.mark.slow
def test_fsdp2_follows_the_same_curve(whole: Path, tmp_path: Path) -> None:
    """The file of the examples, on two processes with gloo; see `tests/fsdp_on_cpu.py` for what that is."""
    out = tmp_path / "out"
    file = ["--config_file", str(ROOT / "examples" / "fsdp2.yaml"), "--num_processes", "2", "--mixed_precision", "no"]
    sharded = ["-m", "accelerate.commands.launch", *file, "--main_process_port", str(own_port())]
    sharded += [str(ROOT / "tests" / "fsdp_on_cpu.py"), *SCRIPT]
    stopped = launch(out, sharded, options(batch_size="2"), kill_after=3, kill=signal.SIGTERM)
    assert "prepared: FSDP, 7 sharded modules, ['DTensor']" in stopped.stdout, stopped.stderr
    curve = losses(out)
    assert 3 <= len(curve) < STEPS, stopped.stderr
    for step, loss in curve.items():
        assert loss == pytest.approx(losses(whole)[step], abs=1e-3)
    saved = out / "checkpoints" / f"step-{len(curve):08d}"
    assert list(saved.rglob("*.distcp"))


def test_what_it_writes_is_a_model_for_generate(whole: Path, tmp_path: Path) -> None:
    from cotasks.generate import Sampling, generate
    from cotasks.prompts.condition import parse_condition
    from cotasks.records.dataset import load_records
    from cotasks.runs.folder import read_generations

    records = load_records("sample", "train", limit=4)
    conditions = [parse_condition("cotasks:frames=4")]
    answers = {}
    for name in ("tiny", str(whole / "model")):
        run = tmp_path / Path(name).name
        result = generate(records, conditions, name, run, sampling=Sampling(max_new_tokens=8), progress=False)
        assert result.complete
        answers[name] = {key: row["answer"] for key, row in read_generations(run).items()}
    trained = answers[str(whole / "model")]
    assert trained != answers["tiny"]
    # it has learned the form of an answer, and to end it: letters for multiple choice
    letters = [trained[(r.id, "cotasks:frames=4", 0)] for r in records if r.choices]
    assert all(len(answer) <= 20 for answer in letters)


def test_settings_must_stay(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_here(SCRIPT, options(learning_rate="1e-3"), whole) == 2
    assert "learning_rate is 0.003, in this command 0.001" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "no/model"}, "error: model no/model: cannot be loaded"),
        ({"data": "nowhere"}, "error: nowhere: no such folder"),
        ({"split": "val2"}, "error: no split 'val2'"),
        ({"task": "step5"}, "error: unknown task 'step5'"),
        ({"videos": "nowhere"}, "error: nowhere: no such folder; expected the folder of the videos"),
        ({"videos": "."}, "error: none of the first 8 examples can be used: no row of a batch of 1 can be used"),
        ({"max_tokens": "20"}, "expected at most 20"),
        ({"batch_size": "0"}, "error: --batch-size is 0; expected 1 or more"),
        ({"max_steps": "-3"}, "error: --max-steps is -3; expected 1 or more"),
        ({"epochs": "0"}, "error: --epochs is 0.0; expected more than 0"),
    ],
)
def test_wrong_input_is_one_line(
    change: dict[str, str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_here(SCRIPT, options(**change), tmp_path / "out") == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    assert words in line


def test_damaged_videos_are_passed_over_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Batches of one, a third of the videos missing: the run goes on with blank batches."""
    from cotasks.records.dataset import load_records

    records = load_records("sample", "train", limit=12)
    folder = records.video_folder()
    assert folder is not None
    names = sorted({record.video_path for record in records})
    for name in names[: len(names) - 1]:
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, tmp_path / "videos" / name)
    out = tmp_path / "out"
    arguments = [*TINY, *("--task", "baseline", "--videos", str(tmp_path / "videos"), "--batch-size", "1")]
    assert run_here(SCRIPT, arguments, out) == 0
    missing = [record for record in records if record.video_path == names[-1]]
    said = capsys.readouterr().out
    assert f"{len(missing)} examples skipped ({len(missing)} video file missing); see " in said
    rows = log(out)
    assert len(rows) == len(records)
    assert [row["labels"] for row in rows].count(0) == len(missing)
    assert all(row["loss"] == 0 for row in rows if row["labels"] == 0)


# Parts ----------------------------------------------------------------------------------------------------------------


def orders(count: int, batch: int, accumulate: int, processes: int, start: int, end: int) -> list[list[int]]:
    """Examples of each step, over all processes."""
    Order = runpy.run_path(str(ROOT / "examples" / "finetune_accelerate.py"))["Order"]
    args = SimpleNamespace(batch_size=batch, accumulate=accumulate, seed=3)
    shares = [list(Order(count, args, process, processes, start, end)) for process in range(processes)]
    steps = []
    for step in range(end - start):
        steps.append([i for m in range(accumulate) for share in shares for i in share[step * accumulate + m]])
    return steps


@given(
    count=st.integers(1, 40),
    batch=st.integers(1, 3),
    accumulate=st.integers(1, 3),
    processes=st.integers(1, 3),
    data=st.data(),
)
@examples(30)
def test_order_of_examples(count: int, batch: int, accumulate: int, processes: int, data: st.DataObject) -> None:
    size = batch * accumulate * processes
    end = data.draw(st.integers(1, 2 * count // size + 2))
    steps = orders(count, batch, accumulate, processes, 0, end)
    flat = [i for step in steps for i in step]
    for epoch in range(len(flat) // count):  # each example once an epoch
        assert sorted(flat[epoch * count : (epoch + 1) * count]) == list(range(count))
    start = data.draw(st.integers(0, end))
    assert orders(count, batch, accumulate, processes, start, end) == steps[start:]
    assert orders(count, size, 1, 1, 0, end) == steps  # whatever the processes


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_loss_at_labels_only_is_the_models_own(family: str) -> None:
    from cotasks.training.collator import TrainingCollator
    from cotasks.training.scripts import answer_loss

    rows = [
        {"messages": [*prompt(f"Why {n}?").messages, {"role": "assistant", "content": "So " * n}], "clip": clip(family)}
        for n in (1, 5)
    ]
    for row in rows:
        row["messages"][1]["content"] = row["messages"][1]["content"].strip()
    model, processor = tiny(family)
    batch = TrainingCollator(processor, FAMILIES[family])(rows)
    with torch.no_grad():
        loss, labels = answer_loss(model, batch)
        assert (loss / labels).item() == pytest.approx(model(**batch).loss.item(), abs=1e-5)
        assert labels == (batch["labels"] != IGNORED).sum()
        loss, labels = answer_loss(model, {**batch, "labels": torch.full_like(batch["labels"], IGNORED)})
    assert (loss.item(), labels.item()) == (0.0, 0)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_frozen_vision(family: str) -> None:
    from cotasks.models.tiny import build_tiny
    from cotasks.training.scripts import freeze_vision

    model, _ = build_tiny(family)
    freeze_vision(model)
    frozen = {name.split(".")[1] for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen in ({"visual"}, {"vision_tower"}, {"vision_model"})
    assert model.get_output_embeddings().weight.requires_grad
    with pytest.raises(InputError, match="no vision tower found"):
        freeze_vision(SimpleNamespace(model=SimpleNamespace()))


def data_arguments(data: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    add_training_arguments(parser, 1e-3)
    required = ("--model", "tiny", "--data", str(data), "--out", "out", "--task", "entity_tracking")
    return parser.parse_args([*required, *more])


def test_clips_that_cannot_be_stacked_are_known_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    records = [make_record("a", 0), make_record("b", 0, num_frames=4)]
    folder = write_folder(tmp_path / "data", records, split="train")
    videos = ("--videos", str(tmp_path))

    def examples(family: str, *more: str) -> int:
        base = Base(*tiny(family), FAMILIES[family], "float32")
        return len(training_examples(data_arguments(folder, *videos, *more), base, "train", None)[0])

    two = ("--batch-size", "2")
    with pytest.raises(InputError, match=r"train shows 4 to 6 frames, and llava_onevision cannot stack .* 4$"):
        examples("llava_onevision", *two)
    assert examples("llava_onevision", *two, "--num-frames", "4") == 2
    assert examples("llava_onevision", "--batch-size", "1") == 2
    assert examples("qwen2_5_vl", *two) == 2


def test_examples_are_made_anew_for_another_folder_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a record has no frame size, the videos tell it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = write_folder(tmp_path / "data", [make_record("a", 0, width=None, height=None)], split="train")
    base = Base(*tiny("qwen2_5_vl"), FAMILIES["qwen2_5_vl"], "float32")
    sizes = []
    for name, rotation in (("upright", 0), ("turned", 90)):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", rotation=rotation)
        rows, _ = training_examples(data_arguments(folder, "--videos", str(tmp_path / name)), base, "train", None)
        sizes.append((rows[0]["source_width"], rows[0]["source_height"]))
    assert sizes == [(WIDTH, HEIGHT), (HEIGHT, WIDTH)]


def test_a_record_without_an_example_is_reported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its frame size would have to be read from a video that is not there; also where the examples are made already."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    records = [make_record(name, 0, width=None, height=None) for name in ("a", "bad", "b")]
    base = Base(*tiny("qwen2_5_vl"), FAMILIES["qwen2_5_vl"], "float32")
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4")
    tasks = ("--task", "chain", "--videos", str(tmp_path))

    for count in (1, 3):
        write_folder(tmp_path / f"data{count}", records[1:2] if count == 1 else records, split="train")

    def examples(count: int, out: str) -> list[str]:
        arguments = data_arguments(tmp_path / f"data{count}", *tasks, "--out", str(tmp_path / out))
        rows, _ = training_examples(arguments, base, "train", None)
        return [f"{row['video_path']} {row['task']}" for row in rows]

    for out in ("first", "second"):
        assert sorted(examples(3, out)) == [f"{n}.mp4 {t}" for n in "ab" for t in ("chain", "entity_tracking")]
        said = describe_report(tmp_path / out / "report.jsonl")
        assert said.startswith("2 examples skipped (2 frame size unknown); see ")
    write_video(tmp_path / "bad.mp4")  # it has been found
    assert len(examples(3, "third")) == 6
    assert describe_report(tmp_path / "third" / "report.jsonl") == "all examples were used whole"
    (tmp_path / "bad.mp4").unlink()
    with pytest.raises(InputError, match=r"nothing to learn for .*: nextqa/validation/bad/0: no frame size .* no such"):
        examples(1, "fourth")


def test_report_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    assert describe_report(path) == "all examples were used whole"
    report = ReportFile(path)
    for _ in range(2):  # two epochs
        report({"event": "skipped", "id": "a", "task": "chain", "reason": "video damaged", "detail": "..."})
        report({"event": "shortened", "id": "b", "task": "chain", "left_out": 2, "of": 7})
    assert describe_report(path) == (f"1 examples skipped (1 video damaged); 1 shortened by 2 of 7 items; see {path}")


def test_labels_of_two_epochs_differ_in_order_not_in_kind() -> None:
    steps = orders(10, 5, 1, 1, 0, 4)
    assert sorted(steps[0] + steps[1]) == sorted(steps[2] + steps[3])
    assert steps[0] + steps[1] != steps[2] + steps[3]
