"""Publishing runs and fetching them: the same scores come back, and no path, key or name of this machine goes out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.publish.pull import pull_run
from cotasks.builders.publish.push import push
from cotasks.builders.publish.push_run import push_run
from cotasks.builders.publish.run_files import cleaned
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.judge.judges import scored_by
from cotasks.judge.run import judge_run
from cotasks.records.dataset import load_records
from cotasks.runs.labels import Label, append_labels
from cotasks.runs.predictions import read_predictions
from cotasks.runs.run import read_run
from cotasks.sample import DATA_DIR
from tests.hub_client import hub_environment
from tests.hub_server import TOKEN, File, Hub
from tests.judge_server import JudgeServer, verdict
from tests.report_runs import write_run
from tests.synthetic import write_folder
from tests.view_world import HOSTILE, moving_record, said, write_predicted

NAME = "lab/runs"
HOME = "/home/ann lee/secret-project"
"""Where the videos, the model and more of the run were, on the machine that made it."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one`, a run with verdicts of two rules and a language model, and `steps`, predictions; both full of paths."""
    folder = tmp_path_factory.mktemp("runs")
    made = [moving_record(video, number) for video in range(3) for number in range(2)]
    records = load_records(str(write_folder(folder / "data", made)))
    one = write_run(folder / "one", records, said, ("baseline", "cotasks"), f"{HOME}/models/qwen", ("exact", "f1"))
    settings = json.loads((one / "run.json").read_text())
    settings["dataset"] |= {"videos": f"{HOME}/videos"}
    settings["predictions"] = {"folder": f"{HOME}/steps", "fingerprint": "1f"}
    (one / "run.json").write_text(json.dumps(settings))
    failures = one / "failures/00000.jsonl"
    row = json.loads(failures.read_text().splitlines()[0])
    rows = [{**row, "detail": f"{HOME}/videos/v2.mp4: cut off; see /var/tmp/ann/log.txt"}]
    failures.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with JudgeServer(lambda number, request: verdict(5, "yes")) as server:
        judge_run(one, "openai:m", base_url=server.url, progress=False)
    append_labels(read_run(one), [Label((made[0].id, "baseline", 0), "ann", 100.0)])
    write_predicted(folder / "steps", records)
    return folder


@pytest.fixture
def one(runs: Path, tmp_path: Path) -> Path:
    """A copy of the run to change."""
    return Path(shutil.copytree(runs / "one", tmp_path / "one"))


def files_of(hub: Hub, under: str = "runs/") -> dict[str, bytes]:
    return {path: content for path, content in hub.repos[NAME].files.items() if path.startswith(under)}


def card_of(hub: Hub) -> tuple[Any, str]:
    _, head, text = hub.repos[NAME].files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_run_comes_back_with_its_scores(hub: Hub, runs: Path, tmp_path: Path) -> None:
    result = push_run(runs / "one", NAME, endpoint=hub.endpoint, tag="v1")
    assert len(hub.repos[NAME].commits) == 2
    assert hub.repos[NAME].tags == {"v1": result.commit}
    pulled = pull_run(NAME, None, tmp_path / "back", "v1", endpoint=hub.endpoint)
    here, back = read_run(runs / "one"), read_run(tmp_path / "back")
    assert (back.questions, back.generations, back.wanted) == (here.questions, here.generations, here.wanted)
    assert scored_by(back) == scored_by(here)
    assert set(scored_by(here)) == {"exact", "f1", "openai:m"}
    assert pulled.commit == result.commit
    assert pulled.files == len([path for path in files_of(hub) if not path.endswith("answers.parquet")])
    assert not list(tmp_path.glob(".*back*"))
    # what has nothing to cut is sent as it is
    for name in ("questions.jsonl", "generations/00000.jsonl", "verdicts/openai-m.jsonl", "verdicts/openai-m.json"):
        assert hub.repos[NAME].files[f"runs/one/{name}"] == (runs / "one" / name).read_bytes()


def test_no_path_of_this_machine_is_published(hub: Hub, runs: Path) -> None:
    result = push_run(runs / "one", NAME, endpoint=hub.endpoint)
    sent = b"".join(hub.repos[NAME].files.values())
    for part in (b"/home", b"ann lee", b"secret-project", b"/var/tmp", str(runs).encode(), TOKEN.encode()):
        assert part not in sent, part
    assert not [path for path in files_of(hub) if "/labels/" in path]
    assert [path for path in result.not_sent if path.startswith("labels/")]
    settings = json.loads(files_of(hub)["runs/one/run.json"])
    assert settings["model"]["name"] == "qwen"
    assert (settings["dataset"]["name"], settings["dataset"]["videos"]) == ("data", "videos")
    assert settings["predictions"]["folder"] == "steps"
    (row,) = map(json.loads, files_of(hub)["runs/one/failures/00000.jsonl"].splitlines())
    assert row["detail"] == "videos/v2.mp4: cut off; see log.txt"
    assert HOSTILE in files_of(hub)["runs/one/generations/00000.jsonl"].decode()  # an answer stays as it is


