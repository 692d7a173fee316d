from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotasks.audit import AuditPaths, audit, counts, read_skipped, summarise
from cotasks.errors import InputError, MissingExtra
from cotasks.pages.markdown import escape
from cotasks.records.schema import Box, Record, records_to_table
from tests.audit_records import FRAMES, make_record, moving, write_folder

GOLDEN = Path(__file__).parent / "golden" / "audit"
STILL = (10.0, 10.0, 110.0, 110.0)


def count(*videos: Sequence[Record]) -> counts.SplitCounts:
    found = counts.SplitCounts()
    for records in videos:
        counts.add_video(found, records_to_table(records))
    return found


def boxes_of(boxes: dict[int, Sequence[Box]], **changes: Any) -> counts.BoxCounts:
    return count([make_record(boxes=boxes, **changes)]).boxes


def box(frame: int, xyxy: tuple[float, float, float, float], generated: bool = False) -> Box:
    return Box(frame, xyxy, generated)


# What the records hold


def test_counts_spelled_out() -> None:
    first = make_record(
        entities=("dog", "dog", "adult"),
        chosen=(0, 2),
        spatial=[(0, "above", 2), (1, "above", 2)],
        temporal=[(2, "hold", 0), (2, "hold", 0), (2, "chase", 0)],
    )
    other = make_record("where", "park", "DL", video="v2", entities=("cup",), boxes={0: ()})
    found = count([first], [other])
    assert (found.records, found.videos, found.used_answer) == (2, 2, 0)
    assert found.kinds == {("nextqa", "causal", "CW"): 1, ("nextqa", "descriptive", "DL"): 1}
    assert found.sources == {"nextqa": 2}
    assert found.labels["span_origins"] == {"whole": 2}
    assert found.labels["entity_origins"] == {"lexical": 2}
    assert found.origins == {
        ("nextqa", "causal", "whole", "lexical"): 1,
        ("nextqa", "descriptive", "whole", "lexical"): 1,
    }
    sizes = {name: np.concatenate(arrays).tolist() for name, arrays in found.sizes.items()}
    assert sizes == {
        "grid_frames": [12, 12],
        "a1_frames": [12, 12],
        "scene_entities": [3, 1],
        "a1_entities": [2, 1],
        "a2_boxes": [24, 0],
        "prompt_boxes": [16, 0],
        "a3_triples": [1, 0],
        "a4_triples": [3, 0],
    }
    assert found.entity_categories == {
        "scene": {"dog": 2, "adult": 1, "cup": 1},
        "steps": {"dog": 1, "adult": 1, "cup": 1},
        "records": {"dog": 1, "adult": 1, "cup": 1},
    }
    assert found.predicates["a3"] == {"scene": {"above": 2}, "steps": {"above": 1}, "records": {"above": 1}}
    assert found.predicates["a4"] == {
        "scene": {"hold": 1, "chase": 1},
        "steps": {"hold": 2, "chase": 1},
        "records": {"hold": 1, "chase": 1},
    }


def test_a_video_is_counted_once_however_many_questions_it_has() -> None:
    questions = [make_record(number=number, temporal=[(1, "hold", 0)]) for number in range(3)]
    found = count(questions)
    assert (found.records, found.videos) == (3, 1)
    assert found.entity_categories["scene"] == {"dog": 1, "adult": 1}
    assert found.entity_categories["steps"] == {"dog": 3, "adult": 3}
    assert found.predicates["a4"]["scene"] == {"hold": 1}
    assert found.boxes.boxes == 2 * len(FRAMES)
    assert found.boxes.tracks == 2


