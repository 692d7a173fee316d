"""`--backend vllm`: the loop around an engine, and vLLM's own engine where it is installed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.errors import EnvironmentFault, InputError
from cotasks.generate import Batching, Loading, Sampling, VllmOptions, generate
from cotasks.generate.vllm import engine
from cotasks.generate.vllm.ask import sampling_fields
from cotasks.models.load import load_without_weights
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.runs.folder import read_folder, read_settings
from tests import plain_engine
from tests.plain_engine import LLM

pytest.importorskip("av")
pytest.importorskip("torch")

CONDITIONS = [parse_condition(name) for name in ("baseline:frames=4", "blind")]
SHORT = Sampling(max_new_tokens=4)


@pytest.fixture(scope="module")
def records() -> Records:
    return load_records("sample", limit=3)


def answers_of(run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = list(read_folder(run / "generations"))
    found = {(row["id"], row["condition"]): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def plainly(records: Records, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """What the transformers backend answers."""
    run = tmp_path_factory.mktemp("plain")
    loading = Loading(dtype="float32", device="cpu")
    assert generate(records, CONDITIONS, "toy", run, sampling=SHORT, loading=loading, progress=False).complete
    return answers_of(run)


def ask(records: Records, run: Path, options: VllmOptions | None = None, **others: Any) -> Any:
    given = {"sampling": SHORT, "loading": Loading(dtype="float32"), "progress": False} | others
    return generate(records, CONDITIONS, "toy", run, vllm=options or VllmOptions(), **given)


def test_an_engine_answers_as_transformers_do(
    records: Records, plainly: dict[tuple[str, str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_engine.install(monkeypatch)
    result = ask(records, tmp_path, batching=Batching(batch_size=4))
    assert (result.done, result.failures) == (len(plainly), {})
    assert answers_of(tmp_path) == plainly
    (llm,) = LLM.started
    assert llm.arguments["limit_mm_per_prompt"] == {"image": 0, "video": 1}
    assert (llm.arguments["max_num_seqs"], llm.arguments["trust_remote_code"]) == (4, False)
    # prompts that show the same frames name the same clip; others name another
    clips = {}
    for prompt in llm.asked:
        if "multi_modal_uuids" in prompt:
            frames = prompt["multi_modal_data"]["video"][0][0]
            assert clips.setdefault(prompt["multi_modal_uuids"]["video"][0], frames) is frames
    assert len(clips) == len(set(records.video_ids))
    # run.json, costs, and the same run again
    settings = read_settings(tmp_path)
    assert (settings["backend"], settings["model"]["dtype"], settings["frames"]["shown_as"]) == (
        "vllm",
        "float32",
        "video",
    )
    assert len(settings["model"]["weights"]) == 64
    assert "repaired" not in settings["model"]
    (costs,) = read_folder(tmp_path / "costs")
    assert costs["answers"] == len(plainly)
    assert costs["device"].startswith("vLLM on cpu")
    assert ask(records, tmp_path).new == 0


def test_an_engine_that_dies_ends_the_run_and_the_run_goes_on(
    records: Records, plainly: dict[tuple[str, str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_engine.install(monkeypatch)
    with monkeypatch.context() as dying:
        dying.setattr(LLM, "dies_after", 3)
        with pytest.raises(InputError, match="engine has ended: EngineCore encountered"):
            ask(records, tmp_path)
    assert len(answers_of(tmp_path)) == 3
    result = ask(records, tmp_path)
    assert (result.complete, result.new) == (True, len(plainly) - 3)
    assert answers_of(tmp_path) == plainly


class Dropping(LLM):
    """Loses the second half of the frames."""

    def frames(self, frames: Any) -> Any:
        return frames[: len(frames) // 2]


def test_frames_that_do_not_arrive_stop_the_run(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_engine.install(monkeypatch, Dropping)
    with pytest.raises(InputError, match=r"makes other tokens of the prompt than transformers, \d+ and \d+, the first"):
        ask(records, tmp_path)
    assert all(condition == "blind" for _, condition in answers_of(tmp_path))
    assert not list(read_folder(tmp_path / "failures"))
    assert ask(records, tmp_path, VllmOptions(check_frames=False)).complete


def test_prompts_that_are_too_long_are_failures(
    records: Records, plainly: dict[tuple[str, str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_engine.install(monkeypatch)
    lengths = sorted(row["prompt_tokens"] for row in plainly.values())
    longest = lengths[len(lengths) // 2] + 1
    too_long = {key for key, row in plainly.items() if row["prompt_tokens"] + SHORT.max_new_tokens > longest}
    result = ask(records, tmp_path, VllmOptions(max_model_len=longest))
    assert 0 < len(too_long) < result.total
    assert result.failures == {"prompt too long": len(too_long)}
    assert answers_of(tmp_path) == {key: row for key, row in plainly.items() if key not in too_long}


# what vLLM is told ----------------------------------------------------------------------------------------------------


def test_what_is_sampled_by() -> None:
    described = load_without_weights("toy")
    key = ("a", "blind", 0)
    greedy = sampling_fields(described, SHORT, key)
    assert (greedy["temperature"], greedy["max_tokens"], "seed" in greedy) == (0.0, 4, False)
    assert greedy["stop_token_ids"] == list(described.end_tokens)
    drawn = Sampling(2, 0.7, 0.9, 20, seed=3)
    one, other = (sampling_fields(described, drawn, ("a", "blind", sample)) for sample in (0, 1))
    assert (one["top_p"], one["top_k"]) == (0.9, 20)
    assert one["seed"] != other["seed"]


def test_each_process_of_a_launch_has_its_own_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "h"}
    for name, value in {**launch, "TORCHELASTIC_USE_AGENT_STORE": "True", "CUDA_VISIBLE_DEVICES": "4,5,6,7"}.items():
        monkeypatch.setenv(name, value)
    with engine._alone(gpus=2):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,7"
        assert not {*launch, "TORCHELASTIC_USE_AGENT_STORE"} & os.environ.keys()
    assert {name: os.environ[name] for name in launch} == launch
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match="expected 4 GPUs for 2 processes"), engine._alone(gpus=2):
        pass


def test_without_vllm_one_line_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="vllm is not installed; run: pip install vllm"):
        ask(load_records("sample", limit=1), tmp_path)
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tensor-parallel-size", "2"], "tensor_parallel_size: only for vLLM; expected --backend vllm with it"),
        (["--backend", "vllm", "--concurrency", "2"], "concurrency: only for a server"),
        (["--backend", "vllm", "--device", "cpu"], "device: for transformers; vLLM decides for itself"),
        (["--backend", "vllm", "--batch-tokens", "9"], "batch_tokens: for transformers"),
        (["--backend", "vllm", "--gpu-memory", "1.5"], "gpu_memory 1.5; expected more than 0"),
        (["--backend", "vllm", "--engine-args", "[]"], "engine args []; expected a JSON object"),
        (["--backend", "vllm", "--engine-args", '{"seed": 1}'], "engine args: seed; expected other fields"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", "sample", "--model", "toy", "--condition", "blind", "--run", str(tmp_path / "run")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_is_repeated_with_its_engine(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cotasks.commands.repeat import options_of_run

    plain_engine.install(monkeypatch)
    options = VllmOptions(max_model_len=4000, engine_args={"quantization": "fp8"})
    generate(records, CONDITIONS[1:], "toy", tmp_path, vllm=options, sampling=SHORT, progress=False)
    found = options_of_run(read_settings(tmp_path), "generate", tmp_path / "run.json")
    assert (found["backend"], found["max_model_len"], found["dtype"]) == ("vllm", 4000, "float32")
    assert found["engine_args"] == {"quantization": "fp8"}
    assert json.dumps(found)


def test_models_that_are_no_files_are_refused() -> None:
    with pytest.raises(InputError, match="model tiny: built in memory, and vLLM reads files"):
        plain_start("tiny")


def plain_start(name: str) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        plain_engine.install(monkeypatch)
        return engine.start(name, Loading(), Batching(), VllmOptions(), None, True)


# vLLM itself ----------------------------------------------------------------------------------------------------------


def wide_tiny(folder: Path, family: str, sections: list[int]) -> str:
    """A tiny model with heads of 32 numbers, the least that vLLM's attention on a CPU takes."""
    import torch

    from cotasks.models.tiny import build_tiny

    narrow, processor = build_tiny(family)
    settings = narrow.config.to_dict()
    settings["text_config"] |= {"hidden_size": 128, "head_dim": 32}
    settings["text_config"]["rope_parameters"] |= {"mrope_section": sections}
    settings["vision_config"]["out_hidden_size"] = 128
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = type(narrow)(type(narrow.config)(**settings))
    model.generation_config = narrow.generation_config
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", ["toy", "qwen2_5_vl"])
def test_vllm_answers_as_transformers_do(
    family: str, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vllm", exc_type=ImportError)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # one process starts sooner than three
    model = family if family == "toy" else wide_tiny(tmp_path / "model", family, [4, 6, 6])
    given = {"sampling": Sampling(max_new_tokens=24), "loading": Loading(dtype="float32"), "progress": False}
    assert generate(records, CONDITIONS, model, tmp_path / "plain", **given).complete
    options = VllmOptions(max_model_len=4096, engine_args={"enforce_eager": True, "kv_cache_memory_bytes": 2**28})
    result = generate(records, CONDITIONS, model, tmp_path / "run", vllm=options, **given)
    assert (result.complete, result.failures) == (True, {})
    assert answers_of(tmp_path / "run") == answers_of(tmp_path / "plain")
    assert sys.modules["vllm"].__version__ == read_settings(tmp_path / "run")["versions"]["vllm"]
