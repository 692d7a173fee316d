"""Publish a built folder on the Hugging Face Hub.

What is sent: `README.md` with its generated parts written anew, and of each config `build.json`, `skipped.jsonl` and
the parquet files; with `embed_videos`, also a copy `<config>_videos` that holds the videos. All of it becomes one
commit, so that the Hub shows the old version or the new one and never a mixture, and a tag names the new one.

An interrupted push goes on when it is run again: a large file that had arrived is recognised by its sha256 and is not
sent a second time, and what was committed already is left as it is.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import responses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from cotasks.builders.publish import embed
from cotasks.errors import InputError, shorten
from cotasks.version import VERSION

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

    from cotasks.builders.publish.built import BuiltFolder

README = "README.md"
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A cautious part of what Git allows as a tag."""
TOKEN = re.compile(r"[\x21-\x7e]+")
"""What can stand in an HTTP header."""
LOG_IN = (
    "log in with `hf auth login`, or set HF_TOKEN to a token that may write (https://huggingface.co/settings/tokens)"
)

PASSING = (408, 409, 412, 429)
"""Answers after which the same request may succeed: timed out, in conflict, someone else committed, too many."""

Kind = Literal["add", "change", "delete", "keep"]


@dataclass(frozen=True)
class Change:
    """What a push does to one file of the repository."""

    path: str
    kind: Kind
    """`keep`: the Hub has the same bytes already."""
    size: int
    """Bytes of the new file; where it is deleted, of the one on the Hub."""


@dataclass(frozen=True)
class PushResult:
    """What a push did, or with `dry_run` would do."""

    repo_id: str
    url: str
    dry_run: bool
    created: bool
    """The repository was not there before."""
    changes: tuple[Change, ...]
    """All files of the new version, and those that it deletes, by path."""
    not_sent: tuple[str, ...]
    """Files of the folder that no build wrote; they stay where they are."""
    commit: str | None
    """The commit that holds the new version; None with `dry_run`."""
    tag: str | None

    def count(self, kind: Kind) -> int:
        """Number of files of a kind."""
        return sum(change.kind == kind for change in self.changes)

    def lines(self) -> list[str]:
        """For people: what happens to each file, with its size, by path."""
        width = max(len(f"{change.size:,}") for change in self.changes)
        lines = [f"{c.kind:<6}  {c.size:>{width},} bytes  {c.path}" for c in self.changes]
        return lines + [f"not sent: {path} (no build wrote it)" for path in self.not_sent]


