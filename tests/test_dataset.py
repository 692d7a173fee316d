from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records.dataset import load_records, split_name
from cotasks.records.schema import FEATURES, Box, Record, Span, Track, records_to_table
from tests.synthetic import make_record, write_folder

pytestmark = pytest.mark.loads_anew


def records(videos: int = 5, questions: int = 3) -> list[Record]:
    return [make_record(f"v{v}", q) for v in range(videos) for q in range(questions)]


def load(folder: Path, rows: list[Record], **options: Any) -> Any:
    return load_records(str(write_folder(folder, rows)), **options)


def test_a_folder_gives_back_its_records_video_by_video(tmp_path: Path) -> None:
    rows = records()
    found = load(tmp_path, rows)
    assert (found.config, found.split, len(found)) == ("nextqa_oe", "validation", 15)
    assert sorted(found, key=lambda r: r.id) == sorted(rows, key=lambda r: r.id)
    assert found.rows.features == FEATURES
    assert found.ids == [r.id for r in found]
    assert found.video_ids == [r.video_id for r in found]
    changes = sum(a != b for a, b in zip(found.video_ids, found.video_ids[1:], strict=False))
    assert changes == 4
    assert found.video_ids != sorted(found.video_ids)


def test_grids(tmp_path: Path) -> None:
    rows = [make_record("a", 0), make_record("b", 0, frame_count=4), make_record("c", 0, num_frames=1)]
    found = load(tmp_path, rows)
    lengths, whole = found.grids
    assert dict(zip(found.video_ids, zip(lengths.tolist(), whole.tolist(), strict=True), strict=True)) == {
        "a": (6, False),
        "b": (4, True),
        "c": (1, True),
    }


def test_the_order_of_rows_and_files_does_not_matter(tmp_path: Path) -> None:
    rows = records()
    first = load(tmp_path / "a", rows)
    random.Random(1).shuffle(rows)
    second = load(tmp_path / "b", rows)
    folder = write_folder(tmp_path / "c", rows)
    for number, part in enumerate((rows[:4], rows[4:])):
        pq.write_table(records_to_table(part), folder / "nextqa_oe" / f"validation-0000{number}-of-00002.parquet")
    (folder / "nextqa_oe" / "validation-00000-of-00001.parquet").unlink()
    third = load_records(str(folder))
    assert first.ids == second.ids == third.ids
    assert first.fingerprint == second.fingerprint == third.fingerprint


BOX = Box(0, (1.0, 2.0, 3.0, 4.5), False)


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "why else"},
        {"answer": ""},
        {"fps": 24.0},
        {"width": None},
        {"frame_count": None},
        {"category": "temporal"},
        {"answer_index": 0},
        {"additional_answers": ("",)},
        {"choices": ("a", "b")},
        {"choices": ("ab",)},
        {"clip": Span(0.0, 1.0)},
        {"entity_tracking": ()},
        {"entity_tracking": (Track(0, "dog", (BOX,)),)},
        {"entity_tracking": (Track(0, "dog", (dataclasses.replace(BOX, generated=True),)),)},
        {"entity_tracking": (Track(0, "dog", (dataclasses.replace(BOX, xyxy=(1.0, 2.0, 3.0, 4.25)),)),)},
    ],
)
def test_the_fingerprint_sees_any_change(changes: dict[str, Any], tmp_path: Path) -> None:
    rows = records(2, 2)
    before = load(tmp_path / "a", rows).fingerprint
    rows[1] = dataclasses.replace(rows[1], **changes)
    after = load(tmp_path / "b", rows).fingerprint
    assert len(before) == len(after) == 64
    assert before != after


def test_a_folder_written_anew_is_read_anew(tmp_path: Path) -> None:
    assert load(tmp_path, records()).at(0).answer == "to play"
    changed = [dataclasses.replace(r, answer="to eat") for r in records()]
    assert load(tmp_path, changed).at(0).answer == "to eat"


def test_a_limit_takes_whole_videos_and_is_a_prefix_of_a_larger_one(tmp_path: Path) -> None:
    rows = [r for v in range(8) for r in records(8, 1 + v % 3) if r.video_id == f"v{v}"]
    whole = load(tmp_path, rows)
    sizes = {v: whole.video_ids.count(v) for v in whole.video_ids}
    for limit in range(1, len(rows) + 2):
        found = load_records(str(tmp_path), limit=limit)
        assert found.ids == whole.ids[: len(found)]
        assert min(limit, len(whole)) <= len(found) < limit + 3
        assert all(found.video_ids.count(v) == sizes[v] for v in found.video_ids)
        assert found.fingerprint == whole.fingerprint
        assert (found.limit, whole.limit) == (limit, None)


