"""A judge that is shown frames of the evidence."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.judge.judges import judges_of, rule_of, verdicts_of
from cotasks.judge.llm.rubric import load_rubric, read_user_message
from cotasks.judge.llm.settings import file_stem, judge_name, read_llm_judge
from cotasks.judge.llm.sight import INSTRUCTIONS, LONGEST_SIDE, MOST_FRAMES
from cotasks.judge.run import control_judge
from cotasks.records.dataset import Records
from cotasks.runs.run import read_run
from cotasks.tools.files import read_json
from tests.judge_server import JudgeServer, verdict
from tests.report_runs import make_world, write_run
from tests.test_llm_judge import ask, calls_are_quick, rows_of

pytest.importorskip("av")
pytest.importorskip("PIL")

NAME = "openai:m#@frames"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    calls_are_quick(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Records]:
    """(a run of open-ended answers under two conditions, its records); the videos lie in `world/videos`."""
    records = make_world(tmp_path / "world", 2, 2, choices=(), answer_index=-1)
    return write_run(tmp_path / "run", records, lambda record, condition: f"{condition} of {record.id}"), records


def videos_of(folder: Path) -> Path:
    return folder.parent / "world" / "videos"


def seen(request: dict[str, Any]) -> tuple[list[bytes], dict[str, Any]]:
    """(the pictures of a request, what it asks about)"""
    *images, text = request["messages"][1]["content"]
    assert all(image["type"] == "image_url" and image["image_url"]["detail"] == "low" for image in images)
    data = [base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,")) for image in images]
    return data, dict(read_user_message(text["text"]))


def test_the_judge_is_shown_the_evidence_and_is_a_judge_of_its_own(world: tuple[Path, Records]) -> None:
    from PIL import Image

    folder, records = world
    with JudgeServer(lambda *_: verdict(3, "yes")) as server:
        assert ask(folder, server).calls == 8
        counts = ask(folder, server, sees="frames", videos=videos_of(folder))
        requests = server.completions[8:]
    assert (counts.calls, counts.scored, counts.unscored) == (8, 8, 0)
    assert set(judges_of(folder)) == {"exact", "openai:m", NAME}
    by_question = {record.question: record for record in records}
    pictures: dict[str, list[bytes]] = {}
    for request in requests:
        images, data = seen(request)
        record = by_question[data["question"]]
        assert len(images) == min(MOST_FRAMES, len(record.frame_localization.frames)) > 0
        assert all(max(Image.open(io.BytesIO(image)).size) <= LONGEST_SIDE for image in images)
        assert pictures.setdefault(record.id, images) == images  # the same under every condition
        assert request["messages"][0]["content"] == f"{load_rubric().system}\n\n{INSTRUCTIONS}"
    keys = [{row["key"] for row in rows_of(folder, name)} for name in ("openai:m", NAME)]
    assert not keys[0] & keys[1]
    assert rule_of(folder, NAME).endswith(", sees 8 frames")  # type: ignore[union-attr]
    shown = read_json(folder / "verdicts" / "seen" / "openai-m+@frames.json")
    for record in records:
        assert set(shown[record.id]) <= set(record.frame_localization.frames)


def test_verdicts_count_without_the_videos_and_are_not_asked_again(world: tuple[Path, Records]) -> None:
    folder, _ = world
    with JudgeServer(lambda *_: verdict(3, "yes")) as server:
        ask(folder, server, sees="frames", videos=videos_of(folder))
        assert ask(folder, server, sees="frames", videos=videos_of(folder)).calls == 0
    videos_of(folder).rename(folder.parent / "gone")
    found = verdicts_of(read_run(folder), NAME)
    assert {verdict.score for verdict in found.values()} == {60.0}
    settings = read_llm_judge(folder, NAME)
    assert settings.name == NAME
    assert settings.sees is not None
    path = folder / "verdicts" / "seen" / "openai-m+@frames.json"
    path.write_text(json.dumps({id_: [*numbers, 1] for id_, numbers in read_json(path).items()}))
    assert {verdict.reason for verdict in verdicts_of(read_run(folder), NAME).values()} == {"not judged"}


def test_a_video_that_cannot_be_read_leaves_its_answers_unscored(world: tuple[Path, Records]) -> None:
    folder, _ = world
    whole = (videos_of(folder) / "v1.mp4").read_bytes()
    (videos_of(folder) / "v1.mp4").write_bytes(b"no video")
    with JudgeServer(lambda *_: verdict(3, "yes")) as server:
        counts = ask(folder, server, sees="frames", videos=videos_of(folder))
        assert (counts.calls, counts.scored, counts.unscored, counts.failed) == (4, 4, 4, 4)
        assert counts.failure.startswith("no frames to show: ")
        (videos_of(folder) / "v1.mp4").write_bytes(whole)
        assert ask(folder, server, sees="frames", videos=videos_of(folder), retry_unscored=True).scored == 8


def test_pictures_are_in_the_estimate_of_the_money(world: tuple[Path, Records]) -> None:
    folder, _ = world
    options = {"sees": "frames", "videos": videos_of(folder), "price": (2.0, 8.0)}
    with JudgeServer(lambda *_: verdict(3, "yes")) as server:
        counts = ask(folder, server, **options, max_cost=0.02)  # enough for a call without pictures
        assert (counts.calls, counts.stopped.startswith("max_cost")) == (0, True)
        assert ask(folder, server, **options, max_cost=1.0).calls == 8


def test_controls_of_a_judge_that_sees(world: tuple[Path, Records]) -> None:
    folder, _ = world
    with JudgeServer(lambda *_: verdict(3, "yes")) as server:
        options: dict[str, Any] = {"base_url": server.url, "progress": False, "videos": videos_of(folder)}
        counts = control_judge(folder, "openai:m", 2, sees="frames", **options)
        assert all(seen(request)[0] for request in server.completions)
    assert counts.path == folder / "controls" / "openai-m+@frames.jsonl"
    assert counts.asked == sum(one.asked for one in counts.outcomes) > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--judge-sees", "smells"], "judge sees 'smells'; expected frames"),
        (["--judge-sees", "frames", "--batch"], "a judge that sees, in batches"),
        (["--judge-sees", "frames", "--videos", "nowhere"], "nowhere: no such folder"),
        (["--videos", "nowhere"], "--videos without --judge-sees"),
    ],
)
def test_what_cannot_be_seen_is_named(world: tuple[Path, Records], options: list[str], said: str, capsys: Any) -> None:
    folder, _ = world
    before = ["judge", str(folder), "--judge", "openai:m", "--base-url", "http://127.0.0.1:9/v1"]
    assert main([*before, *options]) == 2
    assert said in capsys.readouterr().err
    assert main(["judge", str(folder), "--judge-sees", "frames"]) == 2
    assert "sees with judge exact, which is a rule" in capsys.readouterr().err


@pytest.mark.parametrize("name", [NAME, "openai:m#strict@frames", "openai:A/b#@frames", "openai:a@frames"])
def test_names_and_files_tell_each_other(name: str) -> None:
    assert judge_name(file_stem(name)) == name


@pytest.mark.parametrize("name", ["openai:m#", "openai:m#@", "openai:m#@ears", "openai:m#a@b"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected openai:MODEL"):
        file_stem(name)
