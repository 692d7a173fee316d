"""The catalog of sources, and that a source is added by its reader and its row alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

from cotasks import Record
from cotasks.audit import audit
from cotasks.builders.publish.built import check_folder
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.sources import BuildOptions, fingerprint
from cotasks.errors import InputError
from cotasks.generate.run import generate
from cotasks.judge.run import judge_run
from cotasks.prompts.condition import parse_condition
from cotasks.records.dataset import load_records
from cotasks.report import write_report
from cotasks.step_scores.table import corrupted_step_rows
from cotasks.tools.files import read_json, read_jsonl
from cotasks.words.types import KNOWN
from tests import fables
from tests.model_options import grouped
from tests.synthetic import write_video

ROOT = Path(__file__).parents[1]


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder of the made-up source, whose row is in the catalog."""
    monkeypatch.setitem(CATALOG, "fables", fables.ROW)
    return fables.write_source(tmp_path / "source")


@pytest.fixture
def built(source: Path, tmp_path: Path) -> Path:
    build_folder(BuildOptions("fables", data_dir=str(source)), tmp_path / "built")
    return tmp_path / "built"


# The rows


@pytest.mark.parametrize("config", CATALOG)
def test_a_row_is_whole(config: str) -> None:
    row = CATALOG[config]
    assert row.config == config
    assert row.licences
    assert row.types is None or KNOWN[row.types.source] is row.types
    for file in row.files:
        assert any(file.path.startswith(start) for start in row.pages), file.path
    needed = [name.format(split=split) for name in row.questions for split in row.split_names.values()]
    published = {file.path for file in row.files}
    assert row.folder is not None or row.about is not None or set(needed) <= published


def test_no_source_is_named_where_all_are_built() -> None:
    """What a source is called stands in its reader and in the catalog, not where records are assembled and written."""
    named = re.compile(r"""["'](nextqa|star|sample|nextgqa|oe|mc)\b""")
    paths = [*(ROOT / "builders").glob("*.py"), *(ROOT / "builders/publish").glob("*.py")]
    paths.remove(ROOT / "builders/publish/run_files.py")  # `sample` is a column of runs there
    for path in paths:
        code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.S)
        assert not named.search(code), f"{path}: {named.search(code)}"


@pytest.mark.parametrize("config", ["perception_test", "pvsg", "vstar"])
def test_a_source_is_its_reader_and_its_row(config: str) -> None:
    """Beside these, and a converter of the same name where there is one, no file of the package names it."""
    named = re.compile(rf"""["'/]{config}\b|\b{config}\.[a-z]""")
    may = {f"builders/readers/{config}.py", "builders/readers/catalog.py", "cotasks/convert/table.py"}
    for path in [*(ROOT / "builders").rglob("*.py"), *(ROOT / "cotasks").rglob("*.py")]:
        relative = path.relative_to(ROOT).as_posix()
        if relative not in may | {f"cotasks/convert/{config}.py"}:
            code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.S)
            assert not named.search(code), f"{relative}: {named.search(code)}"
    row = CATALOG[config]
    assert f"`{config}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| {row.title} (" in (ROOT / "dataset_card.md").read_text(encoding="utf-8")


# A source that nobody listed


def test_its_questions_become_records(built: Path) -> None:
    records = list(load_records(str(built), "validation"))
    assert [r.id for r in records if r.video_id == "v0"] == [f"fables/validation/0-{k}" for k in range(4)]
    assert {(r.source, r.question_type, r.category) for r in records} == {
        ("fables", kind, about) for kind, about, *_ in fables.KINDS
    }
    who, moral, unmarked, _ = (r.frame_localization for r in records if r.video_id == "v0")
    assert (who.span_origin, who.entity_origin, who.used_answer) == ("annotation", "annotation", True)
    assert [e.tid for e in who.entities] == [0]
    assert max(who.frames) <= 12
    assert [e.tid for e in moral.entities] == [0, 1]
    assert unmarked.span_origin in ("lexical", "whole")
    assert records[0].scene is records[1].scene
    skipped = [row for row in read_jsonl(built / "fables/skipped.jsonl") if row["split"] == "validation"]
    assert {(row["id"], row["reason"]) for row in skipped} == {
        ("fables/validation/blank", "empty text"),
        ("fables/validation/lost", "no object annotation of the video"),
    }


def test_its_folder_is_like_any_other(built: Path) -> None:
    checked = check_folder(built)
    assert list(checked.builds) == ["fables"]
    build = checked.builds["fables"]
    assert set(build["sources"]) == {"fables/train.json", "fables/val.json", "fables/boxes.json"}
    assert "https://example.org/fables" in build["left_out"]["test"]
    readme = (built / "README.md").read_text()
    assert "license:\n- cc-by-4.0\n" in readme
    plain = load_dataset(str(built), "fables", split="train")
    assert Record.from_row(plain[0]).category == "causal"


