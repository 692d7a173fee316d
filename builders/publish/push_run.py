"""Publish a run folder, or a predictions folder, on the Hugging Face Hub.

    README.md                          the card, with a config a run
    runs/NAME/run.json, *.jsonl, ...   the run, without this machine's paths, see `run_files`
    runs/NAME/answers.parquet          the same for viewers, a row an answer
    runs/NAME/predictions/*.parquet    of a predictions folder: the steps

A repository can hold several runs, and a published data set beside them. As with data sets, a push is one commit or
none, and one that was cut off goes on when it is run again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from cotasks.builders.publish import hub
from cotasks.builders.publish.hub import README, TAG, Change, PushResult, Repo
from cotasks.builders.publish.run_card import RUNS, entry_of, with_run
from cotasks.builders.publish.run_files import SETTINGS, check_run, write_published
from cotasks.errors import InputError, shorten
from cotasks.tools.files import read_json

SAME = ("model.name", "model.family", "dataset.fingerprint", "dataset.split")
"""What does not change of `run.json` while a run goes on: it tells one run from another of the same name."""


def push_run(
    folder: Path,
    repo_id: str,
    *,
    name: str | None = None,
    labels: bool = False,
    tag: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    endpoint: str | None = None,
) -> PushResult:
    """Publish a run as one commit of a Hub data set, in the place of an earlier state of the same run.

    Args:
        folder: what `cotasks generate`, `predict` or `import` wrote.
        repo_id: `ORG/NAME`; made if it is not there.
        name: of the run in the repository, and of its config; by default the folder's.
        labels: publish what people said of the answers too, under their names.
        tag: names the new version; a tag that exists is never moved.
        private: make a new repository private.
        dry_run: ask the Hub what it has and send nothing.
        endpoint: another Hub than the one that huggingface_hub is set to.

    The token is looked for where huggingface_hub keeps it, and is never printed.

    Raises InputError, before anything is sent, where the folder is no run or a damaged one (see `check_run`), where the
    repository has another run or config of that name, a card that cannot be read, or the tag; and as `push` does where
    the Hub refuses or the connection breaks.
    """
    hub.check_tag_name(tag)
    name = Path(folder).resolve().name if name is None else name
    if not TAG.fullmatch(name):
        raise InputError(f"name {shorten(name)}: expected letters, digits, dots, - and _, such as qwen-3b; see --name")
    checked = check_run(Path(folder), labels)
    token = hub.token_that_writes()
    with hub.hub_errors(repo_id, token), tempfile.TemporaryDirectory(prefix="cotasks-push-") as scratch:
        repo = hub.look_up(repo_id, endpoint, token, private)
        files = write_published(checked, Path(scratch))
        _check_same(repo, name, files[SETTINGS])
        before = hub.read_file(repo, README).decode(errors="replace") if README in repo.files else None
        card = with_run(before, entry_of(name, checked), repo_id).encode()
        local: dict[str, Path | bytes] = {README: card, **{f"{RUNS}/{name}/{path}": at for path, at in files.items()}}
        changes = [hub.compare(path, source, repo) for path, source in local.items()]
        changes += [
            Change(path, "delete", file.size)
            for path, file in repo.files.items()
            if path.startswith(f"{RUNS}/{name}/") and path not in local
        ]
        changes.sort(key=lambda change: change.path)
        hub.check_tag(repo, tag, changes)
        created = repo.head is None
        commit = None
        if not dry_run:
            hub.create(repo, private)
            additions = [hub.addition(c.path, local[c.path]) for c in changes if c.kind in ("add", "change")]
            commit = hub.commit(repo, additions, changes, f"{tag or 'Run'}: {name}")
            if tag is not None:
                hub.set_tag(repo, tag, commit)
    url = f"{repo.api.endpoint}/datasets/{repo_id}"
    why = "no part of what is published of a run"
    return PushResult(repo_id, url, dry_run, created, tuple(changes), checked.others, commit, tag, why)


def _check_same(repo: Repo, name: str, settings: Path) -> None:
    """Raises InputError where the repository has another run of that name."""
    path = f"{RUNS}/{name}/{SETTINGS}"
    if path not in repo.files:
        return
    try:
        there = orjson.loads(hub.read_file(repo, path))
    except orjson.JSONDecodeError:
        there = None
    here = read_json(settings)
    for field in SAME:
        was, now = _at(there, field), _at(here, field)
        if was != now:
            raise InputError(
                f"{repo.id}: {RUNS}/{name} there is another run: {field} {shorten(was)}, here {shorten(now)}; choose "
                "another name with --name"
            )


def _at(settings: Any, field: str) -> Any:
    for part in field.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings
