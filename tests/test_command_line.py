"""What the command line has for every command: help, version, completion, files of options, defaults, extras, info."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

from cotasks.cli import app, main
from cotasks.commands import extras, info
from cotasks.commands.options import name_of
from cotasks.errors import MissingExtra
from cotasks.runs.folder import read_generations
from cotasks.tools.progress import progress_bar
from cotasks.tools.speaking import speaking
from cotasks.version import VERSION

ROOT = Path(__file__).parents[1]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TINY = ["generate", "sample", "--model", "tiny", "--limit", "1", "--max-new-tokens", "2"]

toml = pytest.importorskip("tomllib") if sys.version_info >= (3, 11) else None


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of an error, after exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cotasks: ")]
    return line


# help, version, completion --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["generate", "-h"]], ids=" ".join)
def test_help_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "Usage: cotasks" in printed.out
    assert printed.err == ""


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cotasks {VERSION}\n"


def test_a_shell_completes_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_COTASKS_COMPLETE", "complete_bash")
    for words, expected in (("cotasks gen", "generate"), ("cotasks generate --top", "--top-k")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit) as stopped:
            main([])
        assert stopped.value.code == 0
        assert expected in capsys.readouterr().out.splitlines()


def test_help_loads_no_torch() -> None:
    heavy = "torch", "transformers", "openai", "matplotlib", "decord", "av"
    program = (
        "import sys; from cotasks.cli import main; assert main(['generate', '-h']) == 0 == main(['info']);"
        f"sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def options_of(command: str) -> dict[str, Any]:
    return {option: p for p in COMMANDS[command].params for option in p.opts if option.startswith("--")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_common_options(command: str) -> None:
    assert {"--config", "--verbose", "--quiet", "--debug"} <= options_of(command).keys()
    assert COMMANDS[command].rich_help_panel


def test_one_option_has_one_name_and_one_type() -> None:
    kinds: dict[str, set[str]] = {}
    for command in app.registered_commands:
        assert command.callback is not None
        for name, annotation in command.callback.__annotations__.items():
            if typing.get_args(annotation):
                kind = re.findall(r"\b(str|int|float|bool|Path)\b", str(typing.get_args(annotation)[0]))
                kinds.setdefault(name, set()).add(" ".join(kind))  # whether it can be left out or repeated or not
    assert {"videos", "config", "max_new_tokens"} <= kinds.keys()
    assert {name: kind for name, kind in kinds.items() if len(kind) > 1} == {}
    shown = {
        option
        for name in COMMANDS
        for option, p in options_of(name).items()
        if not p.hidden and (name, option) != ("import", "--data")  # FILE is its argument, so DATASET is none
    }
    # how things that are the same must not be called
    assert shown.isdisjoint({"--judge-url", "--max-tokens", "--run-folder", "--output", "--data", "--video-folder"})


@pytest.mark.parametrize(
    ("command", "old", "new"), [("steps", "--judge-url", "--base-url"), ("judge", "--max-tokens", "--max-new-tokens")]
)
def test_an_old_name_still_works_and_is_not_shown(command: str, old: str, new: str) -> None:
    assert options_of(command)[old].hidden
    assert not options_of(command)[new].hidden


# a file of options ----------------------------------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `show` hands on of its options."""
    from cotasks.commands import show

    given: dict[str, Any] = {}

    def find(dataset: str, config: Any, split: Any, id: Any, index: Any) -> None:
        given.update(dataset=dataset, config=config, split=split, id=id, index=index)
        raise OSError("called")

    monkeypatch.setattr(show, "_find", find)
    return given


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.yaml", "dataset: sample\nsplit: val\nindex: 3\ndataset-config: sample\nid: null\n"),
        ("run.yml", "{dataset: sample, split: val, index: 3, dataset_config: sample}"),
        ("run.json", '{"dataset": "sample", "split": "val", "index": 3, "dataset-config": "sample"}'),
    ],
)
def test_a_file_gives_arguments_and_options(
    name: str, text: str, called: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    main(["show", "--config", str(path)])
    assert called == {"dataset": "sample", "config": "sample", "split": "val", "id": None, "index": 3}
    main(["show", "other", "--index", "4", "--config", str(path)])  # the command line wins
    assert (called["dataset"], called["index"], called["split"]) == ("other", 4, "val")


@pytest.mark.parametrize(
    ("text", "command", "named"),
    [
        ("datset: sample", "show", ["run.yaml", "unknown key 'datset'", "dataset", "index"]),
        ("debug: true", "show", ["unknown key 'debug'"]),
        ("dataset: sample\nindex: many", "show", ["run.yaml", "--index", "many"]),
        ("dataset: sample\nindex: 1.5", "show", ["run.yaml", "--index", "1.5"]),
        ("dataset: [a, b]", "show", ["run.yaml", "dataset", "['a', 'b']"]),
        ("dataset: {a: b}", "show", ["run.yaml", "dataset", "{'a': 'b'}"]),
        ("frames: maybe\nruns: [r]", "report", ["run.yaml", "frames", "maybe", "true or false"]),
        ("- a\n- b", "show", ["run.yaml", "['a', 'b']", "mapping"]),
        ("a: [", "show", ["run.yaml", "YAML"]),
        ("dataset-config: a\ndataset_config: b", "show", ["twice"]),
        ("split: val", "show", ["DATASET"]),
    ],
)
def test_a_wrong_file_is_named_with_its_key(
    text: str, command: str, named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    line = fails(capsys, command, "--config", tmp_path / "run.yaml")
    assert all(part.lower() in line.lower() for part in named), line


def test_a_wrong_value_of_the_command_line_is_not_blamed_on_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text("dataset: sample\nindex: 2")
    line = fails(capsys, "show", "--index", "many", "--config", tmp_path / "run.yaml")
    assert "many" in line
    assert "run.yaml" not in line


def test_a_config_of_the_data_set_is_told_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--dataset-config" in fails(capsys, "show", "sample", "--config", "nextqa_oe")


def test_a_run_is_repeated_from_its_own_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    told = ["--condition", "blind", "--condition", "cotasks-12:frames=8", "--num-frames", "12", "--split", "test"]
    drawn = ["--temperature", "0.7", "--samples", "2", "--seed", "5"]
    assert main([*TINY, *told, *drawn, "--run", str(first)]) == 0
    record = str(first / "run.json")
    assert main(["generate", "--config", record, "--run", str(again)]) == 0
    assert json.loads((again / "run.json").read_text()) == json.loads((first / "run.json").read_text())

    def answers(folder: Path) -> dict[Any, str]:
        return {key: row["answer"] for key, row in read_generations(folder).items()}

    assert len(answers(first)) > 0
    assert answers(again) == answers(first)
    # another command cannot repeat it, and one that it does not fit says so
    assert "cotasks generate" in fails(capsys, "predict", "--config", record, "--run", tmp_path / "steps")


def test_the_record_of_a_server_gives_its_options(tmp_path: Path) -> None:
    from cotasks.commands.repeat import options_of_run
    from cotasks.generate.sampling import Sampling
    from cotasks.generate.server.model import ServerOptions, unasked

    body = {"chat_template_kwargs": {"enable_thinking": False}, "repetition_penalty": 1.1}
    asked = {"image_format": "png", "min_pixels": 70_000, "max_pixels": 90_000, "extra_body": body}
    options = ServerOptions("http://localhost:1/v1", family="qwen3_vl", **asked)  # type: ignore[arg-type]
    sampling = Sampling(2, temperature=0.5, top_k=20, max_new_tokens=7)
    data = {"name": "built", "config": "star", "split": "test", "limit": None, "fingerprint": "", "videos": "/v"}
    settings = {"dataset": data, "conditions": {}, "max_new_tokens": 7, **unasked("m", options).settings(sampling)}
    found = options_of_run(settings, "generate", tmp_path)
    assert found == {
        **{"dataset": "built", "dataset_config": "star", "split": "test", "videos": "/v", "model": "m"},
        **{
            "max_new_tokens": 7,
            "condition": [],
            "samples": 2,
            "temperature": 0.5,
            "top_p": 1.0,
            "top_k": 20,
            "seed": 0,
        },
        **{"backend": "server", "base_url": "http://localhost:1/v1", "family": "qwen3_vl", "server_media": "images"},
        **asked,
    }


# defaults, extras, info -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("built/", "built"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen2.5-VL-3B-Instruct"),
        ("../a b", "a_b"),
        ("sample", "sample"),
    ],
)
def test_a_folder_is_named_after_what_was_asked(path: str, name: str) -> None:
    assert name_of(path) == name