def test_processes_make_the_same_bytes(built: Path, source: Path, tmp_path: Path) -> None:
    build_folder(BuildOptions("fables", data_dir=str(source)), tmp_path / "again", num_proc=2)
    for path in sorted((built / "fables").iterdir()):
        assert path.read_bytes() == (tmp_path / "again/fables" / path.name).read_bytes(), path.name


def test_what_shapes_it_changes_its_fingerprint(source: Path) -> None:
    options = BuildOptions("fables", data_dir=str(source))
    before = fingerprint(options)
    (source / "fables/other.json").write_text("1")
    assert fingerprint(options) == before
    (source / "fables/boxes.json").write_text((source / "fables/boxes.json").read_text() + " ")
    assert fingerprint(options) != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "config fables: no data_dir given"),
        ({"data_dir": "x", "videos": "y"}, "config fables takes no videos"),
        ({"data_dir": "x", "vidor": ("y",)}, "config fables takes no vidor"),
        ({"data_dir": "x", "localization": "human"}, "localization: Fables has no human spans; expected auto"),
    ],
)
def test_options_that_it_does_not_take(
    options: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(CATALOG, "fables", fables.ROW)
    with pytest.raises(InputError, match=message):
        build_folder(BuildOptions("fables", **options), tmp_path / "out")  # type: ignore[arg-type]


def test_a_missing_file_says_where_to_get_it(source: Path, tmp_path: Path) -> None:
    (source / "fables/boxes.json").unlink()
    with pytest.raises(InputError, match=r"boxes\.json: no such file; get it from https://example\.org/fables$"):
        build_folder(BuildOptions("fables", data_dir=str(source)), tmp_path / "out")


def test_an_annotation_at_fault_skips_all_its_questions(source: Path, tmp_path: Path) -> None:
    path = source / "fables/boxes.json"
    videos = json.loads(path.read_text())
    path.write_text(json.dumps({**videos, "v1": {**videos["v1"], "frames": 0}}))
    summary = build_folder(BuildOptions("fables", data_dir=str(source)), tmp_path / "out")
    assert summary.splits["train"].skipped["empty video"] == 4
    assert summary.splits["train"].records == 4


def test_it_loads_by_load_dataset(source: Path, tmp_path: Path) -> None:
    """In a process of its own, where the row is entered before the builder is first loaded."""
    script = f"""
import cotasks
from cotasks.builders.readers.catalog import CATALOG
from tests import fables
from tests.model_options import grouped
CATALOG["fables"] = fables.ROW
from datasets import load_dataset
rows = load_dataset("cotasks", "fables", data_dir={str(source)!r}, num_proc=2)
print({{split: len(part) for split, part in rows.items()}}, rows["train"][0]["category"], len(load_dataset("cotasks")))
"""
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "{'train': 8, 'validation': 8} causal 3"


def test_its_questions_have_their_rows_downstream(built: Path, tmp_path: Path) -> None:
    """From answers to the report, the audit and the step table: no question is in no mean."""
    (tmp_path / "videos").mkdir()
    for video in ("v0", "v1"):
        write_video(tmp_path / "videos" / f"{video}.mp4", gop=12)
    records = load_records(str(built), "validation")
    conditions = [parse_condition("baseline"), parse_condition("cotasks")]
    run = tmp_path / "run"
    options = grouped(max_new_tokens=2, device="cpu")
    generate(records, conditions, "tiny", run, videos=tmp_path / "videos", num_frames=4, **options)
    questions = {row["id"]: row for row in read_jsonl(run / "questions.jsonl")}
    first = questions["fables/validation/0-0"]
    assert (first["source"], first["span_origin"], first["used_answer"]) == ("fables", "annotation", True)
    judge_run(run, "exact")

    paths = write_report([run])
    means = read_json(paths.summary)["means"]
    by_level = {
        level: {m["name"]: m["questions"] for m in means if m["level"] == level and m["condition"] == "cotasks"}
        for level in ("category", "question_type", "macro")
    }
    assert by_level["category"] == {"causal": 4, "moral": 2, "odd & ends": 2}
    types = {"who": 2, "moral (causal)": 2, "moral (moral)": 2, "a|b $x$ <i>": 2}
    assert by_level["question_type"] == types
    assert {(m["group"], m["questions"]) for m in means} >= {("fables", 8), ("all", 8)}
    text = paths.markdown.read_text()
    assert "## fables questions, judge exact" in text
    assert "Odd & ends".replace("&", r"\&") in text

    found = audit(str(built), tmp_path / "audit")
    summary = read_json(found.summary)
    split = summary["splits"]["validation"]
    assert split["sources"] == {"fables": 8}
    assert split["categories"] == {"causal": 4, "moral": 2, "odd & ends": 2}
    assert sum(split["question_types"].values()) == split["records"]
    shown = {row["name"] for row in summary["leakage"] if row["level"] == "category"}
    assert shown == set(split["categories"])
    page = found.markdown.read_text()
    assert r"a\|b \$x\$ \<i\>" in page

    rows = corrupted_step_rows(records, (0.0,), 1)
    assert {row["group"] for row in rows} == {"all", *split["categories"]}
