"""Shared by all tests: no network, no user cache, one thread a process, a sample that is built once."""

from __future__ import annotations

import gc
import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# before anything imports these libraries
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# tests run on all cores already, and threads of small models mostly wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `--hypothesis-profile full` tries each property on as many examples as it says, the default on a fifth of them: the
# same ones in every run of continuous integration, new ones on a developer's machine
for profile, percent in {"full": 100, "quick": 20}.items():
    settings.register_profile(
        profile,
        max_examples=percent,
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow],  # on a busy machine everything is
    )
settings.load_profile("quick")

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real annotation; tests that need it are skipped where it is absent."""
    if not REALDATA.is_dir():
        pytest.skip("no real annotation here")
    return REALDATA


CASES = Path(__file__).parents[2] / "shared" / "cases" / "public"


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of small inputs that once failed; tests that need it are skipped where it is absent."""
    if not CASES.is_dir():
        pytest.skip("no cases here")
    return CASES


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` fills, once for all processes of this run: read it, or change a copy."""
    from filelock import FileLock

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            part = folder.with_suffix(".part")
            make(part)
            part.rename(folder)
    return folder


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of `datasets` that holds the embedded sample, built by the code under test."""
    import datasets

    from cotasks.records.dataset import load_records

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
            load_records("sample")
        for path in folder.rglob("*.lock"):
            path.unlink()

    return made_once(tmp_path_factory, "sample-cache", make)


@pytest.fixture(scope="session")
def built_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample as `cotasks build sample` writes it."""
    from cotasks.builders.publish.folder import build_folder
    from cotasks.builders.sources import BuildOptions

    return made_once(tmp_path_factory, "built-sample", lambda folder: build_folder(BuildOptions("sample"), folder))


@pytest.fixture(scope="session", autouse=True)
def session_cache(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of a module or a session use one `datasets` cache, with the sample in it."""
    import datasets

    folder = tmp_path_factory.mktemp("session") / "datasets-cache"
    shutil.copytree(sample_cache, folder, copy_function=os.link)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Tests kill processes, not machines: what the kernel was given it keeps, and no file waits for its disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which raises as it does where the file is closed
        yield


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """A client of a server reads the certificates of all authorities, also where the server is on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[Callable[..., Any]]:
    """A process loads and checks records once, as long as no byte of their folder changes. Yields what loads them."""
    from cotasks.records import dataset

    load = dataset._whole_split
    kept: dict[Any, Any] = {}

    def once(name: str, config: str | None, split: str | None) -> Any:
        folder = Path(name)
        if name != dataset.SAMPLE and not folder.is_dir():
            return load(name, config, split)
        files = sorted(folder.rglob("*")) if name != dataset.SAMPLE else ()
        content = tuple((str(path), hash(path.read_bytes())) for path in files if path.is_file())
        key = name, Path.cwd() / folder, content, config, split
        if key not in kept:
            kept[key] = load(name, config, split)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "_whole_split", once)
        yield load


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest,
    sample_cache: Path,
    loaded_once: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Each test has a `datasets` cache of its own, with the sample in it; one marked `empty_cache` has it empty.

    One marked `loads_anew` loads its records each time.
    """
    import datasets

    from cotasks.records import dataset

    if request.node.get_closest_marker("loads_anew") is not None:
        monkeypatch.setattr(dataset, "_whole_split", loaded_once)
    folder = tmp_path.with_name(f"{tmp_path.name}-datasets-cache")  # not in a folder that a test may look through
    if request.node.get_closest_marker("empty_cache") is None:
        shutil.copytree(sample_cache, folder, copy_function=os.link)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the modules that fork processes: so one worker has a fork server, not each of them."""
    from tests import processes

    def forks(item: pytest.Item) -> bool:
        names = vars(getattr(item, "module", None) or object)
        return any(names.get(name) is vars(processes)[name] for name in ("FORKSERVER", "forked", "forked_command"))

    items.sort(key=lambda item: not forks(item))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look through torch's modules again and again."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the golden files anew."""
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A Hub without anything, a token that may write, and no way to any other address."""
    import socket
    from types import SimpleNamespace

    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    from tests.hub_server import TOKEN, Hub

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    elsewhere = []
    resolve = socket.getaddrinfo

    def loopback_only(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            elsewhere.append(host)
            raise OSError(f"no way to {host!r} in tests")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", loopback_only)
    _http.close_session()
    with Hub() as server:
        yield server
    _http.close_session()
    assert elsewhere == []
