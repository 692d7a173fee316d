"""What `cotasks info --model` says of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotasks.cli import main
from cotasks.errors import InputError

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")

from cotasks.models.likeness import UNSEEN, likeness  # noqa: E402
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
