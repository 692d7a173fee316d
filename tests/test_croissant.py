"""`croissant.json`: what mlcroissant finds valid, reads records by, and the build says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotasks.builders.publish.built import check_folder, read_builds
from cotasks.builders.publish.croissant import FILE, LICENCES, croissant
from cotasks.builders.publish.facts import FACTS, facts
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records.dataset import load_records

OWN = Path(__file__).parents[1] / "examples" / "own_data"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, and own data with a source and a licence of its own."""
    out = tmp_path_factory.mktemp("croissant") / "out"
    build_folder(BuildOptions("sample"), out)
    shutil.copytree(OWN, out.parent / "own")
    build_folder(BuildOptions("own", data_dir=str(out.parent / "own"), source_name="yard", license="cc-by-4.0"), out)
    return out


def test_mlcroissant_finds_it_valid_and_reads_by_it(built: Path) -> None:
    mlc = pytest.importorskip("mlcroissant")
    for config in ("sample", "own"):
        dataset = mlc.Dataset(jsonld=str(built / config / FILE))
        assert not dataset.metadata.ctx.issues.errors
        assert dataset.metadata.name == f"cotasks-{config}"
        assert dataset.metadata.data_biases is not None
        assert dataset.metadata.data_limitations
    rows = list(mlc.Dataset(jsonld=str(built / "sample" / FILE)).records("validation-00000-of-00001"))
    records = {record.id: record for record in load_records(str(built), "validation", "sample")}
    name = "validation-00000-of-00001/"
    assert {row[name + "id"].decode() for row in rows} == records.keys()
    for row in rows[:5]:
        record = records[row[name + "id"].decode()]
        assert row[name + "question"].decode() == record.question
        assert row[name + "fps"] == record.fps


def test_it_says_what_the_build_says(built: Path) -> None:
    for config, build in read_builds(built).items():
        found: dict[str, Any] = json.loads((built / config / FILE).read_text())
        assert found == croissant(build)
        hashes = {part["name"]: part["sha256"] for part in found["distribution"]}
        assert hashes == {n: row["sha256"] for n, row in build["files"].items() if n.endswith(".parquet")}
        assert [row["name"] + ".parquet" for row in found["recordSet"]] == list(hashes)
        assert found["rai:dataBiases"] == facts(build, "biases")
    own = json.loads((built / "own" / FILE).read_text())
    assert own["license"] == [LICENCES["cc-by-4.0"]]
    assert "yard" in own["description"]
    assert {licence for row in CATALOG.values() for licence in row.licences} <= {*LICENCES, "other", "unknown"}
    assert built / "sample" / FILE in check_folder(built).files()
    assert check_folder(built).others == ()


def test_facts_come_from_the_counts(built: Path) -> None:
    builds = read_builds(built)
    said = facts(builds["sample"], "biases")
    split = builds["sample"]["splits"]["validation"]
    saw, records = split["used_answer"], split["records"]
    line = f"validation: for {saw} of {records} ({saw / records:.1%}) records, whoever made step 1 had seen the answer"
    assert any(sentence.startswith(line) for sentence in said)
    readme = (built / "README.md").read_text("utf-8")
    for config, build in builds.items():
        for about in FACTS:
            for line in facts(build, about):
                assert f"- {config} {line}" in readme
    assert "- own: its licence is cc-by-4.0" in readme
    assert "- own: its records' source is yard" in readme
    old = {"splits": {"train": {"questions": 1, "records": 1, "skipped": {}, "span_origins": {"whole": 1}}}}
    assert facts(old, "biases") == facts(old, "limits") == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:500], "croissant.json"),
        (lambda text: "[]", "distribution is not the parquet files"),
        (lambda text: text.replace('"contentUrl": "train', '"contentUrl": "other'), "distribution is not"),
        (lambda text: text.replace('"sha256": "', '"sha256": "0'), "distribution is not"),
        (lambda text: text.replace("(CoTasks)", "(in our words)"), None),
    ],
)
def test_a_damaged_one_is_not_published(
    built: Path, tmp_path: Path, damage: Callable[[str], str], said: str | None
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(built, folder)
    path = folder / "sample" / FILE
    text = path.read_text(encoding="utf-8")
    path.write_text(damage(text), encoding="utf-8")
    assert damage(text) != text
    if said is None:
        check_folder(folder)
    else:
        with pytest.raises(InputError, match=said):
            check_folder(folder)
