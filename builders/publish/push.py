"""Publish a built folder on the Hugging Face Hub.

What is sent: `README.md` with its generated parts written anew, and of each config `build.json`, `skipped.jsonl` and
the parquet files; with `embed_videos`, also a copy `<config>_videos` that holds the videos. All of it becomes one
commit, so that the Hub shows the old version or the new one and never a mixture, and a tag names the new one.

An interrupted push goes on when it is run again: a large file that had arrived is recognised by its sha256 and is not
sent a second time, and what was committed already is left as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cotasks.builders.publish import embed, hub
from cotasks.builders.publish.hub import README, Change, PushResult, Repo
from cotasks.errors import InputError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

    from cotasks.builders.publish.built import BuiltFolder


def push(
    folder: Path,
    repo_id: str,
    *,
    tag: str | None = None,
    private: bool = False,
    embed_videos: Path | None = None,
    video_check: str = "fail",
    dry_run: bool = False,
    endpoint: str | None = None,
    on_shard: Callable[[str, int, int], None] = lambda config, done, total: None,
) -> PushResult:
    """Publish a built folder as one commit of a Hub data set.

    Files of configs (`sample`, `nextqa_oe`, ... and their copies with videos) that are not part of the push are
    deleted from the Hub; other files of the repository, runs among them (`push_run`), are left alone. Earlier
    versions stay in its history.

    Args:
        folder: what `cotasks build` wrote.
        repo_id: `ORG/NAME`; made if it is not there.
        tag: names the new version; a tag that exists is never moved.
        private: make a new repository private.
        embed_videos: folder that `video_path` is relative to. Each config gets a copy with the videos in its rows. One
            shard of about 0.5 GB at a time is written to the folder for temporary files.
        video_check: what is done where one of these is not the annotated one, of `cotasks.video.check.MODES`; what is
            no video is never sent.
        dry_run: ask the Hub what it has and send nothing. Shards with videos are written and compared too.
        endpoint: another Hub than the one that huggingface_hub is set to.
        on_shard: called with (config, shards done, shards in all) for copies with videos.

    The token is looked for where huggingface_hub keeps it, and is never printed.

    Raises InputError, before anything is sent, where the folder is not one that a build wrote, no token is there, the
    tag exists, the repository is public and should be private, or a video is missing, none, or not the annotated one;
    and where the Hub refuses or the connection breaks for good: then the old version stands untouched, or, if the
    commit was made already, the new one without its tag.
    """
    from cotasks.builders.publish.built import check_folder

    hub.check_tag_name(tag)
    checked = check_folder(Path(folder))
    video_paths = embed.read_video_paths([shard.path for shard in checked.shards]) if embed_videos else []
    sizes = embed.find_videos(video_paths, Path(embed_videos)) if embed_videos else {}
    if embed_videos:
        embed.check_videos_of([shard.path for shard in checked.shards], Path(embed_videos), video_check)
    copies = {config + embed.SUFFIX: config for config in checked.builds} if embed_videos else {}
    token = hub.token_that_writes()
    with hub.hub_errors(repo_id, token), tempfile.TemporaryDirectory(prefix="cotasks-push-") as scratch:
        repo = hub.look_up(repo_id, endpoint, token, private)
        local = _local_files(checked, repo, copies)
        changes = [hub.compare(path, source, repo) for path, source in local.items()]
        hub.check_tag(repo, tag, changes)
        created = repo.head is None
        if not dry_run:
            hub.create(repo, private)
        additions = [hub.addition(c.path, local[c.path]) for c in changes if c.kind in ("add", "change")]
        for copy, config in copies.items():
            report = partial(on_shard, copy)
            files = checked.shards_of(config)
            for path in embed.write_shards(files, Path(embed_videos or ""), sizes, Path(scratch), report):
                changes.append(hub.compare(f"{copy}/{path.name}", path, repo))
                if changes[-1].kind == "keep" or dry_run or _sent_ahead(repo, changes[-1].path, path, additions):
                    path.unlink()
        changes += _deletions(repo, {change.path for change in changes})
        changes.sort(key=lambda change: change.path)
        message = f"{tag or 'Records'}: {', '.join(checked.builds)}"
        commit = None if dry_run else hub.commit(repo, additions, changes, message)
        if tag is not None and commit is not None:
            hub.set_tag(repo, tag, commit)
    url = f"{repo.api.endpoint}/datasets/{repo_id}"
    return PushResult(repo_id, url, dry_run, created, tuple(changes), checked.others, commit, tag)


def _local_files(checked: BuiltFolder, repo: Repo, video_configs: Mapping[str, str]) -> dict[str, Path | bytes]:
    """Path in the repository -> file or content, without the copies with videos."""
    from cotasks.builders.publish import card
    from cotasks.builders.publish.run_card import RUNS, with_runs_of

    try:
        text = card.render(checked.readme, checked.builds, checked.shards, repo.id, video_configs)
    except InputError as error:
        raise InputError(f"{checked.path}/{error}") from None
    if README in repo.files and any(path.startswith(f"{RUNS}/") for path in repo.files):
        text = with_runs_of(text, hub.read_file(repo, README).decode(errors="replace"))
    files = {path.relative_to(checked.path).as_posix(): path for path in checked.files()}
    return {README: text.encode(), **files}


def _sent_ahead(repo: Repo, name: str, path: Path, additions: list[CommitOperationAdd]) -> bool:
    """Send a shard ahead of the commit; whether its file is no longer needed."""
    addition = hub.addition(name, path)
    repo.api.preupload_lfs_files(repo.id, [addition], repo_type="dataset")
    additions.append(addition)
    return addition.path_or_fileobj == b""  # what huggingface_hub leaves of a file that it sent


def _deletions(repo: Repo, kept: set[str]) -> list[Change]:
    """Files of our configs on the Hub that the new version does not have."""
    from cotasks.builders.readers.catalog import CATALOG

    ours = {name for config in CATALOG for name in (config, config + embed.SUFFIX)}
    return [
        Change(path, "delete", file.size)
        for path, file in repo.files.items()
        if path not in kept and "/" in path and path.split("/")[0] in ours
    ]
