"""The dataset card of a published folder: `dataset_card.md` with what its builds say.

Every number and hash in a card is written from `build.json` and the parquet files, between markers; the words
around them are the template's, or whatever a folder's README.md was changed to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from huggingface_hub import DatasetCard

from cotasks.builders.publish.built import Shard, built_splits, read_builds, read_shards
from cotasks.builders.publish.facts import FACTS, facts
from cotasks.builders.readers.catalog import source_of
from cotasks.builders.readers.source import Source
from cotasks.errors import InputError
from cotasks.tools.files import whole_file

TEMPLATE = Path(__file__).with_name("dataset_card.md")
BLOCKS = ("load", "counts", "versions")
"""What is written anew, in the order of the card: `<!-- NAME: begin -->` to `<!-- NAME: end -->`."""

KEPT = (
    "What step 1 keeps, on average, by the origin of its spans and entities; *everything*: records that keep all "
    "frames and all entities."
)
NOTHING = "-"

SIZES = {
    "n<1K": 10**3,
    "1K<n<10K": 10**4,
    "10K<n<100K": 10**5,
    "100K<n<1M": 10**6,
    "1M<n<10M": 10**7,
}
"""The Hub's size category -> number of records below which it holds, as far as this data can go."""


def write(folder: Path) -> None:
    """Write `<folder>/README.md` over all configs that were built there.

    Raises InputError where it cannot be written, or what a build left there is damaged.
    """
    builds = read_builds(folder)
    text = render(TEMPLATE.read_text(encoding="utf-8"), builds, read_shards(folder, builds))
    with whole_file(folder / "README.md") as part:
        part.write_text(text, encoding="utf-8")


def render(
    text: str,
    builds: Mapping[str, Any],
    shards: Sequence[Shard],
    repo_id: str | None = None,
    video_configs: Mapping[str, str] | None = None,
) -> str:
    """A card with its generated parts written anew.

    Args:
        text: the template, or a card that was written before.
        builds: see `read_builds`; not empty.
        shards: see `read_shards`.
        repo_id: `ORG/NAME` on the Hub, for the example; by default the folder stands there.
        video_configs: config with embedded videos -> the config whose rows it repeats.

    Raises InputError where the text has no valid YAML head, or lacks a marker.
    """
    try:
        card = DatasetCard(text, ignore_metadata_errors=False)
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"README.md: its YAML head cannot be read: {str(error).splitlines()[0]}") from None
    rows = sorted((source_of(config) for config in builds), key=lambda row: row.folder is not None)
    card.data.license = list(dict.fromkeys(licence for row in rows for licence in _licences(row, builds)))  # type: ignore[attr-defined]
    card.data.size_categories = [size_category(sum(shard.rows for shard in shards))]  # type: ignore[attr-defined]
    card.data.configs = _configs(builds, video_configs or {})  # type: ignore[attr-defined]  # metadata is dynamic
    card.data.dataset_info = _infos(builds, shards)  # type: ignore[attr-defined]
    blocks = (
        _load(builds, repo_id or "path/of/this/folder", video_configs or {}),
        _counts(builds),
        _versions(builds, shards),
    )
    for name, block in zip(BLOCKS, blocks, strict=True):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, found_begin, rest = card.text.partition(begin)
        _, found_end, tail = rest.partition(end)
        if not (found_begin and found_end):
            missing = end if found_begin else begin
            raise InputError(f"README.md: no `{missing}`; expected the card that `cotasks build` writes")
        card.text = f"{head}{begin}\n{block}\n{end}{tail}"
    return str(card)