@dataclass
class _Repo:
    """The repository as it was found; `files` is empty where there is none."""

    api: HfApi
    id: str
    head: str | None = None
    files: dict[str, Any] = field(default_factory=dict)
    """Path -> `huggingface_hub.RepoFile`."""
    tags: dict[str, str] = field(default_factory=dict)
    """Tag -> commit."""
    branches: frozenset[str] = frozenset()


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
    deleted from the Hub; other files of the repository are left alone. Earlier versions stay in its history.

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

    if tag is not None and (not TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock"))):
        raise InputError(f"tag {shorten(tag)}: expected letters, digits, dots, - and _, such as v1.0.0")
    checked = check_folder(Path(folder))
    video_paths = embed.read_video_paths([shard.path for shard in checked.shards]) if embed_videos else []
    sizes = embed.find_videos(video_paths, Path(embed_videos)) if embed_videos else {}
    if embed_videos:
        embed.check_videos_of([shard.path for shard in checked.shards], Path(embed_videos), video_check)
    copies = {config + embed.SUFFIX: config for config in checked.builds} if embed_videos else {}
    token = _token()
    with _hub_errors(repo_id, token), tempfile.TemporaryDirectory(prefix="cotasks-push-") as scratch:
        repo = _look_up(repo_id, endpoint, token, private)
        local = _local_files(checked, repo, copies)
        changes = [_compare(path, source, repo) for path, source in local.items()]
        _check_tag(repo, tag, changes)
        created = repo.head is None
        if created and not dry_run:
            repo.api.create_repo(repo_id, repo_type="dataset", private=private or None)
            repo.head = repo.api.repo_info(repo_id, repo_type="dataset").sha
        additions = [_addition(c.path, local[c.path]) for c in changes if c.kind in ("add", "change")]
        for copy, config in copies.items():
            report = partial(on_shard, copy)
            files = checked.shards_of(config)
            for path in embed.write_shards(files, Path(embed_videos or ""), sizes, Path(scratch), report):
                changes.append(_compare(f"{copy}/{path.name}", path, repo))
                if changes[-1].kind == "keep" or dry_run or _sent_ahead(repo, changes[-1].path, path, additions):
                    path.unlink()
        changes += _deletions(repo, {change.path for change in changes})
        changes.sort(key=lambda change: change.path)
        commit = None if dry_run else _commit(repo, additions, changes, checked, tag)
        if tag is not None and commit is not None:
            _set_tag(repo, tag, commit)
    url = f"{repo.api.endpoint}/datasets/{repo_id}"
    return PushResult(repo_id, url, dry_run, created, tuple(changes), checked.others, commit, tag)


def _token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise InputError(f"no Hugging Face token; {LOG_IN}")
    if not TOKEN.fullmatch(token):
        raise InputError(f"the Hugging Face token holds characters that no token has; {LOG_IN}")
    return token


def _look_up(repo_id: str, endpoint: str | None, token: str, private: bool) -> _Repo:
    """The repository as it is now. Raises InputError where the name is wrong or it is public against the wish."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    if repo_id.count("/") != 1:
        raise InputError(f"{shorten(repo_id)}: expected ORG/NAME, or USER/NAME")
    api = HfApi(endpoint=endpoint, token=token, library_name="cotasks", library_version=VERSION)
    repo = _Repo(api, repo_id)
    try:
        info = api.repo_info(repo_id, repo_type="dataset")
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:  # so a token is answered that has expired
            raise
        return repo
    if private and not info.private:
        raise InputError(f"{repo_id}: exists and is public; make it private in its settings, or push without --private")
    repo.head = info.sha
    refs = api.list_repo_refs(repo_id, repo_type="dataset")
    repo.tags = {ref.name: ref.target_commit for ref in refs.tags}
    repo.branches = frozenset(ref.name for ref in refs.branches)
    repo.files = _tree(repo, info.sha)
    return repo


def _tree(repo: _Repo, revision: str | None) -> dict[str, Any]:
    """Path -> `RepoFile` of every file of a revision."""
    from huggingface_hub.hf_api import RepoFile

    entries = repo.api.list_repo_tree(repo.id, repo_type="dataset", recursive=True, revision=revision)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def _check_tag(repo: _Repo, tag: str | None, changes: Sequence[Change]) -> None:
    if tag in repo.branches:
        raise InputError(f"{repo.id}: {tag} is a branch there; choose another tag")
    if tag in repo.tags:
        same = repo.tags[tag] == repo.head and all(change.kind == "keep" for change in changes)
        note = "it holds the records of this folder already" if same else "choose another"
        raise InputError(f"{repo.id}: tag {tag} exists (commit {repo.tags[tag][:8]}) and is never moved; {note}")


def _local_files(checked: BuiltFolder, repo: _Repo, video_configs: Mapping[str, str]) -> dict[str, Path | bytes]:
    """Path in the repository -> file or content, without the copies with videos."""
    from cotasks.builders.publish import card

    try:
        text = card.render(checked.readme, checked.builds, checked.shards, repo.id, video_configs)
    except InputError as error:
        raise InputError(f"{checked.path}/{error}") from None
    files = {path.relative_to(checked.path).as_posix(): path for path in checked.files()}
    return {README: text.encode(), **files}


def _compare(path: str, source: Path | bytes, repo: _Repo) -> Change:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    remote = repo.files.get(path)
    if remote is None:
        return Change(path, "add", size)
    same = remote.size == size and (
        _digest(hashlib.sha256(), source) == remote.lfs.sha256
        if remote.lfs is not None
        else _digest(hashlib.sha1(b"blob %d\0" % size), source) == remote.blob_id  # as Git names a file's content
    )
    return Change(path, "keep" if same else "change", size)


def _digest(digest: Any, source: Path | bytes) -> str:
    if isinstance(source, bytes):
        digest.update(source)
    else:
        with source.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return str(digest.hexdigest())


def _addition(path: str, source: Path | bytes) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path, source)


def _sent_ahead(repo: _Repo, name: str, path: Path, additions: list[CommitOperationAdd]) -> bool:
    """Send a shard ahead of the commit; whether its file is no longer needed."""
    addition = _addition(name, path)
    repo.api.preupload_lfs_files(repo.id, [addition], repo_type="dataset")
    additions.append(addition)
    return addition.path_or_fileobj == b""  # what huggingface_hub leaves of a file that it sent


def _deletions(repo: _Repo, kept: set[str]) -> list[Change]:
    """Files of our configs on the Hub that the new version does not have."""
    from cotasks.builders.readers.catalog import CATALOG

    ours = {name for config in CATALOG for name in (config, config + embed.SUFFIX)}
    return [
        Change(path, "delete", file.size)
        for path, file in repo.files.items()
        if path not in kept and "/" in path and path.split("/")[0] in ours
    ]


def _commit(
    repo: _Repo,
    additions: Sequence[CommitOperationAdd],
    changes: Sequence[Change],
    checked: BuiltFolder,
    tag: str | None,
) -> str:
    """Make the commit, unless nothing changed; returns the commit that holds the version."""
    from huggingface_hub import CommitOperationDelete

    deletions = [CommitOperationDelete(change.path) for change in changes if change.kind == "delete"]
    if not additions and not deletions and repo.head is not None:
        return repo.head
    message = f"{tag or 'Records'}: {', '.join(checked.builds)} (cotasks {VERSION})"
    # refused if someone else committed meanwhile: what to delete was decided on this state
    made = repo.api.create_commit(
        repo.id,
        [*additions, *deletions],
        commit_message=message,
        repo_type="dataset",
        parent_commit=repo.head,
    )
    _check_commit(repo, made.oid, changes)
    return made.oid


def _check_commit(repo: _Repo, commit: str, changes: Sequence[Change]) -> None:
    """Raises InputError where a commit is not the whole version, such as by a .gitignore in the repository."""
    found = _tree(repo, commit)
    for change in changes:
        size = found[change.path].size if change.path in found else None
        expected = None if change.kind == "delete" else change.size
        if size != expected:
            place = f"{repo.id}: {change.path} in commit {commit[:8]}"
            raise InputError(f"{place}: {size} bytes; expected {expected}; the commit is not tagged")


def _set_tag(repo: _Repo, tag: str, commit: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        repo.api.create_tag(repo.id, tag=tag, revision=commit, repo_type="dataset")
    except HfHubHTTPError:
        raise
    except Exception:  # the answer was lost on its way; the tag may be set
        refs = repo.api.list_repo_refs(repo.id, repo_type="dataset")
        if (tag, commit) not in [(ref.name, ref.target_commit) for ref in refs.tags]:
            raise


@contextmanager
def _hub_errors(repo_id: str, token: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line without the token."""
    from huggingface_hub import errors

    try:
        yield
    except InputError:
        raise
    # HTTPError is the base of all that the HTTP library below huggingface_hub raises, whichever it is
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:  # type: ignore[attr-defined]
        line = f"{repo_id}: {_explain(error)}"
        raise InputError(line.replace(token, "***")) from None


def _explain(error: BaseException) -> str:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on; unset HF_HUB_OFFLINE to push"
    if isinstance(error, HFValidationError):
        return f"not a name for a repository: {error}"
    if not isinstance(error, HfHubHTTPError):
        where = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        hint = " (a Hub without Xet storage needs HF_HUB_DISABLE_XET=1)" if "xet-" in where else ""
        return f"not finished: {where or type(error).__name__}{hint}; run the same command again to go on"
    status = error.response.status_code
    said = error.server_message or error.response.headers.get("X-Error-Message") or responses.get(status, "")
    if status == 401:
        return f"the Hub does not accept the token (401 {said}); {LOG_IN}"
    if status == 403:
        return f"the token may not do this (403 {said}); {LOG_IN}"
    again = "; run the same command again to go on" if status in PASSING or status >= 500 else ""
    # without the query of the address, which can hold a signature
    return f"the Hub answers {status} {said} at {urlsplit(str(error.response.url)).path}{again}"