def test_a_run_without_a_folder_is_told_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TINY, "--condition", "blind"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert f"Folder {Path('runs/sample-tiny')}" in printed
    assert printed[-1].endswith("in runs/sample-tiny")
    assert (tmp_path / "runs/sample-tiny/run.json").exists()


def test_all_missing_packages_and_extras_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"torch", "av", "scipy"}
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in gone else sys.__spec__)
    extras.require("judge", "wups")
    with pytest.raises(MissingExtra, match=re.escape("pip install 'cotasks[models,report]'")) as raised:
        extras.require("models", "video", "report")  # video comes with models
    assert all(package in str(raised.value) for package in gone)
    with pytest.raises(MissingExtra, match=re.escape("av is not installed; run: pip install 'cotasks[video]'")):
        extras.require("video")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (TINY, "cotasks[models]"),
        ([*TINY, "--backend", "server", "--base-url", "http://localhost:1/v1"], "cotasks[judge,video]"),
        (["study", "bias", *TINY[1:], "--judge", "openai:m"], "cotasks[models,report,judge]"),
        (["judge", "r", "--judge", "wups0"], "cotasks[wups]"),
        (["demo"], "cotasks[models,report]"),
        (["show", "sample", "--out", "x.png"], "cotasks[video]"),
        (["audit", "sample"], "cotasks[report]"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else value,
)
def test_a_command_names_all_extras_that_it_needs(
    command: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert f"pip install '{named}'" in fails(capsys, *command)
    assert list(tmp_path.glob("*")) in ([], [tmp_path / "datasets-cache"])


@pytest.mark.skipif(toml is None, reason="tomllib came with Python 3.11")
def test_the_extras_are_those_of_the_package() -> None:
    assert toml is not None
    declared = toml.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, modules in extras.EXTRAS.items():
        packages = {re.split(r"[\s>=<;\[]", line, maxsplit=1)[0] for line in declared[extra]} - {"cotasks"}
        assert set(modules.values()) >= packages - {"xxhash"}, extra
        assert set(modules.values()) <= packages, extra


def test_info_lists_what_there_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from cotasks.builders.readers.catalog import CATALOG
    from cotasks.judge.rules import RULES
    from cotasks.models.families import FAMILIES
    from cotasks.studies.catalog import STUDIES

    def version(package: str) -> str:
        if package == "torch":
            raise info.metadata.PackageNotFoundError
        return "1.2.3"

    monkeypatch.setattr(info.metadata, "version", version)
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for name in (*CATALOG, *FAMILIES, *RULES, *STUDIES, "baseline", "answer-match", VERSION):
        assert name in printed, name
    assert re.search(r"\| torch +\| not installed \|", printed)
    assert re.search(r"\| scipy +\| 1\.2\.3 +\|", printed)


# how much it says -----------------------------------------------------------------------------------------------------


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    for arguments in (["--debug", "show", "nowhere"], ["show", "nowhere", "--debug"]):
        with pytest.raises(ValueError, match="no such folder"):
            main(arguments)


@pytest.mark.parametrize("start", [["-m", "cotasks"], ["-c", "import cotasks.cli"]])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_an_interrupt_while_modules_load_is_one_line_of_the_command_only(tmp_path: Path, start: list[str]) -> None:
    (tmp_path / "typer.py").write_text("import pathlib, time\npathlib.Path('reached').touch()\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = subprocess.Popen(
        [sys.executable, *start],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a job in the background may ignore it
    )
    while not (tmp_path / "reached").exists():
        assert command.poll() is None
        time.sleep(0.02)
    command.send_signal(signal.SIGINT)
    said = command.communicate(timeout=20)[1]
    assert command.returncode == -signal.SIGINT
    assert (said == "Interrupted; run the same command again to go on.\n") is (start[0] == "-m")
    assert ("Traceback" in said) is (start[0] == "-c")


def test_verbose_says_which_options_are_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text("index: 7")
    assert main(["show", "nowhere", "-v", "--config", str(tmp_path / "run.yaml")]) == 2
    assert "cotasks show: dataset=nowhere" in (said := capsys.readouterr().err)
    assert "index=7" in said
    assert main(["show", "nowhere"]) == 2
    assert "dataset=nowhere" not in capsys.readouterr().err


def test_quiet_keeps_progress_back_and_ends_with_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    for quiet in (True, False):
        with speaking(quiet=quiet), progress_bar("questions") as update:
            update("built", 2, 2)
        assert ("built: 2 of 2" in capsys.readouterr().err) is not quiet
    assert dict(os.environ) == before


def test_tables_fit_a_terminal_and_are_whole_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cotasks.commands.output import print_markdown
    from cotasks.pages.markdown import table

    text = table(["condition", *(f"column {i}" for i in range(9))], [["cotasks", *["56.0 [49.6, 62.7]"] * 9]])
    print_markdown(text)
    assert capsys.readouterr().out == text + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm")
    print_markdown(text)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) <= 90
    assert "".join(printed.split()).count("56.0") == 9  # nothing is cut off
