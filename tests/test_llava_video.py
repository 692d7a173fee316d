"""A checkpoint in the format of LLaVA-Video as published: converted, and run as LLaVA-NeXT runs it."""

from __future__ import annotations

import json
import math
import pickle
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from cotasks.errors import InputError
from cotasks.generate.local.encode import Encoded, Encoder
from cotasks.generate.local.vision import Reuse, model_inputs, reuse_of
from cotasks.generate.prepare import Item
from cotasks.models.families import FAMILIES
from cotasks.models.load import check_template, load_model
from cotasks.models.tensors import collate_for_generation
from cotasks.models.tiny import _BUILDERS
from cotasks.prompts.prompt import Prompt
from cotasks.training.scripts import load_base
from tests.tiny_models import clip, prompt

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SCRIPT = Path(__file__).parents[1] / "examples" / "convert_llava_video.py"
FAMILY = FAMILIES["llava_onevision"]
CLIPS = [clip("llava_onevision", num_frames=n, seed=n) for n in (4, 3)]


def convert(source: Path, target: Path) -> None:
    runpy.run_path(str(SCRIPT))["convert"](source, target, vision_heads=2)


def publish(folder: Path, **changes: Any) -> Any:
    """Write a tiny checkpoint with the names and settings of the published ones; the model of it."""
    model_class, config, processor = _BUILDERS["llava_onevision"](transformers)
    config.text_config.rope_parameters = {"rope_type": "default", "rope_theta": 1e6}
    torch.manual_seed(0)
    model = model_class(config).eval()
    text = config.text_config.to_dict()
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    names += ("max_position_embeddings", "rms_norm_eps", "hidden_act", "sliding_window", "use_sliding_window")
    settings = {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava",
        **{name: text[name] for name in names},
        "rope_theta": 1e6,
        "rope_scaling": None,
        "vocab_size": text["vocab_size"],
        "tie_word_embeddings": False,
        "add_faster_video": False,
        "add_time_instruction": True,
        "mm_newline_position": "grid",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu",
        "mm_spatial_pool_mode": "bilinear",
        "mm_spatial_pool_stride": 2,
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**settings, **changes}))
    weights = {}
    for name, weight in model.state_dict().items():
        name = name.replace("model.language_model.", "model.")
        name = name.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
        name = name.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
        weights[name.replace("model.vision_tower.", "model.vision_tower.vision_tower.vision_model.")] = weight
    halves = list(weights.items())[::2], list(weights.items())[1::2]
    from safetensors.torch import save_file

    for number, half in enumerate(halves, 1):
        save_file(dict(half), folder / f"model-{number:05}-of-00002.safetensors")
    processor.tokenizer.save_pretrained(folder)
    return model


def inputs_of(loaded: Any, number: int) -> Any:
    return collate_for_generation(loaded.processor, FAMILY, [prompt("Why did he run?")], [CLIPS[number]])


def as_llava_next(model: Any, batch: Any, pooling: str, newlines: str) -> Any:
    """Logits of the last token, the video put together as LLaVA-NeXT's llava_arch.py describes, from the tower on."""
    inner, frames = model.model, batch["pixel_values_videos"][0]
    with torch.no_grad():
        patches = inner.multi_modal_projector(inner.vision_tower(frames, output_hidden_states=True).hidden_states[-1])
        side = math.isqrt(patches.shape[1])
        tokens = []
        for frame in patches:
            grid = frame.T.reshape(1, -1, side, side)
            if pooling == "average":
                grid = torch.nn.functional.avg_pool2d(grid, 2)
            else:
                grid = torch.nn.functional.interpolate(grid, size=[math.ceil(side / 2)] * 2, mode="bilinear")
            for row in range(grid.shape[2]):
                tokens += [grid[0, :, row, column] for column in range(grid.shape[3])]
                tokens += [inner.image_newline] if newlines == "grid" else []
        tokens += [inner.image_newline] if newlines == "one_token" else []
        ids = batch["input_ids"][0].tolist()
        video = model.config.video_token_id
        assert ids.count(video) == len(tokens)
        before = ids.index(video)
        words = inner.get_input_embeddings().weight
        embeds = torch.cat([words[ids[:before]], torch.stack(tokens), words[ids[before + len(tokens) :]]])
        return model(inputs_embeds=embeds[None]).logits[0, -1]


