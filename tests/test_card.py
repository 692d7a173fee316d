"""The card: every number and hash from the data, every field in the words of the code, valid for the Hub."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import shutil
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset, load_dataset_builder
from huggingface_hub import DatasetCard, constants
from huggingface_hub.utils import _http
from hypothesis import given
from hypothesis import strategies as st

from cotasks.builders.publish import card
from cotasks.builders.publish.built import check_folder, read_builds, read_shards
from cotasks.builders.publish.folder import build_folder
from cotasks.builders.readers import situations, vidor
from cotasks.builders.readers.catalog import CATALOG
from cotasks.builders.sources import BuildOptions
from cotasks.errors import InputError
from cotasks.records import schema
from cotasks.records.timeline import NUM_FRAMES
from cotasks.sample import DATA_DIR
from tests.hub_server import Hub
from tests.test_schema import field_docs

CONFIGS = [
    config
    for config, row in CATALOG.items()
    if all(Path(DATA_DIR, name.format(split=split)).exists() for name in row.questions for split in ("train", "val"))
]
"""Those that the sample's source files can be built as."""
TEMPLATE = card.TEMPLATE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all configs."""
    out = tmp_path_factory.mktemp("built") / "out"
    for config in CONFIGS:
        build_folder(BuildOptions(config, data_dir=None if config == "sample" else DATA_DIR), out)
    return out


def rows_of(text: str, header: str) -> list[list[str]]:
    """The cells of the table under a header line."""
    lines = text[text.index(header) :].splitlines()[2:]
    table = lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_card_of_the_tree_is_the_template() -> None:
    assert (Path(__file__).parents[1] / "dataset_card.md").read_text(encoding="utf-8") == TEMPLATE


def test_the_counts_are_those_of_the_data(built: Path) -> None:
    readme = (built / "README.md").read_text(encoding="utf-8")
    rows = rows_of(readme, "| config | split | questions | records | skipped, by reason |")
    assert {row[0] for row in rows} == set(CONFIGS)
    by_category = {
        (row[0], row[1]): row[2:] for row in rows_of(readme, "| config | split | records by category | A1's time")
    }
    total = 0
    for config, split, questions, records, skipped in rows:
        data = load_dataset(str(built), config, split=split)
        reasons = Counter(
            line["reason"]
            for line in map(json.loads, (built / config / "skipped.jsonl").read_text().splitlines())
            if line["split"] == split
        )
        assert int(records) == len(data)
        assert int(questions) == len(data) + reasons.total()
        listed = skipped.split(", ") if skipped != "none" else []
        assert sorted(listed) == sorted(f"{n} {reason}" for reason, n in reasons.items())
        names = data["category"]
        origin = data.features["frame_localization"]["span_origin"]
        origins = [origin.int2str(row["span_origin"]) for row in data["frame_localization"]]
        for cell, values in zip(by_category[config, split], (names, origins), strict=True):
            assert sorted(cell.split(", ")) == sorted(f"{n} {name}" for name, n in Counter(values).items())
        total += len(data)
    assert DatasetCard(readme).data.size_categories == [card.size_category(total)]


def test_the_versions_are_those_of_the_files(built: Path) -> None:
    readme = (built / "README.md").read_text(encoding="utf-8")
    files = rows_of(readme, "| file | records | bytes | sha256 |")
    assert [row[0] for row in files] == [
        path.relative_to(built).as_posix()
        for config in CONFIGS
        for split in ("train", "validation", "test")
        for path in sorted((built / config).glob(f"{split}-*.parquet"))
    ]
    for name, _, size, digest in files:
        content = (built / name).read_bytes()
        assert (int(size), digest) == (len(content), f"`{hashlib.sha256(content).hexdigest()}`")
    sources = {
        (row[0], row[2].strip("`")): row[1].split(", ") for row in rows_of(readme, "| source | read for | hash |")
    }
    builders = {row[0]: row[1:] for row in rows_of(readme, "| config | cotasks | code, sha256 | datasets | options |")}
    for config, build in read_builds(built).items():
        for file, digest in build["sources"].items():
            assert config in sources[file, digest]
        versions = build["versions"]
        assert builders[config][:3] == [versions["cotasks"], f"`{versions['code']}`", versions["datasets"]]
        assert f"num_frames {build['options']['num_frames']}" in builders[config][3]


def test_a_partial_build_says_so(tmp_path: Path) -> None:
    build_folder(BuildOptions("star", data_dir=DATA_DIR, limit=2), tmp_path / "out", ["train"])
    assert "limit 2 |" in (tmp_path / "out/README.md").read_text()


def test_what_was_not_built_is_named(tmp_path: Path) -> None:
    sources = Path(shutil.copytree(DATA_DIR, tmp_path / "sources"))
    (sources / "star/STAR_test.json").unlink()
    build_folder(BuildOptions("star", data_dir=str(sources)), tmp_path / "out")
    readme = (tmp_path / "out/README.md").read_text()
    assert "Not built:\n\n- star test: star/STAR_test.json: no such file; get it from http" in readme
    assert str(tmp_path) not in readme


@pytest.mark.parametrize(
    ("configs", "licences"),
    [
        (["star"], ["apache-2.0"]),
        (["nextqa_mc"], ["mit", "cc-by-sa-4.0"]),
        (["star", "nextqa_oe"], ["mit", "cc-by-sa-4.0", "apache-2.0"]),
    ],
)
def test_the_head_is_what_the_hub_reads(built: Path, tmp_path: Path, configs: list[str], licences: list[str]) -> None:
    for config in configs:
        shutil.copytree(built / config, tmp_path / "out" / config)
    card.write(tmp_path / "out")
    head = DatasetCard.load(tmp_path / "out/README.md").data.to_dict()
    assert head["license"] == licences
    assert head["language"] == ["en"]
    assert set(head["task_categories"]) == {"visual-question-answering", "video-text-to-text"}
    default = sorted(configs, key=CONFIGS.index)[0]
    assert [c["config_name"] for c in head["configs"] if c.get("default")] == [default]
    assert load_dataset_builder(str(tmp_path / "out")).config.name == default
    assert {c["config_name"] for c in head["configs"]} == set(configs)


@pytest.mark.skipif(
    "huggingface.co/api" in inspect.getsource(DatasetCard.validate), reason="this huggingface_hub asks one address only"
)
def test_the_hub_validates_it(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    _http.close_session()
    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        DatasetCard.load(built / "README.md").validate()
        assert [request.path for request in hub.log] == ["/api/validate-yaml"]
    _http.close_session()


def test_words_around_the_generated_parts_are_kept(built: Path) -> None:
    builds = read_builds(built)
    shards = read_shards(built, builds)
    text = (built / "README.md").read_text(encoding="utf-8")
    assert card.render(text, builds, shards) == card.render(TEMPLATE, builds, shards) == text
    edited = text.replace("## Limits", "## Ours\n\nOur lab's note.\n\n## Limits").replace("| sample |", "| 7 |")
    edited = edited.replace("pretty_name: CoTasks", "pretty_name: Ours").replace("- mit\n", "- gpl-3.0\n")
    again = card.render(edited, builds, shards, "lab/cotasks", {"star_videos": "star"})
    assert "Our lab's note." in again
    assert DatasetCard(again).data.pretty_name == "Ours"
    assert DatasetCard(again).data.license == DatasetCard(text).data.license
    assert 'load_dataset("lab/cotasks", "sample"' in again
    assert {"config_name": "star_videos"}.items() <= DatasetCard(again).data.configs[-1].items()
    assert card.render(again, builds, shards, "lab/cotasks", {"star_videos": "star"}) == again
    assert (
        card.render(again, builds, shards).replace("## Ours\n\nOur lab's note.\n\n", "").replace(": Ours", ": CoTasks")
        == text
    )


def test_the_example_runs(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (built / "README.md").read_text(encoding="utf-8").replace("path/of/this/folder", str(built))
    code = readme.split("```python\n")[1].split("```")[0]
    monkeypatch.setattr(socket, "socket", None)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["rows"][0]["frame_localization"]["frames"]


@pytest.mark.parametrize("block", card.BLOCKS)
def test_a_card_without_its_markers_is_refused(built: Path, block: str) -> None:
    builds = read_builds(built)
    for marker in ("begin", "end"):
        text = TEMPLATE.replace(f"<!-- {block}: {marker} -->", "")
        with pytest.raises(InputError, match=f"README.md: no `<!-- {block}: {marker} -->`"):
            card.render(text, builds, read_shards(built, builds))


@given(records=st.integers(0, 10**6))
def test_the_size_category_holds_the_number(records: int) -> None:
    low, _, high = card.size_category(records).partition("n<")
    units = {"K": 10**3, "M": 10**6}
    assert records < int(high[:-1]) * units[high[-1]]
    assert not low or records >= int(low[:-2]) * units[low[-2]]


@pytest.mark.parametrize(
    "cls",
    [c for c in vars(schema).values() if dataclasses.is_dataclass(c) and c.__module__ == schema.__name__],
    ids=lambda c: c.__name__,
)
def test_the_card_lists_the_fields_of_each_struct_in_order(cls: type) -> None:
    rows = [f"| `{name}` | {doc} |" for name, doc in field_docs(cls).items()]
    assert "| field | meaning |\n|---|---|\n" + "\n".join(rows) + "\n\n" in TEMPLATE


def test_numbers_in_the_words_are_those_of_the_code() -> None:
    assert f"linspace(first, last, {NUM_FRAMES}))" in TEMPLATE
    assert f"VidOR's {len(vidor.SPATIAL)} spatial predicates" in TEMPLATE
    assert f"VidOR's {len(vidor.ACTIONS)} actions" in TEMPLATE
    assert f"STAR's {len(situations.SPATIAL)} spatial relations" in TEMPLATE


def test_the_folder_is_read_back_whole(built: Path) -> None:
    checked = check_folder(built)
    assert list(checked.builds) == list(CONFIGS)
    assert {path.relative_to(built).as_posix() for path in checked.files()} | {"README.md"} == {
        path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()
    }
    assert checked.others == ()
    assert sum(map(len, checked.shards_of("star").values())) == len(list((built / "star").glob("*.parquet")))
