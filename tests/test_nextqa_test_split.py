"""NExT-QA's test split: records where its videos' annotation in VidOR's format is at hand, a reason where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotasks.builders.assemble import Built as BuiltRecord
from cotasks.builders.assemble import build_video, plan_split
from cotasks.builders.readers.vidor import find_annotations
from cotasks.builders.sources import BuildOptions
from cotasks.sample.world import nextqa_files
from tests.source_files import write_zip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A data folder as users have it, without annotation of the test videos; and that annotation, by file name."""
    folder = tmp_path_factory.mktemp("nextqa")
    files = nextqa_files()
    rows = files["nextqa/mc/test.csv"].splitlines()[1:] + files["nextqa/oe/test.csv"].splitlines()[1:]
    videos = {row.split(",")[0] for row in rows}
    elsewhere = {}
    for name, text in files.items():
        if Path(name).stem in videos:
            elsewhere[Path(name).name] = text.encode()
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return folder, elsewhere


def results(folder: Path, config: str, *vidor: Path) -> list[Any]:
    plan = plan_split(BuildOptions(config, data_dir=str(folder), vidor=tuple(map(str, vidor))), "test")
    return [*plan.skipped, *(item for task in plan.tasks for item in build_video(task, plan.lookups))]


@pytest.mark.parametrize("config", ["nextqa_oe", "nextqa_mc"])
def test_without_annotation_each_question_says_why(config: str, world: tuple[Path, dict[str, bytes]]) -> None:
    found = results(world[0], config)
    assert found
    assert {item.reason for item in found} == {"no object annotation of the video"}
    assert all(item.detail.endswith("expected annotation in its format from elsewhere, by --vidor") for item in found)
    assert all("/test.csv:" in item.detail for item in found)


@pytest.mark.parametrize("config", ["nextqa_oe", "nextqa_mc"])
@pytest.mark.parametrize("form", ["files", "zip", "groups"])
def test_with_annotation_they_become_records(
    config: str, form: str, world: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    folder, files = world
    path = tmp_path / "relations"
    if form == "zip":
        path = write_zip(tmp_path / "relations.zip", {f"relations/{name}": text for name, text in files.items()})
    for name, text in files.items() if form != "zip" else ():
        place = path / ("0007" if form == "groups" else "")
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(text)
    found = results(folder, config, path)
    assert found
    assert all(isinstance(item, BuiltRecord) for item in found), found
    assert {item.record.id.split("/")[1] for item in found} == {"test"}
    assert all(item.record.scene.entity_tracking for item in found)


def test_the_shifted_numbers_of_one_test_video_are_named(world: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    """As in the multiple-choice file, whose row of video 7964565242 has its three numbers in another order."""
    folder, files = world
    for name, text in files.items():
        raw = json.loads(text)
        (tmp_path / name).write_text(json.dumps({**raw, "width": raw["height"] * 4, "height": raw["width"] * 4}))
    found = results(folder, "nextqa_mc", tmp_path)
    assert {item.reason for item in found} == {"frame count or size disagrees with the annotation"}


def test_groups_are_taken_before_files_alone(tmp_path: Path) -> None:
    (tmp_path / "0001").mkdir()
    for name in ("0001/77.json", "88.json"):
        (tmp_path / name).write_text("{}")
    assert list(find_annotations([str(tmp_path)]).locations) == ["77"]
    (tmp_path / "0001/77.json").unlink()
    (tmp_path / "classes.json").write_text("{}")
    assert list(find_annotations([str(tmp_path)]).locations) == ["88"]
