"""The records that a run asked, found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cotasks.errors import InputError, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cotasks.records.dataset import Records


Loaded = dict[tuple[Any, ...], "Records"]
"""Records that were loaded already, by where they lie: what one command reads, it reads once."""
NEEDED = ("name", "split", "config", "fingerprint")
"""What `dataset` of `run.json` must hold to name records."""


def says_which(dataset: Any) -> bool:
    """Whether `dataset` of `run.json` names records."""
    if not isinstance(dataset, dict) or not {*NEEDED} <= dataset.keys():
        return False
    texts = (dataset["config"], dataset["split"], dataset.get("videos"))
    limit = dataset.get("limit")
    return (
        isinstance(dataset["name"], str)
        and all(text is None or isinstance(text, str) for text in texts)
        and (limit is None or type(limit) is int)
    )


def named_records(dataset: Mapping[str, Any], place: str | None, loaded: Loaded) -> Records:
    """The records that `dataset` of `run.json` names, or those of the place given; kept in `loaded`. Raises InputError
    where they are not there."""
    where = (place or dataset["name"], dataset["split"], dataset["config"], dataset.get("limit"))
    if where not in loaded:
        from cotasks.records.dataset import load_records

        loaded[where] = load_records(*where)
    return loaded[where]


def records_of(settings: Mapping[str, Any], dataset: str | None = None) -> Records:
    """The records of a run, which its fingerprint knows.

    Args:
        settings: `run.json`.
        dataset: Where they are; None for the place that `run.json` names.

    Raises InputError where `run.json` does not say which they are, they are not there, or they are others.
    """
    said: Any = settings.get("dataset")
    if not says_which(said):
        raise InputError(f"run.json: dataset is {shorten(said)}; expected an object with {', '.join(NEEDED)}")
    records = named_records(said, dataset, {})
    if records.fingerprint != said["fingerprint"]:
        raise InputError(f"{records.dataset}: other records than those that the run asked; expected their fingerprint")
    return records
