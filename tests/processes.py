"""Processes that tests start: forked from one that has torch and the tiny model in memory, and their ports."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

FORKSERVER = multiprocessing.get_context("forkserver")
# an import of torch and transformers takes longer than what most tests do in a process
FORKSERVER.set_forkserver_preload(["tests.preloaded"])

_held: list[socket.socket] = []


def own_port() -> int:
    """A port of 127.0.0.1 for a server in another process; nobody else is given it as long as this process lives.

    It is bound here without being listened on. A server may bind it as well, since both say SO_REUSEADDR.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    return int(holder.getsockname()[1])


def forked(log: Path, function: Callable[..., Any], *arguments: Any) -> ForkServerProcess:
    """Call a module's function in a process with this one's environment; what it says is in `log`.

    A number that the function returns is the exit code.
    """
    process = FORKSERVER.Process(target=_call, args=(log, dict(os.environ), function, arguments))
    process.start()
    return process


def forked_command(log: Path, *words: str) -> ForkServerProcess:
    """Run `cotasks WORDS` in a process; servers that fail are asked again without waiting."""
    return forked(log, _run_command, words)


def wait_until(holds: Callable[[], Any], seconds: float = 240) -> None:
    """Wait for what another process or thread does; fails where it does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _call(log: Path, environment: Mapping[str, str], function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    import datasets
    import torch

    os.environ.clear()
    os.environ.update(environment)
    datasets.config.HF_DATASETS_CACHE = environment["HF_DATASETS_CACHE"]
    torch.set_num_threads(1)
    os.fsync = os.fstat  # type: ignore[assignment]  # as in the process that tests
    sys.stdout = sys.stderr = log.open("w", buffering=1)
    for number in (1, 2):
        os.dup2(sys.stderr.fileno(), number)
    code = function(*arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _run_command(words: Sequence[str]) -> int:
    from cotasks.cli import main
    from cotasks.servers import calls

    calls.BACKOFF_SECONDS = 0.01
    return main(list(words))
