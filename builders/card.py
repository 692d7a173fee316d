"""The dataset card of a published folder: `dataset_card.md` with its configs and the counts of its builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard

from cotasks.builders.sources import CONFIGS, SPLITS
from cotasks.runs import read_json

TEMPLATE = Path(__file__).with_name("dataset_card.md")
BEGIN, END = "<!-- counts: begin -->", "<!-- counts: end -->"


def write(folder: Path) -> None:
    """Write `<folder>/README.md` over all configs that were built there: the `configs:` block that `datasets` reads,
    and a table of records and skipped questions a split."""
    builds = {
        config: read_json(folder / config / "build.json")
        for config in CONFIGS
        if (folder / config / "build.json").exists()
    }
    card = DatasetCard(TEMPLATE.read_text(encoding="utf-8"), ignore_metadata_errors=False)
    card.data.configs = [  # type: ignore[attr-defined]  # metadata fields are dynamic
        {
            "config_name": config,
            "data_files": [
                {"split": split, "path": f"{config}/{split}-*.parquet"}
                for split in SPLITS
                if build["splits"].get(split, {}).get("records")
            ],
            **({"default": True} if config == next(iter(builds)) else {}),
        }
        for config, build in builds.items()
    ]
    head, _, rest = card.text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    card.text = f"{head}{BEGIN}\n{_counts(builds)}\n{END}{tail}"
    temporary = folder / "README.md.part"
    temporary.write_text(str(card), encoding="utf-8")
    temporary.replace(folder / "README.md")


def _counts(builds: dict[str, Any]) -> str:
    lines = ["| config | split | questions | records | skipped, by reason |", "|---|---|---:|---:|---|"]
    for config, build in builds.items():
        for split, summary in build["splits"].items():
            skipped = ", ".join(f"{n} {reason}" for reason, n in summary["skipped"].items()) or "none"
            lines.append(f"| {config} | {split} | {summary['questions']} | {summary['records']} | {skipped} |")
    return "\n".join(lines)
