"""The records that a run asked, found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cotasks.errors import InputError, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cotasks.records.dataset import Records


def records_of(settings: Mapping[str, Any], dataset: str | None = None) -> Records:
    """The records of a run, which its fingerprint knows.

    Args:
        settings: `run.json`.
        dataset: Where they are; None for the place that `run.json` names.

    Raises InputError where `run.json` does not say which they are, they are not there, or they are others.
    """
    from cotasks.records.dataset import load_records

    said = settings.get("dataset")
    needed = ("name", "split", "config", "fingerprint")
    if not isinstance(said, dict) or not {*needed} <= said.keys() or not isinstance(said["name"], str):
        raise InputError(f"run.json: dataset is {shorten(said)}; expected an object with {', '.join(needed)}")
    records = load_records(dataset or said["name"], said["split"], said["config"], said.get("limit"))
    if records.fingerprint != said["fingerprint"]:
        raise InputError(f"{records.dataset}: other records than those that the run asked; expected their fingerprint")
    return records
