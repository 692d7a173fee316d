"""CaST-Bench: a hand-written file with every trap, and the real one, whose boxes are traced to it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from cotasks import Record
from cotasks.builders.publish.built import check_folder
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records.dataset import load_records
from cotasks.records.videos import Videos
from cotasks.tools.files import read_json, read_jsonl
from cotasks.words.types import castbench_category
from tests.synthetic import HEIGHT, WIDTH, write_video

REAL = Path(__file__).parents[1].parent / "shared/realdata"
OPTIONS = {"A": "to eat it", "B": "to throw it", "C": "to hide it"}


def piece(thing: str, start: str, end: str, boxes: dict[str, Any] | None) -> dict[str, Any]:
    """A piece of evidence as the file has it; boxes are texts of lists."""
    row: dict[str, Any] = {"evidence_start_time": start, "evidence_end_time": end, "evidence_instance_id": thing}
    row["evidence_rationale"] = "it is seen"
    if boxes is not None:
        row |= {"SAV_instance_id": "x.json", "bboxes_in_range": {k: json.dumps(v) for k, v in boxes.items()}}
    return row


def question(video: str, text: str, evidence: Any, **others: Any) -> dict[str, Any]:
    return {
        "video": video,
        "question": text,
        "question_type": "How (Mechanisms)",
        "scene_category": "Street",
        "options": OPTIONS,
        "answer": "B",
        "evidence": json.dumps(evidence),
        **others,
    }


DOG = piece("big_dog_a1B", "00:01", "00:03", {"1": [1, 2, 11, 12], "2": [2, 2, 12, 12], "3": [9, 9, 5, 20]})
AGAIN = piece("big_dog_a1B", "00:05", "00:06", {"5": [5, 5, 15, 15], "7": [6, 5, 16, 15]})
MAN = piece("man_Zz0", "00:02", "00:04", None)
FLAT = piece("man_Zz0", "00:04", "00:04", {"4": [3, 3, 3, 8]})
OTHER = piece("big_dog_a1B", "00:01", "00:02", {"1": [1, 2, 11, 12], "2": [2, 2, 12, 13]})
ROWS = [
    question("v/one.mp4", "Why?", [DOG, AGAIN, MAN]),
    question("v/one.mp4", "How?", [FLAT, OTHER], question_type="How Questions (Mechanisms)"),
    question("two.mp4", "Who?", [], answer="A", options={"A": "he", "B": "she"}),
    question("two.mp4", "Whose?", [MAN], answer="F"),
    question("two.mp4", "When?", [piece("man_Zz0", "00:05", "00:02", {})]),
    question("two.mp4", "Where?", [piece("man_Zz0", "soon", "00:02", {})]),
    question("two.mp4", "Which?", [piece("man_Zz0", "00:01", "00:02", {"1": [1, 2]})]),
    question("two.mp4", "What?", [], options={"A": "x", "C": "y"}),
    question("two.mp4", "What for?", "no evidence"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source/castbench/castbench_hf.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path / "source"


def built(source: Path, out: Path, **options: Any) -> dict[str, Record]:
    build_folder(BuildOptions("castbench", data_dir=str(source), **options), out)
    return {record.question: record for record in load_records(str(out))}


def test_a_small_file(source: Path, tmp_path: Path) -> None:
    records = built(source, tmp_path / "built")
    # the video of "Who?" has no sound evidence, and no length that anything tells
    assert set(records) == {"Why?", "How?"}
    why, how = records["Why?"], records["How?"]
    assert (why.source, why.video_id, why.video_path) == ("castbench", "v/one", "v/one.mp4")
    assert why.id.startswith("castbench/test/v/one-")
    assert why.id != how.id
    assert (why.answer, why.answer_index, why.choices) == ("to throw it", 1, tuple(OPTIONS.values()))
    assert (why.question_type, how.question_type) == ("How (Mechanisms)", "How Questions (Mechanisms)")
    assert why.category == how.category == "how mechanisms"
    assert (why.fps, why.frame_count, why.width) == (1.0, None, None)
    a1 = why.frame_localization
    assert [(s.start_seconds, s.end_seconds) for s in a1.spans] == [(1, 4), (5, 6)]
    assert a1.frames == (1, 2, 3, 4, 5, 6)
    assert (a1.span_origin, a1.entity_origin, a1.used_answer) == ("annotation", "annotation", True)
    assert [(e.tid, e.category) for e in a1.entities] == [(0, "big dog"), (1, "man")]
    # the box at 3 s is inverted, that of the man flat; the one at 7 s is outside its span, and stays in the scene
    assert [(b.frame, b.xyxy) for b in why.entity_tracking[0].boxes] == [
        (1, (1, 2, 11, 12)),
        (2, (2, 2, 12, 12)),
        (5, (5, 5, 15, 15)),
    ]
    assert [b.frame for t in why.scene.entity_tracking for b in t.boxes] == [1, 2, 5, 7]
    assert why.scene is not None
    assert len(why.entity_tracking) == 1

    summary = read_json(tmp_path / "built/castbench/build.json")["splits"]["test"]
    assert (summary["questions"], summary["records"], summary["own_clock"]) == (9, 2, 2)
    assert summary["left_out_of_annotation"] == {
        "box inverted or flat": 2,
        "box unlike another of the same thing and second": 1,
    }
    skipped = {row["reason"]: row["detail"] for row in read_jsonl(tmp_path / "built/castbench/skipped.jsonl")}
    assert set(skipped) == {
        "length of the video unknown",
        "no answer",
        "malformed evidence",
        "malformed options",
    }
    assert "castbench_hf.jsonl:4: answer is 'F'; expected one of A, B, C" in skipped["no answer"]


def test_what_the_source_states_lies_beside_the_records(source: Path, tmp_path: Path) -> None:
    records = built(source, tmp_path / "built")
    rows = {row["id"]: row for row in read_jsonl(tmp_path / "built/castbench/evidence.jsonl")}
    assert set(rows) == {record.id for record in records.values()}
    why = rows[records["Why?"].id]
    assert why["answer_choice"] == "B"
    assert [instance["instance_name"] for instance in why["instances"]] == ["big_dog_a1B", "man_Zz0"]
    first, second = why["instances"][0]["evidences"]
    assert (first["evidence_start_time"], first["evidence_end_time"]) == ("00:01", "00:03")
    assert first["bboxes_in_time_range"]["00:03"] == [9, 9, 5, 20]
    assert second["bboxes_in_time_range"] == {"00:05": [5, 5, 15, 15], "00:07": [6, 5, 16, 15]}
    folder = check_folder(tmp_path / "built")
    assert tmp_path / "built/castbench/evidence.jsonl" in folder.files()
    assert folder.others == ()


def test_with_videos_rate_and_size_are_those_of_the_headers(source: Path, tmp_path: Path) -> None:
    (tmp_path / "videos/v").mkdir(parents=True)
    write_video(tmp_path / "videos/v/one.mp4", 160)  # 6.4 s
    records = built(source, tmp_path / "built", videos=str(tmp_path / "videos"))
    why = records["Why?"]
    assert (why.fps, why.frame_count, why.width, why.height) == (25.0, 160, WIDTH, HEIGHT)
    assert [b.frame for b in why.entity_tracking[0].boxes] == [25, 50, 125]
    # the box at 7 s is after the end
    summary = read_json(tmp_path / "built/castbench/build.json")["splits"]["test"]
    assert summary["left_out_of_annotation"] == {
        "box inverted or flat": 2,
        "box after the end of the video": 1,
        "box unlike another of the same thing and second": 1,
    }
    assert summary["own_clock"] == 0


def test_without_videos_it_is_never_shown(source: Path, tmp_path: Path) -> None:
    (tmp_path / "videos/v").mkdir(parents=True)
    write_video(tmp_path / "videos/v/one.mp4", 160)  # 6.4 s
    record = built(source, tmp_path / "built")["Why?"]
    with pytest.raises(InputError, match="built without the frame rate of its video"):
        Videos(tmp_path / "videos").look(record)


def test_a_file_that_is_none_is_named(source: Path, tmp_path: Path) -> None:
    path = source / "castbench/castbench_hf.jsonl"
    path.write_text("{}\n[1]\n")
    with pytest.raises(InputError, match=r"castbench_hf\.jsonl:2: \[1\]; expected an object"):
        built(source, tmp_path / "built")
    path.unlink()
    with pytest.raises(InputError, match=r"no such file; get it from https://huggingface\.co/datasets/wovenbytoyota"):
        built(source, tmp_path / "built")


def test_a_path_that_leaves_the_video_folder_is_skipped(source: Path, tmp_path: Path) -> None:
    path = source / "castbench/castbench_hf.jsonl"
    rows = [question(video, f"{video}?", [DOG]) for video in (".", "../one.mp4", "/one.mp4", "one.mp4")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(built(source, tmp_path / "built")) == ["one.mp4?"]
    skipped = list(read_jsonl(tmp_path / "built/castbench/skipped.jsonl"))
    assert [row["reason"] for row in skipped] == ["malformed video path"] * 3
    assert "castbench_hf.jsonl:1: video is '.'; expected a path below the video folder" in skipped[0]["detail"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Why Questions (Causal Reasons)", "Why (Causal Reasons)"),
        ("Goal/Intent Inference (non-immediate)", "Goal/Intent"),
        ("Social Counterfactual", "Social (Counterfactual)"),
    ],
)
def test_types_spelt_two_ways_are_one_category(one: str, other: str) -> None:
    assert castbench_category(one) == castbench_category(other)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared")
def test_every_box_of_the_real_file(tmp_path: Path) -> None:
    rows = list(read_jsonl(REAL / "castbench/castbench_hf.jsonl"))
    records = built(REAL, tmp_path / "built", num_frames=1000)
    assert len(rows) == len(records) == 80
    in_file: dict[str, set[tuple[int, tuple[float, ...]]]] = {}
    odd = 0
    for row in rows:
        for item in json.loads(row["evidence"]):
            for second, text in (item.get("bboxes_in_range") or {}).items():
                box = tuple(map(float, json.loads(text)))
                if box[0] < box[2] and box[1] < box[3]:
                    in_file.setdefault(row["video"], set()).add((int(second), box))
                else:
                    odd += 1
    summary = read_json(tmp_path / "built/castbench/build.json")["splits"]["test"]
    assert odd == summary["left_out_of_annotation"]["box inverted or flat"] == 16
    in_records: dict[str, set[tuple[int, tuple[float, ...]]]] = {}
    for record in records.values():
        tracks = (*record.scene.entity_tracking, *record.entity_tracking)
        found = {(box.frame, box.xyxy) for track in tracks for box in track.boxes}
        in_records.setdefault(record.video_path, set()).update(found)
    assert in_records == in_file
    by_question = {row["question"]: row for row in rows}
    for text, record in records.items():
        row = by_question[text]
        assert record.answer == row["options"][row["answer"]]
        marked = {item["evidence_instance_id"] for item in json.loads(row["evidence"])}
        assert len(record.frame_localization.entities) == len(marked)
    kinds = Counter((record.question_type, record.category) for record in records.values())
    assert kinds["Why (Causal Reasons)", "why causal reasons"] == 1
    assert kinds["Why Questions (Causal Reasons)", "why causal reasons"] == 12


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared")
def test_load_dataset_builds_it(tmp_path: Path) -> None:
    import cotasks  # noqa: F401  # it registers the builder

    rows = load_dataset("cotasks", "castbench", data_dir=str(REAL), split="test", cache_dir=str(tmp_path))
    assert len(rows) == 80
