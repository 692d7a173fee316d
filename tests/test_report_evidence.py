"""What the page shows beside an answer: the prompt as sent, frames and boxes."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.errors import InputError
from cotasks.generate import prepare
from cotasks.look.frames import choose_frames
from cotasks.models.families import FAMILIES, frame_size
from cotasks.prompts.condition import Condition, parse_condition
from cotasks.prompts.prompt import build_prompt
from cotasks.records.dataset import Records, load_records
from cotasks.records.schema import Record
from cotasks.report.evidence import PANELS, Panels, Sources, collect
from cotasks.report.rebuild import prompt_text, rebuild_prompt, scene_of
from cotasks.report.summary import read_scored
from cotasks.tools.files import dump_json, read_json
from tests import report_runs, strategies
from tests.examples import examples
from tests.synthetic import HEIGHT, WIDTH, number_of

pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records]:
    folder = tmp_path_factory.mktemp("world")
    return folder, report_runs.make_world(folder)


def written(run: Path, records: Records, *conditions: str, **fields: Any) -> Path:
    names = conditions or ("baseline", "cotasks", "blind-cotasks")
    return report_runs.write_run(run, records, lambda record, _: record.answer, names, **fields)


def collected(run: Path, first: set[str] | None = None, **sources: Any) -> Panels:
    return collect(read_scored([run])[0], Sources(**sources), [first or set()])


def scene_in(found: Panels, id_: str) -> dict[str, Any]:
    return found.scenes[found.scene_of[0, id_]]


def test_prompts_are_those_that_the_run_built(world: tuple[Path, Records], tmp_path: Path) -> None:
    _, records = world
    found = collected(written(tmp_path / "run", records))
    assert len(found.prompts) == 3 * len(records)
    for record in records:
        for name in ("baseline", "cotasks", "blind-cotasks"):
            size = frame_size(report_runs.FAMILY, WIDTH, HEIGHT, len(record.frames), limits=report_runs.LIMITS)
            sent = build_prompt(record, parse_condition(name), report_runs.FAMILY, size, (WIDTH, HEIGHT))
            text = found.texts[found.prompts[0, name, record.id]]
            assert text.endswith(sent.messages[0]["content"][-1]["text"])
            assert text.startswith("[video: 6 frames, 0.00 s to 2.36 s") is (name != "blind-cotasks")
    assert len(set(found.texts)) == len(found.texts)


def test_prompts_are_those_that_a_model_got(
    world: tuple[Path, Records], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through `generate` and the tiny model, whose tokenizer counts a budget."""
    pytest.importorskip("torch")
    from cotasks.generate import Sampling, generate
    from cotasks.judge.run import judge_run
    from cotasks.predict.run import predict

    folder, _ = world
    sent = []

    def spy(record: Record, condition: Condition, *rest: Any) -> Any:
        prompt = build_prompt(record, condition, *rest)
        sent.append(((record.id, condition.name), prompt))
        return prompt

    monkeypatch.setattr(prepare, "build_prompt", spy)
    names = (
        "baseline",
        "cotasks",
        "cotasks:tokens=150",
        "cotasks-34:frames=3",
        "blind-cotasks:tokens=10",
        "cotasks:corrupt=0.5,seed=3",
        "cotasks:frames=5,context=2",
        "predicted",
        "predicted-12:tokens=10",
    )
    few = load_records(str(folder / "data"), limit=3)
    conditions = [parse_condition(name) for name in names]
    options: dict[str, Any] = {"videos": folder / "videos", "sampling": Sampling(max_new_tokens=2), "progress": False}
    predict(few, "tiny", tmp_path / "steps", **options)
    sent.clear()
    generate(few, conditions, "tiny", tmp_path / "run", predictions=tmp_path / "steps", **options)
    judge_run(tmp_path / "run")
    found = collected(tmp_path / "run")
    assert not [note for note in found.notes if "prompt" in note]
    assert len(sent) == len(found.prompts) == 3 * len(names)
    assert any(prompt.cut_items for _, prompt in sent)
    assert any(prompt.cut_items and not prompt.context for _, prompt in sent)
    for (id_, name), prompt in sent:
        assert found.texts[found.prompts[0, name, id_]] == prompt_text(prompt)
    # predictions that are gone, or are others by now, are missed, and by name
    told = read_json(tmp_path / "run" / "run.json")
    told["predictions"]["fingerprint"] = "0"
    dump_json(tmp_path / "run" / "run.json", told)
    changed = collected(tmp_path / "run")
    assert f"{tmp_path / 'steps'} holds other predictions than those that the run told" in " ".join(changed.notes)
    assert {name for _, name, _ in changed.prompts} == {name for name in names if "predicted" not in name}
    told["predictions"]["folder"] = str(tmp_path / "gone")
    dump_json(tmp_path / "run" / "run.json", told)
    assert "gone: not a predictions folder" in " ".join(collected(tmp_path / "run").notes)


