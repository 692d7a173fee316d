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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import orjson
from datasets.utils import tqdm
from filelock import FileLock
from huggingface_hub import constants, get_hf_file_metadata, get_session
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the base of what its session raises

from cotasks.builders.sources import BuildOptions, where
from cotasks.errors import InputError

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0
"""Longest silence of a server."""
WAITS_SECONDS = (1.0, 4.0)
"""Pauses before trying again; a try that brought new bytes starts them over."""
HUB = "https://huggingface.co"

_LOCAL_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Source:
    """A published file."""

    path: str
    """Where it belongs below a data folder."""
    url: str
    git_blob: str | None = None
    """Git's id of its bytes, as the repository at this commit states it; None where its publisher states none."""
    size: int | None = None
    """Bytes; None where that is not known before the server says so."""


def _git(repository: str, commit: str, folder: str, into: str, *files: tuple[str, str, int | None]) -> list[Source]:
    """Files of a repository at a commit, so that they are the same for everyone whatever becomes of its branches."""
    base = f"https://raw.githubusercontent.com/{repository}/{commit}/{folder}/"
    return [Source(into + name, base + name, blob, size) for name, blob, size in files]


_OE = ("doc-doc/NExT-OE", "a83f8f581191da07675e0fc83074e0dfcf907273", "dataset/nextqa")
_MC = ("doc-doc/NExT-QA", "6b92588ab4496268fa1caab9414a8b998ee063c5", "dataset/nextqa")
_GQA = ("doc-doc/NExT-GQA", "63772e0256ad9e34b83d6a108f1ba2041b924607", "datasets/nextgqa")
_STAR = ("csbobby/STAR_Benchmark", "8c3971891609e9c8e0665ffa0de1b28a0bfc166d", "annotations/STAR_classes")
_STAR_BUCKET = "https://star-benchmark.s3.us-east.cloud-object-storage.appdomain.cloud/Question_Answer_SituationGraph"

SOURCES: tuple[Source, ...] = (
    *_git(
        *_OE,
        "nextqa/oe/",
        ("train.csv", "bb521c24de40e4c4d8a28b4c8944786bd56b2653", 3729576),
        ("val.csv", "8dcead4ff3b60d9338c073031a8518b3ab62257c", 528915),
        ("test.csv", "4bec69be654a3f6f3a51f29c6dffaaaf982600f9", 899595),
    ),
    *_git(
        *_MC,
        "nextqa/mc/",
        ("train.csv", "d21e93e78572a03b09528a05a2dfb3a1871afe27", None),
        ("val.csv", "24cf7775dd63993915378a6450b6c738e0eebb38", 814107),
        ("test.csv", "d76a1dbd08b6127269702ebaee21a13aa1405f87", 1385657),
    ),
    *_git(*_OE, "nextqa/", ("add_reference_answer_test.json", "e2a36df90f3e2a0d47d3ac44220f2fa68698edb9", 166056)),
    *_git(*_MC, "nextqa/", ("map_vid_vidorID.json", "c7da63e91b6aabf3d009d2356fb68aba01ef37f4", 331540)),
    *_git(
        *_GQA,
        "nextgqa/",
        ("gsub_val.json", "dc7d05b0afdeb081863924c9b1f08a96754862f8", 115228),
        ("gsub_test.json", "a80bfff18c68b1b6a701ffa9549e27c447cb3857", 195500),
    ),
    *_git(
        *_STAR,
        "star/STAR_classes/",
        ("action_classes.txt", "63609edbde76b92c4bee61c2d8bb90a25de25db8", 2876),
        ("action_mapping.txt", "c8d43060de1630b25bad8c4ed318cc3e01677130", 1664),
        ("object_classes.txt", "dab82ee59d7cf1b7f9083874b4d15991658c2053", 475),
        ("relationship_classes.txt", "934310cd1d9194ecf8ad9039b1da28369f3e8a08", 340),
        ("verb_classes.txt", "7198254bdfcc77abdfaa30b499245c1b0f076e0c", 171),
        ("video_fps", "353508b3741f4327d51606d55ea6b439be2bfdc5", 275005),
    ),
    *(Source(f"star/STAR_{split}.json", f"{_STAR_BUCKET}/STAR_{split}.json") for split in ("train", "val", "test")),
    *(
        Source(f"vidor/{part}-annotation.zip", f"{HUB}/datasets/shangxd/vidor/resolve/main/{part}-annotation.zip")
        for part in ("training", "validation")
    ),
)
"""Every file that a build can fetch."""

_SHARED = ("nextqa/map_", "nextqa/add_", "nextgqa/", "vidor/")
_NEEDS = {
    "nextqa_oe": ("nextqa/oe/", *_SHARED),
    "nextqa_mc": ("nextqa/mc/", *_SHARED),
    "star": ("star/",),
}
"""Config -> how the paths of its files begin."""


def sources_of(config: str) -> list[Source]:
    """The files that a config is built from; none for the sample, which is part of the package."""
    return [source for source in SOURCES if source.path.startswith(_NEEDS.get(config, ()))]


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


def _by_hand(source: Source, root: Path) -> str:
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


def _fetch(source: Source, root: Path, token: str | bool | None) -> None:
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


def _bring(source: Source, url: str, root: Path, token: str | bool | None) -> tuple[Path, str | None]:
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


def _fault(source: Source, path: Path) -> str | None:
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
        whole = isinstance(orjson.loads(path.read_bytes()), list)
    except orjson.JSONDecodeError:
        whole = False
    return None if whole else f"{found} that are no whole JSON list, expected a list from [ to ]"


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return str(digest.hexdigest())