def test_split_names() -> None:
    assert [split_name(s) for s in ("train", "val", "validation", "test")] == [
        "train",
        "validation",
        "validation",
        "test",
    ]
    with pytest.raises(InputError, match="no split 'dev'; expected train, validation"):
        split_name("dev")


def two_of_everything(folder: Path, splits: tuple[str, ...]) -> str:
    """Two configs with the given splits."""
    card = "---\nconfigs:\n"
    for config in ("nextqa_oe", "nextqa_mc"):
        card += f"- config_name: {config}\n  data_files:\n"
        for split in splits:
            rows = [make_record(f"{config}-{split}", q) for q in range(2)]
            write_folder(folder, rows, config, split)
            card += f"  - split: {split}\n    path: {config}/{split}-*\n"
    (folder / "README.md").write_text(card + "---\n")
    return str(folder)


def test_config_and_split_are_chosen_by_name(tmp_path: Path) -> None:
    folder = two_of_everything(tmp_path, ("train", "validation"))
    assert load_records(folder, "train", config="nextqa_mc").video_ids == ["nextqa_mc-train"] * 2
    assert load_records(folder, "val", config="nextqa_oe").video_ids == ["nextqa_oe-validation"] * 2
    assert load_records(folder, config="nextqa_oe").split == "validation"
    with pytest.raises(InputError, match=r"no split test; name one of: train, validation"):
        load_records(folder, "test", config="nextqa_mc")
    with pytest.raises(InputError, match=r"several configs; name one with --dataset-config .*nextqa_mc"):
        load_records(folder)
    with pytest.raises(InputError, match=r"'star' not found.*nextqa_mc"):
        load_records(folder, config="star")


def test_the_split_need_not_be_named_where_there_is_one_to_choose(tmp_path: Path) -> None:
    folder = two_of_everything(tmp_path / "a", ("test",))
    assert load_records(folder, config="nextqa_oe").split == "test"
    folder = two_of_everything(tmp_path / "b", ("train", "test"))
    with pytest.raises(InputError, match="several splits, and none is validation; name one of: train, test"):
        load_records(folder, config="nextqa_oe")


def test_single_records(tmp_path: Path) -> None:
    found = load(tmp_path, records())
    assert found.by_id(found.ids[7]) == found.at(7)
    with pytest.raises(InputError, match="no record 15 in validation; expected 0 to 14"):
        found.at(15)
    with pytest.raises(InputError, match="no record 'nextqa/validation/v9/0'"):
        found.by_id("nextqa/validation/v9/0")


def test_records_are_what_their_rows_are() -> None:
    found = load_records("sample")
    rows = [Record.from_row(row) for row in found.rows]
    assert repr(list(found)) == repr(rows)
    assert repr([found.at(position) for position in (3, 0)]) == repr([rows[3], rows[0]])
    assert repr(found.read([5, 4, 5])) == repr([rows[5], rows[4], rows[5]])


def test_real_records_are_what_their_rows_are(realdata: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("nextqa_oe", data_dir=str(realdata)), tmp_path, ["validation"])
    found = load_records(str(tmp_path))
    assert repr(list(found)) == repr([Record.from_row(row) for row in found.rows])


def test_what_is_not_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; expected `sample`, a built folder, or a Hub id"):
        load_records(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: cannot be loaded"):
        load_records(str(tmp_path / "empty"))
    folder = write_folder(tmp_path / "other", records())
    path = folder / "nextqa_oe" / "validation-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["scene", "clip"]), path)
    with pytest.raises(InputError, match="columns missing: clip, scene; expected a folder that `cotasks build` wrote"):
        load_records(str(folder))
    pq.write_table(table.set_column(6, "fps", table["frame_count"]).replace_schema_metadata(None), path)
    with pytest.raises(InputError, match=r"column .* is .*; expected "):
        load_records(str(folder))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="other: cannot be loaded") as caught:
        load_records(str(folder))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="limit is 0"):
        load_records(str(folder), limit=0)


def test_videos_lie_where_it_is_said(tmp_path: Path) -> None:
    found = load(tmp_path, records())
    assert found.video_folder() is None
    assert found.video_folder("there") == Path("there")


def test_the_sample_brings_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of that name does not come in the way
    found = load_records("sample")
    assert (found.config, found.split) == ("sample", "validation")
    folder = found.video_folder()
    assert folder is not None
    assert all((folder / r.video_path).is_file() for r in found)
    assert load_records("sample").fingerprint == found.fingerprint


@pytest.mark.parametrize("name", ["[1]", "what?", "*"])
def test_a_folder_whose_name_reads_like_a_pattern_is_refused(name: str, built_sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / name / "data"
    shutil.copytree(built_sample, folder)
    with pytest.raises(InputError, match=r"data: `datasets` reads .* as a pattern; name a folder without them"):
        load_records(str(folder), "test")
