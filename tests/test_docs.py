"""README and card say what is so."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
import typer

from cotasks.cli import app
from cotasks.models.families import FAMILIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_prints_what_the_readme_shows() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert printed.getvalue() == blocks("text")[0]


def test_there_are_two_set_up_commands_and_ci_runs_the_second() -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("pip install")]
    assert commands == ["pip install '.[models,report]' && cotasks demo", "pip install -e '.[test]' && pytest"]
    assert commands[1] in (ROOT / ".ci/run").read_text().splitlines()


def test_every_command_shown_exists_with_its_options() -> None:
    known = {
        command.name: {option for parameter in command.params for option in parameter.opts}
        for command in typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    }
    shown = re.findall(r"^cotasks (\w+)((?:.*\\\n)*.*)$", "\n".join(blocks("bash")), flags=re.MULTILINE)
    assert {name for name, _ in shown} >= {"build", "show", "generate", "judge", "report"}
    for name, rest in shown:
        assert set(re.findall(r"--[a-z-]+", rest)) <= known[name], name


def test_every_family_and_module_is_named() -> None:
    for family in FAMILIES:
        assert f"| `{family}` |" in README
    layout = next(block for block in blocks("text") if "builders/" in block)
    for path in [*(ROOT / "cotasks").glob("*.py"), *(ROOT / "builders").glob("*.py")]:
        if path.name not in ("__init__.py", "__main__.py"):
            assert path.name in layout, path.name


@pytest.mark.parametrize("name", ["README.md", "dataset_card.md", "cotasks", "builders", "examples", "tests"])
def test_the_top_level_is_as_agreed(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "examples/look_at_records.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "look_at_records.ipynb", "exec"), names)
    assert (tmp_path / "record.gif").stat().st_size > 1000