@given(st.data(), st.integers(1, 400))
@examples(60)
def test_a_budget_is_rebuilt_from_the_lines_it_cut(data: st.DataObject, budget: int) -> None:
    record = data.draw(strategies.records())
    family = FAMILIES["qwen2_vl"]
    condition = dataclasses.replace(parse_condition("blind-cotasks"), context_tokens=budget)
    size = frame_size(family, record.width or 0, record.height or 0, len(record.frames))
    sent = build_prompt(record, condition, family, size, (record.width or 0, record.height or 0), len_in_words)
    again = rebuild_prompt(record, condition, family, family.limits, None, sent.cut_items)
    assert again == sent


def len_in_words(text: str) -> int:
    return len(text.split())


def test_frames_and_boxes(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    found = collected(written(tmp_path / "run", records), videos=folder / "videos")
    assert found.notes == []
    assert len(found.scenes) == len(records)
    assert len(found.images) == 2 * PANELS  # the questions of a video share its frames
    for record in records:
        scene = scene_in(found, record.id)
        assert scene["size"] == [WIDTH, HEIGHT]
        assert [track[0] for track in scene["tracks"]] == ["dog", "ball/sports ball"]
        boxes = {(box.frame, box.xyxy) for track in record.entity_tracking for box in track.boxes}
        drawn = {(p["frame"], tuple(box[1:])) for p in scene["panels"] for box in p["boxes"]}
        assert drawn == boxes
        for panel in scene["panels"]:
            head, _, body = found.images[panel["image"]].partition(",")
            assert head == "data:image/jpeg;base64"
            picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
            assert picture.shape[:2] == (HEIGHT, WIDTH)  # smaller than a panel: as it is
            assert number_of(picture) == panel["frame"]


def test_room_for_frames_is_kept_to(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    run = written(tmp_path / "run", records)
    whole = collected(run, videos=folder / "videos")
    size = sum(map(len, whole.images)) * 3 // 4
    last = records.ids[-1]
    found = collected(run, {last}, videos=folder / "videos", max_image_bytes=size)
    assert 0 < sum(map(len, found.images)) <= size
    assert all(panel["image"] >= 0 for panel in scene_in(found, last)["panels"])  # came first
    without = [id_ for id_ in records.ids if scene_in(found, id_)["panels"][0]["image"] < 0]
    assert len(without) == 3
    assert "frames of 3 of 6 questions fit into" in " ".join(found.notes)
    none = collected(run, videos=folder / "videos", max_image_bytes=0)
    assert none.images == []
    assert len(none.scenes) == len(records)


def test_runs_over_the_same_records_share_what_is_shown(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    one = written(tmp_path / "one", records, "baseline", "cotasks")
    two = written(tmp_path / "two", records, "cotasks", model="another")
    scored = read_scored([one, two])[0]
    found = collect(scored, Sources(videos=folder / "videos"), [set(), set()])
    assert len(found.scenes) == len(records)
    assert len(found.texts) == 2 * len(records)
    for id_ in records.ids:
        assert found.scene_of[0, id_] == found.scene_of[1, id_]
        assert found.prompts[0, "cotasks", id_] == found.prompts[1, "cotasks", id_]
    assert (1, "baseline", records.ids[0]) not in found.prompts


def test_frames_are_left_out_when_asked(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    found = collected(written(tmp_path / "run", records), videos=folder / "videos", frames=False)
    assert found.images == []
    assert found.scenes
    assert "as asked" in " ".join(found.notes)


def test_what_is_missing_is_said(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    run = written(tmp_path / "run", records)
    assert "videos are not at hand" in " ".join(collected(run).notes)
    cases = {
        "gone": ({"name": str(folder / "gone")}, "no such folder"),
        "other": ({"fingerprint": "0"}, "other fingerprint"),
        "old": (None, "does not say which records"),
    }
    for name, (change, expected) in cases.items():
        dataset = {
            **{"name": records.dataset, "config": records.config, "split": records.split},
            **{"limit": None, "fingerprint": records.fingerprint},
        }
        given = {"name": "x"} if change is None else {**dataset, **change}
        found = collected(written(tmp_path / name, records, dataset=given))
        assert (found.prompts, found.scenes) == ({}, [])
        assert expected in found.notes[0]
    found = collected(tmp_path / "gone", dataset=str(folder / "data"))
    assert found.prompts
    with pytest.raises(InputError, match="typo: no such folder"):
        collected(run, dataset=str(folder / "typo"))
    with pytest.raises(InputError, match="typo: no such folder; expected the folder of the videos"):
        collected(run, videos=folder / "typo")
    found = collected(written(tmp_path / "limits", records, frames={}))
    assert "does not say how prompts were built" in found.notes[0]
    assert (found.prompts, len(found.scenes)) == ({}, len(records))


def test_a_damaged_video_costs_its_own_frames_only(world: tuple[Path, Records], tmp_path: Path) -> None:
    folder, records = world
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "v0.mp4").write_bytes((folder / "videos" / "v0.mp4").read_bytes())
    (tmp_path / "videos" / "v1.mp4").write_bytes(b"no video")
    found = collected(written(tmp_path / "run", records), videos=tmp_path / "videos")
    shown = {record.video_id: scene_in(found, record.id)["panels"][0]["image"] >= 0 for record in records}
    assert shown == {"v0": True, "v1": False}
    assert "questions whose frames cannot be read" in " ".join(found.notes)
    assert ": 3." in found.notes[-1]


def test_a_record_without_a_size_takes_that_of_its_video(tmp_path: Path) -> None:
    records = report_runs.make_world(tmp_path / "world", 1, 1, width=None, height=None)
    run = written(tmp_path / "run", records)
    found = collected(run, videos=tmp_path / "world" / "videos")
    assert scene_in(found, records.ids[0])["size"] == [WIDTH, HEIGHT]
    assert len(found.prompts) == 3
    blank = collected(run)
    assert list(blank.prompts) == [(0, "baseline", records.ids[0])]  # nothing in it depends on the size
    assert "prompts not rebuilt (frame size unknown): 2" in " ".join(blank.notes)
    with pytest.raises(InputError, match="no frame size"):
        rebuild_prompt(records.at(0), parse_condition("cotasks"), report_runs.FAMILY, report_runs.LIMITS, None, 0)


@given(strategies.records(), st.integers(1, 8))
def test_chosen_frames(record: Record, number: int) -> None:
    chosen = choose_frames(record, number)
    indices = [frame.index for frame in chosen]
    assert indices == sorted(set(indices))
    assert len(chosen) == min(number, len(record.frames))
    marked = set(record.frame_localization.frames)
    assert sum(i in marked for i in indices) == min(number, len(marked))
    scene = scene_of(record, chosen, dict.fromkeys(indices, -1), (0, 0))
    for panel in scene["panels"]:
        assert all(x2 <= scene["size"][0] and y2 <= scene["size"][1] for _, _, _, x2, y2 in panel["boxes"])