def _licences(row: Source, builds: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of a source's files; for own data the one that its build was told."""
    told = builds[row.config]["options"].get("license")
    return row.licences if told is None else (told,)


def size_category(records: int) -> str:
    """The Hub's size category of a number of records."""
    return next(name for name, limit in SIZES.items() if records < limit)


def _configs(builds: Mapping[str, Any], video_configs: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `configs:` block that `datasets` reads; the first config is the default."""
    return [
        {
            "config_name": name,
            "data_files": [
                {"split": split, "path": f"{name}/{split}-*.parquet"} for split in built_splits(builds[origin])
            ],
            **({"default": True} if name == next(iter(builds)) else {}),
        }
        for name, origin in {**{config: config for config in builds}, **video_configs}.items()
    ]


def _infos(builds: Mapping[str, Any], shards: Sequence[Shard]) -> list[dict[str, Any]]:
    """The `dataset_info:` block. `datasets` caches a local folder by this block and the paths of its files, not by what
    is in them: without a hash of the content here, a folder that was built anew would be read from the old cache."""
    digests = {config: hashlib.sha256() for config in builds}
    for shard in shards:
        digests[shard.config].update(f"{shard.path.name} {shard.sha256}\n".encode())
    return [
        {"config_name": config, "description": f"content sha256:{digest.hexdigest()}"}
        for config, digest in digests.items()
    ]


def _load(builds: Mapping[str, Any], name: str, video_configs: Mapping[str, str]) -> str:
    config = next(iter(builds))
    split = "validation" if "validation" in built_splits(builds[config]) else built_splits(builds[config])[0]
    lines = [
        "```python",
        "from datasets import load_dataset",
        "",
        f'rows = load_dataset("{name}", "{config}", split="{split}")',
        'rows[0]["frame_localization"]',
        "```",
    ]
    if video_configs:
        video_config = next(iter(video_configs))
        lines += [
            "",
            f"With the videos: {', '.join(f'`{config}`' for config in video_configs)} hold the same rows and a column",
            "`video` with the bytes of each video file. To get them undecoded, without torchcodec:",
            "",
            "```python",
            "from datasets import Video, load_dataset",
            "",
            f'rows = load_dataset("{name}", "{video_config}", split="{split}", streaming=True)',
            'rows = rows.cast_column("video", Video(decode=False))',
            'next(iter(rows))["video"]["bytes"]',
            "```",
        ]
    return "\n".join(lines)


def _counts(builds: Mapping[str, Any]) -> str:
    lines = ["| config | split | questions | records | skipped, by reason |", "|---|---|---:|---:|---|"]
    origins = ["| config | split | records by category | A1's time spans by origin |", "|---|---|---|---|"]
    kept = [
        "| config | split | spans | entities | records | of the grid's frames | of the scene's entities | everything |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    missing = []
    for config, build in builds.items():
        for split, summary in build["splits"].items():
            skipped = _listed(summary["skipped"]) or "none"
            lines.append(f"| {config} | {split} | {summary['questions']} | {summary['records']} | {skipped} |")
            if summary["records"]:
                cells = _listed(summary["categories"]), _listed(summary["span_origins"])
                origins.append(f"| {config} | {split} | {cells[0]} | {cells[1]} |")
                kept += [f"| {config} | {split} | {_kept(row)} |" for row in summary.get("localizes") or ()]
        left_out = {split: why for split, why in build["left_out"].items() if split not in build["splits"]}
        missing += [f"- {config} {split}: {why}" for split, why in left_out.items()]
    own = [
        f"- {config}: {about} {build['options'][name]}"
        for config, build in builds.items()
        for name, about in (("source", "its records' source is"), ("license", "its licence is"))
        if build["options"].get(name)
    ]
    said = [f"- {config} {line}" for config, build in builds.items() for about in FACTS for line in facts(build, about)]
    shares = ["", KEPT, "", *kept] if len(kept) > 2 else []  # older builds do not say
    parts = {"What these data show of themselves:": said, "As whoever built them states:": own, "Not built:": missing}
    listed = [line for title, found in parts.items() if found for line in ("", title, "", *found)]
    return "\n".join([*lines, "", *origins, *shares, *listed])


def _kept(row: Mapping[str, Any]) -> str:
    """The cells of a row of `localizes`."""
    shares = [NOTHING if row[name] is None else f"{row[name]:.1%}" for name in ("grid_share", "entity_share")]
    return " | ".join([row["span_origin"], row["entity_origin"], str(row["records"]), *shares, str(row["everything"])])


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _versions(builds: Mapping[str, Any], shards: Sequence[Shard]) -> str:
    lines = ["| config | cotasks | code, sha256 | datasets | options |", "|---|---|---|---|---|"]
    sources: dict[tuple[str, str], list[str]] = {}
    for config, build in builds.items():
        options = ", ".join(f"{k} {_option(v)}" for k, v in build["options"].items() if k != "config")
        versions = [str(build["versions"].get(name, "unknown")) for name in ("cotasks", "code", "datasets")]
        lines.append(f"| {config} | {versions[0]} | `{versions[1]}` | {versions[2]} | {options} |")
        for file, digest in build["sources"].items():
            sources.setdefault((file, digest), []).append(config)
    lines += ["", "| file | records | bytes | sha256 |", "|---|---:|---:|---|"]
    for shard in shards:
        lines.append(f"| {shard.config}/{shard.path.name} | {shard.rows} | {shard.bytes} | `{shard.sha256}` |")
    lines += ["", "| source | read for | hash |", "|---|---|---|"]
    lines += [f"| {file} | {', '.join(configs)} | `{digest}` |" for (file, digest), configs in sources.items()]
    return "\n".join(lines)


def _option(value: Any) -> str:
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)
