"""The publishable folder: complete, loadable without this package, the same bytes every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from datasets import load_dataset

from cotasks import FEATURES, Record
from cotasks.builders.folder import build_folder
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.sample import DATA_DIR


def content(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_sample_folder_loads_where_cotasks_is_unknown(tmp_path: Path) -> None:
    build_folder(BuildOptions("sample"), tmp_path / "out")
    script = (
        "import sys; sys.modules['cotasks'] = None\n"  # importing it would fail
        "import json; from datasets import load_dataset\n"
        "rows = load_dataset(sys.argv[1])\n"
        "print(json.dumps({s: len(d) for s, d in rows.items()}), hash(str(rows['train'].features)) and '')\n"
        "open(sys.argv[2], 'w').write(repr(rows['train'].features))\n"
    )
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out"), str(tmp_path / "features")],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert (tmp_path / "features").read_text() == repr(FEATURES)
    from_folder = load_dataset(str(tmp_path / "out"))
    from_builder = load_dataset("cotasks")
    for split, rows in from_builder.items():
        assert list(from_folder[split]) == list(rows)
        streamed = load_dataset(str(tmp_path / "out"), split=split, streaming=True)
        assert [Record.from_row(row) for row in streamed] == [Record.from_row(row) for row in rows]


def test_two_builds_are_byte_identical_on_any_number_of_processes(tmp_path: Path) -> None:
    for name, num_proc in (("one", 1), ("again", 1), ("two", 2)):
        build_folder(BuildOptions("sample"), tmp_path / name, num_proc=num_proc)
    assert content(tmp_path / "one") == content(tmp_path / "again") == content(tmp_path / "two")


def test_a_folder_built_anew_is_not_read_from_the_old_cache(tmp_path: Path) -> None:
    for num_frames in (8, 4, 8):
        build_folder(BuildOptions("sample", num_frames=num_frames), tmp_path / "out")
        row = load_dataset(str(tmp_path / "out"), split="train")[0]
        assert len(row["frames"]) == num_frames


def test_configs_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for config in ("nextqa_oe", "nextqa_mc", "star"):
        build_folder(BuildOptions(config, data_dir=DATA_DIR), out)
    sizes = {c: {s: len(d) for s, d in load_dataset(str(out), c).items()} for c in ("nextqa_oe", "nextqa_mc", "star")}
    for config, splits in sizes.items():
        build = json.loads((out / config / "build.json").read_text())
        assert splits == {split: summary["records"] for split, summary in build["splits"].items()}
    assert len(load_dataset(str(out))["train"]) == sizes["nextqa_oe"]["train"]  # the default config
    readme = (out / "README.md").read_text()
    assert f"| star | test | {sizes['star']['test']} | {sizes['star']['test']} | none |" in readme


def test_a_rebuild_replaces_and_a_failed_build_leaves_what_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_folder(BuildOptions("star", data_dir=DATA_DIR), out)
    before = content(out)
    with pytest.raises(InputError, match="no human span"):
        build_folder(BuildOptions("nextqa_oe", data_dir=DATA_DIR, localization="human"), out, ["train"])
    assert content(out) == before
    (out / ".star.part").mkdir()
    (out / ".star.part" / "junk").touch()
    build_folder(BuildOptions("star", data_dir=DATA_DIR), out)
    assert content(out) == before


def test_a_folder_that_no_build_wrote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="was not written by a build"):
        build_folder(BuildOptions("sample"), tmp_path)
    assert content(tmp_path) == {"thesis.tex": b"mine"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "nextqa"}, "unknown config 'nextqa'; known: sample"),
        ({"config": "sample", "data_dir": "x"}, "takes no data_dir"),
        ({"config": "nextqa_oe", "grid": "even"}, "expected snapped or uniform"),
        ({"config": "nextqa_oe", "num_frames": 0}, "num_frames is 0"),
        ({"config": "nextqa_oe", "localization": "guess"}, "localization is 'guess'"),
        ({"config": "nextqa_oe", "localization": "gone.jsonl"}, "gone.jsonl: no such file"),
        ({"config": "star", "localization": "human"}, "STAR has no human spans"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BuildOptions(**options)  # type: ignore[arg-type]


def test_each_question_is_a_record_or_skipped_with_its_reason(realdata: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = build_folder(BuildOptions("nextqa_oe", data_dir=str(realdata)), out, ["validation"])
    counts = summary.splits["validation"]
    assert (counts.questions, counts.records, counts.skipped.total()) == (5343, 397, 4946)
    assert counts.span_origins["human"] == 232
    skipped = [json.loads(line) for line in (out / "nextqa_oe/skipped.jsonl").read_text().splitlines()]
    ids = {row["id"] for row in load_dataset(str(out), split="validation")} | {row["id"] for row in skipped}
    assert len(ids) == 5343
    assert Counter(row["reason"] for row in skipped) == counts.skipped
    summary = build_folder(BuildOptions("nextqa_mc", data_dir=str(realdata)), out, ["validation"])
    assert summary.splits["validation"].records == 363
    assert summary.splits["validation"].span_origins["human"] == 232


def test_oe_train_has_distinct_ids(realdata: Path) -> None:
    from cotasks.builders.assemble import plan_split

    plan = plan_split(BuildOptions("nextqa_oe", data_dir=str(realdata)), "train")
    ids = {s.id for s in plan.skipped} | {q.id for task in plan.tasks for q in task.questions}  # type: ignore[union-attr]
    assert len(ids) == 37_523


def test_star_test_is_skipped_for_want_of_situations(realdata: Path, tmp_path: Path) -> None:
    summary = build_folder(BuildOptions("star", data_dir=str(realdata)), tmp_path / "out")
    assert summary.splits["test"].skipped == {"no situations": 500}
    assert summary.splits["train"].records == 1
    record = Record.from_row(load_dataset(str(tmp_path / "out"), split="train")[0])
    keyframes = {int(key) - 1 for key in _situations(realdata)}
    assert len(keyframes) == 39
    assert keyframes <= {frame.index for frame in record.frames}
    assert record.frame_localization.frames == tuple(sorted(keyframes))


def _situations(realdata: Path) -> dict[str, object]:
    situations: dict[str, object] = json.loads((realdata / "star/STAR_train.json").read_text())[0]["situations"]
    return situations
