"""The command line: what it writes, its exit codes, and errors of one line that name file, place and value."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cotasks.cli import main
from cotasks.sample import DATA_DIR
from tests.conftest import made_once

VIDEOS = Path(DATA_DIR, "videos")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sample's source files, to be damaged."""
    return Path(shutil.copytree(DATA_DIR, tmp_path / "sources", ignore=shutil.ignore_patterns("*.mp4")))


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command ends with, after exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cotasks: ")]
    assert len(lines) == 1
    return lines[0]


def test_build_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "built"
    assert main(["build", "nextqa_oe", "--data-dir", DATA_DIR, "--split", "val", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "validation: 29 records of 29 questions" in printed
    assert printed.splitlines()[-1] == f"Built {out / 'nextqa_oe'}"

    sheet = tmp_path / "sheet.png"
    arguments = ["show", str(out), "--index", "2", "--videos", str(VIDEOS), "--out", str(sheet)]
    assert main(arguments) == 0
    assert "Step 4, temporal relations" in capsys.readouterr().out
    with Image.open(sheet) as image:
        assert image.format == "PNG"
        assert image.width > 600
    assert main(["show", "sample", "--id", "sample/test/Interaction_T1_16"]) == 0  # found in its own split
    assert "Question: Which object was taken by the person?" in capsys.readouterr().out


def test_generate_judge_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    generate = ["generate", "sample", "--model", "tiny", "--run", str(run), "--limit", "4", "--max-new-tokens", "4"]
    assert main(generate) == 0
    first = capsys.readouterr().out
    assert "answers mean nothing" in first
    answers = [line for path in (run / "generations").glob("*.jsonl") for line in path.read_text().splitlines()]
    keys = {(row["id"], row["condition"], row["sample"]) for row in map(json.loads, answers)}
    assert len(keys) == len(answers) > 0
    assert {condition for _, condition, _ in keys} == {"baseline", "cotasks"}
    assert main(generate) == 0  # nothing left to do
    assert f"Answered {len(answers)} of {len(answers)} (0 now)" in capsys.readouterr().out
    assert main(["judge", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Report {run / 'report.html'}"
    summary = json.loads((run / "summary.json").read_text())
    overall = [row for row in summary["means"] if row["level"] == "micro"]
    assert {row["condition"] for row in overall} == {"baseline", "cotasks"}
    assert all(row["unscored"] == 0 for row in overall)
    assert "cotasks minus baseline" in (run / "report.md").read_text()


def test_a_failed_answer_means_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = Path(shutil.copytree(VIDEOS, tmp_path / "videos"))
    for path in videos.rglob("*.mp4"):
        path.write_bytes(b"")
    command = ["generate", "sample", "--model", "tiny", "--run", str(tmp_path / "run"), "--limit", "2"]
    assert main([*command, "--condition", "baseline", "--videos", str(videos)]) == 1
    assert "failed:" in capsys.readouterr().out
    # unscored, never zero
    main(["judge", str(tmp_path / "run")])
    main(["report", str(tmp_path / "run")])
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    for row in summary["means"]:
        if row["level"] == "micro":
            assert row["mean"] is None
            assert row["unscored"] == row["answers"]


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")


FILE_FAULTS: list[tuple[str, Callable[[Path], object], str, list[str]]] = [
    (
        "missing column",
        lambda s: edit(s / "nextqa/oe/train.csv", lambda t: t.replace("answer,", "", 1)),
        "nextqa_oe",
        ["train.csv", "answer"],
    ),
    ("malformed map", lambda s: (s / "nextqa/map_vid_vidorID.json").write_text("{"), "nextqa_oe", ["map_vid", "JSON"]),
    ("no annotation", lambda s: shutil.rmtree(s / "vidor"), "nextqa_oe", ["vidor", "no such file", "shangxd/vidor"]),
    ("no csv at all", lambda s: shutil.rmtree(s / "nextqa/oe"), "nextqa_oe", ["oe/train.csv", "NExT-OE"]),
    ("spans not JSON", lambda s: (s / "nextgqa/gsub_val.json").write_text("<html>"), "nextqa_oe", ["gsub_val", "JSON"]),
    ("star not JSON", lambda s: (s / "star/STAR_train.json").write_text("[{"), "star", ["STAR_train.json", "JSON"]),
    (
        "a pickle that calls",
        lambda s: (s / "star/STAR_classes/video_fps").write_bytes(b"cos\nsystem\n(S'touch /tmp/x'\ntR."),
        "star",
        ["video_fps", "GLOBAL"],
    ),
    (
        "class list cut off",
        lambda s: edit(s / "star/STAR_classes/object_classes.txt", lambda t: t[:-8] + "\no0"),
        "star",
        ["object_classes.txt"],
    ),
]


@pytest.mark.parametrize(("name", "damage", "config", "named"), FILE_FAULTS, ids=[f[0] for f in FILE_FAULTS])
def test_a_damaged_file_is_named_in_one_line(
    name: str,
    damage: Callable[[Path], object],
    config: str,
    named: list[str],
    sources: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(sources)
    line = fails(capsys, "build", config, "--data-dir", sources, "--out", tmp_path / "out")
    assert all(part in line for part in named), line
    assert not (tmp_path / "out" / config).exists()


def vidor(sources: Path) -> Path:
    return sources / "vidor/training/0901/2101010101.json"


RECORD_FAULTS: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("malformed JSON", lambda s: vidor(s).write_text("{"), "nextqa_oe", "damaged annotation file"),
    ("unknown category", lambda s: edit(vidor(s), lambda t: t.replace('"cat"', '"unicorn"')), "nextqa_oe", "category"),
    ("unknown predicate", lambda s: edit(vidor(s), lambda t: t.replace('"chase"', '"beam"')), "nextqa_oe", "predicate"),
    (
        "tid without an object",
        lambda s: edit(vidor(s), lambda t: t.replace('"object_tid":0', '"object_tid":99')),
        "nextqa_oe",
        "tid",
    ),
    (
        "box outside the frame",
        lambda s: edit(vidor(s), lambda t: t.replace('"width":160', '"width":90')),
        "nextqa_oe",
        "box outside the frame",
    ),
    (
        "relation that ends before it begins",
        lambda s: edit(vidor(s), lambda t: t.replace('"begin_fid":6', '"begin_fid":39')),
        "nextqa_oe",
        "relation",
    ),
    (
        "shifted numbers",
        lambda s: edit(
            s / "nextqa/oe/train.csv", lambda t: t.replace("2101010101,40,160,120", "2101010101,160,120,40", 1)
        ),
        "nextqa_oe",
        "frame count or size disagrees",
    ),
    (
        "two boxes of one thing on a frame",
        lambda s: edit(s / "star/STAR_train.json", lambda t: t.replace('["o001","o000"]', '["o001","o001"]', 1)),
        "star",
        "two boxes of one label",
    ),
    (
        "unknown code",
        lambda s: edit(s / "star/STAR_train.json", lambda t: t.replace('"r001"', '"r099"', 1)),
        "star",
        "unknown code",
    ),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The training split of a config of the sample's sources, built once."""

    def built(config: str) -> Path:
        build = ["build", config, "--data-dir", DATA_DIR, "--split", "train", "--strict", "--out"]

        def make(folder: Path) -> None:
            assert main([*build, str(folder)]) == 0

        return made_once(tmp_path_factory, f"whole-{config}", make) / config

    return built


@pytest.mark.parametrize(("name", "damage", "config", "reason"), RECORD_FAULTS, ids=[f[0] for f in RECORD_FAULTS])
def test_a_damaged_record_is_skipped_under_its_reason_and_the_others_are_built(
    name: str,
    damage: Callable[[Path], object],
    config: str,
    reason: str,
    sources: Path,
    whole: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    damage(sources)
    out = tmp_path / "out"
    assert main(["build", config, "--data-dir", str(sources), "--split", "train", "--strict", "--out", str(out)]) == 0
    before = json.loads((whole(config) / "build.json").read_text())["splits"]["train"]
    after = json.loads((out / config / "build.json").read_text())["splits"]["train"]
    skipped = [json.loads(line) for line in (out / config / "skipped.jsonl").read_text().splitlines()]
    assert 0 < len(skipped) < before["records"]
    assert after["records"] == before["records"] - len(skipped)
    assert after["questions"] == before["questions"]
    assert sum(after["skipped"].values()) == len(skipped)
    for row in skipped:
        assert reason in row["reason"]
        assert not any(character.isdigit() for character in row["reason"])  # values are in the detail
        assert row["id"]
        assert ".json" in row["detail"] or ".csv" in row["detail"]
        assert "\n" not in row["detail"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["build", "nextqa", "--out", "x"], ["unknown config 'nextqa'", "nextqa_oe"]),
        (["build", "nextqa_oe", "--out", "x"], ["data_dir", "NExT-OE"]),
        (["build", "nextqa_oe", "--data-dir", "gone", "--out", "x"], ["gone", "no such folder"]),
        (["build", "sample", "--split", "dev", "--out", "x"], ["'dev'", "train, validation"]),
        (["build", "sample", "--num-frames", "many", "--out", "x"], ["--num-frames", "integer"]),
        (["build", "--out", "x"], ["CONFIG"]),
        (["show", "nowhere"], ["nowhere", "no such folder"]),
        (["show", "sample", "--index", "9999"], ["9999"]),
        (["show", "sample", "--id", "sample/train/none"], ["sample/train/none"]),
        (["show", "sample", "--out", "sheet.jpg"], ["sheet.jpg", ".png", ".gif"]),
        (["generate", "sample", "--model", "no/such-model", "--run", "r"], ["no/such-model"]),
        (["generate", "sample", "--model", "tiny", "--run", "r", "--condition", "hope"], ["'hope'", "baseline"]),
        (["generate", "sample", "--model", "tiny", "--run", "r", "--videos", "gone"], ["gone", "no such folder"]),
        (["judge", "nowhere"], ["nowhere", "not a run folder"]),
        (["report", "nowhere"], ["nowhere"]),
        (["dance"], ["dance"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_wrong_arguments_are_named_in_one_line(
    arguments: list[str],
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = fails(capsys, *arguments)
    assert all(part in line for part in named), line


def test_more_frames_than_the_grid_name_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["build", "sample", "--num-frames", "8", "--out", str(tmp_path / "built")])
    generate = ["generate", str(tmp_path / "built"), "--videos", str(VIDEOS), "--model", "tiny"]
    line = fails(capsys, *generate, "--run", tmp_path / "run", "--num-frames", "9")
    assert "9 frames" in line
    assert "build" in line
    assert "--num-frames 9" in line


def test_an_unknown_model_family_lists_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "bert"}')
    line = fails(capsys, "generate", "sample", "--model", tmp_path / "model", "--run", tmp_path / "run")
    assert "bert" in line
    assert "qwen2_5_vl" in line


def test_a_video_that_is_no_video_is_skipped_by_name(tmp_path: Path, sources: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number, path in enumerate(sorted(VIDEOS.glob("*.mp4"))):
        if number == 1:
            (videos / path.name).write_text("this is no video")
        elif number == 2:
            (videos / path.name).write_bytes(path.read_bytes()[:600])
        elif number > 2:
            shutil.copy(path, videos)
    command = ["build", "star", "--data-dir", str(sources), "--videos", str(videos), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    skipped = [json.loads(line) for line in (tmp_path / "out/star/skipped.jsonl").read_text().splitlines()]
    bad = [path.name for path in sorted(VIDEOS.glob("*.mp4"))[:3]]
    assert {name for row in skipped for name in bad if name in row["detail"]} == set(bad)
    assert all("video" in row["reason"] for row in skipped)


@pytest.mark.parametrize(
    "command", ["", "demo", "build", "show", "audit", "generate", "judge", "report", "push", "pull"]
)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Usage: cotasks" in text
    if command:
        assert "rites" in text or "Append" in text or "draw" in text  # says what it writes
