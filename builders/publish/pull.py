"""Fetch a published run from the Hugging Face Hub: a run folder that every command reads.

Only files of a run are taken, each as the Hub's list of the revision tells it by size and hash. The folder appears when
all is there and reads as a run; what was fetched of one that was cut off lies in huggingface_hub's cache.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cotasks.builders.publish import hub
from cotasks.builders.publish.hub import Repo
from cotasks.builders.publish.run_card import RUNS
from cotasks.builders.publish.run_files import patterns_of
from cotasks.errors import InputError
from cotasks.runs.run import Run, run_with_answers
from cotasks.tools.files import writing
from cotasks.tools.locks import locked


@dataclass(frozen=True)
class Pulled:
    """A run that was fetched."""

    folder: Path
    run: Run
    files: int
    commit: str
    """The commit that it is of."""


def pull_run(
    repo_id: str, name: str | None, out: Path | None = None, revision: str | None = None, endpoint: str | None = None
) -> Pulled:
    """Fetch a run that `push_run` published.

    Args:
        repo_id: `ORG/NAME`.
        name: of the run; None where the repository has one.
        out: the folder to write; by default `runs/NAME`.
        revision: a tag or commit; by default what is there now.
        endpoint: another Hub than the one that huggingface_hub is set to.

    Raises InputError where there is no such repository, revision or run, where the folder is there already, where what
    comes is not what the Hub's list says, or no run, and where the connection breaks for good.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    token = get_token()
    with hub.hub_errors(repo_id, token):
        try:
            repo = hub.look_up(repo_id, endpoint, token, revision=revision)
        except RevisionNotFoundError:
            raise InputError(f"{repo_id}: no revision {revision}; expected a tag or a commit of it") from None
        except RepositoryNotFoundError:
            repo = Repo(None, repo_id)  # type: ignore[arg-type]  # nothing is asked of it
        if repo.head is None:
            raise InputError(f"{repo_id}: no such data set, or a private one; for those {hub.LOG_IN}")
        name = _chosen(repo, name)
        out = Path(RUNS, name) if out is None else out
        if out.exists():
            raise InputError(f"{out}: exists; expected the name of a new folder")
        part = out.absolute().with_name(f".{out.absolute().name}.part")
        with locked(part.with_suffix(".lock"), f"{out}: another process is writing it", remove=True):
            try:
                count = _fetch(repo, name, part)
                run = _check(part, repo_id, name)
                with writing(out):
                    part.rename(out)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return Pulled(out, run, count, repo.head)


def _chosen(repo: Repo, name: str | None) -> str:
    there = sorted({path.split("/")[1] for path in repo.files if path.startswith(f"{RUNS}/") and path.count("/") > 1})
    if name is None and len(there) == 1:
        return there[0]
    if name not in there:
        found = ", ".join(there) or "none"
        asked = f"no run {name}" if name is not None else "which run is not said"
        raise InputError(f"{repo.id}: {asked}; runs there: {found}")
    return str(name)


def _fetch(repo: Repo, name: str, part: Path) -> int:
    """Write the files of a run to a new folder; how many they are."""
    shutil.rmtree(part, ignore_errors=True)  # left by a pull that was killed
    patterns = patterns_of(predictions=True, labels=True)
    inside = (PurePosixPath(path) for path in repo.files if path.startswith(f"{RUNS}/{name}/"))
    names = [path.relative_to(f"{RUNS}/{name}") for path in inside]
    wanted = [path for path in names if any(_fits(path, pattern) for pattern in patterns)]
    for path in wanted:
        content, whole = hub.read_file(repo, f"{RUNS}/{name}/{path}"), part / path
        if hub.compare(f"{RUNS}/{name}/{path}", content, repo).kind != "keep":
            raise InputError(f"{repo.id}: {RUNS}/{name}/{path}: not what the Hub's list says; expected its hash")
        with writing(whole):
            whole.parent.mkdir(parents=True, exist_ok=True)
            whole.write_bytes(content)
    return len(wanted)


def _fits(path: PurePosixPath, pattern: str) -> bool:
    """Whether a path is of a pattern, part by part."""
    return len(path.parts) == pattern.count("/") + 1 and path.match(pattern)


def _check(part: Path, repo_id: str, name: str) -> Run:
    try:
        return run_with_answers(part)
    except InputError as error:
        raise InputError(str(error).replace(str(part), f"{repo_id}: {RUNS}/{name}"), error.reason) from None
