"""A data set repository of the Hub: as it was found, what a push would change in it, and one commit that does.

Pushing built folders (`push`) and runs (`push_run`), and fetching runs (`pull`), go through here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import responses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from cotasks.errors import InputError, shorten
from cotasks.version import VERSION

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

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
    """Files of the folder that are no part of what is published; they stay where they are."""
    commit: str | None
    """The commit that holds the new version; None with `dry_run`."""
    tag: str | None
    why_not: str = "no build wrote it"
    """Why those of `not_sent` are not."""

    def count(self, kind: Kind) -> int:
        """Number of files of a kind."""
        return sum(change.kind == kind for change in self.changes)

    def lines(self) -> list[str]:
        """For people: what happens to each file, with its size, by path."""
        width = max(len(f"{change.size:,}") for change in self.changes)
        lines = [f"{c.kind:<6}  {c.size:>{width},} bytes  {c.path}" for c in self.changes]
        return lines + [f"not sent: {path} ({self.why_not})" for path in self.not_sent]


@dataclass
class Repo:
    """The repository as it was found; `files` is empty where there is none."""

    api: HfApi
    id: str
    head: str | None = None
    files: dict[str, Any] = field(default_factory=dict)
    """Path -> `huggingface_hub.RepoFile`."""
    tags: dict[str, str] = field(default_factory=dict)
    """Tag -> commit."""
    branches: frozenset[str] = frozenset()


def check_tag_name(tag: str | None) -> None:
    """Raises InputError where Git may not take it for a tag."""
    if tag is not None and (not TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock"))):
        raise InputError(f"tag {shorten(tag)}: expected letters, digits, dots, - and _, such as v1.0.0")


def token_that_writes() -> str:
    """The token that huggingface_hub keeps. Raises InputError where there is none, or it cannot be sent."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise InputError(f"no Hugging Face token; {LOG_IN}")
    if not TOKEN.fullmatch(token):
        raise InputError(f"the Hugging Face token holds characters that no token has; {LOG_IN}")
    return token


def look_up(
    repo_id: str, endpoint: str | None, token: str | None, private: bool = False, revision: str | None = None
) -> Repo:
    """The repository as it is now, or was at a revision. Raises InputError where the name is wrong or it is public
    against the wish."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    if repo_id.count("/") != 1:
        raise InputError(f"{shorten(repo_id)}: expected ORG/NAME, or USER/NAME")
    api = HfApi(endpoint=endpoint, token=token or False, library_name="cotasks", library_version=VERSION)
    repo = Repo(api, repo_id)
    try:
        info = api.repo_info(repo_id, repo_type="dataset", revision=revision)
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
    repo.files = tree_of(repo, info.sha)
    return repo


def tree_of(repo: Repo, revision: str | None) -> dict[str, Any]:
    """Path -> `RepoFile` of every file of a revision."""
    from huggingface_hub.hf_api import RepoFile

    entries = repo.api.list_repo_tree(repo.id, repo_type="dataset", recursive=True, revision=revision)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def check_tag(repo: Repo, tag: str | None, changes: Sequence[Change]) -> None:
    """Raises InputError where the tag is there already, or a branch."""
    if tag in repo.branches:
        raise InputError(f"{repo.id}: {tag} is a branch there; choose another tag")
    if tag in repo.tags:
        same = repo.tags[tag] == repo.head and all(change.kind == "keep" for change in changes)
        note = "it holds what this folder does already" if same else "choose another"
        raise InputError(f"{repo.id}: tag {tag} exists (commit {repo.tags[tag][:8]}) and is never moved; {note}")


def compare(path: str, source: Path | bytes, repo: Repo) -> Change:
    """What sending a file, or these bytes, would do to a path of the repository."""
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


def addition(path: str, source: Path | bytes) -> CommitOperationAdd:
    """The part of a commit that puts a file there."""
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path, source)


def commit(
    repo: Repo,
    additions: Sequence[CommitOperationAdd],
    changes: Sequence[Change],
    message: str,
) -> str:
    """Make the commit, unless nothing changed; returns the commit that holds the version.

    Raises InputError where what the commit holds is not what was sent.
    """
    from huggingface_hub import CommitOperationDelete

    deletions = [CommitOperationDelete(change.path) for change in changes if change.kind == "delete"]
    if not additions and not deletions and repo.head is not None:
        return repo.head
    # refused if someone else committed meanwhile: what to delete was decided on this state
    made = repo.api.create_commit(
        repo.id,
        [*additions, *deletions],
        commit_message=f"{message} (cotasks {VERSION})",
        repo_type="dataset",
        parent_commit=repo.head,
    )
    _check_commit(repo, made.oid, changes)
    return made.oid


def create(repo: Repo, private: bool) -> None:
    """Make the repository where it is not there."""
    if repo.head is None:
        repo.api.create_repo(repo.id, repo_type="dataset", private=private or None)
        repo.head = repo.api.repo_info(repo.id, repo_type="dataset").sha


def read_file(repo: Repo, path: str) -> bytes:
    """A file of the repository, from huggingface_hub's cache where it is there."""
    found = repo.api.hf_hub_download(repo.id, path, repo_type="dataset", revision=repo.head)
    return Path(found).read_bytes()


def _check_commit(repo: Repo, commit: str, changes: Sequence[Change]) -> None:
    """Raises InputError where a commit is not the whole version, such as by a .gitignore in the repository."""
    found = tree_of(repo, commit)
    for change in changes:
        size = found[change.path].size if change.path in found else None
        expected = None if change.kind == "delete" else change.size
        if size != expected:
            place = f"{repo.id}: {change.path} in commit {commit[:8]}"
            raise InputError(f"{place}: {size} bytes; expected {expected}; the commit is not tagged")


def set_tag(repo: Repo, tag: str, commit: str) -> None:
    """Name a commit; not refused where the answer to a first try was lost."""
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
def hub_errors(repo_id: str, token: str | None) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line without the token."""
    from huggingface_hub import errors

    try:
        yield
    except InputError:
        raise
    # HTTPError is the base of all that the HTTP library below huggingface_hub raises, whichever it is
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:  # type: ignore[attr-defined]
        line = f"{repo_id}: {_explain(error)}"
        raise InputError(line.replace(token, "***") if token else line) from None


def _explain(error: BaseException) -> str:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on; unset HF_HUB_OFFLINE"
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
