"""Files that are not what they seem: byte order marks, odd annotation, builds of nothing, flipped bytes."""

from __future__ import annotations

import codecs
import csv
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from cotasks.builders.assemble import checked, plan_split
from cotasks.builders.localize import read_proposals
from cotasks.builders.publish.built import check_folder
from cotasks.builders.publish.folder import NothingBuilt, build_folder
from cotasks.builders.readers.nextqa import read_questions
from cotasks.builders.readers.vidor import annotation
from cotasks.builders.sources import BuildOptions
from cotasks.cli import main
from cotasks.errors import InputError
from cotasks.judge.llm.rubric import load_rubric
from cotasks.records.dataset import load_records
from cotasks.runs.folder import read_folder, read_settings
from cotasks.sample import DATA_DIR
from cotasks.tools.files import read_json, read_jsonl, read_text
from tests.test_read_vidor import box, change, relation, tree, video

MARKED: list[Callable[[str], bytes]] = [
    lambda text: codecs.BOM_UTF8 + text.encode(),
    lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
]
MARKS = pytest.mark.parametrize("marked", MARKED, ids=["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])


@MARKS
def test_a_byte_order_mark_changes_nothing(marked: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(marked('{"a": "caf\u00e9"}\n{"b": 2}\n{"torn'))
    assert list(read_jsonl(path)) == [{"a": "caf\u00e9"}, {"b": 2}]
    path.write_bytes(marked('[1, "\u732b"]'))
    assert read_json(path) == [1, "\u732b"]
    path.write_bytes(marked("one\r\ntwo"))
    assert read_text(path) == "one\ntwo"
    path.write_bytes(marked('{"id": "x", "model": "m", "used_answer": false, "spans": [[0, 1]], "entities": []}'))
    assert list(read_proposals(str(path))) == ["x"]
    path.write_bytes(marked("name: mine\nversion: 1\n\nJudge the answers."))
    assert load_rubric(path).name == "mine"
    (tmp_path / "run.json").write_bytes(marked('{"model": {}}'))
    assert read_settings(tmp_path) == {"model": {}}
    (tmp_path / "rows.jsonl").write_bytes(marked('{"id": 1}\n'))
    assert list(read_folder(tmp_path)) == [{"id": 1}]


COLUMNS = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
LINE = "1000000001,100,640,480,why did the cat jump,0,0,CW,to play,to eat,to sleep,to hide,to run"


@MARKS
def test_a_spreadsheet_reads_as_any_other(marked: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "val.csv"
    path.write_bytes(marked(f"{COLUMNS}\r\n{LINE}\r\n"))
    video_map = {"1000000001": "0000/1000000001"}
    [question], skipped = read_questions(str(path), "validation", video_map, multiple_choice=True)
    assert (question.answer, question.choices[4], skipped) == ("to play", "to run", [])
    assert question.place == f"{path}:2"


def test_a_mark_of_another_encoding_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(codecs.BOM_UTF16_LE + b"a")
    with pytest.raises(InputError, match="file: not utf-16-le, which its byte order mark tells"):
        read_json(tmp_path / "file")


def test_sources_with_marks_give_the_same_records(tmp_path: Path) -> None:
    sources = Path(shutil.copytree(DATA_DIR, tmp_path / "sources", ignore=shutil.ignore_patterns("videos")))
    for path in [*sources.rglob("*.json"), *sources.rglob("*.csv"), *sources.rglob("*.txt")]:
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    for config in ("nextqa_mc", "star"):
        plain = load_dataset("cotasks", config, data_dir=DATA_DIR, split="train")
        with_marks = load_dataset("cotasks", config, data_dir=str(sources), split="train")
        assert plain.to_list() == with_marks.to_list()


ODD: list[tuple[list[Any], Any, str]] = [
    (["trajectories", 3, 0, "bbox", "xmax"], 320, "box outside the frame"),
    (["trajectories", 3, 0, "bbox", "xmax"], 2, "inverted box"),
    (["trajectories", 3, 0, "bbox", "xmin"], "3", "malformed annotation"),
    (["trajectories", 3, 0, "tid"], 6, "tid without an object"),
    (["trajectories", 3, 0], None, "malformed annotation"),
    (["trajectories", 3, None], box(5, 3, 0, 12, 19), "two boxes of one tid in a frame"),
]


@pytest.mark.parametrize(("path", "value", "reason"), ODD)
def test_an_odd_box_costs_itself(path: list[Any], value: Any, reason: str) -> None:
    found, whole = annotation(change(path, value), "a.json", strict=False), annotation(video(), "a.json")
    assert [odd.reason for odd in found.left_out] == [reason]
    assert found.left_out[0].detail.startswith("a.json: frame 3: ")
    dog, kept = ({b.frame: b for b in a.scene.entity_tracking[1].boxes} for a in (whole, found))
    if path[-1] is not None:  # of two equal boxes one stays
        del dog[3]
    assert kept == dog
    assert found.scene.entity_tracking[0] == whole.scene.entity_tracking[0]
    assert found.scene.spatial_relations == whole.scene.spatial_relations


def test_two_boxes_that_differ_cost_both() -> None:
    raw = change(["trajectories", 3, None], box(5, 0, 0, 1, 1))
    raw["trajectories"][3].append(box(5, 3, 0, 12, 19))
    found = annotation(raw, "a.json", strict=False)
    assert [odd.reason for odd in found.left_out] == ["two boxes of one tid in a frame"] * 2
    assert 3 not in {b.frame for b in found.scene.entity_tracking[1].boxes}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (relation(5, "watch", 9, 0, 4), "tid without an object"),
        (relation(5, "adore", 2, 0, 4), "unknown predicate"),
        (relation(5, "watch", 2, 4, 4), "relation ends before it begins"),
        (relation(5, "next_to", 2, 0, 11), "relation ends after the video"),
        (relation(5, "watch", 2, -1, 4), "relation begins before the video"),
        ([], "malformed annotation"),
    ],
)
def test_an_odd_relation_costs_itself(odd: Any, reason: str) -> None:
    raw = change(["relation_instances", None], odd)
    found = annotation(raw, "a.json", strict=False)
    assert found.scene == annotation(video(), "a.json").scene
    assert [(left.reason, left.detail.startswith("a.json: relation 2: ")) for left in found.left_out] == [
        (reason, True)
    ]
    with pytest.raises(InputError) as caught:
        annotation(raw, "a.json", strict=True)
    assert caught.value.reason == reason


def test_a_video_most_of_whose_boxes_are_odd_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        annotation(video(20, width=5), "a.json", strict=False)
    assert caught.value.reason == "box outside the frame"


def sources(folder: Path, raw: dict[str, Any], questions: int = 2) -> Path:
    """NExT-QA's files with one video."""
    tree(folder / "vidor", "77", raw=raw)
    (folder / "nextqa/oe").mkdir(parents=True)
    with (folder / "nextqa/oe/val.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.split(",")[:8])
        writer.writerows(["77", 10, 320, 240, f"why {n}", "fun", n, "CW"] for n in range(questions))
    (folder / "nextqa/map_vid_vidorID.json").write_text('{"77": "0001/77"}')
    return folder


def test_odd_annotation_is_counted_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = change(["relation_instances", None], relation(5, "adore", 2, 0, 4))
    data = sources(tmp_path / "data", raw)
    build = ["build", "nextqa_oe", "--data-dir", str(data), "--split", "val", "--out"]
    assert main([*build, str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "validation: left out of the annotation: 1 unknown predicate\n" in printed
    assert "unknown predicate, for example vidor/validation/0001/77.json: relation 2: predicate is 'adore'" in printed
    counts = read_json(tmp_path / "out/nextqa_oe/build.json")["splits"]["validation"]
    assert (counts["records"], counts["left_out_of_annotation"]) == (2, {"unknown predicate": 1})
    assert main([*build, str(tmp_path / "strict"), "--strict"]) == 2
    printed = capsys.readouterr()
    assert "unknown predicate, for example vidor/validation/0001/77.json: relation 2" in printed.out
    assert "no record: 2 questions skipped (2 unknown predicate)" in printed.err


def test_a_build_of_nothing_leaves_the_list_of_what_it_skipped(tmp_path: Path) -> None:
    data = sources(tmp_path / "data", video(width=100))
    out = tmp_path / "out"
    options = BuildOptions("nextqa_oe", data_dir=str(data))
    with pytest.raises(NothingBuilt, match=r"each is listed in .*out/nextqa_oe/skipped\.jsonl") as caught:
        build_folder(options, out)
    rows = list(read_jsonl(out / "nextqa_oe/skipped.jsonl"))
    assert [row["id"] for row in rows] == ["nextqa/validation/77/0", "nextqa/validation/77/1"]
    assert list(caught.value.examples["validation"].skipped) == [rows[0]["reason"]]
    with pytest.raises(NothingBuilt):
        build_folder(options, out)  # what a failed build left is in nobody's way
    build_folder(BuildOptions("star", data_dir=DATA_DIR), out, ["train"])
    with pytest.raises(NothingBuilt, match=r"out\.nextqa_oe\.skipped\.jsonl"):
        build_folder(options, out)
    assert list(read_jsonl(tmp_path / "out.nextqa_oe.skipped.jsonl")) == rows
    (data / "vidor/validation/0001/77.json").write_text(json.dumps(video()))
    build_folder(options, out)
    assert not (tmp_path / "out.nextqa_oe.skipped.jsonl").exists()
    assert check_folder(out).others == ()


def test_a_question_that_no_record_may_hold_is_skipped(tmp_path: Path) -> None:
    data = sources(tmp_path / "data", video())
    path = data / "nextqa/oe/val.csv"
    path.write_text(path.read_text().replace("why 1", "why \x1b[31m1"))
    summary = build_folder(BuildOptions("nextqa_oe", data_dir=str(data)), tmp_path / "out")
    assert summary.splits["validation"].skipped == {"question is not what a record holds": 1}
    [row] = read_jsonl(tmp_path / "out/nextqa_oe/skipped.jsonl")
    assert row["detail"] == (
        r"nextqa/oe/val.csv:3: question is 'why \x1b[31m1'; expected text without control characters"
    )
    assert len(load_records(str(tmp_path / "out"))) == 1
    assert checked([])[1] is None
    assert plan_split(BuildOptions("nextqa_oe", data_dir=str(data)), "validation").skipped == ()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    build_folder(BuildOptions("star", data_dir=DATA_DIR), out, ["train"])
    return out


def test_a_flipped_byte_is_seen(built: Path, tmp_path: Path) -> None:
    """Anywhere in the file: in pages, their heads, and the file's own description."""
    [shard] = built.glob("star/*.parquet")
    data = shard.read_bytes()
    generator = random.Random(1)
    ends = [generator.randrange(len(data) - 12_000, len(data)) for _ in range(8)]
    for number, place in enumerate([*ends, *(generator.randrange(len(data)) for _ in range(4))]):
        folder = Path(shutil.copytree(built, tmp_path / str(number)))
        damaged = bytearray(data)
        damaged[place] ^= 1 << generator.randrange(8)
        (folder / shard.relative_to(built)).write_bytes(damaged)
        for read in (load_records, lambda name: check_folder(Path(name))):
            with pytest.raises(InputError) as caught:
                read(str(folder))
            assert "\n" not in str(caught.value)


def test_the_hashes_are_compared(built: Path, tmp_path: Path) -> None:
    build = read_json(built / "star/build.json")
    [shard] = built.glob("star/*.parquet")
    assert set(build["files"]) == {shard.name, "skipped.jsonl"}
    assert build["files"][shard.name]["bytes"] == shard.stat().st_size
    check_folder(built)
    for name in (shard.name, "skipped.jsonl"):
        folder = Path(shutil.copytree(built, tmp_path / name))
        changed = json.loads((folder / "star/build.json").read_text())
        changed["files"][name]["sha256"] = "0" * 64
        (folder / "star/build.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=rf"{name}: not the size or sha256 in build.json"):
            check_folder(folder)
    with pytest.raises(InputError, match=r"parquet: its sha256 is not the one in build.json"):
        load_records(str(tmp_path / shard.name))


def test_a_built_file_that_was_written_anew_loads_and_is_not_published(built: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = Path(shutil.copytree(built, tmp_path / "out"))
    [shard] = folder.glob("star/*.parquet")
    pq.read_table(shard).to_pandas().to_parquet(shard)
    assert load_records(str(folder)).fingerprint == load_records(str(built)).fingerprint
    with pytest.raises(InputError):
        check_folder(folder)


def test_an_older_build_without_hashes_is_taken(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    build = json.loads((folder / "star/build.json").read_text())
    del build["files"]
    (folder / "star/build.json").write_text(json.dumps(build))
    assert len(load_records(str(folder))) == build["splits"]["train"]["records"]
    check_folder(folder)
