"""Fetch the published annotation where no `data_dir` was given.

The files go into a folder of the `datasets` download cache that is laid out as a `data_dir`: what was fetched once is
found there, offline too, and what cannot be fetched can be put there by hand. `datasets`' own download of a web
address neither resumes nor tries again, and needs aiohttp, which it does not install; so the bytes come over
huggingface_hub's session, with the user's proxies and certificates. Videos are never fetched.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import orjson
from datasets.utils import tqdm
from filelock import FileLock
from huggingface_hub import constants, get_hf_file_metadata, get_session
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the base of what its session raises

from cotasks.builders.readers.catalog import HUB, source_of
from cotasks.builders.readers.source import SourceFile
from cotasks.builders.sources import BuildOptions, where
from cotasks.errors import InputError
from cotasks.tools.files import utf8

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0
"""Longest silence of a server."""
WAITS_SECONDS = (1.0, 4.0)
"""Pauses before trying again; a try that brought new bytes starts them over."""
_LOCAL_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


def sources_of(config: str) -> tuple[SourceFile, ...]:
    """The files that a config is built from; none for the sample, which is part of the package."""
    return source_of(config).files


def fetched(
    options: BuildOptions, cache_dir: str | Path | None = None, token: str | bool | None = None, force: bool = False
) -> BuildOptions:
    """The options with a data folder: the one given, or the download folder with all files of the config in it.

    Args:
        options: of a build; returned as they are where they name a data folder or the sample.
        cache_dir: `datasets`' download cache; None for its default.
        token: for the Hub only, as in `load_dataset`.
        force: fetch files anew that are there already.

    Raises InputError, one line that says what to fetch by hand, where a file can be neither found nor fetched, or is
    not what its publisher states.
    """
    if not options.downloads:
        return options
    root = Path(cache_dir or datasets.config.DOWNLOADED_DATASETS_PATH) / "cotasks"
    wanted = {source: _fault(source, root / source.path) for source in sources_of(options.config)}
    if not force:
        wanted = {source: fault for source, fault in wanted.items() if fault is not None}
    if wanted and (datasets.config.HF_HUB_OFFLINE or constants.HF_HUB_OFFLINE):
        (first, fault), *others = wanted.items()
        more = f"; wanted likewise: {', '.join(source.path for source, _ in others)}" if others else ""
        raise InputError(
            f"config {options.config}: no data_dir given, {first.path} is {fault or 'to be fetched anew'}, and offline "
            f"mode is on (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE); {_by_hand(first, root)}{more}",
            "missing file",
        )
    if wanted:
        with _locked(root):
            for source in wanted:
                # another process may have fetched it while this one waited
                if force or _fault(source, root / source.path) is not None:
                    _fetch(source, root, token)
    return dataclasses.replace(options, data_dir=str(root))


def _by_hand(source: SourceFile, root: Path) -> str:
    return (
        f"fetch {source.url} by hand (published at {where(source.path)}) and put it at {root / source.path}, "
        "or name a data_dir of your own"
    )


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the download folder, so that no two processes write one file."""
    lock = FileLock(root / ".lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise InputError(f"{root}: the download folder cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _fetch(source: SourceFile, root: Path, token: str | bool | None) -> None:
    """Fetch a file; it gets its name only when it is whole and what its publisher states."""
    target = root / source.path
    on_hub = source.url.startswith(HUB + "/")
    url = datasets.config.HF_ENDPOINT + source.url.removeprefix(HUB) if on_hub else source.url
    part, etag = _bring(source, url, root, token if on_hub else False)
    fault = _fault(source, part)
    if fault is None and on_hub and etag is not None and len(etag) == 64:
        found = _digest(part, hashlib.sha256())  # the Hub's etag of a large file is its sha256
        fault = None if found == etag else f"damaged: sha256 {found}, expected {etag}"
    if fault is not None:
        part.unlink()
        raise InputError(f"{source.path}: {url} sent what is {fault}; nothing was kept; {_by_hand(source, root)}")
    part.replace(target)
    for stale in target.parent.glob(f".{target.name}.*.part"):
        stale.unlink()


def _bring(source: SourceFile, url: str, root: Path, token: str | bool | None) -> tuple[Path, str | None]:
    """All bytes of a file in a `.part` file beside its place, and the etag that the server states.

    A broken connection is resumed where it broke, now or by a later call.
    """
    target = root / source.path
    most, failures = 0, 0
    while True:
        part, size = None, None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stated = get_hf_file_metadata(url, token=token)
            # the name holds the version, so that two versions are never joined
            version = hashlib.sha256(str(stated.etag).encode()).hexdigest()[:16]
            part, size = target.with_name(f".{target.name}.{version}.part"), stated.size
            if stated.etag is None:
                part.unlink(missing_ok=True)
            _transfer(stated.location, part, size, source.path)
            return part, stated.etag
        except (OSError, HTTPError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            is_local = getattr(error, "errno", None) in _LOCAL_FAULTS
            done = part.stat().st_size if part is not None and part.exists() else 0
            if part is not None and (is_local or status == 416):  # make room; 416: the part is longer than the file
                part.unlink(missing_ok=True)
            failures = 0 if done > most else failures
            most = max(most, done)
            worthwhile = not is_local and (status in (None, 408, 416, 429) or status >= 500)
            if not worthwhile or failures == len(WAITS_SECONDS):
                if is_local:
                    cause = f"{target.parent}: {os.strerror(error.errno or 0)}"  # type: ignore[union-attr]
                elif status is not None:
                    cause = f"the server answered {status}"
                else:
                    sent = f"the connection broke after {done} of {size} bytes" if size else "no connection"
                    cause = f"{sent} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
                raise InputError(
                    f"{source.path} cannot be fetched: {cause}; {_by_hand(source, root)}", "missing file"
                ) from error
            time.sleep(WAITS_SECONDS[failures])
            failures += 1


def _transfer(url: str, part: Path, size: int | None, label: str) -> None:
    """Bring a partial file up to `size` bytes, from where it ends if the server can."""
    done = part.stat().st_size if part.exists() else 0
    if size is not None and done == size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    session = get_session()
    with session.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as response:
        response.raise_for_status()
        total = response.headers.get("Content-Range", response.headers.get("Content-Length", "")).rpartition("/")[2]
        if size is not None and total not in ("", str(size)) and "Content-Encoding" not in response.headers:
            raise ConnectionError(f"the server announced {size} bytes and sends another file, of {total}")
        if response.status_code != 206:
            done = 0
        bar = tqdm(total=size, initial=done, unit="B", unit_scale=True, desc=label)
        with bar, part.open("ab" if done else "wb") as file:
            # as it comes in: what waited for a larger chunk to fill would be lost with the connection
            for chunk in response.iter_bytes():
                file.write(chunk)
                bar.update(len(chunk))
    if size is not None and part.stat().st_size != size:
        raise ConnectionError(f"got {part.stat().st_size} bytes")


def _fault(source: SourceFile, path: Path) -> str | None:
    """What is wrong with a file; None where it is as published, as far as its publisher lets one tell."""
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64).lstrip().lower()
    found = f"an HTML page of {size} bytes" if head.startswith((b"<!doctype", b"<html")) else f"damaged: {size} bytes"
    if source.git_blob is not None:
        if source.size is not None and size != source.size:
            return f"{found}, expected {source.size} bytes"
        blob = _digest(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False))
        return None if blob == source.git_blob else f"{found}, git blob {blob}, expected {source.git_blob}"
    if source.path.endswith(".zip"):
        return None if zipfile.is_zipfile(path) else f"{found} that are no whole zip, expected a zip"
    try:
        whole = isinstance(orjson.loads(utf8(path.read_bytes(), path)), list | dict)
    except orjson.JSONDecodeError:
        whole = False
    return None if whole else f"{found} that are no whole JSON, expected a list from [ to ], or an object"


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return str(digest.hexdigest())