@given(st.lists(st.lists(st.integers(0, 3000), min_size=1), min_size=1))
def test_sizes(arrays: list[list[int]]) -> None:
    values = sorted(value for array in arrays for value in array)
    summary = counts.summarise_sizes([np.array(array) for array in arrays])
    edges, histogram = summary["histogram"]["edges"], summary["histogram"]["counts"]
    assert len(histogram) <= counts.BINS
    assert len(edges) == len(histogram) + 1
    assert len({b - a for a, b in itertools.pairwise(edges)}) <= 1
    assert histogram == [sum(a <= v < b for v in values) for a, b in itertools.pairwise(edges)]
    assert sum(histogram) == len(values)
    assert (summary["min"], summary["max"], summary["total"]) == (values[0], values[-1], sum(values))
    assert summary["median"] == values[(len(values) - 1) // 2]
    assert summary["min"] <= summary["p5"] <= summary["p25"] <= summary["median"] <= summary["p75"] <= summary["p95"]


# Boxes


def test_boxes_outside_tiny_and_empty() -> None:
    found = boxes_of(
        {
            0: [
                box(0, (0.0, 0.0, 640.0, 480.0)),  # the whole frame
                box(10, (-3.0, 0.0, 100.0, 100.0)),
                box(20, (600.0, 400.0, 645.0, 480.5)),
                box(30, (10.0, 10.0, 27.0, 28.0)),  # 306 of 307,200 square pixels: under 0.1%
                box(40, (10.0, 10.0, 28.0, 28.0)),  # 324
                box(50, (10.0, 10.0, 10.0, 60.0)),
                box(60, (700.0, 500.0, 800.0, 600.0), generated=True),
                box(70, (0.0, 0.0, 640.005, 480.0)),  # within the tolerance
            ],
            1: (),
        }
    )
    assert (found.boxes, found.tracks, found.generated, found.unchecked) == (8, 1, 1, 0)
    assert (found.outside, found.farthest_outside) == (3, 160)
    assert (found.tiny, found.empty) == (1, 1)
    assert [e["frame"] for e in found.examples["outside"]] == [10, 20, 60]
    assert found.examples["empty"] == [{"video_id": "v1", "tid": 0, "frame": 50, "xyxy": [10.0, 10.0, 10.0, 60.0]}]
    assert sum(found.area.values()) == 7  # all but the empty one


def test_boxes_of_an_unknown_frame_size() -> None:
    found = boxes_of({0: [box(0, (0.0, 0.0, 9000.0, 1.0))], 1: ()}, width=None, height=None)
    assert (found.boxes, found.unchecked, found.outside, found.tiny) == (1, 1, 0, 0)


@pytest.mark.parametrize(("still", "frozen"), [(7, 0), (8, 8), (9, 9)])
def test_a_track_is_frozen_from_eight_equal_boxes_on(still: int, frozen: int) -> None:
    track = [box(frame, STILL if i < still else moving(frame)) for i, frame in enumerate(FRAMES)]
    found = boxes_of({0: track, 1: [box(0, STILL)]})
    assert found.frozen == frozen
    assert (found.tracks, found.long_tracks, found.frozen_tracks) == (2, 1, int(frozen > 0))
    assert found.longest_run == {still: 1, 1: 1}
    assert found.examples["frozen"] == ([{**example(0), "frames": still}] if frozen else [])


def example(frame: int) -> dict[str, Any]:
    return {"video_id": "v1", "tid": 0, "frame": frame, "xyxy": list(STILL)}


def test_a_run_ends_with_the_track_and_where_the_box_moves() -> None:
    first = [box(frame, STILL) for frame in FRAMES[:7]]
    second = [box(frame, STILL) for frame in FRAMES[:7]]
    assert boxes_of({0: first, 1: second}).frozen == 0  # 7 and 7 are not 14
    interrupted = [box(frame, moving(frame) if i == 6 else STILL) for i, frame in enumerate(FRAMES)]
    assert boxes_of({0: interrupted, 1: ()}).longest_run == {6: 1}


@given(st.lists(st.sampled_from("aab"), min_size=1, max_size=len(FRAMES)))
def test_runs_of_equal_boxes(kinds: list[str]) -> None:
    places = {"a": STILL, "b": (0.0, 0.0, 50.0, 50.0)}
    track = [box(frame, places[kind]) for frame, kind in zip(FRAMES, kinds, strict=False)]
    runs = [len(run) for run in "".join(kinds).replace("ab", "a b").replace("ba", "b a").split()]
    found = boxes_of({0: track, 1: ()})
    assert found.longest_run == {max(runs): 1}
    assert found.frozen == sum(run for run in runs if run >= counts.FROZEN_FRAMES)


def test_examples_are_few() -> None:
    found = count(*[[make_record(video=f"v{i}", boxes={0: [box(0, (-9.0, 0.0, 50.0, 50.0))]})] for i in range(30)])
    assert found.boxes.outside == 30
    assert [e["video_id"] for e in found.boxes.examples["outside"]] == [f"v{i}" for i in range(counts.MOST_EXAMPLES)]


# The whole


def golden_records() -> dict[str, list[Record]]:
    """Open-ended and multiple-choice questions of several types and sources, about three videos a split."""
    splits: dict[str, list[Record]] = {}
    for split in ("train", "validation"):
        records = splits[split] = []
        for number in range(3):
            video = f"{split[0]}{number}"
            scene: dict[str, Any] = {
                "video": video,
                "entities": ("dog",) * (number + 1) + ("adult", "ball/sports_ball"),
                "spatial": [(0, "in_front_of", number + 1)],
                "temporal": [(number + 1, "hold", number + 2)],
            }
            records.append(make_record("how many dogs are there", str(number + 1), "DC", number=0, **scene))
            records.append(make_record("what does the man do", "holding a ball", "TC", number=1, **scene))
            records.append(make_record("why does the dog run", "to | play", "CW", number=2, **scene))
            choices = ("a cat", "the adult", "a ball", "nothing")
            records.append(
                make_record("who holds it", choices[number], "DO", number=3, choices=choices, more=("man",), **scene)
            )
            if split == "train":
                still = {tid: [box(f, STILL) for f in FRAMES] for tid in range(3)}
                records.append(
                    make_record(
                        "Which object was taken by the person?",
                        "The bag.",
                        "Interaction",
                        video=f"S{number}",
                        entities=("person", "bag" if number else "box", "table"),
                        temporal=[(0, "holding", 1), (0, "take", 1)],
                        choices=("The bag.", "The box.", "The table."),
                        source="star",
                        width=None,
                        height=None,
                        boxes=still,
                    )
                )
    return splits


def write_build(folder: Path, config: str = "nextqa_oe", **splits: tuple[int, int, list[str]]) -> None:
    """`build.json` and `skipped.jsonl`: split -> (questions, records, a reason for each that was skipped)."""
    build = {"splits": {s: {"questions": q, "records": r} for s, (q, r, _) in splits.items()}}
    (folder / config / "build.json").write_text(json.dumps(build))
    lines = [
        {"split": split, "id": f"{split}/{number}", "reason": reason, "detail": "a.csv:3"}
        for split, (_, _, reasons) in splits.items()
        for number, reason in enumerate(reasons)
    ]
    (folder / config / "skipped.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AuditPaths]:
    """(the data set's folder, the audit of it)."""
    folder = tmp_path_factory.mktemp("audited")
    splits = golden_records()
    write_folder(folder / "data", splits)
    write_build(
        folder / "data",
        train=(len(splits["train"]), len(splits["train"]), []),
        validation=(15, 12, ["no object annotation of the video"] * 2 + ["a | b"]),
        test=(1, 0, ["no situations"]),
    )
    paths = audit(str(folder / "data"), folder / "out")
    return folder / "data", paths


def test_golden_page(audited: tuple[Path, AuditPaths], request: pytest.FixtureRequest) -> None:
    """To accept a change: `pytest tests/test_audit.py --update-golden`, and read the difference."""
    folder, paths = audited
    page = paths.markdown.read_text("utf-8").replace(escape(str(folder)), "DATASET")
    if request.config.getoption("--update-golden"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / "audit.md").write_text(page, "utf-8")
    assert page == (GOLDEN / "audit.md").read_text("utf-8")


def test_the_pictures(audited: tuple[Path, AuditPaths]) -> None:
    from matplotlib.image import imread

    _, paths = audited
    names = [path.name for path in paths.plots]
    assert names == [
        *("counts.png", "sizes.png", "names.png", "boxes.png"),
        *("leakage-train.png", "leakage-validation.png"),
    ]
    page = paths.markdown.read_text("utf-8")
    for path in paths.plots:
        pixels = imread(path)
        assert min(pixels.shape[:2]) > 150
        assert pixels[:, :, :3].std() > 0.05, path
        assert f"![{path.stem}]({path.name})" in page
    assert {p.name for p in paths.summary.parent.iterdir()} == {"audit.json", "audit.md", *names}


def test_the_page_says_what_the_numbers_are(audited: tuple[Path, AuditPaths]) -> None:
    _, paths = audited
    page = paths.markdown.read_text("utf-8")
    summary = json.loads(paths.summary.read_bytes())
    assert "skipped: a \\| b" in page
    assert summary["skipped"]["validation"]["reasons"] == {"no object annotation of the video": 2, "a | b": 1}
    assert summary["skipped"]["test"] == {"questions": 1, "records": 0, "reasons": {"no situations": 1}}
    assert summary["warnings"] == []
    cells = {(r["split"], r["condition"], r["name"], r["measure"]): r for r in summary["leakage"]}
    assert cells["validation", "cotasks", "DC", "counted"]["share"] == 1
    # dogs, one adult, one ball: 1 can be read off all three contexts, 2 and 3 off one each
    assert cells["validation", "cotasks", "DC", "number"]["chance"] == pytest.approx((0 + 1 + 1) / 2 / 3)
    assert cells["validation", "cotasks", "TC", "answer"]["share"] == 1
    assert cells["validation", "question", "TC", "answer"]["share"] == 0
    assert ("validation", "cotasks without actions", "all", "any") not in cells
    assert cells["train", "cotasks without actions", "all", "any"]["questions"] == 3
    assert summary["splits"]["train"]["boxes"]["frozen_tracks"] == 9
    assert summary["splits"]["train"]["boxes"]["unchecked"] == 9 * len(FRAMES)


@pytest.mark.slow
def test_the_same_data_gives_the_same_bytes(audited: tuple[Path, AuditPaths], tmp_path: Path) -> None:
    folder, paths = audited
    again = audit(str(folder), tmp_path / "again")
    for one, other in zip(
        (paths.summary, paths.markdown, *paths.plots), (again.summary, again.markdown, *again.plots), strict=True
    ):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_splits_without_validation(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": [make_record()], "test": [make_record(video="v2"), make_record(video="v3")]})
    done: list[tuple[str, int, int]] = []
    summary = summarise(str(tmp_path), on_progress=lambda *state: done.append(state))
    assert {split: found["records"] for split, found in summary["splits"].items()} == {"train": 1, "test": 2}
    assert summary["skipped"] is None
    assert done == [("train", 1, 1), ("test", 1, 2), ("test", 2, 2)]


def test_the_embedded_sample() -> None:
    summary = summarise("sample")
    assert summary["skipped"] is None
    for split in ("train", "validation", "test"):
        found = summary["splits"][split]
        assert found["records"] == sum(found["question_types"].values())
        assert found["boxes"]["boxes"] > 0
        assert found["boxes"]["outside"] == found["boxes"]["empty"] == 0
    conditions = {row["condition"] for row in summary["leakage"]}
    assert "cotasks-4 without actions" in conditions
    assert all(0 <= row["share"] <= 1 for row in summary["leakage"])


# Wrong input


def test_counts_that_disagree_are_said(tmp_path: Path) -> None:
    write_folder(tmp_path, {"validation": [make_record()]})
    write_build(tmp_path, validation=(5, 3, ["x"]), test=(2, 0, ["y", "y"]))
    skipped, warnings = read_skipped(str(tmp_path), "nextqa_oe", {"validation": 1})
    assert skipped is not None
    assert skipped["test"]["reasons"] == {"y": 2}
    assert warnings == [
        "validation: 5 questions, but 3 records and 1 lines of skipped.jsonl",
        "validation: 1 records were loaded, build.json counts 3",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("build.json", "{", r"build.json: not JSON"),
        ("build.json", "[]", r"build.json: splits is None; expected questions and records"),
        ("build.json", '{"splits": {"validation": {"questions": 1}}}', "build.json: splits is .*; expected questions"),
        (
            "skipped.jsonl",
            '{"split": "train", "reason": "x"}\n',
            r"skipped.jsonl:1: .*; expected a split of build.json",
        ),
        ("skipped.jsonl", '{"split": "validation"}\n', r"skipped.jsonl:1: .*; expected a split of build.json and a"),
        ("skipped.jsonl", "{\n", r"skipped.jsonl:1: not JSON"),
    ],
)
def test_damaged_files_of_a_build(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_folder(tmp_path, {"validation": [make_record()]})
    write_build(tmp_path, validation=(1, 1, []))
    (tmp_path / "nextqa_oe" / name).write_text(text)
    with pytest.raises(InputError, match=message):
        audit(str(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_audited(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        audit(str(tmp_path / "missing"), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file; expected a folder to write to"):
        audit("sample", tmp_path / "file")
    write_folder(tmp_path / "data", {"validation": [make_record()]})
    with pytest.raises(InputError, match="star"):
        audit(str(tmp_path / "data"), tmp_path / "out", config="star")


@pytest.mark.parametrize("package", ["matplotlib", "scipy"])
def test_a_missing_extra(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} is not installed; run: pip install 'cotasks\[report\]'"):
        audit("sample", tmp_path / "out")


def test_importing_costs_nothing() -> None:
    code = "import sys, cotasks.audit; print({'matplotlib', 'scipy', 'torch', 'av'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