@pytest.mark.parametrize("pooling", ["bilinear", "average"])
@pytest.mark.parametrize("newlines", ["grid", "one_token"])
def test_a_converted_checkpoint_sees_what_llava_next_shows(newlines: str, pooling: str, tmp_path: Path) -> None:
    original = publish(tmp_path / "published", mm_newline_position=newlines, mm_spatial_pool_mode=pooling)
    convert(tmp_path / "published", tmp_path / "hf")
    loaded = load_model(str(tmp_path / "hf"))
    check_template(loaded)
    expected = {} if (newlines, pooling) == ("one_token", "bilinear") else {"mm_newline_position": newlines}
    assert loaded.settings.get("repaired", {}).get("mm_newline_position") == expected.get("mm_newline_position")
    assert (loaded.processor.video_processor.image_mean, loaded.limits.fixed) == ((0.5,) * 3, (56, 56))
    for number in range(len(CLIPS)):
        batch = inputs_of(loaded, number)
        text = loaded.processor.tokenizer.decode(batch["input_ids"][0]).replace("<video>", "")
        assert text == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n\nWhy did he run?<|im_end|>\n<|im_start|>assistant\n"
        )
        with torch.inference_mode():
            logits = loaded.model(**batch).logits[0, -1]
        reference = as_llava_next(original, batch, pooling, newlines)
        assert (logits - reference).abs().max() < 1e-4
        assert reference.std() > 0.5


def test_a_version_that_ends_rows_in_newlines_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "published")
    convert(tmp_path / "published", tmp_path / "hf")

    def by_rows(self: Any, video_inputs: Any, video_idx: int, **_: Any) -> str:
        return str(self.video_token * (len(video_inputs["pixel_values_videos"][video_idx]) * 2 * 3))

    monkeypatch.setattr(transformers.LlavaOnevisionProcessor, "replace_video_token", by_rows)
    loaded = load_model(str(tmp_path / "hf"))
    assert "repaired" not in loaded.settings
    assert not {"apply_pooling", "get_video_features"} & vars(loaded.model.model).keys()
    assert "replace_video_token" not in vars(loaded.processor)
    monkeypatch.undo()
    again = load_model(str(tmp_path / "hf"))
    assert again.settings["repaired"] == {"mm_newline_position": "grid", "mm_spatial_pool_mode": "bilinear"}
    assert {"apply_pooling", "get_video_features"} <= vars(again.model.model).keys()


def test_reuse_is_exact_and_training_sees_the_same(tmp_path: Path) -> None:
    publish(tmp_path / "published", mm_spatial_pool_mode="average")
    convert(tmp_path / "published", tmp_path / "hf")
    model = load_model(str(tmp_path / "hf"))
    assert reuse_of(model) == Reuse(True, True)
    items = [
        Item((f"q{i}", "baseline", 0), "v", Prompt(prompt(text).messages, (), "", 0), CLIPS[i % 2])
        for i, text in enumerate(("Why?", "How did he do it?", "Who then?"))
    ]
    results = []
    for reuse in (Reuse(False, False), Reuse(True, False), Reuse(True, True)):
        rows = [row for item in items for row in Encoder(model, 6).encode([item]) if isinstance(row, Encoded)]
        answers = []
        for row in rows:
            inputs, width = model_inputs(model, [row], reuse)
            with torch.inference_mode():
                answers.append(model.model.generate(**inputs, generation_config=model.generation_config(6))[0, width:])
        results.append([answer.tolist() for answer in answers])
    assert results[0] == results[1] == results[2]

    base = load_base(str(tmp_path / "hf"))
    pickle.loads(pickle.dumps(base.processor))  # as for DataLoader workers
    batch = inputs_of(model, 0)
    assert torch.equal(inputs_of(base, 0)["input_ids"], batch["input_ids"])
    with torch.no_grad():
        logits = base.model(**batch).logits
        assert torch.allclose(logits, model.model(**batch).logits, atol=1e-5)
    # what training writes loads as the same model
    base.model.save_pretrained(tmp_path / "trained")
    base.processor.save_pretrained(tmp_path / "trained")
    again = load_model(str(tmp_path / "trained"))
    assert again.settings["repaired"] == model.settings["repaired"]
    assert torch.equal(inputs_of(again, 0)["input_ids"], batch["input_ids"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["LlavaLlamaForCausalLM"]}, r"\['LlavaLlamaForCausalLM'\]; expected LlavaQwenForCausalLM"),
        ({"add_faster_video": True}, "add_faster_video is True; expected False"),
        ({"mm_spatial_pool_stride": 4}, "mm_spatial_pool_stride is 4; expected 2"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling is .*; expected None"),
        ({"num_hidden_layers": 3}, r"weights missing \['model.language_model.layers.2"),
    ],
)
def test_other_checkpoints_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    publish(tmp_path / "published", **changes)
    with pytest.raises(InputError, match=words) as caught:
        convert(tmp_path / "published", tmp_path / "hf")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hf").exists()


def test_a_newline_position_that_is_not_known(tmp_path: Path) -> None:
    publish(tmp_path / "published", mm_newline_position="frame")
    convert(tmp_path / "published", tmp_path / "hf")
    with pytest.raises(InputError, match=r"mm_newline_position is 'frame'.*expected one of grid, one_token"):
        load_model(str(tmp_path / "hf"))


def test_the_script_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path / "published", architectures=["Other"])
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path / "published"), str(tmp_path / "hf")])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ")
    assert error[-1].endswith("expected LlavaQwenForCausalLM")