def test_labels_are_published_where_that_is_asked_for(hub: Hub, runs: Path, tmp_path: Path) -> None:
    push_run(runs / "one", NAME, labels=True, endpoint=hub.endpoint)
    pull_run(NAME, "one", tmp_path / "back", endpoint=hub.endpoint)
    assert (tmp_path / "back/labels/ann.jsonl").read_bytes() == (runs / "one/labels/ann.jsonl").read_bytes()
    result = push_run(runs / "one", NAME, endpoint=hub.endpoint)
    assert [change.path for change in result.changes if change.kind == "delete"] == ["runs/one/labels/ann.jsonl"]


def test_the_table_has_plain_columns(hub: Hub, runs: Path, tmp_path: Path) -> None:
    push_run(runs / "one", NAME, endpoint=hub.endpoint)
    (tmp_path / "answers.parquet").write_bytes(files_of(hub)["runs/one/answers.parquet"])
    table = pq.read_table(tmp_path / "answers.parquet")
    assert {str(field.type) for field in table.schema} == {"string", "int32", "double", "bool"}
    run = read_run(runs / "one")
    assert table.num_rows == len(run.generations) + len(run.failures) == 12
    for row in table.to_pylist():
        key = row["id"], row["condition"], row["sample"]
        failed = key in run.failures
        assert row["failure"] == ("video cut off" if failed else None)
        assert row["answer"] == (None if failed else run.generations[key]["answer"])
        assert row["reference"] == run.questions[key[0]]["answer"]
        for judge, verdicts in scored_by(run).items():
            assert (row[f"{judge}_score"], row[f"{judge}_correct"]) == (verdicts[key].score, verdicts[key].correct)


READ = """
import json, sys
sys.modules["cotasks"] = None
from datasets import get_dataset_config_names, load_dataset
names = get_dataset_config_names(sys.argv[1])
rows = {name: len(load_dataset(sys.argv[1], name, split="validation")) for name in names}
print(json.dumps(rows))
"""


