"""Tasks for other harnesses: the prompts are those that `generate` sends, and the harnesses take the tasks."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from cotasks.errors import InputError
from cotasks.export.harness import harness, score
from cotasks.generate.run import generate
from cotasks.generate.server.model import ServerOptions
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import FEATURES
from tests.model_server import MODEL, ModelServer, frames_of, seen, texts_of
from tests.report_runs import make_world
from tests.synthetic import make_record

ROOT = Path(__file__).parents[1]
LMMS = ROOT / "examples/harness/lmms_eval"
CONDITIONS = ("baseline", "cotasks", "cotasks-12:frames=3", "blind-cotasks")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, 1, 2)
    return folder


@pytest.fixture(scope="module")
def records(world: Path) -> Records:
    return load_records(str(world / "data"))


def test_prompts_are_those_that_generate_sends(
    world: Path, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    requests: list[Any] = []
    lock = threading.Lock()

    def answer(number: int, request: Any) -> Any:
        with lock:
            requests.append(request)
        return seen(request)

    with ModelServer(answer) as server:
        options = ServerOptions(server.url, media="images", image_format="png")
        asked = [parse_condition(name) for name in CONDITIONS]
        generate(records, asked, MODEL, tmp_path, videos=world / "videos", server=options, progress=False)
    sent = {tuple(texts_of(request)): frames_of(request) for request in requests}
    made = {}
    for name in CONDITIONS:
        for record in records:
            parts = harness(name, "qwen2_5_vl", world / "videos").parts(record)
            made[tuple(part for part in parts if isinstance(part, str))] = [p for p in parts if not isinstance(p, str)]
    assert made.keys() == sent.keys()
    for text, pictures in made.items():
        assert len(pictures) == len(sent[text])
        assert all(np.array_equal(a, b) for a, b in zip(pictures, sent[text], strict=True))


def test_scores_are_those_of_the_rules(records: Records) -> None:
    open_ended, choice = records.at(0), records.at(1)
    assert score(open_ended, "To play.").score == 100
    assert score(open_ended, "to sleep").score == 0
    assert score(choice, "A").score == 100
    assert score(choice, "no idea at all").unreadable
    assert score(make_record("v0", 0, answer=""), "x").score is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("predicted", "qwen2_5_vl"), "predicted"),
        (("baseline", "qwen9"), "qwen2_5_vl"),
        (("basel", "qwen2_5_vl"), "basel"),
    ],
)
def test_what_no_harness_can_ask_is_refused(arguments: tuple[str, str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        harness(*arguments)


def test_a_condition_with_video_needs_the_videos(records: Records) -> None:
    with pytest.raises(InputError, match="folder of the videos"):
        harness("baseline", "qwen2_5_vl").parts(records.at(0))


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"harness_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def utils(world: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("COTASKS_VIDEOS", str(world / "videos"))
    monkeypatch.setenv("COTASKS_FAMILY", "qwen2_5_vl")
    return vars(module_at(LMMS / "utils.py"))


def task_files() -> dict[str, Any]:
    """{file: what it says}, `!function NAME` as the name."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    common = yaml.load((LMMS / "_cotasks_common").read_text(), Loader)
    return {p.name: {**common, **yaml.load(p.read_text(), Loader)} for p in sorted(LMMS.glob("*.yaml"))}


def test_files_of_lmms_eval_name_what_is_there(utils: dict[str, Any]) -> None:
    files = task_files()
    assert len({task["task"] for task in files.values()}) == len(files) == 4
    for task in files.values():
        parse_condition(task["lmms_eval_specific_kwargs"]["default"]["condition"])
        assert task["doc_to_target"] in FEATURES
        named = [value for value in task.values() if isinstance(value, str) and value.startswith("utils.")]
        named += [metric["aggregation"] for metric in task["metric_list"]]
        assert len(named) == 8
        assert all(callable(utils[name.removeprefix("utils.")]) for name in named)


def test_a_row_of_plain_datasets_becomes_messages_and_a_score(utils: dict[str, Any], records: Records) -> None:
    row = records.rows[0]
    (message,) = utils["doc_to_messages"](row, {"condition": "cotasks"})
    kinds = [part["type"] for part in message["content"]]
    assert kinds == ["text", "image"] * len(row["frames"]) + ["text"]
    assert message["content"][1]["url"].size[0] % 28 == 0
    by_video = {"score": 1.0, "video_id": "v0"}
    right = {"score": 1.0, "score_by_video": by_video, "unscored": False, "unreadable": False}
    assert utils["process_results"](row, ["to play"]) == right
    unscored = utils["process_results"]({**row, "answer": ""}, ["to play"])
    assert (unscored["score"], unscored["score_by_video"], unscored["unscored"]) == (None, None, True)
    assert utils["mean_by_video"]([by_video, None]) == 1.0
    assert utils["mean"]([1.0, None, 0.0]) == 0.5
    assert utils["total"]([True, False]) == 1
    with pytest.raises(InputError, match="messages"):
        utils["doc_to_visual"](row)


def test_lmms_eval_loads_the_tasks(utils: dict[str, Any], world: Path, tmp_path: Path) -> None:
    tasks = pytest.importorskip("lmms_eval.tasks")
    for path in LMMS.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_text(path.read_text().replace("path: built", f"path: {world / 'data'}"))
    manager = tasks.TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = tasks.get_task_dict(["cotasks_cotasks"], manager, "chat")["cotasks_cotasks"]
    doc = found.test_docs()[0]
    (message,) = found.doc_to_messages(doc)
    assert message["content"][-1]["text"].startswith("Notes on the video")
    assert found.process_results(doc, ["to play"])["score"] == 1.0


def test_inspect_runs_the_task(world: Path, tmp_path: Path) -> None:
    inspect_ai = pytest.importorskip("inspect_ai")
    from inspect_ai.model import ModelOutput, get_model

    made = module_at(ROOT / "examples/harness/inspect/cotasks_task.py")
    task = made.cotasks(data=str(world / "data"), videos=str(world / "videos"), condition="cotasks")
    model = get_model("mockllm/model", custom_outputs=[ModelOutput.from_content("mockllm/model", "to play")] * 2)
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(tmp_path), display="none")
    assert log.status == "success"
    assert len(log.samples) == 2
    content = log.samples[0].messages[0].content
    assert [part.type for part in content] == ["text", "image"] * 6 + ["text"]
    assert log.results.scores[0].metrics["mean"].value == 100
