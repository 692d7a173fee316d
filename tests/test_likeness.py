"""What `cotasks info --model` says of a checkpoint."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from cotasks.cli import main
from cotasks.errors import InputError

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")

from cotasks.models.likeness import UNSEEN, likeness  # noqa: E402
from cotasks.models.load import Loading, load_model  # noqa: E402
from cotasks.models.tiny import build_tiny  # noqa: E402
from cotasks.training.scripts import load_base  # noqa: E402
from tests.tiny_models import tiny  # noqa: E402


def write(folder: Path, config: object, family: str | None) -> Path:
    folder.mkdir()
    config.save_pretrained(folder)  # type: ignore[attr-defined]
    if family is not None:
        tiny(family)[1].save_pretrained(folder)
    return folder


def test_a_covered_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "m", tiny("qwen3_5")[0].config, "qwen3_5")
    found = likeness(str(folder))
    assert (found.model_type, found.covered) == ("qwen3_5", True)
    assert found.family is not None
    assert found.family.name == "qwen3_5"
    assert any(note.startswith("frames of its own limits") for note in found.notes)
    assert "thinking: off, unless told otherwise" in found.notes
    assert main(["info", "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "family qwen3_5, covered" in said
    assert "untested" not in said


def test_a_checkpoint_that_resembles_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "m", transformers.GlmOcrConfig(), "glm4v")
    found = likeness(str(folder))
    assert (found.model_type, found.covered) == ("glm_ocr", False)
    assert found.family is not None
    assert found.family.name == "glm4v"
    assert {"processor Glm4vProcessor", "video processor Glm4vVideoProcessor"} <= set(found.shared)
    assert main(["info", "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "no row covers it; it resembles glm4v, by its " in said
    assert all(part in said for part in UNSEEN)


def test_a_checkpoint_like_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "m", transformers.BertConfig(), None)
    assert likeness(str(folder)).family is None
    assert main(["info", "--model", str(folder)]) == 0
    assert "resembles no family; known: qwen2_5_vl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model_type", "family", "way"),
    [
        ("minicpmv", "minicpm_v", "--backend server"),
        ("kimi_vl", "kimi_k25", "vllm serve MODEL --trust-remote-code"),
        ("videollama3_qwen2", "video_llama_3", "in transformers' format"),
        ("internvl_chat", "internvl", "in transformers' format"),
    ],
)
def test_a_checkpoint_whose_code_is_its_own(
    model_type: str, family: str, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither read nor run, told to trust it or not; the family's row says how it is asked."""
    code = {"AutoConfig": "configuration_own.OwnConfig"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "auto_map": code}))
    found = likeness(str(tmp_path))
    assert found.family is not None
    assert (found.model_type, found.family.name, found.covered) == (model_type, family, False)
    assert main(["info", "--model", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"model type {model_type} is of {family}, with code of its own, which is not run here: " in said
    assert way in said
    assert "untested" not in said
    for load in (load_model, load_base):
        with pytest.raises(InputError, match="with code of its own") as caught:
            load(str(tmp_path))
        assert way in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=re.escape(way)):
        load_model(str(tmp_path), Loading(trust_remote_code=True))


def test_a_family_that_needs_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "perception_lm"}')
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "timm" else find(name, *more))
    with pytest.raises(InputError, match="models of perception_lm need timm: pip install timm"):
        load_model(str(tmp_path))
    with pytest.raises(InputError, match="need timm"):
        build_tiny("perception_lm")


def test_a_type_that_transformers_does_not_know(tmp_path: Path) -> None:
    folder = tmp_path / "Molmo2-30B"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "molmo9"}')
    found = likeness(str(folder))
    assert found.family is not None
    assert (found.model_type, found.family.name, found.covered) == ("", "molmo2", False)
    assert "knows no model type 'molmo9'" in found.notes[0]
    with pytest.raises(InputError, match="no configuration to be read"):
        likeness(str(tmp_path / "nowhere"))