@pytest.mark.slow
def test_runs_stand_beside_each_other_and_beside_a_data_set(hub: Hub, runs: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("star", data_dir=DATA_DIR), tmp_path / "built")
    push(tmp_path / "built", NAME, endpoint=hub.endpoint)
    push_run(runs / "one", NAME, endpoint=hub.endpoint)
    push_run(runs / "steps", NAME, endpoint=hub.endpoint)
    push_run(runs / "one", NAME, name="another", endpoint=hub.endpoint)
    head, text = card_of(hub)
    before = dict(hub.repos[NAME].files)
    push(tmp_path / "built", NAME, endpoint=hub.endpoint)
    assert hub.repos[NAME].files == before  # a push of the data set leaves the runs, and what the card says of them
    names = [config["config_name"] for config in head["configs"]]
    assert names == ["star", "one", "steps", "steps_steps", "another"]
    assert {"apache-2.0", "mit", "cc-by-sa-4.0"} <= set(head["license"])
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `") and "qwen" in line] == [
        "`another`",
        "`one`",
    ]
    done = subprocess.run(
        [sys.executable, "-c", READ, NAME],
        env=hub_environment(hub, tmp_path / "home"),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    star = pq.read_metadata(next((tmp_path / "built/star").glob("validation-*.parquet"))).num_rows
    assert json.loads(done.stdout) == {"star": star, "one": 12, "steps": 12, "steps_steps": 6, "another": 12}
    with pytest.raises(InputError, match=r"which run is not said; runs there: another, one, steps$"):
        pull_run(NAME, None, tmp_path / "back", endpoint=hub.endpoint)
    pull_run(NAME, "steps", tmp_path / "back", endpoint=hub.endpoint)
    assert read_predictions(tmp_path / "back").fingerprint == read_predictions(runs / "steps").fingerprint
    with pytest.raises(InputError, match=r"star is the name of another config there; choose another with --name"):
        push_run(runs / "one", NAME, name="star", endpoint=hub.endpoint)


def test_the_card_is_one_that_hostile_names_do_not_break(hub: Hub, one: Path) -> None:
    settings = json.loads((one / "run.json").read_text())
    settings["model"]["name"] = f"{HOSTILE} | `x`"
    (one / "run.json").write_text(json.dumps(settings))
    push_run(one, NAME, endpoint=hub.endpoint)
    head, text = card_of(hub)
    assert head["configs"][0]["data_files"] == [{"split": "validation", "path": "runs/one/answers.parquet"}]
    assert "<script>" not in text.replace(r"\<", "")
    (line,) = [line for line in text.splitlines() if line.startswith("| `one`")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 8


def test_a_run_that_goes_on_takes_its_own_place_and_no_other_s(hub: Hub, one: Path) -> None:
    push_run(one, NAME, endpoint=hub.endpoint)
    again = push_run(one, NAME, endpoint=hub.endpoint)
    assert {change.kind for change in again.changes} == {"keep"}
    assert len(hub.repos[NAME].commits) == 2
    (one / "verdicts/f1.jsonl").unlink()
    promised = push_run(one, NAME, dry_run=True, endpoint=hub.endpoint)
    done = push_run(one, NAME, endpoint=hub.endpoint)
    assert promised.changes == done.changes
    kinds = {change.path: change.kind for change in done.changes if change.kind != "keep"}
    assert kinds == {
        "README.md": "change",
        "runs/one/answers.parquet": "change",
        "runs/one/verdicts/f1.jsonl": "delete",
    }
    settings = json.loads((one / "run.json").read_text())
    settings["model"]["name"] = "org/other"
    (one / "run.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"runs/one there is another run: model.name 'qwen', here 'org/other'; choose"):
        push_run(one, NAME, endpoint=hub.endpoint)
    assert len(hub.repos[NAME].commits) == 3


def append(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: append(f / "generations/00000.jsonl", '{"id": "x", "cond'), r"00000.jsonl:12: the last line is cut"),
        (lambda f: append(f / "generations/00000.jsonl", "[]\n"), r"00000.jsonl:12: \[\]; expected a JSON object"),
        (lambda f: [shutil.rmtree(f / part) for part in ("generations", "failures")], "no answers to judge"),
        (lambda f: append(f / "options/readings.jsonl", "[]\n"), r"readings.jsonl:1: \[\]; expected a JSON object"),
        (lambda f: (f / "run.json").write_text("{"), "run.json: not JSON"),
        (lambda f: (f / "questions.jsonl").unlink(), "questions.jsonl: no such file"),
        (lambda f: append(f / "verdicts/exact.jsonl", "{}\n"), "exact.jsonl:12: a verdict without"),
        (lambda f: (f / "verdicts/openai-m.json").write_text("{}"), "openai-m.json: not the settings of a judge"),
        (lambda f: append(f / "verdicts/mine.jsonl", "{}\n"), "mine.jsonl: of no judge of this version"),
        (
            lambda f: append(f / "failures/00000.jsonl", '{"reason": "' + TOKEN + '"}\n'),
            "00000.jsonl:2: holds what looks",
        ),
        (
            lambda f: append(f / "unmatched.jsonl", '{"place": "' + TOKEN + '"}\n'),
            "unmatched.jsonl:1: holds what looks",
        ),
        (
            lambda f: append(f / "unmatched.jsonl", json.dumps({"a": "sk-" + "a1" * 20}) + "\n"),
            r"unmatched.jsonl:1: holds what looks like a key; expected none",
        ),
        (lambda f: shutil.rmtree(f), "not a run folder"),
    ],
)
def test_a_damaged_run_is_refused_before_anything_is_sent(
    hub: Hub, one: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(one)
    with pytest.raises(InputError, match=message) as caught:
        push_run(one, NAME, endpoint=hub.endpoint)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert hub.log == []


def test_a_push_that_breaks_leaves_the_old_state_and_goes_on(hub: Hub, one: Path) -> None:
    push_run(one, NAME, endpoint=hub.endpoint)
    (one / "verdicts/f1.jsonl").unlink()
    for part in ("/preupload/", "/lfs/", "/commit/"):
        hub.fault = lambda request, part=part: "drop" if part in request.path else None  # type: ignore[misc]
        with pytest.raises(InputError, match="run the same command again to go on"):
            push_run(one, NAME, endpoint=hub.endpoint)
        assert "runs/one/verdicts/f1.jsonl" in hub.repos[NAME].files
    hub.fault = lambda request: None
    push_run(one, NAME, endpoint=hub.endpoint)
    assert "runs/one/verdicts/f1.jsonl" not in hub.repos[NAME].files
    assert len(hub.repos[NAME].commits) == 3


def test_a_pull_is_whole_or_not_there(hub: Hub, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=f"^{NAME}: no such data set, or a private one; for those log in"):
        pull_run(NAME, "one", tmp_path / "back", endpoint=hub.endpoint)
    push_run(one, NAME, tag="v1", endpoint=hub.endpoint)
    out = tmp_path / "back"
    for arguments, message in (
        (("two", out, None), "no run two; runs there: one$"),
        (("one", out, "v9"), "no revision v9; expected a tag"),
        (("one", one, None), "exists; expected the name of a new folder"),
    ):
        with pytest.raises(InputError, match=message):
            pull_run(NAME, *arguments, endpoint=hub.endpoint)
    hub.fault = lambda request: "drop" if request.path.endswith("exact.jsonl") else None
    with pytest.raises(InputError, match="run the same command again to go on"):
        pull_run(NAME, "one", out, endpoint=hub.endpoint)
    assert not out.exists()
    hub.fault = lambda request: None
    asked = len(hub.log)
    pull_run(NAME, "one", out, endpoint=hub.endpoint)
    again = [r for r in hub.log[asked:] if r.method == "GET" and r.path.endswith("questions.jsonl")]
    assert out.is_dir()
    assert again == []  # it lay in the cache
    files = {**hub.repos[NAME].commits[-1].files, "runs/one/questions.jsonl": File(b"{}\n", lfs=False)}
    hub.commit(NAME, "someone spoils it", {**files, "runs/one/../../evil.jsonl": File(b"", lfs=False)})
    with pytest.raises(InputError, match=f"^{NAME}: runs/one/questions.jsonl:1: without"):
        pull_run(NAME, "one", tmp_path / "spoilt", endpoint=hub.endpoint)
    assert not (tmp_path / "spoilt").exists()
    monkeypatch.delenv("HF_TOKEN")  # a public run needs no token
    pull_run(NAME, "one", tmp_path / "public", "v1", endpoint=hub.endpoint)


def test_the_commands(
    hub: Hub, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)  # as HF_ENDPOINT does
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.chdir(tmp_path)
    assert main(["push", str(runs / "one"), NAME, "--dry-run"]) == 0
    assert "Nothing sent" in capsys.readouterr().out
    assert main(["push", str(runs / "one"), NAME, "--name", "qwen-3b", "--tag", "v1"]) == 0
    assert "not sent: labels/ann.jsonl (no part of what is published of a run)" in capsys.readouterr().out
    assert main(["pull", NAME]) == 0
    assert "11 answers to 6 questions: runs/qwen-3b" in capsys.readouterr().out
    assert main(["steps", "runs/qwen-3b"]) == 2  # a run, not predictions, and read as one
    capsys.readouterr()
    assert main(["push", str(runs / "one"), NAME, "--embed-videos", str(tmp_path)]) == 2
    assert "--embed-videos is for built folders" in capsys.readouterr().err
    assert main(["push", str(tmp_path), NAME, "--labels"]) == 2
    assert "--labels is for runs" in capsys.readouterr().err
    assert main(["push", str(runs / "one"), NAME, "--name", "a/b"]) == 2
    assert "expected letters, digits, dots" in capsys.readouterr().err


PARTS = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-_"), min_size=1, max_size=8)


@given(parts=st.lists(PARTS, min_size=2, max_size=5), before=st.sampled_from(["", "see ", "(", "file://", "at: "]))
def test_of_a_path_the_last_part_is_left(parts: list[str], before: str) -> None:
    path = "/" + "/".join(parts)
    kept = before.removeprefix("file://")
    assert cleaned(before + path) == kept + parts[-1]
    assert cleaned({"detail": [f"{before}{path}: cut off"]}) == {"detail": [f"{kept}{parts[-1]}: cut off"]}
    assert cleaned({"videos": path + "/"}, whole=True) == {"videos": parts[-1]}
    assert cleaned({"answer": path, "base_url": path}, whole=True) == {"answer": path, "base_url": path}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://127.0.0.1:8000/v1",
            "https://host/a/b/c",
            "org/model",
            "nextqa/validation/v0/0",
            "25 frames/s",
            "1/2/3",
        ),
        *("a / b", "and/or", "", "built/data", "../data", "/", "half a </b></i>"),
    ],
)
def test_what_is_no_path_of_this_machine_stays(text: str) -> None:
    assert cleaned(text) == text


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/data/my models/qwen 3/", "qwen 3"),
        ("~/videos", "videos"),
        (r"C:\Users\ann\videos", "videos"),
        (r"\\server\share\videos", "videos"),
        ("file:///mnt/videos", "videos"),
        ("/work/answers.jsonl:4", "answers.jsonl:4"),
    ],
)
def test_settings_that_are_paths_are_cut_whole(path: str, left: str) -> None:
    assert cleaned({"name": path}, whole=True) == {"name": left}
    assert cleaned({"place": path}) == {"place": left}
