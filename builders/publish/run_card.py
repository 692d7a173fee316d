"""README.md of a repository that holds runs: the `configs:` of their tables, and a list of them.

A repository of runs alone has a card of its own; where the runs stand beside a published data set, its card gets a part
about them, which later pushes of the data set leave as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]
from huggingface_hub import DatasetCard

from cotasks.builders.publish.run_files import ANSWERS, CheckedRun
from cotasks.builders.readers.catalog import CATALOG
from cotasks.errors import InputError
from cotasks.pages.markdown import escape

RUNS = "runs"
"""The folder of a repository that holds a folder a run."""
STEPS_SUFFIX = "_steps"
"""Run -> the config of the steps that it predicted."""
BEGIN, END = "<!-- runs: begin -->", "<!-- runs: end -->"
TABLE = ("| run | model | data | conditions | answers | failures | judges |", "|---|---|---|---|---:|---:|---|")
NEW = """---
pretty_name: {name}
language:
- en
task_categories:
- visual-question-answering
- video-text-to-text
tags:
- video
- evaluation
---

# {name}: answers of models to questions about videos

Each folder of `runs/` is a run of `cotasks`: the questions with their references, what a model answered under each
condition or why it did not, and what judges said. The questions are those of the data sets that the list names, under
their licences.
"""
ABOUT = """
Each run is a config, a row an answer, with each judge's score (0 to 100) and yes or no beside it:

```python
from datasets import load_dataset

answers = load_dataset("{repo_id}", "{config}", split="{split}")
answers[0]["answer"]
```

As a folder, from which `cotasks report`, `judge` and `view` read:

```bash
cotasks pull {repo_id} {config}
```

`run.json` says how the answers were made; of paths on the machine of whoever made them only the last part is there."""


@dataclass(frozen=True)
class RunEntry:
    """What the card says of a run."""

    name: str
    line: str
    """Its row of the list."""
    configs: tuple[dict[str, Any], ...]
    licences: tuple[str, ...]
    """Of the data set that it asked."""


def entry_of(name: str, checked: CheckedRun) -> RunEntry:
    """A run for the card, under the name that it has in the repository."""
    settings, run = checked.run.settings, checked.run
    model, dataset = settings.get("model"), settings.get("dataset")
    config = dataset.get("config") if isinstance(dataset, dict) else None
    called = str(model.get("name")) if isinstance(model, dict) else "unknown"
    cells = (
        escape(re.split(r"[\\/]", called.rstrip("/\\"))[-1] if re.match(r"[/~\\]|[A-Za-z]:[\\/]", called) else called),
        escape(f"{config or 'unknown'} {checked.split}, {len(run.questions)} questions"),
        escape(", ".join(run.conditions)),
        f"{len(run.generations)} of {len(run.wanted)}",
        str(len(run.failures)),
        escape(", ".join(checked.verdicts)) or "-",
    )
    configs = [_config(name, checked.split, f"{RUNS}/{name}/{ANSWERS}")]
    if checked.has_predictions:
        configs.append(_config(name + STEPS_SUFFIX, checked.split, f"{RUNS}/{name}/predictions/*.parquet"))
    licences = CATALOG[config].licences if config in CATALOG else ("unknown",)
    return RunEntry(name, f"| `{name}` | {' | '.join(cells)} |", tuple(configs), licences)


def _config(name: str, split: str, path: str) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": split, "path": path}]}


def with_run(text: str | None, entry: RunEntry, repo_id: str) -> str:
    """A card with a run in it, in the place of one of the same name.

    Args:
        text: The card that the repository has; None where it has none.
        entry: The run.
        repo_id: `ORG/NAME`, for the example.

    Raises InputError where the card cannot be read, or a config of that name is not a run's.
    """
    card = _read(NEW.format(name=repo_id.partition("/")[2]) if text is None else text)
    configs = [one for one in _configs(card) if not _is_of(one, entry.name)]
    taken = {one["config_name"] for one in entry.configs} & {str(one.get("config_name")) for one in configs}
    if taken:
        raise InputError(f"{repo_id}: {min(taken)} is the name of another config there; choose another with --name")
    card.data.configs = [*configs, *entry.configs]  # type: ignore[attr-defined]  # metadata is dynamic
    card.data.license = _together(_licences(card), entry.licences)  # type: ignore[attr-defined]
    found = _block(card.text)
    lines = [line for line in (found or "").splitlines() if line.startswith("| `")]
    kept = [line for line in lines if not line.startswith(f"| `{entry.name}` |")]
    about = ABOUT.format(repo_id=repo_id, config=entry.name, split=entry.configs[0]["data_files"][0]["split"])
    block = "\n".join([BEGIN, *TABLE, *sorted([*kept, entry.line]), about, END])
    if found is None:
        card.text = f"{card.text.rstrip()}\n\n## Runs\n\n{block}\n"
    else:
        card.text = card.text.replace(f"{BEGIN}{found}{END}", block)
    return str(card)


def with_runs_of(text: str, old: str) -> str:
    """The card of a data set with the runs that the repository's card tells of. Raises InputError where that card
    cannot be read."""
    before, card = _read(old), _read(text)
    block = _block(before.text)
    if block is None:
        return text
    card.data.configs = [*_configs(card), *(one for one in _configs(before) if _is_of(one))]  # type: ignore[attr-defined]
    card.data.license = _together(_licences(card), _licences(before))  # type: ignore[attr-defined]
    mine = _block(card.text)
    if mine is not None:
        card.text = card.text.replace(f"{BEGIN}{mine}{END}", f"{BEGIN}{block}{END}")
    else:
        card.text = f"{card.text.rstrip()}\n\n## Runs\n\n{BEGIN}{block}{END}\n"
    return str(card)


def _read(text: str) -> DatasetCard:
    try:
        return DatasetCard(text, ignore_metadata_errors=False)
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"README.md: its YAML head cannot be read: {str(error).splitlines()[0]}") from None


def _configs(card: DatasetCard) -> list[dict[str, Any]]:
    found = card.data.get("configs")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is_of(config: dict[str, Any], name: str | None = None) -> bool:
    """Whether a config's files are a run's, or those of one run."""
    folder = f"{RUNS}/{name}/" if name is not None else f"{RUNS}/"
    files = config.get("data_files")
    paths = [one.get("path") for one in files if isinstance(one, dict)] if isinstance(files, list) else []
    return bool(paths) and all(str(path).startswith(folder) for path in paths)


def _licences(card: DatasetCard) -> list[str]:
    found = card.data.get("license")
    return [str(one) for one in found] if isinstance(found, list) else [str(found)] if found else []


def _together(some: Sequence[str], more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*some, *more]))


def _block(text: str) -> str | None:
    """What stands between the marks; None where they are not both there."""
    _, begin, rest = text.partition(BEGIN)
    block, end, _ = rest.partition(END)
    return block if begin and end else None
